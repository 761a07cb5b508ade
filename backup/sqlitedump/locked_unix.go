//go:build unix

package sqlitedump

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Where SQLite's locks are in a file: 512 bytes at 1 GiB.
const (
	locksAt = 1 << 30
	locksTo = 512
)

// isLocked returns an error when another process has the file open with SQLite, for a
// file that this process's SQLite can't read.
func isLocked(path string) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%s can't be replaced: this user needs to write to it: %w", path, err)
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
