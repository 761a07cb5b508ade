package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// next makes a connection's next request from the body of the answer before
// (nil at first).
type next func(before []byte) []byte

// requester makes the function for one connection.
type requester func(connection int) (next, error)

type result struct {
	n         int // requests
	perSecond float64
	p99       time.Duration
	cpu       time.Duration // of the server, for one request
}

// client is as little of HTTP/1.1 as a fair load needs: what it takes itself
// is taken from the server.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
	body   []byte
}

func dial(ctx context.Context, addr string) (*client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, reader: bufio.NewReader(conn)}, nil
}

// do sends a request and reads the answer. The body is good until the next.
func (c *client) do(request []byte) (status int, body []byte, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, nil, err
	}
	line, err := c.reader.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return 0, nil, errors.Join(errors.New("no status line"), err)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length := -1
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, nil, err
			}
		}
	}
	if status == 204 {
		length = 0
	}
	if length < 0 {
		return 0, nil, errors.New("an answer without a length")
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	_, err = io.ReadFull(c.reader, c.body)
	return status, c.body, err
}

// prepare makes what each connection sends. What has to be done first, such as signing in,
// is done before anything is measured.
func prepare(p plan, make requester) ([]next, error) {
	all := []next{}
	for i := range p.connections {
		next, err := make(i)
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	return all, nil
}

// load sends requests over a connection for each for the plan's length. The connections
// are spread over the addresses.
func load(ctx context.Context, p plan, addrs []string, all []next) (result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var times []time.Duration
	var over atomic.Bool
	begin := time.Now()
	for i, next := range all {
		wg.Go(func() {
			took, err := one(ctx, addrs[i%len(addrs)], next, &over)
			if err != nil {
				cancel(err)
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, took...)
		})
	}
	timer := time.AfterFunc(p.length, func() { over.Store(true) })
	defer timer.Stop()
	wg.Wait()
	elapsed := time.Since(begin)
	if err := context.Cause(ctx); err != nil {
		return result{}, err
	}
	slices.Sort(times)
	return result{n: len(times), perSecond: float64(len(times)) / elapsed.Seconds(), p99: times[len(times)*99/100]}, nil
}

func one(ctx context.Context, addr string, next next, over *atomic.Bool) ([]time.Duration, error) {
	c, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	var took []time.Duration
	var body []byte
	for !over.Load() && ctx.Err() == nil {
		request := next(body)
		begin := time.Now()
		status, answer, err := c.do(request)
		if err != nil {
			return nil, err
		}
		if status >= 300 {
			return nil, fmt.Errorf("status %d: %s", status, answer)
		}
		took = append(took, time.Since(begin))
		body = answer
	}
	return took, nil
}

type floodResult struct {
	accepted, refused  int64
	took               time.Duration
	peak               int64
	aliveP50, aliveP99 time.Duration
}

// loginFlood sends n logins at once, and a probe every few milliseconds until
// the last is answered.
func loginFlood(ctx context.Context, s server, n int) (floodResult, error) {
	var f floodResult
	var accepted, refused atomic.Int64
	var failed atomic.Pointer[error]
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { f.peak, f.aliveP50, f.aliveP99 = s.watch(ctx, over) })

	clients := make([]*client, n)
	for i := range clients {
		var err error
		if clients[i], err = dial(ctx, s.address()); err != nil {
			return f, err
		}
		defer clients[i].conn.Close()
	}
	begin := time.Now()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			status, body, err := c.do(s.login(i))
			switch {
			case err != nil:
				failed.Store(&err)
			case status == 200:
				accepted.Add(1)
			case status == 503 || status == 429:
				refused.Add(1)
			default:
				err := fmt.Errorf("status %d: %s", status, body)
				failed.Store(&err)
			}
		})
	}
	wg.Wait()
	f.took = time.Since(begin)
	close(over)
	watch.Wait()
	f.accepted, f.refused = accepted.Load(), refused.Load()
	if err := failed.Load(); err != nil {
		return f, *err
	}
	return f, nil
}
