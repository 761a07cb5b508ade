package sqlitedocs

import (
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
