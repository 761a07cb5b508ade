//go:build unix

package lease

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/processtest"
)

func TestMain(m *testing.M) {
	roles := processtest.Roles{}
	for name, run := range map[string]func(docstore.Store) error{"dies": diesProcess, "sleeps": sleepsProcess} {
		roles[name] = func(args []string) error { return runProcess(args[0], run) }
	}
	processtest.Play(roles)
	m.Run()
}

func runProcess(path string, run func(docstore.Store) error) error {
	ctx := context.Background()
	store, err := sqlitedocs.Open(ctx, path)
	if err != nil {
		return err
	}
	if err := store.Declare(ctx, append(Specs(), ledgerSpec)...); err != nil {
		return err
	}
	return errors.Join(run(store), store.Close())
}

// ofProcesses is a service for tests in which time really passes.
func ofProcesses(store docstore.Store) *Service {
	return New(Config{Store: store, TTL: 300 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
}

// diesProcess holds the lease, and writes under it, until it is killed.
func diesProcess(store docstore.Store) error {
	go func() { processtest.UntilInputEnds(); os.Exit(0) }()
	ofProcesses(store).Run(context.Background(), "work", func(_ context.Context, held Held) error {
		for {
			if err := write(store, held); err != nil {
				return err
			}
			fmt.Println(held.Fence)
		}
	})
	return nil
}

// quiet lets nobody call the store while it is locked.
type quiet struct {
	docstore.Store
	sync.RWMutex
}

func (q *quiet) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	q.RLock()
	defer q.RUnlock()
	return q.Store.Get(ctx, collection, id)
}

func (q *quiet) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	q.RLock()
	defer q.RUnlock()
	return q.Store.Upsert(ctx, collection, id, change)
}

// sleepsProcess stops itself while it holds the lease, as the machine would that
// suspends it; once it is woken it writes under the lease that it had, as if
// nothing had happened. It stops between two calls of the store: SQLite's lock of
// the file would stop all other copies with it.
func sleepsProcess(store docstore.Store) error {
	leases := &quiet{Store: store}
	ctx, cancel := context.WithCancel(context.Background())
	ofProcesses(leases).Run(ctx, "work", func(work context.Context, held Held) error {
		defer cancel()
		if err := write(store, held); err != nil {
			return err
		}
		fmt.Println("claimed")
		leases.Lock()
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		_, err := bufio.NewReader(os.Stdin).ReadString('\n') // written while it is stopped
		leases.Unlock()
		fmt.Println("wrote", write(store, held), err)
		<-work.Done()
		fmt.Println("ended", context.Cause(work))
		return nil
	})
	return nil
}

func TestTheLeaseOfAProcessThatIsKilledGoesToAnother(t *testing.T) {
	t.Parallel()
	c := setup(t)
	store := c.open(t)
	var last Fence
	for range 3 {
		p := processtest.Start(t, "dies", c.path)
		for range 10 {
			p.Await(t, "")
		}
		if p.Kill(t); p.Log.Len() > 0 {
			t.Fatalf("before it was killed: %s", &p.Log)
		}
		its := read(t, store).Fence
		began, _, stop := ofProcesses(store).runStay(t)
		held := <-began
		if its <= last || held.Fence <= its {
			t.Errorf("the fence %d came after %d, and %d after that", its, last, held.Fence)
		}
		if err := write(store, held); err != nil {
			t.Error(err)
		}
		last = held.Fence
		stop()
	}
	if l := read(t, store); !slices.IsSorted(l.Wrote) || l.Fence != last {
		t.Errorf("the ledger has %+v", l)
	}
}

func TestAProcessThatSleptThroughItsLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	c := setup(t)
	store := c.open(t)
	p := processtest.Start(t, "sleeps", c.path)
	p.Await(t, "") // it has claimed the ledger
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it hasn't stopped: %v, %v", status, err)
	}
	its := read(t, store).Fence

	began, _, _ := ofProcesses(store).runStay(t)
	held := <-began
	if held.Fence <= its {
		t.Errorf("the fence %d came after %d", held.Fence, its)
	}
	if err := write(store, held); err != nil { // the claim
		t.Fatal(err)
	}

	if _, err := io.WriteString(p.Input, "go on\n"); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if line, want := p.Await(t, ""), fmt.Sprint("wrote ", ErrLost, " <nil>"); line != want {
		t.Errorf("%s; want %s", line, want)
	}
	if line, want := p.Await(t, ""), fmt.Sprint("ended ", ErrLost); line != want {
		t.Errorf("%s; want %s", line, want)
	}
	if p.End(t); p.Log.Len() > 0 {
		t.Errorf("at its end: %s", &p.Log)
	}
	if l := read(t, store); !slices.Equal(l.Wrote, []Fence{its, held.Fence}) || l.Fence != held.Fence {
		t.Errorf("the ledger has %+v", l)
	}
}
