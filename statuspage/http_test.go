package statuspage

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"manus/design"
	"manus/language"
)

func do(t testing.TB, h *house, method, url string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, url, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

func get(t testing.TB, h *house, url string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return do(t, h, "GET", url, header...)
}

func TestEveryFileCanBeMade(t *testing.T) {
	t.Parallel()
	for _, m := range []Model{busy(), {}, many(2)} {
		for path, each := range refreshed(t, m).site.Load().files {
			for tag, f := range each {
				if len(f.plain().body) == 0 || len(f.gzip().body) == 0 || len(f.brotli().body) == 0 {
					t.Errorf("%s in %q is empty", path, tag)
				}
			}
		}
	}
}

func TestAPageIsSentAsTheClientCanTakeIt(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	plain := get(t, h, "/status")
	for _, c := range []struct{ accept, encoding string }{
		{"", ""}, {"identity", ""}, {"gzip", "gzip"}, {"gzip, deflate, br, zstd", "br"}, {"br;q=0, gzip", "gzip"}, {"br; q=0.0,gzip;q=0", ""}, {"GZIP", "gzip"}, {"x-gzip;q=0.5", "gzip"}, {"br;q=0.001", "br"}, {",,;", ""},
	} {
		w := get(t, h, "/status", "Accept-Encoding", c.accept)
		var unpacked io.Reader = w.Body
		var err error
		switch w.Header().Get("Content-Encoding") {
		case "gzip":
			unpacked, err = gzip.NewReader(w.Body)
		case "br":
			unpacked = brotli.NewReader(w.Body)
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(unpacked)
		if err != nil || w.Code != 200 || w.Header().Get("Content-Encoding") != c.encoding || !bytes.Equal(body, plain.Body.Bytes()) {
			t.Errorf("%q: %d %q %v", c.accept, w.Code, w.Header().Get("Content-Encoding"), err)
		}
		if vary := strings.Join(w.Header()["Vary"], ","); vary != "Accept-Encoding,Accept-Language" {
			t.Errorf("Vary: %s", vary)
		}
		etag := w.Header().Get("ETag")
		for _, known := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
			again := get(t, h, "/status", "Accept-Encoding", c.accept, "If-None-Match", known)
			if again.Code != 304 || again.Body.Len() != 0 || again.Header().Get("ETag") != etag || again.Header().Get("Cache-Control") != caching {
				t.Errorf("%q of what %s is known of: %d %v", c.accept, known, again.Code, again.Header())
			}
		}
		if other := get(t, h, "/status", "Accept-Encoding", c.accept, "If-None-Match", `"0000"`); other.Code != 200 {
			t.Errorf("of another one: %d", other.Code)
		}
	}
	etags := map[string]bool{}
	for _, accept := range []string{"", "gzip", "br"} {
		for _, lang := range []string{"en", "ar"} {
			etags[get(t, h, "/status?lang="+lang, "Accept-Encoding", accept).Header().Get("ETag")] = true
		}
	}
	if len(etags) != 6 {
		t.Errorf("two encodings or languages have the same tag: %v", etags)
	}
}

func TestHeadIsGetWithoutItsBody(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	for _, path := range []string{"/status", "/status/history", "/status/feed.atom", "/status/calendar.ics", "/status/badge/api.svg", "/status/widget.js", "/status/nothing", "/api/v2/summary.json", "/api/v2/incidents/unresolved.json"} {
		w, head := get(t, h, path), do(t, h, "HEAD", path)
		if head.Code != w.Code || head.Body.Len() != 0 || head.Header().Get("Content-Length") != w.Header().Get("Content-Length") || head.Header().Get("ETag") != w.Header().Get("ETag") {
			t.Errorf("%s: %d %v, not %d %v", path, head.Code, head.Header(), w.Code, w.Header())
		}
		if post := do(t, h, "POST", path); post.Code != 405 || !strings.Contains(post.Header().Get("Allow"), "GET") {
			t.Errorf("POST %s: %d %v", path, post.Code, post.Header())
		}
	}
}

func TestALanguageIsChosenAndKept(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	for _, c := range []struct{ path, accept, want string }{
		{"/status", "", `<html lang="en" dir="ltr">`}, {"/status", "ar", `<html lang="ar" dir="rtl">`}, {"/status?lang=ar", "en", `<html lang="ar" dir="rtl">`}, {"/status?lang=xx", "en", `lang="en"`},
		{"/status/history?lang=ar", "", `href="../status?lang=ar"`}, {"/status/incidents/i1?lang=ar", "", `href="../../status/history?lang=ar"`}, {"/status/nothing?lang=ar", "", `href="/status?lang=ar"`},
	} {
		w := get(t, h, c.path, "Accept-Language", c.accept)
		if !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s for %q has no %s", c.path, c.accept, c.want)
		}
	}
}

func TestTheRootOfItsOwnHostIsThePage(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy(), func(s *Settings) { s.URL, s.Root = "https://status.test", true })
	page := get(t, h, "http://status.test/status").Body.String()
	for _, url := range []string{"http://status.test/", "http://STATUS.test:8443/", "http://status.test/?lang=en"} {
		if w := get(t, h, url); w.Code != 200 || w.Body.String() != page {
			t.Errorf("%s: %d", url, w.Code)
		}
	}
	if w := get(t, h, "http://other.test/"); w.Code != 404 {
		t.Errorf("of another host: %d", w.Code)
	}
	if w := get(t, h, "http://status.test/api/v2/status.json"); w.Code != 200 || !strings.Contains(w.Body.String(), `"url":"https://status.test/"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOtherSitesMayReadWhatIsForThem(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	for path, want := range map[string]string{
		"/api/v2/summary.json": "*", "/api/v2/status.json": "*", "/status/feed.atom": "*", "/status/badge/api.svg": "*", "/status/widget.js": "*", "/status": "", "/status/history": "",
	} {
		w := get(t, h, path, "Origin", "https://other.example")
		if w.Header().Get("Access-Control-Allow-Origin") != want || (w.Header().Get("Cross-Origin-Resource-Policy") == "cross-origin") != (want == "*") {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
}

func TestWhatIsntThereIsSaidAlike(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	var first string
	for _, path := range []string{"/status/incidents/none", "/status/incidents/a/b", "/status/components/none", "/status/x/y/z", "/status/incidents/" + strings.Repeat("x", 1000), "/status/badge/none.svg", "/status/%2e%2e/%00"} {
		w := get(t, h, path)
		if first == "" {
			first = w.Body.String()
		}
		if w.Code != 404 || w.Body.String() != first || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	if w := get(t, h, "/api/v2/none.json"); w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := get(t, h, "/status/incidents/old"); w.Code != 200 || !strings.Contains(w.Body.String(), "API: outage") {
		t.Errorf("an old incident: %d", w.Code)
	}
	for path, want := range map[string]string{"/status/": "/status", "/status/history/?lang=ar": "/status/history?lang=ar"} { // where relative links are right
		if w := get(t, h, path); w.Code != 308 || w.Header().Get("Location") != want {
			t.Errorf("%s: %d to %s", path, w.Code, w.Header().Get("Location"))
		}
	}
}

func TestAChangeIsSeenWithTheNextRead(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	before := get(t, h, "/status")
	h.set(func(h *house) { h.at = now.Add(4 * time.Second) })
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := get(t, h, "/status"); w.Header().Get("ETag") != before.Header().Get("ETag") {
		t.Error("it was rendered anew, and says the same")
	}
	h.set(func(h *house) { h.model.Incidents = h.model.Incidents[1:] })
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := get(t, h, "/status"); w.Header().Get("ETag") == before.Header().Get("ETag") || strings.Contains(w.Body.String(), "Mails are late") {
		t.Error("what has changed isn't seen")
	}
	h.set(func(h *house) { h.at = now.Add(time.Minute) })
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := get(t, h, "/status"); !strings.Contains(w.Body.String(), "2026-11-27T09:42:12Z") {
		t.Error("a minute later it says the time of before")
	}
}

func TestWhatCantBeReadIsAnsweredFromMemoryWithItsAge(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	gone := errors.New("the store is gone")
	const older = "This is older than it should be."
	for _, c := range []struct {
		after time.Duration
		err   error
		says  string // of its age
	}{{5 * time.Second, gone, ""}, {20 * time.Second, gone, "(<span data-old>20 seconds ago</span>)"}, {25 * time.Second, gone, "20 seconds ago"}, {8 * time.Minute, gone, "8 minutes ago"}, {9 * time.Minute, nil, ""}} {
		h.set(func(h *house) { h.at, h.err = now.Add(c.after), c.err })
		if err := h.Refresh(t.Context()); !errors.Is(err, c.err) {
			t.Fatal(err)
		}
		for _, path := range []string{"/status", "/status/history", "/status/components/api", "/status/incidents/i1"} {
			body := get(t, h, path).Body.String()
			older, arabic := older, "تتعذّر قراءة سجلّاتنا الآن. ما تراه يعود إلى"
			if path == "/status" && c.after == 8*time.Minute { // so old that it is no state any more
				older, arabic = `<h1 data-is="stale">How everything is now can’t be read`, `<h1 data-is="stale">تتعذّر قراءة الحالة الآن`
			}
			if strings.Contains(body, older) != (c.says != "") || !strings.Contains(body, c.says) {
				t.Errorf("%v later, %s doesn't say %q of its age", c.after, path, c.says)
			}
			ar := get(t, h, path+"?lang=ar-SA").Body.String()
			if strings.Contains(ar, arabic) != (c.says != "") || strings.Contains(ar, " ago") {
				t.Errorf("%v later, %s in Arabic: %s", c.after, path, ar)
			}
		}
		if w := get(t, h, "/api/v2/summary.json"); w.Code != 200 || c.err != nil && !strings.Contains(w.Body.String(), `"updated_at":"2026-11-27T09:41:12.000Z"`) {
			t.Errorf("%v later, the summary: %d %.300s", c.after, w.Code, w.Body)
		}
	}
}

func TestBeforeAnythingWasReadItSaysSo(t *testing.T) {
	t.Parallel()
	h := setup(t, busy())
	if w := get(t, h, "/status"); w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// Headings of an update are below that of the card that it stands in.
func TestHeadingsOfUpdatesAreBelowTheirCards(t *testing.T) {
	t.Parallel()
	s := &site{view: &view{}, markdown: func(string) template.HTML { return "<h1>One</h1><p>&lt;h1></p><h5>Five</h5>" }}
	for path, want := range map[string]template.HTML{
		mainPage:              "<h4>One</h4><p>&lt;h1></p><h6>Five</h6>",
		"status/incidents/i1": "<h3>One</h3><p>&lt;h1></p><h6>Five</h6>",
	} {
		if got := s.newPage(path, language.English).Markdown(""); got != want {
			t.Errorf("%s has %s", path, got)
		}
	}
}

// A web server tells by a file's name what it is.
func TestTheLogoIsCalledWhatItIs(t *testing.T) {
	t.Parallel()
	for kind, end := range map[string]string{"": ".svg", "image/svg+xml": ".svg", "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"} {
		h := refreshed(t, busy(), func(s *Settings) {
			if kind != "" {
				s.Picture = design.Picture{Type: kind, Body: []byte("a picture")}
			}
		})
		if got := filepath.Ext(h.Look(language.English).Logo); got != end {
			t.Errorf("of %q it ends in %s", kind, got)
		}
		if w := get(t, h, "/status/assets/0123.png"); w.Code != 200 || w.Header().Get("Content-Type") != cmp.Or(kind, "image/svg+xml") {
			t.Errorf("one of before is %d %v", w.Code, w.Header())
		}
	}
}

// Whatever people write stays text.
func TestNamesAndTitlesStayText(t *testing.T) {
	t.Parallel()
	const evil = `"><script>alert(1)</script>&amp;]]>` + "'"
	m := busy()
	both := language.Text{En: evil, Ar: evil}
	m.Components[1].Name, m.Components[1].About, m.Components[1].Group = both, both, both
	m.Incidents[0].Title = both
	m.Maintenances[1].Title = both
	h := refreshed(t, m, func(s *Settings) { s.Title, s.About = both, both })
	for path, each := range h.site.Load().files {
		for tag, f := range each {
			body := f.plain().body
			switch {
			case f.kind == htmlType && bytes.Contains(body, []byte("<script>alert")):
				t.Errorf("%s in %s has a script", path, tag)
			case strings.Contains(f.kind, "xml"):
				decoder := xml.NewDecoder(bytes.NewReader(body))
				for {
					token, err := decoder.Token()
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						t.Fatalf("%s: %v", path, err)
					}
					if e, ok := token.(xml.StartElement); ok && e.Name.Local == "script" {
						t.Errorf("%s has a script", path)
					}
				}
			case strings.HasPrefix(f.kind, "application/json") && (!json.Valid(body) || bytes.Contains(body, []byte("<script>"))):
				t.Errorf("%s: %s", path, body)
			}
		}
	}
}

// One client's decoder refuses components that have another field than Statuspage's.
func TestComponentsHaveNoOtherFieldThanStatuspages(t *testing.T) {
	t.Parallel()
	var strict struct {
		Page       json.RawMessage `json:"page"`
		Components []struct {
			ID                 string    `json:"id"`
			Name               string    `json:"name"`
			Status             string    `json:"status"`
			CreatedAt          time.Time `json:"created_at"`
			UpdatedAt          time.Time `json:"updated_at"`
			Position           int       `json:"position"`
			Description        *string   `json:"description"`
			Showcase           bool      `json:"showcase"`
			StartDate          *string   `json:"start_date"`
			GroupID            *string   `json:"group_id"`
			PageID             string    `json:"page_id"`
			Group              bool      `json:"group"`
			OnlyShowIfDegraded bool      `json:"only_show_if_degraded"`
			Components         []string  `json:"components"` // of a group
		} `json:"components"`
	}
	decoder := json.NewDecoder(get(t, refreshed(t, busy()), "/api/v2/components.json").Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&strict); err != nil {
		t.Fatal(err)
	}
	known := []string{"operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance"}
	groups := 0
	for _, c := range strict.Components {
		if !slices.Contains(known, c.Status) || (len(c.Components) > 0) != c.Group {
			t.Errorf("%+v", c)
		}
		if c.Group {
			groups++
		}
	}
	if len(strict.Components) != 9 || groups != 2 {
		t.Errorf("%d components, %d of them groups", len(strict.Components), groups)
	}
}

func TestABadgeCanBeRead(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	for path, want := range map[string]string{"/status/badge/api.svg": "API: Operational", "/status/badge/mail.svg?lang=ar": "البريد: انقطاع", "/status/badge/overall.svg": "Status: Partial outage"} {
		if body := get(t, h, path).Body.String(); !strings.Contains(body, "<title>"+want+"</title>") {
			t.Errorf("%s: %s", path, body)
		}
	}
	for level, colour := range design.Light() {
		if slices.Contains([]string{"up", "degraded", "partial", "down", "work", "unknown"}, level) && design.Contrast(colour, design.Colour{255, 255, 255}) < design.TextContrast {
			t.Errorf("white on %s can't be read", level)
		}
	}
}

// The page is one request, its style sheet and script two more: a first view is small.
func TestAFirstViewIsSmall(t *testing.T) {
	t.Parallel()
	h := refreshed(t, many(100))
	s := h.site.Load()
	total := 0
	for _, path := range []string{mainPage, s.style, s.script, s.logo} {
		w := get(t, h, "/"+path, "Accept-Encoding", "gzip")
		if w.Code != 200 {
			t.Fatalf("%s: %d", path, w.Code)
		}
		total += w.Body.Len()
	}
	plain := get(t, h, "/status").Body.Len()
	if zipped := get(t, h, "/status", "Accept-Encoding", "gzip").Body.Len(); plain > 90_000 || zipped > 15_000 || total > 20_000 {
		t.Errorf("the page has %d bytes, %d packed, and the first view %d", plain, zipped, total)
	}
}

// However much is told, the page itself stays small, and leads to the rest.
func TestAFullFrontPageIsSmall(t *testing.T) {
	t.Parallel()
	both := func(en, ar string, times int) language.Text {
		return language.Text{En: strings.Repeat(en, times), Ar: strings.Repeat(ar, times)}
	}
	for name, c := range map[string]struct {
		open, updates, times int // of each text
	}{"as they are": {2, 3, 4}, "all open": {1000, 2, 4}, "all of everything": {1000, 40, 600}} {
		m := many(100)
		said := both("We look into it. ", "نحقق في الأمر. ", c.times)
		for n := range 1000 {
			i := lasting(Major, time.Duration(n+2)*time.Hour, time.Duration(n+1)*time.Hour)
			if n < c.open {
				i = lasting(Major, time.Duration(n+2)*time.Hour, 0)
			}
			i.ID, i.Title, i.Components = fmt.Sprintf("incident-%d", n), both("Payments fail ", "تعذّر الدفع ", min(c.times, 14)), []string{"component-0", "component-1"}
			i.Updates[0].Text, i.Updates[0].Earlier = said, []Earlier{{said, now}}
			for len(i.Updates) < c.updates {
				i.Updates = append(i.Updates[:1:1], i.Updates...)
			}
			m.Incidents = append(m.Incidents, i)
		}
		for n := range c.updates {
			m.Maintenances = append(m.Maintenances, Maintenance{
				ID: fmt.Sprint("work-", n), Title: both("Upgrade", "ترقية", 1), Text: said,
				From: now.Add(time.Hour), Until: now.Add(2 * time.Hour), Progress: []Progress{Scheduled, InProgress}[n%2],
			})
		}
		h := refreshed(t, m)
		for _, lang := range []string{"en", "ar"} {
			body, zipped := get(t, h, "/status?lang="+lang).Body.String(), get(t, h, "/status?lang="+lang, "Accept-Encoding", "gzip").Body.Len()
			if len(body) > 90_000 || zipped > 15_000 {
				t.Errorf("%s, %s: the page has %d bytes, %d packed", name, lang, len(body), zipped)
			}
			for _, link := range []string{`href="status/history?lang=` + lang, `href="status/incidents/incident-0?lang=` + lang, `id="i-incident-0"`, `data-is="component/component-99"`} {
				if !strings.Contains(body, link) {
					t.Errorf("%s, %s: it has no %s", name, lang, link)
				}
			}
			short := strings.Contains(body, "All that was said of it") || strings.Contains(body, "كلّ ما قيل عنها")
			more := strings.Contains(body, "the calendar has all of it") || strings.Contains(body, "كلّها في التقويم")
			if all := name == "all of everything"; all && (!short || !more) || name == "as they are" && lang == "en" && (short || more) {
				t.Errorf("%s, %s: it says that texts are short: %t, and that there is more work: %t", name, lang, short, more)
			}
			if past := get(t, h, "/status/history?lang="+lang).Body.String(); !strings.Contains(past, "incidents/incident-999?") {
				t.Errorf("%s, %s: the history doesn't have them all", name, lang)
			}
		}
	}
}

func TestWhatNeverChangesIsKeptForEver(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	style := h.site.Load().style
	if w := get(t, h, "/"+style); w.Header().Get("Cache-Control") != immutable || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("%v", w.Header())
	}
	h.Set(Settings{Policy: Policy{Accent: design.Brand{Light: "#6b2fa0", Dark: "#c9a2f2"}}, URL: "https://app.example.com"})
	changed := h.site.Load().style
	if changed == style || !strings.Contains(get(t, h, "/"+changed).Body.String(), "--accent: #6b2fa0; --on-accent: #ffffff") {
		t.Error("other colours have the same sheet")
	}
	if w := get(t, h, "/"+style); w.Code != http.StatusOK || w.Header().Get("Cache-Control") != caching {
		t.Errorf("a page that is kept somewhere has no sheet any more: %d %v", w.Code, w.Header())
	}
	if w := get(t, h, "/status/assets/none"); w.Code != http.StatusNotFound {
		t.Errorf("what was never there: %d", w.Code)
	}
	if w := get(t, h, "/status"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), changed) {
		t.Error("the page has the sheet of before")
	}
}
