// Package redishints tells the copies of the program, over a channel of Redis, that
// a session's log has grown. It is a hint and nothing more: what a stream sends it
// reads from the store, and where a hint is lost it looks there by itself.
package redishints

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"manus/internal/redisclient"
	"manus/session"
)

var _ session.Hints = (*Hints)(nil)

const (
	// channel has a message per hint: the sender and the session's id. The sender
	// alone is its heartbeat.
	channel = "manus:session:hints"
	// beatEvery is how often a copy sends itself a heartbeat. Without one for
	// aliveFor beats it takes the connection for dead.
	beatEvery = time.Second
	aliveFor  = 3
	// publishTimeout bounds one round of publishing.
	publishTimeout = 2 * time.Second
	// maxPending bounds the hints that wait to be published, and maxLength an id.
	maxPending = 10_000
	maxLength  = 64
)

// Hints is a [session.Hints] over Redis.
type Hints struct {
	client  *redisclient.Client
	self    string
	beat    time.Duration             // beatEvery, but for tests
	heard   atomic.Pointer[time.Time] // the last beat of this copy
	pending chan string               // sessions
}

// New makes Hints. They work while Run does.
func New(client *redisclient.Client) *Hints {
	return &Hints{client: client, self: uuid.NewString(), beat: beatEvery, pending: make(chan string, maxPending)}
}

// Publish tells the other copies that the session's log has grown, a moment later.
// Several hints about one session in that moment become one.
func (h *Hints) Publish(sessionID string) {
	select {
	case h.pending <- sessionID:
	default:
	}
}

// Alive tells whether this copy has lately received its own heartbeat, and so would
// receive the others' hints.
func (h *Hints) Alive() bool {
	heard := h.heard.Load()
	return heard != nil && time.Since(*heard) < aliveFor*h.beat
}

// Run publishes and receives hints until ctx ends. It calls onHint with the session of
// each hint of another copy, and missed when some may have been lost.
func (h *Hints) Run(ctx context.Context, onHint func(sessionID string), missed func()) {
	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() { h.publishLoop(ctx) })
	h.client.Listen(ctx, channel, func(message string) { h.receive(message, onHint) }, missed)
}

func (h *Hints) receive(message string, onHint func(string)) {
	sender, sessionID, hint := strings.Cut(message, " ")
	switch {
	case sender == h.self:
		h.heard.Store(new(time.Now()))
	case hint && len(sessionID) <= maxLength:
		onHint(sessionID)
	}
}

// publishLoop publishes pending hints, and this copy's heartbeat.
func (h *Hints) publishLoop(ctx context.Context) {
	beat := time.NewTicker(h.beat)
	defer beat.Stop()
	h.publish(ctx, []string{h.self})
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			h.publish(ctx, []string{h.self})
		case sessionID := <-h.pending:
			h.publish(ctx, h.take(sessionID))
		}
	}
}

// take takes the pending hints, of which the first has been taken, as messages.
func (h *Hints) take(first string) (messages []string) {
	sessions := map[string]bool{first: true}
	for range len(h.pending) {
		sessions[<-h.pending] = true
	}
	for sessionID := range sessions {
		messages = append(messages, h.self+" "+sessionID)
	}
	return messages
}

// publish ignores errors: without a hint, the others look into the store themselves.
func (h *Hints) publish(ctx context.Context, messages []string) {
	client, err := h.client.Get()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	commands := make(rueidis.Commands, len(messages))
	for i, message := range messages {
		commands[i] = client.B().Publish().Channel(channel).Message(message).Build()
	}
	client.DoMulti(ctx, commands...)
}
