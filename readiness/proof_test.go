package readiness

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// An answer proves whose it is to who has the store, and nothing to anybody else.
func TestAnAnswerProvesWhoseItIs(t *testing.T) {
	t.Parallel()
	ours, theirs := Copy{ID: "a", Key: "ours"}, Copy{ID: "b", Key: "theirs"}
	s := New(Config{Copy: ours})
	answer := func(challenge string) http.Header {
		r, w := httptest.NewRequestWithContext(t.Context(), "GET", "/version", nil), httptest.NewRecorder()
		if challenge != "" {
			r.Header.Set(ChallengeHeader, challenge)
		}
		s.Proving(http.NotFoundHandler()).ServeHTTP(w, r)
		return w.Header()
	}
	asked := NewChallenge()
	proof := answer(asked)
	if !Proven([]Copy{theirs, ours}, asked, proof) {
		t.Error("it isn't proved")
	}
	for name, proven := range map[string]bool{
		"by another installation": Proven([]Copy{theirs}, asked, proof), "to another request": Proven([]Copy{ours}, NewChallenge(), proof),
		"by nothing": Proven([]Copy{ours}, asked, http.Header{}), "by a copy without a key": Proven([]Copy{{}}, asked, proof),
	} {
		if proven {
			t.Errorf("it is proved %s", name)
		}
	}
	if again := answer(asked); again.Get(ProofHeader) == proof.Get(ProofHeader) {
		t.Error("two addresses that answer alike are known to be one server")
	}
	for _, none := range []string{"", strings.Repeat("x", maxChallenge+1)} {
		if answer(none).Get(ProofHeader) != "" {
			t.Errorf("%q is proved", none)
		}
	}
	keyless := New(Config{})
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.Header.Set(ChallengeHeader, asked)
	keyless.Proving(http.NotFoundHandler()).ServeHTTP(w, r)
	if Proven([]Copy{{ID: "old"}}, asked, w.Header()) {
		t.Error("a key that nobody has proves something")
	}
}
