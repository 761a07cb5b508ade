// Package seal keeps what the store must not hold in clear: it encrypts small
// values with keys that are derived from the installation's secret, one for each
// purpose, and binds each value to the place it belongs to.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrUnreadable is returned for what was sealed with another secret, for another
// purpose or place, or has been changed.
var ErrUnreadable = errors.New("the sealed value can't be opened: it was sealed with another secret, or has been changed")

const keyIDLength = 8

type key struct {
	id   [keyIDLength]byte
	aead cipher.AEAD
}

// Box seals values for one purpose. It is safe for concurrent use.
type Box struct{ keys []key } // the one that seals first

// New makes a Box. The first of the secrets seals, the others only open, until
// everything has been sealed anew.
func New(secrets []string, purpose string) (*Box, error) {
	if len(secrets) == 0 {
		return nil, errors.New("seal: no secret")
	}
	b := &Box{}
	for _, secret := range secrets {
		derived, err := hkdf.Key(sha256.New, []byte(secret), nil, "manus seal "+purpose, 32+keyIDLength)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		block, err := aes.NewCipher(derived[:32])
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		b.keys = append(b.keys, key{[keyIDLength]byte(derived[32:]), aead})
	}
	return b, nil
}

// KeyID names the key that seals now, so that what another has sealed can be
// found and sealed anew.
func (b *Box) KeyID() string { return hex.EncodeToString(b.keys[0].id[:]) }

// Seal encrypts a value (AES-256-GCM) so that it can only be opened for the same
// bound, such as the id of the document it is kept in.
func (b *Box) Seal(plain []byte, bound string) []byte {
	k := b.keys[0]
	return k.aead.Seal(append([]byte(nil), k.id[:]...), nil, plain, []byte(bound))
}

// Open decrypts what Seal has made for the same bound, or returns ErrUnreadable.
func (b *Box) Open(sealed []byte, bound string) ([]byte, error) {
	if len(sealed) < keyIDLength {
		return nil, ErrUnreadable
	}
	for _, k := range b.keys {
		if k.id != [keyIDLength]byte(sealed) {
			continue
		}
		if plain, err := k.aead.Open(nil, nil, sealed[keyIDLength:], []byte(bound)); err == nil {
			return plain, nil
		}
	}
	return nil, ErrUnreadable
}
