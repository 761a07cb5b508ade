package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"

	"manus/docstore"
)

// usageError is a command line that can't be understood.
type usageError struct{ error }

// checkLimit returns a usageError for a --limit that is more than a list gives.
func checkLimit(limit int) error {
	if limit < 1 || limit > docstore.MaxLimit {
		return usageError{fmt.Errorf("--limit: use a number from 1 to %d", docstore.MaxLimit)}
	}
	return nil
}

// nameOf is how the command is called that a command line has, as far as it has one.
func nameOf(line *kong.Context) string {
	if line == nil || line.Selected() == nil {
		return "manus"
	}
	node := line.Selected()
	for node.Type == kong.ArgumentNode {
		node = node.Parent
	}
	return node.FullPath()
}

// unclear are the texts of the parser that say less than they know.
var unclear = []struct {
	text  *regexp.Regexp
	clear string
}{
	{regexp.MustCompile(`^(\S+): expected .* but got "EOL" \(.*\)$`), "$1 needs a value"},
	{regexp.MustCompile(`^(\S+): expected .* but got "(-.*)" \(.*\)(; perhaps .*)?$`), "$1 needs a value, and $2 is none"},
	{regexp.MustCompile(`^(\S+): expected duration but got (".*"): time: .*$`), "$1: $2 is no span of time; write one such as 72h, 90m or 1h30m"},
	{regexp.MustCompile(`^(?:expected "(<.*>)"|missing flags: (.*))$`), "missing: $1$2"},
	{regexp.MustCompile(`^unexpected argument ([^,]*)`), "unexpected argument '$1'"},
}

// inWords is what the parser says of a command line, so that a newcomer understands it.
func inWords(text string, line *kong.Context) string {
	for _, u := range unclear {
		text = u.text.ReplaceAllString(text, u.clear)
	}
	if noCommand.MatchString(text) {
		text = "missing: a command, one of " + strings.Join(commandsOf(line), ", ")
	}
	return text
}

// noCommand is what the parser says of a line that ends before its command.
var noCommand = regexp.MustCompile(`^expected (?:one of )?".*$`)

// commandsOf are the commands that may follow what a command line has.
func commandsOf(line *kong.Context) (names []string) {
	node := line.Model.Node
	if selected := line.Selected(); selected != nil {
		node = selected
	}
	for _, child := range node.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return names
}

// sentence is a text with the stop that it hasn't yet.
func sentence(text string) string {
	if strings.HasSuffix(text, "?") || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}
