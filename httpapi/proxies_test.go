package httpapi

import (
	"cmp"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestAProxyThatIsNotTrustedIsNoticed(t *testing.T) {
	t.Parallel()
	const three = "203.0.113.1|203.0.113.2|198.51.100.3"
	for name, c := range map[string]struct {
		peer, header, clients string
		trusted               string
		noticed               bool
		believed              string // the header
	}{
		"nothing configured":        {"10.0.0.5:1", "X-Forwarded-For", three, "", true, ""},
		"on this machine":           {"127.0.0.1:1", "X-Forwarded-For", three, "", true, ""},
		"in a carrier's network":    {"100.64.3.4:1", "X-Forwarded-For", three, "", true, ""},
		"by IPv6":                   {"[fd00::5]:1", "X-Forwarded-For", "2001:db8::1|2001:db8::2|2001:db8::3", "", true, ""},
		"by the standard's header":  {"10.0.0.5:1", "Forwarded", "for=203.0.113.1|for=203.0.113.2;proto=https|for=\"[2001:db8::1]:4711\"", "", true, ""},
		"another one is configured": {"10.0.0.5:1", "X-Forwarded-For", three, "10.9.0.0/16", true, ""},
		"a second one before it":    {"10.0.0.5:1", "X-Forwarded-For", "203.0.113.1, 10.7.0.1|203.0.113.2, 10.7.0.1|198.51.100.3, 10.7.0.1", "10.0.0.5/32", true, ""},

		"by a header that isn't believed": {"10.0.0.5:1", "Forwarded", "for=203.0.113.1|for=203.0.113.2|for=203.0.113.3", "10.0.0.0/8", true, "X-Forwarded-For"},
		"by the other one that isn't":     {"10.0.0.5:1", "X-Forwarded-For", three, "10.0.0.0/8", true, "Forwarded"},
		"by neither address nor header":   {"10.0.0.5:1", "X-Forwarded-For", three, "10.9.0.0/16", true, "Forwarded"},
		"by the header that is believed":  {"10.0.0.5:1", "Forwarded", "for=203.0.113.1|for=203.0.113.2|for=203.0.113.3", "", true, "Forwarded"},
		"it is believed":                  {"10.0.0.5:1", "Forwarded", "for=203.0.113.1|for=203.0.113.2|for=203.0.113.3", "10.0.0.0/8", false, "Forwarded"},

		"it is trusted":                 {"10.0.0.5:1", "X-Forwarded-For", three, "10.0.0.0/8", false, ""},
		"both are trusted":              {"10.0.0.5:1", "X-Forwarded-For", "203.0.113.1, 10.7.0.1|203.0.113.2, 10.7.0.1|198.51.100.3, 10.7.0.1", "10.0.0.0/8", false, ""},
		"of one client":                 {"10.0.0.5:1", "X-Forwarded-For", "203.0.113.1|203.0.113.1|203.0.113.1|203.0.113.1", "", false, ""},
		"of two":                        {"10.0.0.5:1", "X-Forwarded-For", "203.0.113.1|203.0.113.2|203.0.113.1", "", false, ""},
		"of itself, as a bundler":       {"127.0.0.1:1", "X-Forwarded-For", "127.0.0.1|127.0.0.1|127.0.0.1|127.0.0.1", "", false, ""},
		"from the Internet by a client": {"203.0.113.9:1", "X-Forwarded-For", three, "", false, ""},
		"without a header":              {"10.0.0.5:1", "X-Other", three, "", false, ""},
		"of nobody, as 'manus check'":   {"127.0.0.1:1", "X-Forwarded-For", "2001:db8:fa00::1|2001:db8:fa00::2|2001:db8:fa00::3", "", false, ""},
		"of what is no address":         {"10.0.0.5:1", "X-Forwarded-For", "unknown|_a|b|,|;", "", false, ""},
	} {
		api, handler, logged := setup(t, nil)
		api.ProxyHeader = c.believed
		if c.trusted != "" {
			api.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
		}
		for range 3 {
			for client := range strings.SplitSeq(c.clients, "|") {
				r := httptest.NewRequest("GET", "/nowhere", nil)
				r.RemoteAddr = c.peer
				r.Header.Set(c.header, client)
				handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		}
		times := strings.Count(logged.String(), "all clients behind a proxy")
		if api.HasUntrustedProxy() != c.noticed || c.noticed != (times == 1) || times > 1 {
			t.Errorf("%s: it is noticed: %v, told %d times: %s", name, api.HasUntrustedProxy(), times, logged)
		}
		another := c.header != cmp.Or(c.believed, "X-Forwarded-For")
		if strings.Contains(logged.String(), "TRUSTED_PROXIES") != (c.noticed && c.trusted != "10.0.0.0/8") || strings.Contains(logged.String(), "TRUSTED_PROXY_HEADER="+c.header) != (c.noticed && another) {
			t.Errorf("%s: what to do is said by %s", name, logged)
		}
	}
}

// TestNobodyFillsTheMemoryOfProxies claims to forward for many clients.
func TestNobodyFillsTheMemoryOfProxies(t *testing.T) {
	t.Parallel()
	api, handler, _ := setup(t, nil)
	for i := range 1000 {
		r := httptest.NewRequest("GET", "/nowhere", nil)
		r.RemoteAddr = "10.0.0.5:1"
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.%d.%d", i/250, i%250))
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	if len(api.proxies.claimed) != enoughClients {
		t.Errorf("%d are remembered", len(api.proxies.claimed))
	}
}
