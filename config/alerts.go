package config

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	netmail "net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"manus/notify"
	"manus/notify/channels"
)

// Alerts is the settings of alerts.
type Alerts struct {
	// Email are the addresses of the channel mail; none leave it out.
	Email []string
	// Slack is the incoming webhook of the channel slack, and Webhook the address of the
	// channel webhook, which WebhookSecret signs for; empty ones leave them out.
	Slack, Webhook, WebhookSecret Secret
	// Secrets are those of manus.yaml's channels, by [notify.ChannelConfig.SecretVariable].
	Secrets map[string]Secret
	// AllowPrivate lets channels reach addresses of the own network.
	AllowPrivate bool
	// MailOnly leaves out the channels of manus.yaml: where things are only being tried, no
	// secrets are read.
	MailOnly bool
	// Policy is the section of manus.yaml, or the default one, with all channels and their
	// secrets; with no channel for what doesn't read those.
	Policy notify.Policy
}

// OwnChannels are the channels that variables of their own set up. Rules may name them
// also where they aren't.
var OwnChannels = []string{"mail", "slack", "webhook"}

// WithChannels is a policy of manus.yaml with the environment's channels before its own,
// each with its secret, and with quiet tests where its type has such and the file doesn't
// say.
func (a Alerts) WithChannels(p notify.Policy) notify.Policy {
	all := []notify.ChannelConfig{}
	if len(a.Email) > 0 {
		all = append(all, notify.ChannelConfig{ID: "mail", Type: "mail", To: a.Email})
	}
	if !a.Slack.Empty() {
		all = append(all, notify.ChannelConfig{ID: "slack", Type: "slack", Secret: a.Slack.Reveal()})
	}
	if !a.Webhook.Empty() {
		all = append(all, notify.ChannelConfig{ID: "webhook", Type: "webhook", URL: a.Webhook.Reveal(), Secret: a.WebhookSecret.Reveal()})
	}
	for _, c := range p.Channels {
		if a.MailOnly {
			break
		}
		if secret, ok := a.Secrets[c.SecretVariable()]; ok {
			c.Secret = secret.Reveal()
		}
		all = append(all, c)
	}
	for i := range all {
		all[i].AllowPrivate = a.AllowPrivate
		if all[i].QuietTest == nil {
			all[i].QuietTest = new(channels.HasQuietTest(all[i].Type))
		}
	}
	p.Channels = all
	return p
}

// channelSecret matches the variables that hold the secrets of alert channels.
var channelSecret = regexp.MustCompile(`^ALERT_[A-Z][A-Z0-9_]{0,31}_SECRET$`)

// readChannelSecrets reads the secrets of manus.yaml's channels, by their variables.
func (l *loader) readChannelSecrets(settings *Settings) {
	l.readSecrets(settings, channelSecret, "channel", func(s *Settings) *map[string]Secret { return &s.Alerts.Secrets })
}

// problems are those of the policy's channels, with their secrets.
func (a Alerts) problems() (problems Problems) {
	for _, c := range a.Policy.Channels {
		for _, sentence := range channels.Problems(c) {
			name, wrong, _ := strings.Cut(sentence, ": ")
			problems = append(problems, Problem{Name: name, Wrong: wrong, missingSecret: c.Secret == "" && name == c.SecretVariable()})
		}
	}
	return problems
}

// warnings are what is most likely a mistake, where there is no mail server or is one. A
// secret without a channel is left over from one that was taken out, or is misspelled.
func (a Alerts) warnings(noMailServer bool) (warnings []string) {
	for _, name := range slices.Sorted(maps.Keys(a.Secrets)) {
		known := a.MailOnly || slices.ContainsFunc(a.Policy.Channels, func(c notify.ChannelConfig) bool { return c.SecretVariable() == name })
		if !known {
			warnings = append(warnings, name+" is set, but manus.yaml has no channel that it is the secret of")
		}
	}
	for _, c := range a.Policy.Channels {
		if c.Type == "mail" && noMailServer {
			warnings = append(warnings, "the alert channel "+c.ID+" delivers nothing: set SMTP_URL")
		}
	}
	if missing := a.Policy.Missing(); a.MailOnly && len(missing) > 0 {
		return append(warnings, "alerts are told by mail alone, as this is 'manus dev': nothing goes to "+strings.Join(missing, ", "))
	}
	return append(warnings, a.Policy.Warnings()...)
}

func parseMailAddress(out *string, text string) *Problem {
	address, err := netmail.ParseAddress(text)
	if err != nil {
		return bad("is not an e-mail address", "use addresses such as ops@example.com, with commas between them")
	}
	*out = address.Address
	return nil
}

func parseBool(out *bool, text string) *Problem {
	return take(out, text == "true", text == "true" || text == "false", fmt.Sprintf("is %q", text), "use true or false")
}

// parseWebhook takes the address of a webhook, which is a secret as it is.
func parseWebhook(out *Secret, text string) *Problem {
	u, err := url.Parse(text)
	right := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
	return take(out, NewSecret(text), right, "is not the address of a webhook", "use an absolute https URL, as its service shows it")
}

// freshWebhookSecret makes a secret of standardwebhooks.com.
func freshWebhookSecret() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key[:])
}

// parseWebhookSecret takes one secret of standardwebhooks.com, or two.
func parseWebhookSecret(out *Secret, text string) *Problem {
	list := splitList(text)
	right := len(list) == 1 || len(list) == 2
	for _, secret := range list {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		right = right && err == nil && len(key) >= 24 && len(key) <= 64
	}
	return take(out, NewSecret(text), right, "is not a secret for webhooks", "use whsec_ and the base64 of 24 to 64 random bytes, such as whsec_$(openssl rand -base64 32)")
}
