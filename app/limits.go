package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"manus/account"
	"manus/config"
	"manus/internal/redisclient"
	"manus/ratelimit"
	"manus/ratelimit/memorylimit"
	"manus/ratelimit/redislimit"
)

// countLimits makes what decides about too many requests: counts in Redis where
// there is one, and in memory while it is gone; else in memory alone.
func (a *App) countLimits(o Options) {
	c := ratelimit.ServiceConfig{
		Config:  o.Settings.Limits,
		Engine:  memorylimit.New(memorylimit.Config{}),
		Plan:    a.planOf,
		Account: account.EmailKey,
		Observe: a.metrics.observeLimit,
		Log:     o.Log,
	}
	if a.redis != nil {
		c.Local = c.Engine
		a.shared, c.Engine = sharedLimits(a.redis, o.LimitTimeout)
	}
	a.limits = ratelimit.New(c)
}

// sharedLimits counts in Redis, with a circuit breaker around it. It doesn't wait for Redis.
func sharedLimits(redis *redisclient.Client, timeout time.Duration) (*redislimit.Engine, *ratelimit.Breaker) {
	var breaker *ratelimit.Breaker
	shared := redislimit.New(redislimit.Config{Client: redis, Timeout: timeout, OnReset: func(keys []string) { breaker.Forget(keys) }})
	breaker = ratelimit.NewBreaker(shared, shared.Ping)
	return shared, breaker
}

// planOf is the plan that a user's limits are of.
func (a *App) planOf(ctx context.Context, userID string) (string, error) {
	subscription, err := a.plans.Get(ctx, userID)
	return subscription.Plan.ID, err
}

// commandTimeout is how long a command waits for Redis.
const commandTimeout = 5 * time.Second

// Limits decides about too many requests as a server with the settings does, for
// commands. With Redis it reaches the counts that the servers share; without, it
// can only tell the rules. Done lets Redis go.
func Limits(s config.Settings, log *slog.Logger) (limits *ratelimit.Service, shared bool, done func(), err error) {
	c := ratelimit.ServiceConfig{Config: s.Limits, Engine: memorylimit.New(memorylimit.Config{}), Account: account.EmailKey, Log: log}
	done = func() {}
	if !s.Redis.Empty() {
		redis, err := redisclient.New(s.Redis.Reveal())
		if err == nil {
			err = redis.Connect()
		}
		if err != nil {
			return nil, false, done, fmt.Errorf("%w: %w", ratelimit.ErrUnavailable, err)
		}
		_, c.Engine = sharedLimits(redis, commandTimeout)
		shared, done = true, redis.Close
	}
	return ratelimit.New(c), shared, done, nil
}
