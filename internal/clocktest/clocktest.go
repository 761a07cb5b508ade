// Package clocktest is the clock of tests that say what time it is.
package clocktest

import (
	"sync"
	"time"
)

// Clock stands still until it is told otherwise, or runs on. Several goroutines may use
// it at once.
type Clock struct {
	mu    sync.Mutex
	at    time.Time
	since time.Time // when it showed that; zero where it stands still
}

// New is a clock that stands at noon of a Monday.
func New() *Clock { return &Clock{at: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

// Running is a clock that is ahead by so much, and goes on.
func Running(ahead time.Duration) *Clock {
	return &Clock{at: time.Now().Add(ahead).Round(0), since: time.Now()}
}

func (c *Clock) Now() time.Time { return c.turn(func(now time.Time) time.Time { return now }) }

func (c *Clock) Set(to time.Time) { c.turn(func(time.Time) time.Time { return to.Round(0) }) }

func (c *Clock) Add(d time.Duration) { c.turn(func(now time.Time) time.Time { return now.Add(d) }) }

func (c *Clock) turn(to func(now time.Time) time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.since.IsZero() {
		passed := time.Since(c.since)
		c.at, c.since = c.at.Add(passed), c.since.Add(passed)
	}
	c.at = to(c.at)
	return c.at
}
