package queue_test

import (
	"context"
	"path/filepath"
	"testing"

	"manus/docstore"
	"manus/docstore/mongodocs"
	"manus/docstore/sqlitedocs"
	"manus/internal/mongotest"
	"manus/internal/processtest"
	"manus/queue/queuetest"
)

func TestMain(m *testing.M) {
	processtest.Play(queuetest.Roles(open))
	m.Run()
}

// open opens a SQLite file, or the database of a MongoDB. Where several processes
// write all the time, SQLite may have one of them wait for longer than it does.
func open(args []string) (store docstore.Store, err error) {
	if len(args) == 2 {
		return mongodocs.Open(context.Background(), args[0], args[1])
	}
	for range 10 {
		if store, err = sqlitedocs.Open(context.Background(), args[0]); err == nil {
			break
		}
	}
	return store, err
}

// at is the place that args stand for.
func at(args ...string) (func(t *testing.T) docstore.Store, []string) {
	return func(t *testing.T) docstore.Store {
		t.Helper()
		store, err := open(args)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
		return store
	}, args
}

func TestConformanceOnSQLite(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, 10_000, func(t *testing.T) (func(t *testing.T) docstore.Store, []string) {
		return at(filepath.Join(t.TempDir(), "manus.db"))
	})
}

func TestConformanceOnMongoDB(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, 100, func(t *testing.T) (func(t *testing.T) docstore.Store, []string) {
		return at(mongotest.URI(t), mongotest.Database(t))
	})
}
