package account

import (
	"net/mail"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// Bounds of an address, in bytes (RFC 5321, 4.5.3.1).
const (
	maxEmail     = 254
	maxLocalPart = 64
)

// EmailKey is the same for all spellings of one mailbox: see emailKey. A text that
// isn't an address is its own key.
func EmailKey(address string) string {
	key, err := emailKey(address)
	if err != nil {
		return address
	}
	return key
}

// newEmailKey is emailKey for an address that is about to become an account's. Its local
// part has to be a user name by PRECIS (RFC 8265, UsernameCaseMapped): no invisible
// letters, no symbols that are seen as others, no mixture of directions. So nobody opens
// a second account that looks like another's. Who had such an address before keeps it.
func newEmailKey(address string) (string, error) {
	key, err := emailKey(address)
	if err != nil {
		return "", err
	}
	if _, err := precis.UsernameCaseMapped.String(address[:strings.LastIndexByte(address, '@')]); err != nil {
		return "", ErrInvalidEmail
	}
	return key, nil
}

// emailKey is what makes two spellings one mailbox: the local part without
// differences of case and of compatibility variants (NFKC, Unicode case
// folding), the domain in its ASCII form (IDNA 2008 with the mapping of UTS
// 46). Nothing else is folded: dots and +tags belong to the mailbox's provider.
// An address with a display name, quotes or comments is ErrInvalidEmail.
func emailKey(address string) (string, error) {
	at := strings.LastIndexByte(address, '@')
	if len(address) > maxEmail || at < 1 || at > maxLocalPart || !utf8.ValidString(address) {
		return "", ErrInvalidEmail
	}
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address {
		return "", ErrInvalidEmail
	}
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if err != nil || domain == "" || len(domain) > 253 {
		return "", ErrInvalidEmail
	}
	local := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(address[:at])))
	if local == "" || strings.ContainsAny(local, "@ \t\r\n\x00") {
		return "", ErrInvalidEmail
	}
	return local + "@" + strings.ToLower(domain), nil
}
