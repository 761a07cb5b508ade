package statuspage

import (
	"slices"
	"time"

	"manus/design"
	"manus/internal/timeline"
	"manus/language"
)

// openedPath is where a component's figures open to what they were counted from.
func openedPath(id string) string { return "status/uptime/" + id }

// How many stretches are told of: of a component, so that one that flaps doesn't make a page that nobody
// can read. What is left out is counted and summed.
const (
	maxStretches    = 1000
	maxStretchesDay = 100
)

// opened is what a figure opens to.
type opened struct {
	Windows []openedWindow
	Days    []openedDay // today first; those in which it was up all the time are left out
}

// openedWindow is a figure.
type openedWindow struct {
	ID     string
	Words  language.Text
	From   time.Time
	Day    Day
	Folded time.Duration
}

// openedDay is a day that wasn't up all the time. Its stretches, what is left out of them and
// what is folded are together what the day's figure says.
type openedDay struct {
	At        time.Time
	Day       Day
	Folded    time.Duration
	Stretches []stretch
	Left      int // how many aren't told of
	LeftSum   Day
}

var openedWindows = []struct {
	id     string
	words  language.Text
	length time.Duration
}{
	{"24h", language.Text{En: "24 hours", Ar: "24 ساعة"}, dayLength},
	{"7d", language.Text{En: "7 days", Ar: "7 أيّام"}, 7 * dayLength},
	{"30d", language.Text{En: "30 days", Ar: "30 يومًا"}, 30 * dayLength},
	{"90d", language.Text{En: "90 days", Ar: "90 يومًا"}, HistoryDays * dayLength},
}

// open is what its figures are the sums of.
func (c *counted) open() opened {
	var o opened
	for _, w := range openedWindows {
		from := max(c.Window.From, c.Window.Until-w.length.Milliseconds())
		day, folded := c.last(w.length)
		o.Windows = append(o.Windows, openedWindow{w.id, w.words, time.UnixMilli(from).UTC(), day, folded})
	}
	left := maxStretches
	for i, d := range slices.Backward(c.Days[:]) {
		if d.isWhole() {
			continue
		}
		day := c.day(i)
		all := c.stretches(day)
		told := min(len(all), maxStretchesDay, left)
		left -= told
		one := openedDay{At: time.UnixMilli(day.From).UTC(), Day: d, Folded: c.Folded[i], Stretches: all[:told], Left: len(all) - told}
		for _, s := range all[told:] {
			one.LeftSum = one.LeftSum.add(s.sum())
		}
		o.Days = append(o.Days, one)
	}
	return o
}

// sum is a stretch as a part of a figure.
func (s stretch) sum() Day {
	switch s.Kind {
	case kindDown:
		return Day{Down: s.Length()}
	case kindWork:
		return Day{Work: s.Length()}
	case kindTrouble: // it was up
		return Day{}
	default:
		return Day{Unknown: s.Length()}
	}
}

var kindWords = map[kind]language.Text{
	kindTrouble: {En: "An incident, not counted as down", Ar: "حادثة لا تُحسب انقطاعًا"},
	kindDown:    {En: "Down", Ar: "انقطاع"},
	kindWork:    {En: "Maintenance", Ar: "صيانة"},
	kindCut:     {En: "Not watched: our monitoring didn’t run, or was cut off itself", Ar: "بلا مراقبة: لم تعمل مراقبتنا أو انقطع اتصالها هي"},
	kindPaused:  {En: "Not watched: paused, or not set up", Ar: "بلا مراقبة: موقوفة مؤقتًا أو غير معدّة"},
	kindUnknown: {En: "Not known: no place that watches was heard of", Ar: "غير معروف: لم يصل شيء من أيّ موقع مراقبة"},
}

func (s stretch) Words() language.Text  { return kindWords[s.Kind] }
func (s stretch) Start() string         { return clock(s.From, s.Until) }
func (s stretch) End() string           { return clock(s.Until, s.From) }
func (s stretch) Lasted() time.Duration { return s.Length() }

// Level is how it is drawn.
func (s stretch) Level() design.Level {
	switch s.Kind {
	case kindDown:
		return design.Down
	case kindWork:
		return design.Work
	case kindTrouble:
		return design.Degraded
	default:
		return design.Unknown
	}
}

// clock is a time of day by UTC; the end of a day is 24:00:00 and not its begin.
func clock(at, other int64) string {
	if at > other && at%dayLength.Milliseconds() == 0 {
		return "24:00:00"
	}
	return time.UnixMilli(at).UTC().Format(time.TimeOnly)
}

// minutes is what the page of a component's stretches shows.
func (p *page) minutes(r *row) any {
	return struct {
		*page
		*row
		Opened  opened
		IsEmpty bool
		Until   time.Time
		From    time.Time
	}{p, r, r.Counted.open(), r.Counted.isEmpty(), time.UnixMilli(r.Counted.Window.Until), time.UnixMilli(r.Counted.Window.From)}
}

// TitleOf is what an incident is called.
func (p *page) TitleOf(id string) string {
	i, _ := p.incidentOf(id)
	return i.Title.In(p.Tag)
}

// Percent is for how much of the known time it was up.
func (w openedWindow) Percent() string { return w.Day.percent() }

// Percent is for how much of the known time it was up.
func (d openedDay) Percent() string { return d.Day.percent() }

// ID is the day's, by which it is linked to.
func (d openedDay) ID() string { return d.At.Format(time.DateOnly) }

// The same as JSON. Times are in milliseconds, so that sums are exact.
type (
	sumAnswer struct {
		Up      int64 `json:"up_ms"`
		Down    int64 `json:"down_ms"`
		Unknown int64 `json:"unknown_ms"`
		Work    int64 `json:"maintenance_ms"`
		Trouble int64 `json:"incident_ms"` // of incidents in which it wasn't down; a part of the rest
	}
	openedAnswer struct {
		Component string                  `json:"component"`
		From      *instant                `json:"counted_from"` // null where it was never watched
		Until     instant                 `json:"counted_until"`
		Windows   map[string]windowAnswer `json:"windows"`
		Days      []openedDayAnswer       `json:"days"`
	}
	windowAnswer struct {
		From    instant `json:"from"`
		Percent *string `json:"available"`
		sumAnswer
		Folded int64 `json:"folded_down_ms"`
	}
	openedDayAnswer struct {
		Date string `json:"date"`
		sumAnswer
		Folded    int64           `json:"folded_down_ms"`
		Stretches []stretchAnswer `json:"stretches"`
		Left      leftAnswer      `json:"left_out"`
	}
	leftAnswer struct {
		Count int `json:"stretches"`
		sumAnswer
	}
	stretchAnswer struct {
		From   instant `json:"from"`
		Until  instant `json:"until"`
		Kind   kind    `json:"state"`
		Length int64   `json:"ms"`
		// Incident is the one that tells of it; none where it was measured.
		Incident string `json:"incident,omitempty"`
	}
)

func newSum(d Day) sumAnswer {
	return sumAnswer{d.Up.Milliseconds(), d.Down.Milliseconds(), d.Unknown.Milliseconds(), d.Work.Milliseconds(), d.Trouble.Milliseconds()}
}

func openedAs(r *row) openedAnswer {
	at := func(ms int64) instant { return instant(time.UnixMilli(ms)) }
	o := r.Counted.open()
	a := openedAnswer{r.ID, nil, at(r.Counted.Window.Until), map[string]windowAnswer{}, []openedDayAnswer{}}
	if r.Counted.isEmpty() {
		return a
	}
	a.From = some(time.UnixMilli(r.Counted.Window.From))
	for _, w := range o.Windows {
		one := windowAnswer{From: instant(w.From), sumAnswer: newSum(w.Day), Folded: w.Folded.Milliseconds()}
		if percent := w.Percent(); percent != "" {
			one.Percent = &percent
		}
		a.Windows[w.ID] = one
	}
	for _, d := range o.Days {
		one := openedDayAnswer{d.ID(), newSum(d.Day), d.Folded.Milliseconds(), []stretchAnswer{}, leftAnswer{d.Left, newSum(d.LeftSum)}}
		for _, s := range d.Stretches {
			one.Stretches = append(one.Stretches, stretchAnswer{at(s.From), at(s.Until), s.Kind, spanMS(s.Span), s.Incident})
		}
		a.Days = append(a.Days, one)
	}
	return a
}

func spanMS(s timeline.Span) int64 { return s.Length().Milliseconds() }
