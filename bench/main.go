// Command bench measures Manus beside a peer on this machine, the client
// included: the same requests in turn, several rounds, medians and ratios. It
// prints a table in Markdown; RESULTS.md keeps what was seen and when.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	if dir := os.Getenv(peerEnv); dir != "" {
		exit(servePocketBase(dir, os.Getenv(peerEnv+"_ADDR")))
	}
	if file := os.Getenv(bareEnv); file != "" {
		exit(serveBare(file, os.Getenv(bareEnv+"_ADDR")))
	}
	// The servers have both processors; a client on more than one thread would
	// mostly measure how they take turns.
	runtime.GOMAXPROCS(1)
	rounds := flag.Int("rounds", 5, "how often each is measured, in turn")
	length := flag.Duration("length", 4*time.Second, "how long each measurement takes")
	connections := flag.Int("connections", 32, "connections of the client")
	only := flag.String("only", "", "only this kind of request: health, guarded read or refresh")
	onlyFlood := flag.Bool("flood", false, "only the flood of logins")
	onlyCopies := flag.Bool("copies", false, "only one copy against three")
	onlyStore := flag.Bool("store", false, "only what documents in MongoDB cost beside the driver alone")
	before := flag.String("before", "", "also measure an earlier build of Manus, the program at this path")
	attempts := flag.Int("alike", 0, "only how alike refused sign-ins are, by so many attempts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, plan{*rounds, *length, *connections, *only, *onlyFlood, *onlyCopies, *onlyStore, *before, *attempts}))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type plan struct {
	rounds      int
	length      time.Duration
	connections int
	only        string // kind of request; empty is all, and the rest
	onlyFlood   bool
	onlyCopies  bool
	onlyStore   bool
	before      string // an earlier build; empty is none
	attempts    int    // to sign in; 0 measures the rest
}

func run(ctx context.Context, p plan) error {
	dir, err := os.MkdirTemp("", "manus-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if p.onlyStore {
		return ofStore(ctx, dir)
	}
	binary := filepath.Join(dir, "manus")
	if err := build(ctx, binary); err != nil {
		return err
	}
	fmt.Printf("%s, %d processors, client included; %d rounds of %v, %d connections; medians.\n\n",
		runtime.Version(), runtime.NumCPU(), p.rounds, p.length, p.connections)

	if p.onlyCopies {
		return copies(ctx, p, dir, binary)
	}
	manus := newManus(binary, filepath.Join(dir, "manus-data"))
	peer := newPocketBase(filepath.Join(dir, "pocketbase-data"))
	defer manus.stop()
	defer peer.stop()
	if err := errors.Join(manus.start(ctx), peer.start(ctx)); err != nil {
		return err
	}
	if p.attempts > 0 {
		return alike(ctx, p.attempts, manus, peer, binary, filepath.Join(dir, "manus-data"))
	}
	if p.onlyFlood {
		return flood(ctx, manus, peer)
	}
	bare := newBare(manus, filepath.Join(dir, "answers.json"))
	defer bare.stop()
	if err := bare.start(ctx); err != nil {
		return err
	}
	measured := []server{manus, peer, bare}
	if p.before != "" {
		earlier := newManus(p.before, filepath.Join(dir, "earlier-data"))
		earlier.title = "earlier Manus"
		defer earlier.stop()
		if err := earlier.start(ctx); err != nil {
			return err
		}
		measured = append(measured, earlier)
	}
	if p.only != "" {
		return throughput(ctx, p, measured)
	}
	if err := errors.Join(starts(ctx, p, dir, binary), throughput(ctx, p, measured), flood(ctx, manus, peer)); err != nil {
		return err
	}
	fmt.Printf("\nMemory after all of it (RSS): Manus %d MiB, PocketBase %d MiB.\n", manus.rss()>>20, peer.rss()>>20)
	return nil
}

// starts measures the time from starting the process to its first answer.
func starts(ctx context.Context, p plan, dir, binary string) error {
	var ours, theirs []time.Duration
	for i := range p.rounds {
		for _, s := range []struct {
			server
			took *[]time.Duration
		}{
			{newManus(binary, filepath.Join(dir, fmt.Sprint("start-manus", i))), &ours},
			{newPocketBase(filepath.Join(dir, fmt.Sprint("start-pocketbase", i))), &theirs},
		} {
			begin := time.Now()
			err := s.launch(ctx)
			*s.took = append(*s.took, time.Since(begin))
			s.stop()
			if err != nil {
				return err
			}
		}
	}
	fmt.Printf("Start to first answer, new data folder: Manus %v, PocketBase %v.\n\n",
		median(ours).Round(time.Millisecond), median(theirs).Round(time.Millisecond))
	return nil
}

// throughput measures each kind of request on all servers, in turn, and tells how the
// first stands beside the others. The processor's time is the server's for one request:
// it depends less than the rest on what else the machine does.
func throughput(ctx context.Context, p plan, servers []server) error {
	title, line := "| request |", "| --- |"
	for i, s := range servers {
		title, line = title+" "+s.name()+" /s | p99 | CPU |", line+" ---: | ---: | ---: |"
		if i > 0 {
			title, line = title+" ratio |", line+" ---: |"
		}
	}
	fmt.Println(title + "\n" + line)
	for _, kind := range []string{"health", "guarded read", "refresh"} {
		if p.only != "" && p.only != kind {
			continue
		}
		results, err := inTurn(ctx, p, servers, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		fmt.Println("| " + kind + " |" + row(results))
	}
	return nil
}

// inTurn measures one kind of request and returns the median of each server, nil where
// it has no such request.
func inTurn(ctx context.Context, p plan, servers []server, kind string) ([]*result, error) {
	results := make([][]result, len(servers))
	for range p.rounds {
		for i, s := range servers {
			requests := s.requests(kind)
			if requests == nil {
				continue
			}
			r, err := measure(ctx, p, s, requests)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name(), err)
			}
			results[i] = append(results[i], r)
		}
	}
	medians := make([]*result, len(servers))
	for i, all := range results {
		if len(all) > 0 {
			medians[i] = middle(all)
		}
	}
	return medians, nil
}

// measure sends requests to one server.
func measure(ctx context.Context, p plan, s server, requests requester) (result, error) {
	all, err := prepare(p, requests)
	if err != nil {
		return result{}, err
	}
	before := s.cpu()
	r, err := load(ctx, p, []string{s.address()}, all)
	if err == nil {
		r.cpu = (s.cpu() - before) / time.Duration(r.n)
	}
	return r, err
}

// row is a line of the table of throughput.
func row(results []*result) string {
	var b strings.Builder
	for i, r := range results {
		if r == nil {
			b.WriteString(" | | | |")
			continue
		}
		fmt.Fprintf(&b, " %.0f | %v | %v |", r.perSecond, r.p99.Round(10*time.Microsecond), r.cpu.Round(100*time.Nanosecond))
		if i > 0 {
			fmt.Fprintf(&b, " %.2f× |", results[0].perSecond/r.perSecond)
		}
	}
	return b.String()
}

// flood sends a thousand logins at once and watches the memory, and how the
// probe for being alive answers meanwhile.
func flood(ctx context.Context, manus, peer server) error {
	runtime.GOMAXPROCS(2) // the probe mustn't wait for the thousand
	fmt.Println("\n| 1,000 logins at once | signed in | told to wait | took | peak RSS | alive p50 | alive p99 |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, s := range []server{manus, peer} {
		f, err := loginFlood(ctx, s, 1000)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %d | %d | %v | %d MiB | %v | %v |\n", s.name(), f.accepted, f.refused, f.took.Round(time.Millisecond),
			f.peak>>20, f.aliveP50.Round(10*time.Microsecond), f.aliveP99.Round(10*time.Microsecond))
	}
	return nil
}

func median[T ~int64](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// middle has the medians of all.
func middle(all []result) *result {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b result) int { return int(a.perSecond - b.perSecond) })
	m := sorted[len(sorted)/2]
	var times []time.Duration
	for _, r := range all {
		times = append(times, r.cpu)
	}
	m.cpu = median(times)
	return &m
}
