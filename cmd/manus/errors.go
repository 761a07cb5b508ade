package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"manus/app"
	"manus/docstore"
	"manus/errtrack"
	"manus/identity"
	"manus/internal/words"
	"manus/language"
)

// errorsCommand works on the errors that programs report, beside a running server or without.
type errorsCommand struct {
	installation

	List     errorsList     `cmd:"" help:"List issues, those that were seen last first."`
	Show     errorsShow     `cmd:"" help:"Show an issue and its latest event."`
	Resolve  errorsResolve  `cmd:"" help:"Mark an issue as resolved: it is told of when it comes back."`
	Test     errorsTest     `cmd:"" help:"Report a test as errors of the server are, and find it again."`
	CheckIns errorsCheckIns `cmd:"" help:"List the jobs that report when they run, and when each is due."`
	Project  projectGroup   `cmd:"" help:"Make and list the projects that report errors."`
}

type projectGroup struct {
	Create projectCreate `cmd:"" help:"Make a project, and print the DSN that its programs report to."`
	List   projectList   `cmd:"" help:"List projects and their DSNs."`
}

type projectCreate struct {
	Name     string `arg:"" help:"What the project is called."`
	Platform string `help:"What it is written in, such as go, python or javascript."`
}

// Run makes a project. The DSN is all that is written on stdout.
func (c projectCreate) Run(p *process, parent *errorsCommand) error {
	return parent.with(p, func(a *app.App) error {
		project, err := a.Errors.NewProject(operating(p, "manus errors project create"), c.Name, c.Platform)
		if errors.Is(err, errtrack.ErrNameTaken) {
			return errors.New("there is a project of this name already; 'manus errors project list' shows its DSN")
		}
		if err != nil {
			return unknown(err)
		}
		sayWhere(p, a)
		_, err = fmt.Fprintln(p.out, a.Errors.DSN(project))
		return err
	})
}

// with is as that of the installation, with what stands in DSNs.
func (c errorsCommand) with(p *process, f func(*app.App) error) error {
	s, err := c.settings(p, "PUBLIC_URL", "ADDR", "PORT")
	if err != nil {
		return err
	}
	return withRooms(p, app.Options{Settings: s}, func(a *app.App) error {
		a.Errors.ReachedAt(cmp.Or(s.PublicURL, app.ServedAt(s.DataDir), app.URLOf(s), "http://localhost:8080"))
		return f(a)
	})
}

// sayWhere says that a DSN is only for this machine, where that is so.
func sayWhere(p *process, a *app.App) {
	if a.PublicURL() == "" {
		fmt.Fprintln(p.err, "PUBLIC_URL isn't set: the DSN is for programs on this machine. Elsewhere, put the server's address behind the @.")
	}
}

// operating is who is at work in a command.
func operating(p *process, command string) context.Context {
	return identity.With(p.ctx, identity.Caller{Agent: command})
}

type projectList struct {
	JSON bool `name:"json" help:"As JSON, the items as the API has them, with their keys and losses."`
}

// Run lists projects.
func (c projectList) Run(p *process, parent *errorsCommand) error {
	return parent.with(p, func(a *app.App) error {
		all, err := a.Errors.Projects(p.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			items, err := a.Errors.ProjectItems(p.ctx, all)
			return errors.Join(err, printItems(p, items, func(item any) any { return item }))
		}
		if len(all) == 0 {
			_, err := fmt.Fprintln(p.err, "There are none: 'manus errors project create NAME' makes one.")
			return err
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tNAME\tSLUG\tPLATFORM\tDSN")
		for _, project := range all {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", project.ID, language.Line(project.Name), project.Slug(), dash(language.Line(project.Platform)), dash(a.Errors.DSN(project)))
		}
		if err := table.Flush(); err != nil {
			return err
		}
		sayWhere(p, a)
		return nil
	})
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

type errorsList struct {
	Project string `help:"Of this project alone, by its name, slug or id." placeholder:"P"`
	Query   string `help:"In Sentry's form: words, tag:value, is:unresolved, level:error, has:user, timesSeen:>10, firstSeen:-24h; ! before for those without, * behind a value for anything. Without it those that are unresolved; '' has all." default:"is:unresolved" placeholder:"Q"`
	Limit   int    `help:"How many." default:"50"`
	JSON    bool   `name:"json" help:"As JSON, the items as the API has them."`
}

// Run lists issues.
func (c errorsList) Run(p *process, parent *errorsCommand) error {
	if err := checkLimit(c.Limit); err != nil {
		return err
	}
	return parent.with(p, func(a *app.App) error {
		search := errtrack.Search{Project: c.Project, Query: c.Query, Limit: c.Limit}
		var issues []errtrack.Issue
		for rest := search; rest.Limit > 0; {
			page, next, err := a.Errors.Issues(p.ctx, rest)
			if err != nil {
				return unknown(err)
			}
			issues, rest.Limit, rest.Cursor = append(issues, page...), rest.Limit-len(page), next
			if next == "" {
				break
			}
		}
		if c.JSON {
			return printItems(p, issues, errtrack.Issue.Item)
		}
		if len(issues) == 0 && c.Query == unresolved {
			return c.sayOthers(p, a)
		}
		if len(issues) == 0 {
			hint, err := a.Errors.Hint(p.ctx, search)
			_, failure := fmt.Fprintln(p.err, strings.TrimSpace("There are none. "+hint.En))
			return errors.Join(err, failure)
		}
		return listIssues(p, issues)
	})
}

// unresolved is what is looked for where nothing else is asked for.
const unresolved = "is:unresolved"

// sayOthers says how many issues there are where none is unresolved.
func (c errorsList) sayOthers(p *process, a *app.App) error {
	ignored, err := a.Errors.HowMany(p.ctx, c.Project, errtrack.Ignored)
	if err != nil {
		return unknown(err)
	}
	resolved, err := a.Errors.HowMany(p.ctx, c.Project, errtrack.Resolved)
	if err != nil {
		return unknown(err)
	}
	text := "There are none."
	if ignored+resolved > 0 {
		text = "None is unresolved; " + words.Count(ignored, "issue") + isOrAre(ignored) + "ignored, " + words.Count(resolved, "issue") + isOrAre(resolved) + "resolved: --query '' shows all."
	}
	_, err = fmt.Fprintln(p.err, text)
	return err
}

func isOrAre(n int) string {
	if n == 1 {
		return " is "
	}
	return " are "
}

// printItems writes things as a list of the API has them.
func printItems[T any](p *process, all []T, item func(T) any) error {
	items := []any{}
	for _, one := range all {
		items = append(items, item(one))
	}
	return printJSON(p.out, map[string]any{"items": items})
}

// listIssues writes a table of issues. Long titles make it no wider than the terminal, and on
// a narrow one they have lines of their own.
func listIssues(p *process, issues []errtrack.Issue) error {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ISSUE\tLAST SEEN\tEVENTS\tPEOPLE\tLEVEL\tSTATUS\t")
	titles := []string{"TITLE"}
	for _, i := range issues {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%s\t\n", i.Short, i.LastSeen.UTC().Format(time.RFC3339), i.Count, i.Users, i.Level, i.Status)
		titles = append(titles, language.Line(i.Title))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	const mostTitle = 100 // where nobody knows how much room there is
	room, between := mostTitle, ""
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if width := widthOf(p.out); width > 0 {
		if room = width - len(lines[0]); room < minWidth {
			room, between = width-2, "\n  "
		}
	}
	for k, line := range lines {
		title := titles[k]
		if short := language.Cut(title, room); short != title {
			title = language.Cut(title, room-1) + "…"
		}
		if _, err := fmt.Fprintln(p.out, line+between+title); err != nil {
			return err
		}
	}
	return nil
}

// unknown says what to do about what isn't there.
func unknown(err error) error {
	switch {
	case errors.Is(err, errtrack.ErrNoProject):
		return errors.New("there is no such project; 'manus errors project list' shows them")
	case errors.Is(err, errtrack.ErrNoIssue):
		return errors.New("there is no such issue; 'manus errors list' shows them")
	case errors.Is(err, errtrack.ErrInvalid):
		return usageError{err}
	}
	return err
}

type errorsCheckIns struct {
	Project string `help:"Of this project alone, by its name, slug or id." placeholder:"P"`
	JSON    bool   `name:"json" help:"As JSON, the items as the API has them."`
}

// Run lists jobs.
func (c errorsCheckIns) Run(p *process, parent *errorsCommand) error {
	return parent.with(p, func(a *app.App) error {
		projects, err := a.Errors.Projects(p.ctx)
		if err != nil {
			return err
		}
		slugs := map[string]string{}
		for _, project := range projects {
			slugs[project.ID] = project.Slug()
		}
		var all []errtrack.CronMonitor
		for cursor, more := "", true; more; more = cursor != "" {
			jobs, next, err := a.Errors.CronMonitors(p.ctx, c.Project, docstore.MaxLimit, cursor)
			if err != nil {
				return unknown(err)
			}
			all, cursor = append(all, jobs...), next
		}
		if c.JSON {
			return printItems(p, all, errtrack.CronMonitor.Item)
		}
		if len(all) == 0 {
			_, err := fmt.Fprintln(p.err, "There are none.")
			return err
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "PROJECT\tJOB\tENVIRONMENT\tSTATUS\tLAST\tDUE\tSCHEDULE\tID\tPROBLEM")
		for _, m := range all {
			due := "-"
			if !m.NextDueAt.IsZero() {
				due = m.NextDueAt.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", dash(slugs[m.Project]), language.Line(m.Slug), language.Line(m.Environment), m.Shown(), m.LastAt.UTC().Format(time.RFC3339), due, dash(language.Line(m.Config.String())), m.ID, dash(language.Line(m.Problem)))
		}
		return table.Flush()
	})
}

type errorsResolve struct {
	Issue string `arg:"" help:"The issue, as 'manus errors list' shows it."`
	In    string `help:"In which release: 'release' for the newest that it was seen in, 'next' for the one after." enum:",release,next" default:""`
}

// Run resolves an issue.
func (c errorsResolve) Run(p *process, parent *errorsCommand) error {
	return parent.with(p, func(a *app.App) error {
		i, err := a.Errors.ChangeIssue(operating(p, "manus errors resolve"), c.Issue, errtrack.IssueChange{Status: new(errtrack.Resolved), In: c.In})
		if err != nil {
			return unknown(err)
		}
		_, err = fmt.Fprintf(p.out, "%s: %s\n", i.Short, language.Line(stateOf(i, time.Now())))
		return err
	})
}
