package mail

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"manus/internal/smtptest"
)

// counted passes connections on to a mail server, counts them, and can close all.
type counted struct {
	net.Listener
	to  string
	n   atomic.Int64
	mu  sync.Mutex
	all []net.Conn
}

func count(t *testing.T, to string) *counted {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{Listener: listener, to: to}
	go c.serve()
	t.Cleanup(func() { _ = listener.Close(); c.closeAll() })
	return c
}

func (c *counted) serve() {
	for {
		in, err := c.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to) //nolint:noctx // it ends with the test
		if err != nil {
			_ = in.Close()
			continue
		}
		c.n.Add(1)
		c.mu.Lock()
		c.all = append(c.all, in, out)
		c.mu.Unlock()
		for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				_, _ = way[0].(*net.TCPConn).WriteTo(way[1])
				_ = way[1].Close()
			}()
		}
	}
}

func (c *counted) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		_ = conn.Close()
	}
	c.all = nil
}

func (c *counted) sender(t *testing.T) *Many {
	t.Helper()
	s, err := NewSMTP("smtp://"+c.Addr().String()+"?tls=off", "manus@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return s.Many()
}

func someMail(n int) Message {
	return Message{ID: fmt.Sprint("m", n), To: fmt.Sprintf("n%d@example.com", n), Subject: "x", Text: "x", Language: "en"}
}

func TestManyMailsGoByFewConnections(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	proxy := count(t, server.Addr)
	many := proxy.sender(t)
	const mails, atOnce = 60, 3
	var all sync.WaitGroup
	for k := range atOnce {
		all.Go(func() {
			for n := range mails / atOnce {
				if err := many.Send(t.Context(), someMail(k*mails+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := len(server.Mails()); n != mails {
		t.Errorf("%d mails came", n)
	}
	if n := proxy.n.Load(); n > atOnce {
		t.Errorf("by %d connections", n)
	}
	// The server closes them: the next mail goes by another, and comes once.
	proxy.closeAll()
	if err := many.Send(t.Context(), someMail(1000)); err != nil {
		t.Fatal(err)
	}
	if n := len(server.Mails()); n != mails+1 {
		t.Errorf("%d mails came", n)
	}
	server.RefuseRecipients(550)
	if err := many.Send(t.Context(), someMail(1001)); !errors.Is(err, ErrAddress) {
		t.Errorf("a recipient that is refused: %v", err)
	}
	if err := many.Send(t.Context(), Message{To: "x"}); !errors.Is(err, ErrRefused) {
		t.Errorf("no address: %v", err)
	}
}

func TestAConnectionIsUsedSoOften(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	proxy := count(t, server.Addr)
	many := proxy.sender(t)
	for n := range keptSent + 1 {
		if err := many.Send(t.Context(), someMail(n)); err != nil {
			t.Fatal(err)
		}
	}
	if n := proxy.n.Load(); n != 2 {
		t.Errorf("%d mails went by %d connections", keptSent+1, n)
	}
}
