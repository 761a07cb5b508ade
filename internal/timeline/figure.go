package timeline

import (
	"cmp"
	"slices"
	"time"
)

// History is what a figure is worked out from.
type History struct {
	Since   int64 // nothing is known of what was before, in milliseconds since 1970
	Down    Spans
	Unknown Spans // nobody looked, or whoever looked was cut off himself
	Excused Spans // maintenance
	Days    []Day // what was folded, see [Fold]
}

// IsExcused tells whether it is maintenance at a moment.
func (h History) IsExcused(at time.Time) bool {
	return slices.ContainsFunc(h.Excused, func(s Span) bool { return s.From <= at.UnixMilli() && at.UnixMilli() < s.Until })
}

// Day is what was folded of a day in UTC: all times of it in which it was known to be down,
// as their sum. All is in milliseconds, the two moments since 1970.
type Day struct {
	From  int64 `json:"from"` // when the first began
	Until int64 `json:"until"`
	Down  int64 `json:"down"`
}

// Figure is how something did in a window: for how long it was known to be up or down, for
// how long of that it was down, and for how long nobody knows.
type Figure struct{ Known, Down, Unknown time.Duration }

// Ratio is the part of the known time in which it was up. There is none where nothing is
// known. It is 1 only if there was no time at all in which it was down.
func (f Figure) Ratio() (ratio float64, ok bool) {
	if f.Known <= 0 {
		return 0, false
	}
	return 1 - float64(f.Down)/float64(f.Known), true
}

// known are the times in which it was known to be up or down, in a window, those of them in which it was
// down, and those in which nobody knows. What is before [History.Since] is neither, and so is
// maintenance; of a time that is unknown it doesn't matter whether it was down.
func (h History) known(window Span) (known, down, unknown Spans) {
	window.From = max(window.From, h.Since)
	unknown = h.Unknown.Within(window).Without(h.Excused)
	known = Of(window).Without(h.Excused).Without(unknown)
	down = h.Down.Within(window).Without(h.Excused).Without(unknown)
	return known, down, unknown
}

// Figure is how it did in a window that is over. Of a folded day that is in the window in
// part, that part is taken.
func (h History) Figure(window Span) Figure {
	known, down, unknown := h.known(window)
	f := Figure{Known: known.Length(), Down: down.Length(), Unknown: unknown.Length()}
	for _, d := range h.Days {
		f.Down += d.within(window)
	}
	f.Down = min(f.Down, f.Known)
	return f
}

// ByDay is how it did on each day in UTC from the one that a moment is in up to the one that
// another one is in, of which it is that until then.
func (h History) ByDay(from, until time.Time) []Figure {
	first, end := from.UnixMilli()/dayLength, until.UnixMilli()
	figures := make([]Figure, max(0, end/dayLength-first+1))
	known, down, unknown := h.known(Span{first * dayLength, end})
	for _, of := range []struct {
		spans Spans
		sum   func(*Figure) *time.Duration
	}{
		{known, func(f *Figure) *time.Duration { return &f.Known }},
		{down, func(f *Figure) *time.Duration { return &f.Down }},
		{unknown, func(f *Figure) *time.Duration { return &f.Unknown }},
	} {
		for _, s := range of.spans {
			for day := s.From / dayLength; day*dayLength < s.Until; day++ {
				*of.sum(&figures[day-first]) += s.Within(dayOf(day)).Length()
			}
		}
	}
	for _, d := range h.Days {
		if i := d.From/dayLength - first; i >= 0 && i < int64(len(figures)) {
			figures[i].Down = min(figures[i].Known, figures[i].Down+time.Duration(d.Down)*time.Millisecond)
		}
	}
	return figures
}

const dayLength = int64(24 * time.Hour / time.Millisecond)

// dayOf is a day since 1970.
func dayOf(day int64) Span { return Span{day * dayLength, (day + 1) * dayLength} }

func (d Day) within(window Span) time.Duration {
	all := Span{d.From, d.Until}
	part := float64(all.Within(window).Length()) / float64(all.Length())
	return time.Duration(float64(d.Down) * part * float64(time.Millisecond))
}

// Fold bounds how many spans there are of what was down: of the oldest, only the sum of each
// day stays, of that many days. What was unknown or maintenance by then is left out of it, so
// the history has to have both. It returns the spans and the days that are left.
func (h History) Fold(spans, days int) (Spans, []Day) {
	down, folded := h.Down, slices.Clone(h.Days)
	for len(down) > spans && down[0].Until != End {
		one := down[0].Within(dayOf(down[0].From / dayLength))
		if known := Of(one).Without(h.Unknown).Without(h.Excused).Length().Milliseconds(); known > 0 {
			folded = fold(folded, Day{one.From, one.Until, known})
		}
		down = down.Without(Spans{one})
	}
	return down, folded[max(0, len(folded)-days):]
}

// fold adds a day, or a part of the last one, or of one before where the clock was set back.
func fold(days []Day, d Day) []Day {
	i, same := slices.BinarySearchFunc(days, d, func(a, b Day) int { return cmp.Compare(a.From/dayLength, b.From/dayLength) })
	if !same {
		return slices.Insert(days, i, d)
	}
	days[i] = Day{min(days[i].From, d.From), max(days[i].Until, d.Until), days[i].Down + d.Down}
	return days
}
