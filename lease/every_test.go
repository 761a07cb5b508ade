package lease

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"manus/docstore"
	"manus/internal/clocktest"
)

// jobs notes when a job is run, by whichever copy.
type jobs struct {
	mu     sync.Mutex
	begun  []time.Time
	inside int
	t      *testing.T

	takes time.Duration
	err   func(run int) error
}

func (j *jobs) do(ctx context.Context, _ Held) error {
	j.enter(1)
	defer j.enter(-1)
	if !sleep(ctx, j.takes) {
		return context.Cause(ctx)
	}
	if j.err == nil {
		return nil
	}
	return j.err(len(j.times()) - 1)
}

func (j *jobs) enter(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.inside += n; j.inside > 1 {
		j.t.Error("two do the job at once")
	}
	if n > 0 {
		j.begun = append(j.begun, time.Now())
	}
}

func (j *jobs) times() []time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]time.Time(nil), j.begun...)
}

// gaps are the times between the beginnings of runs, the first one since start.
func (j *jobs) gaps(start time.Time) (gaps []time.Duration) {
	for _, at := range j.times() {
		gaps = append(gaps, at.Sub(start))
		start = at
	}
	return gaps
}

// busy is how long a call of the store takes at most. Where two copies write at
// once, SQLite has one of them wait; that is time in a bubble, too.
const busy = 250 * time.Millisecond

func near(got, want, within time.Duration) bool { return (got - want).Abs() <= within }

func (j *jobs) run(t *testing.T, s *Service, period time.Duration) (stop func()) {
	t.Helper()
	return start(t, func(ctx context.Context) { s.Every(ctx, "work", period, j.do) })
}

func TestTenCopiesDoAJobOncePerPeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const periods = 12
		c := setup(t)
		j := &jobs{t: t, takes: time.Minute}
		begin := time.Now()
		var one *Service
		for i := range 10 {
			var store docstore.Store = c.open(t)
			if i%2 == 0 {
				store = twice{store}
			}
			one = c.service(store)
			j.run(t, one, 10*time.Minute)
		}
		time.Sleep(periods*10*time.Minute - 5*time.Minute)
		gaps := j.gaps(begin)
		if len(gaps) != periods || gaps[0] > time.Second {
			t.Fatalf("%d runs in %d periods: %v", len(gaps), periods, gaps)
		}
		for _, gap := range gaps[1:] {
			if early := 10*time.Minute - gap; early > 2*time.Millisecond || !near(gap, 10*time.Minute, busy) { // stored times have milliseconds
				t.Errorf("a run came %v after the one before", gap)
			}
		}
		last := j.times()[periods-1].Add(j.takes)
		if state := peek(t, one); state.Fence != periods || !near(state.LastRun.Sub(last), 0, busy) || state.Holder != "" {
			t.Errorf("got %+v; the last run was done at %v", state, last)
		}
	})
}

func TestTheStateOfAJobIsTheSameInBothEngines(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c copies) {
		clock := func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }
		s := New(Config{Store: c.open(t), Log: slog.New(slog.DiscardHandler)})
		s.now = clock
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		runs := 0
		s.Every(ctx, "work", 10*time.Millisecond, func(context.Context, Held) error {
			switch runs++; runs {
			case 1, 2:
				return errors.New("the disk is full")
			case 4:
				stop()
			}
			return nil
		})
		if state := peek(t, s); state != (State{Fence: 4, LastRun: clock()}) {
			t.Errorf("got %+v", state)
		}
	})
}

func TestNothingIsWrittenBetweenRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		s, store := c.add(t)
		j := &jobs{t: t}
		j.run(t, s, time.Hour)
		time.Sleep(time.Minute)
		store.fault.Store(new(fault(func(_ context.Context, call func() error) error {
			before, _ := store.Store.Get(t.Context(), spec.Collection, "work")
			err := call()
			if after, _ := store.Store.Get(t.Context(), spec.Collection, "work"); string(after) != string(before) {
				t.Errorf("it was %s and is %s", before, after)
			}
			return err
		})))
		before := store.calls.Load()
		time.Sleep(50 * time.Minute)
		if n := store.calls.Load() - before; n > 50*60/10 {
			t.Errorf("the store was asked %d times", n)
		}
		store.heal()
		time.Sleep(10 * time.Minute)
		if n := len(j.times()); n != 2 {
			t.Errorf("%d runs", n)
		}
	})
}

func TestMissedRunsAreMadeUpForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		j := &jobs{t: t}
		run := func() (stop func()) {
			s, _ := c.add(t)
			return j.run(t, s, time.Hour)
		}
		begin := time.Now()
		stop := run()
		time.Sleep(20 * time.Minute)
		stop()
		time.Sleep(20 * time.Minute)
		stop = run() // before it is due
		time.Sleep(30 * time.Minute)
		stop()
		time.Sleep(10 * time.Hour)
		stop = run() // long after
		time.Sleep(90 * time.Minute)
		stop()
		gaps := j.gaps(begin)
		want := []time.Duration{0, time.Hour, 10*time.Hour + 10*time.Minute, time.Hour}
		if len(gaps) != len(want) {
			t.Fatalf("the runs were %v apart", gaps)
		}
		for i, gap := range gaps {
			if !near(gap, want[i], busy) {
				t.Errorf("run %d came after %v; want %v", i, gap, want[i])
			}
		}
	})
}

func TestAJobThatFailsIsTriedAgainMoreAndMoreRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		j := &jobs{t: t, err: func(run int) error {
			if run < 6 {
				return errors.New("the disk is full")
			}
			return nil
		}}
		begin := time.Now()
		var one *Service
		for range 3 {
			one, _ = c.add(t)
			j.run(t, one, 10*time.Second)
		}
		time.Sleep(20 * time.Second)
		if state := peek(t, one); state.Failures != 5 || !state.LastRun.IsZero() {
			t.Errorf("after 20 s: %+v", state)
		}
		time.Sleep(30 * time.Second)
		gaps := j.gaps(begin)
		want := []time.Duration{0, 1, 2, 4, 8, 10, 10, 10}
		if len(gaps) != len(want) {
			t.Fatalf("the runs were %v apart", gaps)
		}
		for i, gap := range gaps {
			if !near(gap, want[i]*time.Second, busy) {
				t.Errorf("try %d came after %v; want %v s", i, gap, int64(want[i]))
			}
		}
		if state := peek(t, one); state.Failures != 0 || time.Since(state.LastRun) > 11*time.Second {
			t.Errorf("in the end: %+v", state)
		}
		if n := strings.Count(c.log.String(), "the disk is full"); n != 6 {
			t.Errorf("the log says it %d times", n)
		}
	})
}

func TestBackoffGrowsToThePeriod(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 12: 2048 * time.Second, 13: time.Hour, 1 << 40: time.Hour} {
		if got := backoff(failures, time.Hour); got != want {
			t.Errorf("after %d failures: %v", failures, got)
		}
	}
	if got := backoff(1, time.Millisecond); got != time.Millisecond {
		t.Errorf("got %v", got)
	}
}

func TestClocksThatAreWrongAndStepDontMatter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const periods = 25
		c := setup(t)
		j := &jobs{t: t, takes: time.Minute}
		random := rand.New(rand.NewPCG(1, 2))
		clocks := []*clocktest.Clock{
			clocktest.Running(-30 * 24 * time.Hour), clocktest.Running(0), clocktest.Running(365 * 24 * time.Hour), clocktest.Running(40 * time.Minute),
		}
		for _, clock := range clocks {
			s := New(Config{Store: c.open(t), Log: slog.New(slog.DiscardHandler)})
			s.now = clock.Now
			j.run(t, s, 10*time.Minute)
		}
		begin := time.Now()
		for range periods * 5 {
			time.Sleep(2 * time.Minute)
			clocks[random.IntN(len(clocks))].Set(time.Now().Add(time.Duration(random.Int64N(int64(1000*time.Hour))) - 500*time.Hour))
		}
		gaps := j.gaps(begin)
		for _, gap := range gaps[1:] {
			if (gap - 10*time.Minute).Abs() > defaultTTL { // as far as looks are apart
				t.Errorf("a run came %v after the one before", gap)
			}
		}
		if len(gaps) < periods || len(gaps) > periods+1 {
			t.Errorf("%d runs in %d periods", len(gaps), periods)
		}
	})
}

func TestARunFromTheFutureKeepsNobodyFromWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		j := &jobs{t: t}
		clock := clocktest.Running(10 * 365 * 24 * time.Hour)
		run := func() (stop func()) {
			s := New(Config{Store: c.open(t), Log: slog.New(slog.DiscardHandler)})
			s.now = clock.Now
			return j.run(t, s, time.Hour)
		}
		stop := run()
		time.Sleep(time.Minute)
		stop()
		clock.Set(time.Now())
		begin := time.Now()
		for range 9 { // it never runs for as long as a period
			stop = run()
			time.Sleep(20 * time.Minute)
			stop()
		}
		gaps := j.gaps(begin)[1:]
		if len(gaps) < 2 || len(gaps) > 3 {
			t.Errorf("the runs after it were %v apart", gaps)
		}
		for _, gap := range gaps[1:] {
			if !near(gap, time.Hour, time.Second) {
				t.Errorf("a run came %v after the one before", gap)
			}
		}
	})
}

func TestARunFromTheFutureWasNow(t *testing.T) {
	t.Parallel()
	at := time.Now()
	w := &watch{name: "work", period: time.Hour}
	w.note(document{Name: "work", Released: true, Runs: 1, LastRun: docstore.At(at.Add(30 * time.Hour))}, at, at)
	if due := w.freeAt(defaultTTL); !due.Equal(at.Add(time.Hour)) {
		t.Errorf("it is due in %v", due.Sub(at))
	}
}

func TestAJobThatIsCutShortIsDueAsBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		j := &jobs{t: t, takes: 10 * time.Minute}
		a, _ := c.add(t)
		b, _ := c.add(t)
		begin := time.Now()
		stop := j.run(t, a, time.Hour)
		time.Sleep(time.Minute)
		j.run(t, b, time.Hour)
		time.Sleep(time.Minute)
		stop()
		time.Sleep(9 * time.Minute)
		if state := peek(t, b); state.Failures != 0 || !state.LastRun.IsZero() {
			t.Errorf("got %+v", state)
		}
		time.Sleep(2 * time.Minute)
		gaps := j.gaps(begin)
		if len(gaps) != 2 || !near(gaps[1], 2*time.Minute, maxPause) || peek(t, b).LastRun.IsZero() {
			t.Errorf("the runs were %v apart; %+v", gaps, peek(t, b))
		}
	})
}

func TestAJobThatLostItsLeaseHasNotFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		s, store := c.add(t)
		j := &jobs{t: t, takes: 10 * time.Minute}
		begin := time.Now()
		j.run(t, s, time.Hour)
		time.Sleep(time.Minute)
		store.set(gone)
		time.Sleep(s.ttl)
		store.heal() // nobody else was there to take it
		time.Sleep(time.Minute)
		if state := peek(t, s); state.Failures != 0 || state.Fence != 2 || len(j.times()) != 2 {
			t.Errorf("got %+v; the runs were %v apart", state, j.gaps(begin))
		}
	})
}

func TestAnotherCopyDoesTheJobOfOneThatDied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		j := &jobs{t: t, takes: 10 * time.Minute}
		a, dead := c.add(t)
		b, _ := c.add(t)
		begin := time.Now()
		j.run(t, a, time.Hour)
		time.Sleep(time.Second)
		j.run(t, b, time.Hour)
		time.Sleep(time.Minute + time.Second)
		dead.set(hangs)
		time.Sleep(12 * time.Minute)
		gaps := j.gaps(begin)
		if len(gaps) != 2 || gaps[1] < time.Minute+a.renew || gaps[1] > time.Minute+2*time.Second+a.ttl+maxPause {
			t.Errorf("the runs were %v apart", gaps)
		}
		if state := peek(t, b); state.Fence != 2 || state.LastRun.IsZero() || state.Failures != 0 {
			t.Errorf("got %+v", state)
		}
	})
}

func TestTheEndOfAJobIsWrittenDownOnceThoughTheStoreFails(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fault{"gone": gone, "hanging": hangs, "unanswered": unanswered} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := setup(t)
				a, store := c.add(t)
				b, _ := c.add(t)
				j := &jobs{t: t, takes: time.Minute, err: func(int) error {
					store.set(fault)
					time.AfterFunc(4*time.Second, store.heal)
					return nil
				}}
				begin := time.Now()
				j.run(t, a, time.Hour)
				time.Sleep(time.Second)
				stop := j.run(t, b, time.Hour)
				time.Sleep(30 * time.Minute)
				stop()
				time.Sleep(20 * time.Minute)
				d, err := a.leases.Get(t.Context(), "work")
				if err != nil || d.Runs != 1 || d.Failures != 0 || !d.Released || d.LastRun.Sub(begin) > time.Minute+time.Second {
					t.Errorf("got %+v, %v", d, err)
				}
				if gaps := j.gaps(begin); len(gaps) != 1 {
					t.Errorf("the runs were %v apart", gaps)
				}
			})
		})
	}
}

// A holder that was paused finishes its job after another one has taken the lease
// over: that isn't a run of the other one's.
func TestTheEndOfAFormerHoldersJobIsNotWrittenDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		a, store := c.add(t)
		began, finish := make(chan Held), make(chan struct{})
		start(t, func(ctx context.Context) {
			a.Every(ctx, "work", time.Hour, func(_ context.Context, held Held) error {
				began <- held
				<-finish
				return nil
			})
		})
		<-began
		store.set(hangs)
		b, _ := c.add(t)
		j := &jobs{t: t, takes: 10 * time.Minute}
		j.run(t, b, time.Hour)
		time.Sleep(time.Minute)
		store.heal()
		close(finish)
		time.Sleep(time.Minute)
		if state := peek(t, b); state.Fence != 2 || state.Holder != b.holder || !state.LastRun.IsZero() {
			t.Errorf("got %+v", state)
		}
		time.Sleep(10 * time.Minute)
		if state := peek(t, b); state.LastRun.IsZero() || len(j.times()) != 1 {
			t.Errorf("in the end %+v", state)
		}
	})
}
