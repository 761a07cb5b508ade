package app

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"manus/readiness"
)

// Of an answer that isn't as it should be it is said what to do about just that.
func TestAWrongAnswerIsMendedWhereItIsWrong(t *testing.T) {
	t.Parallel()
	ours := []readiness.Copy{{ID: "one", Key: "the key"}}
	proved := func(status int, body string) reply {
		s := readiness.Service{Config: readiness.Config{Copy: ours[0]}}
		r, w := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil), httptest.NewRecorder()
		r.Header.Set(readiness.ChallengeHeader, "asked")
		s.Proving(http.NotFoundHandler()).ServeHTTP(w, r)
		return reply{status: status, header: w.Header(), body: []byte(body), challenge: "asked"}
	}
	canned := reply{status: 200, header: http.Header{}, body: []byte(`{"version":"test"}`), challenge: "asked"}
	for name, c := range map[string]struct {
		there
		path string
		got  reply
		err  error
		want readiness.Status // empty: nothing is wrong
		mend string
	}{
		"a copy answers":                {there{copies: ours}, "/live", proved(200, ""), nil, "", ""},
		"somebody else does":            {there{copies: ours}, "/version", canned, nil, readiness.Fail, "leads to this installation"},
		"and no server runs":            {there{}, "/version", canned, nil, readiness.Fail, "Start the server"},
		"and the store is gone":         {there{unsure: errors.New("gone")}, "/version", canned, nil, readiness.Skipped, ""},
		"nobody does":                   {there{copies: ours}, "/live", reply{}, errors.New("refused"), readiness.Fail, "DNS"},
		"nobody does, no server runs":   {there{}, "/live", reply{}, errors.New("refused"), readiness.Fail, "Start the server"},
		"with a certificate":            {there{copies: ours}, "/live", reply{}, &tls.CertificateVerificationError{Err: errors.New("self-signed")}, readiness.Fail, "system.tls"},
		"too many requests":             {there{copies: ours}, "/version", proved(429, ""), nil, readiness.Skipped, ""},
		"it isn't ready":                {there{copies: ours}, "/ready", proved(503, `{"checks":{"redis":{"status":"failed"},"database":{"status":"ok"}}}`), nil, readiness.Fail, "The address leads here"},
		"it stops":                      {there{copies: ours}, "/ready", proved(503, `{"checks":{}}`), nil, readiness.Fail, "Start the server"},
		"the proxy says that of itself": {there{copies: ours}, "/ready", reply{status: 503, header: http.Header{}, challenge: "asked"}, nil, readiness.Fail, "DNS"},
	} {
		got, is := c.wrong("https://app.example.com"+c.path, c.got, c.err)
		if got.Status != c.want || is != (c.want != "") || !strings.Contains(got.Mend.En, c.mend) {
			t.Errorf("%s: %s %s %s", name, got.Status, got.Evidence.En, got.Mend.En)
		}
		if name == "it isn't ready" && !strings.Contains(got.Evidence.En, "isn't ready: redis failed") {
			t.Errorf("%s: %s", name, got.Evidence.En)
		}
	}
}
