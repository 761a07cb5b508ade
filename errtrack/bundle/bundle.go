// Package bundle reads the bundles of built JavaScript and its source maps that sentry-cli
// puts together ("artifact bundles"): a zip file whose manifest.json says of each file what
// it is, at which address it is served, and by which debug id events name it
// (https://docs.rs/symbolic-debuginfo, sourcebundle).
//
// What is in a bundle is a stranger's: files, sizes and the manifest are bounded, and nothing
// is ever written under a name that stands in it. It knows nothing of projects, nor of where
// files are kept.
package bundle

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"manus/internal/words"
)

// Kind is what a file is.
type Kind string

// The kinds that frames are mapped by; a bundle may have others, which Files leaves out.
const (
	Minified  Kind = "minified_source"
	SourceMap Kind = "source_map"
)

// File is a file of a bundle.
type File struct {
	Kind Kind
	// URL is where the file is served, "~" for any scheme and host: ~/static/app.js.
	URL string
	// DebugID is 32 hexadecimal digits, in small letters; empty for a file without one.
	DebugID string
	// SourceMap is the address of a minified file's source map, as it says it itself; empty
	// where nothing does.
	SourceMap string

	entry *zip.File
}

// Bundle is a bundle that is read.
type Bundle struct {
	// Files are sorted by their place in the bundle.
	Files []File

	unpacked int64 // bytes that may still be unpacked
}

// Bounds of a bundle. Errors name them.
const (
	// MaxFiles is how many files there may be.
	MaxFiles = 20_000
	// MaxFile and MaxUnpacked are how large one of them, and all together, may be, in bytes.
	MaxFile     = 64 << 20
	MaxUnpacked = 512 << 20

	maxManifest  = 16 << 20 // bytes
	maxDirectory = 8 << 20  // bytes of zip's list of files
	// maxRatio is how many times larger files may be than what they are packed in, once that
	// is more than freely: source maps are some ten times.
	maxRatio = 100
	freely   = 16 << 20 // bytes
	maxURL   = 1000     // bytes
)

// ErrMalformed is returned for what is no bundle, or one that is beyond its bounds. What it
// says is for the person who uploads.
var ErrMalformed = errors.New("the bundle can't be read")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

// Open reads what is in a bundle of size bytes. It returns ErrMalformed, or an error of r.
func Open(r io.ReaderAt, size int64) (*Bundle, error) {
	list := &metered{r: r, left: maxDirectory}
	archive, err := zip.NewReader(list, size)
	list.left = -1 // what follows is bounded by itself
	switch {
	case list.err != nil:
		return nil, list.err
	case err != nil:
		return nil, malformed("it is no zip file: %w", err)
	case len(archive.File) > MaxFiles+1:
		return nil, malformed("it has more than %s", words.Count(MaxFiles, "file"))
	}
	b := &Bundle{unpacked: min(MaxUnpacked, max(freely, size*maxRatio))}
	entries := make(map[string]*zip.File, len(archive.File))
	for _, f := range archive.File {
		entries[f.Name] = f
	}
	m, err := b.manifest(entries["manifest.json"])
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(m.Files)) {
		said := m.Files[path]
		if said.Kind != Minified && said.Kind != SourceMap {
			continue
		}
		entry := entries[path]
		switch {
		case entry == nil:
			return nil, malformed("its manifest names a file that isn't there")
		case len(said.URL) > maxURL || !utf8.ValidString(said.URL) || strings.ContainsFunc(said.URL, unicode.IsControl):
			return nil, malformed("a file's address has more than %s, or isn't text", words.Count(maxURL, "byte"))
		case entry.UncompressedSize64 > MaxFile:
			return nil, tooLarge(said.URL)
		}
		b.Files = append(b.Files, File{Kind: said.Kind, URL: said.URL, DebugID: debugID(said.header("debug-id")), SourceMap: said.sourceMap(), entry: entry})
	}
	return b, nil
}

func tooLarge(url string) error {
	return malformed("%s is larger than %d MiB", url, MaxFile>>20)
}

// manifest is manifest.json: of each path what is there.
type manifest struct {
	Files map[string]said `json:"files"`
}

type said struct {
	Kind    Kind              `json:"type"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

func (b *Bundle) manifest(entry *zip.File) (m manifest, err error) {
	if entry == nil {
		return m, malformed("it has no manifest.json")
	}
	text, err := b.read(entry, maxManifest)
	if err != nil {
		return m, err
	}
	return parseManifest(text)
}

func parseManifest(text []byte) (m manifest, err error) {
	if err := json.Unmarshal(text, &m); err != nil {
		return m, malformed("its manifest.json: %w", err)
	}
	if len(m.Files) > MaxFiles {
		return m, malformed("it has more than %s", words.Count(MaxFiles, "file"))
	}
	return m, nil
}

// header is one of a file's headers, whose names may be in any letters.
func (s said) header(name string) string {
	for key, value := range s.Headers {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

func (s said) sourceMap() string {
	for _, name := range []string{"sourcemap", "x-sourcemap"} {
		if at := s.header(name); at != "" && len(at) <= maxURL && utf8.ValidString(at) {
			return at
		}
	}
	return ""
}

// debugID is a debug id as events have it; empty for what is none.
func debugID(text string) string {
	id := strings.ToLower(strings.ReplaceAll(text, "-", ""))
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}

// Copy writes what is in a file to w. It returns ErrMalformed, or an error of w or of what
// the bundle is read from.
func (b *Bundle) Copy(w io.Writer, f File) error {
	in, err := f.entry.Open()
	if err != nil {
		return unreadable(err)
	}
	defer func() { _ = in.Close() }()
	within := min(MaxFile, b.unpacked)
	n, err := io.Copy(w, &source{in: io.LimitReader(in, within+1)})
	b.unpacked -= n
	switch {
	case err != nil:
		return err
	case n > MaxFile:
		return tooLarge(f.URL)
	case n > within:
		return malformed("its files are larger than %d MiB, or far larger than what they are packed in", MaxUnpacked>>20)
	}
	return nil
}

// read is what is in a file of at most so many bytes.
func (b *Bundle) read(entry *zip.File, most int64) ([]byte, error) {
	in, err := entry.Open()
	if err != nil {
		return nil, unreadable(err)
	}
	defer func() { _ = in.Close() }()
	text, err := io.ReadAll(&source{in: io.LimitReader(in, min(most, b.unpacked)+1)})
	b.unpacked -= int64(len(text))
	if err == nil && (int64(len(text)) > most || b.unpacked < 0) {
		err = malformed("its manifest.json is larger than %d MiB", most>>20)
	}
	return text, err
}

// source tells what a packed file's faults are.
type source struct{ in io.Reader }

func (s *source) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = unreadable(err)
	}
	return n, err
}

// unreadable is ErrMalformed for a fault of the bundle, and the error itself where what it is
// read from has failed.
func unreadable(err error) error {
	if failed, ok := errors.AsType[*readError](err); ok {
		return failed.err
	}
	return malformed("a file in it: %w", err)
}

// metered reads until it has read too much. Its faults are told from those of the archive.
type metered struct {
	r    io.ReaderAt
	left int64 // negative for no bound
	err  error
}

// readError is a fault of what a bundle is read from.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

func (m *metered) ReadAt(p []byte, at int64) (int, error) {
	if m.left >= 0 {
		if m.left -= int64(len(p)); m.left < 0 {
			m.err = malformed("its list of files is larger than %d MiB", maxDirectory>>20)
			return 0, m.err
		}
	}
	if at < 0 { // the archive says so
		return 0, malformed("a file in it lies outside of it")
	}
	n, err := m.r.ReadAt(p, at)
	if err != nil && !errors.Is(err, io.EOF) {
		if m.left >= 0 {
			m.err = err
		}
		err = &readError{err}
	}
	return n, err
}
