package audit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"manus/docstore"
)

// Outbox is where an aggregate keeps the events that it has noted, until they have
// been delivered: two fields of its document, which it hands out by a method.
//
//	Pending      []audit.Event `json:"pending,omitempty"`
//	PendingSince docstore.Time `json:"pending_since,omitzero"`
//
// The collection has the index [PendingIndex].
type Outbox[E docstore.Entity] struct {
	// Events are what waits, oldest first.
	Events *[]E
	// Since is when the first of them was noted; zero when none waits.
	Since *docstore.Time
}

// PendingIndex is how a Relay finds aggregates in whose outbox something waits.
var PendingIndex = docstore.Index{Name: "by_pending", Fields: []string{"pending_since"}}

// maxPending bounds what waits in one outbox while it can't be delivered. The oldest
// goes first.
const maxPending = 50

// Note puts an event in the outbox. It is called in the atomic change that the event
// tells of: so there is never one without the other.
func (o Outbox[E]) Note(e E, now time.Time) {
	if len(*o.Events) == 0 {
		*o.Since = docstore.At(now)
	}
	*o.Events = append(*o.Events, e)
	*o.Events = slices.Delete(*o.Events, 0, max(0, len(*o.Events)-maxPending))
}

// remove takes out what has been delivered, and returns ErrUnchanged when another
// copy has done so already.
func (o Outbox[E]) remove(delivered map[string]bool) error {
	before := len(*o.Events)
	*o.Events = slices.DeleteFunc(*o.Events, func(e E) bool { return delivered[e.DocumentID()] })
	switch len(*o.Events) {
	case before:
		return docstore.ErrUnchanged
	case 0:
		*o.Since = docstore.Time{}
	}
	return nil
}

// Link is one of the places where events go: the audit log, an outbox of mails, an
// alarm. It gets the aggregate as it was read, and may get an event again, from
// another copy at the same time too: it tells by the event's id that it has it
// already. An error means that it is to be tried again; what can never be delivered
// is no error, since the aggregate's later events wait behind it.
type Link[T, E docstore.Entity] func(ctx context.Context, aggregate T, event E) error

// RelayConfig is what a Relay is made of.
type RelayConfig[T, E docstore.Entity] struct {
	Aggregates *docstore.Collection[T]
	// Outbox is an aggregate's.
	Outbox func(*T) Outbox[E]
	// Links are where each event goes, one after the other.
	Links []Link[T, E]
	Now   func() time.Time
	Log   *slog.Logger
}

// Relay delivers the events in the outboxes of a collection's aggregates: each to
// every link, at least once, an aggregate's in the order they were noted. Several
// copies of the program may have one.
type Relay[T, E docstore.Entity] struct{ RelayConfig[T, E] }

// NewRelay makes a Relay.
func NewRelay[T, E docstore.Entity](c RelayConfig[T, E]) *Relay[T, E] { return &Relay[T, E]{c} }

// Send delivers what an aggregate has just noted. What fails is logged, and is
// DeliverStale's to try again. Not even a client that leaves stops it.
func (r *Relay[T, E]) Send(ctx context.Context, aggregate T) {
	ctx = context.WithoutCancel(ctx)
	if err := r.Deliver(ctx, aggregate); err != nil {
		r.Log.WarnContext(ctx, "events wait to be delivered", "of", aggregate.DocumentID(), "error", err)
	}
}

// Deliver delivers what waits in an aggregate's outbox and takes it out, up to the
// first event that a link fails for, and returns that link's error, or the store's.
func (r *Relay[T, E]) Deliver(ctx context.Context, aggregate T) error {
	delivered := map[string]bool{}
	var failed error
	for _, e := range *r.Outbox(&aggregate).Events {
		if failed = r.pass(ctx, aggregate, e); failed != nil {
			break
		}
		delivered[e.DocumentID()] = true
	}
	if len(delivered) == 0 {
		return failed
	}
	_, err := r.Aggregates.Update(ctx, aggregate.DocumentID(), func(a *T) error { return r.Outbox(a).remove(delivered) })
	if errors.Is(err, docstore.ErrNotFound) { // it is gone, and its outbox with it
		err = nil
	}
	return errors.Join(failed, err)
}

func (r *Relay[T, E]) pass(ctx context.Context, aggregate T, e E) error {
	for _, link := range r.Links {
		if err := link(ctx, aggregate, e); err != nil {
			return err
		}
	}
	return nil
}

const (
	// staleAfter is when an event was left behind, rather than on its way.
	staleAfter = 5 * time.Second
	// parallelDeliveries are so many that the store can commit them together.
	parallelDeliveries = 8
)

// DeliverStale delivers what was left behind: by a process that was killed, by a link
// that failed, or by a command. An aggregate for which it fails keeps none of the
// others from being delivered; the first such error is returned, or the store's.
func (r *Relay[T, E]) DeliverStale(ctx context.Context) error {
	now := r.Now()
	var group errgroup.Group
	group.SetLimit(parallelDeliveries)
	for _, stale := range []docstore.Query{
		{Index: PendingIndex.Name, Until: docstore.At(now.Add(-staleAfter))},
		{Index: PendingIndex.Name, From: docstore.At(now.Add(staleAfter))}, // the clock was set back since
	} {
		for aggregate, err := range r.Aggregates.All(ctx, stale) {
			if err != nil {
				return errors.Join(err, group.Wait())
			}
			group.Go(func() error { return r.Deliver(ctx, aggregate) })
		}
	}
	return group.Wait()
}
