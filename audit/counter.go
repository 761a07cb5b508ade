package audit

import (
	"context"
	"fmt"
	"sync"
)

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
