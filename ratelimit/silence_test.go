package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"manus/ratelimit"
	"manus/ratelimit/memorylimit"
)

// slow is an engine whose answers take a while; a negative one never comes.
type slow struct {
	ratelimit.Engine
	mu    sync.Mutex
	takes time.Duration
	err   error
}

func newSlow() *slow { return &slow{Engine: memorylimit.New(memorylimit.Config{})} }

func (s *slow) set(takes time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes, s.err = takes, err
}

func (s *slow) wait(ctx context.Context) error {
	s.mu.Lock()
	takes, err := s.takes, s.err
	s.mu.Unlock()
	if takes < 0 {
		takes = 24 * time.Hour
	}
	select {
	case <-time.After(takes):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) Take(ctx context.Context, checks []ratelimit.Check, into *ratelimit.Decision) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.Engine.Take(ctx, checks, into)
}

// broken is a breaker around a slow engine, with what it says.
func broken(shared *slow, said *bytes.Buffer) *ratelimit.Breaker {
	return ratelimit.NewBreaker(ratelimit.BreakerConfig{
		Shared: shared, Probe: shared.wait, Local: memorylimit.New(memorylimit.Config{}),
		Log: slog.New(slog.NewTextHandler(said, nil)), Explain: func(error) string { return "the cause in words" },
	})
}

func patient(t *testing.T, key, limit string) []ratelimit.Check {
	c := checks(t, key, limit)
	c[0].Patient = true
	return c
}

// A busy machine makes calls slow, and nothing is given up for that where it matters.
func TestASlowEngineIsNotGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, said := newSlow(), &bytes.Buffer{}
		b := broken(shared, said)
		shared.set(120*time.Millisecond, nil)
		for range 20 {
			var d ratelimit.Decision
			if err := b.Take(t.Context(), patient(t, "k", "100/minute"), &d); err != nil || b.Open() != nil {
				t.Fatalf("a patient one: %v, %v", err, b.Open())
			}
			begin := time.Now()
			if err := b.Take(t.Context(), checks(t, "k", "100/minute"), &d); !errors.Is(err, ratelimit.ErrUnavailable) || b.Open() != nil {
				t.Fatalf("a hasty one: %v, %v", err, b.Open())
			}
			if waited := time.Since(begin); waited > 60*time.Millisecond {
				t.Errorf("a hasty one waited for %v", waited)
			}
		}
		if said.Len() > 0 {
			t.Errorf("it says %s", said)
		}
		time.Sleep(time.Second)
	})
}

func TestASilentEngineIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, said := newSlow(), &bytes.Buffer{}
		b := broken(shared, said)
		defer b.Close()
		shared.set(-1, nil)
		begin := time.Now()
		var d ratelimit.Decision
		if err := b.Take(t.Context(), patient(t, "k", "5/minute"), &d); !errors.Is(err, ratelimit.ErrSilent) || !errors.Is(b.Open(), ratelimit.ErrSilent) {
			t.Fatalf("got %v, %v", err, b.Open())
		}
		if waited := time.Since(begin); waited > 160*time.Millisecond {
			t.Errorf("the first waits for %v", waited)
		}
		begin = time.Now()
		if err := b.Take(t.Context(), patient(t, "k", "5/minute"), &d); !errors.Is(err, ratelimit.ErrUnavailable) || time.Since(begin) > 0 {
			t.Errorf("the next: %v after %v", err, time.Since(begin))
		}
		shared.set(0, nil)
		time.Sleep(1200 * time.Millisecond) // the probe that is under way, and the next
		synctest.Wait()
		if err := b.Take(t.Context(), patient(t, "k", "5/minute"), &d); err != nil || b.Open() != nil {
			t.Errorf("once it answers: %v, %v", err, b.Open())
		}
		if text := said.String(); strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "the cause in words") {
			t.Errorf("it says %s", text)
		}
	})
}

// Hasty calls that are given up one after the other tell of silence too.
func TestSilenceIsSeenByHastyCallsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, said := newSlow(), &bytes.Buffer{}
		b := broken(shared, said)
		defer b.Close()
		shared.set(-1, nil)
		var d ratelimit.Decision
		for n := 0; b.Open() == nil; n++ {
			if err := b.Take(t.Context(), checks(t, "k", "5/minute"), &d); !errors.Is(err, ratelimit.ErrUnavailable) || n > 10 {
				t.Fatalf("call %d: %v", n, err)
			}
			time.Sleep(time.Second)
		}
	})
}

// What was admitted by all copies together is known to each when the shared counts go,
// and what is admitted meanwhile is counted in them when they are back.
func TestAnOutageLoosensLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, said := newSlow(), &bytes.Buffer{}
		copies := []*ratelimit.Breaker{broken(shared, said), broken(shared, said), broken(shared, said)}
		for _, b := range copies {
			defer b.Close()
		}
		const limit = "5/minute, 20/hour"
		admitted := 0
		decide := func(b *ratelimit.Breaker) {
			var d ratelimit.Decision
			c := patient(t, "k", limit)
			err := b.Take(t.Context(), c, &d)
			if errors.Is(err, ratelimit.ErrUnavailable) {
				err = b.Fallback().Take(t.Context(), c, &d)
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Allowed {
				admitted++
			}
		}
		for i := range 4 {
			decide(copies[i%3])
		}
		shared.set(0, ratelimit.ErrUnavailable)
		for i := range 30 {
			decide(copies[i%3])
		}
		// The copies know of 4, 2 and 3 of the 4, and admit the rest each.
		if admitted != 4+1+3+2 {
			t.Errorf("%d were admitted", admitted)
		}
		shared.set(0, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		var d ratelimit.Decision
		if err := shared.Engine.Peek(t.Context(), checks(t, "k", limit), &d); err != nil || d.Checks[0].Windows[0].Remaining != 0 {
			t.Errorf("the shared counts have %+v, %v", d, err)
		}
	})
}

func TestAStartWaitsForTheSharedCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, said := newSlow(), &bytes.Buffer{}
		b := broken(shared, said)
		defer b.Close()
		shared.set(0, errors.New("connection refused"))
		time.AfterFunc(time.Second, func() { shared.set(0, nil) })
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if b.Start(ctx); b.Open() != nil || said.Len() > 0 {
			t.Errorf("reached after a second: %v, %s", b.Open(), said)
		}
		shared.set(0, errors.New("connection refused"))
		ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if b.Start(ctx); b.Open() == nil || !strings.Contains(said.String(), "the cause in words") {
			t.Errorf("not reached: %v, %s", b.Open(), said)
		}
	})
}

// A refusal's wait is that of all its subjects: one that is remembered of another request
// says nothing of what this one has to wait for.
func TestARememberedDenialHidesNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, said := newSlow(), &bytes.Buffer{}
		b := broken(shared, said)
		var d ratelimit.Decision
		address, account := checks(t, "address", "1/minute")[0], checks(t, "account", "1/hour")[0]
		take := func(c ...ratelimit.Check) {
			t.Helper()
			if err := b.Take(t.Context(), c, &d); err != nil {
				t.Fatal(err)
			}
		}
		take(address)
		take(address) // refused, and remembered
		if err := shared.Engine.Take(t.Context(), []ratelimit.Check{account}, &d); err != nil {
			t.Fatal(err) // by another copy
		}
		for range 2 { // asked, and then remembered
			if take(address, account); d.Allowed || d.Checks[0].Allowed || d.Checks[1].Allowed || d.Checks[1].Windows[0].Retry != time.Hour {
				t.Errorf("got %+v", d)
			}
		}
		time.Sleep(time.Second)
	})
}
