package app

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/readiness"
)

// secretsPromises are those of the files that have secrets in them, and of how old these are.
func (a *App) secretsPromises() []readiness.Check {
	return []readiness.Check{
		{
			ID: "secrets.files", Essential: true, Offline: true, OfCopy: true,
			Title: language.Text{En: "Nobody else on the machine can read the data and the secrets", Ar: "لا يستطيع غير صاحب الخادم على الجهاز قراءة البيانات والأسرار"}, Measure: a.measureModes,
		},
		{
			ID: "secrets.rotated", Title: language.Text{En: "Secrets are replaced from time to time", Ar: "تُستبدل الأسرار من حين إلى آخر"}, Measure: a.measureRotation,
		},
	}
}

// measureModes looks at who may read the files that secrets come from, the data and backups in
// clear.
func (a *App) measureModes(context.Context) readiness.Finding {
	s := a.settings
	findings := []readiness.Finding{ofFile(s.EnvFile, readiness.Broken)}
	for _, path := range s.SecretFiles { // containers are given them readable for all who are in there
		findings = append(findings, ofFile(path, readiness.Doubtful))
	}
	findings = append(findings, ofFolder(s.DataDir, readiness.Broken))
	if len(s.Backup.Recipients) == 0 {
		findings = append(findings, ofFolder(s.Backup.Dir, readiness.Doubtful))
	}
	findings = slices.DeleteFunc(findings, func(f readiness.Finding) bool { return f.Status == "" })
	if len(findings) == 0 {
		return readiness.NotMeasured(language.Text{En: "There are no such files: the settings are the environment's, and the data is in MongoDB.", Ar: "لا توجد ملفّات كهذه: الإعدادات من البيئة، والبيانات في MongoDB."})
	}
	worst := findings[0]
	for _, f := range findings[1:] {
		if f.Status == readiness.Fail && worst.Status != readiness.Fail || worst.Status == readiness.Pass && f.Status == readiness.Warn {
			worst = f
		}
	}
	if worst.Status != readiness.Pass {
		return worst
	}
	evidence := language.Both(func(t language.Tag) string {
		var all []string
		for _, f := range findings {
			all = append(all, f.Evidence.In(t))
		}
		return strings.Join(all, " ")
	})
	return readiness.Kept(evidence)
}

// othersCanRead is a finding about a file or folder, by how grave that is.
func othersCanRead(path string, mode fs.FileMode, of func(evidence, mend language.Text) readiness.Finding, chmod string, mended string) readiness.Finding {
	return of(language.Text{En: "Others can read #, which has the mode #.", Ar: "يستطيع آخرون قراءة #، وحقوقه #."}.Quoting(path, mode.String()),
		language.Text{En: "#", Ar: "#"}.Quoting("chmod "+chmod+" "+mended))
}

func unseen(path string, err error) readiness.Finding {
	return readiness.NotMeasured(language.Text{En: "# can't be looked at: #.", Ar: "تعذّر فحص #: #."}.Quoting(path, err.Error()))
}

// ofFile is whether a file with secrets can be read by others than its user and its group; nothing
// for no file.
func ofFile(path string, grave func(evidence, mend language.Text) readiness.Finding) readiness.Finding {
	if path == "" {
		return readiness.Finding{}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return unseen(path, err)
	}
	mode, err := modeOf(path)
	if err != nil {
		return unseen(path, err)
	}
	if mode&0o004 != 0 && othersCanReach(filepath.Dir(path)) {
		return othersCanRead(path, mode, grave, "o=", path)
	}
	return readiness.Kept(language.Text{En: "# has the mode #.", Ar: "حقوق # هي #."}.Quoting(path, mode.String()))
}

// othersCanReach tells whether others may enter a folder and all above it.
func othersCanReach(dir string) bool {
	for {
		if mode, err := modeOf(dir); err != nil || mode&0o001 == 0 {
			return false
		}
		if above := filepath.Dir(dir); above != dir {
			dir = above
			continue
		}
		return true
	}
}

// maxLooked is how many files of a folder are looked at.
const maxLooked = 10_000

// ofFolder is whether others can read a folder, or else any file in it; nothing for no folder.
func ofFolder(dir string, grave func(evidence, mend language.Text) readiness.Finding) readiness.Finding {
	if dir == "" {
		return readiness.Finding{}
	}
	open, looked := readiness.Finding{}, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if looked++; err != nil || looked > maxLooked {
			return cmp.Or(err, filepath.SkipAll)
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // it is gone by now
		}
		mode := info.Mode()
		switch private := mode&0o077 == 0; {
		case private && d.IsDir():
			return filepath.SkipDir
		case !private && mode.IsRegular():
			open = othersCanRead(path, mode.Perm(), grave, "700", dir)
			return filepath.SkipAll
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return readiness.Finding{}
	case err != nil:
		return unseen(dir, err)
	case open.Status != "":
		return open
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

// secretAges are since when the installation's secrets are in use.
type secretAges struct {
	ID      string      `json:"_id"`
	Secrets []secretAge `json:"secrets"`
}

// secretAge is since when one is.
type secretAge struct {
	Name string `json:"name"` // of the variable
	// Mark tells the secret from others. Like the marks that copies compare, it is keyed with
	// the secret that signs tokens: nothing can be guessed by it.
	Mark  string        `json:"mark"`
	Since docstore.Time `json:"since"`
}

// DocumentID is the same for all: there is one.
func (s secretAges) DocumentID() string { return s.ID }

var agesSpec = docstore.Spec{Collection: "installation_secrets", Of: secretAges{}}

const theSecrets = "secrets"

// usedSecret is a secret of the settings.
type usedSecret struct{ name, value string }

// previousSecret is the name of those that are on their way out.
const previousSecret = "JWT_PREVIOUS_SECRET_KEYS"

// unrotated are secrets that aren't replaced by their age: addresses that have a key in them, and
// the one key that opens old backups.
var unrotated = []string{previousSecret, "SENTRY_DSN", "BACKUP_AGE_IDENTITY", "HEARTBEAT_URL", "SLACK_WEBHOOK_URL", "ALERT_WEBHOOK_URL"}

// usedSecrets are those of which the age is noted.
func (a *App) usedSecrets() (used []usedSecret) {
	for name, value := range a.settings.Secrets() {
		if !slices.Contains(unrotated, name) {
			used = append(used, usedSecret{name, value})
		}
	}
	for _, previous := range a.settings.JWTPreviousSecrets {
		used = append(used, usedSecret{previousSecret, previous.Reveal()})
	}
	slices.SortFunc(used, func(x, y usedSecret) int { return strings.Compare(x.name+x.value, y.name+y.value) })
	return used
}

// signing are the secrets that marks are keyed with, that of now first.
func (a *App) signing() []string {
	keys := []string{a.settings.JWTSecret.Reveal()}
	for _, previous := range a.settings.JWTPreviousSecrets {
		keys = append(keys, previous.Reveal())
	}
	return keys
}

func (u usedSecret) mark(key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("age\x00" + u.name + "\x00" + u.value))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// of is since when secrets are in use that are by now; those that weren't before, since now. The
// secret that signs may have been replaced meanwhile.
func (s secretAges) of(used []usedSecret, keys []string, now docstore.Time) []secretAge {
	ages := []secretAge{}
	for _, u := range used {
		age := secretAge{u.name, u.mark(keys[0]), now}
		known := slices.IndexFunc(s.Secrets, func(old secretAge) bool {
			return old.Name == u.name && slices.ContainsFunc(keys, func(key string) bool { return old.Mark == u.mark(key) })
		})
		if known >= 0 {
			age.Since = s.Secrets[known].Since
		}
		ages = append(ages, age)
	}
	return ages
}

// noteSecrets notes which secrets a server has been started with.
func (a *App) noteSecrets(ctx context.Context) {
	_, err := docstore.NewCollection[secretAges](a.store, agesSpec).Upsert(ctx, secretAges{ID: theSecrets}, func(s *secretAges, _ bool) error {
		ages := s.of(a.usedSecrets(), a.signing(), docstore.At(time.Now()))
		if slices.EqualFunc(ages, s.Secrets, func(x, y secretAge) bool { return x.Mark == y.Mark && x.Since.Equal(y.Since.Time) }) {
			return docstore.ErrUnchanged
		}
		s.Secrets = ages
		return nil
	})
	if err != nil && ctx.Err() == nil { // the next start notes it
		a.log.WarnContext(ctx, "since when secrets are in use can't be noted", "error", err)
	}
}

const (
	secretDoubtful   = 365 * 24 * time.Hour
	secretBroken     = 2 * secretDoubtful
	previousDoubtful = 30 * 24 * time.Hour // what was sealed and signed with it is over by then
)

// measureRotation looks at how long secrets are in use.
func (a *App) measureRotation(ctx context.Context) readiness.Finding {
	noted, err := docstore.NewCollection[secretAges](a.store, agesSpec).Get(ctx, theSecrets)
	switch {
	case errors.Is(err, docstore.ErrNotFound):
		return readiness.NotMeasured(language.Text{En: "No server has been started on this store yet, so nothing is known.", Ar: "لم يبدأ أيّ خادم على هذا المخزن بعد، فلا يُعرف شيء."})
	case err != nil:
		return readiness.Broken(language.Text{En: "The store doesn't say since when they are in use: #.", Ar: "لا يقول المخزن منذ متى هي مستعملة: #."}.Quoting(err.Error()), mendStore)
	}
	now := time.Now()
	return judgeAges(noted.of(a.usedSecrets(), a.signing(), docstore.At(now)), now)
}

func judgeAges(ages []secretAge, now time.Time) readiness.Finding {
	var old, leaving []string
	var oldest secretAge
	current := 0
	for _, age := range ages {
		since := now.Sub(age.Since.Time)
		if age.Name == previousSecret {
			if since > previousDoubtful {
				leaving = append(leaving, age.Since.Format(time.DateOnly))
			}
			continue
		}
		current++
		if oldest.Name == "" || age.Since.Before(oldest.Since.Time) {
			oldest = age
		}
		if since > secretDoubtful {
			old = append(old, age.Name)
		}
	}
	evidence := language.Both(func(t language.Tag) string {
		text := secretsInUse.In(t, current) + language.Text{En: "#, since #.", Ar: "#، منذ #."}.Quoting(oldest.Name, t.Date(oldest.Since.Time)).In(t)
		if len(leaving) > 0 {
			text += " " + language.Text{En: "Of JWT_PREVIOUS_SECRET_KEYS some can go, which are there since: #.", Ar: "في JWT_PREVIOUS_SECRET_KEYS ما يمكن حذفه، وهو هناك منذ: #."}.Quoting(strings.Join(leaving, ", ")).In(t)
		}
		return text
	})
	mend := language.Text{En: "Replace: #. A JWT_SECRET_KEY goes to JWT_PREVIOUS_SECRET_KEYS for 30 days, and then away.", Ar: "استبدل: #. يُنقل JWT_SECRET_KEY إلى JWT_PREVIOUS_SECRET_KEYS مدّة 30 يومًا ثمّ يُحذف."}.Quoting(strings.Join(append(old, leavingOf(leaving)...), ", "))
	switch {
	case now.Sub(oldest.Since.Time) > secretBroken:
		return readiness.Broken(evidence, mend)
	case len(old) > 0 || len(leaving) > 0:
		return readiness.Doubtful(evidence, mend)
	}
	return readiness.Kept(evidence)
}

// leavingOf is the variable to be looked at, where there is something in it that can go.
func leavingOf(leaving []string) []string {
	if len(leaving) == 0 {
		return nil
	}
	return []string{previousSecret}
}

var secretsInUse = language.Plural{
	En: language.Forms{One: "One secret is in use: ", Other: "# secrets are in use, the oldest of them "},
	Ar: language.Forms{One: "سرّ واحد مستعمل: ", Two: "سرّان مستعملان، أقدمهما ", Few: "# أسرار مستعملة، أقدمها ", Other: "# سرًّا مستعملًا، أقدمها "},
}
