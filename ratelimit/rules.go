package ratelimit

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

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
	// everything below it. Several rules of a route count for different subjects,
	// and are decided together.
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
	ByLogin         Subject = "login"   // of the refresh token in the body, or of the caller
	ByAPIKey        Subject = "api-key"
	ByUserOrAddress Subject = "user-or-address"
)

// Count is which requests count.
type Count string

// The counts.
const (
	CountAll      Count = "all"
	CountFailures Count = "failures" // those that were answered with 400 and above

	// countGuesses are those in which a secret of the caller's account was wrong.
	countGuesses Count = "guesses"
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

// Routes are what limits are for.
type Routes struct {
	// Patterns are those of all routes, each a method and a path.
	Patterns []string
	// Rules are those that routes have of their own.
	Rules []Rule
	// Guesses are the routes on which a caller may guess a secret of their account,
	// each with the route whose limits by account bound that: the one that signs in.
	Guesses map[string]string
}

// NewRule is a rule as a route has it of its own. It panics when the limit can't be
// read, which is a mistake in the program.
func NewRule(limit string, by ...Subject) Rule {
	parsed, err := ParseLimit(limit)
	if err != nil {
		panic(err)
	}
	return Rule{Limit: parsed, By: by}
}

// DefaultConfig is the limits when manus.yaml says nothing: those that the routes
// have of their own, and one for all others.
func DefaultConfig(routes Routes) Config {
	c := Config{
		Default:    NewRule("100/minute, 1000/hour", ByUserOrAddress),
		Rules:      slices.Clone(routes.Rules),
		Allow:      []string{},
		IPv6Prefix: 64,
	}
	slices.SortStableFunc(c.Rules, func(a, b Rule) int { return cmp.Compare(a.Route, b.Route) })
	return c
}

// Bounds of a configuration.
const (
	maxRules = 500
	maxCost  = 1000
)

// Problems says what is wrong with a configuration for routes and plans, each in a
// sentence with the place; nothing when it can be used.
func (c Config) Problems(routes Routes, plans []string) []string {
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
		for _, wrong := range r.problems(plans) {
			add(false, "%s.%s", place, wrong)
		}
	}
	check("default", c.Default)
	mux, counted := http.NewServeMux(), map[string][]Subject{} // by route
	for i, r := range c.Rules {
		place := fmt.Sprintf("rules[%d]", i)
		check(place, r)
		earlier, again := counted[r.Route]
		counted[r.Route] = append(earlier, r.By...)
		method, path, ok := strings.Cut(r.Route, " ")
		switch {
		case !ok || method == "" || !strings.HasPrefix(path, "/"):
			add(false, "%s.route: use a method and a path, like 'POST /api/v1/sessions'", place)
		case overlap(earlier, r.By) || !again && !register(mux, r.Route):
			add(false, "%s.route: it isn't a pattern, or is another rule's too", place)
		default:
			add(isForAny(r.Route, routes.Patterns), "%s.route: there is no such route", place)
		}
	}
	return problems
}

// problems are those of a rule by itself.
func (r Rule) problems(plans []string) []string {
	var problems []string
	add := func(ok bool, wrong string) {
		if !ok {
			problems = append(problems, wrong)
		}
	}
	add(len(r.Limit) > 0, "limit: say the limit, like '5/minute, 20/hour'")
	add(len(r.By) > 0 && len(r.By) <= 5, "by: list 1 to 5 subjects")
	for _, by := range r.By {
		add(kinds[by] != nil, "by: use address, user, account, login, api-key or user-or-address")
	}
	unknown := func(plan string) bool { return !slices.Contains(plans, plan) }
	add(!slices.ContainsFunc(slices.Collect(maps.Keys(r.Plans)), unknown), "plans: use ids of the plans on offer")
	add(r.Cost >= 0 && r.Cost <= maxCost, fmt.Sprintf("cost: use 1 to %d", maxCost))
	add(slices.Contains([]Count{"", CountAll, CountFailures}, r.Count), "count: use all or failures")
	add(slices.Contains([]Mode{"", Enforce, Shadow}, r.Mode), "mode: use enforce or shadow")
	add(slices.Contains([]Policy{"", Local, Allow, Deny}, r.WhenRedisFails), "when_redis_fails: use local, allow or deny")
	return problems
}

// overlap tells whether two rules of a route would count for the same subject.
func overlap(a, b []Subject) bool {
	for _, one := range a {
		for _, other := range b {
			for kind := range kinds[one] {
				if kinds[other][kind] {
					return true
				}
			}
		}
	}
	return false
}

// isForAny tells whether a rule's route is that of any pattern.
func isForAny(route string, patterns []string) bool {
	mux := http.NewServeMux()
	return !register(mux, route) || slices.ContainsFunc(patterns, func(p string) bool { return match(mux, p) != "" })
}

// match is the pattern in the mux that a route's pattern belongs to; empty for none.
// Wildcards are found like anything else in their place.
func match(mux *http.ServeMux, route string) string {
	method, path, _ := strings.Cut(strings.TrimSuffix(route, "{$}"), " ")
	_, found := mux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}})
	return found
}

// register adds a pattern to a mux that only finds, never serves, and tells whether it
// is one.
func register(mux *http.ServeMux, pattern string) (ok bool) {
	defer func() { ok = recover() == nil }() // a panic is net/http's way to refuse one
	mux.Handle(pattern, http.NotFoundHandler())
	return true
}

func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

// ruleset is a configuration made ready.
type ruleset struct {
	byDefault []Rule
	rules     map[string][]Rule // by their route
	mux       *http.ServeMux
	routes    map[string][]Rule // those of each known route, by its pattern
	guessed   map[string]bool   // names of the rules in whose counts by account guesses count, too
	allow     []netip.Prefix
	prefix    int
}

// refunds tells whether some of what is counted for a rule's subject is taken back again.
func (rs *ruleset) refunds(r *Rule, by Subject) bool {
	return r.Count == CountFailures || r.Count == countGuesses || by == ByAccount && rs.guessed[r.name()]
}

// newRuleset makes a configuration without Problems ready.
func newRuleset(c Config, routes Routes) *ruleset {
	rs := &ruleset{byDefault: []Rule{c.Default}, rules: map[string][]Rule{}, mux: http.NewServeMux(), routes: map[string][]Rule{}, guessed: map[string]bool{}, prefix: c.IPv6Prefix}
	for _, r := range c.Rules {
		if _, again := rs.rules[r.Route]; again || register(rs.mux, r.Route) {
			rs.rules[r.Route] = append(rs.rules[r.Route], r)
		}
	}
	for _, pattern := range routes.Patterns {
		guesses := rs.guesses(routes.Guesses[pattern])
		rs.routes[pattern] = slices.Concat(rs.find(pattern), guesses)
		for _, r := range guesses {
			rs.guessed[r.name()] = true
		}
	}
	for _, network := range c.Allow {
		if p, err := parseNetwork(network); err == nil {
			rs.allow = append(rs.allow, p.Masked())
		}
	}
	return rs
}

// find is the rules for a route. There is at least one.
func (rs *ruleset) find(route string) []Rule {
	if rules, ok := rs.routes[route]; ok {
		return rules
	}
	if rules, ok := rs.rules[match(rs.mux, route)]; ok {
		return rules
	}
	return rs.byDefault
}

// guesses are the rules of a route by account, as they bound the guesses on another: in
// the same counts. No route has none.
func (rs *ruleset) guesses(route string) (rules []Rule) {
	for _, r := range rs.find(route) {
		if route != "" && slices.Contains(r.By, ByAccount) {
			r.By, r.Count = []Subject{ByAccount}, countGuesses
			rules = append(rules, r)
		}
	}
	return rules
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
