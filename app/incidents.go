package app

import (
	"context"
	"slices"
	"time"

	"manus/config"
	"manus/incident"
)

// addIncidents adds what the team tells of trouble and of planned work.
func (a *App) addIncidents() error {
	c := incident.Config{
		Store: a.store, Audit: a.audit, Policy: a.settings.Incidents, OnUpdate: a.announceUpdate, OnStep: a.announceStep, Log: a.log,
	}
	if !a.options.Offline { // a command may not know the server's manus.yaml
		c.Known = a.concernable
	}
	a.Incidents = incident.New(c)
	a.add(room{
		name: "incidents", specs: incident.Specs(), routes: a.Incidents.Routes, run: a.Incidents.Run, sweep: a.Incidents.Sweep,
		reach: func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_ = a.Incidents.NoteChoices(ctx) // it is tried again, and said then
		},
		apply: func(s config.Settings) (func(), error) {
			return func() { a.Incidents.SetPolicy(s.Incidents) }, nil
		},
	})
	return nil
}

// concernable is what incidents and planned work may be about: components of the page, and monitors.
func (a *App) concernable(ctx context.Context) (ids []string, err error) {
	monitors, err := a.Uptime.IDs(ctx)
	for _, l := range a.components() {
		ids = append(ids, l.ID)
		monitors = append(monitors, l.Monitors...)
	}
	slices.Sort(monitors)
	monitors = slices.DeleteFunc(slices.Compact(monitors), func(id string) bool { return slices.Contains(ids, id) })
	return append(ids, monitors...), err
}
