package subscribe

import (
	"net/http"

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
	{Err: ErrNoMail, Status: http.StatusNotImplemented, Name: "no-mail", Detail: language.Text{
		En: "No mails are sent here.", Ar: "لا تُرسل رسائل بريد من هنا.",
	}},
}
