package app

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"

	"manus/language"
	"manus/readiness"
)

// secretsPromises are those of the files that have secrets in them, beside the settings.
func (a *App) secretsPromises() []readiness.Check {
	return []readiness.Check{{
		ID: "secrets.files", Essential: true, Offline: true, OfCopy: true,
		Title: language.Text{En: "Nobody else on the machine can read the data", Ar: "لا يستطيع غير صاحب الخادم على الجهاز قراءة البيانات"}, Measure: a.measureModes,
	}}
}

// measureModes looks at who may read the data folder, or else each file in it.
func (a *App) measureModes(context.Context) readiness.Finding {
	dir := a.settings.DataDir
	if dir == "" {
		return readiness.NotMeasured(language.Text{En: "There is no data folder: the data is in MongoDB.", Ar: "لا يوجد مجلّد بيانات: البيانات في MongoDB."})
	}
	mode, err := modeOf(dir)
	if err != nil {
		return readiness.NotMeasured(language.Text{En: "The data folder can't be looked at: #.", Ar: "تعذّر فحص مجلّد البيانات: #."}.Quoting(err.Error()))
	}
	if mode&0o077 == 0 {
		return readiness.Kept(language.Text{En: "# has the mode #.", Ar: "حقوق # هي #."}.Quoting(dir, mode.String()))
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*")) // the pattern is right
	for _, path := range files {
		if mode, err := modeOf(path); err == nil && mode&0o077 != 0 {
			return readiness.Broken(language.Text{En: "Others can read #, which has the mode #.", Ar: "يستطيع آخرون قراءة #، وحقوقه #."}.Quoting(path, mode.String()),
				language.Text{En: "chmod 700 #", Ar: "chmod 700 #"}.Quoting(dir))
		}
	}
	return readiness.Kept(language.Text{En: "Only the server's user can read what is in #.", Ar: "لا يقرأ ما في # إلّا مستخدم الخادم."}.Quoting(dir))
}

func modeOf(path string) (fs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Mode().Perm(), nil
}
