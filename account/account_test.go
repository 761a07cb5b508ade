package account

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/argon2"

	"manus/audit"
	"manus/docstore"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/mail"
)

const (
	secretA = "a-first-secret-of-more-than-32-bytes-9f2c"
	secretB = "another-secret-of-more-than-32-bytes-71de"
	email   = "amal@example.com"
	pass    = "correct horse battery staple"
)

type bench struct {
	*Service
	store  docstore.Store
	clock  *clocktest.Clock
	outbox *mail.Outbox // nil where no mail is sent
}

func testSpecs() []docstore.Spec { return slices.Concat(Specs(), audit.Specs(), mail.Specs()) }

func testStore(t testing.TB) docstore.Store {
	t.Helper()
	return storetest.New(t, testSpecs()...)
}

func setup(t testing.TB, change ...func(*Config)) bench {
	t.Helper()
	return copyOf(t, testStore(t), clocktest.New(), []string{secretA}, change...)
}

// copyOf is a copy of the program on the same store.
func copyOf(t testing.TB, store docstore.Store, c *clocktest.Clock, secrets []string, change ...func(*Config)) bench {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	config := Config{
		Store: store, Audit: audit.New(audit.Config{Store: store, Now: c.Now, Log: log}), Secrets: secrets, Now: c.Now, Log: log,
		PublicURL: "https://app.example.com",
	}
	for _, f := range change {
		f(&config)
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return bench{Service: s, store: store, clock: c, outbox: config.Mail}
}

// withMail keeps what is sent in an outbox.
func withMail(t testing.TB, store docstore.Store, c *clocktest.Clock) func(*Config) {
	t.Helper()
	outbox, err := mail.New(mail.Config{Store: store, Secrets: []string{secretA}, Now: c.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return func(config *Config) { config.Mail = outbox }
}

func confirmFirst(config *Config) { config.ConfirmFirst = true }

// setupMail is a service that confirms addresses first, and its outbox.
func setupMail(t testing.TB, change ...func(*Config)) bench {
	t.Helper()
	store, c := testStore(t), clocktest.New()
	return copyOf(t, store, c, []string{secretA}, append([]func(*Config){withMail(t, store, c), confirmFirst}, change...)...)
}

// sent is the mails sent so far, oldest first.
func (b bench) sent(t testing.TB) []mail.Kept {
	t.Helper()
	kept, err := b.outbox.Kept(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(kept)
	return kept
}

var linkToken = regexp.MustCompile(`token=(ml_[A-Za-z0-9_-]+)`)

// link answers what is due and returns the token of the last mail, which has to
// be to the address.
func (b bench) link(t testing.TB, to string) string {
	t.Helper()
	if err := b.requests.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	mails := b.sent(t)
	if len(mails) == 0 || mails[len(mails)-1].To != to {
		t.Fatalf("no mail to %s; %d mails", to, len(mails))
	}
	found := linkToken.FindStringSubmatch(mails[len(mails)-1].Text)
	if found == nil {
		t.Fatalf("no link in %s", mails[len(mails)-1].Text)
	}
	return found[1]
}

func (b bench) register(t testing.TB) Tokens {
	t.Helper()
	tokens, _, err := b.Register(t.Context(), NewUser{Email: email, Password: pass, FullName: "Amal"})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// caller is who has these tokens.
func (b bench) caller(t testing.TB, tokens Tokens) identity.Caller {
	t.Helper()
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

func (b bench) wantAlive(t *testing.T, tokens Tokens, alive bool) {
	t.Helper()
	_, err := b.Authenticate(t.Context(), tokens.Access)
	if alive && err != nil || !alive && !errors.Is(err, ErrInvalidToken) {
		t.Errorf("access token alive should be %v: %v", alive, err)
	}
}

func TestRegisterSignsIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	if caller.UserID != tokens.User.ID || caller.Role != identity.User || caller.Alive(t.Context()) != nil {
		t.Errorf("got %+v", caller)
	}
}

func TestOneMailboxHasOneAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spellings := []string{"Zoë@Example.com", "ZOË@example.COM", "zoe\u0308@example.com", "Zoë@EXAMPLE.com", "ｚｏë@example.com"}
	var wg sync.WaitGroup
	results := make([]error, len(spellings))
	for i, spelling := range spellings {
		wg.Go(func() { _, results[i] = b.Create(t.Context(), NewUser{Email: spelling, Password: pass}) })
	}
	wg.Wait()
	made := 0
	for i, err := range results {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, ErrTaken):
			t.Errorf("%s: %v", spellings[i], err)
		}
	}
	if made != 1 {
		t.Errorf("%d accounts for one mailbox", made)
	}
	for _, spelling := range spellings {
		if _, err := b.Login(t.Context(), Credentials{Email: spelling, Password: pass}); err != nil {
			t.Errorf("%s can't sign in: %v", spelling, err)
		}
	}
}

func TestInvalidAddressesAreRefused(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "a", "@", "a@", "@b.c", "a@b@c", "Amal <amal@example.com>", "amal@example.com, b@c.d", `"a b"@example.com`,
		"a b@example.com", "a@exa mple.com", "a\x00@example.com", "a@example.com\n", strings.Repeat("a", 65) + "@example.com",
		"a@" + strings.Repeat("b", 260), "a@\xff.com", "amal@example.com(comment)", "a@[127.0.0.1]",
	} {
		if key, err := emailKey(address); !errors.Is(err, ErrInvalidEmail) || key != "" {
			t.Errorf("%q was taken as %q", address, key)
		}
	}
}

func TestUnknownDisabledAndMistakenAreAlike(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t)
	disabled, err := b.Create(t.Context(), NewUser{Email: "off@example.com", Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.SetDisabled(t.Context(), disabled.ID, true); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string][2]string{
		"unknown": {"nobody@example.com", pass}, "mistaken": {email, "not the password"}, "disabled": {"off@example.com", pass},
		"no address": {"nonsense", pass}, "empty": {email, ""},
	} {
		if _, err := b.Login(t.Context(), Credentials{Email: try[0], Password: try[1]}); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEveryAttemptHashes blocks hashing: whoever doesn't wait for it has been answered
// without it, and so sooner than others.
func TestEveryAttemptHashes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t)
	if err := b.hasher.memory.Acquire(t.Context(), b.hasher.capacity); err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	var trying sync.WaitGroup
	attempt := func(what string, try func() error) {
		trying.Go(func() {
			if err := try(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s was answered without hashing: %v", what, err)
			}
		})
	}
	attempts := int64(0)
	for _, address := range []string{email, "nobody@example.com", "nonsense", ""} {
		for _, password := range []string{pass, "", "wrong"} {
			attempts++
			attempt("login of "+address, func() error {
				_, err := b.Login(ctx, Credentials{Email: address, Password: password})
				return err
			})
		}
	}
	for _, address := range []string{email, "new@example.com"} {
		attempts++
		attempt("registration of "+address, func() error {
			_, _, err := b.Register(ctx, NewUser{Email: address, Password: pass})
			return err
		})
	}
	waittest.Poll(t, func() bool { return b.hasher.waiting.Load() == attempts })
	giveUp()
	trying.Wait()
}

// TestNobodysAccountIsReadWhileTheQueueIsFull has a store that can't be read.
func TestNobodysAccountIsReadWhileTheQueueIsFull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	b.hasher.waiting.Store(maxHashQueue)
	if _, err := b.Login(t.Context(), Credentials{Email: email, Password: pass}); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
}

func TestAFloodOfLoginsWaitsInAShortQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1)
		if err := h.memory.Acquire(t.Context(), h.capacity); err != nil { // a machine that is slow
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // the request's time
		defer cancel()
		start := time.Now()
		var wg sync.WaitGroup
		var mu sync.Mutex
		waited := map[time.Duration]int{}
		for range 1000 {
			wg.Go(func() {
				_, err := h.verify(ctx, pass, "")
				mu.Lock()
				defer mu.Unlock()
				if waited[time.Since(start)]++; time.Since(start) > 0 {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("in the queue: %v", err)
					}
					return
				}
				var retry interface{ RetryAfter() time.Duration }
				if !errors.Is(err, errBusy) || !errors.As(err, &retry) || retry.RetryAfter() <= 0 {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if waited[0] != 1000-maxHashQueue || waited[time.Minute] != maxHashQueue {
			t.Errorf("waited: %v", waited)
		}
		h.memory.Release(h.capacity)
		if h.waiting.Load() != 0 {
			t.Error("the queue is not empty")
		}
	})
}

// A machine that is busy with something else holds up whoever is in the queue, and turns
// nobody away.
func TestAShortQueueIsServedHoweverLongThatTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1)
		if err := h.memory.Acquire(t.Context(), h.capacity); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := h.verify(t.Context(), pass, ""); err != nil {
					t.Errorf("got %v", err)
				}
			})
		}
		time.Sleep(20 * time.Second) // nothing is hashed
		h.memory.Release(h.capacity)
		wg.Wait()
	})
}

func TestAHashOfOtherCostsIsReplacedAtLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.register(t).User
	weak := "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + weakDigest(pass)
	if _, err := b.users.Update(t.Context(), user.ID, func(u *User) error { u.PasswordHash = weak; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Login(t.Context(), Credentials{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	user, err := b.Get(t.Context(), user.ID)
	if err != nil || user.PasswordHash == weak || outdated(user.PasswordHash) {
		t.Errorf("still %q, %v", user.PasswordHash, err)
	}
	if _, err := b.Login(t.Context(), Credentials{Email: email, Password: pass}); err != nil {
		t.Errorf("the new hash is another password's: %v", err)
	}
}

func TestSigningInGoesOnWhereAHashCannotBeReplaced(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	store := &disk{Store: testStore(t)}
	b := copyOf(t, store, clocktest.New(), []string{secretA}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	user := b.register(t).User
	weak := "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + weakDigest(pass)
	if _, err := b.users.Update(t.Context(), user.ID, func(u *User) error { u.PasswordHash = weak; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, full := range []bool{true, false} {
		store.full.Store(full)
		log.Reset()
		if _, err := b.Login(t.Context(), Credentials{Email: email, Password: pass}); err != nil {
			t.Error(err)
		}
		if told := strings.Contains(log.String(), "was not strengthened"); told != full {
			t.Errorf("with a full disk: %v; the log has %s", full, &log)
		}
	}
}

func weakDigest(password string) string {
	digest := argon2.IDKey([]byte(password), []byte("somesaltsomesalt"), 1, 64, 1, 32)
	return encodeDigest(digest)
}

func TestPasswordsAreCountedInCharactersAndNeverCut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("ض", MaxPassword)
	if _, err := b.Create(t.Context(), NewUser{Email: "long@example.com", Password: long}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Login(t.Context(), Credentials{Email: "long@example.com", Password: long[:len(long)-len("ض")] + "ص"}); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("the last character doesn't count: %v", err)
	}
	for _, bad := range []string{"", "1234567", "ضضضضضضض", long + "ض", "\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if _, err := b.Create(t.Context(), NewUser{Email: "x@example.com", Password: bad}); !errors.Is(err, ErrWeakPassword) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

func TestLogoutEndsItsAccessTokensAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.register(t)
	second, err := b.Login(t.Context(), Credentials{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	b.wantAlive(t, first, true)
	b.wantAlive(t, second, true)
	caller, err := b.Authenticate(t.Context(), first.Access)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a repeated logout is no error
		if err := b.Logout(t.Context(), caller.UserID, caller.LoginID); err != nil {
			t.Fatal(err)
		}
	}
	b.wantAlive(t, first, false)
	b.wantAlive(t, second, true)
	if err := caller.Alive(t.Context()); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("a stream of the login would go on: %v", err)
	}
	if _, err := b.Refresh(t.Context(), first.Refresh); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("its refresh token works: %v", err)
	}
}

func TestEndingEveryLogin(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b bench, user User) error{
		"logout-all":         func(b bench, u User) error { return b.LogoutAll(context.Background(), u.ID) },
		"operator's reset":   func(b bench, u User) error { return b.SetPassword(context.Background(), u.ID, pass, false) },
		"disabling":          func(b bench, u User) error { return b.SetDisabled(context.Background(), u.ID, true) },
		"disabling and back": disableAndBack,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			first := b.register(t)
			second, err := b.Login(t.Context(), Credentials{Email: email, Password: pass})
			if err != nil {
				t.Fatal(err)
			}
			b.wantAlive(t, first, true)
			if err := end(b, first.User); err != nil {
				t.Fatal(err)
			}
			for _, tokens := range []Tokens{first, second} {
				b.wantAlive(t, tokens, false)
				if _, err := b.Refresh(t.Context(), tokens.Refresh); !errors.Is(err, ErrInvalidToken) {
					t.Errorf("a refresh token works: %v", err)
				}
			}
		})
	}
}

func disableAndBack(b bench, u User) error {
	return errors.Join(b.SetDisabled(context.Background(), u.ID, true), b.SetDisabled(context.Background(), u.ID, false))
}

func TestAPasswordChangeSparesTheLoginItCameFrom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.register(t)
	second, err := b.Login(t.Context(), Credentials{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	caller, err := b.Authenticate(t.Context(), second.Access)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ChangePassword(t.Context(), caller.UserID, caller.LoginID, Proof{Password: "wrong one"}, "a new password"); !errors.Is(err, ErrWrongPassword) {
		t.Fatalf("got %v", err)
	}
	b.wantAlive(t, first, true)
	if err := b.ChangePassword(t.Context(), caller.UserID, caller.LoginID, Proof{Password: pass}, "a new password"); err != nil {
		t.Fatal(err)
	}
	b.wantAlive(t, first, false)
	b.wantAlive(t, second, true)
	if second, err = b.Refresh(t.Context(), second.Refresh); err != nil {
		t.Errorf("the spared login can't be refreshed: %v", err)
	}
	if err := b.LogoutAll(t.Context(), caller.UserID); err != nil {
		t.Fatal(err)
	}
	b.wantAlive(t, second, false)
	if _, err := b.Login(t.Context(), Credentials{Email: email, Password: pass}); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("the old password works: %v", err)
	}
}

func TestTwoPasswordChangesAtOnceMakeOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	results := make([]error, 4)
	for i := range results {
		wg.Go(func() {
			results[i] = b.ChangePassword(context.Background(), caller.UserID, caller.LoginID, Proof{Password: pass}, "new password "+string(rune('a'+i)))
		})
	}
	wg.Wait()
	won := 0
	for i, err := range results {
		if err == nil {
			won++
			if _, err := b.Login(t.Context(), Credentials{Email: email, Password: "new password " + string(rune('a'+i))}); err != nil {
				t.Errorf("the change that was confirmed doesn't count: %v", err)
			}
		} else if !errors.Is(err, ErrWrongPassword) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d changes by the same old password", won)
	}
}

func TestAnotherCopySeesALogoutWithinASecond(t *testing.T) {
	t.Parallel()
	a := setup(t)
	b := copyOf(t, a.store, a.clock, []string{secretA})
	tokens := a.register(t)
	b.wantAlive(t, tokens, true)
	if err := a.LogoutAll(t.Context(), tokens.User.ID); err != nil {
		t.Fatal(err)
	}
	b.states.Forget() // as if a second had passed
	b.wantAlive(t, tokens, false)
}

func TestExpiredLoginsAreSweptAndDead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	b.clock.Add(idleLifetime)
	if _, err := b.Refresh(t.Context(), tokens.Refresh); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("an idle login is alive: %v", err)
	}
	fresh, err := b.Login(t.Context(), Credentials{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Add(time.Second)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, _, err := b.logins.Find(t.Context(), docstore.Query{})
	if err != nil || len(all) != 1 {
		t.Errorf("%d logins are left, %v", len(all), err)
	}
	b.wantAlive(t, fresh, true)
}

func TestRefreshingDoesNotOutliveTheAbsoluteLifetime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	for range 8 {
		b.clock.Add(11 * 24 * time.Hour)
		var err error
		if tokens, err = b.Refresh(t.Context(), tokens.Refresh); err != nil {
			t.Fatal(err)
		}
	}
	b.clock.Add(2 * 24 * time.Hour)
	if _, err := b.Refresh(t.Context(), tokens.Refresh); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("got %v", err)
	}
}

func TestRolesAndListsAreForOperators(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	b.wantAlive(t, tokens, true)
	if err := b.SetRole(t.Context(), tokens.User.ID, identity.Operator); err != nil {
		t.Fatal(err)
	}
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil || caller.Role != identity.Operator {
		t.Errorf("the role of now doesn't count: %+v, %v", caller, err)
	}
	if err := b.SetRole(t.Context(), tokens.User.ID, "king"); err == nil {
		t.Error("any role will do")
	}
	if err := b.SetRole(t.Context(), "nobody", identity.User); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("got %v", err)
	}
	users, next, err := b.List(t.Context(), 10, "")
	if err != nil || len(users) != 1 || next != "" {
		t.Errorf("got %v, %q, %v", users, next, err)
	}
	if _, err := b.Find(t.Context(), "AMAL@example.com"); err != nil {
		t.Error(err)
	}
}

// An address that could be taken for another's opens no account; those that were opened
// before are signed in to as ever.
func TestAddressesThatLookLikeOthersOpenNoAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, fine := range []string{"amal+tag@example.com", "o'brien_x.y-z@example.com", "أمل@example.com", "jürgen@example.com", "山田@example.com"} {
		if _, err := b.Create(t.Context(), NewUser{Email: fine, Password: pass}); err != nil {
			t.Errorf("%q: %v", fine, err)
		}
	}
	for _, odd := range []string{"am\u200bal@example.com", "\u2060amal@example.com", "amal\u00ad@example.com", "am\u034fal@example.com", "a\u202emal@example.com", "amal\ufe0f@example.com", "ﬁn@example.com", "amalأ@example.com", "\U000e0061mal@example.com"} {
		if _, err := b.Create(t.Context(), NewUser{Email: odd, Password: pass}); !errors.Is(err, ErrInvalidEmail) {
			t.Errorf("%+q: %v", odd, err)
		}
	}
	const before = "bo\u200bb@example.com"
	key, err := emailKey(before)
	if err != nil {
		t.Fatal(err)
	}
	user, err := b.prepare(t.Context(), NewUser{Email: "x@example.com", Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	user.Email, user.EmailKey = before, key
	if _, err := b.insert(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Login(t.Context(), Credentials{Email: before, Password: pass}); err != nil {
		t.Errorf("one of before: %v", err)
	}
}

// TestWhatACrowdOfHashesTookIsGivenBack: one sign-in after another gives nothing back,
// since a collection is forced for it.
func TestWhatACrowdOfHashesTookIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1)
		var given atomic.Int64
		h.giveBack = func() { given.Add(1) }
		try := func(times int) int64 {
			var trying sync.WaitGroup
			for range times {
				trying.Go(func() {
					if _, err := h.verify(t.Context(), "x", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA"); err != nil {
						t.Error(err)
					}
				})
			}
			trying.Wait()
			time.Sleep(2 * giveBackAfter)
			synctest.Wait()
			return given.Swap(0)
		}
		if once := try(1); once != 0 {
			t.Errorf("one hash gave memory back %d times", once)
		}
		if err := h.memory.Acquire(t.Context(), h.capacity); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Millisecond, func() { h.memory.Release(h.capacity) })
		if crowd := try(20); crowd != 1 {
			t.Errorf("a crowd gave memory back %d times", crowd)
		}
		if after := try(1); after != 0 {
			t.Errorf("one hash after it gave memory back %d times", after)
		}
	})
}

// A collection in the midst of a crowd would only hold it up.
func TestNothingIsGivenBackWhileOthersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1)
		given := 0
		h.giveBack = func() { given++ }
		h.crowded.Store(true)
		for _, waiting := range []int64{1, 0} {
			h.waiting.Store(waiting)
			if err := h.memory.Acquire(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			h.release(1)
			time.Sleep(2 * giveBackAfter)
			synctest.Wait()
			if want := int(1 - waiting); given != want {
				t.Errorf("while %d wait, memory was given back %d times", waiting, given)
			}
		}
	})
}

// unread is a store in which nothing is found any more.
type unread struct {
	docstore.Store
	waittest.Signal
	asked atomic.Int32
}

func (u *unread) Find(_ context.Context, collection string, _ docstore.Query) (docstore.Page, error) {
	if collection == "users" {
		u.asked.Add(1)
	}
	u.Wake()
	return docstore.Page{}, docstore.ErrCorrupt
}

// What can't be finished is tried again and again, and told once.
func TestWhatCantBeFinishedIsToldOnce(t *testing.T) {
	t.Parallel()
	var log waittest.Log
	store := &unread{Store: testStore(t)}
	b := copyOf(t, store, clocktest.New(), []string{secretA}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	store.Until(t, func() bool { return store.asked.Load() > 6 })
	cancel()
	running.Wait()
	if n := strings.Count(log.String(), "could not finish what was cut short"); n != 1 {
		t.Errorf("it is told %d times: %s", n, log.String())
	}
}
