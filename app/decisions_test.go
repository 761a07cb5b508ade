package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"manus/docstore"
	"manus/errtrack"
	"manus/internal/waittest"
	"manus/readiness"
)

// TestARefusalSaysWhichPartIsWrong, in both languages, and what may be given.
func TestARefusalSaysWhichPartIsWrong(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	s := newSDK(t, a, "Shop", 1)
	s.bug(t, "A", 0)
	issue := "/issues/" + a.issues(t, "", 1)[0]["id"].(string)
	project := "/projects/" + s.project.ID
	for _, c := range []struct{ method, path, body, location, says string }{
		{"POST", "/projects", `{"name":" "}`, "body.name", "which isn't empty"},
		{"POST", "/projects", `{"name":"x","platform":"a\nb"}`, "body.platform", "can be printed"},
		{"PATCH", project, `{"origins":["shop.example.com"]}`, "body.origins", "https://shop.example.com"},
		{"PATCH", project, `{"disable":["nothing"]}`, "body.disable", "its own are"},
		{"PATCH", project, `{"enable":["nothing"]}`, "body.enable", "its own are"},
		{"PATCH", issue, `{"status":"resolved","ignore":{"count":1}}`, "body.ignore", "ignored"},
		{"PATCH", issue, `{"in":"next"}`, "body.in", "resolved"},
		{"PATCH", issue, `{"ignore":{"until":"2020-01-02T03:04:05Z"}}`, "body.ignore.until", "in the past"},
		{"PATCH", issue, `{"ignore":{"until":"soon"}}`, "body.ignore.until", "24h or 7d"},
		{"POST", issue + "/split", `{"fingerprints":["nothing"]}`, "body.fingerprints", "shown with"},
		{"GET", "/issues?query=level:nonsense", "", "query.query", "level: takes debug"},
		{"GET", "/issues?query=user.email:amal@example.com", "", "query.query", "People can't be searched"},
		{"GET", "/traces/routes?since=soon", "", "query.since", "30m, 24h, 7d"},
	} {
		for _, tag := range []string{"en", "ar"} {
			r, _ := http.NewRequestWithContext(t.Context(), c.method, "http://"+a.Addr()+"/api/v1/ops"+c.path, strings.NewReader(c.body))
			r.Header.Set("Authorization", "Bearer "+a.token)
			r.Header.Set("Accept-Language", tag)
			if c.body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			var problem struct {
				Status int
				Errors []struct{ Location, Message string }
			}
			err = json.NewDecoder(resp.Body).Decode(&problem)
			resp.Body.Close()
			if err != nil || problem.Status != 422 || len(problem.Errors) != 1 || problem.Errors[0].Location != c.location || tag == "en" && !strings.Contains(problem.Errors[0].Message, c.says) || tag == "ar" && !strings.ContainsFunc(problem.Errors[0].Message, func(r rune) bool { return unicode.Is(unicode.Arabic, r) }) {
				t.Errorf("%s %s %s in %s: %+v %v", c.method, c.path, c.body, tag, problem, err)
			}
		}
	}
}

// TestAnEventsIDIsItsProjects: of two projects that have one, it is said which.
func TestAnEventsIDIsItsProjects(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	shop, web := newSDK(t, a, "Shop", 1), newSDK(t, a, "Web", 1)
	for _, s := range []*sdk{shop, web} {
		if got := s.send(t, s.path("/store/"), strings.NewReader(eventOf(1)), s.auth()...); got.status != 200 {
			t.Fatal(got.status, got.text)
		}
	}
	a.issues(t, "", 2)
	path := fmt.Sprintf("/events/%032x", 1)
	if got := a.ops(t, "GET", path, "", 409); !strings.Contains(got["detail"].(string), "?project=") {
		t.Errorf("it isn't said what to do: %v", got)
	}
	for _, c := range []struct {
		query string
		s     *sdk
	}{{"?project=Shop", shop}, {"?project=" + web.project.ID, web}} {
		if got := a.ops(t, "GET", path+c.query, "", 200); got["project_id"] != c.s.project.ID {
			t.Errorf("%s: of the project %v", c.query, got["project_id"])
		}
	}
	a.ops(t, "GET", path+"?project=nothing", "", 404)
	a.ops(t, "DELETE", "/projects/"+web.project.ID, "", 204)
	if got := a.ops(t, "GET", path, "", 200); got["project_id"] != shop.project.ID {
		t.Errorf("of the project %v", got["project_id"])
	}
}

// TestASecondEventOfAnEnvelopeIsRefused, as a mistake of form; the first is taken, and
// nothing is lost in silence.
func TestASecondEventOfAnEnvelopeIsRefused(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	s := newSDK(t, a, "Shop", 1)
	body := envelopeOf("{}", eventOf(1), eventOf(2))
	for range 101 {
		body += `{"type":"user_report"}` + "\n" + fmt.Sprintf(`{"event_id":"%032x","comments":"it broke"}`, 1) + "\n"
	}
	got := s.send(t, s.path("/envelope/"), strings.NewReader(body), s.auth()...)
	if got.status != 400 || !strings.Contains(got.text, "an envelope has one event") {
		t.Errorf("%d %s", got.status, got.text)
	}
	a.ops(t, "GET", fmt.Sprintf("/events/%032x", 1), "", 200)
	a.ops(t, "GET", fmt.Sprintf("/events/%032x", 2), "", 404)
	if got := fmt.Sprint(a.ops(t, "GET", "/projects/"+s.project.ID, "", 200)["losses"]); got != "[map[count:2 reason:malformed]]" {
		t.Errorf("lost: %s", got)
	}
	if got := len(a.ops(t, "GET", "/feedback", "", 200)["items"].([]any)); got != 1 {
		t.Errorf("%d of the reports are there", got)
	}
}

// TestANewKeyIsShownAndTheOldOneWorks until it is disabled.
func TestANewKeyIsShownAndTheOldOneWorks(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	s := newSDK(t, a, "Shop", 1)
	old := s.project.Keys[0].Public
	p := a.ops(t, "PATCH", "/projects/"+s.project.ID, `{"new_key":true}`, 200)
	if note, _ := p["note"].(string); !strings.Contains(note, "until they are disabled") {
		t.Errorf("what becomes of the old key isn't said: %q", note)
	}
	keys := p["keys"].([]any)
	fresh := keys[1].(map[string]any)
	if dsn := p["dsn"].(string); strings.Contains(dsn, old) || dsn != fresh["dsn"] || !strings.Contains(keys[0].(map[string]any)["dsn"].(string), old) {
		t.Errorf("%v", p)
	}
	send := func(key string) int {
		return s.send(t, s.path("/store/"), strings.NewReader(eventOf(1)), authOf(key)...).status
	}
	if send(old) != 200 || send(fresh["public"].(string)) != 200 {
		t.Error("one of the keys takes nothing")
	}
	a.ops(t, "PATCH", "/projects/"+s.project.ID, `{"disable":["`+old+`"]}`, 200)
	if send(old) != 403 || send(fresh["public"].(string)) != 200 {
		t.Error("the old key takes something, or the new one nothing")
	}
}

// TestAMisspeltScheduleIsTold at its project, and once in the log.
func TestAMisspeltScheduleIsTold(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	s := newSDK(t, a, "Shop", 1)
	checkIn := `{"monitor_slug":"nightly","status":"ok","monitor_config":{"schedule":{"type":"crontab","value":"0 25 * * *"}}}`
	for range 2 {
		body := fmt.Sprintf("{}\n{\"type\":\"check_in\",\"length\":%d}\n%s\n", len(checkIn), checkIn)
		if got := s.send(t, s.path("/envelope/"), strings.NewReader(body), s.auth()...); got.status != 200 {
			t.Fatal(got.status, got.text)
		}
	}
	if got := fmt.Sprint(a.ops(t, "GET", "/projects/"+s.project.ID, "", 200)["problems"]); !strings.Contains(got, "The job nightly (production) is never missed") || !strings.Contains(got, "0 25 * * *") {
		t.Errorf("the project's problems are %s", got)
	}
}

// TestATrialIsFoundAgainAndToldToNobody, however often, also where the issue was resolved.
func TestATrialIsFoundAgainAndToldToNobody(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	a := newInbox(t, alerting(h, nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	try := func() string {
		t.Helper()
		trial, err := a.TryReports(ctx)
		if err != nil || trial.Issue == "" || trial.Took <= 0 || trial.Took > time.Minute {
			t.Fatalf("%+v %v", trial, err)
		}
		if e := a.ops(t, "GET", "/events/"+trial.EventID, "", 200); e["level"] != "info" {
			t.Errorf("%v", e)
		}
		return trial.Issue
	}
	issue := try()
	a.ops(t, "PATCH", "/issues/"+issue, `{"status":"resolved"}`, 200)
	if again := try(); again != issue {
		t.Errorf("another trial is of the issue %s, and not %s", again, issue)
	}
	if got := a.ops(t, "GET", "/issues/"+issue, "", 200); got["status"] != "resolved" || got["count"] != 2.0 {
		t.Errorf("%v", got)
	}
	if got := fmt.Sprint(a.ops(t, "GET", "/alerts", "", 200)["items"]); got != "[]" {
		t.Errorf("alerts: %s", got)
	}
}

// TestACheckLeavesNothingInTheInbox, nor does one that was killed, once the next has gone by; what
// operators have made or changed stays.
func TestACheckLeavesNothingInTheInbox(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	a := newInbox(t, alerting(h, nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	left := func() (issues []string) {
		t.Helper()
		for _, status := range []string{"ignored", "unresolved", "resolved"} {
			for _, i := range a.ops(t, "GET", "/issues?status="+status, "", 200)["items"].([]any) {
				issues = append(issues, i.(map[string]any)["short_id"].(string))
			}
		}
		return issues
	}
	operators, err := a.TryReports(ctx)
	must(t, err)
	killed, err := a.tryReports(ctx, true) // before it has removed it
	must(t, err)
	changed, err := a.tryReports(ctx, true)
	must(t, err)
	a.ops(t, "PATCH", "/issues/"+changed.Issue, `{"note":"why is this here?"}`, 200)
	for range 2 {
		if f := a.measureReports(ctx); f.Status != readiness.Pass {
			t.Fatalf("%+v", f)
		}
	}
	if got := left(); len(got) != 3 { // another check may be at work on the killed one's
		t.Errorf("the inbox has %v, want those of %s, %s and %s", got, operators.Issue, killed.Issue, changed.Issue)
	}
	store := docstore.NewCollection[errtrack.Issue](a.store, errtrack.Specs()[2])
	for i, err := range store.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		must(t, err)
		_, err := store.Update(ctx, i.ID, func(i *errtrack.Issue) error {
			i.CreatedAt = docstore.At(i.CreatedAt.Add(-2 * time.Minute))
			return nil
		})
		must(t, err)
	}
	must(t, a.Errors.Sweep(ctx))
	if got := left(); len(got) != 2 || slices.Contains(got, killed.Issue) {
		t.Errorf("after a sweep the inbox has %v, want those of %s and %s", got, operators.Issue, changed.Issue)
	}
	a.ops(t, "GET", "/events/"+killed.EventID, "", 404)
	a.ops(t, "GET", "/events/"+operators.EventID, "", 200)
	a.ops(t, "GET", "/events/"+changed.EventID, "", 200)
	if got := fmt.Sprint(a.ops(t, "GET", "/alerts", "", 200)["items"]); got != "[]" {
		t.Errorf("alerts: %s", got)
	}
}

// TestATrialGoesToASentry where errors go there; what that answers is said.
func TestATrialGoesToASentry(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	status.Store(http.StatusOK)
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })
	a, _ := breaking(t, sendTo(dsnOf(r.URL)))
	trial, err := a.TryReports(t.Context())
	if err != nil || trial.Host == "" || trial.Issue != "" || !strings.Contains(r.all(), trial.EventID) {
		t.Errorf("%+v %v", trial, err)
	}
	status.Store(http.StatusUnauthorized)
	if _, err := a.TryReports(t.Context()); err == nil || !strings.Contains(err.Error(), "401 Unauthorized") {
		t.Errorf("a refusal is told as %v", err)
	}
}

// TestDevSaysOnceWhatItLeavesOut: channels of manus.yaml get nothing there.
func TestDevSaysOnceWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "manus.yaml")
	text := `{alerts: {channels: [{id: pager, type: webhook, url: "https://pager.example.com/hook"}, {id: chat, type: webhook, url: "https://chat.example.com/hook"}],
		rules: [{on: issue.new, channels: [mail, pager]}, {on: issue.regressed, channels: [pager, chat], escalate: {after: 15m, channels: [chat]}}]}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := DevSettings(Dev{DataDir: filepath.Join(t.TempDir(), "data"), Addr: "127.0.0.1:0", ConfigFile: file})
	if err != nil {
		t.Fatal(err)
	}
	log := &waittest.Log{}
	a, err := New(t.Context(), Options{Settings: settings, Log: slog.New(slog.NewTextHandler(log, nil))}) // not started: it would look at the file itself
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	settings, err = a.settings.Reload(Routes())
	if err == nil {
		err = a.apply(settings)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, all := strings.Count(log.String(), "nothing goes to chat, pager"), strings.Count(log.String(), "pager"); n != 1 || all != 1 {
		t.Errorf("it is said %d times, and the channel is named %d times: %s", n, all, log.String())
	}
}
