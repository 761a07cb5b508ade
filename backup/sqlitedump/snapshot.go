package sqlitedump

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"manus/backup"
	"manus/internal/words"
)

// dumpFile writes the database at path to w and reads what is in it. Both are done at the
// same time where both can be done on one snapshot.
func dumpFile(ctx context.Context, path string, w io.Writer) (contents backup.Contents, err error) {
	now := &snapshot{db: open(path, live)}
	if err = now.begin(ctx); err == nil {
		contents, err = now.read(ctx, w)
	}
	if err = errors.Join(err, now.release(ctx)); err != nil {
		return backup.Contents{}, translateError(ctx, path, err)
	}
	return contents, nil
}

// snapshot is the database at one moment, held by read transactions: one for its
// pages and one for its rows, so that both are read at the same time. They are the
// same connection where that couldn't be had; then it is one after the other.
type snapshot struct {
	db          *sql.DB
	pages, rows *sql.Conn
}

func (s *snapshot) read(ctx context.Context, w io.Writer) (contents backup.Contents, err error) {
	both, ctx := errgroup.WithContext(ctx)
	if s.pages == s.rows {
		both.SetLimit(1)
	}
	both.Go(func() error { return s.stream(ctx, w) })
	both.Go(func() (err error) {
		contents, err = readContents(ctx, s.rows)
		return err
	})
	err = both.Wait()
	return contents, err
}

// begin lets two connections begin to read while a third keeps others from
// committing, which takes microseconds. So both see the same.
func (s *snapshot) begin(ctx context.Context) (err error) {
	if s.pages, err = s.db.Conn(ctx); err != nil {
		return err
	}
	barrier, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, barrier.Close()) }()
	_, denied := barrier.ExecContext(ctx, "BEGIN IMMEDIATE")
	if denied != nil {
		// The disk is full or can't be written to, or somebody has the lock. Reading
		// on one connection needs nobody's leave.
		s.rows = s.pages
		return beginReading(ctx, s.pages)
	}
	defer func() { err = errors.Join(err, rollback(barrier)) }()
	if s.rows, err = s.db.Conn(ctx); err != nil {
		return err
	}
	return errors.Join(beginReading(ctx, s.pages), beginReading(ctx, s.rows))
}

// beginReading starts a read transaction. SQLite chooses what it sees when it reads
// first.
func beginReading(ctx context.Context, c *sql.Conn) error {
	if _, err := c.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	var n int
	return c.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
}

// rollback ends a transaction whatever has become of the request's context.
func rollback(c *sql.Conn) error {
	_, err := c.ExecContext(context.Background(), "ROLLBACK")
	return err
}

// release ends the transactions, moves to the file what has gathered in the log
// meanwhile, and closes the connections.
func (s *snapshot) release(ctx context.Context) error {
	var errs []error
	if s.rows != nil && s.rows != s.pages {
		_ = rollback(s.rows) // it may not have begun
		errs = append(errs, s.rows.Close())
	}
	if s.pages != nil {
		_ = rollback(s.pages)
		checkpoint(ctx, s.pages)
		errs = append(errs, s.pages.Close())
	}
	return errors.Join(append(errs, s.db.Close())...)
}

// autoCheckpointPages is how many pages the log may have until SQLite begins a
// checkpoint by itself. Fewer are no burden to the next writer.
const autoCheckpointPages = 1000

// checkpoint moves what is in the log to the file. Otherwise the next writer's commit
// would have to move it all, and be late by that. What can't be moved now is left to a
// later checkpoint.
func checkpoint(ctx context.Context, c *sql.Conn) {
	for range 3 { // others go on writing
		var busy, logged, moved int64
		err := c.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &logged, &moved)
		if err != nil || busy != 0 || logged-moved < autoCheckpointPages {
			return
		}
	}
}

// chunk is how many bytes are written at once.
const chunk = 256 << 10

// stream writes the pages, in their order, to w.
func (s *snapshot) stream(ctx context.Context, w io.Writer) error {
	var size, pages int64
	err := s.pages.QueryRowContext(ctx, "SELECT page_size, page_count FROM pragma_page_size, pragma_page_count").Scan(&size, &pages)
	if err != nil {
		return err
	}
	if pages == 0 {
		return writeEmpty(ctx, w)
	}
	out := bufio.NewWriterSize(w, chunk)
	written, err := writePages(ctx, s.pages, out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil && written != pages*size {
		err = fmt.Errorf("the database has %s, but SQLite handed out %d; try again", words.Count(pages*size, "byte"), written)
	}
	return err
}

// writePages writes every page of the connection's database.
func writePages(ctx context.Context, c *sql.Conn, w io.Writer) (written int64, err error) {
	rows, err := c.QueryContext(ctx, "SELECT data FROM sqlite_dbpage('main')")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var page sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&page); err != nil {
			return written, err
		}
		if written == 0 {
			standAlone(page)
		}
		if _, err := w.Write(page); err != nil {
			return written, err
		}
		written += int64(len(page))
	}
	return written, rows.Err()
}

// writeEmpty writes a database of no tables. A file that nothing has been written to
// yet has no pages, but a dump of no bytes would look like one that has failed.
func writeEmpty(ctx context.Context, w io.Writer) error {
	db := sql.OpenDB(connector(":memory:"))
	defer db.Close()
	return onConn(ctx, db, func(c *sql.Conn) error {
		if _, err := c.ExecContext(ctx, "PRAGMA user_version = 0"); err != nil { // writes the first page
			return err
		}
		_, err := writePages(ctx, c, w)
		return err
	})
}

// counter counts what is written through it, until the context ends.
type counter struct {
	ctx      context.Context
	w        io.Writer
	progress func(bytes int64)
	bytes    int64
}

func (c *counter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(p)
	c.bytes += int64(n)
	c.progress(c.bytes)
	return n, err
}
