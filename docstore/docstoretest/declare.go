package docstoretest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"manus/docstore"
)

func declareRules() []rule {
	return []rule{
		{"Declare is idempotent and keeps documents", declareTwice},
		{"Declare may be called by many at once", declareAtOnce},
		{"Declare adds an index to documents that are there", declareIndexLater},
		{"Declare refuses a unique index that documents violate", declareViolated},
		{"Declare lets collections have indexes of the same name", declareSameNames},
		{"Declare refuses names with other characters", declareNames},
		{"Declare refuses maps that don't say what their keys are", declareMaps},
		{"a collection must be declared", undeclared},
	}
}

func declareTwice(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	must(t, s.Declare(t.Context(), thingSpec(), thingSpec()))
	must(t, s.Declare(t.Context()))
	wantIDs(t, "after declaring again", s.all(t, things), "abcdefghi")
}

func declareAtOnce(t *testing.T, s *subject) {
	spec := docstore.Spec{Collection: "later", Indexes: []docstore.Index{
		{Name: "by_note", Fields: []string{"note"}, Unique: true},
		{Name: "by_rank", Fields: []string{"rank"}},
	}}
	later := docstore.NewCollection[thing](s.Store, spec)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if err := s.Declare(t.Context(), spec); err != nil {
				t.Error(err)
				return
			}
			id := string(rune('a' + i))
			if err := later.Insert(t.Context(), thing{ID: id, Note: id, Rank: new(int64(-i))}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	page, err := s.Find(t.Context(), "later", docstore.Query{Index: "by_rank"})
	must(t, err)
	wantIDs(t, "by an index declared eight times", s.ids(t, page.Documents), "hgfedcba")
}

func declareIndexLater(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), thing{ID: "a", Note: "2"}, thing{ID: "b", Note: "1"}))
	spec := thingSpec()
	spec.Indexes = append(spec.Indexes, docstore.Index{Name: "by_note", Fields: []string{"note"}, Unique: true})
	must(t, s.Declare(t.Context(), spec))
	page, err := s.Find(t.Context(), things, docstore.Query{Index: "by_note"})
	must(t, err)
	wantIDs(t, "by the new index", s.ids(t, page.Documents), "ba")
	wantConflict(t, "a value that was there before the index", s.things.Insert(t.Context(), thing{ID: "c", Note: "1"}), things, "by_note")
}

func declareViolated(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), thing{ID: "a", Note: "1"}, thing{ID: "b", Note: "1"}))
	spec := thingSpec()
	spec.Indexes = append(spec.Indexes, docstore.Index{Name: "by_note", Fields: []string{"note"}, Unique: true})
	wantConflict(t, "two documents with one note", s.Declare(t.Context(), spec), things, "by_note")
	wantIDs(t, "after the refusal", s.all(t, things), "ab")
	must(t, s.things.Delete(t.Context(), "b"))
	must(t, s.Declare(t.Context(), spec))
}

func declareSameNames(t *testing.T, s *subject) {
	spec := docstore.Spec{Collection: "others", Indexes: []docstore.Index{{Name: "by_email", Fields: []string{"email"}, Unique: true}}}
	must(t, s.Declare(t.Context(), spec))
	others := docstore.NewCollection[thing](s.Store, spec)
	v := thing{ID: "a", Email: new("a@x")}
	must(t, s.things.Insert(t.Context(), v))
	must(t, others.Insert(t.Context(), v))
	wantConflict(t, "again", others.Insert(t.Context(), thing{ID: "b", Email: v.Email}), "others", "by_email")
}

func declareNames(t *testing.T, s *subject) {
	for _, name := range []string{"", "Ab", "a-b", "a b", "a.b", `a"b`, "a'b", "a;b", "$a", "ä", "a\x00"} {
		for _, spec := range []docstore.Spec{
			{Collection: name},
			{Collection: "ok", Indexes: []docstore.Index{{Name: name, Fields: []string{"ok"}}}},
			{Collection: "ok", Indexes: []docstore.Index{{Name: "ok", Fields: []string{name}}}},
		} {
			wantError(t, name, s.Declare(t.Context(), spec), docstore.ErrInvalid)
		}
	}
	none := docstore.Spec{Collection: "ok", Indexes: []docstore.Index{{Name: "ok"}}}
	wantError(t, "an index on nothing", s.Declare(t.Context(), none), docstore.ErrInvalid)
}

// mapped is a document with maps in all the places where one may hide.
type mapped[T any] struct {
	ID    string `json:"_id"`
	Inner *struct {
		List []T `json:"list"`
	} `json:"inner"`
	Skipped map[string]int `json:"-"`
}

func (m mapped[T]) DocumentID() string { return m.ID }

func declareMaps(t *testing.T, s *subject) {
	type tree struct {
		Children []tree         `json:"children"`
		Named    map[string]int `json:"named" docstore:"plainkeys"`
	}
	type deep struct {
		Trees map[string][]map[string]tree `json:"trees" docstore:"plainkeys"`
	}
	for _, of := range []docstore.Entity{mapped[string]{}, mapped[tree]{}, mapped[deep]{}, &mapped[json.RawMessage]{}} {
		must(t, s.Declare(t.Context(), docstore.Spec{Collection: "mapped", Of: of}))
	}
	type unsaid struct {
		Named map[string]int `json:"named"`
	}
	type below struct {
		Trees map[string]unsaid `json:"trees" docstore:"plainkeys"`
	}
	for _, of := range []docstore.Entity{mapped[map[string]int]{}, mapped[unsaid]{}, mapped[[]*unsaid]{}, mapped[below]{}} {
		wantError(t, fmt.Sprintf("%T", of), s.Declare(t.Context(), docstore.Spec{Collection: "mapped", Of: of}), docstore.ErrInvalid)
	}
}

func undeclared(t *testing.T, s *subject) {
	for name, call := range s.methods(t, "undeclared") {
		wantError(t, name, call(t.Context()), docstore.ErrInvalid)
	}
}
