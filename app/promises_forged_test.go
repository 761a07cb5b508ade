package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"manus/readiness"
)

// counter answers as a server that counts does: those of the sender and those of the forged
// address in one, or apart.
type counter struct {
	left   map[string]int // by whose it is taken for
	apart  bool
	forget []int // how much is forgotten before each of the first requests
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	whose := ""
	if c.apart {
		whose = r.Header.Get("X-Forwarded-For")
	}
	if len(c.forget) > 0 {
		c.left[whose] += c.forget[0]
		c.forget = c.forget[1:]
	}
	if c.left[whose] == 0 {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	c.left[whose]--
	w.Header().Set("RateLimit", fmt.Sprintf(`"address-60";r=%d;t=60`, c.left[whose]))
}

// Whether requests are counted together is seen whatever is forgotten of earlier ones meanwhile.
func TestForgedRequestsThatAreCountedApartAreSeen(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	const theirs = "203.0.113.77"
	for name, c := range map[string]struct {
		counter
		want readiness.Status
	}{
		"together":                             {counter{left: map[string]int{"": 100}}, readiness.Pass},
		"together, earlier ones are forgotten": {counter{left: map[string]int{"": 50}, forget: []int{0, 2, 3, 0, 0}}, readiness.Pass},
		"together, and it is used up":          {counter{left: map[string]int{}}, readiness.Skipped},
		"together, and it is soon used up":     {counter{left: map[string]int{"": 2}}, readiness.Pass},
		"apart":                                {counter{left: map[string]int{"": 100, theirs: 100}, apart: true}, readiness.Fail},
		"apart, a low limit":                   {counter{left: map[string]int{"": 20, theirs: 20}, apart: true}, readiness.Fail},
		"apart, the sender's is used up":       {counter{left: map[string]int{theirs: 100}, apart: true}, readiness.Fail},
		"apart, theirs is used up":             {counter{left: map[string]int{"": 100}, apart: true}, readiness.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(&c.counter)
			defer server.Close()
			outside := a.newOutside()
			defer outside.close()
			if f := outside.measureForged(t.Context(), server.URL); f.Status != c.want {
				t.Errorf("%s: %s", f.Status, strings.TrimSpace(f.Evidence.En))
			}
		})
	}
}
