package ratelimit_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"manus/identity"
	"manus/ratelimit"
	"manus/ratelimit/memorylimit"
)

// flaky is a shared engine that can be gone or frozen, and counts how often it is asked.
type flaky struct {
	ratelimit.Engine
	gone   atomic.Bool
	late   atomic.Bool // decisions come too late
	asked  atomic.Int64
	heard  atomic.Uint64
	mu     sync.Mutex
	thawed chan struct{} // is closed when it goes on; nil while it isn't frozen
	repaid []ratelimit.Admitted
}

func newFlaky() *flaky { return &flaky{Engine: memorylimit.New(memorylimit.Config{})} }

func (f *flaky) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.thawed = make(chan struct{})
}

func (f *flaky) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.thawed)
	f.thawed = nil
}

var errGone = errors.New("gone")

// answer is a call's way there and back.
func (f *flaky) answer(call func() error) error {
	f.mu.Lock()
	thawed := f.thawed
	f.mu.Unlock()
	if thawed != nil {
		<-thawed
	}
	if f.gone.Load() {
		return errors.Join(ratelimit.ErrUnavailable, errGone)
	}
	defer f.heard.Add(1)
	return call()
}

func (f *flaky) Take(ctx context.Context, checks []ratelimit.Check, into *ratelimit.Decision) error {
	f.asked.Add(1)
	if f.late.Load() {
		return errors.Join(ratelimit.ErrUnavailable, os.ErrDeadlineExceeded)
	}
	return f.answer(func() error { return f.Engine.Take(ctx, checks, into) })
}

func (f *flaky) Peek(ctx context.Context, checks []ratelimit.Check, into *ratelimit.Decision) error {
	f.asked.Add(1)
	var d ratelimit.Decision
	done := make(chan error, 1)
	go func() { done <- f.answer(func() error { return f.Engine.Peek(ctx, checks, &d) }) }()
	select {
	case err := <-done:
		*into = d
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *flaky) Try(context.Context) error { return f.answer(func() error { return nil }) }

func (f *flaky) Answers() uint64 { return f.heard.Load() }

func (f *flaky) Repay(_ context.Context, counts []ratelimit.Admitted) error {
	return f.answer(func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.repaid = append(f.repaid, counts...)
		return nil
	})
}

// around is a breaker around it that has reached it, and runs until the test ends.
func (f *flaky) around(t testing.TB, log io.Writer) *ratelimit.Breaker {
	t.Helper()
	if log == nil {
		log = io.Discard
	}
	b := ratelimit.NewBreaker(ratelimit.BreakerConfig{Shared: f, Local: memorylimit.New(memorylimit.Config{}), Log: slog.New(slog.NewTextHandler(log, nil))})
	b.Reach(t.Context())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return b
}

func checks(t testing.TB, key, text string) []ratelimit.Check {
	t.Helper()
	l, err := ratelimit.ParseLimit(text)
	if err != nil {
		t.Fatal(err)
	}
	return []ratelimit.Check{{Key: key, Limit: l, Cost: 1}}
}

func TestADenialIsRememberedUntilItIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newFlaky()
		breaker := shared.around(t, nil)
		c := append(checks(t, "k", "3/minute"), checks(t, "shadow", "100/minute")...)
		c[1].Shadow = true
		var d ratelimit.Decision
		take := func() bool {
			t.Helper()
			if _, err := breaker.Take(t.Context(), c, &d, true); err != nil {
				t.Fatal(err)
			}
			return d.Allowed
		}
		for take() {
		}
		asked := shared.asked.Load()
		time.Sleep(20 * time.Second)
		for range 100 {
			if take() || d.Checks[0].Allowed || !d.Checks[1].Allowed || d.Checks[0].Windows[0].Retry != 40*time.Second || d.Checks[0].Windows[0].Reset != 40*time.Second {
				t.Fatalf("got %+v", d)
			}
		}
		if shared.asked.Load() != asked {
			t.Error("the shared engine was asked")
		}
		time.Sleep(40 * time.Second)
		if !take() {
			t.Error("it is refused after its time")
		}
		// Another limit for the same key is another question.
		for take() {
		}
		c[0].Limit = checks(t, "", "5/minute")[0].Limit
		if !take() {
			t.Error("a larger limit is refused")
		}
		for take() {
		}
		if err := shared.Engine.Reset(t.Context(), []string{"k"}); err != nil {
			t.Fatal(err)
		}
		breaker.Forget([]string{"k"})
		if !take() {
			t.Error("a reset isn't seen")
		}
	})
}

func TestACachedDenialAllocatesNothing(t *testing.T) {
	shared := newFlaky()
	breaker := shared.around(t, nil)
	c := checks(t, "k", "5/minute, 20/hour")
	var d ratelimit.Decision
	take := func() {
		if _, err := breaker.Take(t.Context(), c, &d, true); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		take()
	}
	if n := testing.AllocsPerRun(1000, take); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCachedDenial(b *testing.B) {
	shared := newFlaky()
	breaker := shared.around(b, nil)
	c := checks(b, "k", "5/minute, 20/hour")
	var d ratelimit.Decision
	b.ReportAllocs()
	for b.Loop() {
		if _, err := breaker.Take(b.Context(), c, &d, true); err != nil {
			b.Fatal(err)
		}
	}
}

// teaRoutes are a route that tells all that a route may tell.
func teaRoutes() ratelimit.Routes {
	const pattern = "GET /tea"
	return ratelimit.Routes{Patterns: []string{pattern}, Tell: map[string][]ratelimit.Subject{pattern: {ratelimit.ByUser, ratelimit.ByAccount, ratelimit.ByLogin, ratelimit.ByProof}}}
}

// service is one with a single rule for everything that is got.
func service(t *testing.T, rule ratelimit.Rule, breaker *ratelimit.Breaker, observed *[]ratelimit.Observation) *ratelimit.Service {
	t.Helper()
	rule.Route = "GET /"
	c := ratelimit.DefaultConfig(ratelimit.Routes{Rules: []ratelimit.Rule{rule}})
	if problems := c.Problems(teaRoutes(), nil); len(problems) > 0 {
		t.Fatal(problems)
	}
	return ratelimit.New(ratelimit.ServiceConfig{
		Config: c, Engine: memorylimit.New(memorylimit.Config{}), Breaker: breaker, Log: slog.New(slog.DiscardHandler),
		Observe: func(o ratelimit.Observation) { *observed = append(*observed, o) },
	})
}

func rule(t *testing.T, text string) ratelimit.Rule {
	return ratelimit.Rule{Limit: checks(t, "", text)[0].Limit, By: []ratelimit.Subject{ratelimit.ByAddress}}
}

var stranger = ratelimit.Request{Route: "GET /", Caller: identity.Caller{Address: netip.MustParseAddr("192.0.2.1")}}

func TestOnlyFailuresCount(t *testing.T) {
	t.Parallel()
	var observed []ratelimit.Observation
	r := rule(t, "2/minute")
	r.Count = ratelimit.CountFailures
	s := service(t, r, nil, &observed)
	for i, status := range []int{200, 200, 400, 200, 399, 500, 200} {
		answer, err := s.Decide(t.Context(), stranger)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Allowed != (i < 6) {
			t.Errorf("request %d is allowed: %v", i+1, answer.Allowed)
		}
		answer.Done(ratelimit.Result{Status: status})
	}
}

// TestWhatIsUnderWayCountsUntilItIsNoFailure: no more than the limit are let in at once, and
// one more as soon as one of them has been good.
func TestWhatIsUnderWayCountsUntilItIsNoFailure(t *testing.T) {
	t.Parallel()
	var observed []ratelimit.Observation
	r := rule(t, "2/minute")
	r.Count = ratelimit.CountFailures
	s := service(t, r, nil, &observed)
	decide := func() ratelimit.Answer {
		answer, err := s.Decide(t.Context(), stranger)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	first := decide()
	if second, third := decide(), decide(); !first.Allowed || !second.Allowed || third.Allowed {
		t.Errorf("at once: %v %v %v", first.Allowed, second.Allowed, third.Allowed)
	}
	if first.Done(ratelimit.Result{Status: 200}); !decide().Allowed {
		t.Error("once one was good, another is refused")
	}
}

func TestAShadowOnlyTells(t *testing.T) {
	t.Parallel()
	var observed []ratelimit.Observation
	r := rule(t, "2/minute")
	r.Mode = ratelimit.Shadow
	s := service(t, r, nil, &observed)
	for range 3 {
		if answer, err := s.Decide(t.Context(), stranger); err != nil || !answer.Allowed || len(answer.Applied) != 0 {
			t.Errorf("got %+v, %v", answer, err)
		}
	}
	if len(observed) != 3 || observed[1].Outcome != ratelimit.OutcomeAllowed || observed[2].Outcome != ratelimit.OutcomeShadowed {
		t.Errorf("got %+v", observed)
	}
}

func TestEachRuleHasItsPolicyWhileTheCountsAreGone(t *testing.T) {
	t.Parallel()
	for policy, want := range map[ratelimit.Policy]string{
		"": "allowed allowed refused", ratelimit.Local: "allowed allowed refused", ratelimit.Allow: "allowed allowed allowed", ratelimit.Deny: "uncounted uncounted uncounted",
	} {
		var observed []ratelimit.Observation
		shared := newFlaky()
		r := rule(t, "2/minute")
		r.WhenRedisFails = policy
		s := service(t, r, shared.around(t, nil), &observed)
		shared.gone.Store(true)
		got := ""
		for range 3 {
			answer, err := s.Decide(t.Context(), stranger)
			switch {
			case errors.Is(err, ratelimit.ErrNoCounts):
				got += " uncounted"
			case err != nil:
				t.Fatal(err)
			case answer.Allowed:
				got += " allowed"
			default:
				got += " refused"
			}
		}
		if got != " "+want {
			t.Errorf("%s: %s", policy, got)
		}
		for _, o := range observed {
			if !o.Local {
				t.Errorf("%s: it isn't told that it was decided locally", policy)
			}
		}
	}
}

func TestWhoIsCounted(t *testing.T) {
	t.Parallel()
	var observed []ratelimit.Observation
	person := ratelimit.Request{Route: "GET /", Caller: identity.Caller{Address: netip.MustParseAddr("192.0.2.1"), UserID: "u", LoginID: "l"}}
	program := person
	program.Caller.KeyID = "k"
	account := stranger
	account.Account = "a@example.com"
	for _, c := range []struct {
		by      ratelimit.Subject
		request ratelimit.Request
		want    string
	}{
		{ratelimit.ByAddress, person, "address-60"}, {ratelimit.ByUser, person, "user-60"}, {ratelimit.ByUser, stranger, "address-60"},
		{ratelimit.ByUserOrAddress, person, "user-60"}, {ratelimit.ByUserOrAddress, stranger, "address-60"}, {ratelimit.ByAPIKey, program, "key-60"},
		{ratelimit.ByAPIKey, stranger, "address-60"}, {ratelimit.ByAccount, account, "account-60"}, {ratelimit.ByLogin, person, "login-60"},
		// what tells nothing of it, by the default rule
		{ratelimit.ByAccount, stranger, "address-60address-3600"}, {ratelimit.ByAccount, person, "user-60user-3600"}, {ratelimit.ByLogin, stranger, "address-60address-3600"},
		{ratelimit.ByLogin, account, "address-60address-3600"}, {ratelimit.ByProof, stranger, "address-60address-3600"},
	} {
		r := rule(t, "2/minute")
		r.By = []ratelimit.Subject{c.by}
		answer, err := service(t, r, nil, &observed).Decide(t.Context(), c.request)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, a := range answer.Applied {
			got += a.Name()
		}
		if got != c.want {
			t.Errorf("by %s: %q, want %q", c.by, got, c.want)
		}
	}
}

// routes are some, with limits of their own.
func routes(t *testing.T) ratelimit.Routes {
	t.Helper()
	all := ratelimit.Routes{Patterns: []string{"GET /{$}", "GET /api/v1/sessions", "POST /api/v1/sessions/{id}/messages"}, Tell: map[string][]ratelimit.Subject{}}
	for _, route := range []string{"GET /api/v1/sessions", "POST /api/v1/sessions", "GET /api/v1/billing/subscription"} {
		all.Tell[route] = []ratelimit.Subject{ratelimit.ByUser}
	}
	for route, limit := range map[string]string{
		"POST /api/v1/auth/login": "5/minute, 20/hour", "POST /api/v1/auth/register": "3/minute, 10/hour", "POST /api/v1/auth/refresh": "10/minute, 50/hour",
		"POST /api/v1/sessions": "10/minute, 100/hour", "POST /api/v1/billing/webhook": "100/minute", "POST /api/v1/billing/checkout": "5/minute, 20/hour",
		"POST /api/v1/billing/portal": "10/minute, 50/hour", "POST /api/v1/billing/trial": "3/hour", "GET /api/v1/billing/subscription": "30/minute, 300/hour",
		"GET /health": "300/minute", "GET /ready": "300/minute", "GET /live": "300/minute", "GET /version": "100/minute", "GET /api/v1/version": "100/minute",
	} {
		r := ratelimit.NewRule(limit, ratelimit.ByAddress)
		if r.Route = route; route == "POST /api/v1/sessions" {
			r.Plans = map[string]ratelimit.Limit{}
			for plan, theirs := range map[string]string{"basic": "30/minute", "pro": "60/minute", "enterprise": "300/minute"} {
				r.Plans[plan] = ratelimit.NewRule(theirs).Limit
			}
		}
		all.Patterns, all.Rules = append(all.Patterns, route), append(all.Rules, r)
	}
	return all
}

// TestARuleThatCountsNothingIsAProblem has rules by what no request tells, and one to which
// others leave no route.
func TestARuleThatCountsNothingIsAProblem(t *testing.T) {
	t.Parallel()
	known := ratelimit.Routes{
		Patterns: []string{"POST /auth/login", "POST /auth/refresh", "POST /auth/logout", "POST /hook", "GET /{$}"},
		Tell: map[string][]ratelimit.Subject{
			"POST /auth/login": {ratelimit.ByAccount}, "POST /auth/refresh": {ratelimit.ByLogin}, "POST /hook": {ratelimit.ByProof},
		},
	}
	type rules map[string][]ratelimit.Subject
	for name, c := range map[string]struct {
		byDefault []ratelimit.Subject
		rules     rules
		want      string
	}{
		"what is told": {nil, rules{
			"POST /auth/login": {ratelimit.ByAddress, ratelimit.ByAccount}, "POST /auth/refresh": {ratelimit.ByLogin}, "POST /hook": {ratelimit.ByProof, ratelimit.ByAddress},
			"GET /{$}": {ratelimit.ByUser}, "POST /auth/logout": {ratelimit.ByAPIKey},
		}, ""},
		"an account":                 {nil, rules{"GET /{$}": {ratelimit.ByAddress, ratelimit.ByAccount}}, "limits.rules[0].by of GET /{$}: take account out: no request there tells it, so that nothing is counted by it"},
		"a login":                    {nil, rules{"POST /auth/login": {ratelimit.ByLogin}}, "limits.rules[0].by of POST /auth/login: take login out: no request there tells it, so that nothing is counted by it"},
		"a proof":                    {nil, rules{"POST /auth/login": {ratelimit.ByProof}}, "limits.rules[0].by of POST /auth/login: take proof out: no request there tells it, so that nothing is counted by it"},
		"below a path":               {nil, rules{"POST /auth/": {ratelimit.ByAccount}}, ""},
		"what is left below a path":  {nil, rules{"POST /auth/": {ratelimit.ByAccount}, "POST /auth/login": {ratelimit.ByAddress}}, "limits.rules[0].by of POST /auth/: take account out: no request there tells it, so that nothing is counted by it"},
		"by default":                 {[]ratelimit.Subject{ratelimit.ByAddress, ratelimit.ByAccount}, nil, ""},
		"what is left to by default": {[]ratelimit.Subject{ratelimit.ByAddress, ratelimit.ByAccount}, rules{"POST /auth/login": {ratelimit.ByAddress}}, "limits.default.by: take account out: no request there tells it, so that nothing is counted by it"},
		"no route is left": {nil, rules{
			"POST /auth/": {ratelimit.ByAddress}, "POST /auth/login": {ratelimit.ByAddress}, "POST /auth/refresh": {ratelimit.ByAddress}, "POST /auth/logout": {ratelimit.ByAddress},
		}, "limits.rules[0].route: take the rule out: other rules are for all routes of POST /auth/, so that it counts nothing"},
	} {
		config := ratelimit.DefaultConfig(known)
		if c.byDefault != nil {
			config.Default.By = c.byDefault
		}
		for _, route := range slices.Sorted(maps.Keys(c.rules)) {
			rule := ratelimit.NewRule("5/minute", c.rules[route]...)
			rule.Route = route
			config.Rules = append(config.Rules, rule)
		}
		if got := strings.Join(config.Problems(known, nil), "; "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func plans() []string { return []string{"free", "basic", "pro", "enterprise"} }

func TestRulesAreFoundByRouteAndAllowListsPass(t *testing.T) {
	t.Parallel()
	s := ratelimit.New(ratelimit.ServiceConfig{Config: ratelimit.DefaultConfig(routes(t)), Routes: routes(t), Engine: memorylimit.New(memorylimit.Config{}), Log: slog.New(slog.DiscardHandler)})
	for request, want := range map[string]string{
		"POST /api/v1/auth/login": "5/minute, 20/hour", "POST /api/v1/auth/register": "3/minute, 10/hour", "POST /api/v1/auth/refresh": "10/minute, 50/hour",
		"POST /api/v1/sessions": "10/minute, 100/hour", "GET /api/v1/sessions": "100/minute, 1000/hour", "POST /api/v1/sessions/x/messages": "100/minute, 1000/hour",
		"POST /api/v1/billing/webhook": "100/minute", "POST /api/v1/billing/checkout": "5/minute, 20/hour", "POST /api/v1/billing/portal": "10/minute, 50/hour",
		"POST /api/v1/billing/trial": "3/hour", "GET /api/v1/billing/subscription": "30/minute, 300/hour", "GET /health": "300/minute", "GET /ready": "300/minute",
		"GET /live": "300/minute", "GET /version": "100/minute", "GET /api/v1/version": "100/minute", "GET /": "100/minute, 1000/hour",
	} {
		var method, path string
		if _, err := fmt.Sscan(request, &method, &path); err != nil {
			t.Fatal(err)
		}
		if rules := s.Match(method, path, ""); len(rules) != 1 || rules[0].Limit.String() != want {
			t.Errorf("%s: %v", request, rules)
		}
	}
	for plan, want := range map[string]string{"free": "10/minute, 100/hour", "basic": "30/minute", "pro": "60/minute", "enterprise": "300/minute"} {
		if rules := s.Match("POST", "/api/v1/sessions", plan); len(rules) != 1 || rules[0].Limit.String() != want {
			t.Errorf("%s: %v", plan, rules)
		}
	}
	c := ratelimit.DefaultConfig(ratelimit.Routes{})
	c.Allow = []string{"192.0.2.0/24", "2001:db8::1"}
	s.SetConfig(c)
	for range 500 {
		if answer, err := s.Decide(t.Context(), stranger); err != nil || !answer.Allowed {
			t.Fatal(answer, err)
		}
	}
}

func TestProblemsOfLimits(t *testing.T) {
	t.Parallel()
	if problems := ratelimit.DefaultConfig(routes(t)).Problems(routes(t), plans()); len(problems) > 0 {
		t.Errorf("the default ones: %v", problems)
	}
	for want, change := range map[string]func(*ratelimit.Config){
		"limits.default.limit: ": func(c *ratelimit.Config) { c.Default.Limit = nil },
		"limits.default.plans: ": func(c *ratelimit.Config) { c.Default.Plans = map[string]ratelimit.Limit{"gold": c.Default.Limit} },
		"limits.rules[0].plans of GET /api/v1/billing/subscription: there is no such plan gold; ": func(c *ratelimit.Config) { c.Rules[0].Plans = map[string]ratelimit.Limit{"gold": c.Default.Limit} },
		"limits.rules[0].route: there is no such route POST /api/v1/auth/log-in":                  func(c *ratelimit.Config) { c.Rules[0].Route = "POST /api/v1/auth/log-in" },
		"limits.rules[1].route: there is no":                                                      func(c *ratelimit.Config) { c.Rules[1].Route = "PUT " + c.Rules[1].Route[len("GET "):] },
		"limits.rules[0].by of GET /api/v1/billing/subscription: list each":                       func(c *ratelimit.Config) { c.Rules[0].By = []ratelimit.Subject{"address", "address"} },
		"limits.default.by: list each":                                                            func(c *ratelimit.Config) { c.Default.By = []ratelimit.Subject{"user", "address", "user-or-address"} },
		"limits.default.by: list 1":                                                               func(c *ratelimit.Config) { c.Default.By = nil },
		"limits.rules[0].by of GET /api/v1/billing/subscription: use":                             func(c *ratelimit.Config) { c.Rules[0].By = []ratelimit.Subject{"planet"} },
		"limits.rules[1].route: use":                                                              func(c *ratelimit.Config) { c.Rules[1].Route = "/x" },
		"limits.rules[2].route: GET /api/v1/billing/subscription isn't":                           func(c *ratelimit.Config) { c.Rules[2].Route = c.Rules[0].Route },
		"limits.rules[0].mode of GET /api/v1/billing/subscription: ":                              func(c *ratelimit.Config) { c.Rules[0].Mode = "maybe" },
		"limits.rules[0].count of GET /api/v1/billing/subscription: ":                             func(c *ratelimit.Config) { c.Rules[0].Count = "some" },
		"limits.rules[0].cost of GET /api/v1/billing/subscription: ":                              func(c *ratelimit.Config) { c.Rules[0].Cost = -1 },
		"limits.rules[0].when_redis_fails of GET /api/v1/billing/subscription: ":                  func(c *ratelimit.Config) { c.Rules[0].WhenRedisFails = "hope" },
		"limits.default.cost: it is more":                                                         func(c *ratelimit.Config) { c.Default.Cost = 101 },
		"limits.rules[0].cost of GET /api/v1/billing/subscription: it is more than the limit of a plan pro": func(c *ratelimit.Config) {
			c.Rules[0].Cost, c.Rules[0].Plans = 7, map[string]ratelimit.Limit{"pro": ratelimit.NewRule("6/minute").Limit}
		},
		"limits.default.by: add": func(c *ratelimit.Config) { c.Default.By = []ratelimit.Subject{ratelimit.ByAccount} },
		"limits.rules[2].plans of GET /health: take them out: no request there tells its user": func(c *ratelimit.Config) { c.Rules[2].Plans = map[string]ratelimit.Limit{"pro": c.Default.Limit} },
		"limits.rules[0].route: there is no such route GET /api/v1/billing/subscription/":      func(c *ratelimit.Config) { c.Rules[0].Route += "/" },
		"limits.allow[0]: ":    func(c *ratelimit.Config) { c.Allow = []string{"here"} },
		"limits.ipv6_prefix: ": func(c *ratelimit.Config) { c.IPv6Prefix = 8 },
	} {
		c := ratelimit.DefaultConfig(routes(t))
		change(&c)
		if problems := c.Problems(routes(t), plans()); len(problems) != 1 || problems[0][:len(want)] != want {
			t.Errorf("%s: %v", want, problems)
		}
	}
}

func TestBoundsOfLimits(t *testing.T) {
	t.Parallel()
	many := func(n int) (c ratelimit.Config, r ratelimit.Routes) {
		c = ratelimit.DefaultConfig(ratelimit.Routes{})
		for i := range n {
			rule := ratelimit.NewRule("1/minute", ratelimit.ByAddress)
			rule.Route = fmt.Sprintf("GET /%d", i)
			c.Rules, r.Patterns = append(c.Rules, rule), append(r.Patterns, rule.Route)
		}
		return c, r
	}
	for prefix, fine := range map[int]bool{31: false, 32: true, 128: true, 129: false} {
		c, r := many(1)
		c.IPv6Prefix = prefix
		if problems := c.Problems(r, nil); (len(problems) == 0) != fine {
			t.Errorf("a prefix of %d: %v", prefix, problems)
		}
	}
	for n, fine := range map[int]bool{500: true, 501: false} {
		c, r := many(n)
		if problems := c.Problems(r, nil); (len(problems) == 0) != fine {
			t.Errorf("%d rules: %v", n, problems)
		}
	}
}

func TestARefusalTellsWhichWindowItIsFor(t *testing.T) {
	t.Parallel()
	var observed []ratelimit.Observation
	s := service(t, rule(t, "1/minute, 100/hour"), nil, &observed)
	for _, violated := range []bool{false, true} {
		answer, err := s.Decide(t.Context(), stranger)
		if err != nil || answer.Allowed == violated || len(answer.Applied) != 2 || answer.Applied[0].Violated != violated || answer.Applied[1].Violated {
			t.Errorf("got %+v, %v", answer, err)
		}
	}
}

// TestAShadowRefusesNothing has a shadow that denies without Redis, and one whose plans
// can't be told.
func TestAShadowRefusesNothing(t *testing.T) {
	t.Parallel()
	shared := newFlaky()
	shared.gone.Store(true)
	r := ratelimit.NewRule("1/minute", ratelimit.ByUser)
	r.Mode, r.WhenRedisFails, r.Plans = ratelimit.Shadow, ratelimit.Deny, map[string]ratelimit.Limit{"pro": ratelimit.NewRule("2/minute").Limit}
	s := ratelimit.New(ratelimit.ServiceConfig{
		Config: ratelimit.Config{Default: r}, Engine: memorylimit.New(memorylimit.Config{}), Breaker: shared.around(t, nil), Log: slog.New(slog.DiscardHandler),
		Plan: func(context.Context, string) (string, error) { return "", errors.New("the store is gone") },
	})
	known := stranger
	known.Caller.UserID = "u"
	for range 3 {
		if answer, err := s.Decide(t.Context(), known); err != nil || !answer.Allowed {
			t.Errorf("got %+v, %v", answer, err)
		}
	}
}

func TestMatchReadsAnAddressAsTheServerDoes(t *testing.T) {
	t.Parallel()
	s := ratelimit.New(ratelimit.ServiceConfig{Config: ratelimit.DefaultConfig(routes(t)), Routes: routes(t)})
	for address, want := range map[string]string{
		"/api/v1/sessions": "10/minute, 100/hour", "/api/v1/sessions?a=/b": "10/minute, 100/hour", "/api/v1/%73essions": "10/minute, 100/hour",
		"/api/v1%2Fsessions": "100/minute, 1000/hour", "//api/v1/sessions": "100/minute, 1000/hour", "/api/v1/x/../sessions": "100/minute, 1000/hour",
		"": "", "x": "", "/%zz": "",
	} {
		got := ""
		for _, rule := range s.Match("POST", address, "") {
			got += rule.Limit.String()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

// TestARuleOfThePageAtTheRootIsOfNothingElse: what isn't there is at no address of its own.
func TestARuleOfThePageAtTheRootIsOfNothingElse(t *testing.T) {
	t.Parallel()
	known := ratelimit.Routes{Patterns: []string{"GET /{$}", "GET /docs", "GET /"}}
	for _, c := range []struct {
		rules               string
		root, docs, nowhere string
	}{
		{"GET /{$}", "GET /{$}", "default", "default"}, {"GET /", "GET /", "GET /", "GET /"}, {"GET /{$}|GET /", "GET /{$}", "GET /", "GET /"},
		{"GET /{$}|GET /{page}", "GET /{$}", "GET /{page}", "default"},
	} {
		config := ratelimit.DefaultConfig(known)
		for route := range strings.SplitSeq(c.rules, "|") {
			rule := ratelimit.NewRule("7/minute", ratelimit.ByAddress)
			rule.Route = route
			config.Rules = append(config.Rules, rule)
		}
		if problems := config.Problems(known, nil); len(problems) > 0 {
			t.Errorf("%s: %v", c.rules, problems)
		}
		s := ratelimit.New(ratelimit.ServiceConfig{Config: config, Routes: known})
		for address, want := range map[string]string{"/": c.root, "/docs": c.docs, "/nowhere": c.nowhere, "/a/b": c.nowhere} {
			if got := s.Match("GET", address, ""); len(got) != 1 || cmp.Or(got[0].Route, "default") != want {
				t.Errorf("%s: of %s is %v, want %s", c.rules, address, got, want)
			}
		}
	}
}

func TestRulesThatAListReplacesAreTold(t *testing.T) {
	t.Parallel()
	own := routes(t)
	c := ratelimit.DefaultConfig(own)
	if gone := c.Replaced(own); len(gone) > 0 {
		t.Errorf("by the default ones: %v", gone)
	}
	c.Rules = []ratelimit.Rule{ratelimit.NewRule("9/minute", ratelimit.ByAddress)}
	c.Rules[0].Route = "POST /api/v1/auth/login"
	gone := c.Replaced(own)
	if len(gone) != len(own.Rules)-1 || gone[0].String() != "GET /api/v1/billing/subscription (30/minute, 300/hour by address)" {
		t.Errorf("%v", gone)
	}
}

// TestSeveralRulesOfARouteAreOneDecision has a route with three, of which one counts
// failures only.
func TestSeveralRulesOfARouteAreOneDecision(t *testing.T) {
	t.Parallel()
	const login = "POST /login"
	byAddress, byUser := ratelimit.NewRule("3/minute", ratelimit.ByAddress), ratelimit.NewRule("5/minute", ratelimit.ByAccount)
	shadow := ratelimit.NewRule("1/minute", ratelimit.ByAPIKey)
	byUser.Count, shadow.Mode = ratelimit.CountFailures, ratelimit.Shadow
	all := ratelimit.Routes{Patterns: []string{login, "GET /"}, Rules: []ratelimit.Rule{byAddress, byUser, shadow}}
	for i := range all.Rules {
		all.Rules[i].Route = login
	}
	s := ratelimit.New(ratelimit.ServiceConfig{Config: ratelimit.DefaultConfig(all), Routes: all, Engine: memorylimit.New(memorylimit.Config{}), Log: slog.New(slog.DiscardHandler)})
	if !s.ByInput(login) || s.ByInput("GET /") || len(s.Match("POST", "/login", "")) != 3 {
		t.Errorf("the rules: %v", s.Match("POST", "/login", ""))
	}
	for i, c := range []struct {
		address  int
		status   int
		violated string
	}{
		{1, 200, ""}, {1, 401, ""}, {1, 401, ""}, {1, 0, "address-60"}, {2, 200, ""}, {2, 401, ""}, {2, 401, ""},
		{3, 401, ""}, {3, 0, "account-60"}, {3, 0, "account-60"}, // of the address two are left
	} {
		caller := identity.Caller{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(c.address)}), UserID: "u", KeyID: "k"}
		answer, err := s.Decide(t.Context(), ratelimit.Request{Route: login, Caller: caller, Account: "a@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		violated := ""
		for _, a := range answer.Applied {
			if a.Violated {
				violated += a.Name()
			}
		}
		if violated != c.violated || answer.Allowed != (c.violated == "") || len(answer.Applied) != 2 {
			t.Errorf("request %d: %+v", i+1, answer)
		}
		if answer.Done(ratelimit.Result{Status: c.status}); c.address == 3 && answer.Applied[0].Remaining != 2 {
			t.Errorf("request %d: %d left of the address", i+1, answer.Applied[0].Remaining)
		}
	}
}

func TestTheStrictestPolicyOfSeveralRulesHolds(t *testing.T) {
	t.Parallel()
	for want, policies := range map[string][2]ratelimit.Policy{"uncounted": {ratelimit.Allow, ratelimit.Deny}, "counted": {ratelimit.Allow, ratelimit.Local}, "neither": {ratelimit.Allow, ratelimit.Allow}} {
		shared := newFlaky()
		breaker := shared.around(t, nil)
		shared.gone.Store(true)
		first, second := ratelimit.NewRule("1/minute", ratelimit.ByAddress), ratelimit.NewRule("9/minute", ratelimit.ByAccount)
		first.Route, second.Route, first.WhenRedisFails, second.WhenRedisFails = "GET /x", "GET /x", policies[0], policies[1]
		config := ratelimit.DefaultConfig(ratelimit.Routes{Rules: []ratelimit.Rule{first, second}})
		s := ratelimit.New(ratelimit.ServiceConfig{Config: config, Engine: shared, Breaker: breaker, Log: slog.New(slog.DiscardHandler)})
		got := ""
		for range 2 {
			answer, err := s.Decide(t.Context(), ratelimit.Request{Route: "GET /x", Caller: stranger.Caller, Account: "a"})
			got = map[bool]string{true: "neither", false: "counted"}[answer.Allowed]
			if errors.Is(err, ratelimit.ErrNoCounts) {
				got = "uncounted"
			}
		}
		if got != want {
			t.Errorf("%v: %s, want %s", policies, got, want)
		}
	}
}

// TestARequestIsCountedOnceByEachSubject has a rule by user and by address: strangers are
// counted by address for both.
func TestARequestIsCountedOnceByEachSubject(t *testing.T) {
	t.Parallel()
	var observed []ratelimit.Observation
	r := rule(t, "2/minute")
	r.By = []ratelimit.Subject{ratelimit.ByUser, ratelimit.ByAddress, ratelimit.ByAPIKey}
	s := service(t, r, nil, &observed)
	for i := range 3 {
		answer, err := s.Decide(t.Context(), stranger)
		if err != nil || answer.Allowed != (i < 2) || len(answer.Applied) != 1 {
			t.Errorf("request %d: %+v, %v", i+1, answer, err)
		}
	}
}

func TestRulesOfOneRouteMayNotCountForOneSubject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b ratelimit.Subject
		fine bool
	}{
		{ratelimit.ByAddress, ratelimit.ByAccount, true}, {ratelimit.ByAddress, ratelimit.ByAddress, false}, {ratelimit.ByUser, ratelimit.ByAccount, true},
		{ratelimit.ByAddress, ratelimit.ByProof, true}, {ratelimit.ByProof, ratelimit.ByProof, false},
		{ratelimit.ByUser, ratelimit.ByAddress, false}, {ratelimit.ByAPIKey, ratelimit.ByUserOrAddress, false}, // strangers count by address
	} {
		config := ratelimit.DefaultConfig(ratelimit.Routes{Rules: []ratelimit.Rule{ratelimit.NewRule("1/minute", c.a), ratelimit.NewRule("2/minute", c.b)}})
		config.Rules[0].Route, config.Rules[1].Route = "GET /", "GET /"
		if problems := config.Problems(teaRoutes(), nil); (len(problems) == 0) != c.fine {
			t.Errorf("%s and %s: %v", c.a, c.b, problems)
		}
	}
}

// The limit of who proves something holds on every route, and leaves a rule its costs.
func TestALimitOfAProofsOwnHoldsEverywhere(t *testing.T) {
	t.Parallel()
	own := ratelimit.NewRule("100/minute", ratelimit.ByProof)
	own.Route, own.Cost = "POST /projects", 2
	known := ratelimit.Routes{Patterns: []string{"POST /projects", "GET /projects"}}
	s := ratelimit.New(ratelimit.ServiceConfig{
		Config: ratelimit.Config{Default: ratelimit.NewRule("100/minute", ratelimit.ByAddress), Rules: []ratelimit.Rule{own}}, Routes: known,
		Engine: memorylimit.New(memorylimit.Config{}), Log: slog.New(slog.DiscardHandler),
	})
	for route, want := range map[string]int{"POST /projects": 2, "GET /projects": 4} {
		admitted := 0
		for range 10 {
			answer, err := s.Decide(t.Context(), ratelimit.Request{
				Route: route, Caller: stranger.Caller, Proof: &ratelimit.Proof{Subject: "p", Limit: ratelimit.NewRule("4/minute").Limit},
			})
			if err != nil {
				t.Fatal(err)
			}
			if answer.Allowed {
				admitted++
			}
		}
		if admitted != want {
			t.Errorf("%s: %d were admitted, want %d", route, admitted, want)
		}
	}
}

func TestWhatIsShownOfAUserIsByTheirPlan(t *testing.T) {
	t.Parallel()
	r := ratelimit.NewRule("1/minute", ratelimit.ByUserOrAddress)
	r.Plans = map[string]ratelimit.Limit{"pro": ratelimit.NewRule("7/minute").Limit}
	var gone error
	s := ratelimit.New(ratelimit.ServiceConfig{
		Config: ratelimit.Config{Default: r}, Engine: memorylimit.New(memorylimit.Config{}), Log: slog.New(slog.DiscardHandler),
		Plan: func(context.Context, string) (string, error) { return "pro", gone },
	})
	shown := func(subject string) (remaining int, err error) {
		standings, err := s.Show(t.Context(), subject)
		for _, st := range standings {
			remaining += st.Windows[0].Remaining
		}
		return remaining, err
	}
	for subject, want := range map[string]int{"user:u": 7, "address:192.0.2.1": 1} {
		if n, err := shown(subject); err != nil || n != want {
			t.Errorf("%s: %d, %v", subject, n, err)
		}
	}
	gone = errGone
	if _, err := shown("user:u"); !errors.Is(err, errGone) {
		t.Errorf("of a user whose plan nobody knows: %v", err)
	}
	if n, err := shown("address:192.0.2.1"); err != nil || n != 1 {
		t.Errorf("no plan is asked of an address: %d, %v", n, err)
	}
}

// Whoever has one address of an IPv6 network has all of them.
func TestWhichAddressesAreOneClient(t *testing.T) {
	t.Parallel()
	c := ratelimit.DefaultConfig(ratelimit.Routes{})
	for address, want := range map[string]string{
		"192.0.2.1": "address:192.0.2.1", "::ffff:192.0.2.1": "address:192.0.2.1",
		"2001:db8::1": "address:2001:db8::/64", "2001:db8::ffff:1": "address:2001:db8::/64", "2001:db8:0:1::1": "address:2001:db8:0:1::/64",
		"fe80::1%eth0": "address:fe80::/64",
	} {
		if got := c.AddressSubject(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is %q", address, got)
		}
	}
}

// TestTheRulesOfARouteWithOnlyOneByProofAreThatAndTheDefault as it is counted by them.
func TestTheRulesOfARouteWithOnlyOneByProofAreThatAndTheDefault(t *testing.T) {
	t.Parallel()
	routes := teaRoutes()
	routes.Rules = []ratelimit.Rule{ratelimit.NewRule("3/minute", ratelimit.ByProof)}
	routes.Rules[0].Route = routes.Patterns[0]
	s := ratelimit.New(ratelimit.ServiceConfig{Config: ratelimit.DefaultConfig(routes), Routes: routes})
	if got := fmt.Sprint(s.Match("GET", "/tea", "")); got != "[GET /tea (3/minute by proof) default (100/minute, 1000/hour by user-or-address)]" {
		t.Errorf("got %s", got)
	}
}

// TestWhatIsProvedIsCountedByNothingElse has a route that denies strangers while Redis is
// gone, and admits one of them a minute.
func TestWhatIsProvedIsCountedByNothingElse(t *testing.T) {
	t.Parallel()
	routes := teaRoutes()
	routes.Rules = []ratelimit.Rule{ratelimit.NewRule("1/minute", ratelimit.ByAddress), ratelimit.NewRule("3/minute", ratelimit.ByProof)}
	for i := range routes.Rules {
		routes.Rules[i].Route = routes.Patterns[0]
	}
	routes.Rules[0].WhenRedisFails = ratelimit.Deny
	shared := newFlaky()
	s := ratelimit.New(ratelimit.ServiceConfig{
		Config: ratelimit.DefaultConfig(routes), Routes: routes, Engine: shared, Breaker: shared.around(t, nil), Log: slog.New(slog.DiscardHandler),
	})
	send := func(proof *ratelimit.Proof) string {
		answer, err := s.Decide(t.Context(), ratelimit.Request{Route: routes.Patterns[0], Caller: stranger.Caller, Proof: proof})
		if errors.Is(err, ratelimit.ErrNoCounts) {
			return "uncounted"
		}
		said := fmt.Sprint(answer.Allowed)
		for _, a := range answer.Applied {
			said += fmt.Sprint(" ", a.Name(), " ", a.Remaining)
		}
		return said
	}
	a, b := &ratelimit.Proof{Subject: "a"}, &ratelimit.Proof{Subject: "b", Limit: ratelimit.NewRule("1/hour").Limit}
	for i, c := range []struct {
		proof *ratelimit.Proof
		want  string
	}{
		{nil, "true address-60 0"}, {nil, "false address-60 0"}, {&ratelimit.Proof{}, "true"}, {a, "true proof-60 2"}, {b, "true proof-3600 0"}, {b, "false proof-3600 0"},
		{a, "true proof-60 1"}, {nil, "false address-60 0"},
	} {
		if got := send(c.proof); got != c.want {
			t.Errorf("request %d: %s, want %s", i+1, got, c.want)
		}
	}
	shared.gone.Store(true)
	for _, c := range []struct {
		proof *ratelimit.Proof
		want  string
	}{{&ratelimit.Proof{}, "true"}, {a, "true proof-60 0"}, {a, "false proof-60 0"}} {
		if got := send(c.proof); got != c.want {
			t.Errorf("without Redis: %s, want %s", got, c.want)
		}
	}
	other := ratelimit.Request{Route: routes.Patterns[0], Caller: identity.Caller{Address: netip.MustParseAddr("192.0.2.2")}}
	if _, err := s.Decide(t.Context(), other); !errors.Is(err, ratelimit.ErrNoCounts) {
		t.Errorf("a stranger without Redis: %v", err)
	}
}
