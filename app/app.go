// Package app builds the running product out of settings: it is the only room
// that knows all the others. What the product does is in them; here they are
// joined, started and stopped.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/account"
	"manus/audit"
	"manus/backup"
	"manus/billing"
	"manus/config"
	"manus/console"
	"manus/docstore"
	"manus/errtrack"
	"manus/errtrack/report"
	"manus/health"
	"manus/httpapi"
	"manus/idempotency"
	"manus/incident"
	"manus/internal/redisclient"
	"manus/lease"
	"manus/mail"
	"manus/notify"
	"manus/ratelimit"
	"manus/ratelimit/redislimit"
	"manus/readiness"
	"manus/session"
	"manus/statuspage"
	"manus/subscribe"
	"manus/uptime"
)

// Options is what an App is made of.
type Options struct {
	Settings config.Settings
	Version  health.Version
	Log      *slog.Logger
	// Offline joins the rooms for a command that works beside a server: nothing is
	// started, and what changes note is left for the server to deliver. Unopened is
	// for one that uses nothing of what is stored.
	Offline, Unopened bool
	// NoStore is why the store couldn't be opened, for a command that is Unopened for that.
	NoStore error
	// LimitsPatience is how long the copies may not count limits together before that is
	// told; zero means 30 s.
	LimitsPatience time.Duration
	// CrashDir is where KeepCrash has files of earlier runs, which are reported; empty is
	// nowhere.
	CrashDir string
	// Subprocess starts this program again, for BackupWork with these arguments; nil
	// means that backups are read in this process.
	Subprocess func(ctx context.Context, args ...string) *exec.Cmd

	world world
}

// App is the product: its rooms, joined on one store, and what listens for them.
type App struct {
	Accounts    *account.Service
	Plans       *billing.Service
	Limits      *ratelimit.Service
	Alerts      *notify.Service
	Errors      *errtrack.Service
	Incidents   *incident.Service
	Uptime      *uptime.Service
	Status      *statuspage.Service
	Subscribers *subscribe.Service
	Readiness   *readiness.Service

	settings config.Settings
	inForce  atomic.Pointer[config.Settings] // those with the manus.yaml of now; nil: settings
	options  Options
	log      *slog.Logger     // has errors reported
	reporter *report.Reporter // nil in commands
	registry *prometheus.Registry
	rooms    []room

	store    docstore.Store
	clock    func(context.Context) (time.Time, error) // the store's; nil where that is this machine's
	reopened bool                                     // the store was there before it was opened
	damaged  atomic.Bool                              // data in it was found to be damaged since the start
	warned   []string                                 // what was last logged of settings, see warn
	beside   atomic.Bool                              // another server is at work on the data folder
	audit    *audit.Log
	leases   *lease.Service
	redis    *redisclient.Client // nil without Redis
	shared   *redislimit.Engine  // nil without Redis
	breaker  *ratelimit.Breaker  // nil without Redis, and in commands
	mailer   mail.Sender         // nil without a mail server
	outbox   *mail.Outbox        // nil where no mails are sent or kept
	sessions *session.Service
	repeats  *idempotency.Service
	pulse    *uptime.Pulse                  // nil where nobody waits for one
	backups  atomic.Pointer[backup.Service] // nil where none are configured
	schedule *backup.Schedule               // nil where none are made
	health   *health.Service
	pages    *console.Pages
	listed   atomic.Pointer[[]statuspage.Listed] // the status page's components
	// privateWebhooks lets subscribers' webhooks be in the own network.
	privateWebhooks atomic.Bool
	past            pastIncidents // what that page tells of its days
	api             *httpapi.API
	routes          func() ratelimit.Routes // once all rooms are there

	public, ops *server
	background  sync.WaitGroup
	stopWork    context.CancelFunc
}

// New joins the rooms, but starts nothing yet. What it has opened is closed again
// when it fails.
func New(ctx context.Context, o Options) (*App, error) {
	a := newApp(o)
	err := a.addReports()
	if err == nil {
		err = a.addStore(ctx)
	}
	if err == nil {
		err = a.build()
	}
	if err == nil && !o.Offline {
		err = a.prepare(ctx)
	}
	if err != nil {
		return nil, a.abandon(ctx, err)
	}
	return a, nil
}

// abandon lets go of everything after a start that has failed, and returns why.
func (a *App) abandon(ctx context.Context, err error) error {
	a.background.Wait() // an alarm
	closing := a.Close()
	if errors.Is(err, docstore.ErrCorrupt) { // by which closing fails too
		return a.advised(ctx, err)
	}
	return errors.Join(err, closing)
}

func newApp(o Options) *App {
	a := &App{settings: o.Settings, options: o, log: o.Log, registry: newRegistry(o.Version)}
	a.routes = sync.OnceValue(a.listRoutes)
	return a
}

// prepare makes everything ready to be started: the store's collections, and the door
// with all routes.
func (a *App) prepare(ctx context.Context) error {
	if err := prepare(ctx, a.store, a.specs()); err != nil {
		return err
	}
	if err := a.own(ctx); err != nil {
		return err
	}
	a.api = httpapi.New(httpapi.Config{
		Log: a.options.Log, Version: a.options.Version.Version, Caller: a.Accounts.Caller, TrustedProxies: a.settings.TrustedProxies, ProxyHeader: a.settings.ProxyHeader,
		LoopbackOnly: a.settings.Dev, Root: a.statusRoot(), Origins: a.settings.Origins, Metrics: a.registry, Reporter: a.reporter, Routine: a.isOwnCheck,
		Page: a.pages.ShowProblem,
	})
	a.register(a.api)
	a.api.Limit(a.Limits)
	a.api.Remember(a.repeats)
	a.warn(a.settings)
	return a.pages.Render(a.api)
}

// Start listens and serves, when what requests need has been reached or been waited for.
// It returns once requests are answered.
func (a *App) Start(ctx context.Context) error {
	a.reach(ctx)
	var err error
	if a.public, err = listen(ctx, a.settings.Addr, a.Readiness.Proving(a.api), a.log); err != nil {
		return fmt.Errorf("%w; choose another address with %s", err, a.addrSetting())
	}
	if a.settings.OpsAddr != "" {
		ops := opsHandler(a.registry)
		if checkLoopback(a.settings.OpsAddr) == nil {
			ops = httpapi.LoopbackOnly(ops)
		}
		if a.ops, err = listen(ctx, a.settings.OpsAddr, ops, a.log); err != nil {
			return errors.Join(fmt.Errorf("%w; set OPS_ADDR to another address, or to 'off'", err), a.public.close())
		}
	}
	a.Readiness.ReachedAt(a.watchedURL())
	if a.settings.PublicURL == "" {
		a.Errors.ReachedAt(localURL(a.Addr()))
		a.Uptime.ReachedAt(localURL(a.Addr()))
		if a.settings.Dev {
			a.Uptime.SetOwn(a.ownMonitors(a.watchedURL()))
		}
		if a.settings.StatusURL == "" {
			a.Status.SetURL(a.watchedURL())
		}
	}
	var working context.Context
	working, a.stopWork = context.WithCancel(context.WithoutCancel(ctx))
	a.work(working)
	a.log.InfoContext(ctx, "started", "addr", a.Addr(), "ops_addr", a.OpsAddr(), "environment", a.settings.Environment)
	return nil
}

// addrSetting is how the person who starts the server says where it listens.
func (a *App) addrSetting() string {
	if a.settings.Dev {
		return "--addr, such as --addr 127.0.0.1:8081"
	}
	return "ADDR, or with PORT where that is set"
}

// Addr is the address listened on, with the port that was picked.
func (a *App) Addr() string { return a.public.addr() }

// OpsAddr is the address of metrics and profiles, empty when they are off.
func (a *App) OpsAddr() string { return a.ops.addr() }

// Failed is closed when a listener has failed and the program should end.
func (a *App) Failed() <-chan error { return a.public.failed }

// Stop ends the product: /ready says so first, and after the configured delay
// the listener closes while requests in flight are finished. When ctx ends, what
// is left of the delay and of the requests is cut short.
func (a *App) Stop(ctx context.Context) error {
	if a.stopWork == nil { // it was never started
		return a.Close()
	}
	a.health.Drain()
	a.api.Drain()
	a.log.InfoContext(ctx, "stopping", "delay", a.settings.ShutdownDelay)
	select {
	case <-time.After(a.settings.ShutdownDelay):
	case <-ctx.Done():
	}
	if err := turnAway(a.public.listener); err != nil { // not in every sandbox
		a.log.WarnContext(ctx, "connections that come right now may be reset", "error", err)
	}
	a.drain()
	ctx, cancel := context.WithTimeout(ctx, a.settings.ShutdownTimeout)
	defer cancel()
	err := a.public.shutdown(ctx)
	a.flushReports()
	a.stopWork()
	a.background.Wait()
	err = errors.Join(err, a.ops.close(), a.Close())
	a.log.InfoContext(ctx, "stopped")
	return err
}
