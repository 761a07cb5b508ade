// Package planned says when a planned work is on: once, or again and again by a rule of
// RFC 5545 (RRULE), by the clocks of a time zone. A work that begins at 02:00 does so on the
// days too on which clocks are changed, and takes as long as ever.
//
// It knows nothing of what is worked at.
package planned

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/teambition/rrule-go"

	"manus/internal/timeline"
	"manus/internal/words"
)

// Bounds of a plan.
const (
	MaxLength = 31 * 24 * time.Hour
	maxRule   = 256
	// ahead is how far its times are known, from when it is read.
	ahead = 2 * 365 * 24 * time.Hour
	// maxTimes is a time a day, and more, for as long.
	maxTimes = 2000
	// farthest is what a year may be, as the rule's library counts up to the year 9999.
	farthest = 10 * 365 * 24 * time.Hour
)

// Work is when a work is on, as people say it.
type Work struct {
	StartsAt time.Time // the first time
	EndsAt   time.Time // of the first time
	Rule     string    // an RRULE without that word; empty for once
	Zone     string    // of the rule, such as Europe/Berlin; empty is UTC
}

// Times are when a work is on, as far ahead as is known.
type Times struct {
	spans timeline.Spans
	// Until is up to when they are known; zero where they are known for good.
	Until time.Time
}

// Check is Read for a work that is to be planned. One that begins again before it is over, and
// so on, is refused as one that is too long: nobody would hear of anything any more.
func (w Work) Check(now time.Time) (Times, error) {
	times, err := w.Read(now)
	if err == nil && slices.ContainsFunc(times.spans, func(s timeline.Span) bool { return s.Length() > MaxLength }) {
		return Times{}, errors.New("ends_at: comes after it has begun again by rrule, so it would go on for more than 31 days; say how long it takes each time")
	}
	return times, err
}

// Read works out when a plan is on, from a moment on. Its errors are fit for whoever has
// written the plan.
func (w Work) Read(now time.Time) (Times, error) {
	length := w.EndsAt.Sub(w.StartsAt)
	switch {
	case length <= 0:
		return Times{}, errors.New("ends_at: is not after starts_at")
	case length > MaxLength:
		return Times{}, errors.New("ends_at: is more than 31 days after starts_at; plan several")
	case w.StartsAt.Before(now.Add(-farthest)) || w.StartsAt.After(now.Add(farthest)):
		return Times{}, errors.New("starts_at: is more than ten years away")
	}
	zone, err := time.LoadLocation(w.Zone)
	if err != nil || w.Zone == "Local" {
		return Times{}, errors.New("timezone: is none that is known; use a name such as Europe/Berlin")
	}
	if w.Rule == "" {
		return Times{spans: timeline.Of(timeline.Between(w.StartsAt, w.EndsAt))}, nil
	}
	next, err := w.iterate(zone)
	if err != nil {
		return Times{}, err
	}
	times := Times{Until: now.Add(ahead)}
	var spans []timeline.Span
	for at, ok := next(); ok && at.Before(times.Until); at, ok = next() {
		if len(spans) == maxTimes {
			times.Until = at
			break
		}
		at = first(at)
		if end := at.Add(length); end.After(now.Add(-farthest)) {
			spans = append(spans, timeline.Between(at, end))
		}
	}
	if len(spans) == 0 {
		return Times{}, errors.New("rrule: never comes within two years")
	}
	times.spans = timeline.Of(spans...)
	return times, nil
}

// iterate goes through the times at which it begins.
func (w Work) iterate(zone *time.Location) (func() (time.Time, bool), error) {
	if len(w.Rule) > maxRule {
		return nil, fmt.Errorf("rrule: is longer than %s", words.Count(maxRule, "character"))
	}
	rule := strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(w.Rule)), "RRULE:")
	if strings.ContainsAny(rule, "\r\n") || strings.Contains(rule, "DTSTART") {
		return nil, errors.New("rrule: is one line such as FREQ=WEEKLY;BYDAY=SU; when it starts is starts_at")
	}
	option, err := rrule.StrToROptionInLocation(rule, zone)
	if err != nil {
		return nil, fmt.Errorf("rrule: write one such as FREQ=WEEKLY;BYDAY=SU: %w", err)
	}
	if option.Freq > rrule.DAILY || option.Byhour != nil || option.Byminute != nil || option.Bysecond != nil {
		return nil, errors.New("rrule: use FREQ=DAILY, WEEKLY, MONTHLY or YEARLY; the time of day is that of starts_at")
	}
	option.Dtstart = w.StartsAt.In(zone).Truncate(time.Second)
	if option.Until.IsZero() || option.Until.After(option.Dtstart.Add(3*farthest)) {
		option.Until = option.Dtstart.Add(3 * farthest) // the library goes on to the year 9999
	}
	r, err := rrule.NewRRule(*option)
	if err != nil {
		return nil, fmt.Errorf("rrule: write one such as FREQ=WEEKLY;BYDAY=SU: %w", err)
	}
	return r.Iterator(), nil
}

// first is a moment, or the one before at which clocks showed the same, where they went
// back between the two.
func first(at time.Time) time.Time {
	_, offset := at.Zone()
	_, before := at.Add(-3 * time.Hour).Zone()
	earlier := at.Add(-time.Duration(before-offset) * time.Second)
	if before > offset && earlier.Format(time.DateTime) == at.Format(time.DateTime) {
		return earlier
	}
	return at
}

// On tells whether the work is on at a moment.
func (t Times) On(at time.Time) bool {
	return len(t.Within(timeline.Span{From: at.UnixMilli(), Until: at.UnixMilli() + 1})) > 0
}

// Within are the times that are in a window, in part too.
func (t Times) Within(window timeline.Span) timeline.Spans {
	return t.Whole(window).Within(window)
}

// Whole are the times that are in a window in part, each from its beginning to its end.
func (t Times) Whole(window timeline.Span) timeline.Spans {
	first := sort.Search(len(t.spans), func(i int) bool { return t.spans[i].Until > window.From })
	last := sort.Search(len(t.spans), func(i int) bool { return t.spans[i].From >= window.Until })
	return t.spans[first:max(first, last)]
}

// Before are the times as far as they are before a moment.
func (t Times) Before(at time.Time) Times {
	return Times{spans: t.spans.Within(timeline.Span{From: math.MinInt64, Until: at.UnixMilli()})}
}

// Next is the time that is on at a moment, or else the next one; false where none comes.
func (t Times) Next(at time.Time) (timeline.Span, bool) {
	i := sort.Search(len(t.spans), func(i int) bool { return t.spans[i].Until > at.UnixMilli() })
	if i == len(t.spans) {
		return timeline.Span{}, false
	}
	return t.spans[i], true
}
