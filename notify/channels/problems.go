package channels

import (
	"encoding/base64"
	"fmt"
	stdmail "net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"manus/internal/guard"
	"manus/notify"
)

const (
	maxAddresses = 20
	maxURL       = 2000
)

// Problems says in a sentence each what is wrong with a channel, beginning with where it
// is set; nothing when it can be made. Sentences never have a secret's value. Whether the
// channel's id is a good one isn't asked.
func Problems(c notify.ChannelConfig) []string {
	k, known := kindOf(c.Type)
	if !known {
		return []string{place(c, "type") + ": use " + types()}
	}
	var problems []string
	add := func(wrong bool, where, what string) {
		if wrong {
			problems = append(problems, where+": "+what)
		}
	}
	add(c.URL == "" && k.url == required, place(c, "url"), "is missing; "+k.urlShape(c))
	add(c.URL != "" && k.url == unused, place(c, "url"), k.unusedURL(c))
	add(c.URL != "" && k.url != unused && !k.isAddress(c), place(c, "url"), k.urlShape(c))
	add(len(c.To) == 0 && k.to, place(c, "to"), "list the e-mail addresses to write to")
	add(len(c.To) > 0 && !k.to, place(c, "to"), "is for mail; take it out")
	add(k.to && len(c.To) > maxAddresses, place(c, "to"), "list at most 20 addresses")
	add(k.to && slices.ContainsFunc(c.To, isNoAddress), place(c, "to"), "use e-mail addresses like ops@example.com")
	add(k.chat && !isChat.MatchString(c.Chat), place(c, "chat"), "use the chat's id, a number such as -1001234567890, or a public channel's @name")
	add(!k.chat && c.Chat != "", place(c, "chat"), "is for Telegram; take it out")
	add(c.URL != "" && k.url != unused && k.isAddress(c) && refusedAddress(c, c.URL) != nil, place(c, "url"), fmt.Sprintf("is %v", refusedAddress(c, c.URL)))
	secret := c.SecretVariable()
	add(c.Secret != "" && k.secret != unused && k.fits(c, c.Secret) && refusedAddress(c, c.Secret) != nil, secret, fmt.Sprintf("is %v", refusedAddress(c, c.Secret)))
	add(c.Secret == "" && k.secret == required, secret, "is missing; set it to "+k.shape)
	add(c.Secret != "" && k.secret == unused, secret, "isn't used by "+k.name+"; remove it")
	add(c.Secret != "" && k.secret != unused && !k.fits(c, c.Secret), secret, "set it to "+k.shape)
	return problems
}

// place is where a channel's setting stands.
func place(c notify.ChannelConfig, field string) string {
	switch field + " of " + c.ID {
	case "to of mail":
		return "ALERT_EMAIL"
	case "url of webhook":
		return "ALERT_WEBHOOK_URL"
	}
	return "alerts.channels." + c.ID + "." + field
}

// types lists the types for people.
func types() string {
	var ids []string
	for _, k := range kinds() {
		ids = append(ids, k.id)
	}
	return strings.Join(ids[:len(ids)-1], ", ") + " or " + ids[len(ids)-1]
}

func (k kind) urlShape(c notify.ChannelConfig) string {
	what := "use an https address without a password in it"
	if k.id == "ntfy" {
		what = "use the topic's https address, such as https://ntfy.sh/topic"
	}
	if c.AllowPrivate {
		return what + ", or an http one"
	}
	return what + " (http is for ALLOW_PRIVATE_TARGETS=true)"
}

func (k kind) unusedURL(c notify.ChannelConfig) string {
	if k.secret == required {
		return "is a secret of " + k.name + "; take it out and set " + c.SecretVariable()
	}
	return "isn't used by " + k.name + "; take it out"
}

func (k kind) isAddress(c notify.ChannelConfig) bool {
	if k.id == "ntfy" {
		_, topic := splitTopic(c.URL)
		return isURL(c, c.URL) && isTopic.MatchString(topic)
	}
	return isURL(c, c.URL)
}

// isURL tells whether a channel may post to an address: https, or http in the own
// network.
func isURL(c notify.ChannelConfig, address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= maxURL && u.Hostname() != "" && isPort(u.Port()) && u.User == nil && u.Fragment == "" &&
		(u.Scheme == "https" || u.Scheme == "http" && c.AllowPrivate)
}

// isPort tells whether an address's port can be dialled; none is that of the scheme.
func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// refusedAddress is why nothing is dialled that a URL names by its IP address; nil for
// another. Where a name leads is seen when it is dialled.
func refusedAddress(c notify.ChannelConfig, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil
	}
	return guard.Check(ip, c.AllowPrivate)
}

func isHook(c notify.ChannelConfig, secret string) bool { return isURL(c, secret) }

// isSlackHook tells whether an address may be an incoming webhook of Slack, or of what
// takes the same messages. Slack's workflows have addresses that look alike.
func isSlackHook(c notify.ChannelConfig, secret string) bool {
	u, err := url.Parse(secret)
	return isURL(c, secret) && err == nil && (!strings.HasSuffix(u.Hostname(), "slack.com") || strings.HasPrefix(u.Path, "/services/"))
}

func isWorkflow(c notify.ChannelConfig, secret string) bool {
	u, err := url.Parse(secret)
	return isURL(c, secret) && err == nil && !strings.HasSuffix(strings.ToLower(u.Hostname()), "webhook.office.com")
}

var (
	isChat       = regexp.MustCompile(`^(-?[0-9]{1,20}|@[A-Za-z0-9_]{4,32})$`)
	isTopic      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	botToken     = regexp.MustCompile(`^[0-9]{1,20}:[A-Za-z0-9_-]{20,100}$`)
	accessToken  = regexp.MustCompile(`^[A-Za-z0-9_-]{8,200}$`)
	integrations = regexp.MustCompile(`^[A-Za-z0-9]{32}$`)
)

func isBotToken(_ notify.ChannelConfig, secret string) bool { return botToken.MatchString(secret) }
func isAccessToken(_ notify.ChannelConfig, secret string) bool {
	return accessToken.MatchString(secret)
}
func isRoutingKey(_ notify.ChannelConfig, secret string) bool {
	return integrations.MatchString(secret)
}

// areKeys tells whether a secret is one or two keys of Standard Webhooks.
func areKeys(_ notify.ChannelConfig, secret string) bool {
	keys := splitKeys(secret)
	return len(keys) <= 2 && !slices.ContainsFunc(keys, func(key string) bool {
		bytes, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, keyPrefix))
		return err != nil || len(bytes) < 24 || len(bytes) > 64
	})
}

func isNoAddress(address string) bool {
	parsed, err := stdmail.ParseAddress(address)
	return err != nil || len(address) > maxAddress || strings.ContainsAny(parsed.Address, "\r\n")
}
