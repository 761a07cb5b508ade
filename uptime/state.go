package uptime

import (
	"fmt"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/internal/timeline"
	"manus/language"
	"manus/lease"
	"manus/uptime/confirm"
)

// State is what is known of a monitor. It is one document: that a monitor goes down, the
// alert of it and its incident are one change.
type State struct {
	ID    string      `json:"_id"`
	Fence lease.Fence `json:"fence"`
	// Since is since when it is watched, and later since when it was first known to be up or down.
	Since   docstore.Time `json:"since"`
	Confirm confirm.State `json:"confirm"`
	// Outage is how many there were, with the one that is on; Tried are the looks that have
	// confirmed that one. Told is set when people were told of it.
	Outage int    `json:"outage,omitempty"`
	Tried  []Look `json:"tried,omitempty"`
	Told   bool   `json:"told,omitempty"`
	// Here is how the server's own place sees it, where that is another than what holds by
	// most.
	Here confirm.State `json:"here,omitzero"`
	// FlapsTold is since when it flaps, while people were told that it does.
	FlapsTold docstore.Time `json:"flaps_told,omitzero"`
	// Heard is the last ping of a heartbeat that the last change was by, or had before it.
	Heard int64 `json:"heard,omitempty"`

	// Down are the times it was down, and Days what was folded of them.
	Down timeline.Spans `json:"down,omitempty"`
	Days []timeline.Day `json:"days,omitempty"`
	// Pauses are when it wasn't watched as somebody wished, or as it wasn't in the list; the last
	// may not be over. Paused is set while an operator wishes it, beside the list.
	Pauses timeline.Spans `json:"pauses,omitempty"`
	Paused bool           `json:"paused,omitempty"`
	// Muted is up to when nobody is told that it goes down, as an operator wishes.
	Muted docstore.Time `json:"muted,omitzero"`
	// Unseen are when none of the places that watch it was heard of.
	Unseen timeline.Spans `json:"unseen,omitempty"`

	// Burning is of what people were told about its error budget, and not that it is over.
	Burning []burning `json:"burning,omitempty"`

	Pending      []Alert       `json:"pending,omitempty"`
	PendingSince docstore.Time `json:"pending_since,omitzero"`
}

// DocumentID is the monitor's id.
func (st State) DocumentID() string { return st.ID }

func (st *State) outbox() audit.Outbox[Alert] {
	return audit.Outbox[Alert]{Events: &st.Pending, Since: &st.PendingSince}
}

var stateSpec = docstore.Spec{Collection: "monitor_states", Of: State{}, Indexes: []docstore.Index{audit.PendingIndex}}

// Look is a look that has found a monitor down.
type Look struct {
	At    docstore.Time `json:"at"` // when it had
	Error language.Text `json:"error"`
	Place string        `json:"place,omitempty"` // where from, if there are several
	Said  string        `json:"said,omitempty"`  // by a heartbeat's job, in a line
}

// Bounds of a state.
const (
	maxSpans  = 100
	maxDays   = 100 // that were folded, longer than the longest window
	maxPauses = 100
)

// Alert is something to tell of a monitor, or of this program itself.
type Alert struct {
	ID         string        `json:"id"`
	Kind       string        `json:"kind"`
	Occurrence string        `json:"occurrence"`
	Over       bool          `json:"over,omitempty"`
	At         docstore.Time `json:"at"`
	Title      language.Text `json:"title"`
	Text       language.Text `json:"text"`
	Looks      []Look        `json:"looks,omitempty"`    // which have confirmed it
	Severity   Severity      `json:"severity,omitempty"` // of SLOBurning
}

// DocumentID is the alert's id.
func (a Alert) DocumentID() string { return a.ID }

// The kinds of alerts.
const (
	MonitorDown     = "monitor.down"     // has an end
	MonitorFlapping = "monitor.flapping" // has an end
	NetworkDown     = "network.down"     // of this program; has an end
	ProbeSilent     = "probe.silent"     // of a place; has an end
	StatusDiffers   = "status.differs"   // of a place, of what strangers are shown; has an end
	SLOBurning      = "slo.burning"      // has an end
)

// around is what a look at a monitor is judged by, beside the monitor.
type around struct {
	now time.Time
	// excused is set during maintenance of it, and while all monitors are muted.
	excused bool
	// bad is set when the look has found it down; began is when the look did, and failed when the
	// first was over of those in a row that did, by the schedule's clock.
	bad           bool
	began, failed time.Duration
	age           time.Duration // how long ago others may have seen what they tell
	heard         int64         // see State
	parents
	past
}

// parents are the monitors above one.
type parents struct {
	are  bool // there are any that are watched
	down bool // one is, or may be
	// good is the last time at which all were seen to be up, and up since when they are, by the
	// schedule's clock.
	good, up time.Duration
}

// areCause tells whether the parents are or may be why a monitor is down. They aren't if all
// were up since its first look that failed; and if that has lasted for as long as it takes to
// confirm an outage, as what was down with them may take a moment to come back.
func (a around) areCause(m Monitor) bool {
	return a.are && (a.down || a.good <= a.failed || a.began < a.up+m.confirming()+a.age)
}

// begin makes the state a monitor's if it is nobody's yet, and tells whether it was.
func (st *State) begin(m Monitor, now time.Time) (first bool) {
	if first = st.Since.IsZero(); first {
		st.ID, st.Since = m.ID, docstore.At(now)
	}
	return first
}

// past is what is to be known of the time before a look, to note how long it was down.
type past struct {
	// lasted is for how long it is down at least, by a clock that can't be set.
	lasted time.Duration
	// gaps and planned are what doesn't count of its outages, where some are to be folded.
	gaps, planned timeline.Spans
}

// change notes what a look has changed; looks are those that have confirmed it.
func (st *State) change(next confirm.State, step confirm.Step, looks []Look, p past) {
	if st.neverKnown() && next.Since.After(st.Since.Time) {
		st.Since = next.Since // what was before is neither known nor unknown
	}
	st.Confirm = next
	switch {
	case step.WentDown:
		st.Outage++
		st.Tried = looks
		st.Down = st.Down.Open(next.Since.Time)
		st.Down, st.Days = timeline.History{Down: st.Down, Days: st.Days, Unknown: p.gaps.Or(st.Pauses...).Or(st.Unseen...), Excused: p.planned}.Fold(maxSpans, maxDays)
	case step.WentUp:
		st.Down = st.Down.Close(next.Since.Time, max(p.lasted, time.Millisecond))
	}
}

// settle has people told of what they aren't told of yet, as far as they may be, and of its
// end where they were told of its beginning.
func (st *State) settle(m Monitor, a around) bool {
	before := len(st.Pending)
	quiet := a.excused || st.Pauses.IsOpen() || a.now.Before(st.Muted.Time)
	flaps := !st.Confirm.Flapping.IsZero()
	switch {
	case st.Confirm.Down && !st.Told && !quiet && !flaps && a.bad && !a.areCause(m):
		st.Told = true
		st.note(downAlert(m, *st, a.now), a.now)
	case !st.Confirm.Down && st.Told:
		st.Told = false
		st.note(upAlert(m, *st, a.now), a.now)
	}
	switch {
	case flaps && st.FlapsTold.IsZero() && !quiet:
		st.FlapsTold = st.Confirm.Flapping
		st.note(flapAlert(m, *st, a.now), a.now)
	case !flaps && !st.FlapsTold.IsZero():
		st.note(calmAlert(m, st.FlapsTold, *st, a.now), a.now)
		st.FlapsTold = docstore.Time{}
	}
	return len(st.Pending) != before
}

// history is what figures are worked out from; gaps are when nobody knew, and excused is what
// doesn't count.
func (st State) history(gaps, excused timeline.Spans) timeline.History {
	h := timeline.History{Since: st.Since.UnixMilli(), Down: st.Down, Days: st.Days, Unknown: gaps.Or(st.Pauses...).Or(st.Unseen...), Excused: excused}
	if st.Since.IsZero() || st.neverKnown() {
		h.Since = timeline.End
	}
	return h
}

// neverKnown tells whether it was never seen to be up or down, such as a heartbeat before its
// first ping. What was and is out of the list for a time has a pause of that.
func (st State) neverKnown() bool {
	return st.Confirm.Since.IsZero() && st.Outage == 0 && len(st.Pauses) == 0 && len(st.Unseen) == 0
}

// pause notes that it isn't watched from now on, or is again.
func (st *State) pause(paused bool, now time.Time) {
	if st.Pauses = st.Pauses.Close(now, 0); paused {
		st.Pauses = st.Pauses.Open(now)
	}
	st.Pauses = st.Pauses[max(0, len(st.Pauses)-maxPauses):]
}

func (st *State) note(a Alert, now time.Time) {
	a.ID = docstore.NewID()
	st.outbox().Note(a, now)
}

// occurrence names an outage: a monitor that was made anew begins a count of its own.
func (st State) occurrence() string {
	return fmt.Sprintf("%d-%d", st.Since.Unix(), st.Outage)
}
