package sqlitedump

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"

	"manus/internal/processtest"
)

// workOnAFullDisk works where no file can become longer than so many bytes.
func workOnAFullDisk(longest uint64, args []string) error {
	signal.Ignore(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: longest, Max: longest}); err != nil {
		return err
	}
	os.Exit(Work(context.Background(), args, os.Stdout))
	return nil
}

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{
		"write": writeProcess, "hold": holdProcess, "drill": drillProcess, "restore": restoreProcess, "dirty": dirtyProcess,
		"work":                               func(args []string) error { os.Exit(Work(context.Background(), args, os.Stdout)); return nil },
		"work, when the disk is full":        func(args []string) error { return workOnAFullDisk(1, args) },
		"work, when the disk is almost full": func(args []string) error { return workOnAFullDisk(4096, args) },
		"die":                                func([]string) error { fmt.Fprintln(os.Stderr, "out of luck"); os.Exit(7); return nil },
	})
	m.Run()
}
