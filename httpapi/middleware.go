package httpapi

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"
	"unicode"

	"manus/identity"
	"manus/language"
)

// exchange is what the layers of one request share.
type exchange struct {
	id    string
	route string
	user  string
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	e, _ := ctx.Value(exchangeKey{}).(*exchange)
	return e
}

// RequestID is the id of the request that ctx belongs to, or empty.
func RequestID(ctx context.Context) string {
	if e := exchangeOf(ctx); e != nil {
		return e.id
	}
	return ""
}

// setRoute notes which route serves the request, for logs and metrics.
func setRoute(ctx context.Context, route string) {
	if e := exchangeOf(ctx); e != nil {
		e.route = route
	}
}

// setUser notes whose request it is, for logs.
func setUser(ctx context.Context, userID string) {
	if e := exchangeOf(ctx); e != nil {
		e.user = userID
	}
}

// Observation is one answered request, as Observe reports it.
type Observation struct {
	Method   string
	Route    string // the pattern, empty where none matched
	Status   int
	Duration time.Duration
}

// Observe is the outermost layer. It gives the request its id, catches
// panics, writes one line in the access log and tells observed, which may be
// nil. The id comes from the client's X-Request-Id when that is short and
// plain, so that one id follows a request through several programs.
func Observe(log *slog.Logger, observed func(Observation), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		e := &exchange{id: requestID(r)}
		ctx := context.WithValue(language.Context(r), exchangeKey{}, e)
		r = r.WithContext(ctx)
		rec := &recorder{ResponseWriter: w}
		rec.Header().Set("X-Request-Id", e.id)
		defer func() {
			cause := recover()
			if cause != nil && cause != http.ErrAbortHandler { //nolint:errorlint // the sentinel itself is what is panicked with
				log.Error("panic", "request_id", e.id, "route", e.route, "panic", cause, "stack", string(debug.Stack()))
				if rec.status == 0 {
					WriteError(rec, r, nil, errInternal)
				}
			}
			took := time.Since(start)
			log.LogAttrs(ctx, slog.LevelInfo, "request",
				slog.String("request_id", e.id),
				slog.String("method", logMethod(r.Method)),
				slog.String("route", e.route),
				slog.Int("status", rec.status),
				slog.Int64("bytes", rec.bytes),
				slog.Duration("took", took),
				slog.String("user", e.user),
			)
			if observed != nil {
				observed(Observation{Method: logMethod(r.Method), Route: e.route, Status: rec.status, Duration: took})
			}
			if cause != nil && (rec.status == 0 || cause == http.ErrAbortHandler) { //nolint:errorlint // as above
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(rec, r)
		if rec.status == 0 {
			rec.status = http.StatusOK // net/http sends it when the handler wrote nothing
		}
	})
}

// logMethod is the method if it is a known one: the rest are the client's words.
func logMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "OTHER"
}

// maxRequestID bounds a request id taken over from the client.
const maxRequestID = 64

func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
	}
	if len(id) >= 8 && len(id) <= maxRequestID && strings.IndexFunc(id, func(c rune) bool { return !plain(c) }) < 0 {
		return id
	}
	return rand.Text()
}

// recorder notes the status and size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(body []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(body)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// SecurityHeaders sets the headers that every answer carries. Pages are
// allowed their own style and nothing from elsewhere.
func SecurityHeaders(next http.Handler) http.Handler {
	fixed := http.Header{
		"X-Content-Type-Options":       {"nosniff"},
		"X-Frame-Options":              {"DENY"},
		"Referrer-Policy":              {"no-referrer"},
		"Cross-Origin-Opener-Policy":   {"same-origin"},
		"Cross-Origin-Resource-Policy": {"same-origin"},
		"Permissions-Policy":           {"camera=(), geolocation=(), microphone=()"},
		"Content-Security-Policy":      {"default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		maps.Copy(header, fixed) // the values are shared, which is well as long as headers are set, not added to
		if strings.HasPrefix(r.URL.Path, "/api/") {
			header.Set("Cache-Control", "no-store")
		}
		next.ServeHTTP(w, r)
	})
}

// CapBody bounds every request's body, whatever the handler does with it.
func CapBody(limit int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			w.Header().Set("Connection", "close")
			WriteError(w, r, nil, errTooLarge)
			return
		}
		if r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, limit)
		}
		next.ServeHTTP(w, r)
	})
}

// Client notes the client's address and what it calls itself for the layers
// below. trusted are the proxies whose X-Forwarded-For is believed.
func Client(trusted []netip.Prefix, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stranger := identity.Caller{Address: clientAddress(r, trusted), Agent: clientAgent(r)}
		next.ServeHTTP(w, r.WithContext(identity.With(r.Context(), stranger)))
	})
}

// clientAgent is the User-Agent as short, printable text.
func clientAgent(r *http.Request) string {
	agent := r.UserAgent()
	agent = strings.ToValidUTF8(agent[:min(len(agent), identity.MaxAgent)], "")
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, agent)
}

// clientAddress reads X-Forwarded-For, or Forwarded (RFC 7239) where there is none,
// from the right, each hop vouched for by the one after it, and stops at the first
// that is not a trusted proxy.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := peer.Addr().Unmap()
	if len(trusted) == 0 {
		return address
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	if forwarded := r.Header.Values("Forwarded"); len(forwarded) > 0 && len(r.Header.Values("X-Forwarded-For")) == 0 {
		hops = strings.Split(strings.Join(forwarded, ","), ",")
		for i := range hops {
			hops[i] = forwardedFor(hops[i])
		}
	}
	for i := len(hops) - 1; i >= 0 && isTrusted(address, trusted); i-- {
		hop, err := parseHop(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = hop
	}
	return address
}

// forwardedFor is the client in one element of a Forwarded header; empty when it
// names none.
func forwardedFor(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// parseHop reads one X-Forwarded-For entry; some proxies add the port.
func parseHop(hop string) (netip.Addr, error) {
	if address, err := netip.ParseAddr(hop); err == nil {
		return address.Unmap().WithZone(""), nil
	}
	if inner, ok := strings.CutPrefix(hop, "["); ok && strings.HasSuffix(inner, "]") { // as Forwarded has IPv6
		address, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return address.Unmap().WithZone(""), err
	}
	withPort, err := netip.ParseAddrPort(hop)
	return withPort.Addr().Unmap().WithZone(""), err
}

func isTrusted(address netip.Addr, trusted []netip.Prefix) bool {
	for _, prefix := range trusted {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}
