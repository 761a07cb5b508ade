package account

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"manus/docstore"
)

// The claims by which an access token is known as ours: those of another program that
// shares the secret by mistake are refused.
const (
	issuer   = "manus"
	audience = "manus-api"
	// accessType is the typ of a JWT used as an access token (RFC 9068).
	accessType = "at+jwt"
	// clockSkew is how far apart the clocks of two copies may be.
	clockSkew = 10 * time.Second
	// maxToken bounds the length of what is looked at as a token.
	maxToken = 2048
)

// key is one secret's keys, each for one purpose.
type key struct {
	id      string
	access  []byte // signs access tokens
	refresh []byte // derives and marks refresh tokens
}

// keyring holds the keys, the one that signs first.
type keyring []key

func newKeyring(secrets []string) (keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("account: no secret to sign tokens with")
	}
	var keys keyring
	for _, secret := range secrets {
		if len(secret) < 32 {
			return nil, errors.New("account: a secret has fewer than 32 bytes")
		}
		k := key{}
		var id []byte
		for purpose, out := range map[string]*[]byte{"access": &k.access, "refresh": &k.refresh, "key id": &id} {
			derived, err := hkdf.Key(sha256.New, []byte(secret), nil, "manus "+purpose, 32)
			if err != nil {
				return nil, err
			}
			*out = derived
		}
		k.id = hex.EncodeToString(id[:8])
		keys = append(keys, k)
	}
	return keys, nil
}

type accessClaims struct {
	jwt.RegisteredClaims
	LoginID string `json:"sid"`
	// Generation is the lineage's that the token came with.
	Generation int64 `json:"gen,omitempty"`
}

func (keys keyring) signAccess(userID, loginID string, generation int64, now time.Time) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Audience:  jwt.ClaimStrings{audience},
			Subject:   userID,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(AccessLifetime)),
		},
		LoginID:    loginID,
		Generation: generation,
	})
	token.Header["typ"] = accessType
	token.Header["kid"] = keys[0].id
	return token.SignedString(keys[0].access)
}

// verifyAccess reads an access token that we signed and that is in force. Any
// failure is ErrInvalidToken: which one is nobody's business.
func (keys keyring) verifyAccess(token string, now time.Time) (accessToken, error) {
	if len(token) > maxToken {
		return accessToken{}, ErrInvalidToken
	}
	var claims accessClaims
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(clockSkew),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)
	_, err := parser.ParseWithClaims(token, &claims, keys.accessKey)
	if err != nil || claims.Subject == "" || claims.LoginID == "" || claims.IssuedAt == nil {
		return accessToken{}, ErrInvalidToken
	}
	return accessToken{claims.Subject, claims.LoginID, claims.Generation, claims.IssuedAt.Time, claims.ExpiresAt.Time}, nil
}

// verifyOnce reads an access token that was valid once, and may have expired since.
func (keys keyring) verifyOnce(token string) (accessToken, error) {
	var claims accessClaims
	if len(token) > maxToken {
		return accessToken{}, ErrInvalidToken
	}
	_, _, err := jwt.NewParser().ParseUnverified(token, &claims)
	if err != nil || claims.ExpiresAt == nil {
		return accessToken{}, ErrInvalidToken
	}
	return keys.verifyAccess(token, claims.ExpiresAt.Time)
}

// accessKey picks the key that a token's header names, if the header is one of
// ours. Keys that a header brings along (jku, jwk, x5u) are never looked at.
func (keys keyring) accessKey(token *jwt.Token) (any, error) {
	_, critical := token.Header["crit"]
	if critical || token.Header["typ"] != accessType {
		return nil, ErrInvalidToken
	}
	for _, k := range keys {
		if token.Header["kid"] == k.id {
			return k.access, nil
		}
	}
	return nil, ErrInvalidToken
}

// A refresh token is refreshPrefix and the base64url of the login's id, a
// secret and a mark. The store has only the secret's hash. The mark is a MAC: it
// tells a token that was once ours, and has been used up, from an invented one.
const (
	refreshPrefix = "mr_" // for secret scanners
	markLength    = 16
	refreshLength = len(uuid.UUID{}) + len(secret{}) + markLength
	// retryWindow is how long a used-up token gets the same answer again, whatever has
	// become of that.
	retryWindow = 10 * time.Second
	// lostFor is how long it gets that if the answer was lost: if nothing that came with
	// it has been used.
	lostFor = 24 * time.Hour
)

// secret is what makes a token, a key or a link unguessable. The store has its hash.
type secret [32]byte

func newSecret() (s secret) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}

func (s secret) hash() string { return hexHash(s[:]) }

// hexHash has neither salt nor cost, as what it is used for can't be guessed or
// isn't secret.
func hexHash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// presentedToken is a refresh token that was once ours, as somebody sent it.
type presentedToken struct {
	loginID string
	secret  secret
}

func (keys keyring) formatRefresh(loginID string, secret secret) (string, error) {
	id, err := uuid.Parse(loginID)
	if err != nil {
		return "", fmt.Errorf("account: a login's id is no UUID: %w", err)
	}
	token := append(id[:], secret[:]...)
	token = append(token, keys[0].mark(token)...)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(token), nil
}

// parseRefresh reads a token that was once ours, or returns ErrInvalidToken.
func (keys keyring) parseRefresh(token string) (presentedToken, error) {
	raw, ok := decodeToken(token, refreshPrefix, refreshLength)
	if !ok {
		return presentedToken{}, ErrInvalidToken
	}
	body, mark := raw[:refreshLength-markLength], raw[refreshLength-markLength:]
	if !slices.ContainsFunc(keys, func(k key) bool { return hmac.Equal(mark, k.mark(body)) }) {
		return presentedToken{}, ErrInvalidToken
	}
	return presentedToken{uuid.UUID(body[:16]).String(), secret(body[16:])}, nil
}

// decodeToken reads a token that is a prefix and the base64url of length bytes. The
// decoder skips line breaks, so what comes out is measured, too.
func decodeToken(token, prefix string, length int) (raw []byte, ok bool) {
	encoded, ok := strings.CutPrefix(token, prefix)
	if !ok || len(encoded) != base64.RawURLEncoding.EncodedLen(length) {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	return raw, err == nil && len(raw) == length
}

func (k key) mark(body []byte) []byte { return k.mac("mark", body)[:markLength] }

// successor is the secret that follows another. It is computed rather than
// drawn, so that whoever repeats a refresh gets the same one, and nobody needs
// to keep it.
func (k key) successor(of, salt secret) secret {
	return secret(k.mac("successor", of[:], salt[:]))
}

func (k key) mac(purpose string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, k.refresh)
	mac.Write([]byte(purpose))
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// lineage is the refresh tokens of a login: the one that counts, and the one
// before it. There is never more than one that counts.
type lineage struct {
	Current   string        `json:"current"` // hashes
	Previous  string        `json:"previous,omitempty"`
	Salt      []byte        `json:"salt,omitempty"` // that Current came from Previous with
	RotatedAt docstore.Time `json:"rotated_at,omitzero"`
	// Generation counts the refreshes; an access token says which one it came with.
	// Arrived is the latest of which anything has been used: the answer to a later one may
	// have been lost.
	Generation int64 `json:"generation,omitempty"`
	Arrived    int64 `json:"arrived,omitempty"`
}

// repeatable tells whether the token before the current one still gets the same answer.
func (l *lineage) repeatable(now time.Time) bool {
	age := now.Sub(l.RotatedAt.Time).Abs()
	return age <= retryWindow || l.Arrived < l.Generation && age <= lostFor
}

var errReused = errors.New("the refresh token was used before")

// advance uses up the presented token and returns the secret that follows it.
// When that has just been done, it returns the same secret once more and
// docstore.ErrUnchanged. Otherwise the error is ErrInvalidToken or errReused.
func (l *lineage) advance(keys keyring, p presentedToken, salt secret, now time.Time) (secret, error) {
	presented := p.secret.hash()
	switch {
	case presented == l.Current:
		next := keys[0].successor(p.secret, salt)
		*l = lineage{
			Current: next.hash(), Previous: presented, Salt: salt[:], RotatedAt: docstore.At(now),
			Generation: l.Generation + 1, Arrived: l.Generation,
		}
		return next, nil
	case presented == l.Previous && l.repeatable(now) && len(l.Salt) == len(salt):
		for _, k := range keys { // the secret may have been rotated in between
			if next := k.successor(p.secret, secret(l.Salt)); next.hash() == l.Current {
				return next, docstore.ErrUnchanged
			}
		}
		return secret{}, ErrInvalidToken
	}
	return secret{}, errReused
}
