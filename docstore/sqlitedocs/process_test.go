//go:build unix

package sqlitedocs

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// processVariable makes the test binary another process, one that a test can
// kill or take the disk from.
const processVariable = "MANUS_TEST_PROCESS"

func TestMain(m *testing.M) {
	processes := map[string]func(path string) error{
		"crash": crashProcess, "count": countProcess, "full disk": fullDiskProcess, "open": openProcess,
	}
	run, ok := processes[os.Getenv(processVariable)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// process is the test binary running as another process.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	lines  *bufio.Scanner
	stderr bytes.Buffer
}

// startProcess runs what is called name on the file, as another user where a
// credential is given. It is killed at the latest when t ends.
func startProcess(t *testing.T, name, path string, as *syscall.Credential) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if as != nil {
		self = "/proc/self/exe" // its folder is closed to other users
	}
	p := &process{cmd: exec.CommandContext(t.Context(), self, path)}
	p.cmd.Env = append(os.Environ(), processVariable+"="+name)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
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

// end waits until the process has ended by itself, well.
func (p *process) end(t *testing.T) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &p.stderr)
	}
}

// kill ends the process as a power cut would, with no word.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatalf("it has ended before: %v: %s", err, &p.stderr)
	}
}

// printer writes whole lines from many goroutines.
type printer struct{ mu sync.Mutex }

// line is written at once, so a killed process leaves no half of it.
func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = os.Stdout.WriteString(fmt.Sprintf(format+"\n", args...)) // the parent is gone when this fails
}
