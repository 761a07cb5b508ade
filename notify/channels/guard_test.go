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

	"manus/notify"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func TestWhichAddressesAreDialled(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]error{ // by default, and with ALLOW_PRIVATE_TARGETS
		"93.184.215.14": {nil, nil}, "2606:4700::1111": {nil, nil}, "64:ff9b::5db8:d70e": {nil, nil},
		"127.0.0.1": {errPrivate, nil}, "127.255.0.9": {errPrivate, nil}, "::1": {errPrivate, nil}, "::ffff:127.0.0.1": {errPrivate, nil},
		"10.0.0.1": {errPrivate, nil}, "172.16.9.9": {errPrivate, nil}, "192.168.1.1": {errPrivate, nil}, "100.64.0.1": {errPrivate, nil},
		"fd12:3456::1": {errPrivate, nil}, "::ffff:10.0.0.1": {errPrivate, nil}, "64:ff9b::a00:1": {errPrivate, nil}, "64:ff9b::7f00:1": {errPrivate, nil},
		"0.0.0.0": {errPrivate, errPrivate}, "::": {errPrivate, errPrivate}, "224.0.0.1": {errPrivate, errPrivate}, "255.255.255.255": {errPrivate, errPrivate},
		"2001:db8::1": {errPrivate, errPrivate}, "2002:7f00:1::": {errPrivate, errPrivate}, "::127.0.0.1": {errPrivate, errPrivate}, "ff02::1": {errPrivate, errPrivate}, "fec0::1": {errPrivate, errPrivate},
		"169.254.169.254": {errNever, errNever}, "169.254.0.1": {errNever, errNever}, "::ffff:169.254.169.254": {errNever, errNever}, "64:ff9b::a9fe:a9fe": {errNever, errNever},
		"fe80::1": {errNever, errNever}, "fe80::1%eth0": {errNever, errNever}, "fd00:ec2::254": {errNever, errNever}, "fd20:ce::254": {errNever, errNever}, "100.100.100.200": {errNever, errNever}, "168.63.129.16": {errNever, errNever}, "192.0.0.192": {errNever, errNever},
	} {
		for i, allowed := range []bool{false, true} {
			at := netip.AddrPortFrom(netip.MustParseAddr(address), 8443).String()
			if err := guard(allowed)("tcp", at, nil); !errors.Is(err, want[i]) || want[i] == nil && err != nil {
				t.Errorf("%s, allowed %v: %v", address, allowed, err)
			}
		}
	}
	if guard(true)("tcp", "nonsense", nil) == nil {
		t.Error("nonsense is dialled")
	}
}

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
		{"127.0.0.1", false, errPrivate}, {"127.0.0.1", true, nil}, {"169.254.169.254", false, errNever}, {"169.254.169.254", true, errNever},
		{"::ffff:127.0.0.1", false, errPrivate}, {"::ffff:169.254.169.254", true, errNever}, {"::1", false, errPrivate}, {"10.1.2.3", false, errPrivate},
		{"fe80::1", true, errNever}, {"fd00:ec2::254", true, errNever},
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
		if err := one(t, config, Dependencies{}).Send(t.Context(), down()); err == nil || notify.IsRefused(err) {
			t.Errorf("%s: %v", host, err)
		}
	}
}
