package mongodocs

import (
	"testing"

	"manus/docstore"
	"manus/docstore/docstoretest"
	"manus/internal/mongotest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	docstoretest.Run(t, func(t *testing.T) func(t *testing.T) docstore.Store {
		database := mongotest.Database(t)
		return func(t *testing.T) docstore.Store { return open(t, mongotest.URI(t), database) }
	})
}

// open opens the database and closes it when t ends.
func open(t testing.TB, uri, database string) *Store {
	t.Helper()
	s, err := Open(t.Context(), uri, database)
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
