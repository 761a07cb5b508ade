package grouping

import (
	"bytes"
	"cmp"
	"strings"
	"unicode/utf8"

	"manus/errtrack/event"
)

// frame is what is compared of a call in a stack.
type frame struct {
	key   []byte // the module or file, and the function
	named bool   // key has the function
	// line is the source that failed; empty where that isn't known, or a build changes it.
	line   string
	helper bool // the function fails for its caller
}

// isPlace tells whether a frame says where something failed, so that it doesn't matter who
// has called it.
func (f frame) isPlace() bool { return !f.helper && !f.isNameless() }

func (f frame) isNameless() bool { return !f.named && f.line == "" }

// stacksOf are an event's stacks, that of the first cause first: what failed, failed there.
func stacksOf(e *event.Event) [][]event.Frame {
	stacks := make([][]event.Frame, 0, 4)
	for i := range e.Exceptions {
		if frames := e.Exceptions[i].Frames; len(frames) > 0 {
			stacks = append(stacks, frames)
		}
	}
	if len(stacks) == 0 && len(e.Stack) > 0 {
		stacks = append(stacks, e.Stack)
	}
	return stacks
}

// framesOf are an event's frames from the one that failed outwards: those that say where it
// failed in the program's own code, and all of them. By which way the program came there
// is no part of a bug, so of its own code they are the innermost frame, and as long as that
// is a helper or names nothing, its caller too.
func framesOf(e *event.Event) (failed, all []frame) {
	const keyLength = 48 // of most
	stacks, count := stacksOf(e), 0
	for _, stack := range stacks {
		count = min(count+len(stack), maxAllFrames)
	}
	owned := ownershipOf(e, stacks)
	k := keys{script: isScript(e.Platform), ruby: e.Platform == "ruby", golang: e.Platform == "go", buf: make([]byte, 0, keyLength*count)}
	all = make([]frame, 0, count)
	found := false
	for _, stack := range stacks {
		for i := len(stack) - 1; i >= 0 && len(all) < maxAllFrames; i-- {
			f := k.of(&stack[i])
			if len(f.key) == 0 {
				continue
			}
			all = collapse(append(all, f))
			if !found && owned.has(&stack[i]) && !repeats(failed, f) {
				failed = append(failed, f)
				found = f.isPlace() || len(failed) == maxFrames
			}
		}
	}
	return failed, all
}

// repeats tells whether a frame is the last of some once more.
func repeats(frames []frame, f frame) bool {
	n := len(frames)
	return n > 0 && bytes.Equal(frames[n-1].key, f.key)
}

// crash is where an event happened: its innermost frame that isn't a helper's, if possible
// of the program's own code.
func crash(e *event.Event) string {
	var own, innermost *event.Frame
	stacks := stacksOf(e)
	owned := ownershipOf(e, stacks)
	for _, stack := range stacks {
		for i := len(stack) - 1; i >= 0; i-- {
			f := &stack[i]
			innermost = cmp.Or(innermost, f)
			if !owned.has(f) {
				continue
			}
			if own = cmp.Or(own, f); !isHelper(f.Function) {
				return whereIs(f)
			}
		}
	}
	if own = cmp.Or(own, innermost); own == nil {
		return ""
	}
	return whereIs(own)
}

func whereIs(f *event.Frame) string {
	where := cmp.Or(f.Module, f.Filename, f.AbsPath)
	if where == "" || f.Function == "" {
		return firstLine(where + f.Function)
	}
	return firstLine(where + " in " + f.Function)
}

// longestLoop is by how many functions that call each other recursion is recognised.
const longestLoop = 3

// collapse leaves out the end of a stack that only repeats what is before it, so that it
// doesn't matter how deep a recursion was.
func collapse(frames []frame) []frame {
	n := len(frames)
	for loop := 1; loop <= longestLoop && 2*loop <= n; loop++ {
		same := true
		for i := n - loop; i < n && same; i++ {
			same = bytes.Equal(frames[i].key, frames[i-loop].key)
		}
		if same {
			return frames[:n-loop]
		}
	}
	return frames
}

// isScript is whether a platform's code is run from bundles, which a build may rename.
func isScript(platform string) bool { return platform == "javascript" || platform == "node" }

// keys makes the keys of an event's frames, all in one buffer.
type keys struct {
	script, ruby, golang bool
	buf                  []byte
}

func (k *keys) of(f *event.Frame) frame {
	start := len(k.buf)
	renamed := k.scope(f)
	if file := cmp.Or(f.Filename, f.AbsPath); k.script && len(k.buf) == start && f.Module == "" && file != "" && isNative(file) {
		return frame{} // the engine's own, which some browsers leave out
	}
	function := k.function(f.Function)
	line, built := lineOf(f)
	if k.script && len(function) <= 2 && (built || renamed) {
		function, line = "", "" // the next build calls it otherwise
	}
	if function != "" {
		if len(k.buf) > start {
			k.buf = append(k.buf, '.')
		}
		k.buf = appendStable(k.buf, function)
	}
	return frame{key: k.buf[start:len(k.buf):len(k.buf)], named: function != "", line: line, helper: isHelper(function)}
}

// lineOf is the line of source that a frame is at, unless it is a window of a bundle: that
// is another one after any change of the bundle.
func lineOf(f *event.Frame) (line string, built bool) {
	if f.ContextLine < 0 || f.ContextLine >= len(f.Context) {
		return "", false
	}
	line = f.Context[f.ContextLine]
	if len(line) > maxLine || strings.Contains(line, "{snip}") {
		return "", true
	}
	return strings.Join(strings.Fields(line), " "), false
}

// Bounds of what is taken of a frame, in bytes. A line of source that is longer was made
// by a program.
const (
	maxLine = 120
	maxName = 256
)

// scope appends where a function is: its module, or else its file's name. It returns
// whether a build has put something into that, which the next one will change.
func (k *keys) scope(f *event.Frame) (renamed bool) {
	module := cut(f.Module, maxName)
	path := module
	if module == "" || module == "__main__" || k.script && strings.Contains(module, "/") {
		if path = cmp.Or(f.Filename, f.AbsPath); isNative(path) {
			return false
		}
	} else if !k.script {
		module, _, _ = strings.Cut(module, "$$") // Java's classes that are made while it runs
		if strings.Contains(module, ".Generated") {
			module = strings.TrimRight(module, "0123456789")
		}
		k.buf = appendStable(k.buf, module)
		return false
	}
	if i := strings.IndexAny(path, "?#"); i > 0 {
		path = path[:i]
	}
	parent, base := splitPath(path)
	if stem, _, _ := strings.Cut(base, "."); isCommon(stem) {
		if _, folder := splitPath(parent); folder != "" && strings.Trim(folder, "0123456789-_.:") != "" {
			k.fileName(folder)
			k.buf = append(k.buf, '/')
		}
	}
	return k.fileName(base)
}

// isNative is whether a path names no file.
func isNative(path string) bool {
	switch path {
	case "", "?", "<anonymous>", "<unknown>", "unknown", "native", "native code", "[native code]", "eval code":
		return true
	}
	return false
}

// splitPath parts a path of any system at its last separator.
func splitPath(path string) (parent, base string) {
	i := strings.LastIndexAny(path, `/\`)
	return path[:max(i, 0)], cut(path[i+1:], maxName)
}

// isCommon is whether so many files have a name that their folder says which it is.
func isCommon(stem string) bool {
	switch stem {
	case "index", "__init__", "mod", "page", "route", "layout", "+page", "+server", "+layout":
		return true
	}
	return false
}

// fileName appends a file's name in small letters and without what a build has put in it:
// app.3f2c1b9d.js and index-BkT9zQ3x.js are app.js and index.js.
func (k *keys) fileName(name string) (renamed bool) {
	start := len(k.buf)
	stem, _, _ := strings.Cut(name, ".")
	if hash := len(stem) - 8; k.script && hash > 1 && stem[hash-1] == '-' && isRandom(stem[hash:]) { // Vite's hashes may have _ and - in them
		name, renamed = stem[:hash-1]+name[len(stem):], true
	}
	for part := 0; part < len(name); {
		end := part + 1
		for end < len(name) && !isSeparator(name[end]) {
			end++
		}
		text := name[part:end] // with the separator before it
		if k.isBuilt(strings.TrimLeftFunc(text, func(r rune) bool { return r < 0x80 && isSeparator(byte(r)) })) {
			renamed = true
		} else {
			k.buf = appendLower(k.buf, text)
		}
		part = end
	}
	renamed = renamed || strings.Contains(name, ".min.")
	if renamed && start < len(k.buf) && isSeparator(k.buf[start]) {
		k.buf = append(k.buf[:start], k.buf[start+1:]...)
	}
	return renamed
}

func isSeparator(c byte) bool { return c == '.' || c == '-' || c == '_' || c == '~' || c == ':' }

// isBuilt is whether a part of a file's name is a number or a hash that a build has put there.
func (k *keys) isBuilt(part string) bool {
	if !k.script {
		return isHash(part, 16)
	}
	n := len(part)
	return n > 0 && (digits(part) == n || isHash(part, 7) || n == 8 && (isRandom(part) || strings.ToUpper(part) == part))
}

// function is what a function's name is in every build and in every browser; empty if it
// has none.
func (k *keys) function(name string) string {
	name = strings.TrimSpace(cut(name, maxName))
	switch {
	case k.script:
		name, _, _ = strings.Cut(name, " [as ")
		name, _, _ = strings.Cut(name, " (") // Promise.all (index 0)
		name = strings.TrimSuffix(name, "/<")
		name = name[strings.LastIndexAny(name, " */.")+1:] // async f, async*f, new F, outer/f, Object.f
	case k.ruby:
		if i := strings.LastIndex(name, " in "); i >= 0 { // block (2 levels) in f
			name = name[i+len(" in "):]
		}
	case k.golang:
		if number, ok := strings.CutPrefix(name, "func"); ok && strings.Trim(number, "0123456789.") == "" {
			return "" // a closure of any function
		}
	}
	name = strings.TrimSuffix(name, "-fm")        // a method as a value, in Go
	if i := strings.Index(name, "\x00"); i >= 0 { // the path of an anonymous class, in PHP
		name = name[:i]
	}
	if before, closure, ok := strings.Cut(name, "{closure:"); ok { // PHP says where it is
		name = before + "{closure}" + closure[strings.LastIndexByte(closure, '}')+1:]
	}
	if i := len(name) - len("::h0123456789abcdef"); i > 0 && strings.HasPrefix(name[i:], "::h") { // Rust
		name = name[:i]
	}
	switch name {
	case "?", "<anonymous>", "anonymous", "(anonymous)", "Anonymous function", "<anonymous function>", "<unknown>", "<redacted>", "[Anonymous function]":
		return ""
	}
	return name
}

// appendStable appends a name without the numbers that compilers give to functions and
// classes without one, and without the parameters that Go leaves out: lambda$run$3,
// run.gowrap1, Map[...].Get, _show_erb__123_456.
func appendStable(b []byte, name string) []byte {
	start, dropped := len(b), false
	for name != "" {
		n := 0
		for n < len(name) && name[n] != '[' && !isDigit(name[n]) {
			n++
		}
		dropped = dropped && name[:n] == "_"
		if b, name = append(b, name[:n]...), name[n:]; name == "" {
			break
		}
		if name[0] == '[' {
			rest, generic := strings.CutPrefix(name, "[...]")
			if !generic {
				b, rest = append(b, '['), name[1:]
			}
			dropped, name = false, rest
			continue
		}
		rest := name[digits(name):]
		dropped = dropped || isNumbered(string(b[start:])) && (rest == "" || !isLetter(rest[0]))
		if !dropped {
			b = append(b, name[:len(name)-len(rest)]...)
		}
		name = rest
	}
	return b
}

// isNumbered is whether a number after this is a compiler's. Those of Go's closures stay:
// they only change with the function around them, which may have one for each route.
func isNumbered(before string) bool {
	for _, mark := range []string{"$", ":", "__", ".gowrap", ".deferwrap"} {
		if strings.HasSuffix(before, mark) {
			return true
		}
	}
	return false
}

func appendLower(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// cut is the beginning of a text, of at most n bytes, that ends between two characters.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
