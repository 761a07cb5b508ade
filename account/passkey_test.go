package account

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
)

// device is an authenticator, with one passkey once it has made it.
type device struct {
	rp   virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	key  virtualwebauthn.Credential
}

// wholeKey is the length of a public key on P-256 in COSE (RFC 9053, 7.1.1). The
// library leaves out leading zeros of a coordinate, which no verifier takes: one key
// in 128 is shorter, and of no use.
const wholeKey = 77

func newDevice() *device {
	key := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	for len(key.Key.AttestationData()) != wholeKey {
		key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	return &device{
		rp:  virtualwebauthn.RelyingParty{ID: "app.example.com", Name: "Manus", Origin: "https://app.example.com"},
		key: key,
	}
}

func optionsText(t testing.TB, options any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"publicKey": options})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// register makes a passkey for the account.
func (d *device) register(t testing.TB, b bench, userID string, secondFactor bool) (passkey, []string) {
	t.Helper()
	id, options, err := b.beginPasskey(t.Context(), userID)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := virtualwebauthn.ParseAttestationOptions(optionsText(t, options))
	if err != nil {
		t.Fatal(err)
	}
	d.auth = virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: []byte(userID)})
	answer := virtualwebauthn.CreateAttestationResponse(d.rp, d.auth, d.key, *parsed)
	added, codes, err := b.addPasskey(t.Context(), userID, "", "my phone", secondFactor, PasskeyAnswer{id, answer})
	if err != nil {
		t.Fatal(err)
	}
	d.auth.AddCredential(d.key)
	return added, codes
}

// answer uses the passkey.
func (d *device) answer(t testing.TB, b bench) PasskeyAnswer {
	t.Helper()
	id, options, err := b.beginPasskeyUse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := virtualwebauthn.ParseAssertionOptions(optionsText(t, options))
	if err != nil {
		t.Fatal(err)
	}
	d.key.Counter++
	return PasskeyAnswer{id, virtualwebauthn.CreateAssertionResponse(d.rp, d.auth, d.key, *parsed)}
}

func TestAPasskeySignsIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.register(t).User
	d := newDevice()
	added, codes := d.register(t, b, user.ID, false)
	if added.Name != "my phone" || codes != nil {
		t.Errorf("got %+v, %v", added, codes)
	}
	answer := d.answer(t, b)
	tokens, err := b.LoginWithPasskey(t.Context(), answer)
	if err != nil || tokens.User.ID != user.ID {
		t.Fatal(tokens.User.ID, err)
	}
	b.wantAlive(t, tokens, true)
	if _, err := b.LoginWithPasskey(t.Context(), answer); !errors.Is(err, errBadPasskey) {
		t.Errorf("the same answer again: %v", err)
	}
	if _, err := b.Login(t.Context(), Credentials{Email: email, Password: pass}); err != nil {
		t.Errorf("the password alone still does: %v", err)
	}
	d.key.Counter = 0 // a copy of the authenticator, which lags behind
	if _, err := b.LoginWithPasskey(t.Context(), d.answer(t, b)); !errors.Is(err, errBadPasskey) {
		t.Errorf("a cloned authenticator: %v", err)
	}
	d.key.Counter = 100
	if err := b.SetDisabled(t.Context(), user.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := b.LoginWithPasskey(t.Context(), d.answer(t, b)); !errors.Is(err, errBadPasskey) {
		t.Errorf("of a disabled account: %v", err)
	}
	if err := b.SetDisabled(t.Context(), user.ID, false); err != nil {
		t.Fatal(err)
	}
	if err := b.removePasskey(t.Context(), user.ID, "", added.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.LoginWithPasskey(t.Context(), d.answer(t, b)); !errors.Is(err, errBadPasskey) {
		t.Errorf("after it was removed: %v", err)
	}
}

// Passkeys that several devices share count nothing: they say 0 each time.
func TestAPasskeyWithoutACounterSignsInAgainAndAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := newDevice()
	d.register(t, b, b.register(t).User.ID, false)
	for range 3 {
		d.key.Counter = math.MaxUint32 // of which the next is 0
		if _, err := b.LoginWithPasskey(t.Context(), d.answer(t, b)); err != nil {
			t.Error(err)
		}
	}
}

func TestAPasskeyAsSecondFactor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.register(t).User
	d, stranger := newDevice(), newDevice()
	_, codes := d.register(t, b, user.ID, true)
	if len(codes) != recoveryCodes {
		t.Errorf("%d recovery codes", len(codes))
	}
	other, err := b.Create(t.Context(), NewUser{Email: "b@example.com", Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	stranger.register(t, b, other.ID, false)
	signIn := func(passkey *PasskeyAnswer, otp string) error {
		_, err := b.Login(t.Context(), Credentials{Email: email, Password: pass, OTP: otp, Passkey: passkey})
		return err
	}
	if err := signIn(nil, ""); !errors.Is(err, ErrSecondFactor) {
		t.Errorf("without it: %v", err)
	}
	theirs := stranger.answer(t, b)
	if err := signIn(&theirs, ""); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("another's: %v", err)
	}
	mine := d.answer(t, b)
	if err := signIn(&mine, ""); err != nil {
		t.Error(err)
	}
	if err := signIn(nil, codes[0]); err != nil {
		t.Errorf("a recovery code: %v", err)
	}
}

func TestOneOfManyAtOnceGetsInWithAPasskeysAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := newDevice()
	d.register(t, b, b.register(t).User.ID, false)
	answer := d.answer(t, b)
	var in atomic.Int64
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, err := b.LoginWithPasskey(t.Context(), answer); err == nil {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("%d got in", in.Load())
	}
}

func TestPasskeysOfAnotherSiteAndOldCeremoniesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.register(t).User
	d := newDevice()
	d.register(t, b, user.ID, false)
	evil := *d
	evil.rp.Origin = "https://app.example.com.evil.example"
	if _, err := b.LoginWithPasskey(t.Context(), evil.answer(t, b)); !errors.Is(err, errBadPasskey) {
		t.Errorf("a phishing site: %v", err)
	}
	d.auth.Options.UserNotVerified = true
	if _, err := b.LoginWithPasskey(t.Context(), d.answer(t, b)); !errors.Is(err, errBadPasskey) {
		t.Errorf("nobody has unlocked it: %v", err)
	}
	d.auth.Options.UserNotVerified = false
	late := d.answer(t, b)
	b.clock.Add(ceremonyLifetime + time.Second)
	if _, err := b.LoginWithPasskey(t.Context(), late); !errors.Is(err, errBadPasskey) {
		t.Errorf("too late: %v", err)
	}
	// A ceremony of one account can't be finished by another.
	id, _, err := b.beginPasskey(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.addPasskey(t.Context(), "another", "", "x", false, PasskeyAnswer{id, "{}"}); !errors.Is(err, errCeremony) {
		t.Errorf("got %v", err)
	}
	for _, nonsense := range []string{"", "{}", "null", `{"id":"x"}`, strings.Repeat("[", 10000)} {
		ceremonyID, _, err := b.beginPasskeyUse(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.LoginWithPasskey(t.Context(), PasskeyAnswer{ceremonyID, nonsense}); !errors.Is(err, errBadPasskey) {
			t.Errorf("%.20q: %v", nonsense, err)
		}
	}
}

func TestWithoutADomainThereAreNoPasskeysAndAllElseWorks(t *testing.T) {
	t.Parallel()
	for _, publicURL := range []string{"", "http://192.168.1.5:9001", "http://127.0.0.1:9001", "http://[::1]:9001", "https://intranet", "http://com"} {
		var log strings.Builder
		b := setup(t, func(c *Config) {
			c.PublicURL, c.Origins = publicURL, []string{"https://www.example.com"}
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
		user := b.register(t).User
		if _, _, err := b.beginPasskeyUse(t.Context()); !errors.Is(err, errNoPasskeys) {
			t.Errorf("%q: got %v", publicURL, err)
		}
		if _, _, err := b.beginPasskey(t.Context(), user.ID); !errors.Is(err, errNoPasskeys) {
			t.Errorf("%q: got %v", publicURL, err)
		}
		if warned := strings.Contains(log.String(), "there are no passkeys: PUBLIC_URL has"); warned != (publicURL != "") {
			t.Errorf("%q: the log has %s", publicURL, log.String())
		}
	}
}

// FuzzPasskeyAnswer gives foreign bytes to what reads a browser's answers.
func FuzzPasskeyAnswer(f *testing.F) {
	b := setup(f)
	user := b.register(f).User
	d := newDevice()
	d.register(f, b, user.ID, false)
	f.Add(d.answer(f, b).Credential)
	f.Add("{}")
	f.Fuzz(func(t *testing.T, text string) {
		id, _, err := b.beginPasskeyUse(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.LoginWithPasskey(t.Context(), PasskeyAnswer{id, text}); !errors.Is(err, errBadPasskey) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPasskeysAreUsedWhereTheOperatorSays(t *testing.T) {
	t.Parallel()
	const app = "android:apk-key-hash:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
	for _, c := range []struct {
		origin string
		local  bool
		taken  bool
	}{
		{"https://app.example.com", false, true}, {"https://www.example.com", false, true}, {app, false, true},
		{"https://evil.example.com", false, false}, {"https://www.example.com.evil.org", false, false}, {app[:len(app)-1] + "V", false, false},
		{"http://localhost:5173", false, false}, {"http://localhost:5173", true, true}, {"http://localhost.evil.org:5173", true, false}, {"https://www.example.com", true, true},
	} {
		b := setup(t, func(c2 *Config) {
			c2.PublicURL, c2.Origins, c2.LocalOrigins = "https://app.example.com", []string{"https://www.example.com", app}, c.local
		})
		user := b.register(t).User
		d := newDevice()
		d.register(t, b, user.ID, false)
		d.rp.Origin = c.origin
		_, err := b.LoginWithPasskey(t.Context(), d.answer(t, b))
		if c.taken && err != nil || !c.taken && !errors.Is(err, errBadPasskey) {
			t.Errorf("%s, local %v: %v", c.origin, c.local, err)
		}
	}
}

func TestBrowsersAreToldWhereElsePasskeysAreUsed(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) {
		c.PublicURL, c.Origins = "https://app.example.com", []string{"https://www.example.com"}
	})
	response, err := http.Get(serve(t, b).URL + "/.well-known/webauthn")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if want := `{"origins":["https://app.example.com","https://www.example.com"]}`; err != nil || strings.TrimSpace(string(body)) != want || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s, %v, %v", body, response.Header, err)
	}
	elsewhere, err := http.Get(serve(t, setup(t)).URL + "/.well-known/webauthn")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Body.Close()
	if elsewhere.StatusCode != http.StatusNotFound {
		t.Errorf("where they are used nowhere else it answers %d", elsewhere.StatusCode)
	}
}
