package app

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadinessHintsAtAProxyThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	a, log := setup(t, limited)
	if _, body := call(t, a, "GET", "/ready", "", ""); strings.Contains(body, "hints") {
		t.Errorf("got %s", body)
	}
	for i := range 4 {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/docs", nil)
		r.Host, r.RemoteAddr = "localhost", "10.0.0.5:1"
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
		a.api.ServeHTTP(httptest.NewRecorder(), r)
	}
	if status, body := call(t, a, "GET", "/ready", "", ""); status != 200 || !strings.Contains(body, `"status":"ready"`) || !strings.Contains(body, `"hints":["proxy-not-trusted"]`) {
		t.Errorf("got %d %s", status, body)
	}
	if n := strings.Count(log.String(), "10.0.0.5 is a proxy of yours"); n != 1 {
		t.Errorf("the log tells of it %d times", n)
	}
}
