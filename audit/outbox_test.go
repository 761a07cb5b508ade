package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/storetest"
)

// order is an aggregate that notes what happens to it.
type order struct {
	ID     string        `json:"_id"`
	Total  int           `json:"total"`
	Events []Event       `json:"events,omitempty"`
	Since  docstore.Time `json:"pending_since,omitzero"`
}

func (o order) DocumentID() string { return o.ID }

func (o *order) outbox() Outbox[Event] { return Outbox[Event]{&o.Events, &o.Since} }

var orderSpec = docstore.Spec{Collection: "orders", Of: order{}, Indexes: []docstore.Index{PendingIndex}}

// shop is a copy of a program that has orders and an audit log.
type shop struct {
	*Relay[order, Event]
	clock *clocktest.Clock
	log   *Log
	then  func(Event) error // where events go after the log
}

// openShop is a copy of the program on the store at path. Its events go to the log and
// then to a receiver, if there is one.
func openShop(t testing.TB, path string, to ...*receiver) *shop {
	t.Helper()
	s := newShop(storetest.Open(t, path, append(Specs(), orderSpec)...))
	for _, r := range to {
		s.then = r.take
	}
	return s
}

func newShop(store docstore.Store) *shop {
	s := &shop{clock: clocktest.New(), then: func(Event) error { return nil }}
	s.log = New(Config{Store: store, Now: s.clock.Now, Log: slog.New(slog.DiscardHandler)})
	s.Relay = &Relay[order, Event]{
		Aggregates: docstore.NewCollection[order](store, orderSpec),
		Outbox:     (*order).outbox,
		Publish:    s.publish,
		Now:        s.clock.Now,
		Log:        s.log.log,
	}
	return s
}

func (s *shop) publish(ctx context.Context, _ order, e Event) error {
	if err := s.log.Append(ctx, e); err != nil {
		return err
	}
	return s.then(e)
}

// buy changes an order and notes it, as one change.
func (s *shop) buy(t testing.TB, id string) order {
	t.Helper()
	o, err := s.Aggregates.Upsert(t.Context(), order{ID: id}, s.bought)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// bought is that change. Events are numbered.
func (s *shop) bought(o *order, _ bool) error {
	o.Total++
	e := NewEvent(context.Background(), o.ID, "bought", s.clock.Now())
	e.ID = fmt.Sprintf("%s-%d", o.ID, o.Total)
	o.outbox().Note(e, s.clock.Now())
	return nil
}

// written are the ids of the log's lines, sorted.
func (s *shop) written(t testing.TB) []string {
	t.Helper()
	var ids []string
	for e, err := range s.log.events.All(t.Context(), docstore.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// waiting is how many events wait in an order.
func (s *shop) waiting(t testing.TB, id string) int {
	t.Helper()
	o, err := s.Aggregates.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if o.Since.IsZero() != (len(o.Events) == 0) {
		t.Errorf("%d events wait since %v", len(o.Events), o.Since)
	}
	return len(o.Events)
}

// receiver remembers what it is given, and fails while it is told to.
type receiver struct {
	mu   sync.Mutex
	ids  []string
	fail func(Event) error
}

func (r *receiver) take(e Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(e); err != nil {
			return err
		}
	}
	r.ids = append(r.ids, e.ID)
	return nil
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "manus.db") }

func TestWhatAKilledCopyHasNotedIsDeliveredByAnother(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	openShop(t, path).buy(t, "a") // and is killed
	mails := &receiver{}
	other := openShop(t, path, mails)
	noted := other.clock.Now()
	deliver := func(after time.Duration) []string {
		other.clock.Set(noted.Add(after))
		if err := other.DeliverStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		return other.written(t)
	}
	if written := deliver(staleAfter - time.Second); len(written) != 0 || other.waiting(t, "a") != 1 {
		t.Errorf("what may be on its way was taken: %v", written)
	}
	if written := deliver(staleAfter + time.Second); !slices.Equal(written, []string{"a-1"}) || other.waiting(t, "a") != 0 {
		t.Errorf("in the log are %v", written)
	}
	if deliver(time.Hour); !slices.Equal(mails.ids, []string{"a-1"}) {
		t.Errorf("mailed were %v", mails.ids)
	}
}

// Each link may be done twice, so that nothing is lost between two of them.
func TestALinkThatFailsIsTriedAgainInOrder(t *testing.T) {
	t.Parallel()
	broken := errors.New("the mail server is gone")
	mails := &receiver{}
	s := openShop(t, newPath(t), mails)
	s.buy(t, "a")
	s.buy(t, "a")
	o := s.buy(t, "a")
	mails.fail = func(e Event) error {
		if e.ID == "a-2" {
			return broken
		}
		return nil
	}
	if err := s.Deliver(t.Context(), o); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(mails.ids, []string{"a-1"}) || s.waiting(t, "a") != 2 {
		t.Errorf("mailed were %v, %d wait", mails.ids, s.waiting(t, "a"))
	}
	mails.fail = nil
	if err := s.Deliver(t.Context(), o); err != nil { // as a copy that has read it before
		t.Fatal(err)
	}
	if want := []string{"a-1", "a-1", "a-2", "a-3"}; !slices.Equal(mails.ids, want) || s.waiting(t, "a") != 0 {
		t.Errorf("mailed were %v, %d wait", mails.ids, s.waiting(t, "a"))
	}
	if written := s.written(t); !slices.Equal(written, []string{"a-1", "a-2", "a-3"}) {
		t.Errorf("in the log are %v", written)
	}
}

func TestNobodysEventsWaitBehindAnothers(t *testing.T) {
	t.Parallel()
	broken := errors.New("no such mailbox")
	mails := &receiver{fail: func(e Event) error {
		if e.UserID == "order 000" {
			return broken
		}
		return nil
	}}
	s := openShop(t, newPath(t), mails)
	const orders = 2*docstore.DefaultLimit + 1
	for i := range orders {
		s.buy(t, fmt.Sprintf("order %03d", i))
	}
	s.clock.Add(time.Minute)
	if err := s.DeliverStale(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if len(mails.ids) != orders-1 || s.waiting(t, "order 000") != 1 {
		t.Errorf("mailed were %d", len(mails.ids))
	}
}

func TestCopiesThatDeliverAtOnceWriteEachEventOnce(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	var copies []*shop
	for range 3 {
		copies = append(copies, openShop(t, path))
	}
	const orders = 50
	for i := range orders {
		copies[i%3].buy(t, fmt.Sprintf("order %02d", i))
	}
	var all sync.WaitGroup
	for _, c := range copies {
		c.clock.Add(time.Minute)
		all.Go(func() {
			if err := c.DeliverStale(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(copies[0].written(t)); n != orders {
		t.Errorf("%d lines", n)
	}
	for i := range orders {
		if id := fmt.Sprintf("order %02d", i); copies[0].waiting(t, id) != 0 {
			t.Errorf("%s still has an event", id)
		}
	}
}

func TestEventsOfAClockThatWasInTheFutureAreDelivered(t *testing.T) {
	t.Parallel()
	s := openShop(t, newPath(t))
	now := s.clock.Now()
	s.clock.Set(now.AddDate(5, 0, 0))
	s.buy(t, "a")
	s.clock.Set(now)
	if err := s.DeliverStale(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.waiting(t, "a") != 0 || len(s.written(t)) != 1 {
		t.Error("it waits for five years")
	}
}

func TestAnOutboxIsBounded(t *testing.T) {
	t.Parallel()
	s := openShop(t, newPath(t))
	for range maxPending + 2 {
		s.buy(t, "a")
	}
	if n := s.waiting(t, "a"); n != maxPending {
		t.Errorf("%d wait", n)
	}
	s.clock.Add(time.Minute)
	if err := s.DeliverStale(t.Context()); err != nil {
		t.Fatal(err)
	}
	written := s.written(t)
	if len(written) != maxPending || slices.Contains(written, "a-1") || !slices.Contains(written, fmt.Sprintf("a-%d", maxPending+2)) {
		t.Errorf("in the log are %v", written)
	}
}

// Another copy has finished an erasure meanwhile, say.
func TestAnAggregateThatIsGoneIsNoError(t *testing.T) {
	t.Parallel()
	s := openShop(t, newPath(t))
	o := s.buy(t, "a")
	if err := s.Aggregates.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Deliver(t.Context(), o); err != nil {
		t.Error(err)
	}
}

func TestSendOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	s := openShop(t, newPath(t))
	o := s.buy(t, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var said bytes.Buffer
	s.Relay.Log = slog.New(slog.NewTextHandler(&said, nil))
	s.Send(ctx, o)
	if s.waiting(t, "a") != 0 || len(s.written(t)) != 1 || said.Len() > 0 {
		t.Errorf("it was not delivered: %s", &said)
	}
	s.then = func(Event) error { return errors.New("closed") }
	s.Send(ctx, s.buy(t, "a"))
	if s.waiting(t, "a") != 1 || !strings.Contains(said.String(), "closed") {
		t.Errorf("what was not delivered is told as %q", &said)
	}
}
