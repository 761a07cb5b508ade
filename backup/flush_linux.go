package backup

import (
	"os"

	"golang.org/x/sys/unix"
)

// flush has the system begin to write a part of a file to the disk, and waits until
// the part before it, which is as long, is there. It is only for an even load: errors
// come with Sync.
func flush(file *os.File, offset, length int64) {
	raw, err := file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), offset, length, unix.SYNC_FILE_RANGE_WRITE)
		if before := max(0, offset-length); before < offset {
			_ = unix.SyncFileRange(int(fd), before, offset-before, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
		}
	})
}
