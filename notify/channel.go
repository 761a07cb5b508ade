package notify

import (
	"context"
	"errors"
	"time"

	"manus/language"
)

// Channel takes messages to people: by mail, to a chat, to a program. Each is a lane of
// its own: one that hangs holds no other up.
type Channel interface {
	// Send hands a message over and returns nil once the receiver has taken it. The same
	// message, by its ID, may be sent again when it isn't known whether it was taken. It
	// heeds its context. Errors don't hold the channel's secret. One that is [Refused] is
	// for good, one made by [Later] says when to come again; any other is tried again. One
	// that is [Unusable] says that the next message will fare no better.
	Send(ctx context.Context, m Message) error
}

// State is what a message says of what it is about.
type State string

// The states.
const (
	Raised    State = "raised"
	Over      State = "over"      // of what was told as raised
	Passed    State = "passed"    // raised, and over before it could be told
	Reminder  State = "reminder"  // of what is still so
	Escalated State = "escalated" // of what nobody has acknowledged
	Digest    State = "digest"    // of several alerts that weren't told one by one
	Test      State = "test"      // of the channel
)

// Level is how bad it is.
type Level string

// The levels.
const (
	Critical Level = "critical"
	Error    Level = "error"
	Warning  Level = "warning"
	Info     Level = "info"
)

// Fact is a line of a message, such as since when.
type Fact struct{ Name, Value string }

// Message is what a channel sends, in the channel's language, plain text.
type Message struct {
	// ID makes it one message however often it is sent: the Message-ID, the webhook-id,
	// the idempotency key. It has letters, digits and "-" only.
	ID string
	// Thread is the same for all messages about one occurrence, and as simple as an ID.
	// It is empty for digests and tests.
	Thread string
	// Follows is the ID of the digest that has told that something began, of what tells
	// that it is over.
	Follows string
	State   State
	// AllOver is set for a digest when all that it holds is over.
	AllOver bool
	// Source is the installation that it is from; empty where that isn't known.
	Source string
	Kind   string // such as "monitor.down"; "digest", "test"
	Level  Level
	Title  string   // one line, which begins with the state where that matters
	Text   string   // one or a few sentences; may be empty
	Facts  []Fact   // since when, how long, project, environment
	Lines  []string // what was tried; of a digest, what it holds
	// LinesLeft is how many more lines there would be.
	LinesLeft int
	// URL is where to look, Runbook what to do, Acknowledge where to say that somebody
	// takes care. Each may be empty.
	URL, Runbook, Acknowledge string
	At                        time.Time
	Language                  language.Tag
}

// IsOver tells whether it says that something is over, and nothing else.
func (m Message) IsOver() bool { return m.State == Over || m.State == Passed || m.AllOver }

// Refused wraps an error of a channel that would be the same for this message the next
// time. Another message may be taken.
func Refused(err error) error { return refused{err} }

type refused struct{ error }

// Unwrap gives the cause.
func (r refused) Unwrap() error { return r.error }

// Unusable wraps an error of a channel whose address or credential isn't accepted, which
// is the same for all messages: nothing arrives there until somebody has mended that. It
// may be [Refused] too.
func Unusable(err error) error { return unusable{err} }

type unusable struct{ error }

// Unwrap gives the cause.
func (u unusable) Unwrap() error { return u.error }

// Later wraps an error by which a receiver has said when it takes messages again, such as
// by Retry-After: nothing is sent on the channel until then.
func Later(err error, wait time.Duration) error { return later{err, wait} }

type later struct {
	error
	wait time.Duration
}

// Unwrap gives the cause.
func (l later) Unwrap() error { return l.error }

// IsUnusable tells whether an error is the channel's, whatever the message.
func IsUnusable(err error) bool {
	_, is := errors.AsType[unusable](err)
	return is
}

// IsRefused tells whether an error of a channel is for good.
func IsRefused(err error) bool {
	_, is := errors.AsType[refused](err)
	return is
}

// Wait is how long a receiver wants to be left alone; zero for other errors.
func Wait(err error) time.Duration {
	l, _ := errors.AsType[later](err)
	return l.wait
}
