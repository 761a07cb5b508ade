package statuspage

import (
	"cmp"
	"slices"
	"time"

	"manus/internal/timeline"
)

// counted are the times of a component's last HistoryDays, each moment in one of four states:
// what its figures are the sums of, and what they open to.
type counted struct {
	// Window is what is counted: since it was first watched, in the last HistoryDays.
	Window timeline.Span

	Up, Down, Work, Unknown timeline.Spans
	// Measured is the part of Down that something has found, Told the rest, of which people tell.
	Measured timeline.Spans
	Told     []told
	// Unseen is the part of Down in which nothing was watched.
	Unseen timeline.Spans
	// Trouble is when there was an incident and it wasn't down, Disturbed the part of it in which it was up.
	Trouble   timeline.Spans
	Disturbed []told
	// Cut and Paused are the parts of Unknown in which nobody could watch anything, and in which
	// it was paused or not in the list. In the rest no place was heard of.
	Cut, Paused timeline.Spans

	Days [HistoryDays]Day
	// Folded are the parts of what was down on each day of which only the sum is kept; it is taken
	// from what is up.
	Folded [HistoryDays]time.Duration
}

// count works out the times of a component up to a moment. A moment counts as down when anything
// that watches has seen it down or people say that it was out, as up when any has and none was down, as
// maintenance when all that isn't unknown is worked at, and as unknown when nobody looked.
func count(watched []Watched, r reports, now time.Time) *counted {
	first := dayOf(now) - HistoryDays + 1
	c := &counted{Window: timeline.Span{From: now.UnixMilli(), Until: now.UnixMilli()}}
	window := timeline.Span{From: dayAt(first), Until: now.UnixMilli()}
	folded := map[int64]timeline.Day{}
	for _, w := range watched {
		h := w.History
		c.Window.From = min(c.Window.From, max(window.From, h.Since))
		all := timeline.Of(timeline.Span{From: max(window.From, h.Since), Until: window.Until})
		excused := h.Excused.Within(window)
		known := all.Without(excused).Without(h.Unknown.Within(window))
		c.Down, c.Up = c.Down.Or(both(h.Down.Within(window), known)...), c.Up.Or(known...)
		c.Work = c.Work.Or(both(excused, all)...)
		c.Cut, c.Paused = c.Cut.Or(w.Cut...), c.Paused.Or(w.Paused...)
		for _, day := range h.Days {
			if n := day.From / dayLength.Milliseconds(); day.Down > folded[n].Down {
				folded[n] = day
			}
		}
	}
	c.tell(r, window)
	covered := timeline.Of(c.Window)
	c.Up = c.Up.Without(c.Down)
	c.Work = c.Work.Without(c.Up).Without(c.Down)
	c.Unknown = covered.Without(c.Up).Without(c.Down).Without(c.Work)
	c.Cut = both(c.Unknown, c.Cut)
	c.Paused = both(c.Unknown, c.Paused).Without(c.Cut)
	c.Disturbed = partsIn(r.All, both(c.Up, c.Trouble))
	c.share(first)
	for day, f := range folded {
		if i := day - first; i >= 0 && i < HistoryDays {
			c.Folded[i] = min(c.untold(f), c.Days[i].Up)
			c.Days[i] = c.Days[i].with(c.Folded[i])
		}
	}
	return c
}

// tell adds what people tell, for as far as that goes back. Up is still all that is known.
func (c *counted) tell(r reports, window timeline.Span) {
	c.Measured = c.Down
	out := spansOf(r.Out).Within(window)
	if len(out) > 0 && out[0].From < c.Window.From { // it wasn't watched yet
		c.Paused = c.Paused.Or(timeline.Span{From: out[0].From, Until: c.Window.From})
		c.Window.From = out[0].From
	}
	c.Told = partsIn(r.Out, out.Without(c.Down))
	c.Unseen = out.Without(c.Up)
	c.Down = c.Down.Or(out...)
	c.Trouble = spansOf(r.All).Within(c.Window).Without(c.Down)
}

// untold is what was folded of a day, without as large a part of it as people tell of of that time: that is
// down already.
func (c *counted) untold(f timeline.Day) time.Duration {
	down := time.Duration(f.Down) * time.Millisecond
	span := timeline.Span{From: f.From, Until: f.Until}
	if span.IsEmpty() {
		return down
	}
	var told time.Duration
	for _, t := range c.Told {
		told += t.Within(span).Length()
	}
	return time.Duration(float64(down) * (1 - float64(told)/float64(span.Length()))).Truncate(time.Millisecond)
}

// isEmpty tells that there is nothing to count: it was never watched, and nobody tells of it.
func (c *counted) isEmpty() bool { return c.Window.IsEmpty() }

// mark has the day that isn't over be one with an incident, unless it is one that wasn't up all the time.
// What is trouble just now isn't counted yet.
func (c *counted) mark() {
	if today := &c.Days[HistoryDays-1]; today.Down == 0 && today.Trouble == 0 {
		today.Trouble = time.Millisecond
	}
}

// both is the time that is in both.
func both(a, b timeline.Spans) timeline.Spans {
	if len(b) == 0 {
		return nil
	}
	return a.Without(a.Without(b))
}

// dayAt is when a day begins, in milliseconds since 1970.
func dayAt(day int64) int64 { return day * dayLength.Milliseconds() }

// share adds up the times of each day.
func (c *counted) share(first int64) {
	for _, of := range []struct {
		spans timeline.Spans
		sum   func(*Day) *time.Duration
	}{
		{c.Down, func(d *Day) *time.Duration { return &d.Down }},
		{c.Up, func(d *Day) *time.Duration { return &d.Up }},
		{c.Work, func(d *Day) *time.Duration { return &d.Work }},
		{c.Unknown, func(d *Day) *time.Duration { return &d.Unknown }},
		{c.Unseen, func(d *Day) *time.Duration { return &d.Unseen }},
		{c.Trouble, func(d *Day) *time.Duration { return &d.Trouble }},
	} {
		for _, s := range of.spans {
			for s.From < s.Until {
				day := s.From / dayLength.Milliseconds()
				until := min(s.Until, dayAt(day+1))
				*of.sum(&c.Days[day-first]) += time.Duration(until-s.From) * time.Millisecond
				s.From = until
			}
		}
	}
}

// with is the day where more of it was down.
func (d Day) with(down time.Duration) Day {
	down = min(down, d.Up)
	d.Down, d.Up = d.Down+down, d.Up-down
	return d
}

// day is which one it is, of those of Days.
func (c *counted) day(i int) timeline.Span {
	first := c.Window.Until/dayLength.Milliseconds() - HistoryDays + 1
	return timeline.Span{From: dayAt(first + int64(i)), Until: dayAt(first + int64(i) + 1)}
}

// last is how it did in the last so long time: whole days as they are, and a part of the first.
// Of what is folded on that day as large a part is taken.
func (c *counted) last(length time.Duration) (sum Day, folded time.Duration) {
	window := timeline.Span{From: c.Window.Until - length.Milliseconds(), Until: c.Window.Until}
	for i, d := range c.Days {
		day := c.day(i)
		switch part := day.Within(window); {
		case part.IsEmpty():
		case part.From == day.From:
			sum, folded = sum.add(d), folded+c.Folded[i]
		default:
			moved := time.Duration(float64(c.Folded[i]) * float64(part.Length()) / float64(day.Length()))
			one := c.of(timeline.Of(part))
			moved = min(moved, one.Up)
			sum, folded = sum.add(one.with(moved)), folded+moved
		}
	}
	return sum, folded
}

// of is how it did in some spans, without what is folded.
func (c *counted) of(spans timeline.Spans) Day {
	length := func(s timeline.Spans) time.Duration { return both(s, spans).Length() }
	return Day{Up: length(c.Up), Down: length(c.Down), Work: length(c.Work), Unknown: length(c.Unknown), Unseen: length(c.Unseen), Trouble: length(c.Trouble)}
}

// reaches tells that the figures are of all of some spans, and each moment of them has its place.
func (c *counted) reaches(spans timeline.Spans) bool {
	for i := range c.Days {
		if c.Folded[i] > 0 && len(spans.Within(c.day(i))) > 0 {
			return false
		}
	}
	return len(spans.Without(timeline.Of(c.Window))) == 0
}

// kind is what is said of a stretch, by its names in the JSON.
type kind string

const (
	kindDown    kind = "down"
	kindWork    kind = "maintenance"
	kindCut     kind = "not_watched" // nothing was
	kindPaused  kind = "paused"
	kindUnknown kind = "unknown"  // no place was heard of
	kindTrouble kind = "incident" // it was up, and people were told of trouble
)

// stretch is a time in which it was in one state.
type stretch struct {
	timeline.Span
	Kind kind
	// Incident is the id of the one that tells of it; empty where that was measured.
	Incident string
}

// stretches are the times in a window in which it wasn't up, or there was an incident, the earliest first.
func (c *counted) stretches(window timeline.Span) (all []stretch) {
	for _, of := range []struct {
		kind  kind
		spans timeline.Spans
	}{
		{kindDown, c.Measured}, {kindWork, c.Work}, {kindCut, c.Cut}, {kindPaused, c.Paused}, {kindUnknown, c.Unknown.Without(c.Cut).Without(c.Paused)},
	} {
		for _, s := range of.spans.Within(window) {
			all = append(all, stretch{s, of.kind, ""})
		}
	}
	for _, t := range partsIn(c.Told, timeline.Of(window)) {
		all = append(all, stretch{t.Span, kindDown, t.Incident})
	}
	for _, t := range partsIn(c.Disturbed, timeline.Of(window)) {
		all = append(all, stretch{t.Span, kindTrouble, t.Incident})
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Compare(a.From, b.From) })
	return all
}
