package uptime

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"manus/uptime/probe"
)

// A host on which three hundred monitors hang is asked by ten at a time, and what is elsewhere
// is looked at as often as ever.
func TestAHostThatHangsDelaysNoOther(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	var open, most atomic.Int64
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			now := open.Add(1)
			for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
			}
			go func() {
				_, _ = conn.Read(make([]byte, 1)) // the request
				for buffer := make([]byte, 4096); ; {
					if _, err := conn.Read(buffer); err != nil {
						open.Add(-1)
						_ = conn.Close()
						return
					}
				}
			}()
		}
	}()
	other := newTarget(t)
	all := []Monitor{other.monitor("other")}
	for n := range 300 {
		all = append(all, Monitor{ID: fmt.Sprint("hangs-", n), Type: probe.HTTP, URL: "http://" + l.Addr().String(), Every: 40 * time.Millisecond, Timeout: time.Minute, Private: true})
	}
	r := start(t, nil, nil, all...)
	other.checked(t, 20)
	if r.status(t, "other") != Up {
		t.Error("it isn't up")
	}
	if n := most.Load(); n != int64(limits.PerHost) {
		t.Errorf("the host that hangs was asked %d times at once", n)
	}
}
