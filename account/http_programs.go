package account

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"manus/httpapi"
	"manus/identity"
	"manus/language"
)

// keyBody is an API key as its owner sees it.
type keyBody struct {
	ID         string           `json:"id" doc:"Opaque." ar:"مُعتِم."`
	Name       string           `json:"name"`
	Scopes     []identity.Scope `json:"scopes"`
	CreatedAt  string           `json:"created_at" format:"date-time"`
	ExpiresAt  string           `json:"expires_at" doc:"Empty if it doesn't." ar:"فارغ إن لم يكن كذلك."`
	LastUsedAt string           `json:"last_used_at" doc:"To about a minute; empty if it never was." ar:"بدقّة دقيقة تقريبًا؛ فارغ إن لم يكن ذلك قطّ."`
}

func newKeyBody(k apiKey) keyBody {
	return keyBody{ID: k.ID, Name: k.Name, Scopes: k.Scopes, CreatedAt: k.CreatedAt.String(), ExpiresAt: timeText(k.ExpiresAt), LastUsedAt: timeText(k.UsedAt)}
}

type (
	newKeyInput struct {
		Body struct {
			Name      string           `json:"name" minLength:"1" maxLength:"100" example:"CI" doc:"What it is for." ar:"ما الغرض منه."`
			Scopes    []identity.Scope `json:"scopes" minItems:"1" maxItems:"5" uniqueItems:"true" enum:"read,write,worker,operator,probe" doc:"What it may do: read and change what is yours; for operators alone, work at all sessions as a part of the product, do what operators do, or of that only hand in what 'manus watch' finds elsewhere." ar:"ما يجوز له: read وwrite لقراءة ما لك وتغييره؛ وللمشغّلين وحدهم worker للعمل في كلّ الجلسات جزءًا من المنتج، وoperate لما يفعله المشغّلون، وprobe لتسليم ما يجده 'manus watch' في مكان آخر لا غير."`
			ExpiresAt *time.Time       `json:"expires_at,omitempty" doc:"When it ends; never if it is left out." ar:"متى ينتهي؛ وإن لم يُذكر فلا ينتهي."`
			ProofBody
		}
	}
	newKeyOutputBody struct {
		keyBody
		Key string `json:"key" doc:"Send it as 'Authorization: Bearer mk_…'. It is shown only now." ar:"أرسله هكذا: 'Authorization: Bearer mk_…'. ولا يُعرض إلّا الآن."`
	}
)

func (in *newKeyInput) proof() *ProofBody { return &in.Body.ProofBody }

func (s *Service) keyRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "GET /auth/api-keys", ID: "list-api-keys", Problems: []error{ErrUnknownUser}, Summary: language.Text{En: "See your API keys", Ar: "اعرض مفاتيحك البرمجية"}},
		func(ctx context.Context, in *httpapi.Page) (*httpapi.ListOutput[keyBody], error) {
			found, next, err := s.keysOf(ctx, identity.From(ctx).UserID, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, newKeyBody)
		})
	registerGated(group, s.fresh(), httpapi.Route{Pattern: "POST /auth/api-keys", ID: "make-api-key", Problems: []error{errInvalidScope, errInvalidTime, errTooManyKeys}, Status: http.StatusCreated, Summary: language.Text{En: "Make an API key", Ar: "أنشئ مفتاحًا برمجيًّا"}},
		func(ctx context.Context, caller identity.Caller, in *newKeyInput) (*httpapi.Output[newKeyOutputBody], error) {
			expires := cmp.Or(in.Body.ExpiresAt, &time.Time{})
			key, shown, err := s.makeKey(ctx, caller.UserID, in.Body.Name, in.Body.Scopes, *expires)
			return httpapi.OutputOf(newKeyOutputBody{newKeyBody(key), shown}, err)
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "DELETE /auth/api-keys/{id}", ID: "revoke-api-key", Problems: []error{errUnknownKey, ErrUnknownUser}, Summary: language.Text{En: "Revoke an API key", Ar: "ألغِ مفتاحًا برمجيًّا"}},
		func(ctx context.Context, in *idInput) (*httpapi.Nothing, error) {
			return nil, s.revokeKey(ctx, identity.From(ctx).UserID, in.ID)
		})
}

// providerBody is a provider as people see it.
type providerBody struct {
	ID   string `json:"id" example:"google"`
	Name string `json:"name" example:"Google"`
}

// identityBody is an account at a provider, as its owner sees it.
type identityBody struct {
	ID        string `json:"id" doc:"Opaque." ar:"مُعتِم."`
	Provider  string `json:"provider"`
	Issuer    string `json:"issuer"`
	Subject   string `json:"subject" doc:"Who you are at the provider." ar:"من أنت عند المزوّد."`
	CreatedAt string `json:"created_at" format:"date-time"`
}

func newIdentityBody(i externalIdentity) identityBody {
	return identityBody{ID: i.ID, Provider: i.Provider, Issuer: i.Issuer, Subject: i.Subject, CreatedAt: i.CreatedAt.String()}
}

// RedirectBody is where a provider is to send people back to, as requests carry it; it may
// be left out. It is exported as [ProofBody] is.
type RedirectBody struct {
	RedirectURL string `json:"redirect_url,omitempty" maxLength:"500" doc:"Where you are sent back to: one of those that the operator allows, the first if it is left out." ar:"إلى أين تُعاد: واحد مما يسمح به المشغّل، والأوّل إن لم يُذكر."`
}

type (
	beginProviderInput struct {
		ID   string `path:"id" maxLength:"32"`
		Body *RedirectBody
	}
	linkProviderInput struct {
		ID   string `path:"id" maxLength:"32"`
		Body *linkProviderInputBody
	}
	linkProviderInputBody struct {
		RedirectBody
		ProofBody
	}
	beginProviderOutputBody struct {
		URL    string `json:"url" doc:"Open it in the browser." ar:"افتحه في المتصفّح."`
		Ticket string `json:"ticket" doc:"Keep it, and finish with it within ten minutes." ar:"احتفظ به وأكمل به خلال عشر دقائق."`
	}
	beginProviderOutput     = httpapi.Output[beginProviderOutputBody]
	finishProviderInputBody struct {
		Ticket  string        `json:"ticket" maxLength:"100"`
		Code    string        `json:"code" maxLength:"4096" doc:"Of the address you were sent back to." ar:"من العنوان الذي أُعدت إليه."`
		State   string        `json:"state" maxLength:"200" doc:"Of the address you were sent back to." ar:"من العنوان الذي أُعدت إليه."`
		OTP     string        `json:"otp,omitempty" maxLength:"64" doc:"For accounts with a second factor, after 'second-factor-required'." ar:"للحسابات ذات العامل الثاني، بعد 'second-factor-required'."`
		Passkey *passkeyInput `json:"passkey,omitempty" doc:"A passkey in place of 'otp'." ar:"مفتاح مرور بدل 'otp'."`
	}
)

func (in *linkProviderInput) body() *linkProviderInputBody {
	return cmp.Or(in.Body, &linkProviderInputBody{})
}

func (in *linkProviderInput) proof() *ProofBody { return &in.body().ProofBody }

func (s *Service) providerRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "GET /auth/providers", ID: "list-providers", Summary: language.Text{En: "See which providers you can sign in with", Ar: "اعرض المزوّدين الذين يمكنك تسجيل الدخول عبرهم"}},
		func(context.Context, *httpapi.Nothing) (*httpapi.ListOutput[providerBody], error) {
			return httpapi.ListOf(s.oidc.Load().list, "", nil, func(p Provider) providerBody { return providerBody{p.ID, p.Name} })
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "POST /auth/providers/{id}", ID: "begin-provider", Problems: []error{errUnknownProvider, errRedirect, errProviderDown}, Summary: language.Text{En: "Begin to sign in with a provider", Ar: "ابدأ تسجيل الدخول عبر مزوّد"}},
		func(ctx context.Context, in *beginProviderInput) (*beginProviderOutput, error) {
			return s.beginProvider(ctx, in.ID, in.Body, identity.Caller{})
		})
	registerGated(group, s.fresh(), httpapi.Route{Pattern: "POST /auth/providers/{id}/link", ID: "link-provider", Problems: []error{errUnknownProvider, errRedirect, errProviderDown}, Summary: language.Text{En: "Begin to link a provider to your account", Ar: "ابدأ ربط مزوّد بحسابك"}},
		func(ctx context.Context, caller identity.Caller, in *linkProviderInput) (*beginProviderOutput, error) {
			return s.beginProvider(ctx, in.ID, &in.body().RedirectBody, caller)
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/providers/finish", ID: "finish-provider", Problems: []error{ErrBadCredentials, ErrSecondFactor, errWrongFactor, errUnreadableFactor, errCeremony, errNoPasskeys, errUnknownProvider, errProvider, errProviderDown, errUnverifiedEmail, errLinkFirst, errLinked, errTooManyLinked, errBeingFinished, errFinished, ErrClosed, ErrInvitedOnly, ErrWrongDomain, ErrTaken, ErrUnknownUser, errBusy}, Summary: language.Text{En: "Finish to sign in with a provider", Ar: "أكمل تسجيل الدخول عبر مزوّد"},
		Description: language.Text{En: "After 'second-factor-required', send the same again with 'otp' or 'passkey'. Sent again by a page that was loaded again, it answers the same login's tokens, until they have been refreshed.", Ar: "بعد second-factor-required أرسل الطلب نفسه ومعه otp أو passkey. وإن أعادت إرساله صفحة أُعيد تحميلها أجاب برموز عملية الدخول نفسها ما لم تُجدَّد."},
	},
		func(ctx context.Context, in *signInInput[finishProviderInputBody]) (*tokensOutput, error) {
			return s.tokensAnswer(ctx, in.TokensInput, func() (Tokens, error) {
				return s.FinishProvider(ctx, ProviderAnswer{in.Body.Ticket, in.Body.Code, in.Body.State, in.Body.OTP, in.Body.Passkey.answer()})
			})
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "GET /auth/identities", ID: "list-identities", Problems: []error{ErrUnknownUser}, Summary: language.Text{En: "See which providers are linked to your account", Ar: "اعرض المزوّدين المرتبطين بحسابك"}},
		func(ctx context.Context, _ *httpapi.Nothing) (*httpapi.ListOutput[identityBody], error) {
			found, err := s.identitiesOf(ctx, identity.From(ctx).UserID)
			return httpapi.ListOf(found, "", err, newIdentityBody)
		})
	registerGated(group, s.stepUp(), httpapi.Route{Pattern: "DELETE /auth/identities/{id}", ID: "unlink-identity", Problems: []error{errUnknownProvider, errLastWayIn}, Summary: language.Text{En: "Unlink a provider from your account", Ar: "افصل مزوّدًا عن حسابك"}},
		func(ctx context.Context, caller identity.Caller, in *idProofInput) (*httpapi.Nothing, error) {
			return nil, s.unlink(ctx, caller.UserID, in.ID)
		})
}

func (s *Service) beginProvider(ctx context.Context, id string, back *RedirectBody, linkTo identity.Caller) (*beginProviderOutput, error) {
	url, ticket, err := s.BeginProvider(ctx, id, cmp.Or(back, &RedirectBody{}).RedirectURL, linkTo)
	return httpapi.OutputOf(beginProviderOutputBody{url, ticket}, err)
}
