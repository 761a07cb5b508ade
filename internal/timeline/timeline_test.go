package timeline

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// minutes is a time as a naive model has it: whether each of its moments is in it.
type minutes [400]bool

func (m *minutes) add(s Span) {
	for i := range m {
		if at := int64(i); at >= s.From && at < s.Until {
			m[i] = true
		}
	}
}

func model(spans ...Span) (m minutes) {
	for _, s := range spans {
		m.add(s)
	}
	return m
}

func some(r *rand.Rand) []Span {
	spans := make([]Span, r.IntN(8))
	for i := range spans {
		from := r.Int64N(400)
		spans[i] = Span{from, from + r.Int64N(60) - 5} // some are empty, or end before they begin
	}
	if r.IntN(4) == 0 {
		spans = append(spans, Span{r.Int64N(400), End})
	}
	return spans
}

// Whatever is done with spans is what is done with their moments one by one.
func TestSpansAreTheirMoments(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		a, b := some(r), some(r)
		from := r.Int64N(400)
		window := Span{from, from + r.Int64N(200)}
		as, bs := Of(a...), Of(b...)
		ma, mb, mw := model(a...), model(b...), model(window)
		var or, without, within minutes
		for i := range or {
			or[i], without[i], within[i] = ma[i] || mb[i], ma[i] && !mb[i], ma[i] && mw[i]
		}
		for name, c := range map[string]struct {
			got  Spans
			want minutes
		}{"of": {as, ma}, "or": {as.Or(bs...), or}, "without": {as.Without(bs), without}, "within": {as.Within(window), within}} {
			if model(c.got...) != c.want {
				t.Fatalf("%s: %v and %v in %v: got %v", name, a, b, window, c.got)
			}
			if !reflect.DeepEqual(Of(c.got...), c.got) {
				t.Fatalf("%s: %v isn't in order, or has parts that touch", name, c.got)
			}
		}
	}
}

func TestAFigureCountsEachMomentOnce(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		h := History{Since: r.Int64N(100), Down: Of(some(r)...), Unknown: Of(some(r)...), Excused: Of(some(r)...)}
		from := r.Int64N(300)
		window := Span{from, from + r.Int64N(100)}
		down, unknown, excused := model(h.Down...), model(h.Unknown...), model(h.Excused...)
		var want [3]int64
		for at := max(window.From, h.Since); at < window.Until; at++ {
			switch {
			case excused[at]:
			case unknown[at]:
				want[2]++
			case down[at]:
				want[1]++
				fallthrough
			default:
				want[0]++
			}
		}
		got := h.Figure(window)
		if ms := [3]int64{got.Known.Milliseconds(), got.Down.Milliseconds(), got.Unknown.Milliseconds()}; ms != want {
			t.Fatalf("%+v in %v: known, down and unknown are %v, want %v", h, window, ms, want)
		}
	}
}

func TestARatioIsOneOnlyIfNothingWasDown(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	if ratio, ok := (Figure{Known: year, Down: time.Millisecond}).Ratio(); !ok || ratio >= 1 {
		t.Errorf("a millisecond in a year: %v, %v", ratio, ok)
	}
	if ratio, ok := (Figure{Known: year}).Ratio(); !ok || ratio != 1 {
		t.Errorf("nothing: %v, %v", ratio, ok)
	}
	if _, ok := (Figure{Unknown: year}).Ratio(); ok {
		t.Error("there is a ratio of what isn't known")
	}
}

// A history of weeks, of many outages; of some of them nobody knows, and some are maintenance.
func weeks(r *rand.Rand, start time.Time) (h History, end time.Time) {
	at := start
	var unknown, excused []Span
	for range 600 {
		at = at.Add(time.Duration(r.Int64N(int64(2 * time.Hour))))
		until := at.Add(time.Duration(r.Int64N(int64(2*time.Hour)/(1+r.Int64N(50)))) + time.Millisecond)
		if r.IntN(50) == 0 {
			until = until.Add(40 * time.Hour)
		}
		h.Down = h.Down.Or(Between(at, until))
		part := Between(at.Add(-time.Minute), at.Add(time.Duration(r.Int64N(int64(time.Hour)))))
		switch r.IntN(10) {
		case 0:
			unknown = append(unknown, part)
		case 1:
			excused = append(excused, part)
		}
		at = until
	}
	h.Since, h.Unknown, h.Excused = start.UnixMilli(), Of(unknown...), Of(excused...)
	return h, at
}

// Folded as it goes on, with each outage: figures of whole days are what they would be of all
// spans, and those of other windows are off by no more than what was folded at their edges.
func TestWhatIsFoldedKeepsItsSum(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	start := time.Date(2026, 1, 1, 7, 30, 0, 0, time.UTC)
	for range 20 {
		truth, end := weeks(r, start)
		folded := truth
		folded.Down = nil
		for _, s := range truth.Down {
			folded.Down = folded.Down.Open(time.UnixMilli(s.From))
			folded.Down, folded.Days = folded.Fold(50, 400)
			if !folded.Down.IsOpen() {
				t.Fatalf("what isn't over was folded: %v", folded.Down)
			}
			folded.Down = folded.Down.Close(time.UnixMilli(s.Until), 0)
		}
		if len(folded.Down) > 50 || len(folded.Days) < 10 {
			t.Fatalf("%d spans and %d days are left", len(folded.Down), len(folded.Days))
		}
		want, got := truth.ByDay(start, end), folded.ByDay(start, end)
		for i := range want {
			if day := dayOf(truth.Since/dayLength + int64(i)).Within(Span{0, end.UnixMilli()}); want[i] != got[i] || want[i] != truth.Figure(day) || got[i] != folded.Figure(day) {
				t.Fatalf("day %d: %v, want %v, by itself %v, and of all spans %v", i, got[i], want[i], folded.Figure(day), truth.Figure(day))
			}
		}
		if all := Between(start, end); truth.Figure(all) != folded.Figure(all) {
			t.Fatalf("got %v, want %v", folded.Figure(all), truth.Figure(all))
		}
		for range 50 {
			from := start.Add(time.Duration(r.Int64N(int64(end.Sub(start)))))
			window := Between(from, from.Add(time.Duration(r.Int64N(int64(end.Sub(from))))))
			edges := time.Duration(0)
			for _, d := range folded.Days {
				if all := (Span{d.From, d.Until}); all.Within(window) != all && !all.Within(window).IsEmpty() {
					edges += time.Duration(d.Down) * time.Millisecond
				}
			}
			if want, got := truth.Figure(window), folded.Figure(window); (want.Down-got.Down).Abs() > edges+time.Millisecond || want.Known != got.Known || want.Unknown != got.Unknown {
				t.Fatalf("%v: got %v, want %v to %s", window, got, want, edges)
			}
		}
		if _, days := folded.Fold(1, 5); len(days) != 5 || days[4] == folded.Days[4] {
			t.Fatalf("of the last five days %v are left", days)
		}
	}
}

func TestSpansBeginAndEnd(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var s Spans
	if s = s.Close(at, 0); len(s) != 0 {
		t.Errorf("nothing was open, and now there is %v", s)
	}
	s = s.Open(at).Open(at.Add(time.Minute))
	if !s.IsOpen() || len(s) != 1 {
		t.Errorf("opened twice: %v", s)
	}
	if closed := s.Close(at.Add(time.Hour), time.Minute); closed.Length() != time.Hour || closed.IsOpen() || !s.IsOpen() {
		t.Errorf("closed: %v of %v", closed, s)
	}
	if closed := s.Close(at, 0); len(closed) != 0 {
		t.Errorf("closed at once: %v", closed)
	}
	text, err := json.Marshal(s)
	var back Spans
	if err != nil || json.Unmarshal(text, &back) != nil || !reflect.DeepEqual(back, s) {
		t.Errorf("%s is read as %v", text, back)
	}
}

// Whatever is done to the clock: each outage has its length, as far as its end isn't later
// than another one's beginning by the clock that was set.
func TestNoOutageVanishesWhenTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	s := Spans{}.Open(at).Close(at.Add(10*time.Minute), 10*time.Minute).Open(at.Add(time.Hour))
	back := at.Add(-24 * time.Hour)
	s = s.Close(back, 5*time.Minute) // in the middle of the second one
	if want := Of(Between(back.Add(-5*time.Minute), back), Between(at, at.Add(10*time.Minute))); !reflect.DeepEqual(s, want) {
		t.Fatalf("%v, want %v", s, want)
	}
	back = back.Add(time.Hour)
	s = s.Open(back)
	if !s.IsOpen() || s.Length() < 15*time.Minute {
		t.Fatalf("those of before are gone: %v", s)
	}
	s = s.Close(back.Add(7*time.Minute), 7*time.Minute)
	if s.Length() != 22*time.Minute || len(s) != 3 || s.Within(Between(back, back.Add(7*time.Minute))).Length() != 7*time.Minute {
		t.Errorf("%v", s)
	}
	s = s.Open(back.Add(time.Hour)).Close(back.Add(time.Minute), time.Millisecond)
	if s.Length() != 22*time.Minute { // within another one
		t.Errorf("%v", s)
	}
}
