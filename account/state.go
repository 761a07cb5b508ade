package account

import (
	"sync"
	"time"

	"manus/identity"
)

// stateLifetime is how long the state of a login or key is believed without asking the
// store: what another copy of the program has changed is seen after that.
const stateLifetime = time.Second

// maxStates bounds each of the cache's two halves.
const maxStates = 1 << 16

// proofState is what a request needs to know of the login or key it came with.
// The zero state is one that has ended.
type proofState struct {
	userID  string
	role    identity.Role
	expires time.Time
	// Of a key:
	secretHash string
	scopes     []identity.Scope
}

type cachedState struct {
	proofState
	read time.Time // by the monotonic clock
}

// stateCache remembers states for a lifetime. It has two halves; when the
// young one is full or has lived its lifetime it becomes the old one, and what
// was the old one goes. So nothing has to be searched for removal.
type stateCache struct {
	lifetime time.Duration

	mu         sync.RWMutex
	young, old map[string]cachedState
	turned     time.Time
	forgotten  uint64 // how often forget was called
}

func newStateCache(lifetime time.Duration) *stateCache {
	return &stateCache{lifetime: lifetime, young: map[string]cachedState{}, turned: time.Now()}
}

func (c *stateCache) get(id string) (proofState, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	cached, ok := c.young[id]
	if !ok {
		cached, ok = c.old[id]
	}
	return cached.proofState, ok && time.Since(cached.read) < c.lifetime
}

// reading is when the store was about to be read.
type reading struct {
	at        time.Time
	forgotten uint64
}

// begin is called before the store is read, for put.
func (c *stateCache) begin() reading {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return reading{at: time.Now(), forgotten: c.forgotten}
}

// put keeps a state, unless something has been forgotten since the store was
// read: the state may be of before that.
func (c *stateCache) put(id string, state proofState, r reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgotten != r.forgotten {
		return
	}
	if len(c.young) >= maxStates || r.at.Sub(c.turned) >= c.lifetime {
		c.young, c.old, c.turned = map[string]cachedState{}, c.young, r.at
	}
	c.young[id] = cachedState{proofState: state, read: r.at}
}

// forget drops everything: changes of accounts are few beside requests, and a
// state costs two reads.
func (c *stateCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = map[string]cachedState{}, nil
	c.forgotten++
}
