package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/internal/oidctest"
)

const redirect = "http://localhost:3999/signed-in"

var (
	verifiedPerson   = oidctest.User{Name: "amal", Password: "provider password", Email: email, Subject: "s-1", EmailVerified: true}
	unverifiedPerson = oidctest.User{Name: "samir", Password: "provider password", Email: "samir@example.com", Subject: "s-2"}
)

// withProvider is a service and the real provider that it trusts.
func withProvider(t *testing.T, sparse bool) (bench, *oidctest.Provider) {
	t.Helper()
	return withProviderOf(t, sparse, verifiedPerson, unverifiedPerson)
}

func withProviderOf(t *testing.T, sparse bool, people ...oidctest.User) (bench, *oidctest.Provider) {
	t.Helper()
	provider := oidctest.Start(t, redirect, people...)
	clientID := provider.ClientID
	if sparse {
		clientID = provider.SparseClientID
	}
	clock := clocktest.New()
	clock.Set(time.Now()) // of which the provider's tokens are
	b := copyOf(t, testStore(t), clock, []string{secretA}, func(c *Config) {
		c.Providers = []Provider{{ID: "test", Name: "Test", Issuer: provider.Issuer, ClientID: clientID, ClientSecret: provider.ClientSecret, RedirectURLs: []string{redirect, "https://app.example.com/other"}}}
	})
	return b, provider
}

// visit signs in at the provider and returns what a client finishes with.
func (b bench) visit(t *testing.T, provider *oidctest.Provider, person oidctest.User) ProviderAnswer {
	t.Helper()
	return b.visitFrom(t, provider, person, identity.Caller{})
}

// visitFrom is visit to link the person's account to that of somebody who is signed in.
func (b bench) visitFrom(t *testing.T, provider *oidctest.Provider, person oidctest.User, linkTo identity.Caller) ProviderAnswer {
	t.Helper()
	authURL, ticket, err := b.BeginProvider(t.Context(), "test", "", linkTo)
	if err != nil {
		t.Fatal(err)
	}
	back := provider.SignIn(t, authURL, person.Name, person.Password)
	return ProviderAnswer{Ticket: ticket, Code: back.Get("code"), State: back.Get("state")}
}

func TestSigningInWithAProviderMakesAnAccountOnce(t *testing.T) {
	t.Parallel()
	for name, sparse := range map[string]bool{"claims in the token": false, "claims at userinfo": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, provider := withProvider(t, sparse)
			answer := b.visit(t, provider, verifiedPerson)
			first, err := b.FinishProvider(t.Context(), answer)
			if err != nil || first.User.Email != email || !first.User.EmailVerified || first.User.PasswordHash != "" {
				t.Fatalf("got %+v, %v", first.User, err)
			}
			b.wantAlive(t, first, true)
			second, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson))
			if err != nil || second.User.ID != first.User.ID {
				t.Errorf("got another account: %v", err)
			}
			if _, err := b.Login(t.Context(), Credentials{Email: email, Password: ""}); !errors.Is(err, ErrBadCredentials) {
				t.Errorf("an empty password: %v", err)
			}
			if err := b.SetDisabled(t.Context(), first.User.ID, true); err != nil {
				t.Fatal(err)
			}
			if _, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson)); !errors.Is(err, ErrBadCredentials) {
				t.Errorf("a disabled account: %v", err)
			}
		})
	}
}

func TestAnAccountIsNeverLinkedByItsAddress(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	mine := b.register(t)
	if _, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson)); !errors.Is(err, errLinkFirst) {
		t.Errorf("a verified address: %v", err)
	}
	if _, err := b.FinishProvider(t.Context(), b.visit(t, provider, unverifiedPerson)); !errors.Is(err, errUnverifiedEmail) {
		t.Errorf("an unverified address: %v", err)
	}
	if left, err := b.identitiesOf(t.Context(), mine.User.ID); err != nil || len(left) != 0 {
		t.Errorf("got %+v, %v", left, err)
	}
	// From inside the account it is linked, whatever its address.
	linked, err := b.FinishProvider(t.Context(), b.visitFrom(t, provider, unverifiedPerson, b.caller(t, mine)))
	if err != nil || linked.User.ID != mine.User.ID {
		t.Fatal(err)
	}
	if again, err := b.FinishProvider(t.Context(), b.visit(t, provider, unverifiedPerson)); err != nil || again.User.ID != mine.User.ID {
		t.Errorf("it doesn't sign in: %v", err)
	}
	other, _, err := b.Register(t.Context(), NewUser{Email: "other@example.com", Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.FinishProvider(t.Context(), b.visitFrom(t, provider, unverifiedPerson, b.caller(t, other))); !errors.Is(err, errLinked) {
		t.Errorf("it is linked to two accounts: %v", err)
	}
	all, err := b.identitiesOf(t.Context(), mine.User.ID)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if err := b.unlink(t.Context(), other.User.ID, all[0].ID); !errors.Is(err, errUnknownProvider) {
		t.Errorf("another's is unlinked: %v", err)
	}
	if err := b.unlink(t.Context(), mine.User.ID, all[0].ID); err != nil {
		t.Error(err)
	}
}

func TestTheOnlyWayInStays(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	tokens, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson))
	if err != nil {
		t.Fatal(err)
	}
	all, err := b.identitiesOf(t.Context(), tokens.User.ID)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if err := b.unlink(t.Context(), tokens.User.ID, all[0].ID); !errors.Is(err, errLastWayIn) {
		t.Errorf("got %v", err)
	}
	// Such an account has nothing to prove but a sign-in of a moment ago.
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.StepUp(t.Context(), caller, Proof{}); err != nil {
		t.Error(err)
	}
	b.clock.Add(freshFor)
	if err := b.StepUp(t.Context(), caller, Proof{}); !errors.Is(err, ErrStepUp) {
		t.Errorf("got %v", err)
	}
	if err := b.StepUp(t.Context(), caller, Proof{Password: "anything"}); !errors.Is(err, ErrStepUp) {
		t.Errorf("a password that isn't there proves something: %v", err)
	}
}

func TestAProvidersAnswerBelongsToWhoBegan(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	for name, change := range map[string]func(a, other *ProviderAnswer){
		"another's ticket": func(a, other *ProviderAnswer) { a.Ticket = other.Ticket },
		"no ticket":        func(a, _ *ProviderAnswer) { a.Ticket = "" },
		"another state":    func(a, other *ProviderAnswer) { a.State = other.State },
		"no state":         func(a, _ *ProviderAnswer) { a.State = "" },
		"another's code":   func(a, other *ProviderAnswer) { a.Code = other.Code },
		"an invented code": func(a, _ *ProviderAnswer) { a.Code = "invented" },
	} {
		a, other := b.visit(t, provider, verifiedPerson), b.visit(t, provider, verifiedPerson)
		change(&a, &other)
		if _, err := b.FinishProvider(t.Context(), a); !errors.Is(err, errCeremony) && !errors.Is(err, errProvider) {
			t.Errorf("%s: %v", name, err)
		}
	}
	late := b.visit(t, provider, verifiedPerson)
	b.clock.Add(ceremonyLifetime)
	if _, err := b.FinishProvider(t.Context(), late); !errors.Is(err, errCeremony) {
		t.Errorf("too late: %v", err)
	}
	if _, _, err := b.BeginProvider(t.Context(), "test", "https://evil.example/", identity.Caller{}); !errors.Is(err, errRedirect) {
		t.Errorf("an open redirect: %v", err)
	}
	if _, _, err := b.BeginProvider(t.Context(), "another", "", identity.Caller{}); !errors.Is(err, errUnknownProvider) {
		t.Errorf("got %v", err)
	}
	authURL, _, err := b.BeginProvider(t.Context(), "test", "https://app.example.com/other", identity.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := url.Parse(authURL)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"response_type": "code", "code_challenge_method": "S256", "redirect_uri": "https://app.example.com/other"} {
		if got := parsed.Query().Get(key); got != want {
			t.Errorf("%s is %q", key, got)
		}
	}
	for _, key := range []string{"state", "nonce", "code_challenge"} {
		if len(parsed.Query().Get(key)) < 20 {
			t.Errorf("%s is %q", key, parsed.Query().Get(key))
		}
	}
}

func TestTheSecondFactorIsAskedForBehindAProvider(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	tokens, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson))
	if err != nil {
		t.Fatal(err)
	}
	app := b.withTOTP(t, tokens.User.ID, "")
	b.clock.Add(time.Minute)
	answer := b.visit(t, provider, verifiedPerson)
	if _, err := b.FinishProvider(t.Context(), answer); !errors.Is(err, ErrSecondFactor) {
		t.Fatalf("got %v", err)
	}
	answer.OTP = "000000"
	if _, err := b.FinishProvider(t.Context(), answer); !errors.Is(err, ErrWrongPassword) {
		t.Fatalf("got %v", err)
	}
	answer.OTP = app.code(b.clock.Now())
	if _, err := b.FinishProvider(t.Context(), answer); err != nil {
		t.Error(err)
	}
}

// cutShort is a service with somebody's first sign-in with a provider, killed between the
// account and the identity.
func cutShort(t *testing.T) (bench, *oidctest.Provider, Tokens) {
	t.Helper()
	b, provider := withProvider(t, false)
	first, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson))
	if err == nil {
		err = b.identities.Delete(t.Context(), first.User.FirstIdentity)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b, provider, first
}

func TestANewcomerWhoWasCutShortGetsTheAccount(t *testing.T) {
	t.Parallel()
	b, provider, first := cutShort(t)
	again, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson))
	if err != nil || again.User.ID != first.User.ID {
		t.Errorf("got %+v, %v", again.User, err)
	}
	if left, err := b.identitiesOf(t.Context(), first.User.ID); err != nil || len(left) != 1 {
		t.Errorf("left are %+v, %v", left, err)
	}
}

// An identity whose account was never made, or has begun to unlink it, signs nobody in and
// is in nobody's way.
func TestAnIdentityThatIsHalfThereCountsForNothing(t *testing.T) {
	t.Parallel()
	halves := map[string]func(t *testing.T, b bench, i externalIdentity, owner User){
		"without an account": func(t *testing.T, b bench, i externalIdentity, _ User) {
			i.UserID = docstore.NewID()
			if err := b.identities.Insert(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		},
		"half unlinked": func(t *testing.T, b bench, i externalIdentity, owner User) {
			i.UserID = owner.ID
			if err := b.identities.Insert(t.Context(), i); err != nil {
				t.Fatal(err)
			}
			if _, err := b.update(t.Context(), owner.ID, func(u *User) error { u.Unlinked = []string{i.ID}; return nil }); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, make := range halves {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, provider := withProvider(t, false)
			mine := b.register(t) // with the address that the provider vouches for
			i := externalIdentity{ID: identityID(provider.Issuer, verifiedPerson.Subject), Provider: "test", Issuer: provider.Issuer, Subject: verifiedPerson.Subject}
			make(t, b, i, mine.User)
			if got, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson)); !errors.Is(err, errLinkFirst) {
				t.Errorf("it signs in: %+v, %v", got.User, err)
			}
			linked, err := b.FinishProvider(t.Context(), b.visitFrom(t, provider, verifiedPerson, b.caller(t, mine)))
			if err != nil || linked.User.ID != mine.User.ID {
				t.Fatalf("it can't be linked: %v", err)
			}
			if again, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson)); err != nil || again.User.ID != mine.User.ID {
				t.Errorf("linked, it doesn't sign in: %v", err)
			}
		})
	}
}

// Whoever has begun to link an account of theirs with a stolen token can't finish once the
// owner has ended its login.
func TestLinkingEndsWithTheLoginItWasBegunFrom(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	mine := b.register(t)
	for name, end := range map[string]func(loginID string) error{
		"every login": func(string) error { return b.LogoutAll(t.Context(), mine.User.ID) },
		"that login":  func(id string) error { return b.revokeDevice(t.Context(), mine.User.ID, id) },
	} {
		thief, err := b.Login(t.Context(), Credentials{Email: email, Password: pass})
		if err != nil {
			t.Fatal(err)
		}
		caller := b.caller(t, thief)
		answer := b.visitFrom(t, provider, unverifiedPerson, caller)
		if err := end(caller.LoginID); err != nil {
			t.Fatal(err)
		}
		if _, err := b.FinishProvider(t.Context(), answer); !errors.Is(err, errCeremony) {
			t.Errorf("after the end of %s: %v", name, err)
		}
	}
	if left, err := b.identitiesOf(t.Context(), mine.User.ID); err != nil || len(left) != 0 {
		t.Errorf("linked are %+v, %v", left, err)
	}
}

func TestOnePersonWhoComesManyTimesAtOnceHasOneAccount(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	var answers []ProviderAnswer
	for range 8 {
		answers = append(answers, b.visit(t, provider, verifiedPerson))
	}
	var in atomic.Int64
	var wg sync.WaitGroup
	for _, answer := range answers {
		wg.Go(func() {
			if _, err := b.FinishProvider(t.Context(), answer); err == nil {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	users, _, err := b.List(t.Context(), 10, "")
	if err != nil || len(users) != 1 || in.Load() != int64(len(answers)) {
		t.Errorf("%d accounts, %d got in, %v", len(users), in.Load(), err)
	}
	if again, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson)); err != nil || again.User.ID != users[0].ID {
		t.Errorf("later: %+v, %v", again.User, err)
	}
}

// Two that have both seen that there is no account yet.
func TestWhoMakesAnAccountSecondUndoesNothingOfTheFirst(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*User){
		"as it is":                   func(*User) {},
		"with another address since": func(u *User) { u.Email, u.EmailKey = "other@example.com", "other@example.com" },
	} {
		b := setup(t)
		claims := providerClaims{Email: email, EmailVerified: saidTrue}
		first, err := b.newcomer(t.Context(), externalIdentity{ID: "i"}, claims)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.update(t.Context(), first.ID, func(u *User) error { change(u); return nil }); err != nil {
			t.Fatal(err)
		}
		if second, err := b.newcomer(t.Context(), externalIdentity{ID: "i"}, claims); err != nil || second.ID != first.ID {
			t.Errorf("%s: the second got %+v, %v", name, second, err)
		}
		if left, err := b.identitiesOf(t.Context(), first.ID); err != nil || len(left) != 1 {
			t.Errorf("%s: of the first are left %+v, %v", name, left, err)
		}
	}
}

func TestANewcomerWithAnothersAddressLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t)
	if _, err := b.newcomer(t.Context(), externalIdentity{ID: "j"}, providerClaims{Email: email, EmailVerified: saidTrue}); !errors.Is(err, errLinkFirst) {
		t.Errorf("got %v", err)
	}
	if left, err := b.identities.Get(t.Context(), "j"); !errors.Is(err, docstore.ErrNotFound) {
		t.Errorf("left is %+v, %v", left, err)
	}
}

func TestAProvidersNameIsCutBetweenLetters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	name := strings.Repeat("قَ", 150) // each letter with its vowel
	user, err := b.newcomer(t.Context(), externalIdentity{ID: "i"}, providerClaims{Email: email, EmailVerified: saidTrue, Name: "a" + name})
	if want := "a" + strings.Repeat("قَ", 99); err != nil || user.FullName != want {
		t.Errorf("got %q, %v", user.FullName, err)
	}
}

func TestAProviderThatIsDownKeepsNothingElseFromWorking(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) {
		c.Providers = []Provider{{ID: "down", Name: "Down", Issuer: "http://127.0.0.1:1", ClientID: "x", RedirectURLs: []string{redirect}}}
	})
	b.register(t)
	if _, _, err := b.BeginProvider(t.Context(), "down", "", identity.Caller{}); !errors.Is(err, errProviderDown) {
		t.Errorf("got %v", err)
	}
}

func TestProblemsOfAProvider(t *testing.T) {
	t.Parallel()
	good := Provider{ID: "google", Name: "Google", Issuer: "https://accounts.google.com", ClientID: "x", RedirectURLs: []string{"https://app.example.com/in"}}
	if found := good.Problems(); len(found) != 0 {
		t.Errorf("a good one: %v", found)
	}
	for want, change := range map[string]func(*Provider){
		"id: ": func(p *Provider) { p.ID = "Go ogle" }, "name: ": func(p *Provider) { p.Name = "" }, "client_id: ": func(p *Provider) { p.ClientID = "" },
		"issuer: ": func(p *Provider) { p.Issuer = "http://accounts.google.com" }, "redirect_urls: list": func(p *Provider) { p.RedirectURLs = nil },
		"redirect_urls: use": func(p *Provider) { p.RedirectURLs = []string{"javascript:alert(1)"} },
	} {
		p := good
		change(&p)
		if found := p.Problems(); len(found) != 1 || found[0][:len(want)] != want {
			t.Errorf("%s: %v", want, found)
		}
	}
}

func TestTheNameOfAProviderIsBounded(t *testing.T) {
	t.Parallel()
	p := Provider{ID: "google", Issuer: "https://accounts.google.com", ClientID: "x", RedirectURLs: []string{"https://app.example.com/in"}}
	for length, good := range map[int]bool{0: false, 1: true, 64: true, 65: false} {
		p.Name = strings.Repeat("x", length)
		if found := p.Problems(); good != (len(found) == 0) {
			t.Errorf("of %d bytes: %v", length, found)
		}
	}
}

func TestWhichAddressesOfTheWebAreTaken(t *testing.T) {
	t.Parallel()
	for text, taken := range map[string]bool{
		"https://app.example.com/in": true, "https://localhost": true, "http://localhost:3000/in": true, "http://127.0.0.1": true, "http://[::1]:3000": true,
		"http://app.example.com": false, "http://localhost.example.com": false, "ftp://localhost": false, "localhost:3000": false, "//localhost": false,
		"https://": false, "https://amal@app.example.com": false, "https://app.example.com/#in": false, "https://app.example.com:port": false, "": false,
	} {
		if isWebURL(text) != taken {
			t.Errorf("%q is taken: %v", text, !taken)
		}
	}
}

// altered changes a provider's answers on their way.
type altered func(*http.Response)

func (alter altered) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		alter(answer)
	}
	return answer, err
}

// withSaid is the service with a copy of its own store, what its provider says being altered.
func (b bench) withSaid(t *testing.T, trust bool, alter altered) bench {
	t.Helper()
	said := copyOf(t, testStore(t), b.clock, []string{secretA}, func(c *Config) {
		c.Providers = slices.Clone(b.c.Providers)
		c.Providers[0].TrustEmail = trust
	})
	said.oidc.Load().client.Transport = alter
	return said
}

// An address that a provider says nothing of is only trusted where that is set, and one that
// it calls unverified nowhere.
func TestWhoseAddressIsTrusted(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, true)
	for _, c := range []struct {
		person             oidctest.User
		says, trust, taken bool
	}{
		{verifiedPerson, true, false, true},
		{unverifiedPerson, true, false, false},
		{unverifiedPerson, true, true, false},
		{unverifiedPerson, false, false, false},
		{unverifiedPerson, false, true, true},
	} {
		b := b.withSaid(t, c.trust, func(answer *http.Response) {
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Error(err)
			}
			if !c.says {
				body = bytes.ReplaceAll(body, []byte(`"email_verified"`), []byte(`"another claim"`))
			}
			answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		})
		_, err := b.FinishProvider(t.Context(), b.visit(t, provider, c.person))
		if c.taken && err != nil || !c.taken && !errors.Is(err, errUnverifiedEmail) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A provider that is broken is worth another try, one that refuses is not.
func TestWhetherAProviderRefusesOrIsBroken(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	for status, want := range map[int]error{400: errProvider, 499: errProvider, 500: errProviderDown, 503: errProviderDown} {
		b := b.withSaid(t, false, func(answer *http.Response) {
			if answer.Request.Method == http.MethodPost { // of the code for tokens
				answer.StatusCode = status
			}
		})
		if _, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson)); !errors.Is(err, want) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// The last two ways in are removed at once, in each pair.
func TestTheLastTwoWaysInAreNotBothRemoved(t *testing.T) {
	t.Parallel()
	for round := range 30 {
		b := setup(t)
		other := copyOf(t, b.store, b.clock, []string{secretA})
		user, err := b.insert(t.Context(), User{ID: docstore.NewID(), Email: email, EmailKey: email})
		if err != nil {
			t.Fatal(err)
		}
		remove := []func() error{
			func() error { return b.unlink(context.Background(), user.ID, "one") },
			func() error { return other.unlink(context.Background(), user.ID, "two") },
		}
		linked := []string{"one", "two"}
		if round%2 == 1 {
			linked, remove[1] = linked[:1], func() error { return other.removePasskey(context.Background(), user.ID, "", "key") }
			if _, err := b.update(t.Context(), user.ID, func(u *User) error { u.Passkeys = []passkey{{ID: "key"}}; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range linked {
			if _, err := b.Service.link(t.Context(), externalIdentity{ID: id, UserID: user.ID}); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		var removed atomic.Int64
		for _, f := range remove {
			wg.Go(func() {
				if err := f(); err == nil {
					removed.Add(1)
				} else if !errors.Is(err, errLastWayIn) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		left, err := b.identitiesOf(t.Context(), user.ID)
		now, getErr := b.Get(t.Context(), user.ID)
		if err != nil || getErr != nil || removed.Load() != 1 || len(left)+len(now.Passkeys) != 1 {
			t.Fatalf("round %d: %d were removed, left are %+v and %+v", round, removed.Load(), left, now.Passkeys)
		}
		if round%2 == 0 { // what was unlinked can be linked again, and then counts
			gone := linked[0]
			if left[0].ID == gone {
				gone = linked[1]
			}
			if _, err := b.Service.link(t.Context(), externalIdentity{ID: gone, UserID: user.ID}); err != nil {
				t.Fatal(err)
			}
			if err := b.unlink(t.Context(), user.ID, left[0].ID); err != nil {
				t.Errorf("with another linked again: %v", err)
			}
		}
	}
}

func TestVerifiedMayBeText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]said{
		`{"email_verified":true}`: saidTrue, `{"email_verified":"true"}`: saidTrue, `{}`: "", `{"email_verified":null}`: "",
	} {
		var claims providerClaims
		if err := json.Unmarshal([]byte(text), &claims); err != nil || claims.EmailVerified != want {
			t.Errorf("%s: %q, %v", text, claims.EmailVerified, err)
		}
	}
	for _, text := range []string{`{"email_verified":false}`, `{"email_verified":"false"}`, `{"email_verified":""}`, `{"email_verified":1}`, `{"email_verified":"TRUE "}`, `{"email_verified":["true"]}`} {
		var claims providerClaims
		if err := json.Unmarshal([]byte(text), &claims); err == nil && (claims.EmailVerified == saidTrue || claims.EmailVerified == "") {
			t.Errorf("%s is %q", text, claims.EmailVerified)
		}
	}
}

// Who signs in with a provider isn't told of a password.
func TestBehindAProviderNothingIsSaidOfPasswords(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	server := serve(t, b)
	tokens, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson))
	if err != nil {
		t.Fatal(err)
	}
	app := b.withTOTP(t, tokens.User.ID, "")
	b.clock.Add(time.Minute)
	answer := b.visit(t, provider, verifiedPerson)
	finish := func(otp string, status int, name string) {
		t.Helper()
		body, err := json.Marshal(map[string]string{"ticket": answer.Ticket, "code": answer.Code, "state": answer.State, "otp": otp})
		if err != nil {
			t.Fatal(err)
		}
		for _, lang := range []string{"en", "ar"} {
			got := call(t, server, "POST", "/auth/providers/finish?lang="+lang, "", string(body)).want(t, status)
			var problem struct{ Type, Detail string }
			if err := json.Unmarshal([]byte(got.body), &problem); err != nil || problem.Type != "/problems/"+name ||
				strings.Contains(problem.Detail, "password") || strings.Contains(problem.Detail, "كلمة المرور") {
				t.Errorf("got %s, %v", got.body, err)
			}
		}
	}
	finish("", http.StatusUnauthorized, "second-factor-required")
	finish("000000", http.StatusForbidden, "wrong-password")
	if err := b.SetDisabled(t.Context(), tokens.User.ID, true); err != nil {
		t.Fatal(err)
	}
	finish(app.code(b.clock.Now()), http.StatusUnauthorized, "bad-credentials")
}

// A person who has begun with a provider, and was cut short, links it from another account.
func TestAnIdentityThatAnAccountBeganWithIsNotAnothers(t *testing.T) {
	t.Parallel()
	b, provider, first := cutShort(t)
	other, _, err := b.Register(t.Context(), NewUser{Email: "other@example.com", Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.FinishProvider(t.Context(), b.visitFrom(t, provider, verifiedPerson, b.caller(t, other))); !errors.Is(err, errLinked) {
		t.Errorf("it is another's: %v", err)
	}
	mine, err := b.FinishProvider(t.Context(), b.visitFrom(t, provider, verifiedPerson, b.caller(t, first)))
	if left, listErr := b.identitiesOf(t.Context(), first.User.ID); err != nil || listErr != nil || mine.User.ID != first.User.ID || len(left) != 1 {
		t.Errorf("left are %+v, %v, %v", left, err, listErr)
	}
	// Unlinked, it begins anew.
	if err := b.SetPassword(t.Context(), first.User.ID, pass, false); err != nil {
		t.Fatal(err)
	}
	if err := b.unlink(t.Context(), first.User.ID, first.User.FirstIdentity); err != nil {
		t.Fatal(err)
	}
	if linked, err := b.Service.link(t.Context(), externalIdentity{ID: first.User.FirstIdentity, UserID: other.User.ID}); err != nil || linked.ID != other.User.ID {
		t.Errorf("it can't be linked: %v", err)
	}
}

// Many claim an identity at once that counts for nothing: one gets it.
func TestAnIdentityIsClaimedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	copies := []bench{b, copyOf(t, b.store, b.clock, []string{secretA})}
	var people []User
	for _, name := range []string{"a", "b", "c", "d"} {
		user, err := b.Create(t.Context(), NewUser{Email: name + "@example.com", Password: pass})
		if err != nil {
			t.Fatal(err)
		}
		people = append(people, user)
	}
	for round := range maxIdentities { // so that one of them may have them all
		i := externalIdentity{ID: fmt.Sprint("identity ", round), UserID: docstore.NewID()}
		if err := b.identities.Insert(t.Context(), i); err != nil { // of an account that was never made
			t.Fatal(err)
		}
		claim := func(n int) error {
			mine := i
			mine.UserID, mine.CreatedAt = people[n].ID, docstore.At(b.clock.Now())
			_, err := copies[n%2].Service.link(context.Background(), mine)
			return err
		}
		if n := atOnce(t, len(people), errLinked, claim); n != 1 {
			t.Fatalf("%d have it", n)
		}
	}
}
