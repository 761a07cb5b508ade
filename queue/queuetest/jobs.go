package queuetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
	"manus/internal/seal"
	"manus/queue"
)

func jobRules() []rule {
	return []rule{
		{"a job is one however often it is put", putOnce},
		{"a job that is done can be put again", putAgain},
		{"a job that is done is remembered for as long as is asked", remember},
		{"a job that is done is kept and listed for as long as is asked", keepDone},
		{"jobs are listed by their state page by page", listByState},
		{"without KeepDone jobs are listed by their state without an index for it", listWithoutIndex},
		{"a scheduled job is not worked before its time", scheduled},
		{"what nobody works is kept until it expires", keptWithoutWork},
		{"a job that says Keep stays with the args it has by then", keep},
		{"jobs are listed newest first and counted by group", listAndCount},
		{"a deleted job is not worked and its attempt ends", deleted},
		{"sealed args stand nowhere in clear", sealed},
		{"what another secret has sealed is left to who can open it", sealedByAnother},
		{"metrics tell of jobs in the store and of attempts", metrics},
	}
}

func putOnce(t *testing.T, s *site) {
	w := s.worker(t, done)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if err := w.Put(t.Context(), queue.Job[task]{ID: "a", Lane: "x", Args: task{Number: i}}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	w.wantLeft(t, "before", "a")
	w.drain(t)
	w.wantWorked(t, "after all", "a")
	w.put(t, queue.Job[task]{}, queue.Job[task]{})
	if left := w.left(t); len(left) != 2 || left[0] == left[1] || left[0] == "" {
		t.Errorf("without an id: %q", left)
	}
}

func putAgain(t *testing.T, s *site) {
	w := s.worker(t, done)
	stop := w.run(t)
	for n := range 5 {
		w.put(t, queue.Job[task]{ID: "a"})
		w.untilSettled(t, n+1)
		w.wantLeft(t, "when it is done")
	}
	stop()
	w.wantWorked(t, "five times", "a", "a", "a", "a", "a")
}

func remember(t *testing.T, s *site) {
	w := s.worker(t, done, func(c *queue.Config[task]) { c.RememberDone = time.Hour })
	w.put(t, queue.Job[task]{ID: "a", Group: "g"})
	w.drain(t)
	w.wantLeft(t, "when it is done")
	if n, err := w.Ahead(t.Context(), queue.Job[task]{Group: "g"}, 9); err != nil || n != 0 {
		t.Errorf("%d are in the group, %v", n, err)
	}
	for range 2 {
		w.put(t, queue.Job[task]{ID: "a"})
		w.drain(t)
		w.wantWorked(t, "while it is remembered", "a")
		must(t, w.Sweep(t.Context()))
	}
	for name, err := range map[string]error{
		"Update": w.Update(t.Context(), "a", func(*task) { t.Error("it is changed") }),
		"Retry":  w.Retry(t.Context(), "a"),
	} {
		if !errors.Is(err, docstore.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Get(t.Context(), "a"); !errors.Is(err, docstore.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	w.clock.Add(time.Hour + time.Millisecond)
	must(t, w.Sweep(t.Context()))
	w.put(t, queue.Job[task]{ID: "a"})
	w.drain(t)
	w.wantWorked(t, "when it is forgotten", "a", "a")
}

func keepDone(t *testing.T, s *site) {
	result := errNo
	w := s.worker(t, func(context.Context, queue.Job[task]) error { return result },
		sealing(t, secret), func(c *queue.Config[task]) { c.KeepDone = 24 * time.Hour })
	w.put(t, queue.Job[task]{ID: "a", Lane: "x", Group: "g", Args: task{7, "what it was"}})
	w.drain(t)
	w.clock.Add(time.Minute)
	result = nil
	w.drain(t)
	got, err := w.Get(t.Context(), "a")
	must(t, err)
	want := queue.Job[task]{
		ID: "a", Lane: "x", Group: "g", Args: task{7, "what it was"}, ExpiresAt: noon().Add(24*time.Hour + time.Minute),
		State: queue.Done, QueuedAt: noon(), Attempt: 2, DoneAt: noon().Add(time.Minute), Error: "no",
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	w.wantListed(t, queue.Done, "a")
	w.wantListed(t, queue.Pending)
	for range 2 {
		w.put(t, queue.Job[task]{ID: "a"})
		w.drain(t)
		w.wantWorked(t, "while it is kept", "a", "a")
		must(t, w.Sweep(t.Context()))
	}
	if err := w.Retry(t.Context(), "a"); !errors.Is(err, docstore.ErrNotFound) {
		t.Errorf("what is done is retried: %v", err)
	}
	w.clock.Add(24*time.Hour + time.Millisecond)
	must(t, w.Sweep(t.Context()))
	w.wantLeft(t, "then")
	w.put(t, queue.Job[task]{ID: "a", Group: "g"})
	w.drain(t)
	w.wantListed(t, queue.Done, "a")
	must(t, w.DeleteGroup(t.Context(), "g"))
	w.wantLeft(t, "without its group")
}

// listed are the ids of all jobs in a state, read by pages of two.
func (w *worker) wantListed(t *testing.T, state queue.State, want ...string) {
	t.Helper()
	var got []string
	for cursor := ""; ; {
		page, next, err := w.List(t.Context(), state, 2, cursor)
		must(t, err)
		for _, job := range page {
			got = append(got, job.ID)
			if state != queue.All && job.State != state {
				t.Errorf("among those that are %s: %+v", state, job)
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q jobs are %q, want %q", state, got, want)
	}
}

// everyState leaves jobs in all states. Those whose numbers are even are done, kept or
// dead.
func everyState(t *testing.T, s *site, keepDone time.Duration) *worker {
	t.Helper()
	w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
		switch job.Args.Number % 6 {
		case 0:
			return queue.Keep()
		case 2:
			return queue.Cancel(errNo)
		case 4:
			return nil
		}
		return errNo
	}, func(c *queue.Config[task]) { c.KeepDead, c.KeepDone, c.FirstRetry = time.Hour, keepDone, time.Hour })
	for _, job := range numbered(12, "a") {
		w.put(t, job)
		w.clock.Add(time.Second)
		w.drain(t)
	}
	w.put(t, queue.Job[task]{ID: "waits"})
	return w
}

func listByState(t *testing.T, s *site) {
	w := everyState(t, s, time.Hour)
	w.wantListed(t, queue.Pending, "waits", "a0011", "a0009", "a0007", "a0005", "a0003", "a0001")
	w.wantListed(t, queue.Done, "a0010", "a0006", "a0004", "a0000")
	w.wantListed(t, queue.Dead, "a0008", "a0002")
	w.wantListed(t, queue.All, "waits", "a0011", "a0010", "a0009", "a0008", "a0007", "a0006", "a0005", "a0004", "a0003", "a0002", "a0001", "a0000")
	if page, _, err := w.List(t.Context(), queue.Pending, 7, ""); err != nil || len(page) != 7 {
		t.Errorf("a page of 7 has %d, %v", len(page), err)
	}
	if _, _, err := w.List(t.Context(), queue.Done, 7, "never one"); !errors.Is(err, docstore.ErrCursor) {
		t.Errorf("got %v", err)
	}
	must(t, w.Retry(t.Context(), "a0002"))
	w.wantListed(t, queue.Dead, "a0008")
	b := newBlocked()
	inHand := s.worker(t, b.work, func(c *queue.Config[task]) { c.KeepDone = time.Hour })
	inHand.run(t)
	inHand.put(t, queue.Job[task]{ID: "in hand", Lane: "other"})
	for id := ""; id != "in hand"; id = <-b.begun {
	}
	if page, _, err := w.List(t.Context(), queue.Pending, 99, ""); err != nil || len(page) != 9 {
		t.Errorf("with those in hand and retried %d are pending, %v", len(page), err)
	}
}

func listWithoutIndex(t *testing.T, s *site) {
	w := everyState(t, s, 0)
	w.wantListed(t, queue.Pending, "waits", "a0011", "a0009", "a0007", "a0005", "a0003", "a0001")
	w.wantListed(t, queue.Done, "a0006", "a0000")
	w.wantListed(t, queue.Dead, "a0008", "a0002")
	for id, want := range map[string]string{"waits": "", "a0001": "", "a0000": "", "a0002": "dead"} {
		if state := w.raw(t, id).State; state != want {
			t.Errorf("%s is in the index by state as %q, want %q", id, state, want)
		}
	}
	must(t, w.Retry(t.Context(), "a0002"))
	if state := w.raw(t, "a0002").State; state != "" {
		t.Errorf("what is retried is in the index as %q", state)
	}
}

func scheduled(t *testing.T, s *site) {
	w := s.worker(t, done, func(c *queue.Config[task]) { c.Lifetime = time.Hour })
	stop := w.run(t)
	w.put(t, queue.Job[task]{ID: "first"})
	w.untilSettled(t, 1) // it is at work, and takes in hand what it can
	at := noon().Add(2*queue.MaxWait + 30*time.Minute)
	w.put(t, queue.Job[task]{ID: "a", ScheduledAt: at}, queue.Job[task]{ID: "past", ScheduledAt: noon().Add(-time.Hour)})
	w.untilSettled(t, 2)
	stop()
	for _, due := range []time.Time{noon().Add(queue.MaxWait), noon().Add(2 * queue.MaxWait), at} {
		if stored := w.raw(t, "a"); !stored.DueAt.Equal(due) || stored.Attempts != 0 || stored.Claim != "" {
			t.Errorf("%+v at %v, want it due at %v", stored, w.clock.Now(), due)
		}
		w.clock.Set(due.Add(-time.Second))
		w.drain(t)
		w.wantWorked(t, "before its time", "first", "past")
		w.clock.Add(time.Second)
		w.drain(t)
	}
	w.wantWorked(t, "at its time", "first", "past", "a")
	if job := w.attempts[2]; job.Attempt != 1 || job.Error != "" || !job.ScheduledAt.Equal(at) || !job.ExpiresAt.Equal(at.Add(time.Hour)) {
		t.Errorf("got %+v", job)
	}
}

func keptWithoutWork(t *testing.T, s *site) {
	w := s.worker(t, nil, func(c *queue.Config[task]) { c.Work = nil })
	stop := w.run(t)
	w.put(t, queue.Job[task]{ID: "a", Args: task{Number: 1}, ExpiresAt: noon().Add(time.Hour)}, queue.Job[task]{ID: "b"})
	got, err := w.Get(t.Context(), "a")
	if err != nil || got.Args.Number != 1 || !got.ExpiresAt.Equal(noon().Add(time.Hour)) || !got.QueuedAt.Equal(noon()) || got.State != queue.Done || !got.DoneAt.Equal(noon()) {
		t.Errorf("got %+v, %v", got, err)
	}
	stop()
	other := s.worker(t, done) // may have a worker again
	other.drain(t)
	other.wantWorked(t, "what is kept")
	w.clock.Add(time.Hour)
	must(t, w.Sweep(t.Context()))
	w.wantLeft(t, "at its time", "b", "a")
	w.clock.Add(time.Millisecond)
	must(t, w.Sweep(t.Context()))
	w.wantLeft(t, "after its time", "b")
}

func keep(t *testing.T, s *site) {
	var w *worker
	w = s.worker(t, func(ctx context.Context, job queue.Job[task]) error {
		return errors.Join(queue.Keep(), w.Update(ctx, job.ID, func(args *task) { args.Note = "changed" }))
	})
	w.put(t, queue.Job[task]{ID: "a", Args: task{Number: 7}, ExpiresAt: noon().Add(time.Hour)})
	w.drain(t)
	w.clock.Add(59 * time.Minute)
	w.drain(t)
	must(t, w.Sweep(t.Context()))
	w.wantWorked(t, "once", "a")
	if got, err := w.Get(t.Context(), "a"); err != nil || got.Args != (task{7, "changed"}) || got.State != queue.Done || !got.DoneAt.Equal(noon()) || !got.ExpiresAt.Equal(noon().Add(time.Hour)) {
		t.Errorf("got %+v, %v", got, err)
	}
	w.clock.Add(2 * time.Minute)
	must(t, w.Sweep(t.Context()))
	w.wantLeft(t, "when it has expired")
}

func listAndCount(t *testing.T, s *site) {
	w := s.worker(t, done)
	for i, id := range []string{"a", "c", "b"} {
		w.put(t, queue.Job[task]{ID: id, Group: []string{"g", "h", "g"}[i], Lane: id})
		w.clock.Add(time.Second)
	}
	w.wantLeft(t, "all", "b", "c", "a")
	if jobs, _, err := w.List(t.Context(), queue.All, 2, ""); err != nil || len(jobs) != 2 || jobs[1].ID != "c" {
		t.Errorf("got %+v, %v", jobs, err)
	}
	w.put(t, queue.Job[task]{ID: "e", Group: "g"}, queue.Job[task]{ID: "d", Group: "g"}) // at the same time
	for id, ahead := range map[string]int{"a": 0, "b": 1, "c": 0, "d": 2, "e": 3} {
		job, err := w.Get(t.Context(), id)
		must(t, err)
		for _, limit := range []int{9, 2} {
			if n, err := w.Ahead(t.Context(), job, limit); err != nil || n != min(ahead, limit) {
				t.Errorf("%d of at most %d are ahead of %s, %v", n, limit, id, err)
			}
		}
	}
	must(t, w.DeleteGroup(t.Context(), "g"))
	w.wantLeft(t, "without g", "c")
	w.drain(t)
	w.wantWorked(t, "what is left", "c")
}

func deleted(t *testing.T, s *site) {
	began, ended := make(chan struct{}), make(chan struct{})
	w := s.worker(t, func(ctx context.Context, _ queue.Job[task]) error {
		close(began)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}, func(c *queue.Config[task]) { c.Claim, c.Timeout = 300*time.Millisecond, time.Hour })
	stop := w.run(t)
	w.put(t, queue.Job[task]{ID: "a"})
	<-began
	must(t, w.Delete(t.Context(), "a"))
	must(t, w.Delete(t.Context(), "a"))
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("its attempt goes on")
	}
	stop()
	w.wantLeft(t, "when it was deleted")
	if w.log.String() != "" {
		t.Errorf("the log tells of it: %s", w.log)
	}
}

const secret = "a-first-secret-of-more-than-32-bytes-9f2c"

func sealing(t *testing.T, secrets ...string) func(*queue.Config[task]) {
	t.Helper()
	box, err := seal.New(secrets, "tasks")
	must(t, err)
	return func(c *queue.Config[task]) { c.Seal = box }
}

func sealed(t *testing.T, s *site) {
	fails := true
	var w *worker
	w = s.worker(t, func(ctx context.Context, job queue.Job[task]) error {
		if fails {
			must(t, w.Update(ctx, job.ID, func(args *task) { args.Note = "a secret too" }))
			return queue.Cancel(nil)
		}
		return nil
	}, sealing(t, secret), func(c *queue.Config[task]) { c.KeepDead = time.Hour })
	clear := s.worker(t, done)
	clear.put(t, queue.Job[task]{ID: "a", Args: task{Note: "a secret"}})
	must(t, w.Update(t.Context(), "a", func(args *task) { args.Number = 1 }))
	look := func(when string) {
		t.Helper()
		page, err := w.store.Find(t.Context(), collection, docstore.Query{})
		must(t, err)
		if len(page.Documents) != 1 || bytes.Contains(page.Documents[0], []byte("secret")) || bytes.Contains(page.Documents[0], []byte("note")) {
			t.Errorf("%s: %s", when, page.Documents)
		}
	}
	look("put in clear, and changed")
	must(t, w.Delete(t.Context(), "a"))
	w.put(t, queue.Job[task]{ID: "a", Args: task{Note: "a secret"}})
	look("put")
	w.drain(t)
	look("dead, after an update")
	fails = false
	must(t, w.Retry(t.Context(), "a"))
	w.drain(t)
	if len(w.attempts) != 2 || w.attempts[0].Args.Note != "a secret" || w.attempts[1].Args.Note != "a secret too" {
		t.Errorf("got %+v", w.attempts)
	}
}

func sealedByAnother(t *testing.T, s *site) {
	first, none := s.worker(t, done, sealing(t, secret)), s.worker(t, done)
	other := s.worker(t, done, sealing(t, "another-secret-of-more-than-32-bytes-71de"))
	first.put(t, queue.Job[task]{ID: "a"})
	for _, w := range []*worker{other, none} {
		w.drain(t)
		w.wantWorked(t, "without the secret")
		w.wantLeft(t, "for who can't read it")
		if _, err := w.Get(t.Context(), "a"); !errors.Is(err, seal.ErrUnreadable) {
			t.Errorf("got %v", err)
		}
		none.clock.Add(time.Minute)
	}
	first.clock.Add(2 * time.Minute)
	first.drain(t)
	first.wantWorked(t, "with the secret", "a")
	first.wantLeft(t, "then")
}

// gathered is what a registry has of a metric: the sums of histograms' counts and of
// gauges, by their labels' values.
func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	must(t, err)
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, label := range m.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			key := strings.TrimPrefix(family.GetName(), "manus_queue_") + " " + strings.Join(labels, " ")
			values[key] = m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func metrics(t *testing.T, s *site) {
	registry := prometheus.NewRegistry()
	w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
		return map[string]error{"b0000": errors.New("no"), "b0001": queue.Cancel(errors.New("never")), "b0002": queue.Keep()}[job.ID]
	}, func(c *queue.Config[task]) { c.Metrics, c.KeepDead = registry, time.Hour })
	w.put(t, numbered(3, "a")...)
	w.clock.Add(time.Minute)
	w.put(t, numbered(5, "b")...)
	for name, want := range map[string]float64{
		"jobs lane=a queue=tasks": 3, "jobs lane=b queue=tasks": 5, "oldest_seconds lane=a queue=tasks": 60, "oldest_seconds lane=b queue=tasks": 0, "dead_jobs queue=tasks": 0,
	} {
		if got := gathered(t, registry)[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	w.drain(t)
	after := gathered(t, registry)
	for name, want := range map[string]float64{
		"jobs lane=b queue=tasks": 1, "dead_jobs queue=tasks": 1,
		"attempt_duration_seconds lane=a outcome=done queue=tasks": 3, "attempt_duration_seconds lane=b outcome=done queue=tasks": 2,
		"attempt_duration_seconds lane=b outcome=failed queue=tasks": 1, "attempt_duration_seconds lane=b outcome=discarded queue=tasks": 1,
		"attempt_duration_seconds lane=b outcome=kept queue=tasks": 1,
	} {
		if after[name] != want {
			t.Errorf("%s is %v, want %v", name, after[name], want)
		}
	}
	if _, there := after["jobs lane=a queue=tasks"]; there {
		t.Error("a lane without jobs is told of")
	}
	more := make([]queue.Job[task], 1100)
	for i := range more {
		more[i] = queue.Job[task]{ID: "more" + strconv.Itoa(i), Lane: "c"}
	}
	var group sync.WaitGroup
	for part := range 10 {
		group.Go(func() { w.put(t, more[part*110:(part+1)*110]...) })
	}
	group.Wait()
	if got := gathered(t, registry)["jobs lane=c queue=tasks"]; got != 1000 {
		t.Errorf("of 1100 jobs %v are counted", got)
	}
}
