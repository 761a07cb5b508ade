package app

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"manus/account"
	"manus/ratelimit"
)

const (
	rightPassword = "correct horse battery staple"
	wrongPassword = "not the password"
)

// TestAStolenTokenGuessesNoMoreThanAStranger has an access token, and tries passwords
// from many addresses.
func TestAStolenTokenGuessesNoMoreThanAStranger(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	token := register(t, a).Access
	send := func(n int, method, path, body string) int {
		return ask(t, a, fmt.Sprintf("203.0.113.%d:1", n), method, "/api/v1"+path, token, body).Code
	}
	stepUp := func(n int, password string) int {
		return send(n, "POST", "/auth/step-up", fmt.Sprintf(`{"password":%q}`, password))
	}
	for n := range 8 { // who proves to be the owner isn't guessing
		if code := stepUp(n, rightPassword); code != 204 {
			t.Fatalf("the right password is answered %d", code)
		}
	}
	for n := range 30 {
		code := []func() int{
			func() int { return stepUp(n, wrongPassword) },
			func() int {
				return send(n, "POST", "/auth/password", `{"current_password":"`+wrongPassword+`","new_password":"another horse battery"}`)
			},
			func() int { return send(n, "DELETE", "/auth/me", `{"password":"`+wrongPassword+`"}`) },
		}[n%3]()
		if code != map[bool]int{true: 403, false: 429}[n < 5] {
			t.Errorf("guess %d: %d", n+1, code)
		}
	}
	if code := stepUp(1, rightPassword); code != 429 {
		t.Errorf("the right password after that: %d", code)
	}
	if w := ask(t, a, "198.51.100.1:1", "POST", "/api/v1/auth/login", "", `{"email":"amal@example.com","password":"`+rightPassword+`"}`); w.Code != 429 {
		t.Errorf("signing in after that: %d", w.Code)
	}
	// Where nothing is tried, somebody else's guesses keep nobody from anything.
	if code := send(1, "POST", "/auth/recovery-codes", `{}`); code != 404 {
		t.Errorf("without a secret in it, what the owner may do since a step-up: %d", code)
	}
	if code := send(1, "DELETE", "/auth/devices/none", ``); code != 404 {
		t.Errorf("without a body: %d", code)
	}
}

// operation is what the reference says of a route.
type operation struct {
	id, method, path string
	body             schema
	parameters       []string
}

type schema struct {
	Ref        string            `json:"$ref"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	MaxLength  int               `json:"maxLength"`
}

func operations(t *testing.T, a *App) (all []operation) {
	t.Helper()
	text, err := a.api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct{ Name string }
			RequestBody struct {
				Content map[string]struct{ Schema schema }
			}
		}
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	for path, methods := range document.Paths {
		for method, o := range methods {
			found := operation{id: o.OperationID, method: strings.ToUpper(method), path: "/api/v1" + strings.TrimPrefix(path, "/api/v1")}
			for _, content := range o.RequestBody.Content {
				if found.body = content.Schema; content.Schema.Ref != "" {
					found.body = document.Components.Schemas[strings.TrimPrefix(content.Schema.Ref, "#/components/schemas/")]
				}
				if len(found.body.Properties) == 0 {
					t.Errorf("%s: its body can't be looked into", o.OperationID)
				}
			}
			for _, p := range o.Parameters {
				found.parameters = append(found.parameters, p.Name)
			}
			all = append(all, found)
		}
	}
	return all
}

// What requests to the account's routes have in them. A new field has to be added to one
// of the lists, and so somebody has to say whether it can be guessed.
var (
	guessable = []string{"password", "current_password", "otp"}
	// unguessable have at least 120 random bits, or are signed.
	unguessable = []string{"refresh_token", "token", "ticket", "code", "state", "passkey", "credential", "ceremony_id"}
	noSecrets   = []string{
		"email", "full_name", "language", "new_password", "name", "scopes", "expires_at", "redirect_url", "second_factor",
		"id", "limit", "cursor", "Accept-Language", "tokens", "token_type_hint", "If-Match", "If-None-Match", "Idempotency-Key",
	}
)

// guessedElsewhere are the routes that check what can be guessed without a caller whose
// account is known beforehand, and what bounds them.
var guessedElsewhere = map[string]string{
	"login":           "its own limits, which all others share",
	"join":            "it sets a password and checks none; the token is a mailed link's",
	"register":        "it sets a password and checks none",
	"finish-provider": "codes are bounded in the account, see TestWrongCodesAreCountedTogetherWhereverTheyAreSent",
}

func TestRoutesThatCheckASecretSaySo(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	counted := a.api.Limits().Guesses
	for _, o := range operations(t, a) {
		fields := append(slices.Collect(maps.Keys(o.body.Properties)), o.parameters...)
		if strings.HasPrefix(o.path, "/api/v1/auth/") {
			for _, field := range fields {
				if !slices.Contains(slices.Concat(guessable, unguessable, noSecrets), field) {
					t.Errorf("%s takes %s: say whether it can be guessed", o.id, field)
				}
			}
		}
		checks := slices.ContainsFunc(fields, func(field string) bool { return slices.Contains(guessable, field) })
		declared := counted[o.method+" "+o.path] == "POST /api/v1/auth/login"
		if elsewhere := guessedElsewhere[o.id] != ""; checks != (declared || elsewhere) {
			t.Errorf("%s %s checks a secret: %v, and counts guesses: %v", o.method, o.path, checks, declared)
		}
	}
}

// What isn't in the reference can't be looked into, so it is listed.
func TestPagesCheckNoSecret(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	known := map[string]bool{}
	for _, o := range operations(t, a) {
		known[o.method+" "+o.path] = true
	}
	for _, pattern := range a.api.Limits().Patterns {
		method, path, _ := strings.Cut(pattern, " ")
		if method == "GET" || path == "/" || known[pattern] || strings.HasPrefix(path, "/api/{project}/") { // whose keys stand in pages, see docs/errors.md
			continue
		}
		if strings.HasPrefix(path, "/api/0/") { // of Sentry's API, which has no secret but the caller's API key
			continue
		}
		if !slices.Contains([]string{"POST /ping/{path...}", "POST /account/verify", "POST /account/reset", "POST /account/forgot", "POST /account/join", "POST /alerts/{token}", "POST /status/subscribe", "POST /status/subscribe/confirm", "POST /status/unsubscribe"}, pattern) {
			t.Errorf("%s may take a secret that can be guessed; a form with one has to count it", pattern)
		}
	}
}

// TestAWrongSecretCountsOnEveryRoute sends one to each.
func TestAWrongSecretCountsOnEveryRoute(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	token := register(t, a).Access
	subject := ratelimit.AccountSubject(account.EmailKey("amal@example.com"))
	if w := ask(t, a, "203.0.113.1:1", "POST", "/api/v1/auth/totp", token, ""); w.Code != 200 { // to be confirmed
		t.Fatal(w.Code, w.Body)
	}
	tried := 0
	for _, o := range operations(t, a) {
		if a.api.Limits().Guesses[o.method+" "+o.path] == "" {
			continue
		}
		tried++
		path := strings.ReplaceAll(o.path, "{id}", "none")
		if w := ask(t, a, "203.0.113.1:1", o.method, path, token, wrongBody(t, o)); w.Code != 403 {
			t.Errorf("%s: %d %s", o.id, w.Code, w.Body)
		}
		if n := guessesOf(t, a, subject); n != 1 {
			t.Errorf("%s: %d guesses were counted", o.id, n)
		}
		if err := a.Limits.Reset(t.Context(), subject); err != nil {
			t.Fatal(err)
		}
	}
	if tried < 12 {
		t.Errorf("%d routes were tried", tried)
	}
}

// wrongBody is a body for a route, right but for its secret.
func wrongBody(t *testing.T, o operation) string {
	t.Helper()
	values := map[string]any{
		"password": wrongPassword, "current_password": wrongPassword, "otp": "000000x",
		"new_password": "another horse battery", "email": "new@example.com", "name": "x", "scopes": []string{"read"},
	}
	body := map[string]any{}
	for field := range o.body.Properties {
		_, hasPassword := o.body.Properties["password"]
		if value, ok := values[field]; ok && (field != "otp" || !hasPassword) {
			body[field] = value
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// guessesOf is what is counted for an account.
func guessesOf(t *testing.T, a *App, subject string) (n int) {
	t.Helper()
	standings, err := a.Limits.Show(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range standings {
		for _, w := range s.Windows {
			n = max(n, w.N-w.Remaining)
		}
	}
	return n
}

// refresher refreshes a login from an address, by its latest token.
type refresher struct {
	a     *App
	token string
}

func newRefresher(t *testing.T, a *App) *refresher {
	t.Helper()
	tokens, err := a.Accounts.Login(t.Context(), account.Credentials{Email: "amal@example.com", Password: rightPassword})
	if err != nil {
		t.Fatal(err)
	}
	return &refresher{a, tokens.Refresh}
}

func (r *refresher) refresh(t *testing.T, address string) (code int, policies string) {
	t.Helper()
	w := ask(t, r.a, address, "POST", "/api/v1/auth/refresh", "", fmt.Sprintf(`{"refresh_token":%q}`, r.token))
	if w.Code == 200 {
		var body struct {
			RefreshToken string `json:"refresh_token"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		r.token = body.RefreshToken
	}
	return w.Code, w.Header().Get("RateLimit")
}

// TestPeopleBehindOneAddressAllRefresh has twenty logins that refresh ten times each.
func TestPeopleBehindOneAddressAllRefresh(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	register(t, a)
	for i := range 20 {
		r := newRefresher(t, a)
		for j := range 10 {
			if code, _ := r.refresh(t, "203.0.113.1:1"); code != 200 {
				t.Fatalf("login %d, refresh %d: %d", i+1, j+1, code)
			}
		}
	}
}

func TestRefreshesAreCountedByLogin(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	register(t, a)
	one, other := newRefresher(t, a), newRefresher(t, a)
	used := one.token
	for n := range 10 {
		if code, _ := one.refresh(t, fmt.Sprintf("203.0.113.%d:1", n)); code != 200 {
			t.Fatalf("refresh %d: %d", n+1, code)
		}
	}
	if code, policies := one.refresh(t, "203.0.113.99:1"); code != 429 || !strings.HasPrefix(policies, `"login-60";r=0;t=`) {
		t.Errorf("the eleventh: %d %s", code, policies)
	}
	// Tokens that were made up use up nobody's, and are nobody's.
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(other.token, "mr_"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		raw[len(raw)-1-n]++ // in the mark, then in the secret
		forged := refresher{a, "mr_" + base64.RawURLEncoding.EncodeToString(raw)}
		if code, policies := forged.refresh(t, "203.0.113.1:1"); code != 401 || strings.Contains(policies, "login") {
			t.Errorf("a forged token: %d %s", code, policies)
		}
	}
	// Nor has a login more than one count: whatever isn't its one spelling is no token.
	for _, spelled := range []string{one.token + "=", one.token + "\n", " " + one.token, strings.Replace(one.token, "mr_", "MR_", 1)} {
		if code, _ := (&refresher{a, spelled}).refresh(t, "203.0.113.1:1"); code != 401 {
			t.Errorf("%q: %d", spelled, code)
		}
	}
	if code, _ := (&refresher{a, used}).refresh(t, "203.0.113.1:1"); code != 429 {
		t.Errorf("an old token of the login: %d", code)
	}
	if code, policies := other.refresh(t, "203.0.113.1:1"); code != 200 || !strings.HasPrefix(policies, `"login-60";r=9;`) {
		t.Errorf("the other login: %d %s", code, policies)
	}
}
