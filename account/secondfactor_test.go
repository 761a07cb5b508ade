package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"manus/docstore"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/internal/storetest"
)

// countingStore counts what is asked of a store.
type countingStore struct {
	docstore.Store
	calls atomic.Int64
}

func (s *countingStore) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	s.calls.Add(1)
	return s.Store.Get(ctx, collection, id)
}

func (s *countingStore) Find(ctx context.Context, collection string, q docstore.Query) (docstore.Page, error) {
	s.calls.Add(1)
	return s.Store.Find(ctx, collection, q)
}

// authenticator is an app with a seed, and the recovery codes that came with it.
type authenticator struct {
	seed     string
	recovery []string
}

func (a authenticator) code(at time.Time) string {
	code, err := totp.GenerateCode(a.seed, at)
	if err != nil {
		panic(err)
	}
	return code
}

// withTOTP adds an authenticator app to the account.
func (b bench) withTOTP(t testing.TB, userID, loginID string) authenticator {
	t.Helper()
	key, err := b.newTOTP(t.Context(), userID)
	if err != nil {
		t.Fatal(err)
	}
	app := authenticator{seed: key.Secret()}
	if app.recovery, err = b.confirmTOTP(t.Context(), userID, loginID, app.code(b.clock.Now())); err != nil {
		t.Fatal(err)
	}
	return app
}

func (b bench) login(t testing.TB, otp string) error {
	t.Helper()
	_, err := b.Login(t.Context(), Credentials{Email: email, Password: pass, OTP: otp})
	return err
}

func TestAnAppThatWasNeverConfirmedSignsNobodyIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.register(t).User
	key, err := b.newTOTP(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	app := authenticator{seed: key.Secret()}
	if _, err := b.update(t.Context(), user.ID, func(u *User) error {
		u.Passkeys = []passkey{{ID: "p", SecondFactor: true}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.login(t, app.code(b.clock.Now())); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("got in: %v", err)
	}
}

func TestAnAppCountsOnceItIsConfirmed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	other, err := b.Login(t.Context(), Credentials{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	key, err := b.newTOTP(t.Context(), tokens.User.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.confirmTOTP(t.Context(), tokens.User.ID, caller.LoginID, "000000"); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("a wrong code: %v", err)
	}
	if err := b.login(t, ""); err != nil {
		t.Errorf("it counts before it is confirmed: %v", err)
	}
	app := authenticator{seed: key.Secret()}
	codes, err := b.confirmTOTP(t.Context(), tokens.User.ID, caller.LoginID, app.code(b.clock.Now()))
	if err != nil || len(codes) != recoveryCodes {
		t.Fatal(codes, err)
	}
	b.wantAlive(t, tokens, true)
	b.wantAlive(t, other, false)
	if err := b.login(t, ""); !errors.Is(err, ErrSecondFactor) {
		t.Errorf("without a code: %v", err)
	}
	if err := b.login(t, app.code(b.clock.Now())); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("the code of the confirmation works again: %v", err)
	}
	if _, err := b.newTOTP(t.Context(), tokens.User.ID); !errors.Is(err, errFactorExists) {
		t.Errorf("a second app: %v", err)
	}
	if err := b.removeTOTP(t.Context(), tokens.User.ID, caller.LoginID); err != nil {
		t.Fatal(err)
	}
	if err := b.login(t, ""); err != nil {
		t.Errorf("after it was removed: %v", err)
	}
	if err := b.login(t, codes[0]); err != nil { // nothing asks for it
		t.Error(err)
	}
}

func TestACodeWorksOnceAndForOneStepAroundNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := b.withTOTP(t, b.register(t).User.ID, "")
	const step = totpPeriod * time.Second
	for _, c := range []struct {
		name string
		pass time.Duration // before the attempt
		skew time.Duration // of the app's clock
		ok   bool
	}{
		{"now", 10 * step, 0, true},
		{"the same again", 0, 0, false},
		{"a step ahead", 0, step, true},
		{"now, after the one ahead", 0, 0, false},
		{"two steps ahead", 10 * step, 2 * step, false},
		{"two steps behind", 0, -2 * step, false},
		{"a step behind", 0, -step, true},
		{"now, after the one behind", 0, 0, true},
	} {
		b.clock.Add(c.pass)
		if err := b.login(t, app.code(b.clock.Now().Add(c.skew))); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// A clock that steps back lets no code in twice.
	b.clock.Add(-step)
	if err := b.login(t, app.code(b.clock.Now())); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("after the clock stepped back: %v", err)
	}
}

func TestOneOfManyAtOnceGetsInWithACode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.register(t).User
	app := b.withTOTP(t, user.ID, "")
	for name, code := range map[string]func() string{
		"the app's":  func() string { return app.code(b.clock.Now()) },
		"a recovery": func() string { return app.recovery[0] },
	} {
		b.clock.Add(48 * time.Hour) // wrong guesses block for a while
		code := code()
		var in atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := b.takeCode(t.Context(), user.ID, code); err == nil {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 {
			t.Errorf("%s code let %d in", name, in.Load())
		}
	}
}

func TestWrongCodesAreBounded(t *testing.T) {
	t.Parallel()
	store, c := testStore(t), clocktest.New()
	b := copyOf(t, store, c, []string{secretA}, withMail(t, store, c))
	app := b.withTOTP(t, b.register(t).User.ID, "")
	for round := range 3 {
		b.clock.Add(time.Minute)
		for range maxGuesses {
			if err := b.login(t, "000000"); !errors.Is(err, ErrBadCredentials) {
				t.Fatal(err)
			}
		}
		if err := b.login(t, app.code(b.clock.Now())); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("round %d: a right code right after is let in: %v", round, err)
		}
		b.clock.Add(firstBlock<<round - time.Second)
		if err := b.login(t, app.code(b.clock.Now())); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("round %d: the block ends too soon: %v", round, err)
		}
		b.clock.Add(time.Second)
		if round == 2 {
			break
		}
	}
	if err := b.login(t, app.code(b.clock.Now())); err != nil {
		t.Errorf("after the block: %v", err)
	}
	for range maxGuesses {
		_ = b.login(t, "000000")
	}
	if err := b.login(t, strings.ToLower(app.recovery[3])); err != nil {
		t.Errorf("a recovery code in a block: %v", err)
	}
	told := 0
	for _, m := range b.sent(t) {
		if m.Subject == notices[eventCodesBlocked].subject.En {
			told++
		}
	}
	if told != 4 {
		t.Errorf("the owner was told %d times", told)
	}
}

// Whoever guesses codes has five tries, not five for each way to send them.
func TestWrongCodesAreCountedTogetherWhereverTheyAreSent(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	tokens, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.SetPassword(t.Context(), caller.UserID, pass, false); err != nil {
		t.Fatal(err)
	}
	app := b.withTOTP(t, caller.UserID, caller.LoginID)
	b.clock.Add(time.Minute)
	behind := b.visit(t, provider, verifiedPerson)
	ways := []func(otp string) error{
		func(otp string) error { return b.login(t, otp) },
		func(otp string) error { return b.StepUp(t.Context(), caller, Proof{Password: pass, OTP: otp}) },
		func(otp string) error {
			return b.ChangePassword(t.Context(), caller.UserID, caller.LoginID, Proof{Password: pass, OTP: otp}, "another horse battery")
		},
		func(otp string) error {
			behind.OTP = otp
			_, err := b.FinishProvider(t.Context(), behind)
			return err
		},
	}
	wrong := func(err error) bool { return errors.Is(err, ErrWrongPassword) || errors.Is(err, ErrBadCredentials) }
	for i := range maxGuesses {
		if err := ways[i%len(ways)]("000000"); !wrong(err) {
			t.Fatalf("guess %d: %v", i+1, err)
		}
	}
	for i, way := range ways {
		if err := way(app.code(b.clock.Now())); !wrong(err) {
			t.Errorf("the right code after that, way %d: %v", i, err)
		}
	}
}

func TestRecoveryCodes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.register(t).User
	app := b.withTOTP(t, user.ID, "")
	spaced := strings.ReplaceAll(app.recovery[0], "-", " ")
	if err := b.login(t, spaced); err != nil {
		t.Errorf("spaced otherwise: %v", err)
	}
	if err := b.login(t, app.recovery[0]); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("a second time: %v", err)
	}
	codes, err := b.renewRecoveryCodes(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.login(t, app.recovery[1]); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("one of before: %v", err)
	}
	for _, code := range codes {
		if err := b.login(t, code); err != nil {
			t.Error(err)
		}
	}
}

// ASVS 6.5.2: a code of 112 bits and more may be hashed without salt.
func TestRecoveryCodesHave120Bits(t *testing.T) {
	t.Parallel()
	var u User
	seen := map[string]bool{}
	for range 100 {
		for _, code := range u.newRecoveryCodes() {
			plain := strings.ReplaceAll(code, "-", "")
			if len(plain) != 24 || strings.Trim(plain, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" || seen[plain] {
				t.Fatalf("got %q", code)
			}
			seen[plain] = true
		}
	}
}

func TestNothingThatProvesSomebodyIsInTheStoreInClear(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	store := storetest.File(t, path, testSpecs()...)
	c := clocktest.New()
	b := copyOf(t, store, c, []string{secretA}, withMail(t, store, c))
	tokens := b.register(t)
	app := b.withTOTP(t, tokens.User.ID, "")
	_, key, err := b.makeKey(t.Context(), tokens.User.ID, "ci", []identity.Scope{identity.Read}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ForgotPassword(t.Context(), email); err != nil {
		t.Fatal(err)
	}
	secrets := append(app.recovery, pass, app.seed, key, b.link(t, email), tokens.Access, tokens.Refresh)
	for _, code := range app.recovery {
		secrets = append(secrets, strings.ReplaceAll(code, "-", ""))
	}
	read := 0
	for _, name := range []string{path, path + "-wal"} {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		read += len(data)
		for _, secret := range secrets {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s has %.8s…", filepath.Base(name), secret)
			}
		}
	}
	if read < 10_000 {
		t.Errorf("only %d bytes were read", read)
	}
}

func TestASeedIsBoundToItsAccountAndSealedAnewAfterARotation(t *testing.T) {
	t.Parallel()
	before := setup(t)
	user := before.register(t).User
	app := before.withTOTP(t, user.ID, "")
	other, err := before.Create(t.Context(), NewUser{Email: "b@example.com", Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := before.users.Get(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.users.Update(t.Context(), other.ID, func(u *User) error { u.TOTP = stored.TOTP; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := before.takeCode(t.Context(), other.ID, app.code(before.clock.Now().Add(time.Minute))); err == nil || errors.Is(err, ErrWrongPassword) {
		t.Errorf("a seed works in another account: %v", err)
	}
	during := copyOf(t, before.store, before.clock, []string{secretB, secretA})
	if err := during.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := copyOf(t, before.store, before.clock, []string{secretB})
	after.clock.Add(time.Minute)
	if err := after.login(t, app.code(after.clock.Now())); err != nil {
		t.Errorf("once the earlier secret is gone: %v", err)
	}
}

// One sweep seals all seeds anew: a secret is taken away after it, whoever has an app.
func TestAllSeedsAreSealedAnewAfterARotation(t *testing.T) {
	t.Parallel()
	before := setup(t)
	apps := map[string]authenticator{}
	for _, address := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		user, err := before.Create(t.Context(), NewUser{Email: address, Password: pass})
		if err != nil {
			t.Fatal(err)
		}
		apps[user.ID] = before.withTOTP(t, user.ID, "")
	}
	if err := copyOf(t, before.store, before.clock, []string{secretB, secretA}).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := copyOf(t, before.store, before.clock, []string{secretB})
	after.clock.Add(time.Minute)
	for id, app := range apps {
		if _, err := after.takeCode(t.Context(), id, app.code(after.clock.Now())); err != nil {
			t.Errorf("once the earlier secret is gone: %v", err)
		}
	}
}

func TestStepUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(proof Proof) error { return b.StepUp(t.Context(), caller, proof) }
	if err := ask(Proof{}); !errors.Is(err, ErrStepUp) {
		t.Errorf("right after signing in: %v", err)
	}
	if err := b.Fresh(t.Context(), caller, Proof{}); err != nil {
		t.Errorf("signing in is fresh enough to add something: %v", err)
	}
	if err := ask(Proof{Password: "not the password"}); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("a wrong password: %v", err)
	}
	if err := ask(Proof{Password: pass}); err != nil {
		t.Error(err)
	}
	if err := ask(Proof{}); err != nil {
		t.Errorf("a moment later: %v", err)
	}
	b.clock.Add(provedFor)
	if err := ask(Proof{}); !errors.Is(err, ErrStepUp) {
		t.Errorf("five minutes later: %v", err)
	}
	b.clock.Add(freshFor)
	if err := b.Fresh(t.Context(), caller, Proof{}); !errors.Is(err, ErrStepUp) {
		t.Errorf("signing in was long ago: %v", err)
	}
	app := b.withTOTP(t, tokens.User.ID, caller.LoginID)
	b.clock.Add(time.Minute)
	if err := ask(Proof{Password: pass}); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("without the second factor: %v", err)
	}
	if err := ask(Proof{OTP: app.code(b.clock.Now())}); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("without the password: %v", err)
	}
	if err := ask(Proof{Password: pass, OTP: app.code(b.clock.Now())}); err != nil {
		t.Error(err)
	}
}

// Having signed in counts for ten minutes, by a clock that may have been set back since.
func TestHowLongHavingSignedInIsFresh(t *testing.T) {
	t.Parallel()
	b := setup(t)
	caller := b.caller(t, b.register(t))
	began := b.clock.Now()
	for _, c := range []struct {
		since time.Duration
		fresh bool
	}{{0, true}, {freshFor - time.Second, true}, {freshFor, false}, {time.Second - freshFor, true}, {-freshFor, false}} {
		b.clock.Set(began.Add(c.since))
		err := b.Fresh(t.Context(), caller, Proof{})
		if c.fresh && err != nil || !c.fresh && !errors.Is(err, ErrStepUp) {
			t.Errorf("%v after signing in: %v", c.since, err)
		}
	}
}

// A passkey is proof enough by itself, and where it comes with a password makes up for no
// wrong one.
func TestAPasskeyStepsUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	caller := b.caller(t, tokens)
	d := newDevice()
	d.register(t, b, tokens.User.ID, true)
	for _, c := range []struct {
		name, password string
		want           error
	}{{"alone", "", nil}, {"with a wrong password", "not the password", ErrWrongPassword}, {"with the password", pass, nil}} {
		answer := d.answer(t, b)
		if err := b.StepUp(t.Context(), caller, Proof{Password: c.password, Passkey: &answer}); !errors.Is(err, c.want) {
			t.Errorf("a passkey %s: %v", c.name, err)
		}
	}
}

func TestAnAppIsBegunOverTheAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b)
	tokens := b.register(t)
	begun := call(t, server, "POST", "/auth/totp", tokens.Access, "{}").want(t, 200)
	var app totpOutputBody
	if err := json.Unmarshal([]byte(begun.body), &app); err != nil || app.Secret == "" || !strings.Contains(app.OTPAuthURL, app.Secret) {
		t.Fatalf("got %+v, %v", app, err)
	}
	code := authenticator{seed: app.Secret}.code(b.clock.Now())
	call(t, server, "POST", "/auth/totp/confirm", tokens.Access, `{"otp":"`+code+`"}`).want(t, 200)
	call(t, server, "POST", "/auth/totp", tokens.Access, "{}").want(t, 409)
}

func TestOperatorsHelpWhoHasLostTheSecondFactor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	b.withTOTP(t, tokens.User.ID, "")
	if err := b.ResetSecondFactor(t.Context(), tokens.User.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.login(t, ""); err != nil {
		t.Error(err)
	}
	b.wantAlive(t, tokens, false)
}

func TestChangingThePasswordNeedsTheSecondFactorToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	app := b.withTOTP(t, tokens.User.ID, caller.LoginID)
	b.clock.Add(freshFor)
	change := func(p Proof, password string) error {
		return b.ChangePassword(t.Context(), caller.UserID, caller.LoginID, p, password)
	}
	if err := change(Proof{Password: pass}, "a new password"); !errors.Is(err, ErrStepUp) {
		t.Errorf("without a code: %v", err)
	}
	if err := change(Proof{Password: pass, OTP: "000000"}, "a new password"); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("with a wrong code: %v", err)
	}
	if err := change(Proof{Password: pass, OTP: app.code(b.clock.Now())}, "a new password"); err != nil {
		t.Error(err)
	}
	if err := b.StepUp(t.Context(), caller, Proof{Password: "a new password", OTP: app.recovery[0]}); err != nil {
		t.Fatal(err)
	}
	if err := change(Proof{Password: "a new password"}, "another password"); err != nil {
		t.Errorf("a moment after a step-up: %v", err)
	}
}

func TestAMadeUpPasswordEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user, err := b.Create(t.Context(), NewUser{Email: email, Password: pass, Temporary: true})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := b.Login(t.Context(), Credentials{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Add(TemporaryLifetime)
	if err := b.login(t, ""); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("after three days: %v", err)
	}
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err == nil { // the access token has expired by then
		t.Errorf("got %+v", caller)
	}
	if err := b.SetPassword(t.Context(), user.ID, pass, true); err != nil {
		t.Fatal(err)
	}
	if err := b.ChangePassword(t.Context(), user.ID, "", Proof{Password: pass}, "one of my own"); err != nil {
		t.Fatal(err)
	}
	b.clock.Add(TemporaryLifetime)
	if _, err := b.Login(t.Context(), Credentials{Email: email, Password: "one of my own"}); err != nil {
		t.Error(err)
	}
}

func TestOperatorsCanEndEveryLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.register(t)
	other, _, err := b.Register(t.Context(), NewUser{Email: "b@example.com", Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := b.LogoutEverybody(t.Context()); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	b.wantAlive(t, tokens, false)
	b.wantAlive(t, other, false)
}

// JWT_SECRET_KEY was replaced, and the one before is lost.
func TestALostSecretLeadsToRecoveryCodes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.register(t).User
	app := b.withTOTP(t, user.ID, "")
	after := copyOf(t, b.store, b.clock, []string{secretB})
	for _, code := range []string{app.code(b.clock.Now()), "000000"} {
		if err := after.login(t, code); !errors.Is(err, errUnreadableFactor) {
			t.Errorf("a code of the app: %v", err)
		}
	}
	server := serve(t, after)
	call(t, server, "POST", "/auth/login", "", `{"email":"amal@example.com","password":"`+pass+`","otp":"123456"}`).want(t, 409)
	call(t, server, "POST", "/auth/login", "", `{"email":"amal@example.com","password":"not the password","otp":"123456"}`).want(t, 401)
	in := call(t, server, "POST", "/auth/login", "", `{"email":"amal@example.com","password":"`+pass+`","otp":"`+app.recovery[0]+`"}`).want(t, 200).tokens(t)
	call(t, server, "DELETE", "/auth/totp", in.AccessToken, `{"password":"`+pass+`","otp":"`+app.recovery[1]+`"}`).want(t, 204)
	if again := after.withTOTP(t, user.ID, ""); after.login(t, "") == nil || len(again.recovery) == 0 {
		t.Error("it can't be added again")
	}
}

func TestAnAppShowsWhichSiteItsCodesAreFor(t *testing.T) {
	t.Parallel()
	for url, site := range map[string]string{"https://app.example.com": "app.example.com", "http://localhost:8080": "Manus", "": "Manus"} {
		b := setup(t, func(c *Config) { c.PublicURL = url })
		caller, err := b.Authenticate(t.Context(), b.register(t).Access)
		if err != nil {
			t.Fatal(err)
		}
		key, err := b.newTOTP(t.Context(), caller.UserID)
		if err != nil || key.Issuer() != site || key.AccountName() != email {
			t.Errorf("at %q: %v, %v", url, key, err)
		}
	}
}
