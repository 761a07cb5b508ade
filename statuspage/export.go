package statuspage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"manus/language"
)

// ErrNothingRead is returned where nothing was read yet.
var ErrNothingRead = errors.New("the status page wasn't read yet")

// Export writes the page as files below a folder, for another host, and returns how many. They are
// what is answered here, with links to files in place of addresses. Each is whole at any time,
// and files of before that are no more stay. It returns ErrNothingRead or an error of the file
// system.
func (s *Service) Export(dir string) (n int, err error) {
	s.mu.Lock()
	shown, settings := s.shown, *s.settings.Load()
	s.mu.Unlock()
	if shown == nil {
		return 0, ErrNothingRead
	}
	settings.files = true
	made := newSite(shown, settings, s.c.Markdown, s.site.Load().stale)
	for path, each := range made.files {
		for tag, f := range each {
			name := path
			switch {
			case f.kind == htmlType:
				name = fileName(path, tag)
			case tag == language.Arabic:
				ext := filepath.Ext(name)
				name = strings.TrimSuffix(name, ext) + ".ar" + ext
			}
			if err := writeWhole(filepath.Join(dir, filepath.FromSlash(name)), f.plain().body); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// writeWhole writes a file under another name and renames it.
func writeWhole(path string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // for everybody to read
		return err
	}
	unfinished := path + ".unfinished"
	if err := os.WriteFile(unfinished, body, 0o644); err != nil { //nolint:gosec // as above
		return err
	}
	return os.Rename(unfinished, path)
}
