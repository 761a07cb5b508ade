package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// targetsEnv is set in the process that is the targets; it has the file for the authority's certificate.
const targetsEnv = "MANUS_BENCH_TARGETS"

// perHost is how many monitors there are at a host.
const perHost = 10

// targets is the process, seen from outside.
type targets struct {
	cmd       *exec.Cmd
	dir       string
	authority string   // the file of its certificate
	control   string   // the address that tells what it has seen
	hosts     []string // host:port
}

// url is the n-th monitor's.
func (t *targets) url(n int) string {
	return fmt.Sprintf("https://%s/%d", t.hosts[n/perHost], n)
}

func startTargets(p plan) (*targets, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t := &targets{}
	if t.dir, err = os.MkdirTemp("", "manus-bench-*"); err != nil {
		return nil, err
	}
	t.authority = filepath.Join(t.dir, "authority.pem")
	t.cmd = exec.Command(self, os.Args[1:]...)
	t.cmd.Env = append(os.Environ(), targetsEnv+"="+t.authority)
	t.cmd.Stderr = os.Stderr
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for range 1 + p.monitors/perHost {
		if !lines.Scan() {
			return nil, errors.Join(errors.New("the targets don't start"), lines.Err(), t.cmd.Wait())
		}
		t.hosts = append(t.hosts, lines.Text())
	}
	t.control, t.hosts = t.hosts[0], t.hosts[1:]
	return t, nil
}

// taken is what the targets have seen since they were last asked.
func (t *targets) taken() (s seen, err error) {
	response, err := http.Get("http://" + t.control)
	if err != nil {
		return s, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	return s, json.NewDecoder(response.Body).Decode(&s)
}

func (t *targets) stop() {
	_ = t.cmd.Process.Kill()
	_ = t.cmd.Wait()
	_ = os.RemoveAll(t.dir)
}

// lateness is how far the time between two requests of a monitor is off its interval, in milliseconds.
type lateness struct{ P99, Worst float64 }

// seen is how many connections came, and how far looks were off their interval.
type seen struct {
	Connections float64
	First       time.Time // of all connections
	Late        lateness
}

// beTargets is the targets until they are killed. It prints the address that tells what
// they have seen, and the targets'.
func beTargets(p plan) error {
	certify, err := newAuthority(os.Getenv(targetsEnv))
	if err != nil {
		return err
	}
	s := &served{every: p.every, last: make([]atomic.Int64, p.monitors)}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(control.Addr())
	hosts := p.monitors / perHost
	for n := range hosts {
		ip := net.IPv4(127, 77, byte(n/250), byte(n%250+1))
		listener, err := net.Listen("tcp", net.JoinHostPort(ip.String(), "0"))
		if err != nil {
			return err
		}
		certificate, err := certify(ip)
		if err != nil {
			return err
		}
		fmt.Println(listener.Addr())
		listener = counting{listener, s}
		// Those that hang stand between the others, every second of them in the handshake.
		place := float64(n) * p.hang
		hangs := int(place+p.hang) > int(place)
		if hangs && int(place)%2 == 0 {
			go hold(listener)
			continue
		}
		server := &http.Server{
			Handler: s.handler(hangs), ErrorLog: stdlog.New(io.Discard, "", 0),
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
		}
		go func() { _ = server.ServeTLS(listener, "", "") }()
	}
	return http.Serve(control, s)
}

// counting counts the connections.
type counting struct {
	net.Listener
	s *served
}

func (c counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.s.connections.Add(1)
		c.s.first.CompareAndSwap(0, time.Now().UnixNano())
	}
	return conn, err
}

// hold takes connections and says nothing.
func hold(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(io.Discard, conn) // until the other side has had enough
			_ = conn.Close()
		}()
	}
}

// served is what the targets have seen.
type served struct {
	every       time.Duration
	connections atomic.Int64
	first       atomic.Int64   // when it came, in Unix nanoseconds
	last        []atomic.Int64 // when a monitor's last request came, in Unix nanoseconds

	mu  sync.Mutex
	off []time.Duration // the interval
}

func (s *served) handler(hangs bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hangs {
			<-r.Context().Done()
			return
		}
		now := time.Now()
		var n int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &n); err != nil || n >= len(s.last) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if last := s.last[n].Swap(now.UnixNano()); last != 0 {
			s.mu.Lock()
			s.off = append(s.off, (now.Sub(time.Unix(0, last)) - s.every).Abs())
			s.mu.Unlock()
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"healthy"}`)
	})
}

// ServeHTTP tells what was seen since it was last asked.
func (s *served) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	off := s.off
	s.off = nil
	s.mu.Unlock()
	slices.Sort(off)
	answer := seen{Connections: float64(s.connections.Swap(0)), First: time.Unix(0, s.first.Load())}
	if len(off) > 0 {
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		answer.Late = lateness{ms(off[len(off)*99/100]), ms(off[len(off)-1])}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// newAuthority writes the certificate of a new authority to a file, and returns what makes
// certificates by it, over one between.
func newAuthority(file string) (func(net.IP) (tls.Certificate, error), error) {
	var serial int64
	sign := func(template *x509.Certificate, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		serial++
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(serial), time.Now().Add(-time.Hour), time.Now().Add(90*24*time.Hour)
		if parent == nil {
			parent, by = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
		if err != nil {
			return nil, nil, err
		}
		made, err := x509.ParseCertificate(der)
		return made, key, err
	}
	authority := func(name string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	root, rootKey, err := sign(authority("Bench Root"), nil, nil)
	if err != nil {
		return nil, err
	}
	between, betweenKey, err := sign(authority("Bench Between"), root, rootKey)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	return func(ip net.IP) (tls.Certificate, error) {
		leaf, key, err := sign(&x509.Certificate{IPAddresses: []net.IP{ip}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, between, betweenKey)
		if err != nil {
			return tls.Certificate{}, err
		}
		return tls.Certificate{Certificate: [][]byte{leaf.Raw, between.Raw}, PrivateKey: key}, nil
	}, os.WriteFile(file, text, 0o600)
}
