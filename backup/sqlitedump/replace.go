package sqlitedump

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	lib "modernc.org/sqlite/lib"

	"manus/backup"
	"manus/internal/lockedfile"
)

// replace puts all of a dump in the place of the file.
//
// Killed at any step, it leaves one whole database: before the rename the old one,
// which by then needs no log beside it any more, and after it the new one, beside
// which no log of the old one is left.
func (r *Restorer) replace(ctx context.Context, old *seized, dump io.Reader, progress func(read int64)) (backup.Contents, error) {
	return withScratch(ctx, r.path, forRestore, work, dump, progress, func(scratch *os.File, _ backup.Contents) error {
		if err := scratch.Sync(); err != nil {
			return unwritten(scratch, err)
		}
		return old.giveWay(scratch.Name())
	})
}

// seized is a database file that nobody else has open, nor can write to.
type seized struct {
	path     string
	made     bool   // it is empty, and wasn't there before; nothing has been put into it
	mode     string // of its journal, before it was seized
	held     bool   // by SQLite's exclusive lock
	replaced bool
	db       *sql.DB
	conn     *sql.Conn // nil when SQLite can't read the file
}

// seize takes the file at path for this process alone, and makes an empty one where
// there is none, so that no server that starts meanwhile makes one.
func (r *Restorer) seize(ctx context.Context) (*seized, error) {
	s := &seized{path: r.path}
	if r.strayLog() != "" {
		if _, err := os.Stat(r.path); errors.Is(err, fs.ErrNotExist) {
			return s, nil // an empty file would have SQLite remove the log
		}
	}
	var err error
	if s.made, err = makeFile(r.path); err != nil {
		return nil, err
	}
	if err := s.lock(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// makeFile makes an empty file, for the owner's eyes only, if there is none.
func makeFile(path string) (made bool, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		return true, file.Close()
	case errors.Is(err, fs.ErrExist):
		return false, nil
	}
	return false, fmt.Errorf("%s can't be made: let this user write to its folder, or name another one: %w", path, cause(err))
}

// lock takes SQLite's exclusive lock. To leave the mode with a log is the one thing
// that fails when another connection is open, even an idle one. It moves the log to
// the file and removes it.
func (s *seized) lock(ctx context.Context) (err error) {
	s.db = open(s.path, alone)
	if s.conn, err = s.db.Conn(ctx); err == nil {
		err = s.exclusive(ctx)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case isUnreadable(err): // SQLite has no locks on what is no database
		return errors.Join(s.closeConn(), isLocked(s.path))
	case primary(err) == lib.SQLITE_BUSY, primary(err) == lib.SQLITE_LOCKED:
		return inUse(s.path, err)
	}
	return translateError(ctx, s.path, err)
}

func (s *seized) exclusive(ctx context.Context) error {
	if err := s.conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&s.mode); err != nil {
		return err
	}
	var mode string
	if err := s.conn.QueryRowContext(ctx, "PRAGMA journal_mode = DELETE").Scan(&mode); err != nil {
		return err
	}
	if mode != "delete" {
		return inUse(s.path, errors.New("it stays in the mode "+mode))
	}
	_, err := s.conn.ExecContext(ctx, "BEGIN EXCLUSIVE")
	s.held = err == nil
	return err
}

func inUse(path string, err error) error {
	return fmt.Errorf("%w: another process has the database %s open: stop every server and command that uses it first: %w", backup.ErrInUse, path, err)
}

// Where SQLite's locks are in a file: 512 bytes at 1 GiB.
const (
	locksAt = 1 << 30
	locksTo = 512
)

// isLocked returns ErrInUse when another process has the file open with SQLite. It changes
// nothing, and knows of files that SQLite can't read too. This process hasn't the file open:
// closing it would take away its locks.
func isLocked(path string) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s can't be replaced: this user needs to write to it: %w", path, cause(err))
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: locksAt, Len: locksTo}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return err
	}
	if lock.Type != unix.F_UNLCK {
		return inUse(path, errors.New("it holds a lock"))
	}
	return nil
}

// giveWay puts the new database in the place of this one.
func (s *seized) giveWay(newer string) error {
	folder := filepath.Dir(s.path)
	for _, ending := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Remove(s.path + ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the log of the old database would damage the new one, and can't be removed: remove %s: %w", s.path+ending, err)
		}
	}
	if err := lockedfile.SyncFolder(folder); err != nil { // no log of the old one may come back
		return err
	}
	if err := os.Rename(newer, s.path); err != nil {
		return err
	}
	s.replaced = true
	return lockedfile.SyncFolder(folder)
}

// release lets go of the file. One that wasn't replaced is as it was.
func (s *seized) release() error {
	var errs []error
	if s.made && s.held && !s.replaced {
		errs = append(errs, os.Remove(s.path)) // before anybody else can have it
	}
	if s.conn != nil {
		_ = rollback(s.conn)                // there may be no transaction
		if !s.replaced && s.mode == "wal" { // or whoever opens it as a store does that
			_, _ = s.conn.ExecContext(context.Background(), "PRAGMA journal_mode = WAL")
		}
	}
	errs = append(errs, s.closeConn())
	if s.made && !s.held { // there was no space to lock it
		errs = append(errs, removeUnused(s.path))
	}
	return errors.Join(errs...)
}

// removeUnused removes an empty file that nobody has open. Between the two looks at it no
// server can have begun with it: it would take it for one that was cut off.
func removeUnused(path string) error {
	if info, err := os.Stat(path); err != nil || info.Size() > 0 || isLocked(path) != nil {
		return nil
	}
	return os.Remove(path)
}

func (s *seized) closeConn() error {
	var errs []error
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	s.conn, s.db = nil, nil
	return errors.Join(errs...)
}
