package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"manus/internal/words"
)

// What a signing secret has to be. Anybody who holds a token can try secrets
// against it at home, billions a second, so a secret has to be random.
const (
	minSecret   = 32   // characters
	maxSecret   = 1024 // characters
	maxPrevious = 5    // secrets

	// minBits is the least that estimateBits has to find. A million random
	// secrets of 32 hexadecimal digits, the weakest that anybody makes, were
	// estimated at 87 and more.
	minBits = 80

	freshSecret = ", for example from 'openssl rand -base64 48' or 'manus init'"
)

func parseSecret(out *Secret, text string) *Problem {
	if problem := checkSecret(text); problem != nil {
		return problem
	}
	return take(out, NewSecret(text), !strings.Contains(text, ","), "contains a comma, which the list of previous secrets could not hold", "use one without"+freshSecret)
}

func parsePrevious(out *[]Secret, text string) *Problem {
	if n := len(splitList(text)); n > maxPrevious {
		return bad("has "+words.Count(n, "secret"), fmt.Sprintf("keep at most the last %d", maxPrevious))
	}
	seen := map[string]bool{}
	return takeList(out, text, func(out *Secret, item string) *Problem {
		if problem := checkSecret(item); problem != nil {
			problem.Mend = "remove it: tokens that it signed should no longer count"
			return problem
		}
		again := seen[item]
		seen[item] = true
		return take(out, NewSecret(item), !again, "stands there twice", "list each secret once")
	})
}

// checkSecret refuses a text that is no secret, or that can be guessed.
func checkSecret(text string) *Problem {
	length := utf8.RuneCountInString(text)
	plain := normalize(text)
	renew := "use a new one" + freshSecret
	switch {
	case length < minSecret:
		return bad("is "+words.Count(length, "character")+" long", fmt.Sprintf("use at least %d", minSecret)+freshSecret)
	case length > maxSecret:
		return bad("is "+words.Count(length, "character")+" long", fmt.Sprintf("use at most %d", maxSecret)+freshSecret)
	case published(plain):
		return bad("is a published example, which attackers try first", renew)
	case wordShare(plain) >= 1.0/3:
		return bad("reads like a placeholder", renew)
	case estimateBits(plain) < minBits:
		return bad("is easy to guess, being words, a repetition or a sequence", renew)
	}
	return nil
}

// normalize drops what people vary without making a text harder to guess:
// upper case, and the separators between words.
func normalize(text string) []rune {
	var plain []rune
	for _, r := range text {
		if !strings.ContainsRune(" -_.:/", r) {
			plain = append(plain, unicode.ToLower(r))
		}
	}
	return plain
}

// published reports whether a secret that stands in a well-known tutorial or
// is a program's default is in the text. Those made of words only are found by
// their words.
func published(plain []rune) bool {
	text := string(plain)
	return slices.ContainsFunc([]string{
		"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",    // FastAPI's tutorial
		"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",    // Flask's documentation
		"404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970",    // Spring Boot tutorials
		"3ek6fd+o0+c7tzbnvfjpmkndi2yaraakzqlk8o2ikoxqu4nf7edah8s3twphwrdwt6r", // Hasura's documentation
		"vghpc0lztxlddxn0b21tzwnyzxrlzxkwmtizndu2nzg",                         // Nacos
		"secretkey01234567890123456789",                                       // Nacos
		"reallyreallyreallyreallyverysafe",                                    // PostgREST's tutorial
		"astringsecretatleast256bitslong",                                     // jwt.io
		"your256bitsecret", "your384bitsecret", "your512bitsecret",            // jwt.io, before
		"supersecretjwttokenwithatleast32characterslong", // Supabase
		"djangoinsecure", // django-admin startproject
	}, func(known string) bool { return strings.Contains(text, known) })
}

// common are the words that placeholders and careless secrets are made of.
const common = `
	2020 2021 2022 2023 2024 2025 2026 2027 2028 2029 2030 access account admin api app application apply at auth authentication backend base64 before below
	bit bits byte bytes change changed changeit changeme char character characters chars company
	credential credentials custom default demo deploy dev development do dont dummy enter entropy env
	environment example fake fallback fill fixme foobar for from generate generated generator hello here
	hex hmac hs256 hs512 in insecure insert is it jwt keep key keys least letmein local localhost long
	longer manus me min minimum must my never new not only openssl or output passphrase passwd password
	placeholder please prod production project put rand random real really refresh replace replaced
	replacement replaceme saas safe sample secret secretkey secrets secure security server session set should
	sign signing simple some something staging string strong super temp temporary test testing tests
	text that the this to todo token tokens use user using value very webapp welcome with without world
	xxxx you your yours`

// wordShare is the share of the text that words of four letters and more make
// up; shorter ones are a part of too many others. A third is far more than
// chance puts into a random secret, where already one such word is rare.
func wordShare(plain []rune) float64 {
	list := slices.DeleteFunc(wordRunes(), func(word []rune) bool { return len(word) < 4 })
	covered := 0
	for i := 0; i < len(plain); {
		n := longestWord(list, plain[i:])
		covered += n
		i += max(n, 1)
	}
	return float64(covered) / float64(max(len(plain), 1))
}

func wordRunes() (list [][]rune) {
	for word := range strings.FieldsSeq(common) {
		list = append(list, []rune(word))
	}
	return list
}

func longestWord(list [][]rune, text []rune) int {
	longest := 0
	for _, word := range list {
		if len(word) > longest && len(word) <= len(text) && slices.Equal(word, text[:len(word)]) {
			longest = len(word)
		}
	}
	return longest
}

// estimateBits is roughly the number of guesses, as a power of two, that a
// guesser needs who tries words, sequences, keyboard walks and repetitions
// before random characters. Each of those counts for little, however long it
// is; a character that belongs to none counts for as much as the number of
// different characters in the text allows.
func estimateBits(plain []rune) float64 {
	const perPattern = 6
	perCharacter := characterBits(plain)
	list := wordRunes()
	bits := 0.0
	for i := 0; i < len(plain); {
		n := max(longestWord(list, plain[i:]), longestWalk(plain[i:]), longestRun(plain[i:]), longestRepeat(plain, i))
		if n == 0 || float64(n)*perCharacter <= perPattern {
			bits += perCharacter
			i++
			continue
		}
		bits += perPattern
		i += n
	}
	return bits
}

// characterBits is what one random-looking character counts for. English text
// has about two bits in a letter.
func characterBits(plain []rune) float64 {
	const englishBits = 2
	different := map[rune]bool{}
	for _, r := range plain {
		different[r] = true
	}
	bits := math.Log2(float64(max(len(different), 1)))
	if looksEnglish(plain) {
		return min(bits, englishBits)
	}
	return bits
}

// looksEnglish reports whether many neighbours are among the sixty commonest
// pairs of letters, which are half of all pairs in English text and a twelfth
// of those in random letters.
func looksEnglish(plain []rune) bool {
	const pairs = `th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te
		et ng of al de se le sa si ar ve ra ld ur ll ro ne me ho us wh no ch ri ma ic el so ly om ce wa ee be yo il`
	isPair := map[string]bool{}
	for pair := range strings.FieldsSeq(pairs) {
		isPair[pair] = true
	}
	common := 0
	for i := 1; i < len(plain); i++ {
		if isPair[string(plain[i-1:i+1])] {
			common++
		}
	}
	return common*5 >= 2*len(plain)
}

// longestWalk is how far the text follows the keys of a keyboard, or something
// else that many people know by heart, if for at least four characters.
func longestWalk(text []rune) int {
	const least = 4
	if len(text) < least {
		return 0
	}
	longest := 0
	for _, walk := range []string{
		"1234567890qwertyuiopasdfghjklzxcvbnm", "0987654321poiuytrewqlkjhgfdsamnbvcxz",
		"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "qazwsxedcrfvtgbyhnujmikolp",
		"1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "azertyuiopqsdfghjklmwxcvbn",
		"!@#$%^&*()", "31415926535897932384626433832795",
		"thequickbrownfoxjumpsoverthelazydog", "loremipsumdolorsitametconsecteturadipiscingelit",
	} {
		if at := strings.Index(walk, string(text[:least])); at >= 0 {
			longest = max(longest, commonPrefix(text, []rune(walk[at:])))
		}
	}
	return longest
}

// longestRun is how many characters at the start follow one another in equal
// steps, as in 13579, or do so by turns, as in a1b2c3d4.
func longestRun(text []rune) int {
	longest := 0
	for lanes, least := range map[int]int{1: 4, 2: 8} {
		n := min(2*lanes, len(text))
		for n < len(text) && text[n]-text[n-lanes] == text[n-lanes]-text[n-2*lanes] {
			n++
		}
		if n >= least {
			longest = max(longest, n)
		}
	}
	return longest
}

// longestRepeat is how much of the text from i on stood in it before, if at
// least four characters. It may overlap itself, as in abcabcabc.
func longestRepeat(text []rune, i int) int {
	longest := 0
	for j := range i {
		longest = max(longest, commonPrefix(text[i:], text[j:]))
	}
	if longest < 4 {
		return 0
	}
	return longest
}

func commonPrefix(a, b []rune) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
