package account

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"manus/httpapi"
	"manus/identity"
)

// kinds is what the room's errors are to a client.
var kinds = httpapi.Kinds{
	{Err: ErrBadCredentials, Status: http.StatusUnauthorized, Name: "bad-credentials", Detail: "The e-mail address or the password is wrong. Check both and try again."},
	{Err: ErrInvalidToken, Status: http.StatusUnauthorized, Name: "invalid-token", Detail: "The token isn't valid, or not any more. Sign in again."},
	{Err: ErrWrongPassword, Status: http.StatusForbidden, Name: "wrong-password", Detail: "The current password is wrong. Nothing was changed."},
	{Err: ErrTaken, Status: http.StatusConflict, Name: "email-taken", Detail: "This e-mail address has an account already. Sign in instead."},
	{Err: ErrInvalidEmail, Status: http.StatusUnprocessableEntity, Name: "invalid-email", Detail: "This is not an e-mail address. Send one like 'name@example.com', without a display name."},
	{Err: ErrWeakPassword, Status: http.StatusUnprocessableEntity, Name: "weak-password", Detail: "Use a password of 8 to 256 characters. Any characters will do; longer is better."},
	{Err: ErrUnknownUser, Status: http.StatusUnauthorized, Name: "invalid-token", Detail: "The token isn't valid, or not any more. Sign in again."},
	{Err: errBusy, Status: http.StatusServiceUnavailable, Name: "busy", Detail: "Too many people are signing in at this moment. Try again in a few seconds."},
}

// Caller finds out who sends a request, by its bearer token. It is an
// [httpapi.FindCaller]: a token that isn't valid makes a stranger.
func (s *Service) Caller(r *http.Request) (identity.Caller, error) {
	token, ok := bearer(r)
	if !ok {
		return identity.Caller{}, nil
	}
	caller, err := s.Authenticate(r.Context(), token)
	if errors.Is(err, ErrInvalidToken) {
		return identity.Caller{}, nil
	}
	return caller, err
}

// bearer is the request's one bearer token (RFC 6750, 2.1). Several
// Authorization headers are none: who knows which one others believe.
func bearer(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// userBody is an account as its owner sees it.
type userBody struct {
	ID        string        `json:"id" doc:"Opaque."`
	Email     string        `json:"email"`
	FullName  string        `json:"full_name"`
	Role      identity.Role `json:"role" enum:"user,operator"`
	CreatedAt string        `json:"created_at" format:"date-time"`
}

func newUserBody(u User) userBody {
	return userBody{ID: u.ID, Email: u.Email, FullName: u.FullName, Role: u.Role, CreatedAt: u.CreatedAt.String()}
}

type userOutput struct{ Body userBody }

// tokensBody is what signing in answers.
type tokensBody struct {
	User         userBody `json:"user"`
	AccessToken  string   `json:"access_token" doc:"Send it as 'Authorization: Bearer …'."`
	RefreshToken string   `json:"refresh_token" doc:"Gives new tokens, once."`
	TokenType    string   `json:"token_type" enum:"Bearer"`
	ExpiresIn    int      `json:"expires_in" doc:"Seconds until the access token expires."`
}

type tokensOutput struct{ Body tokensBody }

func tokensAnswer(t Tokens, err error) (*tokensOutput, error) {
	if err != nil {
		return nil, err
	}
	return &tokensOutput{tokensBody{
		User:         newUserBody(t.User),
		AccessToken:  t.Access,
		RefreshToken: t.Refresh,
		TokenType:    "Bearer",
		ExpiresIn:    int(AccessLifetime.Seconds()),
	}}, nil
}

// Inputs.
type (
	registerInput struct {
		Body struct {
			Email    string `json:"email" maxLength:"254" example:"amal@example.com"`
			Password string `json:"password" maxLength:"256" doc:"At least 8 characters, of any kind." example:"correct horse battery staple"`
			FullName string `json:"full_name,omitempty" maxLength:"200" example:"Amal Haddad"`
		}
	}
	loginInput struct {
		Body struct {
			Email    string `json:"email" maxLength:"254" example:"amal@example.com"`
			Password string `json:"password" maxLength:"256" example:"correct horse battery staple"`
		}
	}
	refreshInput struct {
		Body struct {
			RefreshToken string `json:"refresh_token" maxLength:"200"`
		}
	}
	passwordInput struct {
		Body struct {
			CurrentPassword string `json:"current_password" maxLength:"256"`
			NewPassword     string `json:"new_password" maxLength:"256" doc:"At least 8 characters, of any kind."`
		}
	}
	profileInput struct {
		Body struct {
			FullName string `json:"full_name" maxLength:"200"`
		}
	}
	noInput  struct{}
	noOutput struct{}
)

// Routes registers the room's routes.
func (s *Service) Routes(api *httpapi.API) {
	group := httpapi.Group{API: api, Name: "Accounts", Kinds: kinds}
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "POST /auth/register", ID: "register", Status: http.StatusCreated, Summary: "Open an account and sign in"},
		func(ctx context.Context, in *registerInput) (*tokensOutput, error) {
			return tokensAnswer(s.Register(ctx, NewUser{Email: in.Body.Email, Password: in.Body.Password, FullName: in.Body.FullName}))
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "POST /auth/login", ID: "login", Summary: "Sign in"},
		func(ctx context.Context, in *loginInput) (*tokensOutput, error) {
			return tokensAnswer(s.Login(ctx, in.Body.Email, in.Body.Password))
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "POST /auth/refresh", ID: "refresh", Summary: "Get new tokens for a refresh token"},
		func(ctx context.Context, in *refreshInput) (*tokensOutput, error) {
			return tokensAnswer(s.Refresh(ctx, in.Body.RefreshToken))
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Write, Pattern: "POST /auth/logout", ID: "logout", Summary: "Sign out of this login"},
		func(ctx context.Context, _ *noInput) (*noOutput, error) {
			return nil, s.Logout(ctx, identity.From(ctx).LoginID)
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Write, Pattern: "POST /auth/logout-all", ID: "logout-all", Summary: "Sign out of every login"},
		func(ctx context.Context, _ *noInput) (*noOutput, error) {
			return nil, s.LogoutAll(ctx, identity.From(ctx).UserID)
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Read, Pattern: "GET /auth/me", ID: "get-me", Summary: "See your account"},
		func(ctx context.Context, _ *noInput) (*userOutput, error) {
			return userAnswer(s.Get(ctx, identity.From(ctx).UserID))
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Write, Pattern: "PATCH /auth/me", ID: "update-me", Summary: "Change your name"},
		func(ctx context.Context, in *profileInput) (*userOutput, error) {
			return userAnswer(s.Rename(ctx, identity.From(ctx).UserID, in.Body.FullName))
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Write, Pattern: "POST /auth/password", ID: "change-password", Summary: "Change your password and end your other logins"},
		func(ctx context.Context, in *passwordInput) (*noOutput, error) {
			caller := identity.From(ctx)
			return nil, s.ChangePassword(ctx, caller.UserID, caller.LoginID, in.Body.CurrentPassword, in.Body.NewPassword)
		})
}

func userAnswer(u User, err error) (*userOutput, error) {
	if err != nil {
		return nil, err
	}
	return &userOutput{newUserBody(u)}, nil
}
