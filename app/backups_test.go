package app

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"manus/backup"
	"manus/config"
	"manus/internal/waittest"
)

// metricsOf reads the metrics of a product.
func metricsOf(t *testing.T, a *App) string {
	t.Helper()
	response, err := http.Get("http://" + a.OpsAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAServerMakesItsFirstBackupByItself(t *testing.T) {
	t.Parallel()
	a, log := setup(t)
	waittest.Poll(t, func() bool { return a.schedule.Status().Verified.File != "" })
	verified := a.schedule.Status().Verified
	if _, err := os.Stat(filepath.Join(a.settings.Backup.Dir, verified.File)); err != nil {
		t.Error(err)
	}
	metrics := metricsOf(t, a)
	for _, pattern := range []string{
		`(?m)^manus_backup_verified_age_seconds [0-9.]+$`,
		`(?m)^manus_backup_good_age_seconds [0-9.]+$`,
		`(?m)^manus_backup_failures_in_a_row 0$`,
		`(?m)^manus_backup_runs_total{outcome="done",work="create"} 1$`,
		`(?m)^manus_backup_runs_total{outcome="done",work="verify"} 1$`,
		`(?m)^manus_backup_duration_seconds{work="create"} [0-9.e-]+$`,
		`(?m)^manus_backup_size_bytes{work="create"} [1-9][0-9]+$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(metrics) {
			t.Errorf("there is no %s", pattern)
		}
	}
	if !strings.Contains(log.String(), `"msg":"a backup was made"`) {
		t.Error("the log doesn't tell of it")
	}
}

func TestAChangedFileChangesHowBackupsAreMade(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	changed := a.settings
	changed.Backup.Policy.Compression, changed.Backup.Policy.Keep.Monthly = backup.Zstd, 12
	if err := a.apply(changed); err != nil {
		t.Fatal(err)
	}
	now := a.backups.Load()
	if now.Policy != changed.Backup.Policy || now.Policy.Compression != backup.Zstd || now.Retention != (backup.Retention{Days: 7, Keep: backup.Keep{Monthly: 12}}) {
		t.Errorf("it is %+v now", now.Policy)
	}
}

func TestAServerWithoutADestinationSaysThatItMakesNoBackups(t *testing.T) {
	t.Parallel()
	a, log := setup(t, func(s *config.Settings) { s.Backup.Dir = "" })
	if a.schedule != nil || !strings.Contains(log.String(), "no backups are made by this server: set BACKUP_DIR or S3_BUCKET") {
		t.Error("it doesn't say so")
	}
	_, log = setup(t, func(s *config.Settings) { s.Backup.Dir, s.Backup.Schedule = filepath.Join(s.DataDir, "backups"), nil })
	if said := log.String(); !strings.Contains(said, "as BACKUP_SCHEDULE is off") || strings.Contains(said, "BACKUP_DIR") {
		t.Errorf("where none are scheduled it says %s", said)
	}
}

func TestWhereABackupCanBeRestoredTo(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"data", "./x/y.db", "sqlite:///tmp/a.sqlite", "file:a.db"} {
		if r, err := FileRestorer(to); err != nil || r.Format() != backup.SQLite {
			t.Errorf("%s: %v", to, err)
		}
	}
	for _, to := range []string{"", "sqlite://", "mongodb://", "https://example.com", "postgres://u:hunter2@host/x"} {
		if _, err := FileRestorer(to); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", to, err)
		}
	}
}

// Without a name for the database a server backs up its own one, and a command every one, as
// mongodump does.
func TestWhichDatabaseIsBackedUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		environ         []string
		server, command string
	}{
		{[]string{"MONGODB_URI=mongodb://u:hunter2@host:27017"}, "manus", ""},
		{[]string{"MONGODB_URI=mongodb://host:27017/App"}, "App", "App"},
		{[]string{"MONGODB_URI=mongodb://host:27017", "MONGODB_DATABASE=app"}, "app", "app"},
	} {
		s, err := config.LoadSome(config.Source{Environ: c.environ}, "")
		if err != nil {
			t.Fatal(err)
		}
		if of := backupSource(s, nil, false).String(); of != "mongodb://host:27017/"+c.server {
			t.Errorf("with %v, a server backs up %s", c.environ, of)
		}
		if of := backupSource(s, nil, true).String(); of != "mongodb://host:27017/"+c.command {
			t.Errorf("with %v, a command backs up %s", c.environ, of)
		}
	}
}

func TestTheCommandThatRestoresHasNoSecret(t *testing.T) {
	t.Parallel()
	a := &App{settings: config.Settings{MongoDB: config.NewSecret("mongodb://u:hunter2@127.0.0.1/manus"), MongoDatabase: "manus"}}
	if got := a.restoreCommand(backup.Backup{Manifest: backup.Manifest{ID: "abc"}}); !strings.HasPrefix(got, "'manus backup restore abc --to mongodb --to-database manus_restored'") {
		t.Errorf("it is %s", got)
	}
}
