package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"manus/backup"
	"manus/backup/mongodump"
	"manus/backup/s3target"
	"manus/backup/sqlitedump"
	"manus/config"
	"manus/docstore"
)

// BackupOptions is what backups are made of beside the settings.
type BackupOptions struct {
	Version string
	Workers int // that compress; 0 is one a processor
	// Subprocess starts this program as a subprocess that gives its arguments to
	// BackupWork; nil means that all is done in this process.
	Subprocess func(ctx context.Context, args ...string) *exec.Cmd
	// OpenStore is as backup.Config has it.
	OpenStore func(context.Context) (docstore.Store, error)
	Metrics   *backup.Metrics // nil for none
	Log       *slog.Logger
}

// Backups makes the service that backs up the store of the settings to their targets.
func Backups(s config.Settings, o BackupOptions) (*backup.Service, error) {
	targets, err := backupTargets(s.Backup)
	if err != nil {
		return nil, err
	}
	source, err := backupSource(s, o.Subprocess)
	if err != nil {
		return nil, err
	}
	c := backup.Config{
		Source:      source,
		Targets:     targets,
		Compression: s.Backup.Policy.Compression,
		Recipients:  s.Backup.Recipients,
		Retention: backup.Retention{
			Days:    s.Backup.RetentionDays,
			Daily:   s.Backup.Policy.Keep.Daily,
			Weekly:  s.Backup.Policy.Keep.Weekly,
			Monthly: s.Backup.Policy.Keep.Monthly,
		},
		Workers:   o.Workers,
		Tool:      "manus " + o.Version,
		Alarm:     logAlarm{o.Log},
		OpenStore: o.OpenStore,
		Metrics:   o.Metrics,
		Log:       o.Log,
	}
	if !s.Backup.Identity.Empty() {
		c.Identities, err = backup.ParseIdentities(s.Backup.Identity.Reveal())
	}
	return backup.New(c), err
}

func backupSource(s config.Settings, command sqlitedump.Command) (backup.Source, error) {
	switch {
	case !s.MongoDB.Empty():
		return mongodump.NewSource(s.MongoDB.Reveal(), s.MongoDatabase), nil
	case command != nil:
		return sqlitedump.NewSubprocess(StoreFile(s.DataDir), command), nil
	}
	return sqlitedump.New(StoreFile(s.DataDir))
}

// BackupWork does what BackupOptions.Subprocess has started this process for. It returns
// the process's exit code.
func BackupWork(ctx context.Context, args []string, stdout io.Writer) int {
	return sqlitedump.Work(ctx, args, stdout)
}

// backupTargets are the folder and the bucket, the nearer first.
func backupTargets(b config.Backup) ([]backup.Target, error) {
	var targets []backup.Target
	if b.Dir != "" {
		targets = append(targets, backup.NewFolder(b.Dir))
	}
	if b.S3.Bucket != "" {
		bucket, err := s3target.New(s3target.Config{
			Bucket: b.S3.Bucket, Prefix: b.S3.Prefix, Endpoint: b.S3.Endpoint, Region: b.S3.Region,
			AccessKey: b.S3.AccessKey.Reveal(), SecretKey: b.S3.SecretKey.Reveal(),
			LockMode: b.Policy.S3.ObjectLock.Mode, LockDays: b.Policy.S3.ObjectLock.Days,
			Encryption: b.Policy.S3.Encryption, KMSKey: b.Policy.S3.KMSKey,
		})
		if err != nil {
			return nil, err
		}
		targets = append(targets, bucket)
	}
	return targets, nil
}

// Restorer is where a backup is restored to: a mongodb:// URI with a database, a file
// of SQLite, or a data folder.
func Restorer(to string) (backup.Restorer, error) {
	if strings.HasPrefix(to, "mongodb://") || strings.HasPrefix(to, "mongodb+srv://") {
		settings, err := config.LoadStore(config.Source{Environ: []string{"MONGODB_URI=" + to}}, "")
		if err != nil {
			return nil, errors.New("it isn't a mongodb:// URI with a host")
		}
		return mongodump.NewRestorer(settings.MongoDB.Reveal(), settings.MongoDatabase), nil
	}
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
	return sqlitedump.NewRestorer(path)
}

// logAlarm writes alerts into the log.
type logAlarm struct{ log *slog.Logger }

// Tell writes an alert into the log.
func (a logAlarm) Tell(ctx context.Context, alert backup.Alert) error {
	level := slog.LevelError
	if alert.Over {
		level = slog.LevelInfo
	}
	a.log.Log(ctx, level, alert.Text, "alert", alert.Key, "over", alert.Over)
	return nil
}

// serverWorkers leaves half of the processors to the requests.
func serverWorkers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// newSchedule makes the schedule of backups, or nil where none are configured. Where
// none are scheduled, it is for what commands have to tell.
func (a *App) newSchedule(o Options) error {
	if !o.Settings.Backup.Configured() || o.Settings.Backup.Schedule == nil {
		a.log.Warn("no backups are made by this server: set BACKUP_DIR or S3_BUCKET, and BACKUP_SCHEDULE")
	}
	if !o.Settings.Backup.Configured() {
		return nil
	}
	if err := a.setBackups(o.Settings.Backup); err != nil {
		return err
	}
	a.schedule = backup.NewSchedule(backup.ScheduleConfig{
		Service: func() *backup.Service { return a.backups.Load().service },
		Policy:  func() backup.Policy { return a.backups.Load().policy },
		When:    o.Settings.Backup.Schedule,
		Store:   a.store,
		Leases:  a.leases,
		Metrics: a.metrics.registry,
		Log:     a.log,
	})
	return nil
}

// backups is how backups are made, as manus.yaml stands now.
type backups struct {
	service *backup.Service
	policy  backup.Policy
}

// setBackups puts a policy in force.
func (a *App) setBackups(b config.Backup) error {
	s := a.settings
	s.Backup = b
	service, err := Backups(s, BackupOptions{
		Version: a.version, Workers: serverWorkers(), Subprocess: a.subprocess, Metrics: a.metrics.backups, Log: a.log,
	})
	if err == nil {
		a.backups.Store(&backups{service, b.Policy})
	}
	return err
}
