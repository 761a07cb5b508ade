package account

import (
	"time"

	"manus/identity"
)

// stateLifetime is how long the state of a login or key is believed without asking the
// store: what another copy of the program has changed is seen after that.
const stateLifetime = time.Second

// maxStates and maxVerified bound the halves of what is remembered of proofs.
const (
	maxStates   = 1 << 16
	maxVerified = 1 << 15
)

// proofState is what a request needs to know of the login or key it came with.
// The zero state is one that has ended.
type proofState struct {
	userID  string
	role    identity.Role
	expires time.Time
	// Of a key:
	secretHash string
	scopes     []identity.Scope
}

// accessToken is what a verified token says. It never changes; whether it has
// expired is asked each time.
type accessToken struct {
	userID, loginID string
	issued, expires time.Time
}

// validAt tells whether the token is in force, within the clocks' skew.
func (t accessToken) validAt(now time.Time) bool {
	return now.Before(t.expires.Add(clockSkew)) && !now.Before(t.issued.Add(-clockSkew))
}
