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

// Export writes the page as files below a folder, for another host, and returns how many there are. They are
// what is answered here, with links to files in place of addresses. Each is whole at any time,
// and files of before that are no more stay. It returns ErrNothingRead or an error of the file
// system.
func (s *Service) Export(dir string) (n int, err error) {
	files, err := s.exported()
	if err != nil {
		return 0, err
	}
	return len(files), writeAll(dir, files)
}

func writeAll(dir string, files map[string][]byte) error {
	for name, body := range files {
		if err := writeWhole(filepath.Join(dir, filepath.FromSlash(name)), body); err != nil {
			return err
		}
	}
	return nil
}

// exported are the files, by their names. It returns ErrNothingRead.
func (s *Service) exported() (map[string][]byte, error) {
	s.mu.Lock()
	shown, settings := s.shown, *s.settings.Load()
	s.mu.Unlock()
	if shown == nil {
		return nil, ErrNothingRead
	}
	settings.files = true
	made := newSite(shown, settings, s.c.Markdown, s.site.Load().stale)
	files := map[string][]byte{}
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
			files[name] = f.plain().body
		}
	}
	return files, nil
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
