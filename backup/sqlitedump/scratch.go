package sqlitedump

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	lib "modernc.org/sqlite/lib"

	"manus/backup"
	"manus/internal/lockedfile"
)

// What scratch files are for; a part of their names.
const (
	forDrill   = ".drill-"
	forRestore = ".restore-"
)

// newScratch makes an empty file beside the database at path, which belongs to this
// process, and removes those that killed ones have left there.
func newScratch(path, purpose string) (*os.File, error) {
	folder, base := filepath.Dir(path), filepath.Base(path)
	_, err := lockedfile.Sweep(folder, func(name string) bool {
		return strings.HasPrefix(name, base+forDrill) || strings.HasPrefix(name, base+forRestore)
	})
	if err != nil {
		return nil, fmt.Errorf("what an interrupted restore has left beside %s can't be removed: remove it: %w", path, err)
	}
	file, err := lockedfile.Create(folder, base+purpose+"*")
	if err != nil {
		return nil, fmt.Errorf("a scratch database can't be made beside %s: make its folder writable for this user: %w", path, err)
	}
	return file, nil
}

// withScratch has a worker check a dump in a scratch database beside the one at path, and
// gives it to use with what is in it. It is gone after that, unless use has moved it.
func withScratch(ctx context.Context, path, purpose string, w worker, dump io.Reader, progress func(read int64), use func(*os.File, backup.Contents) error) (contents backup.Contents, err error) {
	scratch, err := newScratch(path, purpose)
	if err != nil {
		return contents, err
	}
	defer func() { err = errors.Join(err, lockedfile.Discard(scratch)) }()
	if err := fill(ctx, scratch, dump, progress); err != nil {
		return contents, err
	}
	if contents, err = w.inspect(ctx, scratch.Name()); err != nil {
		return contents, err
	}
	return contents, use(scratch, contents)
}

// fill writes a dump to the scratch file. It returns ErrDamaged for what can't be the
// whole of a database.
func fill(ctx context.Context, scratch *os.File, dump io.Reader, progress func(read int64)) error {
	start := make([]byte, headerSize)
	if _, err := io.ReadFull(dump, start); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged(errors.New("it ends before it has begun"))
	} else if err != nil {
		return err
	}
	header, err := parseHeader(start)
	if err != nil {
		return damaged(err)
	}
	standAlone(start)
	counted := &counter{ctx: ctx, w: roomy{scratch}, progress: progress}
	_, err = io.CopyBuffer(counted, plainReader{io.MultiReader(bytes.NewReader(start), dump)}, make([]byte, chunk))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged(err)
	}
	if err != nil {
		return err
	}
	if !header.fits(counted.bytes) {
		return damaged(fmt.Errorf("it has %d bytes, but should have %d pages of %d", counted.bytes, header.pages, header.pageSize))
	}
	return nil
}

// plainReader hides what else a reader can do, so that whole chunks are copied.
type plainReader struct{ io.Reader }

func damaged(err error) error { return fmt.Errorf("%w: %w", backup.ErrDamaged, err) }

// roomy says what is to be done when the disk is full.
type roomy struct{ w io.Writer }

func (r roomy) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: the scratch database can't be written: see that there is space and try again: %w", backup.ErrUnavailable, err)
	}
	return n, err
}

// inspect has SQLite check a scratch database and reads what is in it, both at the
// same time. It returns ErrDamaged for one that can't be used.
func (e engine) inspect(ctx context.Context, path string) (backup.Contents, error) {
	var contents backup.Contents
	db := e.open(path, private)
	defer db.Close()
	both, within := errgroup.WithContext(ctx)
	both.Go(func() error {
		return onConn(within, db, func(c *sql.Conn) error { return checkIntegrity(within, c) })
	})
	both.Go(func() error {
		return onConn(within, db, func(c *sql.Conn) (err error) {
			contents, err = readContents(within, c)
			return err
		})
	})
	if err := both.Wait(); err != nil {
		return backup.Contents{}, blame(ctx, path, err)
	}
	return contents, nil
}

// onConn runs f with a connection of its own.
func onConn(ctx context.Context, db *sql.DB, f func(*sql.Conn) error) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.Close())
}

// checkIntegrity has SQLite check every page, row and index, and every reference
// between rows.
func checkIntegrity(ctx context.Context, c *sql.Conn) error {
	// It looks for every row in every index, all over the file.
	if _, err := c.ExecContext(ctx, "PRAGMA cache_size = -8192"); err != nil {
		return err
	}
	var verdict string
	if err := c.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return damaged(errors.New(verdict))
	}
	tables, err := queryStrings(ctx, c, `SELECT "table" FROM pragma_foreign_key_check LIMIT 1`)
	if err == nil && len(tables) > 0 {
		err = damaged(fmt.Errorf("the table %s has rows that refer to rows which there aren't", tables[0]))
	}
	return err
}

// blame says whose fault it is that a scratch database can't be used: that of the dump
// it was made of, or the disk's.
func blame(ctx context.Context, path string, err error) error {
	switch primary(err) {
	case 0, lib.SQLITE_IOERR, lib.SQLITE_FULL, lib.SQLITE_NOMEM, lib.SQLITE_CANTOPEN, lib.SQLITE_INTERRUPT:
		return translateError(ctx, path, err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return damaged(err)
}
