package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"manus/audit"
	"manus/docstore/sqlitedocs"
	"manus/internal/clocktest"
	"manus/internal/processtest"
	"manus/internal/storetest"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"refreshes": refreshAndHang, "finishes a sign-in": finishAndStop})
	os.Exit(m.Run())
}

// refreshAndHang refreshes a login in the store at a path, and gives nobody the answer.
func refreshAndHang(args []string) error {
	store, err := sqlitedocs.Open(context.Background(), args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(context.Background(), testSpecs()...); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	s, err := New(Config{Store: store, Audit: audit.New(audit.Config{Store: store, Log: log}), Secrets: []string{secretA}, Log: log})
	if err != nil {
		return err
	}
	if _, err := s.Refresh(context.Background(), args[1]); err != nil {
		return err
	}
	fmt.Println("refreshed")
	processtest.UntilInputEnds()
	return nil
}

// A program that is killed between a refresh and its answer has lost it: whoever asks
// again, of another copy or after the next start, gets that answer.
func TestARefreshThatWasKilledBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	clock := clocktest.New()
	clock.Set(time.Now())
	b := copyOf(t, storetest.File(t, path, testSpecs()...), clock, []string{secretA})
	first := b.register(t)
	for range 2 { // two starts
		p := processtest.Start(t, "refreshes", path, first.Refresh)
		p.Await(t, "refreshed")
		p.Kill(t)
	}
	clock.Add(time.Hour)
	second, err := b.Refresh(t.Context(), first.Refresh)
	if err != nil {
		t.Fatalf("after the kills: %v", err)
	}
	b.wantAlive(t, second, true)
	if _, err := b.Refresh(t.Context(), second.Refresh); err != nil {
		t.Errorf("the next refresh: %v", err)
	}
	clock.Add(time.Minute)
	if _, err := b.Refresh(t.Context(), first.Refresh); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("the token of before: %v", err)
	}
}
