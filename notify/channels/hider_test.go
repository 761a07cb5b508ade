package channels

import (
	"testing"

	"manus/notify"
)

func TestAWordInAnAddressIsNotHiddenElsewhere(t *testing.T) {
	t.Parallel()
	h := hider(notify.ChannelConfig{Type: "webhook", URL: "https://example.com/hook"})
	if got := h.Replace("the webhook's receiver answered 404"); got != "the webhook's receiver answered 404" {
		t.Error(got)
	}
	h = hider(notify.ChannelConfig{Type: "ntfy", URL: "https://ntfy.sh/secrets"})
	if got := h.Replace("no secrets here"); got != "no … here" {
		t.Error(got)
	}
}
