package schedule

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func entries(n, hosts int, every time.Duration) []Entry {
	all := make([]Entry, n)
	for i := range all {
		all[i] = Entry{fmt.Sprint("monitor-", i), fmt.Sprint("host-", i%hosts), every}
	}
	return all
}

func TestTheFirstLookComesWithinAnIntervalAndTheOthersInTurn(t *testing.T) {
	t.Parallel()
	const every = time.Minute
	s := New(Limits{1000, 1000}, start)
	s.Set(entries(500, 500, every), 0)
	seen := map[string][]time.Duration{}
	var seconds [60]int
	for now := time.Duration(0); now <= 10*every; now += 10 * time.Millisecond {
		for _, look := range s.Begin(now) {
			if look.Late >= 10*time.Millisecond {
				t.Fatalf("%s begins %v late", look.ID, look.Late)
			}
			seen[look.ID] = append(seen[look.ID], now)
			seconds[now%every/time.Second]++
			s.End(look, 0, now)
		}
	}
	if len(seen) != 500 {
		t.Fatalf("%d were looked at", len(seen))
	}
	for id, times := range seen {
		if times[0] > every || len(times) != 10 {
			t.Fatalf("%s was looked at at %v", id, times)
		}
		for i := 1; i < len(times); i++ {
			if gap := times[i] - times[i-1]; gap < every-10*time.Millisecond || gap > every+10*time.Millisecond {
				t.Fatalf("%s was looked at at %v", id, times)
			}
		}
	}
	for second, n := range seconds {
		if n > 250 { // 83 on average
			t.Errorf("in second %d there were %d", second, n)
		}
	}
}

// The place in the interval is that of the wall clock, whenever the program is started.
func TestTimesAreTheSameAfterEveryStart(t *testing.T) {
	t.Parallel()
	const every = 90 * time.Second
	first := func(startedAt time.Time) time.Duration {
		s := New(Limits{1, 1}, startedAt)
		s.Set([]Entry{{"a", "h", every}}, 0)
		at, _ := s.Next()
		return time.Duration(startedAt.Add(at).UnixNano()) % every
	}
	for _, later := range []time.Duration{time.Second, 77 * time.Second, 24*time.Hour + 13*time.Millisecond} {
		if a, b := first(start), first(start.Add(later)); a != b {
			t.Errorf("%v later it is at %v of the interval instead of at %v", later, b, a)
		}
	}
}

// Whatever ends when, and whatever is taken out: bounds hold, nothing is looked at twice at
// once, and nothing waits while there is room for it.
func TestBoundsHoldAndNothingIsForgotten(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	limits := Limits{InAll: 20, PerHost: 3}
	s := New(limits, start)
	all := entries(200, 10, time.Second)
	now := time.Duration(0)
	present := map[string]bool{}
	set := func() {
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		some := all[:100+r.IntN(100)]
		clear(present)
		for _, e := range some {
			present[e.ID] = true
		}
		s.Set(some, now)
	}
	set()
	under, last := map[string]Look{}, map[string]time.Duration{}
	for range 50_000 {
		now += time.Duration(r.IntN(20)) * time.Millisecond
		for _, look := range s.Begin(now) {
			if _, twice := under[look.ID]; twice && present[look.ID] && !under[look.ID].task.gone {
				t.Fatalf("%s is looked at twice at once", look.ID)
			} else if twice {
				s.End(look, 0, now) // it was taken out and came back; let that one go
				continue
			}
			under[look.ID] = look
			last[look.ID] = now
		}
		byHost := map[string]int{}
		for _, look := range under {
			byHost[look.task.Host]++
		}
		for name, n := range byHost {
			if n > limits.PerHost {
				t.Fatalf("%d looks at %s", n, name)
			}
		}
		if len(under) > limits.InAll {
			t.Fatalf("%d looks", len(under))
		}
		for id, look := range under {
			if r.IntN(8) > 0 {
				continue
			}
			delete(under, id)
			again := time.Duration(0)
			if r.IntN(5) == 0 {
				again = now + 50*time.Millisecond
			}
			s.End(look, again, now)
		}
		if r.IntN(500) == 0 {
			set()
		}
	}
	// Everything ends, and one turn more goes through all that there are.
	for id, look := range under {
		delete(under, id)
		s.End(look, 0, now)
	}
	seen := map[string]bool{}
	for end := now + 10*time.Second; now < end; now += time.Millisecond {
		for _, look := range s.Begin(now) {
			seen[look.ID] = true
			s.End(look, 0, now)
		}
	}
	if !reflect.DeepEqual(seen, present) {
		t.Errorf("%d are looked at of %d", len(seen), len(present))
	}
	if len(s.hosts) != 0 || s.busy != 0 {
		t.Errorf("%d hosts and %d looks are left", len(s.hosts), s.busy)
	}
}

func TestWhatHangsKeepsOnlyItsHostWaiting(t *testing.T) {
	t.Parallel()
	s := New(Limits{InAll: 100, PerHost: 2}, start)
	s.Set(append(entries(10, 1, time.Second), Entry{"other", "other", time.Second}), 0)
	var hanging []Look
	others := 0
	for now := time.Duration(0); now <= 10*time.Second; now += time.Millisecond {
		for _, look := range s.Begin(now) {
			if look.ID != "other" {
				hanging = append(hanging, look)
				continue
			}
			others++
			s.End(look, 0, now)
		}
	}
	if others != 10 || len(hanging) != 2 {
		t.Errorf("the other host was looked at %d times, %d hang", others, len(hanging))
	}
	if _, ok := s.Next(); !ok {
		t.Error("nothing is next")
	}
}

func TestHurryAndNext(t *testing.T) {
	t.Parallel()
	s := New(Limits{InAll: 1, PerHost: 1}, start)
	if _, ok := s.Next(); ok {
		t.Error("something is next where there is nothing")
	}
	s.Set([]Entry{{"a", "h", time.Hour}}, 0)
	s.Hurry("a", 5*time.Second)
	s.Hurry("a", 6*time.Second) // later than it is
	s.Hurry("b", 0)
	if at, ok := s.Next(); !ok || at != 5*time.Second {
		t.Errorf("next at %v, %v", at, ok)
	}
	looks := s.Begin(7 * time.Second)
	if len(looks) != 1 || looks[0].Late != 2*time.Second {
		t.Fatalf("%+v", looks)
	}
	if _, ok := s.Next(); ok {
		t.Error("something is next while there is no room")
	}
	s.End(looks[0], 12*time.Second, 8*time.Second)
	if at, ok := s.Next(); !ok || at != 12*time.Second {
		t.Errorf("next at %v, %v", at, ok)
	}
	s.Set([]Entry{{"a", "h", time.Hour}}, 9*time.Second) // unchanged
	if at, _ := s.Next(); at != 12*time.Second {
		t.Errorf("a reload moved it to %v", at)
	}
}

func BenchmarkSchedule(b *testing.B) {
	s := New(Limits{InAll: 2000, PerHost: 100}, start)
	s.Set(entries(10_000, 1000, time.Minute), 0)
	now := time.Duration(0)
	b.ReportAllocs()
	for n := 0; n < b.N; {
		now, _ = s.Next()
		for _, look := range s.Begin(now) {
			s.End(look, 0, now)
			n++
		}
	}
}

func BenchmarkSet(b *testing.B) {
	s := New(Limits{InAll: 2000, PerHost: 100}, start)
	all := entries(10_000, 1000, time.Minute)
	for b.Loop() {
		s.Set(all, 0)
	}
}
