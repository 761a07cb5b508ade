package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"manus/app"
	"manus/internal/words"
	"manus/language"
	"manus/uptime"
	"manus/uptime/heartbeat"
	"manus/uptime/probe"
)

type monitorShow struct {
	Monitor string `arg:"" help:"The monitor's id, as 'manus monitor list' shows it."`
}

// Run shows a monitor.
func (c monitorShow) Run(p *process, parent *monitorCommand) error {
	return parent.with(p, func(a *app.App) error {
		w, err := a.Uptime.Monitor(p.ctx, c.Monitor)
		if err != nil {
			return orNoMonitor(p, a, c.Monitor, err)
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "monitor\t%s (%s), %s\n", w.ID, w.Name, w.Type)
		fmt.Fprintf(table, "status\t%s\n", w.Status)
		if !w.Since.IsZero() {
			fmt.Fprintf(table, "since\t%s\n", momentOf(w.Since))
		}
		for _, window := range uptime.Windows {
			f := w.Figures[window.Name]
			fmt.Fprintf(table, "%s\t%s up, %.1f min down, %.1f min unknown\n", window.Name, percent(w, window.Name), f.Down.Minutes(), f.Unknown.Minutes())
		}
		if w.Beats != nil {
			showBeats(table, w.Beats, time.Now())
		} else {
			fmt.Fprintf(table, "url\t%s\nevery\t%s\n", language.Line(w.URL), w.Every)
			fmt.Fprintf(table, "last check\t%s %s\n", momentOf(w.Last.At), language.Line(w.Last.Error.En))
		}
		return table.Flush()
	})
}

// orNoMonitor says how to find monitors where there is none of a name.
func orNoMonitor(p *process, a *app.App, id string, err error) error {
	switch {
	case errors.Is(err, uptime.ErrNoMonitor):
		return fmt.Errorf("there is no such monitor; %s'manus monitor list' shows them, those of manus.yaml where that is given with --config", perhapsMonitor(p, a, id))
	case errors.Is(err, uptime.ErrInvalid):
		return usageError{err}
	}
	return err
}

// perhapsMonitor is the monitor that a mistyped id most likely means, if any.
func perhapsMonitor(p *process, a *app.App, id string) string {
	all, err := a.Uptime.Monitors(p.ctx)
	if err != nil {
		return ""
	}
	near := words.Nearest(id, 2, func(yield func(string) bool) {
		for _, w := range all {
			if !yield(w.ID) {
				return
			}
		}
	})
	if near == "" {
		return ""
	}
	return "perhaps " + near + " is meant; "
}

func momentOf(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format(time.RFC3339)
}

// showBeats shows a heartbeat: when its job is expected, and what it has said.
func showBeats(out io.Writer, b *uptime.Beats, now time.Time) {
	s := b.Schedule
	fmt.Fprintf(out, "expected\t%s, with %s of grace\n", s, s.Grace)
	if s.MaxRuntime > 0 {
		fmt.Fprintf(out, "longest run\t%s\n", s.MaxRuntime)
	}
	fmt.Fprintf(out, "pinged at\t%s\n\t%s\n", b.URL, b.Named)
	if b.Kind == heartbeat.Running {
		fmt.Fprintf(out, "running since\t%s\n", inZone(b.Since, s.Zone()))
	}
	if !b.Due.IsZero() {
		fmt.Fprintf(out, "down if nothing comes by\t%s\n", inZone(b.Due, s.Zone()))
	}
	title := "next expected"
	for _, turn := range s.Turns(now, 5) {
		fmt.Fprintf(out, "%s\t%s%s\n", title, inZone(turn.At, s.Zone()), shifted(turn))
		title = ""
	}
	if at, turn, ok := s.ClockChange(now); ok {
		fmt.Fprintf(out, "clocks change\t%s, and it is expected first at %s%s\n", inZone(at, s.Zone()), inZone(turn.At, s.Zone()), shifted(turn))
	}
	if advice := b.Advice().En; advice != "" {
		fmt.Fprintf(out, "advice\t%s\n", advice)
	}
	title = "last pings"
	for _, ping := range b.Pings {
		fmt.Fprintf(out, "%s\t%s\n", title, pingLine(ping, s.Zone()))
		title = ""
	}
	if len(b.Pings) == 0 {
		fmt.Fprintf(out, "last pings\tnone yet; try: curl -fsS -m 10 --retry 5 %s\n", b.URL)
	}
}

// inZone is a moment by the clocks of a zone, with its offset.
func inZone(at time.Time, zone *time.Location) string {
	return at.In(zone).Format("2006-01-02 15:04:05 -07:00 (MST)")
}

// shifted says that clocks were changed since the turn before.
func shifted(t heartbeat.Turn) string {
	switch {
	case t.Shift > 0:
		return " <- clocks went forward by " + t.Shift.String()
	case t.Shift < 0:
		return " <- clocks went back by " + (-t.Shift).String()
	}
	return ""
}

// pingLine is what a job has said, in a line.
func pingLine(p heartbeat.Ping, zone *time.Location) string {
	line := inZone(p.At.Time, zone) + " " + string(p.Signal)
	if p.Status != 0 {
		line += fmt.Sprintf(", exit status %d", p.Status)
	}
	if p.Took > 0 {
		line += ", after " + (time.Duration(p.Took) * time.Millisecond).String()
	}
	if p.Overtaken {
		line += ", after the end of its run"
	}
	if p.From != "" {
		line += ", from " + p.From
	}
	if p.Line != "" {
		line += ": " + p.Line
	}
	return line
}

// toldBeat says how a heartbeat is.
func toldBeat(p *process, monitor string, r probe.Result) error {
	switch {
	case r.Up:
		_, err := fmt.Fprintf(p.out, "%s is up\n", monitor)
		return err
	case r.Unknown:
		return fmt.Errorf("how %s is isn't known: it hasn't been pinged, or nobody could hear it when it should have", monitor)
	}
	return fmt.Errorf("%s isn't up: %s", monitor, language.Line(r.Error.En))
}
