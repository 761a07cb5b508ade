package account

import (
	"errors"
	"testing"

	"manus/audit"
)

// events counts the lines of a kind about an account.
func (b bench) events(t *testing.T, userID string, kind audit.Kind) (n int) {
	t.Helper()
	lines, _, err := b.c.Audit.List(t.Context(), userID, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if line.Kind == kind {
			n++
		}
	}
	return n
}

func TestTheEndOfALoginIsOneLine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	me, err := b.Authenticate(t.Context(), b.register(t).Access)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := b.Register(t.Context(), NewUser{Email: "another@example.com", Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := b.Authenticate(t.Context(), other.Access)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to end
		if err := b.Logout(t.Context(), me.UserID, me.LoginID); err != nil {
			t.Error(err)
		}
		if n := b.events(t, me.UserID, eventSignedOut); n != 1 {
			t.Errorf("signing out is %d lines", n)
		}
	}
	for _, id := range []string{theirs.LoginID, me.LoginID, "nonsense"} {
		if err := b.revokeDevice(t.Context(), me.UserID, id); !errors.Is(err, errUnknownDevice) {
			t.Errorf("another's login, or one that has ended: %v", err)
		}
	}
	b.wantAlive(t, other, true)
	if err := b.revokeDevice(t.Context(), theirs.UserID, theirs.LoginID); err != nil {
		t.Error(err)
	}
	b.wantAlive(t, other, false)
	if mine, n := b.events(t, me.UserID, eventDeviceRevoked), b.events(t, theirs.UserID, eventDeviceRevoked); mine != 0 || n != 1 {
		t.Errorf("ending a login elsewhere is %d lines, and what ended none %d", n, mine)
	}
}

// A guess is what the limits of wrong secrets count; a passkey can't be guessed.
func TestWhichProofsAreGuesses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		proof *ProofBody
		guess bool
	}{"none": {nil, false}, "an empty one": {&ProofBody{}, false}, "a password": {&ProofBody{Password: "x"}, true}, "a code": {&ProofBody{OTP: "1"}, true}} {
		if c.proof.tried() != c.guess {
			t.Errorf("%s is a guess: %v", name, !c.guess)
		}
	}
}
