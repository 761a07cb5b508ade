package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"manus/app"
	"manus/config"
	"manus/identity"
	"manus/internal/redistest"
	"manus/ratelimit"
)

// TestWhereSomebodyStandsIsToldByTheirPlan has people on two plans, on a server as it runs.
func TestWhereSomebodyStandsIsToldByTheirPlan(t *testing.T) {
	t.Parallel()
	dir, redis := t.TempDir(), redistest.Start(t)
	if err := os.WriteFile(filepath.Join(dir, "manus.yaml"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(serveEnv(t, dir), "REDIS_URL="+redis.URL())
	manus := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), func() {}, args, env, stdio{strings.NewReader(""), &out, &errs}); code != exitDone {
			t.Fatalf("%v: %d\n%s%s", args, code, &out, &errs)
		}
		return out.String()
	}
	server := startServer(t, dir, "REDIS_URL="+redis.URL())
	for plan, limit := range map[string][2]string{"free": {"10/minute", "100/hour"}, "pro": {"60/minute", "60/minute"}} {
		person := newClient(server.url)
		var me struct{ ID string }
		about := map[string]string{"email": plan + "@example.com", "password": "correct horse battery staple"}
		if err := person.call("POST", "/api/v1/auth/register", about, person); err != nil {
			t.Fatal(err)
		}
		if err := person.call("GET", "/api/v1/auth/me", nil, &me); err != nil {
			t.Fatal(err)
		}
		manus("user", "set-plan", plan+"@example.com", plan)
		for opened := range 2 {
			if opened > 0 {
				if _, err := person.open(); err != nil {
					t.Fatal(err)
				}
			}
			shown := manus("limits", "show", me.ID)
			for _, window := range limit {
				n, _ := strconv.Atoi(window[:strings.Index(window, "/")])
				if line := fmt.Sprintf(`(?m)^POST /api/v1/sessions +%s +%d +`, window, n-opened); !regexp.MustCompile(line).MatchString(shown) {
					t.Errorf("on the plan %s, after %d: no %s in\n%s", plan, opened, line, shown)
				}
			}
		}
		manus("limits", "reset", me.ID)
		if shown := manus("limits", "show", me.ID); !regexp.MustCompile(`(?m)^POST /api/v1/sessions +` + limit[0] + ` +` + strings.TrimSuffix(limit[0], "/minute") + ` +0s`).MatchString(shown) {
			t.Errorf("after a reset:\n%s", shown)
		}
	}
}

func TestOperatorsSeeAndClearSharedCounts(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	manus := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), func() {}, args, []string{"REDIS_URL=" + redis.URL()}, stdio{strings.NewReader(""), &out, &errs}); code != want {
			t.Fatalf("%v: %d\n%s%s", args, code, &out, &errs)
		}
		return out.String() + errs.String()
	}
	settings := config.Settings{Redis: config.NewSecret(redis.URL()), Limits: ratelimit.DefaultConfig(app.Routes())}
	server, err := app.New(t.Context(), app.Options{Settings: settings, Offline: true, Unopened: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close() //nolint:errcheck // it holds nothing but connections
	if err := server.ReachLimits(); err != nil {
		t.Fatal(err)
	}
	limits := server.Limits
	login := ratelimit.Request{
		Route: "POST /api/v1/auth/login", Caller: identity.Caller{Address: netip.MustParseAddr("192.0.2.1")}, Account: "amal@example.com",
	}
	for range 6 {
		if _, err := limits.Decide(context.Background(), login); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []string{"192.0.2.1", "address:192.0.2.1", "AMAL@example.com", "account:amal@example.com"} {
		if out := manus(exitDone, "limits", "show", subject); !strings.Contains(out, "POST /api/v1/auth/login") || !regexp.MustCompile(`5/minute +0 +(1m0|\d+)s`).MatchString(out) {
			t.Errorf("%s: %s", subject, out)
		}
	}
	manus(exitDone, "limits", "reset", "192.0.2.1")
	if out := manus(exitDone, "limits", "show", "192.0.2.1"); regexp.MustCompile(`5/minute +0 `).MatchString(out) {
		t.Errorf("after a reset: %s", out)
	}
	manus(exitDone, "limits", "reset", "amal@example.com")
	for _, subject := range []string{"nonsense", "", "user:", "user:x", "login:", "key:", "key:x", "address:", "address:x", "account:", "@", "a@", "planet:a@b:c", strings.Repeat("x", 36)} {
		manus(exitUsage, "limits", "show", subject)
		manus(exitUsage, "limits", "reset", subject)
	}
	manus(exitUsage, "limits", "match", "GET", "nowhere")
	redis.Kill(t)
	manus(exitTemporary, "limits", "show", "192.0.2.1")
}
