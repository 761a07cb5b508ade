package app

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"manus/readiness"
)

// The report is for operators alone, in the language that they ask for.
func TestTheReportIsForOperators(t *testing.T) {
	t.Parallel()
	in := newInbox(t)
	a := in.App
	if status, _ := call(t, a, "GET", "/api/v1/ops/readiness", "", ""); status != 401 {
		t.Errorf("a stranger got %d", status)
	}
	if status, _ := call(t, a, "GET", "/api/v1/ops/readiness", register(t, a).Access, ""); status != 403 {
		t.Errorf("a user got %d", status)
	}
	ask := func(query, languages string) (body readiness.Body) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/ops/readiness"+query, nil)
		r.Host = "localhost:8080"
		r.Header.Set("Authorization", "Bearer "+in.token)
		r.Header.Set("Accept-Language", languages)
		w := httptest.NewRecorder()
		a.api.ServeHTTP(w, r)
		if err := json.Unmarshal(w.Body.Bytes(), &body); w.Code != 200 || err != nil {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		return body
	}
	whole := ask("?fresh=true", "en")
	if len(whole.Checks) != len(a.Readiness.Checks) || whole.Score < 50 || whole.Status == readiness.Fail {
		t.Errorf("%d checks, score %d, %s", len(whole.Checks), whole.Score, whole.Status)
	}
	for _, c := range ask("?only=limits,health", "ar").Checks {
		if c.Group != readiness.Limits && c.Group != readiness.Health {
			t.Errorf("%s is there", c.ID)
		}
		if !strings.ContainsFunc(c.Title, func(r rune) bool { return r >= 'ا' && r <= 'ي' }) {
			t.Errorf("%s isn't in Arabic: %s", c.ID, c.Title)
		}
	}
	if status, _ := call(t, a, "GET", "/api/v1/ops/readiness?only=nope", in.token, ""); status != 422 {
		t.Errorf("a group that isn't there: %d", status)
	}
	measured := 0
	for _, c := range whole.Checks {
		if c.Status != readiness.Skipped {
			measured++
		}
	}
	if whole.Measured != measured {
		t.Errorf("%d were measured, and it says %d", measured, whole.Measured)
	}
	families, err := a.registry.Gather()
	for _, f := range families {
		if f.GetName() == "manus_readiness_check" && len(f.GetMetric()) < measured {
			t.Errorf("%d checks have a metric, want %d", len(f.GetMetric()), measured)
		} else if f.GetName() == "manus_readiness_check" {
			return
		}
	}
	t.Errorf("there is no metric: %v", err)
}
