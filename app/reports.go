package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/errtrack/report"
	"manus/internal/lockedfile"
)

// addReports adds the reporter of this program's own errors. It comes before everything
// else, which it hears of by the log, and is closed after it. Commands report nothing.
func (a *App) addReports() (err error) {
	if a.options.Offline {
		return nil
	}
	if a.reporter, err = a.newReporter(a.registry); err != nil {
		return err
	}
	a.log = slog.New(a.reporter.Handler(a.options.Log.Handler()))
	a.add(room{name: "reports", close: a.reporter.Close})
	return nil
}

// newReporter is a reporter by the settings.
func (a *App) newReporter(metrics prometheus.Registerer) (*report.Reporter, error) {
	s := a.settings.Reports
	r, err := report.New(report.Config{
		DSN: s.DSN.Reveal(), Inbox: ownInbox{a}, PublicURL: a.settings.PublicURL, Environment: cmp.Or(s.Environment, a.settings.Environment), Release: a.options.Version.Version,
		TracesSampleRate: s.TracesSampleRate, Metrics: metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("SENTRY_DSN: %w", err)
	}
	return r, nil
}

// TryReports reports a test event as errors of this program are, and finds it again where
// these come into its inbox; see [report.Reporter.Try]. In a command, what that needs of a
// server is at work meanwhile.
func (a *App) TryReports(ctx context.Context) (report.Trial, error) { return a.tryReports(ctx, false) }

// checkReports is TryReports, and leaves nothing in the inbox, nor what one that was killed has left.
func (a *App) checkReports(ctx context.Context) (report.Trial, error) {
	trial, err := a.tryReports(ctx, true)
	if err == nil && trial.Issue != "" {
		err = a.Errors.RemoveChecks(ctx, trial.Issue)
	}
	return trial, err
}

func (a *App) tryReports(ctx context.Context, check bool) (report.Trial, error) {
	reporter := a.reporter
	if a.options.Offline {
		var err error
		if reporter, err = a.newReporter(nil); err != nil {
			return report.Trial{}, err
		}
		defer a.tryingWith(reporter)()
	}
	return reporter.Try(ctx, check, func(ctx context.Context, eventID string) (string, error) {
		kept, err := a.Errors.Event(ctx, "", eventID)
		if err != nil {
			return "", err
		}
		issue, err := a.Errors.Issue(ctx, kept.IssueID)
		if err != nil || issue.LastSeen.Before(kept.Timestamp.Truncate(time.Millisecond)) { // it isn't counted yet
			return "", err
		}
		return issue.Short, nil
	})
}

// tryingWith has a reporter, and the inbox for what it reports, at work until what is
// returned is called.
func (a *App) tryingWith(r *report.Reporter) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Errors.RunIntake(ctx)
	}()
	r.Start()
	return func() {
		_ = r.Close() // it returns none
		cancel()
		<-done
	}
}

// logOfInbox is for rooms that the inbox needs, itself among them: where reports come into
// it, what goes wrong there can't be reported there.
func (a *App) logOfInbox() *slog.Logger {
	if a.reporter.ToOwn() {
		return a.options.Log
	}
	return a.log
}

// ownInbox is the inbox as the reporter sees it, which is there before.
type ownInbox struct{ *App }

// TakeOwn keeps an event of this program's own.
func (a ownInbox) TakeOwn(ctx context.Context, payload []byte) error {
	return a.Errors.TakeOwn(ctx, payload)
}

// TakeOwnTrace counts a trace of this program's own.
func (a ownInbox) TakeOwnTrace(ctx context.Context, payload []byte) error {
	return a.Errors.TakeOwnTrace(ctx, payload)
}

// inBackground does something that goes on until the program ends. When it panics, so does
// the program, once that is reported.
func (a *App) inBackground(do func()) {
	a.background.Go(func() {
		defer a.reporter.Crashing()
		do()
	})
}

// flushReports delivers what was reported, while there is an inbox at work.
func (a *App) flushReports() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	a.reporter.Flush(ctx)
}

// maxCrash is how much of a crash is read, in bytes: the goroutine that failed stands first.
const maxCrash = 64 << 10

// KeepCrash has what kills the program written into a file of a folder, beside stderr, for
// the next start to report: most goroutines are started where nobody knows of reports. What
// is returned ends that, when the program ends well.
func (a *App) KeepCrash(dir string) (end func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := lockedfile.Create(dir, crashPrefix+rand.Text()+"-*.txt")
	if err != nil {
		return nil, err
	}
	if err := debug.SetCrashOutput(file, debug.CrashOptions{}); err != nil { // it has a descriptor of its own
		return nil, errors.Join(err, lockedfile.Discard(file))
	}
	a.reporter.CrashesAs(crashID(file.Name()))
	return func() {
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{}) // nothing can be done about it
		_ = lockedfile.Discard(file)                        // the next start removes it
	}, nil
}

// Crashes that couldn't be reported wait in their files.
const (
	crashPrefix = "crash-"
	maxCrashes  = 20                 // the newest
	crashesKept = 7 * 24 * time.Hour // counted from the crash
	crashAgain  = time.Minute        // after the first try; then twice as long, up to
	crashSeldom = time.Hour
)

// crashID is the id of the event that a crash is: the same however often it is reported, so
// that an inbox has it once.
func crashID(path string) string {
	sum := sha256.Sum256([]byte(filepath.Base(path)))
	return hex.EncodeToString(sum[:16])
}

// reportCrashes reports what earlier runs have left in the folder, until nothing is left.
func (a *App) reportCrashes(ctx context.Context) {
	if dir := a.options.CrashDir; dir != "" {
		again(ctx, func() (left bool) { return a.reportSomeCrashes(ctx, dir) })
	}
}

// again does something as long as something is left, or ctx lasts.
func again(ctx context.Context, do func() (left bool)) {
	for wait := crashAgain; do(); wait = min(2*wait, crashSeldom) {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// reportSomeCrashes reports each crash that no other process has in hand, and removes what
// was accepted, or is too old or too much. It tells whether there is something left.
func (a *App) reportSomeCrashes(ctx context.Context, dir string) (left bool) {
	isEmpty := func(name string) bool {
		info, err := os.Lstat(filepath.Join(dir, name))
		return strings.HasPrefix(name, crashPrefix) && err == nil && info.Size() == 0
	}
	if _, err := lockedfile.Sweep(dir, isEmpty); err != nil { // those of processes that were killed, or have ended
		a.log.Warn("files for crashes are left over", "error", err)
	}
	paths, _ := filepath.Glob(filepath.Join(dir, crashPrefix+"*.txt")) // the pattern is right
	ages := map[string]time.Time{}
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil {
			ages[path] = info.ModTime()
		}
	}
	slices.SortFunc(paths, func(p, q string) int { return ages[q].Compare(ages[p]) }) // the newest first
	room := maxCrashes
	for _, path := range paths {
		stays, err := a.reportCrash(ctx, path, &room)
		if err != nil {
			a.log.Warn("how an earlier run has ended can't be read", "error", err)
		}
		left = left || stays
	}
	return left
}

// reportCrash reports a crash whose process is no more, and removes it once that is accepted;
// without a report where it has waited for too long, or there is no room for it, and what is no
// crash. It tells whether it has stayed. Nothing is written: the file may have other names.
func (a *App) reportCrash(ctx context.Context, path string, room *int) (stays bool, err error) {
	file, err := lockedfile.Adopt(path)
	if errors.Is(err, lockedfile.ErrHeld) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // nothing is written
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxCrash))
	if err != nil {
		return true, err
	}
	if !report.IsCrash(string(text)) {
		return false, os.Remove(path)
	}
	*room--
	if *room < 0 || time.Since(info.ModTime()) > crashesKept {
		a.log.Warn("a crash of an earlier run could not be reported, and is given up", "file", filepath.Base(path))
		return false, os.Remove(path)
	}
	if !a.reporter.Crashed(ctx, crashID(path), string(text), info.ModTime()) {
		return true, nil
	}
	return false, os.Remove(path) // before it is unlocked
}
