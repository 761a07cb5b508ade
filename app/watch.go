package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"manus/config"
	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/health"
	"manus/incident"
	"manus/lease"
	"manus/statuspage"
	"manus/uptime"
	"manus/uptime/probe"
	"manus/uptime/remote"
)

// WatchOptions is what Watch is made of.
type WatchOptions struct {
	Settings config.Settings // of LoadWatch
	Version  health.Version
	// StatusDir is the folder that a copy of the status page is kept in, as files; empty for none.
	// StatusURL is where that will be, for its feed and JSON.
	StatusDir, StatusURL string
	// CheckPace is how often it is looked what strangers are shown of the page, and how
	// patiently; zero is the usual.
	CheckPace statuspage.CheckPace
	Log       *slog.Logger
}

// handoverTTL is how long nobody watches at a place that was killed and is started again.
const handoverTTL = 3 * time.Second

// pulseWithin is how long ago a server may have been reached that counts as reached.
const pulseWithin = time.Minute

// Watch watches monitors from another place than the server's until ctx ends: what it finds it
// keeps in the data folder, and hands in to the server. It has nothing else of the product.
func Watch(ctx context.Context, o WatchOptions) error {
	s := o.Settings
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return err
	}
	store, err := sqlitedocs.Open(ctx, filepath.Join(s.DataDir, "watch.db"))
	if err != nil {
		return err
	}
	server, apply, closeServer, err := openServer(ctx, o)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	err = declare(ctx, store, append(uptime.PlaceSpecs(), lease.Specs()...))
	if err == nil {
		err = watchFrom(ctx, o, store, server, apply)
	}
	return errors.Join(err, store.Close(), closeServer())
}

// openServer is whom a place hands in to: a server that is far away, or the store that it
// works on. What is watched then stands in manus.yaml, which apply puts in force.
func openServer(ctx context.Context, o WatchOptions) (server uptime.Server, apply func(config.Settings) error, closeIt func() error, err error) {
	s := o.Settings
	if s.Probe.Server != "" {
		if remote.IsClear(s.Probe.Server) {
			o.Log.Warn("PROBE_SERVER is reached by http: whoever is on the way can read the key; use https")
		}
		return remote.New(s.Probe.Server, s.Probe.Key.Reveal(), o.Version.Version, o.Log), nil, func() error { return nil }, nil
	}
	store, err := openWith(ctx, s, append(uptime.Specs(), lease.Specs()...))
	if err != nil {
		return nil, nil, nil, err
	}
	shared := uptime.New(uptime.Config{Store: store, Prober: probe.New(probe.Options{}), Monitors: s.Monitors, Log: o.Log}) // its own are those that the server has noted
	apply = func(s config.Settings) error { shared.SetMonitors(s.Monitors); return nil }
	return shared, apply, store.Close, nil
}

// watchFrom watches and hands in.
func watchFrom(ctx context.Context, o WatchOptions, store docstore.Store, server uptime.Server, apply func(config.Settings) error) error {
	s := o.Settings
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var here *uptime.Service
	check := newCheck(o, server, func() bool { view, _ := here.View(); return view.CutOff })
	handover := uptime.NewHandover(uptime.HandoverConfig{Place: s.Probe.Name, Server: server, Store: store, Pages: pagesOf(check), Log: o.Log})
	here = uptime.New(uptime.Config{
		Store: store, Leases: lease.New(lease.Config{Store: store, TTL: handoverTTL, Log: o.Log}), Prober: probe.New(probe.Options{Version: o.Version.Version}),
		Place: s.Probe.Name, Kept: handover.Kept, Log: o.Log,
		Secrets: monitorSecrets(s),
	})
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	working.Go(func() { here.Run(ctx) })
	working.Go(func() { sweepEvery(ctx, time.Hour, here.Sweep, o.Log) })
	if !s.Heartbeat.Empty() {
		pulse := &uptime.Pulse{URL: s.Heartbeat.Reveal(), Log: o.Log, Works: func(context.Context) bool {
			_, watches := here.View()
			return watches && time.Since(handover.Last()) < pulseWithin
		}}
		working.Go(func() { pulse.Run(ctx) })
	}
	if check != nil {
		far := server.(*remote.Server)
		working.Go(func() { check.Run(ctx) })
		working.Go(func() {
			statuspage.Mirror(ctx, statuspage.MirrorConfig{
				Fetch: func(ctx context.Context) (page statuspage.Snapshot, err error) { return page, far.Page(ctx, &page) },
				Dir:   o.StatusDir, URL: o.StatusURL, Wrote: check.Wrote, Markdown: incident.HTML, Plain: incident.Plain, Log: o.Log,
			})
		})
	}
	if apply != nil && s.ConfigPath != "" {
		working.Go(func() { watchFile(ctx, s, apply, o.Log) })
	}
	o.Log.InfoContext(ctx, "started", "place", s.Probe.Name)
	if err := handover.Run(ctx, here); err != nil {
		return fmt.Errorf("PROBE_NAME %s: %w", s.Probe.Name, err)
	}
	o.Log.InfoContext(context.WithoutCancel(ctx), "stopped")
	return nil
}

// newCheck checks, where a copy of the page is kept, that strangers are shown what they should be;
// nil elsewhere.
func newCheck(o WatchOptions, server uptime.Server, cutOff func() bool) *statuspage.Check {
	far, ok := server.(*remote.Server)
	if !ok || o.StatusDir == "" {
		return nil
	}
	return statuspage.NewCheck(statuspage.CheckConfig{
		Shown:  func(ctx context.Context) (shown statuspage.Shown, err error) { return shown, far.Shown(ctx, &shown) },
		CutOff: cutOff, Agent: "Manus/" + o.Version.Version, Pace: o.CheckPace, Log: o.Log,
	})
}

// pagesOf are a check's findings, for the server; nil where there is none.
func pagesOf(check *statuspage.Check) func() []uptime.PageLook {
	if check == nil {
		return nil
	}
	return func() (all []uptime.PageLook) {
		for _, f := range check.Findings() {
			all = append(all, uptime.PageLook{Page: f.Of, URL: f.URL, State: string(f.State), Since: f.Since, Text: f.Text})
		}
		return all
	}
}

// sweepEvery sweeps at once and then every so often, until ctx ends.
func sweepEvery(ctx context.Context, every time.Duration, sweep func(context.Context) error, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := sweep(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "old results can't be removed; it will be tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
