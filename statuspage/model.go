package statuspage

import (
	"html/template"
	"time"

	"manus/internal/timeline"
	"manus/language"
)

// Model is all that there is to tell, at a moment.
type Model struct {
	Components []Component
	// Incidents are those that are open and those of the last HistoryDays, the latest first.
	Incidents []Incident
	// IncidentsSince is from when on all of those are there, if some are left out, as there are too many.
	IncidentsSince time.Time `json:",omitzero"`
	// Maintenances are those that are on, come, or were in the last HistoryDays, by when they
	// begin. One that comes again and again is several.
	Maintenances []Maintenance
	// WorksLeft tells that some that are over are left out, as there are too many.
	WorksLeft bool `json:",omitempty"`
}

// HistoryDays are how far back the page goes, today included.
const HistoryDays = 90

// Component is a part of what the page is about, as its readers know it.
type Component struct {
	ID    string
	Name  language.Text
	About language.Text // a sentence; may be empty
	Group language.Text // components that have the same stand together; may be empty
	// Watched is what is known of it by what watches it; where nothing does, it is as incidents
	// say.
	Watched []Watched
}

// Watched is how something that a component is made of is, and was.
type Watched struct {
	State   State
	History timeline.History
	// Cut and Paused are why it was unknown: nothing was watched, or it was paused.
	Cut, Paused timeline.Spans
}

// State is how something is that is watched.
type State int

// The states.
const (
	IsUnknown State = iota // nobody looks
	IsUp
	IsDown
	IsWork // maintenance
)

// Severity is how bad an incident is.
type Severity string

// The severities.
const (
	Minor    Severity = "minor"
	Major    Severity = "major"
	Critical Severity = "critical"
)

// Stage is how far people are with an incident.
type Stage string

// The stages.
const (
	Investigating Stage = "investigating"
	Identified    Stage = "identified"
	Monitoring    Stage = "monitoring"
	Resolved      Stage = "resolved"
	Postmortem    Stage = "postmortem" // what was found out afterwards
)

// Incident is trouble, with all that was said of it.
type Incident struct {
	ID         string
	Title      language.Text
	Severity   Severity
	Components []string // ids
	Updates    []Update // oldest first; there is one at least
	StartedAt  time.Time
	ResolvedAt time.Time // zero as long as it isn't
	// EarlierTimes are what was told of both before they were corrected, oldest first.
	EarlierTimes []EarlierTimes `json:",omitempty"`
	// Automatic is set for one that was opened by what watches: of its components that says
	// how they are, but for those of Named, which people have added.
	Automatic bool
	Named     []string `json:",omitempty"`
	// Former are the names of what it was of where nothing of that is listed any more.
	Former []language.Text `json:",omitempty"`
}

// Update is something that was said of an incident.
type Update struct {
	ID    string
	At    time.Time
	Stage Stage
	Text  language.Text // Markdown
	// Earlier is what it said before it was corrected, oldest first.
	Earlier []Earlier
	// Over is when an incident was over that it has resolved, where that was corrected.
	Over time.Time `json:",omitzero"`
}

// EarlierTimes are when an incident was said to have been, until that was corrected.
type EarlierTimes struct {
	StartedAt  time.Time
	ResolvedAt time.Time // zero where it wasn't resolved
	Until      time.Time
}

// Earlier is what an update said until it was corrected.
type Earlier struct {
	Text  language.Text // Markdown
	Until time.Time
}

// IsOver tells whether nothing more is done about it.
func (i Incident) IsOver() bool { return i.Stage() == Resolved || i.Stage() == Postmortem }

// Stage is that of the last update.
func (i Incident) Stage() Stage { return i.last().Stage }

func (i Incident) last() Update { return i.Updates[len(i.Updates)-1] }

// Maintenance is one time of a planned work.
type Maintenance struct {
	ID         string
	Series     string        // the same for all times of a work
	Again      language.Text // how it comes again, in words; empty where it doesn't
	Title      language.Text
	Text       language.Text // Markdown; may be empty
	Components []string
	From       time.Time
	Until      time.Time
	CreatedAt  time.Time
	Progress   Progress
	ChangedAt  time.Time // since when it is as Progress says
}

// Progress is how far a planned work is.
type Progress string

// The progresses, by their names in the JSON that clients of Statuspage read, which has none for
// Cancelled.
const (
	Scheduled  Progress = "scheduled"
	InProgress Progress = "in_progress"
	Completed  Progress = "completed"
	Cancelled  Progress = "cancelled" // before it began
)

// IsCancelled tells whether it won't be.
func (m Maintenance) IsCancelled() bool { return m.Progress == Cancelled }

// Markdown makes HTML of a text that may stand in a page, whatever was written.
type Markdown func(text string) template.HTML
