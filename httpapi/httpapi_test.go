package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"manus/docstore"
	"manus/identity"
	"manus/language"
)

const secret = "hunter2-secret-value"

var errTeapot = errors.New("a teapot was asked for coffee: " + secret)

type teaInput struct {
	Kind string `query:"kind" enum:"green,black"`
	Body struct {
		Cups int    `json:"cups" minimum:"1"`
		Note string `json:"note,omitempty" maxLength:"40"`
	}
}

type teaOutput struct {
	Body struct {
		Cups int `json:"cups"`
	}
}

// newAPI is one without routes, whose callers are who the request's context says.
func newAPI(log *slog.Logger) *API {
	return New(Config{Log: log, Version: "test", Caller: func(r *http.Request) (identity.Caller, error) {
		return identity.From(exchangeOf(r.Context()).base), nil
	}})
}

// setup is an API with a route for each kind of access, all of which fail as
// fails says.
func setup(t *testing.T, fails error) (*API, http.Handler, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	api := newAPI(log)
	kinds := Kinds{{Err: errTeapot, Status: http.StatusTeapot, Name: "teapot", Detail: language.Text{En: "Ask for tea instead.", Ar: "اطلب شايًا."}, RetryAfter: 1500 * time.Millisecond}}
	handler := func(_ context.Context, in *teaInput) (*teaOutput, error) {
		if fails != nil {
			return nil, fails
		}
		out := &teaOutput{}
		out.Body.Cups = in.Body.Cups
		return out, nil
	}
	for path, access := range map[string]Access{"/tea": Public, "/my-tea": Known, "/all-tea": Operators} {
		Register(Group{API: api, Name: language.Text{En: "Tea", Ar: "شاي"}, Kinds: kinds}, Route{Access: access, Scope: identity.Write, Pattern: "POST " + path, ID: path[1:]}, handler)
	}
	return api, api, &logged
}

// handling is a door with one public route.
func handling(log *slog.Logger, route Route, handler http.HandlerFunc) *API {
	api := newAPI(log)
	route.Access = Public
	api.Handle(route, handler)
	return api
}

func post(handler http.Handler, path, body string, caller identity.Caller) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r.WithContext(identity.With(r.Context(), caller)))
	return w
}

func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, name string) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if w.Code != status || p.Status != status || p.Type != "/problems/"+name || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("want %d %s, got %d %s %s", status, name, w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	if p.Title == "" || p.Detail == "" || p.RequestID == "" || p.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("something is missing: %s", w.Body)
	}
	if strings.Contains(w.Body.String(), secret) {
		t.Errorf("it repeats what was sent: %s", w.Body)
	}
	return p
}

func TestErrorsAreProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		name   string
		retry  string
	}{
		{fmt.Errorf("no coffee: %w", errTeapot), 418, "teapot", "2"},
		{fmt.Errorf("disk: %w", docstore.ErrUnavailable), 503, "unavailable", "2"},
		{docstore.ErrCursor, 400, "invalid-cursor", ""},
		{fmt.Errorf("%w: no index", docstore.ErrInvalid), 500, "internal", ""},
		{errors.New("the secret is " + secret), 500, "internal", ""},
		{context.DeadlineExceeded, 503, "timeout", "2"},
	} {
		_, handler, logged := setup(t, c.err)
		w := post(handler, "/api/v1/tea", `{"cups":1}`, identity.Caller{})
		wantProblem(t, w, c.status, c.name)
		if got := w.Header().Get("Retry-After"); got != c.retry {
			t.Errorf("%s: Retry-After is %q", c.name, got)
		}
		if c.status >= 500 && !strings.Contains(logged.String(), "request failed") {
			t.Errorf("%s: the operator isn't told why", c.name)
		}
	}
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	_, handler, _ := setup(t, nil)
	person := identity.Caller{UserID: "u", LoginID: "l", Role: identity.User}
	operator := identity.Caller{UserID: "o", LoginID: "l", Role: identity.Operator}
	reader := identity.Caller{UserID: "u", Role: identity.User, Scopes: []identity.Scope{identity.Read}}
	writer := identity.Caller{UserID: "u", Role: identity.User, Scopes: []identity.Scope{identity.Write}}
	for _, c := range []struct {
		path   string
		caller identity.Caller
		status int
	}{
		{"/tea", identity.Caller{}, 200}, {"/my-tea", identity.Caller{}, 401}, {"/all-tea", identity.Caller{}, 401},
		{"/tea", person, 200}, {"/my-tea", person, 200}, {"/all-tea", person, 403}, {"/all-tea", operator, 200},
		{"/my-tea", reader, 403}, {"/my-tea", writer, 200}, {"/all-tea", writer, 403},
	} {
		w := post(handler, "/api/v1"+c.path, `{"cups":1}`, c.caller)
		if w.Code != c.status {
			t.Errorf("%s by %+v: %d, want %d", c.path, c.caller, w.Code, c.status)
		}
		if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
	}
}

func TestBadRequestsAreSaidToBeSoWithoutEcho(t *testing.T) {
	t.Parallel()
	_, handler, logged := setup(t, nil)
	for name, body := range map[string]string{
		"not JSON":         secret,
		"cut off":          `{"cups":1,"note":"` + secret,
		"wrong type":       `{"cups":"` + secret + `"}`,
		"unknown property": `{"cups":1,"spoons":"` + secret + `"}`,
		"too long":         `{"cups":1,"note":"` + strings.Repeat(secret, 10) + `"}`,
		"twice":            `{"cups":1,"cups":2,"note":"` + secret + `"}`,
		"twice, deeper":    `{"cups":1,"note":{"` + secret + `":1,"` + secret + `":2}}`,
		"another case":     `{"cups":1,"Note":"` + secret + `"}`,
		"in two cases":     `{"cups":1,"note":"x","NOTE":"` + secret + `"}`,
		"half a pair":      `{"cups":1,"note":"` + secret + `\ud800"}`,
		"the other half":   `{"cups":1,"note":"` + secret + `\udc00x"}`,
		"a pair reversed":  `{"cups":1,"note":"\udc00\ud800"}`,
		"no UTF-8":         `{"cups":1,"note":"` + secret + "\xff" + `"}`,
		"an array":         `["` + secret + `"]`,
		"nothing":          ``,
	} {
		w := post(handler, "/api/v1/tea", body, identity.Caller{})
		if w.Code != 400 && w.Code != 422 {
			t.Errorf("%s: %d", name, w.Code)
		}
		wantProblem(t, w, w.Code, "invalid-request")
	}
	wantProblem(t, post(handler, "/api/v1/tea?kind="+secret, `{"cups":1}`, identity.Caller{}), 422, "invalid-request")
	wantProblem(t, post(handler, "/api/v1/tea", `{"cups":1,"note":"`+strings.Repeat("x", MaxBody)+`"}`, identity.Caller{}), 413, "too-large")
	if strings.Contains(logged.String(), secret) {
		t.Error("the log has it")
	}
}

func TestFaultsSayWhere(t *testing.T) {
	t.Parallel()
	_, handler, _ := setup(t, nil)
	p := wantProblem(t, post(handler, "/api/v1/tea", `{"cups":0}`, identity.Caller{}), 422, "invalid-request")
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.cups" || p.Errors[0].Message == "" {
		t.Errorf("got %+v", p.Errors)
	}
	for body, location := range map[string]string{
		`{}`:                    "body.cups",
		`{"cups":1,"spoons":1}`: "body.spoons",
		`{"cups":1,"\u202e\n` + strings.Repeat("é", 200) + `":1}`: "body." + strings.Repeat("é", 45), // bounded, and nothing that turns a line
	} {
		p := wantProblem(t, post(handler, "/api/v1/tea", body, identity.Caller{}), 422, "invalid-request")
		if len(p.Errors) != 1 || p.Errors[0].Location != location {
			t.Errorf("%s: got %+v", body, p.Errors)
		}
	}
}

func TestUnknownAddressesAndMethodsAreProblems(t *testing.T) {
	t.Parallel()
	_, handler, _ := setup(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
		name         string
	}{
		{"POST", "/api/v1/" + secret, 404, "not-found"},
		{"GET", "/api/v1/tea", 405, "method-not-allowed"},
		{secret, "/api/v1/tea", 405, "method-not-allowed"},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		wantProblem(t, w, c.status, c.name)
		if c.status == 405 && w.Header().Get("Allow") != "POST" {
			t.Errorf("Allow is %q", w.Header().Get("Allow"))
		}
	}
	r := httptest.NewRequest("POST", "/api/v1/tea", strings.NewReader("cups=1"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	wantProblem(t, w, 415, "unsupported-media-type")
}

func TestProblemsAreInTheLanguageThatIsAskedFor(t *testing.T) {
	t.Parallel()
	_, api, _ := setup(t, errTeapot)
	_, fine, _ := setup(t, nil)
	log := slog.New(slog.DiscardHandler)
	panics := handling(log, Route{Pattern: "POST /"}, func(http.ResponseWriter, *http.Request) { panic(secret) })
	capped := handling(log, Route{Pattern: "POST /", MaxBody: 1}, func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		handler    http.Handler
		path, body string
		status     int
		en, ar     string
	}{
		"a room's":     {api, "/api/v1/tea", `{"cups":1}`, 418, "Ask for tea instead.", "اطلب شايًا."},
		"of the guard": {api, "/api/v1/my-tea", `{"cups":1}`, 401, "Sign in first", "سجّل الدخول أوّلًا"},
		"of the body":  {fine, "/api/v1/tea", `{"cups":0}`, 422, "The request is not", "ليس الطلب"},
		"too large":    {fine, "/api/v1/tea", `{"note":"` + strings.Repeat("x", MaxBody) + `"}`, 413, "larger", "أكبر"},
		"no address":   {api, "/nowhere", "", 404, "nothing at this address", "لا يوجد شيء"},
		"a panic":      {panics, "/", "", 500, "Something broke", "حدث خلل"},
		"of the cap":   {capped, "/", "ab", 413, "larger", "أكبر"},
	} {
		for _, asked := range []struct{ query, accept, language, want string }{
			{"", "", "en", c.en}, {"", "ar-EG,en;q=0.5", "ar", c.ar}, {"?lang=ar", "en", "ar", c.ar}, {"?lang=en", "ar", "en", c.en}, {"", "fr", "en", c.en},
		} {
			r := httptest.NewRequest(http.MethodPost, c.path+asked.query, strings.NewReader(c.body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept-Language", asked.accept)
			w := httptest.NewRecorder()
			c.handler.ServeHTTP(w, r)
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || !strings.Contains(p.Detail, asked.want) {
				t.Errorf("%s, %+v: %d %s", name, asked, w.Code, w.Body)
			}
			if h := w.Header(); strings.Join(h["Content-Language"], ",") != asked.language || strings.Join(h["Vary"], ",") != "Accept-Language" {
				t.Errorf("%s, %+v: %v", name, asked, h)
			}
		}
	}
}

func TestAPanicIsA500WithoutItsWords(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	handler := handling(slog.New(slog.NewTextHandler(&logged, nil)), Route{Pattern: "GET /"}, func(http.ResponseWriter, *http.Request) { panic(secret) })
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	wantProblem(t, w, 500, "internal")
	if !strings.Contains(logged.String(), "httpapi_test.go") {
		t.Error("the log doesn't say where")
	}
}

func TestAnAbortedAnswerIsAbortedForTheServerToo(t *testing.T) {
	t.Parallel()
	handler := handling(slog.New(slog.DiscardHandler), Route{Pattern: "GET /"}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	defer func() {
		if recover() != http.ErrAbortHandler { //nolint:errorlint // the value itself
			t.Error("the server would send an empty 200")
		}
	}()
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}

func TestRequestIDsAreTakenOverWhenPlain(t *testing.T) {
	t.Parallel()
	handler := newAPI(slog.New(slog.DiscardHandler))
	for given, taken := range map[string]bool{
		"0af7651916cd43dd": true, "a-b_c-1234": true, "short": false, strings.Repeat("x", 65): false,
		"with space": false, "new\nline-1": false, "<script>alert": false, "": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["X-Request-Id"] = []string{given}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if got := w.Header().Get("X-Request-Id"); (got == given) != taken || got == "" {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func TestClientAddressIsReadFromTheRightThroughTrustedProxies(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		remote string
		header []string
		want   string
	}{
		{"203.0.113.9:1", nil, "203.0.113.9"},
		{"10.0.0.1:1", nil, "10.0.0.1"}, // whatever Forwarded says
		{"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		{"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"1.2.3.4, 198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"1.2.3.4, 198.51.100.1, 10.2.3.4"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"1.2.3.4", "198.51.100.1", "10.2.3.4"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"10.1.1.1"}, "10.1.1.1"},
		{"10.0.0.1:1", []string{"198.51.100.1, nonsense"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"[::ffff:10.0.0.1]:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"[fd00::1]:1", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		r.Header["X-Forwarded-For"] = c.header
		r.Header.Set("Forwarded", "for=1.2.3.4")
		if got := clientAddress(r, trusted, "X-Forwarded-For").String(); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.remote, c.header, got, c.want)
		}
	}
}

func TestForwardedIsReadLikeXForwardedFor(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct{ remote, forwarded, also, want string }{
		{"10.0.0.1:1", "for=198.51.100.1", "", "198.51.100.1"},
		{"10.0.0.1:1", "for=1.2.3.4, for=198.51.100.1;proto=https;by=10.0.0.1", "", "198.51.100.1"},
		{"10.0.0.1:1", `For="[2001:db8::1]:4711"`, "", "2001:db8::1"},
		{"10.0.0.1:1", `proto=http;for="[2001:db8::1]"`, "", "2001:db8::1"},
		{"10.0.0.1:1", `for="198.51.100.1:80", for=10.2.3.4`, "", "198.51.100.1"},
		{"10.0.0.1:1", "for=unknown", "", "10.0.0.1"},
		{"10.0.0.1:1", "for=_hidden, for=10.2.3.4", "", "10.2.3.4"},
		{"10.0.0.1:1", "proto=https", "", "10.0.0.1"},
		{"10.0.0.1:1", "for=198.51.100.1", "1.2.3.4", "198.51.100.1"}, // the client's own
		{"10.0.0.1:1", "", "1.2.3.4", "10.0.0.1"},
		{"203.0.113.9:1", "for=198.51.100.1", "", "203.0.113.9"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		r.Header.Set("Forwarded", c.forwarded)
		if c.also != "" {
			r.Header.Set("X-Forwarded-For", c.also)
		}
		if got := clientAddress(r, trusted, "Forwarded").String(); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}

func TestBodiesAreCapped(t *testing.T) {
	t.Parallel()
	read := make(chan error, 2)
	handler := handling(slog.New(slog.DiscardHandler), Route{Pattern: "POST /", MaxBody: 10}, func(_ http.ResponseWriter, r *http.Request) {
		_, err := r.Body.Read(make([]byte, 100))
		for err == nil {
			_, err = r.Body.Read(make([]byte, 100))
		}
		read <- err
	})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader("more than ten bytes")))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body known to be too large: %d", w.Code)
	}
	r := httptest.NewRequest("POST", "/", strings.NewReader("more than ten bytes"))
	r.ContentLength = -1
	handler.ServeHTTP(httptest.NewRecorder(), r)
	var tooLarge *http.MaxBytesError
	if err := <-read; !errors.As(err, &tooLarge) {
		t.Errorf("a body of unknown length: %v", err)
	}
}

func TestTheOpenAPIDocument(t *testing.T) {
	t.Parallel()
	api, _, _ := setup(t, nil)
	type inner struct {
		Milk bool   `json:"milk"`
		Note string `json:"note" doc:"The inner one."`
	}
	type outer struct {
		inner
		Note string `json:"note,omitempty" doc:"The outer one."`
	}
	Register(Group{API: api, Name: language.Text{En: "Tea", Ar: "شاي"}, About: language.Text{En: "Hot drinks.", Ar: "مشروبات ساخنة."}}, Route{Access: Public, Pattern: "GET /mixed/{id}", ID: "mixed"},
		func(context.Context, *struct {
			ID string `path:"id"`
		}) (*Output[outer], error) {
			return nil, ErrNotFound
		})
	text, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	type body struct {
		Schema struct {
			Ref string `json:"$ref"`
		}
		Example map[string]any
	}
	var doc struct {
		OpenAPI string
		Tags    []struct{ Name, Description string }
		Paths   map[string]map[string]struct {
			Security    *[]map[string][]string
			RequestBody struct {
				Required bool
				Content  map[string]body
			}
			Responses map[string]struct {
				Ref     string `json:"$ref"`
				Content map[string]body
			}
		}
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]struct{ Description string }
			}
			Responses map[string]struct{ Content map[string]body }
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Paths) != 4 {
		t.Errorf("version %q, %d paths", doc.OpenAPI, len(doc.Paths))
	}
	if len(doc.Tags) != 1 || doc.Tags[0].Name != "Tea" || doc.Tags[0].Description != "Hot drinks." {
		t.Errorf("tags: %+v", doc.Tags)
	}
	if public := doc.Paths["/tea"]["post"].Security; public == nil || len(*public) != 0 || len(*doc.Paths["/my-tea"]["post"].Security) != 1 {
		t.Error("security isn't what the guards do")
	}
	statuses := map[string]string{"/tea": "200 400 408 413 415 422 429 default", "/my-tea": "200 400 401 403 408 413 415 422 429 default", "/all-tea": "200 400 401 403 408 413 415 422 429 default", "/mixed/{id}": "200 422 429 default"}
	for path, operations := range doc.Paths {
		for method, operation := range operations {
			if got := strings.Join(slices.Sorted(maps.Keys(operation.Responses)), " "); got != statuses[path] {
				t.Errorf("%s answers %s", path, got)
			}
			for status, response := range operation.Responses {
				if status != "200" && response.Ref != problemRef {
					t.Errorf("%s %s is no problem", path, status)
				}
				if status == "200" && response.Content["application/json"].Example == nil {
					t.Errorf("%s has no example", path)
				}
			}
			if sent := operation.RequestBody; method == "post" && (!sent.Required || sent.Content["application/json"].Example["cups"] == nil) {
				t.Errorf("%s takes %+v", path, sent)
			}
		}
	}
	mixed := doc.Components.Schemas["Outer"]
	if mixed.Properties["milk"].Description != "" || len(mixed.Properties) != 2 || mixed.Properties["note"].Description != "The outer one." || !slices.Equal(mixed.Required, []string{"milk"}) {
		t.Errorf("what is embedded is %+v", mixed)
	}
	if doc.Components.Responses["Problem"].Content["application/problem+json"].Schema.Ref != "#/components/schemas/Problem" || bytes.Count(text, []byte(`"violated-policies"`)) != 1 {
		t.Error("problems don't share one schema")
	}
	if bytes.Contains(text, []byte("ErrorModel")) {
		t.Error("huma's error schema is in it")
	}
}

// What encoding/json makes of a text tells whether half a pair was in it.
func FuzzLoneSurrogates(f *testing.F) {
	for _, text := range []string{`\ud83d\ude00`, `\ud83d`, `\ude00`, `\\ud83d`, `\\\ud83d`, `\ufffd`, `\ud83d\u0041`, `\ud83d\ud83d\ude00`, `\"\n\u0041`, `\uD83D\uDE00\udbff`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data := []byte(`"` + text + `"`)
		var value string
		if !utf8.ValidString(text) || json.Unmarshal(data, &value) != nil {
			return
		}
		written := strings.Count(text, "\uFFFD") + strings.Count(strings.ToLower(text), `\ufffd`) - strings.Count(strings.ToLower(text), `\\ufffd`)
		if lone := strings.Count(value, "\uFFFD") > written; lone && !hasLoneSurrogate(data) || !lone && hasLoneSurrogate(data) && !strings.Contains(text, `\\`) {
			t.Errorf("%s is %q: %v", text, value, hasLoneSurrogate(data))
		}
	})
}

func FuzzCheckKeys(f *testing.F) {
	for _, text := range []string{`{"a":1,"a":2}`, `[{"a":{"b":[1,{"c":null}]}}]`, `{`, `]`, `"x"`, `{"a":"a","b":"a"}`, `{}{}`, `[[`, `{"a":[],"b":{}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checkKeys(json.NewDecoder(bytes.NewReader(data)))
		var value any
		if errors.Is(err, errDuplicateKey) || json.Unmarshal(data, &value) != nil {
			return
		}
		if err != nil {
			t.Errorf("valid JSON without doubles is refused: %v", err)
		}
	})
}

func FuzzClientAddress(f *testing.F) {
	f.Add("10.0.0.1:1", "1.2.3.4, 10.1.1.1")
	f.Add("", ",,,")
	f.Fuzz(func(t *testing.T, remote, header string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = remote, []string{header}
		if address := clientAddress(r, nil, ""); address.IsValid() != (netip.AddrPort{} != mustOrZero(remote)) {
			t.Errorf("%q: %v", remote, address)
		}
	})
}

func mustOrZero(remote string) netip.AddrPort {
	parsed, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.AddrPort{}
	}
	return parsed
}
