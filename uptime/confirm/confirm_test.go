package confirm

import (
	"math/rand/v2"
	"testing"
	"time"
)

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	policy = Policy{Again: []time.Duration{5 * time.Second, 15 * time.Second, 35 * time.Second}, UpAfter: 2}
)

// watched looks in turn each minute, and when it is told to.
type watched struct {
	State
	at, turn time.Time
}

func (w *watched) look(v Verdict) (step Step) {
	at := w.at
	w.State, step = w.Look(v, at, policy)
	if w.at = step.Again; w.at.IsZero() {
		for !w.turn.After(at) {
			w.turn = w.turn.Add(time.Minute)
		}
		w.at = w.turn
		w.turn = w.turn.Add(time.Minute)
	}
	return step
}

func TestAnOutageIsConfirmedWithinThirtyFiveSecondsAndBeginsWithItsFirstLook(t *testing.T) {
	t.Parallel()
	s, _ := State{}.Look(Good, noon, policy)
	began := noon.Add(time.Minute)
	at := began
	for i, want := range []time.Duration{5 * time.Second, 15 * time.Second, 35 * time.Second} {
		var step Step
		s, step = s.Look(Bad, at, policy)
		if step.WentDown || !step.Again.Equal(began.Add(want)) {
			t.Fatalf("look %d: %+v", i, step)
		}
		at = step.Again
	}
	s, step := s.Look(Bad, at, policy)
	if !step.WentDown || !s.Down || !s.Since.Equal(began) || !step.Again.IsZero() {
		t.Fatalf("%+v %+v", s, step)
	}
	s, step = s.Look(Bad, at.Add(time.Minute), policy)
	if step != (Step{}) {
		t.Errorf("it is down still: %+v", step)
	}
	back := at.Add(2 * time.Minute)
	if s, step = s.Look(Good, back, policy); step.WentUp || !step.Again.Equal(back.Add(5*time.Second)) {
		t.Errorf("up after one look: %+v", step)
	}
	if s, step = s.Look(Good, step.Again, policy); !step.WentUp || s.Down || !s.Since.Equal(back) {
		t.Errorf("%+v %+v", s, step)
	}
}

// A look that took long is followed by the next at once, not by one in the past.
func TestALookIsNeverInThePast(t *testing.T) {
	t.Parallel()
	s, _ := State{}.Look(Good, noon, policy)
	s, _ = s.Look(Bad, noon, policy)
	at := noon.Add(40 * time.Second)
	if _, step := s.Look(Bad, at, policy); step.Again.Before(at) {
		t.Errorf("%+v", step)
	}
}

// Whatever is seen: it changes when enough looks in a row speak against what is known, and
// then only.
func TestEverySequenceOfTwelveLooks(t *testing.T) {
	t.Parallel()
	const n = 12
	total := 1
	for range n {
		total *= 3
	}
	for code := range total {
		var s State
		down, row := false, 0
		known := false
		for i, c := 0, code; i < n; i, c = i+1, c/3 {
			v := Verdict(c % 3)
			at := noon.Add(time.Duration(i) * time.Minute)
			wentDown, wentUp := false, false
			switch {
			case v == Void:
				row = 0
			case v == Good && !down:
				known, row = true, 0
			case v == Bad && down:
				row = 0
			default:
				row++
				if v == Bad && row == 4 {
					down, known, row, wentDown = true, true, 0, true
				} else if v == Good && row == 2 {
					down, row, wentUp = false, 0, true
				}
			}
			var step Step
			s, step = s.Look(v, at, policy)
			if s.Down != down || s.Since.IsZero() == known || step.WentDown != wentDown || step.WentUp != wentUp {
				t.Fatalf("sequence %d, look %d: %+v %+v, want down %v, known %v", code, i, s, step, down, known)
			}
		}
	}
}

// One look in a hundred fails by chance, on 10,000 monitors for a day each.
func TestWhatFailsByChanceIsNoOutage(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	outages, looks := 0, 0
	for range 10_000 {
		var s State
		for minute := range 24 * 60 {
			at := noon.Add(time.Duration(minute) * time.Minute)
			for !at.IsZero() {
				v := Good
				if r.IntN(100) == 0 {
					v = Bad
				}
				looks++
				var step Step
				s, step = s.Look(v, at, policy)
				if step.WentDown {
					outages++
				}
				at = step.Again
			}
		}
	}
	if outages > 1 || looks < 14_500_000 {
		t.Errorf("%d outages in %d looks", outages, looks)
	}
}

func TestWhatGoesUpAndDownAllTheTimeFlapsUntilItIsQuiet(t *testing.T) {
	t.Parallel()
	w := watched{at: noon, turn: noon}
	w.look(Good)
	var began, ended, changes int
	note := func(step Step) {
		if step.BeganToFlap {
			began++
		}
		if step.EndedToFlap {
			ended++
		}
		if step.WentDown || step.WentUp {
			changes++
		}
	}
	for range 5 {
		for range 4 {
			note(w.look(Bad))
		}
		for range 2 {
			note(w.look(Good))
		}
	}
	if began != 1 || ended != 0 || changes != 10 {
		t.Fatalf("it began to flap %d times and ended %d times, in %d changes", began, ended, changes)
	}
	quiet := w.at
	for w.at.Before(quiet.Add(29 * time.Minute)) {
		note(w.look(Good))
	}
	if ended != 0 {
		t.Fatal("it ended too soon")
	}
	for range 3 {
		note(w.look(Good))
	}
	if ended != 1 || !w.Flapping.IsZero() {
		t.Errorf("it ended to flap %d times: %+v", ended, w.State)
	}
	for range 4 {
		note(w.look(Bad))
	}
	if changes != 11 || began != 1 {
		t.Errorf("one outage more: %d changes, flaps %d times", changes, began)
	}
}

// A clock that is set back by a day while an outage is confirmed doesn't put that off.
func TestAClockThatIsSetBackPutsNothingOff(t *testing.T) {
	t.Parallel()
	s, _ := State{}.Look(Good, noon, policy)
	s, _ = s.Look(Bad, noon.Add(time.Minute), policy)
	yesterday := noon.AddDate(0, 0, -1)
	s, step := s.Look(Bad, yesterday, policy)
	for looks := 2; !step.WentDown; looks++ {
		if wait := step.Again.Sub(yesterday); looks > 4 || wait < 0 || wait > time.Minute {
			t.Fatalf("after %d looks the next is in %s", looks, wait)
		}
		s, step = s.Look(Bad, step.Again, policy)
	}
	if !s.Since.Equal(yesterday) {
		t.Errorf("it is down since %s", s.Since)
	}
}

// What flaps by a clock that was ahead of its time is quiet again at once when that is set
// right, as nobody is told of it meanwhile.
func TestFlappingOfAClockThatWasAheadEnds(t *testing.T) {
	t.Parallel()
	ahead := noon.AddDate(1, 0, 0)
	w := watched{at: ahead, turn: ahead}
	w.look(Good)
	for range 3 {
		for range 4 {
			w.look(Bad)
		}
		for range 2 {
			w.look(Good)
		}
	}
	if w.Flapping.IsZero() {
		t.Fatal("it doesn't flap")
	}
	w.at = noon
	if step := w.look(Good); !step.EndedToFlap || !w.Flapping.IsZero() || len(w.Changes) != 0 {
		t.Errorf("%+v %+v", step, w.State)
	}
}
