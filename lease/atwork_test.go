package lease

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAStoreTellsWhetherSomebodyIsAtWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		s, store := c.add(t)
		expect := func(when string, want bool, most time.Duration) {
			t.Helper()
			began := time.Now()
			if got, err := AtWork(t.Context(), store); got != want || err != nil {
				t.Errorf("%s: %v, %v", when, got, err)
			}
			if took := time.Since(began); took > most {
				t.Errorf("%s: it takes %v", when, took)
			}
		}
		expect("before anybody", false, busy)
		stop := start(t, func(ctx context.Context) {
			s.Every(ctx, "work", time.Minute, func(ctx context.Context, _ Held) error { <-ctx.Done(); return context.Cause(ctx) })
		})
		time.Sleep(time.Hour)
		expect("at work", true, defaultTTL/3+busy+maxPause)
		stop()
		expect("after it was stopped", false, busy)

		stop = start(t, func(ctx context.Context) {
			s.Every(ctx, "work", time.Minute, func(ctx context.Context, _ Held) error { <-ctx.Done(); return context.Cause(ctx) })
		})
		time.Sleep(time.Minute)
		store.set(gone) // as for one that is killed
		stop()
		store.heal()
		expect("after it was killed", false, defaultTTL+3*maxPause+busy)
	})
}
