package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Scrubbed stands where something was that is nobody's business.
const Scrubbed = "[scrubbed]"

// Bounds of what is scrubbed beside the built-in rules.
const (
	maxNames   = 100
	maxPattern = 500 // bytes
)

// Scrubber takes secrets out of events: what a name says is one, and what looks like one
// wherever it stands. What exactly, docs/errors.md says. It is safe for concurrent use.
type Scrubber struct {
	names    names // of secrets
	patterns []*regexp.Regexp
}

// NewScrubber is a Scrubber of the built-in rules, and of names of fields and of values'
// regular expressions (RE2). Its errors say which of these can't be.
func NewScrubber(fields, patterns []string) (*Scrubber, error) {
	if len(fields) > maxNames || len(patterns) > maxNames {
		return nil, fmt.Errorf("there are more than %d", maxNames)
	}
	s := &Scrubber{}
	for _, field := range fields {
		words := newWords(field)
		if words.together == "" {
			return nil, fmt.Errorf("%q is no name", field)
		}
		s.names.own = append(s.names.own, words)
		s.names.addresses = s.names.addresses || words.together == "ipaddress" || words.together == "ip"
	}
	for _, pattern := range patterns {
		re, err := regexp.Compile(pattern)
		switch {
		case err != nil || len(pattern) > maxPattern:
			return nil, fmt.Errorf("%q is no regular expression (RE2), or longer than %d", pattern, maxPattern)
		case re.MatchString(""):
			return nil, fmt.Errorf("%q is found everywhere, as it is found in an empty text", pattern)
		}
		s.patterns = append(s.patterns, re)
	}
	return s, nil
}

// Scrub takes the secrets out of an event, and names in its Scrubbed where there were some.
// What has been scrubbed stays as it is.
//
// It goes by the event's types, so that there is no field that it forgets: each text is
// searched, and each is left out whose name says that it is secret. Fields with the tag
// scrub:"-" are none that a secret can be in.
func (s *Scrubber) Scrub(e *Event) {
	v := reflect.ValueOf(e).Elem()
	for i, f := range structs[v.Type()] {
		if !f.exempt && s.field(v.Field(i), f) && !slices.Contains(e.Scrubbed, f.name) {
			e.Scrubbed = append(e.Scrubbed, f.name)
		}
	}
}

// Text is a text without its secrets, as Scrub has it.
func (s *Scrubber) Text(text string) string { return s.text(text, plain) }

// field is one of a struct's.
type field struct {
	name   string // in JSON
	words  words
	kind   kind
	exempt bool
}

// structs are the fields of the types that an event is made of.
var structs = func() map[reflect.Type][]field {
	all := map[reflect.Type][]field{}
	var add func(t reflect.Type)
	add = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			add(t.Elem())
		case reflect.Struct:
			if all[t] != nil || t == reflect.TypeFor[time.Time]() {
				return
			}
			all[t] = []field{}
			for f := range t.Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				kind := plain
				if f.Tag.Get("scrub") == "source" {
					kind = source
				}
				all[t] = append(all[t], field{name, newWords(name), kind, f.Tag.Get("scrub") == "-"})
				add(f.Type)
			}
		default:
		}
	}
	add(reflect.TypeFor[Event]())
	return all
}()

// field scrubs what a field of a struct holds, and tells whether it has. Its name is ours,
// so that only the operator's names are about it.
func (s *Scrubber) field(v reflect.Value, f field) bool {
	if !s.names.isOwn(f.words) {
		return s.value(v, f)
	}
	found := !v.IsZero()
	if v.Kind() != reflect.String {
		v.SetZero()
	} else if found = found && v.String() != Scrubbed; found {
		v.SetString(Scrubbed)
	}
	return found
}

func (s *Scrubber) value(v reflect.Value, f field) (found bool) {
	switch v.Kind() {
	case reflect.String:
		text := v.String()
		if scrubbed := s.text(text, f.kind); scrubbed != text {
			v.SetString(scrubbed)
			found = true
		}
	case reflect.Pointer:
		return !v.IsNil() && s.value(v.Elem(), f)
	case reflect.Struct:
		for i, inner := range structs[v.Type()] {
			if !inner.exempt && s.field(v.Field(i), inner) {
				found = true
			}
		}
	case reflect.Slice:
		if lines, ok := v.Interface().([]string); ok && f.kind == source {
			found = scrubKeys(lines)
		}
		for i := range v.Len() {
			found = s.value(v.Index(i), f) || found
		}
	case reflect.Map:
		switch m := v.Interface().(type) {
		case map[string]string:
			return scrubMap(s, m, func(value string) string { return s.text(value, plain) }, func(value string) (string, bool) {
				return Scrubbed, value != "" && value != Scrubbed
			})
		case map[string]json.RawMessage:
			return scrubMap(s, m, s.raw, func(value json.RawMessage) (json.RawMessage, bool) {
				return quotedMark, tells(value)
			})
		}
	default:
	}
	return found
}

// scrubMap scrubs a map's values, by their names and by themselves, and its keys.
func scrubMap[V ~string | ~[]byte](s *Scrubber, m map[string]V, scrub func(V) V, whole func(V) (V, bool)) (found bool) {
	var keys []string
	for key, value := range m {
		if s.names.secret(key) {
			if mark, is := whole(value); is {
				m[key], found = mark, true
			}
		} else if scrubbed := scrub(value); string(scrubbed) != string(value) {
			m[key], found = scrubbed, true
		}
		if s.text(key, plain) != key {
			keys = append(keys, key)
		}
	}
	for _, key := range slices.Sorted(slices.Values(keys)) {
		value := m[key]
		delete(m, key)
		m[s.text(key, plain)], found = value, true
	}
	return found
}

var quotedMark = json.RawMessage(`"` + Scrubbed + `"`)

// tells is whether JSON tells anything: not null, true, false or nothing, which say of a
// secret only whether there is one.
func tells(value []byte) bool {
	switch string(value) {
	case "", "null", "true", "false", `""`, "[]", "{}", string(quotedMark):
		return false
	}
	return true
}

// raw scrubs JSON, at any depth. What is no JSON is left out.
func (s *Scrubber) raw(value json.RawMessage) json.RawMessage {
	out, err := s.walk(value)
	if err != nil {
		return quotedMark
	}
	return out
}

var errNoJSON = errors.New("that is no JSON")

// walk goes through JSON from string to string. Between two strings only numbers can be
// what a secret is in.
func (s *Scrubber) walk(value []byte) (json.RawMessage, error) {
	var out []byte           // nil as long as nothing has changed
	copied := 0              // how much of value is in out
	var covered map[int]bool // where values begin that are secret by what stands beside them
	replace := func(from, until int, by []byte) {
		out = append(append(out, value[copied:from]...), by...)
		copied = until
	}
	for i := 0; i < len(value); {
		if covered != nil && covered[i] {
			end := valueEnd(value, i)
			if tells(value[i:end]) {
				replace(i, end, quotedMark)
			}
			delete(covered, i)
			i = max(end, i+1)
			continue
		}
		switch c := value[i]; {
		case c == '"':
			end := stringEnd(value, i)
			if end < 0 {
				return nil, errNoJSON
			}
			text := unquoted(value[i:end])
			next := skipSpace(value, end)
			isName := next < len(value) && value[next] == ':'
			if from := s.beside(value, i, end, text, isName); from > 0 {
				if covered == nil {
					covered = map[int]bool{}
				}
				covered[from] = true
			}
			if scrubbed := s.text(text, plain); scrubbed != text {
				quoted, _ := json.Marshal(scrubbed) // it never fails
				replace(i, end, quoted)
			}
			if i = end; !isName {
				continue
			}
			i = skipSpace(value, next+1)
			if !s.names.secret(text) {
				continue
			}
			if end := valueEnd(value, i); end > i {
				if tells(value[i:end]) {
					replace(i, end, quotedMark)
				}
				i = end
			}
		case c == '-' || c >= '0' && c <= '9':
			end := valueEnd(value, i)
			if text := string(value[i:end]); (len(text) >= minCard || len(s.patterns) > 0) && s.text(text, plain) != text {
				replace(i, end, quotedMark)
			}
			i = max(end, i+1)
		default:
			i++
		}
	}
	if out == nil {
		return value, nil
	}
	return append(out, value[copied:]...), nil
}

// stringEnd is where the string that begins at i has ended; -1 where it doesn't.
func stringEnd[T ~string | ~[]byte](text T, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// valueEnd is where the value that begins at i has ended, or text has.
func valueEnd[T ~string | ~[]byte](text T, i int) int {
	for depth := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			if i = stringEnd(text, i); i < 0 {
				return len(text)
			}
			i--
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 { // a string, an array or an object has ended
			return i + 1
		}
	}
	return len(text)
}

func skipSpace[T ~string | ~[]byte](text T, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// kind is what a text is.
type kind uint8

const (
	plain  kind = iota
	source      // a line of source code, of which only what is in quotes is a value
	quoted      // what is in the quotes: a text, with places for what the program puts in
)

// text scrubs a text until there is nothing left in it to scrub.
func (s *Scrubber) text(text string, is kind) string {
	const enough = 8
	for range enough {
		scrubbed := s.escaped(s.once(text, is), is)
		if scrubbed == text {
			return text
		}
		text = scrubbed
	}
	return Scrubbed
}

// What ends a line or is a tab is written as a backslash and a letter where a text stands
// within another one, as variables of Python do. The letter begins no word. lineMark tells
// what was written so from what is there.
const lineMark = "\x1e"

var (
	unescape = strings.NewReplacer(`\n`, "\n"+lineMark, `\t`, "\t"+lineMark, `\r`, "\r"+lineMark)
	escape   = strings.NewReplacer("\n"+lineMark, `\n`, "\t"+lineMark, `\t`, "\r"+lineMark, `\r`)
)

// escaped has every rule look at a text as it is meant that has such escapes.
func (s *Scrubber) escaped(text string, is kind) string {
	if strings.IndexByte(text, '\\') < 0 || strings.Contains(text, lineMark) {
		return text
	}
	meant := unescape.Replace(text)
	if meant == text {
		return text
	}
	return strings.ReplaceAll(escape.Replace(s.once(meant, is)), lineMark, "") // of a line whose end is gone
}

// once has every rule look at a text, as far as the text has anything that the rule is
// about.
func (s *Scrubber) once(text string, is kind) string {
	t := traitsOf(text)
	if is == source && t != 0 {
		text = s.literalsOf(text)
	}
	if t&hasAssignment != 0 && is != source && isJSON(text) {
		if out, err := s.walk([]byte(text)); err == nil {
			text = string(out)
		}
	}
	if t&hasKey != 0 {
		text = scrubPEM(text)
	}
	if t&hasURL != 0 {
		text = scrubUserinfo(text)
	}
	if t&hasScheme != 0 {
		text = scrubSchemes(text)
	}
	if t&hasPrefix != 0 {
		text = scrubTokens(text)
	}
	if t&hasAssignment != 0 {
		text = s.assignments(text, is)
	}
	if t&hasFlag != 0 {
		text = s.flags(text, is == source)
	}
	if t&hasTag != 0 && is != source {
		text = s.tags(text)
	}
	if t&hasSQL != 0 && is != source {
		text = s.literals(text)
	}
	if t&hasEncoded != 0 {
		text = s.encoded(text)
	}
	if t&hasDigits != 0 {
		text = scrubCards(text)
	}
	for _, re := range s.patterns {
		text = between(text, func(part string) string { return re.ReplaceAllLiteralString(part, Scrubbed) })
	}
	return text
}

// literalsOf scrubs what is in the quotes of a line of source, as texts are. Where quotes
// don't pair, the line is cut or part of something longer: then what is between any two of
// them may be a text, and so may be all.
func (s *Scrubber) literalsOf(line string) string {
	var out strings.Builder
	copied := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
			continue
		case '"', '\'', '`':
		default:
			continue
		}
		quote := opening(line, i)
		if quote == "" {
			continue
		}
		from := i + len(quote)
		a := assigned{text: line}
		until := a.quotedEnd(i, quote)
		if until == len(line) {
			parts := strings.Split(line, quote)
			for i := range parts {
				parts[i] = s.once(parts[i], quoted)
			}
			return s.once(strings.Join(parts, quote), quoted)
		}
		if scrubbed := s.once(line[from:until], quoted); scrubbed != line[from:until] {
			out.WriteString(line[copied:from])
			out.WriteString(scrubbed)
			copied = until
		}
		i = until + len(quote) - 1
	}
	if copied == 0 {
		return line
	}
	out.WriteString(line[copied:])
	return out.String()
}

// opening is the quote that opens at i of a line of source, where one is: three of them for
// Python's, and none for an apostrophe in a word or what Rust calls a lifetime.
func opening(line string, i int) string {
	c := line[i]
	if i+2 < len(line) && line[i+1] == c && line[i+2] == c {
		return line[i : i+3]
	}
	if c == '\'' && i > 0 && (line[i-1] == '&' || line[i-1] == '<' || isAlnum(line[i-1]) && i+1 < len(line) && isAlnum(line[i+1]) && !isStringPrefix(line, i)) {
		return ""
	}
	return line[i : i+1]
}

// isStringPrefix is whether the word before i is how strings of Python begin: f, rb and so on.
func isStringPrefix(line string, i int) bool {
	start := i
	for start > 0 && isWord(line[start-1]) {
		start--
	}
	return i-start <= 2 && strings.Trim(line[start:i], "bfrtuBFRTU") == ""
}

// isJSON is whether a text is an object or an array, as far as its beginning tells.
func isJSON(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n")
	return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")
}

// between applies a rule to what stands between what has been scrubbed.
func between(text string, rule func(string) string) string {
	if !strings.Contains(text, Scrubbed) {
		return rule(text)
	}
	parts := strings.Split(text, Scrubbed)
	for i := range parts {
		parts[i] = rule(parts[i])
	}
	return strings.Join(parts, Scrubbed)
}
