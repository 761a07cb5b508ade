package uptime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/language"
	"manus/lease"
	"manus/uptime/confirm"
	"manus/uptime/probe"
)

// fast is a pace a hundred times as fast as people's.
var fast = pace{every: 50 * time.Millisecond, freshFor: 2 * time.Second, silentAfter: 4 * time.Second}

// partial is a target that some places can't reach.
type partial struct {
	*target
	mu   sync.Mutex
	down map[string]bool // by place
}

func newPartial(t *testing.T) *partial {
	t.Helper()
	one := &partial{target: &target{}, down: map[string]bool{}}
	one.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.mu.Lock()
		defer one.mu.Unlock()
		if _, place, _ := strings.Cut(r.UserAgent(), "/"); one.down[place] {
			w.WriteHeader(http.StatusInternalServerError)
		}
		one.checks.Add(1)
		one.seen.Wake()
	}))
	t.Cleanup(one.Close)
	return one
}

// fails has a target be down as places see it, and up as all others do.
func (one *partial) fails(places ...string) {
	one.mu.Lock()
	defer one.mu.Unlock()
	clear(one.down)
	for _, place := range places {
		one.down[place] = true
	}
}

// seenAs says from which place a Service looks.
func seenAs(c *Config, place string, now func() time.Time) {
	c.Place, c.Prober, c.pace = place, probe.New(probe.Options{Version: place, Now: now}), fast
}

// line is the way from a place to the server, which can be cut.
type line struct {
	Server
	cut atomic.Bool
}

func (l *line) HandIn(ctx context.Context, r Report) (Receipt, error) {
	if l.cut.Load() {
		return Receipt{}, errors.New("the line is cut")
	}
	return l.Server.HandIn(ctx, r)
}

// outpost is another place.
type outpost struct {
	*Handover
	*line
	stop  func()
	ended chan error
}

// place starts a place that hands in to a rig.
func (r *rig) place(t *testing.T, name string) *outpost {
	t.Helper()
	return placeOn(t, r, storetest.New(t, append(PlaceSpecs(), lease.Specs()...)...), name, r.clock)
}

func placeOn(t *testing.T, server Server, store docstore.Store, name string, clock *clocktest.Clock) *outpost {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	o := &outpost{line: &line{Server: server}, ended: make(chan error, 1)}
	o.Handover = NewHandover(HandoverConfig{Place: name, Server: o.line, Store: store, Now: clock.Now, Log: log})
	c := Config{Store: store, Leases: lease.New(lease.Config{Store: store, TTL: time.Second, Log: log}), References: []string{}, Now: clock.Now, Log: log, Kept: o.Kept}
	seenAs(&c, name, clock.Now)
	here := New(c)
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { here.Run(ctx) })
	working.Go(func() { o.ended <- o.Run(ctx, here) })
	o.stop = sync.OnceFunc(func() { cancel(); working.Wait() })
	t.Cleanup(o.stop)
	return o
}

// startPlaces starts a server whose own place is called here, and others.
func startPlaces(t *testing.T, store docstore.Store, names []string, monitors ...Monitor) (*rig, map[string]*outpost) {
	t.Helper()
	var r *rig
	clock := clocktest.Running(0)
	r = start(t, store, func(c *Config) { c.Now = clock.Now; seenAs(c, DefaultPlace, clock.Now) }, monitors...)
	r.clock = clock
	all := map[string]*outpost{}
	for _, name := range names {
		all[name] = r.place(t, name)
	}
	for _, name := range names {
		for _, m := range monitors {
			if m.Locations.has(name) {
				r.awaitView(t, name, m.ID, false)
			}
		}
	}
	return r, all
}

// awaitView waits until a place has told how it sees a monitor.
func (r *rig) awaitView(t *testing.T, name, monitor string, down bool) {
	t.Helper()
	waittest.Poll(t, func() bool {
		p, err := r.places.Get(t.Context(), name)
		if err := docstore.NotFoundAs(err, nil); err != nil {
			t.Fatal(err)
		}
		seen, knows := p.outlook().sees[monitor]
		return knows && seen.Down == down
	})
}

func TestMoreThanHalfOfThePlacesMakeAnOutage(t *testing.T) {
	t.Parallel()
	api := newPartial(t)
	r, _ := startPlaces(t, nil, []string{"fra", "nyc"}, api.monitor("api"))
	waittest.Poll(t, func() bool { return r.status(t, "api") == Up })
	api.fails("fra")
	r.awaitView(t, "fra", "api", true)
	api.fails()
	r.awaitView(t, "fra", "api", false)
	api.fails(DefaultPlace)
	waittest.Poll(t, func() bool { return r.state(t, "api").Here.Down })
	api.checked(t, 20)
	r.hears(t)
	if got := r.status(t, "api"); got != Up {
		t.Errorf("with one place of three it is %s", got)
	}
	api.fails()
	waittest.Poll(t, func() bool { return !r.state(t, "api").Here.Down })
	api.fails("fra", "nyc")
	r.hears(t, "API is down")
	api.fails(DefaultPlace, "fra", "nyc")
	r.awaitView(t, "nyc", "api", true)
	api.checked(t, 20)
	api.fails("nyc")
	r.hears(t, "API is down", "API is up again")
	looks := r.told[0].Looks
	from := func(place string) bool {
		return slices.ContainsFunc(looks, func(l Look) bool { return l.Place == place })
	}
	if !from("fra") || !from("nyc") || from(DefaultPlace) {
		t.Errorf("it says %+v", looks)
	}
	w, err := r.Monitor(t.Context(), "api")
	if f := w.Figures["24h"]; err != nil || f.Down <= 0 || f.Unknown != 0 {
		t.Errorf("the figures are %+v, %v", f, err)
	}
}

// A place that falls silent is told, with its end, and says nothing of what it has watched.
func TestASilentPlaceIsOneAlertOfThePlace(t *testing.T) {
	t.Parallel()
	api, web := newPartial(t), newPartial(t)
	m := web.monitor("web")
	m.Locations.Quorum = 2
	r, places := startPlaces(t, nil, []string{"fra", "nyc"}, api.monitor("api"), m)
	web.fails("fra")
	r.awaitView(t, "fra", "web", true)
	places["nyc"].cut.Store(true)
	r.hears(t, "nyc: nothing is heard of the place")
	if told := r.told[0]; told.Kind != ProbeSilent || told.Place != "nyc" || told.Monitor.ID != "" {
		t.Errorf("it is %+v", told)
	}
	api.checked(t, 10)
	places["nyc"].cut.Store(false)
	r.hears(t, "nyc: nothing is heard of the place", "nyc: the place is heard of again")
	if r.told[0].Occurrence != r.told[1].Occurrence || !r.told[1].Over {
		t.Errorf("its end is %+v", r.told[1])
	}
	places["fra"].cut.Store(true)
	places["nyc"].cut.Store(true)
	r.heard.Until(t, func() bool { return len(r.said()) == 4 })
	if got := r.status(t, "web"); got != Up {
		t.Errorf("web is %s", got)
	}
	web.fails(DefaultPlace) // and now the one that is left sees it
	r.heard.Until(t, func() bool { return slices.Contains(r.said(), "WEB is down") })
	if err := r.ForgetPlace(t.Context(), "fra"); err != nil {
		t.Error(err)
	}
	r.heard.Until(t, func() bool { return slices.Contains(r.said(), "fra: the place was removed") })
	if err := r.ForgetPlace(t.Context(), "fra"); !errors.Is(err, ErrNoPlace) {
		t.Errorf("forgotten twice: %v", err)
	}
}

// What a place has found while it was cut off comes later, as of then, and changes nothing of
// what was known.
func TestWhatACutOffPlaceHasFoundComesLater(t *testing.T) {
	t.Parallel()
	api := newPartial(t)
	r, places := startPlaces(t, nil, []string{"fra"}, api.monitor("api"))
	from := func(place string, since time.Time) (good, bad int) {
		all, _, err := r.Results(t.Context(), "api", 5000, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.Place == place && f.At.After(since) {
				if bad++; f.Up {
					bad--
					good++
				}
			}
		}
		return good, bad
	}
	waittest.Poll(t, func() bool { good, _ := from("fra", time.Time{}); return good > 0 })
	places["fra"].cut.Store(true)
	cut := r.clock.Now()
	api.fails("fra")
	seen := api.checks.Load()
	api.seen.Until(t, func() bool { return api.checks.Load() > seen+100 })
	api.fails()
	if _, bad := from("fra", cut); bad > 0 {
		t.Fatalf("%d came through", bad)
	}
	back := r.clock.Now()
	places["fra"].cut.Store(false)
	waittest.Poll(t, func() bool { _, bad := from("fra", cut); return bad > 3 })
	waittest.Poll(t, func() bool { good, _ := from("fra", back); return good > 3 })
	r.hears(t)
	if st := r.state(t, "api"); len(st.Down) > 0 || st.Confirm.Down || len(st.Unseen) > 0 {
		t.Errorf("it has changed what was known: %+v", st)
	}
	if p, err := r.places.Get(t.Context(), "fra"); err != nil || p.Dropped != 0 {
		t.Errorf("given up were %d, %v", p.Dropped, err)
	}
}

// A place whose program was killed goes on as it was: with what it watches, and what it hasn't
// handed in.
func TestAPlaceThatIsStartedAgainHandsInWhatItHasMissed(t *testing.T) {
	t.Parallel()
	api := newPartial(t)
	r, _ := startPlaces(t, nil, nil, api.monitor("api"))
	store := storetest.New(t, append(PlaceSpecs(), lease.Specs()...)...)
	first := placeOn(t, r, store, "fra", r.clock)
	r.awaitView(t, "fra", "api", false)
	waittest.Poll(t, func() bool {
		p, err := first.progress.Get(t.Context(), theProgress)
		return err == nil && !p.Until.IsZero() && p.List != nil
	})
	first.cut.Store(true)
	cut := r.clock.Now()
	seen := api.checks.Load()
	api.seen.Until(t, func() bool { return api.checks.Load() > seen+50 })
	first.stop() // it can't say that it leaves
	ended := r.clock.Now()
	second := placeOn(t, r, store, "fra", r.clock)
	waittest.Poll(t, func() bool {
		all, _, err := r.Results(t.Context(), "api", 5000, "")
		return err == nil && slices.ContainsFunc(all, func(f Found) bool { return f.Place == "fra" && f.At.After(cut) && f.At.Before(ended) })
	})
	second.stop()
	if p, err := r.places.Get(t.Context(), "fra"); err != nil || p.Instance != "" {
		t.Errorf("it has left, and %+v, %v", p, err)
	}
}

func TestTwoProgramsOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	api := newPartial(t)
	r, _ := startPlaces(t, nil, []string{"fra"}, api.monitor("api"))
	second := r.place(t, "fra")
	if err := <-second.ended; !errors.Is(err, ErrPlaceTaken) {
		t.Errorf("the second: %v", err)
	}
	own := r.place(t, DefaultPlace)
	if err := <-own.ended; !errors.Is(err, ErrOwnPlace) {
		t.Errorf("one that is called as the server's own: %v", err)
	}
	if !r.line(t, "fra") {
		t.Error("the first isn't there any more")
	}
}

// line tells whether a place is heard of.
func (r *rig) line(t *testing.T, name string) bool {
	all, err := r.Places(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(p Place) bool { return p.Name == name && !p.Silent })
}

// Another copy takes over in the middle of an outage that most places see.
func TestWhoTakesOverKnowsWhatPlacesHaveTold(t *testing.T) {
	t.Parallel()
	api := newPartial(t)
	store := storetest.New(t)
	first, _ := startPlaces(t, store, []string{"fra", "nyc"}, api.monitor("api"))
	api.fails("fra", "nyc")
	first.hears(t, "API is down")
	first.stop()
	second := start(t, store, func(c *Config) { c.Now = first.clock.Now; seenAs(c, DefaultPlace, first.clock.Now) }, api.monitor("api"))
	api.checked(t, 30)
	second.hears(t)
	if got := second.status(t, "api"); got != Down {
		t.Errorf("it is %s", got)
	}
	api.fails()
	second.hears(t, "API is up again")
	if first.told[0].Occurrence != second.told[0].Occurrence {
		t.Errorf("the beginning was %+v, the end is %+v", first.told[0], second.told[0])
	}
}

// A monitor that is watched from elsewhere alone is down when that place sees it down, and
// unknown while nothing is heard of it.
func TestAMonitorOfAnotherPlaceAlone(t *testing.T) {
	t.Parallel()
	api := newPartial(t)
	m := api.monitor("api")
	m.Locations.Places = []string{"fra"}
	child := api.monitor("child")
	child.Parent = "api"
	r, places := startPlaces(t, nil, []string{"fra"}, m, child)
	waittest.Poll(t, func() bool { return r.status(t, "api") == Up })
	api.fails("fra")
	r.hears(t, "API is down")
	api.fails()
	r.hears(t, "API is down", "API is up again")
	places["fra"].cut.Store(true)
	waittest.Poll(t, func() bool { return r.status(t, "api") == Unknown })
	if got := r.status(t, "child"); got != Up {
		t.Errorf("the child is %s", got)
	}
	places["fra"].cut.Store(false)
	waittest.Poll(t, func() bool { return r.status(t, "api") == Up })
	if w, err := r.Monitor(t.Context(), "api"); err != nil || w.Figures["24h"].Unknown <= 0 {
		t.Errorf("the figures are %+v, %v", w.Figures["24h"], err)
	}
	all, _, err := r.Results(t.Context(), "api", 5000, "")
	if err != nil || slices.ContainsFunc(all, func(f Found) bool { return f.Place != "fra" }) {
		t.Errorf("it was checked from elsewhere: %v", err)
	}
}

// Children that most places see down are held back while their parent is down by most, however
// seldom that is looked at, and until they may have been seen to be up after it.
func TestThirtyChildrenAndAParentOfSeveralPlacesAreOneAlert(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{40 * time.Millisecond, 2 * time.Second} {
		t.Run(every.String(), func(t *testing.T) {
			t.Parallel()
			shared := newPartial(t)
			gateway := shared.monitor("gateway")
			gateway.Every = every
			all := []Monitor{gateway}
			for n := range 30 {
				child := shared.monitor(fmt.Sprint("child", n))
				child.Parent, child.Every = "gateway", 400*time.Millisecond
				all = append(all, child)
			}
			r, _ := startPlaces(t, nil, []string{"fra", "nyc"}, all...)
			are := func(want Status) func() bool {
				return func() bool {
					return !slices.ContainsFunc(all, func(m Monitor) bool { return r.status(t, m.ID) != want })
				}
			}
			waittest.Poll(t, are(Up))
			shared.fails("fra", "nyc")
			waittest.Poll(t, are(Down))
			shared.checked(t, 200)
			r.hears(t, "GATEWAY is down")
			shared.fails()
			waittest.Poll(t, are(Up))
			r.hears(t, "GATEWAY is down", "GATEWAY is up again")
		})
	}
}

// reception is a Service that nobody runs, to hand in to.
func reception(t *testing.T, monitors ...Monitor) (*Service, *clocktest.Clock) {
	t.Helper()
	clock := clocktest.New()
	return New(Config{
		Store: storetest.New(t, Specs()...), Now: clock.Now, Monitors: monitors, Prober: probe.New(probe.Options{}), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}), clock
}

func report(name string, now time.Time, results ...Found) Report {
	return Report{Place: name, Instance: "one", Now: now, View: View{Up: []string{}, Seen: []Seen{}}, Results: results}
}

func TestWhatIsHandedInTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	api := Monitor{ID: "api", Type: probe.TCP, URL: "192.0.2.1:80"}
	s, clock := reception(t, api)
	at := clock.Now().Add(-time.Minute)
	handed := []Found{{Monitor: "api", Result: probe.Result{At: at, Up: true}}, {Monitor: "api", Result: probe.Result{At: at.Add(time.Second)}}, {Monitor: "other", Result: probe.Result{At: at}}}
	for range 3 {
		receipt, err := s.HandIn(t.Context(), report("fra", clock.Now(), slices.Clone(handed)...))
		if err != nil || receipt.Kept != 2 || receipt.Refused != 1 || receipt.Version == "" {
			t.Fatalf("%+v %v", receipt, err)
		}
	}
	if left, err := s.keep(t.Context(), []found{{"api", probe.Result{At: at, Up: true}}}); err != nil || left != nil {
		t.Fatal(left, err)
	}
	if _, err := s.HandIn(t.Context(), report("nyc", clock.Now(), slices.Clone(handed)...)); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for cursor := ""; ; {
		page, next, err := s.Results(t.Context(), "api", 2, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range page {
			seen = append(seen, fmt.Sprint(f.Place, " ", f.At.Sub(at)))
		}
		if cursor = next; next == "" {
			break
		}
	}
	if want := []string{"nyc 1s", "fra 1s", "nyc 0s", "fra 0s", " 0s"}; !slices.Equal(seen, want) {
		t.Errorf("there are %q, want %q", seen, want)
	}
	h, err := s.hours.Get(t.Context(), hourID("api", at))
	if err != nil || len(h.Packed) > 100 {
		t.Errorf("%d bytes, %v", len(h.Packed), err)
	}
}

// A place whose clock is wrong by an hour is corrected; one that is as wrong as the way to the
// server is long isn't.
func TestAWrongClockIsCorrected(t *testing.T) {
	t.Parallel()
	api := Monitor{ID: "api", Type: probe.TCP, URL: "192.0.2.1:80"}
	for off, want := range map[time.Duration]time.Duration{0: 0, 2 * time.Second: 0, -3 * time.Second: 0, time.Hour: time.Hour, -30 * 24 * time.Hour: -30 * 24 * time.Hour} {
		s, clock := reception(t, api)
		theirs := clock.Now().Add(-off)
		r := report("fra", theirs, Found{Monitor: "api", Result: probe.Result{At: theirs.Add(-time.Minute), Up: true}})
		r.View.Seen = []Seen{{Monitor: "api", Down: true, Since: theirs.Add(-time.Minute), Tried: []Try{{At: theirs.Add(-time.Minute)}}}}
		receipt, err := s.HandIn(t.Context(), r)
		if err != nil || receipt.ClockOff != want.Seconds() || receipt.Kept != 1 {
			t.Fatalf("%s: %+v %v", off, receipt, err)
		}
		ours := clock.Now().Add(-time.Minute + want - off)
		all, _, err := s.Results(t.Context(), "api", 10, "")
		if err != nil || len(all) != 1 || all[0].At.Sub(ours).Abs() > time.Millisecond {
			t.Errorf("%s: %+v, want %s, %v", off, all, ours, err)
		}
		p, err := s.places.Get(t.Context(), "fra")
		if seen := p.outlook().sees["api"]; err != nil || seen.Since.Sub(ours).Abs() > time.Millisecond || seen.Tried[0].At.Sub(ours).Abs() > time.Millisecond {
			t.Errorf("%s: %+v %v", off, seen, err)
		}
	}
}

func TestWhatIsNoReport(t *testing.T) {
	t.Parallel()
	s, clock := reception(t)
	for field, change := range map[string]func(*Report){
		"place":    func(r *Report) { r.Place = "Frankfurt" },
		"instance": func(r *Report) { r.Instance = "" },
		"now":      func(r *Report) { r.Now = time.Time{} },
		"results":  func(r *Report) { r.Results = make([]Found, maxReport+1) },
		"view":     func(r *Report) { r.View.Up = make([]string, MaxMonitors+1) },
		"view.seen": func(r *Report) {
			r.View.Seen = []Seen{{Since: clock.Now(), Tried: make([]Try, maxTried+1)}}
		},
	} {
		r := report("fra", clock.Now())
		change(&r)
		if _, err := s.HandIn(t.Context(), r); !errors.Is(err, ErrReport) || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if all, err := s.Places(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("there are %+v, %v", all, err)
	}
	for i := range maxPlaces + 1 {
		_, err := s.HandIn(t.Context(), report(fmt.Sprint("place-", i), clock.Now()))
		if full := i == maxPlaces; full != errors.Is(err, ErrTooManyPlace) || !full && err != nil {
			t.Fatalf("place %d: %v", i, err)
		}
	}
}

// What a place says of errors is shown to people: in one line, with nothing that turns the rest
// of it round.
func TestTextsOfAPlaceAreTidied(t *testing.T) {
	t.Parallel()
	got := tidied(language.Text{En: "a\nb\u202e\x1b[31mc", Ar: "أ\u2068b\u2069\u2069 \u202e\u2068ج"})
	if want := (language.Text{En: "a b [31mc", Ar: "أ\u2068b\u2069  \u2068ج\u2069"}); got != want {
		t.Errorf("%q", got)
	}
	if got := tidied(language.Text{En: strings.Repeat("x", 5000)}); len(got.En) > maxTold {
		t.Errorf("%d bytes", len(got.En))
	}
}

// How a place sees a monitor outlives the copy that has watched.
func TestHowThisPlaceSeesItIsKept(t *testing.T) {
	t.Parallel()
	at := docstore.At(noon)
	st := State{Confirm: confirm.State{Since: at}, Here: confirm.State{Down: true, Since: at}}
	if !st.fromHere().Down || (State{Confirm: st.Confirm}).fromHere().Down {
		t.Error("it isn't")
	}
}

// Pings of a heartbeat come to the server: what a place says of one, or has said of a monitor
// that had its id, is nothing.
func TestNoPlaceKnowsOfAHeartbeat(t *testing.T) {
	t.Parallel()
	s, clock := reception(t, job("backup"))
	r := report("fra", clock.Now(), Found{Monitor: "backup", Result: probe.Result{At: clock.Now()}})
	r.View.Seen = []Seen{{Monitor: "backup", Down: true, Since: clock.Now()}}
	receipt, err := s.HandIn(t.Context(), r)
	if err != nil || receipt.Kept != 0 || receipt.Refused != 1 {
		t.Errorf("%+v %v", receipt, err)
	}
	said := others{"fra": {outlook: outlook{sees: map[string]Seen{"backup": {Monitor: "backup", Down: true}}}}}
	if views := said.views(job("backup")); len(views) != 0 {
		t.Errorf("it is seen so: %+v", views)
	}
}

// However many results of other places come within an hour, those from here have their room:
// figures are of these.
func TestResultsOfOtherPlacesLeaveRoomForThoseFromHere(t *testing.T) {
	t.Parallel()
	s, clock := reception(t, Monitor{ID: "api", Type: probe.TCP, URL: "192.0.2.1:80"})
	at := clock.Now().Truncate(time.Hour).Add(-2 * time.Hour)
	var handed []Found
	for n := range 3600 {
		for _, place := range []string{"fra", "nyc", "tok"} {
			handed = append(handed, Found{Monitor: "api", Place: place, Result: probe.Result{At: at.Add(time.Duration(n) * time.Second), Up: true, Total: 1000}})
		}
	}
	if err := s.keepFrom(t.Context(), handed); err != nil {
		t.Fatal(err)
	}
	keep(t, s, looks(rand.New(rand.NewPCG(1, 2)), "api", at, 720, 5*time.Second))
	rollAll(t, s)
	day, err := s.rolledDays.Get(t.Context(), dayID("api", at))
	if looks := day.Looks; err != nil || looks.Up+looks.Down+looks.Unknown != 720 {
		t.Errorf("rolled up is %+v, %v", looks, err)
	}
}

// Who takes over knows what other places have told before his first look.
func TestTheFirstLookIsNoPlaceAlone(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	api.down.Store(true)
	m := api.monitor("api")
	m.Confirm, m.Every = &[]time.Duration{}, 5*time.Millisecond
	clock := clocktest.Running(0)
	store := storetest.New(t, Specs()...)
	heard, view := docstore.At(clock.Now()), []byte(`{"up": ["api"]}`)
	if err := docstore.NewCollection[place](store, placeSpec).Insert(t.Context(), place{Name: "fra", Instance: "one", Since: heard, Heard: heard, View: view}); err != nil {
		t.Fatal(err)
	}
	r := start(t, store, func(c *Config) {
		c.Now = clock.Now
		c.pace = pace{every: time.Hour, freshFor: time.Hour, silentAfter: 2 * time.Hour}
	}, m)
	api.checked(t, 20)
	r.hears(t)
	if st := r.state(t, "api"); st.Outage != 0 || !st.Here.Down {
		t.Errorf("it is %+v", st)
	}
}

// A place that is started again says nothing before it watches: what it has seen last stands.
func TestAPlaceThatDoesNotWatchYetSaysNothing(t *testing.T) {
	t.Parallel()
	api := newPartial(t)
	r, places := startPlaces(t, nil, []string{"fra"}, api.monitor("api"))
	api.fails(DefaultPlace)
	waittest.Poll(t, func() bool { return r.state(t, "api").Here.Down })
	heard := func() place {
		p, err := r.places.Get(t.Context(), "fra")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	r.clock.Add(time.Minute) // in which fra has seen it up
	later := r.clock.Now()
	waittest.Poll(t, func() bool { return heard().Heard.After(later) })
	places["fra"].stop()
	store := places["fra"].Handover.c.Store
	ctx, release := context.WithCancel(t.Context())
	defer release()
	killed, released := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(released)
		lease.New(lease.Config{Store: store, TTL: time.Second, Log: slog.New(slog.DiscardHandler)}).Every(ctx, leaseName, time.Second, func(ctx context.Context, _ lease.Held) error {
			close(killed)
			<-ctx.Done()
			return nil
		})
	}()
	<-killed
	again := placeOn(t, r, store, "fra", r.clock)
	api.checked(t, 30)
	r.hears(t)
	if p := heard(); p.Instance == again.instance {
		t.Errorf("it has said something: %+v", p)
	}
	release()
	<-released
	waittest.Poll(t, func() bool { return heard().Instance == again.instance })
	r.awaitView(t, "fra", "api", false)
	r.hears(t)
}

// However many monitors are down at once, and whatever there is to say of each, a place can tell.
func TestAReportOfAllThatIsDownIsTaken(t *testing.T) {
	t.Parallel()
	s, clock := reception(t)
	w := &watch{Service: s, watched: map[string]*watched{}}
	text := strings.Repeat("x", 10_000)
	for n := range MaxMonitors {
		id := fmt.Sprintf("%064d", n)
		st := State{ID: id, Confirm: confirm.State{Down: true, Since: docstore.At(clock.Now())}}
		for range 2 * maxTried {
			st.Tried = append(st.Tried, Look{At: docstore.At(clock.Now()), Error: language.Text{En: text, Ar: text}})
		}
		w.watched[id] = &watched{state: st}
	}
	s.leading.Store(w)
	r := report("fra", clock.Now())
	r.View, _ = s.View()
	for n := range maxReport {
		r.Results = append(r.Results, Found{Monitor: fmt.Sprintf("%064d", n), Result: probe.Result{At: clock.Now()}})
	}
	body, err := json.Marshal(r)
	if err != nil || len(r.View.Seen) != MaxMonitors || len(r.View.Seen[0].Tried) != maxTried || len(body) > maxReportBody {
		t.Errorf("of %d it is %d bytes, %v", len(r.View.Seen), len(body), err)
	}
}
