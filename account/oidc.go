package account

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
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
}

// DocumentID is the identity's id.
func (i externalIdentity) DocumentID() string { return i.ID }

var identitySpec = docstore.Spec{Collection: "identities", Of: externalIdentity{}, Indexes: []docstore.Index{
	{Name: "by_user", Fields: []string{"user_id", "created_at"}},
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
	errLastWayIn       = errors.New("it is the only way into the account")
	errBeingFinished   = errors.New("an earlier request is finishing the sign-in")
	errFinished        = errors.New("the sign-in was finished before, and its tokens are in use")
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
	// LinkTo is the account that asked to be linked, from the login LinkLogin.
	LinkTo    string `json:"link_to,omitempty"`
	LinkLogin string `json:"link_login,omitempty"`
	// BusySince is when a request has begun to finish it.
	BusySince docstore.Time `json:"busy_since,omitzero"`
	// Vouched is the identity that the provider has vouched for, while the account's
	// second factor is waited for.
	Vouched string `json:"vouched,omitempty"`
	// LoginID is the login that came of it.
	LoginID string `json:"login_id,omitempty"`
}

// ceremonyOf is the id under which a ticket's flow is kept: a hash, so that a reader
// of the store has no tickets.
func ceremonyOf(ticket string) string { return hexHash([]byte(ticket)) }

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

// finishTime bounds the finishing of a sign-in. After that, and what clocks may differ, one
// that is still busy was cut short.
const finishTime = 30 * time.Second

// FinishProvider signs in whoever the provider says it is: the account that is
// linked to it, or a new one when the provider has verified the address. An
// account is never linked by its address. After ErrSecondFactor it is called
// again with the ticket and the second factor. Called again after it has signed
// somebody in, as a page does that is loaded again, it returns the same login's
// tokens until they are used.
func (s *Service) FinishProvider(ctx context.Context, a ProviderAnswer) (Tokens, error) {
	// The provider takes its code once: not even a client that leaves, and asks again,
	// stops what has been begun.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	flow, err := s.takeFlow(ctx, a.Ticket)
	if err != nil {
		return Tokens{}, err
	}
	if flow.LoginID != "" {
		return s.finishedBefore(ctx, flow.LoginID, a.Ticket)
	}
	tokens, err := s.finishFlow(ctx, &flow, a)
	keepErr := s.keepFlow(ctx, a.Ticket, flow, err)
	if err != nil {
		return Tokens{}, cmp.Or(keepErr, err)
	}
	if keepErr != nil {
		s.c.Log.WarnContext(ctx, "that a sign-in is finished was not written down", "user", tokens.User.ID, "error", keepErr)
	}
	return tokens, nil
}

// takeFlow finds a sign-in with a provider and keeps others from finishing it meanwhile.
func (s *Service) takeFlow(ctx context.Context, ticket string) (flow providerFlow, err error) {
	now := s.c.Now()
	err = s.changeFlow(ctx, ticket, func(f *providerFlow) error {
		defer func() { flow = *f }()
		switch {
		case f.LoginID != "":
			return docstore.ErrUnchanged
		case now.Sub(f.BusySince.Time).Abs() < finishTime+clockSkew:
			return errBeingFinished
		case !f.BusySince.IsZero(): // and the provider may have taken the code
			return errCeremony
		}
		f.BusySince = docstore.At(now)
		return nil
	})
	return flow, err
}

// changeFlow changes a sign-in with a provider that is under way, or returns errCeremony.
func (s *Service) changeFlow(ctx context.Context, ticket string, change func(*providerFlow) error) error {
	_, err := s.ceremonies.Update(ctx, ceremonyOf(ticket), func(c *ceremony) error {
		if c.Kind != ceremonyProvider || !s.c.Now().Before(c.Expires.Time) {
			return errCeremony
		}
		var flow providerFlow
		err := json.Unmarshal(c.Data, &flow)
		if err == nil {
			err = change(&flow)
		}
		if err == nil {
			c.Data, err = json.Marshal(flow)
		}
		return err
	})
	return docstore.NotFoundAs(err, errCeremony)
}

// keepFlow keeps what came of finishing a sign-in: that it is done, or can be tried again
// as it is; otherwise nothing.
func (s *Service) keepFlow(ctx context.Context, ticket string, flow providerFlow, err error) error {
	again := []error{ErrSecondFactor, ErrWrongPassword, errUnreadableFactor, errProviderDown}
	if err == nil || slices.ContainsFunc(again, func(e error) bool { return errors.Is(err, e) }) {
		flow.BusySince = docstore.Time{}
		return s.changeFlow(ctx, ticket, func(f *providerFlow) error { *f = flow; return nil })
	}
	return docstore.NotFoundAs(s.ceremonies.Delete(ctx, ceremonyOf(ticket)), nil)
}

// finishFlow signs in, and notes in the flow how far it has come.
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
	flow.LoginID = docstore.NewID()
	return s.startAs(ctx, user, flow.LoginID, ticketSecret(a.Ticket))
}

// ticketSecret is the first secret of the login that a ticket begins. It is computed, so
// that nobody needs to keep it; the store has only hashes of both.
func ticketSecret(ticket string) secret { return sha256.Sum256([]byte("login\x00" + ticket)) }

// finishedBefore returns the tokens of a login that a ticket has begun, as long as it is
// alive and its first refresh token is the one that counts.
func (s *Service) finishedBefore(ctx context.Context, loginID, ticket string) (Tokens, error) {
	l, user, err := s.livingLogin(ctx, loginID)
	if err != nil {
		return Tokens{}, err
	}
	first := ticketSecret(ticket)
	if !hmac.Equal([]byte(l.Lineage.Current), []byte(first.hash())) {
		return Tokens{}, errFinished
	}
	return s.tokens(user, l.ID, first)
}

// livingLogin returns a login that something was begun from or with, and its account;
// errCeremony when it has ended since.
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
		return user, docstore.NotFoundAs(err, errCeremony) // it was unlinked meanwhile
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

// signsInTo is the account that an identity signs in to, or docstore.ErrNotFound.
func (s *Service) signsInTo(ctx context.Context, identityID string) (User, error) {
	i, err := s.identities.Get(ctx, identityID)
	if err != nil {
		return User{}, err
	}
	return s.ownerOf(ctx, i)
}

// ownerOf is the account of an identity, or docstore.ErrNotFound: one whose account was
// never made, has begun to unlink it, or was claimed since, counts for nothing.
func (s *Service) ownerOf(ctx context.Context, i externalIdentity) (User, error) {
	user, err := s.users.Get(ctx, i.UserID)
	if err == nil && (slices.Contains(user.Unlinked, i.ID) || user.unclaimed(i.CreatedAt)) {
		err = docstore.ErrNotFound
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
	if claims.Email == "" || claims.EmailVerified == "" && !provider.TrustEmail { // some say it at another address only
		if info, err := found.UserInfo(oidc.ClientContext(ctx, p.client), oauth2.StaticTokenSource(token)); err == nil && info.Subject == idToken.Subject {
			claims.complete(info)
		}
	}
	if claims.EmailVerified == "" && provider.TrustEmail {
		claims.EmailVerified = saidTrue
	}
	claims.Issuer, claims.Subject = idToken.Issuer, idToken.Subject
	return claims, nil
}

// complete adds what the provider says of the person elsewhere.
func (c *providerClaims) complete(info *oidc.UserInfo) {
	var more providerClaims
	if info.Claims(&more) != nil {
		return
	}
	if c.Email == "" {
		*c = more
	} else if c.Email == more.Email {
		c.EmailVerified = more.EmailVerified
	}
}

// maxName is how many characters of a provider's name for somebody are kept: as many as
// people may give themselves.
const maxName = 200

// newcomer makes the account of a person who signs in with a provider for the first
// time, and the identity after it: killed in between, or come several times at once, the
// person gets the account that says that it began with this identity. So there is never
// anything to undo.
func (s *Service) newcomer(ctx context.Context, i externalIdentity, claims providerClaims) (User, error) {
	if claims.Email == "" || claims.EmailVerified != saidTrue {
		return User{}, errUnverifiedEmail
	}
	key, err := newEmailKey(claims.Email)
	if err != nil {
		return User{}, err
	}
	user, err := s.insert(ctx, User{
		ID: docstore.NewID(), Email: claims.Email, EmailKey: key, EmailVerified: true, FullName: language.Cut(claims.Name, maxName),
		Language: language.Prefer(claims.Locale), Role: identity.User, CreatedAt: docstore.At(s.c.Now()), FirstIdentity: i.ID,
	})
	if errors.Is(err, ErrTaken) || docstore.ConflictsOn(err, "by_first_identity") {
		user, err = s.beganWith(ctx, i.ID)
		err = docstore.NotFoundAs(err, errLinkFirst)
	}
	if err != nil {
		return User{}, err
	}
	i.UserID = user.ID
	return s.claim(ctx, i)
}

// beganWith is the account that began with an identity, or docstore.ErrNotFound.
func (s *Service) beganWith(ctx context.Context, identityID string) (User, error) {
	return s.users.First(ctx, docstore.Query{Index: "by_first_identity", Equal: []any{identityID}})
}

// claim stores an identity for its account, and returns the account that it signs in to
// then: another one, if that was first.
func (s *Service) claim(ctx context.Context, i externalIdentity) (User, error) {
	err := s.identities.Insert(ctx, i)
	if docstore.ConflictsOn(err, docstore.IDIndex) {
		return s.takeOver(ctx, i)
	}
	if err != nil {
		return User{}, err
	}
	return s.users.Get(ctx, i.UserID)
}

// takeOver gives an identity that is stored, and counts for nothing, to the account that
// claims it, or returns the account that it signs in to.
func (s *Service) takeOver(ctx context.Context, i externalIdentity) (User, error) {
	known, err := s.identities.Get(ctx, i.ID)
	if err != nil {
		return User{}, docstore.NotFoundAs(err, errCeremony)
	}
	if owner, err := s.ownerOf(ctx, known); !errors.Is(err, docstore.ErrNotFound) {
		return owner, err
	}
	_, err = s.identities.Update(ctx, i.ID, func(stored *externalIdentity) error {
		if stored.UserID != known.UserID { // somebody else was faster
			return errCeremony
		}
		*stored = i
		return nil
	})
	if err != nil {
		return User{}, docstore.NotFoundAs(err, errCeremony)
	}
	return s.users.Get(ctx, i.UserID)
}

// link lets the account that asked be signed in to with the provider's account. Linking
// what is linked changes nothing, but tells of it again: it may have been cut short before
// anybody was told.
func (s *Service) link(ctx context.Context, i externalIdentity) (User, error) {
	owner, err := s.beganWith(ctx, i.ID)
	if errors.Is(err, docstore.ErrNotFound) {
		owner, err = s.claim(ctx, i)
	}
	if err == nil && owner.ID != i.UserID {
		err = errLinked
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
		if u.FirstIdentity == id {
			u.FirstIdentity = ""
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
