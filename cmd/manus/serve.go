package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"manus/app"
	"manus/config"
)

type serveCommand struct {
	EnvFile string `help:"Read settings from this file too; the environment wins." placeholder:"FILE" type:"path"`
	Config  string `help:"Plans and other structured settings, as in manus.example.yaml." placeholder:"FILE" type:"path"`
}

// Run serves until a signal comes.
func (c serveCommand) Run(p *process) error {
	settings, err := config.Load(config.Source{Environ: p.environ, EnvFile: c.EnvFile, ConfigFile: c.Config})
	if err != nil {
		return err
	}
	return serve(p, settings, func(context.Context, *app.App) error { return nil })
}

// serve runs the product: it starts it, calls ready, and stops it when a signal
// comes. A second signal ends the program at once.
func serve(p *process, settings config.Settings, ready func(context.Context, *app.App) error) error {
	relaxGC()
	a, err := app.New(p.ctx, app.Options{
		Settings: settings,
		Version:  buildVersion(settings.Environment),
		Log:      newLogger(p.err, settings),
	})
	if err != nil {
		return err
	}
	failed := a.Start(p.ctx)
	if failed == nil {
		failed = ready(p.ctx, a)
	}
	if failed == nil {
		select {
		case failed = <-a.Failed():
		case <-p.ctx.Done():
		}
	}
	p.stop()
	if err := a.Stop(context.WithoutCancel(p.ctx)); failed == nil {
		failed = err
	}
	return failed
}

// relaxGC lets the heap grow further between collections than Go does by
// itself: the living heap is a few MiB, so collections would come every few
// thousand requests. GOGC in the environment has the last word.
func relaxGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}

func newLogger(w io.Writer, s config.Settings) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
