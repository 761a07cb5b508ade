package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/backup"
	"manus/config"
	"manus/docstore"
	"manus/internal/redistest"
	"manus/internal/smtptest"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/language"
	"manus/notify"
	"manus/uptime"
)

// hook is a receiver of webhooks.
type hook struct {
	URL   string
	mu    sync.Mutex
	heard []string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.heard = append(h.heard, string(body))
	}))
	t.Cleanup(server.Close)
	h.URL = server.URL
	return h
}

// wait waits for a message that has all these words, and fails when there are two.
func (h *hook) wait(t *testing.T, words ...string) {
	t.Helper()
	n := 0
	waittest.Poll(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		n = 0
		for _, heard := range h.heard {
			has := true
			for _, word := range words {
				has = has && strings.Contains(heard, word)
			}
			if has {
				n++
			}
		}
		return n > 0
	})
	if n != 1 {
		t.Errorf("%v came %d times", words, n)
	}
}

func (h *hook) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.heard)
}

// alerting lets a product send alerts to a hook, and mails to a mail server where there is
// one.
func alerting(h *hook, smtp *smtptest.Server) func(*config.Settings) {
	return func(s *config.Settings) {
		s.Alerts.MailOnly, s.Alerts.Email = false, nil
		s.Alerts.Webhook, s.Alerts.WebhookSecret, s.Alerts.AllowPrivate = config.NewSecret(h.URL), config.NewSecret("whsec_"+strings.Repeat("QUFB", 10)), true
		if smtp != nil {
			s.SMTP, s.MailFrom, s.Alerts.Email = config.NewSecret("smtp://"+smtp.Addr), "Manus <manus@example.com>", []string{"ops@example.com"}
		}
		s.Alerts.Policy = s.Alerts.WithChannels(notify.DefaultPolicy())
	}
}

func TestAFailedBackupIsToldByMailAndItsEndInTheSameThread(t *testing.T) {
	t.Parallel()
	smtp, h := smtptest.Start(t), newHook(t)
	a, _ := setup(t, alerting(h, smtp))
	now := docstore.At(time.Now())
	failed := backup.Alert{ID: docstore.NewID(), Key: backup.AlertFailed, At: now, Since: now, Text: "A backup has failed: the disk is full."}
	over := backup.Alert{ID: docstore.NewID(), Key: backup.AlertFailed, At: now, Since: now, Text: "A backup was made again.", Over: true}
	for _, alert := range []backup.Alert{failed, failed} {
		if err := (backupAlarm{a}).Tell(t.Context(), alert); err != nil {
			t.Fatal(err)
		}
	}
	first := smtp.Wait(t, 1)[0]
	h.wait(t, `backup.failed`, `raised`)
	if err := (backupAlarm{a}).Tell(t.Context(), over); err != nil {
		t.Fatal(err)
	}
	mails := smtp.Wait(t, 2)
	h.wait(t, `backup.failed`, `"over"`)
	if len(mails) != 2 || first.To != "ops@example.com" || !strings.Contains(first.Header.Get("Subject"), "A backup has failed") || !strings.Contains(first.Body, "the disk is full") {
		t.Errorf("the first of %d mails: %+v", len(mails), first)
	}
	second := mails[1]
	if thread := second.Header.Get("References"); !strings.HasPrefix(second.Header.Get("Subject"), "Resolved: ") || thread == "" ||
		thread != first.Header.Get("References") && thread != first.Header.Get("Message-ID") {
		t.Errorf("the second mail: %v; the first %v", second.Header, first.Header)
	}
}

func TestLimitsThatAreNotCountedTogetherAreTold(t *testing.T) {
	t.Parallel()
	redis, h := redistest.Start(t), newHook(t)
	settings, err := DevSettings(Dev{DataDir: filepath.Join(t.TempDir(), "data"), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	settings.OpsAddr, settings.Redis = "127.0.0.1:0", config.NewSecret(redis.URL())
	alerting(h, nil)(&settings)
	settings.Alerts.Policy.Rules = []notify.Rule{{On: "limits.degraded", Channels: []string{"webhook"}}} // /ready fails too, which is an issue
	a, _ := start(t, Options{Settings: settings, LimitsPatience: time.Second})                           // longer than a busy machine holds it up
	for range 2 {                                                                                        // the second time is another occurrence
		waittest.Poll(t, func() bool { return a.breaker.Err() == nil })
		before := h.count()
		redis.Kill(t) // and there is no request that would notice it
		waittest.Poll(t, func() bool { return h.count() >= before+1 })
		redis.Restart(t)
		waittest.Poll(t, func() bool { return h.count() >= before+2 })
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, want := range []string{"Redis is gone", "Resolved", "Redis is gone", "Resolved"} {
		if i%2 == 0 && !strings.Contains(h.heard[i], "Nobody listens at the address of REDIS_URL") {
			t.Errorf("%d: it doesn't say why: %s", i, h.heard[i])
		}
		if !strings.Contains(h.heard[i], want) || !strings.Contains(h.heard[i], "limits.degraded") {
			t.Errorf("%d: %s", i, h.heard[i])
		}
	}
}

func TestHowLongLimitsAreWaitedFor(t *testing.T) {
	t.Parallel()
	if (Options{}).limitsPatience() != 30*time.Second || (Options{LimitsPatience: 1}).limitsPatience() != 1 {
		t.Error("it is another time")
	}
}

func TestALostLeaseAndAMailThatWasGivenUpAreTold(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	a, _ := setup(t, alerting(h, nil))
	for range 2 {
		a.tellLostLease("backups", 7)
	}
	h.wait(t, "lease.lost", "backups")
	lost := errors.New("no connection")
	if err := a.tellDeadLetter("mails", language.Text{En: "A mail was given up"})(t.Context(), "m1", lost); err != nil {
		t.Fatal(err)
	}
	h.wait(t, "queue.dead_letter", "A mail was given up")
}

func TestDamagedDataIsToldAtOnceAndWithoutAStore(t *testing.T) {
	t.Parallel()
	smtp, h := smtptest.Start(t), newHook(t)
	a, _ := setup(t, alerting(h, smtp))
	if err := a.store.Close(); err != nil {
		t.Fatal(err)
	}
	now := docstore.At(time.Now())
	for _, key := range []string{backup.AlertDamaged, backup.AlertFailed} {
		if err := (backupAlarm{a}).Tell(t.Context(), backup.Alert{Key: key, At: now, Since: now, Text: "It is bad."}); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	h.wait(t, "store.damaged")
	h.wait(t, "backup.failed")
	if mails := smtp.Wait(t, 2); len(mails) != 2 {
		t.Errorf("%d mails came", len(mails))
	}
}

// A server that a supervisor starts again and again tells of damaged data each time. To
// receivers it is one message a day.
func TestDamagedDataIsOneMessageHoweverOftenAServerIsStarted(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	a, _ := setup(t, alerting(h, nil))
	now := time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)
	for _, at := range []time.Time{now, now.Add(time.Minute), now.Add(24 * time.Hour)} {
		started := newApp(a.options) // which can't be joined, and tells all the same
		if err := (backupAlarm{started}).Tell(t.Context(), backup.Alert{Key: backup.AlertDamaged, At: docstore.At(at), Since: docstore.At(at), Text: "a page is bad"}); err != nil {
			t.Fatal(err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	id := regexp.MustCompile(`"id":"[^"]+"`)
	if len(h.heard) != 3 || !strings.Contains(h.heard[0], "A page is bad") || id.FindString(h.heard[0]) != id.FindString(h.heard[1]) || id.FindString(h.heard[0]) == id.FindString(h.heard[2]) {
		t.Errorf("heard was %q", h.heard)
	}
}

// An alarm that was raised while the store was gone is over once it is back: by mail and
// hook, and in the log as good news.
func TestAnAlarmThatWasRaisedWithoutAStoreIsOverWithOne(t *testing.T) {
	t.Parallel()
	h, log := newHook(t), &waittest.Log{}
	settings := config.Settings{}
	alerting(h, nil)(&settings)
	store := storetest.NewUnsteady(t, notify.Specs()...)
	a := &App{settings: settings, log: slog.New(slog.NewJSONHandler(log, nil))}
	var err error
	a.Alerts, err = notify.New(notify.Config{Store: store, Policy: settings.Alerts.Policy, Channels: a.channels(), Log: a.log})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer running.Wait()
	defer stop()
	running.Go(func() { a.Alerts.Run(ctx) })
	now := docstore.At(time.Now())
	silent := backup.Alert{Key: backup.AlertSilence, At: now, Since: now, Text: "The newest verified backup is 3 days old."}
	over := backup.Alert{Key: backup.AlertSilence, At: now, Since: now, Text: "There is one again.", Over: true}
	tell := func(gone bool, alert backup.Alert) {
		t.Helper()
		store.SetGone(gone)
		if err := (backupAlarm{a}).Tell(t.Context(), alert); err != nil {
			t.Fatal(err)
		}
	}
	tell(true, silent)
	h.wait(t, "backup.overdue", `"alert.raised"`)
	tell(false, over)
	h.wait(t, "backup.overdue", `"alert.over"`, "There is a verified backup again", "There is one again.")
	h.mu.Lock()
	thread := regexp.MustCompile(`"thread":"[^"]+"`)
	if first, second := thread.FindString(h.heard[0]), thread.FindString(h.heard[1]); first != second {
		t.Errorf("they are of %s and %s", first, second)
	}
	h.mu.Unlock()
	before := len(log.String())
	other := over
	other.Since = docstore.At(now.Add(time.Second))
	tell(true, other)
	if said := log.String()[before:]; !strings.Contains(said, `"level":"INFO","msg":"There is one again.","alert":"backup.overdue"`) {
		t.Errorf("the log says %s", said)
	}
	inArabic := settings.Alerts.Policy
	inArabic.Language = language.Arabic
	if err := a.Alerts.SetPolicy(inArabic); err != nil {
		t.Fatal(err)
	}
	tell(false, backup.Alert{Key: backup.AlertFailed, At: now, Since: now, Text: "A backup has failed: x.", Arabic: "فشل نسخ احتياطي: x."})
	h.wait(t, "backup.failed", "فشل نسخ احتياطي: x.")
}

func TestChangedRulesHoldAtOnceAndABadFileChangesNothing(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	a, log := setup(t, alerting(h, nil))
	path := filepath.Join(t.TempDir(), "manus.yaml")
	settings := a.settings
	settings.ConfigPath = path
	reload := newReloader(settings, a.apply)
	write := func(text string) error {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := reload.check()
		return err
	}
	tell := func(occurrence string) {
		t.Helper()
		if err := a.Alerts.Tell(t.Context(), notify.Event{Kind: "backup.overdue", Occurrence: occurrence, At: docstore.At(time.Now()), Title: language.Text{En: "Overdue " + occurrence}}); err != nil {
			t.Fatal(err)
		}
	}
	tell("one")
	h.wait(t, "Overdue one")
	if err := write("alerts: {rules: [{on: backup.overdue, channels: []}]}\n"); err != nil {
		t.Fatal(err)
	}
	tell("two")
	plans := func() string { _, body := call(t, a, "GET", "/api/v1/billing/plans", "", ""); return body }
	before, backups := plans(), a.backups.Load()
	for _, bad := range []string{
		"alerts: {rules: [{on: nothing, channels: []}]}\n",
		"alerts: {rules: [{on: '*', channels: [pager]}]}\n",
		"backup: {compression: zstd}\nalerts: {channels: [{id: pager, type: pagerduty}]}\n", // ALERT_PAGER_SECRET isn't set
		"alerts: [\n",
	} {
		if err := write(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
		if plans() != before || a.backups.Load() != backups {
			t.Errorf("%s was taken in part", bad)
		}
	}
	if text := log.String(); !strings.Contains(text, "Overdue two") {
		t.Error("the log doesn't tell of an event that goes nowhere")
	}
	tell("three")
	if err := write("alerts: {rules: []}\n"); err != nil {
		t.Fatal(err)
	}
	tell("four")
	h.wait(t, "Overdue four")
	alerts, _, err := a.Alerts.List(t.Context(), "", 10, "")
	if err != nil || len(alerts) != 2 {
		t.Errorf("%+v, %v", alerts, err)
	}
}

func TestWhatAnInstallationIsCalledInAlerts(t *testing.T) {
	t.Parallel()
	host, _ := os.Hostname()
	for url, want := range map[string]string{"https://app.example.com": "staging (app.example.com)", "": "staging (" + host + ")"} {
		a := newApp(Options{Settings: config.Settings{Environment: "staging", PublicURL: url}})
		if got := a.source(); got != want {
			t.Errorf("%q: it is called %q", url, got)
		}
	}
}

// A rule for a component of the page takes what happens to its monitors, of all the components
// that these are of.
func TestARuleForAComponentTakesItsMonitors(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	a, _ := setup(t, alerting(h, nil))
	settings := a.settings
	settings.ConfigPath = filepath.Join(t.TempDir(), "manus.yaml")
	file := `
alerts: {rules: [{on: "monitor.*", component: "shop*", channels: [webhook]}]}
monitors: [{id: gateway, type: tcp, url: "gateway.example.com:443"}, {id: blog, type: tcp, url: "blog.example.com:443"}]
status_page:
  components:
  - {id: api, name: {en: API}, monitors: [gateway]}
  - {id: shop-front, name: {en: Shop}, monitors: [gateway]}
  - {id: blog, name: {en: Blog}, monitors: [blog]}
`
	if err := os.WriteFile(settings.ConfigPath, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newReloader(settings, a.apply).check(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"blog", "gateway"} {
		told := uptime.Told{Monitor: uptime.Monitor{ID: id}, Alert: uptime.Alert{Kind: uptime.MonitorDown, Occurrence: "1", At: docstore.At(time.Now()), Title: language.Text{En: id + " is down"}}}
		if err := a.tellMonitor(t.Context(), told); err != nil {
			t.Fatal(err)
		}
	}
	h.wait(t, "gateway is down", "api, shop-front")
	if n := h.count(); n != 1 {
		t.Errorf("%d messages were sent of one monitor of the shop and one that isn't", n)
	}
}
