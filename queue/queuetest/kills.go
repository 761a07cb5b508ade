package queuetest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/processtest"
	"manus/queue"
)

func killRules() []rule {
	return []rule{
		{"killed copies lose nothing and have done twice only what they had in hand", kills},
		{"what killed copies have done stays listed and isn't done again when it is put again", killedKeepers},
		{"killed copies discard nothing that nobody was told of", killedTellers},
		{"a copy killed between telling of a discard and writing it down has it told again", killedBetween},
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

// What a process does says the first word of its name.
const (
	thatWorks    = "works"    // and fails now and then
	thatKeeps    = "keeps"    // what is done, and puts it again
	thatHangs    = "hangs"    // with what it has in hand
	thatDiscards = "discards" // much of what it works at, and fails to tell of it now and then
	thatCloses   = "closes"   // the store to changes, once it has told of what it discards
)

// configure has a queue do that. It changes jobs in the store.
func configure(kind string, c *queue.Config[task], store *closing) {
	switch kind {
	case thatKeeps:
		c.KeepDone = time.Hour
	case thatDiscards:
		c.KeepDead, c.MaxAttempts = time.Hour, 2
		c.Work = func(_ context.Context, job queue.Job[task]) error {
			if n := rand.N(4); n > 0 {
				return []error{errNo, queue.Cancel(errNo), queue.Cancel(errNo)}[n-1]
			}
			say("did", job.ID)
			return nil
		}
		c.OnDiscard = func(_ context.Context, job queue.Job[task], _ error) error {
			if rand.N(3) == 0 {
				return errNo
			}
			say("told", job.ID)
			return nil
		}
	case thatHangs:
		c.Work = func(ctx context.Context, job queue.Job[task]) error {
			say("begins", job.ID)
			<-ctx.Done()
			return ctx.Err()
		}
	case thatCloses:
		c.KeepDead, c.Work = time.Hour, cancels
		c.OnDiscard = func(_ context.Context, job queue.Job[task], _ error) error {
			store.closed.Store(true)
			say("told", job.ID)
			return nil
		}
	}
}

func cancels(context.Context, queue.Job[task]) error { return queue.Cancel(errNo) }

// closing is a store in which no document changes any more once it is closed.
type closing struct {
	docstore.Store
	closed atomic.Bool
}

// Upsert waits for its context's end then.
func (c *closing) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	if c.closed.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return c.Store.Upsert(ctx, collection, id, change)
}

// putAndWork puts jobs and works at jobs, and says so, until its input ends.
func putAndWork(store docstore.Store, name string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { processtest.UntilInputEnds(); stop() }()
	if err := store.Declare(context.Background(), Specs()...); err != nil {
		return err
	}
	kind := strings.Fields(name)[0]
	gate := &closing{Store: store}
	c := queue.Config[task]{
		Store: gate, Collection: collection, Noun: "task", PerLane: processLane, Claim: processClaim,
		FirstRetry: 20 * time.Millisecond, LastRetry: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Work: func(_ context.Context, job queue.Job[task]) error {
			if rand.N(10) == 0 {
				return errNo
			}
			say("did", job.ID)
			return nil
		},
	}
	configure(kind, &c, gate)
	q := queue.New(c)
	var putting sync.WaitGroup
	for i := range 4 {
		putting.Go(func() { putMany(ctx, q, fmt.Sprint(name, "/", i), kind == thatKeeps) })
	}
	q.Run(ctx)
	putting.Wait()
	return store.Close()
}

func putMany(ctx context.Context, q *queue.Queue[task], name string, again bool) {
	for i := 0; ctx.Err() == nil; i++ {
		id := fmt.Sprint(name, "/", i)
		if q.Put(ctx, queue.Job[task]{ID: id, Lane: fmt.Sprint("lane", rand.N(3))}) == nil {
			say("put", id)
		}
		if again {
			_ = q.Put(ctx, queue.Job[task]{ID: fmt.Sprint(name, "/", rand.N(i+1))}) // which it may have been already
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
	put       map[string]bool
	did, told map[string][]*process
	said      chan heard
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
	case "told":
		l.told[h.id] = append(l.told[h.id], h.by)
	}
}

// killMany runs copies that do something, kills some of them, and has the others end.
func (s *site) killMany(t *testing.T, kind string) (l ledger, times int) {
	t.Helper()
	const copies = 3
	times = min(12, s.many/25)
	l = ledger{put: map[string]bool{}, did: map[string][]*process{}, told: map[string][]*process{}, said: make(chan heard, 1<<20)}
	var living []*process
	for i := range copies + times {
		if i >= copies {
			l.hear(t, 20+rand.N(min(300, s.many)))
			victim := rand.N(copies)
			living[victim].kill(t)
			living = append(living[:victim], living[victim+1:]...)
		}
		living = append(living, s.start(t, fmt.Sprint(kind, " ", i), l.said))
	}
	for _, p := range living {
		p.end(t)
	}
	close(l.said)
	for h := range l.said {
		l.note(h)
	}
	return l, times
}

func kills(t *testing.T, s *site) {
	l, times := s.killMany(t, thatWorks)
	// What killed ones had claimed is left. It is this copy's when the claims are over.
	last := s.worker(t, done)
	l.finish(t, last)
	last.wantLeft(t, "at the end")
	l.check(t, times)
}

// finish has a copy do what is left when no claims are.
func (l *ledger) finish(t *testing.T, last *worker) {
	t.Helper()
	last.clock.Set(time.Now().Add(processClaim))
	last.drain(t)
	for _, id := range last.worked() {
		l.did[id] = append(l.did[id], nil)
	}
}

// all are the jobs in a state, by id.
func (w *worker) all(t *testing.T, state queue.State) map[string]queue.Job[task] {
	t.Helper()
	all := map[string]queue.Job[task]{}
	for cursor := ""; ; {
		page, next, err := w.List(t.Context(), state, docstore.MaxLimit, cursor)
		must(t, err)
		for _, job := range page {
			all[job.ID] = job
		}
		if cursor = next; cursor == "" {
			return all
		}
	}
}

func killedKeepers(t *testing.T, s *site) {
	l, times := s.killMany(t, thatKeeps)
	last := s.worker(t, done, func(c *queue.Config[task]) { c.KeepDone = time.Hour })
	l.finish(t, last)
	last.wantListed(t, queue.Pending)
	kept := last.all(t, queue.Done)
	for id := range l.put {
		if job := kept[id]; job.DoneAt.IsZero() {
			t.Errorf("%s is kept as %+v", id, job)
		}
	}
	for id := range kept {
		l.put[id] = true // by one that was killed before it said so
	}
	l.check(t, times)
}

func killedTellers(t *testing.T, s *site) {
	l, times := s.killMany(t, thatDiscards)
	var o told
	last := s.worker(t, cancels, o.onDiscard, func(c *queue.Config[task]) { c.KeepDead = time.Hour })
	last.clock.Set(time.Now().Add(processClaim))
	last.drain(t)
	for _, job := range o.jobs {
		l.told[job.ID] = append(l.told[job.ID], nil)
	}
	last.wantListed(t, queue.Pending)
	dead, again := last.all(t, queue.Dead), 0
	for id := range dead {
		if len(l.told[id]) == 0 {
			t.Errorf("%s is dead, and nobody was told", id)
		}
		again += max(0, len(l.told[id])-1)
	}
	for id := range l.put {
		if _, ok := dead[id]; !ok && len(l.did[id]) == 0 {
			t.Errorf("%s is lost", id)
		}
	}
	if most := times * 3 * processLane; again > most {
		t.Errorf("%d kills had %d discards told again; at most %d were in hand", times, again, most)
	}
	t.Logf("%d kills: %d jobs put, %d dead, %d told again", times, len(l.put), len(dead), again)
}

func killedBetween(t *testing.T, s *site) {
	said := make(chan heard, 1<<20)
	p := s.start(t, thatCloses, said)
	before := map[string]bool{}
	for len(before) < 3*processLane { // all that it takes in hand
		if h := <-said; h.verb == "told" {
			before[h.id] = true
		}
	}
	p.kill(t)
	var o told
	w := s.worker(t, cancels, o.onDiscard, func(c *queue.Config[task]) { c.KeepDead = time.Hour })
	if dead := w.all(t, queue.Dead); len(dead) > 0 {
		t.Errorf("they are dead already: %v", dead)
	}
	w.clock.Set(time.Now().Add(processClaim))
	w.drain(t)
	dead := w.all(t, queue.Dead)
	for _, job := range o.jobs {
		delete(before, job.ID)
		if dead[job.ID].Error != "no" {
			t.Errorf("%s was told of, and is %+v", job.ID, dead[job.ID])
		}
	}
	if len(before) > 0 || len(dead) != len(o.jobs) {
		t.Errorf("not told again: %v; %d are dead, %d were told of", before, len(dead), len(o.jobs))
	}
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
	p := s.start(t, thatHangs, said)
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
