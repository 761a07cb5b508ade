// Package waittest is how tests wait for what others do: until they are woken by it, and
// where nothing tells of it, by looking again and again. Who waits for longer than
// patience fails: so long that a machine which is slow, or busy with other things, isn't told
// from a good one.
package waittest

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

const (
	patience = 5 * time.Minute
	pause    = 5 * time.Millisecond
)

var errLate = fmt.Errorf("what is waited for hasn't come after %v", patience)

// Signal wakes those who wait.
type Signal struct {
	mu   sync.Mutex
	next chan struct{} // closed at the next Wake; nil while nobody waits
}

// Wake is called by whoever has done what may be waited for.
func (s *Signal) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}

func (s *Signal) woken() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

// Wait waits until something is so, which is looked at whenever somebody wakes it. It
// returns an error when ctx ends before, or patience.
func (s *Signal) Wait(ctx context.Context, so func() bool) error { return s.wait(ctx, nil, so) }

// Until is Wait, in a test.
func (s *Signal) Until(t testing.TB, so func() bool) {
	t.Helper()
	check(t, s.Wait(t.Context(), so))
}

// Poll waits until something is so that nobody tells of, as the state of another process
// or how many goroutines there are: it looks again and again.
func Poll(t testing.TB, so func() bool) {
	t.Helper()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	check(t, new(Signal).wait(t.Context(), tick.C, so))
}

// check fails where nothing came, and shows what everybody does instead.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		stacks := make([]byte, 1<<20)
		t.Fatalf("%v:\n%s", err, stacks[:runtime.Stack(stacks, true)])
	}
}

func (s *Signal) wait(ctx context.Context, tick <-chan time.Time, so func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errLate)
	defer cancel()
	for {
		woken := s.woken() // before it looks, so that nothing is missed
		if so() {
			return nil
		}
		select {
		case <-woken:
		case <-tick:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Log keeps what many write, and wakes at each writing.
type Log struct {
	Signal
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Log) Write(text []byte) (int, error) {
	defer l.Wake()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(text)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
