package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"manus/identity"
	"manus/internal/redisclient"
	"manus/internal/redistest"
	"manus/ratelimit"
	"manus/ratelimit/memorylimit"
	"manus/ratelimit/redislimit"
)

type guessInput struct {
	Body struct {
		Email    string `json:"email" maxLength:"254"`
		Password string `json:"password,omitempty" maxLength:"20"`
	}
}

func (in *guessInput) LimitAccount() string { return in.Body.Email }

// limited is a door with a route that counts five guesses by address and account, and
// others by address alone. guessed counts the guesses that reached the handler.
func limited(t *testing.T) (api *API, guessed map[string]int) {
	t.Helper()
	api, guessed = newAPI(slog.New(slog.DiscardHandler)), map[string]int{}
	Register(Group{API: api}, Route{
		Access: Public, Pattern: "POST /guess", ID: "guess", BodyTimeout: 20 * time.Millisecond,
		Limits: []ratelimit.Rule{ratelimit.NewRule("5/minute, 20/hour", ratelimit.ByAddress, ratelimit.ByAccount)},
	}, func(_ context.Context, in *guessInput) (*struct{}, error) {
		guessed[in.Body.Email]++
		return nil, ErrUnauthorized
	})
	byAddress := []ratelimit.Rule{ratelimit.NewRule("2/minute", ratelimit.ByAddress)}
	Register(Group{API: api}, Route{Access: Public, Pattern: "POST /tea", ID: "tea", Limits: byAddress},
		func(context.Context, *teaInput) (*teaOutput, error) { return &teaOutput{}, nil })
	Register(Group{API: api}, Route{Pattern: "GET /mine", ID: "mine", Limits: byAddress},
		func(context.Context, *struct{}) (*teaOutput, error) { return &teaOutput{}, nil })
	page := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	api.Handle(Route{Access: Public, Pattern: "GET /page", Limits: byAddress}, page)
	api.Handle(Route{Access: Public, Pattern: "POST /form", MaxBody: 10, BodyTimeout: time.Hour, Limits: byAddress}, page)
	countBy(api, memorylimit.New(memorylimit.Config{}))
	return api, guessed
}

// countBy has an engine count the limits of a door's routes.
func countBy(api *API, engine ratelimit.Engine) {
	routes := api.Limits()
	config := ratelimit.DefaultConfig(routes)
	config.Default = ratelimit.NewRule("2/minute", ratelimit.ByAddress)
	api.Limit(ratelimit.New(ratelimit.ServiceConfig{Config: config, Routes: routes, Engine: engine, Log: api.Log, Account: strings.ToLower}))
}

// TestABodyThatBreaksOffIsCountedInRedisToo: it ends the request's context, and Redis isn't
// asked with one that is over.
func TestABodyThatBreaksOffIsCountedInRedisToo(t *testing.T) {
	t.Parallel()
	client, err := redisclient.New(redistest.Start(t).URL())
	if err == nil {
		err = client.Connect()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for name, c := range map[string]struct {
		status  int
		problem string
		send    func(conn *net.TCPConn)
	}{
		"cut short": {400, "/problems/broken-body", func(conn *net.TCPConn) { fmt.Fprint(conn, "Content-Length: 500\r\n\r\n{"); _ = conn.CloseWrite() }},
		"a chunk cut short": {400, "/problems/broken-body", func(conn *net.TCPConn) {
			fmt.Fprint(conn, "Transfer-Encoding: chunked\r\n\r\n5\r\n{")
			_ = conn.CloseWrite()
		}},
		"too slow": {408, "/problems/slow-body", func(conn *net.TCPConn) { fmt.Fprint(conn, "Content-Length: 500\r\n\r\n{") }},
	} {
		api, _ := limited(t)
		engine := redislimit.New(redislimit.Config{Client: client})
		countBy(api, engine)
		address := listen(t, api).Listener.Addr().String()
		for n := range 7 {
			status, problem := c.status, c.problem
			if n >= 5 {
				status, problem = 429, "rate-limited"
			}
			answer := postRaw(t, address, "/api/v1/guess", c.send)
			if text := readAll(t, answer.Body); answer.StatusCode != status || !strings.Contains(text, problem) || answer.Header.Get("Ratelimit") == "" {
				t.Errorf("%s, attempt %d: %s %v %s", name, n+1, answer.Status, answer.Header, text)
			}
		}
		if err := engine.Reset(t.Context(), []string{"{address:127.0.0.1}POST /api/v1/guess"}); err != nil {
			t.Fatal(err)
		}
	}
}

// from sends a request from an address: the n-th of them.
func from(api http.Handler, n int, method, path, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = fmt.Sprintf("203.0.%d.%d:1", n/250, n%250)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

// TestWhatIsParsedIsCounted guesses at one account from sixty addresses: whatever the
// handler takes for its e-mail address is what the limit counts by.
func TestWhatIsParsedIsCounted(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{
		"", "application/json", "application/json;charset=utf-8", "application/json; charset=utf-16", "application/problem+json", "text/x+json",
		"text/json", "application/JSON", "application/cbor", "application/x+cbor", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", "+", ";", "a+;b",
	} {
		api, guessed := limited(t)
		for n := range 60 {
			w := from(api, n, http.MethodPost, "/api/v1/guess", contentType, `{"email":"Amal@example.com","password":"`+fmt.Sprint(n)+`"}`)
			if w.Code != 401 && w.Code != 415 && w.Code != 429 {
				t.Fatalf("%q: %d %s", contentType, w.Code, w.Body)
			}
			if w.Code == 415 == (guessed["Amal@example.com"] > 0) {
				t.Errorf("%q, guess %d: %d, and %d have arrived", contentType, n+1, w.Code, guessed["Amal@example.com"])
			}
		}
		if n := guessed["Amal@example.com"]; n != 0 && n != 5 {
			t.Errorf("%q: %d guesses were let through", contentType, n)
		}
	}
}

func TestWhatIsNotParsedIsCountedByAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		contentType, body string
		status            int
	}{
		"a key twice":          {"application/json", `{"email":"a@example.com","email":"b@example.com"}`, 400},
		"a key twice, escaped": {"application/json", `{"email":"a@example.com","em\u0061il":"b@example.com"}`, 400},
		"no JSON":              {"", `email=a@example.com`, 400},
		"an unknown key":       {"", `{"email":"a@example.com","e-mail":"b@example.com"}`, 422},
		"of another kind":      {"", `{"email":["a@example.com"]}`, 422},
		"too long":             {"", `{"email":"a@example.com","password":"` + strings.Repeat("x", 21) + `"}`, 422},
		"nothing":              {"", ``, 400},
		"too large":            {"", `{"email":"` + strings.Repeat("x", MaxBody), 413},
		"another media type":   {"application/cbor", `{"email":"a@example.com"}`, 415},
	} {
		api, guessed := limited(t)
		for n := range 7 {
			w := from(api, 1, http.MethodPost, "/api/v1/guess", c.contentType, c.body)
			if want := map[bool]int{false: c.status, true: 429}[n >= 5]; w.Code != want {
				t.Fatalf("%s, attempt %d: %d, want %d: %s", name, n+1, w.Code, want, w.Body)
			}
			if w.Code != 429 {
				continue
			}
			if strings.Count(w.Body.String(), "{") != 1 || !strings.Contains(w.Body.String(), "rate-limited") || w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: the refusal is %v %s", name, w.Header(), w.Body)
			}
		}
		if len(guessed) > 0 {
			t.Errorf("%s: it is taken for %v", name, guessed)
		}
	}
}

// TestARefusalByAddressUsesUpNothingOfTheAccount: one decision is about both.
func TestARefusalByAddressUsesUpNothingOfTheAccount(t *testing.T) {
	t.Parallel()
	api, guessed := limited(t)
	guess := func(n int, email string) int {
		return from(api, n, http.MethodPost, "/api/v1/guess", "", `{"email":"`+email+`"}`).Code
	}
	for range 5 {
		guess(1, "other@example.com")
	}
	for range 20 {
		if code := guess(1, "amal@example.com"); code != 429 {
			t.Fatalf("%d", code)
		}
	}
	for n := range 6 {
		if code := guess(2+n, "amal@example.com"); (code == 429) != (n == 5) {
			t.Errorf("guess %d: %d", n+1, code)
		}
	}
	if guessed["amal@example.com"] != 5 {
		t.Errorf("%v", guessed)
	}
}

// TestNothingIsAnsweredUncounted asks for what each layer of the door answers by itself.
func TestNothingIsAnsweredUncounted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/page", "", 200}, {"HEAD", "/page", "", 200}, {"GET", "/nowhere", "", 404}, {"DELETE", "/page", "", 405}, {"BREW", "/page", "", 405},
		{"GET", "//page", "", 307}, {"GET", "/x/../page", "", 307}, {"POST", "/form", strings.Repeat("x", 11), 413}, {"GET", "/api/v1/mine", "", 401},
		{"POST", "/api/v1/tea", "{", 400}, {"POST", "/api/v1/tea", `{"cups":0}`, 422}, {"PUT", "/api/v1/tea", "", 405},
	} {
		api, _ := limited(t)
		for n := range 4 {
			w := from(api, 1, c.method, c.path, "", c.body)
			if want := map[bool]int{false: c.status, true: 429}[n >= 2]; w.Code != want || w.Header().Get("Ratelimit-Policy") == "" {
				t.Errorf("%s %s, attempt %d: %d, want %d", c.method, c.path, n+1, w.Code, want)
			}
			if w.Code == 429 && w.Header().Get("Location") != "" {
				t.Errorf("%s %s: the refusal is a redirect", c.method, c.path)
			}
		}
	}
}

// TestWhoIsRefusedHearsItWithoutSendingTheBody has two that send it, where the body has an
// hour, and then one that doesn't.
func TestWhoIsRefusedHearsItWithoutSendingTheBody(t *testing.T) {
	t.Parallel()
	api, _ := limited(t)
	address := listen(t, api).Listener.Addr().String()
	for n, body := range []string{"0123456789", "0123456789", ""} {
		if got, want := sendPart(t, address, "/form", body), []string{"200", "200", "429"}[n]; got != want {
			t.Errorf("attempt %d: %s, want %s", n+1, got, want)
		}
	}
}

// TestAWithheldBodyIsCountedByAddress: where an account is tried, the body is waited for.
func TestAWithheldBodyIsCountedByAddress(t *testing.T) {
	t.Parallel()
	api, _ := limited(t)
	address := listen(t, api).Listener.Addr().String()
	for n := range 6 {
		if got, want := sendPart(t, address, "/api/v1/guess", "{"), map[bool]string{false: "408", true: "429"}[n == 5]; got != want {
			t.Errorf("attempt %d: %s, want %s", n+1, got, want)
		}
	}
}

// TestWhoIsRefusedByAddressHearsItWithoutTheBody has five who send it, where the limits by
// account wait for it and it has an hour, one more, and then some who don't.
func TestWhoIsRefusedByAddressHearsItWithoutTheBody(t *testing.T) {
	t.Parallel()
	api, guessed := limited(t)
	api.find(httptest.NewRequest("POST", "/api/v1/guess", nil), "POST").BodyTimeout = time.Hour
	address := listen(t, api).Listener.Addr().String()
	guess := func(n int, sent string) *http.Response {
		t.Helper()
		body := fmt.Sprintf(`{"email":"%d@example.com"}`, n)
		return sendSome(t, address, "/api/v1/guess", len(body), body[:len(body)-len(sent)])
	}
	for n := range 5 {
		if got := guess(n, ""); got.StatusCode != 401 {
			t.Errorf("guess %d: %s", n+1, got.Status)
		}
	}
	whole := guess(6, "")
	for withheld := range 3 {
		got := guess(6, strings.Repeat("x", withheld*10+1))
		if got.StatusCode != 429 || got.Header.Get("Retry-After") == "" || got.Header.Get("Ratelimit-Policy") != `"address-60";q=5;w=60, "address-3600";q=20;w=3600` {
			t.Errorf("refused: %s %v", got.Status, got.Header)
		}
		if problem := readAll(t, got.Body); !strings.Contains(problem, `"violated-policies":["address-60"]`) {
			t.Errorf("refused: %s", problem)
		}
	}
	if policy := whole.Header.Get("Ratelimit-Policy"); whole.StatusCode != 429 || !strings.Contains(policy, "account-60") || len(guessed) != 5 {
		t.Errorf("with the body: %s, %s; %d have arrived", whole.Status, policy, len(guessed))
	}
}

// TestASlowBodyIsAwaitedWhileItMayBeAdmitted sends the rest of it after the limits have been
// looked at.
func TestASlowBodyIsAwaitedWhileItMayBeAdmitted(t *testing.T) {
	t.Parallel()
	api, guessed := limited(t)
	looked := make(chan struct{})
	api.limiter = looker{api.limiter.(*ratelimit.Service), looked}
	api.find(httptest.NewRequest("POST", "/api/v1/guess", nil), "POST").BodyTimeout = time.Hour
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listen(t, api).Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /api/v1/guess HTTP/1.1\r\nHost: x\r\nContent-Length: 25\r\n\r\n{")
	<-looked
	fmt.Fprint(conn, `"email":"a@example.com"}`+"\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 401 || guessed["a@example.com"] != 1 || !strings.HasPrefix(answer.Header.Get("Ratelimit"), `"address-60";r=4;`) {
		t.Errorf("%s %v %v", answer.Status, answer.Header, guessed)
	}
}

// looker tells when it has been looked at.
type looker struct {
	*ratelimit.Service
	looked chan struct{}
}

func (l looker) Peek(ctx context.Context, asked ratelimit.Request) ratelimit.Answer {
	defer close(l.looked)
	return l.Service.Peek(ctx, asked)
}

// sendSome sends the beginning of a body, and returns the answer.
func sendSome(t *testing.T, address, path string, length int, begin string) *http.Response {
	t.Helper()
	return postRaw(t, address, path, func(conn *net.TCPConn) { fmt.Fprintf(conn, "Content-Length: %d\r\n\r\n%s", length, begin) })
}

// postRaw posts what send writes, from the last header fields on, and returns the answer.
func postRaw(t *testing.T, address, path string, send func(*net.TCPConn)) *http.Response {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n", path)
	send(conn.(*net.TCPConn))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sendPart sends some of a body of ten bytes, and returns the status of the answer.
func sendPart(t *testing.T, address, path, part string) string {
	t.Helper()
	return strings.Fields(sendSome(t, address, path, 10, part).Status)[0]
}

// TestACallerWhoCantBeToldIsNobodysRequest: the store is gone, and whoever comes is not
// refused for having come.
func TestACallerWhoCantBeToldIsNobodysRequest(t *testing.T) {
	t.Parallel()
	api, _ := limited(t)
	api.Caller = func(*http.Request) (identity.Caller, error) {
		return identity.Caller{}, errors.New("the store is gone")
	}
	for range 5 {
		if w := from(api, 1, http.MethodGet, "/api/v1/mine", "", ""); w.Code != 500 {
			t.Errorf("%d", w.Code)
		}
	}
}

// Large limits are counted in steps of their window, and may take one more: no client is
// told of a wait that is longer than the window.
func TestNoWaitIsSaidToBeLongerThanItsWindow(t *testing.T) {
	t.Parallel()
	api := newAPI(slog.New(slog.DiscardHandler))
	page := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	api.Handle(Route{Access: Public, Pattern: "GET /page", Limits: []ratelimit.Rule{ratelimit.NewRule("6000/minute", ratelimit.ByAddress)}}, page)
	countBy(api, memorylimit.New(memorylimit.Config{}))
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/page", nil))
	if got := w.Header().Get("RateLimit"); got != `"address-60";r=5999;t=60` {
		t.Errorf("RateLimit: %s", got)
	}
}
