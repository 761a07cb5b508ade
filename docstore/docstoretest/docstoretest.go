// Package docstoretest is the meaning of [docstore.Store]: a suite of rules
// that every engine passes, concurrency included. An engine's own tests add
// what only that engine can show, such as a killed process or a full disk.
package docstoretest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
)

// Place makes an empty place for documents, which lasts as long as t, and
// returns what opens a store there and closes it when t ends. A rule that opens
// it again has closed it before.
type Place func(t *testing.T) (open func(t *testing.T) docstore.Store)

// Run checks every rule as a parallel subtest in a place of its own.
func Run(t *testing.T, place Place) {
	rules := slices.Concat(
		declareRules(), getRules(), findRules(), pageRules(), insertRules(),
		changeRules(), deleteRules(), batchRules(), codecRules(), raceRules(), closeRules(),
	)
	for _, r := range rules {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			r.check(t, openSubject(t, place(t)))
		})
	}
}

// rule is one sentence of the interface's meaning and what proves it.
type rule struct {
	name  string
	check func(t *testing.T, s *subject)
}

// subject is the store that a rule is checked on, with two collections
// declared.
type subject struct {
	docstore.Store
	open     func(t *testing.T) docstore.Store
	things   *docstore.Collection[thing]
	counters *docstore.Collection[counter]
}

func openSubject(t *testing.T, open func(t *testing.T) docstore.Store) *subject {
	t.Helper()
	store := open(t)
	must(t, store.Declare(t.Context(), thingSpec(), counterSpec()))
	return &subject{
		Store:    store,
		open:     open,
		things:   docstore.NewCollection[thing](store, thingSpec()),
		counters: docstore.NewCollection[counter](store, counterSpec()),
	}
}

// reopen closes the store and opens it again.
func (s *subject) reopen(t *testing.T) *subject {
	t.Helper()
	must(t, s.Close())
	return openSubject(t, s.open)
}

// thing has a field of every kind that an index can hold. A nil Email or Rank
// is missing from the document; a nil Team, Active or Seen is null there.
type thing struct {
	ID     string         `json:"_id"`
	Email  *string        `json:"email,omitempty"`
	Team   *string        `json:"team"`
	Rank   *int64         `json:"rank,omitempty"`
	Active *bool          `json:"active"`
	Seen   *docstore.Time `json:"seen"`
	Note   string         `json:"note"`
}

func (v thing) DocumentID() string { return v.ID }

const things = "things"

func thingSpec() docstore.Spec {
	return docstore.Spec{Collection: things, Indexes: []docstore.Index{
		{Name: "by_email", Fields: []string{"email"}, Unique: true},
		{Name: "by_seat", Fields: []string{"team", "email"}, Unique: true},
		{Name: "by_team", Fields: []string{"team", "rank"}},
		{Name: "by_rank", Fields: []string{"rank"}},
		{Name: "by_active", Fields: []string{"active"}},
		{Name: "by_seen", Fields: []string{"seen"}},
	}}
}

// counter is counted up by many at once. Its two numbers are always equal.
type counter struct {
	ID    string `json:"_id"`
	Kind  string `json:"kind"`
	Count int    `json:"count"`
	Twin  int    `json:"twin"`
}

func (c counter) DocumentID() string { return c.ID }

const counters = "counters"

func counterSpec() docstore.Spec {
	return docstore.Spec{Collection: counters, Indexes: []docstore.Index{
		{Name: "by_kind", Fields: []string{"kind", "count"}},
	}}
}

// noon is the instant that instants are counted from.
func noon() time.Time { return time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC) }

func seen(after time.Duration) *docstore.Time { return new(docstore.At(noon().Add(after))) }

const large = 1 << 53 // the greatest integer that every JSON reader keeps

// sample is what queries are tried on, in no order at all.
func sample() []thing {
	return []thing{
		{ID: "f", Team: new("blue"), Rank: new(int64(-large)), Seen: seen(time.Hour), Email: new("ä@x")},
		{ID: "a", Team: new("red"), Rank: new(int64(1)), Active: new(true), Seen: seen(0), Email: new("m@x")},
		{ID: "d", Team: new("blue"), Rank: new(int64(2)), Email: new("Z@x")},
		{ID: "c", Team: new("red"), Rank: new(int64(-3)), Active: new(true)},
		{ID: "g", Rank: new(int64(0)), Email: new("")},
		{ID: "b", Team: new("red"), Rank: new(int64(1)), Active: new(false), Seen: seen(time.Millisecond), Email: new("a@x")},
		{ID: "h", Team: new("red"), Email: new("b@x")},
		{ID: "e", Team: new("blue"), Rank: new(int64(large)), Active: new(false), Seen: seen(-24 * time.Hour)},
		{ID: "i", Team: new("")},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got the error %v, want %v", what, got, want)
	}
}

func wantConflict(t *testing.T, what string, err error, collection, index string) {
	t.Helper()
	var conflict *docstore.ConflictError
	switch {
	case !errors.As(err, &conflict) || !errors.Is(err, docstore.ErrConflict):
		t.Errorf("%s: got the error %v, want a conflict on %s", what, err, index)
	case conflict.Collection != collection || conflict.Index != index:
		t.Errorf("%s: the conflict is on %s of %s, want %s of %s", what, conflict.Index, conflict.Collection, index, collection)
	}
}

func wantIDs(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if strings.Join(got, "") != want {
		t.Errorf("%s: got %q, want %q", what, got, strings.Split(want, ""))
	}
}

// ids are the ids of a page's documents, in order.
func (s *subject) ids(t *testing.T, documents []docstore.Raw) []string {
	t.Helper()
	ids := make([]string, len(documents))
	for i, raw := range documents {
		var v struct {
			ID string `json:"_id"`
		}
		must(t, s.Codec().Decode(raw, &v))
		ids[i] = v.ID
	}
	return ids
}

// all is the ids of a collection's documents.
func (s *subject) all(t *testing.T, collection string) []string {
	t.Helper()
	var ids []string
	q := docstore.Query{Limit: docstore.MaxLimit}
	for {
		page, err := s.Find(t.Context(), collection, q)
		must(t, err)
		ids = append(ids, s.ids(t, page.Documents)...)
		if page.Next == "" {
			return ids
		}
		q.Cursor = page.Next
	}
}

func (s *subject) encode(t *testing.T, v any) docstore.Raw {
	t.Helper()
	raw, err := s.Codec().Encode(v)
	must(t, err)
	return raw
}

// put is a change that stores raw whatever was there.
func put(raw docstore.Raw) func(docstore.Raw) (docstore.Raw, error) {
	return func(docstore.Raw) (docstore.Raw, error) { return raw, nil }
}

// methods are the calls that reach an engine, each made so that it would
// succeed on the sample, apart from Close and Codec.
func (s *subject) methods(t *testing.T, collection string) map[string]func(context.Context) error {
	raw := s.encode(t, thing{ID: "z"})
	return map[string]func(context.Context) error{
		"Get":    func(ctx context.Context) error { _, err := s.Get(ctx, collection, "a"); return err },
		"GetAll": func(ctx context.Context) error { _, err := s.GetAll(ctx, collection, "a", "b"); return err },
		"Find":   func(ctx context.Context) error { _, err := s.Find(ctx, collection, docstore.Query{}); return err },
		"Insert": func(ctx context.Context) error {
			return s.Insert(ctx, collection, docstore.Document{ID: "z", Body: raw})
		},
		"Upsert": func(ctx context.Context) error { return s.Upsert(ctx, collection, "z", put(raw)) },
		"Delete": func(ctx context.Context) error { return s.Delete(ctx, collection, "a") },
		"DeleteRange": func(ctx context.Context) error {
			_, err := s.DeleteRange(ctx, collection, docstore.Query{})
			return err
		},
		"Batch": func(ctx context.Context) error {
			return s.Batch(ctx, []docstore.Change{{Collection: collection, ID: "z", Apply: put(raw)}, {Collection: collection, ID: "y", Apply: put(raw)}})[0]
		},
	}
}
