package account

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
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
	provider := oidctest.Start(t, redirect, verifiedPerson, unverifiedPerson)
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
func (b bench) visit(t *testing.T, provider *oidctest.Provider, person oidctest.User, linkTo string) ProviderAnswer {
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
			answer := b.visit(t, provider, verifiedPerson, "")
			first, err := b.FinishProvider(t.Context(), answer)
			if err != nil || first.User.Email != email || !first.User.EmailVerified || first.User.PasswordHash != "" {
				t.Fatalf("got %+v, %v", first.User, err)
			}
			b.wantAlive(t, first, true)
			if _, err := b.FinishProvider(t.Context(), answer); !errors.Is(err, errCeremony) {
				t.Errorf("the same again: %v", err)
			}
			second, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson, ""))
			if err != nil || second.User.ID != first.User.ID {
				t.Errorf("got another account: %v", err)
			}
			if _, err := b.Login(t.Context(), Credentials{Email: email, Password: ""}); !errors.Is(err, ErrBadCredentials) {
				t.Errorf("an empty password: %v", err)
			}
			if err := b.SetDisabled(t.Context(), first.User.ID, true); err != nil {
				t.Fatal(err)
			}
			if _, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson, "")); !errors.Is(err, ErrBadCredentials) {
				t.Errorf("a disabled account: %v", err)
			}
		})
	}
}

func TestAnAccountIsNeverLinkedByItsAddress(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	mine := b.register(t)
	if _, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson, "")); !errors.Is(err, errLinkFirst) {
		t.Errorf("a verified address: %v", err)
	}
	if _, err := b.FinishProvider(t.Context(), b.visit(t, provider, unverifiedPerson, "")); !errors.Is(err, errUnverifiedEmail) {
		t.Errorf("an unverified address: %v", err)
	}
	if left, err := b.identitiesOf(t.Context(), mine.User.ID); err != nil || len(left) != 0 {
		t.Errorf("got %+v, %v", left, err)
	}
	// From inside the account it is linked, whatever its address.
	linked, err := b.FinishProvider(t.Context(), b.visit(t, provider, unverifiedPerson, mine.User.ID))
	if err != nil || linked.User.ID != mine.User.ID {
		t.Fatal(err)
	}
	if again, err := b.FinishProvider(t.Context(), b.visit(t, provider, unverifiedPerson, "")); err != nil || again.User.ID != mine.User.ID {
		t.Errorf("it doesn't sign in: %v", err)
	}
	other, err := b.Create(t.Context(), NewUser{Email: "other@example.com", Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.FinishProvider(t.Context(), b.visit(t, provider, unverifiedPerson, other.ID)); !errors.Is(err, errLinked) {
		t.Errorf("it is linked to two accounts: %v", err)
	}
	all, err := b.identitiesOf(t.Context(), mine.User.ID)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if err := b.unlink(t.Context(), other.ID, all[0].ID); !errors.Is(err, errUnknownProvider) {
		t.Errorf("another's is unlinked: %v", err)
	}
	if err := b.unlink(t.Context(), mine.User.ID, all[0].ID); err != nil {
		t.Error(err)
	}
}

func TestTheOnlyWayInStays(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	tokens, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson, ""))
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
		a, other := b.visit(t, provider, verifiedPerson, ""), b.visit(t, provider, verifiedPerson, "")
		change(&a, &other)
		if _, err := b.FinishProvider(t.Context(), a); !errors.Is(err, errCeremony) && !errors.Is(err, errProvider) {
			t.Errorf("%s: %v", name, err)
		}
	}
	late := b.visit(t, provider, verifiedPerson, "")
	b.clock.Add(ceremonyLifetime)
	if _, err := b.FinishProvider(t.Context(), late); !errors.Is(err, errCeremony) {
		t.Errorf("too late: %v", err)
	}
	if _, _, err := b.BeginProvider(t.Context(), "test", "https://evil.example/", ""); !errors.Is(err, errRedirect) {
		t.Errorf("an open redirect: %v", err)
	}
	if _, _, err := b.BeginProvider(t.Context(), "another", "", ""); !errors.Is(err, errUnknownProvider) {
		t.Errorf("got %v", err)
	}
	authURL, _, err := b.BeginProvider(t.Context(), "test", "https://app.example.com/other", "")
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
	tokens, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson, ""))
	if err != nil {
		t.Fatal(err)
	}
	app := b.withTOTP(t, tokens.User.ID, "")
	b.clock.Add(time.Minute)
	answer := b.visit(t, provider, verifiedPerson, "")
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

func TestANewcomerWhoseAccountWasCutShortGetsIt(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	// As if the program had been killed between the identity and the account.
	id := externalIdentity{ID: identityID(provider.Issuer, verifiedPerson.Subject), UserID: docstore.NewID(), Provider: "test"}
	if err := b.identities.Insert(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	tokens, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson, ""))
	if err != nil || tokens.User.ID != id.UserID {
		t.Errorf("got %+v, %v", tokens.User, err)
	}
}

func TestOnePersonWhoComesManyTimesAtOnceHasOneAccount(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	var answers []ProviderAnswer
	for range 8 {
		answers = append(answers, b.visit(t, provider, verifiedPerson, ""))
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
	if again, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson, "")); err != nil || again.User.ID != users[0].ID {
		t.Errorf("later: %+v, %v", again.User, err)
	}
}

// Two that have both seen that there is no account yet, in each of the orders that a
// store could put them in.
func TestWhoMakesAnAccountSecondUndoesNothingOfTheFirst(t *testing.T) {
	t.Parallel()
	for name, identities := range map[string][2]externalIdentity{
		"both found nothing":            {{ID: "i", UserID: "one"}, {ID: "i", UserID: "other"}},
		"both found one cut short":      {{ID: "i", UserID: "one"}, {ID: "i", UserID: "one"}},
		"another's, with their address": {{ID: "i", UserID: "one"}, {ID: "j", UserID: "other"}},
	} {
		b := setup(t)
		claims := providerClaims{Email: email, EmailVerified: saidTrue}
		first, err := b.newcomer(t.Context(), identities[0], claims)
		if err != nil {
			t.Fatal(err)
		}
		second, err := b.newcomer(t.Context(), identities[1], claims)
		if another := identities[1].ID != "i"; another && !errors.Is(err, errLinkFirst) || !another && (err != nil || second.ID != first.ID) {
			t.Errorf("%s: the second got %+v, %v", name, second, err)
		}
		if left, err := b.identitiesOf(t.Context(), first.ID); err != nil || len(left) != 1 {
			t.Errorf("%s: of the first are left %+v, %v", name, left, err)
		}
		if left, err := b.identitiesOf(t.Context(), "other"); err != nil || len(left) != 0 {
			t.Errorf("%s: of the second are left %+v, %v", name, left, err)
		}
	}
}

func TestANameIsNotCutInTheMiddleOfALetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user, err := b.newcomer(t.Context(), externalIdentity{ID: "i", UserID: "u"}, providerClaims{Email: email, EmailVerified: saidTrue, Name: "a" + strings.Repeat("ق", 150)})
	if want := "a" + strings.Repeat("ق", 99); err != nil || user.FullName != want {
		t.Errorf("got %q, %v", user.FullName, err)
	}
}

func TestAProviderThatIsDownKeepsNothingElseFromWorking(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) {
		c.Providers = []Provider{{ID: "down", Name: "Down", Issuer: "http://127.0.0.1:1", ClientID: "x", RedirectURLs: []string{redirect}}}
	})
	b.register(t)
	if _, _, err := b.BeginProvider(t.Context(), "down", "", ""); !errors.Is(err, errProviderDown) {
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
