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

// What pages are made of, and the first of them, fits into the smallest phone, and axe finds
// nothing in it, in both languages and themes.
func TestComponentsFitAndAreRightForEverybody(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	root := named(t, "components.test", handler)
	axe, err := os.ReadFile(filepath.Join(testprogram.StatusClients.Path(), "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	tab := browsertest.Open(t)
	for _, theme := range []string{"light", "dark"} {
		prefer := chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
			return err
		})
		for _, path := range []string{"/dev/components?lang=en", "/dev/components?lang=ar", "/?lang=en", "/?lang=ar", "/status/subscribe?lang=en&component=api", "/status/subscribe?lang=ar&by=webhook"} {
			if err := chromedp.Do(tab, prefer, chromedp.EmulateViewport(320, 700), chromedp.Navigate(root+path)); err != nil {
				t.Fatal(err)
			}
			width, err := chromedp.Run(tab, chromedp.Evaluate[int]("document.documentElement.scrollWidth"))
			if err != nil || width > 320 {
				t.Errorf("%s is %d wide, %v", path, width, err)
			}
			found, err := chromedp.Run(tab, chromedp.Evaluate[[]string](string(axe)+`; new Promise((done, no) => axe.run().then(
				(r) => done(r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.map((n) => n.html).join(" | ").slice(0, 300))), no))`, chromedp.EvalAwaitPromise))
			if err != nil || len(found) > 0 {
				t.Errorf("%s in %s: %v %s", path, theme, err, strings.Join(found, "\n"))
			}
		}
	}
}
