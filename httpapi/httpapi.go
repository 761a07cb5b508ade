// Package httpapi owns the door: whatever answers a request, a typed handler, a
// page, raw bytes, a stream or a proxy, the request has passed one line of
// questions (see [API.ServeHTTP]), and its [Route] has said the answers where it
// was registered.
//
// It knows no capability: rooms register their routes and keep their rules to
// themselves. huma, which decodes, validates and documents what typed handlers
// take, is known to nobody else.
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"manus/identity"
	"manus/language"
	"manus/ratelimit"
)

// FindCaller finds out who sends a request. Somebody who proves nothing, or
// nothing valid, is the zero Caller; an error means that it can't be told.
type FindCaller func(*http.Request) (identity.Caller, error)

// Config is what an API is made of.
type Config struct {
	Log     *slog.Logger
	Version string // the program's
	// Caller is asked for routes that aren't public, and for no others.
	Caller FindCaller
	// TrustedProxies are those whose ProxyHeader is believed: X-Forwarded-For, which
	// empty means too, or Forwarded.
	TrustedProxies []netip.Prefix
	ProxyHeader    string
	// LoopbackOnly refuses requests whose Host isn't this machine (see IsLoopbackHost),
	// for a server that is for nobody else.
	LoopbackOnly bool
	// Root is the path that is answered at the root of a host, by the host's name, which has no port.
	Root map[string]string
	// Origins are those whose pages may read the answers of routes with CORS.
	Origins []string
	// Routine tells of requests that nobody reads of as long as they go well: they are logged for
	// debugging alone. Where it is nil there are none.
	Routine func(*http.Request) bool
	// Page shows problems to people who ask for pages; nil shows them what programs get.
	Page ProblemPage
	// Reporter is told of requests that failed; nil is nobody.
	Reporter Reporter
	// Metrics gets the times of answers; nil measures none.
	Metrics prometheus.Registerer
}

// API is all addresses of the program, and the door before them.
type API struct {
	Config
	mux       *http.ServeMux
	huma      huma.API
	endpoints []*endpoint
	kinds     Kinds
	limiter   Limiter // nil lets all through
	repeats   Repeats // nil remembers nothing
	fallback  *endpoint
	requests  *prometheus.HistogramVec
	draining  atomic.Bool
	proxies   proxyWatch
	groups    []Group // of routes, one of each name
}

// New makes an API without routes.
func New(c Config) *API {
	api := NewList()
	api.Config = c
	api.huma = newHuma(c.Version)
	if c.Metrics != nil {
		c.Metrics.MustRegister(api.requests)
	}
	return api
}

// NewList makes an API that only lists what is registered with it, and can't be
// asked: typed handlers, whose types take their time, are left out.
func NewList() *API {
	api := &API{mux: http.NewServeMux(), kinds: slices.Clone(common), requests: newHistogram()}
	api.fallback = api.newEndpoint("", Route{Pattern: catchAll, Access: Public}, api.answerFallback)
	api.mux.Handle(catchAll, api.fallback)
	return api
}

func newHuma(version string) huma.API {
	config := huma.DefaultConfig("Manus", version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // they add $schema links that repeat the Host header
	config.Formats = map[string]huma.Format{"application/json": jsonFormat(), "json": jsonFormat()}
	config.Transformers = []huma.Transformer{cleanHumaError, noteChanging}
	describe(config.OpenAPI)
	return huma.NewAPI(config, nil) // each route is an adapter of its own
}

// Limit sets what is asked whether a request is one too many.
func (api *API) Limit(l Limiter) { api.limiter = l }

// Drain closes each connection with its answer from now on, so that no request
// comes on a connection that is about to be closed.
func (api *API) Drain() { api.draining.Store(true) }

// Group is the routes of one room.
type Group struct {
	API  *API
	Name language.Text // in the reference
	// About is what its routes are for, in a sentence; several groups of one name share one, and
	// the routes of that which has it come first.
	About language.Text
	// Chapter is the part of the reference that it stands in.
	Chapter Chapter
	// Kinds is what the room's errors are to a client.
	Kinds Kinds
}

// Chapter is a part of the reference. Readers are told of the first one first.
type Chapter int

// The chapters, in the order in which they are needed.
const (
	_                Chapter = iota
	ChapterSigningIn         // how people and programs prove who they are
	ChapterAccount           // what a person has here
	ChapterProduct           // what it is all for
	ChapterOperating         // for those who run it
)

// Register adds a route below Prefix. What the handler returns as an error is
// answered by the first match in the group's kinds, then by what every route
// may answer; an error that neither has is a 500 whose cause only the log gets.
//
// An input with a method LimitAccount() string tells by it which account is being
// tried, for rules that count by account, and one with LimitRefresh() string which
// refresh token is, for rules that count by login: they see what the handler sees.
func Register[I, O any](group Group, route Route, handler func(context.Context, *I) (*O, error)) {
	api := group.API
	route.Group, route.CORS = group.Name, true
	api.learn(group.Kinds)
	e := api.newEndpoint(Prefix, route, nil)
	e.learnInput(new(I))
	e.handler = handler
	e.group, e.types = group, []reflect.Type{reflect.TypeFor[I](), reflect.TypeFor[O]()}
	api.mount(e)
	if api.huma == nil {
		return
	}
	api.learnGroup(group)
	huma.Register(typed{api.huma, e}, api.operation(&e.Route), func(ctx context.Context, in *I) (*O, error) {
		err := askDecoded(ctx, in)
		if err == nil {
			var out *O
			if out, err = matched(ctx, in, handler); err == nil {
				return out, nil
			}
		}
		if x := exchangeOf(ctx); x != nil && route.Guesses.Wrong != nil {
			x.guessed = errors.Is(err, route.Guesses.Wrong)
		}
		e.tellUnnamed(ctx, err)
		return nil, answer(ctx, group.Kinds, err)
	})
}

// learnInput learns what limits can be told by an input of the handler. Those of a route
// that proves aren't asked about that.
func (e *endpoint) learnInput(in any) {
	if e.Proves {
		return
	}
	e.byInput = e.Guesses.As != ""
	if _, ok := in.(accountInput); ok {
		e.byInput, e.tell = true, append(e.tell, ratelimit.ByAccount)
	}
	if _, ok := in.(refreshInput); ok {
		e.byInput, e.tell = true, append(e.tell, ratelimit.ByLogin)
	}
}

// Stream is Register for a handler whose answer is written by what it returns,
// as long as that takes.
func Stream[I any](group Group, route Route, handler func(context.Context, *I) (http.HandlerFunc, error)) {
	route.Timeout = NoTimeout
	Register(group, route, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		write, err := handler(ctx, in)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			r, w := humago.Unwrap(hctx)
			write(w, r)
		}}, nil
	})
}

// typed is what huma registers one route with.
type typed struct {
	huma.API
	route *endpoint
}

// Adapter is the route itself.
func (t typed) Adapter() huma.Adapter { return t.route }

// Handle is called by huma, once it has completed what it knows of the route.
func (e *endpoint) Handle(operation *huma.Operation, handle func(huma.Context)) {
	e.operation = operation
	e.complete(operation)
	e.serve = func(w http.ResponseWriter, r *http.Request) {
		if operation.RequestBody != nil {
			if err := readJSON(r, e.Form); err != nil {
				WriteError(w, r, nil, err)
				return
			}
		}
		do := func(w http.ResponseWriter, r *http.Request) { handle(humago.NewContext(operation, r, w)) }
		e.serveOnce(w, r, func(w http.ResponseWriter, r *http.Request) { e.serveTagged(w, r, do) })
	}
}

// learn adds to the list of all problems.
func (api *API) learn(kinds Kinds) {
	for _, kind := range kinds {
		if !slices.ContainsFunc(api.kinds, func(k Kind) bool { return k.Name == kind.Name }) {
			api.kinds = append(api.kinds, kind)
		}
	}
}

// Problems lists every kind of problem a route may answer.
func (api *API) Problems() Kinds { return slices.Clone(api.kinds) }
