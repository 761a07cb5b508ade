// Package sentrytest has real clients of Sentry's protocol report to whatever a DSN names:
// programs with sentry-go, @sentry/node and Debian's sentry-sdk of Python (with FastAPI), a page
// with @sentry/browser in Chromium, and sentry-cli. Each plays a [Scenario] and returns when its SDK
// has sent everything. [Capture] is a server that keeps what they send as it came.
//
// The programs are in the folders go, javascript and python, and the product depends on none of
// them.
package sentrytest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"manus/internal/browsertest"
	"manus/internal/testprogram"
)

// patience bounds how long a client may take in all.
const patience = 5 * time.Minute

// Scenario is what a client does. Which client plays which is in [Clients].
type Scenario string

// The scenarios. The order that can't be paid is the bug of all that don't say otherwise.
const (
	Uncaught    Scenario = "uncaught"     // an error that ends the program, or would
	Rejection   Scenario = "rejection"    // an error in something asynchronous that nobody waits for
	StringPanic Scenario = "string-panic" // what was thrown is no error, but a text
	Caught      Scenario = "caught"       // an error with its cause
	Wrapped     Scenario = "wrapped"      // an error in two fmt.Errorf with %w
	Locals      Scenario = "locals"       // the password hunter2-correct-horse and the card 4111111111111111 in variables, messages or breadcrumbs
	Message     Scenario = "message"      // "the shop is open"
	Template    Scenario = "template"     // "stock of tea is 3", which had two parameters
	Context     Scenario = "context"      // user, tags, contexts and breadcrumbs beside an error
	Fingerprint Scenario = "fingerprint"  // "{{ default }}" and "database-down"
	Transaction Scenario = "transaction"  // a transaction with two spans, as an item of its own
	Spans       Scenario = "spans"        // the same as @sentry of version 11 sends it, as a container of spans
	Session     Scenario = "session"      // release health, with an error in it
	CheckIn     Scenario = "checkin"      // two monitors: by crontab, which is well, and by interval, which fails
	Feedback    Scenario = "feedback"     // of a person, with the event that it is about
	Attachment  Scenario = "attachment"   // a text and a few bytes beside an error
	Recursion   Scenario = "recursion"    // an error 40 calls deep
	Route       Scenario = "route"        // an error in an HTTP handler, with secrets in the request
	Preflight   Scenario = "preflight"    // a browser's, with a header that it asks leave for
)

// Many is one error n times, each with another value.
func Many(n int) Scenario { return Scenario(fmt.Sprintf("many=%d", n)) }

// Client plays scenarios.
type Client struct {
	Name      string
	Play      func(t testing.TB, dsn string, scenario Scenario)
	Scenarios []Scenario
}

// Clients are all that play scenarios, with those that they can play. [CLI] has commands instead.
var Clients = []Client{
	{"go", Go, []Scenario{Uncaught, Rejection, StringPanic, Caught, Wrapped, Locals, Message, Template, Context,
		Fingerprint, Transaction, CheckIn, Attachment, Many(30), Recursion, Route}},
	{"node", Node, []Scenario{Uncaught, Rejection, Caught, Locals, Message, Template, Context, Fingerprint, Transaction,
		Spans, Session, CheckIn, Feedback, Attachment, Many(30), Recursion, Route}},
	{"python", Python, []Scenario{Uncaught, Rejection, Caught, Locals, Message, Template, Context, Fingerprint, Transaction,
		Session, Attachment, Many(30), Recursion, Route}},
	{"browser", Browser, []Scenario{Uncaught, Rejection, Caught, Locals, Message, Template, Context, Fingerprint, Transaction,
		Spans, Session, Feedback, Attachment, Many(30), Recursion, Preflight}},
}

// Go plays it with sentry-go.
func Go(t testing.TB, dsn string, scenario Scenario) {
	t.Helper()
	run(t, dsn, scenario, testprogram.SentryGo.Path(), string(scenario))
}

// Node plays it with @sentry/node.
func Node(t testing.TB, dsn string, scenario Scenario) {
	t.Helper()
	run(t, dsn, scenario, "node", filepath.Join(testprogram.SentryJavaScript.Path(), "node.mjs"), string(scenario))
}

//go:embed python/app.py
var pythonApp string

// Python plays it with Debian's sentry-sdk, which sends errors to /store/; routes are FastAPI's.
func Python(t testing.TB, dsn string, scenario Scenario) {
	t.Helper()
	runPython(t, dsn, pythonApp, scenario, string(scenario))
}

// pythonLoader has a source, which it is given as text, be the file /srv/app/app.py, so that no
// machine's folders are in what is reported.
const pythonLoader = `
import linecache, sys
source, name = sys.argv[1], "/srv/app/app.py"
linecache.cache[name] = (len(source), None, source.splitlines(True), name)
sys.argv = [name] + sys.argv[2:]
exec(compile(source, name, "exec"))
`

func runPython(t testing.TB, dsn, source string, scenario Scenario, args ...string) {
	t.Helper()
	for _, module := range []testprogram.Package{testprogram.PythonSentry, testprogram.PythonFastAPI, testprogram.PythonUvicorn} {
		module.Path()
	}
	run(t, dsn, scenario, "/usr/bin/python3", append([]string{"-c", pythonLoader, source}, args...)...)
}

// CLI runs sentry-cli in dir and returns what it has printed. A command that fails fails the
// test. The environment's names are sentry-cli's own: SENTRY_DSN, SENTRY_URL, SENTRY_AUTH_TOKEN.
func CLI(t testing.TB, dir string, environment []string, args ...string) string {
	t.Helper()
	out, err := TryCLI(t, dir, environment, args...)
	if err != nil {
		t.Fatalf("sentry-cli %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TryCLI is CLI for a command that may fail.
func TryCLI(t testing.TB, dir string, environment []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, cliPath(t), args...)
	command.Dir = dir
	command.Env = append(os.Environ(), append([]string{"SENTRY_DISABLE_UPDATE_CHECK=1", "RUST_BACKTRACE=0"}, environment...)...)
	out, err := command.CombinedOutput()
	return string(out), err
}

// cliPath is where npm has put the program for this machine.
func cliPath(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(testprogram.SentryJavaScript.Path(), "node_modules/@sentry/cli-*/bin/sentry-cli"))
	if err != nil || len(found) != 1 {
		t.Fatalf("npm has installed sentry-cli as %q: %v", found, err)
	}
	return found[0]
}

// run runs a program until it has sent everything.
func run(t testing.TB, dsn string, scenario Scenario, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	command.Env = append(os.Environ(), "SENTRY_DSN="+dsn)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if scenario == Uncaught && errors.As(err, &exit) && exit.ExitCode() == 1 {
		return // as a program does that an error has ended
	}
	if err != nil {
		t.Fatalf("%s of %s: %v\n%s", scenario, filepath.Base(program), err, out)
	}
}

// Browser plays it with @sentry/browser in Chromium, on a page of another origin than the DSN's, so
// that the browser holds the answers against the rules of CORS.
func Browser(t testing.TB, dsn string, scenario Scenario) {
	t.Helper()
	browse(t, dsn, filepath.Join(testprogram.SentryJavaScript.Path(), "dist"), scenario)
}

func browse(t testing.TB, dsn, dir string, scenario Scenario) {
	t.Helper()
	name, count, _ := strings.Cut(string(scenario), "=")
	query := url.Values{"dsn": {dsn}, "scenario": {name}, "count": {count}}
	visit(t, servePage(t, dir)+"/?"+query.Encode())
}

// servePage serves a page with the script of the folder, whose name has a hash of what is in it, and
// returns the page's address.
func servePage(t testing.TB, dir string) string {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join(dir, "app-*.js"))
	if err != nil || len(scripts) != 1 {
		t.Fatalf("the scripts are %q: %v", scripts, err)
	}
	files := http.FileServerFS(os.DirFS(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			files.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>shop</title><script type="module" src="/%s"></script>`, filepath.Base(scripts[0]))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// visit opens a page and waits until it says, in its title, that all has been sent.
func visit(t testing.TB, address string) {
	t.Helper()
	tab := browsertest.Open(t)
	if err := chromedp.Do(tab, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	said, err := chromedp.Run(tab, chromedp.Poll[string](`document.title.startsWith("done") && document.title`, chromedp.WithPollingTimeout(patience)))
	if err != nil || said != "done" {
		t.Fatalf("the page says %q: %v", said, err)
	}
}
