package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"manus/language"
)

// good is a policy that uses all there is.
func good() Policy {
	p := DefaultPolicy()
	p.Language, p.Timezone = language.Arabic, "Asia/Riyadh"
	p.Channels = []ChannelConfig{{ID: "pager", Type: "webhook"}}
	p.Rules = []Rule{
		{On: "*", Channels: []string{"mail"}},
		{On: "backup.*", Channels: []string{}, Level: Warning},
		{On: "issue.spike", Channels: []string{}, Events: 100, Within: 5 * time.Minute, Project: "web-*", Release: "web@*", Tags: map[string]string{"browser": "Chrome*", "os.name": "*"}},
		{On: "monitor.down", Channels: []string{"mail", "pager"}, RemindEvery: time.Hour, Escalate: &Escalate{15 * time.Minute, []string{"pager"}}},
	}
	p.QuietHours = &QuietHours{From: "23:00", Until: "07:00", Timezone: "Europe/Berlin", Except: []string{"monitor.*"}}
	p.Runbooks = map[string]string{"backup.*": "https://wiki.example.com/backups", "*": "http://wiki.example.com"}
	return p
}

func TestEachMistakeInAPolicyIsTold(t *testing.T) {
	t.Parallel()
	if found := good().Problems("mail"); len(found) > 0 {
		t.Fatalf("a good policy: %v", found)
	}
	if found := DefaultPolicy().Problems(); len(found) > 0 {
		t.Errorf("the default: %v", found)
	}
	rule := func(change func(*Rule)) func(*Policy) { return func(p *Policy) { change(&p.Rules[3]) } }
	quiet := func(change func(*QuietHours)) func(*Policy) { return func(p *Policy) { change(p.QuietHours) } }
	for want, change := range map[string]func(*Policy){
		"alerts.language: use en or ar":                                                   func(p *Policy) { p.Language = "fr" },
		"alerts.timezone: use a name such as":                                             func(p *Policy) { p.Timezone = "Berlin" },
		"alerts.timezone: use a name such":                                                func(p *Policy) { p.Timezone = "Local" },
		"alerts.channels: there are more than 20":                                         func(p *Policy) { p.Channels = make([]ChannelConfig, 21) },
		"alerts.channels[0].id: use a small letter":                                       func(p *Policy) { p.Channels[0].ID = "Pager/2" },
		`alerts.channels[1].id: there is another channel "pager"`:                         func(p *Policy) { p.Channels = append(p.Channels, ChannelConfig{ID: "pager"}) },
		`alerts.channels[1].id: there is another channel "mail"`:                          func(p *Policy) { p.Channels = append(p.Channels, ChannelConfig{ID: "mail"}) },
		"alerts.channels[0].language: use en or ar":                                       func(p *Policy) { p.Channels[0].Language = "de" },
		"alerts.rules: there are more than 100":                                           func(p *Policy) { p.Rules = append(p.Rules, make([]Rule, 100)...) },
		`alerts.rules[3].on: there are no events "monitor.up"; use one of backup.failed,`: rule(func(r *Rule) { r.On = "monitor.up" }),
		`alerts.rules[3].on: there are no events ""`:                                      rule(func(r *Rule) { r.On = "" }),
		`alerts.rules[3].on: there are no events "nothing.*"`:                             rule(func(r *Rule) { r.On = "nothing.*" }),
		`alerts.rules[3]: "[" is no pattern`:                                              rule(func(r *Rule) { r.Component = "[" }),
		`alerts.rules[3].release: take it out; no event of "monitor.down" has any, those of issue.new, issue.regressed, issue.spike have`:                      rule(func(r *Rule) { r.Release = "1" }),
		`alerts.rules[3].tags: take it out; no event of "monitor.down" has any`:                                                                                rule(func(r *Rule) { r.Tags = map[string]string{"a": "b"} }),
		`alerts.rules[3].component: take it out; no event of "check_in.missed" has any, those of monitor.down, monitor.flapping, slo.burning have`:             rule(func(r *Rule) { r.On, r.Component = "check_in.missed", "api" }),
		`alerts.rules[2].monitor: take it out; no event of "issue.spike" has any, those of check_in.missed, monitor.down, monitor.flapping, slo.burning have`:  func(p *Policy) { p.Rules[2].Monitor = "*" },
		`alerts.rules[1].project: take it out; no event of "backup.*" has any`:                                                                                 func(p *Policy) { p.Rules[1].Project = "shop" },
		`alerts.rules[3].environment: take it out; no event of "monitor.down" has any, those of issue.new, issue.regressed, issue.spike, check_in.missed have`: rule(func(r *Rule) { r.Environment = "production" }),
		`alerts.rules[3].project: take it out; no event of "monitor.down" has any`:                                                                             rule(func(r *Rule) { r.Project = "shop" }),
		`alerts.rules[1].environment: take it out; no event of "backup.*" has any`:                                                                             func(p *Policy) { p.Rules[1].Environment = "production" },
		`alerts.rules[2]: "[" is no pattern`:                                          func(p *Policy) { p.Rules[2].Release = "[" },
		`alerts.rules[2].tags: "[" is no pattern`:                                     func(p *Policy) { p.Rules[2].Tags["os.name"] = "[" },
		`alerts.rules[2].tags: say which values of os.name, such as "a*"; "*" is any`: func(p *Policy) { p.Rules[2].Tags["os.name"] = "" },
		`alerts.rules[2].tags: "" is no tag's name`:                                   func(p *Policy) { p.Rules[2].Tags[""] = "a" },
		"alerts.rules[2].tags: there are more than 20": func(p *Policy) {
			for n := range 20 {
				p.Rules[2].Tags[fmt.Sprint(n)] = "a"
			}
		},
		"alerts.rules[3].level: use one of [info warning error critical]":              rule(func(r *Rule) { r.Level = "fatal" }),
		`alerts.rules[3].channels: there is no channel "phone"; there are mail, pager`: rule(func(r *Rule) { r.Channels = []string{"phone"} }),
		"alerts.rules[3].remind_every: use a duration such as 1h":                      rule(func(r *Rule) { r.RemindEvery = time.Second }),
		"alerts.rules[3].remind_every: use a duration such as 1h, at least 1m":         rule(func(r *Rule) { r.RemindEvery = -time.Hour }),
		"alerts.rules[3].channels: say who is told; [] is nobody":                      rule(func(r *Rule) { r.Channels = nil }),
		"alerts.rules[3].remind_every: take it out; the end of issue.*":                rule(func(r *Rule) { r.On = "issue.*" }),
		"alerts.rules[3].escalate.after: use a duration from 1s to 720h0m0s":           rule(func(r *Rule) { r.Escalate.After = 0 }),
		"alerts.rules[3].escalate.channels: say who is told":                           rule(func(r *Rule) { r.Escalate.Channels = nil }),
		`alerts.rules[3].escalate.channels: there is no channel "x"`:                   rule(func(r *Rule) { r.Escalate.Channels = []string{"x"} }),
		"alerts.rules[3]: events and within are for issue.spike alone":                 rule(func(r *Rule) { r.Events, r.Within = 1, time.Minute }),
		"alerts.rules[2]: events and within go together, such as 100 and 5m":           func(p *Policy) { p.Rules[2].Within = 0 },
		`alerts.quiet_hours: from and until are times such as "23:00"`:                 quiet(func(q *QuietHours) { q.From = "24:00" }),
		"alerts.quiet_hours: from and until are times":                                 quiet(func(q *QuietHours) { q.Until = "" }),
		"alerts.quiet_hours: from and until are the same":                              quiet(func(q *QuietHours) { q.From = "07:00" }),
		"alerts.quiet_hours: from and until are the sam":                               quiet(func(q *QuietHours) { q.From = "7:00" }),
		"alerts.quiet_hours.timezone: use a name":                                      quiet(func(q *QuietHours) { q.Timezone = "CEST" }),
		`alerts.quiet_hours.except: there are no events "x"`:                           quiet(func(q *QuietHours) { q.Except = []string{"x"} }),
		"alerts.at_most.alerts: use a number from 1 to 100":                            func(p *Policy) { p.AtMost.Alerts = 0 },
		"alerts.at_most.alerts: use a number from 1":                                   func(p *Policy) { p.AtMost.Alerts = 101 },
		"alerts.at_most.within: use a duration from 1s to 24h0m0s":                     func(p *Policy) { p.AtMost.Within = 0 },
		`alerts.runbooks: there are no events "x"`:                                     func(p *Policy) { p.Runbooks["x"] = "https://wiki.example.com" },
		"alerts.runbooks.*: use the address of a page":                                 func(p *Policy) { p.Runbooks["*"] = "javascript:alert(1)" },
	} {
		p := good()
		change(&p)
		if found := p.Problems("mail"); len(found) == 0 || !strings.Contains(strings.Join(found, "\n"), want) {
			t.Errorf("wanted %q, got %q", want, found)
		}
	}
	p := Policy{Rules: []Rule{{On: "*", Channels: []string{"mail"}}}}
	if found := p.Problems(); !strings.Contains(strings.Join(found, "\n"), "there are none: set ALERT_EMAIL") {
		t.Errorf("without any channel: %q", found)
	}
}

func TestProblemsAreInTheSameOrderEachTime(t *testing.T) {
	t.Parallel()
	p := DefaultPolicy()
	p.Runbooks = map[string]string{"a": "", "b": "", "c": "", "d": ""}
	want := strings.Join(p.Problems(), "\n")
	for range 50 {
		if got := strings.Join(p.Problems(), "\n"); got != want {
			t.Fatalf("got\n%s\nafter\n%s", got, want)
		}
	}
}

// TestWhatAnEventSaysOfWhereIsOneLine, also where a stranger said it.
func TestWhatAnEventSaysOfWhereIsOneLine(t *testing.T) {
	t.Parallel()
	const said = "a\r\n\nb\u2066\u200b"
	e := Event{Title: language.Text{En: said}, Project: said, Environment: said, Monitor: said, Components: []string{said}, Release: said, Tags: []Tag{{said, said}}, Tried: []string{said}}.bounded()
	for n, got := range []string{e.Title.En, e.Project, e.Environment, e.Monitor, e.Components[0], e.Release, e.Tags[0].Key, e.Tags[0].Value, e.Tried[0]} {
		if got != "a b" {
			t.Errorf("%d is told as %q", n, got)
		}
	}
}
