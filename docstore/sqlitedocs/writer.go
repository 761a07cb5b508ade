package sqlitedocs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Bounds of the writer.
const (
	maxQueued = 1024 // writes waiting; more wait outside
	maxGroup  = 256  // writes in one commit
)

// op is one write: run makes its changes inside the writer's transaction. It
// runs again when the transaction it was part of had to be given up.
type op struct {
	ctx   context.Context
	run   func(*conn) error
	probe bool          // nobody's write: it only looks whether one would succeed
	taken atomic.Bool   // by the writer, or by the caller who has given up
	done  chan struct{} // closed when err and panicked are set

	err      error
	panicked any
}

func (o *op) isReal() bool { return !o.probe }

// wait returns the op's outcome once it is on the disk. When the context ends
// while the op is still queued it never runs; once the writer has it, it is
// waited for. A panic of its function goes on in the caller, where it belongs.
func (o *op) wait() error {
	select {
	case <-o.done:
	case <-o.ctx.Done():
		if o.taken.CompareAndSwap(false, true) {
			return o.ctx.Err()
		}
		<-o.done
	}
	if o.panicked != nil {
		panic(o.panicked)
	}
	return o.err
}

// writer is the one goroutine that writes.
type writer struct {
	conn  *conn
	turn  turn
	file  watchedFile
	queue chan *op

	// needed is how many pages the largest write had that has failed since as many were
	// written at once, at least 1; 0 when none has. It is the goroutine's own.
	needed int

	mu      sync.RWMutex // held for reading while an op is put in the queue
	stopped bool
	ended   chan struct{}
}

func startWriter(c *conn, t turn, file watchedFile) *writer {
	w := &writer{conn: c, turn: t, file: file, queue: make(chan *op, maxQueued), ended: make(chan struct{})}
	go w.loop()
	return w
}

// do runs one write and waits until it is durable.
func (w *writer) do(ctx context.Context, run func(*conn) error) error {
	return w.enqueue(ctx, run).wait()
}

func (w *writer) enqueue(ctx context.Context, run func(*conn) error) *op {
	return w.submit(&op{ctx: ctx, run: run})
}

// probe fails as long as the writes that have failed would fail again. While none has, it
// writes nothing.
func (w *writer) probe(ctx context.Context) error {
	return w.submit(&op{ctx: ctx, run: w.tryRoom, probe: true}).wait()
}

func (w *writer) submit(o *op) *op {
	o.done = make(chan struct{})
	if err := w.put(o); err != nil {
		o.taken.Store(true)
		o.err = err
		close(o.done)
	}
	return o
}

func (w *writer) put(o *op) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.stopped {
		return errClosed
	}
	if err := o.ctx.Err(); err != nil {
		return err
	}
	select {
	case w.queue <- o:
		return nil
	case <-o.ctx.Done():
		return o.ctx.Err()
	}
}

// stop lets the queue run dry and ends the goroutine.
func (w *writer) stop() {
	w.mu.Lock()
	w.stopped = true
	close(w.queue)
	w.mu.Unlock()
	<-w.ended
}

func (w *writer) loop() {
	defer close(w.ended)
	group := make([]*op, 0, maxGroup)
	for first := range w.queue {
		group = w.gather(group[:0], first)
		w.commit(group)
		for _, o := range group {
			close(o.done)
		}
	}
}

// gather takes first and what else has queued up, without waiting for more
// and without those whose callers have given up.
func (w *writer) gather(group []*op, first *op) []*op {
	for o := first; ; {
		if o.taken.CompareAndSwap(false, true) {
			group = append(group, o)
		}
		if len(group) == maxGroup {
			return group
		}
		select {
		case next, open := <-w.queue:
			if !open {
				return group
			}
			o = next
		default:
			return group
		}
	}
}

// commit makes a group durable. When that fails, each op is tried alone, so
// that one which can't be written doesn't take the others with it.
func (w *writer) commit(group []*op) {
	err := w.transact(group)
	if err != nil && len(group) > 1 && !errors.Is(err, errNotBegun) {
		for i := range group {
			w.recordOutcome(group[i:i+1], w.transact(group[i:i+1]))
		}
		return
	}
	w.recordOutcome(group, err)
}

// recordOutcome gives the ops the error of the transaction they were in, and notes
// what is needed before writes count as possible again: a smaller one that succeeds
// proves nothing for those that have failed.
func (w *writer) recordOutcome(group []*op, err error) {
	pages := w.conn.written(false)
	switch {
	case err == nil && pages >= w.needed:
		w.needed = 0
	case err != nil && slices.ContainsFunc(group, (*op).isReal):
		w.needed = min(max(w.needed, pages, 1), maxNeeded)
	}
	if err != nil {
		for _, o := range group {
			o.err = unavailable(err)
		}
	}
}

// errNotBegun is wrapped by what transact returns when nothing could be tried.
var errNotBegun = errors.New("no transaction could be started")

// begin takes the file's lock for writing, when it is this process's turn. In a file that was
// taken away nothing is written: it is lost when the last process that has it open ends.
func (w *writer) begin() error {
	if err := w.file.check(); err != nil {
		return err
	}
	w.turn.take()
	defer w.turn.pass()
	return whenFree(context.Background(), writeTimeout, func() error {
		_, err := w.conn.exec("BEGIN IMMEDIATE")
		return err
	})
}

// transact runs the ops in one transaction. Each op's own outcome is in its
// err; what is returned is the engine's failure, after which nothing of the
// group is stored.
func (w *writer) transact(group []*op) error {
	w.conn.written(true)
	if err := w.begin(); err != nil {
		return fmt.Errorf("%w: %w", errNotBegun, err)
	}
	for _, o := range group {
		if err := w.apply(o); err != nil {
			w.rollback()
			return err
		}
	}
	if _, err := w.conn.exec("COMMIT"); err != nil {
		w.rollback()
		return err
	}
	return nil
}

func (w *writer) rollback() {
	// It fails where SQLite has rolled back by itself, which is as good.
	_, _ = w.conn.exec("ROLLBACK")
}

// apply runs one op and returns only a failure of the engine itself.
func (w *writer) apply(o *op) (failure error) {
	o.err, o.panicked = nil, nil
	defer func() { o.panicked = recover() }()
	o.err = o.run(w.conn)
	if code(o.err) != 0 {
		return o.err
	}
	return nil
}

const (
	// maxNeeded bounds what a probe writes, in pages: no request's write has as many, and
	// what can be done in parts, such as deleting a range, isn't waited for.
	maxNeeded = 1024
	// sparePages is how many pages a probe writes beyond what is needed: its own commit takes
	// two, and the same write a few more where it finds pages full that weren't.
	sparePages = 16
)

// tryRoom writes as many pages as are needed, and leaves their room in the log to the
// write that comes next.
func (w *writer) tryRoom(c *conn) error {
	if w.needed == 0 {
		return nil
	}
	if err := w.fillLog(c); err != nil {
		return unavailable(err)
	}
	_, err := c.exec("UPDATE write_probe SET writes = writes + 1") // whose commit waits for the disk
	return unavailable(err)
}

// fillLog writes pages to the log and takes them back, as a transaction does that is larger
// than SQLite's cache and is rolled back. Their bytes are random: no file system stores fewer.
func (w *writer) fillLog(c *conn) (err error) {
	size, err := c.value("PRAGMA page_size")
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, c.script(fmt.Sprintf("PRAGMA cache_size = %d", cacheSize))) }()
	if err := c.script("PRAGMA cache_size = 1; SAVEPOINT room; CREATE TABLE \"write probe\" (page BLOB)"); err != nil {
		return err
	}
	page := fmt.Sprintf("INSERT INTO \"write probe\" VALUES (randomblob(%d * 3/4))", size) // two have no room in one
	enough := w.needed + sparePages
	for i := 0; i < 2*enough && c.written(false) < enough; i++ {
		if err := c.script(page); err != nil {
			return err
		}
	}
	return c.script("ROLLBACK TO room; RELEASE room")
}
