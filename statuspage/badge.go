package statuspage

import (
	"fmt"
	"html/template"
	"unicode/utf8"

	"manus/design"
	"manus/language"
)

// Measures of a badge, in its units.
const (
	badgeHeight = 22
	badgePad    = 9
	letterWidth = 6.6 // of the middle of what 11 units high letters are wide
)

// badge is how a component is, as a picture for another site: its name and a word, in colours
// that both can be read in.
func badge(name string, s Status, tag language.Tag) []byte {
	word := statusWords[s].In(tag)
	width := func(text string) int { return int(float64(utf8.RuneCountInString(text))*letterWidth) + 2*badgePad }
	left, right := width(name), width(word)
	colour := design.Light()[s.level().Class()]
	nameAt, wordAt, split := left/2, left+right/2, left
	if tag == language.Arabic { // the name first, which is at the right
		nameAt, wordAt, split = right+left/2, right/2, right
	}
	names, words := `fill="#3a444b"`, fmt.Sprintf(`fill="#%02x%02x%02x"`, colour[0], colour[1], colour[2])
	first, second := names, words
	if tag == language.Arabic {
		first, second = words, names
	}
	escaped := template.HTMLEscapeString
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" role="img" aria-label="%[3]s: %[4]s" xml:lang="%[9]s">`+
		`<title>%[3]s: %[4]s</title><clipPath id="r"><rect width="%[1]d" height="%[2]d" rx="4"/></clipPath>`+
		`<g clip-path="url(#r)"><rect width="%[5]d" height="%[2]d" %[6]s/><rect x="%[5]d" width="%[1]d" height="%[2]d" %[7]s/></g>`+
		`<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,Noto Sans Arabic,sans-serif" font-size="11" direction="%[8]s"><text x="%[10]d" y="15">%[3]s</text><text x="%[11]d" y="15">%[4]s</text></g></svg>`,
		left+right, badgeHeight, escaped(name), escaped(word), split, first, second, tag.Direction(), tag, nameAt, wordAt)
}
