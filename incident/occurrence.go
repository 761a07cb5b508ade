package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"manus/docstore"
	"manus/internal/timeline"
)

// Stage is how far a maintenance is, by the clock.
type Stage string

// The stages.
const (
	Scheduled  Stage = "scheduled"
	InProgress Stage = "in_progress"
	Completed  Stage = "completed"
	Dropped    Stage = "cancelled" // before it began
)

// Occurrence is one time that a maintenance is on.
type Occurrence struct {
	Maintenance
	From, Until time.Time
}

// Key is the same for that time of the maintenance and no other.
func (o Occurrence) Key() string {
	if o.Rule == "" {
		return o.ID
	}
	return o.ID + "." + strconv.FormatInt(o.From.Unix(), 10)
}

// Stage is how far it is at a moment.
func (o Occurrence) Stage(now time.Time) Stage {
	switch {
	case !o.CancelledAt.IsZero() && !o.From.Before(o.CancelledAt.Time):
		return Dropped
	case now.Before(o.From):
		return Scheduled
	case now.Before(o.Until):
		return InProgress
	}
	return Completed
}

// Reached is a stage and since when.
type Reached struct {
	Stage Stage
	At    time.Time
}

// History are the stages that it has reached at a moment, the first first.
func (o Occurrence) History(now time.Time) []Reached {
	all := []Reached{{Scheduled, o.CreatedAt.Time}}
	stage := o.Stage(now)
	if stage == Dropped {
		return append(all, Reached{Dropped, o.CancelledAt.Time})
	}
	if stage != Scheduled {
		all = append(all, Reached{InProgress, o.From})
	}
	if stage == Completed {
		all = append(all, Reached{Completed, o.Until})
	}
	return all
}

// Occurrences are the times of a maintenance that are in a window in part, the first first. One
// that was cancelled before it ever began has the first that it would have had.
func (t Timed) Occurrences(from, until time.Time) (all []Occurrence) {
	if never, is := t.never(); is && never.From.Before(until) && never.Until.After(from) {
		all = append(all, never)
	}
	for _, span := range t.Whole(timeline.Between(from, until)) {
		all = append(all, t.occurrence(span))
	}
	return all
}

// never is the first time of a maintenance that was cancelled before that.
func (t Timed) never() (Occurrence, bool) {
	return Occurrence{t.Maintenance, t.StartsAt.UTC(), t.EndsAt.UTC()}, !t.CancelledAt.IsZero() && t.CancelledAt.Before(t.StartsAt.Time)
}

// Given is the first time that a maintenance doesn't come again, as it was cancelled after others; false
// where there is none, or it was cancelled so long ago that nobody looks for it.
func (t Timed) Given(now time.Time) (o Occurrence, is bool) {
	if t.Rule == "" || t.CancelledAt.IsZero() || t.CancelledAt.Before(t.StartsAt.Time) || now.Sub(t.CancelledAt.Time) >= keepNever {
		return o, false
	}
	times, err := t.work().Read(t.CancelledAt.Time)
	if err != nil { // its rule has come to its end
		return o, false
	}
	at := t.CancelledAt.Time
	if on, is := times.Next(at); is && on.From < at.UnixMilli() { // it was on, and is over since
		at = time.UnixMilli(on.Until)
	}
	span, comes := times.Next(at)
	return t.occurrence(span), comes
}

func (m Maintenance) occurrence(span timeline.Span) Occurrence {
	return Occurrence{m, time.UnixMilli(span.From).UTC(), time.UnixMilli(span.Until).UTC()}
}

// Current is the time that is on at a moment, else the next one, else the last one; false
// where it never is.
func (t Timed) Current(now time.Time) (Occurrence, bool) {
	if next, ok := t.Next(now); ok {
		return t.occurrence(next), true
	}
	if never, is := t.never(); is {
		return never, true
	}
	all := t.Occurrences(now.Add(-reach), now)
	if len(all) == 0 {
		return Occurrence{}, false
	}
	return all[len(all)-1], true
}

// At is the time of a maintenance that is on at a moment, else the first one after it; false where there is
// none. Its rule may begin later than it does.
func (m Maintenance) At(now time.Time) (Occurrence, bool) {
	times, err := m.times(now)
	if err != nil {
		return Occurrence{}, false
	}
	return Timed{m, times}.Current(now)
}

// Coming are the maintenances that weren't cancelled, each by the time that is on, else the
// next one, by when that begins; with all, those that are over too, by their last one. Errors are
// the store's.
func (s *Service) Coming(ctx context.Context, now time.Time, all bool) ([]Occurrence, error) {
	maintenances, err := s.Maintenances(ctx)
	var found []Occurrence
	for _, m := range maintenances {
		times, err := m.times(now)
		if err != nil {
			continue
		}
		if o, ok := (Timed{m, times}).Current(now); ok && (all || o.Stage(now) != Completed) {
			found = append(found, o)
		}
	}
	slices.SortStableFunc(found, func(a, b Occurrence) int { return a.From.Compare(b.From) })
	return found, err
}

// reach is how far back the last time of a maintenance is looked for.
const reach = 400 * 24 * time.Hour

// Step is something to be told of a maintenance. Of one time of it, its beginning stands in it.
type Step string

// The steps that aren't of one time.
const (
	Planned   Step = "planned"
	Cancelled Step = "cancelled"
)

// The steps that are.
const (
	soon  = "soon" // it begins within a day
	begun = "begun"
	ended = "ended"
)

func stepAt(what string, span timeline.Span) Step {
	return Step(fmt.Sprintf("%s/%d", what, span.From))
}

// Told is what a step of a maintenance says: planned, soon, begun, ended or cancelled, and of
// which time; false where it doesn't hold any more, or was taken back before anybody was told. It
// returns an error of the store.
func (s *Service) Told(ctx context.Context, id string, step Step) (what string, o Occurrence, ok bool, err error) {
	m, err := s.maintenances.Get(ctx, id)
	if err != nil {
		return "", o, false, docstore.NotFoundAs(err, nil)
	}
	times, err := m.work().Read(s.c.Now())
	if err != nil { // its rule has come to its end
		return "", o, false, nil
	}
	what, start, _ := strings.Cut(string(step), "/")
	from, err := strconv.ParseInt(start, 10, 64)
	if err != nil {
		from = max(m.StartsAt.UnixMilli(), m.CreatedAt.UnixMilli())
		if !m.CancelledAt.IsZero() { // of those before people know
			from = max(from, m.CancelledAt.UnixMilli())
		}
	}
	span, comes := times.Next(time.UnixMilli(from))
	cancelled := !m.CancelledAt.IsZero()
	switch o = m.occurrence(span); Step(what) {
	case Cancelled:
		ok = cancelled && m.CancelledAt.Sub(m.CreatedAt.Time) >= s.Telling().Together
	case Planned:
		now := s.c.Now()
		begunAlready := !o.From.After(m.CreatedAt.Time) // and nothing is told of that again
		if ok = !cancelled && now.Before(o.From); begunAlready {
			what, ok = begun, !cancelled && now.Before(o.Until)
		}
	case ended:
		ok = true
		if cancelled && m.CancelledAt.Before(o.Until) {
			o.Until = m.CancelledAt.Time
		}
	default:
		ok = !cancelled || o.From.Before(m.CancelledAt.Time)
	}
	return what, o, ok && comes, nil
}

// remindBefore is when people are reminded, unless they were told of it in the day before that.
const remindBefore = 24 * time.Hour

// due are the steps that are to be noted by now. One that came while nobody was there, and
// says nothing new any more, is left out.
func (t Timed) due(now time.Time) (steps []Step) {
	told := t.Told.Time
	is := func(at, until time.Time) bool { return at.After(told) && !at.After(now) && now.Before(until) }
	heard := t.CreatedAt.Time // what people heard last of it
	for _, span := range t.Whole(timeline.Between(told.Add(-2*remindBefore), now.Add(remindBefore+time.Second))) {
		o := t.occurrence(span)
		if at := o.From.Add(-remindBefore); is(at, o.From) && !heard.After(at.Add(-remindBefore)) {
			steps = append(steps, stepAt(soon, span))
		}
		if is(o.From, o.Until) {
			steps = append(steps, stepAt(begun, span))
		}
		if is(o.Until, o.Until.Add(remindBefore)) && t.CancelledAt.IsZero() {
			steps = append(steps, stepAt(ended, span))
		}
		heard = o.Until
	}
	return steps
}

// noteSteps notes what maintenances have begun and ended since it was looked last. Several
// copies may do it at once: each step is noted by one of them.
func (s *Service) noteSteps(ctx context.Context) error {
	all, failed := s.Planned(ctx)
	for _, t := range all {
		now := docstore.At(s.c.Now())
		if len(t.due(now.Time)) == 0 {
			continue
		}
		m, err := s.maintenances.Update(ctx, t.ID, func(m *Maintenance) error {
			steps := Timed{*m, t.Times}.due(now.Time)
			if len(steps) == 0 || m.CancelledAt != t.CancelledAt {
				return docstore.ErrUnchanged
			}
			for _, step := range steps {
				m.outbox().Note(noted{ID: docstore.NewID(), Of: string(step)}, now.Time)
			}
			m.Told = now
			return nil
		})
		s.plans.forget()
		if err == nil {
			s.steps.Send(ctx, m)
		}
		failed = errors.Join(failed, docstore.NotFoundAs(err, nil))
	}
	return failed
}

// publishStep brings a step of a maintenance to those who are to know of it.
func (s *Service) publishStep(ctx context.Context, m Maintenance, n noted) error {
	if err := s.log(ctx, n); err != nil || n.Of == "" || s.c.OnStep == nil {
		return err
	}
	return s.c.OnStep(ctx, m, Step(n.Of))
}
