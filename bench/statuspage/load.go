package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// load is what wrk has seen, and what the server took.
type load struct {
	perSecond float64
	p99       float64 // ms
	cpu       time.Duration
}

var (
	wrkRate = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkP99  = regexp.MustCompile(`99%\s+([\d.]+)(us|ms|s)\b`)
	wrkN    = regexp.MustCompile(`(\d+) requests in`)
	wrkBad  = regexp.MustCompile(`Non-2xx.*|Socket errors.*`)
)

// measure asks for the page again and again. wrk is on one thread: two would mostly measure how they
// take turns with the server.
func measure(ctx context.Context, p plan, wrk string, s *server) (l load, err error) {
	before := s.cpu()
	cmd := exec.CommandContext(ctx, wrk, "-t1", "-c", strconv.Itoa(p.connections), "-d", strconv.Itoa(int(p.length.Seconds()))+"s", "--latency",
		"-H", "Accept-Encoding: gzip", "-H", "Accept-Language: en-GB,en;q=0.9", s.url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return l, fmt.Errorf("%w: %s", err, out)
	}
	if bad := wrkBad.Find(out); bad != nil {
		return l, fmt.Errorf("wrk says: %s", bad)
	}
	rate, p99, n := wrkRate.FindSubmatch(out), wrkP99.FindSubmatch(out), wrkN.FindSubmatch(out)
	if rate == nil || p99 == nil || n == nil {
		return l, fmt.Errorf("wrk says: %s", out)
	}
	l.perSecond, _ = strconv.ParseFloat(string(rate[1]), 64)
	l.p99, _ = strconv.ParseFloat(string(p99[1]), 64)
	l.p99 *= map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3}[string(p99[2])]
	requests, _ := strconv.Atoi(string(n[1]))
	l.cpu = (s.cpu() - before) / time.Duration(requests)
	return l, nil
}
