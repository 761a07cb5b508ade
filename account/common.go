package account

import (
	_ "embed"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"
)

//go:embed common-passwords.txt
var commonPasswords string

// common are the passwords that are guessed first, in lower case.
var common = sync.OnceValue(func() map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(commonPasswords) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			found[strings.ToLower(line)] = true
		}
	}
	return found
})

// guessable tells whether a password is among the first to be guessed: a common
// one, or what is known of the person or the service, also with digits after it.
func guessable(password, email, fullName string) bool {
	word := strings.ToLower(norm.NFKC.String(password))
	if common()[word] {
		return true
	}
	local, domain, _ := strings.Cut(strings.ToLower(email), "@")
	site, _, _ := strings.Cut(domain, ".")
	stem := strings.TrimRight(word, "0123456789!.-_")
	for _, known := range []string{strings.ToLower(email), local, domain, site, "manus", strings.ToLower(fullName), strings.ToLower(strings.ReplaceAll(fullName, " ", ""))} {
		if known != "" && (word == known || stem == known) {
			return true
		}
	}
	return strings.Count(word, word[:1]) == len(word) // one character again and again
}
