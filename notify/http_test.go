package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/referencetest"
)

// callers are who may ask, by the name that a test gives them.
var callers = map[string]identity.Caller{
	"":         {},
	"user":     {UserID: "u1", LoginID: "l1", Role: identity.User},
	"operator": {UserID: "o1", LoginID: "l2", Role: identity.Operator},
	"key":      {UserID: "o1", KeyID: "k1", Role: identity.Operator, Scopes: []identity.Scope{identity.ScopeOperate}},
	"weak key": {UserID: "o1", KeyID: "k2", Role: identity.Operator, Scopes: []identity.Scope{identity.Read, identity.Write, identity.Worker}},
	"user key": {UserID: "u1", KeyID: "k3", Role: identity.User, Scopes: []identity.Scope{identity.ScopeOperate}},
}

// web is a service behind its routes, with the audit log.
type web struct {
	*rig
	api http.Handler
	log *audit.Log
}

func setupWeb(t *testing.T, change func(*Policy)) *web {
	t.Helper()
	r := setup(t, change)
	if err := r.store.Declare(t.Context(), append(Specs(), audit.Specs()...)...); err != nil {
		t.Fatal(err)
	}
	w := &web{rig: r, log: audit.New(audit.Config{Store: r.store, Now: r.clock.Now, Log: slog.New(slog.DiscardHandler)})}
	r.c.Audit = w.log
	api := httpapi.New(httpapi.Config{Log: referencetest.Log(t), Version: "test", Caller: func(r *http.Request) (identity.Caller, error) {
		return callers[r.Header.Get("X-Test-Caller")], nil
	}})
	r.Routes(api)
	w.api = api
	return w
}

func (w *web) call(t *testing.T, caller, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, httpapi.Prefix+path, strings.NewReader(body))
	r.Header.Set("X-Test-Caller", caller)
	r.Header.Set("User-Agent", "curl")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer := httptest.NewRecorder()
	w.api.ServeHTTP(answer, r)
	return answer.Code, answer.Body.String()
}

// audited is what the audit log tells, oldest first.
func (w *web) audited(t *testing.T) string {
	t.Helper()
	events, _, err := w.log.List(t.Context(), "", 100, "")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		lines = append(lines, strings.Join([]string{e.UserID, e.ByKey, string(e.Kind), e.Subject, e.Address, e.Agent}, ","))
	}
	return strings.Join(lines, " | ")
}

func TestOperatorsAloneSeeAndChangeAlerts(t *testing.T) {
	t.Parallel()
	w := setupWeb(t, nil)
	w.tell(t, w.down(1))
	for _, route := range []string{"GET /ops/alerts", "POST /ops/alerts/x/retry", "POST /ops/alerts/x/acknowledge", "POST /ops/alerts/test"} {
		method, path, _ := strings.Cut(route, " ")
		for caller, want := range map[string]int{"": 401, "user": 403, "weak key": 403, "user key": 403} {
			if status, body := w.call(t, caller, method, path, ""); status != want || strings.Contains(body, "Health") {
				t.Errorf("%s by %q: %d %s", route, caller, status, body)
			}
		}
		for _, caller := range []string{"operator", "key"} {
			if status, body := w.call(t, caller, method, path, ""); status == 401 || status == 403 || status >= 500 {
				t.Errorf("%s by %s: %d %s", route, caller, status, body)
			}
		}
	}
}

func TestAlertsHaveTheContractsNames(t *testing.T) {
	t.Parallel()
	w := setupWeb(t, func(p *Policy) { p.Rules = []Rule{{On: "*", Channels: []string{"a"}}} })
	w.tell(t, w.down(1))
	w.receivers["a"].fail(func(Message) error { return Refused(errors.New("410 gone")) })
	w.clock.Add(time.Second)
	w.tell(t, w.down(2))
	w.receivers["a"].fail(func(Message) error { return errors.New("no connection") })
	w.clock.Add(time.Second)
	w.tell(t, w.down(3))
	for status, want := range map[string]string{
		"delivered": `"key":"monitor.down/health/1","kind":"monitor.down","state":"raised","title":"Health is down (1)","text":"It answered 500.","url":"https://app.example.com/x","channel":"a","status":"delivered","attempts":1,"last_error":"","created_at":"2026-11-23T12:00:00.000Z","delivered_at":"2026-11-23T12:00:00.000Z","held_until":null}`,
		"dead":      `"key":"monitor.down/health/2","kind":"monitor.down","state":"raised","title":"Health is down (2)","text":"It answered 500.","url":"https://app.example.com/x","channel":"a","status":"dead","attempts":1,"last_error":"410 gone","created_at":"2026-11-23T12:00:01.000Z","delivered_at":null,"held_until":null}`,
		"pending":   `"key":"monitor.down/health/3","kind":"monitor.down","state":"raised","title":"Health is down (3)","text":"It answered 500.","url":"https://app.example.com/x","channel":"a","status":"pending","attempts":1,"last_error":"no connection","created_at":"2026-11-23T12:00:02.000Z","delivered_at":null,"held_until":null}`,
	} {
		code, body := w.call(t, "operator", "GET", "/ops/alerts?status="+status, "")
		if code != 200 || !strings.Contains(body, want) || strings.Count(body, `"id"`) != 1 {
			t.Errorf("%s: %d %s\nwant %s", status, code, body, want)
		}
	}
	for _, wrong := range []string{"?status=lost", "?limit=0", "?limit=1001", "?cursor=nonsense"} {
		if code, body := w.call(t, "operator", "GET", "/ops/alerts"+wrong, ""); code != 422 && code != 400 {
			t.Errorf("%s: %d %s", wrong, code, body)
		}
	}
}

func TestAPartOfAChannelIsListedAndTested(t *testing.T) {
	t.Parallel()
	r := threeAddresses(t)
	for channel, want := range map[string]int{"a": 3, "a/2": 1, "a/4": 0, "": 3} {
		ids, err := r.Test(t.Context(), channel)
		if len(ids) != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %d tests, %v", channel, len(ids), err)
		}
	}
	all, _, err := r.List(t.Context(), "", 10, "")
	listed := map[string]int{}
	for _, a := range all {
		listed[a.Channel]++
	}
	if err != nil || listed["a"] != 2 || listed["a/2"] != 3 || listed["a/3"] != 2 {
		t.Errorf("listed are %v, %v", listed, err)
	}
}

func TestAlertsArePaged(t *testing.T) {
	t.Parallel()
	w := setupWeb(t, func(p *Policy) { p.Rules = []Rule{{On: "*", Channels: []string{"a"}}} })
	for n := range 7 {
		w.tell(t, w.down(n))
		w.clock.Add(time.Second)
	}
	for _, status := range []string{"", "&status=delivered"} {
		var seen []string
		for cursor := ""; ; {
			code, body := w.call(t, "operator", "GET", "/ops/alerts?limit=3&cursor="+cursor+status, "")
			var page struct {
				Items []struct{ Title string } `json:"items"`
				Next  *string                  `json:"next_cursor"`
			}
			if err := json.Unmarshal([]byte(body), &page); code != 200 || err != nil || len(page.Items) > 3 {
				t.Fatal(code, body, err)
			}
			for _, item := range page.Items {
				seen = append(seen, item.Title)
			}
			if page.Next == nil || *page.Next == "" {
				break
			}
			cursor = *page.Next
		}
		if len(seen) != 7 || seen[0] != "Health is down (6)" || seen[6] != "Health is down (0)" {
			t.Errorf("%q: %q", status, seen)
		}
	}
	if _, body := w.call(t, "operator", "GET", "/ops/alerts?status=dead", ""); !strings.Contains(body, `"items":[]`) {
		t.Errorf("none are %s", body)
	}
}

func TestWhatIsHeldIsListedAsPending(t *testing.T) {
	t.Parallel()
	w := setupWeb(t, func(p *Policy) {
		p.Rules = []Rule{{On: "*", Channels: []string{"a"}}}
		p.AtMost = AtMost{1, 10 * time.Minute}
	})
	w.tell(t, w.down(1))
	w.receivers["a"].fail(func(Message) error { return errors.New("no connection") })
	for n := 2; n < 7; n++ {
		w.clock.Add(time.Second)
		w.tell(t, w.down(n))
		w.clock.Add(time.Second)
		if _, err := w.Test(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	w.tell(t, w.up(3))
	_, body := w.call(t, "operator", "GET", "/ops/alerts?status=pending&limit=2", "")
	if want := `"key":"monitor.down/health/6","kind":"monitor.down","state":"raised","title":"Health is down (6)","text":"It answered 500.","url":"https://app.example.com/x","channel":"a","status":"pending","attempts":0,"last_error":"","created_at":"2026-11-23T12:00:09.000Z","delivered_at":null,"held_until":"2026-11-23T12:10:00.000Z"}`; !strings.Contains(body, want) {
		t.Errorf("%s\nwant %s", body, want)
	}
	for _, status := range []Status{Pending, ""} {
		for limit := 1; limit < 13; limit++ {
			var seen []string
			held := ""
			for cursor := ""; ; {
				page, next, err := w.List(t.Context(), status, limit, cursor)
				if err != nil || len(page) > limit || len(page) == 0 && next != "" {
					t.Fatal(page, next, err)
				}
				for _, a := range page {
					seen = append(seen, a.Title)
					if !a.HeldUntil.IsZero() {
						held = a.ID
					}
				}
				if cursor = next; cursor == "" {
					break
				}
			}
			want := "A test of this channel | Health is down (6) | A test of this channel | Health is down (5) | A test of this channel | Health is down (4) | A test of this channel | Resolved already: Health is down (3) | A test of this channel | Health is down (2)"
			if status == "" {
				want += " | Health is down (1)"
			}
			if got := strings.Join(seen, " | "); got != want {
				t.Errorf("%d at a time: %s", limit, got)
			}
			if code, body := w.call(t, "operator", "POST", "/ops/alerts/"+held+"/retry", ""); code != 409 {
				t.Errorf("tried again: %d %s", code, body)
			}
			if code, body := w.call(t, "operator", "POST", "/ops/alerts/"+held+"/acknowledge", ""); code != 204 {
				t.Errorf("acknowledged: %d %s", code, body)
			}
		}
	}
	if o, err := w.occurrences.Get(t.Context(), idOf(w.down(2).Key())); err != nil || o.AcknowledgedAt.IsZero() {
		t.Errorf("it isn't acknowledged: %+v, %v", o, err)
	}
	for _, wrong := range []string{"x", "x.y", "-.x", "..", "-.-.-"} {
		if _, _, err := w.List(t.Context(), Pending, 10, wrong); !errors.Is(err, docstore.ErrCursor) {
			t.Errorf("the cursor %q: %v", wrong, err)
		}
	}
	w.receivers["a"].fail(nil)
	w.clock.Add(10 * time.Minute)
	w.work(t)
	if left, _, err := w.List(t.Context(), Pending, 10, ""); err != nil || len(left) != 0 {
		t.Errorf("after the digest there are left %+v, %v", left, err)
	}
	w.tell(t, w.up(4))
	if left, _, err := w.List(t.Context(), Pending, 10, ""); err != nil || len(left) != 1 || left[0].Title != "Resolved: Health is down (4)" || left[0].State != Over || left[0].HeldUntil.IsZero() {
		t.Errorf("of ends there are left %+v, %v", left, err)
	}
}

// only is the id of the only alert of a status.
func (w *web) only(t *testing.T, status Status) string {
	t.Helper()
	alerts, _, err := w.List(t.Context(), status, 10, "")
	if err != nil || len(alerts) != 1 {
		t.Fatalf("%s are %+v, %v", status, alerts, err)
	}
	return alerts[0].ID
}

func TestWhatOperatorsDoIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	w := setupWeb(t, func(p *Policy) { p.Rules = []Rule{{On: "monitor.down", Channels: []string{"a"}}, {On: "*"}} })
	w.receivers["a"].fail(func(Message) error { return Refused(errors.New("410 gone")) })
	w.tell(t, w.down(1))
	dead := w.only(t, Dead)
	w.receivers["a"].fail(nil)
	steps := []struct {
		caller, path, body string
		want               int
		noted              string
	}{
		{"operator", "/ops/alerts/nothing/retry", "", 404, ""},
		{"operator", "/ops/alerts/" + dead + "/retry", "", 204, "o1,,alert-retried,monitor.down/health/1,192.0.2.1,curl"},
		{"operator", "/ops/alerts/" + dead + "/retry", "", 409, ""}, // it waits, or is delivered
		{"key", "/ops/alerts/nothing/acknowledge", "", 404, ""},
		{"key", "/ops/alerts/" + dead + "/acknowledge", "", 204, "o1,k1,alert-acknowledged,monitor.down/health/1,192.0.2.1,curl"},
		{"key", "/ops/alerts/" + dead + "/acknowledge", "", 204, ""}, // somebody has before
		{"operator", "/ops/alerts/test", `{"channel":"nothing"}`, 404, ""},
		{"operator", "/ops/alerts/test", `{"channel":"b"}`, 202, "o1,,alerts-tested,b,192.0.2.1,curl"},
		{"operator", "/ops/alerts/test", `{"channel":7}`, 422, ""},
		{"operator", "/ops/alerts/test", `{`, 400, ""},
		{"key", "/ops/alerts/test", "", 202, "o1,k1,alerts-tested,,192.0.2.1,curl"},
		{"key", "/ops/alerts/test", "{}", 202, "o1,k1,alerts-tested,,192.0.2.1,curl"},
	}
	var want []string
	for _, c := range steps {
		w.clock.Add(time.Second)
		if status, body := w.call(t, c.caller, "POST", c.path, c.body); status != c.want {
			t.Errorf("%s %s %s: %d %s", c.caller, c.path, c.body, status, body)
		}
		w.work(t)
		if c.noted != "" {
			want = append(want, c.noted)
		}
		if got := w.audited(t); got != strings.Join(want, " | ") {
			t.Errorf("after %s the audit log is %q, not %q", c.path, got, strings.Join(want, " | "))
		}
	}
	w.expect(t, "a", "Health is down (1)", "A test of this channel", "A test of this channel")
	w.expect(t, "b", "اختبار لهذه القناة", "اختبار لهذه القناة", "اختبار لهذه القناة")
	w.clock.Add(time.Second)
	w.tell(t, w.down(2))
	if err := w.AcknowledgeLinked(t.Context(), token("the secret", idOf(w.down(2).Key()))); err != nil {
		t.Fatal(err)
	}
	if got := w.audited(t); !strings.HasSuffix(got, " | ,,alert-acknowledged-by-link,monitor.down/health/2,,") {
		t.Errorf("the audit log is %s", got)
	}
}

func TestADigestIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	w := setupWeb(t, nil)
	ids, err := w.Test(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if status, body := w.call(t, "operator", "POST", fmt.Sprintf("/ops/alerts/%s/acknowledge", ids[0]), ""); status != 404 || !strings.Contains(body, "no such alert") {
		t.Errorf("%d %s", status, body)
	}
}

// The list has what is sent: of an end too, and of what was over before it was sent.
func TestTheListShowsWhatIsSent(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "*", Channels: []string{"a"}}} })
	r.tell(t, r.down(1))
	r.tell(t, r.up(1))
	r.receivers["a"].fail(func(Message) error { return errors.New("no connection") })
	r.tell(t, r.down(2))
	r.tell(t, r.up(2))
	r.receivers["a"].fail(nil)
	r.clock.Add(time.Minute)
	r.work(t)
	listed, _, err := r.List(t.Context(), "", 10, "")
	if err != nil || len(listed) != 3 {
		t.Fatalf("listed are %+v, %v", listed, err)
	}
	for _, m := range r.receivers["a"].messages() {
		if !slices.ContainsFunc(listed, func(a Alert) bool {
			return a.State == m.State && a.Title == m.Title && a.Text == m.Text && a.URL == m.URL
		}) {
			t.Errorf("%+v isn't listed: %+v", m, listed)
		}
	}
	r.expect(t, "a", "Health is down (1)", "Resolved: Health is down (1)", "Resolved already: Health is down (2)")
}

func TestTheListShowsWhatADigestHolds(t *testing.T) {
	t.Parallel()
	r := setup(t, onlyA)
	for n := range 5 {
		r.tell(t, r.down(n))
	}
	r.clock.Add(10 * time.Minute)
	r.work(t)
	listed, _, err := r.List(t.Context(), Delivered, 10, "")
	if err != nil || !slices.ContainsFunc(listed, func(a Alert) bool { return a.State == Digest && a.Title == "3 alerts that were held back" }) {
		t.Errorf("listed are %+v, %v", listed, err)
	}
}
