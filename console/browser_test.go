package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"manus/account"
	"manus/internal/browsertest"
)

// named serves pages over plain HTTP to a name, as in an office's network: there browsers
// send no Sec-Fetch-Site, as they do over HTTPS and to localhost.
func named(t *testing.T, name string, handler http.Handler) (origin string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + name + ":" + u.Port()
}

// mailed is the query of the link in the latest kept mail, once there are n.
func mailed(t *testing.T, handler http.Handler, n int) (query string) {
	t.Helper()
	found := token.FindStringSubmatch(latest(t, handler, n))
	if found == nil {
		t.Fatal("the mail has no link")
	}
	return "?token=" + found[1]
}

func TestFormsAreTakenOverPlainHTTPToAName(t *testing.T) {
	t.Parallel()
	alerts := setupAlerts(t)
	_, accounts, people := setupAccounts(t)
	if _, _, err := people.Register(t.Context(), account.NewUser{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	verify := mailed(t, accounts, 1)
	if err := people.ForgotPassword(t.Context(), email); err != nil {
		t.Fatal(err)
	}
	reset := mailed(t, accounts, 2)
	onAlerts, onAccounts := named(t, "alerts.test", alerts), named(t, "accounts.test", accounts)
	tab := browsertest.Open(t)
	for _, c := range []struct{ page, field, text, says string }{
		{page: onAlerts + alerts.down(t, "1"), says: care},
		{page: onAccounts + "/account/verify" + verify, says: "Your address is confirmed"},
		{page: onAccounts + "/account/reset" + reset, field: "password", text: "a new password", says: "Your password was changed"},
		{page: onAccounts + "/account/forgot", field: "email", text: email, says: "Look into your mailbox"},
	} {
		fill := chromedp.Steps(chromedp.Navigate(c.page))
		if c.field != "" {
			fill = chromedp.Steps(fill, chromedp.SendKeys("input[name="+c.field+"]", c.text))
		}
		if err := chromedp.Do(tab, fill); err != nil {
			t.Fatal(err)
		}
		answer, err := chromedp.RunResponse(tab, chromedp.Click("main button"))
		if err != nil {
			t.Fatal(err)
		}
		if heading, err := chromedp.Run(tab, chromedp.Text("h1")); answer.Status != http.StatusOK || heading != c.says {
			t.Errorf("%s: %d %q, %v", c.page, answer.Status, heading, err)
		}
	}
}

// otherSite keeps what it is told of where visitors come from. Its page has a form that is
// sent to the address in its query.
type otherSite struct {
	mu       sync.Mutex
	referers []string
}

func (s *otherSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.referers = append(s.referers, r.Header.Get("Referer"))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Referrer-Policy", r.FormValue("policy"))
	_, _ = fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><form method="post" action="%s"><button>Win</button></form>`, r.FormValue("to"))
}

// told is what it was told so far.
func (s *otherSite) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.referers)
}

func TestALinkIsToldToNoOtherSiteWhichCannotSendItsForm(t *testing.T) {
	t.Parallel()
	alerts, other := setupAlerts(t), &otherSite{}
	link := named(t, "alerts.test", alerts) + alerts.down(t, "1")
	there := named(t, "other.test", other)
	tab := browsertest.Open(t)
	for _, leave := range []string{
		`location.assign(%q)`,
		`const link = document.createElement("a"); link.href = %q; document.body.append(link); link.click()`,
	} {
		if err := chromedp.Do(tab, chromedp.Navigate(link)); err != nil {
			t.Fatal(err)
		}
		if _, err := chromedp.RunResponse(tab, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(leave, there))); err != nil {
			t.Fatal(err)
		}
	}
	if told := other.told(); !slices.Equal(told, []string{"", ""}) {
		t.Errorf("the other site is told %q", told)
	}
	for _, policy := range []string{"no-referrer", "same-origin", "unsafe-url"} {
		if err := chromedp.Do(tab, chromedp.Navigate(there+"/?"+url.Values{"to": {link}, "policy": {policy}}.Encode())); err != nil {
			t.Fatal(err)
		}
		answer, err := chromedp.RunResponse(tab, chromedp.Click("button"))
		if err != nil || answer.Status != http.StatusForbidden {
			t.Errorf("a form of a page with the policy %s: %+v, %v", policy, answer, err)
		}
	}
}
