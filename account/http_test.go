package account

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"manus/httpapi"
	"manus/internal/referencetest"
)

// serve answers the room's routes as the program does.
func serve(t *testing.T, b bench) *httptest.Server {
	t.Helper()
	log := referencetest.Log(t)
	api := httpapi.New(httpapi.Config{Log: log, Version: "test", Caller: b.Caller})
	b.Routes(api)
	b.c.Audit.Routes(api)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return server
}

type answer struct {
	status int
	header http.Header
	body   string
}

func call(t *testing.T, server *httptest.Server, method, path, token, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if a.status >= 400 && a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("an error is %q", a.header.Get("Content-Type"))
	}
	return a
}

func (a answer) tokens(t *testing.T) (body tokensBody) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatal(err)
	}
	return body
}

const credentials = `{"email":"amal@example.com","password":"correct horse battery staple"}`

func TestTheLifeOfAnAccount(t *testing.T) {
	t.Parallel()
	server := serve(t, setup(t))
	body := call(t, server, "POST", "/auth/register", "", `{"email":"Amal@example.com","password":"correct horse battery staple","full_name":"أمل"}`).want(t, 201).tokens(t)
	if body.TokenType != "Bearer" || body.ExpiresIn != 900 || body.User.Email != "Amal@example.com" || body.User.FullName != "أمل" || body.User.Role != "user" {
		t.Errorf("got %+v", body)
	}
	call(t, server, "POST", "/auth/register", "", credentials).want(t, 409)
	first := call(t, server, "POST", "/auth/login", "", credentials).want(t, 200).tokens(t)
	second := call(t, server, "POST", "/auth/refresh", "", `{"refresh_token":"`+first.RefreshToken+`"}`).want(t, 200).tokens(t)
	if me := call(t, server, "GET", "/auth/me", second.AccessToken, "").want(t, 200); strings.Contains(me.body, "password") || !strings.Contains(me.body, body.User.ID) {
		t.Errorf("me: %s", me.body)
	}
	if me := call(t, server, "PATCH", "/auth/me", second.AccessToken, `{"full_name":"Amal H."}`).want(t, 200); !strings.Contains(me.body, "Amal H.") {
		t.Errorf("me: %s", me.body)
	}
	call(t, server, "POST", "/auth/password", second.AccessToken, `{"current_password":"correct horse battery staple","new_password":"short"}`).want(t, 422)
	call(t, server, "POST", "/auth/password", second.AccessToken, `{"current_password":"wrong","new_password":"a longer one"}`).want(t, 403)
	call(t, server, "POST", "/auth/password", second.AccessToken, `{"current_password":"correct horse battery staple","new_password":"a longer one"}`).want(t, 204)
	call(t, server, "GET", "/auth/me", body.AccessToken, "").want(t, 401)
	call(t, server, "GET", "/auth/me", second.AccessToken, "").want(t, 200)
	call(t, server, "POST", "/auth/logout", second.AccessToken, "").want(t, 204)
	call(t, server, "GET", "/auth/me", second.AccessToken, "").want(t, 401)
	third := call(t, server, "POST", "/auth/login", "", `{"email":"amal@example.com","password":"a longer one"}`).want(t, 200).tokens(t)
	call(t, server, "POST", "/auth/logout-all", third.AccessToken, "").want(t, 204)
	call(t, server, "POST", "/auth/refresh", "", `{"refresh_token":"`+third.RefreshToken+`"}`).want(t, 401)
}

func TestRefusalsAreAlikeAndEchoNothing(t *testing.T) {
	t.Parallel()
	server := serve(t, setup(t))
	call(t, server, "POST", "/auth/register", "", credentials).want(t, 201)
	known := call(t, server, "POST", "/auth/login", "", `{"email":"amal@example.com","password":"hunter2hunter2"}`).want(t, 401)
	unknown := call(t, server, "POST", "/auth/login", "", `{"email":"nobody@example.com","password":"hunter2hunter2"}`).want(t, 401)
	if withoutID(known) != withoutID(unknown) {
		t.Errorf("known:   %s\nunknown: %s", known.body, unknown.body)
	}
	for _, body := range []string{
		`{"email":"amal@example.com","password":["hunter2hunter2"]}`,
		`{"email":"amal@example.com","password":"hunter2hunter2`,
		`{"email":"hunter2hunter2","password":"hunter2hunter2","password":"hunter2hunter2"}`,
		`hunter2hunter2`,
		`{"email":"amal@example.com","password":"` + strings.Repeat("hunter2hunter2", 100) + `"}`,
	} {
		for _, path := range []string{"/auth/login", "/auth/register"} {
			a := call(t, server, "POST", path, "", body)
			if a.status < 400 || a.status >= 500 || strings.Contains(a.body, "hunter2") {
				t.Errorf("%s %s: %d %s", path, body, a.status, a.body)
			}
		}
	}
}

func withoutID(a answer) string {
	return strings.ReplaceAll(a.body, a.header.Get("X-Request-Id"), "")
}

func TestABusyHasherIsAProblemWithRetryAfter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b)
	b.hasher.waiting.Store(maxHashQueue)
	if a := call(t, server, "POST", "/auth/login", "", credentials).want(t, 503); a.header.Get("Retry-After") != "5" {
		t.Errorf("headers: %v", a.header)
	}
}

func TestTwoAuthorizationHeadersAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	for name, values := range map[string][]string{
		"two": {"Bearer " + tokens.Access, "Bearer " + tokens.Access}, "basic": {"Basic " + tokens.Access}, "bare": {tokens.Access}, "empty": {"Bearer "},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Header["Authorization"] = values
		if _, ok := bearer(r); ok {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestAStoreThatIsGoneIsNotAWrongToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	server := serve(t, b)
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	call(t, server, "GET", "/auth/me", tokens.Access, "").want(t, 503)
	call(t, server, "POST", "/auth/login", "", credentials).want(t, 503)
}

func TestSigningOutWithAnExpiredTokenEndsTheLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b)
	mine := call(t, server, "POST", "/auth/register", "", credentials).want(t, 201).tokens(t)
	b.clock.Add(AccessLifetime + time.Hour)
	call(t, server, "GET", "/auth/me", mine.AccessToken, "").want(t, 401)
	forged := mine.AccessToken[:len(mine.AccessToken)-6] + "AAAAAA"
	for _, token := range []string{"", "x", forged, mine.RefreshToken, "mk_x"} {
		call(t, server, "POST", "/auth/logout", token, "").want(t, 401)
	}
	for name, values := range map[string][]string{"two": {"Bearer " + mine.AccessToken, "Bearer x"}, "bare": {mine.AccessToken}} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
		r.Header["Authorization"] = values
		if caller, err := b.formerCaller(r); caller.Known() || err != nil {
			t.Errorf("%s: taken", name)
		}
	}
	key := call(t, server, "POST", "/auth/api-keys", call(t, server, "POST", "/auth/login", "", credentials).want(t, 200).tokens(t).AccessToken, `{"name":"x","scopes":["read"]}`).want(t, 201)
	call(t, server, "POST", "/auth/logout", regexp.MustCompile(`mk_[^"]+`).FindString(key.body), "").want(t, 403)
	call(t, server, "POST", "/auth/logout", mine.AccessToken, "").want(t, 204)
	call(t, server, "POST", "/auth/logout", mine.AccessToken, "").want(t, 204)
	call(t, server, "POST", "/auth/refresh", "", `{"refresh_token":"`+mine.RefreshToken+`"}`).want(t, 401)
}
