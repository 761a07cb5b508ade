package backup

import (
	"errors"
	"io"
	"strings"

	"filippo.io/age"
)

// Recipients are the public keys that backups are encrypted to.
type Recipients []age.Recipient

// ParseRecipient reads a public key of age (age1…).
func ParseRecipient(text string) (age.Recipient, error) {
	found, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil || len(found) != 1 {
		return nil, errors.New("it isn't a public key of age")
	}
	return found[0], nil
}

// Check tells whether the keys can be used together: those of age that withstand
// quantum computers can't be mixed with others.
func (r Recipients) Check() error {
	_, err := age.Encrypt(io.Discard, r...)
	return err
}

// ParseIdentities reads the secret keys of an age key file, a line each.
func ParseIdentities(text string) ([]age.Identity, error) {
	keys, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil { // which may repeat a part of the key
		return nil, errors.New("it has no secret key of age; it is the file that age-keygen writes, with a line AGE-SECRET-KEY-…")
	}
	return keys, nil
}

// ephemeralKey makes a key that lives as long as one run. The backup is encrypted to it
// as well, so that the very bytes that were stored can be restored and compared
// without the owner's secret key, which the server never has.
func (r Recipients) ephemeralKey() (age.Recipient, age.Identity, error) {
	for _, recipient := range r {
		if _, ok := recipient.(*age.HybridRecipient); ok {
			key, err := age.GenerateHybridIdentity()
			if err != nil {
				return nil, nil, err
			}
			return key.Recipient(), key, nil
		}
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, nil, err
	}
	return key.Recipient(), key, nil
}
