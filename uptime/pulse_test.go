package uptime

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/internal/waittest"
)

// As long as it works somebody is told so; and when the receiver is gone the log says so, once,
// without the address, which is a secret.
func TestAPulseIsSentWhileItWorks(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var works, gone atomic.Bool
	var seen waittest.Signal
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if r.Method == http.MethodGet && r.URL.Path == "/hunter2" {
			asked.Add(1)
		}
		seen.Wake()
	}))
	t.Cleanup(server.Close)
	var idle atomic.Int64
	var log waittest.Log
	p := &Pulse{URL: server.URL + "/hunter2", every: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil)), Works: func(context.Context) bool {
		if !works.Load() {
			idle.Add(1)
			seen.Wake()
		}
		return works.Load()
	}}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	seen.Until(t, func() bool { return idle.Load() > 10 })
	if n := asked.Load(); n != 0 {
		t.Errorf("it was asked %d times though nothing works", n)
	}
	works.Store(true)
	seen.Until(t, func() bool { return asked.Load() > 5 })
	gone.Store(true)
	before := asked.Load()
	seen.Until(t, func() bool { return asked.Load() > before+5 })
	server.Close()
	waittest.Poll(t, func() bool { return strings.Contains(log.String(), "can't be sent") })
	stop()
	running.Wait()
	if text := log.String(); strings.Contains(text, "hunter2") || strings.Count(text, "can't be sent") != 1 {
		t.Errorf("the log says\n%s", text)
	}
}

func TestAPulseNeverGoesToMetadata(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	p := &Pulse{URL: "http://169.254.169.254/hunter2", every: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))}
	asked := 0
	p.Works = func(context.Context) bool {
		if asked++; asked == 2 {
			stop()
		}
		return true
	}
	p.Run(ctx)
	if text := log.String(); !strings.Contains(text, "never dialled") || strings.Contains(text, "hunter2") {
		t.Errorf("the log says %s", text)
	}
}

func TestWhatIsNoPulse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "hc-ping.com/x", "ftp://hc-ping.com", "https://", "http://[::1"} {
		if CheckPulse(text) == nil {
			t.Errorf("%q is one", text)
		}
	}
	if err := CheckPulse("https://hc-ping.com/x"); err != nil {
		t.Error(err)
	}
}

// Whoever a receiver redirects to isn't told the address, which is a secret.
func TestAPulseIsRedirectedWithoutItsAddress(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told http.Header
	var seen waittest.Signal
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		told = r.Header
		seen.Wake()
	}))
	t.Cleanup(other.Close)
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	t.Cleanup(server.Close)
	p := &Pulse{URL: server.URL + "/hunter2", every: time.Millisecond, Log: slog.New(slog.DiscardHandler), Works: func(context.Context) bool { return true }}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	seen.Until(t, func() bool { mu.Lock(); defer mu.Unlock(); return told != nil })
	stop()
	running.Wait()
	if referer := told.Get("Referer"); referer != "" {
		t.Errorf("it is told %s", referer)
	}
}
