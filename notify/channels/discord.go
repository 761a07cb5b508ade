package channels

import (
	"cmp"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"manus/notify"
)

// Discord's limits of an embed, in characters.
const (
	discordTitle  = 256
	discordText   = 4096
	discordFields = 25
	discordName   = 256
	discordValue  = 1024
	discordFooter = 2048
	discordAll    = 6000
	discordEvery  = time.Second / 2
	discordQuiet  = 1 << 12 // the flag of messages without a sound
)

type discordMessage struct {
	Embeds          []discordEmbed  `json:"embeds"`
	AllowedMentions discordMentions `json:"allowed_mentions"`
	Flags           int             `json:"flags,omitempty"`
}

// discordMentions are whom a message may mention: nobody.
type discordMentions struct {
	Parse []string `json:"parse"`
}

type discordEmbed struct {
	Title       string         `json:"title"`
	Description string         `json:"description,omitempty"`
	URL         string         `json:"url,omitempty"`
	Color       int            `json:"color"`
	Fields      []discordField `json:"fields,omitempty"`
	Footer      discordFoot    `json:"footer"`
	Timestamp   string         `json:"timestamp,omitempty"`
}

type discordField struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline"`
}

type discordFoot struct {
	Text string `json:"text"`
}

func newDiscord(c notify.ChannelConfig, _ Dependencies) receiver {
	address := withQuery(c.Secret, "wait", "true") // for the message that was made, as proof
	return receiver{
		every: discordEvery,
		took:  hasField("id"),
		wait: func(body []byte) float64 {
			var limited struct {
				RetryAfter float64 `json:"retry_after"`
			}
			_ = json.Unmarshal(body, &limited) // zero for what isn't that
			return limited.RetryAfter
		},
		compose: func(d draft) request {
			return request{url: address, body: encode(shortened(d, discordMessageOf, fitsDiscord))}
		},
	}
}

// withQuery is an address with a parameter set.
func withQuery(address, name, value string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // New has refused it
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

// hasField tells of JSON whether it is an object with a field that isn't empty.
func hasField(name string) func([]byte) bool {
	return func(body []byte) bool {
		var object map[string]json.RawMessage
		return json.Unmarshal(body, &object) == nil && len(object[name]) > 2
	}
}

var discordEscape = escaper("\\*_~`|>#-[]():@<")

func discordMessageOf(d draft) discordMessage {
	embed := discordEmbed{
		Title: cut(d.directed(d.Title), discordTitle, units, discordEscape), URL: d.URL, Color: d.colour(),
		Description: discordDescription(d), Footer: discordFoot{cut(cmp.Or(d.Kind, noText), discordFooter, units, as)},
	}
	if !d.At.IsZero() {
		embed.Timestamp = d.At.UTC().Format(time.RFC3339)
	}
	for _, fact := range d.Facts[:min(len(d.Facts), discordFields)] {
		embed.Fields = append(embed.Fields, discordField{
			Name: cut(cmp.Or(d.directed(fact.Name), noText), discordName, units, discordEscape), Value: cut(d.directed(fact.Value), discordValue, units, discordEscape), Inline: true,
		})
	}
	m := discordMessage{Embeds: []discordEmbed{embed}, AllowedMentions: discordMentions{Parse: []string{}}}
	if d.State == notify.Test {
		m.Flags = discordQuiet
	}
	return m
}

func discordDescription(d draft) string {
	list := ""
	if lines := d.list(); len(lines) > 0 {
		list = d.directed("**" + discordEscape(d.listName()) + "**\n" + discordEscape("• "+strings.Join(lines, "\n• ")))
	}
	return blocks(d.directed(discordEscape(d.Text)), list, markdownLinks(d, discordEscape))
}

// markdownLinks are the links in a line of Markdown.
func markdownLinks(d draft, escape func(string) string) string {
	var links []string
	for _, l := range d.links() {
		address := strings.NewReplacer("(", "%28", ")", "%29").Replace(*l.url)
		links = append(links, "["+escape(l.name.In(d.Language))+"]("+address+")")
	}
	return d.directed(strings.Join(links, " · "))
}

func fitsDiscord(m discordMessage) bool {
	embed := m.Embeds[0]
	all := units(embed.Title) + units(embed.Description) + units(embed.Footer.Text)
	for _, field := range embed.Fields {
		all += units(field.Name) + units(field.Value)
	}
	return all <= discordAll && units(embed.Description) <= discordText
}
