package notify

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"manus/docstore"
	"manus/language"
)

// routing is a policy that is in force: its rules, and the lanes of its channels.
type routing struct {
	Policy
	zone  *time.Location
	quiet *time.Location
	ids   []string // of channels
	lanes map[string]*lane
}

// lane is where messages go one after another: a channel, or a part of one, such as each
// address of a mail channel. The first part's name is the channel's id, that of the
// second is id/2.
type lane struct {
	name, channel string
	Channel
	language language.Tag
	config   ChannelConfig
	// pause is for how long the receiver wants to be left alone.
	pause atomic.Pointer[pause]
}

// pause is a time in which a lane sends nothing.
type pause struct {
	until time.Time
	wait  time.Duration
}

// left is how long it goes on. More than there was to wait means that the clock has been
// set back: nobody knows, and it has ended.
func (p *pause) left(now time.Time) time.Duration {
	if p == nil {
		return 0
	}
	if left := p.until.Sub(now); left <= p.wait {
		return max(left, 0)
	}
	return 0
}

// channelOf is the channel that a lane is a part of.
func channelOf(lane string) string {
	channel, _, _ := strings.Cut(lane, "/")
	return channel
}

// newRouting makes the channels of a policy.
func newRouting(p Policy, build func(ChannelConfig) ([]Channel, error)) (*routing, error) {
	r := &routing{Policy: p, lanes: map[string]*lane{}}
	var err error
	if r.zone, err = time.LoadLocation(p.Timezone); err != nil {
		return nil, fmt.Errorf("alerts.timezone: %w", err)
	}
	if r.quiet = r.zone; p.QuietHours != nil && p.QuietHours.Timezone != "" {
		if r.quiet, err = time.LoadLocation(p.QuietHours.Timezone); err != nil {
			return nil, fmt.Errorf("alerts.quiet_hours.timezone: %w", err)
		}
	}
	for _, c := range p.Channels {
		parts, err := build(c)
		if err != nil {
			return nil, fmt.Errorf("the alert channel %s: %w", c.ID, err)
		}
		r.ids = append(r.ids, c.ID)
		for i, part := range parts {
			name := c.ID
			if i > 0 {
				name = fmt.Sprintf("%s/%d", c.ID, i+1)
			}
			l := &lane{name: name, channel: c.ID, Channel: part, language: c.Language, config: c}
			if l.language == "" {
				l.language = p.Language
			}
			r.lanes[name] = l
		}
	}
	return r, nil
}

// SetPolicy puts a policy in force for what is told and sent from now on. Errors are
// those of its channels; then the one before stays.
func (s *Service) SetPolicy(p Policy) error {
	put, err := s.PreparePolicy(p)
	if err == nil {
		put()
	}
	return err
}

// PreparePolicy is SetPolicy in two steps: put puts the policy in force.
func (s *Service) PreparePolicy(p Policy) (put func(), err error) {
	r, err := newRouting(p, s.c.Channels)
	return func() { s.rules.Store(r) }, err
}

// lanesOf are the lanes of channels, sorted.
func (r *routing) lanesOf(channels []string) []string {
	var names []string
	for name, l := range r.lanes {
		if slices.Contains(channels, l.channel) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// names tells whether a rule's on takes a kind.
func names(on, kind string) bool {
	if prefix, all := strings.CutSuffix(on, "*"); all {
		return strings.HasPrefix(kind, prefix)
	}
	return on == kind
}

// levels from the least to the worst.
var levels = []Level{Info, Warning, Error, Critical}

// matches tells whether the rule is about an event.
func (r Rule) matches(e Event) bool {
	is := func(pattern, value string) bool {
		matched, _ := path.Match(pattern, value)
		return pattern == "" || pattern == "*" || matched
	}
	return names(r.On, e.Kind) && is(r.Project, e.Project) && is(r.Environment, e.Environment) &&
		is(r.Monitor, e.Monitor) && is(r.Component, e.Component) &&
		slices.Index(levels, e.level()) >= slices.Index(levels, r.Level)
}

func (e Event) level() Level {
	if e.Level != "" {
		return e.Level
	}
	return kindOf(e.Kind).Level
}

// remindDaily is how often something is told again that no rule says anything of.
const remindDaily = 24 * time.Hour

// matching are the rules for an event. When none names its kind, it is for all channels.
func (r *routing) matching(e Event) []Rule {
	named := func(rule Rule) bool { return names(rule.On, e.Kind) }
	if !slices.ContainsFunc(r.Rules, named) {
		return []Rule{{On: e.Kind, Channels: r.ids, RemindEvery: remindDaily}}
	}
	return slices.DeleteFunc(slices.Clone(r.Rules), func(rule Rule) bool { return !rule.matches(e) })
}

// plan says where a new occurrence goes, and when it is escalated.
func (r *routing) plan(o *occurrence) {
	for _, rule := range r.matching(o.Event) {
		for _, name := range r.lanesOf(rule.Channels) {
			if !o.Event.isOf(name) {
				o.to(name, Raised, rule.RemindEvery)
			}
		}
		if rule.Escalate != nil {
			at := docstore.At(o.ReceivedAt.Add(rule.Escalate.After))
			o.Escalations = append(o.Escalations, escalation{At: at, Channels: rule.Escalate.Channels})
		}
	}
}

// isOf tells whether the event says that a lane doesn't deliver: it isn't told there.
func (e Event) isOf(lane string) bool {
	return (e.Kind == ChannelDead || e.Kind == ChannelUnproven) && e.Subject == lane
}

// to has the occurrence go to a lane too. It is reminded of by the rule that does so most
// often.
func (o *occurrence) to(name string, as State, remindEvery time.Duration) {
	if o.Lanes == nil {
		o.Lanes = map[string]*sending{}
	}
	sent := o.Lanes[name]
	if sent == nil {
		sent = &sending{As: as}
		o.Lanes[name] = sent
	}
	if kindOf(o.Event.Kind).Ends && remindEvery > 0 && (sent.RemindEvery == 0 || remindEvery < sent.RemindEvery) {
		sent.RemindEvery = remindEvery
	}
}

// quietUntil is when the quiet hours end that hold an event back; zero when none do.
func (r *routing) quietUntil(e Event, now time.Time) time.Time {
	if q := r.QuietHours; q == nil || slices.ContainsFunc(q.Except, func(on string) bool { return names(on, e.Kind) }) {
		return time.Time{}
	}
	return r.quietEnd(now)
}

// quietEnd is when the quiet hours end that now is in; zero when it is in none.
func (r *routing) quietEnd(now time.Time) time.Time {
	q := r.QuietHours
	if q == nil {
		return time.Time{}
	}
	from, fromErr := clockTime(q.From)
	until, untilErr := clockTime(q.Until)
	if fromErr != nil || untilErr != nil || from == until {
		return time.Time{}
	}
	at := func(day int, clock time.Duration) time.Time { // by the clock on the wall, also on days of 23 hours
		local := now.In(r.quiet)
		return time.Date(local.Year(), local.Month(), local.Day()+day, int(clock.Hours()), int(clock.Minutes())%60, 0, 0, r.quiet)
	}
	for _, day := range []int{-1, 0} {
		begin, end := at(day, from), at(day, until)
		if until < from {
			end = at(day+1, until)
		}
		if !now.Before(begin) && now.Before(end) {
			return end
		}
	}
	return time.Time{}
}
