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
		c.put("a", "alive", c.begin())
		if got, ok := c.get("a"); !ok || got != "alive" {
			t.Errorf("got %q, %v", got, ok)
		}
		<-time.After(time.Second - 1)
		if _, ok := c.get("a"); !ok {
			t.Error("forgotten too early")
		}
		<-time.After(1)
		if _, ok := c.get("a"); ok {
			t.Error("believed for too long")
		}
		before := c.begin()
		c.Forget()
		c.put("a", "alive", before)
		if _, ok := c.get("a"); ok {
			t.Error("kept a value that was read before a change")
		}
		for i := range 3 * size {
			c.put(string(rune(i)), "alive", c.begin())
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
		c.put(1, 1, c.begin())
		<-time.After(24 * time.Hour)
		if _, ok := c.get(1); !ok {
			t.Error("forgotten although there was room")
		}
		for i := range 100 {
			c.put(i+2, i, c.begin())
		}
		if n := len(c.young) + len(c.old); n > 16 {
			t.Errorf("%d values are kept", n)
		}
	})
}
