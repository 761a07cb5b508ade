package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/internal/sentrytest"
)

func decode(t testing.TB, payload string) Event {
	t.Helper()
	e, err := Decode([]byte(payload))
	if err != nil {
		t.Fatalf("%.200s: %v", payload, err)
	}
	return e
}

// TestShapes: what is the same is read as the same, in whichever of its shapes it comes.
func TestShapes(t *testing.T) {
	t.Parallel()
	boom := []Exception{{Type: "E", Value: "boom", Frames: []Frame{}}}
	stack := []Frame{{Function: "f", Line: 7}}
	at := time.Date(2026, 11, 26, 22, 30, 0, 500e6, time.UTC)
	for payload, want := range map[string]Event{
		`{}`: {},
		`{"exception":[{"type":"E","value":"boom"}]}`:                                                                                    {Exceptions: boom},
		`{"exception":{"values":[{"type":"E","value":"boom"}]}}`:                                                                         {Exceptions: boom},
		`{"exception":{"type":"E","value":"boom"}}`:                                                                                      {Exceptions: boom},
		`{"exception":[null,{"type":"E","value":"boom"},null]}`:                                                                          {Exceptions: boom},
		`{"exception":[7,{"type":"E","value":"boom"},"x"]}`:                                                                              {Exceptions: boom, Cut: []string{"exceptions"}},
		`{"exception":[{"type":"E","value":{"a":[1, 2]}}]}`:                                                                              {Exceptions: []Exception{{Type: "E", Value: `{"a":[1, 2]}`, Frames: []Frame{}}}},
		`{"exception":[{"type":"E","value":404}]}`:                                                                                       {Exceptions: []Exception{{Type: "E", Value: "404", Frames: []Frame{}}}},
		`{"exception":[{"type":{"a":1},"value":"boom"}]}`:                                                                                {Exceptions: []Exception{{Value: "boom", Frames: []Frame{}}}, Cut: []string{"exceptions"}},
		`{"exception":[{"type":"E"}],"exception":[{"type":"E","value":"boom"}]}`:                                                         {Exceptions: boom},
		`{"exception":{"values":[{"type":"E","value":"boom"}]},"stacktrace":{"frames":[{"function":"f","lineno":"7"}]}}`:                 {Exceptions: []Exception{{Type: "E", Value: "boom", Frames: stack}}},
		`{"exception":[{"raw_stacktrace":{"frames":[{"function":"f","lineno":7}]}}]}`:                                                    {Exceptions: []Exception{{Frames: stack}}},
		`{"exception":[{"stacktrace":{"frames":[null,3,{"function":"f","lineno":7.0}]}}]}`:                                               {Exceptions: []Exception{{Frames: stack}}, Cut: []string{"frames"}},
		`{"exception":[{"mechanism":{"type":"onerror","handled":false,"synthetic":true}}]}`:                                              {Exceptions: []Exception{{Frames: []Frame{}, Mechanism: "onerror", Handled: new(false), Synthetic: true}}},
		`{"exception":[{"mechanism":{"handled":"no"}}]}`:                                                                                 {Exceptions: []Exception{{Frames: []Frame{}}}, Cut: []string{"exceptions"}},
		`{"threads":[{"stacktrace":{"frames":[{"function":"f","lineno":7}]}}]}`:                                                          {Stack: stack},
		`{"threads":{"values":[{"stacktrace":{"frames":[{}]}},{"crashed":true,"stacktrace":{"frames":[{"function":"f","lineno":7}]}}]}}`: {Stack: stack},
		`{"threads":[{"current":true,"crashed":false,"stacktrace":{"frames":[{"function":"f","lineno":7}]}},{}]}`:                        {Stack: stack},
		`{"threads":[{"stacktrace":{"frames":[{}]}},{}],"stacktrace":{"frames":[{"function":"f","lineno":7}]}}`:                          {Stack: stack},
		`{"message":"test"}`:                                                    {Message: "test"},
		`{"message":{"message":"test"}}`:                                        {Message: "test", Template: "test"},
		`{"message":{"message":"test %s","formatted":"test 1"}}`:                {Message: "test 1", Template: "test %s"},
		`{"logentry":{"message":"%s: paid %.2f of 100%%","params":["shop",7]}}`: {Message: "shop: paid 7 of 100%", Template: "%s: paid %.2f of 100%%"},
		`{"logentry":{"params":{"id":5},"message":"order %(id)d"}}`:             {Message: "order 5", Template: "order %(id)d"},
		`{"logentry":{"message":"{} and {}","params":["a",null]}}`:              {Message: "a and null", Template: "{} and {}"},
		`{"logentry":{"message":"{1}, {0}","params":["a","b"]}}`:                {Message: "b, a", Template: "{1}, {0}"},
		`{"logentry":{"message":"%s and %s","params":["a"]}}`:                   {Message: "%s and %s", Template: "%s and %s"},
		`{"logentry":{"message":"{\"a\": {x}}","params":["a"]}}`:                {Message: `{"a": {x}}`, Template: `{"a": {x}}`},
		`{"logentry":{"message":"100%","params":"x","formatted":""}}`:           {Message: "100%", Template: "100%"},
		`{"message":"said","logentry":{"formatted":"logged"}}`:                  {Message: "logged"},
		`{"message":"said","logentry":null}`:                                    {Message: "said"},
		`{"message":["a"]}`:                                                     {Message: `["a"]`},
		`{"message":7}`:                                                         {Message: "7"},
		`{"message":{"message":"test"},"exception":{"values":[{"type":"E"}]}}`:  {Message: "test", Template: "test", Exceptions: []Exception{{Type: "E", Frames: []Frame{}}}},
		`{"tags":{"a":"1","b":2,"c":null,"d":true,"":"x"}}`:                     {Tags: map[string]string{"a": "1", "b": "2", "d": "true"}},
		`{"tags":[["a","1"],["b",2],["d",true],["x"],["x","y","z"],null,7]}`:    {Tags: map[string]string{"a": "1", "b": "2", "d": "true"}, Cut: []string{"tags"}},
		`{"tags":{"a":"0","a":"1"}}`:                                            {Tags: map[string]string{"a": "1"}},
		`{"tags":"a"}`:                                                          {Cut: []string{"tags"}},
		`{"event_id":"9EC79C33-EC99-42AB-8353-589FCB2E04DC"}`:                   {ID: "9ec79c33ec9942ab8353589fcb2e04dc"},
		`{"event_id":"x"}`:                                                      {},
		`{"level":"WARN"}`:                                                      {Level: Warning},
		`{"level":"log"}`:                                                       {Level: Info},
		`{"level":"critical"}`:                                                  {Level: Fatal},
		`{"level":{"a":"b"}}`:                                                   {Cut: []string{"level"}},
		`{"timestamp":1795732200.5}`:                                            {Timestamp: at},
		`{"timestamp":"1795732200.5"}`:                                          {Timestamp: at},
		`{"timestamp":"2026-11-26T22:30:00.5Z"}`:                                {Timestamp: at},
		`{"timestamp":"2026-11-26T23:30:00.5+01:00"}`:                           {Timestamp: at},
		`{"timestamp":"2026-11-26T23:30:00.5+0100"}`:                            {Timestamp: at},
		`{"timestamp":"2026-11-26T22:30:00.500000"}`:                            {Timestamp: at},
		`{"timestamp":"2026-11-26 22:30:00.5"}`:                                 {Timestamp: at},
		`{"timestamp":"9999-12-31T23:59:59-23:59"}`:                             {Cut: []string{"timestamp"}},
		`{"timestamp":"yesterday"}`:                                             {Cut: []string{"timestamp"}},
		`{"timestamp":-1}`:                                                      {Cut: []string{"timestamp"}},
		`{"timestamp":null}`:                                                    {},
		`{"user":{"id":7,"name":"Sam","email":"sam@example.com"}}`:              {User: &User{ID: "7", Username: "Sam", Email: "sam@example.com"}},
		`{"user":{}}`:    {},
		`{"user":"sam"}`: {Cut: []string{"user"}},
		`{"request":{"headers":[["A","b"]],"query_string":[["a","b"]],"data":{"c":1}}}`: {Request: &Request{Headers: map[string]string{"A": "b"}, Query: `[["a","b"]]`, Data: `{"c":1}`}},
		`{"request":[]}`: {Cut: []string{"request"}},
		`{"breadcrumbs":{"values":[{"message":"m"},null]}}`:                                         {Breadcrumbs: []Breadcrumb{{Level: Info, Message: "m"}}},
		`{"breadcrumbs":[{"timestamp":1795732200.5,"level":"fatal","data":{"a":[null],"b":null}}]}`: {Breadcrumbs: []Breadcrumb{{Timestamp: at, Level: Fatal, Data: raws("a", "[null]")}}},
		`{"contexts":{"trace":{"trace_id":"9ec79c33ec9942ab8353589fcb2e04dc","span_id":"9ec79c33ec9942ab"}}}`: {
			Contexts: raws("trace", `{"trace_id":"9ec79c33ec9942ab8353589fcb2e04dc","span_id":"9ec79c33ec9942ab"}`), TraceID: "9ec79c33ec9942ab8353589fcb2e04dc", SpanID: "9ec79c33ec9942ab"},
		`{"contexts":{"trace":"none"},"extra":[1]}`:                   {Contexts: raws("trace", `"none"`), Cut: []string{"extra"}},
		`{"fingerprint":["{{ default }}",7,null]}`:                    {Fingerprint: []string{"{{ default }}", "7"}, Cut: []string{"fingerprint"}},
		`{"fingerprint":[{"b":1,"a":[2,null]},true,1.5,["x",["y"]]]}`: {Fingerprint: []string{`{"a":[2,null],"b":1}`, "true", "1.5", `["x",["y"]]`}},
		`{"fingerprint":["` + strings.Repeat("x", 300) + `"]}`:        {Fingerprint: []string{strings.Repeat("x", 200) + "… 0d4e2ca9e9cbced7"}, Cut: []string{"fingerprint"}},
		`{"fingerprint":{"a":1}}`:                                     {Fingerprint: []string{`{"a":1}`}},
		`{"fingerprint":[]}`:                                          {},
		`{"fingerprint":null}`:                                        {},
		`{"fingerprint":"one"}`:                                       {Fingerprint: []string{"one"}},
		`{"debug_meta":{"images":[{"type":"sourcemap","code_file":"a.js","debug_id":"9EC79C33-EC99-42AB-8353-589FCB2E04DC"}]}}`: {Images: []Image{{"sourcemap", "a.js", "9ec79c33ec9942ab8353589fcb2e04dc"}}},
		`{"exception":[{"stacktrace":{"frames":[{"package":"p","in_app":true,"context_line":"x","pre_context":["a",null,"b"],"post_context":["c"],"vars":{"n":{"a":1}}}]}}]}`: {
			Exceptions: []Exception{{Frames: []Frame{{Module: "p", InApp: true, Context: []string{"a", "", "b", "x", "c"}, ContextLine: 3, Vars: raws("n", `{"a":1}`)}}}}},
		`{"exception":[{"stacktrace":{"frames":[{"context_line":null,"pre_context":["a"],"lineno":-3,"colno":1e300}]}}]}`: {Exceptions: []Exception{{Frames: []Frame{{}}}}},
		`{"m\u0065ssage":"\ud83d\ude00 \ud800"}`: {Message: "😀 \uFFFD"},
	} {
		if want.Level == "" {
			want.Level = Error
		}
		if got := decode(t, payload); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is\n%s and not\n%s", payload, dump(got), dump(want))
		}
	}
}

func raws(name, value string) map[string]json.RawMessage {
	return map[string]json.RawMessage{name: json.RawMessage(value)}
}

func dump(e Event) string {
	text, err := json.Marshal(e)
	return fmt.Sprint(string(text), err)
}

func TestOnlyText(t *testing.T) {
	t.Parallel()
	e := decode(t, "{\"message\":\"a\xff\xfeb\\u0000c\",\"extra\":{\"k\xff\":\"v\xff\"}}")
	if e.Message != "a\uFFFDbc" || string(e.Extra["k\uFFFD"]) != "\"v\uFFFD\"" {
		t.Errorf("%q, %q", e.Message, e.Extra)
	}
}

func TestNoEvent(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		``, ` `, `null`, `7`, `"a"`, `[]`, `[{}]`, `{`, `{"a"`, `{"a":}`, `{"message":"a"`, `{"message":"a"}}`, `{} {}`, `{"level":nope}`, `{"tags":[[}`,
		`{"exception":[{"stacktrace":{"frames":[{"vars":{"a":`, `{"extra":` + strings.Repeat("[", 1<<20), `{"exception":` + strings.Repeat(`{"values":[`, 1<<16),
	} {
		if e, err := Decode([]byte(payload)); !errors.Is(err, ErrMalformed) || !reflect.DeepEqual(e, Event{}) {
			t.Errorf("%.40s: %v", payload, err)
		}
	}
}

// TestNothingWhereSomethingShouldBe: in every place of a whole event stands, one after
// another, what shouldn't; the rest of it is read as if nothing were there.
func TestNothingWhereSomethingShouldBe(t *testing.T) {
	t.Parallel()
	var whole any
	if err := json.Unmarshal(sized(2), &whole); err != nil {
		t.Fatal(err)
	}
	for _, odd := range []string{`null`, `[null]`, `{"a":{}}`, `[[[]]]`, `"x"`, `-1.5e3`, `true`, `{"values":[null]}`, `{"values":null}`, `{"frames":[null]}`, `[]`, `{}`} {
		each(whole, func(set func(any)) {
			set(json.RawMessage(odd))
			payload, err := json.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			e := decode(t, string(payload))
			checkDecoded(t, payload, e)
		})
	}
}

// each calls back for every place in a value, with what sets it; it is as before afterwards.
func each(value any, found func(set func(any))) {
	switch v := value.(type) {
	case map[string]any:
		for key, old := range v {
			each(old, found)
			found(func(n any) { v[key] = n })
			v[key] = old
		}
	case []any:
		for i, old := range v {
			each(old, found)
			found(func(n any) { v[i] = n })
			v[i] = old
		}
	}
}

// TestBounds: of too much, what says most is kept, and what isn't is named.
func TestBounds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é<", 10_000)
	many := func(n int, format string) string {
		var all []string
		for i := range n {
			all = append(all, strings.ReplaceAll(format, "#", fmt.Sprint(i)))
		}
		return strings.Join(all, ",")
	}
	for name, c := range map[string]struct {
		payload string
		fits    func(Event) bool
	}{
		"message": {`{"message":"` + long + `"}`, func(e Event) bool { return strings.HasPrefix(long, e.Message) && len([]rune(e.Message)) == maxLong }},
		"release": {`{"release":"` + long + `"}`, func(e Event) bool { return len([]rune(e.Release)) == maxShort }},
		"tags":    {`{"tags":{` + many(100, `"#":"#"`) + `}}`, func(e Event) bool { return len(e.Tags) == maxTags && e.Tags["0"] == "0" }},
		"exceptions": {`{"exception":[` + many(1000, `{"type":"#"}`) + `]}`, func(e Event) bool {
			return len(e.Exceptions) == maxExceptions && e.Exceptions[0].Type == "0" && e.Exceptions[25].Type == "975" && e.Exceptions[49].Type == "999"
		}},
		"frames": {`{"exception":[{"stacktrace":{"frames":[` + many(333, `{"lineno":"#"}`) + `]}}]}`, func(e Event) bool {
			f := e.Exceptions[0].Frames
			return len(f) == maxFrames && f[49].Line == 49 && f[50].Line == 133 && f[249].Line == 332
		}},
		"breadcrumbs": {`{"breadcrumbs":[` + many(250, `{"message":"#"}`) + `]}`, func(e Event) bool {
			return len(e.Breadcrumbs) == maxBreadcrumbs && e.Breadcrumbs[0].Message == "150" && e.Breadcrumbs[99].Message == "249"
		}},
		"fingerprint": {`{"fingerprint":[` + many(50, `"#"`) + `]}`, func(e Event) bool {
			return len(e.Fingerprint) == maxFingerprint && e.Fingerprint[18] == "18" && strings.HasPrefix(e.Fingerprint[19], "… ")
		}},
		"images": {`{"debug_meta":{"images":[` + many(300, `{"type":"#"}`) + `]}}`, func(e Event) bool { return len(e.Images) == maxImages }},
		"extra": {`{"extra":{"a":"` + long + `"}}`, func(e Event) bool {
			var text string
			return json.Unmarshal(e.Extra["a"], &text) == nil && strings.HasPrefix(long, strings.TrimSuffix(text, "…"))
		}},
		"contexts": {`{"contexts":{` + many(100, `"#":{}`) + `}}`, func(e Event) bool { return len(e.Contexts) == maxContexts }},
		"vars":     {`{"stacktrace":{"frames":[{"vars":{` + many(100, `"#":[#]`) + `}}]}}`, func(e Event) bool { return len(e.Stack[0].Vars) == maxVars }},
		"request":  {`{"request":{"headers":{` + many(100, `"#":"#"`) + `}}}`, func(e Event) bool { return len(e.Request.Headers) == maxHeaders }},
		"user":     {`{"user":{"id":"` + long + `"}}`, func(e Event) bool { return len([]rune(e.User.ID)) == maxShort }},
	} {
		e := decode(t, c.payload)
		if !c.fits(e) || !reflect.DeepEqual(e.Cut, []string{name}) {
			t.Errorf("%s: cut %q, %.500s", name, e.Cut, dump(e))
		}
		checkDecoded(t, []byte(c.payload), e)
	}
	lines := decode(t, `{"stacktrace":{"frames":[{"pre_context":[`+many(20, `"#"`)+`],"context_line":"here","post_context":[`+many(20, `"#"`)+`]}]}}`)
	if f := lines.Stack[0]; strings.Join(f.Context, " ") != "13 14 15 16 17 18 19 here 0 1 2 3 4 5 6" || f.ContextLine != 7 {
		t.Errorf("the lines are %q, the one that failed is %d", f.Context, f.ContextLine)
	}
}

// TestHuge: the largest payloads that can be sent are bounded as a whole.
func TestHuge(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	fill := func(before, one, after string) string {
		n := (most - len(before) - len(after)) / (len(one) + 1)
		return before + strings.Repeat(one+",", n-1) + one + after
	}
	line := `"` + strings.Repeat("<", 500) + `"`
	for _, payload := range []string{
		fill(`{"exception":[`, `{}`, `]}`),
		fill(`{"exception":[{"stacktrace":{"frames":[`, `{}`, `]}}]}`),
		fill(`{"threads":[`, fill(`{"stacktrace":{"frames":[`, `{}`, `]}}`)[:0]+`{"stacktrace":{"frames":[{},{}]}}`, `]}`),
		fill(`{"exception":[`, `{"stacktrace":{"frames":[{"pre_context":["<"],"context_line":`+line+`,"vars":{"a":`+line+`}}]}}`, `]}`),
		fill(`{"exception":[{"stacktrace":{"frames":[`, `{"abs_path":`+line+`,"function":`+line+`,"filename":`+line+`,"module":`+line+`}`, `]}}]}`),
		fill(`{"exception":[`, `{"type":`+line+`,"value":"`+strings.Repeat("<", 8000)+`"}`, `]}`),
		fill(`{"debug_meta":{"images":[`, `{"code_file":`+line+`}`, `]}}`),
		fill(`{"breadcrumbs":[`, `{"message":`+line+`,"data":{"a":`+line+`,"b":`+line+`,"c":`+line+`}}`, `]}`),
		fill(`{"tags":[`, `["a","b"]`, `]}`),
		fill(`{"extra":{`, `"a":1`, `}}`),
		fill(`{"extra":{"a":[`, `{"a":1}`, `]}}`),
	} {
		checkDecoded(t, []byte(payload), decode(t, payload))
	}
}

// checkDecoded says what holds of every event that has been read.
func checkDecoded(t *testing.T, payload []byte, e Event) {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatalf("%.200s can't be written: %v", payload, err)
	}
	if len(text) > 8*len(payload)+1024 || len(text) > maxSize {
		t.Errorf("%d bytes of\n%.500s\nbecome %d:\n%.500s", len(payload), payload, len(text), text)
	}
	if again, err := Decode(payload); err != nil || !reflect.DeepEqual(again, e) {
		t.Errorf("read again, it is another event: %v", err)
	}
	// What has the protocol's name in our JSON is read as it was written.
	second, err := Decode(text)
	if err != nil {
		t.Fatalf("%.500s: %v", text, err)
	}
	if e.ID == "" {
		second.ID = ""
	}
	e.Template, e.Exceptions, e.Stack, e.Images, e.Cut, second.Cut = "", nil, nil, nil, nil, nil
	first, _ := json.Marshal(e)
	if got, _ := json.Marshal(second); !bytes.Equal(got, first) {
		same := 0
		for same < min(len(got), len(first)) && got[same] == first[same] {
			same++
		}
		t.Errorf("written and read again,\n…%.300s becomes\n…%.300s", first[max(0, same-40):], got[max(0, same-40):])
	}
}

// TestCaptures: what SDKs have really sent is read whole, and what is secret in it goes.
func TestCaptures(t *testing.T) {
	t.Parallel()
	s := newScrubber(t)
	found := 0
	for file, request := range sentrytest.Captured(t, "testdata/captures/*.http") {
		if strings.Contains(file, "browser-locals") {
			continue // its password stands in a sentence, where nothing tells what it is
		}
		if request.Method != http.MethodPost {
			continue
		}
		items, err := request.Items()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, item := range items {
			if item.Type != "event" {
				continue
			}
			found++
			e := decode(t, string(item.Payload))
			if checkDecoded(t, item.Payload, e); len(e.Cut) > 0 || e.Platform == "" || e.Timestamp.IsZero() || e.Message == "" && len(e.Exceptions) == 0 {
				t.Errorf("%s: cut %q of %.300s", file, e.Cut, dump(e))
			}
			s.Scrub(&e)
			for _, secret := range []string{"hunter2", "4111111111111111", "s3cret-token"} {
				if text := dump(e); strings.Contains(text, secret) {
					t.Errorf("%s: %s is left: …%s", file, secret, text[max(0, strings.Index(text, secret)-150):][:200])
				}
			}
		}
	}
	if found == 0 {
		t.Error("there is no event")
	}
}

// TestWhatIsScrubbedOfRealEvents: of all that SDKs have really sent, in captures and in the
// labelled events of grouping, these texts and no others are changed.
func TestWhatIsScrubbedOfRealEvents(t *testing.T) {
	t.Parallel()
	var all [][]byte
	for file, request := range sentrytest.Captured(t, "testdata/captures/*.http") {
		if request.Method != http.MethodPost {
			continue
		}
		items, err := request.Items()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, item := range items {
			all = append(all, item.Payload)
		}
	}
	labelled, err := filepath.Glob("../grouping/testdata/labelled/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range labelled {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var l struct{ Event json.RawMessage }
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatal(err)
			}
			all = append(all, l.Event)
		}
	}
	s, err := NewScrubber(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	events, changed := 0, map[string]bool{}
	texts := func(e Event) (all []string) {
		var out bytes.Buffer
		dumpTexts(&out, reflect.ValueOf(e))
		return strings.Split(out.String(), "\x00")
	}
	for _, line := range all {
		e, err := Decode(line)
		if err != nil || len(e.Exceptions) == 0 && e.Message == "" {
			continue // another item
		}
		events++
		before := texts(e)
		s.Scrub(&e)
		after := map[string]bool{}
		for _, text := range texts(e) {
			after[text] = true
		}
		for _, text := range before {
			if scrubbed := s.text(text, plain); !after[text] && scrubbed == text {
				changed[fmt.Sprintf("%.100q goes, by its name", text)] = true
			} else if !after[text] {
				changed[fmt.Sprintf("%.100q becomes %.100q", text, scrubbed)] = true
			}
		}
	}
	got := strings.Join(slices.Sorted(maps.Keys(changed)), "\n") + "\n"
	want, err := os.ReadFile("testdata/scrubbed.txt")
	if err != nil || got != string(want) || events < 500 {
		t.Errorf("of %d events these texts are changed, which isn't what testdata/scrubbed.txt says, %v:\n%s", events, err, got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sized(4))
	f.Add([]byte(`{"exception":{"values":[{"stacktrace":{"frames":[null,{"vars":{"a":"<"},"context_line":"\u0000"}]}}]},"threads":[{"crashed":true}]}`))
	f.Add([]byte(`{"tags":[["a","b"]],"timestamp":"9999-12-31T23:59:59-23:59","message":{"message":"test"},"breadcrumbs":[{"data":{}}]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := Decode(payload)
		if err == nil {
			checkDecoded(t, payload, e)
		} else if !errors.Is(err, ErrMalformed) {
			t.Error(err)
		}
	})
}

// sized is an event as a web program reports it, of about so many KB.
func sized(kb int) []byte {
	frame := map[string]any{
		"function": "ServeHTTP", "module": "example.com/shop/internal/checkout", "filename": "internal/checkout/handler.go", "abs_path": "/build/internal/checkout/handler.go",
		"lineno": 118, "in_app": true, "context_line": "\treturn fmt.Errorf(\"the order of %q: %w\", id, err)",
		"pre_context": []string{"func (h *Handler) order(ctx context.Context, id string) error {", "\to, err := h.store.Order(ctx, id)", "\tif err != nil {"}, "post_context": []string{"\t}", "\treturn h.pay(ctx, o)", "}"},
	}
	crumb := map[string]any{"timestamp": 1795732200.25, "category": "http", "type": "http", "level": "info", "message": "the store was asked", "data": map[string]any{"url": "https://store.example.com/v1/orders/81", "method": "GET", "status_code": 200}}
	e := map[string]any{
		"event_id": "9ec79c33ec9942ab8353589fcb2e04dc", "timestamp": "2026-11-26T22:30:00.123456Z", "platform": "go", "level": "error", "transaction": "POST /checkout/{id}",
		"server_name": "web-3", "release": "shop@4.7.1+9ec79c3", "environment": "production", "tags": map[string]string{"tenant": "acme", "region": "eu-central-1"},
		"sdk": map[string]any{"name": "sentry.go", "version": "0.50.0"}, "user": map[string]string{"id": "7123", "email": "sam@example.com"},
		"request":  map[string]any{"method": "POST", "url": "https://shop.example.com/checkout/81", "query_string": "step=2&lang=en", "headers": map[string]string{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "Accept": "application/json", "Content-Type": "application/json"}, "data": `{"item":81,"count":2}`},
		"contexts": map[string]any{"runtime": map[string]any{"name": "go", "version": "go1.26.8", "go_maxprocs": 2}, "os": map[string]string{"name": "linux"}, "trace": map[string]string{"trace_id": "9ec79c33ec9942ab8353589fcb2e04dc", "span_id": "9ec79c33ec9942ab"}},
	}
	frames, crumbs := []any{frame}, []any{crumb}
	for {
		e["exception"], e["breadcrumbs"] = map[string]any{"values": []any{map[string]any{"type": "*fmt.wrapError", "value": "the order of \"81\": connection refused", "stacktrace": map[string]any{"frames": frames}}}}, crumbs
		text, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		if len(text) >= kb<<10 {
			return text
		}
		frames = append(frames, frame)
		if crumbs = append(crumbs, crumb); len(crumbs) > 100 {
			crumbs = crumbs[1:]
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, kb := range []int{4, 50} {
		payload := sized(kb)
		b.Run(fmt.Sprint(kb, "KB"), func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestWhomAPageIsOf: the sender's address stands in where the program asks for it, and nowhere else.
func TestWhomAPageIsOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*User{
		`{}`:                                 nil,
		`{"user":{"ip_address":"{{auto}}"}}`: {IP: "192.0.2.1"},
		`{"user":{"ip_address":"198.51.100.7"},"sdk":{"settings":{"infer_ip":"auto"}}}`: {IP: "198.51.100.7"},
		`{"user":{"id":"7","ip_address":"{{auto}}"}}`:                                   {ID: "7", IP: "192.0.2.1"},
		`{"sdk":{"name":"sentry.javascript.browser","settings":{"infer_ip":"auto"}}}`:   {IP: "192.0.2.1"},
		`{"sdk":{"settings":{"infer_ip":"never"}}}`:                                     nil,
		`{"sdk":{"settings":{"infer_ip":7}}}`:                                           nil,
		`{"user":{"id":"7"},"sdk":{"settings":{"infer_ip":"auto"}}}`:                    {ID: "7"},
	} {
		e, err := Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if e.SentFrom("192.0.2.1"); !reflect.DeepEqual(e.User, want) {
			t.Errorf("%s: %+v", text, e.User)
		}
	}
	e, _ := Decode([]byte(`{"user":{"ip_address":"{{auto}}"}}`))
	if e.SentFrom(""); e.User != nil {
		t.Errorf("of an unknown address it is %+v", e.User)
	}
}
