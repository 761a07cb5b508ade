package ratelimit

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Loan is a request that this copy decides about without the shared counts. What it
// counts is owed to them, unless they have counted it after all: their answer may come
// late.
type Loan struct {
	b      *Breaker
	checks []Check

	mu     sync.Mutex
	heard  bool      // the shared engine has answered, or won't
	shared *Decision // what it has counted; nil for nothing
	ended  bool      // and it is known which checks count
	counts func(check int) bool
	at     time.Time
}

// End says which of the checks count for the request.
func (l *Loan) End(counts func(check int) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.counts, l.at = true, counts, time.Now()
	l.settle()
}

// answered takes the late answer of the shared engine.
func (l *Loan) answered(d *Decision, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heard = true; err == nil && d.Allowed {
		l.shared = d
	}
	l.settle()
}

// settle makes the shared counts those that count, once both sides are known: it refunds
// what doesn't, and owes what isn't there.
func (l *Loan) settle() {
	if !l.heard || !l.ended {
		return
	}
	var back []Check
	var counted Decision
	for i, check := range l.checks {
		there := l.shared != nil && l.shared.Checks[i].Allowed
		switch {
		case there && !l.counts(i):
			back, counted.Checks = append(back, check), append(counted.Checks, l.shared.Checks[i])
		case !there && l.counts(i):
			l.b.debts.add(Admitted{check, l.at})
		}
	}
	if len(back) > 0 {
		go l.b.giveBack(back, &counted)
	}
}

// giveBack refunds what the shared engine has counted too late.
func (b *Breaker) giveBack(checks []Check, counted *Decision) {
	if err := b.c.Shared.Refund(context.Background(), checks, counted); err != nil {
		b.c.Log.Warn("a request that doesn't count could not be taken back", "error", err)
	}
}

const (
	// maxDebts bounds what is owed: of more, the oldest is forgotten.
	maxDebts = 100_000
	// repaidAtOnce is how much one call repays.
	repaidAtOnce = 64
)

// debts is what this copy has admitted by itself and the shared counts have not.
type debts struct {
	come chan struct{} // has something when there may be some

	mu  sync.Mutex
	all []Admitted // oldest first
}

func (d *debts) add(all ...Admitted) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, all...)
	d.all = d.all[max(0, len(d.all)-maxDebts):]
	select {
	case d.come <- struct{}{}:
	default:
	}
}

// take takes those that matter still.
func (d *debts) take() []Admitted {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.all
	d.all = nil
	return slices.DeleteFunc(all, func(a Admitted) bool {
		longest := a.Limit[len(a.Limit)-1] // they are in order
		return time.Since(a.At) >= longest.Per
	})
}

func (d *debts) forget(keys []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = slices.DeleteFunc(d.all, func(a Admitted) bool { return slices.Contains(keys, a.Key) })
}

// repay counts in the shared engine what is owed to it. What can't be, stays owed; a call
// that fails may have counted, so that a little may then be counted twice.
func (b *Breaker) repay(ctx context.Context) error {
	owed := b.debts.take()
	for len(owed) > 0 {
		some := owed[:min(repaidAtOnce, len(owed))]
		if err := b.c.Shared.Repay(ctx, some); err != nil {
			b.debts.add(owed...)
			return err
		}
		owed = owed[len(some):]
	}
	return nil
}
