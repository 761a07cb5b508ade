package uptime

import (
	"testing"
	"time"

	"manus/internal/timeline"
)

// What is told of the past is what figures are of, and the status is the list's.
func TestThePastOfMonitorsIsThatOfTheirFigures(t *testing.T) {
	t.Parallel()
	good, bad := newTarget(t), newTarget(t)
	bad.down.Store(true)
	r := start(t, nil, nil, good.monitor("good"), bad.monitor("bad"))
	r.hears(t, "BAD is down")
	good.checked(t, 2)
	pasts, err := r.Pasts(t.Context(), 90, "good", "bad", "none")
	if err != nil || len(pasts) != 2 {
		t.Fatalf("%v %v", pasts, err)
	}
	watched, err := r.Monitors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := r.clock.Now()
	for _, w := range watched {
		p := pasts[w.ID]
		f := p.History.Figure(timeline.Between(now.Add(-time.Hour), now))
		if p.Name != w.Name || p.Status != w.Status || (f.Down > 0) != (w.Status == Down) || f.Known <= 0 {
			t.Errorf("%s: %+v, %v", w.ID, p, f)
		}
	}
	if pasts["bad"].Status != Down || pasts["good"].Status != Up {
		t.Errorf("%+v", pasts)
	}
}
