package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"manus/config"
)

// TestDevAnswersNobodyWhoseNameLeadsHere asks every address of the product as a page
// does whose name was made to lead to this machine.
func TestDevAnswersNobodyWhoseNameLeadsHere(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	_, port, _ := strings.Cut(a.Addr(), ":")
	foreign := []string{"rebound.example:" + port, "rebound.example", "localhost.example", "127.0.0.1.example:" + port, "notlocalhost", "192.0.2.1:" + port, "0.0.0.0:" + port, ""}
	own := []string{"localhost:" + port, "127.0.0.1:" + port, "[::1]:" + port, "LOCALHOST", "127.8.9.10", "localhost.", "app.localhost:" + port, "localhost:5173", "[::ffff:127.0.0.1]:1"}
	for _, pattern := range append(Routes().Patterns, "GET /nowhere", "OPTIONS /api/v1/auth/me", "GET /dev/mails", "GET /dev/mails/x", "GET //docs") {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{$}", "", "{", "", "}", "", "...", "").Replace(path)
		for _, host := range foreign {
			if got := statusFor(a, method, path, host); got != http.StatusMisdirectedRequest {
				t.Errorf("%s for %q: %d", pattern, host, got)
			}
		}
		for _, host := range own {
			if got := statusFor(a, method, path, host); got == http.StatusMisdirectedRequest {
				t.Errorf("%s for %q: %d", pattern, host, got)
			}
		}
	}
	// Metrics and profiles, which listen on this machine alone.
	for host, want := range map[string]int{"rebound.example": http.StatusMisdirectedRequest, "localhost:9090": http.StatusOK} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+a.OpsAddr()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _ = response.Body.Close(); response.StatusCode != want {
			t.Errorf("metrics for %q: %d", host, response.StatusCode)
		}
	}
}

// TestAServerAnswersForEveryName has names that only its proxies and DNS know.
func TestAServerAnswersForEveryName(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, func(s *config.Settings) { s.Dev, s.DataDir = false, t.TempDir() })
	if got := statusFor(a, "GET", "/ready", "app.example.com"); got != http.StatusOK {
		t.Errorf("got %d", got)
	}
}

func statusFor(a *App, method, path, host string) int {
	r := httptest.NewRequest(method, path, http.NoBody)
	r.Host = host
	w := httptest.NewRecorder()
	a.api.ServeHTTP(w, r)
	return w.Code
}
