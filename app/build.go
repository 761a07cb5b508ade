package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"

	"manus/account"
	"manus/audit"
	"manus/billing"
	"manus/config"
	"manus/console"
	"manus/docstore"
	"manus/health"
	"manus/httpapi"
	"manus/idempotency"
	"manus/identity"
	"manus/internal/redisclient"
	"manus/language"
	"manus/lease"
	"manus/mail"
	"manus/ratelimit"
	"manus/ratelimit/memorylimit"
	"manus/ratelimit/redislimit"
	"manus/session"
	"manus/session/redishints"
)

// build has a row for each room. A capability needs no other than those above it; what
// two rooms want of each other stands at the end.
func (a *App) build() (err error) {
	s, store := a.settings, a.store

	if err := a.addRedis(); err != nil {
		return err
	}

	a.add(room{name: "installation", specs: []docstore.Spec{ownerSpec}})

	a.audit = audit.New(audit.Config{Store: store, Log: a.log})
	a.add(room{name: "audit", specs: audit.Specs(), routes: a.audit.Routes, sweep: a.audit.Sweep})

	a.leases = lease.New(lease.Config{Store: store, OnLost: a.tellLostLease, Log: a.log})
	a.add(room{name: "leases", specs: lease.Specs(), run: a.serving()})

	// Billing asks sessions what became of a run, sessions take runs from
	// billing: neither knows the other.
	exists := func(ctx context.Context, sessionID string) (bool, error) { return a.sessions.Exists(ctx, sessionID) }
	a.Plans = billing.New(billing.Config{Store: store, Exists: exists, Log: a.log, Catalog: s.Billing})
	a.add(room{
		name: "billing", specs: billing.Specs(), routes: a.Plans.Routes, promises: a.Plans.Promises(),
		checks: []health.Check{a.check("stripe", nil)},
		apply:  func(s config.Settings) (func(), error) { return func() { a.Plans.SetCatalog(s.Billing) }, nil },
	})

	a.addSessions()
	if a.repeats, err = idempotency.New(idempotency.Config{Store: store, Secrets: a.secrets()}); err != nil {
		return err
	}
	a.add(room{name: "idempotency", specs: idempotency.Specs(), sweep: a.repeats.Sweep})
	for _, add := range []func() error{a.addMail, a.addAlerts, a.addAccounts, a.addErrors, a.addIncidents, a.addSubscribers, a.addUptime, a.addStatusPage, a.addBackups, a.addReadiness} {
		if err := add(); err != nil {
			return err
		}
	}

	showHealth := func(w http.ResponseWriter, r *http.Request, ready *health.Readiness) bool {
		return a.pages.ShowHealth(w, r, ready)
	}
	a.health = health.New(health.Config{Checks: a.checks(), Hints: a.hints, Page: showHealth, Version: a.options.Version, Log: a.log})
	a.add(room{name: "health", routes: a.health.Routes})

	pages := console.Config{Version: a.options.Version.Version, Accounts: a.Accounts, Alerts: a.Alerts, Subscribers: a.Subscribers, StatusLook: a.statusLook, Parts: a.statusParts, Components: s.KeepMails, Product: s.Product.Name, Support: s.Product.Support, Logo: s.Product.Logo, Log: a.log,
		URL: URLOf(s), Limits: func(method, path string) []ratelimit.Rule { return a.Limits.Match(method, path, "") }}
	if s.KeepMails {
		pages.Mails = a.outbox
	}
	a.pages = console.New(pages)
	a.add(room{name: "console", routes: a.pages.Routes})

	a.addLimits()
	return nil
}

// addRedis adds the connection to Redis, which need not be there yet, and the counts of
// limits in it.
func (a *App) addRedis() (err error) {
	r := room{name: "redis", checks: []health.Check{a.check("redis", nil), a.check("limits", nil)}}
	if !a.settings.Redis.Empty() {
		if a.redis, err = redisclient.New(a.settings.Redis.Reveal()); err != nil {
			return fmt.Errorf("REDIS_URL: %w", err)
		}
		r.checks[0].Probe = explained(a.redis.Ping)
		r.close = func() error { a.redis.Close(); return nil }
		a.addSharedCounts(&r)
	}
	a.add(r)
	return nil
}

// addSharedCounts adds the counts of limits in Redis, and to a server what it does while
// Redis is gone; a command just waits for it.
func (a *App) addSharedCounts(r *room) {
	c := redislimit.Config{Client: a.redis}
	if a.options.Offline {
		a.shared = redislimit.New(c)
		return
	}
	c.OnReset = func(keys []string) { a.breaker.Forget(keys) }
	a.shared = redislimit.New(c)
	a.breaker = ratelimit.NewBreaker(ratelimit.BreakerConfig{
		Shared: a.reporter.Limits(a.shared), Local: memorylimit.New(memorylimit.Config{}), Cause: redisclient.Cause, Metrics: a.registry,
		Log: a.options.Log, // that Redis is gone isn't reported: there is an alert of its own
	})
	r.checks[1].Probe = explained(func(context.Context) error { return a.breaker.Err() })
	r.reach, r.run = a.breaker.Reach, func(ctx context.Context) {
		var hearing sync.WaitGroup
		defer hearing.Wait()
		hearing.Go(func() { a.shared.Run(ctx) })
		a.breaker.Run(ctx)
	}
}

// explained is a probe of Redis whose errors say what is to be done.
func explained(probe func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := probe(ctx)
		if err != nil {
			err = fmt.Errorf("%s: %w", redisclient.Cause(err), err)
		}
		return err
	}
}

// addSessions adds the sessions, which hint to other copies through Redis where there
// is one.
func (a *App) addSessions() {
	r := room{name: "sessions", specs: session.Specs()}
	c := session.Config{Store: a.store, Quota: quota{a.Plans}, URL: a.settings.PublicURL, Metrics: a.registry, Log: a.log}
	c.Caller = func(ctx context.Context, loginID, keyID string) (identity.Caller, error) {
		caller, err := a.Accounts.CallerOf(ctx, loginID, keyID)
		if errors.Is(err, account.ErrInvalidToken) { // a stranger by now
			return identity.Caller{}, nil
		}
		return caller, err
	}
	r.run = func(ctx context.Context) { a.sessions.Run(ctx) }
	if a.redis != nil {
		hints := redishints.New(a.redis)
		c.Hints = hints
		r.run = func(ctx context.Context) {
			var hearing sync.WaitGroup
			defer hearing.Wait()
			hearing.Go(func() { hints.Run(ctx, a.sessions.OnHint, a.sessions.MissedHints) })
			a.sessions.Run(ctx)
		}
	}
	a.sessions = session.New(c)
	r.routes = func(api *httpapi.API) { a.sessions.Routes(api, openingLimits()) }
	r.sweep, r.drain = a.sessions.Sweep, a.sessions.Close
	a.add(r)
}

// addMail adds where mails go: to the mail server, or nowhere but into the store, or,
// where neither is wanted, no outbox.
func (a *App) addMail() error {
	r := room{name: "mails", specs: mail.Specs()}
	c := mail.Config{Store: a.store, Secrets: a.secrets(), Metrics: a.registry, Log: a.log}
	err := a.openMailer()
	if err != nil {
		return err
	}
	c.Sender, c.OnGivenUp = a.mailer, a.tellDeadLetter("mails", language.Text{En: "A mail was given up", Ar: "تُرك إرسال رسالة بريد"})
	if c.Sender != nil || a.settings.KeepMails || a.options.Offline {
		if a.outbox, err = mail.New(c); err != nil {
			return err
		}
		r.run, r.sweep = a.outbox.Run, a.outbox.Sweep
	}
	server, _ := a.mailer.(*mail.SMTP)
	r.promises = mail.Promises(mail.PromisesConfig{Server: server, Kept: a.settings.KeepMails, From: a.settings.MailFrom, To: a.firstAlertAddress(), Resolver: a.options.world.resolver})
	a.add(r)
	return nil
}

// firstAlertAddress is one that alerts are mailed to; empty where none are.
func (a *App) firstAlertAddress() string {
	if to := a.settings.Alerts.Email; len(to) > 0 {
		return to[0]
	}
	return ""
}

// openMailer makes what hands mails to the mail server, where there is one.
func (a *App) openMailer() error {
	if a.settings.SMTP.Empty() || a.mailer != nil {
		return nil
	}
	smtp, err := mail.NewSMTP(a.settings.SMTP.Reveal(), a.settings.MailFrom)
	if err != nil {
		return fmt.Errorf("the mail server: %w", err)
	}
	a.mailer = smtp
	return nil
}

func (a *App) addAccounts() (err error) {
	a.Accounts, err = account.New(account.Config{
		Store:        a.store,
		Audit:        a.audit,
		Secrets:      a.secrets(),
		Mail:         a.outbox,
		OnGivenUp:    a.tellDeadLetter("requests", language.Text{En: "A request for a mailed link was given up", Ar: "تُرك طلب رابط بريدي"}),
		ConfirmFirst: !a.settings.SMTP.Empty(),
		Registration: a.settings.Registration,
		Product:      a.settings.Product.Name,
		Support:      a.settings.Product.Support,
		PublicURL:    a.settings.PublicURL,
		Origins:      a.settings.PasskeyOrigins,
		LocalOrigins: a.settings.Dev,
		Providers:    a.settings.Providers,
		PersonalData: []account.PersonalData{a.Plans, a.sessions, a.repeats},
		Offline:      a.options.Offline,
		Outgoing:     a.reporter.Outgoing(http.DefaultTransport),
		Metrics:      a.registry,
		Log:          a.log,
	})
	if err != nil {
		return err
	}
	a.add(room{
		name: "accounts", specs: account.Specs(), routes: a.Accounts.Routes, run: a.Accounts.Run, sweep: a.Accounts.Sweep,
		apply: func(s config.Settings) (func(), error) {
			return func() { a.Accounts.SetProviders(s.Providers) }, nil
		},
	})
	return nil
}

// secrets seal and sign; those of a command open nothing that the server has made.
func (a *App) secrets() []string {
	if a.options.Offline {
		return []string{rand.Text() + rand.Text()}
	}
	return a.signing()
}

// addLimits adds what decides about too many requests: counts in Redis where there is
// one, and in memory while it is gone; else in memory alone.
func (a *App) addLimits() {
	r := room{name: "limits"}
	c := ratelimit.ServiceConfig{
		Config:  a.settings.Limits,
		Routes:  a.routes(),
		Plan:    a.Plans.PlanOf,
		Account: account.EmailKey,
		Login:   a.Accounts.LoginOf,
		Observe: ratelimit.Measure(a.registry),
		Log:     a.log,
	}
	if c.Engine, c.Breaker = a.shared, a.breaker; a.redis == nil {
		c.Engine = memorylimit.New(memorylimit.Config{})
	}
	a.Limits = ratelimit.New(c)
	r.apply = func(s config.Settings) (func(), error) {
		return func() {
			a.Limits.SetConfig(s.Limits)
			a.pages.Refresh()
			if gone := s.Limits.Replaced(c.Routes); len(gone) > 0 {
				a.log.Warn("the list limits.rules of "+filepath.Base(a.settings.ConfigPath)+" takes the place of all default rules; it has none in the place of these", "gone", gone)
			}
		}, nil
	}
	a.add(r)
}

// openingLimits are how often sessions may be opened by users on the plans that are
// on offer by default.
func openingLimits() map[string]ratelimit.Limit {
	return map[string]ratelimit.Limit{
		"basic":      ratelimit.NewRule("30/minute").Limit,
		"pro":        ratelimit.NewRule("60/minute").Limit,
		"enterprise": ratelimit.NewRule("300/minute").Limit,
	}
}

// ReachLimits connects to the counts that the servers share, for commands. It returns
// errNoRedis where each server counts by itself, or ratelimit.ErrUnavailable.
func (a *App) ReachLimits() error {
	if a.redis == nil {
		return errNoRedis
	}
	if err := a.redis.Connect(); err != nil {
		return fmt.Errorf("the Redis of REDIS_URL can't be reached: %w: %w", ratelimit.ErrUnavailable, err)
	}
	return nil
}

var errNoRedis = errors.New("there are no shared counts: set REDIS_URL as for the server. Without Redis a server counts in its own memory, which no command reaches and which ends with it")

// quota is billing as sessions see it.
type quota struct{ *billing.Service }

// Reserve takes one run.
func (q quota) Reserve(ctx context.Context, userID, sessionID string) error {
	return refusal(q.Service.Reserve(ctx, userID, sessionID))
}

// refusal is why billing gives no run, as sessions know it.
func refusal(err error) error {
	switch {
	case errors.Is(err, billing.ErrQuotaExhausted):
		return session.ErrQuotaExhausted
	case errors.Is(err, billing.ErrTooManyAtOnce):
		return session.ErrTooManyAtOnce
	}
	return err
}
