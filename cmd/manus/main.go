// Command manus is the production half of a SaaS in one program: accounts, plans, metered
// sessions, limits, backups, errors, uptime, alerts and a status page.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	_ "time/tzdata" // schedules and quiet hours have zones, and a container's image has none

	"github.com/alecthomas/kong"

	"manus/backup"
	"manus/config"
	"manus/docstore"
	"manus/ratelimit"
)

// Exit codes, as other programs rely on them.
const (
	exitDone      = 0
	exitFailed    = 1
	exitUsage     = 2
	exitTemporary = 75 // EX_TEMPFAIL
	exitConfig    = 78 // EX_CONFIG
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	logLibraries(slog.New(slog.NewTextHandler(os.Stderr, nil))) // until there is a log
	code := run(ctx, stop, os.Args[1:], os.Environ(), stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// stdio is what a command talks through.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// commands is the command line, one command a file.
type commands struct {
	Dev         devCommand         `cmd:"" help:"Run the whole product on this machine, with nothing configured."`
	Serve       serveCommand       `cmd:"" help:"Run in production, by settings from the environment."`
	Init        initCommand        `cmd:"" help:"Write a .env with fresh secrets and every setting explained."`
	User        userCommand        `cmd:"" help:"Work on accounts, as an operator."`
	Backup      backupCommand      `cmd:"" help:"Make, list, verify, restore and prune backups."`
	Data        dataCommand        `cmd:"" help:"Move the data to another store."`
	Notify      notifyCommand      `cmd:"" help:"List, retry and test alerts, and try rules."`
	Check       checkCommand       `cmd:"" help:"Measure every promise of the product on this installation, now."`
	Errors      errorsCommand      `cmd:"" help:"See the errors that programs report, and make projects for them."`
	Monitor     monitorCommand     `cmd:"" help:"See what is watched, check it now, pause or mute it."`
	Watch       watchCommand       `cmd:"" help:"Watch monitors from another place, and hand in to a server what is found."`
	Incident    incidentCommand    `cmd:"" help:"Tell people of trouble: open, update and resolve incidents."`
	Status      statusCommand      `cmd:"" help:"Write the status page as files."`
	Limits      limitsCommand      `cmd:"" help:"Tell and forget what rate limits have counted."`
	Maintenance maintenanceCommand `cmd:"" help:"Plan work that people are told of: plan, list and cancel it."`
	Version     versionCommand     `cmd:"" help:"Print the version. So does 'manus --version'."`
	Help        struct{}           `cmd:"" help:"Show how a command is used: 'manus help backup create'."`

	BackupWork workCommand `cmd:"" hidden:""`
}

// process is what commands get of the process they run in.
type process struct {
	stdio
	ctx     context.Context
	stop    func() // from then on, signals do what they do by default
	environ []string
	paste   *pasting // for what is said of other commands
}

// run is the program: it returns the exit code. --help alone exits by itself.
func run(ctx context.Context, stop func(), args, environ []string, io stdio) int {
	parser, err := kong.New(&commands{},
		kong.Name("manus"),
		kong.Description("The production half of a SaaS in one program: accounts, plans, metered sessions, rate limits, backups, errors, uptime, alerts and a status page.\n\nStart with 'manus dev'."),
		kong.Writers(io.out, io.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 88}),
	)
	if err != nil {
		return fail(io.err, nil, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if err := checkArguments(args); err != nil {
		return fail(io.err, nil, err)
	}
	command, err := parser.Parse(inPlainForm(args))
	if mistake, ok := errors.AsType[*kong.ParseError](err); ok {
		return fail(io.err, mistake.Context, usageError{errors.New(inWords(err.Error(), mistake.Context))})
	}
	if err == nil {
		err = command.Run(&process{stdio: io, ctx: ctx, stop: stop, environ: environ, paste: newPasting(command)})
	}
	return fail(io.err, command, err)
}

// inPlainForm are arguments with what other programs have taught people to type as this one
// has it: help as a command, and the version as a flag.
func inPlainForm(args []string) []string {
	switch args[0] {
	case "help":
		return append(slices.Clone(args[1:]), "--help")
	case "--version", "-v", "-V":
		return append([]string{"version"}, args[1:]...)
	}
	return args
}

// fail reports the error of a command, if there is one, and returns the exit code.
func fail(stderr io.Writer, line *kong.Context, err error) int {
	var usage usageError
	var problems *config.Problems
	say := func(text string) string { return newPasting(line).complete(asTyped(text, line)) }
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errBroken): // the report has said what
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "manus: %s See '%s --help'.\n", sentence(say(err.Error())), nameOf(line))
		return exitUsage
	case errors.As(err, &problems):
		fmt.Fprintf(stderr, "manus: the configuration has to be mended first:\n%s\n", say(problems.Error()))
		return exitConfig
	case errors.Is(err, docstore.ErrCorrupt): // not temporary, whatever else went wrong by it
	case errors.Is(err, docstore.ErrUnavailable), errors.Is(err, ratelimit.ErrUnavailable), errors.Is(err, backup.ErrUnavailable):
		fmt.Fprintf(stderr, "manus: %s\n", say(err.Error()))
		return exitTemporary
	}
	fmt.Fprintf(stderr, "manus: %s\n", say(err.Error()))
	return exitFailed
}
