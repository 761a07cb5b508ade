package memorylimit

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"manus/internal/clocktest"
	"manus/ratelimit"
	"manus/ratelimit/limittest"
)

func setup(maxKeys int) (*Engine, *clocktest.Clock) {
	c := clocktest.New()
	e := New(Config{MaxKeys: maxKeys})
	e.started, e.since = c.Now(), func(t time.Time) time.Duration { return c.Now().Sub(t) }
	return e, c
}

func TestEngine(t *testing.T) {
	t.Parallel()
	limittest.Run(t, func(*testing.T) limittest.Bench {
		e, c := setup(0)
		return limittest.Bench{Engine: e, Advance: c.Add}
	})
}

func check(t testing.TB, key, text string) []ratelimit.Check {
	t.Helper()
	l, err := ratelimit.ParseLimit(text)
	if err != nil {
		t.Fatal(err)
	}
	return []ratelimit.Check{{Key: key, Limit: l, Cost: 1}}
}

func TestASprayDoesNotFreeWhoIsRefused(t *testing.T) {
	t.Parallel()
	e, c := setup(1000)
	mine := check(t, "attacker", "5/minute, 20/hour")
	var d ratelimit.Decision
	refused := func() bool {
		if err := e.Take(t.Context(), mine, &d); err != nil {
			t.Fatal(err)
		}
		return !d.Allowed
	}
	for !refused() {
	}
	for i := range 100_000 {
		if err := e.Take(t.Context(), check(t, fmt.Sprint("spray-", i), "5/minute, 20/hour"), &d); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			c.Add(time.Millisecond)
			if !refused() {
				t.Fatalf("after %d others it is admitted again", i)
			}
		}
	}
	n := 0
	for i := range e.shards {
		n += len(e.shards[i].keys)
	}
	if n > 1000+shards {
		t.Errorf("there are %d keys", n)
	}
	c.Add(time.Minute)
	if refused() {
		t.Error("it is refused for ever")
	}
}

func TestADecisionAllocatesNothing(t *testing.T) {
	e, c := setup(0)
	checks := append(check(t, "a", "5/minute, 20/hour"), check(t, "b", "150/minute, 1000/hour")...)
	var d ratelimit.Decision
	decide := func() {
		if err := e.Take(t.Context(), checks, &d); err != nil {
			t.Fatal(err)
		}
		c.Add(time.Second)
	}
	for range 5000 {
		decide()
	}
	if n := testing.AllocsPerRun(1000, decide); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkMillionKeys tells what a million subjects cost in memory.
func BenchmarkMillionKeys(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		e := New(Config{})
		checks := check(b, "", "5/minute, 20/hour")
		var d ratelimit.Decision
		for i := range 1_000_000 {
			checks[0].Key = fmt.Sprint("address:", i)
			if err := e.Take(b.Context(), checks, &d); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		runtime.KeepAlive(e)
	}
}

func BenchmarkTwoLimits(b *testing.B) {
	e := New(Config{})
	l := check(b, "", "5/minute, 20/hour")[0].Limit
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = fmt.Sprint("address:", i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		checks := []ratelimit.Check{{Limit: l, Cost: 1}}
		var d ratelimit.Decision
		for i := 0; pb.Next(); i++ {
			checks[0].Key = keys[i%len(keys)]
			if err := e.Take(b.Context(), checks, &d); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What is learned is what is shown, whatever was counted here before, and ends no later
// than its windows.
func TestWhatWasDecidedElsewhereIsLearned(t *testing.T) {
	t.Parallel()
	limit, err := ratelimit.ParseLimit("5/minute, 20/hour, 1000/day")
	if err != nil {
		t.Fatal(err)
	}
	c := []ratelimit.Check{{Key: "k", Limit: limit, Cost: 1}}
	for _, before := range []int{0, 1, 5} {
		for _, used := range [][3]int{{0, 0, 0}, {1, 1, 1}, {2, 9, 300}, {5, 20, 1000}, {0, 7, 8}} {
			e := New(Config{})
			now := time.Duration(0)
			e.since = func(time.Time) time.Duration { return now }
			var d ratelimit.Decision
			for range before {
				if err := e.Take(t.Context(), c, &d); err != nil {
					t.Fatal(err)
				}
			}
			now += time.Second
			elsewhere := ratelimit.Decision{Allowed: true}
			elsewhere.Resize(c)
			for i, w := range limit {
				elsewhere.Checks[0].Windows[i] = ratelimit.Standing{Remaining: w.N - used[i]}
			}
			for range 2 { // the same again changes nothing
				e.Learn(c, &elsewhere)
			}
			if err := e.Peek(t.Context(), c, &d); err != nil {
				t.Fatal(err)
			}
			for i, w := range limit {
				if got := w.N - d.Checks[0].Windows[i].Remaining; got != used[i] {
					t.Errorf("of %d before and %v elsewhere, the window %v has %d", before, used, w, got)
				}
			}
			now += 25 * time.Hour
			if err := e.Peek(t.Context(), c, &d); err != nil || d.Checks[0].Windows[2].Remaining != 1000 {
				t.Errorf("a day later: %+v, %v", d, err)
			}
		}
	}
}
