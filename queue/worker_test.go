package queue

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"manus/docstore"
	"manus/internal/storetest"
	"manus/internal/waittest"
)

// inBubble runs a test in which time passes by itself, with what opens copies of the
// store there.
func inBubble(t *testing.T, test func(t *testing.T, open func() docstore.Store)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manus.db")
	synctest.Test(t, func(t *testing.T) {
		test(t, func() docstore.Store { return storetest.File(t, path, Spec[chore]("chores")) })
	})
}

// running runs copies until stop is called.
func running(t *testing.T, queues ...*Queue[chore]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for _, q := range queues {
		group.Go(func() { q.Run(ctx) })
	}
	return func() { cancel(); group.Wait() }
}

func config(store docstore.Store, work func(context.Context, Job[chore]) error) Config[chore] {
	return Config[chore]{Store: store, Collection: "chores", Noun: "chore", Work: work, Log: slog.New(slog.DiscardHandler)}
}

func TestWorkOfHoursIsDoneByOneCopy(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, open func() docstore.Store) {
		var mu sync.Mutex
		times := 0
		work := func(ctx context.Context, _ Job[chore]) error {
			mu.Lock()
			times++
			mu.Unlock()
			return sleep(ctx, 3*time.Hour)
		}
		var copies []*Queue[chore]
		for range 3 {
			c := config(open(), work)
			c.Timeout = 4 * time.Hour
			copies = append(copies, New(c))
		}
		stop := running(t, copies...)
		synctest.Wait()
		if err := copies[0].Put(t.Context(), Job[chore]{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3*time.Hour + 2*time.Second)
		if left, _, err := copies[1].List(t.Context(), All, 9, ""); err != nil || len(left) != 0 || times != 1 {
			t.Errorf("it was begun %d times; left: %v, %v", times, left, err)
		}
		stop()
	})
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func TestWhatOthersPutAndWhatIsDueAgainIsSeenWithinASecond(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, open func() docstore.Store) {
		began := make(chan time.Time, 9)
		q := New(config(open(), func(_ context.Context, job Job[chore]) error {
			began <- time.Now()
			if job.Attempt == 1 {
				return errors.New("no")
			}
			return nil
		}))
		stop := running(t, q)
		synctest.Wait()
		other := New(config(open(), nil))
		other.c.Work = q.c.Work // it has work, and doesn't run
		put := time.Now()
		if err := other.Put(t.Context(), Job[chore]{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		first := <-began
		if wait := first.Sub(put); wait > pollEvery {
			t.Errorf("it is begun after %v", wait)
		}
		if wait := (<-began).Sub(first); wait < 4*time.Second || wait > 5*time.Second+pollEvery {
			t.Errorf("it is tried again after %v", wait)
		}
		stop()
	})
}

func TestWhatWaitsForRoomIsBegunAtOnceWhenThereIsSome(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, open func() docstore.Store) {
		began := make(chan time.Time, 9)
		c := config(open(), func(ctx context.Context, job Job[chore]) error {
			began <- time.Now()
			if job.ID == "a" {
				return sleep(ctx, 500*time.Millisecond)
			}
			return Cancel(nil)
		})
		c.PerLane, c.KeepDead = 1, time.Hour
		q := New(c)
		stop := running(t, q)
		time.Sleep(2*pollEvery + 200*time.Millisecond) // and no look until both are begun
		for _, id := range []string{"a", "b"} {
			if err := q.Put(t.Context(), Job[chore]{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		if wait := -(<-began).Sub(<-began); wait != 500*time.Millisecond {
			t.Errorf("the second is begun after %v", wait)
		}
		time.Sleep(100 * time.Millisecond)
		retried := time.Now()
		if err := q.Retry(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		if wait := (<-began).Sub(retried); wait != 0 {
			t.Errorf("what is to be tried again is begun after %v", wait)
		}
		stop()
	})
}

func TestWorkThatDoesNotHeedItsContextIsLeftBehind(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, open func() docstore.Store) {
		var log bytes.Buffer
		end := make(chan struct{})
		c := config(open(), func(context.Context, Job[chore]) error { <-end; return nil })
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		q := New(c)
		stop := running(t, q)
		synctest.Wait()
		if err := q.Put(t.Context(), Job[chore]{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took != patience || !strings.Contains(log.String(), "doesn't heed") {
			t.Errorf("it stops after %v: %s", took, &log)
		}
		close(end) // it ends after all
		synctest.Wait()
		if left, _, err := q.List(t.Context(), All, 9, ""); err != nil || len(left) != 0 {
			t.Errorf("what it did isn't written down: %v, %v", left, err)
		}
	})
}

// unreachable is a store that can't be reached now and then.
type unreachable struct {
	docstore.Store
	now atomic.Bool
}

func (u *unreachable) Find(ctx context.Context, collection string, q docstore.Query) (docstore.Page, error) {
	if u.now.Load() {
		return docstore.Page{}, docstore.ErrUnavailable
	}
	return u.Store.Find(ctx, collection, q)
}

func TestAStoreThatCannotBeReachedIsToldOfOnceEachTime(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, open func() docstore.Store) {
		log := &waittest.Log{}
		store := &unreachable{Store: open()}
		c := config(store, func(context.Context, Job[chore]) error { return nil })
		c.Log = slog.New(slog.NewTextHandler(log, nil))
		stop := running(t, New(c))
		for times := range 3 {
			if told := strings.Count(log.String(), "can't be worked"); told != times {
				t.Errorf("it was gone %d times; the operator reads: %s", times, log)
			}
			store.now.Store(true)
			time.Sleep(10 * pollEvery)
			store.now.Store(false)
			time.Sleep(10 * pollEvery)
		}
		stop()
	})
}

func TestNoLaneHasMoreInHandThanItMayAndAllTogetherNeither(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, open func() docstore.Store) {
		var mu sync.Mutex
		now := map[string]int{}
		end := make(chan struct{})
		c := config(open(), func(_ context.Context, job Job[chore]) error {
			mu.Lock()
			now[job.Lane]++
			now["all"]++
			mu.Unlock()
			<-end
			mu.Lock()
			defer mu.Unlock()
			now[job.Lane]--
			now["all"]--
			return nil
		})
		c.PerLane, c.Overall = 3, 7
		q := New(c)
		stop := running(t, q)
		put := func() {
			for i := range 60 {
				if err := q.Put(t.Context(), Job[chore]{Lane: strconv.Itoa(i % 5)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		put()
		for range 30 {
			time.Sleep(2 * pollEvery)
			synctest.Wait()
			for lane, n := range now {
				if n > 3 && lane != "all" {
					t.Errorf("%s has %d in hand", lane, n)
				}
			}
			if now["all"] != 7 {
				t.Errorf("%d are in hand", now["all"])
			}
			end <- struct{}{}
		}
		close(end)
		put()
		time.Sleep(2 * pollEvery)
		if left, _, err := q.List(t.Context(), All, 9, ""); err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		stop()
	})
}

func TestWhatIsPutWaitsBehindWhatWaitsInItsLane(t *testing.T) {
	t.Parallel()
	h := newSlots(2, 10)
	if _, taken := h.takeNew("a", "1"); taken {
		t.Error("it is taken by a copy that doesn't work")
	}
	h.open(t.Context())
	h.fallBehind("a")
	if _, taken := h.takeNew("a", "1"); taken {
		t.Error("it is taken before those that wait")
	}
	if _, taken := h.takeNew("b", "2"); !taken {
		t.Error("another lane waits for that one")
	}
	h.catchUp()
	if _, taken := h.takeNew("a", "1"); !taken {
		t.Error("it is not taken though nothing waits")
	}
	if _, taken := h.takeNew("a", "1"); taken {
		t.Error("it is taken twice")
	}
}

func TestWaitsGrowToAQuarterOfAnHourAtMost(t *testing.T) {
	t.Parallel()
	q := New(config(storetest.New(t), nil))
	for attempts := range 100 {
		full := min(5*time.Second<<min(attempts, 16), 15*time.Minute)
		for range 100 {
			if wait := q.backoff(attempts + 1); wait < full*4/5 || wait > full {
				t.Fatalf("after %d attempts: %v", attempts+1, wait)
			}
		}
	}
}
