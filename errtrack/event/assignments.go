package event

import (
	"regexp"
	"slices"
	"strings"
)

// assignments leaves out the values of names that are secrets' ones, as texts have them:
// query parameters, forms, JSON and its like in part or whole, headers, connection strings.
// In lines of source only what is in quotes is a value.
func (s *Scrubber) assignments(text string, is kind) string {
	a := assigned{Scrubber: s, text: text, kind: is, tight: !strings.ContainsAny(text, " \t\r\n")}
	return replaceParts(text, a.at)
}

// assigned is a text in which names have values.
type assigned struct {
	*Scrubber
	text  string
	kind  kind
	tight bool // it has no space: a URL, a form, JSON of programs
}

const (
	maxAssigned = 64 // bytes of a name
	maxAligned  = 64 // spaces behind it
)

// at is where the value is whose name has ended before the sign at i, if it is secret.
func (a *assigned) at(i int) (from, until int) {
	sign := a.sign(i)
	if sign == 0 {
		return 0, 0
	}
	name, quote, before := a.nameBefore(i)
	if name == "" {
		return 0, 0
	}
	c := a.text[i]
	if c == ',' && (quote == "" || before != '[' && before != '(') { // ["name", "value"]
		return 0, 0
	}
	start := i + sign
	for range 2 { // ==, =>
		if start < len(a.text) && (a.text[start] == '=' || a.text[start] == '>') {
			start++
		}
	}
	start = skipSpace(a.text, start)
	if c == ',' && start+1 < len(a.text) && a.text[start] == 'b' && a.text[start+1] == '\'' { // bytes of Python
		start++
	}
	if start >= len(a.text) {
		return 0, 0
	}
	open := quoteAt(a.text, start)
	switch {
	case open != "" && c != ',' && isNameKey(name):
		from, until := start+len(open), a.quotedEnd(start, open)
		if from, until := a.record(from, until, open); until > from {
			return from, until
		}
		if name == "name" && c == '=' {
			return a.part(from, until)
		}
		return 0, 0
	case c == '=' && a.tight && onceNames[name]:
		until := a.bareEnd(start, name, quote, c)
		if value := a.text[start:max(start, until)]; len(value) < minOnce || !looksRandom(value) {
			return 0, 0
		}
		return a.worth(start, until)
	case !a.names.secret(name):
		return 0, 0
	case c == ',' && open != "" && isRemark(a.text[start+len(open):a.quotedEnd(start, open)]):
		return 0, 0
	case open != "":
		return a.worth(start+len(open), a.quotedEnd(start, open))
	case a.kind == source:
		return 0, 0
	}
	return a.worth(start, a.bareEnd(start, name, quote, c))
}

// onceNames are parameters of URLs that open something once, or for a while, if they are as long
// as such are.
var onceNames = set(`code sig signature assertion ticket`)

const minOnce = 16 // bytes

// record is the value of a record in whose text a secret's name stands from one place until
// another: {'name': 'token', 'value': '…'}, or <input name="token" value="…">.
func (a *assigned) record(from, until int, quote string) (int, int) {
	if until-from > maxAssigned || until < from || !a.isName(a.text[from:until]) {
		return 0, 0
	}
	i := until + len(quote)
	for i < len(a.text) && (a.text[i] == ',' || a.text[i] == ' ') {
		i++
	}
	if i >= len(a.text) {
		return 0, 0
	}
	open := quoteAt(a.text, i)
	i += len(open)
	end := wordEnd(a.text, i)
	if !isValueKey(a.text[i:end]) || !strings.HasPrefix(a.text[end:], open) {
		return 0, 0
	}
	i = skipSpace(a.text, end+len(open))
	if i >= len(a.text) || a.text[i] != ':' && a.text[i] != '=' {
		return 0, 0
	}
	if i = skipSpace(a.text, i+1); i >= len(a.text) {
		return 0, 0
	}
	if open = quoteAt(a.text, i); open != "" {
		return a.worth(i+len(open), a.quotedEnd(i, open))
	}
	if a.kind == source {
		return 0, 0
	}
	return a.worth(i, valueEnd(a.text, i))
}

// sign is how long the sign between a name and its value is; 0 where there is none at i.
func (a *assigned) sign(i int) int {
	switch c := a.text[i]; {
	case c == '=' || c == ':' || c == ',':
		return 1
	case c == '%' && i+2 < len(a.text) && a.text[i+1] == '3' && a.text[i+2]|0x20 == 'd': // =
		return 3
	}
	return 0
}

// nameBefore is the name that has ended before i, the quote that it was in, and what
// stands before that. The name may be one of a map's elements: x["name"].
func (a *assigned) nameBefore(i int) (name, quote string, before byte) {
	end := i
	for end > 0 && end > i-maxAligned && (a.text[end-1] == ' ' || a.text[end-1] == '\t') {
		end--
	}
	subscript := end > 1 && a.text[end-1] == ']' && (a.text[end-2] == '"' || a.text[end-2] == '\'')
	if subscript {
		end--
	}
	if end > 0 && (a.text[end-1] == '"' || a.text[end-1] == '\'') {
		quote = a.text[end-1 : end]
		for end--; end > 0 && a.text[end-1] == '\\'; {
			end--
		}
	}
	start := end
	for start > 0 && end-start < maxAssigned && isName(a.text[start-1]) {
		start--
	}
	at := start - 1
	for at >= 0 && (a.text[at] == '"' || a.text[at] == '\'' || a.text[at] == '\\') {
		at--
	}
	if at >= 0 {
		if before = a.text[at]; before == 'b' && at > 0 && quote == "'" { // bytes of Python
			before = a.text[at-1]
		}
	}
	if subscript {
		quote = "" // its value isn't one of JSON
	}
	return a.text[start:end], quote, before
}

func isName(c byte) bool {
	return isWord(c) || c == '.' || c == '[' || c == ']' || c == '%' || c >= 0x80
}

// quoteAt is the quote that opens at i; empty where none does.
func quoteAt(text string, i int) string {
	for _, triple := range []string{`"""`, "'''"} {
		if strings.HasPrefix(text[i:], triple) {
			return triple
		}
	}
	j := i
	for j < len(text) && text[j] == '\\' {
		j++
	}
	if j < len(text) && (text[j] == '"' || text[j] == '\'' || text[j] == '`' && j == i) {
		return text[i : j+1]
	}
	return ""
}

// quotedEnd is where the text in quotes that opens at i has its end: the quote that closes
// it, or that of the whole text.
func (a *assigned) quotedEnd(i int, quote string) int {
	for j := i + len(quote); j < len(a.text); j++ {
		switch {
		case strings.HasPrefix(a.text[j:], quote):
			return j
		case a.text[j] == '\\':
			j++
		}
	}
	return len(a.text)
}

// bareEnd is where a value without quotes has ended; 0 where it is none.
func (a *assigned) bareEnd(start int, name, quote string, sign byte) int {
	rest, spaced := a.text[start:], a.text[start-1] == ' '
	words := wordsOf(name)
	header := sign == ':' && (words[len(words)-1] == "authorization" || words[len(words)-1] == "cookie")
	ends := " \t\r\n&;\"'<>`"
	switch {
	case quote != "": // JSON
		return valueEnd(a.text, start)
	case header:
		ends = "\r\n\"'`"
	case a.tight:
		ends = "&\"'`<>"
	case sign == ':':
		ends += ","
	}
	end := len(rest)
	if at := strings.IndexAny(rest, ends); at >= 0 {
		end = at
	}
	if sign == '%' {
		if at := strings.Index(rest[:end], "%26"); at >= 0 {
			end = at
		}
	}
	if sign == ':' && !header && len(words) == 1 && (end < 4 || !looksRandom(rest[:end])) { // "Unexpected token: …"
		return 0
	}
	if spaced && isProse(rest[:end], header) { // "API_TOKEN: must be set"
		return 0
	}
	return start + end
}

// prose are words that go on with a sentence about what was named, and are no value of it.
var prose = set(`is isn't are aren't was wasn't were weren't be must mustn't should shouldn't may might can can't cannot could couldn't will won't would does doesn't did didn't
	has hasn't have haven't had needs need not no nor none neither missing invalid required requires unset empty unknown undefined unavailable optional expected expects too because
	in at while`)

// isRemark is whether what stands beside a name is another name, or a sentence about it.
func isRemark(value string) bool {
	return listed[value] || strings.Contains(value, " ") && isProse(value, true)
}

// isProse is whether what may be a value begins a sentence, or as a header's is one all over.
func isProse(value string, whole bool) bool {
	first, rest, _ := strings.Cut(value, " ")
	if first = strings.TrimRight(first, ".,:;!?)"); first == "" || !prose[strings.ToLower(first[:1])+first[1:]] {
		return false
	}
	return !whole || !slices.ContainsFunc(strings.Fields(rest), looksRandom)
}

// part is the value of a part of a multipart body, whose name is in quotes.
func (a *assigned) part(from, until int) (int, int) {
	const blank = "\r\n\r\n"
	if until-from > maxAssigned || !a.names.secret(a.text[from:until]) {
		return 0, 0
	}
	head := strings.Index(a.text[until:], blank)
	if head < 0 || strings.Contains(a.text[until:until+head], blank[:2]+"--") {
		return 0, 0
	}
	start := until + head + len(blank)
	end := len(a.text)
	if at := strings.Index(a.text[start:], "\r\n--"); at >= 0 {
		end = start + at
	}
	return a.worth(start, end)
}

// placeholder is what a program puts something into: %s, %(name)s, {name}, ${name}, #{name}, $1.
var placeholder = regexp.MustCompile(`^(?:%[-+#0-9.]*[a-zA-Z]|%\(\w+\)[a-z]|[$#]?\{[^{}"']*\}|\{\{[^{}"']*\}\}|\$\d+)[.,;:!?)\]]*$`)

// worth is a value, unless it tells nothing.
func (a *assigned) worth(from, until int) (int, int) {
	if until <= from {
		return 0, 0
	}
	switch value := a.text[from:until]; value {
	case Scrubbed, "None", "nil", "undefined", "True", "False":
		return 0, 0
	default:
		if !tells([]byte(value)) || a.kind == quoted && placeholder.MatchString(value) {
			return 0, 0
		}
	}
	return from, until
}
