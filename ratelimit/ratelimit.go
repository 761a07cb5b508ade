// Package ratelimit decides which requests are too many. A request may have
// several limits, each counted by several subjects (the client's address, the
// user, the account that is being tried); they are decided in one step, and a
// refused request uses up nothing of any.
//
// It knows who is calling (identity) and nothing of what the routes do. Counting
// is an [Engine]'s: in memory for one machine, in Redis for many copies.
package ratelimit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	Routes Routes
	// Engine counts.
	Engine Engine
	// Breaker is around Engine where that is shared; nil where it is this machine's own,
	// or is waited for however long it takes.
	Breaker *Breaker
	// Plan tells which plan a user is on. Nil means that rules have no plans.
	Plan func(ctx context.Context, userID string) (string, error)
	// Account is the key under which an e-mail address is counted: the same for
	// all its spellings. Nil takes it as it is.
	Account func(address string) string
	// Login is the login that a refresh token belongs to, empty for a token that isn't
	// one. Nil means that no token tells.
	Login   func(refreshToken string) string
	Observe func(Observation) // may be nil
	Log     *slog.Logger
}

// Service decides about requests. It is safe for concurrent use.
type Service struct {
	c     ServiceConfig
	rules atomic.Pointer[ruleset]
	used  sync.Pool // of scratch
}

// New makes a Service. The configuration has no Problems.
func New(c ServiceConfig) *Service {
	if c.Observe == nil {
		c.Observe = func(Observation) {}
	}
	if c.Account == nil {
		c.Account = func(address string) string { return address }
	}
	if c.Login == nil {
		c.Login = func(string) string { return "" }
	}
	s := &Service{c: c}
	s.SetConfig(c.Config)
	return s
}

// SetConfig puts another configuration in force. What was counted stays.
func (s *Service) SetConfig(c Config) { s.rules.Store(newRuleset(c, s.c.Routes)) }

// Request is what is decided about.
type Request struct {
	// Route is the pattern of what is asked for.
	Route  string
	Caller identity.Caller
	// Account is the e-mail address that is being tried, Refresh the refresh token, and
	// Guess the address of the account whose secret a caller may be guessing; empty for
	// none.
	Account, Refresh, Guess string
	// Proof is what the request has proved itself by; nil for nothing.
	Proof *Proof
}

// Proof is what a request has by which a route knows who sends it, such as a signature or
// a project's key. Only rules by proof count such a request: so whatever else comes from
// its address, it isn't refused for that.
type Proof struct {
	// Subject is whose proof it is, such as a project's id. It is no secret. A request
	// whose proof has none isn't counted.
	Subject string
	// Limit is the subject's own: it takes the place of those of rules by proof, or is
	// one where there is no such rule. Nil is none.
	Limit Limit
}

// Applied is a window that applied, and where it stands.
type Applied struct {
	Kind string // of the subject: "address"
	Window
	Standing
	Violated bool
}

// Name is the policy's: "address-60".
func (a Applied) Name() string { return a.Kind + "-" + strconv.Itoa(int(a.Per.Seconds())) }

// Answer is the decision about a request.
type Answer struct {
	Allowed bool
	Applied []Applied
	// Retry is when the request would be admitted, if it isn't.
	Retry time.Duration
	// Done is called with what became of the request.
	Done func(Result)
}

// Result is what became of a request.
type Result struct {
	// Status is the one that it was answered with.
	Status int
	// Guessed means that a secret of the caller's account was wrong.
	Guessed bool
}

// counts tells whether a request counts after all.
func (r Result) counts(c Count) bool {
	if c == countGuesses {
		return r.Guessed
	}
	return r.Status >= http.StatusBadRequest
}

// ErrNoCounts is returned for a request whose rule is to deny while counting isn't
// possible.
var ErrNoCounts = errors.New("the limits can't be counted just now")

// ByInput tells whether a route's requests are counted by what their input says is being
// tried.
func (s *Service) ByInput(route string) bool {
	return slices.ContainsFunc(s.rules.Load().find(route).all, func(r Rule) bool {
		return slices.Contains(r.By, ByAccount) || slices.Contains(r.By, ByLogin)
	})
}

// Decide decides about a request, by all rules of its route at once. It returns
// ErrNoCounts, or the context's error.
func (s *Service) Decide(ctx context.Context, r Request) (Answer, error) {
	rs := s.rules.Load()
	answer := Answer{Allowed: true, Done: func(Result) {}}
	if rs.allowed(r.Caller.Address) {
		return answer, nil
	}
	start := time.Now()
	rules := rs.of(&r, func(rule Rule) bool { return s.counts(rs, &rule, &r) })
	used, ok := s.used.Get().(*scratch)
	if !ok {
		used = &scratch{}
	}
	checks, conditional, err := s.checks(ctx, used.checks[:0], rs, rules, &r)
	if err != nil || len(checks) == 0 {
		return answer, err
	}
	d := &used.decision
	loan, err := s.take(ctx, rules, checks, d)
	if errors.Is(err, ErrUnavailable) && loan != nil {
		return s.decideAlone(ctx, rules, checks, conditional, loan, start)
	}
	if err != nil {
		return answer, err
	}
	answer.fill(checks, d)
	s.observe(rules, outcome(checks, d), false, start)
	if len(conditional) > 0 && d.Allowed {
		answer.Done = func(r Result) { s.refund(ctx, s.refunder(), checks, d, r.spares(conditional)) }
		return answer, nil
	}
	used.checks = checks
	s.used.Put(used)
	return answer, nil
}

// Peek tells whether a request is one too many by what is known of it before its input,
// see [Request]. It counts nothing, and allows what it can't tell.
func (s *Service) Peek(ctx context.Context, r Request) Answer {
	rs, start := s.rules.Load(), time.Now()
	rules := rs.find(r.Route)
	answer := Answer{Allowed: true}
	if len(rules.early) == 0 || rs.allowed(r.Caller.Address) {
		return answer
	}
	checks, _, err := s.checks(ctx, nil, rs, rules.early, &r)
	if err != nil || len(checks) == 0 {
		return answer
	}
	var d Decision
	if local, err := s.peek(ctx, rules.all, checks, &d); err == nil && !d.Allowed {
		answer.fill(checks, &d)
		s.observe(rules.all, OutcomeRefused, local, start)
	}
	return answer
}

// peek looks at the counts that would decide about a request with such rules.
func (s *Service) peek(ctx context.Context, rules []Rule, checks []Check, into *Decision) (local bool, err error) {
	if s.c.Breaker == nil {
		return false, s.c.Engine.Peek(ctx, checks, into)
	}
	err = s.c.Breaker.Peek(ctx, checks, into)
	if local = err != nil && s.c.Breaker.Err() != nil && whenRedisFails(rules) == Local; local {
		err = s.c.Breaker.c.Local.Peek(ctx, checks, into)
	}
	return local, err
}

// take takes by the shared counts, or by the machine's own.
func (s *Service) take(ctx context.Context, rules []Rule, checks []Check, into *Decision) (*Loan, error) {
	if s.c.Breaker == nil {
		return nil, s.c.Engine.Take(ctx, checks, into)
	}
	return s.c.Breaker.Take(ctx, checks, into, slices.ContainsFunc(rules, guards))
}

// guards tells whether a rule guards secrets, or would turn requests away: its decisions
// wait for the shared counts for as long as those aren't known to be gone.
func guards(r Rule) bool {
	return r.WhenRedisFails == Deny || r.Count == CountFailures || r.Count == countGuesses ||
		slices.Contains(r.By, ByAccount) || slices.Contains(r.By, ByLogin)
}

// decideAlone decides about a request without the shared counts, as its rules say.
func (s *Service) decideAlone(ctx context.Context, rules []Rule, checks []Check, conditional []condition, loan *Loan, start time.Time) (Answer, error) {
	const local = true
	answer := Answer{Allowed: true, Done: func(Result) {}}
	switch whenRedisFails(rules) {
	case Allow:
		s.observe(rules, OutcomeAllowed, local, start)
		return answer, nil
	case Deny:
		loan.End(nothing)
		s.observe(rules, OutcomeRefused, local, start)
		return answer, ErrNoCounts
	}
	var d Decision
	engine := s.c.Breaker.c.Local
	if err := engine.Take(ctx, checks, &d); err != nil {
		return answer, err
	}
	answer.fill(checks, &d)
	s.observe(rules, outcome(checks, &d), local, start)
	answer.Done = func(r Result) {
		spared := r.spares(conditional)
		s.refund(ctx, engine, checks, &d, spared)
		loan.End(func(i int) bool { return d.Checks[i].Allowed && !slices.Contains(spared, i) })
	}
	if !d.Allowed {
		loan.End(nothing)
	} else if len(conditional) == 0 {
		answer.Done(Result{})
		answer.Done = func(Result) {}
	}
	return answer, nil
}

func nothing(int) bool { return false }

// scratch is memory of decisions that is used again.
type scratch struct {
	checks   []Check
	decision Decision
}

// spares tells which checks a request turns out not to count for.
func (r Result) spares(conditional []condition) (checks []int) {
	for _, c := range conditional {
		if !r.counts(c.count) {
			checks = append(checks, c.check)
		}
	}
	return checks
}

// refunder is who takes back what was counted, see [Engine].
type refunder interface {
	Refund(ctx context.Context, checks []Check, counted *Decision) error
}

// refunder takes back what the shared counts have counted, or the machine's own.
func (s *Service) refunder() refunder {
	if s.c.Breaker != nil {
		return s.c.Breaker
	}
	return s.c.Engine
}

// refund takes back what a decision has counted for some of its checks.
func (s *Service) refund(ctx context.Context, engine refunder, checks []Check, d *Decision, some []int) {
	var back []Check
	var counted Decision
	for _, i := range some {
		if d.Checks[i].Allowed {
			back, counted.Checks = append(back, checks[i]), append(counted.Checks, d.Checks[i])
		}
	}
	if len(back) == 0 {
		return
	}
	if err := engine.Refund(context.WithoutCancel(ctx), back, &counted); err != nil {
		s.c.Log.WarnContext(ctx, "a request that doesn't count could not be taken back", "error", err)
	}
}

// whenRedisFails is the strictest policy of a route's rules. A shadow denies nothing.
func whenRedisFails(rules []Rule) Policy {
	strictest := Allow
	for _, r := range rules {
		switch {
		case r.WhenRedisFails == Deny && r.Mode != Shadow:
			return Deny
		case r.WhenRedisFails != Allow:
			strictest = Local
		}
	}
	return strictest
}

func outcome(checks []Check, d *Decision) Outcome {
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

func (s *Service) observe(rules []Rule, o Outcome, local bool, start time.Time) {
	s.c.Observe(Observation{Rule: rules[0].name(), Outcome: o, Local: local, Took: time.Since(start)})
}

// name is the rule's route, or "default".
func (r *Rule) name() string { return cmp.Or(r.Route, "default") }

// condition is a check that some requests turn out not to count for.
type condition struct {
	check int
	count Count
}

// checks appends the counts that a request has to pass, and tells which of them some
// requests don't count for.
func (s *Service) checks(ctx context.Context, checks []Check, rs *ruleset, rules []Rule, r *Request) (_ []Check, conditional []condition, err error) {
	plan, err := s.plan(ctx, rules, r.Caller)
	if err != nil {
		return nil, nil, err
	}
	for i := range rules {
		rule := &rules[i]
		for _, by := range rule.By {
			kind, subject := s.subject(rs, by, rule.Count, r)
			if subject == "" {
				continue
			}
			key := key(kind, subject, rule)
			if slices.ContainsFunc(checks, func(c Check) bool { return c.Key == key }) {
				continue // strangers are counted by address for more than one subject
			}
			if rule.Count == CountFailures || rule.Count == countGuesses {
				conditional = append(conditional, condition{len(checks), rule.Count})
			}
			checks = append(checks, Check{
				Key: key, Limit: rule.limit(plan), Cost: max(1, rule.Cost), Shadow: rule.Mode == Shadow,
				Refundable: rs.refunds(rule, by),
			})
		}
	}
	return checks, conditional, nil
}

// counts tells whether a rule counts a request whatever becomes of it: by one of its
// subjects at least.
func (s *Service) counts(rs *ruleset, rule *Rule, r *Request) bool {
	return rule.Count != countGuesses && slices.ContainsFunc(rule.By, func(by Subject) bool {
		_, subject := s.subject(rs, by, rule.Count, r)
		return subject != ""
	})
}

// plan is the caller's plan, where a rule makes a difference between plans.
func (s *Service) plan(ctx context.Context, rules []Rule, caller identity.Caller) (string, error) {
	if s.c.Plan == nil || !caller.Known() || !slices.ContainsFunc(rules, func(r Rule) bool { return len(r.Plans) > 0 }) {
		return "", nil
	}
	plan, err := s.c.Plan(ctx, caller.UserID)
	if !slices.ContainsFunc(rules, func(r Rule) bool { return len(r.Plans) > 0 && r.Mode != Shadow }) {
		err = nil // nobody is refused for what a shadow can't tell
	}
	return plan, err
}

// limit is the rule's for a plan.
func (r *Rule) limit(plan string) Limit {
	if theirs, ok := r.Plans[plan]; ok {
		return theirs
	}
	return r.Limit
}

// key is where a rule counts for a subject. In a Redis Cluster the braces put all
// of a subject's counts on one node.
func key(kind, subject string, rule *Rule) string {
	return "{" + kind + ":" + subject + "}" + rule.name()
}

// subject is who is counted, as "address" and "192.0.2.1"; empty for nobody.
func (s *Service) subject(rs *ruleset, by Subject, count Count, r *Request) (kind, subject string) {
	account := r.Account
	if count == countGuesses {
		account = r.Guess
	}
	switch {
	case by == ByProof && (r.Proof == nil || r.Proof.Subject == ""):
		return "", ""
	case by == ByProof:
		return "proof", r.Proof.Subject
	case by == ByAccount && account == "":
		return "", ""
	case by == ByAccount:
		return "account", hashed(s.c.Account(account))
	case by == ByLogin:
		return "login", cmp.Or(s.c.Login(r.Refresh), r.Caller.LoginID)
	case by == ByAPIKey && r.Caller.KeyID != "":
		return "key", r.Caller.KeyID
	case by == ByUser && r.Caller.Known(), by == ByUserOrAddress && r.Caller.Known():
		return "user", r.Caller.UserID
	case !r.Caller.Address.IsValid():
		return "address", "unknown"
	}
	return "address", rs.network(r.Caller.Address)
}

// AddressSubject is the subject of a client's address.
func (c Config) AddressSubject(address netip.Addr) string {
	return "address:" + newRuleset(c, Routes{}).network(address)
}

// AccountSubject is the subject of an account's key; the e-mail address stands in
// it as a hash.
func AccountSubject(account string) string { return "account:" + hashed(account) }

func hashed(account string) string {
	sum := sha256.Sum256([]byte(account))
	return hex.EncodeToString(sum[:12])
}

// fill puts a decision into the answer, in the words of rate limit policies.
func (a *Answer) fill(checks []Check, d *Decision) {
	a.Allowed, a.Applied = d.Allowed, make([]Applied, 0, 4)
	for i, c := range checks {
		if c.Shadow {
			continue
		}
		kind, _, _ := strings.Cut(c.Key[1:], ":")
		for j, standing := range d.Checks[i].Windows {
			violated := !d.Checks[i].Allowed && standing.Retry > 0
			a.Applied = append(a.Applied, Applied{Kind: kind, Window: c.Limit[j], Standing: standing, Violated: violated})
			if violated {
				a.Retry = max(a.Retry, standing.Retry)
			}
		}
	}
}

// Match tells which rules are for a method and an address, as they stand in a request's
// first line, each with the limit that it has for a plan (or none). There are none for
// what is no request.
func (s *Service) Match(method, address, plan string) []Rule {
	at, err := url.ParseRequestURI(address)
	if err != nil || method == "" || !strings.HasPrefix(at.Path, "/") {
		return nil
	}
	mux := http.NewServeMux()
	for _, pattern := range s.c.Routes.Patterns {
		register(mux, pattern)
	}
	// What is only redirected is counted with what isn't there.
	pattern := cmp.Or(lookUp(mux, method, at), method+" /")
	matched := slices.Clone(s.rules.Load().find(pattern).shown)
	for i := range matched {
		matched[i].Limit = matched[i].limit(plan)
	}
	return matched
}

// Standings is where a subject stands under a rule.
type Standings struct {
	Rule    string
	Windows []Applied
}

// Show tells where a subject ("address:192.0.2.1", "user:…", "account:…", "login:…",
// "key:…") stands under every rule that counts by such subjects, a user by the limits of
// their plan.
func (s *Service) Show(ctx context.Context, subject string) ([]Standings, error) {
	var counts []Standings
	kind, id, _ := strings.Cut(subject, ":")
	plan := ""
	if kind == "user" && s.c.Plan != nil {
		var err error
		if plan, err = s.c.Plan(ctx, id); err != nil {
			return nil, err
		}
	}
	for _, rule := range s.rulesFor(kind) {
		checks := []Check{{Key: key(kind, id, rule), Limit: rule.limit(plan), Cost: 1}}
		var d Decision
		if err := s.c.Engine.Peek(ctx, checks, &d); err != nil {
			return nil, err
		}
		var a Answer
		a.fill(checks, &d)
		counts = append(counts, Standings{rule.name(), a.Applied})
	}
	return counts, nil
}

// Reset forgets what was counted for a subject, under every rule.
func (s *Service) Reset(ctx context.Context, subject string) error {
	var keys []string
	kind, id, _ := strings.Cut(subject, ":")
	for _, rule := range s.rulesFor(kind) {
		keys = append(keys, key(kind, id, rule))
	}
	if s.c.Breaker != nil {
		s.c.Breaker.Forget(keys)
	}
	return s.c.Engine.Reset(ctx, keys)
}

// rulesFor are the rules that may count by a kind of subject.
func (s *Service) rulesFor(kind string) []*Rule {
	rs := s.rules.Load()
	all := slices.Clone(rs.byDefault)
	for _, route := range slices.Sorted(maps.Keys(rs.rules)) {
		all = append(all, rs.rules[route]...)
	}
	var found []*Rule
	for i := range all {
		if slices.ContainsFunc(all[i].By, func(by Subject) bool { return kinds[by][kind] }) {
			found = append(found, &all[i])
		}
	}
	return found
}

// kinds are the kinds of subjects that a rule may count by.
var kinds = map[Subject]map[string]bool{
	ByAddress: {"address": true}, ByUser: {"user": true, "address": true}, ByAccount: {"account": true}, ByLogin: {"login": true},
	ByAPIKey: {"key": true, "address": true}, ByUserOrAddress: {"user": true, "address": true}, ByProof: {"proof": true},
}

// Measure registers the times of decisions, and is a [ServiceConfig].Observe that
// measures them. A decision counted locally was made without the counts that the
// copies share.
func Measure(metrics prometheus.Registerer) func(Observation) {
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "manus_limit_decision_duration_seconds",
		Help:    "Time to decide whether a request is too many, by rule, outcome and where it was counted.",
		Buckets: []float64{.000001, .00001, .0001, .0005, .001, .005, .01, .05, .1},
	}, []string{"rule", "outcome", "counted"})
	metrics.MustRegister(took)
	return func(o Observation) {
		counted := "shared"
		if o.Local {
			counted = "locally"
		}
		took.WithLabelValues(o.Rule, string(o.Outcome), counted).Observe(o.Took.Seconds())
	}
}
