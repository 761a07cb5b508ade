package sqlitedump

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
)

// format is what the header says of all pages.
type format struct {
	pageSize, usable int64 // in bytes
	utf8             bool  // is how texts are
}

// Where the header has more of them.
const (
	atReserved = 20
	atEncoding = 56
)

// readFormat reads a file's header, which fill has looked at.
func readFormat(file io.ReaderAt) (format, error) {
	start := make([]byte, headerSize)
	if _, err := file.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return format{}, unreadable(err)
	}
	h, err := parseHeader(start)
	if err != nil {
		return format{}, damaged(err)
	}
	return format{h.pageSize, h.pageSize - int64(start[atReserved]), binary.BigEndian.Uint32(start[atEncoding:]) == 1}, nil
}

// indexReader reads the entries of an index in their order, out of the file itself: that
// takes a third of the time in which SQLite hands them out, and sees all of each record.
// It knows what SQLite writes, and is odd about everything else, which need not be damage.
// See https://www.sqlite.org/fileformat2.html#b_tree_pages.
type indexReader struct {
	ctx  context.Context
	file io.ReaderAt
	format
	*index

	entries set
	odd     bool // something isn't as SQLite writes it
	failed  error

	pages     [maxDepth + 1][]byte // the one of each depth that is being read
	last, now record
	buf       []byte
}

func newIndexReader(ctx context.Context, file *os.File, f format, i *index) *indexReader {
	r := &indexReader{ctx: ctx, file: file, format: f, index: i}
	r.last.fields, r.now.fields = make([]field, 0, len(i.keys)+1), make([]field, 0, len(i.keys)+1)
	return r
}

// read reads all of the index. The error is one of reading the file.
func (r *indexReader) read() error {
	r.odd = !r.page(r.root, 0)
	return r.failed
}

// Bounds, beyond which an index isn't what SQLite makes or what fits into memory.
const (
	maxDepth  = 20
	maxRecord = 1 << 20
)

// Kinds of pages.
const (
	interior = 2
	leaf     = 10
)

// page reads a page's entries and those of the pages below it. Like all that follow it
// is false as soon as something is odd.
func (r *indexReader) page(number int64, depth int) bool {
	if depth > maxDepth {
		return false
	}
	if r.pages[depth] == nil {
		r.pages[depth] = make([]byte, r.pageSize)
	}
	page := r.pages[depth]
	if !r.load(number, page) {
		return false
	}
	kind, cells, pointers := page[0], int(binary.BigEndian.Uint16(page[3:])), 8
	if kind == interior {
		pointers = 12
	}
	if kind != interior && kind != leaf || pointers+2*cells > int(r.usable) {
		return false
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(page[pointers+2*i:]))
		if at < pointers+2*cells || at > int(r.usable)-4 {
			return false
		}
		cell := page[at:r.usable]
		if kind == interior {
			if !r.page(int64(binary.BigEndian.Uint32(cell)), depth+1) {
				return false
			}
			cell = cell[4:]
		}
		if !r.cell(cell) {
			return false
		}
	}
	return kind == leaf || r.page(int64(binary.BigEndian.Uint32(page[8:])), depth+1)
}

// load reads a page. The first one belongs to no index.
func (r *indexReader) load(number int64, page []byte) bool {
	if r.failed = r.ctx.Err(); r.failed != nil || number < 2 {
		return false
	}
	_, err := r.file.ReadAt(page, (number-1)*r.pageSize)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = unreadable(err)
	}
	return err == nil
}

// cell reads an entry.
func (r *indexReader) cell(cell []byte) bool {
	size, n := varint(cell)
	if n == 0 || size > maxRecord {
		return false
	}
	payload, ok := r.payload(cell[n:], int64(size))
	if !ok || !r.now.parse(payload) || len(r.now.fields) != len(r.keys)+1 || !r.inOrder() {
		return false
	}
	r.buf = r.now.appendTo(r.buf[:0])
	r.entries.add(r.buf)
	r.last, r.now = r.now, r.last
	return true
}

// payload is what is in a cell, with what didn't fit into its page.
func (r *indexReader) payload(cell []byte, size int64) ([]byte, bool) {
	local := r.local(size)
	if local == size {
		return cell[:min(size, int64(len(cell)))], size <= int64(len(cell))
	}
	if local+4 > int64(len(cell)) {
		return nil, false
	}
	all := append(make([]byte, 0, size), cell[:local]...)
	page := make([]byte, r.pageSize)
	for next := cell[local:]; int64(len(all)) < size; next = page {
		if !r.load(int64(binary.BigEndian.Uint32(next)), page) {
			return nil, false
		}
		all = append(all, page[4:4+min(size-int64(len(all)), r.usable-4)]...)
	}
	return all, true
}

// local is how much of so many bytes is in the cell itself.
func (r *indexReader) local(size int64) int64 {
	most, least := (r.usable-12)*64/255-23, (r.usable-12)*32/255-23
	if size <= most {
		return size
	}
	if fits := least + (size-least)%(r.usable-4); fits <= most {
		return fits
	}
	return least
}

// inOrder tells whether an entry comes after the last one, and isn't one that there
// must be only once.
func (r *indexReader) inOrder() bool {
	if r.entries.n == 0 {
		return true
	}
	filled := true
	for i, now := range r.now.fields {
		if i == len(r.keys) && r.unique && filled {
			return false // only the rowids differ
		}
		order, ok := compare(r.last.fields[i], now)
		if !ok || order > 0 {
			return false
		}
		if order < 0 {
			return true
		}
		filled = filled && now.tag != tagNull
	}
	return false
}

// record is an entry's values.
type record struct {
	fields []field
	text   []byte // that the fields point to
}

type field struct {
	tag   byte
	value uint64 // a number's bits, or how many bytes the text has
	text  []byte
}

// parse reads a record, which it keeps a copy of.
// See https://www.sqlite.org/fileformat2.html#record_format.
func (r *record) parse(payload []byte) bool {
	r.text, r.fields = append(r.text[:0], payload...), r.fields[:0]
	size, n := varint(r.text)
	if n == 0 || size < uint64(n) || size > uint64(len(r.text)) {
		return false
	}
	kinds, body := r.text[n:size], r.text[size:]
	for len(kinds) > 0 {
		kind, n := varint(kinds)
		if n == 0 {
			return false
		}
		f, rest, ok := parseField(kind, body)
		if !ok {
			return false
		}
		r.fields, kinds, body = append(r.fields, f), kinds[n:], rest
	}
	return len(body) == 0
}

// parseField reads a value of a kind from the beginning of body.
func parseField(kind uint64, body []byte) (f field, rest []byte, ok bool) {
	switch {
	case kind == 0:
		return field{tag: tagNull}, body, true
	case kind == 8 || kind == 9:
		return field{tag: tagInteger, value: kind - 8}, body, true
	case kind <= 7:
		return parseNumber(kind, body)
	case kind < 12:
		return field{}, nil, false
	}
	size := (kind - 12) / 2
	if size > uint64(len(body)) {
		return field{}, nil, false
	}
	return field{tagBlob - byte(kind%2), size, body[:size]}, body[size:], true
}

func parseNumber(kind uint64, body []byte) (f field, rest []byte, ok bool) {
	size := []int{0, 1, 2, 3, 4, 6, 8, 8}[kind]
	if size > len(body) {
		return field{}, nil, false
	}
	value := uint64(int64(int8(body[0]))) // with its sign
	for _, b := range body[1:size] {
		value = value<<8 | uint64(b)
	}
	if kind < 7 {
		return field{tag: tagInteger, value: value}, body[size:], true
	}
	// No number is NULL to SQLite.
	return field{tag: tagReal, value: value}, body[size:], !math.IsNaN(math.Float64frombits(value))
}

// appendTo appends the record as the function of entries has it.
func (r *record) appendTo(b []byte) []byte {
	for _, f := range r.fields {
		b = append(appendNumber(b, f.tag, f.value), f.text...)
	}
	return b
}

// compare compares two values as an index orders them. It isn't ok about an integer and
// a real one.
func compare(a, b field) (order int, ok bool) {
	switch {
	case a.tag == b.tag && a.tag == tagInteger:
		return cmp.Compare(int64(a.value), int64(b.value)), true
	case a.tag == b.tag && a.tag == tagReal:
		return cmp.Compare(math.Float64frombits(a.value), math.Float64frombits(b.value)), true
	case a.tag == b.tag:
		return bytes.Compare(a.text, b.text), true
	}
	return cmp.Compare(a.tag, b.tag), min(a.tag, b.tag) != tagInteger || max(a.tag, b.tag) != tagReal
}

// varint reads a number of one to nine bytes, and tells how many; 0 when it isn't whole.
func varint(b []byte) (value uint64, n int) {
	for i, c := range b[:min(len(b), 9)] {
		if i == 8 {
			return value<<8 | uint64(c), 9
		}
		value = value<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return value, i + 1
		}
	}
	return 0, 0
}
