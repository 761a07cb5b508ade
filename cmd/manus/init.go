package main

import (
	"fmt"

	"manus/config"
)

type initCommand struct {
	File string `arg:"" optional:"" default:".env" help:"The file to write; .env without it."`
}

// Run writes the file.
func (c initCommand) Run(p *process) error {
	if err := config.WriteEnv(c.File); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.out, "Wrote %s with a fresh secret, readable by you alone. Look through it, then run:\n\n  manus serve --env-file %s\n", c.File, c.File)
	return err
}
