// Package ratelimit decides which requests are too many. A request may have
// several limits, each counted by several subjects (the client's address, the
// user, the account that is being tried); they are decided in one step, and a
// refused request uses up nothing of any.
//
// It knows who is calling (identity) and nothing of what the routes do. Counting
// is an [Engine]'s: in memory for one machine, in Redis for many copies.
package ratelimit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"manus/identity"
)

// Outcome is what became of a decision, for metrics.
type Outcome string

// The outcomes.
const (
	OutcomeAllowed  Outcome = "allowed"
	OutcomeRefused  Outcome = "refused"
	OutcomeShadowed Outcome = "shadowed" // would have been refused
)

// Observation is one decision about one rule.
type Observation struct {
	Rule    string // its route, or "default"
	Outcome Outcome
	Local   bool // decided without the shared counts
	Took    time.Duration
}

// ServiceConfig is what a Service is made of.
type ServiceConfig struct {
	Config Config
	// Engine counts; with a Breaker around it if it is shared.
	Engine Engine
	// Local counts while Engine is unavailable; nil where Engine is local itself.
	Local Engine
	// Plan tells which plan a user is on. Nil means that rules have no plans.
	Plan func(ctx context.Context, userID string) (string, error)
	// Account is the key under which an e-mail address is counted: the same for
	// all its spellings. Nil takes it as it is.
	Account func(address string) string
	Observe func(Observation) // may be nil
	Log     *slog.Logger
}

// Service decides about requests. It is safe for concurrent use.
type Service struct {
	c     ServiceConfig
	rules atomic.Pointer[ruleset]
	// logged is when it was last logged that the shared engine is unavailable.
	logged atomic.Int64
}

// New makes a Service. The configuration has no Problems.
func New(c ServiceConfig) *Service {
	if c.Observe == nil {
		c.Observe = func(Observation) {}
	}
	if c.Account == nil {
		c.Account = func(address string) string { return address }
	}
	s := &Service{c: c}
	s.SetConfig(c.Config)
	return s
}

// SetConfig puts another configuration in force. What was counted stays.
func (s *Service) SetConfig(c Config) { s.rules.Store(newRuleset(c)) }

// Request is what is decided about.
type Request struct {
	// Method and Path are the route's: its pattern.
	Method, Path string
	Caller       identity.Caller
	// Account is the e-mail address that is being tried; asked where a rule
	// counts by it. Nil or empty is none.
	Account func() string
}

// Applied is a window that applied, and where it stands.
type Applied struct {
	Name string // "address-60"
	Window
	Standing
	Violated bool
}

// Answer is the decision about a request.
type Answer struct {
	Allowed bool
	Applied []Applied
	// Retry is when the request would be admitted, if it isn't.
	Retry time.Duration
	// Done is called with the status that the request was answered with.
	Done func(status int)
}

// ErrNoCounts is returned for a request whose rule is to deny while counting isn't
// possible.
var ErrNoCounts = errors.New("the limits can't be counted just now")

// Decide decides about a request. It returns ErrNoCounts, or the context's error.
func (s *Service) Decide(ctx context.Context, r Request) (Answer, error) {
	rs := s.rules.Load()
	answer := Answer{Allowed: true, Done: func(int) {}}
	if rs.allowed(r.Caller.Address) {
		return answer, nil
	}
	start := time.Now()
	rule := rs.find(r.Method, r.Path)
	checks, err := s.checks(ctx, rs, rule, r)
	if err != nil || len(checks) == 0 {
		return answer, err
	}
	var d Decision
	local := false
	err = s.c.Engine.Take(ctx, checks, &d)
	engine := s.c.Engine
	if errors.Is(err, ErrUnavailable) {
		local = true
		s.logUnavailable(ctx, err)
		switch rule.WhenRedisFails {
		case Allow:
			s.observe(rule, OutcomeAllowed, local, start)
			return answer, nil
		case Deny:
			s.observe(rule, OutcomeRefused, local, start)
			return answer, ErrNoCounts
		}
		engine = s.c.Local
		err = engine.Take(ctx, checks, &d)
	}
	if err != nil {
		return answer, err
	}
	answer.fill(checks, d)
	s.observe(rule, outcome(checks, d), local, start)
	if rule.Count == CountFailures && d.Allowed {
		answer.Done = func(status int) {
			if status >= 400 {
				return
			}
			if err := engine.Refund(context.WithoutCancel(ctx), checks, &d); err != nil {
				s.c.Log.WarnContext(ctx, "a request that doesn't count could not be taken back", "error", err)
			}
		}
	}
	return answer, nil
}

func outcome(checks []Check, d Decision) Outcome {
	if !d.Allowed {
		return OutcomeRefused
	}
	for i := range checks {
		if checks[i].Shadow && !d.Checks[i].Allowed {
			return OutcomeShadowed
		}
	}
	return OutcomeAllowed
}

func (s *Service) observe(rule *Rule, o Outcome, local bool, start time.Time) {
	s.c.Observe(Observation{Rule: rule.name(), Outcome: o, Local: local, Took: time.Since(start)})
}

// logEvery bounds how often the same is logged.
const logEvery = 10 * time.Second

// logUnavailable logs that the shared engine is unavailable, at most once in logEvery.
func (s *Service) logUnavailable(ctx context.Context, err error) {
	now := time.Now().UnixNano()
	if last := s.logged.Load(); now-last > int64(logEvery) && s.logged.CompareAndSwap(last, now) {
		s.c.Log.ErrorContext(ctx, "the shared limits are unavailable; each rule goes on by its when_redis_fails", "error", err)
	}
}

// name is the rule's route, or "default".
func (r *Rule) name() string {
	if r.Route == "" {
		return "default"
	}
	return r.Route
}

// checks are the counts that a request has to pass.
func (s *Service) checks(ctx context.Context, rs *ruleset, rule *Rule, r Request) ([]Check, error) {
	limit := rule.Limit
	if len(rule.Plans) > 0 && r.Caller.Known() && s.c.Plan != nil {
		plan, err := s.c.Plan(ctx, r.Caller.UserID)
		if err != nil {
			return nil, err
		}
		if theirs, ok := rule.Plans[plan]; ok {
			limit = theirs
		}
	}
	checks := make([]Check, 0, len(rule.By))
	for _, by := range rule.By {
		subject := s.subject(rs, by, r)
		if subject == "" {
			continue
		}
		checks = append(checks, Check{Key: key(subject, rule), Limit: limit, Cost: max(1, rule.Cost), Shadow: rule.Mode == Shadow})
	}
	return checks, nil
}

// key is where a rule counts for a subject. In a Redis Cluster the braces put all
// of a subject's counts on one node.
func key(subject string, rule *Rule) string { return "{" + subject + "}" + rule.name() }

// subject is who is counted, as "address:192.0.2.1"; empty for nobody.
func (s *Service) subject(rs *ruleset, by Subject, r Request) string {
	switch {
	case by == ByAccount:
		if r.Account == nil {
			return ""
		}
		if address := r.Account(); address != "" {
			return AccountSubject(s.c.Account(address))
		}
		return ""
	case by == ByAPIKey && r.Caller.KeyID != "":
		return "key:" + r.Caller.KeyID
	case by == ByUser && r.Caller.Known(), by == ByUserOrAddress && r.Caller.Known():
		return "user:" + r.Caller.UserID
	}
	if !r.Caller.Address.IsValid() {
		return "address:unknown"
	}
	return "address:" + rs.network(r.Caller.Address)
}

// AddressSubject is the subject of a client's address.
func (s *Service) AddressSubject(address netip.Addr) string {
	return "address:" + s.rules.Load().network(address)
}

// AccountSubject is the subject of an account's key; the e-mail address stands in
// it as a hash.
func AccountSubject(account string) string {
	sum := sha256.Sum256([]byte(account))
	return "account:" + hex.EncodeToString(sum[:12])
}

// fill puts a decision into the answer, in the words of rate limit policies.
func (a *Answer) fill(checks []Check, d Decision) {
	a.Allowed = d.Allowed
	for i, c := range checks {
		if c.Shadow {
			continue
		}
		kind, _, _ := strings.Cut(c.Key[1:], ":")
		for j, standing := range d.Checks[i].Windows {
			w := c.Limit[j]
			violated := !d.Checks[i].Allowed && standing.Retry > 0
			a.Applied = append(a.Applied, Applied{
				Name: fmt.Sprintf("%s-%d", kind, int(w.Per.Seconds())), Window: w, Standing: standing, Violated: violated,
			})
			if violated {
				a.Retry = max(a.Retry, standing.Retry)
			}
		}
	}
}

// Match tells which rule is for a method and a path, and the limit that it has for
// a plan (or none).
func (s *Service) Match(method, path, plan string) (Rule, Limit) {
	rule := s.rules.Load().find(method, path)
	if theirs, ok := rule.Plans[plan]; ok {
		return *rule, theirs
	}
	return *rule, rule.Limit
}

// Standings is where a subject stands under a rule.
type Standings struct {
	Rule    string
	Windows []Applied
}

// Show tells where a subject ("address:192.0.2.1", "user:…", "account:…", "key:…")
// stands under every rule that counts by such subjects.
func (s *Service) Show(ctx context.Context, subject string) ([]Standings, error) {
	var counts []Standings
	for _, rule := range s.rulesFor(subject) {
		checks := []Check{{Key: key(subject, rule), Limit: rule.Limit, Cost: 1}}
		var d Decision
		if err := s.c.Engine.Peek(ctx, checks, &d); err != nil {
			return nil, err
		}
		var a Answer
		a.fill(checks, d)
		counts = append(counts, Standings{rule.name(), a.Applied})
	}
	return counts, nil
}

// Reset forgets what was counted for a subject, under every rule.
func (s *Service) Reset(ctx context.Context, subject string) error {
	var keys []string
	for _, rule := range s.rulesFor(subject) {
		keys = append(keys, key(subject, rule))
	}
	err := s.c.Engine.Reset(ctx, keys)
	if s.c.Local != nil {
		err = errors.Join(err, s.c.Local.Reset(ctx, keys))
	}
	return err
}

// rulesFor are the rules that may count by a subject's kind.
func (s *Service) rulesFor(subject string) []*Rule {
	kind, _, _ := strings.Cut(subject, ":")
	rs := s.rules.Load()
	all := []*Rule{&rs.byDefault}
	for _, route := range slices.Sorted(maps.Keys(rs.rules)) {
		all = append(all, new(rs.rules[route]))
	}
	var found []*Rule
	for _, rule := range all {
		for _, by := range rule.By {
			if kinds[by][kind] {
				found = append(found, rule)
				break
			}
		}
	}
	return found
}

// kinds are the kinds of subjects that a rule may count by.
var kinds = map[Subject]map[string]bool{
	ByAddress: {"address": true}, ByUser: {"user": true, "address": true}, ByAccount: {"account": true},
	ByAPIKey: {"key": true, "address": true}, ByUserOrAddress: {"user": true, "address": true},
}
