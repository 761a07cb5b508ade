package account

import (
	"cmp"
	"context"
	"crypto/hmac"
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
	errBeingFinished   = errors.New("an earlier request is finishing the sign-in")
	errFinished        = errors.New("the sign-in was finished before, and its tokens are in use")
	// errWrongFactor is ErrWrongPassword where there is no password, but a second factor.
	errWrongFactor = fmt.Errorf("%w: the second factor", ErrWrongPassword)
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
	s.oidc.Store(&providers{list: list, client: &http.Client{Timeout: providerTimeout, Transport: s.c.Outgoing}})
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

// providerClaims is what an ID token says.
type providerClaims struct {
	Issuer, Subject string
	Email           string `json:"email"`
	EmailVerified   said   `json:"email_verified"`
	Name            string `json:"name"`
	Locale          string `json:"locale"`
	Party           string `json:"azp"` // the client that the token was made for, if it is said
}

// isFor tells whether a token is for the client and nobody else: another in its audience,
// none of which is trusted here, could have got it and use it (OpenID Connect Core 1.0,
// 3.1.3.7).
func (c providerClaims) isFor(clientID string, audience []string) bool {
	others := slices.ContainsFunc(audience, func(one string) bool { return one != clientID })
	return !others && (c.Party == "" || c.Party == clientID)
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
	if err := idToken.Claims(&claims); err != nil || !claims.isFor(provider.ClientID, idToken.Audience) {
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
