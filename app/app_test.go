package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"manus/billing"
	"manus/config"
	"manus/health"
	"manus/httpapi"
	"manus/internal/waittest"
	"manus/language"
	"manus/mail"
)

// setup is a started product on free ports, and its log.
func setup(t *testing.T, change ...func(*config.Settings)) (*App, *waittest.Log) {
	t.Helper()
	settings, err := DevSettings(Dev{DataDir: filepath.Join(t.TempDir(), "data"), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	settings.OpsAddr = "127.0.0.1:0"
	settings.Limits.Allow = []string{"192.0.2.0/24", "127.0.0.0/8"} // where the tests' requests come from
	settings.Reports.TracesSampleRate = 0                           // what is sampled by chance makes a project of its own
	for _, f := range change {
		f(&settings)
	}
	return start(t, Options{Settings: settings})
}

// start is setup with other options.
func start(t *testing.T, o Options) (*App, *waittest.Log) {
	t.Helper()
	return startWith(t, o, func(*App) {})
}

// startWith is start with something done before it.
func startWith(t *testing.T, o Options, before func(*App)) (*App, *waittest.Log) {
	t.Helper()
	log := &waittest.Log{}
	o.Version = health.Version{Version: "test"}
	o.Log = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	before(a)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return a, log
}

// call sends a request to the product's handler, without a network.
func call(t *testing.T, a *App, method, path, token, body string) (int, string) {
	t.Helper()
	return callType(t, a, method, path, token, "application/json", body)
}

func callType(t *testing.T, a *App, method, path, token, contentType, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host = "localhost:8080"
	r.Header.Set("Content-Type", contentType)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	a.api.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

const person = `{"email":"amal@example.com","password":"correct horse battery staple","full_name":"Amal"}`

type signedIn struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func register(t *testing.T, a *App) (s signedIn) {
	t.Helper()
	status, body := call(t, a, "POST", "/api/v1/auth/register", "", person)
	if err := json.Unmarshal([]byte(body), &s); status != 201 || err != nil {
		t.Fatal(status, body, err)
	}
	return s
}

func TestAThousandSessionsAtOnceOnAPlanWithTenLeftAreTen(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	token := register(t, a).Access
	var made, refused atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			switch status, body := call(t, a, "POST", "/api/v1/sessions", token, "{}"); status {
			case 201:
				made.Add(1)
			case 402:
				refused.Add(1)
			default:
				t.Errorf("%d %s", status, body)
			}
		})
	}
	wg.Wait()
	if made.Load() != 10 || refused.Load() != 990 {
		t.Errorf("%d were made, %d refused", made.Load(), refused.Load())
	}
	if _, body := call(t, a, "GET", "/api/v1/sessions?limit=100", token, ""); strings.Count(body, `"id"`) != 10 {
		t.Errorf("there are %d", strings.Count(body, `"id"`))
	}
	if _, body := call(t, a, "GET", "/api/v1/billing/subscription", token, ""); !strings.Contains(body, `"runs_used":10,`) {
		t.Errorf("got %s", body)
	}
}

func TestAStoreThatIsGoneIsReadyToBeSeen(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	token := register(t, a).Access
	if err := a.store.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/live": 200, "/health": 200, "/version": 200, "/ready": 503, "/": 200, "/docs": 200,
		"/api/v1/live": 200, "/api/v1/health": 200, "/api/v1/version": 200, "/api/v1/ready": 503,
		"/api/v1/auth/me": 503, "/api/v1/sessions": 503,
	} {
		if status, body := call(t, a, "GET", path, token, ""); status != want {
			t.Errorf("%s: %d, want %d: %.200s", path, status, want, body)
		}
	}
}

func TestMetricsAreOnTheirOwnListener(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	register(t, a)
	call(t, a, "GET", "/no/such/path", "", "")
	text := metricsOf(t, a)
	for _, want := range []string{`route="POST /api/v1/auth/register",status="201"`, `route="",status="404"`, `manus_build_info{commit="",version="test"} 1`, "go_goroutines"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s isn't there", want)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if status, _ := call(t, a, "GET", path, "", ""); status != 404 {
			t.Errorf("%s is public: %d", path, status)
		}
	}
}

func TestEveryProblemThatIsAnsweredIsExplained(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	for _, request := range [][3]string{
		{"GET", "/nowhere", ""}, {"DELETE", "/docs", ""}, {"GET", "/api/v1/nowhere", ""}, {"PUT", "/api/v1/auth/me", ""},
		{"GET", "/api/v1/auth/me", ""}, {"POST", "/api/v1/auth/login", "{"}, {"POST", "/api/v1/auth/login", person},
		{"POST", "/api/v1/auth/register", `{"email":"x","password":"12345678"}`}, {"POST", "/api/v1/auth/login", strings.Repeat("x", 2<<20)},
	} {
		status, body := call(t, a, request[0], request[1], "", request[2])
		var problem struct{ Type string }
		if err := json.Unmarshal([]byte(body), &problem); err != nil || status < 400 {
			t.Fatal(request, status, body, err)
		}
		if code, page := call(t, a, "GET", problem.Type, "", ""); code != 200 || !strings.Contains(page, "<h1>") {
			t.Errorf("%v: %s isn't explained", request[:2], problem.Type)
		}
	}
}

func TestEveryProblemStandsInBothLanguages(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	problems := a.api.Problems()
	for _, one := range []string{"internal", "bad-credentials", "trial-used", "no-such-session"} { // of httpapi and each room that has any
		if !slices.ContainsFunc(problems, func(k httpapi.Kind) bool { return k.Name == one }) {
			t.Errorf("%s is missing, so not every room was looked at", one)
		}
	}
	// The first letter is Arabic, so that what finds the direction by it, finds right-to-left.
	english, arabic := regexp.MustCompile(`^\p{Latin}\P{Arabic}+\.$`), regexp.MustCompile(`^\p{Arabic}.*\.$`)
	sentences := map[string]string{}
	for _, kind := range problems {
		if !english.MatchString(kind.Detail.En) || !arabic.MatchString(kind.Detail.Ar) {
			t.Errorf("%s: %+v", kind.Name, kind.Detail)
		}
		if title := httpapi.StatusText(kind.Status, language.Arabic); title == http.StatusText(kind.Status) {
			t.Errorf("%s: the status %d has no title in Arabic", kind.Name, kind.Status)
		}
		for _, sentence := range []string{kind.Detail.En, kind.Detail.Ar} {
			if other, twice := sentences[sentence]; twice {
				t.Errorf("%s and %s say the same: %s", other, kind.Name, sentence)
			}
			sentences[sentence] = kind.Name
		}
	}
	if _, body := call(t, a, "GET", "/api/v1/sessions?lang=ar", "", ""); !strings.Contains(body, "سجّل الدخول أوّلًا") {
		t.Errorf("it isn't in Arabic: %s", body)
	}
}

// No route can be added without saying what it is for in both languages, and its group's page
// stays one that a phone loads at once.
func TestTheReferenceStandsInBothLanguages(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	english, arabic := regexp.MustCompile(`^\P{Arabic}+$`), regexp.MustCompile(`^\p{Arabic}`)
	check := func(what string, text language.Text) {
		if !english.MatchString(text.En) || !arabic.MatchString(text.Ar) {
			t.Errorf("%s: %+v", what, text)
		}
	}
	for _, route := range a.api.Reference() {
		check(route.ID, route.Summary)
		if route.Description != (language.Text{}) {
			check(route.ID, route.Description)
		}
		checkFields(t, route.ID, slices.Concat(route.Parameters, route.Body))
		for _, answer := range route.Answers {
			checkFields(t, route.ID, answer.Fields)
		}
		names := func(k httpapi.Kind) bool { return k.Status == http.StatusNotFound }
		if strings.Contains(route.Path(), "{") && !slices.ContainsFunc(route.Theirs, names) {
			t.Errorf("%s can't be answered that there is no such thing", route.ID)
		}
	}
	paths := []string{"/docs"}
	for _, group := range a.api.Groups() {
		check(group.Name.En, group.Name)
		check(group.Name.En, group.About)
		if group.Chapter == 0 {
			t.Errorf("%s is in no chapter of the reference", group.Name.En)
		}
		paths = append(paths, "/docs/"+strings.ReplaceAll(strings.ToLower(group.Name.En), " ", "-"))
	}
	ids := regexp.MustCompile(` id="([^"]*)"`)
	for _, path := range paths {
		status, page := call(t, a, "GET", path+"?lang=ar", "", "")
		if status != 200 || len(page) > 300_000 {
			t.Errorf("%s: %d, %d bytes", path, status, len(page))
		}
		seen := map[string]bool{}
		for _, id := range ids.FindAllStringSubmatch(page, -1) {
			if seen[id[1]] {
				t.Errorf("%s: %s is the id of two", path, id[1])
			}
			seen[id[1]] = true
		}
	}
}

// checkFields holds that what is told of fields is told in both languages: by the tags doc and ar.
func checkFields(t *testing.T, route string, fields []httpapi.Field) {
	t.Helper()
	arabic := regexp.MustCompile(`\p{Arabic}`)
	for _, f := range fields {
		if f.Doc.En != "" && !arabic.MatchString(f.Doc.Ar) || f.Type.Ar == "" || (f.Rules.En == "") != (f.Rules.Ar == "") {
			t.Errorf("%s: the field %s lacks Arabic: %q", route, f.Name, f.Doc.En)
		}
		checkFields(t, route, f.Fields)
	}
}

func TestAChangedFileIsAppliedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.yaml")
	var applied []billing.Catalog
	r := newReloader(config.Settings{ConfigPath: path}, func(s config.Settings) error { applied = append(applied, s.Billing); return nil })
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(wantError bool, wantApplied int) {
		t.Helper()
		if _, err := r.check(); (err != nil) != wantError || len(applied) != wantApplied {
			t.Errorf("error %v, %d applied", err, len(applied))
		}
	}
	const good = "plans: [{id: free, name: Free, price_usd: 0, runs: 3, reset: calendar}]\ntrial: {days: 0}\n"
	write(good)
	check(false, 1)
	check(false, 1) // nothing has changed
	write("plans: [{id: free, name: Free, price_usd: 0, runs: 4, reset: calendar}]\ntrial: {days: 0}\nplan: 1\n")
	check(true, 1)
	check(false, 1) // it is told once
	write(good + "limits: {rules: [{route: GET /api/v1/nowhere, limit: 1/minute, by: [user]}]}\n")
	check(true, 1)
	write(good + "limits: {rules: [{route: GET /docs, limit: 1/minute, by: [user], plans: {pro: 2/minute}}]}\n")
	check(true, 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check(true, 1)
	check(false, 1)
	write(good)
	check(false, 2)
	if *applied[1].Plans[0].Runs != 3 {
		t.Errorf("got %+v", applied[1])
	}
}

func TestTwoFirstStartsAtOnceShareOneSecret(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	secrets := make([]string, 16)
	var wg sync.WaitGroup
	for i := range secrets {
		wg.Go(func() {
			settings, err := DevSettings(Dev{DataDir: dir, Addr: "localhost:0"})
			if err != nil {
				t.Error(err)
				return
			}
			secrets[i] = settings.JWTSecret.Reveal()
		})
	}
	wg.Wait()
	for _, secret := range secrets {
		if secret != secrets[0] || len(secret) < 32 {
			t.Fatal("they have different secrets")
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOnlyLoopbackAddressesWillDo(t *testing.T) {
	t.Parallel()
	for addr, ok := range map[string]bool{
		"127.0.0.1:0": true, "[::1]:8080": true, "localhost:80": true, "127.9.9.9:1": true,
		":8080": false, "0.0.0.0:80": false, "192.168.1.1:80": false, "example.com:80": false, "127.0.0.1": false, "": false, "localhost:99999": false, "localhost:http": false, "[::]:1": false,
	} {
		_, err := DevSettings(Dev{DataDir: filepath.Join(t.TempDir(), "data"), Addr: addr})
		if _, isProblem := errors.AsType[*config.Problems](err); ok != (err == nil) || !ok && !isProblem {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestAnErasureByACommandTakesThePersonsMails(t *testing.T) {
	t.Parallel()
	server, _ := setup(t)
	register(t, server)
	for _, to := range []string{"amal@example.com", "Amal <AMAL@example.com>", "other@example.com"} {
		if err := server.outbox.Send(t.Context(), mail.Message{To: to, Subject: "Hello", Text: "Hello"}); err != nil {
			t.Fatal(err)
		}
	}
	command, err := New(t.Context(), Options{Settings: config.Settings{DataDir: server.settings.DataDir}, Offline: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	user, err := command.Accounts.Find(t.Context(), "amal@example.com")
	if err == nil {
		err = command.Accounts.Erase(t.Context(), user.ID)
	}
	if err := errors.Join(err, command.Close()); err != nil {
		t.Fatal(err)
	}
	kept, err := server.outbox.Kept(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range kept {
		if strings.Contains(strings.ToLower(m.To), "amal") {
			t.Errorf("a mail to %s is still there", m.To)
		}
	}
	if len(kept) == 0 {
		t.Error("others' mails are gone too")
	}
}

func TestACommandOpensNoStoreThatIsNotThere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "nowhere")
	o := Options{Settings: config.Settings{DataDir: dir}, Offline: true, Log: slog.New(slog.DiscardHandler)}
	if _, err := New(t.Context(), o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a store that isn't there: %v", err)
	}
	o.Unopened = true
	a, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if rules := a.Limits.Match("POST", "/api/v1/auth/login", ""); len(rules) != 1 {
		t.Errorf("the rules are %v", rules)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
}

func TestAQuestionAboutTheWholeServerIsAnsweredByTheDoor(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 204 ") || !strings.Contains(string(answer), "X-Request-Id: ") {
		t.Errorf("%s, %v", answer, err)
	}
}
