package errtrack

import (
	"testing"
	"time"

	"manus/internal/storetest"
	"manus/readiness"
)

// What is lost is told of for a day or two; what can't be kept, and what programs choose not to send,
// is no loss of the inbox's.
func TestWhatTheInboxLosesIsJudged(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	for _, c := range []struct {
		reason string
		n      int64
		want   readiness.Status
	}{
		{lostDuplicate, 50, readiness.Pass},
		{lostToForm, 50, readiness.Pass},
		{lostByClient + "sample_rate", 50, readiness.Pass},
		{lostByClient + "network_error", 1, readiness.Warn},
		{lostToLoad, 1, readiness.Warn}, // as much as was kept
		{lostToStore, 1, readiness.Fail},
	} {
		if c.want == readiness.Warn && c.reason == lostByClient+"network_error" {
			r.counted(t, r.event("a", 1), r.event("b", 2))
		}
		r.lose(r.p.ID, c.reason, c.n)
		if f := r.checkLosses(t.Context()); f.Status != c.want {
			t.Errorf("with %s: %s: %s", c.reason, f.Status, f.Evidence.En)
		}
	}
	r.clock.Add(48 * time.Hour)
	if f := r.checkLosses(t.Context()); f.Status != readiness.Pass {
		t.Errorf("two days later: %s: %s", f.Status, f.Evidence.En)
	}
}
