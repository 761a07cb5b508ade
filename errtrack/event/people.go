package event

import (
	"net/netip"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What people and their machines are reached at, in texts. Versions (shop@1.4.2) aren't.
var (
	mails     = regexp.MustCompile(`[\pL\pN._%+'-]+@(?:[\pL\pN-]+\.)+\pL{2,}`)
	addresses = regexp.MustCompile(`\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?:\.\d{1,3}){0,3}`)
)

// WithoutPeople is a text without addresses of mail and of machines, for what leaves the inbox:
// an alert goes to chats and logs, where nobody looks for people.
func WithoutPeople(text string) string {
	text = mails.ReplaceAllString(text, "[e-mail]")
	var b strings.Builder
	done := 0
	for _, at := range addresses.FindAllStringIndex(text, -1) {
		if isAddress(text[at[0]:at[1]]) && !inWord(text, at[0], at[1]) {
			b.WriteString(text[done:at[0]] + "[address]")
			done = at[1]
		}
	}
	return b.String() + text[done:]
}

// isAddress tells whether it is an address of a machine that isn't just this one.
func isAddress(text string) bool {
	ip, err := netip.ParseAddr(text)
	return err == nil && strings.ContainsAny(text, "0123456789") && !ip.IsLoopback() && !ip.IsUnspecified()
}

// inWord tells whether a part of a text is a part of a word, as "d::" of "Record::NotFound".
func inWord(text string, from, to int) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:from])
	after, _ := utf8.DecodeRuneInString(text[to:])
	is := func(r rune) bool {
		return r == '_' || r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
	}
	return is(before) || is(after)
}
