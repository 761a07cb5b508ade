package lockedfile

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// What root has made in another user's folder, that user can adopt and sweep: commands are run as root
// beside a server that isn't.
func TestWhatRootMakesIsTheFoldersOwners(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root makes files for others")
	}
	const nobody = 65534
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	file := create(t, dir)
	asUser(t, nobody, func() {
		if removed := sweep(t, dir); len(removed) != 0 { // it belongs to this process
			t.Errorf("%v were swept", removed)
		}
	})
	if err := file.Close(); err != nil { // as when the process is killed
		t.Fatal(err)
	}
	asUser(t, nobody, func() {
		if removed := sweep(t, dir); len(removed) != 1 {
			t.Errorf("%v were swept", removed)
		}
	})
}

// asUser does something as another user, as far as files are concerned.
func asUser(t *testing.T, id uintptr, do func()) {
	t.Helper()
	runtime.LockOSThread() // users are a thread's
	defer runtime.UnlockOSThread()
	defer func() { _, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0) }()
	if _, _, err := syscall.RawSyscall(syscall.SYS_SETFSUID, id, 0, 0); err != 0 {
		t.Fatal(err)
	}
	do()
}
