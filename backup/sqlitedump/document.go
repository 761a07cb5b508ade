package sqlitedump

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// documentReader reads fields of documents, as SQLite's doc ->> '$.name' does, in a fifth of
// the time. It isn't ok about a document that isn't plain JSON, nor about values that
// SQLite may see in another way: then SQLite is to be asked.
type documentReader struct {
	names  []string
	values []value // of the fields with those names; NULL for one that isn't there
	seen   []bool

	text []byte
	at   int
}

func newDocumentReader(names []string) *documentReader {
	return &documentReader{names: names, values: make([]value, len(names)), seen: make([]bool, len(names))}
}

// read reads a document, all of it.
func (d *documentReader) read(document []byte) (ok bool) {
	clear(d.values)
	clear(d.seen)
	d.text, d.at = document, 0
	return d.next() == '{' && d.list('}', d.member) && d.next() == 0 && d.at == len(d.text)
}

// next is the next byte that isn't space; 0 at the end.
func (d *documentReader) next() byte {
	for ; d.at < len(d.text); d.at++ {
		if c := d.text[d.at]; c > ' ' || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			d.at++
			return c
		}
	}
	return 0
}

// list reads what is between commas, up to the closing byte.
func (d *documentReader) list(closing byte, item func(first byte) bool) (ok bool) {
	c := d.next()
	if c == closing {
		return true
	}
	for item(c) {
		switch d.next() {
		case closing:
			return true
		case ',':
			c = d.next()
		default:
			return false
		}
	}
	return false
}

// member reads a field of the document. Of those with the same name, the first counts.
func (d *documentReader) member(first byte) (ok bool) {
	name, plain, ok := d.quoted(first)
	if !ok || !plain || d.next() != ':' {
		return false
	}
	i := slices.Index(d.names, string(name))
	if i < 0 || d.seen[i] {
		return d.skip(d.next(), 1)
	}
	d.seen[i] = true
	d.values[i], ok = d.value(d.next())
	return ok
}

// quoted reads a text in quotes, and tells whether it is plain: without escapes.
func (d *documentReader) quoted(first byte) (text []byte, plain, ok bool) {
	begin, plain := d.at, true
	for first == '"' && d.ordinary() {
		switch d.text[d.at-1] {
		case '"':
			return d.text[begin : d.at-1], plain, true
		case '\\':
			plain = false
			if !d.escape() {
				return nil, false, false
			}
		default: // what JSON doesn't have in texts
			return nil, false, false
		}
	}
	return nil, false, false
}

// ordinary reads the bytes of a text that mean themselves, and the one after them. It is
// false at the document's end.
func (d *documentReader) ordinary() bool {
	for i, c := range d.text[d.at:] {
		if c == '"' || c == '\\' || c < ' ' {
			d.at += i + 1
			return true
		}
	}
	return false
}

// escape reads what is after a backslash. What it means is looked at when the text is read.
func (d *documentReader) escape() (ok bool) {
	if !d.has("u") {
		return d.has(`"\/bfnrt`)
	}
	d.at += 4
	if d.at > len(d.text) {
		return false
	}
	_, err := strconv.ParseUint(string(d.text[d.at-4:d.at]), 16, 16)
	return err == nil
}

// value reads a field's value. SQLite makes texts of objects and arrays, and has its own way
// of reading numbers that aren't whole.
func (d *documentReader) value(first byte) (v value, ok bool) {
	begin := d.at - 1
	switch {
	case first == '"':
		text, plain, ok := d.quoted(first)
		if ok && !plain {
			text, ok = unescape(d.text[begin:d.at])
		}
		return textValue(text), ok
	case first == '{' || first == '[' || !d.skip(first, 1):
		return v, false
	case first == 'n':
		return value{tag: tagNull}, true
	case first == 't' || first == 'f':
		return integerValue(int64(len("false") - (d.at - begin))), true
	}
	n, err := strconv.ParseInt(string(d.text[begin:d.at]), 10, 64)
	return integerValue(n), err == nil
}

// unescape is what a quoted text means, if nobody can see it in two ways.
func unescape(quoted []byte) (text []byte, ok bool) {
	var s string
	err := json.Unmarshal(quoted, &s)
	return []byte(s), err == nil && !strings.ContainsAny(s, "\x00"+string(utf8.RuneError))
}

// maxNesting is how deep values may be in each other. SQLite allows a thousand.
const maxNesting = 200

// skip reads a value that begins with a byte which has been read.
func (d *documentReader) skip(first byte, depth int) (ok bool) {
	if depth > maxNesting {
		return false
	}
	switch first {
	case '"':
		_, _, ok = d.quoted(first)
		return ok
	case '{':
		return d.list('}', func(first byte) bool {
			_, _, ok := d.quoted(first)
			return ok && d.next() == ':' && d.skip(d.next(), depth+1)
		})
	case '[':
		return d.list(']', func(first byte) bool { return d.skip(first, depth+1) })
	case 't':
		return d.word("rue")
	case 'f':
		return d.word("alse")
	case 'n':
		return d.word("ull")
	}
	d.at--
	return d.number()
}

func (d *documentReader) word(rest string) (ok bool) {
	ok = len(d.text)-d.at >= len(rest) && string(d.text[d.at:d.at+len(rest)]) == rest
	d.at += len(rest)
	return ok
}

// number reads a number as JSON has them.
func (d *documentReader) number() (ok bool) {
	d.has("-")
	if !d.has("0") && !d.digits() {
		return false
	}
	if d.has(".") && !d.digits() {
		return false
	}
	if d.has("eE") {
		d.has("+-")
		return d.digits()
	}
	return true
}

// has reads a byte if it is one of those.
func (d *documentReader) has(some string) bool {
	if d.at < len(d.text) && strings.IndexByte(some, d.text[d.at]) >= 0 {
		d.at++
		return true
	}
	return false
}

// digits reads all that there are, and tells whether there is one.
func (d *documentReader) digits() bool {
	begin := d.at
	for d.at < len(d.text) && d.text[d.at]-'0' <= 9 {
		d.at++
	}
	return d.at > begin
}
