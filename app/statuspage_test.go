package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"manus/config"
	"manus/docstore"
	"manus/incident"
	"manus/internal/timeline"
	"manus/internal/waittest"
	"manus/language"
	"manus/statuspage"
	"manus/uptime"
	"manus/uptime/probe"
)

// summary is the page as its clients see it.
type summary struct {
	Page       struct{ Name, URL string }
	Components []struct{ ID, Name, Status string }
	Incidents  []struct {
		ID, Name string
		Updates  []struct{ Body string } `json:"incident_updates"`
	}
	Maintenances []struct{ ID, Name, Status string } `json:"scheduled_maintenances"`
	Status       struct{ Indicator string }
}

func summaryOf(t *testing.T, a *App) (s summary) {
	t.Helper()
	code, body := call(t, a, "GET", "/api/v2/summary.json", "", "")
	if err := json.Unmarshal([]byte(body), &s); code != 200 || err != nil {
		t.Fatal(code, body, err)
	}
	return s
}

func TestTheStatusPageShowsTheProductByDefault(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	waittest.Poll(t, func() bool { return len(summaryOf(t, a).Components) == 3 })
	for _, path := range []string{"/status", "/status/history", "/status/components/health", "/status/feed.atom", "/status/calendar.ics", "/status/badge/ready.svg", "/status/widget.js"} {
		if code, body := call(t, a, "GET", path, "", ""); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if s := summaryOf(t, a); !strings.HasPrefix(s.Page.URL, "http://localhost:") {
		t.Errorf("it says that it is at %s", s.Page.URL)
	}
}

// What people say is on the page within a second or so, and what a monitor that nobody was to
// know of has found never is.
func TestTheStatusPageShowsWhatIsForEverybody(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, func(s *config.Settings) {
		s.Monitors = uptime.Policy{{ID: "db", Name: "db-1.internal", Type: probe.TCP, URL: "127.0.0.1:1", Private: true, Paused: true}, {ID: "shop", Name: "Shop", Type: probe.TCP, URL: "127.0.0.1:1", Private: true, Paused: true}}
		s.StatusPage.Components = []statuspage.Listed{{ID: "store", Name: language.Text{En: "The store", Ar: "المتجر"}, Monitors: []string{"shop"}}}
	})
	at := docstore.At(time.Now())
	for _, id := range []string{"db", "shop"} {
		err := a.tellMonitor(t.Context(), uptime.Told{Monitor: uptime.Monitor{ID: id}, Alert: uptime.Alert{
			ID: "a", Kind: uptime.MonitorDown, Occurrence: "1", At: at, Title: language.Text{En: "secret-" + id + " is down"}, Text: language.Text{En: "refused by 10.1.2.3"},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	opened, err := a.Incidents.Open(t.Context(), incident.Opening{Title: language.Text{En: "Payments fail"}, Severity: incident.Critical, Components: []string{"store"}, Text: language.Text{En: "We **look**."}})
	if err != nil {
		t.Fatal(err)
	}
	planned, err := a.Incidents.Plan(t.Context(), incident.Maintenance{Title: language.Text{En: "New disks"}, StartsAt: docstore.At(time.Now().Add(time.Hour)), EndsAt: docstore.At(time.Now().Add(2 * time.Hour)), Rule: "FREQ=DAILY;COUNT=3"})
	if err != nil {
		t.Fatal(err)
	}
	waittest.Poll(t, func() bool { s := summaryOf(t, a); return len(s.Incidents) == 2 && len(s.Maintenances) == 3 })
	s := summaryOf(t, a)
	if s.Status.Indicator != "critical" || s.Components[0].Status != "major_outage" || !strings.HasPrefix(s.Maintenances[0].ID, planned.ID+".") {
		t.Errorf("%+v", s)
	}
	for _, path := range []string{"/status", "/status/history", "/status/feed.atom", "/api/v2/incidents.json", "/status/components/store"} {
		_, body := call(t, a, "GET", path, "", "")
		if strings.Contains(body, "secret") || strings.Contains(body, "10.1.2.3") || strings.Contains(body, "internal") {
			t.Errorf("%s says what is nobody's business: %s", path, body)
		}
		if !strings.Contains(body, "The store: outage") || !strings.Contains(body, "Payments fail") {
			t.Errorf("%s doesn't say what there is: %s", path, body)
		}
	}
	if code, body := call(t, a, "GET", "/status/incidents/db-1", "", ""); code != http.StatusNotFound {
		t.Errorf("an incident that isn't public: %d %s", code, body)
	}
	if code, body := call(t, a, "GET", "/status/incidents/shop-1?lang=ar", "", ""); code != 200 || !strings.Contains(body, "المتجر: انقطاع") {
		t.Errorf("%d %s", code, body)
	}
	// It was over before that was said, and had begun before: so the page has it then, with what it said before.
	_, err = a.Incidents.Say(t.Context(), opened.ID, incident.Saying{Status: incident.Resolved, Text: language.Text{En: "Over."}})
	began, over := opened.StartedAt.Add(-2*time.Hour), opened.StartedAt.Add(-time.Hour)
	if err == nil {
		_, err = a.Incidents.Change(t.Context(), opened.ID, incident.Change{StartedAt: &began, ResolvedAt: &over})
	}
	if err != nil {
		t.Fatal(err)
	}
	waittest.Poll(t, func() bool {
		_, body := call(t, a, "GET", "/status/incidents/"+opened.ID+"?lang=en", "", "")
		return strings.Contains(body, "after 1\u00a0hour.") && strings.Contains(body, began.Format(`<p>Began <time datetime="2006-01-02T15:04:05`)) && strings.Contains(body, opened.StartedAt.Format(`<del>Began <time datetime="2006-01-02T15:04:05`))
	})
}

// During a planned work at a component nobody is told of the monitors that it is made of.
func TestAPlannedWorkAtAComponentIsOneAtItsMonitors(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, func(s *config.Settings) {
		s.StatusPage.Components = []statuspage.Listed{{ID: "api", Name: language.Text{En: "API"}, Monitors: []string{"health"}}}
	})
	_, err := a.Incidents.Plan(t.Context(), incident.Maintenance{Title: language.Text{En: "Work"}, Components: []string{"api"}, StartsAt: docstore.At(time.Now().Add(-time.Minute)), EndsAt: docstore.At(time.Now().Add(time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	window := timeline.Since(time.Now())
	if a.plannedOf(t.Context(), "health", window) == nil || a.plannedOf(t.Context(), "ready", window) != nil {
		t.Error("it isn't that of the component's monitor alone")
	}
	waittest.Poll(t, func() bool { return summaryOf(t, a).Components[0].Status == "under_maintenance" })
}

// Planned work excuses the component that it names: of another one that has the same monitor each moment counts, and
// it isn't said to be worked at. Work that names the monitor, or nothing, is at both.
func TestAPlannedWorkExcusesTheComponentThatItNames(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, func(s *config.Settings) {
		s.StatusPage.Components = []statuspage.Listed{{ID: "api", Name: language.Text{En: "API"}, Monitors: []string{"health", "ready"}}, {ID: "web", Name: language.Text{En: "Web"}, Monitors: []string{"health"}}}
	})
	plan := func(title string, hours int, at ...string) {
		t.Helper()
		_, err := a.Incidents.Plan(t.Context(), incident.Maintenance{Title: language.Text{En: title}, Components: at, StartsAt: docstore.At(time.Now().Add(-time.Duration(hours) * time.Hour)), EndsAt: docstore.At(time.Now().Add(time.Hour))})
		if err != nil {
			t.Fatal(err)
		}
	}
	excused := func() (lengths [3]time.Duration) {
		now := time.Now()
		planned, err := a.Incidents.PlannedNow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		components, err := a.publicComponents(t.Context(), planned, now)
		if err != nil || len(components) != 2 {
			t.Fatal(components, err)
		}
		for i, w := range append(components[0].Watched, components[1].Watched...) {
			lengths[i] = w.History.Excused.Within(timeline.Between(now.Add(-100*time.Hour), now)).Length().Round(time.Hour)
		}
		return lengths
	}
	plan("Web", 1, "web")
	if got := excused(); got != [3]time.Duration{0, 0, time.Hour} {
		t.Errorf("work at a component excuses %v", got)
	}
	waittest.Poll(t, func() bool {
		s := summaryOf(t, a)
		return s.Components[1].Status == "under_maintenance" && s.Components[0].Status == "operational"
	})
	if a.plannedOf(t.Context(), "health", timeline.Since(time.Now())) == nil {
		t.Error("people are told of the monitor meanwhile")
	}
	plan("Health", 2, "health")
	if got := excused(); got != [3]time.Duration{2 * time.Hour, 0, 2 * time.Hour} {
		t.Errorf("work at a monitor excuses %v", got)
	}
	plan("All", 3)
	if got := excused(); got != [3]time.Duration{3 * time.Hour, 3 * time.Hour, 3 * time.Hour} {
		t.Errorf("work at everything excuses %v", got)
	}
}

// outage is one that a monitor has found so long ago, and that is over.
func outage(t *testing.T, a *App, monitor string, ago time.Duration) (id string) {
	t.Helper()
	o := incident.Outage{Key: monitor + "-" + ago.String(), Monitor: monitor, Components: []string{monitor}, Title: language.Text{En: "down"}, At: docstore.At(time.Now().Add(-ago))}
	for _, over := range []bool{false, true} {
		o.Over = over
		if err := a.Incidents.Tell(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return o.Key
}

// However much there was that is nobody's business, what everybody may see is on the page; where there is too
// much of that, the page says so and not that there was nothing.
func TestWhatIsPrivateTakesNoPlaceOnTheStatusPage(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, func(s *config.Settings) {
		s.StatusPage.Components = []statuspage.Listed{{ID: "store", Name: language.Text{En: "The store"}, Monitors: []string{"shop"}}}
	})
	first := outage(t, a, "shop", 60*24*time.Hour)
	for i := range 2*latestRead + 20 {
		outage(t, a, "db", time.Duration(i+1)*time.Hour)
	}
	open, err := a.Incidents.Open(t.Context(), incident.Opening{Title: language.Text{En: "Still"}, Components: []string{"store"}, Text: language.Text{En: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	forget := func(all ...statuspage.Incident) {
		a.past.mu.Lock()
		defer a.past.mu.Unlock()
		if a.past.all, a.past.at = all, now; len(all) == 0 {
			a.past.at = time.Time{}
		}
	}
	forget() // what was put in long after its time
	all, since, err := a.publicIncidents(t.Context(), now)
	if err != nil || len(all) != 2 || all[0].ID != open.ID || all[1].ID != first || !since.IsZero() {
		t.Fatalf("%+v since %v: %v", all, since, err)
	}
	second := outage(t, a, "shop", 30*24*time.Hour)
	for name, bounds := range map[string][2]int{"of what is public": {2, 1000}, "of what is looked at": {1000, 2*latestRead + 22}} {
		all, since, err = a.readPast(t.Context(), now, bounds[0], bounds[1])
		if err != nil || len(all) != 2 || all[1].ID != second || since.IsZero() || since.After(all[1].StartedAt) {
			t.Errorf("the bound %s: %+v since %v: %v", name, all, since, err)
		}
	}
	// One that was open when all were read, and is not among the latest, doesn't vanish when it ends.
	forget(statuspage.Incident{ID: first, StartedAt: now.AddDate(0, 0, -60), Updates: []statuspage.Update{{Stage: statuspage.Investigating}}})
	if all, _, err = a.publicIncidents(t.Context(), now); err != nil || len(all) != 2 || !all[1].IsOver() {
		t.Errorf("%+v: %v", all, err)
	}
}

// An incident that everybody has seen stays to be read when its component is listed no more, by the name that it had;
// one that nobody has isn't, nor what a person has said to be of something else.
func TestAnIncidentThatWasPublicStays(t *testing.T) {
	t.Parallel()
	listed := []statuspage.Listed{{ID: "store", Name: language.Text{En: "The store", Ar: "المتجر"}, Monitors: []string{"shop"}}}
	a, _ := setup(t, func(s *config.Settings) { s.StatusPage.Components = listed })
	public, private := outage(t, a, "shop", time.Hour), outage(t, a, "db", time.Hour)
	moved, err := a.Incidents.Open(t.Context(), incident.Opening{Title: language.Text{En: "Wrong place"}, Components: []string{"store"}, Text: language.Text{En: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	waittest.Poll(t, func() bool {
		i, err := a.Incidents.Incident(t.Context(), moved.ID)
		o, _ := a.Incidents.Incident(t.Context(), public)
		return err == nil && len(i.Shown) == 1 && len(o.Shown) == 1
	})
	if _, err := a.Incidents.Change(t.Context(), moved.ID, incident.Change{Components: &[]string{"health"}}); err != nil {
		t.Fatal(err)
	}
	a.listed.Store(&[]statuspage.Listed{{ID: "other", Name: language.Text{En: "Other"}}})
	if code, body := call(t, a, "GET", "/status/incidents/"+public+"?lang=en", "", ""); code != 200 || !strings.Contains(body, "The store: outage") {
		t.Errorf("%d %s", code, body)
	}
	waittest.Poll(t, func() bool {
		_, body := call(t, a, "GET", "/status/history?lang=ar", "", "")
		return strings.Contains(body, "المتجر: انقطاع") && !strings.Contains(body, "Wrong place")
	})
	for _, id := range []string{private, moved.ID} {
		waittest.Poll(t, func() bool {
			code, _ := call(t, a, "GET", "/status/incidents/"+id, "", "")
			return code == http.StatusNotFound
		})
	}
	if s := summaryOf(t, a); len(s.Incidents) != 0 || s.Status.Indicator != "none" {
		t.Errorf("%+v", s)
	}
}

func TestTheStatusPageHasAHostOfItsOwn(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, func(s *config.Settings) { s.StatusURL = "http://status.localhost" })
	ask := func(host, path string) string {
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
		r.Host = host
		w := httptest.NewRecorder()
		a.api.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("%s%s: %d", host, path, w.Code)
		}
		return w.Body.String()
	}
	if page := ask("status.localhost:8080", "/"); !strings.Contains(page, "data-live") {
		t.Errorf("its root is %.200s", page)
	}
	if home := ask("localhost:8080", "/"); strings.Contains(home, "data-live") {
		t.Error("the product's root is the page, too")
	}
	if answer := ask("status.localhost", "/api/v2/status.json"); !strings.Contains(answer, `"url":"http://status.localhost/"`) {
		t.Error(answer)
	}
}

func TestTheStatusPageIsWrittenByACommand(t *testing.T) {
	t.Parallel()
	logo := filepath.Join(t.TempDir(), "logo.svg")
	if err := os.WriteFile(logo, []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), 0o600); err != nil {
		t.Fatal(err)
	}
	a, _ := setup(t, func(s *config.Settings) { s.StatusPage.Logo = logo })
	dir := t.TempDir()
	if n, err := a.RenderStatus(t.Context(), dir, "https://static.example/"); err != nil || n < 20 {
		t.Fatal(n, err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil || !strings.Contains(string(page), "status/history.html") || strings.Contains(string(page), "subscribe") {
		t.Errorf("%v %.300s", err, page)
	}
	a.settings.PublicURL = "https://app.example/"
	if _, err := a.RenderStatus(t.Context(), dir, "https://static.example/"); err != nil {
		t.Fatal(err)
	}
	component, err := os.ReadFile(filepath.Join(dir, "status", "components", "health.html"))
	if err != nil || !strings.Contains(string(component), `href="https://app.example/status/subscribe?lang=en&amp;component=health"`) {
		t.Errorf("%v %s", err, component)
	}
	summary, err := os.ReadFile(filepath.Join(dir, "api", "v2", "summary.json"))
	if err != nil || !strings.Contains(string(summary), `"url":"https://static.example/"`) {
		t.Errorf("%v %.300s", err, summary)
	}
	a.settings.StatusPage.Logo = "none.svg"
	if _, err := a.RenderStatus(t.Context(), dir, ""); err == nil || !strings.Contains(err.Error(), "status_page.logo") {
		t.Errorf("a logo that isn't there: %v", err)
	}
}
