package channels

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"manus/internal/guard"
	"manus/notify"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// resolveTo answers every name with an address.
func resolveTo(t *testing.T, address string) *net.Resolver {
	t.Helper()
	ip := netip.MustParseAddr(address)
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		query := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(query)
			if err != nil {
				return
			}
			if reply := resolved(query[:n], ip); reply != nil {
				_, _ = server.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func resolved(query []byte, ip netip.Addr) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
	switch {
	case q.Type == dnsmessage.TypeA && ip.Is4():
		reply.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: ip.As4()}}}
	case q.Type == dnsmessage.TypeAAAA && ip.Is6():
		reply.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}}}
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}

func TestANameThatLeadsToOurOwnIsNotFollowed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		services["slack"].take(w)
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		resolved string
		allowed  bool
		want     error
	}{
		{"127.0.0.1", false, guard.ErrPrivate}, {"127.0.0.1", true, nil}, {"169.254.169.254", false, guard.ErrNever}, {"169.254.169.254", true, guard.ErrNever},
		{"::ffff:127.0.0.1", false, guard.ErrPrivate}, {"::ffff:169.254.169.254", true, guard.ErrNever}, {"::1", false, guard.ErrPrivate}, {"10.1.2.3", false, guard.ErrPrivate},
		{"fe80::1", true, guard.ErrNever}, {"fd00:ec2::254", true, guard.ErrNever},
	} {
		config := services["slack"].config("https://hooks.example.com:" + port)
		config.AllowPrivate = c.allowed
		if c.want == nil {
			config.Secret = strings.Replace(config.Secret, "https", "http", 1)
		}
		before := asked.Load()
		err := one(t, config, Dependencies{resolver: resolveTo(t, c.resolved)}).Send(t.Context(), down())
		if !errors.Is(err, c.want) || notify.IsRefused(err) || c.want == nil && err != nil || asked.Load() != before && c.want != nil {
			t.Errorf("%+v: %v", c, err)
		}
		if c.want != nil {
			told(t, err, "the name of Slack leads to ")
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the server was asked %d times", asked.Load())
	}
}

func TestNoFormOfAnAddressLeadsAroundTheGuard(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, host := range []string{"localhost", "127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "LOCALHOST.", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"} {
		config := services["webhook"].config("https://" + host + ":" + port)
		config.AllowPrivate = false
		if problems := Problems(config); len(problems) > 0 {
			continue // it is refused before anything is sent
		}
		if err := one(t, config, Dependencies{}).Send(t.Context(), down()); err == nil || notify.IsRefused(err) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestAnAddressWhosePortCannotBeDialledIsAProblem(t *testing.T) {
	t.Parallel()
	for address, right := range map[string]bool{
		"https://example.com/x": true, "https://example.com:8443/x": true, "https://example.com:65535/x": true,
		"https://example.com:0/x": false, "https://example.com:65536/x": false, "https://example.com:99999/": false,
	} {
		if found := Problems(notify.ChannelConfig{ID: "ours", Type: "webhook", URL: address, Secret: key}); (len(found) == 0) != right {
			t.Errorf("%s: %q", address, found)
		}
	}
}
