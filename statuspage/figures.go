package statuspage

import (
	"math"
	"strconv"
	"time"

	"manus/design"
)

// Status is how a component is, in the words of Statuspage's API, and one more.
type Status string

// The statuses, the best first; of several the last one counts.
const (
	Operational      Status = "operational"
	Unknown          Status = "unknown" // nobody looks; Statuspage has no such word
	UnderMaintenance Status = "under_maintenance"
	Degraded         Status = "degraded_performance"
	PartialOutage    Status = "partial_outage"
	MajorOutage      Status = "major_outage"
)

var statuses = []Status{Operational, Unknown, UnderMaintenance, Degraded, PartialOutage, MajorOutage}

// worse is the one of two that counts.
func worse(a, b Status) Status {
	for _, s := range statuses {
		if s == a {
			return b
		}
		if s == b {
			return a
		}
	}
	return a
}

// level is how a status is drawn.
func (s Status) level() design.Level {
	return map[Status]design.Level{
		Operational: design.Up, Unknown: design.Unknown, UnderMaintenance: design.Work, Degraded: design.Degraded, PartialOutage: design.Partial, MajorOutage: design.Down,
	}[s]
}

// isTrouble tells that something doesn't work as it should.
func (s Status) isTrouble() bool { return s == Degraded || s == PartialOutage || s == MajorOutage }

// watchedStatus is how a component is by what watches it: all of it down is a major outage,
// a part of it a partial one.
func watchedStatus(watched []Watched) Status {
	var n [IsWork + 1]int
	for _, w := range watched {
		n[w.State]++
	}
	switch {
	case len(watched) == 0:
		return Operational
	case n[IsDown] == len(watched)-n[IsWork] && n[IsDown] > 0:
		return MajorOutage
	case n[IsDown] > 0:
		return PartialOutage
	case n[IsWork] > 0:
		return UnderMaintenance
	case n[IsUnknown] == len(watched):
		return Unknown
	}
	return Operational
}

// claimed is how a component is that people say has trouble.
func (s Severity) claimed() Status {
	switch s {
	case Critical:
		return MajorOutage
	case Major:
		return PartialOutage
	default:
		return Degraded
	}
}

// Day is how long something was in which state, of a day by UTC. What is left of the day was
// before it was first watched, or hasn't come yet.
type Day struct {
	Up, Down, Unknown, Work time.Duration
	// Unseen is the part of Down in which nothing was watched: people tell of it.
	Unseen time.Duration
	// Trouble is for how long there was an incident and it wasn't down. That is a part of the rest.
	Trouble time.Duration
}

// known is for how long it was watched and not worked at.
func (d Day) known() time.Duration { return d.Up + d.Down }

// isWhole tells that there is nothing to tell of it: it was up as long as it was watched.
func (d Day) isWhole() bool { return d.Down+d.Work+d.Unknown+d.Trouble == 0 }

// add adds up days.
func (d Day) add(o Day) Day {
	return Day{d.Up + o.Up, d.Down + o.Down, d.Unknown + o.Unknown, d.Work + o.Work, d.Unseen + o.Unseen, d.Trouble + o.Trouble}
}

// How much of a day has to be down for a bar to stand higher.
const (
	muchOfADay = 30 * time.Minute
	mostOfADay = 4 * time.Hour
)

// level is how the day is drawn.
func (d Day) level() design.Level {
	switch {
	case d.Down >= mostOfADay:
		return design.Down
	case d.Down >= muchOfADay:
		return design.Partial
	case d.Down > 0 || d.Trouble > 0:
		return design.Degraded
	case d.Unknown > d.Up && d.Unknown > d.Work:
		return design.Unknown
	case d.Work > d.Up:
		return design.Work
	case d.Up > 0:
		return design.Up
	}
	return design.None
}

// percent is for how much of the known time it was up, with two digits behind the point or, close
// to 100, three. It is cut off, never rounded up: 100 is said only of what was never down.
// Empty where nothing is known by watching, and of what was never down and yet had an incident.
func (d Day) percent() string {
	known := d.known()
	switch {
	case known <= d.Unseen, d.Down <= 0 && d.Trouble > 0:
		return ""
	case d.Down <= 0:
		return "100%"
	}
	ratio := float64(d.Up) / float64(known)
	thousandths := min(math.Floor(ratio*100_000), 99_999)
	digits := 2
	if thousandths > 99_900 {
		digits = 3
	}
	scale := math.Pow(10, float64(3-digits))
	return strconv.FormatFloat(math.Floor(thousandths/scale)*scale/1000, 'f', digits, 64) + "%"
}

const dayLength = 24 * time.Hour

// dayOf is the number of a moment's day, by UTC, since 1970.
func dayOf(at time.Time) int64 { return at.UnixMilli() / dayLength.Milliseconds() }
