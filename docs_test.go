package manus_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// asvs is every requirement of levels 1 and 2 of OWASP ASVS 5.0.0, V6, V7, V9.
const asvs = `6.1.1 6.1.2 6.1.3 6.2.1 6.2.2 6.2.3 6.2.4 6.2.5 6.2.6 6.2.7 6.2.8 6.2.9 6.2.10 6.2.11 6.2.12 6.3.1 6.3.2 6.3.3 6.3.4
	6.4.1 6.4.2 6.4.3 6.4.4 6.5.1 6.5.2 6.5.3 6.5.4 6.5.5 6.6.1 6.6.2 6.6.3 6.8.1 6.8.2 6.8.3 6.8.4
	7.1.1 7.1.2 7.1.3 7.2.1 7.2.2 7.2.3 7.2.4 7.3.1 7.3.2 7.4.1 7.4.2 7.4.3 7.4.4 7.4.5 7.5.1 7.5.2 7.6.1 7.6.2
	9.1.1 9.1.2 9.1.3 9.2.1 9.2.2 9.2.3 9.2.4`

func TestEveryRequirementIsLinkedToATestOrWaived(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	shown := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+\.\d+\.\d+) \| [12] \| (.+) \| (.+) \|$`).FindAllStringSubmatch(string(text), -1) {
		if shown[row[1]] != "" {
			t.Errorf("%s is there twice", row[1])
		}
		shown[row[1]] = row[3]
		if row[3] == "this page" || row[3] == "waived" && strings.HasPrefix(row[2], "waived") {
			continue
		}
		for name := range strings.SplitSeq(row[3], ", ") {
			if !tests[name] {
				t.Errorf("%s is shown by %s, which doesn't exist", row[1], name)
			}
		}
	}
	for id := range strings.FieldsSeq(asvs) {
		if shown[id] == "" {
			t.Errorf("%s is missing", id)
		}
		delete(shown, id)
	}
	for id := range shown {
		t.Errorf("%s is no requirement of these levels", id)
	}
}

// testNames are the tests and fuzz targets of the module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range declared.FindAllStringSubmatch(string(text), -1) {
			names[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
