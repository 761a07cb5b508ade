package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"manus/incident"
	"manus/language"
	"manus/mail"
	"manus/statuspage"
	"manus/subscribe"
)

// addSubscribers adds those who are told of incidents and planned work.
func (a *App) addSubscribers() (err error) {
	a.Subscribers, err = subscribe.New(subscribe.Config{
		Store: a.store, Secrets: a.secrets(), Send: a.sendToSubscribers(), Read: a.readNotice, Names: a.namesOf, BaseURL: func() string { return strings.TrimSuffix(a.siteURL(), "/") },
		AllowPrivate: a.privateWebhooks.Load, Version: a.options.Version.Version, Metrics: a.registry, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.add(room{name: "subscribers", specs: subscribe.Specs(), run: a.Subscribers.Run, sweep: a.Subscribers.Sweep})
	return nil
}

// namesOf are the names of those components that the page lists.
func (a *App) namesOf(ids []string) map[string]language.Text {
	names := map[string]language.Text{}
	for _, l := range a.components() {
		if slices.Contains(ids, l.ID) {
			names[l.ID] = l.Name
		}
	}
	return names
}

// siteURL is PUBLIC_URL, or where it listens.
func (a *App) siteURL() string {
	if a.settings.PublicURL == "" && a.public != nil {
		return localURL(a.Addr())
	}
	return a.settings.PublicURL
}

// sendToSubscribers is what their mails go by: not the outbox that other mails wait in, as
// there may be many thousands. Nil where there is no mail server.
func (a *App) sendToSubscribers() func(context.Context, mail.Message) error {
	server, ok := a.mailer.(*mail.SMTP)
	switch {
	case ok:
		return server.Many().Send
	case a.mailer != nil:
		return a.mailer.Send
	case a.settings.KeepMails && a.outbox != nil:
		return a.outbox.Send
	}
	return nil
}

// Kinds of notices.
const (
	noticeIncident    = "incident"
	noticeMaintenance = "maintenance"
)

// announceUpdate has subscribers told of an update.
func (a *App) announceUpdate(ctx context.Context, i incident.Incident, id string) error {
	telling := a.Incidents.Telling()
	at := i.Postmortem.PublishedAt.Add(telling.Together)
	if id != incident.Published {
		u, ok := i.Update(id)
		if !ok {
			return nil
		}
		at = telling.At(i, u)
	}
	if a.options.Offline { // a command may not know the server's manus.yaml
		at = time.Time{}
	}
	return a.Subscribers.Announce(ctx, subscribe.Ref{Kind: noticeIncident, ID: i.ID, Of: id}, at)
}

// announceStep has subscribers told of what became of planned work.
func (a *App) announceStep(ctx context.Context, m incident.Maintenance, step incident.Step) error {
	at := m.CreatedAt.Time
	if soon := at.Add(a.Incidents.Telling().Together); step == incident.Planned && soon.Before(m.StartsAt.Time) {
		at = soon // it may be a mistake that is taken back at once
	}
	return a.Subscribers.Announce(ctx, subscribe.Ref{Kind: noticeMaintenance, ID: m.ID, Of: string(step)}, at)
}

// readNotice is what is told: what the page says by now, and nothing that it doesn't.
func (a *App) readNotice(ctx context.Context, ref subscribe.Ref) (subscribe.Notice, bool, error) {
	if ref.Kind == noticeIncident {
		return a.readUpdate(ctx, ref)
	}
	what, o, told, err := a.Incidents.Told(ctx, ref.ID, incident.Step(ref.Of))
	if err != nil || !told {
		return subscribe.Notice{}, false, err
	}
	public, is := a.publishedTime(o, time.Now())
	return noticeOfStep(what, public), is, nil
}

func (a *App) readUpdate(ctx context.Context, ref subscribe.Ref) (subscribe.Notice, bool, error) {
	i, err := a.Incidents.Incident(ctx, ref.ID)
	if err != nil {
		return subscribe.Notice{}, false, err
	}
	public, is := a.published(i)
	if !is {
		return subscribe.Notice{}, false, nil
	}
	said, news, at := public.Updates, 1, time.Time{}
	if ref.Of == incident.Published {
		if i.Postmortem.PublishedAt.IsZero() { // it was taken back
			return subscribe.Notice{}, false, nil
		}
	} else {
		telling := a.Incidents.Telling()
		told, before := telling.News(i, ref.Of)
		if len(told) == 0 {
			return subscribe.Notice{}, false, nil
		}
		said, news, at = said[:len(told)+len(before)], len(told), telling.At(i, told[0])
	}
	entries := entriesOf(said)
	last := said[len(said)-1]
	return subscribe.Notice{
		Thread: public.ID, Components: public.Components, Title: public.Title, Status: last.Stage.Words(), State: string(last.Stage),
		At: last.At, News: entries[:news], Before: entries[news:], Path: "/status/incidents/" + public.ID, NotBefore: at,
	}, true, nil
}

// entriesOf are updates as they are told, the newest first.
func entriesOf(updates []statuspage.Update) (all []subscribe.Entry) {
	for _, u := range slices.Backward(updates) {
		all = append(all, subscribe.Entry{At: u.At, Status: u.Stage.Words(), Text: u.Text})
	}
	return all
}

var stepWords = map[string]language.Text{
	"planned":   {En: "Planned work", Ar: "صيانة مخطّطة"},
	"soon":      {En: "Planned work, soon", Ar: "صيانة مخطّطة قريبًا"},
	"begun":     {En: "Work has begun", Ar: "بدأت الصيانة"},
	"ended":     {En: "Work is over", Ar: "انتهت الصيانة"},
	"cancelled": {En: "Cancelled", Ar: "أُلغيت الصيانة"},
}

func noticeOfStep(what string, m statuspage.Maintenance) subscribe.Notice {
	text := func(tag language.Tag) string {
		when := tag.Isolate(m.From.Format("2006-01-02 15:04") + " – " + m.Until.Format("2006-01-02 15:04 UTC"))
		return strings.TrimSpace(when + "\n\n" + m.Text.In(tag))
	}
	return subscribe.Notice{
		Thread: m.ID, Components: m.Components, Title: m.Title, Status: stepWords[what], State: what, At: m.ChangedAt,
		News: []subscribe.Entry{{At: m.ChangedAt, Status: stepWords[what], Text: language.Text{En: text(language.English), Ar: text(language.Arabic)}}}, Path: "/status",
	}
}
