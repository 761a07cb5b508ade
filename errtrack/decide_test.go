package errtrack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/language"
)

// count has events counted, and what follows told, without the inbox's running.
func (r *rig) counted(t testing.TB, events ...*event.Event) {
	t.Helper()
	w := r.newWriting(nil)
	w.batch = 1
	var arrivals []*arrival
	for _, e := range events {
		arrivals = append(arrivals, r.arrival(t, e))
	}
	b := r.keep(t.Context(), w, arrivals)
	if err := r.count(b.by.id, b.number, b.sightings); err != nil {
		t.Fatal(err)
	}
}

// heard is what was told since it was last asked.
func (r *rig) heard() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := strings.Join(r.told, ", ")
	r.told = nil
	return told
}

func (r *rig) only(t testing.TB) Issue {
	t.Helper()
	issues, _, err := r.Issues(t.Context(), Search{})
	if err != nil || len(issues) != 1 {
		t.Fatalf("there are %d issues, not one: %v", len(issues), err)
	}
	return issues[0]
}

func (r *rig) change(t testing.TB, c IssueChange) {
	t.Helper()
	if _, err := r.ChangeIssue(t.Context(), r.only(t).ID, c); err != nil {
		t.Fatal(err)
	}
}

func TestAResolvedIssueComesBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		in, release string
		back        bool
	}{
		"at once":                                 {"", "1.0.0", true},
		"in this release, by it":                  {"release", "1.0.0", true},
		"in this release, by an older one":        {"release", "0.9.0", false},
		"in this release, by a newer one":         {"release", "1.0.1", true},
		"in the next release, by this one":        {"next", "1.0.0", false},
		"in the next release, by an older one":    {"next", "0.9.9", false},
		"in the next release, by the next one":    {"next", "1.1.0", true},
		"in the next release, by a package of it": {"next", "shop@1.1.0", true},
		"in the next release, by a commit":        {"next", "4f7a2c1", true},
		"in the next release, by no release":      {"next", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.New(t, Specs()...))
			r.counted(t, r.event("a", 1))
			r.heard()
			r.change(t, IssueChange{Status: new(Resolved), In: test.in})
			late := r.event("a", 2)
			late.Timestamp = r.clock.Now().Add(-time.Minute)
			r.counted(t, late) // it happened before
			if i := r.only(t); i.Status != Resolved || i.Count != 2 {
				t.Errorf("an event of before makes it %s, with %d events", i.Status, i.Count)
			}
			r.clock.Add(time.Minute)
			e := r.event("a", 3)
			e.Release = test.release
			r.counted(t, e)
			want, told, by := Resolved, "", ""
			if test.back {
				want, told, by = Unresolved, "issue.regressed Error: a", e.ID
			}
			if i, heard := r.only(t), r.heard(); i.Status != want || heard != told || i.Regression.EventID != by {
				t.Errorf("it is %s by the event %q, and %q was told", i.Status, i.Regression.EventID, heard)
			}
		})
	}
}

// TestOlderReleasesGoOnRunning: what is resolved in the newest release or the next one isn't
// brought back by those before, whichever was seen last, and however many there were.
func TestOlderReleasesGoOnRunning(t *testing.T) {
	t.Parallel()
	var commits []string
	for n := range releasesKept + 10 {
		commits = append(commits, fmt.Sprintf("c0ffee%02d", n))
	}
	last := len(commits) - 1
	for name, test := range map[string]struct {
		seen         []string
		in           string
		not, back    string
		wantReleases int
	}{
		"numbers, in the next":         {[]string{"1.1.0", "1.0.0"}, "next", "1.1.0", "1.2.0", 2},
		"numbers, in this":             {[]string{"1.1.0", "1.0.0"}, "release", "1.0.0", "1.1.0", 2},
		"many commits, in the next":    {append(slices.Clone(commits), commits[last-1]), "next", commits[last], "feedc0de", releasesKept},
		"many commits, in the next, 2": {append(slices.Clone(commits), commits[last-1]), "next", commits[last-3], "feedc0de", releasesKept},
		"many commits, in this":        {append(slices.Clone(commits), commits[last-1]), "release", commits[last-1], commits[last], releasesKept},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.New(t, Specs()...))
			n := 0
			see := func(releases ...string) {
				var events []*event.Event
				for _, release := range releases {
					n++
					r.clock.Add(time.Second)
					e := r.event("a", n)
					e.Release = release
					events = append(events, e)
				}
				r.counted(t, events...)
			}
			see(test.seen...)
			r.change(t, IssueChange{Status: new(Resolved), In: test.in})
			see(test.not)
			if i := r.only(t); i.Status != Resolved || len(i.Releases()) != test.wantReleases {
				t.Errorf("by %s it is %s, seen in %d releases", test.not, i.Status, len(i.Releases()))
			}
			see(test.back)
			if i := r.only(t); i.Status != Unresolved {
				t.Errorf("by %s it is %s", test.back, i.Status)
			}
		})
	}
}

// TestAlertsHaveNobodysAddress: what chats and logs are told is without them; the inbox has them.
func TestAlertsHaveNobodysAddress(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"no mail to jane.doe@example.com, 192.0.2.7": "no mail to [e-mail], [address]",
		"[2001:db8::7]:443 refused":                  "[[address]]:443 refused",
		"Shop::RecordNotFound of std::vector":        "Shop::RecordNotFound of std::vector",
		"shop@1.4.2 and 127.0.0.1, x@v0.50.0":        "shop@1.4.2 and 127.0.0.1, x@v0.50.0",
	} {
		r := newRig(t, storetest.New(t, Specs()...))
		e := r.event("a", 1)
		e.Exceptions[0].Value, e.Transaction = value, "/of/jane@example.com"
		r.counted(t, e)
		i := r.only(t)
		if heard := r.heard(); heard != "issue.new Error: "+want {
			t.Errorf("%q is told as %q", value, heard)
		}
		if title := i.Title; title != "Error: "+value {
			t.Errorf("it is listed as %q", title)
		}
		if text := i.about(language.Text{}, "", language.English); strings.Contains(text, "jane") {
			t.Errorf("it is told by %q", text)
		}
	}
}

func TestAnIgnoredIssueIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	hour := time.Hour
	for name, test := range map[string]struct {
		ignore Ignore
		events int // that keep it ignored, of one person each
		then   time.Duration
	}{
		"at so many events":  {Ignore{Count: 5}, 4, 0},
		"at so many people":  {Ignore{Users: 3}, 2, 0},
		"after a time":       {Ignore{}, 8, hour}, // until is set below
		"by whichever first": {Ignore{Count: 5, Users: 100}, 4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.New(t, Specs()...))
			r.counted(t, r.event("a", 0))
			r.heard()
			if test.then > 0 {
				test.ignore.Until = docstore.At(r.clock.Now().Add(test.then))
			}
			r.change(t, IssueChange{Status: new(Ignored), Ignore: &test.ignore})
			for n := range test.events {
				r.counted(t, r.event("a", n+1))
			}
			if i, heard := r.only(t), r.heard(); i.Status != Ignored || heard != "" {
				t.Fatalf("it is %s with %d events of %d people, and %q was told", i.Status, i.Count, i.Users, heard)
			}
			r.clock.Add(test.then)
			r.counted(t, r.event("a", test.events+1))
			if i, heard := r.only(t), r.heard(); i.Status != Unresolved || heard != "issue.regressed Error: a" {
				t.Errorf("it is %s with %d events of %d people, and %q was told", i.Status, i.Count, i.Users, heard)
			}
		})
	}
}

// TestASpikeIsToldOnceInItsTime: a rule's time begins with the first event after the one
// before, and in each it is told once, however many come.
func TestASpikeIsToldOnceInItsTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	p := DefaultPolicy()
	p.Spikes = []Spike{{Events: 10, Within: 5 * time.Minute}}
	put, err := r.PreparePolicy(p)
	if err != nil {
		t.Fatal(err)
	}
	put()
	n := 0
	send := func(events int) string {
		var all []*event.Event
		for range events {
			n++
			all = append(all, r.event("a", n))
		}
		r.counted(t, all...)
		return strings.ReplaceAll(r.heard(), " Error: a", "")
	}
	for i, step := range []struct {
		after  time.Duration
		events int
		told   string
	}{
		{0, 9, "issue.new"}, {time.Minute, 1, "issue.spike"}, {time.Minute, 100, ""}, {3 * time.Minute, 9, ""}, {time.Minute, 1, "issue.spike"},
		{time.Hour, 50, "issue.spike"}, {4 * time.Minute, 50, ""},
	} {
		r.clock.Add(step.after)
		if told := send(step.events); told != step.told {
			t.Errorf("step %d: %q was told, not %q", i+1, told, step.told)
		}
	}
}

// TestMergesAndSplitsHold: what was merged belongs together also when new events come, and
// what was split apart doesn't, whichever call of the store fails in between.
func TestMergesAndSplitsHold(t *testing.T) {
	t.Parallel()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newRig(t, store)
		r.counted(t, r.event("a", 1), r.event("a", 2), r.event("bb", 3))
		issues, _, err := r.Issues(t.Context(), Search{Sort: ByCount})
		if err != nil || len(issues) != 2 {
			t.Fatalf("%d issues: %v", len(issues), err)
		}
		a, b := issues[0], issues[1]
		merge := func() error {
			_, err := r.Merge(t.Context(), b.ID, a.ID)
			return err
		}
		cut(merge)
		if err := merge(); err != nil && !errors.Is(err, ErrInvalid) { // it is one already
			t.Fatal(err)
		}
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.counted(t, r.event("bb", 4))
		merged := r.only(t)
		if merged.ID != a.ID || merged.Count != 4 || merged.Users != 4 || len(merged.Hashes) != 2 {
			t.Fatalf("the merged issue has %d events of %d people, and the hashes %q", merged.Count, merged.Users, merged.Hashes)
		}
		if again, err := r.Issue(t.Context(), b.Short); err != nil || again.ID != a.ID {
			t.Errorf("the old name leads to %s: %v", again.Short, err)
		}
		if got := r.list(t, Search{Query: "bug:bb"}); !strings.HasSuffix(got, " 4") {
			t.Errorf("the words of what was merged find %q", got)
		}
	})
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newRig(t, store)
		r.counted(t, r.event("a", 1), r.event("a", 2), r.event("bb", 3))
		issues, _, err := r.Issues(t.Context(), Search{Sort: ByCount})
		if err == nil {
			_, err = r.Merge(t.Context(), issues[1].ID, issues[0].ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		merged := r.only(t)
		fingerprint := strings.TrimPrefix(issues[1].Hashes[0], r.p.ID+"/")
		split := func() error {
			_, err := r.Split(t.Context(), merged.ID, []string{fingerprint})
			return err
		}
		cut(split)
		if err := split(); err != nil && !errors.Is(err, ErrInvalid) { // it is apart already
			t.Fatal(err)
		}
		r.counted(t, r.event("bb", 4), r.event("a", 5))
		if got := r.list(t, Search{Sort: ByCount}); got != "Error: a 3, Error: bb 2" {
			t.Errorf("the issues are %s", got)
		}
		if got := r.list(t, Search{Query: "bug:bb", Sort: ByFirstSeen}); !strings.Contains(got, "Error: bb 2") {
			t.Errorf("the words of what was split off find %q", got)
		}
	})
}

// TestWhatIsOldOrSpareGoes: events go by their age, and by their number as they should: the
// first of an issue and its latest stay, and of the others some of all times.
// TestAMergeForgetsNoRelease: that the last or the first event of one had none.
func TestAMergeForgetsNoRelease(t *testing.T) {
	t.Parallel()
	for _, times := range [][2]time.Duration{{0, time.Minute}, {time.Minute, 0}} {
		r := newRig(t, storetest.New(t, Specs()...))
		with, without := r.event("a", 1), r.event("bb", 2)
		with.Timestamp, without.Timestamp = with.Timestamp.Add(-times[0]), without.Timestamp.Add(-times[1])
		without.Release = ""
		r.counted(t, with, without)
		i, err := r.Merge(t.Context(), r.issueOf2(t, "bb"), r.issueOf2(t, "a"))
		if err != nil || i.FirstRelease != "1.0.0" || i.LastRelease != "1.0.0" {
			t.Errorf("it was seen in %q at first and in %q at last: %v", i.FirstRelease, i.LastRelease, err)
		}
	}
}

func TestWhatIsOldOrSpareGoes(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	begin, perHour := r.clock.Now(), storetest.Size(40, 8)
	may := 60 * perHour * 5 / 12
	for hour := range 60 {
		var all []*event.Event
		for n := range perHour {
			all = append(all, r.event("a", hour*100+n))
		}
		if hour == 0 {
			all = append(all, r.event("bb", 10_000))
		}
		r.counted(t, all...)
		r.clock.Add(time.Hour)
	}
	r.keepAtMost(t, may)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := map[string]int{}
	for k, err := range r.events.All(t.Context(), docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			t.Fatal(err)
		}
		kept[fmt.Sprint(int(k.At.Sub(begin).Hours())/20)]++
		if e, err := k.event(); err != nil || e.Tags["bug"] == "bb" {
			kept["bb"]++
		}
	}
	total := kept["0"] + kept["1"] + kept["2"]
	if least := may / 10; total != may || kept["bb"] != 1 || kept["0"] < least || kept["1"] < least || kept["2"] < least {
		t.Errorf("there are kept: %v", kept)
	}
	if totals, err := r.totalsOf(t.Context(), r.p.ID); err != nil || totals.Kept != int64(may) {
		t.Errorf("%d are said to be kept: %v", totals.Kept, err)
	}
	first, err := r.End(t.Context(), r.issueOf2(t, "a"), false)
	if err != nil || !first.Timestamp.Equal(begin) {
		t.Errorf("the first event is of %s, not %s: %v", first.Timestamp, begin, err)
	}
	r.clock.Add(91 * 24 * time.Hour)
	for range 2 {
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.list(t, Search{}); got != "" {
		t.Errorf("there is still %s", got)
	}
	r.counted(t, r.event("a", 99_999))
	if i := r.only(t); i.Count != 1 {
		t.Errorf("what comes after all is a new issue of %d events", i.Count)
	}
}

// TestTheEventThatBroughtAnIssueBackStays: as its first and its latest one do, when its events
// are too many; and it is said which it is.
func TestTheEventThatBroughtAnIssueBackStays(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	var text string
	r.c.Tell = func(_ context.Context, told Told) error { text = told.Text.En; return nil }
	r.counted(t, r.event("a", 1), r.event("a", 2))
	r.change(t, IssueChange{Status: new(Resolved)})
	r.clock.Add(time.Minute)
	back := r.event("a", 3)
	r.counted(t, back)
	if !strings.Contains(text, back.ID) {
		t.Errorf("what is told doesn't name the event: %s", text)
	}
	for n := range 40 {
		r.clock.Add(time.Minute)
		r.counted(t, r.event("a", 4+n))
	}
	r.keepAtMost(t, 3)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	i := r.only(t)
	events, _, err := r.Events(t.Context(), i.ID, 10, "")
	if err != nil || len(events) != 3 || events[1].ID != back.ID || i.Regression.EventID != back.ID {
		t.Errorf("there are %d events, and it is said to have come back by %s: %v", len(events), i.Regression.EventID, err)
	}
	if body := newWholeIssue(i, language.English, r.clock.Now()); body.RegressedBy != back.ID {
		t.Errorf("it is shown to have come back by %q", body.RegressedBy)
	}
}

// keepAtMost has a project have so many events.
func (r *rig) keepAtMost(t testing.TB, n int) {
	t.Helper()
	p := DefaultPolicy()
	p.Retention.EventsPerProject = n
	put, err := r.PreparePolicy(p)
	if err != nil {
		t.Fatal(err)
	}
	put()
}

// TestAFloodIsThinnedOutAsItComes: between two sweeps a project has few more events than it
// may, whoever sends how many; those of a spread over the time, and the first.
func TestAFloodIsThinnedOutAsItComes(t *testing.T) {
	t.Parallel()
	const may = 200
	sent := storetest.Size(3*surplus, surplus+2*may)
	r := newRig(t, storetest.New(t, Specs()...))
	r.keepAtMost(t, may)
	stop := r.start(t)
	r.take(t, r.event("a", sent))
	var all sync.WaitGroup
	for g := range 50 {
		all.Go(func() {
			for n := range sent / 50 {
				err := ErrBusy
				for errors.Is(err, ErrBusy) { // as long as it is removed
					err = r.Take(t.Context(), r.p.ID, r.event("a", g*sent/50+n))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	waittest.Poll(t, func() bool { // no longer than its events are counted, by the totals too: the store is read after them
		issues, _, err := r.Issues(t.Context(), Search{})
		totals, failure := r.totalsOf(t.Context(), r.p.ID)
		return errors.Join(err, failure) == nil && len(issues) == 1 && issues[0].Count == int64(sent)+1 &&
			totals.Kept <= may+surplus && totals.Kept == int64(r.documents(t)[keptSpec.Collection])
	})
	stop()
	if _, err := r.endRemoval(t.Context(), r.p.ID); err != nil { // that it was stopped within
		t.Fatal(err)
	}
	kept := r.documents(t)[keptSpec.Collection]
	if totals, err := r.totalsOf(t.Context(), r.p.ID); err != nil || kept > may+surplus || kept < may || totals.Kept != int64(kept) {
		t.Errorf("%d are kept, of which the totals know %d: %v", kept, totals.Kept, err)
	}
	i := r.only(t)
	if _, err := r.events.Get(t.Context(), i.First); err != nil || i.Count != int64(sent)+1 {
		t.Errorf("of %d events, the first is there: %v", i.Count, err)
	}
}

// issueOf2 is the id of a bug's issue.
func (r *rig) issueOf2(t testing.TB, bug string) string {
	t.Helper()
	issues, _, err := r.Issues(t.Context(), Search{Query: "bug:" + bug})
	if err != nil || len(issues) != 1 {
		t.Fatalf("%d issues of %s: %v", len(issues), bug, err)
	}
	return issues[0].ID
}
