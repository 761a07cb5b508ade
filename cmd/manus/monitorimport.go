package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"manus/uptime/imported"
)

type monitorImport struct {
	File string `arg:"" help:"A backup of Uptime Kuma (JSON), a configuration of Gatus (YAML), or an export of UptimeRobot (CSV, or JSON of its API); - for standard input."`
}

// Help is what --help says beside the arguments.
func (monitorImport) Help() string {
	return "It asks nobody and changes nothing: the list goes to standard output, and to standard error what was left out or has to be looked at. Secrets are not printed; it says which variables to set."
}

// Run prints the monitors of another program's file for manus.yaml.
func (c monitorImport) Run(p *process) error {
	file := p.in
	if c.File != "-" {
		opened, err := os.Open(c.File)
		if errors.Is(err, fs.ErrNotExist) {
			return usageError{fmt.Errorf("there is no file %s", c.File)}
		}
		if err != nil {
			return err
		}
		defer func() { _ = opened.Close() }()
		file = opened
	}
	monitors, err := read(file)
	if err != nil {
		return fmt.Errorf("%s can't be imported: %w", c.File, err)
	}
	text, err := monitors.YAML()
	if err != nil {
		return err
	}
	if _, err := p.out.Write(text); err != nil {
		return err
	}
	_, err = io.WriteString(p.err, monitors.Summary())
	return err
}

// read is imported.Read, without the path that errors of the system repeat.
func read(r io.Reader) (imported.Import, error) {
	monitors, err := imported.Read(r)
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		err = of.Err
	}
	return monitors, err
}
