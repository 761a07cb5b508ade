package condition

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"manus/language"
)

// kind is what a value can be.
type kind string

const (
	number   kind = "a number"
	span     kind = "a span of time"
	text     kind = "a text"
	list     kind = "a list"
	boolean  kind = "true or false"
	null     kind = "null"
	object   kind = "an object"
	anything kind = "JSON"
)

// kindOf is a value's kind; empty for what is missing or unknown.
func kindOf(v any) kind {
	switch v.(type) {
	case float64:
		return number
	case time.Duration:
		return span
	case string:
		return text
	case []any:
		return list
	case bool:
		return boolean
	case nil:
		return null
	case map[string]any:
		return object
	}
	return ""
}

// operand is one side of a comparison: a literal, or a subject with a path.
type operand struct {
	kind    kind
	literal any
	subject Subject // empty for a literal
	path    []step
	length  bool // what is compared is its length
}

// isEach tells whether the operand is several values.
func (o *operand) isEach() bool { return !o.length && slices.ContainsFunc(o.path, step.isEach) }

// step leads to a member: of an object by its name, of a list by its index, or to each.
type step struct {
	name          string
	index         int
	isIndex, each bool
}

func (s step) isEach() bool { return s.each }

func (o *operand) isLiteral() bool { return o.subject == "" }

func (o *operand) value(seen *Observation) any {
	if o.isLiteral() {
		return o.literal
	}
	v := seen.value(o.subject, o.path)
	if o.length {
		return length(v)
	}
	return v
}

// length is a value's; of what has none it is missing.
func length(v any) any {
	switch v := v.(type) {
	case string:
		return float64(utf8.RuneCountInString(v))
	case []any:
		return float64(len(v))
	case each:
		return float64(len(v))
	case map[string]any:
		return float64(len(v))
	case unknown:
		return v
	}
	return missing{}
}

// state is whether something holds. The contrary of what can't be known can't either.
type state byte

const (
	fails state = iota
	holds
	unknowable
)

// result is a state, and the comparison that decided it with what it found.
type result struct {
	state state
	of    *comparison
	got   any
}

// node is a part of a condition.
type node interface {
	evaluate(o *Observation) result
}

type (
	or  []node
	and []node
	not struct{ node }
)

func (n or) evaluate(o *Observation) result {
	var last result
	for _, part := range n {
		r := part.evaluate(o)
		if r.state == holds {
			return r
		}
		if last.of == nil || r.state == unknowable && last.state == fails {
			last = r
		}
	}
	return last
}

func (n and) evaluate(o *Observation) result {
	var r result
	for _, part := range n {
		if r = part.evaluate(o); r.state != holds {
			return r
		}
	}
	return r
}

func (n not) evaluate(o *Observation) result {
	r := n.node.evaluate(o)
	switch r.state {
	case holds:
		r.state = fails
	case fails:
		r.state = holds
	}
	return r
}

// comparison is of two sides; one of them at least is a subject.
type comparison struct {
	name        string // the subject's, as it was written
	left, right operand
	operator    string
	pattern     *regexp.Regexp // of matches
}

func (c *comparison) evaluate(o *Observation) result {
	if c.pattern != nil && o.isLate() {
		return result{unknowable, c, unknown{En: "the patterns take too long", Ar: "تستغرق الأنماط وقتًا أطول مما ينبغي"}}
	}
	left, right := c.left.value(o), c.right.value(o)
	all, many := left.(each)
	if !many {
		return result{c.compare(left, right), c, left}
	}
	r := result{unknowable, c, left} // of none nothing is known
	for _, one := range all {
		if r = (result{c.compare(one, right), c, one}); r.state != holds {
			break
		}
	}
	return r
}

// compare tells whether the comparison holds of two values.
func (c *comparison) compare(left, right any) state {
	for _, side := range []any{left, right} {
		if _, no := side.(unknown); no {
			return unknowable
		}
	}
	_, noLeft := left.(missing)
	_, noRight := right.(missing)
	if noLeft || noRight {
		return c.withMissing(left, right)
	}
	switch c.operator {
	case "==":
		return stateOf(equal(left, right))
	case "!=":
		return stateOf(!equal(left, right))
	case "in":
		return stateOf(slices.ContainsFunc(right.([]any), func(member any) bool { return equal(left, member) }))
	case "contains":
		return contains(left, right)
	case "matches":
		written, ok := left.(string)
		if !ok {
			return unknowable
		}
		return stateOf(c.pattern.MatchString(written))
	}
	return c.ordered(left, right)
}

// withMissing compares what isn't there: it is null, and nothing else is known of it.
func (c *comparison) withMissing(left, right any) state {
	isNull := func(v any) bool {
		_, no := v.(missing)
		return no || v == nil
	}
	switch {
	case c.operator == "==" && isNull(left) && isNull(right):
		return holds
	case c.operator == "!=" && isNull(left) && isNull(right):
		return fails
	}
	return unknowable
}

func stateOf(so bool) state {
	if so {
		return holds
	}
	return fails
}

// equal tells of values without members whether they are the same, and of others that
// they aren't.
func equal(a, b any) bool {
	switch a.(type) {
	case float64, time.Duration, string, bool, nil:
		return kindOf(a) == kindOf(b) && a == b
	}
	return false
}

func contains(in, what any) state {
	switch in := in.(type) {
	case string:
		piece, ok := what.(string)
		if !ok {
			return unknowable
		}
		return stateOf(strings.Contains(in, piece))
	case []any:
		return stateOf(slices.ContainsFunc(in, func(member any) bool { return equal(member, what) }))
	}
	return unknowable
}

// ordered is <, <=, > and >=, of two numbers or two spans of time.
func (c *comparison) ordered(left, right any) state {
	var order int
	a, isNumber := left.(float64)
	b, alsoNumber := right.(float64)
	x, isSpan := left.(time.Duration)
	y, alsoSpan := right.(time.Duration)
	switch {
	case isNumber && alsoNumber:
		order = cmp.Compare(a, b)
	case isSpan && alsoSpan:
		order = cmp.Compare(x, y)
	default:
		return unknowable
	}
	switch c.operator {
	case "<":
		return stateOf(order < 0)
	case "<=":
		return stateOf(order <= 0)
	case ">":
		return stateOf(order > 0)
	}
	return stateOf(order >= 0)
}

// maxShown is how much of a value is shown, in bytes.
const maxShown = 100

// found says what a comparison found.
func (r result) found() language.Text {
	name := r.of.name
	is := func(en, ar string) language.Text {
		return language.Text{En: fmt.Sprintf("%s is %s", name, en), Ar: fmt.Sprintf("%s: %s", language.Arabic.Isolate(name), ar)}
	}
	switch got := r.got.(type) {
	case unknown:
		return language.Text(got)
	case missing:
		return is("missing", "غير موجود")
	case each:
		return language.Text{En: name + " leads to nothing", Ar: language.Arabic.Isolate(name) + ": لا يوجد شيء"}
	case time.Duration:
		shown := got.Round(time.Millisecond).String()
		return is(shown, language.Arabic.Isolate(shown))
	case float64:
		shown := strconv.FormatFloat(math.Round(got*1000)/1000, 'f', -1, 64)
		return is(shown, shown)
	case string:
		if r.of.left.subject == Body {
			return language.Text{En: "the body isn't so", Ar: "جسم الرد ليس كذلك"}
		}
		shown := strconv.Quote(language.Cut(language.Line(got), maxShown))
		return is(shown, language.Arabic.Isolate(shown))
	}
	shown, _ := json.Marshal(r.got) // it was made from JSON, or is a list of texts
	line := language.Cut(language.Line(string(shown)), maxShown)
	return is(line, language.Arabic.Isolate(line))
}
