package ratelimit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Breaker is a circuit breaker around a shared engine that may be slow or gone. While
// the shared engine is gone the breaker is open: it returns ErrUnavailable at once, and
// probes in the background until the engine is back. It also remembers denials, so that
// a refused client costs the shared engine nothing until the refusal is over.
type Breaker struct {
	Engine
	probe func(context.Context) error
	open  atomic.Bool

	mu      sync.RWMutex
	denials map[string]denial // by their keys
}

// probeEvery is how often an engine that is gone is probed.
const probeEvery = 200 * time.Millisecond

// NewBreaker makes a Breaker, closed. probe tells whether the shared engine answers.
func NewBreaker(shared Engine, probe func(context.Context) error) *Breaker {
	return &Breaker{Engine: shared, probe: probe}
}

// Open tells whether the breaker is open: the shared engine is gone.
func (b *Breaker) Open() bool { return b.open.Load() }

// Take is [Engine].Take.
func (b *Breaker) Take(ctx context.Context, checks []Check, into *Decision) error {
	if b.denied(checks, into) {
		return nil
	}
	err := b.ask(func() error { return b.Engine.Take(ctx, checks, into) })
	if err == nil && !into.Allowed {
		b.remember(checks, into)
	}
	return err
}

// Peek is [Engine].Peek.
func (b *Breaker) Peek(ctx context.Context, checks []Check, into *Decision) error {
	return b.ask(func() error { return b.Engine.Peek(ctx, checks, into) })
}

// Refund is [Engine].Refund.
func (b *Breaker) Refund(ctx context.Context, checks []Check, counted *Decision) error {
	b.Forget(nil)
	return b.ask(func() error { return b.Engine.Refund(ctx, checks, counted) })
}

// Forget drops what is remembered of keys, or of all when there are none.
func (b *Breaker) Forget(keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if keys == nil {
		b.denials = nil
	}
	for _, key := range keys {
		delete(b.denials, key)
	}
}

// ask asks the engine, unless the breaker is open, and opens it when the engine is gone.
func (b *Breaker) ask(engine func() error) error {
	if b.open.Load() {
		return ErrUnavailable
	}
	err := engine()
	if errors.Is(err, ErrUnavailable) && b.open.CompareAndSwap(false, true) {
		go b.closeAgain()
	}
	return err
}

// closeAgain probes until the engine is back.
func (b *Breaker) closeAgain() {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), probeEvery)
		err := b.probe(ctx)
		<-ctx.Done() // one probe in each span
		cancel()
		if err == nil {
			b.open.Store(false)
			return
		}
	}
}

// denial is a refusal that holds until its windows admit more.
type denial struct {
	limit Limit
	cost  int
	at    time.Time // by the monotonic clock
	state []Standing
}

// maxDenials bounds what is remembered.
const maxDenials = 100_000

// denied answers for a request that is known to be refused.
func (b *Breaker) denied(checks []Check, into *Decision) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if len(b.denials) == 0 {
		return false
	}
	for i := range checks {
		known, ok := b.denials[checks[i].Key]
		if !ok || checks[i].Shadow || known.cost > checks[i].Cost || !slices.Equal(known.limit, checks[i].Limit) {
			continue
		}
		since := time.Since(known.at)
		if !slices.ContainsFunc(known.state, func(s Standing) bool { return s.Retry > since }) {
			continue // it is over
		}
		into.Resize(checks)
		into.Allowed = false
		for j := range into.Checks {
			into.Checks[j].Allowed = true
			into.Checks[j].Windows = into.Checks[j].Windows[:0] // not asked
		}
		verdict := &into.Checks[i]
		verdict.Allowed = false
		verdict.Windows = verdict.Windows[:len(known.state)]
		for j, s := range known.state {
			verdict.Windows[j] = Standing{Remaining: s.Remaining, Reset: max(0, s.Reset-since), Retry: max(0, s.Retry-since)}
		}
		return true
	}
	return false
}

func (b *Breaker) remember(checks []Check, decision *Decision) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.denials == nil || len(b.denials) >= maxDenials {
		b.denials = map[string]denial{}
	}
	for i := range checks {
		verdict := &decision.Checks[i]
		if verdict.Allowed || checks[i].Shadow {
			continue
		}
		b.denials[checks[i].Key] = denial{limit: checks[i].Limit, cost: checks[i].Cost, at: time.Now(), state: slices.Clone(verdict.Windows)}
	}
}
