// Package sqlitedocs keeps documents in one SQLite file: a table a collection,
// a row a document, its body JSON text that the sqlite3 shell can query.
//
//	SELECT id, doc ->> '$.email' FROM users;
//
// One goroutine writes and commits whatever has queued up as one transaction;
// every write is acknowledged after the commit that holds it has reached the
// disk. Reads run beside it on connections of their own. Several processes may
// have the file open at once.
//
// It knows nothing of what the documents mean.
package sqlitedocs

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	lib "modernc.org/sqlite/lib"

	"manus/docstore"
)

var _ docstore.Store = (*Store)(nil)

// Store is an open SQLite file. It is a [docstore.Store].
type Store struct {
	idle    chan struct{} // one for each idle reader
	readers readers
	writer  *writer
	conns   []*conn // all of them
	turn    turn

	collections docstore.Declared[*collection]

	closed    chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// Open opens the file at path and makes it, and its folder, if need be. Both
// are made for the owner's eyes only. Errors say what to do; they are
// ErrUnavailable where a later try may succeed, and ErrCorrupt as CheckFile tells it.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := makeFile(ctx, path); err != nil {
		return nil, err
	}
	s := &Store{closed: make(chan struct{})}
	writing, err := s.connect(ctx, dsn(path, "query_only(0)", cacheSize))
	if err != nil {
		return nil, s.abandon(translateError(path, err))
	}
	if err := whenFree(ctx, openTimeout, func() error { return prepareFile(writing) }); err != nil {
		return nil, s.abandon(translateError(path, err))
	}
	if err := writing.script("PRAGMA busy_timeout = 0"); err != nil { // transact waits
		return nil, s.abandon(translateError(path, err))
	}
	_ = os.Remove(path + newMark) // beside a file that isn't empty it says nothing
	s.idle = make(chan struct{}, readersAtOnce())
	for range cap(s.idle) {
		reading, err := s.connect(ctx, dsn(path, "query_only(1)", readingSize))
		if err != nil {
			return nil, s.abandon(translateError(path, err))
		}
		s.readers.conns, s.readers.taken = append(s.readers.conns, reading), append(s.readers.taken, false)
		s.idle <- struct{}{}
	}
	if s.turn, err = openTurn(path); err != nil {
		return nil, s.abandon(translateError(path, err))
	}
	file, err := watch(path)
	if err != nil {
		return nil, s.abandon(translateError(path, err))
	}
	s.writer = startWriter(writing, s.turn, file)
	return s, nil
}

// ErrInUse is returned by CheckUnused.
var ErrInUse = errors.New("another process has the store open")

// CheckUnused returns ErrInUse while another process has the file at path open, idle or
// not. A file that isn't there or can't be read is Open's to tell of. This process hasn't
// the file open: closing it would take away its locks. Where nothing is left of the store it
// is ErrCorrupt, as CheckFile tells it.
func CheckUnused(ctx context.Context, path string) error {
	if err := checkLost(path); err != nil {
		return err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	c, err := openConn((&url.URL{Scheme: "file", Path: absolute, RawQuery: "mode=rw"}).String())
	if err != nil {
		return err
	}
	defer c.close() //nolint:errcheck // nothing was written
	// To leave the mode with a log is what fails when anybody else is there. Open is back
	// in it.
	mode, err := c.value("PRAGMA journal_mode = DELETE")
	if result := primary(err); result == lib.SQLITE_BUSY || result == lib.SQLITE_LOCKED || mode == driver.Value("wal") {
		return fmt.Errorf("%w: %s", ErrInUse, path)
	}
	return ctx.Err()
}

// readersAtOnce is how many reads may run at once. SQLite computes more than it
// waits, so a few more than there are processors are enough.
func readersAtOnce() int { return max(4, 2*runtime.GOMAXPROCS(0)) }

// newMark is behind the name of a file that lies beside one that nothing was written to yet.
// An empty file without it was cut off.
const newMark = "-new"

// makeFile makes the file at path, and its folder, if need be, unless CheckFile tells of
// what is there.
func makeFile(ctx context.Context, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return translateError(path, err)
	}
	if err := CheckFile(ctx, path); err != nil {
		return err
	}
	if isEmpty(path) {
		if err := touch(path + newMark); err != nil {
			return translateError(path, err)
		}
	}
	return translateError(path, touch(path))
}

func touch(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// translateError says in the operator's words what can be done about err.
func translateError(path string, err error) error {
	switch result := primary(err); {
	case err == nil:
		return nil
	case IsFull(err):
		return fmt.Errorf("there is no space left for the data file %s: free some and try again: %w", path, unavailable(err))
	case errors.Is(err, fs.ErrPermission), result == lib.SQLITE_READONLY, result == lib.SQLITE_CANTOPEN:
		return fmt.Errorf("the data file %s can't be written: make its folder writable for this user, or name another folder: %w", path, err)
	case result == lib.SQLITE_BUSY:
		return fmt.Errorf("the data file %s is locked by another process: try again, or end what holds it: %w", path, unavailable(err))
	case isDamage(err):
		return fmt.Errorf("the data file %s: %w", path, unavailable(err))
	}
	return fmt.Errorf("the data file %s can't be opened: %w", path, err)
}

func (s *Store) connect(ctx context.Context, dsn string) (c *conn, err error) {
	err = whenFree(ctx, openTimeout, func() error { c, err = openConn(dsn); return err })
	if err != nil {
		return nil, err
	}
	s.conns = append(s.conns, c)
	return c, nil
}

const (
	// openTimeout is how long Open and Declare wait for other processes, which may be
	// making the log, recovering it or building an index; writeTimeout is how long a
	// write waits for theirs.
	openTimeout  = 15 * time.Second
	writeTimeout = 5 * time.Second

	// lockPause is the longest time between two looks at a lock.
	lockPause = 3 * time.Millisecond
)

// whenFree runs f until the file isn't locked by another process, or the timeout is over.
// SQLite's own busy_timeout doesn't do: it looks every 100 ms after the first few, so it
// finds the lock taken again and again where others write all the time, and while they
// make the log or recover it, it doesn't wait at all.
func whenFree(ctx context.Context, timeout time.Duration, f func() error) error {
	for begun := time.Now(); ; {
		err := f()
		if primary(err) != lib.SQLITE_BUSY || time.Since(begun) > timeout {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(lockPause)):
		}
	}
}

func (s *Store) abandon(err error) error {
	_ = s.release() // err is what matters
	return err
}

// release closes every connection, the writer's last: with it SQLite moves
// what is left in the log to the file and removes the log.
func (s *Store) release() error {
	var errs []error
	for _, c := range slices.Backward(s.conns) {
		errs = append(errs, c.close())
	}
	return errors.Join(append(errs, s.turn.close())...)
}

// What connections cache, in KiB, which SQLite wants negative: the one that writes, and each of
// those that read, whose caches any write empties.
const (
	cacheSize   = -8192
	readingSize = -2048
)

// dsn names the file and how each connection is set up. A commit waits for the
// disk (synchronous=FULL); a read waits up to 5 s for another process's lock (it has to
// only while that recovers the log), a write as whenFree says; what is deleted or replaced
// is overwritten (secure_delete), so that the file forgets it.
func dsn(path, pragma string, cache int) string {
	absolute, err := filepath.Abs(path)
	if err != nil { // only when the working folder is gone
		absolute = path
	}
	file := url.URL{Scheme: "file", Path: absolute}
	file.RawQuery = url.Values{"_pragma": {
		"busy_timeout(5000)",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"journal_size_limit(67108864)",
		"temp_store(MEMORY)",
		"trusted_schema(0)",
		"secure_delete(1)",
		pragma,
		fmt.Sprintf("cache_size(%d)", cache),
	}}.Encode()
	return file.String()
}

// Declare makes the collections and indexes exist, all by one transaction: a new file has
// the disk waited for once.
func (s *Store) Declare(ctx context.Context, specs ...docstore.Spec) error {
	declared := make([]*collection, len(specs))
	for i, spec := range specs {
		var err error
		if declared[i], err = newCollection(spec); err != nil {
			return err
		}
	}
	err := whenFree(ctx, openTimeout, func() error {
		return s.writer.do(ctx, func(w *conn) error { return migrate(w, declared) })
	})
	if err != nil {
		return err
	}
	for _, c := range declared {
		s.collections.Add(c)
	}
	return nil
}

// read lends a connection to f. ctx is only watched when there is none to be had: that
// costs something.
func (s *Store) read(ctx context.Context, f func(*conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.closed:
		return errClosed
	default:
	}
	select {
	case <-s.idle:
		return s.lend(f)
	default:
	}
	select {
	case <-s.idle:
		return s.lend(f)
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return errClosed
	}
}

func (s *Store) lend(f func(*conn) error) error {
	i := s.readers.take()
	defer func() {
		s.readers.giveBack(i)
		s.idle <- struct{}{}
	}()
	return f(s.readers.conns[i])
}

// readers are the connections to read by. The first that is idle is used, so that the
// caches of those that are needed now and then stay small.
type readers struct {
	conns []*conn
	mu    sync.Mutex
	taken []bool
}

func (r *readers) take() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.taken, false)
	r.taken[i] = true
	return i
}

func (r *readers) giveBack(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken[i] = false
}

// Get returns the document with the id, or ErrNotFound.
func (s *Store) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	c, err := s.collections.Get(collection)
	if err != nil {
		return nil, err
	}
	var doc docstore.Raw
	err = s.read(ctx, func(r *conn) error {
		doc, err = c.get(r, id)
		return err
	})
	return doc, err
}

// GetAll returns the documents with the ids.
func (s *Store) GetAll(ctx context.Context, collection string, ids ...string) ([]docstore.Raw, error) {
	c, err := s.collections.Get(collection)
	if err != nil {
		return nil, err
	}
	docs := make([]docstore.Raw, len(ids))
	err = s.read(ctx, func(r *conn) error {
		for i, id := range ids {
			doc, err := c.get(r, id)
			if docstore.NotFoundAs(err, nil) != nil {
				return err
			}
			docs[i] = doc
		}
		return nil
	})
	return docs, err
}

// Find returns a page of documents in index order.
func (s *Store) Find(ctx context.Context, collection string, q docstore.Query) (docstore.Page, error) {
	var page docstore.Page
	c, plan, err := s.collections.Plan(collection, q)
	if err != nil {
		return page, err
	}
	err = s.read(ctx, func(r *conn) error {
		page, err = c.find(r, plan)
		return err
	})
	return page, err
}

// Insert adds documents in the order given.
func (s *Store) Insert(ctx context.Context, collection string, docs ...docstore.Document) error {
	c, err := s.collections.Get(collection)
	if err != nil {
		return err
	}
	return s.writer.do(ctx, func(w *conn) error {
		for _, doc := range docs {
			if err := c.insert(w, doc.ID, doc.Body); err != nil {
				return err
			}
		}
		return nil
	})
}

// Upsert changes one document, or makes it. change runs once per try, inside the writer.
func (s *Store) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	c, err := s.collections.Get(collection)
	if err != nil {
		return err
	}
	return s.writer.do(ctx, func(w *conn) error { return c.modify(w, id, change) })
}

// Delete removes the document with the id, or returns ErrNotFound.
func (s *Store) Delete(ctx context.Context, collection, id string) error {
	return s.Upsert(ctx, collection, id, func(old docstore.Raw) (docstore.Raw, error) {
		if old == nil {
			return nil, docstore.ErrNotFound
		}
		return docstore.Removed, nil
	})
}

// DeleteRange removes documents from the start of the query's range.
func (s *Store) DeleteRange(ctx context.Context, collection string, q docstore.Query) (int, error) {
	c, plan, err := s.collections.Plan(collection, q)
	if err != nil {
		return 0, err
	}
	deleted := 0
	err = s.writer.do(ctx, func(w *conn) error {
		deleted, err = c.deleteRange(w, plan)
		return err
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

// Batch applies independent changes, in one commit where that is possible.
func (s *Store) Batch(ctx context.Context, changes []docstore.Change) []error {
	ops := make([]*op, len(changes))
	errs := make([]error, len(changes))
	for i, change := range changes {
		c, err := s.collections.Get(change.Collection)
		if err != nil {
			errs[i] = err
			continue
		}
		ops[i] = s.writer.enqueue(ctx, func(w *conn) error {
			if change.Apply == nil {
				return c.insert(w, change.ID, change.New)
			}
			return c.modify(w, change.ID, change.Apply)
		})
	}
	for i, o := range ops {
		if o != nil {
			errs[i] = o.wait()
		}
	}
	return errs
}

// Codec is JSON.
func (s *Store) Codec() docstore.Codec { return jsonCodec{} }

// Ping proves that a read and a write would work, one as large as those that have failed.
// It writes only while writes have been failing, so that the end of a full disk is
// noticed without anybody's request.
func (s *Store) Ping(ctx context.Context) error {
	err := s.read(ctx, func(r *conn) error {
		_, err := r.exec("SELECT 1")
		return unavailable(err)
	})
	if err != nil {
		return err
	}
	return s.writer.probe(ctx)
}

// Close waits for writes under way and releases the file.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.writer.stop()
		close(s.closed)
		for range cap(s.idle) {
			<-s.idle
		}
		s.closeErr = s.release()
	})
	return s.closeErr
}
