package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/clocktest"
	"manus/internal/oidctest"
	"manus/internal/processtest"
	"manus/internal/storetest"
)

// A page that is loaded again finishes again.
func TestFinishingTwiceIsTheSameLogin(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	answer := b.visit(t, provider, verifiedPerson)
	first, err := b.FinishProvider(t.Context(), answer)
	if err != nil {
		t.Fatal(err)
	}
	other := copyOf(t, b.store, b.clock, []string{secretB, secretA}) // which has neither provider nor the same secret
	again, err := other.FinishProvider(t.Context(), answer)
	if err != nil || other.caller(t, again).LoginID != b.caller(t, first).LoginID {
		t.Fatalf("got %v", err)
	}
	b.wantAlive(t, first, true)
	if _, err := other.Refresh(t.Context(), again.Refresh); err != nil {
		t.Errorf("the same refresh token: %v", err)
	}
	if _, err := b.FinishProvider(t.Context(), answer); !errors.Is(err, errFinished) {
		t.Errorf("after a refresh: %v", err)
	}
	b.wantAlive(t, first, true)
	if err := b.LogoutAll(t.Context(), first.User.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.FinishProvider(t.Context(), answer); !errors.Is(err, errCeremony) {
		t.Errorf("after the end of its login: %v", err)
	}
}

func TestASignInIsFinishedTwiceForTenMinutesOnly(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	answer := b.visit(t, provider, verifiedPerson)
	for range 2 {
		if _, err := b.FinishProvider(t.Context(), answer); err != nil {
			t.Fatal(err)
		}
	}
	b.clock.Add(ceremonyLifetime)
	if _, err := b.FinishProvider(t.Context(), answer); !errors.Is(err, errCeremony) {
		t.Errorf("later: %v", err)
	}
}

// What was behind the first answer is behind the second: an answer that failed doesn't
// become a sign-in, and the second factor is still asked for.
func TestFinishingAgainAfterAnError(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	b.register(t)
	refused := b.visit(t, provider, verifiedPerson)
	for i, want := range []error{errLinkFirst, errCeremony} {
		if _, err := b.FinishProvider(t.Context(), refused); !errors.Is(err, want) {
			t.Errorf("try %d: %v", i+1, err)
		}
	}
	down := copyOf(t, b.store, b.clock, []string{secretA}, func(c *Config) {
		c.Providers = []Provider{{ID: "test", Name: "Test", Issuer: "http://127.0.0.1:1", ClientID: "x", RedirectURLs: []string{redirect}}}
	})
	late := b.visit(t, provider, verifiedPerson)
	for _, c := range []struct {
		bench
		want error
	}{{down, errProviderDown}, {b, errLinkFirst}} {
		if _, err := c.FinishProvider(t.Context(), late); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
	mistaken := b.visit(t, provider, unverifiedPerson)
	right := mistaken.State
	mistaken.State = "mistaken"
	if _, err := b.FinishProvider(t.Context(), mistaken); !errors.Is(err, errCeremony) {
		t.Errorf("another state: %v", err)
	}
	mistaken.State = right
	if _, err := b.FinishProvider(t.Context(), mistaken); !errors.Is(err, errUnverifiedEmail) {
		t.Errorf("the code was given away: %v", err)
	}
}

// pairs calls f in two copies of the program at once, with the answers of each.
func pairs(t *testing.T, copies [2]bench, answers [2]ProviderAnswer) (got [2]Tokens) {
	t.Helper()
	var wg sync.WaitGroup
	for i, b := range copies {
		wg.Go(func() {
			var err error
			if got[i], err = b.FinishProvider(t.Context(), answers[i]); err != nil {
				t.Errorf("the one of two: %v", err)
			}
		})
	}
	wg.Wait()
	return got
}

// Two first sign-ins of one person at once, in two copies of the program: both get in, to
// one account, and so does whoever comes later.
func TestTwoFirstSignInsAtOnceAreOneAccount(t *testing.T) {
	t.Parallel()
	const tries = 25
	var people []oidctest.User
	for i := range tries {
		name := fmt.Sprintf("p%d", i)
		people = append(people, oidctest.User{Name: name, Password: "provider password", Email: name + "@example.com", Subject: name, EmailVerified: true})
	}
	b, provider := withProviderOf(t, false, people...)
	other := copyOf(t, b.store, b.clock, []string{secretA}, func(c *Config) { c.Providers = b.oidc.Load().list })
	for _, person := range people {
		tickets := [2]ProviderAnswer{b.visit(t, provider, person), b.visit(t, provider, person)}
		got := pairs(t, [2]bench{b, other}, tickets)
		later, err := b.FinishProvider(t.Context(), b.visit(t, provider, person))
		if err != nil || got[0].User.ID != got[1].User.ID || got[0].User.ID != later.User.ID {
			t.Fatalf("%s has the accounts %q, %q and %q, %v", person.Name, got[0].User.ID, got[1].User.ID, later.User.ID, err)
		}
		if left, err := b.identitiesOf(t.Context(), later.User.ID); err != nil || len(left) != 1 {
			t.Fatalf("%s is left with %+v, %v", person.Name, left, err)
		}
	}
	if users, _, err := b.List(t.Context(), 100, ""); err != nil || len(users) != tries {
		t.Errorf("%d accounts, %v", len(users), err)
	}
}

// A page that sends everything twice: one of them waits for the other's login.
func TestOneSignInThatIsFinishedTwiceAtOnceIsOneLogin(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	other := copyOf(t, b.store, b.clock, []string{secretA}, func(c *Config) { c.Providers = b.oidc.Load().list })
	logins := 0
	for range 25 {
		answer := b.visit(t, provider, verifiedPerson)
		got := pairs(t, [2]bench{b, other}, [2]ProviderAnswer{answer, answer})
		if got[0].Refresh == "" || got[0].Refresh != got[1].Refresh {
			t.Fatal("got different tokens")
		}
		logins++
		if all, _, err := b.devices(t.Context(), got[0].User.ID, 100, ""); err != nil || len(all) != logins {
			t.Fatalf("%d logins after %d sign-ins, %v", len(all), logins, err)
		}
	}
}

// A request that was killed is waited for as long as it could live.
func TestNobodyWaitsForARequestThatIsGoneForEver(t *testing.T) {
	t.Parallel()
	b, provider := withProvider(t, false)
	b.clock.Set(docstore.At(b.clock.Now()).Time) // as it is stored
	answer := b.visit(t, provider, verifiedPerson)
	if _, held, err := b.holdFlow(t.Context(), answer.Ticket); err != nil || !held {
		t.Fatal(held, err)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	for _, passed := range []time.Duration{0, finishTime + clockSkew - time.Millisecond} {
		b.clock.Add(passed)
		if _, err := b.FinishProvider(left, answer); !errors.Is(err, errBeingFinished) {
			t.Errorf("%v later: %v", passed, err)
		}
	}
	b.clock.Add(time.Millisecond)
	if _, err := b.FinishProvider(t.Context(), answer); !errors.Is(err, errCeremony) {
		t.Errorf("after that: %v", err)
	}
}

// step is a store that stops before or after a write of a collection: it says so, and
// waits to be killed.
type step struct {
	docstore.Store
	collection string
	before     bool
}

func (s step) Insert(ctx context.Context, collection string, docs ...docstore.Document) error {
	return s.stop(collection, func() error { return s.Store.Insert(ctx, collection, docs...) })
}

func (s step) Batch(ctx context.Context, changes []docstore.Change) (errs []error) {
	_ = s.stop(changes[0].Collection, func() error { errs = s.Store.Batch(ctx, changes); return nil })
	return errs
}

func (s step) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	return s.stop(collection, func() error { return s.Store.Upsert(ctx, collection, id, change) })
}

func (s step) stop(collection string, write func() error) error {
	if collection != s.collection {
		return write()
	}
	if !s.before {
		_ = write() // what is there then is what the test looks at
	}
	fmt.Println("stopped")
	processtest.UntilInputEnds()
	return errors.New("nobody killed it")
}

// finishing is what a process needs to finish a sign-in, and where it stops.
type finishing struct {
	Path, Collection string
	Before           bool
	Provider         Provider
	Secret           string
	Answer           ProviderAnswer
}

// finishAndStop finishes a sign-in as far as it is told to.
func finishAndStop(args []string) error {
	var f finishing
	if err := json.Unmarshal([]byte(args[0]), &f); err != nil {
		return err
	}
	store, err := sqlitedocs.Open(context.Background(), f.Path)
	if err != nil {
		return err
	}
	if err := store.Declare(context.Background(), testSpecs()...); err != nil {
		return err
	}
	f.Provider.ClientSecret = f.Secret
	log := slog.New(slog.DiscardHandler)
	s, err := New(Config{
		Store: step{store, f.Collection, f.Before}, Audit: audit.New(audit.Config{Store: store, Log: log}),
		Secrets: []string{secretA}, Log: log, Providers: []Provider{f.Provider},
	})
	if err != nil {
		return err
	}
	_, err = s.FinishProvider(context.Background(), f.Answer)
	return fmt.Errorf("nothing stopped it: %w", err)
}

// The program is killed before and after each thing that a first sign-in writes. Then the
// page is loaded again, and says that the person is signed in only if they are; and
// whoever begins again gets the account, of which there is one.
func TestAFirstSignInThatIsKilledAnywhere(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t, redirect, verifiedPerson)
	config := Provider{ID: "test", Name: "Test", Issuer: provider.Issuer, ClientID: provider.ClientID, ClientSecret: provider.ClientSecret, RedirectURLs: []string{redirect}}
	for _, collection := range []string{"ceremonies", "users", "identities", "logins"} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, before it is written: %v", collection, before), func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "manus.db")
				clock := clocktest.New()
				clock.Set(time.Now())
				b := copyOf(t, storetest.File(t, path, testSpecs()...), clock, []string{secretA}, func(c *Config) { c.Providers = []Provider{config} })
				f := finishing{path, collection, before, config, config.ClientSecret, b.visit(t, provider, verifiedPerson)}
				args, err := json.Marshal(f)
				if err != nil {
					t.Fatal(err)
				}
				p := processtest.Start(t, "finishes a sign-in", string(args))
				p.Await(t, "stopped")
				p.Kill(t)

				clock.Add(finishTime + clockSkew + time.Minute) // the process had the machine's clock
				tokens, err := b.FinishProvider(t.Context(), f.Answer)
				switch intact := collection == "ceremonies" && before || collection == "logins" && !before; {
				case intact && err != nil:
					t.Errorf("loaded again: %v", err)
				case intact:
					b.wantAlive(t, tokens, true)
				case !errors.Is(err, errCeremony):
					t.Errorf("loaded again: %v", err)
				}
				for range 2 {
					if _, err := b.FinishProvider(t.Context(), b.visit(t, provider, verifiedPerson)); err != nil {
						t.Errorf("begun again: %v", err)
					}
				}
				users, _, err := b.List(t.Context(), 10, "")
				if err != nil || len(users) != 1 || !strings.EqualFold(users[0].Email, email) {
					t.Fatalf("the accounts %+v, %v", users, err)
				}
				if left, err := b.identitiesOf(t.Context(), users[0].ID); err != nil || len(left) != 1 {
					t.Errorf("the identities %+v, %v", left, err)
				}
			})
		}
	}
}
