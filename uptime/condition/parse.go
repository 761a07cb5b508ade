package condition

import (
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The grammar, in the order of the functions below:
//
//	condition  = and { "||" and }
//	and        = not { "&&" not }
//	not        = "!" not | "(" condition ")" | comparison
//	comparison = operand [ operator operand ]
//	operand    = literal | list | "len(" operand ")" | subject { "." name | "[" key "]" }
//	list       = "[" literal { "," literal } "]"
//	literal    = number | span of time | text | "true" | "false" | "null"
type parser struct {
	text string
	at   int
	uses []Subject
}

// fail is an error at a place.
func (p *parser) fail(at int, format string, args ...any) error {
	return &Error{p.text, at, fmt.Sprintf(format, args...)}
}

func (p *parser) condition() (node, error) {
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.text) {
		return nil, p.unexpected("&&, || or the end")
	}
	return root, nil
}

func (p *parser) or() (node, error) {
	return p.joined("||", p.and, func(all []node) node { return or(all) })
}

func (p *parser) and() (node, error) {
	return p.joined("&&", p.not, func(all []node) node { return and(all) })
}

// joined reads parts with an operator between them.
func (p *parser) joined(operator string, part func() (node, error), join func([]node) node) (node, error) {
	var all []node
	for {
		n, err := part()
		if err != nil {
			return nil, err
		}
		all = append(all, n)
		if !p.take(operator) {
			break
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return join(all), nil
}

func (p *parser) not() (node, error) {
	switch {
	case p.take("!"):
		n, err := p.not()
		return not{n}, err
	case p.take("("):
		n, err := p.or()
		if err == nil && !p.take(")") {
			err = p.unexpected("a closing parenthesis")
		}
		return n, err
	}
	return p.comparison()
}

func (p *parser) comparison() (node, error) {
	p.space()
	c := &comparison{}
	start := p.at
	var err error
	if c.left, err = p.operand(); err != nil {
		return nil, err
	}
	c.name = strings.TrimSpace(p.text[start:p.at])
	p.space()
	place := p.at
	c.operator = p.operator()
	if c.operator == "" {
		if c.left.kind != anything {
			return nil, p.unexpected("a comparison, such as ==")
		}
		c.operator, c.right = "==", operand{kind: boolean, literal: true}
		return c, nil
	}
	p.space()
	right := p.at
	if c.right, err = p.operand(); err != nil {
		return nil, err
	}
	turned, canTurn := mirror[c.operator]
	switch {
	case c.left.isLiteral() && c.right.isLiteral():
		return nil, p.fail(start, "both sides are the same at each check; name what is to be compared, such as status")
	case c.left.isLiteral() && !canTurn:
		return nil, p.fail(start, "write what is looked at before %s, such as body", c.operator)
	case c.left.isLiteral():
		c.left, c.right, c.operator, c.name, right = c.right, c.left, turned, strings.TrimSpace(p.text[right:p.at]), start
	case c.right.isEach():
		return nil, p.fail(right, "write the path with [*] before %s", c.operator)
	}
	return p.checked(c, place, right)
}

// mirror has the operators that say the same from right to left.
var mirror = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// operators, those first that others begin with.
var operators = []string{"==", "!=", "<=", ">=", "<", ">", "contains", "matches", "in"}

func (p *parser) operator() string {
	for _, operator := range operators {
		rest, found := strings.CutPrefix(p.text[p.at:], operator)
		if found && (operator[0] < 'a' || !startsWithName(rest)) {
			p.at += len(operator)
			return operator
		}
	}
	return ""
}

// checked is a comparison whose sides fit together.
func (p *parser) checked(c *comparison, place, right int) (node, error) {
	left, other := c.left.kind, c.right.kind
	switch c.operator {
	case "matches":
		if left != text && left != anything {
			return nil, p.fail(place, "%s is %s; only a text matches", c.name, left)
		}
		pattern, ok := c.right.literal.(string)
		if !ok {
			return nil, p.fail(right, "write the regular expression as a text, such as '^OK'")
		}
		var err error
		if c.pattern, err = compilePattern(pattern); err != nil {
			return nil, p.fail(right, "the regular expression can't be used: %s", err)
		}
	case "in":
		if !c.right.isLiteral() || other != list {
			return nil, p.fail(right, "write a list, such as [200, 204]")
		}
		for _, member := range c.right.literal.([]any) {
			if problem := unlike(c.name, left, kindOf(member)); problem != "" {
				return nil, p.fail(right, "%s", problem)
			}
		}
	case "contains":
		switch {
		case left != text && left != list && left != anything:
			return nil, p.fail(place, "%s is %s, which contains nothing", c.name, left)
		case (left == text || c.left.subject == DNSAnswer) && other != text && other != anything:
			return nil, p.fail(right, "%s contains texts; this is %s", c.name, other)
		}
	case "<", "<=", ">", ">=":
		for _, side := range []kind{left, other} {
			if side != number && side != span && side != anything {
				return nil, p.fail(place, "only numbers and spans of time are less or more; one of the sides is %s", side)
			}
		}
		fallthrough
	default:
		if problem := unlike(c.name, left, other); problem != "" {
			return nil, p.fail(right, "%s", problem)
		}
	}
	return c, nil
}

// unlike says of two kinds of values why they are never equal; empty where they may be.
func unlike(name string, a, b kind) string {
	switch {
	case a == span && b == number, a == number && b == span:
		return "a span of time has a unit, such as 2s or 500ms, and a number has none"
	case a == anything && b == span, a == span && b == anything:
		return "JSON has no spans of time; compare with a number"
	case a == anything, b == anything, a == b && a != list, a == text && b == null:
		return ""
	case a == list:
		return name + " is a list; use contains, or len(…)"
	}
	return fmt.Sprintf("%s is %s, and this is %s", name, a, b)
}

// A condition's pattern meets bodies that strangers write. The time it takes grows with
// both, so both are bounded.
const maxPattern = 500

func compilePattern(pattern string) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxPattern {
		return nil, fmt.Errorf("it is too large")
	}
	return regexp.Compile(pattern)
}

func (p *parser) operand() (operand, error) {
	p.space()
	start := p.at
	if p.take("[") {
		return p.list()
	}
	if startsWithName(p.text[start:]) {
		return p.named(start, p.name())
	}
	literal, err := p.literal()
	return operand{kind: kindOf(literal), literal: literal}, err
}

// named is what begins with a word: a subject, len or a literal.
func (p *parser) named(start int, name string) (operand, error) {
	if literal, ok := words[name]; ok {
		return operand{kind: kindOf(literal), literal: literal}, nil
	}
	if name == "len" {
		return p.length()
	}
	s := Subject(name)
	if _, ok := subjects[s]; !ok && strings.HasPrefix(p.text[p.at:], ".") {
		p.at++
		s += Subject("." + p.name())
	}
	kind, ok := subjects[s]
	if right, slip := slips[name]; slip && !ok {
		return operand{}, p.fail(start, "write %s for %s", right, name)
	}
	if !ok {
		return operand{}, p.fail(start, "there is no %q; there are %s", string(s), known())
	}
	p.uses = append(p.uses, s)
	o := operand{kind: kind, subject: s}
	var err error
	if s == Header || s == JSON {
		o.path, err = p.path()
	}
	if err == nil && s == Header && (len(o.path) != 1 || o.path[0].isIndex || o.path[0].each) {
		err = p.fail(start, `name one header, as in header.content-type or header["Content-Type"]`)
	}
	return o, err
}

// words are the literals that are no numbers and no texts.
var words = map[string]any{"true": true, "false": false, "null": nil}

func known() string {
	var names []string
	for s := range subjects {
		names = append(names, string(s))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (p *parser) length() (operand, error) {
	if !p.take("(") {
		return operand{}, p.unexpected("( and what is to be counted")
	}
	p.space()
	start := p.at
	inner, err := p.operand()
	switch {
	case err != nil:
		return inner, err
	case inner.length || inner.isLiteral() || inner.kind == number || inner.kind == span:
		return inner, p.fail(start, "only what a text, a list or an object has is counted")
	case !p.take(")"):
		return inner, p.unexpected("a closing parenthesis")
	}
	inner.length, inner.kind = true, number
	return inner, nil
}

// path reads what follows a subject: .name, ["name"], [0], [*].
func (p *parser) path() ([]step, error) {
	var path []step
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case '.':
			p.at++
			name := p.name()
			if name == "" {
				return nil, p.unexpected("a name after the point")
			}
			path = append(path, step{name: name})
		case '[':
			p.at++
			s, err := p.key()
			if err != nil {
				return nil, err
			}
			path = append(path, s)
		default:
			return path, nil
		}
	}
	return path, nil
}

// key reads what stands in the brackets of a path, and the closing one.
func (p *parser) key() (step, error) {
	p.space()
	start := p.at
	var s step
	if p.take("*") {
		s.each = true
	} else {
		literal, err := p.literal()
		if err != nil {
			return s, err
		}
		switch key := literal.(type) {
		case string:
			s.name = key
		case float64:
			if key != math.Trunc(key) || math.Abs(key) > math.MaxInt32 {
				return s, p.fail(start, "a place in a list is a whole number")
			}
			s.index, s.isIndex = int(key), true
		default:
			return s, p.fail(start, `write a number, a text or * in brackets`)
		}
	}
	if !p.take("]") {
		return s, p.unexpected("a closing bracket")
	}
	return s, nil
}

// list reads literals up to the closing bracket.
func (p *parser) list() (operand, error) {
	var all []any
	for {
		literal, err := p.member()
		if err != nil {
			return operand{}, err
		}
		all = append(all, literal)
		if p.take("]") {
			return operand{kind: list, literal: all}, nil
		}
		if !p.take(",") {
			return operand{}, p.unexpected("a comma or a closing bracket")
		}
	}
}

func (p *parser) member() (any, error) {
	p.space()
	start := p.at
	name := p.name()
	if name == "" {
		return p.literal()
	}
	word, ok := words[name]
	if !ok {
		return nil, p.fail(start, "a list has texts, numbers and spans of time")
	}
	return word, nil
}

// literal reads a text, a number or a span of time.
func (p *parser) literal() (any, error) {
	p.space()
	start := p.at
	switch {
	case start == len(p.text):
		return nil, p.unexpected("something to compare")
	case p.text[start] == '"', p.text[start] == '\'':
		return p.quoted(p.text[start])
	}
	end := start
	for end < len(p.text) && (isNameByte(p.text[end]) || p.text[end] == '.') {
		end++
	}
	written := p.text[start:end]
	n, err := strconv.ParseFloat(written, 64)
	d, noSpan := time.ParseDuration(written)
	switch {
	case written == "" || !strings.ContainsAny(written[:1], "0123456789.-"):
		return nil, p.unexpected("something to compare")
	case err == nil && !math.IsInf(n, 0) && !math.IsNaN(n):
		p.at = end
		return n, nil
	case noSpan == nil:
		p.at = end
		return d, nil
	}
	return nil, p.fail(start, "%q is no number and no span of time, such as 2s, 500ms or 1m30s", written)
}

// quoted reads a text in quotes.
func (p *parser) quoted(quote byte) (any, error) {
	start := p.at
	if quote == '\'' {
		end := strings.IndexByte(p.text[start+1:], quote)
		if end < 0 {
			return nil, p.fail(start, "the quotes aren't closed")
		}
		p.at = start + 1 + end + 1
		return p.text[start+1 : p.at-1], nil
	}
	prefix, err := strconv.QuotedPrefix(p.text[start:])
	if err != nil {
		return nil, p.fail(start, `the quotes aren't closed, or have a \ without a meaning; between single quotes it has none`)
	}
	p.at += len(prefix)
	unquoted, err := strconv.Unquote(prefix)
	return unquoted, err
}

// name reads a name: letters, digits, _ and -, not beginning with a digit or -. It is
// empty where there is none.
func (p *parser) name() string {
	start := p.at
	if !startsWithName(p.text[start:]) {
		return ""
	}
	for p.at < len(p.text) && isNameByte(p.text[p.at]) {
		p.at++
	}
	return p.text[start:p.at]
}

func startsWithName(text string) bool {
	return text != "" && isNameByte(text[0]) && text[0] != '-' && (text[0] < '0' || text[0] > '9')
}

// isNameByte takes all of what isn't ASCII: the names of JSON are in any language.
func isNameByte(c byte) bool {
	return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// take reads something where it comes next.
func (p *parser) take(what string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], what) || what == "!" && strings.HasPrefix(p.text[p.at:], "!=") {
		return false
	}
	p.at += len(what)
	return true
}

func (p *parser) space() {
	p.at = len(p.text) - len(strings.TrimLeftFunc(p.text[p.at:], unicode.IsSpace))
}

// slips are what other languages have for our operators.
var slips = map[string]string{"=": "==", "&": "&&", "|": "||", "and": "&&", "or": "||", "not": "!"}

// unexpected is the error where something else should stand, with what is often meant.
func (p *parser) unexpected(wanted string) error {
	p.space()
	rest := p.text[p.at:]
	if rest == "" {
		return p.fail(p.at, "it ends where %s should stand", wanted)
	}
	for wrong, right := range slips {
		after, found := strings.CutPrefix(rest, wrong)
		if found && !strings.HasPrefix(rest, right) && (wrong[0] < 'a' || !startsWithName(after)) {
			return p.fail(p.at, "write %s for %s", right, wrong)
		}
	}
	c, _ := utf8.DecodeRuneInString(rest)
	return p.fail(p.at, "%q stands where %s should", c, wanted)
}
