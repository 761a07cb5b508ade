package main

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"manus/internal/shellword"
)

// pasting completes the commands that a text for people has in quotes, such as
// 'manus backup list', with the flags by which this command was told where its installation
// is: so they can be pasted as they stand, and look at the same one.
type pasting struct {
	commands *kong.Node
	given    []givenFlag
}

// givenFlag is one of placeFlags as it was given.
type givenFlag struct{ name, value string }

// placeFlags say where an installation is, and what opens its backups.
var placeFlags = []string{"data", "env-file", "config", "identity", "installation"}

// newPasting is what completes commands that are said by the one of a command line; nil
// where that couldn't be read.
func newPasting(line *kong.Context) *pasting {
	if line == nil || line.Selected() == nil {
		return nil
	}
	p := &pasting{commands: line.Model.Node}
	for _, flag := range line.Flags() {
		value, isText := line.FlagValue(flag).(string)
		if isText && value != "" && slices.Contains(placeFlags, flag.Name) {
			p.given = append(p.given, givenFlag{flag.Name, value})
		}
	}
	return p
}

// quotedCommand is a command in a text.
var quotedCommand = regexp.MustCompile(`'manus ([^'\n]+)'`)

// complete completes the commands in a text. One that is complete stays as it is.
func (p *pasting) complete(text string) string {
	if p == nil {
		return text
	}
	return quotedCommand.ReplaceAllStringFunc(text, func(quoted string) string {
		command := strings.Trim(quoted, "'")
		for _, flag := range p.given {
			if p.takes(command, flag.name) && !strings.Contains(command, "--"+flag.name) {
				command += fmt.Sprintf(" --%s %s", flag.name, shellword.Quote(flag.value))
			}
		}
		return "'" + command + "'"
	})
}

// takes tells whether a command has a flag.
func (p *pasting) takes(command, flag string) bool {
	node := p.commands
	for _, word := range strings.Fields(command)[1:] {
		i := slices.IndexFunc(node.Children, func(child *kong.Node) bool { return child.Name == word })
		if i < 0 {
			break
		}
		node = node.Children[i]
	}
	return slices.ContainsFunc(slices.Concat(node.AllFlags(false)...), func(f *kong.Flag) bool { return f.Name == flag })
}

// pastingHandler completes the commands in what a log has to warn of.
type pastingHandler struct {
	slog.Handler
	paste *pasting
}

// Handle logs a record.
func (h pastingHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	completed := slog.NewRecord(r.Time, r.Level, h.paste.complete(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if text := a.Value.String(); quotedCommand.MatchString(text) {
			a.Value = slog.StringValue(h.paste.complete(text))
		}
		completed.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, completed)
}

// WithAttrs is the handler's.
func (h pastingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return pastingHandler{h.Handler.WithAttrs(attrs), h.paste}
}

// WithGroup is the handler's.
func (h pastingHandler) WithGroup(name string) slog.Handler {
	return pastingHandler{h.Handler.WithGroup(name), h.paste}
}
