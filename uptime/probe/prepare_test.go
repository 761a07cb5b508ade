package probe

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"
	"time"

	"manus/internal/guard"
)

func TestWhatIsWrongWithATargetIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	web := "https://app.example.com/health"
	for _, c := range []struct {
		target Target
		want   string
	}{
		{Target{Kind: HTTP, Address: web, Timeout: time.Minute, IP: 6, Request: Request{Method: "OPTIONS", Redirects: 20, Proxy: "socks5://proxy.example.com:1080"}}, ""},
		{Target{Kind: TCP, Address: "db.example.com:5432"}, ""}, {Target{Kind: TLS, Address: "[2606:4700::1111]"}, ""}, {Target{Kind: ICMP, Address: "9.9.9.9"}, ""},
		{Target{Kind: DNS, Address: "example.com", Lookup: Lookup{Type: "caa", Resolver: "9.9.9.9"}}, ""}, {Target{Kind: Domain, Address: "example.co.uk"}, ""}, {Target{Kind: Domain, Address: "münchen.de"}, ""},
		{Target{}, "type: use http, tcp, tls, dns, icmp, domain or heartbeat"},
		{
			Target{Kind: HTTP, Address: "app.example.com", Timeout: time.Hour, IP: 5, Request: Request{Method: "CONNECT", Redirects: 21, Bearer: "a", User: "b", Proxy: "ftp://x"}, Expect: []string{"status = 200", "domain.days > 3"}, Lookup: Lookup{Type: "A"}},
			"timeout: use from 100ms to 1m0s\nip: use 4 or 6\nurl: use an address such as https://app.example.com/health\n" +
				"method: use a method of HTTP, such as GET or POST\nauthentication: use basic or a bearer token, not both\nredirects: follow at most 20\nproxy: use an address such as http://proxy.example.com:3128 or socks5://…\n" +
				"record and resolver: are for monitors of type dns; take them out\n" +
				"expect: write == for =\n    status = 200\n           ^\nexpect: domain.days > 3: a monitor of type http has no domain.days",
		},
		{Target{Kind: HTTP, Address: "https://me@example.com"}, "url: has a password in it; give that as basic authentication"},
		{Target{Kind: HTTP, Address: "https://example.com:0"}, "url: use an address such as https://app.example.com/health"},
		{Target{Kind: HTTP, Address: "file:///etc/passwd"}, "url: use an address such as https://app.example.com/health"},
		{Target{Kind: HTTP, Address: "gopher://example.com"}, "url: use an address such as https://app.example.com/health"},
		{Target{Kind: HTTP, Address: "http://10.1.2.3"}, "url: is an address of a private network, which isn't dialled (ALLOW_PRIVATE_TARGETS=true lets it, and private: true a monitor)"},
		{Target{Kind: HTTP, Address: "http://169.254.169.254/latest", AllowPrivate: true}, "url: is a link-local or metadata address, which is never dialled"},
		{Target{Kind: ICMP, Address: "[::ffff:127.0.0.1]"}, "url: is an address of a private network, which isn't dialled (ALLOW_PRIVATE_TARGETS=true lets it, and private: true a monitor)"},
		{Target{Kind: DNS, Address: "example.com", Lookup: Lookup{Resolver: "127.0.0.53"}}, "resolver: is an address of a private network, which isn't dialled (ALLOW_PRIVATE_TARGETS=true lets it, and private: true a monitor)"},
		{Target{Kind: DNS, Address: "example.com", Lookup: Lookup{Resolver: "dns.example.com"}}, "resolver: use an IP address, with a port or without one, such as 9.9.9.9"},
		{Target{Kind: DNS, Address: "example.com", Lookup: Lookup{Type: "AXFR"}}, "record: use one of A, AAAA, CAA, CNAME, DNSKEY, DS, HTTPS, MX, NS, PTR, SOA, SRV, SVCB, TLSA, TXT"},
		{Target{Kind: DNS, Address: strings.Repeat("a", 64) + ".com"}, "url: use a name, such as example.com"},
		{Target{Kind: DNS, Address: "a b"}, "url: use a name, such as example.com"},
		{Target{Kind: DNS, Address: ""}, "url: use a name, such as example.com"},
		{Target{Kind: TCP, Address: "db.example.com"}, "url: use a host and its port, such as db.example.com:5432"},
		{Target{Kind: TCP, Address: "db.example.com:99999"}, "url: use a host and its port, such as db.example.com:5432"},
		{Target{Kind: TCP, Address: "http://db.example.com:80"}, "url: use a host and its port, such as db.example.com:5432"},
		{Target{Kind: Domain, Address: "www.example.com"}, "url: isn't what is registered; use example.com"},
		{Target{Kind: Domain, Address: "com"}, "url: use a domain that is registered, such as example.com"},
		{Target{Kind: TCP, Address: "db.example.com:5432", Expect: []string{"status == 200"}, Request: Request{Method: "GET"}, Trust: Trust{Unverified: true}},
			"tls: is for monitors of type http and tls; take it out\nmethod, headers, body, authentication, redirects and proxy: are for monitors of type http; take them out\nexpect: status == 200: a monitor of type tcp has no status"},
		{Target{Kind: ICMP, Address: "example.com", Trust: Trust{Certificate: &tls.Certificate{}}}, "tls: is for monitors of type http and tls; take it out"},
		{Target{Kind: HTTP, Address: web, Expect: make([]string, 51)}, "expect: use at most 50 conditions"},
		{Target{Kind: HTTP, Address: web, Request: Request{Body: strings.Repeat("x", 64<<10+1), Header: map[string]string{"A b": "c"}}}, "body: is longer than 64 KiB\nheaders: \"A b\" isn't a header"},
	} {
		_, err := New(Options{}).Prepare(c.target)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s %s:\n%s\ninstead of\n%s", c.target.Kind, c.target.Address, got, c.want)
		}
	}
}

// Whatever is written in a target, it is refused or can be checked, and never leads to where
// nothing may be dialled.
func FuzzPrepare(f *testing.F) {
	for i, address := range []string{
		"https://app.example.com/health", "db.example.com:5432", "example.com", "[::1]", "::ffff:127.0.0.1", "http://[fe80::1%25eth0]:80", "http://0x7f.1", "xn--a", "a..b", "_a.example.com", "tls://example.com", "co.uk", "مثال.example", "\xff",
	} {
		f.Add(i, address, "GET", "socks5://127.0.0.1:1", "9.9.9.9:53", "status == 200")
	}
	p := New(Options{})
	all := []Kind{HTTP, TCP, DNS, ICMP, TLS, Domain}
	f.Fuzz(func(t *testing.T, i int, address, method, proxy, resolver, expect string) {
		target := Target{Kind: all[uint(i)%uint(len(all))], Address: address}
		switch target.Kind {
		case HTTP:
			target.Request, target.Expect = Request{Method: method, Proxy: proxy}, []string{expect}
		case DNS:
			target.Lookup.Resolver = resolver
		}
		c, err := p.Prepare(target)
		if err != nil {
			if err.Error() == "" || c != nil {
				t.Errorf("%q: %v, %v", address, c, err)
			}
			return
		}
		host := c.host
		if c.url != nil {
			host = c.url.Hostname()
		}
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && guard.Check(ip, false) != nil {
			t.Errorf("%q leads to %q", address, host)
		}
	})
}
