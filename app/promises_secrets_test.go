package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"manus/docstore"
	"manus/readiness"
)

// How old secrets are stands also when the one is replaced that their marks are keyed with.
func TestSecretsKeepTheirAgeUntilTheyAreReplaced(t *testing.T) {
	t.Parallel()
	day := func(n int) docstore.Time { return docstore.At(time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC)) }
	const signs, mails = "JWT_SECRET_KEY", "SMTP_URL"
	first := secretAges{Secrets: secretAges{}.of([]usedSecret{{signs, "one"}, {mails, "m"}}, []string{"one"}, day(1))}
	for name, c := range map[string]struct {
		used []usedSecret
		keys []string
		want []docstore.Time
	}{
		"nothing changes":                 {[]usedSecret{{signs, "one"}, {mails, "m"}}, []string{"one"}, []docstore.Time{day(1), day(1)}},
		"the one that signs is replaced":  {[]usedSecret{{signs, "two"}, {previousSecret, "one"}, {mails, "m"}}, []string{"two", "one"}, []docstore.Time{day(9), day(9), day(1)}},
		"it is, and the earlier is gone":  {[]usedSecret{{signs, "two"}, {mails, "m"}}, []string{"two"}, []docstore.Time{day(9), day(9)}},
		"another one is replaced":         {[]usedSecret{{signs, "one"}, {mails, "n"}}, []string{"one"}, []docstore.Time{day(1), day(9)}},
		"one secret is used for two ends": {[]usedSecret{{signs, "m"}, {mails, "m"}}, []string{"m", "one"}, []docstore.Time{day(9), day(1)}},
	} {
		ages := first.of(c.used, c.keys, day(9))
		for i, age := range ages {
			if !age.Since.Equal(c.want[i].Time) || age.Mark == first.Secrets[0].Mark && c.keys[0] != "one" {
				t.Errorf("%s: %s since %v, want %v", name, age.Name, age.Since, c.want[i])
			}
		}
	}
}

func TestAgesAreJudged(t *testing.T) {
	t.Parallel()
	now := time.Now()
	age := func(name string, days int) secretAge {
		return secretAge{Name: name, Since: docstore.At(now.AddDate(0, 0, -days))}
	}
	for name, c := range map[string]struct {
		ages []secretAge
		want readiness.Status
	}{
		"new":                        {[]secretAge{age("A", 0), age("B", 364)}, readiness.Pass},
		"a year":                     {[]secretAge{age("A", 0), age("B", 366)}, readiness.Warn},
		"two years":                  {[]secretAge{age("A", 731), age("B", 0)}, readiness.Fail},
		"a previous one":             {[]secretAge{age("A", 0), age(previousSecret, 29)}, readiness.Pass},
		"a previous one that can go": {[]secretAge{age("A", 0), age(previousSecret, 1000)}, readiness.Warn},
		"the clock was set back":     {[]secretAge{age("A", -1000)}, readiness.Pass},
	} {
		if f := judgeAges(c.ages, now); f.Status != c.want {
			t.Errorf("%s: %s: %s", name, f.Status, f.Evidence.En)
		}
	}
}

// entered is a folder that all may enter, as no other temporary one.
func entered(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o755))
	return dir
}

func TestWhatOthersCanReadIsSeen(t *testing.T) {
	t.Parallel()
	dir := entered(t)
	deep := filepath.Join(dir, "deep")
	file := filepath.Join(deep, "file")
	must(t, os.Mkdir(deep, 0o755))
	must(t, os.WriteFile(file, nil, 0o600))
	own := ownersOf(os.Geteuid(), dir)
	for _, c := range []struct {
		dir, file os.FileMode
		folder    readiness.Status // of the folder above both
		alone     readiness.Status // of the file, as one with secrets
	}{
		{0o755, 0o600, readiness.Pass, readiness.Pass},
		{0o755, 0o640, readiness.Fail, readiness.Pass}, // secrets may be their group's to read
		{0o755, 0o644, readiness.Fail, readiness.Fail},
		{0o755, 0o602, readiness.Fail, readiness.Fail},
		{0o755, 0o620, readiness.Fail, readiness.Fail},
		{0o700, 0o644, readiness.Pass, readiness.Pass},
		{0o700, 0o602, readiness.Pass, readiness.Pass},
		{0o733, 0o600, readiness.Fail, readiness.Fail}, // another file can take its place
		{0o722, 0o600, readiness.Fail, readiness.Pass}, // nobody can enter it
		{0o730, 0o600, readiness.Warn, readiness.Pass}, // its group is let in
	} {
		must(t, os.Chmod(deep, c.dir))
		must(t, os.Chmod(file, c.file))
		if f := own.ofFolder(dir, readiness.Broken); f.Status != c.folder {
			t.Errorf("%v, %v: of the folder: %s %s", c.dir, c.file, f.Status, f.Evidence.En)
		}
		if f := own.ofFile(file, readiness.Broken); f.Status != c.alone {
			t.Errorf("%v, %v: of the file: %s %s", c.dir, c.file, f.Status, f.Evidence.En)
		}
	}
	if f := own.ofFile(filepath.Join(dir, "nothing"), readiness.Broken); f.Status != readiness.Skipped {
		t.Errorf("of no file: %s", f.Status)
	}
	must(t, os.Chmod(deep, 0o755))
	must(t, os.Chmod(file, 0o644))
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	if f := own.ofFolder(link, readiness.Broken); f.Status != readiness.Fail {
		t.Errorf("by a link: %s %s", f.Status, f.Evidence.En)
	}
}

// What is another user's that user can read and change. Root looks after the server's.
func TestFilesOfAnotherUserAreSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if os.Geteuid() == 0 { // else all is this user's, of whom another one is told
		must(t, os.Chown(dir, 1234, -1))
		must(t, os.Chown(file, 1234, -1))
	}
	info, err := os.Stat(file)
	must(t, err)
	owner := ownerOf(info)
	for name, c := range map[string]struct {
		own  owners
		want readiness.Status
	}{
		"another's":              {owners{owner + 1}, readiness.Fail},
		"one's own":              {owners{owner}, readiness.Pass},
		"the server's, for root": {ownersOf(0, dir), readiness.Pass},
		"by root, without data":  {ownersOf(0, ""), readiness.Pass},
	} {
		if f := c.own.ofFolder(dir, readiness.Broken); f.Status != c.want {
			t.Errorf("%s: of the folder: %s %s", name, f.Status, f.Evidence.En)
		}
		if f := c.own.ofFile(file, readiness.Broken); f.Status != c.want {
			t.Errorf("%s: of the file: %s %s", name, f.Status, f.Evidence.En)
		}
	}
}
