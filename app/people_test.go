package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/internal/waittest"
)

// opened asks as a browser does where a page is to be loaded, or as a program.
func opened(t *testing.T, a *App, method, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.Host, r.RemoteAddr = "localhost:8080", "203.0.113.1:1"
	if strings.HasPrefix(path, "//") {
		r.Host, r.URL.Path = "rebound.example:8080", path[1:]
	}
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	a.api.ServeHTTP(w, r)
	return w
}

const aBrowser, aProgram = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "*/*"

// TestPeopleGetPagesAndProgramsWhatTheyAlwaysGot asks for what is there, what isn't, what can't be
// done, what is one request too many, and all of it once the store is gone.
func TestPeopleGetPagesAndProgramsWhatTheyAlwaysGot(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	check := func(method, path string, status int, says string, problem bool) {
		t.Helper()
		page, data := opened(t, a, method, path, aBrowser), opened(t, a, method, path, aProgram)
		if h := page.Header(); page.Code != status || h.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(page.Body.String(), says) || !slices.Contains(h["Vary"], "Accept") {
			t.Errorf("%s %s, a person: %d %v %.3000s", method, path, page.Code, h, page.Body)
		}
		want := map[bool]string{true: "application/problem+json", false: "application/json"}[problem]
		if h := data.Header(); data.Code != status || h.Get("Content-Type") != want || !json.Valid(data.Body.Bytes()) || !slices.Contains(h["Vary"], "Accept") {
			t.Errorf("%s %s, a program: %d %v %s", method, path, data.Code, h, data.Body)
		}
	}
	check("GET", "/nowhere", 404, "There is no such page", true)
	check("PUT", "/docs", 405, "That doesn&#39;t work here", true)
	check("GET", "//docs", 421, `href="http://localhost:8080/?lang=en"`, true)
	check("GET", "/health", 200, "The program runs", false)
	check("GET", "/ready", 200, "It is ready", false)
	for _, path := range []string{"/api/v1/nowhere", "/api/v1/ready", "/api/v1/auth/me", "/api/v2/nowhere", "/live", "/version"} {
		if w := opened(t, a, "GET", path, aBrowser); strings.Contains(w.Header().Get("Content-Type"), "html") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	if err := a.store.Close(); err != nil {
		t.Fatal(err)
	}
	waittest.Poll(t, func() bool { return opened(t, a, "GET", "/ready", aProgram).Code == 503 })
	check("GET", "/ready", 503, "It isn&#39;t ready", false)
	check("GET", "/health", 200, "The program runs", false)
	check("GET", "/dev/mails", 503, "can&#39;t reach its storage", true)
	for range 1000 {
		if opened(t, a, "GET", "/nowhere", aProgram).Code == 429 {
			break
		}
	}
	check("GET", "/nowhere", 429, "Too many requests", true)
	refused := opened(t, a, "GET", "/nowhere", aBrowser)
	wait, err := time.ParseDuration(refused.Header().Get("Retry-After") + "s")
	if err != nil || refused.Code != http.StatusTooManyRequests || !strings.Contains(refused.Body.String(), fmt.Sprintf("Wait %d second", int(wait.Seconds()))) && wait < time.Minute {
		t.Errorf("%v: %v %s", err, refused.Header(), refused.Body)
	}
}
