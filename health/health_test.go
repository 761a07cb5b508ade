package health

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"manus/httpapi"
)

func setup(checks ...Check) *Service {
	return New(Config{Checks: checks, Log: slog.New(slog.DiscardHandler), Version: Version{Version: "v1", Environment: "test"}})
}

func counted(name string, critical bool, probes *atomic.Int64, probe func(context.Context) error) Check {
	return Check{Name: name, Critical: critical, Probe: func(ctx context.Context) error {
		probes.Add(1)
		return probe(ctx)
	}}
}

func fine(context.Context) error   { return nil }
func broken(context.Context) error { return errors.New("mongodb://user:secret@db refused") }

func TestStatusFollowsTheChecks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		checks []Check
		want   Status
	}{
		"nothing to check":      {nil, Ready},
		"all fine":              {[]Check{{"a", true, fine}, {"b", false, fine}}, Ready},
		"not configured":        {[]Check{{"a", true, fine}, {"b", true, nil}}, Ready},
		"one fails":             {[]Check{{"a", true, fine}, {"b", false, broken}}, Degraded},
		"a critical one fails":  {[]Check{{"a", true, broken}, {"b", false, fine}}, Unavailable},
		"both fail":             {[]Check{{"a", true, broken}, {"b", false, broken}}, Unavailable},
		"both fail, other wise": {[]Check{{"a", false, broken}, {"b", true, broken}}, Unavailable},
		"one panics":            {[]Check{{"a", true, func(context.Context) error { panic("oops") }}}, Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := setup(c.checks...).Readiness(t.Context()); got.Status != c.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// ask sends readers for a while and returns how long the slowest waited.
func ask(s *Service, readers, seconds int) (slowest time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for range seconds * 10 {
				begin := time.Now()
				s.Readiness(context.Background())
				mu.Lock()
				slowest = max(slowest, time.Since(begin))
				mu.Unlock()
				<-time.After(100 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return slowest
}

func TestTenThousandReadersAreOneProbeASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var probes atomic.Int64
		s := setup(counted("db", true, &probes, func(context.Context) error {
			<-time.After(20 * time.Millisecond)
			return nil
		}))
		if slowest := ask(s, 1000, 10); slowest > 20*time.Millisecond {
			t.Errorf("a reader waited %v", slowest)
		}
		if n := probes.Load(); n < 9 || n > 10 {
			t.Errorf("%d probes in ten seconds", n)
		}
	})
}

func TestAHungDependencyIsAskedOnceAndNobodyWaitsLongerThanTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var probes atomic.Int64
		hung := make(chan struct{})
		s := setup(counted("db", true, &probes, func(context.Context) error { // it ignores its context
			<-hung
			return nil
		}))
		if slowest := ask(s, 1000, 10); slowest != 2*time.Second {
			t.Errorf("the slowest reader waited %v", slowest)
		}
		if probes.Load() != 1 {
			t.Errorf("%d probes of a hung dependency", probes.Load())
		}
		if r := s.Readiness(t.Context()); r.Status != Unavailable || r.Checks["db"].Status != Failed {
			t.Errorf("got %+v", r)
		}
		close(hung)
		synctest.Wait()
		if r := s.Readiness(t.Context()); r.Status != Ready || probes.Load() != 2 {
			t.Errorf("it doesn't recover: %+v after %d probes", r, probes.Load())
		}
	})
}

func TestAReaderThatLeavesStopsWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setup(Check{"db", true, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		begin := time.Now()
		if r := s.Readiness(ctx); r.Status != Unavailable || time.Since(begin) != time.Millisecond {
			t.Errorf("got %+v after %v", r, time.Since(begin))
		}
		<-time.After(time.Minute) // the probe itself goes on to its timeout
	})
}

func TestDrainingIsUnavailableWhateverTheChecksSay(t *testing.T) {
	t.Parallel()
	s := setup(Check{"db", true, fine})
	s.Drain()
	if r := s.Readiness(t.Context()); r.Status != Unavailable || r.Checks["db"].Status != OK {
		t.Errorf("got %+v", r)
	}
}

func TestTheEndpoints(t *testing.T) {
	t.Parallel()
	s := New(Config{
		Checks:  []Check{{"database", true, broken}, {"redis", true, nil}},
		Version: Version{"v1", "abc", "2026-11-23T00:00:00Z", "go1.26", "test"},
		Log:     slog.New(slog.DiscardHandler),
	})
	api := httpapi.New(httpapi.Config{Log: slog.New(slog.DiscardHandler), Version: "test"})
	s.Routes(api)
	for path, want := range map[string]struct {
		status int
		keys   string
	}{
		"/health":  {200, "service status timestamp"},
		"/ready":   {503, "checks status"},
		"/live":    {200, "status uptime_seconds"},
		"/version": {200, "build_time commit environment go_version version"},
	} {
		for _, prefix := range []string{"", httpapi.Prefix} {
			w := httptest.NewRecorder()
			api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, prefix+path, nil))
			var body map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			for _, key := range strings.Fields(want.keys) {
				if _, ok := body[key]; !ok {
					t.Errorf("%s%s lacks %s: %s", prefix, path, key, w.Body)
				}
			}
			if w.Code != want.status || len(body) != len(strings.Fields(want.keys)) || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s%s: %d %s", prefix, path, w.Code, w.Body)
			}
		}
	}
}

func BenchmarkReady(b *testing.B) {
	api := httpapi.New(httpapi.Config{Log: slog.New(slog.DiscardHandler), Version: "test"})
	setup(Check{"database", true, fine}).Routes(api)
	b.RunParallel(func(pb *testing.PB) {
		r := httptest.NewRequest(http.MethodGet, "/ready", nil)
		for pb.Next() {
			api.ServeHTTP(httptest.NewRecorder(), r)
		}
	})
}
