package httpapi

import (
	"cmp"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"manus/identity"
	"manus/language"
	"manus/ratelimit"
)

// Prefix is where the API's routes lie.
const Prefix = "/api/v1"

// What a route has that says nothing else.
const (
	// MaxBody is the greatest request body, in bytes.
	MaxBody     = 64 << 10
	bodyTimeout = 10 * time.Second
	timeout     = 30 * time.Second
	partTimeout = 30 * time.Second
	rateGrace   = 5 * time.Second // before BodyRate counts
	caching     = "no-store"
)

// NoTimeout is the Timeout of a route whose answers may go on for ever, as long
// as each part of them is taken within partTimeout.
const NoTimeout = -1

// Route is an address of the program and what is to be known of it before
// anything answers there. What is left out has the safe value.
type Route struct {
	// Pattern is the method and the path, as net/http's patterns are; Register
	// and Stream put Prefix before the path. For Handle, a path alone is for
	// every method.
	Pattern string
	Access  Access
	// Scope is what an API key needs, beside being its owner's; it is not
	// looked at for Public routes.
	Scope identity.Scope
	// Workers lets workers in too ([identity.Caller.IsWorker]), whose requests are counted
	// by their key and apart from those of people.
	Workers bool
	// Limits are the route's own, unless manus.yaml has a list of rules. None
	// is the default rule, which all such routes share.
	Limits []ratelimit.Rule
	// Guesses is set where a caller may guess a secret of their account.
	Guesses Guesses
	// Proves means that callers prove themselves to the handler, by a signature or a key
	// that it knows; it then calls [Prove]. Limits are only asked then, by proof, or with
	// the answer of what has proved nothing: so a valid request is never refused for
	// what others send from its address, while those are answered 429. So the checking
	// has to be cheap and MaxBody small: that much is done for every request.
	Proves bool
	// Caller is who sends a request, where that isn't found as everywhere (see
	// [Config]).
	Caller FindCaller
	// MaxBody is the greatest request body in bytes; 0 means [MaxBody].
	MaxBody int64
	// Form takes the body as a form too, whose fields are those of the JSON, all of them
	// texts: for what a standard says is sent so.
	Form bool
	// BodyTimeout is how long a client may take to send a body, 0 means 10 s.
	// Timeout is how long the handler has from the request's begin, 0 means 30 s.
	BodyTimeout, Timeout time.Duration
	// BodyRate is how many bytes of a body a client has to send in each second that is waited
	// for it, beyond the first 5; 0 means that BodyTimeout is enough.
	BodyRate int64
	// Caching is the Cache-Control of answers that are no problems; empty means
	// no-store.
	Caching string
	// Headers take the place of the headers that all answers have, see policy.
	// An empty value leaves one out.
	Headers map[string]string
	// CORS lets the origins of CORS_ORIGINS read the answers. Register and
	// Stream set it.
	CORS bool
	// Problem makes the JSON that the route's clients read a problem as, where that isn't
	// RFC 9457's: of what the door refuses, too.
	Problem func(*Problem) any

	// What stands in the reference of the API.
	ID      string        // of the operation, in kebab case
	Group   language.Text // its group's name, set by Register and Stream
	Status  int           // of success; 0 means 200, or 204 where the answer has no body
	Summary language.Text // a few words; Description says the rest where it must
	// Description and Answers are what the types can't tell.
	Description language.Text
	Answers     map[string]Answer // by status
	// Problems are the errors of its group's kinds that the handler answers with.
	// Another one is answered all the same, and the log says that the reference lacks it.
	Problems []error
}

// Guesses bounds how often a caller may guess a secret of their account on a route.
type Guesses struct {
	// As is the route, as Pattern is, that signs in: its limits by account count the
	// guesses of both together.
	As string
	// Wrong is the handler's error that says that a secret was wrong.
	Wrong error
	// Tried tells whether an input of the handler has such a secret in it: what has none
	// isn't refused for the guesses of others. Nil means that each has.
	Tried func(in any) bool
}

// Access is who may call a route.
type Access int

// The kinds of access.
const (
	Known     Access = iota // whoever has proved an account; so a route has to say that it is public
	Public                  // anybody
	Persons                 // whoever has signed in themselves: no API key
	Operators               // operators of the installation
	Workers                 // programs of the product, see [identity.Caller.IsWorker]
)

// allows tells whether the route is for the caller: nil, or ErrUnauthorized,
// ErrNotForKeys or ErrForbidden.
func (r *Route) allows(caller *identity.Caller) error {
	switch {
	case r.Access == Public:
		return nil
	case !caller.Known():
		return ErrUnauthorized
	case r.Access == Persons && caller.LoginID == "":
		return ErrNotForKeys
	case r.Access == Operators && caller.Role != identity.Operator, r.Access == Workers && !caller.IsWorker():
		return ErrForbidden
	case r.Workers && caller.IsWorker():
		return nil
	case r.Scope != "" && !caller.Can(r.Scope):
		return ErrForbidden
	}
	return nil
}

// Answer is one of a route's answers, for the reference.
type Answer struct {
	Description string
	// Types are what the body is made of, by media type; nil where nothing more
	// can be said.
	Types map[string]reflect.Type
}

// JSON is an answer with a T as its body.
func JSON[T any](description string) Answer {
	return Answer{description, map[string]reflect.Type{"application/json": reflect.TypeFor[T]()}}
}

// Method is the HTTP method; empty means every one.
func (r Route) Method() string { return r.Pattern[:max(0, strings.IndexByte(r.Pattern, ' '))] }

// Path is where the route is, below Prefix if it was registered so.
func (r Route) Path() string { return r.Pattern[strings.IndexByte(r.Pattern, ' ')+1:] }

// methods are those that a route may have, apart from HEAD, which GET answers.
func methods() []string {
	return []string{http.MethodDelete, http.MethodGet, http.MethodOptions, http.MethodPatch, http.MethodPost, http.MethodPut}
}

// policy is the headers of answers that say nothing else: pages are allowed
// their own style and nothing from elsewhere, and nothing is kept or embedded.
func policy() map[string]string {
	return map[string]string{
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "same-origin",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
		"Content-Security-Policy":      "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"Cache-Control":                caching,
	}
}

// endpoint is a route, ready to be asked.
type endpoint struct {
	Route
	api     *API
	pattern string // the whole one
	header  []field
	serve   http.HandlerFunc
	handler any   // the function that it was registered with
	group   Group // without one, where it has no typed handler
	// operation is what huma knows of it; nil where it has no typed handler.
	operation *huma.Operation
	types     []reflect.Type // that its handler takes and answers
	// takes means that its handler is given something of a request, which can be wrong.
	takes bool
	// byInput means that the limits may have to wait for the handler's input; tell are the
	// subjects that requests tell them, see [ratelimit.Routes].
	byInput bool
	tell    []ratelimit.Subject
}

// field is a header of every answer. The values are shared, which is well as
// long as headers are set, or added to by append.
type field struct {
	name   string
	values []string
}

// newEndpoint makes a route ready that lies below a prefix.
func (api *API) newEndpoint(prefix string, route Route, serve http.HandlerFunc) *endpoint {
	e := &endpoint{Route: route, api: api, pattern: route.Method() + " " + prefix + route.Path(), serve: serve}
	e.MaxBody = cmp.Or(e.MaxBody, MaxBody)
	e.BodyTimeout, e.Timeout = cmp.Or(e.BodyTimeout, bodyTimeout), cmp.Or(e.Timeout, timeout)
	if e.Access != Public {
		e.tell = append(e.tell, ratelimit.ByUser, ratelimit.ByLogin) // the caller's
	}
	if e.Proves {
		e.tell = append(e.tell, ratelimit.ByProof)
	}
	headers := policy()
	headers["Cache-Control"] = cmp.Or(e.Caching, caching)
	for name, value := range e.Headers {
		headers[http.CanonicalHeaderKey(name)] = value
	}
	for name, value := range headers {
		if value != "" {
			e.header = append(e.header, field{name, []string{value}})
		}
	}
	return e
}

func (api *API) mount(e *endpoint) {
	api.endpoints = append(api.endpoints, e)
	api.mux.Handle(e.pattern, e)
}

// Handle adds a route at the site's root: a page, raw bytes, a proxy.
func (api *API) Handle(route Route, handler http.Handler) {
	mounted, path := methods(), route.Path()
	if method := route.Method(); method != "" {
		mounted = []string{method}
	}
	for _, method := range mounted {
		route.Pattern = method + " " + path
		e := api.newEndpoint("", route, handler.ServeHTTP)
		e.handler = handler
		api.mount(e)
	}
}

// Limits are the patterns of all routes, and the limits that they have of their
// own.
func (api *API) Limits() ratelimit.Routes {
	preflights := ratelimit.NewRule("600/minute", ratelimit.ByAddress)
	preflights.Route = fallbackPattern(http.MethodOptions)
	all := ratelimit.Routes{Rules: []ratelimit.Rule{preflights}, Guesses: map[string]string{}, Tell: map[string][]ratelimit.Subject{}}
	for _, e := range api.endpoints {
		all.Patterns, all.Tell[e.pattern] = append(all.Patterns, e.pattern), e.tell
		for _, rule := range e.Limits {
			rule.Route = e.pattern
			all.Rules = append(all.Rules, rule)
		}
		if as := (Route{Pattern: e.Guesses.As}); as.Pattern != "" { // beside this one
			all.Guesses[e.pattern] = as.Method() + " " + strings.TrimSuffix(e.pattern[len(e.Method())+1:], e.Path()) + as.Path()
		}
	}
	for _, method := range methods() {
		all.Patterns = append(all.Patterns, fallbackPattern(method))
	}
	return all
}

// catchAll is the pattern of requests that no route is for.
const catchAll = "/"

// fallbackPattern is what they are to the limits.
func fallbackPattern(method string) string { return method + " " + catchAll }

// answerFallback answers a preflight of CORS, a question about the server as a whole
// (RFC 9110, OPTIONS *), else 404 or 405.
func (api *API) answerFallback(w http.ResponseWriter, r *http.Request) {
	if api.answerPreflight(w, r) {
		return
	}
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		w.Header().Set("Allow", strings.Join(append(methods(), http.MethodHead), ", "))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	allowed := api.methodsAt(r)
	if r.Method == http.MethodConnect { // names another server, and no address of this one
		allowed = append(methods(), http.MethodHead)
	}
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
