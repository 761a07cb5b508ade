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
func NewSubprocess(path string, command Command) *Source {
	return &Source{path: path, work: subprocess{command}}
}

// worker does what needs SQLite.
type worker interface {
	// dump writes the database at path to w.
	dump(ctx context.Context, path string, w io.Writer) (backup.Contents, error)
	// inspect checks the scratch database at path and reads what is in it.
	inspect(ctx context.Context, path string) (backup.Contents, error)
}

var (
	_ worker = engine{}
	_ worker = subprocess{}
)

// The first argument of a subprocess; a path follows.
const (
	toDump    = "dump"
	toInspect = "inspect"
)

// outcome is what a subprocess answers.
type outcome struct {
	Contents backup.Contents `json:"contents"`
	Failed   bool            `json:"failed"`
	Error    string          `json:"error"`
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

func work(ctx context.Context, what, path string, stdout io.Writer) (backup.Contents, error) {
	engine, err := newEngine()
	if err != nil {
		return backup.Contents{}, err
	}
	switch what {
	case toDump:
		return engine.dump(ctx, path, stdout)
	case toInspect:
		return engine.inspect(ctx, path)
	}
	return backup.Contents{}, fmt.Errorf("this program can't %q: it is of another version than the one that asks", what)
}

func newOutcome(contents backup.Contents, err error) outcome {
	o := outcome{Contents: contents}
	if err == nil {
		return o
	}
	o.Failed, o.Error = true, err.Error()
	for name, kind := range kinds() {
		if errors.Is(err, kind) {
			o.Kind = name
		}
	}
	return o
}

// result is what the subprocess has returned.
func (o outcome) result() (backup.Contents, error) {
	if !o.Failed {
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

// subprocess has subprocesses do the work.
type subprocess struct{ command Command }

func (s subprocess) dump(ctx context.Context, path string, w io.Writer) (backup.Contents, error) {
	return s.run(ctx, w, toDump, path)
}

func (s subprocess) inspect(ctx context.Context, path string) (backup.Contents, error) {
	return s.run(ctx, io.Discard, toInspect, path)
}

// run starts a subprocess and copies its output to w. The process has ended when run
// returns.
func (s subprocess) run(ctx context.Context, w io.Writer, args ...string) (backup.Contents, error) {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := s.command(within, args...)
	var stderr bounded
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return backup.Contents{}, err
	}
	answers, answer, err := os.Pipe()
	if err != nil {
		return backup.Contents{}, err
	}
	defer answers.Close() //nolint:errcheck // only read from
	cmd.ExtraFiles = []*os.File{answer}
	err = cmd.Start()
	_ = answer.Close() // the process has its own
	if err != nil {
		return backup.Contents{}, fmt.Errorf("the process that reads SQLite can't be started: %w", err)
	}
	_, copying := io.CopyBuffer(plainWriter{w}, stdout, make([]byte, chunk))
	if copying != nil {
		cancel() // nobody wants the rest
	}
	text, reading := io.ReadAll(answers)
	ending := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return backup.Contents{}, ctx.Err()
	case copying != nil:
		return backup.Contents{}, copying
	}
	var o outcome
	if err := errors.Join(ending, reading, json.Unmarshal(text, &o)); err != nil {
		return backup.Contents{}, fmt.Errorf("%w: the process that reads SQLite has ended before it was done: %w: %s", backup.ErrUnavailable, err, stderr.text.String())
	}
	return o.result()
}

// plainWriter hides what else a writer can do, so that it gets whole chunks.
type plainWriter struct{ io.Writer }

// bounded keeps the beginning of what is written to it.
type bounded struct{ text bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.text.Write(p[:min(len(p), max(0, 4096-b.text.Len()))])
	return len(p), nil
}
