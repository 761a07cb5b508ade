package sqlitedump

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
)

// value is one of a record: of a row, or of an index's entry.
type value struct {
	tag  byte
	bits uint64 // a number's, or how many bytes the text has
	text []byte // in memory of somebody else's
}

func textValue(text []byte) value { return value{tagText, uint64(len(text)), text} }

func integerValue(n int64) value { return value{tag: tagInteger, bits: uint64(n)} }

// appendTo appends the value so that no two lists of different ones look alike.
func (v value) appendTo(b []byte) []byte {
	return append(binary.BigEndian.AppendUint64(append(b, v.tag), v.bits), v.text...)
}

// compare compares two values as an index orders them. It isn't ok about an integer and
// a real number.
func compare(a, b value) (order int, ok bool) {
	switch {
	case a.tag == b.tag && a.tag == tagInteger:
		return cmp.Compare(int64(a.bits), int64(b.bits)), true
	case a.tag == b.tag && a.tag == tagReal:
		return cmp.Compare(math.Float64frombits(a.bits), math.Float64frombits(b.bits)), true
	case a.tag == b.tag:
		return bytes.Compare(a.text, b.text), true
	}
	return cmp.Compare(a.tag, b.tag), min(a.tag, b.tag) != tagInteger || max(a.tag, b.tag) != tagReal
}

// parseRecord appends the values of a record to values. It isn't ok when that isn't one
// from its first byte to its last.
// See https://www.sqlite.org/fileformat2.html#record_format.
func parseRecord(record []byte, values []value) (_ []value, ok bool) {
	size, n := varint(record)
	if n == 0 || size < uint64(n) || size > uint64(len(record)) {
		return values, false
	}
	kinds, body := record[n:size], record[size:]
	for len(kinds) > 0 {
		kind, n := varint(kinds)
		if n == 0 {
			return values, false
		}
		v, rest, ok := parseValue(kind, body)
		if !ok {
			return values, false
		}
		values, kinds, body = append(values, v), kinds[n:], rest
	}
	return values, len(body) == 0
}

// parseValue reads a value of a kind from the beginning of body.
func parseValue(kind uint64, body []byte) (v value, rest []byte, ok bool) {
	switch {
	case kind == 0:
		return value{tag: tagNull}, body, true
	case kind == 8 || kind == 9:
		return integerValue(int64(kind - 8)), body, true
	case kind < 8:
		return parseNumber(kind, body)
	}
	size := (kind - 12) / 2
	if kind < 12 || size > uint64(len(body)) {
		return value{}, nil, false
	}
	return value{tagBlob - byte(kind%2), size, body[:size]}, body[size:], true
}

func parseNumber(kind uint64, body []byte) (v value, rest []byte, ok bool) {
	size := [...]int{1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8}[kind]
	if size > len(body) {
		return value{}, nil, false
	}
	bits := uint64(int64(int8(body[0]))) // with its sign
	for _, b := range body[1:size] {
		bits = bits<<8 | uint64(b)
	}
	if kind < 7 {
		return value{tag: tagInteger, bits: bits}, body[size:], true
	}
	// SQLite takes what is no number for NULL.
	return value{tag: tagReal, bits: bits}, body[size:], !math.IsNaN(math.Float64frombits(bits))
}

// varint reads a number of one to nine bytes, and tells how many; 0 when it isn't whole.
func varint(b []byte) (n uint64, size int) {
	for i, c := range b[:min(len(b), 9)] {
		if i == 8 {
			return n<<8 | uint64(c), 9
		}
		n = n<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}
