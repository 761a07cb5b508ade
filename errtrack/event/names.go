package event

import (
	"slices"
	"strings"
	"sync"
	"unicode"
)

// names tells which names are those of secrets.
type names struct {
	own       []words // the operator's
	addresses bool    // people's IP addresses are among them

	mu    sync.RWMutex
	known map[string]bool // names come again and again
}

// Bounds of the names that are remembered.
const (
	maxKnown     = 5000
	maxKnownName = 64 // bytes
)

// secret is whether a field, a header, a variable or a parameter of that name is one.
func (n *names) secret(name string) bool {
	n.mu.RLock()
	is, known := n.known[name]
	n.mu.RUnlock()
	if known {
		return is
	}
	w := newWords(name)
	is = saysSecret(w) || n.isOwn(w)
	if len(name) <= maxKnownName {
		n.mu.Lock()
		if n.known == nil {
			n.known = map[string]bool{}
		}
		if len(n.known) < maxKnown {
			n.known[strings.Clone(name)] = is
		}
		n.mu.Unlock()
	}
	return is
}

// isOwn is whether the words of one of the operator's names are in a name, side by side.
func (n *names) isOwn(name words) bool {
	if n.addresses && addressHeaders[strings.TrimPrefix(name.together, "http")] {
		return true
	}
	return slices.ContainsFunc(n.own, func(own words) bool {
		for i := range len(name.all) - len(own.all) + 1 {
			if slices.Equal(name.all[i:i+len(own.all)], own.all) {
				return true
			}
		}
		return name.together == own.together
	})
}

// addressHeaders are the headers by which proxies tell whom they forward for, and what
// frameworks make of them.
var addressHeaders = set(`xforwardedfor xoriginalforwardedfor xrealip forwarded forwardedfor cfconnectingip cfconnectingipv trueclientip xclientip xclusterclientip
	fastlyclientip flyclientip xappengineuserip xazureclientip xazuresocketip xenvoyexternaladdress xprotonclientip clientip remoteip remoteaddr remoteaddress`)

func set(words string) map[string]bool {
	all := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		all[word] = true
	}
	return all
}

// What makes a name one of a secret.
var (
	// stems do wherever they are in it, its words put together.
	stems = strings.Fields(`password passwd passphrase passcode secret apikey credential privatekey accesskey sessionid sessid csrf xsrf
		authorization cardnumber cardno creditcard ccnumber ccnum securitycode signingkey encryptionkey masterkey sessionkey authkey socialsecurity
		connectsid aspxauth aspnetcoreidentity wordpressloggedin rememberme rememberweb clientassertion amzsignature googsignature
		recoverycode backupcode verificationcode mfacode smscode resetcode passwort kennwort contraseña contrasena كلمةالمرور كلمةالسر`)
	// words do as words of their own.
	secretWords = set(`pwd token cookie cookies jwt bearer cvc cvv iban ssn otp totp auth senha argv`) // argv: what a program was started with
	// wholes do when there is nothing else, or nothing after them.
	wholeNames = set(`pin pan sid pass session`)
	lastWords  = set(`session sess`)
	// passes and keys are secret by what stands before them, as tokens are.
	beforePass   = set(`db database user smtp mail email redis mysql postgres ftp proxy http admin root login`)
	beforeKey    = set(`api private secret access encryption signing master session auth aws stripe ssh pgp gpg rsa hmac client service server deploy account subscription`)
	beforeTokens = set(`access refresh auth api id bearer csrf session reset device push oauth login user fcm apns`)
	// countedBy makes of a token one that is counted, or read by a parser.
	countedBy = set(`max min num total unexpected`)
	// about are the last words of names that tell something about a secret, and not it.
	about = set(`count counts type types length len size limit limits ttl expiry expires expired expiration status state required enabled disabled
		valid invalid policy provider method scheme mode strength changed updated created error errors attempts failed at name names kind
		version index supported used usage budget bucket consent duration level`)
)

// saysSecret is whether a name of these words is a secret's.
func saysSecret(name words) bool {
	words := name.all
	if len(words) == 0 {
		return false
	}
	last := words[len(words)-1]
	if len(words) > 1 && (about[last] || last == "in" && words[len(words)-2] == "expires") {
		return false
	}
	together := name.together
	for _, harmless := range []string{"secretary", "secretariat", "passwordless"} {
		together = strings.ReplaceAll(together, harmless, "")
	}
	if slices.ContainsFunc(stems, func(stem string) bool { return strings.Contains(together, stem) }) {
		return true
	}
	if len(words) == 1 && wholeNames[last] || lastWords[last] {
		return true
	}
	before := ""
	for _, word := range words {
		switch {
		case secretWords[word] || strings.HasSuffix(word, "token") || strings.HasSuffix(word, "cookie"):
			if word != "token" || !countedBy[before] {
				return true
			}
		case word == "tokens" && beforeTokens[before], word == "pass" && beforePass[before], (word == "key" || word == "keys") && beforeKey[before]:
			return true
		}
		before = word
	}
	return false
}

// words are what a name is made of.
type words struct {
	all      []string
	together string
}

func newWords(name string) words {
	all := wordsOf(name)
	return words{all, strings.Join(all, "")}
}

// wordsOf are the words that a name of camelCase, snake_case or any other kind is made of, in
// small letters and without numbers at their ends.
func wordsOf(name string) (words []string) {
	start := -1
	end := func(at int) {
		if start >= 0 {
			word := strings.ToLower(name[start:at])
			if short := strings.TrimRight(word, "0123456789"); short != "" && word != "auth0" {
				word = short
			}
			words = append(words, word)
		}
		start = -1
	}
	var before rune
	for i, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end(i)
		case unicode.IsUpper(r) && (unicode.IsLower(before) || beginsWord(name[i:])):
			end(i)
			start = i
		case start < 0:
			start = i
		}
		before = r
	}
	end(len(name))
	return words
}

// beginsWord is whether a capital letter is followed by a small one, as the K of APIKey is.
func beginsWord(text string) bool {
	return len(text) > 1 && text[0] < 0x80 && text[1] >= 'a' && text[1] <= 'z'
}
