package targettest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"manus/backup"
)

// What a process that the suite has started does with the target. Each is also the
// name of the file that it writes.
const (
	halfRole  = "half"  // writes a file but doesn't commit it before it is told to
	wholeRole = "whole" // commits a file but doesn't release it before
	largeRole = "large" // writes a large file, and tells how much memory it took
)

// ready is what a child says when it is where its role leads.
const ready = "ready"

const (
	largeSize = 96 << 20
	mostHeap  = 80 << 20 // with what the garbage collector leaves
)

// The variables of the environment by which a child is told what it is.
const (
	roleVariable  = "MANUS_TARGETTEST_ROLE"
	placeVariable = "MANUS_TARGETTEST_PLACE"
)

// Child is called by TestMain before anything else. In a process that the suite has
// started it plays its role, and never returns; open opens the place that a
// [Harness] has named.
func Child(open func(place string) (backup.Target, error)) {
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	if err := play(role, open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func play(role string, open func(string) (backup.Target, error)) error {
	target, err := open(os.Getenv(placeVariable))
	if err != nil {
		return err
	}
	size, piece := int64(12<<20), Bytes(1, 1<<20)
	if role == largeRole {
		size = largeSize
	}
	upload, err := target.Create(context.Background(), role, size)
	if err != nil {
		return err
	}
	for range size / int64(len(piece)) {
		if _, err := upload.Write(piece); err != nil {
			return err
		}
	}
	if role != halfRole {
		err = upload.Commit()
	}
	fmt.Println(ready, heap())
	if _, waited := io.Copy(io.Discard, os.Stdin); waited != nil { // until we may go on
		return waited
	}
	if role == halfRole {
		err = upload.Commit()
	}
	return errors.Join(err, upload.Release())
}

// heap is how many bytes the heap has had at most.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys
}

// child is a process of the suite's.
type child struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
	log strings.Builder
}

// startChild starts this test program anew, in a role.
func startChild(t *testing.T, h Harness, role string) *child {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(program)}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role, placeVariable+"="+h.Place)
	c.cmd.Stderr = &c.log
	out, outErr := c.cmd.StdoutPipe()
	c.in, err = c.cmd.StdinPipe()
	if err := errors.Join(outErr, err, c.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	t.Cleanup(func() { _ = c.cmd.Process.Kill() }) // it may have ended
	return c
}

// await waits until the child says something, and returns the line.
func (c *child) await(t *testing.T, what string) string {
	t.Helper()
	late := time.AfterFunc(time.Minute, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	line, err := c.out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, what) {
		_ = c.cmd.Wait()
		t.Fatalf("the process says %q: %v\n%s", line, err, &c.log)
	}
	return line
}

// kill kills the child as nothing lets it be prepared for.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait() // it says that it was killed
}

// finish lets the child go on to its end.
func (c *child) finish(t *testing.T) {
	t.Helper()
	if err := errors.Join(c.in.Close(), c.cmd.Wait()); err != nil {
		t.Fatalf("%v\n%s", err, &c.log)
	}
}
