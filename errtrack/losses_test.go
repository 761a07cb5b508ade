package errtrack

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"manus/httpapi"
	"manus/internal/waittest"
)

// TestLossesOfBodies: what is refused before an event is read is a loss of the project whose
// key it has, and of nobody where it has none.
func TestLossesOfBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	if _, err := s.ChangeProject(t.Context(), s.p.ID, ProjectChange{Origins: &[]string{"https://shop.example.com"}}); err != nil {
		t.Fatal(err)
	}
	key := s.p.Keys[0].Public
	for _, c := range []struct {
		end, key, encoding, origin string
		status                     int
	}{
		{"envelope", key, "compress", "", http.StatusUnsupportedMediaType},
		{"store", key, "gzip, br", "", http.StatusUnsupportedMediaType},
		{"store", key, "compress", "https://shop.example.com", http.StatusUnsupportedMediaType},
		{"envelope", key, "gzip", "", http.StatusBadRequest},
		{"store", key, "deflate", "", http.StatusBadRequest},
		{"envelope", key, "", "https://example.org", http.StatusForbidden},
		{"envelope", "", "", "https://example.org", http.StatusForbidden}, // its key is in the envelope
		{"envelope", "", "compress", "", http.StatusUnsupportedMediaType},
		{"envelope", strings.Repeat("0", 32), "gzip", "https://example.org", http.StatusForbidden},
	} {
		path := "/api/" + s.p.ID + "/" + c.end + "/"
		if c.key != "" {
			path += "?sentry_key=" + c.key
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("{\"dsn\":\""+s.DSN(s.p)+"\"}\n{\"type\":\"event\"}\n{}"))
		r.Header.Set("Content-Encoding", c.encoding)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		answer := httptest.NewRecorder()
		if s.ServeHTTP(answer, r); answer.Code != c.status {
			t.Errorf("%+v: %d %s", c, answer.Code, answer.Body)
		}
	}
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, httpapi.Prefix+"/ops/projects/"+s.p.ID, nil))
	for reason, count := range map[string]int{"unknown_encoding": 3, "malformed": 2, "refused_origin": 2} {
		if want := fmt.Sprintf(`{"reason":%q,"count":%d}`, reason, count); !strings.Contains(answer.Body.String(), want) {
			t.Errorf("%s isn't in %s", want, answer.Body)
		}
	}
}

// TestWhatIsKeptNowhereIsCounted: items that nothing is made of here, each by its type, and
// events of a flood.
func TestWhatIsKeptNowhereIsCounted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	s.send(t, http.StatusOK, "attachment", "a", "log", `{"items":[{}]}`, "trace_metric", "{}", "profile", "{}", "attachment", "b")
	s.budgets.of = map[string]budget{s.p.ID: {left: 1, at: s.c.Now()}}
	for n := range 3 {
		s.send(t, http.StatusOK, "event", fmt.Sprintf(`{"fingerprint":["%d"],"message":"new"}`, n))
	}
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, httpapi.Prefix+"/ops/projects/"+s.p.ID, nil))
	project := answer.Body.String()
	for reason, count := range map[string]int{"unkept:attachment": 2, "unkept:log": 1, "unkept:trace_metric": 1, "unkept:profile": 1, "flood": 2} {
		if want := fmt.Sprintf(`{"reason":%q,"count":%d}`, reason, count); !strings.Contains(project, want) {
			t.Errorf("%s isn't in %s", want, project)
		}
	}
}

// TestVisitorsOfPagesAreCounted: a page whose SDK leaves it to us whom an error has met.
func TestVisitorsOfPagesAreCounted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	for range 2 {
		s.send(t, http.StatusOK, "event", `{"message":"of a page","sdk":{"settings":{"infer_ip":"auto"}}}`)
	}
	waittest.Poll(t, func() bool {
		issues, _, err := s.Issues(t.Context(), Search{})
		return err == nil && len(issues) == 1 && issues[0].Count == 2 && issues[0].Users == 1
	})
}
