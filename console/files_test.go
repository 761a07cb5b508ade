package console

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"manus/design"
	"manus/httpapi"
)

// A site's icon is asked for at one address by all that don't read pages. It is the product's
// where that has a logo.
func TestTheIconIsWhereEverybodyLooksForIt(t *testing.T) {
	t.Parallel()
	logo := design.Picture{Type: "image/png", Body: []byte("\x89PNG\r\n\x1a\n, or so")}
	for want, c := range map[string]Config{
		"image/x-icon": {}, logo.Type: {Logo: logo},
	} {
		c.Log = slog.New(slog.DiscardHandler)
		api := httpapi.New(httpapi.Config{Log: c.Log})
		pages := New(c)
		pages.Routes(api)
		if err := pages.Render(api); err != nil {
			t.Fatal(err)
		}
		w := get(t, api, "/favicon.ico")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != want || w.Header().Get("Cache-Control") != "public, max-age=86400" || w.Body.Len() == 0 {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		if c.Logo.Body != nil && w.Body.String() != string(logo.Body) {
			t.Errorf("it isn't the logo: %q", w.Body)
		}
		if w := get(t, api, "/favicon.ico", "If-None-Match", w.Header().Get("ETag")); w.Code != http.StatusNotModified {
			t.Errorf("it is sent again: %d", w.Code)
		}
	}
}

// Search engines may look at what is for everybody, and at nothing that is behind a link of
// somebody's or for programs.
func TestSearchEnginesAreToldWhatIsForThem(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	w := get(t, handler, "/robots.txt")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	refused := func(path string) bool {
		for line := range strings.Lines(w.Body.String()) {
			if prefix, is := strings.CutPrefix(strings.TrimSpace(line), "Disallow: "); is && strings.HasPrefix(path, prefix) {
				return true
			}
		}
		return false
	}
	for path, want := range map[string]bool{
		"/": false, "/docs": false, "/status": false, "/status/history": false, "/problems": false, "/problems/internal": false, "/assets/x": false, "/favicon.ico": false,
		"/account/reset": true, "/account/verify?token=x": true, "/alerts/x": true, "/api/v1/sessions": true, "/api/7/envelope": true, "/dev/mails": true, "/ping/x": true, "/status/unsubscribe": true,
	} {
		if refused(path) != want {
			t.Errorf("%s: refused %v", path, !want)
		}
	}
}
