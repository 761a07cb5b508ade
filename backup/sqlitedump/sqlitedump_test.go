package sqlitedump

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"manus/backup"
	"manus/internal/processtest"
)

func noProgress(int64) {}

// eachSource runs the test with a source of this process and with one of a subprocess, of a
// database of its own.
func eachSource(t *testing.T, test func(t *testing.T, s *Source)) {
	t.Helper()
	t.Run("in this process", func(t *testing.T) {
		t.Parallel()
		test(t, New(filepath.Join(t.TempDir(), "manus.db")))
	})
	t.Run("subprocess", func(t *testing.T) {
		t.Parallel()
		test(t, newSubprocess(filepath.Join(t.TempDir(), "manus.db")))
	})
}

func newSubprocess(path string) *Source {
	return NewSubprocess(path, func(ctx context.Context, args ...string) *exec.Cmd { return processtest.Command(ctx, "work", args...) })
}

// openDB opens the file as a server does, and makes it if need be.
func openDB(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := openLogged(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func openLogged(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

func exec1(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// fillPeople makes tables with rows of all kinds.
func fillPeople(t *testing.T, path string, rows int) {
	t.Helper()
	db := openDB(t, path)
	exec1(t, db,
		`CREATE TABLE people (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT`,
		`CREATE INDEX people_by_name ON people (doc ->> '$.name')`,
		`CREATE TABLE things (a INTEGER PRIMARY KEY, b REAL, c BLOB, d, e TEXT GENERATED ALWAYS AS (upper(d)) STORED)`,
		`CREATE TABLE pairs (x, y, PRIMARY KEY (x, y)) WITHOUT ROWID`,
		`CREATE TRIGGER none AFTER INSERT ON pairs WHEN new.x = 'never' BEGIN DELETE FROM things; END`,
		`PRAGMA user_version = 7`,
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO people SELECT 'id' || (i * 7919 %% %[1]d), json_object('name', 'name' || i, 'text', hex(randomblob(100))) FROM n`, rows),
		`INSERT INTO things (b, c, d) SELECT length(id) / 3.0, randomblob(length(doc)), CASE WHEN rowid % 3 THEN id END FROM people`,
		`INSERT INTO pairs SELECT id, length(doc) FROM people`,
	)
}

func dump(t *testing.T, s *Source) ([]byte, backup.Contents) {
	t.Helper()
	var out bytes.Buffer
	contents, err := s.Dump(t.Context(), &out, noProgress)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), contents
}

func drill(t *testing.T, s *Source, dump []byte) backup.Contents {
	t.Helper()
	contents, err := s.Drill(t.Context(), bytes.NewReader(dump), noProgress)
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

func sameContents(a, b backup.Contents) bool {
	return a.Server == b.Server && slices.Equal(a.Collections, b.Collections)
}

// names lists a folder.
func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

func scratches(t *testing.T, path string) []string {
	t.Helper()
	return slices.DeleteFunc(names(t, filepath.Dir(path)), func(name string) bool {
		return !strings.Contains(name, forDrill) && !strings.Contains(name, forRestore)
	})
}

func TestADumpIsTheDatabaseAndOpensWithoutALog(t *testing.T) {
	t.Parallel()
	eachSource(t, func(t *testing.T, s *Source) {
		fillPeople(t, s.path, 2000)
		out, contents := dump(t, s)
		exec1(t, openDB(t, s.path), "PRAGMA wal_checkpoint(TRUNCATE)")
		file, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		standAlone(file)
		if !bytes.Equal(out, file) {
			t.Error("the dump isn't what the file is")
		}
		var counts []string
		for _, c := range contents.Collections {
			counts = append(counts, fmt.Sprint(c.Name, c.Documents))
		}
		if !slices.Equal(counts, []string{"pairs2000", "people2000", "things2000"}) || !strings.HasPrefix(contents.Server, "SQLite 3.") {
			t.Errorf("it has %v of %s", counts, contents.Server)
		}
		if drilled := drill(t, s, out); !sameContents(drilled, contents) {
			t.Errorf("the drill found %+v; dumped was %+v", drilled, contents)
		}
		if left := scratches(t, s.path); len(left) > 0 {
			t.Errorf("the drill has left %v", left)
		}
	})
}

func TestProgressAndSizeAreThoseOfTheDump(t *testing.T) {
	t.Parallel()
	eachSource(t, func(t *testing.T, s *Source) {
		fillPeople(t, s.path, 1000)
		var written, read int64
		var out bytes.Buffer
		if _, err := s.Dump(t.Context(), &out, func(n int64) { written = n }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Drill(t.Context(), bytes.NewReader(out.Bytes()), func(n int64) { read = n }); err != nil {
			t.Fatal(err)
		}
		size, err := s.Size(t.Context())
		if err != nil || written != int64(out.Len()) || read != written || size < written || size > 3*written {
			t.Errorf("%d bytes; written %d, read %d, size %d, %v", out.Len(), written, read, size, err)
		}
	})
}

// The ledger's invariant: moves keep the sum of the accounts and count themselves.
const (
	accounts = 200
	capital  = accounts * 1000
)

func makeLedger(db *sql.DB) error {
	for _, statement := range []string{
		`CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, padding TEXT NOT NULL)`,
		`CREATE TABLE moves (n INTEGER PRIMARY KEY, amount INTEGER NOT NULL)`,
		`CREATE TABLE total (moves INTEGER NOT NULL)`,
		`INSERT INTO total VALUES (0)`,
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO accounts SELECT i, 1000, hex(zeroblob(1500)) FROM n`, accounts-1),
	} {
		if _, err := db.Exec(statement); err != nil {
			return err
		}
	}
	return nil
}

func move(db *sql.DB, i int) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	for _, statement := range []string{
		fmt.Sprintf("UPDATE accounts SET balance = balance - 1 WHERE id = %d", i*7%accounts),
		fmt.Sprintf("UPDATE accounts SET balance = balance + 1 WHERE id = %d", i*13%accounts),
		"INSERT INTO moves (amount) VALUES (1)",
		"UPDATE total SET moves = moves + 1",
	} {
		if _, err := tx.Exec(statement); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// writeProcess moves until it is killed.
func writeProcess(args []string) error {
	go func() { processtest.UntilInputEnds(); os.Exit(0) }()
	db, err := openLogged(args[0])
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := move(db, i); err != nil {
			return err
		}
		fmt.Println("moved")
	}
}

// checkLedger returns how many moves a dump has.
func checkLedger(t *testing.T, dump []byte) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dump.db")
	if err := os.WriteFile(path, dump, 0o600); err != nil {
		t.Fatal(err)
	}
	var sum, moves, total int
	row := openDB(t, path).QueryRowContext(t.Context(), "SELECT (SELECT sum(balance) FROM accounts), (SELECT count(*) FROM moves), (SELECT moves FROM total)")
	if err := row.Scan(&sum, &moves, &total); err != nil {
		t.Fatal(err)
	}
	if sum != capital || moves != total {
		t.Errorf("the accounts sum up to %d; %d moves, counted as %d", sum, moves, total)
	}
	return moves
}

// pausing is a buffer that lets others do something before it takes the first bytes.
type pausing struct {
	bytes.Buffer
	meanwhile func()
}

func (p *pausing) Write(b []byte) (int, error) {
	if p.Len() == 0 {
		p.meanwhile()
	}
	return p.Buffer.Write(b)
}

func TestDumpsWhileOthersWriteAreOfOneMoment(t *testing.T) {
	t.Parallel()
	eachSource(t, func(t *testing.T, s *Source) {
		db := openDB(t, s.path)
		if err := makeLedger(db); err != nil {
			t.Fatal(err)
		}
		other := processtest.Start(t, "write", s.path)
		other.Await(t, "moved")
		var own atomic.Int64
		moved, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case moved <- struct{}{}:
				default:
				}
				if err := move(db, i); err != nil {
					t.Error(err)
					return
				}
				own.Add(1)
			}
		}()
		for range 3 {
			out := pausing{meanwhile: func() { // both have committed after the snapshot
				for range 10 {
					<-moved
					other.Await(t, "moved")
				}
			}}
			contents, err := s.Dump(t.Context(), &out, noProgress)
			if err != nil {
				t.Fatal(err)
			}
			if drilled := drill(t, s, out.Bytes()); !sameContents(drilled, contents) {
				t.Errorf("rows were read of another moment than pages: %+v and %+v", contents, drilled)
			}
			if moves := checkLedger(t, out.Bytes()); moves == 0 {
				t.Error("nothing was written before the dump")
			}
		}
		close(stop)
		<-stopped
		other.Kill(t)
	})
}

func TestAWriterWhoHoldsTheLockDoesntKeepDumpsFromBeingMade(t *testing.T) {
	t.Parallel()
	s := New(filepath.Join(t.TempDir(), "manus.db"))
	db := openDB(t, s.path)
	if err := makeLedger(db); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO moves (amount) VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	out, contents := dump(t, s)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if drilled := drill(t, s, out); !sameContents(drilled, contents) || checkLedger(t, out) != 0 {
		t.Errorf("%+v and %+v", contents, drilled)
	}
}

func TestADumpCanBeMadeWhenTheDiskIsFull(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	fillPeople(t, path, 2000) // and is still open: there is a log
	s := NewSubprocess(path, func(ctx context.Context, args ...string) *exec.Cmd {
		return processtest.Command(ctx, "work, when the disk is full", args...)
	})
	out, contents := dump(t, s)
	if drilled := drill(t, s, out); !sameContents(drilled, contents) {
		t.Errorf("%+v and %+v", contents, drilled)
	}
}

// To read a database with a log that nobody has open takes a little space.
func TestADiskThatIsTooFullToReadIsToldAsThat(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	db, err := openLogged(path)
	if err != nil {
		t.Fatal(err)
	}
	exec1(t, db, "CREATE TABLE t (x)")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := NewSubprocess(path, func(ctx context.Context, args ...string) *exec.Cmd {
		return processtest.Command(ctx, "work, when the disk is almost full", args...)
	})
	if _, err := s.Dump(t.Context(), io.Discard, noProgress); !errors.Is(err, backup.ErrUnavailable) || !strings.Contains(err.Error(), "no space left") || strings.Contains(err.Error(), "can't be read") {
		t.Errorf("got %v", err)
	}
}

func TestADatabaseWithoutTablesOrPagesCanBeDumped(t *testing.T) {
	t.Parallel()
	eachSource(t, func(t *testing.T, s *Source) {
		if err := os.WriteFile(s.path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		out, contents := dump(t, s)
		if drilled := drill(t, s, out); !sameContents(drilled, contents) || len(contents.Collections) != 0 {
			t.Errorf("%+v and %+v", contents, drilled)
		}
		exec1(t, openDB(t, s.path), "CREATE TABLE none (a)")
		out, contents = dump(t, s)
		if drilled := drill(t, s, out); !sameContents(drilled, contents) || len(contents.Collections) != 1 {
			t.Errorf("%+v and %+v", contents, drilled)
		}
	})
}

func TestWhatIsNoDatabaseIsAClearError(t *testing.T) {
	t.Parallel()
	eachSource(t, func(t *testing.T, s *Source) {
		_, err := s.Dump(t.Context(), io.Discard, noProgress)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), s.path) {
			t.Errorf("no file: %v", err)
		}
		if _, err := s.Size(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the size of no file: %v", err)
		}
		if left := names(t, filepath.Dir(s.path)); len(left) > 0 {
			t.Errorf("it has made %v", left)
		}
		if err := os.WriteFile(s.path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Dump(t.Context(), io.Discard, noProgress); err == nil || !strings.Contains(err.Error(), "no SQLite database") {
			t.Errorf("no database: %v", err)
		}
		folder := *s
		folder.path = filepath.Dir(s.path)
		if _, err := folder.Dump(t.Context(), io.Discard, noProgress); err == nil || !strings.Contains(err.Error(), "is no file") {
			t.Errorf("a folder: %v", err)
		}
	})
}

func TestADamagedDatabaseFailsToBeDumpedOrToBeDrilled(t *testing.T) {
	t.Parallel()
	eachSource(t, func(t *testing.T, s *Source) {
		fillPeople(t, s.path, 2000)
		exec1(t, openDB(t, s.path), "PRAGMA wal_checkpoint(TRUNCATE)")
		good, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		damagedPath := filepath.Join(t.TempDir(), "damaged.db")
		for page := 1; page < len(good)/4096; page += 89 {
			bad := slices.Clone(good)
			copy(bad[page*4096:], bytes.Repeat([]byte{0xa5}, 4096))
			if err := os.WriteFile(damagedPath, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			of := *s
			of.path = damagedPath
			var out bytes.Buffer
			if _, err := of.Dump(t.Context(), &out, noProgress); err != nil {
				continue // as good as it gets
			}
			if _, err := of.Drill(t.Context(), &out, noProgress); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("page %d was damaged: %v", page, err)
			}
		}
	})
}

func TestAProcessThatDiesIsAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	fillPeople(t, path, 10)
	for name, s := range map[string]*Source{
		"that dies": NewSubprocess(path, func(ctx context.Context, args ...string) *exec.Cmd { return processtest.Command(ctx, "die", args...) }),
		"that isn't": NewSubprocess(path, func(ctx context.Context, args ...string) *exec.Cmd {
			return exec.CommandContext(ctx, filepath.Join(filepath.Dir(path), "nothing"))
		}),
		"of another version": NewSubprocess(path, func(ctx context.Context, args ...string) *exec.Cmd {
			return processtest.Command(ctx, "work", "something else", path)
		}),
	} {
		_, err := s.Dump(t.Context(), io.Discard, noProgress)
		if err == nil || name == "that dies" && !(errors.Is(err, backup.ErrUnavailable) && strings.Contains(err.Error(), "out of luck")) {
			t.Errorf("a process %s: %v", name, err)
		}
	}
}

func TestAWriterThatFailsEndsTheDumpWithItsError(t *testing.T) {
	t.Parallel()
	eachSource(t, func(t *testing.T, s *Source) {
		fillPeople(t, s.path, 2000)
		full := errors.New("the target is full")
		reader, writer := io.Pipe()
		go func() {
			_, _ = io.CopyN(io.Discard, reader, 1000)
			_ = reader.CloseWithError(full)
		}()
		if _, err := s.Dump(t.Context(), writer, noProgress); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
		var out bytes.Buffer
		if _, err := s.Drill(t.Context(), io.MultiReader(&out, errReader{full}), noProgress); !errors.Is(err, full) || errors.Is(err, backup.ErrDamaged) {
			t.Errorf("got %v", err)
		}
	})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
