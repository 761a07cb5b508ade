package config

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-envparse"

	"manus/internal/words"
)

const (
	envFileFlag = "--env-file"
	// fileSuffix makes NAME_FILE, which has the path of a file with NAME's value.
	fileSuffix = "_FILE"

	maxEnvFile   = 1 << 20  // bytes
	maxValueFile = 64 << 10 // bytes
)

// readVariables collects the variables that are set, those of the environment
// over those of the env file. An empty one counts as not set, unless it protects
// something.
func (l *loader) readVariables(source Source) {
	l.variables, l.empty = map[string]string{}, map[string]bool{}
	for _, pair := range source.Environ {
		name, value, _ := strings.Cut(pair, "=")
		l.set(name, value)
	}
	if source.EnvFile == "" {
		return
	}
	fromFile, problem := readEnvFile(source.EnvFile)
	if problem != nil {
		l.incomplete = true
		l.problems = append(l.problems, *problem)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(fromFile)) {
		if l.known(name) {
			l.set(name, fromFile[name])
		} else {
			l.problems = append(l.problems, l.unknownName(name))
		}
	}
}

// set sets a variable; as with os.Getenv, the first value counts.
func (l *loader) set(name, value string) {
	switch {
	case strings.TrimSpace(value) == "":
		l.empty[name] = true
	case !l.isSet(name):
		l.variables[name] = value
	}
}

func (l *loader) isSet(name string) bool { return l.variables[name] != "" }

// providerSecret matches the variables that hold providers' client secrets.
var providerSecret = regexp.MustCompile(`^OIDC_[A-Z][A-Z0-9_]{0,31}_CLIENT_SECRET$`)

// ProviderVariable is the variable that holds a provider's client secret.
func ProviderVariable(id string) string {
	return "OIDC_" + strings.ToUpper(strings.ReplaceAll(id, "-", "_")) + "_CLIENT_SECRET"
}

// readSecrets reads the secrets of a kind, whose variables match a pattern, to where put says
// by the variable's name. whose is what an empty one would be the secret of.
func (l *loader) readSecrets(settings *Settings, pattern *regexp.Regexp, whose string, put func(*Settings) *map[string]Secret) {
	names := slices.Concat(slices.Collect(maps.Keys(l.variables)), slices.Collect(maps.Keys(l.empty)))
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], fileSuffix)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !pattern.MatchString(name) || l.inTable(name) {
			continue
		}
		l.apply(setting{name: name, secret: true, parse: func(s *Settings, text string) *Problem {
			all := put(s)
			if *all == nil {
				*all = map[string]Secret{}
			}
			(*all)[name] = NewSecret(text)
			return nil
		}}, settings)
		l.refuse(!l.isSet(name) && !l.isSet(name+fileSuffix), name, "is empty", "set it to the "+whose+"'s secret, or remove it")
	}
}

// readProviderSecrets reads the client secrets of providers, by their variables.
func (l *loader) readProviderSecrets(settings *Settings) {
	l.readSecrets(settings, providerSecret, "provider", func(s *Settings) *map[string]Secret { return &s.ProviderSecrets })
}

// monitorSecret matches the variables that hold what monitors authenticate themselves with.
var monitorSecret = regexp.MustCompile(`^MONITOR_[A-Z0-9][A-Z0-9_]{0,63}_SECRET$`)

// readMonitorSecrets reads the secrets of manus.yaml's monitors, by their variables.
func (l *loader) readMonitorSecrets(settings *Settings) {
	l.readSecrets(settings, monitorSecret, "monitor", func(s *Settings) *map[string]Secret { return &s.MonitorSecrets })
}

func (l *loader) known(name string) bool {
	of := strings.TrimSuffix(name, fileSuffix)
	return providerSecret.MatchString(of) || channelSecret.MatchString(of) || monitorSecret.MatchString(of) || l.inTable(name)
}

func (l *loader) inTable(name string) bool {
	return slices.ContainsFunc(l.rows, func(row setting) bool { return row.isNamed(name) })
}

// value is the row's text, empty where nothing is set, and the name of the variable it
// is from.
func (l *loader) value(row setting) (name, text string, problem *Problem) {
	name, text = row.name, l.variables[row.name]
	if path, ok := l.variables[row.name+fileSuffix]; ok {
		if text != "" {
			return name, "", bad("is set together with "+row.name+fileSuffix, "keep one of them")
		}
		name = row.name + fileSuffix
		if text, problem = readValueFile(path); problem != nil {
			return name, "", problem
		}
		if row.secret {
			l.secretFiles = append(l.secretFiles, path)
		}
	}
	if text, problem = cleanValue(row, text); problem != nil {
		return name, "", problem
	}
	return name, text, nil
}

// cleanValue refuses what can't be seen in a text. White space around it is
// dropped, except around a secret, of which every copy of the server must make
// the same key.
func cleanValue(row setting, text string) (string, *Problem) {
	if !utf8.ValidString(text) {
		return "", bad("is not valid UTF-8", "write it as plain text")
	}
	trimmed := strings.TrimSpace(text)
	if row.secret && !row.lines && trimmed != text {
		return "", bad("begins or ends with white space", "remove it")
	}
	if !row.lines && strings.ContainsFunc(trimmed, unicode.IsControl) {
		return "", bad("contains a line break or another control character", "write it in one line")
	}
	return trimmed, nil
}

// readEnvFile reads NAME=value lines. The parser's own errors are not passed
// on, since some have a part of the line in them.
func readEnvFile(path string) (map[string]string, *Problem) {
	data, problem := readFile(path, maxEnvFile)
	if problem != nil {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			problem.Mend += ", or write the file with 'manus init'"
		}
		problem.Name = envFileFlag
		return nil, problem
	}
	variables, err := envparse.Parse(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	if err == nil {
		return variables, nil
	}
	wrong := "has a line of more than 64 KiB"
	at, ok := errors.AsType[*envparse.ParseError](err)
	if ok && !errors.Is(at.Err, bufio.ErrTooLong) { // it has no line number
		wrong = "line " + strconv.Itoa(at.Line) + " " + lineFault(at.Err)
	}
	return nil, &Problem{Name: envFileFlag, Wrong: wrong, Mend: "write each line as NAME=value, or NAME='value' where the value has spaces, quotes or #"}
}

func lineFault(err error) string {
	switch {
	case errors.Is(err, envparse.ErrMissingSeparator):
		return "has no ="
	case errors.Is(err, envparse.ErrUnmatchedDouble), errors.Is(err, envparse.ErrUnmatchedSingle):
		return "has a quote that is not closed"
	}
	return "is not a NAME=value line"
}

// readValueFile reads the file that a NAME_FILE variable names. One line break
// at its end is not part of the value. The path is not repeated in a problem:
// it may be a secret that somebody gave to the wrong variable.
func readValueFile(path string) (string, *Problem) {
	data, problem := readFile(path, maxValueFile)
	if problem != nil {
		return "", problem
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if strings.TrimSpace(text) == "" {
		return "", bad("the file is empty", "put the value into the file")
	}
	return text, nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, *Problem) {
	file, err := os.Open(path) //nolint:gosec // the operator's own choice
	if err != nil {
		return nil, unreadable(err)
	}
	defer func() { _ = file.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, unreadable(err)
	}
	if int64(len(data)) > limit {
		return nil, bad("the file has more than "+strconv.FormatInt(limit>>10, 10)+" KiB", "check that it is the right file")
	}
	return data, nil
}

func unreadable(err error) *Problem {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad("the file does not exist", "check the path")
	case errors.Is(err, fs.ErrPermission):
		return bad("the file may not be read by this user", "check its owner and mode")
	}
	return bad("the file cannot be read", "check that it is a plain file")
}

// unknownName reports a name of the env file that is no setting. The name is
// repeated only where it looks like one: in a file that went wrong it may be a
// piece of a secret.
func (l *loader) unknownName(name string) Problem {
	p := Problem{Name: envFileFlag, Wrong: "sets a name that is no setting", Mend: "check each line's name"}
	if likeName.MatchString(name) {
		p.Wrong, p.Mend = "sets "+name+", which is no setting", "remove it or correct its name"
	}
	if nearest := l.nearest(name); nearest != "" {
		p.Mend = "perhaps " + nearest + " is meant"
	}
	return p
}

// likeName matches a few capitalised words joined by underscores.
var likeName = regexp.MustCompile(`^[A-Z]{1,16}(_[A-Z]{1,16}[0-9]?){0,5}$`)

// nearest is the setting that a mistyped name most likely means, if any.
func (l *loader) nearest(name string) string {
	return words.Nearest(strings.ToUpper(name[:min(len(name), 64)]), 3, func(yield func(string) bool) {
		for _, row := range l.rows {
			if !yield(row.name) || !yield(row.name+fileSuffix) {
				return
			}
		}
	})
}
