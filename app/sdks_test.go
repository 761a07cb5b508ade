package app

import (
	"strings"
	"testing"

	"manus/errtrack"
	"manus/internal/sentrytest"
	"manus/internal/waittest"
)

// TestRealSDKsReport: what sentry-go, @sentry/node, Python's sentry-sdk and @sentry/browser in
// Chromium send to the product over the network is one issue of a bug, with its stack, its
// count and one alert, and nothing is lost.
func TestRealSDKsReport(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	for _, client := range sentrytest.Clients {
		t.Run(client.Name, func(t *testing.T) {
			t.Parallel()
			p, err := a.Errors.NewProject(t.Context(), client.Name, client.Name)
			if err != nil {
				t.Fatal(err)
			}
			dsn := "http://" + p.Keys[0].Public + "@" + a.Addr() + "/" + p.ID
			client.Play(t, dsn, sentrytest.Many(30))
			client.Play(t, dsn, sentrytest.Message)
			find := func(query string, events int64) (found errtrack.Issue) {
				waittest.Poll(t, func() bool {
					issues, _, err := a.Errors.Issues(t.Context(), errtrack.Search{Project: p.ID, Query: query})
					if err != nil || len(issues) != 1 {
						return false
					}
					found = issues[0]
					return found.Count == events
				})
				return found
			}
			find("shop open", 1)
			bug := find("!open", 30)
			e, err := a.Errors.End(t.Context(), bug.ID, true)
			if err != nil {
				t.Fatal(err)
			}
			if last := len(e.Exceptions) - 1; last < 0 || len(e.Exceptions[last].Frames) == 0 || e.SDK.Name == "" {
				t.Errorf("the event has no stack, or no SDK: %+v", e)
			}
			if all, _, err := a.Errors.Issues(t.Context(), errtrack.Search{Project: p.ID}); err != nil || len(all) != 2 {
				t.Errorf("there are %d issues, not two: %v", len(all), err)
			}
			told := 0
			waittest.Poll(t, func() bool {
				alerts, _, err := a.Alerts.List(t.Context(), "", 100, "")
				told = 0
				for _, alert := range alerts {
					if strings.HasPrefix(alert.Key, "issue.new/"+bug.Short+"/") {
						told++
					}
				}
				return err == nil && told > 0
			})
			if told != 1 {
				t.Errorf("%d alerts were made of %s", told, bug.Short)
			}
		})
	}
}
