package heartbeat

import (
	"slices"
	"time"
)

// Turn is a time at which a job is expected, by the clock of its zone.
type Turn struct {
	At time.Time
	// Shift is by how much clocks were changed since the turn before: an hour in spring, and
	// less than zero in autumn.
	Shift time.Duration
}

// Turns are the next turns after a moment. Of a job that reports every so often there are none
// to be foreseen, as they follow from when it has.
func (s *Schedule) Turns(now time.Time, n int) []Turn {
	if s.cron == nil {
		return nil
	}
	var turns []Turn
	for at, before := now, offset(now.In(s.Zone())); len(turns) < n; {
		if at = s.next(at); at.IsZero() {
			break
		}
		turns = append(turns, Turn{at, offset(at) - before})
		before = offset(at)
	}
	return turns
}

func offset(at time.Time) time.Duration {
	_, seconds := at.Zone()
	return time.Duration(seconds) * time.Second
}

// ClockChange is the next time at which clocks are changed, and the first turn from then on.
func (s *Schedule) ClockChange(now time.Time) (at time.Time, turn Turn, ok bool) {
	if s.cron == nil {
		return at, turn, false
	}
	// A zone's name may change without its clocks, and its table ends in 2038.
	for _, at = now.In(s.Zone()).ZoneBounds(); offset(at) == offset(at.Add(-1)); _, at = at.ZoneBounds() {
		if at.IsZero() {
			return at, turn, false
		}
	}
	first := s.next(at.Add(-time.Nanosecond))
	return at, Turn{first, offset(at) - offset(at.Add(-1))}, !first.IsZero()
}

// What has to be known to tell a time zone from pings.
const (
	minArrivals = 3
	maxArrivals = 10
	ahead       = 2 * time.Minute // of its turn, by a clock that is fast
	behind      = 30 * time.Minute
)

// zones are those that are suggested, the first that fits: one or two of each rule by which
// clocks are changed.
var zones = []string{
	"UTC", "Europe/London", "Europe/Berlin", "Europe/Athens", "Europe/Moscow", "Africa/Cairo", "Asia/Riyadh", "Asia/Dubai", "Asia/Tehran", "Asia/Karachi",
	"Asia/Kolkata", "Asia/Kathmandu", "Asia/Dhaka", "Asia/Bangkok", "Asia/Shanghai", "Asia/Tokyo", "Australia/Adelaide", "Australia/Brisbane",
	"Australia/Sydney", "Pacific/Auckland", "America/St_Johns", "America/Halifax", "America/Sao_Paulo", "America/New_York", "America/Chicago", "America/Denver",
	"America/Phoenix", "America/Los_Angeles", "America/Anchorage", "Pacific/Honolulu", "Africa/Lagos", "Africa/Johannesburg",
}

// Elsewhere is the time zone that the pings of a job keep to where they don't keep to that of
// its schedule, and when the last came; false where they do, or that can't be told.
func (s *Schedule) Elsewhere(r Record) (zone *time.Location, last time.Time, ok bool) {
	all := s.arrivals(r)
	if s.cron == nil || len(all) < minArrivals || slices.ContainsFunc(all, s.meets) {
		return nil, last, false
	}
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			continue
		}
		there := *s
		there.cron = s.cron.In(zone)
		if !slices.ContainsFunc(all, func(at time.Time) bool { return !there.meets(at) }) {
			return zone, all[len(all)-1], true
		}
	}
	return nil, last, false
}

// arrivals are when the job reported for its last turns: at the start of a run, where that is
// told, or else at its end.
func (s *Schedule) arrivals(r Record) []time.Time {
	var all []time.Time
	for _, p := range r.Pings {
		begins := p.Signal == Start && !p.Overtaken || p.Signal != Start && p.Took == 0
		if n := len(all); begins && (n == 0 || p.At.Sub(all[n-1]) > s.shortest/2) {
			all = append(all, p.At.Time)
		}
	}
	return all[max(0, len(all)-maxArrivals):]
}

// meets tells whether a ping came at about the time of a turn.
func (s *Schedule) meets(at time.Time) bool {
	late := min(s.Grace, behind, s.shortest/4)
	turn := s.next(at.Add(-late))
	return !turn.IsZero() && !turn.After(at.Add(ahead))
}
