// Command mutate changes each rule of a room a little, and lists the changes that no
// test sees: a bound by one, a condition into its opposite, plus into minus.
//
//	cd tools && go run ./mutate [-files a.go,b.go] [-run regexp] room...
//
// All mutants of a room are in one test binary, and an environment variable chooses one:
// so it is built once, and a mutant costs no more than the tests that reach it. Those are
// found out beforehand, test by test; of them the quickest run first.
//
// What lives is to get a test of the rule, or is as good as the rule. A mutant that runs
// out of time was seen, as a rule: tests wait for what it keeps from happening. One that
// runs out of memory was seen too: it ends at a bound, and the machine goes on.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	files := flag.String("files", "", "the files to change, separated by commas; all of the room when empty")
	tests := flag.String("run", "^Test", "the tests to try them with, as a regular expression")
	flag.Parse()
	if err := run(flag.Args(), *tests, strings.FieldsFunc(*files, func(r rune) bool { return r == ',' })); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// memory is what each process of a test may have, in bytes: some ten times of what tests need.
const memory = 2 << 30

func run(rooms []string, tests string, files []string) error {
	// All that this program starts has its limits.
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: memory, Max: memory}); err != nil {
		return fmt.Errorf("limiting memory: %w", err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	for _, room := range rooms {
		if err := mutate(root, room, tests, files); err != nil {
			return fmt.Errorf("%s: %w", room, err)
		}
	}
	return nil
}

// mutate tries all mutants of a room, and prints those that weren't killed.
func mutate(root, room, chosen string, files []string) error {
	work, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	mutants, overlay, err := rewrite(root, room, work, files)
	if err != nil {
		return err
	}
	b := binary{path: filepath.Join(work, "room.test"), dir: filepath.Join(root, room), hits: filepath.Join(work, "hits")}
	if err := b.build(root, room, overlay); err != nil {
		return err
	}
	tests, err := b.tests(chosen)
	if err != nil {
		return err
	}
	count := map[outcome]int{}
	for _, m := range mutants {
		outcome := b.try(m.id, reaching(tests, m.id))
		count[outcome]++
		if outcome != killed {
			fmt.Printf("%-11s %s\n", outcome, m)
		}
	}
	fmt.Printf("%s: %d mutants, %d killed, %d lived, %d timed out, %d not covered\n",
		room, len(mutants), count[killed], count[lived], count[timedOut], count[notCovered])
	return nil
}

// outcome is what became of a mutant.
type outcome string

const (
	killed     outcome = "killed"
	lived      outcome = "lived"
	timedOut   outcome = "timed out"
	notCovered outcome = "not covered"
)

// binary is a room's tests, with all mutants in it.
type binary struct{ path, dir, hits string }

// build needs the overlay that rewrite has made.
func (b binary) build(root, room, overlay string) error {
	c := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", b.path, "./"+room)
	c.Dir = root
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}

// test is one of the room's, the time that it takes alone, and the mutants it reaches.
type test struct {
	name  string
	takes time.Duration
	hits  map[int]bool
}

// tests are the room's that are chosen, the quickest first. A test that fails without any mutant is left out, and
// said so.
func (b binary) tests(chosen string) (tests []test, err error) {
	list, err := b.run(0, time.Minute, "-test.list="+chosen).output()
	if err != nil {
		return nil, err
	}
	for name := range strings.FieldsSeq(list) {
		began := time.Now()
		if _, err := b.run(0, 5*time.Minute, "-test.run=^"+name+"$").output(); err != nil {
			fmt.Printf("%s is left out: it fails alone: %v\n", name, err)
			continue
		}
		hits, err := b.takeHits()
		if err != nil {
			return nil, err
		}
		tests = append(tests, test{name, time.Since(began), hits})
	}
	slices.SortFunc(tests, func(a, b test) int { return cmp.Compare(a.takes, b.takes) })
	return tests, nil
}

// takeHits reads which mutants have been reached, by this process or its children.
func (b binary) takeHits() (map[int]bool, error) {
	data, err := os.ReadFile(b.hits)
	if os.IsNotExist(err) {
		return nil, nil
	}
	hits := map[int]bool{}
	for line := bufio.NewScanner(bytes.NewReader(data)); line.Scan(); {
		if id, err := strconv.Atoi(line.Text()); err == nil {
			hits[id] = true
		}
	}
	return hits, cmp.Or(err, os.Remove(b.hits))
}

func reaching(tests []test, id int) []test {
	return slices.DeleteFunc(slices.Clone(tests), func(t test) bool { return !t.hits[id] })
}

// try runs the tests that reach a mutant: a few quick ones first, then the others.
func (b binary) try(id int, tests []test) outcome {
	const few = 10
	if len(tests) == 0 {
		return notCovered
	}
	first := min(few, len(tests))
	for _, batch := range [][]test{tests[:first], tests[first:]} {
		if len(batch) == 0 {
			continue
		}
		var names []string
		patience := 90 * time.Second // a test that waits gives up after a minute
		for _, t := range batch {
			names = append(names, t.name)
			patience += 3 * t.takes
		}
		tried := b.run(id, patience, "-test.failfast", "-test.run=^("+strings.Join(names, "|")+")$")
		_, err := tried.output()
		switch {
		case errors.Is(tried.ctx.Err(), context.DeadlineExceeded):
			return timedOut
		case err != nil:
			return killed
		}
	}
	return lived
}

// process is a run of the binary, and of what it starts.
type process struct {
	*exec.Cmd
	ctx    context.Context
	cancel func()
}

// run prepares one with a mutant, 0 for none.
func (b binary) run(id int, patience time.Duration, args ...string) process {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c := exec.CommandContext(ctx, b.path, args...)
	c.Dir = b.dir
	c.Env = append(os.Environ(), "MUTANT="+strconv.Itoa(id))
	if id == 0 {
		c.Env = append(c.Env, "MUTANT_HITS="+b.hits)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	return process{c, ctx, cancel}
}

func (p process) output() (string, error) {
	defer p.cancel()
	output, err := p.CombinedOutput()
	return string(output), err
}
