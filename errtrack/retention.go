package errtrack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"manus/docstore"
)

// Sweep removes what is older than it may be and what is more than there may be, ends merges
// that were cut short, and removes what deleted projects had. It may be cut short and done
// again. Errors are the store's.
func (s *Service) Sweep(ctx context.Context) error {
	last, err := s.projects.First(ctx, docstore.Query{Index: "by_number", Descending: true})
	if err != nil {
		return docstore.NotFoundAs(err, nil)
	}
	var failure error
	for p, err := range s.projects.All(ctx, docstore.Query{Index: "by_number", Limit: docstore.MaxLimit}) {
		if err != nil {
			return errors.Join(failure, err)
		}
		if !p.DeletedAt.IsZero() {
			failure = errors.Join(failure, s.removeDeleted(ctx, p, p.ID == last.ID))
			continue
		}
		_, err := s.removeSpare(ctx, p.ID, new(passed))
		failure = errors.Join(failure, err, s.finishMerges(ctx, p), s.finishSplits(ctx, p), s.removeOld(ctx, p), s.removeEmpty(ctx, p), s.removeRoutes(ctx, p),
			s.removeMonitors(ctx, p, s.isForgotten), s.removeReleases(ctx, p), s.removeFeedback(ctx, p), s.removeUploads(ctx, p), s.removeNamed(ctx, p))
		if p.Own {
			failure = errors.Join(failure, s.removeChecks(ctx, p, ""))
		}
	}
	return errors.Join(failure, s.removeChunks(ctx))
}

// removeOld removes events that are older than they may be.
func (s *Service) removeOld(ctx context.Context, p Project) error {
	if _, err := s.endRemoval(ctx, p.ID); err != nil {
		return err
	}
	for rank := int64(0); rank <= pinned; rank++ {
		oldest, err := s.events.First(ctx, docstore.Query{Index: "by_rank", Equal: []any{p.ID}, From: rank})
		if err != nil {
			return docstore.NotFoundAs(err, nil)
		}
		if rank = oldest.Rank; !oldest.At.Before(s.cutoff().Time) {
			continue
		}
		q := docstore.Query{Index: "by_rank", Equal: []any{p.ID, rank}, Until: s.cutoff(), Limit: removedTogether}
		for next := "more"; next != ""; {
			if _, next, err = s.removePage(ctx, p.ID, q, func(page []kept) ([]kept, error) { return page, nil }); err != nil {
				return err
			}
		}
	}
	return nil
}

// removedTogether is how many events are removed together: as many as the totals name.
const removedTogether = 250

// removePage removes of a page of events those that are chosen, and says how many and where
// the next begins. It is noted in the totals first which go, so that they are taken off there once, also when that is cut
// short; and that fails when another copy does it at the same time.
func (s *Service) removePage(ctx context.Context, project string, q docstore.Query, choose func([]kept) ([]kept, error)) (n int, next string, err error) {
	before, err := s.endRemoval(ctx, project)
	if err != nil {
		return 0, "", err
	}
	page, next, err := s.events.Find(ctx, q)
	if err != nil {
		return 0, "", err
	}
	chosen, err := choose(page)
	if err != nil || len(chosen) == 0 {
		return 0, next, err
	}
	_, err = s.totals.Upsert(ctx, Totals{ID: project}, func(t *Totals, _ bool) error {
		if t.Removals != before.Removals {
			return errBothRemove
		}
		t.Removals++
		t.Kept -= int64(len(chosen))
		t.Removing = nil
		for _, k := range chosen {
			t.Removing = append(t.Removing, k.ID)
		}
		return nil
	})
	if err == nil {
		_, err = s.endRemoval(ctx, project)
	}
	return len(chosen), next, err
}

// errBothRemove is for the one of two copies that is second.
var errBothRemove = fmt.Errorf("%w: another copy removes events of the project", docstore.ErrUnavailable)

// endRemoval removes the events that the totals say are being removed.
func (s *Service) endRemoval(ctx context.Context, project string) (Totals, error) {
	t, err := s.totalsOf(ctx, project)
	if err != nil || len(t.Removing) == 0 {
		return t, err
	}
	_, errs := s.events.UpdateAll(ctx, t.Removing, func(int, *kept) error { return docstore.ErrRemoved })
	for _, err := range errs {
		if docstore.NotFoundAs(err, nil) != nil {
			return t, err
		}
	}
	_, err = s.totals.Update(ctx, project, func(now *Totals) error {
		if now.Removals != t.Removals {
			return docstore.ErrUnchanged
		}
		now.Removing = nil
		return nil
	})
	return t, err
}

func (s *Service) cutoff() docstore.Time {
	return docstore.At(s.c.Now().Add(-time.Duration(s.policy.Load().Retention.Days) * 24 * time.Hour))
}

// passed is how far it was looked for events that are too many: of each rank, behind those
// that stay.
type passed [pinned]string

// removeSpare removes the events that a project has too many of: of those with the lowest
// rank the oldest, but for the latest of an issue. It returns how many are too many still.
func (s *Service) removeSpare(ctx context.Context, project string, passed *passed) (spare int64, err error) {
	totals, err := s.totalsOf(ctx, project)
	if err != nil {
		return 0, err
	}
	spare = totals.Kept - int64(s.policy.Load().Retention.EventsPerProject)
	for rank := range passed {
		q := docstore.Query{Index: "by_rank", Equal: []any{project, int64(rank)}, Limit: removedTogether, Cursor: passed[rank]}
		for spare > 0 {
			all := true
			n, next, err := s.removePage(ctx, project, q, func(page []kept) ([]kept, error) {
				all = int64(len(page)) <= spare
				return s.notLatest(ctx, page[:min(int64(len(page)), spare)])
			})
			if spare -= int64(n); err != nil {
				return spare, err
			}
			if next == "" || !all {
				break
			}
			passed[rank], q.Cursor = next, next
		}
	}
	return spare, nil
}

// lookedAtOnce is of how many hashes the latest events are looked for at a time.
const lookedAtOnce = 16

// notLatest are those of events that aren't the latest of their hash.
func (s *Service) notLatest(ctx context.Context, events []kept) (others []kept, err error) {
	var looking errgroup.Group
	looking.SetLimit(lookedAtOnce)
	latest := map[string]*kept{}
	for _, k := range events {
		if latest[k.Group] != nil {
			continue
		}
		of := &kept{}
		latest[k.Group] = of
		looking.Go(func() (err error) {
			*of, err = s.events.First(ctx, docstore.Query{Index: "by_group", Equal: []any{k.Group}, Descending: true})
			return docstore.NotFoundAs(err, nil)
		})
	}
	if err := looking.Wait(); err != nil {
		return nil, err
	}
	for _, k := range events {
		if latest[k.Group].ID != k.ID {
			others = append(others, k)
		}
	}
	return others, nil
}

// surplus is how many events more than it may a project has before some are removed, other
// than once an hour.
const surplus = 1000

// crowd is a project as this copy has counted it.
type crowd struct {
	kept   int64
	passed passed
	rests  time.Time // until then, as nothing can be removed
}

// crowds are the projects that this copy counts.
type crowds struct {
	mu sync.Mutex
	of map[string]*crowd
}

// note notes how many events a project has.
func (c *crowds) note(project string, kept int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]*crowd{}
	}
	if c.of[project] == nil {
		c.of[project] = &crowd{}
	}
	c.of[project].kept = kept
}

// over are the projects that have more than so many events.
func (c *crowds) over(most int64, now time.Time) map[string]*crowd {
	c.mu.Lock()
	defer c.mu.Unlock()
	over := map[string]*crowd{}
	for project, crowd := range c.of {
		if crowd.kept > most && !now.Before(crowd.rests) {
			over[project] = crowd
		}
	}
	return over
}

// thinOut removes events of projects that have many more than they may: whoever counts does
// that, and counts no more until it is done, so that no flood is faster. It goes on where it
// has ended the last time; what it has passed, the hourly sweep looks at.
func (s *Service) thinOut(ctx context.Context) {
	now, most := s.c.Now(), int64(s.policy.Load().Retention.EventsPerProject)
	for project, crowd := range s.crowds.over(most+surplus, now) {
		spare, err := s.removeSpare(ctx, project, &crowd.passed)
		if err != nil {
			if !errors.Is(err, errBothRemove) && ctx.Err() == nil {
				s.c.Log.WarnContext(ctx, "a project has more events than it may, which can't be removed yet", "project", project, "error", err)
			}
			continue
		}
		if spare > surplus {
			crowd.rests = now.Add(time.Minute)
		}
		s.crowds.note(project, most+max(0, spare))
	}
}

// finishMerges ends merges that were cut short, and forgets those that are long done.
func (s *Service) finishMerges(ctx context.Context, p Project) error {
	for issue, err := range s.issues.All(ctx, docstore.Query{Index: "by_last_seen", Equal: []any{p.ID, string(Merged)}, Limit: docstore.MaxLimit}) {
		if err != nil {
			return err
		}
		switch {
		case issue.Into == "": // a ring was opened meanwhile
		case !issue.MergeDone:
			if _, err = s.finishMerge(ctx, issue); errors.Is(err, ErrMergedAtOnce) { // the next sweep finds it undone
				err = nil
			}
		case issue.MergedAt.Before(s.cutoff().Time):
			err = docstore.NotFoundAs(s.issues.Delete(ctx, issue.ID), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finishSplits ends splits that were cut short.
func (s *Service) finishSplits(ctx context.Context, p Project) error {
	for issue, err := range s.issues.All(ctx, docstore.Query{Index: "by_last_seen", Equal: []any{p.ID, string(Splitting)}, Limit: docstore.MaxLimit}) {
		if err == nil {
			_, err = s.finishSplit(ctx, issue)
		}
		if err != nil && !errors.Is(err, ErrNoIssue) {
			return err
		}
	}
	return nil
}

// removeEmpty removes issues that were not seen for as long as events are kept, with their
// hashes: an event like theirs is a new issue's.
func (s *Service) removeEmpty(ctx context.Context, p Project) error {
	for _, status := range Statuses {
		for issue, err := range s.issues.All(ctx, docstore.Query{Index: "by_last_seen", Equal: []any{p.ID, string(status)}, Until: s.cutoff(), Limit: docstore.MaxLimit}) {
			if err != nil {
				return err
			}
			if err := s.removeIssue(ctx, issue); err != nil {
				return err
			}
		}
	}
	s.byHash.Forget()
	return nil
}

// removeIssue removes an issue with its hashes, unless it is seen meanwhile: then it has
// them again.
func (s *Service) removeIssue(ctx context.Context, issue Issue) error {
	for _, id := range issue.Hashes {
		_, err := s.hashes.Update(ctx, id, func(h *hash) error {
			if h.Issue != issue.ID {
				return docstore.ErrUnchanged
			}
			return docstore.ErrRemoved
		})
		if docstore.NotFoundAs(err, nil) != nil {
			return err
		}
	}
	seen := false
	now, err := s.issues.Update(ctx, issue.ID, func(i *Issue) error {
		if seen = i.Count != issue.Count || i.Status == Merged; seen {
			return docstore.ErrUnchanged
		}
		return docstore.ErrRemoved
	})
	if err != nil || !seen {
		return docstore.NotFoundAs(err, nil)
	}
	for _, id := range now.Hashes {
		_, err := s.hashes.Upsert(ctx, hash{ID: id, Issue: now.ID}, func(_ *hash, exists bool) error {
			if exists {
				return docstore.ErrUnchanged
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
