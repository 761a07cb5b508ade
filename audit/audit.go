// Package audit keeps what happened and who did it: the audit log. It also has
// the way that events take there and to whoever else is to know: each is noted in
// the aggregate that it tells of, by the same atomic change, and delivered
// afterwards (the transactional outbox; see [Outbox] and [Relay]).
//
// It knows none of the events, nor who is told of them.
package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"manus/docstore"
	"manus/identity"
)

// Kind is what happened, such as "password-changed".
type Kind string

// Event is a line of the audit log.
type Event struct {
	ID      string        `json:"_id"`
	UserID  string        `json:"user_id"` // whose account it is about, or who did it to something else
	Kind    Kind          `json:"kind"`
	Subject string        `json:"subject,omitempty"` // what it was done to, where that is no account
	At      docstore.Time `json:"at"`
	Address string        `json:"address,omitempty"` // the client's
	Agent   string        `json:"agent,omitempty"`   // what the client called itself
	ByKey   string        `json:"by_key,omitempty"`  // the API key that did it
	Count   int64         `json:"count,omitempty"`   // how many events the line stands for; 0 is one
	// MailTo is where the person is mailed of it, while the event is in an outbox.
	MailTo string `json:"mail_to,omitempty"`
}

// DocumentID is the event's id.
func (e Event) DocumentID() string { return e.ID }

// NewEvent is something that happens now, done by who is calling.
func NewEvent(ctx context.Context, userID string, kind Kind, now time.Time) Event {
	caller := identity.From(ctx)
	return Event{
		ID: docstore.NewID(), UserID: userID, Kind: kind, At: docstore.At(now),
		Address: caller.AddressText(), Agent: caller.Agent, ByKey: caller.KeyID,
	}
}

var spec = docstore.Spec{Collection: "audit", Of: Event{}, Indexes: []docstore.Index{
	{Name: "by_user", Fields: []string{"user_id", "at"}},
	{Name: "by_time", Fields: []string{"at"}},
}}

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec { return []docstore.Spec{spec} }

// retention is how long the log goes back.
const retention = 180 * 24 * time.Hour

// Config is what a Log is made of.
type Config struct {
	Store docstore.Store
	Now   func() time.Time // the clock; nil means time.Now
	Log   *slog.Logger
}

// Log is the audit log. It is safe for concurrent use.
type Log struct {
	events *docstore.Collection[Event]
	now    func() time.Time
	log    *slog.Logger
}

// New makes a Log. The store's collections are declared already (Specs).
func New(c Config) *Log {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Log{events: docstore.NewCollection[Event](c.Store, spec), now: c.Now, log: c.Log}
}

// Append adds an event. One that is in the log already, by its id, is no error: so
// it may be called again. Errors are the store's.
func (l *Log) Append(ctx context.Context, e Event) error {
	e.MailTo = ""
	err := l.events.Insert(ctx, e)
	if docstore.ConflictsOn(err, docstore.IDIndex) {
		return nil
	}
	return err
}

// Record adds an event that comes with no change of an aggregate. A process that is
// killed before leaves no line of it, and neither does a store that fails.
func (l *Log) Record(ctx context.Context, userID string, kind Kind) {
	ctx = context.WithoutCancel(ctx)
	if err := l.Append(ctx, NewEvent(ctx, userID, kind, l.now())); err != nil {
		l.log.WarnContext(ctx, "an event was not written down", "user", userID, "kind", kind, "error", err)
	}
}

// List returns the events of an account, latest first, and the next page's cursor;
// of all accounts when userID is empty. Errors are the store's.
func (l *Log) List(ctx context.Context, userID string, limit int, cursor string) ([]Event, string, error) {
	q := docstore.Query{Index: "by_time", Descending: true, Limit: limit, Cursor: cursor}
	if userID != "" {
		q.Index, q.Equal = "by_user", []any{userID}
	}
	return l.events.Find(ctx, q)
}

// of is all lines about an account.
func (l *Log) of(ctx context.Context, userID string) iter.Seq2[Event, error] {
	return l.events.All(ctx, docstore.Query{Index: "by_user", Equal: []any{userID}})
}

// Export gives the lines about a person, for their copy of what is kept of them.
// Errors are the store's and add's.
func (l *Log) Export(ctx context.Context, userID string, add func(name string, values iter.Seq2[any, error]) error) error {
	return add("security-events", docstore.Show(l.of(ctx, userID), newAuditBody))
}

// Erase takes the addresses and programs out of the lines about a person. What is
// left names nobody once the account is gone, and goes with its age. It may be cut
// short and be called again. Errors are the store's.
func (l *Log) Erase(ctx context.Context, userID string) error {
	for e, err := range l.of(ctx, userID) {
		if err != nil {
			return err
		}
		_, err := l.events.Update(ctx, e.ID, func(e *Event) error {
			e.Address, e.Agent = "", ""
			return nil
		})
		if err != nil && !errors.Is(err, docstore.ErrNotFound) {
			return err
		}
	}
	return nil
}

// Sweep removes the lines that are too old. It may be run by several copies at once
// and be cut short.
func (l *Log) Sweep(ctx context.Context) error {
	_, err := l.events.DeleteAll(ctx, docstore.Query{Index: "by_time", Until: docstore.At(l.now().Add(-retention))})
	return err
}

// Counter counts events of one kind that come too often for a line each, such as
// failed attempts to sign in: they become one line for an account and an hour,
// however many there are. A process that is killed forgets what it has counted since
// the last Flush.
type Counter struct {
	log  *Log
	name string
	kind Kind

	mu     sync.Mutex
	counts map[string]*Event // by account
}

// maxCounted bounds the accounts counted at once.
const maxCounted = 10_000

// NewCounter makes a Counter that writes into the log. The ids of its lines begin
// with its name.
func NewCounter(log *Log, name string, kind Kind) *Counter {
	return &Counter{log: log, name: name, kind: kind, counts: map[string]*Event{}}
}

// Add counts one more, done by who is calling. It takes as long for any account, for
// none too.
func (c *Counter) Add(ctx context.Context, userID string) {
	e := NewEvent(ctx, userID, c.kind, c.log.now())
	c.mu.Lock()
	defer c.mu.Unlock()
	if userID == "" || c.counts[userID] == nil && len(c.counts) >= maxCounted {
		return
	}
	if c.counts[userID] == nil {
		c.counts[userID] = &e
	}
	c.counts[userID].Count++
}

// Flush adds what was counted since the last time to the log.
func (c *Counter) Flush(ctx context.Context) {
	for userID, e := range c.take() {
		count := e.Count
		e.ID = fmt.Sprintf("%s/%s/%s", c.name, userID, e.At.UTC().Format("2006-01-02T15"))
		e.Count = 0
		_, err := c.log.events.Upsert(ctx, *e, func(line *Event, _ bool) error {
			line.Count += count
			return nil
		})
		if err != nil {
			c.log.log.WarnContext(ctx, "counted events were not written down", "user", userID, "kind", c.kind, "count", count, "error", err)
		}
	}
}

func (c *Counter) take() map[string]*Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.counts
	c.counts = map[string]*Event{}
	return taken
}
