package grouping

import (
	"cmp"
	"strings"
	"unicode"

	"manus/errtrack/event"
)

// ownership tells which frames of an event are of the program's own code. An SDK that marks
// some and not others knows. One that marks all of them, as Python's and the browser's may, or
// none, as Go's in a program that was built with -trimpath, can't tell: then their paths do.
type ownership struct {
	all, none bool // of the frames are marked
	golang    bool
}

func ownershipOf(e *event.Event, stacks [][]event.Frame) ownership {
	o := ownership{all: true, none: true, golang: e.Platform == "go"}
	for _, stack := range stacks {
		for i := range stack {
			o.all = o.all && stack[i].InApp
			o.none = o.none && !stack[i].InApp
		}
	}
	return o
}

// Own tells which frames of an event are of the program's own code.
func Own(e *event.Event) func(*event.Frame) bool {
	return ownershipOf(e, stacksOf(e)).has
}

func (o ownership) has(f *event.Frame) bool {
	path := cmp.Or(f.AbsPath, f.Filename)
	switch {
	case isPythonLibrary(path), o.golang && strings.Contains(path, "/pkg/mod/"): // marked by many an SDK
		return false
	case o.none:
		return o.golang && isGoProgram(f.Module, path)
	case o.all:
		return !isInstalled(path)
	}
	return f.InApp
}

// isPythonLibrary tells whether a file is of Python's standard library, wherever that has
// been installed.
func isPythonLibrary(path string) bool {
	_, file, found := strings.Cut(path, "/lib/python")
	return found && file != "" && isDigit(file[0]) && !strings.Contains(file, "-packages/")
}

// isInstalled tells whether a package manager has put a file where it is.
func isInstalled(path string) bool {
	for _, folder := range []string{"/site-packages/", "/dist-packages/", "/node_modules/"} {
		if strings.Contains(path, folder) {
			return true
		}
	}
	return false
}

// isGoProgram tells whether a Go package is of the program's own module: -trimpath leaves
// the version of each other module in the paths of its files.
func isGoProgram(pkg, path string) bool {
	root, _, _ := strings.Cut(pkg, "/")
	return pkg == "main" || root != "" && !goLibrary[root] && !strings.Contains(path, "@")
}

// goLibrary are the folders of Go's standard library.
var goLibrary = func() map[string]bool {
	folders := map[string]bool{}
	for folder := range strings.FieldsSeq(`archive bufio bytes cmp compress container context crypto database debug embed encoding
		errors expvar flag fmt go hash html image index internal io iter log maps math mime net os path plugin reflect regexp
		runtime slices sort strconv strings structs sync syscall testing text time unicode unique unsafe vendor weak`) {
		folders[folder] = true
	}
	return folders
}()

// isHelper tells by a function's name that it fails, or reports, for whoever calls it, so
// that what has happened is its caller's: fail, assertEqual, checkErr, panicIf. A stack has
// no better sign of that. What fails for itself has a name of its own: checkout, checkOrder,
// reportChart, capturePayment.
func isHelper(function string) bool {
	name, _, _ := strings.Cut(function, "[") // Must[...]
	name = name[strings.LastIndexAny(name, `.:/\# `)+1:]
	verb, rest := firstWord(name)
	switch verb {
	case "assert", "must", "throw":
		return true
	case "abort", "capture", "check", "die", "ensure", "expect", "fail", "invariant", "panic", "raise", "report", "require", "verify":
		switch next, _ := firstWord(rest); next {
		case "", "err", "error", "errors", "exception", "if", "non", "not", "on", "that", "unless", "with":
			return true
		}
	}
	return false
}

// firstWord is the first word of a name in small letters, and the rest of the name. Words
// are parted by what is no letter, and by a capital letter after a small one.
func firstWord(name string) (word, rest string) {
	start := strings.IndexFunc(name, unicode.IsLetter)
	if start < 0 {
		return "", ""
	}
	name = name[start:]
	before := rune(0)
	for i, r := range name {
		if !unicode.IsLetter(r) || unicode.IsUpper(r) && unicode.IsLower(before) {
			return strings.ToLower(name[:i]), name[i:]
		}
		before = r
	}
	return strings.ToLower(name), ""
}
