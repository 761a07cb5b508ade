// Package queuetest is the meaning of [manus/queue]: a suite of rules that hold
// on every engine of the store, with several copies, clocks that step, and processes
// that are killed.
package queuetest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/waittest"
	"manus/queue"
)

// Place makes an empty place for documents, which lasts as long as t, and returns
// what opens a store there, as another copy of the program would, and closes it when t
// ends. Where processes are tested, args tell one of them where the place is: they are
// what [Roles] opens it with.
type Place func(t *testing.T) (open func(t *testing.T) docstore.Store, args []string)

// Run checks every rule as a parallel subtest in a place of its own. Many is how many
// jobs are many there.
func Run(t *testing.T, many int, place Place) {
	for _, r := range slices.Concat(jobRules(), attemptRules(), claimRules(), clockRules(), laneRules(), lendRules(), killRules()) {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			open, args := place(t)
			r.check(t, &site{open, args, many})
		})
	}
}

// rule is one sentence of the queue's meaning and what proves it.
type rule struct {
	name  string
	check func(t *testing.T, s *site)
}

// task is what the suite's jobs have to know.
type task struct {
	Number int    `json:"number"`
	Note   string `json:"note,omitempty"`
}

const collection = "tasks"

// Specs are the collections of the suite.
func Specs() []docstore.Spec { return []docstore.Spec{queue.Spec[task](collection)} }

// site is where copies of the program share a queue.
type site struct {
	open func(t *testing.T) docstore.Store
	args []string
	many int
}

// worker is a copy of the program.
type worker struct {
	*queue.Queue[task]
	store *watched
	clock *clocktest.Clock
	log   *waittest.Log

	mu       sync.Mutex
	attempts []queue.Job[task] // in their order
}

// noon is when the clocks of copies stand at first.
func noon() time.Time { return clocktest.New().Now() }

// worker is a copy that works as its job says, and notes each attempt before.
func (s *site) worker(t *testing.T, work func(context.Context, queue.Job[task]) error, change ...func(*queue.Config[task])) *worker {
	t.Helper()
	w := &worker{store: &watched{Store: s.open(t)}, clock: clocktest.New(), log: &waittest.Log{}}
	must(t, w.store.Declare(t.Context(), Specs()...))
	c := queue.Config[task]{
		Store: w.store, Collection: collection, Noun: "task", Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(w.log, nil)),
		Work: func(ctx context.Context, job queue.Job[task]) error {
			w.mu.Lock()
			w.attempts = append(w.attempts, job)
			w.mu.Unlock()
			w.store.Wake()
			return work(ctx, job)
		},
	}
	for _, f := range change {
		f(&c)
	}
	w.Queue = queue.New(c)
	return w
}

func done(context.Context, queue.Job[task]) error { return nil }

// run runs the copy until the test ends, or stop is called.
func (w *worker) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// drain has the copy work until nothing is due.
func (w *worker) drain(t *testing.T) {
	t.Helper()
	must(t, w.Drain(t.Context()))
}

func (w *worker) put(t *testing.T, jobs ...queue.Job[task]) {
	t.Helper()
	for _, job := range jobs {
		must(t, w.Put(t.Context(), job))
	}
}

// worked are the ids of the attempts so far, in their order.
func (w *worker) worked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := []string{}
	for _, job := range w.attempts {
		ids = append(ids, job.ID)
	}
	return ids
}

func (w *worker) wantWorked(t *testing.T, what string, want ...string) {
	t.Helper()
	if got := w.worked(); !slices.Equal(got, want) {
		t.Errorf("%s: worked at %q, want %q", what, got, want)
	}
}

// left are the ids of all jobs in the store but remembered ones, the last put first.
func (w *worker) left(t *testing.T) []string {
	t.Helper()
	jobs, _, err := w.List(t.Context(), queue.All, docstore.MaxLimit, "")
	must(t, err)
	ids := []string{}
	for _, job := range jobs {
		ids = append(ids, job.ID)
	}
	return ids
}

func (w *worker) wantLeft(t *testing.T, what string, want ...string) {
	t.Helper()
	if got := w.left(t); !slices.Equal(got, want) {
		t.Errorf("%s: %q are left, want %q", what, got, want)
	}
}

// raw is how a job stands in the store.
type raw struct {
	DueAt    docstore.Time `json:"due_at,omitzero"`
	Claim    string        `json:"claim,omitempty"`
	Attempts int           `json:"attempts,omitempty"`
	State    string        `json:"state,omitempty"`
}

func (w *worker) raw(t *testing.T, id string) (r raw) {
	t.Helper()
	doc, err := w.store.Get(t.Context(), collection, id)
	must(t, err)
	must(t, w.store.Codec().Decode(doc, &r))
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// untilSettled waits until so many attempts have been made and written down, or other
// changes made.
func (w *worker) untilSettled(t *testing.T, n int) {
	t.Helper()
	w.store.Until(t, func() bool { return w.store.updates.Load() >= int64(n) })
}

func numbered(n int, lane string) (jobs []queue.Job[task]) {
	for i := range n {
		jobs = append(jobs, queue.Job[task]{ID: fmt.Sprintf("%s%04d", lane, i), Lane: lane, Args: task{Number: i}})
	}
	return jobs
}
