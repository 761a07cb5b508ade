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
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	stdmail "net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"manus/docstore"
	"manus/internal/seal"
)

// Message is one mail.
type Message struct {
	// ID makes it one mail however often it is sent; empty: one is made.
	ID         string    `json:"-"`
	To         string    `json:"to"`
	Subject    string    `json:"subject"`
	Text, HTML string    // the same in both
	Language   string    `json:"language"` // "en" or "ar"
	ExpiresAt  time.Time `json:"-"`        // not worth sending after that; zero means in three days
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
	head := m.To + m.Subject + m.Language
	switch {
	case m.To == "" || len(m.To) > maxAddress || len(m.Subject) > maxSubject,
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

// ErrRefused is returned by a Sender for a message that will never be taken.
var ErrRefused = errors.New("the mail server refuses the mail")

// queued is a message in the outbox. What it says, and to whom, is sealed: mails
// have links in them that the store must not know.
type queued struct {
	ID       string        `json:"_id"`
	Person   string        `json:"person"` // see personOf
	Sealed   []byte        `json:"sealed"`
	QueuedAt docstore.Time `json:"queued_at"`
	DueAt    docstore.Time `json:"due_at,omitzero"` // not there for what is kept
	Attempts int           `json:"attempts,omitempty"`
	Expires  docstore.Time `json:"expires_at"`
}

// DocumentID is the message's id.
func (q queued) DocumentID() string { return q.ID }

var spec = docstore.Spec{Collection: "mails", Of: queued{}, Indexes: []docstore.Index{
	{Name: "by_due", Fields: []string{"due_at"}},
	{Name: "by_queued", Fields: []string{"queued_at"}},
	{Name: "by_person", Fields: []string{"person"}},
	{Name: "by_expiry", Fields: []string{"expires_at"}},
}}

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec { return []docstore.Spec{spec} }

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
	Now    func() time.Time // the clock; nil means time.Now
	Log    *slog.Logger
}

// Outbox is where mails wait. It is safe for concurrent use.
type Outbox struct {
	mails  *docstore.Collection[queued]
	box    *seal.Box
	sender Sender
	now    func() time.Time
	log    *slog.Logger
	wake   chan struct{}
}

// New makes an Outbox. The store's collections are declared already (Specs).
func New(c Config) (*Outbox, error) {
	box, err := seal.New(c.Secrets, "mails")
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Outbox{
		mails:  docstore.NewCollection[queued](c.Store, spec),
		box:    box,
		sender: c.Sender,
		now:    c.Now,
		log:    c.Log,
		wake:   make(chan struct{}, 1),
	}, nil
}

// Send puts a message into the outbox. Once it returns nil, the message is
// durable. It returns ErrInvalid or an error of the store.
func (o *Outbox) Send(ctx context.Context, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	if m.ID == "" {
		m.ID = docstore.NewID()
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	now := o.now()
	if m.ExpiresAt.IsZero() {
		m.ExpiresAt = now.Add(maxLifetime)
	}
	q := queued{ID: m.ID, Person: personOf(m.To), Sealed: o.box.Seal(text, m.ID), QueuedAt: docstore.At(now), Expires: docstore.At(m.ExpiresAt)}
	if o.sender != nil {
		q.DueAt = docstore.At(now)
	}
	err = o.mails.Insert(ctx, q)
	if docstore.ConflictsOn(err, docstore.IDIndex) {
		return nil // it is there already
	}
	o.signal()
	return err
}

func (o *Outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *Outbox) open(q queued) (Message, error) {
	text, err := o.box.Open(q.Sealed, q.ID)
	if err != nil {
		return Message{}, err
	}
	m := Message{ID: q.ID, ExpiresAt: q.Expires.Time}
	return m, json.Unmarshal(text, &m)
}

const (
	// sendTimeout bounds one attempt, claimed how long the message is left
	// alone by other copies of the program.
	sendTimeout = time.Minute
	claimed     = 2 * time.Minute
	// pollEvery is how soon what other copies queued is seen.
	pollEvery = time.Second
	// maxSending is how many are sent at a time.
	maxSending = 4
	firstRetry = 5 * time.Second
	lastRetry  = 15 * time.Minute
)

// Run delivers mails until ctx ends. Several copies of the program may run it
// at once. It returns at once then: what is being sent may be sent again.
func (o *Outbox) Run(ctx context.Context) {
	if o.sender == nil {
		<-ctx.Done()
		return
	}
	slots := make(chan struct{}, maxSending)
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if err := o.deliverDue(ctx, slots); err != nil && ctx.Err() == nil {
			o.log.ErrorContext(ctx, "the outbox can't be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		case <-ticker.C:
		}
	}
}

// deliverDue begins to send what is due, as far as there are slots.
func (o *Outbox) deliverDue(ctx context.Context, slots chan struct{}) error {
	for {
		due, _, err := o.mails.Find(ctx, docstore.Query{Index: "by_due", Until: docstore.At(o.now().Add(time.Millisecond)), Limit: maxSending})
		if err != nil || len(due) == 0 {
			return err
		}
		for _, q := range due {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			mine, err := o.claim(ctx, q)
			if err != nil || !mine {
				<-slots
				if err != nil {
					return err
				}
				continue
			}
			go func() {
				defer func() { <-slots; o.signal() }()
				o.deliver(ctx, q)
			}()
		}
	}
}

// claim takes a message for this copy of the program, for a while.
func (o *Outbox) claim(ctx context.Context, q queued) (mine bool, err error) {
	_, err = o.mails.Update(ctx, q.ID, func(now *queued) error {
		mine = now.DueAt.Equal(q.DueAt.Time)
		if !mine {
			return docstore.ErrUnchanged
		}
		now.DueAt = docstore.At(o.now().Add(claimed))
		now.Attempts++
		return nil
	})
	if errors.Is(err, docstore.ErrNotFound) {
		return false, nil
	}
	return mine, err
}

var errTooLate = errors.New("it could not be sent in time")

// deliver sends a message, and removes it or puts it back for later. One that
// can't be opened is put back as well: while a secret is being changed, another
// copy of the program has the one that opens it.
func (o *Outbox) deliver(ctx context.Context, q queued) {
	m, err := o.open(q)
	switch {
	case err != nil:
	case !o.now().Before(q.Expires.Time):
		err = errTooLate
	default:
		err = o.send(ctx, m)
	}
	if ctx.Err() != nil {
		return // it stays claimed, and is due again after that
	}
	again := o.now().Add(retryAfter(q.Attempts))
	switch {
	case err == nil:
		err = o.mails.Delete(ctx, q.ID)
	case errors.Is(err, ErrRefused), !again.Before(q.Expires.Time):
		o.log.ErrorContext(ctx, "a mail was given up", "mail", q.ID, "attempts", q.Attempts+1, "error", err)
		err = o.mails.Delete(ctx, q.ID)
	default:
		o.log.WarnContext(ctx, "a mail could not be sent; it will be tried again", "mail", q.ID, "attempts", q.Attempts+1, "error", err)
		_, err = o.mails.Update(ctx, q.ID, func(q *queued) error {
			q.DueAt = docstore.At(again)
			return nil
		})
	}
	if err != nil && !errors.Is(err, docstore.ErrNotFound) && ctx.Err() == nil {
		o.log.ErrorContext(ctx, "what became of a mail was not written down; it may be sent again", "mail", q.ID, "error", err)
	}
}

// send hands the message over, within sendTimeout. Its error doesn't name the
// person.
func (o *Outbox) send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- o.sender.Send(ctx, m) }()
	select {
	case err := <-done:
		return anonymous{err, m.To}.orNil()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// anonymous is an error without the person's address.
type anonymous struct {
	error
	address string
}

func (a anonymous) orNil() error {
	if a.error == nil {
		return nil
	}
	return a
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

// retryAfter doubles with each attempt, less up to a fifth, so that what failed
// together isn't tried again together.
func retryAfter(attempts int) time.Duration {
	wait := min(firstRetry<<min(attempts, 16), lastRetry)
	return wait - rand.N(wait/5)
}

// Kept is a message in the outbox and when it came there.
type Kept struct {
	Message
	At time.Time
}

// Kept returns the latest messages in the outbox, newest first. Without a Sender
// that is what the program would have sent.
func (o *Outbox) Kept(ctx context.Context, limit int) ([]Kept, error) {
	found, _, err := o.mails.Find(ctx, docstore.Query{Index: "by_queued", Descending: true, Limit: limit})
	if err != nil {
		return nil, err
	}
	var kept []Kept
	for _, q := range found {
		m, err := o.open(q)
		if errors.Is(err, seal.ErrUnreadable) {
			continue // of another secret
		}
		if err != nil {
			return nil, err
		}
		kept = append(kept, Kept{m, q.QueuedAt.Time})
	}
	return kept, nil
}

// Get returns a message in the outbox, or docstore.ErrNotFound.
func (o *Outbox) Get(ctx context.Context, id string) (Kept, error) {
	q, err := o.mails.Get(ctx, id)
	if err != nil {
		return Kept{}, err
	}
	m, err := o.open(q)
	return Kept{m, q.QueuedAt.Time}, err
}

// Sweep removes messages that aren't worth sending or keeping any more. It may
// be run by several copies at once.
func (o *Outbox) Sweep(ctx context.Context) error {
	_, err := o.mails.DeleteAll(ctx, docstore.Query{Index: "by_expiry", Until: docstore.At(o.now())})
	return err
}

// Erase removes what waits or is kept for an address.
func (o *Outbox) Erase(ctx context.Context, to string) error {
	_, err := o.mails.DeleteAll(ctx, docstore.Query{Index: "by_person", Equal: []any{personOf(to)}})
	return err
}
