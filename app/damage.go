package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"manus/backup"
	"manus/docstore"
	"manus/internal/shellword"
	"manus/internal/words"
)

// restoreTimeout bounds the look for a backup to restore.
const restoreTimeout = 10 * time.Second

// tellDamaged has /ready say that the store's data is damaged, and raises the alarm. It
// doesn't wait for that.
func (a *App) tellDamaged(found error) {
	a.damaged.Store(true)
	a.inBackground(func() {
		ctx := context.Background()
		text := fmt.Sprintf("%v; %s", found, a.howToRestore(ctx))
		service, err := a.restorable()
		if err != nil {
			a.log.ErrorContext(ctx, text, "alert", backup.AlertDamaged)
			return
		}
		service.TellDamaged(ctx, text)
	})
}

// tellOfBackups warns where a store has just been made although there are backups of one:
// its disk may be missing. It doesn't wait for that.
func (a *App) tellOfBackups() {
	a.inBackground(func() {
		ctx, cancel := context.WithTimeout(context.Background(), restoreTimeout)
		defer cancel()
		service, err := a.restorable()
		if err != nil {
			return
		}
		all, _ := service.List(ctx) // what can't be listed isn't told of
		if b, ok := all.Restorable(); ok {
			a.log.WarnContext(ctx, "there was no store in DATA_DIR, and an empty one has been made, although there are verified backups. If the data should have been there, stop every server and look whether DATA_DIR names the right folder and its disk is there, or restore the backup", "data_dir", a.settings.DataDir, "newest_backup", b.ID, "made_at", b.CreatedAt.UTC().Format(time.RFC3339))
		}
	})
}

// advised is an error, with what to do about it where it is damage.
func (a *App) advised(ctx context.Context, err error) error {
	if !errors.Is(err, docstore.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("%w; %s", err, a.howToRestore(ctx))
}

// howToRestore says what to do about damaged data: which backup is the newest verified
// one, or are those of several installations, and the command that restores it.
func (a *App) howToRestore(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	newest, err := a.candidates(ctx)
	switch {
	case errors.Is(err, errNoBackups), err == nil && len(newest) == 0:
		return "it has to be restored, but no verified backup is found: 'manus backup list' with the server's settings shows what there is"
	case err != nil:
		return fmt.Sprintf("it has to be restored from a backup, which 'manus backup list' with the server's settings shows; just now they can't be listed: %v", err)
	case len(newest) > 1:
		one := backup.Backup{Manifest: backup.Manifest{ID: "ID"}}
		for _, b := range newest {
			one.Encryption = cmp.Or(one.Encryption, b.Encryption)
		}
		return fmt.Sprintf("restore the right one of the newest verified backups, which are of several installations, and the store doesn't say which this one is: %s: stop every server; then, %s, %s", described(newest), a.inServersPlace(), a.restoreCommand(one))
	}
	b := newest[0]
	return fmt.Sprintf("restore the newest verified backup, %s of %s: stop every server; then, %s, %s", b.ID, b.CreatedAt.UTC().Format(time.RFC3339), a.inServersPlace(), a.restoreCommand(b))
}

// described names backups of several installations so that a person can tell them apart.
func described(backups backup.Catalogue) string {
	all := make([]string, len(backups))
	for i, b := range backups {
		all[i] = fmt.Sprintf("%s of %s with %s (%s)", b.ID, b.CreatedAt.UTC().Format(time.RFC3339), words.Count(b.Documents, "document"), cmp.Or(b.Installation, "it doesn't say whose it is"))
	}
	return strings.Join(all, ", ")
}

// errNoBackups is returned where no backups are set up.
var errNoBackups = errors.New("there are no backups")

// restorable is the backups, before the rooms are there too.
func (a *App) restorable() (*backup.Service, error) {
	switch service := a.Backups(); {
	case service != nil:
		return service, nil
	case !a.settings.Backup.Configured():
		return nil, errNoBackups
	}
	return a.newBackups(a.settings.Backup.Policy, nil)
}

// candidates are the backups to restore from.
func (a *App) candidates(ctx context.Context) (backup.Catalogue, error) {
	service, err := a.restorable()
	if err != nil {
		return nil, err
	}
	return service.Candidates(ctx)
}

// restoreCommand restores beside what is damaged, which may hold what came after the
// backup; where things are only being tried, in its place. Folders are named so that it can
// be typed in any.
func (a *App) restoreCommand(b backup.Backup) string {
	s := a.settings
	key, where := "", ""
	if b.Encryption != "" && s.Backup.Identity.Empty() {
		key, where = " --identity KEYFILE", "; KEYFILE is the file with the secret key, as the backup is encrypted"
	}
	switch dir := absolute(s.DataDir); {
	case !s.MongoDB.Empty():
		return fmt.Sprintf("'manus backup restore %s --to mongodb --to-database %s_restored%s'; and start with MONGODB_DATABASE=%[2]s_restored%[4]s", b.ID, s.MongoDatabase, key, where)
	case s.Dev:
		return fmt.Sprintf("'manus backup restore %s --data %s --to %[2]s --drop%[3]s'%[4]s", b.ID, shellword.Quote(dir), key, where)
	default:
		restored := shellword.Quote(filepath.Join(dir, "restored"))
		return fmt.Sprintf("'manus backup restore %s --to %s%s'; and start with DATA_DIR=%[2]s%[4]s", b.ID, restored, key, where)
	}
}

// inServersPlace says where a command finds what the server's settings name.
func (a *App) inServersPlace() string {
	if dir := a.settings.Backup.Dir; dir != "" && !filepath.IsAbs(dir) {
		return "in " + shellword.Quote(absolute(".")) + " and with the server's settings"
	}
	return "with the server's settings"
}

// absolute is a path from the root; as it is where the working folder is gone.
func absolute(path string) string {
	from, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path)
	}
	return from
}
