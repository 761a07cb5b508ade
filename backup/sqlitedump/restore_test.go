package sqlitedump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"manus/backup"
	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/processtest"
)

// peopleDump is a dump of the tables of fillPeople.
func peopleDump(t *testing.T, rows int) ([]byte, backup.Contents) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "people.db")
	fillPeople(t, path, rows)
	return dump(t, New(path))
}

// restore restores, and checks that the file has then what was said to be restored.
func restore(t *testing.T, path string, out []byte, o backup.RestoreOptions) backup.Contents {
	t.Helper()
	restored, err := NewRestorer(path).Restore(t.Context(), bytes.NewReader(out), o, noProgress)
	if err != nil {
		t.Fatal(err)
	}
	_, there := dump(t, New(path))
	for _, collection := range restored.Collections {
		if !slices.Contains(there.Collections, collection) {
			t.Errorf("%+v was restored; there is %+v", collection, there.Collections)
		}
	}
	if left := scratches(t, path); len(left) > 0 {
		t.Errorf("the restore has left %v", left)
	}
	return restored
}

func TestADumpIsRestoredWhereThereIsNothing(t *testing.T) {
	t.Parallel()
	out, contents := peopleDump(t, 500)
	for name, prepare := range map[string]func(path string) error{
		"no folder": func(string) error { return nil },
		"no file":   func(path string) error { return os.Mkdir(filepath.Dir(path), 0o700) },
		"an empty file": func(path string) error {
			return errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600))
		},
		"the file of a server that nobody has used": func(path string) error {
			s, err := sqlitedocs.Open(context.Background(), path)
			if err != nil {
				return err
			}
			return errors.Join(s.Declare(context.Background(), docstore.Spec{Collection: "people"}), s.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data", "manus.db")
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			plan, err := NewRestorer(path).Plan(t.Context(), &contents, backup.RestoreOptions{})
			if err != nil || plan.Target != path || len(plan.Steps) < 3 {
				t.Errorf("the plan is %+v, %v", plan, err)
			}
			if restored := restore(t, path, out, backup.RestoreOptions{}); !sameContents(restored, contents) {
				t.Errorf("restored was %+v of %+v", restored, contents)
			}
			file, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(file, out) {
				t.Errorf("the file isn't the dump: %v", err)
			}
			for path, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
					t.Errorf("%s: %v, %v", path, info.Mode(), err)
				}
			}
		})
	}
}

func TestAFileWithoutAFolderIsRestoredIntoTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	out, contents := peopleDump(t, 10)
	if restored := restore(t, "plain.db", out, backup.RestoreOptions{}); !sameContents(restored, contents) {
		t.Errorf("restored was %+v", restored)
	}
}

// occupied is a file of a server that isn't running, with one row in one table.
func occupied(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manus.db")
	db, err := openLogged(path)
	if err != nil {
		t.Fatal(err)
	}
	exec1(t, db, "CREATE TABLE people (old)", "INSERT INTO people VALUES ('here before')", `CREATE TABLE "mine" (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatIsThereIsOnlyDroppedWhenThatIsAllowed(t *testing.T) {
	t.Parallel()
	out, contents := peopleDump(t, 500)
	for name, prepare := range map[string]func(t *testing.T) string{
		"a database": occupied,
		"something else": func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "manus.db")
			if err := os.WriteFile(path, bytes.Repeat([]byte("important"), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		},
		"a log whose database is empty": func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "manus.db")
			if err := errors.Join(os.WriteFile(path, nil, 0o600), os.WriteFile(path+"-wal", bytes.Repeat([]byte("changes"), 1000), 0o600)); err != nil {
				t.Fatal(err)
			}
			return path
		},
		"a log without its database": func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "manus.db")
			if err := os.WriteFile(path+"-wal", bytes.Repeat([]byte("changes"), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := prepare(t)
			before := folderContents(t, filepath.Dir(path))
			r := NewRestorer(path)
			if plan, err := r.Plan(t.Context(), &contents, backup.RestoreOptions{}); !errors.Is(err, backup.ErrNotEmpty) || len(plan.Steps) < 3 {
				t.Errorf("the plan is %+v, %v", plan, err)
			}
			if _, err := r.Restore(t.Context(), bytes.NewReader(out), backup.RestoreOptions{}, noProgress); !errors.Is(err, backup.ErrNotEmpty) {
				t.Errorf("it was restored: %v", err)
			}
			if after := folderContents(t, filepath.Dir(path)); after != before {
				t.Error("something has changed")
			}
			if restored := restore(t, path, out, backup.RestoreOptions{Drop: true}); !sameContents(restored, contents) {
				t.Errorf("restored was %+v", restored)
			}
		})
	}
}

// folderContents is all files and what is in them.
func folderContents(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range names(t, folder) {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %q\n", name, text)
	}
	return all.String()
}

func TestAPlanTellsUnderOwnNamesTable(t *testing.T) {
	t.Parallel()
	path := occupied(t)
	_, contents := peopleDump(t, 50)
	r := NewRestorer(path)
	all := []backup.PlanStep{
		{Collection: "mine", Documents: -1, Existing: 0},
		{Collection: "pairs", Restore: true, Documents: 50, Existing: -1},
		{Collection: "people", Restore: true, Documents: 50, Existing: 1},
		{Collection: "things", Restore: true, Documents: 50, Existing: -1},
	}
	plan, err := r.Plan(t.Context(), &contents, backup.RestoreOptions{Drop: true})
	if err != nil || !slices.Equal(plan.Steps, all) {
		t.Errorf("of all: %+v, %v", plan.Steps, err)
	}
	plan, err = r.Plan(t.Context(), &contents, backup.RestoreOptions{Collections: []string{"pairs"}})
	if err != nil || !slices.Equal(plan.Steps, all[1:2]) {
		t.Errorf("of one: %+v, %v", plan.Steps, err)
	}
	plan, err = r.Plan(t.Context(), nil, backup.RestoreOptions{Collections: []string{"people"}})
	if !errors.Is(err, backup.ErrNotEmpty) || len(plan.Steps) != 1 || plan.Steps[0] != (backup.PlanStep{Collection: "people", Restore: true, Documents: -1, Existing: 1}) {
		t.Errorf("of one of an unknown backup: %+v, %v", plan.Steps, err)
	}
	if _, err = r.Plan(t.Context(), &contents, backup.RestoreOptions{Collections: []string{"nobody"}}); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("of one that isn't in the backup: %v", err)
	}
}

func TestADamagedDumpChangesNothing(t *testing.T) {
	t.Parallel()
	out, _ := peopleDump(t, 500)
	bad := slices.Clone(out)
	copy(bad[8*4096:], make([]byte, 4096))
	for name, bad := range map[string][]byte{"short": out[:len(out)-4096], "damaged": bad, "none": nil} {
		for _, o := range []backup.RestoreOptions{{Drop: true}, {Drop: true, Collections: []string{"people"}}} {
			path := occupied(t)
			before := folderContents(t, filepath.Dir(path))
			if _, err := NewRestorer(path).Restore(t.Context(), bytes.NewReader(bad), o, noProgress); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
			_, contents := dump(t, New(path))
			if contents.Documents() != 1 || len(contents.Collections) != 2 {
				t.Errorf("%s: there is %+v now; before was %s", name, contents, before)
			}
			fresh := filepath.Join(t.TempDir(), "fresh.db")
			if _, err := NewRestorer(fresh).Restore(t.Context(), bytes.NewReader(bad), o, noProgress); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
			if there := names(t, filepath.Dir(fresh)); len(there) > 0 {
				t.Errorf("%s: it has made %v", name, there)
			}
		}
	}
}

// holdProcess has the file open and does nothing.
func holdProcess(args []string) error {
	s, err := sqlitedocs.Open(context.Background(), args[0])
	if err != nil {
		return err
	}
	fmt.Println("open")
	processtest.UntilInputEnds()
	return s.Close()
}

// A server would go on with what it remembers of tables, leases and queues that are others
// by then, so neither the file nor a single table changes under it.
func TestAFileThatAServerHasOpenIsNotChanged(t *testing.T) {
	t.Parallel()
	out, contents := peopleDump(t, 500)
	path := occupied(t)
	server := processtest.Start(t, "hold", path)
	server.Await(t, "open")
	_, before := dump(t, New(path))
	r := NewRestorer(path)
	for _, o := range []backup.RestoreOptions{{Drop: true}, {Drop: true, Collections: []string{"people"}}, {Collections: []string{"pairs"}}} {
		plan, err := r.Plan(t.Context(), &contents, o)
		if !errors.Is(err, backup.ErrInUse) || len(plan.Steps) == 0 {
			t.Errorf("%+v: the plan is %+v, %v", o, plan, err)
		}
		_, err = r.Restore(t.Context(), bytes.NewReader(out), o, noProgress)
		if !errors.Is(err, backup.ErrInUse) || !errors.Is(err, backup.ErrUnavailable) || !strings.Contains(err.Error(), "stop every server") {
			t.Errorf("%+v was restored under a server: %v", o, err)
		}
	}
	server.End(t)
	if _, after := dump(t, New(path)); !sameContents(after, before) {
		t.Errorf("there is %+v, not %+v", after, before)
	}
	if _, err := r.Plan(t.Context(), &contents, backup.RestoreOptions{Drop: true}); err != nil {
		t.Errorf("without the server: %v", err)
	}
	if restored := restore(t, path, out, backup.RestoreOptions{Drop: true}); !sameContents(restored, contents) {
		t.Errorf("restored was %+v", restored)
	}
}

// What SQLite can't read has no tables that others could be put beside.
func TestNoCollectionIsRestoredIntoWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	out, _ := peopleDump(t, 50)
	path := filepath.Join(t.TempDir(), "manus.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("important"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	before := folderContents(t, filepath.Dir(path))
	_, err := NewRestorer(path).Restore(t.Context(), bytes.NewReader(out), backup.RestoreOptions{Drop: true, Collections: []string{"people"}}, noProgress)
	if err == nil || !strings.Contains(err.Error(), "leave --collection out") {
		t.Errorf("it says %v", err)
	}
	if folderContents(t, filepath.Dir(path)) != before {
		t.Error("something has changed")
	}
}

func TestADamagedFileThatAServerHasOpenIsNotReplaced(t *testing.T) {
	t.Parallel()
	out, _ := peopleDump(t, 50)
	path := occupied(t)
	server := processtest.Start(t, "hold", path)
	server.Await(t, "open")
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(make([]byte, 4096), 0)
	if err := errors.Join(err, file.Close(), os.Remove(path+"-wal")); err != nil {
		t.Fatal(err)
	}
	r := NewRestorer(path)
	if _, err := r.Restore(t.Context(), bytes.NewReader(out), backup.RestoreOptions{Drop: true}, noProgress); !errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("it was replaced under a server: %v", err)
	}
	server.Kill(t)
	restore(t, path, out, backup.RestoreOptions{Drop: true})
}

// customer is what a server stores.
type customer struct {
	ID   string `json:"_id"`
	Name string `json:"name"`
}

func (c customer) DocumentID() string { return c.ID }

// customerSpecs are two collections of a server.
func customerSpecs() (docstore.Spec, docstore.Spec) {
	index := []docstore.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}
	return docstore.Spec{Collection: "customers", Indexes: index}, docstore.Spec{Collection: "orders", Indexes: index}
}

// withCustomers opens a server's store, which declares its collections.
func withCustomers(t *testing.T, path string, use func(customers, orders *docstore.Collection[customer])) {
	t.Helper()
	s, err := sqlitedocs.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	one, other := customerSpecs()
	if err := s.Declare(t.Context(), one, other); err != nil {
		t.Fatalf("the server can't start: %v", err)
	}
	use(docstore.NewCollection[customer](s, one), docstore.NewCollection[customer](s, other))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func insert(t *testing.T, c *docstore.Collection[customer], names ...string) {
	t.Helper()
	for _, name := range names {
		if err := c.Insert(t.Context(), customer{"id of " + name, name}); err != nil {
			t.Fatal(err)
		}
	}
}

// named lists a collection by its index.
func named(t *testing.T, c *docstore.Collection[customer]) string {
	t.Helper()
	found, _, err := c.Find(t.Context(), docstore.Query{Index: "by_name"})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, v := range found {
		all = append(all, v.Name)
	}
	return strings.Join(all, " ")
}

func TestSingleCollectionsAreRestoredBesideTheOthers(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "manus.db")
	withCustomers(t, path, func(customers, orders *docstore.Collection[customer]) {
		insert(t, customers, "ann", "bob")
		insert(t, orders, "shoes")
	})
	out, contents := dump(t, New(path))
	withCustomers(t, path, func(customers, orders *docstore.Collection[customer]) {
		insert(t, customers, "mallory")
		insert(t, orders, "hat")
	})
	only := backup.RestoreOptions{Collections: []string{"customers"}}
	if _, err := NewRestorer(path).Restore(t.Context(), bytes.NewReader(out), only, noProgress); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("rows would have been dropped: %v", err)
	}
	unknown := backup.RestoreOptions{Collections: []string{"customers", "nobody"}, Drop: true}
	if _, err := NewRestorer(path).Restore(t.Context(), bytes.NewReader(out), unknown, noProgress); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a collection that isn't in the backup: %v", err)
	}
	withCustomers(t, path, func(customers, orders *docstore.Collection[customer]) {
		if got := named(t, customers) + ", " + named(t, orders); got != "ann bob mallory, hat shoes" {
			t.Errorf("after refusals there are %s", got)
		}
	})
	only.Drop = true
	for _, path := range []string{path, filepath.Join(folder, "new.db")} {
		restored := restore(t, path, out, only)
		if len(restored.Collections) != 1 || !slices.Contains(contents.Collections, restored.Collections[0]) {
			t.Errorf("restored was %+v", restored)
		}
		want := "ann bob, hat shoes"
		if filepath.Base(path) == "new.db" {
			want = "ann bob, "
		}
		withCustomers(t, path, func(customers, orders *docstore.Collection[customer]) {
			if got := named(t, customers) + ", " + named(t, orders); got != want {
				t.Errorf("there are %s, not %s", got, want)
			}
			if err := customers.Insert(t.Context(), customer{"another", "ann"}); !errors.Is(err, docstore.ErrConflict) {
				t.Errorf("the index isn't unique any more: %v", err)
			}
		})
	}
}

func TestACancelledRestoreChangesNothing(t *testing.T) {
	t.Parallel()
	out, _ := peopleDump(t, 4000)
	for _, collections := range [][]string{nil, {"people"}} {
		for _, after := range []int64{-1, 0, int64(len(out)) / 2, int64(len(out))} {
			path := occupied(t)
			ended := cancelAfter(t, after, func(ctx context.Context, progress func(int64)) error {
				_, err := NewRestorer(path).Restore(ctx, bytes.NewReader(out), backup.RestoreOptions{Drop: true, Collections: collections}, progress)
				return err
			})
			if _, contents := dump(t, New(path)); !ended || contents.Documents() != 1 {
				t.Errorf("cancelled after %d bytes, it returned %v and left %+v", after, ended, contents)
			}
			if left := scratches(t, path); len(left) > 0 {
				t.Errorf("it has left %v", left)
			}
		}
	}
}

// Which database it is stands in every row; a log adds rows that say so too.
const stateRows = 1500

func makeState(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	exec1(t, openDB(t, path), "CREATE TABLE state (n INTEGER PRIMARY KEY, name TEXT, padding TEXT)", "CREATE INDEX by_name ON state (name, n)", "CREATE TABLE extra (n INTEGER PRIMARY KEY, name TEXT)",
		fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO state SELECT i, '%s', hex(randomblob(200)) FROM n", stateRows, name))
	out, _ := dump(t, New(path))
	return out
}

// dirtyProcess leaves changes in the log when it is killed.
func dirtyProcess(args []string) error {
	db, err := openLogged(args[0])
	if err != nil {
		return err
	}
	for range 10 {
		if _, err := db.Exec("INSERT INTO extra (name) SELECT name FROM state LIMIT 1"); err != nil {
			return err
		}
		if _, err := db.Exec("UPDATE state SET padding = hex(randomblob(200)) WHERE n % 7 = 0"); err != nil {
			return err
		}
	}
	fmt.Println("dirty")
	processtest.UntilInputEnds()
	return nil
}

// restoreProcess restores one dump after the other over the file: all of it, or the
// collections that are named after them.
func restoreProcess(args []string) error {
	r := NewRestorer(args[0])
	for i := 0; ; i++ {
		out, err := os.ReadFile(args[1+i%2])
		if err != nil {
			return err
		}
		_, err = r.Restore(context.Background(), slow{bytes.NewReader(out)}, backup.RestoreOptions{Drop: true, Collections: args[3:]}, func(read int64) { fmt.Println("read", read) })
		if err != nil {
			return err
		}
		fmt.Println("restored")
	}
}

// slow reads little at once, so that there is progress to tell of.
type slow struct{ io.Reader }

func (s slow) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 100_000)]) }

func TestARestoreKilledAtAnyMomentLeavesTheOldDatabaseOrTheNewOne(t *testing.T) {
	t.Parallel()
	killRestores(t)
}

func TestARestoreOfCollectionsKilledAtAnyMomentLeavesTheOldOnesOrTheNewOnes(t *testing.T) {
	t.Parallel()
	killRestores(t, "extra", "state")
}

// Killed where there was no database, a restore leaves none, or all of it, or an empty file
// that no server takes for a store that is yet to be made; and it can be made again.
func TestARestoreIntoNothingKilledAtAnyMomentIsNoNewStore(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	dump, out := filepath.Join(folder, "dump"), makeState(t, "one")
	if err := os.WriteFile(dump, out, 0o600); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(4, 4))
	seen := map[string]int{}
	for round := range processtest.Size(processtest.CrashRounds, 8) {
		path := filepath.Join(folder, strconv.Itoa(round), "manus.db")
		p := processtest.Start(t, "restore", path, dump, dump)
		for range random.IntN(35) {
			p.Await(t, "")
		}
		for range random.IntN(200_000) { // to be between two lines too
		}
		if p.Kill(t); p.Log.Len() > 0 {
			t.Fatalf("it failed: %s", &p.Log)
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			seen["none"]++
		case err == nil && info.Size() == 0:
			seen["empty"]++
			if err := sqlitedocs.CheckFile(t.Context(), path); !errors.Is(err, docstore.ErrCorrupt) {
				t.Errorf("a server would begin with it: %v", err)
			}
		default:
			seen[checkState(t, path)]++
		}
		restore(t, path, out, backup.RestoreOptions{Drop: info != nil && info.Size() > 0})
		if there := names(t, filepath.Dir(path)); !slices.Equal(there, []string{"manus.db"}) || checkState(t, path) != "one" {
			t.Errorf("made again, it leaves %v", there)
		}
	}
	t.Logf("seen were %v", seen)
}

func TestAStartDuringARestoreSaysSo(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, dump := filepath.Join(folder, "manus.db"), filepath.Join(folder, "dump")
	if err := os.WriteFile(dump, makeState(t, "one"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := processtest.Start(t, "restore", path, dump, dump)
	p.Await(t, "read") // and more is to come
	p.Kill(t)
	_, err := sqlitedocs.Open(t.Context(), path)
	if !errors.Is(err, docstore.ErrCorrupt) || !strings.Contains(err.Error(), "is being restored into it or that was cut short") {
		t.Errorf("it says %v", err)
	}
	out, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	restore(t, path, out, backup.RestoreOptions{}) // nothing has to be dropped for that
}

// killRestores kills restores of collections, or of all, and looks at what is left.
func killRestores(t *testing.T, collections ...string) {
	rounds := processtest.Size(processtest.CrashRounds, 6)
	folder := t.TempDir()
	path, one, other := filepath.Join(folder, "manus.db"), filepath.Join(folder, "one"), filepath.Join(folder, "other")
	for name, out := range map[string][]byte{one: makeState(t, "one"), other: makeState(t, "other")} {
		if err := os.WriteFile(name, out, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	restore(t, path, out, backup.RestoreOptions{})
	random := rand.New(rand.NewPCG(9, 9))
	seen := map[string]int{}
	for round := 0; round < rounds || len(seen) < 2 && round < 20*rounds; round++ { // until both were there
		p := processtest.Start(t, "dirty", path)
		p.Await(t, "dirty")
		p.Kill(t)
		p = processtest.Start(t, "restore", append([]string{path, one, other}, collections...)...)
		last := random.IntN(40)
		for range last + 1 {
			p.Await(t, "")
		}
		for range random.IntN(200_000) { // to be between two lines too
		}
		if p.Kill(t); p.Log.Len() > 0 {
			t.Fatalf("it failed: %s", &p.Log)
		}
		seen[checkState(t, path)]++
	}
	if seen["one"] == 0 || seen["other"] == 0 {
		t.Errorf("seen were %v", seen)
	}
	restore(t, path, out, backup.RestoreOptions{Drop: true}) // which removes what was left
}

// checkState returns which database there is, all of it and nothing of another.
func checkState(t *testing.T, path string) string {
	t.Helper()
	db, err := openLogged(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict, name string
	var names, rows int
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("its integrity: %s, %v", verdict, err)
	}
	err = db.QueryRowContext(t.Context(), "SELECT min(name), count(DISTINCT name), (SELECT count(*) FROM state) FROM (SELECT name FROM state UNION ALL SELECT name FROM extra)").Scan(&name, &names, &rows)
	if err != nil || names != 1 || rows != stateRows {
		t.Fatalf("of %d databases there are %d rows, %v", names, rows, err)
	}
	return name
}

func FuzzDrill(f *testing.F) {
	s := New(filepath.Join(f.TempDir(), "manus.db"))
	db, err := openLogged(s.path)
	if err != nil {
		f.Fatal(err)
	}
	for _, statement := range []string{"PRAGMA page_size = 512", "CREATE TABLE t (a, b)", "CREATE INDEX i ON t (b)", "INSERT INTO t VALUES (1, 'two'), (x'03', 4.5), (NULL, zeroblob(1000))"} {
		if _, err := db.Exec(statement); err != nil {
			f.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	contents, err := s.Dump(f.Context(), &out, noProgress)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add(out.Bytes()[:headerSize])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, dump []byte) {
		if h, err := parseHeader(dump); err == nil && (h.pageSize < 512 || h.pageSize > 65536 || h.pages < 0) {
			t.Errorf("the header is %+v", h)
		}
		drilled, err := s.Drill(t.Context(), bytes.NewReader(dump), noProgress)
		if err != nil && !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("got %v", err)
		}
		if bytes.Equal(dump, out.Bytes()) && !sameContents(drilled, contents) {
			t.Errorf("the contents of the dump itself are %+v, %v", drilled, err)
		}
	})
}
