package incident

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/internal/referencetest"
	"manus/internal/storetest"
	"manus/language"
)

func en(text string) language.Text { return language.Text{En: text} }

type rig struct {
	*Service
	clock *clocktest.Clock
	log   *audit.Log
	api   http.Handler
	told  told
}

// told is what people were told, in turn; and how often telling them fails.
type told struct {
	mu    sync.Mutex
	all   []string
	known map[string]bool
	fails int
}

// note is called again where two copies deliver at once, as whoever tells people has to bear.
func (t *told) note(key, what string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fails > 0 {
		t.fails--
		return errors.New("not now")
	}
	if t.known == nil {
		t.known = map[string]bool{}
	}
	if !t.known[key] {
		t.all, t.known[key] = append(t.all, what), true
	}
	return nil
}

// take is what was told since the last time.
func (t *told) take() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := strings.Join(t.all, ", ")
	t.all = nil
	return all
}

func setup(t *testing.T) *rig {
	t.Helper()
	store := storetest.New(t)
	if err := store.Declare(t.Context(), append(Specs(), audit.Specs()...)...); err != nil {
		t.Fatal(err)
	}
	r := &rig{clock: clocktest.New()}
	log := referencetest.Log(t)
	r.log = audit.New(audit.Config{Store: store, Now: r.clock.Now, Log: log})
	r.Service = New(Config{
		Store: store, Audit: r.log, Now: r.clock.Now, Log: log,
		OnUpdate: func(_ context.Context, i Incident, update string) error {
			if update == Published {
				return r.told.note(i.ID+update, strings.TrimPrefix(update, "/"))
			}
			u, ok := i.Update(update)
			if !ok {
				t.Errorf("%+v has no update %s", i, update)
			}
			return r.told.note(i.ID+update, string(u.Status))
		},
		OnStep: func(_ context.Context, m Maintenance, step Step) error {
			what, _, _ := strings.Cut(string(step), "/")
			return r.told.note(m.ID+string(step), what)
		},
	})
	api := httpapi.New(httpapi.Config{Log: log, Version: "test", Caller: func(q *http.Request) (identity.Caller, error) {
		switch q.Header.Get("X-Test-Caller") {
		case "operator":
			return identity.Caller{UserID: "o1", LoginID: "l1", Role: identity.Operator}, nil
		case "user":
			return identity.Caller{UserID: "u1", LoginID: "l2", Role: identity.User}, nil
		}
		return identity.Caller{}, nil
	}})
	r.Routes(api)
	r.api = api
	return r
}

func (r *rig) call(t *testing.T, caller, method, path, body string, into any) (int, string) {
	t.Helper()
	q := httptest.NewRequestWithContext(t.Context(), method, httpapi.Prefix+path, strings.NewReader(body))
	q.Header.Set("X-Test-Caller", caller)
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	r.api.ServeHTTP(w, q)
	if into != nil && w.Code < 300 {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, w.Body.String()
}

func TestAnIncidentIsOpenedUpdatedAndResolvedByOperators(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var i incidentBody
	if code, body := r.call(t, "operator", "POST", "/ops/incidents", `{"title":"Logins fail","severity":"major","components":["api"],"text":"We **look**."}`, &i); code != 201 || i.Status != Investigating || i.ResolvedAt != "" {
		t.Fatalf("%d %s", code, body)
	}
	r.clock.Add(time.Minute)
	if code, body := r.call(t, "operator", "PATCH", "/ops/incidents/"+i.ID, `{"severity":"critical"}`, &i); code != 200 || i.Severity != Critical || i.Title != "Logins fail" {
		t.Errorf("%d %s", code, body)
	}
	for _, status := range []string{"identified", "", "resolved"} {
		if code, body := r.call(t, "operator", "POST", "/ops/incidents/"+i.ID+"/updates", `{"status":"`+status+`","text":"x"}`, &i); code != 201 && status != "" {
			t.Errorf("%d %s", code, body)
		}
	}
	if code, body := r.call(t, "operator", "GET", "/ops/incidents/"+i.ID, "", &i); code != 200 || i.Status != Resolved || i.ResolvedAt == "" || len(i.Updates) != 3 || !strings.Contains(i.Updates[0].HTML, "<strong>look</strong>") {
		t.Errorf("%d %s", code, body)
	}
	events, _, err := r.log.List(t.Context(), "", 10, "")
	if err != nil || len(events) != 4 || events[3].Kind != eventOpened || events[3].UserID != "o1" || events[3].Subject != i.ID {
		t.Errorf("the audit log has %+v, %v", events, err)
	}
	var list struct {
		Items []incidentBody `json:"items"`
	}
	if r.call(t, "operator", "GET", "/ops/incidents?open=true", "", &list); len(list.Items) != 0 {
		t.Errorf("open are %+v", list.Items)
	}
	if r.call(t, "operator", "GET", "/ops/incidents", "", &list); len(list.Items) != 1 {
		t.Errorf("all are %+v", list.Items)
	}
}

func TestOnlyOperatorsMaySeeOrDoAnything(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, route := range []string{"GET /ops/incidents", "POST /ops/incidents", "PATCH /ops/incidents/x", "POST /ops/incidents/x/updates", "GET /ops/maintenances", "POST /ops/maintenances", "DELETE /ops/maintenances/x"} {
		method, path, _ := strings.Cut(route, " ")
		for caller, want := range map[string]int{"": 401, "user": 403} {
			if code, body := r.call(t, caller, method, path, `{}`, nil); code != want {
				t.Errorf("%q %s: %d %s", caller, route, code, body)
			}
		}
	}
}

func TestWhatCantBeIsRefused(t *testing.T) {
	t.Parallel()
	r := setup(t)
	i, err := r.Open(t.Context(), Opening{Title: en("x"), Text: en("x")})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", maxText+1)
	for name, do := range map[string]func() error{
		"title: is one line":  func() error { _, err := r.Open(t.Context(), Opening{Title: en("a\nb"), Text: en("x")}); return err },
		"title: is one line ": func() error { _, err := r.Open(t.Context(), Opening{Text: en("x")}); return err },
		"text: say":           func() error { _, err := r.Open(t.Context(), Opening{Title: en("x"), Text: en("  ")}); return err },
		"severity: is minor": func() error {
			_, err := r.Open(t.Context(), Opening{Title: en("x"), Text: en("x"), Severity: "bad"})
			return err
		},
		"components: \"A B\"": func() error {
			_, err := r.Open(t.Context(), Opening{Title: en("x"), Text: en("x"), Components: []string{"A B"}})
			return err
		},
		"text: is longer":       func() error { _, err := r.Say(t.Context(), i.ID, Saying{Text: en(long)}); return err },
		"status: is":            func() error { _, err := r.Say(t.Context(), i.ID, Saying{Status: "over", Text: en("x")}); return err },
		"ends_at: is not after": func() error { _, err := r.Plan(t.Context(), Maintenance{Title: en("x")}); return err },
		"ends_at: is in the past": func() error {
			at := docstore.At(r.clock.Now().Add(-2 * time.Hour))
			_, err := r.Plan(t.Context(), Maintenance{Title: en("x"), StartsAt: at, EndsAt: docstore.At(at.Add(time.Hour))})
			return err
		},
	} {
		if err := do(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A client is told which part.
	if code, body := r.call(t, "operator", "POST", "/ops/incidents", `{"title":"x","severity":"major","components":["A B"],"text":"x"}`, nil); code != 422 || !strings.Contains(body, `"location":"body.components"`) || !strings.Contains(body, "is no id of a component") {
		t.Errorf("%d %s", code, body)
	}
	for range maxUpdates - 1 {
		if _, err := r.Say(t.Context(), i.ID, Saying{Text: en("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Say(t.Context(), i.ID, Saying{Text: en("x")}); !errors.Is(err, ErrInvalid) {
		t.Errorf("one update too many: %v", err)
	}
	if _, err := r.Say(t.Context(), i.ID, Saying{Status: Resolved, Text: en("x")}); err != nil {
		t.Errorf("it can't be resolved: %v", err)
	}
	if _, err := r.Say(t.Context(), "nothing", Saying{Text: en("x")}); !errors.Is(err, ErrNone) {
		t.Errorf("an incident that there isn't: %v", err)
	}
}

// Copies tell of an outage again and again, and people write to its incident meanwhile.
func TestAnOutageIsOneIncidentHoweverOftenItIsTold(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := Outage{Key: "api/1", Monitor: "api", Title: en("API is down"), Text: en("It answers 500."), At: docstore.At(r.clock.Now())}
	over := o
	over.Over, over.Text, over.At = true, en("It answers again."), docstore.At(r.clock.Now().Add(time.Hour))
	if err := r.Tell(t.Context(), Outage{Key: "web/1", Over: true, Text: en("x")}); err != nil {
		t.Errorf("the end of what was never told: %v", err)
	}
	tell := func(o Outage) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := r.Tell(t.Context(), o); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	tell(o)
	if _, err := r.Say(t.Context(), "api/1", Saying{Status: Identified, Text: en("It is the database.")}); err != nil {
		t.Fatal(err)
	}
	tell(o)
	tell(over)
	i, err := r.Incident(t.Context(), "api/1")
	if err != nil || len(i.Updates) != 3 || i.Status() != Resolved || !i.ResolvedAt.Equal(over.At.Time) || !i.Updates[2].Automatic || i.Updates[1].Automatic {
		t.Errorf("%+v, %v", i, err)
	}
	// Somebody knows better.
	if i, err = r.Say(t.Context(), "api/1", Saying{Status: Investigating, Text: en("It isn't over.")}); err != nil || !i.ResolvedAt.IsZero() {
		t.Errorf("%+v, %v", i, err)
	}
	tell(o)
	if i, _ = r.Incident(t.Context(), "api/1"); i.Status() != Investigating {
		t.Errorf("%+v", i)
	}
	if all, _, err := r.Incidents(t.Context(), false, 10, ""); err != nil || len(all) != 1 {
		t.Errorf("%d incidents, %v", len(all), err)
	}
}

// What watches goes on telling until it is taken: nothing of its texts may keep it from that.
func TestWhateverAnOutageSaysIsTaken(t *testing.T) {
	t.Parallel()
	r := setup(t)
	at := docstore.At(r.clock.Now())
	for n, text := range []string{"", "  ", strings.Repeat("x", maxText+1)} {
		o := Outage{Key: fmt.Sprint("api/", n), Title: en(strings.Repeat("API ", 100) + "\n"), Text: en(text), At: at}
		for _, o.Over = range []bool{false, true} {
			if err := r.Tell(t.Context(), o); err != nil {
				t.Errorf("text %d, over %v: %v", n, o.Over, err)
			}
		}
		if i, err := r.Incident(t.Context(), o.Key); err != nil || len(i.Updates) != 2 || i.Status() != Resolved || i.check() != nil {
			t.Errorf("text %d: %+v, %v", n, i, err)
		}
	}
}

func TestMaintenancesBeginAndEndByThemselves(t *testing.T) {
	t.Parallel()
	r := setup(t)
	start := r.clock.Now().Add(time.Hour).UTC()
	var m maintenanceBody
	code, body := r.call(t, "operator", "POST", "/ops/maintenances", `{"title":"Database","text":"*slow*","components":["api"],"starts_at":"`+start.Format(time.RFC3339)+`","ends_at":"`+start.Add(time.Hour).Format(time.RFC3339)+`","rrule":"FREQ=DAILY;COUNT=2","timezone":"Asia/Riyadh"}`, &m)
	if code != 201 || m.On || m.NextAt != docstore.At(start).String() {
		t.Fatalf("%d %s", code, body)
	}
	on := func() bool {
		t.Helper()
		all, err := r.Planned(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[0].On(r.clock.Now())
	}
	for _, want := range []bool{false, true, false} {
		if on() != want {
			t.Errorf("at %v it is on: %v", r.clock.Now(), !want)
		}
		r.clock.Add(time.Hour)
	}
	r.clock.Set(start.Add(24*time.Hour + time.Minute))
	if !on() {
		t.Error("it doesn't come again")
	}
	if code, body := r.call(t, "operator", "DELETE", "/ops/maintenances/"+m.ID, "", nil); code != 204 {
		t.Errorf("%d %s", code, body)
	}
	if all, err := r.Planned(t.Context()); err != nil || len(all) != 1 || all[0].On(r.clock.Now()) {
		t.Errorf("it was cancelled: %+v, %v", all, err)
	}
	if code, _ := r.call(t, "operator", "DELETE", "/ops/maintenances/"+m.ID, "", nil); code != 404 {
		t.Errorf("cancelled twice: %d", code)
	}
}

func TestNothingOfATextRunsOrIsFetched(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"**a** <script>alert(1)</script>": "<p><strong>a</strong> alert(1)</p>",
		`<img src=x onerror=alert(1)>`:    "",
		"![x](http://evil.example/x.png)": "<p></p>",
		"[x](javascript:alert(1))":        "<p>x</p>",
		"[x](data:text/html,x)":           "<p>x</p>",
		"[x](https://example.com)":        `<p><a href="https://example.com" rel="nofollow noreferrer">x</a></p>`,
		"`<b>`":                           "<p><code>&lt;b&gt;</code></p>",
	} {
		if got := strings.TrimSpace(string(HTML(text))); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func FuzzHTML(f *testing.F) {
	for _, text := range []string{"**a**", "<script>", "[a](b)", "| a |\n|-|\n| <b onclick=x> |", "```\n<\n```", "<a href='java\x00script:x'>", "http://a.example/\"onmouseover=x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		html := strings.ToLower(string(HTML(text)))
		for _, never := range []string{"<script", "<img", "<iframe", "<style", "<svg", "<form", "href=\"javascript", "href=\"data"} {
			if strings.Contains(html, never) {
				t.Errorf("%q becomes %q", text, html)
			}
		}
	})
}
