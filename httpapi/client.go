package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"manus/identity"
	"manus/language"
)

// clientAgent is the User-Agent as short, printable text.
func clientAgent(r *http.Request) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, language.Cut(r.UserAgent(), identity.MaxAgent))
}

// clientAddress reads X-Forwarded-For, or Forwarded (RFC 7239) where there is none,
// from the right, each hop vouched for by the one after it, and stops at the first
// that is not a trusted proxy.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := peer.Addr().Unmap()
	if !isTrusted(address, trusted) {
		return address
	}
	header, client := "X-Forwarded-For", strings.TrimSpace
	if len(r.Header.Values(header)) == 0 {
		header, client = "Forwarded", forwardedFor
	}
	hops := strings.Split(strings.Join(r.Header.Values(header), ","), ",")
	for i := len(hops) - 1; i >= 0 && isTrusted(address, trusted); i-- {
		hop, err := parseHop(client(hops[i]))
		if err != nil {
			break
		}
		address = hop
	}
	return address
}

// forwardedFor is the client in one element of a Forwarded header; empty when it
// names none.
func forwardedFor(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// parseHop reads one X-Forwarded-For entry; some proxies add the port.
func parseHop(hop string) (netip.Addr, error) {
	if address, err := netip.ParseAddr(hop); err == nil {
		return address.Unmap().WithZone(""), nil
	}
	if inner, ok := strings.CutPrefix(hop, "["); ok && strings.HasSuffix(inner, "]") { // as Forwarded has IPv6
		address, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return address.Unmap().WithZone(""), err
	}
	withPort, err := netip.ParseAddrPort(hop)
	return withPort.Addr().Unmap().WithZone(""), err
}

func isTrusted(address netip.Addr, trusted []netip.Prefix) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(address) })
}
