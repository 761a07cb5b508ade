package queuetest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"manus/queue"
)

func clockRules() []rule {
	return []rule{
		{"what was put by a clock that was ahead is due now", putAhead},
		{"what waits for longer than there are waits is due now", waitsAhead},
		{"what was put before a clock was put back is worked within MaxWait", putBack},
		{"no copy claims what it has in hand whatever its clock does", ownClaims},
		{"a scheduled job waits whatever clock wrote when it is due", scheduledAhead},
		{"clocks that step lose nothing", steps},
	}
}

func putAhead(t *testing.T, s *site) {
	ahead, w := s.worker(t, done), s.worker(t, done)
	ahead.clock.Add(queue.MaxWait + time.Second)
	ahead.put(t, numbered(30, "a")...)
	w.drain(t)
	if n := len(w.worked()); n != 30 {
		t.Errorf("%d of 30 are worked at", n)
	}
	ahead.clock.Add(-2 * time.Second)
	ahead.put(t, queue.Job[task]{ID: "soon"})
	w.drain(t)
	w.wantLeft(t, "what may be a wait", "soon")
	w.clock.Add(queue.MaxWait)
	w.drain(t)
	w.wantLeft(t, "and has been one")
}

func waitsAhead(t *testing.T, s *site) {
	result := errNo
	ahead := s.worker(t, func(context.Context, queue.Job[task]) error { return result })
	w := s.worker(t, done)
	ahead.put(t, queue.Job[task]{ID: "failed"})
	ahead.clock.Add(queue.MaxWait)
	ahead.drain(t)
	b := newBlocked()
	killed := s.worker(t, b.work)
	killed.clock.Add(queue.MaxWait)
	killed.run(t)
	killed.put(t, queue.Job[task]{ID: "claimed"})
	<-b.begun
	w.drain(t)
	if n := len(w.worked()); n != 2 {
		t.Errorf("%v are worked at", w.worked())
	}
}

func putBack(t *testing.T, s *site) {
	w := s.worker(t, done)
	w.put(t, queue.Job[task]{ID: "before"})
	w.clock.Add(-30 * time.Minute)
	w.put(t, queue.Job[task]{ID: "after"})
	w.drain(t)
	w.wantWorked(t, "what is put then", "after")
	w.clock.Add(30 * time.Minute)
	w.drain(t)
	w.wantWorked(t, "when the time has come again", "after", "before")
	w.put(t, queue.Job[task]{ID: "days before"})
	w.clock.Add(-48 * time.Hour)
	w.drain(t)
	w.wantWorked(t, "what no wait explains", "after", "before", "days before")
}

func ownClaims(t *testing.T, s *site) {
	b := newBlocked()
	w := s.worker(t, b.work, func(c *queue.Config[task]) { c.PerLane = 3 })
	stop := w.run(t)
	w.put(t, queue.Job[task]{ID: "a"}, queue.Job[task]{ID: "b"})
	<-b.begun
	<-b.begun
	settled := 0
	for _, step := range []time.Duration{time.Hour, 24 * time.Hour, -48 * time.Hour} {
		w.clock.Add(step)
		other := s.worker(t, done)
		other.clock.Set(w.clock.Now())
		other.put(t, queue.Job[task]{ID: step.String()}) // is found behind those
		if id := <-b.begun; id != step.String() {
			t.Errorf("begun again: %s", id)
		}
		b.end <- struct{}{} // ends one of the three
		settled++
		w.untilSettled(t, settled)
		w.put(t, queue.Job[task]{ID: "instead of " + step.String()})
		<-b.begun
		b.end <- struct{}{}
		settled++
		w.untilSettled(t, settled)
	}
	close(b.end)
	w.untilSettled(t, settled+2)
	stop()
	w.wantLeft(t, "then")
	seen := map[string]bool{}
	for _, id := range w.worked() {
		if seen[id] {
			t.Errorf("%s was begun twice", id)
		}
		seen[id] = true
	}
}

func scheduledAhead(t *testing.T, s *site) {
	ahead, w := s.worker(t, done), s.worker(t, done)
	ahead.clock.Add(2 * queue.MaxWait)
	ahead.put(t, queue.Job[task]{ID: "a", ScheduledAt: noon().Add(3 * queue.MaxWait)})
	for range 3 {
		w.drain(t)
		w.wantWorked(t, "before its time")
		if stored := w.raw(t, "a"); !stored.DueAt.Equal(w.clock.Now().Add(queue.MaxWait)) {
			t.Errorf("%+v at %v", stored, w.clock.Now())
		}
		w.clock.Add(queue.MaxWait)
	}
	w.clock.Add(-30 * 24 * time.Hour)
	w.drain(t)
	w.wantWorked(t, "when the clock was put back")
	w.clock.Add(30 * 24 * time.Hour)
	w.drain(t)
	w.wantWorked(t, "at its time", "a")
}

// steps has three copies work whose clocks jump by up to two hours, and no job's time
// to live is as short as that.
func steps(t *testing.T, s *site) {
	jobs := min(60, s.many/5)
	var workers []*worker
	var mu sync.Mutex
	successes := map[string]int{}
	for range 3 {
		w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
			if rand.N(4) == 0 {
				return errNo
			}
			mu.Lock()
			defer mu.Unlock()
			successes[job.ID]++
			return nil
		})
		workers = append(workers, w)
	}
	waiting := numbered(jobs, "a")
	for round := 0; len(waiting) > 0 || len(workers[0].left(t)) > 0; round++ {
		if round == 500 {
			t.Fatalf("after %d rounds: %q are left", round, workers[0].left(t))
		}
		for _, w := range workers {
			w.clock.Add(rand.N(4*time.Hour) - 2*time.Hour + 2*time.Minute)
			n := min(len(waiting), rand.N(3))
			w.put(t, waiting[:n]...)
			waiting = waiting[n:]
			w.drain(t)
		}
		for _, w := range workers { // they don't drift away from each other
			w.clock.Add(-w.clock.Now().Sub(workers[0].clock.Now()) / 2)
		}
	}
	for _, job := range numbered(jobs, "a") {
		if successes[job.ID] != 1 { // no two worked at once
			t.Errorf("%s was done %d times", job.ID, successes[job.ID])
		}
	}
}
