package uptime

import (
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/uptime/probe"
	"manus/uptime/schedule"
)

func TestAMuteIsBoundedShownAndAudited(t *testing.T) {
	t.Parallel()
	store := storetest.New(t, deskSpecs()...)
	two := func(c *Config) {
		for _, id := range []string{"a", "b"} {
			c.Monitors = append(c.Monitors, Monitor{ID: id, Type: probe.TCP, URL: "x.example.com:1"})
		}
	}
	d, other := newDesk(t, store, two), newDesk(t, store, two)
	for _, body := range []string{`{}`, `{"for":"0s"}`, `{"for":"999ms"}`, `{"for":"-10m"}`, `{"for":"24h1s"}`, `{"for":"99999999h"}`, `{"for":"10"}`, `{"for":600}`, `{"for":null}`, `{"for":"` + strings.Repeat("1m", 100) + `"}`, `{"for":"10m","id":"b"}`} {
		if answer := d.does(t, "POST", "/a/mute", body, 422); !strings.Contains(answer, `"location":"body`) {
			t.Errorf("%.100s: %s", body, answer)
		}
	}
	d.does(t, "POST", "/nothing/mute", `{"for":"10m"}`, 404)
	d.does(t, "POST", "/a/mute", `{"for":"10m"}`, 200, `"muted_until":"2026-11-23T12:10:00Z"`)
	for _, one := range []*desk{d, other} {
		one.does(t, "GET", "/a", "", 200, `"muted_until":"2026-11-23T12:10:00Z"`)
		one.does(t, "GET", "/b", "", 200, `"muted_until":""`)
	}
	other.does(t, "POST", "/*/mute", `{"for":"1h"}`, 200, `"muted_until":"2026-11-23T13:00:00Z"`)
	d.does(t, "GET", "", "", 200, `"id":"a"`, `"muted_until":"2026-11-23T13:00:00Z"`)
	d.does(t, "DELETE", "/*/mute", "", 204)
	d.does(t, "GET", "/b", "", 200, `"muted_until":""`)
	d.does(t, "GET", "/a", "", 200, `"muted_until":"2026-11-23T12:10:00Z"`)
	d.does(t, "POST", "/a/mute", `{"for":"5m"}`, 200, `"muted_until":"2026-11-23T12:05:00Z"`) // what is said last holds
	d.clock.Add(5 * time.Minute)
	d.does(t, "GET", "/a", "", 200, `"muted_until":""`)
	d.does(t, "DELETE", "/a/mute", "", 204)
	d.does(t, "DELETE", "/nothing/mute", "", 404)
	want := []string{"o1,,monitor-muted,a,curl", "o1,,monitor-muted,*,curl", "o1,,monitor-unmuted,*,curl", "o1,,monitor-muted,a,curl", "o1,,monitor-unmuted,a,curl"}
	if got := d.audited(t); !slices.Equal(got, want) {
		t.Errorf("the audit log has %q", got)
	}
}

// isDown waits until a monitor is.
func (r *rig) isDown(t *testing.T, id string) {
	t.Helper()
	waittest.Poll(t, func() bool { st, err := r.states.Get(t.Context(), id); return err == nil && st.Confirm.Down })
}

// What goes down and comes back while it is muted is told to nobody, and counts; what is
// still down at the end is told then, however seldom it is looked at.
func TestWhatIsDownAtTheEndOfAMuteIsToldThen(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, r *rig, id string){
		"by itself": func(t *testing.T, r *rig, _ string) { r.clock.Add(10 * time.Minute) },
		"early":     func(t *testing.T, r *rig, id string) { muted(t, r.Service, id, 0) },
	} {
		for _, id := range []string{"api", All} {
			t.Run(name+" "+id, func(t *testing.T) {
				t.Parallel()
				api, web := newTarget(t), newTarget(t)
				r := start(t, nil, nil, api.monitor("api"), web.monitor("web"))
				api.checked(t, 2)
				web.checked(t, 2)
				muted(t, r.Service, id, 10*time.Minute)
				if id == All {
					waittest.Poll(t, func() bool { return r.sources.allMuted(r.clock.Now()) })
				} else {
					muted(t, r.Service, "web", 10*time.Minute)
				}
				api.down.Store(true)
				web.down.Store(true)
				r.isDown(t, "api")
				r.isDown(t, "web")
				web.down.Store(false)
				waittest.Poll(t, func() bool { return r.status(t, "web") == Up })
				api.checked(t, 5)
				r.hears(t)
				if got := r.status(t, "api"); got != Down {
					t.Errorf("it is %s", got)
				}
				w, err := r.Monitor(t.Context(), "web")
				if f := w.Figures["24h"]; err != nil || f.Down <= 0 {
					t.Errorf("the outage isn't counted: %+v, %v", f, err)
				}
				end(t, r, id)
				r.hears(t, "API is down")
				api.down.Store(false)
				r.hears(t, "API is down", "API is up again")
			})
		}
	}
}

func muted(t *testing.T, s *Service, id string, length time.Duration) {
	t.Helper()
	if _, err := s.Mute(t.Context(), id, length); err != nil {
		t.Fatal(err)
	}
}

// The copy that watches hears of the mute by another one, and the next one that watches keeps
// it.
func TestAMuteHoldsAcrossCopiesAndRestarts(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	rare := api.monitor("api")
	first := start(t, nil, nil, rare)
	api.checked(t, 2)
	asked := newDesk(t, first.store, func(c *Config) { c.Now, c.Monitors = first.clock.Now, Policy{rare} })
	muted(t, asked.Service, "api", time.Hour)
	api.down.Store(true) // at once: what is told is decided by the store, not by what a copy remembers
	first.isDown(t, "api")
	api.checked(t, 5)
	first.hears(t)
	first.stop()
	second := start(t, first.store, nil, rare)
	api.checked(t, 8)
	second.hears(t)
	muted(t, asked.Service, "api", 0)
	second.hears(t, "API is down")
}

// Of a monitor that is looked at once a day, the end of a mute isn't found out a day later.
func TestTheEndOfAMuteIsNotWaitedForUntilTheNextLook(t *testing.T) {
	t.Parallel()
	daily := Monitor{ID: "daily", Type: probe.TCP, URL: "x.example.com:1", Every: 24 * time.Hour}.usual()
	d := newDesk(t, nil, func(c *Config) { c.Monitors = Policy{daily} })
	next := func(st State) time.Duration {
		t.Helper()
		check, err := d.c.Prober.Prepare(daily.target(nil))
		if err != nil {
			t.Fatal(err)
		}
		w := &watch{Service: d.Service, start: time.Now(), wake: make(chan struct{}, 1), watched: map[string]*watched{}}
		w.schedule = schedule.New(limits, time.Unix(0, 0))
		w.put(d.set.Load(), map[string]State{"daily": st}, map[string]*watched{"daily": {Monitor: daily, check: check}})
		at, known := w.schedule.Next()
		if !known {
			t.Fatal("nothing is looked at")
		}
		return at.Round(time.Minute)
	}
	down := func(muted time.Duration, told bool) State {
		st := State{ID: "daily", Muted: docstore.At(d.clock.Now().Add(muted)), Told: told}
		st.Confirm.Down, st.Confirm.Since = true, docstore.At(d.clock.Now())
		return st
	}
	usual := next(State{ID: "daily"})
	if usual < time.Hour {
		t.Fatalf("its place in the day is %v; give it another id", usual)
	}
	for _, c := range []struct {
		name  string
		state State
		want  time.Duration
	}{
		{"it is muted", down(10*time.Minute, false), 10 * time.Minute}, {"the mute has just ended", down(0, false), 0},
		{"the mute ended long ago", down(-time.Minute, false), usual}, {"it was told before", down(10*time.Minute, true), usual},
		{"it is up", State{ID: "daily", Muted: docstore.At(d.clock.Now().Add(time.Minute))}, usual},
	} {
		if got := next(c.state); got != c.want {
			t.Errorf("%s: it is looked at in %v, want %v", c.name, got, c.want)
		}
	}
	d.sources.muted = d.clock.Now().Add(20 * time.Minute)
	if got := next(down(10*time.Minute, false)); got != 20*time.Minute {
		t.Errorf("all are muted: it is looked at in %v", got)
	}
}
