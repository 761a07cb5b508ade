//go:build unix

package sqlitedocs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"manus/docstore"
	"manus/internal/processtest"
)

// entry is written once. Its fields say the same in several ways.
type entry struct {
	ID     string `json:"_id"` // worker/number/place
	Worker string `json:"worker"`
	Number int    `json:"number"`
	Label  string `json:"label"`
	Text   string `json:"text"`
}

func (e entry) DocumentID() string { return e.ID }

func newEntry(worker string, number, place int) entry {
	id := fmt.Sprintf("%s/%d/%d", worker, number, place)
	return entry{ID: id, Worker: worker, Number: number, Label: "the " + id, Text: strings.Repeat(id, 50)}
}

// tally is counted up by several workers. Total is the sum of By.
type tally struct {
	ID    string         `json:"_id"`
	By    map[string]int `json:"by"`
	Total int            `json:"total"`
}

func (v tally) DocumentID() string { return v.ID }

var (
	entrySpec = docstore.Spec{Collection: "entries", Indexes: []docstore.Index{
		{Name: "by_worker", Fields: []string{"worker", "number"}},
		{Name: "by_label", Fields: []string{"label"}, Unique: true},
	}}
	tallySpec = docstore.Spec{Collection: "tallies"}
)

// books are both collections of one store.
type books struct {
	*Store
	entries *docstore.Collection[entry]
	tallies *docstore.Collection[tally]
}

func openBooks(ctx context.Context, path string) (books, error) {
	s, err := Open(ctx, path)
	if err != nil {
		return books{}, err
	}
	return books{s, docstore.NewCollection[entry](s, entrySpec), docstore.NewCollection[tally](s, tallySpec)},
		s.Declare(ctx, entrySpec, tallySpec)
}

// crashProcess writes from many goroutines until it is killed. It prints what
// has been acknowledged, and what it is about to delete.
func crashProcess(args []string) error {
	go func() { processtest.UntilInputEnds(); os.Exit(0) }()
	var out printer
	out.line("started")
	b, err := openBooks(context.Background(), args[0])
	if err != nil {
		return err
	}
	failed := make(chan error)
	for w := range 8 {
		go func() { failed <- b.work(&out, fmt.Sprintf("%d-%d", os.Getpid(), w)) }()
	}
	return <-failed
}

func (b books) work(out *printer, worker string) error {
	ctx := context.Background()
	for i := 0; ; i++ {
		if err := b.entries.Insert(ctx, newEntry(worker, i, 0), newEntry(worker, i, 1), newEntry(worker, i, 2)); err != nil {
			return err
		}
		out.line("stored %s/%d", worker, i)

		own, err := b.tallies.Upsert(ctx, tally{ID: worker, By: map[string]int{}}, func(v *tally, _ bool) error { v.By[worker]++; v.Total++; return nil })
		if err != nil {
			return err
		}
		out.line("counted %s %s %d", worker, worker, own.Total)

		counts := make([]int, 3)
		if err := errors.Join(b.Batch(ctx, b.increments(worker, counts))...); err != nil {
			return err
		}
		for shared, count := range counts {
			out.line("counted shared%d %s %d", shared, worker, count)
		}

		if i%3 == 2 {
			gone := newEntry(worker, i-2, 0).ID
			out.line("deleting %s", gone)
			if err := b.entries.Delete(ctx, gone); err != nil {
				return err
			}
			out.line("deleted %s", gone)
		}
	}
}

// increments counts the worker up in a shared tally for each of counts, which
// get the new values.
func (b books) increments(worker string, counts []int) []docstore.Change {
	changes := make([]docstore.Change, len(counts))
	for i := range counts {
		id := fmt.Sprintf("shared%d", i)
		changes[i] = docstore.Change{Collection: tallySpec.Collection, ID: id, Apply: func(old docstore.Raw) (docstore.Raw, error) {
			v := tally{ID: id, By: map[string]int{}}
			if old != nil {
				if err := b.Codec().Decode(old, &v); err != nil {
					return nil, err
				}
			}
			v.By[worker]++
			v.Total++
			counts[i] = v.By[worker]
			return b.Codec().Encode(v)
		}}
	}
	return changes
}

// ledger is what a test knows of the writes of other processes.
type ledger struct {
	stored   map[string]bool           // worker/number of acknowledged inserts
	counted  map[string]map[string]int // tally and worker: the last acknowledged count
	deleting map[string]bool           // entries that may be gone
	deleted  map[string]bool           // those that are
}

func (l *ledger) note(line string) {
	switch words := strings.Fields(line); words[0] {
	case "stored":
		l.stored[words[1]] = true
	case "counted":
		if l.counted[words[1]] == nil {
			l.counted[words[1]] = map[string]int{}
		}
		count, _ := strconv.Atoi(words[3])
		l.counted[words[1]][words[2]] = count
	case "deleting":
		l.deleting[words[1]] = true
	case "deleted":
		l.deleted[words[1]] = true
	}
}

func TestAProcessKilledAtAnyMomentHasEveryAcknowledgedWriteAndNoHalfOfAnother(t *testing.T) {
	t.Parallel()
	rounds := processtest.Size(processtest.CrashRounds, 12)
	path := filepath.Join(t.TempDir(), "manus.db")
	l := &ledger{map[string]bool{}, map[string]map[string]int{}, map[string]bool{}, map[string]bool{}}
	random := rand.New(rand.NewPCG(2, 12))
	for round := range rounds {
		p := processtest.Start(t, "crash", path)
		last := random.IntN(1000)
		if round%4 == 0 {
			last = random.IntN(3) // while it opens the file
		}
		for range last + 1 {
			l.note(p.Await(t, ""))
		}
		for _, line := range p.Kill(t) {
			l.note(line)
		}
		if p.Log.Len() > 0 {
			t.Fatalf("before it was killed: %s", &p.Log)
		}
		l.check(t, path)
		if t.Failed() {
			t.Fatalf("after round %d, killed at line %d", round, last)
		}
	}
	if len(l.stored) == 0 || len(l.deleted) == 0 || len(l.counted) == 0 {
		t.Error("the processes did nothing")
	}
}

// check compares the file with the ledger.
func (l *ledger) check(t *testing.T, path string) {
	t.Helper()
	b, err := openBooks(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	checkIntegrity(t, b.Store)
	l.checkEntries(t, b)
	l.checkTallies(t, b)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func checkIntegrity(t *testing.T, s *Store) {
	t.Helper()
	var verdict any
	err := s.read(t.Context(), func(r *conn) (err error) { verdict, err = r.value("PRAGMA integrity_check"); return err })
	if err != nil || verdict != "ok" {
		t.Errorf("the file's integrity: %s, %v", verdict, err)
	}
}

// readAll is the values that an index holds, by their ids.
func readAll[T docstore.Entity](t *testing.T, c *docstore.Collection[T], index string) map[string]T {
	t.Helper()
	all := map[string]T{}
	q := docstore.Query{Index: index, Limit: docstore.MaxLimit}
	for {
		values, next, err := c.Find(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			all[v.DocumentID()] = v
		}
		if next == "" {
			return all
		}
		q.Cursor = next
	}
}

func (l *ledger) checkEntries(t *testing.T, b books) {
	t.Helper()
	entries := readAll(t, b.entries, "")
	for _, index := range entrySpec.Indexes {
		if indexed := readAll(t, b.entries, index.Name); len(indexed) != len(entries) {
			t.Errorf("the index %s has %d of %d documents", index.Name, len(indexed), len(entries))
		}
	}
	for id, v := range entries {
		place := strings.LastIndex(id, "/")
		n, err := strconv.Atoi(id[place+1:])
		if err != nil || v != newEntry(v.Worker, v.Number, n) {
			t.Errorf("half a document: %+v", v)
		}
		for before := range n { // what an insert leaves is a prefix
			former := newEntry(v.Worker, v.Number, before).ID
			if _, ok := entries[former]; !ok && !l.deleting[former] {
				t.Errorf("%s is there without %s", id, former)
			}
		}
		if l.deleted[id] {
			t.Errorf("%s was deleted, yet it is there", id)
		}
	}
	for stored := range l.stored {
		for place := range 3 {
			id := fmt.Sprintf("%s/%d", stored, place)
			if _, ok := entries[id]; !ok && !l.deleting[id] {
				t.Errorf("%s was acknowledged, yet it is not there", id)
			}
		}
	}
}

func (l *ledger) checkTallies(t *testing.T, b books) {
	t.Helper()
	tallies := readAll(t, b.tallies, "")
	for id, v := range tallies {
		sum := 0
		for worker, count := range v.By {
			sum += count
			if was := l.counted[id][worker]; count != was && count != was+1 { // the last one may have been under way
				t.Errorf("%s of %s: %d was acknowledged, there is %d", worker, id, was, count)
			}
		}
		if sum != v.Total {
			t.Errorf("half a change: %+v", v)
		}
	}
	for id, workers := range l.counted {
		for worker := range workers {
			if tallies[id].By[worker] == 0 {
				t.Errorf("%s of %s was acknowledged, yet it is not there", worker, id)
			}
		}
	}
}

const countsPerProcess = 200

// countProcess opens the file, waits until its standard input is closed and
// counts up, as two processes do at once.
func countProcess(args []string) error {
	b, err := openBooks(context.Background(), args[0])
	if err != nil {
		return err
	}
	var out printer
	out.line("ready")
	processtest.UntilInputEnds()
	return errors.Join(b.countUp(), b.Close())
}

// TestAWriteIsHeardAmongProcessesThatNeverPause has others write without a pause between
// two transactions. With SQLite's lock alone a write here waited for up to ten thousand of
// theirs, and on a busy machine failed after 5 s at times.
func TestAWriteIsHeardAmongProcessesThatNeverPause(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	const others, each, writes = 3, 8, 200
	for range others {
		processtest.Start(t, "write without a pause", path).Await(t, "writing")
	}
	b, err := openBooks(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var theirs []int
	for before := 0; len(theirs) <= writes; {
		if err := b.Batch(t.Context(), b.increments("late", make([]int, 1)))[0]; err != nil {
			t.Fatal(err)
		}
		v, err := b.tallies.Get(t.Context(), "shared0")
		if err != nil {
			t.Fatal(err)
		}
		theirs, before = append(theirs, v.By["all"]-before), v.By["all"]
	}
	if most := slices.Max(theirs[1:]); most > 50*others*each { // theirs[0] is since the start
		t.Errorf("a write waited for %d of the others'; a fair share is about %d", most, others*each)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// writeWithoutAPause writes to the file until it is killed.
func writeWithoutAPause(args []string) error {
	b, err := openBooks(context.Background(), args[0])
	if err != nil {
		return err
	}
	var out printer
	for i := 0; ; i++ {
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() { err = b.Batch(context.Background(), b.increments("all", make([]int, 1)))[0] })
		}
		group.Wait()
		if i == 0 {
			out.line("writing")
		}
	}
}

func (b books) countUp() error {
	errs := make([]error, 8)
	var group sync.WaitGroup
	for g := range errs {
		group.Go(func() {
			for range countsPerProcess / len(errs) {
				errs[g] = errors.Join(errs[g], b.Batch(context.Background(), b.increments("all", make([]int, 1)))[0])
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func TestProcessesThatCountInOneFileAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	others := []*processtest.Process{processtest.Start(t, "count", path), processtest.Start(t, "count", path)} // both make the file
	b, err := openBooks(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range others {
		p.Await(t, "ready")
	}
	for _, p := range others {
		if err := p.Input.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := b.countUp(); err != nil {
		t.Error(err)
	}
	for _, p := range others {
		p.End(t)
	}
	want := (len(others) + 1) * countsPerProcess
	if v, err := b.tallies.Get(t.Context(), "shared0"); err != nil || v.Total != want || v.By["all"] != want {
		t.Errorf("got %+v, %v; want %d", v, err, want)
	}
	checkIntegrity(t, b.Store)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
