package trace

import (
	"cmp"
	"regexp"
	"strings"

	"manus/language"
)

// What stands for names that a program didn't give.
const (
	noName = "<unlabeled transaction>"
	noOp   = "default"
)

// route is what a transaction is called: its name, of which the parameters are left out
// where the program doesn't know its routes and says so, or doesn't say.
func route(name, source string) string {
	switch source {
	case "url", "unknown", "":
		name = withoutParameters(name)
	}
	return cmp.Or(printable(name, MaxRoute), noName)
}

func op(name string) string { return cmp.Or(printable(name, MaxOp), noOp) }

// withoutParameters is a path, or a URL with what is before it, as all are called that
// differ in numbers, ids and such alone: "GET /users/123?tab=2" is "GET /users/*".
func withoutParameters(name string) string {
	parts := strings.Split(language.Cut(name, 4*MaxRoute), "/")
	if len(parts) == 1 {
		return name
	}
	for i, part := range parts {
		part, _, end := cutAny(part, "?#")
		if i > 0 && isParameter(part) {
			part = "*"
		}
		if parts[i] = part; end {
			parts = parts[:i+1]
			break
		}
	}
	return strings.Join(parts, "/")
}

func cutAny(text, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(text, chars); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

// parameter is what no part of a route's path is like: numbers and dates, three
// digits in a row, long hexadecimal numbers (UUIDs among them), addresses of mail, and what is escaped.
var parameter = regexp.MustCompile(`^[0-9][0-9.:_-]*$|[0-9]{3}|^[0-9a-fA-F-]{16,}$|[@%=]`)

// A part as long as that isn't of a route; one half as long isn't when it has a digit.
const longPart = 32

func isParameter(part string) bool {
	return len(part) >= longPart || len(part) >= longPart/2 && strings.ContainsAny(part, "0123456789") || parameter.MatchString(part)
}

// printable is a name within bounds that stands on one line.
func printable(name string, most int) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, language.Cut(name, most))
	return strings.TrimSpace(name)
}
