package sourcemap

import (
	"strconv"

	"manus/language"
)

// Context is the text of a source around a line of it, counted from 1, with at most so many
// lines before and after, and never more than [MaxAround]; each is cut to [MaxLine]. It is
// false where the map doesn't have the source's text, or the text not that line.
func (m *Map) Context(source string, line, around int) (before []string, at string, after []string, ok bool) {
	text := m.sourceText(source)
	around = min(max(around, 0), MaxAround)
	for number, i := 1, 0; i < len(text) && number-around <= line; number++ {
		end, next := lineEnd(text, i)
		switch {
		case number < line-around:
		case number < line:
			before = append(before, shown(text[i:end], MaxLine))
		case number == line:
			at, ok = shown(text[i:end], MaxLine), true
		default:
			after = append(after, shown(text[i:end], MaxLine))
		}
		i = next
	}
	if !ok {
		return nil, "", nil, false
	}
	return before, at, after, true
}

// sourceText is a source's text as it stands in JSON, without its quotes.
func (m *Map) sourceText(name string) []byte {
	for _, s := range m.sources {
		if s.name == name && s.text.from < s.text.to {
			return m.data[s.text.from+1 : s.text.to-1]
		}
	}
	return nil
}

// lineEnd is where the line that stands at i ends, and where the next begins. Lines end as
// JavaScript's do.
func lineEnd(json []byte, i int) (end, next int) {
	for i < len(json) {
		r, size := character(json[i:])
		if !isLineEnd(r) {
			i += size
			continue
		}
		end, i = i, i+size
		if r == '\r' && i < len(json) {
			if r, size := character(json[i:]); r == '\n' {
				i += size
			}
		}
		return end, i
	}
	return i, i
}

func isLineEnd(r rune) bool { return r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' }

// character is the one that a string of JSON begins with, and how many bytes it takes, as far
// as lines are concerned: of what can't end a line it may be only a byte.
func character(json []byte) (r rune, size int) {
	switch c := json[0]; {
	case c == '\\':
		return escaped(json)
	case c == 0xe2 && len(json) > 2 && json[1] == 0x80 && json[2]&^1 == 0xa8:
		return '\u2028', 3
	default:
		return rune(c), 1
	}
}

func escaped(json []byte) (r rune, size int) {
	switch {
	case len(json) < 2:
		return 0, 1
	case json[1] == 'n':
		return '\n', 2
	case json[1] == 'r':
		return '\r', 2
	case json[1] == 'u' && len(json) >= 6:
		code, _ := strconv.ParseUint(string(json[2:6]), 16, 16)
		return rune(code), 6
	}
	return 0, 2
}

// shown is the text of a string of JSON, without its quotes, cut to so many characters; most of
// it before it is decoded.
func shown(json []byte, most int) string {
	enough := 12 * most // bytes: a character can be two escapes
	end := 0
	for end < len(json) && end < enough {
		_, size := character(json[end:])
		end += size
	}
	quoted := append(append([]byte{'"'}, json[:end]...), '"')
	return language.Cut(unquoted(quoted), most)
}
