package console

import (
	"strings"
	"testing"
)

// The form offers what the page lists, with what the link to it has named, and keeps that in the
// other language and for the other kind of address.
func TestTheFormOffersWhatThePageLists(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	body := get(t, handler, "/status/subscribe?lang=en&component=api&component=nothing").Body.String()
	for _, want := range []string{`value="api" checked>`, `value="web"><bdi>`, `type="email"`, `href="?by=webhook&amp;component=api&amp;component=nothing&amp;lang=en"`, `href="?component=api&amp;component=nothing&amp;lang=ar"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s isn't in %s", want, body)
		}
	}
	if strings.Contains(body, `value="nothing"`) || strings.Contains(body, `type="url"`) {
		t.Errorf("it offers what isn't there: %s", body)
	}
	if body := get(t, handler, "/status/subscribe?by=webhook").Body.String(); !strings.Contains(body, `type="url"`) || strings.Contains(body, `type="email"`) {
		t.Errorf("it isn't the form of webhooks: %s", body)
	}
}
