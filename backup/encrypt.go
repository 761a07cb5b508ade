package backup

import (
	"errors"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// Recipients are the public keys that backups are encrypted to.
type Recipients []age.Recipient

// sshKey begins the public keys of SSH that age encrypts to, and pemKey the secret ones.
const (
	sshKey = "ssh-"
	pemKey = "-----BEGIN "
)

// ParseRecipient reads a public key of age (age1…), or of SSH: ssh-ed25519 or ssh-rsa, as it
// is in a file .pub or in authorized_keys.
func ParseRecipient(text string) (age.Recipient, error) {
	if strings.HasPrefix(text, sshKey) {
		recipient, err := agessh.ParseRecipient(text)
		if err != nil { // which repeats the key
			return nil, errors.New("it isn't a public key of SSH that age can encrypt to; those of ssh-ed25519 and ssh-rsa are")
		}
		return recipient, nil
	}
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

// ParseIdentities reads the secret keys of an age key file, a line each, or a secret key of
// SSH without a passphrase.
func ParseIdentities(text string) ([]age.Identity, error) {
	if strings.HasPrefix(strings.TrimSpace(text), pemKey) {
		return parseSSHIdentity(text)
	}
	keys, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil { // which may repeat a part of the key
		return nil, errors.New("it has no secret key of age or SSH; it is the file that age-keygen writes, with a line AGE-SECRET-KEY-…, or an id_ed25519")
	}
	return keys, nil
}

func parseSSHIdentity(text string) ([]age.Identity, error) {
	key, err := agessh.ParseIdentity([]byte(text))
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
		return nil, errors.New("it is a secret key of SSH that has a passphrase; make a copy without one ('ssh-keygen -p' on the copy), and remove it after that")
	}
	if err != nil {
		return nil, errors.New("it is no secret key of SSH that age can open with; those of ssh-ed25519 and ssh-rsa are")
	}
	return []age.Identity{key}, nil
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
