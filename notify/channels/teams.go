package channels

import (
	"cmp"
	"strings"
	"time"

	"manus/language"
	"manus/notify"
)

const (
	// teamsAll is less than the 28 KB that Teams takes, in which it counts what it adds.
	teamsAll   = 24 << 10
	teamsEvery = time.Second / 4
)

// teamsMessage is what a workflow takes that begins "when a Teams webhook request is
// received": an Adaptive Card. Its texts are runs, which Teams shows as they are, where a
// TextBlock would read them as Markdown.
type teamsMessage struct {
	Type        string            `json:"type"`
	Attachments []teamsAttachment `json:"attachments"`
}

type teamsAttachment struct {
	ContentType string    `json:"contentType"`
	ContentURL  *string   `json:"contentUrl"`
	Content     teamsCard `json:"content"`
}

type teamsCard struct {
	Schema       string         `json:"$schema"`
	Type         string         `json:"type"`
	Version      string         `json:"version"`
	Lang         string         `json:"lang"`
	FallbackText string         `json:"fallbackText"`
	Body         []teamsElement `json:"body"`
	Actions      []teamsAction  `json:"actions,omitempty"`
	Teams        teamsOptions   `json:"msteams"`
}

type teamsOptions struct {
	Width string `json:"width"`
}

// teamsElement is a Container or a RichTextBlock.
type teamsElement struct {
	Type      string         `json:"type"`
	Style     string         `json:"style,omitempty"`
	Bleed     bool           `json:"bleed,omitempty"`
	Items     []teamsElement `json:"items,omitempty"`
	Spacing   string         `json:"spacing,omitempty"`
	Alignment string         `json:"horizontalAlignment,omitempty"`
	Inlines   []teamsRun     `json:"inlines,omitempty"`
}

type teamsRun struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Size   string `json:"size,omitempty"`
	Weight string `json:"weight,omitempty"`
	Subtle bool   `json:"isSubtle,omitempty"`
}

type teamsAction struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

func newTeams(c notify.ChannelConfig, _ Dependencies) receiver {
	return receiver{
		every:    teamsEvery,
		unusable: []string{"workflowtriggerisnotenabled", "workflownotfound"},
		compose: func(d draft) request {
			body := shortened(d, func(d draft) []byte { return encode(teamsMessageOf(d)) }, func(body []byte) bool { return len(body) <= teamsAll })
			return request{url: c.Secret, body: body}
		},
	}
}

func teamsMessageOf(d draft) teamsMessage {
	card := teamsCard{
		Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4",
		Lang: d.Language.String(), FallbackText: d.directed(d.Title), Body: teamsBody(d), Teams: teamsOptions{Width: "Full"},
	}
	for _, l := range d.links() {
		card.Actions = append(card.Actions, teamsAction{"Action.OpenUrl", l.name.In(d.Language), *l.url})
	}
	return teamsMessage{Type: "message", Attachments: []teamsAttachment{{ContentType: "application/vnd.microsoft.card.adaptive", Content: card}}}
}

func teamsBody(d draft) []teamsElement {
	title := teamsElement{Type: "Container", Style: teamsStyle(d), Bleed: true, Items: []teamsElement{
		d.teamsLine("", teamsRun{Text: d.Title, Size: "medium", Weight: "bolder"}),
	}}
	body := []teamsElement{title}
	for line := range strings.SplitSeq(d.Text, "\n") {
		if line != "" {
			body = append(body, d.teamsLine("", teamsRun{Text: line}))
		}
	}
	for _, fact := range d.Facts {
		body = append(body, d.teamsLine("small", teamsRun{Text: fact.Name + colon, Weight: "bolder"}, teamsRun{Text: d.Language.Isolate(fact.Value)}))
	}
	if list := d.list(); len(list) > 0 {
		body = append(body, d.teamsLine("", teamsRun{Text: d.listName(), Weight: "bolder"}))
		for _, line := range list {
			body = append(body, d.teamsLine("none", teamsRun{Text: "• " + line}))
		}
	}
	return append(body, d.teamsLine("", teamsRun{Text: cmp.Or(d.Kind, noText), Size: "small", Subtle: true}))
}

// teamsLine is a line of runs, on the side where its language begins.
func (d draft) teamsLine(spacing string, runs ...teamsRun) teamsElement {
	runs[0].Text = d.directed(runs[0].Text)
	for i := range runs {
		runs[i].Type = "TextRun"
	}
	return teamsElement{Type: "RichTextBlock", Spacing: spacing, Inlines: runs, Alignment: language.Text{En: "left", Ar: "right"}.In(d.Language)}
}

// teamsStyle is the container's style whose colour is nearest.
func teamsStyle(d draft) string {
	switch {
	case d.IsOver():
		return "good"
	case d.State == notify.Test || d.Level == notify.Info:
		return "accent"
	case d.Level == notify.Warning:
		return "warning"
	}
	return "attention"
}
