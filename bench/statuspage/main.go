// Command statuspage measures the public page of the real `manus serve` with 100 components of
// 90 days: how long it takes to be rendered anew and how large it is, how many requests a second
// it answers by kept connections, what a rush of new ones does to it, and how soon a change is
// on the pages of three copies. Beside it, in turn, a bare net/http handler and Debian's nginx
// with the same bytes from a file, where that is installed.
//
// Load comes from Debian's wrk, a rush from this process; they share the processors with the
// servers. It prints tables in Markdown; ../RESULTS.md keeps what was seen and when.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

// plan is what is measured.
type plan struct {
	components  int
	rounds      int
	length      time.Duration
	connections int
	rush        int
	incidents   int
	program     string
	profile     string
}

func main() {
	if file := os.Getenv(bareEnv); file != "" {
		exit(serveBare(file))
		return
	}
	var p plan
	flag.IntVar(&p.components, "components", 100, "how many the page lists")
	flag.IntVar(&p.rounds, "rounds", 5, "how often each server is measured, in turn")
	flag.DurationVar(&p.length, "length", 4*time.Second, "how long each measurement takes")
	flag.IntVar(&p.connections, "connections", 32, "connections of the load")
	flag.IntVar(&p.rush, "rush", 10_000, "connections of a rush")
	flag.IntVar(&p.incidents, "incidents", 100, "how many are opened, to see when copies show them")
	flag.StringVar(&p.program, "program", "", "the manus to measure; this tree's by default")
	flag.StringVar(&p.profile, "profile", "", "keep the processor's profile of the first load in this file")
	only := flag.String("only", "", "render, load, rush or copies; all by default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, p, *only))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "statuspage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan, only string) error {
	fmt.Printf("%s, %d processors, clients included; %d components of 90 days; %d rounds in turn.\n", runtime.Version(), runtime.NumCPU(), p.components, p.rounds)
	for _, part := range []struct {
		name string
		run  func(context.Context, plan) error
	}{{"render", renders}, {"load", loads}, {"rush", rushes}, {"copies", copies}} {
		if only != "" && only != part.name {
			continue
		}
		fmt.Printf("\nLoad before: %s\n\n", loadavg())
		if err := part.run(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// loadavg is how much else the machine does.
func loadavg() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// renders runs the benchmarks of the package.
func renders(ctx context.Context, _ plan) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "Render|View|Compress|Serve$", "./statuspage")
	cmd.Dir, cmd.Stderr = "..", os.Stderr
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Benchmark") {
			fmt.Print("    ", line)
		}
	}
	return err
}

// loads measures requests by kept connections.
func loads(ctx context.Context, p plan) error {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		return errors.New("wrk isn't installed: apt-get install wrk")
	}
	servers, stop, err := contenders(ctx, p)
	defer stop()
	if err != nil {
		return err
	}
	seen := make([][]load, len(servers))
	for round := range p.rounds {
		for i, s := range servers {
			if round == 0 && i == 0 {
				s.profile(p)
			}
			l, err := measure(ctx, p, wrk, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			seen[i] = append(seen[i], l)
		}
	}
	fmt.Printf("%d connections for %v, gzip asked for; medians, of processor time the least in brackets.\n\n", p.connections, p.length)
	fmt.Println("| | requests /s | Manus beside it | p99 | processor a request | memory, peak |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: |")
	first := median(seen[0], func(l load) float64 { return l.perSecond })
	for i, s := range servers {
		perSecond := median(seen[i], func(l load) float64 { return l.perSecond })
		cpu := func(l load) float64 { return float64(l.cpu) / 1e3 }
		least := cpu(slices.MinFunc(seen[i], func(a, b load) int { return int(a.cpu - b.cpu) }))
		fmt.Printf("| %s | %.0f | %.2f× | %.1f ms | %.1f µs (%.1f) | %d MiB |\n", s.name, perSecond, first/perSecond,
			median(seen[i], func(l load) float64 { return l.p99 }), median(seen[i], cpu), least, s.peak()>>20)
	}
	return nil
}

func median[T any](all []T, of func(T) float64) float64 {
	var values []float64
	for _, one := range all {
		values = append(values, of(one))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
