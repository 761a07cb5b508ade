// Package nice lowers the priority of this process, so that others go first.
package nice

import "syscall"

// Down lets every other process go first, where processors are scarce. Without it, all
// is well too.
func Down() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10) }
