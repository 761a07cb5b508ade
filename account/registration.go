package account

import (
	"cmp"
	"context"
	"crypto/hmac"
	"errors"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/queue"
)

// Registration is who may have an account.
type Registration struct {
	// Mode is Open, ByInvitation or Closed; empty is Open.
	Mode RegistrationMode
	// Domains, where there are any, are those that addresses have to be of, in lower case.
	// Invitations are for any address.
	Domains []string
}

// RegistrationMode is how people come to have accounts.
type RegistrationMode string

// The modes.
const (
	Open         RegistrationMode = "open"
	ByInvitation RegistrationMode = "invited"
	Closed       RegistrationMode = "closed" // operators make accounts
)

// RegistrationModes has all of them.
var RegistrationModes = []RegistrationMode{Open, ByInvitation, Closed}

// Errors of registration.
var (
	ErrClosed      = errors.New("accounts are made by operators alone")
	ErrInvitedOnly = errors.New("accounts are made by invitation alone")
	ErrWrongDomain = errors.New("accounts are for addresses of other domains")
)

// admit tells whether a stranger with an address may make an account: nil, or one of the errors
// of registration. It depends on the address alone, not on whether that has an account.
func (r Registration) admit(email string) error {
	switch r.Mode {
	case Closed:
		return ErrClosed
	case ByInvitation:
		return ErrInvitedOnly
	}
	key, err := emailKey(email)
	if err != nil || len(r.Domains) == 0 {
		return err
	}
	if !slices.Contains(r.Domains, key[strings.LastIndexByte(key, '@')+1:]) {
		return ErrWrongDomain
	}
	return nil
}

// invitationLifetime is how long an invitation holds.
const invitationLifetime = 7 * 24 * time.Hour

// Invite mails an invitation to an address: a link by which whoever has its mailbox makes an
// account, whatever registration says. It is for operators, and so may say that the address has
// an account: it returns ErrTaken, ErrInvalidEmail or ErrNoMail. To one address no more than
// three go within a week.
func (s *Service) Invite(ctx context.Context, address string, tag language.Tag) error {
	if s.c.Mail == nil {
		return ErrNoMail
	}
	key, err := newEmailKey(address)
	if err != nil {
		return err
	}
	_, known, err := s.byEmail(ctx, address)
	switch {
	case err != nil:
		return err
	case known:
		return ErrTaken
	}
	return s.requests.Put(ctx, queue.Job[request]{
		ID: docstore.NewID(), Group: key, ExpiresAt: s.c.Now().Add(invitationLifetime),
		Args: request{Register: true, Invited: true, Email: address, Language: tag},
	})
}

// Join makes the account of an invitation by the token of its link. Called again with it, it
// changes nothing and is nil, until the invitation expires. It returns ErrInvalidLink, ErrTaken
// or an error of the password.
func (s *Service) Join(ctx context.Context, token, fullName, password string) error {
	id, given, err := parseLink(token)
	if err != nil {
		return err
	}
	if user, err := s.users.Get(ctx, id); err == nil && user.verifiedBy(given, s.c.Now()) {
		return nil // the same form, sent again
	}
	job, err := s.requests.Get(ctx, id)
	if err != nil {
		return docstore.NotFoundAs(err, ErrInvalidLink)
	}
	if !job.Args.Invited || !hmac.Equal([]byte(job.Args.LinkHash), []byte(given.hash())) { // before the work of a hash
		return ErrInvalidLink
	}
	job.Args.PasswordHash, err = s.newHash(ctx, User{ID: job.ID, Email: job.Args.Email, FullName: fullName}, password)
	if err != nil {
		return err
	}
	job.Args.FullName = language.Cut(cmp.Or(fullName, job.Args.FullName), maxName)
	return s.finishRegistration(ctx, job, given)
}
