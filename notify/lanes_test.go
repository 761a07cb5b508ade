package notify

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/readiness"
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
	r.receivers["a/2"].fail(func(Message) error { return Unusable(Refused(errors.New("550 no such mailbox"))) })
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

// refusing has a channel refuse the messages of some occurrences, for a moment's text.
func (r *rig) refusing(channel string, numbers ...int) {
	r.receivers[channel].fail(func(m Message) error {
		for _, n := range numbers {
			if m.Thread == idOf(r.down(n).Key()) {
				return Refused(errors.New("400 invalid_blocks"))
			}
		}
		return nil
	})
}

// dead is what a channel was told of the channel a.
func (r *rig) deadTold(channel string) int {
	return strings.Count(r.receivers[channel].said(), "قناة التنبيه a معطّلة")
}

// A receiver may refuse one message for what it says. The channel is dead when it refuses
// another one too.
func TestAMessageThatIsRefusedIsNotTheChannelsEnd(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.refusing("a", 1, 3, 5, 6)
	r.tell(t, r.down(1)) // refused
	r.tell(t, r.down(2)) // and the next is taken
	r.tell(t, r.down(3))
	dead, _, err := r.List(t.Context(), Dead, 10, "")
	if err != nil || len(dead) != 2 {
		t.Fatalf("given up were %+v, %v", dead, err)
	}
	if err := r.Retry(t.Context(), dead[0].ID); err != nil { // the same once more
		t.Fatal(err)
	}
	r.work(t)
	if n := r.deadTold("b"); n != 0 {
		t.Errorf("the channel is dead: %s", r.receivers["b"].said())
	}
	r.tell(t, r.down(4))
	r.tell(t, r.down(5), r.down(6)) // two in a row
	if n := r.deadTold("b"); n != 1 {
		t.Errorf("two messages in a row were refused, and b was told %d times: %s", n, r.receivers["b"].said())
	}
	r.tell(t, r.down(7))
	if said := r.receivers["b"].said(); strings.Count(said, "انتهى: قناة التنبيه a معطّلة") != 1 {
		t.Errorf("of the end b was told %s", said)
	}
	r.expect(t, "a", "Health is down (2)", "Health is down (4)", "Health is down (7)")
}

func TestATestOrAnAddressThatIsRefusedIsTheChannelsEnd(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.receivers["a"].fail(func(Message) error { return Refused(errors.New("400 invalid_blocks")) })
	if _, err := r.Test(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	r.work(t)
	if n := r.deadTold("b"); n != 1 {
		t.Errorf("a test was refused, and b was told %d times", n)
	}
	for _, cause := range []error{Unusable(Refused(errors.New("404 no_service"))), Unusable(errors.New("535 wrong password"))} {
		r := setup(t, nil)
		r.receivers["a"].fail(func(Message) error { return cause })
		r.tell(t, r.down(1))
		if n := r.deadTold("b"); n != 1 {
			t.Errorf("%v: b was told %d times", cause, n)
		}
		waits, _, err := r.List(t.Context(), Pending, 10, "")
		if err != nil || len(waits) != 1 {
			t.Errorf("%v: waiting are %+v, %v", cause, waits, err)
		}
	}
}

// What several channels refuse, they can't tell of each other: each is told of once.
func TestChannelsThatAllRefuseDoNotTellInCircles(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"the address": Unusable(Refused(errors.New("404 no_service"))), "the message": Refused(errors.New("400 invalid_blocks"))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := threeAddresses(t)
			var mu sync.Mutex
			refused := map[string]bool{}
			for _, lane := range []string{"a", "a/2", "a/3"} {
				r.receivers[lane].fail(func(m Message) error {
					mu.Lock()
					defer mu.Unlock()
					refused[m.ID] = true
					return cause
				})
			}
			r.tell(t, r.down(1))
			r.tell(t, r.down(2))
			for range 100 {
				r.clock.Add(time.Hour)
				r.work(t)
				if err := r.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			// Two outages on three lanes, and of each lane its two others are told.
			if len(refused) > 12 {
				t.Errorf("%d messages were refused", len(refused))
			}
			told := map[string]int{}
			for o, err := range r.occurrences.All(t.Context(), docstore.Query{Index: "by_time", Limit: docstore.MaxLimit}) {
				if err != nil {
					t.Fatal(err)
				}
				told[o.Event.Kind+o.Event.Subject]++
			}
			for _, lane := range []string{"a", "a/2", "a/3"} {
				if told[ChannelDead+lane] != 1 {
					t.Errorf("it was told: %v", told)
				}
			}
		})
	}
}

// While a receiver is deployed its address may answer 404, and its credential be wrong.
func TestAReceiverThatIsWrongForAMomentMissesNothing(t *testing.T) {
	t.Parallel()
	for _, away := range []time.Duration{10 * time.Second, 5 * time.Minute, 30 * time.Hour} {
		r := setup(t, nil)
		r.receivers["a"].fail(func(Message) error { return Unusable(Refused(errors.New("404"))) })
		r.tell(t, r.down(1), r.down(2))
		r.tell(t, r.up(2))
		for range int(min(away, 2*time.Hour) / (10 * time.Second)) {
			r.clock.Add(10 * time.Second)
			r.work(t)
		}
		r.clock.Add(max(0, away-2*time.Hour))
		r.receivers["a"].fail(nil)
		for range 5 {
			r.clock.Add(min(away, 15*time.Minute))
			r.work(t)
		}
		r.tell(t, r.up(1))
		said := r.receivers["a"].said()
		for _, want := range []string{"Health is down (1)", "Resolved already: Health is down (2)", "Resolved: Health is down (1)"} {
			if strings.Count(" | "+said+" | ", " | "+want+" | ") != 1 {
				t.Errorf("after %v %q isn't said once: %s", away, want, said)
			}
		}
		if said := r.receivers["b"].said(); !strings.Contains(" | "+said, " | قناة التنبيه a معطّلة") || strings.Count(said, "انتهى: قناة التنبيه a معطّلة") != 1 {
			t.Errorf("after %v b was told %s", away, said)
		}
	}
}

// Mail servers and others may lock out whoever goes on asking.
func TestAReceiverThatRefusesAllIsAskedHourly(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "monitor.*", Channels: []string{"a"}}, {On: ChannelDead}} })
	asked := 0
	r.receivers["a"].fail(func(Message) error { asked++; return Unusable(Refused(errors.New("550"))) })
	r.tell(t, r.down(1))
	for range 24 * 60 {
		r.clock.Add(time.Minute)
		if err := r.alerts.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if asked < 24 || asked > 33 {
		t.Errorf("it was asked %d times in a day", asked)
	}
}

// What lasts isn't forgotten where its beginning was refused.
func TestWhatWasGivenUpIsTriedAgainWhileItLasts(t *testing.T) {
	t.Parallel()
	for every, soon := range map[time.Duration]time.Duration{0: time.Hour, 10 * time.Minute: 10 * time.Minute, 24 * time.Hour: time.Hour} {
		r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "*", Channels: []string{"a"}, RemindEvery: every}} })
		r.receivers["a"].fail(func(Message) error { return Refused(errors.New("413")) })
		bug := Event{Kind: "issue.new", Occurrence: "1", At: docstore.At(r.clock.Now()), Title: language.Text{En: "A bug"}}
		r.tell(t, r.down(1), r.down(2), bug)
		if err := r.Acknowledge(t.Context(), idOf(r.down(2).Key())); err != nil {
			t.Fatal(err)
		}
		r.clock.Add(soon) // and is refused once more
		r.work(t)
		r.receivers["a"].fail(nil)
		r.clock.Add(soon - time.Second)
		r.work(t)
		r.expect(t, "a")
		r.clock.Add(2 * time.Second)
		r.work(t)
		r.work(t)
		r.expect(t, "a", "Health is down (1)")
		want := []string{"Health is down (1)"}
		if every > 0 {
			r.clock.Add(every + time.Second)
			r.work(t)
			want = append(want, "Reminder: Health is down (1)")
		}
		r.tell(t, r.up(1), r.up(2))
		r.expect(t, "a", append(want, "Resolved: Health is down (1)")...)
	}
}

// A channel that has refused two messages may have nothing left to be tried with.
func TestADeadChannelWithNothingToSayIsTested(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.receivers["a"].fail(func(Message) error { return Refused(errors.New("400")) })
	bug := func(n string) Event {
		return Event{Kind: "issue.new", Occurrence: n, At: docstore.At(r.clock.Now()), Title: language.Text{En: "A bug"}}
	}
	r.tell(t, bug("1"), bug("2"))
	sweep := func() {
		t.Helper()
		r.clock.Add(time.Hour)
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.work(t)
		r.work(t)
	}
	sweep()
	if n := r.deadTold("b"); n != 1 {
		t.Fatalf("b was told %d times", n)
	}
	r.receivers["a"].fail(nil)
	sweep()
	sweep()
	r.expect(t, "a", "A test of this channel")
	if said := r.receivers["b"].said(); !strings.HasSuffix(said, "انتهى: قناة التنبيه a معطّلة") {
		t.Errorf("b was told %s", said)
	}
}

// A changed file says nothing of how long a receiver wants to be left alone.
func TestAPauseOutlastsAChangeOfTheRules(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "*", Channels: []string{"a"}}} })
	asked := 0
	r.receivers["a"].fail(func(Message) error { asked++; return Later(errors.New("429"), time.Minute) })
	r.tell(t, r.down(1))
	p := r.rules.Load().Policy
	p.Language = language.Arabic
	if err := r.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	r.tell(t, r.down(2))
	if asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
	p.Channels = slices.Clone(p.Channels)
	p.Channels[0].URL = "https://another.example.com"
	if err := r.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	r.tell(t, r.down(3))
	if asked != 2 {
		t.Errorf("another receiver isn't asked: %d", asked)
	}
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
	if !strings.Contains(said, "Resolved: Health is down (1)") || !strings.Contains(said, "Resolved: Health is down (3)") {
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

// meanwhile is a store beside which something else happens once, when a document is changed.
type meanwhile struct {
	docstore.Store
	collection, id string
	do             atomic.Pointer[func()]
}

func (m *meanwhile) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	err := m.Store.Upsert(ctx, collection, id, change)
	if collection == m.collection && id == m.id {
		if do := m.do.Swap(nil); do != nil {
			(*do)()
		}
	}
	return err
}

// A channel may deliver on one copy while another tells that it is dead: that is over then.
func TestAChannelThatDeliversWhileItIsToldToBeDeadIsNotDeadForEver(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	// Another channel may change another occurrence at the same time.
	dead := Event{Kind: ChannelDead, Subject: "a", Occurrence: r.clock.Now().UTC().Format(time.RFC3339)}
	store := &meanwhile{Store: r.store, collection: occurrenceSpec.Collection, id: idOf(dead.Key())}
	r.store = store
	r.Service = r.another(t, r.rules.Load().Policy)
	if err := r.Tell(t.Context(), r.down(1)); err != nil {
		t.Fatal(err)
	}
	r.receivers["a"].fail(func(Message) error { return Unusable(errors.New("535")) })
	store.do.Store(new(func() { r.proved(t.Context(), r.rules.Load().lanes["a"]) }))
	r.work(t)
	if store.do.Load() != nil {
		t.Fatal("nothing happened meanwhile")
	}
	for o, err := range r.occurrences.All(t.Context(), docstore.Query{Index: "by_time", Limit: docstore.MaxLimit}) {
		if err != nil || o.Event.Kind == ChannelDead && o.End == nil {
			t.Errorf("it goes on: %+v, %v", o.Event, err)
		}
	}
	if dead, err := r.isDead(t.Context(), "a"); dead || err != nil {
		t.Errorf("it is dead: %v", err)
	}
}

// TestATestThatIsTakenProvesItsChannel: one from a command too, until the channel leads elsewhere.
func TestATestThatIsTakenProvesItsChannel(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	check := func(when string, want readiness.Status) {
		t.Helper()
		if found := r.checkChannels(t.Context(), false); found.Status != want {
			t.Errorf("%s: %s: %s", when, found.Status, found.Evidence.En)
		}
	}
	check("at first", readiness.Fail)
	if err := r.TestNow(t.Context(), "", func(lane string, err error) {
		if err != nil {
			t.Errorf("%s: %v", lane, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	check("after a test", readiness.Pass)
	r.rules.Load().lanes["a"].config.Secret += "x"
	check("with another secret", readiness.Fail)
	if err := r.TestNow(t.Context(), "a", func(string, error) {}); err != nil {
		t.Fatal(err)
	}
	check("after a test of that", readiness.Pass)
}
