package config

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret is a text that only Reveal shows. Whatever else prints or encodes it,
// alone or inside something, writes "[redacted]", or an address where fmt may
// not call its methods because it stands in an unexported field. The text is in
// a closure and not in a field, since fmt, spew and their like follow fields
// and pointers but can't look into a function. The zero Secret is empty.
type Secret struct {
	reveal func() string
}

// NewSecret keeps text secret.
func NewSecret(text string) Secret { return Secret{func() string { return text }} }

// RandomSecret is a new secret of 48 random bytes, written in 64 characters of
// base64url.
func RandomSecret() Secret {
	var random [48]byte
	_, _ = rand.Read(random[:]) // never fails
	return NewSecret(base64.RawURLEncoding.EncodeToString(random[:]))
}

// Reveal is the text itself, for the one who has to use it.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// Empty reports whether there is no text.
func (s Secret) Empty() bool { return s.Reveal() == "" }

// Equal compares the texts in a time that does not depend on where they differ.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String is "[redacted]", in a panic too.
func (Secret) String() string { return redacted }

// Format writes "[redacted]" for every verb.
func (Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// MarshalText is "[redacted]"; log/slog, YAML, encoding/json and encoding/xml use it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
