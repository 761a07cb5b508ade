package uptime

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"manus/uptime/probe"
)

// Certificate is the client's: the files that it and its key are in, as PEM.
type Certificate struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// files are those that a monitor is checked with.
func (m Monitor) files() (paths []string) {
	for _, path := range []string{m.Certificate.Cert, m.Certificate.Key, m.CA} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// trust is how a monitor and its target know each other, from its files as they are now, and
// what is wrong with those, in a sentence each.
func (m Monitor) trust() (t probe.Trust, problems []string) {
	t.ServerName = m.ServerName
	if len(m.files()) == 0 {
		return t, nil
	}
	if m.Type != probe.HTTP && m.Type != probe.TLS {
		return t, []string{"certificate and ca: are for monitors of type http and tls; take them out"}
	}
	read := func(key, path string) []byte {
		text, err := readPEM(path)
		if err != nil {
			problems = append(problems, key+": "+err.Error())
		}
		return text
	}
	if m.CA != "" {
		t.Roots = x509.NewCertPool()
		if text := read("ca", m.CA); text != nil && !t.Roots.AppendCertsFromPEM(text) {
			problems = append(problems, "ca: has no certificate in it; use a file in PEM")
		}
	}
	if m.Certificate == (Certificate{}) {
		return t, problems
	}
	if m.Certificate.Cert == "" || m.Certificate.Key == "" {
		return t, append(problems, "certificate: name both files, cert and key")
	}
	cert, key := read("certificate.cert", m.Certificate.Cert), read("certificate.key", m.Certificate.Key)
	if cert == nil || key == nil {
		return t, problems
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil { // which has nothing of the key in it
		problems = append(problems, "certificate: can't be used: "+strings.TrimPrefix(err.Error(), "tls: "))
	}
	t.Certificate = &pair
	return t, problems
}

// maxPEM bounds a file of certificates, in bytes.
const maxPEM = 1 << 20

// readPEM reads a file. Its error says what is wrong with it, without the path.
func readPEM(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("there is no such file")
	case err == nil && !info.Mode().IsRegular():
		return nil, errors.New("is no file")
	case err == nil && info.Size() > maxPEM:
		return nil, errors.New("is larger than 1 MiB")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.New("can't be read; see who may")
	}
	defer file.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(file, maxPEM))
	if err != nil {
		return nil, errors.New("can't be read")
	}
	return text, nil
}

// checkOf is the check of a monitor, with its secret and its files.
func (s *Service) checkOf(m Monitor) (*probe.Check, error) {
	t := m.target(s.c.Secrets)
	trust, problems := m.trust()
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	t.Trust = trust
	return s.c.Prober.Prepare(t)
}

// stamps say of files when they were changed last, each looked at once.
type stamps map[string]string

// of is what a monitor's files are known by; empty where it has none.
func (s stamps) of(m Monitor) string {
	var all strings.Builder
	for _, path := range m.files() {
		stamp, known := s[path]
		if !known {
			if info, err := os.Stat(path); err == nil {
				stamp = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
			}
			s[path] = stamp
		}
		all.WriteString(stamp + "\n")
	}
	return all.String()
}

// haveChanged tells whether the files of any monitor are others than those that it is checked
// with.
func (s *set) haveChanged() bool {
	now := stamps{}
	for _, m := range s.monitors {
		if now.of(m) != m.stamp {
			return true
		}
	}
	return false
}
