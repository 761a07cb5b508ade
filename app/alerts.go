package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"manus/backup"
	"manus/config"
	"manus/docstore"
	"manus/language"
	"manus/lease"
	"manus/mail"
	"manus/notify"
	"manus/notify/channels"
)

// addAlerts adds what brings alerts to operators, and what tells it of events of rooms
// that don't know it.
func (a *App) addAlerts() (err error) {
	a.Alerts, err = notify.New(notify.Config{
		Store: a.store, Audit: a.audit, Policy: a.settings.Alerts.Policy, Channels: a.channels(), Secrets: a.secrets(), PublicURL: a.settings.PublicURL, Source: a.source(),
		Issue: a.standingOfIssue, Metrics: a.registry, Log: a.logOfInbox(),
	})
	if err != nil {
		return err
	}
	a.add(room{
		name: "alerts", specs: notify.Specs(), routes: a.Alerts.Routes, run: a.runAlerts, sweep: a.Alerts.Sweep,
		promises: a.Alerts.Promises(a.mailer == nil && a.settings.KeepMails),
		apply: func(s config.Settings) (func(), error) {
			return a.Alerts.PreparePolicy(s.Alerts.Policy)
		},
	})
	return nil
}

// channels makes an alert channel of its settings. Mails go to the mail server, or where
// they are kept there.
func (a *App) channels() func(notify.ChannelConfig) ([]notify.Channel, error) {
	send := func(context.Context, mail.Message) error { return errors.New("there is no mail server: set SMTP_URL") }
	switch {
	case a.mailer != nil:
		send = a.mailer.Send
	case a.settings.KeepMails && a.outbox != nil:
		send = a.outbox.Send
	}
	d := channels.Dependencies{SendMail: send, Version: a.options.Version.Version}
	return func(c notify.ChannelConfig) ([]notify.Channel, error) { return channels.New(c, d) }
}

// runAlerts sends alerts, and watches what has no document of its own.
func (a *App) runAlerts(ctx context.Context) {
	a.inBackground(func() { a.watchLimits(ctx) })
	a.Alerts.Run(ctx)
}

const (
	// limitsEvery is how often it is looked whether the breaker is open, and
	// limitsPatience how long it may be before that is told.
	limitsEvery    = time.Second
	limitsPatience = 30 * time.Second
)

func (o Options) limitsPatience() time.Duration { return cmp.Or(o.LimitsPatience, limitsPatience) }

// watchLimits tells when the copies can't count limits together for longer than a
// moment, and when they can again.
func (a *App) watchLimits(ctx context.Context) {
	if a.breaker == nil {
		return
	}
	patience := a.options.limitsPatience()
	tick := time.NewTicker(min(limitsEvery, patience))
	defer tick.Stop()
	told := true // an earlier process may have told of it
	for {
		cause, since := a.breaker.Outage()
		over, wrong := cause == "", cause != "" && time.Since(since) >= patience
		if wrong != told && (wrong || over) {
			if a.Alerts.TellCondition(ctx, limitsEvent(since, wrong, cause)) == nil {
				told = wrong
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func limitsEvent(since time.Time, wrong bool, cause string) notify.Event {
	if !wrong {
		return notify.Event{
			Kind: "limits.degraded", Over: true, At: docstore.At(time.Now()),
			Title: language.Text{En: "Rate limits are counted together again", Ar: "عاد عدّ حدود الطلبات مشتركًا"},
		}
	}
	return notify.Event{
		Kind: "limits.degraded", At: docstore.At(since),
		Title: language.Text{En: "Rate limits aren't counted together: Redis is gone", Ar: "لا تُعدّ حدود الطلبات مشتركة: تعذّر الوصول إلى Redis"},
		Text: language.Text{
			En: "Each copy of the server counts by itself meanwhile (when_redis_fails). " + capitalised(cause) + ".",
			Ar: "تعدّ كلّ نسخة من الخادم وحدها في هذه الأثناء (when_redis_fails). " + language.Arabic.Isolate(cause+"."),
		},
	}
}

// tellDeadLetter tells that work was given up, once an hour for a queue.
func (a *App) tellDeadLetter(queue string, title language.Text) func(ctx context.Context, id string, err error) error {
	return func(ctx context.Context, id string, err error) error {
		now := time.Now()
		return a.Alerts.Tell(ctx, notify.Event{
			Kind: "queue.dead_letter", Subject: queue, Occurrence: now.UTC().Format("2006-01-02T15"), At: docstore.At(now), Title: title,
			Text: language.Text{En: sentence(err), Ar: language.Arabic.Isolate(sentence(err))},
		})
	}
}

// tellTimeout bounds an event that is told on the side.
const tellTimeout = 30 * time.Second

// tellLostLease tells that a copy has lost a lease in the middle of its work. It doesn't
// wait for that.
func (a *App) tellLostLease(name string, fence lease.Fence) {
	a.inBackground(func() {
		ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
		defer cancel()
		err := a.Alerts.Tell(ctx, notify.Event{
			Kind: "lease.lost", Subject: name, Occurrence: strconv.FormatInt(int64(fence), 10), At: docstore.At(time.Now()),
			Title: language.Text{En: "A lease was lost in the middle of work: " + name, Ar: "فُقد حقّ العمل في أثنائه: " + name},
			Text:  language.Text{En: "Another copy of the server goes on. The store, or this copy, was too slow.", Ar: "تتابع نسخة أخرى من الخادم. كان المخزن أو هذه النسخة أبطأ من اللازم."},
		})
		if err != nil {
			a.log.WarnContext(ctx, "a lost lease could not be told of", "lease", name, "error", err)
		}
	})
}

// capitalised is a text that begins with a capital.
func capitalised(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// sentence is an error as a sentence.
func sentence(err error) string { return strings.TrimSuffix(err.Error(), ".") + "." }

// backupTitles are the titles of backup's alerts, and when they are over.
var backupTitles = map[string]struct {
	wrong, over language.Text
}{
	backup.AlertFailed:     {language.Text{En: "A backup has failed", Ar: "فشل نسخ احتياطي"}, language.Text{En: "A backup was made again", Ar: "أُنشئت نسخة احتياطية من جديد"}},
	backup.AlertSuspicious: {language.Text{En: "A backup doesn't count", Ar: "نسخة احتياطية لا يُعتدّ بها"}, language.Text{En: "The newest backup counts again", Ar: "أحدث نسخة احتياطية يُعتدّ بها من جديد"}},
	backup.AlertSilence:    {language.Text{En: "There is no recent verified backup", Ar: "لا توجد نسخة احتياطية حديثة مُتحقَّق منها"}, language.Text{En: "There is a verified backup again", Ar: "توجد نسخة احتياطية مُتحقَّق منها من جديد"}},
	backup.AlertDamaged:    {language.Text{En: "The data is damaged", Ar: "البيانات تالفة"}, language.Text{}},
}

// backupAlarm takes backup's alerts to operators.
type backupAlarm struct{ app *App }

// Tell passes an alert on: into the store, or at once where there is none.
func (b backupAlarm) Tell(ctx context.Context, alert backup.Alert) error {
	titles := backupTitles[alert.Key]
	e := notify.Event{
		Kind: alert.Key, Occurrence: alert.Since.UTC().Format(time.RFC3339Nano), Over: alert.Over, Unkept: alert.Over, At: alert.At,
		Title: titles.wrong, Text: language.Text{En: capitalised(alert.Text), Ar: cmp.Or(alert.Arabic, language.Arabic.Isolate(alert.Text))},
	}
	if alert.Over {
		e.Title = titles.over
	}
	if alert.Key == backup.AlertDamaged { // told by each start, over and over where a supervisor is
		e.Occurrence = alert.At.UTC().Format(time.DateOnly) + "/" + b.app.place()
	}
	alerts, err := b.app.alerts()
	if err != nil {
		return err
	}
	if alert.Key != backup.AlertDamaged && b.app.Alerts != nil {
		err := alerts.Tell(ctx, e)
		if !errors.Is(err, docstore.ErrUnavailable) && !errors.Is(err, docstore.ErrCorrupt) {
			return err
		}
	}
	level := slog.LevelError
	if alert.Over {
		level = slog.LevelInfo
	}
	b.app.log.Log(ctx, level, alert.Text, "alert", alert.Key, "over", alert.Over)
	if err := alerts.TellNow(ctx, e); !errors.Is(err, notify.ErrNoAlert) {
		return err
	}
	return nil // the log is all there is
}

// source is what the installation is called in alerts: its environment, and the host that
// people reach it by, else the machine's.
func (a *App) source() string {
	host := ""
	if u, err := url.Parse(a.settings.PublicURL); err == nil {
		host = u.Host
	}
	if host == "" {
		host, _ = os.Hostname()
	}
	return strings.TrimSuffix(a.settings.Environment+" ("+host+")", " ()")
}

// place names where the data is, the same at each start.
func (a *App) place() string {
	s := a.settings
	if !s.MongoDB.Empty() {
		return strings.Join([]string{s.Environment, s.PublicURL, s.MongoDatabase}, "/")
	}
	host, _ := os.Hostname() // where there is none, the folder is all
	return host + absolute(s.DataDir)
}

// alerts is who tells operators, before the rooms are there too: then without a store.
func (a *App) alerts() (*notify.Service, error) {
	if a.Alerts != nil {
		return a.Alerts, nil
	}
	if err := a.openMailer(); err != nil {
		return nil, err
	}
	return notify.New(notify.Config{Policy: a.settings.Alerts.Policy, Channels: a.channels(), Source: a.source(), Log: a.log})
}

// ReplayAlerts says who would have been told of past events by another policy. See
// [notify.Replay].
func (a *App) ReplayAlerts(ctx context.Context, policy notify.Policy, since time.Time, yield func(notify.Told) error) error {
	return notify.Replay(ctx, a.store, policy, since, yield)
}
