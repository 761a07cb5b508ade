package notify

import (
	"context"
	"errors"
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

// Alert is what is shown of an alert in the outbox.
type Alert struct {
	ID, Key, Kind          string
	State                  State
	Title, Text, URL       string
	Channel                string
	Status                 Status
	Attempts               int
	LastError              string
	CreatedAt, DeliveredAt time.Time
}

func newAlert(job queue.Job[alert]) Alert {
	return Alert{
		ID: job.ID, Key: job.Args.Key, Kind: job.Args.Kind, State: job.Args.State, Title: job.Args.Title, Text: job.Args.Text, URL: job.Args.URL,
		Channel: channelOf(job.Lane), Status: statuses[job.State], Attempts: job.Attempt, LastError: job.Error, CreatedAt: job.QueuedAt, DeliveredAt: job.DoneAt,
	}
}

// List returns a page of the alerts of a status, or of all, newest first, and the next
// page's cursor. Errors are the store's.
func (s *Service) List(ctx context.Context, status Status, limit int, cursor string) ([]Alert, string, error) {
	jobs, next, err := s.alerts.List(ctx, states[status], limit, cursor)
	alerts := make([]Alert, len(jobs))
	for i, job := range jobs {
		alerts[i] = newAlert(job)
	}
	return alerts, next, err
}

// ErrNotDead is returned for an alert that can't be sent again: it waits, or was
// delivered.
var ErrNotDead = errors.New("the alert wasn't given up")

// Retry has an alert sent again that was given up. It returns ErrNoAlert, ErrNotDead or an
// error of the store.
func (s *Service) Retry(ctx context.Context, id string) error {
	job, err := s.alerts.Get(ctx, id)
	switch {
	case err != nil:
		return docstore.NotFoundAs(err, ErrNoAlert)
	case job.State != queue.Dead:
		return ErrNotDead
	}
	if err := s.note(ctx, eventRetried, job.Args.Key); err != nil {
		return err
	}
	return docstore.NotFoundAs(s.alerts.Retry(ctx, id), ErrNotDead)
}
