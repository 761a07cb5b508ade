package main

import (
	"context"
	"fmt"
	"time"

	"manus/app"
)

type errorsTest struct{}

// Help tells what it leaves.
func (errorsTest) Help() string {
	return `The event has the level info and the fingerprint manus-errors-test. In the inbox all of them are one issue, which is ignored from the beginning: no alert is sent. With SENTRY_DSN, as the server has it (--env-file), the event is sent there; that Sentry may tell of the first one.`
}

const testWithin = 20 * time.Second

// Run reports a test event as errors of the server are, and finds it again.
func (errorsTest) Run(p *process, parent *errorsCommand) error {
	settings, err := parent.settings(p, "SENTRY_DSN", "SENTRY_ENVIRONMENT", "SENTRY_TRACES_SAMPLE_RATE", "PUBLIC_URL", "ENVIRONMENT")
	if err != nil {
		return err
	}
	return withRooms(p, app.Options{Settings: settings}, func(a *app.App) error {
		ctx, cancel := context.WithTimeout(operating(p, "manus errors test"), testWithin)
		defer cancel()
		trial, err := a.TryReports(ctx)
		if err != nil {
			return err
		}
		took := trial.Took.Round(time.Millisecond)
		if trial.Issue == "" {
			_, err := fmt.Fprintf(p.out, "%s has accepted the event %s, in %s. It has the level info and the fingerprint manus-errors-test: look for it there.\n", trial.Host, trial.EventID, took)
			return err
		}
		_, err = fmt.Fprintf(p.out, "The event %s was kept and found again in the inbox, in %s: it is of the issue %s, which is ignored, so nobody is told.\n'manus errors show %s' shows it.\n", trial.EventID, took, trial.Issue, trial.Issue)
		return err
	})
}
