// Package event is an error as programs report it, in one form: whatever SDK it came from,
// whichever of the protocol's shapes it had, and bounded in every part.
//
// It knows nothing of envelopes, of how errors are put together to issues, nor of where
// they are kept. Its JSON is what the API shows.
package event

import (
	"encoding/json"
	"strings"
	"time"
)

// Event is one error, or one message, that a program has reported.
type Event struct {
	// ID is 32 hexadecimal digits, in small letters.
	ID string `json:"event_id" scrub:"-"`
	// Timestamp is when it happened by the program's clock, as far as that can be believed.
	Timestamp   time.Time `json:"timestamp"`
	Level       Level     `json:"level" scrub:"-"`
	Platform    string    `json:"platform"`
	Logger      string    `json:"logger,omitempty"`
	Transaction string    `json:"transaction,omitempty"` // the route, or the task
	ServerName  string    `json:"server_name,omitempty"`
	Release     string    `json:"release,omitempty"`
	Dist        string    `json:"dist,omitempty"`
	Environment string    `json:"environment,omitempty"`
	// Message is what was reported beside an exception, or instead of one, as a person
	// reads it; Template is the same before its parameters were put in.
	Message  string `json:"message,omitempty"`
	Template string `json:"template,omitempty"`
	// Exceptions are in the protocol's order: what was caused comes after its cause, so
	// that the last is the one that was caught.
	Exceptions []Exception `json:"exceptions,omitempty"`
	// Stack is where a message came from, for an event without exceptions; its order is
	// that of Exception.Frames.
	Stack       []Frame           `json:"stack,omitempty"`
	Breadcrumbs []Breadcrumb      `json:"breadcrumbs,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	User        *User             `json:"user,omitempty"`
	Request     *Request          `json:"request,omitempty"`
	// Contexts and Extra are as the program sent them, cut and scrubbed.
	Contexts map[string]json.RawMessage `json:"contexts,omitempty"`
	Extra    map[string]json.RawMessage `json:"extra,omitempty"`
	SDK      SDK                        `json:"sdk,omitzero"`
	TraceID  string                     `json:"trace_id,omitempty" scrub:"-"` // 32 and 16 hexadecimal digits
	SpanID   string                     `json:"span_id,omitempty" scrub:"-"`
	// Fingerprint is what the program says that it shall be put together by; "{{ default }}"
	// in it stands for what we would.
	Fingerprint []string `json:"fingerprint,omitempty"`
	// Images are the files of code that frames are in and how their source maps are found.
	Images []Image `json:"images,omitempty"`
	// Cut are the names of what was too long, too much or unreadable, and is missing.
	Cut []string `json:"cut,omitempty" scrub:"-"`
	// Scrubbed are the names of the fields in which secrets were; see Scrubber.
	Scrubbed []string `json:"scrubbed,omitempty" scrub:"-"`
}

// IsTrial tells whether the event tries whether errors are reported: nobody is told of it.
func (e *Event) IsTrial() bool {
	return e.Level == Info && len(e.Fingerprint) == 1 && (e.Fingerprint[0] == TrialFingerprint || e.IsCheck())
}

// IsCheck tells whether the event is a trial that is removed once it was found.
func (e *Event) IsCheck() bool {
	return e.Level == Info && len(e.Fingerprint) == 1 && strings.HasPrefix(e.Fingerprint[0], CheckFingerprint) && e.Message == CheckMessage
}

// TrialFingerprint is that of a trial, so that all of them are one issue.
const TrialFingerprint = "manus-errors-test"

// Of a check each trial is an issue of its own, which nobody else is at work on when it is removed.
const (
	CheckFingerprint = "manus-check-" // and what is the trial's own
	CheckMessage     = "A check of Manus: this is removed once it was found"
)

// Level is how bad an event is.
type Level string

// The levels, from the least to the worst.
const (
	Debug   Level = "debug"
	Info    Level = "info"
	Warning Level = "warning"
	Error   Level = "error"
	Fatal   Level = "fatal"
)

// Levels are all of them, in this order.
var Levels = []Level{Debug, Info, Warning, Error, Fatal}

// Exception is one of an event's chain of errors.
type Exception struct {
	Type   string `json:"type"`
	Value  string `json:"value"`
	Module string `json:"module,omitempty"`
	// Frames are the stack in the protocol's order: the frame that failed is the last.
	Frames []Frame `json:"frames"`
	// Handled is whether the program caught it; nil where it doesn't say. Mechanism is by
	// what it was caught, such as "onerror".
	Handled   *bool  `json:"handled,omitempty"`
	Mechanism string `json:"mechanism,omitempty"`
	// Synthetic is set where the program had no exception and the SDK made one, whose Type
	// says nothing.
	Synthetic bool `json:"synthetic,omitempty"`
}

// Frame is one call of a stack.
type Frame struct {
	Module   string `json:"module,omitempty"`
	Filename string `json:"filename,omitempty"`
	AbsPath  string `json:"abs_path,omitempty"`
	Function string `json:"function,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	// InApp is whether it is the program's own code and not a library's.
	InApp bool `json:"in_app"`
	// Context are the lines of the source about Line, the one that failed at ContextLine,
	// counted from 0; empty where there are none.
	Context     []string                   `json:"context,omitempty" scrub:"source"`
	ContextLine int                        `json:"context_line,omitempty"`
	Vars        map[string]json.RawMessage `json:"vars,omitempty"`
	// SourceMap is what a source map has said of the frame, or why none has; nil for a frame that
	// needs none.
	SourceMap *SourceMap `json:"source_map,omitempty"`
}

// SourceMap is how a frame of built JavaScript was found in the program's sources.
type SourceMap struct {
	// Minified is where the program's SDK says that the frame is; nil for a frame that isn't
	// mapped.
	Minified *Place `json:"minified,omitempty"`
	// Late is set of a frame that is mapped as it is shown, and wasn't when its event came.
	Late bool `json:"late,omitempty"`
	// Why is why the frame isn't mapped, or is so late, for people. It is told when the frame is
	// shown, and never kept.
	Why string `json:"why,omitempty" scrub:"-"`
}

// Place is a place in a built file.
type Place struct {
	Filename string `json:"filename,omitempty"`
	AbsPath  string `json:"abs_path,omitempty"`
	Function string `json:"function,omitempty"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
}

// Breadcrumb is something that happened before the event.
type Breadcrumb struct {
	Timestamp time.Time                  `json:"timestamp,omitzero"`
	Type      string                     `json:"type,omitempty"`
	Category  string                     `json:"category,omitempty"`
	Level     Level                      `json:"level,omitempty" scrub:"-"`
	Message   string                     `json:"message,omitempty"`
	Data      map[string]json.RawMessage `json:"data,omitempty"`
}

// User is whom it happened to.
type User struct {
	ID       string `json:"id,omitempty"`
	Username string `json:"username,omitempty"`
	Email    string `json:"email,omitempty"`
	IP       string `json:"ip_address,omitempty"`
}

// Request is the HTTP request that it happened in.
type Request struct {
	Method  string            `json:"method,omitempty"`
	URL     string            `json:"url,omitempty"`
	Query   string            `json:"query_string,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Data    string            `json:"data,omitempty"` // the body, as text
}

// SDK is what reported the event.
type SDK struct {
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	// AsksAddress is set when the program wants people told apart by where they send from.
	AsksAddress bool `json:"-"`
}

// SentFrom gives whom it happened to the address that the event was sent from, where the program
// asks for that: by {{auto}} in place of one; or by its SDK's settings, and it names nobody.
func (e *Event) SentFrom(address string) {
	switch {
	case e.User != nil && e.User.IP == "{{auto}}":
		if e.User.IP = address; *e.User == (User{}) {
			e.User = nil
		}
	case e.User == nil && e.SDK.AsksAddress && address != "":
		e.User = &User{IP: address}
	}
}

// Image is a file of code, of debug_meta.
type Image struct {
	Type     string `json:"type"` // "sourcemap"
	CodeFile string `json:"code_file"`
	DebugID  string `json:"debug_id" scrub:"-"`
}
