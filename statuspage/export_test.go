package statuspage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var reference = regexp.MustCompile(`(?:href|src)="([^"]*)"`)

// Every link of a page that was written leads to a file, wherever the folder is.
func TestLinksOfFilesLeadToFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := refreshed(t, busy(), func(s *Settings) { s.URL, s.Root = "https://static.example", true })
	n, err := h.Export(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, links := 0, 0
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		if filepath.Ext(path) != ".html" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range reference.FindAllStringSubmatch(string(text), -1) {
			if link := m[1]; !strings.HasPrefix(link, "#") && !strings.HasPrefix(link, "https://") {
				links++
				name, part, _ := strings.Cut(link, "#")
				there, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
				if err != nil || part != "" && !strings.Contains(string(there), `id="`+part+`"`) {
					t.Errorf("%s leads to %s: %v", path, link, err)
				}
			}
		}
		return nil
	})
	if err != nil || files != n || links < 100 {
		t.Errorf("%d files of %d with %d links, %v", files, n, links, err)
	}
	for _, name := range []string{"index.html", "index.ar.html", "status/history.html", "status/feed.atom", "status/feed.ar.atom", "status/badge/api.svg", "status/uptime/api.json", "api/v2/summary.json", "api/v2/incidents/unresolved.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	feed, err := os.ReadFile(filepath.Join(dir, "status/feed.atom"))
	if err != nil || !strings.Contains(string(feed), `href="https://static.example/status/incidents/i1.html"`) {
		t.Errorf("%v %s", err, feed)
	}
	if _, err := setup(t, busy()).Export(t.TempDir()); !errors.Is(err, ErrNothingRead) {
		t.Errorf("what was never read is written: %v", err)
	}
}
