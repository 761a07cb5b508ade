package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"manus/identity"
	"manus/ratelimit"
)

// Limiter decides which requests are too many.
type Limiter interface {
	// Decide returns an error when a request is not to go on uncounted.
	Decide(ctx context.Context, asked ratelimit.Request) (ratelimit.Answer, error)
}

// ErrTooMany is answered to a request that is one too many, errUncounted when
// that can't be told.
var (
	ErrTooMany   = errors.New("there were too many requests")
	errUncounted = errors.New("requests can't be counted just now")
)

// quotaExceeded is the type of the problem (draft-ietf-httpapi-ratelimit-headers).
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

// limit asks the limiter about a request for a route, and sets the headers that
// say where the limits stand. It answers itself when the request is not to go on;
// otherwise done is to be called with the status of the answer.
func (api *API) limit(w http.ResponseWriter, r *http.Request, pattern string, caller identity.Caller) (done func(status int), ok bool) {
	if api.limiter == nil {
		return func(int) {}, true
	}
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		method, path = logMethod(r.Method), "/"
	}
	caller.Address = identity.From(r.Context()).Address
	answer, err := api.limiter.Decide(r.Context(), ratelimit.Request{
		Method: method, Path: path, Caller: caller, Account: func() string { return bodyEmail(r) },
	})
	if err != nil {
		if errors.Is(err, ratelimit.ErrNoCounts) {
			err = errUncounted
		}
		p, _ := common.problem(r.Context(), err)
		writeProblem(w, p)
		return nil, false
	}
	setLimits(w.Header(), answer.Applied)
	if answer.Allowed {
		return answer.Done, true
	}
	p, _ := common.problem(r.Context(), ErrTooMany)
	p.Type, p.retryAfter = quotaExceeded, max(answer.Retry, time.Second)
	for _, applied := range answer.Applied {
		if applied.Violated {
			p.Violated = append(p.Violated, applied.Name)
		}
	}
	writeProblem(w, p)
	return nil, false
}

// setLimits says which limits apply and where they stand, in the fields of
// draft-ietf-httpapi-ratelimit-headers: what remains is what is there for certain,
// and what is said to come is there by then.
func setLimits(header http.Header, applied []ratelimit.Applied) {
	if len(applied) == 0 {
		return
	}
	var policy, state []byte
	for i, a := range applied {
		if i > 0 {
			policy, state = append(policy, ", "...), append(state, ", "...)
		}
		policy = strconv.AppendQuote(policy, a.Name)
		policy = strconv.AppendInt(append(policy, ";q="...), int64(a.N), 10)
		policy = strconv.AppendInt(append(policy, ";w="...), int64(a.Per.Seconds()), 10)
		state = strconv.AppendQuote(state, a.Name)
		state = strconv.AppendInt(append(state, ";r="...), int64(max(0, a.Remaining)), 10)
		wait := a.Reset
		if a.Violated {
			wait = a.Retry
		}
		if wait > 0 {
			state = strconv.AppendInt(append(state, ";t="...), int64(math.Ceil(wait.Seconds())), 10)
		}
	}
	header.Set("RateLimit-Policy", string(policy))
	header.Set("RateLimit", string(state))
}

// bodyEmail is the "email" of a JSON body, which can be read again afterwards.
func bodyEmail(r *http.Request) string {
	if r.Body == nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	r.Body = readAgain{io.MultiReader(bytes.NewReader(text), r.Body), r.Body}
	if err != nil {
		return ""
	}
	var body struct {
		Email string `json:"email"`
	}
	if json.Unmarshal(text, &body) != nil {
		return ""
	}
	return body.Email
}

// readAgain is a body that was read and put together again.
type readAgain struct {
	io.Reader
	io.Closer
}
