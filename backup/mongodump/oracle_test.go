package mongodump

import (
	"bytes"
	"compress/gzip"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"manus/backup"
	"manus/internal/mongotest"
	"manus/internal/testprogram"
)

// stock runs one of MongoDB's own tools.
func stock(t *testing.T, tool testprogram.Program, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), tool.Path(), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", tool.Name, err, out)
	}
}

func TestStockMongorestoreReadsOurDump(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	db := furnished(t, uri)
	archive, _ := dumped(t, source(uri, db))
	for name, c := range map[string]struct {
		text []byte
		args []string
	}{
		"as it is":    {archive, nil},
		"compressed":  {gzipped(t, archive), []string{"--gzip"}},
		"one by one":  {archive, []string{"--numParallelCollections=1"}},
		"into itself": {archive, []string{"--drop"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := database(t, uri)
			file := filepath.Join(t.TempDir(), "archive")
			if err := os.WriteFile(file, c.text, 0o600); err != nil {
				t.Fatal(err)
			}
			stock(t, testprogram.Mongorestore, append(c.args, "--uri="+uri, "--archive="+file, "--nsFrom="+db.Name()+".*", "--nsTo="+target.Name()+".*")...)
			same(t, target, db)
		})
	}
}

func gzipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// stockDump is what mongodump writes of a database, or of all the server has.
func stockDump(t *testing.T, uri string, args ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "archive")
	stock(t, testprogram.Mongodump, append(args, "--uri="+uri, "--archive="+file)...)
	archive, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

func TestWeReadWhatStockMongodumpWrites(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	db, target := furnished(t, uri), database(t, uri)
	archive := stockDump(t, uri, "--db="+db.Name())
	contents, err := restorer(uri, target).Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, target, db)
	_, ours := dumped(t, source(uri, db))
	equal(t, contents, ours)
}

func TestOneOfSeveralDatabasesIsRestored(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t) // as everything that it has is dumped
	uri := server.URI()
	db, other := database(t, uri), database(t, uri)
	insert(t, db, "c", numbered(0, 10, 50)...)
	insert(t, other, "c", numbered(5, 10, 50)...)
	_, contents := dumped(t, source(uri, db))
	archive := stockDump(t, uri)
	if err := db.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	restored, err := restorer(uri, db).Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, restored, contents)
	_, err = restorer(uri, database(t, uri)).Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{}, nil)
	if err == nil || !strings.Contains(err.Error(), other.Name()) || errors.Is(err, backup.ErrDamaged) {
		t.Errorf("into a database that the archive doesn't have: %v", err)
	}
}

// A URI without a database means every database, as it does to mongodump, and what is dumped
// so comes back, by us and by mongorestore.
func TestWithoutANameEveryDatabaseIsBackedUp(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	uri := server.URI()
	one, other := database(t, uri), database(t, uri)
	insert(t, one, "c", numbered(0, 10, 50)...)
	insert(t, other, "c", numbered(5, 20, 50)...)
	s := NewSource(uri, "")
	s.limits = patient()
	archive, contents := dumped(t, s)
	if n, ok := contents.Count(one.Name() + ".c"); !ok || n != 10 || contents.Documents() != 30 || !contents.Databases {
		t.Errorf("there is %+v", contents)
	}
	drilled, err := s.Drill(t.Context(), bytes.NewReader(archive), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, drilled, contents)
	single := NewSource(uri, one.Name())
	single.limits = patient()
	if drilled, err = single.Drill(t.Context(), bytes.NewReader(archive), nil); err != nil || !drilled.Databases {
		t.Errorf("beside one database there is %+v: %v", drilled, err)
	}
	equal(t, drilled, contents)
	ofOne, contentsOfOne := dumped(t, single)
	if drilled, err = s.Drill(t.Context(), bytes.NewReader(ofOne), nil); err != nil || drilled.Databases {
		t.Errorf("of one database there is %+v: %v", drilled, err)
	}
	equal(t, drilled, contentsOfOne)
	if left := scratches(t, one.Client()); len(left) > 0 {
		t.Errorf("there are %v left", left)
	}
	o := backup.RestoreOptions{Databases: true, Drop: true}
	if _, err := restorer(uri, one).Restore(t.Context(), bytes.NewReader(archive), o, nil); err == nil {
		t.Error("several databases go into one")
	}
	r := restorer(uri, one).UnderOwnNames()
	if _, err := r.Plan(t.Context(), &contents, backup.RestoreOptions{}); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("what is there may be overwritten: %v", err)
	}
	insert(t, one, "c", numbered(100, 1, 50)...) // is lost again
	restored, err := r.Restore(t.Context(), bytes.NewReader(archive), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, restored, contents)
	if err := errors.Join(one.Drop(t.Context()), other.Drop(t.Context())); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	stock(t, testprogram.Mongorestore, "--uri="+uri, "--archive="+file)
	_, again := dumped(t, s)
	equal(t, again, contents)
	wholeServerComesBack(t, s, r)
}

// wholeServerComesBack makes a backup and restores it, as commands do.
func wholeServerComesBack(t *testing.T, s *Source, r *Restorer) {
	t.Helper()
	service := backup.New(backup.Config{Source: s, Targets: []backup.Target{backup.NewFolder(t.TempDir())}, Log: slog.New(slog.DiscardHandler)})
	m, err := service.Create(t.Context(), backup.CreateOptions{})
	if err != nil || !m.Verified || !m.Databases {
		t.Fatalf("there is %+v: %v", m, err)
	}
	b, err := service.Find(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Restore(t.Context(), b, r, backup.RestoreOptions{Drop: true}, nil); err != nil {
		t.Error(err)
	}
	one := backup.RestoreOptions{Drop: true, Collections: []string{m.Collections[0].Name}}
	if restored, err := service.Restore(t.Context(), b, r, one, nil); err != nil || len(restored.Collections) != 1 {
		t.Errorf("of one collection there is %+v: %v", restored, err)
	}
}

// TestViewsAndOptionsComeBack needs more than FerretDB has: there, what it refuses is
// left out.
func TestViewsAndOptionsComeBack(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	db, target, third := database(t, uri), database(t, uri), database(t, uri)
	insert(t, db, "c", numbered(0, 10, 50)...)
	filter := bson.D{{Key: "a", Value: bson.D{{Key: "$exists", Value: true}}}}
	_, err := db.Collection("c").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "a", Value: 1}}, Options: options.Index().SetUnique(true).SetPartialFilterExpression(filter)})
	if err != nil {
		t.Fatal(err)
	}
	if realServer() {
		french := &options.Collation{Locale: "fr", Strength: 1}
		err := errors.Join(
			db.CreateView(t.Context(), "view", "c", mongo.Pipeline{{{Key: "$match", Value: bson.D{{Key: "_id", Value: 1}}}}}),
			db.CreateCollection(t.Context(), "french", options.CreateCollection().SetCollation(french)),
			db.CreateCollection(t.Context(), "checked", options.CreateCollection().SetValidator(filter)),
		)
		if err != nil {
			t.Fatal(err)
		}
		insert(t, db, "french", bson.D{{Key: "_id", Value: "é"}})
		if _, err := db.Collection("checked").InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}}, options.InsertOne().SetBypassDocumentValidation(true)); err != nil {
			t.Fatal(err)
		}
		_, err = db.Collection("c").Indexes().CreateMany(t.Context(), []mongo.IndexModel{
			{Keys: bson.D{{Key: "text", Value: "text"}}},
			{Keys: bson.D{{Key: "at", Value: 1}}, Options: options.Index().SetExpireAfterSeconds(3600)},
			{Keys: bson.D{{Key: "$**", Value: 1}}},
			{Keys: bson.D{{Key: "text", Value: "hashed"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	archive, contents := dumped(t, source(uri, db))
	restored, err := restorer(uri, target).Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, restored, contents)
	same(t, target, db)
	stocks := stockDump(t, uri, "--db="+db.Name())
	if _, err := restorer(uri, third).Restore(t.Context(), bytes.NewReader(stocks), backup.RestoreOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	same(t, third, db)
}
