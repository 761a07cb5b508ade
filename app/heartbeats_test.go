package app

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"manus/config"
	"manus/uptime"
)

type shownHeartbeat struct {
	PingURL   string `json:"ping_url"`
	Status    string
	Heartbeat *struct {
		NamedURL string `json:"named_url"`
		Schedule string
		Expected []struct{ At string }
		Pings    []struct {
			Signal, Body string
			Status       int `json:"exit_status"`
		}
	}
}

// A job pings, and operators see where and what: by the whole product, with its limits.
func TestJobsPing(t *testing.T) {
	t.Parallel()
	o := newInbox(t, func(s *config.Settings) {
		s.Monitors = uptime.Policy{{ID: "backup", Type: uptime.Heartbeat, Cron: "30 2 * * *", Timezone: "Europe/Berlin"}, {ID: "report", Type: uptime.Heartbeat, Every: time.Hour}}
		s.Limits.Allow = nil
	})
	a := o.App
	show := func() (b shownHeartbeat) {
		t.Helper()
		code, answer := call(t, a, "GET", "/api/v1/ops/monitors/backup", o.token, "")
		if err := json.Unmarshal([]byte(answer), &b); err != nil || code != http.StatusOK {
			t.Fatal(code, answer, err)
		}
		return b
	}
	before := show()
	if before.PingURL == "" || before.Status != "unknown" || len(before.Heartbeat.Expected) != 5 || !strings.Contains(before.Heartbeat.Expected[0].At, "T02:30:00+0") {
		t.Errorf("shown is %+v", before)
	}
	_, address, _ := strings.Cut(before.PingURL, "/ping/")
	_, named, _ := strings.Cut(before.Heartbeat.NamedURL, "/ping/")
	ping := func(method, path, body string) (int, string) { return call(t, a, method, "/ping/"+path, "", body) }
	if code, answer := ping("POST", address+"/7", "disk full"); code != http.StatusOK || answer != "OK" {
		t.Errorf("a ping is answered %d %s", code, answer)
	}
	if after := show(); after.Heartbeat.Pings[0].Status != 7 || after.Heartbeat.Pings[0].Body != "disk full" || after.Heartbeat.Pings[0].Signal != "fail" {
		t.Errorf("shown is %+v", after.Heartbeat)
	}
	// A key has a limit of its own. Those of other jobs behind the same address aren't touched
	// by it, nor by whoever guesses there.
	for i := range 60 {
		if code, answer := ping("GET", address, ""); code != http.StatusOK {
			t.Fatalf("ping %d is answered %d %s", i, code, answer)
		}
	}
	if code, answer := ping("GET", named, ""); code != http.StatusTooManyRequests || !strings.Contains(answer, "rate-limited") {
		t.Errorf("one ping too many is answered %d %s", code, answer)
	}
	refused := false
	for range 120 {
		code, _ := ping("GET", strings.Repeat("A", 26), "")
		refused = refused || code == http.StatusTooManyRequests
	}
	if !refused {
		t.Error("who guesses keys is never refused")
	}
	if code, answer := ping("GET", strings.Replace(named, "/backup", "/report", 1), ""); code != http.StatusOK {
		t.Errorf("another job's ping is answered %d %s", code, answer)
	}
	code, answer := call(t, a, "GET", "/api/v1/ops/monitors", o.token, "")
	if code != http.StatusOK || strings.Count(answer, `"ping_url"`) != 2 || strings.Contains(answer, "disk full") {
		t.Errorf("the list is %d %s", code, answer)
	}
}
