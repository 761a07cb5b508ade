package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Breaker is a circuit breaker around an engine that copies share, which may be slow or
// gone, and beside it an engine that counts for this copy alone meanwhile.
//
// It opens when the shared engine says that it can't count, and when it is silent: a call
// has been without an answer for patience, and then silentTicks more timers of this
// process have gone off, one after the other, while nothing was heard of any call. What
// holds this process up holds its timers up too, so it doesn't take its own slowness for
// the engine's. Where nobody calls, it notices the same by a trial every few seconds. While it
// is open nobody waits for the shared engine; trial decisions are made in the background,
// and the first that succeeds closes it.
//
// The local engine learns what the shared one decides, so that it begins where the shared
// counts were. What it has admitted is owed to the shared counts, and repaid before the
// breaker closes. A denial is remembered for as long as all that was asked refuses, so that
// such a client costs the shared engine nothing.
type Breaker struct {
	c       BreakerConfig
	state   atomic.Pointer[state]
	calls   sync.Pool    // of *call
	flying  atomic.Int64 // calls that have not come back
	gauge   prometheus.Gauge
	told    map[string]bool // causes of this outage that were logged, by Reach and then Run
	debts   debts
	mu      sync.RWMutex
	denials map[string]denial // by their keys
}

// BreakerConfig is what a Breaker is made of.
type BreakerConfig struct {
	Shared Shared
	Local  Fallback
	// Cause says what an error of the shared engine means, the same for all of a kind.
	// Nil takes the error's own words.
	Cause   func(error) string
	Metrics prometheus.Registerer // may be nil
	Log     *slog.Logger
}

const (
	// patience is how long a decision waits for the shared engine before this copy makes
	// it, unless its rules guard secrets.
	patience = 40 * time.Millisecond
	// tick and silentTicks are how long there must be silence after that.
	tick        = 10 * time.Millisecond
	silentTicks = 10
	// trialEvery is the least time between trials while the breaker is open, reachWithin how
	// long they hold up a start, and probeEvery the time between trials while it is closed.
	trialEvery  = 200 * time.Millisecond
	reachWithin = 5 * time.Second
	probeEvery  = 3 * time.Second
	// maxFlying bounds the calls that have not come back.
	maxFlying = 4096
)

// Why the shared engine isn't asked, or not waited for.
var (
	errNotReached = errors.New("not reached yet")
	errSilent     = fmt.Errorf("no answer: %w", os.ErrDeadlineExceeded)
	errSlow       = errors.New("no answer in time")
	errBusy       = errors.New("too many calls are waiting")
)

// state is whether the breaker is open and why, until that changes.
type state struct {
	cause   error         // of its being open, as the last trial has it; nil while it is closed
	since   time.Time     // when it was opened or closed
	changed chan struct{} // is closed when this is over
}

// NewBreaker makes a Breaker. It is open until a trial has succeeded, see Reach.
func NewBreaker(c BreakerConfig) *Breaker {
	if c.Cause == nil {
		c.Cause = error.Error
	}
	b := &Breaker{c: c, told: map[string]bool{}, debts: debts{come: make(chan struct{}, 1)}}
	b.calls.New = newCall
	b.gauge = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "manus_limit_breaker_open",
		Help: "1 while the limits that the copies share can't be counted and this copy goes on by when_redis_fails, 0 otherwise.",
	})
	if c.Metrics != nil {
		c.Metrics.MustRegister(b.gauge)
	}
	b.enter(nil, errNotReached)
	return b
}

// Err is why the breaker is open; nil while it is closed.
func (b *Breaker) Err() error { return b.state.Load().cause }

// Outage is why the breaker is open, in the words of its Cause, and since when; empty while
// it is closed.
func (b *Breaker) Outage() (cause string, since time.Time) {
	st := b.state.Load()
	if st.cause == nil {
		return "", time.Time{}
	}
	return b.c.Cause(st.cause), st.since
}

// Reach waits until the shared engine counts, for reachWithin at most. It is called
// before there are requests, so that none is decided by this copy alone for no other
// reason than that it has just started.
func (b *Breaker) Reach(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	b.recover(ctx)
}

// Run closes the breaker again whenever it has opened, opens it also when nobody asks the
// shared engine for anything, and repays what is owed, until ctx ends.
func (b *Breaker) Run(ctx context.Context) {
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for ctx.Err() == nil {
		st := b.state.Load()
		if st.cause != nil {
			b.recover(ctx)
			continue
		}
		select {
		case <-st.changed:
		case <-probe.C:
			b.probe(ctx, st)
		case <-b.debts.come:
			if err := b.repay(ctx); err != nil {
				b.failed(st, err)
			}
		case <-ctx.Done():
		}
	}
}

// probe makes a trial while the breaker is closed, and takes its answer, or silence, as it
// would a request's.
func (b *Breaker) probe(ctx context.Context, st *state) {
	c := &call{st: st, done: make(chan struct{}, 1)}
	go func() {
		if err := b.c.Shared.Try(ctx); err != nil {
			b.failed(st, err)
		}
		c.done <- struct{}{}
	}()
	select {
	case <-c.done:
	case <-time.After(patience):
		b.listen(ctx, c)
	case <-ctx.Done():
	}
}

// recover makes trials until one succeeds, and then closes the breaker, or until ctx ends.
func (b *Breaker) recover(ctx context.Context) {
	st := b.state.Load()
	if !errors.Is(st.cause, errNotReached) {
		b.tell(ctx, st.cause)
	}
	for ctx.Err() == nil {
		next := time.After(trialEvery)
		err := b.c.Shared.Try(ctx)
		if err == nil {
			err = b.repay(ctx)
		}
		if err == nil {
			b.enter(st, nil)
			b.tellClosed(ctx, st.since)
			return
		}
		if ctx.Err() == nil {
			b.tell(ctx, err)
			st = b.enter(st, err)
		}
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
}

// tell logs a cause of the breaker's being open, once an outage.
func (b *Breaker) tell(ctx context.Context, err error) {
	cause := b.c.Cause(err)
	if !b.told[cause] {
		b.told[cause] = true
		b.c.Log.ErrorContext(ctx, "the shared limits are unavailable; each rule goes on by its when_redis_fails", "cause", cause, "error", err)
	}
}

// tellClosed logs that an outage of which something was told is over.
func (b *Breaker) tellClosed(ctx context.Context, since time.Time) {
	if len(b.told) > 0 {
		b.c.Log.InfoContext(ctx, "the shared limits count again", "after", time.Since(since).Round(time.Millisecond))
	}
	clear(b.told)
}

// enter changes the state, if it is still what it was: to open, or where there is no
// cause, to closed. It returns what the state is then.
func (b *Breaker) enter(was *state, cause error) *state {
	now := &state{cause: cause, since: time.Now(), changed: make(chan struct{})}
	if was != nil && was.cause != nil && cause != nil { // it stays open
		now.since = was.since
	}
	if !b.state.CompareAndSwap(was, now) {
		return b.state.Load()
	}
	open := 0.0
	if cause != nil {
		open = 1
	}
	b.gauge.Set(open)
	if was != nil {
		close(was.changed)
	}
	return now
}

// failed opens the breaker if an error says that the shared engine can't count. That
// there was no answer in time doesn't say so: see listen.
func (b *Breaker) failed(st *state, err error) {
	late := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if st.cause == nil && !late {
		b.enter(st, err)
	}
}

// call is a decision that the shared engine was asked for.
type call struct {
	asker    asker
	st       *state
	checks   []Check
	decision Decision
	err      error
	progress atomic.Int32
	done     chan struct{} // has something when it is answered
	timer    *time.Timer
	loan     *Loan // of one that was left
}

// asker is the context of whoever asks, with its values, such as a trace, and without its
// end. It is [context.WithoutCancel] that takes no memory.
type asker struct{ context.Context }

// Deadline is none.
func (*asker) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done never comes.
func (*asker) Done() <-chan struct{} { return nil }

// Err is none.
func (*asker) Err() error { return nil }

// The progress of a call.
const (
	asked    int32 = iota
	answered       // and whoever asked has it
	left           // whoever asked is gone
)

func newCall() any {
	c := &call{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	c.timer.Stop()
	return c
}

// Take is [Engine].Take by the shared engine. Who is patient waits until that has
// answered or the breaker opens, others for patience at most. When there is no decision it
// returns ErrUnavailable, and a Loan by which the decision is made without it; the engine
// may then still look at checks.
func (b *Breaker) Take(ctx context.Context, checks []Check, into *Decision, patient bool) (*Loan, error) {
	if b.denied(checks, into) {
		return nil, nil
	}
	st := b.state.Load()
	if st.cause != nil {
		return b.lend(checks), unavailable(st.cause)
	}
	if b.flying.Add(1) > maxFlying {
		b.flying.Add(-1)
		return b.lend(checks), unavailable(errBusy)
	}
	c := b.calls.Get().(*call)
	c.asker.Context, c.st, c.checks, c.err = ctx, st, checks, nil
	c.decision, *into = *into, Decision{} // its memory is used again
	c.progress.Store(asked)
	go b.ask(c)
	if loan := b.wait(ctx, c, patient); loan != nil {
		return loan, cmp.Or(ctx.Err(), unavailable(cmp.Or(b.Err(), errSlow)))
	}
	err := c.err
	*into = c.decision
	c.asker.Context, c.decision, c.checks, c.loan = nil, Decision{}, nil, nil
	b.calls.Put(c)
	if err != nil {
		return b.lend(checks), err
	}
	return nil, nil
}

// Peek is [Engine].Peek by the shared engine. It doesn't wait for longer than patience, and
// returns ErrUnavailable or the context's error where that isn't enough.
func (b *Breaker) Peek(ctx context.Context, checks []Check, into *Decision) error {
	if b.denied(checks, into) {
		return nil
	}
	st := b.state.Load()
	if st.cause != nil {
		return unavailable(st.cause)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := b.c.Shared.Peek(ctx, checks, into)
	if err != nil {
		b.failed(st, err)
	} else if !into.Allowed && b.state.Load() == st {
		b.remember(checks, into)
	}
	return err
}

// lend is a Loan for a request that the shared engine hasn't counted, and won't.
func (b *Breaker) lend(checks []Check) *Loan { return &Loan{b: b, checks: checks, heard: true} }

func unavailable(cause error) error {
	if errors.Is(cause, ErrUnavailable) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, cause)
}

// ask asks the shared engine, for as long as it takes.
func (b *Breaker) ask(c *call) {
	c.err = b.c.Shared.Take(&c.asker, c.checks, &c.decision)
	b.flying.Add(-1)
	if c.err != nil {
		b.failed(c.st, c.err)
	} else if b.state.Load() == c.st {
		b.c.Local.Learn(c.checks, &c.decision)
		if !c.decision.Allowed {
			b.remember(c.checks, &c.decision)
		}
	}
	if c.progress.CompareAndSwap(asked, answered) {
		c.done <- struct{}{}
		return
	}
	c.done <- struct{}{} // to whoever still listens
	c.loan.answered(&c.decision, c.err)
}

// wait waits for a call's answer. It returns a Loan when it has left the call.
func (b *Breaker) wait(ctx context.Context, c *call, patient bool) *Loan {
	c.timer.Reset(patience)
	defer c.timer.Stop()
	select {
	case <-c.done:
		return nil
	case <-c.timer.C:
		if patient && b.listen(ctx, c) {
			return nil
		}
	case <-c.st.changed:
	case <-ctx.Done():
	}
	loan := &Loan{b: b, checks: c.checks}
	c.loan = loan
	if !c.progress.CompareAndSwap(asked, left) {
		<-c.done
		return nil
	}
	go b.listen(context.Background(), c) // so that it is known whether this is silence
	return loan
}

// listen waits until a call has been answered, and returns true; or until the breaker or
// ctx makes that needless. It opens the breaker when there is silence.
func (b *Breaker) listen(ctx context.Context, c *call) bool {
	timer := time.NewTimer(tick)
	defer timer.Stop()
	heard := b.c.Shared.Answers()
	for silent := 0; silent < silentTicks; silent++ {
		select {
		case <-c.done:
			return true
		case <-c.st.changed:
			return false
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		if now := b.c.Shared.Answers(); now != heard {
			heard, silent = now, -1
		}
		timer.Reset(tick)
	}
	b.enter(c.st, errSilent)
	return false
}

// Refund is [Engine].Refund by the shared engine. It doesn't wait for longer than
// patience, after which it is still on its way.
func (b *Breaker) Refund(ctx context.Context, checks []Check, counted *Decision) error {
	st := b.state.Load()
	if st.cause != nil {
		return unavailable(st.cause)
	}
	done := make(chan error, 1)
	go func() { done <- b.c.Shared.Refund(context.WithoutCancel(ctx), checks, counted) }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return nil
	}
}

// Forget drops what is known of keys here; of all, when there are none, what may be out
// of date.
func (b *Breaker) Forget(keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if keys == nil {
		b.denials = nil
		return
	}
	maps.DeleteFunc(b.denials, func(_ string, d denial) bool {
		return slices.ContainsFunc(d.checks, func(c Check) bool { return slices.Contains(keys, c.Key) })
	})
	b.debts.forget(keys)
	_ = b.c.Local.Reset(context.Background(), keys) // it is in memory
}

// denial is a refusal of a request that holds until its windows admit more.
type denial struct {
	checks  []Check
	at      time.Time // by the monotonic clock
	decided Decision
}

// maxDenials bounds what is remembered.
const maxDenials = 100_000

// denied answers for a request of which all is known: that each of its checks refuses it
// still. Nothing has been counted for such a check since then. But one that admitted may
// have filled up by other requests, and have it wait for longer.
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
		if then.Allowed { // as only a shadow does
			verdict.Windows = verdict.Windows[:0] // not asked
			continue
		}
		for j, s := range then.Windows {
			verdict.Windows[j] = Standing{Remaining: s.Remaining, Reset: max(0, s.Reset-since), Retry: max(0, s.Retry-since)}
		}
	}
	return true
}

// holds tells whether each check that isn't a shadow refuses still.
func (d *denial) holds(since time.Duration) bool {
	for i, c := range d.checks {
		if !c.Shadow && !d.decided.Checks[i].refuses(since) {
			return false
		}
	}
	return true
}

// refuses tells whether a verdict is a refusal still after a time.
func (v *Verdict) refuses(after time.Duration) bool {
	return !v.Allowed && slices.ContainsFunc(v.Windows, func(s Standing) bool { return s.Retry > after })
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

// remember keeps a denial that can be an answer, unless it may be over before its time.
func (b *Breaker) remember(checks []Check, decision *Decision) {
	for i := range checks {
		if !decision.Checks[i].Allowed && checks[i].Refundable {
			return
		}
	}
	d := denial{checks: slices.Clone(checks), at: time.Now(), decided: Decision{Checks: slices.Clone(decision.Checks)}}
	if !d.holds(0) {
		return
	}
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
