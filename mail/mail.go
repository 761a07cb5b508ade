// Package mail sends mails: a durable outbox in the store, delivered over SMTP
// off the request's path. A mail that was accepted survives crashes and servers
// that hang; it may arrive twice then, with the same Message-ID.
//
// It knows nothing of what the mails say.
package mail

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	stdmail "net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
	"manus/internal/seal"
	"manus/queue"
)

// Message is one mail.
type Message struct {
	// ID makes it one mail however often it is sent; empty: one is made.
	ID string `json:"-"`
	// Thread is the ID of the mail that began what this one goes on with, whether or not
	// that one was sent; empty, or the mail's own ID: it begins something itself.
	Thread string `json:"thread,omitempty"`
	To     string `json:"to"`
	// FromName is the sender's name in place of the settings' own; empty: as they say.
	FromName   string `json:"from_name,omitempty"`
	Subject    string `json:"subject"`
	Text, HTML string // the same in both
	Language   string `json:"language"` // "en" or "ar"
	// Unsubscribe is where a POST ends such mails (RFC 8058); empty for those that nobody has
	// subscribed to.
	Unsubscribe string    `json:"unsubscribe,omitempty"`
	ExpiresAt   time.Time `json:"-"` // not worth sending after that; zero means in three days
}

// ErrInvalid is returned for a message that can't be a mail.
var ErrInvalid = errors.New("the mail has no address, a line break in its head, or is too long")

// Bounds of a message, in bytes, and of its life.
const (
	maxAddress  = 254
	maxSubject  = 200
	maxPart     = 64 << 10
	maxLifetime = 3 * 24 * time.Hour
)

func (m Message) check() error {
	head := m.To + m.FromName + m.Subject + m.Language + m.Thread + m.Unsubscribe
	switch {
	case m.To == "" || len(m.To) > maxAddress || len(m.Subject) > maxSubject, len(m.FromName) > maxAddress,
		strings.ContainsFunc(head, func(c rune) bool { return c < ' ' || c == 0x7f }),
		!utf8.ValidString(head), len(m.Text) > maxPart, len(m.HTML) > maxPart:
		return ErrInvalid
	}
	return nil
}

// Sender hands a message to the world. An error that is ErrRefused is for good;
// any other is tried again.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Errors of a Sender.
var (
	// ErrRefused is for a message that will never be taken.
	ErrRefused = errors.New("the mail server refuses the mail")
	// ErrAddress is ErrRefused for the sender or the recipient, whatever the mail says.
	ErrAddress = fmt.Errorf("%w for its sender or recipient", ErrRefused)
	// ErrSignIn is for a user and password that the server doesn't take. It isn't
	// ErrRefused: the mail can be sent once they are right.
	ErrSignIn = errors.New("the mail server doesn't take the user and password")
)

const collection = "mails"

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec { return []docstore.Spec{queue.Spec[Message](collection)} }

// personOf is the same for all mails to one address, and not the address.
func personOf(to string) string {
	if parsed, err := stdmail.ParseAddress(to); err == nil {
		to = parsed.Address // without the name
	}
	sum := sha256.Sum256([]byte(strings.ToLower(to)))
	return hex.EncodeToString(sum[:])
}

// Config is what an Outbox is made of.
type Config struct {
	Store docstore.Store
	// Secrets seal the messages; the first seals, the others only open.
	Secrets []string
	// Sender takes the mails. Nil means that they are kept, to be looked at.
	Sender Sender
	// OnGivenUp is told of a mail that the server hasn't taken for as long as it is worth
	// sending, before it is given up, and why. While it fails the mail is kept. Nil: only
	// the log is told.
	OnGivenUp func(ctx context.Context, id string, err error) error
	Metrics   prometheus.Registerer // nil: nobody counts
	Now       func() time.Time      // the clock; nil means time.Now
	Log       *slog.Logger
}

// Outbox is where mails wait. It is safe for concurrent use.
type Outbox struct{ mails *queue.Queue[Message] }

const (
	// sendTimeout bounds one attempt.
	sendTimeout = time.Minute
	// remembered is how long a mail that was sent isn't sent again under its ID.
	remembered = time.Hour
)

// New makes an Outbox. The store's collections are declared already (Specs). What the
// mails say, and to whom, is sealed: they have links in them that the store must not
// know.
func New(c Config) (*Outbox, error) {
	box, err := seal.New(c.Secrets, collection)
	if err != nil {
		return nil, err
	}
	mails := queue.Config[Message]{
		Store: c.Store, Collection: collection, Noun: "mail", Seal: box, Lifetime: maxLifetime, Timeout: sendTimeout,
		RememberDone: remembered, Metrics: c.Metrics, Now: c.Now, Log: c.Log,
	}
	if c.OnGivenUp != nil {
		mails.OnDiscard = func(ctx context.Context, job queue.Job[Message], err error) error {
			if errors.Is(err, ErrRefused) { // of an address that nobody has
				return nil
			}
			return c.OnGivenUp(ctx, job.ID, err)
		}
	}
	if c.Sender != nil {
		mails.Work = func(ctx context.Context, job queue.Job[Message]) error { return send(ctx, c.Sender, message(job)) }
	}
	return &Outbox{queue.New(mails)}, nil
}

// Send puts a message into the outbox. Once it returns nil, the message is
// durable. It returns ErrInvalid or an error of the store.
func (o *Outbox) Send(ctx context.Context, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	return o.mails.Put(ctx, queue.Job[Message]{ID: m.ID, Group: personOf(m.To), Args: m, ExpiresAt: m.ExpiresAt})
}

func message(job queue.Job[Message]) Message {
	m := job.Args
	m.ID, m.ExpiresAt = job.ID, job.ExpiresAt
	return m
}

// Run delivers mails until ctx ends. Several copies of the program may run it
// at once. What is being sent then may be sent again.
func (o *Outbox) Run(ctx context.Context) { o.mails.Run(ctx) }

// send hands the message over. Its error doesn't name the person.
func send(ctx context.Context, to Sender, m Message) error {
	err := to.Send(ctx, m)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrRefused):
		return queue.Cancel(Anonymous(err, m.To))
	}
	return Anonymous(err, m.To)
}

// Anonymous is an error without the address that it is about.
func Anonymous(err error, address string) error { return anonymous{err, address} }

// anonymous is an error without the person's address.
type anonymous struct {
	error
	address string
}

// Error has the cause's words, but for the address in whichever way it is written
// there: servers repeat it without the name, in other letters or in quotes.
func (a anonymous) Error() string {
	ways := []string{a.address}
	if parsed, err := stdmail.ParseAddress(a.address); err == nil {
		parsed.Name = ""
		ways = append(ways, strings.Trim(parsed.String(), "<>"), parsed.Address)
	}
	var patterns []string
	for _, way := range ways {
		quoted := strconv.Quote(way)
		patterns = append(patterns, regexp.QuoteMeta(way), regexp.QuoteMeta(quoted[1:len(quoted)-1]))
	}
	return regexp.MustCompile("(?i)"+strings.Join(patterns, "|")).ReplaceAllLiteralString(a.error.Error(), "the recipient")
}

// Unwrap gives the cause.
func (a anonymous) Unwrap() error { return a.error }

// Kept is a message in the outbox and when it came there.
type Kept struct {
	Message
	At time.Time
}

// Kept returns the latest messages in the outbox, newest first. Without a Sender
// that is what the program would have sent.
func (o *Outbox) Kept(ctx context.Context, limit int) ([]Kept, error) {
	jobs, _, err := o.mails.List(ctx, queue.All, limit, "")
	var kept []Kept
	for _, job := range jobs {
		kept = append(kept, Kept{message(job), job.QueuedAt})
	}
	return kept, err
}

// Get returns a message in the outbox, or docstore.ErrNotFound.
func (o *Outbox) Get(ctx context.Context, id string) (Kept, error) {
	job, err := o.mails.Get(ctx, id)
	return Kept{message(job), job.QueuedAt}, err
}

// Sweep removes messages that aren't worth keeping any more. It may be run by several
// copies at once.
func (o *Outbox) Sweep(ctx context.Context) error { return o.mails.Sweep(ctx) }

// Erase removes what waits or is kept for an address.
func (o *Outbox) Erase(ctx context.Context, to string) error {
	return o.mails.DeleteGroup(ctx, personOf(to))
}
