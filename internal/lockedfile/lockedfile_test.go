package lockedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"manus/internal/processtest"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"owner": own, "holds": hold})
	m.Run()
}

// own prints the name of the file that it owns, and ends with its standard input.
func own(args []string) error {
	file, err := Create(args[0], "part-*")
	if err != nil {
		return err
	}
	fmt.Println(filepath.Base(file.Name()))
	processtest.UntilInputEnds()
	return nil
}

// hold prints a line when it holds the file, and ends with its standard input.
func hold(args []string) error {
	file, err := Hold(args[0])
	if err != nil {
		return err
	}
	fmt.Println("held")
	processtest.UntilInputEnds()
	return file.Close()
}

func parts(name string) bool { return strings.HasPrefix(name, "part-") }

// sweep returns what a sweep has removed.
func sweep(t *testing.T, dir string) []string {
	t.Helper()
	removed, err := Sweep(dir, parts)
	if err != nil {
		t.Error(err)
	}
	return removed
}

func create(t *testing.T, dir string) *os.File {
	t.Helper()
	file, err := Create(dir, "part-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Discard(file); err != nil {
			t.Error(err)
		}
	})
	return file
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestAFileIsSweptOnlyOnceItsProcessHasBeenKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killed, alive := processtest.Start(t, "owner", dir), processtest.Start(t, "owner", dir)
	killedPart, alivePart := killed.Await(t, ""), alive.Await(t, "")
	if removed := sweep(t, dir); len(removed) != 0 {
		t.Errorf("%v were removed from processes that live", removed)
	}
	killed.Kill(t)
	if removed := sweep(t, dir); !slices.Equal(removed, []string{killedPart}) {
		t.Errorf("%v were removed; want %s", removed, killedPart)
	}
	if exists(filepath.Join(dir, killedPart)) || !exists(filepath.Join(dir, alivePart)) {
		t.Error("what was said to be removed isn't what was")
	}
	alive.Kill(t)
	if removed := sweep(t, dir); !slices.Equal(removed, []string{alivePart}) {
		t.Errorf("%v were removed; want %s", removed, alivePart)
	}
}

// Not in parallel: a process that another test starts has all locks of this one until
// it executes its program.
func TestAFileBelongsToItsMakerUntilItIsClosed(t *testing.T) {
	dir := t.TempDir()
	file := create(t, dir)
	if info, err := file.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if removed := sweep(t, dir); len(removed) != 0 {
		t.Errorf("%v were removed while open", removed)
	}
	renamed := filepath.Join(dir, "part-renamed")
	if err := os.Rename(file.Name(), renamed); err != nil {
		t.Fatal(err)
	}
	if removed := sweep(t, dir); len(removed) != 0 {
		t.Errorf("%v were removed under another name", removed)
	}
	if err := Discard(file); err != nil || !exists(renamed) {
		t.Errorf("what was renamed is there: %v; %v", exists(renamed), err)
	}
	if removed := sweep(t, dir); !slices.Equal(removed, []string{"part-renamed"}) {
		t.Errorf("%v were removed once it was closed", removed)
	}
}

func TestAFileIsHeldUntilItsProcessIsGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "held")
	p := processtest.Start(t, "holds", path)
	p.Await(t, "held")
	if file, err := Hold(path); !errors.Is(err, ErrHeld) || file != nil {
		t.Errorf("beside its process: %v", err)
	}
	p.Kill(t)
	file, err := Hold(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Hold(path); !errors.Is(err, ErrHeld) {
		t.Errorf("beside this one: %v", err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if file, err = Hold(path); err != nil {
		t.Fatalf("once it is closed: %v", err)
	}
	_ = file.Close()
	if _, err := Hold(t.TempDir()); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("a folder: %v", err)
	}
}

// TestAnOrphanIsAdoptedByOne: once its owner has closed it, and until the one who has adopted it does.
func TestAnOrphanIsAdoptedByOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owned, err := Create(dir, "a-*")
	if err != nil {
		t.Fatal(err)
	}
	path := owned.Name()
	for _, have := range []*os.File{owned, nil} {
		if have == nil {
			if have, err = Adopt(path); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Adopt(path); !errors.Is(err, ErrHeld) {
			t.Errorf("another adopts it meanwhile: %v", err)
		}
		if err := have.Close(); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, filepath.Join(dir, "none")} {
		if _, err := Adopt(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}

func TestDiscardRemovesTheFileAndMayBeCalledAgain(t *testing.T) {
	t.Parallel()
	file := create(t, t.TempDir())
	for range 2 {
		if err := Discard(file); err != nil {
			t.Error(err)
		}
	}
	if exists(file.Name()) {
		t.Error("it is still there")
	}
}

func TestDiscardLeavesAnothersFileOfTheSameName(t *testing.T) {
	t.Parallel()
	file := create(t, t.TempDir())
	if err := os.Remove(file.Name()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file.Name(), []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Discard(file); err != nil || !exists(file.Name()) {
		t.Errorf("the other's file is there: %v; %v", exists(file.Name()), err)
	}
}

func TestSweepTakesNothingButTheRegularFilesThatItWasToldOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(path("part-1"), nil, 0o600),
		os.WriteFile(path("other"), nil, 0o600),
		os.Mkdir(path("part-folder"), 0o700),
		os.Symlink(path("other"), path("part-link")),
		syscall.Mkfifo(path("part-pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if removed := sweep(t, dir); !slices.Equal(removed, []string{"part-1"}) {
		t.Errorf("%v were removed", removed)
	}
	for _, name := range []string{"other", "part-folder", "part-link", "part-pipe"} {
		if !exists(path(name)) {
			t.Errorf("%s is gone", name)
		}
		if gone, _ := removeOrphan(path(name), func(string) bool { return true }); gone && name != "other" { // as if it had become that since it was listed
			t.Errorf("%s was removed", name)
		}
	}
}

func TestAFolderThatIsNotThereIsSaid(t *testing.T) {
	t.Parallel()
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	if _, err := Create(nowhere, "part-*"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create: %v", err)
	}
	if _, err := Sweep(nowhere, parts); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Sweep: %v", err)
	}
}

// Sweepers would win every race between the making of a file and its lock, and those
// between its last use and its removal.
func TestFilesMadeWhileOthersSweepAreNeverLost(t *testing.T) {
	t.Parallel()
	const makers, each = 4, 100
	dir := t.TempDir()
	var making, sweeping sync.WaitGroup
	made := make(chan struct{})
	for range 3 {
		sweeping.Go(func() {
			for {
				select {
				case <-made:
					return
				default:
					sweep(t, dir)
				}
			}
		})
	}
	for maker := range makers {
		making.Go(func() {
			for i := range each {
				if err := makeAndKeep(dir, filepath.Join(dir, fmt.Sprintf("kept-%d-%d", maker, i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	making.Wait()
	close(made)
	sweeping.Wait()
	if kept, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(kept) != makers*each {
		t.Errorf("%d files are left of %d, %v", len(kept), makers*each, err)
	}
}

// makeAndKeep renames a new file to path, as an upload is committed.
func makeAndKeep(dir, path string) error {
	file, err := Create(dir, "part-*")
	if err != nil {
		return err
	}
	if _, err := file.WriteString(path); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("it was taken away: %w", err)
	}
	return Discard(file)
}
