package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"manus/app"
	"manus/config"
	"manus/language"
	"manus/uptime"
)

// monitorCommand works on what is watched, beside a running server or without.
type monitorCommand struct {
	installation

	List   monitorList   `cmd:"" help:"List monitors, and how they are."`
	Show   monitorShow   `cmd:"" help:"Show a monitor; of a heartbeat, where it is pinged, when that is expected next and what came."`
	Test   monitorTest   `cmd:"" help:"Check a monitor once, now, from here; it changes nothing."`
	Pause  monitorPause  `cmd:"" help:"Don't check a monitor until it is resumed; that time counts as neither up nor down."`
	Resume monitorResume `cmd:"" help:"Check a monitor again."`
	Mute   monitorMute   `cmd:"" help:"Tell nobody that a monitor goes down, for a time, as during a deployment; what is down at its end is told then."`
	Unmute monitorUnmute `cmd:"" help:"Tell of a monitor again."`
	Import monitorImport `cmd:"" help:"Print what Uptime Kuma, Gatus or UptimeRobot watch as monitors for manus.yaml."`
}

// with is as that of the installation, with what is watched.
func (c monitorCommand) with(p *process, f func(*app.App) error) error {
	settings, err := config.LoadMonitors(c.source(p), c.Data)
	if err != nil {
		return err
	}
	return withRooms(p, app.Options{Settings: settings}, func(a *app.App) error {
		a.Uptime.ReachedAt(cmp.Or(settings.PublicURL, app.ServedAt(settings.DataDir), app.URLOf(settings), "http://localhost:8080"))
		return f(a)
	})
}

type monitorList struct{}

// Run lists monitors.
func (monitorList) Run(p *process, parent *monitorCommand) error {
	return parent.with(p, func(a *app.App) error {
		all, err := a.Uptime.Monitors(p.ctx)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			_, err := fmt.Fprintln(p.err, "There are none: list them in manus.yaml under 'monitors', and give it with --config, or make them by the API; the product itself is watched where PUBLIC_URL is set.")
			return err
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "MONITOR\tSTATUS\tSINCE\tUP 24H\tUP 90D\tBUDGET\tEVERY\tURL")
		for _, w := range all {
			every, url := w.Every.String(), language.Line(language.Cut(w.URL, 80))
			if w.Beats != nil {
				every, url = w.Beats.Schedule.String(), "pinged at "+w.Beats.URL
			}
			status := string(w.Status)
			if !w.Muted.IsZero() {
				status += " (muted)"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", w.ID, status, momentOf(w.Since), percent(w, "24h"), percent(w, "90d"), budgetLeft(w.Budget), every, url)
			if w.Last.Unknown && w.Last.Error.En != "" {
				fmt.Fprintln(table, strings.Repeat("\t", 7)+"nothing was learned: "+language.Line(w.Last.Error.En))
			}
		}
		return table.Flush()
	})
}

// percent is for how much of the known time it was up, never rounded up to all of it.
func percent(w uptime.Watched, window uptime.Window) string {
	ratio, known := w.Figures[window].Ratio()
	if !known {
		return "-"
	}
	return fmt.Sprintf("%.3f %%", float64(int64(ratio*100_000))/1000)
}

// budgetLeft is which part of an error budget is left, never rounded up.
func budgetLeft(b *uptime.Budget) string {
	if b == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", math.Floor(b.Ratio()*100))
}

type monitorTest struct {
	Monitor string `arg:"" help:"The monitor's id, as 'manus monitor list' shows it."`
}

// Run checks a monitor.
func (c monitorTest) Run(p *process, parent *monitorCommand) error {
	return parent.with(p, func(a *app.App) error {
		w, err := a.Uptime.Monitor(p.ctx, c.Monitor)
		if err != nil {
			return orNoMonitor(p, a, c.Monitor, err)
		}
		r, err := a.Uptime.Check(p.ctx, c.Monitor)
		if err != nil {
			return orNoMonitor(p, a, c.Monitor, err)
		}
		if w.Beats != nil {
			return toldBeat(p, c.Monitor, r)
		}
		phases := fmt.Sprintf("DNS %v ms, connection %v ms, TLS %v ms, first byte %v ms, in all %v ms", r.DNS, r.Connect, r.TLS, r.FirstByte, r.Total)
		if r.Up {
			_, err := fmt.Fprintf(p.out, "%s is up: %s\n", c.Monitor, phases)
			return err
		}
		fmt.Fprintln(p.out, phases)
		for _, condition := range r.Failed {
			fmt.Fprintln(p.out, "doesn't hold:", language.Line(condition))
		}
		return fmt.Errorf("%s isn't up: %s", c.Monitor, language.Line(r.Error.En))
	})
}

// one is the monitor that a command is about.
type one struct {
	Monitor string `arg:"" help:"The monitor's id, as 'manus monitor list' shows it."`
}

type (
	monitorPause  struct{ one }
	monitorResume struct{ one }
)

// Run pauses a monitor.
func (c monitorPause) Run(p *process, parent *monitorCommand) error {
	return parent.pause(p, "manus monitor pause", c.Monitor, true, "is paused")
}

// Run resumes a monitor.
func (c monitorResume) Run(p *process, parent *monitorCommand) error {
	return parent.pause(p, "manus monitor resume", c.Monitor, false, "is checked again")
}

func (c monitorCommand) pause(p *process, command, id string, paused bool, done string) error {
	return c.with(p, func(a *app.App) error {
		if err := a.Uptime.Pause(operating(p, command), id, paused); err != nil {
			return orNoMonitor(p, a, id, err)
		}
		w, err := a.Uptime.Monitor(p.ctx, id)
		if err != nil {
			return err
		}
		if !paused && w.Monitor.Paused {
			done = "stays paused: it is so where it is defined"
		}
		_, err = fmt.Fprintf(p.out, "%s %s\n", id, done)
		return err
	})
}

// some are the monitors that a command is about: one, or all.
type some struct {
	Monitor string `arg:"" optional:"" help:"The monitor's id, as 'manus monitor list' shows it."`
	All     bool   `help:"All monitors, those that are made meanwhile too."`
}

func (s some) id() (string, error) {
	if (s.Monitor == "") == !s.All {
		return "", usageError{errors.New("name a monitor, or use --all")}
	}
	if s.All {
		return uptime.All, nil
	}
	return s.Monitor, nil
}

type monitorMute struct {
	some
	For string `required:"" help:"For how long, from 1s to 24h." placeholder:"10m"`
}

// Run mutes a monitor, or all. Until when is all that is written on stdout.
func (c monitorMute) Run(p *process, parent *monitorCommand) error {
	length, err := uptime.MuteFor(c.For)
	if err != nil {
		return usageError{err}
	}
	id, err := c.id()
	if err != nil {
		return err
	}
	return parent.with(p, func(a *app.App) error {
		until, err := a.Uptime.Mute(operating(p, "manus monitor mute"), id, length)
		if err != nil {
			return orNoMonitor(p, a, id, err)
		}
		_, err = fmt.Fprintln(p.out, until.UTC().Format(time.RFC3339))
		return err
	})
}

type monitorUnmute struct{ some }

// Run unmutes a monitor, or all.
func (c monitorUnmute) Run(p *process, parent *monitorCommand) error {
	id, err := c.id()
	if err != nil {
		return err
	}
	return parent.with(p, func(a *app.App) error {
		if _, err := a.Uptime.Mute(operating(p, "manus monitor unmute"), id, 0); err != nil {
			return orNoMonitor(p, a, id, err)
		}
		if id == uptime.All {
			_, err := fmt.Fprintln(p.out, "all that aren't muted by themselves are told of again")
			return err
		}
		w, err := a.Uptime.Monitor(p.ctx, id)
		if err != nil {
			return err
		}
		if !w.Muted.IsZero() {
			_, err = fmt.Fprintf(p.out, "%s stays muted, as all are; 'manus monitor unmute --all' ends that\n", id)
			return err
		}
		_, err = fmt.Fprintf(p.out, "%s is told of again\n", id)
		return err
	})
}
