// Package account keeps people: how they register, prove who they are, stay
// signed in and are signed out, what is kept about them and how it is erased. Each
// sign-in makes a login, a device's long-lived session; access tokens are
// short-lived and end with their login.
//
// It knows nothing of what people use their account for, nor of how its routes
// are reached.
package account

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/prometheus/client_golang/prometheus"

	"manus/audit"
	"manus/docstore"
	"manus/identity"
	"manus/internal/cache"
	"manus/internal/seal"
	"manus/language"
	"manus/mail"
	"manus/queue"
)

// User is an account as it is stored.
type User struct {
	ID       string        `json:"_id"`
	Email    string        `json:"email,omitempty"`     // as the person writes it
	EmailKey string        `json:"email_key,omitempty"` // see emailKey; unique
	FullName string        `json:"full_name"`
	Role     identity.Role `json:"role"`
	// EmailVerified tells whether the person has shown that they read Email.
	EmailVerified bool `json:"email_verified,omitempty"`
	// Language is what mails are written in.
	Language language.Tag `json:"language,omitempty"`
	// PasswordHash is in the PHC format; empty for people without a password.
	PasswordHash string `json:"password_hash,omitempty"`
	// PasswordUntil is when a password that was made up for the person ends.
	PasswordUntil docstore.Time `json:"password_until,omitzero"`
	Disabled      bool          `json:"disabled,omitempty"`
	// Epoch counts the times that all logins were ended at once. A login of
	// an earlier epoch is over, but for the one named by Spared.
	Epoch     int64         `json:"epoch"`
	Spared    string        `json:"spared,omitempty"`
	CreatedAt docstore.Time `json:"created_at"`

	// TOTP is the authenticator app's seed, in force once it is confirmed.
	TOTP *totpSeed `json:"totp,omitempty"`
	// TOTPKey names the key that the seed is sealed with.
	TOTPKey string `json:"totp_key,omitempty"`
	// Recovery are the hashes of the recovery codes that haven't been used.
	Recovery []string  `json:"recovery,omitempty"`
	Guesses  guesses   `json:"guesses,omitzero"` // of one-time codes
	Passkeys []passkey `json:"passkeys,omitempty"`
	// FirstIdentity is the provider account that the account began with, until it is
	// unlinked; unique.
	FirstIdentity string `json:"first_identity,omitempty"`
	// Unlinked are the provider accounts that no longer sign in, latest last.
	Unlinked []string `json:"unlinked,omitempty"`
	// Tickets are the links that were mailed and haven't been used, and the latest that has
	// verified the address.
	Tickets []ticket `json:"tickets,omitempty"`
	// Agents are the hashes of the programs that have signed in, latest last.
	Agents []string `json:"agents,omitempty"`

	// Pending are events on their way into the audit log and the person's
	// mailbox, since PendingSince.
	Pending      []audit.Event `json:"pending,omitempty"`
	PendingSince docstore.Time `json:"pending_since,omitzero"`
	// SteppingDown is the mark of an operator who is about to be one no longer, see
	// stepDown.
	SteppingDown string `json:"stepping_down,omitempty"`
	// ErasingSince is set while the person's data are being erased.
	ErasingSince docstore.Time `json:"erasing_since,omitzero"`
}

// DocumentID is the account's id.
func (u User) DocumentID() string { return u.ID }

// endLogins ends all logins but the spared one.
func (u *User) endLogins(spared string) {
	u.Epoch++
	u.Spared = spared
}

var userSpec = docstore.Spec{Collection: "users", Of: User{}, Indexes: []docstore.Index{
	{Name: "by_email", Fields: []string{"email_key"}, Unique: true},
	{Name: "by_created", Fields: []string{"created_at"}},
	audit.PendingIndex,
	{Name: "by_totp_key", Fields: []string{"totp_key"}},
	{Name: "by_erasing", Fields: []string{"erasing_since"}},
	{Name: "by_role", Fields: []string{"role"}},
	{Name: "by_first_identity", Fields: []string{"first_identity"}, Unique: true},
}}

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec {
	return []docstore.Spec{userSpec, loginSpec, queue.Spec[request](requestCollection), ceremonySpec, identitySpec, keySpec}
}

// Errors of the room.
var (
	ErrBadCredentials = errors.New("the e-mail address or the password is wrong")
	ErrSecondFactor   = errors.New("the account needs its second factor too")
	ErrStepUp         = errors.New("this has to be proved again")
	ErrWrongPassword  = errors.New("the password or the code is wrong")
	ErrTaken          = errors.New("the e-mail address has an account already")
	ErrInvalidEmail   = errors.New("not an e-mail address")
	ErrWeakPassword   = errors.New("the password is too short or too long")
	ErrCommonPassword = errors.New("the password is among the first to be guessed")
	ErrInvalidToken   = errors.New("the token isn't valid, or not any more")
	ErrInvalidLink    = errors.New("the link isn't valid, or not any more")
	ErrUnknownUser    = errors.New("there is no such account")
	ErrNoMail         = errors.New("no mail is configured")
	ErrLastOperator   = errors.New("it is the last operator: make somebody else one first")
)

// Config is what a Service is made of.
type Config struct {
	Store docstore.Store
	Audit *audit.Log // where security events go
	// Secrets sign tokens, each at least 32 bytes. The first signs, the others
	// only verify, until what they have signed has expired.
	Secrets []string
	// Mail sends mails; nil means that none are sent.
	Mail *mail.Outbox
	// OnGivenUp is told of a stranger's request, by its id, that is given up without an
	// answer, before that, and why. While it fails the request is kept. Nil: only the log
	// is told.
	OnGivenUp func(ctx context.Context, id string, err error) error
	// ConfirmFirst makes an account only once its address is verified, and
	// registration answer alike for known and unknown addresses. It needs Mail.
	ConfirmFirst bool
	// Registration is who may have an account; the zero one is anybody.
	Registration Registration
	// Product is what the service is called in mails, authenticator apps and for passkeys; empty is
	// the host of PublicURL, or Manus. Support is the address that mails name for help; empty is none.
	Product language.Text
	Support string
	// PublicURL is where people reach the service, for links in mails and for
	// passkeys: scheme://host[:port]. There are no passkeys where it is empty, or its host
	// isn't a domain name.
	PublicURL string
	// Origins are where passkeys may be used beside PublicURL: those of front-ends, and
	// of Android apps (android:apk-key-hash:…). LocalOrigins adds every port of
	// localhost, for development.
	Origins      []string
	LocalOrigins bool
	// Providers are the OpenID providers that people can sign in with.
	Providers []Provider
	// PersonalData are the other rooms that keep something about a person: what is
	// exported and erased with the account.
	PersonalData []PersonalData
	// Offline leaves pending events in the accounts, for a server on the same
	// store to deliver. It is for commands.
	Offline bool
	// Outgoing sends requests to providers; nil is http.DefaultTransport.
	Outgoing http.RoundTripper
	Metrics  prometheus.Registerer // nil: nobody counts
	Now      func() time.Time      // the clock; nil means time.Now
	Log      *slog.Logger
}

// Service has the rules of accounts. It is safe for concurrent use.
type Service struct {
	c Config

	users      *docstore.Collection[User]
	logins     *docstore.Collection[login]
	requests   *queue.Queue[request]
	ceremonies *docstore.Collection[ceremony]
	identities *docstore.Collection[externalIdentity]
	apiKeys    *docstore.Collection[apiKey]

	relay *audit.Relay[User, audit.Event]
	// failures are attempts to sign in. They are written down off the request's path:
	// it must not take longer for accounts that exist.
	failures *audit.Counter
	hasher   *hasher
	keys     keyring
	seeds    *seal.Box
	states   *cache.Cache[string, proofState]
	verified *cache.Cache[[sha256.Size]byte, accessToken] // by their hashes
	passkeys *webauthn.WebAuthn                           // nil without a public URL of a domain
	oidc     atomic.Pointer[providers]
}

// New makes a Service. The store's collections are declared already (Specs).
func New(c Config) (*Service, error) {
	keys, err := newKeyring(c.Secrets)
	if err != nil {
		return nil, err
	}
	seeds, err := seal.New(c.Secrets, "one-time code seeds")
	if err != nil {
		return nil, err
	}
	relyingParty, err := newRelyingParty(c.PublicURL, c.Product.In(language.English), c.Origins)
	if err != nil {
		return nil, err
	}
	if relyingParty == nil && c.PublicURL != "" {
		c.Log.Warn("there are no passkeys: PUBLIC_URL has an IP address or a name without a dot, which browsers bind none to; use a domain name such as app.example.com")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.ConfirmFirst = c.ConfirmFirst && c.Mail != nil
	c.PersonalData = append([]PersonalData{c.Audit}, c.PersonalData...)
	s := &Service{
		c:          c,
		users:      docstore.NewCollection[User](c.Store, userSpec),
		logins:     docstore.NewCollection[login](c.Store, loginSpec),
		ceremonies: docstore.NewCollection[ceremony](c.Store, ceremonySpec),
		identities: docstore.NewCollection[externalIdentity](c.Store, identitySpec),
		apiKeys:    docstore.NewCollection[apiKey](c.Store, keySpec),
		failures:   audit.NewCounter(c.Audit, "failures", eventSignInFailed),
		hasher:     newHasher(max(1, runtime.GOMAXPROCS(0)-1)), // a processor is left to everything else
		keys:       keys,
		seeds:      seeds,
		states:     cache.New[string, proofState](stateLifetime, maxStates),
		verified:   cache.New[[sha256.Size]byte, accessToken](0, maxVerified),
		passkeys:   relyingParty,
	}
	s.requests = queue.New(queue.Config[request]{
		Store: c.Store, Collection: requestCollection, Noun: "request", Work: s.answer, OnDiscard: s.givenUp, Metrics: c.Metrics, Now: c.Now, Log: c.Log,
	})
	s.relay = &audit.Relay[User, audit.Event]{Aggregates: s.users, Outbox: (*User).outbox, Publish: s.publish, Now: s.c.Now, Log: s.c.Log}
	s.SetProviders(c.Providers)
	return s, nil
}

// update changes an account in one step, drops what is cached of it, and sends the
// events that the change has noted on their way.
func (s *Service) update(ctx context.Context, userID string, change func(*User) error) (User, error) {
	user, err := s.users.Update(ctx, userID, change)
	s.states.Forget()
	if err != nil {
		return User{}, docstore.NotFoundAs(err, ErrUnknownUser)
	}
	s.send(ctx, user)
	return user, nil
}

// updateNoting is update for a change that is an event.
func (s *Service) updateNoting(ctx context.Context, userID string, kind audit.Kind, change func(*User) error) error {
	_, err := s.update(ctx, userID, func(u *User) error {
		err := change(u)
		if err == nil {
			u.note(ctx, kind, s.c.Now())
		}
		return err
	})
	return err
}

// send delivers what an account has noted.
func (s *Service) send(ctx context.Context, user User) {
	if !s.c.Offline {
		s.relay.Send(ctx, user)
	}
}

// Get returns the account, or ErrUnknownUser.
func (s *Service) Get(ctx context.Context, userID string) (User, error) {
	user, err := s.users.Get(ctx, userID)
	return user, docstore.NotFoundAs(err, ErrUnknownUser)
}

// Profile is what people say of themselves; nil leaves a part as it is.
type Profile struct {
	FullName *string
	Language *language.Tag
}

// SetProfile changes what the person says of themselves.
func (s *Service) SetProfile(ctx context.Context, userID string, p Profile) (User, error) {
	return s.update(ctx, userID, func(u *User) error {
		u.FullName = *cmp.Or(p.FullName, &u.FullName)
		u.Language = *cmp.Or(p.Language, &u.Language)
		return nil
	})
}

// Run answers registrations and forgotten passwords, delivers pending events and
// finishes what was cut short, until ctx ends. Several copies of the program may
// run it.
func (s *Service) Run(ctx context.Context) {
	var answering sync.WaitGroup
	answering.Go(func() { s.requests.Run(ctx) })
	defer answering.Wait()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			s.failures.Flush(context.WithoutCancel(ctx))
			return
		case <-ticker.C:
			s.failures.Flush(ctx)
			err := errors.Join(s.relay.DeliverStale(ctx), s.finishErasures(ctx))
			if err != nil && !failing && ctx.Err() == nil { // once, not once a second
				s.c.Log.ErrorContext(ctx, "could not finish what was cut short; it will be tried again", "error", err)
			}
			failing = err != nil
		}
	}
}

// Sweep removes what has expired, and seals anew what an earlier secret has
// sealed. It may be run by several copies at once and be cut short.
func (s *Service) Sweep(ctx context.Context) error {
	now := docstore.At(s.c.Now())
	_, logins := s.logins.DeleteAll(ctx, docstore.Query{Index: "by_expiry", Until: now})
	_, ceremonies := s.ceremonies.DeleteAll(ctx, docstore.Query{Index: "by_expiry", Until: now})
	return errors.Join(logins, ceremonies, s.requests.Sweep(ctx), s.sealAnew(ctx))
}
