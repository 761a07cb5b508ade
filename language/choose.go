package language

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	cldr "golang.org/x/text/language"
)

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
	wanted, _, err := cldr.ParseAcceptLanguage(list)
	if err != nil {
		return English
	}
	// Without confidence it is the script alone that matched: Persian isn't Arabic.
	_, i, confidence := matcher.Match(wanted...)
	if i == 0 || confidence == cldr.No {
		return English
	}
	return Arabic
}

// Choose is the language that a request asks for: the one that its query names as
// lang, or else the one that the client prefers.
func Choose(r *http.Request) Tag {
	values, _ := url.ParseQuery(r.URL.RawQuery) // what can be read of it counts
	if asked := Tag(values.Get("lang")); asked == English || asked == Arabic {
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
