package errtrack

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/internal/sentrytest"
	"manus/internal/storetest"
)

// telltale is what every secret of the test has in it.
const telltale = "hunter2"

// secretive is an event that says secrets wherever it can.
const secretive = `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","platform":"python","level":"fatal","transaction":"/reset?token=hunter2",
	"message":"login with password=hunter2","server_name":"redis://:hunter2@cache","release":"shop@1 CASE-hunter2","logger":"api_key=hunter2",
	"fingerprint":["{{ default }}","secret=hunter2"],"tags":{"session":"hunter2","url":"https://sam:hunter2@example.com","national_id":"hunter2"},
	"exception":{"values":[{"type":"AuthError","value":"Authorization: Bearer hunter2-and-more","module":"a?password=hunter2","mechanism":{"type":"x?token=hunter2"},
		"stacktrace":{"frames":[{"function":"login","filename":"auth.py","lineno":7,"in_app":true,"context_line":"  API_KEY = 'hunter2'","pre_context":["-----BEGIN PRIVATE KEY-----","hunter2"],
			"post_context":["hunter2","-----END PRIVATE KEY-----"],"vars":{"password":"'hunter2'","config":{"db":{"secret":"hunter2","url":"postgres://a:hunter2@db"}},"body":"{\"token\":\"hunter2\"}"}}]}}]},
	"breadcrumbs":{"values":[{"message":"GET /a?access_token=hunter2","category":"http","data":{"url":"https://a:hunter2@b","headers":{"Cookie":"hunter2"}}}]},
	"user":{"id":"7","email":"sam@example.com"},"request":{"method":"POST","url":"https://example.com/?api_key=hunter2","query_string":"api_key=hunter2",
		"headers":{"Authorization":"Basic hunter2","Cookie":"a=hunter2","X-Api-Key":"hunter2"},"data":{"password":"hunter2","card":{"cvc":"hunter2"}}},
	"contexts":{"login":{"credentials":["hunter2"]}},"extra":{"jwt":"hunter2","form":"user[password]=hunter2"},"sdk":{"name":"sentry.python","version":"token=hunter2"}}`

// leakRig is an inbox at its HTTP door, of which is known all that it has ever put out.
type leakRig struct {
	*rig
	api     *httpapi.API
	log     bytes.Buffer
	answers bytes.Buffer

	mu    sync.Mutex
	alert bytes.Buffer
}

func newLeakRig(t *testing.T) *leakRig {
	t.Helper()
	l := &leakRig{rig: &rig{clock: clocktest.New(), store: storetest.New(t, Specs()...)}}
	log := slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	policy := DefaultPolicy()
	policy.Scrub = Scrub{Fields: []string{"national_id"}, Patterns: []string{`CASE-\S+`}}
	var err error
	l.Service, err = New(Config{
		Store: l.store, Policy: policy, PublicURL: "https://app.example.com", Now: l.clock.Now, Log: log,
		Tell: func(_ context.Context, what Told) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			return json.NewEncoder(&l.alert).Encode(what)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.p, err = l.NewProject(t.Context(), "Shop", "python"); err != nil {
		t.Fatal(err)
	}
	l.api = httpapi.New(httpapi.Config{Log: log, Version: "test", Caller: func(*http.Request) (identity.Caller, error) { return identity.Caller{}, nil }})
	l.Routes(l.api)
	return l
}

// send sends a body as an SDK does.
func (l *leakRig) send(t *testing.T, path, encoding string, body []byte) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/"+l.p.ID+path, bytes.NewReader(body))
	r.Header.Set("X-Sentry-Auth", "Sentry sentry_version=7, sentry_key="+l.p.Keys[0].Public)
	r.Header.Set("Content-Encoding", encoding)
	answer := httptest.NewRecorder()
	if l.api.ServeHTTP(answer, r); answer.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, answer.Code, answer.Body)
	}
	l.answers.Write(answer.Body.Bytes())
}

// leaks fails the test where one of these texts has been put out.
func (l *leakRig) leaks(t *testing.T, secrets ...string) {
	t.Helper()
	if l.alert.Len() == 0 {
		t.Error("nothing was told")
	}
	for where, text := range map[string]string{"an answer": l.answers.String(), "an alert": l.alert.String(), "the log": l.log.String(), "the store": everything(t, l.store)} {
		for _, secret := range secrets {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s has a secret: %s", where, text[max(0, at-200):at+len(secret)])
			}
		}
	}
}

// TestSecretsAreNowhere: what is secret in an event that is sent is in no document, in no
// alert, in no line of the log and in no answer.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	l := newLeakRig(t)
	stop := l.start(t)
	oneLine := strings.ReplaceAll(strings.ReplaceAll(secretive, "\n", ""), "\t", "")
	l.send(t, "/envelope/", "", []byte("{}\n{\"type\":\"event\"}\n"+oneLine))
	l.send(t, "/store/", "", []byte(strings.Replace(oneLine, "9ec7", "aaaa", 1)))
	stop()
	if issues, _, err := l.Issues(t.Context(), Search{}); err != nil || len(issues) != 1 || issues[0].Count != 2 {
		t.Fatalf("the issues are %v: %v", issues, err)
	}
	e, err := l.Event(t.Context(), "", "9ec79c33ec9942ab8353589fcb2e04dc")
	if err != nil {
		t.Fatal(err)
	}
	if e.User.Email != "sam@example.com" || e.Exceptions[0].Type != "AuthError" || e.Exceptions[0].Value != "Authorization: "+event.Scrubbed || !slices.Contains(e.Scrubbed, "exceptions") {
		t.Errorf("the event is %+v", e)
	}
	l.leaks(t, telltale)
}

// TestSecretsOfSDKsAreNowhere: so it is of what SDKs have really sent.
func TestSecretsOfSDKsAreNowhere(t *testing.T) {
	t.Parallel()
	l := newLeakRig(t)
	l.p = Project{ID: "42", Number: 42, Name: "Captured", Keys: []Key{{Public: "0123456789abcdef0123456789abcdef"}}} // as the captures say
	if err := l.projects.Insert(t.Context(), l.p); err != nil {
		t.Fatal(err)
	}
	l.taking.Forget()
	stop := l.start(t)
	sent := 0
	for file, request := range sentrytest.Captured(t, "event/testdata/captures/*.http") {
		if request.Method != http.MethodPost || strings.Contains(file, "browser-locals") {
			continue // a password of those stands in a sentence, where nothing tells what it is
		}
		l.send(t, strings.TrimPrefix(request.Path, "/api/42"), request.Header.Get("Content-Encoding"), request.Body)
		sent++
	}
	stop()
	if issues, _, err := l.Issues(t.Context(), Search{}); err != nil || sent == 0 || len(issues) == 0 {
		t.Errorf("%d were sent, the issues are %v: %v", sent, issues, err)
	}
	l.leaks(t, telltale, "4111111111111111", "s3cret-token")
}

// everything is all that a store has, kept events unpacked.
func everything(t *testing.T, store docstore.Store) string {
	t.Helper()
	var all strings.Builder
	events := 0
	for _, spec := range Specs() {
		for q := (docstore.Query{Limit: 100}); ; {
			page, err := store.Find(t.Context(), spec.Collection, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range page.Documents {
				all.Write(doc)
				var k kept
				if spec.Collection != keptSpec.Collection {
					continue
				}
				if err := store.Codec().Decode(doc, &k); err != nil {
					t.Fatal(err)
				}
				body, err := unzip(k.Body)
				if err != nil || !json.Valid(body) {
					t.Fatalf("%s: %v", body, err)
				}
				all.Write(body)
				events++
			}
			if page.Next == "" {
				break
			}
			q.Cursor = page.Next
		}
	}
	if events == 0 {
		t.Error("no event is kept")
	}
	return all.String()
}

// TestWrongScrubbingIsRefused: what can't be scrubbed by is no policy.
func TestWrongScrubbingIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	for _, scrub := range []Scrub{{Fields: []string{"--"}}, {Patterns: []string{"("}}, {Patterns: []string{"a*"}}} {
		p := DefaultPolicy()
		p.Scrub = scrub
		if _, err := r.PreparePolicy(p); err == nil || len(p.Problems()) != 1 {
			t.Errorf("%v: %v, %q", scrub, err, p.Problems())
		}
	}
}
