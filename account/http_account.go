package account

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/language"
)

// userBody is an account as its owner sees it.
type userBody struct {
	ID            string        `json:"id" doc:"Opaque."`
	Email         string        `json:"email"`
	EmailVerified bool          `json:"email_verified"`
	FullName      string        `json:"full_name"`
	Language      language.Tag  `json:"language" enum:"en,ar" doc:"The language of mails."`
	Role          identity.Role `json:"role" enum:"user,operator"`
	SecondFactor  bool          `json:"second_factor" doc:"Whether signing in by password needs a second factor."`
	CreatedAt     string        `json:"created_at" format:"date-time"`
}

func newUserBody(u User) userBody {
	return userBody{
		ID: u.ID, Email: u.Email, EmailVerified: u.EmailVerified, FullName: u.FullName, Language: cmp.Or(u.Language, language.English),
		Role: u.Role, SecondFactor: u.needsSecondFactor(), CreatedAt: u.CreatedAt.String(),
	}
}

type userOutput struct{ Body userBody }

func userAnswer(u User, err error) (*userOutput, error) {
	if err != nil {
		return nil, err
	}
	return &userOutput{newUserBody(u)}, nil
}

// deviceBody is a login as its owner sees it.
type deviceBody struct {
	ID         string `json:"id" doc:"Opaque."`
	Name       string `json:"name" doc:"What you call it."`
	Agent      string `json:"agent" doc:"What the program called itself when it signed in."`
	Address    string `json:"address" doc:"The network address it signed in from."`
	Current    bool   `json:"current" doc:"Whether it is the one that asks."`
	CreatedAt  string `json:"created_at" format:"date-time"`
	LastSeenAt string `json:"last_seen_at" format:"date-time" doc:"When it signed in or last got new tokens."`
	ExpiresAt  string `json:"expires_at" format:"date-time" doc:"When it ends unless it gets new tokens before."`
}

func newDeviceBody(l login, current string) deviceBody {
	seen := l.SeenAt
	if seen.IsZero() {
		seen = l.CreatedAt
	}
	return deviceBody{
		ID: l.ID, Name: l.Name, Agent: l.Agent, Address: l.Address, Current: l.ID == current,
		CreatedAt: l.CreatedAt.String(), LastSeenAt: seen.String(), ExpiresAt: l.ExpiresAt.String(),
	}
}

// ProofBody is a proof as requests carry it; it may be left out. It is exported
// because huma looks into no embedded types that are not.
type ProofBody struct {
	Password string        `json:"password,omitempty" maxLength:"256"`
	OTP      string        `json:"otp,omitempty" maxLength:"64" doc:"A code of the authenticator app, or a recovery code."`
	Passkey  *passkeyInput `json:"passkey,omitempty" doc:"A passkey, in place of both."`
}

func (b *ProofBody) proof() (Proof, error) {
	if b == nil {
		return Proof{}, nil
	}
	passkey, err := b.Passkey.answer()
	return Proof{b.Password, b.OTP, passkey}, err
}

// gate is StepUp or Fresh.
type gate func(ctx context.Context, caller identity.Caller, proof Proof) error

// proved asks the gate, and returns the caller it has let through.
func proved(ctx context.Context, ask gate, body *ProofBody) (identity.Caller, error) {
	caller := identity.From(ctx)
	proof, err := body.proof()
	if err == nil {
		err = ask(ctx, caller, proof)
	}
	return caller, err
}

// Inputs.
type (
	profileInput struct {
		Body struct {
			FullName *string       `json:"full_name,omitempty" maxLength:"200"`
			Language *language.Tag `json:"language,omitempty" enum:"en,ar" doc:"The language of mails."`
		}
	}
	emailInput struct {
		Body struct {
			Email string `json:"email" maxLength:"254" example:"amal@example.com"`
			ProofBody
		}
	}
	proofInput struct{ Body *ProofBody }
	idInput    struct {
		ID string `path:"id" maxLength:"64"`
	}
	idProofInput struct {
		ID   string `path:"id" maxLength:"512"`
		Body *ProofBody
	}
	deviceInput struct {
		ID   string `path:"id" maxLength:"64"`
		Body struct {
			Name string `json:"name" maxLength:"100"`
		}
	}
)

// LimitAccount is the account that is being tried, for limits.
func (in *emailInput) LimitAccount() string { return in.Body.Email }

func (s *Service) accountRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{Scope: identity.Read, Pattern: "GET /auth/me", ID: "get-me", Summary: "See your account"},
		func(ctx context.Context, _ *noInput) (*userOutput, error) {
			return userAnswer(s.Get(ctx, identity.From(ctx).UserID))
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Write, Pattern: "PATCH /auth/me", ID: "update-me", Summary: "Change your name or language"},
		func(ctx context.Context, in *profileInput) (*userOutput, error) {
			return userAnswer(s.SetProfile(ctx, identity.From(ctx).UserID, Profile{in.Body.FullName, in.Body.Language}))
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "DELETE /auth/me", ID: "erase-me", Summary: "Erase your account",
		Description: "Everything that is kept of you goes, at once and for good. Needs a step-up.",
	},
		func(ctx context.Context, in *proofInput) (*noOutput, error) {
			caller, err := proved(ctx, s.StepUp, in.Body)
			if err != nil {
				return nil, err
			}
			return nil, s.Erase(ctx, caller.UserID)
		})
	httpapi.Stream(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "GET /auth/me/export", ID: "export-me", Summary: "Get a copy of everything kept of you",
		Answers: map[string]httpapi.Answer{"200": {Description: "A zip archive of JSON files", Types: map[string]reflect.Type{"application/zip": nil}}},
	}, s.export)
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "POST /auth/password", ID: "change-password", Summary: "Change your password and end your other logins"},
		func(ctx context.Context, in *passwordInput) (*noOutput, error) {
			caller := identity.From(ctx)
			passkey, err := in.Body.Passkey.answer()
			if err != nil {
				return nil, err
			}
			return nil, s.ChangePassword(ctx, caller.UserID, caller.LoginID, Proof{in.Body.CurrentPassword, in.Body.OTP, passkey}, in.Body.NewPassword)
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "POST /auth/email", ID: "change-email", Status: http.StatusAccepted, Summary: "Change or confirm your e-mail address",
		Description: "A link is mailed to the address; it becomes yours when the link is opened. Needs a step-up.",
	},
		func(ctx context.Context, in *emailInput) (*acceptedOutput, error) {
			caller, err := proved(ctx, s.StepUp, &in.Body.ProofBody)
			if err == nil {
				err = s.ChangeEmail(ctx, caller.UserID, in.Body.Email)
			}
			if err != nil {
				return nil, err
			}
			return accepted(ctx, linkMailed), nil
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "POST /auth/step-up", ID: "step-up", Summary: "Prove again that it is you, for the next five minutes"},
		func(ctx context.Context, in *proofInput) (*noOutput, error) {
			_, err := proved(ctx, s.StepUp, in.Body)
			return nil, err
		})
	s.deviceRoutes(group)
}

func (s *Service) deviceRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "GET /auth/devices", ID: "list-devices", Summary: "See where you are signed in",
		Description: "Latest first. A page may have fewer logins than its limit, as those that have ended are left out.",
	},
		func(ctx context.Context, in *httpapi.Page) (*httpapi.ListOutput[deviceBody], error) {
			caller := identity.From(ctx)
			found, next, err := s.devices(ctx, caller.UserID, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, func(l login) deviceBody { return newDeviceBody(l, caller.LoginID) })
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "PATCH /auth/devices/{id}", ID: "name-device", Summary: "Give a login a name"},
		func(ctx context.Context, in *deviceInput) (*struct{ Body deviceBody }, error) {
			caller := identity.From(ctx)
			l, err := s.nameDevice(ctx, caller.UserID, in.ID, in.Body.Name)
			if err != nil {
				return nil, err
			}
			return &struct{ Body deviceBody }{newDeviceBody(l, caller.LoginID)}, nil
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "DELETE /auth/devices/{id}", ID: "revoke-device", Summary: "End a login",
		Description: "Needs a sign-in or a step-up of a moment ago.",
	},
		func(ctx context.Context, in *idProofInput) (*noOutput, error) {
			caller, err := proved(ctx, s.Fresh, in.Body)
			if err != nil {
				return nil, err
			}
			return nil, s.revokeDevice(ctx, caller.UserID, in.ID)
		})
}

// export streams the archive. What goes wrong on the way breaks the connection
// off, so that half an archive isn't taken for a whole one.
func (s *Service) export(ctx context.Context, _ *noInput) (http.HandlerFunc, error) {
	user, err := s.Get(ctx, identity.From(ctx).UserID)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/zip")
		w.Header().Set("Content-Disposition", `attachment; filename="manus-export.zip"`)
		if err := s.Export(ctx, user.ID, w); err != nil {
			s.log.ErrorContext(ctx, "an export was broken off", "request_id", httpapi.RequestID(ctx), "error", err)
			panic(http.ErrAbortHandler)
		}
	}, nil
}

// jsonText is a JSON object as text again.
func jsonText(object map[string]any) (string, error) {
	text, err := json.Marshal(object)
	return string(text), err
}

// timeText is a time, or empty where there is none.
func timeText(t docstore.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.String()
}
