package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"manus/internal/lockedfile"
)

var _ Target = (*Folder)(nil)

// Folder is a folder as a Target. What is being written has names that begin with a
// dot; it belongs to its process by a lock of the file system. Beside it there is an
// empty file of such a name until the upload is released, by which a file that a killed
// process has committed is told from one that somebody has copied there.
type Folder struct{ dir string }

// NewFolder makes a target of a folder. It is made, for the owner's eyes only, when
// the first file is.
func NewFolder(dir string) *Folder { return &Folder{dir} }

// String is the folder's path.
func (f *Folder) String() string { return f.dir }

// Dir is the folder's path.
func (f *Folder) Dir() string { return f.dir }

// unfinished is what a file is called while it is written: the name, between these, and
// digits.
const (
	unfinishedPrefix = "."
	unfinishedSuffix = ".unfinished-*"
)

// unfinishedName is the name that an unfinished file will have; empty for another file.
func unfinishedName(file string) string {
	name, rest := strings.CutPrefix(file, unfinishedPrefix)
	name, _, ok := strings.Cut(name, strings.TrimSuffix(unfinishedSuffix, "*"))
	if !rest || !ok {
		return ""
	}
	return name
}

// Create begins a file.
func (f *Folder) Create(ctx context.Context, name string, _ int64) (_ Upload, err error) {
	defer explain(&err)
	u, err := f.begin(ctx, name)
	if err != nil {
		return nil, err
	}
	if u.claim, err = lockedfile.Create(f.dir, unfinishedPrefix+name+unfinishedSuffix); err != nil {
		return nil, errors.Join(err, u.Release())
	}
	return u, nil
}

func (f *Folder) begin(ctx context.Context, name string) (*folderUpload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if name != filepath.Base(name) || strings.HasPrefix(name, unfinishedPrefix) {
		return nil, fmt.Errorf("%q is no name for a file", name)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, err
	}
	file, err := lockedfile.Create(f.dir, unfinishedPrefix+name+unfinishedSuffix)
	return &folderUpload{ctx: ctx, path: filepath.Join(f.dir, name), file: file}, err
}

// Put writes a small file as a whole.
func (f *Folder) Put(ctx context.Context, name string, data []byte) (err error) {
	defer explain(&err)
	u, err := f.begin(ctx, name)
	if err != nil {
		return err
	}
	_, err = u.file.Write(data)
	if err == nil {
		err = u.finish()
	}
	return errors.Join(err, u.Release())
}

// Open reads a file.
func (f *Folder) Open(ctx context.Context, name string) (_ io.ReadCloser, err error) {
	defer explain(&err)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return os.Open(filepath.Join(f.dir, filepath.Base(name)))
}

// List has every file whose name begins with prefix. A folder that doesn't exist has
// none.
func (f *Folder) List(ctx context.Context, prefix string) (_ []File, err error) {
	defer explain(&err)
	entries, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var files []File
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) || strings.HasPrefix(entry.Name(), unfinishedPrefix) {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			files = append(files, File{Name: entry.Name(), Size: info.Size(), Modified: info.ModTime()})
		}
	}
	return files, ctx.Err()
}

// Remove removes a file.
func (f *Folder) Remove(ctx context.Context, name string) (err error) {
	defer explain(&err)
	if err := ctx.Err(); err != nil {
		return err
	}
	err = os.Remove(filepath.Join(f.dir, filepath.Base(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, lockedfile.SyncFolder(f.dir))
}

// Locks is false: a folder keeps nothing from being removed.
func (f *Folder) Locks() bool { return false }

// Begun tells whether an upload has begun the file and not been released.
func (f *Folder) Begun(ctx context.Context, name string) (_ bool, err error) {
	defer explain(&err)
	begun, err := f.begun()
	return slices.Contains(begun, name), errors.Join(err, ctx.Err())
}

// begun are the names of files whose uploads haven't been released.
func (f *Folder) begun() ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	var names []string
	for _, entry := range entries {
		if name := unfinishedName(entry.Name()); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, err
}

// Clean removes what dead processes have left: whole files first, as it is by the others
// that they are known.
func (f *Folder) Clean(ctx context.Context, prefix string, orphan func(name string) bool) (_ []string, err error) {
	defer explain(&err)
	begun, err := f.begun()
	if err != nil || len(begun) == 0 {
		return nil, errors.Join(err, ctx.Err())
	}
	pick := func(name string) bool {
		return ctx.Err() == nil && strings.HasPrefix(name, prefix) && slices.Contains(begun, name)
	}
	removed, err := lockedfile.Sweep(f.dir, func(file string) bool { return pick(file) && orphan(file) })
	if err != nil {
		return removed, err
	}
	halves, err := lockedfile.Sweep(f.dir, func(file string) bool { return pick(unfinishedName(file)) })
	for _, half := range halves {
		if name := unfinishedName(half); !slices.Contains(removed, name) {
			removed = append(removed, name)
		}
	}
	slices.Sort(removed)
	return removed, errors.Join(err, ctx.Err())
}

// troubles are the errors of a file system about which something can be done.
var troubles = []struct {
	is      error
	say     string
	passing bool // a later try may succeed
}{
	{syscall.ENOSPC, "there is no space left on its disk: free some ('manus backup prune' removes the backups that have had their time)", true},
	{syscall.EDQUOT, "this user's share of its disk is full: free some ('manus backup prune' removes the backups that have had their time)", true},
	{syscall.EROFS, "it can only be read: mount it so that it can be written, or name another folder in BACKUP_DIR", false},
	{fs.ErrPermission, "this user isn't allowed to: run the command as the server's user, or let this one read and write there", false},
	{syscall.ENOTDIR, "a part of its path is a file: correct BACKUP_DIR", false},
	{syscall.EIO, "its disk can't be read or written: look after it, and name another folder in BACKUP_DIR until then", false},
	{syscall.ESTALE, "its network file system has let go of it: mount it again", true},
}

// explain adds to an error of the file system what can be done about it. Whoever gets it
// knows which folder it is.
func explain(err *error) {
	for _, trouble := range troubles {
		if !errors.Is(*err, trouble.is) {
			continue
		}
		*err = fmt.Errorf("%s: %w", trouble.say, causeOf(*err))
		if trouble.passing {
			*err = fmt.Errorf("%w: %w", ErrUnavailable, *err)
		}
		return
	}
}

// causeOf is an error of the file system without the file's name, which may be one that
// nobody knows.
func causeOf(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err
	}
	if failed, ok := errors.AsType[*os.LinkError](err); ok {
		return failed.Err
	}
	return err
}

// folderUpload is a file being written into a folder.
type folderUpload struct {
	ctx       context.Context
	path      string
	file      *os.File
	claim     *os.File // nil for small files
	unwritten int64    // bytes that the system hasn't been told to write to the disk
	written   int64
}

// Write writes a part of the file.
func (u *folderUpload) Write(data []byte) (n int, err error) {
	defer explain(&err)
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	n, err = u.file.Write(data)
	u.unwritten += int64(n)
	if err == nil && u.unwritten >= flushEvery {
		flush(u.file, u.written, u.unwritten)
		u.written += u.unwritten
		u.unwritten = 0
	}
	return n, err
}

// flushEvery is how much is left to the system to write when it likes. With more, the
// store's own commits, which wait for the disk too, would wait for all of it.
const flushEvery = 4 << 20

// Commit makes the file whole. When that fails after it has got its name, it loses it.
func (u *folderUpload) Commit() (err error) {
	defer explain(&err)
	if err := u.ctx.Err(); err != nil {
		return err
	}
	err = u.finish()
	if err != nil {
		_ = os.Remove(u.path) // or Clean does, later
	}
	return err
}

// finish makes the file durable under its name.
func (u *folderUpload) finish() error {
	if err := u.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(u.file.Name(), u.path); err != nil {
		return err
	}
	return lockedfile.SyncFolder(filepath.Dir(u.path))
}

// Release ends the upload.
func (u *folderUpload) Release() error {
	err := lockedfile.Discard(u.file)
	if u.claim != nil {
		err = errors.Join(err, lockedfile.Discard(u.claim))
	}
	return err
}
