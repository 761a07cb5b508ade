package uptime

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/uptime/probe"
)

// state is what the store has of a monitor.
func (r *rig) state(t *testing.T, id string) State {
	t.Helper()
	st, err := r.states.Get(t.Context(), id)
	if err := docstore.NotFoundAs(err, nil); err != nil {
		t.Fatal(err)
	}
	return st
}

// gauges are the values of manus_monitor_up by monitor.
func gauges(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	return gaugesOf(t, registry, "manus_monitor_up")
}

func gaugesOf(t *testing.T, registry *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				values[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return values
}

func TestAParentThatNobodyWatchesHoldsNothingBack(t *testing.T) {
	t.Parallel()
	gateway, api, web := newTarget(t), newTarget(t), newTarget(t)
	parent, child, orphan := gateway.monitor("gateway"), api.monitor("api"), web.monitor("web")
	parent.Paused, child.Parent = true, "gateway"
	orphan.Parent = "health" // of the product itself, which isn't watched here
	r := start(t, nil, nil, parent, child, orphan)
	api.checked(t, 2)
	api.down.Store(true)
	r.hears(t, "API is down")
	web.checked(t, 2)
	web.down.Store(true)
	r.hears(t, "API is down", "WEB is down")
}

// However seldom those above it are looked at: they are looked at when it fails.
func TestAllAboveAMonitorAreLookedAtWhenItFails(t *testing.T) {
	t.Parallel()
	gateway, router, api := newTarget(t), newTarget(t), newTarget(t)
	top, middle, child := gateway.monitor("gateway"), router.monitor("router"), api.monitor("api")
	top.Every, middle.Every = 24*time.Hour, 24*time.Hour
	middle.Parent, child.Parent = "gateway", "router"
	r := start(t, nil, nil, top, middle, child)
	api.checked(t, 2)
	api.down.Store(true)
	r.hears(t, "API is down")
}

// What isn't in the list, or is paused there, isn't watched: that time counts as neither up
// nor down.
func TestWhatTheListPausesOrLeavesOutIsUnknown(t *testing.T) {
	t.Parallel()
	api, web := newTarget(t), newTarget(t)
	r := start(t, nil, nil, api.monitor("api"), web.monitor("web"))
	api.checked(t, 2)
	web.checked(t, 2)
	web.down.Store(true)
	r.hears(t, "WEB is down")
	paused := web.monitor("web")
	paused.Paused = true
	are := func(open bool) func() bool {
		return func() bool {
			return r.state(t, "api").Pauses.IsOpen() == open && r.state(t, "web").Pauses.IsOpen() == open
		}
	}
	r.SetMonitors(Policy{paused})
	waittest.Poll(t, are(true))
	r.clock.Add(2 * time.Hour)
	r.SetMonitors(Policy{api.monitor("api"), web.monitor("web")})
	waittest.Poll(t, are(false))
	for _, id := range []string{"api", "web"} {
		if away := r.state(t, id).Pauses.Length(); away < 2*time.Hour || away > 3*time.Hour {
			t.Errorf("%s wasn't watched for %s", id, away)
		}
	}
	if w, err := r.Monitor(t.Context(), "web"); err != nil || w.Figures["24h"].Down > time.Hour {
		t.Errorf("of a time that it was paused for it counts as down: %+v, %v", w.Figures["24h"], err)
	}
}

// A look that had begun before its monitor was taken out of the list leaves nothing open.
func TestALookThatOutlivesItsMonitorLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			asked <- struct{}{}
			<-answer
			w.WriteHeader(500)
		}
	}))
	t.Cleanup(server.Close)
	release := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(release)
	api := (&target{Server: server}).monitor("api")
	api.Confirm = &[]time.Duration{}
	r := start(t, nil, nil, api)
	waittest.Poll(t, func() bool { return r.status(t, "api") == Up })
	down.Store(true)
	<-asked
	r.SetMonitors(nil)
	waittest.Poll(t, func() bool { return r.state(t, "api").Pauses.IsOpen() })
	release()
	waittest.Poll(t, func() bool { st := r.state(t, "api"); return st.Outage == 1 && !st.Down.IsOpen() && !st.Confirm.Down })
	r.hears(t)
}

// A look that had begun before its monitor was changed, and finds it down after that, has
// found the outage that the changed one is in: there is no other.
func TestALookThatOutlivesAChangeOfItsMonitorCountsOnce(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	api := newTarget(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			asked <- struct{}{}
			<-answer
		}
		api.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	release := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(release)
	m := (&target{Server: server}).monitor("api")
	m.Confirm = &[]time.Duration{}
	r := start(t, nil, nil, m)
	waittest.Poll(t, func() bool { return r.status(t, "api") == Up })
	api.down.Store(true)
	down.Store(true)
	<-asked
	m.Name = "SHOP"
	r.SetMonitors(Policy{m})
	waittest.Poll(t, func() bool {
		w := r.leading.Load()
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.watched["api"].Name == "SHOP"
	})
	release()
	r.hears(t, "API is down")
	api.checked(t, 5)
	if st := r.state(t, "api"); st.Outage != 1 {
		t.Errorf("there are %d outages", st.Outage)
	}
	api.down.Store(false)
	r.hears(t, "API is down", "SHOP is up again")
	if first, end := r.told[0], r.told[1]; first.Occurrence != end.Occurrence {
		t.Errorf("the beginning is of %s, the end of %s", first.Occurrence, end.Occurrence)
	}
}

// Failures of before a pause confirm nothing that is seen after it.
func TestFailuresOfBeforeAPauseConfirmNothing(t *testing.T) {
	t.Parallel()
	server := newTarget(t)
	api := server.monitor("api")
	api.Confirm = &[]time.Duration{5 * time.Millisecond, 15 * time.Millisecond, time.Hour}
	registry := prometheus.NewRegistry()
	r := start(t, nil, func(c *Config) { c.Metrics = registry }, api)
	waittest.Poll(t, func() bool { return gauges(t, registry)["api"] == 1 })
	server.down.Store(true)
	server.checked(t, 3) // and the next is in an hour
	server.checks.Store(0)
	if err := r.Pause(t.Context(), "api", true); err != nil {
		t.Fatal(err)
	}
	waittest.Poll(t, func() bool { _, watched := gauges(t, registry)["api"]; return !watched })
	if err := r.Pause(t.Context(), "api", false); err != nil {
		t.Fatal(err)
	}
	server.seen.Until(t, func() bool { return server.checks.Load() >= 3 })
	r.hears(t)
	if st := r.state(t, "api"); st.Confirm.Down {
		t.Errorf("it is down: %+v", st)
	}
}

func TestTheGaugeSaysWhatIsUp(t *testing.T) {
	t.Parallel()
	api, web := newTarget(t), newTarget(t)
	registry := prometheus.NewRegistry()
	web.down.Store(true)
	r := start(t, nil, func(c *Config) { c.Metrics = registry }, api.monitor("api"), web.monitor("web"))
	waittest.Poll(t, func() bool {
		all := gauges(t, registry)
		down, known := all["web"]
		return all["api"] == 1 && known && down == 0
	})
	r.SetMonitors(Policy{api.monitor("api")})
	waittest.Poll(t, func() bool { return len(gauges(t, registry)) == 1 })
	r.stop()
	if all := gauges(t, registry); len(all) != 0 {
		t.Errorf("who doesn't watch says %v", all)
	}
}

// The clock is set back by a day when an outage has just begun.
func TestAnOutageIsToldThoughTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	var clock atomic.Pointer[clocktest.Clock]
	var down, first atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			if first.CompareAndSwap(false, true) {
				clock.Load().Add(-24 * time.Hour)
			}
			w.WriteHeader(500)
		}
	}))
	t.Cleanup(server.Close)
	gateway := newTarget(t)
	api := (&target{Server: server}).monitor("api")
	api.Parent = "gateway"
	r := start(t, nil, nil, gateway.monitor("gateway"), api)
	clock.Store(r.clock)
	waittest.Poll(t, func() bool { return r.status(t, "api") == Up && r.status(t, "gateway") == Up })
	down.Store(true)
	r.hears(t, "API is down")
}

// A machine that was suspended has watched nothing meanwhile, though its program still runs.
func TestWhatASuspendedMachineHasMissedIsUnknown(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	r := start(t, nil, nil, api.monitor("api"))
	api.checked(t, 2)
	r.clock.Add(time.Hour)
	waittest.Poll(t, func() bool {
		w, err := r.Monitor(t.Context(), "api")
		return err == nil && w.Status == Up && w.Figures["24h"].Unknown > 59*time.Minute && w.Figures["24h"].Known < time.Minute
	})
}

// While the store is gone nothing can be told, and nothing is lost.
func TestAnOutageIsToldThatBeganWhileTheStoreWasGone(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	store := storetest.NewUnsteady(t)
	r := start(t, store, nil, api.monitor("api"))
	api.checked(t, 2)
	store.SetGone(true)
	api.down.Store(true)
	api.checked(t, 4) // as many as it takes to be sure
	r.hears(t)
	store.SetGone(false)
	r.hears(t, "API is down")
}

// halfGone is a store that fails for the first change of each batch, once.
type halfGone struct {
	docstore.Store
	failed atomic.Bool
}

func (h *halfGone) Batch(ctx context.Context, changes []docstore.Change) []error {
	if !h.failed.CompareAndSwap(false, true) {
		return h.Store.Batch(ctx, changes)
	}
	return append([]error{errors.New("the store is gone")}, h.Store.Batch(ctx, changes[1:])...)
}

func TestOnlyResultsThatAreNotKeptAreLeft(t *testing.T) {
	t.Parallel()
	store := &halfGone{Store: storetest.New(t, Specs()...)}
	clock := clocktest.New()
	s := New(Config{Store: store, Now: clock.Now, Prober: probe.New(probe.Options{})})
	at := clock.Now()
	results := []found{{"a", probe.Result{At: at}}, {"a", probe.Result{At: at.Add(time.Minute)}}, {"b", probe.Result{At: at}}, {"b", probe.Result{At: at.Add(time.Minute)}}}
	left, err := s.keep(t.Context(), results)
	if err == nil || len(left) != 2 || left[0].monitor != left[1].monitor {
		t.Fatalf("left are %v, %v", left, err)
	}
	if left, err = s.keep(t.Context(), append(left, left...)); err != nil || len(left) != 0 { // as if it had been kept before
		t.Fatalf("left are %v, %v", left, err)
	}
	for _, monitor := range []string{"a", "b"} {
		if all, _, err := s.Results(t.Context(), monitor, 10, ""); err != nil || len(all) != 2 {
			t.Errorf("%s has %d results: %v", monitor, len(all), err)
		}
	}
}

// A program that starts while its network is gone knows who has answered before.
func TestANetworkThatIsGoneFromTheStartIsOurs(t *testing.T) {
	t.Parallel()
	reference, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reference.Close() })
	referred := func(c *Config) { c.References = []string{reference.Addr().String()} }
	api := newTarget(t)
	first := start(t, nil, referred, api.monitor("api"))
	waittest.Poll(t, func() bool {
		j, err := first.journal(t.Context())
		return err == nil && len(j.Answered) == 1 && first.status(t, "api") == Up
	})
	first.stop()
	_ = reference.Close()
	_ = api.Listener.Close()
	second := start(t, first.store, referred, api.monitor("api"))
	waittest.Poll(t, func() bool { return second.status(t, "api") == Unknown })
	second.clock.Add(toldAfter)
	second.hears(t, "The monitor's own network is gone")
}

// A question that isn't answered yet keeps nobody waiting who has no time, or to whom the answer
// would say nothing.
func TestWhoDoesNotWaitForAnAnswerLearnsNothingOfTheNetwork(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	n := &network{references: []string{"127.0.0.1:1"}, answered: []string{"127.0.0.1:1"}, asking: make(chan struct{})}
	if n.isGone(stopped, 0) {
		t.Error("it is gone")
	}
	n.answered = nil
	if n.isGone(t.Context(), 0) {
		t.Error("it is gone, of which none has ever answered")
	}
}

// All who wait learn what one has asked; where references are silent, that is that it is gone.
func TestManyWaitForOneAnswer(t *testing.T) {
	t.Parallel()
	n := &network{references: []string{"127.0.0.1:1"}, answered: []string{"127.0.0.1:1"}}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if !n.isGone(t.Context(), time.Hour) {
				t.Error("it isn't gone")
			}
		})
	}
	all.Wait()
}

// On every store: some have no arrays in arrays.
func TestWhatHasFailedIsKept(t *testing.T) {
	t.Parallel()
	clock := clocktest.New()
	s := New(Config{Store: storetest.New(t, Specs()...), Now: clock.Now, Prober: probe.New(probe.Options{})})
	conditions := []string{"status == 200", "latency < 2s"}
	if left, err := s.keep(t.Context(), []found{{"a", probe.Result{At: clock.Now(), Failed: conditions}}}); err != nil || len(left) != 0 {
		t.Fatalf("left are %v, %v", left, err)
	}
	all, _, err := s.Results(t.Context(), "a", 10, "")
	if err != nil || len(all) != 1 || !slices.Equal(all[0].Failed, conditions) {
		t.Errorf("%+v %v", all, err)
	}
}
