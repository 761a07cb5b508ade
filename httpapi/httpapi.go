// Package httpapi is what all HTTP routes have in common: problem+json
// errors, request ids, access logs, guards, caps and the OpenAPI document. A
// capability registers its routes through it and keeps its rules to itself;
// this package knows no capability.
package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"manus/identity"
)

// Prefix is where the API's routes lie.
const Prefix = "/api/v1"

// MaxBody is the greatest request body of a route, in bytes.
const MaxBody = 64 << 10

// bodyReadTimeout is how long a client may take to send a body, handlerTimeout
// how long a handler may take to answer, live streams apart.
const (
	bodyReadTimeout = 10 * time.Second
	handlerTimeout  = 30 * time.Second
)

// FindCaller finds out who sends a request. Somebody who proves nothing, or
// nothing valid, is the zero Caller; an error means that it can't be told.
type FindCaller func(*http.Request) (identity.Caller, error)

// API collects the routes of the program.
type API struct {
	mux    *http.ServeMux
	huma   huma.API
	caller FindCaller
	log    *slog.Logger
	routes []Route
	kinds  Kinds
	// limiter is asked about every request; nil lets all through.
	limiter Limiter
	guarded map[string]bool // the patterns whose guard asks the limiter

	spec func() ([]byte, error)
}

// New makes an API without routes. version is the program's. caller is asked
// for routes that aren't public, and for no others.
func New(log *slog.Logger, version string, caller FindCaller) *API {
	config := huma.DefaultConfig("Manus", version)
	config.Info.Description = "Accounts, plans and metered sessions. Errors are RFC 9457 problems; times are RFC 3339 in UTC; ids are opaque."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // they add $schema links that repeat the Host header
	config.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	config.Transformers = []huma.Transformer{cleanHumaError}
	config.Servers = []*huma.Server{{URL: Prefix}}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "An access token from signing in, or an API key."},
	}
	mux := http.NewServeMux()
	api := &API{
		mux:    mux,
		huma:   huma.NewAPI(config, humago.NewAdapter(mux, Prefix)),
		caller: caller,
		log:    log,
		kinds:  slices.Clone(common),

		guarded: map[string]bool{},
	}
	api.spec = sync.OnceValues(api.openAPI)
	return api
}

// Limit sets what is asked whether a request is one too many.
func (api *API) Limit(l Limiter) { api.limiter = l }

// Access is who may call a route.
type Access int

// The kinds of access.
const (
	Known     Access = iota // whoever has proved an account; so a route has to say that it is public
	Public                  // anybody
	Persons                 // whoever has signed in themselves: no API key
	Operators               // operators of the installation
)

// Group is the routes of one room.
type Group struct {
	API  *API
	Name string // in the reference
	// Kinds is what the room's errors are to a client.
	Kinds Kinds
}

// Route is one route.
type Route struct {
	Access Access
	// Scope is what an API key needs, beside being its owner's; it is not
	// looked at for Public routes.
	Scope   identity.Scope
	Pattern string // the method and the path below Prefix: "GET /sessions/{id}"
	ID      string // of the operation, in kebab case
	Group   string // its group's name, set by Register
	Status  int    // of success; 0 means 200, or 204 where the answer has no body
	Summary string // a few words; Description says the rest where it must
	// Description and Responses are what the types can't tell.
	Description string
	Responses   map[string]*huma.Response
}

// Method is the HTTP method.
func (r Route) Method() string {
	method, _, _ := strings.Cut(r.Pattern, " ")
	return method
}

// Path is where the route is, below Prefix.
func (r Route) Path() string {
	_, path, _ := strings.Cut(r.Pattern, " ")
	return path
}

// Register adds a route below Prefix. What the handler returns as an error is
// answered by the first match in the group's kinds, then by what every route
// may answer; an error that neither has is a 500 whose cause only the log gets.
func Register[I, O any](group Group, route Route, handler func(context.Context, *I) (*O, error)) {
	api := group.API
	route.Group = group.Name
	api.routes = append(api.routes, route)
	api.guarded[route.Method()+" "+Prefix+route.Path()] = true
	api.learn(group.Kinds)
	_, stream := any((*O)(nil)).(*huma.StreamResponse)
	huma.Register(api.huma, api.operation(route), func(ctx context.Context, in *I) (*O, error) {
		if !stream {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, handlerTimeout)
			defer cancel()
		}
		out, err := handler(ctx, in)
		if err != nil {
			return nil, api.answer(ctx, group.Kinds, err)
		}
		return out, nil
	})
}

// operation is the route as huma takes it.
func (api *API) operation(route Route) huma.Operation {
	operation := huma.Operation{
		Method: route.Method(), Path: route.Path(), OperationID: route.ID, DefaultStatus: route.Status,
		Summary: route.Summary, Description: route.Description, Tags: []string{route.Group},
		MaxBodyBytes: MaxBody, BodyReadTimeout: bodyReadTimeout,
		Middlewares: huma.Middlewares{api.guard(route)},
		Responses:   map[string]*huma.Response{},
	}
	maps.Copy(operation.Responses, route.Responses)
	operation.Responses["default"] = &huma.Response{
		Description: "A problem",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: SchemaOf[Problem](api)}},
	}
	if route.Access != Public {
		operation.Security = []map[string][]string{{"bearer": {}}}
	}
	return operation
}

// learn adds to the list of all problems.
func (api *API) learn(kinds Kinds) {
	for _, kind := range kinds {
		if !slices.ContainsFunc(api.kinds, func(k Kind) bool { return k.Name == kind.Name }) {
			api.kinds = append(api.kinds, kind)
		}
	}
}

func (api *API) answer(ctx context.Context, kinds Kinds, err error) error {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	p, known := kinds.problem(ctx, err)
	if p.Status >= http.StatusInternalServerError && ctx.Err() == nil {
		level := slog.LevelWarn
		if !known {
			level = slog.LevelError
		}
		api.log.Log(ctx, level, "request failed", "request_id", RequestID(ctx), "status", p.Status, "error", err)
	}
	return p
}

// guard finds out who is calling, asks the limits, and lets through those whom the
// route is for.
func (api *API) guard(route Route) func(huma.Context, func(huma.Context)) {
	pattern := route.Method() + " " + Prefix + route.Path()
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		var caller identity.Caller
		var err error
		if route.Access != Public {
			caller, err = api.caller(r)
			setUser(r.Context(), caller.UserID)
		}
		if err == nil {
			done, ok := api.limit(w, r, pattern, caller)
			if !ok {
				return
			}
			if route.Access != Public {
				err = allowed(route, caller)
			}
			if err != nil {
				done(http.StatusForbidden)
			} else {
				defer func() { done(ctx.Status()) }()
			}
		}
		if err != nil {
			p, _ := common.problem(r.Context(), err)
			writeProblem(w, p)
			return
		}
		if route.Access == Public {
			next(ctx)
			return
		}
		stranger := identity.From(r.Context())
		caller.Address, caller.Agent = stranger.Address, stranger.Agent
		next(huma.WithContext(ctx, identity.With(r.Context(), caller)))
	}
}

func allowed(route Route, caller identity.Caller) error {
	switch {
	case !caller.Known():
		return ErrUnauthorized
	case route.Access == Persons && caller.LoginID == "":
		return ErrNotForKeys
	case route.Access == Operators && caller.Role != identity.Operator:
		return ErrForbidden
	case route.Scope != "" && !caller.Can(route.Scope):
		return ErrForbidden
	}
	return nil
}

// Routes lists every route registered, in order.
func (api *API) Routes() []Route { return slices.Clone(api.routes) }

// Problems lists every kind of problem a route may answer.
func (api *API) Problems() Kinds { return slices.Clone(api.kinds) }

// Mux is where the routes are, for what lies beside them at the site's root.
func (api *API) Mux() *http.ServeMux { return api.mux }

// ServeHTTP answers what is in Mux, with problems in place of the mux's own
// plain-text answers for an unknown path (404) and method (405).
func (api *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, pattern := api.mux.Handler(r)
	setRoute(r.Context(), pattern)
	if !api.guarded[pattern] {
		done, ok := api.limit(w, r, pattern, identity.Caller{})
		if !ok {
			return
		}
		rec := &recorder{ResponseWriter: w}
		defer func() { done(rec.status) }()
		w = rec
	}
	if pattern != "" {
		api.mux.ServeHTTP(w, r)
		return
	}
	var probe statusProbe
	handler.ServeHTTP(&probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		WriteError(w, r, nil, errMethodNotAllowed)
		return
	}
	WriteError(w, r, nil, errNotFound)
}

// statusProbe is a ResponseWriter that keeps the status and the headers only.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header {
	if p.header == nil {
		p.header = http.Header{}
	}
	return p.header
}
func (p *statusProbe) WriteHeader(status int)         { p.status = status }
func (p *statusProbe) Write(body []byte) (int, error) { return len(body), nil }

// OpenAPI is the OpenAPI 3.1 document of all routes, as JSON. It is made once,
// when first asked for, so it is asked for after the last Register.
func (api *API) OpenAPI() ([]byte, error) { return api.spec() }

func (api *API) openAPI() ([]byte, error) {
	doc := api.huma.OpenAPI()
	// huma registers its own error schemas whether or not a route uses them.
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	return json.MarshalIndent(doc, "", "  ")
}

// SchemaOf is the schema of T in the API's OpenAPI document, for routes that
// write their answers themselves.
func SchemaOf[T any](api *API) *huma.Schema {
	return huma.SchemaFromType(api.huma.OpenAPI().Components.Schemas, reflect.TypeFor[T]())
}

// Document is the OpenAPI document as values, for pages that show it.
func (api *API) Document() *huma.OpenAPI { return api.huma.OpenAPI() }

var (
	errNotJSON      = errors.New("the body is not valid JSON")
	errDuplicateKey = errors.New("the body has a key twice in one object")
)

// jsonFormat is JSON whose errors don't repeat what was sent.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	},
	Unmarshal: func(data []byte, v any) error {
		if _, whole := v.(*any); whole { // huma's first pass; the second is for the fields
			if err := checkKeys(data); err != nil {
				return err
			}
		}
		if json.Unmarshal(data, v) != nil {
			return errNotJSON
		}
		return nil
	},
}

// checkKeys refuses JSON with a key twice in one object: two parsers on a
// request's way may each believe another one of them.
func checkKeys(data []byte) error {
	type level struct {
		keys map[string]bool // nil in an array
		key  bool            // a key comes next
	}
	var stack []level
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errNotJSON
		}
		if delim, ok := token.(json.Delim); ok {
			switch delim {
			case '{':
				stack = append(stack, level{keys: map[string]bool{}, key: true})
			case '[':
				stack = append(stack, level{})
			default:
				stack = stack[:len(stack)-1]
				if len(stack) > 0 {
					stack[len(stack)-1].key = true
				}
			}
			continue
		}
		if len(stack) == 0 {
			continue
		}
		top := &stack[len(stack)-1]
		if top.keys == nil {
			continue
		}
		if name, ok := token.(string); ok && top.key {
			if top.keys[name] {
				return errDuplicateKey
			}
			top.keys[name] = true
			top.key = false
			continue
		}
		top.key = true
	}
}
