package account

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/identity"
)

func (b bench) operator(t *testing.T, name string) User {
	t.Helper()
	user, err := b.Create(t.Context(), NewUser{Email: name + "@example.com", Password: pass, Role: identity.Operator})
	if err != nil {
		t.Fatal(err)
	}
	return user
}

// operators are those that can run the installation.
func (b bench) operators(t *testing.T) (n int) {
	t.Helper()
	users, _, err := b.List(t.Context(), 100, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if u.operates() {
			n++
		}
	}
	return n
}

// leave are the ways in which an operator becomes one no longer.
func (b bench) leave() map[string]func(ctx context.Context, id string) error {
	return map[string]func(ctx context.Context, id string) error{
		"demoted":  func(ctx context.Context, id string) error { return b.SetRole(ctx, id, identity.User) },
		"disabled": func(ctx context.Context, id string) error { return b.SetDisabled(ctx, id, true) },
		"erased":   b.Erase,
	}
}

func TestTheLastOperatorStays(t *testing.T) {
	t.Parallel()
	for name := range setup(t).leave() {
		b := setup(t)
		leave := b.leave()[name]
		one, other := b.operator(t, "one"), b.operator(t, "other")
		if err := leave(t.Context(), one.ID); err != nil {
			t.Fatalf("one of two is %s: %v", name, err)
		}
		for _, again := range []time.Duration{0, time.Hour} {
			b.clock.Add(again)
			if err := leave(t.Context(), other.ID); !errors.Is(err, ErrLastOperator) || b.operators(t) != 1 {
				t.Errorf("the last is %s: %v", name, err)
			}
		}
		b.operator(t, "third")
		if err := leave(t.Context(), other.ID); err != nil || b.operators(t) != 1 {
			t.Errorf("with a third, the other is %s: %v", name, err)
		}
	}
}

func TestOperatorsWhoLeaveAtOnceLeaveOneBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	copies := []bench{b, copyOf(t, b.store, b.clock, []string{secretA})}
	for round := range 20 {
		var wg sync.WaitGroup
		var ids []string
		for i := range 3 {
			ids = append(ids, b.operator(t, fmt.Sprintf("round-%d-%d", round, i)).ID)
		}
		for i, id := range ids {
			wg.Go(func() {
				if err := copies[i%2].leave()[[]string{"demoted", "disabled", "erased"}[i]](context.Background(), id); err != nil && !errors.Is(err, ErrLastOperator) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := b.operators(t); n < 1 {
			t.Fatalf("round %d: nobody runs the installation", round)
		}
		b.clock.Add(stepDownTime)
	}
}

// A copy that was killed, or held up, between the mark and the change.
func TestSteppingDownThatWasCutShort(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, other := b.operator(t, "one"), b.operator(t, "other")
	if err := b.stepDown(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.SetRole(t.Context(), other.ID, identity.User); !errors.Is(err, ErrLastOperator) {
		t.Errorf("while one steps down, the other: %v", err)
	}
	b.clock.Add(stepDownTime)
	if err := b.SetRole(t.Context(), other.ID, identity.User); err != nil {
		t.Errorf("after one was cut short, the other: %v", err)
	}
	late, err := b.Get(t.Context(), one.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := late.mayStepDown(b.clock.Now()); !errors.Is(err, ErrLastOperator) {
		t.Errorf("one that was held up goes on: %v", err)
	}
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
	var made, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, _, err := copies[i%2].makeKey(context.Background(), user.ID, "k", []identity.Scope{identity.Read}, time.Time{})
			switch {
			case err == nil:
				made.Add(1)
			case errors.Is(err, errTooManyKeys):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 5 || refused.Load() != 15 {
		t.Errorf("%d were made, %d refused", made.Load(), refused.Load())
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
