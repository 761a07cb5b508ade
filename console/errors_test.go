package console

import (
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"manus/language"
)

const asBrowser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// TestAPersonIsToldWhatHasHappenedAndWhatToDo, in both languages and with a way on, and nothing
// of what the program alone is to know.
func TestAPersonIsToldWhatHasHappenedAndWhatToDo(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	for _, c := range []struct {
		method, path string
		status       int
		again, id    bool
		en, ar       string
	}{
		{"GET", "/nowhere", 404, false, false, "There is no such page", "لا توجد صفحة كهذه"},
		{"GET", "/problems/nothing", 404, false, false, "There is no such page", "لا توجد صفحة كهذه"},
		{"DELETE", "/docs", 405, false, false, "not for what was sent to it", "لا يقبل ما أُرسل إليه"},
		{"GET", "/failing/broken", 500, true, true, "Something broke on our side", "حدث خلل لدينا"},
		{"POST", "/failing/broken", 500, false, true, "It isn&#39;t your fault", "ليس الخطأ منك"},
		{"GET", "/failing/unavailable", 503, true, true, "can&#39;t reach its storage", "الوصول إلى مخزنها"},
		{"GET", "/failing/damaged", 503, false, true, "Trying again doesn&#39;t help", "لن تفيد إعادة المحاولة"},
		{"GET", "/failing/limited", 429, true, false, "Too many requests", "طلبات أكثر من اللازم"},
		{"GET", "/failing/foreign", 403, false, false, "A page of another site", "صفحةٌ من موقع آخر"},
	} {
		for tag, says := range map[language.Tag]string{language.English: c.en, language.Arabic: c.ar} {
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path+"?x=%22%3E%3Cscript%3E", nil)
			r.Header.Set("Accept", asBrowser)
			r.Header.Set("Accept-Language", tag.String())
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			body, header := w.Body.String(), w.Header()
			if w.Code != c.status || header.Get("Content-Type") != "text/html; charset=utf-8" || header.Get("Cache-Control") != "no-store" || header.Get("Content-Language") != tag.String() ||
				!slices.Contains(header["Vary"], "Accept") || !slices.Contains(header["Vary"], "Accept-Language") {
				t.Errorf("%s %s: %d %v", c.method, c.path, w.Code, header)
			}
			if policy := header["Content-Security-Policy"]; len(policy) != 1 || strings.Contains(policy[0], "unsafe") || !strings.Contains(policy[0], "default-src 'none'") || strings.Contains(policy[0], "script") {
				t.Errorf("%s %s may do %q", c.method, c.path, policy)
			}
			for _, want := range []string{`<html lang="` + tag.String() + `" dir="` + tag.Direction() + `">`, says, `href="/?lang=` + tag.String() + `"`, "noindex"} {
				if !strings.Contains(body, want) {
					t.Errorf("%s %s doesn't say %q: %s", c.method, c.path, want, body)
				}
			}
			if strings.Contains(body, "<script") || strings.Contains(body, "secret cause") || strings.Contains(body, `href=""`) != c.again || strings.Contains(body, header.Get("X-Request-Id")) != c.id {
				t.Errorf("%s %s: %s", c.method, c.path, body)
			}
		}
	}
	w := get(t, handler, "/failing/unavailable", "Accept", "application/json")
	var problem struct{ Status int }
	if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || problem.Status != 503 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("a program gets %v %s", w.Header(), w.Body)
	}
}

// TestPeopleSeeHowTheServiceStands, and no more than programs are told.
func TestPeopleSeeHowTheServiceStands(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	for name, c := range map[string]struct {
		status int
		says   []string
	}{
		"running":  {200, []string{"The program runs", `href="/ready?lang=en"`}},
		"ready":    {200, []string{"It is ready", "Database", "Works", "0.4 ms", "Redis", "Not set up"}},
		"degraded": {200, []string{"but something fails", "Shared counts of limits", "Fails", "2,000 ms", "&lt;new&gt;", "proxy-not-trusted", "data-folder-shared"}},
		"gone":     {503, []string{"It isn&#39;t ready", "MongoDB", "Fails"}},
	} {
		w := get(t, handler, "/stands/"+name)
		for _, want := range c.says {
			if w.Code != c.status || !strings.Contains(w.Body.String(), want) || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s doesn't say %q: %d %s", name, want, w.Code, w.Body)
			}
		}
		if arabic := get(t, handler, "/stands/"+name+"?lang=ar"); arabic.Code != c.status || !strings.Contains(arabic.Body.String(), `dir="rtl"`) {
			t.Errorf("%s in Arabic: %d %s", name, arabic.Code, arabic.Body)
		}
	}
}

// Whoever is refused whatever they ask for has a page that asks for nothing.
func TestAPageThatIsAllThatIsAnsweredNeedsNoOther(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	body := get(t, handler, "/failing/limited", "Accept", asBrowser).Body.String()
	if found := regexp.MustCompile(`src=|<link|/assets/`).FindString(body); found != "" || !strings.Contains(body, "--page:") {
		t.Errorf("it asks for %s: %.300s", found, body)
	}
	for host, want := range map[string]string{
		"rebound.example:8080": "http://localhost:8080/", "rebound.example": "http://localhost/", `x:80"><script>`: "http://localhost/", "x:99999": "http://localhost/", "x:-1": "http://localhost/", "[::1]:7": "http://localhost:7/", "": "http://localhost/",
	} {
		if got := localAddress(host); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
}

func TestWhatIsSaidOfProblemsIsOfThoseThereAre(t *testing.T) {
	t.Parallel()
	api, _ := setup(t)
	for name := range sayings {
		if _, known := api.Problem(name); !known && name != "503" {
			t.Errorf("nothing is answered with %s", name)
		}
	}
}
