package readiness

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
)

// The headers by which a request asks for a proof that a copy on this store answers it, and by
// which it is given one.
const (
	ChallengeHeader = "Manus-Challenge"
	ProofHeader     = "Manus-Proof"
)

// maxChallenge bounds what is proved, in bytes.
const maxChallenge = 64

// NewChallenge is one that was never asked before.
func NewChallenge() string { return rand.Text() }

// Proving is next, whose answers prove, to those requests that ask, that they are this copy's. Only
// who reads the store can tell by a proof whose it is: the key is there, and no two proofs are alike.
func (s *Service) Proving(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if challenge := r.Header.Get(ChallengeHeader); challenge != "" && len(challenge) <= maxChallenge {
			salt := rand.Text()
			w.Header().Set(ProofHeader, salt+"."+proof(s.Copy.Key, salt, challenge))
		}
		next.ServeHTTP(w, r)
	})
}

func proof(key, salt, challenge string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(salt + "." + challenge))
	return hex.EncodeToString(mac.Sum(nil))
}

// Proven tells whether an answer is of one of the copies.
func Proven(copies []Copy, challenge string, answer http.Header) bool {
	salt, given, _ := strings.Cut(answer.Get(ProofHeader), ".")
	return slices.ContainsFunc(copies, func(c Copy) bool {
		return c.Key != "" && hmac.Equal([]byte(given), []byte(proof(c.Key, salt, challenge)))
	})
}
