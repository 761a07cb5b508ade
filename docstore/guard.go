package docstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
)

// ErrChanged is returned instead of changing a document that isn't as its [Guard] has seen it.
var ErrChanged = errors.New("the document has been changed meanwhile")

// Guard remembers documents as they are read in a context, and has changes of them in
// another one fail with ErrChanged where somebody else has changed them in between. So what
// is decided by a look at them holds by the same atomic change. The first change of each is held against
// it, for those that follow are its own's.
type Guard struct {
	mu     sync.Mutex
	closed bool
	seen   map[string][sha256.Size]byte
}

// GuardKey is what a context is asked for a Guard by; it may have one without being made by WithGuard.
type GuardKey struct{}

// WithGuard has what is read in the context remembered, until [Guard.Close], and from then on what is
// changed held against that.
func WithGuard(ctx context.Context, g *Guard) context.Context {
	return context.WithValue(ctx, GuardKey{}, g)
}

// Close ends the remembering.
func (g *Guard) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func guardFrom(ctx context.Context) *Guard {
	g, _ := ctx.Value(GuardKey{}).(*Guard)
	return g
}

// note remembers a document that has been read.
func (g *Guard) note(collection, id string, raw Raw) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	if g.seen == nil {
		g.seen = map[string][sha256.Size]byte{}
	}
	g.seen[collection+"/"+id] = sha256.Sum256(raw)
}

// guarded is a change that only happens where the document is as it was seen.
func (g *Guard) guarded(collection, id string, change func(Raw) (Raw, error)) func(Raw) (Raw, error) {
	if g == nil {
		return change
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	seen, ok := g.seen[collection+"/"+id]
	if !ok {
		return change
	}
	delete(g.seen, collection+"/"+id)
	return func(old Raw) (Raw, error) {
		if sha256.Sum256(old) != seen {
			return nil, ErrChanged
		}
		return change(old)
	}
}
