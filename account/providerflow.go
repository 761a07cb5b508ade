package account

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"manus/docstore"
	"manus/identity"
)

// providerFlow is a sign-in with a provider that is under way, or was finished a moment
// ago.
type providerFlow struct {
	Provider string `json:"provider"`
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"` // of PKCE (RFC 7636)
	Redirect string `json:"redirect"`
	// LinkTo is the account that asked to be linked, from the login LinkLogin.
	LinkTo    string `json:"link_to,omitempty"`
	LinkLogin string `json:"link_login,omitempty"`
	// Vouched is the identity that the provider has vouched for. It does that once.
	Vouched string `json:"vouched,omitempty"`
	// LoginID is the login that a request is making of it, since HeldSince; that it has
	// made, once HeldSince is zero.
	LoginID   string        `json:"login_id,omitempty"`
	HeldSince docstore.Time `json:"held_since,omitzero"`
}

// ceremonyOf is the id under which a ticket's flow is kept: a hash, so that a reader
// of the store has no tickets.
func ceremonyOf(ticket string) string { return hexHash([]byte(ticket)) }

// ticketSecret is the first secret of the login that a ticket begins. It is computed, so
// that nobody needs to keep it; the store has only hashes of both.
func ticketSecret(ticket string) secret { return sha256.Sum256([]byte("login\x00" + ticket)) }

// BeginProvider begins to sign in with a provider, or to link it to the account of
// linkTo when that is somebody. The person is sent to the URL; the ticket stays with
// the client that asked, and it alone can finish.
func (s *Service) BeginProvider(ctx context.Context, providerID, redirect string, linkTo identity.Caller) (authURL, ticket string, err error) {
	provider, err := s.oidc.Load().get(providerID)
	if err != nil {
		return "", "", err
	}
	if redirect == "" {
		redirect = provider.RedirectURLs[0]
	}
	if !slices.Contains(provider.RedirectURLs, redirect) {
		return "", "", errRedirect
	}
	found, err := s.oidc.Load().discover(ctx, provider)
	if err != nil {
		return "", "", err
	}
	flow := providerFlow{
		Provider: provider.ID, State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Redirect: redirect,
		LinkTo: linkTo.UserID, LinkLogin: linkTo.LoginID,
	}
	ticket = rand.Text() + rand.Text()
	if err := s.begin(ctx, ceremonyOf(ticket), ceremonyProvider, "", flow); err != nil {
		return "", "", err
	}
	config := oauthConfig(provider, found, redirect)
	return config.AuthCodeURL(flow.State, oidc.Nonce(flow.Nonce), oauth2.S256ChallengeOption(flow.Verifier)), ticket, nil
}

// ProviderAnswer is what a client finishes a sign-in with a provider with.
type ProviderAnswer struct {
	Ticket      string
	Code, State string // what the provider has sent back
	OTP         string
	Passkey     *PasskeyAnswer
}

const (
	// finishTime bounds one request's finishing of a sign-in.
	finishTime = 30 * time.Second
	// finishWait is how long another waits for that, looking every finishPause.
	finishWait  = 10 * time.Second
	finishPause = 50 * time.Millisecond
)

// FinishProvider signs in whoever the provider says it is: the account that is
// linked to it, or a new one when the provider has verified the address. An
// account is never linked by its address. After ErrSecondFactor it is called
// again with the ticket and the second factor. Called again after it has signed
// somebody in, or meanwhile, as by a page that is loaded again, it returns the same
// login's tokens, until they have been refreshed.
func (s *Service) FinishProvider(ctx context.Context, a ProviderAnswer) (Tokens, error) {
	wait, cancel := context.WithTimeout(ctx, finishWait)
	defer cancel()
	for {
		tokens, err := s.tryFinish(ctx, a)
		if !errors.Is(err, errBeingFinished) {
			return tokens, err
		}
		select {
		case <-wait.Done():
			return Tokens{}, err
		case <-time.After(finishPause):
		}
	}
}

// tryFinish is FinishProvider without waiting for another request that finishes the same.
func (s *Service) tryFinish(ctx context.Context, a ProviderAnswer) (Tokens, error) {
	// The provider takes its code once: not even a client that leaves, and asks again,
	// stops what has been begun.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	flow, held, err := s.holdFlow(ctx, a.Ticket)
	if err != nil {
		return Tokens{}, err
	}
	if !held {
		return s.finishedBefore(ctx, flow, a.Ticket)
	}
	tokens, err := s.finishFlow(ctx, &flow, a)
	if err != nil {
		flow.LoginID = ""
	}
	keepErr := s.releaseFlow(ctx, a.Ticket, flow)
	if err != nil {
		return Tokens{}, cmp.Or(keepErr, err)
	}
	return tokens, nil // the login tells those who come later, if the flow doesn't
}

// holdFlow finds a sign-in with a provider, and keeps others from finishing it
// meanwhile, unless somebody does or has.
func (s *Service) holdFlow(ctx context.Context, ticket string) (flow providerFlow, held bool, err error) {
	err = s.changeFlow(ctx, ticket, func(_ *ceremony, f *providerFlow) {
		if held = f.LoginID == ""; held {
			f.LoginID, f.HeldSince = docstore.NewID(), docstore.At(s.c.Now())
		}
		flow = *f
	})
	return flow, held, err
}

// releaseFlow keeps how far a sign-in has come. For what is to follow there is all the
// time again.
func (s *Service) releaseFlow(ctx context.Context, ticket string, flow providerFlow) error {
	flow.HeldSince = docstore.Time{}
	return s.changeFlow(ctx, ticket, func(c *ceremony, f *providerFlow) {
		*f, c.Expires = flow, docstore.At(s.c.Now().Add(ceremonyLifetime))
	})
}

// changeFlow changes a sign-in with a provider that is under way, or returns errCeremony.
func (s *Service) changeFlow(ctx context.Context, ticket string, change func(*ceremony, *providerFlow)) error {
	_, err := s.ceremonies.Update(ctx, ceremonyOf(ticket), func(c *ceremony) error {
		if c.Kind != ceremonyProvider || !s.c.Now().Before(c.Expires.Time) {
			return errCeremony
		}
		var flow providerFlow
		err := json.Unmarshal(c.Data, &flow)
		if err == nil {
			change(c, &flow)
			c.Data, err = json.Marshal(flow)
		}
		return err
	})
	return docstore.NotFoundAs(err, errCeremony)
}

// finishFlow signs in, and notes in the flow what the provider has vouched for.
func (s *Service) finishFlow(ctx context.Context, flow *providerFlow, a ProviderAnswer) (Tokens, error) {
	user, err := s.vouched(ctx, flow, a)
	if err == nil && user.Disabled {
		err = ErrBadCredentials
	}
	if err == nil {
		user, err = s.secondFactor(ctx, user, a.OTP, a.Passkey)
	}
	if err != nil {
		return Tokens{}, err
	}
	return s.startAs(ctx, user, flow.LoginID, ticketSecret(a.Ticket))
}

// finishedBefore returns the tokens of the login that another request has made of a
// flow, as long as it is alive and its first refresh token is the one that counts;
// errBeingFinished while there may be one in a moment.
func (s *Service) finishedBefore(ctx context.Context, flow providerFlow, ticket string) (Tokens, error) {
	l, user, err := s.livingLogin(ctx, flow.LoginID)
	first := ticketSecret(ticket)
	switch age := s.c.Now().Sub(flow.HeldSince.Time).Abs(); {
	case errors.Is(err, errCeremony) && age < finishTime+clockSkew:
		return Tokens{}, errBeingFinished
	case err != nil:
		return Tokens{}, err
	case !hmac.Equal([]byte(l.Lineage.Current), []byte(first.hash())):
		return Tokens{}, errFinished
	}
	return s.tokens(user, l, first)
}

// livingLogin returns a login that something was begun from or with, and its account;
// errCeremony when there is none, or not any more.
func (s *Service) livingLogin(ctx context.Context, loginID string) (login, User, error) {
	l, err := s.logins.Get(ctx, loginID)
	if err != nil {
		return login{}, User{}, docstore.NotFoundAs(err, errCeremony)
	}
	user, err := s.users.Get(ctx, l.UserID)
	if err == nil && !l.aliveFor(user, s.c.Now()) {
		err = errCeremony
	}
	return l, user, docstore.NotFoundAs(err, errCeremony)
}

// vouched is the account that the provider vouches for.
func (s *Service) vouched(ctx context.Context, flow *providerFlow, a ProviderAnswer) (User, error) {
	if flow.Vouched != "" {
		user, err := s.signsInTo(ctx, flow.Vouched)
		return user, docstore.NotFoundAs(err, errCeremony) // it signed nobody in, or was unlinked meanwhile
	}
	if !hmac.Equal([]byte(flow.State), []byte(a.State)) {
		return User{}, errCeremony
	}
	claims, err := s.oidc.Load().exchange(ctx, *flow, a.Code)
	if err != nil {
		return User{}, err
	}
	i := externalIdentity{
		ID: identityID(claims.Issuer, claims.Subject), UserID: flow.LinkTo, Provider: flow.Provider,
		Issuer: claims.Issuer, Subject: claims.Subject, CreatedAt: docstore.At(s.c.Now()),
	}
	flow.Vouched = i.ID
	if flow.LinkTo != "" {
		if _, _, err := s.livingLogin(ctx, flow.LinkLogin); err != nil {
			return User{}, err
		}
		return s.link(ctx, i)
	}
	user, err := s.signsInTo(ctx, i.ID)
	if errors.Is(err, docstore.ErrNotFound) {
		return s.newcomer(ctx, i, claims)
	}
	return user, err
}
