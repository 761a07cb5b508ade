package httpapi

import (
	"net/http"
	"slices"
	"strings"
)

// catchAll is the pattern of requests that no route is for.
const catchAll = "/"

// fallbackPattern is what they are to the limits.
func fallbackPattern(method string) string { return method + " " + catchAll }

// answerFallback answers a preflight of CORS, else 404 or 405.
func (api *API) answerFallback(w http.ResponseWriter, r *http.Request) {
	if api.answerPreflight(w, r) {
		return
	}
	allowed := api.methodsAt(r)
	if len(allowed) == 0 {
		WriteError(w, r, nil, ErrNotFound)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	WriteError(w, r, nil, errMethodNotAllowed)
}

// find is the route of a method at the request's address; nil for none.
func (api *API) find(r *http.Request, method string) *endpoint {
	handler, _ := api.mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host})
	if e, ok := handler.(*endpoint); ok && e != api.fallback {
		return e
	}
	return nil
}

// methodsAt are the methods that the request's address takes.
func (api *API) methodsAt(r *http.Request) []string {
	taken := append(methods(), http.MethodHead)
	taken = slices.DeleteFunc(taken, func(method string) bool { return api.find(r, method) == nil })
	slices.Sort(taken)
	return taken
}
