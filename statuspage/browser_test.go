package statuspage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"manus/internal/browsertest"
	"manus/internal/testprogram"
	"manus/internal/waittest"
)

// features has the browser prefer something, as its user may.
func features(namesAndValues ...string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		var all []*emulation.MediaFeature
		for i := 0; i+1 < len(namesAndValues); i += 2 {
			all = append(all, &emulation.MediaFeature{Name: namesAndValues[i], Value: namesAndValues[i+1]})
		}
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: all})
		return err
	})
}

// atNow has a tab's clock begin at when the fixtures are: pages say how old they are.
func atNow(t *testing.T, tab context.Context) {
	t.Helper()
	inject(t, tab, fmt.Sprintf("Date.now = () => %d + performance.now()", now.UnixMilli()))
}

// inject has a script run before all others.
func inject(t *testing.T, tab context.Context, script string) {
	t.Helper()
	if err := chromedp.Do(tab, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	})); err != nil {
		t.Fatal(err)
	}
}

// serveNow serves pages at when the fixtures are, and opens a tab then.
func serveNow(t *testing.T, handler http.Handler) (*httptest.Server, context.Context) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", now.Format(http.TimeFormat))
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	tab := browsertest.Open(t)
	atNow(t, tab)
	return server, tab
}

func evaluate[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	value, err := chromedp.Run(tab, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// photograph keeps what the page looks like on a phone and on a desk, in the folder
// MANUS_SCREENSHOTS, where that is set.
func photograph(t *testing.T, tab context.Context, name string) {
	t.Helper()
	dir := os.Getenv("MANUS_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, width := range []int64{390, 1280} {
		err := chromedp.Do(tab, chromedp.EmulateViewport(width, 900), chromedp.Reload())
		var picture []byte
		if err == nil {
			picture, err = chromedp.Run(tab, chromedp.FullScreenshot(100))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d.png", name, width)), picture, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// everyPage are a page's pages.
var everyPage = []string{"status", "status/history", "status/incidents/i1", "status/incidents/i2", "status/incidents/i3", "status/components/mail", "status/uptime/mail", "status/uptime/web", "status/components/support", "status/nothing"}

// wide is a model with words that don't fit.
func wide() Model {
	m := busy()
	m.Components[0].Name.En = strings.Repeat("unbreakable", 9)
	m.Components[1].Name.Ar = strings.Repeat("طويلة", 18)
	m.Incidents[0].Title.En = strings.Repeat("verylongword", 15)
	m.Incidents[0].Updates[0].Text.En = strings.Repeat("https://example.com/", 20)
	return m
}

// Nothing is wider than the smallest phone, nothing is refused by the policy, and axe finds
// nothing, in both languages and themes.
func TestPagesFitAndAreRightForEverybody(t *testing.T) {
	t.Parallel()
	server, tab := serveNow(t, refreshed(t, wide()).handler)
	axe, err := os.ReadFile(filepath.Join(testprogram.StatusClients.Path(), "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var said []string
	if err := chromedp.Listen(tab, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *log.EventEntryAdded:
			said = append(said, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			said = append(said, e.ExceptionDetails.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for _, path := range everyPage {
		for _, lang := range []string{"en", "ar"} {
			for _, theme := range []string{"light", "dark"} {
				url := server.URL + "/" + path + "?lang=" + lang
				if err := chromedp.Do(tab, features("prefers-color-scheme", theme), chromedp.EmulateViewport(320, 700), chromedp.Navigate(url)); err != nil {
					t.Fatal(err)
				}
				if width := evaluate[int](t, tab, "document.documentElement.scrollWidth"); width > 320 {
					t.Errorf("%s is %d wide", url, width)
				}
				found := evaluate[[]string](t, tab, string(axe)+`; document.querySelectorAll("details").forEach((d) => d.open = true); new Promise((done, no) => axe.run().then(
					(r) => done(r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.map((n) => n.html).join(" | ").slice(0, 300))), no))`)
				if len(found) > 0 {
					t.Errorf("%s in %s: %s", url, theme, strings.Join(found, "\n"))
				}
				photograph(t, tab, strings.ReplaceAll(path, "/", "-")+"-"+theme+"-"+lang)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	said = slices.DeleteFunc(said, func(s string) bool { return strings.Contains(s, "404") })
	if len(said) > 0 {
		t.Errorf("the console says %s", strings.Join(said, "\n"))
	}
}

// No table of figures has to be scrolled sideways on a narrow window.
func TestTablesOfFiguresFit(t *testing.T) {
	t.Parallel()
	server, tab := serveNow(t, refreshed(t, busy()).handler)
	for _, path := range []string{"components/mail", "components/exports", "uptime/mail", "uptime/exports", "uptime/web"} {
		for _, lang := range []string{"en", "ar"} {
			url := server.URL + "/status/" + path + "?lang=" + lang
			for _, width := range []int64{360, 500} {
				if err := chromedp.Do(tab, chromedp.EmulateViewport(width, 900), chromedp.Navigate(url)); err != nil {
					t.Fatal(err)
				}
				if over := evaluate[int](t, tab, `Math.max(...[...document.querySelectorAll(".scroll")].map((e) => e.scrollWidth - e.clientWidth))`); over > 0 {
					t.Errorf("%s at %d: a table is %d too wide", url, width, over)
				}
			}
			if n := evaluate[int](t, tab, `document.querySelectorAll("caption, .scroll:not([tabindex]), table.stacked td:not([data-of])").length`); n > 0 {
				t.Errorf("%s: %d captions scroll away, tables can't be scrolled with keys or cells don't say what they are of", url, n)
			}
		}
	}
}

// In Arabic everything runs the other way: today's bar is at the left end, where the word for
// it is.
func TestArabicRunsFromRightToLeft(t *testing.T) {
	t.Parallel()
	server, tab := serveNow(t, refreshed(t, busy()).handler)
	const today = `(() => {
		const row = [...document.querySelectorAll(".rows > li")].find((li) => li.querySelector("a[href*='components/mail']"));
		const middle = (e) => { const b = e.getBoundingClientRect(); return b.left + b.width / 2; };
		const bars = row.querySelector(".bars");
		return [row.querySelector("path.partial"), row.querySelector(".scale").lastChild, row.querySelector("a"), row.querySelector(".badge")].map((e) => middle(e) < middle(bars) ? "left" : "right").join(" ");
	})()`
	for lang, want := range map[string]string{"en": "right right left right", "ar": "left left right left"} {
		if err := chromedp.Do(tab, chromedp.EmulateViewport(800, 900), chromedp.Navigate(server.URL+"/status?lang="+lang)); err != nil {
			t.Fatal(err)
		}
		if got := evaluate[string](t, tab, today); got != want {
			t.Errorf("in %s today's bar, its word, the name and the state are %s, not %s", lang, got, want)
		}
	}
}

// The script has the page be as it is now, and keeps what its reader has opened.
func TestTheScriptReadsThePageAgain(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	server, tab := serveNow(t, h.handler)
	if err := chromedp.Do(tab, chromedp.Navigate(server.URL+"/status?lang=en")); err != nil {
		t.Fatal(err)
	}
	evaluate[bool](t, tab, `document.querySelector("details.group:not([open]) summary").click(), true`)
	h.set(func(h *house) { h.model.Incidents = nil })
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := evaluate[string](t, tab, `new Promise((done) => {
		new MutationObserver(() => done([document.querySelectorAll("article.incident").length, document.querySelectorAll("details.group:not([open])").length, document.title].join(" "))).observe(document.querySelector("[data-live]"), { childList: true });
		document.dispatchEvent(new Event("visibilitychange"));
	})`)
	if want := "3 0 Status: Some systems are down"; got != want {
		t.Errorf("incidents and works, closed groups, title: %s, not %s", got, want)
	}
}

// A page whose server is gone, or that comes out of an old cache, is no longer green: it says that how
// everything is can't be read, and since when; one that can be read again is as it was.
func TestAPageThatCantBeReadIsNoLongerGreen(t *testing.T) {
	t.Parallel()
	calm := many(3)
	for _, c := range []struct {
		lang, old, lost string
		by              time.Duration // how old the page is
	}{
		{"en", "1 minute ago", "", 80 * time.Second},
		{"en", "5 minutes ago", "How everything is now can’t be read", 5*time.Minute + 10*time.Second},
		{"ar", "قبل ساعتين", "تتعذّر قراءة الحالة الآن", 2*time.Hour + time.Minute},
		{"ar", "قبل 3 أيام", "تتعذّر قراءة الحالة الآن", 75 * time.Hour},
		{"en", "1 day ago", "How everything is now can’t be read", 40 * time.Hour},
	} {
		h := refreshed(t, calm)
		server := httptest.NewServer(h.handler)
		t.Cleanup(server.Close)
		h.set(func(h *house) { h.at = time.Now().Add(-c.by) })
		if err := h.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		tab := browsertest.Open(t)
		inject(t, tab, `const fetched = fetch; window.gone = true; window.fetch = (...all) => window.gone ? Promise.reject(new TypeError("it is gone")) : fetched(...all)`)
		if err := chromedp.Do(tab, chromedp.Navigate(server.URL+"/status?lang="+c.lang)); err != nil {
			t.Fatal(err)
		}
		const state = `[document.querySelector("[data-updated] time").textContent, document.querySelector(".banner:not([hidden])").className, document.querySelector("[data-lost]").hidden ? "" : document.title].join("|")`
		want := "|banner up|"
		if c.lost != "" {
			want = "|banner unknown|" + c.lost
		}
		if got := evaluate[string](t, tab, state); got != c.old+want {
			t.Errorf("%v old, in %s: %q, not %q", c.by, c.lang, got, c.old+want)
		}
		h.set(func(h *house) { h.at = time.Now() })
		if err := h.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := evaluate[string](t, tab, `new Promise((done) => {
			new MutationObserver(() => requestAnimationFrame(() => done(`+state+`))).observe(document.querySelector("[data-live]"), { childList: true });
			window.gone = false;
			document.dispatchEvent(new Event("visibilitychange"));
		})`)
		if !strings.HasSuffix(got, "|banner up|") {
			t.Errorf("read again it is %q", got)
		}
	}
}

// On paper closed groups are open, and nothing is cut off.
func TestOnPaperEverythingIsOpen(t *testing.T) {
	t.Parallel()
	server, tab := serveNow(t, refreshed(t, busy()).handler)
	print := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
		return err
	})
	if err := chromedp.Do(tab, chromedp.Navigate(server.URL+"/status?lang=en"), print); err != nil {
		t.Fatal(err)
	}
	const want = "closed groups seen: true, their bars: none, cards: auto, headings at an end of a page: avoid"
	waittest.Poll(t, func() bool { // what is hidden in a group is laid out with the next frame
		return want == evaluate[string](t, tab, `(() => {
			const group = document.querySelector("details.group:not([open])");
			return "closed groups seen: " + group.querySelector("li").checkVisibility({ contentVisibilityAuto: true })
				+ ", their bars: " + getComputedStyle(group.querySelector("summary .bars")).display
				+ ", cards: " + getComputedStyle(document.querySelector(".panel")).breakInside
				+ ", headings at an end of a page: " + getComputedStyle(document.querySelector("h3")).breakAfter;
		})()`)
	})
}

// The widget shows in another site's page how everything is, under a policy that allows
// nothing but it.
func TestTheWidgetWorksInAnotherSite(t *testing.T) {
	t.Parallel()
	server, tab := serveNow(t, refreshed(t, busy()).handler)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src "+server.URL+"; connect-src "+server.URL)
		_, _ = io.WriteString(w, `<!doctype html><html lang="ar"><link rel="icon" href="data:,"><p id="here"><script src="`+server.URL+`/status/widget.js"></script></p>`)
	}))
	t.Cleanup(other.Close)
	if err := chromedp.Do(tab, chromedp.Navigate(other.URL)); err != nil {
		t.Fatal(err)
	}
	got := evaluate[string](t, tab, `new Promise((done) => {
		const look = () => { const is = document.querySelector("#here > span")?.dataset.is; is && is !== "unknown" ? done(is) : requestAnimationFrame(look); };
		look();
	})`)
	if got != "partial" {
		t.Errorf("it shows %q", got)
	}
}

// The widget says what the page says, in its reader's language, and of what is old how old it is.
func TestTheWidgetSaysWhatThePageSays(t *testing.T) {
	t.Parallel()
	unwatched := many(1)
	unwatched.Components[0].Watched = []Watched{{}}
	tab := browsertest.Open(t)
	for _, c := range []struct {
		model      Model
		lang, want string
		by         time.Duration // how old it is
	}{
		{many(1), "en-GB", "up|All systems operational", 0},
		{unwatched, "en", "unknown|The state of some systems isn’t known right now", 0},
		{unwatched, "ar-SA", "unknown|حال بعض الأنظمة غير معروف الآن", 0},
		{many(1), "", "unknown|2 hours ago: All systems operational", 2 * time.Hour},
		{many(1), "ar", "unknown|قبل ساعتين: جميع الأنظمة تعمل", 2 * time.Hour},
	} {
		h := refreshed(t, c.model)
		h.set(func(h *house) { h.at = time.Now().Add(-c.by) })
		if err := h.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(h.handler)
		t.Cleanup(server.Close)
		if err := chromedp.Do(tab, chromedp.Navigate(server.URL+"/status/nothing")); err != nil {
			t.Fatal(err)
		}
		// Its shadow is closed to others: the test opens it, and takes its timer.
		got := evaluate[string](t, tab, `new Promise((done) => {
			const attach = Element.prototype.attachShadow;
			Element.prototype.attachShadow = function () { return window.shadow = attach.call(this, { mode: "open" }); };
			const read = window.fetch;
			window.setInterval = (again) => { window.again = again; };
			window.fetch = async (...all) => { const answer = await read(...all); setTimeout(() => done(shown()), 50); return answer; };
			window.shown = () => { const a = window.shadow.querySelector("a"); return a.dataset.is + "|" + a.textContent; };
			const script = document.createElement("script");
			script.src = "/status/widget.js"; script.dataset.lang = "`+c.lang+`";
			document.querySelector("main").append(script);
		})`)
		if got != c.want {
			t.Errorf("in %s it shows %q, not %q", c.lang, got, c.want)
		}
		_, said, _ := strings.Cut(got, "|")
		got = evaluate[string](t, tab, `new Promise((done) => {
			window.fetch = () => { setTimeout(() => done(shown()), 50); return Promise.reject(new TypeError("it is gone")); };
			window.again();
		})`)
		if !strings.HasPrefix(got, "unknown|Can’t be read. ") && !strings.HasPrefix(got, "unknown|تتعذّر القراءة. ") || !strings.HasSuffix(got, said) {
			t.Errorf("what can't be read is %q", got)
		}
	}
}

// outline is what a screen reader reads, in its order: of the parts of a page and its headings the
// names.
func outline(t *testing.T, tab context.Context) (all []string) {
	t.Helper()
	var tree accessibility.GetFullAXTreeResult
	if err := chromedp.Do(tab, chromedp.Func(func(ctx context.Context, target *chromedp.Target) (err error) {
		tree, err = cdp.Call(ctx, target, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		return err
	})); err != nil {
		t.Fatal(err)
	}
	byID := map[accessibility.NodeID]*accessibility.Node{}
	for _, n := range tree.Nodes {
		byID[n.NodeID] = n
	}
	var read func(n *accessibility.Node)
	read = func(n *accessibility.Node) {
		if role := spoken(n.Role); !n.Ignored && slices.Contains([]string{"banner", "navigation", "main", "heading", "contentinfo"}, role) {
			all = append(all, strings.TrimSpace(role+" "+spoken(n.Name)))
		}
		for _, id := range n.ChildIDs {
			if child := byID[id]; child != nil {
				read(child)
			}
		}
	}
	read(tree.Nodes[0])
	return all
}

func spoken(v *accessibility.Value) (text string) {
	if v != nil {
		_ = json.Unmarshal(v.Value, &text) // what isn't text isn't spoken
	}
	return text
}

// Who listens hears first how everything is, then what is wrong, what is planned, and what
// there is in all, in both languages.
func TestTheReadingOrderIsByWhatMatters(t *testing.T) {
	t.Parallel()
	server, tab := serveNow(t, refreshed(t, busy()).handler)
	for lang, want := range map[string][]string{
		"en": {"banner", "navigation Pages", "main", "heading Some systems are down", "heading What is going on", "heading Mails are late", "heading Maintenance that is under way", "heading Exports move to a new machine", "heading Planned maintenance", "heading Database upgrade", "heading New firewall Cancelled", "heading Components", "heading Website", "heading Core", "heading Data & exports", "heading Mail", "heading Exports", "heading Search", "heading Support", "heading The last days", "heading 27\u00a0November\u00a02026"},
		"ar": {"banner", "navigation الصفحات", "main", "heading بعض الأنظمة متوقفة", "heading ما يجري الآن", "heading Mails are late", "heading صيانة جارية", "heading نقل التصدير إلى خادم جديد", "heading صيانة مخطّطة", "heading ترقية قاعدة البيانات", "heading جدار حماية جديد أُلغيت", "heading المكوّنات", "heading الموقع", "heading الأساس", "heading البيانات والتصدير", "heading البريد", "heading التصدير", "heading البحث", "heading الدعم", "heading الأيّام الأخيرة", "heading 27\u00a0نوفمبر\u00a02026"},
	} {
		if err := chromedp.Do(tab, chromedp.Navigate(server.URL+"/status?lang="+lang)); err != nil {
			t.Fatal(err)
		}
		got := outline(t, tab)
		if len(got) < len(want) || !slices.Equal(got[:len(want)], want) || !strings.HasPrefix(got[len(got)-2], "contentinfo") {
			t.Errorf("in %s it reads\n%q", lang, got)
		}
	}
}
