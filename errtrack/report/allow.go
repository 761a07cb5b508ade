package report

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/getsentry/sentry-go"

	"manus/errtrack/event"
	"manus/language"
)

// tags are the attributes of what is logged that a report has too. None is a person's.
var tags = []string{"request_id", "route", "method", "status", "queue", "lease", "channel", "check", "page", "alert", "attempts", "test"}

// spanData are what a span says beside its name.
var spanData = []string{"http.request.method", "http.response.status_code", "db.system", "db.operation", "db.collection.name", "server.address"}

// Bounds of what is written in a report.
const (
	maxText = 2000 // characters of a text
	maxTag  = 200
)

// allow is what leaves of a report: what is listed here and nothing else. Requests, people,
// headers and variables aren't, and texts are without what is a secret or somebody's.
func allow(e *sentry.Event, _ *sentry.EventHint) *sentry.Event {
	left := &sentry.Event{
		EventID: e.EventID, Timestamp: e.Timestamp, StartTime: e.StartTime, Type: e.Type, Level: e.Level, Platform: e.Platform, Sdk: e.Sdk,
		Release: e.Release, Environment: e.Environment, ServerName: e.ServerName,
		Fingerprint: e.Fingerprint, // a trial's
		Message:     clean(e.Message, maxText), Transaction: e.Transaction, TransactionInfo: e.TransactionInfo,
		Threads: e.Threads, Tags: map[string]string{}, Contexts: map[string]sentry.Context{}, Spans: e.Spans,
	}
	for _, name := range tags {
		if text, ok := e.Tags[name]; ok {
			left.Tags[name] = language.Cut(text, maxTag)
		}
	}
	for _, x := range e.Exception {
		x.Value = clean(x.Value, maxText)
		left.Exception = append(left.Exception, x)
	}
	if trace := e.Contexts["trace"]; len(trace) > 0 {
		left.Contexts["trace"] = allowSpanData(trace)
	}
	for _, span := range left.Spans {
		span.Tags, span.Data = nil, allowData(span.Data)
	}
	return left
}

// allowSpanData is the context of a trace, of whose data only what is listed is left.
func allowSpanData(trace sentry.Context) sentry.Context {
	left := sentry.Context{}
	for _, name := range []string{"trace_id", "span_id", "parent_span_id", "op", "status", "origin"} {
		if v, ok := trace[name]; ok {
			left[name] = v
		}
	}
	if data, ok := trace["data"].(map[string]any); ok {
		left["data"] = allowData(data)
	}
	return left
}

func allowData(data map[string]any) map[string]any {
	left := maps.Clone(data)
	maps.DeleteFunc(left, func(name string, _ any) bool { return !slices.Contains(spanData, name) })
	return left
}

// Secrets and people in texts. Errors of libraries quote what they were given.
var (
	inURL  = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s/@"'<>]*@`)
	query  = regexp.MustCompile(`\?[^\s"'<>]*=[^\s"'<>]*`)
	named  = regexp.MustCompile(`(?i)\b(authorization|(?:set-)?cookie|signature|dsn)("?\s*[:=]\s*"?)(?:bearer\s+|basic\s+)?[^\s"',;&]+`)
	bearer = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}`)
	mailed = regexp.MustCompile(`[\pL\pN._%+'-]+@[\pL\pN.-]+`)
	jwt    = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*`)
	long   = regexp.MustCompile(`[A-Za-z0-9_+=-]{20,}`)
	digits = regexp.MustCompile(`\b\d(?:[ -]?\d){11,18}\b`)
)

// secrets are what the inbox takes out of texts too.
var secrets = sync.OnceValue(func() *event.Scrubber {
	s, _ := event.NewScrubber(nil, nil) // only patterns of one's own can be wrong
	return s
})

// clean is a text, cut, without secrets, people's addresses, those of machines, and cards.
func clean(text string, most int) string {
	text = language.Cut(text, most)
	text = inURL.ReplaceAllString(text, "${1}[removed]@")
	text = query.ReplaceAllString(text, "?[query]")
	text = bearer.ReplaceAllString(text, "$1 [removed]")
	text = named.ReplaceAllString(text, "$1$2[removed]")
	text = jwt.ReplaceAllString(text, "[token]")
	text = mailed.ReplaceAllString(text, "[e-mail]")
	text = digits.ReplaceAllString(text, "[number]")
	text = long.ReplaceAllStringFunc(text, func(word string) string {
		if strings.ContainsAny(word, "0123456789") {
			return "[token]"
		}
		return word
	})
	text = secrets().Text(text)
	return event.WithoutPeople(text)
}
