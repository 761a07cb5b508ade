package account

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"manus/internal/clocktest"
	"manus/internal/storetest"
	"manus/internal/waittest"
)

func TestWhatCannotBeFinishedIsToldOf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	synctest.Test(t, func(t *testing.T) {
		log := &waittest.Log{}
		store := storetest.File(t, path, testSpecs()...)
		b := copyOf(t, store, clocktest.New(), []string{secretA}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { b.Run(ctx) })
		time.Sleep(5 * time.Second)
		if log.String() != "" {
			t.Errorf("where all goes well, the operator reads: %s", log)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		stop()
		running.Wait()
		if !strings.Contains(log.String(), "could not finish what was cut short") {
			t.Errorf("of a store that is gone the operator reads: %s", log)
		}
	})
}
