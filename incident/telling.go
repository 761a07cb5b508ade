package incident

import (
	"slices"
	"time"
)

// Telling is when people are told of updates.
type Telling struct {
	// Together is the time whose updates are told as one, counted from its first update.
	Together time.Duration `yaml:"together"`
	// AutomaticAfter is how long an outage lasts before people are told of what no person has
	// written to.
	AutomaticAfter time.Duration `yaml:"automatic_after"`
}

// begun is when it was first told of, which isn't corrected.
func (i Incident) begun() time.Time { return i.Updates[0].At.Time }

// At is when an update can be told at the earliest.
func (t Telling) At(i Incident, u Update) time.Time {
	at := u.At.Time
	if t.Together > 0 {
		at = i.begun().Add(time.Duration(t.window(i, u)+1) * t.Together)
	}
	if after := i.begun().Add(t.AutomaticAfter); u.Automatic && after.After(at) {
		return after
	}
	return at
}

// window is in which of the times an update was.
func (t Telling) window(i Incident, u Update) int64 {
	return int64(u.At.Sub(i.begun()) / t.Together)
}

// together tells whether two updates are told as one.
func (t Telling) together(i Incident, a, b Update) bool {
	return a.ID == b.ID || t.Together > 0 && t.window(i, a) == t.window(i, b)
}

// News are the updates that one stands for once its time has come, the newest first, and
// those before them; none where another one tells of it, or nobody is told. What is told by a
// person tells of what the monitor has found before.
func (t Telling) News(i Incident, id string) (news, before []Update) {
	k := slices.IndexFunc(i.Updates, func(u Update) bool { return u.ID == id })
	if k < 0 || !t.counts(i, k) {
		return nil, nil
	}
	told := i.Updates[k]
	for later := k + 1; later < len(i.Updates); later++ {
		if t.counts(i, later) && (t.together(i, i.Updates[later], told) || told.Automatic && !i.Updates[later].Automatic) {
			return nil, nil
		}
	}
	for _, u := range slices.Backward(i.Updates[:k+1]) {
		if len(before) == 0 && t.together(i, u, told) {
			news = append(news, u)
		} else {
			before = append(before, u)
		}
	}
	return news, before
}

// counts tells whether people are told of an update at all: a person's, and a monitor's of an
// outage that a person has written to by then, or that has lasted long enough.
func (t Telling) counts(i Incident, k int) bool {
	u := i.Updates[k]
	if !u.Automatic || slices.ContainsFunc(i.Updates[:k], func(u Update) bool { return !u.Automatic }) {
		return true
	}
	end := u.At.Time
	if u.Status != Resolved {
		next := k + 1
		for next < len(i.Updates) && i.Updates[next].Status != Resolved && i.Updates[next].Automatic {
			next++
		}
		if next == len(i.Updates) {
			return true // it goes on; its time hasn't come before
		}
		if !i.Updates[next].Automatic {
			return true
		}
		end = i.Updates[next].At.Time
	}
	return end.Sub(i.begun()) >= t.AutomaticAfter
}
