package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"manus/app"
	"manus/config"
	"manus/incident"
	"manus/language"
)

// incidentCommand is what is told of trouble, from a terminal at night, beside a running
// server or without.
type incidentCommand struct {
	installation

	List       incidentList       `cmd:"" help:"List incidents, those that began last first."`
	Show       incidentShow       `cmd:"" help:"Show an incident with all that was said of it."`
	Open       incidentOpen       `cmd:"" help:"Open an incident, and print its id. It asks nothing; without a title it says that you are looking into a problem."`
	Update     incidentUpdate     `cmd:"" help:"Say something of an incident."`
	Correct    incidentCorrect    `cmd:"" help:"Correct what was said of an incident, or when it was. What was told before stays to be seen."`
	Resolve    incidentResolve    `cmd:"" help:"Say that an incident is over."`
	Postmortem incidentPostmortem `cmd:"" help:"Write what was found out after an incident, and publish it."`
	Templates  incidentTemplates  `cmd:"" help:"List what incidents can be opened with."`
}

// with is as that of the installation, whatever is wrong with manus.yaml: a mistake there
// keeps nobody from telling of trouble.
func (c incidentCommand) with(p *process, f func(*app.App) error) error {
	c.Config = ""
	return c.installation.with(p, f)
}

type incidentList struct {
	All   bool `help:"Those that are resolved too."`
	Limit int  `help:"How many." default:"20"`
	JSON  bool `name:"json" help:"As JSON, the items as the API has them."`
}

// Run lists incidents.
func (c incidentList) Run(p *process, parent *incidentCommand) error {
	if err := checkLimit(c.Limit); err != nil {
		return err
	}
	return parent.with(p, func(a *app.App) error {
		all, _, err := a.Incidents.Incidents(p.ctx, !c.All, c.Limit, "")
		if err != nil {
			return err
		}
		if c.JSON {
			return printItems(p, all, incident.Item)
		}
		if len(all) == 0 {
			_, err := fmt.Fprintln(p.err, "There are none.")
			return err
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tSTARTED\tSEVERITY\tSTATUS\tTITLE\tABOUT")
		for _, i := range all {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, i.StartedAt.UTC().Format(time.RFC3339), i.Severity, i.Status(), titleOf(i), dash(aboutOf(i)))
		}
		return table.Flush()
	})
}

func titleOf(i incident.Incident) string { return language.Line(i.Title.In(language.English)) }

// aboutOf is what an incident is about: its components, and the monitor that has found it.
func aboutOf(i incident.Incident) string {
	about := strings.Join(i.Components, ", ")
	if i.Monitor != "" {
		about = strings.TrimPrefix(about, i.Monitor) + " (by the monitor " + i.Monitor + ")"
	}
	return strings.TrimSpace(about)
}

type incidentShow struct {
	ID   string `arg:"" help:"The incident's id, as 'manus incident list' shows it; 'last' is the one that began last."`
	JSON bool   `name:"json" help:"As JSON, as the API has it."`
}

// Run shows an incident.
func (c incidentShow) Run(p *process, parent *incidentCommand) error {
	return parent.with(p, func(a *app.App) error {
		id, err := incidentID(p, a, c.ID, false)
		if err != nil {
			return err
		}
		i, err := a.Incidents.Incident(p.ctx, id)
		if err != nil {
			return noIncident(err)
		}
		if c.JSON {
			return printJSON(p.out, incident.Item(i))
		}
		_, err = io.WriteString(p.out, story(i))
		return err
	})
}

// story is all that was said of an incident, the newest last, where a terminal shows it.
func story(i incident.Incident) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s, %s, since %s", titleOf(i), i.Severity, i.Status(), clock(i.StartedAt.Time))
	if !i.ResolvedAt.IsZero() {
		fmt.Fprintf(&b, " until %s", clock(i.ResolvedAt.Time))
	}
	if about := aboutOf(i); about != "" {
		fmt.Fprintf(&b, "\nabout %s", about)
	}
	b.WriteByte('\n')
	for _, e := range i.EarlierTimes {
		fmt.Fprintf(&b, "  until %s it was told as since %s", clock(e.Until.Time), clock(e.StartedAt.Time))
		if !e.ResolvedAt.IsZero() {
			fmt.Fprintf(&b, " until %s", clock(e.ResolvedAt.Time))
		}
		b.WriteByte('\n')
	}
	for _, u := range i.Updates {
		by := ""
		if u.Automatic {
			by = ", by itself"
		}
		fmt.Fprintf(&b, "\n%s  %s%s  (%s)\n%s", clock(u.At.Time), u.Status, by, u.ID, indented(u.Text))
		for _, e := range u.Earlier {
			fmt.Fprintf(&b, "  until %s it said:\n%s", clock(e.Until.Time), indented(e.Text))
		}
	}
	if pm := i.Postmortem; !pm.WrittenAt.IsZero() {
		state := "not published"
		if !pm.PublishedAt.IsZero() {
			state = "published " + clock(pm.PublishedAt.Time)
		}
		fmt.Fprintf(&b, "\npost-mortem, %s\n%s", state, indented(pm.Text))
	}
	return b.String()
}

func clock(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }

// indented are the lines of a text, in each language that it has.
func indented(t language.Text) string {
	var b strings.Builder
	for _, text := range []string{t.En, t.Ar} {
		for line := range strings.Lines(text) {
			b.WriteString("  " + language.Line(line) + "\n")
		}
	}
	return b.String()
}

// wordFlags are a text of a command in Arabic too.
type wordFlags struct {
	TextAr string `name:"text-ar" help:"The same text in Arabic." placeholder:"TEXT"`
}

type incidentOpen struct {
	Title     string   `arg:"" optional:"" help:"What people see of it, in one line. Without it: that of the template, or 'We are looking into a problem'."`
	Template  string   `help:"One of incidents.templates of --config, which says what isn't said here." placeholder:"ID"`
	Severity  string   `help:"How bad it is: minor, major or critical. Without it: that of the template, or major." placeholder:"S"`
	Component []string `help:"What it is about; may be given several times." placeholder:"ID"`
	Text      string   `help:"What is known, in Markdown; - reads it from standard input. Without it: that of the template, or 'We are looking into it.'" placeholder:"TEXT"`
	TitleAr   string   `name:"title-ar" help:"The title in Arabic too." placeholder:"TITLE"`
	wordFlags
	Key string `help:"Makes it one incident however often the command is run." placeholder:"KEY"`
}

// What is said where nobody says anything.
var (
	someProblem = language.Text{En: "We are looking into a problem", Ar: "نحقق في مشكلة"}
	lookingInto = language.Text{En: "We are looking into it.", Ar: "نحقق في الأمر."}
)

// Run opens an incident. Its id is all that is written on stdout.
func (c incidentOpen) Run(p *process, parent *incidentCommand) error {
	text, err := said(p, c.Text)
	if err != nil {
		return err
	}
	o := incident.Opening{
		Template: c.Template, Title: language.Text{En: c.Title, Ar: c.TitleAr}, Severity: incident.Severity(c.Severity), Components: c.Component,
		Text: language.Text{En: text, Ar: c.TextAr}, Key: c.Key,
	}
	if o.Template == "" {
		usual := incident.Template{Title: someProblem.En, TitleAr: someProblem.Ar, Severity: incident.Major, Text: lookingInto.En, TextAr: lookingInto.Ar}
		o = usual.Over(o)
	}
	return parent.with(p, func(a *app.App) error {
		if err := parent.readTemplates(a, o.Template != ""); err != nil {
			return err
		}
		others, _, err := a.Incidents.Incidents(p.ctx, true, 3, "")
		if err != nil {
			return err
		}
		i, err := a.Incidents.Open(operating(p, "manus incident open"), o)
		if err != nil {
			return noIncident(err)
		}
		for _, other := range others {
			if other.ID != i.ID {
				fmt.Fprintf(p.err, "open already: %s %s\n", other.ID, titleOf(other))
			}
		}
		_, err = fmt.Fprintln(p.out, i.ID)
		return err
	})
}

// readTemplates puts the templates of manus.yaml in force, which the command has to be given
// where it needs one.
func (c incidentCommand) readTemplates(a *app.App, needed bool) error {
	if c.Config == "" {
		if needed {
			return usageError{errors.New("--template: where the templates are isn't known; give the server's manus.yaml with --config")}
		}
		return nil
	}
	file, err := config.LoadFile(c.Config, app.Routes())
	if err == nil {
		a.Incidents.SetPolicy(file.Incidents)
	}
	if !needed {
		return nil
	}
	return err
}

type incidentUpdate struct {
	ID     string `arg:"" help:"The incident's id, as 'manus incident list' shows it; 'last' is the one that began last."`
	Text   string `arg:"" help:"What is new, in Markdown; - reads it from standard input."`
	Status string `help:"How far you are: investigating, identified, monitoring. Without it: as before."`
	wordFlags
	Key string `help:"Makes it one update however often the command is run." placeholder:"KEY"`
}

// Run says something of an incident.
func (c incidentUpdate) Run(p *process, parent *incidentCommand) error {
	return parent.say(p, "manus incident update", c.ID, incident.Saying{Status: incident.Status(c.Status), Text: language.Text{En: c.Text, Ar: c.TextAr}, Key: c.Key})
}

type incidentResolve struct {
	ID   string `arg:"" help:"The incident's id, as 'manus incident list' shows it; 'last' is the one that began last."`
	Text string `arg:"" optional:"" help:"What it was, in Markdown; - reads it from standard input. Without it: 'It is over.'"`
	wordFlags
	Key string `help:"Makes it one update however often the command is run." placeholder:"KEY"`
}

// Run says that an incident is over.
func (c incidentResolve) Run(p *process, parent *incidentCommand) error {
	text := language.Text{En: c.Text, Ar: c.TextAr}
	if text == (language.Text{}) {
		text = language.Text{En: "It is over.", Ar: "انتهت المشكلة."}
	}
	return parent.say(p, "manus incident resolve", c.ID, incident.Saying{Status: incident.Resolved, Text: text, Key: c.Key})
}

func (c incidentCommand) say(p *process, command, id string, say incident.Saying) (err error) {
	if say.Text.En, err = said(p, say.Text.En); err != nil {
		return err
	}
	return c.with(p, func(a *app.App) error {
		id, err := incidentID(p, a, id, true)
		if err != nil {
			return err
		}
		i, err := a.Incidents.Say(operating(p, command), id, say)
		if err != nil {
			return noIncident(err)
		}
		_, err = fmt.Fprintf(p.out, "%s: %s\n", titleOf(i), i.Status())
		return err
	})
}

type incidentCorrect struct {
	ID     string `arg:"" help:"The incident's id, as 'manus incident list' shows it; 'last' is the one that began last, resolved or not."`
	Text   string `arg:"" optional:"" help:"What it should have said, in Markdown; - reads it from standard input."`
	Update string `help:"Which update, by the id that 'manus incident show' has. Without it: the last one that a person has written." default:"last" placeholder:"ID"`
	wordFlags
	Began    string `help:"When it began, in place of a text: '02:10' for the last time that clocks showed that, '2026-12-01 02:10', or RFC 3339." placeholder:"TIME"`
	Ended    string `help:"When it was over, of one that is resolved; as --began." placeholder:"TIME"`
	Timezone string `help:"Whose clocks --began and --ended go by, such as Europe/Berlin." default:"UTC" placeholder:"ZONE"`
}

// Run corrects an update, or when an incident was.
func (c incidentCorrect) Run(p *process, parent *incidentCommand) error {
	switch times := c.Began != "" || c.Ended != ""; {
	case times && (c.Text != "" || c.TextAr != ""):
		return usageError{errors.New("a text and times are corrected one after the other; leave one of them out")}
	case times:
		return c.times(p, parent)
	case c.Text == "":
		return usageError{errors.New("say what it should have said, or when it was with --began and --ended")}
	}
	text, err := said(p, c.Text)
	if err != nil {
		return err
	}
	return parent.with(p, func(a *app.App) error {
		id, err := incidentID(p, a, c.ID, false)
		if err != nil {
			return err
		}
		i, err := a.Incidents.Correct(operating(p, "manus incident correct"), id, c.Update, language.Text{En: text, Ar: c.TextAr})
		if errors.Is(err, incident.ErrNone) {
			return fmt.Errorf("there is no such incident, or no such update of it; 'manus incident show %s' shows them", id)
		}
		if err != nil {
			return noIncident(err)
		}
		_, err = fmt.Fprintf(p.out, "%s: corrected\n", titleOf(i))
		return err
	})
}

// times corrects when an incident was.
func (c incidentCorrect) times(p *process, parent *incidentCommand) error {
	zone, err := readZone(c.Timezone)
	if err != nil {
		return err
	}
	var change incident.Change
	for _, one := range []struct {
		name, text string
		at         **time.Time
	}{{"--began", c.Began, &change.StartedAt}, {"--ended", c.Ended, &change.ResolvedAt}} {
		if one.text == "" {
			continue
		}
		at, err := readMoment(one.text, time.Now().In(zone), -1)
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", one.name, err)}
		}
		*one.at = &at
	}
	return parent.with(p, func(a *app.App) error {
		id, err := incidentID(p, a, c.ID, false)
		if err != nil {
			return err
		}
		i, err := a.Incidents.Change(operating(p, "manus incident correct"), id, change)
		if err != nil {
			return noIncident(err)
		}
		until := "now"
		if !i.ResolvedAt.IsZero() {
			until = clock(i.ResolvedAt.Time)
		}
		_, err = fmt.Fprintf(p.out, "%s: since %s until %s\n", titleOf(i), clock(i.StartedAt.Time), until)
		return err
	})
}

type incidentPostmortem struct {
	ID      string `arg:"" help:"The incident's id, as 'manus incident list --all' shows it; 'last' is the one that began last, resolved or not."`
	Text    string `arg:"" help:"What was found out, in Markdown; - reads it from standard input. An empty text takes it away."`
	Publish bool   `help:"Everybody sees it, and not operators alone."`
	wordFlags
}

// Run writes what was found out.
func (c incidentPostmortem) Run(p *process, parent *incidentCommand) error {
	text, err := said(p, c.Text)
	if err != nil {
		return err
	}
	return parent.with(p, func(a *app.App) error {
		id, err := incidentID(p, a, c.ID, false)
		if err != nil {
			return err
		}
		i, err := a.Incidents.WritePostmortem(operating(p, "manus incident postmortem"), id, language.Text{En: text, Ar: c.TextAr}, c.Publish)
		if err != nil {
			return noIncident(err)
		}
		became := "kept for operators; --publish shows it to everybody"
		switch {
		case i.Postmortem.WrittenAt.IsZero():
			became = "taken away"
		case c.Publish:
			became = "published"
		}
		_, err = fmt.Fprintf(p.out, "%s: post-mortem %s\n", titleOf(i), became)
		return err
	})
}

type incidentTemplates struct{}

// Run lists templates.
func (incidentTemplates) Run(p *process, parent *incidentCommand) error {
	if parent.Config == "" {
		return usageError{errors.New("where the templates are isn't known; give the server's manus.yaml with --config")}
	}
	file, err := config.LoadFile(parent.Config, app.Routes())
	if err != nil {
		return err
	}
	if len(file.Incidents.Templates) == 0 {
		_, err := fmt.Fprintln(p.err, "There are none: incidents.templates of manus.yaml has them.")
		return err
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSEVERITY\tTITLE\tABOUT")
	for _, t := range file.Incidents.Templates {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.ID, dash(string(t.Severity)), language.Line(t.Title), dash(strings.Join(t.Components, ", ")))
	}
	return table.Flush()
}

// incidentID is an incident's id; of 'last', that of the one that began last.
func incidentID(p *process, a *app.App, id string, open bool) (string, error) {
	if id != "last" {
		return id, nil
	}
	found, _, err := a.Incidents.Incidents(p.ctx, open, 1, "")
	if err != nil {
		return "", err
	}
	switch {
	case len(found) > 0:
		return found[0].ID, nil
	case open:
		return "", errors.New("no incident is open; 'manus incident list --all' shows those that were")
	}
	return "", errors.New("there was no incident yet")
}

// said is a text of a command line, or of standard input.
func said(p *process, text string) (string, error) {
	if text != "-" {
		return text, nil
	}
	const most = 64 << 10
	all, err := io.ReadAll(io.LimitReader(p.in, most))
	return strings.TrimSpace(string(all)), err
}

// noIncident says what to do about what can't be done.
func noIncident(err error) error {
	switch {
	case errors.Is(err, incident.ErrNone):
		return errors.New("there is no such incident; 'manus incident list --all' shows them")
	case errors.Is(err, incident.ErrInvalid):
		return usageError{err}
	}
	return err
}
