package statuspage

import (
	"encoding/json"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"manus/internal/testprogram"
	"manus/language"
)

// understood is what clients have understood, see internal/statustest.
type understood struct {
	Summary struct {
		Page                  struct{ ID, Name, URL string }
		Status                struct{ Indicator, Description string }
		Components            []struct{ ID, Name, Status string }
		Incidents             []clientIncident
		ScheduledMaintenances []clientIncident `json:"scheduled_maintenances"`
	}
	Status     struct{ Status struct{ Indicator string } }
	Components struct {
		Components []struct{ ID, Name, Status string }
	}
	Incidents, Unresolved  struct{ Incidents []clientIncident }
	Maintenances, Upcoming struct {
		ScheduledMaintenances []clientIncident `json:"scheduled_maintenances"`
	}
	Feed struct {
		Title string
		Items []struct {
			Title, Link, Content string
			ISODate              time.Time `json:"isoDate"`
		}
	}
	Events []struct {
		UID, Summary, Description string
		Start, End                time.Time
	}
}

type clientIncident struct {
	ID, Name, Status, Impact, Shortlink string
	ScheduledFor                        time.Time                           `json:"scheduled_for"`
	ScheduledUntil                      time.Time                           `json:"scheduled_until"`
	Updates                             []struct{ ID, Status, Body string } `json:"incident_updates"`
	Components                          []struct{ ID, Name, Status string } `json:"components"`
}

// Clients of Statuspage, of feeds and of calendars read the page as it is: nobody has told
// them that it is another one.
func TestUnmodifiedClientsUnderstandThePage(t *testing.T) {
	t.Parallel()
	m := busy()
	m.Maintenances[2].Text = language.Text{En: strings.Repeat("All can be read; nothing, or little, can be changed – لا يمكن التغيير. \\ ", 10) + "\nNext line."}
	server := httptest.NewServer(refreshed(t, m).handler)
	t.Cleanup(server.Close)
	out, err := exec.CommandContext(t.Context(), "node", filepath.Join(testprogram.StatusClients.Path(), "read.mjs"), server.URL).CombinedOutput()
	var got understood
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if s := got.Summary; s.Page.Name != "Status" || s.Page.URL != "https://app.example.com/status" || s.Status.Indicator != "major" || len(s.Components) != 9 || len(s.Incidents) != 1 || len(s.ScheduledMaintenances) != 2 {
		t.Errorf("the summary is %+v", s)
	}
	if got.Status.Status.Indicator != "major" || len(got.Components.Components) != 9 {
		t.Errorf("%+v, %+v", got.Status, got.Components)
	}
	if all, open := got.Incidents.Incidents, got.Unresolved.Incidents; len(all) != 3 || len(open) != 1 || open[0].Name != "Mails are late" || open[0].Status != "identified" || open[0].Impact != "major" ||
		len(open[0].Updates) != 2 || open[0].Updates[0].Status != "identified" || open[0].Components[0].ID != "mail" || all[1].Status != "resolved" || all[2].Status != "postmortem" {
		t.Errorf("%+v, %+v", all, open)
	}
	if up := got.Upcoming.ScheduledMaintenances; len(up) != 1 || up[0].Name != "Database upgrade" || up[0].Status != "scheduled" || up[0].Impact != "maintenance" || !up[0].ScheduledFor.Equal(m.Maintenances[2].From.Truncate(time.Millisecond)) {
		t.Errorf("%+v", up)
	}
	if f := got.Feed; f.Title != "Status" || len(f.Items) != 6 || f.Items[0].Title != "Mails are late" || !f.Items[0].ISODate.Equal(now.Add(-40*time.Minute)) && !f.Items[0].ISODate.Equal(now.Add(-42*time.Minute)) ||
		f.Items[0].Link != "https://app.example.com/status/incidents/i1?lang=en" || !strings.Contains(f.Items[0].Content, "<strong>slowly</strong>") {
		t.Errorf("%+v", f)
	}
	if e := got.Events; len(e) != 4 || e[2].Summary != "Database upgrade" || !e[2].Start.Equal(m.Maintenances[2].From) || !e[2].End.Equal(m.Maintenances[2].Until) ||
		strings.TrimSpace(e[2].Description) != "Website, API\n"+m.Maintenances[2].Text.En && strings.TrimSpace(e[2].Description) != "API, Website\n"+m.Maintenances[2].Text.En {
		t.Errorf("%+v", e)
	}
}
