package app

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"manus/docstore"
	"manus/internal/shellword"
	"manus/language"
	"manus/readiness"
)

// secretsPromises are those of the files that have secrets in them, and of how old these are.
func (a *App) secretsPromises() []readiness.Check {
	return []readiness.Check{
		{
			ID: "secrets.files", Essential: true, Offline: true, OfCopy: true,
			Title: language.Text{En: "Nobody else on the machine can read or change the data and the secrets", Ar: "لا يستطيع غير صاحب الخادم على الجهاز قراءة البيانات والأسرار أو تغييرها"}, Measure: a.measureModes,
		},
		{
			ID: "secrets.rotated", Title: language.Text{En: "Secrets are replaced from time to time", Ar: "تُستبدل الأسرار من حين إلى آخر"}, Measure: a.measureRotation,
		},
	}
}

// measureModes looks at who may read and change the files that secrets come from, the data and backups in
// clear.
func (a *App) measureModes(context.Context) readiness.Finding {
	s := a.settings
	own := ownersOf(os.Geteuid(), s.DataDir)
	findings := []readiness.Finding{own.ofFile(s.EnvFile, readiness.Broken)}
	for _, path := range s.SecretFiles { // containers are given them readable for all who are in there
		findings = append(findings, own.ofFile(path, readiness.Doubtful))
	}
	findings = append(findings, own.ofFolder(s.DataDir, readiness.Broken))
	if len(s.Backup.Recipients) == 0 {
		findings = append(findings, own.ofFolder(s.Backup.Dir, readiness.Doubtful))
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

// openTo is a finding about a file or folder that others can get at, by how grave that is.
func openTo(path string, mode fs.FileMode, grave gravity, mend string) readiness.Finding {
	return grave(language.Text{En: "Others can read or change #, which has the mode #.", Ar: "يستطيع آخرون قراءة # أو تغييره، وحقوقه #."}.Quoting(path, mode.String()),
		language.Text{En: "#", Ar: "#"}.Quoting(mend))
}

// gravity makes a finding: Broken or Doubtful.
type gravity func(evidence, mend language.Text) readiness.Finding

func unseen(path string, err error) readiness.Finding {
	return readiness.NotMeasured(language.Text{En: "# can't be looked at: #.", Ar: "تعذّر فحص #: #."}.Quoting(path, err.Error()))
}

// owners are the users that files may belong to, besides root; none means any.
type owners []int

// ownersOf are the user whom the program runs as; root, who may look after another's server, goes
// by whose the data is.
func ownersOf(user int, dataDir string) owners {
	if user != 0 {
		return owners{user}
	}
	if info, err := os.Stat(dataDir); err == nil {
		return owners{ownerOf(info)}
	}
	return nil
}

func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// foreign is a finding where a file is another user's, who can change it and its mode.
func (o owners) foreign(path string, info fs.FileInfo, grave gravity) (f readiness.Finding, is bool) {
	owner := ownerOf(info)
	if owner == 0 || len(o) == 0 || slices.Contains(o, owner) {
		return f, false
	}
	return grave(language.Text{En: "# is another user's (#), who can read and change it.", Ar: "# لمستخدم آخر (#) يستطيع قراءته وتغييره."}.Quoting(path, strconv.Itoa(owner)),
		language.Text{En: "#", Ar: "#"}.Quoting(fmt.Sprintf("chown %d %s", o[0], shellword.Quote(path)))), true
}

// ofFile is whether a file with secrets can be read by others than its user and its group, or be
// changed by others than its user; nothing for no file.
func (o owners) ofFile(path string, grave gravity) readiness.Finding {
	if path == "" {
		return readiness.Finding{}
	}
	path, err := real(path)
	if err != nil {
		return unseen(path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return unseen(path, err)
	}
	mode, dir := info.Mode().Perm(), filepath.Dir(path)
	if f, is := o.foreign(path, info, grave); is {
		return f
	}
	if f, is := replaceable(dir, grave); is {
		return f
	}
	if mode&0o020 != 0 || mode&0o006 != 0 && othersCanReach(dir) {
		return openTo(path, mode, grave, "chmod g-w,o= "+shellword.Quote(path))
	}
	return readiness.Kept(language.Text{En: "# has the mode #.", Ar: "حقوق # هي #."}.Quoting(path, mode.String()))
}

// real is where a file or folder is, whatever leads to it.
func real(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path, err
	}
	there, err := filepath.EvalSymlinks(absolute)
	if err != nil {
		return absolute, err
	}
	return there, nil
}

// above are a folder and those that it is in.
func above(dir string) iter.Seq2[string, fs.FileMode] {
	return func(yield func(string, fs.FileMode) bool) {
		for {
			var mode fs.FileMode
			if info, err := os.Stat(dir); err == nil {
				mode = info.Mode()
			}
			up := filepath.Dir(dir)
			if !yield(dir, mode) || up == dir {
				return
			}
			dir = up
		}
	}
}

// othersCanReach tells whether others may enter a folder and all above it.
func othersCanReach(dir string) bool {
	for _, mode := range above(dir) {
		if mode&0o001 == 0 {
			return false
		}
	}
	return true
}

// replaceable is a finding where others can put another file in the place of one in a folder, or
// another folder in its place.
func replaceable(dir string, grave gravity) (f readiness.Finding, is bool) {
	for one, mode := range above(dir) {
		if mode&0o002 != 0 && mode&fs.ModeSticky == 0 && othersCanReach(one) {
			return openTo(one, mode.Perm(), grave, "chmod o-w "+shellword.Quote(one)), true
		}
	}
	return f, false
}

// maxLooked is how many files of a folder are looked at.
const maxLooked = 10_000

// ofFolder is whether others can read or change a folder, or else any file in it; nothing for no
// folder.
func (o owners) ofFolder(dir string, grave gravity) readiness.Finding {
	if dir == "" {
		return readiness.Finding{}
	}
	dir, err := real(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return readiness.Finding{}
	}
	open, is := replaceable(filepath.Dir(dir), grave)
	if err == nil && !is {
		open, err = o.inFolder(dir, grave)
	}
	switch {
	case err != nil:
		return unseen(dir, err)
	case open.Status != "":
		return open
	}
	return readiness.Kept(language.Text{En: "Only the server's user can read and change what is in #.", Ar: "لا يقرأ ما في # ولا يغيّره إلّا مستخدم الخادم."}.Quoting(dir))
}

// inFolder finds the first of what others can read or change in a folder.
func (o owners) inFolder(dir string, grave gravity) (open readiness.Finding, err error) {
	looked := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if looked++; err != nil || looked > maxLooked {
			return cmp.Or(err, filepath.SkipAll)
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // it is gone by now
		}
		mode, is := info.Mode(), false
		private := mode&0o077 == 0
		switch {
		case !d.IsDir() && !mode.IsRegular():
			return nil
		case !private && !d.IsDir() || mode&0o022 != 0:
			if d.IsDir() && mode&0o002 == 0 { // as volumes are given to a container's group
				grave = readiness.Doubtful
			}
			open = openTo(path, mode.Perm(), grave, "chmod 700 "+shellword.Quote(dir))
			return filepath.SkipAll
		}
		if open, is = o.foreign(path, info, grave); is {
			return filepath.SkipAll
		}
		if private && d.IsDir() {
			return filepath.SkipDir
		}
		return nil
	})
	return open, err
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
