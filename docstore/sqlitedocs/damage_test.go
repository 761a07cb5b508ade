package sqlitedocs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"manus/docstore"
)

// useAll opens a file and reads and changes everything in it. It returns every error that
// there was.
func useAll(ctx context.Context, path string) (errs []error) {
	b, err := openBooks(ctx, path)
	if b.Store != nil {
		defer func() { _ = b.Close() }() // of a damaged file; what it says is no news
	}
	if err != nil {
		return []error{err}
	}
	for _, index := range []string{"", "by_worker", "by_label"} {
		for _, err := range b.entries.All(ctx, docstore.Query{Index: index}) {
			errs = append(errs, err)
		}
	}
	for i := range 20 {
		_, err := b.entries.Update(ctx, fmt.Sprintf("old/%d/1", i), func(e *entry) error { e.Number++; return nil })
		_, getting := b.entries.Get(ctx, fmt.Sprintf("old/%d/2", i))
		errs = append(errs, err, getting, b.entries.Insert(ctx, newEntry("new", i, 0)))
	}
	return append(errs, b.Batch(ctx, b.increments("new", make([]int, 1)))...)
}

// TestDamageIsNeverTakenForSomethingElse overwrites each page of a file by itself, and
// cuts the file short: whoever finds the damage says that it is that.
func TestDamageIsNeverTakenForSomethingElse(t *testing.T) {
	t.Parallel()
	const pageSize = 4096
	whole := filepath.Join(t.TempDir(), "manus.db")
	b, err := openBooks(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := b.entries.Insert(t.Context(), newEntry("old", i, 0), newEntry("old", i, 1), newEntry("old", i, 2)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{"empty header": append(make([]byte, 100), data[100:]...), "nothing": nil}
	for at := 0; at < len(data); at += pageSize {
		damaged[fmt.Sprintf("page %d", at/pageSize+1)] = append(append(bytes.Clone(data[:at]), bytes.Repeat([]byte{0xA5}, pageSize)...), data[at+pageSize:]...)
		if at > 0 {
			damaged[fmt.Sprintf("only %d pages", at/pageSize)] = data[:at]
			damaged[fmt.Sprintf("only %d pages and a half", at/pageSize)] = data[:at+pageSize/2]
		}
	}
	for name, bytes := range damaged {
		path := filepath.Join(t.TempDir(), "manus.db")
		if err := os.WriteFile(path, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, err := range useAll(t.Context(), path) {
			switch {
			case errors.Is(err, docstore.ErrCorrupt):
				found++
			case err != nil:
				t.Errorf("%s: %v", name, err)
			}
		}
		if found == 0 {
			t.Errorf("%s: nobody has noticed", name)
		}
	}
}

func TestADocumentThatIsNoDocumentIsDamage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	b, err := openBooks(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.entries.Insert(t.Context(), newEntry("old", 1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(data, []byte(`{"_id":"old/1/0"`), []byte(`["_id","old/1/0"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err = openBooks(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	if _, err := b.entries.Get(t.Context(), "old/1/0"); !errors.Is(err, docstore.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// A log whose file is gone or empty would be removed by opening that.
func TestALogWithoutItsFileIsKept(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(path string) error{
		"gone":  os.Remove,
		"empty": func(path string) error { return os.Truncate(path, 0) },
	} {
		path := filepath.Join(t.TempDir(), "manus.db")
		b, err := openBooks(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }() // of a file that is lost
		if err := b.entries.Insert(t.Context(), newEntry("old", 1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := lose(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path); !errors.Is(err, docstore.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
			t.Errorf("%s: the log is %v, %v", name, info, err)
		}
	}
}

// A first start that was killed before it wrote anything is made up for.
func TestAFileThatWasJustMadeIsOpened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "manus.db")
	if err := makeFile(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b, err := openBooks(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, docstore.ErrCorrupt) {
		t.Errorf("cut off since: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	b, err := openBooks(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// Many that find nothing make one store, and none takes another's beginning for what was
// left of one.
func TestManyMakeANewFileAtOnce(t *testing.T) {
	t.Parallel()
	for range 5 {
		path := filepath.Join(t.TempDir(), "manus.db")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				s, err := Open(t.Context(), path)
				if err == nil {
					err = s.Close()
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if _, err := os.Stat(path + newMark); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the mark is left: %v", err)
		}
	}
}

// What isn't a store any more is told by whoever asks, and is left as it was.
func TestCheckFileChangesNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(b books, path string) error{
		"only a log":        func(_ books, path string) error { return os.Remove(path) },
		"an empty file":     func(_ books, path string) error { return os.Truncate(path, 0) },
		"no list of tables": func(b books, path string) error { return errors.Join(b.Close(), overwrite(path, 0)) },
		"another's database": func(b books, path string) error {
			return errors.Join(b.Close(), os.Remove(path), script(path, "CREATE TABLE x (a)"))
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "manus.db")
			b, err := openBooks(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = b.Close() }() // of a file that is lost
			if err := errors.Join(b.entries.Insert(t.Context(), newEntry("old", 1, 0)), spoil(b, path)); err != nil {
				t.Fatal(err)
			}
			before := contents(t, path)
			_, opening := Open(t.Context(), path)
			for what, err := range map[string]error{
				"CheckFile":   CheckFile(t.Context(), path),
				"Open":        opening,
				"CheckUnused": CheckUnused(t.Context(), path),
			} {
				if !errors.Is(err, docstore.ErrCorrupt) && what != "CheckUnused" {
					t.Errorf("%s: %v", what, err)
				}
			}
			if after := contents(t, path); !maps.Equal(before, after) {
				t.Error("a file has changed")
			}
		})
	}
}

// One collection that was restored into a new file is a store.
func TestAFileWithOneOfOurTablesIsOurs(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{
		`CREATE TABLE "books" (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT`,
		"CREATE TABLE schema_migrations (id)",
		"PRAGMA user_version = 1", // no tables at all
	} {
		path := filepath.Join(t.TempDir(), "manus.db")
		if err := script(path, statement); err != nil {
			t.Fatal(err)
		}
		if err := CheckFile(t.Context(), path); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func script(path, text string) error {
	c, err := openConn(path)
	if err != nil {
		return err
	}
	return errors.Join(c.script(text), c.close())
}

func overwrite(path string, at int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteAt(bytes.Repeat([]byte{0xA5}, 4096), at)
	}
	return errors.Join(err, file.Close())
}

// contents are those of a database's file and of its log.
func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range []string{path, path + "-wal"} {
		text, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err == nil {
			found[name] = string(text)
		}
	}
	return found
}

// A file that is taken away, or replaced, isn't written to: that would be lost. It is again when it
// is back.
func TestAFileThatIsTakenAwayIsMissed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Declare(t.Context(), docstore.Spec{Collection: "things"}); err != nil {
		t.Fatal(err)
	}
	write := func() error {
		return s.Insert(t.Context(), "things", docstore.Document{ID: docstore.NewID(), Body: docstore.Raw(`{}`)})
	}
	is := func(when string, want error) {
		t.Helper()
		for what, err := range map[string]error{"Ping": s.Ping(t.Context()), "a write": write()} {
			if !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %s: %v", when, what, err)
			}
		}
	}
	is("untouched", nil)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	is("removed", docstore.ErrUnavailable)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	is("replaced", docstore.ErrUnavailable)
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	is("back", nil)
}
