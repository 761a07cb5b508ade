package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"manus/docstore"
)

const (
	// pollEvery is how soon it is seen what other copies have put, and what is due
	// again.
	pollEvery = time.Second
	// patience bounds a write about a job, and how long Run waits for work that
	// doesn't heed its context.
	patience = 10 * time.Second
)

// Run works the queue until ctx ends. Several copies of the program may run it, each
// of them once. At the end attempts are cut short, and what isn't done is released for
// any copy to take. Work that doesn't heed its context is left behind after 10 s; its
// job stays claimed until the claim runs out.
func (q *Queue[T]) Run(ctx context.Context) {
	if q.c.Work == nil {
		<-ctx.Done()
		return
	}
	_ = q.run(ctx, false)
}

// Drain is Run until nothing is due or in hand, for tests and commands. It returns an
// error of the store, or ctx's.
func (q *Queue[T]) Drain(ctx context.Context) error { return q.run(ctx, true) }

func (q *Queue[T]) run(ctx context.Context, drain bool) error {
	q.slots.open(ctx)
	defer q.close(ctx)
	poll, renew := time.NewTicker(pollEvery), time.NewTicker(q.c.Claim/3)
	defer poll.Stop()
	defer renew.Stop()
	failing := false
	for look := true; ; {
		idle := q.slots.empty()
		looked, err := look, q.dispatch(ctx, look)
		if drain && (err != nil || idle && q.slots.empty()) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-q.slots.wake:
			look = drain
		case <-poll.C:
			look = true
		case <-renew.C:
			look, err = drain, errors.Join(err, q.renew(ctx))
		}
		if err != nil && !failing && ctx.Err() == nil { // once, not once a second
			q.c.Log.ErrorContext(ctx, "a queue can't be worked; it will be tried again", "queue", q.c.Collection, "error", err)
		}
		failing = err != nil || failing && !looked // without a look there may be nothing to fail
	}
}

// close lets nothing more come into hand, and waits for what is.
func (q *Queue[T]) close(ctx context.Context) {
	q.slots.close()
	for enough := time.After(patience); !q.slots.empty(); {
		select {
		case <-q.slots.wake:
		case <-enough:
			q.c.Log.WarnContext(ctx, "work doesn't heed that the program stops", "queue", q.c.Collection)
			return
		}
	}
}

// dispatch takes into hand what is due in the lanes that are behind, as far as there
// is room. When it is to look, any lane may be.
func (q *Queue[T]) dispatch(ctx context.Context, look bool) error {
	if look {
		for lane, err := range q.lanes(ctx) {
			if err != nil {
				return err
			}
			q.slots.fallBehind(lane)
		}
	}
	for ctx.Err() == nil {
		lanes := q.slots.catchUp()
		if len(lanes) == 0 {
			break
		}
		var due []document[T]
		var failure error
		for lane, room := range lanes {
			some, err := q.takeDue(ctx, lane, room)
			due, failure = append(due, some...), errors.Join(failure, err)
		}
		if err := errors.Join(failure, q.claim(ctx, due)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// lanes are those that have jobs. Each is found by one look at the index, however
// many jobs the one before has.
func (q *Queue[T]) lanes(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for query := (docstore.Query{Index: "by_due"}); ; {
			first, err := q.jobs.First(ctx, query)
			if errors.Is(err, docstore.ErrNotFound) || !yield(first.Lane, err) || err != nil {
				return
			}
			query.From = first.Lane + "\x00" // the next string that there is
		}
	}
}

// takeDue takes in hand what is due in a lane, as much as there is room for. When there
// may be more, the lane falls behind again.
func (q *Queue[T]) takeDue(ctx context.Context, lane string, room int) (due []document[T], err error) {
	for d, err := range q.due(ctx, lane, room+1) {
		if err != nil {
			q.slots.fallBehind(lane)
			return due, err
		}
		taken, held := q.slots.takeDue(lane, d.ID)
		if taken {
			due = append(due, d)
		}
		if !taken && !held {
			q.slots.fallBehind(lane)
			break
		}
	}
	return due, nil
}

// due are the jobs of a lane that are due, or further ahead than the queue puts any,
// read so many at a time.
func (q *Queue[T]) due(ctx context.Context, lane string, page int) iter.Seq2[document[T], error] {
	return func(yield func(document[T], error) bool) {
		now := q.c.Now().Add(time.Millisecond) // what is due now is included
		for _, query := range []docstore.Query{{Until: docstore.At(now)}, {From: docstore.At(now.Add(MaxWait))}} {
			query.Index, query.Equal, query.Limit = "by_due", []any{lane}, page
			for d, err := range q.jobs.All(ctx, query) {
				if !yield(d, err) || err != nil {
					return
				}
			}
		}
	}
}

// claim claims jobs in hand in one batch, and begins to work at those that nobody else
// has claimed.
func (q *Queue[T]) claim(ctx context.Context, due []document[T]) (failure error) {
	ids := make([]string, len(due))
	for i, d := range due {
		ids[i] = d.ID
	}
	// Should ctx end now, it is known all the same what has been claimed.
	claimed, errs := q.jobs.UpdateAll(context.WithoutCancel(ctx), ids, func(i int, d *document[T]) error {
		if !d.DueAt.Equal(due[i].DueAt.Time) || d.Claim != due[i].Claim {
			return errLost
		}
		if now := q.c.Now(); now.Before(d.Starts.Time) {
			return d.wait(step(now, d.Starts.Time))
		}
		q.claimed(d)
		return nil
	})
	for i, err := range errs {
		if err == nil && claimed[i].Claim == q.me {
			go q.attempt(ctx, claimed[i])
			continue
		}
		q.slots.drop(due[i].Lane, due[i].ID)
		if !lost(err) {
			failure = errors.Join(failure, err)
		}
	}
	return failure
}

// errLost is that a job isn't this copy's, or not any more.
var errLost = errors.New("another copy has the job")

func lost(err error) bool { return errors.Is(err, errLost) || errors.Is(err, docstore.ErrNotFound) }

// renew renews the claims on what is in hand, every third of their time, and ends the
// attempts at what was deleted or isn't this copy's any more.
func (q *Queue[T]) renew(ctx context.Context) error {
	begun := q.slots.begun()
	ids := slices.Collect(maps.Keys(begun))
	_, errs := q.jobs.UpdateAll(ctx, ids, func(_ int, d *document[T]) error {
		if d.Claim != q.me {
			return errLost
		}
		d.DueAt = docstore.At(q.c.Now().Add(q.c.Claim))
		return nil
	})
	for i, err := range errs {
		if lost(err) {
			begun[ids[i]](errLost)
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// attempt makes an attempt at a job in hand.
func (q *Queue[T]) attempt(ctx context.Context, d document[T]) {
	defer q.slots.drop(d.Lane, d.ID)
	began := time.Now()
	outcome := q.writeDown(ctx, d, q.work(ctx, d))
	q.metrics.attempts.WithLabelValues(d.Lane, string(outcome)).Observe(time.Since(began).Seconds())
}

var (
	errTooOld   = errors.New("it could not be done in time")
	errCutShort = errors.New("its attempts are used up, and the last was cut short; it may have killed the program")
)

func (q *Queue[T]) work(ctx context.Context, d document[T]) error {
	switch {
	case ctx.Err() != nil: // it stopped before it began
		return ctx.Err()
	case !d.DeadAt.IsZero(): // and OnDiscard is to be told
		return Cancel(errors.New(d.Error))
	case !q.c.Now().Before(d.Deadline.Time):
		return Cancel(d.after(errTooOld))
	case q.c.MaxAttempts > 0 && d.Attempts > q.c.MaxAttempts:
		return Cancel(d.after(errCutShort))
	}
	job, err := q.open(d)
	if err != nil {
		return err
	}
	return q.inHand(ctx, d.ID, func(ctx context.Context) error { return q.c.Work(ctx, job) })
}

// inHand has something done about a job in hand, within Timeout and while the job is
// this copy's. A panic is an error.
func (q *Queue[T]) inHand(ctx context.Context, id string, do func(context.Context) error) (err error) {
	attempt, end := context.WithCancelCause(ctx)
	defer end(nil)
	q.slots.begin(id, end)
	ctx, stop := context.WithTimeout(attempt, q.c.Timeout)
	defer stop()
	defer func() {
		if p := recover(); p != nil {
			q.c.Log.ErrorContext(ctx, "work at "+q.c.aJob()+" panicked", q.c.Noun, id, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	err = do(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errLost) {
		err = errLost
	}
	return err
}

// writeDown stores what becomes of a job, unless it isn't this copy's any more: a
// later one may have its ID.
func (q *Queue[T]) writeDown(ctx context.Context, d document[T], result error) outcome {
	outcome, change := q.verdict(ctx, d, result)
	switch outcome {
	case jobLost:
		return outcome
	case jobDiscarded:
		q.c.Log.ErrorContext(ctx, q.c.aJob()+" was given up", q.c.Noun, d.ID, "attempts", d.Attempts, "error", result)
	case jobFailed:
		q.c.Log.WarnContext(ctx, q.c.aJob()+" has failed; it will be tried again", q.c.Noun, d.ID, "attempts", d.Attempts, "error", result)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_, err := q.jobs.Update(ctx, d.ID, func(now *document[T]) error {
		if now.Claim != q.me {
			return errLost
		}
		return change(now)
	})
	if lost(err) {
		return jobLost
	}
	if err != nil {
		q.c.Log.ErrorContext(ctx, "what became of "+q.c.aJob()+" was not written down; it may be done again", q.c.Noun, d.ID, "error", err)
	}
	return outcome
}
