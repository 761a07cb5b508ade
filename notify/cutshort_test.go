package notify

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/storetest"
	"manus/language"
)

// cutShort runs steps with every call of the store failing once, then the steps again and
// what follows, and looks at what the channel a was told of: each message once, or again
// under the same id.
func cutShort(t *testing.T, change func(*Policy), before, steps func(r *rig) error, want ...string) {
	t.Helper()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := &rig{clock: clocktest.New(), store: store, receivers: map[string]*receiver{"a": {}}}
		p := DefaultPolicy()
		p.Channels = []ChannelConfig{{ID: "a", Type: "webhook"}}
		if change != nil {
			change(&p)
		}
		s, err := New(Config{Store: store, Policy: p, Now: r.clock.Now, Log: slog.New(slog.NewTextHandler(&r.log, nil)), Channels: r.parts})
		if err != nil {
			t.Fatal(err)
		}
		r.Service = s
		if before != nil {
			if err := before(r); err != nil {
				t.Fatal(err)
			}
		}
		cut(func() error { return steps(r) })
		if err := steps(r); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r.clock.Add(20 * time.Minute)
			r.work(t)
		}
		ids := map[string]bool{}
		var said []string
		for _, m := range r.receivers["a"].messages() {
			if !ids[m.ID] {
				said = append(said, strings.Join(append([]string{m.Title}, m.Lines...), " > "))
			}
			ids[m.ID] = true
		}
		if got := strings.Join(said, " | "); got != strings.Join(want, " | ") {
			t.Errorf("it was told %q, not %q", got, strings.Join(want, " | "))
		}
	})
}

// deliverFirst makes an attempt at the first alert that waits. That it couldn't be noted
// that the channel delivers is logged only: the alert has arrived.
func (r *rig) deliverFirst(t *testing.T) error {
	waiting, _, err := r.alerts.List(t.Context(), states[Pending], 1, "")
	if err != nil || len(waiting) == 0 {
		return err
	}
	before := len(r.log.String())
	if err = r.deliver(t.Context(), waiting[0]); err == nil && strings.Contains(r.log.String()[before:], "wasn't noted") {
		return docstore.ErrUnavailable
	}
	return err
}

func brief(e Event) Event {
	e.Tried = nil
	return e
}

func TestTellingThatIsCutShort(t *testing.T) {
	t.Parallel()
	cutShort(t, nil, nil, func(r *rig) error { return r.Tell(t.Context(), brief(r.down(1))) }, "Health is down (1)")
}

func TestAnEndThatIsCutShort(t *testing.T) {
	t.Parallel()
	cutShort(t, nil, func(r *rig) error {
		return errors.Join(r.Tell(t.Context(), brief(r.down(1))), r.alerts.Drain(t.Context()))
	},
		func(r *rig) error { return r.Tell(t.Context(), r.up(1)) }, "Health is down (1)", "Resolved: Health is down (1)")
}

func TestAnEndOfWhatIsHeldThatIsCutShort(t *testing.T) {
	t.Parallel()
	cutShort(t, func(p *Policy) { p.QuietHours = &QuietHours{From: "11:00", Until: "12:10"} },
		func(r *rig) error { return r.Tell(t.Context(), brief(r.down(1))) },
		func(r *rig) error { return r.Tell(t.Context(), r.up(1)) },
		"Resolved already: Health is down (1)")
}

func TestADeliveryThatIsCutShort(t *testing.T) {
	t.Parallel()
	cutShort(t, nil, func(r *rig) error { return r.Tell(t.Context(), brief(r.down(1))) },
		func(r *rig) error {
			return r.deliverFirst(t)
		}, "Health is down (1)")
}

func TestADigestThatIsCutShort(t *testing.T) {
	t.Parallel()
	cutShort(t, func(p *Policy) { p.AtMost = AtMost{1, 10 * time.Minute} },
		func(r *rig) error {
			var err error
			for n := range 3 {
				err = errors.Join(err, r.Tell(t.Context(), brief(r.down(n+1))), r.alerts.Drain(t.Context()))
				r.clock.Add(10 * time.Second)
			}
			r.clock.Add(11 * time.Minute)
			return err
		},
		func(r *rig) error {
			if err := r.startDigests(t.Context()); err != nil {
				return err
			}
			return r.deliverFirst(t)
		}, "Health is down (1)", "2 alerts that were held back > Health is down (2) — 12:00 > Health is down (3) — 12:00")
}

func TestAnEscalationThatIsCutShort(t *testing.T) {
	t.Parallel()
	cutShort(t, func(p *Policy) {
		p.Rules = []Rule{{On: "monitor.down", Escalate: &Escalate{time.Minute, []string{"a"}}}}
	}, func(r *rig) error {
		err := r.Tell(t.Context(), brief(r.down(1)))
		r.clock.Add(2 * time.Minute)
		return err
	}, func(r *rig) error { return r.doDue(t.Context()) }, "Nobody has acknowledged: Health is down (1)")
}

func TestAConditionThatIsCutShortBeginsAgain(t *testing.T) {
	t.Parallel()
	gone := func(r *rig) Event {
		return Event{Kind: "limits.degraded", At: docstore.At(r.clock.Now()), Title: language.Text{En: "Redis is gone"}}
	}
	back := func(r *rig) Event { e := gone(r); e.Over = true; return e }
	cutShort(t, nil, nil, func(r *rig) error { return r.TellCondition(t.Context(), gone(r)) }, "Redis is gone")
	cutShort(t, nil, func(r *rig) error {
		return errors.Join(r.TellCondition(t.Context(), gone(r)), r.alerts.Drain(t.Context()))
	},
		func(r *rig) error { return r.TellCondition(t.Context(), back(r)) }, "Redis is gone", "Resolved: Redis is gone")
	// A copy that told the end was killed before it noted that, and it begins again.
	r := setup(t, nil)
	r.tellCondition(t, gone(r))
	left, err := r.conditions.Get(t.Context(), "limits.degraded/")
	if err != nil {
		t.Fatal(err)
	}
	r.tellCondition(t, back(r))
	if _, err := r.conditions.Upsert(t.Context(), left, func(c *condition, _ bool) error { *c = left; return nil }); err != nil {
		t.Fatal(err)
	}
	r.tellCondition(t, gone(r))
	r.expect(t, "a", "Redis is gone", "Resolved: Redis is gone", "Redis is gone")
}

func (r *rig) tellCondition(t *testing.T, e Event) {
	t.Helper()
	if err := r.TellCondition(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	r.work(t)
}

func TestCopiesSeeAConditionAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	other := r.another(t, r.rules.Load().Policy)
	e := Event{Kind: "limits.degraded", At: docstore.At(r.clock.Now()), Title: language.Text{En: "Redis is gone"}}
	errs := make(chan error)
	for _, s := range []*Service{r.Service, other, r.Service, other} {
		go func() { errs <- s.TellCondition(t.Context(), e) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	r.work(t)
	r.expect(t, "a", "Redis is gone")
}
