// Package channels takes alerts to people and programs: mail, Slack, signed webhooks,
// Discord, Telegram, Microsoft Teams, Mattermost, ntfy and PagerDuty, a file each.
//
// What is common stands beside them: which words a message has and how it is kept short
// (compose.go), and how it is posted, whom it is let reach, and what an answer means
// (post.go, guard.go). It knows no rules, and doesn't try anything twice.
package channels

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"manus/mail"
	"manus/notify"
)

// Dependencies are what channels need of the program.
type Dependencies struct {
	// SendMail takes a mail over, for good or into an outbox. What it returns for mails
	// that will never be sent is mail.ErrRefused or mail.ErrInvalid.
	SendMail func(context.Context, mail.Message) error
	// Version of the program is told to receivers.
	Version string
	Now     func() time.Time // the clock; nil means time.Now

	roots    *x509.CertPool // of the tests; nil means the machine's
	resolver *net.Resolver  // as roots
}

// kind is a type of channel: what it needs, and how it is made.
type kind struct {
	id, name string
	url      need
	to, chat bool
	secret   need
	// shape is what a secret has to be, in words behind "set it to"; fits tells whether
	// one is.
	shape string
	fits  func(c notify.ChannelConfig, secret string) bool
	// quiet: a test asks for nobody's attention.
	quiet bool
	parts func(c notify.ChannelConfig, d Dependencies) []notify.Channel
}

type need int

const (
	unused need = iota
	optional
	required
)

// kinds are the types in the order in which they are listed to people.
func kinds() []kind {
	return []kind{
		{id: "mail", name: "mail", to: true, parts: newMail},
		{id: "slack", name: "Slack", secret: required, shape: "the https address of an incoming webhook, https://hooks.slack.com/services/…; those of workflows are something else", fits: isSlackHook, parts: posted(newSlack)},
		{id: "webhook", name: "the webhook's receiver", url: required, secret: required, shape: "'whsec_' and 24 to 64 random bytes in base64, or two of these with a comma between", fits: areKeys, quiet: true, parts: posted(newWebhook)},
		{id: "discord", name: "Discord", secret: required, shape: "the https address of a webhook", fits: isHook, quiet: true, parts: posted(newDiscord)},
		{id: "telegram", name: "Telegram", url: optional, chat: true, secret: required, shape: "a bot's token, such as 123456:ABC…", fits: isBotToken, quiet: true, parts: posted(newTelegram)},
		{id: "teams", name: "Microsoft Teams", secret: required, shape: "the https address of a workflow that begins with a Teams webhook request; connectors (webhook.office.com) have ended", fits: isWorkflow, parts: posted(newTeams)},
		{id: "mattermost", name: "Mattermost", secret: required, shape: "the https address of an incoming webhook", fits: isHook, parts: posted(newMattermost)},
		{id: "ntfy", name: "ntfy", url: required, secret: optional, shape: "an access token, such as tk_…", fits: isAccessToken, quiet: true, parts: posted(newNtfy)},
		{id: "pagerduty", name: "PagerDuty", url: optional, secret: required, shape: "the integration key of an Events API v2 integration, 32 letters and digits", fits: isRoutingKey, quiet: true, parts: posted(newPagerDuty)},
	}
}

// kindOf is a type of channel, if there is such a one.
func kindOf(id string) (kind, bool) {
	for _, k := range kinds() {
		if k.id == id {
			return k, true
		}
	}
	return kind{}, false
}

// New makes the parts of a channel: each is to be sent a message, and takes it or not by
// itself. There is one, but for mail one for each address. The error says what Problems
// does.
func New(c notify.ChannelConfig, d Dependencies) ([]notify.Channel, error) {
	if problems := Problems(c); len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	k, _ := kindOf(c.Type)
	return k.parts(c, d), nil
}

// HasQuietTest tells whether a type of channel has a test that asks for nobody's
// attention: a program's own type of event, or a message without a sound.
func HasQuietTest(kind string) bool {
	k, _ := kindOf(kind)
	return k.quiet
}

// posted makes the one part of a channel that is posted to over HTTP.
func posted(receiver func(notify.ChannelConfig, Dependencies) receiver) func(notify.ChannelConfig, Dependencies) []notify.Channel {
	return func(c notify.ChannelConfig, d Dependencies) []notify.Channel {
		return []notify.Channel{newPoster(c, d, receiver(c, d))}
	}
}
