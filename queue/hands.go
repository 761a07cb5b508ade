package queue

import (
	"context"
	"maps"
	"sync"
)

// hands is what this copy has in hand, and in which lanes more may be due.
type hands struct {
	perLane, overall int
	wake             chan struct{} // something here has changed

	mu      sync.Mutex
	working context.Context                    // Run's; nil while this copy doesn't work the queue
	held    map[string]context.CancelCauseFunc // by job: what ends its attempt, nil before it began
	inLane  map[string]int
	behind  map[string]bool // lanes in which more may be due than is in hand
}

func newHands(perLane, overall int) *hands {
	return &hands{
		perLane: perLane, overall: overall, wake: make(chan struct{}, 1),
		held: map[string]context.CancelCauseFunc{}, inLane: map[string]int{}, behind: map[string]bool{},
	}
}

// open lets jobs come into hand, to be worked in a context.
func (h *hands) open(working context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.working = working
}

// close lets in no more.
func (h *hands) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.working = nil
}

// takeNew takes a job in hand that isn't in the store yet, unless others wait in its
// lane. It returns the context to work in.
func (h *hands) takeNew(lane, id string) (working context.Context, taken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.working, !h.behind[lane] && h.take(lane, id)
}

// takeDue takes a job in hand that was found due. It tells when it is there already.
func (h *hands) takeDue(lane, id string) (taken, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, held := h.held[id]; held {
		return false, true
	}
	return h.take(lane, id), false
}

func (h *hands) take(lane, id string) bool {
	_, held := h.held[id]
	if held || h.working == nil || h.inLane[lane] >= h.perLane || len(h.held) >= h.overall {
		return false
	}
	h.held[id] = nil
	h.inLane[lane]++
	return true
}

// begin notes how to end the attempt at a job in hand.
func (h *hands) begin(id string, end context.CancelCauseFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[id] = end
}

// drop has a job in hand no more.
func (h *hands) drop(lane, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, id)
	if h.inLane[lane]--; h.inLane[lane] == 0 {
		delete(h.inLane, lane)
	}
	h.signal()
}

// begun are the jobs in hand at which attempts have begun, with what ends those.
func (h *hands) begun() map[string]context.CancelCauseFunc {
	h.mu.Lock()
	defer h.mu.Unlock()
	begun := maps.Clone(h.held)
	maps.DeleteFunc(begun, func(_ string, end context.CancelCauseFunc) bool { return end == nil })
	return begun
}

func (h *hands) empty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held) == 0
}

// fallBehind notes that more may be due in a lane than is in hand.
func (h *hands) fallBehind(lane string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.working != nil {
		h.behind[lane] = true
		h.signal()
	}
}

// catchUp are the lanes that are behind and have room, and how much. From now on
// they aren't behind, unless they fall so again.
func (h *hands) catchUp() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	lanes := map[string]int{}
	for lane := range h.behind {
		if room := h.perLane - h.inLane[lane]; room > 0 && len(h.held) < h.overall {
			lanes[lane] = room
			delete(h.behind, lane)
		}
	}
	return lanes
}

func (h *hands) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}
