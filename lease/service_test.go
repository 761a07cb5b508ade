package lease

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/storetest"
)

// The times that the package's comment promises: a renewal every third of the TTL, an
// end a fifth before others may begin, and looks that are a second apart at most.
func TestTimesFollowFromTheTTL(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[time.Duration]Service{
		0:                       {ttl: 15 * time.Second, valid: 12 * time.Second, renew: 5 * time.Second, pause: time.Second, retry: time.Second},
		1500 * time.Millisecond: {ttl: 1500 * time.Millisecond, valid: 1200 * time.Millisecond, renew: 500 * time.Millisecond, pause: 500 * time.Millisecond, retry: 100 * time.Millisecond},
		time.Minute:             {ttl: time.Minute, valid: 48 * time.Second, renew: 20 * time.Second, pause: time.Second, retry: time.Second},
		time.Millisecond:        {ttl: minTTL, valid: minTTL * 4 / 5, renew: minTTL / 3, pause: minTTL / 3, retry: minTTL / 15},
	} {
		got := New(Config{TTL: ttl})
		if got.ttl != want.ttl || got.valid != want.valid || got.renew != want.renew || got.pause != want.pause || got.retry != want.retry {
			t.Errorf("of %v: %v, valid %v, renewed %v, looked at %v, tried again %v", ttl, got.ttl, got.valid, got.renew, got.pause, got.retry)
		}
	}
}

func TestAPeriodIsPositive(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	for _, period := range []time.Duration{0, -time.Second} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v is taken", period)
				}
			}()
			New(Config{Store: storetest.New(t, Specs()...), Log: slog.New(slog.DiscardHandler)}).Every(ended, "job", period, nil)
		}()
	}
}

// ran stores a lease under which a job was last done at a time.
func ran(t *testing.T, store docstore.Store, name string, at time.Time) {
	t.Helper()
	leases := docstore.NewCollection[document](store, spec)
	if err := leases.Insert(t.Context(), document{Name: name, Beat: 7, Runs: 1, LastRun: docstore.At(at), Released: true}); err != nil {
		t.Fatal(err)
	}
}

func TestTheLastRunIsThatOfAnyLease(t *testing.T) {
	t.Parallel()
	store := storetest.New(t, Specs()...)
	if at, err := LastRun(t.Context(), store); err != nil || !at.IsZero() {
		t.Errorf("where nothing has run: %v, %v", at, err)
	}
	last := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ran(t, store, "a", last.Add(-time.Hour))
	ran(t, store, "b", last)
	ran(t, store, "c", last.Add(-time.Minute))
	if at, err := LastRun(t.Context(), store); err != nil || !at.Equal(last) {
		t.Errorf("got %v, %v", at, err)
	}
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		ran(t, store, "a", last)
		cut(func() error { _, err := LastRun(t.Context(), store); return err })
	})
}

// Every change of a lease has a beat of its own, by which others see it; that of a last
// run which was in the future too.
func TestALastRunIsCorrectedInTheOpen(t *testing.T) {
	t.Parallel()
	c := setup(t)
	s, store := c.add(t)
	ran(t, store, "ahead", time.Now().Add(time.Hour))
	ran(t, store, "past", time.Now().Add(-time.Hour))
	for name, beat := range map[string]int64{"ahead": 8, "past": 7} {
		s.correctLastRun(t.Context(), name)
		d, err := s.leases.Get(t.Context(), name)
		if err != nil || d.Beat != beat || d.LastRun.After(time.Now()) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	s.correctLastRun(t.Context(), "never") // there is no such lease yet
	store.set(gone)
	ended, end := context.WithCancel(t.Context())
	end()
	s.correctLastRun(ended, "ahead") // the program stops
	if text := c.log.String(); text != "" {
		t.Errorf("the operator reads: %s", text)
	}
	s.correctLastRun(t.Context(), "ahead")
	if text := c.log.String(); !strings.Contains(text, "could not be looked at") {
		t.Errorf("of a store that is gone the operator reads: %s", text)
	}
}

func TestCopiesLookAFifthEarlierAtMostAndNeverLater(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := jittered(time.Second)
		if d < 800*time.Millisecond || d > time.Second {
			t.Fatalf("a look comes after %v", d)
		}
		seen[d] = true
	}
	if len(seen) < 2 {
		t.Error("all come at once")
	}
}

// Of a lease that is another's by then there is nothing to release; that the end of a
// job isn't written down, the operator has to know.
func TestOnlyTheEndOfAJobThatIsNotWrittenDownIsToldOf(t *testing.T) {
	t.Parallel()
	c := setup(t)
	s, _ := c.add(t)
	w := &watch{name: "job"}
	lost := grip{Held{"job", 1}, time.Now()}
	s.release(t.Context(), w, lost, nil)
	if text := c.log.String(); text != "" {
		t.Errorf("of nothing the operator reads: %s", text)
	}
	s.release(t.Context(), w, lost, func(*document) {})
	if text := c.log.String(); !strings.Contains(text, "could not be written down") {
		t.Errorf("of the job's end the operator reads: %s", text)
	}
}
