package readiness

import (
	"context"
	"errors"
	"time"

	"manus/docstore"
)

const (
	// measureEvery is how often one of all copies looks at everything, for alerts and metrics.
	measureEvery = time.Minute
	// tellAfter is how often in a row a promise is broken before that is told.
	tellAfter = 2
)

// ReachedAt says where this copy is reached, before Run.
func (s *Service) ReachedAt(url string) { s.Copy.URL = url }

// Run tells the other copies of this one until ctx ends, and leaves then.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		if err := s.tell(ctx); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "the other copies can't be told of this one", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.leave()
			return
		}
	}
}

// Watch measures everything, and has operators told of what doesn't hold any more and of what
// does again. One of all copies calls it, until ctx ends.
func (s *Service) Watch(ctx context.Context) error {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C: // not at once: what has just been started is still finding its way
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for _, r := range s.Report(ctx, Ask{Watching: true}).Results {
			if err := s.tellOf(ctx, r); err != nil && ctx.Err() == nil {
				s.Log.WarnContext(ctx, "a promise that is broken can't be told of", "check", r.ID, "error", err)
			}
		}
	}
}

// tellOf tells of an essential promise that is broken for the second time in a row, and of one
// that is kept. What wasn't measured says neither.
func (s *Service) tellOf(ctx context.Context, r Result) error {
	switch {
	case s.Tell == nil || !r.Essential || r.Status == Skipped:
		return nil
	case r.Status != Fail:
		s.broken[r.ID] = 0
	default:
		if s.broken[r.ID]++; s.broken[r.ID] < tellAfter {
			return nil
		}
	}
	return s.Tell(ctx, r)
}

// TryStore writes something into the store, reads it again and removes it. Its error is the
// store's.
func (s *Service) TryStore(ctx context.Context) error {
	k := keptFinding{ID: trials + docstore.NewID(), At: docstore.At(time.Now())}
	if err := s.kept.Insert(ctx, k); err != nil {
		return err
	}
	_, err := s.kept.Get(ctx, k.ID)
	return errors.Join(err, s.kept.Delete(context.WithoutCancel(ctx), k.ID))
}

// trials begins the IDs of what TryStore writes.
const trials = "trial/"

// Sweep removes copies that have gone without a word, and what a process has left that was killed
// while it tried the store.
func (s *Service) Sweep(ctx context.Context) error {
	_, err := s.copies.DeleteAll(ctx, docstore.Query{Index: bySeen, Until: docstore.At(time.Now().Add(-forgetAfter))})
	for k, failure := range s.kept.All(ctx, docstore.Query{From: trials, Until: "trial0", Limit: docstore.MaxLimit}) { // which comes after "/"
		if failure == nil && !stands(k.At.Time, time.Minute) {
			failure = docstore.NotFoundAs(s.kept.Delete(ctx, k.ID), nil)
		}
		err = errors.Join(err, failure)
	}
	return err
}
