package console

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/httpapi"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/language"
	"manus/notify"
)

// mailbox is a channel that keeps the links of what it is told.
type mailbox struct {
	mu    sync.Mutex
	links map[string]string // by title
}

func (m *mailbox) Send(_ context.Context, message notify.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.links[message.Title] = strings.TrimPrefix(message.Acknowledge, "https://app.example.com")
	return nil
}

func (m *mailbox) link(title string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.links[title]
}

// alertPages are the pages behind the links of alerts.
type alertPages struct {
	http.Handler
	alerts *notify.Service
	store  docstore.Store
	box    *mailbox
}

func setupAlerts(t *testing.T) *alertPages {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	p := &alertPages{store: storetest.New(t, notify.Specs()...), box: &mailbox{links: map[string]string{}}}
	policy := notify.DefaultPolicy()
	policy.Channels = []notify.ChannelConfig{{ID: "a", Type: "webhook"}}
	var err error
	p.alerts, err = notify.New(notify.Config{
		Store: p.store, Policy: policy, Secrets: []string{"a secret"}, PublicURL: "https://app.example.com", Log: log,
		Channels: func(notify.ChannelConfig) ([]notify.Channel, error) { return []notify.Channel{p.box}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.alerts.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	api := httpapi.New(httpapi.Config{Log: log, Version: "v1.2.3"})
	pages := New(Config{Version: "v1.2.3", Alerts: p.alerts, Log: log})
	pages.Routes(api)
	if err := pages.Render(api); err != nil {
		t.Fatal(err)
	}
	p.Handler = api
	return p
}

const hostile = `<script>alert(1)</script> "Health" & co`

var began = docstore.At(time.Now())

func outage(occurrence string) notify.Event {
	return notify.Event{
		Kind: "monitor.down", Occurrence: occurrence, At: began,
		Title: language.Text{En: hostile + " is down " + occurrence, Ar: "الصحة متوقفة " + occurrence},
		Text:  language.Text{En: "It answered 500 <b>three</b> times.", Ar: "أجاب 500 ثلاث مرّات."},
	}
}

// down begins an outage and returns its link's path.
func (p *alertPages) down(t *testing.T, occurrence string) (path string) {
	t.Helper()
	e := outage(occurrence)
	if err := p.alerts.Tell(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	waittest.Poll(t, func() bool { path = p.box.link(e.Title.En); return path != "" })
	return path
}

func expectPage(t *testing.T, w *httptest.ResponseRecorder, status int, says ...string) {
	t.Helper()
	body := w.Body.String()
	if w.Code != status || inline.MatchString(body) || elsewhere.MatchString(body) || w.Header().Get("Cache-Control") != "no-store" ||
		!strings.Contains(body, `content="noindex"`) || strings.Contains(body, "<b>") {
		t.Errorf("%d %v %s", w.Code, w.Header(), body)
	}
	for _, text := range says {
		if !strings.Contains(body, text) {
			t.Errorf("it doesn't say %q: %s", text, body)
		}
	}
}

const button, care, over, none = `<form method="post"`, "Somebody takes care of it", "It is over", "There is no such alert"

func TestALinkShowsWhatItIsAboutAndItsButtonAcknowledges(t *testing.T) {
	t.Parallel()
	p := setupAlerts(t)
	path := p.down(t, "1")
	for range 2 { // programs that open links acknowledge nothing
		expectPage(t, get(t, p, path), 200, button, "&lt;script&gt;", "It answered 500 &lt;b&gt;", "I take care of it", `action="`+path+`?lang=en"`, language.English.Moment(began.Time))
	}
	expectPage(t, get(t, p, path+"?lang=ar"), 200, button, `<html lang="ar" dir="rtl">`, "الصحة متوقفة 1", "أجاب 500", "سأتولّى الأمر", "?lang=en", language.Arabic.Moment(began.Time))
	for _, site := range []string{"cross-site", "same-site"} {
		w := post(t, p, path, nil, "Sec-Fetch-Site", site)
		if w.Code != 403 || strings.Contains(w.Body.String(), care) {
			t.Errorf("from a page of another site: %d %s", w.Code, w.Body)
		}
	}
	expectPage(t, get(t, p, path), 200, button)
	for range 2 {
		w := post(t, p, path+"?lang=en", nil, "Sec-Fetch-Site", "same-origin")
		expectPage(t, w, 200, care, "&lt;script&gt;")
		if strings.Contains(w.Body.String(), button) {
			t.Error("there is still a button")
		}
	}
	expectPage(t, get(t, p, path+"?lang=ar"), 200, "هناك من يتولّى الأمر", "هناك من يتولّاه منذ", "الصحة متوقفة 1")
	expectPage(t, get(t, p, p.down(t, "2")), 200, button) // another occurrence's is its own
}

func TestALinkOfWhatIsOverSaysSo(t *testing.T) {
	t.Parallel()
	p := setupAlerts(t)
	path := p.down(t, "1")
	end := outage("1")
	end.Over = true
	if err := p.alerts.Tell(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	expectPage(t, get(t, p, path), 200, over, "There is nothing to do", "&lt;script&gt;", language.English.Moment(began.Time))
	expectPage(t, post(t, p, path, nil), 200, over)
	expectPage(t, get(t, p, path+"?lang=ar"), 200, "انتهى الأمر")
}

func TestAWrongLinkSaysNothing(t *testing.T) {
	t.Parallel()
	p := setupAlerts(t)
	path := p.down(t, "1")
	requestID := func(w *httptest.ResponseRecorder) string { return w.Body.String() }
	want := requestID(get(t, p, "/alerts/nonsense"))
	expectPage(t, get(t, p, "/alerts/nonsense"), 404, none)
	for _, wrong := range []string{path[:len(path)-1], path + "x", strings.Replace(path, ".", "", 1), "/alerts/" + strings.Repeat("x", 4000), "/alerts/%00", "/alerts/%3Cscript%3E"} {
		for _, w := range []*httptest.ResponseRecorder{get(t, p, wrong), post(t, p, wrong, nil)} {
			if w.Code != 404 || requestID(w) != want {
				t.Errorf("%s: %d %s", wrong, w.Code, w.Body)
			}
		}
	}
	expectPage(t, get(t, p, path), 200, button)
	expectPage(t, get(t, p, "/alerts/nonsense?lang=ar"), 404, "لا يوجد تنبيه كهذا")
}

func TestAPageOfAnAlertWithoutAStoreSaysSo(t *testing.T) {
	t.Parallel()
	p := setupAlerts(t)
	path := p.down(t, "1")
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*httptest.ResponseRecorder{get(t, p, path), post(t, p, path, nil)} {
		if w.Code != 503 || !strings.Contains(w.Body.String(), `role="alert"`) || strings.Contains(w.Body.String(), care) || strings.Contains(w.Body.String(), "<h1></h1>") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// TestShowAlertPages serves the pages of alerts at MANUS_LOOK until it is killed, for
// whoever wants to look at them.
func TestShowAlertPages(t *testing.T) {
	addr := os.Getenv("MANUS_LOOK")
	if addr == "" {
		t.Skip("MANUS_LOOK isn't set")
	}
	p := setupAlerts(t)
	links := map[string]string{"question": p.down(t, "1"), "acknowledged": p.down(t, "2"), "over": p.down(t, "3"), "none": "/alerts/x"}
	post(t, p, links["acknowledged"], nil)
	end := outage("3")
	end.Over = true
	if err := p.alerts.Tell(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Addr: addr, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := links[strings.TrimPrefix(r.URL.Path, "/")]; path != "" {
			r.URL.Path = path
			r.RequestURI = path
		}
		p.ServeHTTP(w, r)
	}), ReadHeaderTimeout: time.Second}
	t.Log(server.ListenAndServe())
}
