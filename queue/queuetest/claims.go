package queuetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/waittest"
	"manus/queue"
)

func claimRules() []rule {
	return []rule{
		{"a job put where there is room is written twice", twoWrites},
		{"what waits is claimed in batches", batches},
		{"of many copies that claim at once each job has one", manyCopies},
		{"what one copy puts another one works at", twoCopies},
		{"the claim on what takes long is renewed", renewed},
		{"a copy that stops releases what it has in hand", released},
		{"a copy that stops releases what it has claimed and not begun", releasedUnbegun},
		{"a copy that has lost a job leaves the next one under its key alone", lostClaim},
		{"a store that fails for a while loses nothing", failingStore},
	}
}

// watched is a store that counts the writes that have been made, wakes who waits for
// one, and fails them when it is told to.
type watched struct {
	docstore.Store
	waittest.Signal
	inserts, updates, batches, changes atomic.Int64
	failing, batchFailing              atomic.Bool
	beforeBatch                        func()
}

var errFailing = errors.New("the store fails")

// Insert counts documents.
func (w *watched) Insert(ctx context.Context, collection string, docs ...docstore.Document) error {
	if w.failing.Load() {
		return errFailing
	}
	defer w.Wake()
	defer w.inserts.Add(int64(len(docs)))
	return w.Store.Insert(ctx, collection, docs...)
}

// Upsert counts itself.
func (w *watched) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	if w.failing.Load() {
		return errFailing
	}
	defer w.Wake()
	defer w.updates.Add(1)
	return w.Store.Upsert(ctx, collection, id, change)
}

// Batch counts itself and its changes.
func (w *watched) Batch(ctx context.Context, changes []docstore.Change) []error {
	if w.failing.Load() || w.batchFailing.Load() {
		return slices.Repeat([]error{errFailing}, len(changes))
	}
	if w.beforeBatch != nil {
		w.beforeBatch()
	}
	if len(changes) > 0 {
		defer w.Wake()
		defer w.batches.Add(1)
		defer w.changes.Add(int64(len(changes)))
	}
	return w.Store.Batch(ctx, changes)
}

func (w *watched) writes() int64 { return w.inserts.Load() + w.updates.Load() + w.changes.Load() }

func twoWrites(t *testing.T, s *site) {
	w := s.worker(t, done, func(c *queue.Config[task]) { c.Claim = queue.MaxWait }) // which isn't renewed meanwhile
	stop := w.run(t)
	w.put(t, queue.Job[task]{}) // until this is done, Run may not be at work yet
	w.untilSettled(t, 1)
	before, began := w.store.writes(), time.Now()
	for n := range 20 {
		w.put(t, queue.Job[task]{})
		w.untilSettled(t, n+2)
	}
	stop()
	// What is put just while the queue is looked at, once a second, waits its turn.
	looks := 1 + int64(time.Since(began)/time.Second)
	if n := w.store.writes() - before; n < 40 || n > 40+looks {
		t.Errorf("20 jobs took %d writes", n)
	}
}

func batches(t *testing.T, s *site) {
	w := s.worker(t, done, func(c *queue.Config[task]) { c.PerLane = 10 })
	w.put(t, numbered(50, "a")...)
	w.put(t, numbered(50, "b")...)
	w.drain(t)
	if len(w.worked()) != 100 {
		t.Errorf("%d attempts", len(w.worked()))
	}
	if n := w.store.batches.Load(); n > 50 || w.store.changes.Load() != 100 {
		t.Errorf("100 jobs were claimed by %d changes in %d batches", w.store.changes.Load(), n)
	}
}

func manyCopies(t *testing.T, s *site) {
	const copies = 5
	jobs := min(300, s.many)
	var group sync.WaitGroup
	var workers []*worker
	for i := range copies {
		workers = append(workers, s.worker(t, done, func(c *queue.Config[task]) { c.PerLane = 7 + i }))
	}
	for i, w := range workers {
		group.Go(func() {
			for j, job := range numbered(jobs, "a") {
				if j%copies == i {
					w.put(t, job)
				}
			}
		})
	}
	group.Wait()
	for _, w := range workers {
		group.Go(func() {
			if err := w.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	times := map[string]int{}
	for _, w := range workers {
		for _, id := range w.worked() {
			times[id]++
		}
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("%s was worked at %d times", id, n)
		}
	}
	if len(times) != jobs {
		t.Errorf("%d of %d were worked at", len(times), jobs)
	}
	workers[0].wantLeft(t, "then")
}

func twoCopies(t *testing.T, s *site) {
	w, other := s.worker(t, done), s.worker(t, done)
	w.run(t)
	other.put(t, queue.Job[task]{ID: "a"})
	w.store.Until(t, func() bool { return len(w.worked()) == 1 })
}

// blocked is work that ends when it is told to, or cut short.
type blocked struct {
	begun chan string
	end   chan struct{}
}

func newBlocked() blocked { return blocked{make(chan string, 1000), make(chan struct{})} }

func (b blocked) work(ctx context.Context, job queue.Job[task]) error {
	b.begun <- job.ID
	select {
	case <-b.end:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func renewed(t *testing.T, s *site) {
	b := newBlocked()
	quick := func(c *queue.Config[task]) { c.Claim = 300 * time.Millisecond } // by the ticker; the clocks are the test's
	w, other := s.worker(t, b.work, quick), s.worker(t, done, quick)
	w.run(t)
	w.put(t, queue.Job[task]{ID: "a"})
	<-b.begun
	for range 5 {
		renewals := w.store.batches.Load()
		w.clock.Add(200 * time.Millisecond)
		w.store.Until(t, func() bool { return w.store.batches.Load() > renewals+1 }) // one may have been under way
		other.clock.Add(200 * time.Millisecond)
		other.drain(t)
	}
	other.wantWorked(t, "what is in another's hands")
	close(b.end)
	w.untilSettled(t, 1)
	w.wantLeft(t, "then")
}

func released(t *testing.T, s *site) {
	b := newBlocked()
	w, other := s.worker(t, b.work), s.worker(t, done)
	stop := w.run(t)
	for _, id := range []string{"a", "b"} {
		w.put(t, queue.Job[task]{ID: id, Lane: id})
		<-b.begun
	}
	other.drain(t)
	other.wantWorked(t, "what is in another's hands")
	stop()
	for _, id := range []string{"a", "b"} {
		if stored := w.raw(t, id); stored.Attempts != 0 || stored.Claim != "" {
			t.Errorf("%s is released as %+v", id, stored)
		}
	}
	other.drain(t)
	if got := other.worked(); len(got) != 2 {
		t.Errorf("at once then: %v", got)
	}
	if log := w.log.String(); log != "" {
		t.Errorf("the log: %s", log)
	}
}

func releasedUnbegun(t *testing.T, s *site) {
	w := s.worker(t, done)
	w.put(t, numbered(3, "a")...)
	ctx, cancel := context.WithCancel(t.Context())
	stopping := s.worker(t, done)
	stopping.store.beforeBatch = cancel // while it claims
	stopping.Run(ctx)
	stopping.wantWorked(t, "after it was stopped")
	for _, job := range numbered(3, "a") {
		if stored := w.raw(t, job.ID); stored.Attempts != 0 || stored.Claim != "" || !stored.DueAt.Equal(noon()) {
			t.Errorf("%s is released as %+v", job.ID, stored)
		}
	}
	w.drain(t)
	if len(w.worked()) != 3 {
		t.Errorf("at once then: %v", w.worked())
	}
}

func lostClaim(t *testing.T, s *site) {
	b := newBlocked()
	slow, other := s.worker(t, b.work), s.worker(t, done)
	idle := s.worker(t, done)
	stop := slow.run(t)
	slow.put(t, queue.Job[task]{ID: "a", Args: task{Number: 1}})
	<-b.begun
	slow.store.batchFailing.Store(true) // as if it were paused: it renews nothing
	other.clock.Add(time.Minute)
	other.drain(t)
	other.wantWorked(t, "when the claim is over", "a")
	idle.put(t, queue.Job[task]{ID: "a", Args: task{Number: 2}})
	close(b.end)
	stop()
	got, err := idle.Get(t.Context(), "a")
	if err != nil || got.Args.Number != 2 {
		t.Fatalf("the next one is %+v, %v", got, err)
	}
	idle.drain(t)
	idle.wantWorked(t, "then", "a")
}

func failingStore(t *testing.T, s *site) {
	w := s.worker(t, done)
	w.run(t)
	w.store.failing.Store(true)
	for range 10 { // more than the lane has room for
		if err := w.Put(t.Context(), queue.Job[task]{ID: "never"}); !errors.Is(err, errFailing) {
			t.Errorf("got %v", err)
		}
	}
	other := s.worker(t, done)
	other.put(t, numbered(20, "")...)
	w.log.Until(t, func() bool { return w.log.String() != "" })
	w.store.failing.Store(false)
	w.untilSettled(t, 20)
	w.wantLeft(t, "then")
	if len(w.worked()) != 20 {
		t.Errorf("worked at %v", w.worked())
	}
}
