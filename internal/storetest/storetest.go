// Package storetest gives a room's tests a store: the embedded engine on a file
// of the test's own.
package storetest

import (
	"context"
	"path/filepath"
	"testing"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
)

// New is an empty store with the collections, closed when t ends.
func New(t testing.TB, specs ...docstore.Spec) docstore.Store {
	t.Helper()
	return Open(t, filepath.Join(t.TempDir(), "manus.db"), specs...)
}

// Open is the store in the file at path, as another copy of the program would
// open it, closed when t ends.
func Open(t testing.TB, path string, specs ...docstore.Spec) docstore.Store {
	t.Helper()
	store, err := sqlitedocs.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Declare(context.Background(), specs...); err != nil {
		t.Fatal(err)
	}
	return store
}
