// Package queue does work later, and surely: a job that was put survives crashes,
// is tried again when it fails, and is given up in the open. Each queue is one
// collection of the store, worked off by as many copies of the program as there are.
//
// It knows nothing of what the work is. Its words are those of River
// (https://riverqueue.com): job, attempt, snooze, cancel, discard.
//
// # What is promised
//
// Once Put has returned nil, the job is attempted until an attempt succeeds or it is
// discarded, whatever is killed meanwhile. It may be done more than once: when a copy
// dies, or can't reach the store, between doing the work and writing that down. So
// work is done in a way that bears it, with the job's ID as what makes it one.
//
// A copy claims a job for a while (Config.Claim) and renews the claim while it has the
// job in hand; of a copy that was killed, the claims run out. Lanes keep apart what
// must not hold each other up: each has a few jobs in hand at a time, however many
// wait. Within a lane, what has been due for longest comes first, as a rule.
//
// # Time
//
// When a job is due, when a claim ends and when a job expires stand in the store by
// the wall clock of the copy that wrote it. While clocks differ by less than two thirds
// of a claim, no job is in two hands at once. When they differ by more, or one steps
// forward, a job may be, as if its copy had died; none is lost, but one whose time to
// live is over by the clock of whoever looks is discarded. A job that waits may come
// late by as much as a clock steps back, but a queue gives no wait longer than MaxWait:
// what is due later than that was written by a clock that was ahead, and is due now. A
// job that is scheduled for later than that waits in steps of MaxWait. No copy claims
// what it has in hand itself, whatever its clock does.
package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
	"manus/internal/seal"
)

// Job is one piece of work.
type Job[T any] struct {
	// ID is the key that makes it one job however often it is put; empty: one is
	// made.
	ID string
	// Lane is the queue within the queue that the job waits in, such as its
	// receiver's. There are not many: metrics are by lane.
	Lane string
	// Group is whom or what the job is about, for Count and DeleteGroup.
	Group string
	// Args are what Work has to know. They aren't changed once they are put.
	Args T
	// ExpiresAt is when the job isn't worth doing any more, or keeping; zero means
	// after the queue's Lifetime.
	ExpiresAt time.Time
	// ScheduledAt is when the job may be worked at first, by the clock of the copy that
	// does; zero means at once. The queue's Lifetime counts from then.
	ScheduledAt time.Time

	// The queue sets the rest.
	State    State
	QueuedAt time.Time
	Attempt  int       // the attempts begun, this one included
	DoneAt   time.Time // when it was done
	DeadAt   time.Time // when it was given up; it is Dead once OnDiscard knows of it
	// Error is that of the last attempt that failed or was snoozed, or why the job was
	// discarded: valid UTF-8, at most 1000 bytes. It stays when a later attempt succeeds.
	Error string
}

// State is what has become of a job so far.
type State string

// The states of a job, and All for [Queue.List].
const (
	All     State = ""
	Pending State = "pending" // it waits, or is in hand
	Done    State = "done"    // and is kept
	Dead    State = "dead"    // discarded, and is kept
)

// MaxWait is the longest that a job waits between two attempts, and that a claim may
// last.
const MaxWait = time.Hour

// Config is what a Queue is made of.
type Config[T any] struct {
	Store docstore.Store
	// Collection is the queue's, and its name in metrics; see Spec.
	Collection string
	// Noun is what a job is called in the log.
	Noun string
	// Work makes an attempt at a job, see [Keep], [Snooze] and [Cancel] for errors
	// that mean more than another attempt later. It heeds its context, which ends
	// after Timeout, when Run's does, and when the job has been deleted. Its errors stand
	// in the job, in clear. Nil means that jobs are done once they are put, and kept as
	// by Keep, unless workers outside of the program do them ([Queue.Lend]).
	Work func(ctx context.Context, job Job[T]) error
	// OnDiscard is told of a job, and why, before it is discarded for whatever reason.
	// When that fails, it is tried again for as long as it takes; the job waits, and isn't
	// worked at any more. When the copy is killed before the discard is written, it is
	// told again. It heeds its context as Work does. Args that can't be opened are zero.
	OnDiscard func(ctx context.Context, job Job[T], err error) error
	// Seal seals the jobs' args; nil: they stand in the store in clear. What can't be
	// opened is tried again: another copy may have the secret.
	Seal *seal.Box

	Lifetime time.Duration // of a job that doesn't say; zero means 3 days
	Timeout  time.Duration // of an attempt; zero means a minute
	// FirstRetry is the wait after the first failure; it doubles with each one up to
	// LastRetry. Zero means 5 s and 15 min. Up to a fifth less is waited, so that what
	// failed together isn't tried again together.
	FirstRetry, LastRetry time.Duration
	// MaxAttempts discards a job that has failed as often; zero means never.
	MaxAttempts int
	// KeepDead is how long discarded jobs are kept for List and Retry; zero means that
	// only the log tells of them.
	KeepDead time.Duration
	// KeepDone is how long jobs that are done are kept for List, with all that they
	// have. Putting such a job again doesn't do it again. Such a queue lists jobs of each
	// state by an index, which others don't pay for.
	KeepDone time.Duration
	// RememberDone is how long at least a job's ID alone is remembered once it is done,
	// so that putting it again doesn't do it again, for a queue without KeepDone.
	RememberDone time.Duration
	// PerLane and Overall are how many jobs this copy has in hand at a time; zero
	// means 4 and 256.
	PerLane, Overall int
	// Claim is how long other copies leave a claimed job alone, unless it is renewed;
	// zero means a minute.
	Claim time.Duration

	Metrics prometheus.Registerer // nil: nobody counts
	Now     func() time.Time      // the wall clock; nil means time.Now
	Log     *slog.Logger
}

func orDefault[V comparable](value *V, standard V) {
	if *value == *new(V) {
		*value = standard
	}
}

func (c *Config[T]) complete() {
	orDefault(&c.Lifetime, 3*24*time.Hour)
	orDefault(&c.Timeout, time.Minute)
	orDefault(&c.FirstRetry, 5*time.Second)
	orDefault(&c.LastRetry, 15*time.Minute)
	orDefault(&c.PerLane, 4)
	orDefault(&c.Overall, 256)
	orDefault(&c.Claim, time.Minute)
	c.LastRetry, c.Claim = min(c.LastRetry, MaxWait), min(c.Claim, MaxWait)
	if c.Now == nil {
		c.Now = time.Now
	}
}

// aJob is a job in the log: "a mail", "an alert".
func (c Config[T]) aJob() string {
	if strings.ContainsAny(c.Noun[:min(len(c.Noun), 1)], "aeiou") {
		return "an " + c.Noun
	}
	return "a " + c.Noun
}

// Queue is a collection of jobs. It is safe for concurrent use.
type Queue[T any] struct {
	c       Config[T]
	jobs    *docstore.Collection[document[T]]
	me      string // marks what this copy has claimed
	slots   *slots
	metrics metrics[T]
	lending sync.Mutex // see Lend
}

// New makes a Queue. The store's collection is declared already (Spec).
func New[T any](c Config[T]) *Queue[T] {
	c.complete()
	q := &Queue[T]{
		c:     c,
		jobs:  docstore.NewCollection[document[T]](c.Store, Spec[T](c.Collection)),
		me:    docstore.NewID(),
		slots: newSlots(c.PerLane, c.Overall),
	}
	q.metrics = newMetrics(q)
	return q
}

// document is a job in the store. It is runnable while it has a due time; it is done,
// and only remembered, when it has no args.
type document[T any] struct {
	ID       string        `json:"_id"`
	Lane     string        `json:"lane"`
	Group    string        `json:"group,omitempty"`
	Args     *T            `json:"args,omitempty"`
	Sealed   []byte        `json:"sealed,omitempty"` // the args' JSON, bound to the id
	QueuedAt docstore.Time `json:"queued_at,omitzero"`
	DueAt    docstore.Time `json:"due_at,omitzero"` // or when the claim ends
	Claim    string        `json:"claim,omitempty"` // who has it in hand
	Attempts int           `json:"attempts,omitempty"`
	Deadline docstore.Time `json:"deadline,omitzero"`   // a runnable one's ExpiresAt
	Expires  docstore.Time `json:"expires_at,omitzero"` // when one that isn't is swept
	Starts   docstore.Time `json:"scheduled_at,omitzero"`
	DoneAt   docstore.Time `json:"done_at,omitzero"`
	DeadAt   docstore.Time `json:"dead_at,omitzero"` // of a runnable one: OnDiscard is to be told
	Error    string        `json:"error,omitempty"`
	State    State         `json:"state,omitempty"` // where List finds it by that, see marks
}

// DocumentID is the job's id.
func (d document[T]) DocumentID() string { return d.ID }

func (d document[T]) state() State {
	switch {
	case !d.DueAt.IsZero():
		return Pending
	case !d.DeadAt.IsZero():
		return Dead
	}
	return Done
}

// marks tells which jobs are in the index by state. Where none that are done are kept,
// nearly all are pending, and listed as such without it.
func (c *Config[T]) marks(s State) bool { return s == Dead || c.KeepDone > 0 && s != All }

// enter notes a job's state for the index.
func (q *Queue[T]) enter(d *document[T]) error {
	d.State = ""
	if s := d.state(); q.c.marks(s) {
		d.State = s
	}
	return nil
}

// Spec is the collection that the store has to have for a queue of T. A document that
// lacks a field isn't in its index, so only what a job makes use of costs anything.
func Spec[T any](collection string) docstore.Spec {
	return docstore.Spec{Collection: collection, Of: document[T]{}, Transient: true, Indexes: []docstore.Index{
		{Name: "by_due", Fields: []string{"lane", "due_at"}},
		{Name: "by_queued", Fields: []string{"queued_at"}},
		{Name: "by_group", Fields: []string{"group", "queued_at"}},
		{Name: "by_expiry", Fields: []string{"expires_at"}},
		{Name: "by_state", Fields: []string{"state", "queued_at"}},
	}}
}

// Put puts a job into the queue, unless one with its ID is there: pending, done, dead
// or remembered. Once it returns nil, that is durable. Errors are the store's.
//
// Where this copy works the queue and has room in the lane, the job goes into its
// hands at once: it is stored as claimed, which saves the write of claiming it.
func (q *Queue[T]) Put(ctx context.Context, job Job[T]) error {
	d, err := q.document(job)
	if err != nil {
		return err
	}
	working, taken := q.takeNew(&d)
	err = q.jobs.Insert(ctx, d)
	switch {
	case taken && err == nil:
		go q.attempt(working, d)
	case taken:
		q.slots.drop(d.Lane, d.ID)
	case err == nil:
		q.slots.fallBehind(d.Lane)
	}
	if docstore.ConflictsOn(err, docstore.IDIndex) {
		return nil
	}
	return err
}

// takeNew takes a new job in hand, if it needn't wait.
func (q *Queue[T]) takeNew(d *document[T]) (working context.Context, taken bool) {
	if d.Starts.After(d.QueuedAt.Time) {
		return nil, false
	}
	if working, taken = q.slots.takeNew(d.Lane, d.ID); taken {
		q.claimed(d)
	}
	return working, taken
}

// document is a new job as it is stored.
func (q *Queue[T]) document(job Job[T]) (document[T], error) {
	d, err := q.newDocument(job)
	if q.c.Work == nil {
		_ = q.keepDone(&d, d.Deadline)
	}
	return d, err
}

// newDocument is a job that waits.
func (q *Queue[T]) newDocument(job Job[T]) (document[T], error) {
	now := q.c.Now()
	starts := now
	if job.ScheduledAt.After(now) {
		starts = job.ScheduledAt
	}
	orDefault(&job.ID, docstore.NewID())
	orDefault(&job.ExpiresAt, starts.Add(q.c.Lifetime))
	d := document[T]{ID: job.ID, Lane: job.Lane, Group: job.Group, QueuedAt: docstore.At(now), Deadline: docstore.At(job.ExpiresAt)}
	if !job.ScheduledAt.IsZero() {
		d.Starts = docstore.At(job.ScheduledAt)
	}
	_ = d.wait(step(now, starts))
	_ = q.enter(&d)
	err := q.fill(&d, job.Args)
	return d, err
}

// step is when a job that waits until then is looked at: no later than after MaxWait, as
// more would be taken for a clock that was ahead.
func step(now, until time.Time) time.Time {
	if most := now.Add(MaxWait); until.After(most) {
		return most
	}
	return until
}

// claimed makes a job this copy's for a while.
func (q *Queue[T]) claimed(d *document[T]) {
	d.Claim, d.DueAt = q.me, docstore.At(q.c.Now().Add(q.c.Claim))
	d.Attempts++
}

func (q *Queue[T]) fill(d *document[T], args T) error {
	if q.c.Seal == nil {
		d.Args = &args
		return nil
	}
	text, err := json.Marshal(args)
	if err == nil {
		d.Args, d.Sealed = nil, q.c.Seal.Seal(text, d.ID)
	}
	return err
}

// open returns docstore.ErrNotFound for what is only remembered, and
// seal.ErrUnreadable for what was sealed with another secret.
func (q *Queue[T]) open(d document[T]) (Job[T], error) {
	job := Job[T]{
		ID: d.ID, Lane: d.Lane, Group: d.Group, ExpiresAt: d.Deadline.Time, ScheduledAt: d.Starts.Time,
		State: d.state(), QueuedAt: d.QueuedAt.Time, Attempt: d.Attempts, DoneAt: d.DoneAt.Time, DeadAt: d.DeadAt.Time, Error: d.Error,
	}
	orDefault(&job.ExpiresAt, d.Expires.Time)
	switch {
	case d.Args != nil:
		job.Args = *d.Args
		return job, nil
	case d.Sealed == nil:
		return job, docstore.ErrNotFound
	case q.c.Seal == nil:
		return job, seal.ErrUnreadable
	}
	text, err := q.c.Seal.Open(d.Sealed, d.ID)
	if err != nil {
		return job, err
	}
	return job, json.Unmarshal(text, &job.Args)
}

// Get returns a job, or docstore.ErrNotFound, also for one that is only remembered.
// It returns seal.ErrUnreadable for one that was sealed with another secret.
func (q *Queue[T]) Get(ctx context.Context, id string) (Job[T], error) {
	d, err := q.jobs.Get(ctx, id)
	if err != nil {
		return Job[T]{}, err
	}
	return q.open(d)
}

// List returns a page of jobs in a state, or of all, those that were put last first, and
// the cursor of the next page, empty when nothing follows. A page leaves out what was
// sealed with another secret, and without KeepDone it leaves out what is in another
// state, so it may be short. It returns docstore.ErrCursor for what isn't a cursor.
func (q *Queue[T]) List(ctx context.Context, state State, limit int, cursor string) ([]Job[T], string, error) {
	query := docstore.Query{Index: "by_queued", Descending: true, Limit: limit, Cursor: cursor}
	if q.c.marks(state) {
		query.Index, query.Equal = "by_state", []any{string(state)}
	}
	found, next, err := q.jobs.Find(ctx, query)
	var jobs []Job[T]
	for _, d := range found {
		job, err := q.open(d)
		switch {
		case errors.Is(err, seal.ErrUnreadable), state != All && job.State != state:
		case err != nil:
			return nil, "", err
		default:
			jobs = append(jobs, job)
		}
	}
	return jobs, next, err
}

// Ahead tells how many jobs of a job's group were put before it, up to limit. Those that
// were put at the same time are one after another too.
func (q *Queue[T]) Ahead(ctx context.Context, job Job[T], limit int) (int, error) {
	first, _, err := q.jobs.Find(ctx, docstore.Query{Index: "by_group", Equal: []any{job.Group}, Limit: limit})
	place := slices.IndexFunc(first, func(d document[T]) bool { return d.ID == job.ID })
	if place < 0 {
		place = len(first)
	}
	return place, err
}

// Oldest is the pending job of a lane that was put first, of as many as are counted. It
// returns docstore.ErrNotFound when there is none, and while one of them is due or in hand.
func (q *Queue[T]) Oldest(ctx context.Context, lane string) (Job[T], error) {
	found, _, err := q.jobs.Find(ctx, docstore.Query{Index: "by_due", Equal: []any{lane}, Limit: maxCounted})
	if err != nil || len(found) == 0 {
		return Job[T]{}, cmp.Or(err, error(docstore.ErrNotFound))
	}
	now := q.c.Now()
	if slices.ContainsFunc(found, func(d document[T]) bool { return d.Claim != "" || !d.DueAt.After(now) }) {
		return Job[T]{}, docstore.ErrNotFound
	}
	return q.open(slices.MinFunc(found, func(a, b document[T]) int { return a.QueuedAt.Compare(b.QueuedAt.Time) }))
}

func (q *Queue[T]) count(ctx context.Context, query docstore.Query) (int, error) {
	page, err := q.c.Store.Find(ctx, q.c.Collection, query)
	return len(page.Documents), err
}

// Update changes a job's args, or returns docstore.ErrNotFound. change may run again.
func (q *Queue[T]) Update(ctx context.Context, id string, change func(args *T)) error {
	_, err := q.jobs.Update(ctx, id, func(d *document[T]) error {
		job, err := q.open(*d)
		if err != nil {
			return err
		}
		change(&job.Args)
		return q.fill(d, job.Args)
	})
	return err
}

// Retry puts a dead job back into the queue as if it were new, or returns
// docstore.ErrNotFound when there is no such dead job.
func (q *Queue[T]) Retry(ctx context.Context, id string) error {
	d, err := q.jobs.Update(ctx, id, func(d *document[T]) error {
		if d.state() != Dead {
			return docstore.ErrNotFound
		}
		now := q.c.Now()
		d.Attempts, d.DeadAt, d.Error = 0, docstore.Time{}, ""
		d.Deadline, d.Expires = docstore.At(now.Add(q.c.Lifetime)), docstore.Time{}
		_ = d.wait(now)
		return q.enter(d)
	})
	if err == nil {
		q.slots.fallBehind(d.Lane)
	}
	return err
}

// Delete removes a job, if there is one. An attempt at it ends soon after that.
func (q *Queue[T]) Delete(ctx context.Context, id string) error {
	return docstore.NotFoundAs(q.jobs.Delete(ctx, id), nil)
}

// DeleteGroup removes all jobs of a group.
func (q *Queue[T]) DeleteGroup(ctx context.Context, group string) error {
	_, err := q.jobs.DeleteAll(ctx, docstore.Query{Index: "by_group", Equal: []any{group}})
	return err
}

// Sweep removes jobs that have been kept or remembered for long enough, done or dead. It
// may be run by several copies at once and be cut short.
func (q *Queue[T]) Sweep(ctx context.Context) error {
	_, err := q.jobs.DeleteAll(ctx, docstore.Query{Index: "by_expiry", Until: docstore.At(q.c.Now())})
	return err
}
