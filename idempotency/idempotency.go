// Package idempotency remembers what requests with an Idempotency-Key were answered
// (draft-ietf-httpapi-idempotency-key-header), for a day: a request that is sent again with
// its key isn't done again, and gets the same answer.
//
// A key's record is written before the work is begun, and has the id that what the work
// makes is given. So when the program is killed in between, the repeat does the work again
// under that id, and the room whose work it is finds what is there already. It knows
// nothing of HTTP but that answers have a status, headers and a body, nor what is made.
package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"manus/docstore"
	"manus/internal/seal"
)

// Kept is how long an answer is remembered.
const Kept = 24 * time.Hour

const (
	// atWork is how long a request is waited for that hasn't been answered: longer than a
	// route gives its handler.
	atWork = time.Minute
	// maxKeys bounds what is kept for a caller: keys of two days, from midnight to midnight.
	maxKeys = 20_000
	// maxKept bounds an answer, in bytes. A larger one isn't kept, but worked out again.
	maxKept = 16 << 10
)

// Errors of Begin.
var (
	ErrReused  = errors.New("the key was sent before, with another request")
	ErrAtWork  = errors.New("the request with this key is still being worked on")
	ErrTooMany = errors.New("the caller has sent as many keys as are kept")
)

// Request is a request with a key. A key is its caller's, and the route's that it is sent to.
type Request struct {
	Caller, Route, Key string
	// Content tells the request from others with the same key.
	Content []byte
}

// Answer is what a request was answered.
type Answer struct {
	Status int               `json:"status"`
	Header map[string]string `json:"header"`
	Body   []byte            `json:"body"`
}

// Run is one time that a request is worked on.
type Run struct {
	// MadeID is the id for what the request makes, the same whenever it is worked on.
	MadeID string
	// Answer is set where there is one already, and nothing is left to do.
	Answer *Answer

	id  string
	try int64
}

// record is what is remembered of a key. Who has sent it and what it is can't be read in it.
type record struct {
	ID      string `json:"_id"`
	Caller  string `json:"caller"`
	Content string `json:"content"`
	MadeID  string `json:"made_id"`
	// Try counts how often the work was begun; Until is when a try that hasn't ended is given
	// up, zero when none is at work.
	Try   int64         `json:"try"`
	Until docstore.Time `json:"until,omitzero"`
	// Sealed is the answer, once there is one that is kept.
	Sealed    []byte        `json:"sealed,omitempty"`
	ExpiresAt docstore.Time `json:"expires_at"`
}

// DocumentID is made of the caller, the route and the key.
func (r record) DocumentID() string { return r.ID }

// tally counts a caller's keys by the day.
type tally struct {
	ID        string        `json:"_id"`
	Day       int64         `json:"day"` // since 1970
	Today     int64         `json:"today"`
	Before    int64         `json:"before"`
	ExpiresAt docstore.Time `json:"expires_at"`
}

// DocumentID is the caller's.
func (t tally) DocumentID() string { return t.ID }

var (
	byCaller    = docstore.Index{Name: "by_caller", Fields: []string{"caller"}}
	byExpiry    = docstore.Index{Name: "by_expires_at", Fields: []string{"expires_at"}}
	recordsSpec = docstore.Spec{Collection: "idempotency_keys", Of: record{}, Indexes: []docstore.Index{byCaller, byExpiry}, Transient: true}
	talliesSpec = docstore.Spec{Collection: "idempotency_callers", Of: tally{}, Indexes: []docstore.Index{byExpiry}, Transient: true}
)

// Specs are the room's collections.
func Specs() []docstore.Spec { return []docstore.Spec{recordsSpec, talliesSpec} }

// Config is what a Service is made of.
type Config struct {
	Store docstore.Store
	// Secrets seal the answers, which may have secrets in them; the first one seals.
	Secrets []string
	Now     func() time.Time // nil is time.Now
}

// Service remembers answers.
type Service struct {
	c       Config
	box     *seal.Box
	records *docstore.Collection[record]
	tallies *docstore.Collection[tally]
}

// New makes a Service.
func New(c Config) (*Service, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	box, err := seal.New(c.Secrets, "idempotency")
	return &Service{
		c: c, box: box,
		records: docstore.NewCollection[record](c.Store, recordsSpec),
		tallies: docstore.NewCollection[tally](c.Store, talliesSpec),
	}, err
}

// digest is a name for texts that doesn't tell them.
func digest(texts ...string) string {
	sum := sha256.New()
	for _, text := range texts {
		part := sha256.Sum256([]byte(text))
		sum.Write(part[:])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Begin says whether a request is to be worked on, which it is by one caller at a time
// until [Service.End]. It returns its answer where there is one, ErrReused, ErrAtWork, ErrTooMany, or an
// error of the store.
func (s *Service) Begin(ctx context.Context, r Request) (Run, error) {
	now := s.c.Now()
	fresh := record{
		ID: digest(r.Caller, r.Route, r.Key), Caller: digest(r.Caller), Content: digest(string(r.Content)),
		MadeID: docstore.NewID(), ExpiresAt: docstore.At(now.Add(Kept)),
	}
	found, err := s.records.Upsert(ctx, fresh, func(found *record, exists bool) error {
		if exists && !now.Before(found.ExpiresAt.Time) {
			*found = fresh
		}
		switch left := found.Until.Sub(now); {
		case found.Content != fresh.Content:
			return ErrReused
		case found.Sealed != nil:
			return docstore.ErrUnchanged
		case left > 0 && left <= 2*atWork: // else a clock was set back; copies' clocks differ a little
			return ErrAtWork
		}
		found.Try, found.Until = found.Try+1, docstore.At(now.Add(atWork))
		return nil
	})
	if err != nil {
		return Run{}, err
	}
	run := Run{MadeID: found.MadeID, id: found.ID, try: found.Try}
	if found.Sealed != nil {
		run.Answer, err = s.open(found)
		return run, err
	}
	if found.MadeID == fresh.MadeID {
		if err := s.count(ctx, found.Caller, now); err != nil {
			return Run{}, errors.Join(err, s.forget(ctx, run))
		}
	}
	return run, nil
}

// open reads the answer of a record. One that was sealed with a secret that is gone is worked
// out again.
func (s *Service) open(r record) (*Answer, error) {
	plain, err := s.box.Open(r.Sealed, r.ID)
	if errors.Is(err, seal.ErrUnreadable) {
		return nil, nil
	}
	var answer Answer
	return &answer, errors.Join(err, json.Unmarshal(plain, &answer))
}

// count counts a caller's key, or returns ErrTooMany.
func (s *Service) count(ctx context.Context, caller string, now time.Time) error {
	day := now.Unix() / int64((24 * time.Hour).Seconds())
	_, err := s.tallies.Upsert(ctx, tally{ID: caller, Day: day}, func(t *tally, _ bool) error {
		switch {
		case day == t.Day+1:
			t.Day, t.Before, t.Today = day, t.Today, 0
		case day > t.Day:
			t.Day, t.Before, t.Today = day, 0, 0
		}
		if t.Today+t.Before >= maxKeys {
			return ErrTooMany
		}
		t.Today++
		t.ExpiresAt = docstore.At(now.Add(2 * Kept))
		return nil
	})
	return err
}

// End says what the work has come to. A success is kept. What is refused has made nothing, and
// is forgotten: its key may be sent again with what is put right. After anything else the
// repeat works on it again.
func (s *Service) End(ctx context.Context, run Run, answer Answer) error {
	if answer.Status >= 400 && answer.Status < 500 {
		return s.forget(ctx, run)
	}
	var sealed []byte
	if answer.Status < 300 && len(answer.Body) <= maxKept {
		plain, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		sealed = s.box.Seal(plain, run.id)
	}
	_, err := s.records.Update(ctx, run.id, func(r *record) error {
		if r.Try != run.try {
			return docstore.ErrUnchanged // another one has taken it over
		}
		r.Until, r.Sealed = docstore.Time{}, sealed
		return nil
	})
	return docstore.NotFoundAs(err, nil)
}

// forget removes what a run has begun.
func (s *Service) forget(ctx context.Context, run Run) error {
	_, err := s.records.Update(ctx, run.id, func(r *record) error {
		if r.Try != run.try {
			return docstore.ErrUnchanged
		}
		return docstore.ErrRemoved
	})
	return docstore.NotFoundAs(err, nil)
}

// sweepBatch is how many documents are removed at once.
const sweepBatch = 500

// Sweep removes what has expired.
func (s *Service) Sweep(ctx context.Context) error {
	expired := docstore.Query{Index: byExpiry.Name, Until: docstore.At(s.c.Now()), Limit: sweepBatch}
	return errors.Join(s.removeAll(ctx, recordsSpec, expired), s.removeAll(ctx, talliesSpec, expired))
}

func (s *Service) removeAll(ctx context.Context, spec docstore.Spec, q docstore.Query) error {
	for {
		removed, err := s.c.Store.DeleteRange(ctx, spec.Collection, q)
		if err != nil || removed < q.Limit {
			return err
		}
	}
}

// Export adds nothing: the answers tell of what other rooms keep.
func (s *Service) Export(context.Context, string, func(string, iter.Seq2[any, error]) error) error {
	return nil
}

// Erase removes what is kept for a caller.
func (s *Service) Erase(ctx context.Context, caller string) error {
	err := s.removeAll(ctx, recordsSpec, docstore.Query{Index: byCaller.Name, Equal: []any{digest(caller)}, Limit: sweepBatch})
	return errors.Join(err, docstore.NotFoundAs(s.tallies.Delete(ctx, digest(caller)), nil))
}

// ParseKey reads a key as it is sent: a string of structured fields, or the same without
// quotation marks. ok is false for what isn't 1 to 255 printable characters of ASCII.
func ParseKey(sent string) (key string, ok bool) {
	key = strings.TrimSpace(sent)
	if inner, quoted := strings.CutPrefix(key, `"`); quoted {
		if key, ok = strings.CutSuffix(inner, `"`); !ok {
			return "", false
		}
	}
	printable := func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }
	return key, key != "" && len(key) <= 255 && !strings.ContainsFunc(key, printable)
}
