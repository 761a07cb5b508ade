package uptime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/storetest"
	"manus/internal/timeline"
	"manus/internal/waittest"
	"manus/lease"
	"manus/uptime/confirm"
	"manus/uptime/probe"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// minutesOf are spans of forty days, by the minute.
func minutesOf(r *rand.Rand, n int, most int64) timeline.Spans {
	var all []timeline.Span
	for range n {
		from := noon.Add(-time.Duration(r.Int64N(40*24*60)) * time.Minute)
		all = append(all, timeline.Between(from, from.Add(time.Duration(1+r.Int64N(most))*time.Minute)))
	}
	return timeline.Of(all...)
}

// A budget and its rates are what counting minute by minute says: down minutes by known ones.
func TestABudgetIsWhatItsMinutesAre(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		h := timeline.History{Since: noon.Add(-10 * aDay).UnixMilli(), Down: minutesOf(r, 60, 30), Unknown: minutesOf(r, 30, 200), Excused: minutesOf(r, 10, 400)}
		slo := []float64{0.9, 0.99, 0.999, 0.9999}[r.IntN(4)]
		b := budgetOf(h, slo, State{}, noon)
		count := func(window time.Duration) (known, down float64) {
			for at := noon.Add(-window); at.Before(noon); at = at.Add(time.Minute) {
				minute := timeline.Between(at, at.Add(time.Minute))
				switch {
				case len(h.Excused.Within(minute)) > 0 || len(h.Unknown.Within(minute)) > 0:
				case len(h.Down.Within(minute)) > 0:
					down++
					fallthrough
				default:
					known++
				}
			}
			return known, down
		}
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6*(1+math.Abs(b)) }
		known, down := count(budgetWindow)
		if total := known * (1 - slo); !near(b.Total.Minutes(), total) || !near(b.Left.Minutes(), total-down) {
			t.Fatalf("%s of %s is left, want %v minutes less %v", b.Left, b.Total, total, down)
		}
		for _, w := range burnWindows {
			known, down := count(w.Length)
			rate, is := b.Burns[w.Name]
			if is != (known >= w.Length.Minutes()/2) || is && !near(rate, down/known/(1-slo)) {
				t.Fatalf("in %s it burns at %v, %v: want %v of %v minutes", w.Name, rate, is, down, known)
			}
		}
	}
}

// budgetRig is a copy that watches, whose clock stands still; its monitors are as the test
// says.
type budgetRig struct {
	*watch
	clock *clocktest.Clock

	mu      sync.Mutex
	told    []Told
	planned timeline.Spans
}

func newBudgetRig(t testing.TB, store docstore.Store, monitors ...Monitor) *budgetRig {
	t.Helper()
	r := &budgetRig{clock: clocktest.New()}
	s := New(Config{
		Store: store, Now: r.clock.Now, Prober: probe.New(probe.Options{}), Monitors: monitors, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Planned: func(_ context.Context, _ string, window timeline.Span) timeline.Spans {
			return r.planned.Within(window)
		},
		Tell: func(_ context.Context, told Told) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !slices.ContainsFunc(r.told, func(before Told) bool { return before.ID == told.ID }) {
				r.told = append(r.told, told)
			}
			return nil
		},
	})
	r.watch = &watch{Service: s, held: lease.Held{Fence: 1}, watched: map[string]*watched{}}
	r.read(t)
	return r
}

// read takes what the store has of all monitors, as who begins to watch does.
func (r *budgetRig) read(t testing.TB) {
	t.Helper()
	for _, m := range r.set.Load().monitors {
		st, err := r.states.Upsert(t.Context(), State{ID: m.ID, Since: docstore.At(noon.Add(-60 * aDay)), Confirm: confirm.State{Since: docstore.At(noon.Add(-60 * aDay))}}, func(*State, bool) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		r.watched[m.ID] = &watched{Monitor: m, state: st}
	}
}

// isDown has monitors be down from now on, or up; people were told of that.
func (r *budgetRig) isDown(t testing.TB, down bool, ids ...string) {
	t.Helper()
	for _, id := range ids {
		st, err := r.states.Update(t.Context(), id, func(st *State) error {
			st.Confirm.Down, st.Told = down, down
			if down {
				st.Down = st.Down.Open(r.clock.Now())
			} else {
				st.Down = st.Down.Close(r.clock.Now(), 0)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		r.watched[id].state, r.watched[id].down = st, down
	}
}

// passes lets time go by, in which budgets are looked at all the while.
func (r *budgetRig) passes(t testing.TB, d time.Duration) {
	t.Helper()
	for end := r.clock.Now().Add(d); r.clock.Now().Before(end); {
		r.clock.Add(min(budgetsEvery, end.Sub(r.clock.Now())))
		if err := r.checkBudgets(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// outage has monitors be down for a time.
func (r *budgetRig) outage(t testing.TB, d time.Duration, ids ...string) {
	t.Helper()
	r.isDown(t, true, ids...)
	r.passes(t, d)
	r.isDown(t, false, ids...)
}

// says is what was told since, such as "page api" and "end page api".
func (r *budgetRig) says(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	for _, told := range r.told {
		text := string(told.Severity) + " " + told.Monitor.ID
		if told.Over {
			text = "end " + text
		}
		if got = append(got, text); told.Kind != SLOBurning || told.Title.Ar == "" || told.Text.Ar == "" {
			t.Errorf("told was %+v", told)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("told were %q, want %q", got, want)
	}
	r.told = nil
}

func withSLO(id string, slo float64) Monitor {
	return Monitor{ID: id, Type: probe.HTTP, URL: "http://127.0.0.1:1/", SLO: slo}
}

func TestOneOutageIsATicketOnceItIsUp(t *testing.T) {
	t.Parallel()
	r := newBudgetRig(t, storetest.New(t, Specs()...), withSLO("api", 0.999), withSLO("web", 0.9), Monitor{ID: "none", Type: probe.HTTP, URL: "http://127.0.0.1:1/"})
	r.outage(t, 20*time.Minute, "api", "web", "none")
	r.says(t)
	r.passes(t, 10*time.Minute)
	if text := r.told[0].Text.En; !strings.Contains(text, "was down for 20 minutes, 46 % of what its SLO allows in 30 days (43 minutes") || !strings.Contains(text, "53 % is left, 23 minutes") {
		t.Errorf("it says %q", text)
	}
	r.says(t, "ticket api")
	r.passes(t, 7*time.Hour)
	r.says(t, "end ticket api")
	r.passes(t, aDay)
	r.says(t)
	w, err := r.Monitor(t.Context(), "api")
	if err != nil || w.Budget == nil || math.Abs(w.Budget.Ratio()-(1-20/43.2)) > 0.001 || len(w.Budget.Burning) != 0 {
		t.Errorf("its budget is %+v, %v", w.Budget, err)
	}
	if none, err := r.Monitor(t.Context(), "none"); err != nil || none.Budget != nil {
		t.Errorf("what has no SLO has a budget: %+v, %v", none.Budget, err)
	}
}

// Outages of a minute, every forty minutes of a day: one page, and one ticket.
func TestManyShortOutagesAreOnePage(t *testing.T) {
	t.Parallel()
	r := newBudgetRig(t, storetest.New(t, Specs()...), withSLO("api", 0.999))
	for range 36 {
		r.outage(t, time.Minute, "api")
		r.passes(t, 39*time.Minute)
	}
	r.says(t, "page api", "ticket api")
	r.passes(t, 7*time.Hour)
	r.says(t, "end page api", "end ticket api")
}

// Forty seconds of each day for more than a month, which is half of what it may be down; and then
// three minutes of each.
func TestAMonthWithinItsBudgetTellsNobody(t *testing.T) {
	t.Parallel()
	r := newBudgetRig(t, storetest.New(t, Specs()...), withSLO("api", 0.999))
	left := func() float64 {
		w, err := r.Monitor(t.Context(), "api")
		if err != nil {
			t.Fatal(err)
		}
		return w.Budget.Ratio()
	}
	days := func(n int, down time.Duration) {
		for range n {
			r.outage(t, down, "api")
			r.passes(t, aDay-down)
		}
	}
	days(35, 40*time.Second)
	r.says(t)
	if got, want := left(), 1-30*40/2592.0; math.Abs(got-want) > 1e-6 {
		t.Errorf("%v is left, want %v", got, want)
	}
	days(2, 3*time.Minute)
	r.says(t, "ticket api", "end ticket api", "ticket api", "end ticket api")
	days(28, 3*time.Minute)
	if got, want := left(), 1-30*180/2592.0; math.Abs(got-want) > 1e-6 {
		t.Errorf("%v is left, want %v", got, want)
	}
}

// What everybody knows is gone, or works at, isn't the child's own doing.
func TestABudgetThatAParentBurnsIsToldOnce(t *testing.T) {
	t.Parallel()
	monitors, all := []Monitor{withSLO("gateway", 0.999)}, []string{"gateway"}
	for i := range 30 {
		m := withSLO(fmt.Sprint("child-", i), 0.999)
		m.Parent = "gateway"
		monitors, all = append(monitors, m), append(all, m.ID)
	}
	r := newBudgetRig(t, storetest.New(t, Specs()...), monitors...)
	for range 3 {
		r.isDown(t, true, all[1:]...) // they are seen to be down before it, and to be up after it
		r.passes(t, 30*time.Second)
		r.outage(t, 2*time.Minute, "gateway")
		r.passes(t, time.Minute)
		r.isDown(t, false, all[1:]...)
		r.passes(t, 10*time.Minute)
	}
	r.says(t, "page gateway", "ticket gateway")
	r.outage(t, 2*time.Minute, "child-7")
	r.passes(t, 10*time.Minute)
	r.outage(t, 2*time.Minute, "child-7")
	r.says(t, "page child-7")
}

func TestMaintenanceAndWhatNobodyKnowsBurnNothing(t *testing.T) {
	t.Parallel()
	r := newBudgetRig(t, storetest.New(t, Specs()...), withSLO("api", 0.999))
	now := r.clock.Now()
	r.planned = timeline.Of(timeline.Between(now, now.Add(2*time.Hour)))
	r.noted.Gaps = timeline.Of(timeline.Between(now.Add(4*time.Hour), now.Add(6*time.Hour)))
	for range 2 {
		for range 2 {
			r.outage(t, 20*time.Minute, "api")
			r.passes(t, 40*time.Minute)
		}
		r.passes(t, 2*time.Hour)
	}
	r.says(t)
}

func TestABudgetStopsBurningWithItsSLO(t *testing.T) {
	t.Parallel()
	r := newBudgetRig(t, storetest.New(t, Specs()...), withSLO("api", 0.999), withSLO("web", 0.999))
	for range 2 {
		r.outage(t, 2*time.Minute, "api", "web")
		r.passes(t, 10*time.Minute)
	}
	if len(r.told) != 2 {
		t.Fatalf("told were %+v", r.told)
	}
	r.told = nil
	r.SetMonitors(Policy{withSLO("api", 0)})
	r.watched["api"].Monitor = withSLO("api", 0).usual()
	r.passes(t, time.Minute)
	r.says(t, "end page api")
	if _, err := r.retire(t.Context(), r.watched["web"].state, Monitor{ID: "web", Name: "web"}, goneTitle); err != nil {
		t.Fatal(err)
	}
	if last := r.told[0]; len(r.told) != 1 || !last.Over || last.Title.En != "web isn't watched any more" {
		t.Errorf("told were %+v", r.told)
	}
}

// The calls of the store are cut short one after the other; another copy goes on then.
func TestABurningBudgetIsToldOnceWhateverIsCutShort(t *testing.T) {
	t.Parallel()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newBudgetRig(t, store, withSLO("api", 0.999))
		for range 2 { // as nobody looked at budgets meanwhile
			r.isDown(t, true, "api")
			r.clock.Add(2 * time.Minute)
			r.isDown(t, false, "api")
			r.clock.Add(time.Minute)
		}
		r.isDown(t, true, "api")
		cut(func() error { return r.checkBudgets(t.Context()) })
		next := newBudgetRig(t, store, withSLO("api", 0.999))
		next.clock.Set(r.clock.Now().Add(time.Minute))
		next.held = lease.Held{Fence: 2}
		next.told = r.told
		if err := next.relay.DeliverStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		next.read(t)
		if err := next.checkBudgets(t.Context()); err != nil {
			t.Fatal(err)
		}
		next.says(t, "page api")
		st, err := next.states.Get(t.Context(), "api")
		if err != nil || len(st.Pending) != 0 || len(st.Burning) != 1 {
			t.Errorf("%+v %v", st, err)
		}
	})
}

func TestWhoWatchedBeforeTellsOfNoBudget(t *testing.T) {
	t.Parallel()
	r := newBudgetRig(t, storetest.New(t, Specs()...), withSLO("api", 0.999))
	for range 2 {
		r.isDown(t, true, "api")
		r.clock.Add(2 * time.Minute)
		r.isDown(t, false, "api")
		r.clock.Add(time.Minute)
	}
	if _, err := r.states.Update(t.Context(), "api", func(st *State) error { st.Fence = 2; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.checkBudgets(t.Context()); !errors.Is(err, lease.ErrLost) || len(r.told) != 0 {
		t.Errorf("told were %+v, %v", r.told, err)
	}
}

// Who begins to watch looks at what was burnt before.
func TestWhoWatchesLooksAtBudgets(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	m := api.monitor("api")
	m.SLO = 0.999
	store := storetest.New(t, Specs()...)
	registry := prometheus.NewRegistry()
	now := time.Now()
	st := State{ID: "api", Since: docstore.At(now.Add(-aDay)), Confirm: confirm.State{Since: docstore.At(now.Add(-aDay))}, Down: timeline.Of(timeline.Between(now.Add(-20*time.Minute), now.Add(-10*time.Minute)), timeline.Between(now.Add(-5*time.Minute), now.Add(-time.Minute)))}
	if _, err := New(Config{Store: store}).states.Upsert(t.Context(), st, func(*State, bool) error { return nil }); err != nil {
		t.Fatal(err)
	}
	r := start(t, store, func(c *Config) { c.Metrics = registry }, m)
	r.heard.Until(t, func() bool { return len(r.said()) == 2 })
	if got := r.said(); !slices.Equal(got, []string{"API burns its error budget fast", "API burns its error budget"}) {
		t.Errorf("told were %q", got)
	}
	waittest.Poll(t, func() bool {
		left, is := gaugesOf(t, registry, "manus_monitor_slo_budget_ratio")["api"]
		return is && math.Abs(left-(1-14/43.2)) < 0.01
	})
	r.stop()
	if all := gaugesOf(t, registry, "manus_monitor_slo_budget_ratio"); len(all) != 0 {
		t.Errorf("who doesn't watch says %v", all)
	}
}

// Ten thousand budgets that have all been burnt a little.
func BenchmarkTenThousandBudgets(b *testing.B) {
	for _, part := range []int{1, 100} {
		b.Run(fmt.Sprintf("1 of %d was down", part), func(b *testing.B) {
			r := newBudgetRig(b, storetest.New(b, Specs()...))
			for i := range 10_000 {
				m := withSLO(fmt.Sprint("m", i), 0.99).usual()
				st := State{ID: m.ID, Since: docstore.At(noon.Add(-60 * aDay)), Confirm: confirm.State{Since: docstore.At(noon.Add(-60 * aDay))}}
				if i%part == 0 {
					for k := range 20 {
						began := noon.Add(-time.Duration(k+1) * aDay)
						st.Down = st.Down.Or(timeline.Between(began, began.Add(5*time.Minute)))
					}
				}
				r.watched[m.ID] = &watched{Monitor: m, state: st}
			}
			for b.Loop() {
				if err := r.checkBudgets(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
