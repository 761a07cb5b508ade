package mongodump

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"manus/backup"
	"manus/internal/mongotest"
	"manus/internal/processtest"
)

func TestARestoreIsWhatWasDumped(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	db, target := furnished(t, uri), database(t, uri)
	archive, contents := dumped(t, source(uri, db))
	r := restorer(uri, target)
	if s := source(uri, db); s.Format() != backup.Archive || r.Format() != backup.Archive {
		t.Errorf("the formats are %s and %s", s.Format(), r.Format())
	}
	plan, err := r.Plan(t.Context(), &contents, backup.RestoreOptions{})
	if err != nil || len(plan.Steps) != 6 || !strings.HasSuffix(plan.Target, "/"+target.Name()) {
		t.Errorf("the plan is %v, %v", plan, err)
	}
	var told []int64
	restored, err := r.Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{}, func(n int64) { told = append(told, n) })
	if err != nil {
		t.Fatal(err)
	}
	equal(t, restored, contents)
	same(t, target, db)
	if !slices.IsSorted(told) || told[len(told)-1] != int64(len(archive)) {
		t.Errorf("the progress of %d bytes was %v", len(archive), told)
	}
}

func TestWhatIsThereIsOnlyReplacedWhenThatIsAllowed(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	db, target := database(t, uri), database(t, uri)
	insert(t, db, "a", numbered(0, 10, 50)...)
	insert(t, db, "b", numbered(0, 20, 50)...)
	archive, contents := dumped(t, source(uri, db))
	insert(t, target, "a", numbered(5, 3, 50)...)
	insert(t, target, "theirs", numbered(0, 4, 50)...)
	if err := target.CreateCollection(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	before := state(t, target)
	r := restorer(uri, target)
	a := backup.PlanStep{Collection: "a", Restore: true, Documents: 10, Existing: 3}
	b := backup.PlanStep{Collection: "b", Restore: true, Documents: 20, Existing: 0}
	unknown := backup.PlanStep{Collection: "theirs", Restore: true, Documents: -1, Existing: 4}
	for _, c := range []struct {
		name     string
		contents *backup.Contents
		o        backup.RestoreOptions
		steps    []backup.PlanStep
		refused  bool
	}{
		{"everything", &contents, backup.RestoreOptions{}, []backup.PlanStep{a, b}, true},
		{"one that is there", &contents, backup.RestoreOptions{Collections: []string{"a"}}, []backup.PlanStep{a}, true},
		{"one that is empty", &contents, backup.RestoreOptions{Collections: []string{"b"}}, []backup.PlanStep{b}, false},
		{"everything in its place", &contents, backup.RestoreOptions{Drop: true}, []backup.PlanStep{a, b}, false},
		{"an unknown dump", nil, backup.RestoreOptions{Drop: true}, []backup.PlanStep{
			{Collection: "a", Restore: true, Documents: -1, Existing: 3}, {Collection: "b", Restore: true, Documents: -1}, unknown,
		}, false},
	} {
		plan, err := r.Plan(t.Context(), c.contents, c.o)
		if errors.Is(err, backup.ErrNotEmpty) != c.refused || !c.refused && err != nil || !reflect.DeepEqual(plan.Steps, c.steps) {
			t.Errorf("the plan of %s is %v, %v", c.name, plan, err)
		}
		if !c.refused {
			continue
		}
		if _, err := r.Restore(t.Context(), bytes.NewReader(archive), c.o, nil); !errors.Is(err, backup.ErrNotEmpty) {
			t.Errorf("restoring %s: %v", c.name, err)
		}
	}
	for _, err := range []error{
		second(r.Plan(t.Context(), &contents, backup.RestoreOptions{Collections: []string{"c"}})),
		second(r.Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{Collections: []string{"a", "c"}, Drop: true}, nil)),
		second(r.Restore(t.Context(), bytes.NewReader(archive[:20]), backup.RestoreOptions{Drop: true}, nil)),
	} {
		if err == nil || errors.Is(err, backup.ErrNotEmpty) {
			t.Errorf("what can't be restored: %v", err)
		}
	}
	if got := state(t, target); !slices.Equal(got, before) {
		t.Errorf("it was changed to %q", got)
	}

	restored, err := r.Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{Collections: []string{"b"}}, nil)
	if err != nil || restored.Documents() != 20 || len(restored.Collections) != 1 {
		t.Errorf("one alone: %v, %v", restored, err)
	}
	restored, err = r.Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{Drop: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, restored, contents)
	if n, err := target.Collection("theirs").CountDocuments(t.Context(), bson.D{}); err != nil || n != 4 {
		t.Errorf("what isn't restored has %d documents, %v", n, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestDamageOfAnArchiveIsSeenWhenItIsRestored does what TestNoDamageGoesUnseen does, at
// fewer places: what is restored is never said to be the same.
func TestDamageOfAnArchiveIsSeenWhenItIsRestored(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	db := database(t, uri)
	insert(t, db, "a", numbered(0, 100, 100)...)
	insert(t, db, "b", numbered(0, 50, 100)...)
	s := source(uri, db)
	archive, contents := dumped(t, s)
	documents := bytes.Index(archive, []byte{0xff, 0xff, 0xff, 0xff})
	step := max(1, len(archive)/processtest.Size(processtest.Damages, 16))
	for at := documents; at < len(archive); at += step {
		changed := slices.Clone(archive)
		changed[at] ^= 0x10
		got, err := s.Drill(t.Context(), bytes.NewReader(changed), nil)
		if err == nil && slices.Equal(got.Collections, contents.Collections) {
			t.Errorf("byte %d of %d changes nothing", at, len(archive))
		}
		if err != nil && !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

func TestDocumentsThatAreRefusedAreDamageWithoutTheirValues(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	s := source(uri, database(t, uri))
	for name, documents := range map[string][]bson.D{
		"twice":  {{{Key: "_id", Value: "secret"}}, {{Key: "_id", Value: "secret"}}},
		"unique": {{{Key: "_id", Value: 1}, {Key: "a", Value: "secret"}}, {{Key: "_id", Value: 2}, {Key: "a", Value: "secret"}}},
	} {
		index := bson.D{{Key: "v", Value: 2}, {Key: "key", Value: bson.D{{Key: "a", Value: 1}}}, {Key: "name", Value: "a_1"}, {Key: "unique", Value: true}}
		text, err := bson.Marshal(index)
		if err != nil {
			t.Fatal(err)
		}
		archive := archiveOf(t, metadata{Name: name, Indexes: []bson.Raw{text}}, documents...)
		_, err = s.Drill(t.Context(), bytes.NewReader(archive), nil)
		if !errors.Is(err, backup.ErrDamaged) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		_, err = restorer(uri, database(t, uri)).Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{}, func(int64) {})
		if err == nil || !strings.Contains(err.Error(), "the same command with --drop begins anew") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s, restored: %v", name, err)
		}
	}
}

// archiveOf is an archive of one collection.
func archiveOf(t testing.TB, m metadata, documents ...bson.D) []byte {
	t.Helper()
	var out bytes.Buffer
	text, err := m.json()
	if err != nil {
		t.Fatal(err)
	}
	e := entry{Database: "db", Collection: m.Name, Metadata: text, Type: m.Type}
	of := e.data()
	a, err := newArchiveWriter(&out, header{}, []entry{e}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range documents {
		text, err := bson.Marshal(document)
		if err := errors.Join(err, a.documents(of, text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(a.end(of), a.finish()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
