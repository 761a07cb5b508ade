package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"manus/internal/smtptest"
)

// tlsServer is TLS from the start and takes a password inside of it only as
// plain text, like most servers at port 465. What comes to it is sent to came.
type tlsServer struct {
	addr    string
	trusted *x509.CertPool
	came    chan string // what was signed in with, then the mail
}

func startTLSServer(t *testing.T) tlsServer {
	t.Helper()
	certified := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(certified.Close)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	s := tlsServer{listener.Addr().String(), x509.NewCertPool(), make(chan string, 2)}
	s.trusted.AddCert(certified.Certificate())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the test has ended
			}
			s.talk(conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return s
}

// talk is one conversation. It ends with the first error, such as a client that
// doesn't trust the server.
func (s tlsServer) talk(conn net.Conn) {
	text := textproto.NewConn(conn)
	defer func() { _ = text.Close() }()
	answer := "220 localhost"
	for text.PrintfLine("%s", answer) == nil {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		answer = "250 fine"
		switch verb, rest, _ := strings.Cut(line, " "); verb {
		case "EHLO":
			answer = "250-localhost\r\n250 AUTH PLAIN"
		case "AUTH":
			answer = "235 welcome"
			s.came <- rest
		case "DATA":
			if text.PrintfLine("354 go on") != nil {
				return
			}
			data, err := text.ReadDotBytes()
			if err != nil {
				return
			}
			s.came <- string(data)
		}
	}
}

func TestTLSFromTheStart(t *testing.T) {
	t.Parallel()
	server := startTLSServer(t)
	s, err := NewSMTP("smtps://user:hunter2@"+server.addr, "no-reply@app.example.com")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Send(t.Context(), hello())
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || errors.Is(err, ErrRefused) {
		t.Errorf("a certificate that nobody trusts: %v", err)
	}
	s.tls.RootCAs = server.trusted
	if err := s.Send(t.Context(), hello()); err != nil {
		t.Fatal(err)
	}
	if auth, want := <-server.came, "PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00user\x00hunter2")); auth != want {
		t.Errorf("signed in with %q", auth)
	}
	if data := <-server.came; !strings.Contains(data, "Content-Language: ar") {
		t.Errorf("got %q", data)
	}
}

func TestAMailGoesInClearOnlyWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	for url, clear := range map[string]bool{
		"smtps://127.0.0.1": false, "smtps://mail.example.com": false, "smtp://mail.example.com": false,
		"smtp://127.0.0.1": true, "smtp://mail.example.com?tls=off": true,
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t) // has no TLS
			_, port, err := net.SplitHostPort(server.Addr)
			if err != nil {
				t.Fatal(err)
			}
			base, query, _ := strings.Cut(url, "?")
			s, err := NewSMTP(base+":"+port+"?"+query, "no-reply@app.example.com")
			if err != nil {
				t.Fatal(err)
			}
			s.host = "127.0.0.1" // as if the name were that of the test's server
			if err := s.Send(t.Context(), hello()); (err == nil) != clear || errors.Is(err, ErrRefused) {
				t.Errorf("got %v", err)
			}
			if got := len(server.Mails()) == 1; got != clear {
				t.Errorf("sent in clear: %v", got)
			}
		})
	}
}

func TestWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	s, err := NewSMTP("smtp://"+server.Addr, "no-reply@app.example.com")
	if err != nil {
		t.Fatal(err)
	}
	server.Refuse(554)
	if err := s.Send(t.Context(), hello()); !errors.Is(err, ErrRefused) || errors.Is(err, ErrAddress) {
		t.Errorf("the text: %v", err)
	}
	server.RefuseRecipients(450)
	if err := s.Send(t.Context(), hello()); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("the recipient for now: %v", err)
	}
	server.RefuseRecipients(550)
	if err := s.Send(t.Context(), hello()); !errors.Is(err, ErrRefused) || !errors.Is(err, ErrAddress) || errors.Is(err, ErrSignIn) {
		t.Errorf("the recipient: %v", err)
	}
}

// answering is a mail server that takes passwords, and says what it is given by the verb;
// where that is empty it says nothing and hangs.
func answering(t *testing.T, answers map[string]string) *SMTP {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go func() {
				text := textproto.NewConn(conn)
				for verb, line := "", ""; err == nil; verb, _, _ = strings.Cut(line, " ") {
					answer, known := answers[verb]
					if known && answer == "" {
						return // the connection stays
					}
					if !known {
						answer = map[string]string{"": "220 localhost", "EHLO": "250-localhost\r\n250 AUTH CRAM-MD5"}[verb]
					}
					if text.PrintfLine("%s", answer) != nil {
						return
					}
					line, err = text.ReadLine()
				}
			}()
		}
	}()
	s, err := NewSMTP("smtp://user:hunter2@"+listener.Addr().String(), "no-reply@app.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAWrongPasswordIsNotTheMailsFault(t *testing.T) {
	t.Parallel()
	s := answering(t, map[string]string{"AUTH": "535 5.7.8 wrong"})
	if err := s.Send(t.Context(), hello()); !errors.Is(err, ErrSignIn) || errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	s = answering(t, map[string]string{"AUTH": "454 4.7.0 not now"})
	if err := s.Send(t.Context(), hello()); err == nil || errors.Is(err, ErrSignIn) {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatHangsIsToldAsThat(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"", "EHLO", "AUTH"} {
		s := answering(t, map[string]string{verb: ""})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := s.Send(ctx, hello()); err == nil || err.Error() != "the mail server has not answered within 0s" {
			t.Errorf("%q: %v", verb, err)
		}
		stopped, stop := context.WithCancel(t.Context())
		context.AfterFunc(ctx, stop)
		if err := s.Send(stopped, hello()); !errors.Is(err, context.Canceled) {
			t.Errorf("%q when the program stops: %v", verb, err)
		}
	}
}
