package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"manus/docstore"
	"manus/identity"
)

// How long proofs hold.
const (
	// AccessLifetime is how long an access token is valid.
	AccessLifetime = 15 * time.Minute
	// idleLifetime ends a login that isn't refreshed, lifetime any login.
	idleLifetime = 30 * 24 * time.Hour
	lifetime     = 90 * 24 * time.Hour
)

// login is one sign-in, from which access tokens come until it ends. An ended
// login has no document.
type login struct {
	ID     string `json:"_id"`
	UserID string `json:"user_id"`
	Epoch  int64  `json:"epoch"`
	// Name is what the person calls the device; Agent and Address are those that
	// it signed in with.
	Name      string        `json:"name,omitempty"`
	Agent     string        `json:"agent,omitempty"`
	Address   string        `json:"address,omitempty"`
	CreatedAt docstore.Time `json:"created_at"`
	SeenAt    docstore.Time `json:"seen_at,omitzero"` // signed in or refreshed
	ExpiresAt docstore.Time `json:"expires_at"`       // unless refreshed before
	ProvedAt  docstore.Time `json:"proved_at,omitzero"`
	Lineage   lineage       `json:"lineage"`
}

// DocumentID is the login's id.
func (l login) DocumentID() string { return l.ID }

// aliveFor tells whether the login still counts for its account.
func (l login) aliveFor(u User, now time.Time) bool {
	return !u.Disabled && l.UserID == u.ID && now.Before(l.ExpiresAt.Time) &&
		(l.Epoch == u.Epoch || l.ID == u.Spared)
}

var loginSpec = docstore.Spec{Collection: "logins", Of: login{}, Indexes: []docstore.Index{
	{Name: "by_expiry", Fields: []string{"expires_at"}},
	{Name: "by_user", Fields: []string{"user_id", "created_at"}},
}}

// LoginOf is the login that a refresh token was made for, in force or not; empty for one
// that isn't ours, so that nobody uses up another's requests with an invented one.
func (s *Service) LoginOf(refreshToken string) string {
	p, _ := s.keys.parseRefresh(refreshToken)
	return p.loginID
}

// Refresh gives new tokens for a refresh token, which is used up by that. The same token
// given again gets the same answer, so that a lost one can be asked for again: within ten
// seconds, and for a day as long as nothing of the answer has been used. Otherwise it has
// been stolen or its successor has, and the login ends. Every failure is ErrInvalidToken.
func (s *Service) Refresh(ctx context.Context, token string) (Tokens, error) {
	presented, err := s.keys.parseRefresh(token)
	if err != nil {
		return Tokens{}, err
	}
	now, salt := s.c.Now(), newSecret()
	var next secret
	changed, err := s.logins.Update(ctx, presented.loginID, func(l *login) error {
		if !now.Before(l.ExpiresAt.Time) {
			return ErrInvalidToken
		}
		var err error
		next, err = l.Lineage.advance(s.keys, presented, salt, now)
		if err == nil {
			l.SeenAt = docstore.At(now)
			l.ExpiresAt = docstore.At(slices.MinFunc([]time.Time{now.Add(idleLifetime), l.CreatedAt.Add(lifetime)}, time.Time.Compare))
		}
		return err
	})
	switch {
	case errors.Is(err, errReused):
		s.c.Log.WarnContext(ctx, "a refresh token was used twice; its login has been ended", "user", changed.UserID, "login", presented.loginID)
		if err := s.end(ctx, presented.loginID); err != nil {
			return Tokens{}, err
		}
		s.c.Audit.Record(ctx, changed.UserID, eventRefreshReused)
		return Tokens{}, ErrInvalidToken
	case err != nil:
		return Tokens{}, docstore.NotFoundAs(err, ErrInvalidToken)
	}
	// A login that its account has ended gets no tokens. Its refresh token
	// has moved on by then, which doesn't matter.
	user, err := s.users.Get(ctx, changed.UserID)
	if err != nil {
		return Tokens{}, docstore.NotFoundAs(err, ErrInvalidToken)
	}
	if !changed.aliveFor(user, now) {
		return Tokens{}, ErrInvalidToken
	}
	return s.tokens(user, changed, next)
}

// Logout ends a login, if it hasn't ended already. Its access tokens die at once here, and
// within a second on other copies of the program.
func (s *Service) Logout(ctx context.Context, userID, loginID string) error {
	err := s.logins.Delete(ctx, loginID)
	s.states.Forget()
	if err == nil {
		s.c.Audit.Record(ctx, userID, eventSignedOut)
	}
	return docstore.NotFoundAs(err, nil)
}

func (s *Service) end(ctx context.Context, loginID string) error {
	err := s.logins.Delete(ctx, loginID)
	s.states.Forget()
	return docstore.NotFoundAs(err, nil)
}

// stateLifetime is how long the state of a login or key is believed without asking the
// store: what another copy of the program has changed is seen after that.
const stateLifetime = time.Second

// maxStates and maxVerified bound the halves of what is remembered of proofs.
const (
	maxStates   = 1 << 16
	maxVerified = 1 << 15
)

// proofState is what a request needs to know of the login or key it came with.
// The zero state is one that has ended.
type proofState struct {
	caller     identity.Caller
	expires    time.Time
	arrived    *atomic.Int64 // of a login, see lineage: what has been noted, or is being
	secretHash string        // of a key
}

// accessToken is what a verified token says. It never changes; whether it has
// expired is asked each time.
type accessToken struct {
	userID, loginID string
	generation      int64 // of the login's lineage
	issued, expires time.Time
}

// validAt tells whether the token is in force, within the clocks' skew.
func (t accessToken) validAt(now time.Time) bool {
	return now.Before(t.expires.Add(clockSkew)) && !now.Before(t.issued.Add(-clockSkew))
}

// Authenticate tells who an access token belongs to, as things stand now: at
// most a second old for what other copies of the program have changed. It
// returns ErrInvalidToken, or an error of the store.
func (s *Service) Authenticate(ctx context.Context, token string) (identity.Caller, error) {
	read, err := s.verify(token)
	if err != nil {
		return identity.Caller{}, err
	}
	state, err := s.state(ctx, read.loginID, s.loadLogin)
	if err == nil && state.caller.UserID != read.userID {
		return identity.Caller{}, ErrInvalidToken
	}
	if err == nil {
		s.noteArrival(ctx, read, state.arrived)
	}
	return state.caller, err
}

// noteArrival notes in the login that something of the answer to a refresh has been used.
// It is written before the request that uses it goes on, so that reuse of the token before
// is seen from then on. Where that fails, the next request tries.
func (s *Service) noteArrival(ctx context.Context, used accessToken, arrived *atomic.Int64) {
	known := arrived.Load()
	if known >= used.generation || !arrived.CompareAndSwap(known, used.generation) {
		return // another request does it
	}
	_, err := s.logins.Update(context.WithoutCancel(ctx), used.loginID, func(l *login) error {
		if l.Lineage.Arrived >= used.generation {
			return docstore.ErrUnchanged
		}
		l.Lineage.Arrived = used.generation
		return nil
	})
	if err != nil && !errors.Is(err, docstore.ErrNotFound) {
		arrived.CompareAndSwap(used.generation, known)
		s.c.Log.WarnContext(ctx, "that a refresh has arrived was not written down", "login", used.loginID, "error", err)
	}
}

// verify reads an access token, remembering those that it has read: checking a
// signature is a good part of a small request.
func (s *Service) verify(token string) (accessToken, error) {
	hash, now := sha256.Sum256([]byte(token)), s.c.Now()
	read, err := s.verified.Load(hash, func() (accessToken, error) { return s.keys.verifyAccess(token, now) })
	if err == nil && !read.validAt(now) {
		err = ErrInvalidToken
	}
	return read, err
}

// state is what a living login or key stands for; ErrInvalidToken when it has
// ended. What isn't cached is loaded; load returns the zero state for the ended.
func (s *Service) state(ctx context.Context, id string, load func(context.Context, string) (proofState, error)) (proofState, error) {
	state, err := s.states.Load(id, func() (proofState, error) { return load(ctx, id) })
	if err != nil {
		return proofState{}, err
	}
	if state.expires.IsZero() || !s.c.Now().Before(state.expires) {
		return proofState{}, ErrInvalidToken
	}
	state.caller.Alive = func(ctx context.Context) error {
		_, err := s.state(ctx, id, load)
		return err
	}
	return state, nil
}

// loadLogin reads a login's state.
func (s *Service) loadLogin(ctx context.Context, loginID string) (proofState, error) {
	l, err := s.logins.Get(ctx, loginID)
	if err != nil {
		return proofState{}, docstore.NotFoundAs(err, ErrInvalidToken)
	}
	user, err := s.users.Get(ctx, l.UserID)
	if err != nil {
		return proofState{}, docstore.NotFoundAs(err, ErrInvalidToken)
	}
	if !l.aliveFor(user, s.c.Now()) {
		return proofState{}, nil
	}
	state := proofState{caller: identity.Caller{UserID: user.ID, Account: user.Email, LoginID: loginID, Role: user.Role}, expires: l.ExpiresAt.Time, arrived: &atomic.Int64{}}
	state.arrived.Store(l.Lineage.Arrived)
	return state, nil
}

// LogoutAll ends every login of the account, in one step.
func (s *Service) LogoutAll(ctx context.Context, userID string) error {
	return s.updateNoting(ctx, userID, eventSignedOutAll, func(u *User) error {
		u.endLogins("")
		return nil
	})
}

// devices returns the account's living logins, latest first, and the next page's
// cursor. A page may have fewer than limit.
func (s *Service) devices(ctx context.Context, userID string, limit int, cursor string) ([]login, string, error) {
	user, err := s.Get(ctx, userID)
	if err != nil {
		return nil, "", err
	}
	found, next, err := s.logins.Find(ctx, docstore.Query{Index: "by_user", Equal: []any{userID}, Descending: true, Limit: limit, Cursor: cursor})
	return slices.DeleteFunc(found, func(l login) bool { return !l.aliveFor(user, s.c.Now()) }), next, err
}

// nameDevice sets what the person calls a login of theirs, or returns
// errUnknownDevice.
func (s *Service) nameDevice(ctx context.Context, userID, loginID, name string) (login, error) {
	l, err := s.logins.Update(ctx, loginID, func(l *login) error {
		if l.UserID != userID {
			return errUnknownDevice
		}
		l.Name = name
		return nil
	})
	return l, docstore.NotFoundAs(err, errUnknownDevice)
}

// revokeDevice ends a login of the account, or returns errUnknownDevice.
func (s *Service) revokeDevice(ctx context.Context, userID, loginID string) error {
	l, err := s.logins.Get(ctx, loginID)
	if err == nil && l.UserID != userID {
		return errUnknownDevice
	}
	if err == nil {
		err = s.end(ctx, loginID)
	}
	if err != nil {
		return docstore.NotFoundAs(err, errUnknownDevice)
	}
	s.c.Audit.Record(ctx, userID, eventDeviceRevoked)
	return nil
}

var errUnknownDevice = errors.New("the account has no such login")
