package app

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"time"

	"manus/config"
	"manus/docstore"
	"manus/language"
	"manus/lease"
	"manus/notify"
	"manus/readiness"
)

// addReadiness adds the report of what the product promises: the checks that each room has
// brought, and those that are about several of them. It comes after the rooms that have some.
func (a *App) addReadiness() error {
	a.Readiness = readiness.New(readiness.Config{
		Checks: slices.Concat(a.promises(), []readiness.Check{a.checkSettings()}, a.secretsPromises(), a.limitsPromises(), a.healthPromises(), a.systemPromises()),
		Store:  a.store, NoStore: a.whyNoStore(), Copy: a.asCopy(), Marks: a.marks, Tell: a.tellBroken, Metrics: a.registry, Log: a.log,
	})
	a.add(room{name: "readiness", specs: append(readiness.Specs(), agesSpec), routes: a.Readiness.Routes, run: a.runReadiness, sweep: a.Readiness.Sweep})
	return nil
}

// whyNoStore is why that isn't measured which needs the store.
func (a *App) whyNoStore() language.Text {
	if a.options.NoStore != nil {
		return language.Text{En: "The store can't be opened: see health.database.", Ar: "تعذّر فتح المخزن: انظر health.database."}
	}
	return language.Text{En: "Settings and files alone were looked at.", Ar: "لم يُنظر إلّا في الإعدادات والملفّات."}
}

// promises are the checks of all rooms.
func (a *App) promises() (all []readiness.Check) {
	for _, r := range a.rooms {
		all = append(all, r.promises...)
	}
	return all
}

// runReadiness tells the other copies of this one; one of them all watches, unless the product is
// only being tried: there it would fill the log with its own requests.
func (a *App) runReadiness(ctx context.Context) {
	a.noteSecrets(ctx)
	if !a.settings.Dev {
		a.inBackground(func() {
			a.leases.Every(ctx, "readiness", time.Minute, func(ctx context.Context, _ lease.Held) error { return a.Readiness.Watch(ctx) })
		})
	}
	a.Readiness.Run(ctx)
}

// asCopy is what this copy tells the others of itself; a command tells nothing.
func (a *App) asCopy() readiness.Copy {
	host, _ := os.Hostname() // a copy without a name is still one
	c := readiness.Copy{Name: host, Version: a.options.Version.Version, StartedAt: docstore.At(time.Now())}
	if !a.options.Offline {
		c.ID, c.Key = docstore.NewID(), rand.Text()
	}
	return c
}

// marks are digests of what has to be equal on all copies. They are keyed with the secret
// that signs tokens: who has the store alone can guess nothing by them.
func (a *App) marks() map[string]string {
	s := a.settings
	if now := a.inForce.Load(); now != nil {
		s = *now
	}
	of := func(name, value string) string {
		mac := hmac.New(sha256.New, []byte(s.JWTSecret.Reveal()))
		mac.Write([]byte(name + "\x00" + value))
		return hex.EncodeToString(mac.Sum(nil)[:8])
	}
	marks := map[string]string{"version": a.options.Version.Version, "collections": of("", describe(a.specs())), "settings": of("settings", s.Text())}
	for name, secret := range s.Secrets() {
		marks[name] = of(name, secret)
	}
	return marks
}

// signingMark is that of the secret with which the others are keyed.
const signingMark = "JWT_SECRET_KEY"

// describe is the shape of collections: their names and indexes.
func describe(specs []docstore.Spec) string {
	var b strings.Builder
	for _, s := range specs {
		b.WriteString(s.Collection + "\n")
		for _, i := range s.Indexes {
			b.WriteString(" " + i.Name + " " + strings.Join(i.Fields, ",") + "\n")
		}
	}
	return b.String()
}

// UnusableSettings is the report on settings with mistakes in them, with which no server starts.
func UnusableSettings(problems *config.Problems) readiness.Report {
	return readiness.Only(readiness.Check{
		ID: "secrets.settings", Essential: true, Offline: true, Title: settingsTitle, Measure: func(context.Context) readiness.Finding {
			return readiness.Broken(language.Text{En: problems.Error(), Ar: language.Arabic.Isolate(problems.Error())}, language.Text{En: "Mend each of these; a server doesn't start with them.", Ar: "أصلح كلًّا من هذه؛ لا يبدأ خادم بها."})
		},
	})
}

var settingsTitle = language.Text{En: "The settings can be used, and the secrets in them are strong", Ar: "الإعدادات صالحة للاستعمال، والأسرار فيها قويّة"}

// checkSettings is that the settings are those that a server starts with. Whoever could join
// the rooms by them has shown that; see UnusableSettings.
func (a *App) checkSettings() readiness.Check {
	return readiness.Check{ID: "secrets.settings", Essential: true, Offline: true, Title: settingsTitle, Measure: func(context.Context) readiness.Finding {
		return readiness.Kept(language.Text{En: "All settings were read and judged as at a start: no secret is short, guessable or a known example.", Ar: "قُرئت كلّ الإعدادات وحُكم عليها كما عند البدء: لا سرّ قصيرًا أو سهل التخمين أو مثالًا معروفًا."})
	}}
}

// tellBroken tells operators that a promise doesn't hold, or does again.
func (a *App) tellBroken(ctx context.Context, r readiness.Result) error {
	e := notify.Event{Kind: "readiness.failed", Subject: r.ID, At: docstore.At(time.Now()), Over: r.Status != readiness.Fail}
	if e.Over {
		e.Title = language.Text{En: "A promise holds again: #", Ar: "وعدٌ يصحّ من جديد: #"}
	} else {
		e.Title = language.Text{En: "A promise doesn't hold: #", Ar: "وعدٌ لا يصحّ: #"}
		e.Text = language.Text{En: strings.TrimSpace(r.Evidence.En + " " + r.Mend.En), Ar: strings.TrimSpace(r.Evidence.In(language.Arabic) + " " + r.Mend.In(language.Arabic))}
	}
	e.Title = language.Text{En: strings.Replace(e.Title.En, "#", r.Title.En, 1), Ar: strings.Replace(e.Title.Ar, "#", r.Title.Ar, 1)}
	return a.Alerts.TellCondition(ctx, e)
}

// ServedAt is where the product is reached: as the settings say, or else as a copy of the
// server says that runs; empty where neither does.
func (a *App) ServedAt(ctx context.Context) string {
	if url := a.siteURL(); url != "" || a.Readiness == nil {
		return url
	}
	copies, err := a.Readiness.Copies(ctx)
	if err != nil || len(copies) == 0 {
		return ""
	}
	return copies[0].URL
}

// checkCopies is that all copies of the server are the same.
func (a *App) checkCopies() readiness.Check {
	return readiness.Check{
		ID: "system.copies", Essential: true, Basis: true,
		Title: language.Text{En: "A server runs, and all copies of it are the same", Ar: "الخادم يعمل، وكلّ نسخه متطابقة"},
		Measure: func(ctx context.Context) readiness.Finding {
			copies, err := a.Readiness.Copies(ctx)
			if err != nil {
				return readiness.Broken(language.Text{En: "The store doesn't say which copies there are: #.", Ar: "لا يقول المخزن أيّ النسخ موجودة: #."}.Quoting(err.Error()), mendStore)
			}
			if f := ofCopies(copies); f.Status != readiness.Pass || !a.options.Offline {
				return f
			}
			return a.besideCopies(copies)
		},
	}
}

var mendStore = language.Text{En: "See /ready and the log for why the store can't be used.", Ar: "انظر \u200e/ready والسجلّ لمعرفة سبب تعذّر استعمال المخزن."}

// besideCopies is ofCopies for a command, which has to have read the settings that they have: what it
// measures says nothing of others.
func (a *App) besideCopies(copies []readiness.Copy) readiness.Finding {
	differ := differing([]readiness.Copy{copies[0], a.Readiness.This()})
	if len(differ) == 0 {
		return ofCopies(copies)
	}
	return readiness.Broken(
		language.Text{En: "The server that runs has others of these than this command has read: #.", Ar: "للخادم العامل غير ما قرأه هذا الأمر من هذه: #."}.Quoting(strings.Join(differ, ", ")),
		language.Text{En: "Restart the server, so that it takes them; or give this command the server's: the same environment or --env-file, --config and version. The rest of this report is about what this command has read.", Ar: "أعد تشغيل الخادم ليأخذها، أو أعطِ هذا الأمر ما للخادم من بيئة أو --env-file و--config وإصدار. بقيّة هذا التقرير عمّا قرأه هذا الأمر."})
}

// differing are the marks that differ; all do with the secret that they are keyed with.
func differing(copies []readiness.Copy) []string {
	unequal := readiness.Unequal(copies)
	if slices.Contains(unequal, signingMark) {
		return []string{signingMark}
	}
	return unequal
}

var mendStart = language.Text{En: "Start the server: manus serve, or the service that does it. If it runs, it has another store: give this command its settings.", Ar: "شغّل الخادم: manus serve أو الخدمة التي تشغّله. وإن كان يعمل فله مخزن آخر: أعطِ هذا الأمر إعداداته."}

func ofCopies(copies []readiness.Copy) readiness.Finding {
	if len(copies) == 0 {
		return readiness.Broken(language.Text{En: "No server runs on this store.", Ar: "لا يعمل أيّ خادم على هذا المخزن."}, mendStart)
	}
	if unequal := differing(copies); len(unequal) > 0 {
		return readiness.Broken(
			language.Text{En: "These differ between copies: #.", Ar: "تختلف هذه بين النسخ: #."}.Quoting(strings.Join(unequal, ", ")),
			language.Text{En: "Give every copy the same settings and the same version. While a new version is brought out this passes by itself.", Ar: "أعطِ كلّ نسخة الإعدادات نفسها والإصدار نفسه. يزول هذا من تلقاء نفسه عند اكتمال نشر إصدار جديد."})
	}
	alike := language.Plural{
		En: language.Forms{One: "One copy runs, of version ", Other: "# copies run, of the same collections, secrets and version "},
		Ar: language.Forms{One: "تعمل نسخة واحدة بالإصدار ", Two: "تعمل نسختان بالمجموعات والأسرار نفسها وبالإصدار ", Few: "تعمل # نسخ بالمجموعات والأسرار نفسها وبالإصدار ", Other: "تعمل # نسخة بالمجموعات والأسرار نفسها وبالإصدار "},
	}
	return readiness.Kept(language.Both(func(t language.Tag) string { return alike.In(t, len(copies)) + t.Quote(copies[0].Version) + "." }))
}
