package uptime

import (
	"testing"
	"time"

	"manus/internal/timeline"
	"manus/readiness"
)

// After the server was down its monitors are looked at in their turn, as after its first start.
func TestAfterADowntimeMonitorsHaveTheirTurn(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		looked, resumed time.Duration // ago; no gap is -1
		want            readiness.Status
	}{
		"in time":                   {time.Minute, -1, readiness.Pass},
		"late":                      {14 * time.Minute, -1, readiness.Fail},
		"late, after a downtime":    {14 * time.Minute, 5 * time.Second, readiness.Warn},
		"late, long after":          {14 * time.Minute, 10 * time.Minute, readiness.Fail},
		"in time, after a downtime": {time.Second, 5 * time.Second, readiness.Pass},
	} {
		w := &Watched{Status: Up}
		w.ID, w.Every, w.Timeout, w.Last.At = "health", time.Minute, 10*time.Second, now.Add(-c.looked)
		j := journal{}
		if c.resumed >= 0 {
			j.Gaps = timeline.Of(timeline.Between(now.Add(-time.Hour), now.Add(-c.resumed)))
		}
		if got, text := w.watchedWell("https://app.example.com", true, j.resumed(), now); got != c.want {
			t.Errorf("%s: %s %s", name, got, text.En)
		}
	}
}
