package uptime

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"manus/internal/waittest"
	"manus/uptime/probe"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{}
	a.certificate, a.key = sign(t, authority{}, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate, by itself where the authority is none.
func sign(t *testing.T, by authority, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(1000*time.Hour)
	if by.key == nil {
		by = authority{c, key}
	}
	text, err := x509.CreateCertificate(rand.Reader, c, by.certificate, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	read, err := x509.ParseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	return read, key
}

func (a authority) pair(t *testing.T) (cert, key []byte) {
	t.Helper()
	c, k := sign(t, a, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return inPEM("CERTIFICATE", c.Raw), inPEM("PRIVATE KEY", der)
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func write(t *testing.T, path string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A server of a company's own authority that wants to know its clients is watched; files that
// change are read again.
func TestATargetIsCheckedWithACertificateThatMayChange(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t), newAuthority(t)
	cert, key := ours.pair(t)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ours.certificate)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	good := func() {
		cert, key := ours.pair(t)
		write(t, filepath.Join(dir, "cert.pem"), cert)
		write(t, filepath.Join(dir, "key.pem"), key)
	}
	good()
	m := (&target{Server: server}).monitor("api")
	m.CA = write(t, filepath.Join(dir, "ca.pem"), inPEM("CERTIFICATE", ours.certificate.Raw))
	m.Certificate = Certificate{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	r := start(t, nil, nil, m)
	waitUp := func() {
		t.Helper()
		waittest.Poll(t, func() bool { return r.status(t, "api") == Up })
	}
	waitUp()
	if result, err := r.Check(t.Context(), "api"); err != nil || !result.Up {
		t.Errorf("%+v %v", result, err)
	}
	cert, key = others.pair(t)
	write(t, m.Certificate.Cert, cert)
	write(t, m.Certificate.Key, key)
	r.hears(t, "API is down")
	good()
	r.hears(t, "API is down", "API is up again")
	// What can't be used isn't: it is checked with what it had.
	write(t, m.Certificate.Key, []byte("half of"))
	waitUp()
	r.hears(t, "API is down", "API is up again")
}

func TestFilesThatCantBeUsedAreProblems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours := newAuthority(t)
	cert, key := ours.pair(t)
	_, otherKey := ours.pair(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("cert"), cert)
	write(t, at("key"), key)
	write(t, at("other"), otherKey)
	write(t, at("text"), []byte("no PEM"))
	write(t, at("large"), make([]byte, maxPEM+1))
	for _, c := range []struct {
		kind      probe.Kind
		cert, key string
		ca        string
		want      string
	}{
		{probe.HTTP, at("cert"), at("key"), at("cert"), ""},
		{probe.HTTP, at("cert"), at("other"), "", "certificate: can't be used: private key does not match public key"},
		{probe.HTTP, at("text"), at("key"), "", "certificate: can't be used: "},
		{probe.HTTP, at("nothing"), at("key"), "", "certificate.cert: there is no such file"},
		{probe.HTTP, at("cert"), dir, "", "certificate.key: is no file"},
		{probe.HTTP, at("cert"), "/dev/zero", "", "certificate.key: is no file"},
		{probe.HTTP, at("cert"), "", "", "certificate: name both files, cert and key"},
		{probe.HTTP, "", at("key"), "", "certificate: name both files, cert and key"},
		{probe.HTTP, "", "", at("text"), "ca: has no certificate in it"},
		{probe.HTTP, "", "", at("large"), "ca: is larger than 1 MiB"},
		{probe.TCP, at("cert"), at("key"), "", "certificate and ca: are for monitors of type http and tls"},
	} {
		m := Monitor{ID: "m", Type: c.kind, URL: "https://example.com", Certificate: Certificate{c.cert, c.key}, CA: c.ca}
		if c.kind == probe.TCP {
			m.URL = "example.com:1"
		}
		got := strings.Join(Policy{m}.Problems(), "\n")
		if c.want == "" && got != "" || c.want != "" && !strings.HasPrefix(got, "monitors.m."+c.want) {
			t.Errorf("%+v: %q, want %q", c, got, c.want)
		}
		if strings.Contains(got, dir) {
			t.Errorf("it tells the path: %q", got)
		}
	}
}
