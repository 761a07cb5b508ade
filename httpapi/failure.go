package httpapi

import (
	"context"
	"net/http"
)

// Failure is a request that failed by the program's fault, or by that of what it needs.
type Failure struct {
	RequestID string
	Method    string // OTHER for one that isn't known
	Route     string // the pattern, with its method; empty where there is no route
	Status    int
	// Cause is an error, or what the handler has panicked with.
	Cause    any
	Panicked bool
	// Handler is the function that the route was registered with, as errors don't say where
	// they are from; nil where there is none.
	Handler any
	Request *http.Request
}

// Reporter follows requests, and is told of those that failed. It holds up the answer.
type Reporter interface {
	// Begin is told of a request that comes, and returns the context to handle it in. Unless
	// end is nil, it is called with what is known once there is an answer: the method, OTHER
	// for one that isn't known, the route's pattern, empty where there is none, the status.
	Begin(*http.Request) (ctx context.Context, end func(method, route string, status int))
	// Failed is told of a panic by the deferred function that recovers from it, so that the
	// stack is there.
	Failed(Failure)
}

// begin tells the reporter of the request.
func (x *exchange) begin(r *http.Request) {
	if x.base = r.Context(); x.api.Reporter != nil {
		x.base, x.ended = x.api.Reporter.Begin(r)
	}
}

// fail tells the reporter.
func (x *exchange) fail(status int, cause any, panicked bool) {
	if x.api.Reporter == nil {
		return
	}
	x.api.Reporter.Failed(Failure{
		RequestID: x.id[0], Method: logMethod(x.r.Method), Route: x.route(), Status: status, Cause: cause, Panicked: panicked,
		Handler: x.endpoint.handler, Request: x.r,
	})
}
