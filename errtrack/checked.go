package errtrack

import (
	"context"
	"errors"
	"time"

	"manus/docstore"
	"manus/errtrack/event"
)

// checkedWithin is how long a check may need for its event: what is older was left by a process
// that was killed, or whose clock was set back.
const checkedWithin = time.Minute

// RemoveChecks removes the issue by which a check has found its event, and those that processes which
// were killed have left. One that somebody has changed stays.
func (s *Service) RemoveChecks(ctx context.Context, short string) error {
	p, err := s.ownProject(ctx)
	if err != nil {
		return err
	}
	return s.removeChecks(ctx, p, short)
}

func (s *Service) removeChecks(ctx context.Context, p Project, short string) error {
	for issue, err := range s.issues.All(ctx, docstore.Query{Index: "by_last_seen", Equal: []any{p.ID, string(Ignored)}, Limit: docstore.MaxLimit}) {
		if err != nil {
			return err
		}
		age := s.c.Now().Sub(issue.CreatedAt.Time).Abs()
		if !issue.isOfCheck() || issue.Short != short && age < checkedWithin {
			continue
		}
		err = s.removeCheck(ctx, p, issue)
		if err != nil && !errors.Is(err, errBothRemove) { // which that copy does
			return err
		}
	}
	return nil
}

// isOfCheck tells whether an issue is as a check has made it.
func (i *Issue) isOfCheck() bool {
	return i.Status == Ignored && i.Title == event.CheckMessage && i.Count <= 1 && len(i.Hashes) == 1 && len(i.Absorbed) == 0 && i.Assignee == "" && i.Note == ""
}

// removeCheck removes what a check has left, the issue last: whoever is killed before leaves that to be
// found. What looks like it, and isn't a check's, stays.
func (s *Service) removeCheck(ctx context.Context, p Project, issue Issue) error {
	strange := false
	_, _, err := s.removePage(ctx, p.ID, docstore.Query{Index: "by_group", Equal: []any{issue.Hashes[0]}, Limit: 2}, func(page []kept) ([]kept, error) {
		for _, k := range page {
			e, err := k.event()
			if err != nil {
				return nil, err
			}
			strange = strange || !e.IsCheck()
		}
		if strange {
			return nil, nil
		}
		return page, nil
	})
	if err != nil || strange {
		return err
	}
	return s.removeIssue(ctx, issue)
}
