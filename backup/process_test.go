package backup_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // makes the databases

	"manus/backup"
	"manus/backup/s3target"
	"manus/backup/sqlitedump"
	"manus/internal/processtest"
	"manus/internal/s3test"
	"manus/internal/waittest"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"backs up": backUpForever})
	m.Run()
}

// setup is what a backing up process is told.
type setup struct {
	Database string
	Folder   string // empty is none
	S3       *s3target.Config
	// Narrate prints a line before and after each step, for whoever kills it.
	Narrate bool
}

// service backs up the setup's database to its targets.
func (c setup) service(log io.Writer) (*backup.Service, error) {
	var targets []backup.Target
	if c.Folder != "" {
		targets = append(targets, backup.NewFolder(c.Folder))
	}
	if c.S3 != nil {
		bucket, err := s3target.New(*c.S3)
		if err != nil {
			return nil, err
		}
		targets = append(targets, bucket)
	}
	if c.Narrate {
		for i := range targets {
			targets[i] = narrated{targets[i]}
		}
	}
	return backup.New(backup.Config{
		Source: sqlitedump.New(c.Database), Targets: targets, Tool: "manus test",
		Retention: backup.Retention{Days: 30}, Log: slog.New(slog.NewTextHandler(log, nil)),
	}), nil
}

func backUpForever(args []string) error {
	var c setup
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return err
	}
	service, err := c.service(os.Stderr)
	for err == nil {
		say("begin")
		_, err = service.Create(context.Background(), backup.CreateOptions{Progress: func(p backup.Progress) { say(string(p.Stage)) }})
		say("end")
	}
	return err
}

func say(what string) { _, _ = fmt.Println(what) }

// narrated is a target that says what it is about to do, and what it has done.
type narrated struct{ backup.Target }

func (n narrated) Create(ctx context.Context, name string, size int64) (backup.Upload, error) {
	say("create")
	u, err := n.Target.Create(ctx, name, size)
	say("created")
	return narratedUpload{u}, err
}

func (n narrated) Put(ctx context.Context, name string, data []byte) error {
	say("put")
	defer say("was put")
	return n.Target.Put(ctx, name, data)
}

type narratedUpload struct{ backup.Upload }

func (u narratedUpload) Write(data []byte) (int, error) {
	say("write")
	return u.Upload.Write(data)
}

func (u narratedUpload) Commit() error {
	say("commit")
	defer say("committed")
	return u.Upload.Commit()
}

// newDatabase makes a database of about size bytes that can't be compressed.
func newDatabase(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manus.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec("CREATE TABLE things (id INTEGER PRIMARY KEY, data BLOB); " +
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < " + strconv.Itoa(size/1000) + ") INSERT INTO things SELECT i, randomblob(1000) FROM n")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// rounds is how often a process is killed.
func rounds(usually int) int { return processtest.Size(processtest.CrashRounds, usually) }

func TestKilledAtAnyMomentWhatIsListedCanBeRestored(t *testing.T) {
	t.Parallel()
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		killRounds(t, setup{Database: newDatabase(t, 700_000), Folder: filepath.Join(t.TempDir(), "backups")}, rounds(12), 1, 25)
	})
	t.Run("folder and bucket", func(t *testing.T) {
		t.Parallel()
		server := s3test.Start(t)
		killRounds(t, setup{
			Database: newDatabase(t, 6_500_000), // two parts
			Folder:   filepath.Join(t.TempDir(), "backups"),
			S3: &s3target.Config{
				Bucket: server.Bucket(t), Prefix: "here", Endpoint: server.Endpoint, Region: server.Region,
				AccessKey: server.AccessKey, SecretKey: server.SecretKey,
				PartSize: 5 << 20,
			},
		}, rounds(4), 2, 140)
	})
}

// killRounds kills a process that makes backups, each time after another one of about
// most lines that it prints, and restores what is listed then.
func killRounds(t *testing.T, c setup, n int, seed uint64, most int) {
	random := rand.New(rand.NewPCG(seed, 5))
	own := c
	if c.S3 != nil { // nobody else is there when it cleans up
		bucket := *c.S3
		bucket.OrphanAfter = time.Nanosecond
		own.S3 = &bucket
	}
	service, err := own.service(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	seen, made := map[string]bool{}, 0
	for range n {
		killAfter(t, c, 1+random.IntN(most))
		listed, err := service.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range listed {
			if b.Problem != "" {
				t.Errorf("%s has a problem: %s", b.File, b.Problem)
			}
			if seen[b.File] {
				continue
			}
			seen[b.File] = true
			made++
			if _, err := service.Verify(t.Context(), b, false, nil); err != nil {
				t.Errorf("%s is listed, but: %v", b.File, err)
			}
		}
	}
	t.Logf("of %d processes that were killed there are %d backups, all of which can be restored", n, made)
	if c.S3 != nil { // which knows when something was done by the second
		next := time.Now().Add(2 * time.Second)
		waittest.Poll(t, func() bool { return time.Now().After(next) })
	}
	last, err := service.Create(t.Context(), backup.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seen[last.File] = true
	checkNothingLeft(t, c, service, len(seen))
}

// killAfter starts a process and kills it when it has printed so many lines.
func killAfter(t *testing.T, c setup, lines int) {
	t.Helper()
	c.Narrate = true
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := processtest.Start(t, "backs up", string(text))
	for range lines {
		p.Await(t, "")
	}
	p.Kill(t)
}

// checkNothingLeft wants so many backups, each a file and a manifest, everywhere, and
// nothing else.
func checkNothingLeft(t *testing.T, c setup, service *backup.Service, backups int) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(c.Database))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "manus.db") || strings.Contains(entry.Name(), "drill") {
			t.Errorf("beside the database there is %s", entry.Name())
		}
	}
	if entries, err = os.ReadDir(c.Folder); err != nil || len(entries)%2 != 0 || len(entries) > 2*backups {
		t.Errorf("in the folder there are %d files of %d backups: %v", len(entries), backups, err)
	}
	for _, target := range service.Targets {
		left, err := target.Clean(t.Context(), "manus-", func(string) bool { return false })
		if err != nil || len(left) != 0 {
			t.Errorf("%s still had %v: %v", target, left, err)
		}
		files, err := target.List(t.Context(), "")
		if err != nil || len(files)%2 != 0 {
			t.Errorf("%s has %d files: %v", target, len(files), err)
		}
	}
}

// The network to the bucket fails a third of the time: there is a right object, or an
// error, and the folder's copy in any case.
func TestABadNetworkToTheBucketIsARightObjectOrAnError(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	proxy := server.Proxy(t, s3test.Random(11, 30, s3test.Answer(503, "SlowDown"), s3test.Answer(429, "TooManyRequests")))
	bucket := server.Bucket(t)
	config := s3target.Config{
		Bucket: bucket, Prefix: "p", Endpoint: proxy.Endpoint, Region: server.Region,
		AccessKey: server.AccessKey, SecretKey: server.SecretKey, Timeout: 2 * time.Second,
	}
	c := setup{Database: newDatabase(t, 300_000), Folder: filepath.Join(t.TempDir(), "backups"), S3: &config}
	service, err := c.service(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	direct := config
	direct.Endpoint = server.Endpoint
	for range 5 {
		m, err := service.Create(t.Context(), backup.CreateOptions{})
		if m.File == "" {
			t.Fatalf("not even the folder has a copy: %v", err)
		}
		straight, failed := s3target.New(direct)
		if failed != nil {
			t.Fatal(failed)
		}
		files, failed := straight.List(t.Context(), strings.TrimSuffix(m.File, ".sqlite.gz"))
		if failed != nil {
			t.Fatal(failed)
		}
		if err == nil && len(files) != 2 || err != nil && !errors.Is(err, backup.ErrUnavailable) {
			t.Errorf("of %s there are %v: %v", m.File, files, err)
		}
	}
	c.S3 = &direct
	if service, err = c.service(io.Discard); err != nil {
		t.Fatal(err)
	}
	listed, err := service.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range listed {
		if _, err := service.Verify(t.Context(), b, false, nil); err != nil {
			t.Errorf("%s: %v", b.File, err)
		}
	}
}
