package probe

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"

	"manus/internal/guard"
	"manus/language"
	"manus/uptime/condition"
)

// Bounds of what is read of an answer. A body that is longer isn't a fault: its beginning
// is looked at.
const (
	maxHeader      = 32 << 10
	maxBody        = 256 << 10
	maxFrame       = 16 << 10 // of HTTP/2
	maxUnread      = 64 << 10 // what a server may send over HTTP/2 before it is read
	usualRedirects = 5
	// maxRedialled is how often a request is sent again over another connection, as HTTP/2 has
	// it where a server goes away. One that always does would be dialled thousands of times.
	maxRedialled = 2
)

func (a *attempt) http() error {
	req, err := http.NewRequestWithContext(a.ctx, a.Request.Method, a.url.String(), strings.NewReader(a.Request.Body))
	if err != nil {
		return err
	}
	a.dress(req)
	response, err := a.exchange(req, a.redirects)
	if err != nil {
		return err
	}
	a.result.StatusCode, a.seen.Status, a.seen.Header = response.StatusCode, response.StatusCode, response.Header
	if response.TLS != nil {
		a.noteCertificate(*response.TLS)
	}
	return a.read(response)
}

// dress gives a request the headers that the target wants.
func (a *attempt) dress(req *http.Request) {
	req.Header.Set("User-Agent", a.agent)
	req.Header.Set("Accept", "*/*")
	for name, value := range a.Request.Header {
		req.Header.Set(name, value)
		if strings.EqualFold(name, "Host") {
			req.Host = value
		}
	}
	switch {
	case a.Request.Bearer != "":
		req.Header.Set("Authorization", "Bearer "+a.Request.Bearer)
	case a.Request.User != "" || a.Request.Password != "":
		req.SetBasicAuth(a.Request.User, a.Request.Password)
	}
}

// exchange sends a request over a connection of its own and follows redirects. The body
// of the answer is the caller's to read; when the check ends it is closed.
func (a *attempt) exchange(req *http.Request, redirects int) (*http.Response, error) {
	var dialled atomic.Int32
	transport := &http.Transport{
		// The transport's own context outlives the check, so that others may use a connection.
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			if dialled.Add(1) > int32(1+max(redirects, 0)+maxRedialled) {
				return nil, newFault("HTTP: the server closes each connection without an answer", "HTTP: يغلق الخادم كل اتصال دون رد")
			}
			return a.dial(network, address)
		},
		TLSClientConfig:        a.tlsConfig(),
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{MaxReadFrameSize: maxFrame, MaxReceiveBufferPerStream: maxUnread, MaxReceiveBufferPerConnection: maxUnread},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		OnProxyConnectResponse: proxyAnswered,
	}
	if a.proxy != nil {
		transport.Proxy = http.ProxyURL(a.proxy)
		if err := a.lookBehindProxy(req.URL); err != nil {
			return nil, err
		}
	}
	client := http.Client{Transport: transport, CheckRedirect: func(next *http.Request, past []*http.Request) error {
		return a.redirect(next, past, redirects)
	}}
	response, err := client.Do(req.WithContext(httptrace.WithClientTrace(a.ctx, &httptrace.ClientTrace{
		GetConn:              func(string) { a.watch.enter(connecting) },
		TLSHandshakeStart:    func() { a.watch.enter(handshaking) },
		GotConn:              func(httptrace.GotConnInfo) { a.watch.enter(waiting) },
		GotFirstResponseByte: func() { a.watch.enter(reading) },
	})))
	if err != nil {
		return nil, err
	}
	a.keep(response.Body)
	return response, nil
}

func proxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return newFault("Connection: the proxy answered %d", "الاتصال: رد الخادم الوكيل بالرمز %d", answer.StatusCode)
	}
	return nil
}

// redirect decides about a redirect.
func (a *attempt) redirect(next *http.Request, past []*http.Request, most int) error {
	first := past[0]
	switch {
	case most < 0:
		return http.ErrUseLastResponse
	case len(past) > most:
		return newFault("HTTP: it was redirected more often than is followed (%d)", "HTTP: أعاد التوجيه مرات أكثر من المسموح (%d)", most)
	case next.URL.Scheme != "http" && next.URL.Scheme != "https", next.URL.Hostname() == "":
		return newFault("HTTP: it redirects to what isn't the web", "HTTP: يعيد التوجيه إلى عنوان ليس من الويب")
	}
	if a.proxy != nil {
		if err := a.lookBehindProxy(next.URL); err != nil {
			return err
		}
	}
	if next.URL.Scheme == first.URL.Scheme && next.URL.Host == first.URL.Host {
		return nil
	}
	// What the target is told is nobody else's.
	if next.Body != nil && next.Body != http.NoBody {
		return newFault("HTTP: it redirects the body of the request to another origin", "HTTP: يعيد توجيه محتوى الطلب إلى موقع آخر")
	}
	next.Header = http.Header{"User-Agent": {a.agent}, "Accept": {"*/*"}}
	return nil
}

// lookBehindProxy looks at where a proxy would go, as far as that can be seen from here. A
// name that isn't known here is the proxy's to look at.
func (a *attempt) lookBehindProxy(to *url.URL) error {
	if ip, err := netip.ParseAddr(to.Hostname()); err == nil {
		return guard.Check(ip, a.AllowPrivate)
	}
	ips, err := a.resolver.LookupNetIP(a.tracedLookup(), "ip", to.Hostname())
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	for _, ip := range ips {
		if err := guard.Check(ip, a.AllowPrivate); err != nil {
			return err
		}
	}
	return nil
}

// read reads the body: to the end of what is looked at, as one that breaks off is a fault.
func (a *attempt) read(response *http.Response) error {
	if response.StatusCode == http.StatusSwitchingProtocols { // what follows isn't a body
		return nil
	}
	body := io.LimitReader(response.Body, maxBody+1)
	if !a.uses(condition.Body, condition.JSON) {
		_, err := io.Copy(io.Discard, body)
		return err
	}
	read, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	a.seen.Body, a.seen.BodyCut = cut(read)
	switch packing := strings.ToLower(strings.TrimSpace(response.Header.Get("Content-Encoding"))); packing {
	case "", "identity":
	case "gzip":
		a.unpack()
	default:
		a.seen.Body, a.seen.BodyFault = nil, language.Text{En: "the body is packed in a way that isn't read here", Ar: "جسم الرد مضغوط بطريقة لا تُقرأ هنا"}
	}
	return nil
}

// unpack unpacks a body that came packed although that wasn't asked for.
func (a *attempt) unpack() {
	unpacker, err := gzip.NewReader(bytes.NewReader(a.seen.Body))
	var unpacked []byte
	if err == nil {
		unpacked, err = io.ReadAll(io.LimitReader(unpacker, maxBody+1))
	}
	packedCut := a.seen.BodyCut
	a.seen.Body, a.seen.BodyCut = cut(unpacked)
	switch {
	case err == nil:
	case packedCut && errors.Is(err, io.ErrUnexpectedEOF):
		a.seen.BodyCut = true
	default:
		a.seen.Body, a.seen.BodyFault = nil, language.Text{En: "the body can't be unpacked", Ar: "تعذّر فك ضغط جسم الرد"}
	}
}

func cut(body []byte) (_ []byte, isCut bool) {
	if len(body) > maxBody {
		return body[:maxBody], true
	}
	return body, false
}
