package seal

import (
	"bytes"
	"errors"
	"testing"
)

const (
	secretA = "a-first-secret-of-more-than-32-bytes-9f2c"
	secretB = "another-secret-of-more-than-32-bytes-71de"
)

func box(t testing.TB, purpose string, secrets ...string) *Box {
	t.Helper()
	b, err := New(secrets, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOnlyTheSamePlacePurposeAndSecretOpen(t *testing.T) {
	t.Parallel()
	sealed := box(t, "seeds", secretA).Seal([]byte("hunter2"), "user 1")
	if bytes.Contains(sealed, []byte("hunter2")) {
		t.Error("it is in clear")
	}
	rotated := box(t, "seeds", secretB, secretA)
	if plain, err := rotated.Open(sealed, "user 1"); err != nil || string(plain) != "hunter2" {
		t.Errorf("after a rotation: %q, %v", plain, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another place":   func() ([]byte, error) { return rotated.Open(sealed, "user 2") },
		"another purpose": func() ([]byte, error) { return box(t, "mails", secretA).Open(sealed, "user 1") },
		"another secret":  func() ([]byte, error) { return box(t, "seeds", secretB).Open(sealed, "user 1") },
		"nothing":         func() ([]byte, error) { return rotated.Open(nil, "user 1") },
		"cut off":         func() ([]byte, error) { return rotated.Open(sealed[:len(sealed)-1], "user 1") },
	} {
		if plain, err := open(); !errors.Is(err, ErrUnreadable) || plain != nil {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := rotated.Open(changed, "user 1"); !errors.Is(err, ErrUnreadable) {
			t.Errorf("byte %d can be changed", i)
		}
	}
}

func TestKeysAreToldApart(t *testing.T) {
	t.Parallel()
	if box(t, "seeds", secretA).KeyID() == box(t, "seeds", secretB).KeyID() {
		t.Error("two secrets have one id")
	}
	if bytes.Equal(box(t, "x", secretA).Seal([]byte("a"), ""), box(t, "x", secretA).Seal([]byte("a"), "")) {
		t.Error("the same value is sealed alike")
	}
	if _, err := New(nil, "x"); err == nil {
		t.Error("no secret is taken")
	}
}

func FuzzOpen(f *testing.F) {
	b := box(f, "seeds", secretA)
	f.Add(b.Seal([]byte("x"), "y"), "y")
	f.Add([]byte("12345678"), "")
	f.Fuzz(func(t *testing.T, sealed []byte, bound string) {
		if plain, err := b.Open(sealed, bound); err != nil && plain != nil {
			t.Error("an error with a value")
		}
	})
}
