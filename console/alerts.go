package console

import (
	"context"
	"errors"
	"net/http"

	"manus/httpapi"
	"manus/language"
	"manus/notify"
)

// Alerts is what the page behind an alert's link does. Errors are those of
// [notify.Service].
type Alerts interface {
	Linked(ctx context.Context, token string) (notify.Linked, error)
	AcknowledgeLinked(ctx context.Context, token string) error
}

var (
	anAlert      = language.Text{En: "An alert", Ar: "تنبيه"} // that can't be read just now
	takenSince   = language.Text{En: "Taken care of since", Ar: "هناك من يتولّاه منذ"}
	acknowledge  = language.Text{En: "I take care of it", Ar: "سأتولّى الأمر"}
	acknowledged = message{
		language.Text{En: "Somebody takes care of it", Ar: "هناك من يتولّى الأمر"},
		language.Text{En: "Nobody is reminded of it any more, and it isn't escalated.", Ar: "لن يُذكَّر به أحد بعد الآن ولن يُصعَّد."},
	}
	isOver = message{
		language.Text{En: "It is over", Ar: "انتهى الأمر"},
		language.Text{En: "There is nothing to do.", Ar: "لا حاجة إلى فعل شيء."},
	}
	noAlert = message{
		language.Text{En: "There is no such alert", Ar: "لا يوجد تنبيه كهذا"},
		language.Text{En: "The link isn't whole, or the alert is so old that it isn't kept any more.", Ar: "الرابط ناقص، أو التنبيه قديم لم يعد محفوظًا."},
	}
)

// alertRoutes registers the page behind an alert's link: what it is, and a button.
// Opening it does nothing yet, since mail programs open links by themselves.
func (p *Pages) alertRoutes(api *httpapi.API) {
	const path = "/alerts/{token}"
	api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "GET " + path}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.showAlert(w, r, nil)
	}))
	api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "POST " + path, MaxBody: maxForm}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := checkSite(r)
		if err == nil {
			err = p.Alerts.AcknowledgeLinked(r.Context(), r.PathValue("token"))
		}
		p.showAlert(w, r, err)
	}))
}

// showAlert shows what a link's alert stands like now, or why that can't be told.
func (p *Pages) showAlert(w http.ResponseWriter, r *http.Request, err error) {
	page, status := linkPage{frame: p.frame(r)}, http.StatusOK
	linked, linkedErr := p.Alerts.Linked(r.Context(), r.PathValue("token"))
	if !linked.Begun.IsZero() {
		page.Times = []moment{{At: linked.Begun}}
	}
	switch err = errors.Join(err, linkedErr); {
	case errors.Is(err, notify.ErrNoAlert):
		page.message, page.Next, status = noAlert, []nextPage{toStatus, toHome}, http.StatusNotFound
	case err != nil:
		status = p.fail(r, &page, err)
		page.message.Heading = linked.Title
		if linkedErr != nil {
			page.message.Heading = anAlert
		}
	case linked.Over:
		page.message, page.Subject = isOver, linked.Title
	case !linked.Acknowledged.IsZero():
		page.message, page.Subject = acknowledged, linked.Title
		page.Times = append(page.Times, moment{takenSince, linked.Acknowledged})
	default:
		page.message = message{linked.Title, linked.Text}
		page.Form = &linkForm{Path: r.URL.Path, Button: acknowledge}
	}
	p.show(w, r, status, "link.html", page)
}
