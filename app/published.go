package app

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"manus/incident"
	"manus/language"
	"manus/statuspage"
)

// Bounds of what is read of incidents for the page.
const (
	maxPublic  = 1000   // that everybody may see, of its days
	maxScanned = 20_000 // that are looked at to find them
	// latestRead is how many of the latest are read each time, and pastEvery how often all are.
	latestRead = 100
	pastEvery  = 30 * time.Second
	// maxNoted is how many are noted as seen by everybody each time.
	maxNoted = 20
)

// pastIncidents are those of the page's days, as they were a moment ago.
type pastIncidents struct {
	mu    sync.Mutex
	of    *[]statuspage.Listed // what the page listed then
	at    time.Time
	all   []statuspage.Incident
	since time.Time // older ones aren't among them; zero where all are
}

// publicIncidents are those that the page tells of, the latest first: all that are open, and those of its days. Those that
// began before since aren't all there, unless that is zero.
func (a *App) publicIncidents(ctx context.Context, now time.Time) (all []statuspage.Incident, since time.Time, err error) {
	past, since, err := a.pastIncidents(ctx, now)
	if err != nil {
		return nil, since, err
	}
	seen := map[string]bool{}
	noted := 0
	add := func(i incident.Incident) bool {
		if seen[i.ID] {
			return len(all) < maxPublic
		}
		seen[i.ID] = true
		if public, is := a.onPage(i, now); is {
			all = append(all, public)
		}
		if noted < maxNoted && a.noteShown(ctx, i) {
			noted++
		}
		return len(all) < maxPublic
	}
	if err := a.scanIncidents(ctx, false, latestRead, add); err != nil {
		return nil, since, err
	}
	if err := a.scanIncidents(ctx, true, maxScanned, add); err != nil {
		return nil, since, err
	}
	for _, i := range past {
		switch {
		case seen[i.ID]:
		case i.IsOver():
			all = append(all, i)
		default: // it was open then, and isn't now
			if ended, err := a.Incidents.Incident(ctx, i.ID); err == nil {
				add(ended)
			}
		}
	}
	slices.SortStableFunc(all, func(x, y statuspage.Incident) int { return y.StartedAt.Compare(x.StartedAt) })
	return all, since, nil
}

// scanIncidents looks at incidents, those that began last first, as long as it is to go on and at most so many.
func (a *App) scanIncidents(ctx context.Context, open bool, most int, each func(incident.Incident) bool) error {
	cursor := ""
	for most > 0 {
		some, next, err := a.Incidents.Incidents(ctx, open, min(most, latestRead*5), cursor)
		if err != nil {
			return err
		}
		for _, i := range some {
			if !each(i) {
				return nil
			}
		}
		most -= len(some)
		if cursor = next; next == "" {
			return nil
		}
	}
	return nil
}

// pastIncidents are all of the page's days. They are read anew each half a minute, and when the page
// lists something else.
func (a *App) pastIncidents(ctx context.Context, now time.Time) ([]statuspage.Incident, time.Time, error) {
	p := &a.past
	p.mu.Lock()
	defer p.mu.Unlock()
	listed := a.listed.Load()
	if age := now.Sub(p.at); p.of == listed && age >= 0 && age < pastEvery {
		return p.all, p.since, nil
	}
	all, since, err := a.readPast(ctx, now, maxPublic, maxScanned)
	if err == nil {
		p.of, p.at, p.all, p.since = listed, now, all, since
	}
	return all, since, err
}

// readPast reads the incidents of the page's days: so many that everybody may see, of so many that are looked at. Where
// there may be more, since is when the first of them began.
func (a *App) readPast(ctx context.Context, now time.Time, public, scanned int) (all []statuspage.Incident, since time.Time, err error) {
	var last time.Time
	seen := 0
	first := now.AddDate(0, 0, -2*statuspage.HistoryDays) // of what began before that nothing ended in its days
	err = a.scanIncidents(ctx, false, scanned, func(i incident.Incident) bool {
		seen, last = seen+1, i.StartedAt.Time
		if shown, is := a.onPage(i, now); is {
			all = append(all, shown)
		}
		return len(all) < public && !last.Before(first)
	})
	if len(all) >= public || seen >= scanned {
		since = last
	}
	return all, since, err
}

// onPage is an incident as the page tells of it by itself: one that is open, or was in its days. One that
// everybody has seen stays there when what it was of isn't listed any more.
func (a *App) onPage(i incident.Incident, now time.Time) (statuspage.Incident, bool) {
	over := i.Status() == incident.Resolved
	if over && i.ResolvedAt.Before(now.AddDate(0, 0, -statuspage.HistoryDays)) {
		return statuspage.Incident{}, false
	}
	public, is := a.published(i)
	if !is && over {
		public, is = former(i)
	}
	return public, is
}

// noteShown notes as of what everybody sees an incident, and tells whether there was anything to be noted. What can't be
// is noted the next time.
func (a *App) noteShown(ctx context.Context, i incident.Incident) bool {
	if a.options.Offline { // a command may not know the server's manus.yaml
		return false
	}
	ids, names := a.concerned(append(slices.Clone(i.Components), i.Monitor)...)
	var parts []incident.Part
	for k, id := range ids {
		parts = append(parts, incident.Part{ID: id, Name: names[k]})
	}
	if i.HasShown(parts) {
		return false
	}
	_ = a.Incidents.NoteShown(ctx, i, parts)
	return true
}

// What is told of an outage that nobody has written of. What a look has found may name
// machines that are nobody's business.
var (
	outageBegan = language.Text{En: "Our monitoring finds that this doesn’t work as it should. We are looking into it.", Ar: "كشفت المراقبة أنّ هذا لا يعمل كما ينبغي، ونحن نتحقّق من السبب."}
	outageEnded = language.Text{En: "It works again.", Ar: "عاد إلى العمل."}
)

// published is an incident as everybody may see it; false where it is of nothing that the page
// lists.
func (a *App) published(i incident.Incident) (statuspage.Incident, bool) {
	components, names := a.concerned(append(slices.Clone(i.Components), i.Monitor)...)
	if len(names) == 0 && (i.Monitor != "" || len(i.Components) > 0) {
		return statuspage.Incident{}, false
	}
	p := publicIncident(i, names)
	p.Components = components
	if p.Automatic {
		people := slices.DeleteFunc(slices.Clone(i.Components), func(id string) bool { return id == i.Monitor })
		p.Named, _ = a.concerned(people...)
	}
	return p, true
}

// former is an incident that everybody has seen, of what the page lists no more; false where nobody has.
func former(i incident.Incident) (statuspage.Incident, bool) {
	var names []language.Text
	for _, part := range i.Shown {
		names = append(names, part.Name)
	}
	p := publicIncident(i, names)
	p.Former = names
	return p, len(names) > 0
}

// publicIncident is what is told of an incident of components with these names.
func publicIncident(i incident.Incident, names []language.Text) statuspage.Incident {
	p := statuspage.Incident{
		ID: i.ID, Title: i.Title, Severity: statuspage.Severity(i.Severity), StartedAt: i.StartedAt.Time, ResolvedAt: i.ResolvedAt.Time, Automatic: i.Monitor != "",
	}
	if p.Automatic && !i.Named {
		p.Title = language.Text{En: joined(names, language.English, ", ") + ": outage", Ar: joined(names, language.Arabic, "، ") + ": انقطاع"}
	}
	for _, u := range i.Updates {
		public := statuspage.Update{ID: u.ID, At: u.At.Time, Stage: statuspage.Stage(u.Status), Text: publicText(u), Over: u.Over.Time}
		for _, e := range u.Earlier {
			public.Earlier = append(public.Earlier, statuspage.Earlier{Text: e.Text, Until: e.Until.Time})
		}
		p.Updates = append(p.Updates, public)
	}
	for _, e := range i.EarlierTimes {
		p.EarlierTimes = append(p.EarlierTimes, statuspage.EarlierTimes{StartedAt: e.StartedAt.Time, ResolvedAt: e.ResolvedAt.Time, Until: e.Until.Time})
	}
	if at := i.Postmortem.PublishedAt; !at.IsZero() {
		p.Updates = append(p.Updates, statuspage.Update{ID: i.ID + "-postmortem", At: at.Time, Stage: statuspage.Postmortem, Text: i.Postmortem.Text})
	}
	return p
}

// publicText is what an update says to everybody.
func publicText(u incident.Update) language.Text {
	switch {
	case !u.Automatic:
		return u.Text
	case u.Status == incident.Resolved:
		return outageEnded
	}
	return outageBegan
}

func joined(names []language.Text, tag language.Tag, by string) string {
	var all []string
	for _, name := range names {
		all = append(all, name.In(tag))
	}
	return strings.Join(all, by)
}
