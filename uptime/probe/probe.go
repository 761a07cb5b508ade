// Package probe checks a target once, now: over HTTP, TCP, TLS or ICMP, in the DNS, or with
// the registry of a domain. It says whether the target is up, how long each phase took
// and, in words for people, which phase failed and why. When something is checked again,
// and what becomes of the results, it doesn't know.
//
// Targets and what they answer are strangers. An address is looked at by internal/guard
// after it was resolved and before it is dialled. A check opens its own connections, and
// all of them are closed as it ends; what is read of an answer is bounded.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"math"
	"net"
	"net/url"
	"slices"
	"time"

	"manus/language"
	"manus/uptime/condition"
)

// Kind is how a target is checked.
type Kind string

// The kinds.
const (
	HTTP   Kind = "http"   // a request is answered
	TCP    Kind = "tcp"    // a connection can be made
	DNS    Kind = "dns"    // a name has records
	ICMP   Kind = "icmp"   // a ping is answered
	TLS    Kind = "tls"    // a handshake succeeds, and the certificate is valid for longer
	Domain Kind = "domain" // a registered domain doesn't expire soon (RDAP, RFC 9082 and 9083)
)

// Target is what is checked, and how.
type Target struct {
	Kind Kind
	// Address is a URL for HTTP, and host:port for TCP and TLS, where the port of TLS is 443
	// if it is left out. For DNS it is a name, for ICMP a host, for Domain a domain.
	Address string
	// Timeout is for the whole check; 10 s where it is zero.
	Timeout time.Duration
	// Expect are conditions, all of which have to hold. What they leave open holds by
	// default: the status is from 200 to 299, a certificate is valid for more than 14 days,
	// a domain for more than 30, a name has records.
	Expect []string
	// IP is 4 or 6 for that version of the protocol alone.
	IP int
	// AllowPrivate lets the target be in a private network.
	AllowPrivate bool

	Request Request // of HTTP
	Trust   Trust   // of HTTP and TLS
	Lookup  Lookup  // of DNS
}

// Request is what is asked of an HTTP server. What of it may be a secret goes to the target's
// origin only: not to another one that it redirects to.
type Request struct {
	Method         string // GET where it is empty
	Header         map[string]string
	Body           string
	User, Password string // basic authentication
	Bearer         string // a bearer token
	// Redirects is how many are followed: 5 where it is zero, none where it is negative.
	Redirects int
	// Proxy is the URL (http or socks5) of a proxy that the request goes through. Where a
	// name leads is then the proxy's to look at.
	Proxy string
}

// Trust is how both sides of a TLS connection know each other.
type Trust struct {
	ServerName  string           // that the certificate has to have; the target's host where it is empty
	Roots       *x509.CertPool   // the machine's where it is nil
	Certificate *tls.Certificate // the client's; none where it is nil
	Unverified  bool             // any certificate is taken
}

// Lookup is a question to the DNS.
type Lookup struct {
	Type     string // A where it is empty
	Resolver string // ip or ip:port; the machine's where it is empty
}

// Result is what a check has found, as the API has it. Times are in milliseconds; a phase
// that there wasn't took none. Of several requests, as of redirects, they are the sums.
type Result struct {
	At time.Time `json:"at"`
	Up bool      `json:"up"`
	// Unknown says that nothing was learned about the target, as the fault is this
	// machine's or somebody else's; Up is false then.
	Unknown    bool    `json:"unknown,omitempty"`
	StatusCode int     `json:"status_code,omitempty"`
	DNS        float64 `json:"dns_ms"`
	Connect    float64 `json:"connect_ms"`
	TLS        float64 `json:"tls_ms"`
	FirstByte  float64 `json:"first_byte_ms"`
	Total      float64 `json:"total_ms"`
	// Error says why the target isn't up. It has no secret and no text of a body.
	Error language.Text `json:"error,omitzero"`
	// Failed are the conditions that don't hold.
	Failed []string `json:"failed,omitempty"`
	// Expires is when the certificate or the domain does, where that is known.
	Expires time.Time `json:"expires_at,omitzero"`
}

// Options are what all checks of a program share.
type Options struct {
	Version string // of the program, for the User-Agent
	// Registries is the address of IANA's list of registries (RFC 9224); theirs where it is
	// empty.
	Registries string
	// Now is the time that certificates and domains are compared with; nil for time.Now.
	Now func() time.Time

	resolver *net.Resolver // of the tests
	roots    *x509.CertPool
}

// Prober makes checks.
type Prober struct {
	agent      string
	now        func() time.Time
	resolver   *net.Resolver
	roots      *x509.CertPool // the machine's where it is nil
	registries *registries
	compiled   compiled
}

// New returns a prober.
func New(o Options) *Prober {
	p := &Prober{agent: Agent(o.Version), now: o.Now, resolver: o.resolver, roots: o.roots, registries: newRegistries(o.Registries)}
	if p.now == nil {
		p.now = time.Now
	}
	if p.resolver == nil {
		p.resolver = &net.Resolver{PreferGo: true} // libc's holds a thread for each name, and can't be broken off
	}
	return p
}

// Agent is the User-Agent of the checks of a program of a version.
func Agent(version string) string {
	if version == "" {
		return "Manus"
	}
	return "Manus/" + version
}

// Check is a target that can be checked, again and again, by several at a time.
type Check struct {
	*Prober
	Target
	timeout time.Duration
	expect  []*condition.Condition
	probe   func(*attempt) error

	url       *url.URL // of HTTP
	proxy     *url.URL
	redirects int
	host      string // else
	port      string
	resolvers []string // of DNS
	record    uint16
}

// judging is how long the patterns of all conditions may take: a target decides how long its body is.
const judging = time.Second

// Do checks the target. It returns when the timeout or the context has ended at the latest, or
// about a second after that where patterns are looked for.
func (c *Check) Do(ctx context.Context) Result {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel() // closes what was opened
	a := &attempt{Check: c, ctx: ctx, parent: parent}
	a.result.At = c.now()
	a.watch.enter(connecting)
	err := c.probe(a)
	spent, total := a.watch.stop()
	r := &a.result
	r.DNS, r.Connect, r.TLS, r.FirstByte = milliseconds(spent[resolving]), milliseconds(spent[connecting]), milliseconds(spent[handshaking]), milliseconds(spent[waiting])
	r.Total = milliseconds(total)
	if err != nil {
		f := a.explain(err)
		r.Unknown, r.Error = f.unknown, f.text
		return *r
	}
	a.seen.Latency, a.seen.Until = total, time.Now().Add(judging)
	a.judge()
	return *r
}

// milliseconds have two digits after the point.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*100) / 100
}

// attempt is a check while it is made.
type attempt struct {
	*Check
	ctx    context.Context // ends with the check
	parent context.Context // of who wanted it
	watch  stopwatch
	seen   condition.Observation
	result Result
}

// judge tells by the conditions whether the target is up.
func (a *attempt) judge() {
	for _, c := range a.expect {
		v := c.Evaluate(&a.seen)
		if v.Holds {
			continue
		}
		if len(a.result.Failed) == 0 {
			a.result.Error = language.Text{
				En: v.Found.En + "; expected: " + c.String(),
				Ar: v.Found.Ar + "؛ المتوقع: " + language.Arabic.Isolate(c.String()),
			}
		}
		a.result.Failed = append(a.result.Failed, c.String())
	}
	a.result.Up = len(a.result.Failed) == 0
}

// expiresAt notes when a certificate or a domain expires, and returns for how many days it is valid.
func (a *attempt) expiresAt(at time.Time) *float64 {
	a.result.Expires = at.UTC()
	days := at.Sub(a.now()).Hours() / 24
	return &days
}

// uses tells whether any of the conditions is about one of the subjects.
func (c *Check) uses(subjects ...condition.Subject) bool {
	return slices.ContainsFunc(c.expect, func(e *condition.Condition) bool {
		return slices.ContainsFunc(e.Subjects(), func(s condition.Subject) bool { return slices.Contains(subjects, s) })
	})
}
