package app

import (
	"manus/config"
	"manus/incident"
)

// addIncidents adds what the team tells of trouble and of planned work.
func (a *App) addIncidents() error {
	a.Incidents = incident.New(incident.Config{
		Store: a.store, Audit: a.audit, Policy: a.settings.Incidents, OnUpdate: a.announceUpdate, OnStep: a.announceStep, Log: a.log,
	})
	a.add(room{
		name: "incidents", specs: incident.Specs(), routes: a.Incidents.Routes, run: a.Incidents.Run, sweep: a.Incidents.Sweep,
		apply: func(s config.Settings) (func(), error) {
			return func() { a.Incidents.SetPolicy(s.Incidents) }, nil
		},
	})
	return nil
}
