package app

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/config"
	"manus/docstore"
	"manus/incident"
	"manus/internal/smtptest"
	"manus/internal/waittest"
	"manus/language"
	"manus/statuspage"
	"manus/subscribe"
	"manus/uptime"
)

// page asks for a page, or sends a form to it, and returns its text.
func page(t *testing.T, address string, form url.Values) (int, string) {
	t.Helper()
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	q, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Body.Close() }()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, string(text)
}

var mailedLink = regexp.MustCompile(`/status/(?:subscribe/confirm|unsubscribe)\?token=\S+`)

// A person subscribes by the page, is told of what an operator writes, and unsubscribes as a
// mail program does: by one POST without a page.
func TestAPersonSubscribesIsToldAndUnsubscribes(t *testing.T) {
	t.Parallel()
	smtp := smtptest.Start(t)
	a, _ := setup(t, func(s *config.Settings) {
		s.SMTP, s.MailFrom = config.NewSecret("smtp://"+smtp.Addr), "Manus <manus@example.com>"
		s.Incidents.Tell = incident.Telling{}
		s.StatusPage.Components = []statuspage.Listed{{ID: "api", Name: language.Text{En: "API", Ar: "الواجهة"}, Monitors: []string{"api-1"}}, {ID: "web", Name: language.Text{En: "Website"}}}
	})
	waittest.Poll(t, func() bool { return len(a.Status.Listed()) > 0 })
	site := "http://" + a.Addr()
	if code, text := page(t, site+"/status/subscribe?lang=ar&component=api", nil); code != 200 || !strings.Contains(text, `dir="rtl"`) || !strings.Contains(text, `name="component" value="api" checked>`) || !strings.Contains(text, `value="web"><bdi>Website`) {
		t.Errorf("%d %s", code, text)
	}
	// The answer is the same for everybody, and says what is wrong with what is no address.
	if code, text := page(t, site+"/status/subscribe", url.Values{"email": {"nobody"}}); code != 422 || !strings.Contains(text, "no address that can be written to") {
		t.Errorf("%d %s", code, text)
	}
	asked := ""
	for range 2 {
		code, text := page(t, site+"/status/subscribe?lang=ar", url.Values{"email": {"amal@example.com"}, "component": {"api"}})
		if code != 200 || asked != "" && text != asked {
			t.Errorf("%d %s", code, text)
		}
		asked = text
	}
	confirm := mailedLink.FindString(smtp.Wait(t, 1)[0].Text())
	if code, text := page(t, site+confirm, nil); code != 200 || !strings.Contains(text, `method="post"`) {
		t.Errorf("%d %s", code, text)
	}
	if n, err := a.Subscribers.Count(t.Context()); err != nil || n != 0 {
		t.Errorf("opening the link has confirmed: %d, %v", n, err)
	}
	token := strings.TrimSuffix(confirm[strings.Index(confirm, "token=")+len("token="):], "&lang=ar")
	if code, text := page(t, site+"/status/subscribe/confirm", url.Values{"token": {token}}); code != 200 || !strings.Contains(text, "You will be told") {
		t.Errorf("%d %s", code, text)
	}
	told := func(n int) smtptest.Mail { // the mail by which it is told of something, and not another one that asks
		t.Helper()
		var all []smtptest.Mail
		waittest.Poll(t, func() bool {
			all = slices.DeleteFunc(smtp.Mails(), func(m smtptest.Mail) bool { return strings.Contains(m.Text(), "/subscribe/confirm") })
			return len(all) >= n
		})
		return all[n-1]
	}
	i, err := a.Incidents.Open(t.Context(), incident.Opening{Title: language.Text{En: "Logins fail", Ar: "تعذّر الدخول"}, Components: []string{"api"}, Text: language.Text{En: "We look.", Ar: "نحقق."}})
	if err != nil {
		t.Fatal(err)
	}
	m := told(1)
	if text := m.Text(); !strings.Contains(text, "نحقق.") || !strings.Contains(text, "/status/incidents/"+i.ID+"?lang=ar") || m.Header.Get("Content-Language") != "ar" {
		t.Errorf("%+v\n%s", m.Header, text)
	}
	// What is of another component isn't told, and planned work is.
	if _, err := a.Incidents.Open(t.Context(), incident.Opening{Title: language.Text{En: "Other"}, Components: []string{"web"}, Text: language.Text{En: "x"}}); err != nil {
		t.Fatal(err)
	}
	start := docstore.At(time.Now().Add(time.Hour))
	if _, err := a.Incidents.Plan(t.Context(), incident.Maintenance{Title: language.Text{En: "Upgrade"}, Components: []string{"api-1"}, StartsAt: start, EndsAt: docstore.At(start.Add(time.Hour))}); err != nil {
		t.Fatal(err)
	}
	if text := told(2).Text(); !strings.Contains(text, "Upgrade") || !strings.Contains(text, language.Arabic.Between(start.Time, start.Add(time.Hour))) {
		t.Error(text)
	}
	// So is what was found out, once it is published.
	if _, err := a.Incidents.Say(t.Context(), i.ID, incident.Saying{Status: incident.Resolved, Text: language.Text{En: "It is over."}}); err != nil {
		t.Fatal(err)
	}
	told(3)
	for _, publish := range []bool{false, true, true} {
		if _, err := a.Incidents.WritePostmortem(t.Context(), i.ID, language.Text{En: "The disk was full."}, publish); err != nil {
			t.Fatal(err)
		}
	}
	if text := told(4).Text(); !strings.Contains(text, "The disk was full.") || !strings.Contains(text, "It is over.") {
		t.Error(text)
	}
	unsubscribe := m.Header.Get("List-Unsubscribe")
	unsubscribe = mailedLink.FindString(strings.TrimSuffix(unsubscribe, ">"))
	if code, text := page(t, site+unsubscribe, url.Values{"List-Unsubscribe": {"One-Click"}}); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	if n, err := a.Subscribers.Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d are left, %v", n, err)
	}
	if code, text := page(t, site+confirm, url.Values{}); code != 410 || !strings.Contains(text, "لم يعد هذا الرابط صالحًا") {
		t.Errorf("%d %s", code, text)
	}
}

// Subscribers are told what the page says, word by word, in either language: of what a monitor has
// found nothing else, though its error names a machine.
func TestSubscribersAreToldWhatThePageSays(t *testing.T) {
	t.Parallel()
	smtp := smtptest.Start(t)
	a, _ := setup(t, func(s *config.Settings) {
		s.SMTP, s.MailFrom = config.NewSecret("smtp://"+smtp.Addr), "Manus <manus@example.com>"
		s.Incidents.Tell = incident.Telling{}
		s.StatusPage.Components = []statuspage.Listed{{ID: "shop", Name: language.Text{En: "The shop", Ar: "المتجر"}, Monitors: []string{"shop-1"}}}
		s.Monitors = uptime.Policy{{ID: "db-1", Type: "tcp", URL: "127.0.0.1:1", Paused: true}}
	})
	for _, tag := range []language.Tag{language.English, language.Arabic} {
		if err := a.Subscribers.Ask(t.Context(), subscribe.Asking{Email: tag.String() + "@example.com", Components: []string{"shop"}, Language: tag}); err != nil {
			t.Fatal(err)
		}
		var link string
		waittest.Poll(t, func() bool { // among mails to others, such as alerts
			for _, m := range smtp.Mails() {
				if m.To == tag.String()+"@example.com" {
					_, link, _ = strings.Cut(mailedLink.FindString(m.Text()), "token=")
				}
			}
			return link != ""
		})
		token, _, _ := strings.Cut(link, "&")
		if err := a.Subscribers.Confirm(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	for _, over := range []bool{false, true} {
		err := a.tellMonitor(t.Context(), uptime.Told{Monitor: uptime.Monitor{ID: "shop-1"}, Alert: uptime.Alert{
			ID: "a", Kind: uptime.MonitorDown, Occurrence: "1", Over: over, At: docstore.At(time.Now()), Title: language.Text{En: "shop-1.internal is down"}, Text: language.Text{En: "10.1.2.3:443 refuses", Ar: "10.1.2.3:443 refuses"},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	work, err := a.Incidents.Plan(t.Context(), incident.Maintenance{Title: language.Text{En: "At a machine that isn't listed"}, Components: []string{"db-1"}, StartsAt: docstore.At(time.Now().Add(time.Hour)), EndsAt: docstore.At(time.Now().Add(2 * time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	if _, is, err := a.readNotice(t.Context(), subscribe.Ref{Kind: noticeMaintenance, ID: work.ID, Of: string(incident.Planned)}); is || err != nil {
		t.Errorf("they are told of work at what isn't listed: %v", err)
	}
	private, err := a.Incidents.Open(t.Context(), incident.Opening{Title: language.Text{En: "At a machine that isn't listed"}, Components: []string{"db-1"}, Text: language.Text{En: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, is, err := a.readNotice(t.Context(), subscribe.Ref{Kind: noticeIncident, ID: private.ID, Of: private.Updates[0].ID}); is || err != nil {
		t.Errorf("they are told of trouble at what isn't listed: %v", err)
	}
	if _, is, err := a.publicIncident(t.Context(), private.ID); is || err != nil {
		t.Errorf("trouble at what isn't listed is on the page: %v", err)
	}
	public, is, err := a.publicIncident(t.Context(), "shop-1-1")
	if err != nil || !is || len(public.Updates) != 2 {
		t.Fatalf("%+v, %v", public, err)
	}
	var told []smtptest.Mail // and not the alerts of operators
	waittest.Poll(t, func() bool {
		told = slices.DeleteFunc(smtp.Mails(), func(m smtptest.Mail) bool { return !strings.Contains(m.Text(), "/status/incidents/") })
		return len(told) == 4
	})
	for _, m := range told {
		tag, text := language.Tag(m.Header.Get("Content-Language")), m.Text()
		if strings.Contains(text, "10.1.2.3") || strings.Contains(text, "internal") || !strings.Contains(text, public.Title.In(tag)) {
			t.Errorf("%s\n%s", m.Header.Get("Subject"), text)
		}
		_, page := call(t, a, "GET", "/status/incidents/shop-1-1?lang="+tag.String(), "", "")
		for _, u := range public.Updates[:1] { // each mail has it, as news or as what was before
			for _, said := range []string{u.Stage.Words().In(tag), u.Text.In(tag)} {
				if !strings.Contains(text, said) || !strings.Contains(page, said) {
					t.Errorf("%q isn't in both of the mail and the page:\n%s\n%s", said, text, page)
				}
			}
		}
	}
}

// What a monitor has found is told when it lasts, or once a person has written to it.
func TestAnOutageIsToldOnceItLastsOrAPersonHasWritten(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, func(s *config.Settings) { s.Incidents.Tell = incident.Telling{AutomaticAfter: time.Hour} })
	at := docstore.At(time.Now().Add(-time.Minute))
	outage := incident.Outage{Key: "api-1", Monitor: "api", Title: language.Text{En: "API is down"}, Text: language.Text{En: "It answers 500."}, At: at}
	if err := a.Incidents.Tell(t.Context(), outage); err != nil {
		t.Fatal(err)
	}
	told := func() (all []string) {
		t.Helper()
		i, err := a.Incidents.Incident(t.Context(), "api-1")
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range i.Updates {
			if news, _ := a.Incidents.Telling().News(i, u.ID); len(news) > 0 && !a.Incidents.Telling().At(i, u).After(time.Now()) {
				all = append(all, u.Text.En)
			}
		}
		return all
	}
	if all := told(); all != nil {
		t.Errorf("they are told %q", all)
	}
	if _, err := a.Incidents.Say(t.Context(), "api-1", incident.Saying{Text: language.Text{En: "It is the disk."}}); err != nil {
		t.Fatal(err)
	}
	if all := told(); len(all) != 1 || all[0] != "It is the disk." {
		t.Errorf("they are told %q", all)
	}
}

// An incident that a monitor has opened is called by the page until a person gives it a title, whatever
// that is.
func TestATitleIsThePageSOwnUntilAPersonGivesOne(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, func(s *config.Settings) {
		s.StatusPage.Components = []statuspage.Listed{{ID: "shop", Name: language.Text{En: "The shop", Ar: "المتجر"}, Monitors: []string{"shop-1"}}}
	})
	told := uptime.Told{Monitor: uptime.Monitor{ID: "shop-1"}, Alert: uptime.Alert{ID: "a", Kind: uptime.MonitorDown, Occurrence: "1", At: docstore.At(time.Now()), Title: language.Text{En: "shop-1.internal doesn't answer"}}}
	if err := a.tellMonitor(t.Context(), told); err != nil {
		t.Fatal(err)
	}
	called := func(want string) {
		t.Helper()
		if public, is, err := a.publicIncident(t.Context(), "shop-1-1"); err != nil || !is || public.Title.En != want {
			t.Errorf("it is called %+v, %v", public.Title, err)
		}
	}
	called("The shop: outage")
	severity, title := incident.Minor, "The till is down"
	if _, err := a.Incidents.Change(t.Context(), "shop-1-1", incident.Change{Severity: &severity}); err != nil {
		t.Fatal(err)
	}
	called("The shop: outage")
	if _, err := a.Incidents.Change(t.Context(), "shop-1-1", incident.Change{Title: &title}); err != nil {
		t.Fatal(err)
	}
	called(title)
}
