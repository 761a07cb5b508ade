package sourcemap

import (
	"bytes"
	"slices"
	"strings"
)

// FileDebugID is the debug id that a generated file, or the end of it, has in a comment
// (`//# debugId=…`), in the form of [Map.DebugID]; empty where it has none.
func FileDebugID(file []byte) string { return debugID(comment(file, "debugId=")) }

// MappingURL is where a generated file, or the end of it, says that its map is
// (`//# sourceMappingURL=…`): a path from the file, an address, or a data URL with the map
// itself. It is empty where it doesn't say.
func MappingURL(file []byte) string { return comment(file, "sourceMappingURL=") }

// comment is what stands behind a name in the last comment of its form that has a line of its
// own.
func comment(file []byte, name string) string {
	for len(file) > 0 {
		start := bytes.LastIndexAny(file, "\r\n") + 1
		line := bytes.TrimSpace(file[start:])
		for _, mark := range []string{"//# ", "//@ "} {
			if value, found := bytes.CutPrefix(line, []byte(mark+name)); found {
				return string(bytes.TrimSpace(value))
			}
		}
		file = file[:max(start-1, 0)]
	}
	return ""
}

// Filename is the path of a source: without the scheme and the namespace that bundlers write
// (webpack://app/./src/a.js), the loaders before it (style!./a.css), the way up (../), and
// what stands behind a question mark, which loaders and hashes use. It is for showing and
// grouping; what [Map.Context] takes is the source.
func Filename(source string) string {
	name := source
	if scheme, rest, found := strings.Cut(name, "://"); found && !slices.Contains([]string{"http", "https", "file"}, scheme) {
		name = rest[strings.Index(rest, "/")+1:]
		name = name[strings.LastIndex(name, "!")+1:]
	}
	name, _, _ = strings.Cut(name, "?")
	for {
		short := strings.TrimPrefix(strings.TrimPrefix(name, "./"), "../")
		if short == name {
			return name
		}
		name = short
	}
}
