package envelope

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/klauspost/compress/zlib"
)

// ReadStore reads a body of the address /store/, which older SDKs send events to: the
// event's JSON, or that packed by zlib, in base64. The event is repaired by [Repair]. Its
// error is an [*Error], or the connection's.
func ReadStore(body *Body) ([]byte, error) {
	text, err := body.whole(maxEvent)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, malformed("the body is empty")
	}
	if !bytes.HasPrefix(text, []byte{'{'}) {
		if text, err = unpackStore(text); err != nil {
			return nil, err
		}
	}
	return Repair(text), nil
}

// whole is all of the body, up to a limit.
func (b *Body) whole(limit int) ([]byte, error) {
	kept := chunks{pool: &b.unpacker.chunks}
	defer kept.free()
	part := b.unpacker.chunks.Get().(*[chunkSize]byte)
	defer b.unpacker.chunks.Put(part)
	for {
		n, err := b.Read(part[:])
		if kept.size+n > limit {
			return nil, tooLarge("the event is too large")
		}
		if n > 0 {
			if err := b.keep(int64(kept.size + n)); err != nil {
				return nil, err
			}
			kept.add(part[:n])
		}
		if errors.Is(err, io.EOF) {
			return kept.joined(), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func unpackStore(text []byte) ([]byte, error) {
	packed, err := base64.RawStdEncoding.AppendDecode(nil, bytes.TrimRight(text, "="))
	if err != nil {
		return nil, malformed("the body is neither a JSON object nor base64")
	}
	if bytes.HasPrefix(packed, []byte{'{'}) {
		return packed, nil
	}
	unpacked, err := zlib.NewReader(bytes.NewReader(packed))
	if err == nil {
		text, err = atMost(unpacked, maxEvent)
	}
	if _, refused := errors.AsType[*Error](err); err != nil && !refused {
		return nil, malformed("the body's base64 isn't packed by zlib", err)
	}
	return text, err
}

func atMost(from io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = tooLarge("the event is too large")
	}
	return text, err
}

// Repair makes of an SDK's JSON what every decoder reads: null of the NaN and Infinity that
// Python writes, and U+FFFD of bytes that aren't UTF-8 and of halves of surrogate pairs,
// which JavaScript cuts strings into. All else stays as it is, also if it isn't JSON. The
// result is at most three times as long.
func Repair(text []byte) []byte {
	if utf8.Valid(text) && !containsAny(text, `\ud`, `\uD`, "NaN", "Infinity") {
		return text
	}
	var repaired []byte
	done, inString := 0, false
	for at := 0; at < len(text); {
		size, instead := 1, ""
		switch c := text[at]; {
		case c == '"':
			inString = !inString
		case c >= utf8.RuneSelf:
			var r rune
			if r, size = utf8.DecodeRune(text[at:]); r == utf8.RuneError {
				instead = "\ufffd"
			}
		case c == '\\' && inString:
			size, instead = repairEscape(text[at:])
		case (c == 'N' || c == 'I' || c == '-') && !inString:
			size, instead = repairToken(text[at:])
		}
		if instead != "" {
			repaired = append(append(repaired, text[done:at]...), instead...)
			done = at + size
		}
		at += size
	}
	if done == 0 {
		return text
	}
	return append(repaired, text[done:]...)
}

// repairEscape looks at an escape sequence of a string, a pair of surrogates as one: how
// long it is, and what is to stand in its place, if anything.
func repairEscape(text []byte) (size int, instead string) {
	const high, low, end = 0xd800, 0xdc00, 0xe000
	unit := codeUnit(text)
	if unit < high || unit >= end {
		if len(text) > 1 && text[1] < utf8.RuneSelf {
			return 2, "" // the digits of \u1234 are like other letters
		}
		return 1, ""
	}
	if next := codeUnit(text[6:]); unit < low && next >= low && next < end {
		return 12, ""
	}
	return 6, `\ufffd`
}

// codeUnit is the value of \u1234, or -1.
func codeUnit(text []byte) int64 {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return int64(unit)
}

func repairToken(text []byte) (size int, instead string) {
	for _, token := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(text, []byte(token)) {
			return len(token), "null"
		}
	}
	return 1, ""
}

func containsAny(text []byte, parts ...string) bool {
	for _, part := range parts {
		if bytes.Contains(text, []byte(part)) {
			return true
		}
	}
	return false
}
