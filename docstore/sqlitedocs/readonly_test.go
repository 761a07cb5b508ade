//go:build unix

package sqlitedocs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"manus/internal/processtest"
)

// openProcess opens the file and writes to it.
func openProcess(args []string) error {
	b, err := openBooks(context.Background(), args[0])
	if err != nil {
		return err
	}
	var out printer
	_, err = b.fill(&out, "open", 1)
	return err
}

func TestAFolderThatCantBeWrittenIsNamed(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, folder string) (path string){
		"with no file": func(_ *testing.T, folder string) string { return filepath.Join(folder, "manus.db") },
		"with no folder for the file": func(_ *testing.T, folder string) string {
			return filepath.Join(folder, "data", "manus.db")
		},
		"with a file that can be written": func(t *testing.T, folder string) string {
			path := filepath.Join(folder, "manus.db")
			s, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			chmod(t, path, 0o666)
			return path
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			chmod(t, filepath.Dir(folder), 0o755) // for the other user to reach it
			path := prepare(t, folder)
			chmod(t, folder, 0o555)
			t.Cleanup(func() { chmod(t, folder, 0o755) })

			var log strings.Builder
			cmd := processtest.Command(t.Context(), "open", path)
			cmd.Stderr = &log
			if os.Getuid() == 0 { // root may write anywhere
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				cmd.Path = "/proc/self/exe" // the program's folder is closed to other users
			}
			if err := cmd.Run(); err == nil {
				t.Fatal("it was written")
			}
			said := log.String()
			if !strings.Contains(said, path) || !strings.Contains(said, "make its folder writable for this user") {
				t.Errorf("said %q", said)
			}
		})
	}
}

func chmod(t *testing.T, name string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}
