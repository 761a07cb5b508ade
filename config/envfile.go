package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// ErrEnvExists is returned by WriteEnv where there is something already.
var ErrEnvExists = errors.New("exists already and is never overwritten; move it away, or add what is missing by hand")

// WriteEnv writes a first env file, with a secret of its own and every setting
// explained, that Load accepts as it is. Only its owner may read it. It returns
// ErrEnvExists where the path is taken, and leaves no half of a file behind.
func WriteEnv(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator's own choice
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s %w", path, ErrEnvExists)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot write the settings: make the folder of %s first, or name another file: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("cannot write the settings: %w", err)
	}
	_, err = file.WriteString(envText())
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("cannot write the settings: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// envText is the env file, made from the table.
func envText() string {
	var b strings.Builder
	b.WriteString(`# The settings of manus, for: manus serve --env-file .env
# Written by 'manus init'. It holds a secret: keep it out of version control.
#
# A line that begins with # is not in force; what it shows is the default or an
# example. The environment's own variables win over this file. Instead of NAME
# there may be NAME_FILE with the path of a file that holds the value. A value
# with spaces, quotes or # in it goes in single quotes.
`)
	for _, row := range table() {
		if row.parse != nil {
			writeEntry(&b, row)
		}
	}
	return b.String()
}

func writeEntry(b *strings.Builder, row setting) {
	b.WriteByte('\n')
	for _, line := range wrap(row.help, 77) {
		b.WriteString("# " + line + "\n")
	}
	if row.initial != nil {
		b.WriteString(row.name + "=" + row.initial() + "\n")
		return
	}
	b.WriteString("#" + row.name + "=" + cmp.Or(row.fallback, row.example) + "\n")
}

// wrap breaks a text into lines of at most width bytes, between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
