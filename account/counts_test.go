package account

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"manus/docstore"
	"manus/identity"
)

// atOnce does something many times at once, and tells how often it went well. Otherwise
// it has to be refused by the error.
func atOnce(t *testing.T, times int, refused error, do func(i int) error) (done int64) {
	t.Helper()
	var n atomic.Int64
	var wg sync.WaitGroup
	for i := range times {
		wg.Go(func() {
			switch err := do(i); {
			case err == nil:
				n.Add(1)
			case !errors.Is(err, refused):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return n.Load()
}

func TestAnAccountHasAHundredKeysHoweverManyAreMadeAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	copies := []bench{b, copyOf(t, b.store, b.clock, []string{secretA})}
	user := b.register(t).User
	const before = 3 // made when keys had no slots
	for i := range before {
		if err := b.apiKeys.Insert(t.Context(), apiKey{ID: docstore.NewID(), UserID: user.ID, Name: fmt.Sprint(i), CreatedAt: docstore.At(b.clock.Now())}); err != nil {
			t.Fatal(err)
		}
	}
	for range maxKeys - before - 5 {
		if _, _, err := b.makeKey(t.Context(), user.ID, "k", []identity.Scope{identity.Read}, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	made := atOnce(t, 20, errTooManyKeys, func(i int) error {
		_, _, err := copies[i%2].makeKey(context.Background(), user.ID, "k", []identity.Scope{identity.Read}, time.Time{})
		return err
	})
	if made != 5 {
		t.Errorf("%d were made", made)
	}
	keys, _, err := b.keysOf(t.Context(), user.ID, maxKeys+1, "")
	if err != nil || len(keys) != maxKeys {
		t.Fatalf("there are %d, %v", len(keys), err)
	}
	if err := b.revokeKey(t.Context(), user.ID, keys[50].ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.makeKey(t.Context(), user.ID, "k", []identity.Scope{identity.Read}, time.Time{}); err != nil {
		t.Errorf("in the place of a revoked one: %v", err)
	}
}

func TestAnAccountHasTwentyProviderAccountsHoweverManyAreLinkedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	copies := []bench{b, copyOf(t, b.store, b.clock, []string{secretA})}
	user := b.register(t).User
	linked := func(i int) externalIdentity {
		return externalIdentity{ID: identityID("https://id.example.com", fmt.Sprint(i)), UserID: user.ID, CreatedAt: docstore.At(b.clock.Now())}
	}
	if err := b.identities.Insert(t.Context(), linked(-1)); err != nil { // that the account began with
		t.Fatal(err)
	}
	link := func(i int) error {
		_, err := copies[i%2].Service.link(context.Background(), linked(i))
		return err
	}
	if n := atOnce(t, maxIdentities+10, errTooManyLinked, link); n != maxIdentities-1 {
		t.Errorf("%d were linked", n)
	}
	all, err := b.identitiesOf(t.Context(), user.ID)
	if err != nil || len(all) != maxIdentities {
		t.Fatalf("there are %d, %v", len(all), err)
	}
	if err := b.unlink(t.Context(), user.ID, all[7].ID); err != nil {
		t.Fatal(err)
	}
	if n := atOnce(t, 3, errTooManyLinked, func(i int) error { return link(100 + i) }); n != 1 {
		t.Errorf("%d were linked in the place of one", n)
	}
}

func TestAnAccountHasTwentyPasskeysHoweverManyAreAddedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	copies := []bench{b, copyOf(t, b.store, b.clock, []string{secretA})}
	user := b.register(t).User
	answers := make([]PasskeyAnswer, maxPasskeys+5)
	for i := range answers {
		d := newDevice()
		id, options, err := b.beginPasskey(t.Context(), user.ID)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := virtualwebauthn.ParseAttestationOptions(optionsText(t, options))
		if err != nil {
			t.Fatal(err)
		}
		answers[i] = PasskeyAnswer{id, virtualwebauthn.CreateAttestationResponse(d.rp, d.auth, d.key, *parsed)}
	}
	n := atOnce(t, len(answers), errTooManyPasskeys, func(i int) error {
		_, _, err := copies[i%2].addPasskey(context.Background(), user.ID, "", "one of many", false, answers[i])
		return err
	})
	now, err := b.Get(t.Context(), user.ID)
	if err != nil || n != maxPasskeys || len(now.Passkeys) != maxPasskeys {
		t.Errorf("%d were added, there are %d, %v", n, len(now.Passkeys), err)
	}
}

func TestThreeLinksAreMailedHoweverManyAreAskedForAtOnce(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	copies := []bench{b, copyOf(t, b.store, b.clock, []string{secretA}, withMail(t, b.store, b.clock), confirmFirst)}
	user, err := b.Create(t.Context(), NewUser{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	atOnce(t, 20, nil, func(i int) error {
		return copies[i%2].mailTicket(context.Background(), user.ID, []ticketPurpose{ticketReset, ticketEmail}[i/10], email)
	})
	if n := len(b.sent(t)); n != 2*maxTickets {
		t.Errorf("an account got %d mails", n)
	}
	// A stranger's registrations, all of one moment.
	const new = "new@example.com"
	atOnce(t, 20, nil, func(i int) error {
		return copies[i%2].requestRegistration(context.Background(), User{ID: docstore.NewID(), Email: new, EmailKey: new})
	})
	atOnce(t, 2, nil, func(i int) error { return copies[i].requests.Drain(context.Background()) })
	if n := len(b.sent(t)) - 2*maxTickets; n != maxTickets {
		t.Errorf("a stranger got %d mails", n)
	}
}
