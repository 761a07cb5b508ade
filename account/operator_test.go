package account

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"manus/docstore"
	"manus/identity"
)

func (b bench) operator(t *testing.T, name string) User {
	t.Helper()
	user := User{ID: docstore.NewID(), Email: name + "@example.com", EmailKey: name + "@example.com", Role: identity.Operator, CreatedAt: docstore.At(b.clock.Now())}
	if err := b.users.Insert(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	return user
}

// operators are the ids of those that can run the installation.
func (b bench) operators(t *testing.T) (ids []string) {
	t.Helper()
	users, _, err := b.List(t.Context(), 100, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if u.operates() {
			ids = append(ids, u.ID)
		}
	}
	return ids
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
		for range 2 {
			if err := leave(t.Context(), other.ID); !errors.Is(err, ErrLastOperator) || len(b.operators(t)) != 1 {
				t.Errorf("the last is %s: %v", name, err)
			}
		}
		b.operator(t, "third")
		if err := leave(t.Context(), other.ID); err != nil || len(b.operators(t)) != 1 {
			t.Errorf("with a third, the other is %s: %v", name, err)
		}
	}
}

func TestOperatorsWhoLeaveAtOnceLeaveOneBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	copies := []bench{b, copyOf(t, b.store, b.clock, []string{secretA})}
	ways := []string{"demoted", "disabled", "erased", "demoted"}
	for round := range 20 {
		for i := len(b.operators(t)); i < 2+round%3; i++ {
			b.operator(t, fmt.Sprintf("round-%d-%d", round, i))
		}
		var wg sync.WaitGroup
		for i, id := range b.operators(t) { // all of them, with who was left of the round before
			wg.Go(func() {
				if err := copies[i%2].leave()[ways[i]](context.Background(), id); err != nil && !errors.Is(err, ErrLastOperator) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(b.operators(t)) == 0 {
			t.Fatalf("round %d: nobody runs the installation", round)
		}
	}
}

// A copy that was killed, or held up, between the mark and the change.
func TestSteppingDownThatWasCutShort(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, other := b.operator(t, "one"), b.operator(t, "other")
	err := b.stepDown(t.Context(), one.ID, func(string) error { return context.Canceled })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	held := func(mark string) error { // meanwhile the other leaves
		if err := b.SetRole(t.Context(), other.ID, identity.User); err != nil {
			t.Errorf("after one was cut short, the other: %v", err)
		}
		late, err := b.Get(t.Context(), one.ID)
		if err == nil {
			err = late.mayStepDown(mark)
		}
		return err
	}
	if err := b.stepDown(t.Context(), one.ID, held); !errors.Is(err, ErrLastOperator) {
		t.Errorf("one that was held up goes on: %v", err)
	}
	if len(b.operators(t)) != 1 {
		t.Error("nobody runs the installation")
	}
}

func TestAnOperatorFindsWhoHasAnAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.operator(t, "amal")
	if found, err := b.Find(t.Context(), "AMAL@example.com"); err != nil || found.ID != user.ID {
		t.Errorf("got %+v, %v", found, err)
	}
	for _, address := range []string{"nobody@example.com", "no address"} {
		if _, err := b.Find(t.Context(), address); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
