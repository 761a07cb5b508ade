package errtrack

import (
	"context"
	"errors"
	"time"

	"manus/docstore"
)

// lateFor is for how long after a project was deleted it is looked for what came late: of
// copies that didn't know yet, and of processes that were stopped meanwhile.
const lateFor = 24 * time.Hour

// removeDeleted removes what a deleted project had. It is a chain of steps, of which each may
// be cut short and done again, by any copy. When nothing was found any more, and nothing can
// come, the project itself goes; of the last one its number stays, so that it isn't given
// again.
func (s *Service) removeDeleted(ctx context.Context, p Project, isLast bool) error {
	if !p.Gone {
		n, err := s.removeAll(ctx, p)
		if err != nil || n > 0 || s.c.Now().Sub(p.DeletedAt.Time) < lateFor {
			return err
		}
	}
	switch {
	case !isLast:
		return docstore.NotFoundAs(s.projects.Delete(ctx, p.ID), nil)
	case p.Gone:
		return nil
	}
	_, err := s.projects.Update(ctx, p.ID, func(now *Project) error {
		*now = Project{ID: p.ID, Number: p.Number, Keys: []Key{}, CreatedAt: p.CreatedAt, DeletedAt: p.DeletedAt, Gone: true}
		return nil
	})
	return docstore.NotFoundAs(err, nil)
}

// removeAll removes what a project had, but for itself, and says how much that was.
func (s *Service) removeAll(ctx context.Context, p Project) (n int, err error) {
	own := []any{p.ID}
	for _, step := range []func() (int, error){
		func() (int, error) { return s.removeAllMonitors(ctx, p) },
		func() (int, error) { return s.events.DeleteAll(ctx, docstore.Query{Index: "by_rank", Equal: own}) },
		func() (int, error) { return s.issues.DeleteAll(ctx, docstore.Query{Index: "by_last_seen", Equal: own}) },
		func() (int, error) {
			return s.hashes.DeleteAll(ctx, docstore.Query{From: hashID(p.ID, ""), Until: p.ID + "0"}) // which comes after "/"
		},
		func() (int, error) {
			return s.postings.DeleteAll(ctx, docstore.Query{From: p.ID + separator, Until: p.ID + " "}) // which comes after the separator
		},
		func() (int, error) { return s.feedback.DeleteAll(ctx, docstore.Query{Index: "by_at", Equal: own}) },
		func() (int, error) { return s.releases.DeleteAll(ctx, docstore.Query{Index: byReleaseDay, Equal: own}) },
		func() (int, error) {
			return s.routes.DeleteAll(ctx, docstore.Query{From: p.ID + "/", Until: p.ID + "0"})
		},
		func() (int, error) { return s.removeAllUploads(ctx, p) },
		func() (int, error) { return s.named.DeleteAll(ctx, docstore.Query{Index: "by_at", Equal: own}) },
		func() (int, error) { return s.totals.DeleteAll(ctx, docstore.Query{From: p.ID, Until: p.ID + "\x00"}) },
	} {
		some, err := step()
		if n += some; err != nil {
			return n, err
		}
	}
	return n, nil
}

// removeAllMonitors has a project's jobs go, whose alerts end with that, and says how many
// there were.
func (s *Service) removeAllMonitors(ctx context.Context, p Project) (n int, err error) {
	err = s.removeMonitors(ctx, p, func(CronMonitor) bool { n++; return true })
	return n, err
}

// isDeleted tells whether a project has been deleted, or is long gone. Who asks may be told
// so late by as long as another copy's change may not be known. Errors are the store's.
func (s *Service) isDeleted(ctx context.Context, id string) (bool, error) {
	_, err := s.projectOf(ctx, id)
	if !errors.Is(err, ErrNoProject) {
		return false, err
	}
	p, err := s.projects.Get(ctx, id) // it may have been made a moment ago
	if errors.Is(err, docstore.ErrNotFound) {
		return true, nil
	}
	return !p.DeletedAt.IsZero(), err
}

// ofProjects are those of events whose projects there are. The others were on their way when
// theirs was deleted, and are removed.
func (s *Service) ofProjects(ctx context.Context, all []sighting) (standing []sighting, err error) {
	deleted := map[string]bool{}
	var late []string
	for _, seen := range all {
		gone, asked := deleted[seen.project]
		if !asked {
			if gone, err = s.isDeleted(ctx, seen.project); err != nil {
				return nil, err
			}
			deleted[seen.project] = gone
		}
		if gone {
			late = append(late, seen.kept)
		} else {
			standing = append(standing, seen)
		}
	}
	_, errs := s.events.UpdateAll(ctx, late, func(int, *kept) error { return docstore.ErrRemoved })
	for _, failure := range errs {
		err = errors.Join(err, docstore.NotFoundAs(failure, nil))
	}
	return standing, err
}
