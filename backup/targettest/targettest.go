// Package targettest is what a target of backups means: the suite that every
// implementation of [backup.Target] passes.
package targettest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/backup"
	"manus/internal/processtest"
)

// Harness is how the suite gets at targets of one kind, all of the same place, which
// is empty and the test's own.
type Harness struct {
	// Target is the one that is tested.
	Target backup.Target
	// Other is the same place as another process has it.
	Other backup.Target
	// Later is the same place as another process has it when so much time has gone by
	// that what processes that were killed have left is taken for that. It may be
	// Other if no time needs to go by.
	Later backup.Target
	// PartSize is the size in bytes around which files are of interest.
	PartSize int
	// Place tells a process that is started by the suite where the place is. It is
	// what the open of [Roles] is called with.
	Place string
}

// Run runs the suite. The package's TestMain has to play its [Roles].
func Run(t *testing.T, setup func(t *testing.T) Harness) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t))
		})
	}
}

var tests = map[string]func(*testing.T, Harness){
	"what is committed can be read":                       whatIsCommittedCanBeRead,
	"nobody sees a file before it is committed":           nobodySeesAFileBefore,
	"released files leave nothing":                        releasedFilesLeaveNothing,
	"released files stay when they are committed":         committedFilesStay,
	"small files are replaced as a whole":                 smallFilesAreReplacedAsAWhole,
	"files are listed by prefix and in order":             filesAreListed,
	"files are removed once and for all":                  filesAreRemoved,
	"files that there aren't are said not to exist":       missingFiles,
	"names may have any characters but slashes":           anyNames,
	"names that lead elsewhere are refused":               badNames,
	"an ended context ends everything":                    endedContexts,
	"many can use it at a time":                           manyAtATime,
	"what this process works on is cleaned by nobody":     ownFilesAreNotCleaned,
	"what another process works on is cleaned by nobody":  livingFilesAreNotCleaned,
	"what a killed process has half written is cleaned":   halfFilesOfTheDeadAreCleaned,
	"what a killed process has committed may be cleaned":  wholeFilesOfTheDeadAreCleaned,
	"what is begun and not released is told":              beginningsAreTold,
	"files of others are not cleaned":                     filesOfOthersAreNotCleaned,
	"large files take little memory":                      largeFilesTakeLittleMemory,
	"reading may end before the file does":                readingMayEndEarly,
	"a file can be created again after it was given up":   createdAgain,
	"files of no prefix in common don't disturb a clean":  cleaningIsByPrefix,
	"what is modified says when that was, within minutes": modifiedIsATime,
}

// nobody picks no file.
func nobody(string) bool { return false }

func whatIsCommittedCanBeRead(t *testing.T, h Harness) {
	part := h.PartSize
	for _, size := range []int{0, 1, part - 1, part, part + 1, 2*part + 7} {
		data := Bytes(uint64(size), size)
		name := fmt.Sprintf("file-%d", size)
		create(t, h.Target, name, data)
		if got := read(t, h.Other, name); !bytes.Equal(got, data) {
			t.Errorf("%d bytes come back as %d, or others", size, len(got))
		}
		if files := list(t, h.Other, name); len(files) != 1 || files[0].Size != int64(size) {
			t.Errorf("the file of %d bytes is listed as %v", size, files)
		}
	}
}

func nobodySeesAFileBefore(t *testing.T, h Harness) {
	data := Bytes(1, 2*h.PartSize+1)
	upload := begin(t, h.Target, "file", data)
	for _, target := range []backup.Target{h.Target, h.Other} {
		if files := list(t, target, ""); len(files) != 0 {
			t.Errorf("the file is listed: %v", files)
		}
		if _, err := target.Open(t.Context(), "file"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file can be opened: %v", err)
		}
	}
	if err := upload.Commit(); err != nil {
		t.Fatal(err)
	}
	if files := list(t, h.Other, ""); len(files) != 1 {
		t.Errorf("committed, it is listed as %v", files)
	}
}

func releasedFilesLeaveNothing(t *testing.T, h Harness) {
	for _, size := range []int{0, 1, 2*h.PartSize + 1} {
		upload := begin(t, h.Target, "file", Bytes(1, size))
		if err := errors.Join(upload.Release(), upload.Release()); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if err := upload.Commit(); err == nil {
			t.Error("a released file can be committed")
		}
		isEmpty(t, h)
	}
}

func committedFilesStay(t *testing.T, h Harness) {
	data := Bytes(1, h.PartSize+1)
	upload := begin(t, h.Target, "file", data)
	if err := errors.Join(upload.Commit(), upload.Release(), upload.Release()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, h.Other, "file"); !bytes.Equal(got, data) {
		t.Errorf("%d bytes come back as %d, or others", len(data), len(got))
	}
}

func smallFilesAreReplacedAsAWhole(t *testing.T, h Harness) {
	version := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 1+n*997) }
	put(t, h.Target, "file", version(0))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ended := false; !ended; {
				select {
				case <-done:
					ended = true
				default:
				}
				got, err := tryRead(t.Context(), h.Other, "file")
				if err != nil || len(got) == 0 || !bytes.Equal(got, version(int(got[0]))) {
					t.Errorf("%d bytes that are no version: %v", len(got), err)
					return
				}
			}
		})
	}
	for n := 1; n <= 40; n++ {
		put(t, h.Target, "file", version(n%20))
	}
	close(done)
	readers.Wait()
	if got := read(t, h.Other, "file"); !bytes.Equal(got, version(0)) {
		t.Errorf("the last version isn't there, but %d bytes", len(got))
	}
	isAll(t, h.Other, "file")
}

func filesAreListed(t *testing.T, h Harness) {
	isAll(t, h.Target)
	for _, name := range []string{"b-2", "a-1", "b-1", "c", "b"} {
		put(t, h.Target, name, []byte(name))
	}
	isAll(t, h.Other, "a-1", "b", "b-1", "b-2", "c")
	if files := names(list(t, h.Target, "b-")); !slices.Equal(files, []string{"b-1", "b-2"}) {
		t.Errorf("those that begin with b- are %v", files)
	}
	if files := list(t, h.Target, "d"); len(files) != 0 {
		t.Errorf("those that begin with d are %v", files)
	}
}

func filesAreRemoved(t *testing.T, h Harness) {
	put(t, h.Target, "file", []byte("text"))
	put(t, h.Target, "file-2", []byte("text"))
	for range 2 {
		if err := h.Target.Remove(t.Context(), "file"); err != nil {
			t.Error(err)
		}
		isAll(t, h.Other, "file-2")
	}
}

func missingFiles(t *testing.T, h Harness) {
	put(t, h.Target, "file-2", nil)
	if _, err := h.Target.Open(t.Context(), "file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := h.Target.Remove(t.Context(), "file"); err != nil {
		t.Error(err)
	}
}

func anyNames(t *testing.T, h Harness) {
	odd := []string{"a b", "a+b", "a%20b", "100%", "a?b=c", "a#b", "a&b", "a;b", "a=b", "a'b\"c", "ümläut", "日本", "a\\b", "a..b", "a~b", "a:b", "<a>"}
	for _, name := range odd {
		create(t, h.Target, name, []byte(name))
	}
	slices.Sort(odd)
	isAll(t, h.Other, odd...)
	for _, name := range odd {
		if got := read(t, h.Other, name); string(got) != name {
			t.Errorf("%q has %q", name, got)
		}
		if err := h.Target.Remove(t.Context(), name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	isEmpty(t, h)
}

func badNames(t *testing.T, h Harness) {
	for _, name := range []string{"", ".", "..", "a/b", "../a", "/a"} {
		if err := h.Target.Put(t.Context(), name, nil); err == nil {
			t.Errorf("%q can be put", name)
		}
		if upload, err := h.Target.Create(t.Context(), name, 0); err == nil {
			t.Errorf("%q can be created", name)
			_ = upload.Release()
		}
	}
	isEmpty(t, h)
}

func endedContexts(t *testing.T, h Harness) {
	put(t, h.Target, "file", []byte("text"))
	ctx, cancel := context.WithCancel(t.Context())
	upload, err := h.Target.Create(ctx, "upload", int64(h.PartSize))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := upload.Write(Bytes(1, h.PartSize+1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	for name, do := range map[string]func() error{
		"Create": func() error { _, err := h.Target.Create(ctx, "new", 0); return err },
		"Put":    func() error { return h.Target.Put(ctx, "new", nil) },
		"Open":   func() error { _, err := h.Target.Open(ctx, "file"); return err },
		"List":   func() error { _, err := h.Target.List(ctx, ""); return err },
		"Remove": func() error { return h.Target.Remove(ctx, "file") },
		"Clean":  func() error { _, err := h.Target.Clean(ctx, "", nobody); return err },
		"Write":  func() error { _, err := upload.Write([]byte("text")); return err },
		"Commit": upload.Commit,
	} {
		begun := time.Now()
		if err := do(); !errors.Is(err, context.Canceled) || time.Since(begun) > time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(begun))
		}
	}
	if err := upload.Release(); err != nil {
		t.Error(err)
	}
	isAll(t, h.Other, "file")
	nothingUnfinished(t, h)
}

func manyAtATime(t *testing.T, h Harness) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			target, name, data := h.Target, fmt.Sprintf("file-%d", i), Bytes(uint64(i), i*h.PartSize/5)
			if i%2 == 0 {
				target = h.Other
			}
			err := tryCreate(t.Context(), target, name, data)
			_, listed := target.List(t.Context(), "")
			_, cleaned := target.Clean(t.Context(), "", nobody)
			got, read := tryRead(t.Context(), h.Target, name)
			if err := errors.Join(err, listed, cleaned, read, target.Remove(t.Context(), name)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes of %d: %v", len(got), len(data), err)
			}
		})
	}
	all.Wait()
	isEmpty(t, h)
}

func ownFilesAreNotCleaned(t *testing.T, h Harness) {
	data := Bytes(1, 2*h.PartSize+1)
	half := begin(t, h.Target, "half", data)
	whole := begin(t, h.Target, "whole", data)
	if err := whole.Commit(); err != nil {
		t.Fatal(err)
	}
	for _, target := range []backup.Target{h.Target, h.Other} {
		isCleaned(t, target, everything)
	}
	if err := errors.Join(half.Commit(), half.Release(), whole.Release()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"half", "whole"} {
		if got := read(t, h.Other, name); !bytes.Equal(got, data) {
			t.Errorf("%s has %d bytes, or others", name, len(got))
		}
	}
}

func livingFilesAreNotCleaned(t *testing.T, h Harness) {
	half, whole := processtest.Start(t, halfRole, h.Place), processtest.Start(t, wholeRole, h.Place)
	half.Await(t, ready)
	whole.Await(t, ready)
	for _, target := range []backup.Target{h.Target, h.Other} {
		isCleaned(t, target, everything)
	}
	half.End(t)
	whole.End(t)
	isAll(t, h.Other, halfRole, wholeRole)
}

func halfFilesOfTheDeadAreCleaned(t *testing.T, h Harness) {
	child := processtest.Start(t, halfRole, h.Place)
	child.Await(t, ready)
	child.Kill(t)
	isAll(t, h.Target)
	removed, err := h.Later.Clean(t.Context(), "", nobody)
	if err != nil || len(removed) == 0 || !strings.Contains(removed[0], halfRole) {
		t.Errorf("%v is cleaned: %v", removed, err)
	}
	isEmpty(t, h)
}

func wholeFilesOfTheDeadAreCleaned(t *testing.T, h Harness) {
	child := processtest.Start(t, wholeRole, h.Place)
	child.Await(t, ready)
	child.Kill(t)
	isAll(t, h.Target, wholeRole)
	isCleaned(t, h.Later, everything, wholeRole)
	isEmpty(t, h)
}

func filesOfOthersAreNotCleaned(t *testing.T, h Harness) {
	put(t, h.Target, "backup-1", nil)
	create(t, h.Target, "backup-2", []byte("text"))
	isCleaned(t, h.Later, everything)
	isAll(t, h.Other, "backup-1", "backup-2")
}

func cleaningIsByPrefix(t *testing.T, h Harness) {
	child := processtest.Start(t, wholeRole, h.Place)
	child.Await(t, ready)
	child.Kill(t)
	removed, err := h.Later.Clean(t.Context(), "backup-", func(name string) bool {
		t.Errorf("is asked about %s", name)
		return true
	})
	if err != nil || len(removed) != 0 {
		t.Errorf("%v is cleaned: %v", removed, err)
	}
	isAll(t, h.Other, wholeRole)
}

func beginningsAreTold(t *testing.T, h Harness) {
	is := func(want bool, when string) {
		t.Helper()
		for _, target := range []backup.Target{h.Target, h.Other} {
			if begun, err := target.Begun(t.Context(), "file"); begun != want || err != nil {
				t.Errorf("%s, it is begun: %v, %v", when, begun, err)
			}
		}
	}
	put(t, h.Target, "file-2", nil)
	is(false, "before")
	upload := begin(t, h.Target, "file", []byte("text"))
	if err := upload.Commit(); err != nil {
		t.Fatal(err)
	}
	is(true, "committed")
	if err := upload.Release(); err != nil {
		t.Fatal(err)
	}
	is(false, "released")
}

func largeFilesTakeLittleMemory(t *testing.T, h Harness) {
	child := processtest.Start(t, largeRole, h.Place)
	said := child.Await(t, ready)
	child.End(t)
	var heap int
	if _, err := fmt.Sscan(said, &heap); err != nil || heap == 0 {
		t.Fatalf("the process says %q: %v", said, err)
	}
	if heap > mostHeap {
		t.Errorf("a file of %d MiB takes %d MiB", largeSize>>20, heap>>20)
	}
	if files := list(t, h.Other, ""); len(files) != 1 || files[0].Size != largeSize {
		t.Errorf("the file is listed as %v", files)
	}
}

func readingMayEndEarly(t *testing.T, h Harness) {
	data := Bytes(1, h.PartSize)
	create(t, h.Target, "file", data)
	file, err := h.Target.Open(t.Context(), "file")
	if err != nil {
		t.Fatal(err)
	}
	some := make([]byte, 1000)
	if _, err := io.ReadFull(file, some); err != nil || !bytes.Equal(some, data[:1000]) {
		t.Errorf("the file begins with others: %v", err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	if _, err := file.Read(some); err == nil || err == io.EOF { //nolint:errorlint // io.EOF is returned as it is
		t.Errorf("a closed file can be read: %v", err)
	}
}

func createdAgain(t *testing.T, h Harness) {
	given := begin(t, h.Target, "file", Bytes(1, h.PartSize+1))
	if err := given.Release(); err != nil {
		t.Fatal(err)
	}
	data := Bytes(2, h.PartSize+2)
	create(t, h.Target, "file", data)
	if got := read(t, h.Other, "file"); !bytes.Equal(got, data) {
		t.Errorf("%d bytes, or others", len(got))
	}
}

func modifiedIsATime(t *testing.T, h Harness) {
	put(t, h.Target, "file", nil)
	if files := list(t, h.Target, ""); len(files) != 1 || time.Since(files[0].Modified).Abs() > time.Minute {
		t.Errorf("%v", files)
	}
}

// Bytes are n bytes that depend on the seed.
func Bytes(seed uint64, n int) []byte {
	data := make([]byte, n)
	key := sha256.Sum256(fmt.Append(nil, seed))
	_, _ = rand.NewChaCha8(key).Read(data) // never fails
	return data
}

// begin creates a file and writes it, in pieces of many sizes, but doesn't commit it.
// It is released with the test.
func begin(t *testing.T, target backup.Target, name string, data []byte) backup.Upload {
	t.Helper()
	upload, err := target.Create(t.Context(), name, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upload.Release() }) // those that matter are released before
	if err := write(upload, data); err != nil {
		t.Fatal(err)
	}
	return upload
}

func write(w io.Writer, data []byte) error {
	for piece := 1; len(data) > 0; piece = piece*5 + 3 {
		n := min(piece, len(data))
		if wrote, err := w.Write(data[:n]); err != nil || wrote != n {
			return fmt.Errorf("%d bytes of %d written: %w", wrote, n, err)
		}
		data = data[n:]
	}
	return nil
}

func tryCreate(ctx context.Context, target backup.Target, name string, data []byte) (err error) {
	upload, err := target.Create(ctx, name, int64(len(data)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, upload.Release()) }()
	if err := write(upload, data); err != nil {
		return err
	}
	return upload.Commit()
}

func create(t *testing.T, target backup.Target, name string, data []byte) {
	t.Helper()
	if err := tryCreate(t.Context(), target, name, data); err != nil {
		t.Fatalf("%q: %v", name, err)
	}
}

func put(t *testing.T, target backup.Target, name string, data []byte) {
	t.Helper()
	if err := target.Put(t.Context(), name, data); err != nil {
		t.Fatalf("%q: %v", name, err)
	}
}

func tryRead(ctx context.Context, target backup.Target, name string) ([]byte, error) {
	file, err := target.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(file)
	return data, errors.Join(err, file.Close())
}

func read(t *testing.T, target backup.Target, name string) []byte {
	t.Helper()
	data, err := tryRead(t.Context(), target, name)
	if err != nil {
		t.Errorf("%q: %v", name, err)
	}
	return data
}

func list(t *testing.T, target backup.Target, prefix string) []backup.File {
	t.Helper()
	files, err := target.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func names(files []backup.File) []string {
	all := []string{}
	for _, file := range files {
		all = append(all, file.Name)
	}
	return all
}

func everything(string) bool { return true }

// isAll checks that these files are there and no others.
func isAll(t *testing.T, target backup.Target, want ...string) {
	t.Helper()
	if files := names(list(t, target, "")); !slices.Equal(files, want) {
		t.Errorf("there are %q rather than %q", files, want)
	}
}

// isCleaned checks that cleaning removes these files and nothing else.
func isCleaned(t *testing.T, target backup.Target, orphan func(string) bool, want ...string) {
	t.Helper()
	removed, err := target.Clean(t.Context(), "", orphan)
	if err != nil || !slices.Equal(removed, want) {
		t.Errorf("%q is cleaned: %v", removed, err)
	}
}

// nothingUnfinished checks that no half of a file is left.
func nothingUnfinished(t *testing.T, h Harness) {
	t.Helper()
	isCleaned(t, h.Later, nobody)
}

// isEmpty checks that there is nothing, neither files nor halves of them.
func isEmpty(t *testing.T, h Harness) {
	t.Helper()
	isAll(t, h.Other)
	nothingUnfinished(t, h)
}
