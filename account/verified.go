package account

import (
	"crypto/sha256"
	"sync"
	"time"
)

// verified remembers which access tokens have been verified, since checking a
// signature is a good part of a small request. What a token says never changes;
// whether it has expired is asked each time. Tokens are kept as their hashes.
type verified struct {
	mu         sync.RWMutex
	young, old map[[sha256.Size]byte]accessToken
}

// maxVerified bounds each of the two halves; a full young one becomes the old.
const maxVerified = 1 << 15

// accessToken is what a verified token says.
type accessToken struct {
	userID, loginID string
	issued, expires time.Time
}

// validAt tells whether the token is in force, within the clocks' skew.
func (t accessToken) validAt(now time.Time) bool {
	return now.Before(t.expires.Add(clockSkew)) && !now.Before(t.issued.Add(-clockSkew))
}

func newVerified() *verified {
	return &verified{young: map[[sha256.Size]byte]accessToken{}}
}

func (v *verified) get(hash [sha256.Size]byte) (accessToken, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if t, ok := v.young[hash]; ok {
		return t, true
	}
	t, ok := v.old[hash]
	return t, ok
}

func (v *verified) put(hash [sha256.Size]byte, t accessToken) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.young) >= maxVerified {
		v.young, v.old = map[[sha256.Size]byte]accessToken{}, v.young
	}
	v.young[hash] = t
}
