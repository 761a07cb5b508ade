package account

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/language"
)

// userBody is an account as its owner sees it.
type userBody struct {
	ID            string        `json:"id" doc:"Opaque." ar:"مُعتِم."`
	Email         string        `json:"email"`
	EmailVerified bool          `json:"email_verified"`
	FullName      string        `json:"full_name"`
	Language      language.Tag  `json:"language" enum:"en,ar" doc:"The language of mails." ar:"لغة الرسائل."`
	Role          identity.Role `json:"role" enum:"user,operator"`
	SecondFactor  bool          `json:"second_factor" doc:"Whether signing in by password needs a second factor." ar:"هل يلزم الدخولَ بكلمة المرور عاملٌ ثانٍ."`
	CreatedAt     string        `json:"created_at" format:"date-time"`
}

func newUserBody(u User) userBody {
	return userBody{
		ID: u.ID, Email: u.Email, EmailVerified: u.EmailVerified, FullName: u.FullName, Language: cmp.Or(u.Language, language.English),
		Role: u.Role, SecondFactor: u.needsSecondFactor(), CreatedAt: u.CreatedAt.String(),
	}
}

type userOutput = httpapi.Output[userBody]

func userAnswer(u User, err error) (*userOutput, error) {
	return httpapi.OutputOf(newUserBody(u), err)
}

// deviceBody is a login as its owner sees it.
type deviceBody struct {
	ID         string `json:"id" doc:"Opaque." ar:"مُعتِم."`
	Name       string `json:"name" doc:"What you call it." ar:"ما تسمّيه به."`
	Agent      string `json:"agent" doc:"What the program called itself when it signed in." ar:"ما سمّى به البرنامج نفسه حين سجّل الدخول."`
	Address    string `json:"address" doc:"The network address it signed in from." ar:"عنوان الشبكة الذي سجّل الدخول منه."`
	Current    bool   `json:"current" doc:"Whether it is the one that asks." ar:"هل هو الذي يسأل."`
	CreatedAt  string `json:"created_at" format:"date-time"`
	LastSeenAt string `json:"last_seen_at" format:"date-time" doc:"When it signed in or last got new tokens." ar:"متى سجّل الدخول أو نال رموزًا جديدة آخر مرّة."`
	ExpiresAt  string `json:"expires_at" format:"date-time" doc:"When it ends unless it gets new tokens before." ar:"متى ينتهي إن لم ينل رموزًا جديدة قبل ذلك."`
}

func newDeviceBody(l login, current string) deviceBody {
	return deviceBody{
		ID: l.ID, Name: l.Name, Agent: l.Agent, Address: l.Address, Current: l.ID == current,
		CreatedAt: l.CreatedAt.String(), LastSeenAt: cmp.Or(l.SeenAt, l.CreatedAt).String(), ExpiresAt: l.ExpiresAt.String(),
	}
}

// ProofBody is a proof as requests carry it; it may be left out. It is exported
// because huma looks into no embedded types that are not.
type ProofBody struct {
	Password string        `json:"password,omitempty" maxLength:"256"`
	OTP      string        `json:"otp,omitempty" maxLength:"64" doc:"A code of the authenticator app, or a recovery code." ar:"رمز من تطبيق المصادقة، أو رمز استرداد."`
	Passkey  *passkeyInput `json:"passkey,omitempty" doc:"A passkey, in place of both." ar:"مفتاح مرور، بدل كليهما."`
}

func (b *ProofBody) proof() Proof {
	b = cmp.Or(b, &ProofBody{})
	return Proof{b.Password, b.OTP, b.Passkey.answer()}
}

// gate is a proof that a route asks for beside an access token, in the words of the
// reference.
type gate struct {
	words language.Text
	ask   func(ctx context.Context, caller identity.Caller, proof Proof) error
}

func (s *Service) stepUp() gate {
	return gate{language.Text{En: "Needs a step-up.", Ar: "يلزم إثبات الهوية من جديد."}, s.StepUp}
}
func (s *Service) fresh() gate {
	return gate{language.Text{En: "Needs a sign-in or a step-up of a moment ago.", Ar: "يلزم تسجيل دخول أو إثبات هوية قبل لحظات."}, s.Fresh}
}

// tried tells whether there is something in the proof that can be guessed: a passkey can't.
func (b *ProofBody) tried() bool { return b != nil && (b.Password != "" || b.OTP != "") }

// signIn is the route that signs in with a password. Wrong passwords and codes that
// somebody who is signed in sends elsewhere count against the account as its do.
const signIn = "POST /auth/login"

// wrongSecrets are the guesses of a route whose inputs all have a secret to be guessed.
var wrongSecrets = httpapi.Guesses{As: signIn, Wrong: ErrWrongPassword}

// gatedInput is an input with a proof in it, which may be nil.
type gatedInput[I any] interface {
	*I
	proof() *ProofBody
}

// registerGated registers a route for people that the gate lets through.
func registerGated[I, O any, P gatedInput[I]](group httpapi.Group, g gate, route httpapi.Route, handler func(context.Context, identity.Caller, *I) (*O, error)) {
	route.Access, route.Description, route.Guesses = httpapi.Persons, route.Description.Then(g.words), wrongSecrets
	route.Problems = append(slices.Clip(route.Problems), ErrStepUp, ErrWrongPassword, ErrSecondFactor, errUnreadableFactor, errCeremony, errNoPasskeys, ErrUnknownUser, errBusy)
	route.Guesses.Tried = func(in any) bool { return P(in.(*I)).proof().tried() }
	httpapi.Register(group, route, func(ctx context.Context, in *I) (*O, error) {
		caller := identity.From(ctx)
		if err := g.ask(ctx, caller, P(in).proof().proof()); err != nil {
			return nil, err
		}
		return handler(ctx, caller, in)
	})
}

// Inputs.
type (
	profileInputBody struct {
		FullName *string       `json:"full_name,omitempty" maxLength:"200"`
		Language *language.Tag `json:"language,omitempty" enum:"en,ar" doc:"The language of mails." ar:"لغة الرسائل."`
	}
	emailInput struct {
		Body struct {
			Email string `json:"email" maxLength:"254" doc:"At most 254 bytes of UTF-8." ar:"254 بايت على الأكثر بترميز UTF-8." example:"amal@example.com"`
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

func (in *emailInput) proof() *ProofBody   { return &in.Body.ProofBody }
func (in *proofInput) proof() *ProofBody   { return in.Body }
func (in *idProofInput) proof() *ProofBody { return in.Body }

func (s *Service) accountRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{Scope: identity.Read, Pattern: "GET /auth/me", ID: "get-me", Problems: []error{ErrUnknownUser}, Summary: language.Text{En: "See your account", Ar: "اعرض حسابك"}},
		func(ctx context.Context, _ *httpapi.Nothing) (*userOutput, error) {
			return userAnswer(s.Get(ctx, identity.From(ctx).UserID))
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Write, Pattern: "PATCH /auth/me", ID: "update-me", Problems: []error{ErrUnknownUser}, Summary: language.Text{En: "Change your name or language", Ar: "غيّر اسمك أو لغتك"}},
		func(ctx context.Context, in *httpapi.Input[profileInputBody]) (*userOutput, error) {
			return userAnswer(s.SetProfile(ctx, identity.From(ctx).UserID, Profile{in.Body.FullName, in.Body.Language}))
		})
	registerGated(group, s.stepUp(), httpapi.Route{
		Pattern: "DELETE /auth/me", ID: "erase-me", Problems: []error{ErrLastOperator}, Summary: language.Text{En: "Erase your account", Ar: "امحُ حسابك"},
		Description: language.Text{En: "Everything that is kept of you goes, at once and for good.", Ar: "يزول كلّ ما يُحفظ عنك فورًا ونهائيًّا."},
	},
		func(ctx context.Context, caller identity.Caller, _ *proofInput) (*httpapi.Nothing, error) {
			return nil, s.Erase(ctx, caller.UserID)
		})
	httpapi.Stream(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "GET /auth/me/export", ID: "export-me", Problems: []error{ErrUnknownUser}, Summary: language.Text{En: "Get a copy of everything kept of you", Ar: "احصل على نسخة من كلّ ما يُحفظ عنك"},
		Answers: map[string]httpapi.Answer{"200": {Description: "A zip archive of JSON files", Types: map[string]reflect.Type{"application/zip": nil}}},
	}, s.export)
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Guesses: wrongSecrets, Pattern: "POST /auth/password", ID: "change-password", Problems: []error{ErrWrongPassword, ErrStepUp, ErrSecondFactor, errUnreadableFactor, errCeremony, errNoPasskeys, ErrWeakPassword, ErrCommonPassword, ErrUnknownUser, errBusy}, Summary: language.Text{En: "Change your password and end your other logins", Ar: "غيّر كلمة مرورك وأنهِ عمليات دخولك الأخرى"}},
		func(ctx context.Context, in *httpapi.Input[passwordInputBody]) (*httpapi.Nothing, error) {
			caller := identity.From(ctx)
			proof := Proof{in.Body.CurrentPassword, in.Body.OTP, in.Body.Passkey.answer()}
			return nil, s.ChangePassword(ctx, caller.UserID, caller.LoginID, proof, in.Body.NewPassword)
		})
	registerGated(group, s.stepUp(), httpapi.Route{
		Pattern: "POST /auth/email", ID: "change-email", Problems: []error{ErrInvalidEmail, ErrNoMail}, Status: http.StatusAccepted, Summary: language.Text{En: "Change or confirm your e-mail address", Ar: "غيّر عنوان بريدك الإلكتروني أو أكّده"},
		Description: language.Text{En: "A link is mailed to the address; it becomes yours when the link is opened.", Ar: "يُرسل رابط إلى العنوان، ويصبح عنوانك حين يُفتح الرابط."},
	},
		func(ctx context.Context, caller identity.Caller, in *emailInput) (*acceptedOutput, error) {
			return accepted(ctx, linkMailed, s.ChangeEmail(ctx, caller.UserID, in.Body.Email))
		})
	registerGated(group, gate{ask: s.StepUp}, httpapi.Route{Pattern: "POST /auth/step-up", ID: "step-up", Summary: language.Text{En: "Prove again that it is you, for the next five minutes", Ar: "أثبت من جديد أنّك صاحب الحساب، للدقائق الخمس التالية"}},
		func(context.Context, identity.Caller, *proofInput) (*httpapi.Nothing, error) { return nil, nil })
	s.deviceRoutes(group)
}

func (s *Service) deviceRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Pattern: "GET /auth/devices", ID: "list-devices", Problems: []error{ErrUnknownUser}, Summary: language.Text{En: "See where you are signed in", Ar: "اعرض الأجهزة التي سجّلت الدخول منها"},
		Description: language.Text{En: "Latest first. A page may have fewer logins than its limit, as those that have ended are left out.", Ar: "الأحدث أوّلًا. قد تكون في الصفحة عمليات دخول أقلّ من حدّها، لأنّ ما انتهى منها لا يُذكر."},
	},
		func(ctx context.Context, in *httpapi.Page) (*httpapi.ListOutput[deviceBody], error) {
			caller := identity.From(ctx)
			found, next, err := s.devices(ctx, caller.UserID, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, func(l login) deviceBody { return newDeviceBody(l, caller.LoginID) })
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "PATCH /auth/devices/{id}", ID: "name-device", Problems: []error{errUnknownDevice, ErrUnknownUser}, Summary: language.Text{En: "Give a login a name", Ar: "سمِّ عملية دخول"}},
		func(ctx context.Context, in *deviceInput) (*httpapi.Output[deviceBody], error) {
			caller := identity.From(ctx)
			l, err := s.nameDevice(ctx, caller.UserID, in.ID, in.Body.Name)
			return httpapi.OutputOf(newDeviceBody(l, caller.LoginID), err)
		})
	registerGated(group, s.fresh(), httpapi.Route{Pattern: "DELETE /auth/devices/{id}", ID: "revoke-device", Problems: []error{errUnknownDevice}, Summary: language.Text{En: "End a login", Ar: "أنهِ عملية دخول"}},
		func(ctx context.Context, caller identity.Caller, in *idProofInput) (*httpapi.Nothing, error) {
			return nil, s.revokeDevice(ctx, caller.UserID, in.ID)
		})
}

// export streams the archive. What goes wrong on the way breaks the connection
// off, so that half an archive isn't taken for a whole one.
func (s *Service) export(ctx context.Context, _ *httpapi.Nothing) (http.HandlerFunc, error) {
	user, err := s.Get(ctx, identity.From(ctx).UserID)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/zip")
		w.Header().Set("Content-Disposition", `attachment; filename="manus-export.zip"`)
		if err := s.Export(ctx, user.ID, w); err != nil {
			s.c.Log.ErrorContext(ctx, "an export was broken off", "request_id", httpapi.RequestID(ctx), "error", err)
			panic(http.ErrAbortHandler)
		}
	}, nil
}

// jsonText is an object that was read from JSON as text again.
func jsonText(object map[string]any) string {
	text, _ := json.Marshal(object) // never fails
	return string(text)
}

// timeText is a time, or empty where there is none.
func timeText(t docstore.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.String()
}
