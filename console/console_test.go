package console

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"manus/account"
	"manus/audit"
	"manus/docstore"
	"manus/health"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/storetest"
	"manus/language"
	"manus/mail"
	"manus/ratelimit"
	"manus/subscribe"
)

type teaInput struct {
	ID   string `path:"id" doc:"<script>alert(1)</script>"`
	Body struct {
		Cups int    `json:"cups" minimum:"1" doc:"How many." ar:"كم كوبًا، من '1'."`
		Kind string `json:"kind,omitempty" enum:"green,black"`
	}
}

type teaOutput struct {
	Body struct {
		Tags []string `json:"tags"`
		Note *string  `json:"note"`
	}
}

func setup(t *testing.T) (*httpapi.API, http.Handler) {
	t.Helper()
	api, handler, _ := setupAccounts(t)
	return api, handler
}

// nobody subscribes.
type nobody struct{}

func (nobody) TakesMail() bool { return true }
func (nobody) Ask(_ context.Context, a subscribe.Asking) error {
	if strings.HasPrefix(a.Email+a.Webhook, "wrong") {
		return subscribe.ErrAddress
	}
	return nil
}
func (nobody) CanConfirm(context.Context, string) error     { return nil }
func (nobody) Confirm(context.Context, string) error        { return subscribe.ErrLink }
func (nobody) CanUnsubscribe(context.Context, string) error { return nil }
func (nobody) Unsubscribe(context.Context, string) error    { return nil }

// failures are what pages may answer, by the last part of an address that does.
var failures = map[string]error{
	"broken": errors.New("a secret cause"), "unavailable": docstore.ErrUnavailable, "damaged": docstore.ErrCorrupt,
	"limited": httpapi.ErrTooMany, "foreign": httpapi.ErrCrossSite,
}

// standings are how the program may stand; nil: it runs.
var standings = map[string]*health.Readiness{
	"running":  nil,
	"ready":    {Status: health.Ready, Checks: map[string]health.Result{"database": {Status: health.OK, LatencyMS: 0.42}, "redis": {Status: health.Skipped}}},
	"degraded": {Status: health.Degraded, Checks: map[string]health.Result{"database": {Status: health.OK, LatencyMS: 1}, "limits": {Status: health.Failed, LatencyMS: 2000}, "<new>": {Status: health.OK}}, Hints: []string{"proxy-not-trusted", "data-folder-shared"}},
	"gone":     {Status: health.Unavailable, Checks: map[string]health.Result{"mongodb": {Status: health.Failed, LatencyMS: 2000.5}, "stripe": {Status: health.Skipped}}},
}

// setupAccounts has the accounts behind the pages too, whose mails are kept.
func setupAccounts(t *testing.T) (*httpapi.API, http.Handler, *account.Service) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store := storetest.New(t, slices.Concat(account.Specs(), audit.Specs(), mail.Specs())...)
	secrets := []string{"a-first-secret-of-more-than-32-bytes-9f2c"}
	outbox, err := mail.New(mail.Config{Store: store, Secrets: secrets, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := account.New(account.Config{Store: store, Audit: audit.New(audit.Config{Store: store, Log: log}), Secrets: secrets, Mail: outbox, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { accounts.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	pages := New(Config{Version: "v1.2.3", Accounts: accounts, Subscribers: nobody{}, Parts: func() []Part {
		return []Part{{ID: "api", Name: language.Text{En: "API", Ar: "الواجهة"}}, {ID: "web", Name: language.Text{En: strings.Repeat("unbreakable", 9)}}}
	}, Components: true, Mails: outbox, Log: log})
	api := httpapi.New(httpapi.Config{Log: log, Version: "v1.2.3", Page: pages.ShowProblem})
	for name, err := range failures {
		api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "/failing/" + name}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			httpapi.WriteError(w, r, nil, err)
		}))
	}
	for name, ready := range standings {
		api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "GET /stands/" + name}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !pages.ShowHealth(w, r, ready) {
				t.Error("it can't be shown")
			}
		}))
	}
	registerTea(api)
	pages.Routes(api)
	if err := pages.Render(api); err != nil {
		t.Fatal(err)
	}
	return api, api, accounts
}

// registerTea has a group of routes of every kind.
func registerTea(api *httpapi.API) {
	teapot := errors.New("x")
	kinds := httpapi.Kinds{{Err: teapot, Status: 418, Name: "teapot", Detail: language.Text{En: "Ask for tea.", Ar: "اطلب شايًا."}}}
	handler := func(context.Context, *teaInput) (*teaOutput, error) { return &teaOutput{}, nil }
	for path, access := range map[string]httpapi.Access{"/public/{id}": httpapi.Public, "/known/{id}": httpapi.Known} {
		for _, method := range []string{"POST", "PATCH", "DELETE", "GET"} {
			httpapi.Register(httpapi.Group{API: api, Name: language.Text{En: "Tea", Ar: "الشاي"}, About: language.Text{En: "Hot drinks.", Ar: "مشروبات ساخنة."}, Kinds: kinds}, httpapi.Route{
				Access: access, Scope: identity.Read, Pattern: method + " " + path, Limits: []ratelimit.Rule{ratelimit.NewRule("3/minute", ratelimit.ByAddress)}, ID: strings.ToLower(method + path[1:2]), Problems: []error{teapot}, Summary: language.Text{En: "Make tea", Ar: "اصنع شايًا"},
			}, handler)
		}
	}
}

func get(t *testing.T, handler http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

var (
	inline    = regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=|javascript:`)
	elsewhere = regexp.MustCompile(`(?i)(?:src|href|action)="(?:[a-z]+:)?//`)
	assetLink = regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`)
	links     = regexp.MustCompile(`href="#([^"]+)"`)
)

func TestPagesNeedNothingThatThePolicyForbids(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	for _, path := range []string{
		"/?lang=en", "/?lang=ar", "/docs?lang=en", "/docs?lang=ar", "/docs/tea?lang=en", "/docs/tea?lang=ar", "/docs?q=tea&lang=en", "/docs?q=nothing-at-all&lang=ar", "/account/verify?token=x", "/account/reset?token=x&lang=ar", "/account/forgot", "/dev/mails", "/problems?lang=ar", "/problems/teapot?lang=en", "/problems/teapot?lang=ar", "/problems/rate-limited",
	} {
		w := get(t, handler, path)
		body := w.Body.String()
		if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Fatalf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		if policy := w.Header().Get("Referrer-Policy"); policy != "same-origin" { // see TestFormsAreTakenOverPlainHTTPToAName
			t.Errorf("%s tells its address by the policy %q", path, policy)
		}
		for what, pattern := range map[string]*regexp.Regexp{"inline code": inline, "another host": elsewhere} {
			if found := pattern.FindString(body); found != "" {
				t.Errorf("%s has %s: %s", path, what, found)
			}
		}
		assets := assetLink.FindAllStringSubmatch(body, -1)
		if len(assets) < 2 {
			t.Errorf("%s has %d assets", path, len(assets))
		}
		for _, asset := range assets {
			if a := get(t, handler, asset[1]); a.Code != 200 || !strings.Contains(a.Header().Get("Cache-Control"), "immutable") || elsewhere.MatchString(a.Body.String()) {
				t.Errorf("%s: %d %v", asset[1], a.Code, a.Header())
			}
		}
		for _, link := range links.FindAllStringSubmatch(body, -1) {
			if !strings.Contains(body, `id="`+link[1]+`"`) {
				t.Errorf("%s links to #%s, which isn't there", path, link[1])
			}
		}
	}
}

func TestTheLanguageIsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	for _, c := range []struct{ path, accept, lang, dir string }{
		{"/", "", "en", "ltr"}, {"/", "ar", "ar", "rtl"}, {"/", "ar-EG,en;q=0.5", "ar", "rtl"}, {"/", "de,en;q=0.1", "en", "ltr"},
		{"/", "de", "en", "ltr"}, {"/?lang=ar", "en", "ar", "rtl"}, {"/?lang=en", "ar", "en", "ltr"}, {"/?lang=xx", "ar", "ar", "rtl"},
		{"/docs", "ar", "ar", "rtl"}, {"/", strings.Repeat("ar,", 1000), "en", "ltr"}, {"/", ";;;=", "en", "ltr"},
	} {
		w := get(t, handler, c.path, "Accept-Language", c.accept)
		if !strings.Contains(w.Body.String(), `<html lang="`+c.lang+`" dir="`+c.dir+`">`) || w.Header().Get("Content-Language") != c.lang || w.Header().Get("Vary") != "Accept-Language" {
			t.Errorf("%s with %.20q isn't %s", c.path, c.accept, c.lang)
		}
	}
}

var said = regexp.MustCompile(`text ("(?:[^"\\]|\\.)*") ("(?:[^"\\]|\\.)*")`)

// wordsOnPages are the texts in the templates, and those that the code gives them.
func wordsOnPages(t *testing.T) []language.Text {
	t.Helper()
	var all []language.Text
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		page, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := said.FindAllStringSubmatch(string(page), -1)
		if n := strings.Count(string(page), "text \""); n != len(found) {
			t.Errorf("%s says %d things, %d of them in two languages", name, n, len(found))
		}
		for _, words := range found {
			all = append(all, language.Text{En: words[1], Ar: words[2]})
		}
	}
	for _, form := range slices.Concat((&Pages{}).linkForms(), (&Pages{}).subscribeForms()) {
		all = append(all, form.question.Heading, form.question.Text, form.done.Heading, form.done.Text, form.Button)
		if form.Path != "/account/forgot" {
			all = append(all, form.lost)
		}
		for _, next := range form.nextPages {
			all = append(all, next.Text)
		}
	}
	for _, stands := range readiness {
		all = append(all, stands.Heading, stands.Text)
	}
	for _, result := range results {
		all = append(all, result.word)
	}
	all = append(all, running.Heading, running.Text, cutLink.Heading, cutLink.Text, goBack, waitThen, soon, notNow)
	for _, said := range sayings {
		all = append(all, slices.DeleteFunc([]language.Text{said.Heading, said.Text, said.do}, func(text language.Text) bool { return text == language.Text{} })...)
	}
	for _, names := range []iter.Seq[language.Text]{maps.Values(accessNames), maps.Values(subjectNames), maps.Values(perNames)} {
		all = slices.AppendSeq(all, names)
	}
	return append(all, orWorkers)
}

func TestEveryWordStandsInBothLanguages(t *testing.T) {
	t.Parallel()
	latin, arabic := regexp.MustCompile(`\p{Latin}`), regexp.MustCompile(`\p{Arabic}`)
	all := wordsOnPages(t)
	if len(all) < 70 {
		t.Errorf("only %d were found", len(all))
	}
	for _, text := range all {
		if text.Ar == `"English"` { // the name of the other language
			continue
		}
		if !latin.MatchString(text.En) || arabic.MatchString(text.En) || !arabic.MatchString(text.Ar) {
			t.Errorf("%q, %q", text.En, text.Ar)
		}
	}
}

func TestEveryPageHasItsLanguageAndDirection(t *testing.T) {
	t.Parallel()
	_, handler, accounts := setupAccounts(t)
	if _, _, err := accounts.Register(t.Context(), account.NewUser{Email: email, Password: pass, Language: language.Arabic}); err != nil {
		t.Fatal(err)
	}
	if mail := latest(t, handler, 1); !strings.Contains(mail, `<html lang="ar" dir="rtl">`) || !strings.Contains(mail, `<body dir="rtl"`) {
		t.Errorf("the mail: %s", mail)
	}
	for _, path := range []string{"/", "/docs", "/docs/tea", "/account/verify", "/account/reset", "/account/forgot", "/status/subscribe", "/status/unsubscribe", "/dev/mails"} {
		for _, tag := range []language.Tag{language.English, language.Arabic} {
			want := `<html lang="` + tag.String() + `" dir="` + tag.Direction() + `">`
			for _, w := range []*httptest.ResponseRecorder{get(t, handler, path+"?lang="+tag.String()), get(t, handler, path, "Accept-Language", tag.String())} {
				if h := w.Header(); !strings.Contains(w.Body.String(), want) || h.Get("Content-Language") != tag.String() || h.Get("Vary") != "Accept-Language" {
					t.Errorf("%s in %s: %v", path, tag, h)
				}
			}
		}
	}
	if list := get(t, handler, "/dev/mails?lang=ar").Body.String(); !strings.Contains(list, "بالتوقيت العالمي</bdi>") {
		t.Errorf("the time isn't in the page's language, or may come out reversed: %s", list)
	}
}

func TestProblemsAreExplainedWhereTheirTypeLeads(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	for path, wants := range map[string][]string{
		"/problems/teapot?lang=en":       {`lang="en"`, "Ask for tea.", "teapot", "Sending the same again"},
		"/problems/teapot?lang=ar":       {`dir="rtl"`, "اطلب شايًا.", "teapot"},
		"/problems/internal?lang=en":     {"Internal Server Error", "more slowly each time"},
		"/problems?lang=en":              {"/problems/teapot", "/problems/rate-limited", "Ask for tea."},
		"/problems/unauthorized?lang=ar": {"يلزم تسجيل الدخول"},
	} {
		w := get(t, handler, path)
		for _, want := range wants {
			if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %d, without %q", path, w.Code, want)
			}
		}
	}
	if w := get(t, handler, "/problems/quota-exceeded"); w.Code != 308 || w.Header().Get("Location") != "/problems/rate-limited" {
		t.Errorf("a former name: %d %v", w.Code, w.Header())
	}
	if w := get(t, handler, "/problems/nothing"); w.Code != 404 {
		t.Errorf("no problem: %d", w.Code)
	}
}

func TestTheOpenAPIDocumentIsServed(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	w := get(t, handler, "/openapi.json")
	var doc struct{ OpenAPI string }
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("got %+v, %v", doc, err)
	}
	if strings.Contains(w.Body.String(), "://") {
		t.Error("it names another host")
	}
}

func TestWhatHasntChangedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	for _, path := range []string{"/", "/docs", "/docs/tea", "/openapi.json"} {
		etag := get(t, handler, path).Header().Get("ETag")
		if w := get(t, handler, path, "If-None-Match", etag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestAPageIsSentWhole: an answer about a part that isn't there would be net/http's own.
func TestAPageIsSentWhole(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	for _, part := range []string{"bytes=0-3", "bytes=99999999-", "lines=1"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/docs", nil)
		r.Header.Set("Range", part)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "</html>") {
			t.Errorf("%s: %d %v", part, w.Code, w.Header())
		}
	}
}

// The reference is made when it is first asked for, while inputs are held against what it
// is made of.
func TestWhoeverAsksFirstGetsTheWholeReference(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	var asking sync.WaitGroup
	for range 4 {
		for path, says := range map[string]string{"/openapi.json": `"openapi"`, "/docs/tea?lang=en": "Ask for tea.", "/docs/tea?lang=ar": "اطلب شايًا.", "/docs?q=teapot": "/problems/teapot"} {
			asking.Go(func() {
				if w := get(t, handler, path); w.Code != 200 || !strings.Contains(w.Body.String(), says) {
					t.Errorf("%s: %d, without %q", path, w.Code, says)
				}
			})
		}
		asking.Go(func() {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/public/1", strings.NewReader(`{"cups":1}`)))
			if w.Code != 200 {
				t.Errorf("%d: %s", w.Code, w.Body)
			}
		})
	}
	asking.Wait()
}
