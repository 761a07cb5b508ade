// Command errors measures the inbox of errors of the real `manus serve` on this machine, on
// SQLite with full sync. The programs that send are this process, the server is another. It
// prints tables in Markdown; ../RESULTS.md keeps what was seen and when.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	length := flag.Duration("length", 6*time.Second, "how long each measurement sends")
	runs := flag.Int("runs", 5, "how often each is measured, in turn")
	events := flag.Int("events", 1_000_000, "events that are searched")
	flag.StringVar(&program, "program", "", "the manus to measure, to hold two beside each other; this tree's by default")
	senders := flag.Int("senders", 64, "connections that the storm comes by")
	beside := flag.Bool("beside", false, "be the other project's program, which the storm starts")
	storm := flag.Int64("storm", 100_000, "events of the storm")
	only := flag.String("only", "", "speed, latency, storm or search; all by default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *beside {
		if err := besideStorm(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "errors: beside:", err)
			os.Exit(1)
		}
		return
	}
	load, _ := os.ReadFile("/proc/loadavg") // Linux's; elsewhere it is left out
	fmt.Printf("%s, %d processors, the senders included; load before: %s\n", runtime.Version(), runtime.NumCPU(), strings.TrimSpace(string(load)))
	b := bench{ctx: ctx, length: *length, runs: *runs, events: *events, stormed: *storm, senders: *senders}
	for _, part := range []struct {
		name string
		run  func() error
	}{{"speed", b.speed}, {"latency", b.latency}, {"storm", b.storm}, {"search", b.search}} {
		if *only != "" && *only != part.name {
			continue
		}
		fmt.Println()
		if err := part.run(); err != nil {
			fmt.Fprintln(os.Stderr, "errors:", part.name+":", err)
			os.Exit(1)
		}
	}
}

type bench struct {
	ctx    context.Context
	length time.Duration
	runs   int
	events int
	// stormed is how many events of one bug the storm has.
	stormed int64
	senders int
}

// sizes are of an event's JSON.
var sizes = []int{4 << 10, 50 << 10}

// speed sends as fast as 64 connections get answers, and waits until all is counted.
func (b bench) speed() error {
	type result struct{ perSecond, cpu, rss, stored float64 }
	results := map[int][]result{}
	for range b.runs {
		for _, size := range sizes {
			s, err := serve(b.ctx, "")
			if err != nil {
				return err
			}
			begin, cpu := time.Now(), s.cpu()
			sent := s.flood(b.length, 64, size, 50, 0)
			err = s.counted(b.ctx, len(sent.took))
			took := time.Since(begin)
			n := float64(len(sent.took))
			results[size] = append(results[size], result{n / took.Seconds(), (s.cpu() - cpu).Seconds() * 1000 / n, float64(s.peak()) / (1 << 20), s.stored() / n})
			s.stop()
			if err != nil {
				return err
			}
			if sent.refused > 0 {
				fmt.Fprintf(os.Stderr, "%d were refused: %v\n%s", sent.refused, sent.why, s.log.String())
			}
		}
	}
	fmt.Println("| taken and counted | /s, least | /s, median | CPU ms an event, median | RSS at its peak, MiB | bytes on disk an event |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: |")
	for _, size := range sizes {
		column := func(of func(result) float64) []float64 {
			var all []float64
			for _, r := range results[size] {
				all = append(all, of(r))
			}
			slices.Sort(all)
			return all
		}
		speed, cpu, rss, stored := column(func(r result) float64 { return r.perSecond }), column(func(r result) float64 { return r.cpu }), column(func(r result) float64 { return r.rss }), column(func(r result) float64 { return r.stored })
		fmt.Printf("| %d KB | %.0f | %.0f | %.2f | %.0f | %.0f |\n", size>>10, speed[0], speed[len(speed)/2], cpu[len(cpu)/2], rss[len(rss)-1], stored[len(stored)/2])
	}
	return nil
}

// latency sends at half of what went, and now and then an event of a new bug, which is
// looked for until it is seen.
func (b bench) latency() error {
	s, err := serve(b.ctx, "")
	if err != nil {
		return err
	}
	defer s.stop()
	full := s.flood(b.length, 64, sizes[0], 50, 0)
	if err := s.counted(b.ctx, len(full.took)); err != nil {
		return err
	}
	rate := float64(len(full.took)) / b.length.Seconds() / 2
	ctx, stop := context.WithCancel(b.ctx)
	visible := make(chan []time.Duration)
	go func() { visible <- s.watch(ctx) }()
	half := s.flood(2*b.length, 64, sizes[0], 50, rate)
	stop()
	seen := <-visible
	fmt.Println("| at half load | answers, p50 | p99 | an issue is visible after, p50 | most |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: |")
	fmt.Printf("| %.0f/s of 4 KB | %s | %s | %s | %s |\n", rate, at(half.took, 50), at(half.took, 99), at(seen, 50), at(seen, 100))
	return nil
}

// at is a percentile.
func at(all []time.Duration, percent int) string {
	if len(all) == 0 {
		return "-"
	}
	slices.Sort(all)
	return all[min(len(all)-1, len(all)*percent/100)].Round(100 * time.Microsecond).String()
}
