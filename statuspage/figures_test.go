package statuspage

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"manus/design"
	"manus/internal/timeline"
	"manus/language"
)

// Whatever watches a component and whatever came of it, each moment of its days is counted
// once, as the page says that it is.
func TestEachMomentIsCountedOnceAsThePageSays(t *testing.T) {
	t.Parallel()
	const step = 10 * time.Minute
	r := rand.New(rand.NewPCG(7, 8))
	end := now.Truncate(step)
	first := time.UnixMilli((dayOf(end) - HistoryDays + 1) * dayLength.Milliseconds())
	some := func() (spans timeline.Spans) {
		for range r.IntN(4) {
			from := first.Add(-dayLength + time.Duration(r.IntN(92*144))*step)
			spans = spans.Or(timeline.Between(from, from.Add(time.Duration(r.IntN(400))*step)))
		}
		return spans
	}
	has := func(spans timeline.Spans, at time.Time) bool {
		return len(spans.Within(timeline.Span{From: at.UnixMilli(), Until: at.UnixMilli() + 1})) > 0
	}
	for range 30 {
		var watched []Watched
		for range 1 + r.IntN(3) {
			h := timeline.History{Since: first.Add(time.Duration(r.IntN(40*144)-1000) * step).UnixMilli(), Down: some(), Unknown: some(), Excused: some()}
			watched = append(watched, Watched{State: IsUp, History: h})
		}
		var want [HistoryDays]Day
		for at := first; at.Before(end); at = at.Add(step) {
			var covered, up, down, work bool
			for _, w := range watched {
				h := w.History
				if at.UnixMilli() < h.Since {
					continue
				}
				covered = true
				switch {
				case has(h.Excused, at):
					work = true
				case has(h.Unknown, at):
				case has(h.Down, at):
					down = true
				default:
					up = true
				}
			}
			d := &want[dayOf(at)-dayOf(first)]
			switch {
			case !covered:
			case down:
				d.Down += step
			case up:
				d.Up += step
			case work:
				d.Work += step
			default:
				d.Unknown += step
			}
		}
		if got := count(watched, reports{}, end).Days; got != want {
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("day %d of %+v: got %v, want %v", i, watched, got[i], want[i])
				}
			}
		}
	}
}

func TestWhatWasFoldedIsOfItsDay(t *testing.T) {
	t.Parallel()
	h := history()
	folded := func(ago int64, down time.Duration) timeline.Day {
		from := (dayOf(now) - ago) * dayLength.Milliseconds()
		return timeline.Day{From: from, Until: from + dayLength.Milliseconds(), Down: down.Milliseconds()}
	}
	h.Days = []timeline.Day{folded(200, time.Hour), folded(5, 100*time.Hour), folded(3, 10*time.Minute)}
	days := count([]Watched{{State: IsUp, History: h}}, reports{}, now).Days
	if d := days[HistoryDays-4]; d.Down != 10*time.Minute || d.Up+d.Down != dayLength {
		t.Errorf("%+v", d)
	}
	if d := days[HistoryDays-6]; d.Down != dayLength || d.Up != 0 {
		t.Errorf("more than a day: %+v", d)
	}
}

func TestAHundredPercentIsOfWhatWasNeverDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		day  Day
		want string
	}{
		{Day{}, ""}, {Day{Unknown: time.Hour}, ""}, {Day{Work: time.Hour}, ""},
		{Day{Up: time.Hour}, "100%"}, {Day{Up: time.Hour, Unknown: time.Hour}, "100%"},
		{Day{Up: 90 * dayLength, Down: time.Millisecond}, "99.999%"}, {Day{Up: 90 * dayLength, Down: time.Second}, "99.999%"},
		{Day{Up: 90*dayLength - 20*time.Minute, Down: 20 * time.Minute}, "99.984%"}, {Day{Up: 998, Down: 2}, "99.80%"},
		{Day{Up: 1, Down: 1}, "50.00%"}, {Day{Down: 1}, "0.00%"}, {Day{Up: 1, Down: 999_999_999}, "0.00%"},
	} {
		if got := c.day.percent(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.day, got, c.want)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		d := Day{Up: time.Duration(r.Int64N(int64(90 * dayLength))), Down: 1 + time.Duration(r.Int64N(1_000_000_000))}
		var shown float64
		if _, err := fmt.Sscanf(d.percent(), "%f%%", &shown); err != nil || shown >= 100 || shown/100 > float64(d.Up)/float64(d.known()) {
			t.Fatalf("%+v is shown as %s", d, d.percent())
		}
	}
}

func TestHowAComponentIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		states []State
		want   Status
	}{
		{nil, Operational}, {[]State{IsUp}, Operational}, {[]State{IsDown}, MajorOutage}, {[]State{IsUnknown}, Unknown}, {[]State{IsWork}, UnderMaintenance},
		{[]State{IsUp, IsDown}, PartialOutage}, {[]State{IsDown, IsDown}, MajorOutage}, {[]State{IsUp, IsUnknown}, Operational}, {[]State{IsDown, IsUnknown}, PartialOutage},
		{[]State{IsDown, IsWork}, MajorOutage}, {[]State{IsUp, IsWork}, UnderMaintenance}, {[]State{IsUnknown, IsWork}, UnderMaintenance},
	} {
		var watched []Watched
		for _, s := range c.states {
			watched = append(watched, Watched{State: s, History: history()})
		}
		if got := watchedStatus(watched); got != c.want {
			t.Errorf("%v: %s, want %s", c.states, got, c.want)
		}
	}
}

func TestWhatTheBannerSays(t *testing.T) {
	t.Parallel()
	component := func(id string, s State) Component {
		return Component{ID: id, Watched: []Watched{{State: s, History: history()}}}
	}
	open := func(severity Severity, automatic bool, components ...string) []Incident {
		return []Incident{{ID: "i", Severity: severity, Automatic: automatic, Components: components, Updates: []Update{{Stage: Investigating}}}}
	}
	work := []Maintenance{{From: now.Add(-time.Hour), Until: now.Add(time.Hour), Components: []string{"a"}, Progress: InProgress}}
	for name, c := range map[string]struct {
		model Model
		want  Status
	}{
		"nothing":               {Model{}, Unknown},
		"all well":              {Model{Components: []Component{component("a", IsUp), component("b", IsUp)}}, Operational},
		"one isn't watched":     {Model{Components: []Component{component("a", IsUp), component("b", IsUnknown)}}, Unknown},
		"one is down":           {Model{Components: []Component{component("a", IsUp), component("b", IsDown)}}, PartialOutage},
		"all are down":          {Model{Components: []Component{component("a", IsDown), component("b", IsDown)}}, MajorOutage},
		"people say so":         {Model{Components: []Component{component("a", IsUp)}, Incidents: open(Minor, false, "a")}, Degraded},
		"people say much":       {Model{Components: []Component{component("a", IsUp)}, Incidents: open(Critical, false)}, MajorOutage},
		"it is over, they wait": {Model{Components: []Component{component("a", IsUp)}, Incidents: open(Major, true, "a")}, Operational},
		"maintenance":           {Model{Components: []Component{component("a", IsUp)}, Maintenances: work}, UnderMaintenance},
		"trouble at work":       {Model{Components: []Component{component("a", IsDown), component("b", IsUp)}, Maintenances: work}, PartialOutage},
	} {
		if got := newView(c.model, language.Text{}, now).Overall; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestBarsStandHigherTheWorseADayWas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		day  Day
		want design.Level
	}{
		{Day{}, design.None}, {Day{Up: time.Hour}, design.Up}, {Day{Up: dayLength - 1, Down: 1}, design.Degraded},
		{Day{Up: time.Hour, Down: muchOfADay}, design.Partial}, {Day{Down: mostOfADay}, design.Down},
		{Day{Unknown: 2, Up: 1}, design.Unknown}, {Day{Unknown: 1, Up: 2}, design.Up}, {Day{Work: 2, Up: 1}, design.Work},
	} {
		if got := c.day.level(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.day, got, c.want)
		}
	}
	svg := string(design.Bars([]design.Level{design.Up, design.Up, design.Down, design.None, design.Unknown}))
	for _, want := range []string{`d="M0 23h7"`, `class="down" d="M8 17h3"`, `stroke="url(#hatch)"`, `viewBox="0 0 19 34"`} {
		if !strings.Contains(svg, want) {
			t.Errorf("%s isn't in %s", want, svg)
		}
	}
}
