package errtrack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/storetest"
	"manus/language"
)

// alerted is what is said of the only issue's alerts.
func (r *rig) alerted(t *testing.T) string {
	t.Helper()
	all, next, err := r.Alerted(t.Context(), r.only(t))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, a := range all {
		for _, became := range a.Became {
			lines = append(lines, a.Kind+": "+became.En)
		}
	}
	return strings.Join(append(lines, next.En), "\n")
}

// TestAnIssueSaysWhatHasBecomeOfItsAlerts: whoever tells is asked for each alert, by what it was
// told of.
func TestAnIssueSaysWhatHasBecomeOfItsAlerts(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	told := map[string]bool{}
	fails := error(nil)
	r.c.Tell = func(_ context.Context, a Told) error {
		if fails == nil {
			told[fmt.Sprint(a.Kind, "/", a.Subject, "/", a.Occurrence)] = true
		}
		return fails
	}
	r.c.Became = func(_ context.Context, kind, subject, occurrence string) ([]language.Text, error) {
		if !told[fmt.Sprint(kind, "/", subject, "/", occurrence)] {
			return nil, nil
		}
		return []language.Text{{En: "told"}}, nil
	}
	r.counted(t, r.event("a", 1))
	expect := func(want string) {
		t.Helper()
		if got := r.alerted(t); got != want {
			t.Errorf("it says\n%s\nnot\n%s", got, want)
		}
	}
	const more = "More events aren't told, unless it was resolved or ignored and is back"
	expect("issue.new: told\n" + more + ": no rule for issue.spike says how many are worth telling.")
	p := DefaultPolicy()
	p.Spikes = []Spike{{Events: 3, Within: 5 * time.Minute}}
	put, err := r.PreparePolicy(p)
	if err != nil {
		t.Fatal(err)
	}
	put()
	r.counted(t, r.event("a", 2), r.event("a", 3), r.event("a", 4))
	expect("issue.new: told\nissue.spike: told\n" + more + ", or there are as many as a rule for issue.spike names.")
	r.clock.Add(time.Hour)
	r.counted(t, r.event("a", 5)) // another time has begun: it is the spike before that was told
	expect("issue.new: told\nissue.spike: told\n" + more + ", or there are as many as a rule for issue.spike names.")
	r.change(t, IssueChange{Status: new(Resolved)})
	expect("issue.new: told\nissue.spike: told\nIt is resolved: it is told when it comes back.")
	r.clock.Add(time.Minute)
	fails = docstore.ErrUnavailable
	r.counted(t, r.event("a", 6))
	if got := r.alerted(t); !strings.HasPrefix(got, "issue.regressed: It waits to be told") {
		t.Errorf("of what waits it says %s", got)
	}
	r.change(t, IssueChange{Status: new(Ignored), Ignore: &Ignore{Count: 5}})
	if got := r.alerted(t); !strings.HasSuffix(got, "It is ignored: it is told once that has an end.") {
		t.Errorf("it says %s", got)
	}
	r.change(t, IssueChange{Status: new(Ignored)})
	if got := r.alerted(t); !strings.HasSuffix(got, "It is ignored: nothing is told of it.") {
		t.Errorf("it says %s", got)
	}
	clear(told)
	if got := r.alerted(t); !strings.Contains(got, "issue.spike: Nothing is known of it") {
		t.Errorf("of what isn't known any more it says %s", got)
	}
}

// TestAnAlertSaysWhereItWas: rules go by the release and tags of the event that it is told by,
// and digests by how many there were before.
func TestAnAlertSaysWhereItWas(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	var last Told
	r.c.Tell = func(_ context.Context, a Told) error { last = a; return nil }
	e := r.event("a", 1)
	e.Tags["browser.name"] = "Chrome" // Sentry's names have dots
	r.counted(t, r.event("a", 2), e)
	if last.Kind != IssueNew || last.Release != "1.0.0" || last.Environment != "production" || !slices.Contains(last.Tags, Tag{"browser.name", "Chrome"}) || last.Before != 0 {
		t.Errorf("told was %+v", last)
	}
	if found := r.list(t, Search{Query: "browser.name:chrome"}); found != "Error: a 2" {
		t.Errorf("by its tag is found %q", found)
	}
	r.change(t, IssueChange{Status: new(Resolved)})
	r.clock.Add(time.Minute)
	e = r.event("a", 3)
	e.Release = "1.0.1"
	r.counted(t, e)
	if last.Kind != IssueRegressed || last.Release != "1.0.1" || slices.Contains(last.Tags, Tag{"browser.name", "Chrome"}) || last.Before != 2 {
		t.Errorf("told was %+v", last)
	}
	p := DefaultPolicy()
	p.Spikes = []Spike{{Events: 3, Within: 5 * time.Minute}}
	put, err := r.PreparePolicy(p)
	if err != nil {
		t.Fatal(err)
	}
	put()
	r.counted(t, r.event("a", 4), r.event("a", 5))
	r.counted(t, r.event("a", 6), r.event("a", 7))
	if last.Kind != IssueSpike || last.Before != 3 {
		t.Errorf("told was %+v", last)
	}
}
