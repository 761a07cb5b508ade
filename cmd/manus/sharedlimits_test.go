package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"manus/internal/redistest"
	"manus/internal/waittest"
)

// counted is copies of the server that count on one Redis, each with a store of its own,
// and clients who try to sign in.
type counted struct {
	t      *testing.T
	redis  *redistest.Server
	copies []*program
}

// fiveAnHour is what no test takes long enough to see the end of.
const fiveAnHour = `limits: {rules: [{route: POST /api/v1/auth/login, limit: 5/hour, by: [address, account]}]}
`

func startCounted(t *testing.T, n int) *counted {
	t.Helper()
	c := &counted{t: t, redis: redistest.Start(t), copies: make([]*program, n)}
	for i := range c.copies {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "manus.yaml"), []byte(fiveAnHour), 0o600); err != nil {
			t.Fatal(err)
		}
		c.copies[i] = startServer(t, dir, "REDIS_URL="+c.redis.URL(), "TRUSTED_PROXIES=127.0.0.0/8")
	}
	return c
}

// address is the n-th of many clients'.
func address(n int) string { return fmt.Sprintf("203.%d.%d.%d", n>>16&255, n>>8&255, n&255) }

// login tries a password on a copy, and tells whether the limits admitted that.
func (c *counted) login(copy int, from, account string) (admitted bool, err error) {
	body := fmt.Sprintf(`{"email":"%s@example.com","password":"not the password"}`, account)
	r, err := http.NewRequestWithContext(c.t.Context(), "POST", c.copies[copy%len(c.copies)].url+"/api/v1/auth/login", strings.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", from)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusUnauthorized:
		return true, nil
	case http.StatusTooManyRequests:
		return false, nil
	}
	return false, fmt.Errorf("copy %d answers %s", copy%len(c.copies), response.Status)
}

// ready is what a copy says of itself.
func (c *counted) ready(copy int, from string) string {
	r, err := http.NewRequestWithContext(c.t.Context(), "GET", c.copies[copy].url+"/ready", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", from)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(body)
}

// tries makes attempts at one account, one after the other on each copy in turn, each
// from an address of its own, and tells how many were admitted.
func (c *counted) tries(account string, n int, addresses *atomic.Int64) (admitted int) {
	c.t.Helper()
	for i := range n {
		ok, err := c.login(i, address(int(addresses.Add(1))), account)
		if err != nil {
			c.t.Fatal(err)
		}
		if ok {
			admitted++
		}
	}
	return admitted
}

// crowd are clients who all try to sign in at once, each to an account of its own: so many
// passwords to be hashed take all there is of processors.
func (c *counted) crowd(clients int, addresses *atomic.Int64) (stop func()) {
	var running sync.WaitGroup
	done := make(chan struct{})
	for client := range clients {
		running.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				if _, err := c.login(client+n, address(int(addresses.Add(1))), fmt.Sprintf("crowd-%d-%d", client, n)); err != nil {
					select {
					case <-done:
					default:
						c.t.Error(err)
					}
					return
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(done); running.Wait() })
}

// TestWhoIsRefusedOnOneCopyHearsItOnAnotherWithoutTheBody has an address that has used up
// what it has, and then sends half a request. Bodies have ten seconds.
func TestWhoIsRefusedOnOneCopyHearsItOnAnotherWithoutTheBody(t *testing.T) {
	t.Parallel()
	c := startCounted(t, 2)
	for n := range 5 {
		if admitted, err := c.login(0, address(1), fmt.Sprint("account-", n)); err != nil || !admitted {
			t.Fatalf("attempt %d: %v, %v", n+1, admitted, err)
		}
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(c.copies[1].url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	fmt.Fprintf(conn, "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %s\r\nContent-Length: 60\r\n\r\n{\"email\":", address(1))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if took := time.Since(begin); took >= 10*time.Second || answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
		t.Errorf("after %v: %s %v", took, answer.Status, answer.Header)
	}
}

// TestCopiesUnderLoadAdmitWhatIsToBeAdmitted has two and three copies that are busy from
// their first request on, one of which is stopped again and again: as long as Redis is
// healthy, five attempts a minute are five.
func TestCopiesUnderLoadAdmitWhatIsToBeAdmitted(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n, " copies"), func(t *testing.T) {
			c := startCounted(t, n)
			var addresses atomic.Int64
			stop := c.crowd(16, &addresses)
			defer stop()
			const accounts, attempts = 6, 20
			var admitted [accounts]atomic.Int64
			var trying sync.WaitGroup
			for account := range accounts {
				trying.Go(func() {
					for i := range attempts {
						ok, err := c.login(account+i, address(int(addresses.Add(1))), fmt.Sprint("contested-", account))
						if err != nil {
							t.Error(err)
						} else if ok {
							admitted[account].Add(1)
						}
					}
				})
			}
			over := make(chan struct{})
			var pausing sync.WaitGroup
			pausing.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
					}
					c.pause(&addresses)
				}
			})
			trying.Wait()
			close(over)
			pausing.Wait()
			stop()
			// That a held-up copy never opens its breaker is a test of ratelimit. Here, on a machine
			// that is busy enough, Redis itself may be held up: then it isn't healthy, and each copy
			// counts alone for a while.
			most := int64(5)
			for i, p := range c.copies {
				if p.kill(); strings.Contains(p.stderr.String(), "the shared limits are unavailable") {
					t.Logf("copy %d has found Redis gone", i)
					most = 5 * int64(n)
				}
			}
			for account := range admitted {
				if got := admitted[account].Load(); got < 5 || got > most {
					t.Errorf("of account %d %d attempts were admitted", account, got)
				}
			}
		})
	}
}

// pause stops the first copy for as long as another needs for some answers.
func (c *counted) pause(addresses *atomic.Int64) {
	if err := c.copies[0].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		c.t.Error(err)
		return
	}
	other := func(copy int) {
		if _, err := c.login(copy, address(int(addresses.Add(1))), fmt.Sprint("meanwhile-", addresses.Add(1))); err != nil {
			c.t.Error(err)
		}
	}
	other(1)
	other(1)
	if err := c.copies[0].cmd.Process.Signal(syscall.SIGCONT); err != nil {
		c.t.Error(err)
	}
	other(0) // it has run, before it is stopped again
}

// TestAnOutageOfRedisLoosensLittle freezes Redis, lets it go on, kills it and starts an
// empty one, and counts what three copies admit.
func TestAnOutageOfRedisLoosensLittle(t *testing.T) {
	t.Parallel()
	c := startCounted(t, 3)
	var addresses atomic.Int64
	says := func(text string, times int) {
		t.Helper()
		for _, p := range c.copies {
			p.stderr.Until(t, func() bool { return strings.Count(p.stderr.String(), text) >= times })
		}
	}
	ready := func(want string) {
		t.Helper()
		for i := range c.copies {
			waittest.Poll(t, func() bool {
				return strings.Contains(c.ready(i, address(int(addresses.Add(1)))), `"limits":{"status":"`+want+`"`)
			})
		}
	}
	admitted := c.tries("amal", 4, &addresses)
	c.redis.Freeze(t)
	if admitted += c.tries("amal", 30, &addresses); admitted != 4+1+3+2 { // the copies have heard of 4, 2 and 3
		t.Errorf("%d were admitted over a freeze", admitted)
	}
	ready("failed")
	c.redis.Thaw(t)
	ready("ok")
	says("count again", 1)
	if again := c.tries("amal", 3, &addresses); again != 0 {
		t.Errorf("%d were admitted after it", again)
	}
	if counted := c.tries("badr", 9, &addresses); counted != 5 {
		t.Errorf("%d of another account were admitted after it", counted)
	}

	if before := c.tries("chadia", 3, &addresses); before != 3 {
		t.Fatalf("%d were admitted", before)
	}
	c.redis.Kill(t)
	if alone := c.tries("chadia", 30, &addresses); alone != 4+3+2 { // the copies have heard of 1, 2 and 3
		t.Errorf("%d were admitted while it was gone", alone)
	}
	says("connection refused", 1)
	c.redis.Restart(t)
	ready("ok")
	says("count again", 2)
	if again := c.tries("chadia", 3, &addresses); again != 0 {
		t.Errorf("%d were admitted by the one that has forgotten what was before", again)
	}
}
