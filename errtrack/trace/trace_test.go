package trace

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"manus/internal/sentrytest"
)

func TestTransactions(t *testing.T) {
	t.Parallel()
	const times = `"start_timestamp":1795732619.5,"timestamp":1795732620.75`
	whole := func(rest string) string { return "{" + times + "," + rest + "}" }
	for payload, want := range map[string]Trace{
		whole(`"transaction":"GET /orders/:id","transaction_info":{"source":"route"},"contexts":{"trace":{"op":"http.server","status":"ok"}}`): {Route: "GET /orders/:id", Op: "http.server"},
		whole(`"transaction":"GET /orders/17?token=s3cret#x","transaction_info":{"source":"url"}`):                                             {Route: "GET /orders/*", Op: "default"},
		whole(`"contexts":{"trace":{"status":"internal_error"}}`):                                                                              {Route: noName, Op: "default", Failed: true},
		whole(`"contexts":{"trace":{"status":"cancelled"}}`):                                                                                   {Route: noName, Op: "default"},
		whole(`"contexts":{"trace":{"status":"unknown","data":{"sentry.op":"task"}}}`):                                                         {Route: noName, Op: "task"},
		whole(`"contexts":{"trace":{"data":{"http.response.status_code":503}}}`):                                                               {Route: noName, Op: "default", Failed: true},
		whole(`"contexts":{"trace":{"status":null},"response":{"status_code":"500"}}`):                                                         {Route: noName, Op: "default", Failed: true},
		whole(`"contexts":{"response":{"status_code":404}},"tags":{"http.status_code":"502"}`):                                                 {Route: noName, Op: "default"},
		whole(`"tags":{"http.status_code":"502"}`):                                                                                             {Route: noName, Op: "default", Failed: true},
		whole(`"tags":[["http.status_code","502"]],"contexts":[],"transaction":["x"],"transaction_info":7`):                                    {Route: noName, Op: "default"},
		whole(`"transaction":"a\nb","transaction_info":{"source":"task"},"contexts":{"trace":{"op":"` + strings.Repeat("o", 1000) + `"}}`):     {Route: "a b", Op: strings.Repeat("o", MaxOp)},
	} {
		want.Duration = 1250 * time.Millisecond
		if got, err := Transaction([]byte(payload)); err != nil || got != want {
			t.Errorf("%s\n got %+v %v\nwant %+v", payload, got, err, want)
		}
	}
	for times, want := range map[string]time.Duration{
		`"start_timestamp":"2026-11-26T22:37:09.635559965Z","timestamp":"2026-11-26T22:37:09.635566454Z"`: 6489,
		`"start_timestamp":"1795732619.8857083","timestamp":1795732619.8869798`:                           1272 * time.Microsecond,
		`"start_timestamp":5,"timestamp":5`:                                                               0,
		`"start_timestamp":1,"timestamp":99999999999`:                                                     MaxDuration,
		`"start_timestamp":"0001-01-01T00:00:01Z","timestamp":"9999-12-31T00:00:00Z"`:                     MaxDuration,
	} {
		if got, err := Transaction([]byte("{" + times + "}")); err != nil || got.Duration != want {
			t.Errorf("%s: %s %v, want %s", times, got.Duration, err, want)
		}
	}
	for _, payload := range []string{
		``, `null`, `[]`, `7`, `"x"`, `{`, `{}`, `{"timestamp":5}`, `{"start_timestamp":5}`, `{"start_timestamp":6,"timestamp":5}`,
		`{"start_timestamp":"NaN","timestamp":"NaN"}`, `{"start_timestamp":-5,"timestamp":5}`, `{"start_timestamp":1e300,"timestamp":1e301}`,
		`{"start_timestamp":{},"timestamp":[]}`, strings.Repeat(`{"contexts":`, 100_000),
	} {
		if got, err := Transaction([]byte(payload)); err == nil {
			t.Errorf("%.50s is %+v", payload, got)
		}
	}
}

// TestRootsOfContainers: of the spans in a container those are counted that nothing of the same
// program is around.
func TestRootsOfContainers(t *testing.T) {
	t.Parallel()
	const times = `"start_timestamp":10,"end_timestamp":10.5`
	container := func(items ...string) string {
		return `{"version":2,"ingest_settings":{"a":[[{}]]},"items":[` + strings.Join(items, ",") + `],"more":1}`
	}
	many := make([]string, MaxSpans+5)
	for i := range many {
		many[i] = `{"is_segment":true,` + times + `}`
	}
	for payload, want := range map[string]string{
		container(): "[] 0 <nil>",
		container(
			`{"name":"child","is_segment":false,`+times+`}`, `{"name":"child","parent_span_id":"ab",`+times+`}`,
			`{"name":"GET /a","is_segment":true,"parent_span_id":"ab","status":"error",`+times+`}`,
			`{"name":"/b/12","attributes":{"sentry.op":{"value":"pageload","type":"string"},"sentry.segment.name.source":{"value":"url"}},`+times+`}`,
			`{"name":"c","status":"ok","attributes":{"http.response.status_code":{"value":500,"type":"integer"}},`+times+`}`,
			`{"name":"no end","start_timestamp":10}`, `17`, `null`, `{"name":[],"attributes":[],`+times+`}`,
		): "[{GET /a default 500ms true} {/b/* pageload 500ms false} {c default 500ms true} {<unlabeled transaction> default 500ms false}] 3 <nil>",
		`{"items":[{"name":"whole",` + times + `},{"name":"cu`: "[{whole default 500ms false}] 0 that is no trace: unexpected EOF",
		`{"items":[`:        "[] 0 that is no trace: EOF",
		`{"items":{}}`:      "[] 0 that is no trace: it has no items",
		`{"version":2}`:     "[] 0 that is no trace: it has no items",
		`[]`:                "[] 0 that is no trace: it is no object",
		``:                  "[] 0 that is no trace: it is no object",
		`{"version":2,"a":`: "[] 0 that is no trace: EOF",
	} {
		all, malformed, err := Segments([]byte(payload))
		if got := fmt.Sprint(all, malformed, err); got != want {
			t.Errorf("%s\n got %s\nwant %s", payload, got, want)
		}
	}
	if all, malformed, err := Segments([]byte(container(many...))); len(all) != MaxSpans || malformed != 1 || err != nil {
		t.Errorf("%d of many, %d malformed: %v", len(all), malformed, err)
	}
	deep := container(`{"name":"deep",` + times + `,"attributes":{"x":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + `}}`)
	if all, _, err := Segments([]byte(deep)); err == nil {
		t.Errorf("%v of what is too deep", all)
	}
}

// TestRoutesWithoutParameters: names of raw URLs are those of routes.
func TestRoutesWithoutParameters(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"GET /users/123":            "GET /users/*",
		"/users/123/posts/4":        "/users/*/posts/*",
		"/":                         "/",
		"/users/:id/{name}/<int:x>": "/users/:id/{name}/<int:x>",
		"/api/v2/oauth2/s3":         "/api/v2/oauth2/s3",
		"/r/2026-11-26/x":           "/r/*/x",
		"/o/7f3d2a10-0f3c-4a40-8f7e-0d1d5c2b9a11":    "/o/*",
		"/o/ord_1a2b3c4d5e6f7a8b":                    "/o/*",
		"/o/deadbeefdeadbeef":                        "/o/*",
		"/invite/user@example.com":                   "/invite/*",
		"/s/a%20b/?q=1":                              "/s/*/",
		"/user-12345/x#y/z":                          "/*/x",
		"/blog/how-to-deploy-your-app-in-production": "/blog/*",
		"https://u:p@127.0.0.1:80/a/1?x":             "https://*/a/*",
		"https://api.example.com/a/1":                "https://api.example.com/a/*",
		"send mail 17":                               "send mail 17",
		"":                                           noName,
	} {
		if got := route(name, "url"); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
		if got := route(name, "route"); name != "" && got != name {
			t.Errorf("the route %q is %q", name, got)
		}
	}
	if got := route(strings.Repeat("é/", 1<<20), "url"); len([]rune(got)) > MaxRoute {
		t.Errorf("%d characters", len([]rune(got)))
	}
}

// FuzzTraces: what is read is within bounds, whatever is sent.
func FuzzTraces(f *testing.F) {
	for _, scenario := range []string{"transaction", "spans"} {
		for file, request := range sentrytest.Captured(f, "../event/testdata/captures/*-"+scenario+".*.http") {
			items, err := request.Items()
			if err != nil {
				f.Fatalf("%s: %v", file, err)
			}
			for _, item := range items {
				f.Add(item.Payload)
			}
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		all, _, _ := Segments(payload)
		if one, err := Transaction(payload); err == nil {
			all = append(all, one)
		}
		for _, one := range all {
			if one.Duration < 0 || one.Duration > MaxDuration || len([]rune(one.Route)) > MaxRoute || len([]rune(one.Op)) > MaxOp || one.Route == "" || one.Op == "" {
				t.Errorf("%+v", one)
			}
		}
	})
}
