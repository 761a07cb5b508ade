// Package smtptest gives tests a real mail server, which keeps what it gets.
package smtptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// Server is a mail server on a port of its own, closed when its test ends.
type Server struct {
	// Addr is where it listens.
	Addr string

	mu     sync.Mutex
	mails  []Mail
	refuse []*smtp.SMTPError // the next answers to DATA
	nobody *smtp.SMTPError   // the answer to every recipient; nil takes them
	hang   chan struct{}     // closed at the end; nil doesn't hang
	came   chan struct{}
}

// Mail is a mail as it came.
type Mail struct {
	From, To string // of the envelope
	Header   mail.Header
	Body     string
}

// Start runs a server without TLS.
func Start(t testing.TB) *Server { return start(t, nil) }

// StartTLS runs a server that offers STARTTLS, with a certificate that nobody
// has reason to trust.
func StartTLS(t testing.TB) *Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
}

func start(t testing.TB, config *tls.Config) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: listener.Addr().String(), came: make(chan struct{}, 1000)}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: s}, nil }))
	server.Domain, server.TLSConfig, server.EnableSMTPUTF8 = "localhost", config, true
	server.ErrorLog = quiet{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	t.Cleanup(func() {
		s.mu.Lock()
		if s.hang != nil {
			close(s.hang)
		}
		s.mu.Unlock()
		_ = server.Close()
		<-done
	})
	return s
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// Mails are those that were taken, in the order in which they came.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Wait waits until n mails have been taken, and returns all.
func (s *Server) Wait(t testing.TB, n int) []Mail {
	t.Helper()
	for {
		if mails := s.Mails(); len(mails) >= n {
			return mails
		}
		select {
		case <-s.came:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d mails came, not %d", len(s.Mails()), n)
		}
	}
}

// Refuse makes the server answer the next mail with a code, such as 451 or 550.
func (s *Server) Refuse(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = append(s.refuse, &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "not this one"})
}

// RefuseRecipients makes the server answer every recipient with a code, such as 550. With 0 it
// takes them again.
func (s *Server) RefuseRecipients(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if code == 0 {
		s.nobody = nil
		return
	}
	s.nobody = &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "no such mailbox\nhere"}
}

// Hang makes the server never answer a mail.
func (s *Server) Hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hang = make(chan struct{})
}

// Tried waits until a mail was offered, whatever became of it.
func (s *Server) Tried(t testing.TB) {
	t.Helper()
	select {
	case <-s.came:
	case <-time.After(20 * time.Second):
		t.Fatal("no mail was offered")
	}
}

type session struct {
	server   *Server
	from, to string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return nil }
func (s *session) Reset()                                      {}
func (s *session) Logout() error                               { return nil }

// Rcpt takes a recipient, unless the test has it refuse them.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.to = to
	if s.server.nobody != nil {
		return s.server.nobody
	}
	return nil
}

// Data takes a mail, or does what the test has asked for.
func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	hang := s.server.hang
	s.server.mu.Unlock()
	defer func() { s.server.came <- struct{}{} }()
	if hang != nil {
		s.server.came <- struct{}{}
		<-hang
		return io.ErrUnexpectedEOF
	}
	message, err := mail.ReadMessage(strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(message.Body)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if len(s.server.refuse) > 0 {
		refusal := s.server.refuse[0]
		s.server.refuse = s.server.refuse[1:]
		return refusal
	}
	s.server.mails = append(s.server.mails, Mail{From: s.from, To: s.to, Header: message.Header, Body: string(body)})
	return nil
}
