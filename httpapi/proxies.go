package httpapi

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// proxyWatch notices a proxy that isn't believed, because TRUSTED_PROXIES doesn't name it or
// TRUSTED_PROXY_HEADER names another header than its own: an address that isn't of the
// Internet, which says that it forwards for several clients. All of them are that address to
// limits, logs and the audit log.
type proxyWatch struct {
	found atomic.Bool

	mu      sync.Mutex
	claimed []netip.Addr // clients, until there are enough
}

// enoughClients are so many that it isn't one program on this network that sets the header.
const enoughClients = 3

// Nobodys is a network of which nobody has an address (RFC 3849): it is for trying whether a
// forged one is believed.
var Nobodys = netip.MustParsePrefix("2001:db8:fa00::/40")

// carrierNAT is the network between the customers of a carrier and its address
// translation (RFC 6598); clouds use it for their own too.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// note looks at a request whose client was taken to be at address, by trusted proxies and
// the header that they are believed in. The log is told once.
func (w *proxyWatch) note(r *http.Request, address netip.Addr, trusted []netip.Prefix, believed string, log *slog.Logger) {
	if w.found.Load() || !address.IsPrivate() && !address.IsLoopback() && !address.IsLinkLocalUnicast() && !carrierNAT.Contains(address) {
		return
	}
	client, header := claimedClient(r, address, trusted, believed)
	if !client.IsValid() || Nobodys.Contains(client) || !w.isEnough(client) {
		return
	}
	var mend []string
	if !isTrusted(address, trusted) {
		mend = append(mend, "name its network in TRUSTED_PROXIES")
	}
	if header != cmp.Or(believed, forwardedForHeader) {
		mend = append(mend, "set TRUSTED_PROXY_HEADER="+header)
	}
	log.Warn("all clients behind a proxy are taken for one, and share its limits: if "+address.String()+" is a proxy of yours, "+strings.Join(mend, " and "), "proxy", address.String(), "header", header)
}

// isEnough remembers a client, and is true once.
func (w *proxyWatch) isEnough(client netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.found.Load() || slices.Contains(w.claimed, client) {
		return false
	}
	w.claimed = append(w.claimed, client)
	w.found.Store(len(w.claimed) == enoughClients)
	return w.found.Load()
}

// claimedClient is whom the address says it has forwarded the request for, and in which
// header: the one that is believed, or the other one if that isn't there. It is the last hop
// that is neither itself nor a trusted proxy, and invalid for nobody.
func claimedClient(r *http.Request, address netip.Addr, trusted []netip.Prefix, believed string) (client netip.Addr, header string) {
	header = cmp.Or(believed, forwardedForHeader)
	if len(r.Header.Values(header)) == 0 {
		header = map[string]string{forwardedForHeader: forwardedHeader, forwardedHeader: forwardedForHeader}[header]
	}
	for hop := range hops(r, header) {
		if hop != address && !isTrusted(hop, trusted) {
			return hop, header
		}
	}
	return netip.Addr{}, header
}

// HasUntrustedProxy tells whether requests come through a proxy that isn't believed.
func (api *API) HasUntrustedProxy() bool { return api.proxies.found.Load() }
