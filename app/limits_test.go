package app

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dunglas/httpsfv"

	"manus/config"
	"manus/internal/redistest"
	"manus/internal/waittest"
	"manus/ratelimit"
)

func limited(s *config.Settings) { s.Limits.Allow = nil }

// ask sends a request from an address and returns the answer.
func ask(t *testing.T, a *App, address, method, path, token, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host = "localhost:8080"
	r.RemoteAddr = address
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	a.api.ServeHTTP(w, r)
	return w
}

// A Redis whose certificate isn't trusted is one that can't be reached, and the log says why.
func TestReadinessTellsWhyRedisCantBeUsed(t *testing.T) {
	t.Parallel()
	redis := redistest.StartTLS(t)
	a, log := setup(t, func(s *config.Settings) { s.Redis = config.NewSecret("rediss://" + redis.Addr) })
	if status, body := call(t, a, "GET", "/ready", "", ""); status != 200 || !strings.Contains(body, `"degraded"`) {
		t.Errorf("/ready: %d %s", status, body)
	}
	for _, check := range []string{"redis", "limits"} {
		if text := log.String(); !regexp.MustCompile(`check"?[=:]"?` + check + `"?[, ].*certificate isn't trusted`).MatchString(text) {
			t.Errorf("of %s the log says %s", check, text)
		}
	}
	if cause, _ := a.breaker.Outage(); !strings.Contains(cause, "certificate isn't trusted") {
		t.Errorf("an alert would say %q", cause)
	}
}

func TestARefusalSaysWhatAndUntilWhen(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	login := func(address string) *httptest.ResponseRecorder {
		return ask(t, a, address, "POST", "/api/v1/auth/login", "", `{"email":"nobody@example.com","password":"not the password"}`)
	}
	for i := range 5 {
		w := login("203.0.113.9:1")
		if w.Code != 401 {
			t.Fatalf("attempt %d: %d", i+1, w.Code)
		}
		if got, want := w.Header().Get("RateLimit-Policy"), `"address-60";q=5;w=60, "address-3600";q=20;w=3600, "account-60";q=5;w=60, "account-3600";q=20;w=3600`; got != want {
			t.Errorf("RateLimit-Policy: %s", got)
		}
		want := fmt.Sprintf(`^"address-60";r=%d;t=[0-9]{1,2}, "address-3600";r=%d;t=3[56][0-9]{2}, "account-60"`, 4-i, 19-i)
		if got := w.Header().Get("RateLimit"); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("RateLimit: %s", got)
		}
	}
	w := login("203.0.113.9:2")
	var problem struct {
		Type     string   `json:"type"`
		Status   int      `json:"status"`
		Violated []string `json:"violated-policies"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || w.Code != 429 || problem.Status != 429 {
		t.Fatal(w.Code, w.Body, err)
	}
	if problem.Type != "/problems/rate-limited" || strings.Join(problem.Violated, " ") != "address-60 account-60" {
		t.Errorf("got %s", w.Body)
	}
	if wait := w.Header().Get("Retry-After"); !strings.HasPrefix(w.Header().Get("RateLimit"), `"address-60";r=0;t=`+wait+",") || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %v", w.Header())
	}
	// From elsewhere the account is tried no further; another account is.
	if w := login("198.51.100.7:1"); w.Code != 429 {
		t.Errorf("from elsewhere: %d", w.Code)
	}
	if w := ask(t, a, "198.51.100.7:1", "POST", "/api/v1/auth/login", "", `{"email":"other@example.com","password":"not the password"}`); w.Code != 401 {
		t.Errorf("another account: %d", w.Code)
	}
	if w := ask(t, a, "198.51.100.8:1", "POST", "/api/v1/auth/login", "", `{"email":"NOBODY@Example.com","password":"not the password"}`); w.Code != 429 {
		t.Errorf("another spelling of the account: %d", w.Code)
	}
}

// TestGuessesAtAnAccountAreCountedHoweverTheyAreSent guesses from sixty addresses, and then
// has the right password.
func TestGuessesAtAnAccountAreCountedHoweverTheyAreSent(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	register(t, a)
	login := func(n int, contentType, password string) int {
		body := fmt.Sprintf(`{"email":"amal@example.com","password":%q}`, password)
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/auth/login", strings.NewReader(body))
		r.Host = "localhost:8080"
		r.RemoteAddr = fmt.Sprintf("203.0.113.%d:1", n)
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		w := httptest.NewRecorder()
		a.api.ServeHTTP(w, r)
		return w.Code
	}
	contentTypes := []string{"", "application/problem+json", "application/json", "application/vnd.api+json; charset=utf-8"}
	for n := range 60 {
		if code := login(n, contentTypes[n%4], "not the password"); code != map[bool]int{true: 401, false: 429}[n < 5] {
			t.Errorf("guess %d: %d", n+1, code)
		}
	}
	if code := login(99, "", "correct horse battery staple"); code != 429 {
		t.Errorf("the right password: %d", code)
	}
}

func TestClientsOfOneIPv6NetworkAreOne(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	for i := range 4 {
		w := ask(t, a, fmt.Sprintf("[2001:db8::%x]:1", i+1), "POST", "/api/v1/auth/register", "", `{"email":"x","password":"y"}`)
		if refused := w.Code == 429; refused != (i == 3) {
			t.Errorf("%d: %d", i+1, w.Code)
		}
	}
	if w := ask(t, a, "[2001:db8:0:1::1]:1", "POST", "/api/v1/auth/register", "", `{"email":"x","password":"y"}`); w.Code == 429 {
		t.Error("another network is refused")
	}
}

// TestWhatNoRuleOfARouteCountsIsCountedByTheDefaultRule has rules by login and by account
// alone, and requests that tell none.
func TestWhatNoRuleOfARouteCountsIsCountedByTheDefaultRule(t *testing.T) {
	t.Parallel()
	byDefault := ratelimit.NewRule("3/minute", ratelimit.ByUserOrAddress)
	a, _ := setup(t, limited, func(s *config.Settings) {
		s.Limits.Default, s.Limits.Rules = byDefault, nil
		for route, by := range map[string]ratelimit.Subject{
			"POST /api/v1/auth/refresh": ratelimit.ByLogin, "POST /api/v1/auth/login": ratelimit.ByAccount, "GET /api/v1/auth/me": ratelimit.ByLogin, "POST /api/v1/auth/step-up": ratelimit.ByLogin,
		} {
			rule := ratelimit.NewRule("2/minute", by)
			rule.Route = route
			s.Limits.Rules = append(s.Limits.Rules, rule)
		}
	})
	var me signedIn
	if err := json.Unmarshal(ask(t, a, "203.0.113.99:1", "POST", "/api/v1/auth/register", "", person).Body.Bytes(), &me); err != nil {
		t.Fatal(err)
	}
	var made struct{ Key string }
	if err := json.Unmarshal(ask(t, a, "203.0.113.99:1", "POST", "/api/v1/auth/api-keys", me.Access, `{"name":"ci","scopes":["read"]}`).Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		route, token, body string
		status, limit      int
		by                 string
	}{
		{"POST /auth/refresh", "", `{"refresh_token":"invented"}`, 401, 3, "address"},
		{"POST /auth/refresh", "", `{`, 400, 3, "address"},
		{"POST /auth/refresh", "", `{"refresh_token":"` + me.Refresh + `"}`, 200, 2, "login"},
		{"POST /auth/login", "", `{"email":"","password":"not the password"}`, 401, 3, "address"},
		{"POST /auth/login", "", `{"email":"no","password":"not the password"}`, 401, 2, "account"},
		{"POST /auth/login", "", `{"password":"not the password"}`, 422, 3, "address"},
		{"GET /auth/me", "", ``, 401, 3, "address"},
		{"GET /auth/me", made.Key, ``, 200, 2, "user"}, // of three, one has made the key
		{"GET /auth/me", me.Access, ``, 200, 2, "login"},
		{"POST /auth/step-up", "", `{"password":"not the password"}`, 401, 3, "address"},
	} {
		method, path, _ := strings.Cut(c.route, " ")
		for n := range c.limit + 1 {
			status := c.status
			if n == c.limit {
				status = 429
			}
			w := ask(t, a, fmt.Sprintf("203.0.113.%d:1", i), method, "/api/v1"+path, c.token, c.body)
			if policy := w.Header().Get("RateLimit-Policy"); w.Code != status || !strings.HasPrefix(policy, fmt.Sprintf(`"%s-60";q=`, c.by)) {
				t.Errorf("%s %s, request %d: %d, want %d, by %s", c.route, c.body, n+1, w.Code, status, policy)
			}
		}
	}
}

func TestPlansHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	var s signedIn
	if err := json.Unmarshal(ask(t, a, "203.0.113.9:1", "POST", "/api/v1/auth/register", "", person).Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	open := func() *httptest.ResponseRecorder {
		return ask(t, a, "203.0.113.9:1", "POST", "/api/v1/sessions", s.Access, "{}")
	}
	if policy := open().Header().Get("RateLimit-Policy"); policy != `"user-60";q=10;w=60, "user-3600";q=100;w=3600` {
		t.Errorf("free: %s", policy)
	}
	users, _, err := a.Accounts.List(t.Context(), 10, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Plans.SetPlan(t.Context(), users[len(users)-1].ID, "pro"); err != nil {
		t.Fatal(err)
	}
	if w := open(); w.Header().Get("RateLimit-Policy") != `"user-60";q=60;w=60` || !strings.HasPrefix(w.Header().Get("RateLimit"), `"user-60";r=58;`) {
		t.Errorf("pro: %v", w.Header())
	}
}

// TestEveryRouteHasARule asks each route of the program, pages included, without
// anything that it wants: each says which limits it has.
func TestEveryRouteHasARule(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	paths := []string{"GET /", "GET /docs", "GET /docs/x", "GET /openapi.json", "GET /account/verify", "POST /account/reset", "GET /dev/mails", "GET /health", "GET /live", "GET /ready", "GET /version", "GET /nowhere", "PUT /docs", "GET /api/v1/nowhere"}
	for _, route := range a.api.Reference() {
		paths = append(paths, route.Method()+" /api/v1"+strings.NewReplacer("{id}", "x").Replace(route.Path()))
	}
	for i, path := range paths {
		method, path, _ := strings.Cut(path, " ")
		w := ask(t, a, fmt.Sprintf("203.0.%d.1:1", i), method, path, "", "{}")
		if w.Header().Get("RateLimit-Policy") == "" || w.Header().Get("RateLimit") == "" {
			t.Errorf("%s %s has none: %d", method, path, w.Code)
		}
	}
}

// TestRoutesHaveTheLimitsOfTheContract asks for the rules of what the contract's table
// names, as 'manus limits match' does.
func TestRoutesHaveTheLimitsOfTheContract(t *testing.T) {
	t.Parallel()
	a, err := New(t.Context(), Options{Settings: config.Settings{Limits: ratelimit.DefaultConfig(Routes())}, Offline: true, Unopened: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	limits := a.Limits
	for request, want := range map[string]string{
		"POST /api/v1/auth/login": "5/minute, 20/hour [address account]", "POST /api/v1/auth/register": "3/minute, 10/hour [address]",
		"POST /api/v1/auth/refresh": "10/minute, 50/hour [login] 300/minute [address]", "POST /api/v1/sessions": "10/minute, 100/hour [user]",
		"GET /api/v1/sessions": "100/minute, 1000/hour [user-or-address]", "POST /api/v1/sessions/x/messages": "100/minute, 1000/hour [user-or-address]",
		"POST /api/v1/billing/trial": "3/hour [user]", "GET /api/v1/billing/subscription": "30/minute, 300/hour [user]",
		"GET /health": "300/minute [address]", "GET /ready": "300/minute [address]", "GET /live": "300/minute [address]", "GET /version": "100/minute [address]",
		"GET /ping/x": "100/minute [address] 60/minute [proof]", "POST /ping/x/y/z": "100/minute [address] 60/minute [proof]",
		"GET /api/v1/ready": "300/minute [address]", "GET /api/v1/version": "100/minute [address]",
		"GET /docs": "600/minute [address]", "GET /docs/sessions": "600/minute [address]", "GET /status": "600/minute [address]", "GET /status/incidents/x": "600/minute [address]", "GET /api/v2/incidents/unresolved.json": "600/minute [address]",
		"GET /": "100/minute, 1000/hour [user-or-address]", "GET /nowhere": "100/minute, 1000/hour [user-or-address]", "OPTIONS /api/v1/sessions": "600/minute [address]",
	} {
		method, path, _ := strings.Cut(request, " ")
		var got []string
		for _, rule := range limits.Match(method, path, "") {
			got = append(got, fmt.Sprint(rule.Limit, " ", rule.By))
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%s: %v", request, got)
		}
	}
	for plan, want := range map[string]string{"free": "10/minute, 100/hour", "basic": "30/minute", "pro": "60/minute", "enterprise": "300/minute"} {
		if rules := limits.Match("POST", "/api/v1/sessions", plan); rules[0].Limit.String() != want {
			t.Errorf("%s: %v", plan, rules)
		}
	}
}

// TestRoutesAreToldAsTheyAreServed holds what commands know of the routes against those
// of a product that has been built.
func TestRoutesAreToldAsTheyAreServed(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	if told, served := Routes(), a.api.Limits(); !reflect.DeepEqual(told, served) {
		t.Errorf("told  %+v\nserved %+v", told, served)
	}
	file := config.DefaultFile(Routes())
	var plans []string
	for _, plan := range file.Billing.Plans {
		plans = append(plans, plan.ID)
	}
	if problems := file.Limits.Problems(Routes(), plans); len(problems) > 0 {
		t.Errorf("the limits of the routes: %v", problems)
	}
}

func TestExampleFileIsTheDefaults(t *testing.T) {
	t.Parallel()
	file, err := config.LoadFile("../manus.example.yaml", Routes())
	if err != nil {
		t.Fatal(err)
	}
	for i, rule := range file.Limits.Rules { // it spells out what a rule is by default
		if rule.Route == "POST /api/v1/auth/login" && rule.Cost == 1 && rule.Count == ratelimit.CountAll && rule.Mode == ratelimit.Enforce && rule.WhenRedisFails == ratelimit.Local {
			rule.Cost, rule.Count, rule.Mode, rule.WhenRedisFails = 0, "", "", ""
			file.Limits.Rules[i] = rule
		}
	}
	if want := config.DefaultFile(Routes()); !reflect.DeepEqual(file, want) {
		t.Errorf("got  %+v\nwant %+v", file, want)
	}
}

func TestAChangedFileForgetsNoCounts(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	try := func() int {
		return ask(t, a, "203.0.113.9:1", "POST", "/api/v1/auth/register", "", `{"email":"x","password":"y"}`).Code
	}
	for try() != 429 {
	}
	changed := a.settings
	changed.Limits = config.DefaultFile(Routes()).Limits
	for i := range changed.Limits.Rules {
		if changed.Limits.Rules[i].Route == "POST /api/v1/auth/register" {
			limit, err := ratelimit.ParseLimit("5/minute")
			if err != nil {
				t.Fatal(err)
			}
			changed.Limits.Rules[i].Limit = limit
		}
	}
	if err := a.apply(changed); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, false, true} {
		if refused := try() == 429; refused != want {
			t.Errorf("attempt %d after the change: refused %v", i+1, refused)
		}
	}
}

// withRedis is a copy of the product that counts in Redis.
func withRedis(t *testing.T, redis *redistest.Server) *App {
	t.Helper()
	settings, err := DevSettings(Dev{DataDir: filepath.Join(t.TempDir(), "data"), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	settings.Redis = config.NewSecret(redis.URL())
	a, _ := start(t, Options{Settings: settings})
	return a
}

// try is one attempt to sign in, of which there may be five a minute.
func try(t *testing.T, a *App, address string) int {
	t.Helper()
	return ask(t, a, address+":1", "POST", "/api/v1/auth/login", "", `{"email":"`+address+`@example.com","password":"not the password"}`).Code
}

func TestCopiesCountTogether(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	copies := []*App{withRedis(t, redis), withRedis(t, redis)}
	for i := range 6 {
		if refused := try(t, copies[i%2], "203.0.113.1") == 429; refused != (i == 5) {
			t.Errorf("attempt %d: refused %v", i+1, refused)
		}
	}
	var wg sync.WaitGroup
	var admitted atomic.Int64
	for i := range 40 {
		wg.Go(func() {
			if try(t, copies[i%2], "203.0.113.2") != 429 {
				admitted.Add(1)
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 5 {
		t.Errorf("%d of 40 at once were admitted", admitted.Load())
	}
}

func TestLimitsAreThereWhileRedisIsNot(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	a := withRedis(t, redis)
	redis.Freeze(t)
	for i := range 10 {
		if code := try(t, a, "203.0.113.3"); (code == 429) != (i >= 5) || code >= 500 {
			t.Errorf("frozen, attempt %d: %d", i+1, code)
		}
	}
	redis.Thaw(t)
	redis.Kill(t)
	if code := try(t, a, "203.0.113.4"); code == 429 || code >= 500 {
		t.Errorf("killed: %d", code)
	}
	redis.Restart(t)
	waittest.Poll(t, func() bool { // what was admitted meanwhile, too
		try(t, a, "203.0.113.5")
		return redis.Do(t, "EXISTS", "manus:limit:{address:203.0.113.4}POST /api/v1/auth/login", "manus:limit:{address:203.0.113.5}POST /api/v1/auth/login").(int64) == 2
	})
}

// TestTheFieldsAreStructured reads the limits' fields with a parser of RFC 9651, as
// clients do.
func TestTheFieldsAreStructured(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	w := ask(t, a, "203.0.113.9:1", "POST", "/api/v1/auth/login", "", `{"email":"nobody@example.com","password":"not the password"}`)
	for field, params := range map[string][]string{"RateLimit-Policy": {"q", "w"}, "RateLimit": {"r", "t"}} {
		list, err := httpsfv.UnmarshalList(w.Header().Values(field))
		if err != nil || len(list) != 4 {
			t.Fatalf("%s: %d members, %v", field, len(list), err)
		}
		for _, member := range list {
			item, ok := member.(httpsfv.Item)
			if !ok {
				t.Fatalf("%s has a %T", field, member)
			}
			if _, isString := item.Value.(string); !isString {
				t.Errorf("%s names a policy by a %T", field, item.Value)
			}
			for _, name := range params {
				value, _ := item.Params.Get(name)
				if n, isInteger := value.(int64); !isInteger || n < 0 {
					t.Errorf("%s: %s is %v", field, name, value)
				}
			}
		}
	}
}

// TestRedisThatCanNotCountIsToldAtTheStart starts the product with a Redis that answers
// and can't count: the product serves, and says what is wrong.
func TestRedisThatCanNotCountIsToldAtTheStart(t *testing.T) {
	t.Parallel()
	for cause, prepare := range map[string]func(*redistest.Server) string{
		"Redis is full": func(r *redistest.Server) string {
			r.Do(t, "CONFIG", "SET", "maxmemory", "1")
			return r.URL()
		},
		"lacks a right": func(r *redistest.Server) string {
			r.Do(t, "ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all", "-@scripting")
			return "redis://reader:secret@" + r.Addr
		},
		"refuses the user or the password": func(r *redistest.Server) string { return "redis://reader:wrong@" + r.Addr },
		"connection refused":               func(r *redistest.Server) string { r.Kill(t); return r.URL() },
	} {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t)
			url := prepare(redis)
			a, log := setup(t, func(s *config.Settings) { s.Redis = config.NewSecret(url) })
			// A busy machine may have had it find something else before.
			said := regexp.MustCompile(`the shared limits are unavailable.*` + cause)
			log.Until(t, func() bool { return said.MatchString(log.String()) })
			if text := log.String(); len(said.FindAllString(text, -1)) != 1 || strings.Contains(text, "secret@") {
				t.Errorf("it says %s", text)
			}
			if _, ready := call(t, a, "GET", "/ready", "", ""); !strings.Contains(ready, `"limits":{"status":"failed"`) {
				t.Errorf("/ready says %s", ready)
			}
			if !strings.Contains(metricsOf(t, a), "manus_limit_breaker_open 1") {
				t.Error("the gauge doesn't tell")
			}
			register(t, a)
			if cause != "Redis is full" {
				return
			}
			redis.Do(t, "CONFIG", "SET", "maxmemory", "0")
			log.Until(t, func() bool { return strings.Contains(log.String(), "count again") })
			if !strings.Contains(metricsOf(t, a), "manus_limit_breaker_open 0") {
				t.Error("the gauge doesn't tell that it counts again")
			}
		})
	}
}
