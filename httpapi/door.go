package httpapi

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/identity"
	"manus/ratelimit"
)

// ServeHTTP is a request's way: recover and report, request id, client address,
// route, caller, body, limits, handler.
func (api *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{
		w: w, api: api, start: time.Now(), endpoint: api.fallback,
		caller: identity.Caller{Address: clientAddress(r, api.TrustedProxies, api.ProxyHeader), Agent: clientAgent(r)},
	}
	api.proxies.note(r, x.caller.Address, api.TrustedProxies, api.ProxyHeader, api.Log)
	x.begin(r)
	x.r = api.atRoot(r.WithContext(x))
	x.id[0] = requestID(r)
	w.Header()["X-Request-Id"] = x.id[:]
	if api.draining.Load() || len(r.TransferEncoding) > 0 { // after chunks: RFC 9112, 6.1
		w.Header().Set("Connection", "close")
	}
	defer x.end()
	if api.LoopbackOnly && !IsLoopbackHost(r.Host) {
		x.enter(api.fallback)
		WriteError(x, x.r, nil, errWrongHost)
		return
	}
	if r.RequestURI == "*" || r.Method == http.MethodConnect { // which the mux answers in words of its own
		api.fallback.ServeHTTP(x, x.r)
		return
	}
	if sent := r.URL.EscapedPath(); tidy(sent) != sent {
		redirect(x, x.r, tidy(sent))
		return
	}
	api.mux.ServeHTTP(x, x.r) // which asks the guard of a route, or redirects to it with a slash at the end
}

// atRoot is a request for the root of a host as one for the path that is answered there.
func (api *API) atRoot(r *http.Request) *http.Request {
	if len(api.Root) == 0 || r.URL.Path != "/" {
		return r
	}
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = r.Host
	}
	if path := api.Root[strings.ToLower(name)]; path != "" {
		u := *r.URL
		u.Path, u.RawPath = path, ""
		r.URL = &u
	}
	return r
}

// tidy is an escaped path as routes have it: without empty steps, "." and "..".
func tidy(escaped string) string {
	if !strings.HasPrefix(escaped, "/") {
		escaped = "/" + escaped
	}
	clean := path.Clean(escaped)
	if clean != "/" && strings.HasSuffix(escaped, "/") {
		clean += "/"
	}
	return clean
}

// redirect sends a client on to an escaped path, with the same query. The mux would escape
// it once more.
func redirect(w http.ResponseWriter, r *http.Request, escaped string) {
	if query := r.URL.RawQuery; query != "" {
		escaped += "?" + query
	}
	http.Redirect(w, r, escaped, http.StatusTemporaryRedirect)
}

// ServeHTTP is the part of the way that begins once the route is known.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := w.(*exchange)
	x.enter(e)
	if err := x.admit(r); err != nil {
		x.setReadDeadline(time.Now().Add(refusedBodyTimeout))
		WriteError(w, r, nil, err)
		return
	}
	e.serve(w, r)
}

// refusedBodyTimeout is how long the body of a refused request is waited for: the
// connection can be used again if it is there, and the answer doesn't wait if it isn't.
const refusedBodyTimeout = 100 * time.Millisecond

// enter notes the route that is asked for, and says what its answers have in
// common.
func (x *exchange) enter(e *endpoint) {
	x.endpoint, x.entered = e, true
	header := x.w.Header()
	for _, f := range e.header {
		header[f.name] = f.values
	}
	x.api.cors(header, x.r, e)
}

// admit lets a request through, or returns why not.
func (x *exchange) admit(r *http.Request) error {
	e := x.endpoint
	if e.Access != Public {
		if err := x.findCaller(r); err != nil {
			x.asked = !errors.Is(err, ErrCrossSite) // otherwise nobody is to be blamed
			return err
		}
	}
	if err := x.capBody(r); err != nil {
		return err
	}
	switch {
	case e.Proves: // see Prove
	case e.byInput && x.api.limiter != nil && x.api.limiter.ByInput(e.pattern):
		x.waitForInput(r)
	default:
		if err := x.ask(x, tried{}); err != nil {
			return err
		}
	}
	return e.allows(&x.caller)
}

// waitForInput has the limits wait for a body, and foresee if that takes long whether
// they have to.
func (x *exchange) waitForInput(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	x.awaited.Lock()
	defer x.awaited.Unlock()
	x.patience = time.AfterFunc(refusedBodyTimeout, x.foresee)
}

// stopWaiting ends that.
func (x *exchange) stopWaiting() {
	x.awaited.Lock()
	defer x.awaited.Unlock()
	if x.patience != nil {
		x.patience.Stop()
		x.patience = nil
	}
}

func (x *exchange) findCaller(r *http.Request) error {
	find := x.endpoint.Caller
	if find == nil {
		find = x.api.Caller
	}
	caller, err := find(r)
	caller.Address, caller.Agent = x.caller.Address, x.caller.Agent
	x.caller = caller
	return err
}

// capBody bounds the body and the time for it.
func (x *exchange) capBody(r *http.Request) error {
	if x.endpoint.Timeout != timeout { // the connection has the server's until now
		x.setReadDeadline(time.Time{})
		x.part = partTimeout
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	if r.ContentLength > x.endpoint.MaxBody {
		x.w.Header().Set("Connection", "close")
		return errTooLarge
	}
	until := time.Now().Add(x.endpoint.BodyTimeout)
	x.setReadDeadline(until)
	r.Body = &body{ReadCloser: http.MaxBytesReader(x.w, r.Body, x.endpoint.MaxBody), x: x, until: until}
	return nil
}

func (x *exchange) setReadDeadline(t time.Time) {
	_ = http.NewResponseController(x.w).SetReadDeadline(t) // a recorder in a test has none
}

// body is what a client sends: its faults have names, and once it has been read
// the time for it has no more to say.
type body struct {
	io.ReadCloser
	x      *exchange
	until  time.Time     // when the time for it is over
	waited time.Duration // for what has come
	come   int64         // bytes
}

// Read returns errTooLarge, errSlowBody and errBrokenBody, with their causes.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.read(p)
	switch {
	case err == nil:
	case err == io.EOF: //nolint:errorlint // as readers return it
		b.x.stopWaiting()
		b.x.setReadDeadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("%w: %w", errSlowBody, err)
	case errors.Is(err, http.ErrBodyReadAfterClose): // the program's fault
	default:
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			err = fmt.Errorf("%w: %w", errTooLarge, err)
		} else {
			err = fmt.Errorf("%w: %w", errBrokenBody, err)
		}
	}
	return n, err
}

// read reads what comes, and doesn't wait for those who send less than they have to. The
// time in which nobody reads isn't theirs.
func (b *body) read(p []byte) (int, error) {
	rate := b.x.endpoint.BodyRate
	if rate <= 0 {
		return b.ReadCloser.Read(p)
	}
	began := time.Now()
	left := rateGrace + time.Duration(b.come/rate)*time.Second - b.waited
	if until := began.Add(left); until.Before(b.until) {
		b.x.setReadDeadline(until)
	} else {
		b.x.setReadDeadline(b.until)
	}
	n, err := b.ReadCloser.Read(p)
	b.come += int64(n)
	b.waited += time.Since(began)
	return n, err
}

// end reports the request, and answers it when its handler has panicked.
func (x *exchange) end() {
	cause := recover()
	abort := cause == http.ErrAbortHandler //nolint:errorlint // the sentinel itself is what is panicked with
	if cause != nil && !abort {
		x.api.Log.Error("panic", "request_id", x.id[0], "route", x.route(), "panic", cause, "stack", string(debug.Stack()))
		x.fail(http.StatusInternalServerError, cause, true)
		if abort = x.status != 0; !abort { // half an answer isn't to be taken for a whole one
			p, _ := common.problem(x, errInternal)
			WriteError(x, x.r, nil, p)
		}
	}
	if cause == nil && x.status == 0 {
		x.WriteHeader(http.StatusOK) // as net/http does when the handler wrote nothing
	}
	if cause == nil && x.failure != nil && x.status >= http.StatusInternalServerError {
		x.fail(x.status, x.failure, false)
	}
	x.stopWaiting()
	if x.once.Do(func() { x.timed = x.base }); x.cancel != nil {
		x.cancel()
	}
	if x.done != nil {
		x.done(ratelimit.Result{Status: x.status, Guessed: x.guessed})
	}
	if x.ended != nil {
		x.ended(logMethod(x.r.Method), x.route(), x.status)
	}
	x.report()
	if abort {
		panic(http.ErrAbortHandler)
	}
}

// route is the pattern of what was asked for; empty where there is nothing.
func (x *exchange) route() string {
	if x.endpoint == x.api.fallback {
		return ""
	}
	return x.endpoint.pattern
}

// report writes a line in the access log and counts the answer. The labels of
// metrics are few: patterns of routes, not paths.
func (x *exchange) report() {
	took, method, route := time.Since(x.start), logMethod(x.r.Method), x.route()
	level := slog.LevelInfo
	if x.api.Routine != nil && x.status < http.StatusBadRequest && x.api.Routine(x.r) {
		level = slog.LevelDebug
	}
	if handler := x.api.Log.Handler(); handler.Enabled(x.base, level) {
		line := slog.NewRecord(x.start.Add(took), level, "request", 0) // from where in the program is no news
		line.AddAttrs(
			slog.String("request_id", x.id[0]),
			slog.String("method", method),
			slog.String("route", route),
			slog.Int("status", x.status),
			slog.Int64("bytes", x.bytes),
			slog.Duration("took", took),
			slog.String("user", x.caller.UserID),
		)
		_ = handler.Handle(x.base, line)
	}
	x.api.requests.WithLabelValues(method, route, strconv.Itoa(x.status)).Observe(took.Seconds())
}

// newHistogram measures answers.
func newHistogram() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "manus_http_request_duration_seconds",
		Help:    "Time to answer a request, streams included, by route.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"method", "route", "status"})
}

// logMethod is the method if it is a known one: the rest are the client's words.
func logMethod(method string) string {
	if method == http.MethodHead || slices.Contains(methods(), method) {
		return method
	}
	return "OTHER"
}

// requestID comes from the client's X-Request-Id when that is short and plain, so
// that one id follows a request through several programs.
func requestID(r *http.Request) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	id := r.Header.Get("X-Request-Id")
	if len(id) >= 8 && len(id) <= 64 && strings.Trim(id, plain) == "" {
		return id
	}
	return rand.Text()
}
