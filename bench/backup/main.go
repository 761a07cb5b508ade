// Command backup measures backups beside what people use otherwise: of the embedded
// store against `sqlite3 .backup` and `gzip -6`, of MongoDB against stock mongodump. It
// needs the programs sqlite3 and gzip. It prints tables in Markdown; ../RESULTS.md keeps
// what was seen and when.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	megabytes := flag.Int("size", 512, "how large the database is, in MB")
	rounds := flag.Int("rounds", 3, "how often each is measured, in turn")
	only := flag.String("only", "", "speed, writes, memory or mongodb; all but memory by default")
	data := flag.String("data", "", "of speed, only the data of that kind: events, small or random")
	dir := flag.String("dir", "", "a folder for the databases; a temporary one by default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *megabytes, *rounds, *only, *data); err != nil {
		fmt.Fprintln(os.Stderr, "backup:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, megabytes, rounds int, only, data string) error {
	kinds := slices.DeleteFunc([]kind{events, small, blobs}, func(k kind) bool { return data != "" && data != k.name })
	dir, err := os.MkdirTemp(dir, "manus-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the program ends
	b := &bench{ctx: ctx, dir: dir, manus: filepath.Join(dir, "manus"), rounds: rounds}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.manus, "./cmd/manus")
	build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build manus: %w: %s", err, out)
	}
	fmt.Printf("%s, %d processors, all programs together; medians of %d rounds in turn.\n", runtime.Version(), runtime.NumCPU(), rounds)
	if only == "mongodb" {
		return b.mongodb(megabytes)
	}
	if only == "speed" {
		return b.speeds(kinds, megabytes)
	}
	if err := b.fillWith(events, megabytes); err != nil {
		return err
	}
	switch only {
	case "writes":
		return b.writes()
	case "memory":
		return b.memory()
	}
	return errors.Join(b.writes(), b.speeds(kinds, megabytes), b.mongodb(megabytes))
}

// bench is what the measurements share.
type bench struct {
	ctx        context.Context
	dir, manus string
	bytes      int64 // of the embedded store
	rounds     int
	of         kind // that is in the store
}

// fillWith makes a store of that kind, in place of the one before.
func (b *bench) fillWith(k kind, megabytes int) (err error) {
	if err := os.RemoveAll(b.data()); err != nil {
		return err
	}
	b.of = k
	b.bytes, err = makeDatabase(b.ctx, b.data(), k, megabytes)
	return err
}

func (b *bench) data() string  { return filepath.Join(b.dir, "data") }
func (b *bench) store() string { return filepath.Join(b.data(), "manus.db") }
func (b *bench) out() string   { return filepath.Join(b.dir, "out") }

// way is one way to make a backup into the empty folder out.
type way struct {
	name string
	make func() *exec.Cmd
}

// outcome is what a run of a way took.
type outcome struct {
	took time.Duration
	cpu  time.Duration // of all processors
	size int64         // of the files in out
	rss  int64         // the most memory that the program had, in bytes
}

// prepare empties the folder out. What others have left to be written to the disk isn't
// the next one's.
func (b *bench) prepare() error {
	err := errors.Join(os.RemoveAll(b.out()), os.Mkdir(b.out(), 0o700))
	syscall.Sync()
	return err
}

// once runs a way, after prepare.
func (b *bench) once(w way) (outcome, error) {
	cmd := w.make()
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	o, err := outcome{}, error(nil)
	for running := true; running; {
		select {
		case err = <-ended:
			running = false
		case <-time.After(20 * time.Millisecond):
			o.rss = max(o.rss, peak(cmd.Process.Pid))
		}
	}
	o.took, o.cpu = time.Since(began), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	if err != nil {
		return outcome{}, fmt.Errorf("%s: %w: %s", w.name, err, &text)
	}
	files, err := os.ReadDir(b.out())
	if err != nil {
		return outcome{}, err
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			return outcome{}, err
		}
		o.size += info.Size()
	}
	return o, nil
}

// peak is the most memory that a running process has had, in bytes; 0 if it has ended.
// What the system says of one that has ended includes the memory of this process, whose
// copy it was at first.
func peak(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	var kib int64
	_, _ = fmt.Sscan(after, &kib) // nothing is 0
	return kib << 10
}

// shell is a line for sh, with what it needs in the environment.
func (b *bench) shell(line string) func() *exec.Cmd {
	return func() *exec.Cmd {
		cmd := exec.CommandContext(b.ctx, "sh", "-ec", line)
		cmd.Env = append(os.Environ(), "DB="+b.store(), "OUT="+b.out())
		return cmd
	}
}

// ours is 'manus backup create' with a compression.
func (b *bench) ours(compression string, more ...string) func() *exec.Cmd {
	return func() *exec.Cmd {
		config := filepath.Join(b.dir, compression+".yaml")
		if err := os.WriteFile(config, []byte("backup: {compression: "+compression+"}\n"), 0o600); err != nil {
			panic(err)
		}
		args := append([]string{"backup", "create", "--data", b.data(), "--config", config}, more...)
		cmd := exec.CommandContext(b.ctx, b.manus, args...)
		cmd.Env = append(os.Environ(), "BACKUP_DIR="+b.out())
		return cmd
	}
}

// stock is what people put into a crontab. The copy is removed as they do it.
const stock = `sqlite3 "$DB" ".backup '$OUT/copy.db'" && gzip -6 < "$OUT/copy.db" > "$OUT/backup.gz" && rm "$OUT/copy.db" && sync "$OUT/backup.gz"`

// speeds compares the time and the size with each kind of data.
func (b *bench) speeds(kinds []kind, megabytes int) error {
	for _, k := range kinds {
		if err := errors.Join(b.fillWith(k, megabytes), b.speed()); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) speed() error {
	ways := []way{
		{"`sqlite3 .backup`, `gzip -6`", b.shell(stock)},
		{"manus, gzip", b.ours("gzip", "--no-verify")},
		{"manus, zstd", b.ours("zstd", "--no-verify")},
		{"manus, gzip, restored and compared", b.ours("gzip")},
		{"manus, zstd, restored and compared", b.ours("zstd")},
	}
	b.head(fmt.Sprintf("%d MB of %s", b.bytes/1e6, b.of.what))
	return b.table(ways)
}

// head prints the head of a table.
func (b *bench) head(what string) {
	fmt.Printf("\n| %s | took | times as fast | processors' time | of the first's | size | of the first's | peak RSS |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n", what)
}

func (b *bench) table(ways []way) error {
	results := make([][]outcome, len(ways))
	for range b.rounds {
		for i, w := range ways {
			err := b.prepare()
			if err != nil {
				return err
			}
			o, err := b.once(w)
			if err != nil {
				return err
			}
			results[i] = append(results[i], o)
		}
	}
	first := middle(results[0])
	for i, w := range ways {
		o := middle(results[i])
		fmt.Printf("| %s | %.1f s | %.2f× | %.1f s | %.2f× | %.1f MB | %.3f× | %.0f MiB |\n", w.name, o.took.Seconds(), first.took.Seconds()/o.took.Seconds(),
			o.cpu.Seconds(), o.cpu.Seconds()/first.cpu.Seconds(),
			float64(o.size)/1e6, float64(o.size)/float64(first.size), float64(o.rss)/(1<<20))
	}
	return nil
}

// middle is the outcome of the median time.
func middle(all []outcome) outcome {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b outcome) int { return int(a.took - b.took) })
	return sorted[len(sorted)/2]
}

// memory tells the most memory that is used, which must not grow with the database.
func (b *bench) memory() error {
	b.head(fmt.Sprintf("%d MB of SQLite", b.bytes/1e6))
	return b.table([]way{
		{"manus, gzip", b.ours("gzip", "--no-verify")},
		{"manus, zstd", b.ours("zstd", "--no-verify")},
		{"manus, gzip, restored and compared", b.ours("gzip")},
	})
}
