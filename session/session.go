// Package session keeps metered work sessions: each has a log of events in a
// gapless order, which its owner reads as pages or follows live. Opening one
// uses a run of the owner's quota.
//
// Messages are work: they stand in a feed across all sessions (feed.go) and are claimed by
// workers (work.go), programs of the product that append to the logs what they did.
//
// It knows nothing of plans (it asks a Quota), nor of what the work is.
package session

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
	"manus/identity"
	"manus/queue"
)

// Status is how a session stands.
type Status string

// The statuses.
const (
	Active  Status = "active"
	Stopped Status = "stopped"
)

// Session is one session.
type Session struct {
	ID string `json:"_id"`
	// UserID is the owner; it is taken away when the session is deleted, so
	// that nobody sees it from then on.
	UserID    string        `json:"user_id,omitempty"`
	Title     string        `json:"title"`
	Status    Status        `json:"status"`
	CreatedAt docstore.Time `json:"created_at"`
	UpdatedAt docstore.Time `json:"updated_at"`
	// DeletedAt is set while what is left of a deleted session is cleared up.
	DeletedAt *docstore.Time `json:"deleted_at,omitempty"`
}

// DocumentID is the session's id.
func (s Session) DocumentID() string { return s.ID }

func (s Session) belongsTo(userID string) bool { return s.UserID == userID && s.DeletedAt == nil }

// Event is one entry of a session's log.
type Event struct {
	ID        string          `json:"_id"` // see eventID
	SessionID string          `json:"session_id"`
	Seq       int64           `json:"seq"` // 1, 2, 3, … without gaps
	Type      string          `json:"type"`
	Data      json.RawMessage `json:"data"`
	// ClientKey, where there is one, makes a repeated append the same event.
	ClientKey string `json:"client_key,omitempty"`
	// Answers is the message that a worker's event answers, see workID.
	Answers   string        `json:"answers,omitempty"`
	CreatedAt docstore.Time `json:"created_at"`
	// Message is Seq where the event is a message, and UnfedAt set until the feed has it.
	Message int64         `json:"message,omitempty"`
	UnfedAt docstore.Time `json:"unfed_at,omitzero"`
}

// DocumentID is the event's id.
func (e Event) DocumentID() string { return e.ID }

// The types of events that are the program's own.
const (
	Message     = "message" // what the owner wrote
	StoppedType = "stopped" // always the last one
)

// eventID makes ids that sort as the events do, and are the same for two
// events of one place: so no two can have it.
func eventID(sessionID string, seq int64) string { return fmt.Sprintf("%s/%010d", sessionID, seq) }

// Bounds of what is kept.
const (
	maxEvents = 100_000  // in one session
	maxText   = 16 << 10 // characters of a message, as JSON Schema counts them: code points
	maxData   = 32 << 10 // bytes
)

var (
	sessionSpec = docstore.Spec{Collection: "sessions", Of: Session{}, Indexes: []docstore.Index{
		{Name: "by_user", Fields: []string{"user_id", "created_at"}},
		{Name: "by_deletion", Fields: []string{"deleted_at"}},
	}}
	eventSpec = docstore.Spec{Collection: "session_events", Of: Event{}, Indexes: []docstore.Index{
		{Name: "by_client_key", Fields: []string{"session_id", "client_key"}, Unique: true},
		{Name: "by_message", Fields: []string{"session_id", "message"}},
		{Name: "by_unfed", Fields: []string{"unfed_at"}},
	}}
)

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec {
	return []docstore.Spec{sessionSpec, eventSpec, feedSpec, workSpec, ticketSpec}
}

// Errors of the room.
var (
	ErrNotFound       = errors.New("there is no such session")
	ErrStopped        = errors.New("the session has been stopped")
	ErrLogFull        = errors.New("the session's log is full")
	ErrKeyReused      = errors.New("the client key stands for another event")
	ErrInvalidText    = errors.New("the text is empty, too long, or not text")
	ErrContended      = errors.New("too many write to the session at once")
	ErrQuotaExhausted = errors.New("the quota of runs is used up")
	ErrTooManyAtOnce  = errors.New("too many sessions are being opened at once")
	errAnswersNothing = errors.New("what is answered isn't a message of the session")
)

// Quota is what sessions are metered by. Errors other than ErrQuotaExhausted
// and ErrTooManyAtOnce are the store's.
type Quota interface {
	// Reserve takes a run for a session that is about to be made, or returns
	// ErrQuotaExhausted or ErrTooManyAtOnce.
	Reserve(ctx context.Context, userID, sessionID string) error
	// Confirm says that the session exists. A run that isn't confirmed is to
	// be looked into by the quota.
	Confirm(ctx context.Context, userID, sessionID string) error
}

// Hints tell other copies of the program that a session's log has grown. A hint may
// be lost: streams look at the store by themselves, too.
type Hints interface {
	// Publish tells the others. It doesn't wait.
	Publish(sessionID string)
	// Alive tells whether hints of the others arrive just now. While they do,
	// streams look at the store by themselves less often.
	Alive() bool
}

// Config is what a Service is made of.
type Config struct {
	Store docstore.Store
	Quota Quota
	Hints Hints // nil means that there are none
	// Caller is somebody who proved themselves by a login or a key, as things stand now, or
	// an error. It lets in who comes with a ticket.
	Caller func(ctx context.Context, loginID, keyID string) (identity.Caller, error)
	// URL is where the program is reached; empty means as who asks for a ticket did.
	URL     string
	Metrics prometheus.Registerer // nil: nobody counts
	Log     *slog.Logger
}

// Service has the rules of sessions. It is safe for concurrent use.
type Service struct {
	c        Config
	sessions *docstore.Collection[Session]
	events   *docstore.Collection[Event]
	feed     *docstore.Collection[entry]
	tickets  *docstore.Collection[ticket]
	work     *queue.Queue[task] // by session
	relay    *relay
	now      func() time.Time

	appending [64]sync.Mutex // by session: appends to one take turns
	seed      maphash.Seed
	streams   *streams
}

// New makes a Service. The store's collections are declared already (Specs).
func New(c Config) *Service {
	if c.Hints == nil {
		c.Hints = noHints{}
	}
	s := &Service{
		c:        c,
		sessions: docstore.NewCollection[Session](c.Store, sessionSpec),
		events:   docstore.NewCollection[Event](c.Store, eventSpec),
		feed:     docstore.NewCollection[entry](c.Store, feedSpec),
		tickets:  docstore.NewCollection[ticket](c.Store, ticketSpec),
		relay:    newRelay(),
		now:      time.Now,
		seed:     maphash.MakeSeed(),
		streams:  newStreams(pace{}),
	}
	s.work = queue.New(queue.Config[task]{
		Store: c.Store, Collection: workCollection, Noun: "session with messages", KeepDone: workRemembered,
		Now: func() time.Time { return s.now() }, Metrics: c.Metrics, Log: c.Log,
	})
	return s
}

// noHints is being alone.
type noHints struct{}

func (noHints) Publish(string) {}
func (noHints) Alive() bool    { return false }

// OnHint wakes the session's streams: another copy says that its log has grown.
func (s *Service) OnHint(sessionID string) { s.streams.poke(sessionID) }

// MissedHints wakes all streams: hints may have been lost.
func (s *Service) MissedHints() { s.streams.pokeAll() }

// grown tells the streams of all copies that a log has grown, or has gone.
func (s *Service) grown(sessionID string) {
	s.streams.poke(sessionID)
	s.c.Hints.Publish(sessionID)
}

// Close ends all live streams; their readers come back to another copy, or
// later. Everything else goes on.
func (s *Service) Close() { s.streams.close() }

// Create opens a session for the user and uses one run of the quota, or returns
// ErrQuotaExhausted. Killed in between, it has made either both or, once the
// quota has looked into it, neither.
func (s *Service) Create(ctx context.Context, userID, title string) (Session, error) {
	now := docstore.At(s.now())
	if id := docstore.IDFrom(ctx); id != "" { // it may have been made, and its maker killed
		if made, err := s.Get(ctx, userID, id); !errors.Is(err, ErrNotFound) {
			return made, err
		}
	}
	made := Session{ID: cmp.Or(docstore.IDFrom(ctx), docstore.NewID()), UserID: userID, Title: title, Status: Active, CreatedAt: now, UpdatedAt: now}
	if err := s.c.Quota.Reserve(ctx, userID, made.ID); err != nil {
		return Session{}, err
	}
	// Not even a client that leaves stops what has been begun.
	ctx = context.WithoutCancel(ctx)
	if err := s.sessions.Insert(ctx, made); err != nil {
		// Whether it is stored isn't known; the quota will look into it.
		return Session{}, err
	}
	if err := s.c.Quota.Confirm(ctx, userID, made.ID); err != nil { // the quota finds out by itself then
		s.c.Log.WarnContext(ctx, "a session's run was not confirmed", "session", made.ID, "error", err)
	}
	return made, nil
}

// Get returns the user's session. Another's is ErrNotFound, as one is that
// never was.
func (s *Service) Get(ctx context.Context, userID, id string) (Session, error) {
	found, err := s.sessions.Get(ctx, id)
	if errors.Is(err, docstore.ErrNotFound) || err == nil && !found.belongsTo(userID) {
		return Session{}, ErrNotFound
	}
	return found, err
}

// List returns a page of the user's sessions, newest first, and the next
// page's cursor.
func (s *Service) List(ctx context.Context, userID string, limit int, cursor string) ([]Session, string, error) {
	return s.sessions.Find(ctx, docstore.Query{Index: "by_user", Equal: []any{userID}, Descending: true, Limit: limit, Cursor: cursor})
}

// Exists tells whether the session is stored.
func (s *Service) Exists(ctx context.Context, id string) (bool, error) {
	_, err := s.sessions.Get(ctx, id)
	return err == nil, docstore.NotFoundAs(err, nil)
}

// update changes the user's session in one step, or returns ErrNotFound.
func (s *Service) update(ctx context.Context, userID, id string, change func(*Session)) (Session, error) {
	changed, err := s.sessions.Update(ctx, id, func(found *Session) error {
		if !found.belongsTo(userID) {
			return ErrNotFound
		}
		change(found)
		found.UpdatedAt = docstore.At(s.now())
		return nil
	})
	return changed, docstore.NotFoundAs(err, ErrNotFound)
}

// Rename gives the session another title.
func (s *Service) Rename(ctx context.Context, userID, id, title string) (Session, error) {
	return s.update(ctx, userID, id, func(found *Session) { found.Title = title })
}

// Stop ends the session: its log gets a last event, after which nothing can be
// appended. Stopping again changes nothing, and finishes what a crash has cut
// short.
func (s *Service) Stop(ctx context.Context, userID, id string) (Session, error) {
	found, err := s.Get(ctx, userID, id)
	if err != nil || found.Status == Stopped {
		return found, err
	}
	_, err = s.append(ctx, Event{SessionID: id, Type: StoppedType, Data: json.RawMessage("{}")})
	if err != nil && !errors.Is(err, ErrStopped) {
		return Session{}, err
	}
	return s.update(ctx, userID, id, func(found *Session) { found.Status = Stopped })
}

// deletionGrace is how long a deleted session's document is kept, to catch what
// another copy was appending at that moment.
const deletionGrace = 10 * time.Minute

// Delete removes the session and its log. Its run stays used.
func (s *Service) Delete(ctx context.Context, userID, id string) error {
	found, err := s.Get(ctx, userID, id)
	if err != nil {
		return err
	}
	if err := s.c.Quota.Confirm(ctx, userID, id); err != nil { // or it would seem never to have been made
		return err
	}
	_, err = s.update(ctx, userID, found.ID, func(found *Session) {
		found.UserID, found.Title, found.Status = "", "", Stopped
		found.DeletedAt = new(docstore.At(s.now()))
	})
	if err != nil {
		return err
	}
	s.grown(id)
	return s.deleteEvents(ctx, id)
}

// deleteEvents removes a session's log, and what is to be done for it.
func (s *Service) deleteEvents(ctx context.Context, id string) error {
	_, err := s.events.DeleteAll(ctx, logRange(id, 0))
	_, err2 := s.tickets.DeleteAll(ctx, docstore.Query{Index: "by_session", Equal: []any{id}})
	return errors.Join(err, err2, s.work.Delete(ctx, id))
}

// Sweep finishes deletions and removes what has expired. It may be run by several copies
// at once and be cut short.
func (s *Service) Sweep(ctx context.Context) error {
	return errors.Join(s.sweepDeleted(ctx), s.sweepFeed(ctx), s.work.Sweep(ctx), s.sweepTickets(ctx))
}

func (s *Service) sweepDeleted(ctx context.Context) error {
	due := docstore.Query{Index: "by_deletion", Until: docstore.At(s.now().Add(-deletionGrace))}
	for {
		deleted, _, err := s.sessions.Find(ctx, due)
		if err != nil || len(deleted) == 0 {
			return err
		}
		for _, d := range deleted {
			if err := s.deleteEvents(ctx, d.ID); err != nil {
				return err
			}
			if err := docstore.NotFoundAs(s.sessions.Delete(ctx, d.ID), nil); err != nil {
				return err
			}
		}
	}
}

// Export gives the user's sessions, and the events of each in a file of its
// own. It holds one page in memory at a time.
func (s *Service) Export(ctx context.Context, userID string, add func(name string, values iter.Seq2[any, error]) error) error {
	mine := docstore.Query{Index: "by_user", Equal: []any{userID}}
	if err := add("sessions", docstore.Show(s.sessions.All(ctx, mine), newSessionBody)); err != nil {
		return err
	}
	for found, err := range s.sessions.All(ctx, mine) {
		if err == nil {
			err = add("sessions/"+found.ID, docstore.Show(s.events.All(ctx, logRange(found.ID, 0)), newEventBody))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Erase deletes the user's sessions and their logs. It may be cut short and be
// called again.
func (s *Service) Erase(ctx context.Context, userID string) error {
	for found, err := range s.sessions.All(ctx, docstore.Query{Index: "by_user", Equal: []any{userID}}) {
		if err == nil {
			err = s.Delete(ctx, userID, found.ID)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// Append adds an event to the log of anybody's session, for a worker. With a client key,
// the same event appended again is the one that is there already; the key with another
// event is ErrKeyReused. An event without one that answers a message is the one of its type
// that does. Other errors are ErrNotFound, ErrStopped, ErrLogFull, errAnswersNothing and
// ErrContended.
func (s *Service) Append(ctx context.Context, e Event) (Event, error) {
	if _, err := s.any(ctx, e.SessionID); err != nil {
		return Event{}, err
	}
	if err := s.checkAnswers(ctx, e); err != nil {
		return Event{}, err
	}
	if e.Answers != "" && e.ClientKey == "" {
		e.ClientKey = "answers/" + e.Answers + "/" + e.Type // with signs that no client's has
	}
	return s.append(ctx, e)
}

// checkAnswers looks whether what an event answers is a message of its session.
func (s *Service) checkAnswers(ctx context.Context, e Event) error {
	if e.Answers == "" {
		return nil
	}
	sessionID, seq, err := parseWorkID(e.Answers)
	if err != nil || sessionID != e.SessionID {
		return errAnswersNothing
	}
	answered, err := s.events.Get(ctx, eventID(sessionID, seq))
	if err == nil && answered.Type != Message {
		err = errAnswersNothing
	}
	return docstore.NotFoundAs(err, errAnswersNothing)
}

// any returns anybody's session, for a worker; ErrNotFound for one that was deleted.
func (s *Service) any(ctx context.Context, id string) (Session, error) {
	found, err := s.sessions.Get(ctx, id)
	if err == nil && found.DeletedAt != nil {
		err = ErrNotFound
	}
	return found, docstore.NotFoundAs(err, ErrNotFound)
}

// Read returns a session that the caller may read: their own, or a worker any.
func (s *Service) Read(ctx context.Context, caller identity.Caller, id string) (Session, error) {
	if caller.IsWorker() {
		return s.any(ctx, id)
	}
	return s.Get(ctx, caller.UserID, id)
}

// Write appends a message of the owner.
func (s *Service) Write(ctx context.Context, userID, id, text, clientKey string) (Event, error) {
	if text == "" || utf8.RuneCountInString(text) > maxText || strings.ContainsRune(text, 0) {
		return Event{}, ErrInvalidText
	}
	data, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return Event{}, err
	}
	if _, err := s.Get(ctx, userID, id); err != nil {
		return Event{}, err
	}
	e, err := s.append(ctx, Event{SessionID: id, Type: Message, Data: data, ClientKey: clientKey})
	if err == nil && !e.UnfedAt.IsZero() {
		s.relay.note(id)
	}
	return e, err
}

// maxTries bounds how often an append is tried when other copies of the
// program append to the same session. Within one copy appends take turns.
const maxTries = 32

func (s *Service) append(ctx context.Context, e Event) (Event, error) {
	turn := &s.appending[maphash.String(s.seed, e.SessionID)%uint64(len(s.appending))]
	turn.Lock()
	defer turn.Unlock()
	if e.ClientKey != "" {
		if there, err := s.repeated(ctx, e); !errors.Is(err, docstore.ErrNotFound) {
			return there, err
		}
	}
	for range maxTries {
		if err := s.place(ctx, &e); err != nil {
			return Event{}, err
		}
		err := s.events.Insert(ctx, e)
		switch {
		case err == nil:
			s.grown(e.SessionID)
			return e, nil
		case docstore.ConflictsOn(err, "by_client_key"):
			return s.repeated(ctx, e)
		case !docstore.ConflictsOn(err, docstore.IDIndex):
			return Event{}, err
		}
	}
	return Event{}, ErrContended
}

// place gives the event the place after the log's last one.
func (s *Service) place(ctx context.Context, e *Event) error {
	last, err := s.last(ctx, e.SessionID)
	switch {
	case err != nil:
		return err
	case last.Type == StoppedType:
		return ErrStopped
	case last.Seq >= maxEvents && e.Type != StoppedType:
		return ErrLogFull
	}
	e.Seq = last.Seq + 1
	e.ID = eventID(e.SessionID, e.Seq)
	e.CreatedAt = docstore.At(s.now())
	if e.Type == Message {
		e.Message, e.UnfedAt = e.Seq, e.CreatedAt
	}
	return nil
}

// last is the log's last event, the zero Event when it is empty.
func (s *Service) last(ctx context.Context, sessionID string) (Event, error) {
	q := logRange(sessionID, 0)
	q.Descending = true
	last, err := s.events.First(ctx, q)
	return last, docstore.NotFoundAs(err, nil)
}

// repeated is the event that has e's client key, if it is the same.
func (s *Service) repeated(ctx context.Context, e Event) (Event, error) {
	there, err := s.events.First(ctx, docstore.Query{Index: "by_client_key", Equal: []any{e.SessionID, e.ClientKey}})
	if err == nil && (there.Type != e.Type || there.Answers != e.Answers || string(there.Data) != string(e.Data)) {
		return Event{}, ErrKeyReused
	}
	return there, err
}

// Events returns a page of a session's log from after the given place on, and
// the next page's cursor. Who may read it has been asked before.
func (s *Service) Events(ctx context.Context, sessionID string, after int64, limit int, cursor string) ([]Event, string, error) {
	q := logRange(sessionID, after)
	q.Limit, q.Cursor = limit, cursor
	return s.events.Find(ctx, q)
}

// logRange selects a session's events after the given place.
func logRange(sessionID string, after int64) docstore.Query {
	return docstore.Query{From: eventID(sessionID, after+1), Until: sessionID + "0"} // '0' follows '/'
}
