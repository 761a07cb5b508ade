package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"manus/identity"
	"manus/language"
)

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

func TestWhoeverNamesHTMLFirstIsAPerson(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		browser: true, "text/html": true, "TEXT/HTML ; charset=utf-8": true, "text/html, */*": true, "application/xhtml+xml": true, "application/json;q=0.5, text/html": true,
		"": false, "*/*": false, "text/*": false, "application/json": false, "application/json, text/plain, */*": false, "text/html;q=0": false, "text/html;q=0.5, */*": false,
		"text/html, application/json": false, "text/html;q=0.9, application/problem+json": false, "text/html;q=x": false, "text/html;q=NaN": false, "text/html;q=2": false, "text/html;q=-1": false,
		"text/htmlx": false, ";,;q=": false, strings.Repeat("text/html;q=0,", 1000): false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Header.Set("Accept", accept)
		if got := PrefersHTML(r); got != want {
			t.Errorf("%.60q: %v", accept, got)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	if r.Header["Accept"] = []string{"text/html", "application/json"}; PrefersHTML(r) {
		t.Error("the second line isn't read")
	}
}

// pagesAPI has routes of each kind, all of which fail.
func pagesAPI(page ProblemPage) *API {
	api := New(Config{Log: slog.New(slog.DiscardHandler), Version: "test", Page: page})
	fails := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { WriteError(w, r, nil, errors.New("a secret cause")) })
	api.Handle(Route{Access: Public, Pattern: "GET /page", Headers: map[string]string{"Content-Security-Policy": "sandbox"}}, fails)
	api.Handle(Route{Access: Public, Pattern: "GET /panics"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }))
	api.Handle(Route{Access: Public, Pattern: "POST /form", MaxBody: 3}, fails)
	api.Handle(Route{Access: Known, Pattern: "GET /mine", Caller: func(*http.Request) (identity.Caller, error) { return identity.Caller{}, nil }}, fails)
	api.Handle(Route{Access: Public, Pattern: "GET /ping", Proves: true}, fails)
	api.Handle(Route{Access: Public, Pattern: "GET /api/raw"}, fails)
	api.Handle(Route{Access: Public, Pattern: "GET /sdk", Problem: func(p *Problem) any { return p.Title }}, fails)
	Register(Group{API: api, Name: language.Text{En: "Tea", Ar: "شاي"}}, Route{Access: Public, Pattern: "GET /tea", ID: "tea", Summary: language.Text{En: "Tea", Ar: "شاي"}}, func(context.Context, *Nothing) (*Nothing, error) { return nil, errors.New("x") })
	return api
}

// TestProblemsOfPagesAreShownToPeople and are what they were to programs, byte for byte.
func TestProblemsOfPagesAreShownToPeople(t *testing.T) {
	t.Parallel()
	shown := pagesAPI(func(w http.ResponseWriter, _ *http.Request, p *Problem) bool {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(p.Status)
		_, _ = fmt.Fprint(w, "<h1>"+p.Title)
		return true
	})
	broken := pagesAPI(func(http.ResponseWriter, *http.Request, *Problem) bool { return false })
	without := pagesAPI(nil)
	ask := func(api *API, request, accept string) *httptest.ResponseRecorder {
		method, path, _ := strings.Cut(request, " ")
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(strings.Repeat("x", 4*strings.Count(request, "form"))))
		r.Header.Set("X-Request-Id", "the-same-one")
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w
	}
	same := func(a, b *httptest.ResponseRecorder) bool {
		return a.Body.String() == b.Body.String() && a.Header().Get("Content-Type") == b.Header().Get("Content-Type")
	}
	for request, c := range map[string]struct {
		status int
		page   bool
	}{
		"GET /page": {500, true}, "GET /panics": {500, true}, "GET /nowhere": {404, true}, "GET /nowhere/api/v1": {404, true}, "POST /page": {405, true}, "POST /form": {413, true}, "GET /mine": {401, true}, "GET /apis": {404, true},
		"GET /api": {404, false}, "GET /api/": {404, false}, "GET /api/v1/nowhere": {404, false}, "DELETE /api/v1/tea": {405, false}, "GET /api/v1/tea": {500, false}, "GET /api/raw": {500, false}, "GET /ping": {500, false}, "GET /sdk": {500, false},
	} {
		before := ask(without, request, browser)
		for _, accept := range []string{browser, "", "*/*", "application/json", "application/json, text/plain, */*"} {
			w := ask(shown, request, accept)
			page := strings.HasPrefix(w.Body.String(), "<h1>")
			if w.Code != c.status || page != (c.page && accept == browser) || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Allow") != before.Header().Get("Allow") {
				t.Errorf("%s for %q: %d %v %s", request, accept, w.Code, w.Header(), w.Body)
			}
			if varies := slices.Contains(w.Header()["Vary"], "Accept"); varies != c.page {
				t.Errorf("%s for %q varies by %q", request, accept, w.Header()["Vary"])
			}
			if !page && !same(w, before) {
				t.Errorf("%s for %q was %s, and is %v %s", request, accept, before.Body, w.Header(), w.Body)
			}
		}
		if w := ask(broken, request, browser); !same(w, before) {
			t.Errorf("%s, where no page can be made: %v %s", request, w.Header(), w.Body)
		}
	}
}

// What a page may do is what it says, also where the door answers before any route.
func TestAPagesPolicyStays(t *testing.T) {
	t.Parallel()
	api := New(Config{Log: slog.New(slog.DiscardHandler), LoopbackOnly: true, Page: func(w http.ResponseWriter, _ *http.Request, p *Problem) bool {
		w.Header().Set("Content-Security-Policy", "sandbox")
		w.WriteHeader(p.Status)
		return true
	}})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.Host = "rebound.example"
	r.Header.Set("Accept", browser)
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	if h := w.Header(); w.Code != http.StatusMisdirectedRequest || h.Get("Content-Security-Policy") != "sandbox" || h.Get("X-Frame-Options") != "DENY" {
		t.Errorf("%d %v", w.Code, h)
	}
}
