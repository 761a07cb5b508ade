package probe

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"manus/internal/processtest"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"ping": pingRole, "strangers": strangersRole, "without files": withoutFilesRole})
	os.Exit(m.Run())
}

// do checks a target that may be on this machine.
func do(t *testing.T, p *Prober, target Target) Result {
	t.Helper()
	target.AllowPrivate = true
	return prepare(t, p, target).Do(t.Context())
}

func prepare(t *testing.T, p *Prober, target Target) *Check {
	t.Helper()
	c, err := p.Prepare(target)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// down fails unless the target is down for a reason.
func down(t *testing.T, r Result, want string) {
	t.Helper()
	if r.Up || r.Unknown || r.Error.En != want || r.Error.Ar == "" || r.Error.Ar == want {
		t.Errorf("%+v\ninstead of %q", r, want)
	}
}

func up(t *testing.T, r Result) {
	t.Helper()
	if !r.Up || r.Unknown || r.Error.En != "" || len(r.Failed) > 0 {
		t.Errorf("it isn't up: %+v", r)
	}
}

// authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	made := a.certificate(t, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.Subject = true, true, x509.KeyUsageCertSign, pkix.Name{CommonName: "Tests' authority"}
	})
	a.key, a.cert = made.PrivateKey.(*ecdsa.PrivateKey), made.Leaf
	a.pool.AddCert(a.cert)
	return a
}

// certificate is one for this machine, as change says; signed by itself where there is no authority.
func (a *authority) certificate(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<60))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "server"}, NotBefore: time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost", "shop.example"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// secured is an HTTPS server with a certificate.
func secured(t *testing.T, certificate tls.Certificate, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func plain(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

// listen serves raw connections, each until the test has ended.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { _ = conn.Close() })
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// answering reads a request, and then writes something and whatever else does.
func answering(text string, and func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, text)
		if and != nil {
			and(conn)
		}
	}
}

// untilClosed waits for the other side.
func untilClosed(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// endlessly writes a piece again and again, until the other side has closed.
func endlessly(piece string) func(net.Conn) {
	return func(conn net.Conn) {
		for block := []byte(strings.Repeat(piece, 1+(8<<10)/len(piece))); ; {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}
}

// reset breaks a connection off.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// serveDNS answers questions over UDP and TCP on the same port.
func serveDNS(t *testing.T, handler dns.HandlerFunc) string {
	t.Helper()
	for {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		stream, err := net.Listen("tcp", packets.LocalAddr().String())
		if err != nil { // somebody else has that port
			_ = packets.Close()
			continue
		}
		for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: stream, Handler: handler}} {
			started := make(chan struct{})
			server.NotifyStartedFunc = func() { close(started) }
			go func() { _ = server.ActivateAndServe() }()
			<-started
			t.Cleanup(func() { _ = server.Shutdown() })
		}
		return packets.LocalAddr().String()
	}
}

// resolvingTo is a prober for which every name has an address.
func resolvingTo(t *testing.T, address string, o Options) *Prober {
	t.Helper()
	ip := netip.MustParseAddr(address)
	server := serveDNS(t, func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		reply.RecursionAvailable = true
		header := dns.RR_Header{Name: m.Question[0].Name, Rrtype: m.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
		switch {
		case header.Rrtype == dns.TypeA && ip.Is4():
			reply.Answer = []dns.RR{&dns.A{Hdr: header, A: ip.AsSlice()}}
		case header.Rrtype == dns.TypeAAAA && ip.Is6():
			reply.Answer = []dns.RR{&dns.AAAA{Hdr: header, AAAA: ip.AsSlice()}}
		}
		_ = w.WriteMsg(reply)
	})
	return resolvingBy(server, o)
}

// resolvingBy is a prober with a resolver.
func resolvingBy(server string, o Options) *Prober {
	o.resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}}
	return New(o)
}
