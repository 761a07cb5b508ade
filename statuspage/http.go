package statuspage

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"manus/httpapi"
	"manus/language"
	"manus/ratelimit"
)

// What is said of how long answers may be kept: for the time in which nobody would see a difference,
// and, where nothing else can be had, for a day.
const (
	caching   = "public, max-age=30, stale-while-revalidate=60, stale-if-error=86400"
	immutable = "public, max-age=31536000, immutable"
)

// limit is so much that a crowd behind one address is let in.
var limit = ratelimit.NewRule("600/minute", ratelimit.ByAddress)

// policy is what a page may do: its own script reads the page again.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Kinds maps the room's errors to what a client is answered.
var Kinds = httpapi.Kinds{
	{Err: ErrNothingRead, Status: http.StatusServiceUnavailable, Name: "unavailable", Detail: language.Text{En: "Nothing is known yet. Try again shortly.", Ar: "لا شيء معروف بعد. حاول مرّة أخرى بعد قليل."}, RetryAfter: 2 * time.Second},
}

// Routes registers the page's addresses.
func (s *Service) Routes(api *httpapi.API) {
	for _, pattern := range []string{"GET /status", "GET /status/{path...}", "GET /api/v2/{path...}"} {
		api.Handle(httpapi.Route{
			Access: httpapi.Public, Pattern: pattern, Limits: []ratelimit.Rule{limit}, Caching: caching,
			Headers: map[string]string{"Content-Security-Policy": policy},
		}, s)
	}
}

// ServeHTTP answers from memory.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := s.site.Load()
	if now == nil {
		httpapi.WriteError(w, r, Kinds, ErrNothingRead)
		return
	}
	path := strings.Trim(r.URL.Path, "/")
	if strings.HasSuffix(r.URL.Path, "/") { // from where relative links lead elsewhere
		to := url.URL{Path: "/" + path, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusPermanentRedirect)
		return
	}
	tag := language.From(r.Context())
	if page, in, is := pageOfFile(path); is {
		path, tag = page, in
	}
	found := now.files[path].in(tag)
	if found == nil && strings.HasPrefix(path, "api/") {
		httpapi.WriteError(w, r, nil, httpapi.ErrNotFound)
		return
	}
	if found == nil {
		found = s.other(now, r, path, tag)
	}
	now.send(w, r, found, tag)
}

// other is what isn't kept: an older incident, or nothing. What pages of another
// version refer to is there as it is now: copies aren't replaced all at once.
func (s *Service) other(now *site, r *http.Request, path string, tag language.Tag) *file {
	if strings.HasPrefix(path, assets) {
		if current := now.asset(filepath.Ext(path)); current != "" {
			f := *now.files[current][""]
			f.access = shared
			return &f
		}
	}
	id, isIncident := strings.CutPrefix(path, "status/incidents/")
	if isIncident && s.c.Incident != nil && !strings.Contains(id, "/") && len(id) <= maxIncidentID {
		i, there := now.incidentOf(id)
		if !there {
			var err error
			if i, there, err = s.c.Incident(r.Context(), id); err != nil {
				return now.gone(tag)
			}
		}
		if there {
			p := now.newPage(path, tag)
			return newFile(htmlType, pages, func() []byte { return now.render("incident.html", p.incident(i), tag) })
		}
	}
	return now.nothing(tag)
}

// asset is the file of which others have had other versions, by how their names end; empty where there is none.
func (s *site) asset(end string) string {
	switch end {
	case ".css":
		return s.style
	case ".js":
		return s.script
	case ".svg", ".png", ".webp", ".jpg":
		return s.logo
	}
	return ""
}

const maxIncidentID = 300

// send sends a file as the client can take it, unless it has it.
func (s *site) send(w http.ResponseWriter, r *http.Request, f *file, tag language.Tag) {
	header := w.Header()
	v := f.accepted(r)
	header["Content-Type"], header["Etag"] = []string{f.kind}, []string{v.etag}
	header["Vary"] = []string{"Accept-Encoding"}
	if v.encoding != "" {
		header["Content-Encoding"] = []string{v.encoding}
	}
	switch f.access {
	case pages:
		tag.Mark(header)
	case frozen:
		header["Cache-Control"] = []string{immutable}
		fallthrough
	case shared:
		if s.files[strings.Trim(r.URL.Path, "/")][tag] != nil {
			tag.Mark(header)
		}
		header["Access-Control-Allow-Origin"] = []string{"*"}
		header["Cross-Origin-Resource-Policy"] = []string{"cross-origin"}
		header["Content-Security-Policy"] = []string{"default-src 'none'; frame-ancestors 'none'"}
	}
	if f.status != 0 {
		header.Set("Cache-Control", "no-store")
		header.Del("Etag")
	} else if has(r.Header["If-None-Match"], v.etag) {
		header.Del("Content-Type")
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header["Content-Length"] = []string{strconv.Itoa(len(v.body))}
	w.WriteHeader(max(http.StatusOK, f.status))
	if r.Method != http.MethodHead {
		_, _ = w.Write(v.body) // the client is gone if this fails
	}
}

// accepted is the file in the best encoding that a client names.
func (f *file) accepted(r *http.Request) variant {
	switch br, gz := httpapi.Encodings(r); {
	case br:
		return f.brotli()
	case gz:
		return f.gzip()
	}
	return f.plain()
}

// has tells whether an If-None-Match names an entity tag.
func has(lines []string, etag string) bool {
	for _, line := range lines {
		for entry := range strings.SplitSeq(line, ",") {
			entry = strings.TrimSpace(entry)
			if entry == "*" || strings.TrimPrefix(entry, "W/") == etag {
				return true
			}
		}
	}
	return false
}
