package app

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"manus/config"
	"manus/httpapi"
	"manus/incident"
	"manus/internal/timeline"
	"manus/lease"
	"manus/notify"
	"manus/uptime"
	"manus/uptime/probe"
)

// watchTTL is how long nobody watches monitors after the copy that did has died: another one
// takes over within it and a few seconds.
const watchTTL = 9 * time.Second

// addUptime adds what watches the product, and whatever manus.yaml says.
func (a *App) addUptime() error {
	a.Uptime = uptime.New(uptime.Config{
		Store: a.store, Audit: a.audit, Leases: lease.New(lease.Config{Store: a.store, TTL: watchTTL, OnLost: a.tellLostLease, Log: a.log}),
		Prober:   probe.New(probe.Options{Version: a.options.Version.Version}),
		Monitors: a.settings.Monitors, Own: a.ownMonitors(a.settings.PublicURL), Secrets: monitorSecrets(a.settings), URL: URLOf(a.settings),
		AllowPrivate: a.settings.Dev || a.settings.Alerts.AllowPrivate,
		Place:        a.settings.Probe.Name, Planned: a.plannedOf, Tell: a.tellMonitor, Metrics: a.registry, Log: a.log,
	})
	if !a.settings.Heartbeat.Empty() {
		a.pulse = &uptime.Pulse{URL: a.settings.Heartbeat.Reveal(), Works: a.Uptime.Watches, Log: a.log}
	}
	a.add(room{
		name: "uptime", specs: uptime.Specs(), routes: a.Uptime.Routes, run: a.runUptime, sweep: a.Uptime.Sweep,
		promises: a.Uptime.Promises(uptime.PromisesConfig{Addresses: a.ownAddresses, Pulse: a.pulse, Trial: a.settings.Dev}),
		apply: func(s config.Settings) (func(), error) {
			return func() { a.Uptime.SetMonitors(s.Monitors) }, nil
		},
	})
	return nil
}

// runUptime watches, and says outward that somebody does.
func (a *App) runUptime(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	if a.pulse != nil {
		working.Go(func() { a.pulse.Run(ctx) })
	}
	a.Uptime.Run(ctx)
}

// watchedURL is where the product watches itself: PUBLIC_URL, or in development where it
// listens; empty where it doesn't.
func (a *App) watchedURL() string {
	if !a.settings.Dev {
		return a.settings.PublicURL
	}
	return a.siteURL()
}

// isOwnCheck tells whether a request is one by which the product watches itself: whoever tries it
// doesn't want to read of three of them a minute.
func (a *App) isOwnCheck(r *http.Request) bool {
	return a.settings.Dev && r.UserAgent() == probe.Agent(a.options.Version.Version)
}

// ownPaths are what the product watches of itself.
var ownPaths = []struct{ id, name, path string }{{"health", "Health", "/api/v1/health"}, {"ready", "Readiness", "/api/v1/ready"}, {"homepage", "Homepage", "/"}}

// ownAddresses are the addresses of those, each in all its forms; none where it isn't known
// where the product is reached.
func (a *App) ownAddresses(ctx context.Context) (all [][]string) {
	url := strings.TrimSuffix(a.ServedAt(ctx), "/")
	if url == "" {
		return nil
	}
	for _, one := range ownPaths {
		all = append(all, []string{url + one.path, url + strings.TrimSuffix(strings.TrimPrefix(one.path, httpapi.Prefix), "/")})
	}
	return all
}

// ownMonitors are the product's own, which are watched at an address. A command that doesn't
// know it leaves them to the copy that watches: it returns nil.
func (a *App) ownMonitors(url string) uptime.Policy {
	if url == "" && a.options.Offline {
		return nil
	}
	own := uptime.Policy{}
	if url == "" {
		return own
	}
	for _, one := range ownPaths {
		own = append(own, uptime.Monitor{ID: one.id, Name: one.name, Type: probe.HTTP, URL: strings.TrimSuffix(url, "/") + one.path, Private: true})
	}
	return own
}

func monitorSecrets(s config.Settings) uptime.Secrets {
	secrets := uptime.Secrets{}
	for variable, secret := range s.MonitorSecrets {
		secrets[variable] = secret.Reveal()
	}
	return secrets
}

// plannedOf are the times of maintenance of a monitor: those that name it or a component that
// it is a part of, and those that name none.
func (a *App) plannedOf(ctx context.Context, monitor string, window timeline.Span) (all timeline.Spans) {
	planned, _ := a.Incidents.Planned(ctx) // those of before, while the store is gone
	concerned := []string{monitor}
	for _, c := range a.components() {
		if slices.Contains(c.Monitors, monitor) {
			concerned = append(concerned, c.ID)
		}
	}
	return worksOf(planned, window).at(concerned...)
}

// works are times of planned work, each with what it names.
type works []struct {
	names []string
	times timeline.Spans
}

func worksOf(planned []incident.Timed, window timeline.Span) (all works) {
	for _, m := range planned {
		if times := m.Within(window); len(times) > 0 {
			all = append(all, struct {
				names []string
				times timeline.Spans
			}{m.Components, times})
		}
	}
	return all
}

// at are the times of works that name one of some ids, or none.
func (w works) at(ids ...string) (all timeline.Spans) {
	for _, one := range w {
		if len(one.names) == 0 || slices.ContainsFunc(one.names, func(id string) bool { return slices.Contains(ids, id) }) {
			all = all.Or(one.times...)
		}
	}
	return all
}

// tellMonitor opens or resolves the incident of an outage, and then tells of it: so nobody is
// told of what can't be looked up.
func (a *App) tellMonitor(ctx context.Context, told uptime.Told) error {
	if told.Kind == uptime.MonitorDown {
		err := a.Incidents.Tell(ctx, incident.Outage{
			Key: told.Monitor.ID + "-" + told.Occurrence, Monitor: told.Monitor.ID, Components: []string{told.Monitor.ID}, Severity: incident.Major,
			Title: told.Title, Text: told.Text, At: told.At, Over: told.Over,
		})
		if err != nil {
			return err
		}
	}
	level := notify.Level("") // the kind's
	if told.Severity == uptime.Page {
		level = notify.Critical
	}
	components, _ := a.concerned(told.Monitor.ID)
	return a.Alerts.Tell(ctx, notify.Event{
		Kind: told.Kind, Level: level, Subject: cmp.Or(told.Monitor.ID, told.Place), Occurrence: told.Occurrence, Over: told.Over, At: told.At, Title: told.Title, Text: told.Text, Looks: looksOf(told),
		Monitor: told.Monitor.ID, Components: components,
	})
}

// looksOf are the looks that have shown what is told.
func looksOf(told uptime.Told) (all []notify.Look) {
	for _, l := range told.Looks {
		all = append(all, notify.Look{At: l.At, Place: l.Place, Found: l.Error, Said: l.Said})
	}
	return all
}
