package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"manus/language"
)

// IsLoopbackHost tells whether a Host header names this machine itself: localhost, a
// name below it (RFC 6761, 6.3) or a loopback address, with any port or none. A page of
// elsewhere whose name has been made to lead here (DNS rebinding) sends its own name.
func IsLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && address.Unmap().IsLoopback()
}

// LoopbackOnly answers 421 to requests for other hosts than this machine.
func LoopbackOnly(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !IsLoopbackHost(r.Host) {
			kind, _ := common.Find(errWrongHost)
			tag := language.Choose(r)
			tag.Mark(w.Header())
			http.Error(w, language.Text{En: errWrongHost.Error(), Ar: kind.Detail.Ar}.In(tag), kind.Status)
			return
		}
		handler.ServeHTTP(w, r)
	})
}
