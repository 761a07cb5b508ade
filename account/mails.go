package account

import (
	"bytes"
	"context"
	_ "embed"
	"net/url"
	"slices"
	"strings"
	"time"

	"manus/audit"
	"manus/design"
	"manus/language"
	"manus/mail"
)

// letter is a mail's text.
type letter struct {
	subject, body, button, after language.Text
}

// fact is one line about an event.
type fact struct {
	Name  language.Text
	Value string
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
		language.Text{En: "Confirm your e-mail address", Ar: "أكِّد بريدك الإلكتروني"},
		language.Text{En: "Somebody, hopefully you, asked for an account with this address. Open this link within a day to make it.", Ar: "طلب أحدهم، ونرجو أن تكون أنت، إنشاء حساب بهذا العنوان. افتح هذا الرابط خلال يوم لإنشائه."},
		language.Text{En: "Make my account", Ar: "أنشئ حسابي"},
		language.Text{En: "If it wasn't you, do nothing: no account will be made.", Ar: "إن لم تكن أنت فلا تفعل شيئًا، ولن يُنشأ أيّ حساب."},
	},
	mailKnown: {
		language.Text{En: "You have an account already", Ar: "لديك حساب بالفعل"},
		language.Text{En: "Somebody, perhaps you, asked for an account with this address, which has one already. Nothing was changed. Sign in as before; if you don't remember the password, ask for a new one.", Ar: "طلب أحدهم، وربما أنت، إنشاء حساب بهذا العنوان، وله حساب بالفعل. لم يتغيّر شيء. سجّل الدخول كالمعتاد، وإن نسيت كلمة المرور فاطلب تعيين كلمة مرور جديدة."},
		language.Text{En: "Go to the site", Ar: "اذهب إلى الموقع"},
		language.Text{En: "If it wasn't you, there is nothing to do.", Ar: "إن لم تكن أنت فلا حاجة إلى فعل شيء."},
	},
	mailConfirm: {
		language.Text{En: "Confirm your e-mail address", Ar: "أكِّد بريدك الإلكتروني"},
		language.Text{En: "Open this link within a day to confirm that this is the e-mail address of your account.", Ar: "افتح هذا الرابط خلال يوم لتأكيد أنّ هذا هو بريد حسابك."},
		language.Text{En: "Confirm this address", Ar: "أكِّد هذا العنوان"},
		language.Text{En: "If you didn't ask for this, do nothing.", Ar: "إن لم تطلب ذلك فلا تفعل شيئًا."},
	},
	mailReset: {
		language.Text{En: "Set a new password", Ar: "عيِّن كلمة مرور جديدة"},
		language.Text{En: "Somebody, hopefully you, has forgotten the password of your account. Open this link within an hour to set a new one.", Ar: "نسي أحدهم، ونرجو أن تكون أنت، كلمة مرور حسابك. افتح هذا الرابط خلال ساعة لتعيين كلمة مرور جديدة."},
		language.Text{En: "Set a new password", Ar: "عيِّن كلمة مرور جديدة"},
		language.Text{En: "If it wasn't you, do nothing: your password stays as it is.", Ar: "إن لم تكن أنت فلا تفعل شيئًا، وتبقى كلمة مرورك كما هي."},
	},
}

var wasntMe = language.Text{En: "If it wasn't you, set a new password at once and end the logins you don't know.", Ar: "إن لم تكن أنت فعيِّن كلمة مرور جديدة فورًا وأنهِ عمليات الدخول التي لا تعرفها."}

func news(subject, body language.Text) letter {
	return letter{subject: subject, body: body, after: wasntMe}
}

// notices are the events that a person is told of.
var notices = map[audit.Kind]letter{
	eventNewDevice:         news(language.Text{En: "A new device signed in", Ar: "سُجِّل الدخول من جهاز جديد"}, language.Text{En: "Your account was signed in to from a device or program that hasn't been seen before.", Ar: "سُجِّل الدخول إلى حسابك من جهاز أو برنامج لم يُعرف من قبل."}),
	eventRefreshReused:     news(language.Text{En: "A login was ended", Ar: "أُنهيت عملية دخول"}, language.Text{En: "A token of one of your logins was used twice, so it may have been stolen. That login was ended.", Ar: "استُعمل رمز إحدى عمليات دخولك مرّتين، فلعلّه سُرق. أُنهيت عملية الدخول تلك."}),
	eventPasswordChanged:   news(language.Text{En: "Your password was changed", Ar: "غُيِّرت كلمة مرورك"}, language.Text{En: "The password of your account was changed, and every other login was ended.", Ar: "غُيِّرت كلمة مرور حسابك وأُنهيت كلّ عمليات الدخول الأخرى."}),
	eventPasswordReset:     news(language.Text{En: "Your password was changed", Ar: "غُيِّرت كلمة مرورك"}, language.Text{En: "A new password was set by a mailed link, and every login was ended.", Ar: "عُيِّنت كلمة مرور جديدة برابط بريدي وأُنهيت كلّ عمليات الدخول."}),
	eventPasswordSet:       news(language.Text{En: "Your password was changed", Ar: "غُيِّرت كلمة مرورك"}, language.Text{En: "An operator of the service has set a new password, and every login was ended.", Ar: "عيّن مشغّل الخدمة كلمة مرور جديدة وأُنهيت كلّ عمليات الدخول."}),
	eventEmailChangeAsked:  news(language.Text{En: "A new e-mail address was asked for", Ar: "طُلب تغيير بريدك الإلكتروني"}, language.Text{En: "Your account is to get another e-mail address. It changes once the new one is confirmed.", Ar: "طُلب عنوان بريد آخر لحسابك. يتغيّر حين يُؤكَّد العنوان الجديد."}),
	eventEmailChanged:      news(language.Text{En: "Your e-mail address was changed", Ar: "غُيِّر بريدك الإلكتروني"}, language.Text{En: "Your account has another e-mail address now. This one is not used any more.", Ar: "لحسابك الآن عنوان بريد آخر، ولن يُستعمل هذا العنوان بعد الآن."}),
	eventTOTPOn:            news(language.Text{En: "An authenticator app was added", Ar: "أُضيف تطبيق مصادقة"}, language.Text{En: "Signing in needs a code of your authenticator app from now on. Every other login was ended.", Ar: "يحتاج تسجيل الدخول من الآن إلى رمز من تطبيق المصادقة. أُنهيت كلّ عمليات الدخول الأخرى."}),
	eventTOTPOff:           news(language.Text{En: "Your authenticator app was removed", Ar: "أُزيل تطبيق المصادقة"}, language.Text{En: "Signing in needs no code any more. Every other login was ended.", Ar: "لم يعد تسجيل الدخول يحتاج إلى رمز. أُنهيت كلّ عمليات الدخول الأخرى."}),
	eventCodesBlocked:      news(language.Text{En: "Wrong codes were tried", Ar: "جُرِّبت رموز خاطئة"}, language.Text{En: "Somebody who knows your password has tried too many wrong codes. Codes of the app are refused for a while; recovery codes still work.", Ar: "جرّب أحدهم، وهو يعرف كلمة مرورك، رموزًا خاطئة كثيرة. تُرفض رموز التطبيق مدّة، وتبقى رموز الاسترداد صالحة."}),
	eventRecoveryMade:      news(language.Text{En: "New recovery codes were made", Ar: "أُنشئت رموز استرداد جديدة"}, language.Text{En: "The recovery codes of before don't work any more.", Ar: "لم تعد رموز الاسترداد السابقة صالحة."}),
	eventRecoveryUsed:      news(language.Text{En: "A recovery code was used", Ar: "استُعمل رمز استرداد"}, language.Text{En: "A recovery code was used in place of your second factor. It doesn't work again.", Ar: "استُعمل رمز استرداد بدل العامل الثاني، ولا يصلح مرّة أخرى."}),
	eventPasskeyAdded:      news(language.Text{En: "A passkey was added", Ar: "أُضيف مفتاح مرور"}, language.Text{En: "A passkey was added to your account.", Ar: "أُضيف مفتاح مرور إلى حسابك."}),
	eventPasskeyRemoved:    news(language.Text{En: "A passkey was removed", Ar: "أُزيل مفتاح مرور"}, language.Text{En: "A passkey was removed from your account.", Ar: "أُزيل مفتاح مرور من حسابك."}),
	eventSecondFactorReset: news(language.Text{En: "Your second factor was removed", Ar: "أُزيل عاملك الثاني"}, language.Text{En: "An operator of the service has removed the second factor and the passkeys of your account, and every login was ended.", Ar: "أزال مشغّل الخدمة العامل الثاني ومفاتيح المرور من حسابك وأُنهيت كلّ عمليات الدخول."}),
	eventKeyMade:           news(language.Text{En: "An API key was made", Ar: "أُنشئ مفتاح برمجي"}, language.Text{En: "A program can act for your account with it until it expires or is revoked.", Ar: "يستطيع برنامج أن يعمل باسم حسابك به حتى تنتهي مدّته أو يُلغى."}),
	eventIdentityLinked:    news(language.Text{En: "Another way to sign in was added", Ar: "أُضيفت طريقة أخرى لتسجيل الدخول"}, language.Text{En: "Your account can be signed in to with another provider's account now.", Ar: "صار يمكن تسجيل الدخول إلى حسابك بحساب لدى مزوّد آخر."}),
	eventErased:            {subject: language.Text{En: "Your account was erased", Ar: "مُحي حسابك"}, body: language.Text{En: "Your account and what was kept with it were erased, as was asked. This is the last mail about it.", Ar: "مُحي حسابك وما كان محفوظًا معه كما طُلب. هذه آخر رسالة بشأنه."}},
}

//go:embed mail.html
var mailPage string

var mailTemplate = design.Letter("mail", mailPage)

// invitation is the letter of one.
func (s *Service) invitation() letter {
	name := s.name()
	return letter{
		language.Text{En: "You are invited to " + name.In(language.English), Ar: "دعوة إلى " + name.In(language.Arabic)},
		language.Text{En: "The operator of this service invites you to have an account with this address. Open this link within a week to choose a password.", Ar: "يدعوك مشغّل هذه الخدمة إلى إنشاء حساب بهذا العنوان. افتح هذا الرابط خلال أسبوع لاختيار كلمة مرور."},
		language.Text{En: "Accept the invitation", Ar: "اقبل الدعوة"},
		language.Text{En: "If you don't know what this is about, do nothing: no account will be made.", Ar: "إن لم تكن تعرف ما هذا فلا تفعل شيئًا، ولن يُنشأ أيّ حساب."},
	}
}

// name is what the service is called for people.
func (s *Service) name() language.Text {
	if s.c.Product != (language.Text{}) {
		return s.c.Product
	}
	return language.Text{En: s.siteName()}
}

// signature stands under a mail: what the service is called, and where there is help; nothing
// where neither is known.
func (s *Service) signature(tag language.Tag) string {
	name := s.c.Product.In(tag)
	if s.c.Support == "" {
		return name
	}
	help := language.Text{En: "Questions? Write to ", Ar: "لديك سؤال؟ اكتب إلى "}.In(tag) + tag.Isolate(s.c.Support)
	return strings.TrimPrefix(name+" · "+help, " · ")
}

// compose makes a mail of a letter, as text and as HTML.
func (s *Service) compose(tag language.Tag, l letter, link string, facts []fact) mail.Message {
	t := struct {
		Lang                             language.Tag
		Title, Body, Button, Link, After string
		Colour, Signature                string
		Facts                            []struct{ Name, Value string }
	}{tag, l.subject.In(tag), l.body.In(tag), l.button.In(tag), link, l.after.In(tag), design.Accent, s.signature(tag), nil}
	var lines []string
	for _, f := range facts {
		name := f.Name.In(tag)
		t.Facts = append(t.Facts, struct{ Name, Value string }{name, f.Value})
		lines = append(lines, name+": "+tag.Isolate(f.Value))
	}
	parts := slices.DeleteFunc([]string{t.Body, link, strings.Join(lines, "\n"), t.After, t.Signature}, func(part string) bool { return part == "" })
	var html bytes.Buffer
	if err := mailTemplate.Execute(&html, t); err != nil { // the template takes every text
		s.c.Log.Error("a mail's HTML could not be made", "error", err)
	}
	return mail.Message{Subject: t.Title, Text: strings.Join(parts, "\n\n") + "\n", HTML: html.String(), Language: tag.String()}
}

// mailLink sends a letter with a link to one of the account's pages, or to the
// site where page is empty.
func (s *Service) mailLink(ctx context.Context, tag language.Tag, l letter, page, token, to string, expires time.Time) error {
	link := s.c.PublicURL + "/"
	if page != "" {
		link += "account/" + page + "?token=" + url.QueryEscape(token)
		if tag == language.Arabic {
			link += "&lang=" + tag.String()
		}
	}
	m := s.compose(tag, l, link, nil)
	m.To, m.ExpiresAt = to, expires
	return s.c.Mail.Send(ctx, m)
}
