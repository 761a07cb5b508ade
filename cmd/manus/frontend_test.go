package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"manus/internal/browsertest"
	"manus/internal/testprogram"
	"manus/internal/waittest"
)

// freeAddr is an address that a server can be started on again.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestABrowsersProgramOfAnotherOrigin runs a front-end, as Vite builds it, in a browser: it
// signs up, signs in with a passkey, and follows a session by an EventSource while the server
// is killed and started again.
func TestABrowsersProgramOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddr(t)
	start := func() *program {
		t.Helper()
		server, err := startProgram(dir, nil, "dev", "--addr", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.kill)
		return server
	}
	server := start()
	frontEnd := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(testprogram.FrontEnd.Path(), "dist"))))
	t.Cleanup(frontEnd.Close)
	_, port, _ := net.SplitHostPort(addr)
	page := strings.Replace(frontEnd.URL, "127.0.0.1", "localhost", 1) + "/?api=" + url.QueryEscape("http://localhost:"+port)

	tab := browsertest.Open(t)
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(tab, steps...); err != nil {
			t.Fatal(err)
		}
	}
	status := func() string {
		t.Helper()
		text, err := chromedp.Run(tab, chromedp.Text("#status"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	submit := func(form, says string) {
		t.Helper()
		do(chromedp.Click("#" + form + " button"))
		waittest.Poll(t, func() bool { return status() != "…" })
		if got := status(); got != says {
			t.Fatalf("%s: %q", form, got)
		}
	}
	do(passkeys(), chromedp.Navigate(page),
		chromedp.SendKeys("input[name=email]", "amal@example.com"), chromedp.SendKeys("input[name=password]", "correct horse battery staple"))
	submit("sign-up", "signed up")
	submit("sign-in", "signed in as amal@example.com")
	submit("open", "opened")

	var want []string
	send := func() {
		t.Helper()
		text := fmt.Sprint("message ", len(want)+1)
		want = append(want, fmt.Sprint(len(want)+1, " ", text))
		do(chromedp.SetValue("input[name=text]", text))
		submit("write", "sent "+text)
	}
	seen := func() string {
		t.Helper()
		text, err := chromedp.Run(tab, chromedp.Evaluate[string](`[...document.querySelectorAll("#log li")].map((item) => item.textContent).join("\n")`))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	follows := func() {
		t.Helper()
		waittest.Poll(t, func() bool { return strings.Count(seen(), "\n")+1 >= len(want) && seen() != "" })
		if got := seen(); got != strings.Join(want, "\n") {
			t.Fatalf("the page has seen %q, want %q", got, want)
		}
	}
	send()
	send()
	follows()
	for range 2 {
		server.kill()
		server = start()
		send()
		follows()
	}
}

// TestTheGuideFollowsAsTheFrontEndDoes holds the guide's program against the one that is run.
func TestTheGuideFollowsAsTheFrontEndDoes(t *testing.T) {
	t.Parallel()
	shown, err := os.ReadFile(documented(t, "browsers.md", "js", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	run, err := os.ReadFile("../../internal/frontend/manus.mjs")
	if err != nil {
		t.Fatal(err)
	}
	_, follow, _ := strings.Cut(string(shown), "async function follow")
	if follow == "" || !strings.HasSuffix(string(run), follow) {
		t.Error("docs/browsers.md follows otherwise than internal/frontend/manus.mjs")
	}
}

// passkeys gives a tab an authenticator that says yes.
func passkeys() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}})
		return err
	})
}
