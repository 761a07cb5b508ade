package uptime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/internal/referencetest"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/lease"
	"manus/uptime/probe"
)

var callers = map[string]identity.Caller{
	"":         {},
	"user":     {UserID: "u1", LoginID: "l1", Role: identity.User},
	"operator": {UserID: "o1", LoginID: "l2", Role: identity.Operator},
	"key":      {UserID: "o1", KeyID: "k1", Role: identity.Operator, Scopes: []identity.Scope{identity.ScopeOperate}},
	"weak key": {UserID: "o1", KeyID: "k2", Role: identity.Operator, Scopes: []identity.Scope{identity.Read, identity.Write}},
}

// desk is a copy that doesn't watch, behind its routes.
type desk struct {
	*Service
	api   http.Handler
	log   *audit.Log
	clock *clocktest.Clock
}

func deskSpecs() []docstore.Spec { return slices.Concat(Specs(), lease.Specs(), audit.Specs()) }

func newDesk(t *testing.T, store docstore.Store, change func(*Config)) *desk {
	t.Helper()
	if store == nil {
		store = storetest.New(t, deskSpecs()...)
	}
	d := &desk{clock: clocktest.New()}
	log := referencetest.Log(t)
	d.log = audit.New(audit.Config{Store: store, Log: log, Now: d.clock.Now})
	c := Config{Store: store, Prober: probe.New(probe.Options{}), Own: Policy{}, Now: d.clock.Now, Log: log, Audit: d.log, References: []string{}}
	if change != nil {
		change(&c)
	}
	d.Service = New(c)
	api := httpapi.New(httpapi.Config{Log: log, Version: "test", Caller: func(r *http.Request) (identity.Caller, error) {
		return callers[r.Header.Get("X-Test-Caller")], nil
	}})
	d.Routes(api)
	d.api = api
	return d
}

func (d *desk) call(t *testing.T, caller, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, httpapi.Prefix+"/ops/monitors"+path, strings.NewReader(body))
	r.Header.Set("X-Test-Caller", caller)
	r.Header.Set("User-Agent", "curl")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer := httptest.NewRecorder()
	d.api.ServeHTTP(answer, r)
	return answer.Code, answer.Body.String()
}

// does fails unless the answer has this status and these parts, and returns it.
func (d *desk) does(t *testing.T, method, path, body string, status int, parts ...string) string {
	t.Helper()
	code, answer := d.call(t, "operator", method, path, body)
	if code != status {
		t.Errorf("%s %s %.200s: %d %.500s", method, path, body, code, answer)
	}
	for _, part := range parts {
		if !strings.Contains(answer, part) {
			t.Errorf("%s %s %.200s: %d %.900s has no %s", method, path, body, code, answer, part)
		}
	}
	return answer
}

// audited is what the audit log tells, oldest first.
func (d *desk) audited(t *testing.T) (lines []string) {
	t.Helper()
	events, _, err := d.log.List(t.Context(), "", 100, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(events) {
		lines = append(lines, strings.Join([]string{e.UserID, e.ByKey, string(e.Kind), e.Subject, e.Agent}, ","))
	}
	return lines
}

const shop = `{"id":"shop","type":"http","url":"https://shop.example.com/health","every":"60s","expect":["status == 200"],"headers":{"X-A.b":"1","X-B":"2"},"auth":{"type":"basic","user":"u"}}`

func TestAMonitorIsMadeChangedAndDeletedByTheAPI(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, nil)
	for _, caller := range []string{"", "user", "weak key"} {
		for _, call := range [][2]string{{"POST", ""}, {"PATCH", "/shop"}, {"DELETE", "/shop"}, {"POST", "/shop/mute"}, {"DELETE", "/*/mute"}} {
			if code, answer := d.call(t, caller, call[0], call[1], shop); code != 401 && code != 403 {
				t.Errorf("%q %v: %d %s", caller, call, code, answer)
			}
		}
	}
	d.does(t, "POST", "", shop, 201, `"id":"shop"`, `"name":"shop"`, `"every":"1m"`, `"timeout":"10s"`, `"confirm":["5s","15s","35s"]`, `"X-A.b":"1"`, `"auth":{"type":"basic","user":"u"}`,
		`"from":"api"`, `"status":"unknown"`, `"note":""`, `"muted_until":""`)
	d.does(t, "POST", "", shop, 409, "monitor-exists")
	d.does(t, "PATCH", "/shop", `{"name":"The shop","every":"5m","headers":{"X-B":null,"X-C":"3"},"confirm":["7s"],"auth":{"type":"bearer"}}`, 200,
		`"name":"The shop"`, `"every":"5m"`, `"confirm":["7s"]`, `"expect":["status == 200"]`, `"X-C":"3"`, `"X-A.b":"1"`, `"auth":{"type":"bearer","user":"u"}`)
	if answer := d.does(t, "GET", "/shop", "", 200, `"name":"The shop"`); strings.Contains(answer, "X-B") {
		t.Errorf("a header that was taken out is there: %s", answer)
	}
	d.does(t, "PATCH", "/shop", `{"name":null,"confirm":null,"headers":null,"auth":{"type":null,"user":null},"expect":[]}`, 200, `"name":"shop"`, `"confirm":["5s","15s","35s"]`, `"expect":[]`)
	d.does(t, "PATCH", "/shop", `{}`, 200)
	d.does(t, "PATCH", "/shop", `{"slo":0.999}`, 200, `"slo":0.999`)
	if answer := d.does(t, "GET", "/shop", "", 200); strings.Contains(answer, `"headers"`) || strings.Contains(answer, `"auth"`) {
		t.Errorf("what is taken back is there: %s", answer)
	}
	d.does(t, "DELETE", "/shop", "", 204)
	for _, call := range [][3]string{{"GET", "/shop", ""}, {"DELETE", "/shop", ""}, {"PATCH", "/shop", "{}"}, {"POST", "/shop/mute", `{"for":"10m"}`}, {"POST", "/shop/check", ""}, {"GET", "/shop/results", ""}} {
		d.does(t, call[0], call[1], call[2], 404, "There is no such monitor")
	}
	d.does(t, "POST", "", shop, 201)
	want := []string{
		"o1,,monitor-made,shop,curl", "o1,,monitor-changed,shop,curl", "o1,,monitor-changed,shop,curl", "o1,,monitor-changed,shop,curl", // {} is no change
		"o1,,monitor-deleted,shop,curl", "o1,,monitor-made,shop,curl",
	}
	if got := d.audited(t); !slices.Equal(got, want) {
		t.Errorf("the audit log has %q", got)
	}
	if code, answer := d.call(t, "key", "PATCH", "/shop", `{"paused":true}`); code != 200 || !strings.Contains(answer, `"status":"paused"`) {
		t.Errorf("a key: %d %s", code, answer)
	}
	if got := d.audited(t); got[len(got)-1] != "o1,k1,monitor-changed,shop,curl" {
		t.Errorf("the audit log has %q", got)
	}
}

func TestWhatCantBeAMonitorIsRefusedWithItsField(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, func(c *Config) {
		c.Monitors = Policy{{ID: "of-file", Type: probe.TCP, URL: "db.example.com:1", Auth: Auth{}}}
		c.Own = Policy{{ID: "ready", Type: probe.HTTP, URL: "http://example.com", Private: true}}
	})
	d.does(t, "POST", "", `{"id":"good","type":"tcp","url":"db.example.com:5432"}`, 201)
	m := func(more string) string { return `{"id":"m","type":"http","url":"https://example.com",` + more + `}` }
	for _, c := range []struct {
		body  string
		field string
		why   string
	}{
		{`{"id":"Ä/..%2f","type":"tcp","url":"db.example.com:1"}`, "body.id", "use lower-case letters"},
		{`{"id":"","type":"tcp","url":"db.example.com:1"}`, "body.id", "use lower-case letters"},
		{`{"id":"*","type":"tcp","url":"db.example.com:1"}`, "body.id", "use lower-case letters"},
		{`{"id":"` + strings.Repeat("a", 65) + `","type":"tcp","url":"x.example.com:1"}`, "body.id", ""},
		{`{"type":"tcp","url":"db.example.com:1"}`, "body", "required property id"},
		{`{"id":null,"type":"tcp","url":"db.example.com:1"}`, "body.id", "expected string"},
		{`{"id":"m","type":"gopher","url":"x"}`, "body.type", "one of"},
		{`{"id":"m","type":null,"url":"x"}`, "body.type", ""},
		{`{"id":"m","type":"http"}`, "body.url", "use an address"},
		{`{"id":"m","type":"http","url":"https://u:p@example.com"}`, "body.url", "has a password in it"},
		{`{"id":"m","type":"http","url":"http://169.254.169.254/latest"}`, "body.url", "never dialled"},
		{`{"id":"m","type":"http","url":"http://10.0.0.1/"}`, "body.url", "private network"},
		{`{"id":"m","type":"tcp","url":"x.example.com:1","body":"b"}`, "body", "take them out"},
		{`{"id":"m","type":"tcp","url":"x.example.com:1","server_name":"b"}`, "body.server_name", "take it out"},
		{m(`"every":"60"`), "body.every", "unit"},
		{m(`"every":"-60s"`), "body.every", "from 5s to 24h"},
		{m(`"every":"99999999999h"`), "body.every", "unit"},
		{m(`"every":60`), "body.every", "expected string"},
		{m(`"every":"0s"`), "body.every", "unit"},
		{m(`"timeout":"5m"`), "body.timeout", "shorter"},
		{m(`"confirm":["1s","x"]`), "body.confirm", "unit"},
		{m(`"confirm":["9s","1s"]`), "body.confirm", "each after"},
		{m(`"confirm":[["1s"]]`), "body.confirm[0]", "expected string"},
		{m(`"expect":["latency << 2s"]`), "body.expect", "stands where something"},
		{m(`"expect":[null]`), "body.expect[0]", ""},
		{m(`"up_after":-1`), "body.up_after", "from 1 to 100"},
		{m(`"up_after":1e300`), "body", ""},
		{m(`"slo":1`), "body.slo", "below 1"},
		{m(`"headers":{"X-A":1}`), "body.headers", ""},
		{m(`"headers":{"a b":"1"}`), "body.headers", "isn't a header"},
		{m(`"headers":{"authorization":"Bearer x"}`), "body.headers", "MONITOR_M_SECRET"},
		{m(`"auth":{"type":"digest"}`), "body.auth.type", "basic or bearer"},
		{m(`"auth":{"type":"basic","password":"x"}`), "body.auth", "doesn't know"},
		{m(`"proxy":"http://u:p@proxy.example.com:1"`), "body.proxy", "manus.yaml"},
		{m(`"redirects":21`), "body.redirects", "at most 20"},
		{m(`"ip":5`), "body.ip", "4 or 6"},
		{m(`"private":true`), "body.private", "ALLOW_PRIVATE_TARGETS"},
		{m(`"parent":"nothing"`), "body.parent", "there is no monitor nothing"},
		{m(`"parent":"m"`), "body.parent", "ring"},
		{m(`"name":"two\nlines"`), "body.name", "one line"},
		{m(`"body":"` + strings.Repeat("x", 10_001) + `"`), "body.body", ""},
		{m(`"url2":"x"`), "body", "doesn't know"},
		{m(`"certificate":{"cert":"/etc/passwd","key":"/etc/passwd"}`), "body", "doesn't know"},
		{m(`"Name":"x"`), "body", "doesn't know"},
		{m(`"headers":{"X-A":"` + strings.Repeat("x", 17_000) + `"}`), "body", "16 KiB"},
	} {
		answer := d.does(t, "POST", "", c.body, 422, c.why)
		if !strings.Contains(answer, `"location":"`+c.field) {
			t.Errorf("%.200s: %s names no %s", c.body, answer, c.field)
		}
	}
	d.does(t, "POST", "", m(`"body":"`+strings.Repeat("x", 1<<20)+`"`), 413)
	d.does(t, "POST", "", m(`"timeout":"5m","slo":7,"expect":["x","status =="]`), 422, "body.timeout", "body.slo", "body.expect")
	d.does(t, "POST", "", `{"id":"of-file","type":"tcp","url":"x.example.com:1"}`, 409, "monitor-of-file")
	d.does(t, "PATCH", "/of-file", `{"name":"x"}`, 409, "monitor-of-file", "Change it there")
	d.does(t, "DELETE", "/of-file", "", 409, "monitor-of-file")
	d.does(t, "PATCH", "/ready", `{"name":"x"}`, 409, "monitor-of-product")
	d.does(t, "DELETE", "/ready", "", 409, "monitor-of-product")
	d.does(t, "PATCH", "/good", `{"id":"other"}`, 422, "doesn't know")
	d.does(t, "PATCH", "/good", `{"type":null}`, 422, "body.type")
	d.does(t, "PATCH", "/good", `[]`, 422)
	d.does(t, "PATCH", "/good", ``, 400)
	d.does(t, "PATCH", "/good", `{"name":"x","name":"y"}`, 400, "twice")
	d.does(t, "PATCH", "/good", `{"url":"nowhere"}`, 422, "body.url", "db.example.com:5432")
	d.does(t, "GET", "/good", "", 200, `"url":"db.example.com:5432"`)
	if got := d.audited(t); len(got) != 1 {
		t.Errorf("the audit log has %q", got)
	}
}

// An id whose variable is another one's is given no secret.
func TestAMonitorIsGivenNoOtherOnesSecret(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, func(c *Config) {
		c.Monitors = Policy{{ID: "the-shop", Type: probe.HTTP, URL: "https://shop.example.com", Auth: Auth{Type: "bearer"}}}
	})
	d.does(t, "POST", "", `{"id":"the_shop","type":"http","url":"https://other.example.com"}`, 201)
	d.does(t, "PATCH", "/the_shop", `{"auth":{"type":"bearer"}}`, 422, "body.id", "the-shop")
}

func TestThePrivateIsForTheAPIWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, func(c *Config) { c.AllowPrivate = true })
	d.does(t, "POST", "", `{"id":"m","type":"tcp","url":"10.0.0.1:1","private":true}`, 201, `"private":true`)
	d.does(t, "PATCH", "/m", `{"url":"169.254.169.254:80"}`, 422, "never dialled")
	d.does(t, "PATCH", "/m", `{"private":false}`, 422, "body.url")
}

func TestAMonitorOfTheFileTakesThePlaceOfTheAPIs(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, func(c *Config) {
		c.Own = Policy{{ID: "health", Name: "Own", Type: probe.HTTP, URL: "http://example.com"}}
	})
	d.does(t, "GET", "/health", "", 200, `"from":"product"`, `"name":"Own"`)
	d.does(t, "POST", "", `{"id":"health","type":"tcp","url":"made.example.com:1"}`, 201, `"from":"api"`)
	d.does(t, "POST", "", `{"id":"child","type":"tcp","url":"made.example.com:1","parent":"health"}`, 201)
	d.SetMonitors(Policy{{ID: "health", Type: probe.TCP, URL: "file.example.com:1"}})
	d.does(t, "GET", "/health", "", 200, `"from":"file"`, `"url":"file.example.com:1"`, `DELETE removes it`)
	d.does(t, "PATCH", "/health", `{"name":"x"}`, 409)
	d.does(t, "DELETE", "/health", "", 204)
	d.does(t, "GET", "/health", "", 200, `"from":"file"`, `"note":""`)
	d.does(t, "DELETE", "/health", "", 409)
	d.SetMonitors(nil)
	d.does(t, "GET", "/health", "", 200, `"from":"product"`, `"name":"Own"`)
}

func TestAParentIsntDeletedBeforeItsChildren(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, func(c *Config) { c.Monitors = Policy{{ID: "of-file", Type: probe.TCP, URL: "x.example.com:1"}} })
	m := func(id, parent string) string {
		return fmt.Sprintf(`{"id":%q,"type":"tcp","url":"x.example.com:1","parent":%q}`, id, parent)
	}
	d.does(t, "POST", "", m("a", "of-file"), 201)
	d.does(t, "POST", "", m("b", "a"), 201)
	for i := range 7 {
		d.does(t, "POST", "", m(fmt.Sprint("c", i), "b"), 201)
	}
	d.does(t, "PATCH", "/a", `{"parent":"b"}`, 422, "ring")
	d.does(t, "DELETE", "/b", "", 409, "is the parent of c0, c1, c2, c3, c4 and 2 more")
	// What the file does isn't asked of the API: its children are told as if they had none.
	d.SetMonitors(nil)
	d.does(t, "GET", "/a", "", 200, `Its parent isn't watched`)
	d.does(t, "PATCH", "/a", `{"name":"A"}`, 200)
	d.does(t, "PATCH", "/a", `{"parent":null}`, 200, `"note":""`)
	for i := range 7 {
		d.does(t, "PATCH", fmt.Sprint("/c", i), `{"parent":"a"}`, 200)
	}
	d.does(t, "DELETE", "/b", "", 204)
}

// Two who change two monitors in one moment can make a ring, in which each would keep silent
// because of the other.
func TestARingIsBroken(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, nil)
	for id, parent := range map[string]string{"a": "b", "b": "c", "c": "a", "d": "d"} {
		d.force(t, id, Definition{Type: stated(probe.TCP), URL: stated("x.example.com:1"), Parent: &parent})
	}
	set, _, err := d.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range set.monitors {
		if problem := lineage(m, set.byID); problem != "" {
			t.Errorf("%s: %s", m.ID, problem)
		}
	}
	if set.byID["a"].Parent != "" || set.byID["b"].Parent != "c" || set.byID["c"].Parent != "a" || len(set.notes) != 2 {
		t.Errorf("%+v %v", set.byID, set.notes)
	}
}

// force has a monitor be in the store that the API would refuse.
func (s *Service) force(t *testing.T, id string, d Definition) {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.made.Upsert(t.Context(), made{ID: id}, func(m *made, _ bool) error { m.Said = text; m.Revision++; return nil })
	if err == nil {
		err = s.publish(t.Context(), m, audit.Event{ID: docstore.NewID()})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTwoChangesAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	store := storetest.New(t, deskSpecs()...)
	desks := []*desk{newDesk(t, store, nil), newDesk(t, store, nil)}
	desks[0].does(t, "POST", "", `{"id":"m","type":"http","url":"https://example.com"}`, 201)
	const changes = 12
	var changing sync.WaitGroup
	for i := range changes {
		changing.Go(func() {
			desks[i%2].does(t, "PATCH", "/m", fmt.Sprintf(`{"headers":{"X-%d":"%d"}}`, i, i), 200)
		})
	}
	changing.Wait()
	for _, d := range desks {
		answer := d.does(t, "GET", "/m", "", 200)
		for i := range changes {
			if !strings.Contains(answer, fmt.Sprintf(`"X-%d":"%d"`, i, i)) {
				t.Errorf("%d is lost: %s", i, answer)
			}
		}
	}
	if got := desks[0].audited(t); len(got) != 1+changes {
		t.Errorf("the audit log has %q", got)
	}
	var making sync.WaitGroup
	codes := make([]int, 8)
	for i := range codes {
		making.Go(func() {
			codes[i], _ = desks[i%2].call(t, "operator", "POST", "", `{"id":"one","type":"tcp","url":"x.example.com:1"}`)
		})
	}
	making.Wait()
	slices.Sort(codes)
	if codes[0] != 201 || codes[1] != 409 || codes[7] != 409 {
		t.Errorf("of making one, several were answered %v", codes)
	}
}

// What one copy is asked, the other one knows and, where it is the one, watches.
func TestEveryCopyKnowsOfAMonitorAndOneWatchesIt(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	watching := start(t, nil, func(c *Config) {
		c.Now, c.AllowPrivate = time.Now, true
		c.Own = Policy{{ID: "health", Type: probe.HTTP, URL: api.URL, Private: true, Every: time.Hour}}
	})
	asked := newDesk(t, watching.store, func(c *Config) { c.Now, c.AllowPrivate, c.Own = time.Now, true, nil })
	asked.does(t, "POST", "", fmt.Sprintf(`{"id":"api","name":"API","type":"http","url":%q,"every":"5s","timeout":"1s","confirm":["1s"],"up_after":1,"private":true}`, api.URL), 201)
	if w, err := watching.Monitor(t.Context(), "api"); err != nil || w.Origin != OfAPI {
		t.Errorf("the other copy has %+v, %v", w, err)
	}
	api.checked(t, 1)
	api.down.Store(true)
	watching.hears(t, "API is down")
	waittest.Poll(t, func() bool {
		code, answer := asked.call(t, "operator", "GET", "/health", "")
		return code == 200 && strings.Contains(answer, `"from":"product"`) // as the copy that watches has it
	})
	asked.does(t, "PATCH", "/api", `{"name":"The API"}`, 200, `"status":"down"`) // what is known stays
	asked.does(t, "DELETE", "/api", "", 204)
	watching.hears(t, "API is down", "api isn't watched any more")
	if _, err := watching.Monitor(t.Context(), "api"); !errors.Is(err, ErrNoMonitor) {
		t.Errorf("a deleted one: %v", err)
	}
}

// A monitor that the API has made goes on over a restart, with its outage.
func TestARestartIsNoChangeOfWhatTheAPIHasMade(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	first := start(t, nil, nil)
	first.force(t, "api", Definition{Type: stated(probe.HTTP), URL: &api.URL, Every: stated("40ms"), Confirm: []string{"5ms"}, Private: stated(true)})
	api.checked(t, 2)
	api.down.Store(true)
	first.hears(t, "api is down")
	first.stop()
	second := start(t, first.store, nil)
	api.checked(t, 8)
	second.hears(t)
	api.down.Store(false)
	second.hears(t, "api is up again")
	if second.told[0].Occurrence != first.told[0].Occurrence {
		t.Errorf("the end is of %s and the beginning was of %s", second.told[0].Occurrence, first.told[0].Occurrence)
	}
}

// flaky is a store of which one call fails.
type flaky struct {
	docstore.Store
	left atomic.Int64 // calls before it; below zero for none
}

func (f *flaky) fails() error {
	if f.left.Add(-1) == -1 {
		return docstore.ErrUnavailable
	}
	return nil
}

func (f *flaky) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	if err := f.fails(); err != nil {
		return nil, err
	}
	return f.Store.Get(ctx, collection, id)
}

func (f *flaky) Find(ctx context.Context, collection string, q docstore.Query) (docstore.Page, error) {
	if err := f.fails(); err != nil {
		return docstore.Page{}, err
	}
	return f.Store.Find(ctx, collection, q)
}

func (f *flaky) Insert(ctx context.Context, collection string, docs ...docstore.Document) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.Store.Insert(ctx, collection, docs...)
}

func (f *flaky) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.Store.Upsert(ctx, collection, id, change)
}

// Whichever call of the store a change breaks off at: what was written is in the audit log
// once and known to other copies, at the latest when what was left behind is delivered.
func TestABrokenOffChangeIsToldOrNotMade(t *testing.T) {
	t.Parallel()
	tcp := Definition{Type: stated(probe.TCP), URL: stated("x.example.com:1")}
	for name, change := range map[string]func(ctx context.Context, d *desk) error{
		"make":   func(ctx context.Context, d *desk) error { return d.Create(ctx, "new", tcp) },
		"change": func(ctx context.Context, d *desk) error { return d.Change(ctx, "old", []byte(`{"name":"New"}`)) },
		"delete": func(ctx context.Context, d *desk) error { return d.Remove(ctx, "old") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcomes := map[bool]int{}
			for n := int64(0); ; n++ {
				store := &flaky{Store: storetest.New(t, deskSpecs()...)}
				store.left.Store(-1)
				d := newDesk(t, store, nil)
				if err := d.Create(t.Context(), "old", tcp); err != nil {
					t.Fatal(err)
				}
				other := newDesk(t, store, nil)
				if _, _, err := other.current(t.Context()); err != nil { // it knows all that was before
					t.Fatal(err)
				}
				store.left.Store(n)
				err := change(t.Context(), d)
				broken := store.left.Load() < 0
				store.left.Store(-1)
				done := d.takeUp(t, other)
				if outcomes[done]++; !done && err == nil {
					t.Errorf("call %d: it wasn't done and nobody was told", n)
				}
				if !broken {
					break
				}
			}
			if outcomes[true] < 3 || outcomes[false] < 2 {
				t.Errorf("it was done or not: %v", outcomes)
			}
		})
	}
}

// takeUp has another copy deliver what a process has left behind, and tells whether anything was changed.
func (d *desk) takeUp(t *testing.T, other *desk) (done bool) {
	t.Helper()
	other.clock.Add(time.Minute)
	if err := other.noted.DeliverStale(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, newErr := other.made.Get(t.Context(), "new")
	old, oldErr := other.made.Get(t.Context(), "old")
	done = newErr == nil || oldErr != nil || old.Revision > 1
	if events := len(d.audited(t)) - 1; done && events != 1 || !done && events != 0 {
		t.Errorf("it is done: %v, and the audit log has %d lines more", done, events)
	}
	here, _, err := d.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if there, _, err := other.current(t.Context()); err != nil || !reflect.DeepEqual(here.byID, there.byID) {
		t.Errorf("one copy has %v, the other %v, %v", here.byID, there.byID, err)
	}
	return done
}

func TestThereAreOnlySoManyMonitors(t *testing.T) {
	t.Parallel()
	var many Policy
	for i := range MaxMonitors {
		many = append(many, Monitor{ID: fmt.Sprint("m", i), Type: probe.TCP, URL: "x.example.com:1"})
	}
	d := newDesk(t, nil, func(c *Config) { c.Monitors = many })
	d.does(t, "POST", "", shop, 409, "too-many-monitors")
	d.SetMonitors(many[1:])
	d.does(t, "POST", "", shop, 201)
	seen := map[string]bool{}
	for cursor := ""; ; {
		all, next, err := d.List(t.Context(), 1000, cursor)
		if err != nil || len(all) > 1000 {
			t.Fatalf("%d monitors, %v", len(all), err)
		}
		for _, w := range all {
			seen[w.ID] = true
		}
		if cursor = next; next == "" {
			break
		}
	}
	if len(seen) != MaxMonitors || !seen["shop"] {
		t.Errorf("listed are %d", len(seen))
	}
}

func TestMonitorsAreListedByThePage(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, func(c *Config) {
		for _, id := range []string{"c", "a", "e"} {
			c.Monitors = append(c.Monitors, Monitor{ID: id, Type: probe.TCP, URL: "x.example.com:1"})
		}
	})
	d.does(t, "POST", "", `{"id":"b","type":"tcp","url":"x.example.com:1"}`, 201)
	var ids []string
	cursor := ""
	for {
		var page struct {
			Items      []struct{ ID, From string }
			NextCursor string `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(d.does(t, "GET", "?limit=2&cursor="+cursor, "", 200)), &page); err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Items {
			ids = append(ids, m.ID+" "+m.From)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
		d.SetMonitors(d.sources.file[:2]) // the page goes on though the last one is gone
	}
	if want := []string{"a file", "b api", "c file"}; !slices.Equal(ids, want) {
		t.Errorf("listed are %q", ids)
	}
}

// Every key of manus.yaml can be said by the API, but those that mustn't; and what is said is
// what is watched, and shown.
func TestTheAPIHasTheKeysOfTheFile(t *testing.T) {
	t.Parallel()
	keys := func(of reflect.Type, tag string) (all []string) {
		for field := range of.Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get(tag), ","); name != "" && !slices.Contains(fileOnly, name) {
				all = append(all, name)
			}
		}
		slices.Sort(all)
		return all
	}
	file, api := keys(reflect.TypeFor[Monitor](), "yaml"), keys(reflect.TypeFor[Definition](), "json")
	if !slices.Equal(file, api) {
		t.Errorf("the file has %q\nand the API %q", file, api)
	}
	redirects := 3
	m := Monitor{
		ID: "m", Name: "M", Type: probe.HTTP, URL: "https://example.com", Every: time.Hour + time.Minute, Timeout: 1500 * time.Millisecond, Expect: []string{"status == 200"},
		Confirm: &[]time.Duration{time.Second}, UpAfter: 3, Parent: "p", SLO: 0.5, Paused: true, Method: "POST", Headers: map[string]string{"A": "b"}, Body: "b",
		Auth: Auth{"basic", "u"}, Redirect: &redirects, Proxy: "http://proxy.example.com:1", IP: 4, Private: true, ServerName: "s", Record: "A", Resolver: "9.9.9.9", Cron: "0 3 * * *", Timezone: "Europe/Berlin", Grace: time.Minute, MaxRuntime: time.Hour,
		Locations: Locations{Quorum: 1, Places: []string{"here"}},
	}
	v := reflect.ValueOf(m)
	for i, field := range reflect.VisibleFields(v.Type()) {
		if name := field.Tag.Get("yaml"); v.Field(i).IsZero() && name != "" && !slices.Contains(fileOnly, name) {
			t.Errorf("give %s a value", field.Name)
		}
	}
	text, err := json.Marshal(m.definition())
	if err != nil {
		t.Fatal(err)
	}
	var d Definition
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if back, problems := d.monitor("m"); !reflect.DeepEqual(back, m) || problems != nil {
		t.Errorf("%+v\nbecomes %+v %q", m, back, problems)
	}
}

func TestCredentialsOfTheFileArentShown(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, func(c *Config) {
		c.Monitors = Policy{{ID: "m", Type: probe.HTTP, URL: "https://example.com", Proxy: "http://user:pa55@proxy.example.com:1", Headers: map[string]string{"AUTHORIZATION": "Bearer t0ken", "cookie": "c00kie", "X": "shown"}}}
	})
	if answer := d.does(t, "GET", "", "", 200, `"AUTHORIZATION":"(hidden)"`, `"X":"shown"`, "proxy.example.com:1"); strings.Contains(answer, "pa55") || strings.Contains(answer, "t0ken") || strings.Contains(answer, "c00kie") {
		t.Errorf("it shows %s", answer)
	}
}

// Whatever is said of a monitor is refused with a field, or is a monitor that is said again as
// it was.
func FuzzDefinition(f *testing.F) {
	for _, text := range []string{shop, `{"type":"tcp","url":"x.example.com:1","every":"1h1ns","confirm":["1s",""]}`, `{"headers":{"A":null},"auth":{},"redirects":-1,"slo":1e-300}`, `{"confirm":null,"every":"9223372036854775807ns"}`} {
		f.Add([]byte(text))
	}
	prober := probe.New(probe.Options{})
	f.Fuzz(func(t *testing.T, text []byte) {
		var d Definition
		if json.Unmarshal(text, &d) != nil {
			return
		}
		m, problems := d.monitor("m")
		for _, problem := range append(append(problems, m.problems(prober)...), m.apiProblems(false)...) {
			if field, why := fieldOf(problem); !strings.HasPrefix(field, "body") || why == "" {
				t.Errorf("%q is of %q", problem, field)
			}
			problems = append(problems, problem)
		}
		if len(problems) > 0 {
			return
		}
		m = m.usual()
		said, err := json.Marshal(m.definition())
		var again Definition
		if err != nil || json.Unmarshal(said, &again) != nil {
			t.Fatalf("%s %v", said, err)
		}
		back, wrong := again.monitor("m")
		before, _ := json.Marshal(m)
		if after, _ := json.Marshal(back.usual()); len(wrong) > 0 || string(before) != string(after) {
			t.Errorf("%s\nbecomes %s %q", before, after, wrong)
		}
	})
}
