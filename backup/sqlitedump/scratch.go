package sqlitedump

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	lib "modernc.org/sqlite/lib"

	"manus/backup"
	"manus/docstore/sqlitedocs"
	"manus/internal/lockedfile"
	"manus/internal/words"
)

// What scratch files are for; a part of their names.
const (
	forDrill   = ".drill-"
	forRestore = sqlitedocs.Restoring
)

// newScratch makes an empty file beside the database at path, which belongs to this
// process, and removes those that killed ones have left there.
func newScratch(path, purpose string) (*os.File, error) {
	folder, base := filepath.Dir(path), filepath.Base(path)
	_, err := lockedfile.Sweep(folder, func(name string) bool {
		return strings.HasPrefix(name, base+forDrill) || strings.HasPrefix(name, base+forRestore)
	})
	if err != nil {
		return nil, fmt.Errorf("what an interrupted restore has left beside %s can't be removed: remove the files %s.restore-… and %[2]s.drill-… there: %[3]w", path, base, err)
	}
	file, err := lockedfile.Create(folder, base+purpose+"*")
	if err != nil {
		return nil, fmt.Errorf("no file can be made beside %s for what is restored: let this user write there, see that there is space, or name another folder: %w", path, cause(err))
	}
	return file, nil
}

// withScratch has a worker check a dump in a scratch database beside the one at path, and
// gives it to use with what is in it. It is gone after that, unless use has moved it.
func withScratch(ctx context.Context, path, purpose string, work worker, dump io.Reader, progress func(read int64), use func(*os.File, backup.Contents) error) (contents backup.Contents, err error) {
	scratch, err := newScratch(path, purpose)
	if err != nil {
		return contents, err
	}
	defer func() { err = errors.Join(err, lockedfile.Discard(scratch)) }()
	if err := fill(ctx, scratch, dump, progress); err != nil {
		return contents, err
	}
	if contents, err = work(ctx, toInspect, scratch.Name(), io.Discard); err != nil {
		return contents, err
	}
	return contents, use(scratch, contents)
}

// fill writes a dump to the scratch file. It returns ErrDamaged for what can't be the
// whole of a database.
func fill(ctx context.Context, scratch *os.File, dump io.Reader, progress func(read int64)) error {
	counted := &counter{ctx: ctx, w: roomy{scratch}, progress: progress}
	err := copyAhead(counted, dump)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged(err)
	}
	if err != nil {
		return err
	}
	start := make([]byte, headerSize)
	n, err := scratch.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	header, err := parseHeader(start[:n])
	if err != nil {
		return damaged(err)
	}
	if !header.fits(counted.bytes) {
		return damaged(fmt.Errorf("it has %s, but should have %s of %d", words.Count(counted.bytes, "byte"), words.Count(header.pages, "page"), header.pageSize))
	}
	standAlone(start)
	_, err = scratch.WriteAt(start, 0)
	return err
}

// copyAhead copies what is read, a chunk of which is read while the one before is written:
// reading means to decrypt, decompress and hash, and that there is another processor.
func copyAhead(w io.Writer, r io.Reader) error {
	ahead, chunks := io.Pipe()
	var reading sync.WaitGroup
	reading.Go(func() {
		_, err := io.CopyBuffer(chunks, plainReader{r}, make([]byte, chunk))
		_ = chunks.CloseWithError(err) // it never fails
	})
	defer reading.Wait()
	_, err := io.CopyBuffer(w, plainReader{ahead}, make([]byte, chunk))
	_ = ahead.CloseWithError(err) // or this
	return err
}

// plainReader hides what else a reader can do, so that whole chunks are copied.
type plainReader struct{ io.Reader }

// damaged makes an error ErrDamaged, unless it is.
func damaged(err error) error {
	if errors.Is(err, backup.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: %w", backup.ErrDamaged, err)
}

// roomy says what is to be done when the disk is full.
type roomy struct{ file *os.File }

func (r roomy) Write(p []byte) (int, error) {
	n, err := r.file.Write(p)
	return n, unwritten(r.file, err)
}

// unwritten says why a scratch database can't be written; nil for no error.
func unwritten(scratch *os.File, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: what is restored can't be written in %s, where there has to be space for all of it: free some, or use another disk: %w", backup.ErrUnavailable, filepath.Dir(scratch.Name()), cause(err))
}

// cause is an error of a file without its name, which is one that nobody knows.
func cause(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err
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

// The header of a database file, at its beginning.
// See https://www.sqlite.org/fileformat2.html#the_database_header.
const (
	headerSize  = 100
	magic       = "SQLite format 3\x00"
	atPageSize  = 16 // two bytes; 1 stands for 65536
	atVersions  = 18 // one byte for writing and one for reading: 1, or 2 with a log beside it
	atChanges   = 24
	atPages     = 28
	atChangesOf = 92 // the changes for which the number of pages is right
)

// header is what is to be known of a dump before SQLite looks at it.
type header struct {
	pageSize int64
	pages    int64 // 0 when the file doesn't say
}

// errNoDatabase is what a dump is that doesn't begin with a header.
var errNoDatabase = errors.New("it is no SQLite database")

// parseHeader reads the header of a database file, of which start is the beginning.
func parseHeader(start []byte) (header, error) {
	var h header
	if len(start) < headerSize || !strings.HasPrefix(string(start[:len(magic)]), magic) {
		return h, errNoDatabase
	}
	h.pageSize = int64(binary.BigEndian.Uint16(start[atPageSize:]))
	if h.pageSize == 1 {
		h.pageSize = 65536
	}
	if h.pageSize < 512 || h.pageSize&(h.pageSize-1) != 0 {
		return h, errNoDatabase
	}
	for _, version := range start[atVersions : atVersions+2] {
		if version != 1 && version != 2 {
			return h, errors.New("it is a SQLite database of a version that this program doesn't know: use a newer one")
		}
	}
	if binary.BigEndian.Uint32(start[atChanges:]) == binary.BigEndian.Uint32(start[atChangesOf:]) {
		h.pages = int64(binary.BigEndian.Uint32(start[atPages:]))
	}
	return h, nil
}

// fits tells whether a file of that many bytes can have the header.
func (h header) fits(size int64) bool {
	if h.pages != 0 {
		return size == h.pages*h.pageSize
	}
	return size%h.pageSize == 0
}

// standAlone says in the header that there is no log beside the file: it opens where
// none can be made too, and never mistakes another file's log for its own. Whoever
// wants one will say so again.
func standAlone(start []byte) {
	if len(start) >= headerSize {
		start[atVersions], start[atVersions+1] = 1, 1
	}
}
