package channels

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"manus/language"
	"manus/notify"
)

// posting is a request as it came.
type posting struct {
	url    string
	header http.Header
	body   []byte
}

// post sends messages to a server that takes them, and returns what came.
func post(t *testing.T, kind string, messages ...notify.Message) []posting {
	t.Helper()
	var came []posting
	channel := to(t, services[kind], func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		came = append(came, posting{r.URL.String(), r.Header, body})
		services[kind].take(w)
	})
	channel.pace.every = 0
	for _, m := range messages {
		if err := channel.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	return came
}

// same compares JSON with what is wanted of it.
func same(t *testing.T, got []byte, want string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatal(err)
	}
	x, _ := json.MarshalIndent(a, "", " ")
	y, _ := json.MarshalIndent(b, "", " ")
	if string(x) != string(y) {
		t.Errorf("got %s\nwant %s", x, y)
	}
}

func TestSlack(t *testing.T) {
	t.Parallel()
	m := down()
	m.Title, m.Text = "Down: A&B <!channel>", "It's *bold* <!here> & @everyone"
	came := post(t, "slack", m)[0]
	same(t, came.body, `{
		"text": "Down: A&amp;B &lt;!channel&gt;",
		"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "Down: A&B <!channel>", "emoji": false}}],
		"attachments": [{"color": "#b3261e", "fallback": "Down: A&amp;B &lt;!channel&gt;", "blocks": [
			{"type": "section", "text": {"type": "plain_text", "text": "It's *bold* <!here> & @everyone", "emoji": false}},
			{"type": "section", "fields": [
				{"type": "mrkdwn", "text": "*Since*\n26 November 2026, 03:12 (Europe/Berlin)", "verbatim": true},
				{"type": "mrkdwn", "text": "*Environment*\nproduction", "verbatim": true}]},
			{"type": "section", "text": {"type": "plain_text", "emoji": false, "text": "What was tried:\n• 03:12:05 from Frankfurt: connection refused\n• 03:12:15 from Frankfurt: connection refused"}},
			{"type": "section", "text": {"type": "mrkdwn", "verbatim": true, "text": "<https://app.example.com/console/monitors/api?a=1&amp;b=2|Details>  ·  <https://wiki.example.com/api-down|Runbook>  ·  <https://app.example.com/alerts/al_abc|Acknowledge>"}},
			{"type": "context", "elements": [{"type": "plain_text", "text": "monitor.down", "emoji": false}]}]}],
		"unfurl_links": false, "unfurl_media": false}`)
	if came.url != "/services/T0000/B0000/"+token {
		t.Errorf("it went to %s", came.url)
	}
}

func TestDiscord(t *testing.T) {
	t.Parallel()
	m := down()
	m.Title, m.Text = "Down: A_B @everyone", "<@1234> [x](https://evil.example.com) **bold**"
	came := post(t, "discord", m)[0]
	same(t, came.body, `{"allowed_mentions": {"parse": []}, "embeds": [{
		"title": "Down\\: A\\_B \\@everyone", "url": "https://app.example.com/console/monitors/api?a=1&b=2", "color": 11740702,
		"description": "\\<\\@1234\\> \\[x\\]\\(https\\://evil.example.com\\) \\*\\*bold\\*\\*\n\n**What was tried**\n• 03\\:12\\:05 from Frankfurt\\: connection refused\n• 03\\:12\\:15 from Frankfurt\\: connection refused\n\n[Details](https://app.example.com/console/monitors/api?a=1&b=2) · [Runbook](https://wiki.example.com/api-down) · [Acknowledge](https://app.example.com/alerts/al_abc)",
		"fields": [{"name": "Since", "value": "26 November 2026, 03\\:12 \\(Europe/Berlin\\)", "inline": true}, {"name": "Environment", "value": "production", "inline": true}],
		"footer": {"text": "monitor.down"}, "timestamp": "2026-11-26T02:12:00Z"}]}`)
	if came.url != "/api/webhooks/1234567890/"+token+"?wait=true" {
		t.Errorf("it went to %s", came.url)
	}
}

func TestTelegram(t *testing.T) {
	t.Parallel()
	m := down()
	m.Title = "Down: 💥 <b>@amal</b>"
	came := post(t, "telegram", m)[0]
	same(t, came.body, `{"chat_id": "-1001234567890", "link_preview_options": {"is_disabled": true},
		"entities": [{"type": "bold", "offset": 0, "length": 22}],
		"text": "Down: 💥 <b>@\u200bamal</b>\n\nIt has not answered since 03:12.\n\nSince: 26 November 2026, 03:12 (Europe/Berlin)\nEnvironment: production\n\nWhat was tried:\n- 03:12:05 from Frankfurt: connection refused\n- 03:12:15 from Frankfurt: connection refused\n\nDetails:\nhttps://app.example.com/console/monitors/api?a=1&b=2\nRunbook:\nhttps://wiki.example.com/api-down\nAcknowledge:\nhttps://app.example.com/alerts/al_abc"}`)
	if came.url != "/bot123456:"+token+"/sendMessage" {
		t.Errorf("it went to %s", came.url)
	}
}

func TestTeams(t *testing.T) {
	t.Parallel()
	m := down()
	m.Lines = m.Lines[:1]
	came := post(t, "teams", m)[0]
	line := func(runs string) string {
		return `{"type": "RichTextBlock", "horizontalAlignment": "left", "inlines": [` + runs + `]}`
	}
	small := func(spacing, runs string) string {
		return strings.Replace(line(runs), `"type"`, `"spacing": "`+spacing+`", "type"`, 1)
	}
	same(t, came.body, `{"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": {
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "lang": "en", "fallbackText": "Down: API", "msteams": {"width": "Full"},
		"body": [
			{"type": "Container", "style": "attention", "bleed": true, "items": [`+line(`{"type": "TextRun", "text": "Down: API", "size": "medium", "weight": "bolder"}`)+`]},
			`+line(`{"type": "TextRun", "text": "It has not answered since 03:12."}`)+`,
			`+small("small", `{"type": "TextRun", "text": "Since: ", "weight": "bolder"}, {"type": "TextRun", "text": "26 November 2026, 03:12 (Europe/Berlin)"}`)+`,
			`+small("small", `{"type": "TextRun", "text": "Environment: ", "weight": "bolder"}, {"type": "TextRun", "text": "production"}`)+`,
			`+line(`{"type": "TextRun", "text": "What was tried", "weight": "bolder"}`)+`,
			`+small("none", `{"type": "TextRun", "text": "• 03:12:05 from Frankfurt: connection refused"}`)+`,
			`+line(`{"type": "TextRun", "text": "monitor.down", "size": "small", "isSubtle": true}`)+`],
		"actions": [
			{"type": "Action.OpenUrl", "title": "Details", "url": "https://app.example.com/console/monitors/api?a=1&b=2"},
			{"type": "Action.OpenUrl", "title": "Runbook", "url": "https://wiki.example.com/api-down"},
			{"type": "Action.OpenUrl", "title": "Acknowledge", "url": "https://app.example.com/alerts/al_abc"}]}}]}`)
	if came.url != "/workflows/0123/triggers/manual/paths/invoke?api-version=1&sig="+token {
		t.Errorf("it went to %s", came.url)
	}
}

func TestMattermost(t *testing.T) {
	t.Parallel()
	m := down()
	m.Title, m.Text, m.Lines, m.Runbook, m.Acknowledge = "Down: A_B @channel", "@all: **bold** # 1. x", nil, "", ""
	came := post(t, "mattermost", m)[0]
	same(t, came.body, `{"attachments": [{
		"fallback": "Down: A_B @\u200bchannel", "color": "#b3261e", "title": "Down: A_B @\u200bchannel", "title_link": "https://app.example.com/console/monitors/api?a=1&b=2",
		"text": "@\u200ball\\: \\*\\*bold\\*\\* \\# 1\\. x\n\n[Details](https://app.example.com/console/monitors/api?a=1&b=2)",
		"fields": [{"short": true, "title": "Since", "value": "26 November 2026, 03\\:12 \\(Europe/Berlin\\)"}, {"short": true, "title": "Environment", "value": "production"}],
		"footer": "monitor.down"}]}`)
}

func TestNtfy(t *testing.T) {
	t.Parallel()
	came := post(t, "ntfy", down())[0]
	same(t, came.body, `{"topic": "`+token+`", "title": "Down: API", "priority": 5, "tags": ["rotating_light"], "click": "https://app.example.com/console/monitors/api?a=1&b=2",
		"message": "It has not answered since 03:12.\n\nSince: 26 November 2026, 03:12 (Europe/Berlin)\nEnvironment: production\n\nWhat was tried:\n- 03:12:05 from Frankfurt: connection refused\n- 03:12:15 from Frankfurt: connection refused",
		"actions": [
			{"action": "view", "label": "Details", "url": "https://app.example.com/console/monitors/api?a=1&b=2"},
			{"action": "view", "label": "Runbook", "url": "https://wiki.example.com/api-down"},
			{"action": "view", "label": "Acknowledge", "url": "https://app.example.com/alerts/al_abc"}]}`)
	if came.url != "/" || came.header.Get("Authorization") != "Bearer tk_"+token {
		t.Errorf("%s %v", came.url, came.header)
	}
}

func TestPagerDutyHasOneIncidentOfAnOccurrence(t *testing.T) {
	t.Parallel()
	again, passed, test := down(), down(), down()
	again.ID, again.State = "0199-5", notify.Reminder
	passed.State, test.State = notify.Passed, notify.Test
	came := post(t, "pagerduty", down(), again, over(down()), passed, test, digest(down()), ends(down()))
	routing := `"routing_key": "` + strings.ReplaceAll(token, "_", "0") + `0"`
	same(t, came[0].body, `{`+routing+`, "event_action": "trigger", "dedup_key": "0199-t", "client": "Manus", "client_url": "https://app.example.com/console/monitors/api?a=1&b=2",
		"links": [{"href": "https://app.example.com/console/monitors/api?a=1&b=2", "text": "Details"}, {"href": "https://wiki.example.com/api-down", "text": "Runbook"}, {"href": "https://app.example.com/alerts/al_abc", "text": "Acknowledge"}],
		"payload": {"summary": "Down: API", "source": "production (app.example.com)", "severity": "critical", "class": "monitor.down", "timestamp": "2026-11-26T02:12:00Z", "custom_details": {
			"details": "It has not answered since 03:12.\n\nSince: 26 November 2026, 03:12 (Europe/Berlin)\nEnvironment: production\n\nWhat was tried:\n- 03:12:05 from Frankfurt: connection refused\n- 03:12:15 from Frankfurt: connection refused"}}}`)
	same(t, came[2].body, `{`+routing+`, "event_action": "resolve", "dedup_key": "0199-t"}`)
	for i, want := range []string{"/v2/enqueue trigger 0199-t", "/v2/enqueue trigger 0199-t", "/v2/enqueue resolve 0199-t", "/v2/enqueue resolve 0199-t", "/v2/change/enqueue  ", "/v2/enqueue trigger 0199-3", "/v2/change/enqueue  "} {
		var event pagerDutyEvent
		if err := json.Unmarshal(came[i].body, &event); err != nil {
			t.Fatal(err)
		}
		if got := came[i].url + " " + event.Action + " " + event.DedupKey; got != want {
			t.Errorf("%d: %q, want %q", i, got, want)
		}
	}
}

func TestAWebhookIsSignedAsTheStandardSays(t *testing.T) {
	t.Parallel()
	var attempts []http.Header
	clock := time.Now()
	config := services["webhook"].config("")
	config.Secret = key + ", " + other
	channel := to(t, service{config: func(base string) notify.ChannelConfig {
		config.URL = base + "/hook"
		return config
	}}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, secret := range []string{key, other} {
			verifier, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				t.Error(err)
			}
			if err := verifier.Verify(body, r.Header); err != nil {
				t.Errorf("not verified: %v", err)
			}
			if verifier.Verify(append(body, ' '), r.Header) == nil {
				t.Error("another body is verified too")
			}
		}
		attempts = append(attempts, r.Header)
		w.WriteHeader(http.StatusInternalServerError)
	})
	for range 2 {
		if channel.Send(t.Context(), down()) == nil {
			t.Error("it is taken for sent")
		}
	}
	for _, header := range attempts {
		if header.Get("webhook-id") != "0199-1" || len(strings.Fields(header.Get("webhook-signature"))) != 2 || header.Get("webhook-timestamp") < fmt.Sprint(clock.Unix()) {
			t.Errorf("got %v", header)
		}
	}
}

// The vector is that of the standard's specification and of its other libraries.
func TestTheStandardsOwnSignature(t *testing.T) {
	t.Parallel()
	sign := signer([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	if got := sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("got %s", got)
	}
}

func TestAWebhookHasEveryFieldOfTheMessage(t *testing.T) {
	t.Parallel()
	came := post(t, "webhook", down(), notify.Message{ID: "0199-9", State: notify.Test}, notify.Message{ID: "0199-10", State: notify.Digest, Lines: []string{"one"}, LinesLeft: 32})
	same(t, came[0].body, `{"type": "alert.raised", "timestamp": "2026-11-26T02:12:00Z", "data": {
		"id": "0199-1", "thread": "0199-t", "follows": "", "state": "raised", "kind": "monitor.down", "level": "critical", "title": "Down: API", "text": "It has not answered since 03:12.",
		"facts": [{"name": "Since", "value": "26 November 2026, 03:12 (Europe/Berlin)"}, {"name": "Environment", "value": "production"}],
		"lines": ["03:12:05 from Frankfurt: connection refused", "03:12:15 from Frankfurt: connection refused"], "lines_left": 0,
		"url": "https://app.example.com/console/monitors/api?a=1&b=2", "runbook": "https://wiki.example.com/api-down", "acknowledge": "https://app.example.com/alerts/al_abc",
		"at": "2026-11-26T02:12:00Z", "language": "en"}}`)
	if body := string(came[1].body); !strings.Contains(body, `"type":"alert.test"`) || !strings.Contains(body, `"facts":[],"lines":[]`) {
		t.Errorf("got %s", body)
	}
	if body := string(came[2].body); !strings.Contains(body, `"lines":["one"],"lines_left":32`) {
		t.Errorf("a digest is %s", body)
	}
}

func TestADigestOfEndsLooksLikeAnEnd(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"slack": `"color":"#009e73"`, "discord": `"color":40563`, "mattermost": `"color":"#009e73"`, "teams": `"style":"good"`,
		"ntfy": `"white_check_mark"`, "pagerduty": `"summary":"2 alerts are over"`, "webhook": `"follows":"0199-3","state":"digest","kind":"digest","level":"info"`,
	} {
		if body := string(post(t, kind, ends(down()))[0].body); !strings.Contains(body, want) {
			t.Errorf("%s: %s", kind, body)
		}
	}
}

func TestATestAsksForNobodysAttention(t *testing.T) {
	t.Parallel()
	m := down()
	m.State = notify.Test
	for kind, want := range map[string]string{"telegram": `"disable_notification":true`, "discord": `"flags":4096`, "ntfy": `"priority":1`, "webhook": `"type":"alert.test"`, "pagerduty": `"source":"production (app.example.com)"`} {
		came := post(t, kind, m)[0]
		if !strings.Contains(string(came.body), want) || kind == "pagerduty" && came.url != "/v2/change/enqueue" {
			t.Errorf("%s: %s %s", kind, came.url, came.body)
		}
	}
}

// huge is longer than anything takes, of characters that are long in every way.
func huge(tag language.Tag) notify.Message {
	m := down()
	m.Language = tag
	long := strings.Repeat("<&@ \\*💥\u0301الـ\u202e\x00\"'", 10000)
	m.Title, m.Text, m.Kind = long, long+"\n\n"+long, "monitor.down"
	for range 300 {
		m.Facts = append(m.Facts, notify.Fact{Name: long, Value: long})
		m.Lines = append(m.Lines, long)
	}
	m.URL = "https://app.example.com/?" + strings.Repeat("&", 170)
	m.Runbook = "https://wiki.example.com/" + strings.Repeat("x", 5000)
	return m
}

func TestWhatIsTooLongIsCutToEachReceiversLimits(t *testing.T) {
	t.Parallel()
	for _, tag := range []language.Tag{language.English, language.Arabic} {
		m := huge(tag)
		for kind := range services {
			body := post(t, kind, m)[0].body
			if problem := overLimit(kind, body); problem != "" || !strings.Contains(string(body), "https://app.example.com/alerts/al_abc") {
				t.Errorf("%s, %s: %s (%d bytes)", kind, tag, problem, len(body))
			}
			if strings.ContainsAny(string(body), overrides) || strings.Contains(string(body), `\u0000`) || !utf8.Valid(body) {
				t.Errorf("%s, %s: what can't be seen was sent", kind, tag)
			}
		}
	}
}

// overLimit is where a body is longer than a receiver's documentation allows.
func overLimit(kind string, body []byte) string {
	within := func(what, text string, least, most int) string {
		if n := units(text); n < least || n > most {
			return fmt.Sprintf("%s has %d", what, n)
		}
		return ""
	}
	switch kind {
	case "slack":
		var m slackMessage
		_ = json.Unmarshal(body, &m)
		problems := []string{within("header", m.Blocks[0].Text.Text, 1, 150)}
		if n := len(m.Blocks) + len(m.Attachments[0].Blocks); n > 50 {
			return fmt.Sprint(n, " blocks")
		}
		for _, block := range m.Attachments[0].Blocks {
			if block.Text != nil {
				problems = append(problems, within("text", block.Text.Text, 1, 3000))
			}
			for _, field := range block.Fields {
				problems = append(problems, within("field", field.Text, 1, 2000))
			}
			if len(block.Fields) > 10 || len(block.Elements) > 10 {
				return "fields"
			}
		}
		return cmp.Or(problems...)
	case "discord":
		var m discordMessage
		_ = json.Unmarshal(body, &m)
		e := m.Embeds[0]
		all := units(e.Title + e.Description + e.Footer.Text)
		problems := []string{within("title", e.Title, 1, 256), within("description", e.Description, 0, 4096), within("url", e.URL, 0, 2048)}
		for _, f := range e.Fields {
			problems = append(problems, within("name", f.Name, 1, 256), within("value", f.Value, 1, 1024))
			all += units(f.Name + f.Value)
		}
		if all > 6000 || len(e.Fields) > 25 {
			return fmt.Sprint(all, " in all, ", len(e.Fields), " fields")
		}
		return cmp.Or(problems...)
	case "telegram":
		var m telegramMessage
		_ = json.Unmarshal(body, &m)
		return within("text", m.Text, 1, 4096)
	case "teams":
		return within("card", strings.Repeat("x", len(body)), 1, 28000)
	case "mattermost":
		return within("message", string(body), 1, 7600)
	case "ntfy":
		var m ntfyMessage
		_ = json.Unmarshal(body, &m)
		return cmp.Or(within("message", strings.Repeat("x", len(m.Message)), 1, 4096), within("title", strings.Repeat("x", len(m.Title)), 1, 250), within("actions", strings.Repeat("x", len(m.Actions)), 0, 3))
	case "pagerduty":
		var m pagerDutyEvent
		_ = json.Unmarshal(body, &m)
		return cmp.Or(within("summary", m.Payload.Summary, 1, 1024), within("event", strings.Repeat("x", len(body)), 1, 500<<10))
	}
	return ""
}

func TestWhatWasLeftOutIsSaid(t *testing.T) {
	t.Parallel()
	m := digest(down())
	m.Lines, m.LinesLeft = nil, 5
	for n := range 100 {
		m.Lines = append(m.Lines, fmt.Sprint("Down: monitor ", n))
	}
	if text := tidy(m).plainText(); !strings.Contains(text, "- Down: monitor 59\n- … and 45 more") {
		t.Errorf("got %s", text)
	}
	m.Language = language.Arabic
	if text := tidy(m).plainText(); !strings.Contains(text, "… و45 غيرها") {
		t.Errorf("got %s", text)
	}
	short := shortened(tidy(m), draft.plainText, func(text string) bool { return len(text) < 600 })
	left := fmt.Sprintf("… و%d غيرها", 105-strings.Count(short, "monitor "))
	if !strings.Contains(short, left) || !strings.Contains(short, m.Title) || !strings.Contains(short, m.URL) {
		t.Errorf("without %q: %s", left, short)
	}
}

func TestALinkThatIsNoneIsToldAsAFact(t *testing.T) {
	t.Parallel()
	m := down()
	m.URL, m.Runbook, m.Acknowledge = "javascript:alert(1)", "the red folder", "https://wiki.example.com/دليل"
	d := tidy(m)
	if d.URL != "" || d.Runbook != "" || d.Acknowledge != "https://wiki.example.com/%D8%AF%D9%84%D9%8A%D9%84" {
		t.Errorf("%q %q %q", d.URL, d.Runbook, d.Acknowledge)
	}
	if !slices.Contains(d.Facts, notify.Fact{Name: "Runbook", Value: "the red folder"}) || !slices.Contains(d.Facts, notify.Fact{Name: "Details", Value: "javascript:alert(1)"}) {
		t.Errorf("the facts are %q", d.Facts)
	}
	for _, address := range []string{"https://", "//example.com", "https://example.com/a b|c>", "http://example.com/?q=\u202e", "https://ex ample.com", "ftp://example.com", strings.Repeat("https://example.com/", 100)} {
		if page := asPage(address); strings.ContainsAny(page, " |<>\u202e") || len(page) > maxLink {
			t.Errorf("%q is linked as %q", address, page)
		}
	}
}

func TestArabicRunsFromTheRight(t *testing.T) {
	t.Parallel()
	m := downInArabic()
	m.Text += "\n\nRedis متوقّف أيضًا.\nMongoDB يعمل."
	text := tidy(m).plainText()
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && !strings.HasPrefix(line, "\u200f") && !strings.HasPrefix(line, "https://") {
			t.Errorf("the line %q may run from the left", line)
		}
	}
	if !strings.Contains(text, "البيئة: \u2068production\u2069") {
		t.Errorf("a value isn't isolated: %q", text)
	}
	for kind := range services {
		if kind != "webhook" && kind != "pagerduty" { // programs, and one that is read as a line
			if body := string(post(t, kind, downInArabic())[0].body); !strings.Contains(body, "\u200fAPI متوقّف") {
				t.Errorf("%s: %s", kind, body)
			}
		}
	}
	if text := tidy(down()).plainText(); strings.ContainsAny(text, "\u200f"+isolates) {
		t.Errorf("English has marks: %q", text)
	}
}

// TestIsolatesEndInTheirLine: one that stays open would turn around all that comes after it.
func TestIsolatesEndInTheirLine(t *testing.T) {
	t.Parallel()
	m := down()
	m.Title, m.Text = "a\u2066b\u2068c", "\u2069d\u2067e\n\u2069f \u2068g\u2069"
	if d := tidy(m); d.Title != "a\u2066b\u2068c\u2069\u2069" || d.Text != "d\u2067e\u2069\nf \u2068g\u2069" {
		t.Errorf("it is told as %q and %q", d.Title, d.Text)
	}
}

// FuzzTexts looks for a text that becomes more than text anywhere.
func FuzzTexts(f *testing.F) {
	for _, text := range []string{"<!channel>", "<https://evil.example.com|x>", "&lt;!here&gt;", "@everyone @here @all @channel", "<@U123>", "[x](https://evil.example.com)", "**b** __i__ `c` ||s|| > q\n# h", `\`, `\\@everyone`, "\u202etxt.exe", "a\x00b", "</title><script>alert(1)</script>", "<b>&amp;", "💥\u0301", "ا\u2069ب\u2066", "a\u200bb\ufeffc", "{{DATE(2026-01-01T00:00:00Z)}}", "\r\nBcc: x@example.com", strings.Repeat("&", 5000)} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, arabic bool) {
		m := down()
		if m.Title, m.Text, m.Kind = text, text, text; arabic {
			m.Language = language.Arabic
		}
		m.Facts, m.Lines = []notify.Fact{{Name: text, Value: text}}, []string{text}
		d := tidy(m)
		if strings.ContainsAny(d.Title+d.Text, overrides+"\u200b\u2060\ufeff\x00\r") || strings.Contains(d.Title, "\n") || d.Title == "" {
			t.Errorf("%q is told as %q", text, d.Title)
		}
		slack, _ := json.Marshal(slackMessageOf(d))
		discord := shortened(d, discordMessageOf, fitsDiscord)
		mattermost := mattermostMessageOf(d)
		checkSlack(t, slackMessageOf(d))
		for kind, body := range map[string][]byte{"slack": slack, "discord": encode(discord), "telegram": encode(telegramMessageOf(d, "1")), "ntfy": encode(ntfyMessageOf(d, "t"))} {
			if problem := overLimit(kind, body); problem != "" {
				t.Errorf("%s: %s of %q", kind, problem, text)
			}
		}
		for _, part := range []string{mattermost.Attachments[0].Title, mattermost.Attachments[0].Text, mattermost.Attachments[0].Fallback, telegramMessageOf(d, "1").Text} {
			if regexp.MustCompile(`@[^\x{200b}]`).MatchString(part) {
				t.Errorf("%q mentions somebody: %q", text, part)
			}
		}
		if regexp.MustCompile(`(^|[^\\])(\\\\)*[<@*]`).MatchString(discord.Embeds[0].Title) {
			t.Errorf("%q is more than text: %q", text, discord.Embeds[0].Title)
		}
		html, _, err := mailTexts(d)
		if err != nil || strings.Contains(html, "<script") || strings.Count(html, "<a ") != 3 || strings.Count(html, "<h1 ") != 1 {
			t.Errorf("%q in HTML: %v, %s", text, err, html)
		}
		if s := subject(m); len(s) > maxSubject || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' }) {
			t.Errorf("the subject %q", s)
		}
	})
}

// checkSlack looks for what in mrkdwn is more than text.
func checkSlack(t *testing.T, m slackMessage) {
	t.Helper()
	texts := []string{m.Text, m.Attachments[0].Fallback}
	for _, block := range m.Attachments[0].Blocks {
		for _, field := range block.Fields {
			texts = append(texts, field.Text)
		}
	}
	for _, text := range texts {
		if strings.ContainsAny(text, "<>") || regexp.MustCompile(`&([^algt]|$)`).MatchString(text) {
			t.Errorf("Slack reads more than text in %q", text)
		}
	}
}
