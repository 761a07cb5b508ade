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
		"": "/", "FREQ=WEEKLY": "every week/كل أسبوع", "freq=weekly;byday=su": "every week on Sundays/كل أسبوع يوم الأحد", "FREQ=DAILY;INTERVAL=2;COUNT=9": "every 2 days, 9 times/كل يومين، 9 مرّات",
		"FREQ=WEEKLY;BYDAY=MO,WE,FR;WKST=MO": "every week on Mondays, Wednesdays and Fridays/كل أسبوع يوم الاثنين والأربعاء والجمعة",
		"FREQ=MONTHLY;BYDAY=1SU;COUNT=1":     "every month on the first Sunday, once/كل شهر يوم الأحد الأوّل، مرّة واحدة", "FREQ=WEEKLY;INTERVAL=3": "every 3 weeks/كل 3 أسابيع",
		"FREQ=MONTHLY;BYMONTHDAY=1,15,-1":             "every month on day 1, day 15 and the last day/كل شهر في اليوم 1 واليوم 15 واليوم الأخير",
		"FREQ=MONTHLY;INTERVAL=2;BYDAY=2TU,-1FR":      "every 2 months on the second Tuesday and last Friday/كل شهرين يوم الثلاثاء الثاني والجمعة الأخير",
		"FREQ=WEEKLY;BYDAY=SU;UNTIL=20270131T230000Z": "every week on Sundays, until 31 January 2027/كل أسبوع يوم الأحد، حتى 31 يناير 2027",
		"FREQ=DAILY;UNTIL=20270131":                   "every day, until 31 January 2027/كل يوم، حتى 31 يناير 2027",
		"FREQ=MONTHLY;BYDAY=SU":                       "comes again/تتكرر", "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1;COUNT=5": "comes again, 5 times/تتكرر، 5 مرّات", "FREQ=MONTHLY;BYMONTHDAY=-2": "comes again/تتكرر", "FREQ=WEEKLY;BYDAY=": "every week/كل أسبوع", "FREQ=DAILY;BYDAY=MO": "comes again/تتكرر", "FREQ=WEEKLY;BYDAY=XX": "comes again/تتكرر",
		"FREQ=YEARLY;INTERVAL=1": "every year/كل سنة",
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

// What is planned on a Saturday by a rule of Sundays begins on Sunday.
func TestTheFirstTimeIsThatOfTheRule(t *testing.T) {
	t.Parallel()
	saturday := time.Date(2026, 11, 28, 2, 0, 0, 0, time.UTC)
	m := Maintenance{StartsAt: docstore.At(saturday), EndsAt: docstore.At(saturday.Add(time.Hour)), Rule: "FREQ=WEEKLY;BYDAY=SU"}
	first, is := m.At(saturday.Add(-time.Hour))
	if sunday := saturday.AddDate(0, 0, 1); !is || !first.From.Equal(sunday) || !first.Until.Equal(sunday.Add(time.Hour)) {
		t.Errorf("it is from %v until %v, %t", first.From, first.Until, is)
	}
}
