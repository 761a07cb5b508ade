package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"

	"manus/internal/browsertest"
)

// otherPage is a front-end's: it calls the API with its token in Authorization, as docs/browsers.md
// says, and tells what it could read of each answer.
const otherPage = `<!doctype html><title>Product</title><link rel="icon" href="data:,"><script>
const credentials = { email: 'amal@example.com', password: 'correct horse battery staple' }
async function call(api, method, path, body, headers = {}) {
  try {
    const answer = await fetch(api + path, { method, headers: { 'Content-Type': 'application/json', ...headers }, body: body && JSON.stringify(body) })
    return { status: answer.status, tag: answer.headers.get('ETag'), id: answer.headers.get('X-Request-Id'), body: answer.status === 204 ? {} : await answer.json() }
  } catch { return { status: 0, body: {} } }
}
async function use(api) {
  const seen = []
  const does = async (...asked) => { const answer = await call(api, ...asked); seen.push(answer.status); return answer }
  await does('POST', '/auth/register', credentials)
  const first = await does('POST', '/auth/login', credentials)
  const { body: tokens } = await does('POST', '/auth/refresh', { refresh_token: first.body.refresh_token })
  const Authorization = 'Bearer ' + tokens.access_token
  const me = await does('GET', '/auth/me', undefined, { Authorization })
  await does('PATCH', '/auth/me', { full_name: 'Amal' }, { Authorization, 'If-Match': me.tag })
  await does('POST', '/sessions', { title: 'Of another origin' }, { Authorization, 'Idempotency-Key': 'once' })
  await does('GET', '/auth/me')
  return { seen, readsHeaders: Boolean(me.tag && me.id) }
}
// It is sent without asking, and with cookies: those are for pages of the same host.
const withCookies = (api) => fetch(api + '/billing/plans', { credentials: 'include' }).then(() => 'read', () => 'refused')
</script>`

// TestAPageOfAnotherOriginInABrowser has a page of an origin in CORS_ORIGINS sign in, refresh its token
// and call, and one of another origin do the same in vain.
func TestAPageOfAnotherOriginInABrowser(t *testing.T) {
	t.Parallel()
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, otherPage) }))
	t.Cleanup(pages.Close)
	at, err := url.Parse(pages.URL)
	if err != nil {
		t.Fatal(err)
	}
	allowed, other := "http://app.test:"+at.Port(), "http://other.test:"+at.Port()
	dir := t.TempDir()
	server, err := startProgram(dir, append(serveEnv(t, dir), "CORS_ORIGINS="+allowed), "serve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.kill)
	tab, api := browsertest.Open(t), server.url+"/api/v1"
	type use struct {
		Seen         []int
		ReadsHeaders bool
		WithCookies  string
	}
	from := func(origin string) (did use) {
		t.Helper()
		if err := chromedp.Do(tab, chromedp.Navigate(origin)); err != nil {
			t.Fatal(err)
		}
		answer, err := chromedp.Run(tab, chromedp.Evaluate[string](fmt.Sprintf("(async () => JSON.stringify({ withCookies: await withCookies(%q), ...await use(%q) }))()", api, api), chromedp.EvalAwaitPromise))
		if err == nil {
			err = json.Unmarshal([]byte(answer), &did)
		}
		if err != nil {
			t.Fatal(err)
		}
		return did
	}
	// Whatever isn't allowed comes first: nothing that it sends may have been done.
	if did := from(other); slices.Max(did.Seen) != 0 || did.ReadsHeaders || did.WithCookies != "refused" {
		t.Errorf("a page of another origin: %+v", did)
	}
	if did := from(allowed); !slices.Equal(did.Seen, []int{201, 200, 200, 200, 200, 201, 401}) || !did.ReadsHeaders || did.WithCookies != "refused" {
		t.Errorf("a page of an allowed origin: %+v", did)
	}
}
