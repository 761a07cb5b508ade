package notify

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"manus/docstore"
)

// onlyA has all go to the channel a, a few of them at a time.
func onlyA(p *Policy) {
	p.AtMost = AtMost{2, 10 * time.Minute}
	p.Rules = []Rule{{On: "*", Channels: []string{"a"}, RemindEvery: time.Hour}}
}

// countOf is how many messages of a state a channel was sent.
func (r *rig) countOf(channel string, state State) (n int) {
	for _, m := range r.receivers[channel].messages() {
		if m.State == state {
			n++
		}
	}
	return n
}

// What is held after its digest was told, for the same moment as that, is the next
// one's, and holds none up.
func TestWhatComesTooLateForItsDigestIsInTheNext(t *testing.T) {
	t.Parallel()
	r := setup(t, onlyA)
	for n := range 5 {
		r.tell(t, r.down(n))
	}
	late := occurrence{ID: "late", Event: r.down(100)}
	until := r.clock.Now().Add(10 * time.Minute)
	r.clock.Add(10 * time.Minute)
	r.work(t)
	r.work(t)
	if err := r.hold(t.Context(), late, "a", docstore.At(until)); err != nil { // decided before, written now
		t.Fatal(err)
	}
	r.clock.Add(endsWithin)
	r.work(t)
	if n := r.countOf("a", Digest); n != 2 {
		t.Fatalf("there were %d digests", n)
	}
	for n := range 5 {
		r.tell(t, r.down(200+n))
	}
	r.clock.Add(10 * time.Minute)
	r.work(t)
	if n := r.countOf("a", Digest); n != 3 {
		t.Errorf("there were %d digests", n)
	}
}

// A receiver that has taken a digest without our knowing drops it when it comes again. So
// what comes meanwhile is in the next one, and so is an end, which may not have been in
// what it took.
func TestADigestThatIsSentAgainHoldsTheSame(t *testing.T) {
	t.Parallel()
	r := setup(t, onlyA)
	taken := map[string]string{} // by ID, as such a receiver keeps it
	silent := true
	r.receivers["a"].fail(func(m Message) error {
		if _, again := taken[m.ID]; !again {
			taken[m.ID] = m.Title + ": " + fmt.Sprint(m.Lines)
		}
		if m.State == Digest && silent {
			return errors.New("no answer")
		}
		return nil
	})
	for n := range 5 {
		r.tell(t, r.down(n))
		r.clock.Add(time.Second)
	}
	r.clock.Add(10 * time.Minute)
	r.work(t)
	late := occurrence{ID: "late", Event: r.down(100)}
	if err := r.hold(t.Context(), late, "a", docstore.At(r.clock.Now())); err != nil {
		t.Fatal(err)
	}
	r.tell(t, r.up(3))
	r.clock.Add(20 * time.Minute)
	silent = false
	r.work(t)
	digest := r.receivers["a"].messages()[2]
	if digest.Title != "3 alerts that were held back" || digest.Text != "1 of those held back is over." || taken[digest.ID] != "3 alerts that were held back: [Health is down (2) — 12:00 Health is down (3) — 12:00 Health is down (4) — 12:00]" {
		t.Errorf("again it was %+v; the receiver keeps %s", digest, taken[digest.ID])
	}
	r.clock.Add(endsWithin)
	r.work(t)
	if n := r.countOf("a", Digest); n != 2 {
		t.Fatalf("there were %d digests: %s", n, r.receivers["a"].said())
	}
	next := r.receivers["a"].messages()[3]
	if taken[next.ID] != "1 alert that was held back; 1 alert is over: [Health is down (100) — 12:10 Resolved: Health is down (3) — 12:10]" {
		t.Errorf("the next is %+v", next)
	}
}

// What a digest has told is no other's, whatever was written down of it when the program
// was killed: here that it was sent, and not that the alert is done.
func TestADigestThatWasToldIsNotSentAgain(t *testing.T) {
	t.Parallel()
	r := setup(t, onlyA)
	r.tell(t, r.down(0), r.down(1), r.down(2))
	r.clock.Add(10 * time.Minute)
	if err := r.startDigests(t.Context()); err != nil {
		t.Fatal(err)
	}
	waiting, _, err := r.alerts.List(t.Context(), states[Pending], 1, "")
	if err != nil || len(waiting) != 1 {
		t.Fatal(waiting, err)
	}
	if err := r.deliver(t.Context(), waiting[0]); err != nil {
		t.Fatal(err)
	}
	r.work(t)
	if err := r.discarded(t.Context(), waiting[0], errors.New("it is too old")); err != nil {
		t.Fatal(err)
	}
	r.clock.Add(holdAgain + time.Minute)
	r.work(t)
	if n := r.countOf("a", Digest); n != 1 {
		t.Errorf("there were %d digests: %s", n, r.receivers["a"].said())
	}
	if done, err := r.alerts.Get(t.Context(), waiting[0].ID); err != nil || done.State != states[Delivered] {
		t.Errorf("it is listed as %+v, %v", done, err)
	}
}

// What a digest that is given up holds is in a later one: beginnings, and ends as such.
func TestWhatADigestHeldThatIsGivenUpIsInALaterOne(t *testing.T) {
	t.Parallel()
	r := setup(t, onlyA)
	r.tell(t, r.down(0), r.down(1), r.down(2), r.down(3), r.down(4))
	r.clock.Add(10 * time.Minute)
	r.work(t)
	first := r.receivers["a"].messages()[2]
	r.tell(t, r.up(2), r.up(3), r.down(5), r.down(6), r.down(7), r.down(8))
	r.clock.Add(10 * time.Minute)
	r.receivers["a"].fail(func(m Message) error { return Refused(errors.New("403")) })
	r.work(t)
	r.receivers["a"].fail(nil)
	r.tell(t, r.up(7))
	r.clock.Add(holdAgain)
	r.work(t)
	messages := slices.DeleteFunc(r.receivers["a"].messages(), func(m Message) bool { return m.State != Digest })
	last := messages[len(messages)-1]
	if len(messages) != 2 || last.Title != "2 alerts that were held back; 2 alerts are over" || last.Text != "1 of those held back is over." || last.ID == first.ID {
		t.Errorf("it was told %+v of %s", last, r.receivers["a"].said())
	}
}

// A digest of a channel that is taken out of the settings is given up. When the channel
// is back, so are its digests.
func TestDigestsOfAChannelThatWasAwayGoOn(t *testing.T) {
	t.Parallel()
	r := setup(t, onlyA)
	r.tell(t, r.down(0), r.down(1), r.down(2))
	r.clock.Add(10 * time.Minute)
	if err := r.startDigests(t.Context()); err != nil {
		t.Fatal(err)
	}
	policy := r.rules.Load().Policy
	without := policy
	without.Channels, without.Rules = policy.Channels[1:], nil
	for _, p := range []Policy{without, policy} {
		if err := r.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
		r.work(t)
	}
	r.clock.Add(holdAgain + time.Second)
	r.work(t)
	if n := r.countOf("a", Digest); n != 1 {
		t.Errorf("there were %d digests: %s", n, r.receivers["a"].said())
	}
}

// The clock steps while alerts are held, a reminder waits and a receiver wants to be left
// alone: nothing is lost, and within an hour and the window all is told.
func TestAClockThatStepsMutesNothing(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{-time.Hour, -24 * time.Hour, time.Hour, 24 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			r := setup(t, onlyA)
			r.tell(t, r.down(0), r.down(1), r.down(2), r.down(3))
			r.clock.Add(step)
			for n := range 4 {
				r.tell(t, r.down(10+n))
			}
			for range 70 {
				r.clock.Add(time.Minute)
				r.work(t)
			}
			told := 0
			for _, m := range r.receivers["a"].messages() {
				switch m.State {
				case Raised:
					told++
				case Digest:
					var n int
					_, _ = fmt.Sscan(m.Title, &n)
					told += n
				}
			}
			if told != 8 {
				t.Errorf("%d of 8 were told: %s", told, r.receivers["a"].said())
			}
			r.clock.Add(time.Hour)
			r.work(t)
			if r.countOf("a", Reminder) == 0 {
				t.Errorf("nobody was reminded: %s", r.receivers["a"].said())
			}
		})
	}
}

// Quiet hours end twice when the clock is set back over their end.
func TestQuietHoursThatEndTwiceAreToldOfTwice(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		onlyA(p)
		p.QuietHours = &QuietHours{From: "23:00", Until: "07:00"}
	})
	end := time.Date(2026, 11, 27, 7, 0, 0, 0, time.UTC)
	for n := range 2 {
		r.clock.Set(end.Add(-time.Hour))
		r.tell(t, r.down(n))
		r.clock.Set(end.Add(time.Second))
		r.work(t)
		r.clock.Add(endsWithin)
		r.work(t)
	}
	if n := r.countOf("a", Digest); n != 2 {
		t.Errorf("there were %d digests: %s", n, r.receivers["a"].said())
	}
}

// A receiver that wanted half a minute isn't left alone for longer because of the clock.
func TestAPauseIsNoLongerByTheClock(t *testing.T) {
	t.Parallel()
	r := setup(t, onlyA)
	r.receivers["a"].fail(func(Message) error { return Later(errors.New("429"), 30*time.Second) })
	r.tell(t, r.down(0))
	r.receivers["a"].fail(nil)
	r.clock.Add(-2 * time.Hour)
	r.tell(t, r.down(1))
	r.clock.Add(time.Second)
	r.work(t)
	if n := r.countOf("a", Raised); n != 2 {
		t.Errorf("%d of 2 were told: %s", n, r.receivers["a"].said())
	}
}

// What a clock wrote that was years ahead is reminded of all the same.
func TestRemindersOfAClockThatWasAheadAreDue(t *testing.T) {
	t.Parallel()
	r := setup(t, onlyA)
	now := r.clock.Now()
	r.clock.Add(10 * 365 * 24 * time.Hour)
	r.tell(t, r.down(0))
	r.clock.Set(now)
	r.work(t)
	if n := r.countOf("a", Reminder); n != 1 {
		t.Errorf("there were %d reminders", n)
	}
}

// The ends of a storm that come one by one for long are told in a digest a minute.
func TestEndsOneByOneAreADigestAMinute(t *testing.T) {
	t.Parallel()
	r := setup(t, onlyA)
	for n := range 60 {
		r.tell(t, r.down(n))
	}
	r.clock.Add(10 * time.Minute)
	r.work(t)
	r.work(t)
	for n := range 58 {
		r.tell(t, r.up(2+n))
		r.clock.Add(3 * time.Second)
	}
	r.clock.Add(2 * endsWithin)
	r.work(t)
	if n := r.countOf("a", Digest); n < 2 || n > 5 { // of the beginnings, and of 3 minutes
		t.Errorf("there were %d digests", n)
	}
}
