package machine

import (
	"os"
	"path/filepath"
	"testing"
)

// kernel is a folder with files as a kernel writes them.
func kernel(t *testing.T, files map[string]string) Machine {
	t.Helper()
	m := Machine{Root: t.TempDir()}
	for name, text := range files {
		path := filepath.Join(m.Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

const meminfo = "MemTotal:        8000000 kB\nMemFree:          100000 kB\nMemAvailable:    4000000 kB\n"

func TestTheTightestLimitOfMemoryCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  Room
	}{
		"the machine's": {nil, Room{4_096_000_000, 8_192_000_000}},
		"a container's": {
			map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "900\n", "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 300\n"},
			Room{400, 1000},
		},
		"that of a group above": {
			map[string]string{
				"proc/self/cgroup": "1:cpu:/x\n0::/app/manus\n", "sys/fs/cgroup/app/manus/memory.max": "max\n", "sys/fs/cgroup/app/manus/memory.current": "900\n",
				"sys/fs/cgroup/app/memory.max": "1000\n", "sys/fs/cgroup/app/memory.current": "2000\n",
			},
			Room{0, 1000},
		},
		"none that is looser": {map[string]string{"sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "1\n"}, Room{4_096_000_000, 8_192_000_000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := kernel(t, c.files)
			if err := os.MkdirAll(filepath.Join(m.Root, "proc"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(m.Root, "proc/meminfo"), []byte(meminfo), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := m.Memory(); got != c.want || err != nil {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestOpenFilesAreCounted(t *testing.T) {
	t.Parallel()
	m := kernel(t, map[string]string{
		"proc/self/fd/0": "", "proc/self/fd/1": "", "proc/self/fd/2": "",
		"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            10                   4096                 files     \n",
	})
	if got, err := m.Files(); got != (Room{7, 10}) || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestThisMachineTells(t *testing.T) {
	t.Parallel()
	var m Machine
	memory, err := m.Memory()
	if err != nil || memory.Total == 0 || memory.Share() <= 0 {
		t.Errorf("memory: %+v, %v", memory, err)
	}
	files, err := m.Files()
	if err != nil || files.Free == 0 || files.Free == files.Total {
		t.Errorf("files: %+v, %v", files, err)
	}
	disk, err := m.DiskOf(filepath.Join(t.TempDir(), "not/made/yet"))
	if err != nil || disk.Total == 0 || disk.Network || disk.Device == 0 {
		t.Errorf("disk: %+v, %v", disk, err)
	}
}

func TestWhatIsNotToldIsAnError(t *testing.T) {
	t.Parallel()
	m := kernel(t, nil)
	if _, err := m.Memory(); err == nil {
		t.Error("there is memory")
	}
	if _, err := m.Files(); err == nil {
		t.Error("there are files")
	}
	if s := (Room{}).Share(); s != 1 {
		t.Error(s)
	}
}
