package app

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	_ "modernc.org/sqlite"

	"manus/config"
	"manus/docstore"
	"manus/errtrack"
	"manus/internal/redistest"
	"manus/internal/waittest"
	"manus/ratelimit"
	"manus/readiness"
)

// here is a breakage that is done to an installation, and taken back there.
func here(check, by string, do func(t *testing.T, a *App) (mend func()), also ...string) breakage {
	return breakage{check: check, by: by, also: also, broken: func(t *testing.T, a *App) (*App, func() *App) {
		mend := do(t, a)
		return a, func() *App { mend(); return a }
	}}
}

// among has a breakage done to an installation that others are done to as well.
func among(which string, b breakage) breakage {
	b.among = which
	return b
}

// otherwise is one of an installation that was started otherwise.
func otherwise(check, by string, change func(*config.Settings)) breakage {
	return breakage{check: check, by: by, broken: func(t *testing.T, a *App) (*App, func() *App) {
		other, _ := setup(t, change)
		return other, func() *App { return a }
	}}
}

func secretsBreakages() []breakage {
	return []breakage{
		{check: "secrets.settings", by: "a placeholder stands in `JWT_SECRET_KEY` (no server starts then: see TestUnusableSettingsAreAReport)"},
		among("secrets", here("secrets.files", "the data folder and the store's file are made readable for all", func(t *testing.T, a *App) func() {
			set := func(dir, file os.FileMode) {
				must(t, os.Chmod(a.settings.DataDir, dir))
				must(t, os.Chmod(StoreFile(a.settings.DataDir), file))
			}
			set(0o755, 0o644)
			return func() { set(0o700, 0o600) }
		})),
		among("secrets", here("secrets.files", "others can put files into the data folder", func(t *testing.T, a *App) func() {
			must(t, os.Chmod(a.settings.DataDir, 0o733))
			return func() { must(t, os.Chmod(a.settings.DataDir, 0o700)) }
		})),
		{
			check: "secrets.files", by: "the file of `--env-file` is made readable for all",
			start: func(t *testing.T) *App {
				path := filepath.Join(entered(t), "env")
				must(t, os.WriteFile(path, nil, 0o600))
				a, _ := setup(t, func(s *config.Settings) { s.EnvFile = path })
				return a
			},
			broken: func(t *testing.T, a *App) (*App, func() *App) {
				must(t, os.Chmod(a.settings.EnvFile, 0o644))
				return a, func() *App { must(t, os.Chmod(a.settings.EnvFile, 0o600)); return a }
			},
		},
		among("secrets", here("secrets.rotated", "`JWT_SECRET_KEY` has been in use for three years", func(t *testing.T, a *App) func() {
			waittest.Poll(t, func() bool { return find(t, a, "secrets.rotated").Status == readiness.Pass })
			set := func(years int) {
				_, err := docstore.NewCollection[secretAges](a.store, agesSpec).Update(t.Context(), theSecrets, func(s *secretAges) error {
					s.Secrets[0].Since = docstore.At(s.Secrets[0].Since.AddDate(years, 0, 0))
					return nil
				})
				must(t, err)
			}
			set(-3)
			return func() { set(3) }
		})),
	}
}

func healthBreakages() []breakage {
	sentry, answer := "", atomic.Int64{}
	locked := here("health.database", "another program keeps the store's file locked", func(t *testing.T, a *App) func() {
		db, err := sql.Open("sqlite", "file:"+StoreFile(a.settings.DataDir)+"?_pragma=busy_timeout(60000)")
		must(t, err)
		conn, err := db.Conn(context.WithoutCancel(t.Context()))
		must(t, err)
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		must(t, err)
		return func() {
			_, err := conn.ExecContext(t.Context(), "ROLLBACK")
			must(t, err)
			must(t, conn.Close())
			must(t, db.Close())
			waittest.Poll(t, func() bool { return find(t, a, "health.database").Status == readiness.Pass })
		}
	}, "errors.reported")
	locked.may = []string{"health.public", "uptime.monitors"} // /ready says so, and who watches can't note that
	return []breakage{
		locked,
		inProduction("health.public", "the proxy answers 502 for `/version`", func(_ *testing.T, l *live) func() {
			l.front.changing(func(r *http.Response) {
				if r.Request.URL.Path == "/version" {
					r.StatusCode = http.StatusBadGateway
				}
			})
			return func() { l.front.change.Store(nil) }
		}),
		otherwise("health.drill", "`READY_CRITICAL` names only what isn't there", func(s *config.Settings) { s.ReadyCritical = []string{"redis"} }),
		{
			check: "errors.reported", by: "the Sentry of `SENTRY_DSN` refuses the key",
			start: func(t *testing.T) *App {
				answer.Store(http.StatusOK)
				sentry = newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(answer.Load())) }).URL
				a, _ := setup(t, sendTo(dsnOf(sentry)))
				return a
			},
			broken: func(_ *testing.T, a *App) (*App, func() *App) {
				answer.Store(http.StatusForbidden)
				return a, func() *App { answer.Store(http.StatusOK); return a }
			},
		},
	}
}

func errorsBreakages() []breakage {
	return []breakage{{
		check: "errors.kept", by: "a program sends twenty errors while its project may send one a minute, until the project is deleted",
		start: func(t *testing.T) *App { a, _ := setup(t, limited); return a },
		broken: func(t *testing.T, a *App) (*App, func() *App) {
			s := newSDK(t, &inbox{App: a}, "busy", 9)
			_, err := a.Errors.ChangeProject(t.Context(), s.project.ID, errtrack.ProjectChange{PerMinute: new(1)})
			must(t, err)
			for range 20 {
				s.send(t, s.path("/store/"), strings.NewReader(`{"message":"again","level":"error"}`), s.auth()...)
			}
			waittest.Poll(t, func() bool { return find(t, a, "errors.kept").Status == readiness.Fail })
			return a, func() *App { must(t, a.Errors.DeleteProject(t.Context(), s.project.ID)); return a }
		},
	}}
}

func limitsBreakages() []breakage {
	var redis *redistest.Server
	var passesOn atomic.Bool
	return []breakage{
		here("limits.routes", "a rule for `POST /api/v1/auth/login` only counts (`mode: shadow`)", func(t *testing.T, a *App) func() {
			s := a.settings
			rule := ratelimit.NewRule("5/minute", ratelimit.ByAddress)
			rule.Route, rule.Mode = "POST /api/v1/auth/login", ratelimit.Shadow
			s.Limits.Rules = []ratelimit.Rule{rule}
			must(t, a.apply(s))
			return func() { must(t, a.apply(a.settings)) }
		}),
		{
			check: "limits.store", by: "Redis is killed",
			start: func(t *testing.T) *App {
				redis = redistest.Start(t)
				a, _ := setup(t, func(s *config.Settings) { s.Redis = config.NewSecret(redis.URL()) })
				waittest.Poll(t, func() bool { return find(t, a, "limits.store").Status == readiness.Pass })
				return a
			},
			broken: func(t *testing.T, a *App) (*App, func() *App) {
				redis.Kill(t)
				waittest.Poll(t, func() bool { return find(t, a, "limits.store").Status == readiness.Fail })
				return a, func() *App {
					redis.Restart(t)
					waittest.Poll(t, func() bool { return find(t, a, "limits.store").Status == readiness.Pass })
					return a
				}
			},
		},
		here("limits.store", "a second copy is started, without a Redis", func(t *testing.T, a *App) func() {
			other, _ := start(t, Options{Settings: a.settings})
			awaitCopies(t, a, 2)
			return func() {
				other.stopWork()
				awaitCopies(t, a, 1)
			}
		}),
		{
			check: "limits.forged", by: "the proxy passes on the `X-Forwarded-For` that clients send, instead of overwriting it",
			start: func(t *testing.T) *App { return startBehind(t, &passesOn) },
			broken: func(_ *testing.T, a *App) (*App, func() *App) {
				passesOn.Store(true)
				return a, func() *App { passesOn.Store(false); return a }
			},
		},
		{
			check: "limits.proxy", by: "requests come through a proxy that `TRUSTED_PROXIES` doesn't name",
			broken: func(t *testing.T, a *App) (*App, func() *App) {
				other, _ := setup(t)
				for i := range 20 {
					r := httptest.NewRequestWithContext(t.Context(), "GET", "/live", nil)
					r.Host, r.RemoteAddr = "localhost:8080", "10.0.0.5:4000"
					r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i+1))
					other.api.ServeHTTP(httptest.NewRecorder(), r)
				}
				return other, func() *App { return a }
			},
		},
	}
}

// startBehind starts one behind a proxy on this machine, which passes on what clients say of
// themselves, or overwrites it.
func startBehind(t *testing.T, passesOn *atomic.Bool) *App {
	t.Helper()
	var to atomic.Pointer[url.URL]
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to.Load())
		r.Out.Host = r.In.Host
		if passesOn.Load() {
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
		} else {
			r.SetXForwarded()
		}
	}})
	t.Cleanup(proxy.Close)
	a, _ := setup(t, limited, func(s *config.Settings) {
		s.PublicURL, s.TrustedProxies = proxy.URL, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	to.Store(&url.URL{Scheme: "http", Host: a.Addr()})
	return a
}

// A program that has the address of a trusted proxy may claim what it likes: that is no hole.
func TestWhoIsATrustedProxyIsBelieved(t *testing.T) {
	t.Parallel()
	trusting := func(networks ...string) readiness.Finding {
		a, _ := setup(t, limited, func(s *config.Settings) {
			for _, n := range networks {
				s.TrustedProxies = append(s.TrustedProxies, netip.MustParsePrefix(n))
			}
		})
		return find(t, a, "limits.forged")
	}
	if f := trusting("127.0.0.1/32"); f.Status != readiness.Pass { // from another address of this machine
		t.Errorf("one is trusted: %s: %s", f.Status, f.Evidence.En)
	}
	own := []string{"127.0.0.0/8"}
	addresses, err := net.InterfaceAddrs()
	must(t, err)
	for _, address := range addresses {
		own = append(own, address.String())
	}
	if f := trusting(own...); f.Status != readiness.Warn || !strings.Contains(f.Evidence.En, "127.0.0.1") {
		t.Errorf("all of this machine are: %s: %s", f.Status, f.Evidence.En)
	}
	if f := trusting("0.0.0.0/1", "128.0.0.0/1"); f.Status != readiness.Fail {
		t.Errorf("everybody is: %s: %s", f.Status, f.Evidence.En)
	}
}

// Settings that no server starts with are a report too.
func TestUnusableSettingsAreAReport(t *testing.T) {
	t.Parallel()
	load := func(secret string) error {
		_, err := config.Load(config.Source{Environ: []string{"JWT_SECRET_KEY=" + secret, "DATA_DIR=" + filepath.Join(t.TempDir(), "data")}, Routes: Routes()})
		return err
	}
	must(t, load(config.RandomSecret().Reveal()))
	err := load("your-secret-key-change-me-in-production")
	problems, ok := err.(*config.Problems) //nolint:errorlint // Load has no other
	if !ok {
		t.Fatal(err)
	}
	r := UnusableSettings(problems)
	if failed := r.Failed(); r.Status != readiness.Fail || len(failed) != 1 || failed[0].ID != "secrets.settings" || r.Score > 49 {
		t.Errorf("got %+v", r)
	}
}
