package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"manus/internal/browsertest"
	"manus/internal/waittest"
)

// sameHost is the host of a product's pages, which sends /api/ on to Manus and notes what
// browsers sent there.
type sameHost struct {
	*httptest.Server

	mu   sync.Mutex
	seen []string // "POST /api/v1/auth/logout with cookies of cross-site: 403"
}

// A page keeps no token: cookies prove its calls. Its streams come back by themselves, or where a
// browser has closed one are opened again after the last event.
const samePage = `<!doctype html><title>Product</title><link rel="icon" href="data:,"><script>
const events = { ticket: [], cookie: [] }
async function call(method, path, body) {
  const answer = await fetch('/api/v1' + path, { method, headers: { 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) })
  return { status: answer.status, cookies: document.cookie, body: await answer.text() }
}
async function follow(into, address, after = 0) {
  try {
    const source = new EventSource(await address() + 'after=' + after)
    source.addEventListener('message', ({ data }) => { const event = JSON.parse(data); after = event.seq; events[into].push(event.data.text) })
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(into, address, after), 200) }
  } catch { setTimeout(() => follow(into, address, after), 200) }
}
function followBoth(session) {
  const here = '/api/v1/sessions/' + session + '/events?'
  follow('cookie', async () => here)
  follow('ticket', async () => here + new URL(JSON.parse((await call('POST', '/sessions/' + session + '/stream-ticket')).body).url).search.slice(1) + '&')
}
</script>`

func newSameHost(t *testing.T, manus string) *sameHost {
	t.Helper()
	h := &sameHost{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: manus})
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			cookies := "without"
			if r.Request.Header.Get("Cookie") != "" {
				cookies = "with"
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.seen = append(h.seen, fmt.Sprintf("%s %s %s cookies of %s: %d", r.Request.Method, r.Request.URL.Path, cookies, r.Request.Header.Get("Sec-Fetch-Site"), r.StatusCode))
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", proxy)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, samePage) })
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

// has tells whether it has been asked for something, as seen has it.
func (h *sameHost) has(request string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.seen, request)
}

// TestAPageOfTheSameHostInABrowser has a page behind a proxy sign up, sign in and be proved by cookies,
// of which its scripts see nothing and another site's page has no use; it follows a session while
// the server is killed and started again.
func TestAPageOfTheSameHostInABrowser(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddr(t)
	start := func() *program {
		t.Helper()
		server, err := startProgram(dir, nil, "dev", "--addr", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.kill)
		return server
	}
	server, host := start(), newSameHost(t, addr)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(host.URL, "http://"))
	tab := browsertest.Open(t)
	script := func(text string, into any) {
		t.Helper()
		answer, err := chromedp.Run(tab, chromedp.Evaluate[string]("(async () => JSON.stringify("+text+"))()", chromedp.EvalAwaitPromise))
		if err == nil {
			err = json.Unmarshal([]byte(answer), into)
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	call := func(status int, method, path, body string) string {
		t.Helper()
		var answer struct {
			Status        int
			Cookies, Body string
		}
		if body == "" {
			body = "undefined"
		}
		script(fmt.Sprintf("await call(%q, %q, %s)", method, path, body), &answer)
		if answer.Status != status || answer.Cookies != "" {
			t.Fatalf("%s %s: %d, want %d; scripts see the cookies %q: %s", method, path, answer.Status, status, answer.Cookies, answer.Body)
		}
		return answer.Body
	}
	if err := chromedp.Do(tab, chromedp.Navigate("http://localhost:"+port+"/")); err != nil {
		t.Fatal(err)
	}
	const credentials = `{email: 'amal@example.com', password: 'correct horse battery staple'}`
	call(201, "POST", "/auth/register?tokens=cookie", credentials)
	call(204, "POST", "/auth/logout", "")
	call(401, "GET", "/auth/me", "")
	if body := call(200, "POST", "/auth/login?tokens=cookie", credentials); !strings.Contains(body, `"access_token":""`) {
		t.Fatalf("a script is given a token: %s", body)
	}
	call(200, "GET", "/auth/me", "")
	var session struct{ ID string }
	if err := json.Unmarshal([]byte(call(201, "POST", "/sessions", `{title: 'By cookies'}`)), &session); err != nil {
		t.Fatal(err)
	}
	call(200, "POST", "/auth/refresh?tokens=cookie", "{}")

	// A page of another origin, of the same site: the browser sends the cookies along.
	var none string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><title>Other</title>") }))
	t.Cleanup(other.Close)
	if err := chromedp.Do(tab, chromedp.Navigate(strings.Replace(other.URL, "127.0.0.1", "localhost", 1))); err != nil {
		t.Fatal(err)
	}
	script(`await fetch('http://localhost:`+port+`/api/v1/auth/logout', {method: 'POST', mode: 'no-cors', credentials: 'include'}).then(() => 'read', () => 'refused')`, &none)
	if !host.has("POST /api/v1/auth/logout with cookies of same-site: 403") {
		t.Errorf("another origin's page isn't refused: %q", host.seen)
	}
	if err := chromedp.Do(tab, chromedp.Navigate("http://localhost:"+port+"/")); err != nil {
		t.Fatal(err)
	}
	call(200, "GET", "/auth/me", "")

	script("followBoth('"+session.ID+"') ?? null", new(any))
	var want []string
	for round := range 3 {
		if round > 0 {
			server.kill()
			server = start()
		}
		want = append(want, fmt.Sprint("message ", round))
		call(202, "POST", "/sessions/"+session.ID+"/messages", fmt.Sprintf("{text: %q}", want[round]))
		var got struct{ Ticket, Cookie []string }
		waittest.Poll(t, func() bool {
			script("events", &got)
			return len(got.Ticket) >= len(want) && len(got.Cookie) >= len(want)
		})
		if list := strings.Join(want, ", "); strings.Join(got.Ticket, ", ") != list || strings.Join(got.Cookie, ", ") != list {
			t.Fatalf("the page has seen %v, want %v", got, want)
		}
	}
	call(204, "POST", "/auth/logout", "")
	call(401, "GET", "/auth/me", "")
	if !host.has("GET /api/v1/auth/me without cookies of same-origin: 401") {
		t.Errorf("the browser keeps cookies after signing out: %q", host.seen)
	}
}
