package lease

import (
	"context"
	"errors"
	"time"

	"manus/docstore"
)

// State is what is known of a lease, for people to read.
type State struct {
	// Holder has the lease, or had it when it died. It is empty when nobody does.
	Holder string
	// Fence is the number of acquisitions, 0 when there was none.
	Fence Fence
	// LastRun is when the job of Every was last done, by the clock of the copy
	// that did it; zero when it never was. Failures is how many runs have failed
	// since.
	LastRun  time.Time
	Failures int
}

// ErrInvalidName is returned by Peek.
var ErrInvalidName = errors.New("not the name of a lease")

// Peek tells how a lease stands, or returns ErrInvalidName or an error of the
// store. A lease that nobody ever had is the zero State.
func (s *Service) Peek(ctx context.Context, name string) (State, error) {
	if !validName.MatchString(name) {
		return State{}, ErrInvalidName
	}
	d, err := s.leases.Get(ctx, name)
	if errors.Is(err, docstore.ErrNotFound) {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	state := State{Holder: d.Holder, Fence: d.Fence, LastRun: d.LastRun.Time, Failures: d.Failures}
	if d.Released {
		state.Holder = ""
	}
	return state, nil
}

// Run is what taking, keeping and losing a lease are tested by: work that has no end.
// It competes for the lease until ctx ends, and calls work while it has it. The
// context of work ends when ctx does, and with the cause ErrLost when the lease is
// lost. Work returns soon then: it has a fifth of the TTL until another copy may
// begin, or all its time when ctx has ended, as the lease is renewed meanwhile.
// When it returns, the lease is released for any copy to take, this one after a
// pause. A panic of work goes on in the caller, and the lease expires.
//
// Run panics when name isn't 1 to 64 lower-case letters, digits, '-', '_' and '.'.
func (s *Service) Run(ctx context.Context, name string, work func(ctx context.Context, held Held) error) {
	mustBeName(name)
	w := &watch{name: name}
	for {
		g, ok := s.acquire(ctx, w)
		if !ok {
			return
		}
		s.log.InfoContext(ctx, "this copy has the lease", "lease", name, "fence", g.Fence)
		lost, err := s.hold(ctx, g, work)
		switch {
		case ctx.Err() != nil:
		case lost || errors.Is(err, ErrLost):
			s.log.WarnContext(ctx, "a lease was lost", "lease", name, "fence", g.Fence, "error", err)
		case err != nil:
			s.log.ErrorContext(ctx, "work under a lease has failed", "lease", name, "fence", g.Fence, "error", err)
		}
		s.release(ctx, w, g, nil)
		if !sleep(ctx, jittered(s.pause)) {
			return
		}
	}
}
