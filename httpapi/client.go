package httpapi

import (
	"cmp"
	"iter"
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
	for hop := range hops(r, header) {
		if address = hop; !isTrusted(address, trusted) {
			break
		}
	}
	return address
}

// The headers by which proxies say whom they forward for.
const (
	forwardedForHeader = "X-Forwarded-For" // and where none is named
	forwardedHeader    = "Forwarded"
)

// hops are the clients that a header names, the nearest first, up to what is no address.
func hops(r *http.Request, header string) iter.Seq[netip.Addr] {
	client := strings.TrimSpace
	if header == forwardedHeader {
		client = forwardedFor
	}
	return func(yield func(netip.Addr) bool) {
		for _, line := range slices.Backward(r.Header.Values(cmp.Or(header, forwardedForHeader))) {
			for _, element := range slices.Backward(strings.Split(line, ",")) {
				hop, err := parseHop(client(element))
				if err != nil || !yield(hop) {
					return
				}
			}
		}
	}
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
