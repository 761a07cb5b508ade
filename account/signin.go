package account

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"manus/docstore"
	"manus/identity"
	"manus/language"
)

// NewUser is what an account is made from.
type NewUser struct {
	Email    string
	Password string
	FullName string
	Language language.Tag
	Role     identity.Role // empty means identity.User
	// Temporary means that the password was made up for the person, who has to
	// set another within TemporaryLifetime.
	Temporary bool
}

// TemporaryLifetime is how long a password holds that was made up for a person.
const TemporaryLifetime = 3 * 24 * time.Hour

// Tokens is what signing in and refreshing give.
type Tokens struct {
	User    User
	Access  string
	Refresh string
}

// prepare makes an account that isn't stored yet. It returns ErrInvalidEmail,
// ErrWeakPassword, ErrCommonPassword or a busy error.
func (s *Service) prepare(ctx context.Context, n NewUser) (User, error) {
	key, err := newEmailKey(n.Email)
	if err != nil {
		return User{}, err
	}
	now := s.c.Now()
	user := User{
		ID: cmp.Or(docstore.IDFrom(ctx), docstore.NewID()), Email: n.Email, EmailKey: key, FullName: n.FullName, Language: n.Language,
		Role: cmp.Or(n.Role, identity.User), CreatedAt: docstore.At(now),
	}
	if n.Temporary {
		user.PasswordUntil = docstore.At(now.Add(TemporaryLifetime))
	}
	user.PasswordHash, err = s.newHash(ctx, user, n.Password)
	return user, err
}

// Create makes an account without signing in; its address counts as verified.
// It returns ErrTaken or an error as of registration. It is for operators.
func (s *Service) Create(ctx context.Context, n NewUser) (User, error) {
	user, err := s.prepare(ctx, n)
	if err != nil {
		return User{}, err
	}
	user.EmailVerified = true
	return s.insert(ctx, user)
}

func (s *Service) insert(ctx context.Context, user User) (User, error) {
	user.note(ctx, eventRegistered, s.c.Now())
	err := s.users.Insert(ctx, user)
	if docstore.ConflictsOn(err, "by_email") {
		err = ErrTaken
	}
	if err != nil {
		return User{}, err
	}
	s.send(ctx, user)
	return user, nil
}

// insertOnce is insert, or what the same request has inserted before it was cut off.
func (s *Service) insertOnce(ctx context.Context, user User) (User, error) {
	made, err := s.insert(ctx, user)
	if err != nil && user.ID == docstore.IDFrom(ctx) {
		if there, missing := s.users.Get(ctx, user.ID); missing == nil {
			return there, nil
		}
	}
	return made, err
}

// Register makes an account and signs it in, or returns ErrTaken. Where
// addresses are confirmed first, it makes nothing yet and returns no tokens: the
// rest goes on by mail, and nothing here depends on whether the address is known. Where
// strangers can't register it returns an error of registration, such as ErrClosed.
func (s *Service) Register(ctx context.Context, n NewUser) (tokens Tokens, signedIn bool, err error) {
	n.Role = identity.User
	if err := s.c.Registration.admit(n.Email); err != nil {
		return Tokens{}, false, err
	}
	user, err := s.prepare(ctx, n)
	if err != nil {
		return Tokens{}, false, err
	}
	if s.c.ConfirmFirst {
		return Tokens{}, false, s.requestRegistration(ctx, user)
	}
	if user, err = s.insertOnce(ctx, user); err != nil {
		return Tokens{}, false, err
	}
	if s.c.Mail != nil {
		err = s.mailTicket(ctx, user.ID, ticketEmail, user.Email)
	}
	if err == nil {
		tokens, err = s.start(ctx, user)
	}
	return tokens, err == nil, err
}

// Credentials are what somebody signs in with.
type Credentials struct {
	Email    string
	Password string
	OTP      string         // of the authenticator app, or a recovery code
	Passkey  *PasskeyAnswer // in place of OTP
}

// Login signs in with a password, and with the second factor where the account
// has one. Whatever of it is wrong, or the account disabled, it takes the same
// work and is the same ErrBadCredentials. ErrSecondFactor says that the password
// was right and nothing came with it.
func (s *Service) Login(ctx context.Context, c Credentials) (Tokens, error) {
	if s.hasher.isFull() { // so that nobody's account is read for nothing
		return Tokens{}, errBusy
	}
	user, known, err := s.byEmail(ctx, c.Email)
	if err != nil {
		return Tokens{}, err
	}
	ok, err := s.hasher.verify(ctx, c.Password, user.PasswordHash)
	if err != nil {
		return Tokens{}, err
	}
	if !known || !ok || user.Disabled || user.passwordOver(s.c.Now()) {
		s.failures.Add(ctx, user.ID)
		return Tokens{}, ErrBadCredentials
	}
	proved, err := s.secondFactor(ctx, user, c.OTP, c.Passkey)
	if errors.Is(err, ErrWrongPassword) {
		s.failures.Add(ctx, user.ID)
		err = ErrBadCredentials
	}
	if err != nil {
		return Tokens{}, err
	}
	s.strengthen(ctx, proved, c.Password)
	return s.start(ctx, proved)
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
		s.c.Log.WarnContext(ctx, "a password hash was not strengthened", "user", user.ID, "error", err)
	}
}

// start makes a login for the user as just read, who has given every proof that the
// account asks for.
func (s *Service) start(ctx context.Context, user User) (Tokens, error) {
	return s.startAs(ctx, user, docstore.NewID(), newSecret())
}

// startAs is start for a login with this id and first secret.
func (s *Service) startAs(ctx context.Context, user User, loginID string, secret secret) (Tokens, error) {
	if err := s.greet(ctx, user); err != nil {
		return Tokens{}, err
	}
	now, caller := s.c.Now(), identity.From(ctx)
	l := login{
		ID:        loginID,
		UserID:    user.ID,
		Epoch:     user.Epoch,
		Agent:     caller.Agent,
		Address:   caller.AddressText(),
		CreatedAt: docstore.At(now),
		SeenAt:    docstore.At(now),
		ExpiresAt: docstore.At(now.Add(idleLifetime)),
		Lineage:   lineage{Current: secret.hash()},
	}
	if err := s.logins.Insert(ctx, l); err != nil {
		return Tokens{}, err
	}
	s.c.Audit.Record(ctx, user.ID, eventSignedIn)
	return s.tokens(user, l, secret)
}

// maxAgents is how many programs of a person are remembered.
const maxAgents = 20

// greet mails the person when a program signs in for the first time, but not for the
// first program of an account.
func (s *Service) greet(ctx context.Context, user User) error {
	hash := agentHash(identity.From(ctx).Agent)
	if slices.Contains(user.Agents, hash) {
		return nil
	}
	_, err := s.update(ctx, user.ID, func(u *User) error {
		if slices.Contains(u.Agents, hash) {
			return docstore.ErrUnchanged
		}
		if len(u.Agents) > 0 {
			u.note(ctx, eventNewDevice, s.c.Now())
		}
		u.Agents = append(u.Agents, hash)
		u.Agents = slices.Delete(u.Agents, 0, max(0, len(u.Agents)-maxAgents))
		return nil
	})
	return err
}

var digits = regexp.MustCompile(`[0-9]+`)

// agentHash is the same for a program's later versions.
func agentHash(agent string) string {
	return hexHash(digits.ReplaceAll([]byte(agent), nil))[:16]
}

func (s *Service) tokens(user User, l login, secret secret) (Tokens, error) {
	access, err := s.keys.signAccess(user.ID, l.ID, l.Lineage.Generation, s.c.Now())
	if err != nil {
		return Tokens{}, err
	}
	refresh, err := s.keys.formatRefresh(l.ID, secret)
	return Tokens{User: user, Access: access, Refresh: refresh}, err
}
