package account

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"manus/docstore"
	"manus/identity"
	"manus/language"
)

// Provider is an OpenID provider that people can sign in with (OpenID Connect
// Core 1.0, authorization code flow).
type Provider struct {
	// ID names it in addresses: "google".
	ID string `yaml:"id"`
	// Name is what people know it as.
	Name string `yaml:"name"`
	// Issuer is its issuer URL, exactly as its tokens have it.
	Issuer   string `yaml:"issuer"`
	ClientID string `yaml:"client_id"`
	// Scopes are asked for beside "openid", "email" and "profile".
	Scopes []string `yaml:"scopes"`
	// RedirectURLs are where people may be sent back to, the first if nothing
	// is asked for: pages of the product that finish the sign-in.
	RedirectURLs []string `yaml:"redirect_urls"`
	// TrustEmail takes addresses as verified where the provider doesn't say whether they
	// are (Entra ID never does). Whoever can have an address that isn't theirs written
	// into an account there can then open an account here under it.
	TrustEmail bool `yaml:"trust_email"`
	// ClientSecret comes from the environment. It may be empty: PKCE is always
	// used.
	ClientSecret string `yaml:"-"`
}

var validProviderID = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Problems says what is wrong with the provider, each in the words behind its
// place in manus.yaml; nothing when it can be used.
func (p Provider) Problems() []string {
	var problems []string
	add := func(ok bool, text string) {
		if !ok {
			problems = append(problems, text)
		}
	}
	add(validProviderID.MatchString(p.ID), "id: use lower-case letters, digits and '-', at most 32")
	add(p.Name != "" && len(p.Name) <= 64, "name: give it a name of at most 64 bytes")
	add(p.ClientID != "", "client_id: set it to what the provider has given you")
	add(isWebURL(p.Issuer), "issuer: use its https URL; http is for this machine alone")
	add(len(p.RedirectURLs) > 0, "redirect_urls: list the pages of your product that finish the sign-in")
	for _, redirect := range p.RedirectURLs {
		add(isWebURL(redirect), "redirect_urls: use https URLs; http is for this machine alone")
	}
	return problems
}

// isWebURL tells whether text is an https URL, or an http one of a loopback
// address, without credentials and fragment.
func isWebURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	loopback := slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}

// externalIdentity is an account at a provider: issuer and subject, never the
// address, say who somebody is.
type externalIdentity struct {
	ID        string        `json:"_id"` // see identityID
	UserID    string        `json:"user_id"`
	Provider  string        `json:"provider"`
	Issuer    string        `json:"issuer"`
	Subject   string        `json:"subject"`
	CreatedAt docstore.Time `json:"created_at"`
	// Slot is that of one that was linked, see insertInSlot; one that an account began
	// with has none.
	Slot int `json:"slot,omitempty"`
}

// maxIdentities bounds the provider accounts that are linked to one account.
const maxIdentities = 20

// DocumentID is the identity's id.
func (i externalIdentity) DocumentID() string { return i.ID }

var identitySpec = docstore.Spec{Collection: "identities", Of: externalIdentity{}, Indexes: []docstore.Index{
	{Name: "by_user", Fields: []string{"user_id", "created_at"}},
	slotIndex,
}}

func identityID(issuer, subject string) string { return hexHash([]byte(issuer + "\x00" + subject)) }

// Errors of signing in with a provider.
var (
	errUnknownProvider = errors.New("there is no such provider")
	errRedirect        = errors.New("people may not be sent back to this address")
	errProvider        = errors.New("the provider did not say who this is")
	errProviderDown    = errors.New("the provider can't be reached")
	errUnverifiedEmail = errors.New("the provider has not verified the e-mail address")
	errLinkFirst       = errors.New("the e-mail address has an account that isn't linked")
	errLinked          = errors.New("the provider's account is another's")
	errTooManyLinked   = errors.New("the account has as many provider accounts as one can have")
	errLastWayIn       = errors.New("it is the only way into the account")
)

// providerTimeout bounds each exchange with a provider.
const providerTimeout = 10 * time.Second

// providers are the OpenID providers, each asked for its addresses and keys when
// first used: one that is down keeps nothing else from starting.
type providers struct {
	list   []Provider
	client *http.Client

	found sync.Map // of *oidc.Provider, by ID
}

// SetProviders puts other providers in force. They have no Problems.
func (s *Service) SetProviders(list []Provider) {
	s.oidc.Store(&providers{list: list, client: &http.Client{Timeout: providerTimeout}})
}

func (p *providers) get(id string) (Provider, error) {
	for _, provider := range p.list {
		if provider.ID == id {
			return provider, nil
		}
	}
	return Provider{}, errUnknownProvider
}

// discover asks a provider for its addresses, once.
func (p *providers) discover(ctx context.Context, provider Provider) (*oidc.Provider, error) {
	if found, ok := p.found.Load(provider.ID); ok {
		return found.(*oidc.Provider), nil
	}
	// The context stays with the provider, for fetching its keys later.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), provider.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProviderDown, err)
	}
	p.found.Store(provider.ID, found)
	return found, nil
}

func oauthConfig(provider Provider, found *oidc.Provider, redirect string) oauth2.Config {
	return oauth2.Config{
		ClientID: provider.ClientID, ClientSecret: provider.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: redirect,
		Scopes: append([]string{oidc.ScopeOpenID, "email", "profile"}, provider.Scopes...),
	}
}

// providerFlow is a sign-in with a provider that is under way.
type providerFlow struct {
	Provider string `json:"provider"`
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"` // of PKCE (RFC 7636)
	Redirect string `json:"redirect"`
	LinkTo   string `json:"link_to,omitempty"` // the account that asked to be linked
	// Proved is the account that the provider has vouched for, while its
	// second factor is waited for.
	Proved string `json:"proved,omitempty"`
}

// ceremonyOf is the id under which a ticket's flow is kept: a hash, so that a reader
// of the store has no tickets.
func ceremonyOf(ticket string) string { return hexHash([]byte(ticket)) }

// BeginProvider begins to sign in with a provider, or to link it to an account
// when linkTo is one. The person is sent to the URL; the ticket stays with the
// client that asked, and it alone can finish.
func (s *Service) BeginProvider(ctx context.Context, providerID, redirect, linkTo string) (authURL, ticket string, err error) {
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
	flow := providerFlow{Provider: provider.ID, State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Redirect: redirect, LinkTo: linkTo}
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

// FinishProvider signs in whoever the provider says it is: the account that is
// linked to it, or a new one when the provider has verified the address. An
// account is never linked by its address. After ErrSecondFactor it is called
// again with the ticket and the second factor.
func (s *Service) FinishProvider(ctx context.Context, a ProviderAnswer) (Tokens, error) {
	var flow providerFlow
	if err := s.finish(ctx, ceremonyOf(a.Ticket), ceremonyProvider, "", &flow); err != nil {
		return Tokens{}, err
	}
	var user User
	var err error
	if flow.Proved != "" {
		user, err = s.Get(ctx, flow.Proved)
	} else {
		user, err = s.vouched(ctx, flow, a)
	}
	if err != nil {
		return Tokens{}, err
	}
	if user.Disabled {
		return Tokens{}, ErrBadCredentials
	}
	proved, err := s.secondFactor(ctx, user, a.OTP, a.Passkey)
	if errors.Is(err, ErrSecondFactor) || errors.Is(err, ErrWrongPassword) {
		flow.Proved = user.ID
		if err := s.begin(ctx, ceremonyOf(a.Ticket), ceremonyProvider, "", flow); err != nil {
			return Tokens{}, err
		}
	}
	if err != nil {
		return Tokens{}, err
	}
	return s.start(ctx, proved)
}

// vouched is the account that the provider vouches for.
func (s *Service) vouched(ctx context.Context, flow providerFlow, a ProviderAnswer) (User, error) {
	if !hmac.Equal([]byte(flow.State), []byte(a.State)) {
		return User{}, errCeremony
	}
	claims, err := s.oidc.Load().exchange(ctx, flow, a.Code)
	if err != nil {
		return User{}, err
	}
	i := externalIdentity{
		ID: identityID(claims.Issuer, claims.Subject), UserID: cmp.Or(flow.LinkTo, docstore.NewID()), Provider: flow.Provider,
		Issuer: claims.Issuer, Subject: claims.Subject, CreatedAt: docstore.At(s.c.Now()),
	}
	if flow.LinkTo != "" {
		return s.link(ctx, i)
	}
	known, err := s.identities.Get(ctx, i.ID)
	if errors.Is(err, docstore.ErrNotFound) {
		return s.newcomer(ctx, i, claims)
	}
	if err != nil {
		return User{}, err
	}
	user, err := s.users.Get(ctx, known.UserID)
	if errors.Is(err, docstore.ErrNotFound) { // its making was cut short, or is under way
		return s.newcomer(ctx, known, claims)
	}
	return user, err
}

// providerClaims is what an ID token says.
type providerClaims struct {
	Issuer, Subject string
	Email           string `json:"email"`
	EmailVerified   said   `json:"email_verified"`
	Name            string `json:"name"`
	Locale          string `json:"locale"`
}

// said is a claim that is true or false, or isn't there. Some providers (Apple, JumpCloud)
// say it as text, which the standard doesn't have.
type said string

const saidTrue said = "true"

// UnmarshalJSON reads the claim. Whatever is neither true nor null says no.
func (c *said) UnmarshalJSON(value []byte) error {
	if text := strings.Trim(string(value), `"`); text != "null" {
		*c = said(cmp.Or(text, "no"))
	}
	return nil
}

// exchange turns the code into what the provider says of the person.
func (p *providers) exchange(ctx context.Context, flow providerFlow, code string) (claims providerClaims, err error) {
	provider, err := p.get(flow.Provider)
	if err != nil {
		return claims, err
	}
	found, err := p.discover(ctx, provider)
	if err != nil {
		return claims, err
	}
	config := oauthConfig(provider, found, flow.Redirect)
	token, err := config.Exchange(oidc.ClientContext(ctx, p.client), code, oauth2.VerifierOption(flow.Verifier))
	if err != nil {
		if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response.StatusCode < http.StatusInternalServerError {
			return claims, errProvider
		}
		return claims, fmt.Errorf("%w: %w", errProviderDown, err)
	}
	raw, _ := token.Extra("id_token").(string)
	idToken, err := found.Verifier(&oidc.Config{ClientID: provider.ClientID}).Verify(ctx, raw)
	if err != nil || !hmac.Equal([]byte(idToken.Nonce), []byte(flow.Nonce)) || idToken.Subject == "" {
		return claims, errProvider
	}
	if err := idToken.Claims(&claims); err != nil {
		return claims, errProvider
	}
	if claims.Email == "" { // some say it at another address only
		if info, err := found.UserInfo(oidc.ClientContext(ctx, p.client), oauth2.StaticTokenSource(token)); err == nil && info.Subject == idToken.Subject {
			claims.EmailVerified = ""
			_ = info.Claims(&claims) // without an address nobody gets in
		}
	}
	if claims.EmailVerified == "" && provider.TrustEmail {
		claims.EmailVerified = saidTrue
	}
	claims.Issuer, claims.Subject = idToken.Issuer, idToken.Subject
	return claims, nil
}

// newcomer makes the account of a person who signs in with a provider for the first
// time. The identity is stored first: killed in between, the program makes the account
// the next time. Whoever comes several times at once gets the same account each time.
func (s *Service) newcomer(ctx context.Context, i externalIdentity, claims providerClaims) (User, error) {
	key, err := newEmailKey(claims.Email)
	if err != nil || claims.EmailVerified != saidTrue {
		return User{}, errUnverifiedEmail
	}
	if i, err = s.keepIdentity(ctx, i); err != nil {
		return User{}, err
	}
	name := strings.ToValidUTF8(claims.Name[:min(len(claims.Name), 200)], "") // not half a letter
	user, err := s.insert(ctx, User{
		ID: i.UserID, Email: claims.Email, EmailKey: key, EmailVerified: true, FullName: name, Language: language.Prefer(claims.Locale),
		Role: identity.User, CreatedAt: docstore.At(s.c.Now()),
	})
	if errors.Is(err, ErrTaken) || docstore.ConflictsOn(err, docstore.IDIndex) {
		return s.madeMeanwhile(ctx, i)
	}
	return user, err
}

// keepIdentity stores an identity, or returns the one that is stored already.
func (s *Service) keepIdentity(ctx context.Context, i externalIdentity) (externalIdentity, error) {
	err := s.identities.Insert(ctx, i)
	if docstore.ConflictsOn(err, docstore.IDIndex) {
		return s.identities.Get(ctx, i.ID)
	}
	return i, err
}

// madeMeanwhile is the account that an identity stands for, after it couldn't be made.
// Where there is none, the address is another account's, and the identity goes again:
// but only as long as it stands for an account that nobody has made.
func (s *Service) madeMeanwhile(ctx context.Context, i externalIdentity) (User, error) {
	user, err := s.users.Get(ctx, i.UserID)
	if !errors.Is(err, docstore.ErrNotFound) {
		return user, err
	}
	_, err = s.identities.Update(ctx, i.ID, func(stored *externalIdentity) error {
		if stored.UserID != i.UserID {
			return docstore.ErrUnchanged
		}
		return docstore.ErrRemoved
	})
	return User{}, errors.Join(errLinkFirst, docstore.NotFoundAs(err, nil))
}

// link lets the account that asked be signed in to with the provider's account.
func (s *Service) link(ctx context.Context, i externalIdentity) (User, error) {
	err := insertInSlot(ctx, s.identities, i.UserID, maxIdentities, errTooManyLinked, &i, func(i *externalIdentity) *int { return &i.Slot })
	if docstore.ConflictsOn(err, docstore.IDIndex) {
		known, err := s.identities.Get(ctx, i.ID)
		if err == nil && known.UserID != i.UserID {
			err = errLinked
		}
		if err != nil {
			return User{}, err
		}
		return s.Get(ctx, i.UserID)
	}
	if err != nil {
		return User{}, err
	}
	return s.update(ctx, i.UserID, func(u *User) error {
		u.Unlinked = slices.DeleteFunc(u.Unlinked, func(id string) bool { return id == i.ID })
		u.note(ctx, eventIdentityLinked, s.c.Now())
		return nil
	})
}

// identitiesOf returns the provider accounts that are linked to an account.
func (s *Service) identitiesOf(ctx context.Context, userID string) ([]externalIdentity, error) {
	all, _, err := s.identities.Find(ctx, docstore.Query{Index: "by_user", Equal: []any{userID}})
	return all, err
}

// hasWayIn tells whether the person could still sign in, with what is left of all the
// provider accounts that were linked a moment ago.
func (u User) hasWayIn(linked []externalIdentity) bool {
	return u.PasswordHash != "" || len(u.Passkeys) > 0 ||
		slices.ContainsFunc(linked, func(i externalIdentity) bool { return !slices.Contains(u.Unlinked, i.ID) })
}

// maxUnlinked is how many provider accounts are remembered that were unlinked: more than
// anybody unlinks at once.
const maxUnlinked = 100

// unlink removes a provider's account, unless it is the only way to sign in. Its
// caller has passed StepUp. The account has it unlinked first, in one change with the
// question whether another way is left: so not even two at once remove the last two.
func (s *Service) unlink(ctx context.Context, userID, id string) error {
	all, err := s.identitiesOf(ctx, userID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(i externalIdentity) bool { return i.ID == id }) {
		return errUnknownProvider
	}
	err = s.updateNoting(ctx, userID, eventIdentityUnlinked, func(u *User) error {
		if !slices.Contains(u.Unlinked, id) {
			u.Unlinked = append(u.Unlinked, id)
			u.Unlinked = slices.Delete(u.Unlinked, 0, max(0, len(u.Unlinked)-maxUnlinked))
		}
		if !u.hasWayIn(all) {
			return errLastWayIn
		}
		return nil
	})
	if err != nil {
		return err
	}
	return docstore.NotFoundAs(s.identities.Delete(ctx, id), nil)
}
