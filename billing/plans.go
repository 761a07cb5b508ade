package billing

import (
	"fmt"
	"math"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Catalog is what is on offer.
type Catalog struct {
	// Plans are in the order in which they are shown. The first is everybody's
	// who hasn't chosen another; it costs nothing.
	Plans []Plan `yaml:"plans"`
	Trial Trial  `yaml:"trial"`
}

// Plan is one offer.
type Plan struct {
	ID   string `yaml:"id"`
	Name string `yaml:"name"`
	// PriceUSD is the price of a month in US dollars; nil means on request.
	PriceUSD *int `yaml:"price_usd"`
	// Runs is how many runs a month holds. It has to be said.
	Runs *Runs `yaml:"runs"`
	// Reset is when a month begins.
	Reset Reset `yaml:"reset"`
}

// Trial lets an account use a plan once, without paying.
type Trial struct {
	Plan string `yaml:"plan"`
	Days int    `yaml:"days"` // 0 means that there is no trial
	Runs Runs   `yaml:"runs"` // for the whole trial
}

// Runs is a number of runs, or Unlimited. In YAML the latter is written
// "unlimited".
type Runs int64

// Unlimited is more runs than anybody uses.
const Unlimited Runs = math.MaxInt64

// UnmarshalYAML reads a whole number or "unlimited".
func (r *Runs) UnmarshalYAML(node *yaml.Node) error {
	if node.Value == "unlimited" {
		*r = Unlimited
		return nil
	}
	n, err := strconv.ParseInt(node.Value, 10, 32)
	if err != nil || n < 0 || node.Kind != yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: use a whole number from 0, or 'unlimited'", node.Line)}}
	}
	*r = Runs(n)
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (r Runs) MarshalYAML() (any, error) {
	if r == Unlimited {
		return "unlimited", nil
	}
	return int64(r), nil
}

// finite is the number, or nil for Unlimited.
func (r Runs) finite() *int64 {
	if r == Unlimited {
		return nil
	}
	return new(int64(r))
}

// Reset is when the months of a plan begin.
type Reset string

// The resets.
const (
	// Calendar months begin on the first at midnight, UTC.
	Calendar Reset = "calendar"
	// Anniversary months begin on the day of the month, and at the time, at
	// which the subscription did; on the last day of a month that is shorter.
	Anniversary Reset = "anniversary"
)

// DefaultCatalog is what is on offer when manus.yaml says nothing.
func DefaultCatalog() Catalog {
	return Catalog{
		Plans: []Plan{
			{ID: "free", Name: "Free", PriceUSD: new(0), Runs: new(Runs(10)), Reset: Calendar},
			{ID: "basic", Name: "Basic", PriceUSD: new(19), Runs: new(Runs(1000)), Reset: Anniversary},
			{ID: "pro", Name: "Pro", PriceUSD: new(49), Runs: new(Runs(5000)), Reset: Anniversary},
			{ID: "enterprise", Name: "Enterprise", Runs: new(Unlimited), Reset: Anniversary},
		},
		Trial: Trial{Plan: "basic", Days: 14, Runs: 50},
	}
}

// Bounds of a catalogue.
const (
	maxPlans     = 32
	maxTrialDays = 365
)

var validPlanID = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Problems says what is wrong with the catalogue, each in a sentence with the
// place; nothing when it can be used.
func (c Catalog) Problems() []string {
	var problems []string
	add := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	add(len(c.Plans) > 0 && len(c.Plans) <= maxPlans, "plans: list 1 to %d plans", maxPlans)
	seen := map[string]bool{}
	for i, p := range c.Plans {
		add(validPlanID.MatchString(p.ID), "plans[%d].id: use lower-case letters, digits and '-', at most 32", i)
		add(!seen[p.ID], "plans[%d].id: is the same as an earlier plan's; give each its own", i)
		add(p.Name != "" && len(p.Name) <= 64, "plans[%d].name: give it a name of at most 64 bytes", i)
		add(p.PriceUSD == nil || *p.PriceUSD >= 0, "plans[%d].price_usd: use a whole number from 0, or leave it out for 'on request'", i)
		add(p.Runs != nil && *p.Runs >= 0, "plans[%d].runs: use a whole number from 0, or 'unlimited'", i)
		add(p.Reset == Calendar || p.Reset == Anniversary, "plans[%d].reset: use 'calendar' or 'anniversary'", i)
		seen[p.ID] = true
	}
	if len(c.Plans) > 0 {
		first := c.Plans[0].PriceUSD
		add(first != nil && *first == 0, "plans[0].price_usd: the first plan is every new account's, so it has to cost 0")
	}
	add(c.Trial.Days >= 0 && c.Trial.Days <= maxTrialDays, "trial.days: use 0 (no trial) to %d", maxTrialDays)
	add(c.Trial.Days == 0 || c.Trial.Runs > 0, "trial.runs: use a whole number from 1, or 'unlimited'")
	add(c.Trial.Days == 0 || seen[c.Trial.Plan], "trial.plan: name one of the plans")
	return problems
}

// plan is the one with the id, or ErrUnknownPlan.
func (c Catalog) plan(id string) (Plan, error) {
	for _, p := range c.Plans {
		if p.ID == id {
			return p, nil
		}
	}
	return Plan{}, ErrUnknownPlan
}
