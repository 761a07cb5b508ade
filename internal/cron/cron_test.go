package cron

import (
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // zones, on a machine that has none
)

func parse(t *testing.T, text string) *Schedule {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return s
}

// Debian's cron is the measure, in zones whose clocks change at two in the morning, at
// midnight, and by half an hour.
func TestClocksThatAreChanged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schedule, from, want string }{
		{"CRON_TZ=Europe/Berlin 0 2 * * *", "2026-03-28T00:30:00Z", "28 02:00 CET, 29 03:00 CEST, 30 02:00 CEST"},
		{"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T00:30:00Z", "28 02:30 CET, 29 03:00 CEST, 30 02:30 CEST"},
		{"CRON_TZ=Europe/Berlin 0,30 2,3 * * *", "2026-03-28T12:00:00Z", "29 03:00 CEST, 29 03:30 CEST, 30 02:00 CEST"},
		{"CRON_TZ=Europe/Berlin 0 2 * * 0", "2026-03-23T00:30:00Z", "29 03:00 CEST, 05 02:00 CEST, 12 02:00 CEST"},
		{"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z", "25 02:30 CEST, 26 02:30 CET, 27 02:30 CET"},
		{"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:45:00Z", "26 02:30 CET, 27 02:30 CET, 28 02:30 CET"},
		{"CRON_TZ=Europe/Berlin */30 * * * *", "2026-03-29T00:10:00Z", "29 01:30 CET, 29 03:00 CEST, 29 03:30 CEST"},
		{"CRON_TZ=Europe/Berlin 15 * * * *", "2026-03-29T00:10:00Z", "29 01:15 CET, 29 03:15 CEST, 29 04:15 CEST"},
		{"CRON_TZ=Europe/Berlin 15 * * * *", "2026-10-24T23:40:00Z", "25 02:15 CEST, 25 02:15 CET, 25 03:15 CET"},
		{"CRON_TZ=Europe/Berlin @hourly", "2026-10-24T23:40:00Z", "25 02:00 CEST, 25 02:00 CET, 25 03:00 CET"},
		{"CRON_TZ=America/New_York 0 2 * * *", "2026-03-07T12:00:00Z", "08 03:00 EDT, 09 02:00 EDT, 10 02:00 EDT"},
		{"CRON_TZ=America/New_York 30 1 * * *", "2026-10-31T12:00:00Z", "01 01:30 EDT, 02 01:30 EST, 03 01:30 EST"},
		{"CRON_TZ=Africa/Cairo @daily", "2026-04-22T12:30:00Z", "23 00:00 EET, 24 01:00 EEST, 25 00:00 EEST"},
		{"CRON_TZ=Africa/Cairo 30 23 * * *", "2026-10-28T22:00:00Z", "29 23:30 EEST, 30 23:30 EET, 31 23:30 EET"},
		{"CRON_TZ=Asia/Beirut 0 0 * * *", "2026-03-27T12:30:00Z", "28 00:00 EET, 29 01:00 EEST, 30 00:00 EEST"},
		{"CRON_TZ=America/Santiago 0 0 * * *", "2026-09-04T12:30:00Z", "05 00:00 -04, 06 01:00 -03, 07 00:00 -03"},
		{"CRON_TZ=Australia/Lord_Howe 0 2 * * *", "2026-10-02T12:30:00Z", "03 02:00 +1030, 04 02:30 +11, 05 02:00 +11"},
		{"CRON_TZ=Australia/Lord_Howe 45 1 * * *", "2026-04-03T18:00:00Z", "05 01:45 +11, 06 01:45 +1030, 07 01:45 +1030"},
	} {
		at, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for s := parse(t, c.schedule); len(got) < 3; {
			at = s.Next(at)
			got = append(got, at.Format("02 15:04 MST"))
		}
		if got := strings.Join(got, ", "); got != c.want {
			t.Errorf("%s from %s: %s, want %s", c.schedule, c.from, got, c.want)
		}
	}
}

// The seasons in which clocks are changed are gone through minute by minute, as cron's
// own loop does.
func TestSeasonsMinuteByMinute(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "America/Santiago", "Australia/Lord_Howe"} {
		for _, text := range []string{"0 2 * * *", "59 23 * * *", "*/7 0-3 * * *", "20 */4 * * *", "*/30 * * * *", "0 0 1 * 1"} {
			for _, month := range []time.Month{time.March, time.September} {
				s := parse(t, "CRON_TZ="+zone+" "+text)
				from := time.Date(2026, month, 1, 0, 0, 0, 0, s.zone)
				until := from.AddDate(0, 2, 10)
				want, got := minuteByMinute(s, from, until), []time.Time{}
				for at := s.Next(from); at.Before(until); at = s.Next(at) {
					got = append(got, at)
				}
				if !slices.EqualFunc(got, want, time.Time.Equal) {
					t.Errorf("%s in %s comes round %d times, want %d", text, zone, len(got), len(want))
				}
			}
		}
	}
}

// minuteByMinute has the moments of a schedule: those at which the clock shows a time that it
// names, or leaps over one. A clock that is put back shows nothing new until it has
// caught up; unless each hour counts, and then nothing is leapt over either.
func minuteByMinute(s *Schedule, from, until time.Time) []time.Time {
	var moments []time.Time
	shown := clockAt(from)
	next := s.fields.Next(shown)
	for at := from.Add(time.Minute); at.Before(until); at = at.Add(time.Minute) {
		clock := clockAt(at)
		if s.everyHour && !clock.Equal(shown.Add(time.Minute)) {
			next = s.fields.Next(clock.Add(-time.Minute))
		}
		shown = clock
		if clock.Before(next) {
			continue
		}
		moments = append(moments, at)
		next = s.fields.Next(clock)
	}
	return moments
}

func TestLinesThatAreTaken(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) // a Thursday
	for text, want := range map[string]string{
		"0 2 * * 7":         "2026-11-29 02:00",
		"0 2 * * 0":         "2026-11-29 02:00",
		"0 2 * * sun":       "2026-11-29 02:00",
		"0 2 * * 5-7":       "2026-11-27 02:00",
		"0 2 * feb *":       "2027-02-01 02:00",
		"0 2 1 * 1":         "2026-11-30 02:00", // either day is enough
		"0 2 29 2 *":        "2028-02-29 02:00",
		"0 2 29 2 1":        "2027-02-01 02:00",
		"*/15 9-17 * * 1-5": "2026-11-26 12:15",
		"@daily":            "2026-11-27 00:00",
		"@weekly":           "2026-11-29 00:00",
	} {
		if got := parse(t, "TZ=UTC "+text).Next(from).Format("2006-01-02 15:04"); got != want {
			t.Errorf("%q comes at %s, want %s", text, got, want)
		}
	}
	if at := parse(t, "0 2 * * *").Next(from); at.Location() != time.Local || at.Hour() != 2 {
		t.Errorf("without a zone, the machine's counts: %s", at)
	}
}

func TestLinesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "2", "0 2 * *", "* * * * * *", "61 * * * *", "0 24 * * *", "0 2 * * 8", "0 0 31 2 *", "0 0 31 4,6,9,11 *",
		"TZ=", "CRON_TZ=UTC", "CRON_TZ= 0 2 * * *", "CRON_TZ=Nowhere/At 0 2 * * *", "TZ=../../etc/passwd 0 2 * * *",
		"TZ=UTC TZ=UTC 0 2 * * *", "@every 1h", "@reboot", "0 2 * * * " + strings.Repeat(" ", 300), "0 2 * * L", "0 2 H * *",
	} {
		if s, err := Parse(text); err == nil {
			t.Errorf("%q is taken, and comes at %s", text, s.Next(time.Now()))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"0 2 * * *", "CRON_TZ=Europe/Berlin */7 0-3 1,2 feb 1-5/2", "@hourly", "TZ=Africa/Cairo 0 0 29 2 7"} {
		f.Add(text)
	}
	from := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		at := from
		for range 10 {
			next := s.Next(at)
			if next.IsZero() || !next.After(at) {
				t.Fatalf("%q comes at %s after %s", text, next, at)
			}
			at = next
		}
	})
}

func TestAWrongFieldIsNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"61 * * * *":    `"61" is no minute (0-59) as in a crontab`,
		"0 25 * * *":    `"25" is no hour (0-23) as in a crontab`,
		"0 0 32 * *":    `"32" is no day of the month (1-31) as in a crontab`,
		"0 0 * foo *":   `"foo" is no month (1-12) as in a crontab`,
		"0 0 * * */":    `"*/" is no day of the week (0-7) as in a crontab`,
		"0 0 * *":       "it isn't five fields as in a crontab",
		"0 0 * * * * *": "it isn't five fields as in a crontab",
		"@every 5m":     "it isn't five fields as in a crontab",
	} {
		if _, err := Parse(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
