package queuetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/processtest"
	"manus/queue"
)

func killRules() []rule {
	return []rule{
		{"killed copies lose nothing and have done twice only what they had in hand", kills},
		{"the jobs of a killed copy come back when its claims run out", killedClaims},
	}
}

const processLane, processClaim = 3, 30 * time.Second

// Roles are what processes of the suite do, for TestMain to play; open opens the store
// at the [Place] that args stand for.
func Roles(open func(args []string) (docstore.Store, error)) processtest.Roles {
	return processtest.Roles{role: func(args []string) error {
		store, err := open(args[1:])
		if err != nil {
			return err
		}
		return putAndWork(store, args[0])
	}}
}

// role is that of a copy of the program.
const role = "copy"

// putAndWork puts jobs and works at jobs, and says so, until its input ends. Its name
// says which of the rules it is for.
func putAndWork(store docstore.Store, name string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { processtest.UntilInputEnds(); stop() }()
	if err := store.Declare(context.Background(), Specs()...); err != nil {
		return err
	}
	q := queue.New(queue.Config[task]{
		Store: store, Collection: collection, Noun: "task", PerLane: processLane, Claim: processClaim,
		FirstRetry: 20 * time.Millisecond, LastRetry: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Work: func(ctx context.Context, job queue.Job[task]) error {
			say("begins", job.ID)
			if strings.HasPrefix(name, "hangs") {
				<-ctx.Done()
				return ctx.Err()
			}
			if rand.N(10) == 0 {
				return errors.New("no")
			}
			say("did", job.ID)
			return nil
		},
	})
	var putting sync.WaitGroup
	for i := range 4 {
		putting.Go(func() { putMany(ctx, q, fmt.Sprint(name, "/", i)) })
	}
	q.Run(ctx)
	putting.Wait()
	return store.Close()
}

func putMany(ctx context.Context, q *queue.Queue[task], name string) {
	for i := 0; ctx.Err() == nil; i++ {
		id := fmt.Sprint(name, "/", i)
		if q.Put(ctx, queue.Job[task]{ID: id, Lane: fmt.Sprint("lane", rand.N(3))}) == nil {
			say("put", id)
		}
	}
}

// say is one call, so a killed process says nothing by half.
func say(words ...string) {
	_, _ = os.Stdout.WriteString(strings.Join(words, " ") + "\n")
}

// process is another copy of the program.
type process struct {
	*processtest.Process
	ended  chan struct{} // all that it said has been heard
	killed bool
}

// heard is what a process said.
type heard struct {
	by       *process
	verb, id string
}

// start runs a process. What it says goes to said.
func (s *site) start(t *testing.T, name string, said chan<- heard) *process {
	t.Helper()
	p := &process{Process: processtest.Start(t, role, append([]string{name}, s.args...)...), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for p.Lines.Scan() {
			verb, id, _ := strings.Cut(p.Lines.Text(), " ")
			said <- heard{p, verb, id}
		}
	}()
	return p
}

// kill ends the process as a power cut would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.killed = true
	must(t, p.Cmd.Process.Kill())
	<-p.ended
	if p.Kill(t); p.Log.Len() > 0 {
		t.Fatalf("before it was killed: %s", &p.Log)
	}
}

// end has the process stop by itself.
func (p *process) end(t *testing.T) {
	t.Helper()
	must(t, p.Input.Close())
	<-p.ended
	p.End(t)
}

// ledger is what all processes have said.
type ledger struct {
	put  map[string]bool
	did  map[string][]*process
	said chan heard
}

// hear takes in so much of what is said.
func (l *ledger) hear(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case h := <-l.said:
			l.note(h)
		case <-time.After(time.Minute):
			t.Fatal("nobody says anything any more")
		}
	}
}

func (l *ledger) note(h heard) {
	switch h.verb {
	case "put":
		l.put[h.id] = true
	case "did":
		l.did[h.id] = append(l.did[h.id], h.by)
	}
}

func kills(t *testing.T, s *site) {
	const copies = 3
	times := min(12, s.many/25)
	l := ledger{put: map[string]bool{}, did: map[string][]*process{}, said: make(chan heard, 1<<20)}
	var living []*process
	for i := range copies + times {
		if i >= copies {
			l.hear(t, 20+rand.N(min(300, s.many)))
			victim := rand.N(copies)
			living[victim].kill(t)
			living = append(living[:victim], living[victim+1:]...)
		}
		living = append(living, s.start(t, fmt.Sprint("works", i), l.said))
	}
	for _, p := range living {
		p.end(t)
	}
	close(l.said)
	for h := range l.said {
		l.note(h)
	}
	// What killed ones had claimed is left. It is this copy's when the claims are over.
	last := s.worker(t, done)
	last.clock.Set(time.Now().Add(processClaim))
	last.drain(t)
	last.wantLeft(t, "at the end")
	for _, id := range last.worked() {
		l.did[id] = append(l.did[id], nil)
	}
	l.check(t, times)
}

// check wants each job done, and each one that was done more than once to have been so
// by processes that were killed, but for once.
func (l *ledger) check(t *testing.T, kills int) {
	t.Helper()
	again := 0
	for id := range l.put {
		if len(l.did[id]) == 0 {
			t.Errorf("%s is lost", id)
		}
	}
	for id, by := range l.did {
		again += len(by) - 1
		unexplained := -1
		for _, p := range by {
			if p == nil || !p.killed {
				unexplained++
			}
		}
		if unexplained > 0 {
			t.Errorf("%s was done %d times, of which no kill explains %d", id, len(by), unexplained)
		}
	}
	if most := kills * 3 * processLane; again > most {
		t.Errorf("%d kills had %d jobs done again; at most %d were in hand", kills, again, most)
	}
	t.Logf("%d kills: %d jobs put, %d done, %d of them again", kills, len(l.put), len(l.did), again)
}

func killedClaims(t *testing.T, s *site) {
	said := make(chan heard, 1<<20)
	p := s.start(t, "hangs", said)
	begun := map[string]bool{}
	for len(begun) < 3*processLane { // all that it takes in hand
		if h := <-said; h.verb == "begins" {
			begun[h.id] = true
		}
	}
	p.kill(t)
	before := time.Now()
	w := s.worker(t, done)
	w.clock.Set(before)
	w.drain(t)
	for _, id := range w.worked() {
		if begun[id] {
			t.Errorf("%s is claimed, and was worked at", id)
		}
	}
	n := len(w.worked())
	w.clock.Add(processClaim)
	w.drain(t)
	if got := len(w.worked()) - n; got != len(begun) {
		t.Errorf("%d of %d come back", got, len(begun))
	}
	w.wantLeft(t, "then")
}
