package uptime

import (
	"math/rand/v2"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/timeline"
	"manus/internal/waittest"
	"manus/uptime/confirm"
)

// Of outages that were folded, what nobody saw and maintenance count as little as of others.
func TestFoldedOutagesLeaveOutWhatDoesNotCount(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	st := State{ID: "api", Since: docstore.At(noon.Add(-80 * aDay))}
	var down timeline.Spans
	p := past{gaps: minutesOf(r, 300, 60), planned: minutesOf(r, 100, 120)}
	at := noon.Add(-40 * aDay)
	for range 400 {
		at = at.Add(time.Duration(r.IntN(120)) * time.Minute)
		st.change(confirm.State{Down: true, Since: docstore.At(at)}, confirm.Step{WentDown: true}, nil, p)
		began := at
		at = at.Add(time.Duration(1+r.IntN(20)) * time.Minute)
		st.change(confirm.State{Since: docstore.At(at)}, confirm.Step{WentUp: true}, nil, p)
		down = down.Or(timeline.Between(began, at))
	}
	if len(st.Down) > maxSpans || len(st.Days) == 0 {
		t.Fatalf("%d spans and %d days are left", len(st.Down), len(st.Days))
	}
	truth := timeline.History{Since: st.Since.UnixMilli(), Down: down, Unknown: p.gaps, Excused: p.planned}
	if got, want := st.history(p.gaps, p.planned).Figure(timeline.Between(st.Since.Time, noon)), truth.Figure(timeline.Between(st.Since.Time, noon)); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The clock is set back in the middle of an outage: it has lasted for as long as it has.
func TestAnOutageHasItsLengthThoughTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	r := start(t, nil, nil, api.monitor("api"))
	api.checked(t, 2)
	api.down.Store(true)
	r.hears(t, "API is down")
	told := time.Now()
	r.clock.Add(-24 * time.Hour)
	api.checked(t, 5)
	lasted := time.Since(told)
	api.down.Store(false)
	r.heard.Until(t, func() bool { return len(r.said()) == 2 })
	waittest.Poll(t, func() bool { return !r.state(t, "api").Down.IsOpen() })
	if st := r.state(t, "api"); len(st.Down) != 1 || st.Down.Length() < lasted.Truncate(time.Millisecond) || st.Down.Length() > time.Hour {
		t.Errorf("it was down for %s in %v, and longer than %s", st.Down.Length(), st.Down, lasted)
	}
}

// What isn't known of a monitor comes with why, for whoever is told of it.
func TestAPastSaysWhyItIsNotKnown(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	r := start(t, nil, nil, api.monitor("api"))
	api.checked(t, 2)
	if err := r.Pause(t.Context(), "api", true); err != nil {
		t.Fatal(err)
	}
	pasts, err := r.Pasts(t.Context(), 90, "api", "none")
	p := pasts["api"]
	if err != nil || len(pasts) != 1 || p.Status != Paused || len(p.Paused) != 1 || len(p.Cut) != 0 || len(p.Paused.Without(p.History.Unknown)) != 0 {
		t.Errorf("%+v, %v", pasts, err)
	}
}
