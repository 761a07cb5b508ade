package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Check is one count that a request has to pass: a limit for a key.
type Check struct {
	// Key is whose count it is, of which rule: any text. What the limit's
	// numbers are isn't part of it, so that counts outlive a change of them.
	Key   string
	Limit Limit
	// Cost is how much of the limit the request takes; at least 1.
	Cost int
	// Shadow means that the check refuses nothing: it only reports what it
	// would have refused.
	Shadow bool
	// Patient means that a shared engine is waited for until it is known to be gone.
	Patient bool
}

// Standing is where a window stands after a decision. Durations are from the
// engine's now.
type Standing struct {
	// Remaining is how many more the window would admit now.
	Remaining int
	// Reset is when it admits more than Remaining; 0 when it is untouched.
	Reset time.Duration
	// Retry is when it would admit what was asked for; 0 when it does now.
	Retry time.Duration
}

// Verdict is a check's part of a decision.
type Verdict struct {
	// Allowed tells whether each of the check's windows admits the request.
	Allowed bool
	Windows []Standing // in the order of the limit's
	// At is when it was decided, by the engine's clock; what was counted was
	// counted then.
	At time.Time
}

// Decision is the answer for a whole request.
type Decision struct {
	// Allowed tells whether every check that isn't a shadow admits it. Only
	// then has it been counted, by these and by the shadows that admit it.
	Allowed bool
	Checks  []Verdict // in the order asked
}

// ErrUnavailable is returned by an engine that can't count just now. ErrNotReached is one
// of those: the engine hasn't been there yet.
var (
	ErrUnavailable = errors.New("the counters are unavailable")
	ErrNotReached  = unavailable("they have not been reached yet")
)

func unavailable(why string) error { return fmt.Errorf("%w: %s", ErrUnavailable, why) }

// Engine counts. Its time is its own: the clocks of the copies that ask play no
// part. Every method may return ErrUnavailable (with its cause) or the context's
// error; a count that was given up may have been made. Its meaning is fixed by
// the suite in limittest, which every engine passes. Engines are safe for
// concurrent use.
type Engine interface {
	// Take decides about a request and counts it if it is allowed, in one
	// atomic step. Into is a decision whose memory may be used again.
	Take(ctx context.Context, checks []Check, into *Decision) error
	// Peek is Take that counts nothing.
	Peek(ctx context.Context, checks []Check, into *Decision) error
	// Refund takes back, once, what Take has counted by a decision. What has
	// left the windows meanwhile needs no refund.
	Refund(ctx context.Context, checks []Check, counted *Decision) error
	// Reset forgets what was counted for the keys, on every copy within a
	// second.
	Reset(ctx context.Context, keys []string) error
}

// Resize makes room for the checks in a decision, using its memory again.
func (d *Decision) Resize(checks []Check) {
	d.Checks = slices.Grow(d.Checks[:0], len(checks))[:len(checks)]
	for i := range d.Checks {
		n, windows := len(checks[i].Limit), &d.Checks[i].Windows
		*windows = slices.Grow((*windows)[:0], n)[:n]
	}
}
