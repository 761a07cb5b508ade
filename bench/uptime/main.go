// Command uptime measures how the real `manus serve` watches ten thousand targets over TLS, of
// which three in ten hang until the check's timeout: its processor time, how late checks
// begin, its memory and what it writes. Beside it, on the same targets in turn, Debian's
// Prometheus with its blackbox exporter, where they are installed.
//
// The targets are a process of their own, at a thousand addresses of 127.0.0.0/8, ten
// monitors each, as no more looks than that are under way at a host. Their certificates
// (ECDSA P-256, over one between) are trusted by SSL_CERT_FILE. It prints tables in
// Markdown; ../RESULTS.md keeps what was seen and when.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

// plan is what is measured.
type plan struct {
	monitors int
	every    time.Duration
	timeout  time.Duration
	hang     float64
	warm     time.Duration
	length   time.Duration
	program  string
}

func main() {
	var p plan
	flag.IntVar(&p.monitors, "monitors", 10_000, "how many there are; 1,000 at 6s is the same rate as 10,000 at 60s")
	flag.DurationVar(&p.every, "every", time.Minute, "how often each is looked at")
	flag.DurationVar(&p.timeout, "timeout", 10*time.Second, "of a check")
	flag.Float64Var(&p.hang, "hang", 0.3, "the share of targets that hang: half of them in the handshake, half with the request")
	flag.DurationVar(&p.warm, "warm", 0, "how long nothing is measured; two intervals by default")
	flag.DurationVar(&p.length, "length", 0, "how long each is measured; two intervals by default")
	flag.StringVar(&p.program, "program", "", "the manus to measure, to hold two beside each other; this tree's by default")
	rounds := flag.Int("rounds", 1, "how often each is measured, in turn")
	only := flag.String("only", "", "manus or prometheus; both by default")
	flag.Parse()
	p.warm, p.length = cmp.Or(p.warm, 2*p.every), cmp.Or(p.length, 2*p.every)
	if os.Getenv(targetsEnv) != "" {
		exit(beTargets(p))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, p, *rounds, *only))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "uptime:", err)
		os.Exit(1)
	}
}

// loadavg is how much else the machine does. Linux's; elsewhere it is left out.
func loadavg() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

func run(ctx context.Context, p plan, rounds int, only string) error {
	all := []*contender{{name: "manus", launch: launchManus}, {name: "prometheus", launch: launchPrometheus}}
	for range rounds {
		for _, c := range all {
			if only != "" && only != c.name {
				continue
			}
			m, err := measure(ctx, p, c)
			if errors.Is(err, errNotInstalled) {
				fmt.Fprintln(os.Stderr, "uptime:", err)
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			c.seen = append(c.seen, m)
		}
	}
	fmt.Printf("%s, %d processors, targets included; %d monitors at %v, timeout %v, %.0f %% hang; measured for %v after %v; %d rounds in turn, medians.\n\n",
		runtime.Version(), runtime.NumCPU(), p.monitors, p.every, p.timeout, 100*p.hang, p.length, p.warm, rounds)
	fmt.Println("| | load | connections /s | processor, of two | a connection | memory, peak | after | written /min | off its interval, p99 | worst |")
	fmt.Println("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, c := range all {
		for i := range c.parts() {
			c.print(i, p)
		}
	}
	for _, m := range all[0].seen {
		fmt.Printf("\nThe first look began %v after the start.%s\n", m.first.Round(time.Millisecond), m.note)
	}
	return nil
}

// contender is what is measured, of one process or two.
type contender struct {
	name   string
	launch func(ctx context.Context, p plan, t *targets) (*watcher, error)
	seen   []measured
}

// measured is one measurement.
type measured struct {
	load        string
	connections float64
	late        lateness
	first       time.Duration // look, after the start
	processes   []used
	note        string
}

// parts are the processes.
func (c *contender) parts() int {
	if len(c.seen) == 0 {
		return 0
	}
	return len(c.seen[0].processes)
}

func (c *contender) print(i int, p plan) {
	middle := func(of func(measured) float64) float64 {
		var all []float64
		for _, m := range c.seen {
			all = append(all, of(m))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	var loads []string
	for _, m := range c.seen {
		loads = append(loads, m.load)
	}
	seconds := p.length.Seconds()
	cpu := middle(func(m measured) float64 { return m.processes[i].cpu.Seconds() })
	connections := middle(func(m measured) float64 { return m.connections })
	fmt.Printf("| %s | %s | %.0f | %.1f %% | %.2f ms | %.0f MiB | %.0f MiB | %.1f MB | %.0f ms | %.0f ms |\n",
		c.seen[0].processes[i].name, strings.Join(loads, ", "), connections/seconds, 100*cpu/seconds/2, 1000*cpu/connections,
		middle(func(m measured) float64 { return m.processes[i].peak }), middle(func(m measured) float64 { return m.processes[i].rss }),
		middle(func(m measured) float64 { return m.processes[i].written })/1e6/p.length.Minutes(),
		middle(func(m measured) float64 { return m.late.P99 }), middle(func(m measured) float64 { return m.late.Worst }))
}

// measure has a contender watch the targets, which are made anew.
func measure(ctx context.Context, p plan, c *contender) (m measured, err error) {
	t, err := startTargets(p)
	if err != nil {
		return m, err
	}
	defer t.stop()
	begin := time.Now()
	w, err := c.launch(ctx, p, t)
	if err != nil {
		return m, err
	}
	defer w.stop()
	pause(ctx, p.warm)
	if _, err := t.taken(); err != nil {
		return m, err
	}
	before := w.used()
	pause(ctx, p.length)
	s, err := t.taken()
	if err != nil {
		return m, err
	}
	m.connections, m.late, m.first = s.Connections, s.Late, s.First.Sub(begin)
	for i, u := range w.used() {
		m.processes = append(m.processes, u.since(before[i]))
	}
	m.load = loadavg()
	m.note = w.note()
	return m, errors.Join(ctx.Err(), w.ended())
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
