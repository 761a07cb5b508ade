package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/language"
	"manus/queue"
)

// receiver is a channel's other end: it keeps what it has taken.
type receiver struct {
	mu    sync.Mutex
	taken []Message
	fails func(Message) error // nil takes all
}

func (r *receiver) Send(ctx context.Context, m Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails != nil {
		if err := r.fails(m); err != nil {
			return err
		}
	}
	r.taken = append(r.taken, m)
	return nil
}

// said is what the receiver was told, in its order: the state and the title.
func (r *receiver) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var said []string
	for _, m := range r.taken {
		said = append(said, m.Title)
	}
	return strings.Join(said, " | ")
}

func (r *receiver) messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

func (r *receiver) fail(with func(Message) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = with
}

// rig is a service with a clock that the test moves, and with receivers.
type rig struct {
	*Service
	clock     *clocktest.Clock
	store     docstore.Store
	receivers map[string]*receiver // by channel
	log       waittest.Log         // of services that write one
}

// setup makes a service with the channels a and b, of which b speaks Arabic.
func setup(t *testing.T, change func(*Policy)) *rig {
	t.Helper()
	r := &rig{clock: clocktest.New(), store: storetest.New(t, Specs()...), receivers: map[string]*receiver{"a": {}, "b": {}}}
	policy := DefaultPolicy()
	policy.Channels = []ChannelConfig{{ID: "a", Type: "webhook", QuietTest: new(true)}, {ID: "b", Type: "slack", Language: language.Arabic}}
	if change != nil {
		change(&policy)
	}
	r.Service = r.another(t, policy)
	return r
}

// another is a service on the same store, as another copy of the program has it.
func (r *rig) another(t *testing.T, policy Policy) *Service {
	t.Helper()
	s, err := New(Config{
		Store: r.store, Policy: policy, Secrets: []string{"the secret"}, PublicURL: "https://app.example.com", Now: r.clock.Now,
		Log:      slog.New(slog.DiscardHandler),
		Channels: r.parts,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// parts are the receivers of a channel: a, and a/2 and so on where the test has them.
func (r *rig) parts(c ChannelConfig) ([]Channel, error) {
	parts := []Channel{r.receivers[c.ID]}
	for n := 2; r.receivers[fmt.Sprintf("%s/%d", c.ID, n)] != nil; n++ {
		parts = append(parts, r.receivers[fmt.Sprintf("%s/%d", c.ID, n)])
	}
	return parts, nil
}

// work does what is due, and all that follows from it.
func (r *rig) work(t *testing.T) {
	t.Helper()
	if err := errors.Join(r.doDue(t.Context()), r.startDigests(t.Context()), r.findDead(t.Context()), r.alerts.Drain(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// tell tells of events and has them sent.
func (r *rig) tell(t *testing.T, events ...Event) {
	t.Helper()
	for _, e := range events {
		if err := r.Tell(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	r.work(t)
}

// down and up are the beginning and the end of an outage.
func (r *rig) down(n int) Event {
	return Event{
		Kind: "monitor.down", Subject: "health", Occurrence: fmt.Sprint(n), At: docstore.At(r.clock.Now()), Monitor: "health",
		Title: language.Text{En: fmt.Sprintf("Health is down (%d)", n), Ar: fmt.Sprintf("الصحة متوقفة (%d)", n)},
		Text:  language.Text{En: "It answered 500.", Ar: "أجاب 500."}, URL: "https://app.example.com/x", Tried: []string{"again after 5 s"},
	}
}

func (r *rig) up(n int) Event {
	e := r.down(n)
	e.Over, e.Title, e.Text, e.Tried = true, language.Text{En: "Health is up"}, language.Text{}, nil
	return e
}

// expect compares what the channels were told.
func (r *rig) expect(t *testing.T, channel string, want ...string) {
	t.Helper()
	if got := r.receivers[channel].said(); got != strings.Join(want, " | ") {
		t.Errorf("%s was told %q, not %q", channel, got, strings.Join(want, " | "))
	}
}

func TestAnEventIsToldOnceWithItsEnd(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.tell(t, r.down(1), r.down(1))
	r.tell(t, r.down(1))
	r.clock.Add(3 * time.Minute)
	r.tell(t, r.up(1), r.up(1))
	r.tell(t, r.up(1), r.down(1))
	r.expect(t, "a", "Health is down (1)", "Resolved: Health is down (1)")
	r.expect(t, "b", "الصحة متوقفة (1)", "انتهى: الصحة متوقفة (1)")
	messages := r.receivers["a"].messages()
	if first, end := messages[0], messages[1]; first.Thread != end.Thread || first.ID == end.ID || first.Acknowledge == "" || end.Acknowledge != "" ||
		first.URL == "" || first.Lines[0] != "again after 5 s" || end.State != Over || !strings.Contains(fmt.Sprint(end.Facts), "3 minutes") || end.Text != "Health is up" {
		t.Errorf("told was %+v, and at the end %+v", first, end)
	}
}

func TestTheSecondOutageIsAnotherAlert(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.tell(t, r.down(1))
	r.tell(t, r.up(1))
	r.tell(t, r.down(2))
	r.expect(t, "a", "Health is down (1)", "Resolved: Health is down (1)", "Health is down (2)")
}

func TestTheEndGoesNowhereElse(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "monitor.down", Channels: []string{"a"}}} })
	r.tell(t, r.up(1)) // nobody heard of its beginning
	r.tell(t, r.down(2))
	r.SetPolicy(func() Policy { p := r.rules.Load().Policy; p.Rules = nil; return p }())
	r.tell(t, r.up(2))
	r.expect(t, "a", "Health is down (2)", "Resolved: Health is down (2)")
	r.expect(t, "b")
}

func TestWhatIsOverBeforeItWasSentIsSentAsOne(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.receivers["a"].fail(func(Message) error { return errors.New("no connection") })
	r.receivers["b"].fail(func(Message) error { return Refused(errors.New("no such chat")) })
	for _, e := range []Event{r.down(1), r.up(1)} {
		if err := r.Tell(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		r.work(t)
	}
	r.receivers["a"].fail(nil)
	r.receivers["b"].fail(nil)
	r.clock.Add(time.Minute)
	r.work(t)
	if got := r.receivers["a"].said(); !strings.Contains(got, "Resolved already: Health is down (1)") || strings.Count(got, "Health") != 1 {
		t.Errorf("a was told %q", got)
	}
	if got := r.receivers["b"].said(); strings.Contains(got, "الصحة") {
		t.Errorf("b was told %q of what it had refused", got)
	}
}

// A receiver that keeps one message of each ID may have taken the beginning without
// anybody knowing.
func TestTheEndOfWhatMayHaveBeenTakenHasAnotherID(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "monitor.down", Channels: []string{"a"}}} })
	var ids []string
	r.receivers["a"].fail(func(m Message) error { ids = append(ids, m.ID); return errors.New("no answer") })
	r.tell(t, r.down(1))
	for range 2 { // the same message
		r.clock.Add(time.Minute)
		r.work(t)
	}
	r.receivers["a"].fail(nil)
	r.tell(t, r.up(1))
	r.clock.Add(time.Minute)
	r.work(t)
	r.expect(t, "a", "Resolved already: Health is down (1)")
	if id := r.receivers["a"].messages()[0].ID; len(ids) < 2 || ids[0] != ids[len(ids)-1] || slices.Contains(ids, id) {
		t.Errorf("attempts had the ids %q, and the end %q", ids, id)
	}
}

func TestAnEventThatEndsWhileItIsSentIsToldInTwo(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "monitor.down", Channels: []string{"a"}}} })
	ended := false
	r.receivers["a"].fail(func(Message) error {
		if ended {
			return nil
		}
		ended = true
		return r.Tell(t.Context(), r.up(1))
	})
	r.tell(t, r.down(1))
	r.expect(t, "a", "Health is down (1)", "Resolved: Health is down (1)")
}

func TestRemindersEndWithTheirCause(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.Rules = []Rule{{On: "monitor.*", Channels: []string{"a"}, RemindEvery: time.Hour}, {On: "issue.new", Channels: []string{"b"}, RemindEvery: time.Hour}}
	})
	issue := Event{Kind: "issue.new", Occurrence: "1", At: docstore.At(r.clock.Now()), Title: language.Text{En: "A bug"}}
	r.tell(t, r.down(1), r.down(2), issue)
	for range 3 {
		r.clock.Add(time.Hour + time.Second)
		r.work(t)
		r.work(t)
	}
	if n := strings.Count(r.receivers["a"].said(), "Reminder: Health is down (1)"); n != 3 {
		t.Errorf("it was reminded of %d times: %s", n, r.receivers["a"].said())
	}
	if err := r.Acknowledge(t.Context(), idOf(r.down(1).Key())); err != nil {
		t.Fatal(err)
	}
	before := len(r.receivers["a"].messages())
	r.tell(t, r.up(2))
	r.clock.Add(24 * time.Hour)
	r.work(t)
	if added := r.receivers["a"].messages()[before:]; len(added) != 1 || added[0].Title != "Resolved: Health is down (2)" {
		t.Errorf("then it was told %+v", added)
	}
	r.expect(t, "b", "A bug") // what has no end isn't reminded of
}

func TestWhatNobodyAcknowledgesIsEscalated(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.Rules = []Rule{{On: "monitor.down", Channels: []string{"a"}, Escalate: &Escalate{After: 15 * time.Minute, Channels: []string{"b"}}}}
	})
	r.tell(t, r.down(1), r.down(2), r.down(3))
	r.clock.Add(14 * time.Minute)
	messages := r.receivers["a"].messages()
	one := slices.IndexFunc(messages, func(m Message) bool { return m.Title == "Health is down (1)" })
	link := messages[one].Acknowledge
	token := strings.TrimPrefix(link, "https://app.example.com/alerts/")
	if linked, err := r.Linked(t.Context(), token); err != nil || !linked.Acknowledged.IsZero() || linked.Over {
		t.Errorf("the link shows %+v, %v", linked, err)
	}
	if err := r.AcknowledgeLinked(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	r.tell(t, r.up(3))
	r.expect(t, "b")
	r.clock.Add(time.Minute)
	r.work(t)
	r.work(t)
	r.expect(t, "b", "لم يستلمه أحد: الصحة متوقفة (2)")
}

func TestALinkIsGoodForItsOccurrenceAlone(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.tell(t, r.down(1), r.down(2))
	one, two := idOf(r.down(1).Key()), idOf(r.down(2).Key())
	right := token("the secret", one)
	for _, wrong := range []string{"", one, token("another secret", one), two + right[len(one):], right + "x", right[:len(right)-1]} {
		if _, err := r.Linked(t.Context(), wrong); !errors.Is(err, ErrNoAlert) {
			t.Errorf("%q shows something: %v", wrong, err)
		}
		if err := r.AcknowledgeLinked(t.Context(), wrong); !errors.Is(err, ErrNoAlert) {
			t.Errorf("%q acknowledges: %v", wrong, err)
		}
	}
}

func TestMoreThanAtMostBecomesADigest(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.AtMost = AtMost{3, 10 * time.Minute}
		p.Rules = []Rule{{On: "monitor.down", Channels: []string{"a"}}}
	})
	for n := range 50 {
		r.tell(t, r.down(n))
		r.clock.Add(time.Second)
	}
	r.tell(t, r.up(1), r.up(40), r.down(49))
	r.expect(t, "a", "Health is down (0)", "Health is down (1)", "Health is down (2)", "Resolved: Health is down (1)")
	r.clock.Add(10*time.Minute - 50*time.Second - time.Millisecond)
	r.work(t)
	if len(r.receivers["a"].messages()) != 4 {
		t.Error("the digest is early")
	}
	r.clock.Add(time.Second)
	r.work(t)
	r.work(t)
	messages := r.receivers["a"].messages()
	digest := messages[len(messages)-1]
	if len(messages) != 5 || digest.Title != "47 alerts that were held back" || digest.State != Digest || digest.Text != "1 of those held back is over." ||
		!strings.Contains(fmt.Sprint(digest.Facts), "{monitor.down 47}") || len(digest.Lines) != maxLines || digest.LinesLeft != 32 || digest.Level != Critical || digest.AllOver {
		t.Errorf("the digest, of %d messages: %+v", len(messages), digest)
	}
	r.tell(t, r.up(41), r.up(40))
	r.clock.Add(endsWithin)
	r.work(t)
	messages = r.receivers["a"].messages()
	if last := messages[len(messages)-1]; len(messages) != 6 || last.Title != "Resolved: Health is down (41)" || last.State != Over || last.Follows != digest.ID || last.Text != "Health is up" {
		t.Errorf("the end of what a digest told: %+v", last)
	}
	r.tell(t, r.up(42), r.up(43))
	r.clock.Add(endsWithin)
	r.work(t)
	messages = r.receivers["a"].messages()
	if last := messages[len(messages)-1]; len(messages) != 7 || last.Title != "2 alerts are over" || last.State != Digest || last.Follows != digest.ID || last.Level != Info || !last.AllOver ||
		last.Text != "An earlier message has told that they began." || strings.Join(last.Lines, " ") != "Resolved: Health is down (42) — 12:11 Resolved: Health is down (43) — 12:11" {
		t.Errorf("the ends of what a digest told: %+v", last)
	}
	r.tell(t, r.down(100))
	if last := r.receivers["a"].messages(); last[len(last)-1].Title != "Health is down (100)" {
		t.Errorf("after the storm: %s", r.receivers["a"].said())
	}
}

func TestAStormInSteadyFlowIsToldFromItsBegin(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.AtMost = AtMost{1, 10 * time.Minute}
		p.Rules = []Rule{{On: "monitor.down", Channels: []string{"a"}}}
	})
	for n := range 45 { // one a minute
		r.tell(t, r.down(n))
		r.clock.Add(time.Minute)
	}
	told := 0
	for _, m := range r.receivers["a"].messages() {
		if m.State == Digest {
			told++
		}
	}
	if told != 4 {
		t.Errorf("there are %d digests: %s", told, r.receivers["a"].said())
	}
}

func TestQuietHoursHoldAllButWhatIsExcepted(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.QuietHours = &QuietHours{From: "23:00", Until: "07:00", Timezone: "Europe/Berlin", Except: []string{"monitor.down"}}
		p.Rules = []Rule{{On: "*", Channels: []string{"a"}}}
	})
	r.clock.Set(time.Date(2026, 11, 26, 23, 30, 0, 0, time.UTC)) // 00:30 in Berlin
	overdue := Event{Kind: "backup.overdue", Occurrence: "1", At: docstore.At(r.clock.Now()), Title: language.Text{En: "No backup"}}
	r.tell(t, overdue, r.down(1))
	r.expect(t, "a", "Health is down (1)")
	r.clock.Set(time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)) // 07:00
	r.work(t)
	r.work(t)
	r.expect(t, "a", "Health is down (1)", "1 alert that was held back")
	overdue.Occurrence = "2"
	r.tell(t, overdue)
	r.expect(t, "a", "Health is down (1)", "1 alert that was held back", "No backup")
}

func TestADeadChannelIsToldOnAnotherAndSkipped(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.Rules = []Rule{
			{On: "backup.*", Channels: []string{"a"}},
			{On: "monitor.down", Escalate: &Escalate{After: time.Minute, Channels: []string{"a"}}},
		}
	})
	r.receivers["a"].fail(func(Message) error { return errors.New("no connection") })
	failed := Event{Kind: "backup.failed", Occurrence: "1", At: docstore.At(r.clock.Now()), Title: language.Text{En: "No backup"}}
	r.tell(t, failed)
	for range 15 {
		r.clock.Add(time.Minute)
		r.work(t)
	}
	r.expect(t, "b", "قناة التنبيه a معطّلة")
	r.tell(t, r.down(1))
	r.clock.Add(2 * time.Minute)
	r.work(t)
	r.work(t)
	if told := r.receivers["b"].said(); !strings.Contains(told, "لم يستلمه أحد") {
		t.Errorf("the escalation went to a dead channel; b was told %q", told)
	}
	r.receivers["a"].fail(nil)
	r.clock.Add(20 * time.Minute)
	r.work(t)
	r.work(t)
	r.expect(t, "a", "No backup")
	if told := r.receivers["b"].said(); !strings.HasSuffix(told, "انتهى: قناة التنبيه a معطّلة") {
		t.Errorf("b was told %q", told)
	}
}

func TestARefusedAlertIsListedAndTriedAgain(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "monitor.down", Channels: []string{"a"}}} })
	r.receivers["a"].fail(func(Message) error { return Refused(errors.New("404: no_service")) })
	r.tell(t, r.down(1))
	list := func(status Status) []Alert {
		alerts, _, err := r.List(t.Context(), status, 10, "")
		if err != nil {
			t.Fatal(err)
		}
		return alerts
	}
	dead := list(Dead)
	if len(dead) != 1 || dead[0].Channel != "a" || dead[0].Status != Dead || dead[0].LastError != "404: no_service" || dead[0].Attempts != 1 || dead[0].Key != "monitor.down/health/1" {
		t.Fatalf("dead are %+v", dead)
	}
	r.receivers["a"].fail(nil)
	if err := r.Retry(t.Context(), dead[0].ID); err != nil {
		t.Fatal(err)
	}
	r.work(t)
	delivered := list(Delivered)
	if !slices.ContainsFunc(delivered, func(a Alert) bool { return a.ID == dead[0].ID && !a.DeliveredAt.IsZero() }) || len(list(Dead)) != 0 {
		t.Errorf("delivered are %+v", delivered)
	}
	if err := r.Retry(t.Context(), dead[0].ID); !errors.Is(err, ErrNotDead) {
		t.Errorf("again: %v", err)
	}
	if err := r.Retry(t.Context(), "nothing"); !errors.Is(err, ErrNoAlert) {
		t.Errorf("what there isn't: %v", err)
	}
}

// A digest that is to be given up waits until what it held has another; the list and the
// filter say the same of it meanwhile.
func TestAnAlertIsDeadOnceThatIsKnown(t *testing.T) {
	t.Parallel()
	untold := queue.Job[alert]{State: queue.Pending, DeadAt: time.Now()}
	if got := newAlert(untold).Status; got != Pending {
		t.Errorf("it is %s", got)
	}
}

func TestAReceiverThatWantsToBeLeftAloneIs(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "monitor.down", Channels: []string{"a"}}} })
	asked := 0
	r.receivers["a"].fail(func(Message) error { asked++; return Later(errors.New("429"), 30*time.Second) })
	for n := range 5 {
		r.tell(t, r.down(n))
	}
	if asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
	r.receivers["a"].fail(nil)
	r.clock.Add(29 * time.Second)
	r.work(t)
	r.expect(t, "a")
	r.clock.Add(2 * time.Second)
	r.work(t)
	if n := len(r.receivers["a"].messages()); n != 5 {
		t.Errorf("%d of 5 have arrived", n)
	}
}

// A receiver that answers 429 for ever delivers nothing, however politely, and may be asked
// once an hour only.
func TestAChannelThatOnlyEverAsksToWaitIsDead(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{time.Second, 30 * time.Second, time.Hour} {
		r := setup(t, func(p *Policy) {
			p.Rules = []Rule{
				{On: "backup.*", Channels: []string{"a"}},
				{On: "monitor.down", Escalate: &Escalate{After: time.Minute, Channels: []string{"a"}}},
			}
		})
		r.receivers["a"].fail(func(Message) error { return Later(errors.New("429"), wait) })
		r.tell(t, Event{Kind: "backup.failed", Occurrence: "1", At: docstore.At(r.clock.Now()), Title: language.Text{En: "No backup"}})
		for range 9 {
			r.clock.Add(time.Minute)
			r.work(t)
		}
		r.expect(t, "b")
		r.clock.Add(time.Minute)
		r.work(t)
		r.expect(t, "b", "قناة التنبيه a معطّلة")
		r.tell(t, r.down(1))
		r.clock.Add(2 * time.Minute)
		r.work(t)
		if told := r.receivers["b"].said(); !strings.Contains(told, "لم يستلمه أحد") {
			t.Errorf("%v: the escalation went to a dead channel; b was told %q", wait, told)
		}
		r.receivers["a"].fail(nil)
		r.clock.Add(time.Hour)
		r.work(t)
		r.work(t)
		r.expect(t, "a", "No backup")
		if told := r.receivers["b"].said(); !strings.HasSuffix(told, "انتهى: قناة التنبيه a معطّلة") {
			t.Errorf("%v: b was told %q", wait, told)
		}
	}
}

// What a receiver asks for, such as nothing, doesn't bring more attempts than it would get
// without.
func TestAReceiverThatAsksForNothingIsTriedEverLessOften(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "*", Channels: []string{"a"}}} })
	asked := 0
	r.receivers["a"].fail(func(Message) error { asked++; return Later(errors.New("429"), time.Second) })
	r.tell(t, r.down(1))
	for range 3600 {
		r.clock.Add(time.Second)
		if err := r.alerts.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	waits, _, err := r.List(t.Context(), Pending, 10, "")
	if asked < 8 || asked > 14 || err != nil || len(waits) != 1 || waits[0].Attempts != asked {
		t.Errorf("it was asked %d times in an hour; %+v, %v", asked, waits, err)
	}
}

func TestChannelsAreProved(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	sweep := func() {
		t.Helper()
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.work(t)
	}
	sweep()
	r.expect(t, "a")
	r.clock.Add(testEvery + time.Minute)
	sweep()
	sweep()
	r.expect(t, "a", "A test of this channel") // a webhook's is quiet
	r.expect(t, "b")
	r.clock.Add(proofLasts - testEvery)
	sweep()
	sweep()
	if told := r.receivers["a"].said(); strings.Count(told, "Nothing has been delivered on the alert channel b") != 1 {
		t.Errorf("a was told %q", told)
	}
	if _, err := r.Test(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	r.work(t)
	r.work(t)
	if told := r.receivers["a"].said(); strings.Count(told, "Resolved: Nothing has been delivered on the alert channel b") != 1 {
		t.Errorf("then a was told %q", told)
	}
	if _, err := r.Test(t.Context(), "c"); !errors.Is(err, ErrNoAlert) {
		t.Errorf("of a channel that there isn't: %v", err)
	}
}

func TestCopiesTellOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	copies := []*Service{r.Service}
	for range 3 {
		copies = append(copies, r.another(t, r.rules.Load().Policy))
	}
	ctx, stop := context.WithCancel(t.Context())
	var running, telling sync.WaitGroup
	for _, c := range copies {
		running.Go(func() { c.Run(ctx) })
		telling.Go(func() {
			for n := range 8 {
				for _, e := range []Event{r.down(n), r.up(n)} {
					if err := c.Tell(ctx, e); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	telling.Wait()
	want := func() bool {
		seen := map[string]bool{}
		for _, m := range r.receivers["a"].messages() {
			if m.State == Over || m.State == Passed {
				seen[m.Thread] = true
			}
		}
		return len(seen) == 8
	}
	waittest.Poll(t, want)
	stop()
	running.Wait()
	ids := map[string]int{}
	for _, m := range r.receivers["a"].messages() {
		ids[m.ID]++
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
}

func TestAConditionOfSeveralCopiesIsOneOccurrence(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	other := r.another(t, r.rules.Load().Policy)
	e := Event{Kind: "limits.degraded", At: docstore.At(r.clock.Now()), Title: language.Text{En: "Redis is gone"}}
	over := e
	over.Over = true
	tell := func(s *Service, e Event) {
		t.Helper()
		if err := s.TellCondition(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		r.work(t)
	}
	tell(r.Service, over) // nothing was wrong
	for range 2 {
		tell(r.Service, e)
		tell(other, e)
		tell(other, over)
		tell(r.Service, over)
	}
	r.expect(t, "a", "Redis is gone", "Resolved: Redis is gone", "Redis is gone", "Resolved: Redis is gone")
}

func TestWithoutAStoreAnEventIsSentAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "store.damaged", Channels: []string{"a", "b"}}} })
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	e := Event{Kind: "store.damaged", Occurrence: "1", At: docstore.At(r.clock.Now()), Title: language.Text{En: "The data is damaged"}}
	r.receivers["b"].fail(func(Message) error { return errors.New("no connection") })
	if err := r.TellNow(t.Context(), e); err != nil {
		t.Error(err)
	}
	over := e
	over.Over, over.Title, over.Text = true, language.Text{En: "It was mended"}, language.Text{En: "All is well."}
	if err := r.TellNow(t.Context(), over); err != nil {
		t.Error(err)
	}
	r.expect(t, "a", "The data is damaged", "Resolved: It was mended")
	if m := r.receivers["a"].messages()[1]; m.Text != "All is well." || m.State != Over {
		t.Errorf("at the end it says %+v", m)
	}
	r.receivers["a"].fail(func(Message) error { return errors.New("no connection") })
	if err := r.TellNow(t.Context(), e); err == nil {
		t.Error("nobody has taken it, and nobody says so")
	}
}

// What was told at once while the store was gone isn't kept, and has an end all the same.
func TestWhatWasToldAtOnceHasAnEndOnceTheStoreIsBack(t *testing.T) {
	t.Parallel()
	store := storetest.NewUnsteady(t, Specs()...)
	r := &rig{clock: clocktest.New(), store: store, receivers: map[string]*receiver{"a": {}, "b": {}}}
	p := DefaultPolicy()
	p.Channels = []ChannelConfig{{ID: "a", Type: "webhook"}, {ID: "b", Type: "slack", Language: language.Arabic}}
	p.Rules = []Rule{{On: "backup.*", Channels: []string{"a"}, RemindEvery: time.Hour, Escalate: &Escalate{time.Minute, []string{"b"}}}}
	r.Service = r.another(t, p)
	e := Event{Kind: "backup.overdue", Occurrence: "1", At: docstore.At(r.clock.Now()), Title: language.Text{En: "There is no recent backup"}}
	store.SetGone(true)
	if err := errors.Join(r.TellNow(t.Context(), e), r.TellNow(t.Context(), e)); err != nil {
		t.Fatal(err)
	}
	store.SetGone(false)
	over := e
	over.Over, over.Unkept, over.Title = true, true, language.Text{En: "There is a backup again"}
	for range 3 { // it may be told again
		r.tell(t, over)
		r.clock.Add(2 * time.Hour)
	}
	r.expect(t, "a", "There is no recent backup", "There is no recent backup", "Resolved: There is a backup again")
	r.expect(t, "b")
	if state, err := r.lanes.Get(t.Context(), "a"); err != nil || state.DeliveredAt.IsZero() {
		t.Errorf("it isn't noted that a delivers: %+v, %v", state, err)
	}
	if m := r.receivers["a"].messages(); m[0].Thread != m[2].Thread || m[0].ID != m[1].ID {
		t.Errorf("they are %+v", m)
	}
	// Where the beginning is known, or may not have been told, it is as ever.
	known, unknown := e, over
	known.Occurrence, unknown.Occurrence, unknown.Unkept = "2", "3", false
	ended := over
	ended.Occurrence = "2"
	r.tell(t, known)
	r.tell(t, ended, unknown)
	if said := r.receivers["a"].said(); !strings.HasSuffix(said, "again | There is no recent backup | Resolved: There is no recent backup") {
		t.Errorf("a was told %s", said)
	}
}
