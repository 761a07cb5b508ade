package uptime

import (
	"context"
	"slices"
	"time"

	"manus/docstore"
	"manus/internal/timeline"
	"manus/language"
	"manus/uptime/probe"
)

// Status is how a monitor is.
type Status string

// The statuses.
const (
	Up          Status = "up"
	Down        Status = "down"
	Unknown     Status = "unknown" // it was never checked, nobody watches, or who does is cut off
	Paused      Status = "paused"
	Maintenance Status = "maintenance"
)

// Watched is a monitor with how it is and was.
type Watched struct {
	Monitor
	Origin Origin
	// Note is what an operator should know of it; empty where that is nothing.
	Note   language.Text
	Status Status
	// Since is when the status began; zero where it was never known.
	Since time.Time
	// Muted is until when nobody is told that it goes down; zero where they are.
	Muted time.Time
	// Last is the last check that there was; its time is zero where there was none.
	Last probe.Result
	// Figures are of the windows that end now.
	Figures map[Window]timeline.Figure
	// Budget is that of its SLO; nil where it has none.
	Budget *Budget
	// Latencies are of the windows too; only of a single monitor.
	Latencies map[Window]Latency
	// Beats is how a heartbeat is; nil for another monitor.
	Beats *Beats
}

// Window is a time that ends now.
type Window string

// Windows are those of which there are figures.
var Windows = []struct {
	Name   Window
	Length time.Duration
}{{"24h", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}, {"30d", 30 * 24 * time.Hour}, {"90d", 90 * 24 * time.Hour}}

// Monitors are all, in the order of their ids. Errors are the store's.
func (s *Service) Monitors(ctx context.Context) ([]Watched, error) {
	const many = 10_000 // each page looks into what was found of all
	var all []Watched
	for cursor := ""; ; {
		some, next, err := s.List(ctx, many, cursor)
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); next == "" {
			return all, nil
		}
		cursor = next
	}
}

// IDs are those of all monitors, in their order. Errors are the store's.
func (s *Service) IDs(ctx context.Context) ([]string, error) {
	set, _, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(set.ids), nil
}

// List are the monitors after a cursor, in the order of their ids, and where the next page
// begins. Only what is shown is read. Errors are the store's.
func (s *Service) List(ctx context.Context, limit int, cursor string) (all []Watched, next string, err error) {
	set, j, err := s.current(ctx)
	if err != nil {
		return nil, "", err
	}
	begin, found := slices.BinarySearch(set.ids, cursor)
	if found {
		begin++
	}
	ids := set.ids[begin:min(begin+limit, len(set.ids))]
	states, err := s.states.GetAll(ctx, ids...)
	if err != nil {
		return nil, "", err
	}
	last, err := s.latest(ctx, ids)
	if err != nil {
		return nil, "", err
	}
	monitors := make([]Monitor, len(ids))
	for i, id := range ids {
		monitors[i] = set.byID[id]
	}
	hearts, err := s.heartsOf(ctx, monitors, nil)
	if err != nil {
		return nil, "", err
	}
	now := s.c.Now()
	gaps := j.unknown(now)
	for _, id := range ids {
		w := s.show(ctx, set, id, states[id], gaps, j.Muted, now)
		w.Last = last[id]
		w.showBeats(s.beats(set.byID[id], hearts, gaps.Or(states[id].Pauses...), now))
		all = append(all, w)
	}
	if begin+len(ids) < len(set.ids) {
		next = ids[len(ids)-1]
	}
	return all, next, nil
}

// Monitor is one of them, with its last check. It returns ErrNoMonitor or an error of the
// store.
func (s *Service) Monitor(ctx context.Context, id string) (Watched, error) {
	set, j, err := s.current(ctx)
	if err != nil {
		return Watched{}, err
	}
	if _, there := set.byID[id]; !there {
		return Watched{}, ErrNoMonitor
	}
	st, err := s.states.Get(ctx, id)
	if err := docstore.NotFoundAs(err, nil); err != nil {
		return Watched{}, err
	}
	hearts, err := s.heartsOf(ctx, []Monitor{set.byID[id]}, nil)
	if err != nil {
		return Watched{}, err
	}
	now := s.c.Now()
	gaps := j.unknown(now)
	shown := s.show(ctx, set, id, st, gaps, j.Muted, now)
	last, _, err := s.Results(ctx, id, 1, "")
	if err != nil {
		return Watched{}, err
	}
	if len(last) > 0 {
		shown.Last = last[0].Result
	}
	shown.showBeats(s.beats(set.byID[id], hearts, gaps.Or(st.Pauses...), now))
	shown.Beats.learn()
	shown.Latencies, err = s.latencies(ctx, id, now)
	return shown, err
}

// show says how a monitor is now, and was; gaps are when nobody knew, and muted is up to when
// all are.
func (s *Service) show(ctx context.Context, set *set, id string, st State, gaps timeline.Spans, muted docstore.Time, now time.Time) Watched {
	m := set.byID[id]
	w := Watched{Monitor: m, Origin: set.origins[id], Note: set.notes[id], Figures: map[Window]timeline.Figure{}}
	for _, until := range []docstore.Time{st.Muted, muted} {
		if until.After(now) && until.After(w.Muted) {
			w.Muted = until.Time
		}
	}
	longest := Windows[len(Windows)-1].Length
	h := st.history(gaps, s.c.Planned(ctx, m.ID, timeline.Between(now.Add(-longest), now.Add(time.Second))))
	if m.SLO > 0 {
		w.Budget = budgetOf(h, m.SLO, st, now)
	}
	for _, window := range Windows {
		w.Figures[window.Name] = h.Figure(timeline.Between(now.Add(-window.Length), now))
	}
	w.Status, w.Since = st.status(m, gaps, h.Excused, now)
	return w
}

// status says how a monitor is, and since when.
func (st State) status(m Monitor, gaps, excused timeline.Spans, now time.Time) (Status, time.Time) {
	is := func(spans timeline.Spans) (time.Time, bool) {
		i := slices.IndexFunc(spans, func(s timeline.Span) bool { return s.From <= now.UnixMilli() && now.UnixMilli() <= s.Until })
		if i < 0 {
			return time.Time{}, false
		}
		return time.UnixMilli(spans[i].From).UTC(), true
	}
	if since, paused := is(st.Pauses); paused || m.Paused {
		return Paused, since
	}
	if since, gone := is(gaps.Or(st.Unseen...)); gone {
		return Unknown, since
	}
	if since, on := is(excused); on {
		return Maintenance, since
	}
	switch {
	case st.Confirm.Since.IsZero():
		return Unknown, time.Time{}
	case st.Confirm.Down:
		return Down, st.Confirm.Since.Time
	default:
		return Up, st.Confirm.Since.Time
	}
}

// Pause has a monitor not be checked, or be checked again. It returns ErrNoMonitor or an
// error of the store.
func (s *Service) Pause(ctx context.Context, id string, paused bool) error {
	set, _, err := s.current(ctx)
	if err != nil {
		return err
	}
	m, there := set.byID[id]
	if !there {
		return ErrNoMonitor
	}
	now := s.c.Now()
	kind := eventResumed
	if paused {
		kind = eventPaused
	}
	if err := s.audit(ctx, kind, id); err != nil {
		return err
	}
	_, err = s.states.Upsert(ctx, State{ID: id, Since: docstore.At(now)}, func(st *State, _ bool) error {
		if st.Paused == paused {
			return docstore.ErrUnchanged
		}
		st.Paused = paused
		st.pause(paused || m.Paused, now)
		return nil
	})
	if err != nil {
		return err
	}
	_, err = s.countChange(ctx, func(*journal) {})
	return err
}

// Check checks a monitor once, now, from here. What comes of it changes nothing. It returns
// ErrNoMonitor or an error of the store.
func (s *Service) Check(ctx context.Context, id string) (probe.Result, error) {
	set, _, err := s.current(ctx)
	if err != nil {
		return probe.Result{}, err
	}
	m, there := set.byID[id]
	if !there {
		return probe.Result{}, ErrNoMonitor
	}
	if m.Type == Heartbeat {
		return s.checkBeat(ctx, id)
	}
	check, err := s.checkOf(m)
	if err != nil {
		return probe.Result{}, err
	}
	return check.Do(ctx), nil
}
