package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"

	"manus/app"
	"manus/config"
)

type serveCommand struct {
	EnvFile string `help:"Read settings from this file too; the environment wins." placeholder:"FILE" type:"path"`
	Config  string `help:"Plans and other structured settings, as in manus.example.yaml." placeholder:"FILE" type:"path"`
}

// Help tells how it is stopped.
func (serveCommand) Help() string {
	return `SIGTERM or Ctrl+C stops it: /ready says so for SHUTDOWN_DELAY, then no connection is taken, and requests in flight are waited for as long as SHUTDOWN_TIMEOUT. Ctrl+C again cuts that short, and closes the store as always; a third time ends it at once. Another SIGTERM changes nothing.`
}

// Run serves until a signal comes.
func (c serveCommand) Run(p *process) error {
	settings, err := config.Load(config.Source{Environ: p.environ, EnvFile: c.EnvFile, ConfigFile: c.Config, Routes: app.Routes()})
	if err != nil {
		return err
	}
	return serve(p, settings, func(context.Context, *app.App) error { return nil })
}

// serve runs the product: it starts it, calls ready, and stops it when a signal comes.
func serve(p *process, settings config.Settings, ready func(context.Context, *app.App) error) error {
	log, flush := newLogger(p.err, settings, p.coloured(p.err))
	defer flush()
	logLibraries(log)
	if len(settings.Monitors) > manyMonitors {
		setGC(25)
	}
	a, err := app.New(p.ctx, app.Options{
		Settings:   settings,
		Version:    buildVersion(settings.Environment),
		Log:        slog.New(pastingHandler{log.Handler(), p.paste}),
		CrashDir:   settings.DataDir,
		Subprocess: subprocess,
	})
	if err != nil {
		return err
	}
	if settings.DataDir != "" {
		end, err := a.KeepCrash(settings.DataDir)
		if err != nil {
			log.Warn("a crash of this program will be in its log alone", "error", err)
		} else {
			defer end()
		}
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
	hurry, done := p.hurried()
	defer done()
	return cmp.Or(failed, a.Stop(hurry))
}

// hurried ends when Ctrl+C is pressed again while the program stops: what it still waits
// for is cut short, and the store is closed as always. From then on a signal ends the
// program at once. Another SIGTERM changes nothing: supervisors send it to a program and to
// its group, and have SIGKILL for one that takes too long.
func (p *process) hurried() (context.Context, func()) {
	hurry, done := signal.NotifyContext(context.WithoutCancel(p.ctx), os.Interrupt)
	stop := context.AfterFunc(hurry, func() { done(); p.stop() })
	return hurry, func() { stop(); done() }
}

// subprocess starts this program again to read the embedded store for a backup: reading
// all of it in this process would hold up the server's own use of SQLite. It needs no
// settings, and so gets no secrets.
func subprocess(ctx context.Context, args ...string) *exec.Cmd {
	self, err := os.Executable()
	cmd := exec.CommandContext(ctx, self, append([]string{"backup-work"}, args...)...)
	cmd.Args[0] = "manus"
	cmd.Env = []string{"GOGC=25"}
	cmd.Err = errors.Join(cmd.Err, err)
	return cmd
}

// workCommand is what subprocess starts.
type workCommand struct {
	Args []string `arg:""`
}

// Run does one piece of a backup's work on SQLite.
func (c workCommand) Run(p *process) error {
	if code := app.BackupWork(p.ctx, c.Args, p.out); code != 0 {
		return fmt.Errorf("it was not done (%d)", code)
	}
	return nil
}

// manyMonitors are so many that what is known of them, and the checks under way, are most of the
// heap. Then it may grow by a quarter between collections, which takes a few per cent of a
// processor, and not by as much again.
const manyMonitors = 1000

// setGC says how far the heap may grow between collections. GOGC in the environment has
// the last word.
func setGC(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
