package app

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"manus/internal/waittest"
)

// crowded is a server behind a crowd, and what opens connections to it.
func crowded(t *testing.T, maxIdle, maxNew int, handler http.HandlerFunc) (*crowd, func() *visitor) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(listener, maxIdle, maxNew)
	server := &http.Server{Handler: handler, ConnState: c.note, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(c) }()
	t.Cleanup(func() { _ = server.Close() })
	return c, func() *visitor {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return &visitor{conn, bufio.NewReader(conn)}
	}
}

type visitor struct {
	conn net.Conn
	from *bufio.Reader
}

// ask asks on the visitor's connection, and returns whether it was answered.
func (v *visitor) ask(t *testing.T, path string) bool {
	t.Helper()
	_ = v.conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(v.conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return false
	}
	answer, err := http.ReadResponse(v.from, nil)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return true
}

func (c *crowd) counts() (idle, fresh, known int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idle.Len(), c.fresh, len(c.known)
}

// Of too many idle connections the one goes that has waited longest; one that is answered
// still goes on.
func TestTheLongestIdleConnectionMakesRoom(t *testing.T) {
	t.Parallel()
	release, entered := make(chan struct{}), make(chan struct{})
	c, visit := crowded(t, 3, 100, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			close(entered)
			<-release
		}
	})
	stream := visit()
	streamed := make(chan bool)
	go func() { streamed <- stream.ask(t, "/stream") }()
	<-entered
	var all []*visitor
	for i := range 5 {
		v := visit()
		if !v.ask(t, "/") {
			t.Fatalf("visitor %d isn't answered", i)
		}
		all = append(all, v)
		waittest.Poll(t, func() bool { idle, _, _ := c.counts(); return idle == min(i+1, 3) })
		if i == 2 { // from then on the second has waited longest
			if !all[0].ask(t, "/") {
				t.Fatal("the first isn't answered again")
			}
			waittest.Poll(t, func() bool { idle, _, _ := c.counts(); return idle == 3 })
		}
	}
	close(release)
	if !<-streamed {
		t.Error("what was being answered was closed")
	}
	// The stream's connection takes a place too: of the first, the fourth and the fifth it is
	// the first's.
	for i, v := range all {
		_ = v.conn.SetDeadline(time.Now().Add(30 * time.Second))
		if i >= 3 {
			if !v.ask(t, "/") {
				t.Errorf("visitor %d was closed", i)
			}
		} else if _, err := v.from.ReadByte(); err != io.EOF { //nolint:errorlint // as readers return it
			t.Errorf("visitor %d stays: %v", i, err)
		}
	}
}

// Whoever comes and says nothing keeps nobody out, and is forgotten when gone.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	c, visit := crowded(t, 100, 5, func(http.ResponseWriter, *http.Request) { served.Add(1) })
	var silent []*visitor
	for range 20 {
		silent = append(silent, visit())
	}
	for i := range 10 {
		if v := visit(); !v.ask(t, "/") {
			t.Fatalf("visitor %d isn't answered", i)
		}
	}
	if _, fresh, _ := c.counts(); fresh != 20 {
		t.Errorf("%d are new, not 20", fresh)
	}
	for _, v := range silent {
		_ = v.conn.Close()
	}
	waittest.Poll(t, func() bool { idle, fresh, known := c.counts(); return fresh == 0 && idle == 10 && known == 10 })
}
