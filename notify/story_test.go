package notify

import (
	"errors"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/language"
)

// story is what is said of an event, a line for each sentence.
func (r *rig) story(t *testing.T, e Event, tag language.Tag) string {
	t.Helper()
	said, err := r.Story(t.Context(), e.Key())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, text := range said {
		if text.En == "" || text.Ar == "" {
			t.Errorf("%+v is not in both languages", text)
		}
		lines = append(lines, text.In(tag))
	}
	return strings.Join(lines, "\n")
}

func (r *rig) expectStory(t *testing.T, e Event, want string) {
	t.Helper()
	if got := r.story(t, e, language.English); got != want {
		t.Errorf("it says\n%s\nnot\n%s", got, want)
	}
}

func bug(n string) Event {
	return Event{
		Kind: "issue.new", Subject: "SHOP-1", Occurrence: n, At: docstore.At(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)), Environment: "staging", Release: "shop@1",
		Tags: []Tag{{"browser", "Chrome"}}, Level: Warning, Title: language.Text{En: "A bug", Ar: "علة"},
	}
}

func TestAStorySaysWhyNobodyIsTold(t *testing.T) {
	t.Parallel()
	nobody := []string{}
	for want, rules := range map[string][]Rule{
		"alerts.rules[1] tells nobody: its channels are [].":                                                          {{On: "backup.*", Channels: nobody}, {On: "issue.*", Channels: nobody}},
		"alerts.rules[0] tells slack, which isn't set up.":                                                            {{On: "issue.new", Channels: []string{"slack"}}},
		"alerts.rules[0] is for environment production; this is of staging.":                                          {{On: "*", Environment: "production", Channels: []string{"a"}}},
		"alerts.rules[0] is for project shop*; this has none.":                                                        {{On: "*", Project: "shop*", Channels: []string{"a"}}},
		"alerts.rules[0] is for release shop@2*; this is of shop@1.":                                                  {{On: "*", Release: "shop@2*", Channels: []string{"a"}}},
		"alerts.rules[0] is for tags.browser Firefox; this is of Chrome.":                                             {{On: "*", Tags: map[string]string{"browser": "Firefox"}, Channels: []string{"a"}}},
		"alerts.rules[0] is for tags.customer *; this has none.":                                                      {{On: "*", Tags: map[string]string{"customer": "*"}, Channels: []string{"a"}}},
		"alerts.rules[0] is for level error; this is of warning.":                                                     {{On: "*", Level: Error, Channels: []string{"a"}}},
		"alerts.rules[0] is for level error; this is of warning.\nalerts.rules[1] tells nobody: its channels are [].": {{On: "*", Level: Error, Channels: []string{"a"}}, {On: "*", Channels: nobody}},
	} {
		r := setup(t, func(p *Policy) { p.Rules = rules })
		r.tell(t, bug("1"))
		r.SetPolicy(DefaultPolicy()) // it is by the rules of then
		r.expectStory(t, bug("1"), want)
		r.story(t, bug("1"), language.Arabic)
	}
	r := setup(t, func(p *Policy) { p.Channels = nil })
	r.tell(t, bug("1"))
	r.expectStory(t, bug("1"), "Nobody is told, as no alert channel was set up.")
	if _, err := r.Story(t.Context(), bug("2").Key()); !errors.Is(err, ErrNoAlert) {
		t.Errorf("of what isn't known it says %v", err)
	}
}

func TestAStorySaysWhatHasBecomeOfAnAlertOnEachChannel(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.AtMost = AtMost{1, 10 * time.Minute} })
	r.receivers["b"].fail(func(Message) error { return errors.New("no connection\nat all.") })
	r.tell(t, bug("1"))
	r.expectStory(t, bug("1"), "a: told at 23 November 2026, 12:00 UTC.\nb: waits, tried once, at last: no connection at all.")
	if got := r.story(t, bug("1"), language.Arabic); !strings.Contains(got, "\u2068a\u2069: أُبلغ في 23 نوفمبر 2026") || !strings.Contains(got, "حُوول مرّة، وآخر خطأ: \u2068no connection at all\u2069.") {
		t.Errorf("in Arabic: %s", got)
	}
	r.tell(t, bug("2"))
	r.expectStory(t, bug("2"), "a: held for a digest until 23 November 2026, 12:10 UTC, for more alerts than at_most.\nb: held for a digest until 23 November 2026, 12:10 UTC, for more alerts than at_most.")
	r.receivers["b"].fail(func(Message) error { return Refused(errors.New("no such chat")) })
	r.clock.Add(10*time.Minute + time.Second)
	r.work(t)
	r.work(t)
	r.expectStory(t, bug("1"), "a: told at 23 November 2026, 12:00 UTC.\nb: given up, tried 2 times, the channel is dead, at last: no such chat.")
	if got := r.story(t, bug("2"), language.English); !strings.HasPrefix(got, "a: told in a digest at 23 November 2026, 12:10 UTC.\nb: ") {
		t.Errorf("of a digest it says %s", got)
	}
}

func TestAStorySaysThatTheChannelIsDeadOrTheHoursAreQuiet(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.Rules = []Rule{{On: "issue.*", Channels: []string{"a"}}, {On: "channel.*", Channels: []string{}}}
		p.QuietHours = &QuietHours{From: "13:00", Until: "14:00"}
	})
	r.receivers["a"].fail(func(Message) error { return Unusable(errors.New("401")) })
	r.tell(t, bug("1"))
	r.expectStory(t, bug("1"), "a: waits, tried once, the channel is dead, at last: 401.")
	r.clock.Add(time.Hour)
	r.tell(t, bug("2"))
	r.expectStory(t, bug("2"), "a: held for a digest until 23 November 2026, 14:00 UTC, for quiet hours.")
}

func TestWhatIsEscalatedSaysWhatWasTried(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.Rules = []Rule{{On: "issue.new", Channels: []string{"a"}, Escalate: &Escalate{After: 15 * time.Minute, Channels: []string{"b"}}}}
	})
	r.tell(t, bug("1"))
	r.clock.Add(15 * time.Minute)
	r.work(t)
	messages := r.receivers["b"].messages()
	if len(messages) != 1 || len(messages[0].Lines) != 1 || !strings.Contains(messages[0].Lines[0], "\u2068a\u2069: أُبلغ في 23 نوفمبر 2026") {
		t.Errorf("it says %+v", messages)
	}
}
