package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"manus/internal/waittest"
)

// TestServersReportTheirOwnErrors: a server whose stored data is damaged fails a request. That
// is found in the inbox: in its own, or with SENTRY_DSN in that of another Manus, while a
// DSN that leads back to the server makes no errors of reports.
func TestServersReportTheirOwnErrors(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"its own inbox", "another Manus", "itself"} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			dir := serverDir(t)
			client, session := withDamagedSession(t, dir)
			env, inbox, project := serveEnv(t, dir), dir, "Manus"
			back := "" // where the way leads, under an address that the server doesn't know for its own
			way := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				if target, err := url.Parse(back); err == nil {
					r.SetURL(target)
				}
			}})
			t.Cleanup(way.Close)
			if to != "its own inbox" {
				project = "Reports"
				if to == "another Manus" {
					inbox = serverDir(t)
				}
				dsn, err := url.Parse(strings.TrimSpace(string(dsnOf(t, inbox, project))))
				if err != nil {
					t.Fatal(err)
				}
				if inbox != dir {
					back = startServer(t, inbox).url
				}
				env = append(env, "SENTRY_DSN=http://"+dsn.User.Username()+"@"+strings.TrimPrefix(way.URL, "http://")+dsn.Path, "SENTRY_TRACES_SAMPLE_RATE=1", "SENTRY_ENVIRONMENT=staging")
			}
			server, err := startProgram(dir, env, "serve", "--config", "manus.yaml")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.kill)
			client.url = server.url
			if to == "itself" {
				back = server.url
			}
			failed, _ := errors.AsType[statusError](client.write(session, "a message"))
			if failed.status < 500 || !strings.Contains(failed.body, "request_id") {
				t.Fatalf("it was answered with %v", failed)
			}
			var listed []byte
			waittest.Poll(t, func() bool {
				listed = typed(t, inbox, serveEnv(t, inbox), 0, "errors", "list", "--project", firstOf(t, inbox, project))
				return bytes.Contains(listed, []byte("ISSUE"))
			})
			lines := strings.Split(strings.TrimSpace(string(listed)), "\n")
			if len(lines) != 2 {
				t.Fatalf("there isn't one issue: %s", listed)
			}
			shown := string(typed(t, inbox, serveEnv(t, inbox), 0, "errors", "show", strings.Fields(lines[1])[0]))
			_, id, _ := strings.Cut(failed.body, `"request_id":"`)
			id, _, _ = strings.Cut(id, `"`)
			for _, want := range []string{"POST /api/v1/sessions/{", "manus/session"} {
				if !strings.Contains(shown, want) {
					t.Errorf("%s isn't in %s", want, shown)
				}
			}
			if found := typed(t, inbox, serveEnv(t, inbox), 0, "errors", "list", "--query", "request_id:"+id); !bytes.Contains(found, []byte(strings.Fields(lines[1])[0])) {
				t.Errorf("it isn't found by the request's id, %s: %s", id, found)
			}
			if strings.Contains(shown, session) || strings.Contains(shown, "a message") || strings.Contains(shown, "amal@") {
				t.Errorf("it shows what is somebody's: %s", shown)
			}
		})
	}
}

// TestACrashReportSurvivesAKill: a server that is killed while it sends how an earlier run has
// ended leaves that for the next one, which sends it under the same id and then removes it.
func TestACrashReportSurvivesAKill(t *testing.T) {
	t.Parallel()
	dir := serverDir(t)
	crash := filepath.Join(dir, "data", "crash-1.txt")
	if err := os.MkdirAll(filepath.Dir(crash), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(crash, []byte("panic: it broke\n\ngoroutine 7 [running]:\nmanus/queue.work(0x1)\n\t/src/queue/worker.go:123 +0x1d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ids, over := make(chan string, 10), make(chan struct{})
	var answers atomic.Bool
	sentry := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !bytes.Contains(body, []byte("it broke")) {
			return
		}
		_, id, _ := strings.Cut(string(body), `"event_id":"`)
		id, _, _ = strings.Cut(id, `"`)
		ids <- id
		if !answers.Load() {
			select {
			case <-over:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(func() { close(over); sentry.Close() })
	env := append(serveEnv(t, dir), "SENTRY_TRACES_SAMPLE_RATE=0", "SENTRY_DSN="+strings.Replace(sentry.URL, "://", "://key@", 1)+"/1")
	run := func() (id string, server *program) {
		t.Helper()
		server, err := startProgram(dir, env, "serve", "--config", "manus.yaml")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.kill)
		return <-ids, server
	}
	first, server := run()
	server.kill()
	if _, err := os.Stat(crash); err != nil {
		t.Fatal(err)
	}
	answers.Store(true)
	if second, _ := run(); second != first || len(first) != 32 {
		t.Errorf("it was sent as %q and %q", first, second)
	}
	waittest.Poll(t, func() bool { _, err := os.Stat(crash); return errors.Is(err, fs.ErrNotExist) })
}

// withDamagedSession leaves a store, which nobody has open, with a session that can't be
// read.
func withDamagedSession(t *testing.T, dir string) (c *client, session string) {
	t.Helper()
	server := startServer(t, dir)
	c = newClient(server.url)
	if err := c.signIn("register"); err != nil {
		t.Fatal(err)
	}
	session, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.wait(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "data", "manus.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(context.Background(), `UPDATE sessions SET doc = json_set(doc, '$.created_at', 'never', '$.status', 7)`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return c, session
}

// dsnOf makes a project.
func dsnOf(t *testing.T, dir, name string) []byte {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "data")); err != nil { // a store is made by a server
		server := startServer(t, dir)
		if err := server.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := server.wait(); err != nil {
			t.Fatal(err)
		}
	}
	out, _, _ := bytes.Cut(typed(t, dir, serveEnv(t, dir), 0, "errors", "project", "create", name), []byte("\n"))
	return out
}

// firstOf is a project's name once it is there, and until then that of none.
func firstOf(t *testing.T, dir, name string) string {
	t.Helper()
	if bytes.Contains(typed(t, dir, serveEnv(t, dir), 0, "errors", "project", "list"), []byte(name)) {
		return name
	}
	return ""
}
