package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"manus/app"
	"manus/docstore"
	"manus/incident"
	"manus/language"
)

// maintenanceCommand is planned work, which is announced, begun and ended by itself.
type maintenanceCommand struct {
	installation

	Plan   maintenancePlan   `cmd:"" help:"Plan work, and print its id. It begins and ends by itself."`
	List   maintenanceList   `cmd:"" help:"List planned work, by when it begins next."`
	Cancel maintenanceCancel `cmd:"" help:"Cancel planned work; what is on is over then."`
}

type maintenancePlan struct {
	Title     string        `arg:"" help:"What people see of it, in one line."`
	From      string        `help:"When it begins: 'now', '22:30' for the next time that clocks show that, '2026-12-01 02:00', or RFC 3339." required:"" placeholder:"TIME"`
	For       time.Duration `help:"How long it takes, such as 90m." required:"" placeholder:"TIME"`
	Timezone  string        `help:"Whose clocks --from and --rrule go by, such as Europe/Berlin." default:"UTC" placeholder:"ZONE"`
	RRule     string        `name:"rrule" help:"By which it comes again (RFC 5545), such as FREQ=WEEKLY;BYDAY=SU." placeholder:"RULE"`
	Component []string      `help:"What is worked at; may be given several times. Without it: everything." placeholder:"ID"`
	Text      string        `help:"What people should know, in Markdown; - reads it from standard input." placeholder:"TEXT"`
	TitleAr   string        `name:"title-ar" help:"The title in Arabic too." placeholder:"TITLE"`
	wordFlags
	Key string `help:"Makes it one maintenance however often the command is run." placeholder:"KEY"`
}

// Run plans work. Its id is all that is written on stdout.
func (c maintenancePlan) Run(p *process, parent *maintenanceCommand) error {
	text, err := said(p, c.Text)
	if err != nil {
		return err
	}
	zone, err := readZone(c.Timezone)
	if err != nil {
		return err
	}
	from, err := readMoment(c.From, time.Now().In(zone), 1)
	if err != nil {
		return usageError{fmt.Errorf("--from: %w", err)}
	}
	m := incident.Maintenance{
		ID: c.Key, Title: language.Text{En: c.Title, Ar: c.TitleAr}, Text: language.Text{En: text, Ar: c.TextAr}, Components: c.Component,
		StartsAt: docstore.At(from), EndsAt: docstore.At(from.Add(c.For)), Rule: c.RRule, Zone: c.Timezone,
	}
	return parent.with(p, func(a *app.App) error {
		m, err := a.Incidents.Plan(operating(p, "manus maintenance plan"), m)
		if errors.Is(err, incident.ErrInvalid) {
			return usageError{err}
		}
		if err != nil {
			return err
		}
		if first, is := m.At(time.Now()); is {
			fmt.Fprintf(p.err, "from %s until %s%s\n", clock(first.From), clock(first.Until), again(m))
		}
		_, err = fmt.Fprintln(p.out, m.ID)
		return err
	})
}

// again says by which rule work comes again.
func again(m incident.Maintenance) string {
	if m.Rule == "" {
		return ""
	}
	return ", " + m.Again().In(language.English)
}

// readZone is a time zone by its name.
func readZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, usageError{errors.New("--timezone: is none that is known; use a name such as Europe/Berlin")}
	}
	return zone, nil
}

// readMoment is a moment as a person writes it, by the clocks of now's zone. What is only a time of day is the next
// such time, or, with step -1, the last one.
func readMoment(text string, now time.Time, step int) (time.Time, error) {
	if text == "now" {
		return now.Truncate(time.Second), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if at, err := time.ParseInLocation("2006-01-02 15:04", strings.Replace(text, "T", " ", 1), now.Location()); err == nil {
		return at, nil
	}
	clock, err := time.Parse("15:04", text)
	if err != nil {
		return now, fmt.Errorf("%q is no moment; write 'now', '22:30', '2026-12-01 02:00' or 2026-12-01T02:00:00Z", text)
	}
	at := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
	if at.After(now) != (step > 0) {
		at = time.Date(now.Year(), now.Month(), now.Day()+step, clock.Hour(), clock.Minute(), 0, 0, now.Location())
	}
	return at, nil
}

type maintenanceList struct {
	All  bool `help:"What is over too."`
	JSON bool `name:"json" help:"As JSON, the items as the API has them."`
}

// Run lists planned work.
func (c maintenanceList) Run(p *process, parent *maintenanceCommand) error {
	return parent.with(p, func(a *app.App) error {
		now := time.Now()
		all, err := a.Incidents.Coming(p.ctx, now, c.All)
		if err != nil {
			return err
		}
		if c.JSON {
			return printItems(p, all, func(o incident.Occurrence) any { return a.Incidents.MaintenanceItem(o.Maintenance) })
		}
		if len(all) == 0 {
			_, err := fmt.Fprintln(p.err, "There is none.")
			return err
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tFROM\tUNTIL\tSTATUS\tRULE\tTITLE\tABOUT")
		for _, o := range all {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", o.ID, clock(o.From), clock(o.Until), o.Stage(now), dash(o.Rule),
				language.Line(o.Title.In(language.English)), dash(strings.Join(o.Components, ", ")))
		}
		return table.Flush()
	})
}

type maintenanceCancel struct {
	ID string `arg:"" help:"The id, as 'manus maintenance list' shows it."`
}

// Run cancels planned work.
func (c maintenanceCancel) Run(p *process, parent *maintenanceCommand) error {
	return parent.with(p, func(a *app.App) error {
		m, err := a.Incidents.Cancel(operating(p, "manus maintenance cancel"), c.ID)
		if errors.Is(err, incident.ErrNone) {
			return errors.New("there is no such maintenance; 'manus maintenance list --all' shows them")
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.out, "%s: cancelled\n", language.Line(m.Title.In(language.English)))
		return err
	})
}
