package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"manus/language"
	"manus/readiness"
)

// exits runs a command that has to end with an exit code: exits 2 manus check.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	if ended, ok := errors.AsType[*exec.ExitError](ts.Exec(args[1], args[2:]...)); ok {
		code = ended.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("it ended with %d: %s%s", code, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// terminal runs manus with a terminal as its output, and returns what is written there.
func terminal(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60})
	}
	if err != nil {
		t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := manus(t.Context(), dir, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, screen, screen
	if err := errors.Join(cmd.Start(), screen.Close()); err != nil {
		t.Fatal(err)
	}
	shown, _ := io.ReadAll(master) // it ends with an error, as terminals do
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, shown)
	}
	return string(shown)
}

func TestAReportOnATerminalHasColoursAndProgress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := startProgram(dir, nil, "dev", "--addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	coloured := terminal(t, dir, nil, "check")
	for _, want := range []string{"\x1b[32m  ✓ ", "\x1b[1mBackups", "\r\x1b[K1/"} {
		if !strings.Contains(coloured, want) {
			t.Errorf("it lacks %q: %q", want, coloured)
		}
	}
	_, report, _ := strings.Cut(coloured, "\x1b[1m")
	for line := range strings.Lines(report) {
		if n := len([]rune(plainText.Replace(strings.TrimSpace(line)))); n > 60 {
			t.Errorf("a line has %d letters: %q", n, line)
		}
	}
	if plain := terminal(t, dir, []string{"NO_COLOR=1", "LANG=ar_EG.UTF-8"}, "check"); strings.Contains(plain, "\x1b[3") || !strings.Contains(plain, "النسخ الاحتياطية") {
		t.Errorf("it has colours, or isn't in Arabic: %q", plain)
	}
}

var plainText = strings.NewReplacer("\x1b[0m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "")

func TestWhatBuildServersReadIsWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.xml")
	const hostile = "<b attr=\"x\">&amp; \x00\x1b[31m ]]> \xff قيس"
	err := writeJUnit(path, readiness.Body{MeasuredAt: "2026-07-01T00:00:00Z", Checks: []readiness.CheckBody{
		{ID: "system.a", Group: readiness.System, Status: readiness.Fail, Title: hostile, Evidence: hostile, Mend: hostile},
		{ID: "system.b", Group: readiness.System, Status: readiness.Skipped, Evidence: hostile},
		{ID: "system.c", Group: readiness.System, Status: readiness.Warn, Evidence: hostile, Mend: "Mend it."},
	}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Cases    []struct {
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
			Skipped *struct{} `xml:"skipped"`
			Output  string    `xml:"system-out"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	c := read.Cases
	if read.Tests != 3 || read.Failures != 1 || read.Skipped != 1 || len(c) != 3 || c[0].Failure == nil || c[1].Skipped == nil || !strings.Contains(c[2].Output, "Mend it.") {
		t.Errorf("it is %s", text)
	}
}

// For a deploy reports are asked for until one is good, and ever more seldom; one that was stopped is
// none.
func TestReportsAreWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var out bytes.Buffer
		p := &process{ctx: ctx, stdio: stdio{out: &out, err: io.Discard}}
		asked := 0
		refused := func(context.Context, *checkProgress) (readiness.Body, error) {
			asked++
			return readiness.Body{}, errors.New("it answers 429")
		}
		began := time.Now()
		if err := (checkCommand{Wait: 70 * time.Second}).report(p, language.English, refused); err == nil || time.Since(began) != 70*time.Second || asked > 12 {
			t.Errorf("asked %d times in %v: %v", asked, time.Since(began), err)
		}
		asked = 0
		atLast := func(ctx context.Context, progress *checkProgress) (readiness.Body, error) {
			if asked < 3 {
				return refused(ctx, progress)
			}
			return readiness.Body{Status: readiness.Pass, Checks: []readiness.CheckBody{{Status: readiness.Pass}}}, nil
		}
		if err := (checkCommand{Wait: 70 * time.Second, JSON: true}).report(p, language.English, atLast); err != nil || asked != 3 || out.Len() == 0 {
			t.Errorf("asked %d times: %v", asked, err)
		}
		out.Reset()
		stopped := func(context.Context, *checkProgress) (readiness.Body, error) {
			stop()
			return readiness.Body{Status: readiness.Pass}, nil
		}
		err := (checkCommand{Wait: time.Minute}).report(p, language.English, stopped)
		if _, ok := errors.AsType[usageError](err); !ok || out.Len() > 0 {
			t.Errorf("it was stopped: %v %s", err, &out)
		}
	})
}

func TestAServersReportIsRead(t *testing.T) {
	t.Parallel()
	for body, good := range map[string]bool{
		`{"status":"pass","score":100,"checks":[{"id":"health.public","status":"pass"}]}`: true,
		`{"status":"pass","score":100,"checks":[]}`:                                       false,
		`{"status":"pass","score":100}`:                                                   false,
		`{}`:                                                                              false,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := getReport(request); (err == nil) != good {
			t.Errorf("%s: %v", body, err)
		}
		server.Close()
	}
}

func TestNumbersInArabicStandWithoutIsolates(t *testing.T) {
	t.Parallel()
	arabic := language.Arabic
	for text, want := range map[string]string{
		"يصحّ " + arabic.Isolate("12") + "، لا":                       "يصحّ 12، لا",
		"المساحة " + arabic.Isolate("1,234.5") + " %":                 "المساحة 1,234.5 %",
		"عمرها " + arabic.Isolate("5 ثوانٍ") + ".":                    "عمرها 5 ثوانٍ.",
		"Redis " + arabic.Isolate("12"):                               "Redis " + arabic.Isolate("12"),
		"في " + arabic.Isolate("/a b") + ".":                          "في " + arabic.Isolate("/a b") + ".",
		"على " + arabic.Isolate("srv 1") + ": " + arabic.Isolate("5"): "على " + arabic.Isolate("srv 1") + ": 5",
	} {
		if got := bareNumbers(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
