package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"manus/internal/cache"
)

func TestValuesAreBelievedForTheirLifetimeOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 10
		c := cache.New[string, string](time.Second, size)
		c.Put("a", "alive", c.Begin())
		if got, ok := c.Get("a"); !ok || got != "alive" {
			t.Errorf("got %q, %v", got, ok)
		}
		<-time.After(time.Second - 1)
		if _, ok := c.Get("a"); !ok {
			t.Error("forgotten too early")
		}
		<-time.After(1)
		if _, ok := c.Get("a"); ok {
			t.Error("believed for too long")
		}
		before := c.Begin()
		c.Forget()
		c.Put("a", "alive", before)
		if _, ok := c.Get("a"); ok {
			t.Error("kept a value that was read before a change")
		}
		for i := range 3 * size {
			c.Put(string(rune(i)), "alive", c.Begin())
		}
		if n := c.Len(); n > 2*size {
			t.Errorf("%d values are kept", n)
		}
	})
}

func TestWithoutALifetimeValuesStayWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cache.New[int, int](0, 8)
		c.Put(1, 1, c.Begin())
		<-time.After(24 * time.Hour)
		if _, ok := c.Get(1); !ok {
			t.Error("forgotten although there was room")
		}
		for i := range 100 {
			c.Put(i+2, i, c.Begin())
		}
		if n := c.Len(); n > 16 {
			t.Errorf("%d values are kept", n)
		}
	})
}
