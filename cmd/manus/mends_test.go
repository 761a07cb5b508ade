package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"manus/config"
	"manus/identity"
)

// advice are the texts that a report tells people what to do by, by where they stand: those of
// the sources with checks, and of the docs.
func advice(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	docs, err := os.ReadFile("../../docs/readiness.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(docs), "\n") {
		texts["docs/readiness.md:"+strconv.Itoa(i+1)] = line
	}
	files, sources := token.NewFileSet(), 0
	for _, pattern := range []string{"../../*/*.go", "../../cmd/manus/check*.go"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			of := func(i *ast.ImportSpec) bool { return i.Path.Value == `"manus/readiness"` }
			if strings.HasSuffix(path, "_test.go") || !slices.ContainsFunc(file.Imports, of) && file.Name.Name != "readiness" {
				continue
			}
			sources++
			ast.Inspect(file, func(n ast.Node) bool {
				if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
					texts[files.Position(text.Pos()).String()], _ = strconv.Unquote(text.Value)
				}
				return true
			})
		}
	}
	if sources < 12 {
		t.Fatalf("there are %d sources with checks: how are they recognised?", sources)
	}
	return texts
}

// What a report and its docs tell people to type and to set is there: a setting, a command with
// its flags, a scope, a key of manus.yaml.
func TestWhatReportsTellPeopleToDoIsThere(t *testing.T) {
	t.Parallel()
	n := newNamed(t)
	for at, text := range advice(t) {
		for _, wrong := range n.wrongIn(text) {
			t.Errorf("%s: there is no %s: %.200s", at, wrong, text)
		}
	}
	for text, want := range map[string]string{
		"Set BACKUP_RECIPIENTS to it":        "BACKUP_RECIPIENTS",
		"See 'manus backup lists'.":          "manus backup lists",
		"اكتب manus bakup list":              "manus bakup",
		"manus check --onlyone":              "--onlyone",
		"manus check --to there":             "--to",
		"Run it with --everything.":          "--everything",
		"a key with the scope operate":       "operate",
		"'limits.allowed' has only networks": "limits.allowed",
		"Make one: manus backup create. Set BACKUP_DIR, limits.allow, the scope operator; see limits.store.": "",
	} {
		if got := strings.Join(n.wrongIn(text), ", "); got != want {
			t.Errorf("%s: %q is seen", text, got)
		}
	}
}

// named is what has a name.
type named struct {
	settings, flags map[string]bool
	commands        *kong.Node
	keys            map[string]any // of manus.yaml
	other           string         // where other names with a dot stand
}

func newNamed(t *testing.T) (n named) {
	t.Helper()
	env := filepath.Join(t.TempDir(), "env")
	if err := config.WriteEnv(env); err != nil {
		t.Fatal(err)
	}
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	// The first is for the files of secrets, the second is check's own, the others are everybody's.
	n.settings = map[string]bool{"NAME_FILE": true, "MANUS_API_KEY": true, "NO_COLOR": true, "LC_ALL": true, "LC_MESSAGES": true}
	for _, name := range regexp.MustCompile(`(?m)^#? ?([A-Z][A-Z0-9_]+)=`).FindAllStringSubmatch(read(env), -1) {
		n.settings[name[1]] = true
	}
	example := read("../../manus.example.yaml")
	if err := yaml.Unmarshal([]byte(example), &n.keys); err != nil {
		t.Fatal(err)
	}
	n.other = example + strings.Join(regexp.MustCompile(`(?m)^### .*$`).FindAllString(read("../../docs/readiness.md"), -1), "\n")
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	n.commands, n.flags = parser.Model.Node, map[string]bool{}
	_ = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if command, ok := node.(*kong.Node); ok {
			for _, flag := range command.Flags {
				n.flags["--"+flag.Name] = true
			}
		}
		return next(nil)
	})
	return n
}

var (
	settingName = regexp.MustCompile(`\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b`)
	commandLine = regexp.MustCompile(`\bmanus( [a-z][^'"` + "`" + `.,;:؛،()\n]*)`)
	flagName    = regexp.MustCompile(`(?:^|[\s'` + "`" + `])(--[a-z][a-z-]*)`)
	scopeName   = regexp.MustCompile(`\bscope ['"` + "`" + `]?([a-z]+)`)
	keyName     = regexp.MustCompile(`\b([a-z_]+)\.([a-z_]+)\b`)
)

// wrongIn are the names in a text of what there isn't.
func (n named) wrongIn(text string) (wrong []string) {
	for _, name := range settingName.FindAllString(text, -1) {
		if !n.settings[name] {
			wrong = append(wrong, name)
		}
	}
	for _, line := range commandLine.FindAllStringSubmatch(text, -1) {
		wrong = append(wrong, n.wrongCommand(strings.Fields(line[1]))...)
	}
	for _, flag := range flagName.FindAllStringSubmatch(text, -1) {
		if !n.flags[flag[1]] && !slices.Contains(wrong, flag[1]) {
			wrong = append(wrong, flag[1])
		}
	}
	for _, scope := range scopeName.FindAllStringSubmatch(text, -1) {
		if !slices.Contains([]identity.Scope{identity.Read, identity.Write, identity.Worker, identity.ScopeOperate, identity.Probe}, identity.Scope(scope[1])) {
			wrong = append(wrong, scope[1])
		}
	}
	for _, key := range keyName.FindAllStringSubmatch(text, -1) {
		under, isKey := n.keys[key[1]].(map[string]any)
		if _, there := under[key[2]]; isKey && !there && !strings.Contains(n.other, key[0]) {
			wrong = append(wrong, key[0])
		}
	}
	return wrong
}

// wrongCommand is what of a command line there isn't.
func (n named) wrongCommand(words []string) (wrong []string) {
	at, line := n.commands, "manus"
	for len(words) > 0 && len(at.Children) > 0 {
		line += " " + words[0]
		i := slices.IndexFunc(at.Children, func(c *kong.Node) bool { return c.Name == words[0] })
		if i < 0 {
			return []string{line}
		}
		at, words = at.Children[i], words[1:]
	}
	for _, word := range words {
		has := func(f *kong.Flag) bool { return "--"+f.Name == word }
		if strings.HasPrefix(word, "--") && !slices.ContainsFunc(slices.Concat(at.AllFlags(false)...), has) {
			wrong = append(wrong, word)
		}
	}
	return wrong
}
