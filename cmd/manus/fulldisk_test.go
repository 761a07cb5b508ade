//go:build linux

package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"manus/backup"
	"manus/internal/processtest"
	"manus/internal/waittest"
)

// diskVariable has the folder in which a process plays what happens on a full disk.
const diskVariable = "MANUS_FULL_DISK"

// TestNoSpaceAtAnyWriteLosesNoBackup runs the command on a file system of its own with
// less and less space, down to none: the backup that was made before stays good, and
// nobody is told that all is well.
func TestNoSpaceAtAnyWriteLosesNoBackup(t *testing.T) {
	t.Parallel()
	if out := onSmallDisk(t, "TestFullDiskProcess"); !bytes.Contains(out, []byte("sizes of the disk were too small")) {
		t.Fatalf("%s", out)
	}
}

// TestNoSpaceForTheDataIsSaidInPlainWords starts servers whose data has less and less space,
// and takes the space of one that runs.
func TestNoSpaceForTheDataIsSaidInPlainWords(t *testing.T) {
	t.Parallel()
	if out := onSmallDisk(t, "TestFullDataProcess"); !bytes.Contains(out, []byte("sizes of the disk were too small")) {
		t.Fatalf("%s", out)
	}
}

// TestNoSpaceForARestoreLeavesWhatWasThere restores into less and less space, where there is
// a store and where there is none.
func TestNoSpaceForARestoreLeavesWhatWasThere(t *testing.T) {
	t.Parallel()
	if out := onSmallDisk(t, "TestFullRestoreProcess"); !bytes.Contains(out, []byte("sizes of the disk were too small")) {
		t.Fatalf("%s", out)
	}
}

// onSmallDisk plays a test of this file in a mount namespace of its own, and returns what
// it says.
func onSmallDisk(t *testing.T, test string) []byte {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), diskVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return out
}

// TestFullDataProcess is one such process.
func TestFullDataProcess(t *testing.T) {
	dir := os.Getenv(diskVariable)
	if dir == "" {
		return // the test above starts it
	}
	d := &smallDisk{t: t, dir: dir}
	d.mount()
	config := filepath.Join(d.dir, "manus.yaml")
	if err := os.WriteFile(config, []byte(unlimited), 0o600); err != nil {
		t.Fatal(err)
	}
	env := serveEnv(t, d.backups())
	tooSmall := 0
	var server *program
	for free := 0; server == nil; free += storeStep() {
		if err := os.RemoveAll(filepath.Join(d.backups(), "data")); err != nil {
			t.Fatal(err)
		}
		d.leave(free)
		var err error
		if server, err = startProgram(d.dir, env, "serve", "--config", config); err == nil {
			continue
		}
		tooSmall++
		if !strings.Contains(err.Error(), "exit status 75") || !strings.Contains(err.Error(), "no space left") || !strings.Contains(err.Error(), "free some") {
			t.Errorf("with %d pages: %v", free, err)
		}
	}
	t.Cleanup(server.kill)
	if tooSmall < 10 {
		t.Errorf("only %d sizes were tried", tooSmall)
	}
	t.Logf("%d sizes of the disk were too small", tooSmall)
	for _, free := range []int{0, 2, 4, 8, 30} {
		d.fillUp(server, free)
	}
}

// fillUp takes the space of a server that runs, but for so many pages, until a request finds
// too little; and gives it back.
func (d *smallDisk) fillUp(server *program, free int) {
	d.t.Helper()
	person, people := newClient(server.url), 0
	register := func() error {
		people++
		who := map[string]string{"email": fmt.Sprintf("p%d-%d@example.com", free, people), "password": "correct horse battery staple"}
		return person.call("POST", "/api/v1/auth/register", who, &struct{}{})
	}
	d.leave(free)
	waittest.Poll(d.t, func() bool { return isUnavailable(register()) })
	ready := func() error { return person.call("GET", "/ready", nil, &struct{}{}) }
	refused := time.Now()
	waittest.Poll(d.t, func() bool { return time.Since(refused) > time.Second }) // so long it may say what it has said
	if err := ready(); !isUnavailable(err) {
		d.t.Errorf("with %d pages free, request %d is refused, and /ready says %v", free, people, err)
	}
	if said := server.stderr.String(); !strings.Contains(said, "there is no space left on the disk with the data: free some, and writing goes on by itself") {
		d.t.Errorf("the log says %s", said)
	}
	if err := os.Remove(filepath.Join(d.backups(), "filler")); err != nil {
		d.t.Fatal(err)
	}
	waittest.Poll(d.t, func() bool { return ready() == nil })
	if err := register(); err != nil {
		d.t.Errorf("with %d pages free, and then all: %v", free, err)
	}
}

func isUnavailable(err error) bool {
	status, ok := errors.AsType[statusError](err)
	return ok && status.status == http.StatusServiceUnavailable
}

// TestFullRestoreProcess is one such process.
func TestFullRestoreProcess(t *testing.T) {
	dir := os.Getenv(diskVariable)
	if dir == "" {
		return // the test above starts it
	}
	d := &smallDisk{t: t, dir: dir}
	d.begin()
	kept := filepath.Join(d.dir, "kept")
	backupTo := func(args ...string) (string, error) {
		cmd := manus(t.Context(), d.dir, append([]string{"backup"}, args...)...)
		cmd.Env = []string{"BACKUP_DIR=" + kept, "PATH=" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := backupTo("create", "--data", d.data()); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	tooSmall := 0
	for _, c := range []struct {
		there bool // is a store
		of    []string
	}{{of: []string{"--collection", "bulk"}}, {}, {there: true}} {
		there, to := c.there, filepath.Join(d.backups(), "new", "data")
		if there {
			to = filepath.Join(d.backups(), "old")
			d.leave(diskPages())
			if out, err := backupTo("restore", "--latest", "--data", d.data(), "--to", to); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			d.mark(to)
		}
		for free, restored := 0, false; !restored; free += storeStep() {
			d.leave(free)
			before := tree(t, d.backups())
			out, err := backupTo(append([]string{"restore", "--latest", "--drop", "--data", d.data(), "--to", to}, c.of...)...)
			if restored = err == nil; restored {
				break
			}
			tooSmall++
			if !strings.Contains(err.Error(), "exit status 75") || !strings.Contains(out, "no space left") || !strings.Contains(out, "free some") {
				t.Errorf("with %d pages, over a store %v: %v: %s", free, there, err, out)
			}
			if after := tree(t, d.backups()); after != before || there != d.isMarked(to) {
				t.Errorf("with %d pages, over a store %v, there was %s, and then %s, saying %s", free, there, before, after, out)
			}
		}
		if d.isMarked(to) {
			t.Error("it is still the old store")
		}
		if err := os.RemoveAll(filepath.Join(d.backups(), "new")); err != nil {
			t.Fatal(err)
		}
	}
	if tooSmall < diskSizes() {
		t.Errorf("only %d sizes were tried", tooSmall)
	}
	t.Logf("%d sizes of the disk were too small", tooSmall)
}

// tree names the files and folders in a folder.
func tree(t *testing.T, folder string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// mark makes a store one that no backup is of.
func (d *smallDisk) mark(data string) {
	d.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(data, "manus.db"))
	if err == nil {
		_, err = db.Exec("CREATE TABLE mark (a)")
	}
	if err := errors.Join(err, db.Close()); err != nil {
		d.t.Fatal(err)
	}
}

// isMarked tells whether there is that store, and it is whole.
func (d *smallDisk) isMarked(data string) bool {
	d.t.Helper()
	path := filepath.Join(data, "manus.db")
	if _, err := os.Stat(path); err != nil {
		return false
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	verdict, marks := "", 0
	err = errors.Join(db.QueryRow("PRAGMA integrity_check").Scan(&verdict), db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = 'mark'").Scan(&marks))
	if err != nil || verdict != "ok" {
		d.t.Errorf("the store: %s, %v", verdict, err)
	}
	return marks == 1
}

// TestFullDiskProcess is one such process.
func TestFullDiskProcess(t *testing.T) {
	dir := os.Getenv(diskVariable)
	if dir == "" {
		return // the test above starts it
	}
	d := &smallDisk{t: t, dir: dir}
	d.begin()
	first := d.backUp(true)
	tooSmall, enough := 0, false
	for free := 0; !enough; free += diskStep {
		d.leave(free)
		if enough = d.backUp(false) != ""; enough {
			break
		}
		tooSmall++
		d.checkGood(first)
	}
	if tooSmall < diskSizes()*3/4 {
		t.Errorf("only %d sizes were tried", tooSmall)
	}
	t.Logf("%d sizes of the disk were too small", tooSmall)
}

// smallDisk is a file system of a few megabytes for backups, and a store elsewhere.
type smallDisk struct {
	t   *testing.T
	dir string
}

// diskSizes is about how many sizes of the disk are too small for a backup; each is diskStep
// pages larger than the one before.
func diskSizes() int { return processtest.Size(processtest.DiskSizes, 8) }

const diskStep = 3

// storeStep is diskStep for a whole store, which has some two hundred pages.
func storeStep() int { return max(1, 120/diskSizes()) }

// diskPages has room for three backups.
func diskPages() int { return 1024 + 3*diskStep*diskSizes() }

func (d *smallDisk) backups() string { return filepath.Join(d.dir, "backups") }
func (d *smallDisk) data() string    { return filepath.Join(d.dir, "data") }

// mount mounts the file system.
func (d *smallDisk) mount() {
	d.t.Helper()
	// Nobody outside sees it, and it is gone with this process.
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = os.Mkdir(d.backups(), 0o700)
	}
	if err == nil {
		err = unix.Mount("backups", d.backups(), "tmpfs", 0, fmt.Sprintf("size=%d", diskPages()*os.Getpagesize()))
	}
	if err != nil {
		d.t.Fatalf("a file system can't be mounted: %v", err)
	}
}

// begin mounts the file system and makes a store.
func (d *smallDisk) begin() {
	d.t.Helper()
	d.mount()
	p, err := startProgram(d.dir, []string{"PATH=" + os.Getenv("PATH")}, "dev", "--addr", "127.0.0.1:0", "--data", d.data())
	if err != nil {
		d.t.Fatal(err)
	}
	p.kill()
	// What the server had started to read the store may need a moment to end.
	fill(d.t, filepath.Join(d.data(), "manus.db"), diskSizes()*diskStep*os.Getpagesize())
}

// backUp runs the command, and returns the ID of the backup that it says it has made.
func (d *smallDisk) backUp(must bool) string {
	d.t.Helper()
	var m backup.Manifest
	out, stderr, err := d.manus("create")
	switch {
	case err == nil:
		if err := json.Unmarshal(out, &m); err != nil || !m.Verified {
			d.t.Fatalf("it says %s: %v", out, err)
		}
	case must:
		d.t.Fatalf("%v: %s", err, stderr)
	case !strings.Contains(stderr, "no space left") || !strings.Contains(stderr, "free some") || !strings.Contains(stderr, backup.AlertFailed):
		d.t.Errorf("it failed for another reason, or raised no alarm: %v: %s", err, stderr)
	}
	return m.ID
}

func (d *smallDisk) manus(args ...string) (stdout []byte, stderr string, err error) {
	cmd := manus(d.t.Context(), d.dir, append([]string{"backup", "--json", "--data", d.data()}, args...)...)
	cmd.Env = []string{"BACKUP_DIR=" + d.backups(), "PATH=" + os.Getenv("PATH")}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	return out, said.String(), err
}

// leave fills the file system up to so many pages.
func (d *smallDisk) leave(pages int) {
	d.t.Helper()
	filler := filepath.Join(d.backups(), "filler")
	if err := os.RemoveAll(filler); err != nil {
		d.t.Fatal(err)
	}
	var free unix.Statfs_t
	if err := unix.Statfs(d.backups(), &free); err != nil {
		d.t.Fatal(err)
	}
	size := (int(free.Bavail) - pages) * int(free.Bsize)
	if err := os.WriteFile(filler, make([]byte, size), 0o600); err != nil && !errors.Is(err, unix.ENOSPC) { // others write as well
		d.t.Fatal(err)
	}
}

// checkGood wants the earlier backup to be good, and whatever else is listed to be whole:
// there may have been space for a backup, but none to write down that it is verified.
func (d *smallDisk) checkGood(id string) {
	d.t.Helper()
	out, stderr, err := d.manus("list")
	var all []backup.Backup
	if err == nil {
		err = json.Unmarshal(out, &all)
	}
	if err != nil {
		d.t.Fatalf("%v: %s", err, stderr)
	}
	for _, b := range all {
		if b.Problem != "" || b.Verified != (b.ID == id) {
			d.t.Errorf("%s is listed, verified: %v, with the problem %q", b.File, b.Verified, b.Problem)
		}
	}
	if _, stderr, err := d.manus("verify", "--quick", "--all"); err != nil {
		d.t.Errorf("%v: %s", err, stderr)
	}
	if _, stderr, err := d.manus("restore", id, "--drop", "--to", filepath.Join(d.dir, "restored")); err != nil {
		d.t.Errorf("the earlier backup: %v: %s", err, stderr)
	}
}
