package ratelimit

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Breaker is a circuit breaker around a shared engine that may be slow or gone. While
// it is open the shared engine isn't asked: decisions are ErrUnavailable at once, and
// are made by [Breaker.Fallback]. It opens on an error of the shared engine, and on its
// silence: not when one call takes long, which on a busy machine is the machine's doing,
// but when calls wait and nothing at all has been answered for silentTicks of our own
// clock, which is held up when the program is. It closes with the first good probe.
//
// It also remembers denials, so that a refused client costs the shared engine nothing
// until the refusal is over.
type Breaker struct {
	c     BreakerConfig
	cause atomic.Pointer[error] // why it is open; nil while it is closed
	gauge prometheus.Gauge

	calls watch
	owed  debts
	life  context.Context // ends with Close
	close context.CancelFunc

	doubting atomic.Bool // see doubt

	mu      sync.RWMutex
	denials map[string]denial // by their keys
}

// BreakerConfig is what a Breaker is made of.
type BreakerConfig struct {
	Shared Engine
	// Probe tells whether the shared engine decides: it makes a whole decision.
	Probe func(context.Context) error
	// Local decides while the breaker is open. What is decided by the shared engine
	// teaches it where everybody stands, so that it doesn't begin with nothing.
	Local interface {
		Engine
		// Learn notes where the checks stand by a decision that was made elsewhere.
		Learn(checks []Check, decided *Decision)
	}
	// Explain says why the shared engine can't count, in words for an operator. Nil
	// takes the error's own.
	Explain func(error) string
	Metrics prometheus.Registerer // nil: nobody counts
	Log     *slog.Logger
}

const (
	// probeEvery is how often an engine that is gone is probed, probeTimeout how long
	// it may take to answer.
	probeEvery   = 50 * time.Millisecond
	probeTimeout = time.Second
)

// NewBreaker makes a Breaker, closed.
func NewBreaker(c BreakerConfig) *Breaker {
	if c.Explain == nil {
		c.Explain = error.Error
	}
	b := &Breaker{c: c, gauge: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "manus_limit_breaker_open",
		Help: "1 while limits are counted by this copy alone, as the shared counts are unavailable.",
	})}
	b.life, b.close = context.WithCancel(context.Background())
	b.calls.silent = func() { b.trip(ErrSilent) }
	if c.Metrics != nil {
		c.Metrics.MustRegister(b.gauge)
	}
	return b
}

// Start waits until the shared engine decides, so that no request is counted without the
// other copies at a start. When ctx ends before that, the breaker is open.
func (b *Breaker) Start(ctx context.Context) {
	for {
		err := b.probe(ctx)
		if err == nil {
			return
		}
		select {
		case <-time.After(probeEvery):
		case <-ctx.Done():
			b.trip(err)
			return
		}
	}
}

// Close ends the probing.
func (b *Breaker) Close() { b.close() }

// Open is why the breaker is open, or nil while the shared engine is asked.
func (b *Breaker) Open() error {
	if cause := b.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// Take is [Engine].Take.
func (b *Breaker) Take(ctx context.Context, checks []Check, into *Decision) error {
	if b.denied(checks, into) {
		return nil
	}
	patient := slices.ContainsFunc(checks, func(c Check) bool { return c.Patient })
	err := b.ask(ctx, patient, func(ctx context.Context) error { return b.c.Shared.Take(ctx, checks, into) })
	if err == nil {
		b.c.Local.Learn(checks, into)
		if !into.Allowed {
			b.remember(checks, into)
		}
	}
	return err
}

// Peek is [Engine].Peek.
func (b *Breaker) Peek(ctx context.Context, checks []Check, into *Decision) error {
	return b.ask(ctx, true, func(ctx context.Context) error { return b.c.Shared.Peek(ctx, checks, into) })
}

// Refund is [Engine].Refund.
func (b *Breaker) Refund(ctx context.Context, checks []Check, counted *Decision) error {
	var keys []string
	for i := range checks {
		keys = append(keys, checks[i].Key)
	}
	b.Forget(keys)
	return b.ask(ctx, true, func(ctx context.Context) error { return b.c.Shared.Refund(ctx, checks, counted) })
}

// Reset is [Engine].Reset.
func (b *Breaker) Reset(ctx context.Context, keys []string) error { return b.c.Shared.Reset(ctx, keys) }

// Forget drops what is remembered of keys, or of all when there are none.
func (b *Breaker) Forget(keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if keys == nil {
		b.denials = nil
	}
	maps.DeleteFunc(b.denials, func(_ string, d denial) bool {
		return slices.ContainsFunc(d.checks, func(c Check) bool { return slices.Contains(keys, c.Key) })
	})
}

// ask asks the shared engine, unless the breaker is open, and opens it when the engine
// is gone. A question that isn't patient is given up after hastyTicks.
func (b *Breaker) ask(ctx context.Context, patient bool, engine func(context.Context) error) error {
	if cause := b.Open(); cause != nil {
		return cause
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := b.calls.begin(patient, cancel)
	err := engine(ctx)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrUnavailable) {
		b.calls.end(c, false)
		if errors.Is(cause, errSlow) {
			b.doubt()
		}
		return cause // it was given up by us
	}
	b.calls.end(c, err == nil)
	if errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrNotReached) {
		b.trip(err)
	}
	return err
}

// doubt asks whether the shared engine is gone or only slow, which a call that was given
// up early doesn't tell.
func (b *Breaker) doubt() {
	if b.doubting.CompareAndSwap(false, true) {
		go func() {
			defer b.doubting.Store(false)
			_ = b.ask(b.life, true, b.c.Probe) // which opens the breaker
		}()
	}
}

// trip opens the breaker, unless it is open, and has it close again.
func (b *Breaker) trip(cause error) {
	if !b.cause.CompareAndSwap(nil, &cause) {
		return
	}
	b.gauge.Set(1)
	b.c.Log.Error("the limits are counted by this copy alone: "+b.c.Explain(cause), "error", cause)
	go b.closeAgain(time.Now())
}

// closeAgain probes until the engine is back, and tells it what was counted meanwhile.
func (b *Breaker) closeAgain(since time.Time) {
	for b.probe(b.life) != nil {
		select {
		case <-time.After(probeEvery):
		case <-b.life.Done():
			return
		}
	}
	b.pay()
	b.cause.Store(nil)
	b.gauge.Set(0)
	b.pay() // what was admitted up to now
	b.c.Log.Warn("the limits are counted together with the other copies again", "after", time.Since(since).Round(time.Millisecond))
}

func (b *Breaker) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return b.c.Probe(ctx)
}

// pay tells the shared engine what was counted without it. What it would refuse by now
// is full there already.
func (b *Breaker) pay() {
	ctx, cancel := context.WithTimeout(b.life, probeTimeout)
	defer cancel()
	for _, check := range b.owed.take() {
		var d Decision
		if err := b.c.Shared.Take(ctx, []Check{check}, &d); err != nil {
			b.c.Log.Warn("what was counted by this copy alone could not all be told to the others", "error", err)
			return
		}
	}
}

// Fallback decides while the breaker is open, by this copy's own counts. What it admits
// is counted in the shared engine too once that is back.
func (b *Breaker) Fallback() Engine { return &fallback{b.c.Local, b} }

type fallback struct {
	Engine
	b *Breaker
}

// Take is [Engine].Take.
func (f *fallback) Take(ctx context.Context, checks []Check, into *Decision) error {
	err := f.Engine.Take(ctx, checks, into)
	if err == nil && into.Allowed && f.b.Open() != nil { // a call that is only slow is counted when it is answered
		f.b.owed.add(checks)
	}
	return err
}

// Refund is [Engine].Refund.
func (f *fallback) Refund(ctx context.Context, checks []Check, counted *Decision) error {
	f.b.owed.remove(checks)
	return f.Engine.Refund(ctx, checks, counted)
}

// debts are checks that were counted locally and not yet by the shared engine.
type debts struct {
	mu     sync.Mutex
	checks []Check // oldest first
}

// maxDebts bounds what is kept of an outage.
const maxDebts = 20_000

func (d *debts) add(checks []Check) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.checks)+len(checks) <= maxDebts {
		d.checks = append(d.checks, checks...)
	}
}

func (d *debts) remove(checks []Check) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, check := range checks {
		for i := len(d.checks) - 1; i >= 0; i-- {
			if d.checks[i].Key == check.Key {
				d.checks = slices.Delete(d.checks, i, i+1)
				break
			}
		}
	}
}

func (d *debts) take() []Check {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.checks
	d.checks = nil
	return all
}

const (
	// tick is how often is looked whether anything was answered while calls wait.
	tick = 10 * time.Millisecond
	// hastyTicks is for how many ticks a call waits that isn't patient.
	hastyTicks = 4
	// silentTicks is after how many ticks without any answer the engine counts as gone.
	silentTicks = hastyTicks + 10
)

// ErrSilent says that the shared engine has not answered anything for silentTicks, and
// errSlow that a call was not waited for any longer. Both are ErrUnavailable.
var (
	ErrSilent = unavailable("it does not answer")
	errSlow   = unavailable("it has not answered yet")
)

// watch gives calls up when nothing is answered. It looks while calls wait.
type watch struct {
	silent func() // is called once nothing was answered for silentTicks

	mu       sync.Mutex
	waiting  map[*waitingCall]struct{}
	quiet    int // ticks since anything was answered
	watching bool
}

type waitingCall struct {
	patient bool
	ticks   int
	giveUp  context.CancelCauseFunc
}

func (w *watch) begin(patient bool, giveUp context.CancelCauseFunc) *waitingCall {
	c := &waitingCall{patient: patient, giveUp: giveUp}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[*waitingCall]struct{}{}
	}
	w.waiting[c] = struct{}{}
	if !w.watching {
		w.watching = true
		time.AfterFunc(tick, w.run)
	}
	return c
}

func (w *watch) end(c *waitingCall, answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, c)
	if answered {
		w.quiet = 0
	}
}

// run ticks, and has the next one come as long as calls wait.
func (w *watch) run() {
	if !w.tick() {
		time.AfterFunc(tick, w.run)
	}
}

// tick tells whether no call waits.
func (w *watch) tick() (idle bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.watching = false
		return true
	}
	w.quiet++
	gone := false
	for c := range w.waiting {
		c.ticks++
		gone = gone || min(c.ticks, w.quiet) >= silentTicks
	}
	if gone {
		w.silent()
	}
	for c := range w.waiting {
		switch {
		case gone:
			c.giveUp(ErrSilent)
		case !c.patient && c.ticks > hastyTicks:
			c.giveUp(errSlow)
		}
	}
	return false
}

// denial is a refusal of a request that holds until its windows admit more.
type denial struct {
	checks  []Check
	at      time.Time // by the monotonic clock
	decided Decision
}

// maxDenials bounds what is remembered.
const maxDenials = 100_000

// denied answers for a request that is known to be refused. Another request with some of
// the same checks is another question: the others may have it wait for longer.
func (b *Breaker) denied(checks []Check, into *Decision) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if len(b.denials) == 0 {
		return false
	}
	var memory [256]byte
	known, ok := b.denials[string(joinKeys(memory[:0], checks))]
	if !ok || !slices.EqualFunc(known.checks, checks, sameQuestion) {
		return false
	}
	since := time.Since(known.at)
	if !known.holds(since) {
		return false
	}
	into.Resize(checks)
	into.Allowed = false
	for i := range into.Checks {
		verdict, then := &into.Checks[i], &known.decided.Checks[i]
		verdict.Allowed = then.Allowed
		if then.Allowed {
			verdict.Windows = verdict.Windows[:0] // not asked
			continue
		}
		for j, s := range then.Windows {
			verdict.Windows[j] = Standing{Remaining: s.Remaining, Reset: max(0, s.Reset-since), Retry: max(0, s.Retry-since)}
		}
	}
	return true
}

// holds tells whether a check still refuses.
func (d *denial) holds(since time.Duration) bool {
	for i := range d.checks {
		refused := !d.checks[i].Shadow && !d.decided.Checks[i].Allowed
		if refused && slices.ContainsFunc(d.decided.Checks[i].Windows, func(s Standing) bool { return s.Retry > since }) {
			return true
		}
	}
	return false
}

func sameQuestion(a, b Check) bool {
	return a.Cost == b.Cost && a.Shadow == b.Shadow && a.Key == b.Key && slices.Equal(a.Limit, b.Limit)
}

func joinKeys(to []byte, checks []Check) []byte {
	for i := range checks {
		to = append(append(to, checks[i].Key...), 0)
	}
	return to
}

func (b *Breaker) remember(checks []Check, decision *Decision) {
	d := denial{checks: slices.Clone(checks), at: time.Now(), decided: Decision{Checks: slices.Clone(decision.Checks)}}
	for i := range d.decided.Checks {
		windows := &d.decided.Checks[i].Windows
		*windows = slices.Clone(*windows)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.denials == nil || len(b.denials) >= maxDenials {
		b.denials = map[string]denial{}
	}
	b.denials[string(joinKeys(nil, checks))] = d
}
