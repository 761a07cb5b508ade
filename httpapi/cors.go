package httpapi

import (
	"net/http"
	"path"
	"slices"
	"strings"
)

// What pages of other origins may send and see. They send their proof in
// Authorization: nothing that a browser adds by itself is asked for.
const (
	corsHeaders = "Accept-Language, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id"
	corsExposed = "Content-Disposition, ETag, Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id"
	corsMaxAge  = "7200" // in seconds; browsers take no more
)

// cors lets pages of the origins allowed read an answer. Whoever else asks gets
// the same answer, which their browser keeps from them.
func (api *API) cors(header http.Header, r *http.Request, e *endpoint) {
	if len(api.Origins) == 0 && !api.LoopbackOnly || !e.CORS && (e != api.fallback || !strings.HasPrefix(path.Clean("/"+r.URL.Path), Prefix+"/")) {
		return
	}
	header.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); slices.Contains(api.Origins, origin) || api.LoopbackOnly && isLocalOrigin(origin) {
		header.Set("Access-Control-Allow-Origin", origin)
		header.Set("Access-Control-Expose-Headers", corsExposed)
	}
}

// isLocalOrigin tells whether an origin is a server's on this machine: a server that is for
// this machine alone takes its pages, so that a front-end's own server can be tried with it.
func isLocalOrigin(origin string) bool {
	host, ok := strings.CutPrefix(origin, "http://")
	return ok && host != "" && !strings.ContainsAny(host, "/?#@") && IsLoopbackHost(host)
}

// answerPreflight answers a browser that asks whether a page may send a request.
func (api *API) answerPreflight(w http.ResponseWriter, r *http.Request) bool {
	header := w.Header()
	if r.Method != http.MethodOptions || header.Get("Access-Control-Allow-Origin") == "" {
		return false
	}
	e := api.find(r, r.Header.Get("Access-Control-Request-Method"))
	if e == nil || !e.CORS {
		return false
	}
	header.Set("Access-Control-Allow-Methods", strings.Join(api.methodsAt(r), ", "))
	header.Set("Access-Control-Allow-Headers", corsHeaders)
	header.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}
