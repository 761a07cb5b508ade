package cache

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestValuesAreBelievedForTheirLifetimeOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 10
		c := New[string, string](time.Second, size)
		c.PutRead("a", "alive", c.Begin())
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
		c.PutRead("a", "alive", before)
		if _, ok := c.Get("a"); ok {
			t.Error("kept a value that was read before a change")
		}
		for i := range 3 * size {
			c.PutRead(string(rune(i)), "alive", c.Begin())
		}
		if n := len(c.young) + len(c.old); n > 2*size {
			t.Errorf("%d values are kept", n)
		}
	})
}

func TestWithoutALifetimeValuesStayWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New[int, int](0, 8)
		c.PutRead(1, 1, c.Begin())
		<-time.After(24 * time.Hour)
		if _, ok := c.Get(1); !ok {
			t.Error("forgotten although there was room")
		}
		for i := range 100 {
			c.PutRead(i+2, i, c.Begin())
		}
		if n := len(c.young) + len(c.old); n > 16 {
			t.Errorf("%d values are kept", n)
		}
	})
}
