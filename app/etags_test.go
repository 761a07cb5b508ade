package app

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"manus/internal/waittest"
)

// TestWhatWasReadIsChangedWhateverIsCountedMeanwhile: If-Match holds while a monitor hears and
// events come, and not once somebody else has made a change.
func TestWhatWasReadIsChangedWhateverIsCountedMeanwhile(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	send := func(method, path, body string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Host = "localhost:8080"
		r.Header.Set("Authorization", "Bearer "+a.token)
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		a.api.ServeHTTP(w, r)
		return w
	}
	made := func(path, body string) (m struct {
		ID      string
		PingURL string `json:"ping_url"`
	}) {
		t.Helper()
		w := send("POST", "/api/v1"+path, body)
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != 201 {
			t.Fatal(path, w.Code, w.Body, err)
		}
		return m
	}
	monitor := made("/ops/monitors", `{"id":"nightly","type":"heartbeat","every":"24h"}`)
	_, ping, _ := strings.Cut(monitor.PingURL, "/ping/")
	web := newSDK(t, a, "Web", 1)
	web.bug(t, "A", 0)
	issue := a.issues(t, "project=Web", 1)[0]["id"].(string)
	events := 1.0
	report := func() {
		web.bug(t, "A", int(events))
		events++
		a.issues(t, "project=Web", events)
	}
	for _, c := range []struct {
		path, mine, others string
		happens            func()
	}{
		{"/ops/monitors/nightly", `{"name":"Nightly"}`, `{"name":"Other"}`, func() { send("POST", "/ping/"+ping, "") }},
		{"/ops/issues/" + issue, `{"note":"Mine"}`, `{"note":"Other"}`, report},
		{"/ops/projects/" + web.project.ID, `{"per_minute":100}`, `{"per_minute":200}`, report},
	} {
		path := "/api/v1" + c.path
		read := send("GET", path, "").Header().Get("ETag")
		c.happens()
		waittest.Poll(t, func() bool { // a project's events are counted after its issues'
			w := send("GET", path, "", "If-None-Match", read)
			return w.Code == 200 && w.Header().Get("ETag") != read
		})
		if w := send("PATCH", path, c.mine, "If-Match", read); w.Code != 200 {
			t.Errorf("%s can't be changed: %d %s", path, w.Code, w.Body)
		}
		read = send("GET", path, "").Header().Get("ETag")
		send("PATCH", path, c.others)
		if w := send("PATCH", path, c.mine, "If-Match", read); w.Code != 412 {
			t.Errorf("%s: another one's change is overwritten: %d %s", path, w.Code, w.Body)
		}
	}
}
