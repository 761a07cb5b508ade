package uptime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"manus/audit"
	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/language"
)

// made is a monitor that was made by the API. That it is made, changed or deleted and the
// event that tells of it are one change of its document.
type made struct {
	ID string `json:"_id"`
	// Said is its Definition, as JSON: names of headers may have a dot.
	Said json.RawMessage `json:"said"`
	// Revision counts its changes.
	Revision int64 `json:"revision"`
	// MadeID is of the request that has made it, see [docstore.WithID].
	MadeID string `json:"made_id,omitempty"`
	// Deleted is set until everybody who is to know has been told.
	Deleted bool `json:"deleted,omitempty"`

	Pending      []audit.Event `json:"pending,omitempty"`
	PendingSince docstore.Time `json:"pending_since,omitzero"`
}

// DocumentID is the monitor's id.
func (m made) DocumentID() string { return m.ID }

func (m *made) outbox() audit.Outbox[audit.Event] {
	return audit.Outbox[audit.Event]{Events: &m.Pending, Since: &m.PendingSince}
}

var madeSpec = docstore.Spec{Collection: "monitors", Of: made{}, Indexes: []docstore.Index{audit.PendingIndex}}

// isOf tells whether the request that ctx belongs to has made it, and was cut off.
func (m made) isOf(ctx context.Context) bool {
	return !m.Deleted && m.MadeID != "" && m.MadeID == docstore.IDFrom(ctx)
}

func (m made) definition() (d Definition, err error) {
	return d, json.Unmarshal(m.Said, &d)
}

func (m made) monitor() (Monitor, error) {
	d, err := m.definition()
	if err != nil {
		return Monitor{}, err
	}
	one, problems := d.monitor(m.ID)
	if len(problems) > 0 {
		return Monitor{}, errors.New(strings.Join(problems, "\n"))
	}
	return one, nil
}

// Errors of changing monitors by the API. ErrInvalid comes as an [httpapi.Invalid] or several.
var (
	ErrInvalid     = errors.New("the monitor can't be as it is said")
	ErrExists      = errors.New("there is a monitor with this id already")
	ErrOfFile      = errors.New("the monitor is changed in manus.yaml")
	ErrOfProduct   = errors.New("the monitor is the product's own")
	ErrHasChildren = errors.New("the monitor is the parent of others")
	ErrTooMany     = errors.New("there are as many monitors as there may be")
)

// Kinds of events in the audit log.
const (
	eventMade    audit.Kind = "monitor-made"
	eventChanged audit.Kind = "monitor-changed"
	eventDeleted audit.Kind = "monitor-deleted"
)

// maxDefinition bounds what is said of a monitor, in bytes of JSON: there may be many.
const maxDefinition = 16 << 10

// Create makes a monitor, which is watched within a few seconds. It returns ErrInvalid,
// ErrExists, ErrTooMany or an error of the store.
func (s *Service) Create(ctx context.Context, id string, d Definition) error {
	set, _, err := s.current(ctx)
	if err != nil {
		return err
	}
	if set.origins[id] == OfFile {
		return ErrOfFile
	}
	if made, err := s.made.Get(ctx, id); err == nil && made.isOf(ctx) {
		return nil
	}
	if set.origins[id] == OfAPI {
		return ErrExists
	}
	if len(set.ids) >= MaxMonitors {
		return ErrTooMany
	}
	said, err := s.check(set, id, d, true)
	if err != nil {
		return err
	}
	m, err := s.made.Upsert(ctx, made{ID: id}, func(m *made, exists bool) error {
		if exists && !m.Deleted {
			return ErrExists
		}
		m.Said, m.MadeID, m.Deleted = said, docstore.IDFrom(ctx), false
		m.Revision++
		s.noteChange(ctx, m, eventMade)
		return nil
	})
	if err == nil {
		s.tellChange(ctx, m)
	}
	return err
}

// Change has a monitor be as a patch says, and otherwise stay as it is (RFC 7396). The patch is
// JSON of a [Definition], whose keys are known to be right. It returns ErrInvalid, ErrNoMonitor, ErrOfFile,
// ErrOfProduct or an error of the store.
func (s *Service) Change(ctx context.Context, id string, patch []byte) error {
	for {
		err := s.changeOnce(ctx, id, patch)
		if !errors.Is(err, errRaced) || ctx.Err() != nil {
			return err
		}
	}
}

// errRaced is returned where somebody else has changed the same monitor meanwhile.
var errRaced = errors.New("the monitor has been changed meanwhile")

func (s *Service) changeOnce(ctx context.Context, id string, patch []byte) error {
	set, _, err := s.current(ctx)
	if err != nil {
		return err
	}
	if err := set.isMade(id); err != nil {
		return err
	}
	before, err := s.made.Get(ctx, id)
	if err != nil || before.Deleted {
		return docstore.NotFoundAs(err, ErrNoMonitor)
	}
	d, err := before.definition()
	if err != nil {
		return err
	}
	parent := value(d.Parent)
	if err := json.Unmarshal(patch, &d); err != nil {
		return err
	}
	said, err := s.check(set, id, d, value(d.Parent) != parent)
	if err != nil {
		return err
	}
	m, err := s.made.Update(ctx, id, func(m *made) error {
		switch {
		case m.Deleted:
			return docstore.ErrNotFound
		case m.Revision != before.Revision:
			return errRaced
		case string(m.Said) == string(said):
			return docstore.ErrUnchanged
		}
		m.Said = said
		m.Revision++
		s.noteChange(ctx, m, eventChanged)
		return nil
	})
	if err == nil && m.Revision != before.Revision {
		s.tellChange(ctx, m)
	}
	return docstore.NotFoundAs(err, ErrNoMonitor)
}

// Remove has a monitor not be watched any more. It returns ErrNoMonitor, ErrOfFile,
// ErrOfProduct, ErrHasChildren or an error of the store.
func (s *Service) Remove(ctx context.Context, id string) error {
	set, _, err := s.current(ctx)
	if err != nil {
		return err
	}
	if !set.hidden[id] {
		if err := set.isMade(id); err != nil {
			return err
		}
		if err := set.childless(id); err != nil {
			return err
		}
	}
	m, err := s.made.Update(ctx, id, func(m *made) error {
		if m.Deleted {
			return docstore.ErrNotFound
		}
		m.Deleted = true
		m.Revision++
		s.noteChange(ctx, m, eventDeleted)
		return nil
	})
	if err == nil {
		s.tellChange(ctx, m)
		err = s.forget(ctx, id)
	}
	return docstore.NotFoundAs(err, ErrNoMonitor)
}

// isMade returns why a monitor isn't changed by the API.
func (s *set) isMade(id string) error {
	switch s.origins[id] {
	case OfAPI:
		return nil
	case OfFile:
		return ErrOfFile
	case OfProduct:
		return ErrOfProduct
	}
	return ErrNoMonitor
}

// childless returns ErrHasChildren, with some of them.
func (s *set) childless(id string) error {
	var children []string
	for _, m := range s.monitors {
		if m.Parent == id {
			children = append(children, m.ID)
		}
	}
	if len(children) == 0 {
		return nil
	}
	const shown = 5
	names := strings.Join(children[:min(shown, len(children))], ", ")
	if more := len(children) - shown; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return &httpapi.Invalid{Of: ErrHasChildren, Field: "path.id", Why: language.Text{En: "is the parent of " + names, Ar: "أصل لكل من " + language.Arabic.Isolate(names)}}
}

// check is what is said of a monitor as it is kept, or what is wrong with that, told by the
// same words as of manus.yaml. Its parent is looked at where that is new.
func (s *Service) check(set *set, id string, d Definition, parent bool) (json.RawMessage, error) {
	maps.DeleteFunc(d.Headers, func(_ string, text *string) bool { return text == nil })
	said, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	if len(said) > maxDefinition {
		return nil, invalidMonitor("body: is longer than 16 KiB of JSON in all")
	}
	m, problems := d.monitor(id)
	if len(problems) > 0 {
		return nil, invalidMonitor(problems...)
	}
	problems = append(m.problems(s.c.Prober), m.apiProblems(s.c.AllowPrivate)...)
	if parent {
		all := maps.Clone(set.byID)
		all[id] = m
		if wrong := lineage(m, all); wrong != "" {
			problems = append(problems, wrong)
		}
	}
	if m.Auth.Type != "" {
		problems = append(problems, set.secretProblems(m)...)
	}
	if len(problems) > 0 {
		return nil, invalidMonitor(problems...)
	}
	return said, nil
}

// secretProblems tells of a monitor that would be given another one's secret, as the ids of
// both differ in '-' and '_' only.
func (s *set) secretProblems(m Monitor) (problems []string) {
	for _, other := range s.monitors {
		if other.ID != m.ID && SecretVariable(other.ID) == SecretVariable(m.ID) {
			problems = append(problems, "id: has the same variable for its secret as "+other.ID)
		}
	}
	return problems
}

// invalids are several parts of a monitor that are wrong.
type invalids []*httpapi.Invalid

func invalidMonitor(problems ...string) error {
	var all invalids
	for _, problem := range problems {
		field, why := fieldOf(problem)
		all = append(all, &httpapi.Invalid{Of: ErrInvalid, Field: field, Why: problemText(why)})
	}
	return all
}

// Error has a line for each.
func (all invalids) Error() string {
	lines := make([]string, len(all))
	for i, one := range all {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap is ErrInvalid.
func (all invalids) Unwrap() error { return ErrInvalid }

// Faults are what a client is answered.
func (all invalids) Faults(tag language.Tag) (faults []httpapi.Fault) {
	for _, one := range all {
		faults = append(faults, one.Faults(tag)...)
	}
	return faults
}

// noteChange has the audit log know who has changed a monitor, and all copies that it was.
func (s *Service) noteChange(ctx context.Context, m *made, kind audit.Kind) {
	now := s.c.Now()
	e := audit.NewEvent(ctx, identity.From(ctx).UserID, kind, now)
	e.Subject = m.ID
	m.outbox().Note(e, now)
}

func (s *Service) tellChange(ctx context.Context, m made) {
	s.know(m)
	s.noted.Send(ctx, m)
}

// publish takes what was noted of a monitor to the audit log, and has all copies look.
func (s *Service) publish(ctx context.Context, m made, e audit.Event) error {
	if s.c.Audit != nil {
		if err := s.c.Audit.Append(ctx, e); err != nil {
			return err
		}
	}
	newest := s.know(m)
	j, err := s.countChange(ctx, func(*journal) {})
	if err == nil && newest {
		s.counted(j.Changes)
	}
	return err
}

// countChange changes the journal, and has every copy look for what was decided of monitors
// beside manus.yaml.
func (s *Service) countChange(ctx context.Context, change func(*journal)) (journal, error) {
	return s.journals.Upsert(ctx, journal{ID: theJournal}, func(j *journal, _ bool) error {
		j.Changes++
		change(j)
		return nil
	})
}

// forget takes a deleted monitor's document out of the store when nothing waits in it.
func (s *Service) forget(ctx context.Context, id string) error {
	_, err := s.made.Update(ctx, id, func(m *made) error {
		if m.Deleted && len(m.Pending) == 0 {
			return docstore.ErrRemoved
		}
		return docstore.ErrUnchanged
	})
	return docstore.NotFoundAs(err, nil)
}

// sweepMade forgets the deleted ones that a killed process has left. Errors are the store's.
func (s *Service) sweepMade(ctx context.Context) error {
	for m, err := range s.made.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err == nil && m.Deleted {
			err = s.forget(ctx, m.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
