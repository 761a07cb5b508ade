package app

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"manus/config"
	"manus/errtrack"
	"manus/internal/waittest"
	"manus/notify"
)

// inbox is a started product with an operator.
type inbox struct {
	*App
	token string // the operator's
}

func newInbox(t *testing.T, change ...func(*config.Settings)) *inbox {
	t.Helper()
	a, _ := setup(t, change...)
	password, err := a.EnsureOperator(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, answer := call(t, a, "POST", "/api/v1/auth/login", "", `{"email":"`+DevOperator+`","password":"`+password+`"}`)
	var s signedIn
	if err := json.Unmarshal([]byte(answer), &s); err != nil || s.Access == "" {
		t.Fatal(answer, err)
	}
	return &inbox{a, s.Access}
}

// ops calls the operators' API.
func (a *inbox) ops(t *testing.T, method, path, body string, want int) (got map[string]any) {
	t.Helper()
	status, text := call(t, a.App, method, "/api/v1/ops"+path, a.token, body)
	if status != want {
		t.Errorf("%s %s %s: %d %s, want %d", method, path, body, status, text, want)
	}
	_ = json.Unmarshal([]byte(text), &got)
	if why, ok := got["errors"].([]any); want == 422 && (!ok || len(why) == 0) {
		t.Errorf("%s %s %s: it isn't said what is wrong: %s", method, path, body, text)
	}
	return got
}

// sdk sends to an inbox, over the network.
type sdk struct {
	*inbox
	client  http.Client
	project errtrack.Project
}

// newSDK is one of a new project; its address is 127.0.0.n.
func newSDK(t *testing.T, a *inbox, name string, n byte) *sdk {
	t.Helper()
	p, err := a.Errors.NewProject(t.Context(), name, "go")
	if err != nil {
		t.Fatal(err)
	}
	return &sdk{a, clientFrom(t, n), p}
}

func clientFrom(t *testing.T, n byte) http.Client {
	from := net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, n}), 0))
	transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: from}).DialContext, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return http.Client{Transport: transport}
}

// answer is what an SDK is told.
type answer struct {
	status int
	header http.Header
	text   string
}

func (a answer) id() string {
	var body struct{ ID string }
	_ = json.Unmarshal([]byte(a.text), &body)
	return body.ID
}

// header is a name and a value, after one another.
func (s *sdk) send(t *testing.T, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.Addr()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if h := resp.Header; h.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "retry-after") {
		t.Errorf("a page can't read %d %s: %v", resp.StatusCode, text, h)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (s *sdk) auth() []string { return authOf(s.project.Keys[0].Public) }

func authOf(key string) []string {
	return []string{"X-Sentry-Auth", "Sentry sentry_version=7, sentry_client=test/1.0, sentry_key=" + key}
}

func (s *sdk) path(end string) string { return "/api/" + s.project.ID + end }

const eventID = "0123456789abcdef0123456789abcdef"

func envelopeOf(header string, events ...string) string {
	for _, e := range events {
		header += fmt.Sprintf("\n{\"type\":\"event\",\"length\":%d}\n%s", len(e), e)
	}
	return header + "\n"
}

// an event with an id of a number.
func eventOf(n int) string {
	return fmt.Sprintf(`{"event_id":"%032x","exception":{"values":[{"type":"Error","value":"it broke"}]}}`, n)
}

func pack(t *testing.T, encoding, text string) *bytes.Buffer {
	t.Helper()
	var to bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&to)
	case "deflate":
		w = zlib.NewWriter(&to)
	case "br":
		w = brotli.NewWriter(&to)
	case "zstd":
		w, _ = zstd.NewWriter(&to)
	default:
		return bytes.NewBufferString(text)
	}
	_, err := io.WriteString(w, text)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return &to
}

// TestEventsAreTakenHoweverTheyAreSent: each of the ways that SDKs have of saying who they
// are and of packing what they send, over the network.
func TestEventsAreTakenHoweverTheyAreSent(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	s := newSDK(t, a, "Shop", 1)
	key := s.project.Keys[0].Public
	n := 0
	taken := func(name, path, header string, body func(event string) io.Reader, headers ...string) {
		t.Helper()
		n++
		id := fmt.Sprintf("%032x", n)
		got := s.send(t, path, body(eventOf(n)), headers...)
		if got.status != 200 || got.id() != id || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, got.status, got.text)
			return
		}
		e, err := a.Errors.Event(t.Context(), "", id)
		if err != nil || e.ProjectID != s.project.ID || len(e.Exceptions) != 1 || e.Exceptions[0].Value != "it broke" {
			t.Errorf("%s: %+v %v", name, e, err)
		}
	}
	plain := func(header string) func(string) io.Reader {
		return func(e string) io.Reader { return strings.NewReader(envelopeOf(header, e)) }
	}
	store := func(e string) io.Reader { return strings.NewReader(e) }
	query := "?sentry_version=7&sentry_client=browser%2F1&sentry_key=" + key
	for _, slash := range []string{"/", ""} {
		taken("header", s.path("/envelope")+slash, "", plain("{}"), s.auth()...)
		taken("authorization", s.path("/envelope")+slash, "", plain("{}"), "Authorization", "Sentry sentry_key="+key)
		taken("query", s.path("/envelope")+slash+query, "", plain("{}"))
		taken("dsn", s.path("/envelope")+slash, "", plain(`{"dsn":"https://`+key+`@example.com/`+s.project.ID+`"}`))
		taken("header and dsn", s.path("/envelope")+slash, "", plain(`{"dsn":"https://`+key+`@example.com/`+s.project.ID+`"}`), s.auth()...)
		taken("store", s.path("/store")+slash, "", store, s.auth()...)
		taken("store by query", s.path("/store")+slash+query, "", store)
	}
	for _, encoding := range []string{"", "identity", "gzip", "deflate", "br", "zstd"} {
		packed := func(e string) io.Reader { return pack(t, encoding, envelopeOf("{}", e)) }
		taken("envelope, "+encoding, s.path("/envelope/"), "", packed, append(s.auth(), "Content-Encoding", encoding)...)
		packedStore := func(e string) io.Reader { return pack(t, encoding, e) }
		taken("store, "+encoding, s.path("/store/"), "", packedStore, append(s.auth(), "Content-Encoding", encoding)...)
	}
	taken("chunks", s.path("/envelope/"), "", func(e string) io.Reader { return io.MultiReader(strings.NewReader(envelopeOf("{}", e))) }, s.auth()...)
	taken("base64", s.path("/store/"), "", func(e string) io.Reader {
		return strings.NewReader(base64.StdEncoding.EncodeToString(pack(t, "deflate", e).Bytes()))
	}, s.auth()...)
	taken("text/plain", s.path("/envelope/"), "", plain("{}"), append(s.auth(), "Content-Type", "text/plain;charset=UTF-8")...)
	taken("sentry's own type", s.path("/envelope/"), "", plain("{}"), append(s.auth(), "Content-Type", "application/x-sentry-envelope")...)
	taken("broken second item", s.path("/envelope/"), "", func(e string) io.Reader {
		return strings.NewReader(envelopeOf("{}", e) + `{"type":"attachment","length":1}` + "\nx")
	}, s.auth()...)
}

// TestAnEventIsKnownByItsID: where it stands, how it is written, and where there is none.
func TestAnEventIsKnownByItsID(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	s := newSDK(t, a, "Shop", 1)
	const other = "ffffffffffffffffffffffffffffffff"
	for _, c := range []struct{ path, body, want string }{
		{"/envelope/", envelopeOf(`{"event_id":"`+eventID+`"}`, `{"message":"a"}`), eventID},
		{"/envelope/", envelopeOf(`{"event_id":"01234567-89AB-cdef-0123-456789abcdef"}`, `{"event_id":"`+other+`"}`), eventID},
		{"/envelope/", envelopeOf(`{}`, `{"event_id":"01234567-89AB-cdef-0123-456789abcdef"}`), eventID},
		{"/store/", `{"event_id":"01234567-89AB-cdef-0123-456789abcdef"}`, eventID},
		{"/envelope/", `{"event_id":"` + other + `"}` + "\n" + `{"type":"transaction"}` + "\n{}", other},
	} {
		if got := s.send(t, s.path(c.path), strings.NewReader(c.body), s.auth()...); got.status != 200 || got.id() != c.want {
			t.Errorf("%s: %d %s", c.body, got.status, got.text)
		}
	}
	for _, c := range []struct{ path, body string }{{"/envelope/", envelopeOf(`{}`, `{"message":"no id"}`)}, {"/store/", `{"event_id":null}`}, {"/store/", `{"event_id":"nonsense"}`}} {
		got := s.send(t, s.path(c.path), strings.NewReader(c.body), s.auth()...)
		if _, err := a.Errors.Event(t.Context(), "", got.id()); got.status != 200 || err != nil || len(got.id()) != 32 {
			t.Errorf("%s: %d %s %v", c.body, got.status, got.text, err)
		}
	}
	if got := s.send(t, s.path("/envelope/"), strings.NewReader("{}"), s.auth()...); got.status != 200 || strings.TrimSpace(got.text) != "{}" {
		t.Errorf("nothing at all: %d %s", got.status, got.text)
	}
}

// TestNobodyLearnsWhichProjectsThereAre: whatever is wrong with a key, the answer is the
// same.
func TestNobodyLearnsWhichProjectsThereAre(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	s, other, gone := newSDK(t, a, "Shop", 1), newSDK(t, a, "Other", 1), newSDK(t, a, "Gone", 1)
	if err := a.Errors.DeleteProject(t.Context(), gone.project.ID); err != nil {
		t.Fatal(err)
	}
	two, err := a.Errors.ChangeProject(t.Context(), s.project.ID, errtrack.ProjectChange{NewKey: true, Disable: []string{s.project.Keys[0].Public}})
	if err != nil {
		t.Fatal(err)
	}
	disabled, key := two.Keys[0].Public, two.Keys[1].Public
	fine := envelopeOf("{}", eventOf(1))
	dsn := func(key, project string) string {
		return envelopeOf(`{"dsn":"https://`+key+`@localhost/`+project+`"}`, eventOf(1))
	}
	first := ""
	for name, c := range map[string]struct{ path, key, body string }{
		"a wrong key":                       {s.path("/envelope/"), strings.Repeat("a", 32), fine},
		"a disabled key":                    {s.path("/envelope/"), disabled, fine},
		"another project's key":             {s.path("/envelope/"), other.project.Keys[0].Public, fine},
		"a deleted project":                 {gone.path("/envelope/"), gone.project.Keys[0].Public, fine},
		"no such project":                   {"/api/999/envelope/", key, fine},
		"a project 1abc":                    {"/api/1abc/envelope/", key, fine},
		"a project 01":                      {"/api/01/envelope/", key, fine},
		"a project of many letters":         {"/api/" + strings.Repeat("7", 3000) + "/envelope/", key, fine},
		"a strange project":                 {"/api/%00%2f..%2f/envelope/", key, fine},
		"store: a wrong key":                {s.path("/store/"), strings.Repeat("a", 32), eventOf(1)},
		"store: another's":                  {s.path("/store"), other.project.Keys[0].Public, eventOf(1)},
		"a dsn with a wrong key":            {s.path("/envelope/"), "", dsn(disabled, s.project.ID)},
		"a dsn of another project":          {s.path("/envelope/"), "", dsn(key, other.project.ID)},
		"a dsn of another beside a key":     {s.path("/envelope/"), key, dsn(other.project.Keys[0].Public, other.project.ID)},
		"another's dsn and a key of theirs": {s.path("/envelope/"), other.project.Keys[0].Public, dsn(key, s.project.ID)},
	} {
		var headers []string
		if c.key != "" {
			headers = authOf(c.key)
		}
		got := s.send(t, c.path, strings.NewReader(c.body), headers...)
		text := fmt.Sprint(got.status, got.text, got.header.Get("Content-Type"), got.header.Get("X-Sentry-Error"))
		if first == "" {
			first = text
		}
		if got.status != 403 || text != first {
			t.Errorf("%s: %s, and elsewhere %s", name, text, first)
		}
	}
	for name, headers := range map[string][]string{"none": nil, "nonsense": {"X-Sentry-Auth", "Sentry sentry_key=;"}, "bearer": {"Authorization", "Bearer x"}} {
		for _, path := range []string{s.path("/envelope/"), s.path("/store/")} {
			if got := s.send(t, path, strings.NewReader(fine), headers...); got.status != 401 || !strings.Contains(got.text, `"detail"`) {
				t.Errorf("credentials: %s, at %s: %d %s", name, path, got.status, got.text)
			}
		}
	}
	if got := s.send(t, s.path("/envelope/"), strings.NewReader(fine), authOf(key)...); got.status != 200 {
		t.Errorf("with the key: %d %s", got.status, got.text)
	}
	if _, err := a.Errors.Event(t.Context(), "", fmt.Sprintf("%032x", 2)); !errors.Is(err, errtrack.ErrNoEvent) {
		t.Errorf("something else was kept: %v", err)
	}
}

// TestRefusalsAreReadable: each has CORS (see send), a detail, and says of itself in a header
// what it is.
func TestRefusalsAreReadable(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	s := newSDK(t, a, "Shop", 1)
	big := `{"message":"` + strings.Repeat("x", 2<<20) + `"}`
	for name, c := range map[string]struct {
		want           int
		encoding, path string
		body           string
	}{
		"no envelope":                {400, "", "/envelope/", ""},
		"no header":                  {400, "", "/envelope/", "nonsense\n"},
		"no item":                    {400, "", "/envelope/", "{}\nnonsense\n"},
		"no event":                   {400, "", "/envelope/", envelopeOf("{}", "nonsense")},
		"no event in store":          {400, "", "/store/", "nonsense"},
		"an empty store":             {400, "", "/store/", ""},
		"a list":                     {400, "", "/store/", "[]"},
		"a short item":               {400, "", "/envelope/", "{}\n{\"type\":\"event\",\"length\":99}\n{}"},
		"not gzip":                   {400, "gzip", "/envelope/", "{}\n"},
		"a broken second item":       {400, "", "/envelope/", envelopeOf("{}", eventOf(7)) + "nonsense"},
		"an event too large":         {413, "", "/envelope/", envelopeOf("{}", big)},
		"an event too large, packed": {413, "gzip", "/envelope/", envelopeOf("{}", big)},
		"a store too large":          {413, "", "/store/", big},
		"a strange encoding":         {415, "compress", "/envelope/", "{}"},
		"two encodings":              {415, "gzip, br", "/envelope/", "{}"},
	} {
		body := bytes.NewBufferString(c.body)
		if c.want == 413 {
			body = pack(t, c.encoding, c.body)
		}
		got := s.send(t, s.path(c.path), body, append(s.auth(), "Content-Encoding", c.encoding)...)
		if got.status != c.want || !strings.Contains(got.text, `"detail":"`) || got.header.Get("X-Sentry-Error") == "" {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
	}
	if _, err := a.Errors.Event(t.Context(), "", fmt.Sprintf("%032x", 7)); err != nil {
		t.Errorf("the first of two items: %v", err)
	}
	var lost []string
	p := s.ops(t, "GET", "/projects/"+s.project.ID, "", 200)
	for _, l := range p["losses"].([]any) {
		lost = append(lost, fmt.Sprint(l.(map[string]any)["reason"], l.(map[string]any)["count"]))
	}
	if got := strings.Join(lost, " "); !strings.Contains(got, "malformed") || !strings.Contains(got, "too_large3") {
		t.Errorf("lost: %s", got)
	}
}

// TestABodyThatIsCutShortKeepsWhatHasCome, and is answered nothing.
func TestABodyThatIsCutShortKeepsWhatHasCome(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	s := newSDK(t, a, "Shop", 1)
	conn, err := net.Dial("tcp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text := envelopeOf("{}", eventOf(1))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\n%s: %s\r\nContent-Length: 5000\r\n\r\n%s{\"type\":\"event\",\"length\":400}\n{", s.path("/envelope/"), s.auth()[0], s.auth()[1], text)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn)
	if _, err := a.Errors.Event(t.Context(), "", fmt.Sprintf("%032x", 1)); err != nil {
		t.Error(err)
	}
	waittest.Poll(t, func() bool {
		return strings.Contains(fmt.Sprint(s.ops(t, "GET", "/projects/"+s.project.ID, "", 200)["losses"]), "cut_short")
	})
}

// TestPagesSendFromWhereTheyMay: preflights are answered for anybody; a key's origins are
// looked at when it comes.
func TestPagesSendFromWhereTheyMay(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	s := newSDK(t, a, "Shop", 1)
	for _, end := range []string{"/envelope/", "/envelope", "/store/", "/store"} {
		r, _ := http.NewRequestWithContext(t.Context(), "OPTIONS", "http://"+a.Addr()+s.path(end), nil)
		r.Header.Set("Origin", "https://shop.example.com")
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "x-sentry-auth,content-encoding")
		resp, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		h := resp.Header
		if resp.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Methods") != "POST" || h.Get("Access-Control-Max-Age") != "3600" ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "x-sentry-auth") || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "content-encoding") {
			t.Errorf("%s: %d %v", end, resp.StatusCode, h)
		}
	}
	s.ops(t, "PATCH", "/projects/"+s.project.ID, `{"origins":["https://Shop.example.com:443/"]}`, 200)
	for origin, want := range map[string]int{"": 200, "https://shop.example.com": 200, "https://evil.example.com": 403, "null": 403, "http://shop.example.com": 403} {
		headers := s.auth()
		if origin != "" {
			headers = append(headers, "Origin", origin)
		}
		if got := s.send(t, s.path("/envelope/"), strings.NewReader(envelopeOf("{}", eventOf(1))), headers...); got.status != want {
			t.Errorf("from %q: %d %s", origin, got.status, got.text)
		}
	}
	for _, origins := range []string{`["shop.example.com"]`, `["https://shop.example.com/path"]`, `["javascript:alert(1)"]`, `[""]`, `["https://*.example.com"]`, `["https://u:p@shop.example.com"]`} {
		s.ops(t, "PATCH", "/projects/"+s.project.ID, `{"origins":`+origins+`}`, 422)
	}
}

// TestWhoSendsNoKeyIsCountedByAddress: a hundred a minute, whatever of it is wrong; who has a
// key isn't refused for that, nor for another project's quota.
func TestWhoSendsNoKeyIsCountedByAddress(t *testing.T) {
	t.Parallel()
	a := newInbox(t, limited)
	s, other := newSDK(t, a, "Shop", 7), newSDK(t, a, "Other", 7)
	statuses := map[int]int{}
	for n := range 150 {
		headers := [][]string{authOf(strings.Repeat("a", 32)), nil}[n%2]
		got := s.send(t, s.path("/envelope/"), strings.NewReader(envelopeOf("{}", eventOf(n))), headers...)
		if statuses[got.status]++; got.status == 429 && got.header.Get("Retry-After") == "" {
			t.Errorf("%v", got.header)
		}
	}
	if statuses[403] != 50 || statuses[401] != 50 || statuses[429] != 50 {
		t.Errorf("%v", statuses)
	}
	if _, err := a.Errors.ChangeProject(t.Context(), s.project.ID, errtrack.ProjectChange{PerMinute: new(3)}); err != nil {
		t.Fatal(err)
	}
	for n := range 200 {
		if got := other.send(t, other.path("/envelope/"), strings.NewReader(envelopeOf("{}", eventOf(n))), other.auth()...); got.status != 200 {
			t.Fatalf("another project, event %d: %d %s", n, got.status, got.text)
		}
		if n >= 8 {
			continue
		}
		got := s.send(t, s.path("/envelope/"), strings.NewReader(envelopeOf("{}", eventOf(n))), s.auth()...)
		if want := map[bool]int{true: 200, false: 429}[n < 3]; got.status != want {
			t.Errorf("event %d: %d %s", n, got.status, got.text)
		}
		if got.status != 429 {
			continue
		}
		wait := got.header.Get("Retry-After")
		if limits := got.header.Get("X-Sentry-Rate-Limits"); wait == "" || limits != wait+"::project:quota" || !strings.Contains(got.text, `"detail"`) {
			t.Errorf("event %d: %v %s", n, got.header, got.text)
		}
	}
	if got := fmt.Sprint(s.ops(t, "GET", "/projects/"+s.project.ID, "", 200)["losses"]); got != "[map[count:5 reason:rate_limited]]" {
		t.Errorf("lost: %s", got)
	}
	if got := fmt.Sprint(s.ops(t, "GET", "/projects/"+other.project.ID, "", 200)["losses"]); strings.Contains(got, "rate_limited") {
		t.Errorf("the other lost: %s", got)
	}
}

// TestAPreflightIsNotRefusedForAnOffice that opens a page.
func TestAPreflightIsNotRefusedForAnOffice(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, limited)
	for n := range 700 {
		if w := ask(t, a, "203.0.113.5:1", "OPTIONS", "/api/1/envelope/", "", ""); w.Code != 204 {
			t.Fatalf("preflight %d: %d", n+1, w.Code)
		}
	}
}

// TestAnIssueSaysWhyNobodyWasTold: the API says of an issue by which filter of which rule
// nobody is told of it, as rules go by releases and tags; and where it was told.
func TestAnIssueSaysWhyNobodyWasTold(t *testing.T) {
	t.Parallel()
	a := newInbox(t, func(s *config.Settings) {
		s.Alerts.Policy.Channels = []notify.ChannelConfig{{ID: "mail", Type: "mail", To: []string{"ops@example.com"}}}
		s.Alerts.Policy.Rules = []notify.Rule{{On: "issue.new", Release: "shop@2.*", Tags: map[string]string{"browser.name": "Chrome*"}, Channels: []string{"mail"}}}
	})
	s := newSDK(t, a, "Shop", 41)
	for n, c := range []struct{ release, browser, want string }{
		{"shop@1.4.2", "Chrome 130", "alerts.rules[0] is for release shop@2.*; this is of shop@1.4.2."},
		{"shop@2.0.0", "Firefox", "alerts.rules[0] is for tags.browser.name Chrome*; this is of Firefox."},
		{"shop@2.0.0", "Chrome 130", "mail: "},
	} {
		e := fmt.Sprintf(`{"event_id":"%032x","release":%q,"tags":{"browser.name":%q},"exception":{"values":[{"type":"Error%d","value":"it broke"}]}}`, n+1, c.release, c.browser, n)
		if got := s.send(t, s.path("/store/"), strings.NewReader(e), s.auth()...); got.status != http.StatusOK {
			t.Fatal(got)
		}
		var said string
		waittest.Poll(t, func() bool {
			found := a.ops(t, "GET", fmt.Sprintf("/issues?query=Error%d", n), "", http.StatusOK)["items"].([]any)
			if len(found) == 0 {
				return false
			}
			whole := a.ops(t, "GET", "/issues/"+found[0].(map[string]any)["short_id"].(string), "", http.StatusOK)
			alert := whole["alerts"].([]any)[0].(map[string]any)
			said = fmt.Sprint(alert["became"].([]any)[0])
			return alert["kind"] == "issue.new" && whole["next_told"] != "" && !strings.HasPrefix(said, "It waits")
		})
		if !strings.HasPrefix(said, c.want) {
			t.Errorf("an error of %s and %s: %s", c.release, c.browser, said)
		}
	}
}

// TestAStormIsToldAsADigest: of errors that come at once, a channel is told of one, and of the
// others by their number, their events, releases and projects.
func TestAStormIsToldAsADigest(t *testing.T) {
	t.Parallel()
	titles := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct {
			Data struct {
				Title, State string
				Lines        []string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err == nil && message.Data.State == "digest" {
			titles <- message.Data.Title + " | " + strings.Join(message.Data.Lines, " | ")
		}
	}))
	t.Cleanup(receiver.Close)
	a := newInbox(t, func(s *config.Settings) {
		s.Alerts.Policy.Channels = []notify.ChannelConfig{{ID: "webhook", Type: "webhook", URL: receiver.URL, Secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", AllowPrivate: true}}
		s.Alerts.Policy.AtMost = notify.AtMost{Alerts: 1, Within: 5 * time.Second}
	})
	shop, web := newSDK(t, a, "Shop", 42), newSDK(t, a, "Web", 43)
	var sending sync.WaitGroup
	for n := range 80 {
		s, kind := []*sdk{shop, web}[n%2], "Often"
		if n < 2 {
			kind = "Once"
		}
		e := fmt.Sprintf(`{"event_id":"%032x","release":"%d","exception":{"values":[{"type":"%s","value":"it broke"}]}}`, n+1, n%8/2, s.project.Name+kind)
		sending.Go(func() {
			if got := s.send(t, s.path("/store/"), strings.NewReader(e), s.auth()...); got.status != http.StatusOK {
				t.Error(got)
			}
		})
	}
	sending.Wait()
	select {
	case got := <-titles: // one of the four was told at once
		if !regexp.MustCompile(`^[123] bugs?, \d+ events?, \d releases?(, 2 projects)? \| \d+ events, \d releases? — (SHOP|WEB)-\w+ — (Shop|Web)Often: it broke \((Shop|Web)\)`).MatchString(got) {
			t.Errorf("it is told as %s", got)
		}
	case <-t.Context().Done():
	case <-time.After(5 * time.Minute):
		t.Error("no digest came")
	}
}
