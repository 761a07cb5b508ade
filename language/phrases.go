package language

import (
	"regexp"
	"strings"
)

// Phrases are what a library or a parser says in English, in Arabic too. %s stands for what differs,
// which may be another of them.
type Phrases []phrase

type phrase struct {
	Text
	said *regexp.Regexp
}

// NewPhrases are phrases of texts; of several that fit the first one counts.
func NewPhrases(texts ...Text) Phrases {
	p := make(Phrases, len(texts))
	for i, text := range texts {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(text.En), "%s", "(.*)")
		p[i] = phrase{text, regexp.MustCompile("(?s)^" + pattern + "$")}
	}
	return p
}

// Find is a message in both languages, with what differs isolated; in English alone where no phrase
// is known for it.
func (p Phrases) Find(message string) (text Text, known bool) {
	for _, phrase := range p {
		if values := phrase.said.FindStringSubmatch(message); values != nil {
			var said strings.Builder
			rest := phrase.Ar
			for _, value := range values[1:] {
				before, after, _ := strings.Cut(rest, "%s")
				said.WriteString(before + p.part(message, value))
				rest = after
			}
			return Text{En: message, Ar: said.String() + rest}, true
		}
	}
	return Text{En: message}, false
}

// part is what differs in a message, in Arabic.
func (p Phrases) part(message, value string) string {
	if value != message {
		if text, known := p.Find(value); known {
			return text.Ar
		}
	}
	return Arabic.Isolate(value)
}
