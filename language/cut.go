package language

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Cut is the beginning of a text, of at most n characters. A letter isn't parted from its
// marks (Unicode Standard Annex 15, normalization boundaries), and what isn't UTF-8 is
// left out.
func Cut(text string, n int) string {
	if len(text) <= n || utf8.RuneCountInString(text) <= n {
		return strings.ToValidUTF8(text, "")
	}
	if isASCII(text[:n+1]) { // in which nothing goes together
		return text[:n]
	}
	end := 0
	for left := n; end < len(text); {
		length := norm.NFC.NextBoundaryInString(text[end:], true)
		if left -= utf8.RuneCountInString(text[end : end+length]); left < 0 {
			break
		}
		end += length
	}
	return strings.ToValidUTF8(text[:end], "")
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Line is a text in one line, without what could speak to a terminal or turn the order of
// letters: it may be a stranger's.
func Line(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }), " ")
}
