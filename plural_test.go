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
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (slices.Contains([]string{"bench", "tools", "deploy", "internal/testsetup", "internal/mongotest"}, path) || strings.HasSuffix(path, "test") || strings.HasPrefix(entry.Name(), ".") && path != "."):
			return fs.SkipDir // what is only for us
		case entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		checkPlurals(t, path)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func checkPlurals(t *testing.T, path string) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return
	}
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
