package httpapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"manus/ratelimit"
	"manus/ratelimit/memorylimit"
)

// webhookSecret is what the events of a webhook are signed with, as Stripe does.
const webhookSecret = "whsec_test"

func signed(secret, body string) string {
	at := fmt.Sprint(time.Now().Unix())
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, at+"."+body)
	return "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// webhook takes events whose signature holds; of others it says that they are wrong.
func webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		WriteError(w, r, nil, err)
		return
	}
	at, sum, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Stripe-Signature"), "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	io.WriteString(mac, at+"."+string(body))
	if !hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(sum)) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if err := Prove(r.Context(), Proof{}); err != nil {
		WriteError(w, r, nil, err)
	}
}

// project is a route that takes what has a project's key, as much as the project may send;
// one of them has a quota of its own. A refusal is answered in its own way.
func project(w http.ResponseWriter, r *http.Request) {
	id, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Key of ")
	if !ok {
		return // which is 200, as some protocols answer whatever comes
	}
	proof := Proof{Subject: id}
	if id == "small" {
		proof.Limit = ratelimit.NewRule("2/minute").Limit
	}
	err := Prove(r.Context(), proof)
	var wait interface{ RetryAfter() time.Duration }
	if errors.Is(err, ErrTooMany) && errors.As(err, &wait) {
		w.Header().Set("X-Wait", fmt.Sprint(wait.RetryAfter() > 50*time.Second))
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if err != nil {
		WriteError(w, r, nil, err)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// proving is a door with routes whose callers prove themselves to the handler, under rules
// as they have them or as they are changed.
func proving(t *testing.T, change func(*ratelimit.Config)) *API {
	t.Helper()
	api := newAPI(slog.New(slog.DiscardHandler))
	byAddress := ratelimit.NewRule("100/minute", ratelimit.ByAddress)
	api.Handle(Route{Access: Public, Proves: true, Pattern: "POST /hook", Limits: []ratelimit.Rule{byAddress}}, http.HandlerFunc(webhook))
	api.Handle(Route{Access: Public, Proves: true, Pattern: "POST /project", Limits: []ratelimit.Rule{byAddress, ratelimit.NewRule("5/minute", ratelimit.ByProof)}}, http.HandlerFunc(project))
	api.Handle(Route{Access: Public, Proves: true, Pattern: "POST /ping", Limits: []ratelimit.Rule{ratelimit.NewRule("5/minute", ratelimit.ByProof)}}, http.HandlerFunc(project))
	api.Handle(Route{Access: Public, Pattern: "POST /mistake"}, http.HandlerFunc(webhook))
	routes := api.Limits()
	config := ratelimit.DefaultConfig(routes)
	if change != nil {
		change(&config)
	}
	if problems := config.Problems(routes, nil); len(problems) > 0 {
		t.Fatal(problems)
	}
	api.Limit(ratelimit.New(ratelimit.ServiceConfig{Config: config, Routes: routes, Engine: memorylimit.New(memorylimit.Config{}), Log: api.Log}))
	return api
}

// send sends a body with a header, from the address that all here share.
func send(api *API, path, header, value, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.RemoteAddr = "203.0.113.1:1"
	r.Header.Set(header, value)
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

// TestARenewalMorningIsTaken sends five thousand events within a minute while somebody at
// the same address tries signatures: the events are all taken, and of the others a hundred
// are answered. That is so under the default rule, too, if a list of rules has left out the
// route's own.
func TestARenewalMorningIsTaken(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ratelimit.Config){
		"by its own rule":     nil,
		"by the default rule": func(c *ratelimit.Config) { c.Rules, c.Default.Limit = nil, ratelimit.NewRule("100/minute").Limit },
		"by a rule of failures": func(c *ratelimit.Config) {
			c.Rules = []ratelimit.Rule{ratelimit.NewRule("100/minute", ratelimit.ByAddress)}
			c.Rules[0].Route, c.Rules[0].Count = "POST /hook", ratelimit.CountFailures
		},
	} {
		api := proving(t, change)
		statuses := map[int]int{}
		for n := range 5000 {
			body := fmt.Sprintf(`{"id":"evt_%d","type":"invoice.paid"}`, n)
			if w := send(api, "/hook", "Stripe-Signature", signed(webhookSecret, body), body); w.Code != 200 {
				t.Fatalf("%s: event %d: %d", name, n, w.Code)
			}
			if n%20 == 0 {
				w := send(api, "/hook", "Stripe-Signature", signed("whsec_other", body), body)
				if statuses[w.Code]++; w.Code == 429 && (w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"violated-policies":["address-60"]`)) {
					t.Errorf("%s: %v %s", name, w.Header(), w.Body)
				}
			}
		}
		if statuses[400] != 100 || statuses[429] != 150 || len(statuses) != 2 {
			t.Errorf("%s: what was signed wrongly is answered %v", name, statuses)
		}
	}
}

// TestWhatNeverReachesTheCheckIsCountedByAddress: a body that is too large, or none.
func TestWhatNeverReachesTheCheckIsCountedByAddress(t *testing.T) {
	t.Parallel()
	api := proving(t, nil)
	for n := range 101 {
		body := map[bool]string{true: strings.Repeat("x", MaxBody+1)}[n%2 == 0]
		want := map[bool]int{true: 413, false: 400}[n%2 == 0]
		if n == 100 {
			want = 429
		}
		if w := send(api, "/hook", "Stripe-Signature", "", body); w.Code != want {
			t.Errorf("request %d: %d, want %d", n+1, w.Code, want)
		}
	}
}

// TestWhoProvesIsCountedByTheProof has projects that send through one address, with the
// route's quota and with one of their own, and somebody without a key.
func TestWhoProvesIsCountedByTheProof(t *testing.T) {
	t.Parallel()
	api := proving(t, nil)
	for subject, quota := range map[string]int{"a": 5, "b": 5, "small": 2} {
		for n := range 8 {
			w, want := send(api, "/project", "Authorization", "Key of "+subject, ""), 201
			if n >= quota {
				want = 429
			}
			policy := fmt.Sprintf(`"proof-60";q=%d;w=60`, quota)
			if w.Code != want || w.Header().Get("Ratelimit-Policy") != policy || (w.Header().Get("X-Wait") == "true") != (want == 429) {
				t.Errorf("%s, request %d: %d %v", subject, n+1, w.Code, w.Header())
			}
		}
	}
	for n := range 102 {
		w, want := send(api, "/project", "Authorization", "nobody's", ""), 200
		if n >= 100 {
			want = 429
		}
		if w.Code != want || w.Header().Get("Ratelimit-Policy") != `"address-60";q=100;w=60` {
			t.Errorf("without a key, request %d: %d %v", n+1, w.Code, w.Header())
		}
	}
	if w := send(api, "/project", "Authorization", "Key of c", ""); w.Code != 201 {
		t.Errorf("another project after that: %d", w.Code)
	}
}

// TestWhatProvesNothingAlwaysHasARule: where only what is proved has one, it is the default.
func TestWhatProvesNothingAlwaysHasARule(t *testing.T) {
	t.Parallel()
	api := proving(t, nil)
	if policy := send(api, "/ping", "Authorization", "nobody's", "").Header().Get("Ratelimit-Policy"); policy != `"address-60";q=100;w=60, "address-3600";q=1000;w=3600` {
		t.Errorf("without a key: %s", policy)
	}
	if policy := send(api, "/ping", "Authorization", "Key of a", "").Header().Get("Ratelimit-Policy"); policy != `"proof-60";q=5;w=60` {
		t.Errorf("with a key: %s", policy)
	}
	// A quota of one's own counts where there is no rule for it at all.
	api = proving(t, func(c *ratelimit.Config) { c.Rules = nil })
	for n := range 3 {
		if w := send(api, "/ping", "Authorization", "Key of small", ""); w.Code != map[bool]int{true: 429, false: 201}[n == 2] {
			t.Errorf("request %d: %d", n+1, w.Code)
		}
	}
}

// TestAFlushDoesNotPassTheLimits: who flushes has answered. A refusal has nothing of the
// answer whose place it takes.
func TestAFlushDoesNotPassTheLimits(t *testing.T) {
	t.Parallel()
	api := newAPI(slog.New(slog.DiscardHandler))
	api.Handle(Route{Access: Public, Proves: true, Pattern: "POST /flush", Limits: []ratelimit.Rule{ratelimit.NewRule("1/minute", ratelimit.ByAddress)}},
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "secret")
			w.Header().Set("Content-Encoding", "gzip")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, "secret")
		}))
	api.Limit(ratelimit.New(ratelimit.ServiceConfig{Config: ratelimit.DefaultConfig(api.Limits()), Routes: api.Limits(), Engine: memorylimit.New(memorylimit.Config{}), Log: api.Log}))
	for n, want := range []int{200, 429} {
		w := send(api, "/flush", "X-Other", "", "")
		if w.Code != want || strings.Contains(w.Body.String(), "secret") != (want == 200) || (w.Header().Get("Content-Encoding")+w.Header().Get("Set-Cookie") != "") != (want == 200) {
			t.Errorf("request %d: %d %v %s", n+1, w.Code, w.Header(), w.Body)
		}
		if h := w.Header(); h.Get("X-Request-Id") == "" || h.Get("X-Frame-Options") == "" || h.Get("Ratelimit") == "" {
			t.Errorf("request %d: %v", n+1, h)
		}
	}
}

// TestProvingIsToBeSaid: a route that doesn't say so has asked its limits already.
func TestProvingIsToBeSaid(t *testing.T) {
	t.Parallel()
	if w := send(proving(t, nil), "/mistake", "Stripe-Signature", signed(webhookSecret, ""), ""); w.Code != 500 {
		t.Errorf("%d", w.Code)
	}
	if err := Prove(context.Background(), Proof{Subject: "a"}); err != nil {
		t.Errorf("outside of a request: %v", err)
	}
}
