// Package report reports the errors of the program that it is part of: to a Sentry, or into
// the inbox that the program has itself. Beside them it reports how long a part of the
// requests took, and with what.
//
// It hears of errors in three ways: the door tells it of requests that failed (Failed), what
// is logged as an error passes its Handler, and goroutines have it deferred (Crashing). What
// happens there never waits: a report that there is no room for is dropped and counted.
//
// What may be in a report stands in one list (allow.go). The inbox it knows only as an
// interface, and nothing that it meets while delivering becomes a report.
package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/prometheus/client_golang/prometheus"

	"manus/httpapi"
)

// Inbox is where reports go when there is no DSN.
type Inbox interface {
	// TakeOwn keeps an event, in the JSON of Sentry's protocol, and TakeOwnTrace a
	// transaction. They may take as long as ctx lasts, and errors are only counted.
	TakeOwn(ctx context.Context, payload []byte) error
	TakeOwnTrace(ctx context.Context, payload []byte) error
}

// Config is what a Reporter is made of.
type Config struct {
	// DSN is where reports go, as Sentry writes it; empty is into Inbox.
	DSN   string
	Inbox Inbox
	// PublicURL is where others reach this program. A DSN of that host and port is this program's.
	PublicURL            string
	Environment, Release string
	// TracesSampleRate is how many of the requests are traced, from 0 to 1.
	TracesSampleRate float64
	Metrics          prometheus.Registerer // nil: nobody counts
}

// Reporter reports errors. Its methods are safe for concurrent use, and nil reports nothing.
type Reporter struct {
	client  *sentry.Client
	queue   *queue
	rate    float64
	host    string // that reports are sent to; empty for the inbox
	toOwn   bool   // reports come into this program's own inbox
	crashID atomic.Pointer[string]
	metrics *prometheus.CounterVec
}

// noDSN stands for the inbox, as sentry-go would else look for a DSN in the environment.
const noDSN = "http://inbox@manus.invalid/1"

// CheckDSN returns an error for what is no DSN.
func CheckDSN(text string) error {
	_, err := sentry.NewDsn(text)
	return err
}

// New makes a Reporter, which delivers once Start is called.
func New(c Config) (*Reporter, error) {
	r := &Reporter{rate: c.TracesSampleRate, toOwn: c.DSN == "" || sameServer(c.DSN, c.PublicURL), metrics: newMetrics(c.Metrics)}
	r.queue = newQueue(r.metrics, toInbox(c.Inbox))
	if c.DSN != "" {
		r.queue.deliver = toSentry(c.DSN)
		if dsn, err := sentry.NewDsn(c.DSN); err == nil {
			r.host = dsn.GetHost()
		}
	}
	var err error
	r.client, err = sentry.NewClient(sentry.ClientOptions{
		Dsn: cmp.Or(c.DSN, noDSN), Transport: r.queue,
		Release: c.Release, Environment: c.Environment,
		EnableTracing: r.rate > 0, TracesSampleRate: r.rate, TraceIgnoreStatusCodes: [][]int{},
		BeforeSend: allow, BeforeSendTransaction: allow,
		MaxBreadcrumbs: -1, MaxErrorDepth: maxChain, MaxSpans: maxSpans, DisableClientReports: true,
		Integrations: func([]sentry.Integration) []sentry.Integration { return nil }, // they read sources and the environment
	})
	if err != nil {
		return nil, errors.New("the DSN isn't one") // theirs has the key
	}
	return r, nil
}

func newMetrics(registerer prometheus.Registerer) *prometheus.CounterVec {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "manus_error_reports_total",
		Help: "Reports of this program's own errors, crashes and traces, by outcome. dropped: more came than could be sent. failed: the receiver has refused or wasn't reached, so check SENTRY_DSN and the way there. limited: it asked to be spared. looped: they were about taking reports, and are in the log alone.",
	}, []string{"outcome"})
	for _, outcome := range []string{sent, dropped, failed, limited, looped} {
		m.WithLabelValues(outcome)
	}
	if registerer != nil {
		registerer.MustRegister(m)
	}
	return m
}

// sameServer tells whether a DSN is of the host and port that a URL is of. The ports that http
// and https have by themselves are one: a server is at both.
func sameServer(dsn, public string) bool {
	d, err := sentry.NewDsn(dsn)
	u, wrong := url.Parse(public)
	if err != nil || wrong != nil || u.Hostname() == "" {
		return false
	}
	own := map[string]string{"http": "80", "https": "443"}
	port, ofDSN := cmp.Or(u.Port(), own[u.Scheme]), strconv.Itoa(d.GetPort())
	bothOwn := port == own[u.Scheme] && ofDSN == own[d.GetScheme()]
	return strings.EqualFold(d.GetHost(), u.Hostname()) && (port == ofDSN || bothOwn)
}

// ToOwn tells whether reports come into this program's own inbox, so that what goes wrong
// there can't be reported.
func (r *Reporter) ToOwn() bool { return r != nil && r.toOwn }

// Start begins to deliver.
func (r *Reporter) Start() {
	if r != nil {
		r.queue.start()
	}
}

// Flush waits until what was reported is delivered, or has failed to be, and no longer than
// ctx lasts: then it returns false.
func (r *Reporter) Flush(ctx context.Context) bool {
	return r == nil || r.queue.FlushWithContext(ctx)
}

// Close delivers what waits, for at most two seconds, and ends.
func (r *Reporter) Close() error {
	if r == nil {
		return nil
	}
	if r.queue.started {
		ctx, cancel := context.WithTimeout(context.Background(), flushFor)
		defer cancel()
		r.Flush(ctx)
	}
	r.client.Close()
	r.queue.stop()
	return nil
}

// flushFor is how long somebody waits for reports who can't wait longer.
const flushFor = 2 * time.Second

// Failed reports a request that failed, with its cause. Where the request was a report of a
// Manus, or reports come in here, there is none about taking it.
func (r *Reporter) Failed(f httpapi.Failure) {
	if r == nil {
		return
	}
	if isIntake(f.Route) && (r.toOwn || f.Request.Header.Get(marker) != "") {
		r.metrics.WithLabelValues(looped).Inc()
		return
	}
	if !r.queue.hasRoom(maxWaiting) {
		return
	}
	e := sentry.NewEvent()
	e.Level, e.Transaction = sentry.LevelError, f.Route
	e.Tags = map[string]string{"request_id": f.RequestID, "route": f.Route, "method": f.Method, "status": fmt.Sprint(f.Status)}
	e.Contexts = map[string]sentry.Context{"trace": traceOf(f.Request)}
	if f.Panicked {
		e.Exception = []sentry.Exception{panicked(f.Cause, callers(), true)}
	} else {
		err, _ := f.Cause.(error)
		e.Exception = r.exceptions(err, frameOf(f.Handler))
	}
	r.client.CaptureEvent(e, nil, nil)
}

// isIntake tells whether a route is one that reports come in by.
func isIntake(route string) bool { return strings.Contains(route, " /api/{project}/") }

// exceptions are an error with its causes. Errors of Go don't say where they are from; what
// is known is who returned it, or who logged it.
func (r *Reporter) exceptions(err error, stack []sentry.Frame) []sentry.Exception {
	chain := r.client.EventFromException(err, sentry.LevelError).Exception
	for i := range chain {
		chain[i].Stacktrace = nil
	}
	if last := len(chain) - 1; last >= 0 && len(stack) > 0 {
		chain[last].Stacktrace = &sentry.Stacktrace{Frames: stack}
	}
	return chain
}

// panicked is a panic as an exception.
func panicked(cause any, stack []sentry.Frame, handled bool) sentry.Exception {
	kind := "panic"
	if err, ok := cause.(error); ok {
		kind = fmt.Sprintf("panic %T", err)
	}
	return sentry.Exception{
		Type: kind, Value: fmt.Sprint(cause), Stacktrace: &sentry.Stacktrace{Frames: stack},
		Mechanism: &sentry.Mechanism{Type: "recover", Handled: &handled},
	}
}

// Handler has what is logged as an error reported, and logs as next does.
func (r *Reporter) Handler(next slog.Handler) slog.Handler {
	if r == nil {
		return next
	}
	return handler{next, r, nil}
}

type handler struct {
	slog.Handler
	r    *Reporter
	with map[string]slog.Value
}

// WithAttrs has attributes in each report too.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := maps.Clone(h.with)
	for _, a := range attrs {
		if with == nil {
			with = map[string]slog.Value{}
		}
		with[a.Key] = a.Value
	}
	return handler{h.Handler.WithAttrs(attrs), h.r, with}
}

// WithGroup begins a group of the log; reports have none.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.r, h.with}
}

// Handle logs a record, and reports it if it is an error.
func (h handler) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= slog.LevelError {
		h.report(record)
	}
	if !h.Handler.Enabled(ctx, record.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}

// Enabled is the log's, and errors are reported even where they aren't logged.
func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError || h.Handler.Enabled(ctx, level)
}

func (h handler) report(record slog.Record) {
	if !h.r.queue.hasRoom(maxWaiting) {
		return
	}
	attrs := map[string]slog.Value{}
	maps.Copy(attrs, h.with)
	record.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value; return true })
	err, isError := attrs["error"].Any().(error)
	if _, isAlert := attrs["alert"]; isAlert && !isError {
		return // somebody is told already; of an issue's alert there would be an issue, with an alert
	}
	e := sentry.NewEvent()
	e.Level, e.Message, e.Timestamp, e.Tags = sentry.LevelError, record.Message, record.Time, map[string]string{}
	for _, name := range tags {
		if v, ok := attrs[name]; ok {
			e.Tags[name] = v.String()
		}
	}
	stack := callers()
	if cause, ok := attrs["panic"]; ok {
		e.Exception = []sentry.Exception{panicked(cause.Any(), stack, true)}
	} else if isError {
		e.Exception = h.r.exceptions(err, stack)
	} else {
		e.Threads = []sentry.Thread{{Stacktrace: &sentry.Stacktrace{Frames: stack}, Current: true}}
	}
	h.r.client.CaptureEvent(e, nil, nil)
}
