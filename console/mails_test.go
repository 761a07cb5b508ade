package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"manus/mail"
)

func TestAMailWithoutHTMLIsShownAsText(t *testing.T) {
	t.Parallel()
	page := textPage(mail.Message{Subject: "a <b>", Text: "one\n<script>two</script>", Language: "ar"})
	if !strings.Contains(page, "one\n&lt;script&gt;two") || !strings.Contains(page, "<title>a &lt;b&gt;") || !strings.Contains(page, `dir="rtl"`) {
		t.Error(page)
	}
}

// What was ticked and typed stays where the form is refused.
func TestARefusedFormKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	_, handler := setup(t)
	for by, field := range map[string]string{"": "email", "&by=webhook": "webhook"} {
		form := url.Values{field: {`wrong "one"`}, "component": {"web"}}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/status/subscribe?lang=en"+by, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if body := w.Body.String(); w.Code != http.StatusUnprocessableEntity || !strings.Contains(body, `value="wrong &#34;one&#34;"`) || !strings.Contains(body, `value="web" checked`) {
			t.Errorf("%d %s", w.Code, body)
		}
	}
}
