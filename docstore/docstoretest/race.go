package docstoretest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"manus/docstore"
)

func raceRules() []rule {
	return []rule{
		{"increments at once lose nothing", racedIncrements},
		{"batches at once lose nothing", racedBatches},
		{"of many inserts of one unique value exactly one wins", racedInserts},
		{"of many inserts of one id exactly one wins", racedIDs},
		{"raced upserts make one document", racedUpserts},
		{"an acknowledged write is seen by every later read and never in part", readsDuringWrites},
		{"pages during writes have no document twice and miss none that stays", pagesDuringWrites},
		{"a removal by a change is of the document that the change has seen", racedRemovals},
		{"ranges deleted at once count every document once", racedDeletes},
	}
}

func racedIncrements(t *testing.T, s *subject) {
	const goroutines, times = 16, 25
	must(t, s.counters.Insert(t.Context(), counter{ID: "a"}))
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range times {
				_, err := s.counters.Update(t.Context(), "a", func(v *counter) error { v.Count++; v.Twin++; return nil })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if v, err := s.counters.Get(t.Context(), "a"); err != nil || v.Count != goroutines*times || v.Twin != v.Count {
		t.Errorf("got %+v, %v; want %d", v, err, goroutines*times)
	}
}

func racedBatches(t *testing.T, s *subject) {
	const goroutines, times = 8, 20
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range times {
				errs := s.Batch(t.Context(), []docstore.Change{s.increment("a"), s.increment("b"), s.increment("c"), s.increment("b")})
				if err := errors.Join(errs...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for id, each := range map[string]int{"a": 1, "b": 2, "c": 1} {
		if v, err := s.counters.Get(t.Context(), id); err != nil || v.Count != each*goroutines*times || v.Twin != v.Count {
			t.Errorf("got %+v, %v; want %d", v, err, each*goroutines*times)
		}
	}
}

// race calls try from many goroutines at once and returns how many succeeded.
// The others must conflict on the index.
func race(t *testing.T, collection, index string, try func(i int) error) int {
	t.Helper()
	var winners atomic.Int32
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			<-start
			if err := try(i); err == nil {
				winners.Add(1)
			} else {
				wantConflict(t, "a loser", err, collection, index)
			}
		})
	}
	close(start)
	group.Wait()
	return int(winners.Load())
}

func racedInserts(t *testing.T, s *subject) {
	n := race(t, things, "by_email", func(i int) error {
		return s.things.Insert(t.Context(), thing{ID: fmt.Sprint(i), Email: new("a@x")})
	})
	if all := s.all(t, things); n != 1 || len(all) != 1 {
		t.Errorf("%d won and %d are stored", n, len(all))
	}
}

func racedIDs(t *testing.T, s *subject) {
	n := race(t, things, docstore.IDIndex, func(i int) error {
		return s.things.Insert(t.Context(), thing{ID: "a", Note: fmt.Sprint(i)})
	})
	if n != 1 {
		t.Errorf("%d won", n)
	}
}

func racedRemovals(t *testing.T, s *subject) {
	for range 20 {
		must(t, s.things.Insert(t.Context(), thing{ID: "a", Note: "old"}))
		var changed, removed atomic.Int32
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				mine, outcome, count := "old", docstore.ErrRemoved, &removed
				if i%2 == 0 {
					outcome, count = nil, &changed
				}
				v, err := s.things.Update(t.Context(), "a", func(v *thing) error {
					if mine = v.Note; mine != "old" {
						return docstore.ErrUnchanged
					}
					v.Note = "new"
					return outcome
				})
				switch {
				case err == nil && mine == "old" && v.Note == "new":
					count.Add(1)
				case err != nil && !errors.Is(err, docstore.ErrNotFound):
					t.Error(err)
				}
			})
		}
		group.Wait()
		_, err := s.things.Get(t.Context(), "a")
		if changed.Load()+removed.Load() != 1 || errors.Is(err, docstore.ErrNotFound) != (removed.Load() == 1) {
			t.Fatalf("%d have changed it and %d removed it; then: %v", changed.Load(), removed.Load(), err)
		}
		if err == nil {
			must(t, s.things.Delete(t.Context(), "a"))
		}
	}
}

func racedUpserts(t *testing.T, s *subject) {
	made := make([]bool, 64) // by which call; a change may run again
	race(t, counters, "", func(i int) error {
		_, err := s.counters.Upsert(t.Context(), counter{ID: "a"}, func(v *counter, exists bool) error {
			made[i] = !exists
			v.Count++
			return nil
		})
		return err
	})
	n := 0
	for _, made := range made {
		if made {
			n++
		}
	}
	if v, err := s.counters.Get(t.Context(), "a"); err != nil || n != 1 || v.Count != len(made) {
		t.Errorf("%d made it; got %+v, %v", n, v, err)
	}
}

func readsDuringWrites(t *testing.T, s *subject) {
	const writes = 150
	must(t, s.counters.Insert(t.Context(), counter{ID: "a", Kind: "x"}))
	var acknowledged atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	check := func(what string, read func() (counter, error)) {
		for ctx.Err() == nil {
			least := acknowledged.Load()
			v, err := read()
			if err != nil || int64(v.Count) < least || v.Twin != v.Count {
				t.Errorf("%s: after %d was acknowledged: %+v, %v", what, least, v, err)
				return
			}
		}
	}
	for range 2 {
		group.Go(func() {
			check("Get", func() (counter, error) { return s.counters.Get(t.Context(), "a") })
		})
		group.Go(func() {
			q := docstore.Query{Index: "by_kind", Equal: []any{"x"}, Descending: true}
			check("Find", func() (counter, error) { return s.counters.First(t.Context(), q) })
		})
	}
	for range writes {
		v, err := s.counters.Update(t.Context(), "a", func(v *counter) error { v.Count++; v.Twin++; return nil })
		if err != nil {
			t.Error(err)
			break
		}
		acknowledged.Store(int64(v.Count))
	}
	cancel()
	group.Wait()
}

func pagesDuringWrites(t *testing.T, s *subject) {
	const staying, rounds = 40, 5
	for i := range staying {
		must(t, s.counters.Insert(t.Context(), counter{ID: fmt.Sprintf("stay%02d", i), Kind: "x", Count: 10 * i}))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for w := range 2 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				v := counter{ID: fmt.Sprintf("come%d-%d", w, i), Kind: "x", Count: (i * 7) % (10 * staying)}
				if err := errors.Join(s.counters.Insert(t.Context(), v), s.counters.Delete(t.Context(), v.ID)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for round := range rounds {
		if n := s.walkOnce(t, docstore.Query{Index: "by_kind", Equal: []any{"x"}, Limit: 7, Descending: round%2 == 1}); n != staying {
			t.Errorf("visited %d of the %d that stay", n, staying)
		}
	}
	cancel()
	group.Wait()
}

// walkOnce visits all pages, none with a document that another had, and
// returns how many of those that stay were among them.
func (s *subject) walkOnce(t *testing.T, q docstore.Query) int {
	t.Helper()
	visited, stay := map[string]bool{}, 0
	for {
		page, next, err := s.counters.Find(t.Context(), q)
		if err != nil {
			t.Error(err)
			return stay
		}
		for _, v := range page {
			if visited[v.ID] {
				t.Errorf("%s is on two pages", v.ID)
			}
			visited[v.ID] = true
			if v.ID[:4] == "stay" {
				stay++
			}
		}
		if next == "" {
			return stay
		}
		q.Cursor = next
	}
}

func racedDeletes(t *testing.T, s *subject) {
	const documents = 200
	many := make([]thing, documents)
	for i := range many {
		many[i] = thing{ID: fmt.Sprintf("%03d", i), Rank: new(int64(i % 5))}
	}
	must(t, s.things.Insert(t.Context(), many...))
	var deleted atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			q := docstore.Query{Index: "by_rank", Limit: 9}
			for n := q.Limit; n == q.Limit; {
				var err error
				if n, err = s.DeleteRange(t.Context(), things, q); err != nil {
					t.Error(err)
				}
				deleted.Add(int64(n))
			}
		})
	}
	group.Wait()
	if all := s.all(t, things); deleted.Load() != documents || len(all) != 0 {
		t.Errorf("%d of %d were deleted and %d are left", deleted.Load(), documents, len(all))
	}
}
