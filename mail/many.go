package mail

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// Bounds of a connection that is kept.
const (
	keptFor  = 2 * time.Second // without a mail
	keptSent = 100             // mails by one, as servers count
)

// Many sends many mails through a mail server, several by a connection. It is safe for
// concurrent use; as many connections are open as mails are sent at once.
type Many struct {
	smtp *SMTP
	mu   sync.Mutex
	idle []*connection // the one that was used last, last
}

// connection is one that is open.
type connection struct {
	client *gomail.Client
	smtp   *smtp.Client
	cut    context.CancelFunc // closes it, whatever is under way
	sent   int
	expire *time.Timer
}

// Many is a sender of many mails through the server.
func (s *SMTP) Many() *Many { return &Many{smtp: s} }

// Send sends one mail. Its errors are those of [SMTP.Send].
func (m *Many) Send(ctx context.Context, message Message) error {
	composed, err := m.smtp.message(message)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	began := time.Now()
	for {
		c := m.take()
		fresh := c == nil
		if fresh {
			if c, err = m.smtp.connect(ctx); err != nil {
				return m.smtp.whyUnsent(ctx, err, time.Since(began))
			}
		}
		err = c.send(ctx, composed)
		if err == nil {
			m.keep(c)
			return nil
		}
		c.cut()
		if composed.IsDelivered() {
			return nil // what failed came after that
		}
		// The server has closed what was kept before anything was sent: another one.
		if failed, ok := errors.AsType[*gomail.SendError](err); fresh || !ok || failed.Reason != gomail.ErrConnCheck {
			return m.smtp.whyUnsent(ctx, err, time.Since(began))
		}
	}
}

// connect opens a connection.
func (s *SMTP) connect(ctx context.Context) (*connection, error) {
	connected, cut := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cut)
	defer stop()
	options := append(s.options[:len(s.options):len(s.options)], gomail.WithDialContextFunc(s.dialUntil(connected)))
	client, err := gomail.NewClient(s.host, options...)
	if err != nil {
		cut()
		return nil, err
	}
	opened, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		cut()
		return nil, err
	}
	return &connection{client: client, smtp: opened, cut: cut}, nil
}

// send sends a mail by the connection, which is of no use after an error.
func (c *connection) send(ctx context.Context, message *gomail.Msg) error {
	stop := context.AfterFunc(ctx, c.cut)
	defer stop()
	c.sent++
	return c.client.SendWithSMTPClient(c.smtp, message)
}

// end says goodbye and closes the connection.
func (c *connection) end() {
	_ = c.client.CloseWithSMTPClient(c.smtp) // it is of no use any more, whatever the server says
	c.cut()
}

// take is a connection that is open, or nil.
func (m *Many) take() *connection {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := len(m.idle); n > 0; n = len(m.idle) {
		c := m.idle[n-1]
		m.idle = m.idle[:n-1]
		if c.expire.Stop() {
			return c
		}
	}
	return nil
}

// keep has a connection taken by the next mail, for a while.
func (m *Many) keep(c *connection) {
	if c.sent >= keptSent {
		c.end()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c.expire = time.AfterFunc(keptFor, func() {
		m.forget(c)
		c.end()
	})
	m.idle = append(m.idle, c)
}

func (m *Many) forget(c *connection) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, other := range m.idle {
		if other == c {
			m.idle = append(m.idle[:k], m.idle[k+1:]...)
			return
		}
	}
}
