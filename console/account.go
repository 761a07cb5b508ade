package console

import (
	"context"
	"errors"
	"net/http"

	"manus/account"
	"manus/httpapi"
)

// Accounts is what the pages behind mailed links do. Errors are those of
// [account.Service].
type Accounts interface {
	Verify(ctx context.Context, token string) error
	ResetPassword(ctx context.Context, token, password string) error
	ForgotPassword(ctx context.Context, address string) error
}

// linkPage is a page behind a mailed link: a question with one button, or what
// came of it. Opening the link does nothing yet, since mail programs open links
// by themselves.
type linkPage struct {
	frame
	Heading, Text, Problem string
	Action, Token, Button  string // the form; none without a button
	AskEmail, AskPassword  bool
}

// maxForm bounds a form, in bytes.
const maxForm = 8 << 10

func (p *Pages) accountRoutes(api *httpapi.API) {
	form := func(path string, ask, submit http.HandlerFunc) {
		api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "GET " + path}, ask)
		api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "POST " + path, MaxBody: maxForm},
			http.NewCrossOriginProtection().Handler(submit)) // forms of other sites are refused
	}
	form("/account/verify", p.askVerify, p.verify)
	form("/account/reset", p.askReset, p.reset)
	form("/account/forgot", p.askForgot, p.forgot)
}

func (p *Pages) askVerify(w http.ResponseWriter, r *http.Request) {
	f := p.frame(r)
	p.show(w, r, http.StatusOK, "link.html", linkPage{
		frame: f, Heading: f.Words["verify"], Text: f.Words["verifyP"], Button: f.Words["verifyButton"], Action: "/account/verify", Token: r.FormValue("token"),
	})
}

func (p *Pages) verify(w http.ResponseWriter, r *http.Request) {
	f := p.frame(r)
	if status, problem := p.problem(r, p.accounts.Verify(r.Context(), r.PostFormValue("token"))); problem != "" {
		p.show(w, r, status, "link.html", linkPage{frame: f, Heading: f.Words["verify"], Problem: f.Words[problem]})
		return
	}
	p.show(w, r, http.StatusOK, "link.html", linkPage{frame: f, Heading: f.Words["verified"], Text: f.Words["verifiedP"]})
}

func (p *Pages) resetPage(f frame, token string) linkPage {
	return linkPage{
		frame: f, Heading: f.Words["reset"], Text: f.Words["resetP"], Button: f.Words["resetButton"],
		Action: "/account/reset", Token: token, AskPassword: true,
	}
}

func (p *Pages) askReset(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, http.StatusOK, "link.html", p.resetPage(p.frame(r), r.FormValue("token")))
}

func (p *Pages) reset(w http.ResponseWriter, r *http.Request) {
	f, token := p.frame(r), r.PostFormValue("token")
	status, problem := p.problem(r, p.accounts.ResetPassword(r.Context(), token, r.PostFormValue("password")))
	switch problem {
	case "":
		p.show(w, r, status, "link.html", linkPage{frame: f, Heading: f.Words["resetDone"], Text: f.Words["resetDoneP"]})
	case "linkInvalid":
		p.show(w, r, status, "link.html", linkPage{frame: f, Heading: f.Words["reset"], Problem: f.Words[problem]})
	default: // it can be tried again
		page := p.resetPage(f, token)
		page.Problem = f.Words[problem]
		p.show(w, r, status, "link.html", page)
	}
}

func (p *Pages) forgotPage(f frame) linkPage {
	return linkPage{frame: f, Heading: f.Words["forgot"], Text: f.Words["forgotP"], Button: f.Words["forgotButton"], Action: "/account/forgot", AskEmail: true}
}

func (p *Pages) askForgot(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, http.StatusOK, "link.html", p.forgotPage(p.frame(r)))
}

func (p *Pages) forgot(w http.ResponseWriter, r *http.Request) {
	f := p.frame(r)
	status, problem := p.problem(r, p.accounts.ForgotPassword(r.Context(), r.PostFormValue("email")))
	if problem != "" {
		page := p.forgotPage(f)
		page.Problem = f.Words[problem]
		p.show(w, r, status, "link.html", page)
		return
	}
	p.show(w, r, status, "link.html", linkPage{frame: f, Heading: f.Words["forgotDone"], Text: f.Words["forgotDoneP"]})
}

// problem is the status and the vocabulary's key for an error; empty for none.
func (p *Pages) problem(r *http.Request, err error) (status int, key string) {
	for _, known := range []struct {
		err    error
		status int
		key    string
	}{
		{nil, http.StatusOK, ""},
		{account.ErrInvalidLink, http.StatusUnprocessableEntity, "linkInvalid"},
		{account.ErrTaken, http.StatusConflict, "emailTaken"},
		{account.ErrWeakPassword, http.StatusUnprocessableEntity, "passwordRule"},
		{account.ErrCommonPassword, http.StatusUnprocessableEntity, "passwordCommon"},
		{account.ErrInvalidEmail, http.StatusUnprocessableEntity, "emailInvalid"},
		{account.ErrNoMail, http.StatusServiceUnavailable, "noMail"},
	} {
		if errors.Is(err, known.err) {
			return known.status, known.key
		}
	}
	p.log.ErrorContext(r.Context(), "a page failed", "error", err)
	return http.StatusServiceUnavailable, "tryAgain"
}
