package uptime

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/internal/referencetest"
	"manus/internal/storetest"
	"manus/internal/timeline"
)

// asked is the answer to an operator, as JSON.
func asked(t *testing.T, s *Service, path string) (status int, answer map[string]any) {
	t.Helper()
	api := httpapi.New(httpapi.Config{Log: referencetest.Log(t), Version: "test", Caller: func(*http.Request) (identity.Caller, error) {
		return identity.Caller{UserID: "operator", Role: identity.Operator}, nil
	}})
	s.Routes(api)
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/ops/monitors/"+path, nil))
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	return w.Code, answer
}

// has is whether an answer has a value at a path of keys.
func has(answer any, want any, keys ...string) bool {
	for _, key := range keys {
		object, is := answer.(map[string]any)
		if !is {
			return false
		}
		answer = object[key]
	}
	return fmt.Sprint(answer) == fmt.Sprint(want)
}

func TestOperatorsSeeLatenciesBudgetsAndDays(t *testing.T) {
	t.Parallel()
	clock := clocktest.New()
	s := quiet(storetest.New(t, Specs()...), clock, "api", "web")
	s.SetMonitors(Policy{withSLO("api", 0.999), withSLO("web", 0)})
	now := clock.Now()
	st := State{ID: "api", Since: docstore.At(now.Add(-10 * aDay)), Outage: 1, Down: timeline.Of(timeline.Between(now.Add(-25*time.Hour), now.Add(-25*time.Hour+20*time.Minute)))}
	if err := s.states.Insert(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	results := looks(rand.New(rand.NewPCG(1, 2)), "api", now.Add(-3*time.Hour), 30, time.Minute)
	keep(t, s, results)
	rollAll(t, s)
	_, _, _, took := want(results, now.Add(-aDay), now)
	status, one := asked(t, s, "api")
	for _, c := range []struct {
		want any
		keys []string
	}{
		{len(took), []string{"latency", "24h", "count"}}, {len(took), []string{"latency", "90d", "count"}}, {"30d", []string{"budget", "window"}}, {0, []string{"budget", "burn_6h"}}, {"[]", []string{"budget", "burning"}},
	} {
		if status != 200 || !has(one, c.want, c.keys...) {
			t.Errorf("%d %v isn't %v in %v", status, c.keys, c.want, one)
		}
	}
	if _, none := asked(t, s, "web"); !has(none, nil, "budget") || !has(none, 0, "latency", "24h", "p99_ms") {
		t.Errorf("of one that was never looked at it says %v", none)
	}
	status, days := asked(t, s, "api/days?days=3")
	items, _ := days["items"].([]any)
	if status != 200 || len(items) != 3 || !has(items[2], now.Format(time.DateOnly), "date") || !has(items[2], len(took), "count") || !has(items[1], 20, "down_minutes") || !has(items[0], 0, "down_minutes") {
		t.Errorf("%d %v", status, days)
	}
	for path, want := range map[string]int{"nothing/days": 404, "api/days?days=401": 422, "api/days?days=0": 422} {
		if status, _ := asked(t, s, path); status != want {
			t.Errorf("%s is answered %d", path, status)
		}
	}
}
