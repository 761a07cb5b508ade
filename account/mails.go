package account

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"net/url"
	"strings"
	"time"

	"manus/audit"
	"manus/mail"
)

// words is a text in both languages.
type words struct{ english, arabic string }

func (w words) in(language string) string {
	if language == "ar" {
		return w.arabic
	}
	return w.english
}

// letter is a mail's text.
type letter struct {
	subject, body, button, after words
}

// fact is one line about an event: a key of factNames and its value.
type fact struct{ Name, Value string }

// mailText is a letter in one language.
type mailText struct {
	Subject, Body, Button, Link, After string
	Facts                              []fact
}

func (l letter) in(language string) mailText {
	return mailText{Subject: l.subject.in(language), Body: l.body.in(language), Button: l.button.in(language), After: l.after.in(language)}
}

type mailKind int

const (
	mailRegister mailKind = iota
	mailKnown
	mailConfirm
	mailReset
)

var mails = map[mailKind]letter{
	mailRegister: {
		words{"Confirm your e-mail address", "أكِّد بريدك الإلكتروني"},
		words{"Somebody, hopefully you, asked for an account with this address. Open this link within a day to make it.", "طلب أحدهم، ونرجو أن تكون أنت، إنشاء حساب بهذا العنوان. افتح هذا الرابط خلال يوم لإنشائه."},
		words{"Make my account", "أنشئ حسابي"},
		words{"If it wasn't you, do nothing: no account will be made.", "إن لم تكن أنت فلا تفعل شيئًا، ولن يُنشأ أيّ حساب."},
	},
	mailKnown: {
		words{"You have an account already", "لديك حساب بالفعل"},
		words{"Somebody, perhaps you, asked for an account with this address, which has one already. Nothing was changed. Sign in as before; if you don't remember the password, ask for a new one.", "طلب أحدهم، وربما أنت، إنشاء حساب بهذا العنوان، وله حساب بالفعل. لم يتغيّر شيء. سجّل الدخول كالمعتاد، وإن نسيت كلمة المرور فاطلب تعيين كلمة جديدة."},
		words{"Go to the site", "اذهب إلى الموقع"},
		words{"If it wasn't you, there is nothing to do.", "إن لم تكن أنت فلا حاجة إلى فعل شيء."},
	},
	mailConfirm: {
		words{"Confirm your e-mail address", "أكِّد بريدك الإلكتروني"},
		words{"Open this link within a day to confirm that this is the e-mail address of your account.", "افتح هذا الرابط خلال يوم لتأكيد أنّ هذا هو بريد حسابك."},
		words{"Confirm this address", "أكِّد هذا العنوان"},
		words{"If you didn't ask for this, do nothing.", "إن لم تطلب ذلك فلا تفعل شيئًا."},
	},
	mailReset: {
		words{"Set a new password", "عيِّن كلمة مرور جديدة"},
		words{"Somebody, hopefully you, has forgotten the password of your account. Open this link within an hour to set a new one.", "نسي أحدهم، ونرجو أن تكون أنت، كلمة مرور حسابك. افتح هذا الرابط خلال ساعة لتعيين كلمة جديدة."},
		words{"Set a new password", "عيِّن كلمة مرور جديدة"},
		words{"If it wasn't you, do nothing: your password stays as it is.", "إن لم تكن أنت فلا تفعل شيئًا، وتبقى كلمة مرورك كما هي."},
	},
}

var wasntMe = words{"If it wasn't you, set a new password at once and end the logins you don't know.", "إن لم تكن أنت فعيِّن كلمة مرور جديدة فورًا وأنهِ عمليات الدخول التي لا تعرفها."}

func news(subject, body words) letter { return letter{subject: subject, body: body, after: wasntMe} }

// notices are the events that a person is told of.
var notices = map[audit.Kind]letter{
	eventNewDevice:         news(words{"A new device signed in", "سُجِّل الدخول من جهاز جديد"}, words{"Your account was signed in to from a device or program that hasn't been seen before.", "سُجِّل الدخول إلى حسابك من جهاز أو برنامج لم يُعرف من قبل."}),
	eventRefreshReused:     news(words{"A login was ended", "أُنهيت عملية دخول"}, words{"A token of one of your logins was used twice, so it may have been stolen. That login was ended.", "استُعمل رمز إحدى عمليات دخولك مرّتين، فلعلّه سُرق. أُنهيت عملية الدخول تلك."}),
	eventPasswordChanged:   news(words{"Your password was changed", "غُيِّرت كلمة مرورك"}, words{"The password of your account was changed, and every other login was ended.", "غُيِّرت كلمة مرور حسابك وأُنهيت كلّ عمليات الدخول الأخرى."}),
	eventPasswordReset:     news(words{"Your password was changed", "غُيِّرت كلمة مرورك"}, words{"A new password was set by a mailed link, and every login was ended.", "عُيِّنت كلمة مرور جديدة برابط بريدي وأُنهيت كلّ عمليات الدخول."}),
	eventPasswordSet:       news(words{"Your password was changed", "غُيِّرت كلمة مرورك"}, words{"An operator of the service has set a new password, and every login was ended.", "عيّن مشغّل الخدمة كلمة مرور جديدة وأُنهيت كلّ عمليات الدخول."}),
	eventEmailChangeAsked:  news(words{"A new e-mail address was asked for", "طُلب تغيير بريدك الإلكتروني"}, words{"Your account is to get another e-mail address. It changes once the new one is confirmed.", "طُلب عنوان بريد آخر لحسابك. يتغيّر حين يُؤكَّد العنوان الجديد."}),
	eventEmailChanged:      news(words{"Your e-mail address was changed", "غُيِّر بريدك الإلكتروني"}, words{"Your account has another e-mail address now. This one is not used any more.", "لحسابك الآن عنوان بريد آخر، ولن يُستعمل هذا العنوان بعد الآن."}),
	eventTOTPOn:            news(words{"An authenticator app was added", "أُضيف تطبيق مصادقة"}, words{"Signing in needs a code of your authenticator app from now on. Every other login was ended.", "يحتاج تسجيل الدخول من الآن إلى رمز من تطبيق المصادقة. أُنهيت كلّ عمليات الدخول الأخرى."}),
	eventTOTPOff:           news(words{"Your authenticator app was removed", "أُزيل تطبيق المصادقة"}, words{"Signing in needs no code any more. Every other login was ended.", "لم يعد تسجيل الدخول يحتاج إلى رمز. أُنهيت كلّ عمليات الدخول الأخرى."}),
	eventCodesBlocked:      news(words{"Wrong codes were tried", "جُرِّبت رموز خاطئة"}, words{"Somebody who knows your password has tried too many wrong codes. Codes of the app are refused for a while; recovery codes still work.", "جرّب أحدهم، وهو يعرف كلمة مرورك، رموزًا خاطئة كثيرة. تُرفض رموز التطبيق مدّة، وتبقى رموز الاسترداد صالحة."}),
	eventRecoveryMade:      news(words{"New recovery codes were made", "أُنشئت رموز استرداد جديدة"}, words{"The recovery codes of before don't work any more.", "لم تعد رموز الاسترداد السابقة صالحة."}),
	eventRecoveryUsed:      news(words{"A recovery code was used", "استُعمل رمز استرداد"}, words{"A recovery code was used in place of your second factor. It doesn't work again.", "استُعمل رمز استرداد بدل العامل الثاني، ولا يصلح مرّة أخرى."}),
	eventPasskeyAdded:      news(words{"A passkey was added", "أُضيف مفتاح مرور"}, words{"A passkey was added to your account.", "أُضيف مفتاح مرور إلى حسابك."}),
	eventPasskeyRemoved:    news(words{"A passkey was removed", "أُزيل مفتاح مرور"}, words{"A passkey was removed from your account.", "أُزيل مفتاح مرور من حسابك."}),
	eventSecondFactorReset: news(words{"Your second factor was removed", "أُزيل عاملك الثاني"}, words{"An operator of the service has removed the second factor and the passkeys of your account, and every login was ended.", "أزال مشغّل الخدمة العامل الثاني ومفاتيح المرور من حسابك وأُنهيت كلّ عمليات الدخول."}),
	eventKeyMade:           news(words{"An API key was made", "أُنشئ مفتاح برمجي"}, words{"A program can act for your account with it until it expires or is revoked.", "يستطيع برنامج أن يعمل باسم حسابك به حتى تنتهي مدّته أو يُلغى."}),
	eventIdentityLinked:    news(words{"Another way to sign in was added", "أُضيفت طريقة أخرى لتسجيل الدخول"}, words{"Your account can be signed in to with another provider's account now.", "صار يمكن تسجيل الدخول إلى حسابك بحساب لدى مزوّد آخر."}),
	eventErased:            {subject: words{"Your account was erased", "مُحي حسابك"}, body: words{"Your account and what was kept with it were erased, as was asked. This is the last mail about it.", "مُحي حسابك وما كان محفوظًا معه كما طُلب. هذه آخر رسالة بشأنه."}},
}

var factNames = map[string]words{
	"when":    {"When", "الوقت"},
	"address": {"Network address", "عنوان الشبكة"},
	"agent":   {"Program", "البرنامج"},
}

//go:embed mail.html
var mailPage string

var mailTemplate = template.Must(template.New("mail").Parse(mailPage))

// compose makes a mail of a text, as text and as HTML.
func (s *Service) compose(language string, t mailText) mail.Message {
	if language != "ar" {
		language = "en"
	}
	for i := range t.Facts {
		t.Facts[i].Name = factNames[t.Facts[i].Name].in(language)
	}
	parts := []string{t.Body}
	if t.Link != "" {
		parts = append(parts, t.Link)
	}
	if len(t.Facts) > 0 {
		var lines []string
		for _, f := range t.Facts {
			lines = append(lines, f.Name+": "+f.Value)
		}
		parts = append(parts, strings.Join(lines, "\n"))
	}
	if t.After != "" {
		parts = append(parts, t.After)
	}
	var html bytes.Buffer
	err := mailTemplate.Execute(&html, struct {
		mailText
		Lang, Dir string
	}{t, language, map[string]string{"ar": "rtl", "en": "ltr"}[language]})
	if err != nil { // the template takes every text
		s.log.Error("a mail's HTML could not be made", "error", err)
	}
	return mail.Message{Subject: t.Subject, Text: strings.Join(parts, "\n\n") + "\n", HTML: html.String(), Language: language}
}

// mailLink sends a letter with a link to one of the account's pages, or to the
// site where page is empty.
func (s *Service) mailLink(ctx context.Context, language string, l letter, page, token, to string, expires time.Time) error {
	text := l.in(language)
	text.Link = s.publicURL + "/"
	if page != "" {
		text.Link = s.publicURL + "/account/" + page + "?token=" + url.QueryEscape(token)
		if language == "ar" {
			text.Link += "&lang=ar"
		}
	}
	m := s.compose(language, text)
	m.To, m.ExpiresAt = to, expires
	return s.mail.Send(ctx, m)
}
