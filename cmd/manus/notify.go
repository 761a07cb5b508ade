package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"manus/app"
	"manus/config"
	"manus/docstore"
	"manus/identity"
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
	if c.Limit < 1 || c.Limit > docstore.MaxLimit {
		return usageError{fmt.Errorf("--limit: use a number from 1 to %d", docstore.MaxLimit)}
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
			if alert.LastError != "" && alert.Status != notify.Delivered {
				fmt.Fprintf(table, "\t\t\t\t\t\t%s\n", alert.LastError)
			}
		}
		return table.Flush()
	})
}

type notifyRetry struct {
	ID string `arg:"" help:"The alert's id, as 'manus notify list --failed' shows it."`
}

// Run has an alert sent again.
func (c notifyRetry) Run(p *process, parent *notifyCommand) error {
	return parent.with(p, func(a *app.App) error {
		ctx := identity.With(p.ctx, identity.Caller{Agent: "manus notify retry"})
		switch err := a.Alerts.Retry(ctx, c.ID); {
		case errors.Is(err, notify.ErrNoAlert):
			return errors.New("there is no alert with this id; 'manus notify list --failed' shows those that were given up")
		case errors.Is(err, notify.ErrNotDead):
			return errors.New("the alert wasn't given up: it waits, or was delivered")
		case err != nil:
			return err
		}
		_, err := fmt.Fprintf(p.out, "%s: it waits for a server, which sends it within a second\n", c.ID)
		return err
	})
}

type notifyTest struct {
	Channel string `arg:"" optional:"" help:"The channel's id. Without one, all are tested."`
}

// Run sends tests from here, also without a server. The channels are those of the settings
// that the command is given, which are to be the server's.
func (c notifyTest) Run(p *process, parent *notifyCommand) error {
	settings, err := config.LoadAlerts(parent.source(p), parent.Data)
	if err != nil {
		return err
	}
	known := settings.Alerts.Policy.Channels
	if len(known) == 0 {
		return usageError{errors.New("there is no channel: set ALERT_EMAIL, SLACK_WEBHOOK_URL or ALERT_WEBHOOK_URL, or give the server's settings by --env-file and --config")}
	}
	if c.Channel != "" && !slices.ContainsFunc(known, func(k notify.ChannelConfig) bool { return k.ID == c.Channel }) {
		ids := make([]string, len(known))
		for i, k := range known {
			ids[i] = k.ID
		}
		return usageError{fmt.Errorf("there is no channel %q; there are %s", c.Channel, strings.Join(ids, ", "))}
	}
	return withRooms(p, app.Options{Settings: settings, Unopened: true}, func(a *app.App) error {
		failed := 0
		err := a.Alerts.TestNow(p.ctx, c.Channel, func(lane string, err error) {
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
		return err
	})
}

type notifyRules struct {
	DryRun string        `help:"The manus.yaml to try." placeholder:"FILE" type:"path" required:""`
	Since  time.Duration `help:"How far to look back." default:"168h"`
}

// Run replays the events of the last week through another file.
func (c notifyRules) Run(p *process, parent *notifyCommand) error {
	source := parent.source(p)
	file, err := config.LoadFile(c.DryRun, source.Routes)
	if err != nil {
		return err
	}
	return parent.with(p, func(a *app.App) error {
		policy := file.Alerts
		for _, own := range config.OwnChannels {
			policy.Channels = append(policy.Channels, notify.ChannelConfig{ID: own})
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "TIME\tKIND\tTITLE\tAT ONCE\tIN A DIGEST\tESCALATED TO\tWAS TOLD")
		n := 0
		err := a.ReplayAlerts(p.ctx, policy, time.Now().Add(-c.Since), func(told notify.Told) error {
			n++
			_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", told.At.UTC().Format(time.RFC3339), told.Event.Kind, told.Event.Title.In(language.English),
				listed(told.Channels), listed(told.Later), listed(told.Escalated), listed(told.Was))
			return err
		})
		if err == nil && n == 0 {
			_, err = fmt.Fprintln(p.err, "There were no events.")
			return err
		}
		return errors.Join(err, table.Flush())
	})
}

// listed are channels in a column.
func listed(channels []string) string {
	if len(channels) == 0 {
		return "-"
	}
	return strings.Join(channels, ",")
}
