package uptime

import (
	"log/slog"
	"strings"
	"testing"

	"manus/internal/storetest"
	"manus/language"
	"manus/uptime/probe"
)

// A monitor that learns nothing, such as a ping that the kernel doesn't allow, is in the log
// when that begins, and once.
func TestAMonitorThatLearnsNothingIsInTheLog(t *testing.T) {
	t.Parallel()
	r := newBudgetRig(t, storetest.New(t, Specs()...), withSLO("api", 0.999))
	var log strings.Builder
	r.c.Log = slog.New(slog.NewTextHandler(&log, nil))
	for _, blind := range []bool{true, true, false, true} {
		r.judge(t.Context(), r.watched["api"], r.now(), &probe.Result{At: r.clock.Now(), Up: !blind, Unknown: blind, Error: language.Text{En: "Ping: the kernel doesn't let this program ping"}})
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 2 || !strings.Contains(log.String(), "monitor=api") || !strings.Contains(log.String(), "the kernel doesn't let") {
		t.Errorf("%d times: %s", n, log.String())
	}
}
