package mongodump

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"manus/backup"
	"manus/internal/mongotest"
)

// database is a database of the test's own, by a client that isn't what is tested. It
// is dropped at the end.
func database(t *testing.T, uri string) *mongo.Database {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	name := mongotest.Database(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = client.Database(name).Drop(ctx)
		_ = client.Disconnect(ctx)
	})
	return client.Database(name)
}

// realServer tells whether the tests run on a MongoDB rather than on FerretDB.
func realServer() bool { return os.Getenv("MONGODB_TEST_URI") != "" }

// insert puts documents into a collection.
func insert[T any](t *testing.T, db *mongo.Database, collection string, documents ...T) {
	t.Helper()
	for some := range slices.Chunk(documents, 1000) {
		if _, err := db.Collection(collection).InsertMany(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
}

// numbered are documents of about size bytes, from a number on.
func numbered(from, count, size int) []bson.D {
	var documents []bson.D
	for i := range count {
		documents = append(documents, bson.D{{Key: "_id", Value: from + i}, {Key: "text", Value: strings.Repeat("x", max(0, size-40))}})
	}
	return documents
}

// patient are the limits of tests on a server that answers.
func patient() limits {
	return limits{patience: 30 * time.Second, building: time.Minute, workers: 4, batch: 8 << 10, split: 64 << 10}
}

// source is a source whose batches are small, so that there are several.
func source(uri string, db *mongo.Database) *Source {
	s := NewSource(uri, db.Name())
	s.limits = patient()
	return s
}

func restorer(uri string, db *mongo.Database) *Restorer {
	r := NewRestorer(uri, db.Name())
	r.limits = patient()
	return r
}

// dumped is a dump, and what it says of itself.
func dumped(t *testing.T, s *Source) ([]byte, backup.Contents) {
	t.Helper()
	var archive bytes.Buffer
	contents, err := s.Dump(t.Context(), &archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	return archive.Bytes(), contents
}

// state is what there is in a database, as another reader than ours sees it: a line
// for each document, index and option.
func state(t *testing.T, db *mongo.Database) []string {
	t.Helper()
	var lines []string
	collections, err := db.ListCollections(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	for collections.Next(t.Context()) {
		name := collections.Current.Lookup("name").StringValue()
		lines = append(lines, fmt.Sprintf("%s is %v %v", name, collections.Current.Lookup("type"), collections.Current.Lookup("options")))
		if kind := collections.Current.Lookup("type"); kind.Type == bson.TypeString && kind.StringValue() == view {
			continue
		}
		lines = append(lines, every(t, name, func() (*mongo.Cursor, error) { return db.Collection(name).Find(t.Context(), bson.D{}) })...)
		lines = append(lines, every(t, name+" index", func() (*mongo.Cursor, error) { return db.Collection(name).Indexes().List(t.Context()) })...)
	}
	if err := collections.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

func every(t *testing.T, prefix string, open func() (*mongo.Cursor, error)) []string {
	t.Helper()
	cursor, err := open()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for cursor.Next(t.Context()) {
		lines = append(lines, prefix+" "+string(cursor.Current))
	}
	if err := cursor.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// same fails the test when the databases aren't the same.
func same(t *testing.T, got, want *mongo.Database) {
	t.Helper()
	a, b := state(t, got), state(t, want)
	if len(b) == 0 {
		t.Fatal("there is nothing to compare")
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			t.Errorf("it lacks %.200q", line)
		}
	}
	for _, line := range a {
		if !slices.Contains(b, line) {
			t.Errorf("it has %.200q", line)
		}
	}
}

// equal fails the test when two contents differ.
func equal(t *testing.T, got, want backup.Contents) {
	t.Helper()
	if got.Server != want.Server || !slices.Equal(got.Collections, want.Collections) {
		t.Errorf("the contents are\n%v, want\n%v", got, want)
	}
}

// comesBack holds what a drill and a restore make of an archive against what it has.
func comesBack(t *testing.T, s *Source, into *Restorer, archive []byte, contents backup.Contents) {
	t.Helper()
	drilled, err := s.Drill(t.Context(), bytes.NewReader(archive), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, drilled, contents)
	restored, err := into.Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, restored, contents)
}

// archived are the documents of an archive, by collection and in their order.
func archived(archive []byte) (map[string][]bson.Raw, error) {
	return archivedOf(bytes.NewReader(archive))
}

func archivedOf(archive io.Reader) (map[string][]bson.Raw, error) {
	a, err := newArchiveReader(archive)
	if err != nil {
		return nil, err
	}
	all := map[string][]bson.Raw{}
	for _, e := range a.entries {
		all[e.Collection] = nil
	}
	for {
		of, last, err := a.next()
		if err == io.EOF { //nolint:errorlint // what wraps it is an error of the reader
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		for !last {
			document, err := a.document(nil)
			if err != nil {
				return nil, err
			}
			if last = document == nil; !last {
				all[of.collection] = append(all[of.collection], document)
			}
		}
	}
}
