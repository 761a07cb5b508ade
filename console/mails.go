package console

import (
	"errors"
	"net/http"

	"manus/docstore"
	"manus/httpapi"
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
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(kept.HTML)) // the client is gone if this fails
}
