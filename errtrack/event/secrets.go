package event

import (
	"encoding/base64"
	"regexp"
	"strings"
	"unicode"
)

// traits are what a text has that a rule is about. Most texts have none, and are looked at
// only once.
type traits uint16

const (
	hasDigits     traits = 1 << iota // as many as a card's number has
	hasURL                           // with an @ somewhere
	hasScheme                        // "Bearer", "Basic"
	hasPrefix                        // a word as long as a key
	hasAssignment                    // a name and its value
	hasKey                           // "-----"
	hasFlag                          // a word with a dash before it
	hasTag                           // of XML
	hasSQL                           // a literal after a word, or values
	hasEncoded                       // a quote, percent-encoded
)

func traitsOf(text string) (t traits) {
	digits, word, dashes := 0, 0, 0
	url, at := false, false
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= '0' && c <= '9':
			digits, dashes = digits+1, 0
			word++
		case c == '_': // between digits it separates
			word, dashes = word+1, 0
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			digits, dashes = 0, 0
			word++
			if c |= 0x20; c == 'r' && i >= 5 && text[i-1]|0x20 == 'e' && strings.EqualFold(text[i-5:i+1], "bearer") ||
				c == 'c' && i >= 4 && text[i-1]|0x20 == 'i' && strings.EqualFold(text[i-4:i+1], "basic") {
				t |= hasScheme
			}
		case c == '-':
			word++
			if dashes++; dashes >= 5 {
				t |= hasKey
			}
			if dashes == 1 && beginsFlag(text, i) {
				t |= hasFlag
			}
			continue // between digits it separates
		default:
			word, dashes = 0, 0
			switch c {
			case ' ', '+', '.', 0xc2, 0xa0: // the last two are a space that doesn't break
				continue
			case '=', ':', '%', ',':
				if c != ',' || i > 0 && (text[i-1] == '"' || text[i-1] == '\'') {
					t |= hasAssignment
				}
				if c == '%' {
					if strings.HasPrefix(text[i:], "%22") {
						t |= hasEncoded
					}
					continue
				}
				url = url || c == ':' && strings.HasPrefix(text[i:], "://")
			case '@':
				at = true
			case '<':
				if i+1 < len(text) && isAlnum(text[i+1]) {
					t |= hasTag
				}
			case '\'', '"', '(':
				if isSQL(text, i) {
					t |= hasSQL
				}
			}
			digits = 0
		}
		if digits >= minCard {
			t |= hasDigits
		}
		if word >= minToken {
			t |= hasPrefix
		}
	}
	if url && at {
		t |= hasURL
	}
	return t
}

// isSQL is whether a quote or a parenthesis may be one of SQL that literals is about, by how
// the word before it ends: password, passphrase, secret, by, values.
func isSQL(text string, i int) bool {
	at, space := i-1, false
	if space = at > 0 && text[at] == ' '; space {
		at--
	}
	if at < 1 {
		return false
	}
	switch text[at] | 0x20 {
	case 'd', 'y', 'e', 't':
		return space && text[i] != '('
	case 's':
		return text[i] == '('
	}
	return false
}

// token is how a provider's keys begin, and how long the rest is at least.
type token struct {
	prefix string
	rest   int
	hex    bool // the rest is
}

const minToken = 16 // the shortest word with which one begins

// tokens are by their first byte.
var tokens = func() (all [256][]token) {
	for _, t := range []token{
		{"eyJ", 16, false}, // JSON Web Tokens, and whatever else is JSON in base64
		{"sk_live_", 8, false}, {"sk_test_", 8, false}, {"rk_live_", 8, false}, {"rk_test_", 8, false}, {"whsec_", 10, false}, {"mk_", 40, false},
		{"ghp_", 30, false}, {"gho_", 30, false}, {"ghu_", 30, false}, {"ghs_", 30, false}, {"ghr_", 30, false}, {"github_pat_", 20, false}, {"glpat-", 16, false},
		{"xoxa-", 10, false}, {"xoxb-", 10, false}, {"xoxp-", 10, false}, {"xoxr-", 10, false}, {"xoxs-", 10, false}, {"xoxe-", 10, false}, {"xapp-", 10, false},
		{"AKIA", 16, false}, {"ASIA", 16, false}, {"AIza", 35, false}, {"GOCSPX-", 16, false}, {"ya29", 20, false}, {"sk-", 20, false}, {"SG", 22, false}, {"npm_", 30, false}, {"hf_", 30, false},
		{"shpat_", 20, false}, {"dop_v1_", 30, false}, {"sntrys_", 20, false}, {"sntryu_", 20, false}, {"hvs", 20, false}, {"AGE-SECRET-KEY-1", 20, false}, {"pypi-", 20, false},
		{"shpss_", 20, false}, {"shpca_", 20, false}, {"shppa_", 20, false}, {"lin_api_", 20, false}, {"secret_", 40, false}, {"ntn_", 30, false}, {"dckr_pat_", 20, false}, {"rubygems_", 40, false},
		{"pscale_tkn_", 30, false}, {"pscale_pw_", 30, false}, {"figd_", 30, false}, {"PMAK-", 40, false}, {"NRAK-", 20, false}, {"gsk_", 40, false}, {"pplx-", 40, false}, {"r8_", 30, false}, {"sbp_", 40, false},
		{"ATATT3", 40, false}, {"ATCTT3", 40, false}, {"sq0atp-", 20, false}, {"sq0csp-", 20, false}, {"glsa_", 30, false}, {"glrt-", 16, false}, {"tskey-", 16, false}, {"xai-", 40, false}, {"rzp_live_", 12, false},
		{"doo_v1_", 30, false}, {"dor_v1_", 30, false}, {"nfp_", 30, false}, {"lsv2_", 30, false}, {"dapi", 32, true}, {"SK", 32, true}, {"key-", 32, true}, // the last: Databricks, Twilio, Mailgun
	} {
		all[t.prefix[0]] = append(all[t.prefix[0]], t)
	}
	return all
}()

// beginnings are the first bytes of tokens and of hooks.
var beginnings = func() (all [256]bool) {
	for c := range tokens {
		all[c] = tokens[c] != nil
	}
	for _, hook := range hooks {
		all[hook[0]] = true
	}
	return all
}()

// dotted are prefixes that a dot follows, which words end at.
var dotted = set("ya29 SG hvs")

func scrubTokens(text string) string {
	return replaceAll(text, func(i int) (end int) {
		if !beginnings[text[i]] || !beginsToken(text, i) {
			return 0
		}
		for _, t := range tokens[text[i]] {
			if !strings.HasPrefix(text[i:], t.prefix) {
				continue
			}
			end := i + len(t.prefix)
			if dotted[t.prefix] {
				if end == len(text) || text[end] != '.' {
					continue
				}
				end++
			}
			if rest := wordEnd(text, end); rest-end >= t.rest && (!t.hex || isHexWord(text[end:rest])) {
				for rest < len(text) && text[rest] == '.' && wordEnd(text, rest+1) > rest+1 { // a JSON Web Token's other parts
					rest = wordEnd(text, rest+1)
				}
				return rest
			}
		}
		for _, hook := range hooks {
			if path, ok := strings.CutPrefix(text[i:], hook); ok {
				return len(text) - len(path) + pathEnd(path)
			}
		}
		return 0
	})
}

// hooks are addresses whose paths are secret.
var hooks = []string{"hooks.slack.com/services/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/", "api.telegram.org/bot", "webhook.office.com/webhookb2/", "outlook.office.com/webhook/"}

func pathEnd(text string) int {
	for i := range len(text) {
		if !isWord(text[i]) && text[i] != '/' && text[i] != ':' {
			return i
		}
	}
	return len(text)
}

// replaceAll has Scrubbed stand for each part that is found at i and ends where found says.
func replaceAll(text string, found func(i int) (end int)) string {
	return replaceParts(text, func(i int) (from, until int) { return i, found(i) })
}

// replaceParts has Scrubbed stand for each part that is found: from one place, which isn't
// before i, until another. What is empty is none.
func replaceParts(text string, found func(i int) (from, until int)) string {
	var out strings.Builder
	copied := 0
	for i := 0; i < len(text); i++ {
		from, until := found(i)
		if from < i || until <= from {
			continue
		}
		out.WriteString(text[copied:from])
		out.WriteString(Scrubbed)
		copied, i = until, until-1
	}
	if copied == 0 {
		return text
	}
	out.WriteString(text[copied:])
	return out.String()
}

// beginsToken is whether a token may begin at i: not in the middle of a word, but after what
// is percent-encoded.
func beginsToken(text string, i int) bool {
	return i == 0 || !isAlnum(text[i-1]) || i >= 3 && text[i-3] == '%' && isHex(text[i-2]) && isHex(text[i-1])
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
func isWord(c byte) bool { return isAlnum(c) || c == '_' || c == '-' }

func isHexWord(word string) bool {
	return strings.IndexFunc(word, func(r rune) bool { return r >= 0x80 || !isHex(byte(r)) }) < 0
}

func wordEnd(text string, i int) int {
	for i < len(text) && isWord(text[i]) {
		i++
	}
	return i
}

const (
	keyBegin = "-----BEGIN "
	keyEnd   = "-----END "
	keyKind  = "PRIVATE KEY"
	keyDash  = "-----"
)

// keyMark finds a line of a private key that begins with mark; ok is false where there is
// none.
func keyMark(text, mark string) (from, until int, ok bool) {
	for at := 0; ; {
		i := strings.Index(text[at:], mark)
		if i < 0 {
			return 0, 0, false
		}
		from = at + i
		at = from + len(mark)
		if kind, _, ok := strings.Cut(text[at:], keyDash); ok && len(kind) < 40 && strings.Contains(kind, keyKind) {
			return from, at + len(kind) + len(keyDash), true
		}
	}
}

// scrubPEM leaves out private keys, and what a text has of one whose beginning or end isn't
// in it.
func scrubPEM(text string) string {
	for range 100 {
		begin, _, begins := keyMark(text, keyBegin)
		end, until, ends := keyMark(text, keyEnd)
		switch {
		case ends && (!begins || end < begin):
			text = Scrubbed + text[until:]
		case begins && ends:
			text = text[:begin] + Scrubbed + text[until:]
		case begins:
			return text[:begin] + Scrubbed
		default:
			return text
		}
	}
	return Scrubbed
}

// scrubKeys leaves out the lines of source code that are a private key's.
func scrubKeys(lines []string) (found bool) {
	inside := false
	for i, line := range lines {
		_, _, begins := keyMark(line, keyBegin)
		_, _, ends := keyMark(line, keyEnd)
		if ends && !begins && !inside { // it began before
			for j := range i {
				lines[j], found = Scrubbed, true
			}
		}
		if inside && !ends || isKeyLine(line) {
			lines[i], found = Scrubbed, true
		}
		inside = begins && !ends || inside && !ends
	}
	return found
}

// isKeyLine is whether a line of source is nothing but a line of base64, as keys are.
func isKeyLine(line string) bool {
	line = strings.TrimSuffix(strings.Trim(line, " \t\r\n\"'`+,;\\"), `\n`)
	return len(line) >= 60 && strings.IndexFunc(line, func(r rune) bool { return r >= 0x80 || !isAlnum(byte(r)) && r != '+' && r != '/' && r != '=' }) < 0
}

const maxAuthority = 1024 // bytes of a URL in which its @ is looked for

// scrubUserinfo leaves out what stands before the @ of a URL's host.
func scrubUserinfo(text string) string {
	var out strings.Builder
	for {
		scheme, rest, found := strings.Cut(text, "://")
		out.WriteString(scheme)
		if !found {
			return out.String()
		}
		out.WriteString("://")
		ends := " \t\r\n\"'<>`"
		if web := strings.ToLower(scheme); strings.HasSuffix(web, "http") || strings.HasSuffix(web, "https") || strings.HasSuffix(web, "ws") || strings.HasSuffix(web, "wss") {
			ends += "/?#\\" // passwords of others are often not encoded
		}
		authority := rest[:min(len(rest), maxAuthority)]
		if end := strings.IndexAny(authority, ends); end >= 0 {
			authority = authority[:end]
		}
		at := strings.LastIndexByte(authority, '@')
		if at > 0 {
			out.WriteString(Scrubbed)
			rest = rest[at:]
		}
		text = rest
	}
}

var schemes = regexp.MustCompile(`(?i)\b(bearer|basic)((?:\s|%20|\+|:)+)([A-Za-z0-9._~+/=-]{8,})`)

// scrubSchemes leaves out what follows "Bearer" and "Basic", unless it is a word of a
// sentence.
func scrubSchemes(text string) string {
	found := schemes.FindAllStringSubmatchIndex(text, -1)
	var out strings.Builder
	copied := 0
	for _, at := range found {
		value := text[at[6]:at[7]]
		decoded, err := base64.StdEncoding.DecodeString(value)
		if !looksRandom(value) && (err != nil || !strings.Contains(string(decoded), ":")) {
			continue
		}
		out.WriteString(text[copied:at[6]])
		out.WriteString(Scrubbed)
		copied = at[7]
	}
	out.WriteString(text[copied:])
	return out.String()
}

// looksRandom is whether a word isn't one of a language: it has digits, capital letters
// inside or signs, or it is too long.
func looksRandom(word string) bool {
	inner := strings.TrimRight(word, ".,:;!?)")
	return len(word) >= 20 || strings.IndexFunc(inner, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' && r != '-' }) >= 0 ||
		len(inner) > 1 && strings.IndexFunc(inner[1:], unicode.IsUpper) >= 0 && strings.ToUpper(inner) != inner
}

const (
	minCard = 13
	maxCard = 19
)

// scrubCards leaves out numbers of payment cards: as long and beginning as the networks
// have them, with the right check digit, written as one or in groups, and no part of
// something longer.
func scrubCards(text string) string {
	return replaceAll(text, func(i int) (end int) {
		if !isDigit(text, i) || i > 0 && (isAlnum(text[i-1]) || text[i-1] == '_') && !isEncoded(text, i) || i > 1 && text[i-1] == '.' && isDigit(text, i-2) {
			return 0
		}
		return cardEnd(text, i)
	})
}

func isDigit(text string, i int) bool { return i < len(text) && text[i] >= '0' && text[i] <= '9' }
func isEncoded(text string, i int) bool {
	return i >= 3 && text[i-3] == '%' && isHex(text[i-2]) && isHex(text[i-1])
}

// cardEnd is where the card's number that begins at i has ended, 0 where there is none.
func cardEnd(text string, i int) (end int) {
	var digits [maxCard]byte
	var groups []int
	for n, group := 0, 0; n < maxCard && isDigit(text, i); {
		digits[n] = text[i] - '0'
		n, group, i = n+1, group+1, i+1
		if isDigit(text, i) {
			continue
		}
		groups = append(groups, group)
		group = 0
		if n >= minCard && endsNumber(text, i) && isCard(digits[:n], groups) {
			end = i
		}
		i += separator(text, i)
	}
	return end
}

// separator is how long what stands at i between groups of digits is.
func separator(text string, i int) int {
	for _, sign := range []string{"  ", " ", "-", "+", ".", "_", "%20", "\u00a0"} {
		if strings.HasPrefix(text[i:], sign) {
			return len(sign)
		}
	}
	return 0
}

// endsNumber is whether a number is no part of something longer that goes on at i.
func endsNumber(text string, i int) bool {
	return i == len(text) || !isAlnum(text[i]) && text[i] != '_' && !(text[i] == '.' && isDigit(text, i+1))
}

func isCard(digits []byte, groups []int) bool {
	for k, group := range groups[:len(groups)-1] {
		if group != 4 && (k != 1 || group != 6) { // 4-4-4-4, and 4-6-5 of two networks
			return false
		}
	}
	if len(groups) > 1 && groups[len(groups)-1] > 7 {
		return false
	}
	first := 0
	for _, d := range digits[:4] {
		first = first*10 + int(d)
	}
	n, in := len(digits), func(from, to int) bool { return first >= from && first <= to }
	switch {
	case in(4000, 4999):
		if n != 13 && n != 16 && n != 19 {
			return false
		}
	case in(3400, 3499), in(3700, 3799):
		if n != 15 {
			return false
		}
	case in(3000, 3059), in(3600, 3699), in(3800, 3999):
		if n < 14 {
			return false
		}
	case in(2200, 2204), in(3528, 3589), in(6000, 6999):
		if n < 16 {
			return false
		}
	case in(5000, 5099), in(5600, 5899):
	case in(2221, 2720), in(5100, 5599):
		if n != 16 {
			return false
		}
	default:
		return false
	}
	sum := 0
	for k, d := range digits {
		value := int(d)
		if (n-k)%2 == 0 {
			if value *= 2; value > 9 {
				value -= 9
			}
		}
		sum += value
	}
	return sum%10 == 0
}
