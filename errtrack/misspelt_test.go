package errtrack

import (
	"strings"
	"testing"

	"manus/internal/storetest"
)

// TestAMisspeltScheduleIsLoggedOnce, and again when it is another.
func TestAMisspeltScheduleIsLoggedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	for n, line := range []string{"0 25 * * *", "0 25 * * *", "0 2 * * *", "0 26 * * *"} {
		c := defaultConfig()
		c.Crontab = line
		if err := r.CheckIn(t.Context(), r.p.ID, CheckIn{ID: strings.Repeat("a", n+1), Slug: "nightly", Environment: "production", Status: MonitorOK, Config: &c}); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(r.log.String(), "a job can't be missed"); n != 2 {
		t.Errorf("it is logged %d times: %s", n, r.log.String())
	}
}
