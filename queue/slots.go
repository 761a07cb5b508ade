package queue

import (
	"context"
	"maps"
	"sync"
)

// slots are what this copy has in hand, a slot a job, and in which lanes more may be
// due.
type slots struct {
	perLane, overall int
	wake             chan struct{} // something here has changed

	mu      sync.Mutex
	working context.Context                    // Run's; nil while this copy doesn't work the queue
	held    map[string]context.CancelCauseFunc // by job: what ends its attempt, nil before it began
	inLane  map[string]int
	behind  map[string]bool // lanes in which more may be due than is in hand
}

func newSlots(perLane, overall int) *slots {
	return &slots{
		perLane: perLane, overall: overall, wake: make(chan struct{}, 1),
		held: map[string]context.CancelCauseFunc{}, inLane: map[string]int{}, behind: map[string]bool{},
	}
}

// open lets jobs come into hand, to be worked in a context.
func (s *slots) open(working context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.working = working
}

// close lets in no more.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.working = nil
}

// takeNew takes a job in hand that isn't in the store yet, unless others wait in its
// lane. It returns the context to work in.
func (s *slots) takeNew(lane, id string) (working context.Context, taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.working, !s.behind[lane] && s.take(lane, id)
}

// takeDue takes a job in hand that was found due. It tells when it is there already.
func (s *slots) takeDue(lane, id string) (taken, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, held := s.held[id]; held {
		return false, true
	}
	return s.take(lane, id), false
}

func (s *slots) take(lane, id string) bool {
	_, held := s.held[id]
	if held || s.working == nil || s.inLane[lane] >= s.perLane || len(s.held) >= s.overall {
		return false
	}
	s.held[id] = nil
	s.inLane[lane]++
	return true
}

// begin notes how to end the attempt at a job in hand.
func (s *slots) begin(id string, end context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[id] = end
}

// drop has a job in hand no more.
func (s *slots) drop(lane, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, id)
	if s.inLane[lane]--; s.inLane[lane] == 0 {
		delete(s.inLane, lane)
	}
	s.signal()
}

// begun are the jobs in hand at which attempts have begun, with what ends those.
func (s *slots) begun() map[string]context.CancelCauseFunc {
	s.mu.Lock()
	defer s.mu.Unlock()
	begun := maps.Clone(s.held)
	maps.DeleteFunc(begun, func(_ string, end context.CancelCauseFunc) bool { return end == nil })
	return begun
}

func (s *slots) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held) == 0
}

// fallBehind notes that more may be due in a lane than is in hand.
func (s *slots) fallBehind(lane string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.working != nil {
		s.behind[lane] = true
		s.signal()
	}
}

// catchUp are the lanes that are behind and have room, and how much. From now on
// they aren't behind, unless they fall so again.
func (s *slots) catchUp() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	lanes := map[string]int{}
	for lane := range s.behind {
		if room := s.perLane - s.inLane[lane]; room > 0 && len(s.held) < s.overall {
			lanes[lane] = room
			delete(s.behind, lane)
		}
	}
	return lanes
}

func (s *slots) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
