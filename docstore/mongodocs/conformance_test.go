package mongodocs

import (
	"context"
	"errors"
	"testing"

	"manus/docstore"
	"manus/docstore/docstoretest"
	"manus/internal/mongotest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	docstoretest.Run(t, func(t *testing.T) func(t *testing.T) docstore.Store {
		name := database(t)
		return func(t *testing.T) docstore.Store { return open(t, mongotest.URI(t), name) }
	})
}

// database is the name of a database of the test's own on the shared server, which
// is dropped when t ends.
func database(t testing.TB) string {
	t.Helper()
	name := mongotest.Database(t)
	uri := mongotest.URI(t)
	t.Cleanup(func() {
		s, err := Open(context.Background(), uri, name)
		if err != nil {
			t.Error(err)
			return
		}
		if err := errors.Join(s.database.Drop(context.Background()), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return name
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
