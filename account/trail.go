package account

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"manus/docstore"
	"manus/identity"
	"manus/mail"
)

// eventKind is something that matters to an account's security.
type eventKind string

const (
	eventRegistered        eventKind = "registered"
	eventSignedIn          eventKind = "signed-in"
	eventSignInFailed      eventKind = "sign-in-failed"
	eventNewDevice         eventKind = "new-device"
	eventSignedOut         eventKind = "signed-out"
	eventSignedOutAll      eventKind = "signed-out-everywhere"
	eventDeviceRevoked     eventKind = "device-revoked"
	eventRefreshReused     eventKind = "refresh-token-reused"
	eventPasswordChanged   eventKind = "password-changed"
	eventPasswordReset     eventKind = "password-reset"
	eventPasswordSet       eventKind = "password-set-by-operator"
	eventResetAsked        eventKind = "password-reset-asked"
	eventEmailVerified     eventKind = "email-verified"
	eventEmailChangeAsked  eventKind = "email-change-asked"
	eventEmailChanged      eventKind = "email-changed"
	eventTOTPOn            eventKind = "authenticator-added"
	eventTOTPOff           eventKind = "authenticator-removed"
	eventCodesBlocked      eventKind = "codes-blocked"
	eventRecoveryMade      eventKind = "recovery-codes-made"
	eventRecoveryUsed      eventKind = "recovery-code-used"
	eventPasskeyAdded      eventKind = "passkey-added"
	eventPasskeyRemoved    eventKind = "passkey-removed"
	eventSecondFactorReset eventKind = "second-factor-reset-by-operator"
	eventKeyMade           eventKind = "api-key-made"
	eventKeyRevoked        eventKind = "api-key-revoked"
	eventIdentityLinked    eventKind = "identity-linked"
	eventIdentityUnlinked  eventKind = "identity-unlinked"
	eventRoleChanged       eventKind = "role-changed"
	eventDisabled          eventKind = "disabled"
	eventEnabled           eventKind = "enabled"
	eventExported          eventKind = "data-exported"
	eventErased            eventKind = "erased"
)

// event is one line of the audit log.
type event struct {
	ID      string        `json:"_id"`
	UserID  string        `json:"user_id"`
	Kind    eventKind     `json:"kind"`
	At      docstore.Time `json:"at"`
	Address string        `json:"address,omitempty"` // the client's
	Agent   string        `json:"agent,omitempty"`   // what the client called itself
	ByKey   string        `json:"by_key,omitempty"`  // the API key that did it
	Count   int64         `json:"count,omitempty"`   // how many are told in one line; 0 is one
	// MailTo is where the person is told of it, while it is on its way.
	MailTo string `json:"mail_to,omitempty"`
}

// DocumentID is the event's id.
func (e event) DocumentID() string { return e.ID }

var auditSpec = docstore.Spec{Collection: "audit", Of: event{}, Indexes: []docstore.Index{
	{Name: "by_user", Fields: []string{"user_id", "at"}},
	{Name: "by_time", Fields: []string{"at"}},
}}

const (
	// settleAfter is when pending events were forgotten, rather than on their way.
	settleAfter = 5 * time.Second
	// auditRetention is how long the audit log goes back.
	auditRetention = 180 * 24 * time.Hour
	// maxPendingEvents bounds what waits in an account while the log can't be
	// written.
	maxPendingEvents = 50
)

func newEvent(ctx context.Context, userID string, kind eventKind, now time.Time) event {
	caller := identity.From(ctx)
	return event{
		ID: docstore.NewID(), UserID: userID, Kind: kind, At: docstore.At(now),
		Address: addressText(caller.Address), Agent: caller.Agent, ByKey: caller.KeyID,
	}
}

// note writes an event into the account, in the same atomic change as what it
// tells of. It leaves the account once it is in the audit log and, if the person
// is to know, in the outbox: see settle.
func (u *User) note(ctx context.Context, kind eventKind, now time.Time) {
	e := newEvent(ctx, u.ID, kind, now)
	if _, tell := notices[kind]; tell {
		e.MailTo = u.Email
	}
	if len(u.Pending) == 0 {
		u.PendingSince = e.At
	}
	u.Pending = append(u.Pending, e)
	u.Pending = slices.Delete(u.Pending, 0, max(0, len(u.Pending)-maxPendingEvents))
}

// settle brings an account's pending events where they belong. What fails is
// tried again by Sweep: each link of the chain may be done twice.
func (s *Service) settle(ctx context.Context, u User) {
	if len(u.Pending) == 0 || s.offline {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if err := s.deliver(ctx, u); err != nil {
		s.log.WarnContext(ctx, "events of an account wait to be written down", "user", u.ID, "error", err)
	}
}

func (s *Service) deliver(ctx context.Context, u User) error {
	done := map[string]bool{}
	for _, e := range u.Pending {
		to := e.MailTo
		e.MailTo = ""
		if err := s.audit.Insert(ctx, e); err != nil && !docstore.ConflictsOn(err, docstore.IDIndex) {
			return err
		}
		if to != "" && s.mail != nil {
			if err := s.mail.Send(ctx, s.notice(u, e, to)); err != nil {
				return err
			}
		}
		done[e.ID] = true
	}
	_, err := s.users.Update(ctx, u.ID, func(u *User) error {
		u.Pending = slices.DeleteFunc(u.Pending, func(e event) bool { return done[e.ID] })
		if len(u.Pending) == 0 {
			u.PendingSince = docstore.Time{}
		}
		return nil
	})
	return err
}

// settleAll settles what was cut short, or done by a command. What is younger
// than a few seconds may still be on its way.
func (s *Service) settleAll(ctx context.Context) error {
	stale := docstore.Query{Index: "by_pending", Until: docstore.At(s.now().Add(-settleAfter))}
	for u, err := range s.users.All(ctx, stale) {
		if err == nil {
			err = s.deliver(ctx, u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// notice is the mail about an event. It has the event's id, so that it is one
// mail however often it is sent.
func (s *Service) notice(u User, e event, to string) mail.Message {
	text := notices[e.Kind].in(u.Language)
	text.Facts = []fact{{"when", u.Language.Moment(e.At.Time)}}
	if e.Address != "" {
		text.Facts = append(text.Facts, fact{"address", e.Address})
	}
	if e.Agent != "" {
		text.Facts = append(text.Facts, fact{"agent", e.Agent})
	}
	m := s.compose(u.Language, text)
	m.ID, m.To = e.ID, to
	return m
}

// record writes an event down that comes with no change of the account. Killed
// before, the program leaves no line of it.
func (s *Service) record(ctx context.Context, userID string, kind eventKind) {
	ctx = context.WithoutCancel(ctx)
	if err := s.audit.Insert(ctx, newEvent(ctx, userID, kind, s.now())); err != nil {
		s.log.WarnContext(ctx, "an event was not written down", "user", userID, "kind", kind, "error", err)
	}
}

// events returns the account's events, latest first; of all accounts when
// userID is empty.
func (s *Service) events(ctx context.Context, userID string, limit int, cursor string) ([]event, string, error) {
	q := docstore.Query{Index: "by_time", Descending: true, Limit: limit, Cursor: cursor}
	if userID != "" {
		q.Index, q.Equal = "by_user", []any{userID}
	}
	return s.audit.Find(ctx, q)
}

// failureLog counts failed attempts to sign in, per account. They are written
// down off the request's path: writing only for accounts that exist would make
// those take longer.
type failureLog struct {
	mu     sync.Mutex
	counts map[string]*event
}

// maxFailures bounds the accounts counted at once.
const maxFailures = 10_000

func newFailureLog() *failureLog { return &failureLog{counts: map[string]*event{}} }

func (s *Service) failed(ctx context.Context, userID string) {
	e := newEvent(ctx, userID, eventSignInFailed, s.now())
	s.failures.add(e)
}

func (f *failureLog) add(e event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.UserID == "" || f.counts[e.UserID] == nil && len(f.counts) >= maxFailures {
		return
	}
	if f.counts[e.UserID] == nil {
		f.counts[e.UserID] = &e
	}
	f.counts[e.UserID].Count++
}

func (f *failureLog) take() map[string]*event {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.counts
	f.counts = map[string]*event{}
	return taken
}

// flushFailures adds what was counted to the audit log: one line for an account
// and an hour, however many attempts there are.
func (s *Service) flushFailures(ctx context.Context) {
	for userID, e := range s.failures.take() {
		count := e.Count
		e.ID = fmt.Sprintf("failures/%s/%s", userID, e.At.UTC().Format("2006-01-02T15"))
		e.Count = 0
		_, err := s.audit.Upsert(ctx, *e, func(line *event, _ bool) error {
			line.Count += count
			return nil
		})
		if err != nil {
			s.log.WarnContext(ctx, "failed attempts to sign in were not written down", "user", userID, "count", count, "error", err)
		}
	}
}
