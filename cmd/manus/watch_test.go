package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"manus/internal/mongotest"
	"manus/internal/waittest"
)

// shop is a target that is down as some places see it: each has another secret.
type shop struct {
	*httptest.Server
	mu   sync.Mutex
	down []string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		place := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if place == "" {
			w.WriteHeader(http.StatusUnauthorized)
		} else if slices.Contains(s.down, place) {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shop) fails(places ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = places
}

// watched is a manus.yaml with the shop as a monitor that several places watch.
func (s *shop) watched() string {
	return unlimited + fmt.Sprintf("monitors: [{id: shop, type: http, url: %s, every: 5s, timeout: 2s, private: true, confirm: [1s], auth: {type: bearer}}]\n", s.URL)
}

// wire is the way from places to a server, which may be cut, or lead to another one.
type wire struct {
	*httptest.Server
	to  atomic.Pointer[url.URL]
	cut atomic.Bool
}

func newWire(t *testing.T, server string) *wire {
	t.Helper()
	w := &wire{}
	w.leadTo(t, server)
	proxy := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(w.to.Load()) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	w.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if w.cut.Load() {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(out, r)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *wire) leadTo(t *testing.T, server string) {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	w.to.Store(to)
}

// startWatch starts a place that watches.
func startWatch(t *testing.T, name string, env []string, args ...string) *program {
	t.Helper()
	dir := t.TempDir()
	p := &program{cmd: manus(context.Background(), dir, append([]string{"watch"}, args...)...), ended: make(chan struct{})}
	p.cmd.Env = append([]string{"PROBE_NAME=" + name, "MONITOR_SHOP_SECRET=" + name}, env...)
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(p.kill)
	return p
}

// places asks a server about places, as its operator.
type places struct {
	*client
	t *testing.T
}

// newPlaces makes an operator of a server.
func newPlaces(t *testing.T, server *program, dir string, env []string) places {
	t.Helper()
	operator := newClient(server.url)
	if err := operator.signIn("register"); err != nil {
		t.Fatal(err)
	}
	typed(t, dir, env, exitDone, "user", "set-role", "amal@example.com", "operator")
	if err := operator.signIn("login"); err != nil {
		t.Fatal(err)
	}
	return places{operator, t}
}

// key is a new one for places.
func (p places) key() string {
	p.t.Helper()
	var made struct{ Key string }
	if err := p.call("POST", "/api/v1/auth/api-keys", map[string]any{"name": "places", "scopes": []string{"probe"}}, &made); err != nil {
		p.t.Fatal(err)
	}
	return made.Key
}

// place is how a place is.
type place struct {
	Name, Status string
	Up, Down     int
}

func (p places) place(name string) place {
	p.t.Helper()
	var all struct{ Items []place }
	if err := p.call("GET", "/api/v1/ops/probes", nil, &all); err != nil {
		p.t.Fatal(err)
	}
	for _, one := range all.Items {
		if one.Name == name {
			return one
		}
	}
	return place{}
}

// sees waits until a place sees the shop up or down.
func (p places) sees(name string, down bool) {
	p.t.Helper()
	waittest.Poll(p.t, func() bool {
		one := p.place(name)
		return one.Status == "watching" && (down && one.Down == 1 || !down && one.Up == 1)
	})
}

// shop is how the shop is.
func (p places) shop() (status, since string) {
	p.t.Helper()
	var one struct{ Status, Since string }
	if err := p.call("GET", "/api/v1/ops/monitors/shop", nil, &one); err != nil {
		p.t.Fatal(err)
	}
	return one.Status, one.Since
}

// alerts are those that were delivered, oldest first, but for what isn't set up here (see
// docs/readiness.md). What is over before it was delivered would be told as one.
func (p places) alerts() (titles []string) {
	p.t.Helper()
	var all struct {
		Items []struct{ Kind, Title string }
	}
	if err := p.call("GET", "/api/v1/ops/alerts?status=delivered&limit=100", nil, &all); err != nil {
		p.t.Fatal(err)
	}
	for _, a := range slices.Backward(all.Items) {
		if a.Kind != "readiness.failed" {
			titles = append(titles, a.Title)
		}
	}
	return titles
}

// hears waits for these alerts and no others.
func (p places) hears(want ...string) {
	p.t.Helper()
	waittest.Poll(p.t, func() bool { return len(p.alerts()) >= len(want) })
	if got := p.alerts(); !slices.Equal(got, want) {
		p.t.Fatalf("told were %q, want %q", got, want)
	}
}

// results are the times of the shop's results from a place.
func (p places) results(place string) (times []string) {
	p.t.Helper()
	var all struct {
		Items []struct{ At, Location string }
	}
	if err := p.call("GET", "/api/v1/ops/monitors/shop/results?limit=100", nil, &all); err != nil {
		p.t.Fatal(err)
	}
	for _, r := range all.Items {
		if r.Location == place {
			times = append(times, r.At)
		}
	}
	return times
}

// A server, two places, and all that can happen to them.
func TestPlacesWatchWithAServer(t *testing.T) {
	t.Parallel()
	shop, dir := newShop(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "manus.yaml"), []byte(shop.watched()), 0o600); err != nil {
		t.Fatal(err)
	}
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(hook.Close)
	alerting := []string{"MONITOR_SHOP_SECRET=here", "ALERT_WEBHOOK_URL=" + hook.URL, "ALERT_WEBHOOK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "ALLOW_PRIVATE_TARGETS=true"}
	server := startServer(t, dir, alerting...)
	p := newPlaces(t, server, dir, serveEnv(t, dir))
	w := newWire(t, server.url)
	env := func() []string { return []string{"PROBE_SERVER=" + w.URL, "PROBE_API_KEY=" + p.key()} }
	fra, york := env(), env()
	startWatch(t, "fra", fra)
	nyc := startWatch(t, "nyc", york)
	p.sees("fra", false)
	p.sees("nyc", false)

	twin := startWatch(t, "nyc", york)
	if err := twin.wait(); err == nil || !strings.Contains(twin.stderr.String(), "another program with this name is at work") {
		t.Errorf("two of one name: %v %s", err, &twin.stderr)
	}
	lyon := startWatch(t, "lyon", fra)
	if err := lyon.wait(); err == nil || !strings.Contains(lyon.stderr.String(), "an API key speaks for one place alone") {
		t.Errorf("two with one key: %v %s", err, &lyon.stderr)
	}

	shop.fails("fra")
	p.sees("fra", true)
	if status, _ := p.shop(); status != "up" {
		t.Errorf("as one of three places sees it down it is %s", status)
	}
	p.hears()
	shop.fails("fra", "here")
	p.hears("shop is down")
	if status, _ := p.shop(); status != "down" {
		t.Errorf("as two of three places see it down it is %s", status)
	}
	shop.fails()
	p.hears("shop is down", "Resolved: shop is down")
	_, since := p.shop()

	// The way to the server is gone, and then the server is killed.
	w.cut.Store(true)
	before := p.results("fra")
	server.kill()
	server = startServer(t, dir, alerting...)
	p.url = server.url
	here := len(p.results("here"))
	waittest.Poll(t, func() bool { return len(p.results("here")) >= here+2 })
	missing := p.results("fra")
	w.leadTo(t, server.url)
	w.cut.Store(false)
	waittest.Poll(t, func() bool { return len(p.results("fra")) > len(missing)+2 })
	if len(missing) > len(before)+1 {
		t.Errorf("there were %d results, and then %d, as nothing came through", len(before), len(missing))
	}
	if _, now := p.shop(); now != since {
		t.Errorf("it was up since %s, and is since %s", since, now)
	}
	p.sees("nyc", false)
	p.hears("shop is down", "Resolved: shop is down")

	nyc.kill()
	waittest.Poll(t, func() bool { return p.place("nyc").Status == "silent" })
	p.hears("shop is down", "Resolved: shop is down", "nyc: nothing is heard of the place")
	if status, _ := p.shop(); status != "up" {
		t.Errorf("as a place is silent it is %s", status)
	}
}

// Where the store is shared, places need no key.
func TestPlacesWatchWithTheStoreThatServersShare(t *testing.T) {
	t.Parallel()
	shop, dir := newShop(t), t.TempDir()
	config := filepath.Join(dir, "manus.yaml")
	if err := os.WriteFile(config, []byte(shop.watched()), 0o600); err != nil {
		t.Fatal(err)
	}
	store := []string{"MONGODB_URI=" + mongotest.URI(t), "MONGODB_DATABASE=" + mongotest.Database(t)}
	env := append(serveEnv(t, dir)[:4:4], store...)
	server, err := startProgram(dir, append(env, "MONITOR_SHOP_SECRET=here"), "serve", "--config", "manus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.kill)
	p := newPlaces(t, server, dir, env)
	startWatch(t, "fra", store, "--config", config)
	startWatch(t, "nyc", store, "--config", config)
	p.sees("fra", false)
	p.sees("nyc", false)
	shop.fails("here")
	waittest.Poll(t, func() bool { return p.lastHere() })
	if status, _ := p.shop(); status != "up" {
		t.Errorf("as one of three places sees it down it is %s", status)
	}
	shop.fails("fra", "nyc")
	waittest.Poll(t, func() bool { status, _ := p.shop(); return status == "down" })
	shop.fails()
	waittest.Poll(t, func() bool { status, _ := p.shop(); return status == "up" })
}

// lastHere tells whether the server's own place has found the shop down three times.
func (p places) lastHere() bool {
	p.t.Helper()
	var all struct {
		Items []struct {
			Up       bool
			Location string
		}
	}
	if err := p.call("GET", "/api/v1/ops/monitors/shop/results?limit=20", nil, &all); err != nil {
		p.t.Fatal(err)
	}
	down := 0
	for _, r := range all.Items {
		if r.Location == "here" && !r.Up {
			down++
		}
	}
	return down >= 3
}

// A copy of the status page on another machine says how old it is once the server is dead, and
// goes on with the next one.
func TestThePageElsewhereOutlivesTheServer(t *testing.T) {
	t.Parallel()
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(filepath.Join(dir, "manus.yaml"), []byte("status_page: {title: {en: Shop, ar: المتجر}, components: [{id: shop, name: {en: The shop}, monitors: []}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := startServer(t, dir)
	p := newPlaces(t, server, dir, serveEnv(t, dir))
	w := newWire(t, server.url)
	startWatch(t, "fra", []string{"PROBE_SERVER=" + w.URL, "PROBE_API_KEY=" + p.key()}, "--status", copied, "--status-url", "https://status.example.com")
	reads := func(name string, parts ...string) func() bool {
		return func() bool {
			text, err := os.ReadFile(filepath.Join(copied, name))
			return err == nil && !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(string(text), part) })
		}
	}
	waittest.Poll(t, reads("index.html", "The shop", "<title>Shop"))
	waittest.Poll(t, reads("index.ar.html", "المتجر", `dir="rtl"`))
	server.kill()
	waittest.Poll(t, reads("index.html", "The shop", "This is older than it should be."))
	server = startServer(t, dir)
	w.leadTo(t, server.url)
	p.url = server.url
	var opened struct{ ID string }
	if err := p.call("POST", "/api/v1/ops/incidents", map[string]any{"title": "Payments fail", "severity": "major", "components": []string{"shop"}, "text": "We look."}, &opened); err != nil {
		t.Fatal(err)
	}
	waittest.Poll(t, reads("index.html", "Payments fail"))
	if reads("index.html", "This is older than it should be.")() {
		t.Error("it says that it is old")
	}
	waittest.Poll(t, reads(filepath.Join("status", "incidents", opened.ID+".html"), "We look."))
}
