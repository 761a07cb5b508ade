package docstoretest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"manus/docstore"
)

var errOwn = errors.New("the change's own error")

func insertRules() []rule {
	return []rule{
		{"Insert stops at the first conflict and keeps what is before it", insertPrefix},
		{"Insert refuses an id twice in one call", insertTwice},
		{"Insert of nothing does nothing", insertNothing},
		{"Insert names the index that it conflicts on", insertConflicts},
		{"unique indexes leave out documents that lack a field", uniqueLacking},
	}
}

func insertPrefix(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), thing{ID: "d"}))
	err := s.things.Insert(t.Context(), thing{ID: "c"}, thing{ID: "b"}, thing{ID: "d"}, thing{ID: "a"})
	wantConflict(t, "the third of four", err, things, docstore.IDIndex)
	wantIDs(t, "after the conflict", s.all(t, things), "bcd")
}

func insertTwice(t *testing.T, s *subject) {
	err := s.things.Insert(t.Context(), thing{ID: "a", Note: "first"}, thing{ID: "a", Note: "second"}, thing{ID: "b"})
	wantConflict(t, "an id twice", err, things, docstore.IDIndex)
	wantIDs(t, "after the conflict", s.all(t, things), "a")
	if v, err := s.things.Get(t.Context(), "a"); err != nil || v.Note != "first" {
		t.Errorf("got %+v, %v", v, err)
	}
	err = s.things.Insert(t.Context(), thing{ID: "c", Email: new("c@x")}, thing{ID: "d", Email: new("c@x")})
	wantConflict(t, "an e-mail twice", err, things, "by_email")
}

func insertNothing(t *testing.T, s *subject) {
	must(t, s.Insert(t.Context(), things))
	wantIDs(t, "after nothing", s.all(t, things), "")
}

func insertConflicts(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	wantConflict(t, "the id", s.things.Insert(t.Context(), thing{ID: "a"}), things, docstore.IDIndex)
	wantConflict(t, "the e-mail", s.things.Insert(t.Context(), thing{ID: "z", Email: new("m@x")}), things, "by_email")
	wantConflict(t, "the empty e-mail", s.things.Insert(t.Context(), thing{ID: "z", Email: new("")}), things, "by_email")
	both := s.things.Insert(t.Context(), thing{ID: "z", Email: new("m@x"), Team: new("red")})
	if !docstore.ConflictsOn(both, "by_email") && !docstore.ConflictsOn(both, "by_seat") {
		t.Errorf("two unique indexes: got %v", both)
	}
	wantIDs(t, "after four refusals", s.all(t, things), "abcdefghi")
}

func uniqueLacking(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(),
		thing{ID: "a"}, thing{ID: "b"}, // neither field of by_seat
		thing{ID: "c", Team: new("red")}, thing{ID: "d", Team: new("red")}, // one of them
		thing{ID: "e", Email: new("e@x")}))
	_, err := s.things.Update(t.Context(), "a", func(v *thing) error { v.Email = new("e@x"); return nil })
	wantConflict(t, "a field that a document gets later", err, things, "by_email")
}

func changeRules() []rule {
	return []rule{
		{"Update changes a document that exists", update},
		{"Update leaves the document when its change fails or wants so", updateNothing},
		{"Update names the index that it conflicts on", updateConflicts},
		{"Upsert makes or changes a document", upsert},
		{"a unique value is free again when its document is changed or deleted", uniqueFreed},
	}
}

func update(t *testing.T, s *subject) {
	called := false
	_, err := s.things.Update(t.Context(), "a", func(*thing) error { called = true; return nil })
	wantError(t, "no such document", err, docstore.ErrNotFound)
	if called {
		t.Error("the change of a missing document was called")
	}
	must(t, s.things.Insert(t.Context(), thing{ID: "a", Email: new("a@x"), Note: "old"}, thing{ID: "b", Note: "other"}))
	stored, err := s.things.Update(t.Context(), "a", func(v *thing) error {
		if v.ID != "a" || *v.Email != "a@x" || v.Note != "old" {
			t.Errorf("the change got %+v", v)
		}
		v.Note = "new" // and keeps its own e-mail, which is no conflict
		return nil
	})
	must(t, err)
	if v, err := s.things.Get(t.Context(), "a"); err != nil || v.Note != "new" || stored.Note != "new" || *v.Email != "a@x" {
		t.Errorf("got %+v, %v", v, err)
	}
	if v, err := s.things.Get(t.Context(), "b"); err != nil || v.Note != "other" {
		t.Errorf("another document is %+v, %v", v, err)
	}
}

func updateNothing(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), thing{ID: "a", Note: "old"}))
	change := func(err error) func(*thing) error {
		return func(v *thing) error { v.Note = "new"; return err }
	}
	_, err := s.things.Update(t.Context(), "a", change(errOwn))
	wantError(t, "Update", err, errOwn)
	_, err = s.things.Update(t.Context(), "a", change(docstore.ErrUnchanged))
	wantError(t, "Update unchanged", err, nil)
	_, err = s.things.Upsert(t.Context(), thing{ID: "a"}, func(v *thing, _ bool) error { return change(errOwn)(v) })
	wantError(t, "Upsert", err, errOwn)
	_, err = s.things.Update(t.Context(), "a", func(v *thing) error { v.ID, v.Note = "b", "new"; return nil })
	if err == nil {
		t.Error("a document got another id")
	}
	wantIDs(t, "after all that", s.all(t, things), "a")
	if v, err := s.things.Get(t.Context(), "a"); err != nil || v.Note != "old" {
		t.Errorf("got %+v, %v", v, err)
	}
}

func updateConflicts(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(),
		thing{ID: "a", Email: new("a@x"), Team: new("red"), Note: "old"},
		thing{ID: "b", Email: new("b@x"), Team: new("blue")}))
	_, err := s.things.Update(t.Context(), "a", func(v *thing) error { v.Email, v.Note = new("b@x"), "new"; return nil })
	wantConflict(t, "the e-mail", err, things, "by_email")
	_, err = s.things.Upsert(t.Context(), thing{ID: "c", Email: new("b@x")}, func(*thing, bool) error { return nil })
	wantConflict(t, "the e-mail of a new one", err, things, "by_email")
	if v, err := s.things.Get(t.Context(), "a"); err != nil || *v.Email != "a@x" || v.Note != "old" {
		t.Errorf("after the refusal: %+v, %v", v, err)
	}

	// Of several unique indexes, one that is violated is named.
	spec := docstore.Spec{Collection: "rooms", Indexes: []docstore.Index{
		{Name: "by_door", Fields: []string{"team"}, Unique: true},
		{Name: "by_key", Fields: []string{"note"}, Unique: true},
	}}
	must(t, s.Declare(t.Context(), spec))
	rooms := docstore.NewCollection[thing](s.Store, spec)
	must(t, rooms.Insert(t.Context(), thing{ID: "a", Team: new("1"), Note: "1"}, thing{ID: "b", Team: new("2"), Note: "2"}))
	_, err = rooms.Update(t.Context(), "b", func(v *thing) error { v.Team = new("1"); return nil })
	wantConflict(t, "the first", err, "rooms", "by_door")
	_, err = rooms.Update(t.Context(), "b", func(v *thing) error { v.Note = "1"; return nil })
	wantConflict(t, "the second", err, "rooms", "by_key")
}

func upsert(t *testing.T, s *subject) {
	must(t, s.Upsert(t.Context(), things, "a", func(old docstore.Raw) (docstore.Raw, error) {
		if old != nil {
			t.Errorf("got %s, though there is none", old)
		}
		return nil, nil
	}))
	wantError(t, "a change that fails", s.Upsert(t.Context(), things, "a", func(docstore.Raw) (docstore.Raw, error) { return nil, errOwn }), errOwn)
	wantIDs(t, "after nothing", s.all(t, things), "")
	for want := range 3 {
		v, err := s.things.Upsert(t.Context(), thing{ID: "a", Rank: new(int64(0))}, func(v *thing, exists bool) error {
			if exists != (want > 0) {
				t.Errorf("try %d: exists is %v", want, exists)
			}
			*v.Rank++
			return nil
		})
		if err != nil || *v.Rank != int64(want+1) {
			t.Errorf("try %d: %v, %v", want, *v.Rank, err)
		}
	}
	if v, err := s.things.Get(t.Context(), "a"); err != nil || *v.Rank != 3 {
		t.Errorf("got %+v, %v", v, err)
	}
}

func uniqueFreed(t *testing.T, s *subject) {
	email := new("a@x")
	take := func(id string) {
		t.Helper()
		must(t, s.things.Insert(t.Context(), thing{ID: id, Email: email}))
		wantConflict(t, "while it is taken", s.things.Insert(t.Context(), thing{ID: "x", Email: email}), things, "by_email")
	}
	take("a")
	_, err := s.things.Update(t.Context(), "a", func(v *thing) error { v.Email = new("b@x"); return nil })
	must(t, err)
	take("b")
	_, err = s.things.Update(t.Context(), "b", func(v *thing) error { v.Email = nil; return nil })
	must(t, err)
	take("c")
	must(t, s.things.Delete(t.Context(), "c"))
	take("d")
	_, err = s.DeleteRange(t.Context(), things, docstore.Query{Index: "by_email", Equal: []any{"a@x"}})
	must(t, err)
	take("e")
}

func deleteRules() []rule {
	return []rule{
		{"Delete removes a document or returns ErrNotFound", deleteOne},
		{"a change removes its document by returning Removed", removeByChange},
		{"UpdateAll changes each value or says why not", updateAll},
		{"DeleteRange removes the range from its start within the limit", deleteRanges},
	}
}

func deleteOne(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	must(t, s.things.Delete(t.Context(), "b"))
	wantError(t, "again", s.things.Delete(t.Context(), "b"), docstore.ErrNotFound)
	_, err := s.things.Get(t.Context(), "b")
	wantError(t, "Get", err, docstore.ErrNotFound)
	wantIDs(t, "what stays", s.all(t, things), "acdefghi")
	must(t, s.things.Insert(t.Context(), thing{ID: "b"}))
}

func removeByChange(t *testing.T, s *subject) {
	remove := put(docstore.Removed)
	_, err := s.things.Update(t.Context(), "a", func(*thing) error { return docstore.ErrRemoved })
	wantError(t, "Update of nothing", err, docstore.ErrNotFound)
	must(t, s.Upsert(t.Context(), things, "a", remove))
	wantIDs(t, "after removing nothing", s.all(t, things), "")
	must(t, s.things.Insert(t.Context(), sample()...))
	must(t, s.Upsert(t.Context(), things, "a", remove))
	must(t, s.Upsert(t.Context(), things, "b", remove))
	must(t, errors.Join(s.Batch(t.Context(), []docstore.Change{{Collection: things, ID: "c", Apply: remove}, {Collection: things, ID: "z", Apply: remove}})...))
	gone, err := s.things.Update(t.Context(), "d", func(*thing) error { return docstore.ErrRemoved })
	must(t, err)
	if gone.ID != "d" {
		t.Errorf("got %+v", gone)
	}
	wantIDs(t, "what stays", s.all(t, things), "efghi")
	must(t, s.things.Insert(t.Context(), thing{ID: "a"}))
}

func updateAll(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), thing{ID: "a"}, thing{ID: "b", Note: "old"}, thing{ID: "c"}, thing{ID: "d"}))
	outcomes := []error{nil, docstore.ErrUnchanged, docstore.ErrRemoved, errOwn, nil}
	values, errs := s.things.UpdateAll(t.Context(), []string{"a", "b", "c", "d", "e"}, func(i int, v *thing) error {
		v.Note += v.ID + "'s"
		return outcomes[i]
	})
	for i, want := range []error{nil, nil, nil, errOwn, docstore.ErrNotFound} {
		wantError(t, "the change of "+fmt.Sprint(i), errs[i], want)
	}
	wantIDs(t, "what stays", s.all(t, things), "abd")
	for id, want := range map[string]string{"a": "a's", "b": "old", "d": ""} {
		if v, err := s.things.Get(t.Context(), id); err != nil || v.Note != want {
			t.Errorf("got %+v, %v", v, err)
		}
	}
	if values[0].Note != "a's" || values[2].ID != "c" || values[4].ID != "" {
		t.Errorf("got %+v", values)
	}
}

func deleteRanges(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	for _, shape := range shapes() {
		q, left := shape.query, shape.want
		q.Limit = 2
		for {
			n, err := s.DeleteRange(t.Context(), things, q)
			must(t, err)
			if want := min(q.Limit, len(left)); n != want {
				t.Fatalf("%+v: removed %d, want %d", q, n, want)
			}
			left = left[n:]
			wantIDs(t, fmt.Sprintf("after removing %d by %+v", n, q), s.all(t, things), without("abcdefghi", shape.want[:len(shape.want)-len(left)]))
			if n < q.Limit {
				break
			}
		}
		for _, v := range sample() {
			if strings.Contains(shape.want, v.ID) {
				must(t, s.things.Insert(t.Context(), v))
			}
		}
	}
}

func without(all, removed string) string {
	return strings.Map(func(id rune) rune {
		if strings.ContainsRune(removed, id) {
			return -1
		}
		return id
	}, all)
}

func batchRules() []rule {
	return []rule{
		{"Batch has an error for each change and each stands alone", batch},
		{"Batch applies changes of one document one after another", batchSame},
		{"Batch takes many changes of every kind", batchMany},
	}
}

func batch(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), thing{ID: "a", Email: new("a@x")}, thing{ID: "b", Note: "old"}))
	own := func(docstore.Raw) (docstore.Raw, error) { return nil, errOwn }
	nothing := func(docstore.Raw) (docstore.Raw, error) { return nil, nil }
	fill := func(v any) func(docstore.Raw) (docstore.Raw, error) { return put(s.encode(t, v)) }
	steps := []struct {
		collection, id string
		apply          func(docstore.Raw) (docstore.Raw, error)
		want           error
	}{
		{things, "c", fill(thing{ID: "c"}), nil},
		{things, "d", own, errOwn},
		{things, "e", fill(thing{ID: "e", Email: new("a@x")}), docstore.ErrConflict},
		{"undeclared", "f", nothing, docstore.ErrInvalid},
		{things, "g", nothing, nil},
		{counters, "h", fill(counter{ID: "h", Kind: "x", Count: 7}), nil},
		{things, "b", fill(thing{ID: "b", Note: "new"}), nil},
	}
	changes := make([]docstore.Change, len(steps))
	for i, step := range steps {
		changes[i] = docstore.Change{Collection: step.collection, ID: step.id, Apply: step.apply}
	}
	errs := s.Batch(t.Context(), changes)
	if len(errs) != len(steps) {
		t.Fatalf("%d errors for %d changes", len(errs), len(steps))
	}
	for i, step := range steps {
		wantError(t, "the change of "+step.id, errs[i], step.want)
	}
	wantConflict(t, "the conflict", errs[2], things, "by_email")
	wantIDs(t, "things", s.all(t, things), "abc")
	wantIDs(t, "counters", s.all(t, counters), "h")
	if v, err := s.things.Get(t.Context(), "b"); err != nil || v.Note != "new" {
		t.Errorf("got %+v, %v", v, err)
	}
	added := []docstore.Change{{Collection: things, ID: "n", New: s.encode(t, thing{ID: "n"})}}
	must(t, s.Batch(t.Context(), added)[0])
	wantConflict(t, "adding it again", s.Batch(t.Context(), added)[0], things, docstore.IDIndex)
	if errs := s.Batch(t.Context(), nil); len(errs) != 0 {
		t.Errorf("an empty batch has the errors %v", errs)
	}
}

func batchSame(t *testing.T, s *subject) {
	errs := s.Batch(t.Context(), slices.Repeat([]docstore.Change{s.increment("a")}, 50))
	must(t, errors.Join(errs...))
	if v, err := s.counters.Get(t.Context(), "a"); err != nil || v.Count != 50 || v.Twin != 50 {
		t.Errorf("got %+v, %v", v, err)
	}
}

func batchMany(t *testing.T, s *subject) {
	const n = 700
	id := func(i int) string { return fmt.Sprintf("%04d", i) }
	for i := range n {
		if i%7 < 5 {
			must(t, s.counters.Insert(t.Context(), counter{ID: id(i), Kind: "old", Count: 1, Twin: 1}))
		}
	}
	changes := make([]docstore.Change, n)
	for i := range changes {
		changes[i] = s.increment(id(i))
		switch i % 7 {
		case 0: // and 2, 3: replaced
		case 1:
			changes[i].Apply = func(docstore.Raw) (docstore.Raw, error) { return docstore.Removed, nil }
		case 4:
			changes[i].Apply = func(docstore.Raw) (docstore.Raw, error) { return nil, nil }
		case 6: // and 5: made
			changes[i].Apply = func(docstore.Raw) (docstore.Raw, error) { return nil, errOwn }
		}
	}
	for i, err := range s.Batch(t.Context(), changes) {
		if want := []error{6: errOwn}[i%7]; !errors.Is(err, want) {
			t.Fatalf("the change of %s: %v, not %v", id(i), err, want)
		}
	}
	want := []int{2, 0, 2, 2, 1, 1, 0}
	for i := range n {
		v, err := s.counters.Get(t.Context(), id(i))
		if docstore.NotFoundAs(err, nil) != nil || v.Count != want[i%7] {
			t.Fatalf("%s is %d, not %d: %v", id(i), v.Count, want[i%7], err)
		}
	}
}

// increment counts a counter up, making it if need be.
func (s *subject) increment(id string) docstore.Change {
	return docstore.Change{Collection: counters, ID: id, Apply: func(old docstore.Raw) (docstore.Raw, error) {
		v := counter{ID: id, Kind: "counter"}
		if old != nil {
			if err := s.Codec().Decode(old, &v); err != nil {
				return nil, err
			}
		}
		v.Count++
		v.Twin++
		return s.Codec().Encode(v)
	}}
}
