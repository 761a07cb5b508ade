// Package testprogram gives tests programs that are modules of their own, which the
// product doesn't depend on: it builds them once for all test processes of a user,
// and runs them for as long as the test process lives.
package testprogram

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// patience bounds how long a program is waited for, once it is built.
const patience = 30 * time.Second

// Build is the path of the program whose module is in the folder source. It is built
// in the user's cache, with further flags of go build, when nobody has built it of
// these sources yet, which takes minutes when there is much to compile. Test
// processes that want it at the same time wait for the one that builds it.
func Build(source string, flags ...string) (string, error) {
	path, err := cached(source, flags)
	if err != nil {
		return "", err
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // which gives the lock back
	if err := flock(lock); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := build(source, flags, path); err != nil {
		return "", fmt.Errorf(`a program of the tests can't be built of %s, which needs its modules and, the first time, minutes; try
    cd %[1]s && go build -o /dev/null .
%w`, source, err)
	}
	return path, nil
}

// cached is where the program is, or will be.
func cached(source string, flags []string) (string, error) {
	sum, err := sumOf(source, flags)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "manus-testprograms")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	return filepath.Join(cache, filepath.Base(filepath.Dir(source))+"-"+sum), nil
}

// sumOf tells a module's sources, and what would build them, from others.
func sumOf(source string, flags []string) (string, error) {
	entries, err := os.ReadDir(source)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH, flags)
	for _, entry := range entries {
		name := entry.Name()
		if ext := filepath.Ext(name); ext != ".go" && ext != ".mod" && ext != ".sum" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, name, len(text))
		sum.Write(text)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:12]), nil
}

// flock waits for the file's lock and takes it.
func flock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// build builds the program. It has its name when it's whole: this process may be
// killed at any time.
func build(source string, flags []string, path string) error {
	unfinished := path + ".unfinished"
	args := append([]string{"build", "-buildvcs=false", "-o", unfinished}, flags...)
	command := exec.Command("go", append(args, ".")...)
	command.Dir = source
	command.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return os.Rename(unfinished, path)
}

// Process is a running program. It runs until its input ends, which this process
// holds open: so it ends too when this process is gone, whatever became of that.
type Process struct {
	cmd *exec.Cmd
	in  io.Closer
	log bytes.Buffer
}

// Start runs the program at path and waits until it has said, in one line of JSON,
// what there is to know about it. That is put into ready.
func Start(path string, ready any, args ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(path, args...)}
	p.cmd.Stderr = &p.log
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	err = json.NewDecoder(out).Decode(ready)
	late.Stop()
	if err != nil {
		err = errors.Join(err, p.End())
		return nil, fmt.Errorf("%s doesn't start: %w\n%s", path, err, p.Log())
	}
	return p, nil
}

// End ends the process, gently if it lets itself be, and waits for it.
func (p *Process) End() error {
	err := p.in.Close()
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	return errors.Join(err, p.cmd.Wait())
}

// Log is what the process has written about what it did. It may be asked for after
// End.
func (p *Process) Log() string { return p.log.String() }
