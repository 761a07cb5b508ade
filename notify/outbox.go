package notify

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/queue"
)

// Status is where an alert stands.
type Status string

// The statuses.
const (
	Pending   Status = "pending"
	Delivered Status = "delivered"
	Dead      Status = "dead" // given up
)

// states are the queue's words for them, and statuses are ours for those.
var (
	states   = map[Status]queue.State{Pending: queue.Pending, Delivered: queue.Done, Dead: queue.Dead}
	statuses = map[queue.State]Status{queue.Pending: Pending, queue.Done: Delivered, queue.Dead: Dead}
)

// Alert is what is shown of an alert in the outbox. HeldUntil is set for one that waits for
// a digest.
type Alert struct {
	ID, Key, Kind          string
	State                  State
	Title, Text, URL       string
	Channel                string // or the part of one, such as mail/2
	Status                 Status
	Attempts               int
	LastError              string
	CreatedAt, DeliveredAt time.Time
	HeldUntil              time.Time
}

func newAlert(job queue.Job[alert]) Alert {
	return Alert{
		ID: job.ID, Key: job.Args.Key, Kind: job.Args.Kind, State: job.Args.State, Title: job.Args.Title, Text: job.Args.Text, URL: job.Args.URL,
		Channel: job.Lane, Status: statuses[job.State], Attempts: job.Attempt, LastError: job.Error, CreatedAt: job.QueuedAt, DeliveredAt: job.DoneAt,
	}
}

// List returns a page of the alerts of a status, or of all, newest first, and the next
// page's cursor. What is held for a digest is pending. It returns docstore.ErrCursor for
// what isn't a cursor, or an error of the store.
func (s *Service) List(ctx context.Context, status Status, limit int, cursor string) ([]Alert, string, error) {
	queued := func(ctx context.Context, limit int, cursor string) ([]Alert, string, error) {
		jobs, next, err := s.alerts.List(ctx, states[status], limit, cursor)
		alerts := make([]Alert, len(jobs))
		for i, job := range jobs {
			alerts[i] = newAlert(job)
		}
		return alerts, next, err
	}
	if status == Delivered || status == Dead {
		return queued(ctx, limit, cursor)
	}
	return merge(ctx, limit, cursor, queued, s.listHeld)
}

// listHeld is a page of what waits for a digest.
func (s *Service) listHeld(ctx context.Context, limit int, cursor string) ([]Alert, string, error) {
	held, next, err := s.held.Find(ctx, docstore.Query{Index: "by_held", Descending: true, Limit: limit, Cursor: cursor})
	alerts := make([]Alert, len(held))
	for i, h := range held {
		o, getErr := s.occurrences.Get(ctx, h.Occurrence)
		err = errors.Join(err, docstore.NotFoundAs(getErr, nil))
		alerts[i] = s.newHeld(h, o)
	}
	return alerts, next, err
}

func (s *Service) newHeld(h heldAlert, o occurrence) Alert {
	tag, state, shown := s.rules.Load().Language, Raised, o.Event
	if sent := o.Lanes[h.Lane]; sent != nil {
		state = sent.As
	}
	switch {
	case h.Over && h.Digest != "":
		state = Over
	case h.Over:
		state = Passed
	}
	if state == Over && o.End != nil {
		shown = *o.End
	}
	return Alert{
		ID: h.ID, Key: o.Event.Key(), Kind: h.Kind, State: state, Title: titleOf(state, h.Title, tag), Text: shown.Text.In(tag), URL: shown.URL,
		Channel: h.Lane, Status: Pending, CreatedAt: h.HeldAt.Time, HeldUntil: h.DueAt.Time,
	}
}

// lister lists a page of at most so many alerts, newest first, from a cursor on.
type lister func(ctx context.Context, limit int, cursor string) (alerts []Alert, next string, err error)

// Of a list of two, the cursor has both lists' cursors, or that one has ended.
const (
	cursors = "."
	ended   = "-"
)

// merge is a page of two lists.
func merge(ctx context.Context, limit int, cursor string, lists ...lister) ([]Alert, string, error) {
	at := make([]string, len(lists))
	if cursor != "" {
		if at = strings.Split(cursor, cursors); len(at) != len(lists) {
			return nil, "", docstore.ErrCursor
		}
	}
	type item struct {
		Alert
		of int
	}
	var items []item
	next := slices.Clone(at)
	found := make([]int, len(lists))
	for i, list := range lists {
		if at[i] == ended {
			continue
		}
		alerts, after, err := list(ctx, limit, at[i])
		if err != nil {
			return nil, "", err
		}
		next[i], found[i] = cmp.Or(after, ended), len(alerts)
		for _, a := range alerts {
			items = append(items, item{a, i})
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return b.CreatedAt.Compare(a.CreatedAt) })
	items = items[:min(len(items), limit)]
	page, taken := make([]Alert, len(items)), make([]int, len(lists))
	for k, item := range items {
		page[k] = item.Alert
		taken[item.of]++
	}
	for i, list := range lists {
		var err error
		switch {
		case taken[i] == found[i]:
		case taken[i] == 0:
			next[i] = at[i]
		default: // its cursor is that of a shorter page
			_, next[i], err = list(ctx, taken[i], at[i])
		}
		if err != nil {
			return nil, "", err
		}
	}
	if !slices.ContainsFunc(next, func(c string) bool { return c != ended }) {
		return page, "", nil
	}
	return page, strings.Join(next, cursors), nil
}

// ErrNotDead is returned for an alert that can't be sent again: it waits, or was
// delivered.
var ErrNotDead = errors.New("the alert wasn't given up")

// Retry has an alert sent again that was given up. It returns ErrNoAlert, ErrNotDead or an
// error of the store.
func (s *Service) Retry(ctx context.Context, id string) error {
	job, err := s.alerts.Get(ctx, id)
	switch {
	case errors.Is(err, docstore.ErrNotFound):
		if _, err = s.heldByID(ctx, id); err == nil {
			err = ErrNotDead
		}
		return err
	case err != nil:
		return err
	case job.State != queue.Dead:
		return ErrNotDead
	}
	if err := s.note(ctx, eventRetried, job.Args.Key); err != nil {
		return err
	}
	return docstore.NotFoundAs(s.alerts.Retry(ctx, id), ErrNotDead)
}

// heldByID is what waits for a digest, or ErrNoAlert.
func (s *Service) heldByID(ctx context.Context, id string) (heldAlert, error) {
	h, err := s.held.Get(ctx, id)
	if err == nil && h.HeldAt.IsZero() {
		err = ErrNoAlert
	}
	return h, docstore.NotFoundAs(err, ErrNoAlert)
}
