// Package sqlitedump dumps a SQLite file that is being written to all the time, and
// restores such dumps: it is a [backup.Source] and a [backup.Restorer].
//
// A dump is the database file as one transaction saw it. Its pages are streamed by
// SQLite itself, so there is no copy on the disk, little memory is used, and whoever
// writes to the file goes on. While a dump is read, SQLite keeps what is written
// meanwhile in the log beside the file, which grows by it. A dump opens with any
// sqlite3.
//
// It knows nothing of what the tables mean.
package sqlitedump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"manus/backup"
)

var _ backup.Source = (*Source)(nil)

// Source is a SQLite file that dumps are made of.
type Source struct {
	path string
	work worker
}

// New is the source at path, which is opened only when it is needed. Drill needs the
// file's folder to be writable, and space in it for the database once more. A process
// that writes to the database itself wants [NewSubprocess].
func New(path string) *Source { return &Source{path, work} }

// String is the file's path.
func (s *Source) String() string { return s.path }

// Format is SQLite's.
func (s *Source) Format() backup.Format { return backup.SQLite }

// Size is about how many bytes a dump has. It counts what SQLite hasn't moved from
// its log to the file yet, and so is rather too high. The error is
// [fs.ErrNotExist] when there is no file.
func (s *Source) Size(context.Context) (int64, error) {
	file, err := stat(s.path)
	if err != nil {
		return 0, err
	}
	size := file.Size()
	if log, err := os.Stat(s.path + "-wal"); err == nil {
		size += log.Size()
	}
	return size, nil
}

// stat looks at the file without opening it: closing it again would take away the
// locks of this process's other connections to it.
func stat(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no database file %s: name the one that the server uses: %w", path, fs.ErrNotExist)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file: name the database file that the server uses", path)
	}
	return info, err
}

// Dump writes the database to w, as it is at one moment, while others go on writing
// to it. It returns [fs.ErrNotExist] when there is no file.
func (s *Source) Dump(ctx context.Context, w io.Writer, progress func(written int64)) (backup.Contents, error) {
	if _, err := stat(s.path); err != nil {
		return backup.Contents{}, err
	}
	return s.work(ctx, toDump, s.path, &counter{ctx: ctx, w: w, progress: progress})
}

// Drill restores a dump into a scratch database in the file's folder, has SQLite check
// it, and returns what is in it. Only whoever runs this process can read that. Where there
// is no such folder, it is there for as long as the drill takes.
func (s *Source) Drill(ctx context.Context, dump io.Reader, progress func(read int64)) (backup.Contents, error) {
	leave, err := enterFolder(filepath.Dir(s.path))
	if err != nil {
		return backup.Contents{}, err
	}
	defer leave()
	return withScratch(ctx, s.path, forDrill, s.work, dump, progress, func(*os.File, backup.Contents) error { return nil })
}

// enterFolder makes a folder unless it is there. leave removes it again, if nobody else
// has put something into it.
func enterFolder(folder string) (leave func(), err error) {
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("there is no folder %s for the scratch database, and it can't be made: name another one with --data: %w", folder, err)
	}
	return func() { _ = os.Remove(folder) }, nil // what isn't empty stays
}
