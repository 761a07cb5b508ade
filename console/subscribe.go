package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"manus/httpapi"
	"manus/identity"
	"manus/language"
	"manus/ratelimit"
	"manus/subscribe"
)

// Subscribers is what the pages by which people ask to be told do. Errors are those of
// [subscribe.Service].
type Subscribers interface {
	TakesMail() bool
	Ask(ctx context.Context, a subscribe.Asking) error
	CanConfirm(ctx context.Context, token string) error
	Confirm(ctx context.Context, token string) error
	CanUnsubscribe(ctx context.Context, token string) error
	Unsubscribe(ctx context.Context, token string) error
}

// Part is something that can be chosen to be told of.
type Part struct {
	ID     string
	Name   language.Text
	Chosen bool
}

// subscribePage is the form, or what came of it.
type subscribePage struct {
	linkPage
	ByWebhook bool   // and not by mail
	Instead   string // the page for the other of the two; empty where there is no mail
	Parts     []Part
	Typed     string // what was typed as the address, by whoever sent the form
}

const subscribePath = "/status/subscribe"

var (
	askSubscribe = message{
		language.Text{En: "Be told of incidents and planned work", Ar: "تلقَّ إشعارات الحوادث والصيانة"},
		language.Text{En: "You are told what the status page says: when something is wrong, what is done about it, and when work is planned.", Ar: "تصلك الأخبار كما في صفحة الحالة: عند وقوع خلل وما يُتّخذ حياله، وعند التخطيط لصيانة."},
	}
	// askedSubscribe is the same for every address: nobody learns who is told already.
	askedSubscribe = message{
		language.Text{En: "Confirm it", Ar: "أكِّد طلبك"},
		language.Text{
			En: "If this address can be reached, a link that confirms your wish is on its way to it. It holds for a day. A webhook that answers with the challenge it is sent needs no link.",
			Ar: "إن أمكن الوصول إلى هذا العنوان فسيصله رابط لتأكيد طلبك، وهو صالح يومًا. ولا يحتاج خطّاف الويب إلى رابط إذا ردّ بالتحدّي المرسل إليه.",
		},
	}
)

func (p *Pages) subscribeForms() []linkForm {
	return []linkForm{{
		Path: subscribePath + "/confirm",
		question: message{
			language.Text{En: "Confirm that you want to be told", Ar: "أكِّد رغبتك في تلقي الإشعارات"},
			language.Text{En: "Press the button to be told of incidents and planned work.", Ar: "اضغط الزرّ لتصلك إشعارات الحوادث والصيانة."},
		},
		Button: language.Text{En: "Confirm", Ar: "أؤكِّد"},
		check:  func(r *http.Request) error { return p.Subscribers.CanConfirm(r.Context(), r.FormValue("token")) },
		submit: func(r *http.Request) error { return p.Subscribers.Confirm(r.Context(), r.FormValue("token")) },
		done: message{
			language.Text{En: "You will be told", Ar: "ستصلك الإشعارات"},
			language.Text{En: "Each message has a link that ends it.", Ar: "في كلّ رسالة رابط لإلغاء الاشتراك."},
		},
		lost:      language.Text{En: "If you have confirmed it before, you are told already. If not, ask once more, and you get a new link.", Ar: "إن سبق أن أكّدت فالإشعارات تصلك بالفعل. وإلا فاطلب مرّة أخرى ليصلك رابط جديد."},
		nextPages: []nextPage{toStatus, {subscribePath, language.Text{En: "Ask once more", Ar: "اطلب مرّة أخرى"}}},
	}, {
		Path: "/status/unsubscribe",
		question: message{
			language.Text{En: "Unsubscribe", Ar: "ألغِ الاشتراك"},
			language.Text{En: "Press the button, and you aren't told any more. Your address is erased.", Ar: "اضغط الزرّ لتتوقف الإشعارات ويُمحى عنوانك."},
		},
		Button: language.Text{En: "Unsubscribe", Ar: "ألغِ الاشتراك"},
		check:  func(r *http.Request) error { return p.Subscribers.CanUnsubscribe(r.Context(), r.FormValue("token")) },
		submit: func(r *http.Request) error { return p.Subscribers.Unsubscribe(r.Context(), r.FormValue("token")) },
		done: message{
			language.Text{En: "You aren't told any more", Ar: "توقفت الإشعارات"},
			language.Text{En: "Your address was erased.", Ar: "مُحي عنوانك."},
		},
		lost:      language.Text{En: "Open the link in the latest message that you got: each has one that works.", Ar: "افتح الرابط الذي في آخر رسالة وصلتك: في كلّ رسالة رابط صالح."},
		nextPages: []nextPage{toStatus},
	}}
}

func (p *Pages) subscribeRoutes(api *httpapi.API) {
	if p.Subscribers == nil {
		return
	}
	p.formRoutes(api, p.subscribeForms())
	api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "GET " + subscribePath}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.show(w, r, http.StatusOK, "subscribe.html", p.subscribePage(r))
	}))
	api.Handle(httpapi.Route{
		Access: httpapi.Public, Pattern: "POST " + subscribePath, MaxBody: maxSubscription,
		Limits: []ratelimit.Rule{ratelimit.NewRule("5/minute, 20/hour", ratelimit.ByAddress)},
	}, http.HandlerFunc(p.askSubscription))
}

// maxSubscription bounds the form, in bytes: an address, and each part that there is.
const maxSubscription = 32 << 10

func (p *Pages) subscribePage(r *http.Request) subscribePage {
	_ = r.ParseForm() // what can't be read isn't there
	form := linkForm{Path: subscribePath}
	page := subscribePage{linkPage: linkPage{frame: p.frame(r), message: askSubscribe, Form: &form}, ByWebhook: true}
	if p.Subscribers.TakesMail() {
		page.ByWebhook = r.Form.Get("by") == "webhook"
		query := url.Values{"lang": {page.Lang.String()}, "component": r.Form["component"]}
		if !page.ByWebhook {
			query.Set("by", "webhook")
		}
		page.Instead = "?" + query.Encode()
	}
	if p.Parts != nil {
		page.Parts = p.Parts()
	}
	page.Typed = r.PostForm.Get("email")
	if page.ByWebhook {
		page.Typed = r.PostForm.Get("webhook")
	}
	for i, part := range page.Parts {
		page.Parts[i].Chosen = slices.Contains(r.Form["component"], part.ID)
	}
	return page
}

// chosen are the ids of the parts that were chosen; none: all.
func (p subscribePage) chosen() (ids []string) {
	for _, part := range p.Parts {
		if part.Chosen {
			ids = append(ids, part.ID)
		}
	}
	return ids
}

func (p *Pages) askSubscription(w http.ResponseWriter, r *http.Request) {
	page, status := p.subscribePage(r), http.StatusOK
	err := checkSite(r)
	if err == nil {
		err = p.Subscribers.Ask(r.Context(), subscribe.Asking{
			Email: r.PostFormValue("email"), Webhook: r.PostFormValue("webhook"), Components: page.chosen(), Language: page.Lang,
			From: identity.From(r.Context()).Address,
		})
	}
	if err != nil {
		status = p.fail(r, &page.linkPage, err)
	} else {
		page.message, page.Form = askedSubscribe, nil
	}
	p.show(w, r, status, "subscribe.html", page)
}
