package account

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"manus/httpapi"
	"manus/identity"
	"manus/language"
	"manus/ratelimit"
)

var invalidToken = language.Text{En: "The token isn't valid, or not any more. Sign in again.", Ar: "الرمز غير صالح أو انتهت صلاحيته. سجّل الدخول مرّة أخرى."}

// Kinds maps the room's errors to what a client is answered, by routes and pages.
var Kinds = httpapi.Kinds{
	{Err: ErrBadCredentials, Status: http.StatusUnauthorized, Name: "bad-credentials", Detail: language.Text{En: "The e-mail address or the password is wrong. Check both and try again.", Ar: "عنوان البريد الإلكتروني أو كلمة المرور خطأ. تحقّق منهما وحاول مرّة أخرى."}},
	{Err: errBadPasskey, Status: http.StatusUnauthorized, Name: "bad-passkey", Detail: language.Text{En: "This passkey isn't taken: it may have been removed here, or this took too long. Begin again, or sign in another way.", Ar: "لم يُقبل مفتاح المرور هذا: ربما أُزيل من هنا أو طال الوقت. ابدأ من جديد، أو سجّل الدخول بطريقة أخرى."}},
	{Err: errUnreadableFactor, Status: http.StatusConflict, Name: "authenticator-unreadable", Detail: language.Text{En: "Your authenticator app can't be checked here any more. Send a recovery code as 'otp', then remove the app and add it again; or ask the operator.", Ar: "لم يعد التحقق من تطبيق المصادقة ممكنًا هنا. أرسل رمز استرداد في otp، ثم أزل التطبيق وأضفه من جديد، أو اسأل المشغّل."}},
	{Err: ErrSecondFactor, Status: http.StatusUnauthorized, Name: "second-factor-required", Detail: language.Text{En: "This account needs its second factor too. Send the same again with a code of your authenticator app or a recovery code as 'otp', or with a passkey.", Ar: "يحتاج هذا الحساب إلى عامله الثاني أيضًا. أرسل الطلب نفسه مرّة أخرى ومعه رمز من تطبيق المصادقة أو رمز استرداد في otp، أو مع مفتاح مرور."}},
	{Err: ErrInvalidToken, Status: http.StatusUnauthorized, Name: "invalid-token", Detail: invalidToken},
	{Err: ErrUnknownUser, Status: http.StatusUnauthorized, Name: "invalid-token", Detail: invalidToken},
	{Err: ErrStepUp, Status: http.StatusForbidden, Name: "step-up-required", Detail: language.Text{En: "Prove again that it is you: send 'password', and 'otp' if you have a second factor, with this request, or POST /auth/step-up first.", Ar: "أثبت مرّة أخرى أنّك صاحب الحساب: أرسل مع هذا الطلب password، ومعها otp إن كان لك عامل ثانٍ، أو ابدأ بـ POST /auth/step-up."}},
	{Err: ErrWrongPassword, Status: http.StatusForbidden, Name: "wrong-password", Detail: language.Text{En: "The password or the code is wrong. Nothing was changed.", Ar: "كلمة المرور أو الرمز خطأ. لم يتغيّر شيء."}},
	{Err: ErrTaken, Status: http.StatusConflict, Name: "email-taken", Detail: language.Text{En: "This e-mail address has an account already. Sign in instead.", Ar: "لهذا العنوان حساب بالفعل. سجّل الدخول به."}},
	{Err: ErrClosed, Status: http.StatusForbidden, Name: "registration-closed", Detail: language.Text{En: "Nobody can register here. Ask the operator of this service for an account.", Ar: "التسجيل هنا مغلق. اطلب حسابًا من مشغّل هذه الخدمة."}},
	{Err: ErrInvitedOnly, Status: http.StatusForbidden, Name: "invitation-required", Detail: language.Text{En: "Accounts are made by invitation here. Ask whoever runs this service for one; it comes by mail.", Ar: "تُنشأ الحسابات هنا بدعوة. اطلب دعوة ممّن يدير هذه الخدمة، وتصلك بالبريد."}},
	{Err: ErrWrongDomain, Status: http.StatusForbidden, Name: "email-domain-not-allowed", Detail: language.Text{En: "Accounts are for e-mail addresses of certain domains, and yours isn't one of them. Use the address of your organization.", Ar: "الحسابات هنا لعناوين بريد من نطاقات معيّنة، وليس نطاق عنوانك منها. استعمل عنوانك لدى مؤسّستك."}},
	{Err: ErrInvalidEmail, Status: http.StatusUnprocessableEntity, Name: "invalid-email", Detail: language.Text{En: "This is not an e-mail address. Send one like 'name@example.com', without a display name.", Ar: "هذا ليس عنوان بريد إلكتروني. استعمل عنوانًا مثل name@example.com دون اسم معه."}},
	{Err: ErrWeakPassword, Status: http.StatusUnprocessableEntity, Name: "weak-password", Detail: language.Text{En: "Use a password of 8 to 256 characters. Any characters will do; longer is better.", Ar: "استعمل كلمة مرور من 8 إلى 256 حرفًا من أيّ نوع؛ والأطول أفضل."}},
	{Err: ErrCommonPassword, Status: http.StatusUnprocessableEntity, Name: "common-password", Detail: language.Text{En: "This password is among the first that are guessed. Use another one; a few unrelated words are good.", Ar: "كلمة المرور هذه من أوّل ما يُخمَّن. استعمل غيرها؛ بضع كلمات لا صلة بينها خيار جيّد."}},
	{Err: ErrInvalidLink, Status: http.StatusUnprocessableEntity, Name: "invalid-link", Detail: language.Text{En: "The link isn't valid, or not any more: it works once, and for a short time. Ask for a new one.", Ar: "هذا الرابط غير صالح أو انتهت صلاحيته: يعمل مرّة واحدة ولمدّة قصيرة. اطلب رابطًا جديدًا."}},
	{Err: ErrNoMail, Status: http.StatusNotImplemented, Name: "no-mail", Detail: language.Text{En: "This installation sends no mails. Ask its operator for help.", Ar: "هذه الخدمة لا ترسل بريدًا. اطلب المساعدة من مشغّلها."}},
	{Err: errBusy, Status: http.StatusServiceUnavailable, Name: "busy", Detail: language.Text{En: "Too many people are signing in at this moment. Try again in a few seconds.", Ar: "يسجّل الدخول في هذه اللحظة عدد كبير من الناس. حاول مرّة أخرى بعد ثوانٍ."}},
	{Err: ErrLastOperator, Status: http.StatusConflict, Name: "last-operator", Detail: language.Text{En: "You are the last operator of this installation. Make somebody else one first.", Ar: "أنت آخر مشغّل لهذه الخدمة. عيّن مشغّلًا آخر أوّلًا."}},
	{Err: errUnknownDevice, Status: http.StatusNotFound, Name: "no-such-device", Detail: language.Text{En: "You have no login with this id.", Ar: "ليست لك عملية دخول بهذا المعرّف."}},
	{Err: errFactorExists, Status: http.StatusConflict, Name: "factor-exists", Detail: language.Text{En: "You have an authenticator app already. Remove it first.", Ar: "لديك تطبيق مصادقة بالفعل. أزله أوّلًا."}},
	{Err: errNoFactor, Status: http.StatusNotFound, Name: "no-such-factor", Detail: language.Text{En: "You have no such second factor.", Ar: "ليس لديك عامل ثانٍ كهذا."}},
	{Err: errTooManyPasskeys, Status: http.StatusConflict, Name: "too-many-passkeys", Detail: language.Text{En: "You have as many passkeys as one can have. Remove one first.", Ar: "لديك أكبر عدد ممكن من مفاتيح المرور. أزل أحدها أوّلًا."}},
	{Err: errNoPasskeys, Status: http.StatusNotImplemented, Name: "no-passkeys", Detail: language.Text{En: "This installation has no passkeys: its operator has to set PUBLIC_URL to a domain name.", Ar: "لا تقبل هذه الخدمة مفاتيح المرور: على مشغّلها أن يضبط في PUBLIC_URL اسم نطاق."}},
	{Err: errCeremony, Status: http.StatusUnprocessableEntity, Name: "ceremony-failed", Detail: language.Text{En: "This was begun too long ago, finished already, or went wrong on the way. Begin again.", Ar: "مضى وقت طويل على بدء هذه العملية، أو انتهت بالفعل، أو حدث فيها خطأ. ابدأ من جديد."}},
	{Err: errUnknownKey, Status: http.StatusNotFound, Name: "no-such-key", Detail: language.Text{En: "You have no API key with this id.", Ar: "ليس لديك مفتاح برمجي بهذا المعرّف."}},
	{Err: errTooManyKeys, Status: http.StatusConflict, Name: "too-many-keys", Detail: language.Text{En: "You have as many API keys as one can have. Revoke one first.", Ar: "لديك أكبر عدد ممكن من المفاتيح البرمجية. ألغِ أحدها أوّلًا."}},
	{Err: errInvalidScope, Status: http.StatusForbidden, Name: "invalid-scope", Detail: language.Text{En: "Use the scopes read and write; the scopes 'worker', 'operator' and 'probe' are for operators.", Ar: "استعمل من الصلاحيات read وwrite؛ أمّا worker وoperator وprobe فللمشغّلين."}},
	{Err: errInvalidTime, Status: http.StatusUnprocessableEntity, Name: "invalid-time", Detail: language.Text{En: "Use a time that is still to come.", Ar: "استعمل وقتًا لم يحِن بعد."}},
	{Err: errUnknownProvider, Status: http.StatusNotFound, Name: "no-such-provider", Detail: language.Text{En: "There is no such provider. GET /auth/providers lists them.", Ar: "لا يوجد مزوّد كهذا. تجد قائمة المزوّدين في GET /auth/providers."}},
	{Err: errRedirect, Status: http.StatusUnprocessableEntity, Name: "redirect-not-allowed", Detail: language.Text{En: "People may not be sent back to this address. The operator lists those that are allowed as redirect_urls.", Ar: "لا يُسمح بإعادة الناس إلى هذا العنوان. يحدّد المشغّل العناوين المسموح بها في redirect_urls."}},
	{Err: errProviderDown, Status: http.StatusServiceUnavailable, Name: "provider-unavailable", Detail: language.Text{En: "The provider can't be reached just now. Try again shortly, or sign in another way.", Ar: "تعذّر الوصول إلى المزوّد الآن. حاول مرّة أخرى بعد قليل، أو سجّل الدخول بطريقة أخرى."}},
	{Err: errProvider, Status: http.StatusUnauthorized, Name: "provider-refused", Detail: language.Text{En: "The provider did not say who you are. Begin again.", Ar: "لم يؤكّد المزوّد هويّتك. ابدأ من جديد."}},
	{Err: errUnverifiedEmail, Status: http.StatusForbidden, Name: "unverified-email", Detail: language.Text{En: "The provider has not verified your e-mail address. Verify it there, or register here.", Ar: "لم يتحقّق المزوّد من بريدك الإلكتروني. أكِّده لديه، أو أنشئ حسابًا هنا."}},
	{Err: errLinkFirst, Status: http.StatusConflict, Name: "link-first", Detail: language.Text{En: "Your e-mail address has an account here. Sign in to it as before, and link the provider there.", Ar: "لبريدك الإلكتروني حساب هنا. سجّل الدخول إليه كالمعتاد واربط المزوّد به."}},
	{Err: errLinked, Status: http.StatusConflict, Name: "linked-elsewhere", Detail: language.Text{En: "The provider's account is linked to another account here.", Ar: "حساب المزوّد مرتبط بحساب آخر هنا."}},
	{Err: errTooManyLinked, Status: http.StatusConflict, Name: "too-many-identities", Detail: language.Text{En: "You have linked as many provider accounts as one can have. Unlink one first.", Ar: "ربطتَ أكبر عدد ممكن من حسابات المزوّدين. ألغِ ربط أحدها أوّلًا."}},
	{Err: errBeingFinished, Status: http.StatusConflict, Name: "being-finished", Detail: language.Text{En: "An earlier request is finishing this sign-in. Send it again in a second.", Ar: "طلب سابق يُنهي عملية الدخول هذه. أعد الإرسال بعد ثانية."}, RetryAfter: time.Second},
	{Err: errFinished, Status: http.StatusConflict, Name: "already-finished", Detail: language.Text{En: "This sign-in was finished before, and its tokens are in use. Go on with them, or begin again.", Ar: "اكتملت عملية الدخول هذه من قبل ورموزها مستعملة. تابع بها، أو ابدأ من جديد."}},
	{Err: errLastWayIn, Status: http.StatusConflict, Name: "last-way-in", Detail: language.Text{En: "This is the only way into your account. Set a password or add a passkey first.", Ar: "هذه هي الطريقة الوحيدة للدخول إلى حسابك. عيِّن كلمة مرور أو أضف مفتاح مرور أوّلًا."}},
}

// providerKinds say of signing in with a provider, where no password is, what Kinds say of
// passwords.
var providerKinds = httpapi.Kinds{
	{Err: ErrBadCredentials, Status: http.StatusUnauthorized, Name: "bad-credentials", Detail: language.Text{En: "The provider knows you, but your account here is disabled. Ask the operator.", Ar: "تعرّف عليك المزوّد، لكنّ حسابك هنا معطّل. اسأل المشغّل."}},
	{Err: errWrongFactor, Status: http.StatusForbidden, Name: "wrong-password", Detail: language.Text{En: "The code or the passkey is wrong. Send the same again with a right one.", Ar: "الرمز أو مفتاح المرور خطأ. أرسل الطلب نفسه مرّة أخرى مع الصحيح."}},
}

// Caller finds out who sends a request, by its bearer token, an access token or
// an API key, or by the cookie of a page (see cookies.go). It is an [httpapi.FindCaller]: a request with an invalid token is
// anonymous.
func (s *Service) Caller(r *http.Request) (identity.Caller, error) {
	token, err := s.proof(r)
	if err != nil || token == "" {
		return identity.Caller{}, err
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

// formerCaller is Caller for signing out: the access token may have expired, and its login
// have ended.
func (s *Service) formerCaller(r *http.Request) (identity.Caller, error) {
	token, err := s.proof(r)
	if err != nil {
		return identity.Caller{}, err
	}
	if read, err := s.keys.verifyOnce(token); err == nil {
		return identity.Caller{UserID: read.userID, LoginID: read.loginID}, nil
	}
	return s.Caller(r)
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
	AccessToken  string   `json:"access_token" doc:"Send it as 'Authorization: Bearer …'. Empty where it is a cookie." ar:"أرسله هكذا: 'Authorization: Bearer …'. فارغ حيث هو في ملفّ تعريف ارتباط (cookie)."`
	RefreshToken string   `json:"refresh_token" doc:"Gives new tokens, once. Empty where it is a cookie." ar:"يعطي رموزًا جديدة مرّة واحدة. فارغ حيث هو في ملفّ تعريف ارتباط (cookie)."`
	TokenType    string   `json:"token_type" enum:"Bearer,Cookie"`
	ExpiresIn    int      `json:"expires_in" doc:"Seconds until the access token expires." ar:"كم ثانية حتى ينتهي رمز الوصول." example:"900"`
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

// acceptedBody is the answer to a request that continues by mail.
type acceptedBody struct {
	Status string `json:"status" enum:"accepted"`
	Detail string `json:"detail"`
}

type acceptedOutput struct {
	ContentLanguage language.Tag `header:"Content-Language"`
	Body            acceptedBody
}

// What goes on by mail, in words.
var (
	linkMailed = language.Text{En: "A mail is on its way to the address; open the link in it.", Ar: "رسالة في طريقها إلى العنوان؛ افتح الرابط الذي فيها."}
	// invitationMailed is what the operator is told who has invited somebody.
	invitationMailed = language.Text{En: "The invitation is on its way.", Ar: "الدعوة في طريقها."}
	// ResetMailed is all that anybody is told who has forgotten a password.
	ResetMailed = language.Text{En: "If the address has an account, a mail with a link is on its way.", Ar: "إن كان للعنوان حساب فرسالة فيها رابط في طريقها إليه."}
)

func accepted(ctx context.Context, detail language.Text, err error) (*acceptedOutput, error) {
	tag := language.From(ctx)
	return &acceptedOutput{tag, acceptedBody{Status: "accepted", Detail: detail.In(tag)}}, err
}

// registerOutput is tokens, or what goes on by mail.
type registerOutput struct {
	Status          int
	SetCookie       []string     `header:"Set-Cookie" hidden:"true"`
	ContentLanguage language.Tag `header:"Content-Language" hidden:"true"` // of the latter
	Body            any
}

// passkeyInput is a browser's answer to a passkey's options.
type passkeyInput struct {
	CeremonyID string         `json:"ceremony_id" maxLength:"64" doc:"Of POST /auth/passkeys/options." ar:"من POST /auth/passkeys/options."`
	Credential map[string]any `json:"credential" doc:"The browser's PublicKeyCredential, as its toJSON() gives it." ar:"كائن PublicKeyCredential من المتصفّح كما يعطيه toJSON()."`
}

// answer is the input as the rules take it; nil for none.
func (in *passkeyInput) answer() *PasskeyAnswer {
	if in == nil {
		return nil
	}
	return &PasskeyAnswer{in.CeremonyID, jsonText(in.Credential)}
}

// Inputs.
type (
	registerInput struct {
		TokensInput
		AcceptLanguage string `header:"Accept-Language" doc:"The language of the answer, and of mails unless 'language' says it." ar:"لغة الجواب، ولغة الرسائل ما لم تذكرها 'language'."`
		Body           struct {
			Email    string       `json:"email" maxLength:"254" doc:"At most 254 bytes of UTF-8." ar:"254 بايت على الأكثر بترميز UTF-8." example:"amal@example.com"`
			Password string       `json:"password" maxLength:"256" doc:"At least 8 characters, of any kind; not a common one." ar:"8 محارف على الأقلّ من أيّ نوع؛ لا كلمة مرور شائعة." example:"correct horse battery staple"`
			FullName string       `json:"full_name,omitempty" maxLength:"200" example:"Amal Haddad"`
			Language language.Tag `json:"language,omitempty" enum:"en,ar" doc:"The language of mails." ar:"لغة الرسائل."`
		}
	}
	loginInput struct {
		TokensInput
		Body struct {
			Email    string        `json:"email" maxLength:"254" example:"amal@example.com"`
			Password string        `json:"password" maxLength:"256" example:"correct horse battery staple"`
			OTP      string        `json:"otp,omitempty" maxLength:"64" doc:"A code of the authenticator app, or a recovery code, for accounts with a second factor." ar:"رمز من تطبيق المصادقة أو رمز استرداد، للحسابات ذات العامل الثاني."`
			Passkey  *passkeyInput `json:"passkey,omitempty" doc:"A passkey in place of 'otp'." ar:"مفتاح مرور بدل 'otp'."`
		}
	}
	refreshInput struct {
		TokensInput
		SecureCookie string `cookie:"__Host-manus-refresh" hidden:"true"`
		Cookie       string `cookie:"manus-refresh" hidden:"true"`
		Body         struct {
			RefreshToken string `json:"refresh_token,omitempty" maxLength:"200" doc:"Left out where it is a cookie." ar:"يُترك حيث هو في ملفّ تعريف ارتباط (cookie)."`
		}
	}
	passwordInputBody struct {
		CurrentPassword string        `json:"current_password" maxLength:"256"`
		NewPassword     string        `json:"new_password" maxLength:"256" doc:"At least 8 characters, of any kind; not a common one." ar:"8 محارف على الأقلّ من أيّ نوع؛ لا كلمة مرور شائعة."`
		OTP             string        `json:"otp,omitempty" maxLength:"64" doc:"For accounts with a second factor that was not proved in the last five minutes." ar:"للحسابات ذات العامل الثاني الذي لم يُثبت في آخر خمس دقائق."`
		Passkey         *passkeyInput `json:"passkey,omitempty" doc:"A passkey in place of 'otp'." ar:"مفتاح مرور بدل 'otp'."`
	}
	forgotInput struct {
		Body struct {
			Email string `json:"email" maxLength:"254" example:"amal@example.com"`
		}
	}
	inviteInput struct {
		Body struct {
			Email    string       `json:"email" maxLength:"254" example:"amal@example.com"`
			Language language.Tag `json:"language,omitempty" enum:"en,ar" doc:"The language of the mail." ar:"لغة الرسالة."`
		}
	}
	joinInputBody struct {
		Token    string `json:"token" maxLength:"200" doc:"Of the mailed link." ar:"من الرابط المرسل بالبريد."`
		Password string `json:"password" maxLength:"256" doc:"At least 8 characters, of any kind; not a common one." ar:"8 محارف على الأقلّ من أيّ نوع؛ لا كلمة مرور شائعة."`
		FullName string `json:"full_name,omitempty" maxLength:"200"`
	}
	resetInputBody struct {
		Token       string `json:"token" maxLength:"200" doc:"Of the mailed link." ar:"من الرابط المرسل بالبريد."`
		NewPassword string `json:"new_password" maxLength:"256" doc:"At least 8 characters, of any kind; not a common one." ar:"8 محارف على الأقلّ من أيّ نوع؛ لا كلمة مرور شائعة."`
	}
	verifyInputBody struct {
		Token string `json:"token" maxLength:"200" doc:"Of the mailed link." ar:"من الرابط المرسل بالبريد."`
	}
)

// LimitAccount is the account that is being tried, for limits.
func (in *registerInput) LimitAccount() string { return in.Body.Email }

// LimitAccount is the account that is being tried, for limits.
func (in *inviteInput) LimitAccount() string { return in.Body.Email }

// LimitAccount is the account that is being tried, for limits.
func (in *loginInput) LimitAccount() string { return in.Body.Email }

// LimitAccount is the account that is being tried, for limits.
func (in *forgotInput) LimitAccount() string { return in.Body.Email }

// LimitRefresh is the refresh token that is being tried, for limits.
func (in *refreshInput) LimitRefresh() string { return in.token() }

// token is the refresh token, of the body or of whichever cookie this program sets.
func (in *refreshInput) token() string {
	if in.cookies() {
		return cmp.Or(in.SecureCookie, in.Cookie)
	}
	return in.Body.RefreshToken
}

// Routes registers the room's routes.
func (s *Service) Routes(api *httpapi.API) {
	s.signInRoutes(httpapi.Group{API: api, Name: language.Text{En: "Signing in", Ar: "تسجيل الدخول"}, Chapter: httpapi.ChapterSigningIn, About: language.Text{En: "Opening an account, signing in and out, and getting new tokens.", Ar: "فتح حساب، وتسجيل الدخول والخروج، والحصول على رموز جديدة."}, Kinds: Kinds})
	s.accountRoutes(httpapi.Group{API: api, Name: language.Text{En: "Your account", Ar: "حسابك"}, Chapter: httpapi.ChapterAccount, About: language.Text{En: "Your profile, password and devices, a copy of your data, and its erasure.", Ar: "ملفّك وكلمة مرورك وأجهزتك، ونسخة من بياناتك، ومحوها."}, Kinds: Kinds})
	s.factorRoutes(httpapi.Group{API: api, Name: language.Text{En: "Second factors and passkeys", Ar: "العامل الثاني ومفاتيح المرور"}, Chapter: httpapi.ChapterSigningIn, About: language.Text{En: "Authenticator apps, recovery codes and passkeys.", Ar: "تطبيقات المصادقة ورموز الاسترداد ومفاتيح المرور."}, Kinds: Kinds})
	s.keyRoutes(httpapi.Group{API: api, Name: language.Text{En: "API keys", Ar: "المفاتيح البرمجية"}, Chapter: httpapi.ChapterSigningIn, About: language.Text{En: "Keys for programs that act for you.", Ar: "مفاتيح للبرامج التي تعمل باسمك."}, Kinds: Kinds})
	s.introspectRoute(httpapi.Group{API: api, Name: language.Text{En: "API keys", Ar: "المفاتيح البرمجية"}, Chapter: httpapi.ChapterSigningIn, About: language.Text{En: "Keys for programs that act for you.", Ar: "مفاتيح للبرامج التي تعمل باسمك."}, Kinds: Kinds})
	if len(s.c.Origins) > 0 {
		api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "GET /.well-known/webauthn", Caching: "public, max-age=300"}, http.HandlerFunc(s.serveOrigins))
	}
	s.providerRoutes(httpapi.Group{API: api, Name: language.Text{En: "Other providers", Ar: "المزوّدون الآخرون"}, Chapter: httpapi.ChapterSigningIn, About: language.Text{En: "Signing in by another provider, and which of them your account is linked with.", Ar: "تسجيل الدخول عبر مزوّد آخر، والمزوّدون المرتبطون بحسابك."}, Kinds: slices.Concat(providerKinds, Kinds)})
}

func (s *Service) signInRoutes(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/register", ID: "register", Problems: []error{ErrClosed, ErrInvitedOnly, ErrWrongDomain, ErrTaken, ErrInvalidEmail, ErrWeakPassword, ErrCommonPassword, errBusy}, Status: http.StatusCreated, Summary: language.Text{En: "Open an account", Ar: "افتح حسابًا"},
		Description: language.Text{En: "Refused where the installation has its accounts by invitation, or closed. Signs in at once, or, where the installation sends mails, asks by mail to confirm the address first; then the answer is the same for every address.", Ar: "يُرفض حيث لا تُنشأ الحسابات إلّا بدعوة أو كان التسجيل مغلقًا. يسجّل الدخول فورًا، أو يطلب بالبريد تأكيد العنوان أوّلًا حيث تُرسل الخدمة بريدًا؛ والجواب حينئذ واحد لكلّ العناوين."},
		Answers:     map[string]httpapi.Answer{"201": httpapi.JSON[tokensBody]("Signed in"), "202": httpapi.JSON[acceptedBody]("Goes on by mail")},
		Limits:      []ratelimit.Rule{ratelimit.NewRule("3/minute, 10/hour", ratelimit.ByAddress)},
	}, s.register)
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: signIn, ID: "login", Problems: []error{ErrBadCredentials, ErrSecondFactor, errUnreadableFactor, errCeremony, errNoPasskeys, errBusy}, Summary: language.Text{En: "Sign in", Ar: "سجّل الدخول"},
		Limits: []ratelimit.Rule{ratelimit.NewRule("5/minute, 20/hour", ratelimit.ByAddress, ratelimit.ByAccount)},
	},
		func(ctx context.Context, in *loginInput) (*tokensOutput, error) {
			return s.tokensAnswer(ctx, in.TokensInput, func() (Tokens, error) {
				return s.Login(ctx, Credentials{in.Body.Email, in.Body.Password, in.Body.OTP, in.Body.Passkey.answer()})
			})
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/refresh", ID: "refresh", Problems: []error{ErrInvalidToken}, Summary: language.Text{En: "Get new tokens for a refresh token", Ar: "استبدل برمز التجديد رموزًا جديدة"},
		Limits: []ratelimit.Rule{
			ratelimit.NewRule("10/minute, 50/hour", ratelimit.ByLogin),
			ratelimit.NewRule("300/minute", ratelimit.ByAddress), // many people behind one are many logins
		},
	},
		func(ctx context.Context, in *refreshInput) (*tokensOutput, error) {
			return s.tokensAnswer(ctx, in.TokensInput, func() (Tokens, error) { return s.Refresh(ctx, in.token()) })
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Persons, Caller: s.formerCaller, Pattern: "POST /auth/logout", ID: "logout", Problems: []error{ErrInvalidToken}, Summary: language.Text{En: "Sign out of this login", Ar: "سجّل الخروج من عملية الدخول هذه"},
		Description: language.Text{En: "The access token may have expired, and the login may have ended.", Ar: "لا يضرّ أن يكون رمز الوصول منتهي الصلاحية أو عملية الدخول منتهية."},
	},
		func(ctx context.Context, _ *httpapi.Nothing) (*signedOutOutput, error) {
			caller := identity.From(ctx)
			return s.signedOut(s.Logout(ctx, caller.UserID, caller.LoginID))
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "POST /auth/logout-all", ID: "logout-all", Problems: []error{ErrUnknownUser}, Summary: language.Text{En: "Sign out of every login", Ar: "سجّل الخروج من كلّ عمليات الدخول"}},
		func(ctx context.Context, _ *httpapi.Nothing) (*signedOutOutput, error) {
			return s.signedOut(s.LogoutAll(ctx, identity.From(ctx).UserID))
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "POST /auth/verify", ID: "verify", Problems: []error{ErrInvalidLink, ErrTaken, errBusy}, Summary: language.Text{En: "Confirm an e-mail address by a mailed link", Ar: "أكّد عنوان بريد إلكتروني من رابط مرسل إليه"}},
		func(ctx context.Context, in *httpapi.Input[verifyInputBody]) (*httpapi.Nothing, error) {
			return nil, s.Verify(ctx, in.Body.Token)
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Operators, Scope: identity.ScopeOperate, Pattern: "POST /ops/invitations", ID: "invite", Problems: []error{ErrInvalidEmail, ErrNoMail, ErrTaken}, Status: http.StatusAccepted, Summary: language.Text{En: "Invite somebody by mail", Ar: "ادعُ شخصًا بالبريد"},
		Description: language.Text{En: "The link in the mail makes an account, whatever registration says, and holds for a week. At most three go to an address within that time.", Ar: "ينشئ الرابط الذي في الرسالة حسابًا أيًّا كان حال التسجيل، ويصلح أسبوعًا. ولا تُرسل إلى العنوان الواحد في هذه المدّة أكثر من ثلاث دعوات."},
	},
		func(ctx context.Context, in *inviteInput) (*acceptedOutput, error) {
			return accepted(ctx, invitationMailed, s.Invite(ctx, in.Body.Email, cmp.Or(in.Body.Language, language.From(ctx))))
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/join", ID: "join", Problems: []error{ErrInvalidLink, ErrTaken, ErrWeakPassword, ErrCommonPassword, errBusy}, Summary: language.Text{En: "Make the account of an invitation, by its mailed link", Ar: "أنشئ حساب الدعوة من رابطها المرسل بالبريد"},
		Description: language.Text{En: "Signs in nobody.", Ar: "لا يسجّل دخول أحد."},
		Limits:      []ratelimit.Rule{ratelimit.NewRule("10/minute, 50/hour", ratelimit.ByAddress)},
	},
		func(ctx context.Context, in *httpapi.Input[joinInputBody]) (*httpapi.Nothing, error) {
			return nil, s.Join(ctx, in.Body.Token, in.Body.FullName, in.Body.Password)
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/password/forgot", ID: "forgot-password", Problems: []error{ErrInvalidEmail, ErrNoMail, errBusy}, Status: http.StatusAccepted, Summary: language.Text{En: "Ask for a link that sets a new password", Ar: "اطلب رابطًا لتعيين كلمة مرور جديدة"},
		Description: language.Text{En: "The answer is the same for every address.", Ar: "الجواب واحد لكلّ العناوين."},
	},
		func(ctx context.Context, in *forgotInput) (*acceptedOutput, error) {
			return accepted(ctx, ResetMailed, s.ForgotPassword(ctx, in.Body.Email))
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "POST /auth/password/reset", ID: "reset-password", Problems: []error{ErrInvalidLink, ErrWeakPassword, ErrCommonPassword, errBusy}, Summary: language.Text{En: "Set a new password by a mailed link", Ar: "عيّن كلمة مرور جديدة من رابط مرسل بالبريد"},
		Description: language.Text{En: "Ends every login, and signs in nobody.", Ar: "ينهي كلّ عمليات الدخول، ولا يسجّل دخول أحد."},
	},
		func(ctx context.Context, in *httpapi.Input[resetInputBody]) (*httpapi.Nothing, error) {
			return nil, s.ResetPassword(ctx, in.Body.Token, in.Body.NewPassword)
		})
}

func (s *Service) register(ctx context.Context, in *registerInput) (*registerOutput, error) {
	tag := cmp.Or(in.Body.Language, language.From(ctx))
	if in.cookies() {
		if err := httpapi.FromSameOrigin(ctx); err != nil {
			return nil, err
		}
	}
	tokens, signedIn, err := s.Register(ctx, NewUser{Email: in.Body.Email, Password: in.Body.Password, FullName: in.Body.FullName, Language: tag})
	if signedIn {
		given := s.tokensGiven(in.TokensInput, tokens)
		return &registerOutput{Status: http.StatusCreated, SetCookie: given.SetCookie, Body: given.Body}, nil
	}
	answer, err := accepted(ctx, linkMailed, err)
	return &registerOutput{Status: http.StatusAccepted, ContentLanguage: answer.ContentLanguage, Body: answer.Body}, err
}
