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

// Outbox is where an aggregate keeps the events that it has noted until they have been
// delivered: two fields of its document, of which the second is named pending_since and
// indexed by [PendingIndex].
type Outbox[E docstore.Entity] struct {
	Events *[]E           // what waits, oldest first
	Since  *docstore.Time // when the first was noted; zero when none waits
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

// Relay delivers the events in the outboxes of a collection's aggregates, each at least
// once, an aggregate's in the order they were noted. Several copies of the program may
// have one.
type Relay[T, E docstore.Entity] struct {
	Aggregates *docstore.Collection[T]
	// Outbox is an aggregate's.
	Outbox func(*T) Outbox[E]
	// Publish takes an event to where it belongs: the audit log, an outbox of mails, an
	// alarm. It gets the aggregate as it was read, and may get an event again, by
	// another copy at the same time too: each link of the chain tells by the event's id
	// that it has it already. After an error it is called again, and the aggregate's
	// later events wait; so what can never be delivered is no error.
	Publish func(ctx context.Context, aggregate T, event E) error
	Now     func() time.Time
	Log     *slog.Logger
}

// Send delivers what an aggregate has just noted. What fails is logged, and is
// DeliverStale's to try again. Not even a client that leaves stops it.
func (r *Relay[T, E]) Send(ctx context.Context, aggregate T) {
	ctx = context.WithoutCancel(ctx)
	if err := r.Deliver(ctx, aggregate); err != nil {
		r.Log.WarnContext(ctx, "events wait to be delivered", "of", aggregate.DocumentID(), "error", err)
	}
}

// Deliver delivers what waits in an aggregate's outbox and takes it out, up to the
// first that Publish fails for. Errors are Publish's and the store's.
func (r *Relay[T, E]) Deliver(ctx context.Context, aggregate T) error {
	delivered := map[string]bool{}
	var failed error
	for _, e := range *r.Outbox(&aggregate).Events {
		if failed = r.Publish(ctx, aggregate, e); failed != nil {
			break
		}
		delivered[e.DocumentID()] = true
	}
	if len(delivered) == 0 {
		return failed
	}
	_, err := r.Aggregates.Update(ctx, aggregate.DocumentID(), func(a *T) error { return r.Outbox(a).remove(delivered) })
	return errors.Join(failed, docstore.NotFoundAs(err, nil)) // one that is gone has no outbox
}

const (
	// staleAfter is when an event was left behind, rather than on its way.
	staleAfter = 5 * time.Second
	// parallelDeliveries are so many that the store can commit them together.
	parallelDeliveries = 8
)

// DeliverStale delivers what was left behind: by a process that was killed, by a failure,
// or by a command. An aggregate for which it fails keeps none of the
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
