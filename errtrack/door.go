package errtrack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"manus/docstore"
	"manus/errtrack/envelope"
	"manus/errtrack/event"
	"manus/errtrack/trace"
	"manus/httpapi"
	"manus/identity"
	"manus/ratelimit"
)

// Bounds of what is sent here.
const (
	maxSent     = 200 << 20 // bytes of a body as it is sent, attachments included
	sentWithin  = time.Minute
	sentRate    = 1 << 10         // bytes a second, at least: what a bad mobile network has
	busyFor     = 5 * time.Second // how long programs are to wait when there is no room
	decoding    = 4               // events that are taken apart at once
	maxDiscards = 1000            // what one report of lost events tells
)

// unproven bounds what comes without a key that is one.
func unproven() []ratelimit.Rule {
	return []ratelimit.Rule{ratelimit.NewRule("100/minute", ratelimit.ByAddress), ratelimit.NewRule("60000/minute", ratelimit.ByProof)}
}

// shared are the headers of each answer, refusals too: SDKs in pages have to read them.
func shared() map[string]string {
	return map[string]string{
		"Access-Control-Allow-Origin":   "*",
		"Access-Control-Expose-Headers": "x-sentry-error, x-sentry-rate-limits, retry-after",
		"Cross-Origin-Resource-Policy":  "cross-origin",
	}
}

// intakeRoutes registers the addresses that SDKs send to.
func (s *Service) intakeRoutes(api *httpapi.API) {
	for _, end := range []string{"/{$}", ""} {
		handle(api, "/api/{project}/envelope"+end, s.serveEnvelope)
		handle(api, "/api/{project}/store"+end, s.serveStore)
	}
}

func handle(api *httpapi.API, path string, serve http.HandlerFunc) {
	api.Handle(httpapi.Route{
		Access: httpapi.Public, Proves: true, Pattern: "POST " + path, Limits: unproven(), MaxBody: maxSent,
		BodyTimeout: sentWithin, BodyRate: sentRate, Timeout: 2 * sentWithin, Headers: shared(),
	}, serve)
	api.Handle(httpapi.Route{
		Access: httpapi.Public, Pattern: "OPTIONS " + path, Headers: shared(),
		Limits: []ratelimit.Rule{ratelimit.NewRule("6000/minute", ratelimit.ByAddress)}, // an office's, before each page's first event
	}, http.HandlerFunc(servePreflight))
}

// servePreflight says what pages may send, from anywhere: a key's origins are looked at when
// it comes.
func servePreflight(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "POST")
	h.Set("Access-Control-Allow-Headers", "x-sentry-auth, content-type, content-encoding, authorization, sentry-trace, baggage, traceparent")
	h.Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
}

// delivery is a request of an SDK as it is worked on.
type delivery struct {
	*Service
	project Project
	proven  bool
	id      string // the event's
	err     error  // of an item: the others are taken nevertheless
}

func (s *Service) serveEnvelope(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, func(d *delivery, body *envelope.Body) error {
		reader, err := envelope.NewReader(body)
		if err != nil {
			return d.ended(err)
		}
		if err := d.proveEnvelope(r, reader.Header); err != nil {
			return err
		}
		if err := body.Prove(); err != nil {
			return d.ended(err)
		}
		d.id = reader.Header.EventID
		for {
			item, err := reader.Next()
			if err != nil {
				d.loseSkipped(reader.Skipped())
				return d.ended(err)
			}
			d.take(r.Context(), reader.Header, item)
		}
	})
}

func (s *Service) serveStore(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, func(d *delivery, body *envelope.Body) error {
		if err := d.prove(r, nil); err != nil {
			return err
		}
		payload, err := envelope.ReadStore(body)
		if err != nil {
			return d.ended(err)
		}
		d.takeEvent(r.Context(), "", time.Time{}, payload)
		return d.err
	})
}

// serve answers a request. Its key is looked at before its body, where it stands before it.
func (s *Service) serve(w http.ResponseWriter, r *http.Request, read func(*delivery, *envelope.Body) error) {
	d, open := &delivery{Service: s}, s.unpacker.Open
	err := d.prove(r, nil)
	if errors.Is(err, envelope.ErrNoCredentials) && strings.Contains(r.Pattern, "/envelope") {
		err, open = nil, s.unpacker.OpenUnproven // they may stand in its header
	}
	if err == nil {
		var body *envelope.Body
		if body, err = open(r); err == nil {
			defer body.Close()
			err = read(d, body)
		} else {
			err = d.ended(err)
		}
	}
	s.answer(w, r, d, err)
}

// errNoKey is for keys that aren't one, of projects that are none, and for those that are
// disabled: which it is, nobody learns.
var errNoKey error = &envelope.Error{Status: http.StatusForbidden, Detail: "there is no such project with this key"}

// prove finds out whose key is sent, once, and counts the request for its project.
func (d *delivery) prove(r *http.Request, elsewhere func() (envelope.Auth, error)) error {
	if d.proven {
		return nil
	}
	auth, err := envelope.Credentials(r)
	if errors.Is(err, envelope.ErrNoCredentials) && elsewhere != nil {
		auth, err = elsewhere()
	}
	if err != nil {
		return err
	}
	p, err := d.projectOf(r.Context(), r.PathValue("project"))
	if errors.Is(err, ErrNoProject) {
		return errNoKey
	}
	if err != nil {
		return err
	}
	k := slices.IndexFunc(p.Keys, func(k Key) bool { return k.Public == auth.Key && !k.Disabled })
	if k < 0 || auth.Project != "" && auth.Project != p.ID {
		return errNoKey
	}
	if !p.Keys[k].takesFrom(r.Header.Get("Origin")) {
		d.lose(p.ID, lostToOrigin, 1)
		return &envelope.Error{Status: http.StatusForbidden, Detail: "this key isn't for programs of this origin"}
	}
	d.project, d.proven = p, true
	proof := httpapi.Proof{Subject: "project/" + p.ID}
	if p.PerMinute > 0 {
		proof.Limit = ratelimit.NewRule(strconv.Itoa(p.PerMinute) + "/minute").Limit
	}
	err = httpapi.Prove(r.Context(), proof)
	if errors.Is(err, httpapi.ErrTooMany) {
		d.lose(p.ID, lostToLimit, 1)
	}
	return err
}

// proveEnvelope is prove, with what an envelope's header says: that is the proof where the
// request has no other, and isn't of another project where it has one.
func (d *delivery) proveEnvelope(r *http.Request, h envelope.Header) error {
	if d.proven {
		if auth, err := h.Credentials(); err == nil && auth.Project != "" && auth.Project != d.project.ID {
			return errNoKey
		}
		return nil
	}
	return d.prove(r, h.Credentials)
}

// ended is how reading a body has ended: well, with an item's error, or with its own.
func (d *delivery) ended(err error) error {
	if errors.Is(err, io.EOF) {
		return d.err
	}
	if d.proven {
		d.lose(d.project.ID, lossOf(err), 1)
	}
	return err
}

// lossOf is why what a body had was lost, by the error that ended it.
func lossOf(err error) string {
	refused, ok := errors.AsType[*envelope.Error](err)
	switch {
	case !ok: // the connection's
		return lostOnTheWay
	case refused.Status == http.StatusRequestEntityTooLarge:
		return lostToSize
	case refused.Status == http.StatusUnsupportedMediaType:
		return lostToEncoding
	case refused.Status == http.StatusServiceUnavailable || refused.Status == http.StatusTooManyRequests:
		return lostToLoad
	}
	return lostToForm
}

// loseSkipped counts items that were too large, or more than an envelope may have, and those that
// nothing is made of here: whoever sends them has to see that they are nowhere.
func (d *delivery) loseSkipped(skipped []envelope.Skipped) {
	for _, item := range skipped {
		isTrace := item.Type == "transaction" || item.Type == "span"
		var reason string
		switch {
		case item.Reason == envelope.Unknown:
			reason = lostUnknown
		case item.Reason == envelope.Unkept || item.Type == "log":
			reason = lostUnkept + item.Type
		case item.Reason == envelope.TooMany && isTrace:
			reason = lostTraceToForm
		case item.Reason == envelope.TooMany:
			reason = lostToForm
		case isTrace:
			reason = lostTraceToSize
		default:
			reason = lostToSize
		}
		d.lose(d.project.ID, reason, 1)
		if item.Type == "event" {
			d.err = cmp.Or(d.err, refusalOf(item.Reason))
		}
	}
}

// refusalOf is what a program is answered whose event was read over, as Relay has it: two of
// them in an envelope are a mistake of form.
func refusalOf(reason envelope.Reason) error {
	if reason == envelope.TooMany {
		return &envelope.Error{Status: http.StatusBadRequest, Detail: "an envelope has one event: the first was taken, the others weren't"}
	}
	return &envelope.Error{Status: http.StatusRequestEntityTooLarge, Detail: "the event is too large"}
}

// take takes an item of an envelope.
func (d *delivery) take(ctx context.Context, h envelope.Header, item envelope.Item) {
	switch item.Type {
	case "event":
		d.takeEvent(ctx, h.EventID, h.SentAt, item.Payload)
	case "client_report":
		d.takeReport(item.Payload)
	case "transaction":
		d.takeTransaction(ctx, h.EventID, item.Payload)
	case "span":
		d.takeSpans(ctx, item)
	case "feedback", "user_report":
		d.takeFeedback(ctx, item.Payload, item.Type == "user_report")
	case "session", "sessions":
		d.takeSessions(ctx, h.SentAt, item.Payload)
	case "check_in":
		d.takeCheckIn(ctx, item.Payload)
	case "log":
		d.lose(d.project.ID, lostUnkept+"log", int64(max(1, item.Count)))
	}
}

// apart takes something apart where there is room for that: nobody holds it while waiting
// for a sender, nor for the store. It tells whether that was done.
func (d *delivery) apart(ctx context.Context, take func()) bool {
	if err := d.decoding.enter(ctx, d.project.ID); err != nil {
		d.err = err
		return false
	}
	defer d.decoding.leave()
	take()
	return true
}

// takeTransaction counts a trace at its route. A malformed one is counted as lost and not
// refused: numbers are nothing that a program is to be disturbed for.
func (d *delivery) takeTransaction(ctx context.Context, id string, payload []byte) {
	var t trace.Trace
	var err error
	if !d.apart(ctx, func() { t, err = trace.Transaction(payload) }) {
		return
	}
	d.id = cmp.Or(d.id, id)
	if err != nil {
		d.lose(d.project.ID, lostTraceToForm, 1)
		return
	}
	d.addTrace(d.project.ID, t)
}

// spanContainer is the content type of items that are many spans; those that are one alone
// are parts of traces whose roots come by themselves.
const spanContainer = "application/vnd.sentry.items.span.v2+json"

// takeSpans counts the traces whose roots are among a container's spans.
func (d *delivery) takeSpans(ctx context.Context, item envelope.Item) {
	if item.ContentType != spanContainer {
		return
	}
	var all []trace.Trace
	var malformed int
	var err error
	if !d.apart(ctx, func() { all, malformed, err = trace.Segments(item.Payload) }) {
		return
	}
	if err != nil {
		malformed++
	}
	if malformed > 0 {
		d.lose(d.project.ID, lostTraceToForm, int64(malformed))
	}
	for _, t := range all {
		d.addTrace(d.project.ID, t)
	}
}

// takeEvent keeps an event. The envelope's id is its id, and the envelope's clock tells how
// far the program's is off.
func (d *delivery) takeEvent(ctx context.Context, id string, sentAt time.Time, payload []byte) {
	var e event.Event
	var err error
	if !d.apart(ctx, func() { e, err = event.Decode(payload) }) {
		return
	}
	if err != nil {
		d.lose(d.project.ID, lostToForm, 1)
		d.err = &envelope.Error{Status: http.StatusBadRequest, Detail: "the event is no JSON object"}
		return
	}
	e.ID = cmp.Or(id, e.ID, event.ID(docstore.NewID()))
	e.Environment = cmp.Or(e.Environment, "production")
	if e.Timestamp.IsZero() {
		e.Timestamp = d.c.Now()
	}
	e.Timestamp = d.onTime(e.Timestamp, sentAt)
	e.SentFrom(identity.From(ctx).AddressText())
	d.id = e.ID
	err = d.Take(ctx, d.project.ID, &e)
	switch {
	case err == nil:
	case errors.Is(err, ErrBusy):
		d.lose(d.project.ID, lostToLoad, 1)
	default: // it may be kept nevertheless; the program has to take it for lost
		d.lose(d.project.ID, lostToStore, 1)
	}
	d.err = cmp.Or(err, d.err)
}

// malformed counts an item as lost, and is what its program is answered.
func (d *delivery) malformed(err error) error {
	d.lose(d.project.ID, lostToForm, 1)
	return &envelope.Error{Status: http.StatusBadRequest, Detail: strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")}
}

// maxOff is how far a program's clock may be off without that being corrected.
const maxOff = 5 * time.Minute

// onTime is a time by a program's clock as this program's shows it: not later than now, and
// not so long ago that it can't be believed.
func (d *delivery) onTime(at, sentAt time.Time) time.Time {
	now := d.c.Now()
	if off := now.Sub(sentAt); !sentAt.IsZero() && off.Abs() > maxOff {
		at = at.Add(off)
	}
	return believed(at, now)
}

// takeReport counts what a program says that it has lost.
func (d *delivery) takeReport(payload []byte) {
	var report struct {
		Discarded []struct {
			Reason, Category string
			Quantity         int64
		} `json:"discarded_events"`
	}
	if json.Unmarshal(payload, &report) != nil {
		return
	}
	for _, lost := range report.Discarded[:min(len(report.Discarded), maxDiscards)] {
		if lost.Quantity > 0 && lost.Quantity < 1e9 && (lost.Category == "error" || lost.Category == "default") {
			d.lose(d.project.ID, lostByClient+clientReason(lost.Reason), lost.Quantity)
		}
	}
}

// clientReason is a reason of the protocol
// (https://develop.sentry.dev/sdk/telemetry/client-reports/), or "other".
func clientReason(reason string) string {
	known := []string{
		"queue_overflow", "cache_overflow", "buffer_overflow", "ratelimit_backoff", "network_error", "sample_rate", "before_send",
		"event_processor", "send_error", "internal_sdk_error", "insufficient_data", "backpressure",
	}
	if slices.Contains(known, reason) {
		return reason
	}
	return "other"
}

// answer answers as SDKs expect it: with the event's id, or why not.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, d *delivery, err error) {
	status, body := http.StatusOK, map[string]string{}
	if d.id != "" {
		body["id"] = d.id
	}
	var wait interface{ RetryAfter() time.Duration }
	refused, isRefusal := errors.AsType[*envelope.Error](err)
	switch {
	case err == nil:
	case errors.Is(err, httpapi.ErrTooMany) && errors.As(err, &wait):
		status, body = http.StatusTooManyRequests, detail("the project sends more than it may")
		backOff(w, wait.RetryAfter(), "quota")
	case errors.Is(err, ErrBusy):
		status, body = http.StatusTooManyRequests, detail("too many events are waiting; send later")
		backOff(w, busyFor, "busy")
	case isRefusal:
		status, body = refused.Status, detail(refused.Detail)
		if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
			backOff(w, busyFor, "busy")
		}
	case errors.Is(err, docstore.ErrUnavailable):
		s.c.Log.WarnContext(r.Context(), "an event couldn't be kept", "error", err)
		status, body = http.StatusServiceUnavailable, detail("the event can't be kept now; send later")
		backOff(w, busyFor, "busy")
	default:
		httpapi.WriteError(w, r, nil, err)
		return
	}
	if status != http.StatusOK {
		w.Header().Set("X-Sentry-Error", body["detail"])
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func detail(text string) map[string]string { return map[string]string{"detail": text} }

// backOff tells an SDK to send nothing for a while. No categories are all of them.
func backOff(w http.ResponseWriter, wait time.Duration, why string) {
	seconds := max(1, int64((wait+time.Second-1)/time.Second))
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	w.Header().Set("X-Sentry-Rate-Limits", fmt.Sprintf("%d::project:%s", seconds, why))
}
