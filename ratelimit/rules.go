package ratelimit

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
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
// user or api-key. What only some routes tell, see [Routes], counts nothing elsewhere.
const (
	ByAddress       Subject = "address"
	ByUser          Subject = "user"
	ByAccount       Subject = "account" // the e-mail address in the request's body
	ByLogin         Subject = "login"   // of the refresh token in the body, or of the caller
	ByAPIKey        Subject = "api-key"
	ByUserOrAddress Subject = "user-or-address"
	ByProof         Subject = "proof" // whose signature or key the request has, see [Proof]
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
	if err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %v", node.Line, err)}}
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
	// Tell are those of the user, the account, the login and the proof that a route's
	// requests tell.
	Tell map[string][]Subject
}

// tell tells whether requests of any of the patterns tell such a subject.
func (r Routes) tell(by Subject, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return slices.Contains(r.Tell[p], by) })
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
// sentence with the place; nothing when it can be used. Routes and plans are named where
// they look like one.
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
	addAll := func(place, of string, problems iter.Seq2[string, string]) {
		for field, wrong := range problems {
			add(false, "%s.%s%s: %s", place, field, of, wrong)
		}
	}
	mux, counted := http.NewServeMux(), map[string][]Subject{} // by route
	theirs := c.patterns(routes)
	addAll("default", "", c.Default.problems(plans))
	if everybody := slices.ContainsFunc(c.Default.By, countsEverybody); everybody || len(c.Default.By) == 0 {
		addAll("default", "", c.Default.idle(routes, theirs[""]))
	} else {
		add(false, "default.by: add address, user or api-key: of the others not every request has one")
	}
	for i, r := range c.Rules {
		place, name := fmt.Sprintf("rules[%d]", i), named(routeName, r.Route)
		of := strings.TrimSuffix(" of"+name, " of")
		addAll(place, of, r.problems(plans))
		earlier, again := counted[r.Route]
		counted[r.Route] = append(earlier, r.By...)
		switch {
		case !isRoute(r.Route):
			add(false, "%s.route: use a method and a path, like 'POST /api/v1/sessions'", place)
		case overlap(earlier, r.By) || !again && !register(mux, r.Route):
			add(false, "%s.route:%s isn't a pattern, or is another rule's too", place, cmp.Or(name, " it"))
		case !isForAny(r.Route, routes.Patterns):
			add(false, "%s.route: there is no such route%s", place, name)
		case len(theirs[r.Route]) == 0:
			add(false, "%s.route: take the rule out: other rules are for all routes of%s, so that it counts nothing", place, cmp.Or(name, " it"))
		default:
			addAll(place, of, r.idle(routes, theirs[r.Route]))
		}
	}
	return problems
}

// patterns are those that each rule is for, by its route; those of the default rule are
// under no route.
func (c Config) patterns(routes Routes) map[string][]string {
	mux, all := http.NewServeMux(), map[string][]string{}
	for _, r := range c.Rules {
		if isRoute(r.Route) {
			register(mux, r.Route)
		}
	}
	for _, pattern := range routes.Patterns {
		route := match(mux, pattern)
		all[route] = append(all[route], pattern)
	}
	return all
}

// isRoute tells whether a text is a method and a path.
func isRoute(text string) bool {
	method, path, ok := strings.Cut(text, " ")
	return ok && method != "" && strings.HasPrefix(path, "/")
}

// What may be repeated of what somebody wrote: it is a name, and so no secret.
var (
	routeName = regexp.MustCompile(`^[A-Z]{3,10} /[A-Za-z0-9/{}$._~-]{0,100}$`)
	planName  = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
)

// named is a space and the text, if that is such a name; else nothing.
func named(name *regexp.Regexp, text string) string {
	if !name.MatchString(text) {
		return ""
	}
	return " " + text
}

// problems are those of a rule by itself, each with its field.
func (r Rule) problems(plans []string) iter.Seq2[string, string] {
	return func(yield func(field, wrong string) bool) {
		going := true
		add := func(ok bool, field, wrong string) { going = going && (ok || yield(field, wrong)) }
		add(len(r.Limit) > 0, "limit", "say the limit, like '5/minute, 20/hour'")
		add(len(r.By) > 0 && len(r.By) <= 5, "by", "list 1 to 5 subjects")
		add(!repeats(r.By), "by", "list each subject once: user and user-or-address are the same")
		for _, by := range r.By {
			add(kinds[by] != nil, "by", "use address, user, account, login, api-key, user-or-address or proof")
		}
		add(r.Cost >= 0 && r.Cost <= maxCost, "cost", fmt.Sprintf("use 1 to %d", maxCost))
		add(r.Limit.admits(r.Cost), "cost", "it is more than the limit, so that no request would ever be admitted")
		for _, plan := range slices.Sorted(maps.Keys(r.Plans)) {
			add(slices.Contains(plans, plan), "plans", "there is no such plan"+named(planName, plan)+"; use ids of the plans on offer")
			add(r.Plans[plan].admits(r.Cost), "cost", "it is more than the limit of a plan"+named(planName, plan)+", so that no request would ever be admitted")
		}
		add(slices.Contains([]Count{"", CountAll, CountFailures}, r.Count), "count", "use all or failures")
		add(slices.Contains([]Mode{"", Enforce, Shadow}, r.Mode), "mode", "use enforce or shadow")
		add(slices.Contains([]Policy{"", Local, Allow, Deny}, r.WhenRedisFails), "when_redis_fails", "use local, allow or deny")
	}
}

// idle is what of a rule has no effect on routes with such patterns, each with its field.
func (r Rule) idle(routes Routes, patterns []string) iter.Seq2[string, string] {
	return func(yield func(field, wrong string) bool) {
		for _, by := range r.By {
			counts := kinds[by] == nil || countsEverybody(by) || routes.tell(by, patterns)
			if !counts && !yield("by", fmt.Sprintf("take %s out: no request there tells it, so that nothing is counted by it", by)) {
				return
			}
		}
		if len(r.Plans) > 0 && !routes.tell(ByUser, patterns) {
			yield("plans", "take them out: no request there tells its user, so that no plan applies")
		}
	}
}

// countsEverybody tells whether every request has such a subject: where a rule says user
// or api-key, strangers are counted by address.
func countsEverybody(by Subject) bool { return kinds[by]["address"] }

// Replaced are the rules that routes have of their own and that the configuration has
// nothing in the place of: no rule for the same route and the same subjects.
func (c Config) Replaced(routes Routes) []Rule {
	return slices.DeleteFunc(DefaultConfig(routes).Rules, func(own Rule) bool {
		return slices.ContainsFunc(c.Rules, func(r Rule) bool { return overlap(r.By, own.By) && withoutNames(r.Route) == withoutNames(own.Route) })
	})
}

// withoutNames is a pattern whose wildcards have no names.
func withoutNames(pattern string) string { return wildcard.ReplaceAllString(pattern, "{}") }

var wildcard = regexp.MustCompile(`\{[^{}$.]*\}`)

// String is the rule in a few words.
func (r Rule) String() string {
	by := make([]string, len(r.By))
	for i, subject := range r.By {
		by[i] = string(subject)
	}
	return fmt.Sprintf("%s (%s by %s)", r.name(), r.Limit, strings.Join(by, ", "))
}

// repeats tells whether some of the subjects are always the same.
func repeats(by []Subject) bool {
	for i, one := range by {
		if slices.ContainsFunc(by[:i], func(other Subject) bool { return maps.Equal(kinds[one], kinds[other]) }) {
			return true
		}
	}
	return false
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
// Wildcards are found like anything else in their place. A pattern of all below a path
// belongs to one that is so, too: it is looked for deeper than others reach.
func match(mux *http.ServeMux, route string) string {
	method, path, _ := strings.Cut(strings.TrimSuffix(route, "{$}"), " ")
	if strings.HasSuffix(route, "/") {
		path += strings.Repeat("-/", 64)
	}
	return lookUp(mux, method, &url.URL{Path: path})
}

// lookUp is the pattern in the mux that a request is for; empty for none, and for what
// would only be redirected to one.
func lookUp(mux *http.ServeMux, method string, at *url.URL) string {
	handler, pattern := mux.Handler(&http.Request{Method: method, URL: at})
	if _, found := handler.(found); !found {
		return ""
	}
	return pattern
}

// found stands for the handlers of patterns in a mux that only finds.
type found struct{}

// ServeHTTP is never called.
func (found) ServeHTTP(http.ResponseWriter, *http.Request) {}

// register adds a pattern to a mux that only finds, never serves, and tells whether it
// is one.
func register(mux *http.ServeMux, pattern string) (ok bool) {
	defer func() { ok = recover() == nil }() // a panic is net/http's way to refuse one
	mux.Handle(pattern, found{})
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
	routes    map[string]applicable // by the pattern of each known route
	guessed   map[string]bool       // names of the rules in whose counts by account guesses count, too
	allow     []netip.Prefix
	prefix    int
}

// applicable is the rules of a route.
type applicable struct {
	// all count a request that has no proof, where any of them that is no guess does.
	all []Rule
	// rest count one that tells nothing of what those count by. Nil means that they count
	// whatever comes.
	rest []Rule
	// early are what of them needs nothing of its input to refuse it.
	early []Rule
	// proved count a request that has proved itself.
	proved []Rule
	// shown are those that count any, each as a person knows it.
	shown []Rule
}

// refunds tells whether some of what is counted for a rule's subject is taken back again.
func (rs *ruleset) refunds(r *Rule, by Subject) bool {
	return r.Count == CountFailures || r.Count == countGuesses || by == ByAccount && rs.guessed[r.name()]
}

// newRuleset makes a configuration without Problems ready.
func newRuleset(c Config, routes Routes) *ruleset {
	rs := &ruleset{byDefault: []Rule{c.Default}, rules: map[string][]Rule{}, mux: http.NewServeMux(), routes: map[string]applicable{}, guessed: map[string]bool{}, prefix: c.IPv6Prefix}
	for _, r := range c.Rules {
		if _, again := rs.rules[r.Route]; again || register(rs.mux, r.Route) {
			rs.rules[r.Route] = append(rs.rules[r.Route], r)
		}
	}
	for _, pattern := range routes.Patterns {
		guesses := rs.guesses(routes.Guesses[pattern])
		rs.routes[pattern] = rs.apply(rs.configured(pattern), guesses)
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

// apply sorts a route's rules by what they count. Some of them count whatever comes: where
// a request need not tell what the route's own rules count by, such as an account, a login
// or a proof, the default one counts the rest.
func (rs *ruleset) apply(rules, guesses []Rule) (a applicable) {
	proof := func(by Subject) bool { return by == ByProof }
	unproved := func(by Subject) bool { return by != ByProof }
	a.proved, a.all = having(rules, proof), having(rules, unproved)
	if own := rules[0].Route != ""; own && len(having(a.all, countsEverybody)) == 0 {
		rules = slices.Concat(rules, rs.byDefault)
		a.rest = slices.Concat(having(rs.byDefault, unproved), guesses)
	}
	a.early = having(a.all, func(by Subject) bool { return by != ByAccount && by != ByLogin })
	a.early = slices.DeleteFunc(a.early, func(r Rule) bool { return r.Mode == Shadow })
	a.all, a.shown = slices.Concat(a.all, guesses), slices.Concat(rules, guesses)
	return a
}

// having are the rules with those of their subjects alone; without those that have none.
func having(rules []Rule, subject func(Subject) bool) (kept []Rule) {
	for _, r := range rules {
		r.By = slices.DeleteFunc(slices.Clone(r.By), func(by Subject) bool { return !subject(by) })
		if len(r.By) > 0 {
			kept = append(kept, r)
		}
	}
	return kept
}

// find is the rules for a route.
func (rs *ruleset) find(route string) applicable {
	if rules, ok := rs.routes[route]; ok {
		return rules
	}
	return rs.apply(rs.configured(route), nil)
}

// configured are the rules for a route, as the configuration has them. There is at least
// one.
func (rs *ruleset) configured(route string) []Rule {
	if rules, ok := rs.rules[match(rs.mux, route)]; ok {
		return rules
	}
	return rs.byDefault
}

// guesses are the rules of a route by account, as they bound the guesses on another: in
// the same counts. No route has none.
func (rs *ruleset) guesses(route string) (rules []Rule) {
	if route == "" {
		return nil
	}
	rules = having(rs.configured(route), func(by Subject) bool { return by == ByAccount })
	for i := range rules {
		rules[i].Count = countGuesses
	}
	return rules
}

// of are the rules that count a request; counts tells whether a rule has a subject in it.
func (rs *ruleset) of(r *Request, counts func(Rule) bool) []Rule {
	rules := rs.find(r.Route)
	switch {
	case r.Proof == nil && rules.rest != nil && !slices.ContainsFunc(rules.all, counts):
		return rules.rest
	case r.Proof == nil:
		return rules.all
	case r.Proof.Limit == nil:
		return rules.proved
	case len(rules.proved) == 0:
		return []Rule{{Route: r.Route, Limit: r.Proof.Limit, By: []Subject{ByProof}}}
	}
	own := slices.Clone(rules.proved)
	for i := range own {
		own[i].Limit = r.Proof.Limit
	}
	return own
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
