package audit

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"manus/docstore/sqlitedocs"
	"manus/internal/processtest"
	"manus/internal/storetest"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"buys": buyForever})
	m.Run()
}

// buyForever says what it has just done, and waits until it is told to go on.
func buyForever(args []string) error {
	ctx := context.Background()
	store, err := sqlitedocs.Open(ctx, args[0])
	if err == nil {
		err = store.Declare(ctx, append(Specs(), orderSpec)...)
	}
	if err != nil {
		return err
	}
	stdin := bufio.NewReader(os.Stdin)
	say := func(what string) error {
		fmt.Println(what)
		_, err := stdin.ReadByte()
		return err
	}
	s := newShop(store)
	s.then = func(Event) error { return say("written") }
	for {
		o, err := s.Aggregates.Upsert(ctx, order{ID: "a"}, s.bought)
		if err == nil {
			err = say("bought")
		}
		if err == nil {
			err = s.Deliver(ctx, o)
		}
		if err == nil {
			err = say("delivered")
		}
		if err != nil {
			return err
		}
	}
}

// Killed between any two steps, a process leaves a line of each change, in the log or
// in the outbox, and the next one delivers what is left.
func TestAKilledProcessLosesNoEvent(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := newShop(storetest.File(t, path, append(Specs(), orderSpec)...))
	s.clock.Add(time.Minute)
	for round, last := range []string{"bought", "written", "delivered", "bought"} {
		runUntil(t, path, last, 1+round)
		o, err := s.Aggregates.Get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if left := len(o.Events); (left == 0) != (last == "delivered") {
			t.Errorf("killed after %q, it left %d events", last, left)
		}
		if err := s.DeliverStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(s.written(t)); n != o.Total || s.waiting(t, "a") != 0 {
			t.Fatalf("of %d changes the log has %d, and %d wait", o.Total, n, s.waiting(t, "a"))
		}
	}
}

// runUntil runs a child until it has said something n times, and kills it.
func runUntil(t *testing.T, path, what string, n int) {
	t.Helper()
	p := processtest.Start(t, "buys", path)
	for {
		if p.Await(t, "") == what {
			n--
		}
		if n == 0 {
			break
		}
		_, _ = fmt.Fprintln(p.Input)
	}
	p.Kill(t)
}
