package queuetest

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"manus/queue"
)

func lendRules() []rule {
	return []rule{
		{"a lent job is one worker's until it is settled or its time is over", lent},
		{"a job that is raised while it is in hand stays there", raisedInHand},
		{"of many copies that lend at once each job is lent by one", lentByOne},
	}
}

// lends is a copy whose jobs are done outside of it.
func (s *site) lends(t *testing.T) *worker {
	t.Helper()
	return s.worker(t, done, func(c *queue.Config[task]) { c.Work, c.KeepDone = nil, time.Hour })
}

// raise raises jobs, whose numbers grow by one each time.
func (w *worker) raise(t *testing.T, jobs ...queue.Job[task]) {
	t.Helper()
	must(t, errors.Join(w.RaiseAll(t.Context(), jobs, func(_ int, args *task) bool {
		args.Number++
		return true
	})...))
}

// lend lends all that is due, for a minute.
func (w *worker) lend(t *testing.T, claim string) []queue.Lent[task] {
	t.Helper()
	found, err := w.Lend(t.Context(), "lane", 100, time.Minute, func() string { return claim })
	must(t, err)
	return found
}

// settle settles a job as the worker with the claim.
func (w *worker) settle(t *testing.T, id, claim string, s queue.Settlement) error {
	t.Helper()
	return w.Settle(t.Context(), id, func(_ *task, _ int, held string) (queue.Settlement, error) {
		if held != claim {
			return s, errNo
		}
		return s, nil
	})
}

func lent(t *testing.T, s *site) {
	w := s.lends(t)
	w.raise(t, queue.Job[task]{ID: "a", Lane: "lane"})
	got := w.lend(t, "one")
	if len(got) != 1 || got[0].ID != "a" || got[0].Args.Number != 1 || got[0].Attempt != 1 || !got[0].Until.Equal(noon().Add(time.Minute)) {
		t.Fatalf("lent %+v", got)
	}
	if again := w.lend(t, "two"); len(again) != 0 {
		t.Errorf("lent twice: %+v", again)
	}
	w.clock.Add(time.Minute)
	if err := w.settle(t, "a", "one", queue.Settlement{Done: true}); !errors.Is(err, errNo) {
		t.Errorf("settled when the time is over: %v", err)
	}
	if got = w.lend(t, "two"); len(got) != 1 || got[0].Attempt != 2 {
		t.Fatalf("what comes back is %+v", got)
	}
	must(t, w.settle(t, "a", "two", queue.Settlement{Wait: time.Second}))
	if early := w.lend(t, "three"); len(early) != 0 {
		t.Errorf("it doesn't wait: %+v", early)
	}
	w.clock.Add(time.Second)
	if got = w.lend(t, "three"); len(got) != 1 || got[0].Attempt != 3 {
		t.Fatalf("after its wait there is %+v", got)
	}
	must(t, w.settle(t, "a", "three", queue.Settlement{Fresh: true}))
	if got = w.lend(t, "four"); len(got) != 1 || got[0].Attempt != 1 {
		t.Fatalf("with other work it is %+v", got)
	}
	must(t, w.settle(t, "a", "four", queue.Settlement{Done: true}))
	if job, err := w.Get(t.Context(), "a"); err != nil || job.State != queue.Done {
		t.Errorf("done, it is %+v, %v", job, err)
	}
	w.raise(t, queue.Job[task]{ID: "a", Lane: "lane"})
	if got = w.lend(t, "five"); len(got) != 1 || got[0].Args.Number != 2 || got[0].Attempt != 1 {
		t.Fatalf("raised again it is %+v", got)
	}
	if err := w.settle(t, "nothing", "", queue.Settlement{}); !errors.Is(err, queue.ErrNotLent) {
		t.Errorf("what there isn't is settled: %v", err)
	}
}

func raisedInHand(t *testing.T, s *site) {
	w := s.lends(t)
	w.raise(t, queue.Job[task]{ID: "a", Lane: "lane"})
	w.lend(t, "one")
	w.raise(t, queue.Job[task]{ID: "a", Lane: "lane"})
	if again := w.lend(t, "two"); len(again) != 0 {
		t.Errorf("lent twice: %+v", again)
	}
	err := w.Settle(t.Context(), "a", func(args *task, attempt int, claim string) (queue.Settlement, error) {
		if args.Number != 2 || attempt != 1 || claim != "one" {
			t.Errorf("in hand it is %+v, attempt %d of %q", args, attempt, claim)
		}
		return queue.Settlement{Done: true}, nil
	})
	must(t, err)
}

func lentByOne(t *testing.T, s *site) {
	const jobs, copies = 30, 3
	var mu sync.Mutex
	times := map[string]int{}
	first := s.lends(t)
	first.raise(t, numbered(jobs, "lane")...)
	var wg sync.WaitGroup
	for i := range copies {
		w := first
		if i > 0 {
			w = s.lends(t)
		}
		wg.Go(func() {
			for {
				got, err := w.Lend(t.Context(), "lane", 4, time.Minute, func() string { return strconv.Itoa(i) })
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, l := range got {
					times[l.ID]++
				}
				all := len(times) == jobs
				mu.Unlock()
				if all || err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for id, n := range times {
		if n != 1 {
			t.Errorf("%s was lent %d times", id, n)
		}
	}
}
