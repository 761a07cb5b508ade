package account

import (
	"context"
	"net/http"

	"manus/httpapi"
	"manus/identity"
	"manus/language"
)

// passkeyBody is a passkey as its owner sees it.
type passkeyBody struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	SecondFactor bool   `json:"second_factor" doc:"Whether it makes signing in by password need a second factor." ar:"هل يجعل الدخول بكلمة المرور يلزمه عامل ثانٍ."`
	CreatedAt    string `json:"created_at" format:"date-time"`
	LastUsedAt   string `json:"last_used_at" doc:"Empty if it never was." ar:"فارغ إن لم يكن ذلك قطّ."`
}

func newPasskeyBody(p passkey) passkeyBody {
	return passkeyBody{ID: p.ID, Name: p.Name, SecondFactor: p.SecondFactor, CreatedAt: p.CreatedAt.String(), LastUsedAt: timeText(p.UsedAt)}
}

// codesBody is recovery codes, as they are shown once.
type codesBody struct {
	RecoveryCodes []string `json:"recovery_codes" doc:"Each signs in once in place of the second factor. They are shown only now; keep them on paper." ar:"كلّ منها يسجّل الدخول مرّة بدل العامل الثاني. لا تُعرض إلّا الآن؛ احتفظ بها على ورق."`
}

type codesOutput = httpapi.Output[codesBody]

func codesAnswer(codes []string, err error) (*codesOutput, error) {
	return httpapi.OutputOf(codesBody{codes}, err)
}

// optionsOutputBody is what a browser needs to begin a ceremony.
type optionsOutputBody struct {
	CeremonyID string `json:"ceremony_id" doc:"Send it back with the browser's answer, within ten minutes." ar:"أعده مع جواب المتصفّح خلال عشر دقائق."`
	PublicKey  any    `json:"public_key" doc:"The options, for PublicKeyCredential.parseCreationOptionsFromJSON or parseRequestOptionsFromJSON." ar:"الخيارات، للدالّة PublicKeyCredential.parseCreationOptionsFromJSON أو parseRequestOptionsFromJSON."`
}

type optionsOutput = httpapi.Output[optionsOutputBody]

func optionsAnswer(id string, options any, err error) (*optionsOutput, error) {
	return httpapi.OutputOf(optionsOutputBody{id, options}, err)
}

type (
	totpOutputBody struct {
		Secret     string `json:"secret" doc:"For apps that can't read the URL: base32, SHA-1, 6 digits, 30 seconds." ar:"للتطبيقات التي لا تقرأ العنوان: base32 وSHA-1 و6 أرقام و30 ثانية."`
		OTPAuthURL string `json:"otpauth_url" doc:"Show it as a QR code." ar:"اعرضه رمز QR."`
	}
	codeInputBody struct {
		OTP string `json:"otp" maxLength:"16" doc:"A code of the app." ar:"رمز من التطبيق."`
	}
	addPasskeyInputBody struct {
		CeremonyID   string         `json:"ceremony_id" maxLength:"64" doc:"Of POST /auth/passkeys/new." ar:"من POST /auth/passkeys/new."`
		Credential   map[string]any `json:"credential" doc:"The browser's PublicKeyCredential, as its toJSON() gives it." ar:"كائن PublicKeyCredential من المتصفّح كما يعطيه toJSON()."`
		Name         string         `json:"name" minLength:"1" maxLength:"100" doc:"What you call it." ar:"ما تسمّيه به."`
		SecondFactor bool           `json:"second_factor,omitempty" doc:"From now on, signing in by password needs a second factor." ar:"من الآن يلزم الدخولَ بكلمة المرور عاملٌ ثانٍ."`
	}
	addPasskeyOutputBody struct {
		passkeyBody
		RecoveryCodes []string `json:"recovery_codes,omitempty" doc:"When the account needs a second factor for the first time. They are shown only now." ar:"حين يلزم الحسابَ عامل ثانٍ لأوّل مرّة. ولا تُعرض إلّا الآن."`
	}
)

func (s *Service) factorRoutes(group httpapi.Group) {
	registerGated(group, s.fresh(), httpapi.Route{
		Pattern: "POST /auth/totp", ID: "begin-totp", Problems: []error{errFactorExists}, Summary: language.Text{En: "Begin to add an authenticator app", Ar: "ابدأ إضافة تطبيق مصادقة"},
		Description: language.Text{En: "It counts once POST /auth/totp/confirm has seen a code of it.", Ar: "يسري بعد أن يرى POST /auth/totp/confirm رمزًا منه."},
	},
		func(ctx context.Context, caller identity.Caller, _ *proofInput) (*httpapi.Output[totpOutputBody], error) {
			key, err := s.newTOTP(ctx, caller.UserID)
			if err != nil {
				return nil, err
			}
			return httpapi.OutputOf(totpOutputBody{key.Secret(), key.URL()}, nil)
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Guesses: wrongSecrets, Pattern: "POST /auth/totp/confirm", ID: "confirm-totp", Problems: []error{ErrWrongPassword, errFactorExists, errNoFactor, errUnreadableFactor, ErrUnknownUser}, Summary: language.Text{En: "Put the authenticator app in force", Ar: "فعّل تطبيق المصادقة"},
		Description: language.Text{En: "Ends every other login, and answers the recovery codes.", Ar: "ينهي كلّ عملية دخول أخرى، ويجيب برموز الاسترداد."},
	},
		func(ctx context.Context, in *httpapi.Input[codeInputBody]) (*codesOutput, error) {
			caller := identity.From(ctx)
			return codesAnswer(s.confirmTOTP(ctx, caller.UserID, caller.LoginID, in.Body.OTP))
		})
	registerGated(group, s.stepUp(), httpapi.Route{
		Pattern: "DELETE /auth/totp", ID: "remove-totp", Problems: []error{errNoFactor}, Summary: language.Text{En: "Remove the authenticator app", Ar: "أزل تطبيق المصادقة"},
		Description: language.Text{En: "Ends every other login.", Ar: "ينهي كلّ عملية دخول أخرى."},
	},
		func(ctx context.Context, caller identity.Caller, _ *proofInput) (*httpapi.Nothing, error) {
			return nil, s.removeTOTP(ctx, caller.UserID, caller.LoginID)
		})
	registerGated(group, s.stepUp(), httpapi.Route{
		Pattern: "POST /auth/recovery-codes", ID: "renew-recovery-codes", Problems: []error{errNoFactor}, Summary: language.Text{En: "Replace the recovery codes", Ar: "استبدل رموز الاسترداد"},
		Description: language.Text{En: "Those of before don't work any more.", Ar: "لا تعود الرموز السابقة صالحة."},
	},
		func(ctx context.Context, caller identity.Caller, _ *proofInput) (*codesOutput, error) {
			return codesAnswer(s.renewRecoveryCodes(ctx, caller.UserID))
		})
	s.passkeyRoutes(group)
}

func (s *Service) passkeyRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "GET /auth/passkeys", ID: "list-passkeys", Problems: []error{ErrUnknownUser}, Summary: language.Text{En: "See your passkeys", Ar: "اعرض مفاتيح المرور لديك"}},
		func(ctx context.Context, _ *httpapi.Nothing) (*httpapi.ListOutput[passkeyBody], error) {
			user, err := s.Get(ctx, identity.From(ctx).UserID)
			return httpapi.ListOf(user.Passkeys, "", err, newPasskeyBody)
		})
	registerGated(group, s.fresh(), httpapi.Route{Pattern: "POST /auth/passkeys/new", ID: "begin-passkey", Problems: []error{errTooManyPasskeys}, Summary: language.Text{En: "Begin to add a passkey", Ar: "ابدأ إضافة مفتاح مرور"}},
		func(ctx context.Context, caller identity.Caller, _ *proofInput) (*optionsOutput, error) {
			return optionsAnswer(s.beginPasskey(ctx, caller.UserID))
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "POST /auth/passkeys", ID: "add-passkey", Problems: []error{errCeremony, errNoPasskeys, errTooManyPasskeys, ErrUnknownUser}, Status: http.StatusCreated, Summary: language.Text{En: "Add the passkey that the browser has made", Ar: "أضف مفتاح المرور الذي أنشأه المتصفّح"}},
		func(ctx context.Context, in *httpapi.Input[addPasskeyInputBody]) (*httpapi.Output[addPasskeyOutputBody], error) {
			caller, answer := identity.From(ctx), PasskeyAnswer{in.Body.CeremonyID, jsonText(in.Body.Credential)}
			added, codes, err := s.addPasskey(ctx, caller.UserID, caller.LoginID, in.Body.Name, in.Body.SecondFactor, answer)
			return httpapi.OutputOf(addPasskeyOutputBody{newPasskeyBody(added), codes}, err)
		})
	registerGated(group, s.stepUp(), httpapi.Route{
		Pattern: "DELETE /auth/passkeys/{id}", ID: "remove-passkey", Problems: []error{errNoFactor, errLastWayIn}, Summary: language.Text{En: "Remove a passkey", Ar: "أزل مفتاح مرور"},
		Description: language.Text{En: "Ends every other login.", Ar: "ينهي كلّ عملية دخول أخرى."},
	},
		func(ctx context.Context, caller identity.Caller, in *idProofInput) (*httpapi.Nothing, error) {
			return nil, s.removePasskey(ctx, caller.UserID, caller.LoginID, in.ID)
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/passkeys/options", ID: "begin-passkey-use", Problems: []error{errNoPasskeys}, Summary: language.Text{En: "Begin to use a passkey", Ar: "ابدأ استعمال مفتاح مرور"},
		Description: language.Text{En: "For signing in, as a second factor, or for a step-up.", Ar: "لتسجيل الدخول أو عاملًا ثانيًا أو لإثبات الهوية من جديد."},
	},
		func(ctx context.Context, _ *httpapi.Nothing) (*optionsOutput, error) {
			return optionsAnswer(s.beginPasskeyUse(ctx))
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "POST /auth/passkeys/login", ID: "login-with-passkey", Problems: []error{errBadPasskey, errCeremony, errNoPasskeys}, Summary: language.Text{En: "Sign in with a passkey alone", Ar: "سجّل الدخول بمفتاح مرور وحده"}},
		func(ctx context.Context, in *signInInput[passkeyInput]) (*tokensOutput, error) {
			return s.tokensAnswer(ctx, in.TokensInput, func() (Tokens, error) { return s.LoginWithPasskey(ctx, *in.Body.answer()) })
		})
}
