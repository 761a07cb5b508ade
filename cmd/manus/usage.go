package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"manus/docstore"
	"manus/internal/words"
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
	{regexp.MustCompile(`^(\S+): expected a valid \d+ bit u?int but got (".*")$`), "$1: $2 is no whole number"},
	{regexp.MustCompile(`^(?:expected "(<.*>)"|missing flags: (.*))$`), "missing: $1$2"},
	{regexp.MustCompile(`^unexpected argument ([^,]*)`), "unexpected argument '$1'"},
}

// What the parser says of a value that isn't among those there are, of a flag and of a command that it
// has no suggestion for, and of a line that ends before its command.
var (
	notAmong  = regexp.MustCompile(`^(\S+) must be one of (.*) but got (".*")$`)
	noFlag    = regexp.MustCompile(`^unknown flag (\S+)$`)
	noWord    = regexp.MustCompile(`^unexpected argument ('[^,]*)$`)
	noCommand = regexp.MustCompile(`^expected (?:one of )?".*$`)
)

// inWords is what the parser says of a command line, so that a newcomer understands it.
func inWords(text string, line *kong.Context) string {
	for _, u := range unclear {
		text = u.text.ReplaceAllString(text, u.clear)
	}
	commands := commandsOf(line)
	if found := notAmong.FindStringSubmatch(text); found != nil {
		names := slices.DeleteFunc(strings.Split(strings.ReplaceAll(found[2], `"`, ""), ","), func(name string) bool { return name == "" })
		text = fmt.Sprintf("%s: use %s, and not %s", found[1], words.Or(names), found[3])
	}
	if found := noFlag.FindStringSubmatch(text); found != nil {
		if near := words.Nearest(found[1], 2, slices.Values(flagsOf(line))); near != "" {
			text += fmt.Sprintf(", did you mean %q?", near)
		}
	}
	if found := noWord.FindStringSubmatch(text); found != nil && len(commands) > 0 {
		text = "there is no command " + found[1] + " here; use " + words.Or(commands)
	}
	if noCommand.MatchString(text) {
		text = "missing: a command; use " + words.Or(commands)
	}
	return text
}

// selected is the command that a command line has, as far as it has one.
func selected(line *kong.Context) *kong.Node {
	if node := line.Selected(); node != nil {
		return node
	}
	return line.Model.Node
}

// commandsOf are the commands that may follow what a command line has.
func commandsOf(line *kong.Context) (names []string) {
	for _, child := range selected(line).Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return names
}

// flagsOf are the flags that a command line may have, as they are typed.
func flagsOf(line *kong.Context) (names []string) {
	if line.Selected() == nil {
		names = []string{"--version"} // see inPlainForm
	}
	for _, flag := range slices.Concat(selected(line).AllFlags(true)...) {
		names = append(names, "--"+flag.Name)
		if flag.Tag.Negatable != "" {
			names = append(names, "--no-"+flag.Name)
		}
	}
	return names
}

// asTyped is what is said of a command line, in its words: a setting of the API is called as the flag
// or the argument that it was given by, and a file that a flag has named stands behind it.
func asTyped(text string, line *kong.Context) string {
	if line == nil || line.Selected() == nil {
		return text
	}
	for _, argument := range selected(line).Positional {
		text = renamed(text, argument.Name, argument.Summary())
	}
	for _, flag := range line.Flags() {
		called := "--" + flag.Name
		text = renamed(text, strings.ReplaceAll(flag.Name, "-", "_"), called)
		text = renamed(text, strings.ReplaceAll(flag.Name, "-", "_")+"s", called) // that may be given several times
		if path, ok := line.FlagValue(flag).(string); ok && path != "" && flag.Tag.Type == "path" {
			called += " " + typedPath(line.Args, path)
			text = renamed(text, "--"+flag.Name, called)
			text = renamed(text, filepath.Base(path), called)
		}
	}
	return text
}

// renamed is a text of lines that begin with what they are about, with another name for that.
func renamed(text, from, to string) string {
	return regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(from)+": ").ReplaceAllLiteralString(text, to+": ")
}

// typedPath is a path as it was typed.
func typedPath(args []string, path string) string {
	for _, arg := range args {
		if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-") {
			arg = value
		}
		if kong.ExpandPath(arg) == path {
			return arg
		}
	}
	return path
}

// sentence is a text with the stop that it hasn't yet.
func sentence(text string) string {
	if strings.HasSuffix(text, "?") || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}
