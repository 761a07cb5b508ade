package queue

import (
	"context"
	"errors"
	"time"

	"manus/docstore"
)

// Lent is a job that a worker outside of this program has in hand.
type Lent[T any] struct {
	Job[T]
	Claim string    // by which Settle knows the worker
	Until time.Time // when others may have it
}

// ErrNotLent is returned for a job that a worker doesn't have in hand, or not any more.
var ErrNotLent = errors.New("the job isn't in the worker's hands")

// maxLendRounds bounds how often Lend looks again when other copies were faster.
const maxLendRounds = 5

// RaiseAll puts jobs that workers outside of this program do (Lend), or changes those that
// there are, all in one batch with an error for each. change gets the args as they are,
// those of the job given where there is none, and tells whether there is work to do: such
// a job is due now, unless it is in hand. change may run again.
func (q *Queue[T]) RaiseAll(ctx context.Context, jobs []Job[T], change func(i int, args *T) (due bool)) []error {
	changes, errs := make([]docstore.Change, len(jobs)), make([]error, len(jobs))
	for i, job := range jobs {
		fresh, err := q.newDocument(job)
		if err == nil {
			changes[i], err = q.jobs.UpsertChange(fresh, new(document[T]), func(d *document[T], _ bool) error { return q.raise(d, i, change) })
		}
		if errs[i] = err; err != nil {
			return errs
		}
	}
	return q.c.Store.Batch(ctx, changes)
}

func (q *Queue[T]) raise(d *document[T], i int, change func(i int, args *T) bool) error {
	job, err := q.open(*d)
	if err != nil {
		return err
	}
	due, now := change(i, &job.Args), q.c.Now()
	if due && d.state() != Pending {
		d.QueuedAt, d.Attempts = docstore.At(now), 0
		d.DoneAt, d.Expires = docstore.Time{}, docstore.Time{}
		_ = d.wait(now)
		_ = q.enter(d)
	}
	return q.fill(d, job.Args)
}

// Lend claims at most limit jobs of a lane that are due, for a worker outside of this
// program, who has them for a while and tells by Settle what became of them. After that
// they are due again: such jobs are never given up. claim names the worker, another for
// each loan.
func (q *Queue[T]) Lend(ctx context.Context, lane string, limit int, lasting time.Duration, claim func() string) ([]Lent[T], error) {
	q.lending.Lock() // copies of the program may be in each other's way, but workers of one aren't
	defer q.lending.Unlock()
	for range maxLendRounds {
		due, err := q.firstDue(ctx, lane, limit)
		if err != nil || len(due) == 0 {
			return nil, err
		}
		lent, err := q.lend(ctx, due, min(lasting, MaxWait), claim)
		if err != nil || len(lent) > 0 {
			return lent, err
		}
	}
	return nil, nil
}

func (q *Queue[T]) firstDue(ctx context.Context, lane string, limit int) (due []document[T], err error) {
	for d, err := range q.due(ctx, lane, limit) {
		if err != nil {
			return nil, err
		}
		if due = append(due, d); len(due) == limit {
			break
		}
	}
	return due, nil
}

// lend claims what nobody else has claimed meanwhile.
func (q *Queue[T]) lend(ctx context.Context, due []document[T], lasting time.Duration, claim func() string) (lent []Lent[T], failure error) {
	ids, claims := make([]string, len(due)), make([]string, len(due))
	for i, d := range due {
		ids[i], claims[i] = d.ID, claim()
	}
	until := docstore.At(q.c.Now().Add(lasting))
	claimed, errs := q.jobs.UpdateAll(ctx, ids, func(i int, d *document[T]) error {
		if !d.DueAt.Equal(due[i].DueAt.Time) || d.Claim != due[i].Claim {
			return errLost
		}
		d.Claim, d.DueAt = claims[i], until
		d.Attempts++
		return nil
	})
	for i, err := range errs {
		if err == nil {
			var job Job[T]
			if job, err = q.open(claimed[i]); err == nil {
				lent = append(lent, Lent[T]{job, claims[i], until.Time})
			}
		}
		if err != nil && !lost(err) {
			failure = errors.Join(failure, err)
		}
	}
	if len(lent) > 0 { // the others come back when the claim is over
		return lent, nil
	}
	return nil, failure
}

// Settle changes a job that a worker has in hand, in one step, or returns ErrNotLent. holds
// tells whether a claim is the worker's; it is empty where the job isn't in hand. change
// says what becomes of the job, and may return an error in place of that. Both may run
// again.
func (q *Queue[T]) Settle(ctx context.Context, id string, change func(args *T, attempt int, claim string) (Settlement, error)) error {
	now := q.c.Now()
	_, err := q.jobs.Update(ctx, id, func(d *document[T]) error {
		job, err := q.open(*d)
		if err != nil {
			return err
		}
		claim := d.Claim
		if !now.Before(d.DueAt.Time) { // it is over
			claim = ""
		}
		settled, err := change(&job.Args, d.Attempts, claim)
		if err != nil {
			return err
		}
		if err := q.fill(d, job.Args); err != nil {
			return err
		}
		return q.settle(d, settled, now)
	})
	return docstore.NotFoundAs(err, ErrNotLent)
}

// Settlement is what becomes of a job that a worker had in hand.
type Settlement struct {
	// Done leaves the job to be kept, for the queue's KeepDone, until it is raised again.
	Done bool
	// Fresh means that there is other work to do at once, whose attempts are counted anew.
	Fresh bool
	// Wait is when another may have a job that isn't done.
	Wait time.Duration
}

func (q *Queue[T]) settle(d *document[T], s Settlement, now time.Time) error {
	if s.Fresh || s.Done {
		d.Attempts = 0
	}
	if s.Done {
		return q.finish(d)
	}
	if s.Fresh {
		d.QueuedAt = docstore.At(now)
	}
	return d.wait(now.Add(min(s.Wait, MaxWait)))
}
