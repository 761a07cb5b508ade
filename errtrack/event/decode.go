package event

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"manus/language"
)

// ErrMalformed is returned for what is no event.
var ErrMalformed = errors.New("that is no event")

// Bounds of an event's parts: texts in characters, the others in number. What is more is
// cut, and named in Event.Cut.
const (
	maxShort       = 200  // names, versions, tags
	maxLine        = 512  // functions, paths, lines of code
	maxLong        = 8192 // messages, values, bodies
	maxRaw         = 2048 // bytes of one variable or context
	maxExceptions  = 50
	maxFrames      = 250
	maxBreadcrumbs = 100
	maxTags        = 50
	maxVars        = 50
	maxContexts    = 50
	maxHeaders     = 50
	maxContext     = 15
	maxFingerprint = 20
	maxImages      = 200
	maxSize        = 2 << 20 // bytes of the event's own JSON
)

// Decode reads an event as an SDK has sent it, in any of the protocol's shapes
// (https://develop.sentry.dev/sdk/data-model/event-payloads/). What isn't as the protocol
// has it is left out and named in Cut, so that nothing of an event is lost for a part of
// it; of a name that is there twice the last holds. Its errors are ErrMalformed.
func Decode(payload []byte) (Event, error) {
	if !utf8.Valid(payload) {
		payload = bytes.ToValidUTF8(payload, []byte("\uFFFD"))
	}
	d := decoder{in: jsontext.NewDecoder(bytes.NewBuffer(payload), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
	if kind := d.in.PeekKind(); kind != '{' && kind != 0 {
		return Event{}, fmt.Errorf("%w: it is no JSON object", ErrMalformed)
	}
	e := d.event()
	if d.err == nil {
		if _, err := d.in.ReadToken(); !errors.Is(err, io.EOF) {
			d.err = cmp.Or(err, errors.New("something follows it"))
		}
	}
	if d.err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrMalformed, d.err)
	}
	if len(payload) > maxSize/8 { // JSON of ours may be six times as long as another's
		d.fit(&e)
	}
	e.Cut = d.missing
	return e, nil
}

// ID is an event's id as it is written here; empty for what is none.
func ID(text string) string {
	id := strings.ToLower(strings.ReplaceAll(text, "-", ""))
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}

// spanID is a span's id, as ID is an event's.
func spanID(text string) string {
	id := strings.ToLower(text)
	if len(id) != 16 || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}

func levelOf(text string) Level {
	switch level := Level(strings.ToLower(text)); level {
	case Debug, Info, Warning, Error, Fatal:
		return level
	case "log":
		return Info
	case "warn":
		return Warning
	case "critical":
		return Fatal
	}
	return Error
}

// decoder reads an event in one pass, and notes what is missing. Its methods read one value
// each, whatever it is; once there is an error they read nothing.
type decoder struct {
	in      *jsontext.Decoder
	err     error
	missing []string
}

func (d *decoder) event() Event {
	e := Event{Level: Error}
	var logged, said message
	var stack, thread []Frame
	d.object("event", func(name []byte) {
		switch string(name) {
		case "event_id":
			e.ID = ID(d.text("event_id", maxShort))
		case "timestamp":
			e.Timestamp = d.time("timestamp")
		case "level":
			e.Level = levelOf(d.text("level", maxShort))
		case "platform":
			e.Platform = d.text("platform", maxShort)
		case "logger":
			e.Logger = d.text("logger", maxShort)
		case "transaction":
			e.Transaction = d.text("transaction", maxShort)
		case "server_name":
			e.ServerName = d.text("server_name", maxShort)
		case "release":
			e.Release = d.text("release", maxShort)
		case "dist":
			e.Dist = d.text("dist", maxShort)
		case "environment":
			e.Environment = d.text("environment", maxShort)
		case "message":
			said = d.message()
		case "logentry":
			logged = d.message()
		case "exception":
			e.Exceptions = d.exceptions()
		case "stacktrace":
			stack = d.stack()
		case "threads":
			thread = d.threads()
		case "breadcrumbs":
			e.Breadcrumbs = d.breadcrumbs()
		case "tags":
			e.Tags = d.tags("tags", maxTags)
		case "user":
			e.User = d.user()
		case "request":
			e.Request = d.request()
		case "contexts":
			e.Contexts = d.raws("contexts", maxContexts)
		case "extra":
			e.Extra = d.raws("extra", maxContexts)
		case "sdk":
			e.SDK = d.sdk()
		case "fingerprint":
			e.Fingerprint = d.fingerprint()
		case "debug_meta":
			e.Images = d.images()
		default:
			d.skip()
		}
	})
	if logged == (message{}) {
		logged = said
	}
	e.Message, e.Template = cmp.Or(logged.formatted, logged.template), logged.template
	if thread == nil {
		thread = stack
	}
	// Some SDKs have the stack beside the exception, or in the thread that crashed.
	switch last := len(e.Exceptions) - 1; {
	case last < 0:
		e.Stack = thread
	case len(e.Exceptions[last].Frames) == 0 && thread != nil:
		e.Exceptions[last].Frames = thread
	}
	e.TraceID, e.SpanID = traceOf(e.Contexts["trace"])
	return e
}

// message is a text, and what it was made from.
type message struct{ formatted, template string }

// message reads a string, or an object of a template and its parameters.
func (d *decoder) message() (m message) {
	if d.in.PeekKind() != '{' {
		m.formatted = d.flat("message", maxLong)
		return m
	}
	var with params
	d.object("message", func(name []byte) {
		switch string(name) {
		case "params":
			with = d.params()
		case "formatted":
			m.formatted = d.text("message", maxLong)
		case "message":
			m.template = d.text("message", maxLong)
		default:
			d.skip()
		}
	})
	if m.formatted == "" && m.template != "" { // most SDKs leave that to whoever takes the event
		if filled := with.fill(m.template); filled != m.template {
			m.formatted = filled
		}
	}
	return m
}

func (d *decoder) exceptions() []Exception {
	type wire struct {
		Exception
		raw []Frame
	}
	all := window[Exception]{first: maxExceptions / 2, last: maxExceptions / 2} // the first causes and the last
	list(d, "exceptions", func(x *wire, name []byte) {
		switch string(name) {
		case "type":
			x.Type = d.text("exceptions", maxLine)
		case "value":
			x.Value = d.flat("exceptions", maxLong)
		case "module":
			x.Module = d.text("exceptions", maxLine)
		case "stacktrace":
			x.Frames = d.stack()
		case "raw_stacktrace":
			x.raw = d.stack()
		case "mechanism":
			d.mechanism(&x.Exception)
		default:
			d.skip()
		}
	}, func(x wire) {
		if len(x.Frames) == 0 {
			x.Frames = append([]Frame{}, x.raw...)
		}
		all.add(x.Exception)
	})
	return kept(d, "exceptions", all)
}

func (d *decoder) mechanism(x *Exception) {
	d.object("exceptions", func(name []byte) {
		switch string(name) {
		case "type":
			x.Mechanism = d.text("exceptions", maxShort)
		case "handled":
			x.Handled = d.flag("exceptions")
		case "synthetic":
			x.Synthetic = is(d.flag("exceptions"))
		default:
			d.skip()
		}
	})
}

// threads are the frames of the thread that the event is of.
func (d *decoder) threads() (frames []Frame) {
	type thread struct {
		chosen bool
		frames []Frame
	}
	count := 0
	var alone []Frame
	list(d, "threads", func(t *thread, name []byte) {
		switch string(name) {
		case "crashed", "current":
			t.chosen = is(d.flag("threads")) || t.chosen
		case "stacktrace":
			t.frames = d.stack()
		default:
			d.skip()
		}
	}, func(t thread) {
		if count++; t.chosen && t.frames != nil {
			frames = t.frames
		}
		alone = t.frames
	})
	if count == 1 {
		return alone
	}
	return frames
}

// stack is never nil where there is one.
func (d *decoder) stack() []Frame {
	frames := window[Frame]{first: maxFrames / 5, last: maxFrames * 4 / 5} // where it began and where it ended
	d.object("frames", func(name []byte) {
		if string(name) != "frames" {
			d.skip()
			return
		}
		frames = window[Frame]{first: frames.first, last: frames.last}
		list(d, "frames", d.frameMember, func(f wireFrame) { frames.add(f.whole()) })
	})
	if frames.seen == 0 {
		return []Frame{}
	}
	return kept(d, "frames", frames)
}

// wireFrame is a frame of which not all has been read.
type wireFrame struct {
	Frame
	pkg, line     string
	before, after []string
	hasLine       bool
}

func (d *decoder) frameMember(f *wireFrame, name []byte) {
	switch string(name) {
	case "module":
		f.Module = d.text("frames", maxLine)
	case "package":
		f.pkg = d.text("frames", maxLine)
	case "filename":
		f.Filename = d.text("frames", maxLine)
	case "abs_path":
		f.AbsPath = d.text("frames", maxLine)
	case "function":
		f.Function = d.text("frames", maxLine)
	case "lineno":
		f.Line = d.whole("frames")
	case "colno":
		f.Column = d.whole("frames")
	case "in_app":
		f.InApp = is(d.flag("frames"))
	case "context_line":
		f.hasLine = d.isScalar()
		f.line = d.text("frames", maxLine)
	case "pre_context":
		f.before = d.texts("frames", window[string]{last: maxContext / 2}, maxLine).inOrder()
	case "post_context":
		f.after = d.texts("frames", window[string]{first: maxContext / 2}, maxLine).inOrder()
	case "vars":
		f.Vars = d.raws("vars", maxVars)
	default:
		d.skip()
	}
}

func (f wireFrame) whole() Frame {
	f.Module = cmp.Or(f.Module, f.pkg)
	if f.hasLine {
		f.ContextLine = len(f.before)
		f.Context = append(append(f.before, f.line), f.after...)
	}
	return f.Frame
}

func (d *decoder) breadcrumbs() []Breadcrumb {
	all := window[Breadcrumb]{last: maxBreadcrumbs} // the newest are the last
	list(d, "breadcrumbs", func(b *Breadcrumb, name []byte) {
		switch string(name) {
		case "timestamp":
			b.Timestamp = d.time("breadcrumbs")
		case "type":
			b.Type = d.text("breadcrumbs", maxShort)
		case "category":
			b.Category = d.text("breadcrumbs", maxShort)
		case "level":
			b.Level = levelOf(cmp.Or(d.text("breadcrumbs", maxShort), "info"))
		case "message":
			b.Message = d.text("breadcrumbs", maxLine)
		case "data":
			b.Data = d.raws("breadcrumbs", maxVars)
		default:
			d.skip()
		}
	}, func(b Breadcrumb) {
		b.Level = cmp.Or(b.Level, Info)
		all.add(b)
	})
	return kept(d, "breadcrumbs", all)
}

func (d *decoder) user() *User {
	var u User
	name := ""
	d.object("user", func(member []byte) {
		switch string(member) {
		case "id":
			u.ID = d.text("user", maxShort)
		case "username":
			u.Username = d.text("user", maxShort)
		case "name":
			name = d.text("user", maxShort)
		case "email":
			u.Email = d.text("user", maxShort)
		case "ip_address":
			u.IP = d.text("user", maxShort)
		default:
			d.skip()
		}
	})
	if u.Username = cmp.Or(u.Username, name); u == (User{}) {
		return nil
	}
	return &u
}

func (d *decoder) request() *Request {
	if d.in.PeekKind() != '{' {
		d.skipAs("request")
		return nil
	}
	r := &Request{}
	d.object("request", func(name []byte) {
		switch string(name) {
		case "method":
			r.Method = d.text("request", maxShort)
		case "url":
			r.URL = d.text("request", maxLong)
		case "query_string":
			r.Query = d.flat("request", maxLong)
		case "headers":
			r.Headers = d.tags("request", maxHeaders)
		case "data":
			r.Data = d.flat("request", maxLong)
		default:
			d.skip()
		}
	})
	return r
}

func (d *decoder) sdk() (s SDK) {
	d.object("sdk", func(name []byte) {
		switch string(name) {
		case "name":
			s.Name = d.text("sdk", maxShort)
		case "version":
			s.Version = d.text("sdk", maxShort)
		case "settings":
			d.object("", func(setting []byte) {
				if string(setting) != "infer_ip" {
					d.skip()
					return
				}
				s.AsksAddress = d.text("", maxShort) == "auto"
			})
		default:
			d.skip()
		}
	})
	return s
}

func (d *decoder) images() []Image {
	all := window[Image]{first: maxImages}
	d.object("images", func(name []byte) {
		if string(name) != "images" {
			d.skip()
			return
		}
		all = window[Image]{first: maxImages}
		list(d, "images", func(i *Image, name []byte) {
			switch string(name) {
			case "type":
				i.Type = d.text("images", maxShort)
			case "code_file":
				i.CodeFile = d.text("images", maxLine)
			case "debug_id":
				i.DebugID = ID(d.text("images", maxShort))
			default:
				d.skip()
			}
		}, all.add)
	})
	return kept(d, "images", all)
}

// traceOf is the trace that an event happened in.
func traceOf(context json.RawMessage) (trace, span string) {
	d := decoder{in: jsontext.NewDecoder(bytes.NewBuffer(context), jsontext.AllowDuplicateNames(true))}
	d.object("", func(name []byte) {
		switch string(name) {
		case "trace_id":
			trace = ID(d.text("", maxShort))
		case "span_id":
			span = spanID(d.text("", maxShort))
		default:
			d.skip()
		}
	})
	return trace, span
}

// tags are of an object, or of an array of pairs; null is none.
func (d *decoder) tags(name string, most int) map[string]string {
	out := map[string]string{}
	add := func(key, value string, is bool) {
		switch _, known := out[key]; {
		case key == "" || !is:
		case len(out) == most && !known:
			d.cut(name)
		default:
			out[key] = value
		}
	}
	if d.in.PeekKind() == '[' {
		d.array(func() {
			if d.in.PeekKind() != '[' {
				d.skipAs(name)
				return
			}
			pair := d.texts(name, window[string]{first: 3}, maxShort).inOrder()
			if len(pair) != 2 {
				d.cut(name)
				return
			}
			add(pair[0], pair[1], true)
		})
	} else {
		d.object(name, func(key []byte) {
			tag, is := d.short(name, string(key), maxShort), d.in.PeekKind() != 'n'
			add(tag, d.flat(name, maxShort), is)
		})
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// raws are an object's members as they stand; null is none.
func (d *decoder) raws(name string, most int) (out map[string]json.RawMessage) {
	d.object(name, func(key []byte) {
		member := d.short(name, string(key), maxShort)
		if d.in.PeekKind() == 'n' {
			d.skip()
			return
		}
		if _, known := out[member]; len(out) == most && !known {
			d.skipAs(name)
			return
		}
		if out == nil {
			out = map[string]json.RawMessage{}
		}
		out[member] = d.raw(name)
	})
	return out
}

// raw is JSON within bounds: what is too long becomes the beginning of its text.
func (d *decoder) raw(name string) json.RawMessage {
	value := d.value()
	if marshalled(value) <= maxRaw {
		return bytes.Clone(value)
	}
	d.cut(name)
	text := unquoted(value)
	for n := maxRaw / 2; ; n /= 2 {
		short, _ := json.Marshal(language.Cut(text, n) + "…") // it never fails
		if len(short) <= maxRaw {
			return short
		}
	}
}

// marshalled is how long JSON is when encoding/json has written it again, at most.
func marshalled(value []byte) int {
	return len(value) + 5*(bytes.Count(value, []byte("<"))+bytes.Count(value, []byte(">"))+bytes.Count(value, []byte("&"))) + 3*bytes.Count(value, []byte("\u2028")[:2])
}

// texts are a list of them.
func (d *decoder) texts(name string, all window[string], most int) window[string] {
	switch {
	case d.in.PeekKind() == '[':
		d.array(func() { all.add(d.text(name, most)) })
	case d.isScalar():
		all.add(d.text(name, most))
	default:
		d.skipAs(name)
	}
	return all
}

// fingerprint are its parts, each told from others whatever it is: of an object or a list
// its JSON, and of what is too long or too much a hash. null is no part.
func (d *decoder) fingerprint() (parts []string) {
	rest := sha256.New()
	more := 0
	add := func() {
		value := d.value()
		switch {
		case d.err != nil:
			return
		case value.Kind() == 'n':
			d.cut("fingerprint")
			return
		case value.Kind() == '{' || value.Kind() == '[':
			value = value.Clone()
			_ = value.Canonicalize() // then it stays as it is
		}
		part := strings.ReplaceAll(unquoted(value), "\x00", "")
		if short := language.Cut(part, maxShort); short != part {
			d.cut("fingerprint")
			part = short + "… " + hashOf(part)
		}
		if len(parts) < maxFingerprint-1 {
			parts = append(parts, part)
			return
		}
		more++
		fmt.Fprintf(rest, "%d %s", len(part), part)
		if more == 1 {
			parts = append(parts, part)
		} else {
			d.cut("fingerprint")
			parts[maxFingerprint-1] = "… " + hex.EncodeToString(rest.Sum(nil)[:hashed])
		}
	}
	switch d.in.PeekKind() {
	case '[':
		d.array(add)
	case 'n':
		d.skip()
	default:
		add()
	}
	return parts
}

// hashed is how many bytes of a hash stand for what is left out.
const hashed = 8

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:hashed])
}

// text is a string, or a number or a boolean in its place.
func (d *decoder) text(name string, most int) string {
	if !d.isScalar() {
		d.skipAs(name)
		return ""
	}
	return d.short(name, unquoted(d.value()), most)
}

// flat is as text, and of anything else its JSON.
func (d *decoder) flat(name string, most int) string {
	if d.in.PeekKind() == 'n' {
		d.skip()
		return ""
	}
	return d.short(name, unquoted(d.value()), most)
}

// short is a text within bounds.
func (d *decoder) short(name, text string, most int) string {
	short := language.Cut(text, most)
	if len(short) < len(text) {
		d.cut(name)
	}
	return strings.ReplaceAll(short, "\x00", "")
}

// unquoted is a string's text, or the JSON of anything else.
func unquoted(value []byte) string {
	switch {
	case len(value) == 0 || value[0] != '"':
		return string(value)
	case bytes.IndexByte(value, '\\') < 0:
		return string(value[1 : len(value)-1])
	}
	text, _ := jsontext.AppendUnquote(nil, value) // what is no character becomes U+FFFD
	return string(text)
}

// flag is a boolean; nil for anything else.
func (d *decoder) flag(name string) *bool {
	if kind := d.in.PeekKind(); kind != 't' && kind != 'f' {
		d.skipAs(name)
		return nil
	}
	return new(string(d.value()) == "true")
}

func is(flag *bool) bool { return flag != nil && *flag }

// whole is a whole number, or a string of one; 0 for anything else.
func (d *decoder) whole(name string) int {
	f, err := strconv.ParseFloat(d.text(name, maxShort), 64)
	if err != nil || f < 0 || f >= math.MaxInt32 {
		return 0
	}
	return int(f)
}

// time is a moment: seconds since 1970, or RFC 3339 with or without a zone.
func (d *decoder) time(name string) (at time.Time) {
	text := d.text(name, maxShort)
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 1e11 {
		return time.UnixMilli(int64(seconds * 1000)).UTC()
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05Z0700"} {
		if at, err := time.Parse(layout, text); err == nil && at.UTC().Year() > 0 && at.UTC().Year() < 10_000 { // others can't be written
			return at.UTC()
		}
	}
	if text != "" {
		d.cut(name)
	}
	return time.Time{}
}

// list reads an array of objects, an object whose values are one, or one object alone, and
// hands over each when its members have been read. null within is left out.
func list[T any](d *decoder, name string, member func(*T, []byte), done func(T)) {
	one := func() {
		if d.in.PeekKind() != '{' {
			d.skipAs(name)
			return
		}
		var t T
		d.object(name, func(key []byte) { member(&t, key) })
		done(t)
	}
	if d.in.PeekKind() == '[' {
		d.array(one)
		return
	}
	var t T
	alone := false
	d.object(name, func(key []byte) {
		if string(key) == "values" && d.in.PeekKind() == '[' {
			d.array(one)
			return
		}
		alone = true
		member(&t, key)
	})
	if alone {
		done(t)
	}
}

// object has each member of an object read; its name is good until then. Anything else is
// skipped.
func (d *decoder) object(name string, member func(name []byte)) {
	if d.in.PeekKind() != '{' {
		d.skipAs(name)
		return
	}
	d.token()
	for d.err == nil && d.in.PeekKind() != '}' {
		key := []byte(d.value())
		if d.err != nil {
			return
		}
		if key = key[1 : len(key)-1]; bytes.IndexByte(key, '\\') >= 0 {
			key = []byte(unquoted([]byte(`"` + string(key) + `"`)))
		}
		member(key)
	}
	d.token()
}

// array has each element of an array read.
func (d *decoder) array(element func()) {
	d.token()
	for d.err == nil && d.in.PeekKind() != ']' {
		element()
	}
	d.token()
}

// isScalar is whether a text comes next.
func (d *decoder) isScalar() bool {
	switch d.in.PeekKind() {
	case '"', '0', 't', 'f':
		return true
	}
	return false
}

// value is the next value as it stands, until the next is read.
func (d *decoder) value() (v jsontext.Value) {
	if d.err == nil {
		v, d.err = d.in.ReadValue()
	}
	return v
}

func (d *decoder) token() {
	if d.err == nil {
		_, d.err = d.in.ReadToken()
	}
}

func (d *decoder) skip() {
	if d.err == nil {
		d.err = d.in.SkipValue()
	}
}

// skipAs skips what isn't as it should be. null is nothing.
func (d *decoder) skipAs(name string) {
	if d.in.PeekKind() != 'n' {
		d.cut(name)
	}
	d.skip()
}

func (d *decoder) cut(name string) {
	if name == "" || d.err != nil {
		return
	}
	for _, known := range d.missing {
		if known == name {
			return
		}
	}
	d.missing = append(d.missing, name)
}

// window keeps of what comes the first and the last.
type window[T any] struct {
	first, last int
	kept        []T
	seen        int
}

func (w *window[T]) add(one T) {
	switch most := w.first + w.last; {
	case len(w.kept) < most:
		w.kept = append(w.kept, one)
	case w.last > 0:
		w.kept[w.first+(w.seen-w.first)%w.last] = one
	}
	w.seen++
}

// inOrder is what has been kept.
func (w window[T]) inOrder() []T {
	if w.seen <= len(w.kept) || w.last == 0 {
		return w.kept
	}
	oldest := w.first + (w.seen-w.first)%w.last
	return append(append(w.kept[:w.first:w.first], w.kept[oldest:]...), w.kept[w.first:oldest]...)
}

// kept is what a window has kept, noted where that isn't all.
func kept[T any](d *decoder, name string, w window[T]) []T {
	if w.seen > len(w.kept) {
		d.cut(name)
	}
	return w.inOrder()
}

// fit leaves out of an event what it is understood without, until it is as small as it has
// to be.
func (d *decoder) fit(e *Event) {
	frames := func(change func(*Frame)) {
		for i := range e.Exceptions {
			for j := range e.Exceptions[i].Frames {
				change(&e.Exceptions[i].Frames[j])
			}
		}
		for j := range e.Stack {
			change(&e.Stack[j])
		}
	}
	for _, part := range []struct {
		name string
		drop func()
	}{
		{"extra", func() { e.Extra = nil }},
		{"breadcrumbs", func() { e.Breadcrumbs = nil }},
		{"vars", func() { frames(func(f *Frame) { f.Vars = nil }) }},
		{"contexts", func() { e.Contexts = nil }},
		{"frames", func() { frames(func(f *Frame) { f.Context, f.ContextLine = nil, 0 }) }},
		{"images", func() { e.Images = nil }},
		{"exceptions", func() { e.Exceptions = e.Exceptions[max(0, len(e.Exceptions)-1):] }},
		{"frames", func() {
			for i := range e.Exceptions {
				e.Exceptions[i].Frames = e.Exceptions[i].Frames[max(0, len(e.Exceptions[i].Frames)-maxFrames/5):]
			}
			e.Stack = e.Stack[max(0, len(e.Stack)-maxFrames/5):]
		}},
	} {
		if text, err := json.Marshal(e); err == nil && len(text) <= maxSize-1024 {
			return
		}
		part.drop()
		d.cut(part.name)
	}
}
