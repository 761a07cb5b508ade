package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"manus/internal/processtest"
	"manus/internal/waittest"
)

// unlimited is a manus.yaml without a quota, and without rate limits for this
// machine.
const unlimited = `plans: [{id: free, name: Free, price_usd: 0, runs: unlimited, reset: calendar}]
trial: {days: 0}
limits: {allow: [127.0.0.0/8]}
`

// client is somebody who uses the API.
type client struct {
	url    string
	http   *http.Client
	Access string `json:"access_token"`
	// Refresh is the last refresh token that an answer has brought.
	Refresh string `json:"refresh_token"`
}

func newClient(url string) *client {
	return &client{url: url, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}}
}

// call sends JSON and reads JSON. An error is the connection's; answers that
// are no success are statusErrors.
func (c *client) call(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(context.Background(), method, c.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+c.Access)
	response, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return statusError{response.StatusCode, string(text)}
	}
	return json.Unmarshal(text, answer)
}

type statusError struct {
	status int
	body   string
}

func (e statusError) Error() string { return fmt.Sprintf("%d %s", e.status, e.body) }

func (c *client) signIn(path string) error {
	return c.call("POST", "/api/v1/auth/"+path, map[string]string{"email": "amal@example.com", "password": "correct horse battery staple"}, c)
}

func (c *client) refresh() error {
	return c.call("POST", "/api/v1/auth/refresh", map[string]string{"refresh_token": c.Refresh}, c)
}

func (c *client) write(session, text string) error {
	return c.call("POST", "/api/v1/sessions/"+session+"/messages", map[string]string{"text": text}, &struct{}{})
}

func (c *client) open() (id string, err error) {
	var made struct{ ID string }
	err = c.call("POST", "/api/v1/sessions", struct{}{}, &made)
	return made.ID, err
}

// messages reads a session's whole log and checks its order.
func (c *client) messages(t *testing.T, session string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for after := int64(0); ; {
		var page struct {
			Items []struct {
				Seq  int64
				Data struct{ Text string }
			}
		}
		if err := c.call("GET", fmt.Sprintf("/api/v1/sessions/%s/events?limit=100&after=%d", session, after), nil, &page); err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			if item.Seq != after+1 {
				t.Fatalf("after the event %d comes %d", after, item.Seq)
			}
			after = item.Seq
			found[item.Data.Text]++
		}
		if len(page.Items) < 100 {
			return found
		}
	}
}

func startServer(t *testing.T, dir string, env ...string) *program {
	t.Helper()
	p, err := startProgram(dir, append(serveEnv(t, dir), env...), "serve", "--config", "manus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func serverDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "manus.yaml"), []byte(unlimited), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestKilledAtAnyMomentNothingAcknowledgedIsLost kills the server again and
// again while clients write and refresh. What was answered is there afterwards,
// once, and nobody has been signed out.
func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	const clients, rounds = 6, 5
	dir := serverDir(t)
	server := startServer(t, dir)
	people := make([]*client, clients)
	sessions := make([]string, clients)
	written := make([][]string, clients)
	for i := range people {
		people[i] = newClient(server.url)
		path := "login"
		if i == 0 {
			path = "register"
		}
		if err := people[i].signIn(path); err != nil {
			t.Fatal(err)
		}
		var err error
		if sessions[i], err = people[i].open(); err != nil {
			t.Fatal(err)
		}
	}
	for round := range rounds {
		var answers atomic.Int64
		enough := make(chan struct{})
		killAfter := int64(20 + rand.IntN(200))
		var wg sync.WaitGroup
		for i, person := range people {
			wg.Go(func() {
				for n := 0; ; n++ {
					text := fmt.Sprintf("%d/%d/%d", round, i, n)
					err := person.write(sessions[i], text)
					if err == nil {
						written[i] = append(written[i], text)
						err = person.refresh()
					}
					var status statusError
					if errors.As(err, &status) {
						t.Errorf("an answer while it was being killed: %v", err)
					}
					if err != nil {
						return // killed
					}
					if answers.Add(2) >= killAfter {
						select {
						case enough <- struct{}{}:
						default:
						}
					}
				}
			})
		}
		<-enough
		server.kill()
		wg.Wait()
		server = startServer(t, dir)
		for i, person := range people {
			person.url = server.url
			if err := person.refresh(); err != nil {
				t.Fatalf("round %d signed somebody out: %v", round, err)
			}
			there := person.messages(t, sessions[i])
			for _, text := range written[i] {
				if there[text] != 1 {
					t.Fatalf("round %d: %q is there %d times", round, text, there[text])
				}
			}
		}
	}
}

// TestStoppedUnderLoadNoRequestFails sends requests without a pause while the
// server is told to stop: each is answered, until there is nobody to connect to.
func TestStoppedUnderLoadNoRequestFails(t *testing.T) {
	t.Parallel()
	dir := serverDir(t)
	server := startServer(t, dir, "SHUTDOWN_DELAY=300ms")
	first := newClient(server.url)
	if err := first.signIn("register"); err != nil {
		t.Fatal(err)
	}
	session, err := first.open()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var answered atomic.Int64
	busy := make(chan struct{}, 1)
	for i := range 6 {
		person := newClient(server.url)
		person.Access = first.Access
		wg.Go(func() {
			for n := 0; ; n++ {
				err := person.write(session, fmt.Sprintf("%d/%d", i, n))
				if errors.Is(err, syscall.ECONNREFUSED) {
					return
				}
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				if answered.Add(1) == 100 {
					busy <- struct{}{}
				}
			}
		})
	}
	<-busy
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	probe := newClient(server.url)
	for { // /ready says so first, while requests are still being answered
		err := probe.call("GET", "/ready", nil, &struct{}{})
		var status statusError
		if errors.As(err, &status) && status.status == http.StatusServiceUnavailable {
			break
		}
		if err != nil {
			t.Fatalf("it stopped without saying so: %v", err)
		}
	}
	wg.Wait()
	if err := server.wait(); err != nil {
		t.Errorf("it ended with %v: %s", err, &server.stderr)
	}
	server = startServer(t, dir)
	first.url = server.url
	if there := first.messages(t, session); int64(len(there)) != answered.Load() {
		t.Errorf("%d were answered, %d are there", answered.Load(), len(there))
	}
}

// TestAStartThatFailsSaysWhy tries to listen where somebody else does.
func TestAStartThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	dir := serverDir(t)
	taken := startServer(t, dir).url[len("http://"):]
	other := serverDir(t)
	for _, c := range []struct {
		env, args []string
		mend      string
	}{
		{append(serveEnv(t, other), "ADDR="+taken), []string{"serve"}, "choose another address with ADDR"},
		{append(serveEnv(t, other), "OPS_ADDR="+taken), []string{"serve"}, "set OPS_ADDR to another address"},
		{nil, []string{"dev", "--data", t.TempDir(), "--addr", taken}, "choose another address with --addr"},
	} {
		_, err := startProgram(other, c.env, c.args...)
		if err == nil || !strings.Contains(err.Error(), "can't listen on "+taken) || !strings.Contains(err.Error(), c.mend) {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}

// TestARestoreThatIsKilledIsNoFreshInstallation kills the command at random moments, and has
// a server start with what is left.
func TestARestoreThatIsKilledIsNoFreshInstallation(t *testing.T) {
	t.Parallel()
	dir := serverDir(t)
	server := startServer(t, dir)
	owner := newClient(server.url)
	if err := owner.signIn("register"); err != nil {
		t.Fatal(err)
	}
	server.kill()
	fill(t, filepath.Join(dir, "data", "manus.db"), 8<<20)
	kept := "BACKUP_DIR=" + filepath.Join(dir, "kept")
	backups := func(ctx context.Context, args ...string) (string, error) {
		cmd := manus(ctx, dir, append([]string{"backup"}, args...)...)
		cmd.Env = append(serveEnv(t, dir), kept)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := backups(t.Context(), "create"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	begun := time.Now()
	if out, err := backups(t.Context(), "restore", "--latest", "--to", "whole"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	takes := time.Since(begun)
	seen := map[string]int{}
	for round := range processtest.Size(processtest.CrashRounds, 8) {
		there := filepath.Join(dir, strconv.Itoa(round))
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(takes))
		_, _ = backups(ctx, "restore", "--latest", "--to", there) // it is killed, or not
		cancel()
		if _, err := os.Stat(filepath.Join(there, "manus.db")); errors.Is(err, fs.ErrNotExist) {
			seen["nothing"]++
			continue
		}
		start := func() error {
			server, err := startProgram(dir, append(serveEnv(t, dir), "DATA_DIR="+there, kept), "serve", "--config", "manus.yaml")
			if err != nil {
				return err
			}
			defer server.kill()
			return newClient(server.url).signIn("login")
		}
		err := start()
		if err == nil {
			seen["all"]++
			continue
		}
		seen["refused"]++
		if !strings.Contains(err.Error(), "it is empty") || !strings.Contains(err.Error(), "manus backup restore") {
			t.Errorf("it leaves what a server says of: %v", err)
		}
		if out, err := backups(t.Context(), "restore", "--latest", "--to", there); err != nil {
			t.Errorf("it can't be made again: %v: %s", err, out)
		}
		if err := start(); err != nil {
			t.Errorf("made again, it isn't good: %v", err)
		}
	}
	t.Logf("of restores that were killed within %v there was %v", takes, seen)
}

// fill adds so many bytes to a store.
func fill(t *testing.T, path string, bytes int) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(60000)")
	if err == nil {
		_, err = db.Exec("CREATE TABLE bulk (data BLOB); INSERT INTO bulk VALUES (randomblob(?))", bytes)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestASecondServerOnADataFolderSaysSo starts two, and kills the first.
func TestASecondServerOnADataFolderSaysSo(t *testing.T) {
	t.Parallel()
	dir := serverDir(t)
	first := startServer(t, dir)
	hints := func(p *program) string {
		var ready struct{ Hints []string }
		if err := newClient(p.url).call("GET", "/ready", nil, &ready); err != nil {
			t.Error(err)
		}
		return strings.Join(ready.Hints, " ")
	}
	second := startServer(t, dir)
	waittest.Poll(t, func() bool { return strings.Contains(hints(second), "data-folder-shared") })
	if said := second.stderr.String(); strings.Count(said, "another server is at work on this data folder: each counts rate limits by itself") != 1 {
		t.Errorf("it says %s", said)
	}
	owner := newClient(second.url)
	if err := owner.signIn("register"); err != nil { // as two have to work while one takes the other's place
		t.Error(err)
	}
	first.kill()
	waittest.Poll(t, func() bool { return !strings.Contains(hints(second), "data-folder-shared") })
	second.stderr.Until(t, func() bool { return strings.Contains(second.stderr.String(), "alone on its data folder again") })
	if said := first.stderr.String() + hints(second); strings.Contains(said, "another server") || strings.Contains(said, "shared") {
		t.Errorf("the first says %s", said)
	}
	third := startServer(t, dir)
	waittest.Poll(t, func() bool { return strings.Contains(hints(third), "data-folder-shared") })
}
