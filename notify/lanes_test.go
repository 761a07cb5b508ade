package notify

import (
	"errors"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/language"
)

// threeAddresses has a channel of three parts alone.
func threeAddresses(t *testing.T) *rig {
	t.Helper()
	r := setup(t, nil)
	r.receivers["a/2"], r.receivers["a/3"] = &receiver{}, &receiver{}
	p := DefaultPolicy()
	p.Channels = []ChannelConfig{{ID: "a", Type: "mail"}}
	if err := r.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOneRefusedAddressIsNotTheOthersMatter(t *testing.T) {
	t.Parallel()
	r := threeAddresses(t)
	r.receivers["a/2"].fail(func(Message) error { return Refused(errors.New("550 no such mailbox")) })
	r.tell(t, r.down(1))
	r.tell(t, r.up(1))
	for _, other := range []string{"a", "a/3"} {
		if said := r.receivers[other].said(); strings.Count(said, "Health is down (1)") != 2 || strings.Count(said, "The alert channel a/2 is dead") != 1 {
			t.Errorf("%s was told %q", other, said)
		}
	}
	r.receivers["a/2"].fail(nil)
	r.tell(t, r.down(2))
	for _, other := range []string{"a", "a/3"} {
		if said := r.receivers[other].said(); strings.Count(said, "Resolved: The alert channel a/2 is dead") != 1 {
			t.Errorf("then %s was told %q", other, said)
		}
	}
	r.expect(t, "a/2", "Health is down (2)")
}

// A channel is dead when its receiver takes nothing, not when there was nothing to say.
func TestAnAlertThatHasNoSenseAnyMoreSaysNothingOfItsChannel(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.receivers["a"].fail(func(Message) error { return errors.New("no connection") })
	r.tell(t, r.down(1))
	if err := r.occurrences.Delete(t.Context(), idOf(r.down(1).Key())); err != nil {
		t.Fatal(err)
	}
	r.receivers["a"].fail(nil)
	r.clock.Add(time.Minute)
	r.work(t)
	if _, err := r.Test(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	r.clock.Add(testLifetime + time.Minute) // no copy ran meanwhile
	r.work(t)
	r.work(t)
	dead, _, err := r.List(t.Context(), Dead, 10, "")
	if err != nil || len(dead) != 2 {
		t.Errorf("dead are %+v, %v", dead, err)
	}
	if said := r.receivers["b"].said(); strings.Contains(said, "معطّلة") {
		t.Errorf("b was told %q", said)
	}
}

// While copies change to another file one after another, one may have alerts for a channel
// that the next doesn't know yet.
func TestAnAlertForAChannelThatOnlyAnotherCopyKnowsWaitsForIt(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	old := r.another(t, func() Policy { p := r.rules.Load().Policy; p.Channels = p.Channels[:1]; return p }())
	if err := r.Tell(t.Context(), r.down(1)); err != nil {
		t.Fatal(err)
	}
	if err := old.alerts.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.expect(t, "a", "Health is down (1)")
	if dead, _, err := r.List(t.Context(), Dead, 10, ""); err != nil || len(dead) != 0 {
		t.Errorf("given up were %+v, %v", dead, err)
	}
	r.clock.Add(2 * time.Minute)
	r.work(t)
	r.expect(t, "b", "الصحة متوقفة (1)")
}

func TestAChannelThatGoesAwayIsForgottenAfterAWhileAndCanComeBack(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	both := r.rules.Load().Policy
	one := both
	one.Channels = both.Channels[:1]
	r.receivers["b"].fail(func(Message) error { return errors.New("no connection") })
	r.tell(t, r.down(1))
	if err := r.SetPolicy(one); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		r.clock.Add(5 * time.Minute)
		r.work(t)
	}
	dead, _, err := r.List(t.Context(), Dead, 10, "")
	if err != nil || len(dead) != 1 || !strings.Contains(dead[0].LastError, "isn't among the settings") {
		t.Fatalf("given up were %+v, %v", dead, err)
	}
	if err := r.SetPolicy(both); err != nil {
		t.Fatal(err)
	}
	r.receivers["b"].fail(nil)
	if err := r.Retry(t.Context(), dead[0].ID); err != nil {
		t.Fatal(err)
	}
	r.work(t)
	r.expect(t, "b", "الصحة متوقفة (1)")
}

func TestAPolicyWhoseChannelCannotBeMadeChangesNothing(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	before := r.rules.Load()
	r.c.Channels = func(c ChannelConfig) ([]Channel, error) { return nil, errors.New("no such type") }
	if err := r.SetPolicy(before.Policy); err == nil || !strings.Contains(err.Error(), "the alert channel a: no such type") {
		t.Error(err)
	}
	for _, p := range []Policy{{Timezone: "x"}, {QuietHours: &QuietHours{Timezone: "x"}}} {
		if err := r.SetPolicy(p); err == nil {
			t.Errorf("%+v was taken", p)
		}
	}
	if r.rules.Load() != before {
		t.Error("another is in force")
	}
}

func TestASweepLeavesWhatLasts(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.AtMost.Alerts, p.AtMost.Within = 2, time.Hour
		p.Rules = []Rule{{On: "*", Channels: []string{"a"}}}
	})
	bug := Event{Kind: "issue.new", Occurrence: "1", At: docstore.At(r.clock.Now()), Title: language.Text{En: "A bug"}}
	r.tell(t, r.down(1), r.down(2), r.down(3), r.down(4), bug)
	r.clock.Add(2 * time.Hour)
	r.tell(t, r.up(2))
	r.work(t) // the digest tells of 3, 4 and the bug
	r.clock.Add(keepAlerts + time.Hour)
	for range 2 {
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range map[int]bool{1: true, 2: false, 3: true} {
		if _, err := r.occurrences.Get(t.Context(), idOf(r.down(n).Key())); (err == nil) != want {
			t.Errorf("%d: %v", n, err)
		}
	}
	if _, err := r.occurrences.Get(t.Context(), idOf(bug.Key())); !errors.Is(err, docstore.ErrNotFound) {
		t.Errorf("what has no end is kept: %v", err)
	}
	r.work(t)
	before := len(r.receivers["a"].messages())
	r.tell(t, r.up(1), r.up(3))
	r.clock.Add(endsWithin + time.Second)
	r.work(t)
	said := ""
	for _, m := range r.receivers["a"].messages()[before:] {
		said += m.Title + " " + strings.Join(m.Lines, " ") + "; "
	}
	if !strings.Contains(said, "Resolved: Health is down (1)") || !strings.Contains(said, "Resolved: Health is up") {
		t.Errorf("of the ends after a month was told %q", said)
	}
	r.clock.Add(keepOpen)
	if err := errors.Join(r.Sweep(t.Context()), r.Sweep(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := r.occurrences.Get(t.Context(), idOf(r.down(4).Key())); !errors.Is(err, docstore.ErrNotFound) {
		t.Errorf("it is kept for ever: %v", err)
	}
	if _, err := r.held.Get(t.Context(), idOf(idOf(r.down(4).Key()), "a")); !errors.Is(err, docstore.ErrNotFound) {
		t.Errorf("the digest's line is kept for ever: %v", err)
	}
}
