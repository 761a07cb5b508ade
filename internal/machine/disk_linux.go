package machine

import (
	"slices"

	"golang.org/x/sys/unix"
)

// networks are the kinds of file systems whose files are on another machine: NFS, SMB, CIFS,
// FUSE (as sshfs and those of buckets), Ceph, 9P, AFS.
var networks = []uint32{0x6969, 0x517B, 0xFE534D42, 0xFF534D42, 0x65735546, 0x00C36400, 0x01021997, 0x5346414F}

// DiskOf is what a folder lies on, or will when it is made.
func (m Machine) DiskOf(path string) (Disk, error) {
	path, err := existing(path)
	if err != nil {
		return Disk{}, err
	}
	var system unix.Statfs_t
	var file unix.Stat_t
	if err := unix.Statfs(path, &system); err != nil {
		return Disk{}, err
	}
	if err := unix.Stat(path, &file); err != nil {
		return Disk{}, err
	}
	block := uint64(system.Frsize)
	used := (system.Blocks - system.Bfree) * block
	return Disk{
		Room:   Room{Free: system.Bavail * block, Total: used + system.Bavail*block}, // as df: without what is kept for root
		Device: file.Dev, Network: slices.Contains(networks, uint32(system.Type)),
	}, nil
}
