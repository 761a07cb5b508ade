package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"manus/config"
	"manus/docstore"
	"manus/health"
	"manus/httpapi"
	"manus/lease"
	"manus/readiness"
)

// room is a row of the house: what a capability brings to the running product. What
// it leaves out, it doesn't have.
type room struct {
	name     string
	specs    []docstore.Spec                 // its collections
	checks   []health.Check                  // what /ready tells of it
	promises []readiness.Check               // what 'manus check' measures of it
	routes   func(*httpapi.API)              // its addresses
	reach    func(ctx context.Context)       // waits, not for long, for what requests need: before there are any
	run      func(ctx context.Context)       // its work in the background, on every copy
	sweep    func(ctx context.Context) error // removes what has expired, hourly on one of all copies
	apply    applyFile                       // puts a changed manus.yaml in force
	drain    func()                          // ends what doesn't end by itself, when the program stops
	close    func() error                    // lets go what it holds, after all work
}

// applyFile looks whether settings with a changed manus.yaml can be put in force, without
// doing it, and returns what does it.
type applyFile func(config.Settings) (put func(), err error)

func (a *App) add(r room) { a.rooms = append(a.rooms, r) }

// specs are the collections of all rooms.
func (a *App) specs() []docstore.Spec {
	var specs []docstore.Spec
	for _, r := range a.rooms {
		specs = append(specs, r.specs...)
	}
	return specs
}

// register registers the routes of all rooms.
func (a *App) register(api *httpapi.API) {
	for _, r := range a.rooms {
		if r.routes != nil {
			r.routes(api)
		}
	}
}

// checks are what /ready tells of.
func (a *App) checks() []health.Check {
	var checks []health.Check
	for _, r := range a.rooms {
		checks = append(checks, r.checks...)
	}
	return checks
}

// hints are what /ready tells beside its checks.
func (a *App) hints() (hints []string) {
	if a.damaged.Load() {
		hints = append(hints, "data-damaged")
	}
	if a.beside.Load() {
		hints = append(hints, "data-folder-shared")
	}
	if a.api.HasUntrustedProxy() {
		hints = append(hints, "proxy-not-trusted")
	}
	return hints
}

// check is what /ready tells of one thing. One that isn't configured has no probe.
func (a *App) check(name string, probe func(context.Context) error) health.Check {
	return health.Check{Name: name, Critical: slices.Contains(a.settings.ReadyCritical, name), Probe: probe}
}

// reach waits for what requests need.
func (a *App) reach(ctx context.Context) {
	for _, r := range a.rooms {
		if r.reach != nil {
			r.reach(ctx)
		}
	}
}

// work starts what the rooms do in the background, until ctx ends.
func (a *App) work(ctx context.Context) {
	a.reporter.Start()
	a.inBackground(func() { a.reportCrashes(ctx) })
	for _, r := range a.rooms {
		if r.run != nil {
			a.inBackground(func() { r.run(ctx) })
		}
		if r.sweep != nil {
			a.inBackground(func() { a.sweep(ctx, r) })
		}
	}
	if a.settings.ConfigPath != "" {
		a.inBackground(func() { a.watchFile(ctx) })
	}
}

// sweep has one of all copies sweep a room once an hour. It may be done twice, so what
// it writes needs no fence.
func (a *App) sweep(ctx context.Context, r room) {
	a.leases.Every(ctx, "sweep-"+r.name, time.Hour, func(ctx context.Context, _ lease.Held) error { return r.sweep(ctx) })
}

// apply puts a changed manus.yaml in force, or nothing of it.
func (a *App) apply(s config.Settings) error {
	var errs []error
	var puts []func()
	for _, r := range a.rooms {
		if r.apply != nil {
			put, err := r.apply(s)
			puts, errs = append(puts, put), append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, put := range puts {
		put()
	}
	a.inForce.Store(&s)
	a.warn(s)
	return nil
}

// warn logs what is most likely a mistake in settings that are in force, unless that was
// logged of those before.
func (a *App) warn(s config.Settings) {
	warnings := s.Warnings()
	for _, warning := range warnings {
		if !slices.Contains(a.warned, warning) {
			a.log.Warn(warning)
		}
	}
	a.warned = warnings
}

// drain ends what would hold up the end of requests in flight.
func (a *App) drain() {
	for _, r := range a.rooms {
		if r.drain != nil {
			r.drain()
		}
	}
}

// Close lets go what the rooms hold, the last one first.
func (a *App) Close() error {
	var errs []error
	for _, r := range slices.Backward(a.rooms) {
		if r.close != nil {
			errs = append(errs, r.close())
		}
	}
	a.rooms = nil
	return errors.Join(errs...)
}
