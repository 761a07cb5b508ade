package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"manus/app"
	"manus/config"
	"manus/identity"
	"manus/internal/redistest"
	"manus/ratelimit"
)

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
