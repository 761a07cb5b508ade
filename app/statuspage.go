package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"manus/config"
	"manus/console"
	"manus/httpapi"
	"manus/identity"
	"manus/incident"
	"manus/internal/timeline"
	"manus/language"
	"manus/ratelimit"
	"manus/statuspage"
	"manus/uptime"
	"manus/uptime/remote"
)

// addStatusPage adds the public page. It shows what uptime and incidents know, of what it
// lists.
func (a *App) addStatusPage() error {
	settings, err := a.statusSettings(a.settings)
	if err != nil && !a.options.Offline { // a command has no use for a logo, or says so itself
		return err
	}
	a.setListed(settings.Policy)
	a.Status = statuspage.New(statuspage.Config{
		Read: a.statusModel, Incident: a.publicIncident, Markdown: incident.HTML, Plain: incident.Plain, Log: a.log,
	}, settings)
	a.add(room{
		name: "statuspage", routes: a.statusRoutes, run: a.Status.Run,
		reach: func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_ = a.Status.Refresh(ctx) // it is tried again, and said then
		},
		apply: func(s config.Settings) (func(), error) {
			changed, err := a.statusSettings(s)
			return func() {
				a.setListed(changed.Policy)
				a.Status.Set(changed)
			}, err
		},
	})
	return nil
}

// setListed is what others go by of what manus.yaml says of the page.
func (a *App) setListed(p statuspage.Policy) {
	a.listed.Store(&p.Components)
	a.privateWebhooks.Store(p.PrivateWebhooks)
}

// subscribeHere is where people ask to be told, from the root of the site.
const subscribeHere = "status/subscribe"

// statusSettings are the page's, with its logo.
func (a *App) statusSettings(s config.Settings) (statuspage.Settings, error) {
	settings := statuspage.Settings{Policy: s.StatusPage, URL: s.StatusURL, Root: s.StatusURL != "", Subscribe: subscribeHere}
	if settings.URL == "" {
		settings.URL = a.watchedURL()
	}
	var err error
	if settings.Picture, err = s.StatusPage.ReadLogo(filepath.Dir(s.ConfigPath)); settings.Picture.Body == nil {
		settings.Picture = s.Product.Logo
	}
	if settings.Title == (language.Text{}) {
		settings.Title = s.Product.Name
	}
	return settings, err
}

// statusLook is how the page looks, for pages that belong to it.
func (a *App) statusLook(tag language.Tag) console.Look {
	l := a.Status.Look(tag)
	return console.Look{Style: l.Style, Icon: l.Logo, Name: l.Name}
}

// statusParts are the components on the page.
func (a *App) statusParts() (parts []console.Part) {
	for _, c := range a.Status.Listed() {
		parts = append(parts, console.Part{ID: c.ID, Name: c.Name})
	}
	return parts
}

// statusRoot is what is answered at the root of a host of the page's own.
func (a *App) statusRoot() map[string]string {
	if host := a.settings.StatusHost(); host != "" {
		return map[string]string{host: "/status"}
	}
	return nil
}

// RenderStatus writes the page as files below a folder, whose root is at a URL, and returns how many.
// Empty is where the settings say.
func (a *App) RenderStatus(ctx context.Context, dir, url string) (int, error) {
	settings, err := a.statusSettings(a.settings)
	if err != nil {
		return 0, err
	}
	settings.Subscribe = a.subscribeElsewhere()
	if url != "" {
		settings.URL, settings.Root = strings.TrimSuffix(url, "/"), true
	}
	a.Status.Set(settings)
	if err := a.Status.Refresh(ctx); err != nil {
		return 0, err
	}
	return a.Status.Export(dir)
}

// subscribeElsewhere is where people subscribe from a copy of the page that is files, which take
// no forms; empty where that isn't known.
func (a *App) subscribeElsewhere() string {
	if a.settings.PublicURL == "" {
		return ""
	}
	return strings.TrimSuffix(a.settings.PublicURL, "/") + "/" + subscribeHere
}

// statusRoutes are those of the page, and those for a copy of it elsewhere. What that is told
// is what everybody can read.
func (a *App) statusRoutes(api *httpapi.API) {
	a.Status.Routes(api)
	forCopies := func(path string, serve http.HandlerFunc) {
		api.Handle(httpapi.Route{
			Access: httpapi.Operators, Scope: identity.Probe, Pattern: "GET " + httpapi.Prefix + path,
			Limits: []ratelimit.Rule{ratelimit.NewRule("600/minute", ratelimit.ByUser)},
		}, serve)
	}
	forCopies(remote.PagePath, a.serveSnapshot)
	forCopies(remote.ShownPath, a.serveShown)
}

// serveShown answers with what strangers should be shown now, whatever is before this server.
func (a *App) serveShown(w http.ResponseWriter, r *http.Request) {
	shown, err := a.Status.Shown()
	if err != nil {
		httpapi.WriteError(w, r, statuspage.Kinds, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer := json.NewEncoder(w)
	answer.SetEscapeHTML(false)
	_ = answer.Encode(shown)
}

func (a *App) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	page, err := a.Status.Snapshot(r.Context())
	if err != nil {
		httpapi.WriteError(w, r, nil, err)
		return
	}
	page.Settings.Subscribe = a.subscribeElsewhere()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(page)
}

// ownComponents are what the page lists where manus.yaml says nothing: the product's own
// monitors. Those of manus.yaml may be nobody's business.
var ownComponents = []statuspage.Listed{
	{ID: "health", Name: language.Text{En: "Health", Ar: "سلامة الخدمة"}, Monitors: []string{"health"}},
	{ID: "ready", Name: language.Text{En: "Readiness", Ar: "الجاهزية"}, Monitors: []string{"ready"}},
	{ID: "homepage", Name: language.Text{En: "Homepage", Ar: "الصفحة الرئيسية"}, Monitors: []string{"homepage"}},
}

// components are what the page lists.
func (a *App) components() []statuspage.Listed {
	if listed := a.listed.Load(); listed != nil && len(*listed) > 0 {
		return *listed
	}
	return ownComponents
}

// statusModel is all that the page tells, as it is now.
func (a *App) statusModel(ctx context.Context) (m statuspage.Model, err error) {
	planned, err := a.Incidents.PlannedNow(ctx)
	if err != nil {
		return m, err
	}
	now := time.Now()
	if m.Components, err = a.publicComponents(ctx, planned, now); err != nil {
		return m, err
	}
	if m.Incidents, m.IncidentsSince, err = a.publicIncidents(ctx, now); err != nil {
		return m, err
	}
	m.Maintenances, m.WorksLeft = a.publishedWorks(planned, now)
	return m, nil
}

// publicComponents are the components with how they are and were. Planned work excuses those that it names, and not
// others that have the same monitors.
func (a *App) publicComponents(ctx context.Context, planned []incident.Timed, now time.Time) ([]statuspage.Component, error) {
	listed := a.components()
	var ids []string
	for _, l := range listed {
		ids = append(ids, l.Monitors...)
	}
	slices.Sort(ids)
	pasts, err := a.Uptime.Pasts(ctx, statuspage.HistoryDays, slices.Compact(ids)...)
	if err != nil {
		return nil, err
	}
	states := map[uptime.Status]statuspage.State{uptime.Up: statuspage.IsUp, uptime.Down: statuspage.IsDown}
	works := worksOf(planned, timeline.Between(now.AddDate(0, 0, -statuspage.HistoryDays), now.Add(time.Second)))
	var all []statuspage.Component
	for _, l := range listed {
		c := statuspage.Component{ID: l.ID, Name: l.Name, About: l.About, Group: l.Group}
		for _, id := range l.Monitors {
			p, there := pasts[id]
			if !there {
				continue
			}
			w := statuspage.Watched{State: states[p.Status], History: p.History, Cut: p.Cut, Paused: p.Paused}
			if w.History.Excused = works.at(l.ID, id); w.State != statuspage.IsUnknown && w.History.IsExcused(now) {
				w.State = statuspage.IsWork
			}
			c.Watched = append(c.Watched, w)
		}
		if len(c.Watched) == 0 && &listed[0] == &ownComponents[0] { // the product isn't watched
			continue
		}
		all = append(all, c)
	}
	return all, nil
}

// publicIncident is one of any age.
func (a *App) publicIncident(ctx context.Context, id string) (statuspage.Incident, bool, error) {
	i, err := a.Incidents.Incident(ctx, id)
	if errors.Is(err, incident.ErrNone) {
		return statuspage.Incident{}, false, nil
	}
	if err != nil {
		return statuspage.Incident{}, false, err
	}
	if public, is := a.published(i); is {
		return public, true, nil
	}
	public, was := former(i)
	return public, was, nil
}

// concerned are the listed components that ids are of, or of monitors of, and their names.
func (a *App) concerned(ids ...string) (components []string, names []language.Text) {
	for _, c := range a.components() {
		if c.Concerns(ids...) {
			components, names = append(components, c.ID), append(names, c.Name)
		}
	}
	return components, names
}

// How many times of planned work the page tells of: of one work, and of those that are over of all.
const (
	maxOver    = 120
	maxComing  = 5
	maxAllOver = 1000
)

// publishedWorks are the times of planned works that the page tells of, by when they begin; left tells that there were
// older ones in its days.
func (a *App) publishedWorks(planned []incident.Timed, now time.Time) (all []statuspage.Maintenance, left bool) {
	for _, t := range planned {
		times, more := a.publishedTimes(t, now)
		all, left = append(all, times...), left || more
	}
	slices.SortStableFunc(all, func(x, y statuspage.Maintenance) int { return x.From.Compare(y.From) })
	over := 0
	for i, m := range slices.Backward(all) {
		if m.Progress != statuspage.Completed {
			continue
		}
		if over++; over > maxAllOver {
			all, left = slices.Delete(all, i, i+1), true
		}
	}
	return all, left
}

// publishedTimes are the times of a planned work that the page tells of.
func (a *App) publishedTimes(t incident.Timed, now time.Time) (all []statuspage.Maintenance, left bool) {
	if ids, _ := a.concerned(t.Components...); len(t.Components) > 0 && len(ids) == 0 {
		return nil, false
	}
	times := t.Occurrences(now.AddDate(0, 0, -statuspage.HistoryDays), now.AddDate(1, 0, 0))
	coming := slices.IndexFunc(times, func(o incident.Occurrence) bool { return o.Until.After(now) })
	if coming < 0 {
		coming = len(times)
	}
	left = coming > maxOver
	for _, o := range times[max(0, coming-maxOver):min(len(times), coming+maxComing)] {
		if m, is := a.publishedTime(o, now); is {
			all = append(all, m)
		}
	}
	if given, is := t.Given(now); is {
		if m, is := a.publishedTime(given, now); is {
			all = append(all, m)
		}
	}
	return all, left
}

// publishedTime is a time of a planned work as everybody may see it; false where it is at nothing that the
// page lists.
func (a *App) publishedTime(o incident.Occurrence, now time.Time) (statuspage.Maintenance, bool) {
	ids, _ := a.concerned(o.Components...)
	if len(o.Components) > 0 && len(ids) == 0 {
		return statuspage.Maintenance{}, false
	}
	reached := o.History(now)
	last := reached[len(reached)-1]
	return statuspage.Maintenance{
		ID: o.Key(), Series: o.ID, Again: o.Again(), Title: o.Title, Text: o.Text, Components: ids, From: o.From, Until: o.Until, CreatedAt: o.CreatedAt.Time,
		Progress: statuspage.Progress(last.Stage), ChangedAt: last.At,
	}, true
}
