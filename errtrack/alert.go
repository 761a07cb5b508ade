package errtrack

import (
	"context"
	"errors"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/language"
)

// Alert is something to tell of an issue or of a job. It waits in the document of what it
// is about until it has been told.
type Alert struct {
	ID   string `json:"id"`
	Kind string `json:"kind"` // of contract, see below
	// Occurrence tells one time from the next; Over is set for its end.
	Occurrence  string        `json:"occurrence"`
	Over        bool          `json:"over,omitempty"`
	At          docstore.Time `json:"at"`
	Level       event.Level   `json:"level,omitempty"` // empty: as the kind has it
	Title       language.Text `json:"title"`
	Text        language.Text `json:"text"`
	Environment string        `json:"environment,omitempty"`
	// EventID is the event that it is about, of an issue.
	EventID string `json:"event_id,omitempty"`
	Release string `json:"release,omitempty"`
	Tags    []Tag  `json:"tags,omitempty"` // of the event that it is told by
	// Before is how many events the issue had before those that it is told of.
	Before int64 `json:"before,omitempty"`
	// Spike is the rule that has been met, of an IssueSpike.
	Spike Spike `json:"spike,omitzero"`
}

// Tag is something that an event says of where it happened.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// DocumentID is the alert's id.
func (a Alert) DocumentID() string { return a.ID }

// The kinds of alerts.
const (
	IssueNew       = "issue.new"
	IssueRegressed = "issue.regressed"
	IssueSpike     = "issue.spike"
	// CheckInMissed is of a job that did not report in time, failed, or takes too long. It has
	// an end.
	CheckInMissed = "check_in.missed"
)

// Told is an alert with what it is about.
type Told struct {
	Alert
	Subject string // an issue's short id, or a monitor's id
	Job     string // what its program calls a monitor; empty of an issue
	Project string // its name; empty when it was deleted since
	// ProjectAlso are what else the project is called: its slug and its number.
	ProjectAlso []string
}

// tellOfIssue has an alert told that waits in an issue.
func (s *Service) tellOfIssue(ctx context.Context, issue Issue, alert Alert) error {
	return s.tell(ctx, issue.Project, Told{Alert: alert, Subject: issue.Short})
}

// tellOfMonitor has an alert told that waits in a monitor.
func (s *Service) tellOfMonitor(ctx context.Context, m CronMonitor, alert Alert) error {
	return s.tell(ctx, m.Project, Told{Alert: alert, Subject: m.ID, Job: m.Slug})
}

// tell tells of what is a project's. Of one that was deleted nothing new is told, only ends;
// the store is asked, as another copy may have deleted it a moment ago.
func (s *Service) tell(ctx context.Context, project string, told Told) error {
	if s.c.Tell == nil {
		return nil
	}
	p, err := s.projects.Get(ctx, project)
	switch gone := errors.Is(err, docstore.ErrNotFound) || !p.DeletedAt.IsZero(); {
	case gone && !told.Over:
		return nil
	case gone:
		p = Project{}
	case err != nil:
		return err
	}
	if told.Project = p.Name; p.ID != "" {
		told.ProjectAlso = []string{p.Slug(), p.ID}
	}
	return s.c.Tell(ctx, told)
}
