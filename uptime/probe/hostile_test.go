package probe

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// hostile is a target that means harm. What is said of each stands in testdata/hostile.txt.
type hostile struct {
	name   string
	prober *Prober // New(Options{}) where it is nil
	target Target
	hangs  bool // until the check's timeout
}

var update = flag.Bool("update", false, "write what is said of hostile targets anew")

// Whatever a target does, its check ends within its timeout, takes little memory, and says in
// both languages what it was.
func TestHostileTargets(t *testing.T) { //nolint:paralleltest // the memory of others would count
	said := readSaid(t)
	var hanging sync.WaitGroup
	for _, h := range hostileTargets(t) {
		if h.hangs {
			c := h.prepare(t, time.Second)
			hanging.Go(func() { said.compare(t, h.name, within(t, c)) })
			continue
		}
		c := h.prepare(t, 30*time.Second) // which is never waited for
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		said.compare(t, h.name, within(t, c))
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 6<<20 { // with what the server takes
			t.Errorf("%s: it took %d KiB", h.name, took>>10)
		}
	}
	hanging.Wait()
}

// hostileTargets are all of them, those last that hang.
func hostileTargets(t *testing.T) []hostile {
	t.Helper()
	all := slices.Concat(hostileServers(t), hostileTLS(t), hostileRedirects(t), hostileResolvers(t), hostileRegistries(t))
	slices.SortStableFunc(all, func(a, b hostile) int {
		switch {
		case a.hangs == b.hangs:
			return 0
		case b.hangs:
			return -1
		}
		return 1
	})
	return all
}

func (h hostile) prepare(t *testing.T, timeout time.Duration) *Check {
	t.Helper()
	if h.prober == nil {
		h.prober = New(Options{})
	}
	h.target.AllowPrivate, h.target.Timeout = true, timeout
	return prepare(t, h.prober, h.target)
}

// within checks a target, which has to end.
func within(t *testing.T, c *Check) Result {
	t.Helper()
	late, cancel := context.WithTimeout(t.Context(), c.timeout+20*time.Second)
	defer cancel()
	done := make(chan Result, 1)
	go func() { done <- c.Do(t.Context()) }()
	select {
	case r := <-done:
		return r
	case <-late.Done():
		t.Error("it doesn't end: ", c.Address)
		return Result{}
	}
}

// said has what is said of targets, by their names.
type said struct {
	mu  sync.Mutex
	all map[string]string
}

const saidFile = "testdata/hostile.txt"

func readSaid(t *testing.T) *said {
	t.Helper()
	file, err := os.ReadFile(saidFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	s := &said{all: map[string]string{}}
	for block := range strings.SplitSeq(strings.TrimSpace(string(file)), "\n\n") {
		name, text, _ := strings.Cut(block, "\n")
		s.all[name] = text
	}
	if *update {
		s.all = map[string]string{}
		t.Cleanup(func() { s.write(t) })
	}
	return s
}

func (s *said) write(t *testing.T) {
	t.Helper()
	var file strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.all)) {
		fmt.Fprintf(&file, "%s\n%s\n\n", name, s.all[name])
	}
	if err := os.WriteFile(saidFile, []byte(file.String()), 0o600); err != nil {
		t.Error(err)
	}
}

// compare fails unless a result is as the file has it.
func (s *said) compare(t *testing.T, name string, r Result) {
	t.Helper()
	verdict := "down"
	switch {
	case r.Up:
		verdict = "up"
	case r.Unknown:
		verdict = "unknown"
	}
	text := strings.TrimSpace(fmt.Sprintf("  %s\n  %s\n  %s", verdict, r.Error.En, strings.NewReplacer("\u2068", `\u2068`, "\u2069", `\u2069`).Replace(r.Error.Ar)))
	s.mu.Lock()
	defer s.mu.Unlock()
	if *update {
		s.all[name] = "  " + text
	}
	if want := strings.TrimSpace(s.all[name]); want != text {
		t.Errorf("%s: %s\ninstead of %s", name, text, want)
	}
	if r.Up != (r.Error.En == "") || (r.Error.En == "") != (r.Error.Ar == "") || r.Up && r.Unknown {
		t.Errorf("%s: %+v", name, r)
	}
}

// drip writes a piece every few milliseconds.
func drip(piece string) func(net.Conn) {
	return func(conn net.Conn) {
		for {
			if _, err := io.WriteString(conn, piece); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // the target's own slowness
		}
	}
}

// halfClose ends what the server sends, and goes on reading.
func halfClose(conn net.Conn) {
	_ = conn.(*net.TCPConn).CloseWrite()
	untilClosed(conn)
}

// hostileServers answer a request.
func hostileServers(t *testing.T) (all []hostile) {
	t.Helper()
	bomb := gzipped(t, 200<<20)
	for _, s := range []struct {
		name   string
		serve  func(net.Conn)
		expect string
		hangs  bool
	}{
		{"a body without end", answering("HTTP/1.1 200 OK\r\n\r\n", endlessly("b")), "", false},
		{"a body without end as JSON", answering("HTTP/1.1 200 OK\r\n\r\n", endlessly("b")), "json.a == 1", false},
		{"a body that drips", answering("HTTP/1.1 200 OK\r\n\r\n", drip("b")), "", true},
		{"a header a second", answering("HTTP/1.1 200 OK\r\n", drip("A: b\r\n")), "", true},
		{"a status line that drips", answering("", drip("H")), "", true},
		{"a header of 2 MiB", answering("HTTP/1.1 200 OK\r\nA: "+strings.Repeat("b", 2<<20)+"\r\n\r\n", untilClosed), "", false},
		{"headers without end", answering("HTTP/1.1 200 OK\r\n", endlessly("A: b\r\n")), "", false},
		{"a storm of 1xx", answering("", endlessly("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")), "", false},
		{"100 after 100", answering("", drip("HTTP/1.1 100 Continue\r\n\r\n")), "", true},
		{"a protocol that is switched", answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", endlessly("b")), "", false},
		{"a status line that is none", answering("HTTP/1.1 2OO OK\r\n\r\n", nil), "", false},
		{"a status of six digits", answering("HTTP/1.1 200200 OK\r\n\r\n", nil), "", false},
		{"no protocol", answering("\x00\xff\x00\xff\r\n\r\n", untilClosed), "", false},
		{"a line without end", answering("", endlessly("x")), "", false},
		{"HTTP/0.9", answering("<html>hello</html>", nil), "", false},
		{"two lengths", answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", nil), "", false},
		{"a length below zero", answering("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", nil), "", false},
		{"a chunk that is none", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", untilClosed), "", false},
		{"a chunk of all memory", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", nil), "", false},
		{"a chunk's name without end", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", endlessly("x")), "", false},
		{"chunks of one byte without end", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", endlessly("1\r\nb\r\n")), "", false},
		{"trailers without end", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", endlessly("A: b\r\n")), "", false},
		{"a bomb", answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(bomb), bomb), nil), `body == "x"`, false},
		{"a bomb that is torn", answering("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"+string(bomb[:100]), nil), `body == "x"`, false},
		{"JSON that is deep", answering("HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat("[", 200<<10), nil), "json.a == 1", false},
		{"a connection that is half closed", halfClose, "", false},
		{"half closed in the middle", answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", halfClose), "", false},
		{"HTTP/2 alone, without TLS", answering("\x00\x00\x00\x04\x00\x00\x00\x00\x00", untilClosed), "", true},
		{"what speaks first", func(conn net.Conn) { _, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n"); untilClosed(conn) }, "", false},
	} {
		h := hostile{name: s.name, target: Target{Kind: HTTP, Address: "http://" + listen(t, s.serve)}, hangs: s.hangs}
		if s.expect != "" {
			h.target.Expect = []string{s.expect}
		}
		all = append(all, h)
	}
	return all
}

// hostileTLS are servers whose certificate isn't good, or that never come to one.
func hostileTLS(t *testing.T) (all []hostile) {
	t.Helper()
	ca := newAuthority(t)
	trusted := Trust{Roots: ca.pool}
	add := func(name, address string, hangs bool) {
		for kind, scheme := range map[Kind]string{HTTP: "https://", TLS: "tls://"} {
			all = append(all, hostile{name: name + ", " + string(kind), target: Target{Kind: kind, Address: scheme + address, Trust: trusted}, hangs: hangs})
		}
	}
	serve := func(signer *authority, change func(*x509.Certificate)) string {
		return secured(t, signer.certificate(t, change), ok).Listener.Addr().String()
	}
	add("expired", serve(ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-73 * time.Hour) }), false)
	add("of another host", serve(ca, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"a.example"} }), false)
	add("signed by itself", serve(&authority{}, nil), false)
	add("signed by a stranger", serve(newAuthority(t), nil), false)
	record := func(kind byte, body string) string {
		return string([]byte{kind, 3, 3, byte(len(body) >> 8), byte(len(body))}) + body
	}
	hello := func(and func(net.Conn)) func(net.Conn) {
		return func(conn net.Conn) { _, _ = bufio.NewReader(conn).Peek(5); and(conn) }
	}
	add("a handshake that never begins", listen(t, untilClosed), true)
	add("a handshake that drips", listen(t, hello(func(conn net.Conn) { _, _ = io.WriteString(conn, "\x16\x03\x03\x40\x00"); drip("\x02")(conn) })), true)
	add("a flood of records", listen(t, hello(endlessly(record(20, "\x01")))), false)
	add("a flood of warnings", listen(t, hello(endlessly(record(21, "\x01\x5a")))), false)
	add("a flood of empty handshakes", listen(t, hello(endlessly(record(22, "")))), false)
	add("a hello without end", listen(t, hello(endlessly(record(22, "\x02\xff\xff\xff"+strings.Repeat("x", 16<<10-4))))), false)
	add("half closed in the handshake", listen(t, hello(halfClose)), false)
	add("what isn't TLS", listen(t, hello(endlessly("SSH-2.0-x\r\n"))), false)

	two := secured(t, ca.certificate(t, nil), ok)
	two.TLS.NextProtos = []string{"h2"}
	all = append(all, hostile{name: "HTTP/2 alone", target: Target{Kind: HTTP, Address: two.URL, Trust: trusted}})
	preface := func(and func(net.Conn)) string {
		return listen(t, func(conn net.Conn) {
			server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{ca.certificate(t, nil)}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
			if server.Handshake() == nil && untilAsked(server) == nil {
				_, _ = io.WriteString(server, "\x00\x00\x00\x04\x00\x00\x00\x00\x00")
				and(server)
			}
		})
	}
	frames := map[string]func(net.Conn){
		"HTTP/2 that is silent":         untilClosed,
		"HTTP/2 with pings without end": endlessly("\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"),
		"HTTP/2 with a frame of 16 MiB": func(conn net.Conn) {
			_, _ = io.WriteString(conn, "\xff\xff\xff\x00\x00\x00\x00\x00\x01")
			endlessly("b")(conn)
		},
		"HTTP/2 that goes away": func(conn net.Conn) {
			_, _ = io.WriteString(conn, "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
			untilClosed(conn)
		},
		"HTTP/2 with headers without end": func(conn net.Conn) {
			_, _ = io.WriteString(conn, "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x88")
			endlessly("\x00\x00\x0a\x09\x00\x00\x00\x00\x01\x00\x03abc\x04defg")(conn)
		},
		"what isn't HTTP/2": endlessly("HTTP/1.1 200 OK\r\n\r\n"),
	}
	for _, name := range []string{"HTTP/2 that is silent", "HTTP/2 with pings without end", "HTTP/2 with a frame of 16 MiB", "HTTP/2 that goes away", "HTTP/2 with headers without end", "what isn't HTTP/2"} {
		all = append(all, hostile{name: name, target: Target{Kind: HTTP, Address: "https://" + preface(frames[name]), Trust: trusted}, hangs: strings.Contains(name, "silent") || strings.Contains(name, "pings")})
	}
	return all
}

// untilAsked reads what a client of HTTP/2 sends until it has asked for something.
func untilAsked(conn net.Conn) error {
	if _, err := io.CopyN(io.Discard, conn, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return err
	}
	for {
		var header [9]byte
		if _, err := io.ReadFull(conn, header[:]); err != nil {
			return err
		}
		length := int64(header[0])<<16 | int64(header[1])<<8 | int64(header[2])
		if _, err := io.CopyN(io.Discard, conn, length); err != nil || header[3] == 1 { // HEADERS
			return err
		}
	}
}

// hostileRedirects lead to where nobody is to go.
func hostileRedirects(t *testing.T) (all []hostile) {
	t.Helper()
	server := plain(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", cmp.Or(r.URL.Query().Get("to"), "/"))
		w.WriteHeader(http.StatusFound)
	})
	nameless := resolvingBy(serveDNS(t, refuse), Options{})
	all = append(all, hostile{name: "a redirect to itself", target: Target{Kind: HTTP, Address: server.URL}})
	for _, to := range []string{
		"file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "javascript:alert(1)", "http://169.254.169.254/latest/meta-data", "http://[::ffff:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]/", "http://[64:ff9b::a9fe:a9fe]/",
		"http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/", "http://[fd00:ec2::254]/", "http://[fe80::1%25lo]/", "http://0.0.0.0:80/", "http://user:s3cret@169.254.169.254/", "http://", "http://[", "http:///x", "//169.254.169.254/",
	} {
		all = append(all, hostile{name: "a redirect to " + to, prober: nameless, target: Target{Kind: HTTP, Address: server.URL + "/?to=" + url.QueryEscape(to)}})
	}
	return all
}

// hostileResolvers lie about a name.
func hostileResolvers(t *testing.T) (all []hostile) {
	t.Helper()
	record := func(text string) dns.RR {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return rr
	}
	reply := func(change func(*dns.Msg)) dns.HandlerFunc {
		return func(w dns.ResponseWriter, m *dns.Msg) {
			answer := new(dns.Msg).SetReply(m)
			answer.RecursionAvailable = true
			answer.Answer = []dns.RR{record("example.com. 60 IN A 192.0.2.7")}
			change(answer)
			_ = w.WriteMsg(answer)
		}
	}
	loop := reply(func(m *dns.Msg) {
		m.Answer = []dns.RR{record("example.com. 60 IN CNAME b.example."), record("b.example. 60 IN CNAME example.com.")}
	})
	// Of a name that is asked for by the way, Go's resolver waits on after an answer that isn't one.
	hangs := map[string]int{"silent": 2, "another id": 2, "another question": 1, "another type": 1, "no question": 1, "a question back": 1, "nonsense": 1}
	for _, r := range []struct {
		name    string
		handler dns.HandlerFunc
	}{
		{"silent", func(dns.ResponseWriter, *dns.Msg) {}},
		{"another id", reply(func(m *dns.Msg) { m.Id++ })},
		{"another question", reply(func(m *dns.Msg) { m.Question[0].Name = "evil.example." })},
		{"another type", reply(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT })},
		{"no question", reply(func(m *dns.Msg) { m.Question = nil })},
		{"a question back", reply(func(m *dns.Msg) { m.Response = false })},
		{"from another name", reply(func(m *dns.Msg) { m.Answer = []dns.RR{record("evil.example. 60 IN A 192.0.2.66")} })},
		{"a circle of aliases", loop},
		{"always cut off", reply(func(m *dns.Msg) { m.Truncated, m.Answer = true, nil })},
		{"nonsense", func(w dns.ResponseWriter, m *dns.Msg) { _, _ = w.Write([]byte{byte(m.Id >> 8), byte(m.Id), 0xff}) }},
		{"more than fits a packet", reply(func(m *dns.Msg) {
			for i := range 60 {
				m.Answer = append(m.Answer, record(fmt.Sprintf("example.com. 60 IN A 192.0.2.%d", i)))
			}
		})},
	} {
		server := serveDNS(t, r.handler)
		all = append(all,
			hostile{name: "a resolver: " + r.name + ", asked", target: Target{Kind: DNS, Address: "example.com", Lookup: Lookup{Resolver: server}}, hangs: hangs[r.name] == 2},
			hostile{name: "a resolver: " + r.name + ", on the way", prober: resolvingBy(server, Options{}), target: Target{Kind: TCP, Address: "example.com:1"}, hangs: hangs[r.name] > 0})
	}
	return all
}

// hostileRegistries answer without end, or never.
func hostileRegistries(t *testing.T) (all []hostile) {
	t.Helper()
	for _, r := range []struct {
		name string
		list string // in place of the list
		of   func(net.Conn)
	}{
		{"a list without end", "endless", nil},
		{"an answer without end", "", answering("HTTP/1.1 200 OK\r\n\r\n{\"events\":[", endlessly(`{"eventAction":"x"},`))},
		{"an answer that is deep", "", answering("HTTP/1.1 200 OK\r\n\r\n", endlessly("["))},
		{"silence", "", untilClosed},
		{"a redirect to metadata", "", answering("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", nil)},
	} {
		address := ""
		if r.of != nil {
			address = listen(t, r.of)
		}
		list := listen(t, answering("HTTP/1.1 200 OK\r\n\r\n"+fmt.Sprintf(`{"services":[[["com"],["http://%s"]]]}`, address), nil))
		if r.list != "" {
			list = listen(t, answering("HTTP/1.1 200 OK\r\n\r\n{\"services\":[", endlessly("[[],[]],")))
		}
		all = append(all, hostile{name: "a registry: " + r.name, prober: New(Options{Registries: "http://" + list}), target: Target{Kind: Domain, Address: "example.com"}, hangs: r.name == "silence"})
	}
	return all
}
