package uptime

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/storetest"
	"manus/internal/timeline"
	"manus/internal/waittest"
	"manus/lease"
	"manus/uptime/probe"
)

// target is a server that can be up or down.
type target struct {
	*httptest.Server
	down   atomic.Bool
	checks atomic.Int64
	seen   waittest.Signal
}

func newTarget(t *testing.T) *target {
	t.Helper()
	one := &target{}
	one.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if one.down.Load() {
			w.WriteHeader(500)
		}
		one.checks.Add(1)
		one.seen.Wake()
	}))
	t.Cleanup(one.Close)
	return one
}

// checked waits until it was checked so many times more.
func (one *target) checked(t *testing.T, times int64) {
	t.Helper()
	until := one.checks.Load() + times
	one.seen.Until(t, func() bool { return one.checks.Load() >= until })
}

// monitor watches a target, a thousand times as often as people do.
func (one *target) monitor(id string) Monitor {
	return Monitor{
		ID: id, Name: strings.ToUpper(id), Type: probe.HTTP, URL: one.URL, Every: 40 * time.Millisecond, Timeout: 10 * time.Second, Private: true,
		Confirm: &[]time.Duration{5 * time.Millisecond, 15 * time.Millisecond, 35 * time.Millisecond}, UpAfter: 2,
	}
}

// rig is the room with what it tells.
type rig struct {
	*Service
	store docstore.Store
	clock *clocktest.Clock
	stop  func()

	mu      sync.Mutex
	told    []Told
	heard   waittest.Signal
	planned timeline.Spans
}

// start has monitors be watched; on a store that has been used before, where it is given.
func start(t *testing.T, store docstore.Store, change func(*Config), monitors ...Monitor) *rig {
	t.Helper()
	if store == nil {
		store = storetest.New(t)
	}
	r := &rig{store: store, clock: clocktest.Running(0)}
	if err := store.Declare(t.Context(), slices.Concat(Specs(), lease.Specs(), audit.Specs())...); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	c := Config{
		Store: store, Leases: lease.New(lease.Config{Store: store, TTL: 6 * time.Second, Log: log}), Monitors: monitors, References: []string{},
		Prober: probe.New(probe.Options{Now: r.clock.Now}), Now: r.clock.Now, Log: log, Audit: audit.New(audit.Config{Store: store, Log: log}),
		Tell: func(_ context.Context, told Told) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !slices.ContainsFunc(r.told, func(before Told) bool { return before.ID == told.ID }) { // it may come again
				r.told = append(r.told, told)
			}
			r.heard.Wake()
			return nil
		},
		Planned: func(_ context.Context, _ string, window timeline.Span) timeline.Spans {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.planned.Within(window)
		},
	}
	if change != nil {
		change(&c)
	}
	r.Service = New(c)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	r.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(r.stop)
	return r
}

// said is what was told, such as "API is down".
func (r *rig) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, told := range r.told {
		all = append(all, told.Title.En)
	}
	return all
}

// hears waits until this and nothing else was told, in this order.
func (r *rig) hears(t *testing.T, want ...string) {
	t.Helper()
	r.heard.Until(t, func() bool { return len(r.said()) >= len(want) })
	if got := r.said(); !slices.Equal(got, want) {
		t.Fatalf("told were %q, want %q", got, want)
	}
}

func (r *rig) status(t *testing.T, id string) Status {
	t.Helper()
	w, err := r.Monitor(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return w.Status
}

func TestAnOutageIsToldOnceAndItsEnd(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	r := start(t, nil, nil, api.monitor("api"))
	api.checked(t, 2)
	for outage := 1; outage <= 2; outage++ {
		api.down.Store(true)
		r.heard.Until(t, func() bool { return len(r.said()) == 2*outage-1 })
		if got := r.status(t, "api"); got != Down {
			t.Errorf("it is %s", got)
		}
		api.checked(t, 5)
		api.down.Store(false)
		r.heard.Until(t, func() bool { return len(r.said()) == 2*outage })
	}
	api.checked(t, 5)
	r.hears(t, "API is down", "API is up again", "API is down", "API is up again")
	first, second := r.told[0], r.told[2]
	if first.Kind != MonitorDown || first.Over || !r.told[1].Over || first.Occurrence != r.told[1].Occurrence || first.Occurrence == second.Occurrence {
		t.Errorf("told were %+v", r.told)
	}
	if len(first.Looks) != 4 || !strings.Contains(first.Looks[0].Error.En, "500") || !strings.Contains(first.Text.En, "500") || first.Text.Ar == "" {
		t.Errorf("it says %+v", first)
	}
	if got := r.status(t, "api"); got != Up {
		t.Errorf("it is %s", got)
	}
	w, err := r.Monitor(t.Context(), "api")
	if f := w.Figures["24h"]; err != nil || f.Down <= 0 || f.Down >= f.Known || f.Unknown != 0 {
		t.Errorf("the figures are %+v, %v", f, err)
	}
}

func TestOneFailureIsNoOutage(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	var seen waittest.Signal
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%4 == 0 { // three of four are good
			w.WriteHeader(500)
		}
		seen.Wake()
	}))
	t.Cleanup(server.Close)
	api := target{Server: server}
	r := start(t, nil, nil, api.monitor("api"))
	seen.Until(t, func() bool { return n.Load() > 60 })
	r.hears(t)
	if got := r.status(t, "api"); got != Up {
		t.Errorf("it is %s", got)
	}
}

func TestThirtyChildrenAndAParentAreOneAlert(t *testing.T) {
	t.Parallel()
	shared := newTarget(t)
	monitors := []Monitor{shared.monitor("gateway")}
	for i := range 30 {
		m := shared.monitor(fmt.Sprint("child-", i))
		m.Parent = "gateway"
		monitors = append(monitors, m)
	}
	r := start(t, nil, nil, monitors...)
	allAre := func(want Status) func() bool {
		return func() bool {
			all, err := r.Monitors(t.Context())
			return err == nil && !slices.ContainsFunc(all, func(w Watched) bool { return w.Status != want })
		}
	}
	waittest.Poll(t, allAre(Up))
	shared.down.Store(true)
	waittest.Poll(t, allAre(Down))
	shared.checked(t, 100)
	r.hears(t, "GATEWAY is down")
	shared.down.Store(false)
	waittest.Poll(t, allAre(Up))
	r.hears(t, "GATEWAY is down", "GATEWAY is up again")
}

func TestAChildThatIsDownByItselfIsTold(t *testing.T) {
	t.Parallel()
	gateway, api := newTarget(t), newTarget(t)
	child := api.monitor("api")
	child.Parent = "gateway"
	r := start(t, nil, nil, gateway.monitor("gateway"), child)
	api.checked(t, 2)
	gateway.checked(t, 2)
	api.down.Store(true)
	r.hears(t, "API is down")
	api.down.Store(false)
	r.hears(t, "API is down", "API is up again")
}

// A child that is still down when its parent is up again is told then.
func TestAChildThatStaysDownIsToldAfterItsParent(t *testing.T) {
	t.Parallel()
	gateway, api := newTarget(t), newTarget(t)
	child := api.monitor("api")
	child.Parent = "gateway"
	gateway.down.Store(true)
	api.down.Store(true)
	r := start(t, nil, nil, gateway.monitor("gateway"), child)
	r.hears(t, "GATEWAY is down")
	waittest.Poll(t, func() bool { return r.status(t, "api") == Down })
	api.checked(t, 5)
	gateway.down.Store(false)
	r.heard.Until(t, func() bool { return len(r.said()) >= 3 })
	if got := r.said(); !slices.Contains(got, "API is down") || !slices.Contains(got, "GATEWAY is up again") {
		t.Errorf("told were %q", got)
	}
}

func TestDuringMaintenanceNobodyIsToldAndAtItsEndOfWhatIsDown(t *testing.T) {
	t.Parallel()
	api, web := newTarget(t), newTarget(t)
	r := start(t, nil, nil, api.monitor("api"), web.monitor("web"))
	api.checked(t, 2)
	web.checked(t, 2)
	r.mu.Lock()
	r.planned = timeline.Of(timeline.Between(r.clock.Now().Add(-time.Minute), r.clock.Now().Add(time.Hour)))
	r.mu.Unlock()
	api.down.Store(true)
	web.down.Store(true)
	down := func(id string) func() bool {
		return func() bool { st, err := r.states.Get(t.Context(), id); return err == nil && st.Confirm.Down }
	}
	waittest.Poll(t, down("api"))
	waittest.Poll(t, down("web"))
	if got := r.status(t, "api"); got != Maintenance {
		t.Errorf("it is %s", got)
	}
	web.down.Store(false)
	waittest.Poll(t, func() bool { return !down("web")() })
	api.checked(t, 5)
	r.hears(t)
	r.mu.Lock()
	r.planned = nil
	r.mu.Unlock()
	r.hears(t, "API is down")
}

func TestARestartIsNoChangeAndWhatNobodySawIsUnknown(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	first := start(t, nil, nil, api.monitor("api"))
	api.checked(t, 2)
	api.down.Store(true)
	first.hears(t, "API is down")
	first.stop()
	second := start(t, first.store, func(c *Config) {
		clock := clocktest.Running(time.Hour) // the program was gone for so long
		c.Now, c.Prober = clock.Now, probe.New(probe.Options{Now: clock.Now})
	}, api.monitor("api"))
	api.checked(t, 8)
	second.hears(t)
	waittest.Poll(t, func() bool { return second.status(t, "api") == Down })
	w, err := second.Monitor(t.Context(), "api")
	if f := w.Figures["24h"]; err != nil || f.Unknown < 59*time.Minute || f.Unknown > 61*time.Minute || f.Down > time.Minute {
		t.Errorf("the figures are %+v, %v", f, err)
	}
	api.down.Store(false)
	second.hears(t, "API is up again")
	if second.told[0].Occurrence != first.told[0].Occurrence {
		t.Errorf("the end is of %s and the beginning was of %s", second.told[0].Occurrence, first.told[0].Occurrence)
	}
}

// While nothing can be reached from here, nothing is said of what is watched: one alert is,
// about this program.
func TestOurOwnNetworkIsOneAlertAboutUs(t *testing.T) {
	t.Parallel()
	reference, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reference.Close() })
	server := newTarget(t)
	var monitors []Monitor
	for i := range 50 {
		m := server.monitor(fmt.Sprint("api-", i))
		m.Every = 200 * time.Millisecond
		monitors = append(monitors, m)
	}
	r := start(t, nil, func(c *Config) { c.References = []string{reference.Addr().String()} }, monitors...)
	allAre := func(want Status) bool {
		all, err := r.Monitors(t.Context())
		return err == nil && !slices.ContainsFunc(all, func(w Watched) bool { return w.Status != want })
	}
	waittest.Poll(t, func() bool {
		r.network.mu.Lock()
		defer r.network.mu.Unlock()
		return len(r.network.answered) == 1 && allAre(Up)
	})
	_ = reference.Close()
	server.Listener.Close()
	server.CloseClientConnections()
	waittest.Poll(t, func() bool { return allAre(Unknown) })
	r.clock.Add(toldAfter)
	r.hears(t, "The monitor's own network is gone")
	if back, err := net.Listen("tcp", reference.Addr().String()); err != nil {
		t.Fatal(err)
	} else {
		t.Cleanup(func() { _ = back.Close() })
	}
	// The targets are still gone, and now that is theirs.
	r.heard.Until(t, func() bool { return len(r.said()) == 2+len(monitors) })
	if got := r.said(); !slices.Contains(got, "The monitor's own network is back") || !slices.Contains(got, "API-49 is down") {
		t.Errorf("told were %q", got)
	}
}

func TestAChangedListKeepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	api, web := newTarget(t), newTarget(t)
	r := start(t, nil, nil, api.monitor("api"), web.monitor("web"))
	web.checked(t, 2)
	api.down.Store(true)
	r.hears(t, "API is down")
	slower := web.monitor("web")
	slower.Every = 50 * time.Millisecond
	added := newTarget(t)
	r.SetMonitors(Policy{api.monitor("api"), slower, added.monitor("added")})
	added.checked(t, 2)
	web.checked(t, 3)
	api.checked(t, 3)
	r.hears(t, "API is down")
	r.SetMonitors(Policy{slower})
	r.hears(t, "API is down", "api isn't watched any more")
	r.SetMonitors(Policy{api.monitor("api")})
	r.hears(t, "API is down", "api isn't watched any more", "API is down")
}

func TestAPausedMonitorIsNotCheckedAndNobodyIsTold(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	r := start(t, nil, nil, api.monitor("api"))
	api.checked(t, 2)
	if err := r.Pause(t.Context(), "api", true); err != nil {
		t.Fatal(err)
	}
	if got := r.status(t, "api"); got != Paused {
		t.Errorf("it is %s", got)
	}
	// The copy that watches learns of it: then it isn't checked for longer than five intervals.
	last, since := api.checks.Load(), time.Now()
	waittest.Poll(t, func() bool {
		if now := api.checks.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 5*40*time.Millisecond
	})
	api.down.Store(true)
	if err := r.Pause(t.Context(), "api", false); err != nil {
		t.Fatal(err)
	}
	r.hears(t, "API is down")
	if err := r.Pause(t.Context(), "nothing", true); err != ErrNoMonitor {
		t.Errorf("a monitor that there isn't: %v", err)
	}
}

// Nobody is reminded of what somebody has paused. Down still, it is another outage.
func TestAPauseEndsWhatWasTold(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	api.down.Store(true)
	r := start(t, nil, nil, api.monitor("api"))
	r.hears(t, "API is down")
	if err := r.Pause(t.Context(), "api", true); err != nil {
		t.Fatal(err)
	}
	r.hears(t, "API is down", "API is paused, and isn't watched meanwhile")
	if first, end := r.told[0], r.told[1]; !end.Over || first.Occurrence != end.Occurrence {
		t.Errorf("the beginning is of %s, the end %v of %s", first.Occurrence, end.Over, end.Occurrence)
	}
	if err := r.Pause(t.Context(), "api", false); err != nil {
		t.Fatal(err)
	}
	r.hears(t, "API is down", "API is paused, and isn't watched meanwhile", "API is down")
}

func TestTheLastResultsAreKept(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	r := start(t, nil, nil, api.monitor("api"))
	api.checked(t, 7) // of which the last may be broken off
	r.stop()
	all, next, err := r.Results(t.Context(), "api", 3, "")
	if err != nil || len(all) != 3 || next == "" || !all[0].Up || all[0].StatusCode != 200 || !all[0].At.After(all[1].At) {
		t.Fatalf("%+v %q %v", all, next, err)
	}
	rest, _, err := r.Results(t.Context(), "api", 100, next)
	if err != nil || len(rest) < 2 || !rest[0].At.Before(all[2].At) {
		t.Errorf("%+v %v", rest, err)
	}
	r.clock.Add(rawFor + 3*time.Hour)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, _, err := r.Results(t.Context(), "api", 3, ""); err != nil || len(all) != 0 {
		t.Errorf("they are still there: %+v %v", all, err)
	}
}
