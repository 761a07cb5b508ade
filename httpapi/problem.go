package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"manus/docstore"
)

// Problem is an RFC 9457 error answer. It never carries what the client sent.
type Problem struct {
	Type      string  `json:"type" doc:"Names the kind of problem; a link to its explanation." example:"/docs#not-found"`
	Title     string  `json:"title" doc:"The status in words." example:"Not Found"`
	Status    int     `json:"status" doc:"The HTTP status." example:"404"`
	Detail    string  `json:"detail" doc:"What is wrong and what to do about it."`
	RequestID string  `json:"request_id" doc:"Quote it when asking for help." example:"4GZTLGJVK3A5XOAWZBQ3PVNM4U"`
	Errors    []Fault `json:"errors,omitempty" doc:"Each part of the request that is wrong."`
	// Violated are the names of limits, as in the RateLimit-Policy header.
	Violated []string `json:"violated-policies,omitempty" doc:"The limits that refuse the request, as RateLimit-Policy names them."`

	retryAfter time.Duration
}

// Fault is one wrong part of a request.
type Fault struct {
	Location string `json:"location" doc:"Where it is." example:"body.email"`
	Message  string `json:"message" doc:"What it should be." example:"expected string"`
}

// Error makes a Problem an error that huma writes as it is.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status, for huma.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders is the headers that go with the problem, for huma.
func (p *Problem) GetHeaders() http.Header {
	header := http.Header{}
	if p.retryAfter > 0 {
		seconds := (p.retryAfter + time.Second - 1) / time.Second
		header.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	if p.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="manus"`)
	}
	return header
}

// ContentType is the media type of a problem, for huma.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Kind is one row of a capability's table from its sentinel errors to HTTP:
// what the client is told when a handler's error is Err.
type Kind struct {
	Err        error
	Status     int
	Name       string // in kebab case; the fragment of the problem's type
	Detail     string // a sentence for the user: what is wrong, what to do
	RetryAfter time.Duration
}

// Kinds is a table from errors to problems. The first match counts.
type Kinds []Kind

// ErrUnauthorized, ErrForbidden and ErrNotForKeys are what the door answers, ErrNotFound
// what it answers where there is no route.
var (
	ErrUnauthorized     = errors.New("the caller is unknown")
	ErrForbidden        = errors.New("the caller may not do this")
	ErrNotForKeys       = errors.New("an API key may not do this")
	ErrNotFound         = errors.New("there is nothing at this address")
	errMethodNotAllowed = errors.New("the address doesn't take the method")
	errInvalidRequest   = errors.New("the request isn't what the address takes")
	errMediaType        = errors.New("the body isn't JSON")
	errSlowBody         = errors.New("the body arrived too slowly")
	errTooLarge         = errors.New("the body is too large")
	errInternal         = errors.New("something broke")
)

// common is what every route may answer.
var common = Kinds{
	{ErrUnauthorized, http.StatusUnauthorized, "unauthorized", "Sign in first: send a valid access token as 'Authorization: Bearer …'.", 0},
	{ErrForbidden, http.StatusForbidden, "forbidden", "Your account or key may not do this.", 0},
	{ErrNotForKeys, http.StatusForbidden, "not-for-keys", "This is for people alone: sign in and send an access token, not an API key.", 0},
	{ErrTooMany, http.StatusTooManyRequests, "quota-exceeded", "There were too many requests. Wait as long as Retry-After says; RateLimit says where each limit stands.", 0},
	{errUncounted, http.StatusServiceUnavailable, "uncounted", "This can't be done while requests can't be counted. Try again shortly.", 2 * time.Second},
	{ErrNotFound, http.StatusNotFound, "not-found", "There is nothing at this address.", 0},
	{errMethodNotAllowed, http.StatusMethodNotAllowed, "method-not-allowed", "This address exists but doesn't take this method; 'Allow' lists those it takes.", 0},
	{errInvalidRequest, http.StatusUnprocessableEntity, "invalid-request", "The request is not what this address takes; 'errors' says which parts.", 0},
	{errMediaType, http.StatusUnsupportedMediaType, "unsupported-media-type", "Send the body as application/json.", 0},
	{errSlowBody, http.StatusRequestTimeout, "slow-body", "The body arrived too slowly. Send the request again.", 0},
	{errTooLarge, http.StatusRequestEntityTooLarge, "too-large", "The request is larger than this address takes.", 0},
	{docstore.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "The service can't reach its storage just now. Nothing was lost; try again shortly.", 2 * time.Second},
	{docstore.ErrCursor, http.StatusBadRequest, "invalid-cursor", "The cursor is not one that this list gave out. Start again without it.", 0},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "timeout", "This took too long and was given up. Try again shortly.", 2 * time.Second},
	{context.Canceled, http.StatusServiceUnavailable, "cancelled", "The request was cancelled before it was done. Try again.", time.Second},
	{errInternal, http.StatusInternalServerError, "internal", "Something broke on our side. It has been recorded; quote the request id when you ask about it.", 0},
}

func (k Kinds) find(err error) (Kind, bool) {
	for _, kind := range k {
		if errors.Is(err, kind.Err) {
			return kind, true
		}
	}
	return Kind{}, false
}

// problem turns a handler's error into the answer. known is false when no
// table has it, so the cause has to be reported.
func (k Kinds) problem(ctx context.Context, err error) (p *Problem, known bool) {
	kind, known := k.find(err)
	if !known {
		kind, known = common.find(err)
	}
	if !known {
		kind, _ = common.find(errInternal)
	}
	p = newProblem(ctx, kind.Status, kind.Name, kind.Detail)
	p.retryAfter = kind.RetryAfter
	var retry interface{ RetryAfter() time.Duration }
	if errors.As(err, &retry) {
		p.retryAfter = retry.RetryAfter()
	}
	return p, known
}

func newProblem(ctx context.Context, status int, name, detail string) *Problem {
	return &Problem{
		Type:      "/docs#" + name,
		Title:     http.StatusText(status),
		Status:    status,
		Detail:    detail,
		RequestID: RequestID(ctx),
	}
}

// answer is the problem that stands for err in the tables. The log gets the cause
// when it is not the client's fault.
func answer(ctx context.Context, kinds Kinds, err error) *Problem {
	p, ok := errors.AsType[*Problem](err)
	if !ok {
		var known bool
		p, known = kinds.problem(ctx, err)
		if x := exchangeOf(ctx); x != nil && p.Status >= http.StatusInternalServerError && ctx.Err() == nil {
			level := slog.LevelWarn
			if !known {
				level = slog.LevelError
			}
			x.api.Log.Log(ctx, level, "request failed", "request_id", p.RequestID, "status", p.Status, "error", err)
		}
	}
	noStore(ctx)
	return p
}

// noStore keeps a problem out of caches that may keep the route's other answers.
func noStore(ctx context.Context) {
	if x := exchangeOf(ctx); x != nil {
		x.w.Header().Set("Cache-Control", caching)
	}
}

// WriteError answers a request with the problem that stands for err in the
// tables, outside of a typed handler.
func WriteError(w http.ResponseWriter, r *http.Request, kinds Kinds, err error) {
	p := answer(r.Context(), kinds, err)
	header := w.Header()
	maps.Copy(header, p.GetHeaders())
	header.Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails
}

// cleanHumaError is a huma transformer: it replaces huma's own error bodies,
// which repeat submitted values, passwords included, by problems that don't.
func cleanHumaError(ctx huma.Context, _ string, body any) (any, error) {
	model, ok := body.(*huma.ErrorModel)
	if !ok {
		return body, nil
	}
	err := errInvalidRequest
	switch model.Status {
	case http.StatusUnsupportedMediaType:
		err = errMediaType
	case http.StatusRequestEntityTooLarge:
		err = errTooLarge
	case http.StatusRequestTimeout:
		err = errSlowBody
	}
	noStore(ctx.Context())
	kind, _ := common.find(err)
	p := newProblem(ctx.Context(), model.Status, kind.Name, kind.Detail)
	for _, e := range model.Errors {
		if e != nil && err == errInvalidRequest { //nolint:errorlint // set above
			p.Errors = append(p.Errors, cleanFault(e))
		}
	}
	return p, nil
}

// maxFaultLocation bounds how much of a location is repeated to the client.
const maxFaultLocation = 100

// cleanFault keeps a validation message's own words: what huma appends after a
// colon, and the name of a property we don't know, are the client's.
func cleanFault(e *huma.ErrorDetail) Fault {
	message, _, _ := strings.Cut(e.Message, ": ")
	location := e.Location
	if strings.HasPrefix(message, "unexpected property") {
		message = "there is a property that this address doesn't know"
		if i := strings.LastIndexByte(location, '.'); i >= 0 {
			location = location[:i]
		}
	}
	if len(location) > maxFaultLocation {
		location = location[:maxFaultLocation]
	}
	return Fault{Location: location, Message: message}
}
