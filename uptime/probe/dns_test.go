package probe

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// refuse answers that it knows no name.
func refuse(w dns.ResponseWriter, m *dns.Msg) {
	_ = w.WriteMsg(new(dns.Msg).SetRcode(m, dns.RcodeNameError))
}

// serveSilence is a resolver that never answers.
func serveSilence(t *testing.T) string {
	t.Helper()
	return serveDNS(t, func(dns.ResponseWriter, *dns.Msg) {})
}

// zone answers from records by their question.
func zone(t *testing.T, records ...string) dns.HandlerFunc {
	t.Helper()
	var all []dns.RR
	for _, text := range records {
		record, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, record)
	}
	return func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetRcode(m, dns.RcodeNameError)
		for _, record := range all {
			if !strings.EqualFold(record.Header().Name, m.Question[0].Name) {
				continue
			}
			reply.Rcode = dns.RcodeSuccess
			if t := record.Header().Rrtype; t == m.Question[0].Qtype || t == dns.TypeCNAME {
				reply.Answer = append(reply.Answer, record)
			}
		}
		if w.RemoteAddr().Network() == "udp" {
			reply.Truncate(512)
		}
		_ = w.WriteMsg(reply)
	}
}

func TestANameHasTheRecordsThatAreExpected(t *testing.T) {
	t.Parallel()
	long := []string{}
	for i := range 200 {
		long = append(long, fmt.Sprintf("many.example. 60 IN A 192.0.2.%d", i))
	}
	server := serveDNS(t, zone(t, append(long, "example.com. 60 IN A 192.0.2.8", "example.com. 60 IN A 192.0.2.7", "example.com. 60 IN MX 10 mail.example.com.",
		`example.com. 60 IN TXT "v=spf1 " "-all"`, "www.example.com. 60 IN CNAME example.com.", `_dmarc.example.com. 60 IN TXT "v=DMARC1"`, "xn--mgbh0fb.example. 60 IN A 192.0.2.9")...))
	p := New(Options{})
	for _, c := range []struct{ name, record, expect, want string }{
		{"example.com", "", `dns.answer contains "192.0.2.7" && len(dns.answer) == 2 && dns.rcode == "NOERROR"`, ""},
		{"dns://Example.com.", "a", "", ""},
		{"example.com", "MX", `dns.answer contains "10 mail.example.com"`, ""},
		{"example.com", "TXT", `dns.answer contains "v=spf1 -all"`, ""},
		{"_dmarc.example.com", "TXT", `dns.answer contains "v=DMARC1"`, ""},
		{"مثال.example", "A", `dns.answer contains "192.0.2.9"`, ""},
		{"www.example.com", "CNAME", `dns.answer contains "example.com"`, ""},
		{"many.example", "A", `len(dns.answer) == 100`, ""}, // over TCP, and no more than are kept
		{"www.example.com", "A", "", "DNS: the name has no A record"},
		{"example.com", "AAAA", "", "DNS: the name has no AAAA record"},
		{"example.com", "AAAA", "len(dns.answer) == 0", ""},
		{"gone.example", "A", "", "DNS: there is no such name (NXDOMAIN)"},
		{"gone.example", "A", `dns.rcode == "NXDOMAIN"`, ""},
		{"example.com", "A", `dns.answer contains "192.0.2.9"`, `dns.answer is ["192.0.2.7","192.0.2.8"]; expected: dns.answer contains "192.0.2.9"`},
	} {
		target := Target{Kind: DNS, Address: c.name, Lookup: Lookup{Type: c.record, Resolver: server}}
		if c.expect != "" {
			target.Expect = []string{c.expect}
		}
		r := do(t, p, target)
		if c.want == "" {
			up(t, r)
		} else {
			down(t, r, c.want)
		}
	}
}

func TestAResolverThatFailsOrLies(t *testing.T) {
	t.Parallel()
	record, _ := dns.NewRR("example.com. 60 IN A 192.0.2.7")
	var lost atomic.Bool
	for _, c := range []struct {
		name    string
		handler dns.HandlerFunc
		want    string
	}{
		{"silent", func(dns.ResponseWriter, *dns.Msg) {}, "DNS: no answer within 3 seconds"},
		{"failing", func(w dns.ResponseWriter, m *dns.Msg) {
			_ = w.WriteMsg(new(dns.Msg).SetRcode(m, dns.RcodeServerFailure))
		}, "DNS: the resolver failed (SERVFAIL)"},
		{"refusing", func(w dns.ResponseWriter, m *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(m, dns.RcodeRefused)) }, "DNS: the resolver failed (REFUSED)"},
		{"another question", func(w dns.ResponseWriter, m *dns.Msg) {
			other := new(dns.Msg).SetQuestion("evil.example.", dns.TypeA)
			other.Id = m.Id
			reply := new(dns.Msg).SetReply(other)
			reply.Answer = []dns.RR{record}
			_ = w.WriteMsg(reply)
		}, "DNS: the resolver answered what it wasn't asked"},
		{"another id", func(w dns.ResponseWriter, m *dns.Msg) {
			reply := new(dns.Msg).SetReply(m)
			reply.Id++
			_ = w.WriteMsg(reply)
		}, "DNS: no answer within 3 seconds"},
		{"lost once", func(w dns.ResponseWriter, m *dns.Msg) {
			if lost.Swap(true) {
				reply := new(dns.Msg).SetReply(m)
				reply.Answer = []dns.RR{record}
				_ = w.WriteMsg(reply)
			}
		}, ""},
		{"nonsense", func(w dns.ResponseWriter, m *dns.Msg) { _, _ = w.Write([]byte{byte(m.Id >> 8), byte(m.Id), 0xff}) }, "DNS: the resolver's answer can't be read"},
		{"pointers in a circle", func(w dns.ResponseWriter, m *dns.Msg) {
			packed, _ := new(dns.Msg).SetReply(m).Pack()
			packed[7] = 1 // one answer, whose name leads to itself
			_, _ = w.Write(append(packed, 0xc0, byte(len(packed)), 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4))
		}, "DNS: the resolver's answer can't be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := do(t, New(Options{}), Target{Kind: DNS, Address: "example.com", Timeout: 3 * time.Second, Lookup: Lookup{Resolver: serveDNS(t, c.handler)}})
			if c.want == "" {
				up(t, r)
			} else {
				down(t, r, c.want)
			}
		})
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = packets.Close()
	r := do(t, New(Options{}), Target{Kind: DNS, Address: "example.com", Lookup: Lookup{Resolver: packets.LocalAddr().String()}})
	down(t, r, "DNS: refused: nothing listens there")
}

func TestATargetWhoseNameIsNotFound(t *testing.T) {
	t.Parallel()
	missing := resolvingBy(serveDNS(t, refuse), Options{})
	failing := resolvingBy(serveDNS(t, func(w dns.ResponseWriter, m *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(m, dns.RcodeServerFailure))
	}), Options{})
	silent := resolvingBy(serveSilence(t), Options{})
	six := resolvingTo(t, "::1", Options{})
	for kind, address := range map[Kind]string{HTTP: "http://app.example.com", TCP: "app.example.com:5432", TLS: "app.example.com", ICMP: "app.example.com"} {
		down(t, do(t, missing, Target{Kind: kind, Address: address}), "DNS: no such host")
		down(t, do(t, failing, Target{Kind: kind, Address: address}), "DNS: the resolver failed")
		down(t, do(t, silent, Target{Kind: kind, Address: address, Timeout: time.Second}), "DNS: no answer within 1 second")
		down(t, do(t, six, Target{Kind: kind, Address: address, IP: 4}), "DNS: no such host, or none with IPv4")
	}
}

func TestTheVersionOfTheProtocolCanBeChosen(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := resolvingTo(t, "::1", Options{})
	r := do(t, p, Target{Kind: TCP, Address: "app.example.com:" + port, IP: 6})
	up(t, r)
	if r.DNS <= 0 || r.Connect <= 0 || r.FirstByte != 0 {
		t.Errorf("%+v", r)
	}
	up(t, do(t, p, Target{Kind: TCP, Address: "tcp://[::1]:" + port}))
	up(t, do(t, p, Target{Kind: TCP, Address: "app.example.com:" + port}))
}
