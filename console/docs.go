package console

import (
	"cmp"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"manus/account"
	"manus/httpapi"
	"manus/idempotency"
	"manus/language"
	"manus/ratelimit"
)

// docsPath is where the reference is; each group of it is below, by its slug.
const docsPath = "/docs"

// reference is the API's, for programs and for people. To make a part of it takes as long as
// a good part of a start, so each is made when it is first asked for.
type reference struct {
	openapi func() (document, error)
	model   func() docsModel
	pages   map[docsPage]func() (document, error)
}

// docsPage names a page of the reference: of a group, by its slug, or the overview.
type docsPage struct {
	language language.Tag
	slug     string
}

// docsModel is what all pages of the reference are made of.
type docsModel struct {
	groups   []docsGroup
	problems httpapi.Kinds
	index    []docsEntry
}

// docsGroup is the operations of one tag.
type docsGroup struct {
	Name, About language.Text
	Slug        string
	Operations  []docsOperation
	Problems    httpapi.Kinds // that its operations' handlers answer with
}

// Path is where the group's page is.
func (g docsGroup) Path() string { return docsPath + "/" + g.Slug }

// docsOperation is an operation as a page shows it.
type docsOperation struct {
	httpapi.Operation
	Needs   language.Text
	Limits  []docsLimit
	Request string // for a shell
}

// docsLimit is a rule of limits.
type docsLimit struct {
	ratelimit.Rule
	By     []language.Text
	Shared bool // with all routes that have no rule of their own
}

// docs is what the pages of the reference have.
type docs struct {
	frame
	DocsStyle, Prefix, URL string
	Groups                 []docsGroup
	Group                  docsGroup // whose page it is; zero on others
	Query                  string
}

// docsOverview is the first page.
type docsOverview struct {
	docs
	Problems, Everywhere httpapi.Kinds
	Default              docsLimit
}

// AccessLifetime is how long an access token is valid.
func (d docsOverview) AccessLifetime() string { return d.Lang.Duration(account.AccessLifetime) }

// KeysKept is how long answers are remembered by their Idempotency-Key.
func (d docsOverview) KeysKept() string { return d.Lang.Duration(idempotency.Kept) }

// AllProblems are those that are answered before the handler is asked, and by it.
func (o docsOperation) AllProblems() httpapi.Kinds {
	all := slices.Concat(o.Problems, o.Theirs)
	slices.SortStableFunc(all, func(a, b httpapi.Kind) int { return cmp.Compare(a.Status, b.Status) })
	return all
}

// newReference is the reference of an API whose routes are all registered.
func (p *Pages) newReference(api *httpapi.API) *reference {
	made := &reference{pages: map[docsPage]func() (document, error){}}
	made.openapi = sync.OnceValues(func() (document, error) {
		spec, err := api.OpenAPI()
		return newDocument("application/json", spec), err
	})
	made.model = sync.OnceValue(func() docsModel { return p.newDocsModel(api) })
	for tag := range p.templates {
		made.pages[docsPage{tag, ""}] = sync.OnceValues(func() (document, error) {
			m := made.model()
			return p.render(tag, "docs.html", docsOverview{p.docsIn(p.frameIn(tag), m), m.problems, byName(httpapi.Everywhere()), p.defaultLimit()})
		})
		for i, group := range api.Groups() {
			made.pages[docsPage{tag, slugOf(group.Name)}] = sync.OnceValues(func() (document, error) {
				d := p.docsIn(p.frameIn(tag), made.model())
				d.Group = d.Groups[i]
				return p.render(tag, "docs-group.html", d)
			})
		}
	}
	return made
}

func (p *Pages) docsIn(f frame, m docsModel) docs {
	return docs{frame: f, DocsStyle: p.docsStyle, Prefix: httpapi.Prefix, URL: p.serverURL(), Groups: m.groups}
}

// serverURL is where the examples reach the server.
func (p *Pages) serverURL() string { return cmp.Or(p.URL, "http://127.0.0.1:8080") }

// slugOf names a group in addresses, in either language.
func slugOf(name language.Text) string {
	return strings.ReplaceAll(strings.ToLower(name.In(language.English)), " ", "-")
}

func (p *Pages) newDocsModel(api *httpapi.API) docsModel {
	m := docsModel{problems: byName(api.Problems())}
	for _, group := range api.Groups() {
		m.groups = append(m.groups, docsGroup{Name: group.Name, About: group.About, Slug: slugOf(group.Name)})
	}
	for _, operation := range api.Reference() {
		i := slices.IndexFunc(m.groups, func(g docsGroup) bool { return g.Name == operation.Group })
		m.groups[i].add(p.docsOperation(operation))
	}
	m.index = newDocsIndex(m)
	return m
}

func (g *docsGroup) add(o docsOperation) {
	g.Operations = append(g.Operations, o)
	for _, kind := range o.Theirs {
		if !slices.ContainsFunc(g.Problems, func(k httpapi.Kind) bool { return k.Name == kind.Name }) {
			g.Problems = append(g.Problems, kind)
		}
	}
	slices.SortStableFunc(g.Problems, func(a, b httpapi.Kind) int { return cmp.Compare(a.Status, b.Status) })
}

func (p *Pages) docsOperation(o httpapi.Operation) docsOperation {
	made := docsOperation{Operation: o, Needs: needsOf(o.Route), Request: requestFor(p.serverURL(), o)}
	for _, rule := range p.limitsOf(o.Route.Method(), httpapi.Prefix+o.Path(), o.Limits) {
		made.Limits = append(made.Limits, newDocsLimit(rule))
	}
	return made
}

// limitsOf are the rules in force of a request, or else those that its route has of its own.
func (p *Pages) limitsOf(method, path string, own []ratelimit.Rule) []ratelimit.Rule {
	if p.Limits == nil {
		return own
	}
	return p.Limits(method, path)
}

// defaultLimit is that of requests that no rule is for.
func (p *Pages) defaultLimit() (limit docsLimit) {
	for _, rule := range p.limitsOf(http.MethodGet, httpapi.Prefix, nil) {
		if rule.Route == "" {
			return newDocsLimit(rule)
		}
	}
	return limit
}

func newDocsLimit(rule ratelimit.Rule) docsLimit {
	limit := docsLimit{Rule: rule, Shared: rule.Route == ""}
	for _, by := range rule.By {
		limit.By = append(limit.By, subjectNames[by])
	}
	return limit
}

// perNames say what a number of requests is per, where that is one of these.
var perNames = map[time.Duration]language.Text{
	time.Second:    {En: "a second", Ar: "في الثانية"},
	time.Minute:    {En: "a minute", Ar: "في الدقيقة"},
	time.Hour:      {En: "an hour", Ar: "في الساعة"},
	24 * time.Hour: {En: "a day", Ar: "في اليوم"},
}

// saidLimit is a limit in words.
func saidLimit(tag language.Tag, limit ratelimit.Limit) string {
	windows := make([]string, len(limit))
	for i, w := range limit {
		per, named := perNames[w.Per]
		if !named {
			per = language.Text{En: "in " + language.English.Duration(w.Per), Ar: "في " + language.Arabic.Duration(w.Per)}
		}
		windows[i] = tag.Number(w.N) + " " + per.In(tag)
	}
	return strings.Join(windows, language.Text{En: ", ", Ar: "، "}.In(tag))
}

// prose is a text in which names, between backticks, are told apart from words: they keep their
// direction, and aren't broken where they have a hyphen.
func prose(text string) template.HTML {
	parts := strings.Split(text, "`")
	var out strings.Builder
	for i, part := range parts {
		part = template.HTMLEscapeString(part)
		if i%2 == 1 && i < len(parts)-1 {
			part = "<code><bdi>" + part + "</bdi></code>"
		}
		out.WriteString(part)
	}
	return template.HTML(out.String()) //nolint:gosec // every part has been escaped
}

// fieldDoc is what a field is for. In Arabic what stands between quotes is told apart: names and
// values keep their direction.
func fieldDoc(tag language.Tag, text string) template.HTML {
	if tag == language.Arabic {
		text = quotedNames.ReplaceAllString(text, "`$1`")
	}
	return prose(text)
}

var quotedNames = regexp.MustCompile(`'([^']+)'`)

// Enforced tells whether the rule refuses anything.
func (l docsLimit) Enforced() bool { return len(l.Limit) > 0 && l.Mode != ratelimit.Shadow }

// subjectNames say what requests are counted by.
var subjectNames = map[ratelimit.Subject]language.Text{
	ratelimit.ByAddress:       {En: "address", Ar: "عنوان"},
	ratelimit.ByUser:          {En: "user", Ar: "مستخدم"},
	ratelimit.ByAccount:       {En: "account that is tried", Ar: "حساب يُحاوَل دخوله"},
	ratelimit.ByLogin:         {En: "login", Ar: "عملية دخول"},
	ratelimit.ByAPIKey:        {En: "API key", Ar: "مفتاح برمجي"},
	ratelimit.ByUserOrAddress: {En: "user, or address of who hasn’t signed in", Ar: "مستخدم، أو عنوان لمن لم يسجّل الدخول"},
	ratelimit.ByProof:         {En: "key", Ar: "مفتاح"},
}

// accessNames say who may call a route; # is the scope that an API key needs.
var accessNames = map[httpapi.Access]language.Text{
	httpapi.Public:    {En: "Nothing: it is public", Ar: "لا شيء: هو عامّ"},
	httpapi.Known:     {En: "A sign-in, or an API key of scope #", Ar: "تسجيل دخول، أو مفتاح برمجي بصلاحية #"},
	httpapi.Persons:   {En: "A sign-in; API keys aren’t taken", Ar: "تسجيل دخول؛ ولا تُقبل المفاتيح البرمجية"},
	httpapi.Operators: {En: "An operator’s sign-in, or their API key of scope #", Ar: "تسجيل دخول مشغّل، أو مفتاحه البرمجي بصلاحية #"},
	httpapi.Workers:   {En: "An operator’s API key of scope worker", Ar: "مفتاح برمجي بصلاحية worker لمشغّل"},
}

// orWorkers is said where programs of the product are let in too.
var orWorkers = language.Text{En: "Workers are let in too, with an operator’s API key of scope worker.", Ar: "ويُقبل العاملون أيضًا بمفتاح برمجي بصلاحية worker لمشغّل."}

// needsOf says what a caller needs, in a sentence where there is more than one.
func needsOf(r httpapi.Route) language.Text {
	needs := accessNames[r.Access]
	if r.Access == httpapi.Known || r.Access == httpapi.Operators {
		needs = needs.Quoting(string(r.Scope))
	}
	if r.Workers {
		needs = language.Text{En: needs.En + ".", Ar: needs.Ar + "."}.Then(orWorkers)
	}
	return needs
}

// docsRoutes adds the reference to the site.
func (p *Pages) docsRoutes(api *httpapi.API) {
	page := func(pattern string, show http.HandlerFunc) {
		api.Handle(httpapi.Route{
			Access: httpapi.Public, Pattern: pattern, Caching: revalidated,
			Limits: []ratelimit.Rule{ratelimit.NewRule("600/minute", ratelimit.ByAddress)},
		}, show)
	}
	page("GET "+docsPath, func(w http.ResponseWriter, r *http.Request) {
		if query := queryOf(r); query != "" {
			p.searchDocs(w, r, query)
			return
		}
		p.sendDocs(w, r, "")
	})
	page("GET "+docsPath+"/{group}", func(w http.ResponseWriter, r *http.Request) { p.sendDocs(w, r, r.PathValue("group")) })
	api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: "GET /openapi.json", Caching: revalidated}, http.HandlerFunc(p.sendOpenAPI))
}

func (p *Pages) sendDocs(w http.ResponseWriter, r *http.Request, slug string) {
	tag := language.From(r.Context())
	page, there := p.reference.Load().pages[docsPage{tag, slug}]
	if !there {
		httpapi.WriteError(w, r, nil, httpapi.ErrNotFound)
		return
	}
	made, err := page()
	if err != nil {
		p.unrendered(w, r, "reference", err)
		return
	}
	tag.Mark(w.Header())
	made.ServeHTTP(w, r)
}

func (p *Pages) sendOpenAPI(w http.ResponseWriter, r *http.Request) {
	spec, err := p.reference.Load().openapi()
	if err != nil {
		p.unrendered(w, r, "openapi.json", err)
		return
	}
	spec.ServeHTTP(w, r)
}
