package testprogram_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"manus/internal/processtest"
	"manus/internal/testprogram"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"tests": func([]string) error {
		unbuilt.Path()
		return errors.New("it goes on without")
	}})
	os.Exit(m.Run())
}

var unbuilt = testprogram.Program{Name: "unbuilt", Dir: ".", Build: []string{"."}}

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
	program := module(t, echo)
	var builders sync.WaitGroup
	for range 3 {
		builders.Go(func() {
			if err := program.Make(); err != nil {
				t.Error(err)
			}
		})
	}
	builders.Wait()
	if t.Failed() {
		t.FailNow()
	}
	var ready struct{ Argument string }
	process, err := program.Start(&ready, "something")
	if err != nil {
		t.Fatal(err)
	}
	if err := process.End(); err != nil || ready.Argument != "something" || process.Log() != "about to start\n" {
		t.Errorf("%v, it says %q and logs %q", err, ready.Argument, process.Log())
	}
}

func TestAPackageOfNpmIsInstalledAsItsLockFileSays(t *testing.T) {
	ownCache(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "package.json"), `{"name": "program", "version": "1.0.0", "scripts": {"build": "cp main.mjs built"}}`)
	write(t, filepath.Join(dir, "package-lock.json"), `{"name": "program", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {"": {"name": "program", "version": "1.0.0"}}}`)
	write(t, filepath.Join(dir, "main.mjs"), "// a program")
	program := testprogram.Program{Name: "package", Dir: dir}
	if err := program.Make(); err != nil {
		t.Fatal(err)
	}
	folder, err := program.Find()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(folder, "built")); err != nil || string(text) != "// a program" {
		t.Errorf("%q, %v", text, err)
	}
	if err := os.Remove(filepath.Join(dir, "package-lock.json")); err != nil {
		t.Fatal(err)
	}
	if err := program.Make(); err == nil || !strings.Contains(err.Error(), "package-lock.json") {
		t.Errorf("without a lock file: %v", err)
	}
}

func TestOtherSourcesMakeAnotherProgram(t *testing.T) {
	ownCache(t)
	program := module(t, echo)
	if err := program.Make(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(program.Dir, "main.go"), echo+"// changed\n")
	if path, err := program.Find(); err == nil {
		t.Errorf("%s is built of both", path)
	}
}

func TestAProgramThatDoesNotBuildSaysWhereAndWhy(t *testing.T) {
	ownCache(t)
	program := module(t, "package main\n")
	if err := program.Make(); err == nil || !strings.Contains(err.Error(), program.Dir) || !strings.Contains(err.Error(), "function main is undeclared") {
		t.Errorf("%v", err)
	}
	if path, err := program.Find(); err == nil {
		t.Errorf("there is %s", path)
	}
}

func TestAProgramThatEndsAtOnceSaysWhy(t *testing.T) {
	ownCache(t)
	program := module(t, "package main\n\nfunc main() { panic(\"no way\") }\n")
	if err := program.Make(); err != nil {
		t.Fatal(err)
	}
	if _, err := program.Start(&struct{}{}); err == nil || !strings.Contains(err.Error(), "no way") {
		t.Errorf("%v", err)
	}
}

func TestWithoutAProgramTheTestsEndAtOnceWithTheLineToType(t *testing.T) {
	t.Parallel()
	tests := processtest.Command(t.Context(), "tests")
	tests.Env = append(tests.Env, "XDG_CACHE_HOME="+t.TempDir())
	var said bytes.Buffer
	tests.Stderr = &said
	err := tests.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), "'go run ./internal/testsetup'") {
		t.Errorf("%v: %s", err, &said)
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
func module(t *testing.T, main string) testprogram.Program {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module program\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "main.go"), main)
	return testprogram.Program{Name: "program", Dir: dir, Build: []string{"."}}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
