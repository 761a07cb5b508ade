package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"manus/app"
	"manus/config"
	"manus/docstore"
	"manus/internal/words"
)

type dataCommand struct {
	Copy dataCopy `cmd:"" help:"Copy everything from one store into another, and verify it."`
}

type dataCopy struct {
	From     string `required:"" xor:"from" help:"Where the data is." placeholder:"STORE"`
	FromFile string `required:"" xor:"from" help:"The file that has the mongodb:// URI of where the data is." placeholder:"FILE" type:"path"`
	To       string `required:"" xor:"to" help:"Where it is to be. It is empty, or has what an earlier copy left there." placeholder:"STORE"`
	ToFile   string `required:"" xor:"to" help:"The file that has the mongodb:// URI of where it is to be." placeholder:"FILE" type:"path"`
	EnvFile  string `help:"The settings file that 'mongodb' is read from, beside the environment." placeholder:"FILE" type:"path"`
}

// Help tells what a STORE is.
func (dataCopy) Help() string {
	return `A STORE is the data folder of an embedded store, such as ./data; or 'mongodb', which stands for MONGODB_URI of the environment or of --env-file; or a mongodb:// URI without a password, as others could read that.

Stop every server that uses the stores first. Beside one nothing is copied; of one of an earlier version that may be at work on MongoDB you are warned, and what it writes meanwhile is reported. A copy that was cut short is made again with the same command. A server doesn't start on a store that a copy into has not been finished.`
}

// Run copies, and tells how it goes.
func (c dataCopy) Run(p *process) error {
	from, err := c.store(p, mongoPlace{flag: "--from", text: c.From, file: c.FromFile})
	if err != nil {
		return err
	}
	to, err := c.store(p, mongoPlace{flag: "--to", text: c.To, file: c.ToFile})
	if err != nil {
		return err
	}
	if sameStore(from, to) {
		return usageError{errors.New("--from and --to are the same store")}
	}
	report := copyReport{statusLine: statusLine{out: p.out}}
	warn := func(text string) { fmt.Fprintf(p.err, "Warning: %s.\n", text) }
	err = app.CopyData(p.ctx, from, to, report.show, warn)
	report.end()
	switch {
	case errors.Is(err, docstore.ErrNotEmpty):
		return fmt.Errorf("%w; name an empty database or folder", err)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(p.out, "Both stores have all of it: %s. Start the servers on the new one.\nIt is the same installation, and goes on with the same backups. If the old one goes on too, set another BACKUP_DIR or prefix for one of them.\n", words.Count(report.documents, "document"))
	return err
}

// store reads what the flags say a store is.
func (c dataCopy) store(p *process, m mongoPlace) (config.Settings, error) {
	source := config.Source{Environ: p.environ, EnvFile: c.EnvFile}
	settings, inMongo, err := m.settings(source)
	switch {
	case inMongo:
		return settings, err
	case strings.Contains(m.text, "://"):
		return settings, usageError{fmt.Errorf("%s is neither a folder nor a mongodb:// URI", m.flag)}
	}
	return config.LoadSome(source, m.text)
}

func sameStore(a, b config.Settings) bool {
	if !a.MongoDB.Empty() || !b.MongoDB.Empty() {
		return a.MongoDB.Equal(b.MongoDB) && a.MongoDatabase == b.MongoDatabase
	}
	from, _ := filepath.Abs(a.DataDir)
	to, _ := filepath.Abs(b.DataDir)
	return from == to
}

// copyReport tells of a copy: how far it is in its status line, and what is done.
type copyReport struct {
	statusLine
	documents int
}

func (r *copyReport) show(p docstore.Progress) {
	if !p.Verified {
		r.set(fmt.Sprintf("%s: %s, %d written", p.Collection, words.Count(p.Documents, "document"), p.Written))
		return
	}
	r.end()
	r.documents += p.Documents
	fmt.Fprintf(r.out, "%-18s %9d %-9s  verified  sha256 %s\n", p.Collection, p.Documents, words.Of(p.Documents, "document"), p.Hash[:12])
}
