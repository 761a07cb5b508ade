package report

import (
	"context"
	"math/rand/v2"
	"net/http"
	"regexp"

	"github.com/getsentry/sentry-go"

	"manus/docstore"
	"manus/ratelimit"
)

// forms are how the two headers say which trace a request is of, and whether that is kept.
var forms = []struct {
	header string
	form   *regexp.Regexp
}{
	{"Sentry-Trace", regexp.MustCompile(`^([0-9a-f]{32})-([0-9a-f]{16})(?:-([01]))?$`)},
	{"Traceparent", regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}`)}, // load balancers set its flag of all requests
}

// parent is the trace that another program has begun.
type parent struct{ trace, span, kept string }

// parentOf is what a request's headers say of the trace that it belongs to.
func parentOf(r *http.Request) (p parent, found bool) {
	for _, f := range forms {
		if match := f.form.FindStringSubmatch(r.Header.Get(f.header)); match != nil {
			p.trace, p.span = match[1], match[2]
			if len(match) > 3 {
				p.kept = match[3]
			}
			return p, true
		}
	}
	return p, false
}

// traceOf is the trace that a request belongs to, as an event's context; nil where there is
// none.
func traceOf(r *http.Request) sentry.Context {
	if span := sentry.SpanFromContext(r.Context()); span != nil {
		return sentry.Context{"trace_id": span.TraceID.String(), "span_id": span.SpanID.String()}
	}
	if p, found := parentOf(r); found {
		return sentry.Context{"trace_id": p.trace, "span_id": p.span}
	}
	return nil
}

// Begin begins the trace of a request, if it is one of those that are traced. A trace that
// another program has begun goes on under its ids; that it is kept there doesn't make it one
// here, as everybody may say so, but one that isn't kept there isn't here. What reports are
// sent by is never traced.
func (r *Reporter) Begin(request *http.Request) (context.Context, func(method, route string, status int)) {
	ctx := request.Context()
	if r == nil || r.rate <= 0 || request.Header.Get(marker) != "" || sentTo.MatchString(request.URL.Path) {
		return ctx, nil
	}
	p, continued := parentOf(request)
	if p.kept == "0" || rand.Float64() >= r.rate { //nolint:gosec // it is no secret which are traced
		return ctx, nil
	}
	options := []sentry.SpanOption{
		sentry.WithOpName("http.server"), sentry.WithTransactionSource(sentry.SourceRoute), sentry.WithSpanSampled(sentry.SampledTrue),
	}
	if continued {
		options = append(options, sentry.ContinueFromTrace(p.trace+"-"+p.span+"-1"))
	}
	ctx = sentry.SetHubOnContext(ctx, sentry.NewHub(r.client, sentry.NewScope()))
	span := sentry.StartTransaction(ctx, "", options...)
	return span.Context(), func(method, route string, status int) {
		span.Name = route
		if route == "" {
			span.Name = method + " (no route)"
		}
		span.Status = sentry.HTTPtoSpanStatus(status)
		span.SetData("http.request.method", method)
		span.SetData("http.response.status_code", status)
		if r.queue.hasRoom(maxTraces) {
			span.Finish()
		}
	}
}

// sentTo are the paths that SDKs send to: each report of a trace would be a trace.
var sentTo = regexp.MustCompile(`^/api/[^/]+/(envelope|store)/?$`)

// hasSpans tells whether somebody looks at what happened within a trace: the inbox counts
// how long it took as a whole.
func (r *Reporter) hasSpans() bool { return r != nil && r.rate > 0 && r.host != "" }

// within has a span of what is done within a request that is traced.
func within(ctx context.Context, op, name string, data map[string]string) (context.Context, func(error)) {
	if sentry.SpanFromContext(ctx) == nil {
		return ctx, func(error) {}
	}
	span := sentry.StartSpan(ctx, op, sentry.WithDescription(name))
	for name, value := range data {
		span.SetData(name, value)
	}
	return span.Context(), func(err error) {
		span.Status = sentry.SpanStatusOK
		if err != nil {
			span.Status = sentry.SpanStatusInternalError
		}
		span.Finish()
	}
}

// Store has what a traced request does with a store in its trace.
func (r *Reporter) Store(store docstore.Store, system string) docstore.Store {
	if !r.hasSpans() {
		return store
	}
	return tracedStore{store, system}
}

type tracedStore struct {
	docstore.Store
	system string
}

func (s tracedStore) within(ctx context.Context, operation, collection string) (context.Context, func(error)) {
	return within(ctx, "db.query", operation+" "+collection, map[string]string{
		"db.system": s.system, "db.operation": operation, "db.collection.name": collection,
	})
}

// Get is the store's.
func (s tracedStore) Get(ctx context.Context, collection, id string) (raw docstore.Raw, err error) {
	ctx, end := s.within(ctx, "get", collection)
	defer func() { end(docstore.NotFoundAs(err, nil)) }()
	return s.Store.Get(ctx, collection, id)
}

// GetAll is the store's.
func (s tracedStore) GetAll(ctx context.Context, collection string, ids ...string) (docs []docstore.Raw, err error) {
	ctx, end := s.within(ctx, "get", collection)
	defer func() { end(err) }()
	return s.Store.GetAll(ctx, collection, ids...)
}

// Find is the store's.
func (s tracedStore) Find(ctx context.Context, collection string, q docstore.Query) (page docstore.Page, err error) {
	ctx, end := s.within(ctx, "find", collection)
	defer func() { end(err) }()
	return s.Store.Find(ctx, collection, q)
}

// Insert is the store's.
func (s tracedStore) Insert(ctx context.Context, collection string, docs ...docstore.Document) (err error) {
	ctx, end := s.within(ctx, "insert", collection)
	defer func() { end(err) }()
	return s.Store.Insert(ctx, collection, docs...)
}

// Upsert is the store's.
func (s tracedStore) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) (err error) {
	ctx, end := s.within(ctx, "update", collection)
	defer func() { end(err) }()
	return s.Store.Upsert(ctx, collection, id, change)
}

// Delete is the store's.
func (s tracedStore) Delete(ctx context.Context, collection, id string) (err error) {
	ctx, end := s.within(ctx, "delete", collection)
	defer func() { end(docstore.NotFoundAs(err, nil)) }()
	return s.Store.Delete(ctx, collection, id)
}

// DeleteRange is the store's.
func (s tracedStore) DeleteRange(ctx context.Context, collection string, q docstore.Query) (n int, err error) {
	ctx, end := s.within(ctx, "delete", collection)
	defer func() { end(err) }()
	return s.Store.DeleteRange(ctx, collection, q)
}

// Batch is the store's.
func (s tracedStore) Batch(ctx context.Context, changes []docstore.Change) []error {
	collection := ""
	if len(changes) > 0 {
		collection = changes[0].Collection
	}
	ctx, end := s.within(ctx, "batch", collection)
	defer end(nil)
	return s.Store.Batch(ctx, changes)
}

// Limits has what a traced request asks of limits that copies share in its trace.
func (r *Reporter) Limits(shared ratelimit.Shared) ratelimit.Shared {
	if !r.hasSpans() {
		return shared
	}
	return tracedLimits{shared}
}

type tracedLimits struct{ ratelimit.Shared }

// Take is the engine's.
func (l tracedLimits) Take(ctx context.Context, checks []ratelimit.Check, into *ratelimit.Decision) (err error) {
	ctx, end := within(ctx, "db.redis", "take limits", map[string]string{"db.system": "redis", "db.operation": "take"})
	defer func() { end(err) }()
	return l.Shared.Take(ctx, checks, into)
}

// Peek is the engine's.
func (l tracedLimits) Peek(ctx context.Context, checks []ratelimit.Check, into *ratelimit.Decision) (err error) {
	ctx, end := within(ctx, "db.redis", "peek limits", map[string]string{"db.system": "redis", "db.operation": "peek"})
	defer func() { end(err) }()
	return l.Shared.Peek(ctx, checks, into)
}

// Outgoing has the requests that a traced request sends in its trace: by their method and
// host. Those who get them are told nothing of it.
func (r *Reporter) Outgoing(next http.RoundTripper) http.RoundTripper {
	if !r.hasSpans() {
		return next
	}
	return tracedRequests{next}
}

type tracedRequests struct{ next http.RoundTripper }

// RoundTrip is the next one's.
func (t tracedRequests) RoundTrip(request *http.Request) (answer *http.Response, err error) {
	_, end := within(request.Context(), "http.client", request.Method+" "+request.URL.Hostname(), map[string]string{
		"http.request.method": request.Method, "server.address": request.URL.Hostname(),
	})
	defer func() { end(err) }()
	return t.next.RoundTrip(request)
}
