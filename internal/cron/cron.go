// Package cron says when a line of a crontab comes round, on the days too on which
// clocks are changed. It reads the five fields of crontab(5) and knows nothing of what
// is done at those times.
//
// The fields are read by a library. Time zones are ours, as no library that was tried
// has them right: robfig/cron, gronx and cronexpr leave a night out in spring,
// netresearch/go-cron does at midnight (Cairo, Beirut, Santiago) and where clocks move
// by half an hour (Lord Howe), and each but gronx comes round twice in autumn.
package cron

import (
	"errors"
	"fmt"
	"strings"
	"time"

	library "github.com/netresearch/go-cron"
)

// Schedule is a line of a crontab in a time zone. Clocks that are changed are treated as
// Debian's cron does:
//
//   - A time that is skipped comes at the moment of the change: 02:30 at 03:00.
//   - A time that is shown twice comes the first time only.
//   - A schedule for every hour (its hours begin with *) keeps to hours that pass: it
//     comes in both of the hours that are shown alike.
type Schedule struct {
	fields    *library.SpecSchedule // in UTC: a clock that is never changed
	everyHour bool
	zone      *time.Location
}

// A date of the Gregorian calendar comes round within 28 years, but for a century's
// year that isn't a leap year.
const searchedYears = 40

var parser = library.MustNewParser(library.Minute | library.Hour | library.Dom | library.Month | library.Dow |
	library.Descriptor | library.DowOrDom).WithMaxSearchYears(searchedYears)

// maxText is far more than five fields need.
const maxText = 256

// Parse reads "0 2 * * *": minute, hour, day of the month, month, day of the week (0 and
// 7 are Sunday), or @daily and the like. Where both kinds of day are given, either is
// enough, as in a crontab. Times are those of the machine, unless the text begins with
// CRON_TZ= and the name of a time zone. A day that never comes (31 February) is an error.
func Parse(text string) (*Schedule, error) {
	if len(text) > maxText {
		return nil, errors.New("it is too long")
	}
	zone, text, err := cutZone(text)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse("CRON_TZ=UTC " + text)
	fields, ok := parsed.(*library.SpecSchedule)
	if err != nil || !ok { // @every is no time of day
		return nil, wrongField(text)
	}
	s := &Schedule{fields: fields, everyHour: everyHour(text), zone: zone}
	if s.Next(time.Now()).IsZero() {
		return nil, errors.New("no day is like that")
	}
	return s, nil
}

// wrongField says which field of a line is wrong, where it is a line of five.
func wrongField(text string) error {
	fields := strings.Fields(text)
	kinds := []string{"minute (0-59)", "hour (0-23)", "day of the month (1-31)", "month (1-12)", "day of the week (0-7)"}
	for i, kind := range kinds {
		if len(fields) != len(kinds) {
			break
		}
		alone := []string{"*", "*", "*", "*", "*"}
		alone[i] = fields[i]
		if _, err := parser.Parse(strings.Join(alone, " ")); err != nil {
			return fmt.Errorf("%q is no %s as in a crontab", fields[i], kind)
		}
	}
	return errors.New("it isn't five fields as in a crontab")
}

// In is the same line by the clocks of another zone.
func (s *Schedule) In(zone *time.Location) *Schedule {
	other := *s
	other.zone = zone
	return &other
}

// Zone is the one whose clocks the schedule goes by.
func (s *Schedule) Zone() *time.Location { return s.zone }

// cutZone takes CRON_TZ= or TZ= and a zone's name off.
func cutZone(text string) (*time.Location, string, error) {
	text = strings.TrimSpace(text)
	_, rest, found := strings.Cut(text, "TZ=")
	if !found || !strings.HasPrefix(text, "CRON_TZ=") && !strings.HasPrefix(text, "TZ=") {
		return time.Local, text, nil
	}
	name, rest, _ := strings.Cut(rest, " ")
	zone, err := time.LoadLocation(name)
	if name == "" || err != nil {
		return nil, "", errors.New("there is no such time zone")
	}
	return zone, rest, nil
}

// everyHour tells whether the hours begin with a star, which is how cron tells the two
// kinds of schedules apart.
func everyHour(text string) bool {
	if strings.HasPrefix(text, "@") {
		return text == "@hourly"
	}
	return strings.HasPrefix(strings.Fields(text)[1], "*")
}

// Next is when the schedule comes round first after a moment; zero for never.
func (s *Schedule) Next(after time.Time) time.Time {
	after = after.In(s.zone)
	if s.everyHour {
		return s.nextPassing(after)
	}
	clock := clockAt(after)
	for {
		if clock = s.fields.Next(clock); clock.IsZero() {
			return clock
		}
		if at := firstShown(clock, s.zone); at.After(after) {
			return at
		}
	}
}

// nextPassing is Next where each hour that passes counts: what the clock will show is
// reckoned with today's offset, until that changes.
func (s *Schedule) nextPassing(after time.Time) time.Time {
	for {
		_, offset := after.Zone()
		next := s.fields.Next(clockAt(after))
		if next.IsZero() {
			return next
		}
		at := next.Add(-time.Duration(offset) * time.Second).In(s.zone)
		_, end := after.ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at
		}
		if s.matches(end) {
			return end
		}
		after = end
	}
}

// matches tells whether a moment is one of the schedule's.
func (s *Schedule) matches(at time.Time) bool {
	clock := clockAt(at)
	return s.fields.Next(clock.Add(-time.Second)).Equal(clock)
}

// clockAt is what the clock on the wall shows at a moment, as if it were UTC.
func clockAt(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// firstShown is the first moment at which a clock of the zone shows that time or, where
// it is skipped, a later one.
func firstShown(clock time.Time, zone *time.Location) time.Time {
	at := time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), clock.Second(), 0, zone)
	start, end := at.ZoneBounds()
	switch shown := clockAt(at); {
	case shown.After(clock):
		return start
	case shown.Before(clock):
		return end
	case start.IsZero():
		return at
	}
	_, before := start.Add(-1).Zone()
	if earlier := clock.Add(-time.Duration(before) * time.Second); earlier.Before(start) {
		return earlier.In(zone)
	}
	return at
}
