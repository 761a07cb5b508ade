package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"manus/config"
)

// written is each write to a log, without the times.
type written struct {
	mu    sync.Mutex
	parts []string
}

var timeOfLine = regexp.MustCompile(`time=\S+ `)

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parts = append(w.parts, timeOfLine.ReplaceAllString(string(p), ""))
	return len(p), nil
}

// take returns what has been written since it was last asked.
func (w *written) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	parts := w.parts
	w.parts = nil
	return parts
}

func TestLinesAreGatheredButNotWhatIsWrong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w written
		log, flush := newLogger(&w, config.Settings{LogFormat: "text"}, false)
		want := func(when string, parts ...string) {
			t.Helper()
			if got := w.take(); !slices.Equal(got, parts) {
				t.Errorf("%s: %q", when, got)
			}
		}
		log.Info("a")
		log.With("k", 1).WithGroup("g").Info("b", "v", 2)
		want("at once")
		time.Sleep(gatherFor)
		synctest.Wait()
		want("after a while", "level=INFO msg=a\nlevel=INFO msg=b k=1 g.v=2\n")
		log.Info("c")
		log.With("k", 1).Warn("d")
		want("what is wrong", "level=INFO msg=c\nlevel=WARN msg=d k=1\n")
		long := strings.Repeat("x", gatherMax)
		log.Info(long)
		want("more than is gathered", "level=INFO msg="+long+"\n")
		log.Info("e")
		flush()
		want("at the end", "level=INFO msg=e\n")
	})
}

func TestLinesOfLibrariesAreLoggedWithoutWhatTheyQuote(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"Unsolicited response received on idle HTTP channel starting with \"a\\\"secret\"; err=<nil>\n": "Unsolicited response received on idle HTTP channel starting with …",
		"something is deprecated\n": "something is deprecated",
		"\n":                        "",
	} {
		var w written
		logger := slog.New(slog.NewTextHandler(&w, nil))
		log.New(libraryWriter{logger}, "", 0).Print(line)
		logger.Warn("a library warns", "text", want)
		if got := w.take(); got[0] != got[1] {
			t.Errorf("%q: %s", line, got[0])
		}
	}
}

// TestWhatAReceiverSendsUnaskedIsNoLineOfTheLog has a receiver of alerts that takes each, and
// then sends on the idle connection what it was sent, and more.
func TestWhatAReceiverSendsUnaskedIsNoLineOfTheLog(t *testing.T) {
	t.Parallel()
	const secret = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
	receiver, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = receiver.Close() })
	go func() {
		for {
			conn, err := receiver.Accept()
			if err != nil {
				return
			}
			go sendUnasked(conn, secret)
		}
	}()
	dir := serverDir(t)
	server := startServer(t, dir, "ALERT_WEBHOOK_URL=http://"+receiver.Addr().String(), "ALERT_WEBHOOK_SECRET="+secret, "ALLOW_PRIVATE_TARGETS=true")
	operator := newClient(server.url)
	if err := operator.signIn("register"); err != nil {
		t.Fatal(err)
	}
	typed(t, dir, serveEnv(t, dir), exitDone, "user", "set-role", "amal@example.com", "operator")
	if err := operator.signIn("login"); err != nil {
		t.Fatal(err)
	}
	if err := operator.call("POST", "/api/v1/ops/alerts/test", struct{}{}, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	server.stderr.Until(t, func() bool {
		return strings.Contains(server.stderr.String(), "Unsolicited response received on idle HTTP channel")
	})
	server.kill()
	for line := range strings.Lines(server.stderr.String()) {
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "" || strings.Contains(line, secret) || strings.Contains(line, "v1,") {
			t.Errorf("a line of the log: %s", line)
		}
	}
}

// sendUnasked takes a webhook, and sends more than an answer.
func sendUnasked(conn net.Conn, secret string) {
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 204 No Content\r\n\r\n{\"secret\": \"%s\"}\n%s\n", secret, r.Header.Get("webhook-signature"))
	_, _ = io.Copy(io.Discard, conn) // until the client has closed it
}

// The log of dev has a line for each request, and else what its level lets through; JSON has
// units in the names of spans of time.
func TestALogIsForWhoReadsIt(t *testing.T) {
	t.Parallel()
	write := func(s config.Settings, coloured bool) string {
		var w bytes.Buffer
		log, flush := newLogger(&w, s, coloured)
		log.Info("request", "method", "GET", "route", "GET /api/v1/sessions", "status", 503, "took", 1234567*time.Nanosecond)
		log.Info("request", "method", "POST", "route", "", "status", 404, "took", 7*time.Microsecond)
		log.Debug("request", "method", "GET", "route", "GET /routine", "status", 200, "took", time.Millisecond)
		log.Info("unimportant")
		log.Warn("look", "took", 2*time.Second)
		flush()
		return w.String()
	}
	dev := write(config.Settings{Dev: true, LogFormat: "text", LogLevel: slog.LevelWarn}, true)
	for _, want := range []string{"  GET    \x1b[31m503\x1b[0m  /api/v1/sessions  1.2ms\n", "  POST   \x1b[33m404\x1b[0m  (no such address)  10µs\n", "msg=look took=2s\n"} {
		if !strings.Contains(dev, want) {
			t.Errorf("dev has no %q: %q", want, dev)
		}
	}
	if strings.Contains(dev, "unimportant") || strings.Contains(dev, "/routine") {
		t.Errorf("dev shows more than its level: %q", dev)
	}
	if dev = write(config.Settings{Dev: true, LogFormat: "text", LogLevel: slog.LevelDebug}, false); !strings.Contains(dev, "  GET    200  /routine  1ms\n") || strings.Contains(dev, "\x1b") {
		t.Errorf("dev hides what is asked for, or has colours: %q", dev)
	}
	if json := write(config.Settings{LogFormat: "json"}, false); !strings.Contains(json, `"took_ms":1.234`) || !strings.Contains(json, `"took_ms":2000}`) {
		t.Errorf("JSON has no units: %s", json)
	}
}
