package session

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/idempotency"
	"manus/internal/processtest"
	"manus/internal/storetest"
)

var (
	keyed     = idempotency.Request{Caller: "u", Route: "POST /sessions", Key: "one", Content: []byte("{}")}
	allSpecs  = slices.Concat(Specs(), idempotency.Specs())
	someLater = func() time.Time { return time.Now().Add(2 * time.Minute) }
)

// openOnce opens a session as the door does for a request with a key, but for its answer.
func openOnce(ctx context.Context, store docstore.Store, now func() time.Time) (*Service, Session, error) {
	s := New(Config{Store: store, Quota: &runs{left: 1000, confirmed: map[string]bool{}}, Log: slog.New(slog.DiscardHandler)})
	keys, err := idempotency.New(idempotency.Config{Store: store, Secrets: []string{"a-secret-of-more-than-32-bytes-3c8e21"}, Now: now})
	if err != nil {
		return s, Session{}, err
	}
	run, err := keys.Begin(ctx, keyed)
	if err != nil {
		return s, Session{}, err
	}
	made, err := s.Create(docstore.WithID(ctx, run.MadeID), "u", "Tea")
	return s, made, err
}

// openAndHang opens a session in the store at a path, and never answers.
func openAndHang(args []string) error {
	store, err := sqlitedocs.Open(context.Background(), args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(context.Background(), allSpecs...); err != nil {
		return err
	}
	_, made, err := openOnce(context.Background(), store, time.Now)
	fmt.Println("opened " + made.ID)
	processtest.UntilInputEnds()
	return err
}

// A program that is killed between opening a session and its answer: the request that is sent
// again with its key has that session, and there is no other.
func TestASessionWhoseAnswerWasKilledIsNotOpenedTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	p := processtest.Start(t, "opens a session", path)
	id := strings.TrimPrefix(p.Await(t, "opened "), "opened ")
	p.Kill(t)
	s, again, err := openOnce(t.Context(), storetest.File(t, path, allSpecs...), someLater)
	t.Cleanup(s.Close)
	if err != nil || id == "" || again.ID != id {
		t.Errorf("%q was opened, then %q, %v", id, again.ID, err)
	}
	if all, _, err := s.List(t.Context(), "u", 10, ""); err != nil || len(all) != 1 {
		t.Errorf("there are %d, %v", len(all), err)
	}
}
