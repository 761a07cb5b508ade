// Package shellword writes texts so that a shell takes them for one word.
package shellword

import "regexp"

var (
	plain   = regexp.MustCompile(`^[\w@%+=:,./-][\w@%+=:,./#-]*$`)
	special = regexp.MustCompile("[\\\\\"$`]")
)

// Quote is a text as one word of a POSIX shell: in double quotes where it has to be.
func Quote(text string) string {
	if plain.MatchString(text) {
		return text
	}
	return `"` + special.ReplaceAllString(text, `\$0`) + `"`
}
