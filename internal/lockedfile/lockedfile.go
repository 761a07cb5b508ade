// Package lockedfile makes files that stay locked for as long as the process that made
// them has them open, and removes those whose process is no more. So what a killed
// process has left behind can be told from what another one is still writing, without
// process ids, which are used again, and without ages, which are guesses.
//
// A file belongs to whoever holds its lock (flock), which the system lets go of when
// the process ends, in whatever way. It needs a file system that has such locks.
package lockedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Create makes a new file in the folder dir, for the owner's eyes only, open for
// reading and writing. Root makes it the owner's of the folder, who sweeps there. Its name is pattern, in which the last "*" is replaced by
// digits that make it one of its own; they are appended where there is no "*".
//
// The file belongs to this process, and no Sweep takes it, until it is closed. It may
// be renamed meanwhile. Whoever no longer wants it calls [Discard].
func Create(dir, pattern string) (*os.File, error) {
	for {
		file, err := os.CreateTemp(dir, pattern)
		if err != nil {
			return nil, err
		}
		giveToOwner(file)
		if err := lock(file, syscall.LOCK_EX); err != nil {
			return nil, errors.Join(err, Discard(file))
		}
		// A sweeper may have had it between the two.
		there, err := isAt(file, file.Name())
		if err == nil && there {
			return file, nil
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
}

// giveToOwner gives a file that root has just made to the owner of its folder. Where that can't be, as on
// some file systems of others, it stays root's.
func giveToOwner(file *os.File) {
	folder, err := os.Stat(filepath.Dir(file.Name()))
	if err != nil || os.Geteuid() != 0 {
		return
	}
	if owner, ok := folder.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
		_ = file.Chown(int(owner.Uid), int(owner.Gid)) // see above
	}
}

// ErrHeld is returned by Hold and Adopt while another process, or this one, has the file.
var ErrHeld = errors.New("another has locked the file")

// Hold locks the file at path, which it makes for the owner's eyes only if there is none,
// until it is closed. Nobody removes it, so whoever comes next holds the same one.
func Hold(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = lock(file, syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrHeld
	}
	return nil, errors.Join(err, file.Close())
}

// Adopt takes over the file at path, which another process has left behind, for reading and
// writing: it belongs to this one until it is closed. It returns ErrHeld while its owner
// lives, or another has adopted it, and fs.ErrNotExist where there is no such regular file.
func Adopt(path string) (*os.File, error) {
	// NOFOLLOW and NONBLOCK: it may have become a link or a pipe since it was listed.
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	err = lock(file, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrHeld
	}
	if err == nil { // its owner may have renamed or removed it between the two
		var there bool
		if there, err = isAt(file, path); err == nil && !there {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Discard removes the file from the path that it was made at, if it is still there,
// and closes it. It may be called again, and does nothing then.
func Discard(file *os.File) error {
	there, err := isAt(file, file.Name())
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	if err == nil && there {
		err = os.Remove(file.Name()) // before it is unlocked
	}
	return errors.Join(err, file.Close())
}

// Sweep removes the files in the folder dir whose names orphan picks and that belong
// to no process, and returns the names of those that it has removed. It looks at
// regular files only. A file is picked again once nobody else can have it: until then
// its owner may have made something else of it. A file that can't be removed doesn't
// keep the others: its error is returned when all have been tried.
func Sweep(dir string, orphan func(name string) bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var removed []string
	var errs []error
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !orphan(entry.Name()) {
			continue
		}
		gone, err := removeOrphan(filepath.Join(dir, entry.Name()), orphan)
		if gone {
			removed = append(removed, entry.Name())
		}
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

// removeOrphan removes the file at path unless it belongs to somebody, and tells
// whether it has. One that is gone, or has become another, is left to whom it
// concerns.
func removeOrphan(path string, orphan func(name string) bool) (bool, error) {
	file, err := Adopt(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrHeld) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()                //nolint:errcheck // nothing was written
	if !orphan(filepath.Base(path)) { // its owner has made something else of it
		return false, nil
	}
	err = os.Remove(path)
	return err == nil, err
}

// isAt tells whether the open file is what path names.
func isAt(file *os.File, path string) (bool, error) {
	open, err := file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return named.Mode().IsRegular() && os.SameFile(open, named), nil
}

// lock takes the file's lock, which its last close lets go of.
func lock(file *os.File, how int) error {
	err := error(syscall.EINTR)
	for errors.Is(err, syscall.EINTR) {
		err = syscall.Flock(int(file.Fd()), how)
	}
	if err != nil {
		return fmt.Errorf("the file %s can't be locked, which its file system must be able to: use a folder on another one: %w", file.Name(), err)
	}
	return nil
}

// SyncFolder makes durable which files a folder has, and by what names.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
