// Package condition is what has to hold of a check's result for its target to be up:
//
//	status == 200
//	status in [200, 204] || status == 301
//	latency < 2s && certificate.days > 14
//	header.content-type contains "json"
//	json.status == "healthy"
//	json.checks[*].state == "ok"
//	body matches '^OK\b'
//	dns.answer contains "192.0.2.7"
//
// A text is compiled once and evaluated after each check. Evaluating takes time in
// proportion to the body, calls nothing and can't fail: what isn't known, such as
// certificate.days over plain HTTP, doesn't hold, and neither does its contrary. What
// checks are, and whether a target that fails one is down, it doesn't know.
//
// # Subjects
//
// What a condition is about:
//
//   - status, a number; latency, a span of time; body, a text.
//   - header.name, a text; several of one name are joined with ", ".
//   - json, the body as JSON, with a path after it: .name, ["any name"], [0], [-1] for the
//     last one, [*] for each. A comparison of a path with [*] has to hold of each value,
//     and of at least one.
//   - certificate.days and domain.days, numbers with a fraction: until it expires.
//   - dns.answer, a list of texts; dns.rcode, a text such as "NOERROR".
//   - len(…), a number: the characters of a text, the members of a list or an object.
//
// # Comparisons
//
// ==, !=, <, <=, >, >=, contains (a text in a text, a value in a list), matches (a
// regular expression of Go's) and in (one of a list). They are joined by && and ||, turned
// round by !, and grouped by parentheses. A path alone stands for path == true. A name
// that JSON doesn't have is null, and is otherwise not known.
//
// Texts stand in double quotes with Go's escapes, or in single quotes as they are.
package condition

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"manus/language"
)

// Condition is one that has been compiled. It is not changed by use.
type Condition struct {
	text string
	root node
	uses []Subject
}

// String is the text that it was compiled from.
func (c *Condition) String() string { return c.text }

// Subjects are what the condition is about.
func (c *Condition) Subjects() []Subject { return c.uses }

// Error is why a text is no condition.
type Error struct {
	Text    string // the condition
	At      int    // the byte of it that is wrong
	Message string
}

// Error is the message and, below it, the text with a caret under the place.
func (e *Error) Error() string {
	const excerpt = 60 // of a text that is longer, on either side
	line := strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, strings.ToValidUTF8(e.Text[:e.At], "?")) // as wide as what is shown
	after := language.Line(language.Cut(e.Text[e.At:], excerpt))
	if left := utf8.RuneCountInString(line) - excerpt; left > 0 {
		line = "…" + string([]rune(line)[left:])
	}
	return fmt.Sprintf("%s\n    %s%s\n    %s^", e.Message, line, after, strings.Repeat(" ", utf8.RuneCountInString(line)))
}

// maxText is how long a condition may be, in bytes.
const maxText = 1000

// Compile reads a condition. The error is an *Error.
func Compile(text string) (*Condition, error) {
	if len(text) > maxText {
		return nil, &Error{text, maxText, "the condition is longer than 1000 bytes"}
	}
	p := &parser{text: text}
	root, err := p.condition()
	if err != nil {
		return nil, err
	}
	return &Condition{text, root, p.uses}, nil
}

// Verdict is whether a condition holds.
type Verdict struct {
	Holds bool
	// Found is why it doesn't: what was found instead, in one line. Of a body it has
	// nothing, of values in JSON, headers and answers the beginning.
	Found language.Text
}

// Evaluate tells whether the condition holds of what was observed.
func (c *Condition) Evaluate(o *Observation) Verdict {
	r := c.root.evaluate(o)
	if r.state == holds {
		return Verdict{Holds: true}
	}
	return Verdict{Found: r.found()}
}
