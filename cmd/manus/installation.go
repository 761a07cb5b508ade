package main

import (
	"errors"
	"log/slog"

	"manus/app"
	"manus/config"
)

// installation says which one a command works on, beside a running server or without.
type installation struct {
	Data    string `help:"The data folder of the embedded store. Without it: MONGODB_URI or DATA_DIR of the environment or of --env-file, else ./data." placeholder:"DIR"`
	EnvFile string `help:"The settings file that the server runs with." placeholder:"FILE" type:"path"`
	Config  string `help:"The manus.yaml that the server runs with." placeholder:"FILE" type:"path"`
}

func (c installation) source(p *process) config.Source {
	return config.Source{Environ: p.environ, EnvFile: c.EnvFile, ConfigFile: c.Config, Routes: app.Routes()}
}

// with joins the rooms of the installation, its store opened, and runs f on them.
func (c installation) with(p *process, f func(*app.App) error) error {
	settings, err := c.settings(p)
	if err != nil {
		return err
	}
	return withRooms(p, app.Options{Settings: settings}, f)
}

// settings are those of the installation that rooms are joined by, and those named. Where its
// backups are is for what is said of a damaged store: without that, or with mistakes in it,
// the command works all the same.
func (c installation) settings(p *process, names ...string) (config.Settings, error) {
	settings, err := config.LoadBackup(c.source(p), c.Data, names...)
	if err != nil {
		settings, err = config.LoadSome(c.source(p), c.Data, names...)
	}
	return settings, err
}

// withRooms joins the rooms for a command and runs f on them.
func withRooms(p *process, o app.Options, f func(*app.App) error) error {
	o.Version, o.Log, o.Offline = buildVersion(o.Settings.Environment), slog.New(pastingHandler{slog.NewTextHandler(p.err, nil), p.paste}), true
	a, err := app.New(p.ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(f(a), a.Close())
}
