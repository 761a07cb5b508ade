package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"manus/app"
	"manus/backup"
	"manus/config"
	"manus/internal/nice"
	"manus/internal/words"
)

// backupCommand works on backups, beside a running server or without.
type backupCommand struct {
	installation
	Identity string `help:"The file with the secret key of age or SSH that opens encrypted backups. Without it: BACKUP_AGE_IDENTITY_FILE." placeholder:"FILE" type:"path"`
	JSON     bool   `help:"Print JSON."`

	Create  backupCreate  `cmd:"" help:"Make a backup, restore it into a scratch database, and compare."`
	List    backupList    `cmd:"" help:"List backups, and tell how old the newest verified one is."`
	Verify  backupVerify  `cmd:"" help:"Restore a backup into a scratch database, and compare."`
	Restore backupRestore `cmd:"" help:"Put a backup into a database."`
	Adopt   backupAdopt   `cmd:"" help:"Check a backup that was made elsewhere, has lost its manifest or is suspicious, and let it count."`
	Prune   backupPrune   `cmd:"" help:"Remove backups that have had their time."`
}

// Help tells where backups go.
func (backupCommand) Help() string {
	return `Backups go to BACKUP_DIR and S3_BUCKET, as the server's do: give the same environment, --env-file and --config. Where neither is set, those of an embedded store go to the folder 'backups' in its data folder. The guide is docs/backup.md.`
}

// vault is what the commands below work with.
type vault struct {
	*process
	*backup.Service
	rooms    *app.App
	settings config.Settings
	progress *progressLine
}

// look returns an error when the folder of backups isn't there, if there shall be one: a
// mistyped name must not look like a folder without backups. That in the data folder is
// made with the first backup.
func (v vault) look() error {
	dir := v.settings.Backup.Dir
	_, err := os.Stat(dir)
	switch inData := dir == filepath.Join(v.settings.DataDir, "backups"); {
	case dir == "" || err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the folder of backups can't be looked at: check BACKUP_DIR, and that this user may read it: %w", err)
	case inData && v.rooms.StoreExists(v.ctx) == nil:
		return nil
	}
	return fmt.Errorf("%w: no folder of backups is at %s: check BACKUP_DIR, or --data, or make the first backup with 'manus backup create'", backup.ErrNotFound, dir)
}

// with joins the rooms of the installation and runs f on its backups; what is to be done about
// an error that any of them may have is said here. The store is only
// opened at the end of create, to note how it went, and need not open: a backup can be
// made of one that is full or can't be written.
func (c *backupCommand) with(p *process, f func(vault) error) error {
	settings, err := config.LoadBackup(c.source(p), c.Data)
	if err != nil {
		return err
	}
	if c.Identity != "" {
		if settings.Backup.Identity, err = readIdentity(c.Identity); err != nil {
			return err
		}
	}
	setGC(25)   // so that the memory stays small, of which the garbage would be a third otherwise
	nice.Down() // a server beside it goes first
	return withRooms(p, app.Options{Settings: settings, Unopened: true}, func(a *app.App) error {
		progress := &progressLine{line: statusLine{out: p.err}}
		defer progress.end()
		return c.nowhere(p, orAnother(f(vault{p, a.Backups(), a, settings, progress})))
	})
}

// orAnother adds to what is damaged what there is instead of it.
func orAnother(err error) error {
	if !errors.Is(err, backup.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w; rely on another one: 'manus backup list' shows which are verified", err)
}

// nowhere adds to what isn't found that nobody has said where to look.
func (c *backupCommand) nowhere(p *process, err error) error {
	said := c.EnvFile != "" || c.Data != "" || slices.ContainsFunc(p.environ, func(pair string) bool {
		return strings.HasPrefix(pair, "BACKUP_DIR") || strings.HasPrefix(pair, "S3_BUCKET")
	})
	if said || !errors.Is(err, backup.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w; no settings say where backups are: name the server's with --env-file", err)
}

func readIdentity(path string) (config.Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return config.Secret{}, fmt.Errorf("--identity: name the file with the secret key, as this user may read it: %w", err)
	}
	if _, err = backup.ParseIdentities(string(text)); err != nil {
		return config.Secret{}, fmt.Errorf("--identity: %s: %w", path, err)
	}
	return config.NewSecret(string(text)), nil
}

type backupCreate struct {
	Verify bool `help:"Restore it into a scratch database and compare." default:"true" negatable:""`
	Prune  bool `help:"Remove backups that have had their time, before and after."`

	AllowEmpty bool `help:"Make one even when there is nothing in the database."`
}

// Run makes a backup.
func (c backupCreate) Run(p *process, parent *backupCommand) error {
	return parent.with(p, func(v vault) error {
		if err := v.rooms.StoreExists(p.ctx); err != nil {
			return err
		}
		began := time.Now()
		m, err := v.Create(p.ctx, backup.CreateOptions{SkipVerify: !c.Verify, AllowEmpty: c.AllowEmpty, PruneFirst: c.Prune, Progress: v.progress.show})
		v.progress.end()
		if m.File != "" {
			err = errors.Join(err, parent.printCreated(p, m, time.Since(began)), doubt(m))
		}
		if p.ctx.Err() != nil || !c.Prune {
			return err
		}
		pruned, failed := v.Prune(p.ctx, false)
		return errors.Join(err, failed, printPruned(p.err, p.paste, pruned, false))
	})
}

// printCreated says what was made, and how long all of it took: the drill is the longer part.
func (c *backupCommand) printCreated(p *process, m backup.Manifest, took time.Duration) error {
	if c.JSON {
		return json.NewEncoder(p.out).Encode(m)
	}
	_, err := fmt.Fprintf(p.out, "%s: %s, %s, in %v; %s\n", m.File, words.Size(m.Size), words.Count(m.Documents, "document"), took.Round(time.Second), p.paste.complete(verdict(m)))
	return err
}

// doubt is an error when a backup that was just made doesn't count: who only looks at the exit
// code has to learn of it.
func doubt(m backup.Manifest) error {
	if m.Suspicious == "" {
		return nil
	}
	return fmt.Errorf("the backup %s was made, but doesn't count; 'manus backup list' says why", m.ID)
}

// verdict says whether a backup is verified, and to be relied on.
func verdict(m backup.Manifest) string {
	switch {
	case m.Suspicious != "":
		return "SUSPICIOUS: " + m.Suspicious
	case m.Verified:
		return "restored and compared: verified"
	case m.VerifyError != "":
		return "NOT verified: " + m.VerifyError
	}
	return "not verified"
}

// whose says which installation's backups a command works on.
type whose struct {
	Installation string `help:"The installation whose backups are meant, or the beginning of its id, where there is no store that says it." placeholder:"ID"`
}

// with is the parent's, as that installation.
func (w whose) with(p *process, parent *backupCommand, f func(vault) error) error {
	return parent.with(p, func(v vault) error {
		v.As = w.Installation
		return f(v)
	})
}

type backupVerify struct {
	whose
	ID     string `arg:"" optional:"" help:"The backup's ID, or its beginning; without one, the newest."`
	Latest bool   `help:"The newest backup."`
	All    bool   `help:"Every backup of this installation."`
	Quick  bool   `help:"Only read the bytes and hold them against the manifest."`
}

// verified is what became of verifying a backup.
type verified struct {
	ID    string `json:"id"`
	File  string `json:"file"`
	OK    bool   `json:"ok"`
	Quick bool   `json:"quick"`
	Error string `json:"error,omitempty"`
	// Unnoted is why it couldn't be written into the manifest.
	Unnoted string `json:"unnoted,omitempty"`
}

// Run verifies.
func (c backupVerify) Run(p *process, parent *backupCommand) error {
	if c.ID != "" && (c.Latest || c.All) || c.Latest && c.All {
		return usageError{errors.New("name one backup, or use --latest, or --all")}
	}
	return c.whose.with(p, parent, func(v vault) error {
		if err := v.look(); err != nil {
			return err
		}
		backups, err := c.which(v)
		for _, b := range backups {
			unnoted, failed := v.Service.Verify(p.ctx, b, c.Quick, v.progress.show)
			v.progress.end()
			if p.ctx.Err() != nil {
				return p.ctx.Err()
			}
			err = errors.Join(err, c.print(p, parent.JSON, b, unnoted, failed))
		}
		return err
	})
}

func (c backupVerify) which(v vault) ([]backup.Backup, error) {
	var b backup.Backup
	var err error
	switch {
	case c.All:
		all, err := v.Service.List(v.ctx)
		all = slices.DeleteFunc(all, backup.Backup.Foreign)
		if err == nil && len(all) == 0 {
			_, err = v.Service.Latest(v.ctx) // which says that there is none
		}
		return all, err
	case c.ID != "":
		b, err = v.Service.Find(v.ctx, c.ID)
	default:
		b, err = v.Service.Latest(v.ctx)
	}
	if err != nil {
		return nil, err
	}
	return []backup.Backup{b}, nil
}

// print tells of one backup, and returns what makes the command fail.
func (c backupVerify) print(p *process, asJSON bool, b backup.Backup, unnoted, failed error) error {
	if asJSON {
		return errors.Join(failed, json.NewEncoder(p.out).Encode(verified{
			ID: b.ID, File: b.File, OK: failed == nil, Quick: c.Quick, Error: textOf(failed), Unnoted: textOf(unnoted),
		}))
	}
	if failed == nil {
		what := "restored and compared, " + words.Count(b.Documents, "document")
		if c.Quick {
			what = "every byte is as it was written; whether it can be restored was not tried"
		}
		fmt.Fprintf(p.out, "%s: good (%s)\n", b.File, what)
	}
	if unnoted != nil {
		fmt.Fprintf(p.err, "That can't be written into its manifest, so lists go on to say what was known before: %v.\n", unnoted)
	}
	if failed != nil {
		failed = fmt.Errorf("%s: %w", b.File, failed)
	}
	return failed
}

// textOf is an error's text; empty for none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

type backupRestore struct {
	whose
	ID           string   `arg:"" optional:"" help:"The backup's ID, or its beginning; or the path of a file, also one of mongodump's."`
	Latest       bool     `help:"The newest backup."`
	To           string   `required:"" xor:"to" help:"Where to: a data folder; a file that ends with .db or .sqlite; 'mongodb' for the database of MONGODB_URI; or a mongodb:// URI without a password." placeholder:"STORE"`
	ToFile       string   `required:"" xor:"to" help:"The file that has the mongodb:// URI of where to." placeholder:"FILE" type:"path"`
	ToDatabase   string   `help:"The database in MongoDB to restore into, instead of the one that URI and settings name." placeholder:"NAME"`
	FromDatabase string   `help:"Of a backup of several databases, the one to restore; it may get another name." placeholder:"NAME"`
	Collection   []string `help:"Restore only this collection; may be repeated." placeholder:"NAME"`
	Drop         bool     `help:"Drop first what is there already."`
	DryRun       bool     `help:"Only show what would be done, or why it would be refused."`
}

// Run restores.
func (c backupRestore) Run(p *process, parent *backupCommand) error {
	if (c.ID != "") == c.Latest {
		return usageError{errors.New("name one backup, or use --latest")}
	}
	to, err := c.to(parent.source(p))
	if err != nil {
		return err
	}
	return c.with(p, parent, func(v vault) error {
		if info, err := os.Stat(c.ID); err == nil && info.Mode().IsRegular() {
			return c.file(v, parent, to)
		}
		if err := v.look(); err != nil {
			return err
		}
		b, err := c.which(v)
		if err != nil {
			return err
		}
		return c.backup(v, parent, b, to)
	})
}

// to is where it restores to.
func (c backupRestore) to(source config.Source) (backup.Restorer, error) {
	settings, inMongo, err := mongoPlace{"--to", c.To, c.ToFile, c.ToDatabase}.settings(source)
	if inMongo {
		return app.MongoRestorer(settings), err
	}
	to, err := app.FileRestorer(c.To)
	switch {
	case err != nil:
		return nil, usageError{fmt.Errorf("--to: %w", err)}
	case c.ToDatabase != "":
		return nil, usageError{errors.New("--to-database is for MongoDB: write --to mongodb, or --to-file")}
	}
	return to, nil
}

func (c backupRestore) which(v vault) (backup.Backup, error) {
	if !c.Latest {
		b, err := v.Service.Find(v.ctx, c.ID)
		return b, c.noFile(err)
	}
	b, err := v.Service.Latest(v.ctx)
	if err == nil {
		fmt.Fprintf(v.err, "The newest backup is %s; %s.\n", b.File, verdict(b.Manifest))
	}
	return b, err
}

// noFile says of what isn't found whether it is a path.
func (c backupRestore) noFile(err error) error {
	if !errors.Is(err, backup.ErrNotFound) {
		return err
	}
	if info, err := os.Stat(c.ID); err == nil && info.IsDir() {
		return usageError{fmt.Errorf("%s is a folder: name the backup's file in it; or set BACKUP_DIR to it, and name the backup's ID", c.ID)}
	}
	if strings.ContainsRune(c.ID, filepath.Separator) {
		return fmt.Errorf("%w; nor is there a file of that name", err)
	}
	return err
}

func (c backupRestore) options() backup.RestoreOptions {
	return backup.RestoreOptions{Database: c.FromDatabase, Collections: c.Collection, Drop: c.Drop}
}

func (c backupRestore) backup(v vault, parent *backupCommand, b backup.Backup, to backup.Restorer) error {
	if err := b.Fits(to, c.options()); err != nil {
		return err
	}
	contents, err := b.Of(c.FromDatabase)
	if err != nil {
		return err
	}
	return c.do(v, parent, to, &contents, func() (backup.Contents, error) {
		return v.Service.Restore(v.ctx, b, to, c.options(), v.progress.show)
	})
}

// file restores a file: as a backup, if its manifest is beside it.
func (c backupRestore) file(v vault, parent *backupCommand, to backup.Restorer) error {
	beside := backup.New(backup.Config{Targets: []backup.Target{backup.NewFolder(filepath.Dir(c.ID))}, Identities: v.Service.Identities, Log: v.Service.Log})
	if b, err := beside.Find(v.ctx, filepath.Base(c.ID)); err == nil && b.HasManifest() {
		v.Service = beside
		return c.backup(v, parent, b, to)
	}
	file, err := os.Open(c.ID)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it is only read
	dump, err := backup.OpenDump(file, v.Service.Identities)
	if err != nil {
		return fmt.Errorf("%s: %w", c.ID, err)
	}
	return c.do(v, parent, to, nil, func() (backup.Contents, error) {
		return backup.RestoreDump(v.ctx, dump, to, c.options(), v.progress.show)
	})
}

// do shows what will be done, and does it.
func (c backupRestore) do(v vault, parent *backupCommand, to backup.Restorer, contents *backup.Contents, restore func() (backup.Contents, error)) error {
	plan, err := c.plan(v, to, contents)
	refused := plan.Refused != ""
	if (err == nil || refused) && (c.DryRun || !parent.JSON) {
		err = errors.Join(err, c.printPlan(v.out, parent.JSON, plan))
	}
	switch {
	case c.DryRun && refused:
		return nil
	case err != nil, c.DryRun:
		return err
	}
	began := time.Now()
	restored, err := restore()
	v.progress.end()
	if err != nil {
		return err
	}
	return c.printRestored(v, parent.JSON, restored, contents != nil, time.Since(began))
}

// shownPlan is a plan, and why it would be refused as things are.
type shownPlan struct {
	backup.Plan
	Refused string `json:"refused,omitempty"`
}

// plan is what would be done. The error comes with what is to be shown where the restore
// would be refused.
func (c backupRestore) plan(v vault, to backup.Restorer, contents *backup.Contents) (shownPlan, error) {
	plan, err := to.Plan(v.ctx, contents, c.options())
	shown := shownPlan{Plan: plan}
	if errors.Is(err, backup.ErrNotEmpty) {
		err = fmt.Errorf("%w; name an empty one, or use --drop to lose what is there", err)
	}
	if errors.Is(err, backup.ErrNotEmpty) || errors.Is(err, backup.ErrInUse) {
		shown.Refused = err.Error()
	}
	return shown, err
}

// printRestored says what was restored, and how far it was checked.
func (c backupRestore) printRestored(v vault, asJSON bool, restored backup.Contents, compared bool, took time.Duration) error {
	if asJSON {
		return json.NewEncoder(v.out).Encode(restored)
	}
	took = took.Round(time.Second)
	if compared {
		_, err := fmt.Fprintf(v.out, "Restored %s, the same as were dumped, in %v.\n", words.Count(restored.Documents(), "document"), took)
		return err
	}
	_, err := fmt.Fprintf(v.out, "Restored %s, in %v. The file has no manifest beside it, so only its own checksums could be checked: look whether everything is there.\n", words.Count(restored.Documents(), "document"), took)
	return err
}

func (c backupRestore) printPlan(out io.Writer, asJSON bool, plan shownPlan) error {
	if asJSON {
		return json.NewEncoder(out).Encode(plan)
	}
	fmt.Fprintf(out, "Into %s:\n", plan.Target)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, step := range plan.Steps {
		fmt.Fprintf(table, "  %s\t%s\n", step.Collection, stepText(step, c.Drop))
	}
	if len(plan.Steps) == 0 {
		fmt.Fprintln(table, "  all that the file has")
	}
	if c.DryRun && plan.Refused != "" {
		fmt.Fprintf(table, "\nAs things are it would be refused: %s.\n", plan.Refused)
	}
	return table.Flush()
}

func stepText(step backup.PlanStep, drop bool) string {
	var parts []string
	if step.Existing >= 0 {
		verb := "has"
		if drop {
			verb = "drop"
		}
		parts = append(parts, verb+" "+words.Count(step.Existing, "document"))
	}
	if step.Restore && step.Documents >= 0 {
		parts = append(parts, "restore "+words.Count(step.Documents, "document"))
	} else if step.Restore {
		parts = append(parts, "restore it")
	}
	return strings.Join(parts, ", ")
}

type backupAdopt struct {
	whose
	File string `arg:"" help:"The backup's ID, or the name of its file in BACKUP_DIR or the bucket." placeholder:"FILE"`
}

// Run adopts.
func (c backupAdopt) Run(p *process, parent *backupCommand) error {
	return c.with(p, parent, func(v vault) error {
		if err := v.look(); err != nil {
			return err
		}
		b, err := v.Adopt(p.ctx, c.File, v.progress.show)
		v.progress.end()
		if _, there := os.Stat(c.File); there == nil && errors.Is(err, backup.ErrNotFound) {
			err = fmt.Errorf("%w; only what is in BACKUP_DIR or the bucket is adopted: copy %s there first, under the name that it was made with", err, c.File)
		}
		if err != nil {
			return err
		}
		if parent.JSON {
			return errors.Join(stillDoubted(b), json.NewEncoder(p.out).Encode(b))
		}
		said := "it counts from now on"
		if !b.Counts() {
			said = "listed"
		}
		fmt.Fprintf(p.out, "%s: restored, %s; %s\n", b.File, words.Count(b.Documents, "document"), said)
		return stillDoubted(b)
	})
}

// stillDoubted is an error when a backup that was adopted doesn't count all the same.
func stillDoubted(b backup.Backup) error {
	if b.Doubt == "" {
		return nil
	}
	return fmt.Errorf("the backup %s is good, but doesn't count: %s; say by --installation whose it shall be, or restore it by its ID", b.ID, b.Doubt)
}

type backupPrune struct {
	whose
	DryRun bool `help:"Only tell what would be removed."`
}

// Run prunes.
func (c backupPrune) Run(p *process, parent *backupCommand) error {
	return c.with(p, parent, func(v vault) error {
		if err := v.look(); err != nil {
			return err
		}
		pruned, err := v.Prune(p.ctx, c.DryRun)
		if err == nil {
			err = c.undecided(v)
		}
		if parent.JSON {
			return errors.Join(err, json.NewEncoder(p.out).Encode(append([]backup.Pruned{}, pruned...)))
		}
		return errors.Join(err, printPruned(p.out, p.paste, pruned, c.DryRun))
	})
}

// undecided is an error where backups are kept because nothing says whose are meant.
func (backupPrune) undecided(v vault) error {
	all, err := v.Service.List(v.ctx)
	return errors.Join(err, v.Undecided(all))
}

// printPruned tells what Prune has done.
func printPruned(out io.Writer, paste *pasting, pruned []backup.Pruned, dryRun bool) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, d := range pruned {
		said := "removed"
		switch {
		case d.Keep != "":
			said = "kept: " + paste.complete(d.Keep)
		case dryRun:
			said = "would be removed"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", d.File, d.Target, said)
	}
	return table.Flush()
}
