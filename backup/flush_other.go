//go:build !linux

package backup

import "os"

// flush leaves it to the system when it writes to the disk.
func flush(*os.File, int64, int64) {}
