package notify

import "manus/language"

// ChannelConfig is a channel of manus.yaml's alerts.channels, or of the environment.
type ChannelConfig struct {
	ID   string `yaml:"id"`   // a small letter, then small letters, digits and "-", 32 at most
	Type string `yaml:"type"` // mail, slack, webhook, discord, telegram, teams, mattermost, ntfy, pagerduty
	// URL is where messages go, for a webhook and ntfy, which needs its topic there. The
	// incoming webhooks of chats are secrets as they are: they are the Secret.
	URL string `yaml:"url"`
	// To are the addresses that a mail channel writes to.
	To []string `yaml:"to"`
	// Chat is the id of Telegram's chat.
	Chat string `yaml:"chat"`
	// Language is that of its messages; empty: that of the alerts.
	Language language.Tag `yaml:"language"`
	// AllowPrivate lets its address be one of the own network.
	AllowPrivate bool `yaml:"allow_private"`
	// QuietTest has a test sent each week that asks for nobody's attention. Nil: where the
	// type has such a thing.
	QuietTest *bool `yaml:"quiet_test"`
	// Secret comes from the environment (ALERT_<ID>_SECRET, or the channel's own
	// variable): the address of a chat's incoming webhook, a bot's token, a routing key,
	// ntfy's access token, or what webhooks are signed with (two, with a comma between,
	// while one replaces the other).
	Secret string `yaml:"-"`
}
