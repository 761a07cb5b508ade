package statuspage

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/design"
	"manus/internal/timeline"
	"manus/language"
)

// shop is a page of one component, of which a monitor has never found anything wrong, with an incident.
func shop(i Incident) Model {
	i.ID, i.Title, i.Components = "fire", language.Text{En: "The shop burns"}, []string{"shop"}
	return Model{Components: []Component{{ID: "shop", Name: language.Text{En: "Shop"}, Watched: []Watched{{State: IsUp, History: history()}}}}, Incidents: []Incident{i}}
}

// lasting is an incident from so long ago up to so long ago.
func lasting(s Severity, from, until time.Duration) Incident {
	i := Incident{Severity: s, StartedAt: now.Add(-from), Updates: []Update{{ID: "a", At: now.Add(-from), Stage: Investigating}}}
	if until > 0 {
		i.ResolvedAt = now.Add(-until)
		i.Updates = append(i.Updates, Update{ID: "b", At: i.ResolvedAt, Stage: Resolved})
	}
	return i
}

// What the page tells of a component is what its figures tell: an outage that nothing has measured counts, and
// nowhere beside an incident is it said that there was nothing.
func TestWhatAPersonTellsIsWhatTheFiguresTell(t *testing.T) {
	t.Parallel()
	automatic := lasting(Major, 3*time.Hour, time.Hour)
	automatic.Automatic = true
	added := automatic
	added.Named = []string{"shop"}
	again := lasting(Critical, 5*time.Hour, 4*time.Hour)
	again.Updates = append(again.Updates, Update{ID: "c", At: now.Add(-2 * time.Hour), Stage: Identified}, Update{ID: "d", At: now.Add(-time.Hour), Stage: Resolved}, Update{ID: "e", At: now, Stage: Postmortem})
	again.ResolvedAt = now.Add(-time.Hour)
	corrected := lasting(Critical, 5*time.Hour, 30*time.Minute)
	corrected.Updates[0].At = now.Add(-2 * time.Hour)
	late := again
	late.Updates = slices.Clone(again.Updates)
	late.Updates[1].Over = now.Add(-270 * time.Minute)
	for name, c := range map[string]struct {
		incident      Incident
		down, trouble time.Duration
	}{
		"written late": {corrected, 270 * time.Minute, 0},
		"over before it was told, and opened again": {late, 90 * time.Minute, 0},
		"critical":              {lasting(Critical, 3*time.Hour, time.Hour), 2 * time.Hour, 0},
		"major, and still open": {lasting(Major, 3*time.Hour, 0), 3*time.Hour - 2*time.Second, 0}, // figures are of each tenth second
		"minor":                 {lasting(Minor, 3*time.Hour, time.Hour), 0, 2 * time.Hour},
		"automatic":             {automatic, 0, 2 * time.Hour},
		"added to one":          {added, 2 * time.Hour, 0},
		"opened again":          {again, 2 * time.Hour, 0},
		"within a moment":       {lasting(Minor, time.Hour, time.Hour), 0, time.Millisecond},
		"just now":              {lasting(Critical, time.Second, 0), 0, time.Millisecond},
	} {
		h := refreshed(t, shop(c.incident))
		r := h.site.Load().component("shop")
		if r.Total.Down != c.down || r.Total.Trouble != c.trouble {
			t.Errorf("%s: %s down and %s of trouble, want %s and %s", name, r.Total.Down, r.Total.Trouble, c.down, c.trouble)
		}
		if level := r.Days[HistoryDays-1].level(); level == design.Up {
			t.Errorf("%s: the day isn't marked", name)
		}
		for _, path := range []string{"/status?lang=en", "/status/components/shop?lang=en"} {
			body := ask(h, path).Body.String()
			if body = body[strings.Index(body, `class="scale"`):]; strings.Contains(body[:strings.Index(body, "</p>")], "100%") || strings.Contains(body, "never down<") {
				t.Errorf("%s: %s says that there was nothing", name, path)
			}
		}
		var a openedJSON
		if err := json.Unmarshal(ask(h, "/status/uptime/shop.json").Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		if all := a.Windows["24h"]; all.Available == "100%" || all.Down != c.down.Milliseconds() {
			t.Errorf("%s: as JSON it is %+v", name, all)
		}
		if c.down > 0 && (len(a.Days) != 1 || a.Days[0].Stretches[0].Incident != "fire" || a.Days[0].Stretches[0].State != "down") {
			t.Errorf("%s: its source isn't told: %+v", name, a.Days)
		}
		body := ask(h, "/status/uptime/shop?lang=en").Body.String()
		if linked := strings.Contains(body, `../../status/incidents/fire?lang=en"><bdi>The shop burns`); linked != (name != "just now") {
			t.Errorf("%s: its times name their source: %t", name, linked)
		}
	}
}

type openedJSON struct {
	From    *time.Time `json:"counted_from"`
	Windows map[string]struct {
		Available string `json:"available"`
		Down      int64  `json:"down_ms"`
	} `json:"windows"`
	Days []struct {
		Stretches []struct{ State, Incident string } `json:"stretches"`
	} `json:"days"`
}

// What a monitor has measured and a person tells of counts once, also where only its sum is kept; what is told of a
// time in which nothing was watched is in no percent alone.
func TestWhatIsMeasuredAndToldCountsOnce(t *testing.T) {
	t.Parallel()
	h := history(span(0, 4, 2))
	outs := reportsOf([]Incident{func() Incident {
		i := lasting(Critical, 3*time.Hour, time.Hour)
		i.Components = []string{"c"}
		return i
	}()})["c"]
	c := count([]Watched{{State: IsUp, History: h}}, outs, now)
	var told timeline.Spans
	for _, s := range c.stretches(c.Window) {
		told = append(told, s.Span)
	}
	if c.Down.Length() != 3*time.Hour || told.Length() != 3*time.Hour {
		t.Errorf("it was down for %s in %v", c.Down.Length(), told)
	}

	folded := history()
	folded.Days = []timeline.Day{{From: span(0, 3, 1).From, Until: span(0, 3, 1).Until, Down: time.Hour.Milliseconds()}}
	if c = count([]Watched{{State: IsUp, History: folded}}, outs, now); c.Days[HistoryDays-1].Down != 2*time.Hour {
		t.Errorf("what is folded counts twice: %+v", c.Days[HistoryDays-1])
	}

	young := history()
	young.Since = now.Add(-time.Hour).UnixMilli()
	if c = count([]Watched{{State: IsUp, History: young}}, outs, now); c.Days[HistoryDays-1] != (Day{Up: time.Hour, Down: 2 * time.Hour, Unseen: 2 * time.Hour}) {
		t.Errorf("before it was watched: %+v", c.Days[HistoryDays-1])
	}
	young.Since = timeline.End
	if c = count([]Watched{{State: IsUp, History: young}}, outs, now); c.Days[HistoryDays-1].percent() != "" || c.Days[HistoryDays-1].Unknown != time.Hour {
		t.Errorf("it was never watched: %+v", c.Days[HistoryDays-1])
	}
}

// What was never watched is said to be that, and not to have been up.
func TestWhatWasNeverWatchedIsSaidToBeThat(t *testing.T) {
	t.Parallel()
	never := history()
	never.Since = timeline.End
	h := refreshed(t, Model{Components: []Component{{ID: "jobs", Watched: []Watched{{State: IsUnknown, History: never}}}}})
	en, ar := ask(h, "/status/uptime/jobs?lang=en").Body.String(), ask(h, "/status/uptime/jobs?lang=ar").Body.String()
	if !strings.Contains(en, "It was never watched") || !strings.Contains(ar, "لم يُراقَب قطّ") || strings.Contains(en, "it was up as long") || strings.Contains(en, "Counted from") {
		t.Error(en)
	}
	var a openedJSON
	if err := json.Unmarshal(ask(h, "/status/uptime/jobs.json").Body.Bytes(), &a); err != nil || a.From != nil || len(a.Windows) != 0 {
		t.Errorf("%+v %v", a, err)
	}
}

// An incident whose time isn't all down says what the figures make of it, and why.
func TestAnIncidentSaysHowItsTimeIsCounted(t *testing.T) {
	t.Parallel()
	h := history(timeline.Span{From: now.Add(-time.Hour).UnixMilli(), Until: now.Add(-time.Hour + 18*time.Second).UnixMilli()})
	h.Unknown = timeline.Of(timeline.Span{From: now.Add(-time.Hour + 18*time.Second).UnixMilli(), Until: now.Add(-time.Hour + 74*time.Second).UnixMilli()})
	automatic := lasting(Major, time.Hour, time.Hour-74*time.Second)
	automatic.Automatic = true
	m := shop(automatic)
	m.Components[0].Watched[0].History = h
	page := ask(refreshed(t, m), "/status/incidents/fire?lang=en").Body.String()
	if !strings.Contains(page, "Not all of that counts as down") || !strings.Contains(page, "down <bdi>0:00:18</bdi> · not known <bdi>0:00:56</bdi> · up <bdi>0:00:00</bdi>") {
		t.Error(page)
	}
	if page = ask(refreshed(t, shop(lasting(Critical, time.Hour, time.Minute))), "/status/incidents/fire?lang=en").Body.String(); strings.Contains(page, "Not all of that") {
		t.Error("one that counts says that it doesn't")
	}
	if page = ask(refreshed(t, shop(lasting(Critical, 100*dayLength, 80*dayLength))), "/status/incidents/fire?lang=en").Body.String(); strings.Contains(page, "Not all of that") {
		t.Error("it says more than figures reach back to")
	}
}

// Where there are too many to be shown, days aren't said to have had none.
func TestWhatIsLeftOutIsNotSaidNotToHaveBeen(t *testing.T) {
	t.Parallel()
	m := shop(lasting(Minor, time.Hour, time.Minute))
	m.IncidentsSince, m.WorksLeft = now.AddDate(0, 0, -3), true
	m.Maintenances = []Maintenance{{ID: "w", Title: language.Text{En: "W"}, From: now.Add(-2 * time.Hour), Until: now.Add(-time.Hour), Progress: Completed}}
	body := ask(refreshed(t, m), "/status/history?lang=en").Body.String()
	if strings.Count(body, "No incidents") != 1 || strings.Count(body, "There are too many incidents for these days") != 1 || !strings.Contains(body, "Older ones aren’t all shown.") {
		t.Error(body)
	}
	m.IncidentsSince = time.Time{}
	for n := range 900 {
		i := lasting(Minor, time.Duration(n)*time.Hour, time.Duration(n)*time.Hour)
		i.ID, i.Components = fmt.Sprint("i", n), []string{"shop"}
		if n%10 == 0 {
			i = lasting(Minor, time.Duration(n)*time.Hour, 0)
			i.ID = fmt.Sprint("o", n)
		}
		m.Incidents = append(m.Incidents, i)
	}
	h := refreshed(t, m)
	body = ask(h, "/status?lang=en").Body.String()
	if !strings.Contains(body, "There were more than are shown here.") || !strings.Contains(body, "There are more: all of them") || len(body) > 60<<10 {
		t.Errorf("%d bytes: %.2000s", len(body), body)
	}
	h.set(func(h *house) { h.err = fmt.Errorf("the store is gone") })
	for _, id := range []string{"i1", "i899"} {
		if w := ask(h, "/status/incidents/"+id); w.Code != 200 {
			t.Errorf("%s: %d", id, w.Code)
		}
	}
	if strings.Contains(ask(h, "/status/history?lang=en").Body.String(), "too many") {
		t.Error("all of them are there")
	}
}

// What is compared field by field has no other fields: one that is added is compared, too.
func TestAllOfARowIsCompared(t *testing.T) {
	t.Parallel()
	if rows, times := reflect.TypeFor[row]().NumField(), reflect.TypeFor[counted]().NumField(); rows != 6 || times != 14 {
		t.Errorf("a row has %d fields and its times %d: see row.tells and counted.tells", rows, times)
	}
	m := busy()
	a := newView(m, language.Text{}, now)
	if !a.tells(newView(m, language.Text{}, now)) || a.tells(newView(m, language.Text{}, now.Add(time.Minute))) {
		t.Error("it isn't seen whether it differs")
	}
	m.Incidents = slices.Clone(m.Incidents)
	m.Incidents[2].Severity = Major
	if a.tells(newView(m, language.Text{}, now)) {
		t.Error("another severity isn't seen")
	}
}

// However incidents overlap, each moment is of one of them.
func TestEachMomentOfIncidentsIsOfOne(t *testing.T) {
	t.Parallel()
	got := apartInTime([]told{{timeline.Span{From: 50, Until: 60}, "c"}, {timeline.Span{From: 0, Until: 40}, "a"}, {timeline.Span{From: 10, Until: 30}, "b"}, {timeline.Span{From: 20, Until: 55}, "d"}})
	want := []told{{timeline.Span{From: 0, Until: 40}, "a"}, {timeline.Span{From: 40, Until: 55}, "d"}, {timeline.Span{From: 55, Until: 60}, "c"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
