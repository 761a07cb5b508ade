package errtrack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/internal/clocktest"
	"manus/internal/storetest"
)

// rig is an inbox whose alerts are noted.
type rig struct {
	*Service
	clock *clocktest.Clock
	store docstore.Store
	p     Project

	log bytes.Buffer

	mu   sync.Mutex
	told []string
}

func newRig(t testing.TB, store docstore.Store) *rig {
	t.Helper()
	r := &rig{clock: clocktest.New(), store: store}
	var err error
	r.Service, err = New(Config{Store: store, Policy: DefaultPolicy(), PublicURL: "https://app.example.com", Now: r.clock.Now, Tell: r.note, Log: slog.New(slog.NewTextHandler(&r.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if r.p, err = r.NewProject(t.Context(), "Shop", "go"); errors.Is(err, ErrNameTaken) { // by a copy on the same store
		r.p, err = r.Project(t.Context(), "Shop")
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) note(_ context.Context, a Told) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := a.Kind + " " + strings.TrimPrefix(a.Title.En, strings.TrimSuffix(beginnings[a.Kind].En, "#"))
	if a.Over {
		line = "over " + line
	}
	r.told = append(r.told, line)
	return nil
}

// start runs the inbox until the test ends, or until what is returned is called.
func (r *rig) start(t testing.TB) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// an event of a bug, which has a number.
func (r *rig) event(bug string, n int) *event.Event {
	return &event.Event{
		ID: fmt.Sprintf("%016x%016x", len(bug), n), Timestamp: r.clock.Now(), Level: event.Error, Platform: "go", Release: "1.0.0", Environment: "production",
		Exceptions: []event.Exception{{Type: "Error", Value: bug, Frames: []event.Frame{{Function: "main." + bug, Filename: bug + ".go", InApp: true, Line: n}}}},
		User:       &event.User{ID: fmt.Sprint(n % 10)}, Tags: map[string]string{"bug": bug},
	}
}

func (r *rig) take(t testing.TB, events ...*event.Event) {
	t.Helper()
	for _, e := range events {
		if err := r.Take(t.Context(), r.p.ID, e); err != nil {
			t.Fatal(err)
		}
	}
}

// list is what there are of issues: each with its count.
func (r *rig) list(t testing.TB, q Search) string {
	t.Helper()
	issues, _, err := r.Issues(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, i := range issues {
		all = append(all, fmt.Sprint(i.Exception(), " ", i.Count))
	}
	return strings.Join(all, ", ")
}

// Exception is the value that a test's issue has.
func (i Issue) Exception() string { return i.Title }

// TestEventsBecomeIssues: what is the same is one issue, whose counts are of all events, each
// of which is counted once however often it is sent.
func TestEventsBecomeIssues(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	stop := r.start(t)
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			for range 2 {
				if err := r.Take(t.Context(), r.p.ID, r.event([]string{"a", "bb"}[n%2], n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	stop()
	if got := r.list(t, Search{Sort: ByCount}); got != "Error: a 50, Error: bb 50" && got != "Error: bb 50, Error: a 50" {
		t.Errorf("the issues are %s", got)
	}
	issues, _, err := r.Issues(t.Context(), Search{Query: "bug:bb"})
	if err != nil || len(issues) != 1 {
		t.Fatalf("%d issues have the tag: %v", len(issues), err)
	}
	if i := issues[0]; i.Users != 5 || i.FirstRelease != "1.0.0" {
		t.Errorf("users %d, release %q", i.Users, i.FirstRelease)
	}
	events, next, err := r.Events(t.Context(), issues[0].Short, 30, "")
	if err != nil || len(events) != 30 || next == "" {
		t.Fatalf("%d events, next %q: %v", len(events), next, err)
	}
	events, next, err = r.Events(t.Context(), issues[0].ID, 30, next)
	if err != nil || len(events) != 20 || next != "" {
		t.Fatalf("%d more events, next %q: %v", len(events), next, err)
	}
	if _, err := r.Event(t.Context(), "", events[0].ID); err != nil {
		t.Error(err)
	}
	if got := len(r.told); got != 2 {
		t.Errorf("told %q", r.told)
	}
}

// TestAPageOfLargeEventsIsBounded: it has as many as are of 4 MiB together, and the next goes on.
func TestAPageOfLargeEventsIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	stop := r.start(t)
	for n := range 12 {
		e := r.event("a", n)
		e.Exceptions[0].Frames[0].Context = []string{strings.Repeat("large ", 120_000)}
		r.take(t, e)
	}
	stop()
	issues, _, err := r.Issues(t.Context(), Search{})
	if err != nil || len(issues) != 1 {
		t.Fatalf("there are %d issues: %v", len(issues), err)
	}
	var pages []int
	seen := map[string]bool{}
	for cursor := ""; len(pages) == 0 || cursor != ""; {
		var events []Kept
		if events, cursor, err = r.Events(t.Context(), issues[0].ID, 100, cursor); err != nil {
			t.Fatal(err)
		}
		for _, k := range events {
			seen[k.ID] = true
		}
		pages = append(pages, len(events))
	}
	if fmt.Sprint(pages) != "[5 5 2]" || len(seen) != 12 {
		t.Errorf("the pages have %d events, %d in all", pages, len(seen))
	}
}

// TestWhatWasLeftIsCounted: counting is cut short at every call of the store, by a process
// that dies of it; the next one counts all, once.
func TestWhatWasLeftIsCounted(t *testing.T) {
	t.Parallel()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newRig(t, store)
		w := r.newWriting(nil)
		w.batch = 1
		var arrivals []*arrival
		for n := range 6 {
			arrivals = append(arrivals, r.arrival(t, r.event([]string{"a", "bb"}[n%2], n)))
		}
		cut(func() error {
			b := r.keep(t.Context(), w, arrivals)
			var failed error
			for _, a := range arrivals {
				failed = errors.Join(failed, a.err)
			}
			if failed == nil {
				failed = r.count(b.by.id, b.number, b.sightings)
			}
			if strings.Contains(r.log.String(), "wait to be delivered") {
				failed = docstore.ErrUnavailable
			}
			return failed
		})
		acknowledged := int64(0)
		for _, a := range arrivals {
			if a.err == nil {
				acknowledged++
			}
		}
		r.clock.Add(time.Hour)
		for range 2 {
			if err := r.Recover(t.Context(), silentFor); err != nil {
				t.Fatal(err)
			}
		}
		var counted int64
		issues, _, err := r.Issues(t.Context(), Search{})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range issues {
			counted += i.Count
		}
		if counted != acknowledged {
			t.Errorf("%d were acknowledged and %d are counted", acknowledged, counted)
		}
		if acknowledged == 6 {
			if got := r.list(t, Search{Query: "bug:bb !bug:a error release:1.0.0"}); got != "Error: bb 3" {
				t.Errorf("the search finds %s", got)
			}
			told := map[string]bool{}
			for _, line := range r.told {
				told[line] = true
			}
			if len(told) != 2 {
				t.Errorf("told %q", r.told)
			}
		}
	})
}

func (r *rig) arrival(t testing.TB, e *event.Event) *arrival {
	t.Helper()
	a, err := r.newArrival(t.Context(), r.p.ID, e)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func BenchmarkTake(b *testing.B) {
	r := newRig(b, storetest.New(b, Specs()...))
	defer r.start(b)()
	text := strings.Repeat("the quick brown fox jumps over the lazy dog ", 60)
	var all sync.WaitGroup
	turns := make(chan int, 64)
	for range 64 {
		all.Go(func() {
			for n := range turns {
				e := r.event(fmt.Sprint("bug", n%50), n)
				e.ID = fmt.Sprintf("%032x", n)
				e.Message = text
				for {
					err := r.Take(b.Context(), r.p.ID, e)
					if err == nil {
						break
					}
					b.Error(err)
				}
			}
		})
	}
	for n := 0; b.Loop(); n++ {
		turns <- n
	}
	close(turns)
	all.Wait()
}
