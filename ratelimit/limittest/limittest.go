// Package limittest is what a counting engine means: the suite that every one
// passes.
package limittest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/ratelimit"
)

// Bench is an engine whose time the suite moves.
type Bench struct {
	Engine  ratelimit.Engine
	Advance func(time.Duration)
}

// Run runs the suite. setup makes an engine of the test's own, with nothing
// counted.
func Run(t *testing.T, setup func(t *testing.T) Bench) {
	for name, test := range map[string]func(*testing.T, Bench){
		"exact windows never have more, wherever they begin": exactWindows,
		"large windows never have more":                      largeWindows,
		"a retry is admitted, a moment earlier it is not":    retries,
		"what is left and when there is more":                standings,
		"a denial by any changes nothing of all":             allOrNothing,
		"a look counts nothing":                              peeks,
		"a refund takes back":                                refunds,
		"a reset forgets":                                    resets,
		"costs":                                              costs,
		"shadows refuse nothing":                             shadows,
		"counts outlive a change of the limit":               changes,
		"over changes no window ever has more":               changesUnderAttack,
		"many at once get what there is":                     manyAtOnce,
		"keys may be any text":                               keys,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t))
		})
	}
}

func limit(t testing.TB, text string) ratelimit.Limit {
	t.Helper()
	l, err := ratelimit.ParseLimit(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func one(t testing.TB, key, text string) []ratelimit.Check {
	t.Helper()
	return []ratelimit.Check{{Key: key, Limit: limit(t, text), Cost: 1}}
}

func (b Bench) take(t testing.TB, checks []ratelimit.Check) ratelimit.Decision {
	t.Helper()
	var d ratelimit.Decision
	if err := b.Engine.Take(context.Background(), checks, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (b Bench) peek(t testing.TB, checks []ratelimit.Check) ratelimit.Decision {
	t.Helper()
	var d ratelimit.Decision
	if err := b.Engine.Peek(context.Background(), checks, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// admission is something that was admitted, by the clock of the engine.
type admission struct {
	at   time.Time
	cost int
}

// used is how much was admitted in the span that ends at now.
func used(all []admission, now time.Time, per time.Duration) (sum int) {
	for i := len(all) - 1; i >= 0 && now.Sub(all[i].at) < per; i-- {
		sum += all[i].cost
	}
	return sum
}

// exactWindows attacks exact windows, now steadily and now at random, beside an
// oracle that keeps every admission.
func exactWindows(t *testing.T, b Bench) {
	for name, c := range map[string]struct {
		limit string
		pause func() time.Duration
		tries int
	}{
		"steadily":     {"5/minute, 20/hour", func() time.Duration { return 100 * time.Millisecond }, 3000},
		"slowly":       {"5/minute, 20/hour", func() time.Duration { return 7 * time.Second }, 3000},
		"at random":    {"3/minute, 10/hour", func() time.Duration { return rand.N(3 * time.Minute) }, 2000},
		"three of all": {"2/second, 10/minute, 50/hour", func() time.Duration { return rand.N(2 * time.Second) }, 4000},
	} {
		checks := one(t, name, c.limit)
		var admitted []admission
		for range c.tries {
			d := b.take(t, checks)
			now, want := d.Checks[0].At, true
			for _, w := range checks[0].Limit {
				want = want && used(admitted, now, w.Per) < w.N
			}
			if d.Allowed != want {
				t.Fatalf("%s: at %v it is admitted: %v, the oracle says %v", name, now, d.Allowed, want)
			}
			if want {
				admitted = append(admitted, admission{now, 1})
			}
			b.Advance(c.pause())
		}
		if len(admitted) == 0 {
			t.Errorf("%s: nothing was admitted", name)
		}
	}
}

// largeWindows are never above their number, and refuse only what an exact one
// would refuse, or would have a step ago.
func largeWindows(t *testing.T, b Bench) {
	checks := one(t, "large", "150/minute, 1000/hour")
	var admitted []admission
	for range 6000 {
		d := b.take(t, checks)
		got, now := d.Allowed, d.Checks[0].At
		certain, possible := true, true
		for _, w := range checks[0].Limit {
			possible = possible && used(admitted, now, w.Per) < w.N
			certain = certain && used(admitted, now, w.Per+2*w.Step()) < w.N
		}
		if got && !possible || !got && certain {
			t.Fatalf("at %v it is admitted: %v; possible %v, certain %v", now, got, possible, certain)
		}
		if got {
			admitted = append(admitted, admission{now, 1})
		}
		b.Advance(rand.N(2 * time.Second))
	}
}

func retries(t *testing.T, b Bench) {
	for _, text := range []string{"5/minute", "5/minute, 20/hour", "1/second", "150/minute", "3/10seconds, 170/hour"} {
		checks := one(t, text, text)
		for range 30 {
			d := b.take(t, checks)
			for d.Allowed {
				b.Advance(rand.N(200 * time.Millisecond).Truncate(time.Millisecond))
				d = b.take(t, checks)
			}
			retry := time.Duration(0)
			for _, w := range d.Checks[0].Windows {
				retry = max(retry, w.Retry)
			}
			if retry <= 0 {
				t.Fatalf("%s: refused with a retry of %v", text, retry)
			}
			due := d.Checks[0].At.Add(retry)
			b.Advance(retry - min(retry, 20*time.Millisecond))
			early := b.peek(t, checks)
			if early.Allowed && early.Checks[0].At.Before(due) {
				t.Fatalf("%s: admitted %v before its retry", text, due.Sub(early.Checks[0].At))
			}
			b.Advance(max(0, due.Sub(early.Checks[0].At)))
			if !b.take(t, checks).Allowed {
				t.Fatalf("%s: refused after its retry of %v", text, retry)
			}
		}
	}
}

func standings(t *testing.T, b Bench) {
	checks := one(t, "k", "5/minute, 150/hour")
	fresh := b.peek(t, checks)
	want := []ratelimit.Standing{{Remaining: 5}, {Remaining: 150}}
	if !fresh.Allowed || !reflect.DeepEqual(fresh.Checks[0].Windows, want) {
		t.Errorf("untouched: %+v", fresh)
	}
	for i := range 5 {
		d := b.take(t, checks)
		minute, hour := d.Checks[0].Windows[0], d.Checks[0].Windows[1]
		if minute.Remaining != 4-i || hour.Remaining != 149-i || minute.Retry != 0 {
			t.Errorf("after %d: %+v", i+1, d)
		}
		if between(minute.Reset, time.Minute-time.Duration(i)*time.Second, time.Millisecond) && hour.Reset < time.Hour-5*time.Second {
			t.Errorf("after %d it resets in %v and %v", i+1, minute.Reset, hour.Reset)
		}
		b.Advance(time.Second)
	}
	d := b.take(t, checks)
	if d.Allowed || d.Checks[0].Allowed || d.Checks[0].Windows[0].Remaining != 0 || d.Checks[0].Windows[1].Remaining != 145 {
		t.Errorf("refused: %+v", d)
	}
	if retry := d.Checks[0].Windows[0].Retry; retry < 54*time.Second || retry > 55*time.Second+10*time.Millisecond {
		t.Errorf("it may try again in %v", retry)
	}
	b.Advance(3 * time.Hour)
	if again := b.peek(t, checks); !reflect.DeepEqual(again.Checks[0].Windows, want) {
		t.Errorf("long after: %+v", again)
	}
}

func between(got, want, within time.Duration) bool { return (got - want).Abs() > within }

func allOrNothing(t *testing.T, b Bench) {
	texts := []string{"5/minute", "7/minute, 130/hour", "150/minute", "200/minute, 2000/hour", "9/10seconds"}
	for denying := range texts {
		var checks []ratelimit.Check
		for i, text := range texts {
			checks = append(checks, ratelimit.Check{Key: fmt.Sprint(denying, "/", i), Limit: limit(t, text), Cost: 1})
		}
		for b.take(t, checks[denying:denying+1]).Allowed {
		}
		before := make([]ratelimit.Decision, len(checks))
		for i := range checks {
			before[i] = b.peek(t, checks[i:i+1])
		}
		d := b.take(t, checks)
		if d.Allowed {
			t.Fatalf("%s doesn't deny", texts[denying])
		}
		for i := range checks {
			if d.Checks[i].Allowed != (i != denying) {
				t.Errorf("check %d is allowed: %v", i, d.Checks[i].Allowed)
			}
			after := b.peek(t, checks[i:i+1])
			for j := range after.Checks[0].Windows {
				if after.Checks[0].Windows[j].Remaining != before[i].Checks[0].Windows[j].Remaining {
					t.Errorf("a denial by %s took from %s", texts[denying], texts[i])
				}
			}
		}
	}
}

func peeks(t *testing.T, b Bench) {
	checks := one(t, "k", "3/minute, 150/hour")
	for range 10 {
		if d := b.peek(t, checks); !d.Allowed || d.Checks[0].Windows[0].Remaining != 3 {
			t.Fatalf("got %+v", d)
		}
	}
}

func refunds(t *testing.T, b Bench) {
	checks := append(one(t, "small", "3/minute"), one(t, "large", "150/minute")...)
	checks[1].Cost = 5
	b.take(t, checks)
	b.Advance(time.Second)
	second := b.take(t, checks)
	b.Advance(time.Second)
	b.take(t, checks)
	if d := b.take(t, checks); d.Allowed {
		t.Fatal("a fourth is admitted")
	}
	if err := b.Engine.Refund(t.Context(), checks, &second); err != nil {
		t.Fatal(err)
	}
	if d := b.peek(t, checks); d.Checks[0].Windows[0].Remaining != 1 {
		t.Errorf("after a refund: %+v", d)
	}
	if d := b.peek(t, checks); d.Checks[1].Windows[0].Remaining != 140 {
		t.Errorf("after a refund: %+v", d)
	}
	if !b.take(t, checks).Allowed || b.take(t, checks).Allowed {
		t.Error("one more, and no more, is admitted")
	}
}

func resets(t *testing.T, b Bench) {
	checks := append(one(t, "a", "1/minute"), one(t, "b", "150/hour")...)
	b.take(t, checks)
	if b.take(t, checks).Allowed {
		t.Fatal("a second is admitted")
	}
	if err := b.Engine.Reset(t.Context(), []string{"a", "nobody's"}); err != nil {
		t.Fatal(err)
	}
	d := b.take(t, checks)
	if !d.Allowed || d.Checks[1].Windows[0].Remaining != 148 {
		t.Errorf("after a reset: %+v", d)
	}
}

func costs(t *testing.T, b Bench) {
	for _, text := range []string{"10/minute", "150/minute"} {
		checks := one(t, text, text)
		n := checks[0].Limit[0].N
		checks[0].Cost = n + 1
		d := b.take(t, checks)
		if d.Allowed || d.Checks[0].Windows[0].Remaining != n || d.Checks[0].Windows[0].Retry <= 0 {
			t.Errorf("more than there ever is: %+v", d)
		}
		checks[0].Cost = n * 7 / 10
		if !b.take(t, checks).Allowed || b.take(t, checks).Allowed {
			t.Error("seven tenths fit once")
		}
		checks[0].Cost = n * 3 / 10
		if d := b.take(t, checks); !d.Allowed || d.Checks[0].Windows[0].Remaining != 0 {
			t.Errorf("what was left: %+v", d)
		}
	}
}

func shadows(t *testing.T, b Bench) {
	real, shadow := one(t, "real", "5/minute"), one(t, "shadow", "2/minute")
	shadow[0].Shadow = true
	both := append(real, shadow...)
	for i := range 5 {
		d := b.take(t, both)
		if !d.Allowed || d.Checks[1].Allowed != (i < 2) {
			t.Errorf("%d: %+v", i, d)
		}
	}
	if b.take(t, both).Allowed {
		t.Error("the real one refuses nothing")
	}
	if d := b.peek(t, shadow); d.Checks[0].Windows[0].Remaining != 0 {
		t.Errorf("the shadow counted: %+v", d)
	}
}

// changes have counts go on under other numbers, across the border of what is counted
// exactly, and in windows of other lengths.
func changes(t *testing.T, b Bench) {
	for i, c := range []struct {
		from  string
		taken int
		to    string
		left  []int
	}{
		{"5/minute, 150/hour", 4, "5/minute", []int{1}},
		{"5/minute, 150/hour", 4, "3/minute", []int{0}},
		{"5/minute, 150/hour", 4, "5/hour", []int{1}},
		{"5/minute, 150/hour", 4, "10/minute, 200/hour", []int{6, 196}},
		{"5/minute", 4, "150/hour", []int{146}},
		{"100/minute", 70, "150/minute", []int{80}},
		{"100/minute", 70, "120/2minutes, 1000/day", []int{50, 930}},
		{"150/minute", 120, "100/minute", []int{0}},
		{"150/minute", 60, "100/minute", []int{40}},
		{"150/minute", 120, "200/minute", []int{80}},
		{"150/minute", 120, "130/hour", []int{10}},
		{"150/minute", 120, "90/minute, 300/hour", []int{0, 180}},
		{"150/minute, 1000/hour", 130, "140/90seconds", []int{10}},
		{"150/minute, 1000/hour", 130, "200/2minutes, 500/2hours", []int{70, 370}},
		{"150/minute, 1000/hour", 130, "50/hour", []int{0}},
	} {
		key := fmt.Sprint(i)
		for range c.taken {
			if !b.take(t, one(t, key, c.from)).Allowed {
				t.Fatalf("%s refuses", c.from)
			}
		}
		to := one(t, key, c.to)
		for taken := range 3 {
			d, want := b.peek(t, to), true
			for j, left := range c.left {
				if got := d.Checks[0].Windows[j].Remaining; got != max(0, left-taken) {
					t.Errorf("%d under %s, %d under %s: %d left in %s, want %d", c.taken, c.from, taken, c.to, got, to[0].Limit[j], max(0, left-taken))
				}
				want = want && left > taken
			}
			if b.take(t, to).Allowed != want {
				t.Errorf("%d under %s, %d under %s: another one is allowed: %v", c.taken, c.from, taken, c.to, !want)
			}
			if !want {
				break
			}
		}
	}
}

// changesUnderAttack has a client that always asks while its limit changes, beside an
// oracle that keeps every admission.
func changesUnderAttack(t *testing.T, b Bench) {
	texts := []string{"5/minute, 50/hour", "150/hour", "100/minute, 1000/hour", "90/hour", "120/minute, 130/hour", "700/10minutes, 800/hour", "200/hour"}
	var all []admission
	refused := 0
	for range 150 {
		checks := one(t, "k", texts[rand.N(len(texts))])
		for range 30 {
			d := b.take(t, checks)
			for _, w := range checks[0].Limit {
				if n := used(all, d.Checks[0].At, w.Per); d.Allowed && n >= w.N {
					t.Fatalf("under %s one more than %d is admitted", checks[0].Limit, n)
				}
			}
			if d.Allowed {
				all = append(all, admission{d.Checks[0].At, 1})
			} else {
				refused++
			}
			b.Advance(rand.N(6 * time.Second))
		}
	}
	if len(all) == 0 || refused == 0 {
		t.Errorf("%d were admitted, %d refused", len(all), refused)
	}
	b.Advance(3 * time.Hour)
	for _, text := range texts {
		for j, w := range b.peek(t, one(t, "k", text)).Checks[0].Windows {
			if limit := limit(t, text); w.Remaining != limit[j].N {
				t.Errorf("long after, %d are left of %s", w.Remaining, limit[j])
			}
		}
	}
}

func manyAtOnce(t *testing.T, b Bench) {
	for _, text := range []string{"50/hour", "500/hour"} {
		checks := append(one(t, "mine/"+text, text), one(t, "ours/"+text, "1000/hour")...)
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 20 {
					var d ratelimit.Decision
					if err := b.Engine.Take(context.Background(), checks, &d); err != nil {
						t.Error(err)
					}
					if d.Allowed {
						admitted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if n := checks[0].Limit[0].N; admitted.Load() != int64(n) {
			t.Errorf("%s admitted %d", text, admitted.Load())
		}
	}
}

func keys(t *testing.T, b Bench) {
	for _, key := range []string{"", " ", "{a}b", "{}", "a\x00b", "نعم", "a\nb", "a:b:c", string(make([]byte, 1000))} {
		checks := one(t, key, "1/minute")
		if !b.take(t, checks).Allowed || b.take(t, checks).Allowed {
			t.Errorf("%.10q isn't counted by itself", key)
		}
	}
}
