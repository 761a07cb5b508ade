package queuetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"manus/internal/waittest"
	"manus/queue"
)

func laneRules() []rule {
	return []rule{
		{"a lane that hangs delays no other however many jobs it has", hangingLane},
		{"no lane has more in hand than it may and all together neither", bounds},
		{"lanes may have any names", laneNames},
		{"a lane is worked in the order in which its jobs are due", order},
	}
}

func hangingLane(t *testing.T, s *site) {
	b := newBlocked()
	w := s.worker(t, func(ctx context.Context, job queue.Job[task]) error {
		if job.Lane == "a" {
			return b.work(ctx, job)
		}
		return nil
	})
	var group sync.WaitGroup
	for part := range 64 {
		group.Go(func() {
			for i := part; i < s.many; i += 64 {
				w.put(t, queue.Job[task]{ID: fmt.Sprint("hanging ", i), Lane: "a"})
			}
		})
	}
	group.Wait()
	w.clock.Add(1) // all others are due later
	other := s.worker(t, done)
	other.clock.Add(1)
	for _, lane := range []string{"", "b", "c"} {
		other.put(t, numbered(10, lane)...)
	}
	stop := w.run(t)
	worked := func() (n int) {
		for _, job := range w.worked() {
			if job[:1] != "h" {
				n++
			}
		}
		return n
	}
	w.store.Until(t, func() bool { return worked() == 30 })
	w.put(t, queue.Job[task]{ID: "new", Lane: "d"})
	w.store.Until(t, func() bool { return worked() == 31 })
	if len(b.begun) != 4 {
		t.Errorf("%d hang", len(b.begun))
	}
	stop()
}

func bounds(t *testing.T, s *site) {
	var mu sync.Mutex
	var begun waittest.Signal
	now, most := map[string]int{}, map[string]int{}
	change := func(by int, names ...string) {
		mu.Lock()
		defer mu.Unlock()
		for _, name := range names {
			now[name] += by
			most[name] = max(most[name], now[name])
		}
		begun.Wake()
	}
	var left atomic.Int64
	const lanes = 5
	jobs := min(40, s.many/5)
	left.Store(int64(2 * lanes * jobs))
	w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
		change(1, job.Lane, "all")
		defer change(-1, job.Lane, "all")
		if left.Add(-1) > 50 { // let others catch up
			begun.Until(t, func() bool { mu.Lock(); defer mu.Unlock(); return most["all"] >= 7 })
		}
		return nil
	}, func(c *queue.Config[task]) { c.PerLane, c.Overall = 3, 7 })
	for i := range lanes {
		w.put(t, numbered(jobs, fmt.Sprint("lane", i))...)
	}
	w.run(t)
	for i := range lanes {
		for j := range jobs {
			w.put(t, queue.Job[task]{ID: fmt.Sprint("new ", i, "/", j), Lane: fmt.Sprint("lane", i)})
		}
	}
	w.untilSettled(t, 2*lanes*jobs)
	w.wantLeft(t, "then")
	for name, n := range most {
		if name == "all" && n != 7 || name != "all" && n > 3 {
			t.Errorf("%s: %d at a time", name, n)
		}
	}
}

func laneNames(t *testing.T, s *site) {
	w := s.worker(t, done, func(c *queue.Config[task]) { c.PerLane = 1 })
	names := []string{"", " ", "a", "a\x00", "a\x00b", "ab", "b", "webhook/1", "webhook/10", "ü", "قناة", "\U0010ffff"}
	for i, name := range names {
		for j := range 3 {
			w.put(t, queue.Job[task]{ID: fmt.Sprint(i, "/", j), Lane: name})
		}
	}
	w.drain(t)
	if n := len(w.worked()); n != 3*len(names) {
		t.Errorf("%d of %d are worked at: %q", n, 3*len(names), w.worked())
	}
}

func order(t *testing.T, s *site) {
	w := s.worker(t, done, func(c *queue.Config[task]) { c.PerLane = 1 })
	for _, id := range []string{"c", "a", "d", "b"} {
		w.put(t, queue.Job[task]{ID: id})
		w.clock.Add(1_000_000)
	}
	w.drain(t)
	w.wantWorked(t, "in order", "c", "a", "d", "b")
}
