// Package machine tells how much room there is where this program runs: on disks, in memory,
// and for open files. A container's limits count, as the kernel has them.
package machine

import (
	"bytes"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Room is how much there is of something, and how much of that is left.
type Room struct{ Free, Total uint64 }

// Share is the part that is left, from 0 to 1. Of nothing all is.
func (r Room) Share() float64 {
	if r.Total == 0 {
		return 1
	}
	return float64(min(r.Free, r.Total)) / float64(r.Total)
}

// Disk is what a folder lies on.
type Disk struct {
	Room
	// Device tells it from others on this machine.
	Device uint64
	// Network is set where its files are on another machine, as far as the kernel says.
	Network bool
}

// ErrUnknown is returned for what this system doesn't tell.
var ErrUnknown = errors.New("this system doesn't tell")

// Machine is a machine by the files in which its kernel tells of it.
type Machine struct {
	// Root is where /proc and /sys are below; empty is the root.
	Root string
}

// existing is a path, or the nearest folder above it that is there.
func existing(path string) (string, error) {
	for path, err := filepath.Abs(path); ; path = filepath.Dir(path) {
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path, err
		}
	}
}

// Memory is the room that this program has: that of the machine, or of the tightest group of
// processes that it is in. What the kernel would give up for it counts as free.
func (m Machine) Memory() (Room, error) {
	tightest, err := m.machineMemory()
	if err != nil {
		return Room{}, err
	}
	for _, folder := range m.groups() {
		if r, ok := m.groupMemory(folder); ok && r.Share() < tightest.Share() {
			tightest = r
		}
	}
	return tightest, nil
}

func (m Machine) machineMemory() (Room, error) {
	text, err := m.read("/proc/meminfo")
	if err != nil {
		return Room{}, ErrUnknown
	}
	free, total := field(text, "MemAvailable:")*1024, field(text, "MemTotal:")*1024
	if total == 0 {
		return Room{}, ErrUnknown
	}
	return Room{free, total}, nil
}

// groups are the folders of the groups of processes (cgroups, version 2) that this one is in, from
// its own to that of all, or the one that a container sees.
func (m Machine) groups() (folders []string) {
	const all = "/sys/fs/cgroup"
	text, _ := m.read("/proc/self/cgroup")
	own := "/"
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			own = path.Clean("/" + name)
		}
	}
	for ; own != "/"; own = path.Dir(own) {
		folders = append(folders, all+own)
	}
	return append(folders, all)
}

// groupMemory is the room that a group has; false where it has no limit.
func (m Machine) groupMemory(folder string) (Room, bool) {
	limit, ok := m.number(folder + "/memory.max")
	used, known := m.number(folder + "/memory.current")
	if !ok || !known || limit == 0 {
		return Room{}, false
	}
	text, _ := m.read(folder + "/memory.stat")
	used -= min(used, field(text, "inactive_file")) // of files, which can be read again
	return Room{limit - min(used, limit), limit}, true
}

// Files is how many files and connections this process may have open.
func (m Machine) Files() (Room, error) {
	open, err := os.ReadDir(filepath.Join(m.Root, "/proc/self/fd"))
	text, failure := m.read("/proc/self/limits")
	_, limits, ok := strings.Cut(string(text), "Max open files")
	limit, _ := strconv.ParseUint(first(limits), 10, 64)
	if err != nil || failure != nil || !ok || limit == 0 {
		return Room{}, ErrUnknown
	}
	return Room{limit - min(uint64(len(open)), limit), limit}, nil
}

func (m Machine) read(path string) ([]byte, error) { return os.ReadFile(filepath.Join(m.Root, path)) }

func (m Machine) number(path string) (uint64, bool) {
	text, err := m.read(path)
	n, wrong := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	return n, err == nil && wrong == nil // "max" is no limit
}

// field is the number behind a name at the beginning of a line; 0 where there is none.
func field(text []byte, name string) uint64 {
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseUint(first(rest), 10, 64)
			return n
		}
	}
	return 0
}

// first is the first word of a text.
func first(text string) string {
	if words := strings.Fields(text); len(words) > 0 {
		return words[0]
	}
	return ""
}
