//go:build unix

package sqlitedocs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"manus/docstore"
	"manus/internal/processtest"
)

// fullDiskProcess plays a disk that fills up by the limit that the system puts
// on the size of its files. It prints the writes that were acknowledged and
// those that failed, and ends without closing the file.
func fullDiskProcess(args []string) error {
	path := args[0]
	signal.Ignore(unix.SIGXFSZ)
	b, err := openBooks(context.Background(), path)
	if err != nil {
		return err
	}
	var out printer
	if _, err := b.fill(&out, "empty", 20); err != nil {
		return fmt.Errorf("while there is space: %w", err)
	}
	if err := b.almostFull(&out, path); err != nil {
		return err
	}
	if err := b.untilFull(&out, path); err != nil {
		return err
	}
	if err := b.whileFull(&out); err != nil {
		return err
	}
	if err := limitFiles(unix.RLIM_INFINITY); err != nil {
		return err
	}
	if err := b.Ping(context.Background()); err != nil {
		return fmt.Errorf("Ping, when there is space again: %w", err)
	}
	if _, err := b.fill(&out, "again", 20); err != nil {
		return fmt.Errorf("when there is space again: %w", err)
	}
	return b.Ping(context.Background())
}

// limitFiles sets how many bytes a file may grow to, at most what the hard
// limit allows.
func limitFiles(size uint64) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = min(size, limit.Max)
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)
}

// fill inserts at most n entries, until one fails. It returns how many were
// acknowledged, and why the last was not.
func (b books) fill(out *printer, worker string, n int) (int, error) {
	for i := range n {
		if err := b.entries.Insert(context.Background(), newEntry(worker, i, 0), newEntry(worker, i, 1), newEntry(worker, i, 2)); err != nil {
			out.line("failed %s/%d", worker, i)
			return i, err
		}
		out.line("stored %s/%d", worker, i)
	}
	return n, nil
}

// almostFull leaves space for small writes and none for a large one, and then more and
// more: Ping fails until the large write has space, and no longer.
func (b books) almostFull(out *printer, path string) error {
	log, err := os.Stat(path + "-wal")
	if err != nil {
		return err
	}
	const first, most, page = 60, 152, 4096 + 24 // the large one takes about 105 pages, the small ones 25
	ctx, large := context.Background(), newEntry("large", 0, 0)
	large.Text = strings.Repeat("large", 80_000)
	for pages := first; pages < most; pages += 4 {
		err := limitFiles(uint64(log.Size()) + uint64(pages)*page)
		switch {
		case err != nil:
		case pages == first:
			err = errors.Join(saysFull(b.entries.Insert(ctx, large)), b.smallWhileFull(out))
		case b.Ping(ctx) == nil:
			return errors.Join(b.entries.Insert(ctx, large), limitFiles(unix.RLIM_INFINITY), b.entries.Delete(ctx, large.ID))
		}
		if err != nil {
			return fmt.Errorf("with space for small writes: %w", err)
		}
	}
	return errors.New("Ping finds no space where there is enough")
}

// smallWhileFull succeeds with small writes, none of which changes what Ping says.
func (b books) smallWhileFull(out *printer) error {
	var errs []error
	for i := range 5 {
		_, err := b.fill(out, fmt.Sprintf("small%d", i), 1)
		errs = append(errs, err, saysFull(b.Ping(context.Background())), saysFull(b.Ping(context.Background())))
	}
	return errors.Join(errs...)
}

// untilFull writes from several goroutines, all of which find the disk full.
func (b books) untilFull(out *printer, path string) error {
	log, err := os.Stat(path + "-wal")
	if err != nil {
		return err
	}
	if err := limitFiles(uint64(log.Size()) + 200_000); err != nil {
		return err
	}
	const goroutines, enough = 8, 1000
	stored, errs := make([]int, goroutines), make([]error, goroutines)
	var group sync.WaitGroup
	for g := range goroutines {
		group.Go(func() { stored[g], errs[g] = b.fill(out, fmt.Sprintf("until%d", g), enough) })
	}
	group.Wait()
	sum := 0
	for g := range goroutines {
		sum += stored[g]
		if err := saysFull(errs[g]); err != nil {
			return err
		}
	}
	if sum == 0 {
		return errors.New("nothing could be written though there was some space")
	}
	return nil
}

// whileFull leaves no space at all.
func (b books) whileFull(out *printer) error {
	if err := limitFiles(1); err != nil {
		return err
	}
	ctx := context.Background()
	for i := range 3 {
		_, err := b.fill(out, fmt.Sprintf("full%d", i), 1)
		if err := saysFull(err); err != nil {
			return err
		}
		nothing := func(docstore.Raw) (docstore.Raw, error) { return nil, nil }
		if err := b.Upsert(ctx, tallySpec.Collection, "nothing", nothing); err != nil {
			return fmt.Errorf("a change that writes nothing: %w", err)
		}
		if err := saysFull(b.Ping(ctx)); err != nil {
			return fmt.Errorf("Ping: %w", err)
		}
	}
	var group sync.WaitGroup
	errs := make([]error, 8)
	for g := range errs {
		group.Go(func() { errs[g] = saysFull(b.Batch(ctx, b.increments("full", make([]int, 1)))[0]) })
	}
	group.Wait()
	_, getting := b.entries.Get(ctx, "empty/0/0")
	found, _, finding := b.entries.Find(ctx, docstore.Query{Index: "by_worker", Equal: []any{"empty"}})
	if len(found) != 60 {
		finding = errors.Join(finding, fmt.Errorf("found %d of 60 entries", len(found)))
	}
	return errors.Join(errors.Join(errs...), getting, finding)
}

// saysFull is nil when err is what a write to a full disk shall return.
func saysFull(err error) error {
	if !errors.Is(err, docstore.ErrUnavailable) || !strings.Contains(err.Error(), "disk") {
		return fmt.Errorf("a write to a full disk returned: %w", err)
	}
	return nil
}

func TestAFullDiskIsAClearErrorAndServiceResumesWithSpace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	p := processtest.Start(t, "full disk", path)
	stored, failed := []string{}, []string{}
	for p.Lines.Scan() {
		what, entry, _ := strings.Cut(p.Lines.Text(), " ")
		if what == "stored" {
			stored = append(stored, entry)
		} else {
			failed = append(failed, entry)
		}
	}
	p.End(t)
	b, err := openBooks(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	checkIntegrity(t, b.Store)
	entries := readAll(t, b.entries, "by_label")
	for _, stored := range stored {
		for place := range 3 {
			id := fmt.Sprintf("%s/%d", stored, place)
			if v := entries[id]; v.ID != id || v != newEntry(v.Worker, v.Number, place) {
				t.Errorf("%s was acknowledged; there is %+v", id, v)
			}
		}
	}
	if len(entries) != 3*len(stored) || len(failed) < 4 {
		t.Errorf("%d were stored and %d failed, but there are %d", 3*len(stored), len(failed), len(entries))
	}
	if tallies := readAll(t, b.tallies, ""); len(tallies) != 0 {
		t.Errorf("changes that failed are there: %v", tallies)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
