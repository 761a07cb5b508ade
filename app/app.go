// Package app builds the running product out of settings: it is the only room
// that knows all the others. What the product does is in them; here they are
// joined, started and stopped.
package app

import (
	"context"
	"crypto/rand"
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
	"manus/health"
	"manus/httpapi"
	"manus/internal/redisclient"
	"manus/lease"
	"manus/mail"
	"manus/ratelimit"
	"manus/session"
	"manus/session/redishints"
)

// Options is what an App is made of.
type Options struct {
	Settings config.Settings
	Version  health.Version
	Log      *slog.Logger
	// Offline joins the rooms for a command that works beside a server: nothing is
	// started, the store is opened when it is first used, and what changes note is
	// left for the server to deliver.
	Offline bool
	// LimitTimeout is how long a decision about limits waits for Redis; 0 means
	// as long as redislimit does by itself.
	LimitTimeout time.Duration
	// Subprocess starts this program again, for BackupWork with these arguments; nil
	// means that backups are read in this process.
	Subprocess func(ctx context.Context, args ...string) *exec.Cmd
}

// App is the product: its rooms, joined on one store, and what listens for them.
type App struct {
	Accounts *account.Service
	Plans    *billing.Service
	Limits   *ratelimit.Service

	settings config.Settings
	options  Options
	log      *slog.Logger
	registry *prometheus.Registry
	rooms    []room

	store    docstore.Store
	audit    *audit.Log
	leases   *lease.Service
	redis    *redisclient.Client // nil without Redis
	outbox   *mail.Outbox        // nil where no mails are sent or kept
	sessions *session.Service
	backups  atomic.Pointer[backup.Service] // nil where none are configured
	schedule *backup.Schedule               // nil where none are made
	health   *health.Service
	pages    *console.Pages
	api      *httpapi.API

	public, ops *server
	background  sync.WaitGroup
	stopWork    context.CancelFunc
}

// New joins the rooms, but starts nothing yet. What it has opened is closed again
// when it fails.
func New(ctx context.Context, o Options) (*App, error) {
	a := newApp(o)
	err := a.addStore(ctx)
	if err == nil {
		err = a.build()
	}
	if err == nil && !o.Offline {
		err = a.prepare(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func newApp(o Options) *App {
	return &App{settings: o.Settings, options: o, log: o.Log, registry: newRegistry(o.Version)}
}

// prepare makes everything ready to be started: the store's collections, and the door
// with all routes.
func (a *App) prepare(ctx context.Context) error {
	if err := prepare(ctx, a.store, a.specs()); err != nil {
		return err
	}
	a.api = httpapi.New(httpapi.Config{
		Log: a.log, Version: a.options.Version.Version, Caller: a.Accounts.Caller, TrustedProxies: a.settings.TrustedProxies,
		Origins: a.settings.Origins, Metrics: a.registry,
	})
	a.register(a.api)
	a.api.Limit(a.Limits)
	return a.pages.Render(a.api)
}

// build has a row for each room. A capability needs no other than those above it; what
// two rooms want of each other stands in joins.go.
func (a *App) build() error {
	s, store := a.settings, a.store

	var probe func(context.Context) error
	if !s.Redis.Empty() {
		var err error
		if a.redis, err = redisclient.New(s.Redis.Reveal()); err != nil {
			return err
		}
		probe = a.redis.Ping
		a.add(room{name: "redis", close: func() error { a.redis.Close(); return nil }})
	}
	a.add(room{name: "redis", checks: []health.Check{a.check("redis", probe)}})

	a.audit = audit.New(audit.Config{Store: store, Log: a.log})
	a.add(room{name: "audit", specs: audit.Specs(), routes: a.audit.Routes, sweep: a.audit.Sweep})

	a.leases = lease.New(lease.Config{Store: store, Log: a.log})
	a.add(room{name: "leases", specs: lease.Specs()})

	// Billing asks sessions what became of a run, sessions take runs from
	// billing: neither knows the other.
	link := &runs{}
	a.Plans = billing.New(billing.Config{Store: store, Sessions: link, Log: a.log, Catalog: s.Billing})
	a.add(room{
		name: "billing", specs: billing.Specs(), routes: a.Plans.Routes,
		checks: []health.Check{a.check("stripe", nil)},
		apply:  func(file config.File) error { a.Plans.SetCatalog(file.Billing); return nil },
	})

	a.addSessions(link)
	if err := a.addMail(); err != nil {
		return err
	}
	if err := a.addAccounts(); err != nil {
		return err
	}
	if err := a.addBackups(); err != nil {
		return err
	}

	a.health = health.New(health.Config{Checks: a.checks(), Version: a.options.Version, Log: a.log})
	a.add(room{name: "health", routes: a.health.Routes})

	pages := console.Config{Version: a.options.Version.Version, Accounts: a.Accounts, Log: a.log}
	if s.KeepMails {
		pages.Mails = a.outbox
	}
	a.pages = console.New(pages)
	a.add(room{name: "console", routes: a.pages.Routes})

	a.addLimits()
	return nil
}

// addSessions adds the sessions, which hint to other copies through Redis where there
// is one.
func (a *App) addSessions(link *runs) {
	r := room{name: "sessions", specs: session.Specs()}
	c := session.Config{Store: a.store, Quota: quota{a.Plans}, Log: a.log}
	if a.redis != nil {
		hints := redishints.New(a.redis)
		c.Hints = hints
		r.run = func(ctx context.Context) { hints.Run(ctx, a.sessions.OnHint, a.sessions.MissedHints) }
	}
	a.sessions = session.New(c)
	link.sessions = a.sessions
	r.routes = func(api *httpapi.API) { a.sessions.Routes(api, openingLimits()) }
	r.sweep, r.drain = a.sessions.Sweep, a.sessions.Close
	a.add(r)
}

// addMail adds where mails go: to the mail server, or nowhere but into the store, or,
// where neither is wanted, no outbox.
func (a *App) addMail() error {
	r := room{name: "mails", specs: mail.Specs()}
	c := mail.Config{Store: a.store, Secrets: a.secrets(), Log: a.log}
	var err error
	if !a.settings.SMTP.Empty() {
		if c.Sender, err = mail.NewSMTP(a.settings.SMTP.Reveal(), a.settings.MailFrom); err != nil {
			return fmt.Errorf("the mail server: %w", err)
		}
	}
	if c.Sender != nil || a.settings.KeepMails || a.options.Offline {
		if a.outbox, err = mail.New(c); err != nil {
			return err
		}
		r.run, r.sweep = a.outbox.Run, a.outbox.Sweep
	}
	a.add(r)
	return nil
}

func (a *App) addAccounts() (err error) {
	a.Accounts, err = account.New(account.Config{
		Store:        a.store,
		Audit:        a.audit,
		Secrets:      a.secrets(),
		Mail:         a.outbox,
		ConfirmFirst: !a.settings.SMTP.Empty(),
		PublicURL:    a.settings.PublicURL,
		Providers:    a.settings.Providers,
		PersonalData: []account.PersonalData{a.Plans, a.sessions},
		Offline:      a.options.Offline,
		Log:          a.log,
	})
	if err != nil {
		return err
	}
	a.add(room{
		name: "accounts", specs: account.Specs(), routes: a.Accounts.Routes, run: a.Accounts.Run, sweep: a.Accounts.Sweep,
		apply: func(file config.File) error {
			a.Accounts.SetProviders(file.WithSecrets(a.settings.ProviderSecrets))
			return nil
		},
	})
	return nil
}

// secrets seal and sign; those of a command open nothing that the server has made.
func (a *App) secrets() []string {
	if a.options.Offline {
		return []string{rand.Text() + rand.Text()}
	}
	all := []string{a.settings.JWTSecret.Reveal()}
	for _, previous := range a.settings.JWTPreviousSecrets {
		all = append(all, previous.Reveal())
	}
	return all
}

// Start listens and serves. It returns once requests are answered.
func (a *App) Start(ctx context.Context) error {
	var err error
	if a.public, err = listen(ctx, a.settings.Addr, a.api, a.log); err != nil {
		return fmt.Errorf("%w; choose another address, by ADDR or by --addr of 'manus dev'", err)
	}
	a.public.http.RegisterOnShutdown(a.drain)
	if a.settings.OpsAddr != "" {
		if a.ops, err = listen(ctx, a.settings.OpsAddr, opsHandler(a.registry), a.log); err != nil {
			return errors.Join(fmt.Errorf("%w; set OPS_ADDR to another address, or to 'off'", err), a.public.close())
		}
	}
	var working context.Context
	working, a.stopWork = context.WithCancel(context.WithoutCancel(ctx))
	a.work(working)
	a.log.InfoContext(ctx, "started", "addr", a.Addr(), "ops_addr", a.OpsAddr(), "environment", a.settings.Environment)
	return nil
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
	ctx, cancel := context.WithTimeout(ctx, a.settings.ShutdownTimeout)
	defer cancel()
	err := a.public.shutdown(ctx)
	a.stopWork()
	a.background.Wait()
	err = errors.Join(err, a.ops.close(), a.Close())
	a.log.InfoContext(ctx, "stopped")
	return err
}
