package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"manus/app"
)

type devCommand struct {
	Data     string   `help:"Where the data is kept; in ./data without it." default:"./data" placeholder:"DIR"`
	Addr     string   `help:"The loopback address to listen on; port 0 picks a free one." default:"127.0.0.1:8080"`
	Config   string   `help:"Plans and other structured settings, as in manus.example.yaml." placeholder:"FILE" type:"path"`
	LogLevel logLevel `help:"How much to log: debug, info, warn or error." default:"warn"`
}

// logLevel is a level of the log by its name.
type logLevel struct{ slog.Level }

// UnmarshalText reads the name.
func (l *logLevel) UnmarshalText(text []byte) error {
	if l.Level.UnmarshalText(text) != nil {
		return errors.New("use debug, info, warn or error")
	}
	return nil
}

// Run serves until a signal comes.
func (c devCommand) Run(p *process) error {
	settings, err := app.DevSettings(app.Dev{DataDir: c.Data, Addr: c.Addr, ConfigFile: c.Config, LogLevel: c.LogLevel.Level})
	if err != nil {
		return err
	}
	return serve(p, settings, func(ctx context.Context, a *app.App) error {
		password, err := a.EnsureOperator(ctx)
		if err != nil {
			return err
		}
		own, err := a.Errors.OwnProject(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(p.out, c.welcome("http://"+a.Addr(), a.Errors.DSN(own), password))
		return err
	})
}

// welcome is what the person sees who has started it.
func (c devCommand) welcome(url, dsn, password string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Manus is running. Its data is in %s.\n\n", c.Data)
	for _, line := range [][2]string{{"Home", "/"}, {"Status", "/status"}, {"API", "/docs"}, {"Readiness", "/ready"}, {"Mails", "/dev/mails"}} {
		fmt.Fprintf(&b, "  %-10s %s%s\n", line[0], url, line[1])
	}
	if dsn != "" { // empty when its keys are disabled
		fmt.Fprintf(&b, "  %-10s %s  (the DSN for Sentry's SDKs)\n", "Errors", dsn)
	}
	if password != "" {
		fmt.Fprintf(&b, "\nAn operator account was made for you. Its password is shown only now:\n\n  %-10s %s\n  %-10s %s\n", "E-mail", app.DevOperator, "Password", password)
	}
	b.WriteString("\nCtrl+C stops it.\n")
	return b.String()
}
