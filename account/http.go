package account

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"manus/httpapi"
	"manus/identity"
)

// kinds maps the room's errors to what a client is answered.
var kinds = httpapi.Kinds{
	{Err: ErrBadCredentials, Status: http.StatusUnauthorized, Name: "bad-credentials", Detail: "The e-mail address or the password is wrong. Check both and try again."},
	{Err: ErrSecondFactor, Status: http.StatusUnauthorized, Name: "second-factor-required", Detail: "The password was right. Send it again with a code of your authenticator app or a recovery code as 'otp', or with a passkey."},
	{Err: ErrInvalidToken, Status: http.StatusUnauthorized, Name: "invalid-token", Detail: "The token isn't valid, or not any more. Sign in again."},
	{Err: ErrUnknownUser, Status: http.StatusUnauthorized, Name: "invalid-token", Detail: "The token isn't valid, or not any more. Sign in again."},
	{Err: ErrStepUp, Status: http.StatusForbidden, Name: "step-up-required", Detail: "Prove again that it is you: send 'password', and 'otp' if you have a second factor, with this request, or POST /auth/step-up first."},
	{Err: ErrWrongPassword, Status: http.StatusForbidden, Name: "wrong-password", Detail: "The password or the code is wrong. Nothing was changed."},
	{Err: ErrTaken, Status: http.StatusConflict, Name: "email-taken", Detail: "This e-mail address has an account already. Sign in instead."},
	{Err: ErrInvalidEmail, Status: http.StatusUnprocessableEntity, Name: "invalid-email", Detail: "This is not an e-mail address. Send one like 'name@example.com', without a display name."},
	{Err: ErrWeakPassword, Status: http.StatusUnprocessableEntity, Name: "weak-password", Detail: "Use a password of 8 to 256 characters. Any characters will do; longer is better."},
	{Err: ErrCommonPassword, Status: http.StatusUnprocessableEntity, Name: "common-password", Detail: "This password is among the first that are guessed. Use another one; a few unrelated words are good."},
	{Err: ErrInvalidLink, Status: http.StatusUnprocessableEntity, Name: "invalid-link", Detail: "The link isn't valid, or not any more: it works once, and for a short time. Ask for a new one."},
	{Err: ErrNoMail, Status: http.StatusServiceUnavailable, Name: "no-mail", Detail: "This installation sends no mails. Ask its operator for help."},
	{Err: errBusy, Status: http.StatusServiceUnavailable, Name: "busy", Detail: "Too many people are signing in at this moment. Try again in a few seconds."},
	{Err: errUnknownDevice, Status: http.StatusNotFound, Name: "no-such-device", Detail: "You have no login with this id."},
	{Err: errFactorExists, Status: http.StatusConflict, Name: "factor-exists", Detail: "You have an authenticator app already. Remove it first."},
	{Err: errNoFactor, Status: http.StatusNotFound, Name: "no-such-factor", Detail: "You have no such second factor."},
	{Err: errTooManyPasskeys, Status: http.StatusConflict, Name: "too-many-passkeys", Detail: "You have as many passkeys as one can have. Remove one first."},
	{Err: errNoPasskeys, Status: http.StatusServiceUnavailable, Name: "no-passkeys", Detail: "This installation has no passkeys: its operator has to set PUBLIC_URL."},
	{Err: errCeremony, Status: http.StatusUnprocessableEntity, Name: "ceremony-failed", Detail: "This was begun too long ago, finished already, or went wrong on the way. Begin again."},
	{Err: errUnknownKey, Status: http.StatusNotFound, Name: "no-such-key", Detail: "You have no API key with this id."},
	{Err: errTooManyKeys, Status: http.StatusConflict, Name: "too-many-keys", Detail: "You have as many API keys as one can have. Revoke one first."},
	{Err: errInvalidScope, Status: http.StatusForbidden, Name: "invalid-scope", Detail: "Use scopes of read, write and worker; the scope 'operator' is for operators."},
	{Err: errInvalidTime, Status: http.StatusUnprocessableEntity, Name: "invalid-time", Detail: "Use a time that is still to come."},
	{Err: errUnknownProvider, Status: http.StatusNotFound, Name: "no-such-provider", Detail: "There is no such provider. GET /auth/providers lists them."},
	{Err: errRedirect, Status: http.StatusUnprocessableEntity, Name: "redirect-not-allowed", Detail: "People may not be sent back to this address. The operator lists those that are allowed as redirect_urls."},
	{Err: errProviderDown, Status: http.StatusServiceUnavailable, Name: "provider-unavailable", Detail: "The provider can't be reached just now. Try again shortly, or sign in another way."},
	{Err: errProvider, Status: http.StatusUnauthorized, Name: "provider-refused", Detail: "The provider did not say who you are. Begin again."},
	{Err: errUnverifiedEmail, Status: http.StatusForbidden, Name: "unverified-email", Detail: "The provider has not verified your e-mail address. Verify it there, or register here."},
	{Err: errLinkFirst, Status: http.StatusConflict, Name: "link-first", Detail: "Your e-mail address has an account here. Sign in to it as before, and link the provider there."},
	{Err: errLinked, Status: http.StatusConflict, Name: "linked-elsewhere", Detail: "The provider's account is linked to another account here."},
	{Err: errLastWayIn, Status: http.StatusConflict, Name: "last-way-in", Detail: "This is the only way into your account. Set a password or add a passkey first."},
}

// Caller finds out who sends a request, by its bearer token: an access token or
// an API key. It is an [httpapi.FindCaller]: a request with an invalid token is
// anonymous.
func (s *Service) Caller(r *http.Request) (identity.Caller, error) {
	token, ok := bearer(r)
	if !ok {
		return identity.Caller{}, nil
	}
	authenticate := s.Authenticate
	if strings.HasPrefix(token, keyPrefix) {
		authenticate = s.authenticateKey
	}
	caller, err := authenticate(r.Context(), token)
	if errors.Is(err, ErrInvalidToken) {
		return identity.Caller{}, nil
	}
	return caller, err
}

// bearer is the request's one bearer token (RFC 6750, 2.1). Several
// Authorization headers count as none: a proxy may have believed another of them.
func bearer(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// tokensBody is the answer to signing in.
type tokensBody struct {
	User         userBody `json:"user"`
	AccessToken  string   `json:"access_token" doc:"Send it as 'Authorization: Bearer …'."`
	RefreshToken string   `json:"refresh_token" doc:"Gives new tokens, once."`
	TokenType    string   `json:"token_type" enum:"Bearer"`
	ExpiresIn    int      `json:"expires_in" doc:"Seconds until the access token expires."`
}

func newTokensBody(t Tokens) tokensBody {
	return tokensBody{
		User:         newUserBody(t.User),
		AccessToken:  t.Access,
		RefreshToken: t.Refresh,
		TokenType:    "Bearer",
		ExpiresIn:    int(AccessLifetime.Seconds()),
	}
}

type tokensOutput struct{ Body tokensBody }

func tokensAnswer(t Tokens, err error) (*tokensOutput, error) {
	if err != nil {
		return nil, err
	}
	return &tokensOutput{newTokensBody(t)}, nil
}

// acceptedBody is the answer to a request that continues by mail.
type acceptedBody struct {
	Status string `json:"status" enum:"accepted"`
	Detail string `json:"detail"`
}

type acceptedOutput struct{ Body acceptedBody }

func accepted(detail string) acceptedBody { return acceptedBody{Status: "accepted", Detail: detail} }

// registerOutput is tokens, or what goes on by mail.
type registerOutput struct {
	Status int
	Body   any
}

// passkeyInput is a browser's answer to a passkey's options.
type passkeyInput struct {
	CeremonyID string         `json:"ceremony_id" maxLength:"64" doc:"Of POST /auth/passkeys/options."`
	Credential map[string]any `json:"credential" doc:"The browser's PublicKeyCredential, as its toJSON() gives it."`
}

// answer is the input as the rules take it; nil for none.
func (in *passkeyInput) answer() (*PasskeyAnswer, error) {
	if in == nil {
		return nil, nil
	}
	text, err := jsonText(in.Credential)
	return &PasskeyAnswer{in.CeremonyID, text}, err
}

// Inputs.
type (
	registerInput struct {
		AcceptLanguage string `header:"Accept-Language" doc:"The language of mails, unless 'language' says it: Arabic if it begins with 'ar', else English."`
		Body           struct {
			Email    string `json:"email" maxLength:"254" example:"amal@example.com"`
			Password string `json:"password" maxLength:"256" doc:"At least 8 characters, of any kind; not a common one." example:"correct horse battery staple"`
			FullName string `json:"full_name,omitempty" maxLength:"200" example:"Amal Haddad"`
			Language string `json:"language,omitempty" enum:"en,ar" doc:"The language of mails."`
		}
	}
	loginInput struct {
		Body struct {
			Email    string        `json:"email" maxLength:"254" example:"amal@example.com"`
			Password string        `json:"password" maxLength:"256" example:"correct horse battery staple"`
			OTP      string        `json:"otp,omitempty" maxLength:"64" doc:"A code of the authenticator app, or a recovery code, for accounts with a second factor."`
			Passkey  *passkeyInput `json:"passkey,omitempty" doc:"A passkey in place of 'otp'."`
		}
	}
	refreshInput struct {
		Body struct {
			RefreshToken string `json:"refresh_token" maxLength:"200"`
		}
	}
	passwordInput struct {
		Body struct {
			CurrentPassword string        `json:"current_password" maxLength:"256"`
			NewPassword     string        `json:"new_password" maxLength:"256" doc:"At least 8 characters, of any kind; not a common one."`
			OTP             string        `json:"otp,omitempty" maxLength:"64" doc:"For accounts with a second factor that was not proved in the last five minutes."`
			Passkey         *passkeyInput `json:"passkey,omitempty" doc:"A passkey in place of 'otp'."`
		}
	}
	forgotInput struct {
		Body struct {
			Email string `json:"email" maxLength:"254" example:"amal@example.com"`
		}
	}
	resetInput struct {
		Body struct {
			Token       string `json:"token" maxLength:"200" doc:"Of the mailed link."`
			NewPassword string `json:"new_password" maxLength:"256" doc:"At least 8 characters, of any kind; not a common one."`
		}
	}
	verifyInput struct {
		Body struct {
			Token string `json:"token" maxLength:"200" doc:"Of the mailed link."`
		}
	}
	noInput  struct{}
	noOutput struct{}
)

// Routes registers the room's routes.
func (s *Service) Routes(api *httpapi.API) {
	s.signInRoutes(httpapi.Group{API: api, Name: "Signing in", Kinds: kinds})
	s.accountRoutes(httpapi.Group{API: api, Name: "Your account", Kinds: kinds})
	s.factorRoutes(httpapi.Group{API: api, Name: "Second factors and passkeys", Kinds: kinds})
	s.keyRoutes(httpapi.Group{API: api, Name: "API keys", Kinds: kinds})
	s.providerRoutes(httpapi.Group{API: api, Name: "Other providers", Kinds: kinds})
}

func (s *Service) signInRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/register", ID: "register", Status: http.StatusCreated, Summary: "Open an account",
		Description: "Signs in at once, or, where the installation sends mails, asks by mail to confirm the address first; then the answer is the same for every address.",
		Responses: map[string]*huma.Response{
			"201": {Description: "Signed in", Content: map[string]*huma.MediaType{"application/json": {Schema: httpapi.SchemaOf[tokensBody](group.API)}}},
			"202": {Description: "Goes on by mail", Content: map[string]*huma.MediaType{"application/json": {Schema: httpapi.SchemaOf[acceptedBody](group.API)}}},
		},
	}, s.register)
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "POST /auth/login", ID: "login", Summary: "Sign in"},
		func(ctx context.Context, in *loginInput) (*tokensOutput, error) {
			passkey, err := in.Body.Passkey.answer()
			if err != nil {
				return nil, err
			}
			return tokensAnswer(s.Login(ctx, Credentials{in.Body.Email, in.Body.Password, in.Body.OTP, passkey}))
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "POST /auth/refresh", ID: "refresh", Summary: "Get new tokens for a refresh token"},
		func(ctx context.Context, in *refreshInput) (*tokensOutput, error) {
			return tokensAnswer(s.Refresh(ctx, in.Body.RefreshToken))
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "POST /auth/logout", ID: "logout", Summary: "Sign out of this login"},
		func(ctx context.Context, _ *noInput) (*noOutput, error) {
			caller := identity.From(ctx)
			return nil, s.Logout(ctx, caller.UserID, caller.LoginID)
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "POST /auth/logout-all", ID: "logout-all", Summary: "Sign out of every login"},
		func(ctx context.Context, _ *noInput) (*noOutput, error) {
			return nil, s.LogoutAll(ctx, identity.From(ctx).UserID)
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "POST /auth/verify", ID: "verify", Summary: "Confirm an e-mail address by a mailed link"},
		func(ctx context.Context, in *verifyInput) (*noOutput, error) {
			return nil, s.Verify(ctx, in.Body.Token)
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/password/forgot", ID: "forgot-password", Status: http.StatusAccepted, Summary: "Ask for a link that sets a new password",
		Description: "The answer is the same for every address.",
	},
		func(ctx context.Context, in *forgotInput) (*acceptedOutput, error) {
			if err := s.ForgotPassword(ctx, in.Body.Email); err != nil {
				return nil, err
			}
			return &acceptedOutput{accepted("If the address has an account, a mail with a link is on its way.")}, nil
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/password/reset", ID: "reset-password", Summary: "Set a new password by a mailed link",
		Description: "Ends every login, and signs in nobody.",
	},
		func(ctx context.Context, in *resetInput) (*noOutput, error) {
			return nil, s.ResetPassword(ctx, in.Body.Token, in.Body.NewPassword)
		})
}

func (s *Service) register(ctx context.Context, in *registerInput) (*registerOutput, error) {
	language := in.Body.Language
	if language == "" {
		language = languageOf(in.AcceptLanguage)
	}
	tokens, signedIn, err := s.Register(ctx, NewUser{Email: in.Body.Email, Password: in.Body.Password, FullName: in.Body.FullName, Language: language})
	switch {
	case err != nil:
		return nil, err
	case signedIn:
		return &registerOutput{http.StatusCreated, newTokensBody(tokens)}, nil
	}
	return &registerOutput{http.StatusAccepted, accepted("A mail is on its way to the address; open the link in it.")}, nil
}
