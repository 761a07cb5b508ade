// Package processtest starts a test's program anew, as another process, which the test
// talks with and kills. What such processes do it doesn't know.
package processtest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// roleVariable is set where the program is such a process.
const roleVariable = "MANUS_TEST_ROLE"

// How large a campaign is: how often something is killed, damaged, or tried on another disk.
const (
	CrashRounds = "MANUS_CRASH_ROUNDS"
	Damages     = "MANUS_TEST_DAMAGES"
	DiskSizes   = "MANUS_DISK_SIZES"
)

// Size is the number that the environment's variable has, or else usually: for tests that
// luck has a part in, and that are done at full size now and then.
func Size(variable string, usually int) int {
	text := os.Getenv(variable)
	if text == "" {
		return usually
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		panic(fmt.Sprintf("%s is %q: it has to be a number from 1", variable, text))
	}
	return n
}

// Roles are what processes of a package's tests do, by name, with their arguments.
type Roles map[string]func(args []string) error

// Play is called by TestMain before any test. In a process that a test has started it
// plays the role, and doesn't return.
func Play(roles Roles) {
	name, started := os.LookupEnv(roleVariable)
	if !started {
		return
	}
	err := fmt.Errorf("there is no role %q", name)
	if play, ok := roles[name]; ok {
		err = play(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// UntilInputEnds is how a role waits for the test to let it go on, or to be gone.
func UntilInputEnds() { _, _ = io.Copy(io.Discard, os.Stdin) }

// Command is the program in a role.
func Command(ctx context.Context, role string, args ...string) *exec.Cmd {
	self, _ := os.Executable() // no name can't be started, and says so
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

// Process is one that has been started.
type Process struct {
	*exec.Cmd
	Input io.WriteCloser
	Lines *bufio.Scanner // of its output
	Log   bytes.Buffer   // its standard error, to be read when it has ended
}

// Start starts the program in a role. It is killed at the latest when t ends.
func Start(t testing.TB, role string, args ...string) *Process {
	t.Helper()
	p := &Process{Cmd: Command(t.Context(), role, args...)}
	p.Stderr = &p.Log
	input, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Input, p.Lines = input, bufio.NewScanner(output)
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Wait() }) // it has ended, or t's context has killed it
	return p
}

// Await waits for a line that begins so, and returns the rest of it.
func (p *Process) Await(t testing.TB, prefix string) string {
	t.Helper()
	for p.Lines.Scan() {
		if rest, ok := strings.CutPrefix(p.Lines.Text(), prefix); ok {
			return rest
		}
	}
	t.Fatalf("it ended without saying %q: %v: %s", prefix, p.Wait(), &p.Log)
	return ""
}

// Kill ends the process as a power cut would, and returns the lines that nobody has read.
// It must not have ended by itself.
func (p *Process) Kill(t testing.TB) (unread []string) {
	t.Helper()
	_ = p.Process.Kill() // what became of it is seen below
	for p.Lines.Scan() {
		unread = append(unread, p.Lines.Text())
	}
	if err := p.Wait(); p.ProcessState.Exited() {
		t.Fatalf("it ended before it was killed: %v: %s", err, &p.Log)
	}
	return unread
}

// End ends the process's input, and waits until it has ended well.
func (p *Process) End(t testing.TB) {
	t.Helper()
	_ = p.Input.Close() // it may be closed
	for p.Lines.Scan() {
	}
	if err := p.Wait(); err != nil {
		t.Fatalf("it failed: %v: %s", err, &p.Log)
	}
}
