package console

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"manus/httpapi"
	"manus/internal/browsertest"
	"manus/internal/testprogram"
)

// everyPage are the pages and what they may show; see failures.
var everyPage = []string{
	"/dev/components", "/", "/status/subscribe?component=api", "/status/subscribe?by=webhook",
	"/account/reset", "/account/reset?token=x", "/account/verify", "/account/join", "/account/join?token=x", "/account/forgot", "/status/unsubscribe",
	"/stands/running", "/stands/ready", "/stands/degraded", "/stands/gone",
	"/nowhere", "/failing/broken", "/failing/unavailable", "/failing/damaged", "/failing/limited", "/failing/foreign",
}

// Every page fits into the smallest phone, the policy refuses nothing in it, and axe finds
// nothing, in both languages and themes.
func TestPagesFitAndAreRightForEverybody(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	root := named(t, "pages.test", handler)
	local := New(Config{Version: "v1.2.3", Log: slog.New(slog.DiscardHandler)})
	api := httpapi.New(httpapi.Config{Log: local.Log, LoopbackOnly: true, Page: local.ShowProblem})
	local.Routes(api)
	if err := local.Render(api); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"wrong-host": named(t, "rebound.test", api) + "/?"}
	for _, path := range everyPage {
		all[strings.Trim(strings.NewReplacer("/", "-", "?", "-").Replace(path), "-")] = root + path + map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
	}
	axe, err := os.ReadFile(filepath.Join(testprogram.StatusClients.Path(), "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	tab := browsertest.Open(t)
	said := listen(t, tab)
	for name, url := range all {
		for _, lang := range []string{"en", "ar"} {
			for _, theme := range []string{"light", "dark"} {
				if once := (lang == "en") == (theme == "dark"); !once && os.Getenv("MANUS_SCREENSHOTS") == "" {
					continue // colours aren't of a language
				}
				at := fmt.Sprintf("%s in %s, %s", name, lang, theme)
				if err := chromedp.Do(tab, prefer(theme), chromedp.EmulateViewport(320, 700), chromedp.Navigate(url+"lang="+lang)); err != nil {
					t.Fatal(err)
				}
				width, err := chromedp.Run(tab, chromedp.Evaluate[int]("document.documentElement.scrollWidth"))
				if err != nil || width > 320 {
					t.Errorf("%s is %d wide, %v", at, width, err)
				}
				found, err := chromedp.Run(tab, chromedp.Evaluate[[]string](string(axe)+`; new Promise((done, no) => axe.run().then(
					(r) => done(r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.map((n) => n.html).join(" | ").slice(0, 300))), no))`, chromedp.EvalAwaitPromise))
				if err != nil || len(found) > 0 {
					t.Errorf("%s: %v %s", at, err, strings.Join(found, "\n"))
				}
				photograph(t, tab, fmt.Sprintf("%s-%s-%s", name, theme, lang))
			}
		}
	}
	for _, line := range said() {
		if strings.Contains(line, "Content Security Policy") {
			t.Error(line)
		}
	}
}

// prefer has the browser prefer a theme, as its user may.
func prefer(theme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
		return err
	})
}

// listen keeps what the browser says of pages, such as what their policy refuses.
func listen(t *testing.T, tab context.Context) (said func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	if err := chromedp.Listen(tab, func(event any) {
		if e, ok := event.(*log.EventEntryAdded); ok {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, e.Entry.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
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
