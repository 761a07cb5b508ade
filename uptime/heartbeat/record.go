// Package heartbeat tells how a job is that reports by itself: by what it has said, and by
// when it should have said something. It is a calculation without a clock and without a
// store: a record and a ping give the next record, and a schedule, a record and a moment
// say how the job is.
package heartbeat

import (
	"slices"
	"time"

	"manus/docstore"
)

// Signal is what a ping says of a job.
type Signal string

// The signals.
const (
	Start   Signal = "start"
	Success Signal = "success"
	Fail    Signal = "fail"
)

// Ping is something that a job has said.
type Ping struct {
	// Seq counts a job's pings, by when they came.
	Seq    int64         `json:"seq"`
	At     docstore.Time `json:"at"`
	Signal Signal        `json:"signal"`
	// Status is the exit status that it came with; 0 where it came without.
	Status int64 `json:"status,omitempty"`
	// Run names a run of the job, where its pings do.
	Run string `json:"run,omitempty"`
	// Took is how long the run was that it ends, in milliseconds, where its start is known.
	Took int64 `json:"took,omitempty"`
	// Overtaken is set of a start that came after the end of its run.
	Overtaken bool   `json:"overtaken,omitempty"`
	From      string `json:"from,omitempty"` // the address
	// Line is the first line of what it said, and Size how much is kept of that, in bytes.
	Line string `json:"line,omitempty"`
	Size int64  `json:"size,omitempty"`
}

// Run is a run of the job that hasn't ended yet.
type Run struct {
	Name string        `json:"name,omitempty"`
	At   docstore.Time `json:"at"`
}

// Record is what a job has said. The zero value is that of one that has said nothing.
type Record struct {
	// Schedule is what its pings are held against, and Since is since when: what was due by
	// another one before isn't overdue by this one.
	Schedule string        `json:"schedule,omitempty"`
	Since    docstore.Time `json:"since,omitzero"`

	Seq   int64         `json:"seq,omitempty"` // of the last ping
	Good  docstore.Time `json:"good,omitzero"` // the last success
	Ended docstore.Time `json:"ended,omitzero"`
	// Failed is set while the last run that has ended failed.
	Failed bool `json:"failed,omitempty"`
	// Lone is set when the last end came without a start.
	Lone bool `json:"lone,omitempty"`
	// Running are the runs under way, the oldest first; Over are names of those that have ended.
	Running []Run    `json:"running,omitempty"`
	Over    []string `json:"over,omitempty"`
	// Pings are the last ones, the newest last.
	Pings []Ping `json:"pings,omitempty"`
}

// Bounds of a record.
const (
	MaxPings   = 30
	maxRunning = 20
	maxOver    = 20
	// overtaken is for how long after a run's end its start may come: as long as
	// "curl --retry 5" tries.
	overtaken = 45 * time.Second
)

// Take adds a ping, and returns it with what follows from the ones before.
func (r *Record) Take(p Ping) Ping {
	r.Seq++
	p.Seq = r.Seq
	if p.Signal == Start {
		if p.Overtaken = r.isOver(p); !p.Overtaken {
			r.begin(p)
		}
	} else {
		p.Took = r.end(p)
	}
	r.Pings = append(r.Pings, p)
	r.Pings = r.Pings[max(0, len(r.Pings)-MaxPings):]
	return p
}

// isOver tells whether a start is of a run that has ended already, as two pings that are sent
// one after the other may come in the other order.
func (r *Record) isOver(p Ping) bool {
	if p.Run != "" {
		return slices.Contains(r.Over, p.Run)
	}
	since := p.At.Sub(r.Ended.Time)
	return r.Lone && 0 <= since && since < overtaken
}

// begin notes a run. Of those without a name, or of one name, the oldest counts: who is started
// again and again, and never ends, is found too.
func (r *Record) begin(p Ping) {
	if !slices.ContainsFunc(r.Running, func(run Run) bool { return run.Name == p.Run }) && len(r.Running) < maxRunning {
		r.Running = append(r.Running, Run{p.Run, p.At})
	}
}

// end notes that a run has ended, and returns how long it took in milliseconds, if that is
// known. A ping that names no run ends all.
func (r *Record) end(p Ping) (took int64) {
	ended := func(run Run) bool { return p.Run == "" || run.Name == p.Run || run.Name == "" }
	i := slices.IndexFunc(r.Running, ended)
	if r.Lone = i < 0; !r.Lone {
		took = max(0, p.At.Sub(r.Running[i].At.Time).Milliseconds())
		r.Running = slices.DeleteFunc(r.Running, ended)
	}
	if p.Run != "" {
		r.Over = append(r.Over, p.Run)
		r.Over = r.Over[max(0, len(r.Over)-maxOver):]
	}
	r.Ended, r.Failed = p.At, p.Signal == Fail
	if !r.Failed {
		r.Good = p.At
	}
	return took
}

// Last is the last ping; the zero value where there was none.
func (r Record) Last() Ping {
	if len(r.Pings) == 0 {
		return Ping{}
	}
	return r.Pings[len(r.Pings)-1]
}

// Expect has the pings be held against a schedule from now on. It tells whether that is another
// one.
func (r *Record) Expect(s *Schedule, now time.Time) bool {
	if r.Schedule == s.String() {
		return false
	}
	if r.Schedule != "" {
		r.Since = docstore.At(now)
	}
	r.Schedule = s.String()
	return true
}

// Before has nothing be later than now, as it was noted by a clock that has been set back since.
func (r Record) Before(now time.Time) Record {
	earliest := func(t docstore.Time) docstore.Time {
		if t.After(now.Add(skew)) {
			return docstore.At(now)
		}
		return t
	}
	r.Good, r.Ended, r.Since = earliest(r.Good), earliest(r.Ended), earliest(r.Since)
	r.Running = slices.Clone(r.Running)
	for i := range r.Running {
		r.Running[i].At = earliest(r.Running[i].At)
	}
	return r
}

// skew is how far the clocks of copies may differ.
const skew = time.Minute
