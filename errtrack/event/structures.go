package event

import (
	"net/url"
	"strings"
)

// Secrets that are named by what stands beside them, and not before a sign: flags of command
// lines, pairs and records of names and values, tags of XML, columns of SQL.

// flags leaves out what follows a flag of a command line whose name says that it is secret:
// --token X, and "--token", "X" of a list.
func (s *Scrubber) flags(text string, source bool) string {
	return replaceParts(text, func(i int) (from, until int) {
		if !beginsFlag(text, i) {
			return 0, 0
		}
		end := wordEnd(text, i)
		from, until = flagValue(text, end, source)
		if until <= from || !s.isFlag(text[i:end], text[from:until]) {
			return 0, 0
		}
		return from, until
	})
}

// beginsFlag is whether a dash begins a word, of a line or in quotes.
func beginsFlag(text string, i int) bool {
	return text[i] == '-' && i+1 < len(text) && (i == 0 || strings.IndexByte(" \t\n\x1e'\"`", text[i-1]) >= 0)
}

// flagValue is the value of a flag that has ended at i: the next word, or text in quotes, or
// of a list whose elements are in quotes. In source only the last is one.
func flagValue(text string, i int, source bool) (from, until int) {
	quote := quoteAt(text, i)
	switch {
	case quote != "":
		i = skipSpace(text, i+len(quote))
		if i >= len(text) || text[i] != ',' {
			return 0, 0
		}
		i = skipSpace(text, i+1)
		if !strings.HasPrefix(text[i:], quote) {
			return 0, 0
		}
	case source || i >= len(text) || text[i] != ' ' && text[i] != '\t':
		return 0, 0
	default:
		i = skipSpace(text, i)
		quote = quoteAt(text, i)
	}
	if quote != "" {
		from = i + len(quote)
		a := assigned{text: text}
		return from, a.quotedEnd(i, quote)
	}
	until = len(text)
	if end := strings.IndexAny(text[i:], " \t\r\n\"'`"); end >= 0 {
		until = i + end
	}
	return i, until
}

// afterFlags are words, beside those of prose, that go on with a sentence about a flag.
var afterFlags = set(`to or and for of on as with without flag flags option options argument arguments given instead if when from by the a an it`)

// isFlag is whether a flag's value is a secret, or has one as curl's -u user:password.
func (s *Scrubber) isFlag(flag, value string) bool {
	if value == "" || value == Scrubbed || value[0] == '-' {
		return false
	}
	if word := strings.TrimRight(value, ".,:;!?)"); afterFlags[word] || prose[word] {
		return false
	}
	name := strings.TrimLeft(flag, "-")
	if name == "u" || name == "user" {
		_, password, found := strings.Cut(value, ":")
		return found && password != "" && password != Scrubbed && !strings.Contains(value, "/")
	}
	return len(name) > 1 && s.names.secret(name)
}

// tags leaves out what stands between the tags of XML whose name says that it is secret.
func (s *Scrubber) tags(text string) string {
	unclosed := map[string]bool{} // from here on
	return replaceParts(text, func(i int) (from, until int) {
		if text[i] != '<' {
			return 0, 0
		}
		end := i + 1
		for end < len(text) && end-i <= maxAssigned && (isWord(text[end]) || text[end] == ':' || text[end] == '.') {
			end++
		}
		name := text[i+1 : end]
		if unclosed[name] || name == "" || !s.names.secret(name) {
			return 0, 0
		}
		attributes := strings.IndexByte(text[end:], '>')
		if attributes < 0 || attributes > maxAuthority {
			return 0, 0
		}
		from = end + attributes + 1
		length := strings.Index(text[from:], "</"+name)
		if unclosed[name] = length < 0; length <= 0 {
			return 0, 0
		}
		if value := strings.TrimSpace(text[from : from+length]); value == Scrubbed || !tells([]byte(value)) {
			return 0, 0
		}
		return from, from + length
	})
}

// literals leaves out what SQL says that a password is: PASSWORD '…', IDENTIFIED BY '…', and
// all values of a row that has a column for a secret.
func (s *Scrubber) literals(text string) string {
	text = replaceAll(text, func(i int) (end int) {
		if i == 0 || text[i-1] != '\'' && text[i-1] != '"' {
			return 0
		}
		before := strings.TrimRight(text[max(0, i-maxAssigned):i-1], " ")
		if before == "" || i < 2 || text[i-2] != ' ' || !sqlSecret(before) {
			return 0
		}
		length := strings.IndexByte(text[i:], text[i-1])
		if length < 0 {
			length = len(text) - i
		}
		if strings.HasPrefix(text[i:i+length], Scrubbed) {
			return 0
		}
		return i + length
	})
	for _, values := range []string{"VALUES", "values"} {
		columns, row, found := strings.Cut(text, values)
		if !found {
			continue
		}
		open := strings.LastIndexByte(columns, '(')
		if open < 0 || !strings.HasSuffix(strings.TrimRight(columns, " \n\t"), ")") {
			continue
		}
		from, until := strings.IndexByte(row, '('), strings.LastIndexByte(row, ')')
		if from < 0 || until <= from || !hasLiteral(row[from+1:until]) {
			continue
		}
		for column := range strings.SplitSeq(strings.Trim(columns[open+1:], " )\n\t"), ",") {
			if s.names.secret(strings.Trim(column, " \n\t\"`[]")) {
				return columns + values + row[:from+1] + Scrubbed + row[until:]
			}
		}
	}
	return text
}

// hasLiteral is whether values of SQL are more than places for some: ?, $1, %s, :name.
func hasLiteral(values string) bool { return strings.ContainsAny(values, `'"`) }

// sqlSecret is whether a text ends with what SQL has before a password.
func sqlSecret(before string) bool {
	last := before[strings.LastIndexByte(before, ' ')+1:]
	switch strings.ToLower(last) {
	case "password", "passwd", "passphrase", "secret":
		return true
	case "by":
		return strings.HasSuffix(strings.ToLower(before), "identified by")
	}
	return false
}

// encoded leaves out parts of a text in which JSON stands percent-encoded, if that has a secret.
func (s *Scrubber) encoded(text string) string {
	const ends = " \t\r\n&=?;<>\"'"
	var out strings.Builder
	for text != "" {
		end := strings.IndexAny(text, ends)
		if end < 0 {
			end = len(text)
		}
		part := text[:end]
		if strings.Contains(part, "%22") {
			if decoded, err := url.QueryUnescape(part); err == nil && s.assignments(decoded, plain) != decoded {
				part = Scrubbed
			}
		}
		out.WriteString(part)
		rest := text[end:]
		out.WriteString(rest[:min(1, len(rest))])
		text = rest[min(1, len(rest)):]
	}
	return out.String()
}

// isNameKey and isValueKey are whether that is how records call a name, and what it is of.
func isNameKey(key string) bool {
	switch key {
	case "name", "key", "header", "field", "param", "parameter", "k", "n", "Name", "Key", "Header", "Field", "NAME", "KEY":
		return true
	}
	return false
}

func isValueKey(key string) bool {
	switch key {
	case "value", "val", "values", "v", "content", "data", "Value", "Values", "Content", "VALUE":
		return true
	}
	return false
}

const maxRecord = 1 << 10 // bytes of a record in which its other half is looked for

// member is where the value of the first member of an object from i on begins whose name is
// one of these; i is behind a member. It is 0 where there is none.
func member(value []byte, i int, is func(key string) bool) (from int) {
	for {
		if i = skipSpace(value, i); i >= len(value) || value[i] != ',' {
			return 0
		}
		i = skipSpace(value, i+1)
		if i >= len(value) || value[i] != '"' {
			return 0
		}
		end := stringEnd(value, i)
		if end < 0 {
			return 0
		}
		name := value[i+1 : end-1]
		if i = skipSpace(value, end); i >= len(value) || value[i] != ':' {
			return 0
		}
		from = skipSpace(value, i+1)
		if is(string(name)) {
			return from
		}
		if i = valueEnd(value, from); i <= from {
			return 0
		}
	}
}

// isSecretName is whether what begins at i in JSON is a string that is the name of a secret.
func (s *Scrubber) isSecretName(value []byte, i int) bool {
	if i <= 0 || i >= len(value) || value[i] != '"' {
		return false
	}
	end := stringEnd(value, i)
	return end > i+2 && end-i <= maxAssigned && s.isName(bare(unquoted(value[i:end])))
}

// isName is whether a text is a secret's name, and no sentence about one.
func (s *Scrubber) isName(text string) bool {
	for i := range len(text) {
		if !isName(text[i]) && text[i] != ':' {
			return false
		}
	}
	return s.names.secret(text)
}

// listed are names that stand beside each other where fields are listed, and pairs of a name
// and its value aren't meant.
var listed = set(`password password_confirmation new_password token access_token refresh_token secret cookie authorization api_key pin otp cvc cvv credentials session`)

// bare is a word without the quotes that Python shows strings in.
func bare(word string) string { return strings.Trim(word, `'"`) }

// beside is where JSON begins to say what a string of it, or a member of an object, says is
// secret, and which isn't that member's own value: the second of a pair, what follows a flag
// in a list, the value of a record. It is 0 where there is none. The string is at
// value[i:end].
func (s *Scrubber) beside(value []byte, i, end int, text string, isName bool) (from int) {
	next := skipSpace(value, end)
	if isName {
		near := value[:min(len(value), end+maxRecord)]
		from = skipSpace(near, next+1)
		switch {
		case isNameKey(text) && s.isSecretName(near, from):
			return member(near, valueEnd(near, from), isValueKey)
		case isValueKey(text) && s.isSecretName(near, member(near, valueEnd(near, from), isNameKey)):
			return from
		}
		return 0
	}
	if next >= len(value) || value[next] != ',' || end-i > maxAssigned {
		return 0
	}
	if from = skipSpace(value, next+1); from >= len(value) {
		return 0
	}
	switch word := bare(text); {
	case strings.HasPrefix(word, "-"):
		if value[from] == '"' {
			if end := stringEnd(value, from); end > from+1 && s.isFlag(word, bare(unquoted(value[from:end]))) {
				return from
			}
		}
	case precededBy(value, i, '[') && s.isName(word):
		if end := stringEnd(value, from); value[from] == '"' && end > from && listed[bare(unquoted(value[from:end]))] {
			return 0
		}
		if end := skipSpace(value, valueEnd(value, from)); end < len(value) && value[end] == ']' {
			return from
		}
	}
	return 0
}

func precededBy(value []byte, i int, by byte) bool {
	for i > 0 && (value[i-1] == ' ' || value[i-1] == '\n' || value[i-1] == '\t') {
		i--
	}
	return i > 0 && value[i-1] == by
}
