package httpapi

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"manus/ratelimit"
)

// Limiter decides which requests are too many.
type Limiter interface {
	// Decide returns an error when a request is not to go on uncounted.
	Decide(ctx context.Context, asked ratelimit.Request) (ratelimit.Answer, error)
	// ByInput tells whether a decision about the route needs what the input says:
	// which account or which login is being tried, and whether a secret is.
	ByInput(route string) bool
	// Peek decides by what is known without that, and counts nothing.
	Peek(ctx context.Context, asked ratelimit.Request) ratelimit.Answer
}

// ErrTooMany is answered to a request that is one too many, errUncounted when
// that can't be told.
var (
	ErrTooMany   = errors.New("there were too many requests")
	errUncounted = errors.New("requests can't be counted just now")
)

// accountInput is an input of a typed handler that tells which account is tried, by
// its e-mail address; empty for none.
type accountInput interface{ LimitAccount() string }

// refreshInput is an input that has a refresh token.
type refreshInput interface{ LimitRefresh() string }

// tried is what an input says that is being tried, see [ratelimit.Request].
type tried struct{ account, refresh, guess string }

// askDecoded asks the limits about a request whose input has just been decoded, if
// they have waited for that.
func askDecoded(ctx context.Context, in any) error {
	x := exchangeOf(ctx)
	if x == nil || x.asked || x.endpoint.Proves {
		return nil
	}
	var t tried
	if account, ok := in.(accountInput); ok {
		t.account = account.LimitAccount()
	}
	if token, ok := in.(refreshInput); ok {
		t.refresh = token.LimitRefresh()
	}
	if g := x.endpoint.Guesses; g.As != "" && (g.Tried == nil || g.Tried(in)) {
		t.guess = x.caller.Account
	}
	return x.ask(x, t)
}

// Proof is what a request has proved itself by, see [Prove].
type Proof = ratelimit.Proof

// errDoesNotProve is a mistake in the program.
var errDoesNotProve = errors.New("the route of a handler that proves its caller doesn't say Proves")

// Prove says that a handler knows who sends the request, by a signature or a key that it
// has checked. It is called on routes that say [Route.Proves], before the handler does
// anything for the caller. Such a request is counted by the subject of its proof, and not
// by its address. The error is the problem to be answered, where that is one too many:
// [ErrTooMany], with a RetryAfter, or one that says that it can't be told.
func Prove(ctx context.Context, p Proof) error {
	x := exchangeOf(ctx)
	switch {
	case x == nil:
		return nil
	case !x.endpoint.Proves:
		return errDoesNotProve
	case x.asked:
		return nil
	}
	return x.decide(x, ratelimit.Request{Proof: &p})
}

// workerLimit is how often a worker may call a route that is for people too.
var workerLimit = ratelimit.NewRule("60000/minute").Limit

// ask asks the limits about a request that has proved nothing but who the caller is.
func (x *exchange) ask(ctx context.Context, t tried) error {
	if x.endpoint.Workers && x.caller.IsWorker() {
		return x.decide(ctx, ratelimit.Request{Proof: &Proof{Subject: x.caller.KeyID, Limit: workerLimit}})
	}
	return x.decide(ctx, ratelimit.Request{Account: t.account, Refresh: t.refresh, Guess: t.guess})
}

// decide asks the limits about the request, all of its route's rules at once, and says
// in the headers where they stand. It returns the problem to be answered when the
// request is one too many, or errUncounted.
func (x *exchange) decide(ctx context.Context, asked ratelimit.Request) error {
	x.asked = true
	x.stopWaiting()
	if x.api.limiter == nil {
		return nil
	}
	answer, err := x.api.limiter.Decide(ctx, x.limited(asked))
	switch {
	case errors.Is(err, ratelimit.ErrNoCounts):
		p, _ := common.problem(x, errUncounted) // which has been logged
		return p
	case err != nil:
		return err
	}
	if answer.Allowed {
		x.done = answer.Done
	}
	return x.obey(answer)
}

// foresee looks whether a request that is awaited is refused whatever comes yet. If so, its
// body isn't awaited any longer.
func (x *exchange) foresee() {
	answer := x.api.limiter.Peek(x, x.limited(ratelimit.Request{}))
	x.awaited.Lock()
	defer x.awaited.Unlock()
	if !answer.Allowed && x.patience != nil {
		x.foreseen = &answer
		x.setReadDeadline(time.Now())
	}
}

// limited is what is asked, with what the exchange knows.
func (x *exchange) limited(asked ratelimit.Request) ratelimit.Request {
	asked.Route, asked.Caller = x.endpoint.pattern, x.caller
	if x.endpoint == x.api.fallback {
		asked.Route = fallbackPattern(logMethod(x.r.Method))
	}
	return asked
}

// obey says where the limits stand, and returns the problem to be answered when the
// request is one too many.
func (x *exchange) obey(answer ratelimit.Answer) error {
	x.setLimits(answer.Applied)
	if answer.Allowed {
		return nil
	}
	p, _ := common.problem(x, ErrTooMany)
	p.retryAfter, p.cause = max(answer.Retry, time.Second), ErrTooMany
	for _, applied := range answer.Applied {
		if applied.Violated {
			p.Violated = append(p.Violated, applied.Name())
		}
	}
	return p
}

// setLimits says which limits apply and where they stand, in the fields of
// draft-ietf-httpapi-ratelimit-headers: what remains is what is there for certain,
// and what is said to come is there by then. No wait is said to be longer than its window is,
// though large limits are counted in steps of it and may take one more: Retry-After says that.
func (x *exchange) setLimits(applied []ratelimit.Applied) {
	if len(applied) == 0 {
		return
	}
	policy, state := make([]byte, 0, 192), make([]byte, 0, 192) // room for five
	for i, a := range applied {
		if i > 0 {
			policy, state = append(policy, ", "...), append(state, ", "...)
		}
		policy = appendName(policy, a)
		policy = strconv.AppendInt(append(policy, ";q="...), int64(a.N), 10)
		policy = strconv.AppendInt(append(policy, ";w="...), int64(a.Per.Seconds()), 10)
		state = appendName(state, a)
		state = strconv.AppendInt(append(state, ";r="...), int64(max(0, a.Remaining)), 10)
		wait := a.Reset
		if a.Violated {
			wait = a.Retry
		}
		if wait = min(wait, a.Per); wait > 0 {
			state = strconv.AppendInt(append(state, ";t="...), int64(math.Ceil(wait.Seconds())), 10)
		}
	}
	x.policy[0], x.standing[0] = string(policy), string(state)
	header := x.w.Header() // whose fields are in this case
	header["Ratelimit-Policy"], header["Ratelimit"] = x.policy[:], x.standing[:]
}

// appendName is the limit's policy by name, as a string of a structured field.
func appendName(to []byte, a ratelimit.Applied) []byte {
	to = append(append(append(to, '"'), a.Kind...), '-')
	return append(strconv.AppendInt(to, int64(a.Per.Seconds()), 10), '"')
}
