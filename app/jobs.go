package app

import (
	"context"
	"time"

	"manus/lease"
)

// hourly has one of all copies run a job once an hour. The job may be run twice, so
// what it writes needs no fence.
func (a *App) hourly(ctx context.Context, name string, job func(context.Context) error) {
	a.background.Go(func() {
		a.leases.Every(ctx, name, time.Hour, func(ctx context.Context, _ lease.Held) error { return job(ctx) })
	})
}

// every runs a job now and then, on this copy, until ctx ends.
func (a *App) every(ctx context.Context, period time.Duration, name string, job func(context.Context) error) {
	a.background.Go(func() {
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for {
			if err := job(ctx); err != nil && ctx.Err() == nil {
				a.log.ErrorContext(ctx, "could not "+name, "error", err)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
}
