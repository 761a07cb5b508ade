package app

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"

	"manus/config"
	"manus/errtrack"
	"manus/language"
	"manus/notify"
)

// addErrors adds the inbox of errors.
func (a *App) addErrors() error {
	c := errtrack.Config{
		Store: a.store, Audit: a.audit, Policy: errorPolicy(a.settings.Errors, a.settings.Alerts.Policy), PublicURL: URLOf(a.settings),
		Tell: a.tellError, Became: a.becameOfError, RulesUnread: a.options.Offline && a.settings.ConfigPath == "", Metrics: a.registry, Log: a.logOfInbox(),
	}
	if a.settings.MongoDB.Empty() {
		c.Locks = a.settings.DataDir
	}
	var err error
	if a.Errors, err = errtrack.New(c); err != nil {
		return err
	}
	a.add(room{
		name: "errors", specs: errtrack.Specs(), routes: a.Errors.Routes, run: a.Errors.Run, sweep: a.Errors.Sweep, promises: a.Errors.Promises(),
		apply: func(s config.Settings) (func(), error) {
			return a.Errors.PreparePolicy(errorPolicy(s.Errors, s.Alerts.Policy))
		},
	})
	return nil
}

// URLOf is where the product is reached: PUBLIC_URL, or else where this machine reaches it.
// It is empty for a port that is still to be picked.
func URLOf(s config.Settings) string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	return localURL(s.Addr)
}

// PublicURL is where others reach the product, as its settings say; empty where they don't.
func (a *App) PublicURL() string { return a.settings.PublicURL }

func localURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "0" {
		return ""
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// errorPolicy is a policy of the inbox, with the spikes that rules of alerts are about. Several
// rules, for other releases and tags, may be about the same.
func errorPolicy(p errtrack.Policy, alerts notify.Policy) errtrack.Policy {
	p.Spikes = nil
	for _, rule := range alerts.Rules {
		spike := errtrack.Spike{Events: rule.Events, Within: rule.Within}
		if rule.On == errtrack.IssueSpike && rule.Events > 0 && !slices.Contains(p.Spikes, spike) {
			p.Spikes = append(p.Spikes, spike)
		}
	}
	return p
}

// tellError tells what happened to an issue, or to a job that reports.
func (a *App) tellError(ctx context.Context, told errtrack.Told) error {
	level := notify.Level(told.Level)
	switch level {
	case "fatal":
		level = notify.Critical
	case "debug":
		level = notify.Info
	}
	e := notify.Event{
		Kind: told.Kind, Subject: told.Subject, Occurrence: told.Occurrence, Over: told.Over, At: told.At, Level: level,
		Title: told.Title, Text: told.Text, Project: told.Project, ProjectAlso: told.ProjectAlso, Environment: told.Environment, Monitor: told.Job,
		Events: told.Spike.Events, Within: told.Spike.Within, Release: told.Release, Before: told.Before,
	}
	for _, tag := range told.Tags {
		e.Tags = append(e.Tags, notify.Tag(tag))
	}
	if told.Project != "" {
		e.Title = language.Text{En: told.Title.En + " (" + told.Project + ")", Ar: language.Arabic.Isolate(told.Title.Ar) + " (" + language.Arabic.Isolate(told.Project) + ")"}
	}
	return a.Alerts.Tell(ctx, e)
}

// becameOfError says what has become of an alert of an issue.
func (a *App) becameOfError(ctx context.Context, kind, subject, occurrence string) ([]language.Text, error) {
	story, err := a.Alerts.Story(ctx, notify.Event{Kind: kind, Subject: subject, Occurrence: occurrence}.Key())
	if errors.Is(err, notify.ErrNoAlert) {
		return nil, nil
	}
	return story, err
}

// standingOfIssue says for a digest how an issue stands.
func (a *App) standingOfIssue(ctx context.Context, subject string) (notify.Standing, error) {
	i, err := a.Errors.Issue(ctx, subject)
	if errors.Is(err, errtrack.ErrNoIssue) {
		err = notify.ErrNoAlert
	}
	if err != nil {
		return notify.Standing{}, err
	}
	p, err := a.Errors.Project(ctx, i.Project)
	if errors.Is(err, errtrack.ErrNoProject) {
		err = notify.ErrNoAlert
	}
	return notify.Standing{Subject: i.Short, Title: i.ToldAs(), Project: p.Name, Events: i.Count, Releases: i.Releases()}, err
}
