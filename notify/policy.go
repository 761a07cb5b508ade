package notify

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"manus/language"
)

// Policy is manus.yaml's section alerts: who is told of what, when and how.
type Policy struct {
	// Language is that of the messages, and Timezone the one of the times in them, a name
	// of the IANA database. Empty means English and UTC.
	Language language.Tag `yaml:"language"`
	Timezone string       `yaml:"timezone"`
	// Channels are those beside the ones of the environment.
	Channels []ChannelConfig `yaml:"channels"`
	// Rules say which events go where. An event goes by all that match it. One whose kind
	// none of them names goes to all channels: so nothing is lost by being forgotten.
	Rules []Rule `yaml:"rules"`
	// QuietHours are when little is worth waking somebody.
	QuietHours *QuietHours `yaml:"quiet_hours"`
	AtMost     AtMost      `yaml:"at_most"`
	// Runbooks are the addresses of what to do, by an event's kind.
	Runbooks map[string]string `yaml:"runbooks"`
}

// Rule sends events of a kind to channels. Its filters are patterns as of [path.Match];
// empty ones take anything.
type Rule struct {
	// On is a kind, a part of the kinds such as "backup.*", or "*".
	On          string `yaml:"on"`
	Project     string `yaml:"project"`
	Environment string `yaml:"environment"`
	Monitor     string `yaml:"monitor"`
	Component   string `yaml:"component"`
	Release     string `yaml:"release"`
	// Tags are those that the event has to have, each with a value that matches.
	Tags map[string]string `yaml:"tags"`
	// Level is how bad it has to be at least.
	Level Level `yaml:"level"`
	// Channels are the ids of channels. None, which has to be written, is to tell nobody.
	Channels []string `yaml:"channels"`
	// RemindEvery has it told again while it lasts and nobody has acknowledged it.
	RemindEvery time.Duration `yaml:"remind_every"`
	Escalate    *Escalate     `yaml:"escalate"`
	// Events within Within make a spike, for "issue.spike" alone.
	Events int           `yaml:"events"`
	Within time.Duration `yaml:"within"`
}

// Escalate tells other channels of what nobody has acknowledged after a while.
type Escalate struct {
	After    time.Duration `yaml:"after"`
	Channels []string      `yaml:"channels"`
}

// QuietHours are the hours of a day in which only some events are told; the others are
// told in one digest at their end.
type QuietHours struct {
	From     string   `yaml:"from"`     // "23:00"
	Until    string   `yaml:"until"`    // "07:00", of the next day when it is not after From
	Timezone string   `yaml:"timezone"` // empty: that of the alerts
	Except   []string `yaml:"except"`   // kinds, as in a rule's on
}

// AtMost is how many alerts a channel gets within a time; what is more becomes one digest.
type AtMost struct {
	Alerts int           `yaml:"alerts"`
	Within time.Duration `yaml:"within"`
}

// DefaultPolicy holds where manus.yaml says nothing.
func DefaultPolicy() Policy {
	return Policy{
		Language: language.English, Channels: []ChannelConfig{}, Rules: []Rule{}, Runbooks: map[string]string{},
		AtMost: AtMost{Alerts: 10, Within: 10 * time.Minute},
	}
}

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
	// AllowPrivate lets its address be one of the own network (ALLOW_PRIVATE_TARGETS).
	AllowPrivate bool `yaml:"-"`
	// QuietTest has a test sent when nothing was delivered for a week, which is to ask for
	// nobody's attention. Whoever reads the settings sets it where they don't say.
	QuietTest *bool `yaml:"quiet_test"`
	// Secret comes from the environment (ALERT_<ID>_SECRET, or the channel's own
	// variable): the address of a chat's incoming webhook, a bot's token, a routing key,
	// ntfy's access token, or what webhooks are signed with (two, with a comma between,
	// while one replaces the other).
	Secret string `yaml:"-"`
}

// SecretVariable is the variable of the environment that holds the channel's secret.
func (c ChannelConfig) SecretVariable() string {
	if c.ID == "slack" {
		return "SLACK_WEBHOOK_URL"
	}
	return "ALERT_" + strings.ToUpper(strings.ReplaceAll(c.ID, "-", "_")) + "_SECRET"
}

// Bounds of a policy.
const (
	maxChannels  = 20
	maxRules     = 100
	minReminder  = time.Minute
	longest      = 30 * 24 * time.Hour
	maxPerWindow = 100
	maxRuleTags  = 20
)

var channelID = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Problems says in a sentence each what is wrong with the policy. elsewhere are the ids of
// the environment's channels.
func (p Policy) Problems(elsewhere ...string) []string {
	c := &checker{known: slices.Clone(elsewhere)}
	c.add(!isLanguage(p.Language), "alerts.language: use en or ar")
	c.zone("alerts.timezone", p.Timezone)
	c.channels(p.Channels)
	c.add(len(p.Rules) > maxRules, "alerts.rules: there are more than %d", maxRules)
	for i, rule := range p.Rules[:min(len(p.Rules), maxRules)] {
		c.rule(fmt.Sprintf("alerts.rules[%d]", i), rule)
	}
	if q := p.QuietHours; q != nil {
		from, fromErr := clockTime(q.From)
		until, untilErr := clockTime(q.Until)
		c.add(fromErr != nil || untilErr != nil, `alerts.quiet_hours: from and until are times such as "23:00"`)
		c.add(fromErr == nil && untilErr == nil && from == until, "alerts.quiet_hours: from and until are the same")
		c.zone("alerts.quiet_hours.timezone", q.Timezone)
		for _, on := range q.Except {
			c.on("alerts.quiet_hours.except", on)
		}
	}
	c.add(p.AtMost.Alerts < 1 || p.AtMost.Alerts > maxPerWindow, "alerts.at_most.alerts: use a number from 1 to %d", maxPerWindow)
	c.between("alerts.at_most.within", p.AtMost.Within, time.Second, 24*time.Hour)
	for _, on := range slices.Sorted(maps.Keys(p.Runbooks)) {
		c.on("alerts.runbooks", on)
		u, err := url.Parse(p.Runbooks[on])
		c.add(err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http", "alerts.runbooks.%s: use the address of a page", on)
	}
	return c.problems
}

// has tells whether there is a channel.
func (p Policy) has(id string) bool {
	return slices.ContainsFunc(p.Channels, func(c ChannelConfig) bool { return c.ID == id })
}

// named are the channels that a rule names, each once.
func (r Rule) named() []string {
	named := slices.Clone(r.Channels)
	if r.Escalate != nil {
		named = append(named, r.Escalate.Channels...)
	}
	slices.Sort(named)
	return slices.Compact(named)
}

// Missing are the channels that rules name and that there aren't, each once.
func (p Policy) Missing() (ids []string) {
	for _, rule := range p.Rules {
		ids = append(ids, slices.DeleteFunc(rule.named(), p.has)...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Warnings says in a sentence each what of a policy that is right keeps everybody from being
// told: rules for channels that aren't set up, and kinds of events that go to nobody when
// all do.
func (p Policy) Warnings() []string {
	if len(p.Channels) == 0 {
		return []string{"nobody is told when something goes wrong: set ALERT_EMAIL, SLACK_WEBHOOK_URL or ALERT_WEBHOOK_URL, or add alerts.channels to manus.yaml"}
	}
	var warnings []string
	for i, rule := range p.Rules {
		for _, id := range rule.named() {
			if !p.has(id) {
				warnings = append(warnings, fmt.Sprintf("alerts.rules[%d] of manus.yaml tells nobody on %s: there is no such channel, as its variable isn't set", i, id))
			}
		}
	}
	told := slices.ContainsFunc(Kinds, func(k Kind) bool {
		about := func(r Rule) bool { return names(r.On, k.Name) }
		return !slices.ContainsFunc(p.Rules, about) ||
			slices.ContainsFunc(p.Rules, func(r Rule) bool { return about(r) && slices.ContainsFunc(r.Channels, p.has) })
	})
	if !told {
		warnings = append(warnings, "nobody is told when something goes wrong: no rule of alerts.rules in manus.yaml names a channel that is set up")
	}
	return warnings
}

// checker collects what is wrong.
type checker struct {
	known    []string // ids of channels
	problems []string
}

func (c *checker) add(wrong bool, format string, args ...any) {
	if wrong {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

func (c *checker) channels(all []ChannelConfig) {
	c.add(len(all) > maxChannels, "alerts.channels: there are more than %d", maxChannels)
	for i, channel := range all {
		name := fmt.Sprintf("alerts.channels[%d]", i)
		c.add(!channelID.MatchString(channel.ID), `%s.id: use a small letter, then small letters, digits and "-", 32 at most`, name)
		c.add(slices.Contains(c.known, channel.ID), "%s.id: there is another channel %q", name, channel.ID)
		c.add(!isLanguage(channel.Language), "%s.language: use en or ar", name)
		c.known = append(c.known, channel.ID)
	}
}

func (c *checker) rule(name string, r Rule) {
	c.on(name+".on", r.On)
	for _, f := range r.filters(Event{}) {
		c.pattern(name, f.Takes)
	}
	c.add(len(r.Tags) > maxRuleTags, "%s.tags: there are more than %d", name, maxRuleTags)
	for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
		c.add(key == "" || len(key) > maxTag, "%s.tags: %q is no tag's name", name, key)
		c.add(r.Tags[key] == "", `%s.tags: say which values of %s, such as "a*"; "*" is any`, name, key)
		c.pattern(name+".tags", r.Tags[key])
	}
	for _, f := range r.filters(Event{}) {
		c.had(name, f.Name, r.On, f.Takes != "")
	}
	c.had(name, "tags", r.On, len(r.Tags) > 0)
	c.add(r.Level != "" && !slices.Contains(levels, r.Level), "%s.level: use one of %s", name, levels)
	c.add(r.Channels == nil, "%s.channels: say who is told; [] is nobody", name)
	c.listed(name+".channels", r.Channels)
	ends := slices.ContainsFunc(Kinds, func(k Kind) bool { return k.Ends && names(r.On, k.Name) })
	c.add(r.RemindEvery != 0 && !ends, "%s.remind_every: take it out; the end of %s isn't told, so nothing is reminded of", name, r.On)
	c.add(r.RemindEvery != 0 && r.RemindEvery < minReminder, "%s.remind_every: use a duration such as 1h, at least 1m", name)
	c.add(r.RemindEvery > longest, "%s.remind_every: use a duration such as 1h, at most %s", name, longest)
	if e := r.Escalate; e != nil {
		c.between(name+".escalate.after", e.After, time.Second, longest)
		c.listed(name+".escalate.channels", e.Channels)
		c.add(len(e.Channels) == 0, "%s.escalate.channels: say who is told then", name)
	}
	spike := r.Events != 0 || r.Within != 0
	c.add(spike && r.On != spikeKind, "%s: events and within are for issue.spike alone", name)
	c.add(!spike && r.On == spikeKind, "%s: say how many events make a spike, such as events: 100, within: 5m", name)
	c.add(spike && (r.Events < 1 || r.Within < time.Second), "%s: events and within go together, such as 100 and 5m", name)
}

// had looks whether an event that a rule names can have what a filter asks for.
func (c *checker) had(name, filter, on string, asked bool) {
	of := having(filter)
	has := slices.ContainsFunc(of, func(k Kind) bool { return names(on, k.Name) })
	c.add(asked && !has, "%s.%s: take it out; no event of %q has any, those of %s have", name, filter, on, strings.Join(kindNames(of), ", "))
}

// on looks at what names kinds.
func (c *checker) on(name, on string) {
	known := slices.ContainsFunc(Kinds, func(k Kind) bool { return names(on, k.Name) })
	c.add(!known, "%s: there are no events %q; use one of %s, a part such as backup.*, or *", name, on, strings.Join(kindNames(Kinds), ", "))
}

func (c *checker) pattern(name, pattern string) {
	_, err := path.Match(pattern, "")
	c.add(err != nil, "%s: %q is no pattern", name, pattern)
}

func (c *checker) listed(name string, ids []string) {
	for _, id := range ids {
		c.add(!slices.Contains(c.known, id), "%s: there is no channel %q; there are %s", name, id, cmp.Or(strings.Join(c.known, ", "), "none: set ALERT_EMAIL, SLACK_WEBHOOK_URL or ALERT_WEBHOOK_URL, or add alerts.channels"))
	}
}

func (c *checker) between(name string, d, least, most time.Duration) {
	c.add(d < least || d > most, "%s: use a duration from %s to %s", name, least, most)
}

func (c *checker) zone(name, zone string) {
	_, err := time.LoadLocation(zone)
	c.add(err != nil || zone == "Local", "%s: use a name such as Europe/Berlin or Asia/Riyadh", name)
}

func isLanguage(tag language.Tag) bool {
	return tag == "" || tag == language.English || tag == language.Arabic
}

// clockTime reads a time of day, as the time since midnight.
func clockTime(text string) (time.Duration, error) {
	at, err := time.Parse("15:04", text)
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute, err
}
