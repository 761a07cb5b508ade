package statuspage

import (
	"strings"

	"manus/language"
)

// links are addresses as a page has them: relative, so that they hold at /status and at the
// root of a host of its own, behind a proxy that puts a path before them, and in files.
type links struct {
	tag   language.Tag
	depth int    // how many folders the page is below the root
	root  string // in the place of the way there, where that isn't known
	files bool   // pages are files, with names that a server needs no rules for
}

// mainPage is the page's own.
const mainPage = "status"

// to is where a page is, in the page's language.
func (l links) to(page string) string { return l.in(page, l.tag) }

func (l links) in(page string, tag language.Tag) string {
	if l.files {
		return l.asset(fileName(page, tag))
	}
	return l.asset(page) + "?lang=" + tag.String()
}

// asset is where something is that is in no language.
func (l links) asset(path string) string {
	if l.root != "" {
		return l.root + path
	}
	return strings.Repeat("../", l.depth) + path
}

// fileName is what a page is called as a file.
func fileName(page string, tag language.Tag) string {
	if page == mainPage {
		page = "index"
	}
	if tag == language.Arabic {
		page += ".ar"
	}
	return page + ".html"
}

// FilePath is where a page is as a file, from its root: "/status/incidents/1.ar.html". The server answers
// by such names too.
func FilePath(path string, tag language.Tag) string {
	return "/" + fileName(strings.TrimPrefix(path, "/"), tag)
}

// pageOfFile is the page that is called so as a file, and its language; false where the name isn't a file's.
func pageOfFile(name string) (page string, tag language.Tag, is bool) {
	page, is = strings.CutSuffix(name, ".html")
	if arabic, ok := strings.CutSuffix(page, ".ar"); ok {
		return arabic, language.Arabic, is
	}
	return page, language.English, is
}
