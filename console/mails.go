package console

import (
	"errors"
	"html"
	"net/http"

	"manus/docstore"
	"manus/httpapi"
	"manus/language"
	"manus/mail"
)

// maxMails is how many the page shows.
const maxMails = 100

type mailsPage struct {
	frame
	Mails []mail.Kept
}

// mailRoutes adds the pages of the mails of a product that is only being tried. A
// mail may have its own style, and nothing else.
func (p *Pages) mailRoutes(api *httpapi.API) {
	api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "GET /dev/mails"}, http.HandlerFunc(p.mailList))
	api.Handle(httpapi.Route{
		Access: httpapi.Public, Pattern: "GET /dev/mails/{id}",
		Headers: map[string]string{"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; sandbox"},
	}, http.HandlerFunc(p.mailHTML))
}

func (p *Pages) mailList(w http.ResponseWriter, r *http.Request) {
	kept, err := p.Mails.Kept(r.Context(), maxMails)
	if err != nil {
		httpapi.WriteError(w, r, nil, err)
		return
	}
	p.show(w, r, http.StatusOK, "mails.html", mailsPage{p.frame(r), kept})
}

// mailHTML shows a mail as the person sees it.
func (p *Pages) mailHTML(w http.ResponseWriter, r *http.Request) {
	kept, err := p.Mails.Get(r.Context(), r.PathValue("id"))
	if errors.Is(err, docstore.ErrNotFound) {
		http.Redirect(w, r, "/dev/mails", http.StatusSeeOther)
		return
	}
	if err != nil {
		httpapi.WriteError(w, r, nil, err)
		return
	}
	body := kept.HTML
	if body == "" {
		body = textPage(kept.Message)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(body)) // the client is gone if this fails
}

// textPage shows a mail that is text alone.
func textPage(m mail.Message) string {
	tag := language.Tag(m.Language)
	return `<!DOCTYPE html><html lang="` + tag.String() + `" dir="` + tag.Direction() + `"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">` +
		`<title>` + html.EscapeString(m.Subject) + `</title><pre dir="auto" style="max-width:45em;margin:1em auto;padding:0 1em;font:16px/1.6 system-ui,sans-serif;white-space:pre-wrap;overflow-wrap:anywhere">` + html.EscapeString(m.Text) + `</pre></html>`
}
