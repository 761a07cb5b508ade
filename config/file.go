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
	"manus/errtrack"
	"manus/incident"
	"manus/internal/words"
	"manus/notify"
	"manus/ratelimit"
	"manus/statuspage"
	"manus/uptime"
)

const (
	// maxFile is in bytes: as many monitors as there may be, 400 each.
	maxFile = 8 << 20
	// The parser compares each key of a mapping with every other one, and so it does directives. It
	// would take hours where a file has nothing else.
	maxKeys         = 1000
	maxDirectives   = 100
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
	// Errors is what is kept of errors, and for how long.
	Errors errtrack.Policy `yaml:"errors"`
	// Monitors are what is watched, beside the product itself.
	Monitors uptime.Policy `yaml:"monitors"`
	// StatusPage is what the public page shows.
	StatusPage statuspage.Policy `yaml:"status_page"`
	// Incidents is what incidents can be opened with.
	Incidents incident.Policy `yaml:"incidents"`
}

// withSecrets is the file's providers, each with its secret.
func (f File) withSecrets(secrets map[string]Secret) []account.Provider {
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
	for _, sentence := range slices.Concat(f.Billing.Problems(), f.Limits.Problems(routes, plans), f.Backup.Problems(), f.Alerts.Problems(OwnChannels...), f.Errors.Problems(), f.Monitors.Problems(), f.StatusPage.Problems(f.monitorIDs()...), f.Incidents.Problems()) {
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

// monitorIDs are those of all monitors that there can be.
func (f File) monitorIDs() []string {
	ids := slices.Clone(uptime.OwnIDs)
	for _, m := range f.Monitors {
		ids = append(ids, m.ID)
	}
	return ids
}

// DefaultFile is what holds where there is no file, and for every key that a
// file leaves out. The routes have limits of their own.
func DefaultFile(routes ratelimit.Routes) File {
	return File{Billing: billing.DefaultCatalog(), Providers: []account.Provider{}, Limits: ratelimit.DefaultConfig(routes), Backup: backup.DefaultPolicy(), Alerts: notify.DefaultPolicy(), Errors: errtrack.DefaultPolicy(), Monitors: uptime.Policy{}, StatusPage: statuspage.Policy{Components: []statuspage.Listed{}}, Incidents: incident.DefaultPolicy()}
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
			Problem{Wrong: fmt.Sprintf("has %d more problems", more), Mend: "mend these first"})
	}
	for i := range problems {
		problems[i].Name = filepath.Base(path)
	}
	return file, problems
}

// parseFile reads the text of a file; its problems have no name yet. A file that says
// nothing at all is one that was emptied by mistake.
func parseFile(data []byte, routes ratelimit.Routes) (File, Problems) {
	file := DefaultFile(routes)
	own := file.Limits.Rules
	file.Limits.Rules = nil // a list in the file is to be told from none
	if bytes.Count(data, []byte("%TAG")) > maxDirectives {
		return File{}, Problems{{Wrong: "has many %TAG directives", Mend: "take them out"}}
	}
	document := document{into: &file}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	switch err := decoder.Decode(&document); {
	case err != nil && !errors.Is(err, io.EOF):
		return File{}, yamlProblems(err)
	case document.root.Node == nil:
		return File{}, Problems{{Wrong: "says nothing", Mend: "write {} for all defaults, or what you want to change"}}
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return File{}, Problems{{Wrong: "has more than one document", Mend: "keep what is before the second '---'"}}
	}
	if err := document.cutOff(); err != nil {
		return File{}, yamlProblems(err)
	}
	problems := file.problems(routes)
	if file.Limits.Rules == nil {
		file.Limits.Rules = own
	}
	return file, problems
}

// document is a file that is parsed once, however often it is decoded.
type document struct {
	root tree
	into *File
}

// tree is what is read before it is decoded; nil where a file says nothing.
type tree struct{ *yaml.Node }

// UnmarshalYAML keeps it.
func (t *tree) UnmarshalYAML(node *yaml.Node) error {
	t.Node = node
	return nil
}

// UnmarshalYAML decodes as the decoder is set up, unlike [yaml.Node.Decode].
func (d *document) UnmarshalYAML(decode func(any) error) error {
	if err := decode(&d.root); err != nil {
		return err
	}
	if line := crowded(d.root.Node); line > 0 {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: use at most %s", line, words.Count(maxKeys, "key"))}}
	}
	return decode(d.into)
}

// crowded is the line of a mapping with too many keys; zero where there is none.
func crowded(node *yaml.Node) (line int) {
	if node.Kind == yaml.MappingNode && len(node.Content) > 2*maxKeys {
		return node.Line
	}
	for _, child := range node.Content {
		if line = crowded(child); line > 0 {
			return line
		}
	}
	return 0
}

// cutOff is the error of fractions that were cut off, as a whole number is wanted there.
func (d *document) cutOff() error {
	if !refuseFractions(d.root.Node) {
		return nil
	}
	err := d.root.Decode(new(File))
	wrong, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return err
	}
	wrong.Errors = slices.DeleteFunc(wrong.Errors, func(text string) bool { return strings.HasSuffix(text, " into float64") })
	if len(wrong.Errors) == 0 {
		return nil
	}
	return wrong
}

// refuseFractions makes texts of all fractions, and tells whether there are any: the decoder would cut them off where a
// whole number is wanted, and says so of a text.
func refuseFractions(node *yaml.Node) (any bool) {
	if node.ShortTag() == "!!float" {
		node.Tag, any = "!!str", true
	}
	for _, child := range node.Content {
		any = refuseFractions(child) || any
	}
	return any
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
	if strings.Contains(text, "excessive aliasing") {
		return Problem{Wrong: "repeats too much by aliases, such as *name", Mend: "write out what they stand for"}
	}
	where := ""
	if at := regexp.MustCompile(`^yaml: (line \d+): `).FindStringSubmatch(text); at != nil {
		where = " near " + at[1]
	}
	return Problem{Wrong: "is not valid YAML" + where, Mend: "check the indentation, the colons and the quotes there"}
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
