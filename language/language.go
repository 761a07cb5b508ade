// Package language is a text in English and Arabic: which of the two a request
// asks for, direction, plural forms, numbers and dates. It is a leaf and holds
// nobody's words: those stand beside the page, the mail or the error that they
// belong to.
package language

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	cldr "golang.org/x/text/language"

	"manus/internal/cache"
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
	if !slices.Contains(header["Vary"], "Accept-Language") {
		header.Add("Vary", "Accept-Language")
	}
}

// Isolate puts a piece of text that may run in the other direction, such as an
// address or a date, between Unicode's isolates, so that plain text around it does
// not change its order; in HTML <bdi> does that. English text is not changed: left
// to right is what such pieces have anyway.
func (t Tag) Isolate(text string) string {
	const firstStrong, pop = "\u2068", "\u2069"
	return Text{En: text, Ar: firstStrong + text + pop}.In(t)
}

// Quote is a text that may be a stranger's as a piece of a sentence of ours: a [Line],
// isolated.
func (t Tag) Quote(foreign string) string { return t.Isolate(Line(foreign)) }

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

// Both is what is said in each of the languages.
func Both(say func(Tag) string) Text { return Text{En: say(English), Ar: say(Arabic)} }

// Then is the text and another sentence behind it; each may be nothing.
func (t Text) Then(next Text) Text {
	return Both(func(tag Tag) string { return strings.TrimSpace(t.In(tag) + " " + next.In(tag)) })
}

// Quoting is the text with values, which may be strangers', in the places of #, in turn.
// See [Tag.Quote].
func (t Text) Quoting(values ...string) Text {
	return Text{En: English.quoting(t.En, values), Ar: Arabic.quoting(t.Ar, values)}
}

func (t Tag) quoting(text string, values []string) string {
	var b strings.Builder
	for _, value := range values { // a # in a value is no place for the next one
		before, after, _ := strings.Cut(text, "#")
		b.WriteString(before + t.Quote(value))
		text = after
	}
	return b.String() + text
}

// maxPreferences bounds the list of preferences that is looked at, in bytes.
const maxPreferences = 256

// dialects of Arabic have codes of their own; their readers read Arabic. They are
// those that CLDR lists, which x/text doesn't know to be related to "ar".
const dialects = "aao abh abv acm acq acw acx acy adf aeb aec afb ajp apc apd arq ars ary arz auz avl ayh ayl ayn ayp bbz pga shu ssh"

var matcher = newMatcher()

// newMatcher matches English first: what it returns for no match at all.
func newMatcher() cldr.Matcher {
	spoken := []cldr.Tag{cldr.English, cldr.Arabic}
	for dialect := range strings.FieldsSeq(dialects) {
		spoken = append(spoken, cldr.Make(dialect))
	}
	return cldr.NewMatcher(spoken)
}

// Prefer is the language that a list of preferences, in the syntax of
// Accept-Language, asks for. English where it asks for neither, is longer than
// anybody's, or can't be read.
func Prefer(list string) Tag {
	if len(list) > maxPreferences {
		return English
	}
	tag, _ := preferred.Load(list, func() (Tag, error) { return prefer(list), nil })
	return tag
}

// preferred are the answers for lists that browsers have sent: they send few.
var preferred = cache.New[string, Tag](0, 500)

func prefer(list string) Tag {
	wanted, _, err := cldr.ParseAcceptLanguage(list)
	if err != nil {
		return English
	}
	if i := slices.Index(wanted, anyLanguage); i >= 0 { // what is named comes first
		wanted = append(slices.Delete(wanted, i, i+1), others(list))
	}
	// Without confidence it is the script alone that matched: Persian isn't Arabic.
	_, i, confidence := matcher.Match(wanted...)
	if i == 0 || confidence == cldr.No {
		return English
	}
	return Arabic
}

// anyLanguage is what x/text reads "*" as.
var anyLanguage = cldr.MustParse("mul")

// others is what "*" stands for in a list: what the list doesn't name.
func others(list string) cldr.Tag {
	for entry := range strings.SplitSeq(list, ",") {
		name, _, _ := strings.Cut(entry, ";")
		name, _, _ = strings.Cut(strings.TrimSpace(name), "-")
		if strings.EqualFold(name, string(English)) {
			return cldr.Arabic
		}
	}
	return cldr.English
}

// Choose is the language that a request asks for: the one that its query names as
// lang, or else the one that the client prefers.
func Choose(r *http.Request) Tag {
	values, _ := url.ParseQuery(r.URL.RawQuery) // what can be read of it counts
	if asked := Tag(strings.ToLower(values.Get("lang"))); asked == English || asked == Arabic {
		return asked
	}
	return Prefer(strings.Join(r.Header.Values("Accept-Language"), ","))
}

// Key is the key under which a context has a func() Tag.
type Key struct{}

// From is the language that the context carries; English when it carries none.
func From(ctx context.Context) Tag {
	if found, ok := ctx.Value(Key{}).(func() Tag); ok {
		return found()
	}
	return English
}
