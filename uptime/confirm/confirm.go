// Package confirm decides when something is down: not by one look, but by several in a
// short time, and when it is up again. It also tells what goes up and down all the time.
//
// It is a state machine without a clock: what is known, and a look, give what is known
// then, what has changed, and when to look again.
package confirm

import (
	"slices"
	"time"

	"manus/docstore"
)

// Verdict is what a look has shown.
type Verdict int

const (
	// Void is of a look that says nothing of what was looked at: whoever looked was cut off.
	Void Verdict = iota
	Good
	Bad
)

// Policy says how sure one has to be.
type Policy struct {
	// Again is when it is looked at again after a bad look, counted from that one. It is down
	// when all these are bad too. Without any it is down at once.
	Again []time.Duration
	// UpAfter is how many good looks in a row it takes to be up again; at least 1.
	UpAfter int
}

// State is what is known.
type State struct {
	// Down is set while it is down, Since is since when it is that or up: the first look of
	// those that have shown it. It is zero before the first good or confirmed look.
	Down  bool          `json:"down,omitempty"`
	Since docstore.Time `json:"since,omitzero"`

	// First is the first look of those in a row that speak against the state, Looks is how
	// many they are.
	First docstore.Time `json:"first,omitzero"`
	Looks int           `json:"looks,omitempty"`

	// Changes are when it changed lately; Flapping is since when it does so all the time.
	Changes  []docstore.Time `json:"changes,omitempty"`
	Flapping docstore.Time   `json:"flapping,omitzero"`
}

// Something flaps when it has changed so often within such a time, until it hasn't for
// another.
const (
	flapChanges = 6 // three outages
	flapWithin  = time.Hour
	flapQuiet   = 30 * time.Minute
)

// Step is what a look has brought about.
type Step struct {
	WentDown, WentUp         bool
	BeganToFlap, EndedToFlap bool
	// Again is when to look again; zero for in turn.
	Again time.Time
}

// Look is what is known after a look that began at a moment, and what has changed by it.
// The state before stays as it was.
func (s State) Look(v Verdict, at time.Time, p Policy) (State, Step) {
	var step Step
	if v == Void { // it may be that those before were too
		s.First, s.Looks = docstore.Time{}, 0
		return s, step
	}
	switch {
	case (v == Bad) == s.Down && !s.Since.IsZero(): // as it was
		s.First, s.Looks = docstore.Time{}, 0
	case v == Good && !s.Down: // the first look of all
		s.Since, s.First, s.Looks = docstore.At(at), docstore.Time{}, 0
	default:
		s = s.against(at, p, &step)
	}
	s.flap(at, &step)
	return s, step
}

// against counts a look that speaks against the state, and changes that when there are
// enough.
func (s State) against(at time.Time, p Policy, step *Step) State {
	if s.Looks == 0 || at.Before(s.First.Time) { // or the clock was set back
		s.First = docstore.At(at)
	}
	s.Looks++
	enough, pause := 1+len(p.Again), time.Duration(0)
	if s.Down {
		enough = max(1, p.UpAfter)
	}
	if s.Looks < enough {
		if len(p.Again) > 0 {
			pause = p.Again[min(s.Looks, len(p.Again))-1]
			step.Again = later(s.First.Add(pause), at)
		}
		return s
	}
	known := !s.Since.IsZero()
	s.Down = !s.Down
	step.WentDown, step.WentUp = s.Down, !s.Down
	if known {
		s.Changes = append(slices.Clone(s.Changes), docstore.At(at))
		s.Changes = s.Changes[max(0, len(s.Changes)-flapChanges):]
	}
	s.Since, s.First, s.Looks = s.First, docstore.Time{}, 0
	return s
}

// flap tells whether it changes all the time. Changes that are yet to come are of a clock that
// was set back, and are forgotten.
func (s *State) flap(at time.Time, step *Step) {
	s.Changes = slices.DeleteFunc(slices.Clone(s.Changes), func(change docstore.Time) bool { return change.After(at) })
	n := len(s.Changes)
	switch {
	case s.Flapping.IsZero() && n == flapChanges && at.Sub(s.Changes[0].Time) < flapWithin:
		s.Flapping = docstore.At(at)
		step.BeganToFlap = true
	case !s.Flapping.IsZero() && s.Looks == 0 && (n == 0 || at.Sub(s.Changes[n-1].Time) >= flapQuiet):
		s.Flapping, s.Changes = docstore.Time{}, nil
		step.EndedToFlap = true
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
