// Package testprogram has the programs that tests start and the product doesn't depend
// on. Setting a machine up with them takes minutes, which no test's time limit has, so
// the command internal/testsetup does it before. A test process looks whether a program
// is there, and where it isn't ends at once with the line to type.
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

// patience bounds how long a program is waited for.
const patience = 5 * time.Minute

// A Package is one of the system's, for the command that it brings, or the module of
// the system's Python.
type Package struct {
	Command string // a name, or the path of a module's folder
	Name    string // of Debian's package
}

// What tests start of the system's packages, and all of it.
var (
	Redis    = Package{"redis-server", "redis-server"}
	RedisCLI = Package{"redis-cli", "redis-tools"}
	HAProxy  = Package{"haproxy", "haproxy"}
	Pgrep    = Package{"pgrep", "procps"}
	Curl     = Package{"curl", "curl"}
	IP       = Package{"ip", "iproute2"}
	Chromium = Package{"chromium", "chromium"}

	PythonSentry  = Package{"/usr/lib/python3/dist-packages/sentry_sdk", "python3-sentry-sdk"}
	PythonFastAPI = Package{"/usr/lib/python3/dist-packages/fastapi", "python3-fastapi"}
	PythonUvicorn = Package{"/usr/lib/python3/dist-packages/uvicorn", "python3-uvicorn"}

	Packages = []Package{Redis, RedisCLI, HAProxy, Pgrep, Curl, IP, Chromium, PythonSentry, PythonFastAPI, PythonUvicorn}
)

// A Program is built of a module of its own, or installed as a package of npm is, which
// locks its dependencies and has a script "build".
type Program struct {
	Name  string
	What  string   // for people
	Dir   string   // the module's folder, or the package's
	Build []string // what go build is told: flags, and the package; none for a package of npm
}

// What tests start of programs, and all of it.
var (
	FerretDB       = Program{"ferretdb", "a server that speaks MongoDB's protocol", ours("mongotest/server"), []string{"-tags", "ferretdb_no_postgresql", "."}}
	Mongodump      = mongoTool("mongodump")
	Mongorestore   = mongoTool("mongorestore")
	Versitygw      = Program{"versitygw", "an S3 server", ours("s3test/server"), []string{"."}}
	OpenIDProvider = Program{"openid-provider", "an OpenID Connect provider", ours("oidctest/provider"), []string{"."}}

	SentryGo         = Program{"sentry-go", "a program that reports to Sentry", ours("sentrytest/go"), []string{"-trimpath", "."}}
	SentryJavaScript = Program{"sentry-javascript", "programs and a page that report to Sentry", ours("sentrytest/javascript"), nil}

	StatusClients = Program{"status-clients", "clients of status pages", ours("statustest"), nil}
	Lighthouse    = Program{"lighthouse", "what rates pages", ours("statustest/lighthouse"), nil}

	ClientMaker = Program{"client-maker", "what reads the OpenAPI document, and makes a client of it", ours("clienttest"), nil}

	FrontEnd = Program{"front-end", "a product's front-end, built by Vite", ours("frontend"), nil}

	Programs = []Program{FerretDB, Mongodump, Mongorestore, Versitygw, OpenIDProvider, SentryGo, SentryJavaScript, StatusClients, Lighthouse, ClientMaker, FrontEnd}
)

// ours is a folder in internal.
func ours(name string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(filepath.Dir(file)), name)
}

func mongoTool(name string) Program {
	return Program{name, "MongoDB's own", ours("mongotest/tools"), []string{"github.com/mongodb/mongo-tools/" + name + "/main"}}
}

// Find is the path of the command, or an error. Daemons are where only root looks.
func (p Package) Find() (string, error) {
	if filepath.IsAbs(p.Command) {
		_, err := os.Stat(p.Command)
		return p.Command, err
	}
	path, err := exec.LookPath(p.Command)
	if err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", p.Command))
}

// Path is the path of the command. Where there is none, the test process ends.
func (p Package) Path() string {
	path, err := p.Find()
	return orEnd(p.Command, path, err)
}

// Find is where the program is, once it has been built of these sources, or an error.
func (p Program) Find() (string, error) {
	path, err := p.cached()
	if err == nil {
		_, err = os.Stat(path)
	}
	return path, err
}

// Path is the path of the program, or of the installed package's folder. Where it hasn't
// been built, the test process ends.
func (p Program) Path() string {
	path, err := p.Find()
	return orEnd(p.Name, path, err)
}

// orEnd ends the process where what a test needs is missing: each further test would say
// the same, some of them after a long time.
func orEnd(name, path string, missing error) string {
	if missing != nil {
		fmt.Fprintf(os.Stderr, "These tests start %s, which isn't here: type 'go run ./internal/testsetup' in the repository's folder, once.\n", name)
		os.Exit(1)
	}
	return path
}

// Make builds the program, into the user's cache, where it is for all that this user
// tests. Whoever wants it at the same time waits.
func (p Program) Make() error {
	path, err := p.cached()
	if err != nil {
		return err
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // which gives the lock back
	if err := flock(lock); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return p.build(path)
}

// cached is where the program is, or will be.
func (p Program) cached() (string, error) {
	sum, err := p.sum()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "manus-testprograms")
	return filepath.Join(cache, p.Name+"-"+sum), os.MkdirAll(cache, 0o700)
}

// sum tells the program's sources, and what would build them, from others.
func (p Program) sum() (string, error) {
	names, err := p.sources()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH, p.Build)
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, name, len(text))
		sum.Write(text)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:12]), nil
}

// sources are the names of the files that the program is made of.
func (p Program) sources() (names []string, err error) {
	entries, err := os.ReadDir(p.Dir)
	for _, entry := range entries {
		switch name := entry.Name(); filepath.Ext(name) {
		case ".go", ".mod", ".sum", ".json", ".mjs", ".ts", ".html":
			if !strings.HasSuffix(name, "_test.go") {
				names = append(names, name)
			}
		}
	}
	return names, err
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
func (p Program) build(path string) error {
	unfinished := path + ".unfinished"
	make := p.compile
	if p.Build == nil {
		make = p.install
	}
	if err := make(unfinished); err != nil {
		return fmt.Errorf("%s can't be built in %s: %w", p.Name, p.Dir, err)
	}
	return os.Rename(unfinished, path)
}

func (p Program) compile(path string) error {
	return run(p.Dir, "go", append([]string{"build", "-buildvcs=false", "-o", path}, p.Build...)...)
}

// install copies the package's files and has npm fetch what the lock file names, whose
// own scripts don't run.
func (p Program) install(path string) error {
	if err := os.RemoveAll(path); err != nil { // what a killed process has left
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	names, err := p.sources()
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(path, name), text, 0o600); err != nil {
			return err
		}
	}
	if err := run(path, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
		return err
	}
	return run(path, "npm", "run", "build")
}

func run(dir, name string, args ...string) error {
	command := exec.Command(name, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// Process is a running program. It runs until its input ends, which this process
// holds open: so it ends too when this process is gone, whatever became of that.
type Process struct {
	cmd *exec.Cmd
	in  io.Closer
	log bytes.Buffer
}

// Start runs the program and waits until it has said, in one line of JSON, what there
// is to know about it. That is put into ready.
func (program Program) Start(ready any, args ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(program.Path(), args...)}
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
		return nil, fmt.Errorf("%s doesn't start: %w\n%s", program.Name, err, p.Log())
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
