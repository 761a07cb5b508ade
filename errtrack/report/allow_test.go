package report

import (
	"strings"
	"testing"

	"github.com/getsentry/sentry-go"
)

// TestTextsAreClean: secrets and what is somebody's are out of texts, what tells of an error
// is left.
func TestTextsAreClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"dial tcp 10.1.2.3:6379: connect: connection refused":               "dial tcp [address]:6379: connect: connection refused",
		"dial tcp [2001:db8::7]:443: i/o timeout":                           "dial tcp [[address]]:443: i/o timeout",
		"dial tcp 127.0.0.1:6379: refused":                                  "dial tcp 127.0.0.1:6379: refused",
		"mongodb://user:hunter2@db.example.com/manus?authSource=admin: EOF": "mongodb://[scrubbed]@db.example.com/manus?[query] EOF",
		`Get "https://api.example.com/v1/x?key=abc&b=c": EOF`:               `Get "https://api.example.com/v1/x?[query]": EOF`,
		"no mail to amal.b+x@example.com":                                   "no mail to [e-mail]",
		"card 4242-4242-4242-4242 declined":                                 "card [number] declined",
		"Authorization: Bearer abc.def.ghi":                                 "Authorization: [scrubbed]",
		"token=abcdef":                                                      "token=[scrubbed]",
		"db_password=hunter2 and client_secret=abc":                         "db_password=[scrubbed] and client_secret=[scrubbed]",
		"access_token: abc12":                                               "access_token: [scrubbed]",
		`"password":"hunter2"`:                                              `"password":"[scrubbed]"`,
		"the key 0af7651916cd43dd8448eb211c80319c is wrong":                 "the key [token] is wrong",
		"eyJhbGciOi.eyJzdWIi.c2ln is no token":                              "[token] is no token",
		"at 12:30:45 the job has failed; it will be tried again":            "at 12:30:45 the job has failed; it will be tried again",
		"a stored document can't be read: parsing time \"never\"":           "a stored document can't be read: parsing time \"never\"",
	} {
		if got := clean(text, maxText); got != want {
			t.Errorf("%q is left of %q, and not %q", got, text, want)
		}
	}
	if got := clean(strings.Repeat("a ", 1e6), maxText); len(got) > maxText {
		t.Errorf("%d bytes are left", len(got))
	}
}

// TestOnlyWhatIsListedLeaves: of an event that has everything, and of one of a coming
// version.
func TestOnlyWhatIsListedLeaves(t *testing.T) {
	t.Parallel()
	left := allow(&sentry.Event{
		User: sentry.User{Email: "x"}, Request: &sentry.Request{URL: "x", Data: "x"}, Modules: map[string]string{"x": "x"},
		Breadcrumbs: []*sentry.Breadcrumb{{Message: "x"}}, Attachments: []*sentry.Attachment{{}},
		Tags:     map[string]string{"mail": "x", "request_id": "r"},
		Contexts: map[string]sentry.Context{"device": {"x": 1}, "trace": {"trace_id": "t", "x": 1, "data": map[string]any{"x": 1, "db.system": "sqlite"}}},
		Spans:    []*sentry.Span{{Tags: map[string]string{"x": "x"}, Data: map[string]any{"x": 1, "db.system": "sqlite"}}},
	}, nil)
	if left.User.Email != "" || left.Request != nil || left.Modules != nil || left.Breadcrumbs != nil || left.Attachments != nil || len(left.Tags) != 1 || len(left.Contexts) != 1 ||
		len(left.Contexts["trace"]) != 2 || len(left.Spans[0].Tags) != 0 || len(left.Spans[0].Data) != 1 {
		t.Errorf("left is %+v", left)
	}
}
