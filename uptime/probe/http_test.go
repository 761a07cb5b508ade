package probe

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"manus/internal/waittest"
)

func TestAServerThatAnswersIsUpWithItsPhases(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	var resumed atomic.Bool
	server := secured(t, ca.certificate(t, nil), func(w http.ResponseWriter, r *http.Request) {
		resumed.Store(resumed.Load() || r.TLS.DidResume)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"status":"healthy","proto":%q,"agent":%q}`, r.Proto, r.UserAgent())
	})
	c := prepare(t, New(Options{Version: "1.2"}), Target{
		Kind: HTTP, Address: server.URL, AllowPrivate: true, Trust: Trust{Roots: ca.pool},
		Expect: []string{`status == 200`, `json.status == "healthy"`, `json.proto == "HTTP/2.0"`, `json.agent == "Manus/1.2"`, `latency < 10s`, `certificate.days > 89`, `header.content-type contains "json"`, `body contains "healthy"`},
	})
	for range 2 {
		r := c.Do(t.Context())
		up(t, r)
		if r.StatusCode != 200 || r.Connect <= 0 || r.TLS <= 0 || r.FirstByte <= 0 || r.Total < r.DNS+r.Connect+r.TLS+r.FirstByte-0.05 || r.At.IsZero() || time.Until(r.Expires) < 89*24*time.Hour {
			t.Errorf("%+v", r)
		}
	}
	if resumed.Load() {
		t.Error("a check resumed another one's session")
	}
}

func TestAConditionThatFailsIsToldWithWhatWasFound(t *testing.T) {
	t.Parallel()
	server := plain(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"status":"starting"}`)
	})
	p := New(Options{})
	r := do(t, p, Target{Kind: HTTP, Address: server.URL, Expect: []string{`json.status == "healthy"`, `latency < 1m`, `status == 200`}})
	down(t, r, `json.status is "starting"; expected: json.status == "healthy"`)
	if fmt.Sprint(r.Failed) != `[json.status == "healthy" status == 200]` || r.StatusCode != 503 {
		t.Errorf("%+v", r)
	}
	r = do(t, p, Target{Kind: HTTP, Address: server.URL, Expect: []string{`latency < 1m`}})
	down(t, r, `status is 503; expected: status >= 200 && status < 300`)
	up(t, do(t, p, Target{Kind: HTTP, Address: server.URL, Expect: []string{`status == 503`}}))
	r = do(t, p, Target{Kind: HTTP, Address: server.URL, Expect: []string{`status == 503`, `certificate.days > 14`}})
	down(t, r, `certificate.days is missing; expected: certificate.days > 14`)
}

func TestEachFaultOfACertificateIsTold(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	day := 24 * time.Hour
	for _, c := range []struct {
		name   string
		signer *authority
		change func(*x509.Certificate)
		want   string
	}{
		{"good", ca, nil, ""},
		{"expired", ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-3*day - time.Hour) }, "TLS: the certificate expired 3 days ago"},
		{"just expired", ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-90*time.Minute - 30*time.Second) }, "TLS: the certificate expired 1 hour 30 minutes ago"},
		{"not yet", ca, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(2*day + time.Hour) }, "TLS: the certificate is valid in 2 days only"},
		{"wrong host", ca, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"a.example", "b.example"} }, "TLS: the certificate is for a.example, b.example, not for 127.0.0.1"},
		{"no name", ca, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, nil }, "TLS: the certificate has no name in it"},
		{"hostile names", ca, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{strings.Repeat("x", 300) + ".example"}
		}, "TLS: the certificate is for " + strings.Repeat("x", 100) + ", not for 127.0.0.1"},
		{"self-signed", &authority{}, nil, "TLS: the certificate is signed by itself"},
		{"unknown authority", other, nil, "TLS: the certificate is signed by an unknown authority, or one between isn't sent"},
		{"soon", ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(10*day + 12*time.Hour) }, "certificate.days is 10.5; expected: certificate.days > 14"},
		{"for clients", ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "TLS: the certificate isn't valid: x509: certificate specifies an incompatible key usage"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := secured(t, c.signer.certificate(t, c.change), ok)
			p := New(Options{})
			for _, target := range []Target{
				{Kind: TLS, Address: server.Listener.Addr().String()},
				{Kind: HTTP, Address: server.URL, Expect: []string{"certificate.days > 14"}},
			} {
				target.Trust.Roots = ca.pool
				r := do(t, p, target)
				if c.want == "" {
					up(t, r)
				} else {
					down(t, r, c.want)
				}
				if strings.Contains(c.want, "expired") && time.Since(r.Expires) < 0 {
					t.Errorf("it doesn't say when: %+v", r)
				}
				target.Trust = Trust{Unverified: true}
				target.Expect = []string{"certificate.days > -100"}
				up(t, do(t, p, target))
			}
		})
	}
}

func TestCertificatesAreComparedWithTheTimeThatIsGiven(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := secured(t, ca.certificate(t, nil), ok)
	p := New(Options{Now: func() time.Time { return time.Now().Add(80*24*time.Hour + 12*time.Hour) }})
	down(t, do(t, p, Target{Kind: TLS, Address: server.Listener.Addr().String(), Trust: Trust{Roots: ca.pool}}), "certificate.days is 9.5; expected: certificate.days > 14")
	p = New(Options{Now: func() time.Time { return time.Now().Add(92*24*time.Hour + time.Hour) }})
	down(t, do(t, p, Target{Kind: HTTP, Address: server.URL, Trust: Trust{Roots: ca.pool}}), "TLS: the certificate expired 2 days ago")
}

// Targets that hang or break off in each phase, and what is said of them.
func TestEachPhaseHasItsFault(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	certificate := ca.certificate(t, nil)
	slow := secured(t, certificate, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	closed := listen(t, untilClosed)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	_ = l.Close()
	for _, c := range []struct {
		name, address string
		serve         func(net.Conn)
		want          string
	}{
		{"refused", "http://" + free, nil, "Connection: refused: nothing listens there"},
		{"hanging handshake", "https://" + closed, nil, "TLS: the handshake didn't end within 1 second"},
		{"hanging answer, HTTP/2", slow.URL, nil, "HTTP: no answer within 1 second"},
		{"hanging answer", "http://", untilClosed, "HTTP: no answer within 1 second"},
		{"a header a second", "http://", answering("HTTP/1.1 200 OK\r\nA: b\r\n", untilClosed), "HTTP: the answer didn't end within 1 second"},
		{"hanging body", "http://", answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin", untilClosed), "HTTP: the answer didn't end within 1 second"},
		{"reset in the middle", "http://", answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin", reset), "HTTP: the answer broke off"},
		{"ended in the middle", "http://", answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin", nil), "HTTP: the answer broke off"},
		{"ended in a chunk", "http://", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbeg", nil), "HTTP: the answer broke off"},
		{"half a header", "http://", answering("HTTP/1.1 200 OK\r\nA: b", nil), "HTTP: the answer broke off"},
		{"closed without an answer", "http://", answering("", nil), "HTTP: the server closed the connection without an answer"},
		{"reset without an answer", "http://", answering("", reset), "HTTP: the server broke the connection off"},
		{"reset in the handshake", "https://", func(conn net.Conn) { _, _ = conn.Read(make([]byte, 10)); reset(conn) }, "TLS: the server broke the connection off"},
		{"closed in the handshake", "https://", func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) }, "TLS: the server closed the connection"},
		{"not HTTP", "http://", answering("220 mail.example.com ESMTP\r\n", nil), "HTTP: the answer can't be read as HTTP"},
		{"not TLS", "https://", func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH\r\n"); untilClosed(conn) }, "TLS: the server doesn't speak TLS here"},
		{"HTTP without TLS", "https://", func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			untilClosed(conn)
		}, "TLS: the server doesn't speak TLS here"},
		{"headers without end", "http://", answering("HTTP/1.1 200 OK\r\n", endlessly("A: b\r\n")), "HTTP: the headers of the answer are too long"},
		{"one header without end", "http://", answering("HTTP/1.1 200 OK\r\nA: ", endlessly("b")), "HTTP: the headers of the answer are too long"},
		{"a storm of 1xx", "http://", answering("", endlessly("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")), "HTTP: the headers of the answer are too long"},
		{"switching protocols", "http://", answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", untilClosed), "status is 101; expected: status >= 200 && status < 300"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address := c.address
			if c.serve != nil {
				address += listen(t, c.serve)
			}
			timeout := 30 * time.Second // which is never waited for
			if strings.Contains(c.want, "1 second") {
				timeout = time.Second
			}
			down(t, do(t, New(Options{}), Target{Kind: HTTP, Address: address, Timeout: timeout, Trust: Trust{Roots: ca.pool}}), c.want)
		})
	}
}

func TestAHandshakeThatTheServerRefuses(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := secured(t, ca.certificate(t, nil), func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	})
	server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool
	target := Target{Kind: HTTP, Address: server.URL, Trust: Trust{Roots: ca.pool}, Expect: []string{`body == "server"`}}
	// The server's word comes after the handshake, and is lost where its reset overtakes it.
	refusals := []string{"TLS: the server refuses the handshake: certificate required", "HTTP: the server broke the connection off"}
	if r := do(t, New(Options{}), target); r.Up || !slices.Contains(refusals, r.Error.En) {
		t.Errorf("%+v", r)
	}
	client := ca.certificate(t, nil)
	target.Trust.Certificate = &client
	up(t, do(t, New(Options{}), target))
}

func TestANameThatTheServerDoesNotServe(t *testing.T) {
	t.Parallel()
	server := secured(t, newAuthority(t).certificate(t, nil), ok)
	server.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no such site") }
	for kind, address := range map[Kind]string{HTTP: server.URL, TLS: server.Listener.Addr().String()} {
		down(t, do(t, New(Options{}), Target{Kind: kind, Address: address}), "TLS: the server refuses the handshake: internal error")
	}
}

func TestWhatIsAskedIsWhatTheTargetSays(t *testing.T) {
	t.Parallel()
	server := plain(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		_, _ = fmt.Fprintf(w, "%s %s %s %s|%s:%s|%s|%s|%s", r.Method, r.Host, r.Header.Get("X-Key"), body, user, password, r.Header.Get("Authorization"), r.Header.Get("Accept-Encoding"), r.UserAgent())
	})
	p := New(Options{})
	for want, request := range map[string]Request{
		"GET " + server.Listener.Addr().String() + "  |:|||Manus":                     {},
		"PUT shop.example key {}|:|Bearer t0ken||us":                                  {Method: "PUT", Header: map[string]string{"X-Key": "key", "host": "shop.example", "User-Agent": "us"}, Body: "{}", Bearer: "t0ken"},
		"POST " + server.Listener.Addr().String() + "  b|me:pw|Basic bWU6cHc=||Manus": {Method: "POST", Body: "b", User: "me", Password: "pw"},
	} {
		up(t, do(t, p, Target{Kind: HTTP, Address: server.URL, Request: request, Expect: []string{fmt.Sprintf("body == %q", want)}}))
	}
	up(t, do(t, p, Target{Kind: HTTP, Address: server.URL, Request: Request{Method: "HEAD"}, Expect: []string{`body == ""`}}))
}

func TestRedirectsAreFollowedWithinBounds(t *testing.T) {
	t.Parallel()
	var seen atomic.Value
	var looped atomic.Int32
	other := plain(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Clone())
		_, _ = io.WriteString(w, "there")
	})
	server := plain(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/loop":
			looped.Add(1)
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/key", http.StatusFound)
		case "/key":
			_, _ = io.WriteString(w, r.Header.Get("X-Key"))
		case "/there":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/body":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		default:
			http.Redirect(w, r, strings.TrimPrefix(r.URL.Path, "/to/"), http.StatusFound)
		}
	})
	request := Request{Header: map[string]string{"X-Key": "key", "Cookie": "c"}, Bearer: "secret"}
	target := func(path string, expect ...string) Target {
		return Target{Kind: HTTP, Address: server.URL + path + "?secret=query", Request: request, Expect: expect}
	}
	p := New(Options{})
	up(t, do(t, p, target("/here", `body == "key"`)))
	up(t, do(t, p, target("/there", `body == "there"`)))
	got := seen.Load().(http.Header)
	if got.Del("Connection"); len(got) != 2 || got.Get("User-Agent") == "" || got.Get("Accept") == "" {
		t.Errorf("another origin is told %v", got)
	}
	down(t, do(t, p, target("/loop")), "HTTP: it was redirected more often than is followed (5)")
	if looped.Load() != 6 {
		t.Errorf("%d requests were sent", looped.Load())
	}
	none := target("/loop", "status == 302")
	none.Request.Redirects = -1
	up(t, do(t, p, none))
	body := target("/body")
	body.Request.Method, body.Request.Body = "POST", "secret"
	down(t, do(t, p, body), "HTTP: it redirects the body of the request to another origin")
	down(t, do(t, p, target("/to/ftp:%2f%2fexample.com")), "HTTP: it redirects to what isn't the web")
	down(t, do(t, p, target("/to/http:%2f%2f169.254.169.254%2flatest")), "Connection: the target leads to a link-local or metadata address, which is never dialled")
	down(t, do(t, p, target("/to/http:%2f%2f[::ffff:169.254.169.254]")), "Connection: the target leads to a link-local or metadata address, which is never dialled")
}

// A name may lead elsewhere each time it is looked up, so it is the address that is looked at.
func TestTheAddressThatIsDialledIsTheOneThatWasLookedAt(t *testing.T) {
	t.Parallel()
	server := plain(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	private, never := "an address of a private network, which isn't dialled (ALLOW_PRIVATE_TARGETS=true lets it, and private: true a monitor)", "a link-local or metadata address, which is never dialled"
	for _, c := range []struct {
		leads   string
		allowed bool
		want    string
	}{
		{"127.0.0.1", false, private}, {"::1", false, private}, {"10.1.2.3", false, private}, {"::ffff:127.0.0.1", false, private}, {"64:ff9b::7f00:1", false, private},
		{"169.254.169.254", true, never}, {"fe80::1", true, never}, {"64:ff9b::a9fe:a9fe", true, never}, {"fd00:ec2::254", true, never},
	} {
		p := resolvingTo(t, c.leads, Options{})
		for kind, address := range map[Kind]string{HTTP: "http://app.example.com:" + port, TCP: "app.example.com:" + port, TLS: "app.example.com:" + port, ICMP: "app.example.com"} {
			r := prepare(t, p, Target{Kind: kind, Address: address, AllowPrivate: c.allowed}).Do(t.Context())
			down(t, r, "Connection: the target leads to "+c.want)
		}
	}
	for _, host := range []string{"localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]", "LOCALHOST.", "0.0.0.0"} {
		c, err := New(Options{}).Prepare(Target{Kind: HTTP, Address: "http://" + host + ":" + port, Timeout: 5 * time.Second})
		if err == nil {
			if r := c.Do(t.Context()); r.Up || r.Error.En == "" {
				t.Errorf("%s: %+v", host, r)
			}
		}
	}
}

func TestAProxyIsAskedAndTold(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	behind := secured(t, ca.certificate(t, nil), ok)
	var asked atomic.Int32
	proxy := plain(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if strings.Contains(r.Host, "refused") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.Method != http.MethodConnect {
			(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}).ServeHTTP(w, r)
			return
		}
		to, err := net.Dial("tcp", behind.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		from, read, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, read); _ = to.Close() }()
		_, _ = io.Copy(from, to)
		_ = from.Close()
	})
	p := resolvingTo(t, "169.254.169.254", Options{})
	nameless := resolvingBy(serveDNS(t, refuse), Options{})
	through := func(p *Prober, address string) Result {
		return do(t, p, Target{Kind: HTTP, Address: address, Request: Request{Proxy: proxy.URL}, Trust: Trust{Roots: ca.pool}})
	}
	up(t, through(nameless, "https://shop.example"))
	up(t, through(nameless, plain(t, ok).URL))
	down(t, through(nameless, "https://refused.example"), "Connection: the proxy answered 403")
	if asked.Load() != 3 {
		t.Errorf("the proxy was asked %d times", asked.Load())
	}
	gone := httptest.NewServer(http.HandlerFunc(ok))
	gone.Close()
	down(t, do(t, nameless, Target{Kind: HTTP, Address: "https://shop.example", Request: Request{Proxy: gone.URL}}), "Connection: the proxy can't be reached")
	never := "Connection: the target leads to a link-local or metadata address, which is never dialled"
	down(t, through(p, "https://shop.example"), never)
	if c, err := p.Prepare(Target{Kind: HTTP, Address: "http://169.254.169.254", AllowPrivate: true, Request: Request{Proxy: proxy.URL}}); err == nil {
		t.Errorf("it is prepared: %v", c)
	}
	if asked.Load() != 3 {
		t.Error("the proxy was asked for what is never dialled")
	}
}

func gzipped(t *testing.T, n int64) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.CopyN(w, zeros{}, n); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestABodyIsReadWithinBounds(t *testing.T) {
	t.Parallel()
	bomb := gzipped(t, 20<<20)
	var last atomic.Int64
	server := plain(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			w.Header().Set("Content-Length", fmt.Sprint(10<<30))
			_, _ = io.WriteString(w, "begin")
			n, _ := io.Copy(w, zeros{})
			last.Store(n)
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			packer := gzip.NewWriter(w)
			_, _ = io.WriteString(packer, `{"a":1}`)
			_ = packer.Close()
		case "/torn":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb[:20])
		case "/brotli":
			w.Header().Set("Content-Encoding", "br")
		}
	})
	p := New(Options{})
	check := func(path, expect, want string) {
		t.Helper()
		r := do(t, p, Target{Kind: HTTP, Address: server.URL + path, Expect: []string{expect}})
		if want == "" {
			up(t, r)
		} else {
			down(t, r, want+"; expected: "+expect)
		}
	}
	check("/endless", "status == 200", "")
	check("/endless", `body contains "begin"`, "")
	check("/endless", "json.a == 1", "the body is longer than what is read of it")
	check("/bomb", `len(body) <= 262144`, "")
	check("/bomb", `json.a == 1`, "the body is longer than what is read of it")
	check("/gzip", `json.a == 1`, "")
	check("/torn", `body contains "x"`, "the body can't be unpacked")
	check("/brotli", `body == ""`, "the body is packed in a way that isn't read here")
	waittest.Poll(t, func() bool { return last.Load() > 0 })
	if last.Load() > 32<<20 { // what buffers of the kernel take
		t.Errorf("%d bytes were taken", last.Load())
	}
}

// What a target sends without end takes no more memory than what is read of it.
func TestHostileAnswersTakeLittleMemory(t *testing.T) { //nolint:paralleltest // the memory of others would count
	bomb := gzipped(t, 200<<20)
	for name, serve := range map[string]func(net.Conn){
		"a header without end": answering("HTTP/1.1 200 OK\r\nA: ", endlessly("b")),
		"a storm of 1xx":       answering("", endlessly("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")),
		"a body without end":   answering("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", endlessly("b")),
		"chunks without end":   answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", endlessly("1\r\nb\r\n")),
		"a bomb":               answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(bomb), bomb), nil),
	} {
		c := prepare(t, New(Options{}), Target{Kind: HTTP, Address: "http://" + listen(t, serve), AllowPrivate: true, Timeout: time.Minute, Expect: []string{`body == "x"`}})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := c.Do(t.Context())
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; r.Up || r.Error.En == "" || took > 3<<20 {
			t.Errorf("%s: %d KiB: %+v", name, took>>10, r)
		}
	}
}

// Hundreds of checks of targets that never end keep little memory while they last, and
// leave nothing behind.
func TestNothingIsLeftBehind(t *testing.T) { //nolint:paralleltest // goroutines of others would count
	ca := newAuthority(t)
	certificate := ca.certificate(t, nil)
	hanging := secured(t, certificate, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	endless := secured(t, certificate, func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 16<<10); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	var open atomic.Int64
	count := func(serve func(net.Conn)) string {
		return listen(t, func(conn net.Conn) {
			open.Add(1)
			defer open.Add(-1)
			serve(conn)
		})
	}
	silent := serveSilence(t)
	targets := []Target{
		{Kind: HTTP, Address: "http://" + count(untilClosed)},
		{Kind: HTTP, Address: "https://" + count(untilClosed)},
		{Kind: TLS, Address: count(untilClosed)},
		{Kind: HTTP, Address: "http://" + count(answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", untilClosed)), Expect: []string{`json.a == 1`}},
		{Kind: HTTP, Address: "http://" + count(answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", untilClosed)), Expect: []string{"status == 200"}},
		{Kind: HTTP, Address: hanging.URL}, {Kind: HTTP, Address: endless.URL, Expect: []string{`body contains "x"`}},
		{Kind: DNS, Address: "example.com", Lookup: Lookup{Resolver: silent}},
	}
	p := New(Options{})
	before := runtime.NumGoroutine()
	const each = 40
	done := make(chan Result)
	for i := range each * len(targets) {
		target := targets[i%len(targets)]
		target.AllowPrivate, target.Timeout, target.Trust.Roots = true, 1500*time.Millisecond, ca.pool
		if target.Kind == DNS {
			target.Trust = Trust{}
		}
		c := prepare(t, p, target)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			done <- c.Do(ctx)
		}()
	}
	for range each * len(targets) {
		if r := <-done; r.Up || r.Error.En == "" {
			t.Errorf("%+v", r)
		}
	}
	waittest.Poll(t, func() bool { return open.Load() == 0 })
	hanging.CloseClientConnections()
	endless.CloseClientConnections()
	waittest.Poll(t, func() bool { return runtime.NumGoroutine() <= before+5 })
}

func TestACheckThatIsBrokenOffSaysNothingOfTheTarget(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	address := listen(t, func(conn net.Conn) {
		cancel()
		untilClosed(conn)
	})
	r := prepare(t, New(Options{}), Target{Kind: HTTP, Address: "http://" + address, AllowPrivate: true}).Do(ctx)
	if r.Up || !r.Unknown || r.Error.En != "the check was broken off" {
		t.Errorf("%+v", r)
	}
}

func TestNoSecretIsInAnError(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(ok))
	server.Close()
	u, _ := url.Parse(server.URL)
	u.Path, u.RawQuery = "/s3cret", "token=s3cret"
	r := do(t, New(Options{}), Target{Kind: HTTP, Address: u.String(), Request: Request{Bearer: "s3cret", Header: map[string]string{"X": "s3cret"}}})
	if r.Up || strings.Contains(fmt.Sprint(r), "s3cret") {
		t.Errorf("%+v", r)
	}
	_, err := New(Options{}).Prepare(Target{Kind: HTTP, Address: "https://me:s3cret@example.com", Request: Request{Bearer: "s3cret\n", Header: map[string]string{"X": "s3cret\n"}, Proxy: "nonsense://me:s3cret@x"}})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
}

func BenchmarkCheck(b *testing.B) {
	t := &testing.T{}
	ca := newAuthority(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.certificate(t, nil)}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	b.Cleanup(server.Close)
	c, err := New(Options{}).Prepare(Target{Kind: HTTP, Address: server.URL, AllowPrivate: true, Trust: Trust{Roots: ca.pool}, Expect: []string{"status == 200", "latency < 10s"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := c.Do(b.Context()); !r.Up {
			b.Fatalf("%+v", r)
		}
	}
}
