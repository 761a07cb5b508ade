package imported

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// record is a monitor as JSON or CSV has it, by the names of its fields in one way of writing:
// of retryInterval, retry_interval and "Retry Interval" it is retryinterval. So one reader does
// for a program's backup, its API and its database.
type record map[string]any

func plainKey(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// readRecords reads a list of objects, or an object whose members they are.
func readRecords(list json.RawMessage) ([]record, error) {
	decoder := json.NewDecoder(bytes.NewReader(list))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, unreadable("JSON", err)
	}
	var members []any
	switch v := value.(type) {
	case []any:
		members = v
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			members = append(members, v[key])
		}
	}
	var all []record
	for _, member := range members {
		object, ok := member.(map[string]any)
		if !ok {
			return nil, errForeign
		}
		r := make(record, len(object))
		for name, value := range object {
			r[plainKey(name)] = value
		}
		all = append(all, r)
	}
	return all, nil
}

// has tells whether there is a field, whatever is in it.
func (r record) has(key string) bool {
	_, ok := r[key]
	return ok
}

// text is a field's text; empty where there is none.
func (r record) text(key string) string {
	switch v := r[key].(type) {
	case string:
		return strings.TrimSpace(v)
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// number is a field's number; zero where there is none.
func (r record) number(key string) float64 {
	n, err := strconv.ParseFloat(r.text(key), 64)
	if err != nil || math.IsNaN(n) || math.Abs(n) > 1e9 {
		return 0
	}
	return n
}

// flag tells whether a field is true, as JSON and as databases have it.
func (r record) flag(key string) bool {
	switch strings.ToLower(r.text(key)) {
	case "true", "1", "yes":
		return true
	}
	return false
}

// off tells whether a field is there and false.
func (r record) off(key string) bool { return r.text(key) != "" && !r.flag(key) }

// list is a field's texts: of a list, or of the text that a database has of one.
func (r record) list(key string) []string {
	value := r[key]
	if text, ok := value.(string); ok {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if decoder.Decode(&value) != nil {
			return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
		}
	}
	members, _ := value.([]any)
	var all []string
	for _, member := range members {
		if text := (record{"": member}).text(""); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// object is a field's texts by their names: of an object, or of the text that is one in JSON.
// It is nil where the field is something else.
func (r record) object(key string) map[string]string {
	value := r[key]
	if text, ok := value.(string); ok {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if decoder.Decode(&value) != nil {
			return nil
		}
	}
	members, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	all := make(map[string]string, len(members))
	for name, member := range members {
		all[name] = (record{"": member}).text("")
	}
	return all
}
