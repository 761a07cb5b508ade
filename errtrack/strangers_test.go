package errtrack

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

// TestMuchIsSpentOnlyOnWhoHasAKey: what needs much memory to be unpacked has to have its key
// before it; what doesn't may have it in the envelope.
func TestMuchIsSpentOnlyOnWhoHasAKey(t *testing.T) {
	t.Parallel()
	l := newLeakRig(t)
	stop := l.start(t)
	defer stop()
	dsn := l.DSN(l.p)
	text := "{\"dsn\":\"" + dsn + "\"}\n{\"type\":\"event\"}\n{\"message\":\"broken\"}"
	var packed bytes.Buffer
	w := brotli.NewWriter(&packed) // its window is 4 MiB
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query, encoding, body string
		status                int
	}{
		{"", "", text, http.StatusOK},
		{"?sentry_key=" + l.p.Keys[0].Public, "br", packed.String(), http.StatusOK},
		{"", "br", packed.String(), http.StatusUnauthorized},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/"+l.p.ID+"/envelope/"+c.query, strings.NewReader(c.body))
		r.Header.Set("Content-Encoding", c.encoding)
		answer := httptest.NewRecorder()
		if l.api.ServeHTTP(answer, r); answer.Code != c.status || (c.status != http.StatusOK) != strings.Contains(answer.Header().Get("X-Sentry-Error"), "X-Sentry-Auth") {
			t.Errorf("%s%s: %d %s", c.encoding, c.query, answer.Code, answer.Body)
		}
	}
}
