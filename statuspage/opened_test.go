package statuspage

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"manus/internal/timeline"
	"manus/language"
)

// randomWatched are what watches a component, with outages, gaps, pauses, planned work, and
// days of which only the sum is kept.
func randomWatched(r *rand.Rand, end time.Time) (all []Watched) {
	some := func(n int, longest time.Duration) (spans timeline.Spans) {
		for range r.IntN(n) {
			from := end.Add(-time.Duration(r.Int64N(int64(95 * dayLength))))
			spans = spans.Or(timeline.Between(from, from.Add(time.Duration(r.Int64N(int64(longest))))))
		}
		return spans
	}
	for range 1 + r.IntN(3) {
		w := Watched{State: IsUp, Cut: some(4, 30*time.Hour), Paused: some(3, 90*time.Hour)}
		w.History = timeline.History{
			Since: end.Add(-time.Duration(r.Int64N(int64(120 * dayLength)))).UnixMilli(), Down: some(60, 5*time.Hour),
			Excused: some(6, 10*time.Hour), Unknown: w.Cut.Or(w.Paused...).Or(some(3, time.Hour)...),
		}
		if r.IntN(2) == 0 {
			w.History.Down = w.History.Down.Open(end.Add(-time.Duration(r.IntN(1000)) * time.Second))
		}
		for range r.IntN(4) {
			from := dayAt(dayOf(end) - r.Int64N(100))
			w.History.Days = append(w.History.Days, timeline.Day{From: from, Until: from + dayAt(1), Down: r.Int64N(dayAt(1))})
		}
		all = append(all, w)
	}
	return all
}

// randomReports are the times of incidents that people have written, and of automatic ones; some overlap, are open, were
// opened again, or began before anything was watched.
func randomReports(r *rand.Rand, end time.Time) reports {
	var incidents []Incident
	severities := []Severity{Minor, Major, Critical}
	for n := range r.IntN(12) {
		i := Incident{ID: fmt.Sprint(n), Severity: severities[r.IntN(3)], Automatic: r.IntN(4) == 0, Components: []string{"c"}, StartedAt: end.Add(-time.Duration(r.Int64N(int64(100 * dayLength))))}
		at := i.StartedAt
		for range 1 + r.IntN(5) {
			i.Updates = append(i.Updates, Update{At: at, Stage: []Stage{Investigating, Monitoring, Resolved}[r.IntN(3)]})
			at = at.Add(time.Duration(r.Int64N(int64(20 * time.Hour))))
		}
		incidents = append(incidents, i)
	}
	return reportsOf(incidents)["c"]
}

// Whatever came of it, the times that a figure opens to are together what it says, in each
// window: those of the windows' own time, and those that are listed by day.
func TestTimesThatAreOpenedAreTogetherWhatTheFigureSays(t *testing.T) {
	t.Parallel()
	// Both sides of the days on which clocks are changed, a leap day, a new year, a midnight.
	ends := []time.Time{now, time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 3, 20, 1, 5e6, time.UTC), time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)}
	r := rand.New(rand.NewPCG(19, 4))
	for n := range 400 {
		end := ends[n%len(ends)]
		c := count(randomWatched(r, end), randomReports(r, end), end)
		for _, w := range openedWindows {
			window := timeline.Span{From: c.Window.Until - w.length.Milliseconds(), Until: c.Window.Until}
			if w.id == "90d" {
				window.From = dayAt(dayOf(end) - HistoryDays + 1)
			}
			got, folded := c.last(w.length)
			var want Day
			for _, s := range c.stretches(window) {
				want = want.add(s.sum())
			}
			window.From = max(window.From, c.Window.From)
			want.Down += folded
			want.Up = window.Length() - want.Down - want.Work - want.Unknown
			got.Trouble, got.Unseen = 0, 0 // parts of the others
			if got != want {
				t.Fatalf("round %d, %s: the figure is %+v, its times are %+v", n, w.id, got, want)
			}
		}
		total := Day{}
		for _, d := range c.Days {
			total = total.add(d)
		}
		o := c.open()
		if last := o.Windows[len(o.Windows)-1].Day; last != total {
			t.Fatalf("round %d: 90 days are %+v, the page says %+v", n, last, total)
		}
		for _, d := range o.Days {
			sum := d.LeftSum
			for _, s := range d.Stretches {
				sum = sum.add(s.sum())
			}
			if sum.Down += d.Folded; sum.Down != d.Day.Down || sum.Work != d.Day.Work || sum.Unknown != d.Day.Unknown {
				t.Fatalf("round %d, %s: the figure is %+v, its times are %+v", n, d.ID(), d.Day, sum)
			}
		}
	}
}

// A program that adds up what the JSON lists comes to what the page shows.
func TestTheJSONAddsUpToThePage(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	var a struct {
		Windows map[string]struct {
			Available string `json:"available"`
			Down      int64  `json:"down_ms"`
			Up        int64  `json:"up_ms"`
		} `json:"windows"`
		Days []struct {
			Down      int64 `json:"down_ms"`
			Stretches []struct {
				State string    `json:"state"`
				From  time.Time `json:"from"`
				Until time.Time `json:"until"`
			} `json:"stretches"`
		} `json:"days"`
	}
	w := ask(h, "/status/uptime/mail.json")
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err)
	}
	sum := int64(0)
	for _, d := range a.Days {
		for _, s := range d.Stretches {
			if s.State == "down" {
				sum += s.Until.Sub(s.From).Milliseconds()
			}
		}
	}
	all := a.Windows["90d"]
	if sum == 0 || sum != all.Down {
		t.Errorf("the times are %d ms, the figure says %d", sum, all.Down)
	}
	if got := (Day{Up: time.Duration(all.Up) * time.Millisecond, Down: time.Duration(sum) * time.Millisecond}).percent(); got != all.Available || !strings.Contains(ask(h, "/status?lang=en").Body.String(), got) {
		t.Errorf("the times make %s, the figure says %s", got, all.Available)
	}
}

func ask(h *house, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w
}

// One that flaps all the time is told of in bounded space, with what is left out counted; and
// it is answered when nothing can be read any more.
func TestOneThatFlapsIsToldOfInBoundedSpace(t *testing.T) {
	t.Parallel()
	h := history()
	h.Down = nil
	for i := range 20_000 {
		from := now.Add(-time.Duration(i+1) * 5 * time.Minute).UnixMilli()
		h.Down = append(h.Down, timeline.Span{From: from, Until: from + 61_000})
	}
	h.Down = timeline.Of(h.Down...)
	page := refreshed(t, Model{Components: []Component{{ID: "flaps", Name: language.Text{En: "Flaps"}, Watched: []Watched{{State: IsUp, History: h}}}}})
	page.set(func(h *house) { h.err = fmt.Errorf("the store is gone") })
	_ = page.Refresh(t.Context())
	for _, path := range []string{"/status/uptime/flaps?lang=en", "/status/uptime/flaps.json"} {
		w := ask(page, path)
		if w.Code != http.StatusOK || w.Body.Len() > 400<<10 {
			t.Errorf("%s: %d, %d bytes", path, w.Code, w.Body.Len())
		}
	}
	if body := ask(page, "/status/uptime/flaps?lang=en").Body.String(); !strings.Contains(body, "188 more times aren’t listed. Down: ") {
		t.Error("it doesn't say how many are left out")
	}
}

// What isn't listed, what nothing watches, and what there isn't are answered alike.
func TestWhatHasNoFiguresIsNotThere(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	first := ask(h, "/status/uptime/support").Body.String()
	for _, path := range []string{"support", "secret-monitor", "..%2fmail", "mail/2026-11-27", "support.json", strings.Repeat("x", 500)} {
		if w := ask(h, "/status/uptime/"+path); w.Code != http.StatusNotFound || w.Body.String() != first {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// Clients have no word for what isn't known; the sentence that people read has.
func TestWhatIsNotWatchedIsSaidInWordsThatClientsCanRead(t *testing.T) {
	t.Parallel()
	h := history()
	h.Since = timeline.End
	body := ask(refreshed(t, Model{Components: []Component{{ID: "new", Watched: []Watched{{State: IsUnknown, History: h}}}}}), "/api/v2/summary.json").Body.String()
	for _, want := range []string{`"indicator":"none"`, `"description":"The state of some systems isn’t known right now"`, `"status":"operational"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}

// A page of a component's times.
func BenchmarkOpened(b *testing.B) {
	h := refreshed(b, many(100))
	s := h.site.Load()
	var body []byte
	b.ReportAllocs()
	for b.Loop() {
		body = s.render("uptime.html", s.newPage(openedPath("component-1"), language.English).minutes(&s.Rows[1]), language.English)
	}
	b.ReportMetric(float64(len(body)), "bytes")
}
