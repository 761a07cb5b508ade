package channels

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"code.dny.dev/ssrf"
)

// Errors of the guard.
var (
	errPrivate = errors.New("an address of a private network, which isn't dialled (ALLOW_PRIVATE_TARGETS=true lets it)")
	errNever   = errors.New("a link-local or metadata address, which is never dialled")
)

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

// guard is a net.Dialer's Control, which sees the address after it was resolved and
// before it is dialled: neither a name nor a form of writing leads around it.
func guard(allowPrivate bool) func(network, address string, _ syscall.RawConn) error {
	options := []ssrf.Option{ssrf.WithAnyPort()}
	if allowPrivate {
		options = append(options, ssrf.WithAllowedV4Prefixes(private4...), ssrf.WithAllowedV6Prefixes(private6...))
	}
	guardian := ssrf.New(options...)
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("not an address: %w", err)
		}
		ip := plain(at.Addr())
		switch {
		case slices.ContainsFunc(never, func(p netip.Prefix) bool { return p.Contains(ip) }):
			return errNever
		case guardian.SafeAddr(ip) != nil:
			return errPrivate
		}
		return nil
	}
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
