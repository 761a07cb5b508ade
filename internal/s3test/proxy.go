package s3test

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Request is one request that has come to a Proxy.
type Request struct {
	// Operation is what S3 calls it, such as UploadPart.
	Operation string
	// Key is the object's; empty for requests to the bucket.
	Key    string
	Query  url.Values
	Header http.Header
	// Client is the address that it comes from: two requests of the same one have
	// come over the same connection.
	Client string
	// Attempt counts the requests for the same thing, from 1.
	Attempt int
	// Fault is what became of it.
	Fault Fault
}

// Fault is what a Proxy does to a request. The zero Fault is none.
type Fault struct {
	kind     kind
	status   int
	body     string
	location string
	until    <-chan struct{}
	done     chan<- struct{}
}

type kind int

const (
	pass kind = iota
	answer
	resetRequest
	resetResponse
	stall
	stallResponse
	loseResponse
	late
)

// The faults that need no more than a name.
var (
	// ResetRequest resets the connection in the middle of the request's body. The
	// server never hears of it.
	ResetRequest = Fault{kind: resetRequest}
	// ResetResponse resets the connection in the middle of the answer's body.
	ResetResponse = Fault{kind: resetResponse}
	// Stall reads half of the request and then nothing happens any more.
	Stall = Fault{kind: stall}
	// StallResponse sends half of the answer's body and then nothing any more.
	StallResponse = Fault{kind: stallResponse}
	// LoseResponse has the server do what is asked for, and then resets the
	// connection rather than to answer.
	LoseResponse = Fault{kind: loseResponse}
)

// Answer answers with an error of S3, such as 503 and SlowDown, without asking the
// server.
func Answer(status int, code string) Fault {
	body := `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>` + code + `, says the test</Message></Error>`
	return Fault{kind: answer, status: status, body: body}
}

// After has a fault that answers wait until the channel is closed. A plan itself doesn't
// wait: no other request is noted meanwhile.
func (f Fault) After(until <-chan struct{}) Fault {
	f.until = until
	return f
}

// Redirect sends the client to another place.
func Redirect(status int, location string) Fault {
	return Fault{kind: answer, status: status, location: location}
}

// Late has the server begin what is asked for and end it when the first channel is closed,
// also for a client that has gone by then. It closes the second one when that is done. It
// is for one request.
func Late(until <-chan struct{}, done chan<- struct{}) Fault {
	return Fault{kind: late, until: until, done: done}
}

// Plan says what becomes of a request. It is asked by several goroutines.
type Plan func(Request) Fault

// Random lets so many percent of the requests fail, in one of the ways. What becomes
// of a request only depends on the seed, on what it asks for and on how often it has
// been asked for.
func Random(seed uint64, percent int, ways ...Fault) Plan {
	return func(r Request) Fault {
		h := fnv.New64a()
		fmt.Fprint(h, r.Operation, "\x00", r.Key, "\x00", r.Query.Get("partNumber"), "\x00", r.Attempt)
		random := rand.New(rand.NewPCG(seed, h.Sum64()))
		if random.IntN(100) >= percent {
			return Fault{}
		}
		return ways[random.IntN(len(ways))]
	}
}

// Operations has the plan decide on these operations only; the others don't fail.
func Operations(plan Plan, operations ...string) Plan {
	return func(r Request) Fault {
		if !slices.Contains(operations, r.Operation) {
			return Fault{}
		}
		return plan(r)
	}
}

// First lets the first n requests for the same thing fail.
func First(n int, fault Fault) Plan {
	return func(r Request) Fault {
		if r.Attempt > n {
			return Fault{}
		}
		return fault
	}
}

// Always lets all requests fail.
func Always(fault Fault) Plan { return func(Request) Fault { return fault } }

// Proxy is a way to a server on which requests fail as planned. It ends with its test.
type Proxy struct {
	// Endpoint is its URL.
	Endpoint string

	server  *httptest.Server
	forward *httputil.ReverseProxy
	done    chan struct{} // closed when stalled requests are let go

	mu       sync.Mutex
	plan     Plan
	requests []Request
	attempts map[string]int
	changed  chan struct{} // closed at the next request
}

// Proxy starts a proxy in front of the server. Without a plan nothing fails.
func (s *Server) Proxy(t testing.TB, plan Plan) *Proxy {
	t.Helper()
	upstream, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{plan: plan, done: make(chan struct{}), attempts: map[string]int{}, changed: make(chan struct{})}
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	p.forward = &httputil.ReverseProxy{
		Transport: transport,
		// The host is signed, so it stays the one that the client has named.
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = upstream.Scheme, upstream.Host },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewUnstartedServer(p)
	p.server = server
	server.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connection{}, conn)
	}
	server.Start()
	p.Endpoint = server.URL
	t.Cleanup(func() {
		close(p.done)
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	return p
}

// connection is the key of a request's connection in its context.
type connection struct{}

// Plan changes the plan. Nil means that nothing fails any more.
func (p *Proxy) Plan(plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// CloseConnections closes all connections to clients.
func (p *Proxy) CloseConnections() { p.server.CloseClientConnections() }

// Requests is what has come so far.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Count is how many requests for the operation have come so far.
func (p *Proxy) Count(operation string) (n int) {
	for _, r := range p.Requests() {
		if r.Operation == operation {
			n++
		}
	}
	return n
}

// Await waits until so many requests for the operation have come.
func (p *Proxy) Await(t testing.TB, operation string, n int) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if p.Count(operation) >= n {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%d requests for %s have come instead of %d", p.Count(operation), operation, n)
		}
	}
}

// ServeHTTP is the proxy's way with a request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch fault := p.note(r); fault.kind {
	case pass:
		p.forward.ServeHTTP(w, r)
	case answer:
		if fault.until != nil {
			<-fault.until
		}
		if fault.location != "" {
			w.Header().Set("Location", fault.location)
		}
		w.WriteHeader(fault.status)
		_, _ = io.WriteString(w, fault.body) // to a client that may be gone
	case resetRequest:
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		reset(r)
	case stall:
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		p.hang(r)
	case late:
		p.late(fault, w, r)
	default:
		p.cut(fault, w, r)
	}
}

// note writes the request down and says what is to become of it.
func (p *Proxy) note(r *http.Request) Fault {
	request := Request{Operation: operation(r), Key: key(r), Query: r.URL.Query(), Header: r.Header.Clone(), Client: r.RemoteAddr}
	p.mu.Lock()
	defer p.mu.Unlock()
	same := fmt.Sprint(request.Operation, "\x00", request.Key, "\x00", request.Query.Get("partNumber"))
	p.attempts[same]++
	request.Attempt = p.attempts[same]
	if p.plan != nil {
		request.Fault = p.plan(request)
	}
	p.requests = append(p.requests, request)
	close(p.changed)
	p.changed = make(chan struct{})
	return request.Fault
}

// cut has the server answer, and lets half of the answer through, or none of it.
func (p *Proxy) cut(fault Fault, w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	p.forward.ServeHTTP(answer, r)
	if fault.kind != loseResponse && r.Method != http.MethodHead {
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
	}
	if fault.kind == stallResponse {
		p.hang(r)
	}
	reset(r)
}

// late takes the request whole and forwards it, its last byte later, whoever still waits.
func (p *Proxy) late(fault Fault, w http.ResponseWriter, r *http.Request) {
	defer close(fault.done)
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) == 0 {
		reset(r)
	}
	last := len(body) - 1
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:last]), after{fault.until, p.done}, bytes.NewReader(body[last:])))
	p.forward.ServeHTTP(w, r)
}

// after is a reader of nothing, that ends when one of the channels is closed.
type after [2]<-chan struct{}

// Read waits.
func (a after) Read([]byte) (int, error) {
	select {
	case <-a[0]:
	case <-a[1]:
	}
	return 0, io.EOF
}

// hang waits until the client is gone, as far as that can be seen, or the test is.
func (p *Proxy) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-p.done:
	}
	reset(r)
}

// reset ends the request's connection as a crash does.
func reset(r *http.Request) {
	if conn, ok := r.Context().Value(connection{}).(*net.TCPConn); ok {
		_ = conn.SetLinger(0)
	}
	panic(http.ErrAbortHandler)
}

// key is the object's name in a request that names the bucket in its path.
func key(r *http.Request) string {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return key
}

// operation is the name of what is asked for.
func operation(r *http.Request) string {
	where := "bucket"
	if key(r) != "" {
		where = "object"
	}
	query := r.URL.Query()
	for _, known := range operations {
		if r.Method == known.method && where == known.where && (known.query == "" || query.Has(known.query)) {
			return known.name
		}
	}
	return r.Method + " " + where
}

// operations are those that have names here; those with a query come first.
var operations = []struct{ method, where, query, name string }{
	{"PUT", "object", "uploadId", "UploadPart"},
	{"PUT", "object", "", "PutObject"},
	{"POST", "object", "uploads", "CreateMultipartUpload"},
	{"POST", "object", "uploadId", "CompleteMultipartUpload"},
	{"GET", "object", "uploadId", "ListParts"},
	{"GET", "object", "", "GetObject"},
	{"HEAD", "object", "", "HeadObject"},
	{"DELETE", "object", "uploadId", "AbortMultipartUpload"},
	{"DELETE", "object", "", "DeleteObject"},
	{"GET", "bucket", "uploads", "ListMultipartUploads"},
	{"GET", "bucket", "versions", "ListObjectVersions"},
	{"GET", "bucket", "list-type", "ListObjectsV2"},
}
