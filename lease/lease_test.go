package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"manus/docstore"
	"manus/docstore/mongodocs"
	"manus/internal/mongotest"
	"manus/internal/storetest"
	"manus/internal/waittest"
)

// ledger is a document that is written under a lease.
type ledger struct {
	ID    string  `json:"_id"`
	Fence Fence   `json:"fence"`
	Wrote []Fence `json:"wrote"` // by whom, in the store's order
}

func (l ledger) DocumentID() string { return l.ID }

var ledgerSpec = docstore.Spec{Collection: "ledgers"}

// write claims the ledger and writes a line of it.
func write(store docstore.Store, held Held) error {
	_, err := docstore.NewCollection[ledger](store, ledgerSpec).Upsert(context.Background(), ledger{ID: "l"}, func(l *ledger, _ bool) error {
		if err := held.Admit(&l.Fence); err != nil {
			return err
		}
		l.Wrote = append(l.Wrote, held.Fence)
		return nil
	})
	return err
}

func read(t *testing.T, store docstore.Store) ledger {
	t.Helper()
	l, err := docstore.NewCollection[ledger](store, ledgerSpec).Get(context.Background(), "l")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// faulty is a store whose calls go through a fault, while there is one. Questions
// may take a while to reach it.
type faulty struct {
	docstore.Store
	fault atomic.Pointer[fault]
	calls atomic.Int64
	slow  atomic.Int64 // a duration
}

type fault func(ctx context.Context, call func() error) error

func (f *faulty) set(to fault) { f.fault.Store(&to) }
func (f *faulty) heal()        { f.fault.Store(nil) }

func (f *faulty) through(ctx context.Context, call func() error) error {
	f.calls.Add(1)
	if now := f.fault.Load(); now != nil {
		return (*now)(ctx, call)
	}
	return call()
}

func (f *faulty) Get(ctx context.Context, collection, id string) (raw docstore.Raw, err error) {
	err = f.through(ctx, func() error {
		time.Sleep(time.Duration(f.slow.Load()))
		raw, err = f.Store.Get(ctx, collection, id)
		return err
	})
	return raw, err
}

func (f *faulty) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	return f.through(ctx, func() error { return f.Store.Upsert(ctx, collection, id, change) })
}

func gone(context.Context, func() error) error { return docstore.ErrUnavailable }

func hangs(ctx context.Context, _ func() error) error {
	<-ctx.Done()
	return ctx.Err()
}

// unanswered is a store that does what it is told, and doesn't get to say so.
func unanswered(_ context.Context, call func() error) error {
	_ = call()
	return docstore.ErrUnavailable
}

// twice is a store that runs each change a second time, as an engine may that was
// outrun by another write.
type twice struct{ docstore.Store }

func again(change func(docstore.Raw) (docstore.Raw, error)) func(docstore.Raw) (docstore.Raw, error) {
	return func(old docstore.Raw) (docstore.Raw, error) {
		_, _ = change(old)
		return change(old)
	}
}

func (s twice) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	return s.Store.Upsert(ctx, collection, id, again(change))
}

// copies is several copies of the program on one file, or one database of a
// MongoDB.
type copies struct {
	path          string
	uri, database string
	log           *waittest.Log
}

func setup(t *testing.T) copies {
	t.Helper()
	return copies{path: filepath.Join(t.TempDir(), "manus.db"), log: &waittest.Log{}}
}

// onBoth runs a test on either engine. No bubble is around it: in one, what is
// waited for on a network is taken for time that may pass.
func onBoth(t *testing.T, test func(*testing.T, copies)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, setup(t))
	})
	t.Run("mongodb", func(t *testing.T) {
		t.Parallel()
		test(t, copies{uri: mongotest.URI(t), database: mongotest.Database(t), log: &waittest.Log{}})
	})
}

func (c copies) open(t *testing.T) *faulty {
	t.Helper()
	specs := append(Specs(), ledgerSpec)
	if c.uri != "" {
		return &faulty{Store: openMongo(t, c.uri, c.database, specs...)}
	}
	return &faulty{Store: storetest.File(t, c.path, specs...)}
}

func openMongo(t *testing.T, uri, database string, specs ...docstore.Spec) docstore.Store {
	t.Helper()
	store, err := mongodocs.Open(t.Context(), uri, database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Declare(t.Context(), specs...); err != nil {
		t.Fatal(err)
	}
	return store
}

func (c copies) service(store docstore.Store) *Service {
	return New(Config{Store: store, Log: slog.New(slog.NewTextHandler(c.log, nil))})
}

// add is another copy of the program, and its store.
func (c copies) add(t *testing.T) (*Service, *faulty) {
	t.Helper()
	store := c.open(t)
	return c.service(store), store
}

// start runs f until the test ends, or stop is called.
func start(t *testing.T, f func(context.Context)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// term is one time of holding the lease.
type term struct {
	Held
	began, ended time.Time // ended when the context did
	cause        error
}

// stay is work that goes on until its context ends, and tells of it.
func stay(terms chan<- term, began chan<- Held) func(context.Context, Held) error {
	return func(ctx context.Context, held Held) error {
		tm := term{Held: held, began: time.Now()}
		if began != nil {
			began <- held
		}
		<-ctx.Done()
		tm.ended, tm.cause = time.Now(), context.Cause(ctx)
		terms <- tm
		return ctx.Err()
	}
}

func (s *Service) runStay(t *testing.T) (began chan Held, terms chan term, stop func()) {
	t.Helper()
	began, terms = make(chan Held, 100), make(chan term, 100)
	stop = start(t, func(ctx context.Context) { s.Run(ctx, "work", stay(terms, began)) })
	return began, terms, stop
}

func peek(t *testing.T, s *Service) State {
	t.Helper()
	state, err := s.Peek(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestOfManyWhoTakeAFreeLeaseAtOnceOneGetsIt(t *testing.T) {
	t.Parallel()
	onBoth(t, raceForALease)
}

func raceForALease(t *testing.T, c copies) {
	services := make([]*Service, 0, 16)
	watches := make([]*watch, cap(services))
	for range 4 {
		store := twice{c.open(t)}
		for range 4 {
			watches[len(services)] = &watch{name: "work"}
			services = append(services, c.service(store))
		}
	}
	for round := range 20 {
		for i, s := range services {
			if err := s.look(t.Context(), watches[i]); err != nil {
				t.Fatal(err)
			}
		}
		grips := make([]grip, len(services))
		var group sync.WaitGroup
		for i, s := range services {
			group.Go(func() {
				var err error
				if grips[i], err = s.take(t.Context(), watches[i]); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		winners := 0
		for i, g := range grips {
			if g.Fence == 0 {
				continue
			}
			winners++
			if g.Fence != Fence(round+1) {
				t.Errorf("round %d has the fence %d", round, g.Fence)
			}
			services[i].release(t.Context(), watches[i], g, nil)
		}
		if winners != 1 {
			t.Fatalf("%d have the lease", winners)
		}
	}
}

func TestManyCopiesTakeTurns(t *testing.T) {
	t.Parallel()
	onBoth(t, takeTurns)
}

func takeTurns(t *testing.T, c copies) {
	const turns = 40
	var inside atomic.Int32
	var mu sync.Mutex
	var fences []Fence
	enough := make(chan struct{})
	for range 4 {
		store := c.open(t)
		for range 4 {
			s := c.service(store)
			s.pause = 20 * time.Millisecond // the TTL is the usual one: nothing expires
			start(t, func(ctx context.Context) {
				s.Run(ctx, "work", func(ctx context.Context, held Held) error {
					if inside.Add(1) != 1 {
						t.Error("two are at work")
					}
					defer inside.Add(-1)
					mu.Lock()
					defer mu.Unlock()
					if fences = append(fences, held.Fence); len(fences) == turns {
						close(enough)
					}
					for range 3 {
						if err := write(store, held); err != nil {
							t.Error(err)
						}
					}
					return nil
				})
			})
		}
	}
	<-enough
	mu.Lock()
	defer mu.Unlock()
	for i, fence := range fences {
		if fence != Fence(i+1) {
			t.Fatalf("the fences were %v", fences)
		}
	}
	if l := read(t, c.open(t)); !slices.IsSorted(l.Wrote) || len(l.Wrote) != 3*len(fences) {
		t.Errorf("the order of writes was %v", l.Wrote)
	}
}

// Holders that are cut off from their lease and don't notice go on writing here,
// each until it is refused.
func TestAFormerHolderWritesNothingAfterALaterOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		books := c.open(t)
		var written, refused atomic.Int64
		for range 6 {
			s, store := c.add(t)
			start(t, func(ctx context.Context) {
				s.Run(ctx, "work", func(_ context.Context, held Held) error {
					store.set(gone)
					defer store.heal()
					for {
						err := write(books, held)
						if errors.Is(err, ErrLost) {
							refused.Add(1)
							return err
						}
						if err != nil {
							t.Error(err)
						}
						written.Add(1)
						if ctx.Err() != nil {
							return nil
						}
						time.Sleep(700 * time.Millisecond)
					}
				})
			})
		}
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		l := read(t, books)
		if n := refused.Load(); n < 10 {
			t.Errorf("only %d were refused", n)
		}
		if !slices.IsSorted(l.Wrote) || int64(len(l.Wrote)) != written.Load() {
			t.Errorf("%d writes were acknowledged, in the order %v", written.Load(), l.Wrote)
		}
	})
}

func TestRenewalKeepsTheLeaseAndItsEndHandsItOverAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		a, store := c.add(t)
		began, terms, stop := a.runStay(t)
		first := <-began
		b, _ := c.add(t)
		after, _, _ := b.runStay(t)
		time.Sleep(20 * time.Minute)
		if state := peek(t, a); state.Holder != a.holder || state.Fence != 1 || len(terms)+len(after) != 0 {
			t.Fatalf("after 20 minutes: %+v", state)
		}
		if n := store.calls.Load(); n > 250 {
			t.Errorf("%d calls of the store in 20 minutes", n)
		}
		released := time.Now()
		stop()
		if second := <-after; second.Fence != first.Fence+1 || time.Since(released) > maxPause {
			t.Errorf("%+v after %+v, after %v", second, first, time.Since(released))
		}
		if tm := <-terms; !errors.Is(tm.cause, context.Canceled) {
			t.Errorf("it ended with %v", tm.cause)
		}
	})
}

func TestWorkThatReturnsHandsTheLeaseOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		a, _ := c.add(t)
		finish, worked := make(chan struct{}), make(chan Held, 10)
		start(t, func(ctx context.Context) {
			a.Run(ctx, "work", func(_ context.Context, held Held) error {
				worked <- held
				<-finish
				return errors.New("the disk is full")
			})
		})
		<-worked
		close(finish)
		synctest.Wait()
		if state := peek(t, a); state.Holder != "" || state.Fence != 1 || !strings.Contains(c.log.String(), "the disk is full") {
			t.Errorf("got %+v; the log: %s", state, c.log)
		}
		returned := time.Now()
		if held := <-worked; held.Fence != 2 || time.Since(returned) < maxPause/2 || time.Since(returned) > 2*maxPause {
			t.Errorf("again, %+v, after %v", held, time.Since(returned))
		}
	})
}

func TestTheLeaseIsRenewedWhileWorkComesToItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		a, _ := c.add(t)
		began := make(chan Held, 1)
		var ended time.Time
		stop := start(t, func(ctx context.Context) {
			a.Run(ctx, "work", func(ctx context.Context, held Held) error {
				began <- held
				<-ctx.Done()
				time.Sleep(10 * time.Minute)
				ended = time.Now()
				return nil
			})
		})
		<-began
		b, _ := c.add(t)
		after, _, _ := b.runStay(t)
		go stop()
		<-after
		if ended.IsZero() || time.Since(ended) > maxPause {
			t.Errorf("another one began %v after the end", time.Since(ended))
		}
	})
}

func TestAHolderWithoutTheStoreStopsBeforeAnotherBegins(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fault{"gone": gone, "hanging": hangs} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := setup(t)
				a, store := c.add(t)
				began, terms, _ := a.runStay(t)
				<-began
				b, _ := c.add(t)
				after, _, _ := b.runStay(t)
				time.Sleep(time.Minute + 2*time.Second)
				cut := time.Now() // the last renewal was 2 s ago
				store.set(fault)
				tm := <-terms
				if !errors.Is(tm.cause, ErrLost) || !near(tm.ended.Sub(cut), a.valid-2*time.Second, busy) {
					t.Errorf("it ended after %v: %v", tm.ended.Sub(cut), tm.cause)
				}
				second := <-after
				if d := time.Since(cut); second.Fence != 2 || !near(d, a.ttl-2*time.Second, maxPause+busy) {
					t.Errorf("%+v began after %v", second, d)
				}
				if d := time.Since(tm.ended); d < a.ttl/5 {
					t.Errorf("another one began %v after the end", d)
				}
			})
		})
	}
}

// The holder's answers come late, and so do the candidate's questions: whatever is
// in between, the holder stops first.
func TestASlowStoreBringsNoTwoHoldersTogether(t *testing.T) {
	t.Parallel()
	for phase := range 6 {
		t.Run(fmt.Sprint(phase), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := setup(t)
				a, holders := c.add(t)
				var renewed atomic.Pointer[time.Time]
				holders.set(func(_ context.Context, call func() error) error {
					at := time.Now()
					err := call()
					time.Sleep(4 * time.Second)
					if err == nil {
						renewed.Store(&at)
					}
					return err
				})
				began, terms, _ := a.runStay(t)
				<-began
				b, candidates := c.add(t)
				candidates.slow.Store(int64(4900 * time.Millisecond))
				after, _, _ := b.runStay(t)
				time.Sleep(time.Minute + time.Duration(phase)*time.Second)
				holders.set(hangs)
				tm := <-terms
				<-after
				if d := tm.ended.Sub(*renewed.Load()); d > a.valid {
					t.Errorf("it ended %v after the last renewal was sent", d)
				}
				if d := time.Since(*renewed.Load()); d < a.ttl {
					t.Errorf("another one began %v after the last renewal", d)
				}
			})
		})
	}
}

func TestARenewalAtTheLastMomentKeepsTheLease(t *testing.T) {
	t.Parallel()
	c := setup(t)
	a, _ := c.add(t)
	b, _ := c.add(t)
	as, bs := &watch{name: "work"}, &watch{name: "work"}
	if err := a.look(t.Context(), as); err != nil {
		t.Fatal(err)
	}
	g, err := a.take(t.Context(), as)
	if err != nil || g.Fence != 1 {
		t.Fatalf("got %+v, %v", g, err)
	}
	if err := b.look(t.Context(), bs); err != nil {
		t.Fatal(err)
	}
	if _, err := a.update(t.Context(), g.Held, func(*document) {}); err != nil {
		t.Fatal(err)
	}
	if g, err := b.take(t.Context(), bs); err != nil || g.Fence != 0 || peek(t, b).Holder != a.holder {
		t.Errorf("got %+v, %v; %+v", g, err, peek(t, b))
	}
}

func TestAStoreThatIsGoneForAMomentLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		a, store := c.add(t)
		began, terms, _ := a.runStay(t)
		<-began
		b, _ := c.add(t)
		after, _, _ := b.runStay(t)
		for _, fault := range []fault{gone, hangs, unanswered} {
			time.Sleep(time.Minute)
			store.set(fault)
			time.Sleep(5500 * time.Millisecond) // at least one renewal falls in there
			store.heal()
		}
		time.Sleep(time.Minute)
		if len(terms)+len(after) != 0 || peek(t, a).Fence != 1 {
			t.Errorf("got %+v", peek(t, a))
		}
		if !strings.Contains(c.log.String(), "can't be renewed") {
			t.Errorf("the log: %s", c.log)
		}
	})
}

func TestAHolderBehindACutNetworkIsFollowedAndRefused(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*mongotest.Server, testing.TB){"cut": (*mongotest.Server).Cut, "frozen": (*mongotest.Server).Freeze} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, database := mongotest.Start(t), mongotest.Database(t)
			specs := append(Specs(), ledgerSpec)
			away, here := openMongo(t, server.URI(), database, specs...), openMongo(t, server.DirectURI(), database, specs...)
			service := func(store docstore.Store) *Service {
				return New(Config{Store: store, TTL: time.Second, Log: slog.New(slog.DiscardHandler)})
			}
			began, terms, stop := service(away).runStay(t)
			first := <-began
			if err := write(away, first); err != nil {
				t.Fatal(err)
			}
			cut(server, t)
			after, _, _ := service(here).runStay(t)
			if tm := <-terms; !errors.Is(tm.cause, ErrLost) {
				t.Errorf("it ended with %v", tm.cause)
			}
			second := <-after
			if err := write(here, second); err != nil {
				t.Fatal(err)
			}
			stop()
			server.Mend(t)
			err := write(away, first)
			for errors.Is(err, docstore.ErrUnavailable) { // it may not know yet that the network is back
				err = write(away, first)
			}
			if !errors.Is(err, ErrLost) {
				t.Errorf("the former holder's write: %v", err)
			}
			if l := read(t, here); first.Fence >= second.Fence || !slices.Equal(l.Wrote, []Fence{first.Fence, second.Fence}) {
				t.Errorf("the ledger has %+v after %+v and %+v", l, first, second)
			}
		})
	}
}

func TestAClosedStoreEndsWorkAndIsAskedRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		a, store := c.add(t)
		began, terms, stop := a.runStay(t)
		<-began
		closed := time.Now()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if tm := <-terms; !errors.Is(tm.cause, ErrLost) || tm.ended.Sub(closed) > a.valid {
			t.Errorf("it ended after %v: %v", tm.ended.Sub(closed), tm.cause)
		}
		before := store.calls.Load()
		time.Sleep(time.Hour)
		if n := store.calls.Load() - before; n < 3600 || n > 2*3600 {
			t.Errorf("%d calls in an hour", n)
		}
		if n := strings.Count(c.log.String(), "can't be looked at"); n != 1 {
			t.Errorf("the log says it %d times", n)
		}
		stop()
	})
}

func TestATakeoverWaitsForTheGreaterTTL(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ holder, candidate time.Duration }{
		"the holder's":    {time.Minute, time.Second},
		"the candidate's": {time.Second, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				file := setup(t)
				dead := file.open(t)
				log := slog.New(slog.DiscardHandler)
				a := New(Config{Store: dead, TTL: c.holder, Log: log})
				began, _, _ := a.runStay(t)
				<-began
				dead.set(hangs)
				b := New(Config{Store: file.open(t), TTL: c.candidate, Log: log})
				died := time.Now()
				after, _, _ := b.runStay(t)
				<-after
				if d := time.Since(died); d < time.Minute || d > time.Minute+maxPause {
					t.Errorf("it began after %v", d)
				}
			})
		})
	}
}

func TestWhatWasTakenWithoutAnAnswerExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		a, store := c.add(t)
		began := time.Now()
		store.set(func(ctx context.Context, call func() error) error {
			if peek(t, c.service(store.Store)).Fence == 1 {
				store.heal()
				return call()
			}
			err := call()
			if errors.Is(err, docstore.ErrNotFound) { // the first look
				return err
			}
			return docstore.ErrUnavailable
		})
		working, _, _ := a.runStay(t)
		if held := <-working; held.Fence != 2 || time.Since(began) < a.ttl {
			t.Errorf("%+v after %v", held, time.Since(began))
		}
	})
}

func TestNobodyWorksUnderALeaseThatWasGivenTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		a, store := c.add(t)
		slow := func(_ context.Context, call func() error) error {
			err := call()
			time.Sleep(13 * time.Second)
			return err
		}
		store.set(slow)
		began, _, _ := a.runStay(t)
		time.Sleep(10 * time.Minute)
		if len(began) != 0 || peek(t, c.service(store.Store)).Fence < 10 {
			t.Errorf("%d times it began; %+v", len(began), peek(t, c.service(store.Store)))
		}
		store.heal()
		<-began
	})
}

func TestAPanicGoesOnAndTheLeaseExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		a, _ := c.add(t)
		func() {
			defer func() {
				if recover() != "a bug" {
					t.Error("the panic is gone")
				}
			}()
			a.Run(t.Context(), "work", func(context.Context, Held) error { panic("a bug") })
		}()
		if state := peek(t, a); state.Holder != a.holder {
			t.Errorf("got %+v", state)
		}
		panicked := time.Now()
		b, _ := c.add(t)
		began, _, _ := b.runStay(t)
		if held := <-began; held.Fence != 2 || time.Since(panicked) < a.ttl {
			t.Errorf("%+v after %v", held, time.Since(panicked))
		}
	})
}

func TestFencesGrowThoughTheDocumentIsDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup(t)
		a, store := c.add(t)
		began, terms, _ := a.runStay(t)
		<-began
		if err := store.Delete(t.Context(), spec.Collection, "work"); err != nil {
			t.Fatal(err)
		}
		if tm := <-terms; !errors.Is(tm.cause, ErrLost) || tm.ended.Sub(tm.began) > a.renew {
			t.Errorf("it ended after %v with %v", tm.ended.Sub(tm.began), tm.cause)
		}
		if held := <-began; held.Fence != 2 {
			t.Errorf("got %+v", held)
		}
	})
}

func TestAdmission(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ stored, held, after Fence }{{0, 1, 1}, {1, 1, 1}, {1, 7, 7}, {7, 6, 7}} {
		stored := c.stored
		err := Held{"work", c.held}.Admit(&stored)
		if stored != c.after || errors.Is(err, ErrLost) != (c.held < c.stored) {
			t.Errorf("%+v: %v, %v", c, stored, err)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s, _ := setup(t).add(t)
	for _, name := range []string{"a", "rollup.hourly-2_x", strings.Repeat("a", 64)} {
		if state, err := s.Peek(t.Context(), name); err != nil || state != (State{}) {
			t.Errorf("%q: %+v, %v", name, state, err)
		}
	}
	for _, name := range []string{"", "A", "a b", "ä", "a/b", "a\n", strings.Repeat("a", 65)} {
		if _, err := s.Peek(t.Context(), name); !errors.Is(err, ErrInvalidName) {
			t.Errorf("%q: %v", name, err)
		}
		for what, call := range map[string]func(){
			"Run":   func() { s.Run(t.Context(), name, nil) },
			"Every": func() { s.Every(t.Context(), name, time.Second, nil) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s takes %q", what, name)
					}
				}()
				call()
			}()
		}
	}
	for _, period := range []time.Duration{0, -1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Every takes a period of %v", period)
				}
			}()
			s.Every(t.Context(), "a", period, nil)
		}()
	}
}
