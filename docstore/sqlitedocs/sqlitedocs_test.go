package sqlitedocs

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"manus/docstore"
)

type person struct {
	ID      string        `json:"_id"`
	Email   string        `json:"email,omitempty"`
	Team    string        `json:"team"`
	Age     int           `json:"age"`
	Created docstore.Time `json:"created"`
}

func (p person) DocumentID() string { return p.ID }

var people = docstore.Spec{Collection: "people", Indexes: []docstore.Index{
	{Name: "by_email", Fields: []string{"email"}, Unique: true},
	{Name: "by_team", Fields: []string{"team", "age"}},
	{Name: "by_seat", Fields: []string{"team", "email"}, Unique: true},
}}

func open(t testing.TB, path string) *Store {
	t.Helper()
	s := openFile(t, path)
	if err := s.Declare(t.Context(), people); err != nil {
		t.Fatal(err)
	}
	return s
}

func setup(t testing.TB) (*Store, *docstore.Collection[person]) {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "data", "manus.db"))
	return s, docstore.NewCollection[person](s, people)
}

func TestEveryKindOfQueryWalksItsIndexWithoutSorting(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	c, err := s.collections.Get("people")
	if err != nil {
		t.Fatal(err)
	}
	queries := []docstore.Query{{}, {From: "a", Until: "b"}}
	for _, index := range people.Indexes {
		queries = append(queries, docstore.Query{Index: index.Name})
		queries = append(queries, docstore.Query{Index: index.Name, From: "a", Until: "b"})
		for n := range index.Fields {
			if index.Unique && n+1 == len(index.Fields) {
				continue // one document at most
			}
			equal := []any{"x", "y"}[:n+1]
			queries = append(queries, docstore.Query{Index: index.Name, Equal: equal}, docstore.Query{Index: index.Name, Equal: equal, From: "a", Until: "b"})
		}
	}
	for _, q := range queries {
		for _, descending := range []bool{false, true} {
			for _, after := range []bool{false, true} {
				q.Descending = descending
				plan, err := docstore.PlanQuery(people, q)
				if err != nil {
					t.Fatal(err)
				}
				if after {
					for range len(plan.Rest) + 1 {
						plan.After = append(plan.After, "z")
					}
				}
				checkPlan(t, s, c, plan)
			}
		}
	}
}

func checkPlan(t *testing.T, s *Store, c *collection, plan docstore.Plan) {
	t.Helper()
	parts := c.parts(plan)
	for i, selected := range parts {
		text := selected.text("doc", plan)
		sought := len(plan.Equal) // fields by which the index is searched, at least
		if plan.After != nil {
			sought += len(parts) - i
		}
		err := s.read(t.Context(), func(r *conn) error {
			return r.query(func(row []driver.Value) bool {
				detail, _ := row[3].(string)
				if !strings.Contains(detail, "USING") || strings.Contains(detail, "TEMP B-TREE") {
					t.Errorf("%s\n%s", text, detail)
				}
				if (sought > 0 || plan.From != nil) && !strings.HasPrefix(detail, "SEARCH") || strings.Count(detail, "?") < sought {
					t.Errorf("more of the index is read than is needed:\n%s\n%s", text, detail)
				}
				return true
			}, "EXPLAIN QUERY PLAN "+text, append(selected.args, 10)...)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFileOfANewerProgramIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	err = s.writer.do(t.Context(), func(w *conn) error {
		_, err := w.exec(fmt.Sprintf("PRAGMA user_version = %d", formatVersion+1))
		return err
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("opened it, or said nothing useful: %v", err)
	}
}

func TestAnIndexDeclaredAnewIsBuiltAnewOnce(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	if err := c.Insert(t.Context(), person{ID: "1", Email: "a@b", Team: "x"}, person{ID: "2", Email: "c@d", Team: "x"}); err != nil {
		t.Fatal(err)
	}
	changed := docstore.Spec{Collection: "people", Indexes: []docstore.Index{{Name: "by_email", Fields: []string{"team"}, Unique: true}}}
	if err := s.Declare(t.Context(), changed); !docstore.ConflictsOn(err, "by_email") {
		t.Fatalf("two documents share a team, yet: %v", err)
	}
	if err := s.Declare(t.Context(), people); err != nil {
		t.Fatal(err)
	}
	if err := c.Insert(t.Context(), person{ID: "3", Email: "a@b", Team: "y"}); !docstore.ConflictsOn(err, "by_email") {
		t.Errorf("the old index didn't survive the failed change: %v", err)
	}
	changed.Indexes[0].Fields = []string{"age", "email"}
	if err := s.Declare(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if err := c.Insert(t.Context(), person{ID: "3", Email: "a@b", Team: "y", Age: 7}); err != nil {
		t.Errorf("the old index is still there: %v", err)
	}
}

func TestWhatIsThereIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	version := func() (n any) {
		err := s.writer.do(t.Context(), func(w *conn) (err error) { n, err = w.value("PRAGMA schema_version"); return err })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := version() // goes up with every table and index that is made or dropped
	if err := s.Declare(t.Context(), people); err != nil {
		t.Fatal(err)
	}
	if after := version(); after != before || before == int64(0) {
		t.Errorf("the schema was changed: it was %v and is %v", before, after)
	}
}

func TestTheFileIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data", "manus.db")
	open(t, path)
	for _, name := range []string{path, path + "-wal", filepath.Dir(path)} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v", filepath.Base(name), info.Mode())
		}
	}
}

func TestAFileThatIsNoDatabaseIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no database. ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, docstore.ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestAPathMayHaveAnyCharacters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c=d#e%20f", "بيانات.db")
	open(t, path)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestAPanicInAChangeReachesItsCallerAndNobodyElse(t *testing.T) {
	t.Parallel()
	_, c := setup(t)
	if err := c.Insert(t.Context(), person{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() != "oops" {
				t.Error("the panic was lost")
			}
		}()
		_, _ = c.Update(t.Context(), "1", func(*person) error { panic("oops") })
	}()
	if _, err := c.Update(t.Context(), "1", func(p *person) error { p.Age++; return nil }); err != nil {
		t.Error(err)
	}
}

func TestAWriteWhoseCallerGaveUpInTheQueueNeverRuns(t *testing.T) {
	t.Parallel()
	_, c := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	running, proceed := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		_, err := c.Upsert(t.Context(), person{ID: "1"}, func(*person, bool) error {
			close(running)
			<-proceed
			return nil
		})
		first <- err
	}()
	<-running
	second := make(chan error, 1)
	go func() {
		_, err := c.Upsert(ctx, person{ID: "2"}, func(*person, bool) error { return nil })
		second <- err
	}()
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(proceed)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := c.Get(t.Context(), "2"); !errors.Is(err, docstore.ErrNotFound) {
		t.Errorf("it was written all the same: %v", err)
	}
}

// TestTheFileForgetsWhatIsDeleted reads the bytes of a file in which documents of all
// sizes were deleted, by themselves and by the range, and replaced by shorter ones.
func TestTheFileForgetsWhatIsDeleted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	b, err := openBooks(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		e := newEntry("secret", i, 0)
		e.Label = fmt.Sprintf("amal-%d-%s", i, strings.Repeat("amal@example.com ", 1+i*i))
		if err := b.entries.Insert(t.Context(), e, newEntry("kept", i, 0)); err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			err = b.entries.Delete(t.Context(), e.ID)
		case 1:
			_, err = b.entries.Update(t.Context(), e.ID, func(e *entry) error { e.Label = fmt.Sprint(i); return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.entries.DeleteAll(t.Context(), docstore.Query{Index: "by_worker", Equal: []any{"secret"}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), "amal"); n > 0 || !strings.Contains(string(data), "kept") {
		t.Errorf("%d pieces are still there", n)
	}
}
