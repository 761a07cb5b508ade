package console

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"manus/account"
	"manus/docstore"
	"manus/httpapi"
	"manus/language"
	"manus/subscribe"
)

// Accounts is what the pages behind mailed links do. Errors are those of
// [account.Service].
type Accounts interface {
	Verify(ctx context.Context, token string) error
	ResetPassword(ctx context.Context, token, password string) error
	ForgotPassword(ctx context.Context, address string) error
	Join(ctx context.Context, token, fullName, password string) error
}

// message is a heading and a paragraph.
type message struct{ Heading, Text language.Text }

// linkForm is the form of a page behind a mailed link, or of the page that asks for
// one: a question with one button. Opening the link does nothing yet, since mail
// programs open links by themselves.
type linkForm struct {
	Path                           string
	question, done                 message
	Button                         language.Text
	AskEmail, AskName, AskPassword bool
	check                          func(*http.Request) error // whether the link still holds; nil: submit tells
	submit                         func(*http.Request) error
	// lost is what to do where the link isn't valid, and instead the form by which to do that;
	// nextPages are where to go on from there, and once it is done. A form without lost needs no link.
	lost      language.Text
	instead   *linkForm
	nextPages []nextPage
}

// nextPage is where people may go on to.
type nextPage struct {
	Path string
	Text language.Text
}

var (
	toHome   = nextPage{"/", language.Text{En: "Go to the home page", Ar: "اذهب إلى الصفحة الرئيسية"}}
	toForgot = nextPage{"/account/forgot", language.Text{En: "Set a new password", Ar: "عيِّن كلمة مرور جديدة"}}
	toStatus = nextPage{"/status", language.Text{En: "How everything is now", Ar: "حالة كلّ شيء الآن"}}
	cutLink  = message{
		language.Text{En: "The link isn't whole", Ar: "الرابط ناقص"},
		language.Text{En: "Its end is missing. Open it in the mail once more, or copy all of it.", Ar: "سقط آخره. افتحه من الرسالة مرّة أخرى، أو انسخه كاملًا."},
	}
)

func (p *Pages) linkForms() []linkForm {
	forgot := p.forgotForm()
	return []linkForm{{
		Path: "/account/verify",
		question: message{
			language.Text{En: "Confirm your e-mail address", Ar: "أكِّد بريدك الإلكتروني"},
			language.Text{En: "Press the button to confirm that this address is yours.", Ar: "اضغط الزرّ لتأكيد أنّ هذا العنوان لك."},
		},
		Button: language.Text{En: "Confirm", Ar: "أؤكِّد"},
		submit: func(r *http.Request) error { return p.Accounts.Verify(r.Context(), r.PostFormValue("token")) },
		done: message{
			language.Text{En: "Your address is confirmed", Ar: "تمّ تأكيد عنوانك"},
			language.Text{En: "You can sign in with it now.", Ar: "يمكنك الآن تسجيل الدخول به."},
		},
		lost:      language.Text{En: "If you have confirmed the address before, you can simply sign in. If not, sign up or change your address once more, and you get a new link.", Ar: "إن سبق أن أكّدت العنوان فيمكنك تسجيل الدخول مباشرة. وإلا فسجّل أو غيّر عنوانك مرّة أخرى ليصلك رابط جديد."},
		nextPages: []nextPage{toHome, toForgot},
	}, {
		Path: "/account/reset",
		question: message{
			language.Text{En: "Set a new password", Ar: "عيِّن كلمة مرور جديدة"},
			language.Text{En: "Every device that is signed in will be signed out.", Ar: "سيُسجَّل الخروج من كلّ الأجهزة."},
		},
		AskPassword: true,
		Button:      language.Text{En: "Set the password", Ar: "عيِّن كلمة المرور"},
		submit: func(r *http.Request) error {
			return p.Accounts.ResetPassword(r.Context(), r.PostFormValue("token"), r.PostFormValue("password"))
		},
		done: message{
			language.Text{En: "Your password was changed", Ar: "غُيِّرت كلمة مرورك"},
			language.Text{En: "Sign in with the new one. Every device was signed out.", Ar: "سجّل الدخول بكلمة المرور الجديدة. سُجِّل الخروج من كلّ الأجهزة."},
		},
		lost:      language.Text{En: "Give the address of your account, and a new link is mailed to it. It works once, within an hour.", Ar: "اكتب عنوان حسابك وسيصل إليه رابط جديد، يعمل مرّة واحدة خلال ساعة."},
		instead:   &forgot,
		nextPages: []nextPage{toHome},
	}, {
		Path: "/account/join",
		question: message{
			language.Text{En: "Accept the invitation", Ar: "اقبل الدعوة"},
			language.Text{En: "Choose a password for your account.", Ar: "اختر كلمة مرور لحسابك."},
		},
		AskName: true, AskPassword: true,
		Button: language.Text{En: "Make my account", Ar: "أنشئ حسابي"},
		submit: func(r *http.Request) error {
			return p.Accounts.Join(r.Context(), r.PostFormValue("token"), r.PostFormValue("full_name"), r.PostFormValue("password"))
		},
		done: message{
			language.Text{En: "Your account is there", Ar: "حسابك جاهز"},
			language.Text{En: "You can sign in with your address and password now.", Ar: "يمكنك الآن تسجيل الدخول بعنوانك وكلمة مرورك."},
		},
		lost:      language.Text{En: "If you have accepted it before, you can simply sign in. If not, ask whoever has invited you for a new invitation.", Ar: "إن سبق أن قبلتها فيمكنك تسجيل الدخول مباشرة. وإلا فاطلب دعوة جديدة ممّن دعاك."},
		nextPages: []nextPage{toHome, toForgot},
	}, forgot}
}

// forgotForm asks for a link that sets a new password. Its answer is the same for every address.
func (p *Pages) forgotForm() linkForm {
	return linkForm{
		Path: "/account/forgot",
		question: message{
			language.Text{En: "Forgotten your password?", Ar: "نسيت كلمة المرور؟"},
			language.Text{En: "Give the address of your account, and a link to set a new password is mailed to it.", Ar: "اكتب عنوان حسابك وسيصل إليه رابط لتعيين كلمة مرور جديدة."},
		},
		AskEmail:  true,
		Button:    language.Text{En: "Send the link", Ar: "أرسل الرابط"},
		submit:    func(r *http.Request) error { return p.Accounts.ForgotPassword(r.Context(), r.PostFormValue("email")) },
		done:      message{language.Text{En: "Look into your mailbox", Ar: "تفقّد بريدك"}, account.ResetMailed},
		nextPages: []nextPage{{"/account/forgot", language.Text{En: "Ask once more", Ar: "اطلبه مرّة أخرى"}}, toHome},
	}
}

// linkPage is a form, or what came of it.
type linkPage struct {
	frame
	message
	Do           language.Text // what to do, where the link leads nowhere
	Subject      language.Text // what the message is about, where it doesn't say
	Times        []moment      // when that happened, and what came of it
	Form         *linkForm     // nil when there is nothing to send
	Next         []nextPage    // where to go on
	Token        string
	PasswordRule language.Text
	Problem      language.Text
	RequestID    string // to be quoted, when something broke
}

// moment is a time on a page, and what was then; nothing where the page says that.
type moment struct {
	What language.Text
	At   docstore.Time
}

// maxForm bounds a form, in bytes.
const maxForm = 8 << 10

func (p *Pages) accountRoutes(api *httpapi.API) { p.formRoutes(api, p.linkForms()) }

func (p *Pages) formRoutes(api *httpapi.API, forms []linkForm) {
	for _, form := range forms {
		api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "GET " + form.Path}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			page, status := p.linkPage(r, form), http.StatusOK
			if form.check != nil && page.Token != "" {
				if err := form.check(r); err != nil {
					status = p.fail(r, &page, err)
				}
			}
			p.show(w, r, status, "link.html", page)
		}))
		api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "POST " + form.Path, MaxBody: maxForm},
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.submit(w, r, form) }))
	}
}

func (p *Pages) linkPage(r *http.Request, form linkForm) linkPage {
	rule, _ := account.Kinds.Find(account.ErrWeakPassword)
	page := linkPage{frame: p.frame(r), message: form.question, Form: &form, Token: r.FormValue("token"), PasswordRule: rule.Detail}
	if form.lost != (language.Text{}) && page.Token == "" && r.Method != http.MethodPost {
		page.message = cutLink
		page.endLink()
	}
	return page
}

// endLink is the page of a link that leads nowhere: it says what to do now.
func (page *linkPage) endLink() {
	form := page.Form
	page.Form, page.Token = nil, ""
	if form != nil {
		page.Do, page.Form, page.Next = form.lost, form.instead, form.nextPages
	}
	if page.Form != nil {
		page.Next = nil
	}
}

func (p *Pages) submit(w http.ResponseWriter, r *http.Request, form linkForm) {
	page, status := p.linkPage(r, form), http.StatusOK
	err := checkSite(r)
	if err == nil {
		err = form.submit(r)
	}
	if err != nil {
		status = p.fail(r, &page, err)
	} else {
		page.message, page.Form, page.Next = form.done, nil, form.nextPages
	}
	p.show(w, r, status, "link.html", page)
}

// kinds are the errors of what the pages do.
var kinds = slices.Concat(account.Kinds, subscribe.Kinds)

// fail has a page say what an error is, as the API does, and returns the status. The
// form stays when it can be sent again.
func (p *Pages) fail(r *http.Request, page *linkPage, err error) (status int) {
	kind, known := kinds.Find(err)
	page.Problem = kind.Detail
	if errors.Is(err, account.ErrInvalidLink) || errors.Is(err, account.ErrTaken) || errors.Is(err, subscribe.ErrLink) || errors.Is(err, subscribe.ErrUnsubscribed) {
		page.Text = language.Text{}
		page.endLink()
	}
	id := httpapi.RequestID(r.Context())
	switch {
	case !known:
		page.RequestID = id
		p.Log.ErrorContext(r.Context(), "a page failed", "request_id", id, "error", err)
	case kind.Status >= http.StatusInternalServerError:
		p.Log.WarnContext(r.Context(), "a page failed", "request_id", id, "error", err)
	}
	return kind.Status
}
