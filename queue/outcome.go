package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"manus/docstore"
	"manus/language"
)

// Keep is returned by Work for a job that is done, and is kept until it expires, however
// long KeepDone is.
func Keep() error { return told{error: errors.New("the job is done, and is kept"), outcome: jobKept} }

// Snooze is returned by Work for a job to be tried again after a wait of its own, such
// as a server's Retry-After, but a second at least and MaxWait at most. The attempt isn't
// counted. The error says why.
func Snooze(err error, wait time.Duration) error {
	return told{cmp.Or(err, errNoReason), jobSnoozed, min(max(wait, time.Second), MaxWait)}
}

// Later is returned by Work for a job that has failed as by any other error, and is to be
// tried again no sooner than after a wait, which a server has asked for. MaxWait is the
// most that counts.
func Later(err error, wait time.Duration) error {
	return told{cmp.Or(err, errNoReason), jobFailed, min(wait, MaxWait)}
}

// Cancel is returned by Work for a job that would fail again: it is discarded.
func Cancel(err error) error { return told{error: cmp.Or(err, errNoReason), outcome: jobDiscarded} }

var errNoReason = errors.New("no reason was given")

// told is what Work tells by an error that means more than another attempt later.
type told struct {
	error
	outcome outcome
	wait    time.Duration // of a snooze; the least of a failure
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
	jobUntold    outcome = "untold"   // given up, and OnDiscard has failed
	jobReleased  outcome = "released" // by a copy that stops
	jobLost      outcome = "lost"     // to another copy, or deleted
)

// verdict is what becomes of a job after an attempt, and the change that makes it so. Who
// is to know that it is discarded has been told by then.
func (q *Queue[T]) verdict(ctx context.Context, d document[T], result error) (outcome, func(*document[T]) error) {
	now := q.c.Now()
	told, _ := errors.AsType[told](result)
	cancel, snoozed := told.outcome == jobDiscarded, told.outcome == jobSnoozed
	again := now.Add(max(told.wait, q.backoff(d.Attempts)))
	if snoozed {
		again = now.Add(told.wait)
	}
	switch {
	case errors.Is(result, errLost):
		return jobLost, nil
	case result == nil:
		return jobDone, q.finish
	case told.outcome == jobKept:
		return jobKept, func(d *document[T]) error { return q.keepDone(d, d.Deadline) }
	case ctx.Err() != nil && !cancel:
		return jobReleased, func(d *document[T]) error { return d.uncounted().wait(now) }
	case cancel, !again.Before(d.Deadline.Time), !snoozed && q.c.MaxAttempts > 0 && d.Attempts >= q.c.MaxAttempts:
		return q.giveUp(ctx, d, result)
	case snoozed:
		return jobSnoozed, func(d *document[T]) error { return d.uncounted().failed(result).wait(again) }
	}
	return jobFailed, func(d *document[T]) error { return d.failed(result).wait(again) }
}

// backoff is the wait after so many attempts.
func (q *Queue[T]) backoff(attempts int) time.Duration {
	return q.apart(q.c.FirstRetry << min(max(attempts-1, 0), 16))
}

// apart bounds a wait, and makes it up to a fifth shorter.
func (q *Queue[T]) apart(wait time.Duration) time.Duration {
	wait = min(max(wait, q.c.FirstRetry), q.c.LastRetry)
	return wait - rand.N(wait/5+1)
}

// finish removes a job that is done, unless it or its ID is to be kept.
func (q *Queue[T]) finish(d *document[T]) error {
	now := q.c.Now()
	switch {
	case q.c.KeepDone > 0:
		return q.keepDone(d, docstore.At(now.Add(q.c.KeepDone)))
	case q.c.RememberDone > 0:
		*d = document[T]{ID: d.ID}
		return d.keep(docstore.At(now.Add(q.c.RememberDone)))
	}
	return docstore.ErrRemoved
}

func (q *Queue[T]) keepDone(d *document[T], until docstore.Time) error {
	d.DoneAt = docstore.At(q.c.Now())
	_ = d.keep(until)
	return q.enter(d)
}

// giveUp has a job discarded once OnDiscard knows of it. Until then it waits.
func (q *Queue[T]) giveUp(ctx context.Context, d document[T], why error) (outcome, func(*document[T]) error) {
	err, now := q.tell(ctx, d, why), q.c.Now()
	switch {
	case errors.Is(err, errLost):
		return jobLost, nil
	case err == nil:
		return jobDiscarded, func(d *document[T]) error { return q.discard(d.givenUp(why, now)) }
	case ctx.Err() != nil: // another copy may tell
		return jobReleased, func(d *document[T]) error { return d.givenUp(why, now).wait(now) }
	}
	q.c.Log.ErrorContext(ctx, "that "+q.c.aJob()+" is given up could not be told; it will be tried again", q.c.Noun, d.ID, "why", why, "error", err)
	return jobUntold, func(d *document[T]) error {
		since := now.Sub(d.givenUp(why, now).DeadAt.Time)
		return d.wait(now.Add(q.apart(since)))
	}
}

// tell tells OnDiscard of a job as it is now, if it is this copy's still.
func (q *Queue[T]) tell(ctx context.Context, d document[T], why error) error {
	if q.c.OnDiscard == nil {
		return nil
	}
	return q.inHand(ctx, d.ID, func(ctx context.Context) error {
		d, err := q.jobs.Get(ctx, d.ID)
		switch {
		case err != nil:
			return docstore.NotFoundAs(err, errLost)
		case d.Claim != q.me:
			return errLost
		}
		job, _ := q.open(d)
		return q.c.OnDiscard(ctx, job, why)
	})
}

// discard leaves a job dead for a while, or removes it.
func (q *Queue[T]) discard(d *document[T]) error {
	if q.c.KeepDead <= 0 {
		return docstore.ErrRemoved
	}
	_ = d.keep(docstore.At(q.c.Now().Add(q.c.KeepDead)))
	return q.enter(d)
}

// maxError bounds what a job says of its error, in bytes.
const maxError = 1000

// failed notes the error of an attempt.
func (d *document[T]) failed(err error) *document[T] {
	text := err.Error()
	d.Error = language.Line(strings.ToValidUTF8(text[:min(len(text), maxError)], ""))
	return d
}

// givenUp notes why a job is given up, and when it was at first. To tell of it again is
// no attempt.
func (d *document[T]) givenUp(why error, now time.Time) *document[T] {
	if d.DeadAt.IsZero() {
		d.DeadAt = docstore.At(now)
	} else {
		d.uncounted()
	}
	return d.failed(why)
}

// after is why a job is given up without an attempt, with what the last one said.
func (d document[T]) after(why error) error {
	if d.Error == "" {
		return why
	}
	return fmt.Errorf("%w; the last error: %s", why, d.Error)
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
