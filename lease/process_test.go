//go:build unix

package lease

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
)

// processVariable makes the test binary another copy of the program, which a test
// can kill or stop.
const processVariable = "MANUS_TEST_PROCESS"

func TestMain(m *testing.M) {
	processes := map[string]func(store docstore.Store) error{"dies": diesProcess, "sleeps": sleepsProcess}
	run, ok := processes[os.Getenv(processVariable)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := runProcess(os.Args[1], run); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
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
	go func() { // never outlive the parent
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
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

// process is the test binary running as another copy of the program.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr bytes.Buffer
}

// startProcess runs what is called name on the file. It is killed at the latest
// when t ends.
func startProcess(t *testing.T, name, path string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(t.Context(), self, path)}
	p.cmd.Env = append(os.Environ(), processVariable+"="+name)
	p.cmd.Stderr = &p.stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin, p.lines = stdin, bufio.NewScanner(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// line is the next one that the process prints.
func (p *process) line(t *testing.T) string {
	t.Helper()
	if !p.lines.Scan() {
		t.Fatalf("it has ended: %v: %s", p.cmd.Wait(), &p.stderr)
	}
	return p.lines.Text()
}

func TestTheLeaseOfAProcessThatIsKilledGoesToAnother(t *testing.T) {
	t.Parallel()
	c := setup(t)
	store := c.open(t)
	var last Fence
	for range 3 {
		p := startProcess(t, "dies", c.path)
		for range 10 {
			p.line(t)
		}
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for p.lines.Scan() { // what it still wrote
		}
		if err := p.cmd.Wait(); err == nil || p.stderr.Len() > 0 {
			t.Fatalf("it ended before it was killed: %v: %s", err, &p.stderr)
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
	p := startProcess(t, "sleeps", c.path)
	p.line(t) // it has claimed the ledger
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
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

	if _, err := io.WriteString(p.stdin, "go on\n"); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if line, want := p.line(t), fmt.Sprint("wrote ", ErrLost, " <nil>"); line != want {
		t.Errorf("%s; want %s", line, want)
	}
	if line, want := p.line(t), fmt.Sprint("ended ", ErrLost); line != want {
		t.Errorf("%s; want %s", line, want)
	}
	if err := p.cmd.Wait(); err != nil || p.stderr.Len() > 0 {
		t.Errorf("it ended with %v: %s", err, &p.stderr)
	}
	if l := read(t, store); !slices.Equal(l.Wrote, []Fence{its, held.Fence}) || l.Fence != held.Fence {
		t.Errorf("the ledger has %+v", l)
	}
}
