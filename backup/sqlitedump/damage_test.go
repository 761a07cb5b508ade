package sqlitedump

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/backup"
	"manus/internal/processtest"
	"manus/internal/waittest"
)

// Every byte of a dump that means something is noticed when it changes. Those in free
// space mean nothing, nor do those where a row has the key that stands beside it anyway: then
// SQLite reads the same out of the damaged dump as out of the good one.
func TestADrillNoticesEveryChangeThatMeansSomething(t *testing.T) {
	t.Parallel()
	s := New(filepath.Join(t.TempDir(), "manus.db"))
	fillPeople(t, s.path, 300)
	good, contents := dump(t, s)
	random := rand.New(rand.NewPCG(7, 24))
	means := meaning(t, good)
	rejected, differ, same := 0, 0, 0
	for i := range processtest.Size(processtest.Damages, 250) {
		bad := slices.Clone(good)
		at := random.IntN(len(bad))
		if i < headerSize {
			at = i
		}
		bad[at] ^= 1 << random.IntN(8)
		drilled, err := s.Drill(t.Context(), bytes.NewReader(bad), noProgress)
		switch {
		case errors.Is(err, backup.ErrDamaged):
			rejected++
		case err != nil:
			t.Errorf("byte %d: %v", at, err)
		case !sameContents(drilled, contents):
			differ++
		case at < headerSize:
			same++ // counters, and settings that no table is affected by
		case meaning(t, bad) != means:
			t.Errorf("byte %d was changed, and the drill found the same", at)
		default:
			same++
		}
	}
	t.Logf("%d were rejected, %d differ, %d mean nothing", rejected, differ, same)
	if rejected == 0 || differ == 0 {
		t.Error("the test is no test")
	}
}

// meaning is all that SQLite reads in a dump: the schema, and every value with its type.
func meaning(t *testing.T, dump []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "from.db")
	if err := os.WriteFile(path, dump, 0o600); err != nil {
		t.Fatal(err)
	}
	db := openDB(t, path)
	var all strings.Builder
	for _, table := range []string{"pragma_user_version", "(SELECT type, name, tbl_name, sql FROM sqlite_schema)", "people", "things", "pairs"} {
		writeRows(t, &all, db, table)
	}
	return all.String()
}

func writeRows(t *testing.T, to io.Writer, db *sql.DB, table string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	row, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range row {
		into[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(to, "%#v\n", row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestADumpThatIsTooShortOrTooLongIsDamaged(t *testing.T) {
	t.Parallel()
	s := New(filepath.Join(t.TempDir(), "manus.db"))
	fillPeople(t, s.path, 300)
	good, _ := dump(t, s)
	for _, size := range []int{0, 1, 50, 99, 100, 101, 4095, 4096, 8192, len(good) / 2, len(good) - 4096, len(good) - 1} {
		if _, err := s.Drill(t.Context(), bytes.NewReader(good[:size]), noProgress); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%d of %d bytes: %v", size, len(good), err)
		}
	}
	for _, more := range []int{1, 4096} {
		if _, err := s.Drill(t.Context(), bytes.NewReader(append(slices.Clone(good), make([]byte, more)...)), noProgress); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%d bytes more: %v", more, err)
		}
	}
	if left := scratches(t, s.path); len(left) > 0 {
		t.Errorf("the drills have left %v", left)
	}
}

func TestADrillNoticesRowsThatReferToNothing(t *testing.T) {
	t.Parallel()
	s := New(filepath.Join(t.TempDir(), "manus.db"))
	exec1(t, openDB(t, s.path), "CREATE TABLE a (id INTEGER PRIMARY KEY)", "CREATE TABLE b (a REFERENCES a)", "INSERT INTO b VALUES (1)")
	out, _ := dump(t, s)
	if _, err := s.Drill(t.Context(), bytes.NewReader(out), noProgress); !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), "table b") {
		t.Errorf("got %v", err)
	}
}

// It isn't parallel, so that the goroutines which it looks for are its own.
func TestACancelledDumpOrDrillEndsSoonAndLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "manus.db")
	fillPeople(t, path, 12_000)
	here, elsewhere := New(path), newSubprocess(path)
	out, _ := dump(t, here)
	for name, s := range map[string]*Source{"in this process": here, "in a subprocess": elsewhere} {
		for _, after := range []int64{-1, 0, int64(len(out)) / 2, int64(len(out))} {
			ended := cancelAfter(t, after, func(ctx context.Context, progress func(int64)) error {
				_, err := s.Dump(ctx, &bytes.Buffer{}, progress)
				return err
			})
			if !ended && after < int64(len(out)) {
				t.Errorf("%s: a dump, cancelled after %d bytes, went on", name, after)
			}
			ended = cancelAfter(t, after, func(ctx context.Context, progress func(int64)) error {
				_, err := s.Drill(ctx, bytes.NewReader(out), progress)
				return err
			})
			if !ended { // it has to check all after the last byte
				t.Errorf("%s: a drill, cancelled after %d bytes, went on", name, after)
			}
		}
	}
	if left := scratches(t, path); len(left) > 0 {
		t.Errorf("the drills have left %v", left)
	}
	awaitNoGoroutines(t)
}

// cancelAfter cancels f when it has made the progress, and tells whether it has
// returned that.
func cancelAfter(t *testing.T, bytes int64, f func(ctx context.Context, progress func(int64)) error) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if bytes < 0 {
		cancel()
	}
	var cancelled time.Time
	err := f(ctx, func(n int64) {
		if n >= bytes && cancelled.IsZero() {
			cancelled = time.Now()
			cancel()
		}
	})
	if took := time.Since(cancelled); !cancelled.IsZero() && took > 20*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	return err != nil
}

// awaitNoGoroutines waits until none of the package's, or of SQLite's, runs.
func awaitNoGoroutines(t *testing.T) {
	t.Helper()
	waittest.Poll(t, func() bool {
		var all strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&all, 2); err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(strings.Split(all.String(), "\n\n"), func(stack string) bool {
			return !strings.Contains(stack, "testing.") && !strings.Contains(stack, "connectionOpener") &&
				(strings.Contains(stack, "sqlite") || strings.Contains(stack, "os/exec") || strings.Contains(stack, "database/sql"))
		})
	})
}

// drillProcess drills what it reads.
func drillProcess(args []string) error {
	_, err := New(args[0]).Drill(context.Background(), os.Stdin, func(read int64) { fmt.Println("read", read) })
	return err
}

func TestTheNextDrillRemovesWhatAKilledOneHasLeft(t *testing.T) {
	t.Parallel()
	s := New(filepath.Join(t.TempDir(), "manus.db"))
	fillPeople(t, s.path, 2500)
	out, contents := dump(t, s)
	killed, alive := processtest.Start(t, "drill", s.path), processtest.Start(t, "drill", s.path)
	for _, p := range []*processtest.Process{killed, alive} {
		if _, err := p.Input.Write(out[:len(out)/2]); err != nil {
			t.Fatal(err)
		}
		p.Await(t, "read")
	}
	killed.Kill(t)
	if left := scratches(t, s.path); len(left) != 2 {
		t.Fatalf("there are %v", left)
	}
	if drilled := drill(t, s, out); !sameContents(drilled, contents) {
		t.Error("the contents differ")
	}
	if left := scratches(t, s.path); len(left) != 1 {
		t.Errorf("of one killed and one running drill are left %v", left)
	}
	if _, err := alive.Input.Write(out[len(out)/2:]); err != nil {
		t.Error(err)
	}
	alive.End(t)
	if left := scratches(t, s.path); len(left) != 0 {
		t.Errorf("the running drill has left %v", left)
	}
}

// SQLite never uses the page in which its locks are. A dump has it, empty.
func TestADatabaseOfMoreThanAGigabyteIsDumpedWhole(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it writes two gigabytes")
	}
	s := New(filepath.Join(t.TempDir(), "manus.db"))
	db := openDB(t, s.path)
	exec1(t, db, "PRAGMA journal_mode = OFF", "PRAGMA page_size = 65536", "VACUUM", "CREATE TABLE big (n INTEGER PRIMARY KEY, b BLOB)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) INSERT INTO big SELECT i, zeroblob(1000000) FROM n",
		"CREATE TABLE later (a)", "INSERT INTO later VALUES ('at the end')", "DELETE FROM big WHERE n > 20")
	reader, writer := io.Pipe()
	var dumped backup.Contents
	dumping := make(chan error, 1)
	var size int64
	go func() {
		var err error
		dumped, err = s.Dump(t.Context(), writer, func(n int64) { size = n })
		dumping <- errors.Join(err, writer.CloseWithError(err))
	}()
	drilled, err := s.Drill(t.Context(), reader, noProgress)
	if err := errors.Join(err, <-dumping); err != nil {
		t.Fatal(err)
	}
	if !sameContents(drilled, dumped) || dumped.Documents() != 21 || size < 1<<30+65536 {
		t.Errorf("of %d bytes, %+v and %+v", size, dumped, drilled)
	}
}
