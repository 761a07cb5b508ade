package language

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Cut is the beginning of a text, of at most n characters. A letter isn't parted from its
// marks (Unicode Standard Annex 15, normalization boundaries), and what isn't UTF-8 is
// left out.
func Cut(text string, n int) string {
	if len(text) <= n {
		return strings.ToValidUTF8(text, "")
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
