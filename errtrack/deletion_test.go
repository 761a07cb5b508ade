package errtrack

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/errtrack/trace"
	"manus/internal/storetest"
)

// documents are how many there are in each collection.
func (r *rig) documents(t testing.TB) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, spec := range Specs() {
		for q := (docstore.Query{Limit: docstore.MaxLimit}); ; {
			page, err := r.store.Find(t.Context(), spec.Collection, q)
			if err != nil {
				t.Fatal(err)
			}
			all[spec.Collection] += len(page.Documents)
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
	}
	return all
}

// fill gives a project one of everything.
func (r *rig) fill(t testing.TB, p Project) {
	t.Helper()
	was := r.p
	r.p = p
	defer func() { r.p = was }()
	r.counted(t, r.event("a", 1), r.event("bb", 2))
	r.lose(p.ID, lostToLimit, 1)
	r.noteLosses(t.Context())
	r.addTrace(p.ID, trace.Trace{Route: "GET /", Op: "http.server"})
	at := r.clock.Now()
	session := &sessionArrival{project: p.ID, reports: []sessionReport{{at: at, release: "1", environment: "test"}}, done: make(chan error, 1)}
	r.writeSessions(t.Context(), []*sessionArrival{session})
	for what, err := range map[string]error{
		"routes": r.writeRollups(t.Context()), "sessions": <-session.done,
		"feedback": r.keepFeedback(t.Context(), Feedback{ID: p.ID + ".f", Project: p.ID, At: docstore.At(at), Message: "no"}),
		"jobs":     r.CheckIn(t.Context(), p.ID, CheckIn{Slug: "job", Environment: "test", Status: MonitorError, Config: &MonitorConfig{Every: 5, Unit: "minute", Margin: 1, MaxRuntime: 1, Failures: 1, Recoveries: 1}}),
	} {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	r.clock.Add(silentFor)
	if err := r.Recover(t.Context(), silentFor); err != nil {
		t.Fatal(err)
	}
}

// TestNothingIsLeftOfADeletedProject: whichever step of its removal was cut short, of its
// documents none stays, of another project's each, and what came late goes too.
func TestNothingIsLeftOfADeletedProject(t *testing.T) {
	t.Parallel()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newRig(t, store)
		other := Project{ID: "10", Number: 10, Name: "Other", Keys: []Key{}} // which begins with the same digit
		if err := r.projects.Insert(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		r.taking.Forget()
		r.fill(t, other)
		before := r.documents(t)
		r.fill(t, r.p)
		late, later := r.arrival(t, r.event("ccc", 3)), r.arrival(t, r.event("ccc", 4))
		r.heard()
		if err := r.DeleteProject(t.Context(), r.p.ID); err != nil {
			t.Fatal(err)
		}
		p, err := r.projects.Get(t.Context(), r.p.ID)
		if err != nil {
			t.Fatal(err)
		}
		r.clock.Add(lateFor)
		cut(func() error { return r.removeDeleted(t.Context(), p, false) })
		r.arrives(t, late)
		for range 2 { // until one finds nothing
			if err := r.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r.arrives(t, later) // of a process that was stopped for so long
		before[projectSpec.Collection]--
		if left := r.documents(t); fmt.Sprint(left) != fmt.Sprint(before) {
			t.Errorf("there are left\n%v, not\n%v", left, before)
		}
		const over = "over check_in.missed The job job isn't watched any more"
		if heard := r.heard(); heard != over && heard != over+", "+over { // again, if it was cut short after that
			t.Errorf("%q was told", heard)
		}
	})
}

// arrives has an event kept and counted.
func (r *rig) arrives(t testing.TB, a *arrival) {
	t.Helper()
	w := r.newWriting(nil)
	w.batch = 1
	b := r.keep(t.Context(), w, []*arrival{a})
	if err := errors.Join(a.err, r.count(w.id, b.number, b.sightings)); err != nil {
		t.Fatal(err)
	}
	r.leave(w)
}

// TestANumberIsNeverGivenAgain: of a deleted project that was the last one, the number stays
// until there is another.
func TestANumberIsNeverGivenAgain(t *testing.T) {
	t.Parallel()
	counting := &countingStore{Store: storetest.New(t, Specs()...)}
	r := newRig(t, counting)
	if err := r.DeleteProject(t.Context(), r.p.ID); err != nil {
		t.Fatal(err)
	}
	for _, later := range []time.Duration{lateFor - 1, 1} { // something may come until then
		if p, err := r.projects.Get(t.Context(), r.p.ID); err != nil || p.Gone {
			t.Fatalf("it is gone too soon: %+v: %v", p, err)
		}
		r.clock.Add(later)
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	left, err := r.projects.Get(t.Context(), r.p.ID)
	if err != nil || !left.Gone || left.Name != "" || len(left.Keys) > 0 {
		t.Fatalf("there is left %+v: %v", left, err)
	}
	counting.calls.Store(0)
	if err := r.Sweep(t.Context()); err != nil || counting.calls.Load() > 3 {
		t.Errorf("it is swept by %d calls: %v", counting.calls.Load(), err)
	}
	next, err := r.NewProject(t.Context(), "Shop", "go")
	if err != nil || next.Number != r.p.Number+1 {
		t.Fatalf("the next one has the number %d: %v", next.Number, err)
	}
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.documents(t)[projectSpec.Collection]; n != 1 {
		t.Errorf("there are %d projects", n)
	}
}

// TestALateEventIsFoundWithinADay: a copy that doesn't know yet that a project was
// deleted keeps its events for some seconds: they are found within a day.
func TestALateEventIsFoundWithinADay(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	copied := newRig(t, r.store)
	if _, err := copied.projectOf(t.Context(), r.p.ID); err != nil { // which it remembers
		t.Fatal(err)
	}
	if err := r.DeleteProject(t.Context(), r.p.ID); err != nil {
		t.Fatal(err)
	}
	copied.counted(t, r.event("a", 1)) // it still believes in the project
	for pass := range 3 {
		n, err := r.removeAll(t.Context(), r.p)
		if err != nil || (n > 0) != (pass == 0) {
			t.Errorf("pass %d removes %d: %v", pass, n, err)
		}
	}
}

// TestASweepOfNothingIsFewCalls: what an hour costs a project of which nothing is to go.
func TestASweepOfNothingIsFewCalls(t *testing.T) {
	t.Parallel()
	counting := &countingStore{Store: storetest.New(t, Specs()...)}
	r := newRig(t, counting)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	idle := counting.calls.Swap(0)
	for n := range 20 {
		r.counted(t, r.event("a", n))
	}
	counting.calls.Store(0)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if busy := counting.calls.Load(); idle > 26 || busy > idle+20 {
		t.Errorf("an empty project takes %d calls, one with 20 events %d", idle, busy)
	}
}

// countingStore counts the calls of a store.
type countingStore struct {
	docstore.Store
	calls atomic.Int64
}

func (c *countingStore) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	c.calls.Add(1)
	return c.Store.Get(ctx, collection, id)
}

func (c *countingStore) GetAll(ctx context.Context, collection string, ids ...string) ([]docstore.Raw, error) {
	c.calls.Add(1)
	return c.Store.GetAll(ctx, collection, ids...)
}

func (c *countingStore) Find(ctx context.Context, collection string, q docstore.Query) (docstore.Page, error) {
	c.calls.Add(1)
	return c.Store.Find(ctx, collection, q)
}

func (c *countingStore) Insert(ctx context.Context, collection string, docs ...docstore.Document) error {
	c.calls.Add(1)
	return c.Store.Insert(ctx, collection, docs...)
}

func (c *countingStore) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	c.calls.Add(1)
	return c.Store.Upsert(ctx, collection, id, change)
}

func (c *countingStore) Delete(ctx context.Context, collection, id string) error {
	c.calls.Add(1)
	return c.Store.Delete(ctx, collection, id)
}

func (c *countingStore) DeleteRange(ctx context.Context, collection string, q docstore.Query) (int, error) {
	c.calls.Add(1)
	return c.Store.DeleteRange(ctx, collection, q)
}

func (c *countingStore) Batch(ctx context.Context, changes []docstore.Change) []error {
	c.calls.Add(1)
	return c.Store.Batch(ctx, changes)
}

// TestASweepAsksForReleasesOnce: not for each upload that is old, of which there may be thousands.
func TestASweepAsksForReleasesOnce(t *testing.T) {
	t.Parallel()
	counting := &countingStore{Store: storetest.New(t, Specs()...)}
	r := newRig(t, counting)
	old := docstore.At(r.clock.Now().Add(-91 * 24 * time.Hour))
	for n := range 50 {
		release := fmt.Sprint("shop@", n)
		day := ReleaseDay{ID: release, Project: r.p.ID, Release: release, Day: r.clock.Now().Unix() / 86400}
		if err := errors.Join(r.releases.Insert(t.Context(), day), r.uploads.Insert(t.Context(), upload{ID: release, Project: r.p.ID, Key: release, Release: release, At: old, UsedAt: old, Done: true})); err != nil {
			t.Fatal(err)
		}
	}
	counting.calls.Store(0)
	if err := r.removeUploads(t.Context(), r.p); err != nil {
		t.Fatal(err)
	}
	if calls := counting.calls.Load(); calls > 5 {
		t.Errorf("it takes %d calls", calls)
	}
	if n := 0; countAll(t, r.uploads, &n) != nil || n != 50 {
		t.Errorf("of 50 uploads whose releases are seen there are %d", n)
	}
}
