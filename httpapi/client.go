package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"manus/identity"
)

// clientAgent is the User-Agent as short, printable text.
func clientAgent(r *http.Request) string {
	agent := r.UserAgent()
	agent = strings.ToValidUTF8(agent[:min(len(agent), identity.MaxAgent)], "")
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, agent)
}

// clientAddress reads the header that trusted proxies set, X-Forwarded-For or Forwarded
// (RFC 7239), from the right, each hop vouched for by the one after it, and stops at the
// first that is not a trusted proxy. The other header is the client's own: proxies pass on
// what they don't know.
func clientAddress(r *http.Request, trusted []netip.Prefix, header string) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := peer.Addr().Unmap()
	if !isTrusted(address, trusted) {
		return address
	}
	client := strings.TrimSpace
	switch header {
	case "":
		header = "X-Forwarded-For"
	case "Forwarded":
		client = forwardedFor
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
