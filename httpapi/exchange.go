package httpapi

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"manus/docstore"
	"manus/identity"
	"manus/language"
	"manus/ratelimit"
)

// exchange is a request on its way: the writer of its answer, and its context,
// which has the time that the route gives it. Nothing is answered, whoever does
// it, before the limits have been asked.
type exchange struct {
	api      *API
	endpoint *endpoint
	r        *http.Request
	w        http.ResponseWriter
	start    time.Time
	caller   identity.Caller
	// Values of header fields, so that they need no memory of their own.
	id, policy, standing [1]string

	status    int
	bytes     int64
	entered   bool                                   // the headers of all answers are set
	asked     bool                                   // the limits have been asked
	overruled bool                                   // a refusal was answered in place of what is still being written
	guessed   bool                                   // a secret of the caller's account was wrong
	failure   error                                  // why the answer is a server's error, if it is
	ended     func(method, route string, status int) // tells the reporter of the answer; nil for nobody
	done      func(ratelimit.Result)
	part      time.Duration // how long each part of the answer may take; 0 for one deadline for all

	awaited  sync.Mutex        // guards the two below, and the deadline of a body that the limits wait for
	patience *time.Timer       // runs while they do, and then foresees; nil when they don't any more
	foreseen *ratelimit.Answer // a refusal that needs nothing of the body

	choose sync.Once
	chosen language.Tag

	base   context.Context
	once   sync.Once
	made   atomic.Bool // the two below are
	timed  context.Context
	cancel context.CancelFunc
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// RequestID is the id of the request that ctx belongs to, or empty.
func RequestID(ctx context.Context) string {
	if x := exchangeOf(ctx); x != nil {
		return x.id[0]
	}
	return ""
}

// PartTimeout sets how long a reader may take for each part of an answer of a
// route without a Timeout.
func PartTimeout(w http.ResponseWriter, d time.Duration) {
	if x, ok := w.(*exchange); ok {
		x.part = d
	}
}

// Header is the answer's.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader answers, unless the limits have a word to say first.
func (x *exchange) WriteHeader(status int) {
	if final := status >= http.StatusOK || status == http.StatusSwitchingProtocols; final && x.status == 0 {
		if !x.asked && !x.askLate() {
			return
		}
		x.status = status
	}
	if !x.overruled {
		x.extend()
		x.w.WriteHeader(status)
	}
}

// FlushError sends what has been written.
func (x *exchange) FlushError() error {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(x.w).Flush()
}

// lateTimeout is how long the limits may take to decide about a request that is over.
const lateTimeout = 5 * time.Second

// askLate asks the limits about a request that comes to its answer without having
// passed a handler that asks: a body that can't be decoded or doesn't come, a redirect of
// the mux, what should have proved something. It answers itself when the request is one
// too many.
func (x *exchange) askLate() bool {
	if !x.entered {
		x.enter(x.endpoint)
	}
	err := x.askUndecoded()
	if err == nil {
		return true
	}
	x.dropAnswer()
	WriteError(x, x.r, nil, err)
	x.overruled = true
	return false
}

// dropAnswer leaves nothing of the headers that were set for an answer.
func (x *exchange) dropAnswer() {
	maps.DeleteFunc(x.w.Header(), func(name string, _ []string) bool {
		return !slices.Contains([]string{"X-Request-Id", "Ratelimit-Policy", "Ratelimit", "Connection"}, name)
	})
	x.enter(x.endpoint)
}

// askUndecoded asks the limits, unless their refusal is known already. The request's context
// may be over: a body that breaks off or doesn't come ends it, and so does the route's time.
// What has come is counted all the same.
func (x *exchange) askUndecoded() error {
	if x.stopWaiting(); x.foreseen == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(x), lateTimeout)
		defer cancel()
		return x.ask(ctx, tried{})
	}
	x.asked = true
	return x.obey(*x.foreseen)
}

// Write writes a part of the answer.
func (x *exchange) Write(part []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if x.overruled {
		return len(part), nil
	}
	x.extend()
	n, err := x.w.Write(part)
	x.bytes += int64(n)
	return n, err
}

// extend gives the reader time for another part.
func (x *exchange) extend() {
	if x.part > 0 {
		_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(x.part))
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// Deadline is when the route's time is over.
func (x *exchange) Deadline() (time.Time, bool) { return x.context().Deadline() }

// Done is closed when the route's time is over or the client is gone.
func (x *exchange) Done() <-chan struct{} { return x.context().Done() }

// Err is why Done is closed, or would be if anybody waited for it.
func (x *exchange) Err() error {
	if x.made.Load() {
		return x.timed.Err()
	}
	if t := x.endpoint.Timeout; t > 0 && time.Since(x.start) >= t {
		return context.DeadlineExceeded
	}
	return x.base.Err()
}

// Value finds the exchange, its caller and its language.
func (x *exchange) Value(key any) any {
	switch key.(type) {
	case exchangeKey:
		return x
	case identity.Key:
		return &x.caller
	case language.Key:
		return x.language
	case docstore.GuardKey:
		return nil // contexts that have one are made of this one
	}
	return x.context().Value(key)
}

// language is chosen when somebody first wants to know.
func (x *exchange) language() language.Tag {
	x.choose.Do(func() { x.chosen = language.Choose(x.r) })
	return x.chosen
}

// context is the request's with the route's time. The clock for it is set when
// somebody waits: most answers are there before anybody does.
func (x *exchange) context() context.Context {
	x.once.Do(func() {
		x.timed = x.base
		if x.endpoint.Timeout > 0 {
			x.timed, x.cancel = context.WithDeadline(x.base, x.start.Add(x.endpoint.Timeout))
		}
		x.made.Store(true)
	})
	return x.timed
}
