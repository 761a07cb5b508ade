package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/text/unicode/norm"

	"manus/docstore"
)

// Bounds of a password, in characters. Any characters will do.
const (
	MinPassword = 8
	MaxPassword = 256
)

// argon2Params are argon2id's costs: memory in KiB, passes and lanes.
type argon2Params struct {
	memory, time uint32
	threads      uint8
}

// current is OWASP's first choice for argon2id (Password Storage Cheat Sheet).
var current = argon2Params{memory: 19 * 1024, time: 2, threads: 1}

// highest is what a stored hash may ask for: a hash that somebody has planted
// in the store can't take the machine.
var highest = argon2Params{memory: 256 * 1024, time: 10, threads: 4}

const (
	saltLength = 16
	hashLength = 32
)

// maxHashQueue bounds the queue for hashing. A flood of logins gets a quick 503 once it
// is full, and can take neither the memory nor every processor. Whoever is in the queue
// has the request's time: a busy machine is slower, but turns nobody away for that.
const maxHashQueue = 128

// hashQueueTime is about how long a full queue takes.
const hashQueueTime = 5 * time.Second

// errBusy is returned when too many passwords wait to be hashed.
var errBusy = busyError{}

type busyError struct{}

func (busyError) Error() string { return "too many passwords are being checked" }

// RetryAfter is when it is worth trying again.
func (busyError) RetryAfter() time.Duration { return hashQueueTime }

// hasher hashes passwords, a bounded number at a time.
type hasher struct {
	memory   *semaphore.Weighted // in KiB
	capacity int64
	waiting  atomic.Int64
	crowded  atomic.Bool // some have waited since memory was last given back
	giveBack func()      // gives memory back to the system
}

// giveBackAfter is how long after a crowd the memory that its hashes took is given back:
// by itself that would come with the next collection, which idleness puts off.
const giveBackAfter = time.Second

func newHasher(concurrency int) *hasher {
	capacity := int64(concurrency) * int64(current.memory)
	return &hasher{memory: semaphore.NewWeighted(capacity), capacity: capacity, giveBack: debug.FreeOSMemory}
}

// checkPassword returns ErrWeakPassword for a password out of bounds, and
// ErrCommonPassword for one that is guessed first.
func checkPassword(password, email, fullName string) error {
	n := utf8.RuneCountInString(password)
	if n < MinPassword || n > MaxPassword || !utf8.ValidString(password) {
		return ErrWeakPassword
	}
	if guessable(password, email, fullName) {
		return ErrCommonPassword
	}
	return nil
}

//go:embed common-passwords.txt
var commonPasswords string

// common are the passwords that are guessed first, in lower case.
var common = sync.OnceValue(func() map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(commonPasswords) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			found[strings.ToLower(line)] = true
		}
	}
	return found
})

// guessable tells whether a password is among the first to be guessed: a common
// one, or what is known of the person or the service, also with digits after it.
func guessable(password, email, fullName string) bool {
	word := strings.ToLower(norm.NFKC.String(password))
	if common()[word] {
		return true
	}
	local, domain, _ := strings.Cut(strings.ToLower(email), "@")
	site, _, _ := strings.Cut(domain, ".")
	stem := strings.TrimRight(word, "0123456789!.-_")
	for _, known := range []string{strings.ToLower(email), local, domain, site, "manus", strings.ToLower(fullName), strings.ToLower(strings.ReplaceAll(fullName, " ", ""))} {
		if known != "" && (word == known || stem == known) {
			return true
		}
	}
	return strings.Count(word, word[:1]) == len(word) // one character again and again
}

// newHash is the hash of an account's new password. It returns ErrWeakPassword,
// ErrCommonPassword or a busy error.
func (s *Service) newHash(ctx context.Context, u User, password string) (string, error) {
	if err := checkPassword(password, u.Email, u.FullName); err != nil {
		return "", err
	}
	return s.hasher.hash(ctx, password)
}

// setPassword sets a new password: links that could reset it are void, and so
// are all logins but the spared one.
func (u *User) setPassword(hash, spared string) {
	u.PasswordHash, u.PasswordUntil = hash, docstore.Time{}
	u.dropTickets(ticketReset)
	u.endLogins(spared)
}

// passwordOver tells whether the password is a temporary one that has expired.
func (u User) passwordOver(now time.Time) bool {
	return !u.PasswordUntil.IsZero() && !now.Before(u.PasswordUntil.Time)
}

// ChangePassword sets a new password and ends every login but the one it is
// asked from. The proof has the current password; where the account has a second
// factor, that too, unless it was proved lately. It returns ErrWrongPassword when
// the proof is wrong, ErrStepUp when it lacks the second factor, ErrWeakPassword
// or ErrCommonPassword for the new password.
func (s *Service) ChangePassword(ctx context.Context, userID, loginID string, proof Proof, password string) error {
	user, err := s.Get(ctx, userID)
	if err != nil {
		return err
	}
	ok, err := s.hasher.verify(ctx, proof.Password, user.PasswordHash)
	if err != nil {
		return err
	}
	if !ok {
		s.failures.Add(ctx, userID)
		return ErrWrongPassword
	}
	_, err = s.secondFactor(ctx, user, proof.OTP, proof.Passkey)
	if errors.Is(err, ErrSecondFactor) {
		err = s.provedLately(ctx, loginID, false)
	}
	if err != nil {
		return err
	}
	hash, err := s.newHash(ctx, user, password)
	if err != nil {
		return err
	}
	return s.updateNoting(ctx, userID, eventPasswordChanged, func(u *User) error {
		if u.PasswordHash != user.PasswordHash { // another change came first
			return ErrWrongPassword
		}
		u.setPassword(hash, loginID)
		return nil
	})
}

// hash makes the PHC string of a password, or returns a busy error.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails
	digest, err := h.derive(ctx, password, salt, current, hashLength)
	if err != nil {
		return "", err
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		current.memory, current.time, current.threads, encode(salt), encode(digest)), nil
}

// verify tells whether the password made the stored hash. A hash that is empty
// or can't be read costs as much as a good one and matches nothing.
func (h *hasher) verify(ctx context.Context, password, stored string) (bool, error) {
	params, salt, want, readable := parseHash(stored)
	if !readable {
		params, salt, want = current, make([]byte, saltLength), make([]byte, hashLength)
	}
	got, err := h.derive(ctx, password, salt, params, len(want))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && readable, nil
}

func (h *hasher) derive(ctx context.Context, password string, salt []byte, p argon2Params, length int) ([]byte, error) {
	weight := min(int64(p.memory), h.capacity)
	if err := h.acquire(ctx, weight); err != nil {
		return nil, err
	}
	defer h.release(weight)
	return argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, uint32(length)), nil //nolint:gosec // at most 64, see parseHash
}

func (h *hasher) release(weight int64) {
	h.memory.Release(weight)
	if h.waiting.Load() == 0 && h.crowded.CompareAndSwap(true, false) {
		time.AfterFunc(giveBackAfter, h.giveBack)
	}
}

// isFull tells whether a password would be turned away now.
func (h *hasher) isFull() bool { return h.waiting.Load() >= maxHashQueue }

func (h *hasher) acquire(ctx context.Context, weight int64) error {
	if h.waiting.Add(1) > maxHashQueue {
		h.waiting.Add(-1)
		return errBusy
	}
	defer h.waiting.Add(-1)
	if h.memory.TryAcquire(weight) {
		return nil
	}
	h.crowded.Store(true)
	return h.memory.Acquire(ctx, weight)
}

// outdated tells whether a stored hash was made with other costs than today's.
func outdated(stored string) bool {
	params, _, _, readable := parseHash(stored)
	return readable && params != current
}

// parseHash reads a PHC string (github.com/P-H-C/phc-string-format) of
// argon2id within bounds.
func parseHash(stored string) (p argon2Params, salt, digest []byte, ok bool) {
	parts := strings.Split(stored, "$")
	if len(stored) > 512 || len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, nil, nil, false
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	digest, digestErr := base64.RawStdEncoding.DecodeString(parts[5])
	ok = saltErr == nil && digestErr == nil &&
		within(uint32(p.threads), 1, uint32(highest.threads)) &&
		within(p.time, 1, highest.time) &&
		within(p.memory, 8*uint32(p.threads), highest.memory) &&
		within(uint32(len(salt)), 8, 64) && within(uint32(len(digest)), 16, 64) //nolint:gosec // bounded by the length of stored
	return p, salt, digest, ok
}

func within(n, low, high uint32) bool { return low <= n && n <= high }
