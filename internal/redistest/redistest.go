// Package redistest gives tests real Redis servers: processes that they can stop,
// freeze, kill and start again.
package redistest

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"manus/internal/testprogram"
	"manus/internal/waittest"
)

// Server is a redis-server process of the test's own. It keeps nothing on disk
// and ends with the test.
type Server struct {
	// Addr is where it listens: 127.0.0.1 and a port.
	Addr string

	dir  string
	args []string
	tls  []string // arguments of one that speaks nothing else
	cmd  *exec.Cmd
	in   io.Closer
	log  waittest.Log
}

// patience bounds how long an answer is waited for.
const patience = 5 * time.Minute

// Start runs a server, with more arguments if there are some.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, &Server{dir: t.TempDir(), args: args})
}

// StartTLS runs a server that speaks TLS alone, by a certificate that nobody trusts. Do and
// Try don't reach it.
func StartTLS(t testing.TB) *Server {
	t.Helper()
	authority := httptest.NewTLSServer(http.NotFoundHandler())
	defer authority.Close()
	pair := authority.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{dir: t.TempDir()}
	file := filepath.Join(s.dir, "tls.pem")
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	s.tls = []string{"--tls-cert-file", file, "--tls-key-file", file, "--tls-ca-cert-file", file, "--tls-auth-clients", "no"}
	return start(t, s)
}

func start(t testing.TB, s *Server) *Server {
	t.Helper()
	t.Cleanup(func() {
		s.end()
		if t.Failed() {
			t.Logf("redis-server at %s said:\n%s", s.Addr, &s.log)
		}
	})
	for range 5 { // somebody else may be faster to take the port
		s.Addr = freeAddr(t)
		if err := s.run(t); err == nil {
			return s
		}
		s.end()
	}
	t.Fatalf("redis-server can't be started: %s", &s.log)
	return nil
}

// Addr is where a Redis is that the test neither stops nor empties, and shares: the
// one that the environment variable REDIS_TEST_URL names, or else a server of the
// test's own.
func Addr(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("REDIS_TEST_URL"); url != "" {
		return strings.TrimPrefix(url, "redis://")
	}
	return Start(t).Addr
}

func freeAddr(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// run starts the process and waits until it says that it listens. A shell between us and it
// ends it when this process is gone, whatever became of that: it waits for the end
// of its input, which this process holds open.
func (s *Server) run(t testing.TB) error {
	t.Helper()
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	redis := []string{testprogram.Redis.Path(), "--port", port}
	if s.tls != nil {
		redis = append([]string{testprogram.Redis.Path(), "--port", "0", "--tls-port", port}, s.tls...)
	}
	redis = append(append(redis, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir), s.args...)
	const watch = `"$@" & child=$!; trap 'kill -9 $child' TERM; cat >/dev/null; kill -9 $child 2>/dev/null; wait $child`
	s.cmd = exec.Command("sh", append([]string{"-c", watch, "sh"}, redis...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	before := len(s.log.String())
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	var said string
	s.log.Until(t, func() bool {
		said = s.log.String()[before:]
		return strings.Contains(said, "Ready to accept connections") || strings.Contains(said, "aborting")
	})
	if strings.Contains(said, "aborting") {
		return errors.New("another has its port")
	}
	return nil
}

// end ends the process and waits for it.
func (s *Server) end() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	if pid, err := s.pid(); err == nil {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	_ = s.in.Close()
	_ = s.cmd.Wait() // it was killed
	s.cmd = nil
}

// pid is the server's process.
func (s *Server) pid() (int, error) {
	out, err := exec.Command(testprogram.Pgrep.Path(), "-P", strconv.Itoa(s.cmd.Process.Pid), "redis-server").Output()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	pid, err := s.pid()
	if err == nil {
		err = syscall.Kill(pid, signal)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// URL is the server's, as settings have it.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Freeze stops the process where it is, Thaw lets it go on.
func (s *Server) Freeze(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (s *Server) Thaw(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGCONT) }

// Kill ends the process as a power cut would.
func (s *Server) Kill(t testing.TB) { t.Helper(); s.end() }

// Restart starts the server again at the same address, after Kill. Nothing of
// before is in it.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(t); err != nil {
		t.Fatalf("it doesn't start again: %v", err)
	}
}

// Dir is the folder in which it saves, where it does.
func (s *Server) Dir() string { return s.dir }

// Do sends one command, and returns the answer as a string, an int64, nil or a
// []any of them.
func (s *Server) Do(t testing.TB, args ...string) any {
	t.Helper()
	answer, err := s.Try(args...)
	if err != nil {
		t.Fatalf("%s: %v", args[0], err)
	}
	return answer
}

// Try is Do that may fail.
func (s *Server) Try(args ...string) (any, error) {
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	var command bytes.Buffer
	fmt.Fprintf(&command, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := conn.Write(command.Bytes()); err != nil {
		return nil, err
	}
	return read(bufio.NewReader(conn))
}

// read reads one answer (RESP2).
func read(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil || len(line) < 3 {
		return nil, errors.Join(err, errors.New("no answer"))
	}
	rest := strings.TrimSuffix(line[1:], "\r\n")
	if line[0] == '+' {
		return rest, nil
	}
	if line[0] == '-' {
		return nil, errors.New(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil || line[0] == ':' {
		return n, err
	}
	if n < 0 {
		return nil, nil
	}
	if line[0] == '$' {
		text := make([]byte, n+2)
		_, err := io.ReadFull(r, text)
		return string(text[:n]), err
	}
	all := []any{}
	for range n {
		one, err := read(r)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// Cluster is servers that share the keys: three, and their replicas behind them.
type Cluster struct{ Nodes []*Server }

// StartCluster runs a cluster, with so many replicas of each of its three nodes, and
// waits until it is whole.
func StartCluster(t testing.TB, replicas int) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range 3 * (1 + replicas) {
		c.Nodes = append(c.Nodes, Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", port(freeAddr(t))))
	}
	args := append([]string{"--cluster", "create"}, c.Addrs()...)
	if out, err := exec.Command(testprogram.RedisCLI.Path(), append(args, "--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")...).CombinedOutput(); err != nil {
		t.Fatalf("the cluster can't be made: %v\n%s", err, out)
	}
	for _, node := range c.Nodes {
		waittest.Poll(t, func() bool {
			return strings.Contains(node.Do(t, "CLUSTER", "INFO").(string), "cluster_state:ok") && replicated(t, c, replicas)
		})
	}
	return c
}

// replicated tells whether every replica follows its node.
func replicated(t testing.TB, c *Cluster, replicas int) bool {
	t.Helper()
	following := 0
	for _, node := range c.Nodes {
		if strings.Contains(node.Do(t, "INFO", "replication").(string), "master_link_status:up") {
			following++
		}
	}
	return following == 3*replicas
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// Addrs is where the nodes listen.
func (c *Cluster) Addrs() (addrs []string) {
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr)
	}
	return addrs
}

// Move moves slots from one node to another.
func (c *Cluster) Move(t testing.TB, from, to, slots int) {
	t.Helper()
	out, err := exec.Command(testprogram.RedisCLI.Path(), "--cluster", "reshard", c.Nodes[0].Addr, "--cluster-yes",
		"--cluster-from", c.Nodes[from].Do(t, "CLUSTER", "MYID").(string), "--cluster-to", c.Nodes[to].Do(t, "CLUSTER", "MYID").(string),
		"--cluster-slots", strconv.Itoa(slots)).CombinedOutput()
	if err != nil {
		t.Fatalf("the slots don't move: %v\n%s", err, out)
	}
}
