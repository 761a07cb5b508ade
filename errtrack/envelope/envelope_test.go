package envelope

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// open is the body of a request, with what its content encoding is.
func open(t testing.TB, u *Unpacker, from io.Reader, encoding string) (*Body, error) {
	t.Helper()
	r := httptest.NewRequest("POST", "/api/1/envelope/", from)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	body, err := u.Open(r)
	if err == nil {
		t.Cleanup(body.Close)
	}
	return body, err
}

func plain(t testing.TB, text string) *Body {
	t.Helper()
	body, err := open(t, NewUnpacker(), strings.NewReader(text), "")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// readAll reads an envelope to its end, or to what is wrong with it.
func readAll(body *Body) (r *Reader, items []Item, err error) {
	r, err = NewReader(body)
	for err == nil {
		var item Item
		if item, err = r.Next(); err == nil {
			items = append(items, item)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return r, items, err
}

// status is that of a refusal, and 0 for any other error and for none.
func status(err error) int {
	if refusal, ok := errors.AsType[*Error](err); ok {
		return refusal.Status
	}
	return 0
}

const head = `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","dsn":"https://e12d836b15bb49d7bbf99e64295d995b:@sentry.io/42"}`

// TestFraming has the bytes of Relay's own tests (relay-server/src/envelope.rs), with event
// for attachment where a payload is to be seen, and those of published faults.
func TestFraming(t *testing.T) {
	t.Parallel()
	event := func(payload string) string { return "event " + payload }
	for _, c := range []struct {
		name, text string
		want       []string // items that are kept, in order
		skipped    []Skipped
		status     int
	}{
		{name: "header only", text: head},
		{name: "header and newline", text: head + "\n"},
		{name: "no header", text: "", status: 400},
		{name: "only newlines", text: "\n\n", status: 400},
		{name: "header isn't JSON", text: "{event_id}", status: 400},
		{name: "header is null", text: "null\n", status: 400},
		{name: "header is a list", text: "[]\n", status: 400},
		{name: "two values in the header's line", text: head + "{}\n", status: 400},
		{
			name: "empty items, newline at the end",
			text: head + "\n{\"type\":\"event\",\"length\":0}\n\n{\"type\":\"attachment\",\"length\":0}\n",
			want: []string{event("")}, skipped: []Skipped{{"attachment", Unkept, 0}},
		},
		{
			name: "empty items, end of input",
			text: head + "\n{\"type\":\"attachment\",\"length\":0}\n\n{\"type\":\"event\",\"length\":0}",
			want: []string{event("")}, skipped: []Skipped{{"attachment", Unkept, 0}},
		},
		{name: "implicit length, newline", text: head + "\n{\"type\":\"event\"}\nhelloworld\n", want: []string{event("helloworld")}},
		{name: "implicit length, end of input", text: head + "\n{\"type\":\"event\"}\nhelloworld", want: []string{event("helloworld")}},
		{name: "implicit length, empty, end of input", text: head + "\n{\"type\":\"event\"}", want: []string{event("")}},
		{name: "length null", text: head + "\n{\"type\":\"event\",\"length\":null}\nhelloworld", want: []string{event("helloworld")}},
		{
			name: "several items, a newline within one",
			text: head + "\n{\"type\":\"feedback\",\"length\":10,\"content_type\":\"text/plain\",\"filename\":\"hello.txt\"}\n" +
				"\xef\xbb\xbfHello\r\n\n" +
				"{\"type\":\"event\",\"length\":41,\"content_type\":\"application/json\",\"filename\":\"application.log\"}\n" +
				"{\"message\":\"hello world\",\"level\":\"error\"}\n",
			want: []string{"feedback \xef\xbb\xbfHello\r\n", event(`{"message":"hello world","level":"error"}`)},
		},
		{name: "a carriage return belongs to the payload", text: "{}\r\n{\"type\":\"event\"}\r\nhello\r\n", want: []string{event("hello\r")}},
		{
			name: "unknown, and an event behind it", text: head + "\n{\"type\":\"invalid_unknown\"}\nhelloworld\n{\"type\":\"event\"}\nx\n",
			want: []string{event("x")}, skipped: []Skipped{{"invalid_unknown", Unknown, 10}},
		},
		{
			name: "replays", text: head + "\n{\"type\":\"replay_recording\"}\nhelloworld\n{\"type\":\"replay_video\"}\nhelloworld",
			skipped: []Skipped{{"replay_recording", Unkept, 10}, {"replay_video", Unkept, 10}},
		},
		{
			name:    "a view hierarchy",
			text:    head + "\n{\"type\":\"attachment\",\"length\":44,\"content_type\":\"application/json\",\"attachment_type\":\"event.view_hierarchy\"}\n{\"rendering_system\":\"compose\",\"windows\":[]}\n\n",
			skipped: []Skipped{{"attachment", Unkept, 44}},
		},
		{
			name: "transactions before the event (bugsink 4)",
			text: "{}\n{\"type\":\"transaction\"}\nt\n{\"type\":\"transaction\"}\nu\n{\"type\":\"event\"}\ne\n",
			want: []string{"transaction t", event("e")}, skipped: []Skipped{{"transaction", TooMany, 1}},
		},
		{name: "a second event", text: "{}\n{\"type\":\"event\"}\na\n{\"type\":\"event\"}\nb\n", want: []string{event("a")}, skipped: []Skipped{{"event", TooMany, 1}}},
		{
			name: "a client report in the event's envelope (sentry-go)", text: "{}\n{\"type\":\"event\",\"length\":1}\ne\n{\"type\":\"client_report\",\"length\":1}\nr\n",
			want: []string{event("e"), "client_report r"},
		},
		{name: "a length that is too long (sentry-android 273)", text: "{}\n{\"type\":\"event\",\"length\":1}\ne\n{\"type\":\"session\",\"length\":9}\nlong", want: []string{event("e")}, status: 400},
		{name: "a length that is too short", text: "{}\n{\"type\":\"event\",\"length\":3}\nlong\n", status: 400},
		{name: "an unkept item's length that is too long", text: "{}\n{\"type\":\"attachment\",\"length\":9}\nlong", status: 400},
		{name: "a length that ends at the newline", text: "{}\n{\"type\":\"event\",\"length\":5}\nlong\n", want: []string{event("long\n")}},
		{name: "a negative length", text: "{}\n{\"type\":\"event\",\"length\":-1}\nx\n", status: 400},
		{name: "a fractional length", text: "{}\n{\"type\":\"event\",\"length\":1.0}\nx\n", status: 400},
		{name: "a length as text", text: "{}\n{\"type\":\"event\",\"length\":\"1\"}\nx\n", status: 400},
		{name: "a length beyond all numbers", text: "{}\n{\"type\":\"event\",\"length\":18446744073709551616}\nx\n", status: 400},
		{name: "a length of exabytes", text: "{}\n{\"type\":\"event\",\"length\":9223372036854775807}\nx\n", status: 400},
		{name: "an item without a type", text: "{}\n{\"length\":1}\nx\n", status: 400},
		{name: "an item whose type is a number", text: "{}\n{\"type\":1,\"length\":1}\nx\n", status: 400},
		{name: "an item's header isn't JSON", text: "{}\n{\"type\":\"event\"}\ne\ngarbage\n", want: []string{event("e")}, status: 400},
		{name: "a member that doesn't matter", text: "{\"sdk\":[1],\"dsn\":{},\"sent_at\":7}\n{\"type\":\"event\",\"content_type\":7,\"item_count\":\"x\"}\ne", want: []string{event("e")}},
		{name: "empty lines between", text: "\n{}\n\n{\"type\":\"event\"}\ne\n\n \n{\"type\":\"session\"}\ns\n\n\n", want: []string{event("e"), "session s"}},
		{name: "a type that is no name", text: "{}\n{\"type\":\"<b>\"}\nx", skipped: []Skipped{{"", Unknown, 1}}},
		{name: "the id is no id", text: `{"event_id":"xyz"}`, status: 400},
		{name: "the id is a number", text: `{"event_id":7}`, status: 400},
	} {
		for how, reader := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with the end": iotest.DataErrReader,
		} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				t.Parallel()
				body, err := open(t, NewUnpacker(), reader(strings.NewReader(c.text)), "")
				if err != nil {
					t.Fatal(err)
				}
				r, items, err := readAll(body)
				var got []string
				for _, item := range items {
					got = append(got, item.Type+" "+string(item.Payload))
				}
				if status(err) != c.status || err != nil && c.status == 0 {
					t.Errorf("the error is %v, want status %d", err, c.status)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("items are %q, want %q", got, c.want)
				}
				if r != nil && !slices.Equal(r.Skipped(), c.skipped) {
					t.Errorf("skipped are %v, want %v", r.Skipped(), c.skipped)
				}
			})
		}
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	const id = "9ec79c33ec9942ab8353589fcb2e04dc"
	for text, want := range map[string]Header{
		`{"event_id":"` + id + `"}`:                                            {EventID: id},
		`{"event_id":"9EC79C33-EC99-42AB-8353-589FCB2E04DC"}`:                  {EventID: id},
		`{"event_id":null}`:                                                    {},
		`{"event_id":"00000000-0000-0000-0000-000000000000"}`:                  {},
		`{"event_id":"` + id + `", "sent_at": "1970-01-01T00:02:03Z"}`:         {EventID: id, SentAt: time.Unix(123, 0).UTC()},
		`{"event_id":"` + id + `", "sent_at": null}`:                           {EventID: id},
		`{"sent_at":"yesterday"}`:                                              {},
		`{"sdk":{"name":"sentry.go","version":"0.50.0"},"dsn":"http://k@h/1"}`: {SDKName: "sentry.go", SDKVersion: "0.50.0", DSN: "http://k@h/1"},
	} {
		r, err := NewReader(plain(t, text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := r.Header; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	r, err := NewReader(plain(t, `{"trace":{"trace_id":"1","sample_rate":0.5}}`))
	if err != nil || string(r.Header.Trace) != `{"trace_id":"1","sample_rate":0.5}` {
		t.Errorf("the trace is %s, %v", r.Header.Trace, err)
	}
}

// TestLimitsOfTypes sends each type at its limit and a byte above, with a length and without,
// and an event behind it.
func TestLimitsOfTypes(t *testing.T) {
	t.Parallel()
	const spans = "application/vnd.sentry.items.span.v2+json"
	for _, c := range []struct {
		kind, content string
		limit         int
	}{
		{"transaction", "application/json", 1 << 20}, {"check_in", "application/json", 100 << 10}, {"client_report", "", 100 << 10},
		{"session", "", 100 << 10}, {"sessions", "", 1 << 20}, {"feedback", "", 1 << 20}, {"user_report", "", 100 << 10},
		{"log", "application/vnd.sentry.items.log+json", 2 << 20}, {"span", "", 10 << 20}, {"span", spans, 12 << 20},
	} {
		for _, size := range []int{c.limit, c.limit + 1} {
			for _, length := range []string{fmt.Sprintf(`"length":%d,`, size), ""} {
				text := fmt.Sprintf("{}\n{%s\"type\":%q,\"content_type\":%q,\"item_count\":3}\n%s\n{\"type\":\"event\"}\n{}\n",
					length, c.kind, c.content, strings.Repeat("x", size))
				r, items, err := readAll(plain(t, text))
				if err != nil {
					t.Fatalf("%s: %v", c.kind, err)
				}
				if items[len(items)-1].Type != "event" {
					t.Errorf("the event behind the %s is lost", c.kind)
				}
				if size <= c.limit && (len(items) != 2 || len(items[0].Payload) != size || items[0].ContentType != c.content || items[0].Count != 3) {
					t.Errorf("a %s %s of %d bytes isn't kept", c.kind, c.content, size)
				}
				if want := []Skipped{{c.kind, TooLarge, int64(size)}}; size > c.limit && !slices.Equal(r.Skipped(), want) {
					t.Errorf("a %s %s of %d bytes: skipped are %v, want %v", c.kind, c.content, size, r.Skipped(), want)
				}
			}
		}
	}
}

func TestCountsOfItems(t *testing.T) {
	t.Parallel()
	reports := "{}\n" + strings.Repeat("{\"type\":\"client_report\"}\n{}\n", 101) + "{\"type\":\"event\"}\n{}"
	r, items, err := readAll(plain(t, reports))
	if err != nil || len(items) != 101 || items[100].Type != "event" || !slices.Equal(r.Skipped(), []Skipped{{"client_report", TooMany, 2}}) {
		t.Errorf("%d items of 101 client reports and an event, skipped are %v, %v", len(items), r.Skipped(), err)
	}
	spans := "{}\n" + strings.Repeat("{\"type\":\"span\"}\n"+strings.Repeat("x", 4<<20)+"\n", 3) + "{\"type\":\"span\"}\n{}\n{\"type\":\"event\"}\n{}"
	r, items, err = readAll(plain(t, spans))
	if err != nil || len(items) != 4 || items[3].Type != "event" || !slices.Equal(r.Skipped(), []Skipped{{"span", TooLarge, 4 << 20}}) {
		t.Errorf("%d items of 12 MiB of spans, a small one and an event, skipped are %v, %v", len(items), r.Skipped(), err)
	}
	for what, text := range map[string]string{
		"items":       strings.Repeat("{\"type\":\"x\"}\n\n", maxItems+1),
		"empty lines": strings.Repeat("\n", maxItems+1),
	} {
		_, items, err := readAll(plain(t, "{}\n{\"type\":\"event\"}\n{}\n"+text))
		if status(err) != 413 || len(items) != 1 {
			t.Errorf("too many %s: %d items, %v", what, len(items), err)
		}
	}
	_, items, err = readAll(plain(t, "{}\n"+strings.Repeat("{\"type\":\"x\"}\n1\n", maxItems-1)+"{\"type\":\"event\"}\n{}"))
	if err != nil || len(items) != 1 {
		t.Errorf("as many items as may be: %d, %v", len(items), err)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(" ", maxLine)
	for _, text := range []string{"{" + long + "}\n", long + "{}\n", "{}\n{" + long + "}\n"} {
		if _, _, err := readAll(plain(t, text)); status(err) != 413 {
			t.Errorf("a header of %d bytes: %v", maxLine, err)
		}
	}
}

// TestCutShort cuts an envelope at every byte: what was whole before is read as it was, and
// what is cut is refused where the envelope says how long it is.
func TestCutShort(t *testing.T) {
	t.Parallel()
	const text = "{\"sdk\":{\"name\":\"x\"}}\n{\"type\":\"session\",\"length\":2}\n{}\n{\"type\":\"attachment\",\"length\":3}\na\nb\n{\"type\":\"event\",\"length\":5}\n{\n\n\n}\n"
	whole := map[int]int{ // how many items are kept, by where the envelope ends well
		len("{\"sdk\":{\"name\":\"x\"}}"):        0,
		strings.Index(text, "\n{\"type\":\"att"): 1,
		strings.Index(text, "\n{\"type\":\"eve"): 1,
		len(text) - 1:                            2,
	}
	for at := range len(text) + 1 {
		_, items, err := readAll(plain(t, text[:at]))
		want, ends := whole[at]
		if _, justBefore := whole[at-1]; !ends && justBefore { // with the newline
			want, ends = whole[at-1], true
		}
		if ends && (err != nil || len(items) != want) {
			t.Errorf("cut at %d: %d items, %v; want %d", at, len(items), err, want)
		}
		if !ends && status(err) != 400 {
			t.Errorf("cut at %d, %q: %v, want status 400", at, text[max(0, at-20):at], err)
		}
	}
}

func TestTheConnectionsErrorIsReturnedAsItIs(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	text := "{}\n{\"type\":\"attachment\",\"length\":3}\nabc\n{\"type\":\"event\",\"length\":5}\n{   }\n{\"type\":\"session\"}\nabc"
	for _, encoding := range []string{"", "gzip", "deflate", "br", "zstd"} {
		packed := pack(t, encoding, []byte(text))
		for at := range packed {
			body, err := open(t, NewUnpacker(), io.MultiReader(bytes.NewReader(packed[:at]), iotest.ErrReader(broken)), encoding)
			if err == nil {
				_, _, err = readAll(body)
			}
			if !errors.Is(err, broken) {
				t.Errorf("%q broken at %d: %v", encoding, at, err)
			}
		}
	}
}
