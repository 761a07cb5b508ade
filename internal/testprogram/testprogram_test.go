package testprogram_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"manus/internal/testprogram"
)

// echo says something in JSON and runs until its input ends.
const echo = `package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "about to start")
	fmt.Println("{\"argument\": \"" + os.Args[1] + "\"}")
	io.Copy(io.Discard, os.Stdin)
}
`

func TestAProgramIsBuiltOnceAndRunsUntilItIsEnded(t *testing.T) {
	ownCache(t)
	source := module(t, echo)
	paths := make([]string, 3)
	var builders sync.WaitGroup
	for i := range paths {
		builders.Go(func() {
			var err error
			if paths[i], err = testprogram.Build(source); err != nil {
				t.Error(err)
			}
		})
	}
	builders.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if paths[0] != paths[1] || paths[0] != paths[2] {
		t.Errorf("there are several: %q", paths)
	}
	var ready struct{ Argument string }
	process, err := testprogram.Start(paths[0], &ready, "something")
	if err != nil {
		t.Fatal(err)
	}
	if err := process.End(); err != nil || ready.Argument != "something" || process.Log() != "about to start\n" {
		t.Errorf("%v, it says %q and logs %q", err, ready.Argument, process.Log())
	}
}

func TestOtherSourcesMakeAnotherProgram(t *testing.T) {
	ownCache(t)
	source := module(t, echo)
	before, err := testprogram.Build(source)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(source, "main.go"), echo+"// changed\n")
	if after, err := testprogram.Build(source); err != nil || after == before {
		t.Errorf("%s is built of both: %v", after, err)
	}
}

func TestAProgramThatDoesNotBuildSaysHowToTry(t *testing.T) {
	ownCache(t)
	source := module(t, "package main\n")
	if _, err := testprogram.Build(source); err == nil || !strings.Contains(err.Error(), "cd "+source) {
		t.Errorf("%v", err)
	}
}

func TestAProgramThatEndsAtOnceSaysWhy(t *testing.T) {
	ownCache(t)
	path, err := testprogram.Build(module(t, "package main\n\nfunc main() { panic(\"no way\") }\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := testprogram.Start(path, &struct{}{}); err == nil || !strings.Contains(err.Error(), "no way") {
		t.Errorf("%v", err)
	}
}

// ownCache has programs built into a cache of the test's own. What they are compiled
// of stays in the one of always.
func ownCache(t *testing.T) {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", strings.TrimSpace(string(out)))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

// module makes a module of a program.
func module(t *testing.T, main string) string {
	t.Helper()
	source := filepath.Join(t.TempDir(), "program")
	if err := os.Mkdir(source, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(source, "go.mod"), "module program\n\ngo 1.26\n")
	write(t, filepath.Join(source, "main.go"), main)
	return source
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
