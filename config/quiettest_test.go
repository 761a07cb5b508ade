package config

import (
	"testing"

	"manus/notify"
)

func TestQuietTestsAreSentWhereATypeHasThemUnlessTheFileSays(t *testing.T) {
	t.Parallel()
	file := notify.Policy{Channels: []notify.ChannelConfig{
		{ID: "phone", Type: "ntfy"}, {ID: "hook", Type: "webhook", QuietTest: new(false)},
		{ID: "chat", Type: "mattermost"}, {ID: "loud", Type: "teams", QuietTest: new(true)},
	}}
	want := map[string]bool{"mail": false, "webhook": true, "phone": true, "hook": false, "chat": false, "loud": true}
	all := Alerts{Email: []string{"ops@example.com"}, Webhook: NewSecret("https://example.com")}.WithChannels(file).Channels
	if len(all) != len(want) {
		t.Fatalf("there are %d channels", len(all))
	}
	for _, c := range all {
		if c.QuietTest == nil || *c.QuietTest != want[c.ID] {
			t.Errorf("%s: a quiet test is sent: %v", c.ID, c.QuietTest)
		}
	}
}
