package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/app"
	"manus/config"
	"manus/internal/waittest"
	"manus/statuspage"
)

// impatient is 'manus watch' but for how soon it says that the page differs.
const impatient = "impatient-watch"

// watchImpatiently has the folder for what is found, the one for the copy and its URL as arguments.
func watchImpatiently() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	settings, err := config.LoadWatch(config.Source{Environ: os.Environ(), Routes: app.Routes()}, os.Args[1])
	if err == nil {
		log, flush := newLogger(os.Stderr, settings, false)
		defer flush()
		err = app.Watch(ctx, app.WatchOptions{
			Settings: settings, Version: buildVersion("test"), StatusDir: os.Args[2], StatusURL: os.Args[3], Log: log,
			CheckPace: statuspage.CheckPace{Every: 200 * time.Millisecond, Page: 2 * time.Second, Copy: 2 * time.Second, Lasting: 500 * time.Millisecond},
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// edge is what strangers reach in the place of something: a cache that may go on with what it has.
type edge struct {
	*httptest.Server
	mu    sync.Mutex
	stuck bool
	kept  map[string]*httptest.ResponseRecorder
}

func newEdge(t *testing.T, of http.Handler) *edge {
	t.Helper()
	e := &edge{kept: map[string]*httptest.ResponseRecorder{}}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		key := r.URL.Path + " " + r.Header.Get("Accept-Language")
		answer, stuck := e.kept[key], e.stuck
		e.mu.Unlock()
		if answer == nil || !stuck {
			answer = httptest.NewRecorder()
			of.ServeHTTP(answer, r)
			e.mu.Lock()
			e.kept[key] = answer
			e.mu.Unlock()
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(e.Close)
	return e
}

// sticks has it go on with what it has, or not.
func (e *edge) sticks(is bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stuck = is
}

// pages are how a place finds what strangers are shown: such as "page same".
func (p places) pages(name string) (all []string) {
	p.t.Helper()
	var places struct {
		Items []struct {
			Name  string
			Pages []struct{ Page, Status string }
		}
	}
	if err := p.call("GET", "/api/v1/ops/probes", nil, &places); err != nil {
		p.t.Fatal(err)
	}
	for _, place := range places.Items {
		for _, page := range place.Pages {
			if place.Name == name {
				all = append(all, page.Page+" "+page.Status)
			}
		}
	}
	return all
}

func (p places) finds(want ...string) {
	p.t.Helper()
	waittest.Poll(p.t, func() bool { return slices.Equal(p.pages("fra"), want) })
}

// A cache that stands still before the page, a host that doesn't take up the copy: each is an alert
// with its end, whoever is killed meanwhile, and nothing else is one.
func TestTheSecondPlaceChecksWhatStrangersAreShown(t *testing.T) {
	t.Parallel()
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "page")
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(hook.Close)
	if err := os.WriteFile(filepath.Join(dir, "manus.yaml"), []byte(unlimited+"status_page: {components: [{id: shop, name: {en: The shop}, monitors: []}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inner := newWire(t, "http://127.0.0.1:1") // the way to the server, whichever that is by now
	cdn := newEdge(t, inner.Config.Handler)
	host := newEdge(t, http.FileServer(http.Dir(copied)))
	env := []string{"STATUS_URL=" + cdn.URL, "ALERT_WEBHOOK_URL=" + hook.URL, "ALERT_WEBHOOK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "ALLOW_PRIVATE_TARGETS=true"}
	server := startServer(t, dir, env...)
	inner.leadTo(t, server.url)
	p := newPlaces(t, server, dir, serveEnv(t, dir))
	key, data := p.key(), t.TempDir()
	watch := func() *program {
		t.Helper()
		w := &program{cmd: manus(context.Background(), dir, data, copied, host.URL), ended: make(chan struct{})}
		w.cmd.Args[0] = impatient
		w.cmd.Env = []string{"PROBE_NAME=fra", "PROBE_SERVER=" + inner.URL, "PROBE_API_KEY=" + key}
		w.cmd.Stderr = &w.stderr
		if err := w.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { w.err = w.cmd.Wait(); close(w.ended) }()
		t.Cleanup(w.kill)
		return w
	}
	place := watch()
	p.finds("page same", "copy same")

	cdn.sticks(true)
	host.sticks(true)
	var opened struct{ ID string }
	if err := p.call("POST", "/api/v1/ops/incidents", map[string]any{"title": "Payments fail", "severity": "major", "components": []string{"shop"}, "text": "We look."}, &opened); err != nil {
		t.Fatal(err)
	}
	const page, files = "fra: strangers aren’t shown the status page as it should be", "fra: strangers aren’t shown the copy of the status page as it should be"
	told := func(want ...string) {
		t.Helper()
		waittest.Poll(t, func() bool { return len(p.alerts()) >= len(want) })
		got := p.alerts()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("told were %q, want %q", got, want)
		}
	}
	told(page, files)
	p.finds("page differs", "copy differs")
	if log := place.stderr.String(); !strings.Contains(log, "strangers aren't shown what they should be") {
		t.Errorf("its log says %s", log)
	}

	place.kill() // what was told stands
	server.kill()
	server = startServer(t, dir, env...)
	p.url = server.url
	inner.leadTo(t, server.url)
	place = watch()
	p.finds("page differs", "copy differs")
	told(page, files)

	cdn.sticks(false)
	p.finds("page same", "copy differs")
	host.sticks(false)
	p.finds("page same", "copy same")
	told(page, files, "Resolved: "+page, "Resolved: "+files)

	server.kill() // and strangers get errors, and a copy that says how old it is
	waittest.Poll(t, func() bool { return strings.Contains(place.stderr.String(), "the server takes nothing") })
	server = startServer(t, dir, env...)
	p.url = server.url
	inner.leadTo(t, server.url)
	p.finds("page same", "copy same")
	if got := p.alerts(); len(got) != 4 {
		t.Errorf("told were %q", got)
	}
}
