package manus_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// plural is a number before what there are several of: it would print "1 documents". A range,
// "8 to 128 characters", always has several.
var plural = regexp.MustCompile(`(^|.{0,3})%d ([a-z]+)s\b`)

// notPlural are words that end as a plural does.
var notPlural = []string{"i", "ha", "wa", "a"}

// TestNoTextPrintsOneThings holds every text of the program against that: internal/words and
// language.Plural write numbers of things.
func TestNoTextPrintsOneThings(t *testing.T) {
	t.Parallel()
	eachSource(t, checkPlurals)
}

// eachSource parses the sources of the program, and leaves out what is only for us.
func eachSource(t *testing.T, look func(*testing.T, *token.FileSet, *ast.File)) {
	t.Helper()
	files := token.NewFileSet()
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (slices.Contains([]string{"bench", "tools", "deploy", "internal/testsetup", "internal/mongotest"}, path) || strings.HasSuffix(path, "test") || strings.HasPrefix(entry.Name(), ".") && path != "."):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err == nil {
			look(t, files, file)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func checkPlurals(t *testing.T, files *token.FileSet, file *ast.File) {
	t.Helper()
	ast.Inspect(file, func(n ast.Node) bool {
		text, ok := n.(*ast.BasicLit)
		if !ok || text.Kind != token.STRING {
			return true
		}
		for _, found := range plural.FindAllStringSubmatch(text.Value, -1) {
			if !strings.HasSuffix(found[1], "to ") && !slices.Contains(notPlural, found[2]) {
				t.Errorf("%s: %s would print one of them as several: use words.Count", files.Position(text.Pos()), text.Value)
			}
		}
		return true
	})
}

// bareNumbers are the methods that make a number without a unit of a duration.
var bareNumbers = []string{"Nanoseconds", "Microseconds", "Milliseconds", "Seconds", "Minutes", "Hours"}

// TestNoLogHasADurationWithoutAUnit: a log is given durations as they are, and its handler writes
// the unit.
func TestNoLogHasADurationWithoutAUnit(t *testing.T) {
	t.Parallel()
	seen := 0
	eachSource(t, func(t *testing.T, files *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !isLogged(call) {
				return true
			}
			seen++
			for _, arg := range call.Args {
				if namesUnit(call) {
					break
				}
				ast.Inspect(arg, func(n ast.Node) bool {
					if name, ok := n.(*ast.SelectorExpr); ok && slices.Contains(bareNumbers, name.Sel.Name) {
						t.Errorf("%s: a log would have the number of a duration alone: give it the duration", files.Position(name.Pos()))
					}
					return true
				})
			}
			return true
		})
	})
	if seen < 100 {
		t.Errorf("there are %d calls of logs: how are they recognised?", seen)
	}
}

// namesUnit tells whether an attribute has the unit of its number in its name.
func namesUnit(call *ast.CallExpr) (named bool) {
	ast.Inspect(call, func(n ast.Node) bool {
		name, ok := n.(*ast.BasicLit)
		named = named || ok && strings.HasSuffix(name.Value, `_ms"`)
		return true
	})
	return named
}

// isLogged tells whether a call writes into a log, or makes an attribute of what is.
func isLogged(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, _ := method.X.(*ast.Ident)
	if of != nil && of.Name == "slog" {
		return true
	}
	if field, ok := method.X.(*ast.SelectorExpr); ok {
		of = field.Sel
	}
	return of != nil && strings.HasSuffix(strings.ToLower(of.Name), "log") || of != nil && of.Name == "logger"
}

// halfText is a page that says something in one language only: the other one's words would show there.
var halfText = regexp.MustCompile(`\btext\s+("\s*"|"[^"]*"\s+"\s*")`)

// Pages say whole sentences in both languages, also in branches that no test renders.
func TestNoPageHasHalfAText(t *testing.T) {
	t.Parallel()
	pages := 0
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".html" {
			return err
		}
		pages++
		body, err := os.ReadFile(path)
		for _, half := range halfText.FindAll(body, -1) {
			t.Errorf("%s has half a text: %s", path, half)
		}
		return err
	})
	if err != nil || pages < 10 {
		t.Errorf("of %d pages: %v", pages, err)
	}
}
