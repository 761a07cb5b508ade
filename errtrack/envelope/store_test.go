package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReadStore(t *testing.T) {
	t.Parallel()
	const event = `{"message":"hello","extra":{"x":NaN}}`
	const want = `{"message":"hello","extra":{"x":null}}`
	packed := base64.StdEncoding.EncodeToString(pack(t, "deflate", []byte(event)))
	for name, text := range map[string]string{
		"JSON": event, "JSON within white space": " \r\n" + event + "\n",
		"packed": packed, "packed, without padding": strings.TrimRight(packed, "="),
		"packed, in lines": packed[:20] + "\r\n" + packed[20:] + "\n", "only base64": base64.StdEncoding.EncodeToString([]byte(event)),
	} {
		if got, err := ReadStore(plain(t, text)); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	bomb := base64.StdEncoding.EncodeToString(packFrom(t, "deflate", bytes.NewReader(make([]byte, 8<<20))))
	for name, c := range map[string]struct {
		text   string
		status int
	}{
		"nothing": {"", 400}, "white space": {" \n", 400}, "padding": {"====", 400}, "text": {"hello world!", 400}, "base64 of text": {base64.StdEncoding.EncodeToString([]byte("hello")), 400},
		"cut short": {packed[:len(packed)/2], 400}, "too large": {`{"message":"` + strings.Repeat("x", maxEvent) + `"}`, 413}, "a bomb": {bomb, 413},
	} {
		if got, err := ReadStore(plain(t, c.text)); status(err) != c.status {
			t.Errorf("%s: %.50s, %v; want status %d", name, got, err, c.status)
		}
	}
}

func TestRepair(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a":NaN,"b":Infinity,"c":-Infinity,"d":-1}`: `{"a":null,"b":null,"c":null,"d":-1}`,
		`[NaN, NaN]`: `[null, null]`,
		`{"NaN":"-Infinity \" NaN","a":"\\",  "b":NaN}`: `{"NaN":"-Infinity \" NaN","a":"\\",  "b":null}`,
		`{"a":"\ud83d\ude00"}`:                          `{"a":"\ud83d\ude00"}`,
		`{"a":"\ud83d"}`:                                `{"a":"\ufffd"}`,
		`{"a":"\ude00\uD83Dx"}`:                         `{"a":"\ufffd\ufffdx"}`,
		`{"a":"\ud83d\ud83d\ude00"}`:                    `{"a":"\ufffd\ud83d\ude00"}`,
		`{"a":"\\ud83d"}`:                               `{"a":"\\ud83d"}`,
		`{"a":"\u0041\ud83d\u0041"}`:                    `{"a":"\u0041\ufffd\u0041"}`,
		"{\"a\":\"\xff\xfe b\xc3\"}":                    "{\"a\":\"\ufffd\ufffd b\ufffd\"}",
		"{\"\xed\xa0\x80\":\"\u0645\"}":                 "{\"\ufffd\ufffd\ufffd\":\"\u0645\"}",
		`{"a":"\ud8`:                                    `{"a":"\ud8`,
		`not JSON, NaN`:                                 `not JSON, null`,
		``:                                              ``,
	} {
		if got := Repair([]byte(text)); string(got) != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzRepair holds that what is JSON means the same after, and is UTF-8 without halves of
// surrogate pairs, and that twice is as once.
func FuzzRepair(f *testing.F) {
	for _, text := range []string{`{"a":NaN,"b":"\ud83d\ude00\ud83d"}`, "{\"\xff\":-Infinity}", `"\\\ud83d\"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := Repair(bytes.Clone(text))
		if len(got) > 3*len(text) || !utf8.Valid(got) {
			t.Fatalf("%d bytes of %d: %q", len(got), len(text), got)
		}
		if again := Repair(bytes.Clone(got)); !bytes.Equal(again, got) {
			t.Fatalf("twice is %q, once %q", again, got)
		}
		if !json.Valid(text) {
			return
		}
		var before, after any
		if json.Unmarshal(text, &before) != nil { // a number that is too large
			return
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q became %q: %v", text, got, err)
		}
		a, _ := json.Marshal(before) // encoding/json reads what isn't text as U+FFFD, too
		b, _ := json.Marshal(after)
		if !bytes.Equal(a, b) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func FuzzReadStore(f *testing.F) {
	f.Add([]byte(`{"message":"hello"}`))
	f.Add([]byte(base64.StdEncoding.EncodeToString(pack(f, "deflate", []byte(`{"message":"hello"}`)))))
	f.Fuzz(func(t *testing.T, text []byte) {
		if event, err := ReadStore(plain(t, string(text))); err != nil && status(err) == 0 || len(event) > 3*maxEvent {
			t.Fatalf("%d bytes, %v", len(event), err)
		}
	})
}
