package app

import (
	"errors"
	"fmt"
	"time"

	"manus/account"
	"manus/config"
	"manus/internal/redisclient"
	"manus/ratelimit"
	"manus/ratelimit/memorylimit"
	"manus/ratelimit/redislimit"
)

// addLimits adds what decides about too many requests: counts in Redis where there is
// one, and in memory while it is gone; else in memory alone.
func (a *App) addLimits() {
	r := room{name: "limits"}
	c := ratelimit.ServiceConfig{
		Config:  a.settings.Limits,
		Routes:  a.routes(),
		Engine:  memorylimit.New(memorylimit.Config{}),
		Plan:    a.Plans.PlanOf,
		Account: account.EmailKey,
		Observe: ratelimit.Measure(a.registry),
		Log:     a.log,
	}
	if a.redis != nil {
		var shared *redislimit.Engine
		c.Local = c.Engine
		shared, c.Engine = sharedLimits(a.redis, a.options.LimitTimeout)
		r.run = shared.Run
	}
	a.Limits = ratelimit.New(c)
	r.apply = func(file config.File) error { a.Limits.SetConfig(file.Limits); return nil }
	a.add(r)
}

// openingLimits are how often sessions may be opened by users on the plans that are
// on offer by default.
func openingLimits() map[string]ratelimit.Limit {
	limits := map[string]ratelimit.Limit{}
	for plan, limit := range map[string]string{"basic": "30/minute", "pro": "60/minute", "enterprise": "300/minute"} {
		limits[plan] = ratelimit.NewRule(limit).Limit
	}
	return limits
}

// sharedLimits counts in Redis, with a circuit breaker around it. It doesn't wait for Redis.
func sharedLimits(redis *redisclient.Client, timeout time.Duration) (*redislimit.Engine, *ratelimit.Breaker) {
	var breaker *ratelimit.Breaker
	shared := redislimit.New(redislimit.Config{Client: redis, Timeout: timeout, OnReset: func(keys []string) { breaker.Forget(keys) }})
	breaker = ratelimit.NewBreaker(shared, shared.Ping)
	return shared, breaker
}

// ReachLimits connects to the counts that the servers share, for commands. It returns
// errNoRedis where each server counts by itself, or ratelimit.ErrUnavailable.
func (a *App) ReachLimits() error {
	if a.redis == nil {
		return errNoRedis
	}
	if err := a.redis.Connect(); err != nil {
		return fmt.Errorf("the Redis of REDIS_URL can't be reached: %w: %w", ratelimit.ErrUnavailable, err)
	}
	return nil
}

var errNoRedis = errors.New("there are no shared counts: set REDIS_URL as for the server. Without Redis a server counts in its own memory, which ends with it")
