package notify

import (
	"context"
	"strings"

	"manus/docstore"
)

// condition is something that several copies of the program see by themselves: the
// occurrence is the same for all of them.
type condition struct {
	ID         string `json:"_id"` // kind and subject
	Occurrence string `json:"occurrence,omitempty"`
}

// DocumentID is the condition's id.
func (c condition) DocumentID() string { return c.ID }

var conditionSpec = docstore.Spec{Collection: "alert_conditions", Of: condition{}}

// TellCondition is Tell for a condition that copies of the program see, each by itself, and
// that has no document of its own: whoever sees it first tells of it, and who sees first
// that it is over ends it. An event without an occurrence is given that of the condition.
func (s *Service) TellCondition(ctx context.Context, e Event) error {
	id := strings.Join([]string{e.Kind, e.Subject}, "/")
	if e.Over {
		return s.endCondition(ctx, id, e)
	}
	ended, err := s.endedOccurrence(ctx, id, e)
	if err != nil {
		return err
	}
	c, err := s.conditions.Upsert(ctx, condition{ID: id, Occurrence: docstore.NewID()}, func(c *condition, exists bool) error {
		if exists && c.Occurrence != ended {
			return docstore.ErrUnchanged
		}
		c.Occurrence = docstore.NewID()
		return nil
	})
	if err != nil {
		return err
	}
	e.Occurrence = c.Occurrence
	return s.Tell(ctx, e)
}

// endedOccurrence is the condition's occurrence when its end is told already, which a
// copy that was killed then didn't note; else it is empty.
func (s *Service) endedOccurrence(ctx context.Context, id string, e Event) (string, error) {
	c, err := s.conditions.Get(ctx, id)
	if err != nil || c.Occurrence == "" {
		return "", docstore.NotFoundAs(err, nil)
	}
	e.Occurrence = c.Occurrence
	o, err := s.occurrences.Get(ctx, idOf(e.Key()))
	if err != nil || o.End == nil {
		return "", docstore.NotFoundAs(err, nil)
	}
	return c.Occurrence, nil
}

func (s *Service) endCondition(ctx context.Context, id string, e Event) error {
	c, err := s.conditions.Get(ctx, id)
	if err != nil || c.Occurrence == "" {
		return docstore.NotFoundAs(err, nil)
	}
	e.Occurrence = c.Occurrence
	if err := s.Tell(ctx, e); err != nil {
		return err
	}
	_, err = s.conditions.Update(ctx, id, func(now *condition) error {
		if now.Occurrence != c.Occurrence {
			return docstore.ErrUnchanged
		}
		now.Occurrence = ""
		return nil
	})
	return err
}
