package docstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
)

type note struct {
	ID   string         `json:"_id"`
	Rank int            `json:"rank"`
	Tags map[string]int `json:"tags,omitempty"`
}

func (n note) DocumentID() string { return n.ID }

var noteSpec = docstore.Spec{Collection: "notes", Indexes: []docstore.Index{{Name: "by_rank", Fields: []string{"rank"}}}}

func setup(t *testing.T) (docstore.Store, *docstore.Collection[note]) {
	t.Helper()
	s, err := sqlitedocs.Open(t.Context(), filepath.Join(t.TempDir(), "manus.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Declare(t.Context(), noteSpec); err != nil {
		t.Fatal(err)
	}
	return s, docstore.NewCollection[note](s, noteSpec)
}

func insert(t *testing.T, c *docstore.Collection[note], n int) {
	t.Helper()
	notes := make([]note, n)
	for i := range notes {
		notes[i] = note{ID: fmt.Sprintf("%04d", i), Rank: i}
	}
	if err := c.Insert(t.Context(), notes...); err != nil {
		t.Fatal(err)
	}
}

func TestFirstIsTheFirstOfTheRangeWhateverTheLimit(t *testing.T) {
	t.Parallel()
	_, c := setup(t)
	insert(t, c, 5)
	n, err := c.First(t.Context(), docstore.Query{Index: "by_rank", From: 2, Until: 4, Descending: true, Limit: 50})
	if err != nil || n.Rank != 3 {
		t.Errorf("got %+v, %v", n, err)
	}
	if n, err := c.First(t.Context(), docstore.Query{Index: "by_rank", From: 9}); !errors.Is(err, docstore.ErrNotFound) || n.ID != "" {
		t.Errorf("of nothing: %+v, %v", n, err)
	}
	if _, err := c.First(t.Context(), docstore.Query{Index: "by_nothing"}); !errors.Is(err, docstore.ErrInvalid) {
		t.Errorf("of no index: %v", err)
	}
}

func TestDeleteAllGoesOnUntilTheRangeIsEmpty(t *testing.T) {
	t.Parallel()
	_, c := setup(t)
	const last = 2*docstore.MaxLimit + 5
	insert(t, c, last+1)
	n, err := c.DeleteAll(t.Context(), docstore.Query{Index: "by_rank", Until: last, Limit: 3})
	if err != nil || n != last {
		t.Errorf("deleted %d, %v", n, err)
	}
	left, next, err := c.Find(t.Context(), docstore.Query{})
	if err != nil || next != "" || len(left) != 1 || left[0].Rank != last {
		t.Errorf("what is left: %v, %q, %v", left, next, err)
	}
	if n, err := c.DeleteAll(t.Context(), docstore.Query{Index: "by_rank", Until: last}); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
}

func TestAChangeMayLeaveTheValueUnchanged(t *testing.T) {
	t.Parallel()
	_, c := setup(t)
	insert(t, c, 1)
	unchanged := fmt.Errorf("wrapped: %w", docstore.ErrUnchanged)
	n, err := c.Update(t.Context(), "0000", func(n *note) error { n.Rank = 7; return unchanged })
	if err != nil || n.Rank != 7 {
		t.Errorf("Update: %+v, %v", n, err)
	}
	if _, err := c.Upsert(t.Context(), note{ID: "new"}, func(*note, bool) error { return unchanged }); err != nil {
		t.Errorf("Upsert: %v", err)
	}
	if n, err := c.Get(t.Context(), "0000"); err != nil || n.Rank != 0 {
		t.Errorf("it was stored: %+v, %v", n, err)
	}
	if _, err := c.Get(t.Context(), "new"); !errors.Is(err, docstore.ErrNotFound) {
		t.Errorf("one was made: %v", err)
	}
}

func TestAChangeMayNotGiveAnotherID(t *testing.T) {
	t.Parallel()
	_, c := setup(t)
	insert(t, c, 1)
	_, updated := c.Update(t.Context(), "0000", func(n *note) error { n.ID = "other"; return nil })
	_, upserted := c.Upsert(t.Context(), note{ID: "new"}, func(n *note, _ bool) error { n.ID = "other"; return nil })
	if updated == nil || upserted == nil {
		t.Errorf("got %v and %v", updated, upserted)
	}
	if all, _, err := c.Find(t.Context(), docstore.Query{}); err != nil || len(all) != 1 || all[0].ID != "0000" {
		t.Errorf("stored are %+v, %v", all, err)
	}
}

// twice is a store that runs changes twice, as every engine may.
type twice struct{ docstore.Store }

func (s twice) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	return s.Store.Upsert(ctx, collection, id, rerun(change))
}

func rerun(change func(docstore.Raw) (docstore.Raw, error)) func(docstore.Raw) (docstore.Raw, error) {
	return func(old docstore.Raw) (docstore.Raw, error) {
		if _, err := change(old); err != nil {
			return nil, err
		}
		return change(old)
	}
}

func TestAChangeThatRunsAgainStartsAfresh(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	c := docstore.NewCollection[note](twice{s}, noteSpec)
	initial := note{ID: "a", Tags: map[string]int{"x": 10}}
	count := func(n *note) error { n.Rank++; n.Tags["x"]++; return nil }
	for want := 1; want <= 2; want++ {
		n, err := c.Upsert(t.Context(), initial, func(n *note, _ bool) error { return count(n) })
		if err != nil || n.Rank != want || n.Tags["x"] != 10+want {
			t.Errorf("upsert %d: %+v, %v", want, n, err)
		}
	}
	if initial.Tags["x"] != 10 {
		t.Errorf("the caller's value was changed: %+v", initial)
	}
	if n, err := c.Update(t.Context(), "a", count); err != nil || n.Rank != 3 || n.Tags["x"] != 13 {
		t.Errorf("update: %+v, %v", n, err)
	}
}

func TestADocumentThatCantBeReadIsAnErrorAndStays(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	type other struct {
		ID   string `json:"_id"`
		Rank string `json:"rank"`
	}
	raw, err := s.Codec().Encode(other{"a", "high"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Insert(t.Context(), "notes", docstore.Document{ID: "a", Body: raw}); err != nil {
		t.Fatal(err)
	}
	_, getting := c.Get(t.Context(), "a")
	_, _, finding := c.Find(t.Context(), docstore.Query{})
	_, updating := c.Update(t.Context(), "a", func(*note) error { return nil })
	_, upserting := c.Upsert(t.Context(), note{ID: "a"}, func(*note, bool) error { return nil })
	for name, err := range map[string]error{"Get": getting, "Find": finding, "Update": updating, "Upsert": upserting} {
		if err == nil {
			t.Errorf("%s read it", name)
		}
	}
	if now, err := s.Get(t.Context(), "notes", "a"); err != nil || string(now) != string(raw) {
		t.Errorf("it was %s and is %s, %v", raw, now, err)
	}
}

func TestAConflictErrorSaysWhere(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("wrapped: %w", &docstore.ConflictError{Collection: "users", Index: "by_email"})
	if !errors.Is(err, docstore.ErrConflict) || !docstore.ConflictsOn(err, "by_email") {
		t.Errorf("%v is no conflict on by_email", err)
	}
	if docstore.ConflictsOn(err, docstore.IDIndex) || docstore.ConflictsOn(docstore.ErrConflict, "by_email") || docstore.ConflictsOn(nil, "") {
		t.Error("a conflict on another index")
	}
	if want := "wrapped: users: unique index by_email: a document with this value exists already"; err.Error() != want {
		t.Errorf("it says %q", err)
	}
}
