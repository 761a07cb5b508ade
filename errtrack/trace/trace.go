// Package trace is what a roll-up wants to know of a trace: which route it was, how long it
// took and whether it failed. It reads that out of what SDKs send, in both shapes that the
// protocol has for it, and calls a route the same however its parameters were filled in.
//
// It knows nothing of envelopes, nor of what is made of many traces.
package trace

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Trace is one run of a route, as the program that it ran in has measured it: the root of a
// trace there. What happened within isn't looked at.
type Trace struct {
	// Route is the transaction's name, of at most MaxRoute characters.
	Route string
	// Op is the kind of work, such as "http.server" or "pageload", of at most MaxOp characters.
	Op string
	// Duration is from 0 to MaxDuration.
	Duration time.Duration
	// Failed is set by a status that is neither ok, cancelled nor unknown, and by an answer
	// of 500 or more.
	Failed bool
}

// Bounds of a trace, and of a container of spans.
const (
	MaxRoute    = 200
	MaxOp       = 60
	MaxDuration = 24 * time.Hour // longer ones count as that
	MaxSpans    = 10_000         // that are looked at of a container
)

// ErrMalformed is returned for what is no trace, or has no duration that can be one.
var ErrMalformed = errors.New("that is no trace")

// Transaction reads the payload of a "transaction" item
// (https://develop.sentry.dev/sdk/data-model/event-payloads/transaction/). Its errors are
// ErrMalformed.
func Transaction(payload []byte) (Trace, error) {
	var t transaction
	if err := decoded(json.Unmarshal(payload, &t)); err != nil {
		return Trace{}, err
	}
	root := t.Contexts.Trace
	return newTrace(t.Start, t.End, Trace{
		Route: route(t.Name.s, t.Info.Source.s), Op: op(cmp.Or(root.Op.s, root.Data.Op.s)),
		Failed: isFailure(root.Status.s) || isServerError(t.Contexts.Response.StatusCode.s, root.Data.StatusCode.s, root.Data.OldStatusCode.s, t.Tags.StatusCode.s),
	})
}

// Segments reads the payload of a "span" item that is a container, of version 2
// (https://develop.sentry.dev/sdk/telemetry/spans/span-protocol/): those of its spans that are
// the root of a trace in their program. Malformed are roots that are none, and what comes
// after MaxSpans spans. Its errors are ErrMalformed; what was read until then is returned
// with it.
func Segments(payload []byte) (all []Trace, malformed int, err error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	if err := seekItems(d); err != nil {
		return nil, 0, err
	}
	for n := 0; d.More(); n++ {
		if n == MaxSpans {
			return all, malformed + 1, nil
		}
		var s span
		err := d.Decode(&s)
		if mistyped(err) {
			err = nil
		}
		if err != nil {
			return all, malformed, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if !s.isRoot() {
			continue
		}
		one, err := s.trace()
		if err != nil {
			malformed++
			continue
		}
		all = append(all, one)
	}
	if _, err := d.Token(); err != nil {
		return all, malformed, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return all, malformed, nil
}

// seekItems reads up to the first of a container's items.
func seekItems(d *json.Decoder) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("%w: it is no object", ErrMalformed)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if key == "items" {
			if t, err := d.Token(); err != nil || t != json.Delim('[') {
				break
			}
			return nil
		}
		var other json.RawMessage
		if err := d.Decode(&other); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	return fmt.Errorf("%w: it has no items", ErrMalformed)
}

// The shapes on the wire. What has another type than it should is left at its zero value by
// encoding/json, which goes on with the rest.
type (
	transaction struct {
		Name  text   `json:"transaction"`
		Start moment `json:"start_timestamp"`
		End   moment `json:"timestamp"`
		Info  struct {
			Source text `json:"source"`
		} `json:"transaction_info"`
		Contexts struct {
			Trace struct {
				Op     text `json:"op"`
				Status text `json:"status"`
				Data   struct {
					Op            text `json:"sentry.op"`
					StatusCode    text `json:"http.response.status_code"`
					OldStatusCode text `json:"http.status_code"`
				} `json:"data"`
			} `json:"trace"`
			Response struct {
				StatusCode text `json:"status_code"`
			} `json:"response"`
		} `json:"contexts"`
		Tags struct {
			StatusCode text `json:"http.status_code"`
		} `json:"tags"`
	}
	span struct {
		Name       text   `json:"name"`
		Start      moment `json:"start_timestamp"`
		End        moment `json:"end_timestamp"`
		Parent     text   `json:"parent_span_id"`
		IsSegment  *bool  `json:"is_segment"`
		Status     text   `json:"status"`
		Attributes struct {
			Op            attribute `json:"sentry.op"`
			Source        attribute `json:"sentry.segment.name.source"`
			OldSource     attribute `json:"sentry.span.source"`
			StatusCode    attribute `json:"http.response.status_code"`
			OldStatusCode attribute `json:"http.status_code"`
		} `json:"attributes"`
	}
	attribute struct {
		Value text `json:"value"`
	}
)

// isRoot tells whether nothing of the same program is around the span: it may have a parent
// in another one.
func (s span) isRoot() bool {
	if s.IsSegment != nil {
		return *s.IsSegment
	}
	return s.Parent.s == ""
}

func (s span) trace() (Trace, error) {
	a := s.Attributes
	return newTrace(s.Start, s.End, Trace{
		Route: route(s.Name.s, cmp.Or(a.Source.Value.s, a.OldSource.Value.s)), Op: op(a.Op.Value.s),
		Failed: isFailure(s.Status.s) || isServerError(a.StatusCode.Value.s, a.OldStatusCode.Value.s),
	})
}

// newTrace gives a trace its duration. Only the difference of a program's times means
// anything: its clock may be far off.
func newTrace(start, end moment, t Trace) (Trace, error) {
	if start.IsZero() || end.IsZero() || end.Before(start.Time) {
		return Trace{}, fmt.Errorf("%w: it doesn't end after it starts", ErrMalformed)
	}
	t.Duration = min(end.Sub(start.Time), MaxDuration)
	return t, nil
}

func isFailure(status string) bool {
	switch strings.ToLower(status) {
	case "", "ok", "unset", "cancelled", "canceled", "unknown":
		return false
	}
	return true
}

func isServerError(codes ...string) bool {
	code, err := strconv.Atoi(cmp.Or(codes...))
	return err == nil && code >= 500 && code <= 599
}

// text is a string, or a number in its place.
type text struct{ s string }

// UnmarshalJSON never fails.
func (t *text) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"':
		_ = json.Unmarshal(data, &t.s)
	case 'n', 't', 'f', '{', '[':
	default:
		t.s = string(data)
	}
	return nil
}

// moment is seconds since 1970, or RFC 3339 with or without a zone; zero is neither.
type moment struct{ time.Time }

// UnmarshalJSON never fails.
func (m *moment) UnmarshalJSON(data []byte) error {
	text := string(bytes.Trim(data, `"`))
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 1e11 {
		m.Time = time.UnixMicro(int64(math.Round(seconds * 1e6)))
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05Z0700"} {
		if at, err := time.Parse(layout, text); err == nil {
			m.Time = at
			return nil
		}
	}
	return nil
}

// decoded is ErrMalformed for what is no JSON object; members of another type are no error.
func decoded(err error) error {
	if err == nil || mistyped(err) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

func mistyped(err error) bool {
	_, is := errors.AsType[*json.UnmarshalTypeError](err)
	return is
}
