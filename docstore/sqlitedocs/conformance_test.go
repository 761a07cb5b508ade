package sqlitedocs

import (
	"os"
	"path/filepath"
	"testing"

	"manus/docstore"
	"manus/docstore/docstoretest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	docstoretest.Run(t, func(t *testing.T) func(t *testing.T) docstore.Store {
		path := filepath.Join(t.TempDir(), "manus.db")
		return func(t *testing.T) docstore.Store { return openFile(t, path) }
	})
}

// openFile opens the file and closes it when t ends.
func openFile(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestCloseLeavesNothingBesideTheFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, filepath.Join(folder, "manus.db"))
	c := docstore.NewCollection[person](s, people)
	if err := c.Insert(t.Context(), person{ID: "1", Email: "a@b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 {
		t.Errorf("there are %v, %v: a connection was not closed", files, err)
	}
}
