package lease

import "time"

// watch is what one copy has seen of a lease, by its own monotonic clock.
type watch struct {
	name   string
	period time.Duration // of the job; zero when the lease isn't Every's

	seen    document
	looked  time.Time // when that was
	since   time.Time // when it was first seen as it is
	highest Fence     // of all ever seen
	ranAt   time.Time // when the job was last done, as far as can be told
}

// note takes in how the lease stood at a time, which is wall by the wall clock.
//
// The wall clock is asked only for how old a run is that was finished before this
// copy began to look; a run from the future was now. Of later runs it is known
// between which looks they were finished, and no clock can say otherwise.
func (w *watch) note(d document, at, wall time.Time) {
	first := w.looked.IsZero()
	if first || d.Fence != w.seen.Fence || d.Beat != w.seen.Beat {
		w.since = at
	}
	if first || d.Runs != w.seen.Runs {
		age := max(0, wall.Sub(d.LastRun.Time))
		if !first {
			age = min(age, at.Sub(w.looked))
		}
		w.ranAt = at.Add(-age)
	}
	w.seen, w.looked, w.highest = d, at, max(w.highest, d.Fence)
}

// freeAt is when the lease may be taken, if it doesn't change until then.
func (w *watch) freeAt(ttl time.Duration) time.Time {
	free := w.looked
	if !w.seen.Released {
		free = w.since.Add(max(ttl, w.seen.ttl()))
	}
	if w.period > 0 {
		if due := w.dueAt(); due.After(free) {
			return due
		}
	}
	return free
}

// dueAt is when the job is to be done next: a period after the last run began, or
// a little after it has failed.
func (w *watch) dueAt() time.Time {
	switch {
	case w.seen.Failures > 0:
		return w.since.Add(backoff(w.seen.Failures, w.period))
	case w.seen.Runs == 0:
		return w.looked
	}
	return w.ranAt.Add(max(0, w.period-w.seen.took()))
}

const firstRetry = time.Second

// backoff doubles with each failure, up to the period.
func backoff(failures int, period time.Duration) time.Duration {
	return min(firstRetry<<min(failures-1, 32), period)
}

// pace is how long to wait between looks at a lease that can't be taken now: pause
// while somebody has it. Between the runs of a job it is longer, but such that two
// looks tell well when a run was finished.
func (w *watch) pace(pause, ttl time.Duration) time.Duration {
	switch {
	case w.period == 0:
		return pause
	case w.seen.Released:
		pause = max(pause, ttl)
	}
	return min(pause, max(w.period/8, time.Millisecond))
}
