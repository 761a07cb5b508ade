package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"time"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
)

// ticket lets a browser's own EventSource follow one session: it can send no proof but its
// address. An address is seen by proxies and their logs, so it opens one stream, once, and
// soon. Whoever reads that stream finds a return key in the ids of its events, which the
// browser sends when it comes back by itself; who only has the address hasn't.
type ticket struct {
	ID        string        `json:"_id"` // the hash of what stands in the address
	SessionID string        `json:"session_id"`
	LoginID   string        `json:"login_id,omitempty"` // of whom it was given to, or KeyID
	KeyID     string        `json:"key_id,omitempty"`
	ReturnKey string        `json:"return_key,omitempty"` // its hash, once the ticket has been used
	ExpiresAt docstore.Time `json:"expires_at"`
}

// DocumentID is the ticket's id.
func (t ticket) DocumentID() string { return t.ID }

var ticketSpec = docstore.Spec{Collection: "stream_tickets", Of: ticket{}, Transient: true, Indexes: []docstore.Index{
	{Name: "by_session", Fields: []string{"session_id"}},
	{Name: "by_expiry", Fields: []string{"expires_at"}},
}}

const (
	// ticketLifetime is how soon a ticket has to be used, returnLifetime for how long after
	// that whoever has used it may come back.
	ticketLifetime = time.Minute
	returnLifetime = 24 * time.Hour
)

var errTicketUsed = errors.New("the ticket has been used, or its time is over")

// hash is what the store has of a secret that can't be guessed.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// giveTicket makes a ticket for the caller's stream of a session that they may read.
func (s *Service) giveTicket(ctx context.Context, caller identity.Caller, sessionID string) (secret string, err error) {
	if _, err := s.Read(ctx, caller, sessionID); err != nil {
		return "", err
	}
	secret = rand.Text()
	return secret, s.tickets.Insert(ctx, ticket{
		ID: hash(secret), SessionID: sessionID, LoginID: caller.LoginID, KeyID: caller.KeyID, ExpiresAt: docstore.At(s.now().Add(ticketLifetime)),
	})
}

// ticketAddress is where a ticket lets an EventSource in.
func (s *Service) ticketAddress(ctx context.Context, sessionID, secret string) string {
	base := s.c.URL
	if base == "" {
		base = httpapi.Origin(ctx)
	}
	return base + httpapi.Prefix + "/sessions/" + url.PathEscape(sessionID) + "/events?ticket=" + secret
}

// holder finds who comes with a ticket, as find finds everybody else. It uses nothing up.
func (s *Service) holder(find httpapi.FindCaller) httpapi.FindCaller {
	return func(r *http.Request) (identity.Caller, error) {
		secret := r.URL.Query().Get("ticket")
		if secret == "" || s.c.Caller == nil {
			return find(r)
		}
		t, err := s.tickets.Get(r.Context(), hash(secret))
		if err != nil || t.SessionID != r.PathValue("id") || !s.now().Before(t.ExpiresAt.Time) {
			return identity.Caller{}, docstore.NotFoundAs(err, nil)
		}
		return s.c.Caller(r.Context(), t.LoginID, t.KeyID)
	}
}

// useTicket lets in whoever comes with a ticket for the first time, and returns the key to
// come back with; or who comes back. It returns errTicketUsed for everybody else.
func (s *Service) useTicket(ctx context.Context, secret, returnKey string) (string, error) {
	now, fresh := s.now(), rand.Text()
	key := fresh
	_, err := s.tickets.Update(ctx, hash(secret), func(t *ticket) error {
		key = fresh
		switch {
		case !now.Before(t.ExpiresAt.Time):
			return errTicketUsed
		case t.ReturnKey == "":
			t.ReturnKey, t.ExpiresAt = hash(fresh), docstore.At(now.Add(returnLifetime))
			return nil
		case !hmac.Equal([]byte(hash(returnKey)), []byte(t.ReturnKey)):
			return errTicketUsed
		}
		key = returnKey
		return docstore.ErrUnchanged
	})
	return key, docstore.NotFoundAs(err, errTicketUsed)
}

func (s *Service) sweepTickets(ctx context.Context) error {
	_, err := s.tickets.DeleteAll(ctx, docstore.Query{Index: "by_expiry", Until: docstore.At(s.now())})
	return err
}
