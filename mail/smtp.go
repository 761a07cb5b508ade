package mail

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	stdmail "net/mail"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"manus/internal/dialerr"
	"manus/language"
)

// dialTimeout bounds the way to the mail server.
const dialTimeout = 10 * time.Second

// SMTP sends mails through a mail server. It is safe for concurrent use.
type SMTP struct {
	from    string
	address string // of from
	domain  string // of from, for message ids
	host    string
	tls     *tls.Config
	fromTLS bool // TLS from the start
	options []gomail.Option
	secrets []string // which no error has
}

// CheckURL tells what is wrong with a mail server's URL.
func CheckURL(serverURL string) error {
	_, err := NewSMTP(serverURL, "nobody@example.com")
	return err
}

// CheckFrom tells what is wrong with a sender.
func CheckFrom(from string) error {
	_, err := NewSMTP("smtp://localhost", from)
	return err
}

// Errors of NewSMTP. They never have the URL, which has a password in it.
var (
	errURL  = errors.New("is not a mail server's URL; use smtp://user:password@host:587 or smtps://user:password@host:465")
	errFrom = errors.New("is not an e-mail address; use 'name@example.com' or 'Name <name@example.com>'")
)

// NewSMTP is the mail server at a URL. "smtps" is TLS from the start (port 465),
// "smtp" becomes TLS by STARTTLS (port 587), which is required unless the server
// is on this machine or the URL ends in "?tls=off". Certificates are verified.
func NewSMTP(serverURL, from string) (*SMTP, error) {
	u, err := url.Parse(serverURL)
	if err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, errURL
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(query) > 1 || len(query) == 1 && u.RawQuery != "tls=off" {
		return nil, errURL
	}
	sender, err := stdmail.ParseAddress(from)
	if err != nil {
		return nil, errFrom
	}
	s := &SMTP{
		from: from, address: sender.Address, domain: sender.Address[strings.LastIndexByte(sender.Address, '@')+1:], host: u.Hostname(),
		tls: &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12},
	}
	port := 587
	policy := gomail.TLSMandatory
	switch {
	case u.Scheme == "smtps" && len(query) == 0:
		// The client is left nothing to do: dialUntil has begun TLS by then. With
		// its own option for this it takes the connection for one in clear.
		port, policy, s.fromTLS = 465, gomail.TLSOpportunistic, true
	case u.Scheme != "smtp":
		return nil, errURL
	case len(query) == 1:
		policy = gomail.NoTLS
	case isLoopback(u.Hostname()):
		policy = gomail.TLSOpportunistic
	}
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil || port < 1 || port > 65535 {
			return nil, errURL
		}
	}
	s.options = []gomail.Option{
		gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(s.tls),
		gomail.WithPort(port), gomail.WithTimeout(sendTimeout / 2), gomail.WithHELO("localhost"),
	}
	if password, ok := u.User.Password(); ok {
		s.secrets = secretsOf(u.User.Username(), password)
		s.options = append(s.options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()), gomail.WithPassword(password))
	}
	if _, err := gomail.NewClient(s.host, s.options...); err != nil {
		return nil, errURL
	}
	return s, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Send sends one mail. ErrRefused means that the server won't take it (a 5xx
// answer to the sender, the recipient or the text), ErrAddress that it is one of the
// first two, and ErrSignIn that the user and password are wrong.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	connected, cancel := context.WithCancel(ctx) // closes the connection, however it went
	defer cancel()
	message, err := s.message(m)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	options := append(s.options[:len(s.options):len(s.options)], gomail.WithDialContextFunc(s.dialUntil(connected)))
	client, err := gomail.NewClient(s.host, options...)
	if err != nil {
		return err
	}
	began := time.Now()
	err = client.DialAndSendWithContext(connected, message)
	if err == nil || message.IsDelivered() {
		return nil // what failed came after that
	}
	return s.whyUnsent(ctx, err, time.Since(began))
}

// whyUnsent says what an error of the client means that came after a while. What a server answers
// is its own text: it is cut, and the password isn't in it though it may say back what it was sent.
func (s *SMTP) whyUnsent(ctx context.Context, err error, after time.Duration) error {
	err = meaning(ctx, err, after)
	text := err.Error()
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "…")
	}
	return answer{err, language.Cut(text, maxAnswer)}
}

// maxAnswer bounds what is told of a server's answer, in characters.
const maxAnswer = 400

// answer is an error with another text.
type answer struct {
	error
	text string
}

func (a answer) Error() string { return a.text }

func (a answer) Unwrap() error { return a.error }

// secretsOf are a password and what is sent of it to sign in.
func secretsOf(user, password string) (all []string) {
	for _, said := range []string{"\x00" + user + "\x00" + password, user + "\x00" + user + "\x00" + password, password} {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(said)))
	}
	return slices.DeleteFunc(append(all, password), func(text string) bool { return text == "" })
}

func meaning(ctx context.Context, err error, after time.Duration) error {
	if refused, ok := errors.AsType[*gomail.SendError](err); ok && refused.ErrorCode() >= 500 {
		if refused.Reason == gomail.ErrSMTPMailFrom || refused.Reason == gomail.ErrSMTPRcptTo {
			return fmt.Errorf("%w: %w", ErrAddress, err)
		}
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if answer, ok := errors.AsType[*textproto.Error](err); ok && slices.Contains(wrongSignIn, answer.Code) {
		return fmt.Errorf("%w: %w", ErrSignIn, answer)
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch late := ok && timeout.Timeout(); {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("the mail server was not waited for: %w", context.Cause(ctx))
	case late || ctx.Err() != nil: // which has closed the connection
		return fmt.Errorf("the mail server has not answered within %v", after.Round(time.Second))
	}
	return err
}

// wrongSignIn are a server's answers to a user and password, or to there being none.
var wrongSignIn = []int{530, 534, 535, 538}

// dialUntil dials connections that are closed when ctx ends, so that a server
// that hangs holds nothing up. They are TLS already where that is asked for.
func (s *SMTP) dialUntil(ctx context.Context) gomail.DialContextFunc {
	return func(dialCtx context.Context, network, address string) (net.Conn, error) {
		dialer := net.Dialer{Timeout: dialTimeout}
		conn, err := dialer.DialContext(dialCtx, network, address)
		if err != nil {
			return nil, dialerr.WithoutResolver(err)
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		if !s.fromTLS {
			return conn, nil
		}
		encrypted := tls.Client(conn, s.tls)
		if err := encrypted.HandshakeContext(dialCtx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return encrypted, nil
	}
}

func (s *SMTP) message(m Message) (*gomail.Msg, error) {
	message := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(message.From(s.from), message.To(m.To)); err != nil {
		return nil, err
	}
	if m.FromName != "" {
		if err := message.FromFormat(m.FromName, s.address); err != nil {
			return nil, err
		}
	}
	message.Subject(m.Subject)
	message.SetDate()
	message.SetMessageIDWithValue(m.ID + "@" + s.domain)
	if m.Thread != "" && m.Thread != m.ID {
		first := "<" + m.Thread + "@" + s.domain + ">"
		message.SetGenHeader(gomail.HeaderInReplyTo, first)
		message.SetGenHeader(gomail.HeaderReferences, first)
	}
	if m.Unsubscribe != "" {
		message.SetGenHeader(gomail.HeaderListUnsubscribe, "<"+m.Unsubscribe+">")
		message.SetGenHeader(gomail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
	}
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetGenHeader("X-Auto-Response-Suppress", "All") // as Exchange has it
	message.SetGenHeader("Content-Language", m.Language)
	message.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		message.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	return message, nil
}
