package account

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/identity"
)

// keyOf makes a key that reads for an account of its own, and tells whose it is.
func (b bench) keyOf(t *testing.T, address string) (userID, id, token string) {
	t.Helper()
	tokens, _, err := b.Register(t.Context(), NewUser{Email: address, Password: pass, FullName: "Amal"})
	if err != nil {
		t.Fatal(err)
	}
	caller, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	key, token, err := b.makeKey(t.Context(), caller.UserID, "a program", []identity.Scope{identity.Read}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return caller.UserID, key.ID, token
}

func TestNobodyRevokesAnothersKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine, _, _ := b.keyOf(t, email)
	_, theirs, token := b.keyOf(t, "another@example.com")
	if err := b.revokeKey(t.Context(), mine, theirs); !errors.Is(err, errUnknownKey) {
		t.Errorf("another's key: %v", err)
	}
	if _, err := b.authenticateKey(t.Context(), token); err != nil {
		t.Errorf("it counts no more: %v", err)
	}
}

func TestTheUseOfAKeyIsNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, id, token := b.keyOf(t, email)
	used := func(at time.Time) {
		t.Helper()
		b.states.Forget() // as after a second
		if _, err := b.authenticateKey(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if key, err := b.apiKeys.Get(t.Context(), id); err != nil || !key.UsedAt.Equal(at) {
			t.Errorf("used at %v, want %v (%v)", key.UsedAt, at, err)
		}
	}
	first := b.clock.Now()
	used(first)
	b.clock.Add(usedPrecision - time.Millisecond)
	used(first)
	b.clock.Add(time.Millisecond)
	used(first.Add(usedPrecision))
	b.clock.Set(first.Add(-time.Hour)) // the clock was ahead
	used(first.Add(-time.Hour))
}

// disk is a store that can't write while its disk is full.
type disk struct {
	docstore.Store
	full atomic.Bool
}

func (d *disk) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	return d.Store.Upsert(ctx, collection, id, func(old docstore.Raw) (docstore.Raw, error) {
		changed, err := change(old)
		if err == nil && changed != nil && d.full.Load() {
			err = docstore.ErrUnavailable
		}
		return changed, err
	})
}

func TestAStoreThatCannotWriteStillLetsKeysIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	userID, id, token := b.keyOf(t, email)
	store := &disk{Store: b.store}
	for _, full := range []bool{false, true} {
		store.full.Store(full)
		var log bytes.Buffer
		b := copyOf(t, store, b.clock, []string{secretA}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		b.clock.Add(usedPrecision)
		caller, err := b.authenticateKey(t.Context(), token)
		if err != nil || caller.UserID != userID {
			t.Errorf("got %+v, %v", caller, err)
		}
		if strings.Contains(log.String(), id) != full {
			t.Errorf("the operator reads: %s", &log)
		}
	}
}
