package errtrack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/httpapi"
	"manus/internal/storetest"
	"manus/ratelimit"
)

// TestAFloodOfNewKindsIsOneIssue: a program whose every error is of a new kind makes so many
// issues, and one of all that are more; what was known before isn't touched by that.
func TestAFloodOfNewKindsIsOneIssue(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	stop := r.start(t)
	r.take(t, r.event("known", 1001))
	r.budgets.of[r.p.ID] = budget{left: 9, at: r.clock.Now()}
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() { r.take(t, r.event("kind"+letters(n), n)) })
	}
	all.Wait()
	r.take(t, r.event("known", 1002))
	stop()
	issues, _, err := r.Issues(t.Context(), Search{Sort: ByCount})
	if err != nil || len(issues) != 11 || issues[0].Count != 41 || issues[1].Count != 2 {
		t.Fatalf("there are %d issues: %s: %v", len(issues), r.list(t, Search{Sort: ByCount}), err)
	}
	if why := issues[0].Why.Sentence().En; !strings.Contains(why, "too many new kinds") {
		t.Errorf("the reason is %q", why)
	}
	if events, _, err := r.Events(t.Context(), issues[0].ID, 100, ""); err != nil || len(events) != 41 {
		t.Errorf("it shows %d events: %v", len(events), err)
	}
	r.clock.Add(time.Minute)
	if !r.budgets.spend(r.p.ID, r.clock.Now()) {
		t.Error("there is no room for new kinds after a minute")
	}
}

// TestWhatIsRecoveredBelongsWhereItWasKept: also what a flood was.
func TestWhatIsRecoveredBelongsWhereItWasKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	r.budgets.of = map[string]budget{r.p.ID: {at: r.clock.Now()}}
	w := r.newWriting(nil)
	w.batch = 1
	r.keep(t.Context(), w, []*arrival{r.arrival(t, r.event("a", 1)), r.arrival(t, r.event("bb", 2))})
	r.clock.Add(silentFor)
	if err := r.Recover(t.Context(), silentFor); err != nil {
		t.Fatal(err)
	}
	if i := r.only(t); i.Count != 2 || i.Title != flood().Title {
		t.Errorf("%s has %d events", i.Title, i.Count)
	}
}

// refusing refuses for good what concerns one document.
type refusing struct {
	docstore.Store
	collection, contains string
}

func (f refusing) Batch(ctx context.Context, changes []docstore.Change) []error {
	for _, c := range changes {
		if c.Collection == f.collection && strings.Contains(c.ID, f.contains) {
			errs := make([]error, len(changes))
			for i := range errs {
				errs[i] = docstore.ErrCorrupt
			}
			return errs
		}
	}
	return f.Store.Batch(ctx, changes)
}

// TestAnEventThatCannotBeCountedKeepsNoneFromIt: the others are, and it stands in what was
// lost.
func TestAnEventThatCannotBeCountedKeepsNoneFromIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, refusing{storetest.New(t, Specs()...), postingSpec.Collection, "tbug:poison"})
	stop := r.start(t)
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() { r.take(t, r.event([]string{"a", "poison"}[n/19], n)) })
	}
	all.Wait()
	r.take(t, r.event("a", 100))
	stop()
	r.noteLosses(t.Context())
	if got := r.list(t, Search{Query: "bug:a"}); got != "Error: a 20" {
		t.Errorf("the others are %q", got)
	}
	totals, err := r.totalsOf(t.Context(), r.p.ID)
	if err != nil || len(totals.Losses) != 1 || totals.Losses[0].Reason != lostUncounted {
		t.Errorf("lost are %+v: %v", totals.Losses, err)
	}
	if log := r.log.String(); !strings.Contains(log, "an event can't be counted") {
		t.Errorf("the log says %q", log)
	}
}

// TestWhatWaitsIsKeptAtTheEnd: what has arrived when the program is to end is kept and
// answered; what comes later is refused.
func TestWhatWaitsIsKeptAtTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	var waiting []*arrival
	for n := range 2*maxCommit + 1 {
		a := r.arrival(t, r.event("a", n))
		waiting = append(waiting, a)
		if !r.intake.waiting.join(a) {
			t.Fatal("there is no room")
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	r.Run(ended)
	for _, a := range waiting {
		<-a.done
		if a.err != nil {
			t.Fatal(a.err)
		}
	}
	if i := r.only(t); i.Count != 2*maxCommit+1 {
		t.Errorf("%d are counted", i.Count)
	}
	if err := r.Take(t.Context(), r.p.ID, r.event("a", 9999)); !errors.Is(err, ErrBusy) {
		t.Errorf("one that comes later: %v", err)
	}
	if left, _, err := r.writers.Find(t.Context(), docstore.Query{}); err != nil || len(left) > 0 {
		t.Errorf("it has left %d: %v", len(left), err)
	}
}

// TestWhatWasLeftForDaysIsCountedOnce: a process died when it had counted a batch in part,
// and another starts only days later, and counts newer events first.
func TestWhatWasLeftForDaysIsCountedOnce(t *testing.T) {
	t.Parallel()
	for _, clock := range []time.Duration{10 * 24 * time.Hour, -10 * 24 * time.Hour} {
		r := newRig(t, storetest.New(t, Specs()...))
		w := r.newWriting(nil)
		w.batch = 1
		b := r.keep(t.Context(), w, []*arrival{r.arrival(t, r.event("a", 1)), r.arrival(t, r.event("a", 2))})
		if err := r.count(w.id, b.number, b.sightings[:1]); err != nil {
			t.Fatal(err)
		}
		r.clock.Add(clock)
		r.look(t.Context())
		r.counted(t, r.event("a", 3), r.event("a", 4))
		for range 2 {
			if err := r.Recover(t.Context(), silentFor); err != nil {
				t.Fatal(err)
			}
		}
		if i := r.only(t); i.Count != 4 {
			t.Errorf("%s later, %d of 4 are counted", clock, i.Count)
		}
	}
}

// TestMarksAreFew: however often a program is started again, an issue doesn't grow by that.
func TestMarksAreFew(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	for n := range 3 * marksKept {
		r.counted(t, r.event("a", n))
		r.clock.Add(time.Second)
		if err := r.Recover(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if i := r.only(t); len(i.Counted) > marksKept+2 || i.Count != 3*marksKept {
		t.Errorf("%d marks are kept, of %d events", len(i.Counted), i.Count)
	}
}

// TestAnIssueHoldsSoManyHashes: what has one more is an issue of its own, and is counted at
// once.
func TestAnIssueHoldsSoManyHashes(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	w, together := r.newWriting(nil), storetest.Size(maxCommit, 64)
	for n := range int64(2) {
		w.batch++
		var arrivals []*arrival
		for k := range together {
			a := r.arrival(t, r.event("a", int(n)*together+k))
			a.sighting.hashes = []string{hashID(r.p.ID, fmt.Sprint("own", n, "-", k)), hashID(r.p.ID, "shared")}
			a.kept.Group = a.sighting.hashes[0]
			arrivals = append(arrivals, a)
		}
		b := r.keep(t.Context(), w, arrivals)
		if err := r.count(w.id, b.number, b.sightings); err != nil {
			t.Fatal(err)
		}
		if n == 0 { // as if it had had many more
			_, err := r.issues.Update(t.Context(), r.only(t).ID, func(i *Issue) error {
				for len(i.Hashes) < maxHashes-1 {
					i.countHash(fmt.Sprint("filler", len(i.Hashes)), 0)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	issues, _, err := r.Issues(t.Context(), Search{Limit: 1000})
	counted, most := int64(0), 0
	for _, i := range issues {
		counted, most = counted+i.Count, max(most, len(i.Hashes))
	}
	if err != nil || counted != int64(2*together) || most > maxHashes {
		t.Errorf("%d are counted, at issues of at most %d hashes: %v", counted, most, err)
	}
}

// TestMergesIntoEachOtherAtOnce: of merges in a ring one is undone, and nothing is lost,
// whoever meets it. Who merges is told; nothing is wrong with the store, or with a sweep.
func TestMergesIntoEachOtherAtOnce(t *testing.T) {
	t.Parallel()
	for name, meet := range map[string]func(t *testing.T, r *rig, merged string){
		"merge": func(t *testing.T, r *rig, merged string) {
			from, err := r.issues.Get(t.Context(), merged)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.finishMerge(t.Context(), from)
			k := slices.IndexFunc(kinds, func(k httpapi.Kind) bool { return errors.Is(err, k.Err) })
			if k < 0 || kinds[k].Status != http.StatusConflict || errors.Is(err, docstore.ErrUnavailable) {
				t.Errorf("it is answered %v", err)
			}
		},
		"sweep":  func(*testing.T, *rig, string) {},
		"events": func(t *testing.T, r *rig, _ string) { r.counted(t, r.event("a", 9)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.New(t, Specs()...))
			bugs := []string{"a", "bb", "ccc"}
			for n := range 6 {
				r.counted(t, r.event(bugs[n%3], n))
			}
			issues, _, err := r.Issues(t.Context(), Search{})
			if err != nil {
				t.Fatal(err)
			}
			for k, i := range issues { // each is marked before any is counted where it went
				_, err := r.issues.Update(t.Context(), i.ID, func(i *Issue) error {
					i.Status, i.Into, i.MergedAt = Merged, issues[(k+1)%3].ID, docstore.At(r.clock.Now())
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			meet(t, r, issues[0].ID)
			for range 3 {
				if err := r.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
			}
			want := int64(8)
			if name == "events" {
				want++
			}
			r.counted(t, r.event("bb", 7), r.event("a", 8))
			if i := r.only(t); i.Count != want || len(i.Hashes) != 3 {
				t.Errorf("%d events of %d hashes", i.Count, len(i.Hashes))
			}
		})
	}
}

// TestAProjectMayHaveTheLimitItIsGiven: the highest is one that limits can have.
func TestAProjectMayHaveTheLimitItIsGiven(t *testing.T) {
	t.Parallel()
	if got := ratelimit.NewRule(strconv.Itoa(maxPerMinute) + "/minute").Limit; len(got) != 1 || got[0].N != maxPerMinute {
		t.Errorf("the limit is %v", got)
	}
}

// TestASweepThatIsCutShortTakesOffOnce: whichever call of the store fails while old events
// are removed, the totals are of those that are kept.
func TestASweepThatIsCutShortTakesOffOnce(t *testing.T) {
	t.Parallel()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newRig(t, store)
		r.counted(t, r.event("a", 1), r.event("a", 2), r.event("a", 3))
		r.clock.Add(91 * 24 * time.Hour)
		r.counted(t, r.event("a", 4))
		cut(func() error { return r.removeOld(t.Context(), r.p) })
		if err := r.removeOld(t.Context(), r.p); err != nil {
			t.Fatal(err)
		}
		left, _, err := r.events.Find(t.Context(), docstore.Query{})
		if err != nil || len(left) != 1 {
			t.Fatalf("%d events are kept: %v", len(left), err)
		}
		if totals, err := r.totalsOf(t.Context(), r.p.ID); err != nil || totals.Kept != 1 || len(totals.Removing) > 0 {
			t.Errorf("the totals say %+v: %v", totals, err)
		}
	})
}
