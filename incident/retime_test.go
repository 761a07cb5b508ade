package incident

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
)

// What was written late is corrected: as the API has it, counted from then on, and what was told before stays to be seen.
func TestWhenItWasIsCorrected(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var i incidentBody
	r.call(t, "operator", "POST", "/ops/incidents", `{"title":"Logins fail","text":"We look."}`, &i)
	opened := r.clock.Now()
	path := "/ops/incidents/" + i.ID
	at := func(after time.Duration) string { return docstore.At(opened.Add(after)).String() }
	correct := func(field string, after time.Duration) (int, string) {
		return r.call(t, "operator", "PATCH", path, fmt.Sprintf(`{%q:%q}`, field, at(after)), &i)
	}
	if code, body := correct("resolved_at", -time.Minute); code != 422 || !strings.Contains(body, "isn't resolved yet") {
		t.Errorf("its end, while it is open: %d %s", code, body)
	}
	if code, body := correct("started_at", -time.Hour); code != 200 || i.StartedAt != at(-time.Hour) || len(i.EarlierTimes) != 1 || i.EarlierTimes[0].StartedAt != at(0) || i.EarlierTimes[0].ResolvedAt != "" || i.EarlierTimes[0].Until != at(0) {
		t.Fatalf("%d %s", code, body)
	}
	if open, _, err := r.Incidents(t.Context(), true, 1, ""); err != nil || len(open) != 1 || !open[0].OpenSince.Equal(opened.Add(-time.Hour)) {
		t.Errorf("of those that are open: %+v, %v", open, err)
	}
	r.clock.Add(time.Hour)
	r.call(t, "operator", "POST", path+"/updates", `{"status":"resolved","text":"over"}`, &i)
	r.clock.Add(time.Hour)
	for _, c := range []struct {
		field string
		after time.Duration
		why   string // of its refusal
	}{
		{"started_at", 3 * time.Hour, "in the future"}, {"started_at", time.Hour, "is not before"}, {"started_at", -91 * 24 * time.Hour, "more than 90 days"},
		{"resolved_at", 3 * time.Hour, "in the future"}, {"resolved_at", -time.Hour, "is not after"}, {"resolved_at", -2 * time.Hour, "is not after"},
		{"resolved_at", 30 * time.Minute, ""}, {"resolved_at", 30 * time.Minute, ""}, {"started_at", time.Hour, "is not before"}, {"started_at", 29 * time.Minute, ""}, {"started_at", -90 * 24 * time.Hour, ""},
	} {
		if code, body := correct(c.field, c.after); (code == 200) != (c.why == "") || !strings.Contains(body, c.why) {
			t.Errorf("%s, %s after it was opened: %d %s", c.field, c.after, code, body)
		}
	}
	if i.StartedAt != at(-90*24*time.Hour) || i.ResolvedAt != at(30*time.Minute) || len(i.EarlierTimes) != 4 || i.EarlierTimes[1].ResolvedAt != at(time.Hour) || i.Updates[1].At != at(time.Hour) {
		t.Errorf("%+v", i)
	}
	for n := len(i.EarlierTimes); n <= maxEarlier; n++ {
		if code, body := correct("started_at", time.Duration(-n)*time.Hour); (code == 200) != (n < maxEarlier) {
			t.Errorf("correction %d: %d %s", n, code, body)
		}
	}
	events, _, err := r.log.List(t.Context(), "", 100, "")
	corrected := 0
	for _, e := range events {
		if e.Kind == eventCorrected && e.Subject == i.ID {
			corrected++
		}
	}
	if err != nil || corrected != maxEarlier+1 { // one changed nothing
		t.Errorf("the audit log has %d corrections, %v", corrected, err)
	}
	if told := r.told.take(); told != "investigating, resolved" {
		t.Errorf("people were told %q", told)
	}
}

// What is opened again was over, when it was corrected to have been, and then begins with that.
func TestWhatIsOpenedAgainWasOverAsCorrected(t *testing.T) {
	t.Parallel()
	r := setup(t)
	i, err := r.Open(t.Context(), Opening{Title: en("x"), Text: en("x")})
	say := func(status Status) {
		t.Helper()
		r.clock.Add(time.Hour)
		if i, err = r.Say(t.Context(), i.ID, Saying{Status: status, Text: en("x")}); err != nil {
			t.Fatal(err)
		}
	}
	correct := func(began, over time.Duration) error {
		from, until := i.Updates[0].At.Add(began), i.Updates[0].At.Add(over)
		changed, err := r.Change(t.Context(), i.ID, Change{StartedAt: &from, ResolvedAt: &until})
		if err == nil {
			i = changed
		}
		return err
	}
	say(Resolved)
	if err := correct(-time.Hour, 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	say(Investigating)
	if !i.ResolvedAt.IsZero() || i.OpenSince != i.StartedAt || !i.Updates[1].Over.Equal(i.Updates[0].At.Add(10*time.Minute)) {
		t.Errorf("%+v", i)
	}
	say(Resolved)
	if err := correct(-time.Hour, 2*time.Hour); !errors.Is(err, ErrInvalid) {
		t.Errorf("an end when it was opened again: %v", err)
	}
	if err := correct(10*time.Minute, 3*time.Hour); !errors.Is(err, ErrInvalid) {
		t.Errorf("a beginning when it was over for the first time: %v", err)
	}
	if err := correct(-2*time.Hour, 150*time.Minute); err != nil || !i.Updates[1].Over.Equal(i.Updates[0].At.Add(10*time.Minute)) {
		t.Errorf("%+v, %v", i, err)
	}
}

// A monitor's end that comes late is not before the beginning that a person has corrected, and two who correct at once
// lose nothing.
func TestCorrectionsMeetWhatElseIsDone(t *testing.T) {
	t.Parallel()
	r := setup(t)
	at := r.clock.Now()
	outage := Outage{Key: "o1", Monitor: "web", Title: en("web is down"), At: docstore.At(at)}
	if err := r.Tell(t.Context(), outage); err != nil {
		t.Fatal(err)
	}
	r.clock.Add(time.Hour)
	var all sync.WaitGroup
	for n := range 5 {
		all.Go(func() {
			from := at.Add(time.Duration(10+n) * time.Minute)
			if _, err := r.Change(t.Context(), "o1", Change{StartedAt: &from}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	outage.At, outage.Over = docstore.At(at.Add(5*time.Minute)), true
	if err := r.Tell(t.Context(), outage); err != nil {
		t.Fatal(err)
	}
	if i, err := r.newest(t); err != nil || len(i.EarlierTimes) != 5 || i.ResolvedAt != i.StartedAt {
		t.Errorf("%+v, %v", i, err)
	}
}
