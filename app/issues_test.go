package app

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/internal/waittest"
)

// bug has an SDK send an event of a bug, n of those that the bug has had.
func (s *sdk) bug(t *testing.T, bug string, n int) string {
	t.Helper()
	body := fmt.Sprintf(`{"timestamp":%d,"platform":"go","release":"1.%d","environment":"staging","level":"error","user":{"id":"u%d","email":"amal@example.com"},
		"tags":{"bug":%q},"sdk":{"name":"sentry.go","version":"0.50.0"},"transaction":"GET /cart","contexts":{"trace":{"trace_id":"%032x","span_id":"0123456789abcdef"}},
		"request":{"method":"GET","url":"https://shop.example.com/cart"},"breadcrumbs":[{"message":"clicked"}],
		"exception":{"values":[{"type":"Error","value":%q,"stacktrace":{"frames":[{"module":"main","function":%q,"filename":"main.go","lineno":7,"colno":2,"in_app":true,
		"pre_context":["a"],"context_line":"b","post_context":["c"],"vars":{"x":"1"}}]}}]}}`, time.Now().Unix(), n, n, bug, n+1, bug, "fail"+bug)
	got := s.send(t, s.path("/store/"), strings.NewReader(body), s.auth()...)
	if got.status != 200 {
		t.Fatal(got.status, got.text)
	}
	return got.id()
}

// issues waits until an SDK's issues have so many events in all.
func (a *inbox) issues(t *testing.T, query string, events float64) (items []map[string]any) {
	t.Helper()
	waittest.Poll(t, func() bool {
		items = nil
		sum := 0.0
		for _, i := range a.ops(t, "GET", "/issues?limit=100&"+query, "", 200)["items"].([]any) {
			items = append(items, i.(map[string]any))
			sum += items[len(items)-1]["count"].(float64)
		}
		return sum == events
	})
	return items
}

// keysOf are the names of an object's members.
func keysOf(object any) string {
	var names []string
	for name := range object.(map[string]any) {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

var utc = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)

// TestOperatorsSeeAndDecide goes through the calls for projects, issues and events.
func TestOperatorsSeeAndDecide(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	made := a.ops(t, "POST", "/projects", `{"name":"Shop","platform":"go"}`, 201)
	for _, name := range []string{"id", "name", "platform", "dsn", "created_at"} {
		if _, ok := made[name]; !ok {
			t.Errorf("a project has no %s: %v", name, made)
		}
	}
	a.ops(t, "POST", "/projects", `{"name":"shop"}`, 409)
	for _, body := range []string{`{"name":""}`, `{"name":"  "}`, `{"name":"a\u001b[2Jb"}`, `{"name":"` + strings.Repeat("x", 65) + `"}`, `{"name":"x","platform":"a\nb"}`, `{}`, `{"name":"x","id":"7"}`} {
		a.ops(t, "POST", "/projects", body, 422)
	}
	s := newSDK(t, a, "Web", 1)
	for _, body := range []string{`{"name":" SHOP "}`} {
		a.ops(t, "PATCH", "/projects/"+s.project.ID, body, 409)
	}
	for _, body := range []string{`{"per_minute":-1}`, `{"disable":["nothing"]}`, `{"name":""}`, `{"per_minute":"x"}`} {
		a.ops(t, "PATCH", "/projects/"+s.project.ID, body, 422)
	}
	for range 15 { // rotated, and never as many as there may be
		p := a.ops(t, "PATCH", "/projects/"+s.project.ID, `{"new_key":true}`, 200)
		keys := p["keys"].([]any)
		old := keys[len(keys)-2].(map[string]any)["public"].(string)
		p = a.ops(t, "PATCH", "/projects/"+s.project.ID, `{"disable":["`+old+`"]}`, 200)
		if dsn := p["dsn"].(string); strings.Contains(dsn, old) {
			t.Errorf("the dsn has a disabled key: %s", dsn)
		}
	}
	a.ops(t, "PATCH", "/projects/99", `{"per_minute":1}`, 404)
	a.ops(t, "GET", "/projects/99", "", 404)
	a.ops(t, "DELETE", "/projects/99", "", 404)
	if got := len(a.ops(t, "GET", "/projects", "", 200)["items"].([]any)); got != 2 {
		t.Errorf("%d projects", got)
	}
	key := a.ops(t, "GET", "/projects/"+s.project.ID, "", 200)["keys"].([]any)
	s.project.Keys[0].Public = key[len(key)-1].(map[string]any)["public"].(string)

	var last string
	for n := range 3 {
		last = s.bug(t, "A", n)
	}
	s.bug(t, "B", 0)
	issues := a.issues(t, "project=Web", 4)
	if len(issues) != 2 {
		t.Fatalf("%v", issues)
	}
	if got := keysOf(issues[0]); got != "assignee count culprit first_release first_seen id last_release last_seen level note project_id short_id status title type users value" {
		t.Errorf("an issue in a list has %s", got)
	}
	one, two := a.issues(t, "query=bug:A", 3)[0], a.issues(t, "query=bug:B", 1)[0]
	if one["users"] != 3.0 || one["first_release"] != "1.0" || one["last_release"] != "1.2" || one["type"] != "Error" || one["value"] != "A" || one["level"] != "error" || one["status"] != "unresolved" ||
		!utc.MatchString(one["first_seen"].(string)) || !utc.MatchString(one["last_seen"].(string)) || one["project_id"] != s.project.ID {
		t.Errorf("%v", one)
	}
	id, other := one["id"].(string), two["id"].(string)
	whole := a.ops(t, "GET", "/issues/"+one["short_id"].(string), "", 200)
	stats := whole["stats"].(map[string]any)
	if whole["id"] != id || len(stats["hours"].([]any)) != 24 || len(stats["days"].([]any)) != 90 || whole["why"] == "" || !strings.Contains(fmt.Sprint(whole["tags"]), "bug:[map[count:3 value:A]]") {
		t.Errorf("%v", whole)
	}

	e := a.ops(t, "GET", "/events/"+last, "", 200)
	for _, name := range strings.Fields("event_id issue_id project_id timestamp received_at level platform exceptions breadcrumbs tags user request contexts release environment sdk trace_id") {
		if _, ok := e[name]; !ok {
			t.Errorf("an event has no %s: %v", name, keysOf(e))
		}
	}
	frame := e["exceptions"].([]any)[0].(map[string]any)["frames"].([]any)[0].(map[string]any)
	if e["issue_id"] != id || !utc.MatchString(e["timestamp"].(string)) || !utc.MatchString(e["received_at"].(string)) || fmt.Sprint(frame["context"]) != "[a b c]" ||
		frame["line"] != 7.0 || frame["column"] != 2.0 || frame["in_app"] != true || frame["function"] != "failA" || frame["module"] != "main" || frame["filename"] != "main.go" || frame["vars"] == nil {
		t.Errorf("%v", e)
	}
	for _, c := range []struct {
		at   string
		want int
	}{{"?at=first", 1}, {"?at=latest", 1}, {"", 3}, {"?limit=2", 2}} {
		list := a.ops(t, "GET", "/issues/"+id+"/events"+c.at, "", 200)
		if got := len(list["items"].([]any)); got != c.want {
			t.Errorf("events %s: %d", c.at, got)
		}
		if c.at == "?at=latest" && list["items"].([]any)[0].(map[string]any)["release"] != "1.2" {
			t.Errorf("the latest is %v", list)
		}
	}
	a.ops(t, "GET", "/issues/"+id+"/events?at=middle", "", 422)
	a.ops(t, "GET", "/issues/"+id+"/events?cursor=nonsense", "", 400)
	for _, path := range []string{"/issues/nothing", "/issues/nothing/events", "/issues/nothing/events?at=first", "/events/nothing", "/events/" + strings.Repeat("0", 32), "/issues?project=nothing"} {
		a.ops(t, "GET", path, "", 404)
	}

	decide := "/issues/" + id
	for _, body := range []string{`{"status":"gone"}`, `{"status":"merged"}`, `{"status":1}`, `{"in":"next"}`, `{"status":"resolved","in":"never"}`, `{"status":"resolved","ignore":{"count":1}}`, `{"ignore":{"count":-1}}`, `{"ignore":{"until":"tomorrow"}}`, `{"ignore":{"until":"2020-01-02T03:04:05Z"}}`, `{"ignore":{"until":"-2h"}}`, `{"note":"` + strings.Repeat("x", 2001) + `"}`, `{"nonsense":1}`, `[]`} {
		a.ops(t, "PATCH", decide, body, 422)
	}
	got := a.ops(t, "PATCH", decide, `{"status":"ignored","ignore":{"until":"2030-01-02T03:04:05+03:00","count":5},"assignee":"amal@example.com","note":"known"}`, 200)
	if got["status"] != "ignored" || got["assignee"] != "amal@example.com" || got["note"] != "known" || !strings.HasPrefix(got["ignore"].(map[string]any)["until"].(string), "2030-01-02T00:04:05") || fmt.Sprint(keysOf(got["ignore"]), got["ignore"].(map[string]any)["count"], got["ignore"].(map[string]any)["at_count"]) != "at_count count left until5 8" {
		t.Errorf("%v", got)
	}
	if got := a.ops(t, "PATCH", decide, `{"status":"resolved","in":"next"}`, 200); got["status"] != "resolved" || got["ignore"] != nil || got["note"] != "known" {
		t.Errorf("%v", got)
	}
	a.ops(t, "PATCH", "/issues/nothing", `{"status":"resolved"}`, 404)

	a.ops(t, "POST", decide+"/merge", `{"into":"`+id+`"}`, 422)
	a.ops(t, "POST", decide+"/merge", `{"into":"nothing"}`, 404)
	a.ops(t, "POST", "/issues/nothing/merge", `{"into":"`+id+`"}`, 404)
	far := newSDK(t, a, "Far", 1)
	far.bug(t, "A", 0)
	elsewhere := a.issues(t, "project=Far", 1)[0]["id"].(string)
	a.ops(t, "POST", decide+"/merge", `{"into":"`+elsewhere+`"}`, 422)
	merged := a.ops(t, "POST", "/issues/"+other+"/merge", `{"into":"`+id+`"}`, 200)
	if merged["id"] != id || merged["count"] != 4.0 || len(merged["fingerprints"].([]any)) < 2 {
		t.Errorf("%v", merged)
	}
	if got := a.ops(t, "GET", "/issues/"+other, "", 200); got["id"] != id {
		t.Errorf("what was merged is shown as %v", got)
	}
	a.ops(t, "POST", "/issues/"+other+"/merge", `{"into":"`+id+`"}`, 422)
	all := merged["fingerprints"].([]any)
	quoted := make([]string, len(all))
	for i, f := range all {
		quoted[i] = fmt.Sprintf("%q", f)
	}
	a.ops(t, "POST", decide+"/split", `{"fingerprints":[`+strings.Join(quoted, ",")+`]}`, 422)
	a.ops(t, "POST", decide+"/split", `{"fingerprints":["nothing"]}`, 422)
	a.ops(t, "POST", decide+"/split", `{"fingerprints":[]}`, 422)
	fingerprints := a.ops(t, "GET", "/issues/"+elsewhere, "", 200)["fingerprints"].([]any) // those of A
	split := a.ops(t, "POST", decide+"/split", fmt.Sprintf(`{"fingerprints":[%q]}`, fingerprints[0]), 200)
	if split["id"] == id || split["count"] != 3.0 {
		t.Errorf("%v", split)
	}

	a.ops(t, "DELETE", "/projects/"+far.project.ID, "", 204)
	a.ops(t, "DELETE", "/projects/"+far.project.ID, "", 404)
	for path, want := range map[string]int{"/issues?project=Far": 404, "/projects/" + far.project.ID: 404, "/issues/" + elsewhere: 404} {
		a.ops(t, "GET", path, "", want)
	}
	a.issues(t, "", 4)

	_, events := call(t, a.App, "GET", "/api/v1/ops/audit?limit=100", a.token, "")
	for kind, n := range map[string]int{"error-project-created": 3, "error-project-changed": 30, "error-project-deleted": 1, "issue-changed": 2, "issue-merged": 1, "issue-split": 1} {
		if got := strings.Count(events, `"kind":"`+kind+`"`); got != n {
			t.Errorf("%s is noted %d times, not %d", kind, got, n)
		}
	}
}

// TestOnlyOperatorsSeeErrors: who isn't one, isn't signed in, or has a key for something else
// is refused everywhere; problems are in the reader's language.
func TestOnlyOperatorsSeeErrors(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	person := register(t, a.App).Access
	keyFor := func(scope string) string {
		status, text := call(t, a.App, "POST", "/api/v1/auth/api-keys", a.token, `{"name":"`+scope+`","scopes":["`+scope+`"]}`)
		if status != 201 {
			t.Fatal(status, text)
		}
		return regexp.MustCompile(`mk_[A-Za-z0-9_-]+`).FindString(text)
	}
	right, wrong := keyFor("operator"), keyFor("read")
	for _, c := range [][2]string{
		{"GET", "/projects"}, {"POST", "/projects"}, {"GET", "/projects/1"}, {"PATCH", "/projects/1"}, {"DELETE", "/projects/1"}, {"GET", "/issues"}, {"GET", "/issues/x"}, {"PATCH", "/issues/x"},
		{"POST", "/issues/x/merge"}, {"POST", "/issues/x/split"}, {"GET", "/issues/x/events"}, {"GET", "/events/x"},
	} {
		for token, want := range map[string]int{"": 401, "nonsense": 401, person: 403, wrong: 403} {
			if status, text := call(t, a.App, c[0], "/api/v1/ops"+c[1], token, "{}"); status != want {
				t.Errorf("%s: %d %s, want %d", c, status, text, want)
			}
		}
		if status, text := call(t, a.App, c[0], "/api/v1/ops"+c[1], right, "{}"); status == 401 || status == 403 {
			t.Errorf("%s with a key: %d %s", c, status, text)
		}
	}
	for path, words := range map[string]string{"/projects/9?lang=ar": "لا يوجد مشروع", "/issues/9?lang=ar": "لا توجد مشكلة", "/events/9?lang=ar": "لا يوجد حدث", "/issues/9?lang=en": "no such issue"} {
		if _, text := call(t, a.App, "GET", "/api/v1/ops"+path, a.token, ""); !strings.Contains(text, words) {
			t.Errorf("%s: %s", path, text)
		}
	}
}

// TestPagesOfIssuesHaveEachOnce: in each order and over several projects, also while events
// arrive: no issue is there twice, and none is missing that nothing has happened to.
func TestPagesOfIssuesHaveEachOnce(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	sdks := []*sdk{newSDK(t, a, "One", 1), newSDK(t, a, "Two", 1)}
	const bugs = 7
	sent := 0.0
	for n := range 3 {
		for k := range bugs {
			for _, s := range sdks {
				if n <= k%3 {
					s.bug(t, string(rune('A'+k)), n)
					sent++
				}
			}
		}
	}
	a.issues(t, "", sent)
	for _, sort := range []string{"last_seen", "first_seen", "count", "users"} {
		seen, cursor := map[string]int{}, ""
		for page := 0; ; page++ {
			got := a.ops(t, "GET", "/issues?limit=3&sort="+sort+"&cursor="+url.QueryEscape(cursor), "", 200)
			for _, i := range got["items"].([]any) {
				seen[i.(map[string]any)["id"].(string)]++
			}
			if page == 1 { // what was shown already happens again
				first := a.ops(t, "GET", "/issues?limit=1&sort="+sort, "", 200)["items"].([]any)[0].(map[string]any)
				value := first["value"].(string)
				for _, s := range sdks {
					if s.project.ID == first["project_id"] {
						s.bug(t, value, 9)
					}
				}
				sent++
				a.issues(t, "", sent)
			}
			if cursor = got["next_cursor"].(string); cursor == "" {
				break
			}
		}
		if len(seen) != 2*bugs {
			t.Errorf("by %s: %d issues", sort, len(seen))
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("by %s: %s is there %d times", sort, id, n)
			}
		}
	}
	for _, query := range []string{
		strings.Repeat("a ", 250), strings.Repeat(`"`, 500), "is:nonsense", strings.Repeat("*", 100), ":", "::", `tag:""`, "!", "!!a", "level:", `"`, "a:*", "\x00", "%", "' OR 1=1", strings.Repeat("é", 251), "tag:" + strings.Repeat("x", 490),
	} {
		status, text := call(t, a.App, "GET", "/api/v1/ops/issues?query="+url.QueryEscape(query), a.token, "")
		if status != 200 && status != 422 {
			t.Errorf("%q: %d %s", query, status, text)
		}
	}
	a.ops(t, "GET", "/issues?sort=nonsense", "", 422)
	a.ops(t, "GET", "/issues?status=merged", "", 422)
	a.ops(t, "GET", "/issues?limit=0", "", 422)
	a.ops(t, "GET", "/issues?cursor=nonsense", "", 400)
}
