package errtrack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"manus/internal/waittest"
)

// TestProjectsTakeTurns: what waits is taken from all projects in turn, of each in its order.
func TestProjectsTakeTurns(t *testing.T) {
	t.Parallel()
	var line turns[string]
	for n := range 5 {
		line.join("storm", fmt.Sprint("s", n))
	}
	line.join("a", "a0")
	line.join("b", "b0")
	line.join("b", "b1")
	if line.leave("b", "a0") || !line.leave("storm", "s3") || !line.leave("a", "a0") || line.leave("a", "a0") {
		t.Error("what isn't there leaves, or what is there doesn't")
	}
	var all []string
	for {
		one, some := line.take()
		if !some {
			break
		}
		if all = append(all, one); one == "s1" {
			line.join("c", "c0")
		}
	}
	if got := strings.Join(all, " "); got != "s0 b0 s1 b1 s2 c0 s4" || len(line.lines) > 0 || len(line.next) > 0 {
		t.Errorf("taken were %s, and left are %v", got, line)
	}
}

// TestAStormLeavesRoomForOthers: a project that sends more than there is room for is refused, and
// what another one sends is taken, and is kept by the next commit.
func TestAStormLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	intake := newIntake()
	w := &intake.waiting
	arrives := func(project string, size int64) *arrival {
		return &arrival{kept: kept{Project: project}, size: size}
	}
	stormed := 0
	for w.join(arrives("storm", 8<<10)) {
		stormed++
	}
	if stormed != maxWaiting/2/(8<<10) {
		t.Errorf("%d wait of a storm", stormed)
	}
	quiet := arrives("quiet", 1<<20)
	if !w.join(quiet) {
		t.Fatal("another project's is refused")
	}
	next := w.take(4, batchBytes)
	if len(next) != 4 || next[1] != quiet {
		t.Errorf("the next commit is %+v", next)
	}
	if w.join(arrives("storm", 8<<10)) {
		t.Error("there is room for the storm before something of it was kept")
	}
	for _, a := range next {
		w.leave(a)
	}
	if !w.join(arrives("storm", 8<<10)) || w.bytes["quiet"] != 0 || w.all != w.bytes["storm"] {
		t.Errorf("there is no room again: %d, %v", w.all, w.bytes)
	}
}

// TestTheGateLetsProjectsInByTurns: one of another project needn't wait for all of a storm, and who
// gives up takes nobody's place.
func TestTheGateLetsProjectsInByTurns(t *testing.T) {
	t.Parallel()
	g := gate{free: 1}
	if err := g.enter(t.Context(), "storm"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	var all sync.WaitGroup
	inLine := func(project string) int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.turns.lines[project])
	}
	waits := func(ctx context.Context, project string) {
		before := inLine(project)
		all.Go(func() {
			if g.enter(ctx, project) != nil {
				return
			}
			mu.Lock()
			order = append(order, project)
			mu.Unlock()
			g.leave()
		})
		waittest.Poll(t, func() bool { return inLine(project) > before })
	}
	waits(t.Context(), "storm")
	waits(t.Context(), "storm")
	waits(t.Context(), "storm")
	leaving, leave := context.WithCancelCause(t.Context())
	waits(leaving, "gone")
	waits(t.Context(), "quiet")
	leave(ErrBusy)
	waittest.Poll(t, func() bool { return inLine("gone") == 0 })
	g.leave()
	all.Wait()
	if got := strings.Join(order, " "); got != "storm quiet storm storm" || g.free != 1 {
		t.Errorf("in came %s, and %d are free", got, g.free)
	}
	if err := g.enter(leaving, "late"); err != nil { // there is a place
		t.Error(err)
	}
	if err := g.enter(leaving, "late"); !errors.Is(err, ErrBusy) {
		t.Errorf("who gives up is told %v", err)
	}
}
