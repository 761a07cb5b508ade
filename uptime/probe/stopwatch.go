package probe

import (
	"sync"
	"time"
)

// phase is a part of a check. A check is in one at a time, so that they add up to the
// whole.
type phase int

const (
	resolving phase = iota
	connecting
	handshaking
	waiting // for the first byte of an answer
	reading
	phases
)

// stopwatch measures the phases. Those who hear of them may do so late and at once.
type stopwatch struct {
	mu      sync.Mutex
	now     phase
	begun   time.Time // the check
	since   time.Time // the phase
	spent   [phases]time.Duration
	stopped bool
}

// enter ends a phase and begins another one.
func (s *stopwatch) enter(p phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	now := time.Now()
	if s.begun.IsZero() {
		s.begun, s.since = now, now
	}
	s.spent[s.now] += now.Sub(s.since)
	s.now, s.since = p, now
}

// stop ends the last phase, and returns how long each took and all of it.
func (s *stopwatch) stop() (spent [phases]time.Duration, total time.Duration) {
	s.mu.Lock()
	last := s.now
	s.mu.Unlock()
	s.enter(last)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	return s.spent, s.since.Sub(s.begun)
}

// phase is the one that the check is in.
func (s *stopwatch) phase() phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}
