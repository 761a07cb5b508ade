package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// rushes has a crowd come at once: each on a new connection, which it keeps, and from an address of
// its own, as a proxy in front says, so that the limits in force by default count all of them.
func rushes(ctx context.Context, p plan) error {
	dir, err := seedFile(ctx, p)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := launch(p, "Manus", dir, "", "TRUSTED_PROXIES=127.0.0.0/8")
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Printf("%d connections, all begun at once and kept until the last was answered; and as many within ten seconds. Clients begin to count before they connect, the server when it has read what is asked.\n\n", p.rush)
	fmt.Println("| | answered | others | all of it took | clients: p50 | p99 | the server: p50 | p99 | memory, peak |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for range p.rounds {
		for _, within := range []time.Duration{0, 10 * time.Second} {
			s.forget()
			c := newCrowd(s, p.rush)
			name := "at once"
			if within > 0 {
				name = fmt.Sprintf("within %v", within)
			}
			if err := report(name, s, func() (came, error) { return c.come(ctx, within) }); err != nil {
				return err
			}
			c.leave()
		}
	}
	return nil
}

// report prints what became of a crowd.
func report(name string, s *server, rush func() (came, error)) error {
	before, err := answered(s)
	if err != nil {
		return err
	}
	begin := time.Now()
	came, err := rush()
	if err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := answered(s)
	if err != nil {
		return err
	}
	slices.Sort(came.took)
	at := func(q float64) time.Duration { return came.took[int(q*float64(len(came.took)-1))] }
	fmt.Printf("| %s | %d | %d | %v | %v | %v | %s | %s | %d MiB |\n", name, len(came.took), came.failed, took.Round(time.Millisecond), at(.5).Round(100*time.Microsecond), at(.99).Round(100*time.Microsecond),
		after.since(before, .5), after.since(before, .99), s.peak()>>20)
	if came.why != nil {
		fmt.Fprintln(os.Stderr, "statuspage: one that wasn't answered:", came.why)
	}
	return nil
}

// crowd is people who keep their connections.
type crowd struct {
	address string
	people  []*person
}

type person struct {
	conn net.Conn
	ask  []byte
	from net.IP
}

// came is what became of a crowd: how long its answers took.
type came struct {
	took   []time.Duration
	failed int
	why    error
}

func newCrowd(s *server, n int) *crowd {
	address := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/status")
	c := &crowd{address: address}
	for i := range n {
		c.people = append(c.people, &person{
			ask:  fmt.Appendf(nil, "GET /status HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: gzip\r\nAccept-Language: en-GB,en;q=0.9\r\nX-Forwarded-For: 198.18.%d.%d\r\n\r\n", address, i>>8&255, i&255),
			from: net.IPv4(127, 0, 1, byte(1+i%200)), // where there are ports
		})
	}
	return c
}

// come has all come evenly within a time; 0 is at once.
func (c *crowd) come(ctx context.Context, within time.Duration) (all came, err error) {
	took := make([]time.Duration, len(c.people))
	var failed atomic.Int64
	var why atomic.Pointer[error]
	var wait sync.WaitGroup
	start := make(chan struct{})
	for i, p := range c.people {
		wait.Go(func() {
			<-start
			time.Sleep(within * time.Duration(i) / time.Duration(len(c.people)))
			var err error
			if took[i], err = p.come(ctx, c.address); err != nil {
				failed.Add(1)
				why.Store(&err)
			}
		})
	}
	close(start)
	wait.Wait()
	all.took, all.failed = slices.DeleteFunc(took, func(d time.Duration) bool { return d == 0 }), int(failed.Load())
	if w := why.Load(); w != nil {
		all.why = *w
	}
	if len(all.took) == 0 {
		err = fmt.Errorf("nobody was answered: %w", all.why)
	}
	return all, err
}

// come connects, asks, and reads the answer.
func (p *person) come(ctx context.Context, address string) (took time.Duration, err error) {
	begin := time.Now()
	if p.conn, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: p.from}}).DialContext(ctx, "tcp", address); err != nil {
		return 0, err
	}
	_ = p.conn.SetDeadline(begin.Add(time.Minute))
	if _, err := p.conn.Write(p.ask); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(p.conn, 16<<10), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", answer.StatusCode)
	}
	if err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

func (c *crowd) leave() {
	for _, p := range c.people {
		if p.conn != nil {
			_ = p.conn.Close()
		}
	}
}

// times are how many answers took at most so long, by the server's own metrics.
type times struct {
	upTo  []float64 // seconds
	count []float64
}

// answered is what the server says of its answers of the page.
func answered(s *server) (t times, err error) {
	answer, err := http.Get("http://" + s.ops + "/metrics")
	if err != nil {
		return t, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), `manus_http_request_duration_seconds_bucket{method="GET",route="GET /status",status="200",le="`)
		if !ok {
			continue
		}
		le, count, _ := strings.Cut(rest, `"} `)
		upTo, _ := strconv.ParseFloat(le, 64)
		n, _ := strconv.ParseFloat(count, 64)
		t.upTo, t.count = append(t.upTo, upTo), append(t.count, n)
	}
	return t, lines.Err()
}

// since is the quantile of the answers since another time.
func (t times) since(before times, q float64) string {
	last := len(t.count) - 1
	if last < 0 {
		return "?"
	}
	n := func(i int) float64 {
		if len(before.count) == 0 {
			return t.count[i]
		}
		return t.count[i] - before.count[i]
	}
	for i := range t.count {
		if n(i) >= q*n(last) {
			return fmt.Sprintf("≤ %v", time.Duration(t.upTo[i]*float64(time.Second)))
		}
	}
	return "?"
}
