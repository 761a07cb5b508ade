package app

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/backup"
	"manus/billing"
	"manus/config"
	"manus/health"
	"manus/internal/waittest"
	"manus/notify"
	"manus/readiness"
)

// inProduction are rows that are broken one after the other on an installation as in production.
// What a row does returns what mends it.
func inProduction(check, by string, do func(t *testing.T, l *live) (mend func())) breakage {
	return breakage{check: check, by: by, among: "production", start: startLive, broken: func(t *testing.T, a *App) (*App, func() *App) {
		mend := do(t, liveOf(a))
		return a, func() *App { mend(); return a }
	}}
}

// with has other settings of manus.yaml in force until they are mended.
func (l *live) with(t *testing.T, change func(*config.Settings)) (mend func()) {
	t.Helper()
	s := l.settings
	change(&s)
	if err := l.apply(s); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := l.apply(l.settings); err != nil {
			t.Fatal(err)
		}
	}
}

// asCommand is what a command has that works beside a server.
func asCommand(t *testing.T, settings config.Settings) *App {
	t.Helper()
	a, err := New(t.Context(), Options{Settings: settings, Offline: true, Version: health.Version{Version: "test"}, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, a.Close()) })
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func backupsBreakages() []breakage {
	return []breakage{
		inProduction("backups.newest", "the newest backup grows older than `backup.alarm_after`", func(t *testing.T, l *live) func() {
			return l.with(t, func(s *config.Settings) { s.Backup.Policy.AlarmAfter = time.Nanosecond })
		}),
		inProduction("backups.elsewhere", "the manifest is taken from the bucket, so that the folder alone has the backup", func(t *testing.T, l *live) func() {
			bucket := l.Backups().Targets[1]
			manifests := map[string][]byte{}
			files, err := bucket.List(t.Context(), "")
			must(t, err)
			for _, f := range files {
				if strings.HasSuffix(f.Name, ".json") {
					manifests[f.Name] = read(t, bucket, f.Name)
					must(t, bucket.Remove(t.Context(), f.Name))
				}
			}
			return func() {
				for name, text := range manifests {
					must(t, bucket.Put(t.Context(), name, text))
				}
			}
		}),
		inProduction("backups.encrypted", "a newer backup is made in clear", func(t *testing.T, l *live) func() {
			c := l.Backups().Config
			c.Recipients = nil
			_, err := backup.New(c).Create(t.Context(), backup.CreateOptions{})
			must(t, err)
			return func() {
				_, err := l.Backups().Create(t.Context(), backup.CreateOptions{})
				must(t, err)
			}
		}),
		inProduction("backups.destination", "a file takes the place of the folder `BACKUP_DIR`", func(t *testing.T, l *live) func() {
			dir := l.settings.Backup.Dir
			must(t, os.Rename(dir, dir+".away"))
			must(t, os.WriteFile(dir, nil, 0o600))
			return func() {
				must(t, os.Remove(dir))
				must(t, os.Rename(dir+".away", dir))
			}
		}),
		inProduction("backups.space", "the folder's disk is full", func(_ *testing.T, l *live) func() {
			l.fullDisks.Store(l.settings.Backup.Dir, true)
			return func() { l.fullDisks.Delete(l.settings.Backup.Dir) }
		}),
	}
}

func read(t *testing.T, target backup.Target, name string) []byte {
	t.Helper()
	file, err := target.Open(t.Context(), name)
	must(t, err)
	defer file.Close()
	text, err := io.ReadAll(file)
	must(t, err)
	return text
}

func uptimeBreakages() []breakage {
	return []breakage{
		inProduction("uptime.monitors", "a monitor of `manus.yaml` with the id `homepage` watches something else", func(t *testing.T, l *live) func() {
			return l.with(t, func(s *config.Settings) {
				s.Monitors = slices.Clone(s.Monitors)
				s.Monitors[2].URL = l.listener.URL
			})
		}),
		inProduction("uptime.elsewhere", "the other place is cut off", func(t *testing.T, l *live) func() {
			set := func(cutOff bool) {
				l.place.cutOff.Store(cutOff)
				must(t, l.place.report(t.Context()))
			}
			set(true)
			return func() { set(false) }
		}),
		inProduction("uptime.heartbeat", "whoever `HEARTBEAT_URL` belongs to answers 500", func(t *testing.T, l *live) func() {
			set := func(status int32) {
				l.listener.status.Store(status)
				_ = l.pulse.Beat(t.Context())
			}
			set(500)
			return func() { set(200) }
		}),
		inProduction("uptime.statuspage", "the proxy answers 502 for it", func(_ *testing.T, l *live) func() {
			l.front.changing(func(r *http.Response) {
				if r.Request.URL.Path == "/status" {
					r.StatusCode = http.StatusBadGateway
				}
			})
			return func() { l.front.change.Store(nil) }
		}),
		inProduction("uptime.statuspage", "it is an hour old, as from a cache", func(_ *testing.T, l *live) func() {
			l.front.changing(func(r *http.Response) {
				if r.Request.URL.Path == "/api/v2/summary.json" {
					const old = `{"page":{"updated_at":"2026-01-01T00:00:00Z"}}`
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader(old)), int64(len(old))
					r.Header.Del("Content-Length")
					r.Header.Del("Content-Encoding")
				}
			})
			return func() { l.front.change.Store(nil) }
		}),
		inProduction("uptime.channels", "the receiver of a webhook answers 410, until its channel is dead", func(t *testing.T, l *live) func() {
			set := func(answer int32, want readiness.Status) {
				l.receiver.status.Store(answer)
				_, err := l.Alerts.Test(t.Context(), "hook")
				must(t, err)
				l.await(t, "uptime.channels", want)
			}
			set(410, readiness.Fail)
			return func() { set(200, readiness.Pass) }
		}),
		inProduction("uptime.person", "`manus.yaml` leaves only a webhook", func(t *testing.T, l *live) func() {
			return l.with(t, func(s *config.Settings) {
				s.Alerts.Policy.Channels = slices.DeleteFunc(slices.Clone(s.Alerts.Policy.Channels), func(c notify.ChannelConfig) bool { return c.Type == "mail" })
			})
		}),
	}
}

func billingBreakages() []breakage {
	return []breakage{
		inProduction("billing.plans", "a plan that an account is on is taken out of `manus.yaml`", func(t *testing.T, l *live) func() {
			must(t, l.Plans.SetPlan(t.Context(), "somebody", "pro"))
			mend := l.with(t, func(s *config.Settings) {
				s.Billing.Plans = slices.DeleteFunc(slices.Clone(s.Billing.Plans), func(p billing.Plan) bool { return p.ID == "pro" })
			})
			return func() {
				mend()
				must(t, l.Plans.Erase(t.Context(), "somebody"))
			}
		}),
	}
}

func systemBreakages() []breakage {
	unbelieved := inProduction("system.tls", "the certificate is its own authority's (self-signed)", func(t *testing.T, l *live) func() {
		l.front.signItself(t)
		return func() { l.front.certify(t, 90*24*time.Hour) }
	})
	unbelieved.also = []string{"health.public"} // no browser shows what is answered there
	kernel := func(check, by, file, broken, good string) breakage {
		return inProduction(check, by, func(t *testing.T, l *live) func() {
			l.write(t, file, broken)
			return func() { l.write(t, file, good) }
		})
	}
	return []breakage{
		{
			check: "system.copies", by: "a second copy is started with another `JWT_SECRET_KEY`", also: []string{"limits.store"}, // there is no Redis
			broken: func(t *testing.T, a *App) (*App, func() *App) {
				settings := a.settings
				settings.JWTSecret = config.RandomSecret()
				other, _ := start(t, Options{Settings: settings})
				awaitCopies(t, a, 2)
				return a, func() *App {
					other.stopWork() // it leaves in order
					awaitCopies(t, a, 1)
					return a
				}
			},
		},
		{
			check: "system.copies", by: "the server is stopped, which a command sees", also: []string{"health.public"},
			broken: func(t *testing.T, a *App) (*App, func() *App) {
				a.stopWork()
				command := asCommand(t, a.settings)
				awaitCopies(t, command, 0)
				return command, func() *App {
					start(t, Options{Settings: a.settings})
					awaitCopies(t, command, 1)                                                                            // the other one knows of itself before it tells
					waittest.Poll(t, func() bool { return find(t, command, "uptime.monitors").Status != readiness.Fail }) // it takes over the watch
					return asCommand(t, a.settings)                                                                       // which makes one report
				}
			},
		},
		{
			check: "system.copies", by: "a command reads another `limits.allow` than the running server has",
			broken: func(t *testing.T, a *App) (*App, func() *App) {
				settings := a.settings
				settings.Limits.Allow = slices.Concat(settings.Limits.Allow, []string{"10.0.0.0/8"})
				return asCommand(t, settings), func() *App {
					must(t, a.apply(settings)) // as the server does with a changed manus.yaml
					command := asCommand(t, settings)
					waittest.Poll(t, func() bool { return find(t, command, "system.copies").Status == readiness.Pass }) // told of within ten seconds
					return asCommand(t, settings)
				}
			},
		},
		inProduction("system.tls", "the certificate has two days left", func(t *testing.T, l *live) func() {
			l.front.certify(t, 2*24*time.Hour)
			return func() { l.front.certify(t, 90*24*time.Hour) }
		}),
		unbelieved,
		inProduction("system.hsts", "the proxy takes the header away", func(_ *testing.T, l *live) func() {
			l.front.changing(func(r *http.Response) { r.Header.Del("Strict-Transport-Security") })
			return func() { l.front.change.Store(nil) }
		}),
		inProduction("system.clock", "answers are dated a minute later", func(_ *testing.T, l *live) func() {
			l.front.changing(func(r *http.Response) {
				r.Header.Set("Date", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
			})
			return func() { l.front.change.Store(nil) }
		}),
		inProduction("system.disk", "the data's disk is full", func(_ *testing.T, l *live) func() {
			l.fullDisks.Store(l.settings.DataDir, true)
			return func() { l.fullDisks.Delete(l.settings.DataDir) }
		}),
		kernel("system.memory", "the container's memory is used up", "sys/fs/cgroup/memory.current", "990000000\n", "100000000\n"),
		inProduction("system.files", "the limit of open files is as many as are open", func(t *testing.T, l *live) func() {
			l.limitFiles(t, 10)
			return func() { l.limitFiles(t, 1024) }
		}),
		inProduction("system.mail", "the mail server refuses the recipient", func(_ *testing.T, l *live) func() {
			l.mails.RefuseRecipients(550)
			return func() { l.mails.RefuseRecipients(0) }
		}),
		inProduction("system.spf", "the domain's SPF record is gone", func(_ *testing.T, l *live) func() {
			l.names.say("mail.example.com.", "something else")
			return func() { l.names.say("mail.example.com.", goodSPF) }
		}),
		inProduction("system.spf", "the domain lets everybody send (`+all`)", func(_ *testing.T, l *live) func() {
			l.names.say("mail.example.com.", "v=spf1 +all")
			return func() { l.names.say("mail.example.com.", goodSPF) }
		}),
		inProduction("system.spf", "a record that it leads to (`include:`) is gone", func(_ *testing.T, l *live) func() {
			l.names.say("_spf.example.net.")
			return func() { l.names.say("_spf.example.net.", "v=spf1 ip4:192.0.2.1 -all") }
		}),
		inProduction("system.dmarc", "the domain has two DMARC records", func(_ *testing.T, l *live) func() {
			l.names.say("_dmarc.example.com.", "v=DMARC1; p=reject", "v=DMARC1; p=none")
			return func() { l.names.say("_dmarc.example.com.", "v=DMARC1; p=reject") }
		}),
	}
}
