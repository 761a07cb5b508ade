package channels

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"manus/language"
	"manus/notify"
)

const (
	token = "verysecrettoken_verysecrettoken"
	key   = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	other = "whsec_QUJDREVGMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk="
)

// service is a receiver of the tests: what a channel to it is set to, and what it answers
// when it takes a message.
type service struct {
	config func(base string) notify.ChannelConfig
	status int
	body   string
}

func hooked(kind, path string) func(string) notify.ChannelConfig {
	return func(base string) notify.ChannelConfig {
		return notify.ChannelConfig{ID: "chat", Type: kind, Secret: base + path, AllowPrivate: true}
	}
}

// services are all that are posted to, with the answers that their makers document.
var services = map[string]service{
	"slack":      {hooked("slack", "/services/T0000/B0000/"+token), 200, "ok"},
	"discord":    {hooked("discord", "/api/webhooks/1234567890/"+token), 200, `{"id":"1234","type":0,"content":""}`},
	"teams":      {hooked("teams", "/workflows/0123/triggers/manual/paths/invoke?api-version=1&sig="+token), 202, ""},
	"mattermost": {hooked("mattermost", "/hooks/"+token), 200, "ok"},
	"webhook": {func(base string) notify.ChannelConfig {
		return notify.ChannelConfig{ID: "pager", Type: "webhook", URL: base + "/hook/" + token, Secret: key, AllowPrivate: true}
	}, 204, ""},
	"telegram": {func(base string) notify.ChannelConfig {
		return notify.ChannelConfig{ID: "tg", Type: "telegram", URL: base, Chat: "-1001234567890", Secret: "123456:" + token, AllowPrivate: true}
	}, 200, `{"ok":true,"result":{"message_id":7}}`},
	"ntfy": {func(base string) notify.ChannelConfig {
		return notify.ChannelConfig{ID: "phone", Type: "ntfy", URL: base + "/" + token, Secret: "tk_" + token, AllowPrivate: true}
	}, 200, `{"id":"hwQ2YpKdmg","time":1669760000,"event":"message","topic":"x"}`},
	"pagerduty": {func(base string) notify.ChannelConfig {
		return notify.ChannelConfig{ID: "pd", Type: "pagerduty", URL: base, Secret: strings.ReplaceAll(token, "_", "0") + "0", AllowPrivate: true}
	}, 202, `{"status":"success","message":"Event processed","dedup_key":"x"}`},
}

// eachService runs a test for each of the services.
func eachService(t *testing.T, test func(t *testing.T, s service)) {
	t.Helper()
	for kind, s := range services {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func down() notify.Message {
	return notify.Message{
		ID: "0199-1", Thread: "0199-t", State: notify.Raised, Source: "production (app.example.com)", Kind: "monitor.down", Level: notify.Critical,
		Title: "Down: API", Text: "It has not answered since 03:12.",
		Facts: []notify.Fact{{Name: "Since", Value: "26 November 2026, 03:12 (Europe/Berlin)"}, {Name: "Environment", Value: "production"}},
		Lines: []string{"03:12:05 from Frankfurt: connection refused", "03:12:15 from Frankfurt: connection refused"},
		URL:   "https://app.example.com/console/monitors/api?a=1&b=2", Runbook: "https://wiki.example.com/api-down", Acknowledge: "https://app.example.com/alerts/al_abc",
		At: time.Date(2026, 11, 26, 2, 12, 0, 0, time.UTC), Language: language.English,
	}
}

func downInArabic() notify.Message {
	m := down()
	m.Language, m.Title, m.Text = language.Arabic, "API متوقّف", "لم يُجب منذ الساعة 03:12."
	m.Facts = []notify.Fact{{Name: "منذ", Value: "26 نوفمبر 2026، 03:12 (Europe/Berlin)"}, {Name: "البيئة", Value: "production"}}
	m.Lines = []string{"03:12:05 من فرانكفورت: connection refused", "connection refused من فرانكفورت 03:12:15"}
	return m
}

// over is the end of an alert.
func over(m notify.Message) notify.Message {
	m.ID, m.State, m.Acknowledge, m.Lines = "0199-2", notify.Over, "", nil
	m.Title, m.Text = "Up again: API", "It was down for 12 minutes."
	if m.Language == language.Arabic {
		m.Title, m.Text = "API يعمل من جديد", "كان متوقّفًا 12 دقيقة."
	}
	return m
}

func digest(m notify.Message) notify.Message {
	m.ID, m.Thread, m.State, m.Kind, m.Level, m.Facts, m.Acknowledge, m.Runbook = "0199-3", "", notify.Digest, "digest", notify.Warning, nil, "", ""
	m.Title, m.Text = "14 alerts in 10 minutes", "These were not sent one by one."
	m.Lines = []string{"Down: API", "Down: Shop", "New error: TypeError: x is undefined (41,000 events)"}
	if m.Language == language.Arabic {
		m.Title, m.Text = "14 تنبيهًا في 10 دقائق", "لم تُرسل واحدًا واحدًا."
		m.Lines = []string{"API متوقّف", "المتجر متوقّف", "خطأ جديد: TypeError: x is undefined (41,000 حدث)"}
	}
	return m
}

// storm is a digest of errors of programs.
func storm(m notify.Message) notify.Message {
	m = digest(m)
	m.Level = notify.Error
	m.Title, m.Text = "3 bugs, 41,212 events, 4 releases, 2 projects", "14 alerts that were held back."
	m.Facts = []notify.Fact{{Name: "issue.new", Value: "3"}, {Name: "issue.spike", Value: "11"}, {Name: "Since", Value: "2026-11-26 03:12 CET"}, {Name: "Level", Value: "error"}, {Name: "Installation", Value: "production (app.example.com)"}}
	m.Lines = []string{
		"41,000 events, 3 releases — SHOP-4F7K2 — TypeError: Cannot read properties of undefined (reading 'id') (shop)",
		"211 events, 1 release — WAREHOUSE-9QX3M — ConnectionRefusedError: [Errno 111] Connection refused while asking inventory.internal.example.com for the stock of an article (warehouse)",
		"1 event — SHOP-1A2B3 — *errors.errorString: tea is out (shop)",
	}
	if m.Language == language.Arabic {
		m.Title, m.Text = "3 أخطاء، 41,212 حدثًا، 4 إصدارات، مشروعان", "14 تنبيهًا أُرجئ."
		m.Facts[2], m.Facts[3], m.Facts[4] = notify.Fact{Name: "منذ", Value: "26 نوفمبر 2026، الساعة 03:12 بتوقيت Europe/Berlin"}, notify.Fact{Name: "المستوى", Value: "خطأ"}, notify.Fact{Name: "التثبيت", Value: "production (app.example.com)"}
		m.Lines = []string{
			"41,000 حدث، 3 إصدارات — \u2068SHOP-4F7K2\u2069 — \u2068TypeError: Cannot read properties of undefined (reading 'id') (shop)\u2069",
			"211 حدثًا، إصدار واحد — \u2068WAREHOUSE-9QX3M\u2069 — \u2068ConnectionRefusedError: [Errno 111] Connection refused while asking inventory.internal.example.com for the stock of an article (warehouse)\u2069",
			"حدث واحد — \u2068SHOP-1A2B3\u2069 — \u2068*errors.errorString: tea is out (shop)\u2069",
		}
	}
	return m
}

// ends is a digest of what is over of another one.
func ends(m notify.Message) notify.Message {
	m = digest(m)
	m.ID, m.Follows, m.Level, m.AllOver = "0199-6", "0199-3", notify.Info, true
	m.Title, m.Text, m.Lines = "2 alerts are over", "An earlier message has told that they began.", []string{"Resolved: Down: API", "Resolved: Down: Shop"}
	if m.Language == language.Arabic {
		m.Title, m.Text, m.Lines = "انتهى تنبيهان", "سبق أن أُبلغ ببدايتها في رسالة سابقة.", []string{"انتهى: API متوقّف", "انتهى: المتجر متوقّف"}
	}
	return m
}

// one is the only part of a channel.
func one(t *testing.T, c notify.ChannelConfig, d Dependencies) *poster {
	t.Helper()
	parts, err := New(c, d)
	if err != nil || len(parts) != 1 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	return parts[0].(*poster)
}

// to is a channel to a server.
func to(t *testing.T, s service, handler http.HandlerFunc) *poster {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return one(t, s.config(server.URL), Dependencies{Version: "1.2.3"})
}

func (s service) take(w http.ResponseWriter) {
	w.WriteHeader(s.status)
	_, _ = w.Write([]byte(s.body))
}

func TestAGoodChannelHasNoProblems(t *testing.T) {
	t.Parallel()
	for kind, s := range services {
		c := s.config("https://example.com")
		c.AllowPrivate = false
		if problems := Problems(c); len(problems) > 0 {
			t.Errorf("%s: %q", kind, problems)
		}
	}
	for _, c := range []notify.ChannelConfig{
		{ID: "mail", Type: "mail", To: []string{"ops@example.com", "Amal <amal@example.com>"}},
		{ID: "webhook", Type: "webhook", URL: "https://example.com", Secret: key + ", " + other},
		{ID: "ntfy", Type: "ntfy", URL: "https://ntfy.sh/topic"},
		{ID: "tg", Type: "telegram", Chat: "@manus_alerts", Secret: "123456:" + token},
		{ID: "own", Type: "webhook", URL: "http://10.0.0.9:8080/", Secret: key, AllowPrivate: true},
		{ID: "teams", Type: "teams", Secret: "https://prod-12.westeurope.logic.azure.com:443/workflows/0123/triggers/manual/paths/invoke?sig=x"},
	} {
		if problems := Problems(c); len(problems) > 0 {
			t.Errorf("%s: %q", c.ID, problems)
		}
	}
}

func TestWhatIsWrongWithAChannelIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config notify.ChannelConfig
		want   string
	}{
		{notify.ChannelConfig{ID: "x", Type: "sms"}, "alerts.channels.x.type: use mail, slack, webhook, discord, telegram, teams, mattermost, ntfy or pagerduty"},
		{notify.ChannelConfig{ID: "x", Type: "webhook"}, "alerts.channels.x.url: is missing; use an https address without a password in it (http is for ALLOW_PRIVATE_TARGETS=true)|ALERT_X_SECRET: is missing; set it to 'whsec_' and 24 to 64 random bytes in base64, or two of these with a comma between"},
		{notify.ChannelConfig{ID: "webhook", Type: "webhook", URL: "http://example.com/" + token, Secret: key}, "ALERT_WEBHOOK_URL: use an https address without a password in it (http is for ALLOW_PRIVATE_TARGETS=true)"},
		{notify.ChannelConfig{ID: "own-hook", Type: "webhook", URL: "https://user:" + token + "@example.com/", Secret: token, AllowPrivate: true}, "alerts.channels.own-hook.url: use an https address without a password in it, or an http one|ALERT_OWN_HOOK_SECRET: set it to 'whsec_' and 24 to 64 random bytes in base64, or two of these with a comma between"},
		{notify.ChannelConfig{ID: "x", Type: "webhook", URL: "https://example.com", Secret: key + "," + key + "," + key}, "ALERT_X_SECRET: set it to 'whsec_' and 24 to 64 random bytes in base64, or two of these with a comma between"},
		{notify.ChannelConfig{ID: "x", Type: "webhook", URL: "https://example.com", Secret: "whsec_c2hvcnQ="}, "ALERT_X_SECRET: set it to 'whsec_' and 24 to 64 random bytes in base64, or two of these with a comma between"},
		{notify.ChannelConfig{ID: "slack", Type: "slack", URL: "https://hooks.slack.com/services/" + token}, "alerts.channels.slack.url: is a secret of Slack; take it out and set SLACK_WEBHOOK_URL|SLACK_WEBHOOK_URL: is missing; set it to the https address of an incoming webhook, https://hooks.slack.com/services/…; those of workflows are something else"},
		{notify.ChannelConfig{ID: "slack", Type: "slack", Secret: "https://hooks.slack.com/triggers/" + token}, "SLACK_WEBHOOK_URL: set it to the https address of an incoming webhook, https://hooks.slack.com/services/…; those of workflows are something else"},
		{notify.ChannelConfig{ID: "x", Type: "mattermost", Secret: "chat.example.com/hooks/" + token}, "ALERT_X_SECRET: set it to the https address of an incoming webhook"},
		{notify.ChannelConfig{ID: "mail", Type: "mail"}, "ALERT_EMAIL: list the e-mail addresses to write to"},
		{notify.ChannelConfig{ID: "ops", Type: "mail", To: []string{"ops@example.com", "ops"}, Chat: "1", Secret: token}, "alerts.channels.ops.to: use e-mail addresses like ops@example.com|alerts.channels.ops.chat: is for Telegram; take it out|ALERT_OPS_SECRET: isn't used by mail; remove it"},
		{notify.ChannelConfig{ID: "ops", Type: "mail", To: []string{"ops@example.com\r\nBcc: x@example.com"}}, "alerts.channels.ops.to: use e-mail addresses like ops@example.com"},
		{notify.ChannelConfig{ID: "ops", Type: "mail", To: make([]string, 21)}, "alerts.channels.ops.to: list at most 20 addresses|alerts.channels.ops.to: use e-mail addresses like ops@example.com"},
		{notify.ChannelConfig{ID: "x", Type: "telegram", Chat: "my chat", Secret: token}, "alerts.channels.x.chat: use the chat's id, a number such as -1001234567890, or a public channel's @name|ALERT_X_SECRET: set it to a bot's token, such as 123456:ABC…"},
		{notify.ChannelConfig{ID: "x", Type: "teams", Secret: "https://acme.webhook.office.com/webhookb2/" + token}, "ALERT_X_SECRET: set it to the https address of a workflow that begins with a Teams webhook request; connectors (webhook.office.com) have ended"},
		{notify.ChannelConfig{ID: "x", Type: "ntfy", URL: "https://ntfy.sh/", Secret: "a b"}, "alerts.channels.x.url: use the topic's https address, such as https://ntfy.sh/topic (http is for ALLOW_PRIVATE_TARGETS=true)|ALERT_X_SECRET: set it to an access token, such as tk_…"},
		{notify.ChannelConfig{ID: "x", Type: "webhook", URL: "https://169.254.169.254/" + token, Secret: key, AllowPrivate: true}, "alerts.channels.x.url: is a link-local or metadata address, which is never dialled"},
		{notify.ChannelConfig{ID: "x", Type: "ntfy", URL: "https://[::ffff:169.254.169.254]:8443/topic", AllowPrivate: true}, "alerts.channels.x.url: is a link-local or metadata address, which is never dialled"},
		{notify.ChannelConfig{ID: "x", Type: "webhook", URL: "https://10.1.2.3/" + token, Secret: key}, "alerts.channels.x.url: is an address of a private network, which isn't dialled (ALLOW_PRIVATE_TARGETS=true lets it, and private: true a monitor)"},
		{notify.ChannelConfig{ID: "x", Type: "mattermost", Secret: "http://0.0.0.0/hooks/" + token, AllowPrivate: true}, "ALERT_X_SECRET: is an address that no server has on the internet or in a private network, which is never dialled"},
		{notify.ChannelConfig{ID: "x", Type: "pagerduty", Secret: "short" + token, To: []string{"a@example.com"}}, "alerts.channels.x.to: is for mail; take it out|ALERT_X_SECRET: set it to the integration key of an Events API v2 integration, 32 letters and digits"},
	} {
		got := strings.Join(Problems(c.config), "|")
		if got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.config, got, c.want)
		}
		if strings.Contains(got, token) {
			t.Errorf("a secret is told: %s", got)
		}
		if _, err := New(c.config, Dependencies{}); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("New: %v", err)
		}
	}
}

func TestWhichTypesHaveAQuietTest(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{"webhook": true, "ntfy": true, "telegram": true, "discord": true, "pagerduty": true, "mail": false, "slack": false, "teams": false, "mattermost": false, "": false} {
		if HasQuietTest(kind) != want {
			t.Errorf("%s: %v", kind, !want)
		}
	}
}
