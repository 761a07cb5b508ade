package console

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"manus/internal/browsertest"
	"manus/internal/testprogram"
)

// The reference fits into the smallest phone, what is wider scrolls by itself and can be reached
// by keys, and axe finds nothing, in both languages and themes.
func TestTheReferenceFitsAndIsRightForEverybody(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	root := named(t, "docs.test", handler)
	axe, err := os.ReadFile(filepath.Join(testprogram.StatusClients.Path(), "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	tab := browsertest.Open(t)
	for _, c := range []struct{ theme, path string }{
		{"dark", "/docs?lang=ar"}, {"light", "/docs/tea?lang=ar"}, {"dark", "/docs/tea?lang=en"}, {"light", "/docs?lang=en&q=" + strings.Repeat("x", 100)},
	} {
		prefer := chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: c.theme}}})
			return err
		})
		if err := chromedp.Do(tab, prefer, chromedp.EmulateViewport(320, 700), chromedp.Navigate(root+c.path)); err != nil {
			t.Fatal(err)
		}
		width, err := chromedp.Run(tab, chromedp.Evaluate[int]("document.documentElement.scrollWidth"))
		if err != nil || width > 320 {
			t.Errorf("%s is %d wide, %v", c.path, width, err)
		}
		found, err := chromedp.Run(tab, chromedp.Evaluate[[]string](string(axe)+`; document.querySelectorAll("details").forEach((d) => d.open = true); new Promise((done, no) => axe.run().then(
			(r) => done(r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.map((n) => n.html).join(" | ").slice(0, 300))), no))`, chromedp.EvalAwaitPromise))
		if err != nil || len(found) > 0 {
			t.Errorf("%s in %s: %v %s", c.path, c.theme, err, strings.Join(found, "\n"))
		}
		unreachable, err := chromedp.Run(tab, chromedp.Evaluate[[]string](`[...document.querySelectorAll("main *")].filter((e) => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX == "auto" && e.tabIndex < 0).map((e) => e.outerHTML.slice(0, 100))`))
		if err != nil || len(unreachable) > 0 {
			t.Errorf("%s: no key reaches %s, %v", c.path, strings.Join(unreachable, "\n"), err)
		}
	}
	searchAsPeopleDo(t, tab, root)
}

// searchAsPeopleDo looks for a route and goes to it.
func searchAsPeopleDo(t *testing.T, tab context.Context, root string) {
	t.Helper()
	if err := chromedp.Do(tab, chromedp.Navigate(root+"/docs?lang=en"), chromedp.SendKeys("#q", "make tea post")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{".finder button", ".found a"} {
		if answer, err := chromedp.RunResponse(tab, chromedp.Click(step)); err != nil || answer.Status != 200 {
			t.Fatalf("%s: %+v, %v", step, answer, err)
		}
	}
	at, err := chromedp.Run(tab, chromedp.Evaluate[string](`location.pathname + " " + document.querySelector("article:target .method").textContent`))
	if err != nil || at != "/docs/tea POST" {
		t.Errorf("it leads to %q, %v", at, err)
	}
}
