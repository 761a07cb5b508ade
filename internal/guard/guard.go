// Package guard decides which addresses are dialled for somebody else's wish: a webhook's,
// a monitor's. It knows nothing of what is said there.
package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"code.dny.dev/ssrf"
)

// Errors of the guard. Each says which kind of address it is that isn't dialled.
var (
	ErrPrivate = errors.New("an address of a private network, which isn't dialled (ALLOW_PRIVATE_TARGETS=true lets it, and private: true a monitor)")
	ErrSpecial = errors.New("an address that no server has on the internet or in a private network, which is never dialled")
	ErrNever   = errors.New("a link-local or metadata address, which is never dialled")
)

// Cause is the guard's error in another, without the address, which may be a secret; nil
// where it wasn't the guard.
func Cause(err error) error {
	for _, cause := range []error{ErrNever, ErrSpecial, ErrPrivate} {
		if errors.Is(err, cause) {
			return cause
		}
	}
	return nil
}

// never are dialled, whatever is allowed: neighbours on the link, and where clouds hand
// their machines' credentials out.
var never = prefixes("169.254.0.0/16", "fe80::/10", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::254/128", "fd20:ce::254/128")

// Private networks, this machine among them.
var (
	private4 = prefixes("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
	private6 = prefixes("::1/128", "fc00::/7")
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// Who may be reached: on the internet, and beside it in private networks.
var (
	public    = ssrf.New(ssrf.WithAnyPort())
	reachable = ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(private4...), ssrf.WithAllowedV6Prefixes(private6...))
)

// Control is a net.Dialer's Control, which sees the address after it was resolved and
// before it is dialled: neither a name nor a form of writing leads around it.
func Control(allowPrivate bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("not an address: %w", err)
		}
		return Check(at.Addr(), allowPrivate)
	}
}

// Check is why an address isn't dialled: ErrNever, ErrSpecial, or ErrPrivate unless private
// networks are allowed. It is for what is dialled without a net.Dialer.
func Check(ip netip.Addr, allowPrivate bool) error {
	ip = plain(ip)
	switch {
	case slices.ContainsFunc(never, func(p netip.Prefix) bool { return p.Contains(ip) }):
		return ErrNever
	case reachable.SafeAddr(ip) != nil:
		return ErrSpecial
	case !allowPrivate && public.SafeAddr(ip) != nil:
		return ErrPrivate
	}
	return nil
}

// plain is an address without a zone, and the IPv4 address that is meant by one that is
// mapped or translated (NAT64, by which machines without IPv4 reach it).
func plain(ip netip.Addr) netip.Addr {
	ip = ip.WithZone("").Unmap()
	if ssrf.IPv6NAT64Prefix.Contains(ip) {
		bytes := ip.As16()
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return ip
}
