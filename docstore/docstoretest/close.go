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

func closeRules() []rule {
	return []rule{
		{"a call whose context has ended does nothing", contextEnded},
		{"a change that runs when its context ends is told the truth", contextEnds},
		{"Ping succeeds while the store is open", ping},
		{"a closed store is unavailable", closed},
		{"what was written is there after a reopening", reopened},
		{"Close waits for writes under way", closeDuringWrites},
	}
}

func contextEnded(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // where chance decides, it decides often
		for name, call := range s.methods(t, things) {
			wantError(t, name, call(ctx), context.Canceled)
		}
	}
	wantError(t, "Declare", s.Declare(ctx, thingSpec()), context.Canceled)
	wantError(t, "Ping", s.Ping(ctx), context.Canceled)
	wantIDs(t, "after all that", s.all(t, things), "abcdefghi")
}

// contextEnds ends the context inside the change: the write either happens and
// is acknowledged, or the context's error is returned.
func contextEnds(t *testing.T, s *subject) {
	must(t, s.counters.Insert(t.Context(), counter{ID: "a"}))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.counters.Update(ctx, "a", func(v *counter) error { cancel(); v.Count++; return nil })
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got the error %v", err)
	}
	if v, got := s.counters.Get(t.Context(), "a"); got != nil || (err == nil && v.Count != 1) {
		t.Errorf("it was acknowledged with %v, yet there is %+v, %v", err, v, got)
	}
}

func ping(t *testing.T, s *subject) {
	must(t, s.Ping(t.Context()))
	must(t, s.things.Insert(t.Context(), sample()...))
	must(t, s.Ping(t.Context()))
}

func closed(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	must(t, s.Close())
	for name, call := range s.methods(t, things) {
		wantError(t, name, call(t.Context()), docstore.ErrUnavailable)
	}
	wantError(t, "Declare", s.Declare(t.Context(), thingSpec()), docstore.ErrUnavailable)
	wantError(t, "Ping", s.Ping(t.Context()), docstore.ErrUnavailable)
	must(t, s.Close())
}

func reopened(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	_, err := s.things.Update(t.Context(), "a", func(v *thing) error { v.Note = "new"; return nil })
	must(t, err)
	must(t, s.things.Delete(t.Context(), "b"))
	must(t, errors.Join(s.Batch(t.Context(), []docstore.Change{s.increment("x"), s.increment("y")})...))

	s = s.reopen(t)
	wantIDs(t, "things", s.all(t, things), "acdefghi")
	wantIDs(t, "counters", s.all(t, counters), "xy")
	if v, err := s.things.Get(t.Context(), "a"); err != nil || v.Note != "new" {
		t.Errorf("got %+v, %v", v, err)
	}
	wantConflict(t, "a unique index", s.things.Insert(t.Context(), thing{ID: "z", Email: new("m@x")}), things, "by_email")
}

func closeDuringWrites(t *testing.T, s *subject) {
	const goroutines = 8
	var acknowledged [goroutines]atomic.Int64
	var group sync.WaitGroup
	under := make(chan struct{}, goroutines) // a goroutine has written
	for g := range goroutines {
		group.Go(func() {
			for i := 0; ; i++ {
				err := s.counters.Insert(t.Context(), counter{ID: fmt.Sprintf("%d-%06d", g, i), Kind: fmt.Sprint(g)})
				if err != nil {
					wantError(t, "a write after Close", err, docstore.ErrUnavailable)
					return
				}
				acknowledged[g].Add(1)
				if i == 3 {
					under <- struct{}{}
				}
			}
		})
	}
	for range goroutines {
		<-under
	}
	again := s.reopen(t)
	group.Wait()
	for g := range goroutines {
		stored := 0
		q := docstore.Query{From: fmt.Sprintf("%d-", g), Until: fmt.Sprintf("%d.", g), Limit: docstore.MaxLimit}
		for next := "more"; next != ""; {
			var page []counter
			var err error
			page, next, err = again.counters.Find(t.Context(), q)
			must(t, err)
			stored, q.Cursor = stored+len(page), next
		}
		if want := int(acknowledged[g].Load()); stored < want {
			t.Errorf("%d were acknowledged, %d are stored", want, stored)
		}
	}
}
