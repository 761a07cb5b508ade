package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"manus/account"
	"manus/docstore"
	"manus/httpapi"
	"manus/internal/waittest"
)

const (
	email = "amal@example.com"
	pass  = "correct horse battery staple"
)

func post(t *testing.T, handler http.Handler, path string, values url.Values, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

var (
	mailLink = regexp.MustCompile(`href="(/dev/mails/[^"]+)"`)
	token    = regexp.MustCompile(`token=(ml_[A-Za-z0-9_-]+)`)
)

// latest is the HTML of the latest kept mail, once there are n. Mails to strangers are
// written off the request's path, which tells nobody.
func latest(t *testing.T, handler http.Handler, n int) string {
	t.Helper()
	var found [][]string
	waittest.Poll(t, func() bool {
		found = mailLink.FindAllStringSubmatch(get(t, handler, "/dev/mails").Body.String(), -1)
		return len(found) >= n
	})
	w := get(t, handler, found[0][1])
	if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "sandbox") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("a mail may do anything: %q", policy)
	}
	return w.Body.String()
}

func TestAForgottenPasswordIsSetByThePages(t *testing.T) {
	t.Parallel()
	_, handler, accounts := setupAccounts(t)
	if _, err := accounts.Create(t.Context(), account.NewUser{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	if w := post(t, handler, "/account/forgot", url.Values{"email": {"nonsense"}}); w.Code != 422 || !strings.Contains(w.Body.String(), "role=\"alert\"") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	known := post(t, handler, "/account/forgot", url.Values{"email": {email}})
	unknown := post(t, handler, "/account/forgot", url.Values{"email": {"nobody@example.com"}})
	if known.Code != 200 || known.Body.String() != unknown.Body.String() {
		t.Errorf("%d %d", known.Code, unknown.Code)
	}
	found := token.FindStringSubmatch(latest(t, handler, 1))
	if found == nil {
		t.Fatal("the mail has no link")
	}
	// Opening the link changes nothing; changing the language keeps the token.
	page := get(t, handler, "/account/reset?token="+found[1]).Body.String()
	if !strings.Contains(page, `value="`+found[1]+`"`) || !strings.Contains(page, `href="?lang=ar&amp;token=`+found[1]+`"`) {
		t.Errorf("the page: %s", page)
	}
	for _, c := range []struct {
		password, says string
		status         int
	}{{"short", "8 to 256", 422}, {"iloveyou", "first that are guessed", 422}, {"a new password", "Go to the home page", 200}, {"another password", "isn&#39;t valid", 422}} {
		w := post(t, handler, "/account/reset", url.Values{"token": {found[1]}, "password": {c.password}})
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), c.password) || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", c.password, w.Code, w.Body)
		}
	}
	if _, err := accounts.Login(t.Context(), account.Credentials{Email: email, Password: "a new password"}); err != nil {
		t.Error(err)
	}
}

func TestAnAddressIsConfirmedByThePage(t *testing.T) {
	t.Parallel()
	_, handler, accounts := setupAccounts(t)
	if _, _, err := accounts.Register(t.Context(), account.NewUser{Email: email, Password: pass, Language: "ar"}); err != nil {
		t.Fatal(err)
	}
	html := latest(t, handler, 1)
	found := token.FindStringSubmatch(html)
	if found == nil || !strings.Contains(html, `dir="rtl"`) || !strings.Contains(html, "lang=ar") {
		t.Fatalf("the mail: %s", html)
	}
	if w := get(t, handler, "/account/verify?lang=ar&token="+found[1]); !strings.Contains(w.Body.String(), `<html lang="ar" dir="rtl">`) {
		t.Errorf("the page: %s", w.Body)
	}
	for range 2 { // whoever clicks twice is told the same
		if w := post(t, handler, "/account/verify", url.Values{"token": {found[1]}}); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// brokenAccounts fail as they are told.
type brokenAccounts struct{ err error }

func (b brokenAccounts) Verify(context.Context, string) error                { return b.err }
func (b brokenAccounts) ResetPassword(context.Context, string, string) error { return b.err }
func (b brokenAccounts) ForgotPassword(context.Context, string) error        { return b.err }
func (b brokenAccounts) Join(context.Context, string, string, string) error  { return b.err }

func TestPagesSayWhatIsWrongAsTheAPIDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		form   bool // can be sent again
		id     bool // is to be quoted
		en, ar string
	}{
		{account.ErrInvalidLink, 422, false, false, "The link isn&#39;t valid", "هذا الرابط غير صالح"},
		{account.ErrTaken, 409, false, false, "has an account already", "لهذا العنوان حساب بالفعل"},
		{account.ErrCommonPassword, 422, true, false, "first that are guessed", "من أوّل ما يُخمَّن"},
		{account.ErrNoMail, 501, true, false, "sends no mails", "لا ترسل بريدًا"},
		{docstore.ErrUnavailable, 503, true, false, "can&#39;t reach its storage", "الوصول إلى مخزنها"},
		{errors.New("a secret cause"), 500, true, true, "Something broke", "حدث خلل لدينا"},
	} {
		log := slog.New(slog.DiscardHandler)
		handler := httpapi.New(httpapi.Config{Log: log, Version: "test"})
		pages := New(Config{Accounts: brokenAccounts{c.err}, Log: log})
		pages.Routes(handler)
		if err := pages.Render(handler); err != nil {
			t.Fatal(err)
		}
		for _, form := range pages.linkForms() {
			for tag, says := range map[string]string{"en": c.en, "ar": c.ar} {
				w := post(t, handler, form.Path+"?lang="+tag, url.Values{"token": {"t"}})
				body := w.Body.String()
				if w.Code != c.status || !strings.Contains(body, says) || strings.Contains(body, `action="`+form.Path+`?`) != c.form || strings.Contains(body, "secret cause") {
					t.Errorf("%v at %s in %s: %d %s", c.err, form.Path, tag, w.Code, body)
				}
				if strings.Contains(body, w.Header().Get("X-Request-Id")) != c.id {
					t.Errorf("%v at %s: the request id: %s", c.err, form.Path, body)
				}
			}
		}
	}
}

// TestNoLinkIsADeadEnd opens links that are cut short, and sends those that don't hold any more: each
// page says what to do, and leads there.
func TestNoLinkIsADeadEnd(t *testing.T) {
	t.Parallel()
	_, handler, _ := setupAccounts(t)
	for path, c := range map[string]struct{ en, ar, leads string }{
		"/account/verify":           {"you can simply sign in", "تسجيل الدخول مباشرة", `href="/account/forgot?lang=`},
		"/account/reset":            {"a new link is mailed to it", "وسيصل إليه رابط جديد", `<form method="post" action="/account/forgot?lang=`},
		"/account/join":             {"ask whoever has invited you", "اطلب دعوة جديدة", `href="/account/forgot?lang=`},
		"/status/subscribe/confirm": {"you are told already", "تصلك بالفعل", `href="/status/subscribe?lang=`},
		"/status/unsubscribe":       {"the latest message that you got", "آخر رسالة وصلتك", `href="/status?lang=`},
	} {
		for tag, says := range map[string]string{"en": c.en, "ar": c.ar} {
			cut := get(t, handler, path+"?lang="+tag)
			if body := cut.Body.String(); cut.Code != 200 || !strings.Contains(body, says) || !strings.Contains(body, c.leads+tag) || strings.Contains(body, `action="`+path) {
				t.Errorf("%s without a token: %d %s", path, cut.Code, body)
			}
			if whole := get(t, handler, path+"?token=x&lang="+tag).Body.String(); strings.Contains(whole, says) || !strings.Contains(whole, `action="`+path) {
				t.Errorf("%s with a token: %s", path, whole)
			}
			if path == "/status/unsubscribe" { // nobody's is refused in this test
				continue
			}
			used := post(t, handler, path+"?lang="+tag, url.Values{"token": {"x"}, "password": {"correct horse battery"}})
			if body := used.Body.String(); used.Code/100 != 4 || !strings.Contains(body, says) || !strings.Contains(body, c.leads+tag) || strings.Contains(body, `action="`+path) || !strings.Contains(body, `role="alert"`) {
				t.Errorf("%s with a used token: %d %s", path, used.Code, body)
			}
		}
	}
	if done := post(t, handler, "/account/forgot", url.Values{"email": {email}}).Body.String(); !strings.Contains(done, `href="/account/forgot?lang=en"`) {
		t.Errorf("nobody can ask once more: %s", done)
	}
}

func TestFormsOfOtherSitesAndHugeOnesAreRefused(t *testing.T) {
	t.Parallel()
	_, handler, _ := setupAccounts(t)
	for _, path := range []string{"/account/verify", "/account/reset", "/account/forgot"} {
		if w := post(t, handler, path, url.Values{"email": {email}}, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
			t.Errorf("%s of another site: %d", path, w.Code)
		}
		w := post(t, handler, path+"?lang=ar", url.Values{"email": {email}}, "Origin", "https://elsewhere.example")
		if w.Code != http.StatusForbidden || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(w.Body.String(), "صفحةٌ من موقع آخر") || !strings.Contains(w.Body.String(), "<form") {
			t.Errorf("%s of another site, in Arabic: %d %v %s", path, w.Code, w.Header(), w.Body)
		}
		if w := post(t, handler, path, url.Values{"email": {email}, "x": {strings.Repeat("x", maxForm)}}); w.Code < 400 {
			t.Errorf("%s, huge: %d", path, w.Code)
		}
	}
	if w := get(t, handler, "/dev/mails/nothing"); w.Code != http.StatusSeeOther {
		t.Errorf("a mail that isn't there: %d", w.Code)
	}
}

func TestWhatALinkBringsAlongIsNoMarkup(t *testing.T) {
	t.Parallel()
	_, handler, _ := setupAccounts(t)
	for _, path := range []string{"/account/verify", "/account/reset"} {
		w := get(t, handler, path+"?token="+url.QueryEscape(`"><script>alert(1)</script>`))
		if strings.Contains(w.Body.String(), "<script>") {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
}
