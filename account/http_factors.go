package account

import (
	"context"
	"encoding/json"
	"net/http"

	"manus/httpapi"
	"manus/identity"
)

// passkeyBody is a passkey as its owner sees it.
type passkeyBody struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	SecondFactor bool   `json:"second_factor" doc:"Whether it makes signing in by password need a second factor."`
	CreatedAt    string `json:"created_at" format:"date-time"`
	LastUsedAt   string `json:"last_used_at" doc:"Empty if it never was."`
}

func newPasskeyBody(p passkey) passkeyBody {
	return passkeyBody{ID: p.ID, Name: p.Name, SecondFactor: p.SecondFactor, CreatedAt: p.CreatedAt.String(), LastUsedAt: timeText(p.UsedAt)}
}

// codesBody is recovery codes, as they are shown once.
type codesBody struct {
	RecoveryCodes []string `json:"recovery_codes" doc:"Each signs in once in place of the second factor. They are shown only now; keep them on paper."`
}

type codesOutput struct{ Body codesBody }

func codesAnswer(codes []string, err error) (*codesOutput, error) {
	if err != nil {
		return nil, err
	}
	return &codesOutput{codesBody{codes}}, nil
}

// optionsOutput is what a browser needs to begin a ceremony.
type optionsOutput struct {
	Body struct {
		CeremonyID string `json:"ceremony_id" doc:"Send it back with the browser's answer, within ten minutes."`
		PublicKey  any    `json:"public_key" doc:"The options, for PublicKeyCredential.parseCreationOptionsFromJSON or parseRequestOptionsFromJSON."`
	}
}

func optionsAnswer(id string, options any, err error) (*optionsOutput, error) {
	if err != nil {
		return nil, err
	}
	out := &optionsOutput{}
	out.Body.CeremonyID, out.Body.PublicKey = id, options
	return out, nil
}

type (
	totpOutput struct {
		Body struct {
			Secret     string `json:"secret" doc:"For apps that can't read the URL: base32, SHA-1, 6 digits, 30 seconds."`
			OTPAuthURL string `json:"otpauth_url" doc:"Show it as a QR code."`
		}
	}
	codeInput struct {
		Body struct {
			OTP string `json:"otp" maxLength:"16" doc:"A code of the app."`
		}
	}
	addPasskeyInput struct {
		Body struct {
			CeremonyID   string         `json:"ceremony_id" maxLength:"64" doc:"Of POST /auth/passkeys/new."`
			Credential   map[string]any `json:"credential" doc:"The browser's PublicKeyCredential, as its toJSON() gives it."`
			Name         string         `json:"name" minLength:"1" maxLength:"100" doc:"What you call it."`
			SecondFactor bool           `json:"second_factor,omitempty" doc:"From now on, signing in by password needs a second factor."`
		}
	}
	addPasskeyOutput struct {
		Body struct {
			passkeyBody
			RecoveryCodes []string `json:"recovery_codes,omitempty" doc:"When the account needs a second factor for the first time. They are shown only now."`
		}
	}
	passkeyLoginInput struct{ Body passkeyInput }
)

func (s *Service) factorRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "POST /auth/totp", ID: "begin-totp", Summary: "Begin to add an authenticator app",
		Description: "It counts once POST /auth/totp/confirm has seen a code of it. Needs a sign-in or a step-up of a moment ago.",
	},
		func(ctx context.Context, in *proofInput) (*totpOutput, error) {
			caller, err := proved(ctx, s.Fresh, in.Body)
			if err != nil {
				return nil, err
			}
			key, err := s.newTOTP(ctx, caller.UserID)
			if err != nil {
				return nil, err
			}
			out := &totpOutput{}
			out.Body.Secret, out.Body.OTPAuthURL = key.Secret(), key.URL()
			return out, nil
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "POST /auth/totp/confirm", ID: "confirm-totp", Summary: "Put the authenticator app in force",
		Description: "Ends every other login, and answers the recovery codes.",
	},
		func(ctx context.Context, in *codeInput) (*codesOutput, error) {
			caller := identity.From(ctx)
			return codesAnswer(s.confirmTOTP(ctx, caller.UserID, caller.LoginID, in.Body.OTP))
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "DELETE /auth/totp", ID: "remove-totp", Summary: "Remove the authenticator app",
		Description: "Ends every other login. Needs a step-up.",
	},
		func(ctx context.Context, in *proofInput) (*noOutput, error) {
			caller, err := proved(ctx, s.StepUp, in.Body)
			if err != nil {
				return nil, err
			}
			return nil, s.removeTOTP(ctx, caller.UserID, caller.LoginID)
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "POST /auth/recovery-codes", ID: "renew-recovery-codes", Summary: "Replace the recovery codes",
		Description: "Those of before don't work any more. Needs a step-up.",
	},
		func(ctx context.Context, in *proofInput) (*codesOutput, error) {
			caller, err := proved(ctx, s.StepUp, in.Body)
			if err != nil {
				return nil, err
			}
			return codesAnswer(s.renewRecoveryCodes(ctx, caller.UserID))
		})
	s.passkeyRoutes(group)
}

func (s *Service) passkeyRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "GET /auth/passkeys", ID: "list-passkeys", Summary: "See your passkeys"},
		func(ctx context.Context, _ *noInput) (*httpapi.ListOutput[passkeyBody], error) {
			user, err := s.Get(ctx, identity.From(ctx).UserID)
			return httpapi.ListOf(user.Passkeys, "", err, newPasskeyBody)
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "POST /auth/passkeys/new", ID: "begin-passkey", Summary: "Begin to add a passkey",
		Description: "Needs a sign-in or a step-up of a moment ago.",
	},
		func(ctx context.Context, in *proofInput) (*optionsOutput, error) {
			caller, err := proved(ctx, s.Fresh, in.Body)
			if err != nil {
				return nil, err
			}
			return optionsAnswer(s.beginPasskey(ctx, caller.UserID))
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "POST /auth/passkeys", ID: "add-passkey", Status: http.StatusCreated, Summary: "Add the passkey that the browser has made"},
		func(ctx context.Context, in *addPasskeyInput) (*addPasskeyOutput, error) {
			caller := identity.From(ctx)
			text, err := jsonText(in.Body.Credential)
			if err != nil {
				return nil, err
			}
			added, codes, err := s.addPasskey(ctx, caller.UserID, caller.LoginID, in.Body.CeremonyID, in.Body.Name, in.Body.SecondFactor, json.RawMessage(text))
			if err != nil {
				return nil, err
			}
			out := &addPasskeyOutput{}
			out.Body.passkeyBody, out.Body.RecoveryCodes = newPasskeyBody(added), codes
			return out, nil
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "DELETE /auth/passkeys/{id}", ID: "remove-passkey", Summary: "Remove a passkey",
		Description: "Ends every other login. Needs a step-up.",
	},
		func(ctx context.Context, in *idProofInput) (*noOutput, error) {
			caller, err := proved(ctx, s.StepUp, in.Body)
			if err != nil {
				return nil, err
			}
			return nil, s.removePasskey(ctx, caller.UserID, caller.LoginID, in.ID)
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/passkeys/options", ID: "begin-passkey-use", Summary: "Begin to use a passkey",
		Description: "For signing in, as a second factor, or for a step-up.",
	},
		func(ctx context.Context, _ *noInput) (*optionsOutput, error) {
			return optionsAnswer(s.beginPasskeyUse(ctx))
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "POST /auth/passkeys/login", ID: "login-with-passkey", Summary: "Sign in with a passkey alone"},
		func(ctx context.Context, in *passkeyLoginInput) (*tokensOutput, error) {
			answer, err := in.Body.answer()
			if err != nil {
				return nil, err
			}
			return tokensAnswer(s.LoginWithPasskey(ctx, *answer))
		})
}
