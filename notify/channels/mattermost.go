package channels

import (
	"cmp"
	"strings"

	"manus/notify"
)

// mattermostAll is less than what Mattermost takes in all attachments of a message, in
// characters.
const mattermostAll = 7000

type mattermostMessage struct {
	Attachments []mattermostAttachment `json:"attachments"`
}

type mattermostAttachment struct {
	Fallback  string            `json:"fallback"`
	Color     string            `json:"color"`
	Title     string            `json:"title"` // isn't Markdown
	TitleLink string            `json:"title_link,omitempty"`
	Text      string            `json:"text,omitempty"`
	Fields    []mattermostField `json:"fields,omitempty"`
	Footer    string            `json:"footer"`
}

type mattermostField struct {
	Short bool   `json:"short"`
	Title string `json:"title"`
	Value string `json:"value"`
}

func newMattermost(c notify.ChannelConfig, _ Dependencies) receiver {
	return receiver{
		unusable: []string{"incoming_webhook.invalid.", "incoming_webhook.channel."},
		took:     func(body []byte) bool { return strings.TrimSpace(string(body)) == "ok" },
		compose: func(d draft) request {
			body := shortened(d, func(d draft) []byte { return encode(mattermostMessageOf(d)) }, func(body []byte) bool { return characters(string(body)) <= mattermostAll })
			return request{url: c.Secret, body: body}
		},
	}
}

var mattermostMarkdown = escaper("\\`*_{}[]()#+-.!|~<>:&")

// mattermostEscape takes Markdown and mentions their force. Mattermost looks for mentions
// in what Markdown leaves, so that a backslash doesn't help against them.
func mattermostEscape(text string) string { return unmentioned(mattermostMarkdown(text)) }

func mattermostMessageOf(d draft) mattermostMessage {
	title := unmentioned(d.directed(d.Title))
	list := ""
	if lines := d.list(); len(lines) > 0 {
		list = d.directed("**" + mattermostEscape(d.listName()) + "**\n" + mattermostEscape("• "+strings.Join(lines, "\n• ")))
	}
	a := mattermostAttachment{
		Fallback: title, Color: hexColour(d.colour()), Title: title, TitleLink: d.URL, Footer: cmp.Or(d.Kind, noText),
		Text: blocks(d.directed(mattermostEscape(d.Text)), list, markdownLinks(d, mattermostEscape)),
	}
	for _, fact := range d.Facts {
		a.Fields = append(a.Fields, mattermostField{Short: true, Title: d.directed(unmentioned(fact.Name)), Value: d.directed(mattermostEscape(fact.Value))})
	}
	return mattermostMessage{Attachments: []mattermostAttachment{a}}
}
