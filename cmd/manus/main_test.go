package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"manus/internal/mongotest"
	"manus/internal/waittest"
)

// TestMain lets the test binary be the program too, when it is called "manus".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"manus": main, impatient: watchImpatiently})
}

// TestScripts runs what a person would type, from testdata.
func TestScripts(t *testing.T) {
	t.Parallel()
	runScripts(t, "testdata", func(*testscript.Env) {})
}

// TestScriptsOfMongoDB runs what is typed where the data is in MongoDB.
func TestScriptsOfMongoDB(t *testing.T) {
	t.Parallel()
	server := mongotest.URI(t)
	scripts, err := filepath.Abs("../../scripts")
	if err != nil {
		t.Fatal(err)
	}
	runScripts(t, "testdata/mongodb", func(env *testscript.Env) {
		env.Setenv("MONGODB_URI", withDatabase(server, mongotest.Database(t)))
		env.Setenv("OTHER_URI", withDatabase(server, mongotest.Database(t)))
		env.Setenv("EMPTY_URI", withDatabase(server, mongotest.Database(t)))
		env.Setenv("SCRIPTS", scripts)
		env.Setenv("MANUS", "manus")
	})
}

// withDatabase is the URI of a database on a server.
func withDatabase(server, database string) string {
	hosts, options, _ := strings.Cut(server, "?")
	return strings.TrimSuffix(hosts, "/") + "/" + database + "?" + options
}

func runScripts(t *testing.T, dir string, setup func(*testscript.Env)) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Values[scriptKey{}] = &script{}
			setup(env)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":     start,
			"interrupt": interrupt,
			"http":      request,
			"save":      save,
			"follow":    follow,
			"mode":      mode,
			"newest":    newest,
			"owner":     owner,
			"damage":    damage,
			"keys":      keys,

			"await-log":    awaitLog,
			"await-backup": awaitBackup,
			"await-alert":  awaitAlert,
			"receiver":     receiver,

			"exits":   exits,
			"capture": capture,
			"report":  report,
		},
	})
}

// script is what the commands of one script share.
type script struct {
	running  *program
	receiver atomic.Int32 // the status that the receiver of webhooks answers
	last     []byte       // the last answer's body
}

type scriptKey struct{}

func of(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

// start runs a manus command that serves, waits until it does, and sets $URL.
// What it has printed by then is the output.
func start(ts *testscript.TestScript, _ bool, args []string) {
	env := []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME")}
	for _, arg := range args {
		if name, _, ok := strings.Cut(arg, "="); ok && strings.ToUpper(name) == name {
			env, args = append(env, arg), args[1:]
		}
	}
	p, err := startProgram(ts.MkAbs("."), env, args...)
	ts.Check(err)
	of(ts).running = p
	ts.Defer(p.kill)
	ts.Setenv("URL", p.url)
	fmt.Fprint(ts.Stdout(), &p.stdout)
}

// interrupt ends the running program as Ctrl+C does; it has to exit 0.
func interrupt(ts *testscript.TestScript, _ bool, _ []string) {
	p := of(ts).running
	ts.Check(p.cmd.Process.Signal(os.Interrupt))
	if err := p.wait(); err != nil {
		ts.Fatalf("it ended with %v: %s", err, &p.stderr)
	}
}

// awaitLog waits until the running program has logged a text.
func awaitLog(ts *testscript.TestScript, _ bool, args []string) {
	p := of(ts).running
	if p.stderr.Wait(context.Background(), func() bool { return strings.Contains(p.stderr.String(), args[0]) }) != nil {
		ts.Fatalf("it hasn't logged %q: %s", args[0], &p.stderr)
	}
}

// request sends METHOD PATH [BODY], with $TOKEN where it is set, and prints
// the status and the body.
func request(ts *testscript.TestScript, _ bool, args []string) {
	body := strings.Join(args[2:], " ")
	r, err := http.NewRequestWithContext(context.Background(), args[0], ts.Getenv("URL")+args[1], strings.NewReader(body))
	ts.Check(err)
	r.Header.Set("Content-Type", "application/json")
	if token := ts.Getenv("TOKEN"); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer response.Body.Close()
	of(ts).last, err = io.ReadAll(response.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d %s\n", response.StatusCode, of(ts).last)
}

// save sets a variable to a field of the last answer: save TOKEN access_token.
func save(ts *testscript.TestScript, _ bool, args []string) {
	var fields map[string]any
	ts.Check(json.Unmarshal(of(ts).last, &fields))
	value, ok := fields[args[1]].(string)
	if !ok {
		ts.Fatalf("the answer has no %s", args[1])
	}
	ts.Setenv(args[0], value)
}

// follow reads a session's live stream from after an event on until its
// end: follow ID AFTER. It prints each event's id and data.
func follow(ts *testscript.TestScript, _ bool, args []string) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, ts.Getenv("URL")+"/api/v1/sessions/"+args[0]+"/events", nil)
	ts.Check(err)
	r.Header.Set("Authorization", "Bearer "+ts.Getenv("TOKEN"))
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Last-Event-ID", args[1])
	response, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer response.Body.Close()
	fmt.Fprintf(ts.Stdout(), "%d %s\n", response.StatusCode, response.Header.Get("Content-Type"))
	_, err = io.Copy(ts.Stdout(), response.Body)
	ts.Check(err)
}

// mode checks a file's permissions: mode 0600 .env.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%#o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has the mode %s", args[1], got)
	}
}

// manus is the program, as it is typed.
func manus(ctx context.Context, dir string, args ...string) *exec.Cmd {
	self, _ := os.Executable() // no name can't be started, and says so
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Args[0] = "manus" // which makes it that; see TestMain
	cmd.Dir = dir
	return cmd
}

// program is a running manus.
type program struct {
	cmd    *exec.Cmd
	url    string
	stdout welcome
	stderr waittest.Log
	ended  chan struct{}
	err    error
}

// startProgram runs manus until it serves.
func startProgram(dir string, env []string, args ...string) (*program, error) {
	return startCommand(manus(context.Background(), dir, args...), env, func(int) {})
}

// startCommand runs a command that becomes manus, until it serves. Of the process is told as soon
// as it runs.
func startCommand(cmd *exec.Cmd, env []string, runs func(pid int)) (*program, error) {
	serving := make(chan string, 1)
	p := &program{cmd: cmd, stdout: welcome{serving: serving}, ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout = env, &p.stdout
	logged, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	runs(p.cmd.Process.Pid)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(logged); lines.Scan(); {
			fmt.Fprintln(&p.stderr, lines.Text())
			if addr := startedAt(lines.Text()); addr != "" {
				serving <- addr
			}
		}
		p.err = p.cmd.Wait()
	}()
	select {
	case addr := <-serving:
		p.url = "http://" + addr
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("it ended: %w: %s", p.err, &p.stderr)
	}
}

// startedAt is the address in the log line that says it serves.
func startedAt(line string) string {
	var entry struct{ Msg, Addr string }
	if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "started" {
		return entry.Addr
	}
	return ""
}

func (p *program) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-p.ended
}

func (p *program) wait() error {
	<-p.ended
	return p.err
}

// welcome is the output, of which it notices the welcome of `manus dev`.
type welcome struct {
	waittest.Log
	serving chan<- string
}

func (w *welcome) Write(text []byte) (int, error) {
	n, err := w.Log.Write(text)
	if _, rest, ok := strings.Cut(string(text), "http://"); ok && strings.Contains(rest, "Ctrl+C") {
		addr, _, _ := strings.Cut(rest, "/")
		w.serving <- addr
	}
	return n, err
}

// serveEnv are the settings of a server on a free port of this machine.
func serveEnv(t *testing.T, dir string) []string {
	t.Helper()
	return []string{
		"JWT_SECRET_KEY=qX4vT9mLz2Rk7Wp5Jd8Fh3Ns6Bc1Gy0Ae-tests",
		"ADDR=127.0.0.1:0", "OPS_ADDR=off", "SHUTDOWN_DELAY=0s",
		"DATA_DIR=" + filepath.Join(dir, "data"),
	}
}
