package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"manus/readiness"
)

// counter answers as a server that counts does: those of the sender and those of each forged
// address in one, or apart.
type counter struct {
	left   int   // of the sender
	theirs int   // of each forged address; without a one all are counted together
	forget []int // how much is forgotten before each of the first requests

	mu   sync.Mutex
	used map[string]int // by whose it is taken for
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	whose, limit := "", c.left
	if claimed := r.Header.Get("X-Forwarded-For"); claimed != "" && c.theirs > 0 {
		whose, limit = claimed, c.theirs
	}
	if len(c.forget) > 0 {
		c.used[whose] -= c.forget[0]
		c.forget = c.forget[1:]
	}
	if c.used[whose] == limit {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	c.used[whose]++
	w.Header().Set("RateLimit", fmt.Sprintf(`"address-60";r=%d;t=60`, limit-c.used[whose]))
}

// Whether requests are counted together is seen whatever is forgotten of earlier ones meanwhile.
func TestForgedRequestsThatAreCountedApartAreSeen(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	for name, c := range map[string]struct {
		*counter
		want readiness.Status
	}{
		"together":                             {&counter{left: 100}, readiness.Pass},
		"together, earlier ones are forgotten": {&counter{left: 50, forget: []int{0, 2, 3, 0, 0}}, readiness.Pass},
		"together, and it is used up":          {&counter{}, readiness.Skipped},
		"together, and it is soon used up":     {&counter{left: 2}, readiness.Pass},
		"apart":                                {&counter{left: 100, theirs: 100}, readiness.Fail},
		"apart, a low limit":                   {&counter{left: 20, theirs: 20}, readiness.Fail},
		"apart, the sender's is used up":       {&counter{theirs: 100}, readiness.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			c.used = map[string]int{}
			server := httptest.NewServer(c.counter)
			defer server.Close()
			outside := a.newOutside()
			defer outside.close()
			if f := outside.measureForged(t.Context(), server.URL); f.Status != c.want {
				t.Errorf("%s: %s", f.Status, strings.TrimSpace(f.Evidence.En))
			}
		})
	}
}

// Reports that run at once see that each by itself.
func TestForgedRequestsThatAreCountedApartAreSeenByAll(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	server := httptest.NewServer(&counter{left: 1000, theirs: 1000, used: map[string]int{}})
	defer server.Close()
	var measuring sync.WaitGroup
	for range 8 {
		measuring.Go(func() {
			outside := a.newOutside()
			defer outside.close()
			if f := outside.measureForged(t.Context(), server.URL); f.Status != readiness.Fail {
				t.Errorf("%s: %s", f.Status, f.Evidence.En)
			}
		})
	}
	measuring.Wait()
}

// What says nothing of a limit is told as what it is.
func TestAnswersWithoutALimitAreNoneOfIt(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	for status, want := range map[int]string{http.StatusOK: "limits.allow", http.StatusServiceUnavailable: "503"} {
		outside := a.newOutside()
		f := outside.measureForged(t.Context(), newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }).URL)
		outside.close()
		if f.Status != readiness.Skipped || !strings.Contains(f.Evidence.En, want) {
			t.Errorf("%d: %s: %s", status, f.Status, f.Evidence.En)
		}
	}
}
