package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/danielgtaylor/huma/v2"
)

var (
	errNotJSON      = errors.New("the body is not valid JSON")
	errDuplicateKey = errors.New("the body has a key twice in one object")
)

// jsonFormat is JSON whose errors don't repeat what was sent.
func jsonFormat() huma.Format {
	return huma.Format{
		Marshal: func(w io.Writer, v any) error {
			encoder := json.NewEncoder(w)
			encoder.SetEscapeHTML(false)
			return encoder.Encode(v)
		},
		Unmarshal: func(data []byte, v any) error {
			if _, whole := v.(*any); whole { // huma's first pass; the second is for the fields
				if err := checkKeys(data); err != nil {
					return err
				}
			}
			if json.Unmarshal(data, v) != nil {
				return errNotJSON
			}
			return nil
		},
	}
}

// checkKeys refuses JSON with a key twice in one object: two parsers on a
// request's way may each believe another one of them.
func checkKeys(data []byte) error {
	type level struct {
		keys map[string]bool // nil in an array
		key  bool            // a key comes next
	}
	var stack []level
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errNotJSON
		}
		if delim, ok := token.(json.Delim); ok {
			switch delim {
			case '{':
				stack = append(stack, level{keys: map[string]bool{}, key: true})
			case '[':
				stack = append(stack, level{})
			default:
				stack = stack[:len(stack)-1]
				if len(stack) > 0 {
					stack[len(stack)-1].key = true
				}
			}
			continue
		}
		if len(stack) == 0 {
			continue
		}
		top := &stack[len(stack)-1]
		if top.keys == nil {
			continue
		}
		if name, ok := token.(string); ok && top.key {
			if top.keys[name] {
				return errDuplicateKey
			}
			top.keys[name] = true
			top.key = false
			continue
		}
		top.key = true
	}
}
