// Package cache remembers what was read or worked out a moment ago, in bounded
// memory. It knows nothing of what that is.
package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// Cache remembers values by their keys. It has two halves: when the young one is
// full, or has lived for the lifetime, it becomes the old one, and what was the old
// one goes. So nothing has to be searched for removal. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	lifetime time.Duration
	size     int
	made     time.Time

	mu         sync.RWMutex
	young, old map[K]entry[V]
	turned     time.Time
	forgotten  atomic.Uint64 // how often Forget was called
}

type entry[V any] struct {
	value V
	read  time.Duration // after the cache was made
}

// New makes a Cache that believes a value for the lifetime, or for as long as there
// is room when that is 0. It holds at most twice size values.
func New[K comparable, V any](lifetime time.Duration, size int) *Cache[K, V] {
	return &Cache[K, V]{lifetime: lifetime, size: size, made: time.Now(), young: map[K]entry[V]{}, turned: time.Now()}
}

// Load returns what is remembered, or else what load reads. That is remembered,
// unless load fails or something has been forgotten since it began: it may be of
// before that.
func (c *Cache[K, V]) Load(key K, load func() (V, error)) (V, error) {
	value, ok := c.Get(key)
	if ok {
		return value, nil
	}
	r := c.Begin()
	value, err := load()
	if err == nil {
		c.PutRead(key, value, r)
	}
	return value, err
}

// Has tells whether a value is remembered for the key.
func (c *Cache[K, V]) Has(key K) bool {
	_, ok := c.Get(key)
	return ok
}

// Put remembers a value.
func (c *Cache[K, V]) Put(key K, value V) { c.PutRead(key, value, c.Begin()) }

// Get returns what is remembered.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.young[key]
	if !ok {
		e, ok = c.old[key]
	}
	return e.value, ok && (c.lifetime == 0 || time.Since(c.made)-e.read < c.lifetime)
}

// Reading is when values were about to be read.
type Reading struct {
	at        time.Time
	forgotten uint64
}

// Begin is called before values are read that PutRead is to remember.
func (c *Cache[K, V]) Begin() Reading { return Reading{time.Now(), c.forgotten.Load()} }

// PutRead remembers a value that was read, unless something has been forgotten since that
// began: it may be of before that.
func (c *Cache[K, V]) PutRead(key K, value V, r Reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgotten.Load() != r.forgotten {
		return
	}
	if len(c.young) >= c.size || c.lifetime > 0 && r.at.Sub(c.turned) >= c.lifetime {
		c.young, c.old, c.turned = map[K]entry[V]{}, c.young, r.at
	}
	c.young[key] = entry[V]{value: value, read: r.at.Sub(c.made)}
}

// Forget drops everything: changes are few beside reads, and what is missing is
// read again.
func (c *Cache[K, V]) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = map[K]entry[V]{}, nil
	c.forgotten.Add(1)
}
