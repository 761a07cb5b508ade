// Package console is the pages that people look at: the homepage and the API's
// reference. They are rendered here, need no script and nothing from another
// host, and stand in English and Arabic, light and dark.
//
// Those about the product are rendered once, the reference when it is first asked
// for; those behind mailed links, and of kept mails, as they are asked for.
package console

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"manus/design"
	"manus/httpapi"
	"manus/language"
	"manus/mail"
	"manus/ratelimit"
)

//go:embed pages
var files embed.FS

// Config is what the pages are made of.
type Config struct {
	Version string
	// Accounts is behind the pages that mailed links lead to.
	Accounts Accounts
	// Alerts is behind the links in alerts.
	Alerts Alerts
	// Subscribers is behind the pages by which people ask to be told, Parts are what they can choose,
	// and StatusLook is the status page's, which these pages belong to; nil: they look as the others.
	Subscribers Subscribers
	Parts       func() []Part
	StatusLook  func(language.Tag) Look
	// Product is what the pages call the product, in place of Manus; Support is the address for
	// questions, and Logo its picture. Each may be empty.
	Product language.Text
	Support string
	Logo    design.Picture
	// Mails are shown at /dev/mails; nil shows none.
	Mails *mail.Outbox
	// Components has /dev/components show what pages are made of.
	Components bool
	// URL is where the server is reached, for the examples in the reference, and Limits the rules
	// in force of a request; nil: those that routes have of their own.
	URL    string
	Limits func(method, path string) []ratelimit.Rule
	Log    *slog.Logger
}

// Pages are the pages of the site.
type Pages struct {
	Config
	home      map[language.Tag]document
	reference atomic.Pointer[reference]
	api       *httpapi.API
	assets    map[string]document // by path
	favicon   document

	inline      template.CSS // the style sheet, in pages that stand alone
	errorPolicy string
	docsStyle   string // its path

	templates map[language.Tag]*template.Template
	base      frame // in no language yet
}

// New makes the pages, which can be shown once they are rendered.
func New(c Config) *Pages {
	return &Pages{
		Config: c, home: map[language.Tag]document{},
		assets: map[string]document{}, templates: map[language.Tag]*template.Template{},
	}
}

// Render renders the pages about the product. The routes of api are all registered
// already.
func (p *Pages) Render(api *httpapi.API) error {
	own, err := files.ReadFile("pages/style.css")
	if err != nil {
		return err
	}
	sheet := design.Stylesheet(design.Brand{}, string(own))
	style := p.keep("/style.css", newDocument("text/css; charset=utf-8", sheet))
	p.inline = template.CSS(sheet) //nolint:gosec // it is ours
	p.errorPolicy = policyWith(p.inline)
	icon := p.keepIcons()
	docs, err := files.ReadFile("pages/docs.css")
	if err != nil {
		return err
	}
	p.docsStyle = p.keep("/docs.css", newDocument("text/css; charset=utf-8", docs))
	p.api = api
	p.base = frame{Style: style, Icon: icon, Version: p.Version, Support: p.Support, IsProduct: p.Product != (language.Text{})}
	for _, tag := range []language.Tag{language.English, language.Arabic} {
		if p.templates[tag], err = template.New("").Funcs(wordsOf(tag)).ParseFS(files, "pages/*.html"); err != nil {
			return err
		}
		if p.home[tag], err = p.render(tag, "home.html", p.frameIn(tag)); err != nil {
			return err
		}
	}
	p.reference.Store(p.newReference(api))
	return nil
}

// Refresh has the reference made anew: what it tells, as the limits in force, has changed.
func (p *Pages) Refresh() {
	if p.reference.Load() != nil { // it has been rendered
		p.reference.Store(p.newReference(p.api))
	}
}

// keepIcons keeps the product's logo, or that of Manus, and returns its path.
func (p *Pages) keepIcons() (path string) {
	logo, favicon := p.Logo, p.Logo
	if logo.Body == nil {
		logo, favicon = design.Mark(), design.MarkIcon()
	}
	p.favicon = newDocument(favicon.Type, favicon.Body)
	return p.keep("/logo", newDocument(logo.Type, logo.Body))
}

// wordsOf is how a page says something in a language: text picks between words
// that stand in the page itself, say takes those that come from elsewhere, lang is the language; prose
// is a text with names of programs in it.
func wordsOf(tag language.Tag) template.FuncMap {
	return template.FuncMap{
		"text":     tag.Pick,
		"say":      func(text language.Text) string { return text.In(tag) },
		"rate":     func(limit ratelimit.Limit) string { return saidLimit(tag, limit) },
		"prose":    prose,
		"fieldDoc": func(text string) template.HTML { return fieldDoc(tag, text) },
		"lang":     func() language.Tag { return tag },
	}
}

// Look is how a part of the site looks: the paths of its style sheet and its icon, and what it
// is called in a language. What is empty is as it is elsewhere.
type Look struct{ Style, Icon, Name string }

// frame is what all pages have.
type frame struct {
	Lang        language.Tag
	Style, Icon string // paths
	Name        string // of what it belongs to
	IsProduct   bool   // the name is that of the operator's product
	Support     string // where people write to for help; may be empty
	Version     string
	OfStatus    bool         // it belongs to the status page
	Inline      template.CSS // the style, of a page that can ask the server for nothing else
	Elsewhere   string       // where people begin, if that isn't a path of the site
	kept        url.Values   // of the query, when the language is changed
}

func (p *Pages) frameIn(tag language.Tag) frame {
	f := p.base
	f.Lang, f.Name = tag, cmp.Or(p.Product.In(tag), "Manus")
	return f
}

// alone makes it a page that asks the server for nothing else.
func (f *frame) alone(style template.CSS) { f.Inline, f.Icon, f.OfStatus = style, "", false }

// Home is where people begin.
func (f frame) Home() string {
	site := "/"
	if f.OfStatus {
		site = "/status"
	}
	return cmp.Or(f.Elsewhere, site) + "?lang=" + f.Lang.String()
}

// Other is the language that the page isn't in.
func (f frame) Other() language.Tag {
	return language.Tag(language.Text{En: string(language.Arabic), Ar: string(language.English)}.In(f.Lang))
}

// OtherLanguage is where the page is in the other language.
func (f frame) OtherLanguage() string {
	query := url.Values{"lang": {f.Other().String()}}
	maps.Copy(query, f.kept)
	return "?" + query.Encode()
}

// keep serves what never changes, and returns its path: it has the contents' hash in it, so
// that it can be cached for ever.
func (p *Pages) keep(name string, d document) (path string) {
	path = "/assets/" + d.hash + name[1:]
	p.assets[path] = d
	return path
}

func (p *Pages) render(tag language.Tag, name string, data any) (document, error) {
	var out bytes.Buffer
	if err := p.templates[tag].ExecuteTemplate(&out, name, data); err != nil {
		return document{}, err
	}
	return newDocument("text/html; charset=utf-8", out.Bytes()), nil
}

// document is something to be sent as it is.
type document struct {
	contentType string
	body        []byte
	hash        string
	packed      func() []byte // with gzip, once somebody asks
}

func newDocument(contentType string, body []byte) document {
	sum := sha256.Sum256(body)
	return document{contentType, body, hex.EncodeToString(sum[:8]), sync.OnceValue(func() []byte { return pack(body) })}
}

func pack(body []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(body) // into memory
	_ = w.Close()
	return out.Bytes()
}

// ServeHTTP sends it whole, unless the client has it.
func (d document) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Header.Del("Range") // a wrong one is answered in net/http's words
	header := w.Header()
	header.Set("Content-Type", d.contentType)
	header.Add("Vary", "Accept-Encoding")
	body, tag := d.body, d.hash
	if _, packed := httpapi.Encodings(r); packed {
		header.Set("Content-Encoding", "gzip")
		body, tag = d.packed(), tag+"-gzip"
	}
	header.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// frame is what the page has in the request's language.
func (p *Pages) frame(r *http.Request) frame {
	f := p.frameIn(language.From(r.Context()))
	f.kept = r.URL.Query()
	maps.DeleteFunc(f.kept, func(name string, _ []string) bool { return name != "token" && name != "component" && name != "by" })
	if strings.HasPrefix(r.URL.Path, "/status/") && p.StatusLook != nil {
		f.OfStatus = true
		look := p.StatusLook(f.Lang)
		f.Name, f.Style, f.Icon = look.Name, cmp.Or(look.Style, f.Style), cmp.Or(look.Icon, f.Icon)
	}
	return f
}

// show renders a page for one request. Nobody keeps it.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	if err := p.tryShow(w, r, status, name, data); err != nil {
		p.unrendered(w, r, name, err)
	}
}

// tryShow is show for what has another answer when the page can't be rendered.
func (p *Pages) tryShow(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	tag := language.From(r.Context())
	d, err := p.render(tag, name, data)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", d.contentType)
	tag.Mark(header)
	w.WriteHeader(status)
	_, _ = w.Write(d.body) // the client is gone if this fails
	return nil
}

// checkSite returns [httpapi.ErrCrossSite] for a form that a page of another site sends.
func checkSite(r *http.Request) error {
	if http.NewCrossOriginProtection().Check(r) != nil {
		return httpapi.ErrCrossSite
	}
	return nil
}

// unrendered tells of a page that could not be rendered, which is a mistake in the program.
func (p *Pages) unrendered(w http.ResponseWriter, r *http.Request, name string, err error) {
	p.Log.ErrorContext(r.Context(), "a page could not be rendered", "page", name, "error", err)
	httpapi.WriteError(w, r, nil, err)
}

// What browsers may do with documents: ask each time whether there is a newer one, do so
// once a day, or keep what never changes.
const (
	daily       = "public, max-age=86400"
	revalidated = "no-cache"
	immutable   = "public, max-age=31536000, immutable"
)

// homePolicy is what the homepage may do. It has no script that would connect to anything; who looks
// at it by a browser's tools, as search engines do, asks for robots.txt from within it.
const homePolicy = "default-src 'none'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Routes adds the pages to the site's root.
func (p *Pages) Routes(api *httpapi.API) {
	page := func(pattern, caching string, handler http.Handler) {
		api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: pattern, Caching: caching}, handler)
	}
	api.Handle(httpapi.Route{
		Access: httpapi.Public, Pattern: "GET /{$}", Caching: revalidated,
		Headers: map[string]string{"Content-Security-Policy": homePolicy},
	}, localized(p.home))
	p.docsRoutes(api)
	p.problemRoutes(api)
	page("GET /assets/{name}", immutable, http.HandlerFunc(p.sendAsset))
	p.fileRoutes(api)
	p.accountRoutes(api)
	p.alertRoutes(api)
	p.subscribeRoutes(api)
	if p.Mails != nil {
		p.mailRoutes(api)
	}
	if p.Components {
		api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "GET /dev/components"}, http.HandlerFunc(p.componentsPage))
	}
}

// robots are what search engines may look at.
//
//go:embed pages/robots.txt
var robots []byte

// fileRoutes adds what browsers and search engines ask every site for by its name.
func (p *Pages) fileRoutes(api *httpapi.API) {
	file := func(pattern string, send http.HandlerFunc) {
		api.Handle(httpapi.Route{
			Access: httpapi.Public, Pattern: pattern, Caching: daily,
			Limits: []ratelimit.Rule{ratelimit.NewRule("600/minute", ratelimit.ByAddress)},
		}, send)
	}
	file("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) { p.favicon.ServeHTTP(w, r) })
	file("GET /robots.txt", newDocument("text/plain; charset=utf-8", robots).ServeHTTP)
}

func (p *Pages) sendAsset(w http.ResponseWriter, r *http.Request) {
	asset, ok := p.assets[r.URL.Path]
	if !ok {
		httpapi.WriteError(w, r, nil, httpapi.ErrNotFound)
		return
	}
	asset.ServeHTTP(w, r)
}

// localized serves a page in the language that ?lang= names, or else the one
// that the browser prefers.
func localized(pages map[language.Tag]document) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tag := language.From(r.Context())
		tag.Mark(w.Header())
		pages[tag].ServeHTTP(w, r)
	}
}
