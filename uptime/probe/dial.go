package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptrace"
	"strconv"

	"manus/internal/guard"
)

// keep closes what was opened when the check has ended, however it ends. Nothing that
// waits for it waits longer than that.
func (a *attempt) keep(c io.Closer) { context.AfterFunc(a.ctx, func() { _ = c.Close() }) }

// network is "tcp", "udp" or "ip", of the version that is asked for.
func (c *Check) network(name string) string {
	if c.IP == 0 {
		return name
	}
	return name + strconv.Itoa(c.IP)
}

// dial connects with an address that the guard lets it, over "tcp" or "udp".
func (a *attempt) dial(network, address string) (net.Conn, error) {
	a.watch.enter(connecting)
	dialer := net.Dialer{Control: guard.Control(a.AllowPrivate), Resolver: a.resolver}
	dialer.KeepAliveConfig.Enable = false
	conn, err := dialer.DialContext(a.tracedLookup(), a.network(network), address)
	if err == nil {
		a.keep(conn)
	}
	return conn, err
}

// tracedLookup is the check's context, in which looking a name up is a phase.
func (a *attempt) tracedLookup() context.Context {
	return httptrace.WithClientTrace(a.ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { a.watch.enter(resolving) },
		DNSDone: func(done httptrace.DNSDoneInfo) {
			if done.Err == nil {
				a.watch.enter(connecting)
			}
		},
	})
}

func (a *attempt) tcp() error {
	_, err := a.dial("tcp", net.JoinHostPort(a.host, a.port))
	return err
}

// handshake is the check of TLS.
func (a *attempt) handshake() error {
	conn, err := a.dial("tcp", net.JoinHostPort(a.host, a.port))
	if err != nil {
		return err
	}
	a.watch.enter(handshaking)
	secured := tls.Client(conn, a.tlsConfig())
	if err := secured.HandshakeContext(a.ctx); err != nil {
		return err
	}
	a.noteCertificate(secured.ConnectionState())
	return nil
}

// tlsConfig is how the target is trusted. It is made for each check, as it would be kept
// for every target otherwise. Of HTTP the server's name is the URL's.
func (a *attempt) tlsConfig() *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: a.Trust.ServerName, RootCAs: cmp.Or(a.Trust.Roots, a.roots), Time: a.now,
		InsecureSkipVerify: a.Trust.Unverified, //nolint:gosec // it is what the target says
	}
	if config.ServerName == "" && a.Kind == TLS {
		config.ServerName = a.host
	}
	if a.Trust.Certificate != nil {
		config.Certificates = []tls.Certificate{*a.Trust.Certificate}
	}
	return config
}

// noteCertificate notes until when a server's certificate is valid.
func (a *attempt) noteCertificate(state tls.ConnectionState) {
	if len(state.PeerCertificates) > 0 {
		a.seen.CertificateDays = a.expiresAt(state.PeerCertificates[0].NotAfter)
	}
}
