package ratelimit

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Config is the limits of a product.
type Config struct {
	// Default is for every route that no rule is for; such routes share one
	// count.
	Default Rule   `yaml:"default"`
	Rules   []Rule `yaml:"rules"`
	// Allow are networks that are never limited.
	Allow []string `yaml:"allow"`
	// IPv6Prefix is how many bits of an IPv6 address make a client: whoever has
	// one address of such a network has all.
	IPv6Prefix int `yaml:"ipv6_prefix"`
}

// Rule is the limits of a route.
type Rule struct {
	// Route is a method and a path, as net/http's patterns are:
	// "POST /api/v1/sessions/{id}/messages". A path that ends in "/" is of
	// everything below it.
	Route string `yaml:"route"`
	Limit Limit  `yaml:"limit"`
	// By are the subjects, each of which is counted by itself.
	By []Subject `yaml:"by"`
	// Plans are limits that take Limit's place for users on a plan.
	Plans map[string]Limit `yaml:"plans"`
	// Cost is how much of the limit a request takes; 0 means 1.
	Cost int `yaml:"cost"`
	// Count is which requests count.
	Count Count `yaml:"count"`
	Mode  Mode  `yaml:"mode"`
	// WhenRedisFails is what happens while the shared counts are unavailable.
	WhenRedisFails Policy `yaml:"when_redis_fails"`
}

// Subject is what a limit is counted by.
type Subject string

// The subjects. A stranger's requests are counted by address where a rule says
// user or api-key.
const (
	ByAddress       Subject = "address"
	ByUser          Subject = "user"
	ByAccount       Subject = "account" // the e-mail address in the request's body
	ByAPIKey        Subject = "api-key"
	ByUserOrAddress Subject = "user-or-address"
)

// Count is which requests count.
type Count string

// The counts.
const (
	CountAll      Count = "all"
	CountFailures Count = "failures" // those that were answered with 400 and above
)

// Mode is whether a rule refuses.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce"
	Shadow  Mode = "shadow" // only counts what it would have refused
)

// Policy is what happens while the shared counts are unavailable.
type Policy string

// The policies.
const (
	Local Policy = "local" // each copy counts by itself
	Allow Policy = "allow"
	Deny  Policy = "deny" // 503
)

// UnmarshalYAML reads a limit.
func (l *Limit) UnmarshalYAML(node *yaml.Node) error {
	parsed, err := ParseLimit(node.Value)
	if err != nil || node.Kind != yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %v", node.Line, ErrLimit)}}
	}
	*l = parsed
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (l Limit) MarshalYAML() (any, error) { return l.String(), nil }

func must(text string) Limit {
	l, err := ParseLimit(text)
	if err != nil {
		panic(err)
	}
	return l
}

// DefaultConfig is the limits when manus.yaml says nothing.
func DefaultConfig() Config {
	const api = "/api/v1"
	rule := func(route, limit string, by ...Subject) Rule { return Rule{Route: route, Limit: must(limit), By: by} }
	login := rule("POST "+api+"/auth/login", "5/minute, 20/hour", ByAddress, ByAccount)
	login.WhenRedisFails, login.Mode, login.Count, login.Cost = Local, Enforce, CountAll, 1
	sessions := rule("POST "+api+"/sessions", "10/minute, 100/hour", ByUser)
	sessions.Plans = map[string]Limit{"basic": must("30/minute"), "pro": must("60/minute"), "enterprise": must("300/minute")}
	c := Config{
		Default: Rule{Limit: must("100/minute, 1000/hour"), By: []Subject{ByUserOrAddress}},
		Rules: []Rule{
			login,
			rule("POST "+api+"/auth/register", "3/minute, 10/hour", ByAddress),
			rule("POST "+api+"/auth/refresh", "10/minute, 50/hour", ByAddress),
			sessions,
			rule("POST "+api+"/billing/webhook", "100/minute", ByAddress),
			rule("POST "+api+"/billing/checkout", "5/minute, 20/hour", ByUser),
			rule("POST "+api+"/billing/portal", "10/minute, 50/hour", ByUser),
			rule("POST "+api+"/billing/trial", "3/hour", ByUser),
			rule("GET "+api+"/billing/subscription", "30/minute, 300/hour", ByUser),
		},
		Allow:      []string{},
		IPv6Prefix: 64,
	}
	for path, limit := range map[string]string{"/health": "300/minute", "/ready": "300/minute", "/live": "300/minute", "/version": "100/minute"} {
		c.Rules = append(c.Rules, rule("GET "+path, limit, ByAddress), rule("GET "+api+path, limit, ByAddress))
	}
	slices.SortStableFunc(c.Rules[9:], func(a, b Rule) int { return cmp.Compare(a.Route, b.Route) })
	return c
}

// Bounds of a configuration.
const (
	maxRules = 500
	maxCost  = 1000
)

// Problems says what is wrong with the configuration, each in a sentence with the
// place; nothing when it can be used.
func (c Config) Problems() []string {
	var problems []string
	add := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Sprintf("limits."+format, args...))
		}
	}
	add(len(c.Rules) <= maxRules, "rules: list at most %d", maxRules)
	add(c.IPv6Prefix >= 32 && c.IPv6Prefix <= 128, "ipv6_prefix: use 32 to 128")
	for i, network := range c.Allow {
		_, err := parseNetwork(network)
		add(err == nil, "allow[%d]: use a network like 192.0.2.0/24, or an address", i)
	}
	check := func(place string, r Rule) {
		add(len(r.Limit) > 0, "%s.limit: say the limit, like '5/minute, 20/hour'", place)
		add(len(r.By) > 0 && len(r.By) <= 5, "%s.by: list 1 to 5 subjects", place)
		for _, by := range r.By {
			add(slices.Contains([]Subject{ByAddress, ByUser, ByAccount, ByAPIKey, ByUserOrAddress}, by), "%s.by: use address, user, account, api-key or user-or-address", place)
		}
		add(r.Cost >= 0 && r.Cost <= maxCost, "%s.cost: use 1 to %d", place, maxCost)
		add(slices.Contains([]Count{"", CountAll, CountFailures}, r.Count), "%s.count: use all or failures", place)
		add(slices.Contains([]Mode{"", Enforce, Shadow}, r.Mode), "%s.mode: use enforce or shadow", place)
		add(slices.Contains([]Policy{"", Local, Allow, Deny}, r.WhenRedisFails), "%s.when_redis_fails: use local, allow or deny", place)
	}
	check("default", c.Default)
	mux := http.NewServeMux()
	for i, r := range c.Rules {
		place := fmt.Sprintf("rules[%d]", i)
		check(place, r)
		method, path, ok := strings.Cut(r.Route, " ")
		ok = ok && method != "" && strings.HasPrefix(path, "/")
		add(ok, "%s.route: use a method and a path, like 'POST /api/v1/sessions'", place)
		if ok {
			add(register(mux, r.Route) == nil, "%s.route: it isn't a pattern, or is another rule's too", place)
		}
	}
	return problems
}

// register adds a pattern to a mux that only finds, never serves.
func register(mux *http.ServeMux, pattern string) (err error) {
	defer func() {
		if cause := recover(); cause != nil { // net/http's way to refuse one
			err = fmt.Errorf("%v", cause)
		}
	}()
	mux.Handle(pattern, http.NotFoundHandler())
	return nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

// ruleset is a configuration made ready.
type ruleset struct {
	byDefault Rule
	rules     map[string]Rule // by route
	mux       *http.ServeMux
	allow     []netip.Prefix
	prefix    int
	found     sync.Map // of find, by method and path: routes are few
}

// newRuleset makes a configuration without Problems ready.
func newRuleset(c Config) *ruleset {
	rs := &ruleset{byDefault: c.Default, rules: map[string]Rule{}, mux: http.NewServeMux(), prefix: c.IPv6Prefix}
	for _, r := range c.Rules {
		if register(rs.mux, r.Route) == nil {
			rs.rules[r.Route] = r
		}
	}
	for _, network := range c.Allow {
		if p, err := parseNetwork(network); err == nil {
			rs.allow = append(rs.allow, p.Masked())
		}
	}
	return rs
}

// find is the rule for a method and a path, which may be a route's pattern: its
// wildcards are found like anything else in their place.
func (rs *ruleset) find(method, path string) *Rule {
	asked := method + " " + path
	if rule, ok := rs.found.Load(asked); ok {
		return rule.(*Rule)
	}
	_, pattern := rs.mux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}})
	rule := &rs.byDefault
	if theirs, ok := rs.rules[pattern]; ok {
		rule = &theirs
	}
	rs.found.Store(asked, rule)
	return rule
}

func (rs *ruleset) allowed(address netip.Addr) bool {
	return slices.ContainsFunc(rs.allow, func(p netip.Prefix) bool { return p.Contains(address) })
}

// network is the client that an address belongs to.
func (rs *ruleset) network(address netip.Addr) string {
	if address.Is6() && !address.Is4In6() {
		if p, err := address.WithZone("").Prefix(rs.prefix); err == nil {
			return p.String()
		}
	}
	return address.Unmap().String()
}
