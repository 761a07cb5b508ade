// Package language is a text in English and Arabic: which of the two a request
// asks for, direction, plural forms, numbers and dates. It is a leaf and holds
// nobody's words: those stand beside the page, the mail or the error that they
// belong to.
package language

import (
	"cmp"
	"net/http"
)

// Tag names one of the two languages, as BCP 47 does. The zero Tag, and one that
// is neither, is English.
type Tag string

// The languages.
const (
	English Tag = "en"
	Arabic  Tag = "ar"
)

// String is the tag as HTML's lang and Content-Language take it.
func (t Tag) String() string { return Text{En: string(English), Ar: string(Arabic)}.In(t) }

// Direction is the one that the language is written in, as HTML's dir takes it.
func (t Tag) Direction() string { return Text{En: "ltr", Ar: "rtl"}.In(t) }

// Mark says in an answer's headers which language it is in, and that another
// request would have got another one.
func (t Tag) Mark(header http.Header) {
	header.Set("Content-Language", t.String())
	header.Add("Vary", "Accept-Language")
}

// Isolate puts a piece of text that may run in the other direction, such as an
// address or a date, between Unicode's isolates, so that plain text around it does
// not change its order; in HTML <bdi> does that. English text is not changed: left
// to right is what such pieces have anyway.
func (t Tag) Isolate(text string) string {
	const firstStrong, pop = "\u2068", "\u2069"
	return Text{En: text, Ar: firstStrong + text + pop}.In(t)
}

// Text says the same in both languages.
type Text struct {
	En string `json:"en" yaml:"en"`
	Ar string `json:"ar,omitempty" yaml:"ar,omitempty"`
}

// In is the text in a language, or in the other one where it has no words in it.
func (t Text) In(tag Tag) string {
	if tag == Arabic {
		return cmp.Or(t.Ar, t.En)
	}
	return cmp.Or(t.En, t.Ar)
}
