package errtrack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/errtrack/event"
	"manus/internal/processtest"
	"manus/internal/storetest"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"takes": takeForever, "uploads": uploadForever})
	m.Run()
}

// heardOf is an alert that was told, under its kind and occurrence.
type heardOf struct {
	ID      string `json:"_id"`
	Subject string `json:"subject"`
}

func (h heardOf) DocumentID() string { return h.ID }

var heardSpec = docstore.Spec{Collection: "test_heard", Of: heardOf{}}

func withHeard() []docstore.Spec { return append(Specs(), heardSpec) }

// listener is an inbox as a process has it, that writes into the store what it tells.
func listener(store docstore.Store, locks string, now func() time.Time) (*Service, error) {
	heard := docstore.NewCollection[heardOf](store, heardSpec)
	return New(Config{Store: store, Policy: DefaultPolicy(), Locks: locks, Now: now, Log: slog.New(slog.DiscardHandler), Tell: func(ctx context.Context, a Told) error {
		issue, _, _ := strings.Cut(a.Occurrence, "/")
		_, err := heard.Upsert(ctx, heardOf{a.Kind + " " + a.Occurrence, issue}, func(*heardOf, bool) error { return nil })
		return err
	}})
}

// takeForever takes events from many goroutines, and says of each when it is acknowledged.
func takeForever(args []string) error {
	ctx := context.Background()
	store, err := sqlitedocs.Open(ctx, args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(ctx, withHeard()...); err != nil {
		return err
	}
	s, err := listener(store, filepath.Dir(args[0]), nil)
	if err != nil {
		return err
	}
	go s.Run(ctx)
	seed, _ := strconv.ParseUint(args[1], 10, 64)
	fmt.Println("running")
	failed := make(chan error)
	for g := range uint64(16) {
		go func() {
			random := rand.New(rand.NewPCG(seed, g))
			for n := 0; ; n++ {
				bug := fmt.Sprint("bug", letters(random.IntN(20)))
				if random.IntN(20) == 0 {
					bug = "new" + letters(int(seed*1000+g*50)+n%50)
				}
				e := bugEvent(bug, fmt.Sprintf("%08x%08x%016x", seed, g, n-random.IntN(2))) // now and then the one before again
				if err := s.Take(ctx, "1", e); err != nil {
					failed <- err
					return
				}
				_, _ = os.Stdout.WriteString("took " + e.ID + "\n") // by one call, which a kill doesn't cut
			}
		}()
	}
	return <-failed
}

// letters is a number without digits, which grouping doesn't look at.
func letters(n int) string {
	return strings.Map(func(r rune) rune { return 'a' + r - '0' }, strconv.Itoa(n))
}

func bugEvent(bug, id string) *event.Event {
	return &event.Event{
		ID: id, Timestamp: time.Now(), Level: event.Error, Platform: "go", Release: "1.0.0", Environment: "production", Tags: map[string]string{"bug": bug},
		Exceptions: []event.Exception{{Type: "Error", Value: bug, Frames: []event.Frame{{Function: "main." + bug, Filename: bug + ".go", InApp: true}}}},
	}
}

// TestKilledProcessesLoseAndDoubleNoEvent: killed at any moment, one or two at once on a file,
// processes leave a store where the next one counts at once all that is kept, once.
func TestKilledProcessesLoseAndDoubleNoEvent(t *testing.T) {
	t.Parallel()
	const together = 20 // rounds in one file
	kills, acknowledged := processtest.Size(processtest.CrashRounds, 12), 0
	random := rand.New(rand.NewPCG(1, 2))
	for n := 0; n < kills; n += together {
		path := prepareFile(t)
		taken := map[string]bool{}
		for round := n; round < min(kills, n+together); round++ {
			var running []*processtest.Process
			for k := range 1 + random.IntN(2) {
				running = append(running, processtest.Start(t, "takes", path, fmt.Sprint(round*2+k+1)))
			}
			for _, p := range running {
				p.Await(t, "running")
			}
			for _, p := range running {
				time.Sleep(time.Duration(random.IntN(300_000)) * time.Microsecond) // any moment is right
				note(taken, p.Kill(t))
			}
			judgeFile(t, path, taken)
		}
		acknowledged += len(taken)
	}
	t.Logf("%d rounds, %d events acknowledged: each is kept and counted once", kills, acknowledged)
}

// TestAPausedProcessDoublesNothing: a process is stopped for so long that another one takes
// it for dead and counts what it has left; then it goes on.
func TestAPausedProcessDoublesNothing(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for round := range max(2, processtest.Size(processtest.CrashRounds, 12)/6) {
		path, taken := prepareFile(t), map[string]bool{}
		p := processtest.Start(t, "takes", path, fmt.Sprint(round+1))
		p.Await(t, "running")
		store := storetest.File(t, path, withHeard()...)
		late, err := listener(store, "", func() time.Time { return time.Now().Add(silentFor) })
		if err != nil {
			t.Fatal(err)
		}
		lines := make(chan string, 1<<16)
		var reading sync.WaitGroup
		reading.Go(func() {
			defer close(lines)
			for p.Lines.Scan() {
				lines <- p.Lines.Text()
			}
		})
		for range 3 {
			time.Sleep(time.Duration(random.IntN(60_000)) * time.Microsecond) // any moment is right
			signal(t, p, syscall.SIGSTOP)
			recovered := make(chan error, 1)
			go func() { recovered <- late.Recover(t.Context(), silentFor) }()
			select {
			case err = <-recovered:
			case <-time.After(300 * time.Millisecond): // it was stopped while it had the file's lock
			}
			signal(t, p, syscall.SIGCONT)
			if err == nil {
				select {
				case err = <-recovered:
				default:
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(50 * time.Millisecond) // it goes on
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for line := range lines {
			note(taken, []string{line})
		}
		reading.Wait()
		_ = p.Wait()
		judgeFile(t, path, taken)
	}
}

func signal(t *testing.T, p *processtest.Process, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func prepareFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.db")
	store := storetest.File(t, path, withHeard()...)
	s, err := listener(store, "", nil)
	if err == nil {
		_, err = s.NewProject(t.Context(), "Shop", "go")
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func note(taken map[string]bool, lines []string) {
	for _, line := range lines {
		if id, ok := strings.CutPrefix(line, "took "); ok && len(id) == 32 {
			taken[id] = true
		}
	}
}

// judgeFile has a process count what was left, and looks at all.
func judgeFile(t *testing.T, path string, taken map[string]bool) {
	t.Helper()
	store, err := sqlitedocs.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // nothing more is written
	if err := store.Declare(t.Context(), withHeard()...); err != nil {
		t.Fatal(err)
	}
	s, err := listener(store, filepath.Dir(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Recover(t.Context(), silentFor); err != nil {
		t.Fatal(err)
	}
	left, _, err := s.issues.Find(t.Context(), docstore.Query{Index: audit.PendingIndex.Name, Limit: docstore.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	for _, issue := range left { // rather than when they are stale
		if err := s.relay.Deliver(t.Context(), issue); err != nil {
			t.Fatal(err)
		}
	}
	judge(t, s, taken, true)
}

// judge looks whether each event that was acknowledged is kept, and each that is kept is
// counted, once; and what follows from that.
func judge(t *testing.T, s *Service, taken map[string]bool, words bool) {
	t.Helper()
	ctx := t.Context()
	perHash, ids := map[string]int64{}, map[string]string{}
	ranks := map[string]int64{}
	for k, err := range s.events.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			t.Fatal(err)
		}
		if ids[k.EventID] != "" {
			t.Errorf("the event %s is kept twice", k.EventID)
		}
		perHash[k.Group]++
		ids[k.EventID], ranks[k.ID] = k.Group, k.Rank
	}
	for id := range taken {
		if ids[id] == "" {
			t.Errorf("the event %s was acknowledged and isn't kept", id)
		}
	}
	if totals, err := s.totalsOf(ctx, "1"); err != nil || totals.Kept != int64(len(ids)) {
		t.Errorf("%d events are kept, and the totals say %d: %v", len(ids), totals.Kept, err)
	}
	left, _, err := s.writers.Find(ctx, docstore.Query{})
	if err != nil || words && len(left) > 0 {
		t.Errorf("%d processes have left something: %v", len(left), err)
	}
	heard := map[string]int{}
	for h, err := range docstore.NewCollection[heardOf](s.c.Store, heardSpec).All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(h.ID, IssueNew) {
			heard[h.Subject]++
		}
	}
	counted, of := int64(0), map[string]string{}
	for issue, err := range s.issues.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			t.Fatal(err)
		}
		if issue.Status == Merged {
			continue
		}
		counted += issue.Count
		sum := int64(0)
		for k, h := range issue.Hashes {
			if sum += issue.OfHash[k]; issue.OfHash[k] != perHash[h] {
				t.Errorf("%s has counted %d of %s, of which %d are kept", issue.Title, issue.OfHash[k], h, perHash[h])
			}
			if of[h] != "" {
				t.Errorf("%s belongs to two issues", h)
			}
			of[h] = issue.ID
			if known, err := s.hashes.Get(ctx, h); err != nil || known.Issue != issue.ID {
				t.Errorf("%s is said to belong to %s, not %s: %v", h, known.Issue, issue.ID, err)
			}
		}
		if sum != issue.Count {
			t.Errorf("%s has counted %d, and of its hashes %d", issue.Title, issue.Count, sum)
		}
		if !words {
			continue
		}
		if heard[issue.ID] != 1 {
			t.Errorf("%s was told as new with %d occurrences", issue.Title, heard[issue.ID])
		}
		if ranks[issue.First] != pinned {
			t.Errorf("the first event of %s isn't pinned", issue.Title)
		}
		for _, word := range []string{ofTag + "bug:" + issue.Value, ofText + "error", ofText + "go"} {
			if _, err := s.postings.Get(ctx, postingID("1", word, issue.ID)); err != nil {
				t.Errorf("%s isn't found by %s: %v", issue.Title, word, err)
			}
		}
	}
	if counted != int64(len(ids)) {
		t.Errorf("%d events are kept, and %d are counted", len(ids), counted)
	}
}

// TestCountingRacesWithDecisions: while events come to two copies, issues are merged, split,
// resolved and swept at random; each event is counted once, where its hash belongs.
func TestCountingRacesWithDecisions(t *testing.T) {
	t.Parallel()
	for seed := range uint64(max(1, processtest.Size(processtest.CrashRounds, 12)/12)) {
		store := storetest.New(t, withHeard()...)
		var copies []*Service
		for range 2 {
			s, err := listener(store, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			copies = append(copies, s)
		}
		if _, err := copies[0].NewProject(t.Context(), "Shop", "go"); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running, taking, deciding sync.WaitGroup
		var mu sync.Mutex
		taken := map[string]bool{}
		done := make(chan struct{})
		for k, s := range copies {
			running.Go(func() { s.Run(ctx) })
			for g := range uint64(8) {
				taking.Go(func() {
					random := rand.New(rand.NewPCG(seed, g))
					for n := range storetest.Size(50, 8) {
						e := bugEvent("bug"+letters(random.IntN(12)), fmt.Sprintf("%08x%08x%016x", k, g, n))
						if err := s.Take(t.Context(), "1", e); err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						taken[e.ID] = true
						mu.Unlock()
					}
				})
			}
			for g := range uint64(2) {
				deciding.Go(func() { decideAtRandom(t, s, rand.New(rand.NewPCG(seed, 100+g+uint64(k))), done) })
			}
		}
		taking.Wait()
		close(done)
		deciding.Wait()
		stop()
		running.Wait()
		for _, s := range copies {
			if err := errors.Join(s.Recover(t.Context(), 0), s.Sweep(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		judge(t, copies[0], taken, false)
		if t.Failed() {
			t.Fatalf("with the seed %d", seed)
		}
	}
}

// decideAtRandom merges, splits, resolves and sweeps until it is done.
func decideAtRandom(t *testing.T, s *Service, random *rand.Rand, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		issues, _, err := s.Issues(t.Context(), Search{})
		if err != nil {
			t.Error(err)
			return
		}
		if len(issues) < 2 {
			continue
		}
		one, other := issues[random.IntN(len(issues))], issues[random.IntN(len(issues))]
		switch random.IntN(5) {
		case 0:
			_, err = s.Merge(t.Context(), one.ID, other.ID)
		case 1, 2:
			var some []string
			for _, h := range one.Hashes {
				if random.IntN(2) == 0 {
					some = append(some, strings.TrimPrefix(h, "1/"))
				}
			}
			_, err = s.Split(t.Context(), one.ID, some)
		case 3:
			_, err = s.ChangeIssue(t.Context(), one.ID, IssueChange{Status: new([]Status{Resolved, Unresolved, Ignored}[random.IntN(3)])})
		case 4:
			if err = s.Sweep(t.Context()); err == nil {
				err = s.Recover(t.Context(), silentFor)
			}
		}
		if err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrNoIssue) && !errors.Is(err, ErrMergedAtOnce) && !errors.Is(err, docstore.ErrUnavailable) {
			t.Error(err)
		}
	}
}

// TestWhoHasWaitedLongWritesOnUnderANewName: others may have taken it for dead while what is
// counted took long, and a name that nobody knows any more is nobody's to recover.
func TestWhoHasWaitedLongWritesOnUnderANewName(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	for long, want := range map[time.Duration]bool{silentFor: true, 0: false} {
		full := r.newWriting(nil).next()
		full.by.places = maxBatch
		name, batches := full.by.id, make(chan batch)
		go func() {
			r.clock.Add(long)
			<-batches
		}()
		next := r.placesFor(1, full, batches, nil)
		if isNew := next.by.id != name; isNew != want || next.by.places != 0 || next.number != next.by.batch {
			t.Errorf("after %v it writes under a new name: %v, the batch %d", long, isNew, next.number)
		}
	}
}
