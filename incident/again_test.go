package incident

import (
	"strings"
	"testing"
	"time"

	"manus/docstore"
)

func TestARuleInWords(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		"": "/", "FREQ=WEEKLY": "every week/كل أسبوع", "freq=weekly;byday=su": "every week on Sundays/كل أسبوع يوم الأحد", "FREQ=DAILY;INTERVAL=2;COUNT=9": "every other day/كل يومين",
		"FREQ=WEEKLY;BYDAY=MO,WE,FR;WKST=MO": "every week on Mondays, Wednesdays and Fridays/كل أسبوع يوم الاثنين والأربعاء والجمعة",
		"FREQ=MONTHLY;BYDAY=1SU":             "comes again/تتكرر", "FREQ=WEEKLY;INTERVAL=3": "comes again/تتكرر", "FREQ=MONTHLY;BYMONTHDAY=-1": "comes again/تتكرر", "FREQ=YEARLY;INTERVAL=1": "every year/كل سنة",
	} {
		if got := (Maintenance{Rule: rule, Zone: "UTC"}).Again(); got.En+"/"+got.Ar != want {
			t.Errorf("%s: %q", rule, got.En+"/"+got.Ar)
		}
	}
	if got := (Maintenance{Rule: "FREQ=WEEKLY", Zone: "Europe/Berlin"}).Again(); got.En != "every week, by the clocks of Europe/Berlin" || !strings.Contains(got.Ar, "\u2068Europe/Berlin\u2069") {
		t.Errorf("%+v", got)
	}
}

// Work that comes again and is cancelled after some of its times: people are told of the next one, which
// is to be seen for a week.
func TestWorkThatDoesNotComeAgain(t *testing.T) {
	t.Parallel()
	r := setup(t)
	first := r.clock.Now().Add(time.Hour)
	m, err := r.Plan(t.Context(), Maintenance{Title: en("Weekly"), StartsAt: docstore.At(first), EndsAt: docstore.At(first.Add(time.Hour)), Rule: "FREQ=WEEKLY"})
	if err != nil {
		t.Fatal(err)
	}
	given := func() (Occurrence, bool) {
		t.Helper()
		all, err := r.PlannedNow(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[0].Given(r.clock.Now())
	}
	r.clock.Add(90 * time.Minute) // it is on
	if _, is := given(); is {
		t.Error("what wasn't cancelled doesn't come")
	}
	r.clock.Add(24 * time.Hour)
	if _, err := r.Cancel(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	second := first.AddDate(0, 0, 7)
	what, o, told, err := r.Told(t.Context(), m.ID, Cancelled)
	if err != nil || !told || what != "cancelled" || !o.From.Equal(second) || o.Stage(r.clock.Now()) != Dropped {
		t.Errorf("told is %s of %v, %t, %v", what, o.From, told, err)
	}
	if o, is := given(); !is || !o.From.Equal(second) || o.Stage(r.clock.Now()) != Dropped || o.Again() != endedWords {
		t.Errorf("to be seen is %v, %t", o.From, is)
	}
	r.clock.Add(keepNever)
	if _, is := given(); is {
		t.Error("it is to be seen for longer than a week")
	}

	now, err := r.Plan(t.Context(), Maintenance{Title: en("Daily"), StartsAt: docstore.At(r.clock.Now()), EndsAt: docstore.At(r.clock.Now().Add(time.Hour)), Rule: "FREQ=DAILY"})
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Add(time.Minute)
	if now, err = r.Cancel(t.Context(), now.ID); err != nil { // while it is on
		t.Fatal(err)
	}
	times, err := now.times(r.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if o, is := (Timed{now, times}).Given(r.clock.Now()); !is || !o.From.Equal(now.StartsAt.AddDate(0, 0, 1).UTC()) {
		t.Errorf("to be seen is %v, %t", o.From, is)
	}
}
