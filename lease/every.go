package lease

import (
	"context"
	"errors"
	"time"

	"manus/docstore"
)

// Every has one of all copies run job once a period, the first time at once, until
// ctx ends. Nobody holds the lease between runs. What was missed while no copy ran
// is made up for at once, by one run; a run that takes longer than the period is
// followed by the next. A job that fails is logged and tried again, by any copy,
// after 1 s, 2 s, 4 s and so on up to a period.
//
// A run is done when job has returned nil, and that is in the store; one that is
// cut short returns an error. When the store fails just then, or the copy dies, the
// job is run again: what it does may be done twice. What it writes is fenced.
//
// The context of job ends when ctx does, and with the cause ErrLost when the lease is
// lost. The job returns soon then: it has a fifth of the TTL until another copy may
// begin, or all its time when ctx has ended, as the lease is renewed meanwhile.
//
// A panic of job goes on in the caller, and the lease expires. Every panics when name
// isn't 1 to 64 lower-case letters, digits, '-', '_' and '.', or when the period isn't
// positive.
func (s *Service) Every(ctx context.Context, name string, period time.Duration, job func(ctx context.Context, held Held) error) {
	mustBeName(name)
	if period <= 0 {
		panic("lease: the period of a job is positive")
	}
	s.correctLastRun(ctx, name)
	w := &watch{name: name, period: period}
	for {
		g, ok := s.acquire(ctx, w)
		if !ok {
			return
		}
		began := time.Now()
		lost, err := s.hold(ctx, g, job)
		s.release(ctx, w, g, s.result(ctx, g, time.Since(began), lost, err))
	}
}

// result notes what became of a job. It is nil when the job neither was done nor
// failed: it was interrupted, and is due as before.
func (s *Service) result(ctx context.Context, g grip, took time.Duration, lost bool, err error) func(*document) {
	switch {
	case err == nil:
		at := docstore.At(s.now())
		return func(d *document) {
			d.Runs++
			d.LastRun, d.Took, d.Failures = at, took.Milliseconds(), 0
		}
	case ctx.Err() != nil:
		return nil
	case lost:
		s.log.WarnContext(ctx, "a lease was lost while a job was done", "lease", g.Name, "fence", g.Fence, "error", err)
		if s.onLost != nil {
			s.onLost(g.Name, g.Fence)
		}
		return nil
	}
	s.log.ErrorContext(ctx, "a job has failed; it will be tried again", "lease", g.Name, "fence", g.Fence, "error", err)
	return func(d *document) { d.Failures++ }
}

// correctLastRun sets a last run that is in the future to now. It is in the future after
// a clock that was ahead has been set right; the job would not be due until then, and
// never where the program is restarted more often than the period.
func (s *Service) correctLastRun(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, s.renew)
	defer cancel()
	_, err := s.leases.Update(ctx, name, func(d *document) error {
		now := docstore.At(s.now())
		if !d.LastRun.After(now.Time) {
			return docstore.ErrUnchanged
		}
		d.Beat++
		d.LastRun = now
		return nil
	})
	if err != nil && !errors.Is(err, docstore.ErrNotFound) && ctx.Err() == nil {
		s.log.WarnContext(ctx, "when a job was last done could not be looked at", "lease", name, "error", err)
	}
}
