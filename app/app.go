// Package app builds the running product out of settings: it is the only room
// that knows all the others. What the product does is in them; here they are
// joined, started and stopped.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
	"manus/ratelimit/redislimit"
	"manus/session"
	"manus/session/redishints"
)

// Options is what an App is made of.
type Options struct {
	Settings config.Settings
	Version  health.Version
	Log      *slog.Logger
	// LimitTimeout is how long a decision about limits waits for Redis; 0 means
	// as long as redislimit does by itself.
	LimitTimeout time.Duration
	// Subprocess is as BackupOptions have it.
	Subprocess func(ctx context.Context, args ...string) *exec.Cmd
}

// App is the product, ready to be started.
type App struct {
	settings config.Settings
	log      *slog.Logger

	audit      *audit.Log
	accounts   *account.Service
	outbox     *mail.Outbox // nil where no mails are sent or kept
	plans      *billing.Service
	sessions   *session.Service
	limits     *ratelimit.Service
	leases     *lease.Service
	redis      *redisclient.Client // nil without Redis, as the next two
	shared     *redislimit.Engine
	hints      *redishints.Hints
	health     *health.Service
	metrics    *metrics
	store      docstore.Store
	version    string
	subprocess func(ctx context.Context, args ...string) *exec.Cmd
	backups    atomic.Pointer[backups]
	schedule   *backup.Schedule // nil where none are made
	api        *httpapi.API
	handler    http.Handler

	public, ops *server
	draining    atomic.Bool
	background  sync.WaitGroup
	cleanups    []func() error // run last to first
}

// New builds the product: it opens the store and joins the rooms, but doesn't
// listen yet. What it has opened is closed again when it fails.
func New(ctx context.Context, o Options) (*App, error) {
	a := &App{settings: o.Settings, log: o.Log, version: o.Version.Version, subprocess: o.Subprocess}
	if err := a.build(ctx, o); err != nil {
		return nil, errors.Join(err, a.cleanUp())
	}
	return a, nil
}

func (a *App) build(ctx context.Context, o Options) error {
	store, err := OpenStore(ctx, o.Settings)
	if err != nil {
		return err
	}
	a.onStop(store.Close)
	a.store = store

	if !o.Settings.Redis.Empty() {
		if a.redis, err = redisclient.New(o.Settings.Redis.Reveal()); err != nil {
			return err
		}
		a.onStop(asCleanup(a.redis.Close))
	}

	// Billing asks sessions what became of a run, sessions take runs from
	// billing: neither knows the other.
	link := &runs{}
	a.leases = lease.New(lease.Config{Store: store, Log: o.Log})
	a.plans = billing.New(billing.Config{Store: store, Sessions: link, Log: o.Log, Catalog: o.Settings.Billing})
	a.sessions = a.newSessions(store, o.Log)
	link.sessions = a.sessions
	a.onStop(asCleanup(a.sessions.Close))

	if a.outbox, err = newOutbox(o.Settings, store, o.Log); err != nil {
		return err
	}
	a.audit = audit.New(audit.Config{Store: store, Log: o.Log})
	a.accounts, err = account.New(account.Config{
		Store:        store,
		Audit:        a.audit,
		Secrets:      secrets(o.Settings),
		Mail:         a.outbox,
		ConfirmFirst: !o.Settings.SMTP.Empty(),
		PublicURL:    o.Settings.PublicURL,
		Providers:    o.Settings.Providers,
		PersonalData: []account.PersonalData{a.plans, a.sessions},
		Log:          o.Log,
	})
	if err != nil {
		return err
	}

	a.metrics = newMetrics(o.Version)
	a.countLimits(o)
	if err := a.newSchedule(o); err != nil {
		return err
	}
	a.health = health.New(health.Config{
		Checks:  checks(o.Settings, store, a.redis),
		Version: o.Version,
		Log:     o.Log,
	})
	a.handler, err = a.routes(o.Version.Version)
	return err
}

// newSessions hints to other copies through Redis, where there is one.
func (a *App) newSessions(store docstore.Store, log *slog.Logger) *session.Service {
	c := session.Config{Store: store, Quota: quota{a.plans}, Log: log}
	if a.redis != nil {
		a.hints = redishints.New(a.redis)
		c.Hints = a.hints
	}
	return session.New(c)
}

// newOutbox is where mails go: to the mail server, or nowhere but into the store;
// nil for neither.
func newOutbox(s config.Settings, store docstore.Store, log *slog.Logger) (*mail.Outbox, error) {
	c := mail.Config{Store: store, Secrets: secrets(s), Log: log}
	if !s.SMTP.Empty() {
		server, err := mail.NewSMTP(s.SMTP.Reveal(), s.MailFrom)
		if err != nil {
			return nil, fmt.Errorf("the mail server: %w", err)
		}
		c.Sender = server
	} else if !s.KeepMails {
		return nil, nil
	}
	return mail.New(c)
}

func secrets(s config.Settings) []string {
	all := []string{s.JWTSecret.Reveal()}
	for _, previous := range s.JWTPreviousSecrets {
		all = append(all, previous.Reveal())
	}
	return all
}

// checks are what /ready tells of. What isn't configured has no probe.
func checks(s config.Settings, store docstore.Store, redis *redisclient.Client) []health.Check {
	all := []health.Check{{Name: "database", Probe: store.Ping}, {Name: "redis"}, {Name: "stripe"}}
	if redis != nil {
		all[1].Probe = redis.Ping
	}
	for i := range all {
		all[i].Critical = slices.Contains(s.ReadyCritical, all[i].Name)
	}
	if !s.MongoDB.Empty() {
		all[0].Name = "mongodb"
	}
	return all
}

// maxBody bounds any request's body; routes set lower bounds of their own.
const maxBody = 1 << 20

// routes joins the rooms' routes and the layers that a request passes through,
// outermost first: observe, security headers, last answers, body cap, client
// address. Who is calling is found out by the routes that have to know, and then
// the limits are asked.
func (a *App) routes(version string) (http.Handler, error) {
	api := httpapi.New(a.log, version, a.accounts.Caller)
	a.api = api
	api.Limit(a.limits)
	a.accounts.Routes(api)
	a.audit.Routes(api)
	a.sessions.Routes(api)
	a.plans.Routes(api)
	a.health.Routes(api)
	a.health.Mount(api.Mux())
	pages := console.Config{Version: version, API: api, Accounts: a.accounts, Log: a.log}
	if a.settings.KeepMails {
		pages.Mails = a.outbox
	}
	site, err := console.New(pages)
	if err != nil {
		return nil, err
	}
	site.Mount(api.Mux())

	handler := httpapi.Client(a.settings.TrustedProxies, api)
	handler = httpapi.CapBody(maxBody, handler)
	handler = a.lastAnswers(handler)
	handler = httpapi.SecurityHeaders(handler)
	return httpapi.Observe(a.log, a.metrics.observe, handler), nil
}

// lastAnswers closes each connection with its answer once the program is
// stopping, so that no request comes on a connection that is being closed.
func (a *App) lastAnswers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Start listens and serves. It returns once requests are answered.
func (a *App) Start(ctx context.Context) error {
	var err error
	if a.public, err = listen(ctx, a.settings.Addr, a.handler, a.log); err != nil {
		return fmt.Errorf("%w; choose another address, by ADDR or by --addr of 'manus dev'", err)
	}
	if a.settings.OpsAddr != "" {
		if a.ops, err = listen(ctx, a.settings.OpsAddr, a.metrics.handler(), a.log); err != nil {
			return errors.Join(fmt.Errorf("%w; set OPS_ADDR to another address, or to 'off'", err), a.public.close())
		}
		a.onStop(a.ops.close)
	}
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.onStop(func() error {
		cancel()
		a.background.Wait()
		return nil
	})
	a.background.Go(func() { a.accounts.Run(working) })
	if a.redis != nil {
		a.background.Go(func() { a.shared.Run(working) })
		a.background.Go(func() { a.hints.Run(working, a.sessions.OnHint, a.sessions.MissedHints) })
	}
	if a.outbox != nil {
		a.background.Go(func() { a.outbox.Run(working) })
		a.hourly(working, "sweep-mails", a.outbox.Sweep)
	}
	if a.schedule != nil {
		a.background.Go(func() { a.schedule.Run(working) })
	}
	a.hourly(working, "sweep-accounts", a.accounts.Sweep)
	a.hourly(working, "sweep-audit", a.audit.Sweep)
	a.hourly(working, "sweep-sessions", a.sessions.Sweep)
	if a.settings.ConfigPath != "" {
		a.every(working, time.Second, "apply the changed "+filepath.Base(a.settings.ConfigPath), newReloader(a.settings.ConfigPath, a.apply).check)
	}
	a.log.InfoContext(ctx, "started", "addr", a.Addr(), "ops_addr", a.OpsAddr(), "environment", a.settings.Environment)
	return nil
}

// apply puts a changed manus.yaml in force.
func (a *App) apply(file config.File) {
	a.accounts.SetProviders(file.WithSecrets(a.settings.ProviderSecrets))
	a.plans.SetCatalog(file.Billing)
	a.limits.SetConfig(file.Limits)
	if a.schedule == nil {
		return
	}
	b := a.settings.Backup
	b.Policy = file.Backup
	if err := a.setBackups(b); err != nil {
		a.log.Error("the section backup of the changed manus.yaml could not be applied", "error", err)
	}
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
	if a.public == nil { // it was never started
		return a.cleanUp()
	}
	a.health.Drain()
	a.draining.Store(true)
	a.log.InfoContext(ctx, "stopping", "delay", a.settings.ShutdownDelay)
	select {
	case <-time.After(a.settings.ShutdownDelay):
	case <-ctx.Done():
	}
	if err := turnAway(a.public.listener); err != nil { // not in every sandbox
		a.log.WarnContext(ctx, "connections that come right now may be reset", "error", err)
	}
	a.sessions.Close() // ends live streams, which would never end by themselves
	ctx, cancel := context.WithTimeout(ctx, a.settings.ShutdownTimeout)
	defer cancel()
	err := a.public.shutdown(ctx)
	err = errors.Join(err, a.cleanUp())
	a.log.InfoContext(ctx, "stopped")
	return err
}

func (a *App) onStop(f func() error) { a.cleanups = append(a.cleanups, f) }

// asCleanup is f as onStop takes it.
func asCleanup(f func()) func() error {
	return func() error { f(); return nil }
}

func (a *App) cleanUp() error {
	var err error
	for i := len(a.cleanups) - 1; i >= 0; i-- {
		err = errors.Join(err, a.cleanups[i]())
	}
	a.cleanups = nil
	return err
}

// hourly has one of all copies run a job once an hour. The job may be run twice, so
// what it writes needs no fence.
func (a *App) hourly(ctx context.Context, name string, job func(context.Context) error) {
	a.background.Go(func() {
		a.leases.Every(ctx, name, time.Hour, func(ctx context.Context, _ lease.Held) error { return job(ctx) })
	})
}

// every runs a job now and then, on this copy, until ctx ends.
func (a *App) every(ctx context.Context, period time.Duration, name string, job func(context.Context) error) {
	a.background.Go(func() {
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for {
			if err := job(ctx); err != nil && ctx.Err() == nil {
				a.log.ErrorContext(ctx, "could not "+name, "error", err)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// Bounds against slow and greedy clients.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = time.Minute // streams set their own
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10
)

// server is a listener and what answers on it.
type server struct {
	http     *http.Server
	listener net.Listener
	failed   chan error
}

func listen(ctx context.Context, addr string, handler http.Handler, log *slog.Logger) (*server, error) {
	var listening net.ListenConfig
	listening.SetMultipathTCP(false) // its sockets take no filter; see turnAway
	listener, err := listening.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("can't listen on %s: %w", addr, err)
	}
	s := &server{
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
		listener: listener,
		failed:   make(chan error, 1),
	}
	go func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	return s, nil
}

func (s *server) addr() string {
	if s == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// shutdown waits for requests in flight until ctx ends.
func (s *server) shutdown(ctx context.Context) error {
	if s == nil {
		return nil
	}
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests were cut off: %w", err), s.http.Close())
	}
	return nil
}

func (s *server) close() error { return s.http.Close() }
