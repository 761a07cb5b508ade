package channels

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"manus/notify"
)

// Slack's limits of an incoming webhook's message, in characters.
const (
	slackHeader  = 150
	slackText    = 3000
	slackField   = 2000
	slackFields  = 10 // of one section
	slackEvery   = time.Second
	slackTaken   = "ok"
	slackPreview = 300
)

// slackUnusable are Slack's errors that a webhook has for good, whatever their status.
var slackUnusable = []string{"invalid_token", "no_active_hooks", "no_service", "no_team", "team_disabled", "channel_not_found", "channel_is_archived", "action_prohibited", "posting_to_general_channel_denied", "user_not_found"}

// slackMessage is a title and, beside a bar of the level's colour, all else. There are no
// buttons: Slack asks the app about a click on one even if it is only a link, and where an
// incoming webhook's app has nothing to answer with, it shows its user a warning.
type slackMessage struct {
	Text        string            `json:"text"` // of notifications
	Blocks      []slackBlock      `json:"blocks"`
	Attachments []slackAttachment `json:"attachments,omitempty"`
	UnfurlLinks bool              `json:"unfurl_links"`
	UnfurlMedia bool              `json:"unfurl_media"`
}

type slackAttachment struct {
	Color    string       `json:"color"`
	Fallback string       `json:"fallback"`
	Blocks   []slackBlock `json:"blocks"`
}

type slackBlock struct {
	Type     string        `json:"type"`
	Text     *slackObject  `json:"text,omitempty"`
	Fields   []slackObject `json:"fields,omitempty"`
	Elements []slackObject `json:"elements,omitempty"`
}

// slackObject is a text, of the type plain_text or mrkdwn. In verbatim mrkdwn neither
// addresses nor names of people and channels become links.
type slackObject struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Emoji    *bool  `json:"emoji,omitempty"`
	Verbatim bool   `json:"verbatim,omitempty"`
}

func newSlack(c notify.ChannelConfig, _ Dependencies) receiver {
	return receiver{
		every:    slackEvery,
		unusable: slackUnusable,
		took:     func(body []byte) bool { return strings.TrimSpace(string(body)) == slackTaken },
		compose: func(d draft) request {
			return request{url: c.Secret, body: encode(slackMessageOf(d))}
		},
	}
}

// mrkdwn escapes what Slack reads as the beginning of links, mentions and entities.
var mrkdwn = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace

func slackPlain(text string, n int) slackObject {
	return slackObject{Type: "plain_text", Text: cut(text, n, units, as), Emoji: new(bool)}
}

func slackMessageOf(d draft) slackMessage {
	title := slackPlain(d.directed(d.Title), slackHeader)
	preview := cut(d.directed(d.Title), slackPreview, units, mrkdwn)
	m := slackMessage{Text: preview, Blocks: []slackBlock{{Type: "header", Text: &title}}}
	if body := slackBody(d); len(body) > 0 {
		m.Attachments = []slackAttachment{{Color: hexColour(d.colour()), Fallback: preview, Blocks: body}}
	}
	return m
}

// slackBody is at most eight of the fifty blocks that Slack takes.
func slackBody(d draft) []slackBlock {
	var body []slackBlock
	section := func(text slackObject) { body = append(body, slackBlock{Type: "section", Text: &text}) }
	if d.Text != "" {
		section(slackPlain(d.directed(d.Text), slackText))
	}
	for facts := range slices.Chunk(d.Facts, slackFields) {
		body = append(body, slackBlock{Type: "section", Fields: slackFacts(d, facts)})
	}
	if list := d.list(); len(list) > 0 {
		section(slackPlain(d.directed(d.listName()+":\n• "+strings.Join(list, "\n• ")), slackText))
	}
	if links := slackLinks(d); links != "" {
		section(slackObject{Type: "mrkdwn", Text: links, Verbatim: true})
	}
	return append(body, slackBlock{Type: "context", Elements: []slackObject{slackPlain(cmp.Or(d.Kind, noText), slackHeader)}})
}

func slackFacts(d draft, facts []notify.Fact) []slackObject {
	var fields []slackObject
	for _, fact := range facts {
		value := cut(d.directed(fact.Value), slackField/2, units, mrkdwn)
		fields = append(fields, slackObject{Type: "mrkdwn", Text: "*" + mrkdwn(fact.Name) + "*\n" + value, Verbatim: true})
	}
	return fields
}

// slackLinks are the links in a line. asPage has refused addresses with what would end one
// here, and three of them fit.
func slackLinks(d draft) string {
	var links []string
	for _, l := range d.links() {
		links = append(links, "<"+strings.ReplaceAll(*l.url, "&", "&amp;")+"|"+mrkdwn(l.name.In(d.Language))+">")
	}
	return d.directed(strings.Join(links, "  ·  "))
}
