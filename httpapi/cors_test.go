package httpapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"manus/identity"
)

func TestPagesOfOriginsOnTheListMayUseTheAPI(t *testing.T) {
	t.Parallel()
	const listed, other = "https://app.example.com", "https://evil.example.com"
	_, door, _ := setup(t, nil)
	api := door.(*API)
	api.Origins = []string{"http://localhost:5173", listed}
	api.Handle(Route{Access: Public, Pattern: "GET /page"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct {
		method, path, origin, asks string
		status                     int
		allowed, varies            bool
	}{
		{"POST", "/api/v1/tea", listed, "", 200, true, true},
		{"POST", "/api/v1/tea", "http://localhost:5173", "", 200, true, true},
		{"POST", "/api/v1/tea", other, "", 200, false, true},
		{"POST", "/api/v1/tea", "", "", 200, false, true},
		{"POST", "/api/v1/tea", "null", "", 200, false, true},
		{"POST", "/api/v1/tea", "HTTPS://app.example.com", "", 200, false, true},
		{"POST", "/api/v1/tea?kind=coffee", listed, "", 422, true, true},
		{"POST", "/api/v1/my-tea", listed, "", 401, true, true},
		{"GET", "/api/v1/tea", listed, "", 405, true, true},
		{"GET", "/api/v1/nowhere", listed, "", 404, true, true},
		{"OPTIONS", "/api/v1/tea", listed, "POST", 204, true, true},
		{"OPTIONS", "/api/v1/my-tea", listed, "POST", 204, true, true},
		{"OPTIONS", "/api/v1/tea", other, "POST", 405, false, true},
		{"OPTIONS", "/api/v1/tea", listed, "GET", 405, true, true},
		{"OPTIONS", "/api/v1/tea", listed, "", 405, true, true},
		{"OPTIONS", "/api/v1/nowhere", listed, "POST", 404, true, true},
		{"OPTIONS", "/page", listed, "GET", 405, false, false},
		{"GET", "/page", listed, "", 200, false, false},
		{"GET", "/nowhere", listed, "", 404, false, false},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(`{"cups":1}`))
		for name, value := range map[string]string{"Origin": c.origin, "Access-Control-Request-Method": c.asks} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		header := w.Header()
		want := ""
		if c.allowed {
			want = c.origin
		}
		if w.Code != c.status || header.Get("Access-Control-Allow-Origin") != want || header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %s of %s: %d %v", c.method, c.path, c.origin, w.Code, header)
		}
		if varies := strings.Contains(strings.Join(header.Values("Vary"), ","), "Origin"); varies != c.varies {
			t.Errorf("%s %s: Vary is %q", c.method, c.path, header.Values("Vary"))
		}
		if exposed := strings.Contains(header.Get("Access-Control-Expose-Headers"), "RateLimit-Policy"); exposed != c.allowed {
			t.Errorf("%s %s: a page sees %q", c.method, c.path, header.Get("Access-Control-Expose-Headers"))
		}
		if c.status == 204 && (header.Get("Access-Control-Allow-Methods") != "POST" || !strings.Contains(header.Get("Access-Control-Allow-Headers"), "Authorization") || header.Get("Access-Control-Max-Age") == "" || w.Body.Len() > 0) {
			t.Errorf("the preflight of %s: %v", c.path, header)
		}
	}
}

func TestWithoutAListNoOtherOriginIsAllowed(t *testing.T) {
	t.Parallel()
	_, api, _ := setup(t, nil)
	for _, method := range []string{http.MethodPost, http.MethodOptions} {
		r := httptest.NewRequest(method, "/api/v1/tea", strings.NewReader(`{"cups":1}`))
		r.Header.Set("Origin", "https://app.example.com")
		r.Header.Set("Access-Control-Request-Method", "POST")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s has %s", method, name)
			}
		}
	}
}

// TestARouteMayOptIn: routes at the root have no CORS unless they say so.
func TestARouteMayOptIn(t *testing.T) {
	t.Parallel()
	api := New(Config{Log: slog.New(slog.DiscardHandler), Origins: []string{"https://a.example"}, Caller: func(*http.Request) (identity.Caller, error) { return identity.Caller{}, nil }})
	api.Handle(Route{Pattern: "GET /raw", CORS: true}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest(http.MethodGet, "/raw", nil)
	r.Header.Set("Origin", "https://a.example")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	if w.Code != 401 || w.Header().Get("Access-Control-Allow-Origin") != "https://a.example" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestAServerForThisMachineTakesThePagesOfThisMachine(t *testing.T) {
	t.Parallel()
	_, door, _ := setup(t, nil)
	api := door.(*API)
	for origin, allowed := range map[string]bool{
		"http://localhost:5173": true, "http://127.0.0.1:3000": true, "http://[::1]:3000": true, "http://shop.localhost": true,
		"https://evil.example": false, "http://evil.example": false, "http://localhost.evil.example": false, "http://localhost@evil.example": false, "null": false, "": false, "http://": false,
	} {
		for _, local := range []bool{true, false} {
			api.LoopbackOnly = local
			r := httptest.NewRequest("POST", "/api/v1/tea", strings.NewReader(`{"cups":1}`))
			r.Host = "localhost:8080"
			r.Header.Set("Origin", origin)
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			if got := w.Header().Get("Access-Control-Allow-Origin") != ""; got != (allowed && local) || w.Code != 200 {
				t.Errorf("%q, to a server for this machine alone: %v: allowed: %v, %d", origin, local, got, w.Code)
			}
		}
	}
}
