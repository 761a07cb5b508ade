package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
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
	// pause is for how long the receiver wants to be left alone, whatever else changes in
	// the settings.
	pause *atomic.Pointer[pause]
}

// reaches tells whether a channel's messages go to the same receiver as another's.
func (c ChannelConfig) reaches(o ChannelConfig) bool {
	return c.Type == o.Type && c.URL == o.URL && c.Secret == o.Secret && c.Chat == o.Chat && slices.Equal(c.To, o.To)
}

// receiver tells where a channel's messages go from where others do, without saying it.
func (c ChannelConfig) receiver() string {
	told := sha256.New()
	_ = json.NewEncoder(told).Encode([]any{c.Type, c.URL, c.Secret, c.Chat, c.To}) // texts, which a digest takes
	return hex.EncodeToString(told.Sum(nil)[:8])
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

// newRouting makes the channels of a policy that takes the place of another, or of nil.
func newRouting(p Policy, before *routing, build func(ChannelConfig) ([]Channel, error)) (*routing, error) {
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
			l := &lane{name: name, channel: c.ID, Channel: part, language: c.Language, config: c, pause: before.pauseOf(name, c)}
			if l.language == "" {
				l.language = p.Language
			}
			r.lanes[name] = l
		}
	}
	return r, nil
}

// pauseOf is the pause of a lane that a channel goes on with, or a new one.
func (r *routing) pauseOf(name string, c ChannelConfig) *atomic.Pointer[pause] {
	if r != nil {
		if l := r.lanes[name]; l != nil && l.config.reaches(c) {
			return l.pause
		}
	}
	return new(atomic.Pointer[pause])
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
	r, err := newRouting(p, s.rules.Load(), s.c.Channels)
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

// filter is one that a rule has, what it takes, and what an event has of that.
type filter struct {
	Name  string   `json:"name"`
	Takes string   `json:"takes"`
	Has   string   `json:"has,omitempty"`
	Names []string `json:"-"` // what it may take in the place of Has, where there are several
}

// filters are those of a rule that are patterns, but for tags, with what an event has of each.
func (r Rule) filters(e Event) []filter {
	return []filter{
		{"project", r.Project, e.Project, e.ProjectAlso}, {"environment", r.Environment, e.Environment, nil}, {"monitor", r.Monitor, e.Monitor, nil},
		{"component", r.Component, strings.Join(e.Components, ", "), e.Components}, {"release", r.Release, e.Release, nil},
	}
}

// misses is the first filter of a rule for its kind that an event doesn't meet; without a
// name when it meets all.
func (r Rule) misses(e Event) filter {
	if r.On == spikeKind && (r.Events != e.Events || r.Within != e.Within) {
		spike := func(events int, within time.Duration) string { return fmt.Sprint(events, " within ", within) }
		return filter{Name: "events", Takes: spike(r.Events, r.Within), Has: spike(e.Events, e.Within)} // it was another rule's spike
	}
	for _, f := range r.filters(e) {
		if f.Takes != "" && !f.takes() {
			return f
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
		i := slices.IndexFunc(e.Tags, func(t Tag) bool { return t.Key == key })
		f := filter{Name: "tags." + key, Takes: r.Tags[key]}
		if i >= 0 {
			f.Has = e.Tags[i].Value
		}
		if i < 0 || !f.takes() {
			return f
		}
	}
	if slices.Index(levels, e.level()) < slices.Index(levels, r.Level) {
		return filter{Name: "level", Takes: string(r.Level), Has: string(e.level())}
	}
	return filter{}
}

func (f filter) takes() bool {
	return f.Takes == "*" || slices.ContainsFunc(append([]string{f.Has}, f.Names...), func(name string) bool {
		matched, _ := path.Match(f.Takes, name)
		return matched
	})
}

// unheard is why a rule that names an event's kind has told nobody of it: by a filter, or
// as its channels aren't set up, or as it has none.
type unheard struct {
	Rule     int      `json:"rule"` // its place in the file
	Filter   filter   `json:"filter,omitzero"`
	Channels []string `json:"channels,omitempty"`
}

// maxUnheard bounds of how many rules it is kept.
const maxUnheard = 20

// unheard says why nobody is told of an event.
func (r *routing) unheard(e Event) (all []unheard) {
	for i, rule := range r.Rules {
		if names(rule.On, e.Kind) && len(all) < maxUnheard {
			u := unheard{Rule: i, Filter: rule.misses(e)}
			if u.Filter.Name == "" {
				u.Channels = rule.Channels
			}
			all = append(all, u)
		}
	}
	return all
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
	return slices.DeleteFunc(slices.Clone(r.Rules), func(rule Rule) bool { return !named(rule) || rule.misses(e).Name != "" })
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
	if len(o.Lanes) == 0 {
		o.Unheard = r.unheard(o.Event)
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
