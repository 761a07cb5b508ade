package probe

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"manus/internal/guard"
)

// pingAgain is after how long a ping is sent again that may have been lost on its way.
const pingAgain = time.Second

// icmp pings the target from a socket that needs no privilege (ping in icmp(7)). The
// kernel has it for the groups in net.ipv4.ping_group_range.
func (a *attempt) icmp() error {
	ip, err := a.lookUp()
	if err != nil {
		return err
	}
	socket, err := openPing(ip)
	switch {
	case errors.Is(err, os.ErrPermission):
		return ownFault(`Ping: the kernel doesn't let this program ping; set sysctl net.ipv4.ping_group_range="0 2147483647"`,
			`Ping: لا تسمح النواة لهذا البرنامج بالإرسال؛ اضبط sysctl net.ipv4.ping_group_range="0 2147483647"`)
	case err != nil:
		return err
	}
	a.keep(socket)
	a.watch.enter(waiting)
	for sequence := 1; ; sequence++ {
		answered, err := a.ping(socket, ip, sequence)
		if answered || err != nil {
			return err
		}
	}
}

// lookUp is the target's address, which is neither looked up again nor dialled unless the guard lets it.
func (a *attempt) lookUp() (netip.Addr, error) {
	ips, err := a.resolver.LookupNetIP(a.tracedLookup(), a.network("ip"), a.host)
	if err != nil {
		return netip.Addr{}, err
	}
	ip := ips[0].Unmap() // there is one, or an error
	return ip, guard.Check(ip, a.AllowPrivate)
}

func openPing(ip netip.Addr) (*icmp.PacketConn, error) {
	if ip.Is4() {
		return icmp.ListenPacket("udp4", "0.0.0.0")
	}
	return icmp.ListenPacket("udp6", "::")
}

// ping sends a ping and waits for its answer, for as long as pingAgain.
func (a *attempt) ping(socket *icmp.PacketConn, ip netip.Addr, sequence int) (answered bool, err error) {
	request, reply, protocol := icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply), 1
	if ip.Is6() {
		request, reply, protocol = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58
	}
	token := []byte(rand.Text()) // nobody else knows
	packet, err := (&icmp.Message{Type: request, Body: &icmp.Echo{Seq: sequence, Data: token}}).Marshal(nil)
	if err != nil {
		return false, err
	}
	if err := socket.SetReadDeadline(time.Now().Add(pingAgain)); err != nil {
		return false, err
	}
	if _, err := socket.WriteTo(packet, &net.UDPAddr{IP: ip.AsSlice(), Zone: ip.Zone()}); err != nil {
		return false, err
	}
	buffer := make([]byte, 1500)
	for {
		n, _, err := socket.ReadFrom(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) && a.ctx.Err() == nil {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		message, err := icmp.ParseMessage(protocol, buffer[:n])
		if err != nil || message.Type != reply {
			continue
		}
		if echo, ok := message.Body.(*icmp.Echo); ok && bytes.Equal(echo.Data, token) {
			return true, nil
		}
	}
}
