//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"manus/app"
	"manus/docstore/sqlitedocs"
	"manus/errtrack"
	"manus/internal/waittest"
)

// TestNoSpaceForErrorsIsSaidAsSDKsHearIt takes the space of a server that takes errors.
func TestNoSpaceForErrorsIsSaidAsSDKsHearIt(t *testing.T) {
	t.Parallel()
	if out := onSmallDisk(t, "TestFullErrorsProcess"); !bytes.Contains(out, []byte("errors were taken over full disks")) {
		t.Fatalf("%s", out)
	}
}

// TestFullErrorsProcess is that server's.
func TestFullErrorsProcess(t *testing.T) {
	dir := os.Getenv(diskVariable)
	if dir == "" {
		return // the test above starts it
	}
	d := &smallDisk{t: t, dir: dir}
	d.mount()
	server, target := serveErrors(t, d.dir, serveEnv(t, d.backups()))
	acknowledged, sent := 0, 0
	var kept []string // ids of those
	send := func() (status int) {
		sent++
		resp, err := http.Post(target, "application/json", strings.NewReader(fmt.Sprintf(`{"event_id":"%032x","message":"it broke","extra":{"a":%q}}`, sent, strings.Repeat("ab", 500))))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		switch status = resp.StatusCode; {
		case status == 200:
			acknowledged++
			kept = append(kept, fmt.Sprintf("%032x", sent))
		case status != 503 && status != 429 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Access-Control-Allow-Origin") != "*" ||
			!regexp.MustCompile(`^\d+::project:`).MatchString(resp.Header.Get("X-Sentry-Rate-Limits")) || !bytes.Contains(text, []byte(`"detail"`)):
			t.Errorf("%d %v %s", status, resp.Header, text)
		}
		return status
	}
	for _, free := range []int{0, 2, 8, 30} {
		d.leave(free)
		waittest.Poll(t, func() bool { return send() != 200 })
		if err := os.Remove(filepath.Join(d.backups(), "filler")); err != nil {
			t.Fatal(err)
		}
		waittest.Poll(t, func() bool { return send() == 200 })
	}
	t.Logf("%d of %d errors were taken over full disks", acknowledged, sent)
	if err := server.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.wait(); err != nil {
		t.Fatal(err)
	}
	areWhole(t, filepath.Join(d.backups(), "data"), kept)
	out, err := manus(t.Context(), d.dir, "errors", "list", "--query", "broke", "--data", filepath.Join(d.backups(), "data")).Output()
	found := regexp.MustCompile(`(?m)Z +(\d+) +0 +error`).FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("%v: %s", err, out)
	}
	if kept, _ := strconv.Atoi(string(found[1])); kept < acknowledged+1 || kept > sent+1 { // serveErrors has sent one
		t.Errorf("%d were sent, %d acknowledged, and there are %d", sent, acknowledged, kept)
	}
}

// areWhole wants each of these events to be there with all that was sent of it.
func areWhole(t *testing.T, data string, ids []string) {
	t.Helper()
	store, err := sqlitedocs.Open(t.Context(), app.StoreFile(data))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Declare(t.Context(), errtrack.Specs()...); err != nil {
		t.Fatal(err)
	}
	inbox, err := errtrack.New(errtrack.Config{Store: store, Policy: errtrack.DefaultPolicy(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if e, err := inbox.Event(t.Context(), "", id); err != nil || e.Message != "it broke" || !bytes.Contains(e.Extra["a"], []byte(strings.Repeat("ab", 500))) {
			t.Errorf("%s was acknowledged: %v, %.100s", id, err, e.Extra["a"])
		}
	}
}

// serveErrors starts a server with a project, and returns where that takes an event.
func serveErrors(t *testing.T, dir string, env []string) (server *program, target string) {
	t.Helper()
	config := filepath.Join(dir, "manus.yaml")
	if err := os.WriteFile(config, []byte(unlimited), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := startProgram(dir, env, "serve", "--config", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.kill)
	create := manus(t.Context(), dir, "errors", "project", "create", "Shop")
	create.Env = env
	out, err := create.Output()
	if err != nil {
		t.Fatal(err)
	}
	dsn, err := url.Parse(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	target = server.url + "/api" + dsn.Path + "/store/?sentry_key=" + dsn.User.Username()
	waittest.Poll(t, func() bool { // it is known within seconds
		resp, err := http.Post(target, "", strings.NewReader(`{"message":"it broke"}`))
		if err != nil {
			t.Fatal(err)
		}
		return errors.Join(resp.Body.Close()) == nil && resp.StatusCode == 200
	})
	return server, target
}

// TestHostileSendersTakeLittleMemory has a server take 20 bombs at once, of each kind, again
// and again, and then 1,000 senders that are slow.
func TestHostileSendersTakeLittleMemory(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("memory is measured without the race detector, with which bombs take minutes")
	}
	dir := t.TempDir()
	server, store := serveErrors(t, dir, serveEnv(t, dir))
	target := strings.Replace(store, "/store/", "/envelope/", 1)
	before := server.peak(t)
	kinds := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"br": func(w io.Writer) io.WriteCloser {
			return brotli.NewWriterOptions(w, brotli.WriterOptions{Quality: 5, LGWin: 24})
		},
	}
	starts := []string{"{}\n{\"type\":\"attachment\",\"length\":209715200}\n", "{}\n{\"type\":\"event\"}\n", "{}\n{\"type\":\"span\",\"content_type\":\"application/vnd.sentry.items.span.v2+json\"}\n"}
	for encoding, packer := range kinds {
		for _, start := range starts {
			var bomb bytes.Buffer
			w := packer(&bomb)
			_, err := io.WriteString(w, start)
			for zeros := make([]byte, 1<<20); err == nil && bomb.Len() < 1<<30; {
				if _, err = w.Write(zeros); bomb.Len() > 200<<10 || encoding == "br" && bomb.Len() > 100 {
					break
				}
			}
			if err := errors.Join(err, w.Close()); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					r, _ := http.NewRequestWithContext(t.Context(), "POST", target, bytes.NewReader(bomb.Bytes()))
					r.Header.Set("Content-Encoding", encoding)
					resp, err := http.DefaultClient.Do(r)
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					if resp.StatusCode != 413 && resp.StatusCode != 503 {
						t.Errorf("a bomb by %s is answered %d", encoding, resp.StatusCode)
					}
				})
			}
			all.Wait()
		}
	}
	bombed := server.peak(t)
	slow := server.slowly(t, target)
	t.Logf("resident: %d MiB before, %d MiB with 20 bombs, %d MiB with 1,000 slow senders (%d answered)", before>>20, bombed>>20, server.peak(t)>>20, slow)
	if server.peak(t) > 160<<20 {
		t.Error("that is more than 160 MiB")
	}
	waittest.Poll(t, func() bool { // once the server has given the slow ones up, there is room again
		resp, err := http.Post(store, "", strings.NewReader(`{"message":"fine"}`))
		if err != nil {
			t.Fatal(err)
		}
		return errors.Join(resp.Body.Close()) == nil && resp.StatusCode == 200
	})
}

// slowly has 1,000 connections send most of a MiB each, and never the end of it, until
// each has sent that or is refused. It returns how many were.
func (p *program) slowly(t *testing.T, target string) int {
	t.Helper()
	u, _ := url.Parse(target)
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000100\r\n\r\n{}\n{\"type\":\"event\"}\n", u.RequestURI())
	var answered atomic.Int64
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			conn, err := net.Dial("tcp", u.Host)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { conn.Close() })
			_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second)) // who waits isn't read from
			_, _ = io.WriteString(conn, head+strings.Repeat(" ", 900_000))
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			if n, _ := conn.Read(make([]byte, 100)); n > 0 {
				answered.Add(1)
			}
		})
	}
	all.Wait()
	return int(answered.Load())
}

// peak is the most memory that the program has had resident, in bytes.
func (p *program) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
