package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"manus/app"
	"manus/config"
	"manus/docstore"
	"manus/errtrack"
	"manus/identity"
	"manus/internal/words"
	"manus/language"
	"manus/notify"
)

// notifyCommand works on the alerts of an installation, beside a running server or without.
type notifyCommand struct {
	installation

	List  notifyList  `cmd:"" help:"List alerts, newest first."`
	Retry notifyRetry `cmd:"" help:"Have the server send an alert again that was given up."`
	Test  notifyTest  `cmd:"" help:"Send a test on a channel, or on all."`
	Rules notifyRules `cmd:"" help:"Say who would have been told of last week's events by a manus.yaml."`
}

type notifyList struct {
	Failed bool `help:"Only those that were given up."`
	Limit  int  `help:"How many." default:"50"`
}

// Run lists alerts.
func (c notifyList) Run(p *process, parent *notifyCommand) error {
	if err := checkLimit(c.Limit); err != nil {
		return err
	}
	status := notify.Status("")
	if c.Failed {
		status = notify.Dead
	}
	return parent.with(p, func(a *app.App) error {
		alerts, _, err := a.Alerts.List(p.ctx, status, c.Limit, "")
		if err != nil {
			return err
		}
		if len(alerts) == 0 {
			_, err := fmt.Fprintln(p.err, "There are none.")
			return err
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tCREATED\tCHANNEL\tSTATUS\tATTEMPTS\tKIND\tTITLE")
		for _, alert := range alerts {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", alert.ID, alert.CreatedAt.UTC().Format(time.RFC3339), alert.Channel, alert.Status, alert.Attempts, alert.Kind, alert.Title)
			if !alert.HeldUntil.IsZero() {
				fmt.Fprintf(table, "\t\t\t\t\t\theld for a digest until %s\n", alert.HeldUntil.UTC().Format(time.RFC3339))
			}
			if alert.LastError != "" && alert.Status != notify.Delivered {
				fmt.Fprintf(table, "\t\t\t\t\t\t%s\n", alert.LastError)
			}
		}
		return table.Flush()
	})
}

type notifyRetry struct {
	ID     string `arg:"" optional:"" help:"The alert's id, as 'manus notify list --failed' shows it."`
	Failed bool   `help:"All that were given up."`
}

// Run has an alert sent again.
func (c notifyRetry) Run(p *process, parent *notifyCommand) error {
	if c.Failed == (c.ID != "") {
		return usageError{errors.New("give the id of an alert, or --failed for all that were given up; 'manus notify list --failed' shows them")}
	}
	return parent.with(p, func(a *app.App) error {
		ctx := identity.With(p.ctx, identity.Caller{Agent: "manus notify retry"})
		if c.Failed {
			return retryAll(ctx, p, a)
		}
		switch err := a.Alerts.Retry(ctx, c.ID); {
		case errors.Is(err, notify.ErrNoAlert):
			return errors.New("there is no alert with this id; 'manus notify list --failed' shows those that were given up")
		case errors.Is(err, notify.ErrNotDead):
			return errors.New("the alert wasn't given up: it waits, or was delivered")
		case err != nil:
			return err
		}
		_, err := fmt.Fprintf(p.out, "%s: it waits for a server with its channel, which sends it within a second\n", c.ID)
		return err
	})
}

// retryAll has all alerts sent again that were given up.
func retryAll(ctx context.Context, p *process, a *app.App) error {
	var ids []string // first, as they leave the list
	for cursor := ""; ; {
		alerts, next, err := a.Alerts.List(ctx, notify.Dead, docstore.MaxLimit, cursor)
		if err != nil {
			return err
		}
		for _, alert := range alerts {
			ids = append(ids, alert.ID)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	retried := 0
	for _, id := range ids {
		switch err := a.Alerts.Retry(ctx, id); {
		case err == nil:
			retried++
		case !errors.Is(err, notify.ErrNotDead) && !errors.Is(err, notify.ErrNoAlert): // somebody else has
			return err
		}
	}
	_, err := fmt.Fprintf(p.out, "%s: a server with their channels sends them\n", words.Count(int64(retried), "alert"))
	return err
}

type notifyTest struct {
	Channel *string `arg:"" optional:"" help:"The channel's id, or that of a part, such as mail/2. Without one, all are tested."`
}

// Run sends tests from here, also without a server or its store. The channels are those of the
// settings that the command is given, which are to be the server's.
func (c notifyTest) Run(p *process, parent *notifyCommand) error {
	settings, err := config.LoadAlerts(parent.source(p), parent.Data)
	if err != nil {
		return err
	}
	known := settings.Alerts.Policy.Channels
	if len(known) == 0 {
		return usageError{errors.New("there is no channel: set ALERT_EMAIL, SLACK_WEBHOOK_URL or ALERT_WEBHOOK_URL, or give the server's settings by --env-file and --config")}
	}
	channel := ""
	if c.Channel != nil {
		if channel = *c.Channel; channel == "" {
			return usageError{errors.New("the channel's id is empty; without one, all are tested")}
		}
	}
	return withRoomsAsFar(p, app.Options{Settings: settings}, func(a *app.App) error {
		failed := 0
		err := a.Alerts.TestNow(p.ctx, channel, func(lane string, err error) {
			outcome := "the receiver has taken it"
			if err != nil {
				failed++
				outcome = err.Error()
			}
			fmt.Fprintf(p.out, "%s: %s\n", lane, outcome)
		})
		if failed > 0 {
			return fmt.Errorf("%d of the tests failed", failed)
		}
		if errors.Is(err, notify.ErrNoAlert) {
			ids := make([]string, len(known))
			for i, k := range known {
				ids[i] = k.ID
			}
			return usageError{fmt.Errorf("there is no channel %q; there are %s", channel, strings.Join(ids, ", "))}
		}
		return err
	})
}

type notifyRules struct {
	DryRun string `help:"The manus.yaml to try." placeholder:"FILE" type:"path" required:""`
	Since  span   `help:"How far to look back, such as 72h or 30d." default:"7d"`
}

// span is a span of time as people write it.
type span time.Duration

func (s *span) UnmarshalText(text []byte) error {
	read, err := words.ReadSpan(string(text))
	if err != nil {
		return fmt.Errorf("%q is no span of time; write one such as 7d, 72h, 90m or 1h30m", text)
	}
	*s = span(read)
	return nil
}

// Run replays the events of the last week through another file.
func (c notifyRules) Run(p *process, parent *notifyCommand) error {
	if c.Since <= 0 {
		return usageError{errors.New("--since: use a span of time, such as 72h")}
	}
	source := parent.source(p)
	file, err := config.LoadFile(c.DryRun, source.Routes)
	if err != nil {
		return err
	}
	source.ConfigFile = c.DryRun
	if err := c.judge(p, source, parent.Data); err != nil {
		return err
	}
	return parent.with(p, func(a *app.App) error {
		policy := file.Alerts
		for _, own := range config.OwnChannels {
			policy.Channels = append(policy.Channels, notify.ChannelConfig{ID: own})
		}
		if slices.ContainsFunc(policy.Rules, func(rule notify.Rule) bool { return rule.On == errtrack.IssueSpike }) {
			fmt.Fprintln(p.err, "Spikes aren't replayed: of issue.spike only those are here that the server's own rules have told.")
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "TIME\tKIND\tTITLE\tAT ONCE\tIN A DIGEST\tESCALATED TO\tWAS TOLD\tWHY NOBODY")
		n := 0
		err := a.ReplayAlerts(p.ctx, policy, time.Now().Add(-time.Duration(c.Since)), func(told notify.Told) error {
			n++
			var why []string
			for _, text := range told.Why {
				why = append(why, text.In(language.English))
			}
			_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", told.At.UTC().Format(time.RFC3339), told.Event.Kind, told.Event.Title.In(language.English),
				listed(told.Channels), listed(told.Later), listed(told.Escalated), listed(told.Was), dash(language.Line(strings.Join(why, " "))))
			return err
		})
		if err == nil && n == 0 {
			_, err = fmt.Fprintln(p.err, "There were no events.")
			return err
		}
		return errors.Join(err, table.Flush())
	})
}

// judge returns what a server would refuse the file for. That a secret isn't among the
// settings of this command is only said.
func (notifyRules) judge(p *process, source config.Source, dataDir string) error {
	_, err := config.LoadAlerts(source, dataDir)
	problems, ok := errors.AsType[*config.Problems](err)
	if !ok {
		return err
	}
	var refused config.Problems
	for _, problem := range *problems {
		if problem.IsMissingSecret() {
			fmt.Fprintf(p.err, "%s isn't set here; the server needs it.\n", problem.Name)
		} else {
			refused = append(refused, problem)
		}
	}
	if len(refused) > 0 {
		return &refused
	}
	return nil
}

// listed are channels in a column.
func listed(channels []string) string {
	if len(channels) == 0 {
		return "-"
	}
	return strings.Join(channels, ",")
}
