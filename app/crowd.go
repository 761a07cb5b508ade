package app

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

// A connection holds some 20 KB, whether or not there is a request on it. Ten thousand that come
// at once would take more memory than all the rest, for an answer of a millisecond each.
const (
	// maxIdle is how many wait for their next request.
	maxIdle = 500
	// maxNew is how many wait for their first one before more are taken in one at a time.
	maxNew = 100
	// turn is how long the next is left to the system meanwhile, where it costs little. Who sends
	// nothing keeps others waiting no longer than that.
	turn = time.Millisecond
)

// crowd is a listener that has no more connections inside than there have to be.
type crowd struct {
	net.Listener
	maxIdle, maxNew int

	mu    sync.Mutex
	idle  *list.List                 // of net.Conn, the one that has waited longest first
	known map[net.Conn]*list.Element // that are idle; nil for those that are new
	fresh int                        // how many are new
}

func newCrowd(listener net.Listener, maxIdle, maxNew int) *crowd {
	return &crowd{Listener: listener, maxIdle: maxIdle, maxNew: maxNew, idle: list.New(), known: map[net.Conn]*list.Element{}}
}

// Accept takes the next connection.
func (c *crowd) Accept() (net.Conn, error) {
	if c.isFull() {
		time.Sleep(turn)
	}
	return c.Listener.Accept()
}

func (c *crowd) isFull() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fresh >= c.maxNew
}

// note is told of each change of a connection, see [http.Server.ConnState]. Of too many that wait
// for a request, the one that has waited longest is closed: whoever opened it has had what
// belongs to a page. Those with a request, such as streams, stay.
func (c *crowd) note(conn net.Conn, state http.ConnState) {
	if longest := c.change(conn, state); longest != nil {
		_ = longest.Close() // its reader learns of it, and ends
	}
}

// change notes how a connection is, and returns the one that is one too many.
func (c *crowd) change(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(conn)
	switch state {
	case http.StateNew:
		c.known[conn] = nil
		c.fresh++
	case http.StateIdle:
		c.known[conn] = c.idle.PushBack(conn)
		if c.idle.Len() > c.maxIdle {
			longest, _ := c.idle.Front().Value.(net.Conn)
			c.forget(longest)
			return longest
		}
	}
	return nil
}

func (c *crowd) forget(conn net.Conn) {
	at, known := c.known[conn]
	delete(c.known, conn)
	switch {
	case at != nil:
		c.idle.Remove(at)
	case known:
		c.fresh--
	}
}
