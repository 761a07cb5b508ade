package heartbeat

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // zones, on a machine that has none

	"manus/docstore"
	"manus/internal/timeline"
	"manus/language"
)

func parse(t *testing.T, e Expectation) *Schedule {
	t.Helper()
	s, err := e.Parse()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse("2006-01-02T15:04:05Z07:00", text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// said is a record of pings such as "2026-11-26T03:00:00+01:00 start".
func said(t *testing.T, lines ...string) Record {
	t.Helper()
	var r Record
	for _, line := range lines {
		words := strings.Fields(line)
		p := Ping{At: docstore.At(at(t, words[0])), Signal: Signal(words[1])}
		if len(words) > 2 {
			p.Run = words[2]
		}
		r.Take(p)
	}
	return r
}

var nightly = Expectation{Cron: "30 2 * * *", Timezone: "Europe/Berlin", Grace: 10 * time.Minute}

func TestHowAJobIs(t *testing.T) {
	t.Parallel()
	hourly := Expectation{Every: time.Hour, Grace: 10 * time.Minute}
	bounded := Expectation{Every: time.Hour, Grace: 10 * time.Minute, MaxRuntime: 15 * time.Minute}
	for _, c := range []struct {
		name   string
		e      Expectation
		said   []string
		at     string
		want   Kind
		moment string // when it will be bad, or is since
	}{
		{"nothing was said yet", hourly, nil, "2026-11-26T12:00:00Z", Unheard, ""},
		{"a success", hourly, []string{"2026-11-26T12:00:00Z success"}, "2026-11-26T13:09:59Z", Well, "2026-11-26T13:10:00Z"},
		{"the grace is over", hourly, []string{"2026-11-26T12:00:00Z success"}, "2026-11-26T13:10:00Z", Overdue, "2026-11-26T13:10:00Z"},
		{"a failure", hourly, []string{"2026-11-26T12:00:00Z success", "2026-11-26T12:01:00Z fail"}, "2026-11-26T12:01:00Z", Failed, "2026-11-26T12:01:00Z"},
		{"a start after a failure mends nothing", hourly, []string{"2026-11-26T12:01:00Z fail", "2026-11-26T12:02:00Z start"}, "2026-11-26T12:03:00Z", Failed, "2026-11-26T12:01:00Z"},
		{"a success after a failure does", hourly, []string{"2026-11-26T12:01:00Z fail", "2026-11-26T12:02:00Z success"}, "2026-11-26T12:03:00Z", Well, "2026-11-26T13:12:00Z"},
		{"a run is under way", bounded, []string{"2026-11-26T12:00:00Z start"}, "2026-11-26T12:14:59Z", Running, "2026-11-26T12:15:00Z"},
		{"a run takes too long", bounded, []string{"2026-11-26T12:00:00Z start"}, "2026-11-26T12:15:00Z", TooLong, "2026-11-26T12:15:00Z"},
		{"a run without a bound has until its next turn is overdue", hourly, []string{"2026-11-26T12:00:00Z start"}, "2026-11-26T13:09:00Z", Running, "2026-11-26T13:10:00Z"},
		{"who is started again and again, and never ends", hourly, []string{"2026-11-26T12:00:00Z start", "2026-11-26T13:00:00Z start"}, "2026-11-26T13:10:00Z", TooLong, "2026-11-26T13:10:00Z"},
		{"a long run begins in time", nightly, []string{"2026-11-25T02:31:00+01:00 success", "2026-11-26T02:35:00+01:00 start"}, "2026-11-26T09:00:00+01:00", Running, "2026-11-27T02:40:00+01:00"},
		{"a start that is late excuses nothing", nightly, []string{"2026-11-25T02:31:00+01:00 success", "2026-11-26T02:45:00+01:00 start"}, "2026-11-26T02:46:00+01:00", Overdue, "2026-11-26T02:40:00+01:00"},
		{"an early ping is its turn's", nightly, []string{"2026-11-26T02:29:50+01:00 success"}, "2026-11-26T03:00:00+01:00", Well, "2026-11-27T02:40:00+01:00"},
		{"one that is much too early isn't", nightly, []string{"2026-11-26T02:10:00+01:00 success"}, "2026-11-26T02:40:00+01:00", Overdue, "2026-11-26T02:40:00+01:00"},
		{"each minute of an hour", Expectation{Cron: "* 9 * * *", Grace: time.Minute}, []string{"2026-11-26T09:58:25Z success"}, "2026-11-26T10:00:00Z", Overdue, "2026-11-26T10:00:00Z"},
		{"the last minute of it", Expectation{Cron: "* 9 * * *", Grace: time.Minute}, []string{"2026-11-26T09:59:02Z success"}, "2026-11-27T09:00:59Z", Well, "2026-11-27T09:01:00Z"},
		{"the night on which 02:30 is skipped", nightly, []string{"2027-03-27T02:31:00+01:00 success"}, "2027-03-28T03:09:00+02:00", Well, "2027-03-28T03:10:00+02:00"},
		{"and a job that ran then", nightly, []string{"2027-03-28T03:00:05+02:00 success"}, "2027-03-28T12:00:00+02:00", Well, "2027-03-29T02:40:00+02:00"},
		{"the night on which 02:30 comes twice", nightly, []string{"2026-10-24T02:31:00+02:00 success"}, "2026-10-25T02:40:00+02:00", Overdue, "2026-10-25T02:40:00+02:00"},
		{"and a job that ran the first time", nightly, []string{"2026-10-25T02:30:05+02:00 success"}, "2026-10-25T12:00:00+01:00", Well, "2026-10-26T02:40:00+01:00"},
		{"a start that was overtaken by its end", bounded, []string{"2026-11-26T12:00:00Z success", "2026-11-26T12:00:03Z start"}, "2026-11-26T12:30:00Z", Well, "2026-11-26T13:10:00Z"},
		{"one that wasn't, as its run's has come", bounded, []string{"2026-11-26T12:00:00Z start", "2026-11-26T12:00:01Z success", "2026-11-26T12:00:03Z start"}, "2026-11-26T12:15:03Z", TooLong, "2026-11-26T12:15:03Z"},
		{"one that was, by its name", bounded, []string{"2026-11-26T12:00:00Z success a", "2026-11-26T12:03:00Z start a"}, "2026-11-26T12:30:00Z", Well, "2026-11-26T13:10:00Z"},
		{"two runs at once", bounded, []string{"2026-11-26T12:00:00Z start a", "2026-11-26T12:05:00Z start b", "2026-11-26T12:06:00Z success a"}, "2026-11-26T12:20:00Z", TooLong, "2026-11-26T12:20:00Z"},
	} {
		s, now := parse(t, c.e), at(t, c.at)
		st := s.Judge(said(t, c.said...), nil, now)
		moment := st.Due
		if st.Kind.Bad() {
			moment = st.Since
		}
		got := ""
		if !moment.IsZero() {
			got = moment.UTC().Format(time.RFC3339)
		}
		want := ""
		if c.moment != "" {
			want = at(t, c.moment).UTC().Format(time.RFC3339)
		}
		if st.Kind != c.want || got != want {
			t.Errorf("%s: it is %d at %q, want %d at %q", c.name, st.Kind, got, c.want, want)
		}
		if text := s.Tell(st, said(t, c.said...)); (text.En != "") != st.Kind.Bad() || (text.Ar == "") != (text.En == "") {
			t.Errorf("%s: told is %+v", c.name, text)
		}
	}
}

// What should have come while nobody could hear it is unknown, until the next turn.
func TestWhatNobodyCouldHearIsNotOverdue(t *testing.T) {
	t.Parallel()
	span := func(from, until string) timeline.Spans {
		return timeline.Of(timeline.Between(at(t, from), at(t, until)))
	}
	hourly := Expectation{Every: time.Hour, Grace: 10 * time.Minute}
	bounded := Expectation{Every: time.Hour, Grace: 10 * time.Minute, MaxRuntime: 15 * time.Minute}
	for _, c := range []struct {
		name    string
		e       Expectation
		said    string
		unknown timeline.Spans
		at      string
		want    Kind
	}{
		{"a gap around the turn", hourly, "2026-11-26T12:00:00Z success", span("2026-11-26T12:58:00Z", "2026-11-26T13:01:00Z"), "2026-11-26T13:30:00Z", Unheard},
		{"but the next one counts", hourly, "2026-11-26T12:00:00Z success", span("2026-11-26T12:58:00Z", "2026-11-26T13:01:00Z"), "2026-11-26T14:11:00Z", Overdue},
		{"a gap before", hourly, "2026-11-26T12:00:00Z success", span("2026-11-26T12:05:00Z", "2026-11-26T12:40:00Z"), "2026-11-26T13:30:00Z", Overdue},
		{"a gap after", hourly, "2026-11-26T12:00:00Z success", span("2026-11-26T13:11:00Z", "2026-11-26T14:40:00Z"), "2026-11-26T15:00:00Z", Overdue},
		{"a gap of days", hourly, "2026-11-26T12:00:00Z success", span("2026-11-26T12:30:00Z", "2026-11-29T12:00:00Z"), "2026-11-29T12:30:00Z", Unheard},
		{"one that isn't over", hourly, "2026-11-26T12:00:00Z success", timeline.Of(timeline.Since(at(t, "2026-11-26T12:30:00Z"))), "2027-11-29T12:30:00Z", Unheard},
		{"a night that nobody heard", nightly, "2026-11-25T02:31:00+01:00 success", span("2026-11-26T02:00:00+01:00", "2026-11-26T04:00:00+01:00"), "2026-11-26T12:00:00+01:00", Unheard},
		{"the night after", nightly, "2026-11-25T02:31:00+01:00 success", span("2026-11-26T02:00:00+01:00", "2026-11-26T04:00:00+01:00"), "2026-11-27T02:40:00+01:00", Overdue},
		{"a gap that was over at its turn", nightly, "2026-11-25T02:31:00+01:00 success", span("2026-11-26T02:25:00+01:00", "2026-11-26T02:29:00+01:00"), "2026-11-26T02:41:00+01:00", Overdue},
		{"the end of a run", bounded, "2026-11-26T12:00:00Z start", span("2026-11-26T12:10:00Z", "2026-11-26T12:11:00Z"), "2026-11-26T12:20:00Z", Unheard},
		{"what came after it", bounded, "2026-11-26T12:00:00Z start", span("2026-11-26T12:10:00Z", "2026-11-26T12:11:00Z"), "2026-11-26T13:21:00Z", Overdue},
		{"a failure that was heard", hourly, "2026-11-26T12:00:00Z fail", span("2026-11-26T12:58:00Z", "2026-11-26T13:01:00Z"), "2026-11-26T13:30:00Z", Failed},
	} {
		r := said(t, c.said)
		st := parse(t, c.e).Judge(r, c.unknown, at(t, c.at))
		if st.Kind != c.want {
			t.Errorf("%s: it is %d (%+v), want %d", c.name, st.Kind, st, c.want)
		}
		if text := parse(t, c.e).Tell(st, r).En; strings.Contains(text, "0001") {
			t.Errorf("%s: told is %s", c.name, text)
		}
	}
}

func TestAnotherScheduleMakesNothingOverdueAtOnce(t *testing.T) {
	t.Parallel()
	daily, hourly := parse(t, Expectation{Every: 24 * time.Hour}), parse(t, Expectation{Every: time.Hour, Grace: time.Minute})
	r := said(t, "2026-11-26T00:00:00Z success")
	now := at(t, "2026-11-26T12:00:00Z")
	if !r.Expect(daily, now) || !r.Since.IsZero() || r.Expect(daily, now) {
		t.Errorf("the first schedule has a beginning: %+v", r)
	}
	if !r.Expect(hourly, now) {
		t.Error("it isn't another one")
	}
	if st := hourly.Judge(r, nil, now); st.Kind != Well || !st.Due.Equal(now.Add(61*time.Minute)) {
		t.Errorf("it is %+v", st)
	}
}

func TestAClockThatWasSetBackDelaysNothing(t *testing.T) {
	t.Parallel()
	hourly := parse(t, Expectation{Every: time.Hour, Grace: time.Minute})
	now := at(t, "2026-11-25T12:00:00Z")
	r := said(t, "2026-11-26T12:00:00Z success").Before(now)
	if st := hourly.Judge(r, nil, now); st.Kind != Well || !st.Due.Equal(now.Add(61*time.Minute)) {
		t.Errorf("it is %+v", st)
	}
	if again := r.Before(now.Add(time.Hour)); !again.Good.Equal(now) {
		t.Errorf("it counts from %s", again.Good)
	}
}

func TestAGraceSuitsTheSchedule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    Expectation
		want time.Duration
	}{
		{Expectation{Every: time.Minute}, time.Minute},
		{Expectation{Every: time.Hour}, 12 * time.Minute},
		{Expectation{Every: 24 * time.Hour}, time.Hour},
		{Expectation{Cron: "*/5 * * * *"}, time.Minute},
		{Expectation{Cron: "0 3 * * *"}, time.Hour},
		{Expectation{Cron: "0 3 * * *", Grace: 5 * time.Second}, 5 * time.Second},
	} {
		if got := parse(t, c.e).Grace; got != c.want {
			t.Errorf("%+v: %s, want %s", c.e, got, c.want)
		}
	}
}

func TestExpectationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e   Expectation
		key string
	}{
		{Expectation{}, "every: "},
		{Expectation{Every: time.Second}, "every: "},
		{Expectation{Every: 10_000 * time.Hour}, "every: "},
		{Expectation{Every: time.Hour, Cron: "0 3 * * *"}, "cron: "},
		{Expectation{Every: time.Hour, Timezone: "UTC"}, "timezone: "},
		{Expectation{Cron: "0 3 * * *", Timezone: "Local"}, "timezone: "},
		{Expectation{Cron: "0 3 * * *", Timezone: "../etc/passwd"}, "timezone: "},
		{Expectation{Cron: "0 3 * * *", Timezone: "Mars/Base"}, "timezone: "},
		{Expectation{Cron: "0 0 31 2 *"}, "cron: "},
		{Expectation{Cron: "TZ=UTC 0 3 * * *"}, "cron: "},
		{Expectation{Cron: "every day"}, "cron: "},
		{Expectation{Every: time.Hour, Grace: -time.Second}, "grace: "},
		{Expectation{Every: time.Hour, MaxRuntime: 1000 * time.Hour}, "max_runtime: "},
	} {
		if err := c.e.Check(); err == nil || !strings.HasPrefix(err.Error(), c.key) {
			t.Errorf("%+v: %v", c.e, err)
		}
	}
}

func TestTheNextTurnsShowWhereClocksAreChanged(t *testing.T) {
	t.Parallel()
	s := parse(t, nightly)
	for _, c := range []struct{ from, want string }{
		{"2027-03-26T12:00:00Z", "27 02:30 +0100 0s, 28 03:00 +0200 1h0m0s, 29 02:30 +0200 0s, 30 02:30 +0200 0s, 31 02:30 +0200 0s"},
		{"2026-10-23T12:00:00Z", "24 02:30 +0200 0s, 25 02:30 +0200 0s, 26 02:30 +0100 -1h0m0s, 27 02:30 +0100 0s, 28 02:30 +0100 0s"},
	} {
		var got []string
		for _, turn := range s.Turns(at(t, c.from), 5) {
			got = append(got, turn.At.Format("02 15:04 -0700 ")+turn.Shift.String())
		}
		if got := strings.Join(got, ", "); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	change, first, ok := s.ClockChange(at(t, "2026-11-26T12:00:00Z"))
	if !ok || !change.Equal(at(t, "2027-03-28T01:00:00Z")) || !first.At.Equal(change) || first.Shift != time.Hour {
		t.Errorf("clocks are changed at %s, %+v, %v", change, first, ok)
	}
	if at, _, ok := parse(t, Expectation{Cron: "0 3 * * *", Timezone: "Asia/Riyadh"}).ClockChange(at(t, "2026-11-26T12:00:00Z")); ok {
		t.Errorf("clocks of Riyadh are changed at %s", at)
	}
	if _, _, ok := parse(t, Expectation{Cron: "0 3 * * *"}).ClockChange(time.Now()); ok {
		t.Error("those of UTC are")
	}
	if turns := parse(t, Expectation{Every: time.Hour}).Turns(time.Now(), 5); turns != nil {
		t.Errorf("turns of what comes every hour: %v", turns)
	}
}

func TestATimeZoneIsLearnedFromPings(t *testing.T) {
	t.Parallel()
	summer := []string{"2026-07-01T%s", "2026-07-02T%s", "2026-07-03T%s", "2026-07-04T%s"}
	on := func(days []string, times ...string) (lines []string) {
		for i, day := range days {
			lines = append(lines, strings.Replace(day, "%s", times[i%len(times)], 1))
		}
		return lines
	}
	for _, c := range []struct {
		name           string
		cron, timezone string
		said           []string
		want           string
	}{
		{"London by UTC", "20 1 * * *", "Europe/London", append(on(summer[:3], "01:20:04Z start"), "2026-07-03T01:55:00Z success", "2026-07-04T01:20:02Z success"), "UTC"},
		{"UTC by Berlin", "20 3 * * *", "", on(summer, "01:20:04Z success"), "Europe/Berlin"},
		{"New York by Kolkata", "0 9 * * *", "America/New_York", on(summer, "03:30:01Z success"), "Asia/Kolkata"},
		{"as the schedule has it", "20 3 * * *", "Europe/Berlin", on(summer, "01:20:04Z success"), ""},
		{"too few to tell", "20 1 * * *", "Europe/London", on(summer[:2], "01:20:04Z success"), ""},
		{"once it was right", "20 1 * * *", "Europe/London", on(summer, "01:20:04Z success", "00:20:03Z success"), ""},
		{"at any time", "20 1 * * *", "Europe/London", on(summer, "01:20:04Z success", "07:43:00Z success", "15:10:00Z success"), ""},
		{"every hour is so in each zone", "20 * * * *", "Europe/London", on(summer, "01:20:04Z success"), ""},
		// Until 25 October both are alike, and then only one of them is.
		{"Berlin and not Lagos", "20 3 * * *", "", []string{"2026-10-24T01:20:01Z success", "2026-10-25T02:20:01Z success", "2026-10-26T02:20:01Z success"}, "Europe/Berlin"},
	} {
		s := parse(t, Expectation{Cron: c.cron, Timezone: c.timezone})
		got := ""
		if zone, _, ok := s.Elsewhere(said(t, c.said...)); ok {
			got = zone.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for _, name := range zones {
		if _, err := time.LoadLocation(name); err != nil {
			t.Error(err)
		}
	}
}

func TestARecordIsBounded(t *testing.T) {
	t.Parallel()
	var r Record
	now := at(t, "2026-11-26T12:00:00Z")
	for i := range 200 {
		run := strings.Repeat("x", i%64+1) + string(rune('a'+i%26))
		r.Take(Ping{At: docstore.At(now), Signal: Start, Run: run})
		if i%3 == 0 {
			r.Take(Ping{At: docstore.At(now), Signal: Fail, Run: run})
		}
	}
	if len(r.Pings) != MaxPings || len(r.Running) > maxRunning || len(r.Over) > maxOver || r.Last().Seq != r.Seq {
		t.Errorf("%d pings, %d runs, %d that are over", len(r.Pings), len(r.Running), len(r.Over))
	}
}

// Whatever is said and unknown: a judgement ends, is told in both languages, and what it waits
// for is yet to come.
func FuzzJudge(f *testing.F) {
	f.Add(int64(3600), int64(600), int64(0), []byte{0, 1, 2, 3, 60, 200}, int64(90_000))
	f.Add(int64(86_400), int64(1), int64(60), []byte{1, 255, 255, 7, 2, 2}, int64(900_000))
	start := time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, every, grace, most int64, script []byte, later int64) {
		e := Expectation{Every: time.Duration(every) * time.Second, Grace: time.Duration(grace) * time.Second, MaxRuntime: time.Duration(most) * time.Second}
		if every%2 == 0 {
			e.Every, e.Cron, e.Timezone = 0, "30 2 * * *", "Europe/Berlin"
		}
		if e.Check() != nil || len(script) > 300 {
			return
		}
		s := parse(t, e)
		var r Record
		var unknown timeline.Spans
		now := start
		for _, b := range script {
			now = now.Add(time.Duration(b) * 10 * time.Minute)
			switch signals := []Signal{Start, Success, Fail}; {
			case b%4 == 3:
				unknown = unknown.Or(timeline.Between(now, now.Add(time.Duration(b)*time.Minute)))
			default:
				r.Take(Ping{At: docstore.At(now), Signal: signals[b%4]})
			}
		}
		now = now.Add(time.Duration(later%10_000_000) * time.Second)
		r = r.Before(now)
		st := s.Judge(r, unknown, now)
		if !st.Due.IsZero() && !st.Due.After(now) || st.Kind.Bad() && st.Since.After(now) {
			t.Fatalf("at %s it is %+v", now, st)
		}
		if (s.Tell(st, r) == language.Text{}) == st.Kind.Bad() {
			t.Fatalf("%+v is told as %+v", st, s.Tell(st, r))
		}
		s.Elsewhere(r)
	})
}
