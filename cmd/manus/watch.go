package main

import (
	"errors"
	"strings"

	"manus/app"
	"manus/config"
)

// watchCommand watches monitors from another place than the server's.
type watchCommand struct {
	Data      string `help:"Where what was found is kept until the server has it; in ./watch-data without it." default:"./watch-data" placeholder:"DIR"`
	EnvFile   string `help:"Read settings from this file too; the environment wins." placeholder:"FILE" type:"path"`
	Config    string `help:"The manus.yaml that the server runs with, where its store is shared (MONGODB_URI)." placeholder:"FILE" type:"path"`
	Status    string `help:"Keep a copy of the server's status page in this folder, as files for another host; it says how old it is once the server can't be reached. With PROBE_SERVER." placeholder:"DIR" type:"path"`
	StatusURL string `name:"status-url" help:"Where that folder will be, such as https://status.example.com, for the feed and the JSON." placeholder:"URL"`
	Heartbeat string `help:"A URL to ask for once a minute while all is well; HEARTBEAT_URL, which no list of processes shows, without it." placeholder:"URL"`
}

// Help tells what it needs.
func (watchCommand) Help() string {
	return `Needs PROBE_NAME, what this place is called, and either PROBE_SERVER with PROBE_API_KEY, or the server's MONGODB_URI. The secrets of monitors (MONITOR_…_SECRET) are read here: none leaves the server. While the server can't be reached, results are kept in the data folder, for 48 hours, and are handed in later.`
}

// Run watches until a signal comes.
func (c watchCommand) Run(p *process) error {
	environ := p.environ
	if c.Heartbeat != "" {
		environ = append(environ[:len(environ):len(environ)], "HEARTBEAT_URL="+c.Heartbeat)
	}
	if err := checkPageURL("--status-url", c.StatusURL); err != nil {
		return err
	}
	settings, err := config.LoadWatch(config.Source{Environ: environ, EnvFile: c.EnvFile, ConfigFile: c.Config, Routes: app.Routes()}, c.Data)
	if err != nil {
		return err
	}
	if c.Status != "" && settings.Probe.Server == "" {
		return usageError{errors.New("--status: needs PROBE_SERVER; beside a shared store, run 'manus status render' again and again")}
	}
	log, flush := newLogger(p.err, settings, false)
	defer flush()
	logLibraries(log)
	return app.Watch(p.ctx, app.WatchOptions{Settings: settings, Version: buildVersion(settings.Environment), StatusDir: c.Status, StatusURL: strings.TrimSuffix(c.StatusURL, "/"), Log: log})
}
