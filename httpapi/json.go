package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"

	"github.com/danielgtaylor/huma/v2"
)

var (
	errNotJSON      = errors.New("the body is not valid JSON")
	errDuplicateKey = errors.New("the body has a key twice in one object")
)

// jsonFormat is JSON whose errors don't repeat what was sent.
func jsonFormat() huma.Format {
	format := huma.DefaultJSONFormat
	format.Unmarshal = func(data []byte, v any) error {
		if json.Unmarshal(data, v) != nil {
			return errNotJSON
		}
		if _, whole := v.(*any); whole { // huma's first pass; the second is for the fields
			return checkKeys(json.NewDecoder(bytes.NewReader(data)))
		}
		return nil
	}
	return format
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
