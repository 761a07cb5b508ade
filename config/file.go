package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"manus/account"
	"manus/backup"
	"manus/billing"
	"manus/notify"
	"manus/ratelimit"
)

const (
	// maxFile is in bytes. The parser compares each key of a mapping with
	// every other one, which takes it seconds at this size.
	maxFile         = 256 << 10
	maxFileProblems = 50 // as many as anybody reads
	maxProviders    = 20
)

// File is the settings with a structure, which a running server can apply
// anew. Secrets never stand in it.
type File struct {
	Billing billing.Catalog `yaml:",inline"`
	// Providers are the OpenID providers that people can sign in with.
	Providers []account.Provider `yaml:"providers"`
	// Limits are the rate limits.
	Limits ratelimit.Config `yaml:"limits"`
	// Backup is how backups are made and kept.
	Backup backup.Policy `yaml:"backup"`
	// Alerts is who is told of what.
	Alerts notify.Policy `yaml:"alerts"`
}

// WithSecrets is the file's providers, each with its secret.
func (f File) WithSecrets(secrets map[string]Secret) []account.Provider {
	var providers []account.Provider
	for _, p := range f.Providers {
		if secret, ok := secrets[ProviderVariable(p.ID)]; ok {
			p.ClientSecret = secret.Reveal()
		}
		providers = append(providers, p)
	}
	return providers
}

// problems says what is wrong with the file's values, for a program with the routes.
func (f File) problems(routes ratelimit.Routes) Problems {
	var problems Problems
	plans := make([]string, len(f.Billing.Plans))
	for i, plan := range f.Billing.Plans {
		plans[i] = plan.ID
	}
	for _, sentence := range slices.Concat(f.Billing.Problems(), f.Limits.Problems(routes, plans), f.Backup.Problems(), f.Alerts.Problems(OwnChannels...)) {
		problems = append(problems, Problem{Wrong: sentence})
	}
	if len(f.Providers) > maxProviders {
		problems = append(problems, Problem{Wrong: fmt.Sprintf("providers: list at most %d", maxProviders)})
	}
	seen := map[string]bool{}
	for i, p := range f.Providers {
		found := p.Problems()
		if seen[p.ID] {
			found = append(found, "id: is the same as an earlier provider's; give each its own")
		}
		seen[p.ID] = true
		for _, sentence := range found {
			problems = append(problems, Problem{Wrong: fmt.Sprintf("providers[%d].%s", i, sentence)})
		}
	}
	return problems
}

// DefaultFile is what holds where there is no file, and for every key that a
// file leaves out. The routes have limits of their own.
func DefaultFile(routes ratelimit.Routes) File {
	return File{Billing: billing.DefaultCatalog(), Providers: []account.Provider{}, Limits: ratelimit.DefaultConfig(routes), Backup: backup.DefaultPolicy(), Alerts: notify.DefaultPolicy()}
}

// LoadFile reads and checks a manus.yaml on its own, for a program with the routes.
// Its only error is *Problems; then nothing of the file is to be applied.
func LoadFile(path string, routes ratelimit.Routes) (File, error) {
	file, problems := loadFile(path, routes)
	if len(problems) > 0 {
		return File{}, &problems
	}
	return file, nil
}

// loadFile is LoadFile, and the defaults where there is no path.
func loadFile(path string, routes ratelimit.Routes) (File, Problems) {
	if path == "" {
		return DefaultFile(routes), nil
	}
	var file File
	var problems Problems
	if data, problem := readFile(path, maxFile); problem != nil {
		problems = Problems{*problem}
	} else {
		file, problems = parseFile(data, routes)
	}
	if more := len(problems) - maxFileProblems; more > 0 {
		problems = append(problems[:maxFileProblems:maxFileProblems],
			Problem{"", fmt.Sprintf("has %d more problems", more), "mend these first"})
	}
	for i := range problems {
		problems[i].Name = filepath.Base(path)
	}
	return file, problems
}

// parseFile reads the text of a file; its problems have no name yet. A file that says
// nothing at all is one that was emptied by mistake.
func parseFile(data []byte, routes ratelimit.Routes) (File, Problems) {
	var document yaml.Node
	switch err := yaml.Unmarshal(data, &document); {
	case err != nil:
		return File{}, yamlProblems(err)
	case document.IsZero() || document.Content[0].ShortTag() == "!!null":
		return File{}, Problems{{"", "says nothing", "write {} for all defaults, or what you want to change"}}
	}
	file := DefaultFile(routes)
	own := file.Limits.Rules
	file.Limits.Rules = nil // a list in the file is to be told from none
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return File{}, yamlProblems(err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return File{}, Problems{{"", "has more than one document", "keep what is before the second '---'"}}
	}
	refuseFractions(&document)
	if err := document.Decode(new(File)); err != nil {
		return File{}, yamlProblems(err)
	}
	problems := file.problems(routes)
	if file.Limits.Rules == nil {
		file.Limits.Rules = own
	}
	return file, problems
}

// refuseFractions makes texts of all fractions: the decoder would cut them off where a
// whole number is wanted, and says so of a text.
func refuseFractions(node *yaml.Node) {
	if node.ShortTag() == "!!float" {
		node.Tag = "!!str"
	}
	for _, child := range node.Content {
		refuseFractions(child)
	}
}

// yamlProblems says what the decoder found in words of our own, since its
// errors quote the file.
func yamlProblems(err error) Problems {
	wrong, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return Problems{syntaxProblem(err.Error())}
	}
	var problems Problems
	for _, text := range wrong.Errors {
		problems = append(problems, typeProblem(text))
	}
	return problems
}

func syntaxProblem(text string) Problem {
	where := ""
	if at := regexp.MustCompile(`^yaml: (line \d+): `).FindStringSubmatch(text); at != nil {
		where = " near " + at[1]
	}
	return Problem{"", "is not valid YAML" + where, "check the indentation, the colons and the quotes there"}
}

// typeProblem puts one message of a yaml.TypeError into our words. The message
// has no structure, so it is told apart by its text.
func typeProblem(text string) Problem {
	p := Problem{Wrong: "has a value of the wrong kind", Mend: "compare it with manus.example.yaml"}
	line, text, ok := strings.Cut(text, ": ")
	if !ok || !regexp.MustCompile(`^line \d+$`).MatchString(line) {
		return p
	}
	p.Wrong = line + " " + p.Wrong
	field := regexp.MustCompile(`^field (?s:(.*)) not found in type [\w.]+$`).FindStringSubmatch(text)
	switch {
	case field != nil:
		p.Wrong, p.Mend = unknownKey(line, field[1])
	case strings.HasPrefix(text, "mapping key "):
		p.Wrong, p.Mend = line+" has a key a second time", "keep one of them"
	case strings.HasSuffix(text, " into int"), strings.HasSuffix(text, " into int64"):
		p.Mend = "use a whole number"
	case strings.HasPrefix(text, "use "): // by the UnmarshalYAML of a setting's type
		p.Wrong, p.Mend = line+" has a value that can't be used", text
	case regexp.MustCompile(` into \[\][\w.]+$`).MatchString(text):
		p.Mend = "use a list, each entry beginning with '- '"
	}
	return p
}

// unknownKey names a key that is none of the file's, unless it looks like
// something that came to be a key by mistake.
func unknownKey(line, key string) (wrong, mend string) {
	wrong, mend = line+" has an unknown key", "compare it with manus.example.yaml"
	if !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,31}$`).MatchString(key) {
		return wrong, mend
	}
	wrong += ", " + key
	if slices.ContainsFunc(table(), func(row setting) bool { return strings.EqualFold(key, row.name) }) {
		mend = "set it in the environment"
	}
	return wrong, mend
}
