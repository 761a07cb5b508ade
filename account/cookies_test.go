package account

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"manus/identity"
)

// page is a page of a site in a browser, which keeps cookies and says where it is from.
type page struct {
	t       *testing.T
	server  *httptest.Server
	header  http.Header // what the browser says of the page
	cookies map[string]*http.Cookie
}

func (p *page) call(method, path, body string, status int) string {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.server.URL+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if r.Header = p.header.Clone(); body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range p.cookies {
		r.AddCookie(c)
	}
	response, err := p.server.Client().Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	for _, c := range response.Cookies() {
		if p.cookies[c.Name] = c; c.MaxAge < 0 {
			delete(p.cookies, c.Name)
		}
	}
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status {
		p.t.Fatalf("%s %s of %v: %d, want %d: %s, %v", method, path, p.header, response.StatusCode, status, text, err)
	}
	return string(text)
}

func newPage(t *testing.T, server *httptest.Server, header ...string) *page {
	p := &page{t, server, http.Header{}, map[string]*http.Cookie{}}
	for i := 0; i < len(header); i += 2 {
		p.header.Set(header[i], header[i+1])
	}
	return p
}

func TestAPageOfThisHostSignsInByCookies(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.PublicURL = "https://app.example.com" })
	server := serve(t, b)
	p := newPage(t, server, "Sec-Fetch-Site", "same-origin")
	registered := p.call("POST", "/auth/register?tokens=cookie", credentials, 201)
	p.cookies = map[string]*http.Cookie{}
	for _, body := range []string{registered, p.call("POST", "/auth/login?tokens=cookie", credentials, 200)} {
		if !strings.Contains(body, `"access_token":""`) || !strings.Contains(body, `"refresh_token":""`) || !strings.Contains(body, `"token_type":"Cookie"`) {
			t.Errorf("the body is %s", body)
		}
	}
	access := p.cookies["__Host-manus-access"]
	for _, c := range []*http.Cookie{access, p.cookies["__Host-manus-refresh"]} {
		if c == nil || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 30*24*60*60 {
			t.Errorf("the cookie is %v", c)
		}
	}
	p.call("GET", "/auth/me", "", 200)
	p.call("PATCH", "/auth/me", `{"full_name":"Amal"}`, 200)
	p.call("POST", "/auth/refresh?tokens=cookie", `{}`, 200)
	if after := p.cookies["__Host-manus-access"]; after.Value == access.Value {
		t.Error("a refresh sets no other token")
	}
	p.call("GET", "/auth/me", "", 200)
	p.call("POST", "/auth/logout", "", 204)
	if len(p.cookies) != 0 {
		t.Errorf("after signing out there is %v", p.cookies)
	}
	p.cookies["__Host-manus-access"] = access
	p.call("GET", "/auth/me", "", 401)
}

func TestAnotherSitesPageChangesNothingByCookies(t *testing.T) {
	t.Parallel()
	server := serve(t, setup(t, func(c *Config) { c.PublicURL = "http://app.example.com" }))
	own := newPage(t, server, "Sec-Fetch-Site", "same-origin")
	own.call("POST", "/auth/register?tokens=cookie", credentials, 201)
	if c := own.cookies["manus-access"]; c == nil || c.Secure || !c.HttpOnly {
		t.Errorf("over plain http the cookie is %v", c)
	}
	host := strings.TrimPrefix(server.URL, "http://")
	for _, c := range map[string]struct {
		header []string
		status int
	}{
		"own":                        {[]string{"Sec-Fetch-Site", "same-origin"}, 200},
		"own, over http to a name":   {[]string{"Origin", "http://" + host}, 200},
		"another site":               {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"a sister":                   {[]string{"Sec-Fetch-Site", "same-site", "Origin", "http://" + host}, 403},
		"typed":                      {[]string{"Sec-Fetch-Site", "none"}, 403},
		"an older browser":           {[]string{"Origin", "https://evil.example"}, 403},
		"hidden":                     {[]string{"Origin", "null"}, 403},
		"one that says nothing":      {nil, 403},
		"another port of this name":  {[]string{"Origin", "http://" + host + "1"}, 403},
		"with an access token given": {[]string{"Authorization", "Bearer x"}, 401},
	} {
		p := newPage(t, server, c.header...)
		p.cookies = own.cookies
		p.call("PATCH", "/auth/me", `{"full_name":"Amal"}`, c.status)
		if c.status == 403 {
			p.call("GET", "/auth/me", "", 200) // whose answer the browser keeps from it
			p.call("POST", "/auth/logout", "", 403)
			p.call("POST", "/auth/login?tokens=cookie", credentials, 403)
			p.call("POST", "/auth/register?tokens=cookie", `{"email":"b@example.com","password":"correct horse battery staple"}`, 403)
			p.call("POST", "/auth/refresh?tokens=cookie", `{}`, 403)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/api/v1/auth/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(own.cookies["manus-access"])
	r.AddCookie(&http.Cookie{Name: "manus-access", Value: "another's"}) // which a page of a name below could set
	response, err := server.Client().Do(r)
	if err != nil || response.StatusCode != 401 {
		t.Errorf("with two cookies: %v, %v", response, err)
	}
	_ = response.Body.Close()
}

func TestABackendAsksWhoATokenBelongsTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b)
	if _, err := b.Create(t.Context(), NewUser{Email: "operator@example.com", Password: "correct horse battery staple", Role: identity.Operator}); err != nil {
		t.Fatal(err)
	}
	operator := call(t, server, "POST", "/auth/login", "", `{"email":"operator@example.com","password":"correct horse battery staple"}`).want(t, 200).tokens(t)
	key := newKey(t, server, operator.AccessToken, `{"name":"backend","scopes":["operator"]}`)
	amal := call(t, server, "POST", "/auth/register", "", credentials).want(t, 201).tokens(t)
	ask := func(token string) string {
		t.Helper()
		return strings.TrimSpace(call(t, server, "POST", "/auth/introspect", key, `{"token":"`+token+`"}`).want(t, 200).body)
	}
	if got := ask(amal.AccessToken); !strings.Contains(got, `"active":true,"sub":"`+amal.User.ID+`","username":"amal@example.com","role":"user","token_type":"Bearer","sid":"`) || !strings.Contains(got, `"exp":`) {
		t.Errorf("got %s", got)
	}
	if got := ask(key); !strings.Contains(got, `"token_type":"api_key","scope":"operator","client_id":"`) {
		t.Errorf("got %s", got)
	}
	const inactive = `{"active":false}`
	for _, token := range []string{"x", "mk_x", amal.RefreshToken, amal.AccessToken + "x"} {
		if got := ask(token); got != inactive {
			t.Errorf("%s is %s", token, got)
		}
	}
	call(t, server, "POST", "/auth/introspect", amal.AccessToken, `{"token":"x"}`).want(t, 403)
	call(t, server, "POST", "/auth/introspect", newKey(t, server, operator.AccessToken, `{"name":"w","scopes":["worker"]}`), `{"token":"x"}`).want(t, 403)
	form, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/api/v1/auth/introspect", strings.NewReader("token_type_hint=access_token&token="+amal.AccessToken))
	if err != nil {
		t.Fatal(err)
	}
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	form.Header.Set("Authorization", "Bearer "+key)
	response, err := server.Client().Do(form)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || !strings.Contains(string(text), `"active":true`) {
		t.Errorf("asked by a form: %s, %v", text, err)
	}
	call(t, server, "POST", "/auth/logout", amal.AccessToken, "").want(t, 204)
	if got := ask(amal.AccessToken); got != inactive {
		t.Errorf("after signing out: %s", got)
	}
}

func TestKeysOfWorkersAreOperatorsAlone(t *testing.T) {
	t.Parallel()
	server := serve(t, setup(t))
	amal := call(t, server, "POST", "/auth/register", "", credentials).want(t, 201).tokens(t)
	call(t, server, "POST", "/auth/api-keys", amal.AccessToken, `{"name":"w","scopes":["worker"]}`).want(t, 403)
}
