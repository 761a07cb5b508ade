package subscribe

import (
	"net/http"
	"time"

	"manus/httpapi"
	"manus/language"
)

// Kinds maps the room's errors to what a person is told.
var Kinds = httpapi.Kinds{
	{Err: ErrAddress, Status: http.StatusUnprocessableEntity, Name: "invalid-address", Detail: language.Text{
		En: "That is no address that can be written to: give an e-mail address, or the address of a webhook that begins with https://.",
		Ar: "لا يمكن المراسلة على هذا العنوان: اكتب عنوان بريد إلكتروني أو عنوان خطّاف ويب يبدأ بـ https://.",
	}},
	{Err: ErrLink, Status: http.StatusGone, Name: "link-expired", Detail: language.Text{
		En: "The link doesn't hold any more. Subscribe again, and another one is sent.", Ar: "لم يعد هذا الرابط صالحًا. اشترك من جديد ليصلك رابط آخر.",
	}},
	{Err: ErrUnsubscribed, Status: http.StatusGone, Name: "not-subscribed", Detail: language.Text{
		En: "Nobody is told by this link: it isn't whole, or you have unsubscribed already. If messages still come, open the whole link of the latest one.",
		Ar: "لا أحد يتلقى إشعارات بهذا الرابط: إمّا أنّه ناقص أو أنّك ألغيت الاشتراك من قبل. إن ظلّت الرسائل تصلك فافتح الرابط كاملًا من أحدثها.",
	}},
	{Err: ErrAskedOften, Status: http.StatusTooManyRequests, Name: "asked-often", RetryAfter: time.Hour, Detail: language.Text{
		En: "This mailbox or webhook was sent three links within a day, so no other is sent. Each of them holds for a day: look for the mails, among spam too.",
		Ar: "أُرسلت إلى هذا الصندوق أو الخطّاف ثلاثة روابط خلال يوم، فلن يُرسل غيرها. كلّ منها صالح يومًا: ابحث عن الرسائل، وفي البريد المزعج أيضًا.",
	}},
	{Err: ErrCrowded, Status: http.StatusTooManyRequests, Name: "network-asked-often", RetryAfter: time.Hour, Detail: language.Text{
		En: "Too many requests to be told have come from your network within an hour, so no link was sent. Try again in an hour.",
		Ar: "وردت من شبكتك طلبات اشتراك كثيرة خلال ساعة، فلم يُرسل رابط. حاول مرّة أخرى بعد ساعة.",
	}},
	{Err: ErrFull, Status: http.StatusServiceUnavailable, Name: "subscribers-full", RetryAfter: time.Hour, Detail: language.Text{
		En: "As many are told already as can be, so nobody new is sent a link; who is told already is sent one, to change that. The page's feed tells the same.",
		Ar: "بلغ عدد المشتركين حدّه، فلا يُرسل رابط إلى مشترك جديد، ويُرسل إلى من هو مشترك ليغيّر اشتراكه. وتجد الأخبار نفسها في خلاصة الصفحة.",
	}},
	{Err: ErrNoMail, Status: http.StatusNotImplemented, Name: "no-mail", Detail: language.Text{
		En: "No mails are sent here.", Ar: "لا تُرسل رسائل بريد من هنا.",
	}},
}
