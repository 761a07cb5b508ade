package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// server is a program that is measured.
type server interface {
	name() string
	launch(ctx context.Context) error // until it answers
	start(ctx context.Context) error  // launch, and make the account to measure with
	stop()
	address() string
	requests(kind string) requester // nil where the server has nothing of the kind
	login(i int) []byte
	rss() int64
	cpu() time.Duration
	watch(ctx context.Context, over <-chan struct{}) (peak int64, p50, p99 time.Duration)
}

const (
	email    = "bench@example.com"
	password = "correct horse battery staple"
)

// process is what the servers have in common.
type process struct {
	title string
	addr  string
	probe string // a path that tells it is alive
	make  func(addr string) *exec.Cmd
	cmd   *exec.Cmd
}

func (p *process) name() string    { return p.title }
func (p *process) address() string { return p.addr }

func (p *process) launch(ctx context.Context) error {
	addr, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	p.addr = addr
	p.cmd = p.make(addr)
	log, err := os.CreateTemp("", "manus-bench-log-*")
	if err != nil {
		return err
	}
	defer log.Close()
	defer os.Remove(log.Name()) // which the process writes on to
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if c, err := dial(ctx, addr); err == nil {
			status, _, err := c.do(get(p.probe, ""))
			c.conn.Close()
			if err == nil && status == 200 {
				return nil
			}
		}
		<-time.After(time.Millisecond)
	}
	said, err := os.ReadFile(log.Name())
	return errors.Join(fmt.Errorf("%s doesn't answer: %s", p.title, said), err)
}

func (p *process) stop() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// rss is the resident memory in bytes.
func (p *process) rss() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10
}

// cpu is the processor's time that it has taken, in steps of clockTick.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the third on, see proc(5)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * clockTick
}

// clockTick is what Linux counts a process's time in (USER_HZ).
const clockTick = 10 * time.Millisecond

// watch probes every 5 ms on a connection of its own.
func (p *process) watch(ctx context.Context, over <-chan struct{}) (peak int64, p50, p99 time.Duration) {
	c, err := dial(ctx, p.addr)
	if err != nil {
		return 0, 0, 0
	}
	defer c.conn.Close()
	var took []time.Duration
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		begin := time.Now()
		if status, _, err := c.do(get(p.probe, "")); err != nil || status != 200 {
			return peak, 0, 0
		}
		took = append(took, time.Since(begin))
		peak = max(peak, p.rss())
		select {
		case <-over:
			slices.Sort(took)
			return peak, took[len(took)/2], took[len(took)*99/100]
		case <-ticker.C:
		}
	}
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func get(path, token string) []byte { return request("GET", path, token, "") }

func request(method, path, token, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bench\r\n", method, path)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	if method != "GET" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// always is the same request again and again.
func always(request []byte) requester {
	return func(int) (next, error) { return func([]byte) []byte { return request }, nil }
}

// call sends one request and reads the JSON answer.
func call(addr string, request []byte, answer any) error {
	c, err := dial(context.Background(), addr)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	status, body, err := c.do(request)
	if err != nil || status >= 300 {
		return errors.Join(fmt.Errorf("status %d: %s", status, body), err)
	}
	return json.Unmarshal(body, answer)
}

// between cuts out what stands between two texts of a JSON answer.
func between(body []byte, before, after string) string {
	_, rest, _ := bytes.Cut(body, []byte(before))
	value, _, _ := bytes.Cut(rest, []byte(after))
	return string(value)
}

// manus is the program built from this repository.
type manus struct {
	process
	token string
}

func build(ctx context.Context, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/manus")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build manus: %w: %s", err, out)
	}
	return nil
}

func newManus(binary, dir string) *manus {
	m := &manus{process: process{title: "Manus", probe: "/live"}}
	m.make = func(addr string) *exec.Cmd {
		cmd := exec.Command(binary, "serve", "--config", "unlimited.yaml")
		cmd.Env = []string{
			"JWT_SECRET_KEY=mZ3t9Qx7Lr2Vw8Ks5Yb1Nc6Hd4Jf0Gp-benchmarks-only",
			"ADDR=" + addr, "OPS_ADDR=" + cmp.Or(os.Getenv("OPS_ADDR"), "off"), "DATA_DIR=" + dir, "SHUTDOWN_DELAY=0s",
		}
		return cmd
	}
	return m
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func (m *manus) start(ctx context.Context) error {
	if err := m.launch(ctx); err != nil {
		return err
	}
	var t tokens
	err := call(m.addr, request("POST", "/api/v1/auth/register", "", fmt.Sprintf(`{"email":%q,"password":%q,"full_name":"Bench"}`, email, password)), &t)
	m.token = t.Access
	return err
}

func (m *manus) login(int) []byte {
	return request("POST", "/api/v1/auth/login", "", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password))
}

func (m *manus) requests(kind string) requester {
	switch kind {
	case "health":
		return always(get("/api/v1/health", ""))
	case "guarded read":
		return always(get("/api/v1/auth/me", m.token))
	}
	return func(int) (next, error) { // each connection is a login of its own
		var t tokens
		if err := call(m.addr, m.login(0), &t); err != nil {
			return nil, err
		}
		refresh := t.Refresh
		return func(before []byte) []byte {
			if before != nil {
				refresh = between(before, `"refresh_token":"`, `"`)
			}
			return request("POST", "/api/v1/auth/refresh", "", `{"refresh_token":"`+refresh+`"}`)
		}, nil
	}
}

// pocketBase is the peer, run from this program's own binary.
type pocketBase struct {
	process
	id, token string
}

func newPocketBase(dir string) *pocketBase {
	p := &pocketBase{process: process{title: "PocketBase", probe: "/api/health"}}
	p.make = func(addr string) *exec.Cmd {
		self, _ := os.Executable()
		cmd := exec.Command(self)
		cmd.Env = []string{peerEnv + "=" + dir, peerEnv + "_ADDR=" + addr, "HOME=" + filepath.Dir(dir)}
		return cmd
	}
	return p
}

func (p *pocketBase) start(ctx context.Context) error {
	if err := p.launch(ctx); err != nil {
		return err
	}
	body := fmt.Sprintf(`{"email":%q,"password":%q,"passwordConfirm":%q,"name":"Bench"}`, email, password, password)
	var made struct{ ID string }
	if err := call(p.addr, request("POST", "/api/collections/users/records", "", body), &made); err != nil {
		return err
	}
	var t struct{ Token string }
	err := call(p.addr, p.login(0), &t)
	p.id, p.token = made.ID, t.Token
	return err
}

func (p *pocketBase) login(int) []byte {
	return request("POST", "/api/collections/users/auth-with-password", "", fmt.Sprintf(`{"identity":%q,"password":%q}`, email, password))
}

func (p *pocketBase) requests(kind string) requester {
	switch kind {
	case "health":
		return always(get("/api/health", ""))
	case "guarded read":
		return always(get("/api/collections/users/records/"+p.id, p.token))
	}
	return always(request("POST", "/api/collections/users/auth-refresh", p.token, ""))
}
