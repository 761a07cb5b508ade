package heartbeat

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"manus/internal/cron"
	"manus/internal/timeline"
)

// Expectation is when a job is to report, as manus.yaml has it.
type Expectation struct {
	// Every is how long after a success the next is expected; or else Cron is the line of a
	// crontab by the clocks of Timezone, UTC where that is empty.
	Every          time.Duration
	Cron, Timezone string
	// Grace is by how much it may be late; zero for what suits the schedule.
	Grace time.Duration
	// MaxRuntime is how long a run may take; zero for until its next turn is overdue.
	MaxRuntime time.Duration
}

// Bounds of an expectation.
const (
	minEvery   = 30 * time.Second
	maxEvery   = 366 * 24 * time.Hour
	minGrace   = time.Second
	maxGrace   = 31 * 24 * time.Hour
	usualGrace = time.Hour // at most, see Parse
)

// Schedule is an expectation, ready to be asked. It is safe for concurrent use.
type Schedule struct {
	Expectation
	cron *cron.Schedule // nil where it reports every so often
	// shortest is the shortest time between two turns, of many.
	shortest time.Duration
}

// Check says all that is wrong with an expectation, in a line each that begins with the key.
func (e Expectation) Check() error {
	err := (&Schedule{Expectation: e}).parseTurns()
	problems := []error{err}
	add := func(wrong bool, sentence string) {
		if wrong {
			problems = append(problems, errors.New(sentence))
		}
	}
	add(err == nil && e.Cron == "" && (e.Every < minEvery || e.Every > maxEvery), "every: use from 30s to 8784h")
	add(e.Grace != 0 && (e.Grace < minGrace || e.Grace > maxGrace), "grace: use from 1s to 744h")
	add(e.MaxRuntime != 0 && (e.MaxRuntime < minGrace || e.MaxRuntime > maxGrace), "max_runtime: use from 1s to 744h")
	return errors.Join(problems...)
}

// Parse reads an expectation; the error begins with the key. Where Grace is zero it is a fifth of
// the time between two turns, from a minute to an hour.
func (e Expectation) Parse() (*Schedule, error) {
	s := &Schedule{Expectation: e}
	if err := s.parseTurns(); err != nil {
		return nil, err
	}
	s.shortest = s.shortestBetween()
	if s.Grace == 0 {
		s.Grace = min(max(time.Minute, s.shortest/5), usualGrace).Truncate(time.Second)
	}
	return s, nil
}

// parseTurns reads when the job's turns are.
func (s *Schedule) parseTurns() error {
	switch e := s.Expectation; {
	case e.Every != 0 && e.Cron != "":
		return errors.New("cron: give either every or cron, as the two say when a ping is expected")
	case e.Cron == "" && e.Timezone != "":
		return errors.New("timezone: is of cron; without it a ping is expected so long after the last")
	case e.Every <= 0 && e.Cron == "":
		return errors.New("every: say when a ping is expected: every 1h, or by cron")
	case e.Cron == "":
		return nil
	}
	zone, err := zoneOf(s.Timezone)
	if err != nil {
		return err
	}
	parsed, err := cron.Parse("CRON_TZ=UTC " + s.Cron)
	if err != nil {
		return fmt.Errorf("cron: %w; it is like '0 3 * * *', and its time zone stands in timezone", err)
	}
	s.cron = parsed.In(zone)
	return nil
}

// zoneOf is a time zone by its name; UTC where that is empty.
func zoneOf(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(cmp.Or(name, "UTC"))
	if err != nil || name == "Local" {
		return nil, errors.New("timezone: use a name of the time zone database, such as Europe/Berlin")
	}
	return zone, nil
}

// Zone is the one whose clocks the schedule goes by.
func (s *Schedule) Zone() *time.Location {
	if s.cron == nil {
		return time.UTC
	}
	return s.cron.Zone()
}

// IsCron tells whether the job has turns by the clock, and doesn't just report every so often.
func (s *Schedule) IsCron() bool { return s.cron != nil }

// String is the schedule as people read it.
func (s *Schedule) String() string {
	if s.cron != nil {
		return s.Cron + " " + s.Zone().String()
	}
	return "every " + s.Every.String()
}

// next is the first turn after a moment.
func (s *Schedule) next(after time.Time) time.Time {
	if s.cron == nil {
		return after.Add(s.Every)
	}
	return s.cron.Next(after)
}

// shortestBetween is the shortest time between two of the turns of some time.
func (s *Schedule) shortestBetween() time.Duration {
	if s.cron == nil {
		return s.Every
	}
	shortest := maxEvery
	turn := s.next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) // any time
	for range 40 {
		next := s.next(turn)
		shortest, turn = min(shortest, next.Sub(turn)), next
	}
	return shortest
}

// afterPing is the turn that is expected next after a ping. One that comes a little before
// its turn is that turn's: by not more than the grace, nor than half of the time between turns.
func (s *Schedule) afterPing(at time.Time) time.Time {
	turn := s.next(at)
	if s.cron == nil {
		return turn
	}
	if turn.Sub(at) <= s.early() {
		return s.next(turn)
	}
	return turn
}

// early is how long before its turn a ping counts for that.
func (s *Schedule) early() time.Duration { return min(s.Grace, s.shortest/2) }

// Kind is how a job is.
type Kind int

// The kinds.
const (
	Unheard Kind = iota // nothing is known of it, or not whether it has reported when it should
	Well                // its last run ended well, and the next isn't overdue
	Running             // a run is under way, and may still take time
	Overdue             // it hasn't reported when it should
	Failed              // it said that it failed
	TooLong             // a run hasn't ended when it should
)

// Bad tells whether something is to be done about it.
func (k Kind) Bad() bool { return k >= Overdue }

// Standing is how a job is at a moment.
type Standing struct {
	Kind Kind
	// Since is when it became overdue, failed, or began to run.
	Since time.Time
	// Expected is the turn that comes next, or that it is overdue since.
	Expected time.Time
	// Due is when it will be overdue, or too long, if nothing comes; zero where nothing is
	// awaited.
	Due time.Time
}

// Judge says how a job is at a moment. What should have come at an unknown time may have come
// to nobody, and isn't overdue.
func (s *Schedule) Judge(r Record, unknown timeline.Spans, now time.Time) Standing {
	if r.Failed {
		return Standing{Kind: Failed, Since: r.Ended.Time}
	}
	var waits Standing
	if !r.Good.IsZero() {
		base := r.Good.Time
		if r.Since.After(base) {
			base = r.Since.Time
		}
		waits = s.wait(base, true, unknown, now)
	}
	if len(r.Running) == 0 {
		return waits
	}
	began := r.Running[0].At.Time
	if waits.Kind == Overdue && !began.Before(waits.Since) { // a start that is late itself excuses nothing
		return waits
	}
	limit := s.limit(began)
	if now.Before(limit) {
		return Standing{Kind: Running, Since: began, Due: limit}
	}
	if until, lost := lastIn(unknown, began, limit, now); lost {
		return s.wait(until, false, unknown, now)
	}
	return Standing{Kind: TooLong, Since: limit}
}

// lastIn is the end of the last of the spans that have a part between two moments, and not later
// than now.
func lastIn(spans timeline.Spans, from, until, now time.Time) (end time.Time, any bool) {
	window := timeline.Between(from, until)
	for _, span := range slices.Backward(spans) {
		if !span.Within(window).IsEmpty() {
			return time.UnixMilli(min(span.Until, now.UnixMilli())), true
		}
	}
	return time.Time{}, false
}

// limit is when a run has to have ended.
func (s *Schedule) limit(began time.Time) time.Time {
	if s.MaxRuntime > 0 {
		return began.Add(s.MaxRuntime)
	}
	return s.afterPing(began).Add(s.Grace)
}

// wait is how a job is that isn't running, and was last heard at a moment; or at which it
// began to be listened for.
func (s *Schedule) wait(base time.Time, heard bool, unknown timeline.Spans, now time.Time) Standing {
	for {
		turn := s.next(base)
		if heard {
			turn = s.afterPing(base)
		}
		if turn.IsZero() {
			return Standing{Kind: Unheard}
		}
		due := turn.Add(s.Grace)
		if now.Before(due) {
			kind := Unheard
			if heard {
				kind = Well
			}
			return Standing{Kind: kind, Expected: turn, Due: due}
		}
		from := turn.Add(-s.early())
		if !heard && from.Before(base) {
			from = base
		}
		until, lost := lastIn(unknown, from, due, now)
		if !lost {
			return Standing{Kind: Overdue, Since: due, Expected: turn}
		}
		base, heard = until, false // it may have come then, and the next turn will tell
	}
}
