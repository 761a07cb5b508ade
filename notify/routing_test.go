package notify

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
)

// routes says where an event goes under rules, with the channels a and b.
func routes(t *testing.T, e Event, rules ...Rule) string {
	t.Helper()
	p := DefaultPolicy()
	p.Channels, p.Rules = []ChannelConfig{{ID: "a"}, {ID: "b"}}, rules
	r, err := newRouting(p, nil, func(ChannelConfig) ([]Channel, error) { return []Channel{&receiver{}}, nil })
	if err != nil {
		t.Fatal(err)
	}
	o := occurrence{Event: e}
	r.plan(&o)
	return strings.Join(slices.Sorted(maps.Keys(o.Lanes)), " ")
}

func TestWhereRulesTakeAnEvent(t *testing.T) {
	t.Parallel()
	a, b := []string{"a"}, []string{"b"}
	down := Event{Kind: "monitor.down", Monitor: "health", Project: "web-shop", Environment: "production", Components: []string{"web", "api/v1"}}
	mild := Event{Kind: "monitor.down", Level: Warning}
	bug := Event{Kind: "issue.new", Release: "shop@1.4.2", Tags: []Tag{{"browser", "Chrome 130"}, {"os.name", "Android"}}}
	tags := func(of ...string) map[string]string {
		all := map[string]string{}
		for i := 0; i < len(of); i += 2 {
			all[of[i]] = of[i+1]
		}
		return all
	}
	for _, c := range []struct {
		name  string
		event Event
		rules []Rule
		want  string
	}{
		{"no rules", down, nil, "a b"},
		{"a kind no rule names", down, []Rule{{On: "backup.*", Channels: a}}, "a b"},
		{"a kind that a rule names, but not this event", down, []Rule{{On: "monitor.down", Monitor: "other", Channels: a}}, ""},
		{"nobody is to know", down, []Rule{{On: "monitor.down", Channels: []string{}}}, ""},
		{"nobody by one rule, somebody by another", down, []Rule{{On: "monitor.down"}, {On: "*", Channels: b}}, "b"},
		{"all rules that match", down, []Rule{{On: "monitor.*", Channels: a}, {On: "monitor.down", Channels: b}, {On: "monitor.down", Channels: a}}, "a b"},
		{"a part of a name is no kind", down, []Rule{{On: "monitor", Channels: a}}, "a b"},
		{"the level of the kind", down, []Rule{{On: "*", Level: Critical, Channels: a}}, "a"},
		{"at least that level", mild, []Rule{{On: "*", Level: Info, Channels: a}, {On: "*", Level: Error, Channels: b}}, "a"},
		{"exactly that level", mild, []Rule{{On: "*", Level: Warning, Channels: a}}, "a"},
		{"a pattern", down, []Rule{{On: "*", Project: "web-*", Channels: a}, {On: "*", Project: "shop-*", Channels: b}}, "a"},
		{"a project's slug", Event{Kind: "issue.new", Project: "My Web", ProjectAlso: []string{"my-web", "7"}}, []Rule{{On: "*", Project: "my-*", Channels: a}, {On: "*", Project: "web-*", Channels: b}}, "a"},
		{"a project's number", Event{Kind: "issue.new", Project: "My Web", ProjectAlso: []string{"my-web", "7"}}, []Rule{{On: "*", Project: "7", Channels: a}, {On: "*", Project: "8", Channels: b}}, "a"},
		{"a pattern of one character", down, []Rule{{On: "*", Monitor: "healt?", Channels: a}}, "a"},
		{"all filters at once", down, []Rule{{On: "*", Monitor: "health", Environment: "staging", Channels: a}}, ""},
		{"any of its components", down, []Rule{{On: "*", Component: "web", Channels: a}, {On: "*", Component: "api/*", Channels: b}}, "a b"},
		{"none of its components", down, []Rule{{On: "*", Component: "web*v1", Channels: a}, {On: "*", Channels: b}}, "b"},
		{"anything, also with a slash", down, []Rule{{On: "*", Component: "*", Channels: a}}, "a"},
		{"nothing isn't everything", mild, []Rule{{On: "*", Project: "web-*", Channels: a}, {On: "*", Project: "*", Channels: b}}, "b"},
		{"releases", bug, []Rule{{On: "issue.*", Release: "shop@1.*", Channels: a}, {On: "*", Release: "shop@2.*", Channels: b}}, "a"},
		{"no release", down, []Rule{{On: "*", Release: "shop@*", Channels: a}, {On: "*", Channels: b}}, "b"},
		{"all tags", bug, []Rule{{On: "*", Tags: tags("browser", "Chrome*", "os.name", "Android"), Channels: a}, {On: "*", Tags: tags("browser", "Chrome*", "os.name", "iOS"), Channels: b}}, "a"},
		{"a tag that has to be there", bug, []Rule{{On: "*", Tags: tags("browser", "*"), Channels: a}, {On: "*", Tags: tags("customer", "*"), Channels: b}}, "a"},
		{"a tag and a release", bug, []Rule{{On: "*", Tags: tags("browser", "*"), Release: "shop@2", Channels: a}, {On: "*", Tags: tags("browser", "*"), Release: "shop@*", Channels: b}}, "b"},
		{"a channel that isn't set up", down, []Rule{{On: "*", Channels: []string{"slack", "a"}}}, "a"},
		{"a dead channel isn't told of itself", Event{Kind: ChannelDead, Subject: "a"}, nil, "b"},
	} {
		if got := routes(t, c.event, c.rules...); got != c.want {
			t.Errorf("%s: it goes to %q, not %q", c.name, got, c.want)
		}
	}
}

func TestTheRuleThatRemindsMostOftenHolds(t *testing.T) {
	t.Parallel()
	o := occurrence{Event: Event{Kind: "monitor.down"}}
	for _, every := range []time.Duration{time.Hour, 0, time.Minute, 2 * time.Hour} {
		o.to("a", Raised, every)
	}
	if every := o.Lanes["a"].RemindEvery; every != time.Minute {
		t.Errorf("it is every %s", every)
	}
}

func TestQuietHoursByTheClockOnTheWall(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct{ from, until, zone, now, want string }{
		{"23:00", "07:00", "UTC", "2026-11-26T22:59:59Z", ""},
		{"23:00", "07:00", "UTC", "2026-11-26T23:00:00Z", "2026-11-27T07:00:00Z"},
		{"23:00", "07:00", "UTC", "2026-11-27T00:00:00Z", "2026-11-27T07:00:00Z"},
		{"23:00", "07:00", "UTC", "2026-11-27T06:59:59Z", "2026-11-27T07:00:00Z"},
		{"23:00", "07:00", "UTC", "2026-11-27T07:00:00Z", ""},
		{"12:30", "13:15", "UTC", "2026-11-27T12:30:00Z", "2026-11-27T13:15:00Z"},
		{"12:30", "13:15", "UTC", "2026-11-27T13:15:00Z", ""},
		{"00:00", "06:00", "UTC", "2026-11-27T00:00:00Z", "2026-11-27T06:00:00Z"},
		{"18:00", "00:00", "UTC", "2026-11-27T23:59:00Z", "2026-11-28T00:00:00Z"},
		{"23:00", "07:00", "Asia/Riyadh", "2026-11-26T19:59:00Z", ""},
		{"23:00", "07:00", "Asia/Riyadh", "2026-11-26T20:00:00Z", "2026-11-27T04:00:00Z"},
		{"23:00", "07:00", "Pacific/Auckland", "2026-11-26T11:00:00Z", "2026-11-26T18:00:00Z"},
		// The clocks go forward on 29 March 2026 at 2:00, and back on 25 October at 3:00.
		{"23:00", "07:00", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T05:00:00Z"},
		{"23:00", "07:00", "Europe/Berlin", "2026-03-29T05:00:00Z", ""},
		{"23:00", "07:00", "Europe/Berlin", "2026-10-24T21:00:00Z", "2026-10-25T06:00:00Z"},
		{"23:00", "07:00", "Europe/Berlin", "2026-10-25T05:59:00Z", "2026-10-25T06:00:00Z"},
		{"02:00", "04:00", "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-29T02:00:00Z"}, // 3:30: there was no 2:00
		{"01:00", "04:00", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T03:00:00Z"}, // the second 2:30
		{"7:00", "07:00", "UTC", "2026-11-26T12:00:00Z", ""},                                // no time at all, not always
	} {
		p := DefaultPolicy()
		p.QuietHours = &QuietHours{From: c.from, Until: c.until, Timezone: c.zone}
		r, err := newRouting(p, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := time.Time{}
		if c.want != "" {
			want = at(c.want)
		}
		if got := r.quietUntil(Event{Kind: "backup.failed"}, at(c.now)); !got.Equal(want) {
			t.Errorf("%s to %s in %s at %s: until %s, not %q", c.from, c.until, c.zone, c.now, got, c.want)
		}
	}
}

func TestQuietHoursAreInTheZoneOfTheAlertsUnlessTheySayAnother(t *testing.T) {
	t.Parallel()
	p := DefaultPolicy()
	p.Timezone, p.QuietHours = "Asia/Riyadh", &QuietHours{From: "23:00", Until: "07:00", Except: []string{"monitor.*"}}
	r, err := newRouting(p, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	night := time.Date(2026, 11, 26, 20, 30, 0, 0, time.UTC)
	if r.quietUntil(Event{Kind: "backup.failed"}, night).IsZero() || !r.quietUntil(Event{Kind: "monitor.down"}, night).IsZero() {
		t.Error("it is quiet at the wrong time, or for what is excepted")
	}
}

// What is told again at the other side of a border - the quiet hours', a window's - goes
// the way it went at first, and only that.
func TestWhatIsToldAgainGoesTheWayItWentAtFirst(t *testing.T) {
	t.Parallel()
	quiet := &QuietHours{From: "23:00", Until: "07:00", Except: []string{"channel.*"}}
	for name, c := range map[string]struct {
		atMost      int
		first, then time.Time
	}{
		"held, and told after the quiet hours": {10, time.Date(2026, 11, 27, 6, 59, 59, 0, time.UTC), time.Date(2026, 11, 27, 7, 0, 2, 0, time.UTC)},
		"put, and told in the quiet hours":     {10, time.Date(2026, 11, 26, 22, 59, 59, 0, time.UTC), time.Date(2026, 11, 26, 23, 0, 2, 0, time.UTC)},
		"held, and told in the next window":    {1, time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), time.Date(2026, 11, 26, 12, 10, 1, 0, time.UTC)},
	} {
		r := setup(t, func(p *Policy) {
			p.QuietHours, p.AtMost.Alerts = quiet, c.atMost
			p.Rules = []Rule{{On: "*", Channels: []string{"a"}}}
		})
		r.clock.Set(c.first)
		if c.atMost == 1 {
			r.tell(t, r.down(0))
		}
		r.receivers["a"].fail(func(Message) error { return docstore.ErrUnavailable })
		if err := r.Tell(t.Context(), r.down(1)); err != nil {
			t.Fatal(err)
		}
		r.clock.Set(c.then)
		if err := r.Tell(t.Context(), r.down(1)); err != nil {
			t.Fatal(err)
		}
		r.receivers["a"].fail(nil)
		for range 3 {
			r.clock.Add(12 * time.Hour)
			r.work(t)
		}
		n := 0
		for _, m := range r.receivers["a"].messages() {
			if m.State != Reminder && strings.Contains(m.Title+strings.Join(m.Lines, " "), "Health is down (1)") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: it was told %d times: %s", name, n, r.receivers["a"].said())
		}
	}
}
