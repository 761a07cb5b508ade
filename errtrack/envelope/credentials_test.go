package envelope

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	const key = "e12d836b15bb49d7bbf99e64295d995b"
	none := Auth{}
	for _, c := range []struct {
		name, query, sentry, authorization string
		want                               Auth
	}{
		{"sentry-go", "", "Sentry sentry_version=7, sentry_client=sentry.go/0.50.0, sentry_key=" + key, "", Auth{Key: key, Client: "sentry.go/0.50.0"}},
		{"sentry-python", "", "Sentry sentry_key=" + key + ", sentry_version=7, sentry_client=sentry.python/1.9.10", "", Auth{Key: key, Client: "sentry.python/1.9.10"}},
		{"raven", "", "Sentry sentry_timestamp=1329096377, sentry_client=raven-python/6.10.0, sentry_version=7, sentry_key=" + key + ", sentry_secret=s", "", Auth{Key: key, Client: "raven-python/6.10.0"}},
		{"without spaces, in small letters", "", "sentry sentry_key=" + key + ",sentry_version=7", "", Auth{Key: key}},
		{"@sentry/node", "sentry_version=7&sentry_key=" + key + "&sentry_client=sentry.javascript.node%2F11.12.0", "", "", Auth{Key: key, Client: "sentry.javascript.node/11.12.0"}},
		{"Authorization", "", "", "Sentry sentry_key=" + key, Auth{Key: key}},
		{"the header wins", "sentry_key=other", "Sentry sentry_key=" + key, "Sentry sentry_key=another", Auth{Key: key}},
		{"Authorization wins over the query", "sentry_key=other", "", "Sentry sentry_key=" + key, Auth{Key: key}},
		{"another scheme says nothing of us", "sentry_key=" + key, "", "Bearer abc", Auth{Key: key}},
		{"a client that is no name", "", "Sentry sentry_key=" + key + ", sentry_client=<script>", "", Auth{Key: key}},
		{"a client that is too long", "", "Sentry sentry_key=" + key + ", sentry_client=" + strings.Repeat("x", 129), "", Auth{Key: key}},
		{"no key in the header, one in the query", "sentry_key=" + key, "Sentry sentry_version=7", "", none},
		{"another scheme in the header", "sentry_key=" + key, "Bearer " + key, "", none},
		{"only the scheme", "", "Sentry ", "", none},
		{"an empty key", "sentry_key=", "", "", none},
		{"a key with a quote", "sentry_key=a%27b", "", "", none},
		{"a key that is too long", "sentry_key=" + strings.Repeat("a", 129), "", "", none},
		{"a header that is too long", "", "Sentry sentry_key=" + key + strings.Repeat(" ", 5000), "", none},
		{"a query that is too long", "sentry_key=" + key + strings.Repeat("&a", 3000), "", "", none},
	} {
		r := httptest.NewRequest("POST", "/api/1/envelope/?"+c.query, nil)
		r.Header.Set("X-Sentry-Auth", c.sentry)
		r.Header.Set("Authorization", c.authorization)
		got, err := Credentials(r)
		if got != c.want || c.want == none && status(err) != 401 || c.want != none && err != nil {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if errors.Is(err, ErrNoCredentials) {
			t.Errorf("%s: they are malformed, not missing", c.name)
		}
	}
	if _, err := Credentials(httptest.NewRequest("POST", "/api/1/envelope/", nil)); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("nothing: %v", err)
	}
	r := httptest.NewRequest("POST", "/", nil)
	r.Header["X-Sentry-Auth"] = []string{"Sentry sentry_key=first", "Sentry sentry_key=second"}
	if got, err := Credentials(r); got.Key != "first" {
		t.Errorf("of two headers: %+v, %v", got, err)
	}
}

func TestCredentialsOfTheEnvelope(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]Auth{
		"https://e12d836b15bb49d7bbf99e64295d995b:@sentry.io/42": {Key: "e12d836b15bb49d7bbf99e64295d995b", Project: "42", Client: "sentry.go/1"},
		"http://key:secret@127.0.0.1:8000/deep/path/7":           {Key: "key", Project: "7", Client: "sentry.go/1"},
		"http://key@localhost":                                   {Key: "key", Client: "sentry.go/1"},
		"http://localhost/1":                                     {},
		"key@localhost/1":                                        {},
		"http://k%27y@localhost/1":                               {},
		"http://[::1/1":                                          {},
		"http://key@localhost/" + strings.Repeat("1", 5000):      {},
	} {
		got, err := Header{DSN: dsn, SDKName: "sentry.go", SDKVersion: "1"}.Credentials()
		if got != want || (want == Auth{}) != (status(err) == 401) {
			t.Errorf("%.60s: %+v, %v", dsn, got, err)
		}
	}
	if _, err := (Header{}).Credentials(); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("no DSN: %v", err)
	}
}
