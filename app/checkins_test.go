package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"manus/config"
	"manus/notify"
)

// A job's program says over the network that it failed, and then that it ended well: operators
// are told both, the end as the end of the same. The rule names the job.
func TestAJobThatFailsIsToldWithItsEnd(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	a, _ := setup(t, alerting(h, nil), func(s *config.Settings) {
		s.Alerts.Policy.Rules = []notify.Rule{
			{On: "check_in.missed", Project: "the-shop", Monitor: "nightly-*", Channels: []string{"webhook"}}, {On: "check_in.missed", Monitor: "minutely", Channels: []string{}},
		}
	})
	p, err := a.Errors.NewProject(t.Context(), "The shop", "python")
	if err != nil {
		t.Fatal(err)
	}
	report := func(status string) {
		t.Helper()
		body := fmt.Sprintf("{}\n{\"type\":\"check_in\"}\n{\"check_in_id\":%q,\"monitor_slug\":\"nightly-backup\",\"status\":%q}\n", strings.Repeat("a", 31)+status[:1], status)
		request, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+a.Addr()+"/api/"+p.ID+"/envelope/?sentry_key="+p.Keys[0].Public, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 200 {
			t.Fatal(response.Status)
		}
	}
	report("error")
	report("error")
	h.wait(t, "check_in.missed", "raised", "The job nightly-backup has failed (The shop)")
	report("ok")
	h.wait(t, "check_in.missed", `"over"`, "The job nightly-backup runs well again (The shop)")
}
