package account

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"manus/docstore"
	"manus/internal/clocktest"
)

func encodeDigest(digest []byte) string { return base64.RawStdEncoding.EncodeToString(digest) }

func TestRefreshRotates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.register(t)
	second, err := b.Refresh(t.Context(), first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if second.Refresh == first.Refresh || !strings.HasPrefix(second.Refresh, "mr_") {
		t.Error("the refresh token isn't new")
	}
	b.wantAlive(t, second, true)
	if _, err := b.Refresh(t.Context(), second.Refresh); err != nil {
		t.Error(err)
	}
}

func TestALostAnswerMayBeAskedForAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.register(t)
	second, err := b.Refresh(t.Context(), first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	for _, passed := range []time.Duration{0, 10 * time.Second, -15 * time.Second} {
		b.clock.Add(passed)
		again, err := b.Refresh(t.Context(), first.Refresh)
		if err != nil || again.Refresh != second.Refresh {
			t.Errorf("%v later: another token, %v", passed, err)
		}
	}
}

// An answer that never arrived may be asked for again for a day, on every copy and after
// a restart; once something of it has been used, that is reuse.
func TestAnAnswerThatWasLostIsAskedForAgainHoursLater(t *testing.T) {
	t.Parallel()
	a := setup(t)
	other := copyOf(t, a.store, a.clock, []string{secretA})
	first := a.register(t)
	a.clock.Add(time.Second) // tokens say to the second when they were made
	lost, err := a.Refresh(t.Context(), first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	a.wantAlive(t, first, true) // a token of before says nothing of the answer
	for _, passed := range []time.Duration{15 * time.Second, 10 * time.Minute, 23 * time.Hour} {
		a.clock.Add(passed)
		again, err := other.Refresh(t.Context(), first.Refresh)
		if err != nil || again.Refresh != lost.Refresh {
			t.Fatalf("%v later: %v", passed, err)
		}
		lost = again
	}
	other.wantAlive(t, lost, true) // it has arrived
	if _, err := a.Refresh(t.Context(), first.Refresh); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("the token before is taken: %v", err)
	}
	other.clock.Add(stateLifetime)
	a.wantAlive(t, lost, false)
}

func TestAnAnswerIsNotLostForMoreThanADay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.register(t)
	if _, err := b.Refresh(t.Context(), first.Refresh); err != nil {
		t.Fatal(err)
	}
	b.clock.Add(lostFor + time.Millisecond)
	if _, err := b.Refresh(t.Context(), first.Refresh); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("got %v", err)
	}
}

// What has arrived is noted of the refresh that it came from, whatever the clocks say and
// whatever a copy remembers of the login; a token of before tells nothing.
func TestAnArrivalIsThatOfItsOwnRefresh(t *testing.T) {
	t.Parallel()
	for name, passed := range map[string]time.Duration{"an hour later": time.Hour, "at the same time": 0, "with the clock set back": -time.Hour} {
		a := setup(t)
		other := copyOf(t, a.store, a.clock, []string{secretA})
		first := a.register(t)
		second, err := a.Refresh(t.Context(), first.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		a.clock.Add(passed)
		third, err := other.Refresh(t.Context(), second.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		a.wantAlive(t, second, passed == 0) // of before; where it holds, a remembers the login from now on
		a.clock.Add(10 * time.Minute)
		again, err := other.Refresh(t.Context(), second.Refresh)
		if err != nil || again.Refresh != third.Refresh {
			t.Errorf("%s, the lost answer: %v", name, err)
		}
		a.wantAlive(t, again, true)
		if _, err := other.Refresh(t.Context(), second.Refresh); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s, after its first use: %v", name, err)
		}
	}
}

func TestAnArrivalThatWasNotWrittenDownIsByTheNextRequest(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	store := &disk{Store: testStore(t)}
	b := copyOf(t, store, clocktest.New(), []string{secretA}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	tokens, err := b.Refresh(t.Context(), b.register(t).Refresh)
	if err != nil {
		t.Fatal(err)
	}
	read, err := b.verify(tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	for i, full := range []bool{true, true, false, false} {
		store.full.Store(full)
		b.wantAlive(t, tokens, true)
		l, err := b.logins.Get(t.Context(), read.loginID)
		if arrived := l.Lineage.Arrived == read.generation; err != nil || arrived == full {
			t.Errorf("request %d: it is written down: %v (%v)", i+1, arrived, err)
		}
	}
	if told := strings.Count(log.String(), "was not written down"); told != 2 {
		t.Errorf("the operator reads: %s", &log)
	}
}

// That a refresh has arrived is written by the first request to any copy, and by no other.
func TestAnArrivalIsWrittenOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	store := &disk{Store: testStore(t)}
	logged := func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) }
	a := copyOf(t, store, clocktest.New(), []string{secretA}, logged)
	other := copyOf(t, store, a.clock, []string{secretA}, logged)
	first := a.register(t)
	second, err := a.Refresh(t.Context(), first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	other.wantAlive(t, first, true) // from now on it remembers that nothing has arrived
	a.wantAlive(t, second, true)
	store.full.Store(true) // so that a write would be told of
	a.wantAlive(t, second, true)
	other.wantAlive(t, second, true)
	if log.Len() > 0 {
		t.Errorf("it was written again: %s", &log)
	}
}

func TestHowLongAUsedTokenGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	now := clocktest.New().Now()
	for name, c := range map[string]struct {
		age     time.Duration
		arrived int64
		same    bool
	}{
		"used, ten seconds ago":            {retryWindow, 2, true},
		"used, longer ago":                 {retryWindow + time.Millisecond, 2, false},
		"used, by a clock ten s behind":    {-retryWindow, 2, true},
		"used, by a clock far behind":      {-retryWindow - time.Millisecond, 2, false},
		"lost, a day ago":                  {lostFor, 1, true},
		"lost, longer ago":                 {lostFor + time.Millisecond, 1, false},
		"lost, by a clock a day behind":    {-lostFor, 1, true},
		"used, as only a later one can be": {lostFor, 3, false},
	} {
		l := lineage{RotatedAt: docstore.At(now.Add(-c.age)), Generation: 2, Arrived: c.arrived}
		if l.repeatable(now) != c.same {
			t.Errorf("%s: it gets the same: %v", name, !c.same)
		}
	}
}

// A refresh whose answer is lost, and then the thief of a token: the owner's next refresh
// ends the login.
func TestAThiefOfAnOldTokenIsSeenWhenTheOwnerComesBack(t *testing.T) {
	t.Parallel()
	for name, owner := range map[string]func(b bench, first, second Tokens) string{
		"with the lost answer": func(_ bench, first, _ Tokens) string { return first.Refresh },
		"with the new token":   func(_ bench, _, second Tokens) string { return second.Refresh },
	} {
		b := setup(t)
		first := b.register(t)
		second, err := b.Refresh(t.Context(), first.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		b.clock.Add(time.Hour)
		stolen, err := b.Refresh(t.Context(), first.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		b.wantAlive(t, stolen, true)
		newest, err := b.Refresh(t.Context(), stolen.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		b.clock.Add(retryWindow + time.Second)
		b.wantAlive(t, newest, true)
		if _, err := b.Refresh(t.Context(), owner(b, first, second)); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
		b.wantAlive(t, newest, false)
	}
}

// While an answer is awaited, many ask for it again and somebody uses it: there is one
// lineage, and it is written down that it was used.
func TestALostAnswerAskedForByManyWhileItIsUsed(t *testing.T) {
	t.Parallel()
	a := setup(t)
	copies := []bench{a, copyOf(t, a.store, a.clock, []string{secretA})}
	first := a.register(t)
	lost, err := a.Refresh(t.Context(), first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	a.clock.Add(5 * time.Second)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			if i%3 == 0 {
				if _, err := copies[i%2].Authenticate(context.Background(), lost.Access); err != nil {
					t.Error(err)
				}
				return
			}
			if again, err := copies[i%2].Refresh(context.Background(), first.Refresh); err != nil || again.Refresh != lost.Refresh {
				t.Errorf("another answer, %v", err)
			}
		})
	}
	wg.Wait()
	a.clock.Add(6 * time.Second)
	if _, err := a.Refresh(t.Context(), first.Refresh); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("after it was used: %v", err)
	}
}

func TestATokenUsedTwiceEndsItsLogin(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(t *testing.T, b bench, first Tokens) Tokens{
		"after the window": func(t *testing.T, b bench, first Tokens) Tokens {
			next, err := b.Refresh(t.Context(), first.Refresh)
			if err != nil {
				t.Fatal(err)
			}
			b.clock.Add(retryWindow + time.Millisecond)
			return next
		},
		"two generations on": func(t *testing.T, b bench, first Tokens) Tokens {
			next := first
			for range 2 {
				var err error
				if next, err = b.Refresh(t.Context(), next.Refresh); err != nil {
					t.Fatal(err)
				}
			}
			return next
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			first := b.register(t)
			newest := use(t, b, first)
			b.wantAlive(t, newest, true)
			if _, err := b.Refresh(t.Context(), first.Refresh); !errors.Is(err, ErrInvalidToken) {
				t.Fatalf("got %v", err)
			}
			b.wantAlive(t, newest, false)
			if _, err := b.Refresh(t.Context(), newest.Refresh); !errors.Is(err, ErrInvalidToken) {
				t.Errorf("the family lives on: %v", err)
			}
		})
	}
}

func TestAnInventedTokenEndsNobodysLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(tokens.Refresh, refreshPrefix))
	if err != nil {
		t.Fatal(err)
	}
	raw[20] ^= 1 // in the secret, so that the mark is wrong as well
	if _, err := b.Refresh(t.Context(), refreshPrefix+base64.RawURLEncoding.EncodeToString(raw)); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("got %v", err)
	}
	b.wantAlive(t, tokens, true)
}

func TestAHundredRefreshesAtOnceLeaveOneLineage(t *testing.T) {
	t.Parallel()
	a := setup(t)
	copies := []bench{a, copyOf(t, a.store, a.clock, []string{secretA})}
	first := a.register(t)
	var wg sync.WaitGroup
	answers := make([]string, 100)
	for i := range answers {
		wg.Go(func() {
			tokens, err := copies[i%2].Refresh(context.Background(), first.Refresh)
			if err != nil {
				t.Error(err)
			}
			answers[i] = tokens.Refresh
		})
	}
	wg.Wait()
	for _, answer := range answers {
		if answer != answers[0] {
			t.Fatal("two lineages")
		}
	}
	if _, err := a.Refresh(t.Context(), answers[0]); err != nil {
		t.Error(err)
	}
}

func TestSecretsRotateWithoutSigningAnybodyOut(t *testing.T) {
	t.Parallel()
	old := setup(t)
	first := old.register(t)
	during := copyOf(t, old.store, old.clock, []string{secretB, secretA})
	during.wantAlive(t, first, true)
	second, err := old.Refresh(t.Context(), first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := during.Refresh(t.Context(), first.Refresh); err != nil || !sameSecret(t, again.Refresh, second.Refresh) {
		t.Errorf("a retry across the rotation gets another answer: %v", err)
	}
	stranger, err := old.Login(t.Context(), Credentials{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	third, err := during.Refresh(t.Context(), second.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	after := copyOf(t, old.store, old.clock, []string{secretB})
	after.wantAlive(t, first, false)
	after.wantAlive(t, third, true)
	if _, err := after.Refresh(t.Context(), third.Refresh); err != nil {
		t.Errorf("a login that was refreshed meanwhile: %v", err)
	}
	if _, err := after.Refresh(t.Context(), stranger.Refresh); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("a token of the secret that is gone: %v", err)
	}
}

func sameSecret(t *testing.T, a, b string) bool {
	t.Helper()
	cut := base64.RawURLEncoding.EncodedLen(refreshLength - markLength)
	return a[:len(refreshPrefix)+cut] == b[:len(refreshPrefix)+cut]
}

func TestSecretsAreNotStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	presented, err := b.keys.parseRefresh(tokens.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.store.Get(t.Context(), loginSpec.Collection, presented.loginID)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{tokens.Refresh, encodeDigest(presented.secret[:]), base64.RawURLEncoding.EncodeToString(presented.secret[:])} {
		if strings.Contains(string(raw), secret) {
			t.Error("the refresh token stands in the store")
		}
	}
}

func TestAnAccessTokenMayBeOfTheGreatestLength(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := b.clock.Now()
	long := func(length int) string {
		for more := range 3 { // base64 doesn't have every length
			header := map[string]any{"alg": "HS256", "typ": accessType, "kid": b.keys[0].id, "x": strings.Repeat("x", more)}
			for n := range length {
				token := &jwt.Token{Method: jwt.SigningMethodHS256, Header: header, Claims: jwt.MapClaims{
					"iss": issuer, "aud": audience, "sub": "a", "sid": "b", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "x": strings.Repeat("x", n),
				}}
				signed, err := token.SignedString(b.keys[0].access)
				if err != nil {
					t.Fatal(err)
				}
				if len(signed) == length {
					return signed
				}
			}
		}
		t.Fatalf("there is none of %d bytes", length)
		return ""
	}
	for length, taken := range map[int]bool{maxToken: true, maxToken + 1: false} {
		token := long(length)
		if _, err := b.keys.verifyAccess(token, now); taken != (err == nil) {
			t.Errorf("of %d bytes: %v", length, err)
		}
		if _, err := b.keys.verifyOnce(token); taken != (err == nil) {
			t.Errorf("of %d bytes, for signing out: %v", length, err)
		}
	}
}

func TestForeignAccessTokensAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	now := b.clock.Now()
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	type header = map[string]any
	good := header{"alg": "HS256", "typ": accessType, "kid": b.keys[0].id}
	claims := jwt.MapClaims{"iss": issuer, "aud": audience, "sub": caller.UserID, "sid": caller.LoginID, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	with := func(m map[string]any, key string, value any) map[string]any {
		changed := map[string]any{}
		for k, v := range m {
			changed[k] = v
		}
		if changed[key] = value; value == nil {
			delete(changed, key)
		}
		return changed
	}
	sign := func(h header, c map[string]any, secret []byte) string {
		token := &jwt.Token{Header: h, Claims: jwt.MapClaims(c), Method: jwt.SigningMethodHS256}
		signed, err := token.SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	if _, err := b.Authenticate(t.Context(), sign(good, claims, b.keys[0].access)); err != nil {
		t.Fatalf("the token that the others differ from is refused: %v", err)
	}
	foreign := map[string]string{
		"empty":               "",
		"dots":                "..",
		"no expiry":           sign(good, with(claims, "exp", nil), b.keys[0].access),
		"expired":             sign(good, with(claims, "exp", now.Add(-clockSkew-time.Second).Unix()), b.keys[0].access),
		"issued later":        sign(good, with(claims, "iat", now.Add(clockSkew+2*time.Second).Unix()), b.keys[0].access),
		"never issued":        sign(good, with(claims, "iat", nil), b.keys[0].access),
		"another issuer":      sign(good, with(claims, "iss", "other"), b.keys[0].access),
		"another audience":    sign(good, with(claims, "aud", "other"), b.keys[0].access),
		"no audience":         sign(good, with(claims, "aud", nil), b.keys[0].access),
		"no login":            sign(good, with(claims, "sid", nil), b.keys[0].access),
		"an unknown login":    sign(good, with(claims, "sid", docstore.NewID()), b.keys[0].access),
		"another subject":     sign(good, with(claims, "sub", "somebody"), b.keys[0].access),
		"plain JWT type":      sign(with(good, "typ", "JWT"), claims, b.keys[0].access),
		"no type":             sign(with(good, "typ", nil), claims, b.keys[0].access),
		"crit":                sign(with(good, "crit", []string{"x"}), claims, b.keys[0].access),
		"unknown kid":         sign(with(good, "kid", "0"), claims, b.keys[0].access),
		"no kid":              sign(with(good, "kid", nil), claims, b.keys[0].access),
		"empty key":           sign(good, claims, []byte{}),
		"the secret itself":   sign(good, claims, []byte(secretA)),
		"the refresh key":     sign(good, claims, b.keys[0].refresh),
		"another algorithm":   signWith(t, jwt.SigningMethodHS512, with(good, "alg", "HS512"), claims, b.keys[0].access),
		"no algorithm":        unsigned(t, with(good, "alg", "none"), claims),
		"too long":            sign(with(good, "x", strings.Repeat("x", maxToken)), claims, b.keys[0].access),
		"a refresh token":     tokens.Refresh,
		"a changed signature": tokens.Access[:len(tokens.Access)-4] + "AAAA",
	}
	for name, token := range foreign {
		if _, err := b.Authenticate(t.Context(), token); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATokenThatWasVerifiedExpiresAllTheSame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	for _, c := range []struct {
		passed time.Duration
		alive  bool
	}{{0, true}, {AccessLifetime + clockSkew - time.Second, true}, {time.Second, false}, {-AccessLifetime - 2*clockSkew - time.Second, false}} {
		b.clock.Add(c.passed)
		b.wantAlive(t, tokens, c.alive)
	}
}

func signWith(t *testing.T, method jwt.SigningMethod, h, c map[string]any, secret any) string {
	t.Helper()
	signed, err := (&jwt.Token{Header: h, Claims: jwt.MapClaims(c), Method: method}).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func unsigned(t *testing.T, h, c map[string]any) string {
	t.Helper()
	return signWith(t, jwt.SigningMethodNone, h, c, jwt.UnsafeAllowNoneSignatureType)
}

func FuzzParseRefresh(f *testing.F) {
	f.Add(refreshPrefix + strings.Repeat("A", base64.RawURLEncoding.EncodedLen(refreshLength)-2) + "\r\n")
	keys, err := newKeyring([]string{secretA, secretB})
	if err != nil {
		f.Fatal(err)
	}
	good, err := keys.formatRefresh(docstore.NewID(), newSecret())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("mr_")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := keys.parseRefresh(token)
		if err != nil {
			return
		}
		if back, err := keys.formatRefresh(p.loginID, p.secret); err != nil || !sameSecret(t, back, token) {
			t.Errorf("%q came back as %q, %v", token, back, err)
		}
	})
}

func FuzzVerifyAccess(f *testing.F) {
	keys, err := newKeyring([]string{secretA})
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	good, err := keys.signAccess("user", "login", 1, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		read, err := keys.verifyAccess(token, now)
		if err == nil && (read.userID != "user" || read.loginID != "login") {
			t.Errorf("%q is somebody's: %+v", token, read)
		}
	})
}

func FuzzParseHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + weakDigest(pass))
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + weakDigest(pass))
	f.Add("")
	f.Fuzz(func(t *testing.T, stored string) {
		p, salt, digest, ok := parseHash(stored)
		if ok && (p.memory > highest.memory || p.time > highest.time || p.threads > highest.threads || p.threads == 0 || len(salt) < 8 || len(digest) < 16) {
			t.Errorf("%q is taken as %+v", stored, p)
		}
	})
}

func FuzzEmailKey(f *testing.F) {
	for _, address := range []string{email, "Zoë@Bücher.example", "a@b", `"q q"@x.y`, "ｚ@example.com"} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		key, err := emailKey(address)
		if err != nil {
			return
		}
		if again, err := emailKey(key); err == nil && again != key {
			t.Errorf("%q has the key %q, whose key is %q", address, key, again)
		}
	})
}

// loginWrites counts what is asked of the writer for logins.
type loginWrites struct {
	docstore.Store
	n *atomic.Int64
}

func (s loginWrites) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	if collection == loginSpec.Collection {
		s.n.Add(1)
	}
	return s.Store.Upsert(ctx, collection, id, change)
}

// A refresh costs one write more, when it is first used: not one for each request of the
// second in which the copy remembers the login of before.
func TestTheFirstUseOfARefreshIsWrittenOnce(t *testing.T) {
	t.Parallel()
	var writes atomic.Int64
	store := testStore(t)
	b := copyOf(t, loginWrites{store, &writes}, clocktest.New(), []string{secretA})
	tokens := b.register(t)
	for round := range 3 {
		b.wantAlive(t, tokens, true) // remembered as it is now
		var err error
		if tokens, err = b.Refresh(t.Context(), tokens.Refresh); err != nil {
			t.Fatal(err)
		}
		writes.Store(0)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { b.wantAlive(t, tokens, true) })
		}
		wg.Wait()
		for range 50 {
			b.wantAlive(t, tokens, true)
		}
		if n := writes.Load(); n != 1 {
			t.Errorf("round %d: the writer was asked %d times", round, n)
		}
	}
}

func TestSecretsHave32Bytes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("s", 31) + "t"
	for name, c := range map[string]struct {
		secrets []string
		taken   bool
	}{"none": {nil, false}, "32": {[]string{long}, true}, "31": {[]string{long[1:]}, false}, "an earlier one of 31": {[]string{long, long[1:]}, false}} {
		if _, err := newKeyring(c.secrets); (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
}
