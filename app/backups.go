package app

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"manus/backup"
	"manus/backup/mongodump"
	"manus/backup/s3target"
	"manus/backup/sqlitedump"
	"manus/config"
	"manus/docstore"
	"manus/docstore/sqlitedocs"
)

// addBackups adds the backups, where they have somewhere to go, and on a server their
// schedule. Where none are scheduled, it is for what commands have to tell.
func (a *App) addBackups() error {
	b := a.settings.Backup
	r := room{name: "backups", specs: backup.Specs()}
	defer func() { a.add(r) }()
	r.promises = backup.Promises(backup.PromisesConfig{Service: a.Backups, When: b.Schedule, DataDir: a.fileFolder(), Trial: a.settings.Dev, Disk: a.options.world.diskOf})
	switch {
	case a.options.Offline:
	case !b.Configured():
		a.log.Warn("no backups are made by this server: set BACKUP_DIR or S3_BUCKET")
	case b.Schedule == nil:
		a.log.Warn("no backups are made by this server, as BACKUP_SCHEDULE is off: have 'manus backup create' run by another")
	}
	if !b.Configured() {
		return nil
	}
	metrics := backup.NewMetrics(a.registry)
	configure := func(policy backup.Policy) (func(), error) {
		service, err := a.newBackups(policy, metrics)
		return func() { a.backups.Store(service) }, err
	}
	put, err := configure(b.Policy)
	if err != nil {
		return err
	}
	if put(); a.options.Offline {
		return nil
	}
	a.schedule = backup.NewSchedule(backup.ScheduleConfig{
		Service: a.Backups,
		When:    b.Schedule,
		Store:   a.store,
		Leases:  a.leases,
		Metrics: a.registry,
	})
	r.run = a.schedule.Run
	r.apply = func(s config.Settings) (func(), error) { return configure(s.Backup.Policy) }
	return nil
}

// fileFolder is where the embedded store is; empty where there is another.
func (a *App) fileFolder() string {
	if !a.settings.MongoDB.Empty() {
		return ""
	}
	return a.settings.DataDir
}

// Backups makes, lists, verifies and restores backups as manus.yaml stands now. It is
// there where settings say where backups go.
func (a *App) Backups() *backup.Service { return a.backups.Load() }

// transient are the names of the collections whose documents come and go.
func transient(specs []docstore.Spec) (names []string) {
	for _, spec := range specs {
		if spec.Transient {
			names = append(names, spec.Collection)
		}
	}
	return names
}

// newBackups makes the service that backs up the store of the settings to their targets.
func (a *App) newBackups(policy backup.Policy, metrics *backup.Metrics) (*backup.Service, error) {
	s := a.settings
	targets, err := backupTargets(s.Backup, policy)
	if err != nil {
		return nil, err
	}
	c := backup.Config{
		Source:     backupSource(s, a.options.Subprocess, a.options.Offline),
		Targets:    targets,
		Policy:     policy,
		Recipients: s.Backup.Recipients,
		Retention:  backup.Retention{Days: s.Backup.RetentionDays, Keep: policy.Keep},
		Tool:       strings.TrimSpace("manus " + a.options.Version.Version),
		Transient:  transient(Specs()),
		Metrics:    metrics,
		Log:        a.log,
	}
	if !a.options.Offline {
		c.Alarm = backupAlarm{a}
	}
	if a.options.Offline {
		c.OpenStore = func(ctx context.Context) (docstore.Store, error) { return openBackups(ctx, s) }
	} else {
		c.OpenStore = func(context.Context) (docstore.Store, error) { return a.sharedStore() }
		c.Workers = max(1, runtime.GOMAXPROCS(0)/2) // half of the processors are the requests'
	}
	if !s.Backup.Identity.Empty() {
		c.Identities, err = backup.ParseIdentities(s.Backup.Identity.Reveal())
	}
	return backup.New(c), err
}

// openBackups opens the store of a command with the state of backups, if there is one. In a
// MongoDB that isn't a server's nothing else is made.
func openBackups(ctx context.Context, s config.Settings) (docstore.Store, error) {
	if err := storeExists(ctx, s, ""); errors.Is(err, fs.ErrNotExist) {
		return nil, docstore.ErrNotFound
	}
	return openWith(ctx, s, backup.Specs())
}

// sharedStore is the server's store. There is none while it starts on one that can't be
// opened.
func (a *App) sharedStore() (docstore.Store, error) {
	if a.store == nil {
		return nil, docstore.ErrNotFound
	}
	return shared{a.store}, nil
}

// shared is the server's store for those who would close it.
type shared struct{ docstore.Store }

func (shared) Close() error { return nil }

// backupSource is what backups are made of. A server makes them of its own database; a
// command where none is named, as mongodump does, of every one.
func backupSource(s config.Settings, command sqlitedump.Command, offline bool) backup.Source {
	switch {
	case !s.MongoDB.Empty() && s.MongoUnnamed && offline:
		return mongodump.NewSource(s.MongoDB.Reveal(), "")
	case !s.MongoDB.Empty():
		return mongodump.NewSource(s.MongoDB.Reveal(), s.MongoDatabase)
	}
	path := StoreFile(s.DataDir)
	if command != nil {
		return ownFile{sqlitedump.NewSubprocess(path, command), path}
	}
	return ownFile{sqlitedump.New(path), path}
}

// ownFile is the embedded store's file as a source. What isn't a store any more is
// refused as it is where it is opened, and not touched.
type ownFile struct {
	backup.Source
	path string
}

// Size is the source's.
func (f ownFile) Size(ctx context.Context) (int64, error) {
	if err := sqlitedocs.CheckFile(ctx, f.path); err != nil {
		return 0, err
	}
	return f.Source.Size(ctx)
}

// Dump is the source's.
func (f ownFile) Dump(ctx context.Context, w io.Writer, progress func(written int64)) (backup.Contents, error) {
	if err := sqlitedocs.CheckFile(ctx, f.path); err != nil {
		return backup.Contents{}, err
	}
	return f.Source.Dump(ctx, w, progress)
}

// BackupWork does what BackupOptions.Subprocess has started this process for. It returns
// the process's exit code.
func BackupWork(ctx context.Context, args []string, stdout io.Writer) int {
	return sqlitedump.Work(ctx, args, stdout)
}

// backupTargets are the folder and the bucket, the nearer first.
func backupTargets(b config.Backup, policy backup.Policy) ([]backup.Target, error) {
	var targets []backup.Target
	if b.Dir != "" {
		targets = append(targets, backup.NewFolder(b.Dir))
	}
	if b.S3.Bucket != "" {
		bucket, err := s3target.New(s3target.Config{
			Bucket: b.S3.Bucket, Prefix: b.S3.Prefix, Endpoint: b.S3.Endpoint, Region: b.S3.Region,
			AccessKey: b.S3.AccessKey.Reveal(), SecretKey: b.S3.SecretKey.Reveal(), SessionToken: b.S3.SessionToken.Reveal(), Role: b.S3.Role,
			LockMode: policy.S3.ObjectLock.Mode, LockDays: policy.S3.ObjectLock.Days,
			Encryption: policy.S3.Encryption, KMSKey: policy.S3.KMSKey,
			Bandwidth: policy.S3.Bandwidth,
		})
		if err != nil {
			return nil, err
		}
		targets = append(targets, bucket)
	}
	return targets, nil
}

// MongoRestorer is the MongoDB of the settings, as where a backup is restored to.
func MongoRestorer(s config.Settings) backup.Restorer {
	restorer := mongodump.NewRestorer(s.MongoDB.Reveal(), s.MongoDatabase)
	if s.MongoUnnamed {
		restorer.UnderOwnNames()
	}
	return &unserved{Restorer: restorer, settings: s, databases: []string{s.MongoDatabase}}
}

// unserved is a restorer into MongoDB that changes nothing while a server is at work there:
// an empty collection is dropped too, and made anew.
type unserved struct {
	backup.Restorer
	settings  config.Settings
	databases []string
	checked   time.Time // when there was none
}

// stillUnserved is how long it is taken for granted that no server has been started.
const stillUnserved = 10 * time.Second

// Plan tells what Restore would do, and of a server that keeps it from that.
func (u *unserved) Plan(ctx context.Context, contents *backup.Contents, o backup.RestoreOptions) (backup.Plan, error) {
	if contents != nil && contents.Databases {
		u.databases = contents.DatabaseNames()
	}
	plan, err := u.Restorer.Plan(ctx, contents, o)
	if err == nil {
		err = u.check(ctx)
	}
	return plan, err
}

// Restore restores, unless a server is at work.
func (u *unserved) Restore(ctx context.Context, dump io.Reader, o backup.RestoreOptions, progress func(int64)) (backup.Contents, error) {
	if err := u.check(ctx); err != nil {
		return backup.Contents{}, err
	}
	return u.Restorer.Restore(ctx, dump, o, progress)
}

func (u *unserved) check(ctx context.Context) error {
	if time.Since(u.checked) < stillUnserved {
		return nil
	}
	for _, database := range u.databases {
		s := u.settings
		s.MongoDatabase = database
		if err := checkUnserved(ctx, s); err != nil {
			return err
		}
	}
	u.checked = time.Now()
	return nil
}

// FileRestorer is a file of SQLite, or that of a data folder, as where a backup is restored
// to.
func FileRestorer(to string) (backup.Restorer, error) {
	path := to
	for _, scheme := range []string{"sqlite://", "sqlite:", "file://", "file:"} {
		path = strings.TrimPrefix(path, scheme)
	}
	if strings.Contains(path, "://") || path == "" {
		return nil, errors.New("it is neither a mongodb:// URI nor a path")
	}
	if !slices.Contains([]string{".db", ".sqlite", ".sqlite3"}, filepath.Ext(path)) {
		path = StoreFile(path)
	}
	return sqlitedump.NewRestorer(path), nil
}
