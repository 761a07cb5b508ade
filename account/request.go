package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"manus/docstore"
	"manus/identity"
	"manus/language"
)

// request is what a stranger has asked for an address: an account, or a new
// password. It is written down alike for every address and answered off the
// request's path, by mail alone. So neither the answer nor its time depends on
// whether the address is known, and no crash loses it.
type request struct {
	ID       string        `json:"_id"` // of a registration, the account's id to be
	Register bool          `json:"register,omitempty"`
	Email    string        `json:"email"`
	EmailKey string        `json:"email_key"`
	DueAt    docstore.Time `json:"due_at,omitzero"` // there until it is answered
	Expires  docstore.Time `json:"expires_at"`
	Language language.Tag  `json:"language,omitempty"`
	// Of a registration:
	FullName     string        `json:"full_name,omitempty"`
	PasswordHash string        `json:"password_hash,omitempty"`
	LinkHash     string        `json:"link_hash,omitempty"`
	CreatedAt    docstore.Time `json:"created_at"`
}

// DocumentID is the request's id.
func (r request) DocumentID() string { return r.ID }

var requestSpec = docstore.Spec{Collection: "account_requests", Of: request{}, Indexes: []docstore.Index{
	{Name: "by_due", Fields: []string{"due_at"}},
	{Name: "by_expiry", Fields: []string{"expires_at"}},
	{Name: "by_email", Fields: []string{"email_key", "created_at"}},
}}

// claimed is how long a copy of the program has for one request before another
// takes it over.
const claimed = time.Minute

func (s *Service) requestRegistration(ctx context.Context, u User) error {
	now := docstore.At(s.now())
	err := s.requests.Insert(ctx, request{
		ID: u.ID, Register: true, Email: u.Email, EmailKey: u.EmailKey, Language: u.Language,
		FullName: u.FullName, PasswordHash: u.PasswordHash,
		CreatedAt: now, DueAt: now, Expires: docstore.At(now.Add(registrationLifetime)),
	})
	s.signal()
	return err
}

// ForgotPassword sends a link that sets a new password to the address, if it
// has an account. It returns ErrInvalidEmail or ErrNoMail, whoever asks. However
// often it is called for one address, it is one request.
func (s *Service) ForgotPassword(ctx context.Context, address string) error {
	if s.mail == nil {
		return ErrNoMail
	}
	key, err := emailKey(address)
	if err != nil {
		return err
	}
	now := docstore.At(s.now())
	sum := sha256.Sum256([]byte(key))
	_, err = s.requests.Upsert(ctx, request{
		ID: "reset/" + hex.EncodeToString(sum[:16]), Email: address, EmailKey: key,
		CreatedAt: now, DueAt: now, Expires: docstore.At(now.Add(resetLifetime)),
	}, func(*request, bool) error { return nil })
	s.signal()
	return err
}

// signal wakes Run, of this copy of the program.
func (s *Service) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// answerRequests answers what is due.
func (s *Service) answerRequests(ctx context.Context) error {
	for {
		due, _, err := s.requests.Find(ctx, docstore.Query{Index: "by_due", Until: docstore.At(s.now().Add(time.Millisecond))})
		if err != nil || len(due) == 0 {
			return err
		}
		for _, r := range due {
			if err := s.answer(ctx, r); err != nil {
				return err
			}
		}
	}
}

// answer claims a request, answers it, and notes that it has been. What is cut
// short is answered again: then somebody may get two mails.
func (s *Service) answer(ctx context.Context, r request) error {
	_, err := s.requests.Update(ctx, r.ID, func(now *request) error {
		if !now.DueAt.Equal(r.DueAt.Time) {
			return docstore.ErrConflict
		}
		now.DueAt = docstore.At(s.now().Add(claimed))
		return nil
	})
	if errors.Is(err, docstore.ErrNotFound) || errors.Is(err, docstore.ErrConflict) {
		return nil // another copy has it
	}
	if err != nil {
		return err
	}
	if r.Register {
		return s.answerRegistration(ctx, r)
	}
	user, known, err := s.byEmail(ctx, r.Email)
	if err != nil {
		return err
	}
	if known && !user.Disabled {
		if err := s.mailTicket(ctx, user.ID, ticketReset, user.Email); err != nil && !errors.Is(err, errTooManyTickets) {
			return err
		}
	}
	return s.forgetRequest(ctx, r.ID)
}

// answerRegistration sends the link that makes the account, or tells the owner
// of the one there is. A request stays after that until it expires, so that the
// mails to one address can be counted.
func (s *Service) answerRegistration(ctx context.Context, r request) error {
	_, known, err := s.byEmail(ctx, r.Email)
	if err != nil {
		return err
	}
	earlier, _, err := s.requests.Find(ctx, docstore.Query{Index: "by_email", Equal: []any{r.EmailKey}, Until: r.CreatedAt, Limit: maxTickets})
	if err != nil {
		return err
	}
	secret := newLinkSecret()
	if _, err := s.requests.Update(ctx, r.ID, func(r *request) error {
		r.LinkHash = secret.hash()
		return nil
	}); err != nil {
		return err
	}
	switch {
	case len(earlier) >= maxTickets:
		s.log.WarnContext(ctx, "a registration got no mail: the address has had enough of them", "request", r.ID)
	case known:
		err = s.mailLink(ctx, r.Language, mails[mailKnown], "", "", r.Email, r.Expires.Time)
	default:
		var token string
		if token, err = formatLink(r.ID, secret); err == nil {
			err = s.mailLink(ctx, r.Language, mails[mailRegister], "verify", token, r.Email, r.Expires.Time)
		}
	}
	if err != nil {
		return err
	}
	_, err = s.requests.Update(ctx, r.ID, func(r *request) error {
		r.DueAt = docstore.Time{}
		return nil
	})
	return err
}

// finishRegistration makes the account of a registration. Killed in between, it
// has made the account, and the next call goes on from there.
func (s *Service) finishRegistration(ctx context.Context, r request, secret linkSecret) error {
	if !hmac.Equal([]byte(r.LinkHash), []byte(secret.hash())) || !s.now().Before(r.Expires.Time) {
		return ErrInvalidLink
	}
	if _, err := s.users.Get(ctx, r.ID); err == nil { // cut short before
		return s.forgetRequest(ctx, r.ID)
	}
	_, err := s.insert(ctx, User{
		ID: r.ID, Email: r.Email, EmailKey: r.EmailKey, EmailVerified: true, FullName: r.FullName, Language: r.Language,
		Role: identity.User, PasswordHash: r.PasswordHash, CreatedAt: docstore.At(s.now()),
	})
	if err != nil {
		return err
	}
	return s.forgetRequest(ctx, r.ID)
}

func (s *Service) forgetRequest(ctx context.Context, id string) error {
	err := s.requests.Delete(ctx, id)
	if errors.Is(err, docstore.ErrNotFound) {
		return nil
	}
	return err
}
