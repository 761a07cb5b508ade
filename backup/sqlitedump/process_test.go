package sqlitedump

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// processVariable makes the test binary another process, one that a test can kill.
const processVariable = "MANUS_TEST_PROCESS"

func TestMain(m *testing.M) {
	processes := map[string]func(args []string) error{
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
	}
	run, ok := processes[os.Getenv(processVariable)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// command is the test binary as what is called name.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), processVariable+"="+name)
	return cmd
}

// process is the test binary running as another process.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr bytes.Buffer
}

// start runs what is called name. It is killed at the latest when t ends.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: command(t.Context(), name, args...)}
	p.cmd.Stderr = &p.stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin, p.lines = stdin, bufio.NewScanner(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// await waits for a line that begins so, and returns the rest of it.
func (p *process) await(t *testing.T, prefix string) string {
	t.Helper()
	for p.lines.Scan() {
		if rest, ok := strings.CutPrefix(p.lines.Text(), prefix); ok {
			return rest
		}
	}
	err := p.cmd.Wait()
	t.Fatalf("it ended without saying %q: %v: %s", prefix, err, &p.stderr)
	return ""
}

// kill ends the process as a power cut would, with no word.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatalf("it has ended before: %v: %s", err, &p.stderr)
	}
	_ = p.cmd.Wait() // it was killed
}

// untilParentEnds keeps a process from outliving the test.
func untilParentEnds() { _, _ = io.Copy(io.Discard, os.Stdin) }
