package planned

import (
	"strings"
	"testing"
	"time"

	"manus/internal/timeline"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

// Clocks go back on 25 October 2026 in Berlin and forth on 28 March 2027; by the clocks
// there it always begins at 02:00, or when 02:00 doesn't come, an hour later.
func TestARuleGoesByTheClocksOfItsZone(t *testing.T) {
	t.Parallel()
	plan := Work{at(t, "2026-10-11T02:00:00+02:00"), at(t, "2026-10-11T03:30:00+02:00"), "FREQ=WEEKLY;BYDAY=SU", "Europe/Berlin"}
	times, err := plan.Read(at(t, "2026-10-01T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2026-10-11T00:00:00Z", "2026-10-18T00:00:00Z", "2026-10-25T00:00:00Z", "2026-11-01T01:00:00Z",
		"2027-03-21T01:00:00Z", "2027-03-28T01:00:00Z", "2027-04-04T00:00:00Z",
	} {
		begins := at(t, want)
		if next, ok := times.Next(begins.Add(-time.Hour)); !ok || next != timeline.Between(begins, begins.Add(90*time.Minute)) {
			t.Errorf("at %s: the next is %v of %v", want, time.UnixMilli(next.From).UTC(), next.Length())
		}
		if times.On(begins.Add(-time.Second)) || !times.On(begins) || !times.On(begins.Add(89*time.Minute)) || times.On(begins.Add(90*time.Minute)) {
			t.Errorf("at %s: it isn't on for an hour and a half", want)
		}
	}
}

func TestOnceIsOnce(t *testing.T) {
	t.Parallel()
	from, until := at(t, "2026-12-01T10:00:00Z"), at(t, "2026-12-01T12:00:00Z")
	times, err := Work{StartsAt: from, EndsAt: until}.Read(at(t, "2026-11-01T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	if next, ok := times.Next(from.AddDate(0, 0, -1)); !ok || next != timeline.Between(from, until) {
		t.Errorf("%v %v", next, ok)
	}
	if next, ok := times.Next(until); ok {
		t.Errorf("it comes again: %v", next)
	}
	day := timeline.Between(from.Add(time.Hour), from.AddDate(0, 0, 1))
	if within := times.Within(day); within.Length() != time.Hour {
		t.Errorf("%v of it are within %v", within.Length(), day)
	}
}

func TestRulesEnd(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-12-01T00:00:00Z")
	for rule, want := range map[string]int{
		"FREQ=DAILY;COUNT=3":                           3,
		"RRULE:FREQ=DAILY;UNTIL=20261205T235959Z":      5,
		"freq=monthly;bymonthday=31":                   14, // in two years
		"FREQ=MONTHLY;BYDAY=TU;BYSETPOS=1;COUNT=6":     6,
		"FREQ=WEEKLY;INTERVAL=2;WKST=MO;BYDAY=TU,WE":   105,
		"FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=1":          2,
		"FREQ=YEARLY;BYWEEKNO=49,50;BYDAY=TU;COUNT=20": 4,
	} {
		times, err := Work{now, now.Add(time.Hour), rule, ""}.Read(now)
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		if got := len(times.spans); got < want-1 || got > want+1 {
			t.Errorf("%s comes %d times, want about %d", rule, got, want)
		}
	}
}

func TestAPlanThatCantBeSaysWhy(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-12-01T00:00:00Z")
	for name, c := range map[string]struct {
		plan Work
		want string
	}{
		"backwards":  {Work{now, now, "", ""}, "ends_at: is not after"},
		"a quarter":  {Work{now, now.AddDate(0, 3, 0), "", ""}, "more than 31 days"},
		"far":        {Work{now.AddDate(11, 0, 0), now.AddDate(11, 0, 1), "", ""}, "ten years"},
		"zone":       {Work{now, now.Add(time.Hour), "", "Berlin"}, "timezone: is none"},
		"local":      {Work{now, now.Add(time.Hour), "", "Local"}, "timezone: is none"},
		"path":       {Work{now, now.Add(time.Hour), "", "../../etc/passwd"}, "timezone: is none"},
		"words":      {Work{now, now.Add(time.Hour), "every Sunday", ""}, "rrule: "},
		"hourly":     {Work{now, now.Add(time.Hour), "FREQ=HOURLY", ""}, "use FREQ=DAILY"},
		"hours":      {Work{now, now.Add(time.Hour), "FREQ=DAILY;BYHOUR=1,2", ""}, "use FREQ=DAILY"},
		"two lines":  {Work{now, now.Add(time.Hour), "FREQ=DAILY\nDTSTART:20260101", ""}, "is one line"},
		"never":      {Work{now, now.Add(time.Hour), "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", ""}, "never comes"},
		"interval 0": {Work{now, now.Add(time.Hour), "FREQ=DAILY;INTERVAL=-1", ""}, "rrule: "},
		"no end":     {Work{now, now.AddDate(0, 0, 2), "FREQ=DAILY", ""}, "ends_at: comes after it has begun again"},
		"no pause":   {Work{now, now.AddDate(0, 0, 1), "FREQ=DAILY", "Europe/Berlin"}, "ends_at: comes after it has begun again"},
		"long":       {Work{now, now.Add(time.Hour), "FREQ=DAILY;" + strings.Repeat("X", 300), ""}, "longer than"},
	} {
		if _, err := c.plan.Check(now); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, plan := range map[string]Work{
		"whole weekends": {now, now.AddDate(0, 0, 1), "FREQ=WEEKLY;BYDAY=SA,SU", ""},
		"each night":     {now, now.Add(23 * time.Hour), "FREQ=DAILY", ""},
		"three days":     {now, now.AddDate(0, 0, 1), "FREQ=DAILY;COUNT=3", ""},
	} {
		if _, err := plan.Check(now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is written as a rule is read in a moment, and nothing comes of it that isn't in
// order.
func FuzzRule(f *testing.F) {
	for _, rule := range []string{"FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SU", "FREQ=MONTHLY;BYDAY=-1FR;INTERVAL=3", "FREQ=YEARLY;BYYEARDAY=-1;BYSETPOS=1", "FREQ=DAILY;INTERVAL=2147483647", "FREQ=YEARLY;BYEASTER=0"} {
		f.Add(rule, "Europe/Berlin", int64(90))
	}
	now := at(f, "2026-12-01T00:00:00Z")
	f.Fuzz(func(t *testing.T, rule, zone string, minutes int64) {
		minutes = minutes % (31 * 24 * 60)
		began := time.Now()
		times, err := Work{now, now.Add(time.Duration(minutes) * time.Minute), rule, zone}.Read(now)
		if took := time.Since(began); took > 10*time.Second {
			t.Fatalf("it took %v", took)
		}
		if err != nil {
			return
		}
		for i := 1; i < len(times.spans); i++ {
			if times.spans[i].From <= times.spans[i-1].Until {
				t.Fatalf("%v isn't in order", times.spans)
			}
		}
	})
}
