package account

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"manus/docstore"
)

// ticketPurpose is what a mailed link is for.
type ticketPurpose string

const (
	ticketReset ticketPurpose = "reset" // sets a new password
	ticketEmail ticketPurpose = "email" // verifies an address, and makes it the account's
	ticketUsed  ticketPurpose = "used"  // has verified the account's address
)

// How long mailed links hold.
const (
	resetLifetime        = time.Hour
	emailLifetime        = 24 * time.Hour
	registrationLifetime = 24 * time.Hour
)

// maxTickets is how many links of one purpose an account has at a time. So it is
// also how many mails somebody else can have sent to a person in a lifetime.
const maxTickets = 3

// ticket is what is kept of a mailed link. It stands in the account, so that
// using it and its effect are one atomic change.
type ticket struct {
	Hash      string        `json:"hash"`
	Purpose   ticketPurpose `json:"purpose"`
	Email     string        `json:"email"` // that the link was sent to
	ExpiresAt docstore.Time `json:"expires_at"`
}

// errTooManyTickets is returned when enough links are under way.
var errTooManyTickets = errors.New("enough mails have been sent already")

func (u *User) addTicket(t ticket, now time.Time) error {
	u.Tickets = slices.DeleteFunc(u.Tickets, func(t ticket) bool { return !now.Before(t.ExpiresAt.Time) })
	n := 0
	for _, other := range u.Tickets {
		if other.Purpose == t.Purpose {
			n++
		}
	}
	if n >= maxTickets {
		return errTooManyTickets
	}
	u.Tickets = append(u.Tickets, t)
	return nil
}

func (u *User) dropTickets(purpose ticketPurpose) {
	u.Tickets = slices.DeleteFunc(u.Tickets, func(t ticket) bool { return t.Purpose == purpose })
}

// ticket finds the living ticket that a link's secret stands for.
func (u *User) ticket(purpose ticketPurpose, given secret, now time.Time) (ticket, error) {
	hash := given.hash()
	for _, t := range u.Tickets {
		if t.Purpose == purpose && hmac.Equal([]byte(t.Hash), []byte(hash)) && now.Before(t.ExpiresAt.Time) {
			return t, nil
		}
	}
	return ticket{}, ErrInvalidLink
}

// useTicket keeps what a link was that has verified the account's address, in place of
// all that could: opened again, it is told the same until it expires.
func (u *User) useTicket(t ticket) {
	u.dropTickets(ticketEmail)
	u.dropTickets(ticketUsed)
	t.Purpose = ticketUsed
	u.Tickets = append(u.Tickets, t)
}

// verifiedBy tells whether a link has verified the address that the account has.
func (u *User) verifiedBy(given secret, now time.Time) bool {
	t, err := u.ticket(ticketUsed, given, now)
	return err == nil && t.Email == u.Email
}

// A link's token is linkPrefix and the base64url of the id of the account or
// registration it belongs to, and its secret.
const linkPrefix = "ml_"

func formatLink(id string, s secret) (string, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return "", err
	}
	return linkPrefix + base64.RawURLEncoding.EncodeToString(append(parsed[:], s[:]...)), nil
}

func parseLink(token string) (id string, s secret, err error) {
	raw, ok := decodeToken(token, linkPrefix, len(uuid.UUID{})+len(s))
	if !ok {
		return "", s, ErrInvalidLink
	}
	return uuid.UUID(raw[:16]).String(), secret(raw[16:]), nil
}

// mailTicket sends a link for the purpose to an address, unless enough have been sent:
// those hold. Killed in between, it leaves a ticket that was sent to nobody, and is
// called again for another.
func (s *Service) mailTicket(ctx context.Context, userID string, purpose ticketPurpose, address string) error {
	now, secret := s.c.Now(), newSecret()
	lifetime, kind, text, page := resetLifetime, eventResetAsked, mailReset, "reset"
	if purpose == ticketEmail {
		lifetime, kind, text, page = emailLifetime, eventEmailChangeAsked, mailConfirm, "verify"
	}
	expires := now.Add(lifetime)
	user, err := s.update(ctx, userID, func(u *User) error {
		if err := u.addTicket(ticket{secret.hash(), purpose, address, docstore.At(expires)}, now); err != nil {
			return err
		}
		if purpose == ticketReset || address != u.Email {
			u.note(ctx, kind, now)
		}
		return nil
	})
	if errors.Is(err, errTooManyTickets) {
		return nil
	}
	if err != nil {
		return err
	}
	token, err := formatLink(userID, secret)
	if err != nil {
		return err
	}
	return s.mailLink(ctx, user.Language, mails[text], page, token, address, expires)
}

// Verify does what a verification link is for: it makes the account that was
// asked for, or makes the address the account's. Called again with the token, or several
// times at once, it is nil each time, until the link expires. It returns ErrInvalidLink,
// or ErrTaken when the address has become another's.
func (s *Service) Verify(ctx context.Context, token string) error {
	id, secret, err := parseLink(token)
	if err != nil {
		return err
	}
	r, err := s.requests.Get(ctx, id)
	if err == nil {
		return s.finishRegistration(ctx, r, secret)
	}
	if !errors.Is(err, docstore.ErrNotFound) {
		return err
	}
	_, err = s.update(ctx, id, func(u *User) error {
		if u.verifiedBy(secret, s.c.Now()) {
			return docstore.ErrUnchanged
		}
		t, err := u.ticket(ticketEmail, secret, s.c.Now())
		if err != nil {
			return err
		}
		key, err := emailKey(t.Email)
		if err != nil {
			return ErrInvalidLink
		}
		kind := eventEmailVerified
		if t.Email != u.Email {
			kind = eventEmailChanged
		}
		u.note(ctx, kind, s.c.Now()) // to the address of before
		if key != u.EmailKey {
			u.dropTickets(ticketReset) // they were sent to the other mailbox
		}
		u.Email, u.EmailKey, u.EmailVerified = t.Email, key, true
		u.useTicket(t)
		return nil
	})
	switch {
	case errors.Is(err, ErrUnknownUser):
		return ErrInvalidLink
	case docstore.ConflictsOn(err, "by_email"):
		return ErrTaken
	}
	return err
}

// ResetPassword sets a new password by a mailed link and ends every login. It
// signs nobody in and leaves the second factor as it is. It returns
// ErrInvalidLink, or an error of the password.
func (s *Service) ResetPassword(ctx context.Context, token, password string) error {
	id, secret, err := parseLink(token)
	if err != nil {
		return err
	}
	user, err := s.users.Get(ctx, id)
	if err != nil {
		return docstore.NotFoundAs(err, ErrInvalidLink)
	}
	if _, err := user.ticket(ticketReset, secret, s.c.Now()); err != nil {
		return err
	}
	hash, err := s.newHash(ctx, user, password)
	if err != nil {
		return err
	}
	err = s.updateNoting(ctx, id, eventPasswordReset, func(u *User) error {
		t, err := u.ticket(ticketReset, secret, s.c.Now())
		if err != nil {
			return err
		}
		u.setPassword(hash, "")
		u.EmailVerified = u.EmailVerified || t.Email == u.Email
		return nil
	})
	if errors.Is(err, ErrUnknownUser) {
		return ErrInvalidLink
	}
	return err
}

// ChangeEmail sends a link to a new address, which becomes the account's when
// the link is opened. The answer doesn't reveal whether the address has an account
// already: only its mailbox learns that. It returns ErrInvalidEmail or ErrNoMail.
func (s *Service) ChangeEmail(ctx context.Context, userID, address string) error {
	if s.c.Mail == nil {
		return ErrNoMail
	}
	if _, err := newEmailKey(address); err != nil {
		return err
	}
	return s.mailTicket(ctx, userID, ticketEmail, address)
}
