// Package browsertest gives tests a real browser, which sees pages as people do and sends
// the headers that browsers send.
package browsertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"manus/internal/testprogram"
)

// patience bounds how long what a test does in a browser may take in all.
const patience = 10 * time.Minute

// Open runs a browser of the test's own, headless Chromium with an empty profile, and
// returns the context of a tab, for [chromedp.Run] and [chromedp.Do]. All host names lead to this machine, so
// that a page can be opened under any, and nothing is asked of the network.
func Open(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testprogram.Chromium.Path()),
		chromedp.WSURLReadTimeout(patience),
		chromedp.NoSandbox, // containers lack what it needs; the pages are the tests' own
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
	)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	tab, cancel := chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(cancel)
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("the browser doesn't start: %v", err)
	}
	tellOnFailure(t, tab)
	return tab
}

// tellOnFailure logs what the browser last said of a test that fails, such as why something couldn't
// be loaded: scripts are told of that as "Failed to fetch", whatever the reason.
func tellOnFailure(t testing.TB, tab context.Context) {
	t.Helper()
	var mu sync.Mutex
	var said []string
	err := chromedp.Listen(tab, func(event any) {
		if e, ok := event.(*log.EventEntryAdded); ok {
			mu.Lock()
			defer mu.Unlock()
			said = append(said[max(0, len(said)-19):], e.Entry.URL+" "+e.Entry.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if t.Failed() {
			t.Logf("the browser said: %q", said)
		}
	})
}
