package probe

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"manus/internal/guard"
	"manus/uptime/condition"
)

// Bounds of a target.
const (
	usualTimeout = 10 * time.Second
	minTimeout   = 100 * time.Millisecond
	maxTimeout   = time.Minute
	maxAddress   = 2000
	maxRedirects = 20
	maxExpect    = 50
	maxSent      = 64 << 10 // of a request's headers, and of its body
)

// kinds are what a check of each kind is, what it can be asked of, and what holds unless
// its conditions are about the same.
var kinds = map[Kind]struct {
	probe    func(*attempt) error
	read     func(*Check) error // the address
	subjects []condition.Subject
	holds    string
}{
	HTTP: {(*attempt).http, (*Check).readURL,
		[]condition.Subject{condition.Status, condition.Header, condition.Body, condition.JSON, condition.CertificateDays}, "status >= 200 && status < 300"},
	TCP:    {(*attempt).tcp, (*Check).readHostPort, nil, ""},
	TLS:    {(*attempt).handshake, (*Check).readHostPort, []condition.Subject{condition.CertificateDays}, "certificate.days > 14"},
	DNS:    {(*attempt).dns, (*Check).readName, []condition.Subject{condition.DNSAnswer, condition.DNSRcode}, ""},
	ICMP:   {(*attempt).icmp, (*Check).readHost, nil, ""},
	Domain: {(*attempt).domain, (*Check).readDomain, []condition.Subject{condition.DomainDays}, "domain.days > 30"},
}

// Prepare reads a target. The error says all that is wrong with it, in a line each that
// begins with the key; lines of a condition are followed by its text, with a caret below
// the place. It has no secret.
func (p *Prober) Prepare(t Target) (*Check, error) {
	kind, ok := kinds[t.Kind]
	if !ok {
		return nil, fmt.Errorf("type: use http, tcp, tls, dns, icmp, domain or heartbeat")
	}
	c := &Check{Prober: p, Target: t, timeout: t.Timeout, probe: kind.probe, host: strings.TrimPrefix(t.Address, string(t.Kind)+"://")}
	if c.timeout == 0 {
		c.timeout = usualTimeout
	}
	var problems []error
	if c.timeout < minTimeout || c.timeout > maxTimeout {
		problems = append(problems, fmt.Errorf("timeout: use from %v to %v", minTimeout, maxTimeout))
	}
	if t.IP != 0 && t.IP != 4 && t.IP != 6 {
		problems = append(problems, errors.New("ip: use 4 or 6"))
	}
	problems = append(problems, kind.read(c), c.readTrust(), c.readRequest(), c.readLookup())
	problems = append(problems, c.readExpect(kind.subjects, kind.holds)...)
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Check) readURL() error {
	u, err := url.Parse(c.Address)
	switch {
	case err != nil || len(c.Address) > maxAddress || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !isPort(u.Port(), ""):
		return errors.New("url: use an address such as https://app.example.com/health")
	case u.User != nil:
		return errors.New("url: has a password in it; give that as basic authentication")
	}
	c.url = u
	return c.allowed(u.Hostname())
}

// allowed tells of a host that is an address whether it will be dialled; where a name
// leads is seen then.
func (c *Check) allowed(host string) error {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil //nolint:nilerr // a name
	}
	if err := guard.Check(ip, c.AllowPrivate); err != nil {
		return fmt.Errorf("url: is %w", err)
	}
	return nil
}

// isPort tells whether a port can be dialled; an empty one is the usual one.
func isPort(port, usual string) bool {
	if port == "" {
		port = usual
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

func (c *Check) readHostPort() error {
	host, port, err := net.SplitHostPort(c.host)
	if err != nil && c.Kind == TLS {
		host, port, err = strings.Trim(c.host, "[]"), "443", nil
	}
	if err != nil || !isPort(port, "0") {
		return errors.New("url: use a host and its port, such as db.example.com:5432")
	}
	c.host, c.port = host, port
	return c.readHost()
}

func (c *Check) readHost() error {
	c.host = strings.Trim(c.host, "[]")
	if _, err := netip.ParseAddr(c.host); err == nil {
		return c.allowed(c.host)
	}
	return c.readName()
}

// readName reads a name, in any script.
func (c *Check) readName() error {
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(c.host, "."))
	if strings.Contains(c.host, "_") { // as in _dmarc.example.com
		ascii, err = strings.ToLower(strings.TrimSuffix(c.host, ".")), nil
	}
	if _, ok := dns.IsDomainName(ascii); err != nil || !ok || ascii == "" || strings.ContainsAny(ascii, "/:\\@ ") {
		return errors.New("url: use a name, such as example.com")
	}
	c.host = ascii
	return nil
}

func (c *Check) readDomain() error {
	if err := c.readName(); err != nil {
		return err
	}
	registered, err := publicsuffix.EffectiveTLDPlusOne(c.host)
	switch {
	case err != nil:
		return errors.New("url: use a domain that is registered, such as example.com")
	case registered != c.host:
		return fmt.Errorf("url: isn't what is registered; use %s", registered)
	}
	return nil
}

func (c *Check) readTrust() error {
	if c.Kind != HTTP && c.Kind != TLS && c.Trust != (Trust{}) {
		return errors.New("tls: is for monitors of type http and tls; take it out")
	}
	return nil
}

func (c *Check) readRequest() error {
	r := c.Request
	if c.Kind != HTTP {
		if r.Method != "" || r.Header != nil || r.Body != "" || r.User != "" || r.Password != "" || r.Bearer != "" || r.Redirects != 0 || r.Proxy != "" {
			return errors.New("method, headers, body, authentication, redirects and proxy: are for monitors of type http; take them out")
		}
		return nil
	}
	var problems []error
	wrong := func(is bool, text string) {
		if is {
			problems = append(problems, errors.New(text))
		}
	}
	wrong(!httpguts.ValidHeaderFieldName(r.Method) && r.Method != "" || r.Method == http.MethodConnect, "method: use a method of HTTP, such as GET or POST")
	wrong(len(r.Body) > maxSent, "body: is longer than 64 KiB")
	wrong(r.Bearer != "" && r.User+r.Password != "", "authentication: use basic or a bearer token, not both")
	wrong(!httpguts.ValidHeaderFieldValue(r.Bearer), "bearer: has a character that no header has")
	wrong(r.Redirects > maxRedirects, "redirects: follow at most 20")
	sent := 0
	for name, value := range r.Header {
		sent += len(name) + len(value)
		wrong(!httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value), fmt.Sprintf("headers: %q isn't a header", name))
	}
	wrong(sent > maxSent, "headers: are longer than 64 KiB")
	if c.redirects = r.Redirects; r.Redirects == 0 {
		c.redirects = usualRedirects
	}
	if r.Proxy != "" {
		u, err := url.Parse(r.Proxy)
		if wrong(err != nil || u.Scheme != "http" && u.Scheme != "socks5" || u.Hostname() == "" || !isPort(u.Port(), ""), "proxy: use an address such as http://proxy.example.com:3128 or socks5://…"); err == nil {
			c.proxy = u
		}
	}
	return errors.Join(problems...)
}

func (c *Check) readLookup() error {
	l := c.Lookup
	if c.Kind != DNS {
		if l != (Lookup{}) {
			return errors.New("record and resolver: are for monitors of type dns; take them out")
		}
		return nil
	}
	if c.record = dns.TypeA; l.Type != "" {
		c.record = dns.StringToType[strings.ToUpper(l.Type)]
	}
	if !slices.Contains(records, c.record) {
		var names []string
		for _, record := range records {
			names = append(names, dns.TypeToString[record])
		}
		return fmt.Errorf("record: use one of %s", strings.Join(names, ", "))
	}
	if l.Resolver == "" {
		return nil
	}
	at, err := netip.ParseAddrPort(l.Resolver)
	if ip, noPort := netip.ParseAddr(l.Resolver); noPort == nil {
		at, err = netip.AddrPortFrom(ip, 53), nil
	}
	if err != nil || at.Port() == 0 {
		return errors.New("resolver: use an IP address, with a port or without one, such as 9.9.9.9")
	}
	if err := guard.Check(at.Addr(), c.AllowPrivate); err != nil {
		return fmt.Errorf("resolver: is %w", err)
	}
	c.resolvers = []string{at.String()}
	return nil
}

// records are what can be asked for.
var records = []uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeCAA, dns.TypeCNAME, dns.TypeDNSKEY, dns.TypeDS, dns.TypeHTTPS, dns.TypeMX, dns.TypeNS, dns.TypePTR,
	dns.TypeSOA, dns.TypeSRV, dns.TypeSVCB, dns.TypeTLSA, dns.TypeTXT,
}

// readExpect compiles the conditions, and adds what holds unless they are about the same.
func (c *Check) readExpect(subjects []condition.Subject, holds string) (problems []error) {
	if len(c.Expect) > maxExpect {
		return []error{errors.New("expect: use at most 50 conditions")}
	}
	for _, text := range c.Expect {
		one, err := c.compiled.compile(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("expect: %w", err))
			continue
		}
		for _, s := range one.Subjects() {
			if s != condition.Latency && !slices.Contains(subjects, s) {
				problems = append(problems, fmt.Errorf("expect: %s: a monitor of type %s has no %s", text, c.Kind, s))
			}
		}
		c.expect = append(c.expect, one)
	}
	if holds == "" {
		return problems
	}
	usual, err := c.compiled.compile(holds)
	if err != nil {
		return append(problems, err)
	}
	if !c.uses(usual.Subjects()...) {
		c.expect = append([]*condition.Condition{usual}, c.expect...)
	}
	return problems
}
