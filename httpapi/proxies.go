package httpapi

import (
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// proxyWatch notices a proxy that TRUSTED_PROXIES doesn't name: an address that isn't of
// the Internet, which says that it forwards for several clients. All of them are that
// address to limits, logs and the audit log.
type proxyWatch struct {
	found atomic.Bool

	mu      sync.Mutex
	claimed []netip.Addr // clients, until there are enough
}

// enoughClients are so many that it isn't one program on this network that sets the header.
const enoughClients = 3

// carrierNAT is the network between the customers of a carrier and its address
// translation (RFC 6598); clouds use it for their own too.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// note looks at a request whose client was taken to be at address. The log is told once.
func (w *proxyWatch) note(r *http.Request, address netip.Addr, trusted []netip.Prefix, log *slog.Logger) {
	if w.found.Load() || !address.IsPrivate() && !address.IsLoopback() && !address.IsLinkLocalUnicast() && !carrierNAT.Contains(address) {
		return
	}
	client := claimedClient(r, address, trusted)
	if !client.IsValid() || !w.isEnough(client) {
		return
	}
	log.Warn("all clients behind a proxy are taken for one, and share its limits: if "+address.String()+" is a proxy of yours, name its network in TRUSTED_PROXIES", "proxy", address.String())
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

// claimedClient is whom the address says it has forwarded the request for: the last hop
// that is neither itself nor a trusted proxy. It is invalid for nobody.
func claimedClient(r *http.Request, address netip.Addr, trusted []netip.Prefix) netip.Addr {
	header, client := "X-Forwarded-For", strings.TrimSpace
	if len(r.Header.Values(header)) == 0 {
		header, client = "Forwarded", forwardedFor
	}
	for _, line := range slices.Backward(r.Header.Values(header)) {
		for _, element := range slices.Backward(strings.Split(line, ",")) {
			hop, err := parseHop(client(element))
			if err != nil {
				return netip.Addr{}
			}
			if hop != address && !isTrusted(hop, trusted) {
				return hop
			}
		}
	}
	return netip.Addr{}
}

// HasUntrustedProxy tells whether requests come through a proxy that TRUSTED_PROXIES
// doesn't name.
func (api *API) HasUntrustedProxy() bool { return api.proxies.found.Load() }
