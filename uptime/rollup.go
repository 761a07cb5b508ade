package uptime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/internal/sketch"
	"manus/internal/timeline"
)

// Results are kept one by one for two days. What stays of them is rolled up, by hour and by
// day: how many looks there were, and a sketch of how long those took that found a monitor up.
//
// The results are the truth: an hour of them is marked while it isn't rolled up as it is, and
// what is rolled up of it is worked out anew from all of them. So it may be done again, after a
// kill or by two copies at once, and results that come late have their hour be rolled up once
// more. An hour only ever grows, so of two that roll it up the one that has read more bytes of it has it
// right.

// rolled is what is kept of the looks of a time.
type rolled struct {
	// Bytes are those of the results it is made of.
	Bytes   int64  `json:"b"`
	Up      int64  `json:"u,omitempty"`
	Down    int64  `json:"d,omitempty"`
	Unknown int64  `json:"n,omitempty"`
	Latency []byte `json:"s,omitempty"` // a sketch, of those that are up and took any time
}

// rolledHour is an hour of a day.
type rolledHour struct {
	Hour  int64  `json:"h"`
	Looks rolled `json:"l"`
}

// rolledHours are those of a monitor and a day in UTC.
type rolledHours struct {
	ID    string        `json:"_id"` // see dayID
	At    docstore.Time `json:"at"`  // when the day began
	Hours []rolledHour  `json:"hours"`
}

// DocumentID is the monitor's id and the day.
func (h rolledHours) DocumentID() string { return h.ID }

// rolledDay is what is left of a day when its hours are gone, and its outages may be.
type rolledDay struct {
	ID    string        `json:"_id"` // see dayID
	At    docstore.Time `json:"at"`  // when the day began
	Looks rolled        `json:"looks"`
	// How it was when that was written, in milliseconds.
	Known   int64 `json:"known"`
	Down    int64 `json:"down,omitempty"`
	Unknown int64 `json:"unknown,omitempty"`
}

// DocumentID is the monitor's id and the day.
func (d rolledDay) DocumentID() string { return d.ID }

var (
	rolledHoursSpec = docstore.Spec{Collection: "monitor_hours", Of: rolledHours{}, Transient: true, Indexes: []docstore.Index{{Name: byAt, Fields: []string{"at"}}}}
	rolledDaysSpec  = docstore.Spec{Collection: "monitor_days", Of: rolledDay{}, Transient: true, Indexes: []docstore.Index{{Name: byAt, Fields: []string{"at"}}}}
)

const (
	aDay = 24 * time.Hour
	// hoursFor and daysFor are for how long what is rolled up is kept.
	hoursFor = 90 * aDay
	daysFor  = 400 * aDay

	// rollUpEvery is how often hours that are over are rolled up, and rollUpTogether how many at
	// a time: those of 10,000 monitors take ten minutes of each hour.
	rollUpEvery    = 10 * time.Second
	rollUpTogether = 200
	// rollUpAfter is how long after its end an hour is, as its last results are in it by then.
	rollUpAfter = recentFor + time.Minute
)

func dayID(monitor string, at time.Time) string {
	return fmt.Sprintf("%s/%07d", monitor, at.Unix()/int64(aDay/time.Second))
}

// add adds its latencies to a sketch. What can't be read is left out.
func (r rolled) add(to sketch.Sketch) { _ = to.Merge(r.Latency) }

// rollUp is what is kept of an hour's results, whose latencies it adds to a sketch. An error
// tells of those that can't be read, and are left out.
func (h hour) rollUp(latency sketch.Sketch) (rolled, error) {
	results, err := h.results()
	r := rolled{Bytes: int64(len(h.Packed))}
	for _, one := range results {
		switch {
		case one.Place != "": // figures are of what is seen from here
		case one.Unknown:
			r.Unknown++
		case one.Up:
			if r.Up++; one.Total > 0 { // what a heartbeat says took no time
				latency.Observe(time.Duration(one.Total * float64(time.Millisecond)))
			}
		default:
			r.Down++
		}
	}
	return r, err
}

// put has an hour be in its day, unless more of it is there already.
func (h *rolledHours) put(one rolledHour) {
	i, there := slices.BinarySearchFunc(h.Hours, one.Hour, func(r rolledHour, hour int64) int { return int(r.Hour - hour) })
	switch {
	case !there:
		h.Hours = slices.Insert(h.Hours, i, one)
	case h.Hours[i].Looks.Bytes <= one.Looks.Bytes:
		h.Hours[i] = one
	}
}

// day is what is kept of all hours together. What can't be read of them is left out.
func (h rolledHours) day() rolledDay {
	d := rolledDay{ID: h.ID, At: h.At}
	latency := sketch.New()
	for _, one := range h.Hours {
		d.Looks.Bytes += one.Looks.Bytes
		d.Looks.Up += one.Looks.Up
		d.Looks.Down += one.Looks.Down
		d.Looks.Unknown += one.Looks.Unknown
		one.Looks.add(latency)
	}
	if latency.Count() > 0 {
		d.Looks.Latency = latency.Bytes()
	}
	return d
}

// rollUps rolls up what is over until ctx ends, a little at a time.
func (s *Service) rollUps(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := s.rollUp(ctx); err != nil && ctx.Err() == nil {
			s.c.Log.WarnContext(ctx, "results of monitors can't be rolled up; it will be tried again", "error", err)
		}
		pause(ctx, rollUpEvery)
	}
}

// rollUp rolls up some of the hours that are over, the oldest first, and says how many. Errors
// are the store's.
func (s *Service) rollUp(ctx context.Context) (int, error) {
	now := s.c.Now()
	return s.rollUpBefore(ctx, now, now)
}

// rollUpBefore is rollUp of hours that were over at a moment.
func (s *Service) rollUpBefore(ctx context.Context, moment, now time.Time) (int, error) {
	over := docstore.At(moment.Add(-time.Hour - rollUpAfter))
	raw, _, err := s.hours.Find(ctx, docstore.Query{Index: byUnrolled, Until: over, Limit: rollUpTogether})
	if err != nil || len(raw) == 0 {
		return 0, err
	}
	days := s.rolledUp(ctx, raw)
	if err := s.keepHours(ctx, days); err != nil {
		return 0, err
	}
	if err := s.keepDays(ctx, days, now); err != nil {
		return 0, err
	}
	return len(raw), s.unmark(ctx, raw)
}

// rolledUp are hours as they are to be kept, by the ids of their days.
func (s *Service) rolledUp(ctx context.Context, raw []hour) map[string]*rolledHours {
	days := map[string]*rolledHours{}
	for _, h := range raw {
		latency := sketch.New()
		one, err := h.rollUp(latency)
		if err != nil {
			s.c.Log.WarnContext(ctx, "results of a monitor can't be read", "hour", h.ID, "error", err)
		}
		if latency.Count() > 0 {
			one.Latency = latency.Bytes()
		}
		monitor, _, _ := strings.Cut(h.ID, "/")
		id := dayID(monitor, h.At.Time)
		if days[id] == nil {
			days[id] = &rolledHours{ID: id, At: docstore.At(h.At.Truncate(aDay))}
		}
		days[id].put(rolledHour{int64(h.At.UTC().Hour()), one})
	}
	return days
}

// keepHours adds hours to what is kept of their days, which they are then. Errors are the
// store's.
func (s *Service) keepHours(ctx context.Context, days map[string]*rolledHours) error {
	var changes []docstore.Change
	for _, some := range days {
		added := some.Hours
		change, err := s.rolledHours.UpsertChange(rolledHours{ID: some.ID, At: some.At}, some, func(h *rolledHours, _ bool) error {
			for _, one := range added {
				h.put(one)
			}
			return nil
		})
		if err != nil {
			return err
		}
		changes = append(changes, change)
	}
	return errors.Join(s.c.Store.Batch(ctx, changes)...)
}

// keepDays has days be what their hours are together, and how they were up to a moment. Errors
// are the store's.
func (s *Service) keepDays(ctx context.Context, days map[string]*rolledHours, now time.Time) error {
	figures, err := s.figuresOf(ctx, days, now)
	if err != nil {
		return err
	}
	var changes []docstore.Change
	for _, hours := range days {
		day, f := hours.day(), figures[hours.ID]
		day.Known, day.Down, day.Unknown = f.Known.Milliseconds(), f.Down.Milliseconds(), f.Unknown.Milliseconds()
		change, err := s.rolledDays.UpsertChange(day, new(rolledDay), func(d *rolledDay, there bool) error {
			if there && d.Looks.Bytes > day.Looks.Bytes { // another copy knows more
				return docstore.ErrUnchanged
			}
			*d = day
			return nil
		})
		if err != nil {
			return err
		}
		changes = append(changes, change)
	}
	return errors.Join(s.c.Store.Batch(ctx, changes)...)
}

// figuresOf are those of days up to a moment, by their ids. Errors are the store's.
func (s *Service) figuresOf(ctx context.Context, days map[string]*rolledHours, now time.Time) (map[string]timeline.Figure, error) {
	var ids []string
	for id := range days {
		monitor, _, _ := strings.Cut(id, "/")
		ids = append(ids, monitor)
	}
	slices.Sort(ids)
	states, err := s.states.GetAll(ctx, slices.Compact(ids)...)
	if err != nil {
		return nil, err
	}
	j, err := s.journal(ctx)
	if err != nil {
		return nil, err
	}
	gaps := j.unknown(now)
	figures := make(map[string]timeline.Figure, len(days))
	for id, day := range days {
		monitor, _, _ := strings.Cut(id, "/")
		window := timeline.Between(day.At.Time, day.At.Add(aDay)).Within(timeline.Span{Until: now.UnixMilli()})
		figures[id] = states[monitor].history(gaps.Within(window), s.c.Planned(ctx, monitor, window)).Figure(window)
	}
	return figures, nil
}

// unmark notes that hours are rolled up, but for those that have got more results since.
// Errors are the store's.
func (s *Service) unmark(ctx context.Context, raw []hour) error {
	var changes []docstore.Change
	for _, h := range raw {
		change, err := s.hours.UpsertChange(h, new(hour), func(now *hour, there bool) error {
			if !there || len(now.Packed) != len(h.Packed) { // it was swept, or has more
				return docstore.ErrUnchanged
			}
			now.Unrolled = docstore.Time{}
			return nil
		})
		if err != nil {
			return err
		}
		changes = append(changes, change)
	}
	return errors.Join(s.c.Store.Batch(ctx, changes)...)
}

// sweepRolled rolls up what is left of hours that are about to be swept, and removes what is
// older than it is kept. Errors are the store's.
func (s *Service) sweepRolled(ctx context.Context, now time.Time) error {
	for {
		if n, err := s.rollUpBefore(ctx, now.Add(-rawFor), now); err != nil {
			return err
		} else if n == 0 {
			break
		}
	}
	_, err := s.rolledHours.DeleteAll(ctx, docstore.Query{Index: byAt, Until: docstore.At(now.Add(-hoursFor - aDay)), Limit: docstore.MaxLimit})
	if err != nil {
		return err
	}
	_, err = s.rolledDays.DeleteAll(ctx, docstore.Query{Index: byAt, Until: docstore.At(now.Add(-daysFor - aDay)), Limit: docstore.MaxLimit})
	return err
}

// Latency is how long looks took that found a monitor up, in milliseconds, to one percent.
type Latency struct {
	P50, P95, P99 float64
	Count         int64 // how many they were
}

func latencyOf(s sketch.Sketch) Latency {
	return Latency{P50: s.Quantile(0.5), P95: s.Quantile(0.95), P99: s.Quantile(0.99), Count: s.Count()}
}

// part is a time of which there is a sketch, or what one is made of.
type part struct {
	at     time.Time // when it began
	length time.Duration
	add    func(to sketch.Sketch)
}

// latencies are those of Windows, each with the whole of what it begins in: an hour, or from
// 30 days on a day. Errors are the store's.
func (s *Service) latencies(ctx context.Context, monitor string, now time.Time) (map[Window]Latency, error) {
	parts, err := s.parts(ctx, monitor, now)
	if err != nil {
		return nil, err
	}
	all := sketch.New()
	found := map[Window]Latency{}
	for _, w := range Windows {
		since := now.Add(-w.Length)
		for len(parts) > 0 && parts[0].at.Add(parts[0].length).After(since) {
			parts[0].add(all)
			parts = parts[1:]
		}
		found[w.Name] = latencyOf(all)
	}
	return found, nil
}

// parts are what there is of all Windows, newest first, and each moment once: of the last day
// the results, of the last week hours, and before that days. Errors are the store's.
func (s *Service) parts(ctx context.Context, monitor string, now time.Time) (parts []part, err error) {
	query := func(since string) docstore.Query {
		return docstore.Query{From: since, Until: monitor + "0", Descending: true, Limit: docstore.MaxLimit} // "0" comes after "/"
	}
	results := now.Add(-Windows[0].Length).Truncate(time.Hour)
	for h, err := range s.hoursOf(ctx, monitor, monitor+"0") {
		if err != nil {
			return nil, err
		}
		if h.At.Before(results) {
			break
		}
		parts = append(parts, part{h.At.Time, time.Hour, func(to sketch.Sketch) { _, _ = h.rollUp(to) }})
	}
	hours := now.Add(-Windows[1].Length).Truncate(aDay)
	for day, err := range s.rolledHours.All(ctx, query(dayID(monitor, hours))) {
		if err != nil {
			return nil, err
		}
		for _, one := range slices.Backward(day.Hours) {
			if at := day.At.Add(time.Duration(one.Hour) * time.Hour); at.Before(results) {
				parts = append(parts, part{at, time.Hour, one.Looks.add})
			}
		}
	}
	days := now.Add(-Windows[len(Windows)-1].Length).Truncate(aDay)
	for day, err := range s.rolledDays.All(ctx, query(dayID(monitor, days))) {
		if err != nil {
			return nil, err
		}
		if day.At.Before(hours) {
			parts = append(parts, part{day.At.Time, aDay, day.Looks.add})
		}
	}
	return parts, nil
}

// daysKnown are those of which a state knows all outages.
const daysKnown = maxDays - 1

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// Day is how a monitor was on a day in UTC.
type Day struct {
	Date time.Time // when it began
	timeline.Figure
	// Latency is of what is rolled up: of today, of the hours that are over.
	Latency
}

// Days are those of a monitor up to today, so many and the oldest first. It returns
// ErrNoMonitor or an error of the store.
func (s *Service) Days(ctx context.Context, id string, days int) ([]Day, error) {
	set, j, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	if _, there := set.byID[id]; !there {
		return nil, ErrNoMonitor
	}
	now := s.c.Now()
	st, err := s.states.Get(ctx, id)
	if err := docstore.NotFoundAs(err, nil); err != nil {
		return nil, err
	}
	first := now.UTC().Truncate(aDay).AddDate(0, 0, 1-days)
	figures := st.history(j.unknown(now), s.c.Planned(ctx, id, timeline.Between(first, now))).ByDay(first, now)
	all := make([]Day, days)
	for i := range all {
		all[i] = Day{Date: first.AddDate(0, 0, i), Figure: figures[i]}
	}
	for day, err := range s.rolledDays.All(ctx, docstore.Query{From: dayID(id, first), Until: id + "0", Limit: docstore.MaxLimit}) {
		if err != nil {
			return nil, err
		}
		i := int(day.At.Sub(first) / aDay)
		if i >= days { // the clock was set back
			continue
		}
		latency := sketch.New()
		day.Looks.add(latency)
		if all[i].Latency = latencyOf(latency); days-i > daysKnown {
			all[i].Figure = timeline.Figure{Known: ms(day.Known), Down: ms(day.Down), Unknown: ms(day.Unknown)}
		}
	}
	return all, nil
}
