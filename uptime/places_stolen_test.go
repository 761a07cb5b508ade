package uptime

import (
	"errors"
	"testing"
	"time"

	"manus/docstore"
	"manus/identity"
	"manus/uptime/probe"
)

// A stolen key can't make a heartbeat be down: its job reports to the server alone.
func TestNoPlaceSpeaksOfHeartbeats(t *testing.T) {
	t.Parallel()
	beat := Monitor{ID: "backup", Type: Heartbeat, Every: time.Hour}
	s, clock := reception(t, beat)
	r := report("fra", clock.Now(), Found{Monitor: "backup", Result: probe.Result{At: clock.Now()}})
	r.View.Seen = []Seen{{Monitor: "backup", Down: true, Since: clock.Now()}}
	receipt, err := s.HandIn(t.Context(), r)
	if err != nil || receipt.Refused != 1 {
		t.Errorf("%+v %v", receipt, err)
	}
	p, err := s.places.Get(t.Context(), "fra")
	if sees := p.outlook().sees; err != nil || len(sees) != 0 {
		t.Errorf("it sees %+v, %v", sees, err)
	}
	kept := others{"fra": {outlook: outlook{p, map[string]Seen{"backup": {Monitor: "backup", Down: true}}}}} // by an earlier version
	if views := kept.views(beat); len(views) != 0 {
		t.Errorf("it counts: %+v", views)
	}
}

// A place can't see something down for longer than it would have taken to tell.
func TestOutagesOfAPlaceDoNotBeginLongAgo(t *testing.T) {
	t.Parallel()
	api := Monitor{ID: "api", Type: probe.TCP, URL: "192.0.2.1:80"}
	s, clock := reception(t, api)
	began := clock.Now()
	told := func(down bool, since time.Time) time.Time {
		r := report("fra", clock.Now())
		r.View.Seen = []Seen{{Monitor: "api", Down: down, Since: since}}
		if _, err := s.HandIn(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		p, err := s.places.Get(t.Context(), "fra")
		if err != nil {
			t.Fatal(err)
		}
		return p.outlook().sees["api"].Since
	}
	noticing := api.usual().noticing()
	if got, want := told(true, began.AddDate(-5, 0, 0)), began.Add(-noticing); got.Sub(want).Abs() > time.Millisecond {
		t.Errorf("a new place sees it down since %s, want %s", got, want)
	}
	told(false, began)
	clock.Add(3 * time.Hour) // in which the server can't be reached
	cut := began.Add(time.Hour)
	if got := told(true, cut); got.Sub(cut).Abs() > time.Millisecond {
		t.Errorf("what a place has seen meanwhile is since %s, want %s", got, cut)
	}
	clock.Add(time.Minute)
	if got := told(true, began.AddDate(-5, 0, 0)); got.Sub(cut).Abs() > time.Millisecond {
		t.Errorf("the same outage is since %s, want %s", got, cut)
	}
}

// What a place tells can't be longer than there are monitors and hours, however often it says it.
func TestAPlaceFillsNothing(t *testing.T) {
	t.Parallel()
	api := Monitor{ID: "api", Type: probe.TCP, URL: "192.0.2.1:80"}
	s, clock := reception(t, api)
	r := report("fra", clock.Now())
	for range 1000 {
		r.View.Seen = append(r.View.Seen, Seen{Monitor: "api", Down: true, Since: clock.Now()})
		r.View.Up = append(r.View.Up, "api")
	}
	if _, err := s.HandIn(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	p, err := s.places.Get(t.Context(), "fra")
	if err != nil || len(p.View) > 200 {
		t.Errorf("a view of %d bytes, %v", len(p.View), err)
	}
	full := hour{Packed: make([]byte, maxHour/4*3)}
	if err := full.addNew([]Found{{Monitor: "api", Place: "fra", Result: probe.Result{At: clock.Now()}}}); !errors.Is(err, docstore.ErrUnchanged) {
		t.Errorf("more is added: %v", err)
	}
	if full.addFrom("", probe.Result{At: clock.Now()}); len(full.Packed) == maxHour/4*3 {
		t.Error("there is no room for what is found here")
	}
}

// What operators aren't shown isn't handed out to places, either.
func TestCredentialsStayHere(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Monitor{
		"header": {Headers: map[string]string{"authorization": "Bearer hush"}},
		"proxy":  {Proxy: "http://user:hush@proxy.example.com:3128"},
		"ca":     {CA: "/hush"},
	} {
		if !m.isOfHereAlone() {
			t.Errorf("%s: it is handed out", name)
		}
	}
	plain := Monitor{Headers: map[string]string{"Accept": "*/*"}, Proxy: "http://proxy.example.com:3128"}
	if plain.isOfHereAlone() {
		t.Error("one without any stays here")
	}
}

// A key speaks for one place, and a place has one key until it is forgotten.
func TestAKeySpeaksForOnePlace(t *testing.T) {
	t.Parallel()
	s, clock := reception(t, Monitor{ID: "api", Type: probe.TCP, URL: "192.0.2.1:80"})
	tells := func(key, place string) error {
		_, err := s.HandIn(identity.With(t.Context(), identity.Caller{UserID: "amal", KeyID: key}), report(place, clock.Now()))
		return err
	}
	if err := tells("one", "fra"); err != nil {
		t.Fatal(err)
	}
	if err := tells("one", "made-up"); !errors.Is(err, ErrPlaceKey) {
		t.Errorf("of another place: %v", err)
	}
	if err := tells("two", "fra"); !errors.Is(err, ErrPlaceKey) {
		t.Errorf("another key: %v", err)
	}
	if err := errors.Join(tells("two", "nyc"), tells("one", "fra"), tells("", "fra")); err != nil { // as by the shared store
		t.Error(err)
	}
	if err := s.ForgetPlace(t.Context(), "fra"); err != nil {
		t.Fatal(err)
	}
	if err := tells("one", "new"); err != nil {
		t.Errorf("once its place is forgotten: %v", err)
	}
}
