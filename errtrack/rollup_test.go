package errtrack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"manus/docstore"
	"manus/errtrack/trace"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/referencetest"
	"manus/internal/sentrytest"
	"manus/internal/storetest"
	"manus/internal/words"
)

// serve is the inbox behind its door, asked by an operator.
func (r *rig) serve(t testing.TB) *httptest.Server {
	t.Helper()
	api := httpapi.New(httpapi.Config{Log: referencetest.Log(t), Version: "test", Caller: func(*http.Request) (identity.Caller, error) {
		return identity.Caller{UserID: "op", Role: identity.Operator}, nil
	}})
	r.Routes(api)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return server
}

// ask is what the API answers, which has to be with 200.
func ask[T any](t testing.TB, server *httptest.Server, path string) (answer T) {
	t.Helper()
	response, err := server.Client().Get(server.URL + httpapi.Prefix + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		t.Fatalf("%s: %d %v %s", path, response.StatusCode, err, body)
	}
	return answer
}

// send sends a request as a program has sent it.
func send(t testing.TB, server *httptest.Server, request sentrytest.Request) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), request.Method, server.URL+request.Path+"?"+request.Query, bytes.NewReader(request.Body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = request.Header
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// captured makes the project that captures are for, and returns those of some scenarios.
func (r *rig) captured(t testing.TB, scenarios ...string) (all []sentrytest.Request) {
	t.Helper()
	p := Project{ID: "42", Number: 42, Name: "Captured", Keys: []Key{{Public: "0123456789abcdef0123456789abcdef"}}}
	if err := r.projects.Insert(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for _, scenario := range scenarios {
		for _, request := range sentrytest.Captured(t, "event/testdata/captures/*-"+scenario+".*.http") {
			all = append(all, request)
		}
	}
	return all
}

// TestRealTracesAreRolledUp: what four SDKs have sent, in both shapes, by the real door, is what
// the API tells.
func TestRealTracesAreRolledUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	r.start(t) // there are sessions beside the traces
	server := r.serve(t)
	want := map[string][]float64{}
	for _, request := range r.captured(t, "transaction", "spans") {
		if status := send(t, server, request); status != http.StatusOK {
			t.Errorf("%s: %d", request.Header.Get("User-Agent"), status)
		}
		items, err := request.Items()
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			addExpected(t, want, item)
		}
	}
	if len(want["GET /orders/:id http.server"]) < 3 || len(want["/orders/:id pageload"]) < 2 {
		t.Fatalf("the captures have %v", want)
	}
	got := ask[httpapi.List[routeBody]](t, server, "/ops/traces/routes?project=42&since=1h")
	for _, route := range got.Items {
		name := route.Route + " " + route.Op
		times := want[name]
		delete(want, name)
		if route.Count != int64(len(times)) || route.Errors != 0 || route.ProjectID != "42" {
			t.Errorf("got %+v of %v", route, times)
			continue
		}
		near(t, name, route, times)
		if perMinute := float64(route.Count) / 60; math.Abs(route.PerMinute-perMinute) > 1e-9 { // it is noon
			t.Errorf("%s: %v a minute, want %v", name, route.PerMinute, perMinute)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v in %+v", want, got)
	}
	if all := ask[httpapi.List[routeBody]](t, server, "/ops/traces/routes?project=Shop"); len(all.Items) != 0 {
		t.Errorf("another project has %+v", all)
	}
	var paged []routeBody
	for cursor := "0"; cursor != ""; {
		page := ask[httpapi.List[routeBody]](t, server, "/ops/traces/routes?since=1h&limit=1&cursor="+cursor)
		paged, cursor = append(paged, page.Items...), page.NextCursor
	}
	if !slices.Equal(paged, got.Items) {
		t.Errorf("page by page %+v, want %+v", paged, got.Items)
	}
}

// addExpected notes the milliseconds of an item's trace, read in another way than it is read there.
func addExpected(t testing.TB, want map[string][]float64, item sentrytest.Item) {
	t.Helper()
	var payload map[string]any
	if err := json.Unmarshal(item.Payload, &payload); err != nil {
		t.Fatal(err)
	}
	at := func(v any) time.Time {
		if text, ok := v.(string); ok {
			at, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		return time.UnixMicro(int64(v.(float64) * 1e6))
	}
	add := func(name, op, start, end any) {
		key := fmt.Sprint(name, " ", op)
		want[key] = append(want[key], float64(at(end).Sub(at(start)))/1e6)
	}
	switch item.Type {
	case "transaction":
		add(payload["transaction"], payload["contexts"].(map[string]any)["trace"].(map[string]any)["op"], payload["start_timestamp"], payload["timestamp"])
	case "span":
		for _, one := range payload["items"].([]any) {
			if s := one.(map[string]any); s["is_segment"] == true {
				add(s["name"], s["attributes"].(map[string]any)["sentry.op"].(map[string]any)["value"], s["start_timestamp"], s["end_timestamp"])
			}
		}
	}
}

// near compares a route's quantiles with those of all its times: two percent is what is
// promised, and a microsecond is how exact programs are.
func near(t testing.TB, name string, route routeBody, times []float64) {
	t.Helper()
	slices.Sort(times)
	for q, got := range map[float64]float64{0.5: route.P50, 0.95: route.P95, 0.99: route.P99} {
		want := times[int(math.Ceil(q*float64(len(times))))-1]
		if math.Abs(got-want) > 0.02*want+0.0011 {
			t.Errorf("%s: p%v is %v, want %v of %s", name, 100*q, got, want, words.Count(len(times), "trace"))
		}
	}
}

// TestQuantilesOfCopiesAndHours: two copies count at once, hour after hour; what both and all
// hours have had is put together, to two percent.
func TestQuantilesOfCopiesAndHours(t *testing.T) {
	t.Parallel()
	store := storetest.New(t, Specs()...)
	r := newRig(t, store)
	other, err := New(Config{Store: store, Policy: DefaultPolicy(), Now: r.clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	const each = 5000
	shapes := map[string]func(*rand.Rand) float64{ // in milliseconds
		"even":   func(r *rand.Rand) float64 { return 1 + 500*r.Float64() },
		"skewed": func(r *rand.Rand) float64 { return math.Exp(4 + 1.5*r.NormFloat64()) },
		"modes":  func(r *rand.Rand) float64 { return []float64{2, 40, 9000}[r.IntN(3)] * (1 + r.Float64()/10) },
		"tiny":   func(r *rand.Rand) float64 { return 0.002 + r.Float64()/10 },
	}
	var mu sync.Mutex
	exact := map[string][]float64{}
	for hour := range 3 {
		var all sync.WaitGroup
		for n, copied := range []*Service{r.Service, other} {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(hour), uint64(n)))
				for i := range each {
					for name, shape := range shapes {
						took := time.Duration(shape(random) * float64(time.Millisecond))
						copied.addTrace(r.p.ID, trace.Trace{Route: name, Op: "test", Duration: took, Failed: i%10 == 0})
						mu.Lock()
						exact[name] = append(exact[name], float64(took)/1e6)
						mu.Unlock()
					}
					if i%1000 == 0 {
						if err := copied.writeRollups(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
				if err := copied.writeRollups(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		r.clock.Add(time.Hour)
	}
	routes := r.routesSince(t, 3*time.Hour)
	if len(routes) != len(shapes) {
		t.Fatalf("got %+v", routes)
	}
	for _, route := range routes {
		if route.Count != 6*each || route.Errors != 6*each/10 {
			t.Errorf("got %+v", route)
		}
		near(t, route.Route, newRouteBody(route), exact[route.Route])
	}
	if whole := r.routesSince(t, 29*24*time.Hour); len(whole) != len(shapes) || whole[0].Count != 6*each {
		t.Errorf("the month has %+v", whole)
	}
	if last := r.routesSince(t, time.Hour); len(last) != len(shapes) || last[0].Count != 2*each {
		t.Errorf("the last hour has %+v", last)
	}
}

func (r *rig) routesSince(t testing.TB, ago time.Duration) []TracedRoute {
	t.Helper()
	found, next, err := r.TracedRoutes(t.Context(), RouteSearch{Project: r.p.ID, Since: r.clock.Now().Add(-ago), Limit: 1000})
	if err != nil || next != "" {
		t.Fatal(err, next)
	}
	return found
}

func (r *rig) trace(route string) {
	r.addTrace(r.p.ID, trace.Trace{Route: route, Op: "test", Duration: 10 * time.Millisecond})
}

// TestRoutesAreBounded: what is more than a project may have within an hour is counted as
// lost, and other projects and the next hour have their own room.
func TestRoutesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	other, err := r.NewProject(t.Context(), "Other", "")
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxRoutes + 100 {
		r.trace(fmt.Sprint("r", n))
		if n%200 == 0 {
			if err := r.writeRollups(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.trace("r0")
	r.addTrace(other.ID, trace.Trace{Route: "own", Op: "test"})
	if got := r.routesSince(t, 0); len(got) != maxRoutes || got[0].Route != "r0" || got[0].Count != 2 {
		t.Errorf("there are %s, the first is %+v", words.Count(len(got), "route"), got[0])
	}
	if all, _, err := r.TracedRoutes(t.Context(), RouteSearch{Project: "Other"}); err != nil || len(all) != 1 || all[0].P99 != 0 {
		t.Errorf("the other has %+v: %v", all, err)
	}
	r.noteLosses(t.Context())
	totals, err := r.totalsOf(t.Context(), r.p.ID)
	if err != nil || len(totals.Losses) != 1 || totals.Losses[0].Reason != lostRoute || totals.Losses[0].Days[0].N != 100 {
		t.Errorf("lost %+v: %v", totals.Losses, err)
	}
	r.clock.Add(time.Hour)
	r.trace("r599")
	if got := r.routesSince(t, 0); len(got) != 1 {
		t.Errorf("the next hour has %+v", got)
	}
}

// TestRoutesWhereClocksStep: an hour that a wrong clock wrote isn't told, and goes; so does what
// is old.
func TestRoutesWhereClocksStep(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	start := r.clock.Now()
	step := func(to time.Duration, route string) {
		r.clock.Set(start.Add(to))
		r.trace(route)
		if err := r.writeRollups(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	step(0, "now")
	step(10*365*24*time.Hour, "far ahead")
	step(2*time.Hour, "ahead")
	step(-time.Hour, "before")
	step(-40*24*time.Hour, "far before")
	step(0, "now")
	r.clock.Set(time.Unix(-5, 0))
	r.trace("before all")
	r.clock.Set(start)
	names := func() string {
		var all []string
		for _, route := range r.routesSince(t, 60*24*time.Hour) {
			all = append(all, fmt.Sprint(route.Route, " ", route.Count))
		}
		return strings.Join(all, ", ")
	}
	if got := names(); got != "now 2, before 1, far before 1" {
		t.Errorf("told are %s", got)
	}
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "now 2, before 1" {
		t.Errorf("after sweeping, told are %s", got)
	}
	if n := r.hours(t); n != 3+3 {
		t.Errorf("%d hours and days are kept", n)
	}
	r.clock.Add(2 * time.Hour)
	if got := names(); got != "now 2, ahead 1, before 1" {
		t.Errorf("two hours later, told are %s", got)
	}
}

// hours is how many hours and days there are of all projects and routes.
func (r *rig) hours(t testing.TB) (n int) {
	t.Helper()
	for _, err := range r.routes.All(t.Context(), docstore.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// TestRoutesOfADeletedProject: they go with it, those too that were under way.
func TestRoutesOfADeletedProject(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	for n := range 11 { // so that there is a project 1 and a project 11
		p, err := r.NewProject(t.Context(), fmt.Sprint("P", n), "")
		if err != nil {
			t.Fatal(err)
		}
		r.addTrace(p.ID, trace.Trace{Route: "kept", Op: "test"})
	}
	r.trace("written")
	if err := r.writeRollups(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.trace("under way")
	if err := r.DeleteProject(t.Context(), r.p.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.writeRollups(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.TracedRoutes(t.Context(), RouteSearch{Project: r.p.ID}); err == nil {
		t.Error("its routes are listed")
	}
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.hours(t); n != 11*2 {
		t.Errorf("%d hours and days are kept, want those of 11 projects", n)
	}
}

// TestRoutesWaitForTheStore: what can't be written is counted once, when the store is back.
func TestRoutesWaitForTheStore(t *testing.T) {
	t.Parallel()
	store := storetest.NewUnsteady(t, Specs()...)
	r := newRig(t, store)
	r.trace("a")
	store.SetGone(true)
	for range 3 {
		if err := r.writeRollups(t.Context()); err == nil {
			t.Error("it was written without a store")
		}
		r.trace("a")
	}
	store.SetGone(false)
	if got := r.routesSince(t, 0); len(got) != 1 || got[0].Count != 4 {
		t.Errorf("got %+v", got)
	}
}

// TestRoutesAreWrittenAtTheEnd, and every few seconds until then.
func TestRoutesAreWrittenAtTheEnd(t *testing.T) {
	t.Parallel()
	store := storetest.NewUnsteady(t, Specs()...)
	r := newRig(t, store)
	stop := r.start(t)
	r.trace("a")
	stop()
	if n := r.hours(t); n != 2 {
		t.Errorf("%d hours are written", n)
	}
	store.SetGone(true)
	synctest.Test(t, func(t *testing.T) {
		r.trace("b")
		go r.rollUp(t.Context())
		time.Sleep(rollUpEvery + 1)
		synctest.Wait()
		if got := strings.Count(r.log.String(), "can't be written"); got != 1 {
			t.Errorf("it was tried %d times: %s", got, r.log.String())
		}
	})
}

// TestHostileTraces: what is none is told as lost, and what is beside it is counted.
func TestHostileTraces(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	server := r.serve(t)
	r.captured(t, "spans")
	span := `{"name":"/a/1","is_segment":true,"start_timestamp":1,"end_timestamp":99999999999}`
	envelope := strings.Join([]string{
		`{}`,
		`{"type":"transaction"}`, `{"transaction":"x","start_timestamp":NaN,"timestamp":-NaN}`,
		`{"type":"span","content_type":"application/vnd.sentry.items.span.v2+json"}`, `{"items":[` + span + strings.Repeat(","+span, 10_000) + `]}`,
		`{"type":"span","content_type":"application/vnd.sentry.items.span.v2+json"}`, `{"items":[` + span + `,{"start_timestamp":5,"end_timestamp":1},` + strings.Repeat("[", 50_000),
		`{"type":"span"}`, span,
		`{"type":"transaction"}`, `{"transaction":"too many"}`,
	}, "\n")
	header := http.Header{"X-Sentry-Auth": {"Sentry sentry_key=0123456789abcdef0123456789abcdef"}}
	if status := send(t, server, sentrytest.Request{Method: http.MethodPost, Path: "/api/42/envelope/", Header: header, Body: []byte(envelope)}); status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
	got := ask[httpapi.List[routeBody]](t, server, "/ops/traces/routes?project=42&sort=p95")
	if len(got.Items) != 1 || got.Items[0].Route != "/a/*" || got.Items[0].Count != trace.MaxSpans+1 || math.Abs(got.Items[0].P99/8.64e7-1) > 0.01 {
		t.Errorf("got %+v", got)
	}
	r.addTrace("42", trace.Trace{Route: "/pay?card=4111111111111111 token=hunter2-correct-horse", Op: "sk_live_" + strings.Repeat("4eC39", 5)})
	if err := r.writeRollups(t.Context()); err != nil {
		t.Fatal(err)
	}
	for h, err := range r.routes.All(t.Context(), docstore.Query{}) {
		if err != nil || strings.Contains(h.Route+h.Op, "4111") || strings.Contains(h.Route+h.Op, "hunter2") || strings.Contains(h.Route+h.Op, "4eC39") {
			t.Errorf("kept is %q %q: %v", h.Route, h.Op, err)
		}
	}
	r.noteLosses(t.Context())
	project := ask[projectBody](t, server, "/ops/projects/42")
	lost := map[string]int64{}
	for _, l := range project.Losses {
		lost[l.Reason] = l.Count
	}
	if fmt.Sprint(lost) != fmt.Sprint(map[string]int64{lostTraceToForm: 5}) {
		t.Errorf("lost %v", lost)
	}
	for since, want := range map[string]int{"": 200, "30m": 200, "7d": 200, "2026-11-23T11:00:00Z": 200, "2099-01-01T00:00:00Z": 200, "yesterday": 422, "-1h": 422, "99999999d": 422} {
		response, err := server.Client().Get(server.URL + httpapi.Prefix + "/ops/traces/routes?since=" + since)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("since %q: %d, want %d", since, response.StatusCode, want)
		}
	}
}

// TestPeriodsHaveEachHourOnce: whenever it is asked, and since whenever.
func TestPeriodsHaveEachHourOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	const hours = 80
	for range hours {
		r.trace("a")
		r.clock.Add(time.Hour)
	}
	for late := range storetest.Size(30, 3) {
		for ago := range 3*24 + 5 {
			want := int64(max(0, ago-late))
			var got int64
			for _, route := range r.routesSince(t, time.Duration(ago)*time.Hour) {
				got += route.Count
			}
			if got != want {
				t.Errorf("%d hours later, %d of the last %d hours are told", late, got, ago)
			}
		}
		r.clock.Add(time.Hour)
	}
}

func BenchmarkRoutesOfAMonth(b *testing.B) {
	r := newRig(b, storetest.New(b, Specs()...))
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 * 24 {
		for n := range 50 {
			for range 30 {
				r.addTrace(r.p.ID, trace.Trace{Route: fmt.Sprint("GET /route/", n), Op: "http.server", Duration: time.Duration(math.Exp(17 + random.NormFloat64()))})
			}
		}
		if err := r.writeRollups(b.Context()); err != nil {
			b.Fatal(err)
		}
		r.clock.Add(time.Hour)
	}
	for _, days := range []int{1, 7, 30} {
		b.Run(fmt.Sprint(days, "days"), func(b *testing.B) {
			for b.Loop() {
				if got := r.routesSince(b, time.Duration(days)*24*time.Hour); len(got) != 50 {
					b.Fatal(len(got))
				}
			}
		})
	}
}

func BenchmarkAddTrace(b *testing.B) {
	r := newRig(b, storetest.New(b, Specs()...))
	for n := 0; b.Loop(); n++ {
		r.addTrace(r.p.ID, trace.Trace{Route: "GET /orders/:id", Op: "http.server", Duration: time.Duration(n%1e6) * time.Microsecond})
	}
}
