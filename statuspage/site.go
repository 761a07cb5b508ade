package statuspage

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/andybalholm/brotli"

	"manus/design"
	"manus/language"
)

//go:embed pages
var embedded embed.FS

func mustRead(name string) string {
	text, err := embedded.ReadFile("pages/" + name)
	if err != nil {
		panic(err) // the program was built without it
	}
	return string(text)
}

// site is everything that is answered of a view. Each of its files is rendered when it is first asked
// for, and compressed when that is.
type site struct {
	*view
	settings Settings
	markdown Markdown
	plain    func(string) string
	stale    time.Time // when the view was found to be old; zero while it isn't
	files    map[string]localized
	style    string // paths of what never changes
	script   string
	logo     string
}

// localized is a file in each language; those that are in none have one.
type localized map[language.Tag]*file

func (l localized) in(tag language.Tag) *file {
	if f := l[tag]; f != nil {
		return f
	}
	return l[""]
}

// file is something that is answered as it is.
type file struct {
	kind   string // its media type
	access access
	status int // 0 is 200
	plain  func() variant
	gzip   func() variant
	brotli func() variant
}

// access is who may use a file, and for how long it is kept.
type access int

const (
	pages  access = iota // for people
	shared               // for pages of other sites too
	frozen               // as shared, and never another one under its name
)

// variant is a file in an encoding.
type variant struct {
	encoding string
	etag     string
	body     []byte
}

// minCompressed is how many bytes are worth it.
const minCompressed = 600

func newFile(kind string, a access, render func() []byte) *file {
	f := &file{kind: kind, access: a}
	f.plain = sync.OnceValue(func() variant {
		body := render()
		sum := sha256.Sum256(body)
		return variant{"", `"` + hex.EncodeToString(sum[:8]) + `"`, body}
	})
	packed := func(encoding string, pack func([]byte) []byte) func() variant {
		return sync.OnceValue(func() variant {
			plain := f.plain()
			if len(plain.body) < minCompressed {
				return plain
			}
			return variant{encoding, plain.etag[:len(plain.etag)-1] + "-" + encoding + `"`, pack(plain.body)}
		})
	}
	f.gzip, f.brotli = packed("gzip", gzipped), packed("br", brotlied)
	return f
}

func gzipped(body []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.DefaultCompression) // a level that there is
	_, _ = w.Write(body)                                       // into memory
	_ = w.Close()
	return out.Bytes()
}

func brotlied(body []byte) []byte {
	var out bytes.Buffer
	w := brotli.NewWriterLevel(&out, 5)
	_, _ = w.Write(body) // into memory
	_ = w.Close()
	return out.Bytes()
}

// maxKept is how many incidents have pages that are kept: those that are open, and the latest. Others are rendered
// for whoever asks.
const maxKept = 100

// newSite lists all that can be asked for.
func newSite(v *view, settings Settings, markdown Markdown, stale time.Time) *site {
	s := &site{view: v, settings: settings, markdown: markdown, stale: stale, files: map[string]localized{}}
	s.style = s.freeze(".css", "text/css; charset=utf-8", design.Stylesheet(settings.Accent, mustRead("status.css")))
	s.script = s.freeze(".js", "text/javascript; charset=utf-8", []byte(mustRead("status.js")))
	if settings.Picture.Body != nil {
		s.logo = s.freeze(settings.Picture.Extension(), settings.Picture.Type, settings.Picture.Body)
	} else {
		s.logo = s.freeze(".svg", "image/svg+xml", design.Mark().Body)
	}
	s.each(mainPage, htmlType, pages, s.front)
	s.page("status/history", "history.html", func(p *page) any { return p.history() })
	for i := range v.Rows {
		r := &v.Rows[i]
		s.page("status/components/"+r.ID, "component.html", func(p *page) any { return p.component(r) })
		if r.IsMeasured() {
			s.page(openedPath(r.ID), "uptime.html", func(p *page) any { return p.minutes(r) })
			s.one(openedPath(r.ID)+".json", jsonType, func() []byte { return encode(openedAs(r)) })
		}
		s.each("status/badge/"+r.ID+".svg", "image/svg+xml", shared, func(tag language.Tag) []byte { return badge(r.Name.In(tag), r.Status, tag) })
	}
	s.each("status/badge/overall.svg", "image/svg+xml", shared, func(tag language.Tag) []byte { return badge(v.Title.In(tag), v.Overall, tag) })
	for k, i := range slices.Concat(v.Open, v.Past) {
		if k >= maxKept && !settings.files {
			break
		}
		s.page("status/incidents/"+i.ID, "incident.html", func(p *page) any { return p.incident(i) })
	}
	s.each("status/feed.atom", "application/atom+xml; charset=utf-8", shared, s.feed)
	s.each("status/calendar.ics", "text/calendar; charset=utf-8", shared, s.calendar)
	s.one("status/widget.js", "text/javascript; charset=utf-8", func() []byte { return []byte(mustRead("widget.js")) })
	s.one("status/widget.json", jsonType, s.widget)
	for name, answer := range s.answers() {
		s.one("api/v2/"+name+".json", jsonType, answer)
	}
	return s
}

// assets is where there is what never changes.
const assets = "status/assets/"

// freeze adds what never changes, and returns its path.
func (s *site) freeze(end, kind string, body []byte) string {
	f := newFile(kind, frozen, func() []byte { return body })
	etag := f.plain().etag
	path := assets + etag[1:len(etag)-1] + end
	s.files[path] = localized{"": f}
	return path
}

func (s *site) one(path, kind string, render func() []byte) {
	s.files[path] = localized{"": newFile(kind, shared, render)}
}

func (s *site) each(path, kind string, a access, render func(language.Tag) []byte) {
	all := localized{}
	for _, tag := range languages {
		all[tag] = newFile(kind, a, func() []byte { return render(tag) })
	}
	s.files[path] = all
}

// page adds a page that a template makes.
func (s *site) page(path, template string, data func(*page) any) {
	s.each(path, htmlType, pages, func(tag language.Tag) []byte {
		return s.render(template, data(s.newPage(path, tag)), tag)
	})
}

const (
	htmlType = "text/html; charset=utf-8"
	jsonType = "application/json; charset=utf-8"
)
