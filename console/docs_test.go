package console

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/httpapi"
	"manus/language"
	"manus/ratelimit"
)

// What a reader has kept a link to is there: of an operation on both pages, of a problem, of a
// group.
func TestTheReferenceHasEveryRouteAndProblem(t *testing.T) {
	t.Parallel()
	api, handler := setup(t)
	overview, group := get(t, handler, "/docs?lang=en").Body.String(), get(t, handler, "/docs/tea?lang=en").Body.String()
	for _, route := range api.Reference() {
		if !strings.Contains(overview, `<li id="`+route.ID+`"`) || !strings.Contains(overview, `href="/docs/tea?lang=en#`+route.ID+`"`) || !strings.Contains(group, `<article class="operation" id="`+route.ID+`"`) {
			t.Errorf("%s %s isn't there", route.Method(), route.Path())
		}
	}
	for _, problem := range api.Problems() {
		if strings.Count(overview, `id="`+problem.Name+`"`) != 1 {
			t.Errorf("the problem %s has no place of its own", problem.Name)
		}
	}
	for _, id := range []string{"group-tea", "problems", "basics"} {
		if !strings.Contains(overview, `id="`+id+`"`) {
			t.Errorf("#%s isn't there", id)
		}
	}
}

func TestAGroupTellsWhatItsRoutesTakeNeedAndAnswer(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	pages := map[string][]string{
		"en": {"How many.", "≥ 1", "green | black", "array of string", "string or null", "required", "A sign-in, or an API key of scope read", "Nothing: it is public", "&lt;script&gt;", "3 a minute for each address", "Ask for tea.", "Hot drinks."},
		"ar": {"اصنع شايًا", "مشروبات ساخنة.", "مفتاح برمجي بصلاحية \u2068read\u2069", "3 في الدقيقة لكلّ عنوان", "<dd>اطلب شايًا.</dd>", "كم كوبًا، من <code><bdi>1</bdi></code>.", "1 فأكثر", "قائمة من string", "string أو null", "مطلوب"},
	}
	for tag, wants := range pages {
		body := get(t, handler, "/docs/tea?lang="+tag).Body.String()
		for _, want := range append(wants, "/problems/rate-limited?lang="+tag, "/problems/unsupported-media-type?lang="+tag, "curl -X DELETE &#39;http://127.0.0.1:8080/api/v1/known/", "-d &#39;{") {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %q isn't there", tag, want)
			}
		}
	}
	if w := get(t, handler, "/docs/coffee"); w.Code != http.StatusNotFound {
		t.Errorf("no group: %d", w.Code)
	}
}

// A page is a page for everybody: nothing of who asked is in it, and it stays as it was until the
// limits in force are others.
func TestTheReferenceHasTheLimitsInForce(t *testing.T) {
	t.Parallel()
	limit := "7/minute, 9/15minutes"
	pages := New(Config{Limits: func(string, string) []ratelimit.Rule {
		return []ratelimit.Rule{ratelimit.NewRule(limit, ratelimit.ByAddress, ratelimit.ByUser)}
	}})
	api := httpapi.New(httpapi.Config{Log: slog.New(slog.DiscardHandler)})
	registerTea(api)
	pages.docsRoutes(api)
	if err := pages.Render(api); err != nil {
		t.Fatal(err)
	}
	says := func(want string) {
		t.Helper()
		if body := get(t, api, "/docs/tea?lang=en").Body.String(); !strings.Contains(body, want) {
			t.Errorf("%q isn't there", want)
		}
	}
	says("7 a minute, 9 in 15 minutes for each address, and each user")
	limit = "8/minute"
	says("7 a minute")
	pages.Refresh()
	says("8 a minute for each address")
}

func TestSearchFindsRoutesAndProblems(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	for query, wants := range map[string][]string{
		"make":                      {"/docs/tea?lang=en#postp", "Tea"},
		"  POST known ":             {"#postk"},
		"cup":                       {"#postp"}, // the beginning of a field's name
		"شاي":                       {"#postp"},
		"الشّاي":                    {"#postp"},
		"teapot":                    {"/problems/teapot?lang=en", "A problem"},
		"public coffee":             {"Nothing has all of these words."},
		`"><script>alert(1)`:        {"&lt;script&gt;alert(1)"},
		"\xff\xfe":                  {"How to call it"}, // of which nothing is left
		strings.Repeat("tea ", 100): {"#postp"},
	} {
		w := get(t, handler, "/docs?lang=en&q="+url.QueryEscape(query))
		for _, want := range wants {
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%.20q: %d without %q", query, w.Code, want)
			}
		}
		if w.Body.Len() > 40_000 || inline.MatchString(w.Body.String()) {
			t.Errorf("%.20q: %d bytes", query, w.Body.Len())
		}
	}
	w := get(t, handler, "/docs?lang=en&q=tea")
	if w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(w.Body.String(), `href="?lang=ar&amp;q=tea"`) {
		t.Errorf("what is looked for is kept by others, or lost with the language: %v", w.Header())
	}
}

// The best comes first: a name before a word of a description, a whole word before its beginning.
func TestSearchHasTheBestFirst(t *testing.T) {
	t.Parallel()
	entry := func(anchor string, weight int, text string) docsEntry {
		e := docsEntry{Anchor: anchor, weights: map[string]int{}}
		e.learn(weight, text)
		return e
	}
	m := docsModel{index: []docsEntry{entry("told", 1, "opens a session"), entry("begins", 8, "/sessions"), entry("named", 8, "session"), entry("other", 8, "plans")}}
	var order []string
	for _, e := range m.find("session") {
		order = append(order, e.Anchor)
	}
	if !slices.Equal(order, []string{"named", "begins", "told"}) {
		t.Error(order)
	}
}

func TestAnExampleIsWhatAShellTakes(t *testing.T) {
	t.Parallel()
	o := httpapi.Operation{
		Route:      httpapi.Route{Pattern: "POST /pots/{id}", Access: httpapi.Known},
		Parameters: []httpapi.Field{{Name: "id", Where: "path", Example: "a/b"}, {Name: "hot", Where: "query", Required: true, Example: "a&b"}, {Name: "cold", Where: "query", Example: "no"}, {Name: "Idempotency-Key", Where: "header", Example: "k"}},
		Example:    `{"name":"Amal's"}`,
	}
	want := `curl 'https://a.example/api/v1/pots/a%2Fb?hot=a%26b' \
  -H "Authorization: Bearer $TOKEN" \
  -H 'Idempotency-Key: k' \
  -H 'Content-Type: application/json' \
  -d '{"name":"Amal'\''s"}'`
	if got := requestFor("https://a.example", o); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestALimitIsSaidInWords(t *testing.T) {
	t.Parallel()
	limit := ratelimit.Limit{{N: 1000, Per: time.Second}, {N: 2, Per: 24 * time.Hour}}
	if en, ar := saidLimit(language.English, limit), saidLimit(language.Arabic, limit); en != "1,000 a second, 2 a day" || !strings.Contains(ar, "في الثانية، 2 في اليوم") {
		t.Errorf("%s; %s", en, ar)
	}
}
