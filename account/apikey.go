package account

import (
	"cmp"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"time"

	"github.com/google/uuid"

	"manus/docstore"
	"manus/identity"
)

// apiKey is a program's credential to act for an account, within its scopes.
type apiKey struct {
	ID         string           `json:"_id"`
	UserID     string           `json:"user_id"`
	Name       string           `json:"name"`
	SecretHash string           `json:"secret_hash"`
	Scopes     []identity.Scope `json:"scopes"`
	CreatedAt  docstore.Time    `json:"created_at"`
	ExpiresAt  docstore.Time    `json:"expires_at,omitzero"` // never, if it isn't there
	UsedAt     docstore.Time    `json:"used_at,omitzero"`    // to usedPrecision
	Slot       int              `json:"slot,omitempty"`      // see insertInSlot
}

// DocumentID is the key's id.
func (k apiKey) DocumentID() string { return k.ID }

var keySpec = docstore.Spec{Collection: "api_keys", Of: apiKey{}, Indexes: []docstore.Index{
	{Name: "by_user", Fields: []string{"user_id", "created_at"}},
	slotIndex,
}}

const (
	// maxKeys bounds the keys of one account.
	maxKeys = 100
	// usedPrecision is how far behind UsedAt may be: it isn't written at
	// every request.
	usedPrecision = time.Minute
)

// A key is keyPrefix, by which secret scanners know it, and the base64url of its
// id, its secret and a checksum, by which they know it isn't something else.
const (
	keyPrefix = "mk_"
	keyLength = len(uuid.UUID{}) + len(secret{}) + 4
)

// Errors of API keys.
var (
	errUnknownKey   = errors.New("the account has no such key")
	errTooManyKeys  = errors.New("the account has as many keys as one can have")
	errInvalidScope = errors.New("there is no such scope, or the account may not give it")
	errInvalidTime  = errors.New("the time has passed already")
)

func formatKey(id uuid.UUID, s secret) string {
	body := append(id[:], s[:]...)
	body = binary.BigEndian.AppendUint32(body, crc32.ChecksumIEEE(body))
	return keyPrefix + base64.RawURLEncoding.EncodeToString(body)
}

func parseKey(token string) (id string, s secret, err error) {
	raw, ok := decodeToken(token, keyPrefix, keyLength)
	if !ok || binary.BigEndian.Uint32(raw[keyLength-4:]) != crc32.ChecksumIEEE(raw[:keyLength-4]) {
		return "", s, ErrInvalidToken
	}
	return uuid.UUID(raw[:16]).String(), secret(raw[16 : keyLength-4]), nil
}

// makeKey makes a key for the account and returns it as it is shown, once.
// expires may be zero. Only an operator's key may have the scopes of one: worker is among them.
func (s *Service) makeKey(ctx context.Context, userID, name string, scopes []identity.Scope, expires time.Time) (apiKey, string, error) {
	user, err := s.Get(ctx, userID)
	if err != nil {
		return apiKey{}, "", err
	}
	mayGive := []identity.Scope{identity.Read, identity.Write}
	if user.Role == identity.Operator {
		mayGive = append(mayGive, identity.Worker, identity.ScopeOperate, identity.Probe)
	}
	if slices.ContainsFunc(scopes, func(scope identity.Scope) bool { return !slices.Contains(mayGive, scope) }) {
		return apiKey{}, "", errInvalidScope
	}
	if !expires.IsZero() && !s.c.Now().Before(expires) {
		return apiKey{}, "", errInvalidTime
	}
	id, secret := uuid.Must(uuid.Parse(cmp.Or(docstore.IDFrom(ctx), docstore.NewID()))), newSecret()
	key := apiKey{
		ID: id.String(), UserID: userID, Name: name, SecretHash: secret.hash(), Scopes: scopes,
		CreatedAt: docstore.At(s.c.Now()), ExpiresAt: docstore.At(expires),
	}
	err = insertInSlot(ctx, s.apiKeys, userID, maxKeys, errTooManyKeys, &key, func(k *apiKey) *int { return &k.Slot })
	if docstore.ConflictsOn(err, docstore.IDIndex) { // made by somebody who was killed, and known to nobody
		key, err = s.apiKeys.Update(ctx, key.ID, func(k *apiKey) error { k.SecretHash = secret.hash(); return nil })
		s.states.Forget()
	}
	if err != nil {
		return apiKey{}, "", err
	}
	err = s.updateNoting(ctx, userID, eventKeyMade, func(*User) error { return nil })
	return key, formatKey(id, secret), err
}

// keysOf returns the account's keys, latest first, and the next page's cursor.
func (s *Service) keysOf(ctx context.Context, userID string, limit int, cursor string) ([]apiKey, string, error) {
	return s.apiKeys.Find(ctx, docstore.Query{Index: "by_user", Equal: []any{userID}, Descending: true, Limit: limit, Cursor: cursor})
}

// revokeKey ends a key of the account, or returns errUnknownKey.
func (s *Service) revokeKey(ctx context.Context, userID, id string) error {
	key, err := s.apiKeys.Get(ctx, id)
	if err == nil && key.UserID != userID {
		return errUnknownKey
	}
	if err == nil {
		err = s.apiKeys.Delete(ctx, id)
		s.states.Forget()
	}
	if err != nil {
		return docstore.NotFoundAs(err, errUnknownKey)
	}
	s.c.Audit.Record(ctx, userID, eventKeyRevoked)
	return nil
}

// authenticateKey tells who an API key acts for, as things stand now: at most a
// second old for what other copies of the program have changed. It returns
// ErrInvalidToken, or an error of the store.
func (s *Service) authenticateKey(ctx context.Context, token string) (identity.Caller, error) {
	id, secret, err := parseKey(token)
	if err != nil {
		return identity.Caller{}, err
	}
	hash := secret.hash()
	load := func(ctx context.Context, id string) (proofState, error) { return s.loadKey(ctx, id, hash) }
	state, err := s.state(ctx, id, load)
	if err == nil && !hmac.Equal([]byte(state.secretHash), []byte(hash)) {
		return identity.Caller{}, ErrInvalidToken
	}
	return state.caller, err
}

// forever is the expiry of a key that never expires.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// loadKey reads a key's state, and notes that it is used when the hash is its.
func (s *Service) loadKey(ctx context.Context, id, hash string) (proofState, error) {
	key, err := s.apiKeys.Get(ctx, id)
	if err != nil {
		return proofState{}, docstore.NotFoundAs(err, ErrInvalidToken)
	}
	user, err := s.users.Get(ctx, key.UserID)
	if err != nil {
		return proofState{}, docstore.NotFoundAs(err, ErrInvalidToken)
	}
	expires, now := cmp.Or(key.ExpiresAt.Time, forever), s.c.Now()
	if user.Disabled || !now.Before(expires) {
		return proofState{}, nil
	}
	if now.Sub(key.UsedAt.Time).Abs() >= usedPrecision && hmac.Equal([]byte(key.SecretHash), []byte(hash)) {
		_, err = s.apiKeys.Update(ctx, id, func(k *apiKey) error {
			k.UsedAt = docstore.At(now)
			return nil
		})
		if err != nil { // a store that can't write still lets keys in
			s.c.Log.WarnContext(ctx, "the use of an API key was not written down", "key", id, "error", err)
		}
	}
	caller := identity.Caller{UserID: user.ID, Account: user.Email, KeyID: id, Role: user.Role, Scopes: key.Scopes}
	if caller.Scopes == nil { // nil is for people
		caller.Scopes = []identity.Scope{}
	}
	return proofState{caller: caller, expires: expires, secretHash: key.SecretHash}, nil
}

// CallerOf is who proved themselves by a login, or else by an API key, as things stand now.
// It returns ErrInvalidToken when that has ended, or an error of the store.
func (s *Service) CallerOf(ctx context.Context, loginID, keyID string) (identity.Caller, error) {
	id, load := loginID, s.loadLogin
	if id == "" {
		id, load = keyID, func(ctx context.Context, id string) (proofState, error) { return s.loadKey(ctx, id, "") }
	}
	state, err := s.state(ctx, id, load)
	return state.caller, err
}
