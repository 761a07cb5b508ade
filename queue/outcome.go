package queue

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"manus/docstore"
	"manus/language"
)

// Keep is returned by Work for a job that is done, and stays in the store until it
// expires.
func Keep() error { return told{error: errors.New("the job is done, and is kept"), outcome: jobKept} }

// Snooze is returned by Work for a job to be tried again after a wait of its own, such
// as a server's Retry-After, but a second at least and MaxWait at most. The attempt isn't
// counted. The error says why.
func Snooze(err error, wait time.Duration) error {
	return told{cmp.Or(err, errNoReason), jobSnoozed, min(max(wait, time.Second), MaxWait)}
}

// Cancel is returned by Work for a job that would fail again: it is discarded.
func Cancel(err error) error { return told{error: cmp.Or(err, errNoReason), outcome: jobDiscarded} }

var errNoReason = errors.New("no reason was given")

// told is what Work tells by an error that means more than another attempt later.
type told struct {
	error
	outcome outcome
	wait    time.Duration // of a snooze
}

// Unwrap gives the cause.
func (t told) Unwrap() error { return t.error }

// outcome is what becomes of a job after an attempt.
type outcome string

const (
	jobDone      outcome = "done"
	jobKept      outcome = "kept"
	jobFailed    outcome = "failed" // and tried again
	jobSnoozed   outcome = "snoozed"
	jobDiscarded outcome = "discarded"
	jobReleased  outcome = "released" // by a copy that stops
	jobLost      outcome = "lost"     // to another copy, or deleted
)

// verdict is what becomes of a job after an attempt, and the change that makes it so.
func (q *Queue[T]) verdict(ctx context.Context, d document[T], result error) (outcome, func(*document[T]) error) {
	now := q.c.Now()
	told, _ := errors.AsType[told](result)
	again := now.Add(cmp.Or(told.wait, q.backoff(d.Attempts)))
	cancel, snoozed := told.outcome == jobDiscarded, told.outcome == jobSnoozed
	switch {
	case errors.Is(result, errLost):
		return jobLost, nil
	case result == nil:
		return jobDone, q.forget
	case told.outcome == jobKept:
		return jobKept, func(d *document[T]) error { return d.keep(d.Deadline) }
	case ctx.Err() != nil && !cancel:
		return jobReleased, func(d *document[T]) error { return d.uncounted().wait(now) }
	case cancel, !again.Before(d.Deadline.Time), !snoozed && q.c.MaxAttempts > 0 && d.Attempts >= q.c.MaxAttempts:
		return jobDiscarded, func(d *document[T]) error { return q.discard(d, result) }
	case snoozed:
		return jobSnoozed, func(d *document[T]) error { return d.uncounted().wait(again) }
	}
	return jobFailed, func(d *document[T]) error { return d.wait(again) }
}

// backoff is the wait after so many attempts.
func (q *Queue[T]) backoff(attempts int) time.Duration {
	wait := min(q.c.FirstRetry<<min(max(attempts-1, 0), 16), q.c.LastRetry)
	return wait - rand.N(wait/5+1)
}

// forget removes a job that is done, or leaves its ID alone to be remembered.
func (q *Queue[T]) forget(d *document[T]) error {
	if q.c.RememberDone <= 0 {
		return docstore.ErrRemoved
	}
	*d = document[T]{ID: d.ID}
	return d.keep(docstore.At(q.c.Now().Add(q.c.RememberDone)))
}

// maxError bounds what a dead job says of its error, in characters.
const maxError = 1000

// discard gives a job up: it is dead for a while, or gone.
func (q *Queue[T]) discard(d *document[T], result error) error {
	if q.c.KeepDead <= 0 {
		return docstore.ErrRemoved
	}
	d.Error = language.Cut(result.Error(), maxError)
	d.DeadAt = docstore.At(q.c.Now())
	return d.keep(docstore.At(d.DeadAt.Add(q.c.KeepDead)))
}

// keep leaves a job in the store for a while, and not to be worked.
func (d *document[T]) keep(until docstore.Time) error {
	d.Expires, d.Deadline = until, docstore.Time{}
	d.DueAt, d.Claim = docstore.Time{}, ""
	return nil
}

// wait leaves a job in the store to be worked later.
func (d *document[T]) wait(until time.Time) error {
	d.DueAt, d.Claim = docstore.At(until), ""
	return nil
}

func (d *document[T]) uncounted() *document[T] {
	d.Attempts--
	return d
}
