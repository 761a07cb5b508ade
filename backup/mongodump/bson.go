package mongodump

import (
	"bytes"
	"encoding/binary"
)

// maxDepth is how deep documents may be nested: MongoDB's own limit is 200.
const maxDepth = 256

// wellFormed tells whether the bytes are one BSON document, as bsonspec.org has it,
// as far as reading it needs: all lengths are right, all strings and documents end,
// every type is known. It doesn't recurse, so it can't be made to by foreign bytes.
func wellFormed(document []byte) bool {
	var ends [maxDepth]int // of the documents that the position is in
	depth, at := 0, 0
	for at == 0 || depth > 0 {
		if at == 0 {
			end, ok := documentEnd(document, 0, len(document))
			if !ok || end != len(document) {
				return false
			}
			ends[0], depth, at = end, 1, 4
			continue
		}
		end := ends[depth-1]
		if at == end-1 { // its last byte is 0, which documentEnd has seen
			at, depth = end, depth-1
			continue
		}
		kind := document[at]
		name := bytes.IndexByte(document[at+1:end-1], 0)
		if name < 0 {
			return false
		}
		at += 1 + name + 1
		if inner, nested := nestedAt(document, kind, at, end-1); nested {
			if inner < 0 || depth == maxDepth {
				return false
			}
			ends[depth], depth = inner, depth+1
			at = innerStart(kind, document, at)
			continue
		}
		size := valueSize(kind, document[at:end-1])
		if size < 0 || at+size > end-1 {
			return false
		}
		at += size
	}
	return true
}

// documentEnd is where the document that begins at a position ends, at limit at most.
func documentEnd(text []byte, at, limit int) (end int, ok bool) {
	if at+minDocument > limit {
		return 0, false
	}
	size := binary.LittleEndian.Uint32(text[at:])
	if size < minDocument || uint64(size) > uint64(limit-at) {
		return 0, false
	}
	end = at + int(size)
	return end, text[end-1] == 0
}

// The types of BSON that have documents in them.
const (
	kindDocument = 0x03
	kindArray    = 0x04
	kindScoped   = 0x0f // a length, a string of JavaScript, a document
)

// nestedAt is the end of the document that a value has in it, or negative when it
// isn't right.
func nestedAt(text []byte, kind byte, at, limit int) (end int, nested bool) {
	switch kind {
	case kindDocument, kindArray:
	case kindScoped:
		size := valueSize(0x02, text[min(at+4, limit):limit])
		if size < 0 || at+4+size > limit {
			return -1, true
		}
		whole := binary.LittleEndian.Uint32(text[at:])
		at += 4 + size
		if end, ok := documentEnd(text, at, limit); !ok || uint64(4+size+end-at) != uint64(whole) {
			return -1, true
		}
	default:
		return 0, false
	}
	end, ok := documentEnd(text, at, limit)
	if !ok {
		return -1, true
	}
	return end, true
}

// innerStart is where the first field of the document in a value is.
func innerStart(kind byte, text []byte, at int) int {
	if kind == kindScoped {
		at += 4 + 4 + int(binary.LittleEndian.Uint32(text[at+4:]))
	}
	return at + 4
}

// valueSize is how many bytes a value without documents has, or negative for one that
// isn't right. It may be more than there are.
func valueSize(kind byte, value []byte) int {
	switch kind {
	case 0x06, 0x0a, 0x7f, 0xff: // undefined, null, greatest key, least key
		return 0
	case 0x08: // boolean
		if len(value) < 1 || value[0] > 1 {
			return -1
		}
		return 1
	case 0x10: // int32
		return 4
	case 0x01, 0x09, 0x11, 0x12: // double, time, timestamp, int64
		return 8
	case 0x07: // ObjectID
		return 12
	case 0x13: // decimal
		return 16
	case 0x02, 0x0d, 0x0e: // string, JavaScript, symbol
		return stringSize(value, 0)
	case 0x0c: // a pointer: a string and an ObjectID
		return stringSize(value, 12)
	case 0x05: // binary: a length, a subtype, the bytes
		if len(value) < 5 || binary.LittleEndian.Uint32(value) > maxDocument {
			return -1
		}
		return 5 + int(binary.LittleEndian.Uint32(value))
	case 0x0b: // a regular expression: two texts that end with 0
		pattern := bytes.IndexByte(value, 0)
		flags := bytes.IndexByte(value[pattern+1:], 0)
		if pattern < 0 || flags < 0 {
			return -1
		}
		return pattern + 1 + flags + 1
	}
	return -1
}

// stringSize is that of a length, the text with a 0 at its end, and more.
func stringSize(value []byte, more int) int {
	if len(value) < 5 {
		return -1
	}
	size := binary.LittleEndian.Uint32(value)
	if size < 1 || uint64(size) > uint64(len(value)-4) || value[4+size-1] != 0 {
		return -1
	}
	return 4 + int(size) + more
}
