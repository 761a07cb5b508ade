package report

import (
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
)

// TestMain crashes instead of testing, where it is asked to.
func TestMain(m *testing.M) {
	if path := os.Getenv("CRASH_INTO"); path != "" {
		file, err := os.Create(path)
		if err != nil {
			panic(err)
		}
		if err := debug.SetCrashOutput(file, debug.CrashOptions{}); err != nil {
			panic(err)
		}
		go crash(os.Getenv("CRASH_BY"))
		select {}
	}
	os.Exit(m.Run())
}

func crash(by string) {
	switch by {
	case "panic":
		panic(fmt.Errorf("a crash of %s", "amal@example.com"))
	case "nil":
		var p *int
		*p = 1
	case "again":
		defer func() { panic(recover()) }()
		panic("twice")
	}
}

// TestCrashesAreRead: whatever way a goroutine kills a program, what Go's runtime has written
// says why and where.
func TestCrashesAreRead(t *testing.T) {
	t.Parallel()
	for by, want := range map[string]string{"panic": "a crash of amal@example.com", "nil": "invalid memory address", "again": "twice"} {
		path := t.TempDir() + "/crash"
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = []string{"CRASH_INTO=" + path, "CRASH_BY=" + by}
		if err := cmd.Run(); err == nil {
			t.Errorf("%s: it lives", by)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		x, found := readCrash(string(text))
		if !found || x.Type != "panic" || !strings.Contains(x.Value, want) || len(x.Stacktrace.Frames) == 0 {
			t.Fatalf("%s: it is read as %+v of %s", by, x, text)
		}
		last := x.Stacktrace.Frames[len(x.Stacktrace.Frames)-1]
		if !strings.HasPrefix(last.Function, "crash") || last.Lineno == 0 || !strings.HasSuffix(last.Filename, "crash_test.go") {
			t.Errorf("%s: the last frame is %+v of %s", by, last, text)
		}
	}
	for _, text := range []string{"", "panic", "panic: ", "goroutine 1", "panic: x\ngoroutine ", "panic: x\n\ngoroutine 1 [running]:\na(\n", strings.Repeat("panic: \ngoroutine \n(\n", 100)} {
		readCrash(text) // it doesn't panic
	}
}
