package queuetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/queue"
)

func attemptRules() []rule {
	return []rule{
		{"what fails is tried again after waits that grow", retries},
		{"a snoozed job waits as it says and no attempt is counted", snoozes},
		{"a job is discarded when it is canceled or its attempts are used up", discards},
		{"a dead job is listed and can be retried until it is swept", dead},
		{"what is retried isn't swept with the dead", retriedInTime},
		{"without time for the dead only the log tells of them", unkept},
		{"a job ends with its lifetime", lifetimes},
		{"a panic is a failed attempt", panics},
		{"an attempt's context ends with its timeout", timeouts},
		{"attempts that kill the program are used up too", poison},
	}
}

var errNo = errors.New("no")

// fails is work that fails always.
func fails(context.Context, queue.Job[task]) error { return errNo }

func retries(t *testing.T, s *site) {
	w := s.worker(t, fails, func(c *queue.Config[task]) { c.FirstRetry, c.LastRetry = 4*time.Second, time.Minute })
	w.put(t, queue.Job[task]{ID: "a"})
	for n, full := range []time.Duration{4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute, time.Minute} {
		w.drain(t)
		stored := w.raw(t, "a")
		wait := stored.DueAt.Sub(w.clock.Now())
		if wait < full*4/5-time.Millisecond || wait > full || stored.Attempts != n+1 || stored.Claim != "" {
			t.Errorf("after %d attempts: %+v, which is in %v", n+1, stored, wait)
		}
		w.clock.Add(wait - time.Millisecond)
		w.drain(t)
		if got := len(w.worked()); got != n+1 {
			t.Errorf("a moment before its time: %d attempts", got)
		}
		w.clock.Add(time.Millisecond)
	}
	for i, job := range w.attempts {
		if job.Attempt != i+1 {
			t.Errorf("attempt %d is told as %d", i+1, job.Attempt)
		}
	}
	if log := w.log.String(); strings.Count(log, "it will be tried again") != 7 || !strings.Contains(log, "task=a") {
		t.Errorf("the log: %s", log)
	}
}

func snoozes(t *testing.T, s *site) {
	naps := []time.Duration{10 * time.Minute, 0, 20 * queue.MaxWait}
	w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
		nap := naps[0]
		naps = naps[1:]
		return fmt.Errorf("it says: %w", queue.Snooze(errNo, nap))
	}, func(c *queue.Config[task]) { c.MaxAttempts = 1 })
	w.put(t, queue.Job[task]{ID: "a"})
	for _, nap := range []time.Duration{10 * time.Minute, time.Second, queue.MaxWait} {
		w.drain(t)
		if stored := w.raw(t, "a"); !stored.DueAt.Equal(w.clock.Now().Add(nap)) || stored.Attempts != 0 || stored.Claim != "" {
			t.Errorf("%+v at %v", stored, w.clock.Now())
		}
		w.clock.Add(nap)
	}
	if !errors.Is(queue.Snooze(errNo, 0), errNo) || !errors.Is(queue.Cancel(errNo), errNo) {
		t.Error("the cause is lost")
	}
}

func discards(t *testing.T, s *site) {
	w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
		if job.ID == "b" {
			return fmt.Errorf("again: %w", queue.Cancel(errNo))
		}
		return errNo
	}, func(c *queue.Config[task]) { c.MaxAttempts, c.KeepDead = 3, time.Hour })
	w.put(t, queue.Job[task]{ID: "a"}, queue.Job[task]{ID: "b"})
	for range 5 {
		w.drain(t)
		w.clock.Add(time.Minute)
	}
	attempts := map[string]int{}
	for _, id := range w.worked() {
		attempts[id]++
	}
	if attempts["a"] != 3 || attempts["b"] != 1 {
		t.Errorf("attempts: %v", attempts)
	}
	died, _, err := w.Dead(t.Context(), 9, "")
	must(t, err)
	if len(died) != 2 || died[0].ID != "a" || died[0].Error != "no" || died[0].Attempt != 3 || died[1].Error != "again: no" {
		t.Errorf("got %+v", died)
	}
	if log := w.log.String(); strings.Count(log, "given up") != 2 {
		t.Errorf("the log: %s", log)
	}
}

func dead(t *testing.T, s *site) {
	result := error(queue.Cancel(errors.New(strings.Repeat("é", 2000))))
	w := s.worker(t, func(context.Context, queue.Job[task]) error { return result },
		func(c *queue.Config[task]) { c.KeepDead, c.Lifetime = 24*time.Hour, time.Hour })
	for _, job := range numbered(3, "a") {
		w.put(t, job)
		w.drain(t)
		w.clock.Add(time.Minute)
	}
	page, next, err := w.Dead(t.Context(), 2, "")
	must(t, err)
	if len(page) != 2 || page[0].ID != "a0002" || page[1].ID != "a0001" || !page[0].DeadAt.Equal(noon().Add(2*time.Minute)) || !page[0].ExpiresAt.Equal(page[0].DeadAt.Add(24*time.Hour)) || page[0].Attempt != 1 || page[0].Args.Number != 2 {
		t.Errorf("the first page: %+v", page)
	}
	if text := page[0].Error; text != strings.Repeat("é", 500) {
		t.Errorf("its error is %q", text)
	}
	rest, next, err := w.Dead(t.Context(), 2, next)
	if err != nil || next != "" || len(rest) != 1 || rest[0].ID != "a0000" {
		t.Errorf("the second page: %+v, %q, %v", rest, next, err)
	}
	w.put(t, numbered(1, "a")...) // it is there
	w.clock.Add(12 * time.Hour)
	w.drain(t)
	if len(w.worked()) != 3 {
		t.Errorf("a dead one was worked at: %v", w.worked())
	}
	must(t, w.Retry(t.Context(), "a0001"))
	for _, id := range []string{"a0001", "nobody"} {
		if err := w.Retry(t.Context(), id); !errors.Is(err, docstore.ErrNotFound) {
			t.Errorf("retrying %s: %v", id, err)
		}
	}
	result = nil
	w.drain(t)
	w.wantWorked(t, "with the one retried", "a0000", "a0001", "a0002", "a0001")
	if last := w.attempts[3]; last.Attempt != 1 || last.Args.Number != 1 || !last.ExpiresAt.Equal(w.clock.Now().Add(time.Hour)) {
		t.Errorf("it was retried as %+v", last)
	}
	w.wantLeft(t, "then", "a0002", "a0000")
	w.clock.Add(11*time.Hour + 58*time.Minute)
	must(t, w.Sweep(t.Context()))
	w.wantLeft(t, "when the first has been dead for a day", "a0002")
}

func retriedInTime(t *testing.T, s *site) {
	w := s.worker(t, func(context.Context, queue.Job[task]) error { return queue.Cancel(nil) },
		func(c *queue.Config[task]) { c.KeepDead = time.Minute })
	w.put(t, queue.Job[task]{ID: "a"})
	w.drain(t)
	must(t, w.Retry(t.Context(), "a"))
	w.clock.Add(2 * time.Minute)
	must(t, w.Sweep(t.Context()))
	w.wantLeft(t, "when it would not have been kept any more", "a")
}

func unkept(t *testing.T, s *site) {
	w := s.worker(t, func(context.Context, queue.Job[task]) error { return queue.Cancel(errNo) })
	w.put(t, queue.Job[task]{ID: "a"})
	w.drain(t)
	w.wantLeft(t, "then")
	if log := w.log.String(); !strings.Contains(log, "a task was given up") || !strings.Contains(log, "task=a") || !strings.Contains(log, "error=no") {
		t.Errorf("the log: %s", log)
	}
}

func lifetimes(t *testing.T, s *site) {
	w := s.worker(t, fails, func(c *queue.Config[task]) { c.Lifetime, c.KeepDead = time.Hour, time.Hour })
	w.put(t, queue.Job[task]{ID: "late", ExpiresAt: noon().Add(time.Second)}, queue.Job[task]{ID: "a"})
	w.clock.Add(time.Second)
	w.drain(t)
	w.wantWorked(t, "what isn't too late", "a")
	for stored := w.raw(t, "a"); !stored.DueAt.IsZero(); stored = w.raw(t, "a") {
		w.clock.Add(stored.DueAt.Sub(w.clock.Now()))
		w.drain(t)
		must(t, w.Sweep(t.Context()))
	}
	died, _, err := w.Dead(t.Context(), 9, "")
	must(t, err)
	if len(died) != 2 || died[0].DeadAt.After(noon().Add(time.Hour)) || died[0].Error != "no" || died[1].Error != "it could not be done in time" {
		t.Errorf("got %+v", died)
	}
}

func panics(t *testing.T, s *site) {
	w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
		if job.Attempt == 1 {
			panic("a programming mistake")
		}
		return nil
	})
	w.put(t, queue.Job[task]{ID: "a"})
	w.drain(t)
	if log := w.log.String(); !strings.Contains(log, "a programming mistake") || !strings.Contains(log, "attempts.go") || !strings.Contains(log, "tried again") {
		t.Errorf("the log: %s", log)
	}
	w.clock.Add(time.Minute)
	w.drain(t)
	w.wantWorked(t, "again", "a", "a")
	w.wantLeft(t, "then")
}

func timeouts(t *testing.T, s *site) {
	w := s.worker(t, func(ctx context.Context, _ queue.Job[task]) error {
		<-ctx.Done()
		return ctx.Err()
	}, func(c *queue.Config[task]) { c.Timeout = 10 * time.Millisecond })
	w.put(t, queue.Job[task]{ID: "a"})
	w.drain(t)
	if log := w.log.String(); !strings.Contains(log, context.DeadlineExceeded.Error()) || !strings.Contains(log, "tried again") {
		t.Errorf("the log: %s", log)
	}
}

func poison(t *testing.T, s *site) {
	w := s.worker(t, done, func(c *queue.Config[task]) { c.MaxAttempts, c.KeepDead = 2, time.Hour })
	w.put(t, queue.Job[task]{ID: "a"})
	// As copies leave it that were killed while they worked at it.
	must(t, w.store.Upsert(t.Context(), collection, "a", func(old docstore.Raw) (docstore.Raw, error) {
		var d map[string]any
		if err := w.store.Codec().Decode(old, &d); err != nil {
			return nil, err
		}
		d["attempts"], d["claim"] = 2, "somebody"
		return w.store.Codec().Encode(d)
	}))
	w.drain(t)
	w.wantWorked(t, "a third time")
	if died, _, err := w.Dead(t.Context(), 9, ""); err != nil || len(died) != 1 || died[0].Attempt != 3 {
		t.Errorf("got %+v, %v", died, err)
	}
}
