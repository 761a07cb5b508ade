package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

var (
	errNotJSON      = errors.New("the body is not valid JSON")
	errDuplicateKey = errors.New("the body has a key twice in one object")
	errNotText      = errors.New("the body has a text that is not valid Unicode")
)

// Fields are named as the reference names them: "EMAIL" is no email, and not a second one
// beside it either. A list is a list: null is none. The library asks this of the whole
// program.
func init() { huma.ValidateStrictCasing, huma.DefaultArrayNullable = true, false }

// readJSON reads the body for a typed handler, once and whole, so that huma finds it in
// memory and of the type that it knows; from a form, where the route takes one. It returns
// errMediaType, and the errors of a body.
func readJSON(r *http.Request, form bool) error {
	if r.ContentLength == 0 {
		return nil
	}
	form = form && isForm(r.Header.Get("Content-Type"))
	if !form && !isJSON(r.Header.Get("Content-Type")) {
		return errMediaType
	}
	text, err := io.ReadAll(r.Body)
	if form && err == nil {
		text, err = formAsJSON(string(text))
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	return err
}

func isForm(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "application/x-www-form-urlencoded"
}

// formAsJSON is a form as an object of texts. A field that is there twice is none.
func formAsJSON(form string) ([]byte, error) {
	values, err := url.ParseQuery(form)
	if err != nil {
		return nil, errBrokenBody
	}
	fields := map[string]string{}
	for name, value := range values {
		if len(value) == 1 {
			fields[name] = value[0]
		}
	}
	return json.Marshal(fields)
}

// isJSON tells whether a Content-Type is JSON, which is UTF-8 (RFC 8259). A body without
// one is taken for JSON.
func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return contentType == "" || err == nil && (charset == "" || strings.EqualFold(charset, "utf-8")) &&
		(media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"))
}

// jsonFormat is JSON whose errors don't repeat what was sent.
func jsonFormat() huma.Format {
	format := huma.DefaultJSONFormat
	format.Unmarshal = func(data []byte, v any) error {
		if json.Unmarshal(data, v) != nil {
			return errNotJSON
		}
		if _, whole := v.(*any); !whole { // huma's first pass; the second is for the fields
			return nil
		}
		if !utf8.Valid(data) || hasLoneSurrogate(data) {
			return errNotText
		}
		return checkKeys(json.NewDecoder(bytes.NewReader(data)))
	}
	return format
}

// hasLoneSurrogate tells whether valid JSON escapes half of a UTF-16 pair. All of those
// are decoded to the same letter, U+FFFD, so that texts which differ would be equal.
func hasLoneSurrogate(data []byte) bool {
	for i := bytes.IndexByte(data, '\\'); i >= 0; {
		r, length := rune(0), 2 // of an escape
		if data[i+1] == 'u' {
			r, length = escaped(data[i:]), 6
		}
		if utf16.IsSurrogate(r) {
			if utf16.DecodeRune(r, escaped(data[i+6:])) == unicode.ReplacementChar {
				return true
			}
			length = 12
		}
		i += length
		next := bytes.IndexByte(data[i:], '\\')
		if next < 0 {
			return false
		}
		i += next
	}
	return false
}

// escaped is the unit of UTF-16 that \uXXXX stands for at the beginning of data; 0 when
// there is none.
func escaped(data []byte) rune {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(data[2:6]), 16, 16)
	return rune(unit)
}

// checkKeys reads a value, which is valid JSON, and refuses a key twice in one object:
// two parsers on a request's way may each believe another one of them.
func checkKeys(decoder *json.Decoder) error {
	begin, err := decoder.Token()
	if _, nested := begin.(json.Delim); err != nil || !nested {
		return err
	}
	keys := map[json.Token]bool{}
	for decoder.More() {
		if begin == json.Delim('{') {
			key, err := decoder.Token()
			if err != nil || keys[key] {
				return cmp.Or(err, errDuplicateKey)
			}
			keys[key] = true
		}
		if err := checkKeys(decoder); err != nil {
			return err
		}
	}
	_, err = decoder.Token() // its end
	return err
}
