package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"manus/internal/processtest"
)

// inOwnNetwork is what a role's process says that is in a network of its own.
func inOwnNetwork(t *testing.T, role string) []byte {
	t.Helper()
	cmd := processtest.Command(t.Context(), role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return out
}

// publicAddress is of the internet, and in the network of the role's process only.
const publicAddress = "93.184.215.14"

// strangers is what came of each check there.
type strangers struct {
	PrivateFirst, Redirected, Rebound, Spoofed Result
	Private                                    int32 // how often the server at the private address was asked
}

// A name that leads to a private address and to a public one is asked at the public one, an
// answer to a ping that somebody else has made up isn't one, and a name that leads elsewhere
// each time leads to nobody who isn't to be asked.
func TestStrangersInTheNetwork(t *testing.T) {
	t.Parallel()
	var s strangers
	if out := inOwnNetwork(t, "strangers"); json.Unmarshal(out, &s) != nil {
		t.Fatalf("%s", out)
	}
	private := "Connection: the target leads to an address of a private network"
	up(t, s.PrivateFirst)
	for name, r := range map[string]Result{"redirected": s.Redirected, "rebound": s.Rebound} {
		if r.Up || r.Unknown || !strings.HasPrefix(r.Error.En, private) || !strings.HasPrefix(r.Error.Ar, "الاتصال: يقود الهدف إلى عنوان في شبكة خاصة") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if s.Private != 0 {
		t.Errorf("the private address was asked %d times", s.Private)
	}
	down(t, s.Spoofed, "Ping: no answer within 1 second")
}

// strangersRole is the process that is in a network of its own.
func strangersRole([]string) error {
	if err := errors.Join(upLoopback(), addToLoopback(publicAddress), os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0\t0"), 0), os.WriteFile("/proc/sys/net/ipv4/icmp_echo_ignore_all", []byte("1"), 0)); err != nil {
		return err
	}
	var s strangers
	var private, asked atomic.Int32
	t := &testing.T{}
	port, err := serveAt(publicAddress+":0", func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	})
	if err != nil {
		return err
	}
	if _, err := serveAt("127.0.0.1:"+port, func(http.ResponseWriter, *http.Request) { private.Add(1) }); err != nil {
		return err
	}
	p := resolvingBy(serveDNS(t, func(w dns.ResponseWriter, m *dns.Msg) {
		name := m.Question[0].Name
		addresses := []string{"127.0.0.1", publicAddress}
		if strings.HasPrefix(name, "rebinding.") { // to the public one, and from then on to the other
			addresses = addresses[1:]
			if m.Question[0].Qtype == dns.TypeA && asked.Add(1) > 1 {
				addresses = []string{"127.0.0.1"}
			}
		}
		reply := new(dns.Msg).SetReply(m)
		reply.RecursionAvailable = true
		for _, address := range addresses {
			if m.Question[0].Qtype == dns.TypeA {
				reply.Answer = append(reply.Answer, &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(address)})
			}
		}
		_ = w.WriteMsg(reply)
	}), Options{})
	check := func(target Target) Result {
		c, err := p.Prepare(target)
		if err != nil {
			return Result{}
		}
		return c.Do(context.Background())
	}
	s.PrivateFirst = check(Target{Kind: HTTP, Address: "http://both.example:" + port})
	s.Redirected = check(Target{Kind: HTTP, Address: fmt.Sprintf("http://%s:%s/?to=http://127.0.0.1:%s", publicAddress, port, port)})
	s.Rebound = check(Target{Kind: HTTP, Address: fmt.Sprintf("http://rebinding.example:%s/?to=/", port)})
	if err := spoof(); err != nil {
		return err
	}
	s.Spoofed = check(Target{Kind: ICMP, Address: publicAddress, Timeout: 1500 * time.Millisecond})
	s.Private = private.Load()
	return json.NewEncoder(os.Stdout).Encode(s)
}

func serveAt(address string, handler http.HandlerFunc) (port string, err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	go func() { _ = http.Serve(l, handler) }()
	_, port, err = net.SplitHostPort(l.Addr().String())
	return port, err
}

// spoof answers each ping with what another one would have in it, and with less than a ping.
func spoof() error {
	socket, err := icmp.ListenPacket("ip4:icmp", publicAddress)
	if err != nil {
		return err
	}
	go func() {
		for buffer := make([]byte, 1500); ; {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			message, err := icmp.ParseMessage(1, buffer[:n])
			if err != nil || message.Type != ipv4.ICMPTypeEcho {
				continue
			}
			echo := message.Body.(*icmp.Echo)
			for _, data := range []string{"", "guessed", strings.Repeat("x", len(echo.Data)), strings.Repeat("x", 1400)} {
				reply, err := (&icmp.Message{Type: ipv4.ICMPTypeEchoReply, Body: &icmp.Echo{ID: echo.ID, Seq: echo.Seq, Data: []byte(data)}}).Marshal(nil)
				if err == nil {
					_, _ = socket.WriteTo(reply, from)
				}
			}
		}
	}()
	return nil
}

// addToLoopback gives the one interface that a new network has another address.
func addToLoopback(address string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo:1")
	if err == nil {
		err = request.SetInet4Addr(net.ParseIP(address).To4())
	}
	if err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, request)
}
