package report

import (
	"context"
	"net/http/httptest"
	"testing"
)

// takesAll is an inbox that nothing comes to.
type takesAll struct{}

func (takesAll) TakeOwn(context.Context, []byte) error      { return nil }
func (takesAll) TakeOwnTrace(context.Context, []byte) error { return nil }

// TestStrangersDontDecideWhatIsTraced: whatever a request says of its trace, so many are
// traced as the rate says; one that isn't kept where it began is never.
func TestStrangersDontDecideWhatIsTraced(t *testing.T) {
	t.Parallel()
	r, err := New(Config{Inbox: takesAll{}, TracesSampleRate: 0.2})
	if err != nil {
		t.Fatal(err)
	}
	const ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
	for _, c := range []struct {
		header, value string
		none          bool
	}{{"Sentry-Trace", ids + "-1", false}, {"Sentry-Trace", ids, false}, {"Sentry-Trace", ids + "-0", true}, {"Traceparent", "00-" + ids + "-01", false}, {"", "", false}} {
		const n = 2000
		traced := 0
		for range n {
			request := httptest.NewRequest("GET", "/", nil)
			request.Header.Set(c.header, c.value)
			if ctx, end := r.Begin(request); end != nil {
				traced++
				if c.header != "" && traceOf(request.WithContext(ctx))["trace_id"] != ids[:32] {
					t.Fatalf("%s %s doesn't go on", c.header, c.value)
				}
			}
		}
		if c.none && traced > 0 || !c.none && (traced < n/10 || traced > 3*n/10) {
			t.Errorf("%s %s: %d of %d are traced", c.header, c.value, traced, n)
		}
	}
	for path, traced := range map[string]bool{"/api/1/envelope/": false, "/api/1/store": false, "/api/v1/store/envelopes": true, "/": true} {
		r.rate = 1
		if _, end := r.Begin(httptest.NewRequest("POST", path, nil)); (end != nil) != traced {
			t.Errorf("%s: traced is %v", path, !traced)
		}
	}
}
