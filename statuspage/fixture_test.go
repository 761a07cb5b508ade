package statuspage

import (
	"context"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/httpapi"
	"manus/internal/timeline"
	"manus/language"
)

// now is when all of these tests are.
var now = time.Date(2026, 11, 27, 9, 41, 12, 0, time.UTC)

// span is a time of so many hours, that began so many days and hours ago.
func span(days, hoursAgo, hours float64) timeline.Span {
	from := now.Add(-time.Duration((days*24 + hoursAgo) * float64(time.Hour)))
	return timeline.Between(from, from.Add(time.Duration(hours*float64(time.Hour))))
}

func history(down ...timeline.Span) timeline.History {
	return timeline.History{Since: now.AddDate(0, 0, -200).UnixMilli(), Down: timeline.Of(down...)}
}

// busy is a page with some of everything.
func busy() Model {
	text := func(en, ar string) language.Text { return language.Text{En: en, Ar: ar} }
	core, data := text("Core", "الأساس"), text("Data & exports", "البيانات والتصدير")
	quiet := history(span(31, 3, .4), span(70, 3, 1.5))
	calm := history()
	calm.Unknown = timeline.Of(span(12, 0, 20), span(13, 0, 30))
	mail := history(span(0, 0.7, 9))
	mail.Down = mail.Down.Within(timeline.Span{From: 0, Until: now.UnixMilli()}).Open(now.Add(-42 * time.Minute))
	mail.Down = timeline.Of(timeline.Since(now.Add(-42*time.Minute)), span(20, 0, 5), span(44, 0, .2))
	worked := history(span(3, 2, .05))
	worked.Excused = timeline.Of(span(8, 5, 16), span(0, 1, 2))
	young := history()
	young.Since = now.AddDate(0, 0, -25).UnixMilli()
	return Model{
		Components: []Component{
			{ID: "web", Name: text("Website", "الموقع"), Watched: []Watched{{State: IsUp, History: calm}}},
			{ID: "api", Name: text("API", "الواجهة البرمجية"), About: text("Requests of programs and apps", "طلبات البرامج والتطبيقات"), Group: core, Watched: []Watched{{State: IsUp, History: quiet}, {State: IsUp, History: history()}}},
			{ID: "sign-in", Name: text("Sign-in", "تسجيل الدخول"), Group: core, Watched: []Watched{{State: IsUp, History: history()}}},
			{ID: "mail", Name: text("Mail", "البريد"), Group: data, Watched: []Watched{{State: IsDown, History: mail}}},
			{ID: "exports", Name: text("Exports", "التصدير"), Group: data, Watched: []Watched{{State: IsWork, History: worked}}},
			{ID: "search", Name: text("Search", "البحث"), Group: data, Watched: []Watched{{State: IsUp, History: young}}},
			{ID: "support", Name: text("Support", "الدعم")},
		},
		Incidents: []Incident{
			{ID: "i1", Title: text("Mails are late", ""), Severity: Major, Components: []string{"mail"}, StartedAt: now.Add(-42 * time.Minute), Updates: []Update{
				{ID: "u1", At: now.Add(-40 * time.Minute), Stage: Investigating, Text: text("Mails leave our queue **slowly**. Nothing is lost.", "")},
				{ID: "u2", At: now.Add(-12 * time.Minute), Stage: Identified, Text: text("Our provider has an outage; see [their page](https://status.example.net). We send through another one meanwhile.", "")},
			}},
			{ID: "i2", Title: text("API: outage", "الواجهة البرمجية: انقطاع"), Automatic: true, Severity: Major, Components: []string{"api"}, StartedAt: now.Add(-75 * time.Hour), ResolvedAt: now.Add(-74 * time.Hour), Updates: []Update{
				{ID: "u3", At: now.Add(-75 * time.Hour), Stage: Investigating, Text: text("Our monitoring finds that this doesn’t work as it should.", "كشفت المراقبة أنّ هذا لا يعمل كما ينبغي.")},
				{ID: "u4", At: now.Add(-74 * time.Hour), Stage: Resolved, Text: text("It works again.", "عاد إلى العمل.")},
			}},
			{ID: "i3", Title: text("Exports were empty", "ملفات التصدير كانت فارغة"), Severity: Minor, Components: []string{"exports"}, StartedAt: now.AddDate(0, 0, -5), ResolvedAt: now.AddDate(0, 0, -5).Add(2 * time.Hour), EarlierTimes: []EarlierTimes{{now.AddDate(0, 0, -5).Add(time.Hour), time.Time{}, now.AddDate(0, 0, -5).Add(90 * time.Minute)}}, Updates: []Update{
				{ID: "u5", At: now.AddDate(0, 0, -5), Stage: Investigating, Text: text("Exports of the last hour were empty.", "كانت ملفات التصدير في الساعة الأخيرة فارغة."), Earlier: []Earlier{
					{text("All exports were empty.", "كانت كلّ ملفات التصدير فارغة."), now.AddDate(0, 0, -5).Add(20 * time.Minute)},
				}},
				{ID: "u6", At: now.AddDate(0, 0, -5).Add(2 * time.Hour), Stage: Resolved, Text: text("They were made again.", "أُنشئت من جديد.")},
				{ID: "i3-postmortem", At: now.AddDate(0, 0, -4), Stage: Postmortem, Text: text("A disk was full, and nobody was told of it.", "امتلأ القرص ولم يُنبَّه أحد.")},
			}},
		},
		Maintenances: []Maintenance{
			{ID: "m0", Title: text("New disks", "أقراص جديدة"), From: now.AddDate(0, 0, -8), Until: now.AddDate(0, 0, -8).Add(3 * time.Hour), CreatedAt: now.AddDate(0, 0, -20), Components: []string{"exports"}, Progress: Completed, ChangedAt: now.AddDate(0, 0, -8).Add(3 * time.Hour)},
			{ID: "m1", Title: text("Exports move to a new machine", "نقل التصدير إلى خادم جديد"), Text: language.Text{En: "They *wait* meanwhile."}, From: now.Add(-time.Hour), Until: now.Add(time.Hour), CreatedAt: now.AddDate(0, 0, -9), Components: []string{"exports"}, Progress: InProgress, ChangedAt: now.Add(-time.Hour)},
			{ID: "m2", Title: text("Database upgrade", "ترقية قاعدة البيانات"), Text: language.Text{En: "Everything can be read meanwhile; nothing can be changed for a few minutes."}, From: now.AddDate(0, 0, 3), Until: now.AddDate(0, 0, 3).Add(90 * time.Minute), CreatedAt: now.AddDate(0, 0, -2), Components: []string{"api", "web"}, Progress: Scheduled, ChangedAt: now.AddDate(0, 0, -2)},
			{ID: "m3", Title: text("New firewall", "جدار حماية جديد"), From: now.AddDate(0, 0, 5), Until: now.AddDate(0, 0, 5).Add(time.Hour), CreatedAt: now.AddDate(0, 0, -2), Components: []string{"web"}, Progress: Cancelled, ChangedAt: now.Add(-time.Hour)},
		},
	}
}

// many is a model of so many components, each with a history of its own.
func many(n int) (m Model) {
	for i := range n {
		h := history()
		for k := range 6 {
			h.Down = h.Down.Or(span(float64((i*7+k*13)%89), float64(k), float64((i+k)%50)/10))
		}
		if i%4 == 0 {
			h.Unknown = timeline.Of(span(float64(i%60), 0, 26))
		}
		m.Components = append(m.Components, Component{
			ID: fmt.Sprintf("component-%d", i), Name: language.Text{En: fmt.Sprintf("Component %d", i), Ar: fmt.Sprintf("المكوّن %d", i)},
			Watched: []Watched{{State: IsUp, History: h}},
		})
	}
	return m
}

// house is a page behind its door, with a model that a test changes.
type house struct {
	*Service
	handler http.Handler

	mu    sync.Mutex
	model Model
	err   error
	at    time.Time
	reads int
}

func setup(t testing.TB, m Model, change ...func(*Settings)) *house {
	t.Helper()
	h := &house{model: m, at: now}
	settings := Settings{URL: "https://app.example.com"}
	for _, f := range change {
		f(&settings)
	}
	log := slog.New(slog.DiscardHandler)
	h.Service = New(Config{
		Read: func(context.Context) (Model, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.reads++
			return h.model, h.err
		},
		Incident: func(_ context.Context, id string) (Incident, bool, error) {
			old := busy().Incidents[1]
			old.ID = id
			return old, id == "old", nil
		},
		Markdown: func(text string) template.HTML {
			return template.HTML("<p>" + strings.NewReplacer("**slowly**", "<strong>slowly</strong>", "[their page](https://status.example.net)", `<a href="https://status.example.net" rel="nofollow">their page</a>`).Replace(template.HTMLEscapeString(text)) + "</p>") //nolint:gosec // a test's
		},
		Now: func() time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.at
		},
		Log: log,
	}, settings)
	api := httpapi.New(httpapi.Config{Log: log, Version: "test", Root: map[string]string{"status.test": "/status"}})
	h.Routes(api)
	h.handler = api
	return h
}

// set has another model be read.
func (h *house) set(change func(*house)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

// refreshed is a house whose page has been read.
func refreshed(t testing.TB, m Model, change ...func(*Settings)) *house {
	t.Helper()
	h := setup(t, m, change...)
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}
