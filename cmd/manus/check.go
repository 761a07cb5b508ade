package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"manus/app"
	"manus/config"
	"manus/language"
	"manus/readiness"
)

// checkCommand measures what the product promises.
type checkCommand struct {
	installation

	URL     string        `help:"Ask the running server there, with the API key of MANUS_API_KEY, instead of measuring from here." placeholder:"URL" name:"url"`
	Offline bool          `help:"Look at settings and files only; nothing is connected to."`
	Fresh   bool          `help:"Measure everything anew, also what is expensive and was measured a while ago."`
	Only    []string      `help:"These groups alone: secrets, health, backups, limits, errors, uptime, billing, system; and what all rest on, a server that runs and its store, where that fails." placeholder:"GROUP"`
	Wait    time.Duration `help:"Measure again until nothing fails, for this long; for a deploy." placeholder:"60s"`
	JSON    bool          `help:"Print the report as the API has it." name:"json"`
	JUnit   string        `help:"Write the report into a file as well, as JUnit's XML, which build servers read." name:"junit" placeholder:"FILE" type:"path"`
}

// Help says what the exit code is.
func (checkCommand) Help() string {
	return `Each promise of the product is measured on this installation, now: most of them by doing it. The exit code is 0 if nothing fails, 1 if something does, and 2 if the report can't be had as it was asked for. docs/readiness.md says of each check what it proves and what it can't.

Without --url the command reads the server's settings, as the server does: from the environment or --env-file, and --config; where there are none, those of 'manus dev' in --data or ./data. It may run beside the server.`
}

// errBroken is for a report in which something fails. The report has said what.
var errBroken = errors.New("")

// source of reports: this process, or a server.
type reports func(ctx context.Context, progress *checkProgress) (readiness.Body, error)

// Run measures, and prints what was found.
func (c checkCommand) Run(p *process) error {
	if err := c.valid(); err != nil {
		return err
	}
	if c.JUnit != "" { // rather than when all is measured
		if err := canWriteJUnit(c.JUnit); err != nil {
			return usageError{fmt.Errorf("--junit: %w", err)}
		}
	}
	tag := spoken(p.environ)
	if c.URL != "" {
		return c.report(p, tag, c.fromServer(p, tag))
	}
	return c.measuring(p, tag, func(measure reports) error { return c.report(p, tag, measure) })
}

func (c checkCommand) valid() error {
	for _, group := range c.Only {
		if !slices.Contains(readiness.Groups, readiness.Group(group)) {
			return usageError{fmt.Errorf("--only: there is no group %q; choose from %s", group, groupNames())}
		}
	}
	switch {
	case c.URL != "" && (c.Offline || c.Data != "" || c.EnvFile != "" || c.Config != ""):
		return usageError{errors.New("--url asks a server, which has its own settings: leave out --offline, --data, --env-file and --config")}
	case c.Offline && (c.Fresh || c.Wait != 0):
		return usageError{errors.New("--offline measures everything anew, and only once: leave out --fresh and --wait")}
	case c.Wait < 0 || c.Wait > time.Hour:
		return usageError{errors.New("--wait: use a time up to 1h, such as 60s")}
	}
	return checkPageURL("--url", c.URL)
}

func groupNames() string {
	names := make([]string, len(readiness.Groups))
	for i, g := range readiness.Groups {
		names[i] = string(g)
	}
	return strings.Join(names, ", ")
}

// report has reports made until nothing fails, or there is no time left for another one, and
// prints the last one.
func (c checkCommand) report(p *process, tag language.Tag, measure reports) error {
	until, between := time.Now().Add(c.Wait), time.Second
	for {
		progress := newCheckProgress(p, c.JSON)
		body, err := measure(p.ctx, progress)
		progress.end()
		switch {
		case p.ctx.Err() != nil: // what was being measured says nothing
			return usageError{errors.New("it was stopped before everything was measured: there is no report")}
		case time.Now().Before(until) && (err != nil || body.Status == readiness.Fail):
			if err := pause(p.ctx, min(between, time.Until(until))); err != nil {
				continue // and is stopped
			}
			between = min(2*between, mostBetween)
		case err != nil:
			return err
		default:
			return c.print(p, tag, body)
		}
	}
}

// mostBetween is how long is waited between two reports, after ever longer pauses: reports are
// requests too, and there is a limit on those.
const mostBetween = 10 * time.Second

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c checkCommand) print(p *process, tag language.Tag, body readiness.Body) error {
	if c.JUnit != "" {
		if err := writeJUnit(c.JUnit, body); err != nil {
			return usageError{fmt.Errorf("--junit: %w", err)}
		}
	}
	var err error
	if c.JSON {
		encoder := json.NewEncoder(p.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(body)
	} else {
		err = newCheckSheet(p, tag).print(body)
	}
	switch {
	case err != nil:
		return err
	case body.Status == readiness.Fail:
		return errBroken
	case !slices.ContainsFunc(body.Checks, func(c readiness.CheckBody) bool { return c.Status != readiness.Skipped }):
		return usageError{errors.New("nothing of it was measured: the report says why")}
	}
	return nil
}

// measuring has f use reports that are measured by this process, for each of which the rooms are
// joined. Settings that have mistakes are a report too: of that.
func (c checkCommand) measuring(p *process, tag language.Tag, f func(reports) error) error {
	settings, err := c.serverSettings(p)
	if problems, ok := errors.AsType[*config.Problems](err); ok {
		body := readiness.NewBody(app.UnusableSettings(problems), tag)
		return f(func(context.Context, *checkProgress) (readiness.Body, error) { return body, nil })
	}
	if err != nil {
		return err
	}
	ask := readiness.Ask{Fresh: c.Fresh}
	for _, group := range c.Only {
		ask.Only = append(ask.Only, readiness.Group(group))
	}
	joining := *p
	return f(func(ctx context.Context, progress *checkProgress) (body readiness.Body, err error) {
		defer func() { joining.err = io.Discard }() // what is wrong with settings is said once
		err = withRoomsAsFar(&joining, app.Options{Settings: settings, Unopened: c.Offline}, func(a *app.App) error {
			progress.all = a.Readiness.Count(ask.Only)
			ask.OnResult = func(r readiness.Result) {
				progress.show(readiness.NewBody(readiness.Report{Results: []readiness.Result{r}}, tag).Checks[0])
			}
			body = readiness.NewBody(a.Readiness.Report(operating(p, "manus check"), ask), tag)
			return nil
		})
		return body, err
	})
}

// withRoomsAsFar is withRooms, also where the store can't be opened: the rooms know why then.
func withRoomsAsFar(p *process, o app.Options, f func(*app.App) error) error {
	joined := false
	err := withRooms(p, o, func(a *app.App) error { joined = true; return f(a) })
	if joined || o.Unopened || p.ctx.Err() != nil {
		return err
	}
	o.Unopened, o.NoStore = true, err
	return withRooms(p, o, f)
}

// serverSettings are those that the server has, or where none are given those of dev in the
// data folder.
func (c checkCommand) serverSettings(p *process) (config.Settings, error) {
	source := c.source(p)
	dev := app.Dev{DataDir: cmp.Or(c.Data, "./data"), Addr: "127.0.0.1:0", ConfigFile: c.Config}
	given := c.EnvFile != "" || source.Has("JWT_SECRET_KEY")
	if app.IsDev(dev.DataDir) && (c.Data != "" || !given) {
		return app.DevSettings(dev)
	}
	if !given {
		return config.Settings{}, usageError{fmt.Errorf("there is nothing to check: %s isn't the data folder of a 'manus dev', and no settings of a server are given. Give them as the server has them, with --env-file or in the environment, or --url for one that runs", dev.DataDir)}
	}
	if c.Data != "" {
		source.Environ = append(slices.Clone(source.Environ), "DATA_DIR="+c.Data)
	}
	return config.Load(source)
}

// maxReport bounds a server's answer.
const maxReport = 1 << 20

// fromServer asks a server for its report.
func (c checkCommand) fromServer(p *process, tag language.Tag) reports {
	return func(ctx context.Context, _ *checkProgress) (readiness.Body, error) {
		query := url.Values{}
		if c.Fresh {
			query.Set("fresh", "true")
		}
		if len(c.Only) > 0 {
			query.Set("only", strings.Join(c.Only, ","))
		}
		request, err := http.NewRequestWithContext(ctx, "GET", strings.TrimSuffix(c.URL, "/")+"/api/v1/ops/readiness?"+query.Encode(), nil)
		if err != nil {
			return readiness.Body{}, usageError{fmt.Errorf("--url: %w", err)}
		}
		key := variable(p.environ, "MANUS_API_KEY")
		if key == "" {
			return readiness.Body{}, usageError{errors.New("MANUS_API_KEY is not set: make an operator's API key with the scope operator, and set it")}
		}
		request.Header.Set("Authorization", "Bearer "+key)
		request.Header.Set("Accept-Language", tag.String())
		body, err := getReport(request)
		if err != nil {
			return readiness.Body{}, usageError{fmt.Errorf("the server's report can't be had: %w", err)}
		}
		return body, nil
	}
}

func getReport(request *http.Request) (body readiness.Body, err error) {
	client := &http.Client{Timeout: 90 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return body, err
	}
	defer response.Body.Close() //nolint:errcheck // it is read
	data, err := io.ReadAll(io.LimitReader(response.Body, maxReport))
	switch {
	case err != nil:
		return body, err
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		return body, fmt.Errorf("it answers %s; MANUS_API_KEY has to be an operator's key with the scope operator", response.Status)
	case response.StatusCode != http.StatusOK:
		return body, fmt.Errorf("it answers %s", response.Status)
	}
	if err := json.Unmarshal(data, &body); err != nil || body.Status == "" || len(body.Checks) == 0 {
		return body, errors.New("what answers there is no report of Manus")
	}
	return body, nil
}

// variable is a variable of the environment.
func variable(environ []string, name string) string {
	for _, v := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// spoken is the language of whoever uses the terminal, by the variables that programs go by.
func spoken(environ []string) language.Tag {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := variable(environ, name); value != "" {
			name, _, _ := strings.Cut(value, ".")
			return language.Prefer(strings.ReplaceAll(name, "_", "-"))
		}
	}
	return language.English
}
