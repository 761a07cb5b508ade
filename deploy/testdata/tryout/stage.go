package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// program is a process that ends with this one.
type program struct {
	cmd   *exec.Cmd
	addr  string // of a copy: its own loopback address
	ended chan struct{}
	exit  error // once ended
}

func start(cmd *exec.Cmd) (*program, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &program{cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.exit = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *program) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

// stage is what compose.yaml describes.
type stage struct {
	dir      string
	url      string   // of the balancer
	private  string   // of its private frontend
	port     string   // of every copy
	store    []string // settings
	redisAt  string   // its port
	redis    *program
	balancer *program
	copies   []*program
	next     int // the last byte of the next copy's address
	names    names
	log      balancerLog
	stops    []func()
}

func newStage(o options) (*stage, error) {
	dir, err := os.MkdirTemp("", "tryout-")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, next: 11, names: names{hosts: filepath.Join(dir, "hosts")}}
	s.names.set(nil)
	s.stops = append(s.stops, func() { _ = os.RemoveAll(dir) })
	for _, step := range []func() error{
		s.build, func() error { return s.startStore(o.store) }, s.startRedis, s.names.serve,
		func() error { return s.startBalancer(o.haproxy, o.config) },
	} {
		if err := step(); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *stage) close() {
	for _, p := range append(slices.Clone(s.copies), s.balancer, s.redis) {
		if p != nil {
			p.signal(syscall.SIGKILL)
			<-p.ended
		}
	}
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
}

// build makes the programs and the secrets.
func (s *stage) build() error {
	for _, c := range []*exec.Cmd{
		exec.Command("go", "build", "-trimpath", "-o", s.file("copy"), "./cmd/manus"),
		exec.Command("deploy/make-secrets.sh", filepath.Join(s.dir, "secrets")),
	} {
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", c.Args, err, out)
		}
	}
	s.port = freePort()
	return os.WriteFile(s.file("manus.yaml"), []byte("limits: {allow: [127.0.0.0/8]}\n"), 0o600)
}

func (s *stage) file(name string) string { return filepath.Join(s.dir, name) }

func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// startStore starts the MongoDB of the tests, or lets the copies share a file.
func (s *stage) startStore(kind string) error {
	if kind == "sqlite" {
		s.store = []string{"DATA_DIR=" + s.file("data")}
		return nil
	}
	cmd := exec.Command("go", "build", "-C", "internal/mongotest/server", "-o", s.file("mongo"), ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the MongoDB of the tests: %w\n%s", err, out)
	}
	cmd = exec.Command(s.file("mongo"))
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil { // it ends when its input does
		return err
	}
	s.stops = append(s.stops, func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	var ready struct{ URI string }
	err = json.NewDecoder(out).Decode(&ready)
	s.store = []string{"MONGODB_URI=" + ready.URI, "MONGODB_DATABASE=manus"}
	return err
}

// startRedis starts Redis with the secret file and the arguments of compose.yaml.
func (s *stage) startRedis() error {
	if s.redisAt == "" {
		s.redisAt = freePort()
	}
	var err error
	s.redis, err = start(exec.Command("redis-server", s.file("secrets/redis_conf"), "--save", "", "--appendonly", "no",
		"--maxmemory", "256mb", "--maxmemory-policy", "noeviction", "--port", s.redisAt, "--bind", "127.0.0.1"))
	return err
}

// startCopy starts another copy, on an address of its own as containers have, and
// tells the DNS of it.
func (s *stage) startCopy() (*program, error) {
	url, err := os.ReadFile(s.file("secrets/redis_url"))
	if err != nil {
		return nil, err
	}
	addr := "127.0.0." + strconv.Itoa(s.next)
	s.next++
	log, err := os.Create(s.file(addr + ".log"))
	if err != nil {
		return nil, err
	}
	args := []string{s.file("copy"), "serve", "--config", s.file("manus.yaml")}
	if os.Getuid() == 0 { // a container's copy has no more rights than anybody
		args = append([]string{"setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // our own program
	cmd.Stderr = log
	cmd.Env = append([]string{
		"ADDR=" + addr + ":" + s.port, "OPS_ADDR=off", "TRUSTED_PROXIES=127.0.0.1", "SHUTDOWN_DELAY=3s",
		"JWT_SECRET_KEY_FILE=" + s.file("secrets/jwt_secret_key"),
		"REDIS_URL=" + strings.Replace(strings.TrimSpace(string(url)), "redis:6379", "127.0.0.1:"+s.redisAt, 1),
	}, s.store...)
	c, err := start(cmd)
	if err != nil {
		return nil, err
	}
	c.addr = addr
	for deadline := time.Now().Add(time.Minute); ; {
		select {
		case <-c.ended:
			said, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("a copy ended at once: %w\n%s", c.exit, said)
		default:
		}
		if conn, err := net.Dial("tcp", addr+":"+s.port); err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			return nil, errors.New("a copy doesn't listen")
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.copies = append(s.copies, c)
	s.names.set(s.copies)
	return c, nil
}

// forget takes a copy that has ended out of the DNS.
func (s *stage) forget(c *program) {
	s.copies = slices.DeleteFunc(s.copies, func(other *program) bool { return other == c })
	s.names.set(s.copies)
}

func (s *stage) startBalancer(haproxy, config string) error {
	listen, private := "127.0.0.1:"+freePort(), "127.0.0.1:"+freePort()
	s.url, s.private = "http://"+listen, "http://"+private
	// As the image does it, and with a view of /etc/hosts of its own: when it starts,
	// it asks the C library for the copies, as it does in a container.
	const own = `mount --bind "$0" /etc/hosts && exec "$@"`
	cmd := exec.Command("unshare", "--map-root-user", "--mount", "sh", "-c", own, s.names.hosts, haproxy, "-W", "-db", "-f", config)
	cmd.Env = append(os.Environ(), "LISTEN="+listen, "PRIVATE="+private, "COPIES=copies.test:"+s.port, "RESOLVER="+s.names.addr)
	said, err := os.Create(s.file("haproxy.log"))
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = &s.log, said
	s.balancer, err = start(cmd)
	return err
}

// awaitCount waits until the balancer counts so many copies as ready.
func (s *stage) awaitCount(n int) (time.Time, error) {
	said := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		response, err := http.Get(s.private + "/copies")
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if said = strings.TrimSpace(string(text)); said == strconv.Itoa(n) {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("the balancer counts %q copies, not %d:%s", said, n, s.report())
}

// report is what all say of themselves, for somebody who looks for the cause.
func (s *stage) report() string {
	text := ""
	for _, c := range s.copies {
		state := "no answer"
		if response, err := http.Get("http://" + c.addr + ":" + s.port + "/ready"); err == nil {
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			state = string(body)
		}
		text += "\n" + c.addr + ": " + state + s.tail(c.addr+".log")
	}
	return text + "\nhaproxy:" + s.tail("haproxy.log")
}

func (s *stage) tail(name string) string {
	text, _ := os.ReadFile(s.file(name))
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, `"msg":"request"`) {
			lines = append(lines, line)
		}
	}
	return "\n" + strings.Join(lines[max(0, len(lines)-15):], "")
}

// awaitReady is awaitCount, and that it stays so for as long as checks need.
func (s *stage) awaitReady(n int) error {
	for range 2 {
		if _, err := s.awaitCount(n); err != nil {
			return err
		}
		time.Sleep(1500 * time.Millisecond)
	}
	return nil
}

// names is a DNS server that knows the copies by one name, as Docker's does, and a
// file of hosts that knows the same.
type names struct {
	addr  string
	hosts string

	mu  sync.Mutex
	ips [][4]byte
}

func (n *names) set(copies []*program) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ips = nil
	text := "127.0.0.1 localhost\n"
	for _, c := range copies {
		n.ips = append(n.ips, [4]byte(net.ParseIP(c.addr).To4()))
		text += c.addr + " copies.test\n"
	}
	if err := os.WriteFile(n.hosts, []byte(text), 0o644); err != nil { //nolint:gosec // as /etc/hosts
		panic(err)
	}
}

func (n *names) serve() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	n.addr = conn.LocalAddr().String()
	go func() {
		packet := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if answer, err := n.answer(packet[:size]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return nil
}

func (n *names) answer(packet []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(packet)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, ip := range n.ips {
		if q.Type == dnsmessage.TypeA {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 600}, // Docker's
				Body:   &dnsmessage.AResource{A: ip},
			})
		}
	}
	return message.Pack()
}

// balancerLog counts what the balancer's access log says.
type balancerLog struct {
	mu       sync.Mutex
	rest     []byte
	byCopy   map[string]int
	failures map[string]int
}

// Write takes whole lines out of what it is given.
func (l *balancerLog) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, text...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	lines := bufio.NewScanner(bytes.NewReader(l.rest[:end]))
	for lines.Scan() {
		l.line(lines.Text())
	}
	l.rest = slices.Clone(l.rest[end:])
	return len(text), nil
}

// line is one request: client, backend/copy, times, status, bytes, how it ended; or
// it is about something else.
func (l *balancerLog) line(text string) {
	f := strings.Fields(text)
	if len(f) < 6 || strings.Count(f[2], "/") != 4 {
		return
	}
	if l.byCopy == nil {
		l.byCopy, l.failures = map[string]int{}, map[string]int{}
	}
	l.byCopy[f[1]]++
	if f[3] >= "500" || f[3] == "-1" {
		l.failures[f[1]+" "+f[3]+" "+f[5]]++
	}
}

// served is how many requests each copy got since it was last asked, and
// failuresByEnd the failed ones by copy, status and how the balancer says they ended.
func (s *stage) served() map[string]int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	byCopy := s.log.byCopy
	s.log.byCopy, s.log.failures = nil, nil
	return byCopy
}

func (s *stage) failuresByEnd() map[string]int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	failures := s.log.failures
	s.log.byCopy, s.log.failures = nil, nil
	return failures
}

// database is what /ready calls the store.
func (s *stage) database() string {
	if len(s.store) > 1 {
		return "mongodb"
	}
	return "database"
}
