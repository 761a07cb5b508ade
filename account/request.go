package account

import (
	"cmp"
	"context"
	"crypto/hmac"

	"manus/docstore"
	"manus/identity"
	"manus/language"
	"manus/queue"
)

// request is what a stranger has asked for an address: an account, or a new
// password. It is a job, written down alike for every address and answered off the
// request's path, by mail alone. So neither the answer nor its time depends on
// whether the address is known, and no crash loses it. Its group is the EmailKey.
type request struct {
	Register bool         `json:"register,omitempty"` // the job's id is the account's to be
	Invited  bool         `json:"invited,omitempty"`  // by an operator: the person is still to choose a password
	Email    string       `json:"email"`
	Language language.Tag `json:"language,omitempty"`
	// Of a registration:
	FullName     string `json:"full_name,omitempty"`
	PasswordHash string `json:"password_hash,omitempty"`
	LinkHash     string `json:"link_hash,omitempty"`
}

const requestCollection = "account_requests"

func (s *Service) requestRegistration(ctx context.Context, u User) error {
	return s.requests.Put(ctx, queue.Job[request]{
		ID: u.ID, Group: u.EmailKey, ExpiresAt: s.c.Now().Add(registrationLifetime),
		Args: request{Register: true, Email: u.Email, Language: u.Language, FullName: u.FullName, PasswordHash: u.PasswordHash},
	})
}

// ForgotPassword sends a link that sets a new password to the address, if it
// has an account. It returns ErrInvalidEmail or ErrNoMail, whoever asks. However
// often it is called for one address, it is one request.
func (s *Service) ForgotPassword(ctx context.Context, address string) error {
	if s.c.Mail == nil {
		return ErrNoMail
	}
	key, err := emailKey(address)
	if err != nil {
		return err
	}
	return s.requests.Put(ctx, queue.Job[request]{
		ID: "reset/" + hexHash([]byte(key))[:32], Group: key, ExpiresAt: s.c.Now().Add(resetLifetime),
		Args: request{Email: address},
	})
}

// answer answers a request. What is cut short is answered again: then somebody may
// get two mails.
func (s *Service) answer(ctx context.Context, job queue.Job[request]) error {
	user, known, err := s.byEmail(ctx, job.Args.Email)
	switch {
	case err != nil:
		return err
	case job.Args.Register:
		return s.answerRegistration(ctx, job, known)
	case !known || user.Disabled:
		return nil
	}
	return s.mailTicket(ctx, user.ID, ticketReset, user.Email)
}

// givenUp is called before a request is given up.
func (s *Service) givenUp(ctx context.Context, job queue.Job[request], err error) error {
	if s.c.OnGivenUp == nil {
		return nil
	}
	return s.c.OnGivenUp(ctx, job.ID, err)
}

// answerRegistration sends the link that makes the account, or tells the owner
// of the one there is. A request stays after that until it expires, so that the
// mails to one address can be counted.
func (s *Service) answerRegistration(ctx context.Context, job queue.Job[request], known bool) error {
	earlier, err := s.requests.Ahead(ctx, job, maxTickets)
	if err != nil {
		return err
	}
	secret := newSecret()
	if err := s.requests.Update(ctx, job.ID, func(r *request) { r.LinkHash = secret.hash() }); err != nil {
		return err
	}
	token, err := formatLink(job.ID, secret)
	switch r := job.Args; {
	case err != nil:
	case earlier >= maxTickets:
		s.c.Log.WarnContext(ctx, "a registration got no mail: the address has had enough of them", "request", job.ID)
	case known:
		err = s.mailLink(ctx, r.Language, mails[mailKnown], "", "", r.Email, job.ExpiresAt)
	case r.Invited:
		err = s.mailLink(ctx, r.Language, s.invitation(), "join", token, r.Email, job.ExpiresAt)
	default:
		err = s.mailLink(ctx, r.Language, mails[mailRegister], "verify", token, r.Email, job.ExpiresAt)
	}
	if err != nil {
		return err
	}
	return queue.Keep()
}

// finishRegistration makes the account of a registration, unless it is there: another call
// with the link makes it at the same time, or was killed after that.
func (s *Service) finishRegistration(ctx context.Context, job queue.Job[request], given secret) error {
	r := job.Args
	if !hmac.Equal([]byte(r.LinkHash), []byte(given.hash())) || !s.c.Now().Before(job.ExpiresAt) {
		return ErrInvalidLink
	}
	if r.PasswordHash == "" { // an invitation: Join has the password
		return ErrInvalidLink
	}
	user := User{
		ID: job.ID, Email: r.Email, EmailKey: job.Group, EmailVerified: true, FullName: r.FullName, Language: r.Language,
		Role: identity.User, PasswordHash: r.PasswordHash, CreatedAt: docstore.At(s.c.Now()),
	}
	user.useTicket(ticket{Hash: r.LinkHash, Email: r.Email, ExpiresAt: docstore.At(job.ExpiresAt)})
	if _, err := s.insert(ctx, user); err != nil {
		if _, getErr := s.users.Get(ctx, job.ID); getErr != nil {
			return cmp.Or(docstore.NotFoundAs(getErr, nil), err)
		}
	}
	return s.requests.Delete(ctx, job.ID)
}
