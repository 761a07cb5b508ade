package grouping

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxText bounds what is hashed of a text, in bytes.
const maxText = 512

// normalise is the first line of a text with a mark in the place of each part that differs
// from one time to the next: addresses, ids, numbers, dates, paths, what is quoted. What
// says which error it is stays: names in single quotes, the codes of statuses and exits,
// the ports of services.
func normalise(text string) string {
	s := scanner{text: cut(firstLine(text), maxText)}
	s.out = make([]byte, 0, len(s.text)+16)
	for s.at < len(s.text) {
		if !s.quoted() && !s.word() && !s.run() {
			s.copy(1)
		}
	}
	return strings.ToValidUTF8(string(s.out), "")
}

// scanner goes once through a text. Its methods take what they know, if that is next.
type scanner struct {
	text string
	at   int
	out  []byte
}

// put writes a mark in the place of the next n bytes.
func (s *scanner) put(mark string, n int) bool {
	s.out = append(s.out, mark...)
	s.at += n
	return true
}

// copy takes the next n bytes as they are, but for spaces, of which one stays.
func (s *scanner) copy(n int) bool {
	for _, c := range []byte(s.text[s.at : s.at+n]) {
		if c != ' ' && c != '\t' && c != '\r' {
			s.out = append(s.out, c)
		} else if k := len(s.out); k > 0 && s.out[k-1] != ' ' {
			s.out = append(s.out, ' ')
		}
	}
	s.at += n
	return true
}

// before is the byte before the next, or a space.
func (s *scanner) before() byte {
	if s.at == 0 {
		return ' '
	}
	return s.text[s.at-1]
}

// quoted takes what stands in quotes. In single ones, a name stays: it is one of the
// program's, where a value that a user gave is as often in double ones.
func (s *scanner) quoted() bool {
	const maxQuoted = 200
	q := s.text[s.at]
	if q != '"' && q != '\'' && q != '`' || isWord(s.before()) {
		return false
	}
	rest := s.text[s.at+1 : min(len(s.text), s.at+1+maxQuoted)]
	for i := range len(rest) {
		if rest[i] != q || i+1 < len(rest) && isWord(rest[i+1]) { // an apostrophe
			continue
		}
		if q != '"' && isName(rest[:i]) {
			return s.copy(i + 2)
		}
		return s.put("<quoted>", i+2)
	}
	return false
}

func isName(text string) bool {
	for i := range len(text) {
		if c := text[i]; !isLetter(c) && strings.IndexByte("_$.:-", c) < 0 {
			return false
		}
	}
	return text != ""
}

// word takes an address or a path, which have a shape from space to space.
func (s *scanner) word() bool {
	if b := s.before(); isWord(b) || strings.IndexByte("/\\._-~@", b) >= 0 {
		return false
	}
	rest := s.text[s.at:]
	word := rest
	if i := strings.IndexAny(rest, " \t\r\"'`<>"); i >= 0 {
		word = rest[:i]
	}
	if i := strings.Index(word, "://"); i > 0 && i <= 24 && strings.IndexAny(word, "=(,/[") > i {
		end := ".,:;!?"
		if !strings.Contains(word, "(") {
			end += ")]}"
		}
		return s.put("<url>", len(strings.TrimRight(word, end)))
	}
	if i := strings.IndexAny(word, "()[]{},;=|"); i >= 0 {
		word = word[:i]
	}
	word = strings.TrimRight(word, ".:!?-") // Go writes a connection as a->b
	switch {
	case isUUID(word):
		return s.put("<uuid>", len("00000000-0000-0000-0000-000000000000"))
	case isPath(word):
		return s.put("<path>", len(word))
	case isEmail(word):
		return s.put("<email>", len(word))
	case isDate(word):
		return s.put("<date>", len(word))
	}
	if name, number := hostNumber(word); number > 0 {
		return s.copy(name) && s.number(number)
	}
	return s.address(word)
}

// address takes an IP address, with its port. The port of a service says which one it is,
// and stays; one that a system gives to a client doesn't.
func (s *scanner) address(word string) bool {
	const ephemeral = 32768
	if !strings.ContainsAny(word, "0123456789") || strings.Count(word, ".") < 3 && strings.Count(word, ":") < 2 {
		return false
	}
	if _, err := netip.ParseAddr(word); err == nil {
		return s.put("<ip>", len(word))
	}
	to, err := netip.ParseAddrPort(word)
	if err != nil {
		return false
	}
	if to.Port() < ephemeral {
		return s.put("<ip>:"+strconv.Itoa(int(to.Port())), len(word))
	}
	return s.put("<ip>:<n>", len(word))
}

func isUUID(word string) bool {
	if len(word) < 36 || len(word) > 36 && isWord(word[36]) {
		return false
	}
	for i := range 36 {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (word[i] == '-') || !dash && !isHex(word[i]) {
			return false
		}
	}
	return true
}

func isPath(word string) bool {
	for _, root := range []string{"/", "~/", "./", "../", `\\`} {
		if rest, ok := strings.CutPrefix(word, root); ok && rest != "" && (isWord(rest[0]) || rest[0] == '.' || rest[0] == '_' || rest[0] == '@') {
			return true
		}
	}
	return len(word) > 3 && isLetter(word[0]) && word[1] == ':' && (word[2] == '\\' || word[2] == '/')
}

func isEmail(word string) bool {
	at := strings.LastIndexByte(word, '@')
	if at <= 0 {
		return false
	}
	dot := strings.LastIndexByte(word, '.')
	return dot > at+1 && dot+1 < len(word) && isLetter(word[dot+1])
}

// hostNumber is how many bytes of a word are the name, and how many the number, of one of
// several hosts that are alike: mx0.example.com.
func hostNumber(word string) (name, number int) {
	host, _, _ := strings.Cut(word, ":")
	own, domain, _ := strings.Cut(host, ".")
	if !strings.Contains(domain, ".") {
		return 0, 0
	}
	for label := range strings.SplitSeq(domain, ".") {
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || digits(label) == len(label) {
			return 0, 0
		}
	}
	name = len(strings.TrimRight(own, "0123456789"))
	if strings.Trim(own, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return 0, 0
	}
	return name, len(own) - name
}

// isDate is whether a word is a date as ISO 8601 writes it, and maybe a time.
func isDate(word string) bool {
	const shape = "0000-00-00"
	if len(word) < len(shape) {
		return false
	}
	for i := range len(shape) {
		if digit := isDigit(word[i]); digit != (shape[i] == '0') || !digit && word[i] != '-' && word[i] != '/' {
			return false
		}
	}
	return strings.Trim(word[len(shape):], "0123456789TZ:.+-") == ""
}

// run takes letters and digits that stand together.
func (s *scanner) run() bool {
	rest := s.text[s.at:]
	n := 0
	for n < len(rest) && isWord(rest[n]) {
		n++
	}
	run := rest[:n]
	whole := digits(run)
	switch {
	case n == 0:
		return false
	case whole == n && s.isCode(run):
		return s.copy(n)
	case whole == n:
		return s.number(n + fraction(rest[n:]))
	case whole > 0 && isMeasure(run[whole:]):
		return s.number(n)
	case isID(run):
		return s.number(n)
	case isCalendar(run) && s.besideNumber(n):
		return s.put("<date>", n)
	}
	return s.copy(n)
}

// number writes one mark for a number, whatever its sign, and for a list of numbers.
func (s *scanner) number(n int) bool {
	out := s.out
	if k := len(out); k > 0 && (out[k-1] == '-' || out[k-1] == '+') && (k == 1 || !isWord(out[k-2]) && out[k-2] != '>') {
		out = out[:k-1]
	}
	for _, list := range []string{"<n>,", "<n>, "} {
		if strings.HasSuffix(string(out), list) {
			out = out[:len(out)-len(list)]
		}
	}
	s.out = out
	return s.put("<n>", n)
}

// fraction is how long the rest of a decimal number is, after its first digits.
func fraction(rest string) int {
	if len(rest) < 2 || rest[0] != '.' || !isDigit(rest[1]) {
		return 0
	}
	n := 1
	for n < len(rest) && isWord(rest[n]) {
		n++
	}
	if unit := rest[1+digits(rest[1:]) : n]; unit != "" && !isMeasure(unit) {
		return 0
	}
	return n
}

// isMeasure is whether what follows a number's digits is its unit: 300ms, 1m30s, 12MB, 3e8.
func isMeasure(unit string) bool {
	for unit != "" {
		letters := unit[digits(unit):]
		end := 0
		for end < len(letters) && !isDigit(letters[end]) {
			end++
		}
		switch letters[:end] {
		case "ns", "us", "µs", "μs", "ms", "s", "sec", "m", "min", "h", "d", "B", "KB", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "e", "E", "px", "x", "k", "K", "M", "G":
		default:
			return letters == "" && unit != letters
		}
		unit = letters[end:]
	}
	return true
}

// isID is whether a run is a number of another base, a hash, or drawn by chance.
func isID(run string) bool {
	if number, ok := strings.CutPrefix(strings.ToLower(run), "0x"); ok && isHash("0"+number, 2) {
		return true
	}
	return isHash(run, 7) || len(run) >= 12 && isRandom(run) && strings.ContainsAny(run, "0123456789")
}

// isHash is whether a text is a number in hexadecimal, of at least n digits; one is a
// decimal, as words may have all their letters from a to f.
func isHash(text string, n int) bool {
	decimal := false
	for i := range len(text) {
		if !isHex(text[i]) {
			return false
		}
		decimal = decimal || isDigit(text[i])
	}
	return decimal && len(text) >= n
}

// isRandom is whether letters and digits change as they don't in words.
func isRandom(s string) bool {
	changes := 0
	for i := 1; i < len(s); i++ {
		a, b := classOf(s[i-1]), classOf(s[i])
		if a != b && a != other && b != other && (a != upper || b != lower) {
			changes++
		}
	}
	return 4*changes >= len(s)
}

// isCode is whether a number says which error it is.
func (s *scanner) isCode(number string) bool {
	if len(number) > 5 {
		return false
	}
	if status, err := strconv.Atoi(number); err == nil && len(number) == 3 {
		if reason := http.StatusText(status); reason != "" && strings.HasPrefix(s.text[s.at+3:], " "+reason) {
			return true
		}
	}
	named := strings.TrimRight(string(s.out[max(0, len(s.out)-16):]), " =:[(#-")
	word := named[strings.LastIndexFunc(named, func(r rune) bool { return r > 0x7f || !isLetter(byte(r)) })+1:]
	switch strings.ToLower(word) {
	case "status", "code", "errno", "http", "exit", "signal", "sqlstate", "ora":
		return true
	case "error":
		return len(named) > 0 && !strings.HasSuffix(strings.TrimRight(string(s.out), " "), ":")
	}
	return false
}

// isCalendar is whether a word is the name of a month or of a day of the week.
func isCalendar(word string) bool {
	const names = "January February March April May June July August September October November December " +
		"Monday Tuesday Wednesday Thursday Friday Saturday Sunday "
	i := strings.Index(names, word)
	return len(word) >= 3 && i >= 0 && (i == 0 || names[i-1] == ' ') && (len(word) == 3 || names[i+len(word)] == ' ')
}

// besideNumber is whether the word of n bytes that is next has a number, or another word
// of a date, before or after it.
func (s *scanner) besideNumber(n int) bool {
	for _, mark := range []string{"<n> ", "<n>-", "<n>/", "<date> ", "<date>, "} {
		if strings.HasSuffix(string(s.out), mark) {
			return true
		}
	}
	next := strings.TrimLeft(s.text[s.at+n:], " ,-/")
	end := strings.IndexFunc(next, func(r rune) bool { return r > 0x7f || !isWord(byte(r)) })
	if end < 0 {
		end = len(next)
	}
	return end > 0 && (isDigit(next[0]) || isCalendar(next[:end]))
}

// The classes of bytes that words are made of. Those that aren't ASCII are letters.
type class byte

const (
	other class = iota
	lower
	upper
	digit
)

func classOf(c byte) class {
	switch {
	case c >= 'a' && c <= 'z', c >= 0x80:
		return lower
	case c >= 'A' && c <= 'Z':
		return upper
	case isDigit(c):
		return digit
	}
	return other
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isWord(c byte) bool   { return classOf(c) != other }
func isLetter(c byte) bool { return slices.Contains([]class{lower, upper}, classOf(c)) }
func isHex(c byte) bool    { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// digits is how many digits a text begins with.
func digits(text string) int {
	n := 0
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	return n
}
