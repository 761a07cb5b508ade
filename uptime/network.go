package uptime

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// network tells whether this program itself is cut off: then nothing that it sees is said of
// what it watches. It asks a few addresses that are hardly ever gone together. One that has
// never answered says nothing, as a firewall may keep it from us.
type network struct {
	references []string // host:port

	mu       sync.Mutex
	answered []string // those that have, at some time
	asked    time.Time
	gone     bool
	asking   chan struct{} // closed once the question that is under way is answered; nil while none is
}

// usualReferences are public resolvers of three operators.
var usualReferences = []string{"1.1.1.1:443", "8.8.8.8:443", "9.9.9.9:443"}

const (
	referenceTimeout = 3 * time.Second
	// believedFor is for how long an answer holds at most.
	believedFor = 5 * time.Second
)

// remember takes over who has answered before this program was started: so it knows that it is
// cut off also where it was from its start.
func (n *network) remember(answered []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, address := range answered {
		if slices.Contains(n.references, address) && !slices.Contains(n.answered, address) {
			n.answered = append(n.answered, address)
		}
	}
}

func (n *network) haveAnswered() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.answered)
}

// isGone asks, unless somebody has done so within a time. Many may wait for one answer. Nobody
// waits where none has ever answered, as there it says nothing.
func (n *network) isGone(ctx context.Context, within time.Duration) bool {
	n.mu.Lock()
	silent := len(n.answered) == 0
	if silent {
		within = time.Minute // none may ever answer
	}
	if gone := n.gone; !n.asked.IsZero() && time.Since(n.asked) < within {
		n.mu.Unlock()
		return gone
	}
	if n.asking == nil {
		n.asking = make(chan struct{})
		go n.ask(context.WithoutCancel(ctx)) // others may wait for it
	}
	asking := n.asking
	n.mu.Unlock()
	if silent {
		return false
	}
	select {
	case <-asking:
	case <-ctx.Done():
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone
}

// ask asks all of them. The first answer is enough; who is slower is asked again another time.
func (n *network) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, referenceTimeout)
	defer cancel()
	answers := make(chan string, len(n.references))
	for _, address := range n.references {
		go func() {
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, "tcp", address)
			if err != nil {
				answers <- ""
				return
			}
			_ = conn.Close()
			answers <- address
		}()
	}
	reached := ""
	for range n.references {
		if reached = <-answers; reached != "" {
			break
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if reached != "" && !slices.Contains(n.answered, reached) {
		n.answered = append(n.answered, reached)
	}
	n.asked, n.gone = time.Now(), reached == "" && len(n.answered) > 0
	close(n.asking)
	n.asking = nil
}
