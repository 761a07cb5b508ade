package sourcemap

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"manus/language"
)

// Parse reads a source map: a plain one, or one with "sections", each with or without a first
// line that keeps it from being run as a script (`)]}'`). The map keeps the data, which may
// not be changed afterwards. Its errors are ErrMalformed and ErrTooLarge.
//
// Read as if it were well formed is what can be: without "names", with fewer texts than
// sources or more, with indexes that point nowhere (unmapped, or without a name), and with
// columns in any order.
func Parse(data []byte) (*Map, error) {
	if len(data) > MaxSize {
		return nil, tooLarge(strconv.Itoa(MaxSize>>20) + " MiB")
	}
	p := parser{Map: &Map{data: data}}
	if err := p.source(span{skipped(data), int32(len(data))}, offset{}, 0); err != nil {
		return nil, err
	}
	if err := p.fits(0); err != nil {
		return nil, err
	}
	return p.Map, nil
}

// fits is an error where the map would take too much memory with so many bytes more.
func (p *parser) fits(more int) error {
	if p.Size()+more > MaxHeld {
		return fmt.Errorf("%w: it takes more than %d MiB in memory", ErrTooLarge, MaxHeld>>20)
	}
	return nil
}

// skipped is how many bytes stand before the JSON.
func skipped(data []byte) int32 {
	json := bytes.TrimPrefix(data, []byte("\ufeff"))
	if bytes.HasPrefix(json, []byte(")]}")) {
		if _, after, found := bytes.Cut(json, []byte("\n")); found {
			json = after
		}
	}
	return int32(len(data) - len(json))
}

// A parser appends maps to Map, each where the one before it ends.
type parser struct {
	*Map
	start    offset // of the last section
	sections int
}

// An offset is where in the generated file a map begins, counted from 0.
type offset struct{ line, column int64 }

// source reads a map that begins at an offset, depth sections within the whole.
func (p *parser) source(json span, at offset, depth int) error {
	var version, root, sources, texts, names, mappings, sections, id, oldID span
	err := p.object(json, map[string]*span{
		"version": &version, "sourceRoot": &root, "sources": &sources, "sourcesContent": &texts, "names": &names,
		"mappings": &mappings, "sections": &sections, "debugId": &id, "debug_id": &oldID,
	})
	if err != nil {
		return err
	}
	if string(p.raw(version)) != "3" {
		return malformed("its version isn't 3")
	}
	if depth == 0 {
		p.debugID = cmp.Or(debugID(p.string(oldID)), debugID(p.string(id)))
	}
	if p.has(sections) {
		if p.has(mappings) {
			return malformed("it has both sections and mappings")
		}
		if depth == maxDepth {
			return malformed("its sections are too deep")
		}
		return p.array(sections, func(section span) error { return p.section(section, at, depth+1) })
	}
	return p.plain(at, root, sources, texts, names, mappings)
}

// section reads a map within a map, whose offset is from there.
func (p *parser) section(json span, base offset, depth int) error {
	if p.sections++; p.sections > maxSections {
		return tooLarge(strconv.Itoa(maxSections) + " sections")
	}
	var place, of, lineNumber, column span
	if err := p.object(json, map[string]*span{"offset": &place, "map": &of}); err != nil {
		return err
	}
	if err := p.object(place, map[string]*span{"line": &lineNumber, "column": &column}); err != nil {
		return err
	}
	at, err := p.offset(lineNumber, column, base)
	if err != nil {
		return err
	}
	if at.line < p.start.line || at.line == p.start.line && at.column < p.start.column {
		return malformed("its sections aren't in order")
	}
	p.start = at
	p.cut(at)
	return p.source(of, at, depth)
}

func (p *parser) offset(lineNumber, column span, base offset) (offset, error) {
	l, err := strconv.ParseUint(string(p.raw(lineNumber)), 10, 31)
	c, err2 := strconv.ParseUint(string(p.raw(column)), 10, 31)
	if err != nil || err2 != nil {
		return offset{}, malformed("a section's offset is no line and column")
	}
	at := offset{base.line + int64(l), int64(c)}
	if l == 0 {
		at.column += base.column
	}
	return at, nil
}

// cut removes what reaches into a section that begins at an offset.
func (p *parser) cut(at offset) {
	for len(p.lines) > 0 {
		last := p.lines[len(p.lines)-1]
		if int64(last.number) < at.line {
			return
		}
		keep := 0
		if int64(last.number) == at.line {
			keep, _ = slices.BinarySearchFunc(p.segments[last.start:], at.column, func(s segment, column int64) int { return cmp.Compare(int64(s.column), column) })
		}
		if p.segments = p.segments[:int(last.start)+keep]; keep > 0 {
			return
		}
		p.lines = p.lines[:len(p.lines)-1]
	}
}

// plain reads a map without sections.
func (p *parser) plain(at offset, root, sources, texts, names, mappings span) error {
	firstSource, firstName := len(p.Map.sources), len(p.names)
	prefix := p.string(root)
	if len(prefix) > MaxName {
		return malformed("its sourceRoot is too long")
	}
	if !p.has(sources) {
		return malformed("it has no sources")
	}
	if err := p.array(sources, func(json span) error { return p.addSource(prefix, json) }); err != nil {
		return err
	}
	i := firstSource
	if err := p.array(texts, func(json span) error {
		if i < len(p.Map.sources) && p.isString(json) && json.to-json.from <= maxText {
			p.Map.sources[i].text = json
		}
		i++
		return nil
	}); err != nil {
		return err
	}
	if err := p.array(names, func(json span) error {
		if len(p.names) == maxNames {
			return tooLarge(strconv.Itoa(maxNames) + " names")
		}
		p.names = append(p.names, json)
		return nil
	}); err != nil {
		return err
	}
	if !p.isString(mappings) {
		return malformed("its mappings are no text")
	}
	text := p.raw(mappings)
	if bytes.IndexByte(text, '\\') >= 0 { // some writers of JSON escape slashes
		text = []byte(unquoted(text))
	} else {
		text = text[1 : len(text)-1]
	}
	return p.decode(text, at, indexes{firstSource, len(p.Map.sources)}, indexes{firstName, len(p.names)})
}

func (p *parser) addSource(root string, json span) error {
	if !p.isString(json) && p.has(json) {
		return malformed("a source is no name")
	}
	name := strings.Clone(language.Cut(joined(root, p.string(json)), MaxName)) // of which the rest isn't held
	if p.paths += len(name); p.paths > maxPaths || len(p.Map.sources) == maxSources {
		return tooLarge(strconv.Itoa(maxSources) + " sources, or too long names of them")
	}
	p.Map.sources = append(p.Map.sources, source{name: name})
	return nil
}

// whole matches names that a root isn't put before: paths and addresses, also C:\a.js.
var whole = regexp.MustCompile(`^(?:/|[A-Za-z][A-Za-z0-9+.-]*:)`)

func joined(root, name string) string {
	if root == "" || name == "" || whole.MatchString(name) {
		return name
	}
	return strings.TrimSuffix(root, "/") + "/" + name
}

// object sets fields to where their values stand in an object; of two of the same name the
// last counts, as in JavaScript. Others are passed over.
func (p *parser) object(json span, fields map[string]*span) error {
	dec, err := p.decoder(json, '{', "it isn't JSON of the form that source maps have")
	if err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return malformed("it isn't JSON")
		}
		field := fields[name.String()]
		value, err := p.value(dec, json)
		if err != nil {
			return err
		}
		if field != nil {
			*field = value
		}
	}
	return p.end(dec)
}

// array calls a function with each value of an array; there are none in what is missing.
func (p *parser) array(json span, each func(span) error) error {
	if !p.has(json) {
		return nil
	}
	dec, err := p.decoder(json, '[', "a list in it is no list")
	if err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		value, err := p.value(dec, json)
		if err != nil {
			return err
		}
		if err := each(value); err != nil {
			return err
		}
	}
	return p.end(dec)
}

// decoder reads a part of the data in which a value of a kind has to stand, and the token
// that it begins with. It holds no names, as whoever writes them could make it hold many.
func (p *parser) decoder(json span, kind jsontext.Kind, otherwise string) (*jsontext.Decoder, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(p.raw(json)), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != kind {
		return nil, malformed(otherwise)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, malformed("it isn't JSON")
	}
	return dec, nil
}

func (p *parser) value(dec *jsontext.Decoder, json span) (span, error) {
	value, err := dec.ReadValue()
	if err != nil {
		return span{}, malformed("it isn't JSON")
	}
	to := json.from + int32(dec.InputOffset())
	return span{to - int32(len(value)), to}, nil
}

// end reads the token that a value ends with, and that nothing is behind it.
func (p *parser) end(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return malformed("it isn't JSON")
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return malformed("something is behind its JSON")
	}
	return nil
}

func (p *parser) raw(s span) []byte { return p.data[s.from:s.to:s.to] }

// has is whether a value is there, and not null.
func (p *parser) has(s span) bool { return s.from < s.to && p.data[s.from] != 'n' }

func (p *parser) string(s span) string { return unquoted(p.raw(s)) }

// indexes are those of a list that belong to one section.
type indexes struct{ from, to int }

// index is the one that a section's index is in the list of all, unmapped where it points
// nowhere.
func (in indexes) index(n int64) int32 {
	if n < 0 || n >= int64(in.to-in.from) {
		return unmapped
	}
	return int32(in.from) + int32(n)
}

// decode appends the segments of a map's mappings: groups of a line each, parted by
// semicolons, of segments that are parted by commas. A segment is a column, and where it was
// written somewhere a source, its line and its column, and perhaps a name; all but the column
// go on from the segment before.
func (p *parser) decode(text []byte, at offset, sources, names indexes) error {
	n := segmentsIn(text)
	if len(p.segments)+n > maxSegments {
		return tooLarge(strconv.Itoa(maxSegments) + " positions")
	}
	if err := p.fits(n * int(unsafe.Sizeof(segment{}))); err != nil {
		return err
	}
	p.segments = slices.Grow(p.segments, n)
	first := len(p.segments) // of the line, as far as this map has it
	var is [5]int64          // column, source, line and column there, name
	for i := 0; i < len(text); {
		switch text[i] {
		case ',':
			i++
		case ';':
			sort(p.segments[first:])
			first, at, is[0] = len(p.segments), offset{line: at.line + 1}, 0
			i++
		default:
			fields, next, ok := readSegment(text, i, &is)
			column := at.column + is[0]
			if !ok || is[0] < 0 || column > math.MaxInt32 || at.line > math.MaxInt32 {
				return malformed("its mappings are damaged")
			}
			i = next
			s := segment{column: int32(column), source: unmapped, name: unmapped}
			if fields > 1 && isPosition(is[2]) && isPosition(is[3]) {
				s.source, s.sourceLine, s.sourceColumn = sources.index(is[1]), int32(is[2]), int32(is[3])
			}
			if fields == 5 {
				s.name = names.index(is[4])
			}
			p.add(int32(at.line), s)
		}
	}
	sort(p.segments[first:])
	return nil
}

func isPosition(n int64) bool { return 0 <= n && n <= math.MaxInt32 }

// add appends a segment to the last line, or begins a line with it.
func (p *parser) add(number int32, s segment) {
	if len(p.lines) == 0 || p.lines[len(p.lines)-1].number != number {
		p.lines = append(p.lines, line{number, int32(len(p.segments))})
	}
	p.segments = append(p.segments, s)
}

// sort puts segments in order, those of one column as they came.
func sort(segments []segment) {
	inOrder := func(a, b segment) int { return cmp.Compare(a.column, b.column) }
	if !slices.IsSortedFunc(segments, inOrder) {
		slices.SortStableFunc(segments, inOrder)
	}
}

// segmentsIn counts the segments of mappings, so that they are allocated once.
func segmentsIn(text []byte) int {
	n, before := 0, byte(',')
	for _, c := range text {
		if isSeparator(before) && !isSeparator(c) {
			n++
		}
		before = c
	}
	return n
}

func isSeparator(c byte) bool { return c == ',' || c == ';' }

// readSegment adds a segment's fields to is, and returns how many they were (1, 4 or 5), and
// where it ends.
func readSegment(text []byte, i int, is *[5]int64) (fields, next int, ok bool) {
	for fields < len(is) && i < len(text) && !isSeparator(text[i]) {
		var n int64
		if n, i, ok = readNumber(text, i); !ok {
			return 0, 0, false
		}
		is[fields] += n // cannot overflow: there are fewer than 2^26, each below 2^32
		fields++
	}
	ended := i == len(text) || isSeparator(text[i])
	return fields, i, ended && (fields == 1 || fields >= 4)
}

// readNumber reads a number of 32 bits in base64 VLQ: digits of five bits, the lowest first,
// each with a sixth bit where another follows; the lowest bit of all is the sign.
func readNumber(text []byte, i int) (n int64, next int, ok bool) {
	var bits uint64
	for shift := 0; i < len(text); shift += 5 {
		digit := digits[text[i]]
		i++
		if digit == noDigit || shift > 30 && digit&31 != 0 {
			return 0, 0, false
		}
		bits |= uint64(digit&31) << shift
		if digit&32 == 0 {
			return signed(bits), i, bits>>1 <= math.MaxInt32
		}
	}
	return 0, 0, false
}

// signed reads the sign; the number -0 is the lowest one.
func signed(bits uint64) int64 {
	switch n := int64(bits >> 1); {
	case bits&1 == 0:
		return n
	case n == 0:
		return math.MinInt32
	default:
		return -n
	}
}

const noDigit = 0xff

var digits = func() (table [256]byte) {
	for i := range table {
		table[i] = noDigit
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		table[c] = byte(i)
	}
	return table
}()

// debugID is a debug id in the one form, empty for what is none.
func debugID(text string) string {
	id, err := uuid.Parse(text)
	if err != nil || id == uuid.Nil {
		return ""
	}
	return id.String()
}
