package statuspage

import (
	"slices"
	"strings"
	"testing"
	"time"

	"manus/language"
)

// What is told of components is with the incident as it is told, whatever the page has read by then.
func TestComponentsStandAsTheIncidentSays(t *testing.T) {
	t.Parallel()
	m := Model{Components: []Component{{ID: "api", Name: language.Text{En: "API"}}, {ID: "web", Name: language.Text{En: "Web"}}}}
	s := &Service{}
	at := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	i := Incident{ID: "i", Severity: Critical, Components: []string{"api"}, Updates: []Update{{Stage: Investigating, At: at}}}
	stands := func(i *Incident, w *Maintenance) (all []Status) {
		for _, c := range s.Stands([]string{"web", "api"}, i, w) {
			all = append(all, c.Status)
		}
		return all
	}
	if got := stands(&i, nil); got != nil {
		t.Errorf("before anything was read: %v", got)
	}
	s.site.Store(&site{view: newView(m, language.Text{}, at)})
	if got := stands(&i, nil); !slices.Equal(got, []Status{MajorOutage, Operational}) {
		t.Errorf("the page hasn't read it yet: %v", got)
	}
	m.Incidents = []Incident{i}
	s.site.Store(&site{view: newView(m, language.Text{}, at)})
	over := i
	over.Updates = append(slices.Clone(i.Updates), Update{Stage: Resolved, At: at})
	if got := stands(&over, nil); !slices.Equal(got, []Status{Operational, Operational}) {
		t.Errorf("the page hasn't read that it is over: %v", got)
	}
	if got := stands(nil, &Maintenance{ID: "m", Components: []string{"web"}, Progress: InProgress}); !slices.Equal(got, []Status{MajorOutage, UnderMaintenance}) {
		t.Errorf("with work: %v", got)
	}
}

func TestTheCalendarIsInTheReadersLanguageAndWithoutMarks(t *testing.T) {
	t.Parallel()
	v := &view{Title: language.Text{En: "Acme", Ar: "أكمي"}, Next: []Maintenance{{ID: "m", Title: language.Text{En: "Upgrade", Ar: "ترقية"}, Text: language.Text{En: "*now*", Ar: "*الآن*"}}}}
	s := &site{view: v, plain: func(text string) string { return strings.ReplaceAll(text, "*", "") }}
	for tag, want := range map[language.Tag][]string{
		language.English: {"X-WR-CALNAME:Acme", "SUMMARY:Upgrade", "DESCRIPTION:now"},
		language.Arabic:  {"X-WR-CALNAME:أكمي", "SUMMARY:ترقية", "DESCRIPTION:الآن"},
	} {
		for _, line := range want {
			if text := string(s.calendar(tag)); !strings.Contains(text, line+"\r\n") {
				t.Errorf("no %s in %s", line, text)
			}
		}
	}
}

func TestAPageIsAnsweredByItsNameAsAFile(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/status/incidents/1": "/status/incidents/1.ar.html", "/status/history": "/status/history.ar.html"} {
		name := FilePath(path, language.Arabic)
		if page, tag, is := pageOfFile(strings.TrimPrefix(name, "/")); name != want || "/"+page != path || tag != language.Arabic || !is {
			t.Errorf("%s is %s and that %s in %s", path, name, page, tag)
		}
	}
	if _, _, is := pageOfFile("status/feed.atom"); is {
		t.Error("a feed is a page")
	}
}
