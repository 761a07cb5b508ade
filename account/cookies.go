package account

import (
	"context"
	"net/http"
	"strings"

	"manus/httpapi"
)

// Pages of the product that the program's own host serves can keep their tokens in cookies,
// which no script reads: whoever signs in with ?tokens=cookie gets them so. A browser adds
// cookies by itself, also to what a page of another site sends; so what changes anything
// has to come from a page of this host (see httpapi.CheckSameOrigin).

// TokensInput is how tokens are to be given. It is exported as [ProofBody] is.
type TokensInput struct {
	Tokens string `query:"tokens" enum:"body,cookie" default:"body" doc:"'cookie' sets the tokens as cookies in place of answering them, for pages of this host." ar:"القيمة 'cookie' تضع الرموز في ملفّات تعريف الارتباط بدل أن تكون في الجواب، لصفحات هذا المضيف."`
}

func (in TokensInput) cookies() bool { return in.Tokens == "cookie" }

// signInInput is a body as [httpapi.Input] has it, of what signs in.
type signInInput[T any] struct {
	TokensInput
	Body T
}

// tokensOutput is tokens, in the body or as cookies.
type tokensOutput struct {
	SetCookie []string `header:"Set-Cookie" hidden:"true"`
	Body      tokensBody
}

// The cookies' names. The prefix has browsers take them from this host alone, and over TLS.
const (
	accessCookie  = "manus-access"
	refreshCookie = "manus-refresh"
	hostPrefix    = "__Host-"
)

// secure tells whether the program is reached over TLS, which only PUBLIC_URL says.
func (s *Service) secure() bool { return strings.HasPrefix(s.c.PublicURL, "https://") }

func (s *Service) cookieName(name string) string {
	if s.secure() {
		return hostPrefix + name
	}
	return name
}

// cookie is one that lasts as long as a login does that isn't used. An access token in it
// expires before, and is told so.
func (s *Service) cookie(name, value string) string {
	c := http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/", MaxAge: int(idleLifetime.Seconds()),
		HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c.String()
}

// noCookies removes them.
func (s *Service) noCookies() []string {
	return []string{s.cookie(accessCookie, ""), s.cookie(refreshCookie, "")}
}

// cookieOf is the value of the one cookie of that name; empty for none and for several, of
// which somebody else may have set one.
func (s *Service) cookieOf(r *http.Request, name string) string {
	found := r.CookiesNamed(s.cookieName(name))
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

// proof is the token that a request comes with: its bearer token, or where it has no
// Authorization the cookie. httpapi.ErrCrossSite is for one that isn't the page's own.
func (s *Service) proof(r *http.Request) (token string, err error) {
	if len(r.Header.Values("Authorization")) > 0 {
		token, _ = bearer(r)
		return token, nil
	}
	token = s.cookieOf(r, accessCookie)
	if token != "" && r.Method != http.MethodGet && r.Method != http.MethodHead {
		err = httpapi.CheckSameOrigin(r)
	}
	return token, err
}

// tokensAnswer is the answer of what signs in by do, as it was asked for. Another site's
// page signs nobody in by cookies.
func (s *Service) tokensAnswer(ctx context.Context, in TokensInput, do func() (Tokens, error)) (*tokensOutput, error) {
	if in.cookies() {
		if err := httpapi.FromSameOrigin(ctx); err != nil {
			return nil, err
		}
	}
	t, err := do()
	if err != nil {
		return nil, err
	}
	return s.tokensGiven(in, t), nil
}

func (s *Service) tokensGiven(in TokensInput, t Tokens) *tokensOutput {
	out := &tokensOutput{Body: newTokensBody(t)}
	if in.cookies() {
		out.SetCookie = []string{s.cookie(accessCookie, t.Access), s.cookie(refreshCookie, t.Refresh)}
		out.Body.AccessToken, out.Body.RefreshToken, out.Body.TokenType = "", "", "Cookie"
	}
	return out
}

// signedOutOutput is nothing, and no cookies.
type signedOutOutput struct {
	SetCookie []string `header:"Set-Cookie" hidden:"true"`
}

// signedOut removes the cookies of whoever has signed out by them.
func (s *Service) signedOut(err error) (*signedOutOutput, error) {
	if err != nil {
		return nil, err
	}
	return &signedOutOutput{s.noCookies()}, nil
}
