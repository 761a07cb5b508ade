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

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{
		"write": writeProcess, "hold": holdProcess, "drill": drillProcess, "restore": restoreProcess, "dirty": dirtyProcess,
		"work": func(args []string) error { os.Exit(Work(context.Background(), args, os.Stdout)); return nil },
		"work, when the disk is full": func(args []string) error {
			signal.Ignore(unix.SIGXFSZ)
			if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
				return err
			}
			os.Exit(Work(context.Background(), args, os.Stdout))
			return nil
		},
		"die": func([]string) error { fmt.Fprintln(os.Stderr, "out of luck"); os.Exit(7); return nil },
	})
	m.Run()
}
