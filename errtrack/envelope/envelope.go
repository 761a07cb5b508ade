// Package envelope is the wire that programs report errors on: Sentry's ingestion protocol,
// as its SDKs speak it. It reads who is calling ([Credentials]), unpacks bodies
// ([Unpacker]), takes envelopes apart item by item as they arrive ([Reader]), and reads the
// bodies of older SDKs ([ReadStore]). Whoever sends can be hostile: everything is bounded,
// in bytes, in memory and in work.
//
// It knows nothing of what is in items, nor of projects, keys and quotas.
//
// The protocol is that of https://develop.sentry.dev/sdk/foundations/envelopes/ and, where
// that is silent, of Relay, Sentry's own receiver.
package envelope

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a refusal, as the protocol answers it: the status, with {"detail": …} as the
// body. Errors of the connection that a body is read from are not refusals; they are
// returned as they came.
type Error struct {
	// Status is 400 for what is malformed, 401 without credentials, 413 for what is too
	// large, 415 for an unknown encoding, and 503 while too many bodies are read.
	Status int
	// Detail says what is wrong, and never repeats what was sent.
	Detail string

	cause error // for the log; not unwrapped, as a decoder's io.EOF isn't the envelope's
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Detail + ": " + e.cause.Error()
	}
	return e.Detail
}

func malformed(detail string, cause ...error) error {
	return &Error{Status: http.StatusBadRequest, Detail: detail, cause: errors.Join(cause...)}
}

func tooLarge(detail string) error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Detail: detail}
}

// Header is what an envelope says of itself.
type Header struct {
	// EventID is that of the event within, and wins over what the event says: 32
	// hexadecimal digits in small letters, or empty.
	EventID string
	// DSN is the address that the SDK was given; see [Header.Credentials].
	DSN string
	// SentAt is when the envelope was sent by the sender's clock, zero where it doesn't say.
	SentAt              time.Time
	SDKName, SDKVersion string
	// Trace is the trace that the envelope belongs to, as the SDK wrote it.
	Trace json.RawMessage
}

// Item is one part of an envelope.
type Item struct {
	Type        string // "event", "transaction", …: one of those that are kept
	ContentType string
	// Count is how many things the payload holds, where it is a container; otherwise 0.
	Count int
	// Payload is JSON as far as the sender's is, repaired by [Repair]. It belongs to the
	// caller.
	Payload []byte
}

// Skipped is an item that was read over.
type Skipped struct {
	Type   string // as in [Item]; empty where it isn't a name
	Reason Reason
	Size   int64 // of the payload, in bytes
}

// Reason is why an item was read over.
type Reason string

// The reasons.
const (
	Unknown  Reason = "unknown"   // a type that this package hasn't heard of
	Unkept   Reason = "unkept"    // a type of the protocol that nothing is made of here
	TooLarge Reason = "too_large" // with those of its type before, it is larger than these may be
	TooMany  Reason = "too_many"  // the envelope had as many of the type as it may have
)

// kind bounds the items of a type.
type kind struct {
	size      int64 // the most bytes of all payloads in an envelope; 0 where none is kept
	container int64 // the same with containers of many, if that may be more
	count     int   // the most items in an envelope
}

// kinds are the types of items that the protocol has, with Relay's limits.
var kinds = map[string]kind{
	"event":         {size: maxEvent, count: 1},
	"transaction":   {size: maxEvent, count: 1},
	"feedback":      {size: maxEvent, count: 1},
	"user_report":   {size: 100 << 10, count: 100},
	"session":       {size: 100 << 10, count: 100},
	"sessions":      {size: maxEvent, count: 100},
	"client_report": {size: 100 << 10, count: 100},
	"check_in":      {size: 100 << 10, count: 100},
	"span":          {size: 10 << 20, container: maxItem, count: 100},
	"log":           {size: 2 << 20, count: 1},

	"attachment": {}, "form_data": {}, "integration": {}, "metric_buckets": {}, "nel": {},
	"otel_span": {}, "otel_traces_data": {}, "profile": {}, "profile_chunk": {},
	"profile_chunk_ui": {}, "raw_security": {}, "replay_event": {}, "replay_recording": {},
	"replay_video": {}, "security": {}, "statsd": {}, "trace_metric": {}, "unreal_report": {},
}

const (
	maxEvent = 1 << 20
	maxItem  = 12 << 20 // the largest that is kept of any type
	maxItems = 1000     // of an envelope, those that are skipped and empty lines included
	maxLine  = 16 << 10 // of a header
)

// Reader takes an envelope apart while it arrives, by Relay's rules: a line of JSON as the
// header, then for each item a line of JSON as its header, and its payload. A payload whose
// header has a length is exactly that long, and a newline or the end follows; one without
// reaches to the next newline or the end. So "\r" belongs to the payload, the last newline
// may be missing, and an envelope without items is one.
type Reader struct {
	Header Header

	body    *Body
	in      *bufio.Reader
	items   int
	kept    map[string]amount // by type
	held    int64             // bytes of all that was kept
	skipped []Skipped
	err     error
}

type amount struct {
	items int
	bytes int64
}

// NewReader reads the envelope's header. Its error is an [*Error], or the connection's.
func NewReader(body *Body) (*Reader, error) {
	r := &Reader{body: body, in: body.buffer(body), kept: map[string]amount{}}
	line, err := r.line()
	if errors.Is(err, io.EOF) {
		return nil, malformed("the envelope has no header")
	}
	if err != nil {
		return nil, err
	}
	if r.Header, err = parseHeader(line); err != nil {
		return nil, err
	}
	return r, nil
}

// Next is the next item that is kept. After the last one it returns io.EOF, and where the
// envelope can't be read on an [*Error] or the connection's error. Items that it has
// returned before are whole, whatever follows.
func (r *Reader) Next() (Item, error) {
	for r.err == nil {
		item, skipped, err := r.next()
		switch {
		case err != nil:
			r.err = err
		case skipped.Reason != "":
			r.skipped = append(r.skipped, skipped)
		default:
			return item, nil
		}
	}
	return Item{}, r.err
}

// Skipped are the items that were read over until now.
func (r *Reader) Skipped() []Skipped { return r.skipped }

// next reads one item, or reads over it.
func (r *Reader) next() (Item, Skipped, error) {
	line, err := r.line()
	if err != nil {
		return Item{}, Skipped{}, err
	}
	if err := r.countItem(); err != nil {
		return Item{}, Skipped{}, err
	}
	item, length, err := r.parseItemHeader(line)
	if err != nil {
		return Item{}, Skipped{}, err
	}

	limit, reason := r.limit(item)
	payload, size, err := r.payload(length, limit)
	if err != nil {
		return Item{}, Skipped{}, err
	}
	if reason == "" && size > limit {
		reason = TooLarge
	}
	if reason != "" {
		return Item{}, Skipped{Type: name(item.Type), Reason: reason, Size: size}, nil
	}
	r.held += size
	r.kept[item.Type] = amount{r.kept[item.Type].items + 1, r.kept[item.Type].bytes + size}
	item.Payload = Repair(payload)
	return item, Skipped{}, nil
}

// limit is how large the item's payload may be, and why it isn't kept whatever its size.
func (r *Reader) limit(item Item) (int64, Reason) {
	kind, known := kinds[item.Type]
	kept, size := r.kept[item.Type], kind.size
	switch {
	case !known:
		return 0, Unknown
	case size == 0:
		return 0, Unkept
	case kept.items >= kind.count:
		return 0, TooMany
	case strings.HasPrefix(item.ContentType, "application/vnd.sentry.items."):
		size = max(size, kind.container)
	}
	return max(size-kept.bytes, 0), ""
}

// payload reads a payload and its end, to the next newline where length is negative. Where
// it is larger than limit it is read over, and only its size is returned. A length is
// believed only as far as bytes have come.
func (r *Reader) payload(length, limit int64) (payload []byte, size int64, err error) {
	kept := chunks{pool: &r.body.unpacker.chunks}
	defer kept.free()
	for ended := length == 0; !ended; ended = ended || size == length {
		var part []byte
		if length < 0 {
			part, ended, err = r.untilNewline()
		} else {
			part, err = r.upTo(length - size)
		}
		if err != nil {
			return nil, 0, err
		}
		size += int64(len(part))
		if max(size, length) > limit {
			kept.free()
		} else if err := r.body.keep(r.held + size); err != nil {
			return nil, 0, err
		} else {
			kept.add(part)
		}
	}
	if length >= 0 {
		if err := r.newlineOrEnd(); err != nil {
			return nil, 0, err
		}
	}
	return kept.joined(), size, nil
}

// untilNewline reads some of a payload that reaches to the next newline or the end.
func (r *Reader) untilNewline() (part []byte, ended bool, err error) {
	part, err = r.in.ReadSlice('\n')
	switch {
	case err == nil:
		return part[:len(part)-1], true, nil
	case errors.Is(err, io.EOF):
		return part, true, nil
	case errors.Is(err, bufio.ErrBufferFull):
		return part, false, nil
	}
	return nil, false, err
}

// upTo reads some of a payload of which that many bytes are left.
func (r *Reader) upTo(left int64) (part []byte, err error) {
	if _, err = r.in.Peek(1); err != nil {
		if errors.Is(err, io.EOF) {
			err = r.wrongLength()
		}
		return nil, err
	}
	part, _ = r.in.Peek(int(min(left, int64(r.in.Buffered()))))
	_, err = r.in.Discard(len(part))
	return part, err
}

func (r *Reader) newlineOrEnd() error {
	next, err := r.in.ReadByte()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil && next != '\n' {
		err = r.wrongLength()
	}
	return err
}

func (r *Reader) wrongLength() error {
	return malformed(fmt.Sprintf("item %d isn't as long as its header says", r.items))
}

// line is the next line that isn't empty, without its newline; valid until the next read.
func (r *Reader) line() ([]byte, error) {
	for {
		line, err := r.in.ReadSlice('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			return text, nil
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, tooLarge("a header is too long")
		}
		if err != nil {
			return nil, err
		}
		if err := r.countItem(); err != nil {
			return nil, err
		}
	}
}

// countItem bounds the work for bytes that cost their sender next to nothing.
func (r *Reader) countItem() error {
	if r.items++; r.items > maxItems {
		return tooLarge("the envelope has too many items")
	}
	return nil
}

// parseHeader is strict in what events are known by; all else may be of any type.
func parseHeader(line []byte) (Header, error) {
	var h struct {
		EventID json.RawMessage `json:"event_id"`
		DSN     string          `json:"dsn"`
		SentAt  string          `json:"sent_at"`
		SDK     struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"sdk"`
		Trace json.RawMessage `json:"trace"`
	}
	if !parseObject(line, &h) {
		return Header{}, malformed("the envelope's header isn't a JSON object")
	}
	id, ok := memberText(h.EventID)
	if ok && id != "" {
		id, ok = eventID(id)
	}
	if !ok {
		return Header{}, malformed("the event_id of the envelope's header isn't a UUID")
	}
	sent, _ := time.Parse(time.RFC3339, h.SentAt)
	return Header{EventID: id, DSN: h.DSN, SentAt: sent.UTC(), SDKName: h.SDK.Name, SDKVersion: h.SDK.Version, Trace: h.Trace}, nil
}

// parseItemHeader is strict in what the frame depends on; the length is -1 where it has none.
func (r *Reader) parseItemHeader(line []byte) (item Item, length int64, err error) {
	var h struct {
		Type        json.RawMessage `json:"type"`
		Length      json.RawMessage `json:"length"`
		ContentType string          `json:"content_type"`
		Count       int             `json:"item_count"`
	}
	isObject := parseObject(line, &h)
	kind, isText := memberText(h.Type)
	if !isObject || !isText || kind == "" {
		return Item{}, 0, malformed(fmt.Sprintf("the header of item %d isn't a JSON object with a type", r.items))
	}
	length = -1
	if !isNull(h.Length) {
		length, err = strconv.ParseInt(string(h.Length), 10, 64)
		if err != nil || length < 0 {
			return Item{}, 0, malformed(fmt.Sprintf("the length of item %d isn't a number of bytes", r.items))
		}
	}
	return Item{Type: kind, ContentType: h.ContentType, Count: max(h.Count, 0)}, length, nil
}

// parseObject tells whether the line is an object. A member of another type than the
// target's is left out.
func parseObject(line []byte, target any) bool {
	err := json.Unmarshal(line, target)
	_, otherType := errors.AsType[*json.UnmarshalTypeError](err)
	return line[0] == '{' && (err == nil || otherType)
}

// memberText is the string that a member has, empty where it is missing.
func memberText(value json.RawMessage) (text string, ok bool) {
	return text, isNull(value) || json.Unmarshal(value, &text) == nil
}

func isNull(value json.RawMessage) bool { return len(value) == 0 || string(value) == "null" }

// eventID is the normal form of an event's id, 32 hexadecimal digits in small letters, of
// one that may have dashes and capitals. The id that is all zeros stands for none.
func eventID(text string) (id string, ok bool) {
	id = strings.ToLower(strings.ReplaceAll(text, "-", ""))
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return "", false
	}
	if strings.Trim(id, "0") == "" {
		return "", true
	}
	return id, true
}

// name is the type as it may stand in a log, or empty.
func name(text string) string {
	if len(text) > 64 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != "" {
		return ""
	}
	return text
}
