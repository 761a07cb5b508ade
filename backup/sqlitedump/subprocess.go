package sqlitedump

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"

	"manus/backup"
	"manus/internal/nice"
)

// Command is this program as a subprocess, which gives args to [Work] and exits
// with what that returns. The process is killed when the context ends.
type Command func(ctx context.Context, args ...string) *exec.Cmd

// NewSubprocess is as [New], with all of SQLite's work done by subprocesses that command
// starts. It is for servers that write to the database themselves: all connections of
// a process share SQLite's page cache and its lock, so that one which reads a whole
// database makes the others wait, up to a second when it is closed.
func NewSubprocess(path string, command Command) *Source { return &Source{path, command.run} }

// worker does a task with the database at path, and returns what is in that. Tasks are
// the first argument of a subprocess; the path follows.
type worker func(ctx context.Context, task, path string, w io.Writer) (backup.Contents, error)

const (
	toDump    = "dump"    // writes the database to w
	toInspect = "inspect" // checks a scratch database
)

// work does a task in this process.
func work(ctx context.Context, task, path string, w io.Writer) (backup.Contents, error) {
	switch task {
	case toDump:
		return dumpFile(ctx, path, w)
	case toInspect:
		return inspect(ctx, path)
	}
	return backup.Contents{}, fmt.Errorf("this program can't %q: it is of another version than the one that asks", task)
}

// outcome is what a subprocess answers.
type outcome struct {
	Contents backup.Contents `json:"contents"`
	Error    string          `json:"error"` // empty is none
	Kind     string          `json:"kind"`
}

// kinds are the errors that mean something, by what they are called in an outcome.
func kinds() map[string]error {
	return map[string]error{
		"unavailable": backup.ErrUnavailable,
		"damaged":     backup.ErrDamaged,
		"not exist":   fs.ErrNotExist,
	}
}

// Work does, as a subprocess, what a source of NewSubprocess wants: it writes a dump to
// stdout, and the outcome to the file descriptor 3. It returns the process's exit code.
func Work(ctx context.Context, args []string, stdout io.Writer) int {
	answer := os.NewFile(3, "answer")
	if len(args) != 2 || answer == nil {
		return 2
	}
	nice.Down()
	contents, err := work(ctx, args[0], args[1], stdout)
	if err := json.NewEncoder(answer).Encode(newOutcome(contents, err)); err != nil {
		return 1 // the parent is gone
	}
	return 0
}

func newOutcome(contents backup.Contents, err error) outcome {
	if err == nil {
		return outcome{Contents: contents}
	}
	o := outcome{Error: err.Error()}
	for name, kind := range kinds() {
		if errors.Is(err, kind) {
			o.Kind = name
		}
	}
	return o
}

// result is what the subprocess has returned.
func (o outcome) result() (backup.Contents, error) {
	if o.Error == "" {
		return o.Contents, nil
	}
	return backup.Contents{}, remoteError{o.Error, kinds()[o.Kind]}
}

// remoteError is an error that a subprocess has reported.
type remoteError struct {
	text string
	kind error // may be nil
}

func (e remoteError) Error() string { return e.text }
func (e remoteError) Unwrap() error { return e.kind }

// run has a subprocess do a task. It has ended when run returns.
func (c Command) run(ctx context.Context, task, path string, w io.Writer) (backup.Contents, error) {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := c(within, task, path)
	stdout, stderr := &receiver{w: w, cancel: cancel}, &bounded{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	answer, err := answerOf(cmd)
	switch {
	case ctx.Err() != nil:
		return backup.Contents{}, ctx.Err()
	case cmd.Process == nil:
		return backup.Contents{}, fmt.Errorf("the process that reads SQLite can't be started; see whether the program is where it was, and there is memory: %w", err)
	case stdout.err != nil:
		return backup.Contents{}, stdout.err
	}
	var o outcome
	if err := errors.Join(err, json.Unmarshal(answer, &o)); err != nil {
		return backup.Contents{}, fmt.Errorf("%w: the process that reads SQLite has ended before it was done; try again, and see whether there is memory enough: %w: %s", backup.ErrUnavailable, err, stderr.text.String())
	}
	return o.result()
}

// answerOf runs a process and returns what it writes to the file descriptor 3.
func answerOf(cmd *exec.Cmd) ([]byte, error) {
	answers, answer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer answers.Close() //nolint:errcheck // only read from
	cmd.ExtraFiles = []*os.File{answer}
	err = cmd.Start()
	_ = answer.Close() // the process has its own
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(answers)
	return text, errors.Join(err, cmd.Wait())
}

// receiver takes what a process writes, which it ends when nobody wants the rest.
type receiver struct {
	w      io.Writer
	cancel func()
	err    error
}

func (r *receiver) Write(p []byte) (n int, err error) {
	if n, r.err = r.w.Write(p); r.err != nil {
		r.cancel()
	}
	return n, r.err
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ text bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.text.Write(p[:min(len(p), max(0, 4096-b.text.Len()))])
	return len(p), nil
}
