package mongodump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"manus/backup"
	"manus/internal/mongotest"
)

// furnished is a database with a bit of everything: several collections, of which
// one is large enough to be split, indexes, options.
func furnished(t *testing.T, uri string) *mongo.Database {
	t.Helper()
	db := database(t, uri)
	insert(t, db, "numbers", numbered(0, 1000, 300)...)
	var people []bson.D
	for i := range 500 {
		people = append(people, bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "email", Value: fmt.Sprintf("%d@example.com", i)}, {Key: "text", Value: strings.Repeat("y", i)}})
	}
	insert(t, db, "people", people...)
	insert(t, db, "with.dots and späces", numbered(-3, 7, 50)...)
	insert(t, db, "mixed", bson.D{{Key: "_id", Value: "a"}}, bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "_id", Value: nil}}, bson.D{{Key: "_id", Value: bson.D{}}})
	if err := errors.Join(
		db.CreateCollection(t.Context(), "empty"),
		db.CreateCollection(t.Context(), "capped", options.CreateCollection().SetCapped(true).SetSizeInBytes(1<<20)),
	); err != nil {
		t.Fatal(err)
	}
	insert(t, db, "capped", numbered(0, 100, 60)...)
	_, err := db.Collection("people").Indexes().CreateMany(t.Context(), []mongo.IndexModel{
		{Keys: bson.D{{Key: "email", Value: 1}}, Options: options.Index().SetUnique(true)},
		{Keys: bson.D{{Key: "text", Value: -1}, {Key: "email", Value: 1}}, Options: options.Index().SetName("by text")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestADumpHasEachDocumentAsItIs(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	db := furnished(t, uri)
	var told []int64
	var archive bytes.Buffer
	contents, err := source(uri, db).Dump(t.Context(), &archive, func(n int64) { told = append(told, n) })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(told) || len(told) < 5 || told[len(told)-1] != int64(archive.Len()) {
		t.Errorf("the progress of %d bytes was %v", archive.Len(), told)
	}
	all, err := archived(archive.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 6 || len(contents.Collections) != 6 || !strings.HasPrefix(contents.Server, "MongoDB ") {
		t.Errorf("there are %d collections, and the contents are %v", len(all), contents)
	}
	for _, c := range contents.Collections {
		var hashed tally
		var got []string
		for _, document := range all[c.Name] {
			hashed.add(document)
			got = append(got, c.Name+" "+string(document))
		}
		want := every(t, c.Name, func() (*mongo.Cursor, error) { return db.Collection(c.Name).Find(t.Context(), bson.D{}) })
		if c.Name != "capped" { // whose order is kept
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d documents of %q, want %d", len(got), c.Name, len(want))
		}
		if c.Documents != hashed.documents || c.SHA256 != hashed.hex() {
			t.Errorf("the contents say %v of %d documents of %s", c, hashed.documents, hashed.hex())
		}
	}
	if size, err := source(uri, db).Size(t.Context()); err != nil || size < 100_000 {
		t.Errorf("the size is said to be %d, %v", size, err)
	}
}

func TestAnEmptyDatabaseHasADump(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	s := source(uri, database(t, uri))
	archive, contents := dumped(t, s)
	if len(contents.Collections) != 0 || contents.Collections == nil {
		t.Errorf("there is %v", contents)
	}
	again, err := s.Drill(t.Context(), bytes.NewReader(archive), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, again, contents)
}

// kinds are values of all kinds that there are, deprecated ones too.
var kinds = map[string]any{
	"double": -0.5, "negative zero": math.Copysign(0, -1), "not a number": math.NaN(), "infinity": math.Inf(1),
	"string": "a\x00b", "document": bson.D{{Key: "b", Value: 1}, {Key: "a", Value: 2}}, "no fields": bson.D{},
	"array": bson.A{1, "two", bson.D{}}, "no elements": bson.A{}, "arrays": bson.A{bson.A{}},
	"binary": bson.Binary{Subtype: 0x80, Data: []byte{1, 2}}, "old binary": bson.Binary{Subtype: 2, Data: []byte{1}}, "uuid": bson.Binary{Subtype: 4, Data: make([]byte, 16)},
	"id": bson.ObjectID{1, 2}, "boolean": true, "time": bson.DateTime(-1), "null": nil,
	"regular expression": bson.Regex{Pattern: "^a", Options: "im"}, "int32": int32(math.MinInt32), "int64": int64(math.MaxInt64),
	"timestamp": bson.Timestamp{T: 1, I: 2}, "decimal": bson.NewDecimal128(0x3040000000000000, 1),
	"undefined": bson.Undefined{}, "pointer": bson.DBPointer{DB: "a.b"}, "javascript": bson.JavaScript("1"), "symbol": bson.Symbol("a"),
	"scoped": bson.CodeWithScope{Code: "1", Scope: bson.D{{Key: "a", Value: 1}}}, "least": bson.MinKey{}, "greatest": bson.MaxKey{},
}

// ferret leaves kinds out that FerretDB closes the connection for.
func ferret() []string {
	return []string{"decimal", "undefined", "pointer", "javascript", "symbol", "scoped", "least", "greatest"}
}

func TestDocumentsOfAllKindsComeBack(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	db := database(t, uri)
	taken := 0
	var deep any = 1
	for range 90 {
		deep = bson.D{{Key: "d", Value: deep}}
	}
	insert(t, db, "kinds", bson.D{{Key: "_id", Value: "deep"}, {Key: "value", Value: deep}}, bson.D{{Key: "_id", Value: "alone"}})
	for name, value := range kinds {
		if slices.Contains(ferret(), name) && !realServer() {
			continue
		}
		for collection, document := range map[string]bson.D{
			"kinds": {{Key: "_id", Value: name}, {Key: "value", Value: value}, {Key: "", Value: name}},
			"ids":   {{Key: "_id", Value: value}},
		} {
			if _, err := db.Collection(collection).InsertOne(t.Context(), document); err == nil {
				taken++
			}
		}
	}
	if taken < 20 {
		t.Fatalf("the server has taken only %d documents", taken)
	}
	s := source(uri, db)
	archive, contents := dumped(t, s)
	if got := contents.Documents(); got != int64(taken+2) {
		t.Errorf("%d of %d documents were dumped", got, taken+2)
	}
	target := database(t, uri)
	restored, err := restorer(uri, target).Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, restored, contents)
	same(t, target, db)
}

func TestADocumentOf16MiBComesBack(t *testing.T) {
	t.Parallel()
	uri := mongotest.Start(t).DirectURI() // as FerretDB is busy with it for long
	db := database(t, uri)
	largest := bson.D{{Key: "_id", Value: 1}, {Key: "x", Value: bson.Binary{Data: make([]byte, 16<<20-22)}}}
	if text, err := bson.Marshal(largest); err != nil || len(text) != 16<<20 {
		t.Fatalf("it has %d bytes, %v", len(text), err)
	}
	insert(t, db, "large", append(numbered(2, 20, 1000), largest)...)
	s := source(uri, db)
	s.limits.batch, s.limits.split = 1<<20, 1<<30
	archive, contents := dumped(t, s)
	r := restorer(uri, database(t, uri))
	r.limits = s.limits
	restored, err := r.Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, restored, contents)
	if restored.Documents() != 21 {
		t.Errorf("there are %v", restored)
	}
}

func TestLargeCollectionsAreReadAsRanges(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	for name, c := range map[string]struct {
		id    func(i int) any
		split bool
	}{
		"whole numbers":    {func(i int) any { return i * 7 % 200 }, true},
		"texts":            {func(i int) any { return fmt.Sprintf("ü %d", i) }, true},
		"ids":              {func(int) any { return bson.NewObjectID() }, true},
		"times":            {func(i int) any { return bson.DateTime(i) }, true},
		"texts and ids":    {func(i int) any { return []any{fmt.Sprint(i), bson.NewObjectID()}[i%2] }, false},
		"numbers of kinds": {func(i int) any { return []any{int32(i), float64(i) + 0.5, int64(i)}[i%3] }, false},
		"documents":        {func(i int) any { return bson.D{{Key: "a", Value: i}} }, false},
		"null and numbers": {func(i int) any { return map[bool]any{true: nil, false: i}[i == 0] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := database(t, uri)
			var documents []bson.D
			for i := range 200 {
				documents = append(documents, bson.D{{Key: "_id", Value: c.id(i)}, {Key: "text", Value: strings.Repeat("x", 100)}})
			}
			insert(t, db, "c", documents...)
			err := connected(t.Context(), uri, db.Name(), patient(), func(conn *conn) error {
				conn.split = 2 << 10
				ranges, err := conn.ranges(t.Context(), &collection{called: "c"}, 200, 20<<10)
				if split := len(ranges) > 4; split != c.split {
					t.Errorf("the ranges are %v", ranges)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			s := source(uri, db)
			s.limits.split = 2 << 10
			archive, _ := dumped(t, s)
			all, err := archived(archive)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			for _, document := range all["c"] {
				seen[string(document)]++
			}
			if len(seen) != 200 || len(all["c"]) != 200 {
				t.Errorf("%d documents, %d different ones", len(all["c"]), len(seen))
			}
		})
	}
}

func TestDocumentsThatOthersWriteMeanwhileAreWholeAndNeverDoubled(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	db := database(t, uri)
	var documents []bson.D
	for i := range 300 {
		documents = append(documents, bson.D{{Key: "_id", Value: i}, {Key: "a", Value: 0}, {Key: "b", Value: 0}, {Key: "text", Value: strings.Repeat("x", 200)}})
	}
	insert(t, db, "c", documents...)
	begun, end := make(chan struct{}), make(chan struct{})
	var writers sync.WaitGroup
	write := func(i int) error {
		c := db.Collection("c")
		_, err := c.UpdateOne(t.Context(), bson.M{"_id": i % 300}, bson.M{"$set": bson.M{"a": i, "b": i, "more": strings.Repeat("y", i%500)}})
		_, err2 := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 10_000 + i}, {Key: "a", Value: i}, {Key: "b", Value: i}})
		_, err3 := c.DeleteOne(t.Context(), bson.M{"_id": 10_000 + i - 20})
		return errors.Join(err, err2, err3)
	}
	writers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			default:
			}
			if err := write(i); err != nil {
				t.Error(err)
				return
			}
			if i == 5 {
				close(begun)
			}
		}
	})
	<-begun
	s := source(uri, db)
	s.limits.split = 8 << 10
	archive, contents := dumped(t, s)
	close(end)
	writers.Wait()
	all, err := archived(archive)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int32]bool{}
	for _, document := range all["c"] {
		id := document.Lookup("_id").Int32()
		if seen[id] {
			t.Errorf("%d is there twice", id)
		}
		seen[id] = true
		if !document.Lookup("a").Equal(document.Lookup("b")) {
			t.Errorf("%d is torn: %v", id, document)
		}
	}
	for i := range int32(300) {
		if !seen[i] {
			t.Errorf("%d was there all the time, and isn't in the dump", i)
		}
	}
	again, err := s.Drill(t.Context(), bytes.NewReader(archive), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, again, contents)
}

// failing fails once a number of bytes has been written.
type failing struct {
	left int
	err  error
}

func (f *failing) Write(text []byte) (int, error) {
	n := min(len(text), f.left)
	f.left -= n
	if n < len(text) {
		return n, f.err
	}
	return n, nil
}

func TestAnErrorOfTheWriterIsNeverLost(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	db := database(t, uri)
	insert(t, db, "a", numbered(0, 60, 300)...)
	insert(t, db, "b", numbered(0, 5, 300)...)
	s := source(uri, db)
	s.limits.batch, s.limits.workers = 4<<10, 1 // so that every dump has the same bytes
	archive, _ := dumped(t, s)
	full := errors.New("the disk is full")
	positions := []int{0, 3, len(archive) - 1, len(archive) - 5, len(archive) - 30}
	for at := 50; at < len(archive)-100; at += len(archive) / 12 {
		positions = append(positions, at)
	}
	for _, at := range positions {
		for _, want := range []error{full, nil} { // nil: it takes less, and doesn't say so
			_, err := s.Dump(t.Context(), &failing{at, want}, nil)
			if want == nil {
				want = io.ErrShortWrite
			}
			if !errors.Is(err, want) || errors.Is(err, backup.ErrUnavailable) {
				t.Errorf("full at %d of %d bytes: %v", at, len(archive), err)
			}
		}
	}
	if _, err := s.Dump(t.Context(), iotest.TruncateWriter(io.Discard, int64(len(archive))), nil); err != nil {
		t.Errorf("a writer that takes everything: %v", err)
	}
}

func TestErrorsDoNotRepeatTheURI(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"mongodb://user:secret%zz@127.0.0.1:1/",
		"mongodb://user:secret@127.0.0.1:1/?authMechanism=nonsense",
		"http://user:secret@127.0.0.1:1/",
		"mongodb://user:secret@127.0.0.1:1/?directConnection=true",
	} {
		s := NewSource(uri, "secrets")
		s.limits.patience = 200 * time.Millisecond
		_, err := s.Dump(t.Context(), io.Discard, nil)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
		if reachable := strings.Contains(uri, "direct"); errors.Is(err, backup.ErrUnavailable) != reachable || errors.Is(err, ErrURI) == reachable {
			t.Errorf("%v", err)
		}
		r := NewRestorer(uri, "secrets")
		r.limits = s.limits
		if plan, err := r.Plan(t.Context(), nil, backup.RestoreOptions{}); err == nil || strings.Contains(err.Error()+plan.Target, "secret@") {
			t.Errorf("%v %v", plan, err)
		}
	}
}
