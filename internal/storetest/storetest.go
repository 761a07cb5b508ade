// Package storetest gives a room's tests a store: the embedded engine on a file
// of the test's own, or, where MANUS_TEST_STORE is "mongodb", a database of the
// test's own on the MongoDB of the tests.
package storetest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"manus/docstore"
	"manus/docstore/mongodocs"
	"manus/docstore/sqlitedocs"
	"manus/internal/mongotest"
)

// onMongoDB tells whether stores are databases on the MongoDB of the tests.
func onMongoDB() bool { return os.Getenv("MANUS_TEST_STORE") == "mongodb" }

// Size is how many of something a test has: full, or few on the MongoDB of the tests, which
// reads a whole collection to answer most questions.
func Size(full, few int) int {
	if onMongoDB() {
		return few
	}
	return full
}

// New is an empty store with the collections, closed when t ends.
func New(t testing.TB, specs ...docstore.Spec) docstore.Store {
	t.Helper()
	return Open(t, filepath.Join(t.TempDir(), "manus.db"), specs...)
}

// Open is the store in the file at path, as another copy of the program would
// open it, closed when t ends. In MongoDB, each path stands for a database.
func Open(t testing.TB, path string, specs ...docstore.Spec) docstore.Store {
	t.Helper()
	if !onMongoDB() {
		return File(t, path, specs...)
	}
	sum := sha256.Sum256([]byte(path))
	store, err := mongodocs.Open(context.Background(), mongotest.URI(t), fmt.Sprintf("manus_test_%x", sum[:8]))
	return prepare(t, store, err, specs)
}

// File is the embedded store in the file at path, for tests that look into it or
// share it with a process.
func File(t testing.TB, path string, specs ...docstore.Spec) docstore.Store {
	t.Helper()
	store, err := sqlitedocs.Open(context.Background(), path)
	return prepare(t, store, err, specs)
}

func prepare(t testing.TB, store docstore.Store, err error, specs []docstore.Spec) docstore.Store {
	t.Helper()
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
