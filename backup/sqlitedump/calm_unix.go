//go:build unix

package sqlitedump

import "syscall"

// calmDown lets every other process go first, where processors are scarce.
func calmDown() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10) // without it, all is well too
}
