package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"manus/identity"
	"manus/language"
	"manus/ratelimit"
	"manus/ratelimit/memorylimit"
)

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header            { return d.header }
func (d *discard) Write(part []byte) (int, error) { return len(part), nil }
func (d *discard) WriteHeader(int)                {}

// readInput and readOutput are those of a read that is guarded.
type (
	readInput struct {
		ID string `path:"id" maxLength:"64"`
	}
	readOutput struct {
		Body struct {
			ID    string `json:"id"`
			Title string `json:"title"`
		}
	}
)

// wholeDoor is a door with all that it has in production, and nothing behind it.
func wholeDoor(b *testing.B) http.Handler {
	b.Helper()
	log, metrics := slog.New(slog.NewJSONHandler(io.Discard, nil)), prometheus.NewRegistry()
	api := New(Config{
		Log: log, Version: "test", Metrics: metrics, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Caller: func(*http.Request) (identity.Caller, error) {
			return identity.Caller{UserID: "0190f0a0-0000-7000-8000-000000000000", LoginID: "l", Role: identity.User}, nil
		},
	})
	Register(Group{API: api, Name: language.Text{En: "Tea", Ar: "شاي"}}, Route{Scope: identity.Read, Pattern: "GET /tea/{id}", ID: "tea"},
		func(_ context.Context, in *readInput) (*readOutput, error) {
			out := &readOutput{}
			out.Body.ID, out.Body.Title = in.ID, "A title"
			return out, nil
		})
	api.Handle(Route{
		Access: Public, Pattern: "GET /health", Limits: []ratelimit.Rule{ratelimit.NewRule("1000000/minute", ratelimit.ByAddress)},
	}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte(`{"status":"healthy"}`))
	}))
	config := ratelimit.DefaultConfig(api.Limits())
	config.Default = ratelimit.NewRule("1000000/minute, 1000000/hour", ratelimit.ByUserOrAddress)
	api.Limit(ratelimit.New(ratelimit.ServiceConfig{
		Config: config, Routes: api.Limits(), Engine: memorylimit.New(memorylimit.Config{}), Log: log, Observe: ratelimit.Measure(metrics),
		Plan: func(context.Context, string) (string, error) { return "free", nil },
	}))
	return api
}

func benchmark(b *testing.B, path string) {
	door := wholeDoor(b)
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, path, http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	r.RemoteAddr = "203.0.113.9:4711"
	r.Header.Set("Authorization", "Bearer x")
	r.Header.Set("User-Agent", "wrk/4.2")
	w := &discard{}
	b.ReportAllocs()
	for b.Loop() {
		w.header = http.Header{}
		door.ServeHTTP(w, r)
	}
}

func BenchmarkHealth(b *testing.B) { benchmark(b, "/health") }
func BenchmarkGuardedRead(b *testing.B) {
	benchmark(b, "/api/v1/tea/0190f0a0-0000-7000-8000-000000000001")
}
