// Package account keeps people: how they register, prove who they are, stay
// signed in and are signed out. Each sign-in makes a login, which is a device's
// lasting proof; access tokens are short-lived and die with their login.
//
// It knows nothing of what people use their account for, nor of how its routes
// are reached.
package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"manus/docstore"
	"manus/identity"
)

// User is an account as it is stored.
type User struct {
	ID       string        `json:"_id"`
	Email    string        `json:"email"`     // as the person writes it
	EmailKey string        `json:"email_key"` // see emailKey; unique
	FullName string        `json:"full_name"`
	Role     identity.Role `json:"role"`
	// PasswordHash is in the PHC format.
	PasswordHash string `json:"password_hash"`
	Disabled     bool   `json:"disabled,omitempty"`
	// Epoch counts the times that all logins were ended at once. A login of
	// an earlier epoch is over, but for the one named by Spared.
	Epoch     int64         `json:"epoch"`
	Spared    string        `json:"spared,omitempty"`
	CreatedAt docstore.Time `json:"created_at"`
}

// DocumentID is the account's id.
func (u User) DocumentID() string { return u.ID }

// login is one sign-in, from which access tokens come until it ends. An ended
// login has no document.
type login struct {
	ID        string        `json:"_id"`
	UserID    string        `json:"user_id"`
	Epoch     int64         `json:"epoch"`
	CreatedAt docstore.Time `json:"created_at"`
	ExpiresAt docstore.Time `json:"expires_at"` // unless refreshed before
	Lineage   lineage       `json:"lineage"`
}

// DocumentID is the login's id.
func (l login) DocumentID() string { return l.ID }

// aliveFor tells whether the login still counts for its account.
func (l login) aliveFor(u User, now time.Time) bool {
	return !u.Disabled && l.UserID == u.ID && now.Before(l.ExpiresAt.Time) &&
		(l.Epoch == u.Epoch || l.ID == u.Spared)
}

var (
	userSpec = docstore.Spec{Collection: "users", Indexes: []docstore.Index{
		{Name: "by_email", Fields: []string{"email_key"}, Unique: true},
		{Name: "by_created", Fields: []string{"created_at"}},
	}}
	loginSpec = docstore.Spec{Collection: "logins", Indexes: []docstore.Index{
		{Name: "by_expiry", Fields: []string{"expires_at"}},
	}}
)

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec { return []docstore.Spec{userSpec, loginSpec} }

// Errors of the room.
var (
	ErrBadCredentials = errors.New("the e-mail address or the password is wrong")
	ErrWrongPassword  = errors.New("the current password is wrong")
	ErrTaken          = errors.New("the e-mail address has an account already")
	ErrInvalidEmail   = errors.New("not an e-mail address")
	ErrWeakPassword   = errors.New("the password is too short or too long")
	ErrInvalidToken   = errors.New("the token isn't valid, or not any more")
	ErrUnknownUser    = errors.New("there is no such account")
)

// How long proofs hold.
const (
	// AccessLifetime is how long an access token is valid.
	AccessLifetime = 15 * time.Minute
	// idleLifetime ends a login that isn't refreshed, lifetime any login.
	idleLifetime = 30 * 24 * time.Hour
	lifetime     = 90 * 24 * time.Hour
)

// Config is what a Service is made of.
type Config struct {
	Store docstore.Store
	// Secrets sign tokens, each at least 32 bytes. The first signs, the others
	// only verify, until what they have signed has expired.
	Secrets []string
	Now     func() time.Time // the clock; nil means time.Now
	Log     *slog.Logger
}

// Service has the rules of accounts. It is safe for concurrent use.
type Service struct {
	users    *docstore.Collection[User]
	logins   *docstore.Collection[login]
	hasher   *hasher
	keys     keyring
	states   *stateCache
	verified *verified
	now      func() time.Time
	log      *slog.Logger
}

// New makes a Service. The store's collections are declared already (Specs).
func New(c Config) (*Service, error) {
	keys, err := newKeyring(c.Secrets)
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{
		users:    docstore.NewCollection[User](c.Store, userSpec),
		logins:   docstore.NewCollection[login](c.Store, loginSpec),
		hasher:   newHasher(hashConcurrency()),
		keys:     keys,
		states:   newStateCache(stateLifetime),
		verified: newVerified(),
		now:      c.Now,
		log:      c.Log,
	}, nil
}

// NewUser is what an account is made from.
type NewUser struct {
	Email    string
	Password string
	FullName string
	Role     identity.Role // empty means identity.User
}

// Tokens is what signing in and refreshing give.
type Tokens struct {
	User    User
	Access  string
	Refresh string
}

// Create makes an account without signing in. It returns ErrInvalidEmail,
// ErrWeakPassword, ErrTaken or a busy error. The password is hashed before it
// is known whether the address is free, so that both take the same time.
func (s *Service) Create(ctx context.Context, n NewUser) (User, error) {
	key, err := emailKey(n.Email)
	if err != nil {
		return User{}, err
	}
	hash, err := s.hasher.hash(ctx, n.Password)
	if err != nil {
		return User{}, err
	}
	user := User{
		ID:           docstore.NewID(),
		Email:        n.Email,
		EmailKey:     key,
		FullName:     n.FullName,
		Role:         n.Role,
		PasswordHash: hash,
		CreatedAt:    docstore.At(s.now()),
	}
	if user.Role == "" {
		user.Role = identity.User
	}
	err = s.users.Insert(ctx, user)
	if docstore.ConflictsOn(err, "by_email") {
		err = ErrTaken
	}
	return user, err
}

// Register makes an account and signs it in.
func (s *Service) Register(ctx context.Context, n NewUser) (Tokens, error) {
	n.Role = identity.User
	user, err := s.Create(ctx, n)
	if err != nil {
		return Tokens{}, err
	}
	return s.start(ctx, user)
}

// Login signs in with a password. Whatever of it is wrong, or the account
// disabled, it takes the same work and is the same ErrBadCredentials.
func (s *Service) Login(ctx context.Context, email, password string) (Tokens, error) {
	user, known, err := s.byEmail(ctx, email)
	if err != nil {
		return Tokens{}, err
	}
	ok, err := s.hasher.verify(ctx, password, user.PasswordHash)
	if err != nil {
		return Tokens{}, err
	}
	if !known || !ok || user.Disabled {
		return Tokens{}, ErrBadCredentials
	}
	s.strengthen(ctx, user, password)
	return s.start(ctx, user)
}

// byEmail finds an account. An unknown address, or what is none at all, gives
// the zero User, whose empty hash costs as much to verify as any other.
func (s *Service) byEmail(ctx context.Context, email string) (user User, known bool, err error) {
	key, _ := emailKey(email) // an invalid one has the empty key, which nobody has
	user, err = s.users.First(ctx, docstore.Query{Index: "by_email", Equal: []any{key}})
	if errors.Is(err, docstore.ErrNotFound) {
		return User{}, false, nil
	}
	return user, err == nil, err
}

// strengthen hashes a password anew when its stored hash was made with other
// parameters than today's. Failing to is no reason not to sign in.
func (s *Service) strengthen(ctx context.Context, user User, password string) {
	if !outdated(user.PasswordHash) {
		return
	}
	hash, err := s.hasher.hash(ctx, password)
	if err == nil {
		_, err = s.users.Update(ctx, user.ID, func(u *User) error {
			if u.PasswordHash != user.PasswordHash {
				return docstore.ErrUnchanged
			}
			u.PasswordHash = hash
			return nil
		})
	}
	if err != nil {
		s.log.WarnContext(ctx, "a password hash was not strengthened", "user", user.ID, "error", err)
	}
}

// start makes a login for the user as just read.
func (s *Service) start(ctx context.Context, user User) (Tokens, error) {
	now := s.now()
	id := docstore.NewID()
	secret := newRefreshSecret()
	err := s.logins.Insert(ctx, login{
		ID:        id,
		UserID:    user.ID,
		Epoch:     user.Epoch,
		CreatedAt: docstore.At(now),
		ExpiresAt: docstore.At(now.Add(idleLifetime)),
		Lineage:   lineage{Current: hashSecret(secret)},
	})
	if err != nil {
		return Tokens{}, err
	}
	return s.tokens(user, id, secret)
}

func (s *Service) tokens(user User, loginID string, secret refreshSecret) (Tokens, error) {
	access, err := s.keys.signAccess(user.ID, loginID, s.now())
	if err != nil {
		return Tokens{}, err
	}
	refresh, err := s.keys.formatRefresh(loginID, secret)
	return Tokens{User: user, Access: access, Refresh: refresh}, err
}

// Refresh gives new tokens for a refresh token, which is used up by that. The
// same token given again within ten seconds gets the same answer, so that a
// lost one can be asked for again; later, it has been stolen or its successor
// has, and the login ends. Every failure is ErrInvalidToken.
func (s *Service) Refresh(ctx context.Context, token string) (Tokens, error) {
	presented, err := s.keys.parseRefresh(token)
	if err != nil {
		return Tokens{}, err
	}
	now, salt := s.now(), newRefreshSecret()
	var next refreshSecret
	changed, err := s.logins.Update(ctx, presented.loginID, func(l *login) error {
		if !now.Before(l.ExpiresAt.Time) {
			return ErrInvalidToken
		}
		var err error
		next, err = l.Lineage.advance(s.keys, presented, salt, now)
		if err == nil {
			l.ExpiresAt = docstore.At(earlier(now.Add(idleLifetime), l.CreatedAt.Add(lifetime)))
		}
		return err
	})
	switch {
	case errors.Is(err, errReused):
		s.log.WarnContext(ctx, "a refresh token was used twice; its login has been ended", "user", changed.UserID, "login", presented.loginID)
		if err := s.end(ctx, presented.loginID); err != nil {
			return Tokens{}, err
		}
		return Tokens{}, ErrInvalidToken
	case err != nil:
		return Tokens{}, invalidIfGone(err)
	}
	// A login that its account has ended gets no tokens; that its refresh
	// token has moved on helps nobody.
	user, err := s.users.Get(ctx, changed.UserID)
	if err != nil {
		return Tokens{}, invalidIfGone(err)
	}
	if !changed.aliveFor(user, now) {
		return Tokens{}, ErrInvalidToken
	}
	return s.tokens(user, presented.loginID, next)
}

func invalidIfGone(err error) error {
	if errors.Is(err, docstore.ErrNotFound) {
		return ErrInvalidToken
	}
	return err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Logout ends one login. Its access tokens die at once here, and within a
// second on other copies of the program.
func (s *Service) Logout(ctx context.Context, loginID string) error {
	return s.end(ctx, loginID)
}

func (s *Service) end(ctx context.Context, loginID string) error {
	err := s.logins.Delete(ctx, loginID)
	s.states.forget()
	if errors.Is(err, docstore.ErrNotFound) {
		return nil
	}
	return err
}

// LogoutAll ends every login of the account, in one step.
func (s *Service) LogoutAll(ctx context.Context, userID string) error {
	_, err := s.change(ctx, userID, func(u *User) { u.endLogins("") })
	return err
}

// endLogins ends all logins but the spared one.
func (u *User) endLogins(spared string) {
	u.Epoch++
	u.Spared = spared
}

// change changes an account in one step, and forgets what is cached of it.
func (s *Service) change(ctx context.Context, userID string, change func(*User)) (User, error) {
	user, err := s.users.Update(ctx, userID, func(u *User) error {
		change(u)
		return nil
	})
	s.states.forget()
	if errors.Is(err, docstore.ErrNotFound) {
		err = ErrUnknownUser
	}
	return user, err
}

// ChangePassword sets a new password and ends every login but the one it is
// asked from. It returns ErrWrongPassword when current is wrong, ErrWeakPassword
// for the new one.
func (s *Service) ChangePassword(ctx context.Context, userID, loginID, current, password string) error {
	user, err := s.Get(ctx, userID)
	if err != nil {
		return err
	}
	ok, err := s.hasher.verify(ctx, current, user.PasswordHash)
	if err != nil {
		return err
	}
	if !ok {
		return ErrWrongPassword
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	changed := false
	_, err = s.change(ctx, userID, func(u *User) {
		// Another change that came first has made current the wrong password.
		if changed = u.PasswordHash == user.PasswordHash; changed {
			u.PasswordHash = hash
			u.endLogins(loginID)
		}
	})
	if err == nil && !changed {
		err = ErrWrongPassword
	}
	return err
}

// Get returns the account, or ErrUnknownUser.
func (s *Service) Get(ctx context.Context, userID string) (User, error) {
	user, err := s.users.Get(ctx, userID)
	if errors.Is(err, docstore.ErrNotFound) {
		err = ErrUnknownUser
	}
	return user, err
}

// Rename sets the person's name.
func (s *Service) Rename(ctx context.Context, userID, fullName string) (User, error) {
	return s.change(ctx, userID, func(u *User) { u.FullName = fullName })
}

// Authenticate tells who an access token belongs to, as things stand now: at
// most a second old for what other copies of the program have changed. It
// returns ErrInvalidToken, or an error of the store.
func (s *Service) Authenticate(ctx context.Context, token string) (identity.Caller, error) {
	read, err := s.verify(token)
	if err != nil {
		return identity.Caller{}, err
	}
	state, err := s.state(ctx, read.loginID)
	if err != nil {
		return identity.Caller{}, err
	}
	if state.userID != read.userID {
		return identity.Caller{}, ErrInvalidToken
	}
	return identity.Caller{
		UserID:  read.userID,
		LoginID: read.loginID,
		Role:    state.role,
		Alive: func(ctx context.Context) error {
			_, err := s.state(ctx, read.loginID)
			return err
		},
	}, nil
}

// verify reads an access token, remembering those that it has read.
func (s *Service) verify(token string) (accessToken, error) {
	hash, now := sha256.Sum256([]byte(token)), s.now()
	read, ok := s.verified.get(hash)
	if !ok {
		var err error
		if read, err = s.keys.verifyAccess(token, now); err != nil {
			return accessToken{}, err
		}
		s.verified.put(hash, read)
	}
	if !read.validAt(now) {
		return accessToken{}, ErrInvalidToken
	}
	return read, nil
}

// state is what a living login stands for; ErrInvalidToken when it has ended.
func (s *Service) state(ctx context.Context, loginID string) (loginState, error) {
	state, ok := s.states.get(loginID)
	if !ok {
		var err error
		if state, err = s.loadState(ctx, loginID); err != nil {
			return loginState{}, err
		}
	}
	if state.expires.IsZero() || !s.now().Before(state.expires) {
		return loginState{}, ErrInvalidToken
	}
	return state, nil
}

// loadState reads a login's state; an ended login's is the zero state.
func (s *Service) loadState(ctx context.Context, loginID string) (loginState, error) {
	reading := s.states.begin()
	l, err := s.logins.Get(ctx, loginID)
	if err != nil {
		return loginState{}, invalidIfGone(err)
	}
	user, err := s.users.Get(ctx, l.UserID)
	if err != nil {
		return loginState{}, invalidIfGone(err)
	}
	var state loginState
	if l.aliveFor(user, s.now()) {
		state = loginState{userID: user.ID, role: user.Role, expires: l.ExpiresAt.Time}
	}
	s.states.put(loginID, state, reading)
	return state, nil
}

// Sweep removes logins that have expired. It may be run by several copies at
// once and be cut short.
func (s *Service) Sweep(ctx context.Context) error {
	_, err := s.logins.DeleteAll(ctx, docstore.Query{Index: "by_expiry", Until: docstore.At(s.now())})
	return err
}

// List returns accounts, oldest first, and the next page's cursor.
func (s *Service) List(ctx context.Context, limit int, cursor string) ([]User, string, error) {
	return s.users.Find(ctx, docstore.Query{Index: "by_created", Limit: limit, Cursor: cursor})
}

// Find returns the account with the e-mail address, or ErrUnknownUser. It is
// for operators: it tells whether an address is known.
func (s *Service) Find(ctx context.Context, email string) (User, error) {
	user, known, err := s.byEmail(ctx, email)
	if err == nil && !known {
		err = ErrUnknownUser
	}
	return user, err
}

// SetRole changes what the person may do on the installation.
func (s *Service) SetRole(ctx context.Context, userID string, role identity.Role) error {
	if role != identity.User && role != identity.Operator {
		return fmt.Errorf("there is no such role; use %s or %s", identity.User, identity.Operator)
	}
	_, err := s.change(ctx, userID, func(u *User) { u.Role = role })
	return err
}

// SetPassword sets a password without knowing the old one and ends every
// login. It is for operators.
func (s *Service) SetPassword(ctx context.Context, userID, password string) error {
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	_, err = s.change(ctx, userID, func(u *User) {
		u.PasswordHash = hash
		u.endLogins("")
	})
	return err
}

// SetDisabled keeps an account from being used, or lets it be used again.
// Disabling ends every login.
func (s *Service) SetDisabled(ctx context.Context, userID string, disabled bool) error {
	_, err := s.change(ctx, userID, func(u *User) {
		u.Disabled = disabled
		if disabled {
			u.endLogins("")
		}
	})
	return err
}
