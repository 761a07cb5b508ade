package ratelimit

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"manus/identity"
)

func TestLimitsAreReadAndWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"5/minute": "5/minute", "5/minute, 20/hour": "5/minute, 20/hour", " 20/hour ,5/minute": "5/minute, 20/hour",
		"100/15minutes": "100/15minutes", "1/60seconds": "1/minute", "3/day": "3/day", "10/2hours": "10/2hours", "7 / minute": "7/minute",
	} {
		l, err := ParseLimit(text)
		if err != nil || l.String() != want {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
	for _, text := range []string{"", "5", "5/", "/minute", "0/minute", "-1/minute", "5/fortnight", "5/minute, 6/minute", "5/minute,", "1e3/minute", "5/0minutes", "5/40days", "99999999/minute", "1/second,1/minute,1/hour,1/day,1/2days"} {
		if l, err := ParseLimit(text); !errors.Is(err, ErrLimit) {
			t.Errorf("%q is taken as %v", text, l)
		}
	}
}

func TestALimitBeyondABoundSaysWhich(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"five/minute": ErrLimit, "5/fortnight": ErrLimit, "1.5/minute": ErrLimit, "0/minute": errCount, "-1/minute": errCount, "1000001/minute": errCount,
		"99999999999999999999/minute": errCount, "5/0minutes": errPer, "5/32days": errPer, "5/44641minutes": errPer, "5/99999999999999999999days": errPer,
		"1/minute, 2/minute": errWindows, "1/second,1/minute,1/hour,1/day,1/2days": errWindows, "1000000/44640minutes": nil, "5/2678400seconds": nil,
	} {
		if _, err := ParseLimit(text); err != want { //nolint:errorlint // which one is the point
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

func TestALimitAdmitsWhatCostsAllOfIt(t *testing.T) {
	t.Parallel()
	l, err := ParseLimit("5/minute, 20/hour")
	if err != nil || !l.admits(5) || l.admits(6) {
		t.Errorf("5: %v, 6: %v (%v)", l.admits(5), l.admits(6), err)
	}
}

func TestLargeWindowsMoveInSteps(t *testing.T) {
	t.Parallel()
	if w := (Window{ExactUpTo, time.Hour}); !w.Exact() {
		t.Error("what can be counted exactly isn't")
	}
	w := Window{ExactUpTo + 1, time.Hour}
	if w.Exact() || w.Step()*Steps != time.Hour {
		t.Errorf("exact: %v, in steps of %v", w.Exact(), w.Step())
	}
}

func TestALimitInAFileIsReadWithItsLine(t *testing.T) {
	t.Parallel()
	var rule struct{ Limit Limit }
	if err := yaml.Unmarshal([]byte("limit: 5/minute"), &rule); err != nil || rule.Limit.String() != "5/minute" {
		t.Errorf("got %v, %v", rule.Limit, err)
	}
	if err := yaml.Unmarshal([]byte("\nlimit: 5/fortnight"), &rule); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v", err)
	}
}

func TestBoundsOfARule(t *testing.T) {
	t.Parallel()
	wrong := func(change func(*Rule)) (fields []string) {
		r := NewRule("1000000/minute", ByAddress)
		change(&r)
		for field := range r.problems(nil) {
			fields = append(fields, field)
		}
		return fields
	}
	five := []Subject{ByAddress, ByUser, ByAccount, ByLogin, ByAPIKey}
	for name, c := range map[string]struct {
		change func(*Rule)
		field  string // that is wrong; none
	}{
		"as it is":         {func(*Rule) {}, ""},
		"no limit":         {func(r *Rule) { r.Limit = nil }, "limit"},
		"no subject":       {func(r *Rule) { r.By = nil }, "by"},
		"five subjects":    {func(r *Rule) { r.By = five }, ""},
		"six subjects":     {func(r *Rule) { r.By = append(five, ByProof) }, "by"},
		"a negative cost":  {func(r *Rule) { r.Cost = -1 }, "cost"},
		"the highest cost": {func(r *Rule) { r.Cost = maxCost }, ""},
		"a higher cost":    {func(r *Rule) { r.Cost = maxCost + 1 }, "cost"},
	} {
		if got := strings.Join(wrong(c.change), " "); got != c.field {
			t.Errorf("%s: wrong are %q", name, got)
		}
	}
}

// What guards a secret, or turns requests away, waits for the shared counts.
func TestWhichRulesWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule  Rule
		waits bool
	}{
		"by address":           {Rule{By: []Subject{ByAddress}}, false},
		"by user":              {Rule{By: []Subject{ByUser}, WhenRedisFails: Allow}, false},
		"denies":               {Rule{By: []Subject{ByUser}, WhenRedisFails: Deny}, true},
		"counts failures":      {Rule{By: []Subject{ByUser}, Count: CountFailures}, true},
		"counts guesses":       {Rule{By: []Subject{ByUser}, Count: countGuesses}, true},
		"by account":           {Rule{By: []Subject{ByAccount}}, true},
		"by login, of several": {Rule{By: []Subject{ByAddress, ByLogin}}, true},
	} {
		if guards(c.rule) != c.waits {
			t.Errorf("%s: waits: %v", name, !c.waits)
		}
	}
}

func TestThePlanIsAskedWhereARuleMakesADifference(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	plain, byPlan := Rule{}, Rule{Plans: map[string]Limit{"pro": nil}}
	shadow := byPlan
	shadow.Mode = Shadow
	person := identity.Caller{UserID: "u"}
	for name, c := range map[string]struct {
		rules  []Rule
		caller identity.Caller
		fails  error
		plan   string
		asked  int
		err    error
	}{
		"no difference":         {[]Rule{plain}, person, nil, "", 0, nil},
		"a stranger":            {[]Rule{byPlan}, identity.Caller{}, nil, "", 0, nil},
		"a difference":          {[]Rule{plain, byPlan}, person, nil, "pro", 1, nil},
		"a shadow's":            {[]Rule{plain, shadow}, person, nil, "pro", 1, nil},
		"it fails":              {[]Rule{plain, byPlan}, person, gone, "", 1, gone},
		"it fails for a shadow": {[]Rule{plain, shadow}, person, gone, "", 1, nil},
		"it fails for both":     {[]Rule{shadow, byPlan}, person, gone, "", 1, gone},
	} {
		asked := 0
		s := &Service{c: ServiceConfig{Plan: func(context.Context, string) (string, error) {
			if asked++; c.fails != nil {
				return "", c.fails
			}
			return "pro", nil
		}}}
		plan, err := s.plan(t.Context(), c.rules, c.caller)
		if plan != c.plan || asked != c.asked || !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%s: %q, %v, asked %d times", name, plan, err, asked)
		}
	}
	if plan, err := new(Service).plan(t.Context(), []Rule{byPlan}, person); plan != "" || err != nil {
		t.Errorf("where there are no plans: %q, %v", plan, err)
	}
}

func FuzzParseLimit(f *testing.F) {
	f.Add("5/minute, 20/hour")
	f.Add("100/15minutes")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLimit(text)
		if err != nil {
			return
		}
		if again, err := ParseLimit(l.String()); err != nil || again.String() != l.String() {
			t.Errorf("%q became %q, %v", text, l, err)
		}
	})
}
