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

// with joins the rooms of the installation and runs f on them. Of its settings it reads
// where the store is, and those named.
func (c installation) with(p *process, f func(*app.App) error, names ...string) error {
	settings, err := config.LoadSome(c.source(p), c.Data, names...)
	if err != nil {
		return err
	}
	return withRooms(p, settings, f)
}

func withRooms(p *process, settings config.Settings, f func(*app.App) error) error {
	a, err := app.New(p.ctx, app.Options{
		Settings: settings, Version: buildVersion(settings.Environment), Log: slog.New(slog.NewTextHandler(p.err, nil)), Offline: true,
	})
	if err != nil {
		return err
	}
	return errors.Join(f(a), a.Close())
}
